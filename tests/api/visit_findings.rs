//! What visits find and what is made of it; photos that arrive later; tasks; numbers; and what becomes of it with a record.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    attachments::{FORM, form, photo},
    closed_records::settle,
    errands::{content, matter},
    harness::{Reply, Session, TestApp},
    households::{category, create},
    orders::kind,
    visits::{agreeing_member, check_in, get, household, live_in, visit},
};

/// A visit to a household with somebody in it.
async fn visited(t: &TestApp, by: &Session) -> (Value, Session) {
    let home = household(t, by).await;
    let who = agreeing_member(t, home).await;
    let said = visit(home, json!({}));
    check_in(t, by, &said).await.created();
    (said, who)
}

async fn find(t: &TestApp, by: &Session, visit: &Value, body: Value) -> Reply {
    t.post(&format!("/v1/visits/{}/findings", visit["id"].as_str().expect("an id"))).by(by).json(body).send().await
}

fn path(finding: &Value) -> String {
    format!("/v1/findings/{}", finding["id"].as_str().expect("an id"))
}

fn count(t: &TestApp, of: &str) -> i64 {
    t.database.count(&format!("SELECT count(*) AS n FROM {of}"))
}

#[actix_web::test]
async fn a_finding_becomes_an_errand_an_order_and_a_todo_and_leads_back() {
    let t = TestApp::new().await;
    let (specialist, cadre) = (t.staff("specialist").await, t.staff("cadre").await);
    let (said, who) = visited(&t, &specialist).await;
    let body = json!({"kind": "concern", "words": "想办高龄津贴", "resident_id": who.subject});
    let found = find(&t, &specialist, &said, body).await.is(201);
    assert_eq!(found.header("location"), path(&found.body));
    let found = found.body;
    assert_eq!((&found["words"], &found["cases"]), (&json!("想办高龄津贴"), &json!([])));
    let open = t.get(&format!("/v1/residents/{}/open", who.subject)).by(&cadre).send().await.ok();
    assert!(open["items"].as_array().expect("items").iter().any(|one| one["id"] == found["id"]), "{open}");
    let open = t.get("/v1/findings?open=true&count=true").by(&cadre).send().await.ok();
    assert_eq!((&open["total"], &open["items"][0]["words"]), (&json!(1), &Value::Null));
    // An errand needs the resident's mandate, as ever.
    let matter = matter(&t, content("village")).await;
    let errand = |body: Value| t.post(&format!("{}/errand", path(&found))).by(&specialist).json(body).send();
    let none = errand(json!({"matter_id": matter})).await.problem(422, "invalid");
    assert_eq!(none.faults(), ["/mandate_id:mandate_needed"]);
    assert_eq!(count(&t, "visit_cases"), 0);
    let mandate = json!({"words": "请帮我办"});
    let mandates = format!("/v1/residents/{}/mandates", who.subject);
    let mandate = t.post(&mandates).by(&who).json(mandate).send().await.created();
    let made = errand(json!({"matter_id": matter, "mandate_id": mandate["id"]})).await.is(201);
    let draft = t.get(made.header("location")).by(&specialist).send().await.ok();
    assert_eq!((&draft["state"], &draft["id"]), (&json!("draft"), &made.body["cases"][0]["id"]));
    let order = json!({"kind_id": kind(&t, "水电小修").await, "address": "红星村 12 号"});
    let order = t.post(&format!("{}/order", path(&found))).by(&specialist).json(order).send().await.is(201);
    let placed = t.get(order.header("location")).by(&cadre).send().await.ok();
    assert_eq!(placed["resident"]["id"], json!(who.subject));
    let todo = json!({"kind": "visit", "title": "上门看看水龙头"});
    let make = || t.post(&format!("{}/todo", path(&found))).by(&specialist).json(todo.clone()).send();
    let todo = make().await.is(201);
    let waiting = t.get(todo.header("location")).by(&cadre).send().await.ok();
    assert_eq!((&waiting["about"], &waiting["about_id"]), (&json!("finding"), &found["id"]));
    make().await.problem(409, "todo_waits");
    let kinds: Vec<_> = todo.body["cases"].as_array().expect("cases").iter().map(|case| case["kind"].clone()).collect();
    assert_eq!(kinds, [json!("errand"), json!("order"), json!("todo")]);
    for case in [made.header("location"), order.header("location")] {
        assert_eq!(t.get(case).by(&specialist).send().await.ok()["finding_id"], found["id"], "{case}");
    }
    // From each of them back.
    for case in todo.body["cases"].as_array().expect("cases") {
        let back = format!("/v1/findings?case_id={}", case["id"].as_str().expect("an id"));
        assert_eq!(t.get(&back).by(&cadre).send().await.ok()["items"][0]["id"], found["id"], "{case}");
    }
    assert_eq!(t.get("/v1/findings?open=true&count=true").by(&cadre).send().await.ok()["total"], 0);
    assert_eq!(count(&t, "audit_log WHERE action = 'read_finding'"), 0);
    assert_eq!(t.get(&path(&found)).by(&cadre).send().await.ok()["words"], "想办高龄津贴");
    assert_eq!(count(&t, "audit_log WHERE action = 'read_finding'"), 1);
    t.run_jobs().await;
}

