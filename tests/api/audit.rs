//! The audit log: read by those who may, shown to whom it is about, sealed in batches, and every tampering found.

use std::sync::Arc;

use chrono::{Months, TimeDelta};
use futures_util::future::join_all;
use lianxin::{
    app::App,
    audit::{self, Actor, Audit, prune, seal, verify, verify::Fault},
    db::Db,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Session, TestApp};

fn arc(t: &TestApp) -> Arc<App> {
    t.app.clone().into_inner()
}

/// Writes entries of the service itself, each about a thing of its own.
async fn write(t: &TestApp, how_many: usize) -> Vec<Uuid> {
    let ids: Vec<_> = (0..how_many).map(|_| Uuid::now_v7()).collect();
    let (all, now) = (ids.clone(), t.app.clock.now());
    let written = t.app.db.write("test", move |conn| {
        for id in &all {
            let entry = Audit::new("test", "thing", *id).fields(vec!["a", "b"]).because(Some("原因".into()));
            audit::record(conn, Actor::system(1), now, &entry)?;
        }
        Ok(())
    });
    written.await.expect("written");
    ids
}

/// Seals what is there as one batch.
async fn sealed(t: &TestApp, how_many: usize) -> Vec<Uuid> {
    let ids = write(t, how_many).await;
    seal::seal_all(&arc(t)).await.expect("sealed");
    t.pass(TimeDelta::seconds(1));
    ids
}

async fn verified(t: &TestApp) -> verify::CountyReport {
    let report = verify::verify(&t.app, Some("350425"), None).await.expect("verified");
    assert_eq!(report.is_right(), report.counties[0].broken.is_none());
    report.counties[0].clone()
}

/// As the owner, past every trigger: what somebody with the database in hands can do.
fn tamper(t: &TestApp, sql: &str) {
    t.database.run(&format!("SET session_replication_role = replica; {sql}; SET session_replication_role = DEFAULT"));
}

#[actix_web::test]
async fn entries_are_sealed_in_a_chain_and_verify() {
    let t = TestApp::new().await;
    let empty = verified(&t).await;
    assert_eq!((empty.entries, empty.batches, empty.newest, empty.broken), (0, 0, None, None));
    sealed(&t, 3).await;
    let first = verified(&t).await;
    sealed(&t, 2).await;
    write(&t, 4).await;
    let now = verified(&t).await;
    assert_eq!((now.entries, now.batches, now.unsealed, now.broken), (5, 2, 4, None));
    assert_ne!(now.newest, first.newest);
    let anchored = verify::verify(&t.app, None, first.newest.as_deref()).await.expect("verified");
    assert_eq!((anchored.anchor_found, anchored.counties[0].anchored), (Some(true), Some(1)));
    // Nothing new, no empty batch.
    seal::seal_all(&arc(&t)).await.expect("sealed");
    assert_eq!(seal::seal_all(&arc(&t)).await.expect("sealed"), 0);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_batches"), 3);
}

#[actix_web::test]
async fn more_than_one_batch_holds_is_sealed_in_several() {
    let t = TestApp::new().await;
    t.database.run(
        "INSERT INTO audit_log (county_id, id, at, actor_id, actor_role, action, entity, entity_id) \
         SELECT 1, gen_random_uuid(), now() + n * interval '1 microsecond', gen_random_uuid(), 'system', 'test', 'thing', gen_random_uuid() \
         FROM generate_series(1, 5001) n",
    );
    assert_eq!(seal::seal_all(&arc(&t)).await.expect("sealed"), 5_001);
    let report = verified(&t).await;
    assert_eq!((report.entries, report.batches, report.unsealed, report.broken), (5_001, 2, 0, None));
}

