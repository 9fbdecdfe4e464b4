//! Absences, and the deputies who cover them.

use chrono::TimeDelta;
use futures_util::future::join_all;
use lianxin::{
    clock::local_date,
    staff,
    todos::{self, NewTodo},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Session, TestApp},
    staff::{PASSWORD, id, name_deputy, open, seen},
};

/// Records an absence of so many days from today.
async fn away(t: &TestApp, by: &Session, whom: &str, from: i64, until: i64) -> Value {
    let today = local_date(t.app.clock.now());
    let body = json!({"from_on": today + TimeDelta::days(from), "until_on": today + TimeDelta::days(until), "reason": "生病住院"});
    t.post(&format!("/v1/staff/{whom}/absences")).by(by).json(body).send().await.created()
}

async fn covered(t: &TestApp, staff: &str) -> Vec<String> {
    let (staff, on): (Uuid, _) = (staff.parse().expect("an id"), local_date(t.app.clock.now()));
    let read = t.app.db.read("test", move |conn| Ok(staff::covered_by(conn, 1, staff, on)?));
    read.await.expect("read").into_iter().map(|id| id.to_string()).collect()
}

async fn cover(t: &TestApp, holder: &str) -> String {
    let (holder, on): (Uuid, _) = (holder.parse().expect("an id"), local_date(t.app.clock.now()));
    t.app.db.read("test", move |conn| Ok(staff::cover_of(conn, 1, holder, on)?)).await.expect("read").to_string()
}

fn login(username: &str, role: &str, unit: Option<Uuid>) -> Value {
    json!({"county": "350425", "username": username, "password": PASSWORD, "role": role, "unit_id": unit})
}

struct Three {
    t: TestApp,
    admin: Session,
    /// Cadre of 红星村; b covers them.
    a: (String, Session),
    /// Of 均溪镇; c covers them.
    b: (String, Session),
    /// Supervisor of the county.
    c: (String, Session),
}

async fn three() -> Three {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (a, b, c) = (
        open(&t, &admin, "aa", "village_cadre", "红星村委会").await,
        open(&t, &admin, "bb", "township_staff", "均溪镇").await,
        open(&t, &admin, "cc", "supervisor", "大田县").await,
    );
    let [a, b, c] = [a, b, c].map(|(made, session)| (id(&made), session));
    name_deputy(&t, &admin, &a.0, Some(&b.0)).await.ok();
    name_deputy(&t, &admin, &b.0, Some(&c.0)).await.ok();
    Three { t, admin, a, b, c }
}

#[actix_web::test]
async fn recorded_by_oneself_or_an_administrator_and_never_twice_for_a_day() {
    let Three { t, admin, a, b, .. } = three().await;
    let made = away(&t, &a.1, &a.0, 0, 2).await;
    assert_eq!((&made["state"], &made["reason"]), (&json!("running"), &json!("生病住院")));
    assert!(!t.database.everything().contains("生病住院"), "an illness is sealed");
    let path = format!("/v1/staff/{}/absences", a.0);
    let body = |from: &str, until: &str| json!({"from_on": from, "until_on": until});
    let put = |by: &Session, body: Value| t.post(&path).by(by).json(body).send();
    put(&admin, body("2026-11-25", "2026-11-30")).await.problem(409, "absence_overlaps");
    put(&b.1, body("2026-12-01", "2026-12-01")).await.problem(404, "not_found");
    assert_eq!(put(&a.1, body("2026-11-26", "2026-11-25")).await.problem(422, "invalid").faults(), [":days"]);
    assert_eq!(put(&a.1, body("2026-11-20", "2026-11-22")).await.problem(422, "invalid").faults(), ["/until_on:past"]);
    let at_once = join_all((0..4).map(|_| put(&a.1, body("2026-12-01", "2026-12-03")))).await;
    let mut statuses: Vec<_> = at_once.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
    // Right after the other is no overlap.
    put(&admin, body("2026-11-26", "2026-11-26")).await.created();

    let looks = "SELECT count(*) AS n FROM audit_log WHERE action = 'read_absences'";
    let list = t.get(&format!("{path}?count=true")).by(&a.1).send().await.ok();
    assert_eq!((&list["total"], t.database.count(looks)), (&json!(3), 0));
    t.get(&path).by(&admin).send().await.ok();
    assert_eq!(t.database.count(looks), 1, "an administrator's look at reasons is recorded");
    t.get(&path).by(&b.1).send().await.problem(404, "not_found");
    assert_eq!(seen(&t, &admin, &a.0).await["away_until"], "2026-11-25");

    let cancel =
        async |by: &Session| t.post(&format!("/v1/absences/{}/cancel", id(&made))).by(by).json(json!({})).send().await;
    cancel(&b.1).await.problem(404, "not_found");
    assert_eq!(cancel(&a.1).await.ok()["state"], "cancelled");
    cancel(&a.1).await.problem(409, "absence_over");
    assert_eq!(seen(&t, &admin, &a.0).await["away_until"], Value::Null);
}