#[actix_web::test]
async fn photos_arrive_later_each_as_one_that_was_named() {
    let t = TestApp::new().await;
    let (specialist, cadre) = (t.staff("specialist").await, t.staff("cadre").await);
    let home = household(&t, &specialist).await;
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let said = visit(home, json!({"photos": [one, two]}));
    assert_eq!(check_in(&t, &specialist, &said).await.created()["photos_missing"], 2);
    let upload = || async {
        let file = form("a.jpg", "image/jpeg", &photo());
        t.post("/v1/attachments").by(&specialist).bytes(FORM, file).send().await.created()["id"].clone()
    };
    let (first, second) = (upload().await, upload().await);
    let add = |by: &Session, photos: Value| {
        let path = format!("/v1/visits/{}/photos", said["id"].as_str().expect("an id"));
        t.post(&path).by(by).json(json!({"photos": photos})).send()
    };
    let wrong = json!([{"photo_id": home, "attachment_id": first}, {"photo_id": one, "attachment_id": home}]);
    assert_eq!(add(&specialist, wrong).await.problem(422, "invalid").faults(), ["/photos/0/photo_id:unknown_photo"]);
    let lost = json!([{"photo_id": one, "attachment_id": home}]);
    assert_eq!(add(&specialist, lost).await.problem(422, "invalid").faults(), ["/photos/0/attachment_id:attachment"]);
    let there = json!([{"photo_id": one, "attachment_id": first}]);
    add(&cadre, there.clone()).await.problem(409, "not_visitor");
    assert_eq!(add(&specialist, there.clone()).await.ok()["photos_missing"], 1);
    add(&specialist, there).await.ok();
    let other = json!([{"photo_id": one, "attachment_id": second}]);
    assert_eq!(add(&specialist, other).await.problem(422, "invalid").faults(), ["/photos/0/photo_id:photo_there"]);
    // Whoever sees the visit sees its photos.
    let file = format!("/v1/attachments/{}", first.as_str().expect("an id"));
    assert_eq!(t.get(&file).by(&cadre).send().await.ok()["about"], "visit");
    t.get(&file).by(&t.resident("stranger").await).send().await.problem(404, "not_found");
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_task_is_resolved_because_a_visit_is_there() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    t.database.run(&format!(
        "INSERT INTO visit_categories (county_id, id, name, every_days, window_days, created_at, updated_at) VALUES (1, '{home}', '重点户', 30, 10, now(), now()); \
         UPDATE households SET category_id = '{home}', updated_at = '2026-11-23T08:00:00+08:00', version = version + 1 WHERE id = '{home}'"
    ));
    // Seen today, when it was made: due in thirty days.
    let due = |state: &str| {
        t.database
            .text(&format!("SELECT coalesce(min(due_on)::text, '') AS text FROM visit_tasks WHERE state = '{state}'"))
    };
    assert_eq!((due("open"), due("resolved")), ("2026-12-23".into(), String::new()));
    t.set_time("2026-12-20T10:00:00+08:00");
    let specialist = t.staff("specialist").await;
    let at = |day: &str, more: Value| {
        let mut said = visit(home, more);
        said["device_at"] = json!(format!("2026-12-{day}T09:00:00+08:00"));
        let body = json!({"sent_at": "2026-12-20T10:00:00+08:00", "visit": said});
        t.post("/v1/visits").by(&specialist).json(body).send()
    };
    at("20", json!({"outcome": "not_found"})).await.created();
    at("10", json!({})).await.created();
    assert_eq!(due("resolved"), "", "too early, and nobody there");
    at("18", json!({})).await.created();
    assert_eq!((due("open"), due("resolved")), ("2027-01-17".into(), "2026-12-23".into()));
    let numbers =
        t.get("/v1/visits/numbers?from=2026-12-01&to=2026-12-31").by(&t.staff("junxi").await).send().await.ok();
    let here = &numbers["items"][0];
    assert_eq!(
        (&here["households"], &here["due"], &here["met"], &here["visits"]),
        (&json!(1), &json!(1), &json!(1), &json!(3))
    );
    assert_eq!((&here["seen"], &here["not_found"]), (&json!(1), &json!(0)));
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_task_opens_again_when_its_visit_met_nobody_after_all() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let monthly = category(&t, "重点关爱户").await;
    let home = create(&t, &cadre, "陈家", json!({"category_id": monthly})).await;
    let home: Uuid = home["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let tasks = || {
        t.database.text("SELECT coalesce(string_agg(state || ' ' || coalesce(resolved_on::text, '-'), ', ' ORDER BY opens_on), '') AS text FROM visit_tasks")
    };
    let last = || t.database.text("SELECT coalesce(max(last_visit_on)::text, '-') AS text FROM households");
    let (first, second) = (visit(home, json!({})), visit(home, json!({"device_at": "2026-11-23T07:45:00+08:00"})));
    check_in(&t, &specialist, &first).await.created();
    assert_eq!((tasks(), last()), ("resolved 2026-11-23, open -".into(), "2026-11-23".into()));
    let amend = async |visit: &Value, outcome: &str| {
        let path = format!("/v1/visits/{}/amendments", visit["id"].as_str().expect("an id"));
        t.post(&path).by(&specialist).json(json!({"outcome": outcome})).send().await.created()
    };
    amend(&first, "not_found").await;
    assert_eq!((tasks(), last()), ("open -, dropped -".into(), "-".into()), "due as before");
    amend(&first, "seen").await;
    assert_eq!(tasks(), "resolved 2026-11-23, dropped -, open -", "and again");
    // Another visit of the same day met somebody too.
    check_in(&t, &specialist, &second).await.created();
    amend(&first, "declined").await;
    assert_eq!((tasks(), last()), ("resolved 2026-11-23, dropped -, open -".into(), "2026-11-23".into()));
    let by = t.database.text("SELECT resolved_by::text AS text FROM visit_tasks WHERE state = 'resolved'");
    assert_eq!(json!(by), second["id"]);
    t.run_jobs().await;
}

