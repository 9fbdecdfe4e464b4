//! How staff log in: one-time passwords, new passwords, one-time codes, WeChat, devices.

use chrono::TimeDelta;
use futures_util::future::join_all;
use lianxin::{crypto::totp, units::tenants};
use serde_json::{Value, json};

use crate::{
    harness::{Reply, Session, TestApp},
    staff::{PASSWORD, id, make, one_time, open, seen},
};

fn body(username: &str, password: &str, more: Value) -> Value {
    let mut body = json!({"county": "350425", "username": username, "password": password, "role": "village_cadre"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

async fn log_in(t: &TestApp, password: &str, more: Value) -> Reply {
    t.post("/v1/sessions/staff").json(body("chen", password, more)).send().await
}

#[actix_web::test]
async fn a_one_time_password_must_be_replaced_and_is_good_for_a_day() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let chen = id(&make(&t, &admin, "chen", "village_cadre", "红星村委会").await);
    log_in(&t, "whatever it is", json!({})).await.problem(401, "login_failed");
    let first = one_time(&t, &admin, &chen).await;
    assert!(!t.database.everything().contains(&first));
    for _ in 0..6 {
        log_in(&t, &first, json!({})).await.problem(403, "password_change_required");
    }
    assert_eq!(seen(&t, &admin, &chen).await["account"]["password"], "one_time");
    for (new, fault) in [("short", "length"), (first.as_str(), "password_unchanged")] {
        let reply = log_in(&t, &first, json!({"new_password": new})).await.problem(422, "invalid");
        assert_eq!(reply.faults(), [format!("/new_password:{fault}")]);
    }
    // Another reset makes the one before worthless.
    let second = one_time(&t, &admin, &chen).await;
    log_in(&t, &first, json!({"new_password": PASSWORD})).await.problem(401, "login_failed");
    t.pass(TimeDelta::hours(24));
    log_in(&t, &second, json!({"new_password": PASSWORD})).await.problem(401, "login_failed");
    let admin = t.staff("admin").await;
    let third = one_time(&t, &admin, &chen).await;
    // Two at once with different new passwords: one of them wins.
    let words = ["the first of two", "the second of two"];
    let both = join_all(words.map(|new| log_in(&t, &third, json!({"new_password": new})))).await;
    let mut statuses: Vec<_> = both.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 401]);
    log_in(&t, &third, json!({"new_password": PASSWORD})).await.problem(401, "login_failed");
    let won = if both[0].status == 201 { words[0] } else { words[1] };
    let session = log_in(&t, won, json!({})).await.session();
    let account = seen(&t, &admin, &chen).await["account"].clone();
    assert_eq!((&account["password"], account["last_login_at"].is_string()), (&json!("own"), true));

    // A reset ends every session.
    one_time(&t, &admin, &chen).await;
    crate::sessions::ends_within_five_seconds(&t, &session).await;
    let log = "SELECT count(*) AS n FROM audit_log WHERE action = 'reset_password'";
    assert_eq!(t.database.count(log), 4);
    assert!(t.database.count("SELECT count(*) AS n FROM sessions WHERE ended_because = 'password'") >= 2);
}

#[actix_web::test]
async fn the_command_line_opens_accounts_and_dismisses_only_those_who_hold_nothing() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let password = lianxin::staff::reset_password(&t.app, "350425", "cadre").await.expect("reset");
    let with = |more: Value| t.post("/v1/sessions/staff").json(body("cadre", &password, more)).send();
    with(json!({})).await.problem(403, "password_change_required");
    with(json!({"new_password": PASSWORD})).await.session();
    t.database.run(&format!(
        "INSERT INTO todos (county_id, id, kind, title_zh, title_en, state, holder_id, created_at, updated_at) \
         VALUES (1, gen_random_uuid(), 'call', '打电话', 'call', 'taken', '{}', now(), now())",
        cadre.subject
    ));
    let refused = lianxin::staff::dismiss(&t.app, "350425", "cadre").await.expect_err("holds a todo");
    assert!(format!("{refused:#}").contains("1 todos"), "{refused:#}");
    t.database.run("DELETE FROM todos");
    lianxin::staff::dismiss(&t.app, "350425", "cadre").await.expect("dismissed");
    let refused = lianxin::staff::dismiss(&t.app, "350425", "admin").await.expect_err("the last administrator");
    assert!(format!("{refused:#}").contains("last_administrator"), "{refused:#}");
    let entries = "SELECT count(*) AS n FROM audit_log WHERE actor_role = 'operator'";
    assert_eq!(t.database.count(entries), 2);
}

