//! What people are told when their appointments are made, moved, cancelled and called.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    harness::{Session, TestApp},
    merging::id,
    messages::{texts, with_wechat},
    proxies::authorised,
};

const NINE: &str = "2026-11-25T09:00:00+08:00";
const TEN: &str = "2026-11-25T10:00:00+08:00";

async fn kinds(t: &TestApp, of: &Session) -> Vec<String> {
    let page = t.get("/v1/messages?limit=50").by(of).send().await.ok();
    page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["kind"].as_str().expect("a kind").to_owned())
        .collect()
}

async fn booked(t: &TestApp, by: &Session) -> String {
    let body = t.booking(NINE).await;
    id(&t.post("/v1/appointments").by(by).json(body).send().await.created())
}

async fn reschedule(t: &TestApp, by: &Session, appointment: &str, starts_at: &str) -> Value {
    let body = json!({"starts_at": starts_at});
    t.post(&format!("/v1/appointments/{appointment}/reschedule")).by(by).json(body).send().await.ok()
}

async fn cancel(t: &TestApp, by: &Session, appointment: &str) {
    t.post(&format!("/v1/appointments/{appointment}/cancel")).by(by).json(json!({})).send().await.ok();
}

#[actix_web::test]
async fn every_move_is_told_once_with_what_is_so_now() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    let appointment = booked(&t, &zhang).await;
    t.run_jobs().await;
    reschedule(&t, &zhang, &appointment, TEN).await;
    t.run_jobs().await;
    reschedule(&t, &zhang, &appointment, "2026-11-25T10:30:00+08:00").await;
    t.run_jobs().await;
    cancel(&t, &zhang, &appointment).await;
    t.run_jobs().await;
    let told = kinds(&t, &zhang).await;
    assert_eq!(told, ["appointment_booked", "appointment_changed", "appointment_changed", "appointment_cancelled"]);
    let sent = texts(&t);
    let words: Vec<_> = sent.iter().map(|sms| sms["text"].as_str().expect("a text")).collect();
    assert_eq!(words.len(), 4);
    assert!(words[0].contains("2026-11-25 09:00") && words[1].contains("2026-11-25 10:00"), "{words:?}");
    assert!(words[2].contains("10:30") && words[2].contains("到中心") && words[3].contains("请勿前往"), "{words:?}");
    // A job that comes again tells nothing again.
    t.database.run(&format!(
        "INSERT INTO outbox (county_id, kind, payload, run_at) VALUES \
         (1, 'notify_appointment', '{{\"appointment\": \"{appointment}\", \"news\": \"cancelled\", \"version\": 4}}', '2026-01-01'), \
         (1, 'notify_appointment', '{{\"appointment\": \"{appointment}\", \"news\": \"changed\", \"version\": 3}}', '2026-01-01'), \
         (1, 'notify_appointment', '{{\"appointment\": \"{}\", \"news\": \"booked\", \"version\": 1}}', '2026-01-01')",
        uuid::Uuid::now_v7()
    ));
    t.run_jobs().await;
    assert_eq!((kinds(&t, &zhang).await.len(), texts(&t).len()), (4, 4));
}

#[actix_web::test]
async fn what_was_overtaken_is_no_news() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    let moved = booked(&t, &zhang).await;
    reschedule(&t, &zhang, &moved, TEN).await;
    reschedule(&t, &zhang, &moved, "2026-11-25T10:30:00+08:00").await;
    t.run_jobs().await;
    assert_eq!(kinds(&t, &zhang).await, ["appointment_changed"], "only where it ended up");
    assert!(texts(&t)[0]["text"].as_str().expect("a text").contains("10:30"));
    let li = with_wechat(&t, "li", Some("13800138001")).await;
    let undone = booked(&t, &li).await;
    reschedule(&t, &li, &undone, TEN).await;
    cancel(&t, &li, &undone).await;
    t.run_jobs().await;
    assert_eq!(kinds(&t, &li).await, ["appointment_cancelled"]);
    // Too late for anybody: the worker was away for two days.
    let wang = t.resident("wang").await;
    let missed = booked(&t, &wang).await;
    t.set_time("2026-11-26T08:00:00+08:00");
    t.run_jobs().await;
    let wang = t.resident("wang").await;
    assert_eq!(kinds(&t, &wang).await, Vec::<String>::new(), "{missed}");
}