#[actix_web::test]
async fn every_tampering_is_found_and_named() {
    let batch_2 = "county_id = 1 AND batch_id = 2";
    let one = format!("id = (SELECT id FROM audit_log WHERE {batch_2} LIMIT 1)");
    let copy = "INSERT INTO audit_log SELECT county_id, gen_random_uuid(), at, actor_id, actor_role, action, entity, entity_id, \
        fields, reason, request_id, batch_id FROM audit_log";
    let cases: [(String, i64, Fault); 12] = [
        (format!("UPDATE audit_log SET reason = '别的' WHERE {one}"), 2, Fault::Changed),
        (format!("UPDATE audit_log SET reason = NULL WHERE {one}"), 2, Fault::Changed),
        (format!("UPDATE audit_log SET actor_id = gen_random_uuid() WHERE {one}"), 2, Fault::Changed),
        (format!("UPDATE audit_log SET at = at - interval '1 microsecond' WHERE {one}"), 2, Fault::Changed),
        (format!("UPDATE audit_log SET fields = '{{a}}' WHERE {one}"), 2, Fault::Changed),
        (format!("DELETE FROM audit_log WHERE {one}"), 2, Fault::Missing),
        (format!("UPDATE audit_log SET batch_id = NULL WHERE {one}"), 2, Fault::Missing),
        (format!("{copy} WHERE {one}"), 2, Fault::Added),
        (format!("DELETE FROM audit_log WHERE {batch_2}; DELETE FROM audit_batches WHERE id = 2"), 3, Fault::Chain),
        ("UPDATE audit_batches SET sealed_at = sealed_at - interval '1 day' WHERE id = 2".into(), 2, Fault::Signature),
        ("UPDATE audit_batches SET key_version = 9 WHERE id = 3".into(), 3, Fault::KeyMissing(9)),
        (
            format!("DELETE FROM audit_log WHERE {batch_2}; UPDATE audit_batches SET pruned_at = now() WHERE id = 2"),
            2,
            Fault::PrunedEarly,
        ),
    ];
    let t = TestApp::new().await;
    for _ in 0..3 {
        sealed(&t, 3).await;
    }
    t.database.run("CREATE TABLE log AS TABLE audit_log; CREATE TABLE batches AS TABLE audit_batches");
    assert_eq!(verified(&t).await.broken, None);
    for (sql, batch, fault) in cases {
        tamper(&t, &sql);
        let report = verified(&t).await;
        assert_eq!(report.broken, Some((batch, fault)), "{sql}");
        let right = match fault {
            // A key is only known to be missing when nothing follows; a batch, when the next one does.
            Fault::KeyMissing(_) => batch,
            Fault::Chain => batch - 2,
            _ => batch - 1,
        };
        assert_eq!((report.batches, report.entries), (right, right * 3), "what comes before is right: {sql}");
        tamper(
            &t,
            "DELETE FROM audit_log; DELETE FROM audit_batches; \
            INSERT INTO audit_batches SELECT * FROM batches; INSERT INTO audit_log SELECT * FROM log",
        );
        assert_eq!(verified(&t).await.broken, None);
    }
}

/// Whoever recomputes the digests lacks the key.
#[actix_web::test]
async fn a_recomputed_digest_lacks_the_signature() {
    let t = TestApp::new().await;
    sealed(&t, 2).await;
    t.database.run("UPDATE audit_log SET reason = '别的'");
    let (batch, rows) = t
        .app
        .db
        .read("test", |conn| Ok((seal::newest(conn, 1)?.expect("a batch"), verify::rows(conn, 1, 1, 10)?)))
        .await
        .expect("read");
    let digest = hex::encode(seal::digest(&batch.previous, 1, 1, &rows));
    t.database.run(&format!("UPDATE audit_batches SET digest = '\\x{digest}'"));
    assert_eq!(verified(&t).await.broken, Some((1, Fault::Signature)));
}

