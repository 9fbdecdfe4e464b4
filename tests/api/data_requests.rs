//! What residents ask about their own data: a copy, a correction.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    harness::{Session, TestApp},
};

pub const NUMBER: &str = "350425194806120018";
pub const PHONE: &str = "13800138000";

pub fn id(of: &Value) -> String {
    of["id"].as_str().expect("an id").to_owned()
}

pub fn requests(of: impl std::fmt::Display) -> String {
    format!("/v1/residents/{of}/data_requests")
}

/// A resident with everything that can be entered.
pub async fn zhang(t: &TestApp) -> Session {
    let zhang = t.resident("zhang").await;
    let own = format!("/v1/residents/{}", zhang.subject);
    let agree = json!({"purpose": "id_number", "version": 1, "answer": "given"});
    t.post(&format!("{own}/consents")).by(&zhang).json(agree).send().await.created();
    let body = json!({"name": "张小明", "id_number": NUMBER, "unit_id": t.unit("红星村委会").await});
    t.put(&own).by(&zhang).header("if-match", "*").json(body).send().await.ok();
    let code = json!({"code": format!("phone.{PHONE}.1")});
    t.post(&format!("{own}/prove_phone")).by(&zhang).json(code).send().await.ok();
    zhang
}

pub async fn granny(t: &TestApp, by: &Session) -> Value {
    let body = json!({"name": "陈大阿婆", "id_number": "350425195003070023", "phone": "13950900001", "identity_seen": "id_card",
        "unit_id": t.unit("红星村委会").await, "consents": ["id_number"], "consents_how": "signed"});
    t.post("/v1/residents").by(by).json(body).send().await.created()
}

pub async fn ask(t: &TestApp, by: &Session, of: impl std::fmt::Display, body: Value) -> Value {
    let reply = t.post(&requests(of)).by(by).json(body).send().await.is(202);
    assert_eq!(reply.header("location"), format!("/v1/data_requests/{}", id(&reply.body)));
    reply.body
}

pub async fn read(t: &TestApp, by: &Session, request: &Value) -> Value {
    t.get(&format!("/v1/data_requests/{}", id(request))).by(by).send().await.ok()
}

pub async fn sweep(t: &TestApp) {
    let now = t.app.clock.now();
    for pass in [lianxin::data_requests::expire_exports, lianxin::consents::purge] {
        t.app.db.write("sweep", move |conn| Ok(pass(conn, now)?)).await.expect("swept");
    }
}

#[actix_web::test]
async fn a_copy_holds_what_was_entered_and_nothing_of_others() {
    let t = TestApp::new().await;
    let (zhang, cadre) = (zhang(&t).await, t.staff("cadre").await);
    granny(&t, &cadre).await;
    let reveal = json!({"fields": ["phone"], "reason": "电话通知取件"});
    let reveal = t.post(&format!("/v1/residents/{}/reveal", zhang.subject)).by(&cadre).json(reveal).send();
    reveal.await.is(200);
    let booked = t.booking("2026-11-23T09:00:00+08:00").await;
    t.post("/v1/appointments").by(&zhang).json(booked).send().await.created();
    let asked = ask(&t, &zhang, zhang.subject, json!({"kind": "export", "words": "想看看"})).await;
    assert_eq!((&asked["state"], &asked["state_name"]), (&json!("requested"), &json!("已申请")));
    // Fifteen working days after Monday.
    assert_eq!(asked["due_at"], "2026-12-15T00:00:00+08:00");
    let archive = format!("/v1/data_requests/{}/archive", id(&asked));
    t.get(&archive).by(&zhang).send().await.problem(409, "export_not_ready");
    t.run_jobs().await;
    let ready = read(&t, &zhang, &asked).await;
    assert_eq!((&ready["state"], &ready["words"]), (&json!("ready"), &json!("想看看")));
    assert_eq!(ready["expires_at"], "2026-11-30T08:00:00+08:00");
    assert_eq!((&ready["counts"]["appointments"], &ready["counts"]["consents"]), (&json!(1), &json!(1)));
    let reply = t.get(&archive).by(&zhang).send().await.is(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    let (copy, text) = (&reply.body, reply.body.to_string());
    let record = &copy["rooms"]["people"]["record"];
    assert_eq!(
        (&record["name"], &record["id_number"], &record["phone"], &record["unit"]),
        (&json!("张小明"), &json!(NUMBER), &json!(PHONE), &json!("红星村委会"))
    );
    let looked = copy["rooms"]["people"]["audit"].as_array().expect("entries").clone();
    let looked = looked.iter().find(|entry| entry["action"] == "reveal").expect("who looked");
    assert_eq!((&looked["role"], &looked["reason"]), (&json!("village_cadre"), &json!("电话通知取件")));
    assert_eq!(copy["rooms"]["appointments"]["appointments"][0]["unit"], "均溪镇");
    assert!(copy["rooms"]["consents"]["answers"][0]["text"]["zh"].as_str().expect("words").contains("身份证号"));
    assert_eq!(copy["rooms"]["data_requests"]["requests"][0]["words"], "想看看");
    assert_eq!(copy["rooms"]["sessions"]["logins"].as_array().expect("logins").len(), 1);
    for other in ["陈大阿婆", "350425195003070023", "13950900001", "\\x", &cadre.subject.to_string()] {
        assert!(!text.contains(other), "{other} in the copy");
    }
    // Sealed where it lies.
    let stored = t.database.everything();
    let hex = |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02x}")).collect() };
    for secret in ["张小明", NUMBER, PHONE, "想看看"] {
        assert!(!stored.contains(secret) && !stored.contains(&hex(secret)), "{secret} lies in the database");
    }
}

