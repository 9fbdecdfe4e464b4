//! Custody of originals: who has them, who may move them, and how they find their way back.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    errands::{content, ledger, matter, path, step, steps, submitted, villager},
    harness::{Reply, Session, TestApp},
    staff::{by_username, id, open, seen},
};

async fn take(t: &TestApp, by: &Session, errand: &Value, name: &str) -> Reply {
    t.post(&format!("{}/originals", path(errand))).by(by).json(json!({"name": name})).send().await
}

fn place(original: &Value) -> String {
    format!("/v1/originals/{}", original["id"].as_str().expect("an id"))
}

async fn move_on(t: &TestApp, by: &Session, original: &Value, verb: &str, body: Value) -> Reply {
    let call = t.post(&format!("{}/{verb}", place(original))).by(by).header("if-match", "*");
    call.json(body).send().await
}

/// An errand that 红星村代办员 has accepted.
async fn accepted(t: &TestApp, who: &Session, cadre: &Session, content: Value) -> Value {
    let matter = matter(t, content).await;
    let sent = submitted(t, who, matter).await;
    let accepted = step(t, cadre, &sent, "accept", json!({})).await.ok();
    t.run_jobs().await;
    accepted
}

#[actix_web::test]
async fn an_original_goes_from_hand_to_hand_and_comes_back_before_the_archive() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let who = villager(&t, "chen").await;
    let errand = accepted(&t, &who, &cadre, content("village")).await;
    take(&t, &specialist, &errand, "户口簿").await.problem(409, "not_holder");
    let short = take(&t, &cadre, &errand, "户").await.problem(422, "invalid");
    assert_eq!(short.faults(), ["/name:length"]);
    let taken = take(&t, &cadre, &errand, "陈阿婆的户口簿").await.is(201);
    assert_eq!(taken.header("location"), place(&taken.body));
    let card = taken.body.clone();
    assert_eq!(
        (&card["state"], &card["with"]["id"], &card["taken_how"]),
        (&json!("held"), &json!(cadre.subject), &Value::Null)
    );
    assert!(!t.database.everything().contains("陈阿婆的户口簿"), "sealed");
    // The resident says that they handed it over, once.
    let known = move_on(&t, &who, &card, "acknowledge", json!({})).await.ok();
    assert_eq!((&known["taken_how"], &known["state"]), (&json!("in_mini_program"), &json!("held")));
    move_on(&t, &who, &card, "acknowledge", json!({})).await.problem(409, "original_state");
    let to = json!({"staff_id": specialist.subject});
    move_on(&t, &specialist, &card, "receive", json!({})).await.problem(409, "not_passed");
    let passed = move_on(&t, &cadre, &card, "pass", to).await.ok();
    assert_eq!(
        (&passed["with"]["id"], &passed["passed_to"]["id"]),
        (&json!(cadre.subject), &json!(specialist.subject)),
        "until it is acknowledged, whoever passed it on answers for it"
    );
    let received = move_on(&t, &specialist, &card, "receive", json!({})).await.ok();
    assert_eq!((&received["with"]["id"], &received["passed_to"]), (&json!(specialist.subject), &Value::Null));
    move_on(&t, &cadre, &card, "return", json!({})).await.problem(409, "not_in_hand");
    step(&t, &cadre, &errand, "decide", json!({"granted": true, "words": "已办好"})).await.ok();
    step(&t, &cadre, &errand, "deliver", json!({"how": "in_person"})).await.ok();
    step(&t, &cadre, &errand, "archive", json!({})).await.problem(409, "originals_out");
    move_on(&t, &specialist, &card, "return", json!({})).await.ok();
    // Handed back, but nobody has acknowledged it.
    step(&t, &cadre, &errand, "archive", json!({})).await.problem(409, "originals_out");
    let back = move_on(&t, &who, &card, "acknowledge", json!({})).await.ok();
    assert_eq!(
        (&back["state"], &back["with"], &back["returned_how"]),
        (&json!("returned"), &Value::Null, &json!("in_mini_program"))
    );
    for verb in ["return", "receive", "to_department", "acknowledge"] {
        let by = if verb == "acknowledge" { &who } else { &specialist };
        move_on(&t, by, &card, verb, json!({})).await.problem(409, "original_state");
    }
    step(&t, &cadre, &errand, "archive", json!({})).await.problem(409, "not_acknowledged");
    step(&t, &who, &errand, "acknowledge", json!({})).await.ok();
    step(&t, &cadre, &errand, "archive", json!({})).await.ok();
    take(&t, &cadre, &errand, "身份证").await.problem(409, "errand_state");
    let told = ledger(&t, &who, &errand).await;
    let moves: Vec<_> = steps(&told).into_iter().filter(|step| step.contains("original")).collect();
    assert_eq!(
        moves,
        [
            "take_original",
            "acknowledge_original",
            "pass_original",
            "receive_original",
            "return_original",
            "acknowledge_original"
        ]
    );
    assert_eq!(told["broken_at"], Value::Null);
    let taking = told["entries"].as_array().expect("entries").iter().find(|entry| entry["step"] == "take_original");
    let taking = taking.expect("an entry");
    assert_eq!((&taking["words"], &taking["facts"]["original"]), (&json!("陈阿婆的户口簿"), &card["id"]));
    t.run_jobs().await;
}

