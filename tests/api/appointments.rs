//! Booking, looking, cancelling.

use serde_json::{Value, json};

use crate::harness::{Session, TestApp};

const NINE: &str = "2026-11-23T09:00:00+08:00";

async fn free(t: &TestApp, starts_at: &str) -> i64 {
    let (unit, matter) = (t.unit("均溪镇").await, t.matter().await);
    let date = &starts_at[..10];
    let slots =
        t.get(&format!("/v1/slots?county=350425&unit_id={unit}&matter_id={matter}&date={date}")).send().await.ok();
    let slot = slots["items"].as_array().expect("items").iter().find(|slot| slot["starts_at"] == starts_at).cloned();
    slot.expect("offered")["free"].as_i64().expect("a number")
}

async fn registered(t: &TestApp, by: &Session) -> Value {
    let unit = t.unit("红星村委会").await;
    let body = json!({"name": "陈阿婆", "phone": "13950900001", "unit_id": unit, "identity_seen": "known_in_person"});
    t.post("/v1/residents").by(by).json(body).send().await.created()
}

#[actix_web::test]
async fn a_resident_books_looks_and_cancels() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    let before = free(&t, NINE).await;
    let body = t.booking(NINE).await;
    t.set_time("2026-11-22T20:00:00+08:00");
    let reply = t.post("/v1/appointments").by(&zhang).json(body).send().await.is(201);
    let booked = reply.body.clone();
    assert_eq!(
        (&booked["state"], &booked["state_name"], &booked["channel"]),
        (&json!("booked"), &json!("已预约"), &json!("public"))
    );
    assert_eq!((&booked["starts_at"], &booked["unit"]["name"]), (&json!(NINE), &json!("均溪镇")));
    assert_eq!(free(&t, NINE).await, before - 1);
    let path = reply.header("location").to_owned();
    let read = t.get(&path).by(&zhang).send().await.is(200);
    assert_eq!((&read.body, read.header("etag")), (&booked, "\"1\""));
    let list = t.get("/v1/appointments?count=true").by(&zhang).send().await.ok();
    assert_eq!((&list["items"], &list["total"]), (&json!([booked]), &json!(1)));
    let cancel = || t.post(&format!("{path}/cancel")).by(&zhang).json(json!({"reason": "临时有事"})).send();
    let cancelled = cancel().await.ok();
    assert_eq!(
        (&cancelled["state"], &cancelled["cancel_reason"], &cancelled["version"]),
        (&json!("cancelled"), &json!("临时有事"), &json!(2))
    );
    assert_eq!(t.get(&path).by(&zhang).send().await.ok(), cancelled);
    assert_eq!(free(&t, NINE).await, before);
    cancel().await.problem(409, "already_cancelled");
    assert_eq!(free(&t, NINE).await, before, "given back once");
    let body = t.booking(NINE).await;
    t.post("/v1/appointments").by(&zhang).json(body).send().await.created();
    t.run_jobs().await;
}

#[actix_web::test]
async fn names_of_states_follow_the_language() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    let body = t.booking(NINE).await;
    let booked =
        t.post("/v1/appointments").by(&zhang).json(body).header("accept-language", "en").send().await.created();
    assert_eq!(booked["state_name"], "booked");
    t.run_jobs().await;
}