#[actix_web::test]
async fn the_demo_accounts_keep_their_password() {
    let t = TestApp::new().await;
    for (username, ..) in lianxin::sample::ACCOUNTS {
        t.staff(username).await;
    }
}

#[actix_web::test]
async fn changing_ones_password_ends_the_other_sessions() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (_, here) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    let there = log_in(&t, PASSWORD, json!({})).await.session();
    let change = |current: &str, new: &str| {
        let body = json!({"current": current, "new": new});
        t.post("/v1/account/password").by(&here).json(body).send()
    };
    let new = "staple the other horse";
    for (current, wanted, fault) in [
        ("not the password", new, "/current:password_wrong"),
        (PASSWORD, PASSWORD, "/new:password_unchanged"),
        (PASSWORD, "short", "/new:length"),
    ] {
        assert_eq!(change(current, wanted).await.problem(422, "invalid").faults(), [fault]);
    }
    change(PASSWORD, new).await.is(204);
    t.get("/v1/sessions/current").by(&here).send().await.is(200);
    crate::sessions::ends_within_five_seconds(&t, &there).await;
    log_in(&t, PASSWORD, json!({})).await.problem(401, "login_failed");
    log_in(&t, new, json!({})).await.session();
    for _ in 0..5 {
        change("not the password", PASSWORD).await.problem(422, "invalid");
    }
    change(new, PASSWORD).await.problem(429, "login_locked");
    let resident = t.resident("zhang").await;
    let body = json!({"current": new, "new": PASSWORD});
    t.post("/v1/account/password").by(&resident).json(body).send().await.problem(403, "forbidden");
}

#[actix_web::test]
async fn a_password_is_not_the_user_name() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let made = make(&t, &admin, "chen.xiaolan", "village_cadre", "红星村委会").await;
    let password = one_time(&t, &admin, &id(&made)).await;
    let new = body("chen.xiaolan", &password, json!({"new_password": "Chen.Xiaolan"}));
    let reply = t.post("/v1/sessions/staff").json(new).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/new_password:password_is_username"]);
}

fn demand(t: &TestApp, who: &str) {
    t.database.run(&format!(
        "INSERT INTO settings (county_id, key, version, value, effective_from, set_at) \
         SELECT 1, 'staff.totp', count(*) + 1, '\"{who}\"', '2026-01-01', now() FROM settings WHERE key = 'staff.totp'"
    ));
    t.app.counties.forget();
}

/// The code of a secret, so many seconds from now.
fn code(t: &TestApp, secret: &str, later: i64) -> String {
    let bytes = totp_rs::Secret::try_from_base32(secret).expect("base32");
    let at = t.app.clock.now().timestamp() + later;
    totp_rs::Builder::new().with_secret(bytes).build().expect("a secret").generate(at as u64).to_string()
}

async fn enrol(t: &TestApp, password: &str) -> Reply {
    let body = json!({"county": "350425", "username": "chen", "password": password});
    t.post("/v1/account/totp/enrol").json(body).send().await
}

