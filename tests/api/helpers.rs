//! Helpers: applying, deciding, and what they say of themselves.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Reply, Session, TestApp, id_number},
    merging::with_phone,
    staff::id,
};

/// A resident of 红星村 with a proved phone, whose ID number an officer has seen.
pub async fn known(t: &TestApp, who: &str, name: &str, (born, phone): (&str, &str)) -> Session {
    let session = with_phone(t, who, name, phone).await;
    let path = format!("/v1/residents/{}", session.subject);
    let agree = json!({"purpose": "id_number", "version": 1, "answer": "given"});
    t.post(&format!("{path}/consents")).by(&session).json(agree).send().await.created();
    let cadre = t.staff("cadre").await;
    let body = json!({"name": name, "unit_id": t.unit("红星村委会").await, "phone": phone, "id_number": id_number(born, 1), "identity_seen": "id_card"});
    t.put(&path).by(&cadre).header("if-match", "*").json(body).send().await.ok();
    session
}

pub async fn apply(t: &TestApp, who: &Session, body: Value) -> Reply {
    t.post("/v1/helpers/applications").by(who).json(body).send().await
}

pub async fn decide(t: &TestApp, by: &Session, helper: &Value, verb: &str, body: Value) -> Reply {
    let path = format!("/v1/helpers/{}/{verb}", id(helper));
    t.post(&path).by(by).header("if-match", "*").json(body).send().await
}

/// A volunteer of 红星村 who was approved with some skills.
pub async fn volunteer(t: &TestApp, who: &str, skills: &[&str]) -> (Session, Value) {
    let number = who.bytes().fold(0u32, |sum, byte| sum * 31 % 9000 + u32::from(byte)) % 9000 + 1000;
    let session = known(t, who, "林志愿", ("1970-01-01", &format!("1395093{number}"))).await;
    let applied = apply(t, &session, json!({"kind": "volunteer", "skills": skills})).await.created();
    let junxi = t.staff("junxi").await;
    let body = json!({"skills": skills, "unit_ids": []});
    let active = decide(t, &junxi, &applied, "approve", body).await.ok();
    t.run_jobs().await;
    (session, active)
}

pub async fn me(t: &TestApp, who: &Session) -> Value {
    t.get("/v1/helpers/me").by(who).send().await.ok()
}

/// What the database alone answers: whether a helper is free at a time.
pub fn free(t: &TestApp, helper: &Value, at: &str) -> bool {
    let sql = format!("SELECT helper_free(1, '{}', '{at}')::int::bigint AS n", id(helper));
    t.database.count(&sql) == 1
}

/// Whether a helper serves a unit, or a point.
pub fn serves(t: &TestApp, helper: &Value, unit: Uuid, point: &str) -> bool {
    let sql = format!("SELECT helper_serves(1, '{}', '{unit}', {point})::int::bigint AS n", id(helper));
    t.database.count(&sql) == 1
}

async fn skills_of(t: &TestApp) -> Vec<Value> {
    let page = t.get("/v1/skills?county=350425&state=active").send().await.ok();
    page["items"].as_array().expect("items").iter().map(|skill| skill["key"].clone()).collect()
}

#[actix_web::test]
async fn the_list_of_skills_is_the_countys() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    assert!(skills_of(&t).await.contains(&json!("care")));
    let put = |key: &str, version: &str, body: Value| {
        t.put(&format!("/v1/skills/{key}")).by(&admin).header("if-match", version).json(body).send()
    };
    let body = json!({"name_zh": "理发", "name_en": "cutting hair", "state": "active"});
    t.put("/v1/skills/hair").by(&admin).json(body.clone()).send().await.problem(428, "precondition_required");
    put("hair", "\"1\"", body.clone()).await.problem(412, "version_stale");
    let made = put("hair", "\"0\"", body.clone()).await.is(200);
    assert_eq!((&made.body["version"], made.header("etag")), (&json!(1), "\"1\""));
    put("hair", "\"0\"", body.clone()).await.problem(412, "version_stale");
    assert!(skills_of(&t).await.contains(&json!("hair")));
    let retired = json!({"name_zh": "理发", "name_en": "cutting hair", "state": "retired"});
    assert_eq!(put("hair", "\"1\"", retired.clone()).await.ok()["version"], 2);
    assert!(!skills_of(&t).await.contains(&json!("hair")));
    for key in ["Hair", "9a", "a-b", "a23456789012345678901234567890123"] {
        put(key, "*", body.clone()).await.problem(404, "not_found");
    }
    let blank = json!({"name_zh": " ", "name_en": "x", "state": "active"});
    assert_eq!(put("hair", "*", blank).await.problem(422, "invalid").faults(), ["/name_zh:length"]);
    // Of many who add the same at once one does, the others have seen nothing yet.
    let all = join_all((0..4).map(|_| put("sewing", "\"0\"", body.clone()))).await;
    assert_eq!(all.iter().filter(|reply| reply.status == 200).count(), 1);
    assert!(all.iter().all(|reply| [200, 412].contains(&reply.status)));
    let junxi = t.staff("junxi").await;
    t.put("/v1/skills/hair").by(&junxi).header("if-match", "*").json(body).send().await.problem(403, "forbidden");
}

