//! Messages to people: grants, channels in order, quiet hours.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use futures_util::future::join_all;
use lianxin::messages::{self, Kind, NewMessage};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Session, TestApp};

const NINE: &str = "2026-11-23T09:00:00+08:00";
const TEMPLATE: &str = "fake-template-booked";

/// Somebody of 红星村 without WeChat.
pub async fn registered(t: &TestApp, name: &str, phone: Option<&str>) -> Uuid {
    let cadre = t.staff("cadre").await;
    let unit = t.unit("红星村委会").await;
    let body = json!({"name": name, "phone": phone, "unit_id": unit, "identity_seen": "known_in_person"});
    let resident = t.post("/v1/residents").by(&cadre).json(body).send().await.created();
    resident["id"].as_str().expect("an id").parse().expect("a UUID")
}

/// Somebody with WeChat and, if given, a phone, who lives in 红星村.
pub async fn with_wechat(t: &TestApp, who: &str, phone: Option<&str>) -> Session {
    let resident = t.resident(who).await;
    let body = json!({"unit_id": t.unit("红星村委会").await});
    let path = format!("/v1/residents/{}", resident.subject);
    t.put(&path).by(&resident).header("if-match", "*").json(body).send().await.ok();
    if let Some(phone) = phone {
        let body = json!({"code": format!("phone.{phone}.1")});
        t.post(&format!("{path}/prove_phone")).by(&resident).json(body).send().await.ok();
    }
    resident
}

async fn post_about(t: &TestApp, resident: Uuid, kind: Kind, about: Uuid) {
    let params = json!({"matter": "医保登记", "unit": "均溪镇", "window": "综合窗口", "starts_at": NINE,
        "expires_at": "2026-11-24T12:00:00+08:00", "valid_until": "2027-11-23"});
    let now = t.app.clock.now();
    let post = t.app.db.write("post", move |conn| {
        let params = params.clone();
        messages::post(conn, NewMessage { county: 1, resident, kind, about, occasion: 0, params }, now)
    });
    post.await.expect("posted");
}

pub async fn post(t: &TestApp, resident: Uuid, kind: Kind) {
    post_about(t, resident, kind, Uuid::now_v7()).await;
}

fn wechats(t: &TestApp) -> usize {
    t.wechat.sent.lock().expect("sent").len()
}

pub fn texts(t: &TestApp) -> Vec<Value> {
    t.wechat.sms.lock().expect("sms").clone()
}

/// `channel state attempts code` of every delivery, in order of messages and channels.
fn deliveries(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    let all = items.iter().flat_map(|item| item["deliveries"].as_array().expect("deliveries"));
    let word = |one: &Value, name: &str| one[name].to_string().trim_matches('"').to_owned();
    all.map(|one| ["channel", "state", "attempts", "code"].map(|name| word(one, name)).join(" ")).collect()
}

/// By the staff of the village, whose sessions are new however much time has passed.
async fn inbox(t: &TestApp, of: &Session) -> Vec<String> {
    inbox_of(t, of.subject).await
}

async fn inbox_of(t: &TestApp, resident: Uuid) -> Vec<String> {
    let cadre = t.staff("cadre").await;
    deliveries(&t.get(&format!("/v1/residents/{resident}/messages")).by(&cadre).send().await.ok())
}

async fn left(t: &TestApp, of: &Session) -> i64 {
    let grants = t.get("/v1/messages/grants").by(of).send().await.ok();
    assert_eq!(grants["items"][0]["template_id"], TEMPLATE);
    grants["items"][0]["left"].as_i64().expect("a number")
}

fn todos(t: &TestApp, condition: &str) -> i64 {
    t.database.count(&format!("SELECT count(*) AS n FROM todos WHERE about = 'message' AND {condition}"))
}

fn refuse(t: &TestApp, codes: impl IntoIterator<Item = i64>) {
    t.wechat.refuse.lock().expect("refuse").extend(codes);
}

