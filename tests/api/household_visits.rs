//! What is due: categories, tasks that a visit resolves, partners, handing over; tags and merging.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Session, TestApp},
    households::{category, create, here, seen, tell},
    merging::{id, register},
    visits::{check_in, spot, visit},
};

/// What a check-in that met somebody does to tasks, by the function that it calls.
fn visited(t: &TestApp, household: &Value, on: &str) -> String {
    let visit = Uuid::now_v7().to_string();
    t.database.run(&format!(
        "SELECT visit_tasks_resolve(1, '{}', '{visit}', '{on}', '2026-11-23T08:00:00+08:00')",
        id(household)
    ));
    visit
}

fn tasks(t: &TestApp, household: &Value) -> Vec<String> {
    t.database.texts(&format!(
        "SELECT concat_ws(' ', state, opens_on, due_on, resolved_on) AS text FROM visit_tasks WHERE household_id = '{}' ORDER BY created_at, opens_on, due_on",
        id(household)
    ))
}

async fn put(t: &TestApp, by: &Session, household: &Value, category: Value) -> Value {
    let body = json!({"unit_id": household["unit_id"], "name": household["name"], "category_id": category});
    t.put(&format!("/v1/households/{}", id(household))).by(by).header("if-match", "*").json(body).send().await.ok()
}

#[actix_web::test]
async fn a_category_makes_a_task_and_only_a_visit_resolves_it() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let monthly = category(&t, "重点关爱户").await;
    let made = create(&t, &specialist, "陈家", json!({"category_id": monthly})).await;
    assert_eq!((&made["task"]["opens_on"], &made["task"]["due_on"]), (&json!("2026-11-23"), &json!("2026-12-03")));
    let day = t.get("/v1/my_day").by(&specialist).send().await.is(200);
    assert!(day.bytes.windows(10).any(|word| word == b"visit_task"), "it stands in the day");
    // Too early for its window: nothing but the last visit.
    visited(&t, &made, "2026-11-01");
    assert_eq!(tasks(&t, &made), ["open 2026-11-23 2026-12-03"]);
    assert_eq!(seen(&t, &specialist, &made).await["last_visit_on"], "2026-11-01");
    visited(&t, &made, "2026-11-28");
    assert_eq!(tasks(&t, &made), ["resolved 2026-11-23 2026-12-03 2026-11-28", "open 2026-12-18 2026-12-28"]);
    // One that arrives late counts for the window in which it lies, and the next stays where it is.
    let late = visited(&t, &made, "2026-11-25");
    assert_eq!(tasks(&t, &made), ["resolved 2026-11-23 2026-12-03 2026-11-25", "open 2026-12-18 2026-12-28"]);
    assert_eq!(seen(&t, &specialist, &made).await["last_visit_on"], "2026-11-28");
    let resolved = t.get("/v1/visit-tasks?state=resolved&count=true").by(&specialist).send().await.ok();
    assert_eq!((&resolved["total"], &resolved["items"][0]["visit_id"]), (&json!(1), &json!(late)));
    // A later one in the same window changes nothing, and after the due day it was late.
    visited(&t, &made, "2026-11-30");
    visited(&t, &made, "2027-01-05");
    assert_eq!(tasks(&t, &made)[1..], ["resolved 2026-12-18 2026-12-28 2027-01-05", "open 2027-01-25 2027-02-04"]);
    // Another category: the open task is dropped, the next counts from the last visit.
    let changed = put(&t, &specialist, &made, category(&t, "一般户").await).await;
    assert_eq!(
        (&changed["task"]["opens_on"], &changed["task"]["due_on"]),
        (&json!("2027-03-06"), &json!("2027-04-05"))
    );
    assert_eq!(put(&t, &specialist, &made, Value::Null).await["task"], Value::Null);
    let dropped = t.get("/v1/visit-tasks?state=dropped").by(&specialist).send().await.ok();
    assert_eq!(dropped["items"].as_array().expect("items").len(), 2);
    let learnt = "SELECT count(*) AS n FROM changes WHERE entity = 'visit_task' AND gone";
    assert!(t.database.count(learnt) >= 4);
    // Nothing is refused because of a household without a category.
    visited(&t, &made, "2027-01-06");
    let deletes = "SELECT count(*) AS n FROM information_schema.role_table_grants WHERE table_name = 'visit_tasks' AND grantee = 'lianxin_service' AND privilege_type = 'DELETE'";
    assert_eq!(t.database.count(deletes), 0);
}

