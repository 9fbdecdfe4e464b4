//! Ratings: what the rated could find out from elsewhere, whose word is whose, how often it changes, what phones learn.

use serde_json::{Value, json};

use crate::{
    errands::villager,
    harness::{Reply, Session, TestApp},
    merging::with_phone,
    queue::id,
    ratings::{delivered, rate, ratings, todos},
    staff_login::{bind_code, wechat},
};

async fn reveal(t: &TestApp, by: &Session, of: &Session, reason: &str) {
    let body = json!({"fields": ["name"], "reason": reason});
    t.post(&format!("/v1/residents/{}/reveal", of.subject)).by(by).json(body).send().await.ok();
}

async fn reasons(t: &TestApp, by: &Session, of: &Session) -> Vec<String> {
    let page = t.get(&format!("/v1/residents/{}/audit?limit=200", of.subject)).by(by).send().await.ok();
    let all = page["items"].as_array().expect("items").iter().filter(|look| look["action"] == "reveal");
    all.map(|look| look["reason"].as_str().expect("a reason").to_owned()).collect()
}

async fn put(t: &TestApp, by: &Session, rating: &Value, body: Value) -> Reply {
    t.put(&format!("/v1/ratings/{}", id(rating))).by(by).header("if-match", "*").json(body).send().await
}

#[actix_web::test]
async fn the_rated_do_not_see_who_was_asked_about_it() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let (done, cadre) = delivered(&t, &chen).await;
    rate(&t, &chen, ("errand", &id(&done)), json!({"grade": 1})).await.created();
    let (junxi, supervisor, colleague) =
        (t.staff("junxi").await, t.staff("supervisor").await, t.staff("specialist").await);
    reveal(&t, &colleague, &chen, "电话通知取件").await;
    reveal(&t, &junxi, &chen, "核实评价").await;
    reveal(&t, &t.staff("admin").await, &chen, "复核评价").await;
    let none: [&str; 0] = [];
    assert_eq!(reasons(&t, &cadre, &chen).await, none, "since a bad rating the rated see no look of others");
    assert_eq!(reasons(&t, &colleague, &chen).await, ["电话通知取件"]);
    assert_eq!(reasons(&t, &junxi, &chen).await, ["核实评价", "电话通知取件"]);
    for by in [&chen, &supervisor, &t.staff("admin").await] {
        assert_eq!(reasons(&t, by, &chen).await, ["复核评价", "核实评价", "电话通知取件"]);
    }
    let page = t.get(&format!("/v1/residents/{}/audit?count=true", chen.subject)).by(&cadre).send().await.ok();
    let shown = page["items"].as_array().expect("items").len();
    assert_eq!(page["total"], json!(shown), "what is not shown is not counted either");
}

#[actix_web::test]
async fn an_administrator_who_served_sees_nothing_of_it() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let (done, _) = delivered(&t, &chen).await;
    let (admin, junxi, supervisor) = (t.staff("admin").await, t.staff("junxi").await, t.staff("supervisor").await);
    t.database.run(&format!("UPDATE errand_ledger SET actor_id = '{}' WHERE step = 'accept'", admin.subject));
    let given = rate(&t, &chen, ("errand", &id(&done)), json!({"grade": 2})).await.created();
    assert!(given["served_by"].as_array().expect("a list").contains(&json!(admin.subject)));
    let todo = todos(&t, &junxi).await.pop().expect("the township looks into it");
    assert!(todos(&t, &admin).await.is_empty());
    t.get(&format!("/v1/todos/{}", id(&todo))).by(&admin).send().await.problem(404, "not_found");
    let take = t.post(&format!("/v1/todos/{}/take", id(&todo))).by(&admin).json(json!({})).send().await;
    take.problem(404, "not_found");
    reveal(&t, &junxi, &chen, "核实评价").await;
    let entries = async |by: &Session, query: &str| {
        let page = t.get(&format!("/v1/audit?{query}&entity_id={}&count=true", id(&given))).by(by).send().await.ok();
        page["total"].as_i64().expect("a number")
    };
    assert_eq!((entries(&admin, "entity=rating").await, entries(&supervisor, "entity=rating").await), (0, 1));
    let looks = async |by: &Session| {
        let query = format!("/v1/audit?entity=resident&action=reveal&entity_id={}", chen.subject);
        t.get(&query).by(by).send().await.ok()["items"].as_array().expect("items").len()
    };
    assert_eq!((looks(&admin).await, looks(&supervisor).await), (0, 1));
    assert_eq!(reasons(&t, &admin, &chen).await, Vec::<String>::new());
}

#[actix_web::test]
async fn nobody_rates_themselves_by_their_own_record() {
    let t = TestApp::new().await;
    let me = villager(&t, "phone1").await;
    let (done, cadre) = delivered(&t, &me).await;
    let code = bind_code(&t, &cadre).await.ok()["code"].clone();
    wechat(&t, "phone1", json!({"bind_code": code})).await.session();
    rate(&t, &me, ("errand", &id(&done)), json!({"grade": 5})).await.problem(403, "own_service");
}

#[actix_web::test]
async fn five_changes_and_no_more() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let (done, _) = delivered(&t, &chen).await;
    let given = rate(&t, &chen, ("errand", &id(&done)), json!({"grade": 5})).await.created();
    for grade in [4, 3, 4, 3, 4] {
        put(&t, &chen, &given, json!({"grade": grade})).await.ok();
    }
    put(&t, &chen, &given, json!({"grade": 1})).await.problem(409, "rating_changes");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM rating_entries"), 6);
}

