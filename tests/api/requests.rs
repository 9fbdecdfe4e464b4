//! Habits of every request: problems from every layer, ids, languages, compression, CORS, idempotency, cursors.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::TestApp;

#[actix_web::test]
async fn every_layer_answers_problem_json_in_both_languages() {
    let t = TestApp::new().await;
    let zh = t.get("/v1/nowhere").send().await.problem(404, "route_not_found");
    assert_eq!(zh["title"], "没有这个接口");
    assert_eq!(zh["instance"], "/v1/nowhere");
    let en = t.get("/v1/nowhere").header("accept-language", "en-GB,en;q=0.9,zh;q=0.5").send().await;
    assert_eq!(en.problem(404, "route_not_found")["title"], "There is no such endpoint");
    let reply = t.call(Method::PATCH, "/v1/appointments").send().await.problem(405, "method_not_allowed");
    assert_eq!(reply.header("allow"), "GET, POST");
    t.get("/v1/appointments").send().await.problem(401, "unauthenticated");
    let reply = t.get("/v1/appointments").header("authorization", "Bearer rubbish").send().await;
    assert_eq!(reply.problem(401, "unauthenticated").header("www-authenticate"), "Bearer");
    t.get("/v1/slots?county=%FF").send().await.problem(422, "invalid");
}

#[actix_web::test]
async fn bodies_are_refused_for_syntax_type_size_and_every_field() {
    let t = TestApp::new().await;
    let staff = t.staff("cadre").await;
    let post = || t.post("/v1/residents").by(&staff);
    post().body("{\"name\": ").send().await.problem(400, "malformed_json");
    post().body("not json").send().await.problem(400, "malformed_json");
    post().header("content-type", "text/plain").body("{}").send().await.problem(415, "unsupported_media_type");
    post().body("x".repeat(300 * 1024)).send().await.problem(413, "body_too_large");
    post().body("[]").send().await.problem(422, "invalid");
    let body = json!({"name": "", "id_number": "350425195003070024", "phone": 138, "unit_id": "here", "identity_seen": "photo", "age": 7});
    let reply = post().json(body).header("accept-language", "en").send().await.problem(422, "invalid");
    assert_eq!(
        reply.faults(),
        [
            "/age:unknown_field",
            "/id_number:id_number",
            "/identity_seen:unknown_value",
            "/name:person_name",
            "/phone:type",
            "/unit_id:uuid"
        ]
    );
    let words = reply.body.to_string();
    assert!(!words.contains("350425195003070024"), "a rejected value is not repeated: {words}");
    let reply = post().json(json!({})).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/identity_seen:required", "/name:required", "/unit_id:required"]);
    let login =
        json!({"county": "350425", "username": "x", "password": "s3cret-s3cret".repeat(20), "role": "county_admin"});
    let reply = t.post("/v1/sessions/staff").json(login).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/password:length"]);
    assert!(!reply.body.to_string().contains("s3cret"));
    assert_eq!(t.database.count("SELECT count(*) AS n FROM residents"), 0);
}

#[actix_web::test]
async fn times_need_an_offset_and_dates_must_exist() {
    let t = TestApp::new().await;
    let resident = t.resident("zhang").await;
    for starts_at in ["2026-11-23T09:00:00", "2026-11-31T09:00:00+08:00", "tomorrow"] {
        let body = t.booking(starts_at).await;
        let reply = t.post("/v1/appointments").by(&resident).json(body).send().await.problem(422, "invalid");
        assert_eq!(reply.faults(), ["/starts_at:date_time"], "{starts_at}");
    }
}