#[actix_web::test]
async fn what_has_not_gone_out_is_withdrawn_and_nobody_calls_about_it() {
    let t = TestApp::new().await;
    // Neither WeChat nor phone: a slip is to be brought.
    let zhang = with_wechat(&t, "zhang", None).await;
    let appointment = booked(&t, &zhang).await;
    t.run_jobs().await;
    let slips =
        |t: &TestApp| t.database.count("SELECT count(*) AS n FROM todos WHERE about = 'message' AND state = 'open'");
    assert_eq!(slips(&t), 1);
    reschedule(&t, &zhang, &appointment, TEN).await;
    t.run_jobs().await;
    assert_eq!((slips(&t), kinds(&t, &zhang).await.len()), (1, 2), "the slip of the old time is dropped");
    cancel(&t, &zhang, &appointment).await;
    // At once, not only when the worker comes to it.
    assert_eq!(slips(&t), 0);
    t.run_jobs().await;
    assert_eq!(slips(&t), 1, "of the cancellation");
}

#[actix_web::test]
async fn the_relative_who_booked_is_told_as_long_as_they_may_act() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let father = with_wechat(&t, "father", Some("13800138000")).await;
    let daughter = with_wechat(&t, "daughter", Some("13800138001")).await;
    let said = json!({"relation": "child", "may": ["book"], "given_how": "spoken", "valid_until": "2026-12-31"});
    let proxy = authorised(&t, &cadre, &father.subject.to_string(), &daughter, said).await;
    let before = kinds(&t, &father).await.len();
    let mut body = t.booking(NINE).await;
    body["resident_id"] = json!(father.subject);
    let appointment = id(&t.post("/v1/appointments").by(&daughter).json(body).send().await.created());
    t.run_jobs().await;
    reschedule(&t, &daughter, &appointment, TEN).await;
    t.run_jobs().await;
    assert_eq!(kinds(&t, &father).await[before..], ["appointment_booked", "appointment_changed"]);
    assert_eq!(kinds(&t, &daughter).await, ["proxy_booked", "appointment_changed"]);
    t.post(&format!("/v1/proxies/{proxy}/end")).by(&father).send().await.ok();
    cancel(&t, &father, &appointment).await;
    t.run_jobs().await;
    assert_eq!(
        kinds(&t, &father).await[before..],
        ["appointment_booked", "appointment_changed", "appointment_cancelled"]
    );
    assert_eq!(kinds(&t, &daughter).await.len(), 2, "it is none of her business any more");
    let everything = t.database.everything();
    assert!(!everything.contains("13800138001"), "no personal data in plain");
}

