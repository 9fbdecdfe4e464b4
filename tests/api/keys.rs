//! A new master key: everything is sealed again while people are found and written, and the old key can go.

use std::{net::TcpListener, sync::Arc};

use actix_web::{dev::ServerHandle, web::Data};
use futures_util::future::{join, join_all};
use lianxin::{
    app::App,
    audit::verify,
    config::DEVELOPMENT_KEYS,
    http::serve,
    rotation::{self, Because},
};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    errands,
    harness::{Call, Session, TestApp},
};

const NEW: &str = "2:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// Another process of the same installation, with other keys.
struct Other {
    app: Arc<App>,
    url: String,
    http: reqwest::Client,
    server: ServerHandle,
}

impl Other {
    fn with(t: &TestApp, keys: &str) -> Self {
        let mut config = t.app.config.clone();
        config.encryption_keys = Some(keys.into());
        let app = Data::new(App::new(config, t.app.clock.clone()).expect("a valid configuration"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let server = serve::server(app.clone(), listener).expect("serves");
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { app: app.into_inner(), url, http: t.http.clone(), server: handle }
    }

    fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call::new(&self.http, method, &format!("{}{path}", self.url), path)
    }

    async fn found(&self, by: &Session, phone: &str) -> Value {
        let found =
            self.call(Method::POST, "/v1/residents/lookup").by(by).json(json!({"phone": phone})).send().await.ok();
        found["items"].clone()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}

fn phone(number: usize) -> String {
    format!("1395090{number:04}")
}

/// Residents of 红星村 with a name, a phone, and the first of them with an ID number.
async fn residents(t: &TestApp, by: &Session, how_many: usize) -> Vec<String> {
    let unit = t.unit("红星村委会").await;
    let mut ids = Vec::new();
    for number in 0..how_many {
        let id_number = (number == 0).then_some("350425194806120018");
        let mut body = json!({"name": format!("陈阿{number}"), "phone": phone(number), "id_number": id_number, "unit_id": unit, "identity_seen": "id_card"});
        if id_number.is_some() {
            body["consents"] = json!(["id_number"]);
            body["consents_how"] = json!("signed");
        }
        let made = t.post("/v1/residents").by(by).json(body).send().await.created();
        ids.push(made["id"].as_str().expect("an id").to_owned());
    }
    ids
}

#[actix_web::test]
async fn rotated_in_steps_while_everybody_is_found_and_the_old_key_goes() {
    let t = TestApp::new().await;
    let (cadre, zhang) = (t.staff("cadre").await, t.resident("zhang").await);
    let ids = residents(&t, &cadre, 5).await;
    let both = Other::with(&t, &format!("{DEVELOPMENT_KEYS},{NEW}"));
    let before = rotation::status(&both.app).await.expect("counted");
    assert_eq!((before.current, before.ring.as_slice()), (2, &[1, 2][..]));
    assert!(before.left_under(1) >= 5 + 5 + 1 + 1 + 2, "{before:?}");

    // Stopped after the first two transactions.
    let mut batches = 0;
    let begun = rotation::reseal(&both.app, 2, |_| {
        batches += 1;
        batches < 2
    })
    .await
    .expect("ran");
    assert!(!begun.finished && begun.stuck.is_empty(), "{begun:?}");
    let halfway = rotation::status(&both.app).await.expect("counted");
    // Four rows, one of them a WeChat account without a name.
    assert_eq!(halfway.left_under(2), 3);
    assert_eq!(halfway.left_under(1), before.left_under(1) - 3);
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(both.found(&cadre, &phone(number)).await[0]["id"], json!(id), "halfway");
    }

    let rest = rotation::reseal(&both.app, 2, |_| true).await.expect("ran");
    assert!(rest.finished && rest.stuck.is_empty(), "{rest:?}");
    let names = rest.columns.iter().find(|column| column.column == "residents.name").expect("a column");
    assert_eq!(names.resealed, 2, "what was done is skipped");
    let after = rotation::status(&both.app).await.expect("counted");
    assert_eq!((after.left_under(1), after.left_under(2)), (0, before.left_under(1) + 1), "{after:?}");
    // The answers to what was registered may still be repeated.
    assert_eq!(after.answers.get(&1).map(|(count, _)| *count), Some(5));
    assert_eq!(after.needed_until(1), Some(t.app.clock.now() + chrono::TimeDelta::days(7)));
    let nothing = rotation::reseal(&both.app, 500, |_| true).await.expect("ran");
    assert!(nothing.columns.iter().all(|column| column.resealed == 0), "{nothing:?}");
    let told = "SELECT count(*) AS n FROM audit_log WHERE action = 'reseal' AND actor_role = 'operator'";
    assert_eq!(t.database.count(told), 2, "one for each run that wrote something");

    // A start with the new key alone: people, WeChat accounts, the mini-program's secret, signing keys, the audit log.
    let new = Other::with(&t, NEW);
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(new.found(&cadre, &phone(number)).await[0]["id"], json!(id), "after");
    }
    let reveal = json!({"fields": ["name", "phone", "id_number"], "reason": "核对"});
    let plain =
        new.call(Method::POST, &format!("/v1/residents/{}/reveal", ids[0])).by(&cadre).json(reveal).send().await.ok();
    assert_eq!(plain, json!({"name": "陈阿0", "phone": phone(0), "id_number": "350425194806120018"}));
    let login = json!({"county": "350425", "code": format!("login.zhang.{}", Uuid::now_v7())});
    let again = new.call(Method::POST, "/v1/sessions/wechat").json(login).send().await.session();
    assert_eq!(again.subject, zhang.subject);
    let report = verify::verify(&new.app, None, None).await.expect("verified");
    assert!(report.is_right(), "{report:?}");
    let alone = rotation::status(&new.app).await.expect("counted");
    assert_eq!(alone.left_under(1), 0);
}

