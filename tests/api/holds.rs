//! Places held while a form is filled in.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Reply, Session, TestApp};

const NINE: &str = "2026-11-25T09:00:00+08:00";
const TEN: &str = "2026-11-25T10:00:00+08:00";

/// One place in all, in one window.
async fn one_place() -> TestApp {
    let t = TestApp::with(|setup| setup.config.database_pool = 16).await;
    t.database.run(
        "UPDATE opening_rules SET capacity_public = 0, capacity_proxy = 0, capacity_desk = 0; \
         UPDATE opening_rules SET capacity_public = 1 WHERE window_id = (SELECT id FROM windows WHERE name = '民生事务窗口')",
    );
    t
}

async fn hold(t: &TestApp, who: &Session, at: &str) -> Reply {
    let body = t.booking(at).await;
    t.post("/v1/holds").by(who).json(body).send().await
}

async fn book(t: &TestApp, who: &Session, at: &str) -> Reply {
    let body = t.booking(at).await;
    t.post("/v1/appointments").by(who).json(body).send().await
}

fn path(appointment: &Value, step: &str) -> String {
    format!("/v1/appointments/{}/{step}", appointment["id"].as_str().expect("an id"))
}

async fn free(t: &TestApp) -> i64 {
    let (unit, matter) = (t.unit("均溪镇").await, t.matter().await);
    let slots = format!("/v1/slots?county=350425&unit_id={unit}&matter_id={matter}&date=2026-11-25");
    let slots = t.get(&slots).send().await.ok();
    let nine = slots["items"].as_array().expect("items").iter().find(|slot| slot["starts_at"] == NINE).cloned();
    nine.expect("offered")["free"].as_i64().expect("a number")
}

#[actix_web::test]
async fn a_hold_keeps_the_place_and_becomes_a_booking() {
    let t = one_place().await;
    let (zhang, li) = (t.resident("zhang").await, t.resident("li").await);
    let held = hold(&t, &zhang, NINE).await.created();
    assert_eq!((&held["state"], &held["held_until"]), (&json!("held"), &json!("2026-11-23T08:05:00+08:00")));
    assert_eq!(free(&t).await, 0);
    book(&t, &li, NINE).await.problem(409, "slot_full");
    t.post(&path(&held, "book")).by(&li).json(json!({})).send().await.problem(404, "not_found");
    let reply = t.post(&path(&held, "book")).by(&zhang).key("k").json(json!({})).send().await;
    let booked = reply.ok();
    assert_eq!(
        (&booked["state"], &booked["held_until"], &booked["version"]),
        (&json!("booked"), &Value::Null, &json!(2))
    );
    let again = t.post(&path(&held, "book")).by(&zhang).key("k").json(json!({})).send().await.is(200);
    assert_eq!(again.header("idempotency-replayed"), "true");
    t.post(&path(&held, "book")).by(&zhang).json(json!({})).send().await.problem(409, "not_booked");
    t.run_jobs().await;
    let inbox = t.get("/v1/messages").by(&zhang).send().await.ok();
    assert_eq!(inbox["items"].as_array().expect("items").len(), 1, "told when booked, not when held");
}

#[actix_web::test]
async fn a_hold_that_runs_out_gives_its_place_back_though_nobody_tidies_up() {
    let t = one_place().await;
    let (zhang, li) = (t.resident("zhang").await, t.resident("li").await);
    let held = hold(&t, &zhang, NINE).await.created();
    t.set_time("2026-11-23T08:04:59+08:00");
    assert_eq!(free(&t).await, 0);
    t.set_time("2026-11-23T08:05:00+08:00");
    assert_eq!(free(&t).await, 1);
    book(&t, &li, NINE).await.created();
    t.post(&path(&held, "book")).by(&zhang).json(json!({})).send().await.problem(409, "hold_expired");
    // And the one who let it run out is not in their own way.
    book(&t, &zhang, TEN).await.created();
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_resident_holds_one_place_at_a_time() {
    let t = one_place().await;
    let (zhang, li) = (t.resident("zhang").await, t.resident("li").await);
    let first = hold(&t, &zhang, NINE).await.created();
    hold(&t, &zhang, NINE).await.created();
    hold(&t, &zhang, TEN).await.created();
    book(&t, &li, NINE).await.created();
    t.post(&path(&first, "book")).by(&zhang).json(json!({})).send().await.problem(409, "hold_expired");
    // Booking without naming the hold takes the held place too.
    book(&t, &zhang, TEN).await.created();
    assert_eq!(t.database.count("SELECT count(*) AS n FROM appointments WHERE state = 'held'"), 0);
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_hold_is_given_up_by_cancelling_it() {
    let t = one_place().await;
    let zhang = t.resident("zhang").await;
    let held = hold(&t, &zhang, NINE).await.created();
    t.post(&path(&held, "cancel")).by(&zhang).json(json!({})).send().await.ok();
    assert_eq!(free(&t).await, 1);
    t.post(&path(&held, "cancel")).by(&zhang).json(json!({})).send().await.problem(409, "already_cancelled");
    t.run_jobs().await;
    assert_eq!(t.database.count("SELECT count(*) AS n FROM messages"), 0, "nothing was booked, nothing is told");
}

#[actix_web::test]
async fn holding_and_booking_at_once_never_exceed_the_place() {
    let t = one_place().await;
    let residents = join_all((0..8).map(|number| {
        let t = &t;
        async move { t.resident(&format!("r{number}")).await }
    }))
    .await;
    for round in 0..3 {
        let tries = join_all(residents.iter().enumerate().map(|(number, who)| {
            let t = &t;
            async move { if number % 2 == 0 { hold(t, who, NINE).await } else { book(t, who, NINE).await } }
        }))
        .await;
        let won: Vec<_> = tries.iter().filter(|reply| reply.status == 201).collect();
        assert_eq!(won.len(), 1, "round {round}");
        assert!(tries.iter().all(|reply| reply.status == 201 || reply.body["code"] == "slot_full"));
        let id = won[0]["id"].as_str().expect("an id");
        t.database.run(&format!(
            "UPDATE appointments SET state = 'lapsed', held_until = coalesce(held_until, now()) WHERE id = '{id}'"
        ));
    }
    t.run_jobs().await;
}
