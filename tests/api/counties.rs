//! Counties: made, suspended and resumed by the operator; name and mini-program kept by their own administrator.

use std::time::{Duration, Instant};

use lianxin::{
    sample,
    units::tenants::{self, NewCounty},
};
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    harness::{Call, Session, TestApp},
};

fn cli(t: &TestApp, args: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lianxin"))
        .args(args)
        .env("LIANXIN_MODE", "development")
        .env("DATABASE_URL", &t.database.service_url)
        .env("LOG", "error")
        .output()
        .expect("runs");
    let words = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

fn put(name: &str, appid: Value, secret: Option<&str>) -> Value {
    let mut body = json!({"name": name, "wechat_appid": appid});
    if let Some(secret) = secret {
        body["wechat_secret"] = json!(secret);
    }
    body
}

#[actix_web::test]
async fn the_operator_creates_lists_suspends_and_resumes() {
    let t = TestApp::new().await;
    let (well, words) = cli(&t, &["county", "create", "--key", "350426", "--name", "尤溪县"]);
    assert!(well && words.contains("created 350426"), "{words}");
    let units = t.get("/v1/units?county=350426").send().await.ok();
    assert_eq!((&units["items"][0]["level"], &units["items"][0]["name"]), (&json!("county"), &json!("尤溪县")));
    assert_eq!(units["items"][0]["division_code"], "350426000000");
    let (well, words) = cli(&t, &["county", "create", "--key", "350426", "--name", "别名县"]);
    assert!(!well && words.contains("exists already"), "{words}");
    for bad in
        [&["--key", "X1", "--name", "县"][..], &["--key", "abc", "--name", "县"], &["--key", "350427", "--name", " "]]
    {
        let (well, words) = cli(&t, &[&["county", "create"], bad].concat());
        assert!(!well, "{words}");
    }
    let (well, words) = cli(&t, &["county", "suspend", "--county", "350426", "--reason", "合同到期"]);
    assert!(well, "{words}");
    let (well, words) = cli(&t, &["county", "suspend", "--county", "350426", "--reason", "再次"]);
    assert!(!well && words.contains("suspended already"), "{words}");
    let (_, words) = cli(&t, &["county", "list"]);
    assert!(words.contains("350425\t大田县\tactive") && words.contains("尤溪县\tsuspended since 20"), "{words}");
    assert!(words.contains("合同到期"), "{words}");
    let (well, words) = cli(&t, &["county", "resume", "--county", "350426"]);
    assert!(well, "{words}");
    let (well, words) = cli(&t, &["county", "resume", "--county", "999999"]);
    assert!(!well && words.contains("no county 999999"), "{words}");
    let recorded = "SELECT count(*) AS n FROM audit_log WHERE actor_role = 'operator' AND entity = 'county' \
        AND action IN ('create', 'suspend', 'resume')";
    assert_eq!(t.database.count(recorded), 3);
    let told = "SELECT count(*) AS n FROM audit_log WHERE entity = 'county' AND reason IS NOT NULL";
    assert_eq!(t.database.count(told), 0, "the county reads its own log");
}

fn login<'a>(t: &'a TestApp, county: &str) -> Call<'a> {
    let body = json!({"county": county, "username": "admin", "password": sample::PASSWORD, "role": "county_admin"});
    t.post("/v1/sessions/staff").json(body)
}

#[actix_web::test]
async fn a_suspended_county_is_shut_out_and_goes_on_where_it_was() {
    let t = TestApp::new().await;
    let (admin, zhang) = (t.staff("admin").await, t.resident("zhang").await);
    let foreign = foreign_admin(&t).await;
    let body = t.booking("2026-11-24T09:00:00+08:00").await;
    t.post("/v1/appointments").by(&zhang).json(body).send().await.created();
    tenants::suspend(&t.app, "350425", "合同到期").await.expect("suspended");

    login(&t, "350425").send().await.problem(403, "county_suspended");
    let body = json!({"county": "350425", "code": "login.li.1"});
    let reply = t.post("/v1/sessions/wechat").json(body.clone()).send().await.problem(403, "county_suspended");
    assert!(!String::from_utf8_lossy(&reply.bytes).contains("合同"), "the reason is the operator's business");
    t.get("/v1/sessions/current").by(&admin).send().await.problem(403, "county_suspended");
    t.get("/v1/appointments").by(&zhang).send().await.problem(403, "county_suspended");
    let refresh = json!({"refresh_token": zhang.refresh});
    t.post("/v1/sessions/refresh").json(refresh.clone()).send().await.problem(403, "county_suspended");
    for path in ["/v1/units?county=350425", "/v1/matters?county=350425", "/v1/calendar/days?county=350425&year=2026"] {
        t.get(path).send().await.problem(404, "not_found");
    }
    assert_eq!(t.run_jobs().await, 0, "its jobs wait");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM outbox WHERE pushed_until IS NULL AND attempts = 0"), 1);
    // The other county does not notice.
    t.get("/v1/county").by(&foreign).send().await.ok();
    t.get("/v1/units?county=350426").send().await.ok();

    tenants::resume(&t.app, "350425").await.expect("resumed");
    t.get("/v1/sessions/current").by(&admin).send().await.ok();
    t.post("/v1/sessions/refresh").json(refresh).send().await.ok();
    t.post("/v1/sessions/wechat").json(body).send().await.created();
    t.get("/v1/units?county=350425").send().await.ok();
    assert!(t.run_jobs().await > 0);
    let inbox = t.get("/v1/messages").by(&zhang).send().await.ok();
    assert_eq!(inbox["items"].as_array().map(Vec::len), Some(1));
}

