//! Arriving: codes, the desk, phones, walk-ins, and the order of the line.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::foreign_admin,
    harness::{Reply, Session, TestApp},
};

/// The evening before, when everybody books.
pub const BEFORE: &str = "2026-11-22T19:00:00+08:00";

/// A time of the day.
pub fn at(time: &str) -> String {
    format!("2026-11-23T{time}:00+08:00")
}

pub fn id(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

/// Somebody books in 均溪镇, the evening before; the clock stays there.
pub async fn booked(t: &TestApp, who: &str, time: &str) -> String {
    t.set_time(BEFORE);
    let resident = t.resident(who).await;
    let body = t.booking(&at(time)).await;
    let booked = t.post("/v1/appointments").by(&resident).json(body).send().await.created();
    t.run_jobs().await;
    id(&booked)
}

/// The desk of 均溪镇 at a time of the day.
pub async fn desk(t: &TestApp, time: &str) -> Session {
    t.set_time(&at(time));
    t.staff("junxi").await
}

pub async fn act(t: &TestApp, by: &Session, path: &str, body: Value) -> Reply {
    t.post(path).by(by).json(body).send().await
}

pub async fn arrive(t: &TestApp, by: &Session, appointment: &str) -> Value {
    act(t, by, &format!("/v1/appointments/{appointment}/arrive"), json!({})).await.ok()
}

pub async fn walk_in(t: &TestApp, by: &Session) -> Value {
    let body = json!({"unit_id": t.unit("均溪镇").await, "matter_id": t.matter().await});
    act(t, by, "/v1/walk_ins", body).await.created()
}

pub async fn line(t: &TestApp, by: &Session) -> Value {
    t.get(&format!("/v1/units/{}/queue", t.unit("均溪镇").await)).by(by).send().await.ok()
}

pub fn numbers(line: &Value) -> Vec<String> {
    let waiting = line["line"].as_array().expect("a line");
    waiting.iter().map(|entry| entry["ticket"]["ticket"].as_str().expect("a ticket").to_owned()).collect()
}

async fn code(t: &TestApp, who: &str, appointment: &str) -> String {
    let session = t.resident(who).await;
    let reply = t.get(&format!("/v1/appointments/{appointment}/code")).by(&session).send().await.is(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply["handle"], reply["scene"]);
    reply["handle"].as_str().expect("a handle").to_owned()
}

#[actix_web::test]
async fn a_code_is_made_once_and_leads_to_one_ticket() {
    let t = TestApp::new().await;
    let (mine, other) = (booked(&t, "zhang", "09:00").await, booked(&t, "li", "09:00").await);
    let handles = join_all((0..4).map(|_| code(&t, "zhang", &mine))).await;
    assert!(handles.iter().all(|handle| *handle == handles[0] && handle.len() <= 32), "{handles:?}");
    assert_ne!(code(&t, "li", &other).await, handles[0]);
    assert!(!t.database.everything().contains(&handles[0]), "sealed");
    let stranger = t.resident("stranger").await;
    t.get(&format!("/v1/appointments/{mine}/code")).by(&stranger).send().await.problem(404, "not_found");

    let junxi = desk(&t, "08:50").await;
    let path = format!("/v1/appointments/{mine}/arrive");
    let wrong = json!({"code": code(&t, "li", &other).await});
    act(&t, &junxi, &path, wrong).await.problem(409, "code_of_another");
    act(&t, &junxi, &path, json!({"code": "2222"})).await.problem(409, "code_of_another");
    let typed = handles[0].to_lowercase();
    let first = act(&t, &junxi, &path, json!({"code": format!("{}-{}", &typed[..10], &typed[10..])})).await.ok();
    assert_eq!(
        (&first["ticket"], &first["state"], &first["on_time"]),
        (&json!("A001"), &json!("arrived"), &json!(true))
    );
    assert_eq!(first["arrived_at"], at("08:50"));
    t.set_time(&at("08:55"));
    assert_eq!(arrive(&t, &junxi, &mine).await, first, "pressed twice");
    // By the code alone, at the desk and again the same ticket.
    let unit = t.unit("均溪镇").await;
    let again = act(&t, &junxi, "/v1/arrivals", json!({"unit_id": unit, "code": handles[0]})).await.ok();
    assert_eq!(again, first);
    let body = json!({"unit_id": unit, "code": "9".repeat(20)});
    act(&t, &junxi, "/v1/arrivals", body).await.problem(404, "nobody_arrives");
    let entries =
        t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'arrive' AND entity = 'appointment'");
    assert_eq!(entries, 3);
}

#[actix_web::test]
async fn wechat_draws_the_code() {
    let t = TestApp::new().await;
    let mine = booked(&t, "zhang", "09:00").await;
    let zhang = t.resident("zhang").await;
    let path = format!("/v1/appointments/{mine}/wxacode");
    let image = t.get(&path).by(&zhang).send().await.is(200);
    assert_eq!((image.header("content-type"), image.header("cache-control")), ("image/jpeg", "no-store"));
    let handle = code(&t, "zhang", &mine).await;
    assert!(image.bytes.starts_with(b"\xff\xd8\xff") && image.bytes.ends_with(handle.as_bytes()));
    let asked = t.wechat.codes.lock().expect("codes")[0].clone();
    assert_eq!(asked, json!({"scene": handle, "page": "pages/appointment", "check_path": false}));
    // A token that has run out is fetched anew; an error comes with status 200.
    t.wechat.expire_tokens();
    t.get(&path).by(&zhang).send().await.is(200);
    t.wechat.refuse_codes.lock().expect("codes").push_back(45009);
    t.get(&path).by(&zhang).send().await.problem(503, "wechat_unavailable");
    let stranger = t.resident("stranger").await;
    t.get(&path).by(&stranger).send().await.problem(404, "not_found");
    act(&t, &zhang, &format!("/v1/appointments/{mine}/cancel"), json!({})).await.ok();
    t.get(&path).by(&zhang).send().await.problem(409, "not_booked");
    t.get(&format!("/v1/appointments/{mine}/code")).by(&zhang).send().await.problem(409, "not_booked");
    t.run_jobs().await;
}

#[actix_web::test]
async fn only_on_the_day_not_too_early_and_only_what_is_booked() {
    let t = TestApp::new().await;
    let (nine, late) = (booked(&t, "zhang", "09:00").await, booked(&t, "li", "15:00").await);
    let cancelled = booked(&t, "wang", "10:00").await;
    let wang = t.resident("wang").await;
    act(&t, &wang, &format!("/v1/appointments/{cancelled}/cancel"), json!({})).await.ok();
    let junxi = t.staff("junxi").await;
    let path = |appointment: &str| format!("/v1/appointments/{appointment}/arrive");
    act(&t, &junxi, &path(&nine), json!({})).await.problem(409, "not_today");
    let junxi = desk(&t, "08:50").await;
    let early = act(&t, &junxi, &path(&late), json!({})).await.problem(409, "arrival_too_early");
    assert_eq!(early["possible_at"], at("13:00"));
    let refused = act(&t, &junxi, &path(&cancelled), json!({})).await.problem(409, "cannot_arrive");
    assert!(refused["detail"].as_str().expect("a detail").contains("已取消"), "{}", refused.body);
    for (username, time) in [("cadre", "08:50"), ("specialist", "08:50")] {
        t.set_time(&at(time));
        let session = t.staff(username).await;
        act(&t, &session, &path(&nine), json!({})).await.problem(404, "not_found");
    }
    let foreign = foreign_admin(&t).await;
    act(&t, &foreign, &path(&nine), json!({})).await.problem(404, "not_found");
    // At home nobody stands in line.
    t.database.run(&format!("UPDATE appointments SET place = 'home' WHERE id = '{nine}'"));
    act(&t, &junxi, &path(&nine), json!({})).await.problem(409, "not_at_centre");
    // Twice at once: one ticket, one number.
    let junxi = desk(&t, "14:50").await;
    let late = path(&late);
    let both = join_all((0..4).map(|_| act(&t, &junxi, &late, json!({})))).await;
    assert!(both.iter().all(|reply| reply.status == 200 && reply["ticket"] == "A001"), "{both:?}");
    assert_eq!(t.database.count("SELECT booked::bigint AS n FROM queue_days"), 1);
    t.run_jobs().await;
}

#[actix_web::test]
async fn by_phone_at_the_desk() {
    let t = TestApp::new().await;
    t.set_time(BEFORE);
    let (unit, far) = (t.unit("均溪镇").await, t.unit("石牌镇").await);
    let admin = t.staff("admin").await;
    let phone = "13950900001";
    let body = json!({"name": "陈阿婆", "phone": phone, "unit_id": unit, "identity_seen": "id_card"});
    let chen = id(&act(&t, &admin, "/v1/residents", body).await.created());
    let matters = t.get("/v1/matters?county=350425&limit=3").send().await.ok();
    let book = async |matter: usize, time: &str| {
        let admin = t.staff("admin").await;
        let body = json!({"unit_id": unit, "matter_id": matters["items"][matter]["id"], "starts_at": at(time), "resident_id": chen});
        id(&act(&t, &admin, "/v1/appointments", body).await.created())
    };
    let nine = book(0, "09:00").await;
    t.run_jobs().await;
    let junxi = desk(&t, "08:50").await;
    let come = async |by: &Session, body: Value| act(&t, by, "/v1/arrivals", body).await;
    come(&junxi, json!({"unit_id": unit, "phone": "13950900009"})).await.problem(404, "nobody_arrives");
    assert_eq!(
        come(&junxi, json!({"unit_id": unit, "phone": "12"})).await.problem(422, "invalid").faults(),
        ["/phone:phone"]
    );
    let both = json!({"unit_id": unit, "phone": phone, "code": "22"});
    assert_eq!(come(&junxi, both).await.problem(422, "invalid").faults(), [":one_of"]);
    assert_eq!(come(&junxi, json!({"unit_id": unit})).await.problem(422, "invalid").faults(), [":one_of"]);
    come(&junxi, json!({"unit_id": far, "phone": phone})).await.problem(404, "not_found");
    let ticket = come(&junxi, json!({"unit_id": unit, "phone": phone})).await.ok();
    assert_eq!(
        (&ticket["id"], &ticket["ticket"], &ticket["resident"]["name"]),
        (&json!(nine), &json!("A001"), &json!("陈*婆"))
    );
    assert_eq!(come(&junxi, json!({"unit_id": unit, "phone": phone})).await.ok(), ticket, "pressed twice");
    // A second one that can arrive now goes before the one in line; two of them are for the desk to tell apart.
    let ten = book(1, "10:00").await;
    let afternoon = book(2, "15:00").await;
    t.run_jobs().await;
    assert_eq!(come(&junxi, json!({"unit_id": unit, "phone": phone})).await.ok()["id"], json!(ten));
    t.database.run(&format!("UPDATE appointments SET state = 'booked' WHERE id IN ('{nine}', '{ten}', '{afternoon}')"));
    let several = come(&junxi, json!({"unit_id": unit, "phone": phone})).await.problem(409, "arrival_ambiguous");
    assert!(several["detail"].as_str().expect("a detail").contains('2'), "{}", several.body);
    // The code of another centre's appointment says where to go.
    let admin = t.staff("admin").await;
    let handle = t.get(&format!("/v1/appointments/{ten}/code")).by(&admin).send().await.ok()["handle"].clone();
    let elsewhere = come(&admin, json!({"unit_id": far, "code": handle})).await.problem(409, "arrival_elsewhere");
    assert_eq!(elsewhere["detail"], "该预约在均溪镇");
}

#[actix_web::test]
async fn without_an_appointment() {
    let t = TestApp::new().await;
    let junxi = desk(&t, "08:50").await;
    let first = walk_in(&t, &junxi).await;
    assert_eq!(
        (&first["ticket"], &first["channel"], &first["state"]),
        (&json!("B001"), &json!("walk_in"), &json!("arrived"))
    );
    assert_eq!(
        (&first["resident"], &first["on_time"], &first["starts_at"]),
        (&json!(null), &json!(false), &json!(at("08:50")))
    );
    let many = join_all((0..6).map(|_| walk_in(&t, &junxi))).await;
    let mut all: Vec<_> = many.iter().map(|ticket| ticket["ticket"].as_str().expect("a ticket").to_owned()).collect();
    all.sort();
    assert_eq!(all, ["B002", "B003", "B004", "B005", "B006", "B007"]);
    let (unit, matter) = (t.unit("均溪镇").await, t.matter().await);
    let village = t.unit("红星村委会").await;
    let body = json!({"unit_id": unit, "matter_id": Uuid::now_v7()});
    assert_eq!(act(&t, &junxi, "/v1/walk_ins", body).await.problem(422, "invalid").faults(), ["/matter_id:not_served"]);
    let cadre = t.staff("cadre").await;
    let body = json!({"unit_id": village, "matter_id": matter});
    assert_eq!(act(&t, &cadre, "/v1/walk_ins", body).await.problem(422, "invalid").faults(), ["/matter_id:not_served"]);
    let body = json!({"unit_id": unit, "matter_id": matter});
    act(&t, &cadre, "/v1/walk_ins", body.clone()).await.problem(404, "not_found");
    let zhang = t.resident("zhang").await;
    act(&t, &zhang, "/v1/walk_ins", body).await.problem(403, "forbidden");
    let body = json!({"unit_id": unit, "matter_id": matter, "resident_id": Uuid::now_v7()});
    let unknown = act(&t, &junxi, "/v1/walk_ins", body).await.problem(422, "invalid");
    assert_eq!(unknown.faults(), ["/resident_id:unknown_resident"]);
    let admin = t.staff("admin").await;
    let body = json!({"unit_id": unit, "matter_id": matter, "resident_id": zhang.subject});
    let named = act(&t, &admin, "/v1/walk_ins", body).await.created();
    assert_eq!(named["resident"]["id"], json!(zhang.subject));
    // The walk-in is one's own to look at, as any appointment.
    let place = t.get(&format!("/v1/appointments/{}/queue", id(&named))).by(&zhang).send().await.ok();
    assert_eq!((&place["ticket"], &place["ahead"]), (&json!("B008"), &json!(7)));
    t.run_jobs().await;
}

/// Who goes first, against a table: who came when with what, and the order at several times.
#[actix_web::test]
async fn the_order_of_the_line() {
    let t = TestApp::new().await;
    // Booked for, comes at: late from 15 minutes on.
    let cases = [("08:30", "08:40"), ("09:00", "08:20"), ("08:30", "08:46"), ("10:00", "08:50"), ("08:30", "08:45")];
    let mut people = Vec::new();
    for (number, (slot, comes)) in cases.iter().enumerate() {
        people.push((*comes, Some(booked(&t, &format!("r{number}"), slot).await)));
    }
    people.push(("08:10", None));
    people.push(("08:58", None));
    people.sort();
    for (comes, appointment) in &people {
        let junxi = desk(&t, comes).await;
        match appointment {
            Some(appointment) => drop(arrive(&t, &junxi, appointment).await),
            None => drop(walk_in(&t, &junxi).await),
        }
    }
    // In the order of coming: B001 08:10, A001 (09:00) 08:20, A002 (08:30) 08:40, A003 (08:30) 08:45, A004 (late) 08:46,
    // A005 (10:00) 08:50, B002 08:58.
    for (time, expected) in [
        // Only the slots up to 08:55 are near.
        ("08:40", ["A002", "A003", "B001", "A004", "B002", "A001", "A005"]),
        ("08:45", ["A002", "A003", "A001", "B001", "A004", "B002", "A005"]),
        ("09:44", ["A002", "A003", "A001", "B001", "A004", "B002", "A005"]),
        ("09:45", ["A002", "A003", "A001", "A005", "B001", "A004", "B002"]),
    ] {
        let junxi = desk(&t, time).await;
        assert_eq!(numbers(&line(&t, &junxi).await), expected, "at {time}");
    }
    let junxi = desk(&t, "09:44").await;
    let windows = line(&t, &junxi).await["windows"].clone();
    let mut called = Vec::new();
    for _ in 0..7 {
        let ticket = act(&t, &junxi, &format!("/v1/windows/{}/call_next", id(&windows[0])), json!({})).await.ok();
        called.push(ticket["ticket"].as_str().expect("a ticket").to_owned());
        for step in ["serve", "finish"] {
            act(&t, &junxi, &format!("/v1/appointments/{}/{step}", id(&ticket)), json!({})).await.ok();
        }
    }
    assert_eq!(called, ["A002", "A003", "A001", "B001", "A004", "B002", "A005"]);
    t.run_jobs().await;
}
