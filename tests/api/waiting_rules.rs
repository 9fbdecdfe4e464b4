//! The waiting list: who may join, see and leave, for whom, and what else there is to know of it.

use chrono::TimeDelta;
use lianxin::appointments;
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    harness::{Session, TestApp},
    merging::id,
    messages::registered,
    waiting::{NINE, cancel, entry, fill, join, slot, wish},
};

const TEN: &str = "2026-11-25T10:00:00+08:00";

#[actix_web::test]
async fn everything_that_speaks_against_waiting_is_said() {
    let t = TestApp::new().await;
    let li = t.resident("li").await;
    let ask = async |by: &Session, earliest: &str, latest: &str| {
        t.post("/v1/waiting").by(by).json(wish(&t, earliest, latest).await).send().await
    };
    let reply = ask(&li, NINE, NINE).await.problem(409, "place_free");
    assert!(reply["detail"].as_str().expect("a detail").contains("2026-11-25 09:00"));
    let early = fill(&t, NINE).await;
    ask(&li, NINE, TEN).await.problem(409, "place_free");
    ask(&li, "2026-11-25T12:00:00+08:00", "2026-11-25T13:00:00+08:00").await.problem(422, "slot_not_offered");
    ask(&li, "2026-11-25T09:10:00+08:00", "2026-11-25T09:20:00+08:00").await.problem(422, "slot_not_offered");
    ask(&li, "2026-11-28T09:00:00+08:00", "2026-11-28T10:00:00+08:00").await.problem(422, "slot_not_offered");
    let reply = ask(&li, "2026-12-02T09:00:00+08:00", "2026-12-02T09:00:00+08:00").await.problem(422, "booking_window");
    assert_eq!(reply["possible_at"], "2026-11-25T00:00:00+08:00");
    ask(&li, "2026-11-20T09:00:00+08:00", "2026-11-20T09:00:00+08:00").await.problem(422, "booking_window");
    for latest in ["2026-11-25T08:30:00+08:00", "2026-11-26T09:00:00+08:00"] {
        assert_eq!(ask(&li, NINE, latest).await.problem(422, "invalid").faults(), ["/latest:range"]);
    }
    ask(&early[0].0, NINE, NINE).await.problem(409, "already_booked");
    ask(&li, NINE, "2026-11-25T09:20:00+08:00").await.created();
    ask(&li, NINE, NINE).await.problem(409, "already_waiting");
    let mut body = wish(&t, NINE, NINE).await;
    body["channel"] = json!("desk");
    let reply = t.post("/v1/waiting").by(&li).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/channel:channel"]);
    body["channel"] = Value::Null;
    body["place"] = json!("home");
    let wang = t.resident("wang").await;
    let reply = t.post("/v1/waiting").by(&wang).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/place:place_not_served"]);
    body["place"] = json!("centre");
    body["address"] = json!("红星村 1 号");
    let reply = t.post("/v1/waiting").by(&wang).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/address:not_at_home"]);
    for (field, fault) in [("unit_id", "/unit_id:unknown_unit"), ("matter_id", "/matter_id:unknown_matter")] {
        let mut body = wish(&t, NINE, NINE).await;
        body[field] = json!(uuid::Uuid::now_v7());
        let reply = t.post("/v1/waiting").by(&wang).json(body).send().await.problem(422, "invalid");
        assert_eq!(reply.faults(), [fault]);
    }
    // Three that were not kept.
    let paused = wang.subject;
    t.database.run(&format!(
        "INSERT INTO appointments (county_id, id, unit_id, window_id, matter_id, resident_id, channel, on_date, starts_at, ends_at, state, created_at, updated_at, busy_from, busy_until) \
         SELECT county_id, gen_random_uuid(), unit_id, window_id, matter_id, '{paused}', 'public', on_date - 7 * n, starts_at - n * interval '7 days', \
           ends_at - n * interval '7 days', 'no_show', created_at, updated_at, busy_from - n * interval '7 days', busy_until - n * interval '7 days' \
         FROM appointments, generate_series(1, 3) n WHERE id = '{}'",
        early[0].1
    ));
    let reply = ask(&wang, NINE, NINE).await.problem(409, "booking_paused");
    assert!(reply["possible_at"].is_string());
    t.database.run("UPDATE matters SET identity_level = 'officer'");
    ask(&t.resident("zhao").await, NINE, NINE).await.problem(403, "identity_needed");
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_begins_in_minutes_cannot_be_waited_for() {
    let t = TestApp::new().await;
    t.set_time("2026-11-25T08:49:00+08:00");
    let agents = [t.resident("a").await, t.resident("b").await, t.resident("c").await, t.resident("d").await];
    for by in &agents {
        // On the day itself every place is everybody's.
        t.post("/v1/appointments").by(by).json(slot(&t, NINE).await).send().await.created();
    }
    let li = t.resident("li").await;
    let first = join(&t, &li, NINE, NINE).await;
    t.set_time("2026-11-25T08:50:00+08:00");
    let body = wish(&t, NINE, NINE).await;
    t.post("/v1/waiting").by(&t.resident("wang").await).json(body).send().await.problem(422, "slot_not_offered");
    t.tick().await;
    assert_eq!(entry(&t, &li, &first).await["state"], "lapsed");
}

#[actix_web::test]
async fn agents_and_relatives_wait_for_others_in_channels_of_their_own() {
    let t = TestApp::new().await;
    let (cadre, junxi) = (t.staff("cadre").await, t.staff("junxi").await);
    let granny = registered(&t, "陈阿婆", Some("13950900001")).await;
    fill(&t, NINE).await;
    let mut body = wish(&t, NINE, NINE).await;
    let reply = t.post("/v1/waiting").by(&cadre).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/resident_id:required"]);
    body["resident_id"] = json!(granny);
    // The agents' place is free: it is not the public's line that it belongs to.
    t.post("/v1/waiting").by(&cadre).json(body.clone()).send().await.problem(409, "place_free");
    let other = registered(&t, "林阿公", None).await;
    let mut booking = slot(&t, NINE).await;
    booking["resident_id"] = json!(other);
    let taken = t.post("/v1/appointments").by(&cadre).json(booking).send().await.created();
    let first = t.post("/v1/waiting").by(&cadre).json(body.clone()).send().await.created();
    assert_eq!((&first["channel"], &first["booked_by"]), (&json!("proxy"), &json!(cadre.subject)));
    assert_eq!(first["resident"]["name"], "陈*婆");
    body["channel"] = json!("desk");
    let reply = t.post("/v1/waiting").by(&cadre).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/channel:not_your_desk"]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'join'"), 1);
    // Her own line: what the public gives back is the public's.
    let li = t.resident("li").await;
    let mine = join(&t, &li, NINE, NINE).await;
    cancel(&t, &cadre, &id(&taken)).await;
    t.run_jobs().await;
    let (offered, waiting) = (entry(&t, &cadre, &first).await, entry(&t, &li, &mine).await);
    assert_eq!((&offered["state"], &waiting["state"]), (&json!("offered"), &json!("waiting")));
    let held = id(&json!({"id": offered["appointment_id"]}));
    let kept = t.get(&format!("/v1/appointments/{held}")).by(&cadre).send().await.ok();
    assert_eq!((&kept["channel"], &kept["booked_by"]), (&json!("proxy"), &json!(cadre.subject)));
    // Who may look, and who may not.
    let path = format!("/v1/waiting/{}", id(&first));
    for stranger in [&li, &junxi, &foreign_admin(&t).await] {
        t.get(&path).by(stranger).send().await.problem(404, "not_found");
        t.post(&format!("{path}/leave")).by(stranger).json(json!({})).send().await.problem(404, "not_found");
    }
    let list = t.get(&format!("/v1/waiting?resident_id={granny}&count=true")).by(&cadre).send().await.ok();
    assert_eq!((&list["total"], &list["items"][0]["id"]), (&json!(1), &first["id"]));
    let left = t.post(&format!("{path}/leave")).by(&cadre).json(json!({})).send().await.ok();
    assert_eq!(left["state"], "left");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'leave'"), 1);
    // A day before, the places of agents that nobody took are everybody's: the line moves without anybody moving.
    t.set_time("2026-11-24T09:00:00+08:00");
    t.tick().await;
    assert_eq!(entry(&t, &t.resident("li").await, &mine).await["state"], "offered");
}