#[actix_web::test]
async fn whoever_is_away_is_covered_along_the_chain() {
    let Three { t, admin, a, b, c } = three().await;
    assert_eq!((covered(&t, &b.0).await, cover(&t, &a.0).await), (vec![], a.0.clone()));
    away(&t, &admin, &a.0, 0, 5).await;
    assert_eq!((covered(&t, &b.0).await, cover(&t, &a.0).await), (vec![a.0.clone()], b.0.clone()));
    assert_eq!(covered(&t, &c.0).await, Vec::<String>::new());
    away(&t, &admin, &b.0, 1, 2).await;
    assert_eq!(cover(&t, &a.0).await, b.0, "b is away from tomorrow");
    t.pass(TimeDelta::days(1));
    let mut both = vec![a.0.clone(), b.0.clone()];
    both.sort();
    assert_eq!((covered(&t, &c.0).await, cover(&t, &a.0).await), (both, c.0.clone()));
    assert_eq!((covered(&t, &b.0).await, cover(&t, &b.0).await), (vec![], c.0.clone()));
    // Nobody is left: what comes stays with the holder.
    away(&t, &t.staff("admin").await, &c.0, 0, 0).await;
    assert_eq!(cover(&t, &a.0).await, a.0);
    t.pass(TimeDelta::days(2));
    assert_eq!(cover(&t, &a.0).await, b.0, "b is back");
    t.pass(TimeDelta::days(3));
    assert_eq!((covered(&t, &b.0).await, cover(&t, &a.0).await), (vec![], a.0.clone()));
}

#[actix_web::test]
async fn a_todo_for_somebody_away_goes_to_their_cover() {
    let Three { t, admin, a, b, .. } = three().await;
    away(&t, &admin, &a.0, 0, 0).await;
    let (holder, now): (Uuid, _) = (a.0.parse().expect("an id"), t.app.clock.now());
    let open = t.app.db.write("test", move |conn| {
        let title = lianxin::error::Text::fixed("打电话", "call");
        let (unit, resident, about, due_at, created_by) = (None, None, None, None, None);
        let kind = todos::Kind::Call;
        todos::open(
            conn,
            NewTodo { county: 1, kind, unit, resident, about, title, holder: Some(holder), due_at, created_by },
            now,
        )
    });
    let todo = open.await.expect("opened").expect("one");
    assert_eq!(todo.holder_id.expect("taken").to_string(), b.0);
    let told = format!(
        "SELECT count(*) AS n FROM changes WHERE entity = 'staff' AND entity_id = '{}' AND staff_id = '{}'",
        a.0, b.0
    );
    assert_eq!(t.database.count(&told), 2, "the deputy's phone learns who is deputy, and of the absence");
}

