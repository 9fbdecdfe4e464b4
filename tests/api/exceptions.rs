//! Dated exceptions: a day closed or specially open.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::Reply,
    openings::{Hall, rule, text, with},
};

fn closed(from: &str, until: &str) -> Value {
    json!({"from_date": from, "until_date": until, "kind": "closed", "reason": "停电检修"})
}

fn open(on: &str, opens: &str, closes: &str) -> Value {
    json!({"from_date": on, "until_date": on, "kind": "open", "opens_at": format!("{opens}:00"), "closes_at": format!("{closes}:00"), "slot_minutes": 30,
        "place": "centre", "capacity_public": 1, "capacity_proxy": 0, "capacity_desk": 0, "reason": "周末无休"})
}

fn like(on: &str, weekday: i32) -> Value {
    json!({"from_date": on, "until_date": on, "kind": "open", "like_weekday": weekday, "reason": "节日无休"})
}

impl Hall {
    pub async fn except(&self, body: Value) -> Reply {
        let body = with(body, json!({"unit_id": self.unit}));
        self.t.post("/v1/opening_exceptions").by(&self.junxi).json(body).send().await
    }
}

#[actix_web::test]
async fn weekends_evenings_and_holidays_are_opened() {
    let hall = Hall::new().await;
    assert_eq!(hall.free("2026-11-28").await.len(), 0, "a Saturday");
    let made = hall.except(open("2026-11-28", "09:00", "10:00")).await.created();
    assert_eq!((made["items"].as_array().map(Vec::len), &made["affected_count"]), (Some(1), &json!(0)));
    assert_eq!(hall.free("2026-11-28").await, ["09:00", "09:30"], "周末无休");
    hall.except(open("2026-11-24", "18:00", "19:00")).await.created();
    assert_eq!(hall.free("2026-11-24").await.len(), 6, "延时服务");
    hall.except(open("2026-11-24", "10:45", "12:00")).await.problem(422, "rules_overlap");
    // New Year's Day opened like a Monday, for one window and for the centre.
    hall.add_rule(with(rule("14:00", "15:00"), json!({"weekdays": [1]}))).await.created();
    hall.t.set_time("2026-09-28T08:00:00+08:00");
    assert_eq!(hall.free("2026-10-01").await.len(), 0, "National Day");
    let only = with(like("2026-10-01", 1), json!({"window_id": hall.window}));
    hall.except(only).await.created();
    assert_eq!(hall.free("2026-10-01").await.len(), 6, "a Thursday like a Monday");
    hall.except(closed("2026-10-01", "2026-10-01")).await.created();
    assert_eq!(hall.free("2026-10-01").await.len(), 0, "closed wins");
    assert_eq!(hall.free("2026-09-20").await.len(), 0, "over");
    hall.t.set_time("2026-09-14T08:00:00+08:00");
    assert_eq!(hall.free("2026-09-20").await.len(), 6, "a make-up workday is a Monday");
    hall.except(closed("2026-09-20", "2026-09-20")).await.created();
    assert_eq!(hall.free("2026-09-20").await.len(), 0);
}

#[actix_web::test]
async fn part_of_a_day_one_window_and_many_days_are_closed() {
    let hall = Hall::new().await;
    let part = with(closed("2026-11-24", "2026-11-24"), json!({"opens_at": "09:15:00", "closes_at": "10:00:00"}));
    let made = hall.except(part).await.created();
    assert_eq!(hall.free("2026-11-24").await, ["10:00", "10:30"], "what it touches");
    let many = hall.except(with(closed("2026-11-25", "2026-11-27"), json!({"window_id": hall.window}))).await.created();
    assert_eq!(many["items"].as_array().map(Vec::len), Some(3));
    for day in ["2026-11-25", "2026-11-26", "2026-11-27"] {
        assert_eq!(hall.free(day).await.len(), 0, "{day}");
    }
    let list =
        |query: &str| hall.t.get(&format!("/v1/opening_exceptions?county=350425&unit_id={}{query}", hall.unit)).send();
    let reply = list("&count=true&limit=2").await;
    let tag = reply.headers["etag"].to_str().expect("text").to_owned();
    let first = reply.ok();
    assert_eq!((&first["total"], &first["items"][0]["date"]), (&json!(4), &json!("2026-11-24")));
    let second = list(&format!("&limit=2&cursor={}", text(&first["next_cursor"]))).await.ok();
    assert_eq!((&second["items"][1]["date"], &second["next_cursor"]), (&json!("2026-11-27"), &Value::Null));
    assert_eq!(list("&from=2026-11-26&to=2026-11-26").await.ok()["items"].as_array().map(Vec::len), Some(1));
    let path = format!("/v1/opening_exceptions?county=350425&unit_id={}&count=true&limit=2", hall.unit);
    assert_eq!(hall.t.get(&path).header("if-none-match", &tag).send().await.status, 304);
    // Removed, the day is as the rules say.
    let path = format!("/v1/opening_exceptions/{}", text(&made["items"][0]["id"]));
    let delete = || hall.t.call(Method::DELETE, &path).by(&hall.junxi).send();
    delete().await.ok();
    assert_eq!(hall.free("2026-11-24").await.len(), 4);
    delete().await.problem(404, "not_found");
    let told = "SELECT count(*) AS n FROM changes WHERE entity = 'opening_exception'";
    assert_eq!(hall.t.database.count(told), 5);
}

