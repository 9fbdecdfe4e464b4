//! The catalogue as one file: out, in again, into another county, and every fault with its line.

use futures_util::future::join_all;
use lianxin::matters::import;
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    harness::{Reply, Session, TestApp},
};

async fn import(t: &TestApp, by: &Session, file: &Value, dry_run: bool) -> Reply {
    let path = format!("/v1/catalogue/import?dry_run={dry_run}");
    t.post(&path).by(by).json(file.clone()).send().await
}

async fn export(t: &TestApp, by: &Session) -> Value {
    t.get("/v1/catalogue/export").by(by).send().await.ok()
}

const VERSIONS: &str = "SELECT count(*) AS n FROM matter_versions";

#[actix_web::test]
async fn what_is_exported_changes_nothing_here_and_makes_everything_there() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let reply = t.get("/v1/catalogue/export").by(&admin).send().await.is(200);
    assert_eq!(reply.header("content-disposition"), "attachment; filename=\"catalogue-350425-2026-11-23.json\"");
    let file = reply.body;
    let matters = file["matters"].as_array().expect("matters");
    assert_eq!((matters.len(), file["departments"].as_array().expect("departments").len()), (14, 3));
    assert!(matters.iter().all(|matter| matter["version"].is_object()), "all can be filed");
    let before = t.database.count(VERSIONS);
    let same = import(&t, &admin, &file, false).await.ok();
    assert_eq!((&same["created"], &same["changed"], &same["unchanged"]), (&json!([]), &json!([]), &json!(14)));
    assert_eq!(t.database.count(VERSIONS), before, "no version for what is the same");
    // Another county of the installation begins with it.
    let foreign = foreign_admin(&t).await;
    let seen = import(&t, &foreign, &file, true).await.ok();
    assert_eq!((seen["created"].as_array().expect("names").len(), &seen["faults"]), (14, &json!([])));
    assert_eq!(t.database.count(VERSIONS), before, "a dry run changes nothing");
    let done = import(&t, &foreign, &file, false).await.ok();
    assert_eq!((&done["departments"], &done["unchanged"]), (&json!(["县民政局", "县公安局", "县残联"]), &json!(0)));
    let mut there = export(&t, &foreign).await;
    there["county"] = file["county"].clone();
    assert_eq!(there, file);
    assert_eq!(import(&t, &foreign, &file, false).await.ok()["unchanged"], 14);
    let audited = "SELECT count(*) AS n FROM audit_log WHERE action = 'import'";
    assert_eq!(t.database.count(audited), 17, "14 matters and 3 departments, once");
}

#[actix_web::test]
async fn what_differs_gets_a_new_version_from_its_day_on() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let id = t.matter_named("最低生活保障申请").await;
    let file = json!({"format": "lianxin-catalogue/1", "effective_from": "2026-12-01",
        "departments": [{"name": "县民政局", "phone": "12345"}, {"name": "县医保局"}],
        "matters": [
            {"name": "最低生活保障申请", "slots": 2, "version": {"decided_by": "department", "department": "县医保局", "kind": "promised", "promised_days": 20}},
            {"name": "异地就医备案", "state": "withdrawn"},
            {"name": "临时救助申请"}]});
    let done = import(&t, &admin, &file, false).await.ok();
    let wanted = (&json!(["异地就医备案"]), &json!(["最低生活保障申请"]), &json!(1), &json!("2026-12-01"));
    assert_eq!((&done["created"], &done["changed"], &done["unchanged"], &done["effective_from"]), wanted);
    let matter = t.get(&format!("/v1/matters/{id}?county=350425")).send().await.ok();
    assert_eq!((&matter["slots"], &matter["version"], &matter["state"]), (&json!(2), &json!(2), &json!("active")));
    assert_eq!(matter["description"], "请带户口簿、身份证和收入情况说明", "left out, it stays");
    let guide = t.get(&format!("/v1/matters/{id}/guide?county=350425")).send().await.ok();
    assert_eq!((&guide["number"], &guide["department"]["phone"]), (&json!(1), &json!("12345")));
    t.set_time("2026-12-01T00:00:00+08:00");
    t.app.rendered.forget();
    let guide = t.get(&format!("/v1/matters/{id}/guide?county=350425")).send().await.ok();
    assert_eq!((&guide["number"], &guide["department"]["name"]), (&json!(2), &json!("县医保局")));
    let admin = t.staff("admin").await;
    assert_eq!(import(&t, &admin, &file, false).await.ok()["unchanged"], 3);
    let new = t.matter_named("异地就医备案").await;
    t.get(&format!("/v1/matters/{new}/guide?county=350425")).send().await.problem(404, "matter_unversioned");
}

