//! Rescheduling: one atomic move, with history.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Reply, Session, TestApp};

const NINE: &str = "2026-11-25T09:00:00+08:00";
const TEN: &str = "2026-11-25T10:00:00+08:00";

async fn one_place() -> TestApp {
    let t = TestApp::with(|setup| {
        setup.config.database_pool = 16;
        setup.config.writes_per_minute = 10_000;
    })
    .await;
    t.database.run(
        "UPDATE opening_rules SET capacity_public = 0, capacity_proxy = 0, capacity_desk = 0; \
         UPDATE opening_rules SET capacity_public = 1 WHERE window_id = (SELECT id FROM windows WHERE name = '民生事务窗口')",
    );
    t
}

async fn book(t: &TestApp, who: &Session, at: &str) -> Value {
    let body = t.booking(at).await;
    t.post("/v1/appointments").by(who).json(body).send().await.created()
}

async fn reschedule(t: &TestApp, who: &Session, appointment: &Value, body: Value) -> Reply {
    let id = appointment["id"].as_str().expect("an id");
    t.post(&format!("/v1/appointments/{id}/reschedule")).by(who).json(body).send().await
}

#[actix_web::test]
async fn the_appointment_stays_the_same_and_the_old_place_is_free_at_once() {
    let t = one_place().await;
    let (zhang, li) = (t.resident("zhang").await, t.resident("li").await);
    let booked = book(&t, &zhang, NINE).await;
    t.pass(chrono::TimeDelta::minutes(1));
    let moved = reschedule(&t, &zhang, &booked, json!({"starts_at": TEN})).await.ok();
    assert_eq!((&moved["id"], &moved["starts_at"], &moved["version"]), (&booked["id"], &json!(TEN), &json!(2)));
    assert_eq!(moved["ends_at"], "2026-11-25T10:30:00+08:00");
    book(&t, &li, NINE).await;
    let path = format!("/v1/appointments/{}", booked["id"].as_str().expect("an id"));
    assert_eq!(t.get(&path).by(&zhang).send().await.ok(), moved);
    let history = t.get(&format!("{path}/history")).by(&zhang).send().await.ok();
    let event = &history["items"][0];
    assert_eq!((&event["from_starts_at"], &event["to_starts_at"]), (&json!(NINE), &json!(TEN)));
    assert_eq!((&event["actor_id"], &event["at"]), (&json!(zhang.subject), &json!("2026-11-23T08:01:00+08:00")));
    t.get(&format!("{path}/history")).by(&li).send().await.problem(404, "not_found");
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_does_not_fit_changes_nothing() {
    let t = one_place().await;
    let (zhang, li) = (t.resident("zhang").await, t.resident("li").await);
    let booked = book(&t, &zhang, NINE).await;
    book(&t, &li, TEN).await;
    reschedule(&t, &zhang, &booked, json!({"starts_at": TEN})).await.problem(409, "slot_full");
    let cases = [
        ("2026-11-25T09:10:00+08:00", "slot_not_offered"),
        ("2026-11-28T09:00:00+08:00", "slot_not_offered"),
        ("2026-11-20T09:00:00+08:00", "booking_window"),
        ("2026-12-20T09:00:00+08:00", "booking_window"),
    ];
    for (starts_at, code) in cases {
        reschedule(&t, &zhang, &booked, json!({"starts_at": starts_at})).await.problem(422, code);
    }
    let elsewhere = json!({"starts_at": TEN, "unit_id": t.matter().await});
    let reply = reschedule(&t, &zhang, &booked, elsewhere).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/unit_id:unknown_unit"]);
    reschedule(&t, &li, &booked, json!({"starts_at": TEN})).await.problem(404, "not_found");
    let path = format!("/v1/appointments/{}", booked["id"].as_str().expect("an id"));
    assert_eq!(t.get(&path).by(&zhang).send().await.ok(), booked);
    t.post(&format!("{path}/cancel")).by(&zhang).json(json!({})).send().await.ok();
    reschedule(&t, &zhang, &booked, json!({"starts_at": "2026-11-25T11:00:00+08:00"})).await.problem(409, "not_booked");
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_day_on_which_the_matter_is_booked_already() {
    let t = one_place().await;
    let zhang = t.resident("zhang").await;
    let booked = book(&t, &zhang, NINE).await;
    let other = book(&t, &zhang, "2026-11-26T09:00:00+08:00").await;
    let reply = reschedule(&t, &zhang, &other, json!({"starts_at": TEN})).await.problem(409, "already_booked");
    assert_eq!(reply["possible_at"], "2026-11-26T00:00:00+08:00");
    // Its own day is no obstacle to itself, and its own time neither.
    reschedule(&t, &zhang, &booked, json!({"starts_at": TEN})).await.ok();
    reschedule(&t, &zhang, &booked, json!({"starts_at": TEN})).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn residents_move_in_time_and_staff_until_it_begins() {
    let t = TestApp::new().await;
    let (zhang, junxi) = (t.resident("zhang").await, t.staff("junxi").await);
    let booked = book(&t, &zhang, "2026-11-23T10:00:00+08:00").await;
    t.set_time("2026-11-23T08:00:01+08:00");
    let to = json!({"starts_at": TEN});
    reschedule(&t, &zhang, &booked, to.clone()).await.problem(409, "cancel_too_late");
    let moved = reschedule(&t, &junxi, &booked, to).await.ok();
    assert_eq!((&moved["channel"], &moved["resident"]["id"]), (&json!("proxy"), &json!(zhang.subject)));
    let entry = t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'reschedule'");
    assert_eq!(entry, 1, "who moves somebody else's appointment is on record");
    t.run_jobs().await;
}

#[actix_web::test]
async fn two_who_want_each_others_place_are_both_told_that_it_is_taken() {
    let t = one_place().await;
    let (zhang, li) = (t.resident("zhang").await, t.resident("li").await);
    let (mine, theirs) = (book(&t, &zhang, NINE).await, book(&t, &li, TEN).await);
    for _ in 0..5 {
        let replies = join_all([
            reschedule(&t, &zhang, &mine, json!({"starts_at": TEN})),
            reschedule(&t, &li, &theirs, json!({"starts_at": NINE})),
        ])
        .await;
        for reply in replies {
            reply.problem(409, "slot_full");
        }
    }
    t.run_jobs().await;
}

#[actix_web::test]
async fn many_who_move_to_one_place_at_once() {
    let t = one_place().await;
    let times = ["09:00", "09:30", "10:00", "10:30", "11:00", "14:30"];
    let mut booked = Vec::new();
    for (number, time) in times.iter().enumerate() {
        let who = t.resident(&format!("r{number}")).await;
        booked.push((book(&t, &who, &format!("2026-11-25T{time}:00+08:00")).await, who));
    }
    let to = "2026-11-26T09:00:00+08:00";
    let moves = booked.iter().map(|(booked, who)| reschedule(&t, who, booked, json!({"starts_at": to})));
    let replies = join_all(moves).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    assert!(replies.iter().all(|reply| reply.status == 200 || reply.body["code"] == "slot_full"));
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM appointments WHERE state = 'booked'"),
        6,
        "nobody lost theirs"
    );
    t.run_jobs().await;
}