#[actix_web::test]
async fn every_answer_has_a_new_request_id() {
    let t = TestApp::new().await;
    let mut ids = BTreeSet::new();
    for path in ["/livez", "/v1/nowhere", "/v1/units?county=350425", "/openapi.json"] {
        let reply =
            t.get(path).header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").send().await;
        assert!(ids.insert(reply.header("x-request-id").to_owned()), "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
    assert!(!ids.contains(""));
}

#[actix_web::test]
async fn large_bodies_are_compressed_and_small_ones_are_not() {
    let t = TestApp::new().await;
    let large = t.get("/v1/units?county=350425&limit=200").header("accept-encoding", "gzip").send().await.is(200);
    assert_eq!(large.header("content-encoding"), "gzip");
    let small = t.get("/readyz").header("accept-encoding", "gzip, br").send().await.is(200);
    assert_eq!(small.header("content-encoding"), "");
    assert_eq!(small["ready"], true);
    let plain = t.get("/v1/units?county=350425&limit=200").send().await.is(200);
    assert_eq!(plain.header("content-encoding"), "");
    assert!(plain.bytes.len() > 4 * large.bytes.len(), "{} and {}", plain.bytes.len(), large.bytes.len());
}

#[actix_web::test]
async fn browsers_may_call_from_configured_origins_only() {
    let t = TestApp::with(|setup| setup.config.cors_origins = "https://h5.example".into()).await;
    let good = t.get("/livez").header("origin", "https://h5.example").send().await.is(200);
    assert_eq!(good.header("access-control-allow-origin"), "https://h5.example");
    let bad = t.get("/livez").header("origin", "https://evil.example").send().await;
    assert_eq!(bad.header("access-control-allow-origin"), "");
    let preflight = t.call(Method::OPTIONS, "/v1/appointments").header("origin", "https://h5.example");
    let preflight = preflight.header("access-control-request-method", "POST").send().await.is(200);
    assert!(preflight.header("access-control-allow-methods").contains("POST"));
}

#[actix_web::test]
async fn a_repeat_gets_the_first_answer_byte_for_byte() {
    let t = TestApp::new().await;
    let resident = t.resident("zhang").await;
    let body = t.booking("2026-11-23T09:00:00+08:00").await;
    let book = || t.post("/v1/appointments").by(&resident).key("the-key").json(body.clone());
    let first = book().send().await.is(201);
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = book().send().await.is(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.bytes, first.bytes);
    assert_eq!((again.header("location"), again.header("etag")), (first.header("location"), first.header("etag")));
    assert_eq!(t.database.count("SELECT count(*) AS n FROM appointments"), 1);
    // The draft writes the key as a quoted string.
    let quoted = t.post("/v1/appointments").by(&resident).key("\"the-key\"").json(body.clone()).send().await.is(201);
    assert_eq!(quoted.bytes, first.bytes);
    t.run_jobs().await;
}

#[actix_web::test]
async fn keys_belong_to_caller_and_operation_and_fit_one_request() {
    let t = TestApp::new().await;
    let (zhang, li) = (t.resident("zhang").await, t.resident("li").await);
    let body = t.booking("2026-11-23T09:00:00+08:00").await;
    t.set_time("2026-11-22T20:00:00+08:00");
    let booked = t.post("/v1/appointments").by(&zhang).key("k").json(body.clone()).send().await.created();
    t.post("/v1/appointments").by(&li).key("k").json(body.clone()).send().await.created();
    let other = t.booking("2026-11-23T10:00:00+08:00").await;
    t.post("/v1/appointments").by(&zhang).key("k").json(other).send().await.problem(422, "idempotency_key_reused");
    let id = booked["id"].as_str().expect("an id");
    t.post(&format!("/v1/appointments/{id}/cancel")).by(&zhang).key("k").send().await.is(200);
    t.call(Method::POST, "/v1/appointments")
        .by(&zhang)
        .json(body.clone())
        .send()
        .await
        .problem(400, "idempotency_key_missing");
    t.post("/v1/appointments").by(&zhang).key("   ").json(body.clone()).send().await.problem(400, "malformed_header");
    t.post("/v1/appointments")
        .by(&zhang)
        .key(&"k".repeat(256))
        .json(body)
        .send()
        .await
        .problem(400, "malformed_header");
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_refusal_leaves_no_key_behind() {
    let t = TestApp::new().await;
    let resident = t.resident("zhang").await;
    let body = t.booking("2026-11-23T09:00:00+08:00").await;
    t.database.run("UPDATE opening_rules SET capacity_public = 0, capacity_proxy = 0, capacity_desk = 0");
    t.post("/v1/appointments").by(&resident).key("k").json(body.clone()).send().await.problem(422, "slot_not_offered");
    t.database.run("UPDATE opening_rules SET capacity_public = 1");
    t.post("/v1/appointments").by(&resident).key("k").json(body).send().await.created();
    t.run_jobs().await;
}

#[actix_web::test]
async fn stored_answers_are_sealed() {
    let t = TestApp::new().await;
    let staff = t.staff("cadre").await;
    let unit = t.unit("红星村委会").await;
    let body = json!({"name": "陈秘密", "phone": "13950900001", "unit_id": unit, "identity_seen": "id_card"});
    t.post("/v1/residents").by(&staff).json(body).send().await.created();
    assert_eq!(t.database.count("SELECT count(*) AS n FROM idempotency_keys"), 1);
    let hex: String = "陈*密".bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!t.database.everything().contains(&hex));
}

#[actix_web::test]
async fn a_cursor_stays_right_while_rows_are_inserted_and_cannot_be_forged() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let create = async |name: &str| {
        t.post("/v1/matters").by(&admin).json(json!({"name": name})).send().await.created();
    };
    let first = t.get("/v1/matters?county=350425&limit=10&count=true").send().await.ok();
    create("新事项甲").await;
    let cursor = first["next_cursor"].as_str().expect("more");
    let second = t.get(&format!("/v1/matters?county=350425&limit=10&cursor={cursor}")).send().await.ok();
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().expect("items").iter().map(|item| item["id"].to_string()).collect()
    };
    let all: BTreeSet<_> = ids(&first).into_iter().chain(ids(&second)).collect();
    assert_eq!(all.len(), 15, "fourteen of the sample and one new, none twice");
    assert_eq!(first["total"], 14);
    for forged in ["x", "AAAA", &cursor[1..], &format!("{cursor}A")] {
        let reply = t.get(&format!("/v1/matters?county=350425&cursor={forged}")).send().await.problem(422, "invalid");
        assert_eq!(reply.faults(), ["cursor:cursor"]);
    }
    // A cursor of another list does not fit either.
    t.get(&format!("/v1/units?county=350425&cursor={cursor}")).send().await.problem(422, "invalid");
    for limit in ["0", "201", "-1", "x"] {
        let reply = t.get(&format!("/v1/matters?county=350425&limit={limit}")).send().await.problem(422, "invalid");
        assert!(reply.faults()[0].starts_with("limit:"), "{limit}");
    }
}

