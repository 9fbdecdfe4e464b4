//! Households: points that somebody has refused, whoever takes one over, whoever stands in, and numbers that are of nobody.

use chrono::{Days, NaiveDate};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Session, TestApp},
    households::{category, create, here, seen, tell},
    merging::{id, register},
    staff::{PASSWORD, name_deputy, open},
    visits::{check_in, visit},
};

fn uuid(of: &Value) -> Uuid {
    id(of).parse().expect("an id")
}

/// Somebody of 红星村 who does not agree that their whereabouts are kept.
async fn refusing(t: &TestApp, by: &Session, name: &str) -> Value {
    let who = register(t, by, name, None, None).await;
    let body = json!({"purpose": "position", "version": 1, "answer": "refused", "how": "spoken"});
    t.post(&format!("/v1/residents/{}/consents", id(&who))).by(by).json(body).send().await.created();
    who
}

fn points(t: &TestApp) -> i64 {
    t.database.count("SELECT (SELECT count(*) FROM households WHERE lng IS NOT NULL) + (SELECT count(*) FROM household_points WHERE given_lng IS NOT NULL) AS n")
}

#[actix_web::test]
async fn a_point_goes_with_whoever_comes_and_has_refused_it() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let who = refusing(&t, &cadre, "陈阿婆").await;
    let home = create(&t, &cadre, "陈家", json!({"point": here()})).await;
    assert_eq!(points(&t), 2);
    let added = tell(&t, &cadre, &home, "members", json!({"resident_id": who["id"], "relation": "head"})).await.ok();
    assert_eq!((&added["point_set_at"], points(&t)), (&Value::Null, 0));
    assert_eq!(seen(&t, &specialist, &home).await["point"], Value::Null);
    // By a merge, from either side.
    for stays_with_point in [true, false] {
        let with = create(&t, &cadre, "林家", json!({"point": here()})).await;
        let other = refusing(&t, &cadre, "林某").await;
        let members = json!({"members": [{"resident_id": other["id"], "relation": "head"}]});
        let without = create(&t, &cadre, "林家二", members).await;
        let (stays, goes) = if stays_with_point { (with, without) } else { (without, with) };
        let body = json!({"duplicate_id": goes["id"], "reason": "重复登记"});
        let one = tell(&t, &cadre, &stays, "merge", body).await.ok();
        assert_eq!((&one["point_set_at"], points(&t)), (&Value::Null, 0), "{stays_with_point}");
    }
    t.run_jobs().await;
}