#[actix_web::test]
async fn the_codes_of_appointments_are_sealed_again_and_lead_to_the_same_ticket() {
    let t = TestApp::new().await;
    let mine = crate::queue::booked(&t, "zhang", "09:00").await;
    let zhang = t.resident("zhang").await;
    let path = format!("/v1/appointments/{mine}/code");
    let code = t.get(&path).by(&zhang).send().await.ok()["handle"].clone();
    let both = Other::with(&t, &format!("{DEVELOPMENT_KEYS},{NEW}"));
    let done = rotation::reseal(&both.app, 500, |_| true).await.expect("ran");
    let handles = done.columns.iter().find(|column| column.column == "appointment_handles.handle").expect("a column");
    assert_eq!((handles.resealed, done.stuck.is_empty()), (1, true), "{done:?}");
    // With the new key alone it opens, and is found by its index.
    let new = Other::with(&t, NEW);
    assert_eq!(new.call(Method::GET, &path).by(&zhang).send().await.ok()["handle"], code);
    let junxi = crate::queue::desk(&t, "08:50").await;
    let body = json!({"unit_id": t.unit("均溪镇").await, "code": code});
    let ticket = new.call(Method::POST, "/v1/arrivals").key("one").by(&junxi).json(body).send().await.ok();
    assert_eq!((&ticket["id"], &ticket["ticket"]), (&json!(mine), &json!("A001")));
}

