//! Trips: collected, started, answered, finished; and departments that do not answer.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::foreign_admin,
    errands::{content, ledger, matter, path, step, steps, submitted, villager},
    harness::{Reply, Session, TestApp},
    staff::{by_username, id, name_deputy, open, seen},
};

/// A matter that 县民政局 decides.
async fn departmental(t: &TestApp) -> (Uuid, Uuid) {
    let mut content = content("department");
    let department = t.department("县民政局").await;
    content["department_id"] = json!(department);
    (matter(t, content).await, department)
}

async fn accepted(t: &TestApp, who: &str, cadre: &Session, matter: Uuid) -> Value {
    let who = villager(t, who).await;
    let sent = submitted(t, &who, matter).await;
    step(t, cadre, &sent, "accept", json!({})).await.ok()
}

async fn plan(t: &TestApp, by: &Session, department: Uuid, errands: &[&Value]) -> Reply {
    let ids: Vec<_> = errands.iter().map(|errand| errand["id"].clone()).collect();
    let body = json!({"department_id": department, "on": "2026-11-25", "errand_ids": ids});
    t.post("/v1/trips").by(by).json(body).send().await
}

fn place(sheet: &Value) -> String {
    format!("/v1/trips/{}", sheet["trip"]["id"].as_str().expect("an id"))
}

async fn go(t: &TestApp, by: &Session, sheet: &Value, verb: &str, body: Value) -> Reply {
    t.post(&format!("{}/{verb}", place(sheet))).by(by).header("if-match", "*").json(body).send().await
}

fn outcome(errand: &Value, result: &str) -> Value {
    json!({"errand_id": errand["id"], "result": result, "words": "民政局答复"})
}

/// The errands of a list, by what came of them.
fn results(sheet: &Value) -> Vec<(Value, Value)> {
    let errands = sheet["errands"].as_array().expect("errands").iter();
    errands.map(|errand| (errand["errand_id"].clone(), errand["result"].clone())).collect()
}

async fn state(t: &TestApp, by: &Session, errand: &Value) -> Value {
    t.get(&path(errand)).by(by).send().await.ok()["state"].clone()
}

