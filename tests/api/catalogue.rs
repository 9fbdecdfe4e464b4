//! Versions of matters: publishing, effective days, faults, the guide.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::foreign_admin,
    harness::{Reply, Session, TestApp, at},
};

pub fn content() -> Value {
    json!({"decided_by": "township", "kind": "promised", "promised_days": 5, "statutory_days": 20,
        "materials": [
            {"key": "id_card", "name": "居民身份证", "need": "required", "form": "original"},
            {"key": "book", "name": "户口簿", "need": "one_of", "group": "kin", "form": "either"},
            {"key": "proof", "name": "亲属关系证明", "need": "one_of", "group": "kin", "form": "original"},
            {"key": "permit", "name": "居住证", "need": "required", "form": "copy", "when": {"local": ["no"]}}],
        "questions": [{"key": "local", "text": "户籍在本县吗？", "options": [{"value": "yes", "text": "是"}, {"value": "no", "text": "否"}]}],
        "form": {"type": "object", "required": ["year"], "properties": {"year": {"type": "integer"}}}})
}

fn with(change: Value) -> Value {
    let mut body = content();
    body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
    body
}

async fn publish(t: &TestApp, by: &Session, matter: Uuid, body: Value) -> Reply {
    t.post(&format!("/v1/matters/{matter}/versions")).by(by).json(body).send().await
}

async fn new_matter(t: &TestApp, by: &Session) -> Uuid {
    let made = t.post("/v1/matters").by(by).json(json!({"name": "新事项"})).send().await.created();
    made["id"].as_str().expect("an id").parse().expect("a UUID")
}

async fn guide(t: &TestApp, matter: Uuid, answers: &str) -> Reply {
    t.get(&format!("/v1/matters/{matter}/guide?county=350425&answers={answers}")).send().await
}

fn keys(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|item| item["key"].as_str().expect("a key")).collect()
}

#[actix_web::test]
async fn versions_come_into_effect_on_their_day_and_stay_as_they_are() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let matter = new_matter(&t, &admin).await;
    guide(&t, matter, "").await.problem(404, "matter_unversioned");
    let first = publish(&t, &admin, matter, content()).await.is(201);
    let place = format!("/v1/matters/{matter}/versions/1");
    assert_eq!(first.header("location"), place);
    assert_eq!(
        (&first["number"], &first["effective_from"], &first["proxy_allowed"]),
        (&json!(1), &json!("2026-11-23"), &json!(true))
    );
    assert_eq!(first["ladder"].as_array().expect("the usual one").len(), 4);
    // Coming, and replaced before its day by a higher number.
    let coming = with(json!({"effective_from": "2026-12-01", "promised_days": 4}));
    publish(&t, &admin, matter, coming).await.created();
    let better = with(json!({"effective_from": "2026-12-01", "promised_days": 3, "ladder": []}));
    assert_eq!(publish(&t, &admin, matter, better).await.created()["ladder"], json!([]));
    let between = with(json!({"effective_from": "2026-11-25", "promised_days": 2}));
    assert_eq!(publish(&t, &admin, matter, between).await.created()["number"], 4);
    for (day, number, days) in [("2026-11-23", 1, 5), ("2026-11-25", 4, 2), ("2026-11-30", 4, 2), ("2026-12-01", 3, 3)]
    {
        t.set_time(&format!("{day}T00:00:00+08:00"));
        t.app.rendered.forget();
        let now = guide(&t, matter, "").await.ok();
        assert_eq!((&now["number"], &now["promised_days"]), (&json!(number), &json!(days)), "{day}");
    }
    assert_eq!(t.get(&format!("{place}?county=350425")).send().await.ok(), first.body, "it never changes");
    let first_page =
        t.get(&format!("/v1/matters/{matter}/versions?county=350425&limit=3&count=true")).send().await.ok();
    assert_eq!(first_page["total"], 4);
    let numbers = |page: &Value| {
        page["items"].as_array().expect("items").iter().map(|item| item["number"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&first_page), [1, 2, 3]);
    let cursor = first_page["next_cursor"].as_str().expect("a cursor");
    let second = format!("/v1/matters/{matter}/versions?county=350425&cursor={cursor}");
    assert_eq!(numbers(&t.get(&second).send().await.ok()), [4]);
    let other = format!("/v1/matters/{}/versions?county=350425&cursor={cursor}", t.matter().await);
    t.get(&other).send().await.problem(422, "invalid");
    let audited = "SELECT count(*) AS n FROM audit_log WHERE action = 'publish' AND entity = 'matter'";
    assert_eq!(t.database.count(audited), 4);
}

