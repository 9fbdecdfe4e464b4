//! Orders that come again: made some days ahead, each once; paused, changed, left out, ended.

use serde_json::{Value, json};

use crate::{
    errands::villager,
    harness::{Session, TestApp},
    orders::{get, kind, step},
};

async fn meals(t: &TestApp, rrule: &str) -> Value {
    json!({"kind_id": kind(t, "助餐").await, "address": "红星村 12 号", "phone": "13950900001",
        "rhythm": {"rrule": rrule, "from_time": "11:00:00", "minutes": 60, "skip_holidays": true, "from_on": "2026-11-23", "until_on": "2027-05-23"}})
}

async fn days(t: &TestApp, by: &Session, series: &Value, state: &str) -> Vec<String> {
    let path = format!("/v1/orders?series_id={}&state={state}&limit=200", series["id"].as_str().expect("an id"));
    let page = t.get(&path).by(by).send().await.ok();
    let mut days: Vec<_> = page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|order| order["occurrence"].as_str().expect("a day")[5..].to_owned())
        .collect();
    days.sort();
    days
}

async fn act(t: &TestApp, by: &Session, series: &Value, verb: &str, body: Value) -> crate::harness::Reply {
    let path = format!("/v1/order-series/{}/{verb}", series["id"].as_str().expect("an id"));
    t.post(&path).by(by).json(body).send().await
}

#[actix_web::test]
async fn a_meal_every_working_day_each_once() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let body = meals(&t, "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR").await;
    let series = t.post("/v1/order-series").by(&who).json(body).send().await.created();
    assert_eq!(
        (&series["state"], &series["address"], &series["planned_until"]),
        (&json!("active"), &json!("红星村 12 号"), &json!("2026-11-30"))
    );
    let week = ["11-23", "11-24", "11-25", "11-26", "11-27", "11-30"];
    assert_eq!(days(&t, &who, &series, "open").await, week);
    t.tick().await;
    t.tick().await;
    assert_eq!(days(&t, &who, &series, "open").await, week);
    // A dispatcher is not asked about next week's; nor do they count as open orders of the resident.
    let junxi = t.staff("junxi").await;
    assert_eq!(crate::orders::todos(&t, &junxi).await, Vec::<String>::new());
    let first = t.get("/v1/orders?state=open&limit=1").by(&who).send().await.ok()["items"][0].clone();
    assert_eq!(
        (&first["wanted_from"], &first["wanted_until"]),
        (&json!("2026-11-23T11:00:00+08:00"), &json!("2026-11-23T12:00:00+08:00"))
    );
    assert_eq!(
        (&first["series_id"], &first["phone"], &first["ordered_by"]),
        (&series["id"], &json!("13950900001"), &Value::Null)
    );
    t.set_time("2026-11-24T08:10:00+08:00");
    t.tick().await;
    let who = t.resident("chen").await;
    assert_eq!(days(&t, &who, &series, "open").await, ["11-24", "11-25", "11-26", "11-27", "11-30", "12-01"]);
    assert_eq!(days(&t, &who, &series, "expired").await, ["11-23"]);
}

#[actix_web::test]
async fn on_statutory_holidays_nobody_comes_unless_it_is_wanted() {
    let t = TestApp::new().await;
    t.set_time("2026-09-28T08:00:00+08:00");
    let who = villager(&t, "chen").await;
    let mut body = meals(&t, "FREQ=DAILY").await;
    body["rhythm"]["from_on"] = json!("2026-09-28");
    body["rhythm"]["until_on"] = json!("2026-10-31");
    let series = t.post("/v1/order-series").by(&who).json(body.clone()).send().await.created();
    assert_eq!(days(&t, &who, &series, "open").await, ["09-28", "09-29", "09-30"]);
    body["rhythm"]["skip_holidays"] = json!(false);
    let series = t.post("/v1/order-series").by(&who).json(body).send().await.created();
    assert_eq!(days(&t, &who, &series, "open").await.len(), 8);
}