#[actix_web::test]
async fn numbers_that_changed_places_are_told_of_a_home_too() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let home = create(&t, &cadre, "陈家", json!({})).await;
    let swapped = json!({"point": {"lng": 25.6896, "lat": 117.8521, "coordinate_system": "gcj02"}});
    let reply = tell(&t, &cadre, &home, "points", swapped).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/point/lat:range", "/point:swapped"]);
    let spot =
        json!({"household": {"name": "郑家", "home": {"lng": 25.69, "lat": 87.0, "coordinate_system": "wgs84"}}});
    let reply = check_in(&t, &t.staff("specialist").await, &visit(Uuid::now_v7(), spot)).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/visit/household/home:swapped"]);
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_takes_a_household_over_says_why_as_for_a_look() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let home = create(&t, &cadre, "陈家", json!({"address": "红星村 12 号"})).await;
    let me = json!({"holder_id": cadre.subject});
    let refused = tell(&t, &cadre, &home, "hand_over", me).await.problem(422, "invalid");
    assert_eq!(refused.faults(), ["/reason:required"]);
    let partner = tell(&t, &cadre, &home, "partners", json!({"staff_id": cadre.subject})).await.problem(422, "invalid");
    assert_eq!(partner.faults(), ["/reason:required"]);
    assert_eq!(seen(&t, &cadre, &home).await["address"], Value::Null);
    let me = json!({"holder_id": cadre.subject, "reason": "特派员出差"});
    let path = format!("/v1/households/{}/hand_over", id(&home));
    let take = || t.post(&path).by(&cadre).key("once").header("if-match", "*").json(me.clone()).send();
    assert_eq!(take().await.ok()["address"], "红星村 12 号");
    // A lost answer that is asked for again is no other look.
    take().await.ok();
    let told = "SELECT count(*) AS n FROM audit_log WHERE action = 'hand_over' AND reason = '特派员出差'";
    assert_eq!(t.database.count(told), 1);
    // To somebody else it takes none.
    tell(&t, &cadre, &home, "hand_over", json!({"holder_id": specialist.subject})).await.ok();
    // Looks and takings over are counted together.
    for _ in 0..29 {
        let path = format!("/v1/households/{}/reveal", id(&home));
        t.post(&path).by(&cadre).json(json!({"reason": "上门送药"})).send().await.ok();
    }
    let again = json!({"holder_id": cadre.subject, "reason": "特派员出差"});
    tell(&t, &cadre, &home, "hand_over", again).await.problem(429, "too_many_requests");
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_planned_end_of_a_partnership_is_lifted() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let (_, chen) = open(&t, &admin, "chen", "township_staff", "石牌镇").await;
    let home = create(&t, &cadre, "陈家", json!({})).await;
    tell(&t, &cadre, &home, "partners", json!({"staff_id": chen.subject, "until_on": "2026-12-31"})).await.ok();
    let partners = || t.get(&format!("/v1/households/{}/partners", id(&home))).by(&cadre).send();
    let one = partners().await.ok()["items"][0].clone();
    let end = format!("partners/{}/end", id(&one));
    let both = tell(&t, &cadre, &home, &end, json!({"lift": true, "on": "2026-12-30"})).await.problem(422, "invalid");
    assert_eq!(both.faults(), ["/on:not_both"]);
    let lifted = tell(&t, &cadre, &home, &end, json!({"lift": true})).await.ok();
    assert_eq!(lifted["partner_id"], json!(chen.subject));
    assert_eq!(partners().await.ok()["items"][0]["until_on"], Value::Null);
    t.run_jobs().await;
}

/// Whoever stands in for an absent holder sees what the holder sees, wherever it is, and no longer than that.
#[actix_web::test]
async fn a_deputy_sees_what_the_holder_sees() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let (holder, away) = open(&t, &admin, "holder", "township_staff", "石牌镇").await;
    let (_, deputy) = open(&t, &admin, "deputy", "township_staff", "上京镇").await;
    name_deputy(&t, &admin, &id(&holder), Some(&deputy.subject.to_string())).await.ok();
    let more = json!({"address": "红星村 12 号", "category_id": category(&t, "一般户").await});
    let home = create(&t, &cadre, "陈家", more).await;
    tell(&t, &cadre, &home, "hand_over", json!({"holder_id": away.subject})).await.ok();
    let path = format!("/v1/households/{}", id(&home));
    t.get(&path).by(&deputy).send().await.problem(404, "not_found");
    let absence = json!({"from_on": "2026-11-23", "until_on": "2026-11-23", "reason": "生病住院"});
    t.post(&format!("/v1/staff/{}/absences", id(&holder))).by(&admin).json(absence).send().await.created();
    assert_eq!(seen(&t, &deputy, &home).await["address"], "红星村 12 号");
    let listed = t.get("/v1/households?count=true").by(&deputy).send().await.ok();
    assert_eq!((&listed["total"], &listed["items"][0]["id"]), (&json!(1), &home["id"]));
    let tasks = t.get("/v1/visit-tasks?count=true").by(&deputy).send().await.ok();
    assert_eq!((&tasks["total"], &tasks["items"][0]["household_id"]), (&json!(1), &home["id"]));
    check_in(&t, &deputy, &visit(uuid(&home), json!({}))).await.created();
    t.set_time("2026-11-24T08:00:00+08:00");
    let body = json!({"county": "350425", "username": "deputy", "password": PASSWORD, "role": "township_staff"});
    let deputy = t.post("/v1/sessions/staff").json(body).send().await.session();
    t.get(&path).by(&deputy).send().await.problem(404, "not_found");
    assert_eq!(t.get("/v1/visit-tasks?count=true").by(&deputy).send().await.ok()["total"], 0);
    t.run_jobs().await;
}

