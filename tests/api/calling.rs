//! Calling: next, this one, again, skip, serve, finish, transfer, pause; no-shows and the end of the day.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    harness::{Reply, Session, TestApp},
    queue::{act, arrive, at, booked, desk, id, line, numbers, walk_in},
};

async fn windows(t: &TestApp, by: &Session) -> Vec<String> {
    line(t, by).await["windows"].as_array().expect("windows").iter().map(id).collect()
}

async fn next(t: &TestApp, by: &Session, window: &str) -> Reply {
    act(t, by, &format!("/v1/windows/{window}/call_next"), json!({})).await
}

async fn step(t: &TestApp, by: &Session, ticket: &Value, step: &str) -> Reply {
    act(t, by, &format!("/v1/appointments/{}/{step}", id(ticket)), json!({})).await
}

#[actix_web::test]
async fn from_the_call_to_the_end_and_every_button_twice() {
    let t = TestApp::new().await;
    let mine = booked(&t, "zhang", "09:00").await;
    let junxi = desk(&t, "08:50").await;
    let window = windows(&t, &junxi).await[0].clone();
    next(&t, &junxi, &window).await.problem(409, "nobody_waits");
    arrive(&t, &junxi, &mine).await;
    let called = next(&t, &junxi, &window).await.ok();
    assert_eq!((&called["state"], &called["ticket"], &called["calls"]), (&json!("called"), &json!("A001"), &json!(1)));
    assert_eq!((&called["desk"]["id"], &called["called_at"]), (&json!(window), &json!(at("08:50"))));
    let busy = next(&t, &junxi, &window).await.problem(409, "window_busy");
    assert!(busy["detail"].as_str().expect("a detail").contains("A001"), "{}", busy.body);
    assert!(t.run_jobs().await >= 1, "the resident is told");
    // The same finger, then really again.
    assert_eq!(step(&t, &junxi, &called, "recall").await.ok()["calls"], 1);
    t.pass(chrono::TimeDelta::seconds(10));
    assert_eq!(step(&t, &junxi, &called, "recall").await.ok()["calls"], 2);
    step(&t, &junxi, &called, "finish").await.problem(409, "not_booked");
    let serving = step(&t, &junxi, &called, "serve").await.ok();
    assert_eq!(serving["state"], "serving");
    assert_eq!(step(&t, &junxi, &called, "serve").await.ok(), serving, "pressed twice");
    step(&t, &junxi, &called, "skip").await.problem(409, "not_booked");
    t.set_time(&at("08:58"));
    let done = step(&t, &junxi, &called, "finish").await.ok();
    assert_eq!((&done["state"], &done["finished_at"]), (&json!("done"), &json!(at("08:58"))));
    assert_eq!(step(&t, &junxi, &called, "finish").await.ok(), done, "pressed twice");
    act(&t, &junxi, &format!("/v1/appointments/{mine}/arrive"), json!({})).await.problem(409, "cannot_arrive");
    let moves = "SELECT count(*) AS n FROM appointment_events WHERE actor_id IS NOT NULL";
    assert_eq!(t.database.count(moves), 5, "arrived, called, called again, serving, done");
    let audited = "SELECT count(*) AS n FROM audit_log WHERE action IN ('arrive', 'call', 'recall', 'serve', 'finish')";
    assert_eq!(t.database.count(audited), 8);
    let foreign = foreign_admin(&t).await;
    next(&t, &foreign, &window).await.problem(404, "not_found");
    step(&t, &foreign, &called, "finish").await.problem(404, "not_found");
    t.run_jobs().await;
}