#[actix_web::test]
async fn a_copy_expires_and_loses_its_bytes() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let granny = granny(&t, &cadre).await;
    let needed =
        t.post(&requests(id(&granny))).by(&cadre).json(json!({"kind": "export"})).send().await.problem(422, "invalid");
    assert_eq!(needed.faults(), ["/words:required"], "staff say why");
    let asked = ask(&t, &cadre, id(&granny), json!({"kind": "export", "words": "阿婆要一份自己的资料"})).await;
    assert_eq!(asked["asked_by"], json!(cadre.subject));
    t.run_jobs().await;
    let archive = format!("/v1/data_requests/{}/archive", id(&asked));
    // Staff fetch it for somebody without a phone, and that is on record.
    t.get(&archive).by(&cadre).send().await.is(200);
    let entry = format!(
        "SELECT count(*) AS n FROM audit_log WHERE action = 'export' AND actor_id = '{}' AND entity_id = '{}'",
        cadre.subject,
        id(&granny)
    );
    assert_eq!(t.database.count(&entry), 1);
    t.set_time("2026-11-30T07:59:59+08:00");
    let cadre = t.staff("cadre").await;
    sweep(&t).await;
    t.get(&archive).by(&cadre).send().await.is(200);
    t.set_time("2026-11-30T08:00:00+08:00");
    t.get(&archive).by(&cadre).send().await.problem(410, "export_expired");
    sweep(&t).await;
    assert_eq!(read(&t, &cadre, &asked).await["state"], "expired");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM data_requests WHERE archive IS NOT NULL"), 0);
    t.get(&archive).by(&cadre).send().await.problem(410, "export_expired");
    ask(&t, &cadre, id(&granny), json!({"kind": "export", "words": "再要一份"})).await;
    t.run_jobs().await;
}

#[actix_web::test]
async fn only_the_person_fetches_a_copy_and_staff_only_for_somebody_without_a_phone() {
    let t = TestApp::new().await;
    let (zhang, li, cadre) = (zhang(&t).await, t.resident("li").await, t.staff("cadre").await);
    let asked = ask(&t, &zhang, zhang.subject, json!({"kind": "export"})).await;
    t.run_jobs().await;
    let path = format!("/v1/data_requests/{}", id(&asked));
    let foreign = foreign_admin(&t).await;
    for who in [&li, &foreign] {
        t.get(&path).by(who).send().await.problem(404, "not_found");
        t.get(&format!("{path}/archive")).by(who).send().await.problem(404, "not_found");
        t.get(&requests(zhang.subject)).by(who).send().await.problem(404, "not_found");
        for kind in ["export", "correct", "close"] {
            let body = json!({"kind": kind, "words": "请办理"});
            t.post(&requests(zhang.subject)).by(who).json(body).send().await.problem(404, "not_found");
        }
    }
    t.get(&format!("{path}/archive")).by(&cadre).send().await.problem(409, "archive_for_resident");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'export'"), 0);
    let list = t.get(&format!("{}?count=true", requests(zhang.subject))).by(&zhang).send().await.ok();
    assert_eq!((&list["total"], &list["items"][0]["id"]), (&json!(1), &asked["id"]));
}

