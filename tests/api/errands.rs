//! Errands from filing to the archive: who may take which step, what is told, what the ledger keeps.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Reply, Session, TestApp};

/// What a matter of the tests needs: two materials, one question, no form.
pub fn content(decided_by: &str) -> Value {
    json!({"decided_by": decided_by, "kind": "promised", "promised_days": 5, "statutory_days": 20,
        "materials": [
            {"key": "id_card", "name": "居民身份证", "need": "required", "form": "original"},
            {"key": "permit", "name": "居住证", "need": "required", "form": "copy", "when": {"local": ["no"]}}],
        "questions": [{"key": "local", "text": "户籍在本县吗？", "options": [{"value": "yes", "text": "是"}, {"value": "no", "text": "否"}]}]})
}

pub async fn matter(t: &TestApp, content: Value) -> Uuid {
    let admin = t.staff("admin").await;
    let name = format!("事项{}", Uuid::now_v7());
    let made = t.post("/v1/matters").by(&admin).json(json!({"name": name})).send().await.created();
    let id: Uuid = made["id"].as_str().expect("an id").parse().expect("a UUID");
    t.post(&format!("/v1/matters/{id}/versions")).by(&admin).json(content).send().await.created();
    id
}

/// A resident who lives in 红星村.
pub async fn villager(t: &TestApp, who: &str) -> Session {
    let session = t.resident(who).await;
    let body = json!({"name": "陈阿婆", "unit_id": t.unit("红星村委会").await});
    let path = format!("/v1/residents/{}", session.subject);
    t.put(&path).by(&session).header("if-match", "*").json(body).send().await.ok();
    session
}

pub fn complete(matter: Uuid) -> Value {
    json!({"matter_id": matter, "answers": {"local": "yes"}, "materials": [{"key": "id_card", "in_person": true}]})
}

pub fn path(errand: &Value) -> String {
    format!("/v1/errands/{}", errand["id"].as_str().expect("an id"))
}

/// Takes a step of what is known, by its version.
pub async fn step(t: &TestApp, by: &Session, errand: &Value, step: &str, body: Value) -> Reply {
    let call = t.post(&format!("{}/{step}", path(errand))).by(by).header("if-match", "*");
    call.json(body).send().await
}

pub async fn submitted(t: &TestApp, who: &Session, matter: Uuid) -> Value {
    let filed = t.post("/v1/errands").by(who).json(complete(matter)).send().await.created();
    step(t, who, &filed, "submit", json!({})).await.ok()
}

pub async fn ledger(t: &TestApp, by: &Session, errand: &Value) -> Value {
    t.get(&format!("{}/ledger", path(errand))).by(by).send().await.ok()
}

pub fn steps(ledger: &Value) -> Vec<&str> {
    ledger["entries"].as_array().expect("entries").iter().map(|entry| entry["step"].as_str().expect("a step")).collect()
}

