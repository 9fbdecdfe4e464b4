//! Cursors that are good no more, how long the feed is kept, and what nothing new costs.

use std::sync::Mutex;

use diesel::{
    RunQueryDsl,
    connection::{Instrumentation, InstrumentationEvent, SimpleConnection, set_default_instrumentation},
    sql_query,
};
use lianxin::sync::feed::Next;
use serde_json::json;

use crate::{
    harness::{Session, TestApp},
    sync::{Phone, todo},
};

#[actix_web::test]
async fn a_cursor_is_good_for_its_phone_and_its_feed() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let mut phone = Phone::new(&specialist);
    phone.follow(&t).await;
    let good = phone.cursor.clone().expect("a cursor");
    let ask = async |by: &Session, cursor: &str| t.get(&format!("/v1/sync?cursor={cursor}")).by(by).send().await;
    ask(&specialist, &good).await.ok();
    for forged in ["", "x", &good[1..], &good.replace(&good[20..22], "__")] {
        assert_eq!(ask(&specialist, forged).await.problem(422, "invalid").faults(), ["cursor:cursor"]);
    }
    let limit = t.get("/v1/sync?limit=201").by(&specialist).send().await.problem(422, "invalid");
    assert_eq!(limit.faults(), ["limit:range"]);
    let detail = ask(&cadre, &good).await.problem(410, "sync_cursor_gone").body["detail"].to_string();
    assert!(detail.contains("岗位"), "{detail}");
    // Of a snapshot too.
    let page = t.get("/v1/sync?limit=1").by(&specialist).send().await.ok();
    ask(&cadre, page["next_cursor"].as_str().expect("a cursor")).await.problem(410, "sync_cursor_gone");

    // A unit below joins or leaves: what can be seen is another thing.
    let junxi = t.staff("junxi").await;
    let mut above = Phone::new(&junxi);
    above.follow(&t).await;
    t.database
        .run("UPDATE units SET parent_id = (SELECT id FROM units WHERE name = '石牌镇') WHERE name = '红星村委会'");
    above.ask(&t, 10).await.problem(410, "sync_cursor_gone");
    t.database
        .run("UPDATE units SET parent_id = (SELECT id FROM units WHERE name = '均溪镇') WHERE name = '红星村委会'");
    above.ask(&t, 10).await.ok();

    // The feed goes back only so far.
    t.database.run("UPDATE change_feed SET kept_from = (SELECT pg_snapshot_xmax(pg_current_snapshot()))");
    let detail = ask(&specialist, &good).await.problem(410, "sync_cursor_gone").body["detail"].to_string();
    assert!(detail.contains("过久"), "{detail}");
    t.database.run("UPDATE change_feed SET kept_from = '0'");

    // A copy put back: the feed stood behind the cursor at a later time.
    t.database.run("INSERT INTO change_marks (at, xid) VALUES ('2026-11-23T08:30:00+08:00', '1')");
    let detail = ask(&specialist, &good).await.problem(410, "sync_cursor_gone").body["detail"].to_string();
    assert!(detail.contains("恢复"), "{detail}");
    t.database.run("DELETE FROM change_marks WHERE xid = '1'");
    ask(&specialist, &good).await.ok();

    // Another cluster, or the same one on another timeline: a new epoch for everybody.
    t.database.run("UPDATE change_feed SET place = '1/00000001'");
    ask(&specialist, &good).await.problem(410, "sync_cursor_gone");
    ask(&specialist, &good).await.problem(410, "sync_cursor_gone");
    phone.cursor = None;
    phone.follow(&t).await;
    ask(&specialist, phone.cursor.as_deref().expect("a cursor")).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn the_feed_is_kept_as_long_as_is_set_and_who_follows_loses_nothing() {
    let t = TestApp::with(|setup| setup.config.changes_kept_days = 3).await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let (mut away, mut there) = (Phone::new(&specialist), Phone::new(&specialist));
    away.follow(&t).await;
    there.follow(&t).await;
    let first = todo(&t, &cadre, json!({"kind": "call", "title": "打个电话"})).await;
    there.until(&t, |phone| phone.has("todo", &first)).await;
    let sweep = async || lianxin::jobs::sweep(&t.app).await.expect("swept");
    sweep().await;
    t.pass(chrono::TimeDelta::days(2));
    sweep().await;
    there.session = t.staff("specialist").await;
    there.follow(&t).await;
    let of = format!("SELECT count(*) AS n FROM changes WHERE entity_id = '{first}'");
    assert_eq!(t.database.count(&of), 1);
    // The mark of the first day is older than three days now; the clock of a row says nothing.
    t.database.run("UPDATE changes SET at = '2036-01-01'");
    t.pass(chrono::TimeDelta::days(2));
    sweep().await;
    assert_eq!(t.database.count(&of), 0);
    let specialist = t.staff("specialist").await;
    (away.session, there.session) = (specialist.clone(), specialist);
    let detail = away.ask(&t, 10).await.problem(410, "sync_cursor_gone").body["detail"].to_string();
    assert!(detail.contains("过久"), "{detail}");
    there.follow(&t).await;
    assert!(there.has("todo", &first));
    t.run_jobs().await;
}