#[actix_web::test]
async fn categories_are_the_administrators() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let body = json!({"name": "每周", "every_days": 7, "window_days": 3});
    t.post("/v1/visit-categories").by(&cadre).json(body.clone()).send().await.problem(403, "forbidden");
    let made = t.post("/v1/visit-categories").by(&admin).json(body.clone()).send().await.created();
    t.post("/v1/visit-categories").by(&admin).json(body.clone()).send().await.problem(409, "name_taken");
    let wide = json!({"name": "宽", "every_days": 7, "window_days": 8});
    let wide = t.post("/v1/visit-categories").by(&admin).json(wide).send().await.problem(422, "invalid");
    assert_eq!(wide.faults(), ["/window_days:range"]);
    let path = format!("/v1/visit-categories/{}", id(&made));
    let closed = json!({"name": "每周", "every_days": 7, "window_days": 3, "state": "closed"});
    t.put(&path).by(&admin).header("if-match", "\"9\"").json(closed.clone()).send().await.problem(412, "version_stale");
    let household = create(&t, &cadre, "陈家", json!({"category_id": made["id"]})).await;
    assert_eq!(t.put(&path).by(&admin).header("if-match", "\"1\"").json(closed).send().await.ok()["version"], 2);
    // Who is in it stays; nobody else comes in.
    put(&t, &cadre, &household, made["id"].clone()).await;
    let other = json!({"unit_id": household["unit_id"], "name": "乙", "category_id": made["id"]});
    let other = t.post("/v1/households").by(&cadre).json(other).send().await.problem(422, "invalid");
    assert_eq!(other.faults(), ["/category_id:unknown_category"]);
}

#[actix_web::test]
async fn partners_have_dates_and_whoever_leaves_hands_everything_over() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let (made, chen) = crate::staff::open(&t, &admin, "chen", "township_staff", "石牌镇").await;
    let household =
        create(&t, &cadre, "陈家", json!({"category_id": category(&t, "一般户").await, "address": "1号"})).await;
    let with = tell(&t, &cadre, &household, "partners", json!({"staff_id": chen.subject})).await.ok();
    assert_eq!(with["partner_id"], json!(chen.subject));
    assert_eq!(seen(&t, &chen, &household).await["address"], "1号", "a partner sees it plain, of whatever unit");
    let again = json!({"staff_id": cadre.subject, "reason": "就近照看"});
    tell(&t, &cadre, &household, "partners", again.clone()).await.problem(409, "has_partner");
    let later = json!({"staff_id": chen.subject, "from_on": "2026-12-01"});
    let later = tell(&t, &cadre, &household, "partners", later).await.problem(422, "invalid");
    assert_eq!(later.faults(), ["/from_on:range"]);
    tell(&t, &cadre, &household, "hand_over", json!({"holder_id": chen.subject})).await.ok();

    t.set_time("2026-11-25T08:00:00+08:00");
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let path = format!("/v1/staff/{}/dismiss", id(&made));
    let alone = json!({"reason": "退休"});
    let refused = t.post(&path).by(&admin).header("if-match", "*").json(alone).send().await.problem(409, "still_holds");
    assert!(refused["detail"].as_str().expect("what").contains("households"));
    let body = json!({"hand_over_to": cadre.subject, "reason": "退休"});
    let left = t.post(&path).by(&admin).header("if-match", "*").json(body).send().await.ok();
    assert_eq!(left["moved"], json!([{"room": "households", "count": 2}]));
    let after = seen(&t, &cadre, &household).await;
    assert_eq!((&after["holder_id"], &after["partner_id"]), (&json!(cadre.subject), &json!(cadre.subject)));
    assert_eq!(after["task"]["holder_id"], json!(cadre.subject));
    let all = t.get(&format!("/v1/households/{}/partners", id(&household))).by(&cadre).send().await.ok();
    let dates: Vec<_> =
        all["items"].as_array().expect("items").iter().map(|of| (&of["from_on"], &of["until_on"])).collect();
    assert_eq!(dates, [(&json!("2026-11-23"), &json!("2026-11-25")), (&json!("2026-11-25"), &Value::Null)]);
    let end = format!("partners/{}/end", id(&all["items"][1]));
    assert_eq!(tell(&t, &cadre, &household, &end, json!({})).await.ok()["partner_id"], Value::Null);
    tell(&t, &cadre, &household, &end, json!({})).await.problem(404, "not_found");
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_household_that_comes_back_is_planned_from_that_day() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let household = create(&t, &cadre, "陈家", json!({"category_id": category(&t, "一般户").await})).await;
    tell(&t, &cadre, &household, "close", json!({"reason": "moved_away"})).await.ok();
    t.set_time("2027-06-01T08:00:00+08:00");
    let cadre = t.staff("cadre").await;
    let back = tell(&t, &cadre, &household, "reopen", json!({"reason": "回来了"})).await.ok();
    assert!(back["task"]["due_on"].as_str().expect("a day") >= "2027-06-01", "{back}");
}

