//! Outbox, relay, worker, retries, dead letters.

use chrono::TimeDelta;
use lianxin::jobs;
use serde_json::json;

use crate::harness::{Session, TestApp};

const NINE: &str = "2026-11-23T09:00:00+08:00";

/// Redis comes back empty: everything under the test's prefix is gone.
pub async fn wipe_redis(t: &TestApp) {
    let pattern = t.app.redis.key("*");
    let wipe = async |mut redis| -> Result<i64, redis::RedisError> {
        let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut redis).await?;
        if keys.is_empty() {
            return Ok(0);
        }
        redis::cmd("DEL").arg(keys).query_async(&mut redis).await
    };
    t.app.redis.run(wipe).await.expect("Redis is there");
}

async fn booked(t: &TestApp, who: &str) -> Session {
    let resident = t.resident(who).await;
    t.grant(&resident).await;
    let body = t.booking(NINE).await;
    t.post("/v1/appointments").by(&resident).json(body).send().await.created();
    resident
}

fn sent(t: &TestApp) -> usize {
    t.wechat.sent.lock().expect("sent").len()
}

#[actix_web::test]
async fn a_booking_is_told_by_wechat_and_in_the_inbox() {
    let t = TestApp::new().await;
    let zhang = booked(&t, "zhang").await;
    assert_eq!(t.get("/v1/messages").by(&zhang).send().await.ok()["items"], json!([]), "not before the job ran");
    t.run_jobs().await;
    let message = t.wechat.sent.lock().expect("sent")[0].clone();
    assert_eq!((&message["touser"], &message["template_id"]), (&json!("o-zhang"), &json!("fake-template-booked")));
    assert_eq!(message["data"]["time3"]["value"], "2026年11月23日 09:00");
    let inbox = t.get("/v1/messages?unread=true&count=true").by(&zhang).send().await.ok();
    assert_eq!((&inbox["total"], &inbox["items"][0]["wechat"]), (&json!(1), &json!("sent")));
    let deliveries = inbox["items"][0]["deliveries"].as_array().expect("deliveries");
    let states: Vec<_> = deliveries.iter().map(|one| (one["channel"].as_str(), one["state"].as_str())).collect();
    assert_eq!(states, [(Some("inbox"), Some("sent")), (Some("wechat"), Some("sent"))]);
    let text = inbox["items"][0]["text"].as_str().expect("a text");
    assert!(text.contains("均溪镇") && text.contains("2026-11-23 09:00"), "{text}");
    let en = t.get("/v1/messages").by(&zhang).header("accept-language", "en").send().await.ok();
    assert_eq!(en["items"][0]["title"], "Appointment booked");

    let path = format!("/v1/messages/{}/read", inbox["items"][0]["id"].as_str().expect("an id"));
    let read = t.post(&path).by(&zhang).send().await.ok();
    t.pass(TimeDelta::minutes(1));
    assert_eq!(t.post(&path).by(&zhang).send().await.ok()["read_at"], read["read_at"], "the first time counts");
    assert_eq!(t.get("/v1/messages?unread=true").by(&zhang).send().await.ok()["items"], json!([]));
    t.post(&path).by(&t.resident("li").await).send().await.problem(404, "not_found");
}

#[actix_web::test]
async fn running_again_sends_nothing_twice() {
    let t = TestApp::new().await;
    booked(&t, "zhang").await;
    // The job is on the stream twice, as after a crash between pushing and noting it.
    t.database.run("UPDATE outbox SET pushed_until = NULL");
    t.run_jobs().await;
    t.database.run(
        "INSERT INTO outbox (county_id, kind, payload, run_at) \
         SELECT county_id, 'notify_appointment', jsonb_build_object('appointment', id, 'news', 'booked', 'version', 1), now() - interval '1 year' FROM appointments",
    );
    t.run_jobs().await;
    assert_eq!((sent(&t), t.database.count("SELECT count(*) AS n FROM messages")), (1, 1));
}

#[actix_web::test]
async fn a_job_runs_when_it_is_due_and_not_before() {
    let t = TestApp::new().await;
    booked(&t, "zhang").await;
    t.database.run("UPDATE outbox SET run_at = '2026-11-23T08:30:00+08:00'");
    t.run_jobs().await;
    assert_eq!(sent(&t), 0);
    t.set_time("2026-11-23T08:30:00+08:00");
    t.run_jobs().await;
    assert_eq!(sent(&t), 1);
}

