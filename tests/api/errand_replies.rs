//! The reply: papers of the decision, delivery, acknowledgement, call-back.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::foreign_admin,
    attachments::{link, pdf},
    errands::{content, ledger, matter, path, step, steps, submitted, villager},
    harness::{Session, TestApp},
    staff::open,
};

/// An errand of the village that is being handled; the resident, and the cadre who answers for it.
async fn accepted(t: &TestApp) -> (Value, Session, Session) {
    let (who, matter) = (villager(t, "chen").await, matter(t, content("village")).await);
    let sent = submitted(t, &who, matter).await;
    let cadre = t.staff("cadre").await;
    let sent = step(t, &cadre, &sent, "accept", json!({})).await.ok();
    t.run_jobs().await;
    (sent, who, cadre)
}

async fn decided(t: &TestApp) -> (Value, Session, Session) {
    let (sent, who, cadre) = accepted(t).await;
    let decided = step(t, &cadre, &sent, "decide", json!({"granted": true, "words": "证明已开具"})).await.ok();
    t.run_jobs().await;
    (decided, who, cadre)
}

async fn delivered(t: &TestApp) -> (Value, Session, Session) {
    let (sent, who, cadre) = decided(t).await;
    let there = step(t, &cadre, &sent, "deliver", json!({"how": "by_agent", "words": "送到家中"})).await.ok();
    t.run_jobs().await;
    (there, who, cadre)
}

pub async fn todos(t: &TestApp, by: &Session, about: &str) -> Vec<Value> {
    let page = t.get("/v1/todos?limit=200").by(by).send().await.ok();
    page["items"].as_array().expect("items").iter().filter(|todo| todo["about"] == about).cloned().collect()
}

async fn errand(t: &TestApp, by: &Session, errand: &Value) -> Value {
    t.get(&path(errand)).by(by).send().await.ok()
}

