//! The calendar over HTTP.

use lianxin::calendar::import;

use crate::harness::TestApp;

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