/// A shortened chain is a right chain: only an anchor that was noted elsewhere tells.
#[actix_web::test]
async fn a_truncated_tail_is_found_by_the_anchor() {
    let t = TestApp::new().await;
    sealed(&t, 2).await;
    sealed(&t, 2).await;
    let anchor = verified(&t).await.newest.expect("a digest");
    tamper(&t, "DELETE FROM audit_log WHERE batch_id = 2; DELETE FROM audit_batches WHERE id = 2");
    assert_eq!(verified(&t).await.broken, None);
    let report = verify::verify(&t.app, None, Some(&anchor)).await.expect("verified");
    assert_eq!((report.anchor_found, report.is_right()), (Some(false), false));
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lianxin"));
        command.args(args).env("LIANXIN_MODE", "development").env("LOG", "error");
        let output = command.env("DATABASE_URL", &t.database.service_url).output().expect("runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (well, words) = run(&["audit", "verify"]);
    assert!(well && words.contains("2 entries in 1 batches are right"), "{words}");
    let (well, words) = run(&["audit", "verify", "--anchor", &hex::encode(&anchor)]);
    assert!(!well && words.contains("BROKEN: the anchor"), "{words}");
    t.database.run("UPDATE audit_log SET action = 'other'");
    let (well, words) = run(&["audit", "verify", "--county", "350425"]);
    assert!(!well && words.contains("350425: BROKEN batch 1: an entry was changed"), "{words}");
}

#[actix_web::test]
async fn the_service_can_seal_once_and_nothing_else() {
    let t = TestApp::new().await;
    sealed(&t, 1).await;
    write(&t, 1).await;
    let mut service = t.database.service();
    let mut refused = |sql: &str, because: &str| {
        let error = diesel::connection::SimpleConnection::batch_execute(&mut service, sql).expect_err(sql).to_string();
        assert!(error.contains(because), "{sql}: {error}");
    };
    refused("UPDATE audit_log SET reason = ''", "permission denied");
    refused("UPDATE audit_log SET batch_id = NULL WHERE batch_id = 1", "sealed once");
    refused("UPDATE audit_log SET batch_id = 7 WHERE batch_id IS NULL", "foreign key");
    refused(
        "INSERT INTO audit_log SELECT county_id, gen_random_uuid(), at, actor_id, actor_role, action, entity, entity_id, fields, \
         reason, request_id, 1 FROM audit_log",
        "sealed once",
    );
    for sql in
        ["UPDATE audit_batches SET pruned_at = now()", "DELETE FROM audit_batches", "TRUNCATE audit_batches CASCADE"]
    {
        refused(sql, "permission denied");
    }
    assert_eq!(verified(&t).await.broken, None);
}

#[actix_web::test]
async fn two_seal_at_once_while_others_write() {
    let t = TestApp::new().await;
    let app = arc(&t);
    for _ in 0..5 {
        let sealing = join_all((0..4).map(|_| seal::seal_all(&app)));
        let writing = join_all((0..6).map(|_| write(&t, 5)));
        let (sealing, _) = futures_util::future::join(sealing, writing).await;
        assert!(sealing.iter().all(Result::is_ok), "{sealing:?}");
    }
    seal::seal_all(&app).await.expect("sealed");
    let report = verified(&t).await;
    assert_eq!((report.entries, report.unsealed, report.broken), (150, 0, None));
    let batches = "SELECT count(*) AS n FROM audit_batches WHERE county_id = 1";
    assert_eq!(t.database.count(batches), report.batches);
}

/// An entry that was written first and committed last, behind batches that were sealed meanwhile.
#[actix_web::test]
async fn a_late_commit_is_not_missed() {
    let t = TestApp::new().await;
    let mut late = t.database.service();
    let mut run = |sql: &str| diesel::connection::SimpleConnection::batch_execute(&mut late, sql).expect("runs");
    run("BEGIN; INSERT INTO audit_log (county_id, id, at, actor_id, actor_role, action, entity, entity_id) \
         VALUES (1, gen_random_uuid(), '2026-11-01', gen_random_uuid(), 'system', 'late', 'thing', gen_random_uuid())");
    sealed(&t, 2).await;
    run("COMMIT");
    assert_eq!(verified(&t).await.unsealed, 1);
    sealed(&t, 1).await;
    let report = verified(&t).await;
    assert_eq!((report.entries, report.batches, report.unsealed, report.broken), (4, 2, 0, None));
}

#[actix_web::test]
async fn pruned_when_kept_long_enough_and_the_chain_holds() {
    let t = TestApp::new().await;
    sealed(&t, 3).await;
    let anchor = verified(&t).await.newest;
    t.pass(TimeDelta::days(100));
    sealed(&t, 2).await;
    let owner = Db::new(&t.database.owner_url, 1);
    let nothing = prune::prune(&t.app, &owner).await.expect("pruned");
    assert_eq!((nothing[0].months, nothing[0].entries), (6, 0));
    let later =
        t.app.clock.now().checked_sub_signed(TimeDelta::days(100)).and_then(|at| at.checked_add_months(Months::new(6)));
    t.app.clock.set(later.expect("a time") + TimeDelta::minutes(1));
    // The service itself may not.
    let service = Db::new(&t.database.service_url, 1);
    prune::prune(&t.app, &service).await.expect_err("permission denied");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE batch_id = 1"), 3);
    let pruned = prune::prune(&t.app, &owner).await.expect("pruned");
    assert_eq!((pruned[0].entries, pruned[0].batches, pruned[0].broken), (3, 1, None));
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE batch_id = 1"), 0);
    let report = verify::verify(&t.app, Some("350425"), anchor.as_deref()).await.expect("verified");
    let county = &report.counties[0];
    assert_eq!((county.pruned_entries, county.pruned_batches, county.entries, county.broken), (3, 1, 2, None));
    assert_eq!(county.anchored, Some(1));
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'prune' AND actor_role = 'operator'"),
        1
    );
    // A log that is not right is left as it is.
    t.database.run("UPDATE audit_log SET reason = '别的' WHERE batch_id = 2");
    t.pass(TimeDelta::days(200));
    let refused = prune::prune(&t.app, &owner).await.expect("ran");
    assert_eq!((refused[0].entries, refused[0].broken), (0, Some((2, Fault::Changed))));
}