#[actix_web::test]
async fn the_past_is_not_rewritten() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let matter = new_matter(&t, &admin).await;
    let past = with(json!({"effective_from": "2026-01-01"}));
    // Nothing can have been filed under another one.
    publish(&t, &admin, matter, past.clone()).await.created();
    assert_eq!(publish(&t, &admin, matter, past).await.problem(422, "invalid").faults(), ["/effective_from:in_past"]);
    let path = format!("/v1/matters/{matter}/versions");
    for path in
        [format!("{path}/2?county=350425"), format!("{path}/x?county=350425"), format!("{path}/1?county=350426")]
    {
        t.get(&path).send().await.problem(404, "not_found");
    }
    let nothing = Uuid::now_v7();
    publish(&t, &admin, nothing, json!({"decided_by": "village", "kind": "instant", "promised_days": 3}))
        .await
        .problem(404, "not_found");
    let foreign = foreign_admin(&t).await;
    publish(&t, &foreign, matter, content()).await.problem(404, "not_found");
    let junxi = t.staff("junxi").await;
    publish(&t, &junxi, matter, content()).await.problem(403, "forbidden");
    for statement in ["UPDATE matter_versions SET promised_days = 9", "DELETE FROM matter_versions"] {
        let refused = diesel::connection::SimpleConnection::batch_execute(&mut t.database.service(), statement);
        assert!(refused.expect_err(statement).to_string().contains("permission denied"), "{statement}");
    }
}

#[actix_web::test]
async fn every_fault_is_told_with_its_pointer() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let matter = new_matter(&t, &admin).await;
    let material = |change: Value| {
        let mut material = json!({"key": "a", "name": "甲", "need": "required", "form": "original"});
        material.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        material
    };
    let cases = [
        (json!({"kind": "instant"}), vec!["/promised_days:kind"]),
        (json!({"promised_days": 0}), vec!["/promised_days:kind"]),
        (json!({"promised_days": 21}), vec!["/statutory_days:below_promised"]),
        (json!({"promised_days": 251, "statutory_days": -1}), vec!["/promised_days:range", "/statutory_days:range"]),
        (json!({"decided_by": "department"}), vec!["/department_id:required"]),
        (json!({"department_id": Uuid::nil()}), vec!["/department_id:department"]),
        (json!({"decided_by": "department", "department_id": Uuid::nil()}), vec!["/department_id:unknown_department"]),
        (json!({"decided_by": "county", "weather": 1}), vec!["/decided_by:unknown_value", "/weather:unknown_field"]),
        (
            json!({"materials": [material(json!({})), material(json!({"group": "g"})), material(json!({"key": "B c", "need": "one_of"})),
                material(json!({"key": "d", "need": "one_of", "group": "g"})), material(json!({"key": "e", "when": {"local": ["maybe"], "who": ["me"]}})),
                material(json!({"key": "f", "when": {"local": []}}))]}),
            vec![
                "/materials/1/group:group",
                "/materials/1/key:key_twice",
                "/materials/2/group:required",
                "/materials/2/key:key",
                "/materials/3/group:group_alone",
                "/materials/4/when/local/0:unknown_value",
                "/materials/4/when/who:unknown_question",
                "/materials/5/when/local:length",
            ],
        ),
        (
            json!({"materials": [material(json!({"count": 0, "need": "maybe"})), material(json!({"when": {"local": "no"}}))]}),
            vec!["/materials/0/count:range", "/materials/0/need:unknown_value", "/materials/1/when/local:type"],
        ),
        (
            json!({"materials": [], "conditions": ["", "好"], "questions": [
                {"key": "q", "text": "问", "options": [{"value": "x", "text": "一"}, {"value": "x", "text": "二"}]},
                {"key": "q", "text": "问", "options": [{"value": "x", "text": "一"}, {"value": "Y", "text": "二"}]}]}),
            vec![
                "/conditions/0:length",
                "/questions/0/key:question_unused",
                "/questions/0/options/1/value:value_twice",
                "/questions/1/key:key_twice",
                "/questions/1/key:question_unused",
                "/questions/1/options/1/value:key",
            ],
        ),
        (
            json!({"ladder": [{"at": "red_plus", "to": "holder"}, {"at": "red", "days": 2, "to": "holder"}, {"at": "yellow", "to": "holder"}, {"at": "yellow", "to": "holder"}]}),
            vec!["/ladder/0/days:required", "/ladder/1/days:days", "/ladder/3:rung_twice"],
        ),
        (
            json!({"form": {"type": "object", "required": "year", "properties": {"a": {"$ref": "https://example.com/x"}}}}),
            vec!["/form/properties/a/$ref:remote_ref", "/form/required:schema"],
        ),
        (json!({"form": {"type": "string"}}), vec!["/form/type:form_type"]),
        (json!({"form": {"type": "object", "title": "a\u{0}b"}}), vec!["/form/title:nul_character"]),
    ];
    for (change, faults) in cases {
        let reply = publish(&t, &admin, matter, with(change.clone())).await.problem(422, "invalid");
        assert_eq!(reply.faults(), faults, "{change}");
    }
    assert_eq!(t.database.count(&format!("SELECT count(*) AS n FROM matter_versions WHERE matter_id = '{matter}'")), 0);
}

