//! The way a message takes: WeChat, then SMS, then a person; quiet hours, and what is late.

use chrono::TimeDelta;
use lianxin::messages::Kind;
use serde_json::json;

use crate::{
    harness::TestApp,
    messages::{deliveries, inbox, inbox_of, left, post, refuse, registered, texts, todos, wechats, with_wechat},
};

fn refuse_sms(t: &TestApp, statuses: impl IntoIterator<Item = (u16, Option<u64>)>) {
    t.wechat.sms_refuse.lock().expect("refuse").extend(statuses);
}

#[actix_web::test]
async fn without_a_grant_in_truth_all_we_believed_in_are_void_then_sms_then_a_todo() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    for _ in 0..3 {
        t.grant(&zhang).await;
    }
    refuse(&t, [43101]);
    refuse_sms(&t, [(400, None)]);
    post(&t, zhang.subject, Kind::AppointmentBooked).await;
    t.run_jobs().await;
    assert_eq!((wechats(&t), left(&t, &zhang).await), (0, 0));
    assert_eq!(
        inbox(&t, &zhang).await,
        ["inbox sent 0 null", "wechat refused 1 43101", "sms refused 1 400", "person sent 0 null"]
    );
    assert_eq!(
        todos(
            &t,
            "kind = 'call' AND unit_id = (SELECT id FROM units WHERE name = '红星村委会' LIMIT 1) AND due_at = '2026-11-23T09:00:00+08:00' AND state = 'open'"
        ),
        1
    );
    // Who reads it in the inbox needs no call any more.
    let page = t.get("/v1/messages").by(&zhang).send().await.ok();
    let path = format!("/v1/messages/{}/read", page["items"][0]["id"].as_str().expect("an id"));
    t.post(&path).by(&zhang).send().await.ok();
    assert_eq!(todos(&t, "state = 'dropped'"), 1);
}

#[actix_web::test]
async fn an_openid_that_wechat_does_not_know_is_final_and_gives_the_grant_back() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", None).await;
    t.grant(&zhang).await;
    refuse(&t, [40003]);
    post(&t, zhang.subject, Kind::AppointmentBooked).await;
    t.run_jobs().await;
    assert_eq!((wechats(&t), left(&t, &zhang).await), (0, 1));
    assert_eq!(
        inbox(&t, &zhang).await,
        ["inbox sent 0 null", "wechat refused 1 40003", "sms not_reachable 0 null", "person sent 0 null"]
    );
    assert_eq!(todos(&t, "kind = 'slip'"), 1, "no phone: a slip");
}

#[actix_web::test]
async fn somebody_without_wechat_is_texted_or_called_or_brought_a_slip() {
    let t = TestApp::new().await;
    let (texted, brought) = (registered(&t, "陈阿婆", Some("13950900001")).await, registered(&t, "林阿公", None).await);
    for resident in [texted, brought] {
        post(&t, resident, Kind::AppointmentBooked).await;
    }
    t.run_jobs().await;
    assert_eq!(texts(&t)[0]["to"], "13950900001");
    assert_eq!(inbox_of(&t, texted).await, ["inbox sent 0 null", "wechat not_reachable 0 null", "sms sent 1 null"]);
    assert_eq!((todos(&t, "kind = 'slip'"), todos(&t, "true")), (1, 1));
    // A county without a gateway.
    t.database.run("UPDATE counties SET sms_url = NULL, sms_secret = NULL");
    post(&t, texted, Kind::AppointmentBooked).await;
    t.run_jobs().await;
    assert_eq!((texts(&t).len(), todos(&t, "kind = 'call'")), (1, 1));
    let everything = t.database.everything();
    assert!(!everything.contains("13950900001") && !everything.contains("陈阿婆"), "no personal data in plain");
}

#[actix_web::test]
async fn a_busy_wechat_is_tried_again_and_then_left_for_sms() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    t.grant(&zhang).await;
    // A fault of ours, such as an address that is not on the allow-list, is not the person's answer.
    refuse(&t, [40164, 43108]);
    post(&t, zhang.subject, Kind::AppointmentBooked).await;
    for seconds in [6, 12] {
        t.run_jobs().await;
        assert_eq!(wechats(&t), 0);
        t.pass(TimeDelta::seconds(seconds));
    }
    t.run_jobs().await;
    assert_eq!((wechats(&t), left(&t, &zhang).await), (1, 0), "one grant for three attempts");
    assert_eq!(deliveries(&t.get("/v1/messages").by(&zhang).send().await.ok()), inbox(&t, &zhang).await);
    t.grant(&zhang).await;
    refuse(&t, [43108; 6]);
    post(&t, zhang.subject, Kind::AppointmentBooked).await;
    for _ in 0..6 {
        t.run_jobs().await;
        t.pass(TimeDelta::minutes(5));
    }
    let zhang = t.resident("zhang").await;
    assert_eq!((wechats(&t), texts(&t).len(), left(&t, &zhang).await), (1, 1, 1), "WeChat did not take the grant");
    assert_eq!(inbox(&t, &zhang).await[2..], ["inbox sent 0 null", "wechat refused 6 43108", "sms sent 1 null"]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM outbox WHERE dead_at IS NOT NULL"), 0);
}

