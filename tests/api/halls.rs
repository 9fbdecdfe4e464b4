//! The hall in public: screens by polling and as a stream, and kiosks. Ticket numbers only.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    harness::{Session, TestApp},
    queue::{act, arrive, booked, desk, id, line, walk_in},
};

async fn screen(t: &TestApp, by: &Session, unit: &str) -> (String, String) {
    let path = format!("/v1/units/{}/screens", t.unit(unit).await);
    let reply = t.post(&path).by(by).json(json!({"name": "大厅东侧"})).send().await.is(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    (id(&reply.body), reply["secret"].as_str().expect("a secret").to_owned())
}

/// The hall a second later: so old what it shows may be.
async fn later(t: &TestApp, secret: &str) -> Value {
    t.pass(TimeDelta::seconds(1));
    t.get(&format!("/v1/halls/{secret}")).send().await.ok()
}

#[actix_web::test]
async fn screens_are_set_up_listed_and_ended() {
    let t = TestApp::new().await;
    let junxi = t.staff("junxi").await;
    let (screen_id, secret) = screen(&t, &junxi, "均溪镇").await;
    let (_, other) = screen(&t, &junxi, "均溪镇").await;
    assert_ne!(secret, other);
    let unit = t.unit("均溪镇").await;
    let list = t.get(&format!("/v1/units/{unit}/screens?limit=1&count=true")).by(&junxi).send().await.ok();
    assert_eq!((&list["total"], &list["items"][0]["id"]), (&json!(2), &json!(screen_id)));
    let rest = format!("/v1/units/{unit}/screens?cursor={}", list["next_cursor"].as_str().expect("more"));
    assert_eq!(t.get(&rest).by(&junxi).send().await.ok()["items"].as_array().map(Vec::len), Some(1));
    assert!(!t.database.everything().contains(&secret), "only its hash is kept");
    t.get(&format!("/v1/halls/{secret}")).send().await.ok();
    t.get(&format!("/v1/halls/{}", "x".repeat(43))).send().await.problem(404, "not_found");
    t.get("/v1/halls/short").send().await.problem(404, "not_found");
    let end = format!("/v1/screens/{screen_id}/end");
    let (cadre, foreign) = (t.staff("cadre").await, foreign_admin(&t).await);
    for (session, path) in [(&cadre, &end), (&foreign, &end)] {
        act(&t, session, path, json!({})).await.problem(404, "not_found");
    }
    act(&t, &cadre, &format!("/v1/units/{unit}/screens"), json!({"name": "x"})).await.problem(404, "not_found");
    let blank = act(&t, &junxi, &format!("/v1/units/{unit}/screens"), json!({"name": " "})).await;
    assert_eq!(blank.problem(422, "invalid").faults(), ["/name:length"]);
    let ended = act(&t, &junxi, &end, json!({})).await.ok();
    assert!(ended["ended_at"].is_string(), "{ended}");
    assert_eq!(act(&t, &junxi, &end, json!({})).await.ok(), ended, "pressed twice");
    t.get(&format!("/v1/halls/{secret}")).send().await.problem(404, "not_found");
    t.get(&format!("/v1/halls/{secret}/events")).send().await.problem(404, "not_found");
    t.get(&format!("/v1/halls/{other}")).send().await.ok();
}

#[actix_web::test]
async fn a_screen_that_polls_sees_numbers_and_never_a_name() {
    let t = TestApp::new().await;
    t.set_time(crate::queue::BEFORE);
    let zhang = t.resident("zhang").await;
    let me = json!({"name": "张小明", "unit_id": t.unit("红星村委会").await});
    t.put(&format!("/v1/residents/{}", zhang.subject)).by(&zhang).header("if-match", "*").json(me).send().await.ok();
    let mine = booked(&t, "zhang", "09:00").await;
    let junxi = desk(&t, "08:50").await;
    let (_, secret) = screen(&t, &junxi, "均溪镇").await;
    let path = format!("/v1/halls/{secret}");
    let first = t.get(&path).send().await.is(200);
    assert_eq!((&first["unit"], &first["waiting"], &first["next"]), (&json!("均溪镇"), &json!(0), &json!([])));
    assert_eq!(first.header("cache-control"), "no-cache");
    let tag = first.header("etag").to_owned();
    let same = t.get(&path).header("if-none-match", &tag).send().await.is(304);
    assert_eq!((same.header("etag"), same.bytes.len()), (tag.as_str(), 0));
    arrive(&t, &junxi, &mine).await;
    walk_in(&t, &junxi).await;
    assert_eq!(t.get(&path).send().await.ok(), first.body, "not read again within a second");
    let hall = later(&t, &secret).await;
    assert_eq!(hall["waiting"], 2);
    assert_eq!(hall["next"][0], json!({"ticket": "A001", "estimated_minutes": 0}));
    assert_eq!(hall["next"][1], json!({"ticket": "B001", "estimated_minutes": 5}));
    t.get(&path).header("if-none-match", &tag).send().await.is(200);
    let windows = line(&t, &junxi).await["windows"].clone();
    act(&t, &junxi, &format!("/v1/windows/{}/call_next", id(&windows[0])), json!({})).await.ok();
    act(&t, &junxi, &format!("/v1/windows/{}/pause", id(&windows[1])), json!({})).await.ok();
    let hall = later(&t, &secret).await;
    assert_eq!((&hall["windows"][1]["paused"], &hall["waiting"]), (&json!(true), &json!(1)));
    let there = json!({"name": windows[0]["name"], "paused": false, "ticket": "A001", "state": "called", "calls": 1});
    assert_eq!(hall["windows"][0], there);
    for personal in ["张", "明", &mine, &zhang.subject.to_string(), &id(&windows[0])] {
        assert!(!hall.to_string().contains(personal), "{personal}: {hall}");
    }
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_kiosk_hands_out_tickets() {
    let t = TestApp::new().await;
    let (mine, far) = (booked(&t, "zhang", "09:00").await, booked(&t, "li", "15:00").await);
    let mut codes = Vec::new();
    for (who, appointment) in [("zhang", &mine), ("li", &far)] {
        let session = t.resident(who).await;
        let code = t.get(&format!("/v1/appointments/{appointment}/code")).by(&session).send().await.ok();
        codes.push(code["handle"].clone());
    }
    let junxi = desk(&t, "08:50").await;
    let (_, secret) = screen(&t, &junxi, "均溪镇").await;
    let admin = t.staff("admin").await;
    let (_, elsewhere) = screen(&t, &admin, "石牌镇").await;
    let come = async |secret: &str, code: &Value| {
        t.post(&format!("/v1/halls/{secret}/arrivals")).json(json!({"code": code})).send().await
    };
    come(&secret, &json!("2".repeat(20))).await.problem(404, "nobody_arrives");
    come(&secret, &codes[1]).await.problem(409, "arrival_too_early");
    come(&elsewhere, &codes[0]).await.problem(409, "arrival_elsewhere");
    come(&"x".repeat(43), &codes[0]).await.problem(404, "not_found");
    let printed = come(&secret, &codes[0]).await.ok();
    assert_eq!(printed, json!({"ticket": "A001", "ahead": 0, "estimated_minutes": 0}));
    assert_eq!(come(&secret, &codes[0]).await.ok(), printed, "read twice");

    let path = format!("/v1/halls/{secret}/walk_ins");
    let body = json!({"matter_id": t.matter().await});
    let press = |key: &'static str| t.post(&path).key(key).json(body.clone()).send();
    let first = press("one").await.is(201);
    assert_eq!(first.body, json!({"ticket": "B001", "ahead": 1, "estimated_minutes": 5}));
    let made = t.get(first.header("location")).by(&junxi).send().await.ok();
    assert_eq!((&made["ticket"], &made["state"]), (&json!("B001"), &json!("arrived")), "where the staff find it");
    let again = press("one").await.is(201);
    assert_eq!((&again.body, again.header("idempotency-replayed")), (&first.body, "true"));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(press("two").await.created()["ticket"], "B002");
    t.call(reqwest::Method::POST, &path).json(body.clone()).send().await.problem(400, "idempotency_key_missing");
    let unknown = t.post(&path).json(json!({"matter_id": mine})).send().await.problem(422, "invalid");
    assert_eq!(unknown.faults(), ["/matter_id:not_served"]);
    // A finger that leans on the button.
    let many = join_all((0..70).map(|_| t.post(&path).json(json!({"matter_id": mine})).send())).await;
    assert!(many.iter().any(|reply| reply.status == 429 && reply["code"] == "too_many_requests"));
    t.run_jobs().await;
}

/// A stream as a screen reads it.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(t: &TestApp, secret: &str, last: &str) -> Self {
        let request = t.http.get(format!("{}/v1/halls/{secret}/events", t.url));
        let request = request.header("last-event-id", last).header("accept-encoding", "gzip, br");
        let response = request.send().await.expect("answers");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(!response.headers().contains_key("content-encoding"), "compressed events come late");
        Self { response, text: String::new() }
    }

    /// The next block up to its empty line; none at the end of the stream.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await.expect("in time");
            self.text += std::str::from_utf8(&chunk.ok()??).expect("UTF-8");
        }
    }

    async fn event(&mut self) -> (String, Value) {
        let block = self.next().await.expect("an event");
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).expect("the field").to_owned();
        assert_eq!(field("event: "), "hall");
        (field("id: "), serde_json::from_str(&field("data: ")).expect("JSON"))
    }
}

