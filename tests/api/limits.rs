//! The fairness of booking online, and who is not bound by it.

use serde_json::{Value, json};

use crate::harness::{Reply, Session, TestApp};

async fn book(t: &TestApp, who: &Session, at: &str) -> Reply {
    let body = t.booking(at).await;
    t.post("/v1/appointments").by(who).json(body).send().await
}

/// Past bookings of somebody, to which they did not come.
fn no_shows(t: &TestApp, who: &Session, days: &[&str]) {
    for day in days {
        t.database.run(&format!(
            "INSERT INTO appointments (county_id, id, unit_id, window_id, matter_id, resident_id, channel, on_date, starts_at, ends_at, busy_from, busy_until, state, created_at, updated_at) \
             SELECT 1, gen_random_uuid(), w.unit_id, w.id, (SELECT id FROM matters LIMIT 1), '{}', 'public', '{day}', at, at + interval '30 minutes', at, at + interval '30 minutes', 'no_show', at, at \
             FROM (SELECT * FROM windows LIMIT 1) w, (SELECT '{day}T09:00:00+08:00'::timestamptz AS at) x",
            who.subject
        ));
    }
}

fn set(t: &TestApp, key: &str, value: i64) {
    t.database.run(&format!(
        "INSERT INTO settings (county_id, key, version, value, effective_from, set_at) VALUES (1, '{key}', 1, '{value}', '2026-01-01', '2026-01-01')"
    ));
    t.app.counties.forget();
}

#[actix_web::test]
async fn three_no_shows_pause_online_booking_and_agents_still_book() {
    let t = TestApp::new().await;
    let (zhang, li, junxi) = (t.resident("zhang").await, t.resident("li").await, t.staff("junxi").await);
    no_shows(&t, &zhang, &["2026-11-02", "2026-11-09"]);
    no_shows(&t, &li, &["2026-08-10", "2026-11-09", "2026-11-16"]);
    book(&t, &zhang, "2026-11-24T09:00:00+08:00").await.created();
    book(&t, &li, "2026-11-24T09:00:00+08:00").await.created();
    no_shows(&t, &zhang, &["2026-11-16"]);
    let reply = book(&t, &zhang, "2026-11-25T09:00:00+08:00").await.problem(409, "booking_paused");
    assert_eq!(reply["possible_at"], "2026-12-17T00:00:00+08:00");
    assert!(reply["detail"].as_str().expect("a detail").contains("2026-12-17"), "{}", reply.body);
    let hold = t.booking("2026-11-25T09:00:00+08:00").await;
    t.post("/v1/holds").by(&zhang).json(hold).send().await.problem(409, "booking_paused");
    // Somebody of the centre who registered them, for example, may.
    t.database.run(&format!(
        "UPDATE residents SET unit_id = (SELECT unit_id FROM windows WHERE name = '民生事务窗口') WHERE id = '{}'",
        zhang.subject
    ));
    let mut body = t.booking("2026-11-25T09:00:00+08:00").await;
    body["resident_id"] = json!(zhang.subject);
    let booked = t.post("/v1/appointments").by(&junxi).json(body).send().await.created();
    assert_eq!((&booked["booked_by"], &booked["channel"]), (&json!(junxi.subject), &json!("proxy")));
    // The day it ends.
    t.set_time("2026-12-17T00:00:00+08:00");
    let zhang = t.resident("zhang").await;
    book(&t, &zhang, "2026-12-18T09:00:00+08:00").await.created();
    t.run_jobs().await;
}

#[actix_web::test]
async fn the_county_says_how_many_no_shows_and_for_how_long() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    no_shows(&t, &zhang, &["2026-11-20"]);
    book(&t, &zhang, "2026-11-24T09:00:00+08:00").await.created();
    set(&t, "booking.no_shows", 1);
    set(&t, "booking.pause_days", 5);
    let reply = book(&t, &zhang, "2026-11-25T09:00:00+08:00").await.problem(409, "booking_paused");
    assert_eq!(reply["possible_at"], "2026-11-26T00:00:00+08:00");
    t.run_jobs().await;
}

#[actix_web::test]
async fn days_ahead_say_when_the_day_opens() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    let reply = book(&t, &zhang, "2026-12-01T10:00:00+08:00").await.problem(422, "booking_window");
    assert_eq!(reply["possible_at"], "2026-11-24T00:00:00+08:00");
    let reply = book(&t, &zhang, "2026-11-20T10:00:00+08:00").await.problem(422, "booking_window");
    assert_eq!(reply["possible_at"], Value::Null, "never again");
    t.set_time("2026-11-24T00:00:00+08:00");
    book(&t, &t.resident("zhang").await, "2026-12-01T10:00:00+08:00").await.created();
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_second_booking_of_matter_and_day_unless_the_county_lets() {
    let t = TestApp::with(|setup| setup.config.database_pool = 16).await;
    let zhang = t.resident("zhang").await;
    book(&t, &zhang, "2026-11-25T09:00:00+08:00").await.created();
    let reply = book(&t, &zhang, "2026-11-25T10:00:00+08:00").await.problem(409, "already_booked");
    assert_eq!(reply["possible_at"], "2026-11-26T00:00:00+08:00");
    set(&t, "booking.per_matter_and_day", 3);
    let times = ["09:30", "10:00", "10:30", "11:00", "14:30"];
    let starts: Vec<_> = times.iter().map(|time| format!("2026-11-25T{time}:00+08:00")).collect();
    let replies = futures_util::future::join_all(starts.iter().map(|at| book(&t, &zhang, at))).await;
    let booked = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(booked, 2, "with the first there are three");
    assert!(replies.iter().all(|reply| reply.status == 201 || reply.body["code"] == "already_booked"));
    t.run_jobs().await;
}