#[actix_web::test]
async fn one_booking_per_matter_and_day_within_seven_days_at_offered_times() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    let book = async |starts_at: &str| {
        let body = t.booking(starts_at).await;
        t.post("/v1/appointments").by(&zhang).json(body).send().await
    };
    book(NINE).await.created();
    book("2026-11-23T10:00:00+08:00").await.problem(409, "already_booked");
    book("2026-11-24T10:00:00+08:00").await.created();
    book("2026-11-30T10:00:00+08:00").await.created();
    book("2026-12-01T10:00:00+08:00").await.problem(422, "booking_window");
    book("2026-11-20T10:00:00+08:00").await.problem(422, "booking_window");
    book("2026-11-23T08:00:00+08:00").await.problem(422, "slot_not_offered");
    book("2026-11-25T10:10:00+08:00").await.problem(422, "slot_not_offered");
    book("2026-11-25T12:00:00+08:00").await.problem(422, "slot_not_offered");
    book("2026-11-28T10:00:00+08:00").await.problem(422, "slot_not_offered");
    // The days ahead are the county's to decide.
    t.database.run(
        "INSERT INTO settings (county_id, key, version, value, effective_from, set_at) \
         VALUES (1, 'booking.days_ahead', 1, '14', '2026-01-01', '2026-01-01')",
    );
    t.app.counties.forget();
    book("2026-12-01T10:00:00+08:00").await.created();
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_full_slot_says_so_and_the_system_spreads_over_windows() {
    let t = TestApp::new().await;
    let mut windows = Vec::new();
    // A day and more before: the places of agents and of the desk are theirs.
    let at = "2026-11-25T09:00:00+08:00";
    for number in 0..6 {
        let resident = t.resident(&format!("r{number}")).await;
        let body = t.booking(at).await;
        let booked = t.post("/v1/appointments").by(&resident).json(body).send().await.created();
        windows.push(booked["window"]["name"].as_str().expect("a name").to_owned());
    }
    let many = windows.iter().filter(|name| *name == "民生事务窗口").count();
    assert_eq!((many, windows.len()), (4, 6), "four places here, two there");
    let late = t.resident("late").await;
    let body = t.booking(at).await;
    let reply = t.post("/v1/appointments").by(&late).json(body).send().await.problem(409, "slot_full");
    assert_eq!(reply["detail"], "2026-11-25 09:00 的名额已被约完");
    assert_eq!(free(&t, at).await, 0);
    // From a day before on the four that agents and desk did not take are everybody's.
    t.set_time("2026-11-24T09:00:00+08:00");
    assert_eq!(free(&t, at).await, 4);
    let (late, body) = (t.resident("late").await, t.booking(at).await);
    t.post("/v1/appointments").by(&late).json(body).send().await.created();
    assert_eq!(free(&t, at).await, 3);
    t.run_jobs().await;
}

#[actix_web::test]
async fn an_agent_books_for_a_resident_through_a_channel_of_its_own() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let granny = registered(&t, &cadre).await;
    let later = "2026-11-25T09:00:00+08:00";
    let before = free(&t, later).await;
    let mut body = t.booking(later).await;
    let reply = t.post("/v1/appointments").by(&cadre).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/resident_id:required"]);
    body["resident_id"] = granny["id"].clone();
    body["channel"] = json!("public");
    let reply = t.post("/v1/appointments").by(&cadre).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/channel:channel"]);
    body["channel"] = json!("proxy");
    let booked = t.post("/v1/appointments").by(&cadre).json(body.clone()).send().await.created();
    assert_eq!((&booked["channel"], &booked["booked_by"]), (&json!("proxy"), &json!(cadre.subject)));
    assert_eq!(booked["resident"], json!({"id": granny["id"], "name": "陈*婆", "phone": "139****0001"}));
    assert_eq!(free(&t, later).await, before, "the public places are untouched");
    // The centre is another unit's, but the booking is the agent's own.
    let path = format!("/v1/appointments/{}", booked["id"].as_str().expect("an id"));
    t.get(&path).by(&cadre).send().await.ok();
    t.get(&path).by(&t.staff("junxi").await).send().await.ok();
    t.get(&path).by(&t.resident("zhang").await).send().await.problem(404, "not_found");
    body["starts_at"] = json!("2026-12-08T09:00:00+08:00");
    t.post("/v1/appointments").by(&cadre).json(body).send().await.created();
    t.run_jobs().await;
}

#[actix_web::test]
async fn nobody_books_for_somebody_out_of_reach() {
    let t = TestApp::new().await;
    let (zhang, li, cadre) = (t.resident("zhang").await, t.resident("li").await, t.staff("cadre").await);
    let mut body = t.booking(NINE).await;
    body["resident_id"] = json!(li.subject);
    let reply = t.post("/v1/appointments").by(&zhang).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/resident_id:may_not_act_for"]);
    let reply = t.post("/v1/appointments").by(&cadre).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/resident_id:unknown_resident"]);
    body["resident_id"] = json!(zhang.subject);
    body["matter_id"] = json!(li.subject);
    let reply = t.post("/v1/appointments").by(&zhang).json(body).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/matter_id:unknown_matter"]);
}