#[actix_web::test]
async fn two_desks_call_the_same_ticket_and_one_is_told_who_has_it() {
    let t = TestApp::new().await;
    let junxi = desk(&t, "08:50").await;
    let (ticket, desks) = (walk_in(&t, &junxi).await, windows(&t, &junxi).await);
    let path = format!("/v1/appointments/{}/call", id(&ticket));
    let call = |window: &String| act(&t, &junxi, &path, json!({"window_id": window}));
    let replies = join_all(desks.iter().map(call)).await;
    let mut statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort();
    assert_eq!(statuses, [200, 409], "{replies:?}");
    for reply in replies {
        if reply.status == 409 {
            let line = line(&t, &junxi).await;
            let name = line["at_windows"][0]["desk"]["name"].as_str().expect("a name");
            let told = reply.problem(409, "already_called");
            assert!(told["detail"].as_str().expect("a detail").contains(name), "{}", told.body);
        } else {
            let (again, body) = (reply["desk"]["id"].clone(), reply.body);
            assert_eq!(act(&t, &junxi, &path, json!({"window_id": again})).await.ok(), body, "pressed twice");
        }
    }
    let far = t.get("/v1/windows?county=350425&limit=200").send().await.ok();
    let far = far["items"].as_array().expect("windows").iter().find(|one| !desks.contains(&id(one))).map(id);
    let other = walk_in(&t, &junxi).await;
    let path = format!("/v1/appointments/{}/call", id(&other));
    let admin = t.staff("admin").await;
    let refused = act(&t, &admin, &path, json!({"window_id": far})).await.problem(422, "invalid");
    assert_eq!(refused.faults(), ["/window_id:unknown_window"]);
}

#[actix_web::test]
async fn eight_windows_call_at_once_and_five_tickets_are_called_once_each() {
    let t = TestApp::new().await;
    let (unit, matter) = (t.unit("均溪镇").await, t.matter().await);
    let admin = t.staff("admin").await;
    for number in 0..6 {
        let body = json!({"unit_id": unit, "name": format!("窗口{number}"), "matter_ids": [matter]});
        act(&t, &admin, "/v1/windows", body).await.created();
    }
    let junxi = desk(&t, "08:50").await;
    let mut tickets = Vec::new();
    for _ in 0..5 {
        tickets.push(walk_in(&t, &junxi).await["ticket"].clone());
    }
    let desks = windows(&t, &junxi).await;
    assert_eq!(desks.len(), 8);
    let replies = join_all(desks.iter().map(|window| next(&t, &junxi, window))).await;
    let mut called: Vec<_> =
        replies.iter().filter(|reply| reply.status == 200).map(|reply| reply["ticket"].clone()).collect();
    called.sort_by_key(ToString::to_string);
    assert_eq!(called, tickets);
    assert!(
        replies.iter().filter(|reply| reply.status != 200).all(|reply| reply["code"] == "nobody_waits"),
        "{replies:?}"
    );
}

#[actix_web::test]
async fn one_window_pressed_at_once_has_one_ticket() {
    let t = TestApp::new().await;
    let junxi = desk(&t, "08:50").await;
    for _ in 0..4 {
        walk_in(&t, &junxi).await;
    }
    let window = windows(&t, &junxi).await[0].clone();
    let replies = join_all((0..4).map(|_| next(&t, &junxi, &window))).await;
    let called = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(called, 1, "{replies:?}");
    for reply in replies.into_iter().filter(|reply| reply.status != 200) {
        let busy = reply.problem(409, "window_busy");
        assert!(busy["detail"].as_str().expect("which").contains("B001"), "{}", busy.body);
    }
    assert_eq!(t.database.count("SELECT count(*) AS n FROM appointments WHERE state = 'called'"), 1);
}

