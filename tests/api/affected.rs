//! What a change of the opening does to bookings: listed first, then kept, moved or cancelled; nobody finds a locked door.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::Session,
    openings::{Hall, rule, text, with},
};

fn closed(from: &str, until: &str, change: Value) -> Value {
    with(json!({"from_date": from, "until_date": until, "kind": "closed", "reason": "停电检修"}), change)
}

/// The notices that are on their way, as `news` tells them.
fn news(hall: &Hall, news: &str) -> i64 {
    let sql =
        format!("SELECT count(*) AS n FROM outbox WHERE kind = 'notify_appointment' AND payload->>'news' = '{news}'");
    hall.t.database.count(&sql)
}

fn outcomes(view: &Value) -> Value {
    let affected = view["affected"].as_array().expect("a list");
    json!(affected.iter().map(|one| one["outcome"].clone()).collect::<Vec<_>>())
}

#[actix_web::test]
async fn nothing_happens_before_somebody_decides() {
    let hall = Hall::new().await;
    let t = &hall.t;
    hall.put_rule(with(rule("09:00", "11:00"), json!({"capacity_proxy": 1}))).await.ok();
    let body = json!({"name": "张小明", "unit_id": hall.unit, "identity_seen": "id_card"});
    let person = t.post("/v1/residents").by(&hall.junxi).json(body).send().await.created();
    let body = with(hall.booking("2026-11-25T10:00"), json!({"resident_id": person["id"]}));
    t.post("/v1/appointments").by(&hall.junxi).json(body).send().await.created();
    let (zhang, first) = hall.booked("zhang", "2026-11-25T09:00").await;
    t.run_jobs().await;
    let seen = hall.except(closed("2026-11-25", "2026-11-25", json!({"dry_run": true}))).await.ok();
    assert_eq!((&seen["dry_run"], &seen["affected_count"]), (&json!(true), &json!(2)));
    let names: Vec<_> =
        seen["affected"].as_array().expect("a list").iter().map(|one| one["resident"]["name"].clone()).collect();
    assert_eq!(json!(names), json!(["", "张*明"]), "by time, masked");
    assert_eq!((&seen["affected"][0]["id"], &seen["affected"][0]["outcome"]), (&json!(first), &Value::Null));
    assert_eq!(seen["affected"][0]["new_place"]["starts_at"], "2026-11-26T09:00:00+08:00", "where it could go");
    let planned =
        hall.except(closed("2026-11-25", "2026-11-25", json!({"dry_run": true, "affected": "cancel"}))).await.ok();
    assert_eq!(outcomes(&planned), json!(["cancelled", "cancelled"]));
    let refused = hall.except(closed("2026-11-25", "2026-11-25", json!({}))).await.problem(409, "bookings_affected");
    assert!(refused["detail"].as_str().expect("a detail").contains('2'));
    hall.put_window(json!({"state": "closed"})).await.problem(409, "bookings_affected");
    hall.put_window(json!({"matter_ids": []})).await.problem(409, "bookings_affected");
    hall.put_rule(with(rule("09:00", "11:00"), json!({"capacity_proxy": 1, "valid_until": "2026-11-24"})))
        .await
        .problem(409, "bookings_affected");
    hall.put_rule(with(rule("09:15", "11:00"), json!({"capacity_proxy": 1}))).await.problem(409, "bookings_affected");
    let path = format!("/v1/windows/{}/opening_rules/{}", hall.window, hall.rule);
    let delete =
        |query: &str| t.call(Method::DELETE, &format!("{path}{query}")).by(&hall.junxi).header("if-match", "*").send();
    delete("").await.problem(409, "bookings_affected");
    assert_eq!(delete("?dry_run=true").await.ok()["affected_count"], 2);
    // What takes nothing away needs no decision.
    hall.put_rule(with(rule("09:00", "11:00"), json!({"capacity_proxy": 2}))).await.ok();
    assert_eq!(hall.seen(&zhang, &first).await["version"], 1);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM opening_exceptions"), 0);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM outbox"), 0, "nobody is told anything");
}