#[actix_web::test]
async fn numbers_are_of_units_and_of_nobody() {
    let t = TestApp::new().await;
    let (specialist, junxi, supervisor) =
        (t.staff("specialist").await, t.staff("junxi").await, t.staff("supervisor").await);
    let (one, two) = (household(&t, &specialist).await, household(&t, &specialist).await);
    check_in(&t, &specialist, &visit(one, json!({"outcome": "not_found"}))).await.created();
    let three = Uuid::now_v7();
    let absent = json!({"outcome": "not_found", "household": {"name": "郑家"}});
    check_in(&t, &specialist, &visit(three, absent)).await.created();
    for by in [&junxi, &supervisor] {
        let numbers = t.get("/v1/visits/numbers").by(by).send().await.ok();
        let here = &numbers["items"][0];
        assert_eq!(
            (&here["households"], &here["seen"], &here["not_found"], &here["visits"]),
            (&json!(3), &json!(2), &json!(1), &json!(4)),
            "{numbers}"
        );
        assert_eq!(numbers["items"].as_array().map(Vec::len), Some(1));
        let text = numbers.to_string();
        for person in [specialist.subject, two] {
            assert!(!text.contains(&person.to_string()), "{text}");
        }
    }
    t.get("/v1/visits/numbers").by(&specialist).send().await.problem(403, "forbidden");
    let past = t.get("/v1/visits/numbers?from=2026-10-01&to=2026-10-31").by(&junxi).send().await.ok();
    assert_eq!((&past["items"][0]["visits"], &past["items"][0]["seen"]), (&json!(0), &json!(0)));
    // Supervisors see numbers, not visits.
    t.get("/v1/visits").by(&supervisor).send().await.problem(403, "forbidden");
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_was_said_goes_with_the_last_of_a_household() {
    let t = TestApp::new().await;
    let (specialist, cadre) = (t.staff("specialist").await, t.staff("cadre").await);
    let (said, who) = visited(&t, &specialist).await;
    let body = json!({"kind": "note", "words": "腿脚不便", "resident_id": who.subject});
    let found = find(&t, &specialist, &said, body).await.created();
    let ask = format!("/v1/residents/{}/data_requests", who.subject);
    let asked = t.post(&ask).by(&who).json(json!({"kind": "export"})).send().await.is(202);
    t.run_jobs().await;
    let archive = format!("/v1/data_requests/{}/archive", asked["id"].as_str().expect("an id"));
    let archive = t.get(&archive).by(&who).send().await.ok().to_string();
    assert!(archive.contains("腿脚不便") && archive.contains("身体还好"), "{archive}");
    t.post(&ask).by(&who).json(json!({"kind": "close"})).send().await.is(202);
    t.run_jobs().await;
    let gone = get(&t, &specialist, &said).await;
    assert_eq!((&gone["note"], &gone["outcome"]), (&Value::Null, &json!("seen")));
    assert_eq!(t.get(&path(&found)).by(&cadre).send().await.ok()["words"], Value::Null);
    // What comes again makes nothing of it.
    assert_eq!(check_in(&t, &specialist, &said).await.ok()["note"], Value::Null);
    assert_eq!(count(&t, "visit_conflicts"), 0);
    settle(&t).await;
}

#[actix_web::test]
async fn findings_go_with_the_record_that_stays() {
    let t = TestApp::new().await;
    let (specialist, cadre) = (t.staff("specialist").await, t.staff("cadre").await);
    let (said, who) = visited(&t, &specialist).await;
    let body = json!({"name": "陈阿婆", "unit_id": t.unit("红星村委会").await, "identity_seen": "known_in_person"});
    let twice = t.post("/v1/residents").by(&cadre).json(body).send().await.created();
    let found = json!({"kind": "note", "words": "腿脚不便", "resident_id": twice["id"]});
    let found = find(&t, &specialist, &said, found).await.created();
    let merge = json!({"duplicate_id": twice["id"], "reason": "同一人", "identity_seen": "id_card"});
    let path_of = format!("/v1/residents/{}/merge", who.subject);
    t.post(&path_of).by(&cadre).header("if-match", "*").json(merge).send().await.ok();
    assert_eq!(t.get(&path(&found)).by(&cadre).send().await.ok()["resident_id"], json!(who.subject));
    // Whoever is left keeps what was said of the household.
    let other = t.resident("lin").await;
    let body = json!({"name": "林某", "unit_id": t.unit("红星村委会").await});
    t.put(&format!("/v1/residents/{}", other.subject)).by(&other).header("if-match", "*").json(body).send().await.ok();
    let home = said["household_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    live_in(&t, home, other.subject, "spouse").await;
    let ask = format!("/v1/residents/{}/data_requests", who.subject);
    t.post(&ask).by(&who).json(json!({"kind": "close"})).send().await.is(202);
    t.run_jobs().await;
    assert_eq!(get(&t, &specialist, &said).await["note"], "身体还好");
    settle(&t).await;
}