/// A name is found under the old key, while keys change, and after; one from before there was an index is given one.
#[actix_web::test]
async fn errands_are_found_by_name_whichever_key_made_the_index() {
    let t = TestApp::new().await;
    let chen = errands::villager(&t, "chen").await;
    let matter = errands::matter(&t, errands::content("village")).await;
    let sent = errands::submitted(&t, &chen, matter).await;
    t.run_jobs().await;
    let cadre = t.staff("cadre").await;
    let path = "/v1/errands?name=陈%20阿婆";
    let both = Other::with(&t, &format!("{DEVELOPMENT_KEYS},{NEW}"));
    let items = |page: Value| page["items"].as_array().expect("items").len();
    let index = || t.database.text("SELECT encode(name_index, 'hex') AS text FROM residents WHERE name IS NOT NULL");
    let old = index();
    assert_eq!(items(both.call(Method::GET, path).by(&cadre).send().await.ok()), 1, "before");
    let done = rotation::reseal(&both.app, 500, |_| true).await.expect("ran");
    assert!(done.stuck.is_empty() && index() != old && index().starts_with("02"), "{done:?}");
    assert_eq!(items(both.call(Method::GET, path).by(&cadre).send().await.ok()), 1, "after");
    let new = Other::with(&t, NEW);
    let found = new.call(Method::GET, path).by(&cadre).send().await.ok();
    assert_eq!(found["items"][0]["id"], sent["id"]);

    // As before the migration: not found, and said so; then found again, though no key has changed.
    t.database.run("UPDATE residents SET name_index = NULL");
    assert_eq!(items(new.call(Method::GET, path).by(&cadre).send().await.ok()), 0);
    let bare = |status: rotation::Status| status.bare.get("residents.name").copied();
    assert_eq!(bare(rotation::status(&new.app).await.expect("counted")), Some(1));
    let done = rotation::reseal(&new.app, 500, |_| true).await.expect("ran");
    let names = done.columns.iter().find(|column| column.column == "residents.name").expect("a column");
    assert_eq!((names.resealed, done.stuck.is_empty()), (1, true), "{done:?}");
    assert_eq!(bare(rotation::status(&new.app).await.expect("counted")), None);
    assert_eq!(items(new.call(Method::GET, path).by(&cadre).send().await.ok()), 1);
    let nothing = rotation::reseal(&new.app, 500, |_| true).await.expect("ran");
    assert!(nothing.columns.iter().all(|column| column.resealed == 0), "{nothing:?}");
}

/// Compare-and-set: a write in between is never lost, whoever comes first.
#[actix_web::test]
async fn what_is_written_meanwhile_stays() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let ids = residents(&t, &cadre, 8).await;
    let both = Other::with(&t, &format!("{DEVELOPMENT_KEYS},{NEW}"));
    let unit = t.unit("红星村委会").await;
    let writes = join_all(ids.iter().enumerate().map(|(number, id)| {
        let body = json!({"name": format!("新名{number}"), "phone": phone(100 + number), "unit_id": unit});
        let call = both.call(Method::PUT, &format!("/v1/residents/{id}"));
        call.by(&cadre).header("if-match", "*").json(body).send()
    }));
    let (replies, done) = join(writes, rotation::reseal(&both.app, 1, |_| true)).await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    assert!(done.expect("ran").stuck.is_empty());
    rotation::reseal(&both.app, 500, |_| true).await.expect("ran");
    let new = Other::with(&t, NEW);
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(new.found(&cadre, &phone(100 + number)).await[0]["id"], json!(id));
        let reveal = json!({"fields": ["name"], "reason": "核对"});
        let call = new.call(Method::POST, &format!("/v1/residents/{id}/reveal")).by(&cadre).json(reveal);
        assert_eq!(call.send().await.ok()["name"], json!(format!("新名{number}")));
    }
}

