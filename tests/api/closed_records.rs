//! Closing a resident's record: what is left of them, and what must not be.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    data_requests::{NUMBER, PHONE, ask, granny, id, read, requests, sweep, zhang},
    harness::TestApp,
};

/// Every sealed value of a resident's row, as it lies in the database.
fn sealed(t: &TestApp, resident: &str) -> Vec<String> {
    use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
    #[derive(QueryableByName)]
    struct Value {
        #[diesel(sql_type = Text)]
        value: String,
    }
    let columns = [
        "name",
        "id_number",
        "phone",
        "wechat_openid",
        "name_index",
        "id_number_index",
        "phone_index",
        "wechat_openid_index",
    ];
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
pub async fn settle(t: &TestApp) {
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