#[actix_web::test]
async fn a_partnership_ends_when_it_was_planned_to() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let (_, chen) = crate::staff::open(&t, &admin, "chen", "township_staff", "石牌镇").await;
    let household = create(&t, &cadre, "陈家", json!({})).await;
    let until = |day: &str| json!({"staff_id": chen.subject, "until_on": day});
    let today = tell(&t, &cadre, &household, "partners", until("2026-11-23")).await.problem(422, "invalid");
    assert_eq!(today.faults(), ["/until_on:range"]);
    tell(&t, &cadre, &household, "partners", until("2026-12-31")).await.ok();
    let path = format!("/v1/households/{}/partners", id(&household));
    let all = t.get(&path).by(&cadre).send().await.ok();
    assert_eq!(all["items"][0]["until_on"], "2026-12-31");
    let end = format!("partners/{}/end", id(&all["items"][0]));
    let past = tell(&t, &cadre, &household, &end, json!({"on": "2026-11-22"})).await.problem(422, "invalid");
    assert_eq!(past.faults(), ["/on:range"]);
    let sooner = tell(&t, &cadre, &household, &end, json!({"on": "2026-11-25"})).await.ok();
    assert_eq!(sooner["partner_id"], json!(chen.subject), "until then");

    t.set_time("2026-11-24T23:59:00+08:00");
    t.tick().await;
    t.set_time("2026-11-25T00:01:00+08:00");
    let cadre = t.staff("cadre").await;
    let before = seen(&t, &cadre, &household).await;
    assert_eq!(before["partner_id"], json!(chen.subject), "the day before it has not ended");
    t.tick().await;
    t.tick().await;
    let after = seen(&t, &cadre, &household).await;
    assert_eq!(after["partner_id"], Value::Null);
    assert_eq!(after["version"].as_i64(), before["version"].as_i64().map(|version| version + 1), "once");
    let all = t.get(&path).by(&cadre).send().await.ok();
    assert_eq!(all["items"][0]["until_on"], "2026-11-25");
    tell(&t, &cadre, &household, "partners", json!({"staff_id": cadre.subject, "reason": "就近照看"})).await.ok();
}

