//! Checking in visits: once whatever is repeated, by a clock that is wrong, with what may be kept of where it was.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    errands::villager,
    harness::{Reply, Session, TestApp},
};

/// Where the household of the tests lives.
pub const HOME: (f64, f64) = (117.8474, 25.6991);

pub fn reading(lng: f64, lat: f64) -> Value {
    json!({"lng": lng, "lat": lat, "coordinate_system": "wgs84", "accuracy_m": 12.0})
}

/// A visit of this morning to a household that is named when it is new.
pub fn visit(household: Uuid, more: Value) -> Value {
    let mut visit = json!({"id": Uuid::now_v7(), "household_id": household, "device_at": "2026-11-23T07:30:00+08:00", "outcome": "seen", "place": "home",
        "no_position_reason": "no_signal", "note": "身体还好"});
    for (name, value) in more.as_object().expect("fields") {
        visit[name] = value.clone();
    }
    visit
}

/// What makes a visit's household on the spot, with a home point.
pub fn spot(name: &str) -> Value {
    json!({"name": name, "address": "红星村 12 号", "home": {"lng": HOME.0, "lat": HOME.1, "coordinate_system": "wgs84"}})
}

pub async fn check_in(t: &TestApp, by: &Session, visit: &Value) -> Reply {
    let body = json!({"sent_at": "2026-11-23T08:00:00+08:00", "visit": visit});
    t.post("/v1/visits").by(by).json(body).send().await
}

pub async fn batch(t: &TestApp, by: &Session, sent_at: &str, visits: &[Value]) -> Vec<Value> {
    let body = json!({"sent_at": sent_at, "visits": visits});
    let answer = t.post("/v1/visits/batch").by(by).json(body).send().await.ok();
    answer["items"].as_array().expect("items").clone()
}

pub fn results(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["result"].as_str().expect("a result")).collect()
}

/// A household that a visit has made.
pub async fn household(t: &TestApp, by: &Session) -> Uuid {
    let id = Uuid::now_v7();
    check_in(t, by, &visit(id, json!({"household": spot("陈家")}))).await.created();
    id
}

/// They are written down as somebody who lives there.
pub async fn live_in(t: &TestApp, household: Uuid, resident: Uuid, relation: &str) {
    let (cadre, body) = (t.staff("cadre").await, json!({"resident_id": resident, "relation": relation}));
    let path = format!("/v1/households/{household}/members");
    t.post(&path).by(&cadre).header("if-match", "*").json(body).send().await.ok();
}

/// Somebody of 红星村 who lives there and has agreed that positions are kept.
pub async fn agreeing_member(t: &TestApp, household: Uuid) -> Session {
    let who = villager(t, "chen").await;
    live_in(t, household, who.subject, "head").await;
    let body = json!({"purpose": "position", "version": 1, "answer": "given"});
    t.post(&format!("/v1/residents/{}/consents", who.subject)).by(&who).json(body).send().await.created();
    who
}

fn path(visit: &Value) -> String {
    format!("/v1/visits/{}", visit["id"].as_str().expect("an id"))
}

pub async fn get(t: &TestApp, by: &Session, visit: &Value) -> Value {
    t.get(&path(visit)).by(by).send().await.ok()
}

pub async fn set(t: &TestApp, key: &str, value: &str) {
    let admin = t.staff("admin").await;
    let body = json!({"value": value, "reason": "试点"});
    t.put(&format!("/v1/settings/{key}")).by(&admin).header("if-match", "*").json(body).send().await.is(200);
}

fn count(t: &TestApp, table: &str) -> i64 {
    t.database.count(&format!("SELECT count(*) AS n FROM {table}"))
}