#[actix_web::test]
async fn nobody_counts_what_somebody_else_has_resolved() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let list = |by: &Session, of: &Session, state: &str| {
        let path = format!("/v1/visit-tasks?holder_id={}&state={state}&count=true", of.subject);
        t.get(&path).by(by).send()
    };
    for state in ["resolved", "dropped"] {
        let refused = list(&cadre, &specialist, state).await.problem(422, "invalid");
        assert_eq!(refused.faults(), ["holder_id:open_only"]);
        list(&specialist, &specialist, state).await.ok();
    }
    list(&cadre, &specialist, "open").await.ok();
    t.run_jobs().await;
}

/// Households count once: due also when they were overdue before, and by the best of the period.
#[actix_web::test]
async fn numbers_are_of_households() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let weekly = json!({"name": "每周", "every_days": 7, "window_days": 7});
    let weekly = t.post("/v1/visit-categories").by(&admin).json(weekly).send().await.created()["id"].clone();
    let mut homes = Vec::new();
    for name in ["甲家", "乙家", "丙家", "丁家"] {
        homes.push(create(&t, &cadre, name, json!({"category_id": weekly})).await);
    }
    let day = |after: u64| {
        NaiveDate::from_ymd_opt(2026, 11, 23).and_then(|day| day.checked_add_days(Days::new(after))).expect("a day")
    };
    let come = async |home: &Value, after: u64, outcome: &str| {
        t.set_time(&format!("{}T10:00:00+08:00", day(after)));
        let cadre = t.staff("cadre").await;
        let said =
            visit(uuid(home), json!({"outcome": outcome, "device_at": format!("{}T09:00:00+08:00", day(after))}));
        let body = json!({"sent_at": format!("{}T10:00:00+08:00", day(after)), "visit": said});
        t.post("/v1/visits").by(&cadre).json(body).send().await.created();
    };
    // All due by 30 November. 甲 is met twice in time, 乙 after the due day, 丙 declines and is not found, 丁 is met by nobody.
    come(&homes[0], 2, "seen").await;
    come(&homes[2], 3, "declined").await;
    come(&homes[2], 4, "not_found").await;
    come(&homes[3], 5, "not_found").await;
    come(&homes[0], 9, "seen").await;
    come(&homes[1], 10, "seen").await;
    let numbers = async |from: u64, to: u64| {
        let (junxi, path) = (t.staff("junxi").await, format!("/v1/visits/numbers?from={}&to={}", day(from), day(to)));
        let here = t.get(&path).by(&junxi).send().await.ok()["items"][0].clone();
        ["households", "due", "met", "seen", "declined", "not_found", "visits"]
            .map(|name| here[name].as_i64().expect(name))
    };
    assert_eq!(numbers(0, 7).await, [4, 4, 1, 1, 1, 1, 4]);
    // Of the days after: 乙 was overdue and met, 丙 and 丁 still are; 甲 was due again and met.
    assert_eq!(numbers(8, 10).await, [4, 4, 1, 2, 0, 0, 2]);
    // Two that turn out to be one count as one.
    let cadre = t.staff("cadre").await;
    let body = json!({"duplicate_id": homes[3]["id"], "reason": "重复登记"});
    tell(&t, &cadre, &homes[2], "merge", body).await.ok();
    assert_eq!(numbers(0, 7).await, [3, 3, 1, 1, 1, 0, 4]);
    t.run_jobs().await;
}