const BAD: &str = r#"{
  "format": "lianxin-catalogue/1",
  "effective_from": "2026-11-22",
  "departments": [{"name": "县医保局", "phone": "abc"},
    {"name": "县民政局 "}],
  "matters": [
    {"name": "甲", "slots": 9},
    {"name": "乙", "version": {"decided_by": "department", "department": "没有局",
      "kind": "promised",
      "promised_days": 0}},
    {"name": "乙"},
    {"name": "丙", "weather": "fine", "version": {
      "decided_by": "moon", "kind": "instant", "promised_days": 0}},
    7,
    {"name": "丁", "version": {"decided_by": "village", "kind": "instant", "promised_days": 0,
      "materials": [
        {"key": "a", "name": "甲", "need": "required", "form": "original"},
        {"key": "a", "name": "乙", "need": "required", "form": "original"}],
      "form": {"type": "object",
        "$ref": "https://example.com/"}}}
  ]
}"#;

#[actix_web::test]
async fn with_any_fault_nothing_is_imported_and_every_line_is_told() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let before = export(&t, &admin).await;
    let post = |path: &str| t.post(path).by(&admin).body(BAD.to_owned()).send();
    let seen = post("/v1/catalogue/import?dry_run=true").await.ok();
    let told = |fault: &Value| {
        format!(
            "{} {} {}",
            fault["line"],
            fault["pointer"].as_str().unwrap_or("?"),
            fault["code"].as_str().unwrap_or("?")
        )
    };
    let mut found: Vec<_> = seen["faults"].as_array().expect("faults").iter().map(told).collect();
    let lines: Vec<_> = seen["faults"].as_array().expect("faults").iter().map(|fault| fault["line"].as_u64()).collect();
    assert!(lines.is_sorted(), "{lines:?}");
    found.sort();
    let mut wanted = [
        "3 /effective_from in_past",
        "4 /departments/0/phone phone",
        "5 /departments/1/name blanks",
        "7 /matters/0/slots range",
        "8 /matters/1/version/department unknown_department",
        "10 /matters/1/version/promised_days kind",
        "11 /matters/2/name name_twice",
        "12 /matters/3/weather unknown_field",
        "13 /matters/3/version/decided_by unknown_value",
        "14 /matters/4 type",
        "18 /matters/5/version/materials/1/key key_twice",
        "20 /matters/5/version/form/$ref remote_ref",
    ];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    let refused = post("/v1/catalogue/import").await.problem(422, "invalid");
    assert_eq!(refused.faults().len(), wanted.len());
    assert_eq!(refused["errors"][0]["detail"], "第 3 行：不得早于今天");
    assert_eq!(export(&t, &admin).await, before);
    let broken = t.post("/v1/catalogue/import").by(&admin).body("{\n\"format\": ,").send().await;
    assert_eq!(broken.problem(400, "malformed_json")["detail"], "第 2 行第 11 列");
    let none = json!({"format": "lianxin-catalogue/2", "matter": []});
    let reply = import(&t, &admin, &none, false).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/matter:unknown_field", "/matters:required"]);
    let endless = json!({"format": "lianxin-catalogue/1", "matters": [{"name": "长", "version": {"materials": vec![json!({}); 90_000]}}]});
    assert_eq!(import(&t, &admin, &endless, false).await.problem(422, "invalid").faults(), ["/matters/0:length"]);
    let none = json!({"format": "lianxin-catalogue/2", "matters": []});
    assert_eq!(import(&t, &admin, &none, false).await.problem(422, "invalid").faults(), ["/format:format"]);
    t.post("/v1/catalogue/import").by(&admin).csv(b"a,b".to_vec()).send().await.problem(415, "unsupported_media_type");
}