#[actix_web::test]
async fn residents_cancel_two_hours_before_and_staff_until_it_begins() {
    let t = TestApp::new().await;
    let (zhang, junxi) = (t.resident("zhang").await, t.staff("junxi").await);
    let body = t.booking("2026-11-23T10:00:00+08:00").await;
    let booked = t.post("/v1/appointments").by(&zhang).json(body).send().await.created();
    let path = format!("/v1/appointments/{}/cancel", booked["id"].as_str().expect("an id"));
    t.set_time("2026-11-23T08:00:01+08:00");
    let reply = t.post(&path).by(&zhang).send().await.problem(409, "cancel_too_late");
    assert!(reply["detail"].as_str().expect("a detail").contains("2026-11-23 08:00"));
    t.post(&path).by(&t.resident("li").await).send().await.problem(404, "not_found");
    t.post(&path).by(&junxi).send().await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn lists_are_of_ones_own_and_filter_by_state_and_day() {
    let t = TestApp::new().await;
    let (zhang, li, junxi) = (t.resident("zhang").await, t.resident("li").await, t.staff("junxi").await);
    let mut ids = Vec::new();
    for (who, starts_at) in [(&zhang, "2026-11-24T09:00:00+08:00"), (&li, NINE), (&zhang, "2026-11-25T09:00:00+08:00")]
    {
        let body = t.booking(starts_at).await;
        let booked = t.post("/v1/appointments").by(who).json(body).send().await.created();
        ids.push(booked["id"].as_str().expect("an id").to_owned());
    }
    t.post(&format!("/v1/appointments/{}/cancel", ids[2])).by(&zhang).send().await.ok();
    let list = async |by: &Session, query: &str| -> Vec<String> {
        let page = t.get(&format!("/v1/appointments?{query}")).by(by).send().await.ok();
        page["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    assert_eq!(list(&zhang, "").await, [ids[0].clone(), ids[2].clone()]);
    assert_eq!(list(&zhang, &format!("resident_id={}", li.subject)).await, Vec::<String>::new());
    assert_eq!(list(&zhang, "state=booked").await, [ids[0].clone()]);
    assert_eq!(list(&junxi, "").await, [ids[1].clone(), ids[0].clone(), ids[2].clone()]);
    assert_eq!(list(&junxi, "from=2026-11-24&to=2026-11-24").await, [ids[0].clone()]);
    assert_eq!(list(&junxi, &format!("resident_id={}&state=cancelled", zhang.subject)).await, [ids[2].clone()]);
    assert_eq!(list(&t.staff("cadre").await, "").await, Vec::<String>::new());
    let first = t.get("/v1/appointments?limit=2").by(&junxi).send().await.ok();
    let cursor = first["next_cursor"].as_str().expect("more");
    assert_eq!(list(&junxi, &format!("limit=2&cursor={cursor}")).await, [ids[2].clone()]);
    t.run_jobs().await;
}

#[actix_web::test]
async fn another_countys_appointments_are_not_found() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    let body = t.booking(NINE).await;
    let booked = t.post("/v1/appointments").by(&zhang).json(body).send().await.created();
    let foreign = crate::access::foreign_admin(&t).await;
    let path = format!("/v1/appointments/{}", booked["id"].as_str().expect("an id"));
    t.get(&path).by(&foreign).send().await.problem(404, "not_found");
    t.post(&format!("{path}/cancel")).by(&foreign).send().await.problem(404, "not_found");
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_county_supervisor_sees_villages_and_the_desk_is_ones_own() {
    let t = TestApp::new().await;
    let (cadre, supervisor) = (t.staff("cadre").await, t.staff("supervisor").await);
    let granny = registered(&t, &cadre).await;
    t.database.run("UPDATE windows SET unit_id = (SELECT id FROM units WHERE name = '红星村委会' LIMIT 1) WHERE name = '民生事务窗口'");
    let mut body = t.booking(NINE).await;
    body["resident_id"] = granny["id"].clone();
    body["channel"] = json!("desk");
    let reply = t.post("/v1/appointments").by(&cadre).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/channel:not_your_desk"]);
    body["unit_id"] = json!(t.unit("红星村委会").await);
    let booked = t.post("/v1/appointments").by(&cadre).json(body).send().await.created();
    t.get(&format!("/v1/appointments/{}", booked["id"].as_str().expect("an id"))).by(&supervisor).send().await.ok();
    t.run_jobs().await;
}
