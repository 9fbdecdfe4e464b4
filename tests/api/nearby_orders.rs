//! Open orders near a helper: only what they fit for, nearest first, never for whom; and how little is read for it.

use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use crate::{
    errands::villager,
    harness::{Session, TestApp},
    helpers::volunteer,
    orders::{placed, step, wish},
};

async fn nearby(t: &TestApp, by: &Session, query: &str) -> Vec<Value> {
    let page = t.get(&format!("/v1/orders/nearby{query}")).by(by).send().await.ok();
    page["items"].as_array().expect("items").clone()
}

#[actix_web::test]
async fn nearest_first_and_only_what_one_fits_for() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let (lin, helper) = volunteer(&t, "lin", &[]).await;
    t.get("/v1/orders/nearby").by(&who).send().await.problem(409, "not_a_helper");
    let at = async |lng: f64, name: &str| {
        let mut body = wish(&t, name).await;
        body["place"] = json!({"lng": lng, "lat": 25.7, "coordinate_system": "wgs84"});
        t.post("/v1/orders").by(&who).json(body).send().await.created()["id"].clone()
    };
    let (far, near) = (at(117.90, "助餐").await, at(117.81, "助餐").await);
    let unplaced = placed(&t, &who, "助餐").await["id"].clone();
    at(117.80, "文书代写").await;
    let ids = |items: &[Value]| items.iter().map(|item| item["id"].clone()).collect::<Vec<_>>();
    let here = nearby(&t, &lin, "?lng=117.8&lat=25.7").await;
    assert_eq!(ids(&here), [near.clone(), far.clone(), unplaced.clone()]);
    assert_eq!((&here[0]["distance_m"], &here[2]["distance_m"]), (&json!(1002), &Value::Null));
    for hidden in ["address", "phone", "resident", "words", "number"] {
        assert!(here[0].get(hidden).is_none(), "{hidden}");
    }
    assert_eq!(ids(&nearby(&t, &lin, "?lng=117.8&lat=25.7&limit=1").await), std::slice::from_ref(&near));
    // Without any point those that run out first come first.
    assert_eq!(nearby(&t, &lin, "").await.len(), 3);
    let wrong = t.get("/v1/orders/nearby?lng=200").by(&lin).send().await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["lat:required"]);
    let wrong = t.get("/v1/orders/nearby?lng=200&lat=95").by(&lin).send().await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["lat:range", "lng:range"]);
    // Elsewhere only within one's distance.
    let admin = t.staff("admin").await;
    let body = json!({"name": "远方人", "phone": "13950900007", "unit_id": t.unit("石牌镇").await, "identity_seen": "id_card"});
    let other = t.post("/v1/residents").by(&admin).json(body).send().await.created();
    let mut body = wish(&t, "助餐").await;
    body["resident_id"] = other["id"].clone();
    body["place"] = json!({"lng": 117.785, "lat": 25.7, "coordinate_system": "wgs84"});
    let beyond = t.post("/v1/orders").by(&admin).json(body).send().await.created()["id"].clone();
    assert!(!ids(&nearby(&t, &lin, "?lng=117.8&lat=25.7").await).contains(&beyond));
    t.database.run(&format!(
        "UPDATE helpers SET lng = 117.8, lat = 25.7, radius_m = 5000 WHERE id = '{}'",
        helper["id"].as_str().expect("an id")
    ));
    // In another township only where somebody has granted it.
    assert_eq!(ids(&nearby(&t, &lin, "").await), [near.clone(), far.clone(), unplaced.clone()]);
    t.database.run(&format!(
        "INSERT INTO helper_units (county_id, helper_id, unit_id, granted) VALUES (1, '{}', '{}', true)",
        helper["id"].as_str().expect("an id"),
        t.unit("石牌镇").await
    ));
    assert_eq!(ids(&nearby(&t, &lin, "").await), [near.clone(), beyond.clone(), far, unplaced]);
    // What is taken is gone.
    let claimed = json!({"id": near});
    step(&t, &lin, &claimed, "claim", json!({})).await.ok();
    assert!(!ids(&nearby(&t, &lin, "").await).contains(&near));
    t.run_jobs().await;
}

/// With many more open orders than anybody reads.
#[actix_web::test]
async fn however_many_lie_open() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let (lin, helper) = volunteer(&t, "lin", &[]).await;
    placed(&t, &who, "助餐").await;
    t.database.run(&format!(
        "UPDATE helpers SET lng = 117.8, lat = 25.7, radius_m = 8000 WHERE id = '{}'",
        helper["id"].as_str().expect("an id")
    ));
    let mut owner = t.database.owner();
    let many = "SET session_replication_role = replica; \
         INSERT INTO orders (county_id, id, number, kind_id, resident_id, unit_id, state, wanted_from, wanted_until, at_once, skills, taken_by, dispatch, evidence, money, duration_minutes, \
           grab_minutes, start_minutes, lng, lat, opened_at, moves, created_at, updated_at) \
         SELECT o.county_id, gen_random_uuid(), 'D261122-' || lpad(n::text, 6, '0'), o.kind_id, o.resident_id, (ARRAY(SELECT id FROM units WHERE county_id = 1))[1 + n % 250], 'open', \
           o.wanted_from, o.wanted_until, false, '{}', o.taken_by, 'grab', 'none', false, 30, 10, 30, 117.5 + random() * 0.7, 25.5 + random() * 0.5, o.opened_at, 1, o.created_at, o.updated_at \
         FROM orders o CROSS JOIN generate_series(1, 100000) n; \
         SET session_replication_role = origin; ANALYZE orders";
    // Beside the test, whose connections would run dry meanwhile.
    tokio::task::spawn_blocking(move || owner.batch_execute(many)).await.expect("runs").expect(many);
    let items = nearby(&t, &lin, "").await;
    assert_eq!(items.len(), 20);
    let distances: Vec<_> = items.iter().map(|item| item["distance_m"].as_i64().expect("a distance")).collect();
    assert!(distances.is_sorted() && distances[19] <= 8000, "{distances:?}");
    t.run_jobs().await;
}
