//! The calendar over HTTP.

use chrono::TimeDelta;
use lianxin::calendar::import;
use serde_json::json;

use crate::{
    harness::TestApp,
    openings::{Hall, text},
};

#[actix_web::test]
async fn a_deadline_is_explained_day_by_day() {
    let t = TestApp::new().await;
    let due = t.get("/v1/calendar/due_date?county=350425&from=2026-09-25&working_days=5").send().await.ok();
    assert_eq!((&due["due_on"], &due["provisional"]), (&"2026-10-09".into(), &false.into()));
    assert_eq!(due["due_at"], "2026-10-10T00:00:00+08:00");
    let days = due["days"].as_array().expect("days");
    assert_eq!(days.len(), 15);
    assert_eq!(days[0]["reason"], "day_of_acceptance");
    let day = |date: &str| days.iter().find(|day| day["date"] == date).expect(date).clone();
    assert_eq!(day("2026-10-01")["reason"], "holiday");
    assert_eq!(day("2026-10-01")["name"], "国庆节");
    assert_eq!(day("2026-10-09")["number"], 5);
}

/// The working calendar of 2026 as if it were 2027's: a complete notice.
fn next_year() -> String {
    let file = include_str!("../../data/working-calendar.csv");
    let days = file.lines().filter_map(|line| line.strip_prefix("2026")).filter(|line| !line.contains("workday"));
    days.fold("date,kind,name\n".to_owned(), |all, line| format!("{all}2027{line}\n"))
}

/// A second process, which has not read the calendar yet.
async fn fresh(t: &TestApp) -> TestApp {
    TestApp::with(|setup| setup.config.database_url = Some(t.database.service_url.clone().into())).await
}

#[actix_web::test]
async fn an_unpublished_year_is_provisional_until_it_is_loaded() {
    let t = TestApp::new().await;
    let path = "/v1/calendar/due_date?county=350425&from=2026-12-30&working_days=3";
    let before = t.get(path).send().await.ok();
    assert_eq!((&before["due_on"], &before["provisional"]), (&"2027-01-04".into(), &true.into()));
    // One day of January that an earlier notice mentions counts, but does not make the year known.
    let file = "date,kind,name\n2027-01-01,holiday,元旦\n";
    import::import(&t.app, file.as_bytes(), false, false).await.expect("imports");
    let between = fresh(&t).await.get(path).send().await.ok();
    assert_eq!((&between["due_on"], &between["provisional"]), (&"2027-01-05".into(), &true.into()));
    import::import(&t.app, next_year().as_bytes(), false, false).await.expect("imports");
    let after = fresh(&t).await.get(path).send().await.ok();
    assert_eq!(after["provisional"], false);
    t.pass(TimeDelta::minutes(1));
    t.run_jobs().await;
}

#[actix_web::test]
async fn wrong_parameters_are_listed_all_at_once() {
    let t = TestApp::new().await;
    let reply =
        t.get("/v1/calendar/due_date?from=2026-02-30&working_days=x&day=1").send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["county:required", "day:unknown_field", "from:date", "working_days:type"]);
    let reply = t.get("/v1/calendar/due_date?county=350425&from=2026-01-01&working_days=251").send().await;
    assert_eq!(reply.problem(422, "invalid").faults(), ["working_days:range"]);
    t.get("/v1/calendar/due_date?county=nowhere&from=2026-01-01&working_days=1").send().await.problem(404, "not_found");
}

#[actix_web::test]
async fn the_special_days_of_a_year() {
    let t = TestApp::new().await;
    let year = t.get("/v1/calendar/days?county=350425&year=2026").send().await.ok();
    assert_eq!(year["loaded"], true);
    let make_up = year["days"].as_array().expect("days").iter().filter(|day| day["kind"] == "workday").count();
    assert!(make_up > 0);
    let next = t.get("/v1/calendar/days?county=350425&year=2027").send().await.ok();
    assert_eq!((&next["loaded"], next["days"].as_array().map(Vec::len)), (&false.into(), Some(0)));
}