#[actix_web::test]
async fn a_volunteer_applies_is_approved_stopped_and_resumed() {
    let t = TestApp::new().await;
    let lin = known(&t, "lin", "林阿姨", ("1970-05-01", "13950930001")).await;
    let (junxi, cadre, village) = (t.staff("junxi").await, t.staff("cadre").await, t.unit("红星村委会").await);
    let town = t.unit("均溪镇").await;
    t.get("/v1/helpers/me").by(&lin).send().await.problem(404, "not_found");
    let body = json!({"kind": "volunteer", "skills": ["care", "repair", "care"], "unit_ids": [town], "words": "退休护士，周末有空"});
    let sent = apply(&t, &lin, body.clone()).await.is(201);
    let helper = sent.body.clone();
    assert_eq!(sent.header("location"), format!("/v1/helpers/{}", id(&helper)));
    assert_eq!(
        (&helper["state"], &helper["skills"], &helper["claimed_skills"], &helper["asked_unit_ids"], &helper["words"]),
        (&json!("applied"), &json!([]), &json!(["care", "repair"]), &json!([town]), &json!("退休护士，周末有空"))
    );
    apply(&t, &lin, body).await.problem(409, "already_helper");
    assert!(!free(&t, &helper, "2026-11-23T10:00:00+08:00"), "nobody has decided yet");

    // It waits for the township; the village does not decide, and does not read what was written.
    let todos = t.get("/v1/todos?kind=decide").by(&junxi).send().await.ok();
    let todo =
        todos["items"].as_array().expect("items").iter().find(|todo| todo["about"] == "helper").expect("asked").clone();
    assert_eq!((&todo["about_id"], &todo["unit_id"]), (&helper["id"], &json!(town)));
    assert_eq!(t.get(&format!("/v1/helpers/{}", id(&helper))).by(&cadre).send().await.ok()["words"], Value::Null);
    decide(&t, &cadre, &helper, "approve", json!({"skills": [], "unit_ids": []})).await.problem(403, "forbidden");
    let seen = t.get(&format!("/v1/helpers/{}", id(&helper))).by(&junxi).send().await.ok();
    assert_eq!(
        (&seen["words"], &seen["name"], &seen["point"]),
        (&json!("退休护士，周末有空"), &json!("林*姨"), &Value::Null)
    );
    let looked = "SELECT count(*) AS n FROM audit_log WHERE action = 'read' AND entity = 'helper'";
    assert_eq!(t.database.count(looked), 1);

    let wrong = json!({"skills": ["care", "magic"], "unit_ids": [t.unit("石牌镇").await]});
    let reply = decide(&t, &junxi, &helper, "approve", wrong).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/skills/1:unknown_skill", "/unit_ids/0:unknown_unit"]);
    let granted = json!({"skills": ["care"], "unit_ids": []});
    let path = format!("/v1/helpers/{}/approve", id(&helper));
    t.post(&path).by(&junxi).json(granted.clone()).send().await.problem(428, "precondition_required");
    let stale = t.post(&path).by(&junxi).header("if-match", "\"9\"").json(granted.clone()).send().await;
    stale.problem(412, "version_stale");
    let key = Uuid::now_v7().to_string();
    let approve = || t.post(&path).by(&junxi).key(&key).header("if-match", "\"1\"").json(granted.clone()).send();
    let active = approve().await.is(200);
    assert_eq!(approve().await.is(200).bytes, active.bytes, "the same key, the same answer");
    assert_eq!(
        (&active["state"], &active["skills"], &active["unit_ids"]),
        (&json!("active"), &json!(["care"]), &json!([]))
    );
    decide(&t, &junxi, &helper, "approve", granted).await.problem(409, "helper_state");
    decide(&t, &junxi, &helper, "resume", json!({})).await.problem(409, "helper_state");
    assert!(free(&t, &helper, "2026-11-23T10:00:00+08:00"));
    assert!(serves(&t, &helper, village, "NULL, NULL") && !serves(&t, &helper, town, "NULL, NULL"));
    let done = "SELECT count(*) AS n FROM todos WHERE about LIKE 'helper%' AND state IN ('open', 'taken')";
    assert_eq!(t.database.count(done), 0);

    let stopped = decide(&t, &junxi, &helper, "stop", json!({"reason": "多次爽约"})).await.ok();
    assert_eq!((&stopped["state"], &stopped["reason"]), (&json!("stopped"), &Value::Null));
    assert_eq!(me(&t, &lin).await["reason"], "多次爽约");
    assert!(!free(&t, &helper, "2026-11-23T10:00:00+08:00"));
    decide(&t, &junxi, &helper, "resume", json!({})).await.ok();
    assert_eq!(me(&t, &lin).await["reason"], Value::Null);
    t.run_jobs().await;
    let inbox = t.get("/v1/messages").by(&lin).send().await.ok();
    let kinds: Vec<_> =
        inbox["items"].as_array().expect("items").iter().map(|message| message["kind"].clone()).collect();
    for kind in ["helper_approved", "helper_stopped", "helper_resumed"] {
        assert!(kinds.contains(&json!(kind)), "{kinds:?}");
    }
    assert!(!t.database.everything().contains("退休护士"), "sealed");
}

