//! Accounts, posts, deputies, transfer, dismissal, stale accounts.

use chrono::TimeDelta;
use futures_util::future::join_all;
use lianxin::units::tenants;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::foreign_admin,
    harness::{Reply, Session, TestApp},
};

pub const PASSWORD: &str = "correct horse battery";

pub fn id(of: &Value) -> String {
    of["id"].as_str().expect("an id").to_owned()
}

/// A new account without a password.
pub async fn make(t: &TestApp, admin: &Session, username: &str, role: &str, unit: &str) -> Value {
    let unit = t.unit(unit).await;
    let body = json!({"username": username, "display_name": "新人", "role": role, "unit_id": unit});
    t.post("/v1/staff").by(admin).json(body).send().await.created()
}

/// A one-time password of an account.
pub async fn one_time(t: &TestApp, admin: &Session, id: &str) -> String {
    let path = format!("/v1/staff/{id}/reset_password");
    let reply = t.post(&path).by(admin).json(json!({})).send().await.is(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    reply["one_time_password"].as_str().expect("a password").to_owned()
}

/// An account whose owner has chosen [`PASSWORD`], logged in.
pub async fn open(t: &TestApp, admin: &Session, username: &str, role: &str, unit: &str) -> (Value, Session) {
    let made = make(t, admin, username, role, unit).await;
    let password = one_time(t, admin, &id(&made)).await;
    let body =
        json!({"county": "350425", "username": username, "password": password, "role": role, "new_password": PASSWORD});
    let session = t.post("/v1/sessions/staff").json(body).send().await.session();
    (made, session)
}

/// As an administrator sees somebody now.
pub async fn seen(t: &TestApp, admin: &Session, id: &str) -> Value {
    t.get(&format!("/v1/staff/{id}")).by(admin).send().await.ok()
}

pub async fn by_username(t: &TestApp, admin: &Session, username: &str) -> Value {
    let page = t.get(&format!("/v1/staff?username={username}")).by(admin).send().await.ok();
    page["items"][0].clone()
}

/// Names a deputy for the first post of somebody.
pub async fn name_deputy(t: &TestApp, admin: &Session, holder: &str, deputy: Option<&str>) -> Reply {
    let now = seen(t, admin, holder).await;
    let path = format!("/v1/staff/{holder}/posts/{}", now["posts"][0]["id"].as_str().expect("a post"));
    let version = format!("\"{}\"", now["version"]);
    t.put(&path).by(admin).header("if-match", &version).json(json!({"deputy_id": deputy})).send().await
}

#[actix_web::test]
async fn created_without_a_password_listed_and_changed() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let unit = t.unit("红星村委会").await;
    let body = json!({"username": "chen.xiaolan", "display_name": "陈小兰", "phone": "0598-7220001", "role": "village_cadre",
        "unit_id": unit});
    let created = t.post("/v1/staff").by(&admin).json(body.clone()).send().await.is(201);
    assert_eq!(created.header("location"), format!("/v1/staff/{}", id(&created.body)));
    assert_eq!(created["account"]["password"], "none");
    assert_eq!((&created["phone"], &created["posts"][0]["role"]), (&json!("0598-7220001"), &json!("village_cadre")));
    t.post("/v1/staff").by(&admin).json(body).send().await.problem(409, "name_taken");

    let page = t.get(&format!("/v1/staff?unit_id={unit}&count=true")).by(&admin).send().await.ok();
    assert_eq!(page["total"], 3);
    let page = t.get("/v1/staff?role=village_cadre&state=active&limit=1").by(&admin).send().await.ok();
    let cursor = page["next_cursor"].as_str().expect("two cadres");
    let page = t.get(&format!("/v1/staff?role=village_cadre&limit=1&cursor={cursor}")).by(&admin).send().await.ok();
    assert_eq!(page["items"][0]["account"]["username"], "chen.xiaolan");

    let path = format!("/v1/staff/{}", id(&created.body));
    let update = json!({"display_name": "陈小兰兰", "phone": "13950900001"});
    t.put(&path).by(&admin).json(update.clone()).send().await.problem(428, "precondition_required");
    let read = t.get(&path).by(&admin).send().await.is(200);
    let tag = read.header("etag").to_owned();
    let changed = t.put(&path).by(&admin).header("if-match", &tag).json(update.clone()).send().await.ok();
    assert_eq!((&changed["display_name"], &changed["phone"]), (&json!("陈小兰兰"), &json!("13950900001")));
    t.put(&path).by(&admin).header("if-match", &tag).json(update).send().await.problem(412, "version_stale");
    let entries = "SELECT count(*) AS n FROM audit_log WHERE entity = 'staff' AND action IN ('create', 'update')";
    assert_eq!(t.database.count(entries), 2);
}