#[actix_web::test]
async fn from_filing_to_the_archive() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let filed = t.post("/v1/errands").by(&who).json(json!({"matter_id": matter})).send().await.is(201);
    assert_eq!(filed.header("location"), path(&filed.body));
    assert_eq!((&filed["state"], &filed["holder"], &filed["due_on"]), (&json!("draft"), &Value::Null, &Value::Null));
    let number = filed["number"].as_str().expect("a number");
    assert!(number.starts_with("261123-") && number.len() == 13, "{number}");
    // Everything that is missing is told at once.
    let refused = step(&t, &who, &filed.body, "submit", json!({})).await.problem(422, "invalid");
    assert_eq!(refused.faults(), ["/answers/local:required", "/materials/id_card:missing"]);
    let mut more = complete(matter);
    more.as_object_mut().expect("an object").remove("matter_id");
    let place = path(&filed.body);
    let stale = t.put(&place).by(&who).header("if-match", "\"7\"").json(more.clone()).send().await;
    stale.problem(412, "version_stale");
    let draft = t.put(&place).by(&who).header("if-match", "\"1\"").json(more).send().await.ok();
    let sent = step(&t, &who, &draft, "submit", json!({})).await.ok();
    assert_eq!((&sent["state"], &sent["holder"]["name"]), (&json!("submitted"), &json!("红星村代办员")));
    assert_eq!((&sent["due_on"], &sent["lamp"]), (&json!("2026-11-30"), &json!("green")));
    step(&t, &who, &draft, "submit", json!({})).await.problem(409, "errand_state");
    // Only whoever answers for it.
    step(&t, &specialist, &sent, "accept", json!({})).await.problem(409, "not_holder");
    step(&t, &cadre, &sent, "begin", json!({})).await.problem(409, "errand_state");
    t.set_time("2026-11-24T09:00:00+08:00");
    let cadre = t.staff("cadre").await;
    let who = t.resident("chen").await;
    let accepted = step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    assert_eq!((&accepted["due_on"], &accepted["accepted_on"]), (&json!("2026-12-01"), &json!("2026-11-24")));
    t.run_jobs().await;
    step(&t, &cadre, &sent, "begin", json!({})).await.ok();
    step(&t, &cadre, &sent, "forward", json!({})).await.problem(409, "decided_elsewhere");
    let decided = json!({"granted": true, "words": "证明已开具"});
    let decided = step(&t, &cadre, &sent, "decide", decided).await.ok();
    assert_eq!((&decided["granted"], &decided["due_on"], &decided["lamp"]), (&json!(true), &Value::Null, &Value::Null));
    step(&t, &who, &sent, "withdraw", json!({"reason": "不办了"})).await.problem(409, "errand_state");
    step(&t, &cadre, &sent, "deliver", json!({"how": "in_person"})).await.ok();
    step(&t, &cadre, &sent, "archive", json!({})).await.problem(409, "not_acknowledged");
    step(&t, &who, &sent, "acknowledge", json!({})).await.ok();
    let done = step(&t, &cadre, &sent, "archive", json!({})).await.ok();
    assert_eq!(done["state"], "archived");
    let told = ledger(&t, &who, &sent).await;
    assert_eq!(steps(&told), ["file", "submit", "accept", "begin", "decide", "deliver", "acknowledge", "archive"]);
    assert_eq!((&told["broken_at"], &told["entries"][4]["words"]), (&Value::Null, &json!("证明已开具")));
    t.run_jobs().await;
    let inbox = t.get("/v1/messages").by(&who).send().await.ok();
    let kinds: Vec<_> = inbox["items"].as_array().expect("items").iter().map(|message| &message["kind"]).collect();
    assert!(kinds.contains(&&json!("errand_accepted")) && kinds.contains(&&json!("errand_decided")), "{kinds:?}");
}

