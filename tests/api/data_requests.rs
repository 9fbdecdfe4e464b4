//! What residents ask about their own data: a copy, a correction, closing the record.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    harness::{Session, TestApp},
};

const NUMBER: &str = "350425194806120018";
const PHONE: &str = "13800138000";

fn id(of: &Value) -> String {
    of["id"].as_str().expect("an id").to_owned()
}

fn requests(of: impl std::fmt::Display) -> String {
    format!("/v1/residents/{of}/data_requests")
}

/// A resident with everything that can be entered.
async fn zhang(t: &TestApp) -> Session {
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

async fn granny(t: &TestApp, by: &Session) -> Value {
    let body = json!({"name": "陈大阿婆", "id_number": "350425195003070023", "phone": "13950900001", "identity_seen": "id_card",
        "unit_id": t.unit("红星村委会").await, "consents": ["id_number"], "consents_how": "signed"});
    t.post("/v1/residents").by(by).json(body).send().await.created()
}

async fn ask(t: &TestApp, by: &Session, of: impl std::fmt::Display, body: Value) -> Value {
    let reply = t.post(&requests(of)).by(by).json(body).send().await.is(202);
    assert_eq!(reply.header("location"), format!("/v1/data_requests/{}", id(&reply.body)));
    reply.body
}

async fn read(t: &TestApp, by: &Session, request: &Value) -> Value {
    t.get(&format!("/v1/data_requests/{}", id(request))).by(by).send().await.ok()
}

async fn sweep(t: &TestApp) {
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

/// Every sealed value of a resident's row, as it lies in the database.
fn sealed(t: &TestApp, resident: &str) -> Vec<String> {
    use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
    #[derive(QueryableByName)]
    struct Value {
        #[diesel(sql_type = Text)]
        value: String,
    }
    let columns =
        ["name", "id_number", "phone", "wechat_openid", "id_number_index", "phone_index", "wechat_openid_index"];
    let one = |column: &&str| {
        let sql = format!(
            "SELECT encode({column}, 'hex') AS value FROM residents WHERE id = '{resident}' AND {column} IS NOT NULL"
        );
        let values: Vec<Value> = sql_query(sql).load(&mut t.database.owner()).expect("read");
        values.into_iter().map(|value| value.value).collect::<Vec<_>>()
    };
    columns.iter().flat_map(one).collect()
}

async fn free(t: &TestApp, starts_at: &str) -> Value {
    let (unit, matter) = (t.unit("均溪镇").await, t.matter().await);
    let path = format!("/v1/slots?county=350425&unit_id={unit}&matter_id={matter}&date={}", &starts_at[..10]);
    let slots = t.get(&path).send().await.ok();
    slots["items"].as_array().expect("items").iter().find(|slot| slot["starts_at"] == starts_at).expect("offered")["free"].clone()
}

/// Lets the second walk over the rooms run.
async fn settle(t: &TestApp) {
    t.run_jobs().await;
    t.pass(TimeDelta::minutes(2));
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_closed_record_leaves_nothing_of_the_person_and_gives_places_back() {
    let t = TestApp::new().await;
    let (zhang, past, later) = (zhang(&t).await, "2026-11-23T09:00:00+08:00", "2026-11-26T09:00:00+08:00");
    let before = free(&t, later).await;
    for starts_at in [past, later] {
        let body = t.booking(starts_at).await;
        t.post("/v1/appointments").by(&zhang).json(body).send().await.created();
    }
    t.run_jobs().await;
    assert_ne!(free(&t, later).await, before);
    t.set_time("2026-11-23T10:00:00+08:00");
    let zhang = t.resident("zhang").await;
    let correct = ask(&t, &zhang, zhang.subject, json!({"kind": "correct", "words": "我叫张晓明"})).await;
    ask(&t, &zhang, zhang.subject, json!({"kind": "export"})).await;
    t.run_jobs().await;
    let values = sealed(&t, &zhang.subject.to_string());
    assert!(values.len() >= 6, "name, number, phone, openid and the indexes of two");
    let asked = ask(&t, &zhang, zhang.subject, json!({"kind": "close"})).await;
    t.post(&requests(zhang.subject))
        .by(&zhang)
        .json(json!({"kind": "close"}))
        .send()
        .await
        .problem(409, "request_exists");
    settle(&t).await;

    let stored = t.database.everything();
    let hex = |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02x}")).collect() };
    for secret in ["张小明", "张晓明", NUMBER, PHONE] {
        assert!(!stored.contains(secret) && !stored.contains(&hex(secret)), "{secret} lies in the database");
    }
    for value in values {
        assert!(!stored.contains(&value), "a sealed value still lies in the database");
    }
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM data_requests WHERE num_nonnulls(words, reason, archive) > 0"),
        0
    );
    let kept = format!("SELECT count(*) AS n FROM idempotency_keys WHERE caller_id = '{}'", zhang.subject);
    assert_eq!(t.database.count(&kept), 0);
    assert_eq!(free(&t, later).await, before, "the place is free again");
    let live = format!(
        "SELECT count(*) AS n FROM sessions WHERE resident_id = '{}' AND ended_because IS DISTINCT FROM 'closed'",
        zhang.subject
    );
    assert_eq!(t.database.count(&live), 0);

    let (cadre, junxi, admin) = (t.staff("cadre").await, t.staff("junxi").await, t.staff("admin").await);
    let own = format!("/v1/residents/{}", zhang.subject);
    for who in [&cadre, &admin] {
        t.get(&own).by(who).send().await.problem(404, "not_found");
        t.get(&format!("{own}/consents")).by(who).send().await.problem(404, "not_found");
    }
    let found = t.post("/v1/residents/lookup").by(&admin).json(json!({"phone": PHONE})).send().await.ok();
    assert_eq!(found["items"], json!([]));
    // What was done at the centre stays, without a name.
    let list = t.get("/v1/appointments?state=booked").by(&junxi).send().await.ok();
    assert_eq!((&list["items"][0]["starts_at"], &list["items"][0]["resident"]["name"]), (&json!(past), &Value::Null));
    // What the law keeps is said, and until when.
    let done = read(&t, &cadre, &asked).await;
    assert_eq!(
        (&done["state"], &done["counts"]["people"], &done["counts"]["appointments"]),
        (&json!("done"), &json!(1), &json!(1))
    );
    assert_eq!(done["kept"], json!({"consents": "2029-11-23", "audit": "2027-05-23"}));
    assert_eq!(read(&t, &cadre, &correct).await["state"], "refused");
    let twice = json!({"kind": "close", "words": "再次申请"});
    t.post(&requests(zhang.subject)).by(&cadre).json(twice).send().await.problem(409, "record_closed");
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'close' AND actor_role = 'system'"),
        1
    );
    assert_eq!(t.database.count("SELECT count(*) AS n FROM todos WHERE state IN ('open', 'taken')"), 0);
    let tombstone = format!(
        "SELECT count(*) AS n FROM changes WHERE entity = 'resident' AND entity_id = '{}' AND gone",
        zhang.subject
    );
    assert_eq!(t.database.count(&tombstone), 1);
}

