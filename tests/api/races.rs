//! What happens at once: real concurrent commits.

use futures_util::{StreamExt, future::join_all, stream};
use serde_json::json;

use crate::harness::{Session, TestApp};

const NINE: &str = "2026-11-23T09:00:00+08:00";

/// Sessions of many residents, made without logging in one by one.
async fn residents(t: &TestApp, count: usize) -> Vec<Session> {
    // A few at a time: what is raced for comes after it, and a login waits one second for a connection at most.
    let logins = (0..count).map(|number| async move { t.resident(&format!("r{number}")).await });
    stream::iter(logins).buffered(16).collect().await
}

/// The sample's windows with this many public places in one of them and none in the other.
fn places(t: &TestApp, places: i64) {
    t.database.run(&format!(
        "UPDATE opening_rules SET capacity_public = 0, capacity_proxy = 0, capacity_desk = 0; \
         UPDATE opening_rules SET capacity_public = {places} WHERE window_id = (SELECT id FROM windows WHERE name = '民生事务窗口')"
    ));
}

#[actix_web::test]
async fn two_hundred_at_once_for_ten_places() {
    let t = TestApp::with(|setup| {
        setup.config.database_pool = 32;
        setup.config.logins_per_minute = 1_000;
    })
    .await;
    places(&t, 10);
    let residents = residents(&t, 200).await;
    let body = t.booking(NINE).await;
    let book = |who: &Session| t.post("/v1/appointments").by(who).json(body.clone()).send();
    let replies = join_all(residents.iter().map(book)).await;
    let count = |status: u16| replies.iter().filter(|reply| reply.status == status).count();
    assert_eq!((count(201), count(409)), (10, 190));
    assert!(replies.iter().filter(|reply| reply.status == 409).all(|reply| reply.body["code"] == "slot_full"));
    assert_eq!(t.database.count("SELECT count(*) AS n FROM appointments WHERE state = 'booked'"), 10);
    for table in ["appointments", "idempotency_keys", "changes WHERE entity = 'appointment'", "outbox"] {
        let rows = t.database.count(&format!("SELECT count(*) AS n FROM {table}"));
        assert_eq!(rows, 10, "{table}: a refusal leaves nothing behind");
    }
    t.run_jobs().await;
}

#[actix_web::test]
async fn the_same_key_at_once_books_once() {
    let t = TestApp::with(|setup| setup.config.database_pool = 16).await;
    let resident = t.resident("zhang").await;
    let body = t.booking(NINE).await;
    let book = || t.post("/v1/appointments").by(&resident).key("k").json(body.clone()).send();
    for _ in 0..3 {
        let replies = join_all((0..16).map(|_| book())).await;
        for reply in &replies {
            match reply.status {
                201 => {}
                409 => {
                    assert_eq!(reply.body["code"], "idempotency_in_progress", "{}", reply.body);
                    assert!(!reply.header("retry-after").is_empty());
                }
                other => panic!("{other}: {}", reply.body),
            }
        }
        assert!(replies.iter().any(|reply| reply.status == 201));
    }
    assert_eq!(t.database.count("SELECT count(*) AS n FROM appointments"), 1);
    t.run_jobs().await;
}

#[actix_web::test]
async fn one_resident_at_once_for_the_same_matter_and_day_has_one_booking() {
    let t = TestApp::with(|setup| setup.config.database_pool = 16).await;
    let resident = t.resident("zhang").await;
    let times = ["09:00", "09:30", "10:00", "10:30", "11:00", "14:30", "15:00", "15:30"];
    let bodies = join_all(times.map(|time| {
        let t = &t;
        async move { t.booking(&format!("2026-11-23T{time}:00+08:00")).await }
    }))
    .await;
    let replies =
        join_all(bodies.iter().map(|body| t.post("/v1/appointments").by(&resident).json(body.clone()).send())).await;
    let booked = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(booked, 1);
    assert!(replies.iter().filter(|reply| reply.status != 201).all(|reply| reply.body["code"] == "already_booked"));
    let live = t.database.count("SELECT count(*) AS n FROM appointments WHERE state = 'booked'");
    assert_eq!(live, 1, "refused bookings leave nothing behind");
    t.run_jobs().await;
}

#[actix_web::test]
async fn booking_and_cancelling_at_once_never_loses_or_doubles_a_place() {
    let t = TestApp::with(|setup| {
        setup.config.database_pool = 16;
        setup.config.writes_per_minute = 10_000;
        setup.config.logins_per_minute = 1_000;
    })
    .await;
    places(&t, 3);
    let residents = residents(&t, 12).await;
    let body = t.booking(NINE).await;
    let life = |who: Session| {
        let (t, body) = (&t, body.clone());
        async move {
            for _ in 0..6 {
                let reply = t.post("/v1/appointments").by(&who).json(body.clone()).send().await;
                match reply.status {
                    201 => {
                        let path = format!("/v1/appointments/{}/cancel", reply["id"].as_str().expect("an id"));
                        // The button pressed twice, with two keys.
                        let twice = join_all([1, 2].map(|_| t.post(&path).by(&who).json(json!({})).send())).await;
                        let done = twice.iter().filter(|reply| reply.status == 200).count();
                        assert_eq!(done, 1, "{:?}", twice.iter().map(|reply| &reply.body).collect::<Vec<_>>());
                    }
                    409 => assert_eq!(reply.body["code"], "slot_full"),
                    other => panic!("{other}: {}", reply.body),
                }
            }
        }
    };
    // Cancelling is possible: it is the evening before.
    t.set_time("2026-11-22T20:00:00+08:00");
    join_all(residents.into_iter().map(life)).await;
    assert_eq!(t.database.count("SELECT count(*) AS n FROM appointments WHERE state = 'booked'"), 0);
    assert!(t.database.count("SELECT count(*) AS n FROM appointments") >= 3);
    t.run_jobs().await;
}

