//! The crowd before a full slot: refused at once, never for what is over, and never told less than in the ordinary way.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Call, Session, TestApp};

const NINE: &str = "2026-11-25T09:00:00+08:00";

/// One place, taken by Zhang, for which Li has asked in vain: from now on there is a crowd.
async fn full() -> (TestApp, Session, Session, Value) {
    let t = TestApp::with(|setup| setup.config.database_pool = 16).await;
    t.database.run(
        "UPDATE opening_rules SET capacity_public = 0, capacity_proxy = 0, capacity_desk = 0; \
         UPDATE opening_rules SET capacity_public = 1 WHERE window_id = (SELECT id FROM windows WHERE name = '民生事务窗口')",
    );
    let (zhang, li) = (t.resident("zhang").await, t.resident("li").await);
    let booked = ask(&t, &zhang).await.key("first").send().await.created();
    ask(&t, &li).await.send().await.problem(409, "slot_full");
    (t, zhang, li, booked)
}

async fn ask<'a>(t: &'a TestApp, who: &Session) -> Call<'a> {
    t.post("/v1/appointments").by(who).json(t.booking(NINE).await)
}

/// How often a crowd was looked at.
async fn looked_at(t: &TestApp) -> u64 {
    let metrics = t.get("/metrics").send().await.is(200);
    let text = String::from_utf8_lossy(&metrics.bytes).into_owned();
    let line = text.lines().find(|line| line.starts_with("lianxin_database_seconds_count{work=\"look_at_crowd\"}"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[actix_web::test]
async fn the_crowd_is_refused_without_a_transaction_and_gets_the_place_that_comes_back() {
    let (t, zhang, li, booked) = full().await;
    let before = looked_at(&t).await;
    let refusals = join_all((0..20).map(async |_| ask(&t, &li).await.key("same").send().await)).await;
    let mut full = 0;
    for reply in refusals {
        match reply.body["code"].as_str() {
            Some("slot_full") => full += 1,
            // Of those with one key at once.
            code => assert_eq!(code, Some("idempotency_in_progress"), "{}", reply.body),
        }
    }
    assert!(full > 0);
    assert!(looked_at(&t).await > before);
    let hold = t.post("/v1/holds").by(&li).json(t.booking(NINE).await);
    hold.send().await.problem(409, "slot_full");
    let path = format!("/v1/appointments/{}/cancel", booked["id"].as_str().expect("an id"));
    t.post(&path).by(&zhang).json(json!({})).send().await.ok();
    // The refused key is as good as new.
    ask(&t, &li).await.key("same").send().await.created();
    ask(&t, &zhang).await.send().await.problem(409, "slot_full");
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_has_the_place_is_told_so() {
    let (t, zhang, _, booked) = full().await;
    let again = ask(&t, &zhang).await.key("first").send().await.is(201);
    assert_eq!((again.header("idempotency-replayed"), &again.body["id"]), ("true", &booked["id"]));
    ask(&t, &zhang).await.send().await.problem(409, "already_booked");
    t.post("/v1/appointments")
        .by(&zhang)
        .key("first")
        .json(t.booking("2026-11-25T10:00:00+08:00").await)
        .send()
        .await
        .problem(422, "idempotency_key_reused");
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_is_wrong_with_oneself_comes_first() {
    let (t, _, li, _) = full().await;
    t.database.run("UPDATE matters SET identity_level = 'officer'");
    ask(&t, &li).await.send().await.problem(403, "identity_needed");
    t.database.run("UPDATE matters SET identity_level = 'none'");
    ask(&t, &li).await.send().await.problem(409, "slot_full");
    t.database.run(&format!(
        "INSERT INTO appointments (county_id, id, unit_id, window_id, matter_id, resident_id, channel, on_date, starts_at, ends_at, busy_from, busy_until, state, created_at, updated_at) \
         SELECT a.county_id, gen_random_uuid(), a.unit_id, a.window_id, a.matter_id, '{}', 'public', day::date, day, day + interval '30 minutes', day, day + interval '30 minutes', 'no_show', day, day \
         FROM appointments a, (VALUES (timestamptz '2026-11-02 09:00+08'), ('2026-11-09 09:00+08'), ('2026-11-16 09:00+08')) d (day)",
        li.subject
    ));
    ask(&t, &li).await.send().await.problem(409, "booking_paused");
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_is_no_longer_offered_is_not_called_full() {
    let (t, _, li, _) = full().await;
    t.database.run("UPDATE opening_rules SET valid_until = '2026-11-24'");
    ask(&t, &li).await.send().await.problem(422, "slot_not_offered");
    t.run_jobs().await;
}