#[actix_web::test]
async fn one_time_codes_where_the_county_asks_for_them() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (made, _) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    demand(&t, "administrators");
    log_in(&t, PASSWORD, json!({})).await.session();
    let login =
        json!({"county": "350425", "username": "admin", "password": lianxin::sample::PASSWORD, "role": "county_admin"});
    t.post("/v1/sessions/staff").json(login).send().await.problem(403, "totp_enrolment_required");
    demand(&t, "everybody");
    log_in(&t, PASSWORD, json!({})).await.problem(403, "totp_enrolment_required");
    log_in(&t, "not the password", json!({})).await.problem(401, "login_failed");
    enrol(&t, "not the password").await.problem(401, "login_failed");

    // Until it is confirmed another call makes another secret.
    let first = enrol(&t, PASSWORD).await.ok();
    let shown = enrol(&t, PASSWORD).await.is(200);
    assert_eq!(shown.header("cache-control"), "no-store");
    let secret = shown["secret"].as_str().expect("a secret").to_owned();
    assert!(shown["uri"].as_str().expect("a URI").starts_with("otpauth://totp/"));
    log_in(&t, PASSWORD, json!({})).await.problem(401, "totp_required");
    let old = code(&t, first["secret"].as_str().expect("a secret"), 0);
    log_in(&t, PASSWORD, json!({"totp": old})).await.problem(401, "login_failed");
    log_in(&t, PASSWORD, json!({"totp": code(&t, &secret, 0)})).await.session();
    assert_eq!(seen(&t, &admin, &id(&made)).await["account"]["totp"], true);
    enrol(&t, PASSWORD).await.problem(409, "totp_enrolled");

    // A code is good once, one step of tolerance, and only forwards.
    log_in(&t, PASSWORD, json!({"totp": code(&t, &secret, 0)})).await.problem(401, "login_failed");
    let next = code(&t, &secret, 30);
    let both = join_all((0..2).map(|_| log_in(&t, PASSWORD, json!({"totp": next})))).await;
    let mut statuses: Vec<_> = both.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 401], "at once, too");
    t.pass(TimeDelta::seconds(60));
    log_in(&t, PASSWORD, json!({"totp": code(&t, &secret, 90)})).await.problem(401, "login_failed");
    log_in(&t, PASSWORD, json!({"totp": code(&t, &secret, -30)})).await.problem(401, "login_failed");
    log_in(&t, PASSWORD, json!({"totp": code(&t, &secret, 0)})).await.session();

    // Lost: the administrator resets it. A confirmed one is asked for even where the county does not.
    demand(&t, "nobody");
    log_in(&t, PASSWORD, json!({})).await.problem(401, "totp_required");
    let path = format!("/v1/staff/{}/reset_totp", id(&made));
    assert_eq!(t.post(&path).by(&admin).json(json!({})).send().await.ok()["account"]["totp"], false);
    log_in(&t, PASSWORD, json!({})).await.session();
}

#[actix_web::test]
async fn codes_cannot_be_tried_without_end_with_the_password_alone() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    demand(&t, "everybody");
    let secret = enrol(&t, PASSWORD).await.ok()["secret"].as_str().expect("a secret").to_owned();
    log_in(&t, PASSWORD, json!({"totp": code(&t, &secret, 0)})).await.session();
    let wrong = if code(&t, &secret, 0) == "000000" || code(&t, &secret, 30) == "000000" { "111111" } else { "000000" };
    for _ in 0..5 {
        // Asking for the code in between clears nothing, and counts for nothing.
        log_in(&t, PASSWORD, json!({})).await.problem(401, "totp_required");
        log_in(&t, PASSWORD, json!({"totp": wrong})).await.problem(401, "login_failed");
    }
    log_in(&t, PASSWORD, json!({"totp": code(&t, &secret, 30)})).await.problem(429, "login_locked");
    assert_eq!(
        totp::step_of(b"12345678901234567890", "287082", chrono::DateTime::from_timestamp(59, 0).expect("a time")),
        Some(1)
    );
}

