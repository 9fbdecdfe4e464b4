//! How often a move of an errand goes to the database and back.

use std::sync::Mutex;

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    errands::{content, matter, path, step, submitted, villager},
    harness::{Session, TestApp},
};

/// Everything that was asked of PostgreSQL, in this process.
static ASKED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Listen;

impl Instrumentation for Listen {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            // Without what was bound: a stored answer is long.
            let text = query.to_string();
            let text = text.split(" -- binds").next().unwrap_or_default();
            ASKED.lock().expect("nobody panics here").push(text.to_owned());
        }
    }
}

/// What a move asks between BEGIN and COMMIT. Before it a session is looked up, every few seconds.
async fn asked(t: &TestApp, by: &Session, errand: &Value, verb: &str, body: Value) -> Vec<String> {
    ASKED.lock().expect("nobody panics here").clear();
    step(t, by, errand, verb, body).await.ok();
    let all = std::mem::take(&mut *ASKED.lock().expect("nobody panics here"));
    let place = |of: &str| all.iter().position(|asked| asked.starts_with(of)).expect(of);
    let (begin, commit) = (place("BEGIN"), place("COMMIT"));
    assert!(all[..begin].iter().all(|asked| asked.contains("\"sessions\"")), "{all:#?}");
    assert_eq!(commit, all.len() - 1, "{all:#?}");
    all[begin + 1..commit].to_vec()
}

/// In a process of its own, as nextest runs it: whoever else asks PostgreSQL meanwhile would be counted too.
#[actix_web::test]
async fn a_move_costs_three_round_trips_at_most() {
    set_default_instrumentation(|| Some(Box::new(Listen) as Box<dyn Instrumentation>)).expect("set");
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let mut departmental = content("department");
    departmental["department_id"] = json!(t.department("县民政局").await);
    let (village, departmental) = (matter(&t, content("village")).await, matter(&t, departmental).await);
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let holder = |errand: &Value| if errand["holder"]["id"] == json!(cadre.subject) { &cadre } else { &specialist };
    let other = |errand: &Value| if errand["holder"]["id"] == json!(cadre.subject) { &specialist } else { &cadre };
    // Versions, settings, the calendar and who is logged in are at hand after the first time.
    for session in [&chen, &cadre, &specialist] {
        t.get("/v1/sessions/current").by(session).send().await.ok();
    }
    for matter in [village, departmental] {
        let sent = submitted(&t, &chen, matter).await;
        step(&t, holder(&sent), &sent, "accept", json!({})).await.ok();
    }
    let mut most = 0;
    let mut check = |verb: &str, asked: Vec<String>| {
        assert!(asked.len() <= 3, "{verb}: {asked:#?}");
        most = most.max(asked.len());
    };
    let one = submitted(&t, &chen, village).await;
    check("accept", asked(&t, holder(&one), &one, "accept", json!({})).await);
    check("begin", asked(&t, holder(&one), &one, "begin", json!({})).await);
    let words = json!({"granted": true, "words": "证明已开具"});
    check("decide", asked(&t, holder(&one), &one, "decide", words).await);
    check("deliver", asked(&t, holder(&one), &one, "deliver", json!({"how": "in_person"})).await);
    check("acknowledge", asked(&t, &chen, &one, "acknowledge", json!({})).await);
    check("archive", asked(&t, holder(&one), &one, "archive", json!({})).await);
    let two = submitted(&t, &chen, village).await;
    check("take", asked(&t, other(&two), &two, "take", json!({})).await);
    let two = t.get(&path(&two)).by(&cadre).send().await.ok();
    let missing = json!({"materials": ["permit"], "words": "请补交居住证"});
    check("request_supplement", asked(&t, holder(&two), &two, "request_supplement", missing).await);
    let provided = json!({"materials": [{"key": "permit", "in_person": true}], "words": "已补交"});
    check("supplement", asked(&t, &chen, &two, "supplement", provided).await);
    let offer = json!({"staff_id": other(&two).subject, "reason": "请接手"});
    check("offer_transfer", asked(&t, holder(&two), &two, "offer_transfer", offer).await);
    check("accept_transfer", asked(&t, other(&two), &two, "accept_transfer", json!({})).await);
    let three = submitted(&t, &chen, departmental).await;
    step(&t, holder(&three), &three, "accept", json!({})).await.ok();
    check("forward", asked(&t, holder(&three), &three, "forward", json!({})).await);
    assert_eq!(most, 3, "gate, read and write are seen");
    t.run_jobs().await;
}

/// A day of fifty visits, each to a household that is there or is made with it: the gate, what is known, the households, the visits with the answer.
#[actix_web::test]
async fn a_batch_of_fifty_check_ins_costs_four_round_trips_at_most() {
    set_default_instrumentation(|| Some(Box::new(Listen) as Box<dyn Instrumentation>)).expect("set");
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let known = crate::visits::household(&t, &specialist).await;
    let visits = |new: bool| -> Vec<Value> {
        let visit = |number: usize| match new && number.is_multiple_of(2) {
            true => crate::visits::visit(Uuid::now_v7(), json!({"household": {"name": format!("第 {number} 户")}})),
            false => crate::visits::visit(known, json!({})),
        };
        (0..50).map(visit).collect()
    };
    let mut counts = Vec::new();
    for all in [visits(false), visits(true)] {
        // Sent twice: the second time everything is there.
        for _ in 0..2 {
            ASKED.lock().expect("nobody panics here").clear();
            let items = crate::visits::batch(&t, &specialist, "2026-11-23T08:00:00+08:00", &all).await;
            assert_eq!(items.len(), 50);
            let asked = std::mem::take(&mut *ASKED.lock().expect("nobody panics here"));
            let place = |of: &str| asked.iter().position(|asked| asked.starts_with(of)).expect(of);
            let (begin, commit) = (place("BEGIN"), place("COMMIT"));
            let between = &asked[begin + 1..commit];
            assert!(between.len() <= 4, "{between:#?}");
            counts.push(between.len());
        }
    }
    assert_eq!(counts, [3, 3, 4, 3], "gate, facts, new households, visits with the answer");
    t.run_jobs().await;
}
