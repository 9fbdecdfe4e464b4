//! Consent per purpose: asked, given, refused, withdrawn, and what follows.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    harness::{Session, TestApp},
};

const NUMBER: &str = "350425194806120018";

fn path(of: impl std::fmt::Display) -> String {
    format!("/v1/residents/{of}/consents")
}

async fn answer(t: &TestApp, who: &Session, purpose: &str, version: i64, answer: &str) -> Value {
    let body = json!({"purpose": purpose, "version": version, "answer": answer});
    t.post(&path(who.subject)).by(who).json(body).send().await.created()
}

/// Where somebody stands with a purpose.
async fn stands(t: &TestApp, by: &Session, of: impl std::fmt::Display, purpose: &str) -> Value {
    let all = t.get(&path(of)).by(by).send().await.ok();
    let items = all["items"].as_array().expect("items");
    assert_eq!(items.len(), 4);
    items.iter().find(|item| item["purpose"] == purpose).expect("every purpose").clone()
}

async fn publish(t: &TestApp, purpose: &str, from: Option<&str>) -> Value {
    let admin = t.staff("admin").await;
    let body = json!({"purpose": purpose, "zh": "新的文本", "en": "A new text", "effective_from": from});
    t.post("/v1/consent_texts").by(&admin).json(body).send().await.created()
}

async fn registered(t: &TestApp, by: &Session) -> Value {
    let body = json!({"name": "陈阿婆", "id_number": NUMBER, "phone": "13950900001", "unit_id": t.unit("红星村委会").await,
        "identity_seen": "id_card", "consents": ["id_number", "health", "health", "under_14"], "consents_how": "signed"});
    t.post("/v1/residents").by(by).json(body).send().await.created()
}

fn id(of: &Value) -> String {
    of["id"].as_str().expect("an id").to_owned()
}

#[actix_web::test]
async fn every_purpose_has_a_public_text_in_both_languages() {
    let t = TestApp::new().await;
    let reply = t.get("/v1/consent_texts?county=350425").send().await.is(200);
    let items = reply["items"].as_array().expect("items");
    let purposes: Vec<_> = items.iter().map(|item| item["purpose"].as_str().expect("a purpose")).collect();
    assert_eq!(purposes, ["health", "id_number", "position", "under_14"]);
    for item in items {
        assert_eq!(item["version"], 1);
        assert!(item["zh"].as_str().expect("words").contains("撤回"), "it says how to withdraw: {item}");
        assert!(item["en"].as_str().expect("words").contains("withdraw"), "{item}");
    }
    let same = t.get("/v1/consent_texts?county=350425").header("if-none-match", reply.header("etag")).send().await;
    same.is(304);
    let faults = t.get("/v1/consent_texts?county=350425&version=1").send().await.problem(422, "invalid").faults();
    assert_eq!(faults, ["purpose:required"]);
    t.get("/v1/consent_texts?county=350425&purpose=health&version=7").send().await.problem(404, "not_found");
}

#[actix_web::test]
async fn a_text_takes_effect_on_its_day_and_old_ones_stay_readable() {
    let t = TestApp::new().await;
    let made = publish(&t, "position", Some("2026-12-01T00:00:00+08:00")).await;
    assert_eq!((&made["version"], &made["effective_from"]), (&json!(2), &json!("2026-12-01T00:00:00+08:00")));
    let in_effect = async || {
        t.app.rendered.forget();
        let texts = t.get("/v1/consent_texts?county=350425&purpose=position").send().await.ok();
        texts["items"][0]["version"].clone()
    };
    assert_eq!(in_effect().await, 1);
    t.set_time("2026-12-01T00:00:00+08:00");
    assert_eq!(in_effect().await, 2);
    let old = t.get("/v1/consent_texts?county=350425&purpose=position&version=1").send().await.ok();
    assert_eq!(old["items"][0]["version"], 1);
    let admin = t.staff("admin").await;
    let late = json!({"purpose": "position", "zh": "晚", "en": "late", "effective_from": "2026-11-01T00:00:00+08:00"});
    let reply = t.post("/v1/consent_texts").by(&admin).json(late).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/effective_from:in_past"]);
    let empty = json!({"purpose": "position", "zh": "", "en": ""});
    let reply = t.post("/v1/consent_texts").by(&admin).json(empty).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/en:length", "/zh:length"]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'publish'"), 1);
}