#[actix_web::test]
async fn lists_are_narrowed_and_continued() {
    let t = TestApp::new().await;
    fill(&t, NINE).await;
    fill(&t, TEN).await;
    let unit = t.unit("石牌镇").await;
    let (li, wang) = (t.resident("li").await, t.resident("wang").await);
    let first = join(&t, &li, NINE, NINE).await;
    let second = join(&t, &wang, TEN, TEN).await;
    assert_eq!((&first["position"], &second["position"]), (&json!(1), &json!(1)), "not in each other's way");
    let admin = t.staff("admin").await;
    let list = async |query: &str| t.get(&format!("/v1/waiting?unit_id={unit}{query}")).by(&admin).send().await.ok();
    let page = list("&limit=1&count=true").await;
    assert_eq!((&page["total"], &page["items"][0]["id"]), (&json!(2), &first["id"]));
    let next = list(&format!("&limit=1&cursor={}", page["next_cursor"].as_str().expect("more"))).await;
    assert_eq!((&next["items"][0]["id"], &next["next_cursor"]), (&second["id"], &Value::Null));
    assert_eq!(list("&state=offered").await["items"], json!([]));
    assert_eq!(list("&state=waiting&on_date=2026-11-26").await["items"], json!([]));
    assert_eq!(list("&on_date=2026-11-25").await["items"].as_array().map(Vec::len), Some(2));
    let own = t.get("/v1/waiting").by(&li).send().await.ok();
    assert_eq!((own["items"].as_array().map(Vec::len), &own["items"][0]["id"]), (Some(1), &first["id"]));
    let theirs = t.get(&format!("/v1/waiting?resident_id={}", wang.subject)).by(&li).send().await.ok();
    assert_eq!(theirs["items"], json!([]));
    let read = t.get(&format!("/v1/waiting/{}", id(&first))).by(&li).send().await.is(200);
    assert_eq!((read.header("etag"), &read.body), ("\"1\"", &first));
    let replay = || t.post(&format!("/v1/waiting/{}/leave", id(&first))).by(&li).key("once").json(json!({})).send();
    let left = replay().await.ok();
    assert_eq!(replay().await.ok(), left, "told the same twice");
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_books_otherwise_waits_no_longer() {
    let t = TestApp::new().await;
    fill(&t, NINE).await;
    let li = t.resident("li").await;
    let first = join(&t, &li, NINE, NINE).await;
    let booked = t.post("/v1/appointments").by(&li).json(slot(&t, TEN).await).send().await.created();
    t.tick().await;
    let settled = entry(&t, &li, &first).await;
    assert_eq!((&settled["state"], &settled["appointment_id"]), (&json!("booked"), &booked["id"]));
}

#[actix_web::test]
async fn entries_follow_a_merge_and_are_exported_and_erased() {
    use lianxin::rooms::{Merge, Person};
    let t = TestApp::new().await;
    fill(&t, NINE).await;
    let (from, into) = (t.resident("from").await, t.resident("into").await);
    let older = join(&t, &from, NINE, NINE).await;
    let younger = join(&t, &into, NINE, NINE).await;
    let room = &appointments::ROOM;
    let merge = room.merge.expect("merges");
    let what = Merge { county: 1, from: from.subject, into: into.subject, now: t.app.clock.now() };
    t.app.db.write("merge", move |conn| merge(conn, &what)).await.expect("merged");
    let (older, younger) = (entry(&t, &into, &older).await, entry(&t, &into, &younger).await);
    assert_eq!((&older["state"], &younger["state"]), (&json!("waiting"), &json!("left")));
    assert_eq!(older["resident"]["id"], json!(into.subject));
    let gone = "SELECT count(*) AS n FROM changes WHERE entity = 'waiting_entry' AND gone";
    assert_eq!(t.database.count(gone), 1);
    let person = Person { county: 1, id: into.subject, now: t.app.clock.now() };
    let (export, erase, open_for) = (room.export.expect("exports"), room.erase.expect("erases"), room.open_for);
    let open = open_for.expect("open");
    let open = t.app.db.read("open", move |conn| open(conn, person)).await.expect("open");
    assert_eq!(open.iter().filter(|entry| entry.entity == "waiting_entry").count(), 1);
    let app = t.app.clone();
    let data = t.app.db.read("export", move |conn| export(conn, &app, person)).await.expect("exported");
    assert_eq!(data["waiting"].as_array().map(Vec::len), Some(2));
    let app = t.app.clone();
    t.app.db.write("erase", move |conn| erase(conn, &app, person)).await.expect("erased");
    assert_eq!(entry(&t, &into, &older).await["state"], "left");
    t.pass(TimeDelta::minutes(1));
    t.tick().await;
}

#[actix_web::test]
async fn a_visit_at_home_is_waited_for_with_its_address() {
    let t = TestApp::new().await;
    t.database.run("UPDATE matters SET places = '{centre,home}'; UPDATE opening_rules SET place = 'home'");
    let book = async |who: &str| {
        let mut body = slot(&t, NINE).await;
        (body["place"], body["address"]) = (json!("home"), json!("别处"));
        let by = t.resident(who).await;
        let booked = t.post("/v1/appointments").by(&by).json(body).send().await.created();
        (by, id(&booked))
    };
    let early = [book("a").await, book("b").await];
    let li = t.resident("li").await;
    let mut body = wish(&t, NINE, NINE).await;
    body["place"] = json!("home");
    let reply = t.post("/v1/waiting").by(&li).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/address:required"]);
    body["address"] = json!("红星村 8 号");
    let first = t.post("/v1/waiting").by(&li).json(body).send().await.created();
    assert_eq!(first["address"], "红星村 8 号");
    assert_eq!(entry(&t, &t.staff("admin").await, &first).await["address"], Value::Null);
    cancel(&t, &early[0].0, &early[0].1).await;
    t.run_jobs().await;
    let offered = entry(&t, &li, &first).await;
    let path = format!("/v1/appointments/{}", offered["appointment_id"].as_str().expect("offered"));
    assert_eq!(t.get(&path).by(&li).send().await.ok()["address"], "红星村 8 号");
    let booked = t.post(&format!("{path}/book")).by(&li).json(json!({})).send().await.ok();
    assert_eq!((&booked["place"], &booked["address"]), (&json!("home"), &json!("红星村 8 号")));
    assert!(!t.database.everything().contains("红星村 8 号"), "sealed");
    t.run_jobs().await;
}