#[actix_web::test]
async fn kept_bookings_stay_and_can_be_resolved_later() {
    let hall = Hall::new().await;
    let t = &hall.t;
    let (zhang, id) = hall.booked("zhang", "2026-11-25T09:00").await;
    t.run_jobs().await;
    let made = hall.except(closed("2026-11-25", "2026-11-25", json!({"affected": "keep"}))).await.created();
    assert_eq!((outcomes(&made), &made["affected"][0]["new_place"]), (json!(["kept"]), &Value::Null));
    assert_eq!(hall.seen(&zhang, &id).await["starts_at"], "2026-11-25T09:00:00+08:00");
    // It has been decided on: further changes leave it alone.
    assert_eq!(hall.put_window(json!({"state": "closed"})).await.ok()["affected_count"], 0);
    hall.put_window(json!({"state": "open"})).await.ok();
    let list = || t.get(&format!("/v1/windows/{}/affected?count=true", hall.window)).by(&hall.junxi).send();
    let seen = list().await.ok();
    assert_eq!((&seen["total"], &seen["items"][0]["id"]), (&json!(1), &json!(id)));
    let path = format!("/v1/windows/{}/resolve_affected", hall.window);
    let resolve = async |by: &Session, body: Value| {
        let body = with(json!({"from": "2026-11-25", "to": "2026-11-25"}), body);
        t.post(&path).by(by).json(body).send().await
    };
    resolve(&t.staff("cadre").await, json!({"affected": "move"})).await.problem(403, "forbidden");
    resolve(&crate::access::foreign_admin(t).await, json!({"affected": "move"})).await.problem(404, "not_found");
    assert_eq!(resolve(&hall.junxi, json!({})).await.problem(422, "invalid").faults(), ["/affected:required"]);
    assert_eq!(
        resolve(&hall.junxi, json!({"to": "2026-11-24", "affected": "move"})).await.problem(422, "invalid").faults(),
        [":days"]
    );
    assert_eq!(resolve(&hall.junxi, json!({"dry_run": true})).await.ok()["affected_count"], 1);
    assert_eq!(outcomes(&resolve(&hall.junxi, json!({"affected": "move"})).await.ok()), json!(["moved"]));
    assert_eq!(hall.seen(&zhang, &id).await["starts_at"], "2026-11-26T09:00:00+08:00");
    assert_eq!(list().await.ok()["total"], 0);
    assert_eq!(resolve(&hall.junxi, json!({"affected": "move"})).await.ok()["affected_count"], 0, "twice");
    assert_eq!(news(&hall, "changed"), 1);
    t.run_jobs().await;
}

#[actix_web::test]
async fn moved_to_the_nearest_places_without_overbooking_each_other() {
    let hall = Hall::new().await;
    let t = &hall.t;
    let mut booked = Vec::new();
    for (who, at) in [("a", "2026-11-25T09:00"), ("b", "2026-11-25T09:30"), ("c", "2026-11-25T10:00")] {
        booked.push(hall.booked(who, at).await);
    }
    // Somebody is there already, and only two slots are left afterwards.
    hall.booked("d", "2026-11-26T09:30").await;
    let part = json!({"opens_at": "10:30:00", "closes_at": "11:00:00"});
    hall.except(closed("2026-11-26", "2026-11-26", part)).await.created();
    hall.except(closed("2026-11-27", "2026-12-11", json!({}))).await.created();
    t.run_jobs().await;
    let made = hall.except(closed("2026-11-25", "2026-11-25", json!({"affected": "move"}))).await.created();
    assert_eq!(outcomes(&made), json!(["moved", "moved", "cancelled"]));
    assert_eq!((news(&hall, "changed"), news(&hall, "cancelled")), (2, 1));
    let mut starts = Vec::new();
    for (who, id) in &booked {
        let seen = hall.seen(who, id).await;
        starts.push(json!([seen["state"], seen["starts_at"].as_str().expect("a time")[5..16]]));
    }
    assert_eq!(
        json!(starts),
        json!([["booked", "11-26T09:00"], ["booked", "11-26T10:00"], ["cancelled", "11-25T10:00"]])
    );
    assert_eq!(hall.seen(&booked[2].0, &booked[2].1).await["cancel_reason"], "停电检修");
    let todos = t.get(&format!("/v1/todos?kind=call&unit_id={}", hall.unit)).by(&hall.junxi).send().await.ok();
    assert_eq!(
        (&todos["items"][0]["about"], &todos["items"][0]["about_id"]),
        (&json!("appointment"), &json!(booked[2].1))
    );
    let history = t.get(&format!("/v1/appointments/{}/history", booked[0].1)).by(&booked[0].0).send().await.ok();
    assert_eq!(history["items"][0]["actor_id"], json!(hall.junxi.subject));
    let written = "SELECT count(*) AS n FROM audit_log WHERE entity = 'appointment' AND action IN ('reschedule', 'cancel') AND reason = '停电检修'";
    assert_eq!(t.database.count(written), 3);
    t.run_jobs().await;
    // Each with a notice.
    let mut told = Vec::new();
    for (who, _) in &booked {
        let inbox = t.get("/v1/messages?limit=50").by(who).send().await.ok();
        told.push(inbox["items"][1]["kind"].clone());
    }
    assert_eq!(json!(told), json!(["appointment_changed", "appointment_changed", "appointment_cancelled"]));
    let inbox = t.get("/v1/messages?limit=50").by(&booked[2].0).send().await.ok();
    assert!(text(&inbox["items"][1]["text"]).ends_with("原因：停电检修。"), "{inbox}");
}