#[actix_web::test]
async fn the_same_key_files_once_and_two_who_take_it_are_told_who_won() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let file = || t.post("/v1/errands").by(&who).key("once").json(complete(matter)).send();
    let (first, again) = (file().await.created(), file().await.created());
    assert_eq!(first, again);
    let sent = step(&t, &who, &first, "submit", json!({})).await.ok();
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    step(&t, &cadre, &sent, "take", json!({})).await.problem(409, "errand_state");
    let junxi = t.staff("junxi").await;
    let tag = format!("{}", sent["version"]);
    let tries = [&specialist, &junxi].map(|by| {
        let call = t.post(&format!("{}/accept", path(&sent))).by(by).header("if-match", &format!("\"{tag}\""));
        call.json(json!({})).send()
    });
    for reply in join_all(tries).await {
        reply.problem(409, "not_holder");
    }
    let takes = [&specialist, &junxi].map(|by| {
        let call = t.post(&format!("{}/take", path(&sent))).by(by).header("if-match", &format!("\"{tag}\""));
        call.json(json!({})).send()
    });
    let mut statuses: Vec<_> = join_all(takes).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "one of them takes it");
    let tag = t.get(&path(&sent)).by(&junxi).send().await.ok()["version"].clone();
    let accepts = [&specialist, &junxi].map(|by| {
        let call = t.post(&format!("{}/accept", path(&sent))).by(by).header("if-match", &format!("\"{tag}\""));
        call.json(json!({})).send()
    });
    // The other one does not hold it, or sees that it has moved.
    let statuses: Vec<_> = join_all(accepts).await.iter().map(|reply| reply.status).collect();
    assert!(statuses.contains(&200) && statuses.iter().any(|status| matches!(status, 409 | 412)), "{statuses:?}");
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_is_missing_is_asked_for_once_and_the_clock_stands_still() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("township")).await);
    let (cadre, junxi) = (t.staff("cadre").await, t.staff("junxi").await);
    let sent = submitted(&t, &who, matter).await;
    step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    let ask = |materials: &[&str]| json!({"materials": materials, "words": "请补交居住证"});
    let unknown = step(&t, &cadre, &sent, "request_supplement", ask(&["permit", "nothing", "permit"])).await;
    assert_eq!(
        unknown.problem(422, "invalid").faults(),
        ["/materials/1:unknown_material", "/materials/2:unknown_material"]
    );
    let asked = step(&t, &cadre, &sent, "request_supplement", ask(&["permit"])).await.ok();
    assert_eq!(
        (&asked["state"], &asked["due_on"], &asked["supplements"]),
        (&json!("supplement_requested"), &Value::Null, &json!(1))
    );
    t.run_jobs().await;
    step(&t, &cadre, &sent, "begin", json!({})).await.problem(409, "errand_state");
    t.set_time("2026-11-26T10:00:00+08:00");
    let (who, cadre, junxi_later) = (t.resident("chen").await, t.staff("cadre").await, t.staff("junxi").await);
    drop(junxi);
    let brought = json!({"materials": [{"key": "permit", "in_person": true}], "words": "已交代办员"});
    // Something else than what was asked for does not set the clock going.
    let other = json!({"materials": [{"key": "id_card", "in_person": true}], "words": "身份证"});
    let lacks = step(&t, &who, &sent, "supplement", other).await.problem(422, "invalid");
    assert_eq!(lacks.faults(), ["/materials/permit:missing"]);
    assert_eq!(t.get(&path(&sent)).by(&who).send().await.ok()["asked_for"], json!(["permit"]));
    let again = step(&t, &who, &sent, "supplement", brought).await.ok();
    assert_eq!(again["asked_for"], json!([]));
    assert_eq!((&again["state"], &again["materials"].as_array().map(Vec::len)), (&json!("accepted"), &Some(2)));
    // Accepted on the 23rd; the 23rd to the 26th do not count: 27, 30, 1, 2, 3.
    assert_eq!(again["due_on"], "2026-12-03");
    let clock = t.get(&format!("{}/clock", path(&sent))).by(&who).send().await.ok();
    assert_eq!(
        (&clock["since"], &clock["limit_days"], &clock["until"]),
        (&json!("2026-11-23"), &json!(5), &json!("decision"))
    );
    let days = clock["days"].as_array().expect("days");
    let counted: Vec<_> =
        days.iter().filter(|day| day["number"].is_u64()).map(|day| day["date"].as_str().expect("a day")).collect();
    assert_eq!(counted, ["2026-11-27", "2026-11-30", "2026-12-01", "2026-12-02", "2026-12-03"]);
    assert!(days.iter().any(|day| day["date"] == "2026-11-25" && day["paused"] == true));
    assert!(days.iter().any(|day| day["date"] == "2026-11-28" && day["reason"] == "weekend"));
    // A second time only the township may ask, which need not answer for it.
    step(&t, &cadre, &sent, "request_supplement", ask(&["permit"])).await.problem(403, "approval_needed");
    let second = step(&t, &junxi_later, &sent, "request_supplement", ask(&["permit"])).await.ok();
    assert_eq!((&second["supplements"], &second["holder"]["id"]), (&json!(2), &json!(cadre.subject)));
    let numbers = t.get("/v1/errands/numbers").by(&t.staff("supervisor").await).send().await.ok();
    assert_eq!(numbers["items"][0]["asked_again"], 1, "supervisors see that it was not told at once");
    t.run_jobs().await;
}

