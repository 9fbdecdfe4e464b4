//! Orders from being placed to being confirmed: who may make which move, what is shown to whom, what people are told.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    errands::villager,
    harness::{Reply, Session, TestApp},
    helpers::volunteer,
};

pub async fn kind(t: &TestApp, name: &str) -> Value {
    let page = t.get("/v1/order-kinds?county=350425&limit=200").send().await.ok();
    let found = page["items"].as_array().expect("items").iter().find(|kind| kind["name"] == name);
    found.expect(name)["id"].clone()
}

/// What a villager wants this afternoon.
pub async fn wish(t: &TestApp, name: &str) -> Value {
    json!({"kind_id": kind(t, name).await, "wanted_from": "2026-11-23T14:00:00+08:00", "wanted_until": "2026-11-23T16:00:00+08:00",
        "address": "红星村 12 号", "phone": "13950900001", "words": "请带眼镜"})
}

pub async fn placed(t: &TestApp, by: &Session, name: &str) -> Value {
    let body = wish(t, name).await;
    t.post("/v1/orders").by(by).json(body).send().await.created()
}

pub fn path(order: &Value) -> String {
    format!("/v1/orders/{}", order["id"].as_str().expect("an id"))
}

/// Makes a move, by whatever version.
pub async fn step(t: &TestApp, by: &Session, order: &Value, step: &str, body: Value) -> Reply {
    t.post(&format!("{}/{step}", path(order))).by(by).header("if-match", "*").json(body).send().await
}

pub async fn get(t: &TestApp, by: &Session, order: &Value) -> Value {
    t.get(&path(order)).by(by).send().await.ok()
}

pub async fn codes(t: &TestApp, by: &Session, order: &Value) -> (String, String) {
    let codes = t.get(&format!("{}/codes", path(order))).by(by).send().await.ok();
    let text = |name: &str| codes[name].as_str().expect(name).to_owned();
    (text("start_code"), text("finish_code"))
}