#[actix_web::test]
async fn one_journey_for_many_errands() {
    let t = TestApp::new().await;
    let (cadre, specialist, bureau) =
        (t.staff("cadre").await, t.staff("specialist").await, t.staff("civil.affairs").await);
    let (matter, department) = departmental(&t).await;
    let first = accepted(&t, "chen", &cadre, matter).await;
    let second = accepted(&t, "lin", &cadre, matter).await;
    let third = accepted(&t, "wang", &cadre, matter).await;
    let ready = async |by: &Session| t.get("/v1/trips/ready").by(by).send().await.ok()["departments"].clone();
    let mine = ready(&cadre).await;
    assert_eq!(
        (&mine[0]["department"]["name"], mine[0]["errands"].as_array().map(Vec::len)),
        (&json!("县民政局"), Some(3))
    );
    assert_eq!(mine[0]["errands"][0]["resident"]["name"], "陈*婆");
    assert_eq!(ready(&specialist).await, json!([]));
    let card = json!({"name": "户口簿"});
    let card = t.post(&format!("{}/originals", path(&first))).by(&cadre).json(card).send().await.created();

    let planned = plan(&t, &cadre, department, &[&first, &second, &third]).await.is(201);
    assert_eq!(planned.header("location"), place(&planned.body));
    let trip = planned.body.clone();
    assert!(trip["trip"]["number"].as_str().expect("a number").starts_with("T261123-"), "{trip}");
    assert_eq!((&trip["trip"]["state"], &trip["trip"]["errands"]), (&json!("planned"), &json!(3)));
    let along = trip["errands"].as_array().expect("errands").iter().find(|errand| errand["errand_id"] == first["id"]);
    assert_eq!(along.expect("on the list")["originals"][0]["id"], card["id"]);
    assert_eq!(ready(&cadre).await, json!([]), "an errand is on one trip");
    plan(&t, &cadre, department, &[&first]).await.problem(409, "on_another_trip");

    go(&t, &specialist, &trip, "start", json!({})).await.problem(409, "not_agent");
    let early = json!({"results": [outcome(&first, "accepted")]});
    go(&t, &cadre, &trip, "results", early).await.problem(409, "trip_state");
    // Whoever withdraws meanwhile does not keep the others at home.
    step(&t, &t.resident("wang").await, &third, "withdraw", json!({"reason": "不办了"})).await.ok();
    let under_way = go(&t, &cadre, &trip, "start", json!({})).await.ok();
    assert_eq!(under_way["trip"]["state"], "under_way");
    assert!(results(&under_way).contains(&(third["id"].clone(), json!("not_handed_in"))));
    for errand in [&first, &second] {
        assert_eq!(state(&t, &cadre, errand).await, "forwarded");
    }
    let theirs = t.get("/v1/trips?count=true").by(&bureau).send().await.ok();
    assert_eq!((&theirs["total"], &theirs["items"][0]["id"]), (&json!(1), &trip["trip"]["id"]));

    let both = json!({"results": [outcome(&first, "accepted"), outcome(&second, "later")]});
    let answered = go(&t, &cadre, &trip, "results", both).await.ok();
    assert!(results(&answered).contains(&(second["id"].clone(), json!("later"))));
    let decided = t.get(&path(&first)).by(&cadre).send().await.ok();
    assert_eq!((&decided["state"], &decided["granted"]), (&json!("decided"), &json!(true)));
    let told = ledger(&t, &cadre, &first).await;
    assert_eq!(steps(&told), ["file", "submit", "accept", "take_original", "forward", "decide"]);
    let last = &told["entries"][5];
    assert_eq!((&last["words"], &last["facts"]["trip"]), (&json!("民政局答复"), &trip["trip"]["id"]));
    assert_eq!(told["broken_at"], Value::Null);
    let wrong = json!({"results": [outcome(&first, "accepted"), outcome(&json!({"id": Uuid::now_v7()}), "later")]});
    assert_eq!(
        go(&t, &cadre, &trip, "results", wrong).await.problem(422, "invalid").faults(),
        ["/results/0/errand_id:answered", "/results/1/errand_id:not_on_trip"]
    );
    let done = go(&t, &cadre, &trip, "finish", json!({})).await.ok();
    assert_eq!(done["trip"]["state"], "done");
    for verb in ["start", "finish", "cancel"] {
        go(&t, &cadre, &trip, verb, json!({})).await.problem(409, "trip_state");
    }

    // What is to be fetched later goes along again, without being forwarded twice.
    assert_eq!(ready(&cadre).await[0]["errands"][0]["errand_id"], second["id"]);
    let again = plan(&t, &cadre, department, &[&second]).await.created();
    go(&t, &cadre, &again, "start", json!({})).await.ok();
    let nothing = json!({"results": [outcome(&second, "none")]});
    assert_eq!(
        go(&t, &cadre, &again, "results", nothing).await.problem(422, "invalid").faults(),
        ["/results/0/result:result"]
    );
    let refused = json!({"results": [outcome(&second, "refused")]});
    go(&t, &cadre, &again, "results", refused).await.ok();
    let told = ledger(&t, &cadre, &second).await;
    assert_eq!(steps(&told), ["file", "submit", "accept", "forward", "later", "decide"]);
    assert_eq!(t.get(&path(&second)).by(&cadre).send().await.ok()["granted"], false);
    t.run_jobs().await;
}

