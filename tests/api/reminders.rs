//! Reminders the day before and the hour before.

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    harness::{Session, TestApp},
    merging::id,
    messages::{texts, with_wechat},
};

const NINE: &str = "2026-11-25T09:00:00+08:00";

async fn booked(t: &TestApp, by: &Session, starts_at: &str) -> String {
    let body = t.booking(starts_at).await;
    let booked = id(&t.post("/v1/appointments").by(by).json(body).send().await.created());
    t.run_jobs().await;
    booked
}

/// How many reminders of each kind there are, the day before and the hour before.
fn reminders(t: &TestApp) -> (i64, i64) {
    let count = |kind: &str| t.database.count(&format!("SELECT count(*) AS n FROM messages WHERE kind = '{kind}'"));
    (count("appointment_tomorrow"), count("appointment_soon"))
}

#[actix_web::test]
async fn a_day_and_an_hour_before_once_each() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    let appointment = booked(&t, &zhang, NINE).await;
    let version = t.database.count("SELECT max(version) AS n FROM appointments");
    for (time, expected) in [
        ("2026-11-24T08:59:59+08:00", (0, 0)),
        ("2026-11-24T09:00:00+08:00", (1, 0)),
        ("2026-11-24T09:00:15+08:00", (1, 0)),
        ("2026-11-25T07:59:59+08:00", (1, 0)),
        ("2026-11-25T08:00:00+08:00", (1, 1)),
        ("2026-11-25T08:00:15+08:00", (1, 1)),
        ("2026-11-25T09:00:00+08:00", (1, 1)),
    ] {
        t.set_time(time);
        t.tick().await;
        assert_eq!(reminders(&t), expected, "{time}");
    }
    let sent = texts(&t);
    assert_eq!(sent.len(), 3);
    assert!(sent[1]["text"].as_str().expect("a text").contains("2026-11-25 09:00"), "{sent:?}");
    assert_eq!(t.database.count("SELECT max(version) AS n FROM appointments"), version, "no screen is stale for it");
    assert!(!appointment.is_empty());
}

#[actix_web::test]
async fn many_workers_remind_each_person_once() {
    let t = TestApp::with(|setup| setup.config.writes_per_minute = 100_000).await;
    for number in 0..6 {
        let by = t.resident(&format!("resident{number}")).await;
        booked(&t, &by, NINE).await;
    }
    t.set_time("2026-11-24T10:00:00+08:00");
    let app = t.app.clone().into_inner();
    for done in join_all((0..4).map(|_| lianxin::jobs::tick(&app))).await {
        done.expect("PostgreSQL is there");
    }
    t.run_jobs().await;
    assert_eq!(reminders(&t), (6, 0));
}

#[actix_web::test]
async fn whoever_has_just_booked_or_moved_needs_no_reminder_of_it() {
    let t = TestApp::new().await;
    t.set_time("2026-11-24T09:30:00+08:00");
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    booked(&t, &zhang, NINE).await;
    t.tick().await;
    assert_eq!(reminders(&t), (0, 0), "booked within the day");
    t.set_time("2026-11-25T08:00:00+08:00");
    t.tick().await;
    assert_eq!(reminders(&t), (0, 1), "the hour is another matter");
    let li = t.resident("li").await;
    booked(&t, &li, "2026-11-25T08:30:00+08:00").await;
    t.tick().await;
    t.set_time("2026-11-25T08:29:00+08:00");
    t.tick().await;
    assert_eq!(reminders(&t), (0, 1), "booked within the hour");
}

