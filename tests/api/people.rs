//! Residents: registered, masked, looked up, revealed, corrected.

use serde_json::{Value, json};

use crate::harness::{Session, TestApp};

const NUMBER: &str = "350425194806120018";

async fn register(t: &TestApp, by: &Session, name: &str, number: Option<&str>, phone: &str) -> Value {
    let unit = t.unit("红星村委会").await;
    let mut body =
        json!({"name": name, "id_number": number, "phone": phone, "unit_id": unit, "identity_seen": "id_card"});
    if number.is_some() {
        (body["consents"], body["consents_how"]) = (json!(["id_number"]), json!("signed"));
    }
    t.post("/v1/residents").by(by).json(body).send().await.created()
}

/// A resident agrees to one's ID number being kept.
async fn agree(t: &TestApp, who: &Session) {
    let body = json!({"purpose": "id_number", "version": 1, "answer": "given"});
    t.post(&format!("/v1/residents/{}/consents", who.subject)).by(who).json(body).send().await.created();
}

fn id(of: &Value) -> String {
    of["id"].as_str().expect("an id").to_owned()
}

#[actix_web::test]
async fn registered_at_the_desk_sealed_and_masked() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let made = register(&t, &cadre, "陈大阿婆", Some(NUMBER), "13950900001").await;
    assert_eq!(
        (&made["name"], &made["id_number"], &made["phone"]),
        (&json!("陈**婆"), &json!("350425********0018"), &json!("139****0001"))
    );
    assert_eq!((&made["identity_level"], &made["masked"]), (&json!("officer"), &json!(true)));
    let stored = t.database.everything();
    let hex = |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02x}")).collect() };
    for secret in ["陈大阿婆", NUMBER, "13950900001"] {
        assert!(!stored.contains(secret) && !stored.contains(&hex(secret)), "{secret} lies in the database");
    }
    let read = t.get(&format!("/v1/residents/{}", id(&made))).by(&cadre).send().await.is(200);
    assert_eq!(read.body, made);
}

#[actix_web::test]
async fn the_same_id_number_is_registered_once_per_county() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    register(&t, &cadre, "陈阿婆", Some(NUMBER), "13950900001").await;
    let unit = t.unit("红星村委会").await;
    let body = json!({"name": "陈阿婆", "id_number": NUMBER, "unit_id": unit, "identity_seen": "id_card",
        "consents": ["id_number"], "consents_how": "spoken"});
    t.post("/v1/residents").by(&cadre).json(body).send().await.problem(409, "resident_exists");
}

#[actix_web::test]
async fn staff_register_within_their_reach_only() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let elsewhere = t.unit("石牌镇").await;
    let body = json!({"name": "陈阿婆", "unit_id": elsewhere, "identity_seen": "id_card"});
    let reply = t.post("/v1/residents").by(&cadre).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/unit_id:unknown_unit"]);
    let admin = t.staff("admin").await;
    let made = t.post("/v1/residents").by(&admin).json(body).send().await.created();
    t.get(&format!("/v1/residents/{}", id(&made))).by(&cadre).send().await.problem(404, "not_found");
}

#[actix_web::test]
async fn looked_up_by_the_whole_number_within_reach_and_recorded() {
    let t = TestApp::new().await;
    let (cadre, junxi) = (t.staff("cadre").await, t.staff("junxi").await);
    let made = register(&t, &cadre, "陈阿婆", Some(NUMBER), "13950900001").await;
    let look = |by: &Session, body: Value| t.post("/v1/residents/lookup").by(by).json(body).send();
    for by in [&cadre, &junxi] {
        let found = look(by, json!({"id_number": NUMBER})).await.ok();
        assert_eq!(found["items"][0]["id"], made["id"]);
        assert_eq!(found["items"][0]["id_number"], "350425********0018");
    }
    assert_eq!(look(&cadre, json!({"phone": "13950900001"})).await.ok()["items"][0]["id"], made["id"]);
    assert_eq!(look(&cadre, json!({"phone": "13950900002"})).await.ok()["items"], json!([]));
    let reply = look(&cadre, json!({"phone": "13950900001", "id_number": NUMBER})).await.problem(422, "invalid");
    assert_eq!(reply.faults(), [":exactly_one"]);
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'lookup'"),
        4,
        "also the one that found nobody"
    );
    let plan = "EXPLAIN SELECT 1 FROM residents WHERE county_id = 1 AND phone_index = ANY(ARRAY['\\x01'::bytea])";
    assert!(explain(&t, plan).contains("residents_phone"), "one indexed read");
}