pub async fn wechat(t: &TestApp, who: &str, more: Value) -> Reply {
    let code = format!("login.{who}.{}", uuid::Uuid::now_v7());
    let mut body = json!({"county": "350425", "code": code, "role": "village_cadre"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    t.post("/v1/sessions/wechat_staff").json(body).send().await
}

pub async fn bind_code(t: &TestApp, by: &Session) -> Reply {
    t.post("/v1/account/wechat_code").by(by).json(json!({})).send().await
}

#[actix_web::test]
async fn a_wechat_account_is_bound_once_and_logs_in() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (made, chen) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    let cadre = t.staff("cadre").await;
    wechat(&t, "phone1", json!({})).await.problem(401, "wechat_not_bound");
    let old = bind_code(&t, &chen).await.ok()["code"].as_str().expect("a code").to_owned();
    let new = bind_code(&t, &chen).await.is(200);
    assert_eq!(new.header("cache-control"), "no-store");
    let new = new["code"].as_str().expect("a code").to_owned();
    assert_eq!(new.len(), 10);
    assert!(!t.database.everything().contains(&new));
    wechat(&t, "phone1", json!({"bind_code": old})).await.problem(401, "bind_code_refused");
    let session = wechat(&t, "phone1", json!({"bind_code": new.to_lowercase()})).await.session();
    assert_eq!(session.subject.to_string(), id(&made));
    wechat(&t, "phone1", json!({"bind_code": new})).await.problem(401, "bind_code_refused");
    wechat(&t, "phone1", json!({})).await.session();
    wechat(&t, "phone1", json!({"role": "county_admin"})).await.problem(401, "login_failed");
    assert_eq!(seen(&t, &admin, &id(&made)).await["account"]["wechat"], true);
    // Only a session by password makes codes.
    bind_code(&t, &session).await.problem(403, "forbidden");

    // Neither a second WeChat account, nor a second member of staff.
    let code = |reply: Reply| reply.ok()["code"].clone();
    let again = code(bind_code(&t, &chen).await);
    wechat(&t, "phone2", json!({"bind_code": again})).await.problem(409, "wechat_bound");
    let other = code(bind_code(&t, &cadre).await);
    wechat(&t, "phone1", json!({"bind_code": other})).await.problem(409, "wechat_bound");
    for _ in 0..2 {
        let view = t.post("/v1/account/unbind_wechat").by(&chen).json(json!({})).send().await.ok();
        assert_eq!(view["account"]["wechat"], false);
    }
    wechat(&t, "phone1", json!({})).await.problem(401, "wechat_not_bound");
    let other = code(bind_code(&t, &cadre).await);
    t.pass(TimeDelta::minutes(10));
    wechat(&t, "phone1", json!({"bind_code": other})).await.problem(401, "bind_code_refused");
    // The same person may be a resident as well.
    t.resident("phone1").await;
}

#[actix_web::test]
async fn binding_codes_cannot_be_guessed() {
    let t = TestApp::new().await;
    for _ in 0..5 {
        wechat(&t, "phone1", json!({"bind_code": "AAAAAAAAAA"})).await.problem(401, "bind_code_refused");
    }
    wechat(&t, "phone1", json!({"bind_code": "AAAAAAAAAA"})).await.problem(429, "login_locked");
}

#[actix_web::test]
async fn devices_are_listed_and_ended() {
    let t = TestApp::new().await;
    let (one, two, other) = (t.resident("zhang").await, t.resident("zhang").await, t.resident("li").await);
    let list = t.get("/v1/sessions?count=true").by(&two).send().await.ok();
    assert_eq!(list["total"], 2);
    let items = list["items"].as_array().expect("items");
    assert_eq!((&items[0]["current"], &items[1]["current"]), (&json!(false), &json!(true)));
    let path = format!("/v1/sessions/{}", id(&items[0]));
    let end = |by: &Session| t.call(reqwest::Method::DELETE, &path).by(by).send();
    end(&other).await.problem(404, "not_found");
    end(&two).await.is(204);
    end(&two).await.is(204);
    t.get("/v1/sessions/current").by(&one).send().await.problem(401, "session_ended");
    t.get("/v1/sessions/current").by(&two).send().await.is(200);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM sessions WHERE ended_because = 'device'"), 1);
    let cadre = t.staff("cadre").await;
    let list = t.get("/v1/sessions?limit=1").by(&cadre).send().await.ok();
    assert_eq!(list["items"][0]["role"], "village_cadre");
}

/// Whoever had the password or the phone gets in no more: neither by WeChat, nor by a code made before.
#[actix_web::test]
async fn wechat_goes_with_the_password_and_with_the_phone() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (made, mut chen) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    let code = async |by: &Session| bind_code(&t, by).await.ok()["code"].clone();
    let bound = async || seen(&t, &admin, &id(&made)).await["account"]["wechat"].clone();
    let told = |action: &str, fields: &str| {
        t.database
            .count(&format!("SELECT count(*) AS n FROM audit_log WHERE action = '{action}' AND fields = '{fields}'"))
    };
    for verb in ["reset_password", "end_sessions", "operator"] {
        let first = code(&chen).await;
        wechat(&t, "phone1", json!({"bind_code": first})).await.session();
        let pending = code(&chen).await;
        let password = match verb {
            "operator" => lianxin::staff::reset_password(&t.app, "350425", "chen").await.expect("reset"),
            "reset_password" => one_time(&t, &admin, &id(&made)).await,
            _ => {
                let path = format!("/v1/staff/{}/end_sessions", id(&made));
                assert_eq!(t.post(&path).by(&admin).json(json!({})).send().await.ok()["ended"], 2);
                PASSWORD.to_owned()
            }
        };
        assert_eq!(bound().await, false, "{verb}");
        wechat(&t, "phone1", json!({})).await.problem(401, "wechat_not_bound");
        wechat(&t, "phone1", json!({"bind_code": pending})).await.problem(401, "bind_code_refused");
        let new = if verb == "end_sessions" { json!({}) } else { json!({"new_password": PASSWORD}) };
        chen = log_in(&t, &password, new).await.session();
    }
    let counts = (told("reset_password", "{password,wechat}"), told("end_sessions", "{sessions,wechat}"));
    assert_eq!(counts, (2, 1));
    // A code made before one changes one's password is good no more; the binding stays.
    let first = code(&chen).await;
    wechat(&t, "phone1", json!({"bind_code": first})).await.session();
    let pending = code(&chen).await;
    let body = json!({"current": PASSWORD, "new": "staple the other horse"});
    t.post("/v1/account/password").by(&chen).json(body).send().await.is(204);
    wechat(&t, "phone1", json!({"bind_code": pending})).await.problem(401, "bind_code_refused");
    assert_eq!(bound().await, true);
}

