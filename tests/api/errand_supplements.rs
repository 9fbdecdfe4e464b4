//! What is missing and does not come: the last day, the todo, the end; and whoever closes their record.

use serde_json::{Value, json};

use crate::{
    closed_records::settle,
    data_requests::ask,
    errand_replies::todos,
    errands::{complete, content, ledger, matter, path, step, steps, submitted, villager},
    harness::{Session, TestApp},
};

const MISSING: &str = "请补交居住证";

fn missing() -> Value {
    json!({"materials": ["permit"], "words": MISSING})
}

fn lapsed() -> Value {
    json!({"reason": "多次电话未补交"})
}

/// An errand of a resident from which something was asked.
async fn waiting(t: &TestApp) -> (Value, Session, Session) {
    let (who, matter) = (villager(t, "chen").await, matter(t, content("village")).await);
    let cadre = t.staff("cadre").await;
    let sent = submitted(t, &who, matter).await;
    step(t, &cadre, &sent, "accept", json!({})).await.ok();
    let asked = step(t, &cadre, &sent, "request_supplement", missing()).await.ok();
    assert_eq!(asked["supplement_until"], "2026-12-23", "thirty days");
    t.run_jobs().await;
    (asked, who, cadre)
}

async fn kinds(t: &TestApp, who: &Session) -> Vec<Value> {
    let inbox = t.get("/v1/messages").by(who).send().await.ok();
    inbox["items"].as_array().expect("items").iter().map(|message| message["kind"].clone()).collect()
}

#[actix_web::test]
async fn what_never_comes_ends_the_errand_when_its_last_day_is_over() {
    let t = TestApp::new().await;
    let (asked, _, cadre) = waiting(&t).await;
    let todo = todos(&t, &cadre, "errand_supplement").await;
    assert_eq!((todo.len(), &todo[0]["kind"]), (1, &json!("call")));
    assert_eq!(
        (&todo[0]["due_at"], &todo[0]["holder_id"]),
        (&json!("2026-12-24T00:00:00+08:00"), &json!(cadre.subject))
    );
    step(&t, &cadre, &asked, "lapse", lapsed()).await.problem(409, "supplement_waits");
    t.set_time("2026-12-23T17:00:00+08:00");
    let cadre = t.staff("cadre").await;
    let early = step(&t, &cadre, &asked, "lapse", lapsed()).await.problem(409, "supplement_waits");
    assert!(early.body["detail"].as_str().is_some_and(|text| text.contains("2026-12-23")), "{}", early.body);
    t.set_time("2026-12-24T08:00:00+08:00");
    let (cadre, who) = (t.staff("cadre").await, t.resident("chen").await);
    let specialist = t.staff("specialist").await;
    step(&t, &specialist, &asked, "lapse", lapsed()).await.problem(409, "not_holder");
    step(&t, &who, &asked, "lapse", lapsed()).await.problem(403, "forbidden");
    let ended = step(&t, &cadre, &asked, "lapse", lapsed()).await.ok();
    assert_eq!(
        (&ended["state"], &ended["asked_for"], &ended["supplement_until"]),
        (&json!("withdrawn"), &json!([]), &Value::Null)
    );
    step(&t, &cadre, &asked, "lapse", lapsed()).await.problem(409, "errand_state");
    let late = json!({"materials": [{"key": "permit", "in_person": true}], "words": "补来了"});
    step(&t, &who, &asked, "supplement", late).await.problem(409, "errand_state");
    t.run_jobs().await;
    assert!(todos(&t, &cadre, "errand_supplement").await.is_empty(), "nobody waits any more");
    assert!(kinds(&t, &who).await.contains(&json!("errand_lapsed")));
    let told = ledger(&t, &who, &asked).await;
    assert_eq!(steps(&told), ["file", "submit", "accept", "request_supplement", "lapse"]);
    assert_eq!((&told["broken_at"], &told["entries"][3]["facts"]["until"]), (&Value::Null, &json!("2026-12-23")));
    assert_eq!(step(&t, &cadre, &asked, "archive", json!({})).await.ok()["state"], "archived");
}