#[actix_web::test]
async fn three_calls_in_vain_and_back_with_the_same_ticket() {
    let t = TestApp::new().await;
    let mine = booked(&t, "zhang", "09:00").await;
    let junxi = desk(&t, "08:50").await;
    arrive(&t, &junxi, &mine).await;
    let other = walk_in(&t, &junxi).await;
    let window = windows(&t, &junxi).await[0].clone();
    let path = format!("/v1/appointments/{mine}/call");
    for round in 1..=3 {
        let called = act(&t, &junxi, &path, json!({"window_id": window})).await.ok();
        assert_eq!(called["calls"], round);
        t.pass(chrono::TimeDelta::seconds(30));
        let skipped = step(&t, &junxi, &called, "skip").await.ok();
        let expected = if round < 3 { ("arrived", json!(["B001", "A001"])) } else { ("missed", json!(["B001"])) };
        assert_eq!((&skipped["state"], json!(numbers(&line(&t, &junxi).await))), (&json!(expected.0), expected.1));
    }
    let counts = line(&t, &junxi).await;
    assert_eq!((&counts["missed"], &counts["done"]), (&json!(1), &json!(0)));
    assert_eq!(counts["missed_tickets"], json!(null), "only for who asks");
    let missed = async || {
        let path = format!("/v1/units/{}/queue?missed=true", t.unit("均溪镇").await);
        t.get(&path).by(&junxi).send().await.ok()["missed_tickets"].clone()
    };
    let who = missed().await;
    assert_eq!((who.as_array().map(Vec::len), id(&who[0]), &who[0]["ticket"]), (Some(1), mine.clone(), &json!("A001")));
    let back = arrive(&t, &junxi, &mine).await;
    assert_eq!((&back["ticket"], &back["state"], &back["calls"]), (&json!("A001"), &json!("arrived"), &json!(0)));
    assert_eq!((&back["on_time"], &back["arrived_at"]), (&json!(false), &json!(at("08:50"))));
    assert_eq!(numbers(&line(&t, &junxi).await), ["B001", "A001"], "behind those who wait");
    assert_eq!(missed().await, json!([]), "back in the line");
    assert_eq!(next(&t, &junxi, &window).await.ok()["id"], other["id"]);
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_transferred_ticket_waits_at_the_front_for_its_window() {
    let t = TestApp::new().await;
    let junxi = desk(&t, "08:50").await;
    let (first, second) = (walk_in(&t, &junxi).await, walk_in(&t, &junxi).await);
    walk_in(&t, &junxi).await;
    let desks = windows(&t, &junxi).await;
    let path = format!("/v1/appointments/{}/transfer", id(&second));
    let to = |window: &String| json!({"window_id": window});
    act(&t, &junxi, &path, to(&desks[1])).await.problem(409, "not_booked");
    let body = to(&desks[0]);
    act(&t, &junxi, &format!("/v1/appointments/{}/call", id(&second)), body).await.ok();
    step(&t, &junxi, &second, "serve").await.ok();
    let same = act(&t, &junxi, &path, to(&desks[0])).await.problem(422, "invalid");
    assert_eq!(same.faults(), ["/window_id:same_window"]);
    let moved = act(&t, &junxi, &path, to(&desks[1])).await.ok();
    assert_eq!((&moved["state"], &moved["desk"]["id"]), (&json!("arrived"), &json!(desks[1])));
    assert_eq!(act(&t, &junxi, &path, to(&desks[1])).await.ok(), moved, "pressed twice");
    assert_eq!(numbers(&line(&t, &junxi).await), ["B002", "B001", "B003"]);
    // Not called by the window it came from, unless its own pauses.
    assert_eq!(next(&t, &junxi, &desks[0]).await.ok()["id"], first["id"]);
    step(&t, &junxi, &first, "skip").await.ok();
    act(&t, &junxi, &format!("/v1/windows/{}/pause", desks[1]), json!({})).await.ok();
    next(&t, &junxi, &desks[1]).await.problem(409, "window_paused");
    assert_eq!(next(&t, &junxi, &desks[0]).await.ok()["id"], second["id"]);
}

#[actix_web::test]
async fn pausing_closing_and_who_sits_there() {
    let t = TestApp::new().await;
    let junxi = desk(&t, "08:50").await;
    let ticket = walk_in(&t, &junxi).await;
    let desks = windows(&t, &junxi).await;
    let pause = format!("/v1/windows/{}/pause", desks[0]);
    let paused = act(&t, &junxi, &pause, json!({})).await.ok();
    assert_eq!(paused["paused_at"], at("08:50"));
    t.set_time(&at("08:55"));
    assert_eq!(act(&t, &junxi, &pause, json!({})).await.ok(), paused, "pressed twice");
    next(&t, &junxi, &desks[0]).await.problem(409, "window_paused");
    let call = format!("/v1/appointments/{}/call", id(&ticket));
    act(&t, &junxi, &call, json!({"window_id": desks[0]})).await.problem(409, "window_paused");
    let resumed = act(&t, &junxi, &format!("/v1/windows/{}/resume", desks[0]), json!({})).await.ok();
    assert_eq!(resumed["paused_at"], json!(null));
    t.database.run(&format!("UPDATE windows SET state = 'closed' WHERE id = '{}'", desks[0]));
    next(&t, &junxi, &desks[0]).await.problem(409, "window_closed");
    act(&t, &junxi, &call, json!({"window_id": desks[0]})).await.problem(409, "window_closed");
    // A village cadre calls at the township's window only when they sit at one there.
    let cadre = t.staff("cadre").await;
    next(&t, &cadre, &desks[1]).await.problem(404, "not_found");
    act(&t, &cadre, &format!("/v1/windows/{}/pause", desks[1]), json!({})).await.problem(404, "not_found");
    let day = format!("/v1/units/{}/day", t.unit("均溪镇").await);
    t.get(&day).by(&cadre).send().await.problem(404, "not_found");
    t.database.run(&format!("UPDATE windows SET officer_id = '{}' WHERE id = '{}'", cadre.subject, desks[1]));
    assert_eq!(next(&t, &cadre, &desks[1]).await.ok()["id"], ticket["id"]);
    // And then they see its day.
    let seen = t.get(&day).by(&cadre).send().await.ok();
    assert_eq!((id(&seen["appointments"][0]), &seen["windows"][1]["id"].is_string()), (id(&ticket), &true));
    t.database.run(&format!("UPDATE windows SET state = 'closed' WHERE id = '{}'", desks[1]));
    t.get(&day).by(&cadre).send().await.problem(404, "not_found");
    let audited = "SELECT count(*) AS n FROM audit_log WHERE action IN ('pause', 'resume') AND entity = 'window'";
    assert_eq!(t.database.count(audited), 2);
}

#[actix_web::test]
async fn estimates_follow_windows_and_the_mean_of_the_day() {
    let t = TestApp::new().await;
    let junxi = desk(&t, "09:00").await;
    let desks = windows(&t, &junxi).await;
    // Five are served in two minutes each: from then on that is what serving takes.
    for served in 0..5 {
        walk_in(&t, &junxi).await;
        if served == 4 {
            for _ in 0..3 {
                walk_in(&t, &junxi).await;
            }
            let line = line(&t, &junxi).await;
            let waits = |index: usize| line["line"][index]["estimated_minutes"].clone();
            assert_eq!(
                (&line["service_minutes"], waits(0), waits(1), waits(3)),
                (&json!(10.0), json!(0), json!(5), json!(15))
            );
        }
        let ticket = next(&t, &junxi, &desks[0]).await.ok();
        step(&t, &junxi, &ticket, "serve").await.ok();
        t.pass(chrono::TimeDelta::minutes(2));
        step(&t, &junxi, &ticket, "finish").await.ok();
    }
    let now = line(&t, &junxi).await;
    let waits = |line: &Value| -> Vec<_> {
        let all = line["line"].as_array().expect("a line");
        all.iter().map(|entry| (entry["ahead"].clone(), entry["estimated_minutes"].clone())).collect()
    };
    assert_eq!((&now["service_minutes"], &now["done"]), (&json!(2.0), &json!(5)));
    assert_eq!(waits(&now), [(json!(0), json!(0)), (json!(1), json!(1)), (json!(2), json!(2))]);
    act(&t, &junxi, &format!("/v1/windows/{}/pause", desks[0]), json!({})).await.ok();
    assert_eq!(waits(&line(&t, &junxi).await)[2], (json!(2), json!(4)));
    act(&t, &junxi, &format!("/v1/windows/{}/pause", desks[1]), json!({})).await.ok();
    assert_eq!(waits(&line(&t, &junxi).await)[2], (json!(2), json!(null)));
}