/// A job that lay on the stream already is put back.
#[actix_web::test]
async fn a_job_on_its_way_waits_too() {
    let t = TestApp::new().await;
    let zhang = t.resident("zhang").await;
    let body = t.booking("2026-11-24T09:00:00+08:00").await;
    t.post("/v1/appointments").by(&zhang).json(body).send().await.created();
    let (id, now) = (t.database.count("SELECT id AS n FROM outbox"), t.app.clock.now());
    tenants::suspend(&t.app, "350425", "合同到期").await.expect("suspended");
    let claim = move |conn: &mut _| lianxin::jobs::store::claim(conn, id, 12, now);
    assert!(t.app.db.write("claim", claim).await.expect("asked").is_none());
    tenants::resume(&t.app, "350425").await.expect("resumed");
    assert!(t.run_jobs().await > 0);
}

/// The command line is another process: nobody tells the server.
#[actix_web::test]
async fn it_holds_within_five_seconds_without_being_told() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    t.get("/v1/units?county=350425").send().await.ok();
    t.get("/v1/sessions/current").by(&admin).send().await.ok();
    let (well, words) = cli(&t, &["county", "suspend", "--county", "350425", "--reason", "合同到期"]);
    assert!(well, "{words}");
    let since = Instant::now();
    loop {
        let session = t.get("/v1/sessions/current").by(&admin).send().await.status;
        let read = t.get("/v1/units?county=350425").send().await.status;
        if (session, read) == (403, 404) {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(5), "{session}, {read}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn county(t: &TestApp, by: &Session) -> Value {
    t.get("/v1/county").by(by).send().await.ok()
}

#[actix_web::test]
async fn the_administrator_keeps_name_and_mini_program_and_never_sees_the_secret() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let before = county(&t, &admin).await;
    assert_eq!(
        (&before["key"], &before["name"], &before["wechat_secret_set"]),
        (&json!("350425"), &json!("大田县"), &json!(true))
    );
    assert_eq!(before["sms_gateway_set"], true);
    let tag = |view: &Value| format!("\"{}\"", view["version"]);
    let write = |tag: String, body: Value| t.put("/v1/county").by(&admin).header("if-match", &tag).json(body);
    // Another name, the same mini-program: the secret stays.
    let body = put("大田试点县", before["wechat_appid"].clone(), None);
    let renamed = write(tag(&before), body.clone()).send().await.ok();
    assert_eq!((&renamed["name"], &renamed["wechat_secret_set"]), (&json!("大田试点县"), &json!(true)));
    t.resident("zhang").await;
    let units = t.get("/v1/units?county=350425&level=county").send().await.ok();
    assert_eq!(units["items"][0]["name"], "大田试点县");
    write(tag(&before), body).send().await.problem(412, "version_stale");
    // Another mini-program needs its secret, which is sealed and never comes out.
    let reply = write(tag(&renamed), put("大田县", json!("wx-other"), None)).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/wechat_secret:required"]);
    let reply =
        write(tag(&renamed), put("大田县", json!(null), Some("s3cret-s3cret"))).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/wechat_secret:without_appid"]);
    let other = write(tag(&renamed), put("大田县", json!("wx-other"), Some("s3cret-s3cret"))).send().await.is(200);
    assert!(!String::from_utf8_lossy(&other.bytes).contains("s3cret"));
    let hex: String = "s3cret-s3cret".bytes().map(|byte| format!("{byte:02x}")).collect();
    let stored = t.database.everything();
    assert!(!stored.contains("s3cret-s3cret") && !stored.contains(&hex));
    let removed = write(tag(&other.body), put("大田县", json!(null), None)).send().await.ok();
    assert_eq!((&removed["wechat_appid"], &removed["wechat_secret_set"]), (&json!(null), &json!(false)));
    let recorded = "SELECT count(*) AS n FROM audit_log WHERE entity = 'county' AND action = 'update' AND actor_role = 'county_admin'";
    assert_eq!(t.database.count(recorded), 3);
    let fields =
        "SELECT count(*) AS n FROM audit_log WHERE entity = 'county' AND fields = '{name,wechat_appid,wechat_secret}'";
    assert_eq!(t.database.count(fields), 1);
    for who in ["junxi", "supervisor", "cadre"] {
        t.get("/v1/county").by(&t.staff(who).await).send().await.problem(403, "forbidden");
    }
}

#[actix_web::test]
async fn a_mini_program_belongs_to_one_county() {
    let t = TestApp::new().await;
    let (admin, foreign) = (t.staff("admin").await, foreign_admin(&t).await);
    let appid = county(&t, &admin).await["wechat_appid"].clone();
    let theirs = county(&t, &foreign).await;
    assert_eq!((&theirs["key"], &theirs["wechat_secret_set"]), (&json!("350426"), &json!(false)));
    let call = t.put("/v1/county").by(&foreign).header("if-match", "*").json(put("尤溪县", appid, Some("secret")));
    call.send().await.problem(409, "wechat_appid_taken");
    assert_eq!(county(&t, &foreign).await, theirs);
}

#[actix_web::test]
async fn a_county_made_by_hand_takes_its_divisions() {
    let t = TestApp::new().await;
    let source = "statistics_bureau".to_owned();
    let new = NewCounty { key: "350426".into(), name: "尤溪县".into(), code: None, source };
    tenants::create(&t.app, new).await.expect("created");
    let file = "division_code,level,name,parent_code\n350426000000,county,尤溪县,\n350426100000,township,城关镇,350426000000\n";
    let imported = lianxin::units::import::import(&t.app, file.as_bytes(), "statistics_bureau", None, false).await;
    let imported = imported.expect("imports");
    assert_eq!((imported.created, imported.unchanged), (1, 1));
}