#[actix_web::test]
async fn twice_is_once_and_of_two_at_once_one_moves_it() {
    let t = TestApp::new().await;
    let (cadre, specialist, junxi) = (t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await);
    let who = villager(&t, "chen").await;
    let errand = accepted(&t, &who, &cadre, content("village")).await;
    let originals = format!("{}/originals", path(&errand));
    let take = || t.post(&originals).by(&cadre).key("once").json(json!({"name": "户口簿"})).send();
    let (first, again) = (take().await.created(), take().await.created());
    assert_eq!(first, again);
    let list = t.get(&format!("{originals}?count=true")).by(&who).send().await.ok();
    assert_eq!((&list["total"], &list["items"][0]["id"]), (&json!(1), &first["id"]));
    let pass = format!("{}/pass", place(&first));
    let to = |whom: &Session| json!({"staff_id": whom.subject});
    t.post(&pass).by(&cadre).json(to(&junxi)).send().await.problem(428, "precondition_required");
    let tries = [&specialist, &junxi].map(|whom| {
        let call = t.post(&pass).by(&cadre).header("if-match", "\"1\"");
        call.json(to(whom)).send()
    });
    let mut statuses: Vec<_> = join_all(tries).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    let told = ledger(&t, &cadre, &errand).await;
    assert_eq!(steps(&told).iter().filter(|step| **step == "pass_original").count(), 1, "the loser left no trace");
    assert_eq!(told["broken_at"], Value::Null);
    // Two who take originals of the same errand at once both do.
    let both = ["身份证", "残疾证"].map(|name| self::take(&t, &cadre, &errand, name));
    for reply in join_all(both).await {
        reply.created();
    }
    let page = t.get(&format!("{originals}?count=true&limit=2")).by(&cadre).send().await.ok();
    assert_eq!((&page["total"], page["items"].as_array().map(Vec::len)), (&json!(3), Some(2)));
    let rest = format!("{originals}?limit=2&cursor={}", page["next_cursor"].as_str().expect("more"));
    assert_eq!(t.get(&rest).by(&cadre).send().await.ok()["items"].as_array().map(Vec::len), Some(1));
}