#[actix_web::test]
async fn every_fault_of_a_new_account_is_told() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let body = json!({"username": "Chen", "display_name": " ", "phone": "12", "role": "village_cadre", "unit_id": t.unit("均溪镇").await});
    let reply = t.post("/v1/staff").by(&admin).json(body).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/display_name:display_name", "/phone:phone", "/username:username"]);
    for (role, unit, deputy, faults) in [
        ("village_cadre", t.unit("均溪镇").await, None, vec!["/unit_id:unit_level"]),
        ("resident", t.unit("均溪镇").await, None, vec!["/role:role"]),
        ("township_staff", Uuid::nil(), Some(Uuid::nil()), vec!["/deputy_id:unknown_staff", "/unit_id:unknown_unit"]),
    ] {
        let body =
            json!({"username": "chen", "display_name": "陈", "role": role, "unit_id": unit, "deputy_id": deputy});
        let reply = t.post("/v1/staff").by(&admin).json(body).send().await.problem(422, "invalid");
        assert_eq!(reply.faults(), faults);
    }
}

#[actix_web::test]
async fn the_duty_board_shows_those_within_reach_without_their_accounts() {
    let t = TestApp::new().await;
    let (admin, junxi, cadre) = (t.staff("admin").await, t.staff("junxi").await, t.staff("cadre").await);
    let far = make(&t, &admin, "far", "township_staff", "石牌镇").await;
    let board = t.get("/v1/staff?limit=200").by(&junxi).send().await.ok();
    let names: Vec<_> =
        board["items"].as_array().expect("items").iter().map(|one| one["display_name"].clone()).collect();
    assert_eq!(names, ["均溪镇工作人员", "红星村代办员", "红星村特派员"]);
    assert_eq!(board["items"][1]["account"], Value::Null);
    t.get(&format!("/v1/staff/{}", id(&far))).by(&junxi).send().await.problem(404, "not_found");
    t.get("/v1/staff?username=admin").by(&junxi).send().await.problem(403, "forbidden");
    let own = t.get(&format!("/v1/staff/{}", cadre.subject)).by(&cadre).send().await.ok();
    assert_eq!(own["account"]["username"], "cadre");
    t.get(&format!("/v1/staff/{}", junxi.subject)).by(&cadre).send().await.problem(404, "not_found");
    let foreign = foreign_admin(&t).await;
    t.get(&format!("/v1/staff/{}", cadre.subject)).by(&foreign).send().await.problem(404, "not_found");
    let board = t.get("/v1/staff?limit=200").by(&t.staff("civil.affairs").await).send().await.ok();
    assert_eq!(board["items"].as_array().expect("items").len(), 7, "the whole county");
}

#[actix_web::test]
async fn posts_are_given_and_ended_with_their_sessions() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (made, session) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    let path = format!("/v1/staff/{}/posts", id(&made));
    let village = t.unit("红星村委会").await;
    let body = json!({"role": "specialist", "unit_id": village});
    let given = t.post(&path).by(&admin).json(body.clone()).send().await.created();
    assert_eq!(given["posts"].as_array().expect("posts").len(), 2);
    t.post(&path).by(&admin).json(body.clone()).send().await.problem(409, "post_held");
    let same = json!({"role": "specialist", "unit_id": village, "deputy_id": id(&made)});
    let reply = t.post(&path).by(&admin).json(same).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/deputy_id:deputy_self"]);

    let other = json!({"county": "350425", "username": "chen", "password": PASSWORD, "role": "specialist"});
    let other = t.post("/v1/sessions/staff").json(other).send().await.session();
    let end = format!("{path}/{}/end", given["posts"][0]["id"].as_str().expect("a post"));
    let ended = t.post(&end).by(&admin).json(json!({})).send().await.ok();
    assert_eq!(ended["posts"].as_array().expect("posts").len(), 1);
    t.post(&end).by(&admin).json(json!({})).send().await.problem(409, "post_ended");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM sessions WHERE ended_because = 'post_ended'"), 1);
    crate::sessions::ends_within_five_seconds(&t, &session).await;
    t.get("/v1/sessions/current").by(&other).send().await.is(200);
    let again = json!({"county": "350425", "username": "chen", "password": PASSWORD, "role": "village_cadre"});
    t.post("/v1/sessions/staff").json(again).send().await.problem(401, "login_failed");
    // A post that ended can be given again.
    let body = json!({"role": "village_cadre", "unit_id": village});
    t.post(&path).by(&admin).json(body).send().await.created();
}