#[actix_web::test]
async fn to_another_window_at_the_same_time_if_it_has_a_place() {
    let hall = Hall::new().await;
    let t = &hall.t;
    let (zhang, id) = hall.booked("zhang", "2026-11-25T09:00").await;
    let body = json!({"unit_id": hall.unit, "name": "二号窗口", "matter_ids": [hall.matter]});
    let second = text(&t.post("/v1/windows").by(&hall.junxi).json(body).send().await.created()["id"]);
    t.post(&format!("/v1/windows/{second}/opening_rules"))
        .by(&hall.junxi)
        .json(rule("09:00", "11:00"))
        .send()
        .await
        .created();
    let moved = hall.put_window(json!({"state": "closed", "affected": "move"})).await.ok();
    assert_eq!((&moved["state"], outcomes(&moved)), (&json!("closed"), json!(["moved"])));
    let seen = hall.seen(&zhang, &id).await;
    assert_eq!((&seen["window"]["id"], &seen["starts_at"]), (&json!(second), &json!("2026-11-25T09:00:00+08:00")));
    t.run_jobs().await;
}

#[actix_web::test]
async fn too_many_for_a_smaller_slot_are_those_who_booked_last() {
    let hall = Hall::new().await;
    let t = &hall.t;
    hall.put_rule(with(rule("09:00", "11:00"), json!({"capacity_public": 3}))).await.ok();
    let mut booked = Vec::new();
    for who in ["a", "b", "c"] {
        booked.push(hall.booked(who, "2026-11-26T09:00").await);
        t.pass(chrono::TimeDelta::seconds(1));
    }
    t.run_jobs().await;
    let change = json!({"capacity_public": 1, "affected": "cancel", "reason": "减少名额"});
    let seen = hall.put_rule(with(rule("09:00", "11:00"), change)).await.ok();
    assert_eq!(outcomes(&seen), json!(["cancelled", "cancelled"]));
    let mut states = Vec::new();
    for (who, id) in &booked {
        states.push(hall.seen(who, id).await["state"].clone());
    }
    assert_eq!(json!(states), json!(["booked", "cancelled", "cancelled"]));
    assert_eq!(hall.seen(&booked[1].0, &booked[1].1).await["cancel_reason"], "减少名额");
    assert_eq!(news(&hall, "cancelled"), 2);
    t.run_jobs().await;
}