#[actix_web::test]
async fn the_database_itself_refuses_what_must_never_be() {
    let t = TestApp::new().await;
    use diesel::connection::SimpleConnection;
    let mut owner = t.database.owner();
    let zhang = t.resident("zhang").await;
    let body = t.booking(NINE).await;
    t.post("/v1/appointments").by(&zhang).json(body).send().await.created();
    t.run_jobs().await;
    // Written past every rule of ours: one more in a slot that holds as many as there are, at once or by moving it there.
    let copy = |hours: i32| {
        format!(
            "INSERT INTO appointments (county_id, id, unit_id, window_id, matter_id, resident_id, channel, on_date, state, created_at, updated_at, \
               nth, capacity, capacity_total, starts_at, ends_at, busy_from, busy_until) \
             SELECT county_id, gen_random_uuid(), unit_id, window_id, matter_id, resident_id, channel, on_date, state, created_at, updated_at, \
               2, 1, 1, starts_at + later, ends_at + later, busy_from + later, busy_until + later \
             FROM appointments, make_interval(hours => {hours}) later"
        )
    };
    let mut refused = |sql: &str| {
        let refusal = owner.batch_execute(sql).expect_err("overbooked").to_string();
        assert!(refusal.contains("no place left"), "{refusal}");
    };
    refused(&copy(0));
    t.database.run(&copy(1));
    refused(
        "UPDATE appointments a SET starts_at = b.starts_at, ends_at = b.ends_at, busy_from = b.busy_from, busy_until = b.busy_until \
             FROM appointments b WHERE a.nth = 2 AND b.nth = 1",
    );
    t.run_jobs().await;
}

#[actix_web::test]
async fn two_screens_change_the_same_thing_and_one_is_told() {
    let t = TestApp::with(|setup| setup.config.database_pool = 16).await;
    let admin = t.staff("admin").await;
    let id = t.matter().await;
    let put = |name: String| {
        let body = json!({"name": name, "state": "active"});
        t.put(&format!("/v1/matters/{id}")).by(&admin).header("if-match", "\"1\"").json(body).send()
    };
    let replies = join_all((0..8).map(|number| put(format!("新名{number}")))).await;
    let count = |status: u16| replies.iter().filter(|reply| reply.status == status).count();
    assert_eq!((count(200), count(412)), (1, 7));
}

#[actix_web::test]
async fn booking_moving_cancelling_and_closing_the_day_at_once() {
    let t = TestApp::with(|setup| {
        setup.config.database_pool = 24;
        setup.config.writes_per_minute = 10_000;
        setup.config.logins_per_minute = 1_000;
    })
    .await;
    places(&t, 2);
    let (residents, admin) = (residents(&t, 10).await, t.staff("admin").await);
    let times = ["09:00", "09:30", "10:00"].map(|time| format!("2026-11-25T{time}:00+08:00"));
    let body = t.booking(&times[0]).await;
    let life = |number: usize, who: Session| {
        let (t, body, times) = (&t, &body, &times);
        async move {
            for round in 0..4 {
                let book = |slot: usize| {
                    let mut body = body.clone();
                    body["starts_at"] = json!(times[slot % 3]);
                    t.post("/v1/appointments").by(&who).json(body).send()
                };
                let reply = book(number + round).await;
                let known = [201, 409, 422].contains(&reply.status);
                assert!(known, "{}: {}", reply.status, reply.body);
                let Some(id) = reply.body["id"].as_str().filter(|_| reply.status == 201) else { continue };
                let to = json!({"starts_at": times[(number + round + 1) % 3]});
                let path = format!("/v1/appointments/{id}");
                let moving = t.post(&format!("{path}/reschedule")).by(&who).json(to).send();
                let cancelling = t.post(&format!("{path}/cancel")).by(&who).json(json!({})).send();
                let (moved, cancelled) = futures_util::future::join(moving, cancelling).await;
                for reply in [moved, cancelled] {
                    let known = [200, 409, 422].contains(&reply.status);
                    assert!(known, "{}: {}", reply.status, reply.body);
                }
                if round == 2 {
                    // Somebody stays, so that there is something to close.
                    book(number).await;
                }
            }
        }
    };
    let close = async {
        let closed = json!({"unit_id": body["unit_id"], "from_date": "2026-11-25", "until_date": "2026-11-25", "kind": "closed",
            "reason": "台风", "affected": "move"});
        // In the midst of it.
        while t.database.count("SELECT count(*) AS n FROM appointments") < 8 {
            tokio::task::yield_now().await;
        }
        t.post("/v1/opening_exceptions").by(&admin).json(closed).send().await.created();
    };
    futures_util::future::join(
        join_all(residents.into_iter().enumerate().map(|(number, who)| life(number, who))),
        close,
    )
    .await;
    let left = "SELECT count(*) AS n FROM appointments WHERE on_date = '2026-11-25' AND state IN ('held', 'booked')";
    assert_eq!(t.database.count(left), 0, "nobody finds a locked door");
    let crowd = "SELECT coalesce(max(n), 0)::bigint AS n FROM (SELECT (SELECT count(*) FROM appointments b WHERE b.window_id = a.window_id \
        AND b.state IN ('held', 'booked') AND b.busy_from < a.busy_until AND b.busy_until > a.busy_from) AS n \
        FROM appointments a WHERE a.state IN ('held', 'booked')) x";
    assert!(t.database.count(crowd) <= 2, "those who were moved are not too many either");
    t.run_jobs().await;
}