#[actix_web::test]
async fn who_is_too_young_or_unknown_goes_into_no_homes() {
    let t = TestApp::new().await;
    let want = json!({"kind": "volunteer"});
    let stranger = t.resident("stranger").await;
    apply(&t, &stranger, want.clone()).await.problem(403, "identity_needed");
    let young = known(&t, "young", "小林", ("2008-11-24", "13950930002")).await;
    apply(&t, &young, want.clone()).await.problem(409, "under_age");
    t.set_time("2026-11-24T08:00:00+08:00");
    let young = t.resident("young").await;
    apply(&t, &young, want.clone()).await.created();
    // With a phone only one may ask, but is not let in before an officer has seen who it is.
    let unseen = with_phone(&t, "unseen", "王五", "13950930003").await;
    let junxi_now = t.staff("junxi").await;
    let asked =
        apply(&t, &unseen, json!({"kind": "care_staff", "skills": ["nothing"], "unit_ids": [Uuid::nil()]})).await;
    assert_eq!(asked.problem(422, "invalid").faults(), ["/skills/0:unknown_skill", "/unit_ids/0:unknown_unit"]);
    let asked = apply(&t, &unseen, json!({"kind": "care_staff"})).await.created();
    let grant = json!({"skills": [], "unit_ids": []});
    decide(&t, &junxi_now, &asked, "approve", grant).await.problem(403, "identity_needed");
    let refused = decide(&t, &junxi_now, &asked, "refuse", json!({"reason": "请先核验身份"})).await.ok();
    assert_eq!(refused["state"], "refused");
    assert_eq!(me(&t, &unseen).await["reason"], "请先核验身份");
    decide(&t, &junxi_now, &asked, "refuse", json!({"reason": "再次"})).await.problem(409, "helper_state");
    // Again, as something else; the reason of before is gone.
    let again = apply(&t, &unseen, want).await.created();
    assert_eq!((&again["id"], &again["kind"], &again["reason"]), (&asked["id"], &json!("volunteer"), &Value::Null));
    t.run_jobs().await;
}

#[actix_web::test]
async fn many_taps_are_one_application_and_one_decision() {
    let t = TestApp::new().await;
    let lin = known(&t, "lin", "林阿姨", ("1970-05-01", "13950930001")).await;
    let all = join_all((0..6).map(|_| apply(&t, &lin, json!({"kind": "volunteer"})))).await;
    assert_eq!(all.iter().filter(|reply| reply.status == 201).count(), 1);
    for reply in all.iter().filter(|reply| reply.status != 201) {
        assert_eq!((reply.status, &reply.body["code"]), (409, &json!("already_helper")));
    }
    assert_eq!(t.database.count("SELECT count(*) AS n FROM helpers WHERE resident_id IS NOT NULL"), 1);
    let (helper, junxi) = (me(&t, &lin).await, t.staff("junxi").await);
    let approve = || decide(&t, &junxi, &helper, "approve", json!({"skills": [], "unit_ids": []}));
    let refuse = || decide(&t, &junxi, &helper, "refuse", json!({"reason": "名额已满"}));
    let (one, two, three) = futures_util::join!(approve(), refuse(), approve());
    let statuses = [one.status, two.status, three.status];
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    t.run_jobs().await;
}