pub async fn steps(t: &TestApp, by: &Session, order: &Value) -> Vec<String> {
    let moves = t.get(&format!("{}/moves", path(order))).by(by).send().await.ok();
    moves["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|one| one["step"].as_str().expect("a step").to_owned())
        .collect()
}

pub async fn inbox(t: &TestApp, who: &Session) -> Vec<String> {
    let inbox = t.get("/v1/messages?limit=100").by(who).send().await.ok();
    inbox["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|one| one["kind"].as_str().expect("a kind").to_owned())
        .collect()
}

/// Titles of what waits for staff about orders.
pub async fn todos(t: &TestApp, by: &Session) -> Vec<String> {
    let page = t.get("/v1/todos?limit=100").by(by).send().await.ok();
    let items =
        page["items"].as_array().expect("items").iter().map(|one| one["title"].as_str().expect("a title").to_owned());
    items.filter(|title| title.starts_with("订单")).collect()
}

/// Claimed, begun with the code and finished by somebody.
pub async fn finished(t: &TestApp, who: &Session, by: &Session, name: &str) -> Value {
    let order = placed(t, who, name).await;
    step(t, by, &order, "claim", json!({})).await.ok();
    let (start, _) = codes(t, who, &order).await;
    step(t, by, &order, "start", json!({"code": start})).await.ok();
    let done = step(t, by, &order, "finish", json!({"words": "已办好"})).await.ok();
    t.run_jobs().await;
    done
}

#[actix_web::test]
async fn from_the_wish_to_the_confirmation() {
    let t = TestApp::new().await;
    let (who, specialist, cadre) = (villager(&t, "chen").await, t.staff("specialist").await, t.staff("cadre").await);
    let made = t.post("/v1/orders").by(&who).json(wish(&t, "政策咨询").await).send().await.is(201);
    assert_eq!(made.header("location"), path(&made.body));
    let order = made.body;
    assert_eq!((&order["state"], &order["address"]), (&json!("open"), &json!("红星村 12 号")));
    assert!(order["number"].as_str().expect("a number").starts_with("D261123-"), "{order}");
    // Nobody but the resident's side sees where it is; staff of the unit see that it is there.
    let seen = get(&t, &specialist, &order).await;
    assert_eq!(
        (&seen["address"], &seen["phone"], &seen["words"], &seen["resident"]["name"]),
        (&Value::Null, &Value::Null, &Value::Null, &json!("陈*婆"))
    );
    let claimed = step(&t, &specialist, &order, "claim", json!({})).await.is(200);
    assert_eq!(
        (&claimed["state"], &claimed["held"], &claimed["address"]),
        (&json!("claimed"), &json!(true), &Value::Null)
    );
    assert_eq!(
        (&claimed["holder"]["name"], &claimed["holder"]["kind"]),
        (&json!("红星村特派员"), &json!("specialist"))
    );
    // Until half an hour before it is wanted.
    assert_eq!(claimed["lease_until"], "2026-11-23T13:30:00+08:00");
    step(&t, &cadre, &order, "claim", json!({})).await.problem(409, "order_taken");
    // Whoever holds it sees where and for whom, and that is written down.
    let looks = || t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'read_order'");
    assert_eq!(looks(), 0);
    let seen = get(&t, &specialist, &order).await;
    assert_eq!(
        (&seen["address"], &seen["phone"], &seen["resident"]["name"]),
        (&json!("红星村 12 号"), &json!("13950900001"), &json!("陈阿婆"))
    );
    assert_eq!((looks(), &get(&t, &cadre, &order).await["address"]), (1, &Value::Null));
    step(&t, &cadre, &order, "set_out", json!({})).await.problem(409, "order_not_held");
    step(&t, &specialist, &order, "set_out", json!({})).await.problem(409, "order_too_early");
    t.set_time("2026-11-23T12:00:00+08:00");
    let (who, specialist, cadre) = (t.resident("chen").await, t.staff("specialist").await, t.staff("cadre").await);
    let gone = step(&t, &specialist, &order, "set_out", json!({})).await.ok();
    assert_eq!((&gone["state"], &gone["lease_until"]), (&json!("on_the_way"), &Value::Null));
    step(&t, &specialist, &order, "finish", json!({"words": "讲解了政策"})).await.problem(409, "order_state");
    let none = step(&t, &specialist, &order, "start", json!({})).await.problem(422, "invalid");
    assert_eq!(none.faults(), ["/code:required"]);
    let (start, finish) = codes(&t, &who, &order).await;
    step(&t, &specialist, &order, "start", json!({"code": finish.clone()})).await.problem(409, "order_code_wrong");
    let begun = step(&t, &specialist, &order, "start", json!({"code": start})).await.ok();
    assert_eq!((&begun["state"], &begun["started_how"]), (&json!("at_work"), &json!("code")));
    step(&t, &specialist, &order, "start", json!({"code": start})).await.problem(409, "order_state");
    step(&t, &who, &order, "cancel", json!({"reason": "不用了"})).await.problem(409, "order_state");
    let bare = step(&t, &specialist, &order, "finish", json!({})).await.problem(422, "invalid");
    assert_eq!(bare.faults(), ["/words:required"]);
    step(&t, &specialist, &order, "finish", json!({"words": "讲解了医保政策"})).await.ok();
    // Not by whoever did it, but for the code.
    let own = step(&t, &specialist, &order, "confirm", json!({"without_phone": true, "words": "她说好"})).await;
    assert_eq!(own.problem(422, "invalid").faults(), ["/code:required"]);
    let done = step(&t, &who, &order, "confirm", json!({})).await.ok();
    assert_eq!((&done["state"], &done["confirmed_how"]), (&json!("confirmed"), &json!("in_mini_program")));
    // Afterwards it shows nobody's address any more.
    assert_eq!(get(&t, &specialist, &order).await["address"], Value::Null);
    assert_eq!(steps(&t, &who, &order).await, ["order", "claim", "set_out", "start", "finish", "confirm"]);
    t.run_jobs().await;
    let told = inbox(&t, &who).await;
    // What is over when it is told is not told.
    assert!(!told.contains(&"order_claimed".to_owned()) && !told.contains(&"order_finished".to_owned()), "{told:?}");
    let page = t.get("/v1/orders?held=true&count=true").by(&specialist).send().await.ok();
    assert_eq!(
        (&page["total"], &page["items"][0]["held"], &page["items"][0]["phone"]),
        (&json!(1), &json!(true), &Value::Null)
    );
    let mine = t.get("/v1/orders?state=confirmed").by(&who).send().await.ok();
    assert_eq!(mine["items"][0]["address"], "红星村 12 号");
    let unit = t.get("/v1/orders?state=confirmed&count=true").by(&cadre).send().await.ok();
    assert_eq!(unit["total"], json!(1));
    let by_number = format!("/v1/orders?number={}", order["number"].as_str().expect("a number"));
    assert_eq!(t.get(&by_number).by(&cadre).send().await.ok()["items"][0]["id"], order["id"]);
}

#[actix_web::test]
async fn every_fault_of_a_wish_is_told_at_once() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let body = json!({"kind_id": who.subject, "wanted_from": "2026-11-23T14:00:00+08:00", "wanted_until": "2026-11-23T13:00:00+08:00", "language": "klingon"});
    let wrong = t.post("/v1/orders").by(&who).json(body).send().await.problem(422, "invalid");
    assert_eq!(
        wrong.faults(),
        [
            "/address:required",
            "/kind_id:unknown_kind",
            "/language:unknown_skill",
            "/phone:required",
            "/wanted_until:range"
        ]
    );
    let mut late = wish(&t, "政策咨询").await;
    late["wanted_from"] = json!("2026-11-22T14:00:00+08:00");
    late["wanted_until"] = json!("2026-11-22T15:00:00+08:00");
    let late = t.post("/v1/orders").by(&who).json(late).send().await.problem(422, "invalid");
    assert_eq!(late.faults(), ["/wanted_until:past"]);
    // Somebody else's only if they let one.
    let other = villager(&t, "wang").await;
    let mut body = wish(&t, "政策咨询").await;
    body["resident_id"] = json!(who.subject);
    let refused = t.post("/v1/orders").by(&other).json(body.clone()).send().await.problem(422, "invalid");
    assert_eq!(refused.faults(), ["/resident_id:unknown_resident"]);
    // At the desk, for somebody of the village; where somebody came to the last time is remembered.
    let cadre = t.staff("cadre").await;
    t.post("/v1/orders").by(&cadre).json(body).send().await.created();
    let again = json!({"kind_id": kind(&t, "助餐").await, "phone": "13950900001"});
    let again = t.post("/v1/orders").by(&who).json(again).send().await.created();
    assert_eq!((&again["address"], &again["at_once"]), (&json!("红星村 12 号"), &json!(true)));
    assert_eq!(again["wanted_until"], "2026-11-23T10:00:00+08:00");
    t.run_jobs().await;
}

#[actix_web::test]
async fn the_same_key_orders_once_and_nobody_has_more_open_than_is_possible() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let body = wish(&t, "政策咨询").await;
    let again = || t.post("/v1/orders").by(&who).key("once").json(body.clone()).send();
    let (first, second) = (again().await.created(), again().await.created());
    assert_eq!(first["id"], second["id"]);
    let more = join_all((0..12).map(|_| t.post("/v1/orders").by(&who).json(body.clone()).send())).await;
    let made = more.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 4, "five in all");
    for reply in more.into_iter().filter(|reply| reply.status != 201) {
        reply.problem(409, "order_limit");
    }
    assert_eq!(t.database.count("SELECT count(*) AS n FROM orders"), 5);
}