#[actix_web::test]
async fn an_extra_opening_with_bookings_is_not_just_removed() {
    let hall = Hall::new().await;
    let t = &hall.t;
    let extra = json!({"from_date": "2026-11-28", "until_date": "2026-11-28", "kind": "open", "like_weekday": 1, "reason": "周末无休"});
    let made = hall.except(extra).await.created();
    let (zhang, id) = hall.booked("zhang", "2026-11-28T10:00").await;
    let path = format!("/v1/opening_exceptions/{}", text(&made["items"][0]["id"]));
    let delete = |query: &str| t.call(Method::DELETE, &format!("{path}{query}")).by(&hall.junxi).send();
    delete("").await.problem(409, "bookings_affected");
    assert_eq!(delete("?reason=").await.problem(422, "invalid").faults(), ["reason:length"]);
    assert_eq!(outcomes(&delete("?affected=move").await.ok()), json!(["moved"]));
    assert_eq!(hall.seen(&zhang, &id).await["starts_at"], "2026-11-30T09:00:00+08:00");
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_is_only_held_goes_with_the_opening() {
    let hall = Hall::new().await;
    let t = &hall.t;
    let zhang = t.resident("zhang").await;
    let held = t.post("/v1/holds").by(&zhang).json(hall.booking("2026-11-25T09:00")).send().await.created();
    assert_eq!(hall.except(closed("2026-11-25", "2026-11-25", json!({}))).await.created()["affected_count"], 0);
    let path = format!("/v1/appointments/{}/book", text(&held["id"]));
    assert_eq!(t.post(&path).by(&zhang).json(json!({})).send().await.status, 409);
    assert_eq!(hall.seen(&zhang, &text(&held["id"])).await["state"], "lapsed");
}

#[actix_web::test]
async fn a_day_is_closed_while_others_book_it() {
    let hall = Hall::new().await;
    let t = &hall.t;
    hall.put_rule(with(rule("09:00", "11:00"), json!({"capacity_public": 20}))).await.ok();
    let residents = join_all((0..12).map(|number| async move { t.resident(&format!("r{number}")).await })).await;
    let book =
        async |who: &Session| t.post("/v1/appointments").by(who).json(hall.booking("2026-11-25T09:00")).send().await;
    let close = async || hall.except(closed("2026-11-25", "2026-11-25", json!({"affected": "move"}))).await;
    let ((first, closing), second) = tokio::join!(
        async { tokio::join!(join_all(residents[..6].iter().map(&book)), close()) },
        join_all(residents[6..].iter().map(&book)),
    );
    let closing = closing.created();
    let made = first.iter().chain(&second).filter(|reply| reply.status == 201).count();
    for reply in first.into_iter().chain(second).filter(|reply| reply.status != 201) {
        reply.problem(422, "slot_not_offered");
    }
    assert_eq!(closing["affected_count"], json!(made), "a booking is seen by the change or sees it");
    let there = "SELECT count(*) AS n FROM appointments WHERE state = 'booked' AND on_date = '2026-11-25'";
    assert_eq!(t.database.count(there), 0, "nobody finds a locked door");
    let moved = "SELECT count(*) AS n FROM appointments WHERE state = 'booked' AND on_date = '2026-11-26'";
    assert_eq!(t.database.count(moved), made as i64);
    t.run_jobs().await;
}

#[actix_web::test]
async fn bookings_of_an_absent_officer_wait_for_a_decision() {
    let hall = Hall::new().await;
    let t = &hall.t;
    let admin = t.staff("admin").await;
    let member = async |username: &str| {
        let body =
            json!({"username": username, "display_name": username, "role": "village_cadre", "unit_id": hall.unit});
        let made = t.post("/v1/staff").by(&admin).json(body).send().await.created();
        (text(&made["id"]), text(&made["posts"][0]["id"]))
    };
    let ((officer, post), (deputy, _)) = (member("officer").await, member("deputy").await);
    hall.put_window(json!({"officer_id": officer})).await.ok();
    let (zhang, id) = hall.booked("zhang", "2026-11-25T09:00").await;
    hall.booked("li", "2026-11-26T09:00").await;
    t.run_jobs().await;
    let todos = async || {
        let list = t.get(&format!("/v1/todos?kind=decide&unit_id={}", hall.unit)).by(&hall.junxi).send().await.ok();
        let of = list["items"].as_array().expect("items").iter().filter(|todo| todo["about_id"] == json!(hall.window));
        of.map(|todo| text(&todo["title"])).collect::<Vec<_>>()
    };
    let name_deputy = async |deputy: Option<&str>| {
        let path = format!("/v1/staff/{officer}/posts/{post}");
        t.put(&path).by(&admin).header("if-match", "*").json(json!({"deputy_id": deputy})).send().await.ok()
    };
    assert!(todos().await.is_empty());
    let body = json!({"from_on": "2026-11-25", "until_on": "2026-11-25"});
    let path = format!("/v1/staff/{officer}/absences");
    let absence = t.post(&path).by(&admin).json(body.clone()).send().await.created();
    let waiting = todos().await;
    assert!(waiting.len() == 1 && waiting[0].contains("2026-11-25"), "{waiting:?}");
    name_deputy(Some(&deputy)).await;
    assert!(todos().await.is_empty(), "the deputy is there");
    name_deputy(None).await;
    assert_eq!(todos().await.len(), 1);
    t.post(&format!("/v1/absences/{}/cancel", text(&absence["id"]))).by(&admin).json(json!({})).send().await.ok();
    assert!(todos().await.is_empty(), "the officer is there");
    t.post(&path).by(&admin).json(body).send().await.created();
    assert_eq!(todos().await.len(), 1);
    let list = t.get(&format!("/v1/windows/{}/affected", hall.window)).by(&hall.junxi).send().await.ok();
    assert_eq!((list["items"].as_array().map(Vec::len), &list["items"][0]["id"]), (Some(1), &json!(id)));
    let body = json!({"from": "2026-11-25", "to": "2026-11-25", "affected": "move"});
    let path = format!("/v1/windows/{}/resolve_affected", hall.window);
    let moved = t.post(&path).by(&hall.junxi).json(body).send().await.ok();
    assert_eq!(outcomes(&moved), json!(["moved"]));
    assert_eq!(hall.seen(&zhang, &id).await["starts_at"], "2026-11-26T09:30:00+08:00");
    assert!(todos().await.is_empty(), "nothing is left to decide");
    t.run_jobs().await;
}
