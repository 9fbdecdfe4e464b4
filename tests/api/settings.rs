//! Settings: read by staff, set by the administrator, at once or from a day on, never two at a time and never absurd.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    harness::{Call, Session, TestApp},
};

const AHEAD: &str = "/v1/settings/booking.days_ahead";

fn set<'a>(t: &'a TestApp, by: &Session, path: &str, version: i64, value: Value) -> Call<'a> {
    let body = json!({"value": value, "reason": "春节前预约集中"});
    t.put(path).by(by).header("if-match", &format!("\"{version}\"")).json(body)
}

#[actix_web::test]
async fn every_setting_is_listed_with_default_range_and_words() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let page = t.get("/v1/settings").by(&cadre).header("accept-language", "en").send().await.ok();
    let items = page["items"].as_array().expect("items");
    let of = |key: &str| items.iter().find(|item| item["key"] == key).unwrap_or_else(|| panic!("no {key}"));
    let ahead = of("booking.days_ahead");
    assert_eq!((&ahead["value"], &ahead["default"], &ahead["version"]), (&json!(7), &json!(7), &json!(0)));
    assert_eq!((&ahead["least"], &ahead["most"], &ahead["unit"]), (&json!(0), &json!(90), &json!("days")));
    assert_eq!((&ahead["effective_from"], &ahead["next"]), (&Value::Null, &Value::Null));
    assert_eq!(ahead["description"], "Days after today that residents can book");
    assert_eq!(of("visits.photo")["options"], json!(["off", "optional", "required"]));
    let one = t.get(AHEAD).by(&cadre).send().await.is(200);
    assert_eq!((one.header("etag"), &one["description"]), ("\"0\"", &json!("居民可预约今天之后多少天内的时段")));
    t.get("/v1/settings/no.such").by(&cadre).send().await.problem(404, "not_found");
    t.get("/v1/settings/no.such/history").by(&cadre).send().await.problem(404, "not_found");
}

#[actix_web::test]
async fn set_at_once_it_holds_at_once_and_is_recorded() {
    let t = TestApp::new().await;
    let (admin, villager) = (t.staff("admin").await, t.resident("zhang").await);
    let far = t.booking("2026-12-07T09:00:00+08:00").await;
    t.post("/v1/appointments").by(&villager).json(far.clone()).send().await.problem(422, "booking_window");
    let reply = set(&t, &admin, AHEAD, 0, json!(20)).send().await.is(200);
    assert_eq!((reply.header("etag"), &reply["value"], &reply["version"]), ("\"1\"", &json!(20), &json!(1)));
    assert_eq!(reply["effective_from"], "2026-11-23T08:00:00+08:00");
    t.post("/v1/appointments").by(&villager).json(far).send().await.created();
    let recorded = format!(
        "SELECT count(*) AS n FROM audit_log WHERE action = 'set' AND entity = 'setting' AND actor_id = '{}' \
         AND fields = '{{booking.days_ahead}}' AND reason = '春节前预约集中'",
        admin.subject
    );
    assert_eq!(t.database.count(&recorded), 1);
    let told = format!(
        "SELECT count(*) AS n FROM changes WHERE entity = 'setting' AND entity_id = '{}'",
        reply["id"].as_str().expect("an id")
    );
    assert_eq!(t.database.count(&told), 1);
    // Another county decides for itself.
    let foreign = foreign_admin(&t).await;
    let theirs = t.get(AHEAD).by(&foreign).send().await.ok();
    assert_eq!((&theirs["value"], &theirs["version"]), (&json!(7), &json!(0)));
    t.run_jobs().await;
}

#[actix_web::test]
async fn from_a_day_on_and_with_history() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let body = json!({"value": 14, "effective_on": "2026-12-01", "reason": "元旦前"});
    let reply = t.put(AHEAD).by(&admin).header("if-match", "\"0\"").json(body).send().await.ok();
    assert_eq!((&reply["value"], &reply["next"]["value"]), (&json!(7), &json!(14)));
    assert_eq!(reply["next"]["effective_from"], "2026-12-01T00:00:00+08:00");
    // The same day again: the later entry counts.
    let body = json!({"value": 15, "effective_on": "2026-12-01", "reason": "元旦前改"});
    t.put(AHEAD).by(&admin).header("if-match", "\"1\"").json(body).send().await.ok();
    // Today means at once, not last midnight.
    let body = json!({"value": 9, "effective_on": "2026-11-23", "reason": "即日起"});
    let reply = t.put(AHEAD).by(&admin).header("if-match", "\"2\"").json(body).send().await.ok();
    assert_eq!((&reply["value"], &reply["next"]["value"]), (&json!(9), &json!(15)));
    t.set_time("2026-11-30T23:59:59+08:00");
    let admin = t.staff("admin").await;
    assert_eq!(t.get(AHEAD).by(&admin).send().await.ok()["value"], 9);
    t.set_time("2026-12-01T00:00:00+08:00");
    let now = t.get(AHEAD).by(&admin).send().await.ok();
    assert_eq!((&now["value"], &now["next"], &now["version"]), (&json!(15), &Value::Null, &json!(3)));
    let path = format!("{AHEAD}/history?limit=2&count=true");
    let first = t.get(&path).by(&admin).send().await.ok();
    let versions = |page: &Value| -> Vec<i64> {
        page["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["version"].as_i64().expect("a number"))
            .collect()
    };
    assert_eq!((versions(&first), &first["total"]), (vec![3, 2], &json!(3)));
    assert_eq!(first["items"][0]["set_by"], json!(admin.subject));
    let cursor = first["next_cursor"].as_str().expect("more");
    let second = t.get(&format!("{AHEAD}/history?limit=2&cursor={cursor}")).by(&admin).send().await.ok();
    assert_eq!((versions(&second), &second["next_cursor"]), (vec![1], &Value::Null));
    let other = format!("/v1/settings/booking.no_shows/history?cursor={cursor}");
    t.get(&other).by(&admin).send().await.problem(422, "invalid");
}