#[actix_web::test]
async fn one_of_a_kind_waits_whoever_asks_and_however_fast() {
    let t = TestApp::new().await;
    let zhang = zhang(&t).await;
    let path = requests(zhang.subject);
    let all = (0..5).map(|_| t.post(&path).by(&zhang).json(json!({"kind": "export"})).send());
    let replies = join_all(all).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 202).count(), 1);
    for reply in replies.into_iter().filter(|reply| reply.status != 202) {
        reply.problem(409, "request_exists");
    }
    let body = json!({"kind": "correct", "words": "姓名有误"});
    let once = || t.post(&path).by(&zhang).key("k").json(body.clone()).send();
    let first = once().await.is(202);
    assert_eq!(once().await.is(202).bytes, first.bytes);
    t.post(&path).by(&zhang).json(body.clone()).send().await.problem(409, "request_exists");
    let faults =
        t.post(&path).by(&zhang).json(json!({"kind": "correct"})).send().await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/words:required"]);
    let faults = t.post(&path).by(&zhang).json(json!({"kind": "sell"})).send().await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/kind:unknown_value"]);
    t.run_jobs().await;
}

#[actix_web::test]
async fn too_large_a_copy_fails_clearly_and_somebody_is_told() {
    let t = TestApp::new().await;
    let zhang = zhang(&t).await;
    t.database.run(&format!(
        "INSERT INTO audit_log (county_id, id, at, actor_id, actor_role, action, entity, entity_id, reason) \
         VALUES (1, gen_random_uuid(), now(), gen_random_uuid(), 'system', 'reveal', 'resident', '{}', repeat('x', 9000000))",
        zhang.subject
    ));
    let asked = ask(&t, &zhang, zhang.subject, json!({"kind": "export"})).await;
    t.run_jobs().await;
    let refused = read(&t, &zhang, &asked).await;
    assert_eq!(refused["state"], "refused");
    assert!(refused["reason"].as_str().expect("a reason").contains("8 MiB"));
    assert_eq!(t.database.count("SELECT count(*) AS n FROM todos WHERE kind = 'failure' AND state = 'open'"), 1);
    let archive = format!("/v1/data_requests/{}/archive", id(&asked));
    t.get(&archive).by(&zhang).send().await.problem(409, "export_not_ready");
}

#[actix_web::test]
async fn a_correction_is_decided_by_staff_with_a_reason() {
    let t = TestApp::new().await;
    let (zhang, cadre) = (zhang(&t).await, t.staff("cadre").await);
    let asked = ask(&t, &zhang, zhang.subject, json!({"kind": "correct", "words": "姓名应为张晓明"})).await;
    let waiting = "SELECT count(*) AS n FROM todos WHERE kind = 'decide' AND state = 'open' AND due_at = '2026-12-15T00:00:00+08:00' \
        AND about = 'data_request' AND unit_id = (SELECT unit_id FROM residents WHERE unit_id IS NOT NULL)";
    assert_eq!(t.database.count(waiting), 1);
    let list = t.get(&requests(zhang.subject)).by(&cadre).send().await.ok();
    assert_eq!(list["items"][0]["words"], Value::Null, "what was written is read one by one, and recorded");
    assert_eq!(read(&t, &cadre, &asked).await["words"], "姓名应为张晓明");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'read_data_request'"), 1);
    let path = format!("/v1/data_requests/{}/decide", id(&asked));
    let body = json!({"outcome": "done", "reason": "已核对户口簿并更正"});
    let decide =
        |by: &Session, version: &str, body: Value| t.post(&path).by(by).header("if-match", version).json(body).send();
    t.post(&path).by(&cadre).json(body.clone()).send().await.problem(428, "precondition_required");
    decide(&zhang, "\"1\"", body.clone()).await.problem(403, "forbidden");
    decide(&cadre, "\"7\"", body.clone()).await.problem(412, "version_stale");
    let faults =
        decide(&cadre, "\"1\"", json!({"outcome": "maybe", "reason": ""})).await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/outcome:unknown_value", "/reason:length"]);
    let foreign = foreign_admin(&t).await;
    decide(&foreign, "\"1\"", body.clone()).await.problem(404, "not_found");
    let decided = decide(&cadre, "\"1\"", body.clone()).await.ok();
    assert_eq!((&decided["state"], &decided["decided_by"]), (&json!("done"), &json!(cadre.subject)));
    assert_eq!(read(&t, &zhang, &asked).await["reason"], "已核对户口簿并更正");
    decide(&cadre, "\"2\"", body).await.problem(409, "request_not_open");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM todos WHERE state IN ('open', 'taken')"), 0);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'correct'"), 1);
    let again = ask(&t, &zhang, zhang.subject, json!({"kind": "correct", "words": "电话"})).await;
    let path = format!("/v1/data_requests/{}/decide", id(&again));
    let two = ["done", "refused"].map(|outcome| {
        let body = json!({"outcome": outcome, "reason": "同时决定"});
        t.post(&path).by(&cadre).header("if-match", "\"1\"").json(body).send()
    });
    let mut statuses: Vec<_> = join_all(two).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}