/// Everything that was asked of PostgreSQL, in this process.
static ASKED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Listen;

impl Instrumentation for Listen {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            ASKED.lock().expect("nobody panics here").push(query.to_string());
        }
    }
}

#[derive(diesel::QueryableByName)]
struct Planned {
    #[diesel(sql_type = diesel::sql_types::Text, column_name = "QUERY PLAN")]
    line: String,
}

/// In a process of its own, as nextest runs it: whoever else asks PostgreSQL meanwhile would be counted too.
#[actix_web::test]
async fn nothing_new_is_one_read_by_index() {
    set_default_instrumentation(|| Some(Box::new(Listen) as Box<dyn Instrumentation>)).expect("set");
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let mut phone = Phone::new(&specialist);
    phone.follow(&t).await;
    phone.follow(&t).await;
    ASKED.lock().expect("nobody panics here").clear();
    phone.follow(&t).await;
    let asked: Vec<_> = std::mem::take(&mut *ASKED.lock().expect("nobody panics here"));
    let asked: Vec<_> = asked.into_iter().filter(|asked| !asked.contains("\"sessions\"")).collect();
    assert_eq!(asked.len(), 1, "{asked:#?}");

    // Whatever else happens in the county: 200,000 changes of other villages, of residents, of things that phones do not keep.
    t.database.run(
        "INSERT INTO changes (county_id, entity, entity_id, unit_id, at) SELECT 1, 'errand', gen_random_uuid(), u.id, now() \
           FROM (SELECT id, row_number() OVER () AS n FROM units WHERE county_id = 1 AND name <> '红星村委会') u JOIN generate_series(1, 100000) g ON g % 200 = u.n; \
         INSERT INTO changes (county_id, entity, entity_id, resident_id, at) SELECT 1, 'message', gen_random_uuid(), gen_random_uuid(), now() FROM generate_series(1, 100000); \
         ANALYZE changes",
    );
    let names = ["county", "top", "staff", "xid", "seq", "entities", "for_all", "handed_out", "limit"];
    let sql = names
        .iter()
        .enumerate()
        .fold(Next::SQL.to_owned(), |sql, (at, name)| sql.replace(&format!("{{{name}}}"), &format!("${}", at + 1)));
    let mut conn = t.database.service();
    conn.batch_execute(&format!(
        "SET plan_cache_mode = force_generic_plan; SET jit = off; PREPARE next (integer, uuid, uuid, bigint, bigint, text[], text[], timestamptz, bigint) AS {sql}"
    ))
    .expect("prepared");
    let explain = format!(
        "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) EXECUTE next (1, '{}', '{}', 1, 0, ARRAY['errand', 'todo'], ARRAY['matter'], now(), 200)",
        t.unit("红星村委会").await,
        specialist.subject
    );
    let plan: Vec<Planned> = sql_query(explain).load(&mut conn).expect("explained");
    let plan: Vec<_> = plan.into_iter().map(|planned| planned.line).collect();
    let text = plan.join("\n");
    for index in ["changes_unit", "changes_staff", "changes_everybody"] {
        assert!(text.contains(index), "{index}\n{text}");
    }
    assert!(!text.contains("Seq Scan on changes"), "{text}");
    // Pages read by the whole of it, from the top line of the plan.
    let read = plan.iter().find_map(|line| line.trim().strip_prefix("Buffers: shared hit=")).expect("buffers");
    let read: u32 =
        read.split(|other: char| !other.is_ascii_digit()).next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(read < 120, "{read} pages\n{text}");
    t.run_jobs().await;
}