#[actix_web::test]
async fn only_those_who_fit_and_have_a_place_left() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let (volunteer, helper) = volunteer(&t, "lin", &[]).await;
    let (specialist, admin) = (t.staff("specialist").await, t.staff("admin").await);
    let writing = placed(&t, &who, "文书代写").await;
    let unfit = step(&t, &volunteer, &writing, "claim", json!({})).await.problem(409, "helper_unfit");
    assert_eq!(unfit.faults(), [":skill"]);
    let care = placed(&t, &who, "生活照料").await;
    let unfit = step(&t, &specialist, &care, "claim", json!({})).await.problem(409, "helper_unfit");
    assert_eq!(unfit.faults(), [":kind", ":skill"]);
    let study = placed(&t, &who, "送学上门").await;
    step(&t, &specialist, &study, "claim", json!({})).await.problem(409, "order_assigned");
    // Whoever is no helper does not even see it.
    let nobody = t.resident("nobody").await;
    step(&t, &nobody, &writing, "claim", json!({})).await.problem(404, "not_found");
    // Nobody serves themselves.
    let own = placed(&t, &volunteer, "助餐").await;
    let unfit = step(&t, &volunteer, &own, "claim", json!({})).await.problem(409, "helper_unfit");
    assert_eq!(unfit.faults(), [":own"]);
    // Elsewhere, and when they are away.
    let far = json!({"name": "远方人", "phone": "13950900007", "unit_id": t.unit("石牌镇").await, "identity_seen": "id_card"});
    let far = t.post("/v1/residents").by(&admin).json(far).send().await.created();
    let mut body = wish(&t, "助餐").await;
    body["resident_id"] = far["id"].clone();
    let far = t.post("/v1/orders").by(&admin).json(body).send().await.created();
    let away = json!({"from": "2026-11-23T12:00:00+08:00", "until": "2026-11-24T00:00:00+08:00"});
    t.post("/v1/helpers/me/away").by(&volunteer).json(away).send().await.ok();
    let unfit = step(&t, &volunteer, &far, "claim", json!({})).await.problem(409, "helper_unfit");
    assert_eq!(unfit.faults(), [":hours", ":place"]);
    t.post("/v1/helpers/me/back").by(&volunteer).json(json!({})).send().await.ok();
    // As many as they can, however many they want at once.
    t.database.run("UPDATE helpers SET max_load = 2");
    let other = villager(&t, "wang").await;
    let mut meals = Vec::new();
    for _ in 0..5 {
        meals.push(placed(&t, &other, "助餐").await);
    }
    let claims = join_all(meals.iter().map(|meal| step(&t, &volunteer, meal, "claim", json!({})))).await;
    assert_eq!(claims.iter().filter(|claim| claim.status == 200).count(), 2);
    for claim in claims.into_iter().filter(|claim| claim.status != 200) {
        claim.problem(409, "load_reached");
    }
    assert_eq!(t.database.count("SELECT count(*) AS n FROM orders WHERE holder_id IS NOT NULL"), 2);
    // Somebody who was stopped takes nothing, and what they had claimed is free again.
    let junxi = t.staff("junxi").await;
    crate::helpers::decide(&t, &junxi, &helper, "stop", json!({"reason": "多次爽约"})).await.ok();
    assert_eq!(t.database.count("SELECT count(*) AS n FROM orders WHERE holder_id IS NOT NULL"), 0);
    let told = step(&t, &volunteer, &own, "claim", json!({})).await;
    told.problem(409, "not_a_helper");
    t.run_jobs().await;
    assert!(inbox(&t, &volunteer).await.contains(&"order_lost".to_owned()));
}