#[actix_web::test]
async fn a_stream_tells_what_changes_and_ends_with_the_screen() {
    let t = TestApp::new().await;
    let junxi = desk(&t, "08:50").await;
    let (screen_id, secret) = screen(&t, &junxi, "均溪镇").await;
    let mut events = Events::open(&t, &secret, "").await;
    assert_eq!(events.next().await.expect("a field"), "retry: 3000");
    let (first, hall) = events.event().await;
    assert_eq!(hall["waiting"], 0);
    walk_in(&t, &junxi).await;
    t.pass(TimeDelta::seconds(1));
    let (second, hall) = events.event().await;
    assert_eq!((&hall["waiting"], &hall["next"][0]["ticket"]), (&json!(1), &json!("B001")));
    assert_ne!(first, second);
    assert_eq!(hall, t.get(&format!("/v1/halls/{secret}")).send().await.ok(), "the same as by polling");
    // Whoever has seen that already waits for the next.
    let mut late = Events::open(&t, &secret, &second).await;
    assert_eq!(late.next().await.expect("a field"), "retry: 3000");
    walk_in(&t, &junxi).await;
    t.pass(TimeDelta::seconds(1));
    for stream in [&mut events, &mut late] {
        assert_eq!(stream.event().await.1["waiting"], 2);
    }
    act(&t, &junxi, &format!("/v1/screens/{screen_id}/end"), json!({})).await.ok();
    for stream in [&mut events, &mut late] {
        assert_eq!(stream.next().await, None, "ends");
    }
}