#[actix_web::test]
async fn the_command_line_creates_under_the_same_rules() {
    let t = TestApp::new().await;
    let new = |username: &str, password: &str, unit: &str| lianxin::staff::NewStaff {
        county: "350425".into(),
        username: username.into(),
        display_name: "新人".into(),
        password: password.into(),
        role: "village_cadre".parse().expect("a role"),
        unit: Some(unit.into()),
    };
    let refused = async |username: &str, password: &str, unit: &str| {
        format!("{:#}", lianxin::staff::create(&t.app, new(username, password, unit)).await.expect_err("refused"))
    };
    assert!(refused(".new", PASSWORD, "红星村委会").await.contains("begins with a letter"));
    assert!(refused("new.cadre.one", "new.cadre.one", "红星村委会").await.contains("must not be the user name"));
    assert!(refused("new", PASSWORD, "均溪镇").await.contains("no such unit"));
    t.database.run(
        "INSERT INTO units (county_id, id, parent_id, level, name, division_code, code_source, created_at, updated_at) \
         SELECT county_id, gen_random_uuid(), parent_id, level, name, '350425999201', code_source, now(), now() FROM units WHERE name = '红星村委会'",
    );
    assert!(refused("new", PASSWORD, "红星村委会").await.contains("2 units have this name"));
    let made = lianxin::staff::create(&t.app, new("new", PASSWORD, "350425999201")).await.expect("created");
    let entry = format!(
        "SELECT count(*) AS n FROM audit_log WHERE action = 'create' AND entity = 'staff' AND entity_id = '{made}' \
         AND actor_role = 'operator'"
    );
    assert_eq!(t.database.count(&entry), 1);
}

/// The operator may act on a suspended county; nobody else gets in.
#[actix_web::test]
async fn accounts_of_a_suspended_county() {
    let t = TestApp::new().await;
    tenants::suspend(&t.app, "350425", "合同到期").await.expect("suspended");
    wechat(&t, "phone1", json!({})).await.problem(403, "county_suspended");
    let body = json!({"county": "350425", "username": "cadre", "password": lianxin::sample::PASSWORD});
    t.post("/v1/account/totp/enrol").json(body).send().await.problem(403, "county_suspended");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM staff WHERE totp_secret IS NOT NULL"), 0);
    lianxin::staff::reset_password(&t.app, "350425", "cadre").await.expect("reset");
    lianxin::staff::dismiss(&t.app, "350425", "cadre").await.expect("dismissed");
    lianxin::staff::dismiss(&t.app, "999999", "cadre").await.expect_err("no county");
}