#[actix_web::test]
async fn what_cannot_be_is_refused() {
    let hall = Hall::new().await;
    let t = &hall.t;
    let hours = json!({"opens_at": "10:00:00", "closes_at": "09:00:00"});
    let cases = [
        (closed("2026-11-20", "2026-11-24"), "/from_date:past"),
        (closed("2026-11-24", "2026-11-23"), ":days"),
        (closed("2026-11-24", "2027-01-25"), ":days"),
        (with(closed("2026-11-24", "2026-11-24"), hours), ":hours"),
        (with(closed("2026-11-24", "2026-11-24"), json!({"opens_at": "09:00:00"})), ":hours"),
        (with(closed("2026-11-24", "2026-11-24"), json!({"place": "centre"})), ":closed"),
        (with(open("2026-11-24", "18:00", "19:00"), json!({"like_weekday": 1})), ":open"),
        (with(open("2026-11-24", "18:00", "19:00"), json!({"place": null})), ":open"),
        (open("2026-11-24", "18:00", "18:20"), ":hours"),
        (with(like("2026-11-24", 1), json!({"capacity_desk": 1})), ":open"),
        (like("2026-11-24", 8), "/like_weekday:range"),
        (with(closed("2026-11-24", "2026-11-24"), json!({"reason": ""})), "/reason:length"),
        (with(closed("2026-11-24", "2026-11-24"), json!({"window_id": hall.matter})), "/window_id:unknown_window"),
    ];
    for (body, fault) in cases {
        assert_eq!(hall.except(body).await.problem(422, "invalid").faults(), [fault]);
    }
    let far = with(closed("2026-11-24", "2026-11-24"), json!({"unit_id": t.unit("石牌镇").await}));
    let refused = t.post("/v1/opening_exceptions").by(&hall.junxi).json(far).send().await.problem(422, "invalid");
    assert_eq!(refused.faults(), ["/unit_id:unknown_unit"]);
    let near = with(closed("2026-11-24", "2026-11-24"), json!({"unit_id": hall.unit}));
    let foreign = crate::access::foreign_admin(t).await;
    let refused = t.post("/v1/opening_exceptions").by(&foreign).json(near.clone()).send().await.problem(422, "invalid");
    assert_eq!(refused.faults(), ["/unit_id:unknown_unit"]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM opening_exceptions"), 0);
    // Twice with one key is once.
    let once = || t.post("/v1/opening_exceptions").by(&hall.junxi).key("one").json(near.clone()).send();
    let (first, again) = (once().await.created(), once().await);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(first, again.created());
    assert_eq!(t.database.count("SELECT count(*) AS n FROM opening_exceptions"), 1);
    // What is over stays as it was.
    let path = format!("/v1/opening_exceptions/{}", text(&first["items"][0]["id"]));
    t.call(Method::DELETE, &path).by(&foreign).send().await.problem(404, "not_found");
    t.set_time("2026-11-25T08:00:00+08:00");
    let admin = t.staff("admin").await;
    t.call(Method::DELETE, &path).by(&admin).send().await.problem(422, "day_over");
}

#[actix_web::test]
async fn what_a_closed_day_hid_or_a_rule_adds_does_not_open_hours_twice() {
    let hall = Hall::new().await;
    let t = &hall.t;
    let shut = hall.except(closed("2026-11-24", "2026-11-24")).await.created();
    // Nothing is open there: hours that begin askew clash with nothing yet.
    let extra = hall.except(open("2026-11-24", "10:45", "12:15")).await.created();
    let delete = |made: &Value, query: &str| {
        let path = format!("/v1/opening_exceptions/{}{query}", text(&made["items"][0]["id"]));
        t.call(Method::DELETE, &path).by(&hall.junxi).send()
    };
    let refused = delete(&shut, "").await.problem(422, "rules_overlap");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("2026-11-24")), "{}", refused.body);
    delete(&shut, "?dry_run=true").await.problem(422, "rules_overlap");
    assert_eq!(hall.free("2026-11-24").await.len(), 0, "still closed");
    delete(&extra, "").await.ok();
    delete(&shut, "").await.ok();
    assert_eq!(hall.free("2026-11-24").await.len(), 4);
    // A rule that would open hours askew to those of a day to come, new or changed.
    hall.except(open("2026-12-01", "18:00", "19:00")).await.created();
    hall.add_rule(rule("17:15", "18:15")).await.problem(422, "rules_overlap");
    hall.put_rule(rule("17:15", "18:15")).await.problem(422, "rules_overlap");
    hall.add_rule(rule("17:00", "18:00")).await.created();
    assert_eq!(hall.free("2026-12-01").await.len(), 8);
}