fn refuse_sms(t: &TestApp, statuses: impl IntoIterator<Item = (u16, Option<u64>)>) {
    t.wechat.sms_refuse.lock().expect("refuse").extend(statuses);
}

#[actix_web::test]
async fn each_acceptance_lets_one_message_through() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    assert_eq!(left(&t, &zhang).await, 0);
    let body = json!({"template_ids": [TEMPLATE]});
    let grant = || t.post("/v1/messages/grants").by(&zhang).key("once").json(body.clone()).send();
    let reply = grant().await.is(201);
    assert_eq!((reply.header("location"), &reply["items"][0]["left"]), ("/v1/messages/grants", &json!(1)));
    assert_eq!(reply["items"][0]["kinds"], json!(["appointment_booked", "proxy_booked"]));
    grant().await.created();
    assert_eq!(left(&t, &zhang).await, 1, "the same acceptance");
    let body = json!({"template_ids": ["nobody's", TEMPLATE, TEMPLATE]});
    let reply = t.post("/v1/messages/grants").by(&zhang).json(body).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/template_ids/0:unknown_template", "/template_ids/2:repeated"]);
    let none = json!({"template_ids": []});
    t.post("/v1/messages/grants").by(&zhang).json(none).send().await.problem(422, "invalid");

    post(&t, zhang.subject, Kind::AppointmentBooked).await;
    post(&t, zhang.subject, Kind::AppointmentBooked).await;
    t.run_jobs().await;
    assert_eq!((wechats(&t), texts(&t).len(), left(&t, &zhang).await), (1, 1, 0), "one each");
    assert_eq!(
        inbox(&t, &zhang).await,
        [
            "inbox sent 0 null",
            "wechat sent 1 null",
            "inbox sent 0 null",
            "wechat not_reachable 0 null",
            "sms sent 1 null"
        ]
    );
    let sms = texts(&t)[0].clone();
    assert_eq!((&sms["to"], &sms["template"]), (&json!("13800138000"), &Value::Null));
    assert!(sms["text"].as_str().expect("a text").contains("2026-11-23 09:00"), "{sms}");
    assert_eq!(left(&t, &t.resident("li").await).await, 0, "one's own");
}

#[actix_web::test]
async fn two_workers_at_once_never_overlap_and_use_one_grant_once() {
    let t = TestApp::with(|setup| setup.config.database_pool = 12).await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    t.grant(&zhang).await;
    t.grant(&zhang).await;
    for _ in 0..4 {
        post(&t, zhang.subject, Kind::AppointmentBooked).await;
    }
    t.wechat.delay.store(150, Ordering::SeqCst);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let workers: Vec<_> =
        (0..2).map(|_| actix_web::rt::spawn(lianxin::jobs::run(t.app.clone().into_inner(), stopped.clone()))).collect();
    let waiting = "SELECT count(*) AS n FROM outbox";
    let done = async {
        while t.database.count(waiting) > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            t.pass(TimeDelta::seconds(3));
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), done).await.expect("delivered");
    stop.send(true).expect("they listen");
    join_all(workers).await;
    assert_eq!(t.wechat.overlaps.load(Ordering::SeqCst), 0, "WeChat would have said 43108");
    assert_eq!((wechats(&t), texts(&t).len(), left(&t, &zhang).await), (2, 2, 0));
    assert_eq!(t.database.count("SELECT count(*) AS n FROM message_grants WHERE message_id IS NOT NULL"), 2);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM message_leases"), 0, "given back");
    assert!(t.database.count("SELECT coalesce(max(attempts), 0)::bigint AS n FROM message_deliveries") <= 1);
}

