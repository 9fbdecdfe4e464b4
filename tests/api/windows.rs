//! Windows, opening rules and slots.

use serde_json::{Value, json};

use crate::harness::TestApp;

fn rule() -> Value {
    json!({"weekdays": [1, 2, 3, 4, 5], "opens_at": "09:00:00", "closes_at": "11:00:00", "slot_minutes": 30,
        "capacity_public": 1, "capacity_proxy": 2, "capacity_desk": 0, "valid_from": "2026-01-01", "valid_until": null})
}

#[actix_web::test]
async fn a_township_opens_a_window_and_slots_follow_at_once() {
    let t = TestApp::new().await;
    let junxi = t.staff("junxi").await;
    let (unit, matter) = (t.unit("红星村委会").await, t.matter().await);
    let slots = format!("/v1/slots?county=350425&unit_id={unit}&matter_id={matter}&date=2026-11-25");
    assert_eq!(t.get(&slots).send().await.ok()["items"], json!([]));
    let body = json!({"unit_id": unit, "name": "村级窗口", "matter_ids": [matter]});
    let window = t.post("/v1/windows").by(&junxi).json(body.clone()).send().await.created();
    t.post("/v1/windows").by(&junxi).json(body).send().await.problem(409, "name_taken");
    let id = window["id"].as_str().expect("an id").to_owned();
    let with = t.post(&format!("/v1/windows/{id}/opening_rules")).by(&junxi).json(rule()).send().await.created();
    assert_eq!((&with["version"], &with["opening_rules"][0]["weekdays"]), (&json!(2), &json!([1, 2, 3, 4, 5])));
    let free = t.get(&slots).send().await.ok();
    let items = free["items"].as_array().expect("items");
    assert_eq!(items.len(), 4);
    assert_eq!(
        items[0],
        json!({"starts_at": "2026-11-25T09:00:00+08:00", "ends_at": "2026-11-25T09:30:00+08:00", "free": 1, "waited_for": false})
    );
    assert_eq!(t.get(&format!("{slots}&channel=proxy")).send().await.ok()["items"][0]["free"], 2);
    assert_eq!(t.get(&format!("{slots}&channel=desk")).send().await.ok()["items"], json!([]));
    // A closed window offers nothing.
    let close = json!({"name": "村级窗口", "state": "closed", "matter_ids": [matter]});
    t.put(&format!("/v1/windows/{id}")).by(&junxi).header("if-match", "\"2\"").json(close).send().await.ok();
    assert_eq!(t.get(&slots).send().await.ok()["items"], json!([]));
}

#[actix_web::test]
async fn rules_that_cannot_be_are_refused_whole() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let windows = t.get("/v1/windows?county=350425").send().await.ok();
    let path = format!("/v1/windows/{}/opening_rules", windows["items"][0]["id"].as_str().expect("an id"));
    let bad = |change: &[(&str, Value)]| {
        let mut body = rule();
        for (field, value) in change {
            body[*field] = value.clone();
        }
        t.post(&path).by(&admin).json(body).send()
    };
    type Case<'a> = (&'a [(&'a str, Value)], &'a [&'a str]);
    let cases: [Case; 6] = [
        (&[("weekdays", json!([0])), ("slot_minutes", json!(4))], &["/slot_minutes:range", "/weekdays:weekdays"]),
        (&[("weekdays", json!([1, 1]))], &["/weekdays:weekdays"]),
        (
            &[("opens_at", json!("25:00:00")), ("capacity_public", json!("many"))],
            &["/capacity_public:type", "/opens_at:time"],
        ),
        (&[("closes_at", json!("08:00:00"))], &[":hours"]),
        (&[("valid_until", json!("2025-01-01"))], &[":validity"]),
        (
            &[("capacity_public", json!(-1)), ("capacity_desk", json!(1001))],
            &["/capacity_desk:range", "/capacity_public:range"],
        ),
    ];
    for (change, faults) in cases {
        assert_eq!(bad(change).await.problem(422, "invalid").faults(), faults);
    }
}

#[actix_web::test]
async fn only_ones_own_township() {
    let t = TestApp::new().await;
    let junxi = t.staff("junxi").await;
    let (shipai, matter) = (t.unit("石牌镇").await, t.matter().await);
    let body = json!({"unit_id": shipai, "name": "新窗口", "matter_ids": [matter]});
    let reply = t.post("/v1/windows").by(&junxi).json(body).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/unit_id:unknown_unit"]);
    let windows = t.get(&format!("/v1/windows?county=350425&unit_id={shipai}")).send().await.ok();
    let path = format!("/v1/windows/{}/opening_rules", windows["items"][0]["id"].as_str().expect("an id"));
    t.post(&path).by(&junxi).json(rule()).send().await.problem(403, "forbidden");
    let unknown = json!({"unit_id": t.unit("均溪镇").await, "name": "新窗口", "matter_ids": [shipai]});
    let reply = t.post("/v1/windows").by(&junxi).json(unknown).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/matter_ids:unknown_matter"]);
}

#[actix_web::test]
async fn holidays_close_make_up_days_open_and_what_has_begun_is_left_out() {
    let t = TestApp::new().await;
    let (unit, matter) = (t.unit("均溪镇").await, t.matter().await);
    let on = async |date: &str| {
        let slots =
            t.get(&format!("/v1/slots?county=350425&unit_id={unit}&matter_id={matter}&date={date}")).send().await.ok();
        slots["items"].as_array().expect("items").len()
    };
    // 08:00–11:30 and 14:30–17:30: thirteen half hours; the one that begins now has begun.
    assert_eq!((on("2026-11-23").await, on("2026-11-24").await), (12, 13));
    assert_eq!(on("2026-11-28").await, 0, "a Saturday");
    assert_eq!(on("2026-11-20").await, 0, "past");
    t.set_time("2026-09-19T08:00:00+08:00");
    assert_eq!(on("2026-09-20").await, 13, "a Sunday that is worked");
    assert_eq!(on("2026-10-01").await, 0, "National Day");
}
