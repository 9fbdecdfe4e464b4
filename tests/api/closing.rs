//! Who did not come, who is excused, who was visited, and the end of the day.

use serde_json::{Value, json};

use crate::{
    harness::TestApp,
    queue::{act, arrive, at, booked, desk, id, line, walk_in},
};

async fn state(t: &TestApp, appointment: &str) -> Value {
    let admin = t.staff("admin").await;
    t.get(&format!("/v1/appointments/{appointment}")).by(&admin).send().await.ok()["state"].clone()
}

#[actix_web::test]
async fn a_no_show_is_noted_after_the_grace_and_can_be_excused() {
    let t = TestApp::new().await;
    let mine = booked(&t, "zhang", "09:00").await;
    let junxi = desk(&t, "09:15").await;
    let (note, excuse) = (format!("/v1/appointments/{mine}/no_show"), format!("/v1/appointments/{mine}/excuse"));
    let early = act(&t, &junxi, &note, json!({})).await.problem(409, "no_show_too_early");
    assert_eq!(early["possible_at"], at("09:15"));
    act(&t, &junxi, &excuse, json!({"reason": "登记有误"})).await.problem(409, "not_booked");
    t.set_time(&at("09:16"));
    let noted = act(&t, &junxi, &note, json!({})).await.ok();
    assert_eq!(noted["state"], "no_show");
    assert_eq!(act(&t, &junxi, &note, json!({})).await.ok(), noted, "pressed twice");
    act(&t, &junxi, &format!("/v1/appointments/{mine}/arrive"), json!({})).await.problem(409, "cannot_arrive");
    let short = act(&t, &junxi, &excuse, json!({"reason": "x"})).await.problem(422, "invalid");
    assert_eq!(short.faults(), ["/reason:length"]);
    let excused = act(&t, &junxi, &excuse, json!({"reason": "登记有误"})).await.ok();
    assert_eq!((&excused["state"], &excused["cancel_reason"]), (&json!("cancelled"), &json!("登记有误")));
    act(&t, &junxi, &excuse, json!({"reason": "登记有误"})).await.problem(409, "not_booked");
    let entry = "SELECT count(*) AS n FROM audit_log WHERE action = 'excuse' AND reason = '登记有误'";
    assert_eq!(t.database.count(entry), 1);
    let cadre = t.staff("cadre").await;
    act(&t, &cadre, &note, json!({})).await.problem(404, "not_found");
    t.run_jobs().await;
}

#[actix_web::test]
async fn at_home_nobody_stands_in_line() {
    let t = TestApp::new().await;
    let mine = booked(&t, "zhang", "09:00").await;
    t.database.run(&format!("UPDATE appointments SET place = 'home' WHERE id = '{mine}'"));
    let junxi = desk(&t, "08:50").await;
    let finish = format!("/v1/appointments/{mine}/finish");
    let early = act(&t, &junxi, &finish, json!({})).await.problem(409, "not_begun");
    assert_eq!(early["possible_at"], at("09:00"));
    t.set_time(&at("09:00"));
    let done = act(&t, &junxi, &finish, json!({})).await.ok();
    assert_eq!((&done["state"], &done["ticket"]), (&json!("done"), &json!(null)));
    assert_eq!(act(&t, &junxi, &finish, json!({})).await.ok(), done, "pressed twice");
    t.run_jobs().await;
}

#[actix_web::test]
async fn the_end_of_the_day_closes_what_is_open() {
    let t = TestApp::new().await;
    let mut all = Vec::new();
    for (number, time) in ["08:30", "09:00", "09:30", "10:00", "10:30"].iter().enumerate() {
        all.push(booked(&t, &format!("r{number}"), time).await);
    }
    let junxi = desk(&t, "08:35").await;
    let windows = line(&t, &junxi).await["windows"].clone();
    for appointment in &all[..3] {
        arrive(&t, &junxi, appointment).await;
    }
    walk_in(&t, &junxi).await;
    for (appointment, window) in all[..2].iter().zip([0, 1]) {
        let body = json!({"window_id": id(&windows[window])});
        act(&t, &junxi, &format!("/v1/appointments/{appointment}/call"), body).await.ok();
    }
    act(&t, &junxi, &format!("/v1/appointments/{}/serve", all[0]), json!({})).await.ok();
    t.database.run(&format!("UPDATE appointments SET place = 'home' WHERE id = '{}'", all[4]));
    t.run_jobs().await;
    // Not before the day is over.
    t.set_time(&at("23:59"));
    lianxin::jobs::sweep(&t.app).await.expect("swept");
    assert_eq!(state(&t, &all[0]).await, "serving");
    assert_eq!(state(&t, &all[3]).await, "booked");
    // Two days later, because nothing was running: everything at once, and once.
    t.set_time("2026-11-25T00:10:00+08:00");
    for _ in 0..2 {
        lianxin::jobs::sweep(&t.app).await.expect("swept");
    }
    t.run_jobs().await;
    for (appointment, expected) in all.iter().zip(["done", "missed", "cancelled", "no_show", "cancelled"]) {
        assert_eq!(state(&t, appointment).await, expected, "{appointment}");
    }
    let live =
        "SELECT count(*) AS n FROM appointments WHERE state IN ('held', 'booked', 'arrived', 'called', 'serving')";
    assert_eq!(t.database.count(live), 0, "the walk-in too");
    // Who waited in vain, and whose visit nobody noted, gets a call; nobody can call a walk-in without a name.
    let admin = t.staff("admin").await;
    let todos = t.get("/v1/todos?kind=call").by(&admin).send().await.ok();
    let mut about: Vec<_> =
        todos["items"].as_array().expect("todos").iter().map(|todo| todo["about_id"].clone()).collect();
    about.sort_by_key(ToString::to_string);
    let mut expected = vec![json!(all[2]), json!(all[4])];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(about, expected, "{todos}");
}