#[actix_web::test]
async fn two_prune_at_once_and_neither_cries_wolf() {
    let t = TestApp::new().await;
    for _ in 0..4 {
        sealed(&t, 5).await;
    }
    t.pass(TimeDelta::days(400));
    let owners = [Db::new(&t.database.owner_url, 1), Db::new(&t.database.owner_url, 1)];
    let both = join_all(owners.iter().map(|owner| prune::prune(&t.app, owner))).await;
    let both: Vec<_> = both.into_iter().map(|pruned| pruned.expect("pruned")[0].clone()).collect();
    assert!(both.iter().all(|pruned| pruned.broken.is_none()), "{both:?}");
    assert_eq!(
        both.iter().map(|pruned| (pruned.batches, pruned.entries)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (4, 20)
    );
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'prune'"), 4);
}

async fn registered(t: &TestApp, by: &Session) -> String {
    let unit = t.unit("红星村委会").await;
    let body = json!({"name": "陈阿婆", "phone": "13950900001", "unit_id": unit, "identity_seen": "id_card"});
    let made = t.post("/v1/residents").by(by).json(body).send().await.created();
    made["id"].as_str().expect("an id").to_owned()
}

async fn looks(t: &TestApp, by: &Session, id: &str) -> Vec<(String, String)> {
    let page = t.get(&format!("/v1/residents/{id}/audit")).by(by).send().await.ok();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    page["items"].as_array().expect("items").iter().map(|item| (text(item, "role"), text(item, "action"))).collect()
}

#[actix_web::test]
async fn residents_see_who_looked_at_them() {
    let t = TestApp::new().await;
    let (cadre, zhang) = (t.staff("cadre").await, t.resident("zhang").await);
    let id = zhang.subject.to_string();
    let body = json!({"unit_id": t.unit("红星村委会").await});
    t.put(&format!("/v1/residents/{id}")).by(&zhang).header("if-match", "*").json(body).send().await.ok();
    t.pass(TimeDelta::seconds(1));
    let reveal = json!({"fields": ["phone"], "reason": "电话通知取件"});
    t.post(&format!("/v1/residents/{id}/reveal")).by(&cadre).json(reveal).send().await.ok();
    t.pass(TimeDelta::seconds(1));
    let page = t.get(&format!("/v1/residents/{id}/audit?count=true")).by(&zhang).send().await.ok();
    let look = &page["items"][0];
    assert_eq!((&look["role"], &look["action"]), (&json!("village_cadre"), &json!("reveal")));
    assert_eq!((&look["fields"], &look["reason"]), (&json!(["phone"]), &json!("电话通知取件")));
    assert_eq!(look["at"], "2026-11-23T08:00:01+08:00");
    assert!(look["actor_id"].is_null(), "the role, not the person");
    t.pass(TimeDelta::seconds(1));
    // Looking here is recorded, too.
    let again = looks(&t, &zhang, &id).await;
    assert_eq!(again[0], ("resident".to_owned(), "read_audit".to_owned()));
    t.pass(TimeDelta::seconds(1));
    looks(&t, &t.staff("junxi").await, &id).await;
    t.pass(TimeDelta::seconds(1));
    assert_eq!(looks(&t, &t.staff("admin").await, &id).await[0].0, "township_staff");
    let li = t.resident("li").await;
    t.get(&format!("/v1/residents/{id}/audit")).by(&li).send().await.problem(404, "not_found");
    let civil = t.staff("civil.affairs").await;
    t.get(&format!("/v1/residents/{id}/audit")).by(&civil).send().await.problem(403, "forbidden");
    let far = t.unit("石牌镇").await;
    t.database.run(&format!("UPDATE residents SET unit_id = '{far}' WHERE id = '{id}'"));
    t.get(&format!("/v1/residents/{id}/audit")).by(&cadre).send().await.problem(404, "not_found");
}

#[actix_web::test]
async fn the_log_is_filtered_and_paged_and_looking_is_recorded() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let id = registered(&t, &cadre).await;
    for reason in ["第一次", "第二次", "第三次"] {
        t.pass(TimeDelta::minutes(1));
        let reveal = json!({"fields": ["phone"], "reason": reason});
        t.post(&format!("/v1/residents/{id}/reveal")).by(&cadre).json(reveal).send().await.ok();
    }
    let reasons = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items.iter().map(|item| item["reason"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let path = format!("/v1/audit?entity=resident&entity_id={id}&action=reveal&actor_id={}", cadre.subject);
    let page = t.get(&format!("{path}&limit=2&count=true")).by(&admin).send().await.ok();
    assert_eq!((reasons(&page), &page["total"]), (vec!["第三次".to_owned(), "第二次".to_owned()], &json!(3)));
    assert_eq!((&page["items"][0]["actor_role"], &page["items"][0]["batch"]), (&json!("village_cadre"), &Value::Null));
    let cursor = page["next_cursor"].as_str().expect("more");
    let rest = t.get(&format!("{path}&limit=2&cursor={cursor}")).by(&admin).send().await.ok();
    assert_eq!((reasons(&rest), &rest["next_cursor"]), (vec!["第一次".to_owned()], &Value::Null));
    t.get(&format!("{path}&order=oldest&cursor={cursor}")).by(&admin).send().await.problem(422, "invalid");
    let oldest = t.get(&format!("{path}&order=oldest&limit=1")).by(&admin).send().await.ok();
    let cursor = oldest["next_cursor"].as_str().expect("more");
    let next = t.get(&format!("{path}&order=oldest&limit=1&cursor={cursor}")).by(&admin).send().await.ok();
    assert_eq!((reasons(&oldest), reasons(&next)), (vec!["第一次".to_owned()], vec!["第二次".to_owned()]));
    let span = "from=2026-11-23T08:02:00%2B08:00&to=2026-11-23T08:03:00%2B08:00";
    assert_eq!(reasons(&t.get(&format!("{path}&{span}")).by(&admin).send().await.ok()), ["第二次"]);
    let backwards = "from=2026-11-23T08:03:00%2B08:00&to=2026-11-23T08:03:00%2B08:00";
    let reply = t.get(&format!("/v1/audit?{backwards}")).by(&admin).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["to:range"]);
    let reply = t.get(&format!("/v1/audit?entity_id={id}")).by(&admin).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["entity:required"]);
    let reply = t.get("/v1/audit?action=reveal&count=true").by(&admin).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["count:too_many"], "a whole log is not counted");
    let since = "from=2026-11-23T08:00:00%2B08:00&action=reveal&count=true";
    assert_eq!(t.get(&format!("/v1/audit?{since}")).by(&admin).send().await.ok()["total"], 3);
    let recorded = "SELECT count(*) AS n FROM audit_log WHERE entity = 'audit_log' AND action = 'read' \
        AND fields = '{entity,entity_id,actor_id,action}'";
    assert_eq!(t.database.count(recorded), 4, "one a page");
    seal::seal_all(&arc(&t)).await.expect("sealed");
    assert_eq!(t.get(&path).by(&admin).send().await.ok()["items"][0]["batch"], 1);
}

/// Entries name no unit: a township's supervisor has no part of the log.
#[actix_web::test]
async fn only_supervisors_of_the_county_read_it() {
    let t = TestApp::new().await;
    let supervisor = t.staff("supervisor").await;
    t.get("/v1/audit").by(&supervisor).send().await.ok();
    let town = t.unit("均溪镇").await;
    t.database.run(&format!(
        "UPDATE staff_posts SET unit_id = '{town}' WHERE role = 'supervisor' AND staff_id = '{}'",
        supervisor.subject
    ));
    let supervisor = t.staff("supervisor").await;
    t.get("/v1/audit").by(&supervisor).send().await.problem(403, "forbidden");
    for who in ["junxi", "cadre", "civil.affairs"] {
        t.get("/v1/audit").by(&t.staff(who).await).send().await.problem(403, "forbidden");
    }
}
