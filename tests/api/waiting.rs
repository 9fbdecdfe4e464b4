//! The waiting list: joining, the order of the line, offers taken, declined and run out.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    harness::{Reply, Session, TestApp},
    merging::id,
};

/// Two public places, one for agents, one at the desk; more than a day ahead, so that none is everybody's yet.
pub const NINE: &str = "2026-11-25T09:00:00+08:00";
const HALF_PAST: &str = "2026-11-25T09:30:00+08:00";
const TEN: &str = "2026-11-25T10:00:00+08:00";

pub async fn slot(t: &TestApp, starts_at: &str) -> Value {
    json!({"unit_id": t.unit("石牌镇").await, "matter_id": t.matter().await, "starts_at": starts_at})
}

async fn book(t: &TestApp, by: &Session, starts_at: &str) -> Reply {
    t.post("/v1/appointments").by(by).json(slot(t, starts_at).await).send().await
}

/// Takes every public place of a start; who has them, and which.
pub async fn fill(t: &TestApp, starts_at: &str) -> Vec<(Session, String)> {
    let mut all = Vec::new();
    for number in 0..2 {
        let resident = t.resident(&format!("early{number}{}", &starts_at[8..16])).await;
        let booked = book(t, &resident, starts_at).await.created();
        all.push((resident, id(&booked)));
    }
    all
}

pub async fn wish(t: &TestApp, earliest: &str, latest: &str) -> Value {
    json!({"unit_id": t.unit("石牌镇").await, "matter_id": t.matter().await, "earliest": earliest, "latest": latest})
}

pub async fn join(t: &TestApp, by: &Session, earliest: &str, latest: &str) -> Value {
    let joined = t.post("/v1/waiting").by(by).json(wish(t, earliest, latest).await).send().await.created();
    // The order of the line is by time.
    t.pass(TimeDelta::seconds(1));
    joined
}

pub async fn entry(t: &TestApp, by: &Session, entry: &Value) -> Value {
    t.get(&format!("/v1/waiting/{}", id(entry))).by(by).send().await.ok()
}

pub async fn cancel(t: &TestApp, by: &Session, appointment: &str) -> Value {
    t.post(&format!("/v1/appointments/{appointment}/cancel")).by(by).json(json!({})).send().await.ok()
}

async fn take(t: &TestApp, by: &Session, offered: &Value) -> Reply {
    let path = format!("/v1/appointments/{}/book", offered["appointment_id"].as_str().expect("offered"));
    t.post(&path).by(by).json(json!({})).send().await
}

async fn leave(t: &TestApp, by: &Session, entry: &Value) -> Reply {
    t.post(&format!("/v1/waiting/{}/leave", id(entry))).by(by).json(json!({})).send().await
}

async fn states<'a>(t: &TestApp, all: impl IntoIterator<Item = (&'a Session, &'a Value)>) -> Vec<String> {
    let mut states = Vec::new();
    for (by, of) in all {
        states.push(entry(t, by, of).await["state"].as_str().expect("a state").to_owned());
    }
    states
}

fn live(t: &TestApp, starts_at: &str) -> i64 {
    t.database.count(&format!(
        "SELECT count(*) AS n FROM appointments WHERE starts_at = '{starts_at}' AND (state = 'booked' OR state = 'held' AND held_until > '{}')",
        t.app.clock.now().to_rfc3339()
    ))
}