#[actix_web::test]
async fn the_session_ends_and_the_next_login_makes_a_new_record() {
    let t = TestApp::new().await;
    let zhang = zhang(&t).await;
    ask(&t, &zhang, zhang.subject, json!({"kind": "close"})).await;
    settle(&t).await;
    let body = t.booking("2026-11-24T09:00:00+08:00").await;
    // What a process still remembers for a moment reaches nothing either.
    let reply = t.post("/v1/appointments").by(&zhang).json(body).send().await;
    assert!([401, 422].contains(&reply.status), "{}", reply.body);
    let refresh = json!({"refresh_token": zhang.refresh});
    t.post("/v1/sessions/refresh").json(refresh).send().await.problem(401, "session_ended");
    let again = t.resident("zhang").await;
    assert_ne!(again.subject, zhang.subject);
    let fresh = t.get(&format!("/v1/residents/{}", again.subject)).by(&again).send().await.ok();
    assert_eq!((&fresh["name"], &fresh["phone"]), (&Value::Null, &Value::Null));
}

#[actix_web::test]
async fn a_closing_that_runs_twice_closes_once() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let granny = granny(&t, &cadre).await;
    let faults = t.post(&requests(id(&granny))).by(&cadre).json(json!({"kind": "close"})).send().await;
    assert_eq!(faults.problem(422, "invalid").faults(), ["/words:required"]);
    let asked = ask(&t, &cadre, id(&granny), json!({"kind": "close", "words": "本人到窗口书面申请"})).await;
    // A worker that died in the middle: the same job once more, the request left running.
    t.database.run(
        "INSERT INTO outbox (county_id, kind, payload, run_at) SELECT county_id, kind, payload, run_at FROM outbox; \
         UPDATE data_requests SET state = 'running'",
    );
    settle(&t).await;
    assert_eq!(read(&t, &cadre, &asked).await["state"], "done");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'close'"), 1);
    // The number is free for whoever comes.
    self::granny(&t, &cadre).await;
}

