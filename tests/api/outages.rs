//! Bad days: PostgreSQL or Redis away, answers lost while committing.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    access::every_call,
    harness::{Reply, TestApp, proxy::Proxy},
};

const NINE: &str = "2026-11-23T09:00:00+08:00";

/// The unix socket of the private PostgreSQL.
fn postgres_socket() -> PathBuf {
    let url = std::env::var("DATABASE_URL").expect("make test sets it");
    let (_, query) = url.split_once("?host=").expect("a socket folder");
    let (folder, port) = query.split_once("&port=").expect("a port");
    PathBuf::from(format!("{folder}/.s.PGSQL.{port}"))
}

async fn behind_postgres_proxy() -> (TestApp, Proxy) {
    let proxy = Proxy::to(postgres_socket());
    let address = proxy.address;
    let t = TestApp::with(|setup| {
        let url = setup.database.service_url.clone();
        let (user, rest) = url.split_once("@/").expect("a user");
        let name = rest.split('?').next().expect("a name");
        let direct = format!("{user}@127.0.0.1:{}/{name}", address.port());
        setup.config.database_url = Some(direct.into());
    })
    .await;
    (t, proxy)
}

async fn behind_redis_proxy() -> (TestApp, Proxy) {
    let url = std::env::var("REDIS_URL").expect("make test sets it");
    let proxy = Proxy::to(PathBuf::from(url.strip_prefix("redis+unix://").expect("a socket")));
    let address = proxy.address;
    let t = TestApp::with(|setup| setup.config.redis_url = Some(format!("redis://{address}").into())).await;
    (t, proxy)
}