#[actix_web::test]
async fn what_comes_free_goes_to_the_first_in_line_and_to_nobody_else() {
    let t = TestApp::new().await;
    let early = fill(&t, NINE).await;
    let (li, wang, zhao) = (t.resident("li").await, t.resident("wang").await, t.resident("zhao").await);
    let first = join(&t, &li, NINE, NINE).await;
    assert_eq!(
        (&first["state"], &first["state_name"], &first["position"], &first["ahead"], &first["channel"]),
        (&json!("waiting"), &json!("候补中"), &json!(1), &json!(0), &json!("public"))
    );
    let second = join(&t, &wang, "2026-11-25T08:40:00+08:00", "2026-11-25T09:20:00+08:00").await;
    assert_eq!((&second["position"], &second["ahead"]), (&json!(2), &json!(1)));
    assert_eq!((&second["earliest"], &second["latest"]), (&json!(NINE), &json!(NINE)), "the starts themselves");
    cancel(&t, &early[0].0, &early[0].1).await;
    // Nobody gets in between, not even before a worker looks.
    book(&t, &zhao, NINE).await.problem(409, "slot_waited_for");
    t.run_jobs().await;
    let offered = entry(&t, &li, &first).await;
    assert_eq!(
        (&offered["state"], &offered["starts_at"], &offered["position"]),
        (&json!("offered"), &json!(NINE), &Value::Null)
    );
    assert_eq!(offered["offered_until"], "2026-11-23T08:30:02+08:00");
    let second_now = entry(&t, &wang, &second).await;
    assert_eq!((&second_now["state"], &second_now["position"]), (&json!("waiting"), &json!(1)));
    book(&t, &zhao, NINE).await.problem(409, "slot_waited_for");
    let (unit, matter) = (t.unit("石牌镇").await, t.matter().await);
    let slots =
        t.get(&format!("/v1/slots?county=350425&unit_id={unit}&matter_id={matter}&date=2026-11-25")).send().await.ok();
    let nine = slots["items"].as_array().expect("items").iter().find(|slot| slot["starts_at"] == NINE).cloned();
    assert_eq!(nine.map(|slot| (slot["free"].clone(), slot["waited_for"].clone())), Some((json!(0), json!(true))));

    let booked = take(&t, &li, &offered).await.ok();
    assert_eq!((&booked["state"], &booked["starts_at"]), (&json!("booked"), &json!(NINE)));
    assert_eq!(states(&t, [(&li, &first), (&wang, &second)]).await, ["booked", "waiting"]);
    take(&t, &li, &offered).await.problem(409, "not_booked");
    t.run_jobs().await;
    let inbox = t.get("/v1/messages").by(&li).send().await.ok();
    let kinds: Vec<_> = inbox["items"].as_array().expect("items").iter().map(|item| item["kind"].clone()).collect();
    assert_eq!(kinds, ["place_offered", "appointment_booked"]);
    assert!(inbox["items"][0]["text"].as_str().expect("a text").contains("2026-11-23 08:30"), "{inbox}");
    assert_eq!(live(&t, NINE), 2);
}

#[actix_web::test]
async fn declined_by_cancelling_or_leaving_it_goes_to_the_next() {
    let t = TestApp::new().await;
    let early = fill(&t, NINE).await;
    let people = [t.resident("li").await, t.resident("wang").await, t.resident("zhao").await];
    let mut entries = Vec::new();
    for by in &people {
        entries.push(join(&t, by, NINE, NINE).await);
    }
    cancel(&t, &early[0].0, &early[0].1).await;
    t.run_jobs().await;
    let offered = entry(&t, &people[0], &entries[0]).await;
    cancel(&t, &people[0], offered["appointment_id"].as_str().expect("an id")).await;
    t.run_jobs().await;
    let all = || people.iter().zip(&entries);
    assert_eq!(states(&t, all()).await, ["left", "offered", "waiting"]);
    let left = leave(&t, &people[1], &entries[1]).await.ok();
    assert_eq!((&left["state"], &left["offered_until"]), (&json!("left"), &Value::Null));
    t.run_jobs().await;
    assert_eq!(states(&t, all()).await, ["left", "left", "offered"]);
    leave(&t, &people[1], &entries[1]).await.problem(409, "not_waiting");
    let offered = entry(&t, &people[2], &entries[2]).await;
    take(&t, &people[2], &offered).await.ok();
    leave(&t, &people[2], &entries[2]).await.problem(409, "not_waiting");
    t.run_jobs().await;
    // Whoever left can come again, at the end.
    let again = join(&t, &people[0], NINE, NINE).await;
    assert_eq!(leave(&t, &people[0], &again).await.ok()["state"], "left");
    assert_eq!(live(&t, NINE), 2);
}