#[actix_web::test]
async fn tags_have_a_permission_of_their_own_and_sensitive_ones_a_consent() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let granny = register(&t, &cadre, "陈阿婆", None, None).await;
    let members = json!({"members": [{"resident_id": granny["id"], "relation": "head"}]});
    let household = create(&t, &cadre, "陈家", members).await;
    let tags = format!("/v1/households/{}/tags", id(&household));
    tell(&t, &cadre, &household, "tags", json!({"tag": "living_alone"})).await.ok();
    tell(&t, &cadre, &household, "tags", json!({"tag": "living_alone"})).await.problem(409, "tag_there");
    for (body, fault) in [
        (json!({"tag": "rich"}), "/tag:unknown_tag"),
        (json!({"tag": "disabled"}), "/resident_id:required"),
        (json!({"tag": "disabled", "resident_id": Uuid::nil()}), "/resident_id:not_a_member"),
    ] {
        assert_eq!(tell(&t, &cadre, &household, "tags", body).await.problem(422, "invalid").faults(), [fault]);
    }
    let disabled = json!({"tag": "disabled", "resident_id": granny["id"]});
    tell(&t, &cadre, &household, "tags", disabled.clone()).await.problem(403, "consent_required");
    let consents = format!("/v1/residents/{}/consents", id(&granny));
    let given = json!({"purpose": "health", "version": 1, "answer": "given", "how": "signed"});
    t.post(&consents).by(&cadre).json(given).send().await.created();
    let both = tell(&t, &cadre, &household, "tags", disabled).await.ok();
    assert_eq!(both["items"].as_array().expect("items").len(), 2);
    // Neither a household nor the administrator's list tells tags.
    assert_eq!(seen(&t, &cadre, &household).await["tags"], Value::Null);
    t.get(&tags).by(&admin).send().await.problem(403, "forbidden");
    assert_eq!(t.get(&tags).by(&t.staff("junxi").await).send().await.ok()["items"][1]["tag"], "disabled");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'read_tags'"), 1);
    let withdraw = format!("{consents}/health/withdraw");
    t.post(&withdraw).by(&cadre).json(json!({"how": "spoken"})).send().await;
    let left = t.get(&tags).by(&cadre).send().await.ok();
    assert_eq!(left["items"].as_array().expect("items").len(), 1, "what rested on the consent is gone");
    let end = format!("tags/{}/end", id(&left["items"][0]));
    assert_eq!(tell(&t, &cadre, &household, &end, json!({})).await.ok()["items"][0]["until_on"], "2026-11-23");
    tell(&t, &cadre, &household, &end, json!({})).await.problem(404, "not_found");

    let kind = json!({"name_zh": "烈属", "name_en": "of a martyr", "state": "active"});
    let put = |key: &str, version: &str, body: Value| {
        t.put(&format!("/v1/household-tags/{key}")).by(&admin).header("if-match", version).json(body).send()
    };
    assert_eq!(put("martyr", "\"0\"", kind.clone()).await.ok()["version"], 1);
    put("martyr", "\"0\"", kind.clone()).await.problem(412, "version_stale");
    assert_eq!(put("disabled", "*", kind.clone()).await.problem(422, "invalid").faults(), ["/consent:consent"]);
    put("Bad", "*", kind).await.problem(404, "not_found");
    t.run_jobs().await;
}

