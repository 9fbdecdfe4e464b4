//! The document: complete, committed, served, and the same in all three places.

use std::collections::BTreeSet;

use lianxin::{error::Code, http::serve::Document};
use serde_json::Value;

use crate::harness::TestApp;

const COMMITTED: &str = include_str!("../../openapi/lianxin.json");

fn operations() -> Vec<(String, String, Value)> {
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            all.push((method.clone(), path.clone(), operation.clone()));
        }
    }
    all
}

#[test]
fn the_committed_document_is_the_generated_one() {
    assert!(COMMITTED == Document::json(), "run `make openapi` and commit openapi/lianxin.json");
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
}

#[actix_web::test]
async fn it_is_served_and_its_page_needs_no_internet() {
    let t = TestApp::new().await;
    let served = t.get("/openapi.json").send().await.is(200);
    assert_eq!(String::from_utf8(served.bytes).expect("UTF-8"), COMMITTED);
    let page = t.get("/docs/").send().await.is(200);
    let page = String::from_utf8(page.bytes).expect("UTF-8");
    assert!(page.contains("swagger-ui"));
    assert!(!page.contains("https://") && !page.contains("http://"), "{page}");
    let script = t.get("/docs/swagger-initializer.js").send().await.is(200);
    assert!(String::from_utf8_lossy(&script.bytes).contains("/openapi.json"));
    t.get("/docs/swagger-ui-bundle.js").send().await.is(200);
}

#[test]
fn every_operation_is_described_exemplified_and_says_what_it_can_answer() {
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    let mut wrong = Vec::new();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        let mut say = |what: &str| wrong.push(format!("{method} {path} ({id}): {what}"));
        if id.is_empty() {
            say("no operationId");
        }
        for field in ["summary", "description", "tags", "security"] {
            if operation[field].is_null() || operation[field] == "" {
                say(&format!("no {field}"));
            }
        }
        if !operation["description"].as_str().unwrap_or_default().contains("Permission: ") {
            say("does not name its permission");
        }
        for (status, response) in operation["responses"].as_object().expect("responses") {
            if response["description"].as_str().unwrap_or_default().is_empty() {
                say(&format!("{status} has no description"));
            }
            for (kind, content) in response["content"].as_object().into_iter().flatten() {
                let reference = content["schema"]["$ref"].as_str().unwrap_or_default();
                let name = reference.rsplit('/').next().unwrap_or_default();
                let schema = &document["components"]["schemas"][name];
                let of_items = schema["properties"]["items"]["items"]["$ref"].as_str().unwrap_or_default();
                let inner = &document["components"]["schemas"][of_items.rsplit('/').next().unwrap_or_default()];
                if [
                    &content["example"],
                    &schema["example"],
                    &schema["properties"]["items"]["items"]["example"],
                    &inner["example"],
                ]
                .iter()
                .all(|example| example.is_null())
                {
                    say(&format!("{status} {kind} has no example"));
                }
            }
        }
        if let Some(body) = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str() {
            let schema = &document["components"]["schemas"][body.rsplit('/').next().unwrap_or_default()];
            if schema["example"].is_null() {
                say("the request has no example");
            }
            if schema["additionalProperties"] != false {
                say("the request takes unknown fields");
            }
        }
        if path.starts_with("/v1") {
            for status in ["500", "503"] {
                if operation["responses"][status].is_null() {
                    say(&format!("{status} is missing"));
                }
            }
        }
        // There tus has the say.
        let tus = path.starts_with("/v1/uploads");
        if !tus && method == "post" && operation["responses"]["201"].is_object() && !path.contains("/sessions") {
            let named: Vec<_> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|parameter| parameter["name"].clone())
                .collect();
            if !named.contains(&"Idempotency-Key".into()) {
                say("creates without Idempotency-Key");
            }
        }
        if !tus && method == "patch" {
            say("WeChat cannot send PATCH");
        }
        if !ids.insert(id.clone()) {
            wrong.push(format!("{id} twice"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_is_documented_somewhere() {
    let missing: Vec<_> = Code::ALL
        .iter()
        // Answered where no operation is: unknown paths and methods, broken HTTP.
        .filter(|code| !matches!(code, Code::RouteNotFound | Code::MethodNotAllowed | Code::MalformedRequest))
        .filter(|code| !COMMITTED.contains(&format!("`{}`", code.as_str())))
        .map(|code| code.as_str())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value, broken: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str)
                    && document.pointer(reference.trim_start_matches('#')).is_none()
                {
                    broken.push(reference.to_owned());
                }
                fields.values().for_each(|value| walk(value, document, broken));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, document, broken)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    let mut broken = Vec::new();
    walk(&document, &document, &mut broken);
    assert!(broken.is_empty(), "{broken:?}");
}
