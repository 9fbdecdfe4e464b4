//! Matters: how they are done.

use serde_json::{Value, json};

use crate::harness::TestApp;

fn how(matter: &Value) -> Value {
    json!([matter["slots"], matter["places"], matter["travel_minutes"], matter["own_specialist"]])
}

#[actix_web::test]
async fn what_is_left_out_is_as_by_default() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let usual = json!([1, ["centre"], 30, false]);
    let made = t.post("/v1/matters").by(&admin).json(json!({"name": "建房审批"})).send().await.created();
    assert_eq!(how(&made), usual);
    let body = json!({"name": "上门认证", "slots": 2, "places": ["home", "video"], "travel_minutes": 45, "own_specialist": true});
    let made = t.post("/v1/matters").by(&admin).json(body).send().await.created();
    let said = json!([2, ["home", "video"], 45, true]);
    assert_eq!(how(&made), said);
    let path = format!("/v1/matters/{}", made["id"].as_str().expect("an id"));
    let seen = t.get(&format!("{path}?county=350425")).send().await.ok();
    assert_eq!(how(&seen), said);
    let body = json!({"name": "上门认证", "state": "active"});
    let put = |version: &str| t.put(&path).by(&admin).header("if-match", version).json(body.clone()).send();
    assert_eq!(how(&put("\"1\"").await.ok()), usual, "the whole matter as it shall be");
    put("\"1\"").await.problem(412, "version_stale");
    let list = t.get("/v1/matters?county=350425&limit=200").send().await.ok();
    let listed = list["items"].as_array().expect("items").iter().find(|matter| matter["id"] == made["id"]);
    assert_eq!(how(listed.expect("listed")), usual);
}

#[actix_web::test]
async fn what_cannot_be_is_refused() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let cases = [
        (json!({"slots": 0, "travel_minutes": 241}), vec!["/slots:range", "/travel_minutes:range"]),
        (json!({"slots": 9, "places": []}), vec!["/places:length", "/slots:range"]),
        (json!({"places": ["home", "centre", "home"]}), vec!["/places:places"]),
        (json!({"places": ["moon"], "own_specialist": "yes"}), vec!["/own_specialist:type", "/places/0:unknown_value"]),
    ];
    for (change, faults) in cases {
        let mut body = json!({"name": "上门认证"});
        body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let reply = t.post("/v1/matters").by(&admin).json(body).send().await.problem(422, "invalid");
        assert_eq!(reply.faults(), faults);
    }
    let list = t.get("/v1/matters?county=350425&limit=200").send().await.ok();
    assert!(list["items"].as_array().expect("items").iter().all(|matter| matter["name"] != "上门认证"));
}