#[actix_web::test]
async fn a_hundred_want_one_order_and_exactly_one_has_it() {
    let t = TestApp::with(|setup| {
        setup.config.logins_per_minute = 100_000;
        setup.config.writes_per_minute = 100_000;
    })
    .await;
    let who = villager(&t, "chen").await;
    let unit = t.unit("红星村委会").await;
    let mut all = Vec::new();
    for number in 0..100 {
        let session = t.resident(&format!("helper{number}")).await;
        t.database.run(&format!(
            "INSERT INTO helpers (county_id, id, kind, resident_id, unit_id, state, created_at, updated_at) \
             SELECT county_id, gen_random_uuid(), 'volunteer', id, '{unit}', 'active', created_at, created_at FROM residents WHERE id = '{}'",
            session.subject
        ));
        all.push(session);
    }
    let order = placed(&t, &who, "助餐").await;
    let claims = join_all(all.iter().map(|session| step(&t, session, &order, "claim", json!({})))).await;
    let won: Vec<_> =
        claims.iter().enumerate().filter(|(_, claim)| claim.status == 200).map(|(number, _)| number).collect();
    assert_eq!(won.len(), 1);
    for claim in claims.into_iter().filter(|claim| claim.status != 200) {
        claim.problem(409, "order_taken");
    }
    assert_eq!(t.database.count("SELECT count(*) AS n FROM order_moves WHERE step = 'claim'"), 1);
    t.run_jobs().await;
    assert_eq!(inbox(&t, &who).await, ["order_claimed"]);
    // A repetition is answered as before, also when it has been given back since.
    let order = placed(&t, &who, "助餐").await;
    let claim = || t.post(&format!("{}/claim", path(&order))).by(&all[0]).key("mine").json(json!({})).send();
    let first = claim().await.is(200);
    step(&t, &all[0], &order, "return", json!({"reason": "临时有事"})).await.ok();
    let again = claim().await.is(200);
    assert_eq!((again.header("idempotency-replayed"), &again.body), ("true", &first.body));
    assert_eq!(get(&t, &who, &order).await["state"], "open");
    t.run_jobs().await;
}