#[actix_web::test]
async fn if_match_is_required_weak_tags_are_taken_and_stale_ones_refused() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let id = t.matter().await;
    let put = || t.put(&format!("/v1/matters/{id}")).by(&admin).json(json!({"name": "改名", "state": "active"}));
    put().send().await.problem(428, "precondition_required");
    let reply = put().header("if-match", "\"9\"").send().await.problem(412, "version_stale");
    assert_eq!(reply.header("etag"), "\"1\"");
    let changed = put().header("if-match", "W/\"1\"").send().await.is(200);
    assert_eq!((changed.header("etag"), &changed["version"]), ("\"2\"", &json!(2)));
    put().header("if-match", "\"1\"").send().await.problem(412, "version_stale");
}

#[actix_web::test]
async fn too_many_writes_are_429_with_the_way_back() {
    let t = TestApp::with(|setup| setup.config.writes_per_minute = 3).await;
    let admin = t.staff("admin").await;
    let write = |name: &str| t.post("/v1/matters").by(&admin).json(json!({"name": name})).send();
    for name in ["甲", "乙", "丙"] {
        write(name).await.created();
    }
    let reply = write("丁").await.problem(429, "too_many_requests");
    let wait: u64 = reply.header("retry-after").parse().expect("seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    assert!(reply.header("ratelimit").starts_with("\"writes\";r=0;t="), "{}", reply.header("ratelimit"));
    assert_eq!(reply.header("ratelimit-policy"), "\"writes\";q=3;w=60");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM matters WHERE name = '丁'"), 0);
}

#[actix_web::test]
async fn metrics_are_for_those_with_the_token() {
    let open = TestApp::new().await;
    open.get("/readyz").send().await.is(200);
    let metrics = open.get("/metrics").send().await.is(200);
    assert!(String::from_utf8_lossy(&metrics.bytes).contains("route=\"/readyz\""));
    let guarded = TestApp::with(|setup| setup.config.metrics_token = Some("m".repeat(20).into())).await;
    guarded.get("/metrics").send().await.problem(404, "route_not_found");
    guarded.get("/metrics").header("authorization", &format!("Bearer {}", "m".repeat(20))).send().await.is(200);
}

#[actix_web::test]
async fn who_is_calling_comes_before_what_is_asked() {
    let t = TestApp::new().await;
    let resident = t.resident("zhang").await;
    // Not remembered yet: the session has to be looked up, and the bad body must not win the race.
    let reply = t.post("/v1/residents").by(&resident).body("{").send().await;
    reply.problem(403, "forbidden");
    t.call(Method::DELETE, "/v1/sessions/current").by(&resident).send().await.is(204);
    t.call(Method::POST, "/v1/appointments").by(&resident).body("[").send().await.problem(401, "session_ended");
}

#[actix_web::test]
async fn what_postgres_cannot_hold_is_a_wrong_field() {
    let t = TestApp::new().await;
    let reply = t.get("/v1/units?county=%00").send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["county:nul_character"]);
    let body = r#"{"county": "350425", "username": "a\u0000b", "password": "x", "role": "county_admin"}"#;
    let reply = t.post("/v1/sessions/staff").body(body).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/username:nul_character"]);
}

#[actix_web::test]
async fn a_panic_is_a_problem_too_and_the_next_request_is_served() {
    let t = TestApp::new().await;
    let failed = t.app.db.read("panics", |_| -> lianxin::error::Result<()> { panic!("on purpose") }).await;
    assert_eq!(failed.expect_err("it panicked").code, lianxin::error::Code::Internal);
    t.get("/readyz").send().await.is(200);
}