fn explain(t: &TestApp, sql: &str) -> String {
    use diesel::{QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_types::Text};
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        #[diesel(column_name = "QUERY PLAN")]
        line: String,
    }
    let mut conn = t.database.owner();
    conn.batch_execute("SET enable_seqscan = off").expect("set");
    let lines: Vec<Line> = diesel::sql_query(sql).load(&mut conn).expect("explained");
    lines.into_iter().map(|line| line.line + "\n").collect()
}

#[actix_web::test]
async fn revealing_needs_a_reason_and_leaves_an_entry_that_the_service_cannot_change() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let made = register(&t, &cadre, "陈阿婆", Some(NUMBER), "13950900001").await;
    let path = format!("/v1/residents/{}/reveal", id(&made));
    let reveal = |body: Value| t.post(&path).by(&cadre).json(body).send();
    let reply = reveal(json!({"fields": [], "reason": ""})).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/fields:length", "/reason:length"]);
    let reply = reveal(json!({"fields": ["phone", "id_number"], "reason": "电话通知取件"})).await.is(200);
    assert_eq!(reply.body, json!({"phone": "13950900001", "id_number": NUMBER}));
    assert_eq!(reply.header("cache-control"), "no-store");
    let entry = format!(
        "SELECT count(*) AS n FROM audit_log WHERE action = 'reveal' AND actor_id = '{}' AND entity_id = '{}' \
         AND reason = '电话通知取件' AND fields = '{{phone,id_number}}' AND request_id = '{}'",
        cadre.subject,
        id(&made),
        reply.header("x-request-id"),
    );
    assert_eq!(t.database.count(&entry), 1);
    use diesel::connection::SimpleConnection;
    let mut service = t.database.service();
    for forbidden in ["UPDATE audit_log SET reason = ''", "DELETE FROM audit_log", "TRUNCATE audit_log"] {
        let refusal = service.batch_execute(forbidden).expect_err(forbidden).to_string();
        assert!(refusal.contains("permission denied"), "{refusal}");
    }
}

#[actix_web::test]
async fn residents_see_themselves_plain_and_nobody_else() {
    let t = TestApp::new().await;
    let (zhang, li) = (t.resident("zhang").await, t.resident("li").await);
    let path = format!("/v1/residents/{}", zhang.subject);
    let read = t.get(&path).by(&zhang).send().await.is(200);
    agree(&t, &zhang).await;
    let body = json!({"name": "张小明", "id_number": NUMBER, "phone": null, "unit_id": t.unit("红星村委会").await});
    let put = t.put(&path).by(&zhang).header("if-match", read.header("etag")).json(body).send().await.ok();
    assert_eq!((&put["name"], &put["id_number"], &put["masked"]), (&json!("张小明"), &json!(NUMBER), &json!(false)));
    t.get(&path).by(&li).send().await.problem(404, "not_found");
    t.post(&format!("{path}/reveal"))
        .by(&zhang)
        .json(json!({"fields": ["phone"], "reason": "好奇"}))
        .send()
        .await
        .problem(403, "forbidden");
}