#[actix_web::test]
async fn imported_twice_and_at_once_it_is_there_once() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let file = json!({"format": "lianxin-catalogue/1", "matters": [
        {"name": "异地就医备案", "version": {"decided_by": "village", "kind": "instant", "promised_days": 0}},
        {"name": "临时救助申请", "version": {"decided_by": "township", "kind": "promised", "promised_days": 6}}]});
    let before = t.database.count(VERSIONS);
    let all = join_all((0..4).map(|_| import(&t, &admin, &file, false))).await;
    let unchanged: Vec<_> = all.into_iter().map(|reply| reply.ok()["unchanged"].clone()).collect();
    assert_eq!(unchanged.iter().filter(|count| **count == 0).count(), 1, "{unchanged:?}");
    assert_eq!(t.database.count(VERSIONS), before + 2);
    t.post("/v1/catalogue/import").by(&t.staff("junxi").await).json(file).send().await.problem(403, "forbidden");
    t.get("/v1/catalogue/export").send().await.problem(401, "unauthenticated");
}

#[actix_web::test]
async fn the_command_line_imports_too() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let file = export(&t, &admin).await.to_string();
    let same = import::import(&t.app, "350425", file.as_bytes(), false).await.expect("imports");
    assert_eq!((same.unchanged, same.differs()), (14, false));
    let other = file.replace("\"promised_days\":7", "\"promised_days\":6");
    let seen = import::import(&t.app, "350425", other.as_bytes(), true).await.expect("plans");
    assert_eq!((seen.changed, seen.unchanged), (1, 13));
    let done = import::import(&t.app, "350425", other.as_bytes(), false).await.expect("imports");
    assert_eq!(done, seen);
    let operator = "SELECT actor_role AS text FROM audit_log WHERE action = 'import'";
    assert_eq!(t.database.text(operator), "operator");
    let words = import::import(&t.app, "350425", BAD.as_bytes(), false).await.expect_err("faults").to_string();
    assert!(words.contains("12 faults") && words.contains("line 10: /matters/1/version/promised_days: "), "{words}");
    let words = import::import(&t.app, "350425", b"[", false).await.expect_err("no JSON").to_string();
    assert!(words.contains("not JSON"), "{words}");
    import::import(&t.app, "999999", b"{}", false).await.expect_err("no county");
}

#[actix_web::test]
async fn an_import_and_who_changes_the_same_wait_for_each_other() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let id = t.matter_named("临时救助申请").await;
    let (path, versions) = (format!("/v1/matters/{id}"), format!("/v1/matters/{id}/versions"));
    for days in 10..16 {
        let version = json!({"decided_by": "township", "kind": "promised", "promised_days": days});
        let matter = json!({"name": "临时救助申请", "description": format!("第 {days} 次"), "version": version});
        let file = json!({"format": "lianxin-catalogue/1", "matters": [matter]});
        let other = json!({"decided_by": "village", "kind": "promised", "promised_days": days});
        let changed = json!({"name": "临时救助申请", "description": "改过", "state": "active"});
        let (imported, published, changed) = futures_util::join!(
            import(&t, &admin, &file, false),
            t.post(&versions).by(&admin).json(other).send(),
            t.put(&path).by(&admin).header("if-match", "*").json(changed).send(),
        );
        assert_eq!(imported.ok()["changed"], json!(["临时救助申请"]));
        published.created();
        assert!([200, 412].contains(&changed.status), "{}", changed.status);
    }
    let list = t.get(&format!("{versions}?county=350425&count=true")).send().await.ok();
    assert_eq!(list["total"], 13);
}