#[actix_web::test]
async fn relatives_see_what_they_said_and_never_what_the_resident_said() {
    let t = TestApp::new().await;
    let (chen, cadre) = (villager(&t, "chen").await, t.staff("cadre").await);
    let daughter = with_phone(&t, "daughter", "林小梅", "13950900002").await;
    let may = json!({"relation": "child", "may": ["errand"], "given_how": "spoken"});
    crate::proxies::authorised(&t, &cadre, &chen.subject.to_string(), &daughter, may).await;
    let (one, _) = delivered(&t, &chen).await;
    let own = rate(&t, &chen, ("errand", &id(&one)), json!({"grade": 1, "words": "要了两条烟"})).await.created();
    put(&t, &daughter, &own, json!({"grade": 5})).await.problem(404, "not_found");
    t.get(&format!("/v1/ratings/{}", id(&own))).by(&daughter).send().await.problem(404, "not_found");
    // What she says herself the resident sees, and may change; then it is the resident's word.
    let (two, _) = delivered(&t, &chen).await;
    let hers = rate(&t, &daughter, ("errand", &id(&two)), json!({"grade": 4})).await.created();
    put(&t, &daughter, &hers, json!({"grade": 5})).await.ok();
    assert_eq!((ratings(&t, &daughter, "").await.len(), ratings(&t, &chen, "").await.len()), (1, 2));
    let told = |gone: bool| {
        let sql = "SELECT count(*) AS n FROM changes WHERE entity = 'rating'";
        t.database.count(&format!("{sql} AND resident_id = '{}' AND gone = {gone}", daughter.subject))
    };
    assert_eq!((told(false), told(true)), (2, 0));
    let changed = put(&t, &chen, &hers, json!({"grade": 2})).await.ok();
    assert_eq!(changed["given_how"], "resident");
    assert!(ratings(&t, &daughter, "").await.is_empty());
    assert_eq!((told(false), told(true)), (2, 1));
    put(&t, &daughter, &hers, json!({"grade": 5})).await.problem(404, "not_found");
}

#[actix_web::test]
async fn phones_learn_of_a_rating_that_moves() {
    let t = TestApp::new().await;
    let chen = with_phone(&t, "chen", "陈阿婆", "13950900001").await;
    let (done, cadre) = delivered(&t, &chen).await;
    let given = rate(&t, &chen, ("errand", &id(&done)), json!({"grade": 5})).await.created();
    let kept = with_phone(&t, "kept", "陈阿婆", "13950900009").await;
    let body = json!({"duplicate_id": chen.subject, "reason": "同一人重复登记", "identity_seen": "id_card"});
    let call = t.post(&format!("/v1/residents/{}/merge", kept.subject)).by(&cadre).header("if-match", "*");
    call.json(body).send().await.ok();
    t.run_jobs().await;
    let told = |of: &Session, gone: bool| {
        let sql = format!("SELECT count(*) AS n FROM changes WHERE entity = 'rating' AND entity_id = '{}'", id(&given));
        t.database.count(&format!("{sql} AND resident_id = '{}' AND gone = {gone}", of.subject))
    };
    assert_eq!((told(&chen, true), told(&kept, false)), (1, 1));
    let kept = t.resident("kept").await;
    let now = t.get(&format!("/v1/ratings/{}", id(&given))).by(&kept).send().await.ok();
    assert_eq!((&now["given_how"], &now["given_by"]), (&json!("resident"), &json!(kept.subject)));
}

#[actix_web::test]
async fn people_are_asked_once_the_next_morning() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let (one, _) = delivered(&t, &chen).await;
    delivered(&t, &chen).await;
    delivered(&t, &chen).await;
    rate(&t, &chen, ("errand", &id(&one)), json!({"grade": 5})).await.created();
    let other = villager(&t, "other").await;
    let (rated, _) = delivered(&t, &other).await;
    rate(&t, &other, ("errand", &id(&rated)), json!({"grade": 5})).await.created();
    let asked = "SELECT count(*) AS n FROM messages WHERE kind = 'please_rate'";
    for (now, expected) in [
        ("2026-11-23T19:00:00+08:00", 0),
        ("2026-11-24T08:59:00+08:00", 0),
        ("2026-11-24T09:00:00+08:00", 1),
        ("2026-11-24T09:01:00+08:00", 1),
        ("2026-11-25T09:00:00+08:00", 1),
    ] {
        t.set_time(now);
        t.tick().await;
        assert_eq!(t.database.count(asked), expected, "{now}");
    }
    let chen = t.resident("chen").await;
    let inbox = t.get("/v1/messages?limit=100").by(&chen).send().await.ok();
    let message = inbox["items"].as_array().expect("items").iter().find(|one| one["kind"] == "please_rate");
    let text = message.expect("asked")["text"].as_str().expect("words");
    assert!(text.contains("2 项") && !text.contains("红星村代办员"), "{text}");
}

#[actix_web::test]
async fn a_county_may_ask_nobody() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    delivered(&t, &chen).await;
    let admin = t.staff("admin").await;
    let off = json!({"value": "off", "reason": "由乡镇电话回访"});
    t.put("/v1/settings/ratings.ask").by(&admin).header("if-match", "*").json(off).send().await.ok();
    t.set_time("2026-11-24T09:00:00+08:00");
    t.tick().await;
    let told =
        "SELECT count(*) + 10 * (SELECT count(*) FROM rating_rounds) AS n FROM messages WHERE kind = 'please_rate'";
    assert_eq!(t.database.count(told), 10, "nobody, and nobody is looked for again today");
}