#[actix_web::test]
async fn what_comes_in_time_settles_the_todo_and_the_county_sets_the_days() {
    let t = TestApp::new().await;
    let (asked, who, cadre) = waiting(&t).await;
    let brought = json!({"materials": [{"key": "permit", "in_person": true}], "words": "已交代办员"});
    let again = step(&t, &who, &asked, "supplement", brought).await.ok();
    assert_eq!(again["supplement_until"], Value::Null);
    assert!(todos(&t, &cadre, "errand_supplement").await.is_empty());
    step(&t, &cadre, &asked, "lapse", lapsed()).await.problem(409, "errand_state");
    let admin = t.staff("admin").await;
    let days = json!({"value": 10, "reason": "县里统一要求"});
    t.put("/v1/settings/errands.supplement_days").by(&admin).header("if-match", "*").json(days).send().await.ok();
    t.pass(chrono::TimeDelta::minutes(2));
    let junxi = t.staff("junxi").await;
    let second = step(&t, &junxi, &asked, "request_supplement", missing()).await.ok();
    assert_eq!(second["supplement_until"], "2026-12-03");
    t.run_jobs().await;
}

#[actix_web::test]
async fn an_agent_ends_it_though_the_mandate_is_over() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let agent = t.staff("specialist").await;
    let mandates = format!("/v1/residents/{}/mandates", who.subject);
    let spoken =
        json!({"given_how": "spoken", "words": "腿脚不便，请帮我办", "matter_id": matter, "valid_until": "2026-12-01"});
    let given = t.post(&mandates).by(&agent).json(spoken).send().await.created();
    let mut filed = complete(matter);
    (filed["resident_id"], filed["mandate_id"]) = (json!(who.subject), given["id"].clone());
    let filed = t.post("/v1/errands").by(&agent).json(filed).send().await.created();
    let sent = step(&t, &agent, &filed, "submit", json!({})).await.ok();
    step(&t, &agent, &sent, "request_supplement", missing()).await.ok();
    t.run_jobs().await;
    t.set_time("2027-01-04T09:00:00+08:00");
    let agent = t.staff("specialist").await;
    step(&t, &agent, &sent, "withdraw", json!({"reason": "居民不办了"})).await.problem(409, "mandate_ended");
    assert_eq!(step(&t, &agent, &sent, "lapse", lapsed()).await.ok()["state"], "withdrawn");
    t.run_jobs().await;
}

#[actix_web::test]
async fn closing_a_record_withdraws_what_is_not_decided() {
    let t = TestApp::new().await;
    let (asked, who, cadre) = waiting(&t).await;
    let kept = matter(&t, content("village")).await;
    let draft = t.post("/v1/errands").by(&who).json(complete(kept)).send().await.created();
    let open = submitted(&t, &who, kept).await;
    let decided = submitted(&t, &who, kept).await;
    step(&t, &cadre, &decided, "accept", json!({})).await.ok();
    step(&t, &cadre, &decided, "decide", json!({"granted": true, "words": "证明已开具"})).await.ok();
    t.run_jobs().await;
    ask(&t, &who, who.subject, json!({"kind": "close"})).await;
    settle(&t).await;
    let cadre = t.staff("cadre").await;
    for errand in [&asked, &open] {
        let now = t.get(&path(errand)).by(&cadre).send().await.ok();
        assert_eq!(
            (&now["state"], &now["due_on"], &now["supplement_until"]),
            (&json!("withdrawn"), &Value::Null, &Value::Null)
        );
        let told = ledger(&t, &cadre, errand).await;
        assert_eq!((steps(&told).last(), &told["broken_at"]), (Some(&"close"), &Value::Null));
        assert_eq!(told["entries"].as_array().and_then(|all| all.last()).expect("one")["actor"], Value::Null);
        // Nothing goes on, so nothing new is written about them.
        let late = json!({"materials": [{"key": "permit", "in_person": true}], "words": "补来了"});
        step(&t, &cadre, errand, "supplement", late).await.problem(409, "errand_state");
    }
    assert!(todos(&t, &cadre, "errand_supplement").await.is_empty());
    assert_eq!(t.get(&path(&decided)).by(&cadre).send().await.ok()["state"], "decided", "what was decided stays");
    let gone = path(&draft);
    let id = gone.rsplit('/').next().expect("an id");
    let closed =
        format!("SELECT count(*) AS n FROM errands WHERE id = '{id}' AND state = 'withdrawn' AND content_salt IS NULL");
    assert_eq!(t.database.count(&closed), 1);
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_gets_a_result_is_told_that_it_is_recorded() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let cadre = t.staff("cadre").await;
    let sent = submitted(&t, &who, matter).await;
    step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    step(&t, &cadre, &sent, "decide", json!({"granted": true, "words": "证明已开具"})).await.ok();
    t.run_jobs().await;
    assert!(!kinds(&t, &who).await.contains(&json!("errand_delivered")));
    step(&t, &cadre, &sent, "deliver", json!({"how": "by_agent"})).await.ok();
    t.run_jobs().await;
    assert_eq!(kinds(&t, &who).await.iter().filter(|kind| **kind == json!("errand_delivered")).count(), 1);
}