#[actix_web::test]
async fn a_deputy_logs_in_as_the_post_until_the_absence_ends() {
    let Three { t, admin, a, b, .. } = three().await;
    let as_a = || t.post("/v1/sessions/staff").json(login("bb", "village_cadre", None)).send();
    as_a().await.problem(401, "login_failed");
    away(&t, &admin, &a.0, 0, 1).await;
    let reply = as_a().await.is(201);
    assert_eq!((&reply["covers_id"], &reply["covers_until"]), (&json!(a.0), &json!("2026-11-25T00:00:00+08:00")));
    assert_eq!(reply["subject_id"], json!(b.0));
    assert_eq!(reply["unit_id"], json!(t.unit("红星村委会").await));
    assert_eq!(reply["refresh_expires_in_seconds"], 40 * 3600);
    let session = reply.session();
    // Not longer by refreshing either.
    t.set_time("2026-11-24T23:55:00+08:00");
    let body = json!({"refresh_token": session.refresh});
    let tokens = t.post("/v1/sessions/refresh").json(body).send().await.ok();
    assert_eq!((&tokens["expires_in_seconds"], &tokens["refresh_expires_in_seconds"]), (&json!(300), &json!(300)));
    let text = |name: &str| tokens[name].as_str().expect("a token").to_owned();
    let session = Session { access: text("access_token"), refresh: text("refresh_token"), subject: session.subject };
    t.get("/v1/sessions/current").by(&session).send().await.is(200);
    t.set_time("2026-11-25T00:00:00+08:00");
    t.get("/v1/sessions/current").by(&session).send().await.problem(401, "token_expired");
    let body = json!({"refresh_token": session.refresh});
    t.post("/v1/sessions/refresh").json(body).send().await.problem(401, "session_ended");
    as_a().await.problem(401, "login_failed");
}

#[actix_web::test]
async fn cover_ends_with_what_it_rests_on() {
    let Three { t, admin, a, b, c } = three().await;
    let ended = "SELECT count(*) AS n FROM sessions WHERE ended_because = 'cover_ended'";
    let as_a = |who: &'static str| t.post("/v1/sessions/staff").json(login(who, "village_cadre", None)).send();

    // The absence is cancelled.
    let absence = away(&t, &admin, &a.0, 0, 9).await;
    let session = as_a("bb").await.session();
    t.post(&format!("/v1/absences/{}/cancel", id(&absence))).by(&a.1).json(json!({})).send().await.ok();
    assert_eq!(t.database.count(ended), 1);
    crate::sessions::ends_within_five_seconds(&t, &session).await;
    t.get("/v1/sessions/current").by(&b.1).send().await.is(200);

    // The deputy goes away too, and theirs takes over; two steps of cover end with the earlier absence.
    away(&t, &admin, &a.0, 0, 9).await;
    as_a("bb").await.session();
    let second = away(&t, &admin, &b.0, 0, 3).await;
    assert_eq!(t.database.count(ended), 2);
    as_a("bb").await.problem(401, "login_failed");
    let by_c = as_a("cc").await.is(201);
    assert_eq!(by_c["covers_until"], "2026-11-27T00:00:00+08:00");
    let as_b = json!({"county": "350425", "username": "cc", "password": PASSWORD, "role": "township_staff"});
    t.post("/v1/sessions/staff").json(as_b).send().await.is(201);

    // The deputy is back: c covers nobody.
    t.post(&format!("/v1/absences/{}/cancel", id(&second))).by(&admin).json(json!({})).send().await.ok();
    assert_eq!(t.database.count(ended), 4);

    // Another deputy is named, and the post ends.
    as_a("bb").await.session();
    name_deputy(&t, &admin, &a.0, Some(&c.0)).await.ok();
    assert_eq!(t.database.count(ended), 5);
    as_a("cc").await.session();
    let post = seen(&t, &admin, &a.0).await["posts"][0]["id"].clone();
    let end = format!("/v1/staff/{}/posts/{}/end", a.0, post.as_str().expect("a post"));
    t.post(&end).by(&admin).json(json!({})).send().await.ok();
    assert_eq!(t.database.count(ended), 6);
    let live = "SELECT count(*) AS n FROM sessions WHERE covers_id IS NOT NULL AND ended_at IS NULL";
    assert_eq!(t.database.count(live), 0);
}

#[actix_web::test]
async fn whoever_is_enabled_again_stands_in_again() {
    let Three { t, admin, a, b, .. } = three().await;
    away(&t, &admin, &a.0, 0, 9).await;
    t.database.run(&format!("UPDATE staff SET state = 'disabled' WHERE id = '{}'", b.0));
    let by_c = t.post("/v1/sessions/staff").json(login("cc", "village_cadre", None)).send().await.session();
    t.post(&format!("/v1/staff/{}/enable", b.0)).by(&admin).json(json!({})).send().await.ok();
    crate::sessions::ends_within_five_seconds(&t, &by_c).await;
    assert_eq!(t.database.count("SELECT count(*) AS n FROM sessions WHERE ended_because = 'cover_ended'"), 1);
}