#[actix_web::test]
async fn what_does_not_open_is_named_and_left_as_it_is() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let ids = residents(&t, &cadre, 3).await;
    t.database.run(&format!("UPDATE residents SET name = '\\x01aabbcc' WHERE id = '{}'", ids[1]));
    // The same number under the new key already: somebody registered twice.
    let both = Other::with(&t, &format!("{DEVELOPMENT_KEYS},{NEW}"));
    let twin = hex::encode(both.app.keys.blind(1, "id_number", "350425194806120018"));
    t.database.run(&format!(
        "UPDATE residents SET id_number = '\\x02', id_number_index = '\\x{twin}' WHERE id = '{}'",
        ids[2]
    ));
    let done = rotation::reseal(&both.app, 500, |_| true).await.expect("ran");
    let mut stuck: Vec<_> =
        done.stuck.iter().map(|stuck| (stuck.column.as_str(), stuck.key.clone(), stuck.because)).collect();
    stuck.sort_by_key(|(column, ..)| *column);
    let expected = [
        ("residents.id_number", ids[0].clone(), Because::Duplicate),
        ("residents.name", ids[1].clone(), Because::Unsealable),
    ];
    assert_eq!(stuck, expected);
    let same = format!("SELECT count(*) AS n FROM residents WHERE name = '\\x01aabbcc' AND id = '{}'", ids[1]);
    assert_eq!(t.database.count(&same), 1);
    assert_eq!(rotation::status(&both.app).await.expect("counted").left_under(1), 2);
    let run = |command: &str| {
        let keys = format!("{DEVELOPMENT_KEYS},{NEW}");
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_lianxin"));
        process.args(["keys", command]).env("LIANXIN_MODE", "development").env("LOG", "error");
        let output =
            process.env("ENCRYPTION_KEYS", keys).env("DATABASE_URL", &t.database.service_url).output().expect("runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (well, words) = run("reseal");
    assert!(!well && words.contains(&format!("NOT sealed again: residents.name of {}", ids[1])), "{words}");
    t.database.run(&format!("UPDATE residents SET name = NULL, name_index = NULL WHERE id = '{}'", ids[1]));
    t.database.run(&format!("UPDATE residents SET id_number = NULL, id_number_index = NULL WHERE id = '{}'", ids[2]));
    let (well, words) = run("reseal");
    assert!(well && words.contains("0 values left under key 1: it may be removed"), "{words}");
    let (well, words) = run("status");
    assert!(well && words.contains("residents.name: 2 under key 2") && words.contains("key 2 seals"), "{words}");
}

/// Whoever adds a column of bytes says whether it is sealed: otherwise it would be lost with the old key.
#[actix_web::test]
async fn every_column_of_bytes_is_walked_or_known_not_to_be_sealed() {
    const NOT_SEALED: &[&str] = &[
        "audit_batches.previous",
        "audit_batches.digest",
        "audit_batches.signature",
        "attachments.sha256",
        // Hashes of entries, of which words are only in salted digests.
        "errand_ledger.words_digest",
        "errand_ledger.previous",
        "errand_ledger.hash",
        "errands.head",
        "errands.calendar_digest",
        "idempotency_keys.request_digest",
        "idempotency_keys.body",
        // Of codes that are good for a week at most, and found under every key meanwhile.
        "one_time_codes.index",
        // A hash of a secret that nobody keeps.
        "hall_screens.handle_hash",
        // Made anew with the value beside them.
        "appointment_handles.handle_index",
        "residents.id_number_claim",
        "staff.wechat_openid_index",
        "residents.id_number_index",
        "residents.name_index",
        "households.name_index",
        // Of a file that somebody uploaded.
        "household_imports.digest",
        "residents.phone_index",
        "residents.wechat_openid_index",
        "sessions.refresh_hash",
        "sessions.previous_hash",
        "signing_keys.public_key",
    ];
    let t = TestApp::new().await;
    let status = rotation::status(&t.app).await.expect("counted");
    let walked: Vec<_> = status.columns.iter().map(|(column, _)| column.clone()).collect();
    let unknown = |column: &String| !walked.contains(column) && !NOT_SEALED.contains(&column.as_str());
    let schema = include_str!("../../src/db/schema.rs");
    let mut table = "";
    let mut lost = Vec::new();
    for line in schema.lines().map(str::trim) {
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with(") {")) {
            table = name;
        }
        if let Some((column, _)) = line.split_once(" -> ").filter(|(_, kind)| kind.contains("Bytea")) {
            lost.push(format!("{table}.{column}"));
        }
    }
    lost.retain(unknown);
    assert!(lost.is_empty(), "declare them in Room::sealed, or here: {lost:?}");
}