#[actix_web::test]
async fn a_visit_is_checked_in_once() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = Uuid::now_v7();
    let said = visit(home, json!({"household": spot("陈家")}));
    let made = check_in(&t, &specialist, &said).await.is(201);
    assert_eq!(made.header("location"), path(&said));
    let made = made.body;
    assert_eq!((&made["outcome"], &made["note"], &made["own"]), (&json!("seen"), &json!("身体还好"), &json!(true)));
    assert_eq!(
        (&made["skew_seconds"], &made["on_date"], &made["flags"]),
        (&json!(0), &json!("2026-11-23"), &json!([]))
    );
    assert_eq!(made["occurred_at"], "2026-11-23T07:30:00+08:00");
    // Under another key, and from a phone that has learnt meanwhile that the household is there.
    let same = check_in(&t, &specialist, &said).await.ok();
    assert_eq!(same["recorded_at"], made["recorded_at"]);
    let mut again = said.clone();
    again.as_object_mut().expect("fields").remove("household");
    check_in(&t, &specialist, &again).await.ok();
    assert_eq!((count(&t, "visits"), count(&t, "households"), count(&t, "visit_conflicts")), (1, 1, 0));
    let told = "changes WHERE entity = 'visit'";
    assert_eq!(count(&t, told), 1);
    // Somebody of the village sees it, and the look is recorded; the next village does not find it.
    let cadre = t.staff("cadre").await;
    assert_eq!(get(&t, &cadre, &said).await["own"], false);
    get(&t, &specialist, &said).await;
    assert_eq!(count(&t, "audit_log WHERE action = 'read_visit'"), 1);
    let page = t.get("/v1/visits?count=true").by(&cadre).send().await.ok();
    assert_eq!(
        (&page["total"], &page["items"][0]["id"], &page["items"][0]["note"]),
        (&json!(1), &said["id"], &Value::Null)
    );
    let of = |query: String| t.get(&format!("/v1/visits?count=true&{query}")).by(&specialist).send();
    for (query, expected) in [
        (format!("household_id={home}"), 1),
        ("mine=true".into(), 1),
        ("outcome=not_found".into(), 0),
        ("flag=far".into(), 0),
        ("until=2026-11-23T07:30:00%2B08:00".into(), 0),
        ("from=2026-11-23T07:30:00%2B08:00".into(), 1),
    ] {
        assert_eq!(of(query.clone()).await.ok()["total"], expected, "{query}");
    }
    let other = t.unit("石牌镇").await;
    assert_eq!(of(format!("unit_id={other}")).await.ok()["total"], 0);
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_batch_answers_per_item_and_one_bad_item_spoils_none() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let first = visit(one, json!({"household": spot("陈家")}));
    let far = t.unit("石牌镇").await;
    let all = [
        first.clone(),
        visit(one, json!({"outcome": "not_found"})),
        first.clone(),
        visit(Uuid::now_v7(), json!({})),
        visit(two, json!({"household": {"name": "林家", "unit_id": far}})),
        visit(two, json!({"household": spot("林家"), "device_at": "2026-11-23T09:00:00+08:00", "colour": "red"})),
        json!("nothing"),
        visit(two, json!({"household": spot("林家")})),
        visit(one, json!({"id": first["id"], "note": "另一次"})),
        visit(
            one,
            json!({"position": {"lng": 25.6991, "lat": 117.8474, "coordinate_system": "wgs84", "accuracy_m": -1}, "no_position_reason": null}),
        ),
    ];
    let items = batch(&t, &specialist, "2026-11-23T08:00:00+08:00", &all).await;
    assert_eq!(
        results(&items),
        ["created", "created", "same", "refused", "refused", "refused", "refused", "created", "conflict", "refused"]
    );
    let faults = |index: usize| {
        let errors = items[index]["refusal"]["errors"].as_array().expect("errors");
        let mut faults: Vec<_> = errors
            .iter()
            .map(|error| {
                format!("{}:{}", error["pointer"].as_str().expect("a place"), error["code"].as_str().expect("a code"))
            })
            .collect();
        faults.sort();
        faults
    };
    assert_eq!(faults(3), ["/visits/3/household_id:unknown_household"]);
    assert_eq!(faults(4), ["/visits/4/household/unit_id:unknown_unit"]);
    assert_eq!(faults(5), ["/visits/5/colour:unknown_field"]);
    assert_eq!((&items[6]["id"], faults(6).len()), (&Value::Null, 1));
    assert_eq!(
        faults(9),
        ["/visits/9/position/accuracy_m:range", "/visits/9/position/lat:range", "/visits/9/position:swapped"]
    );
    assert_eq!((count(&t, "visits"), count(&t, "households"), count(&t, "visit_conflicts")), (3, 2, 1));
    // All of it again, under another key: nothing comes of it, but for what was refused because its household was not there yet.
    let again = batch(&t, &specialist, "2026-11-23T08:00:00+08:00", &all).await;
    assert_eq!(again[0]["result"], "same");
    assert_eq!((&again[4]["result"], &again[5]["result"]), (&json!("created"), &json!("refused")));
    assert_eq!(again[8]["conflict_id"], items[8]["conflict_id"]);
    assert_eq!((count(&t, "visits"), count(&t, "households"), count(&t, "visit_conflicts")), (4, 2, 1));
    let none =
        t.post("/v1/visits/batch").by(&specialist).json(json!({"sent_at": "2026-11-23T08:00:00+08:00", "visits": []}));
    none.send().await.problem(422, "invalid");
    let many: Vec<_> = (0..51).map(|_| visit(one, json!({}))).collect();
    let many = t
        .post("/v1/visits/batch")
        .by(&specialist)
        .json(json!({"sent_at": "2026-11-23T08:00:00+08:00", "visits": many}));
    assert_eq!(many.send().await.problem(422, "invalid").faults(), ["/visits:length"]);
    t.run_jobs().await;
}