#[actix_web::test]
async fn an_offer_that_runs_out_while_no_process_lives_goes_to_the_next_in_order() {
    let t = TestApp::new().await;
    let early = fill(&t, NINE).await;
    let people = [t.resident("li").await, t.resident("wang").await, t.resident("zhao").await];
    let mut entries = Vec::new();
    for by in &people {
        entries.push(join(&t, by, NINE, NINE).await);
    }
    cancel(&t, &early[0].0, &early[0].1).await;
    t.run_jobs().await;
    let offered = entry(&t, &people[0], &entries[0]).await;
    // For an hour nothing runs; the offer ended half an hour ago.
    t.pass(TimeDelta::hours(1));
    let li = t.resident("li").await;
    let late = t.resident("late").await;
    book(&t, &late, NINE).await.problem(409, "slot_waited_for");
    take(&t, &li, &offered).await.problem(409, "hold_expired");
    let last = join(&t, &late, NINE, NINE).await;
    entries.push(last.clone());
    let all = async || {
        let admin = t.staff("admin").await;
        states(&t, entries.iter().map(|entry| (&admin, entry))).await
    };
    t.tick().await;
    assert_eq!(all().await, ["lapsed", "offered", "waiting", "waiting"]);
    t.tick().await;
    assert_eq!(all().await, ["lapsed", "offered", "waiting", "waiting"], "nothing to do twice");
    t.pass(TimeDelta::minutes(30));
    t.tick().await;
    assert_eq!(all().await, ["lapsed", "lapsed", "offered", "waiting"]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM appointments WHERE state = 'lapsed'"), 2);
    let offers = "SELECT count(*) AS n FROM todos WHERE about = 'message' AND state = 'open' AND kind <> 'slip'";
    assert_eq!(t.database.count(offers), 0);
    // The day comes: whoever still waits does so no longer.
    t.set_time("2026-11-25T08:51:00+08:00");
    t.tick().await;
    let last = entry(&t, &t.resident("late").await, &last).await;
    assert_eq!(last["state"], "lapsed");
}

#[actix_web::test]
async fn the_public_never_gets_a_place_that_others_wait_for() {
    let t = TestApp::with(|setup| setup.config.writes_per_minute = 100_000).await;
    let early = fill(&t, NINE).await;
    let li = t.resident("li").await;
    let first = join(&t, &li, NINE, NINE).await;
    let mut crowd = Vec::new();
    for number in 0..12 {
        crowd.push(t.resident(&format!("crowd{number}")).await);
    }
    let booking = slot(&t, NINE).await;
    let (free, grab) = futures_util::future::join(
        cancel(&t, &early[0].0, &early[0].1),
        join_all(crowd.iter().map(|by| t.post("/v1/appointments").by(by).json(booking.clone()).send())),
    )
    .await;
    assert_eq!(free["state"], "cancelled");
    for reply in grab {
        assert_eq!(reply.status, 409, "{}", reply.body);
    }
    let hold = t.post("/v1/holds").by(&crowd[0]).json(booking).send();
    let (jobs, hold) = futures_util::future::join(t.tick(), hold).await;
    assert!(jobs > 0);
    hold.is(409);
    assert_eq!((states(&t, [(&li, &first)]).await, live(&t, NINE)), (vec!["offered".to_owned()], 2));
}

#[actix_web::test]
async fn two_workers_at_once_offer_one_place_once() {
    let t = TestApp::new().await;
    let early = fill(&t, NINE).await;
    let (mut people, mut entries) = (Vec::new(), Vec::new());
    for number in 0..5 {
        let by = t.resident(&format!("waiter{number}")).await;
        entries.push(join(&t, &by, NINE, NINE).await);
        people.push(by);
    }
    for (by, id) in &early {
        cancel(&t, by, id).await;
    }
    let app = || t.app.clone().into_inner();
    let work = |number: usize| async move {
        if number.is_multiple_of(2) {
            lianxin::jobs::tick(&app()).await.map(|()| 0)
        } else {
            lianxin::jobs::run_due(&app()).await
        }
    };
    for done in join_all((0..6).map(work)).await {
        done.expect("PostgreSQL and Redis are there");
    }
    t.run_jobs().await;
    let all = states(&t, people.iter().zip(&entries)).await;
    assert_eq!(all, ["offered", "offered", "waiting", "waiting", "waiting"]);
    assert_eq!(
        (live(&t, NINE), t.database.count("SELECT count(*) AS n FROM appointments WHERE state = 'held'")),
        (2, 2)
    );
}

#[actix_web::test]
async fn cancelling_leaving_taking_and_offering_at_once_lose_and_double_nothing() {
    for round in 0..4 {
        let t = TestApp::new().await;
        let early = fill(&t, NINE).await;
        let (mut people, mut entries) = (Vec::new(), Vec::new());
        for number in 0..4 {
            let by = t.resident(&format!("waiter{number}")).await;
            entries.push(join(&t, &by, NINE, NINE).await);
            people.push(by);
        }
        cancel(&t, &early[0].0, &early[0].1).await;
        t.run_jobs().await;
        let offered = entry(&t, &people[0], &entries[0]).await;
        let leaving = usize::from(round % 2 == 1);
        let (cancelled, left, taken, _) = futures_util::future::join4(
            cancel(&t, &early[1].0, &early[1].1),
            leave(&t, &people[leaving], &entries[leaving]),
            take(&t, &people[0], &offered),
            lianxin::jobs::tick(&t.app.clone().into_inner()),
        )
        .await;
        assert_eq!(cancelled["state"], "cancelled");
        t.tick().await;
        let all = states(&t, people.iter().zip(&entries)).await;
        // Exactly one of leaving and taking the same offer succeeds.
        if leaving == 0 {
            assert_eq!(u8::from(left.status == 200) + u8::from(taken.status == 200), 1, "{left:?} {taken:?}");
            let served = if left.status == 200 {
                ["left", "offered", "offered", "waiting"]
            } else {
                ["booked", "offered", "waiting", "waiting"]
            };
            assert_eq!(all, served);
        } else {
            assert_eq!((taken.status, left.status), (200, 200));
            assert_eq!(all, ["booked", "left", "offered", "waiting"]);
        }
        assert_eq!(live(&t, NINE), 2);
    }
}

#[actix_web::test]
async fn a_matter_of_two_slots_waits_for_both_and_lets_no_one_take_one_of_them() {
    let t = TestApp::new().await;
    let (nine, half) = (fill(&t, NINE).await, fill(&t, HALF_PAST).await);
    let long = t.matter().await;
    t.database.run(&format!("UPDATE matters SET slots = 2 WHERE id <> '{long}'"));
    let page = t.get("/v1/matters?county=350425&limit=2").send().await.ok();
    let (li, wang, zhao) = (t.resident("li").await, t.resident("wang").await, t.resident("zhao").await);
    let mut body = wish(&t, NINE, NINE).await;
    body["matter_id"] = page["items"][1]["id"].clone();
    let both = t.post("/v1/waiting").by(&li).json(body).send().await.created();
    t.pass(TimeDelta::seconds(1));
    let one = join(&t, &wang, HALF_PAST, HALF_PAST).await;
    cancel(&t, &half[0].0, &half[0].1).await;
    t.run_jobs().await;
    // The first in line needs both; half of it is of no use, and goes to the next whom it fits.
    assert_eq!(states(&t, [(&li, &both), (&wang, &one)]).await, ["waiting", "offered"]);
    book(&t, &zhao, HALF_PAST).await.problem(409, "slot_waited_for");
    cancel(&t, &half[1].0, &half[1].1).await;
    cancel(&t, &nine[0].0, &nine[0].1).await;
    book(&t, &zhao, HALF_PAST).await.problem(409, "slot_waited_for");
    t.run_jobs().await;
    let offered = entry(&t, &li, &both).await;
    assert_eq!((&offered["state"], &offered["starts_at"]), (&json!("offered"), &json!(NINE)));
    let booked = take(&t, &li, &offered).await.ok();
    assert_eq!(booked["ends_at"], TEN);
    t.run_jobs().await;
}
