//! Numbers of orders for supervisors; orders that are rated; two records of one person.

use serde_json::{Value, json};

use crate::{
    errands::villager,
    harness::TestApp,
    helpers::volunteer,
    orders::{finished, get, placed, step},
};

#[actix_web::test]
async fn supervisors_see_how_things_stand_and_nobody_is_ranked() {
    let t = TestApp::new().await;
    let (who, specialist) = (villager(&t, "chen").await, t.staff("specialist").await);
    let (junxi, supervisor) = (t.staff("junxi").await, t.staff("supervisor").await);
    let done = finished(&t, &who, &specialist, "政策咨询").await;
    step(&t, &who, &done, "confirm", json!({})).await.ok();
    finished(&t, &who, &specialist, "政策咨询").await;
    let dropped = placed(&t, &who, "助餐").await;
    step(&t, &who, &dropped, "cancel", json!({"reason": "不用了"})).await.ok();
    placed(&t, &who, "助餐").await;
    let village = t.unit("红星村委会").await;
    let numbers = t.get("/v1/orders/numbers").by(&junxi).send().await.ok();
    assert_eq!(numbers["items"].as_array().expect("items").len(), 1);
    let here = &numbers["items"][0];
    assert_eq!((&here["id"], &here["open"], &here["unconfirmed"]), (&json!(village), &json!(1), &json!(1)));
    assert_eq!((&here["confirmed"], &here["in_time_rate"], &here["cancelled"]), (&json!(1), &json!(1.0), &json!(1)));
    let by_kind = t.get("/v1/orders/numbers?by=kind").by(&supervisor).send().await.ok();
    assert_eq!(by_kind["items"].as_array().expect("items").len(), 2);
    let past = t.get("/v1/orders/numbers?from=2026-10-01&to=2026-10-31").by(&junxi).send().await.ok();
    assert_eq!((&past["items"][0]["confirmed"], &past["items"][0]["open"]), (&json!(0), &json!(1)));
    t.get("/v1/orders/numbers?from=2026-12-01&to=2026-11-01").by(&junxi).send().await.problem(422, "invalid");
    t.get("/v1/orders/numbers").by(&who).send().await.problem(403, "forbidden");
    let elsewhere = t.unit("石牌镇").await;
    t.get(&format!("/v1/orders/numbers?unit_id={elsewhere}")).by(&junxi).send().await.problem(404, "not_found");
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_was_done_is_rated_once_by_whoever_was_served() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let (lin, _) = volunteer(&t, "lin", &[]).await;
    let open = placed(&t, &who, "助餐").await;
    let rate = |by, order: &Value| {
        let body = json!({"about_kind": "order", "about_id": order["id"], "grade": 5});
        t.post("/v1/ratings").by(by).json(body).send()
    };
    rate(&who, &open).await.problem(409, "not_served");
    let done = finished(&t, &who, &lin, "助餐").await;
    rate(&lin, &done).await.problem(404, "not_found");
    rate(&who, &done).await.created();
    rate(&who, &done).await.problem(409, "already_rated");
    t.run_jobs().await;
}

#[actix_web::test]
async fn orders_go_with_the_record_that_stays() {
    let t = TestApp::new().await;
    let (who, cadre) = (villager(&t, "chen").await, t.staff("cadre").await);
    let body = json!({"name": "陈阿婆", "unit_id": t.unit("红星村委会").await, "identity_seen": "known_in_person"});
    let twice = t.post("/v1/residents").by(&cadre).json(body).send().await.created();
    let mut wish = crate::orders::wish(&t, "助餐").await;
    wish["resident_id"] = twice["id"].clone();
    let order = t.post("/v1/orders").by(&cadre).json(wish).send().await.created();
    assert_eq!((&order["ordered_by"], &order["address"]), (&json!(cadre.subject), &Value::Null));
    let merge = json!({"duplicate_id": twice["id"], "reason": "同一人", "identity_seen": "id_card"});
    t.post(&format!("/v1/residents/{}/merge", who.subject))
        .by(&cadre)
        .header("if-match", "*")
        .json(merge)
        .send()
        .await
        .ok();
    assert_eq!(get(&t, &who, &order).await["address"], "红星村 12 号");
    t.run_jobs().await;
}