#[actix_web::test]
async fn silence_accepts_and_the_ladder_is_climbed_once() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let sent = submitted(&t, &who, matter).await;
    // Due at the end of the 30th; on the 30th it still waits.
    t.set_time("2026-11-30T12:00:00+08:00");
    t.tick().await;
    let who = t.resident("chen").await;
    assert_eq!(t.get(&path(&sent)).by(&who).send().await.ok()["state"], "submitted");
    t.set_time("2026-12-01T00:30:00+08:00");
    // While a county is suspended its timers wait, and keep nobody else's waiting.
    t.database.run("UPDATE counties SET state = 'suspended', suspended_at = now(), suspended_because = '停用'");
    t.tick().await;
    assert_eq!(t.database.count("SELECT count(*) AS n FROM errands WHERE state = 'submitted'"), 1);
    t.database.run("UPDATE counties SET state = 'active', suspended_at = NULL, suspended_because = NULL");
    t.tick().await;
    t.tick().await;
    let who = t.resident("chen").await;
    let deemed = t.get(&path(&sent)).by(&who).send().await.ok();
    assert_eq!((&deemed["state"], &deemed["accepted_on"]), (&json!("accepted"), &json!("2026-11-23")));
    let told = ledger(&t, &who, &sent).await;
    let count = |what: &str| steps(&told).into_iter().filter(|step| *step == what).count();
    assert_eq!((count("deem_accepted"), &told["broken_at"]), (1, &Value::Null));
    assert!(
        told["entries"]
            .as_array()
            .expect("entries")
            .iter()
            .any(|entry| entry["step"] == "deem_accepted" && entry["actor_id"].is_null())
    );
    // Its limit ran from the day of submission, so it is overdue at once: every rung that has come, each once.
    t.set_time("2026-12-11T09:00:00+08:00");
    for _ in 0..6 {
        t.tick().await;
    }
    let who = t.resident("chen").await;
    let told = ledger(&t, &who, &sent).await;
    let rungs: Vec<_> = told["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .filter(|entry| entry["step"] == "escalate")
        .map(|entry| entry["facts"]["to"].clone())
        .collect();
    let (before, after): (Vec<_>, Vec<_>) = rungs.iter().partition(|to| **to == json!("holder"));
    assert!(!before.is_empty() && after.len() >= 3, "{rungs:?}");
    let cadre = t.staff("cadre").await;
    let todos = t.get("/v1/todos").by(&cadre).send().await.ok();
    assert!(
        todos["items"]
            .as_array()
            .expect("items")
            .iter()
            .any(|todo| todo["about"] == "errand" && todo["holder_id"].is_string()),
        "{todos}"
    );
}

#[actix_web::test]
async fn a_transfer_needs_acceptance_and_somebody_always_answers() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("township")).await);
    let (cadre, specialist, junxi) = (t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await);
    let sent = submitted(&t, &who, matter).await;
    step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    step(&t, &cadre, &sent, "begin", json!({})).await.ok();
    step(&t, &cadre, &sent, "decide", json!({"granted": true, "words": "可以"}))
        .await
        .problem(409, "decided_elsewhere");
    let offer = |to: Uuid| json!({"staff_id": to, "reason": "由镇里决定"});
    let nobody = step(&t, &cadre, &sent, "offer_transfer", offer(Uuid::now_v7())).await;
    assert_eq!(nobody.problem(422, "invalid").faults(), ["/staff_id:cannot_take_over"]);
    let offered = step(&t, &cadre, &sent, "offer_transfer", offer(junxi.subject)).await.ok();
    assert_eq!((&offered["holder"]["id"], &offered["offered_to"]), (&json!(cadre.subject), &json!(junxi.subject)));
    step(&t, &cadre, &sent, "offer_transfer", offer(specialist.subject)).await.problem(409, "offer_waits");
    step(&t, &specialist, &sent, "accept_transfer", json!({})).await.problem(409, "not_offered");
    let declined = step(&t, &junxi, &sent, "decline_transfer", json!({"reason": "请先补齐"})).await.ok();
    assert_eq!((&declined["holder"]["id"], &declined["offered_to"]), (&json!(cadre.subject), &Value::Null));
    step(&t, &cadre, &sent, "offer_transfer", offer(junxi.subject)).await.ok();
    let taken = step(&t, &junxi, &sent, "accept_transfer", json!({})).await.ok();
    assert_eq!((&taken["holder"]["id"], &taken["offered_to"]), (&json!(junxi.subject), &Value::Null));
    step(&t, &cadre, &sent, "suspend", json!({"reason": "现场核查"})).await.problem(409, "not_holder");
    let decided = step(&t, &junxi, &sent, "decide", json!({"granted": false, "words": "不符合条件"})).await.ok();
    assert_eq!((&decided["state"], &decided["granted"]), (&json!("decided"), &json!(false)));
    t.run_jobs().await;
}