#[actix_web::test]
async fn changes_touch_only_what_is_to_come_and_nobody_has_taken() {
    let t = TestApp::new().await;
    let (who, specialist) = (villager(&t, "chen").await, t.staff("specialist").await);
    let series = t.post("/v1/order-series").by(&who).json(meals(&t, "FREQ=DAILY").await).send().await.created();
    let page = t.get("/v1/orders?state=open&limit=200").by(&who).send().await.ok();
    let of = |day: &str| {
        let items = page["items"].as_array().expect("items").iter();
        items.clone().find(|order| order["occurrence"] == day).expect("an order").clone()
    };
    let taken = of("2026-11-25");
    step(&t, &specialist, &taken, "claim", json!({})).await.ok();
    let skipped = act(&t, &who, &series, "skip", json!({"on": "2026-11-26"})).await.ok();
    let wrong = act(&t, &who, &series, "skip", json!({"on": "2026-11-20"})).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/on:no_occurrence"]);
    assert_eq!(get(&t, &who, &of("2026-11-26")).await["state"], "cancelled");
    let path = format!("/v1/order-series/{}", series["id"].as_str().expect("an id"));
    let mut rhythm = json!({"rrule": "FREQ=DAILY;INTERVAL=2", "from_time": "12:00:00", "minutes": 30, "from_on": "2026-11-23", "until_on": "2026-12-23"});
    t.put(&path).by(&who).header("if-match", "\"1\"").json(rhythm.clone()).send().await.problem(412, "version_stale");
    let changed = t.put(&path).by(&who).header("if-match", "*").json(rhythm.clone()).send().await.ok();
    assert_eq!((&changed["from_time"], skipped["version"] != changed["version"]), (&json!("12:00:00"), true));
    assert_eq!(days(&t, &who, &series, "open").await, ["11-23", "11-27", "11-29"]);
    assert_eq!(get(&t, &who, &taken).await["wanted_from"], "2026-11-25T11:00:00+08:00");
    rhythm["rrule"] = json!("FREQ=HOURLY");
    rhythm["from_on"] = json!("2026-11-24");
    let wrong = t.put(&path).by(&who).header("if-match", "*").json(rhythm).send().await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/from_on:unchangeable", "/rrule:rrule_kind"]);
    act(&t, &who, &series, "resume", json!({})).await.problem(409, "series_state");
    act(&t, &who, &series, "pause", json!({})).await.ok();
    assert_eq!(days(&t, &who, &series, "open").await, Vec::<String>::new());
    assert_eq!(days(&t, &who, &series, "claimed").await, ["11-25"]);
    t.tick().await;
    assert_eq!(days(&t, &who, &series, "open").await, Vec::<String>::new());
    act(&t, &who, &series, "resume", json!({})).await.ok();
    assert_eq!(days(&t, &who, &series, "open").await, ["11-23", "11-27", "11-29"]);
    act(&t, &who, &series, "end", json!({})).await.ok();
    act(&t, &who, &series, "resume", json!({})).await.problem(409, "series_state");
    assert_eq!(days(&t, &who, &series, "open").await, Vec::<String>::new());
    let stranger = t.resident("stranger").await;
    t.get(&path).by(&stranger).send().await.problem(404, "not_found");
    act(&t, &stranger, &series, "end", json!({})).await.problem(404, "not_found");
    let list = t.get("/v1/order-series").by(&specialist).send().await.ok();
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["address"]), (&series["id"], &Value::Null));
    t.run_jobs().await;
}

#[actix_web::test]
async fn rules_that_cannot_be() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    for (rrule, fault) in [
        ("every day", "/rhythm/rrule:rrule"),
        ("FREQ=SECONDLY", "/rhythm/rrule:rrule_kind"),
        ("FREQ=DAILY;BYMINUTE=5", "/rhythm/rrule:rrule_kind"),
    ] {
        let body = meals(&t, rrule).await;
        let wrong = t.post("/v1/order-series").by(&who).json(body).send().await.problem(422, "invalid");
        assert_eq!(wrong.faults(), [fault], "{rrule}");
    }
    let mut body = meals(&t, "FREQ=DAILY").await;
    body["rhythm"]["until_on"] = json!("2028-11-23");
    body["address"] = Value::Null;
    let wrong = t.post("/v1/order-series").by(&who).json(body).send().await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/address:required", "/rhythm/until_on:range"]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM order_series"), 0);
}