#[actix_web::test]
async fn what_is_published_at_once_gets_numbers_of_its_own_and_a_repeat_none() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let matter = new_matter(&t, &admin).await;
    let all = join_all((1..=6).map(|days| publish(&t, &admin, matter, with(json!({"promised_days": days}))))).await;
    let mut numbers: Vec<_> =
        all.into_iter().map(|reply| reply.created()["number"].as_i64().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    let path = format!("/v1/matters/{matter}/versions");
    let once = || t.post(&path).by(&admin).key("same").json(content()).send();
    let (first, second) = (once().await.is(201), once().await.is(201));
    assert_eq!((first.bytes, second.header("idempotency-replayed")), (second.bytes.clone(), "true"));
}

#[actix_web::test]
async fn answers_pick_what_is_needed() {
    let t = TestApp::new().await;
    let matter = t.matter_named("户籍（出生、迁移）办理").await;
    let start = guide(&t, matter, "").await.is(200);
    assert_eq!(start.header("cache-control"), "public, max-age=60");
    assert_eq!(keys(&start["materials"]), ["id_card", "household_register"]);
    assert_eq!(keys(&start["questions"]), ["reason", "married", "why"]);
    assert_eq!((&start["complete"], &start["department"]["name"]), (&json!(false), &json!("县公安局")));
    assert_eq!(start["limit"]["zh"], "承诺 5 个工作日内办结（法定时限 15 个工作日）");
    let baby = guide(&t, matter, "reason:newborn").await.ok();
    assert_eq!(keys(&baby["materials"]), ["id_card", "household_register", "birth_certificate"]);
    assert_eq!(
        (keys(&baby["possible"]), keys(&baby["questions"])),
        (vec!["marriage_certificate", "paternity"], vec!["married"])
    );
    let all = guide(&t, matter, "reason:newborn,married:no").await.ok();
    assert_eq!(keys(&all["materials"]), ["id_card", "household_register", "birth_certificate", "paternity"]);
    assert_eq!(
        (&all["complete"], &all["possible"], &all["answers"]["married"]),
        (&json!(true), &json!([]), &json!("no"))
    );
    for (answers, fault) in [
        ("reason", "answers:answers"),
        ("reason:death", "answers:unknown_value"),
        ("reason:newborn,reason:move_in", "answers:answers"),
        ("weather:fine", "answers:unknown_question"),
    ] {
        assert_eq!(guide(&t, matter, answers).await.problem(422, "invalid").faults(), [fault], "{answers}");
    }
    guide(&t, Uuid::now_v7(), "").await.problem(404, "not_found");
    let same = t
        .get(&format!("/v1/matters/{matter}/guide?county=350425&answers="))
        .header("if-none-match", start.header("etag"));
    same.send().await.is(304);
}

#[actix_web::test]
async fn errands_ask_for_versions_forms_and_what_is_missing() {
    let t = TestApp::new().await;
    let matter = t.matter_named("户籍（出生、迁移）办理").await;
    let day = at("2026-11-23T08:00:00+08:00").date_naive();
    let read = t.app.db.read("test", move |conn| lianxin::matters::in_effect(conn, 1, matter, day)).await;
    let version = read.expect("reads").expect("in effect");
    let early = t
        .app
        .db
        .read("test", move |conn| lianxin::matters::in_effect(conn, 1, matter, "2025-12-31".parse().expect("a day")))
        .await;
    assert_eq!(early.expect("reads"), None);
    let by_number = t.app.db.read("test", move |conn| lianxin::matters::version(conn, 1, matter, 1)).await;
    assert_eq!(by_number.expect("reads"), Some(version.clone()));
    let faults = |filled: Value| {
        let found = lianxin::matters::check_form(&version, &filled);
        let mut found: Vec<_> = found.iter().map(|fault| format!("{:?}:{}", fault.at, fault.code)).collect();
        found.sort();
        found
    };
    assert_eq!(faults(json!({"kind": "出生", "child_name": "张小宝", "born_on": "2026-11-01"})), Vec::<String>::new());
    let wrong = faults(json!({"kind": "出生", "child_name": "*", "weather": 1}));
    let wanted = ["/form/born_on\"):required", "/form/child_name\"):person_name", "/form/weather\"):unknown_field"];
    assert_eq!(wrong, wanted.map(|rest| format!("Body(\"{rest}")));
    assert_eq!(faults(json!([])), ["Body(\"/form\"):type"]);
}