#[actix_web::test]
async fn helpers_say_where_and_when() {
    let t = TestApp::new().await;
    let (lin, helper) = volunteer(&t, "lin", &["care"]).await;
    let town = t.unit("均溪镇").await;
    let put = |version: &str, query: &str, body: Value| {
        t.put(&format!("/v1/helpers/me{query}")).by(&lin).header("if-match", version).json(body).send()
    };
    let wrong = json!({"point": {"lng": 181.0, "lat": 25.0, "coordinate_system": "wgs84"}, "radius_m": 60000, "max_load": 0,
        "hours": [{"weekdays": [1, 1], "from_time": "10:00:00", "until_time": "12:00:00"}, {"weekdays": [8], "from_time": "12:00:00", "until_time": "10:00:00"}]});
    let faults = put("*", "", wrong).await.problem(422, "invalid").faults();
    assert_eq!(
        faults,
        [
            "/hours/0/weekdays:weekdays",
            "/hours/1/weekdays:weekdays",
            "/hours/1:hours",
            "/max_load:range",
            "/point/lng:range",
            "/radius_m:range"
        ]
    );
    let faults =
        put("*", "", json!({"radius_m": 100, "unit_ids": [Uuid::nil()]})).await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/radius_m:point_missing", "/unit_ids/0:unknown_unit"]);

    // Of a map in WeChat: stored as what satellites tell, answered in either.
    let body = json!({"point": {"lng": 117.970_660_530, "lat": 25.712_835_699, "coordinate_system": "gcj02"}, "radius_m": 5000, "max_load": 2,
        "hours": [{"weekdays": [1, 2], "from_time": "14:00:00", "until_time": "18:00:00"}, {"weekdays": [7], "from_time": "20:00:00", "until_time": "00:00:00"}],
        "unit_ids": [town]});
    t.put("/v1/helpers/me").by(&lin).json(body.clone()).send().await.problem(428, "precondition_required");
    put("\"99\"", "", body.clone()).await.problem(412, "version_stale");
    let now = put("*", "", body.clone()).await.ok();
    let point = |view: &Value, of: &str| view["point"][of].as_f64().expect("a number");
    assert_eq!(now["point"]["coordinate_system"], "wgs84");
    assert!((point(&now, "lng") - 117.965_846).abs() < 1e-7 && (point(&now, "lat") - 25.715_855).abs() < 1e-7);
    let mapped = t.get("/v1/helpers/me?coordinates=gcj02").by(&lin).send().await.ok();
    assert_eq!(mapped["point"]["coordinate_system"], "gcj02");
    assert!((point(&mapped, "lng") - 117.970_660_530).abs() < 1e-7);
    assert_eq!((&now["asked_unit_ids"], &now["unit_ids"]), (&json!([town]), &json!([])));
    assert_eq!(now["hours"][1], json!({"weekdays": [7], "from_time": "20:00:00", "until_time": "00:00:00"}));

    // Monday 2026-11-23 and Tuesday from 14:00 to 18:00, Sunday from 20:00.
    for (at, expected) in [
        ("2026-11-23T13:59:59+08:00", false),
        ("2026-11-23T14:00:00+08:00", true),
        ("2026-11-24T17:59:59+08:00", true),
        ("2026-11-24T18:00:00+08:00", false),
        ("2026-11-25T15:00:00+08:00", false),
        ("2026-11-29T23:59:59+08:00", true),
        ("2026-11-30T00:00:00+08:00", false),
    ] {
        assert_eq!(free(&t, &helper, at), expected, "{at}");
    }
}