#[actix_web::test]
async fn texts_published_at_once_get_versions_of_their_own() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let body = json!({"purpose": "health", "zh": "文本", "en": "Text"});
    let all = (0..5).map(|_| t.post("/v1/consent_texts").by(&admin).json(body.clone()).send());
    let mut versions: Vec<_> =
        join_all(all).await.into_iter().map(|reply| reply.created()["version"].as_i64().expect("a number")).collect();
    versions.sort_unstable();
    assert_eq!(versions, [2, 3, 4, 5, 6]);
}

#[actix_web::test]
async fn given_refused_outdated_and_asked_again() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    let before = stands(&t, &zhang, zhang.subject, "health").await;
    assert_eq!(
        (&before["state"], &before["version"], &before["ask_version"]),
        (&json!("never"), &Value::Null, &json!(1))
    );
    let given = answer(&t, &zhang, "health", 1, "given").await;
    assert_eq!(
        (&given["state"], &given["state_name"], &given["how"], &given["recorded_by"]),
        (&json!("given"), &json!("已同意"), &json!("in_mini_program"), &Value::Null)
    );
    assert_eq!(stands(&t, &zhang, zhang.subject, "health").await, given);
    publish(&t, "health", None).await;
    let outdated = stands(&t, &zhang, zhang.subject, "health").await;
    assert_eq!(
        (&outdated["state"], &outdated["version"], &outdated["ask_version"]),
        (&json!("outdated"), &json!(1), &json!(2))
    );
    let old = json!({"purpose": "health", "version": 1, "answer": "given"});
    let refused = t.post(&path(zhang.subject)).by(&zhang).json(old).send().await;
    assert!(refused.problem(409, "consent_text_changed")["detail"].as_str().expect("words").contains('2'));
    answer(&t, &zhang, "health", 2, "given").await;
    assert_eq!(stands(&t, &zhang, zhang.subject, "health").await["state"], "given");
    answer(&t, &zhang, "health", 2, "refused").await;
    assert_eq!(stands(&t, &zhang, zhang.subject, "health").await["state"], "refused");
    // A ledger: three answers, three entries.
    assert_eq!(t.database.count("SELECT count(*) AS n FROM consents"), 3);
    let audited = "SELECT count(*) AS n FROM audit_log WHERE action IN ('give_consent', 'refuse_consent') AND fields = '{health}'";
    assert_eq!(t.database.count(audited), 3);
    let told = "SELECT count(*) AS n FROM changes WHERE entity = 'consent' AND resident_id IS NOT NULL";
    assert_eq!(t.database.count(told), 3);
}

#[actix_web::test]
async fn refusing_one_purpose_blocks_nothing_that_does_not_need_it() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    for purpose in ["position", "health", "id_number"] {
        answer(&t, &zhang, purpose, 1, "refused").await;
    }
    let body = t.booking("2026-11-23T09:00:00+08:00").await;
    t.post("/v1/appointments").by(&zhang).json(body).send().await.created();
    let named = json!({"name": "张小明", "unit_id": t.unit("红星村委会").await});
    t.put(&format!("/v1/residents/{}", zhang.subject)).by(&zhang).header("if-match", "*").json(named).send().await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn an_id_number_is_kept_only_with_consent() {
    let t = TestApp::new().await;
    let (zhang, cadre) = (t.resident("zhang").await, t.staff("cadre").await);
    let unit = t.unit("红星村委会").await;
    let typed = json!({"name": "张小明", "id_number": NUMBER, "unit_id": unit});
    let put = || {
        let put = t.put(&format!("/v1/residents/{}", zhang.subject)).by(&zhang).header("if-match", "*");
        put.json(typed.clone()).send()
    };
    let reply = put().await.problem(403, "consent_required");
    let detail = reply["detail"].as_str().expect("words");
    assert!(detail.contains("id_number") && detail.contains('1') && !detail.contains(NUMBER), "{detail}");
    answer(&t, &zhang, "id_number", 1, "given").await;
    put().await.ok();
    // What is there already needs no new answer; another number does.
    publish(&t, "id_number", None).await;
    put().await.ok();
    let other = json!({"name": "张小明", "id_number": "350425195003070023", "unit_id": unit});
    let put = t.put(&format!("/v1/residents/{}", zhang.subject)).by(&zhang).header("if-match", "*").json(other);
    put.send().await.problem(403, "consent_required");

    let desk = |more: Value| {
        let mut body = json!({"name": "陈阿婆", "id_number": NUMBER, "unit_id": unit, "identity_seen": "id_card"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        t.post("/v1/residents").by(&cadre).json(body).send()
    };
    desk(json!({})).await.problem(403, "consent_required");
    desk(json!({"consents": ["health"], "consents_how": "spoken"})).await.problem(403, "consent_required");
    let reply = desk(json!({"consents": ["id_number"]})).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/consents_how:required"]);
    let reply = desk(json!({"consents": ["money"], "consents_how": "in_mini_program"})).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/consents/0:unknown_value", "/consents_how:unknown_value"]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM consents WHERE by_staff IS NOT NULL"), 0);
    let made = desk(json!({"consents": ["id_number"], "consents_how": "spoken"})).await.created();
    let given = stands(&t, &cadre, id(&made), "id_number").await;
    assert_eq!(
        (&given["state"], &given["version"], &given["how"], &given["recorded_by"]),
        (&json!("given"), &json!(2), &json!("spoken"), &json!(cadre.subject))
    );
}