#[actix_web::test]
async fn a_quiet_stream_is_kept_alive_and_ends_with_the_server() {
    let t = TestApp::new().await;
    let junxi = desk(&t, "08:50").await;
    let (_, secret) = screen(&t, &junxi, "均溪镇").await;
    let mut events = Events::open(&t, &secret, "").await;
    events.next().await.expect("retry");
    events.event().await;
    t.pass(TimeDelta::seconds(15));
    let comment = events.next().await.expect("a comment");
    assert!(comment.starts_with(':'), "{comment}");
    t.app.boards.close();
    assert_eq!(events.next().await, None, "ends");
}

#[actix_web::test]
async fn a_screen_has_so_many_streams_and_no_more() {
    let t = TestApp::new().await;
    let junxi = desk(&t, "08:50").await;
    let (_, secret) = screen(&t, &junxi, "均溪镇").await;
    let (_, other) = screen(&t, &junxi, "均溪镇").await;
    let path = format!("/v1/halls/{secret}/events");
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(Events::open(&t, &secret, "").await);
    }
    let refused = t.get(&path).send().await.problem(429, "too_many_requests");
    assert_eq!(refused.header("retry-after"), "30");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("20")), "{}", refused.body);
    Events::open(&t, &other, "").await;
    t.get(&format!("/v1/halls/{secret}")).send().await.ok();
    // Those that end make room for others.
    t.pass(TimeDelta::hours(1));
    for stream in &mut streams {
        while stream.next().await.is_some() {}
    }
    for stream in &mut streams {
        *stream = Events::open(&t, &secret, "").await;
    }
    t.get(&path).send().await.problem(429, "too_many_requests");
}