/// Whoever moves on hands over what they had, and keeps what the new post brings.
#[actix_web::test]
async fn a_transfer_hands_over_the_old_and_brings_the_new() {
    let t = TestApp::new().await;
    let (admin, cadre, junxi) = (t.staff("admin").await, t.staff("cadre").await, t.staff("junxi").await);
    let (made, chen) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    let free = "SELECT u.id::text AS text FROM units u JOIN units p ON p.county_id = u.county_id AND p.id = u.parent_id WHERE p.name = '均溪镇' AND u.level = 'village' \
         AND NOT EXISTS (SELECT FROM staff_posts s WHERE s.unit_id = u.id) ORDER BY u.name LIMIT 1";
    let free: Uuid = t.database.text(free).parse().expect("an id");
    let body = json!({"unit_id": free, "name": "无人负责"});
    let nobody = t.post("/v1/households").by(&junxi).json(body).send().await.created();
    assert_eq!(nobody["holder_id"], Value::Null);
    let held = create(&t, &cadre, "陈家", json!({})).await;
    tell(&t, &cadre, &held, "hand_over", json!({"holder_id": chen.subject})).await.ok();
    let helped = create(&t, &cadre, "林家", json!({})).await;
    let helped = tell(&t, &cadre, &helped, "partners", json!({"staff_id": chen.subject})).await.ok();
    let now = crate::staff::seen(&t, &admin, &id(&made)).await;
    let to = json!({"role": "village_cadre", "unit_id": free});
    let body = json!({"post_id": now["posts"][0]["id"], "to": to, "hand_over_to": cadre.subject});
    let path = format!("/v1/staff/{}/transfer", id(&made));
    let version = format!("\"{}\"", now["version"]);
    t.post(&path).by(&admin).header("if-match", &version).json(body).send().await.ok();
    assert_eq!(seen(&t, &junxi, &nobody).await["holder_id"], json!(chen.subject), "the new post brings it");
    assert_eq!(seen(&t, &junxi, &held).await["holder_id"], json!(cadre.subject));
    let after = seen(&t, &junxi, &helped).await;
    assert_eq!(after["partner_id"], json!(cadre.subject));
    assert!(after["version"].as_i64() > helped["version"].as_i64(), "phones learn of the other partner");
    t.run_jobs().await;
}

/// A visit that met nobody after all: a later one resolves its task, late; without that, the oldest is due again.
#[actix_web::test]
async fn a_task_is_resolved_late_by_a_visit_of_a_later_window() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let weekly = json!({"name": "每周", "every_days": 7, "window_days": 7});
    let weekly = t.post("/v1/visit-categories").by(&admin).json(weekly).send().await.created()["id"].clone();
    let home = create(&t, &cadre, "陈家", json!({"category_id": weekly})).await;
    let come = async |day: &str| {
        t.set_time(&format!("{day}T10:00:00+08:00"));
        let said = visit(uuid(&home), json!({"device_at": format!("{day}T09:00:00+08:00")}));
        let body = json!({"sent_at": format!("{day}T10:00:00+08:00"), "visit": said});
        t.post("/v1/visits").by(&t.staff("cadre").await).json(body).send().await.created()
    };
    let amend = async |visit: &Value| {
        let path = format!("/v1/visits/{}/amendments", id(visit));
        let body = json!({"outcome": "not_found"});
        t.post(&path).by(&t.staff("cadre").await).json(body).send().await.created();
    };
    let tasks = || {
        t.database.texts(
            "SELECT concat_ws(' ', state, due_on, resolved_on) AS text FROM visit_tasks ORDER BY opens_on, due_on",
        )
    };
    let (first, second) = (come("2026-11-25").await, come("2026-12-02").await);
    assert_eq!(tasks(), ["resolved 2026-11-30 2026-11-25", "resolved 2026-12-02 2026-12-02", "open 2026-12-09"]);
    amend(&first).await;
    assert_eq!(tasks(), ["resolved 2026-11-30 2026-12-02", "resolved 2026-12-02 2026-12-02", "open 2026-12-09"]);
    amend(&second).await;
    assert_eq!(tasks(), ["open 2026-11-30", "dropped 2026-12-02", "dropped 2026-12-09"]);
    t.run_jobs().await;
}