#[actix_web::test]
async fn a_decision_has_its_papers_from_the_decision_on() {
    let t = TestApp::new().await;
    let (sent, who, cadre) = accepted(&t).await;
    let (paper, foreign) = (pdf(&t, &cadre).await, pdf(&t, &who).await);
    let decide = |ids: &[Uuid]| json!({"granted": true, "words": "证明已开具", "attachment_ids": ids});
    let wrong = step(&t, &cadre, &sent, "decide", decide(&[paper, foreign])).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/attachment_ids/1:attachment"]);
    let wrong = step(&t, &cadre, &sent, "decide", decide(&[paper, paper])).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/attachment_ids/1:twice"]);
    let look = async |by: &Session| t.get(&format!("/v1/attachments/{paper}")).by(by).send().await;
    look(&who).await.problem(404, "not_found");
    assert_eq!(errand(&t, &who, &sent).await["state"], "accepted");
    let decided = step(&t, &cadre, &sent, "decide", decide(&[paper])).await.ok();
    assert_eq!(decided["documents"], json!([paper]));
    let seen = errand(&t, &who, &sent).await;
    assert_eq!((&seen["documents"], &seen["delivery"]), (&json!([paper]), &Value::Null));
    look(&who).await.ok();
    t.get(&link(&t, &who, paper).await).send().await.is(200);
    let (_, shipai) = open(&t, &t.staff("admin").await, "shipai", "township_staff", "石牌镇").await;
    for other in [&villager(&t, "lin").await, &shipai, &foreign_admin(&t).await] {
        look(other).await.problem(404, "not_found");
    }
    let list = t.get("/v1/errands").by(&who).send().await.ok();
    assert_eq!(list["items"][0]["documents"], json!([]), "only in a single one");
    t.database.run("UPDATE attachments SET sha256 = decode(repeat('00', 32), 'hex') WHERE about = 'errand'");
    assert_eq!(ledger(&t, &who, &sent).await["broken_at"], 4);
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_goes_by_post_is_sealed_and_bound() {
    let t = TestApp::new().await;
    let (sent, who, cadre) = decided(&t).await;
    let receipt = pdf(&t, &cadre).await;
    let parcel = |how: &str| json!({"how": how, "carrier": "中国邮政", "tracking_number": "EX1234567890", "attachment_ids": [receipt]});
    let wrong = step(&t, &cadre, &sent, "deliver", parcel("by_agent")).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/carrier:only_by_post", "/tracking_number:only_by_post"]);
    let wrong = step(&t, &cadre, &sent, "deliver", json!({"reason": "已送达"})).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/how:required", "/reason:unknown_field"]);
    let there = step(&t, &cadre, &sent, "deliver", parcel("by_post")).await.ok();
    let delivery = json!({"on": "2026-11-23", "how": "by_post", "carrier": "中国邮政", "tracking_number": "EX1234567890",
        "attachment_ids": [receipt], "acknowledged_on": null, "acknowledged_how": null});
    assert_eq!(there["delivery"], delivery);
    assert_eq!(errand(&t, &who, &sent).await["delivery"], delivery);
    let supervisor = t.staff("supervisor").await;
    let masked = errand(&t, &supervisor, &sent).await["delivery"].clone();
    assert_eq!((&masked["how"], &masked["tracking_number"]), (&json!("by_post"), &Value::Null));
    assert!(!t.database.everything().contains("EX1234567890"), "sealed");
    assert_eq!(ledger(&t, &who, &sent).await["broken_at"], Value::Null);
    t.database.run("UPDATE errands SET parcel = NULL");
    assert_eq!(ledger(&t, &who, &sent).await["broken_at"], 5);
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_was_delivered_is_acknowledged_once_before_it_is_archived() {
    let t = TestApp::new().await;
    let (sent, who, cadre) = decided(&t).await;
    step(&t, &who, &sent, "acknowledge", json!({})).await.problem(409, "errand_state");
    let (sent, specialist) =
        (step(&t, &cadre, &sent, "deliver", json!({"how": "in_person"})).await.ok(), t.staff("specialist").await);
    let early = step(&t, &cadre, &sent, "archive", json!({})).await.problem(409, "not_acknowledged");
    assert!(early["detail"].as_str().is_some_and(|words| words.contains("2026-12-08")), "{}", early.body);
    let how = json!({"acknowledged_how": "signed", "words": "本人签字"});
    let wrong = step(&t, &who, &sent, "acknowledge", how.clone()).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/acknowledged_how:acknowledged_how"]);
    let wrong = step(&t, &cadre, &sent, "acknowledge", json!({})).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/acknowledged_how:acknowledged_how", "/words:required"]);
    step(&t, &specialist, &sent, "acknowledge", how.clone()).await.problem(409, "not_holder");
    let (lin, foreign) = (villager(&t, "lin").await, foreign_admin(&t).await);
    step(&t, &lin, &sent, "acknowledge", json!({})).await.problem(404, "not_found");
    step(&t, &foreign, &sent, "acknowledge", how.clone()).await.problem(404, "not_found");
    t.pass(TimeDelta::days(1));
    let (who, cadre) = (t.resident("chen").await, t.staff("cadre").await);
    // The resident and the cadre at once: it is written down once.
    let both = join_all([
        step(&t, &who, &sent, "acknowledge", json!({})),
        step(&t, &cadre, &sent, "acknowledge", how.clone()),
    ]);
    let mut statuses: Vec<_> = both.await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert!(matches!(statuses[1], 409 | 412), "{statuses:?}");
    step(&t, &who, &sent, "acknowledge", json!({})).await.problem(409, "errand_acknowledged");
    step(&t, &cadre, &sent, "acknowledge", how).await.problem(409, "errand_acknowledged");
    assert_eq!(errand(&t, &who, &sent).await["delivery"]["acknowledged_on"], "2026-11-24");
    step(&t, &cadre, &sent, "archive", json!({})).await.ok();
    let told = ledger(&t, &who, &sent).await;
    assert_eq!(steps(&told).into_iter().filter(|step| *step == "acknowledge").count(), 1);
    assert_eq!(told["broken_at"], Value::Null);
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_has_no_phone_signs_and_whoever_is_silent_is_waited_for() {
    let t = TestApp::new().await;
    let (first, _, cadre) = delivered(&t).await;
    let signature = pdf(&t, &cadre).await;
    let signed = json!({"acknowledged_how": "signed", "words": "本人在回证上签字", "attachment_ids": [signature]});
    let known = step(&t, &cadre, &first, "acknowledge", signed).await.ok();
    assert_eq!(
        (&known["delivery"]["acknowledged_how"], &known["delivery"]["attachment_ids"]),
        (&json!("signed"), &json!([signature]))
    );
    let (second, ..) = delivered(&t).await;
    t.pass(TimeDelta::days(14));
    let cadre = t.staff("cadre").await;
    step(&t, &cadre, &second, "archive", json!({})).await.problem(409, "not_acknowledged");
    t.pass(TimeDelta::days(1));
    let cadre = t.staff("cadre").await;
    step(&t, &cadre, &second, "archive", json!({})).await.ok();
    // What was never delivered needs no acknowledgement.
    let who = t.resident("chen").await;
    let third = submitted(&t, &who, matter(&t, content("village")).await).await;
    let holder = t.staff(if third["holder"]["name"] == "红星村代办员" { "cadre" } else { "specialist" }).await;
    step(&t, &holder, &third, "not_accept", json!({"reason": "不属于本村"})).await.ok();
    step(&t, &holder, &third, "archive", json!({})).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_delivery_asks_for_a_call_back_and_an_answer_settles_it() {
    let t = TestApp::new().await;
    let (sent, who, cadre) = delivered(&t).await;
    let waiting = todos(&t, &cadre, "errand_call_back").await;
    assert_eq!(
        (waiting.len(), &waiting[0]["kind"], &waiting[0]["holder_id"], &waiting[0]["due_at"]),
        (1, &json!("call"), &json!(cadre.subject), &json!("2026-12-01T00:00:00+08:00"))
    );
    assert_eq!((&waiting[0]["about_id"], &waiting[0]["resident_id"]), (&sent["id"], &json!(who.subject)));
    let answer =
        |reached: bool, satisfied: &str| json!({"reached": reached, "satisfied": satisfied, "words": "已联系"});
    let wrong = step(&t, &cadre, &sent, "call_back", answer(false, "yes")).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/satisfied:not_reached"]);
    step(&t, &who, &sent, "call_back", answer(true, "yes")).await.problem(403, "forbidden");
    step(&t, &foreign_admin(&t).await, &sent, "call_back", answer(true, "yes")).await.problem(404, "not_found");
    // Nobody there: it waits on.
    let tried = step(&t, &cadre, &sent, "call_back", answer(false, "unknown")).await.ok();
    assert_eq!(tried["call_back"], json!({"on": "2026-11-23", "reached": false, "satisfied": "unknown"}));
    assert_eq!(todos(&t, &cadre, "errand_call_back").await.len(), 1);
    // A colleague may do it; after the archive too.
    step(&t, &who, &sent, "acknowledge", json!({"words": "已收到"})).await.ok();
    step(&t, &cadre, &sent, "archive", json!({})).await.ok();
    let specialist = t.staff("specialist").await;
    let call = || {
        let call = t.post(&format!("{}/call_back", path(&sent))).by(&specialist).key("once").header("if-match", "*");
        call.json(answer(true, "yes")).send()
    };
    let (once, again) = (call().await.ok(), call().await.ok());
    assert_eq!((&once["call_back"]["satisfied"], &once["state"], &once), (&json!("yes"), &json!("archived"), &again));
    assert_eq!(todos(&t, &cadre, "errand_call_back").await.len(), 0);
    let done = t.get(&format!("/v1/todos/{}", waiting[0]["id"].as_str().expect("an id"))).by(&cadre).send().await.ok();
    assert_eq!((&done["state"], &done["done_by"]), (&json!("done"), &json!(specialist.subject)));
    step(&t, &cadre, &sent, "call_back", answer(true, "no")).await.problem(409, "called_back");
    assert_eq!(t.run_jobs().await, 0, "nobody is unsatisfied");
    assert_eq!(ledger(&t, &who, &sent).await["broken_at"], Value::Null);
}

#[actix_web::test]
async fn whoever_is_not_satisfied_is_seen_to_and_three_calls_are_enough() {
    let t = TestApp::new().await;
    let (sent, _, cadre) = decided(&t).await;
    step(&t, &cadre, &sent, "call_back", json!({"reached": true, "satisfied": "yes", "words": "满意"}))
        .await
        .problem(409, "errand_state");
    step(&t, &cadre, &sent, "deliver", json!({"how": "in_person"})).await.ok();
    // Answered before the todo was there.
    step(&t, &cadre, &sent, "call_back", json!({"reached": true, "satisfied": "no", "words": "等得太久"})).await.ok();
    t.run_jobs().await;
    assert_eq!(todos(&t, &cadre, "errand_call_back").await.len(), 0);
    let unhappy = todos(&t, &t.staff("junxi").await, "errand_unsatisfied").await;
    assert_eq!((unhappy.len(), &unhappy[0]["kind"], &unhappy[0]["about_id"]), (1, &json!("decide"), &sent["id"]));
    assert_eq!(unhappy[0]["unit_id"], sent["unit"]["id"]);
    let (second, _, _) = delivered(&t).await;
    let cadre = t.staff("cadre").await;
    for left in [1, 1, 0] {
        let nobody = json!({"reached": false, "satisfied": "unknown", "words": "无人接听"});
        let holder = errand(&t, &cadre, &second).await["holder"]["id"].clone();
        let by = if holder == json!(cadre.subject) { cadre.clone() } else { t.staff("specialist").await };
        step(&t, &by, &second, "call_back", nobody).await.ok();
        let waiting = todos(&t, &t.staff("junxi").await, "errand_call_back").await;
        assert_eq!(waiting.len(), left);
    }
    assert_eq!(t.run_jobs().await, 0);
}