#[actix_web::test]
async fn the_lease_of_a_worker_that_died_ends_by_time() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", None).await;
    t.grant(&zhang).await;
    t.database.run(&format!(
        "INSERT INTO message_leases VALUES (1, '{}', gen_random_uuid(), '2026-11-23T08:01:00+08:00')",
        zhang.subject
    ));
    post(&t, zhang.subject, Kind::AppointmentBooked).await;
    for _ in 0..20 {
        t.run_jobs().await;
        assert_eq!(wechats(&t), 0, "somebody else may be sending");
        t.pass(TimeDelta::seconds(3));
    }
    t.run_jobs().await;
    assert_eq!(wechats(&t), 1, "twenty looks did not count as attempts");
    assert_eq!(inbox(&t, &zhang).await, ["inbox sent 0 null", "wechat sent 1 null"]);
}

#[actix_web::test]
async fn attempts_whose_workers_died_use_the_channel_up() {
    let t = TestApp::new().await;
    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    t.grant(&zhang).await;
    post(&t, zhang.subject, Kind::AppointmentBooked).await;
    t.database.run("UPDATE message_deliveries SET attempts = 6 WHERE channel = 'wechat'");
    t.run_jobs().await;
    assert_eq!((wechats(&t), texts(&t).len()), (0, 1));
    assert_eq!(inbox(&t, &zhang).await, ["inbox sent 0 null", "wechat not_reachable 6 null", "sms sent 1 null"]);
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

#[actix_web::test]
async fn a_message_is_one_per_kind_thing_and_person() {
    let t = TestApp::new().await;
    let (zhang, li, about) = (t.resident("zhang").await, t.resident("li").await, Uuid::now_v7());
    for who in [&zhang, &li, &zhang, &li] {
        post_about(&t, who.subject, Kind::AppointmentBooked, about).await;
    }
    t.run_jobs().await;
    assert_eq!(t.database.count("SELECT count(*) AS n FROM messages"), 2, "the proxy booker has one too");
    assert_eq!(todos(&t, "unit_id IS NULL"), 2, "without a unit the county sees to it");
}

#[actix_web::test]
async fn messages_follow_a_merge_and_are_exported_and_erased() {
    use lianxin::rooms::{Merge, Person};
    let t = TestApp::new().await;
    let (from, into) = (with_wechat(&t, "zhang", None).await, with_wechat(&t, "li", None).await);
    let about = Uuid::now_v7();
    t.grant(&from).await;
    t.grant(&from).await;
    post_about(&t, from.subject, Kind::AppointmentBooked, about).await;
    post_about(&t, from.subject, Kind::ProxyAccepted, Uuid::now_v7()).await;
    post_about(&t, into.subject, Kind::AppointmentBooked, about).await;
    t.run_jobs().await;
    assert_eq!(todos(&t, "state = 'open'"), 2);
    let (now, room) = (t.app.clock.now(), &messages::ROOM);
    let merge = room.merge.expect("merges");
    let what = Merge { county: 1, from: from.subject, into: into.subject, now };
    t.app.db.write("merge", move |conn| merge(conn, &what)).await.expect("merged");
    assert_eq!(
        t.database.count(&format!("SELECT count(*) AS n FROM messages WHERE resident_id = '{}'", into.subject)),
        2
    );
    assert_eq!((t.database.count("SELECT count(*) AS n FROM messages"), left(&t, &into).await), (2, 1));
    let (export, erase) = (room.export.expect("exports"), room.erase.expect("erases"));
    let person = Person { county: 1, id: into.subject, now };
    let app = t.app.clone();
    let data = t.app.db.read("export", move |conn| export(conn, &app, person)).await.expect("exported");
    assert_eq!(
        (data["messages"].as_array().map(Vec::len), data["grants"].as_array().map(Vec::len)),
        (Some(2), Some(2))
    );
    assert!(data.to_string().contains("医保登记"));
    post(&t, into.subject, Kind::AppointmentBooked).await;
    let app = t.app.clone();
    t.app.db.write("erase", move |conn| erase(conn, &app, person)).await.expect("erased");
    t.run_jobs().await;
    assert_eq!(wechats(&t), 1, "what had not been sent is not");
    assert!(!t.database.everything().contains("医保登记"));
    assert_eq!(t.database.count("SELECT count(*) AS n FROM message_grants"), 0);
}