#[actix_web::test]
async fn a_county_without_texts_asks_for_no_consent() {
    let t = TestApp::new().await;
    t.database.run("DELETE FROM consent_texts");
    let cadre = t.staff("cadre").await;
    let body = json!({"name": "陈阿婆", "id_number": NUMBER, "unit_id": t.unit("红星村委会").await, "identity_seen": "id_card"});
    let mut asked = body.clone();
    (asked["consents"], asked["consents_how"]) = (json!(["id_number"]), json!("signed"));
    let reply = t.post("/v1/residents").by(&cadre).json(asked).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/consents:no_text"]);
    let made = t.post("/v1/residents").by(&cadre).json(body).send().await.created();
    assert_eq!(stands(&t, &cadre, id(&made), "id_number").await["ask_version"], Value::Null);
}

#[actix_web::test]
async fn withdrawing_removes_the_number_also_from_lookups() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let made = registered(&t, &cadre).await;
    let granny = format!("/v1/residents/{}", id(&made));
    assert_eq!(stands(&t, &cadre, id(&made), "under_14").await["how"], "by_guardian", "a guardian signs for a child");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM consents"), 3, "each once");
    let look = || t.post("/v1/residents/lookup").by(&cadre).json(json!({"id_number": NUMBER})).send();
    assert_eq!(look().await.ok()["items"][0]["id"], made["id"]);
    let withdraw = |purpose: &str, key: &str, how: Value| {
        t.post(&format!("{granny}/consents/{purpose}/withdraw")).by(&cadre).key(key).json(how).send()
    };
    let how = json!({"how": "spoken"});
    // Another purpose leaves it alone.
    withdraw("health", "a", how.clone()).await.ok();
    assert_eq!(t.get(&granny).by(&cadre).send().await.is(200).header("etag"), "\"1\"");
    assert_eq!(withdraw("id_number", "b", json!({})).await.problem(422, "invalid").faults(), ["/how:required"]);
    let withdrawn = withdraw("id_number", "c", how.clone()).await.is(200);
    assert_eq!((&withdrawn["state"], &withdrawn["version"]), (&json!("withdrawn"), &json!(1)));
    let after = t.get(&granny).by(&cadre).send().await.is(200);
    assert_eq!(
        (&after["id_number"], &after["identity_level"], after.header("etag")),
        (&Value::Null, &json!("officer"), "\"2\"")
    );
    assert_eq!(look().await.ok()["items"], json!([]));
    let stored = "SELECT count(*) AS n FROM residents WHERE num_nonnulls(id_number, id_number_index) > 0";
    assert_eq!(t.database.count(stored), 0);
    let told = format!("SELECT count(*) AS n FROM changes WHERE entity = 'resident' AND entity_id = '{}'", id(&made));
    assert_eq!(t.database.count(&told), 2);
    // The same once more is the same answer; a new withdrawal finds nothing to withdraw.
    assert_eq!(withdraw("id_number", "c", how.clone()).await.is(200).bytes, withdrawn.bytes);
    withdraw("id_number", "d", how.clone()).await.problem(409, "consent_not_given");
    withdraw("money", "e", how).await.problem(404, "not_found");
    // Nobody is kept from registering under the number.
    registered(&t, &cadre).await;
}