#[actix_web::test]
async fn twice_at_once_and_by_the_wrong_people() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let (matter, department) = departmental(&t).await;
    let errand = accepted(&t, "chen", &cadre, matter).await;
    let body = json!({"department_id": department, "on": "2026-11-25", "errand_ids": [errand["id"]]});
    let plan = |key: &'static str| t.post("/v1/trips").by(&cadre).key(key).json(body.clone()).send();
    let replies = join_all([plan("1"), plan("2")]).await;
    let mut statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let won = if replies[0].status == 201 { "1" } else { "2" };
    let trip = plan(won).await.created();
    assert_eq!(t.database.count("SELECT count(*) AS n FROM trips"), 1);

    let (foreign, resident) = (foreign_admin(&t).await, t.resident("chen").await);
    t.get(&place(&trip)).by(&foreign).send().await.problem(404, "not_found");
    go(&t, &foreign, &trip, "start", json!({})).await.problem(404, "not_found");
    t.get(&place(&trip)).by(&resident).send().await.problem(403, "forbidden");
    let bureau = t.staff("civil.affairs").await;
    t.get(&place(&trip)).by(&bureau).send().await.problem(404, "not_found");
    for by in [&foreign, &t.staff("specialist").await] {
        let reply = t.post("/v1/trips").by(by).json(body.clone()).send().await.problem(422, "invalid");
        assert_eq!(reply.faults(), ["/errand_ids/0:not_ready"]);
    }
    let bad = json!({"department_id": department, "on": "2026-11-22", "errand_ids": [errand["id"], errand["id"], Uuid::nil()]});
    let reply = t.post("/v1/trips").by(&cadre).json(bad).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/errand_ids/1:not_ready", "/errand_ids/2:not_ready", "/on:range"]);

    // Cancelled before it starts: free for another one.
    go(&t, &cadre, &trip, "cancel", json!({})).await.ok();
    let trip = plan("3").await.created();
    let start =
        || t.post(&format!("{}/start", place(&trip))).by(&cadre).header("if-match", "\"1\"").json(json!({})).send();
    let mut statuses: Vec<_> = join_all([start(), start()]).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    let told = ledger(&t, &cadre, &errand).await;
    assert_eq!(steps(&told).iter().filter(|step| **step == "forward").count(), 1);
    go(&t, &cadre, &trip, "cancel", json!({})).await.problem(409, "trip_state");
    t.run_jobs().await;
}

