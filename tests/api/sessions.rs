//! Logging in, refreshing, being locked out, logging out.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use lianxin::{sample, sessions, staff};
use serde_json::json;

use crate::harness::{Session, TestApp};

fn login(password: &str) -> serde_json::Value {
    json!({"county": "350425", "username": "cadre", "password": password, "role": "village_cadre"})
}

async fn who(t: &TestApp, session: &Session) -> u16 {
    t.get("/v1/sessions/current").by(session).send().await.status
}

/// Polls until the session is refused; the contract allows five seconds.
pub async fn ends_within_five_seconds(t: &TestApp, session: &Session) {
    let asked = Instant::now();
    while who(t, session).await != 401 {
        assert!(asked.elapsed() < Duration::from_secs(5), "still live after {:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[actix_web::test]
async fn staff_log_in_with_password_county_and_role() {
    let t = TestApp::new().await;
    let session = t.staff("cadre").await;
    let me = t.get("/v1/sessions/current").by(&session).send().await.ok();
    assert_eq!((&me["role"], &me["county"]), (&json!("village_cadre"), &json!("350425")));
    assert_eq!(me["unit_id"], json!(t.unit("红星村委会").await));
    let post = |body| t.post("/v1/sessions/staff").json(body).send();
    post(login("wrong password")).await.problem(401, "login_failed");
    let role = json!({"county": "350425", "username": "cadre", "password": sample::PASSWORD, "role": "county_admin"});
    post(role).await.problem(401, "login_failed");
    let county =
        json!({"county": "999999", "username": "cadre", "password": sample::PASSWORD, "role": "village_cadre"});
    post(county).await.problem(401, "login_failed");
    let capital =
        json!({"county": "350425", "username": " Cadre", "password": sample::PASSWORD, "role": "village_cadre"});
    post(capital).await.created();
}

#[actix_web::test]
async fn five_failures_lock_the_name_whether_it_exists_or_not() {
    let t = TestApp::new().await;
    for username in ["cadre", "nobody.here"] {
        let body = json!({"county": "350425", "username": username, "password": "wrong", "role": "village_cadre"});
        for _ in 0..5 {
            t.post("/v1/sessions/staff").json(body.clone()).send().await.problem(401, "login_failed");
        }
        let locked = t.post("/v1/sessions/staff").json(body).send().await.problem(429, "login_locked");
        let wait: u64 = locked.header("retry-after").parse().expect("seconds");
        assert!((290..=300).contains(&wait), "{wait}");
    }
    t.post("/v1/sessions/staff").json(login(sample::PASSWORD)).send().await.problem(429, "login_locked");
}

#[actix_web::test]
async fn tries_at_once_count_as_well() {
    let t = TestApp::new().await;
    let tries = (0..20).map(|_| t.post("/v1/sessions/staff").json(login("wrong")).send());
    let replies = futures_util::future::join_all(tries).await;
    let looked_at = replies.iter().filter(|reply| reply.status == 401).count();
    assert_eq!(looked_at, 5);
}

#[actix_web::test]
async fn a_success_forgets_the_failures() {
    let t = TestApp::new().await;
    for _ in 0..3 {
        for _ in 0..4 {
            t.post("/v1/sessions/staff").json(login("wrong")).send().await.problem(401, "login_failed");
        }
        t.post("/v1/sessions/staff").json(login(sample::PASSWORD)).send().await.created();
    }
}

#[actix_web::test]
async fn residents_log_in_with_a_wechat_code_that_is_good_once() {
    let t = TestApp::new().await;
    let first = t.resident("zhang").await;
    let second = t.resident("zhang").await;
    assert_eq!(first.subject, second.subject, "the same person");
    assert_ne!(t.resident("li").await.subject, first.subject);
    let post = |code: &str| t.post("/v1/sessions/wechat").json(json!({"county": "350425", "code": code})).send();
    post("login.wang.1").await.created();
    post("login.wang.1").await.problem(401, "wechat_code_refused");
    post("nonsense").await.problem(401, "wechat_code_refused");
    let other = t.post("/v1/sessions/wechat").json(json!({"county": "999999", "code": "login.wang.2"})).send().await;
    other.problem(404, "not_found");
    assert!(!t.database.everything().contains("o-zhang"), "openids are sealed");
}

#[actix_web::test]
async fn first_logins_at_once_make_one_resident() {
    let t = TestApp::new().await;
    let logins = (0..8).map(|_| t.resident("zhang"));
    let sessions = futures_util::future::join_all(logins).await;
    assert!(sessions.iter().all(|session| session.subject == sessions[0].subject));
    assert_eq!(t.database.count("SELECT count(*) AS n FROM residents"), 1);
}

#[actix_web::test]
async fn access_tokens_last_fifteen_minutes() {
    let t = TestApp::new().await;
    let session = t.resident("zhang").await;
    t.pass(TimeDelta::seconds(15 * 60 - 1));
    assert_eq!(who(&t, &session).await, 200);
    t.pass(TimeDelta::seconds(1));
    t.get("/v1/sessions/current").by(&session).send().await.problem(401, "token_expired");
}

#[actix_web::test]
async fn a_lost_refresh_answer_can_be_had_again_and_older_tokens_end_the_session() {
    let t = TestApp::new().await;
    let session = t.resident("zhang").await;
    let refresh = |token: &str| t.post("/v1/sessions/refresh").json(json!({"refresh_token": token})).send();
    let next = |reply: &serde_json::Value| reply["refresh_token"].as_str().expect("a token").to_owned();

    let second = next(&refresh(&session.refresh).await.ok());
    assert_ne!(second, session.refresh);
    t.pass(TimeDelta::seconds(59));
    assert_eq!(next(&refresh(&session.refresh).await.ok()), second, "the same successor");
    let third = next(&refresh(&second).await.ok());
    // The successor was used: the first one is older now.
    refresh(&session.refresh).await.problem(401, "session_ended");
    refresh(&third).await.problem(401, "session_ended");
    assert_eq!(who(&t, &session).await, 401);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM sessions WHERE ended_because = 'refresh_reused'"), 1);
}

#[actix_web::test]
async fn the_grace_ends_after_a_minute_and_refreshes_at_once_agree() {
    let t = TestApp::new().await;
    let session = t.resident("zhang").await;
    let refresh = |token: &str| t.post("/v1/sessions/refresh").json(json!({"refresh_token": token})).send();
    let replies = futures_util::future::join_all((0..6).map(|_| refresh(&session.refresh))).await;
    let tokens: std::collections::BTreeSet<_> =
        replies.into_iter().map(|reply| reply.ok()["refresh_token"].to_string()).collect();
    assert_eq!(tokens.len(), 1, "six answers, one successor");
    t.pass(TimeDelta::seconds(61));
    refresh(&session.refresh).await.problem(401, "session_ended");
    refresh("rubbish").await.problem(401, "unauthenticated");
}

#[actix_web::test]
async fn logging_out_takes_effect_at_once_here_and_soon_elsewhere() {
    let t = TestApp::new().await;
    let session = t.resident("zhang").await;
    // Another process of the same installation, which has just seen the session.
    let url = t.database.service_url.clone();
    let prefix = t.app.config.redis_prefix.clone();
    let other = TestApp::with(|setup| {
        setup.config.database_url = Some(url.into());
        setup.config.redis_prefix = prefix;
    })
    .await;
    assert_eq!(who(&other, &session).await, 200);
    t.call(reqwest::Method::DELETE, "/v1/sessions/current").by(&session).send().await.is(204);
    t.get("/v1/sessions/current").by(&session).send().await.problem(401, "session_ended");
    ends_within_five_seconds(&other, &session).await;
    t.post("/v1/sessions/refresh")
        .json(json!({"refresh_token": session.refresh}))
        .send()
        .await
        .problem(401, "session_ended");
}

#[actix_web::test]
async fn a_dismissed_member_of_staff_is_out_within_five_seconds_though_nobody_told_redis() {
    let t = TestApp::new().await;
    let session = t.staff("cadre").await;
    assert_eq!(who(&t, &session).await, 200);
    staff::dismiss(&t.app, "350425", "cadre").await.expect("dismissed");
    ends_within_five_seconds(&t, &session).await;
    t.post("/v1/sessions/staff").json(login(sample::PASSWORD)).send().await.problem(401, "login_failed");
}

#[actix_web::test]
async fn a_wiped_redis_logs_nobody_out_and_revives_nobody() {
    let t = TestApp::new().await;
    let (stays, leaves) = (t.resident("zhang").await, t.resident("li").await);
    t.call(reqwest::Method::DELETE, "/v1/sessions/current").by(&leaves).send().await.is(204);
    crate::jobs::wipe_redis(&t).await;
    assert_eq!(who(&t, &stays).await, 200);
    assert_eq!(who(&t, &leaves).await, 401);
}

#[actix_web::test]
async fn keys_are_published_and_rotate_without_logging_anybody_out() {
    let t = TestApp::new().await;
    let session = t.resident("zhang").await;
    let kid = |token: &str| {
        use base64::prelude::*;
        let header = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header")).expect("base64url");
        serde_json::from_slice::<serde_json::Value>(&header).expect("JSON")["kid"].as_str().expect("a kid").to_owned()
    };
    let published = async |t: &TestApp| -> Vec<String> {
        let keys = t.get("/.well-known/jwks.json").send().await.ok();
        assert!(keys["keys"].as_array().expect("keys").iter().all(|key| key["crv"] == "Ed25519" && key["d"].is_null()));
        keys["keys"]
            .as_array()
            .expect("keys")
            .iter()
            .map(|key| key["kid"].as_str().expect("a kid").to_owned())
            .collect()
    };
    assert_eq!(published(&t).await, [kid(&session.access)]);
    let new = sessions::rotate(&t.app).await.expect("rotates");
    // A process that starts now publishes both, and signs with the old one until everybody has had time to learn.
    let (url, prefix) = (t.database.service_url.clone(), t.app.config.redis_prefix.clone());
    let other = TestApp::with(|setup| {
        setup.config.database_url = Some(url.into());
        setup.config.redis_prefix = prefix;
    })
    .await;
    assert!(published(&other).await.contains(&new));
    assert_eq!(kid(&other.resident("li").await.access), kid(&session.access));
    t.pass(TimeDelta::seconds(61));
    other.pass(TimeDelta::seconds(61));
    let fresh = other.resident("wang").await;
    assert_eq!(kid(&fresh.access), new);
    // The first process has never seen the key, and learns of it from the token.
    let asked = Instant::now();
    while who(&t, &fresh).await != 200 {
        assert!(asked.elapsed() < Duration::from_secs(5), "the new key stays unknown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(who(&other, &session).await, 200);
}

#[actix_web::test]
async fn a_token_of_another_installation_or_a_changed_one_is_refused() {
    let (t, other) = (TestApp::new().await, TestApp::new().await);
    let mut session = other.resident("zhang").await;
    t.get("/v1/sessions/current").by(&session).send().await.problem(401, "unauthenticated");
    session = t.resident("zhang").await;
    let at = session.access.rfind('.').expect("a signature") + 5;
    let flipped = if session.access.as_bytes()[at] == b'A' { "B" } else { "A" };
    session.access.replace_range(at..=at, flipped);
    t.get("/v1/sessions/current").by(&session).send().await.problem(401, "unauthenticated");
}

#[actix_web::test]
async fn logins_are_limited_by_address() {
    let t = TestApp::with(|setup| setup.config.logins_per_minute = 2).await;
    t.resident("zhang").await;
    t.resident("zhang").await;
    let body = json!({"county": "350425", "code": "login.zhang.x"});
    let reply = t.post("/v1/sessions/wechat").json(body).header("x-forwarded-for", "8.8.8.8").send().await;
    reply.problem(429, "too_many_requests");
}

#[actix_web::test]
async fn knowing_a_session_is_not_enough_to_end_it() {
    use base64::prelude::*;
    let t = TestApp::new().await;
    let session = t.resident("zhang").await;
    let mut token = BASE64_URL_SAFE_NO_PAD.decode(&session.refresh).expect("base64url");
    token[30] ^= 1;
    let forged = json!({"refresh_token": BASE64_URL_SAFE_NO_PAD.encode(token)});
    t.post("/v1/sessions/refresh").json(forged).send().await.problem(401, "unauthenticated");
    assert_eq!(who(&t, &session).await, 200);
}

#[actix_web::test]
async fn a_login_that_overlaps_a_dismissal_leaves_no_session() {
    let t = TestApp::new().await;
    for _ in 0..3 {
        t.database
            .run("UPDATE staff SET state = 'active' WHERE username = 'cadre'; UPDATE staff_posts SET ended_at = NULL");
        // Failed logins of the round before must not lock the name.
        crate::jobs::wipe_redis(&t).await;
        let logins = (0..4).map(|_| t.post("/v1/sessions/staff").json(login(sample::PASSWORD)).send());
        let (replies, dismissed) =
            tokio::join!(futures_util::future::join_all(logins), staff::dismiss(&t.app, "350425", "cadre"));
        dismissed.expect("dismissed");
        assert!(replies.iter().all(|reply| matches!(reply.status, 201 | 401)));
        assert_eq!(t.database.count("SELECT count(*) AS n FROM sessions WHERE ended_at IS NULL"), 0);
    }
}