#[actix_web::test]
async fn a_mask_sent_back_means_unchanged_and_any_other_mask_is_refused() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let made = register(&t, &cadre, "陈阿婆", Some(NUMBER), "13950900001").await;
    let path = format!("/v1/residents/{}", id(&made));
    let put = |version: &str, body: Value| t.put(&path).by(&cadre).header("if-match", version).json(body).send();
    let same = json!({"name": made["name"], "id_number": made["id_number"], "phone": "13950900009", "unit_id": made["unit_id"]});
    let changed = put("\"1\"", same).await.ok();
    assert_eq!((&changed["name"], &changed["phone"]), (&made["name"], &json!("139****0009")));
    let plain = t
        .post(&format!("{path}/reveal"))
        .by(&cadre)
        .json(json!({"fields": ["name", "id_number", "phone"], "reason": "核对"}))
        .send()
        .await
        .ok();
    assert_eq!(plain, json!({"name": "陈阿婆", "id_number": NUMBER, "phone": "13950900009"}));
    let wrong =
        json!({"name": "王**", "id_number": "350425********9999", "phone": "139****0009", "unit_id": made["unit_id"]});
    let reply = put("\"2\"", wrong).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/id_number:masked_value", "/name:masked_value"]);
    let bad = json!({"name": "陈阿婆", "id_number": "1", "phone": "2", "unit_id": made["unit_id"]});
    assert_eq!(put("\"2\"", bad).await.problem(422, "invalid").faults(), ["/id_number:id_number", "/phone:phone"]);
    put("\"1\"", json!({"name": "陈阿婆"})).await.problem(412, "version_stale");
}

#[actix_web::test]
async fn a_phone_is_proved_by_wechat_once_and_not_typed() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    let path = format!("/v1/residents/{}", zhang.subject);
    let typed = json!({"name": "张小明", "phone": "13800138000"});
    let reply = t.put(&path).by(&zhang).header("if-match", "\"1\"").json(typed).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/phone:proof_needed"]);
    let prove = |key: &str, code: &str| {
        t.post(&format!("{path}/prove_phone")).by(&zhang).key(key).json(json!({"code": code})).send()
    };
    let proved = prove("a", "phone.13800138000.1").await.is(200);
    assert_eq!((&proved["phone"], &proved["identity_level"]), (&json!("13800138000"), &json!("phone")));
    // The button pressed twice: the code is used up, the answer is not.
    assert_eq!(prove("a", "phone.13800138000.1").await.is(200).bytes, proved.bytes);
    assert_eq!(prove("b", "phone.13800138000.1").await.problem(422, "invalid").faults(), ["/code:wechat_code_refused"]);
    assert_eq!(prove("c", "phone.85291234567.2").await.problem(422, "invalid").faults(), ["/code:wechat_code_refused"]);
    let li = t.resident("li").await;
    let other =
        t.post(&format!("{path}/prove_phone")).by(&li).json(json!({"code": "phone.13800138000.3"})).send().await;
    other.problem(404, "not_found");
}

#[actix_web::test]
async fn a_stale_wechat_token_is_replaced_once() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    let path = format!("/v1/residents/{}/prove_phone", zhang.subject);
    t.post(&path).by(&zhang).json(json!({"code": "phone.13800138000.1"})).send().await.is(200);
    t.wechat.expire_tokens();
    t.post(&path).by(&zhang).json(json!({"code": "phone.13800138001.2"})).send().await.is(200);
    assert_eq!(t.wechat.calls.lock().expect("calls")["stable_token"], 2);
}

#[actix_web::test]
async fn a_checked_identity_is_corrected_at_the_desk() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    let path = format!("/v1/residents/{}", zhang.subject);
    let unit = t.unit("红星村委会").await;
    t.put(&path)
        .by(&zhang)
        .header("if-match", "\"1\"")
        .json(json!({"name": "张小明", "unit_id": unit}))
        .send()
        .await
        .ok();
    let cadre = t.staff("cadre").await;
    let seen = json!({"name": "张小明", "unit_id": unit, "identity_seen": "id_card"});
    let checked = t.put(&path).by(&cadre).header("if-match", "\"2\"").json(seen).send().await.ok();
    assert_eq!(checked["identity_level"], "officer");
    let rename = json!({"name": "张大明", "unit_id": unit});
    t.put(&path)
        .by(&zhang)
        .header("if-match", "\"3\"")
        .json(rename.clone())
        .send()
        .await
        .problem(409, "identity_checked");
    t.put(&path).by(&cadre).header("if-match", "\"3\"").json(rename).send().await.ok();
}

#[actix_web::test]
async fn logs_and_errors_never_hold_what_was_typed() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let unit = t.unit("红星村委会").await;
    let body = json!({"name": "陈阿婆", "id_number": NUMBER, "unit_id": unit, "identity_seen": "id_card",
        "consents": ["id_number"], "consents_how": "spoken"});
    t.post("/v1/residents").by(&cadre).json(body.clone()).send().await.created();
    let conflict = t.post("/v1/residents").by(&cadre).json(body).send().await.problem(409, "resident_exists");
    assert!(!conflict.body.to_string().contains("陈阿婆") && !conflict.body.to_string().contains(NUMBER));
}