#[actix_web::test]
async fn consents_of_a_closed_record_are_kept_for_years_and_then_deleted() {
    let t = TestApp::new().await;
    let (cadre, li) = (t.staff("cadre").await, t.resident("li").await);
    let agree = json!({"purpose": "health", "version": 1, "answer": "given"});
    t.post(&format!("/v1/residents/{}/consents", li.subject)).by(&li).json(agree).send().await.created();
    let granny = granny(&t, &cadre).await;
    ask(&t, &cadre, id(&granny), json!({"kind": "close", "words": "本人申请"})).await;
    settle(&t).await;
    let count = || t.database.count("SELECT count(*) AS n FROM consents");
    t.set_time("2029-11-23T07:00:00+08:00");
    sweep(&t).await;
    assert_eq!(count(), 2);
    t.set_time("2029-11-24T08:00:00+08:00");
    sweep(&t).await;
    assert_eq!(count(), 1, "those of an open record stay");
}

#[actix_web::test]
async fn booking_while_the_record_closes_leaves_no_place_taken() {
    let t = TestApp::new().await;
    let zhang = zhang(&t).await;
    let mut bookings = Vec::new();
    for day in 24..28 {
        bookings.push(t.booking(&format!("2026-11-{day}T09:00:00+08:00")).await);
    }
    ask(&t, &zhang, zhang.subject, json!({"kind": "close"})).await;
    let book = bookings.iter().map(|body| t.post("/v1/appointments").by(&zhang).json(body.clone()).send());
    let (replies, _) = futures_util::future::join(join_all(book), t.run_jobs()).await;
    for reply in replies {
        assert!([201, 401, 422].contains(&reply.status), "{}", reply.body);
    }
    settle(&t).await;
    t.run_jobs().await;
    assert_eq!(t.database.count("SELECT count(*) AS n FROM appointments WHERE state = 'booked'"), 0);
}

#[actix_web::test]
async fn closing_and_logging_in_at_once_leaves_no_session_of_a_closed_record() {
    let t = TestApp::new().await;
    let zhang = zhang(&t).await;
    ask(&t, &zhang, zhang.subject, json!({"kind": "close"})).await;
    let logins = (0..4).map(|_| {
        let code = format!("login.zhang.{}", uuid::Uuid::now_v7());
        t.post("/v1/sessions/wechat").json(json!({"county": "350425", "code": code})).send()
    });
    let (replies, _) = futures_util::future::join(join_all(logins), t.run_jobs()).await;
    for reply in replies {
        assert!([201, 401].contains(&reply.status), "{}", reply.body);
    }
    settle(&t).await;
    let live = "SELECT count(*) AS n FROM sessions s JOIN residents r ON r.id = s.resident_id WHERE r.closed_at IS NOT NULL AND s.ended_at IS NULL";
    assert_eq!(t.database.count(live), 0);
}