#[actix_web::test]
async fn whom_the_staff_cancel_is_told_why() {
    let t = TestApp::new().await;
    let (zhang, li) =
        (with_wechat(&t, "zhang", Some("13800138000")).await, with_wechat(&t, "li", Some("13800138001")).await);
    let grant = json!({"template_ids": ["fake-template-cancelled"]});
    t.post("/v1/messages/grants").by(&li).json(grant).send().await.created();
    let (first, second) = (booked(&t, &zhang).await, booked(&t, &li).await);
    t.run_jobs().await;
    let junxi = t.staff("junxi").await;
    let because = async |by: &Session, appointment: &str, reason: Value| {
        let body = json!({"reason": reason});
        t.post(&format!("/v1/appointments/{appointment}/cancel")).by(by).json(body).send().await.ok();
        t.run_jobs().await;
    };
    let why = "窗口设备检修，恢复时间另行通知，给您带来不便。";
    because(&junxi, &first, json!(why)).await;
    let inbox = async |who: &Session, language: &str| {
        let page = t.get("/v1/messages?limit=50").by(who).header("accept-language", language).send().await.ok();
        page["items"].as_array().and_then(|all| all.last()).expect("a message")["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let told = inbox(&zhang, "zh-CN").await;
    assert!(told.ends_with(&format!("请勿前往。原因：{why}")), "{told}");
    assert!(
        inbox(&zhang, "en")
            .await
            .ends_with("Please do not come. Reason: 窗口设备检修，恢复时间另行通知，给您带来不便.")
    );
    assert_eq!(texts(&t).last().expect("one")["text"], json!(told), "and by SMS");
    because(&junxi, &second, json!(why)).await;
    let sent = t.wechat.sent.lock().expect("sent").last().expect("one").clone();
    assert_eq!(sent["template_id"], "fake-template-cancelled");
    assert_eq!(sent["data"]["thing4"]["value"], "窗口设备检修，恢复时间另行通知，给您带…");
    // What was not said is not there, and what residents say of their own is not repeated.
    let third = booked(&t, &zhang).await;
    because(&junxi, &third, Value::Null).await;
    assert!(inbox(&zhang, "zh-CN").await.ends_with("请勿前往。"));
    let fourth = booked(&t, &zhang).await;
    because(&zhang, &fourth, json!("住院")).await;
    assert!(inbox(&zhang, "zh-CN").await.ends_with("请勿前往。"));
}

#[actix_web::test]
async fn who_is_called_is_told_at_once_or_never() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    let li = with_wechat(&t, "li", None).await;
    let call = |who: &Session, ticket: &str| {
        let now = t.app.clock.now().to_rfc3339();
        t.database.run(&format!(
            "UPDATE appointments SET state = 'arrived', ticket = '{ticket}', arrived_at = '{now}', on_time = true, queue_at = '{now}', \
               version = version + 1, updated_at = '{now}' WHERE resident_id = '{0}'; \
             UPDATE appointments SET state = 'called', desk_id = window_id, called_at = '{now}', calls = 1, version = version + 1, updated_at = '{now}' \
               WHERE resident_id = '{0}'",
            who.subject
        ));
    };
    booked(&t, &zhang).await;
    booked(&t, &li).await;
    t.run_jobs().await;
    t.set_time("2026-11-25T20:30:00+08:00");
    let before = (texts(&t).len(), t.database.count("SELECT count(*) AS n FROM todos WHERE about = 'message'"));
    t.database.run("UPDATE appointments SET desk_id = NULL");
    call(&zhang, "A001");
    t.run_jobs().await;
    let sent = texts(&t);
    assert_eq!(sent.len(), before.0 + 1, "also in the evening");
    assert!(sent[before.0]["text"].as_str().expect("a text").contains("请 A001 号到均溪镇党群服务中心"), "{sent:?}");
    t.database.run("UPDATE appointments SET state = 'done', finished_at = updated_at WHERE state = 'called'");
    // Nothing reaches the other: nobody brings a slip to somebody who should stand at the window.
    call(&li, "A002");
    t.pass(TimeDelta::minutes(1));
    t.run_jobs().await;
    assert_eq!(t.database.count("SELECT count(*) AS n FROM todos WHERE about = 'message'"), before.1);
    // The worker was away for longer than a call lasts.
    t.database.run("UPDATE appointments SET calls = 2, version = version + 1 WHERE state = 'called'");
    t.pass(TimeDelta::minutes(10));
    t.run_jobs().await;
    let dropped = "SELECT count(*) AS n FROM message_deliveries d JOIN messages m ON (m.county_id, m.id) = (d.county_id, d.message_id) \
        WHERE m.kind = 'ticket_called' AND d.channel = 'wechat' AND d.state = 'dropped'";
    assert_eq!(t.database.count(dropped), 1);
}