#[actix_web::test]
async fn five_wrong_codes_lock_them_also_at_once() {
    let t = TestApp::new().await;
    let (who, specialist, cadre) = (villager(&t, "chen").await, t.staff("specialist").await, t.staff("cadre").await);
    let (order, other) = (placed(&t, &who, "政策咨询").await, placed(&t, &who, "政策咨询").await);
    step(&t, &specialist, &order, "claim", json!({})).await.ok();
    step(&t, &cadre, &other, "claim", json!({})).await.ok();
    let (start, _) = codes(&t, &who, &order).await;
    let (of_other, _) = codes(&t, &who, &other).await;
    // Never for whoever comes; nobody else's tries count.
    t.get(&format!("{}/codes", path(&order))).by(&specialist).send().await.problem(409, "other_side");
    step(&t, &cadre, &order, "start", json!({"code": "000000"})).await.problem(409, "order_not_held");
    if of_other != start {
        step(&t, &specialist, &order, "start", json!({"code": of_other})).await.problem(409, "order_code_wrong");
    }
    let wrong = (0..9).map(|n| format!("{:06}", (start.parse::<u32>().expect("digits") + 1 + n) % 1_000_000));
    let tries = join_all(wrong.map(|code| step(&t, &specialist, &order, "start", json!({"code": code})))).await;
    let codes_of: Vec<_> = tries.iter().map(|reply| reply["code"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(codes_of.iter().filter(|code| *code == "order_code_wrong").count() <= 5, "{codes_of:?}");
    assert!(codes_of.iter().all(|code| code == "order_code_wrong" || code == "order_codes_locked"), "{codes_of:?}");
    step(&t, &specialist, &order, "start", json!({"code": start})).await.problem(409, "order_codes_locked");
    assert_eq!(get(&t, &who, &order).await["codes_locked"], json!(true));
    // New ones, by the resident or at the desk; the old one is good no more.
    step(&t, &specialist, &order, "codes", json!({})).await.problem(409, "other_side");
    step(&t, &cadre, &order, "codes", json!({})).await.ok();
    let (new, _) = codes(&t, &who, &order).await;
    if new != start {
        step(&t, &specialist, &order, "start", json!({"code": start})).await.problem(409, "order_code_wrong");
    }
    let key = |key: &'static str| {
        let call = t.post(&format!("{}/start", path(&order))).by(&specialist).key(key);
        call.json(json!({"code": new})).send()
    };
    let begun = key("begin").await.is(200);
    assert_eq!(key("begin").await.is(200).body, begun.body);
    t.run_jobs().await;
}