#[actix_web::test]
async fn only_those_whom_it_concerns() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let (who, stranger, foreign) = (villager(&t, "chen").await, t.resident("stranger").await, foreign_admin(&t).await);
    let errand = accepted(&t, &who, &cadre, content("village")).await;
    let card = take(&t, &cadre, &errand, "户口簿").await.created();
    for session in [&stranger, &foreign] {
        t.get(&place(&card)).by(session).send().await.problem(404, "not_found");
        t.get(&format!("{}/originals", path(&errand))).by(session).send().await.problem(404, "not_found");
        move_on(&t, session, &card, "acknowledge", json!({"how": "signed"})).await;
    }
    take(&t, &foreign, &errand, "户口簿").await.problem(404, "not_found");
    let home = t.get(&place(&card)).by(&who).send().await.is(200);
    assert_eq!((home.header("etag"), &home["name"]), ("\"1\"", &json!("户口簿")), "nobody else has touched it");
    for body in [json!({}), json!({"how": "in_mini_program"})] {
        let reply = move_on(&t, &cadre, &card, "acknowledge", body).await.problem(422, "invalid");
        assert_eq!(reply.faults(), ["/how:how"]);
    }
    let signed = json!({"how": "signed"});
    assert_eq!(
        move_on(&t, &who, &card, "acknowledge", signed.clone()).await.problem(422, "invalid").faults(),
        ["/how:how"]
    );
    move_on(&t, &specialist, &card, "acknowledge", signed.clone()).await.problem(409, "not_in_hand");
    // Colleagues see that something is there, not what it is.
    let colleague = t.get(&place(&card)).by(&specialist).send().await.ok();
    let list = t.get(&format!("{}/originals", path(&errand))).by(&specialist).send().await.ok();
    assert_eq!((&colleague["name"], &list["items"][0]["name"]), (&Value::Null, &Value::Null));
    assert_eq!(move_on(&t, &cadre, &card, "acknowledge", signed.clone()).await.ok()["taken_how"], "signed");
    for nobody in [cadre.subject, uuid::Uuid::now_v7(), foreign.subject] {
        let reply = move_on(&t, &cadre, &card, "pass", json!({"staff_id": nobody})).await.problem(422, "invalid");
        assert_eq!(reply.faults(), ["/staff_id:cannot_have"]);
    }
    // A village decides: there is no department to bring it to.
    move_on(&t, &cadre, &card, "to_department", json!({})).await.problem(409, "decided_elsewhere");
    // A return that did not happen.
    move_on(&t, &cadre, &card, "return", json!({})).await.ok();
    move_on(&t, &specialist, &card, "receive", json!({})).await.problem(409, "not_in_hand");
    assert_eq!(move_on(&t, &cadre, &card, "receive", json!({})).await.ok()["state"], "held");
    move_on(&t, &cadre, &card, "return", json!({})).await.ok();
    assert_eq!(move_on(&t, &cadre, &card, "acknowledge", signed).await.ok()["returned_how"], "signed");
}

