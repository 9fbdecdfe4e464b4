//! What protects both sides of an order: codes that belong to one claim, tries that nobody takes back, places that nobody harvests.

use serde_json::{Value, json};

use crate::{
    errands::villager,
    harness::TestApp,
    helpers::volunteer,
    orders::{codes, finished, get, inbox, path, placed, step},
};

#[actix_web::test]
async fn codes_belong_to_one_claim() {
    let t = TestApp::new().await;
    let (who, specialist, cadre) = (villager(&t, "chen").await, t.staff("specialist").await, t.staff("cadre").await);
    let order = placed(&t, &who, "政策咨询").await;
    // Nobody sees codes before somebody has it: whoever looks could claim it next.
    for by in [&who, &specialist] {
        t.get(&format!("{}/codes", path(&order))).by(by).send().await.problem(409, "order_state");
    }
    step(&t, &specialist, &order, "claim", json!({})).await.ok();
    let (start, _) = codes(&t, &cadre, &order).await;
    step(&t, &specialist, &order, "return", json!({"reason": "临时有事"})).await.ok();
    step(&t, &cadre, &order, "claim", json!({})).await.ok();
    step(&t, &cadre, &order, "start", json!({"code": start})).await.problem(409, "order_code_wrong");
    let (start, _) = codes(&t, &who, &order).await;
    step(&t, &cadre, &order, "start", json!({"code": start})).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn no_other_move_takes_back_wrong_tries() {
    let t = TestApp::new().await;
    let (who, specialist) = (villager(&t, "chen").await, t.staff("specialist").await);
    let order = placed(&t, &who, "政策咨询").await;
    step(&t, &specialist, &order, "claim", json!({})).await.ok();
    let (start, _) = codes(&t, &who, &order).await;
    let wrong = if start == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        step(&t, &specialist, &order, "worry", json!({"words": "敲门无人应"})).await.ok();
        step(&t, &specialist, &order, "start", json!({"code": wrong})).await.problem(409, "order_code_wrong");
    }
    step(&t, &specialist, &order, "worry", json!({})).await.ok();
    step(&t, &specialist, &order, "start", json!({"code": start})).await.problem(409, "order_codes_locked");
    assert_eq!(get(&t, &who, &order).await["codes_locked"], true);
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_gives_it_back_does_not_take_it_again_that_day() {
    let t = TestApp::new().await;
    let (who, specialist, junxi) = (villager(&t, "chen").await, t.staff("specialist").await, t.staff("junxi").await);
    let order = placed(&t, &who, "政策咨询").await;
    step(&t, &specialist, &order, "claim", json!({})).await.ok();
    step(&t, &specialist, &order, "return", json!({"reason": "临时有事"})).await.ok();
    let again = step(&t, &specialist, &order, "claim", json!({})).await.problem(409, "helper_unfit");
    assert_eq!(again.faults(), [":returned"]);
    // A dispatcher has asked them.
    let helper = json!({"helper_id": specialist.subject});
    step(&t, &junxi, &order, "assign", helper).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn nobody_is_on_the_way_days_before() {
    let t = TestApp::new().await;
    let (who, specialist) = (villager(&t, "chen").await, t.staff("specialist").await);
    let order = placed(&t, &who, "政策咨询").await;
    step(&t, &specialist, &order, "claim", json!({})).await.ok();
    let early = step(&t, &specialist, &order, "set_out", json!({})).await.problem(409, "order_too_early");
    assert!(early.body["detail"].as_str().is_some_and(|text| text.contains("11-23 12:00")), "{}", early.body);
    t.set_time("2026-11-23T12:00:00+08:00");
    let specialist = t.staff("specialist").await;
    step(&t, &specialist, &order, "set_out", json!({})).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_helps_no_more_holds_nothing_under_way() {
    let t = TestApp::new().await;
    let (who, cadre) = (villager(&t, "chen").await, t.staff("cadre").await);
    let order = placed(&t, &who, "政策咨询").await;
    step(&t, &cadre, &order, "claim", json!({})).await.ok();
    let (start, _) = codes(&t, &who, &order).await;
    step(&t, &cadre, &order, "start", json!({"code": start})).await.ok();
    t.run_jobs().await;
    // The post ends, the account stays.
    let admin = t.staff("admin").await;
    let member = t.get(&format!("/v1/staff/{}", cadre.subject)).by(&admin).send().await.ok();
    let post = member["posts"][0]["id"].as_str().expect("a post");
    let end = format!("/v1/staff/{}/posts/{post}/end", cadre.subject);
    t.post(&end).by(&admin).header("if-match", "*").json(json!({})).send().await.ok();
    t.run_jobs().await;
    let now = get(&t, &who, &order).await;
    assert_eq!((&now["state"], &now["holder"]), (&json!("open"), &Value::Null));
}

#[actix_web::test]
async fn whoever_is_asked_to_see_to_it_learns_where() {
    let t = TestApp::new().await;
    let (who, specialist, cadre) = (villager(&t, "chen").await, t.staff("specialist").await, t.staff("cadre").await);
    let order = placed(&t, &who, "政策咨询").await;
    step(&t, &specialist, &order, "claim", json!({})).await.ok();
    step(&t, &specialist, &order, "worry", json!({"words": "敲门无人应，灯亮着"})).await.ok();
    let notes = t.get(&format!("{}/notes", path(&order))).by(&cadre).send().await.ok();
    assert_eq!(
        (&notes["items"][0]["kind"], &notes["items"][0]["words"]),
        (&json!("worry"), &json!("敲门无人应，灯亮着"))
    );
    let reveal = format!("{}/reveal", path(&order));
    let body = json!({"reason": "特派员上门无人应答"});
    let seen = t.post(&reveal).by(&cadre).json(body.clone()).send().await.is(200);
    assert_eq!((&seen.body["address"], &seen.body["phone"]), (&json!("红星村 12 号"), &json!("13950900001")));
    assert_eq!(seen.header("cache-control"), "no-store");
    t.post(&reveal).by(&who).json(body.clone()).send().await.problem(403, "forbidden");
    t.post(&reveal).by(&t.staff("supervisor").await).json(body).send().await.problem(403, "forbidden");
    let looks = t.get(&format!("/v1/residents/{}/audit", who.subject)).by(&who).send().await.ok();
    let looked = looks["items"].as_array().expect("items").iter().any(|look| look["action"] == "reveal_order");
    assert!(looked, "the resident sees who looked: {looks}");
    t.run_jobs().await;
}

#[actix_web::test]
async fn both_sides_hear_how_a_dispute_was_settled() {
    let t = TestApp::new().await;
    let (who, (helper, _)) = (villager(&t, "chen").await, volunteer(&t, "vol", &["care"]).await);
    let order = placed(&t, &who, "生活照料").await;
    step(&t, &helper, &order, "claim", json!({})).await.ok();
    let (start, _) = codes(&t, &who, &order).await;
    step(&t, &helper, &order, "start", json!({"code": start})).await.ok();
    step(&t, &helper, &order, "finish", json!({"words": "已陪护两小时"})).await.ok();
    step(&t, &who, &order, "dispute", json!({"reason": "没有来满两小时"})).await.ok();
    let junxi = t.staff("junxi").await;
    let words = "只来了半小时，重新安排";
    step(&t, &junxi, &order, "settle", json!({"done": false, "words": words})).await.ok();
    t.run_jobs().await;
    assert!(inbox(&t, &who).await.contains(&"order_settled".to_owned()));
    assert!(inbox(&t, &helper).await.contains(&"order_settled".to_owned()));
    let heard = t.get(&format!("{}/notes", path(&order))).by(&who).send().await.ok();
    assert!(heard["items"].as_array().expect("items").iter().any(|note| note["words"] == words), "{heard}");
    t.get(&path(&order)).by(&helper).send().await.problem(404, "not_found");
}

#[actix_web::test]
async fn the_holders_own_word_counts_as_what_it_is() {
    let t = TestApp::new().await;
    let (who, specialist, junxi) = (villager(&t, "chen").await, t.staff("specialist").await, t.staff("junxi").await);
    let (lin, _) = volunteer(&t, "lin", &[]).await;
    let vouched = json!({"without_phone": true, "words": "老人没有手机，当面开始"});
    let meal = placed(&t, &who, "助餐").await;
    step(&t, &lin, &meal, "claim", json!({})).await.ok();
    step(&t, &lin, &meal, "start", vouched.clone()).await.problem(409, "other_side");
    let order = placed(&t, &who, "政策咨询").await;
    step(&t, &specialist, &order, "claim", json!({})).await.ok();
    let bare = step(&t, &specialist, &order, "start", json!({"without_phone": true})).await.problem(422, "invalid");
    assert_eq!(bare.faults(), ["/words:required"]);
    let begun = step(&t, &specialist, &order, "start", vouched.clone()).await.ok();
    assert_eq!((&begun["state"], &begun["started_how"]), (&json!("at_work"), &json!("own_word")));
    step(&t, &specialist, &order, "finish", json!({"words": "讲解了政策"})).await.ok();
    // The end is never theirs to confirm.
    step(&t, &specialist, &order, "confirm", vouched).await.problem(422, "invalid");
    step(&t, &who, &order, "confirm", json!({})).await.ok();
    let other = finished(&t, &who, &specialist, "政策咨询").await;
    step(&t, &who, &other, "confirm", json!({})).await.ok();
    let numbers = t.get("/v1/orders/numbers").by(&junxi).send().await.ok();
    let here = &numbers["items"][0];
    assert_eq!((&here["confirmed"], &here["own_word"]), (&json!(2), &json!(1)));
    let listed = t.get("/v1/orders?started_how=own_word&count=true").by(&junxi).send().await.ok();
    assert_eq!((&listed["total"], &listed["items"][0]["id"]), (&json!(1), &order["id"]));
    t.run_jobs().await;
}

#[actix_web::test]
async fn nobody_gives_back_one_after_the_other() {
    let t = TestApp::new().await;
    let (who, specialist, junxi) = (villager(&t, "chen").await, t.staff("specialist").await, t.staff("junxi").await);
    let mut last = Value::Null;
    // What a dispatcher takes away does not count.
    for by in [&junxi, &specialist, &specialist, &specialist] {
        last = placed(&t, &who, "政策咨询").await;
        step(&t, &specialist, &last, "claim", json!({})).await.ok();
        step(&t, by, &last, "return", json!({"reason": "临时有事"})).await.ok();
    }
    let helper = json!({"helper_id": specialist.subject});
    step(&t, &junxi, &last, "assign", helper.clone()).await.ok();
    let refused = step(&t, &specialist, &last, "return", json!({"reason": "临时有事"})).await;
    refused.problem(409, "too_many_returns");
    assert_eq!(get(&t, &who, &last).await["state"], "claimed");
    // The dispatcher sees to it; the next day is another.
    step(&t, &junxi, &last, "return", json!({"reason": "已与特派员沟通"})).await.ok();
    t.run_jobs().await;
    t.set_time("2026-11-24T08:00:00+08:00");
    let (who, specialist) = (t.resident("chen").await, t.staff("specialist").await);
    let mut body = crate::orders::wish(&t, "政策咨询").await;
    body["wanted_from"] = json!("2026-11-24T14:00:00+08:00");
    body["wanted_until"] = json!("2026-11-24T16:00:00+08:00");
    let next = t.post("/v1/orders").by(&who).json(body).send().await.created();
    step(&t, &specialist, &next, "claim", json!({})).await.ok();
    step(&t, &specialist, &next, "return", json!({"reason": "临时有事"})).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_sends_too_much_uses_up_no_try_of_the_code() {
    let t = TestApp::with(|setup| setup.config.writes_per_minute = 6).await;
    let (who, specialist) = (villager(&t, "chen").await, t.staff("specialist").await);
    let order = placed(&t, &who, "政策咨询").await;
    step(&t, &specialist, &order, "claim", json!({})).await.ok();
    step(&t, &specialist, &order, "worry", json!({})).await.ok();
    let (start, _) = codes(&t, &who, &order).await;
    let wrong = if start == "000000" { "000001" } else { "000000" };
    for _ in 0..4 {
        step(&t, &specialist, &order, "start", json!({"code": wrong})).await.problem(409, "order_code_wrong");
    }
    step(&t, &specialist, &order, "start", json!({"code": wrong})).await.problem(429, "too_many_requests");
    assert_eq!(t.database.count("SELECT tries::bigint AS n FROM orders"), 4);
    t.run_jobs().await;
}