#[actix_web::test]
async fn a_gateway_that_is_down_is_waited_for_as_long_as_it_says() {
    let t = TestApp::new().await;
    let granny = registered(&t, "陈阿婆", Some("13950900001")).await;
    let down = json!({"status": 503, "retry_after": 600});
    let fake = format!("{}/fake/sms_answer", t.app.config.wechat_url);
    t.http.post(&fake).json(&down).send().await.expect("told");
    refuse_sms(&t, [(429, None)]);
    post(&t, granny, Kind::AppointmentBooked).await;
    t.run_jobs().await;
    t.pass(TimeDelta::seconds(599));
    t.run_jobs().await;
    assert_eq!(inbox_of(&t, granny).await[2], "sms pending 1 503", "not before it said");
    t.pass(TimeDelta::seconds(1));
    t.run_jobs().await;
    assert_eq!(inbox_of(&t, granny).await[2], "sms pending 2 429");
    t.pass(TimeDelta::seconds(12));
    t.run_jobs().await;
    assert_eq!((inbox_of(&t, granny).await[2].as_str(), texts(&t).len()), ("sms sent 3 null", 1));
    // One that never comes back: a person is asked in the end.
    refuse_sms(&t, [(500, None); 10]);
    post(&t, granny, Kind::AppointmentBooked).await;
    for _ in 0..10 {
        assert_eq!(todos(&t, "true"), 0);
        t.run_jobs().await;
        t.pass(TimeDelta::hours(1));
    }
    assert_eq!(todos(&t, "kind = 'call'"), 1);
    assert_eq!(inbox_of(&t, granny).await[5..], ["sms refused 10 500", "person sent 0 null"]);
}

#[actix_web::test]
async fn quiet_hours_hold_what_can_wait_and_nothing_else() {
    let t = TestApp::new().await;
    t.set_time("2026-11-23T20:00:00+08:00");
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    t.grant(&zhang).await;
    post(&t, zhang.subject, Kind::ProxyAccepted).await;
    post(&t, zhang.subject, Kind::AppointmentBooked).await;
    t.run_jobs().await;
    assert_eq!((wechats(&t), texts(&t).len()), (1, 0), "at once at any hour");
    assert_eq!(inbox(&t, &zhang).await[..2], ["inbox sent 0 null", "wechat pending 0 null"], "the inbox has it");
    t.set_time("2026-11-24T07:59:59+08:00");
    t.run_jobs().await;
    assert_eq!(texts(&t).len(), 0);
    t.set_time("2026-11-24T08:00:00+08:00");
    t.run_jobs().await;
    assert_eq!(texts(&t).len(), 1);
    // The hours are the county's to decide.
    t.database.run(
        "INSERT INTO settings (county_id, key, version, value, effective_from, set_at) \
         VALUES (1, 'messages.quiet_until_hour', 1, '10', '2026-01-01', '2026-01-01')",
    );
    post(&t, zhang.subject, Kind::ProxyAccepted).await;
    t.run_jobs().await;
    assert_eq!(texts(&t).len(), 1);
    t.set_time("2026-11-24T10:00:00+08:00");
    t.run_jobs().await;
    assert_eq!(texts(&t).len(), 2);
}

#[actix_web::test]
async fn what_is_late_is_dropped_and_stays_in_the_inbox() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    post(&t, zhang.subject, Kind::ExportReady).await;
    t.run_jobs().await;
    assert_eq!(texts(&t).len(), 1, "in time");
    refuse_sms(&t, [(503, None)]);
    post(&t, zhang.subject, Kind::ExportReady).await;
    t.run_jobs().await;
    t.set_time("2026-11-24T12:00:00+08:00");
    t.run_jobs().await;
    assert_eq!((texts(&t).len(), todos(&t, "true")), (1, 0));
    assert_eq!(inbox(&t, &zhang).await[3..], ["inbox sent 0 null", "wechat not_reachable 0 null", "sms dropped 1 503"]);
    let zhang = t.resident("zhang").await;
    let page = t.get("/v1/messages?limit=1").by(&zhang).send().await.ok();
    assert!(page["items"][0]["text"].as_str().expect("a text").contains("2026-11-24 12:00"), "{page}");
}