#[actix_web::test]
async fn a_distance_counts_in_the_home_township_and_further_units_once_they_are_granted() {
    let t = TestApp::new().await;
    let (lin, helper) = volunteer(&t, "lin", &["care"]).await;
    let (town, far) = (t.unit("均溪镇").await, t.unit("石牌镇").await);
    let put = |body: Value| t.put("/v1/helpers/me").by(&lin).header("if-match", "*").json(body).send();
    let point = json!({"lng": 117.965_846, "lat": 25.715_855, "coordinate_system": "wgs84"});
    put(json!({"point": point, "radius_m": 5000, "unit_ids": [town]})).await.ok();
    assert!(serves(&t, &helper, town, "117.97, 25.72") && !serves(&t, &helper, town, "118.2, 25.9"));
    // However far it reaches: nobody has decided about another township.
    assert!(!serves(&t, &helper, far, "117.97, 25.72"));
    assert!(!serves(&t, &helper, town, "NULL, NULL"), "asked for, not granted");
    let junxi = t.staff("junxi").await;
    let todos = "SELECT count(*) AS n FROM todos WHERE about = 'helper_units' AND state = 'open'";
    assert_eq!(t.database.count(todos), 1);
    let path = format!("/v1/helpers/{}", id(&helper));
    let grant = |by: &Session, body: Value| t.put(&path).by(by).header("if-match", "*").json(body).send();
    let granted = grant(&junxi, json!({"skills": ["care", "repair"], "unit_ids": [town]})).await.ok();
    assert_eq!(
        (&granted["unit_ids"], &granted["asked_unit_ids"], &granted["skills"]),
        (&json!([town]), &json!([]), &json!(["care", "repair"]))
    );
    assert_eq!(t.database.count(todos), 0);
    assert!(serves(&t, &helper, town, "NULL, NULL"));
    // What the county granted outside the township's reach stays, if the township leaves it.
    let admin = t.staff("admin").await;
    grant(&admin, json!({"skills": ["care"], "unit_ids": [town, far]})).await.ok();
    let kept = grant(&junxi, json!({"skills": ["care"], "unit_ids": [far]})).await.ok();
    assert_eq!(kept["unit_ids"], json!([far]));
    assert!(serves(&t, &helper, far, "NULL, NULL"));
    assert_eq!(
        grant(&junxi, json!({"skills": [], "unit_ids": [], "unit_id": far})).await.problem(422, "invalid").faults(),
        ["/unit_id:unknown_unit"]
    );
    // Saying it again without it gives it up.
    let given_up = put(json!({})).await.ok();
    assert_eq!((&given_up["unit_ids"], &given_up["point"], &given_up["hours"]), (&json!([]), &Value::Null, &json!([])));
    assert!(free(&t, &helper, "2026-11-25T03:00:00+08:00"), "without hours: always");
}

#[actix_web::test]
async fn a_volunteer_who_is_away_is_not_free() {
    let t = TestApp::new().await;
    let (lin, helper) = volunteer(&t, "lin", &[]).await;
    let away = |body: Value| t.post("/v1/helpers/me/away").by(&lin).json(body).send();
    let reply = away(json!({"from": "2026-12-02T00:00:00+08:00", "until": "2026-12-01T00:00:00+08:00"})).await;
    assert_eq!(reply.problem(422, "invalid").faults(), ["/until:range"]);
    let reply = away(json!({"from": "2026-11-01T00:00:00+08:00", "until": "2026-11-02T00:00:00+08:00"})).await;
    assert_eq!(reply.problem(422, "invalid").faults(), ["/until:range"]);
    let now = away(json!({"from": "2026-12-01T00:00:00+08:00", "until": "2026-12-08T00:00:00+08:00"})).await.ok();
    assert_eq!(
        (&now["away_from"], &now["away_until"]),
        (&json!("2026-12-01T00:00:00+08:00"), &json!("2026-12-08T00:00:00+08:00"))
    );
    for (at, expected) in [
        ("2026-11-30T23:59:00+08:00", true),
        ("2026-12-01T00:00:00+08:00", false),
        ("2026-12-07T23:59:00+08:00", false),
        ("2026-12-08T00:00:00+08:00", true),
    ] {
        assert_eq!(free(&t, &helper, at), expected, "{at}");
    }
    // From now on, nobody knows until when.
    away(json!({})).await.ok();
    assert!(!free(&t, &helper, "2026-11-23T08:00:00+08:00") && !free(&t, &helper, "2030-01-01T08:00:00+08:00"));
    let back = || t.post("/v1/helpers/me/back").by(&lin).json(json!({})).send();
    let first = back().await.ok();
    assert_eq!((&first["away_from"], &back().await.ok()["version"]), (&Value::Null, &first["version"]));
    assert!(free(&t, &helper, "2026-11-23T08:00:00+08:00"));
    let stop = json!({"reason": "搬家"});
    decide(&t, &t.staff("junxi").await, &helper, "stop", stop).await.ok();
    away(json!({})).await.problem(409, "helper_state");
    t.post("/v1/helpers/me/away").by(&t.staff("cadre").await).json(json!({})).send().await.problem(403, "forbidden");
    t.run_jobs().await;
}