#[actix_web::test]
async fn the_limit_is_extended_by_the_township_before_it_ends() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let (cadre, junxi) = (t.staff("cadre").await, t.staff("junxi").await);
    let sent = submitted(&t, &who, matter).await;
    let accepted = step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    assert_eq!(accepted["due_on"], "2026-11-30");
    let more = json!({"days": 3, "reason": "需现场核实"});
    step(&t, &cadre, &sent, "extend", more.clone()).await.problem(403, "approval_needed");
    let extended = step(&t, &junxi, &sent, "extend", more.clone()).await.ok();
    assert_eq!((&extended["due_on"], &extended["limit_days"]), (&json!("2026-12-03"), &json!(8)));
    // The law's 20 working days (statutory_days) and ten more, once approved; eight are there already.
    let beyond = step(&t, &junxi, &sent, "extend", json!({"days": 23, "reason": "需现场核实"})).await;
    assert_eq!(beyond.problem(422, "invalid").faults(), ["/days:beyond_statutory_limit"]);
    t.run_jobs().await;
    t.set_time("2026-12-04T08:00:00+08:00");
    let junxi = t.staff("junxi").await;
    step(&t, &junxi, &sent, "extend", more).await.problem(409, "extension_too_late");
    let late = t.get(&path(&sent)).by(&junxi).send().await.ok();
    assert_eq!(late["lamp"], "red");
    t.tick().await;
}

#[actix_web::test]
async fn what_a_department_decides_is_forwarded_to_it() {
    let t = TestApp::new().await;
    let mut content = content("department");
    content["department_id"] = json!(t.department("县民政局").await);
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content).await);
    let (cadre, bureau) = (t.staff("cadre").await, t.staff("civil.affairs").await);
    let sent = submitted(&t, &who, matter).await;
    step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    t.get(&path(&sent)).by(&bureau).send().await.problem(404, "not_found");
    let words = json!({"granted": true, "words": "符合条件"});
    step(&t, &cadre, &sent, "decide", words.clone()).await.problem(409, "decided_elsewhere");
    step(&t, &cadre, &sent, "forward", json!({})).await.ok();
    let theirs = t.get("/v1/errands?count=true").by(&bureau).send().await.ok();
    assert_eq!((&theirs["total"], &theirs["items"][0]["id"]), (&json!(1), &sent["id"]));
    assert!(theirs["items"][0]["form"].is_null());
    step(&t, &bureau, &sent, "later", json!({"reason": "须入户核查"})).await.ok();
    step(&t, &bureau, &sent, "return", json!({"reason": "材料不全"})).await.ok();
    step(&t, &cadre, &sent, "forward", json!({})).await.ok();
    // What stands still stays in its sight; what never came to it is none of its business.
    step(&t, &cadre, &sent, "suspend", json!({"reason": "专家评审"})).await.ok();
    let theirs = t.get("/v1/errands?count=true").by(&bureau).send().await.ok();
    assert_eq!((&theirs["total"], &theirs["items"][0]["state"]), (&json!(1), &json!("suspended")));
    t.get(&path(&sent)).by(&bureau).send().await.ok();
    step(&t, &cadre, &sent, "resume", json!({})).await.ok();
    let decided = step(&t, &bureau, &sent, "decide", words).await.ok();
    assert_eq!((&decided["state"], &decided["holder"]["id"]), (&json!("decided"), &json!(cadre.subject)));
    t.run_jobs().await;
}