#[actix_web::test]
async fn all_results_or_none() {
    let t = TestApp::new().await;
    let (cadre, bureau) = (t.staff("cadre").await, t.staff("civil.affairs").await);
    let (matter, department) = departmental(&t).await;
    let first = accepted(&t, "chen", &cadre, matter).await;
    let second = accepted(&t, "lin", &cadre, matter).await;
    let trip = plan(&t, &cadre, department, &[&first, &second]).await.created();
    go(&t, &cadre, &trip, "start", json!({})).await.ok();
    // The department was faster with the second.
    step(&t, &bureau, &second, "decide", json!({"granted": true, "words": "已批准"})).await.ok();
    let both = json!({"results": [outcome(&first, "accepted"), outcome(&second, "accepted")]});
    let faults = go(&t, &cadre, &trip, "results", both).await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/results/1/result:not_with_department"]);
    assert_eq!(state(&t, &cadre, &first).await, "forwarded");
    let now = t.get(&place(&trip)).by(&cadre).send().await.ok();
    assert!(results(&now).iter().all(|(_, result)| result == "none"), "{now}");
    let back = json!({"results": [outcome(&first, "not_handed_in")]});
    go(&t, &cadre, &trip, "results", back).await.ok();
    assert_eq!(state(&t, &cadre, &first).await, "handling");
    go(&t, &cadre, &trip, "finish", json!({})).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_leaves_leaves_the_trip_to_somebody_else() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (made, session) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    let (matter, department) = departmental(&t).await;
    let sent = submitted(&t, &villager(&t, "chen").await, matter).await;
    step(&t, &session, &sent, "take", json!({})).await;
    step(&t, &session, &sent, "accept", json!({})).await.ok();
    let trip = plan(&t, &session, department, &[&sent]).await.created();
    let specialist = by_username(&t, &admin, "specialist").await;
    let version = format!("\"{}\"", seen(&t, &admin, &id(&made)).await["version"]);
    let call = t.post(&format!("/v1/staff/{}/dismiss", id(&made))).by(&admin).header("if-match", &version);
    let left = call.json(json!({"hand_over_to": id(&specialist), "reason": "调离"})).send().await.ok();
    assert_eq!(left["moved"], json!([{"room": "errands", "count": 2}]));
    t.set_time("2026-11-25T08:00:00+08:00");
    let specialist = t.staff("specialist").await;
    let day = t.get("/v1/my_day").by(&specialist).send().await.ok();
    assert!(day["items"].as_array().expect("items").iter().any(|item| item["entity"] == "trip"), "{day}");
    let started = go(&t, &specialist, &trip, "start", json!({})).await.ok();
    assert_eq!(started["trip"]["agent"]["id"], json!(specialist.subject));
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_department_that_does_not_answer_is_reminded_once() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let (matter, _) = departmental(&t).await;
    let silent = accepted(&t, "chen", &cadre, matter).await;
    let later = accepted(&t, "lin", &cadre, matter).await;
    for errand in [&silent, &later] {
        step(&t, &cadre, errand, "forward", json!({})).await.ok();
    }
    t.run_jobs().await;
    t.tick().await;
    t.set_time("2026-12-04T09:00:00+08:00");
    step(&t, &t.staff("civil.affairs").await, &later, "later", json!({"reason": "须入户核查"})).await.ok();
    // Ten working days from the 23rd of November end with the 7th of December.
    let reminded = async |errand: &Value| {
        let told = ledger(&t, &t.staff("cadre").await, errand).await;
        assert_eq!(told["broken_at"], Value::Null);
        steps(&told).iter().filter(|step| **step == "remind").count()
    };
    t.set_time("2026-12-07T23:00:00+08:00");
    t.tick().await;
    assert_eq!(reminded(&silent).await, 0);
    t.set_time("2026-12-08T00:30:00+08:00");
    for _ in 0..3 {
        t.tick().await;
    }
    assert_eq!((reminded(&silent).await, reminded(&later).await), (1, 0));
    let todos = t.get("/v1/todos").by(&t.staff("civil.affairs").await).send().await.ok();
    let about: Vec<_> = todos["items"].as_array().expect("items").iter().map(|todo| &todo["about_id"]).collect();
    assert_eq!(about, [&silent["id"]], "{todos}");
    // From the 4th of December: the 18th is the last day.
    t.set_time("2026-12-19T09:00:00+08:00");
    t.tick().await;
    t.tick().await;
    assert_eq!((reminded(&silent).await, reminded(&later).await), (1, 1));
    // Ten more working days after the reminder the county is told; and then nothing more follows.
    let waiting = async |by: &str| {
        let todos = t.get("/v1/todos?limit=200").by(&t.staff(by).await).send().await.ok();
        let about = |todo: &Value| todo["title"].as_str().is_some_and(|title| title.contains("部门"));
        let items = todos["items"].as_array().expect("items").iter().filter(|todo| about(todo));
        items.map(|todo| todo["about_id"].clone()).collect::<Vec<_>>()
    };
    t.set_time("2026-12-23T09:00:00+08:00");
    t.tick().await;
    t.tick().await;
    assert_eq!((reminded(&silent).await, reminded(&later).await), (2, 1));
    assert!(waiting("admin").await.contains(&silent["id"]));
    t.set_time("2027-01-20T09:00:00+08:00");
    t.tick().await;
    t.tick().await;
    assert_eq!((reminded(&silent).await, reminded(&later).await), (2, 2));
    // Once it has answered nobody is asked any more.
    let bureau = t.staff("civil.affairs").await;
    for errand in [&silent, &later] {
        let words = json!({"granted": true, "words": "符合条件"});
        step(&t, &bureau, errand, "decide", words).await.ok();
    }
    assert_eq!((waiting("admin").await, waiting("civil.affairs").await), (vec![], vec![]));
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_deputy_takes_along_what_they_cover() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let (matter, department) = departmental(&t).await;
    let errand = accepted(&t, "chen", &cadre, matter).await;
    let (deputy, driver) = open(&t, &admin, "driver", "village_cadre", "红星村委会").await;
    plan(&t, &driver, department, &[&errand]).await.problem(422, "invalid");
    let holder = by_username(&t, &admin, "cadre").await;
    name_deputy(&t, &admin, &id(&holder), deputy["id"].as_str()).await.ok();
    let away = json!({"from_on": "2026-11-23", "until_on": "2026-11-27"});
    t.post(&format!("/v1/staff/{}/absences", id(&holder))).by(&admin).json(away).send().await.created();
    let ready = t.get("/v1/trips/ready").by(&driver).send().await.ok();
    assert_eq!(ready["departments"][0]["errands"][0]["errand_id"], errand["id"]);
    let trip = plan(&t, &driver, department, &[&errand]).await.is(201).body;
    let under_way = go(&t, &driver, &trip, "start", json!({})).await.ok();
    assert_eq!(results(&under_way), [(errand["id"].clone(), json!("none"))]);
    assert_eq!(state(&t, &cadre, &errand).await, "forwarded");
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_comes_to_nothing_on_the_way_holds_nobody_up() {
    let t = TestApp::new().await;
    let (cadre, bureau) = (t.staff("cadre").await, t.staff("civil.affairs").await);
    let (matter, department) = departmental(&t).await;
    let home = accepted(&t, "chen", &cadre, matter).await;
    let gone = accepted(&t, "lin", &cadre, matter).await;
    let there = accepted(&t, "wang", &cadre, matter).await;
    let trip = plan(&t, &cadre, department, &[&home, &gone, &there]).await.is(201).body;
    step(&t, &t.resident("chen").await, &home, "withdraw", json!({"reason": "不办了"})).await.ok();
    go(&t, &cadre, &trip, "start", json!({})).await.ok();
    // The department sees what has come to it, and nothing of what stayed at home.
    let theirs = t.get(&place(&trip)).by(&bureau).send().await.ok();
    let seen: Vec<_> = results(&theirs).into_iter().map(|(errand, _)| errand).collect();
    assert!(!seen.contains(&home["id"]) && seen.contains(&there["id"]) && seen.contains(&gone["id"]), "{theirs}");
    assert_eq!(theirs["trip"]["errands"], json!(seen.len()), "nor is it counted");
    step(&t, &t.resident("lin").await, &gone, "withdraw", json!({"reason": "不办了"})).await.ok();
    let wrong = json!({"results": [outcome(&gone, "accepted"), outcome(&there, "accepted")]});
    assert_eq!(
        go(&t, &cadre, &trip, "results", wrong).await.problem(422, "invalid").faults(),
        ["/results/0/result:not_with_department"]
    );
    let right = json!({"results": [outcome(&gone, "not_handed_in")]});
    go(&t, &cadre, &trip, "results", right).await.ok();
    let done = go(&t, &cadre, &trip, "finish", json!({})).await.ok();
    let of = |errand: &Value| results(&done).into_iter().find(|(id, _)| *id == errand["id"]).expect("on the trip").1;
    assert_eq!((of(&home), of(&gone), of(&there)), (json!("not_handed_in"), json!("not_handed_in"), json!("none")));
    // What was left there is fetched with the next trip; a trip that is never made holds nothing when its day is over.
    let fetch = plan(&t, &cadre, department, &[&there]).await.is(201).body;
    plan(&t, &cadre, department, &[&there]).await.problem(409, "on_another_trip");
    t.run_jobs().await;
    t.set_time("2026-11-26T09:00:00+08:00");
    let cadre = t.staff("cadre").await;
    let body = json!({"department_id": department, "on": "2026-11-27", "errand_ids": [there["id"]]});
    let next = t.post("/v1/trips").by(&cadre).json(body).send().await.is(201).body;
    let forgotten = t.get(&place(&fetch)).by(&cadre).send().await.ok();
    assert_eq!(results(&forgotten), [(there["id"].clone(), json!("not_handed_in"))]);
    assert_eq!(results(&next), [(there["id"].clone(), json!("none"))]);
    t.run_jobs().await;
}