/// Asks until the answer is as wanted.
async fn until(t: &TestApp, path: &str, status: u16) {
    let asked = Instant::now();
    while t.get(path).send().await.status != status {
        assert!(asked.elapsed() < Duration::from_secs(20), "{path} does not come to {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[actix_web::test]
async fn without_postgres_503_and_back_without_a_restart() {
    let (t, proxy) = behind_postgres_proxy().await;
    let zhang = t.resident("zhang").await;
    let body = t.booking(NINE).await;
    t.get("/v1/appointments").by(&zhang).send().await.ok();
    proxy.shut();
    let reply = t.get("/v1/messages").by(&zhang).send().await.problem(503, "unavailable");
    assert!(!reply.header("retry-after").is_empty());
    assert!(
        !reply.body.to_string().contains("libpq") && !reply.body.to_string().contains("127.0.0.1"),
        "{}",
        reply.body
    );
    t.post("/v1/appointments").by(&zhang).key("k").json(body.clone()).send().await.problem(503, "unavailable");
    let ready = t.get("/readyz").send().await.is(503);
    assert_eq!((&ready["postgres"], &ready["redis"]), (&json!(false), &json!(true)));
    t.get("/livez").send().await.is(200);
    proxy.open();
    until(&t, "/readyz", 200).await;
    t.post("/v1/appointments").by(&zhang).key("k").json(body).send().await.created();
    t.run_jobs().await;
}

#[actix_web::test]
async fn connections_that_died_unnoticed_are_replaced_without_an_error() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    for _ in 0..3 {
        t.get("/v1/appointments").by(&zhang).send().await.ok();
        t.database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        t.get("/v1/appointments").by(&zhang).send().await.ok();
        t.database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        let code = json!({"county": "350425", "code": format!("login.zhang.{}", uuid::Uuid::now_v7())});
        t.post("/v1/sessions/wechat").json(code).send().await.created();
    }
}

#[actix_web::test]
async fn an_answer_lost_while_committing_is_found_by_its_key() {
    let (t, proxy) = behind_postgres_proxy().await;
    let zhang = t.resident("zhang").await;
    let body = t.booking(NINE).await;
    proxy.lose_next_commit();
    let reply = t.post("/v1/appointments").by(&zhang).key("k").json(body.clone()).send().await.is(201);
    assert_eq!(reply.header("idempotency-replayed"), "true", "the first one was committed");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM appointments"), 1);
    let again = t.post("/v1/appointments").by(&zhang).key("k").json(body).send().await.is(201);
    assert_eq!(again.bytes, reply.bytes);
    t.run_jobs().await;
}

#[actix_web::test]
async fn without_a_key_a_lost_commit_is_an_unknown_outcome() {
    let (t, proxy) = behind_postgres_proxy().await;
    let zhang = t.resident("zhang").await;
    proxy.lose_next_commit();
    let reply = t.call(reqwest::Method::DELETE, "/v1/sessions/current").by(&zhang).send().await;
    reply.problem(503, "outcome_unknown");
}

#[actix_web::test]
async fn without_redis_reads_and_bookings_go_on_and_logins_wait() {
    let (t, proxy) = behind_redis_proxy().await;
    let zhang = t.resident("zhang").await;
    t.grant(&zhang).await;
    let body = t.booking(NINE).await;
    proxy.shut();
    t.get("/v1/appointments").by(&zhang).send().await.ok();
    t.post("/v1/appointments").by(&zhang).json(body).send().await.created();
    let login = json!({"county": "350425", "code": "login.li.1"});
    let reply = t.post("/v1/sessions/wechat").json(login.clone()).send().await.problem(503, "unavailable");
    assert!(!reply.header("retry-after").is_empty());
    let password = json!({"county": "350425", "username": "cadre", "password": "x", "role": "village_cadre"});
    t.post("/v1/sessions/staff").json(password).send().await.problem(503, "unavailable");
    let ready = t.get("/readyz").send().await.ok();
    assert_eq!((&ready["ready"], &ready["redis"]), (&json!(true), &json!(false)));
    // The job waits in the outbox.
    assert!(lianxin::jobs::run_due(&t.app.clone().into_inner()).await.is_err());
    assert_eq!(t.database.count("SELECT count(*) AS n FROM outbox"), 1);
    // Redis comes back, and empty at that.
    proxy.open();
    let back = Instant::now();
    while t.app.redis.ping().await.is_err() {
        assert!(back.elapsed() < Duration::from_secs(20), "Redis does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    crate::jobs::wipe_redis(&t).await;
    t.run_jobs().await;
    assert_eq!(t.wechat.sent.lock().expect("sent").len(), 1);
    t.post("/v1/sessions/wechat").json(login).send().await.created();
}

#[actix_web::test]
async fn logging_out_without_redis_holds_when_redis_returns() {
    let (t, proxy) = behind_redis_proxy().await;
    let zhang = t.resident("zhang").await;
    t.get("/v1/sessions/current").by(&zhang).send().await.ok();
    proxy.shut();
    t.call(reqwest::Method::DELETE, "/v1/sessions/current").by(&zhang).send().await.is(204);
    proxy.open();
    let ended = Instant::now();
    while t.get("/v1/sessions/current").by(&zhang).send().await.status != 401 {
        assert!(ended.elapsed() < Duration::from_secs(5), "an old copy of Redis revived the session");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A refusal, or 503 that says when to come back; never 500, never half an answer.
fn says_so(reply: &Reply) -> bool {
    let later = reply.status == 503 && !reply.header("retry-after").is_empty();
    later || (400..500).contains(&reply.status)
}

#[actix_web::test]
async fn without_postgres_every_operation_says_so() {
    let (t, proxy) = behind_postgres_proxy().await;
    // What is known without asking: the process itself, and what it has read before.
    let known = |operation: &str| ["get_", "list_", "describe_"].iter().any(|verb| operation.starts_with(verb));
    // Whose very answer is that PostgreSQL is away.
    let probe = |operation: &str, status: u16| operation == "get_readiness" && status == 503;
    let unfit = every_call(
        &t,
        || proxy.shut(),
        |operation, reply| {
            probe(operation, reply.status)
                || says_so(reply)
                || (known(operation) && matches!(reply.status, 200 | 204 | 304))
        },
    );
    let unfit = unfit.await;
    assert!(unfit.is_empty(), "{}", unfit.join("\n"));
    proxy.open();
    until(&t, "/readyz", 200).await;
    t.database.run("DELETE FROM outbox");
}

#[actix_web::test]
async fn without_redis_every_operation_is_done_or_says_so() {
    let (t, proxy) = behind_redis_proxy().await;
    let unfit = every_call(&t, || proxy.shut(), |_, reply| says_so(reply) || reply.status < 400).await;
    assert!(unfit.is_empty(), "{}", unfit.join("\n"));
    t.database.run("DELETE FROM outbox");
}