#[actix_web::test]
async fn refusing_the_next_text_takes_the_first_consent_back() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let made = registered(&t, &cadre).await;
    publish(&t, "id_number", None).await;
    let body = json!({"purpose": "id_number", "version": 2, "answer": "refused", "how": "spoken"});
    t.post(&path(id(&made))).by(&cadre).json(body).send().await.created();
    let after = t.get(&format!("/v1/residents/{}", id(&made))).by(&cadre).send().await.ok();
    assert_eq!(after["id_number"], Value::Null);
}

#[actix_web::test]
async fn residents_answer_on_the_phone_staff_say_how_they_heard_it_and_guardians_answer_for_children() {
    let t = TestApp::new().await;
    let (zhang, cadre) = (t.resident("zhang").await, t.staff("cadre").await);
    let made = registered(&t, &cadre).await;
    let say = |by: &Session, of: String, purpose: &str, how: Value| {
        let body = json!({"purpose": purpose, "version": 1, "answer": "given", "how": how});
        t.post(&path(of)).by(by).json(body).send()
    };
    let own = zhang.subject.to_string();
    let faults = say(&zhang, own.clone(), "health", json!("signed")).await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/how:staff_only"]);
    let faults = say(&zhang, own, "under_14", Value::Null).await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/how:guardian_needed"]);
    let faults = say(&cadre, id(&made), "health", Value::Null).await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/how:required"]);
    let faults = say(&cadre, id(&made), "health", json!("in_mini_program")).await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/how:resident_only"]);
    say(&cadre, id(&made), "under_14", json!("by_guardian")).await.created();
}

#[actix_web::test]
async fn nobody_else_sees_or_answers() {
    let t = TestApp::new().await;
    let (zhang, li, admin) = (t.resident("zhang").await, t.resident("li").await, t.staff("admin").await);
    let far = json!({"name": "远方人", "unit_id": t.unit("石牌镇").await, "identity_seen": "id_card"});
    let far = t.post("/v1/residents").by(&admin).json(far).send().await.created();
    let (foreign, cadre) = (foreign_admin(&t).await, t.staff("cadre").await);
    let all = [(&li, zhang.subject.to_string()), (&cadre, id(&far)), (&foreign, id(&far))];
    for (who, of) in all {
        t.get(&path(&of)).by(who).send().await.problem(404, "not_found");
        let body = json!({"purpose": "health", "version": 1, "answer": "given", "how": "signed"});
        t.post(&path(&of)).by(who).json(body).send().await.problem(404, "not_found");
        let withdraw = format!("{}/health/withdraw", path(&of));
        t.post(&withdraw).by(who).json(json!({"how": "signed"})).send().await.problem(404, "not_found");
    }
    t.get("/v1/consent_texts?county=350426").send().await.ok();
    let body = json!({"purpose": "health", "zh": "x", "en": "x"});
    t.post("/v1/consent_texts").by(&cadre).json(body).send().await.problem(403, "forbidden");
}

#[actix_web::test]
async fn giving_and_withdrawing_at_once_never_leaves_a_number_without_consent() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    answer(&t, &zhang, "id_number", 1, "given").await;
    let unit = t.unit("红星村委会").await;
    let typed = json!({"name": "张小明", "id_number": NUMBER, "unit_id": unit});
    for _ in 0..5 {
        let put = t.put(&format!("/v1/residents/{}", zhang.subject)).by(&zhang).header("if-match", "*");
        let withdraw = t.post(&format!("{}/id_number/withdraw", path(zhang.subject))).by(&zhang).json(json!({}));
        let (put, withdraw) = futures_util::future::join(put.json(typed.clone()).send(), withdraw.send()).await;
        withdraw.is(200);
        assert!([200, 403, 412].contains(&put.status), "{}", put.body);
        assert_eq!(t.database.count("SELECT count(*) AS n FROM residents WHERE id_number IS NOT NULL"), 0);
        answer(&t, &zhang, "id_number", 1, "given").await;
    }
}

#[actix_web::test]
async fn the_service_can_neither_change_nor_cut_the_ledger_of_an_open_record() {
    use diesel::connection::SimpleConnection;
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    answer(&t, &zhang, "health", 1, "given").await;
    let mut service = t.database.service();
    for (forbidden, says) in [
        ("UPDATE consents SET answer = 'refused'", "permission denied"),
        ("DELETE FROM consents", "kept while it is open"),
        ("TRUNCATE consents", "permission denied"),
        ("UPDATE consent_texts SET zh = 'x'", "permission denied"),
    ] {
        let refusal = service.batch_execute(forbidden).expect_err(forbidden).to_string();
        assert!(refusal.contains(says), "{refusal}");
    }
}
