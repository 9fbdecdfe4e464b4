//! Messages to people: grants, leases of deliveries, merging and erasing.

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

pub fn wechats(t: &TestApp) -> usize {
    t.wechat.sent.lock().expect("sent").len()
}

pub fn texts(t: &TestApp) -> Vec<Value> {
    t.wechat.sms.lock().expect("sms").clone()
}

/// `channel state attempts code` of every delivery, in order of messages and channels.
pub fn deliveries(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    let all = items.iter().flat_map(|item| item["deliveries"].as_array().expect("deliveries"));
    let word = |one: &Value, name: &str| one[name].to_string().trim_matches('"').to_owned();
    all.map(|one| ["channel", "state", "attempts", "code"].map(|name| word(one, name)).join(" ")).collect()
}

/// By the staff of the village, whose sessions are new however much time has passed.
pub async fn inbox(t: &TestApp, of: &Session) -> Vec<String> {
    inbox_of(t, of.subject).await
}

pub async fn inbox_of(t: &TestApp, resident: Uuid) -> Vec<String> {
    let cadre = t.staff("cadre").await;
    deliveries(&t.get(&format!("/v1/residents/{resident}/messages")).by(&cadre).send().await.ok())
}

pub async fn left(t: &TestApp, of: &Session) -> i64 {
    let grants = t.get("/v1/messages/grants").by(of).send().await.ok();
    assert_eq!(grants["items"][0]["template_id"], TEMPLATE);
    grants["items"][0]["left"].as_i64().expect("a number")
}

pub fn todos(t: &TestApp, condition: &str) -> i64 {
    t.database.count(&format!("SELECT count(*) AS n FROM todos WHERE about = 'message' AND {condition}"))
}

pub fn refuse(t: &TestApp, codes: impl IntoIterator<Item = i64>) {
    t.wechat.refuse.lock().expect("refuse").extend(codes);
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