#[actix_web::test]
async fn days_are_removed_only_when_that_is_meant() {
    let t = TestApp::new().await;
    let file = "date,kind,name\n2026-01-01,holiday,元旦\n";
    let of = |year: i32| format!("SELECT count(*) AS n FROM calendar_days WHERE extract(year FROM day) = {year}");
    let before = t.database.count(&of(2026));
    let refusal = import::import(&t.app, file.as_bytes(), false, false).await.expect_err("days would go").to_string();
    assert!(refusal.contains("--allow-removal"), "{refusal}");
    assert_eq!(t.database.count(&of(2026)), before);
    let imported = import::import(&t.app, file.as_bytes(), false, true).await.expect("imports");
    assert_eq!((imported.created, imported.unchanged, imported.removed as i64), (0, 1, before - 1));
    assert_eq!(t.database.count(&of(2026)), 1);
    assert!(t.database.count(&of(2025)) > 10);
}

/// The calendar of the sample county, and more days.
async fn imported(t: &TestApp, more: &str) {
    let file = format!("{}{more}", include_str!("../../data/working-calendar.csv"));
    import::import(&t.app, file.as_bytes(), false, true).await.expect("imports");
}

/// The processes have read the new calendar, and what it means is looked at.
async fn known(t: &TestApp) {
    t.pass(TimeDelta::minutes(1));
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_day_that_an_import_closes_is_a_todo_of_those_who_have_booked_it() {
    let hall = Hall::new().await;
    let t = &hall.t;
    let (zhang, id) = hall.booked("zhang", "2026-11-25T09:00").await;
    hall.booked("li", "2026-11-26T09:00").await;
    t.run_jobs().await;
    let todos = async || {
        let list = t.get(&format!("/v1/todos?kind=decide&unit_id={}", hall.unit)).by(&hall.junxi).send().await.ok();
        list["items"].as_array().expect("items").clone()
    };
    imported(t, "2026-11-25,holiday,临时放假\n").await;
    assert_eq!(t.run_jobs().await, 0, "other processes may still book by the old calendar");
    known(t).await;
    let waiting = todos().await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(
        (&waiting[0]["about"], &waiting[0]["due_at"]),
        (&json!("closed_day"), &json!("2026-11-25T00:00:00+08:00"))
    );
    let title = text(&waiting[0]["title"]);
    assert!(title.contains("2026-11-25") && title.contains("村级窗口"), "{title}");
    // The same again, and a day more that nobody has booked: nothing is asked twice.
    t.database.run(
        "INSERT INTO outbox (county_id, kind, payload, run_at) VALUES (1, 'days_have_changed', '{\"days\": [\"2026-11-25\"]}', '2026-01-01')",
    );
    imported(t, "2026-11-25,holiday,临时放假\n2026-11-27,holiday,临时放假\n").await;
    known(t).await;
    assert_eq!(todos().await, waiting);
    // It works after all, and then not.
    imported(t, "").await;
    known(t).await;
    assert!(todos().await.is_empty(), "nobody has to decide");
    imported(t, "2026-11-25,holiday,临时放假\n").await;
    known(t).await;
    assert_eq!(todos().await.len(), 1);
    // It leads to the bookings of its windows; once they are decided on it is done.
    let path = format!("/v1/windows/{}", hall.window);
    let list = t.get(&format!("{path}/affected?from=2026-11-25&to=2026-11-25")).by(&hall.junxi).send().await.ok();
    assert_eq!((list["items"].as_array().map(Vec::len), &list["items"][0]["id"]), (Some(1), &json!(id)));
    let body = json!({"from": "2026-11-25", "to": "2026-11-25", "affected": "move"});
    t.post(&format!("{path}/resolve_affected")).by(&hall.junxi).json(body).send().await.ok();
    assert_eq!(hall.seen(&zhang, &id).await["starts_at"], "2026-11-26T09:30:00+08:00");
    assert!(todos().await.is_empty());
    t.run_jobs().await;
}
