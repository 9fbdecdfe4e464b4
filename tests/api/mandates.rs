//! Mandates: what lets an agent handle an errand, and what stops when it ends.

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    errands::{complete, matter, path, step, villager},
    harness::TestApp,
};

fn content() -> Value {
    json!({"decided_by": "village", "kind": "promised", "promised_days": 5,
        "materials": [{"key": "id_card", "name": "居民身份证", "need": "required", "form": "original"},
            {"key": "permit", "name": "居住证", "need": "required", "form": "copy", "when": {"local": ["no"]}}],
        "questions": [{"key": "local", "text": "户籍在本县吗？", "options": [{"value": "yes", "text": "是"}, {"value": "no", "text": "否"}]}]})
}

#[actix_web::test]
async fn an_agent_handles_only_while_the_mandate_holds() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content()).await);
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let mut filing = complete(matter);
    filing["resident_id"] = json!(who.subject);
    let refused = t.post("/v1/errands").by(&cadre).json(filing.clone()).send().await.problem(422, "invalid");
    assert_eq!(refused.faults(), ["/mandate_id:mandate_needed"]);
    let mandates = format!("/v1/residents/{}/mandates", who.subject);
    let spoken = json!({"given_how": "spoken"});
    let silent = t.post(&mandates).by(&cadre).json(spoken).send().await.problem(422, "invalid");
    assert_eq!(silent.faults(), ["/words:required"]);
    let spoken =
        json!({"given_how": "spoken", "words": "腿脚不便，请帮我办", "matter_id": matter, "valid_until": "2026-11-25"});
    let given = t.post(&mandates).by(&cadre).json(spoken).send().await.created();
    assert_eq!((&given["live"], &given["words"]), (&json!(true), &json!("腿脚不便，请帮我办")));
    assert!(!t.database.everything().contains("腿脚不便"), "sealed");
    filing["mandate_id"] = given["id"].clone();
    let filed = t.post("/v1/errands").by(&cadre).json(filing).send().await.created();
    let sent = step(&t, &cadre, &filed, "submit", json!({})).await.ok();
    assert_eq!(sent["holder"]["id"], json!(cadre.subject), "first asked, first answerable");
    step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    // By the resident, at any time, and at once.
    let revoke = format!("/v1/mandates/{}/revoke", given["id"].as_str().expect("an id"));
    let revoked = t.post(&revoke).by(&who).json(json!({})).send().await.ok();
    assert_eq!(revoked["live"], false);
    t.post(&revoke).by(&who).json(json!({})).send().await.problem(409, "mandate_revoked");
    step(&t, &cadre, &sent, "begin", json!({})).await.problem(409, "mandate_ended");
    // Handing it on is always possible; the resident may still withdraw.
    let offer = json!({"staff_id": specialist.subject, "reason": "居民撤销了委托"});
    step(&t, &cadre, &sent, "offer_transfer", offer).await.ok();
    step(&t, &who, &sent, "withdraw", json!({"reason": "自己去办"})).await.ok();
    let list = t.get(&format!("{mandates}?count=true")).by(&who).send().await.ok();
    assert_eq!((&list["total"], &list["items"][0]["id"]), (&json!(1), &given["id"]));
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_mandate_runs_out_and_nobody_elses_is_found() {
    let t = TestApp::new().await;
    let (who, other, matter) = (villager(&t, "chen").await, t.resident("other").await, matter(&t, content()).await);
    let mandates = format!("/v1/residents/{}/mandates", who.subject);
    let given = t.post(&mandates).by(&who).json(json!({"valid_until": "2026-11-23"})).send().await.created();
    assert_eq!((&given["given_how"], &given["given_by"]), (&json!("in_mini_program"), &Value::Null));
    let one = format!("/v1/mandates/{}", given["id"].as_str().expect("an id"));
    let foreign = foreign_admin(&t).await;
    for session in [&other, &foreign] {
        t.get(&one).by(session).send().await.problem(404, "not_found");
        t.post(&format!("{one}/revoke")).by(session).json(json!({})).send().await.problem(404, "not_found");
        t.post(&mandates).by(session).json(json!({})).send().await.problem(404, "not_found");
    }
    let cadre = t.staff("cadre").await;
    let mut filing = complete(matter);
    filing["resident_id"] = json!(who.subject);
    filing["mandate_id"] = given["id"].clone();
    let filed = t.post("/v1/errands").by(&cadre).json(filing.clone()).send().await.created();
    let sent = step(&t, &cadre, &filed, "submit", json!({})).await.ok();
    t.pass(TimeDelta::hours(24));
    let (cadre, who) = (t.staff("cadre").await, t.resident("chen").await);
    assert_eq!(t.get(&one).by(&who).send().await.ok()["live"], false);
    step(&t, &cadre, &sent, "accept", json!({})).await.problem(409, "mandate_ended");
    let late = t.post("/v1/errands").by(&cadre).json(filing).send().await.problem(422, "invalid");
    assert_eq!(late.faults(), ["/mandate_id:mandate_needed"]);
    for bad in [json!({"valid_until": "2026-11-23"}), json!({"valid_until": "2028-01-01"})] {
        assert_eq!(
            t.post(&mandates).by(&who).json(bad).send().await.problem(422, "invalid").faults(),
            ["/valid_until:range"]
        );
    }
    assert_eq!(t.get(&path(&sent)).by(&who).send().await.ok()["state"], "submitted");
}

/// A revocation that is on its way while a step is being taken: the step waits for it, and is not taken.
#[actix_web::test]
async fn of_a_step_and_a_revocation_at_once_the_revocation_counts() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content()).await);
    let cadre = t.staff("cadre").await;
    let given =
        t.post(&format!("/v1/residents/{}/mandates", who.subject)).by(&who).json(json!({})).send().await.created();
    let mut filing = complete(matter);
    filing["resident_id"] = json!(who.subject);
    filing["mandate_id"] = given["id"].clone();
    let filed = t.post("/v1/errands").by(&cadre).json(filing).send().await.created();
    let sent = step(&t, &cadre, &filed, "submit", json!({})).await.ok();
    let mut revoking = t.database.service();
    let revoke =
        format!("BEGIN; UPDATE mandates SET revoked_at = created_at WHERE id = {}", given["id"]).replace('"', "'");
    revoking.batch_execute(&revoke).expect("revoked, not committed");
    let mut accept = std::pin::pin!(step(&t, &cadre, &sent, "accept", json!({})));
    let waits =
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    loop {
        tokio::select! {
            early = &mut accept => panic!("{} without waiting for the revocation", early.status),
            () = tokio::task::yield_now() => {}
        }
        if t.database.count(waits) > 0 {
            break;
        }
    }
    revoking.batch_execute("COMMIT").expect("committed");
    accept.await.problem(409, "mandate_ended");
    let found = t.get(&path(&sent)).by(&cadre).send().await.ok();
    assert_eq!((&found["state"], &found["version"]), (&json!("submitted"), &sent["version"]));
}