#[actix_web::test]
async fn to_the_department_and_back() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let who = villager(&t, "chen").await;
    let mut content = content("department");
    content["department_id"] = json!(t.department("县民政局").await);
    let errand = accepted(&t, &who, &cadre, content).await;
    let card = take(&t, &cadre, &errand, "户口簿").await.created();
    move_on(&t, &cadre, &card, "from_department", json!({})).await.problem(409, "original_state");
    move_on(&t, &specialist, &card, "to_department", json!({})).await.problem(409, "not_in_hand");
    let there = move_on(&t, &cadre, &card, "to_department", json!({})).await.ok();
    assert_eq!((&there["state"], &there["with"]["id"]), (&json!("with_department"), &json!(cadre.subject)));
    move_on(&t, &cadre, &card, "return", json!({})).await.problem(409, "original_state");
    move_on(&t, &specialist, &card, "from_department", json!({})).await.problem(409, "not_in_hand");
    assert_eq!(move_on(&t, &cadre, &card, "from_department", json!({})).await.ok()["state"], "held");
    // The mandate does not matter here: what was handed over finds its way back.
    step(&t, &who, &errand, "withdraw", json!({"reason": "不办了"})).await.ok();
    move_on(&t, &cadre, &card, "return", json!({})).await.ok();
    move_on(&t, &who, &card, "acknowledge", json!({})).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_leaves_leaves_what_they_had_in_hand() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (made, session) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    let (cadre, who) = (t.staff("cadre").await, villager(&t, "chen").await);
    let errand = accepted(&t, &who, &cadre, content("village")).await;
    let (mine, theirs) =
        (take(&t, &cadre, &errand, "户口簿").await.created(), take(&t, &cadre, &errand, "身份证").await.created());
    for card in [&mine, &theirs] {
        move_on(&t, &cadre, card, "pass", json!({"staff_id": id(&made)})).await.ok();
    }
    move_on(&t, &session, &mine, "receive", json!({})).await.ok();
    let day = t.get("/v1/my_day").by(&session).send().await.ok();
    let originals = |day: &Value| -> Vec<Value> {
        let items = day["items"].as_array().expect("items").iter();
        items.filter(|item| item["entity"] == "original").map(|item| item["id"].clone()).collect()
    };
    assert_eq!(originals(&day), [mine["id"].clone(), theirs["id"].clone()], "{day}");
    let open = t.get(&format!("/v1/residents/{}/open", who.subject)).by(&cadre).send().await.ok();
    assert_eq!(originals(&open).len(), 2, "{open}");
    let specialist = by_username(&t, &admin, "specialist").await;
    let version = format!("\"{}\"", seen(&t, &admin, &id(&made)).await["version"]);
    let path = format!("/v1/staff/{}/dismiss", id(&made));
    let call = t.post(&path).by(&admin).header("if-match", &version);
    let left = call.json(json!({"hand_over_to": id(&specialist), "reason": "调离"})).send().await.ok();
    assert_eq!(left["moved"], json!([{"room": "errands", "count": 2}]));
    let seen = async |card: &Value| t.get(&place(card)).by(&cadre).send().await.ok();
    assert_eq!(seen(&mine).await["with"]["id"], specialist["id"]);
    let passed = seen(&theirs).await;
    assert_eq!((&passed["with"]["id"], &passed["passed_to"]["id"]), (&json!(cadre.subject), &specialist["id"]));
    let told = ledger(&t, &cadre, &errand).await;
    assert_eq!(steps(&told).iter().filter(|step| **step == "hand_over_original").count(), 2);
    assert_eq!(told["broken_at"], Value::Null);
    let specialist = t.staff("specialist").await;
    move_on(&t, &specialist, &theirs, "receive", json!({})).await.ok();
}

#[actix_web::test]
async fn no_movement_without_its_entry() {
    let t = TestApp::new().await;
    let (cadre, who) = (t.staff("cadre").await, villager(&t, "chen").await);
    let errand = accepted(&t, &who, &cadre, content("village")).await;
    let card = take(&t, &cadre, &errand, "户口簿").await.created();
    let card = card["id"].as_str().expect("an id");
    let refused = |sql: String| {
        let result = diesel::connection::SimpleConnection::batch_execute(&mut t.database.service(), &sql);
        result.expect_err(&sql).to_string()
    };
    for (set, constraint) in [
        ("seq = 99", "errand_originals_county_id_errand_id_seq_fkey"),
        ("with_id = NULL", "errand_originals_answerable"),
        ("passed_to = with_id", "errand_originals_passed"),
        ("state = 'returned', with_id = NULL", "errand_originals_acknowledged"),
    ] {
        let error = refused(format!("UPDATE errand_originals SET {set} WHERE id = '{card}'"));
        assert!(error.contains(constraint), "{set}: {error}");
    }
    refused(format!("DELETE FROM errand_originals WHERE id = '{card}'"));
}

/// An account that was disabled, with nobody dismissed yet, does not freeze what its owner has in hand.
#[actix_web::test]
async fn a_disabled_account_freezes_nothing() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let who = villager(&t, "chen").await;
    let errand = accepted(&t, &who, &cadre, content("village")).await;
    let card = take(&t, &cadre, &errand, "户口簿").await.created();
    move_on(&t, &cadre, &card, "pass", json!({"staff_id": specialist.subject})).await.ok();
    t.database.run(&format!("UPDATE staff SET state = 'disabled' WHERE id = '{}'", specialist.subject));
    let acknowledged = move_on(&t, &who, &card, "acknowledge", json!({})).await.ok();
    assert_eq!(acknowledged["taken_how"], "in_mini_program");
    move_on(&t, &cadre, &card, "pass", json!({"staff_id": specialist.subject})).await.problem(422, "invalid");
    assert_eq!(move_on(&t, &cadre, &card, "return", json!({})).await.ok()["state"], "handed_back");
}