#[actix_web::test]
async fn after_moving_it_is_the_new_time_that_is_reminded_of() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    let appointment = booked(&t, &zhang, NINE).await;
    t.set_time("2026-11-24T10:00:00+08:00");
    t.tick().await;
    assert_eq!(reminders(&t), (1, 0));
    let zhang = t.resident("zhang").await;
    let body = json!({"starts_at": "2026-11-26T10:00:00+08:00"});
    t.post(&format!("/v1/appointments/{appointment}/reschedule")).by(&zhang).json(body).send().await.ok();
    t.tick().await;
    t.set_time("2026-11-25T08:30:00+08:00");
    t.tick().await;
    assert_eq!(reminders(&t), (1, 0), "nothing of the old time");
    t.set_time("2026-11-25T10:00:00+08:00");
    t.tick().await;
    assert_eq!(reminders(&t), (2, 0));
    t.set_time("2026-11-26T09:00:00+08:00");
    t.tick().await;
    assert_eq!(reminders(&t), (2, 1));
    // Moved within the hour by the desk: they have just been told.
    let admin = t.staff("admin").await;
    let body = json!({"starts_at": "2026-11-26T10:30:00+08:00"});
    t.post(&format!("/v1/appointments/{appointment}/reschedule")).by(&admin).json(body).send().await.ok();
    t.set_time("2026-11-26T09:31:00+08:00");
    t.tick().await;
    assert_eq!(reminders(&t), (2, 2), "an hour before it was known");
}

#[actix_web::test]
async fn nobody_is_reminded_of_what_is_cancelled_or_over_or_woken_for_it() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    let gone = booked(&t, &zhang, NINE).await;
    t.post(&format!("/v1/appointments/{gone}/cancel")).by(&zhang).json(json!({})).send().await.ok();
    let li = with_wechat(&t, "li", Some("13800138001")).await;
    // The first slot of the day: the hour before is in the quiet hours.
    booked(&t, &li, "2026-11-25T08:30:00+08:00").await;
    let before = texts(&t).len();
    t.set_time("2026-11-25T07:30:00+08:00");
    t.tick().await;
    assert_eq!((reminders(&t), texts(&t).len()), ((0, 1), before), "late for the day before, early to ring");
    t.set_time("2026-11-25T08:00:00+08:00");
    t.tick().await;
    assert_eq!(texts(&t).len(), before + 1);
    // A process that was away over the start makes nothing up.
    let wang = t.resident("wang").await;
    booked(&t, &wang, "2026-11-25T15:00:00+08:00").await;
    t.set_time("2026-11-25T15:00:00+08:00");
    t.tick().await;
    assert_eq!(reminders(&t), (0, 1));
}

#[actix_web::test]
async fn the_first_of_the_morning_are_reminded_when_the_quiet_hours_end() {
    let t = TestApp::new().await;
    let mut sent = 0;
    for (who, phone, starts_at) in
        [("a", "13800138001", "08:00"), ("b", "13800138002", "08:30"), ("c", "13800138003", "09:00")]
    {
        let by = with_wechat(&t, who, Some(phone)).await;
        booked(&t, &by, &format!("2026-11-25T{starts_at}:00+08:00")).await;
        sent += 1;
    }
    // The day before at the same hour, when nobody sleeps.
    for (time, more) in [("2026-11-24T07:59:00+08:00", 0), ("2026-11-24T09:00:00+08:00", 3)] {
        t.set_time(time);
        t.tick().await;
        sent += more;
        assert_eq!(texts(&t).len(), sent, "{time}");
    }
    for (time, more) in [("07:00", 0), ("07:30", 0), ("07:59", 0), ("08:00", 2), ("08:30", 0), ("09:00", 0)] {
        t.set_time(&format!("2026-11-25T{time}:00+08:00"));
        t.tick().await;
        sent += more;
        assert_eq!(texts(&t).len(), sent, "{time}");
    }
    assert_eq!(reminders(&t), (3, 3), "in the inbox of all, at once");
    let told: Vec<_> = texts(&t)[sent - 2..].iter().map(|sms| sms["text"].to_string()).collect();
    let has = |time: &str| told.iter().any(|text| text.contains(time));
    assert!(has("2026-11-25 08:30") && has("2026-11-25 09:00"), "{told:?}");
}