#[actix_web::test]
async fn two_households_become_one_and_the_id_leads_on() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let (a, b) = (register(&t, &cadre, "张甲", None, None).await, register(&t, &cadre, "张乙", None, None).await);
    let head = |of: &Value| json!([{"resident_id": of["id"], "relation": "head"}]);
    let stays = create(&t, &cadre, "甲家", json!({"members": head(&a)})).await;
    let more = json!({"members": head(&b), "address": "3号", "code": "HX-9", "point": here(), "category_id": category(&t, "一般户").await});
    let goes = create(&t, &specialist, "甲家（补）", more).await;
    tell(&t, &cadre, &goes, "tags", json!({"tag": "empty_nest"})).await.ok();
    visited(&t, &goes, "2026-11-20");
    let merge = |into: &Value, from: &Value| json!({"duplicate_id": from["id"], "reason": format!("重复{}", id(into))});
    let same = tell(&t, &cadre, &stays, "merge", merge(&stays, &stays)).await.problem(422, "invalid");
    assert_eq!(same.faults(), ["/duplicate_id:same"]);
    tell(&t, &cadre, &stays, "merge", merge(&stays, &goes)).await.ok();
    let one = seen(&t, &specialist, &goes).await;
    assert_eq!((&one["id"], &one["address"], &one["code"]), (&stays["id"], &json!("3号"), &json!("HX-9")));
    assert_eq!((&one["last_visit_on"], &one["name"]), (&json!("2026-11-20"), &json!("甲家")));
    let relations: Vec<_> = one["members"].as_array().expect("members").iter().map(|of| &of["relation"]).collect();
    assert_eq!(relations, ["head", "other"]);
    assert!(one["point"].is_object() && one["task"].is_object());
    let points = t.get(&format!("/v1/households/{}/points", id(&stays))).by(&specialist).send().await.ok();
    assert_eq!(points["items"][0]["household_id"], goes["id"], "the history of both");
    let tags = t.get(&format!("/v1/households/{}/tags", id(&stays))).by(&cadre).send().await.ok();
    assert_eq!(tags["items"][0]["tag"], "empty_nest");
    // A phone that does not know yet checks in at the one that vanished.
    visited(&t, &goes, "2026-11-22");
    assert_eq!(seen(&t, &specialist, &stays).await["last_visit_on"], "2026-11-22");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM visit_tasks WHERE state = 'open'"), 1);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM households WHERE state = 'merged' AND name IS NOT NULL"), 0);
    // A third one: ids lead on in one step.
    let third = create(&t, &cadre, "甲家三", json!({})).await;
    tell(&t, &cadre, &third, "merge", merge(&third, &stays)).await.ok();
    assert_eq!(seen(&t, &cadre, &goes).await["id"], third["id"]);
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_record_that_is_closed_leaves_an_empty_household_behind() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let granny = t.resident("granny").await;
    let unit = t.unit("红星村委会").await;
    let path = format!("/v1/residents/{}", granny.subject);
    let body = json!({"name": "陈阿婆", "unit_id": unit});
    t.put(&path).by(&granny).header("if-match", "*").json(body).send().await.ok();
    let members = json!([{"resident_id": granny.subject, "relation": "head"}]);
    let household = create(&t, &cadre, "陈阿婆", json!({"members": members, "address": "12号", "point": here()})).await;
    let ask = json!({"kind": "close"});
    t.post(&format!("{path}/data_requests")).by(&granny).json(ask).send().await.is(202);
    crate::closed_records::settle(&t).await;
    let left = format!(
        "SELECT concat_ws(' ', state, name IS NULL, address IS NULL, lng IS NULL) AS text FROM households WHERE id = '{}'",
        id(&household)
    );
    assert_eq!(t.database.text(&left), "closed t t t");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM household_members"), 0);
}

#[actix_web::test]
async fn several_phones_meet_the_same_household_at_once() {
    let t = TestApp::new().await;
    let phones = [t.staff("specialist").await, t.staff("cadre").await];
    let home = Uuid::now_v7();
    let said: Vec<_> = (0..12).map(|_| visit(home, json!({"household": spot("新来的郑家")}))).collect();
    // Each twice: one of the answers was lost.
    let sent = said.iter().enumerate().flat_map(|(nth, visit)| [(nth, visit); 2]);
    let sent = sent.map(|(nth, visit)| check_in(&t, &phones[nth % 2], visit));
    for reply in futures_util::future::join_all(sent).await {
        assert!([200, 201].contains(&reply.status), "{}", reply.body);
    }
    for (table, rows) in [("households", 1), ("household_points", 1), ("visits", 12), ("visit_conflicts", 0)] {
        assert_eq!(t.database.count(&format!("SELECT count(*) AS n FROM {table}")), rows, "{table}");
    }
    t.run_jobs().await;
}