#[actix_web::test]
async fn deputies_never_go_in_a_circle_not_even_when_named_at_once() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let mut ids = Vec::new();
    for name in ["aa", "bb", "cc"] {
        ids.push(id(&make(&t, &admin, name, "village_cadre", "红星村委会").await));
    }
    let [a, b, c] = [&ids[0], &ids[1], &ids[2]].map(String::as_str);
    name_deputy(&t, &admin, a, Some(b)).await.ok();
    let circle = name_deputy(&t, &admin, b, Some(a)).await.problem(409, "deputy_circle");
    assert!(circle["detail"].as_str().expect("a reason").contains("没有人接手"));
    name_deputy(&t, &admin, b, Some(c)).await.ok();
    name_deputy(&t, &admin, c, Some(a)).await.problem(409, "deputy_circle");
    assert_eq!(name_deputy(&t, &admin, c, Some(c)).await.problem(422, "invalid").faults(), ["/deputy_id:deputy_self"]);
    name_deputy(&t, &admin, b, None).await.ok();
    for _ in 0..3 {
        for holder in [a, b, c] {
            name_deputy(&t, &admin, holder, None).await.ok();
        }
        let all =
            join_all([(a, b), (b, c), (c, a)].map(|(holder, deputy)| name_deputy(&t, &admin, holder, Some(deputy))))
                .await;
        let mut statuses: Vec<_> = all.iter().map(|reply| reply.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 409]);
    }
}

#[actix_web::test]
async fn the_last_administrator_stays() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let me = by_username(&t, &admin, "admin").await;
    let dismiss = async |by: &Session, whom: &str| {
        let body = json!({"reason": "离职"});
        t.post(&format!("/v1/staff/{whom}/dismiss")).by(by).header("if-match", "*").json(body).send().await
    };
    dismiss(&admin, &id(&me)).await.problem(409, "last_administrator");
    let end = format!("/v1/staff/{}/posts/{}/end", id(&me), me["posts"][0]["id"].as_str().expect("a post"));
    t.post(&end).by(&admin).json(json!({})).send().await.problem(409, "last_administrator");
    // One who cannot log in yet does not count.
    let second = make(&t, &admin, "second", "county_admin", "大田县").await;
    dismiss(&admin, &id(&me)).await.problem(409, "last_administrator");
    let password = one_time(&t, &admin, &id(&second)).await;
    // Nor one who may never have been told the password.
    dismiss(&admin, &id(&me)).await.problem(409, "last_administrator");
    let own = format!("/v1/staff/{}/reset_password", id(&me));
    t.post(&own).by(&admin).json(json!({})).send().await.problem(409, "own_account");
    let body = json!({"county": "350425", "username": "second", "password": password, "role": "county_admin", "new_password": PASSWORD});
    let other = t.post("/v1/sessions/staff").json(body).send().await.session();
    // Both at once: one of them stays.
    let (one, two) = (id(&second), id(&me));
    let (first, last) = tokio::join!(dismiss(&admin, &one), dismiss(&other, &two));
    let mut statuses = [first.status, last.status];
    statuses.sort_unstable();
    // The second may find its session ended instead.
    assert!(statuses == [200, 409] || statuses == [200, 401], "{statuses:?}");
    let left = "SELECT count(*) AS n FROM staff s JOIN staff_posts p ON p.staff_id = s.id AND p.ended_at IS NULL \
        WHERE s.county_id = 1 AND s.state = 'active' AND p.role = 'county_admin'";
    assert_eq!(t.database.count(left), 1);
}