#[actix_web::test]
async fn a_number_that_residents_type_finds_nobody_and_blocks_nobody() {
    let t = TestApp::new().await;
    let (zhang, cadre) = (t.resident("zhang").await, t.staff("cadre").await);
    let path = format!("/v1/residents/{}", zhang.subject);
    let unit = t.unit("红星村委会").await;
    agree(&t, &zhang).await;
    let typed = json!({"name": "张小明", "id_number": NUMBER, "unit_id": unit});
    t.put(&path).by(&zhang).header("if-match", "\"1\"").json(typed).send().await.ok();
    let look = || t.post("/v1/residents/lookup").by(&cadre).json(json!({"id_number": NUMBER})).send();
    assert_eq!(look().await.ok()["items"], json!([]));
    let granny = register(&t, &cadre, "陈阿婆", Some(NUMBER), "13950900001").await;
    assert_eq!(look().await.ok()["items"][0]["id"], granny["id"]);
    // An officer who sees the card of the first one finds out.
    let seen =
        json!({"name": "张小明", "id_number": "350425********0018", "unit_id": unit, "identity_seen": "id_card"});
    let refused = t.put(&path).by(&cadre).header("if-match", "\"2\"").json(seen).send().await;
    refused.problem(409, "resident_exists");
    let claim = json!({"unit_id": unit, "identity_seen": "id_card"});
    let reply = t.put(&path).by(&zhang).header("if-match", "\"2\"").json(claim).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/identity_seen:staff_only"]);
}

#[actix_web::test]
async fn a_second_encryption_key_finds_and_guards_what_the_first_one_sealed() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let granny = register(&t, &cadre, "陈阿婆", Some(NUMBER), "13950900001").await;
    let (url, prefix) = (t.database.service_url.clone(), t.app.config.redis_prefix.clone());
    let rotated = TestApp::with(|setup| {
        let keys = format!("{},2:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", lianxin::config::DEVELOPMENT_KEYS);
        setup.config.encryption_keys = Some(keys.into());
        setup.config.database_url = Some(url.into());
        setup.config.redis_prefix = prefix;
    })
    .await;
    let found = rotated.post("/v1/residents/lookup").by(&cadre).json(json!({"id_number": NUMBER})).send().await.ok();
    assert_eq!(found["items"][0]["id"], granny["id"]);
    let unit = t.unit("红星村委会").await;
    let body = json!({"name": "陈阿婆", "id_number": NUMBER, "unit_id": unit, "identity_seen": "id_card",
        "consents": ["id_number"], "consents_how": "spoken"});
    rotated.post("/v1/residents").by(&cadre).json(body).send().await.problem(409, "resident_exists");
    // A refresh whose answer was lost before the new key came is repeated after it.
    let session = t.resident("zhang").await;
    let refresh = json!({"refresh_token": session.refresh});
    let next = t.post("/v1/sessions/refresh").json(refresh.clone()).send().await.ok()["refresh_token"].clone();
    let repeated = rotated.post("/v1/sessions/refresh").json(refresh).send().await.ok()["refresh_token"].clone();
    rotated.post("/v1/sessions/refresh").json(json!({"refresh_token": repeated})).send().await.ok();
    assert!(next.is_string());
}

#[actix_web::test]
async fn moving_away_is_a_tombstone_for_the_old_village() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let made = register(&t, &admin, "陈阿婆", None, "13950900001").await;
    let body = json!({"name": made["name"], "phone": made["phone"], "unit_id": t.unit("石牌镇").await});
    t.put(&format!("/v1/residents/{}", id(&made))).by(&admin).header("if-match", "\"1\"").json(body).send().await.ok();
    let old = t.unit("红星村委会").await;
    let sql = format!(
        "SELECT count(*) AS n FROM changes WHERE entity_id = '{}' AND unit_id = '{old}' AND gone AND resident_id IS NULL",
        id(&made)
    );
    assert_eq!(t.database.count(&sql), 1);
}