#[actix_web::test]
async fn what_was_cancelled_meanwhile_is_not_told() {
    let t = TestApp::new().await;
    t.set_time("2026-11-22T20:00:00+08:00");
    let zhang = booked(&t, "zhang").await;
    let list = t.get("/v1/appointments").by(&zhang).send().await.ok();
    let path = format!("/v1/appointments/{}/cancel", list["items"][0]["id"].as_str().expect("an id"));
    t.post(&path).by(&zhang).send().await.ok();
    t.run_jobs().await;
    let inbox = t.get("/v1/messages").by(&zhang).send().await.ok();
    let kinds: Vec<_> = inbox["items"].as_array().expect("items").iter().map(|item| item["kind"].clone()).collect();
    assert_eq!((sent(&t), kinds), (0, vec![json!("appointment_cancelled")]), "the booking is no news any more");
}

#[actix_web::test]
async fn a_job_whose_worker_dies_at_every_attempt_is_given_up() {
    let t = TestApp::new().await;
    booked(&t, "zhang").await;
    t.database.run(&format!("UPDATE outbox SET attempts = {}", jobs::MAX_ATTEMPTS));
    t.run_jobs().await;
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM outbox WHERE dead_at IS NOT NULL AND last_error LIKE '%died%'"),
        1
    );
    assert_eq!(sent(&t), 0);
}

#[actix_web::test]
async fn nothing_is_lost_when_redis_comes_back_empty() {
    let t = TestApp::new().await;
    booked(&t, "zhang").await;
    // Pushed to the stream, not yet worked on; then Redis forgets the stream and its group.
    t.database.run("UPDATE outbox SET pushed_until = '2026-11-23T08:01:00+08:00'");
    wipe_redis(&t).await;
    t.run_jobs().await;
    assert_eq!(sent(&t), 0, "it may still lie on the stream");
    t.pass(TimeDelta::seconds(61));
    t.run_jobs().await;
    assert_eq!(sent(&t), 1);
}

#[actix_web::test]
async fn a_worker_that_died_is_followed_by_another_after_its_lease() {
    let t = TestApp::new().await;
    booked(&t, "zhang").await;
    t.database.run("UPDATE outbox SET attempts = 1, leased_until = '2026-11-23T08:01:00+08:00'");
    t.run_jobs().await;
    assert_eq!(sent(&t), 0, "the other one may still be at it");
    t.pass(TimeDelta::seconds(61));
    t.run_jobs().await;
    assert_eq!(sent(&t), 1);
}

#[actix_web::test]
async fn what_fails_at_every_attempt_waits_for_a_person() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    t.grant(&zhang).await;
    let body = t.booking("2026-11-26T09:00:00+08:00").await;
    t.post("/v1/appointments").by(&zhang).json(body).send().await.created();
    // Of a version that is not rolled out here.
    t.database.run("UPDATE outbox SET kind = 'later'");
    for attempt in 1..=jobs::MAX_ATTEMPTS {
        t.run_jobs().await;
        assert_eq!(sent(&t), 0, "attempt {attempt}");
        t.pass(TimeDelta::hours(2));
    }
    assert_eq!(t.run_jobs().await, 0, "given up");
    let admin = t.staff("admin").await;
    let dead = t.get("/v1/jobs/dead?count=true").by(&admin).send().await.ok();
    assert_eq!(
        (&dead["total"], &dead["items"][0]["kind"], &dead["items"][0]["attempts"]),
        (&json!(1), &json!("later"), &json!(jobs::MAX_ATTEMPTS))
    );
    let number = dead["items"][0]["number"].as_i64().expect("a number");
    assert!(dead["items"][0]["last_error"].as_str().expect("a cause").contains("no job is called"));
    // Now it is.
    t.database.run("UPDATE outbox SET kind = 'notify_appointment'");
    let path = format!("/v1/jobs/{number}/replay");
    t.post(&path).by(&crate::access::foreign_admin(&t).await).send().await.problem(404, "not_found");
    t.post(&path).by(&admin).send().await.ok();
    t.post(&path).by(&admin).send().await.problem(409, "job_not_dead");
    t.run_jobs().await;
    assert_eq!(sent(&t), 1);
    t.post(&path).by(&admin).send().await.problem(404, "not_found");
    t.post("/v1/jobs/x/replay").by(&admin).send().await.problem(404, "not_found");
}

#[actix_web::test]
async fn the_running_worker_does_the_same_and_stops_when_told() {
    let t = TestApp::new().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let worker = actix_web::rt::spawn(lianxin::jobs::run(t.app.clone().into_inner(), stopped));
    let zhang = booked(&t, "zhang").await;
    let told = async {
        loop {
            let inbox = t.get("/v1/messages").by(&zhang).send().await.ok();
            if inbox["items"][0]["wechat"] == "sent" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), told).await.expect("told");
    stop.send(true).expect("it listens");
    tokio::time::timeout(std::time::Duration::from_secs(20), worker).await.expect("stops").expect("in order");
    assert_eq!(sent(&t), 1);
}