#[actix_web::test]
async fn stale_accounts_are_disabled_but_never_the_last_administrator() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (made, _) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    let sleeping = make(&t, &admin, "sleeping", "village_cadre", "红星村委会").await;
    t.pass(TimeDelta::days(89));
    let login = |username: &str, password: &str, role: &str| {
        let body = json!({"county": "350425", "username": username, "password": password, "role": role});
        t.post("/v1/sessions/staff").json(body).send()
    };
    login("chen", PASSWORD, "village_cadre").await.session();
    t.pass(TimeDelta::days(2));
    lianxin::jobs::sweep(&t.app).await.expect("swept");
    let state = async |id: &str| {
        let admin = t.staff("admin").await;
        seen(&t, &admin, id).await["account"]["state"].clone()
    };
    assert_eq!(state(&id(&made)).await, "active");
    assert_eq!(state(&id(&sleeping)).await, "disabled");
    let cadre = "SELECT count(*) AS n FROM staff WHERE state = 'disabled'";
    // Everybody but the administrator (who never counts while alone) and chen.
    assert_eq!(t.database.count(cadre), 6);
    let todos = "SELECT count(*) AS n FROM todos WHERE kind = 'decide' AND about = 'staff' AND state = 'open' AND unit_id IS NULL";
    assert_eq!(t.database.count(todos), 6);
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'disable' AND actor_role = 'system'"),
        6
    );
    login("cadre", "not the password", "village_cadre").await.problem(401, "login_failed");
    login("cadre", lianxin::sample::PASSWORD, "village_cadre").await.problem(403, "account_disabled");
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM sessions WHERE ended_because = 'disabled'"),
        0,
        "none lived"
    );

    let admin = t.staff("admin").await;
    let cadre = id(&by_username(&t, &admin, "cadre").await);
    let enable = async || t.post(&format!("/v1/staff/{cadre}/enable")).by(&admin).json(json!({})).send().await;
    assert_eq!(enable().await.ok()["account"]["state"], "active");
    enable().await.problem(409, "staff_active");
    assert_eq!(t.database.count(todos), 5);
    lianxin::jobs::sweep(&t.app).await.expect("swept");
    login("cadre", lianxin::sample::PASSWORD, "village_cadre").await.session();
}

#[actix_web::test]
async fn an_administrator_sees_and_ends_sessions() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let cadre = t.staff("cadre").await;
    let path = format!("/v1/staff/{}", cadre.subject);
    let list = t.get(&format!("{path}/sessions")).by(&admin).send().await.ok();
    assert_eq!(list["items"].as_array().expect("items").len(), 1);
    assert_eq!(list["items"][0]["current"], false);
    let ended = t.post(&format!("{path}/end_sessions")).by(&admin).json(json!({})).send().await.ok();
    assert_eq!(ended["ended"], 1);
    crate::sessions::ends_within_five_seconds(&t, &cadre).await;
    let list = t.get(&format!("{path}/sessions")).by(&admin).send().await.ok();
    assert_eq!(list["items"], json!([]));
}

#[actix_web::test]
async fn nobody_is_stale_while_their_county_is_suspended() {
    let t = TestApp::new().await;
    let disabled = "SELECT count(*) AS n FROM staff WHERE county_id = 1 AND state = 'disabled'";
    tenants::suspend(&t.app, "350425", "合同到期").await.expect("suspended");
    t.pass(TimeDelta::days(120));
    lianxin::jobs::sweep(&t.app).await.expect("swept");
    assert_eq!(t.database.count(disabled), 0);
    tenants::resume(&t.app, "350425").await.expect("resumed");
    lianxin::jobs::sweep(&t.app).await.expect("swept");
    assert_eq!(t.database.count(disabled), 0, "the days count anew");
    t.pass(TimeDelta::days(91));
    lianxin::jobs::sweep(&t.app).await.expect("swept");
    assert!(t.database.count(disabled) > 0);
}