/// However much is wrong, the answer can be kept for a repetition.
#[actix_web::test]
async fn a_batch_full_of_faults_is_answered() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let wrong: serde_json::Map<String, Value> = (0..60).map(|number| (format!("field_{number}"), json!(1))).collect();
    let all: Vec<_> = (0..50).map(|_| Value::Object(wrong.clone())).collect();
    let items = batch(&t, &specialist, "2026-11-23T08:00:00+08:00", &all).await;
    assert!(items.len() == 50 && items.iter().all(|item| item["result"] == "refused"), "{items:?}");
}

#[actix_web::test]
async fn the_same_id_with_other_content_or_from_somebody_else_is_a_conflict_with_both_kept() {
    let t = TestApp::new().await;
    let (specialist, cadre, junxi) = (t.staff("specialist").await, t.staff("cadre").await, t.staff("junxi").await);
    let home = household(&t, &specialist).await;
    let first = visit(home, json!({}));
    check_in(&t, &specialist, &first).await.created();
    let mut other = first.clone();
    other["outcome"] = json!("not_found");
    other["note"] = json!("没有人在家");
    check_in(&t, &specialist, &other).await.problem(409, "visit_conflict");
    check_in(&t, &specialist, &other).await.problem(409, "visit_conflict");
    // Word for word, and yet by somebody else.
    check_in(&t, &cadre, &first).await.problem(409, "visit_conflict");
    let versions = t.get(&format!("{}/conflicts", path(&first))).by(&specialist).send().await.ok();
    assert_eq!((&versions["first"]["note"], &versions["first"]["outcome"]), (&json!("身体还好"), &json!("seen")));
    let others: Vec<_> =
        versions["items"].as_array().expect("items").iter().map(|one| (&one["note"], &one["staff_name"])).collect();
    assert_eq!(others, [(&json!("没有人在家"), &json!("红星村特派员")), (&json!("身体还好"), &json!("红星村代办员"))]);
    assert_eq!(get(&t, &junxi, &first).await["open_conflicts"], 2);
    let settle = |by: &Session, tag: &str, index: usize, how: &str| {
        let body = json!({"conflict_id": versions["items"][index]["id"], "how": how});
        t.post(&format!("{}/settle", path(&first))).by(by).header("if-match", tag).json(body).send()
    };
    settle(&cadre, "*", 0, "keep").await.problem(409, "not_visitor");
    settle(&specialist, "\"1\"", 0, "amend").await.problem(412, "version_stale");
    let amended = settle(&specialist, "*", 0, "amend").await.ok();
    assert_eq!(
        (&amended["outcome"], &amended["outcome_said"], &amended["open_conflicts"]),
        (&json!("not_found"), &json!("seen"), &json!(1))
    );
    assert_eq!(amended["amendments"][0]["note"], "没有人在家");
    settle(&junxi, "*", 0, "keep").await.problem(409, "conflict_settled");
    assert_eq!(settle(&junxi, "*", 1, "keep").await.ok()["open_conflicts"], 0);
    // What the phone says stays what it was, whatever was settled.
    check_in(&t, &specialist, &first).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_is_right_instead_is_a_further_entry() {
    let t = TestApp::new().await;
    let (specialist, cadre) = (t.staff("specialist").await, t.staff("cadre").await);
    let home = household(&t, &specialist).await;
    let said = visit(home, json!({"outcome": "not_found"}));
    check_in(&t, &specialist, &said).await.created();
    let amend = |by: &Session, body: Value| t.post(&format!("{}/amendments", path(&said))).by(by).json(body).send();
    amend(&cadre, json!({"note": "不是我的"})).await.problem(409, "not_visitor");
    amend(&specialist, json!({})).await.problem(422, "invalid");
    let added = amend(&specialist, json!({"outcome": "seen", "note": "后来在地里见到"})).await.created();
    assert_eq!(added["note"], "后来在地里见到");
    let seen = get(&t, &cadre, &said).await;
    assert_eq!(
        (&seen["outcome"], &seen["outcome_said"], &seen["note"]),
        (&json!("seen"), &json!("not_found"), &json!("身体还好"))
    );
    assert_eq!((&seen["amendment_count"], &seen["version"]), (&json!(1), &json!(2)));
    let page = t.get("/v1/visits?outcome=not_found&count=true").by(&cadre).send().await.ok();
    assert_eq!(page["total"], 0);
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_position_is_flagged_and_kept_only_where_somebody_agreed() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    let here = |lat: f64| json!({"no_position_reason": null, "position": reading(HOME.0, lat)});
    let alone = check_in(&t, &specialist, &visit(home, here(HOME.1))).await.created();
    assert_eq!((&alone["left_out"], &alone["position"]), (&json!(["position_without_consent"]), &Value::Null));
    assert_eq!((&alone["distance_m"], &alone["accuracy_m"]), (&Value::Null, &Value::Null));
    let who = agreeing_member(&t, home).await;
    let near = visit(home, here(HOME.1));
    let kept = check_in(&t, &specialist, &near).await.created();
    assert_eq!((&kept["left_out"], &kept["distance_m"], &kept["flags"]), (&json!([]), &json!(0.0), &json!([])));
    assert_eq!(kept["position"]["lat"], HOME.1);
    // A kilometre north: accepted, and told.
    let far = check_in(&t, &specialist, &visit(home, here(HOME.1 + 0.009))).await.created();
    assert_eq!(far["flags"], json!(["far"]));
    assert!(far["distance_m"].as_f64().is_some_and(|metres| (990.0..1_010.0).contains(&metres)), "{far}");
    // The home point is where it was.
    let point = t.database.count("SELECT count(*) AS n FROM households WHERE lat = 25.6991 AND lng = 117.8474");
    assert_eq!(point, 1);
    // No list shows a point.
    let page = t.get("/v1/visits?mine=true").by(&specialist).send().await.ok();
    assert!(page["items"].as_array().expect("items").iter().all(|one| one["position"].is_null()), "{page}");
    check_in(&t, &specialist, &near).await.ok();
    let withdraw = format!("/v1/residents/{}/consents/position/withdraw", who.subject);
    t.post(&withdraw).by(&who).json(json!({})).send().await.ok();
    let gone = get(&t, &specialist, &near).await;
    assert_eq!(
        (&gone["position"], &gone["distance_m"], &gone["note"]),
        (&Value::Null, &Value::Null, &json!("身体还好"))
    );
    assert_eq!(gone["left_out"], json!(["position_withdrawn"]));
    let same = check_in(&t, &specialist, &near).await.ok();
    assert_eq!((same["position"].clone(), count(&t, "visit_conflicts")), (Value::Null, 0));
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_county_decides_what_evidence_there_is() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    agreeing_member(&t, home).await;
    let photo = Uuid::now_v7();
    let all =
        || visit(home, json!({"no_position_reason": null, "position": reading(HOME.0, HOME.1), "photos": [photo]}));
    let bare = || visit(home, json!({"no_position_reason": null}));
    check_in(&t, &specialist, &bare()).await.created();
    set(&t, "visits.position", "off").await;
    set(&t, "visits.photo", "off").await;
    let off = check_in(&t, &specialist, &all()).await.created();
    assert_eq!(off["left_out"], json!(["position_off", "photos_off"]));
    assert_eq!(
        (&off["position"], &off["photos"], count(&t, "visits WHERE lng IS NOT NULL")),
        (&Value::Null, &json!([]), 0)
    );
    set(&t, "visits.position", "required").await;
    set(&t, "visits.photo", "required").await;
    let faults = check_in(&t, &specialist, &bare()).await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/visit/photos:required", "/visit/position:required"]);
    // A reason is enough: nobody is forced.
    check_in(&t, &specialist, &visit(home, json!({"photos": [photo]}))).await.created();
    check_in(&t, &specialist, &all()).await.created();
    t.run_jobs().await;
}

#[actix_web::test]
async fn bad_input_is_told_clearly_and_nothing_is_half_kept() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    let before = count(&t, "visits");
    for (more, expected) in [
        (json!({"device_at": "2026-11-23T08:00:01+08:00"}), "/visit/device_at:after_sent_at"),
        (json!({"device_at": "2025-10-01T08:00:00+08:00"}), "/visit/device_at:too_old"),
        (json!({"position": reading(190.0, 25.0), "no_position_reason": null}), "/visit/position/lng:range"),
        (
            json!({"position": reading(HOME.1, HOME.0 - 90.0), "no_position_reason": "denied"}),
            "/visit/no_position_reason:not_both",
        ),
        (json!({"outcome": "met"}), "/visit/outcome:unknown_value"),
        (json!({"note": ""}), "/visit/note:length"),
        (json!({"photos": [home, home]}), "/visit/photos/1:twice"),
        (json!({"id": Uuid::nil()}), "/visit/id:nil"),
    ] {
        let reply = check_in(&t, &specialist, &visit(home, more)).await.problem(422, "invalid");
        assert!(reply.faults().contains(&expected.to_owned()), "{expected}: {:?}", reply.faults());
    }
    let body = json!({"sent_at": "1969-01-01T08:00:00+08:00", "visit": visit(home, json!({}))});
    let reply = t.post("/v1/visits").by(&specialist).json(body).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/sent_at:range"]);
    // Years off, both of them: that is a clock, not a fault.
    let body = json!({"sent_at": "1999-01-01T08:00:00+08:00", "visit": visit(home, json!({"device_at": "1999-01-01T07:00:00+08:00"}))});
    let off = t.post("/v1/visits").by(&specialist).json(body).send().await.created();
    assert_eq!((&off["flags"], &off["occurred_at"]), (&json!(["clock_off"]), &json!("2026-11-23T07:00:00+08:00")));
    assert_eq!((&off["device_at"], count(&t, "visits")), (&json!("1999-01-01T07:00:00+08:00"), before + 1));
    // Who may not is told before anything is read.
    let resident = t.resident("chen").await;
    check_in(&t, &resident, &visit(home, json!({}))).await.problem(403, "forbidden");
    t.run_jobs().await;
}

#[actix_web::test]
async fn of_many_at_once_one_is_there() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    let said: Vec<_> = (0..10).map(|_| visit(home, json!({}))).collect();
    let all = join_all((0..6).map(|_| batch(&t, &specialist, "2026-11-23T08:00:00+08:00", &said))).await;
    let results: Vec<_> = all.iter().flat_map(|items| results(items)).collect();
    let created = results.iter().filter(|result| **result == "created").count();
    assert_eq!((created, results.len(), count(&t, "visits")), (10, 60, 11));
    assert!(results.iter().all(|result| matches!(*result, "created" | "same")), "{results:?}");
    assert_eq!(count(&t, "visit_conflicts"), 0);
    t.run_jobs().await;
}