#[actix_web::test]
async fn whoever_guesses_secrets_has_to_wait_and_screens_do_not() {
    let t = TestApp::new().await;
    let junxi = desk(&t, "08:50").await;
    let (ended, gone) = screen(&t, &junxi, "均溪镇").await;
    let (_, secret) = screen(&t, &junxi, "均溪镇").await;
    let path = format!("/v1/halls/{secret}");
    t.get(&path).send().await.ok();
    let gone = format!("/v1/halls/{gone}");
    t.get(&gone).send().await.ok();
    act(&t, &junxi, &format!("/v1/screens/{ended}/end"), json!({})).await.ok();
    // One that was ended goes on asking: that is no guess.
    for _ in 0..80 {
        t.get(&gone).send().await.problem(404, "not_found");
    }
    let guesses = join_all((0..80).map(|number| {
        let t = &t;
        async move { t.get(&format!("/v1/halls/{number:043}")).send().await }
    }));
    let (waits, unknown): (Vec<_>, Vec<_>) = guesses.await.into_iter().partition(|reply| reply.status == 429);
    assert!(waits.len() >= 10 && unknown.len() >= 50, "{} of 80", waits.len());
    let wait = waits.into_iter().next().expect("one").problem(429, "too_many_requests");
    assert!(!wait.header("retry-after").is_empty());
    unknown.into_iter().for_each(|reply| drop(reply.problem(404, "not_found")));
    t.get(&path).send().await.ok();
    let body = json!({"matter_id": t.matter().await});
    let (new, kiosk) = (format!("/v1/halls/{}/walk_ins", "y".repeat(43)), format!("{path}/walk_ins"));
    t.post(&new).json(body.clone()).send().await.problem(429, "too_many_requests");
    t.post(&kiosk).json(body).send().await.created();
    Events::open(&t, &secret, "").await;
}

#[actix_web::test]
async fn many_screens_cost_one_reading() {
    let t = TestApp::new().await;
    let junxi = desk(&t, "08:50").await;
    let (_, secret) = screen(&t, &junxi, "均溪镇").await;
    let path = format!("/v1/halls/{secret}");
    let all = join_all((0..60).map(|_| t.get(&path).send())).await;
    assert!(all.iter().all(|reply| reply.status == 200));
    walk_in(&t, &junxi).await;
    let hall = later(&t, &secret).await;
    assert_eq!(hall["waiting"], 1);
    let look = async || {
        let screen = t.app.boards.screen(&t.app, &secret).await.expect("there");
        t.app.boards.board(&t.app, &screen).await.expect("read")
    };
    let boards = join_all((0..60).map(|_| look())).await;
    let mut readings: Vec<_> = boards.iter().map(std::sync::Arc::as_ptr).collect();
    readings.sort();
    readings.dedup();
    assert_eq!(readings.len(), 1, "not 60");
    assert_eq!(serde_json::from_slice::<Value>(&boards[0].body).expect("JSON"), hall);
}