#[actix_web::test]
async fn what_does_not_fit_is_refused_with_the_range() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    for value in [json!(91), json!(-1), json!(7.5), json!("7"), json!(null), json!([7])] {
        let reply = set(&t, &admin, AHEAD, 0, value).send().await.problem(422, "invalid");
        assert_eq!(reply.faults(), ["/value:setting_range"]);
        assert!(reply.body["errors"][0]["detail"].as_str().is_some_and(|words| words.contains("0 至 90")));
    }
    let reply = set(&t, &admin, "/v1/settings/visits.photo", 0, json!("always")).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/value:setting_choice"]);
    let body = json!({"value": 99, "effective_on": "2026-11-22", "reason": "补记"});
    let reply = t.put(AHEAD).by(&admin).header("if-match", "\"0\"").json(body).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/effective_on:range", "/value:setting_range"]);
    set(&t, &admin, "/v1/settings/no.such", 0, json!(1)).send().await.problem(404, "not_found");
    let missing = t.put(AHEAD).by(&admin).json(json!({"value": 8, "reason": "测试"})).send().await;
    missing.problem(428, "precondition_required");
    set(&t, &admin, AHEAD, 1, json!(8)).send().await.problem(412, "version_stale");
    for who in ["cadre", "supervisor", "junxi"] {
        set(&t, &t.staff(who).await, AHEAD, 0, json!(8)).send().await.problem(403, "forbidden");
    }
    assert_eq!(t.database.count("SELECT count(*) AS n FROM settings"), 0);
}

#[actix_web::test]
async fn what_makes_no_sense_together_is_refused_also_when_it_is_scheduled() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let cancel = "/v1/settings/booking.cancel_minutes_before";
    let body = json!({"value": 0, "effective_on": "2026-12-01", "reason": "只约当天"});
    t.put(AHEAD).by(&admin).header("if-match", "\"0\"").json(body).send().await.ok();
    // Right today, wrong from December on.
    let reply = set(&t, &admin, cancel, 0, json!(2880)).send().await.problem(409, "settings_conflict");
    assert!(reply.body["detail"].as_str().is_some_and(|words| words.contains("2026-12-01")), "{}", reply.body);
    set(&t, &admin, cancel, 0, json!(1440)).send().await.ok();
    let yellow = "/v1/settings/errands.yellow_percent";
    set(&t, &admin, "/v1/settings/errands.red_percent", 0, json!(80)).send().await.problem(409, "settings_conflict");
    set(&t, &admin, yellow, 0, json!(70)).send().await.ok();
    set(&t, &admin, "/v1/settings/errands.red_percent", 0, json!(80)).send().await.ok();
    // Deadlines are counted again, once everybody knows.
    t.pass(chrono::TimeDelta::minutes(1));
    t.run_jobs().await;
}

#[actix_web::test]
async fn of_two_administrators_at_once_one_wins() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let replies = join_all((1..=8).map(|days| set(&t, &admin, AHEAD, 0, json!(days)).send())).await;
    let mut statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM settings"), 1);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'set'"), 1);
}

/// Each right by itself, both together wrong: one of the two must learn it.
#[actix_web::test]
async fn two_settings_at_once_are_not_wrong_together() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (yellow, red) = ("/v1/settings/errands.yellow_percent", "/v1/settings/errands.red_percent");
    let replies =
        join_all([set(&t, &admin, yellow, 0, json!(90)).send(), set(&t, &admin, red, 0, json!(85)).send()]).await;
    let mut statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort();
    assert_eq!(statuses, [200, 409]);
    // Deadlines are counted again, once everybody knows.
    t.pass(chrono::TimeDelta::minutes(1));
    t.run_jobs().await;
}
