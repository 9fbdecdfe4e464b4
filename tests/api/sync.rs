//! Phones that keep in step: the snapshot, what has changed, tombstones, and cursors that are good no more.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use diesel::{
    RunQueryDsl,
    connection::{Instrumentation, InstrumentationEvent, SimpleConnection, set_default_instrumentation},
    sql_query,
};
use lianxin::sync::feed::Next;
use serde_json::{Value, json};

use crate::{
    errands::{matter, submitted, villager},
    harness::{Reply, Session, TestApp},
    households::{category, create, here, tell},
    merging::{id, register},
    orders::{placed, step},
};

/// A phone: what it keeps, and where it stands.
pub struct Phone {
    pub session: Session,
    pub kept: BTreeMap<(String, String), Value>,
    pub cursor: Option<String>,
    /// Everything that it was ever told.
    pub told: Vec<Value>,
}

impl Phone {
    pub fn new(session: &Session) -> Self {
        Self { session: session.clone(), kept: BTreeMap::new(), cursor: None, told: Vec::new() }
    }

    pub async fn ask(&self, t: &TestApp, limit: usize) -> Reply {
        let cursor = self.cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        t.get(&format!("/v1/sync?limit={limit}{cursor}")).by(&self.session).send().await
    }

    /// One page; whether there is more.
    pub async fn pull(&mut self, t: &TestApp, limit: usize) -> bool {
        let page = self.ask(t, limit).await.ok();
        for item in page["items"].as_array().expect("items") {
            let text = |name: &str| item[name].as_str().expect(name).to_owned();
            let key = (text("entity"), text("id"));
            match item["gone"].as_bool().expect("gone") {
                true => drop(self.kept.remove(&key)),
                false => drop(self.kept.insert(key, item["data"].clone())),
            }
            self.told.push(item.clone());
        }
        self.cursor = page["next_cursor"].as_str().map(str::to_owned);
        page["more"].as_bool().expect("more")
    }

    pub async fn follow(&mut self, t: &TestApp) {
        while self.pull(t, 200).await {}
    }

    /// Follows until something holds: transactions of other tests on the same server hold the feed back for a while.
    pub async fn until(&mut self, t: &TestApp, holds: impl Fn(&Self) -> bool) {
        let asked = Instant::now();
        while !holds(self) {
            assert!(asked.elapsed() < Duration::from_secs(30), "never: {:#?}", self.kept.keys().collect::<Vec<_>>());
            self.follow(t).await;
        }
    }

    pub fn has(&self, entity: &str, id: &str) -> bool {
        self.kept.contains_key(&(entity.to_owned(), id.to_owned()))
    }

    pub fn get(&self, entity: &str, id: &str) -> &Value {
        &self.kept[&(entity.to_owned(), id.to_owned())]
    }

    pub fn count(&self, entity: &str) -> usize {
        self.kept.keys().filter(|(of, _)| of == entity).count()
    }
}

async fn todo(t: &TestApp, by: &Session, body: Value) -> String {
    id(&t.post("/v1/todos").by(by).json(body).send().await.created())
}

async fn act(t: &TestApp, by: &Session, todo: &str, verb: &str, body: Value) {
    t.post(&format!("/v1/todos/{todo}/{verb}")).by(by).json(body).send().await.ok();
}

#[actix_web::test]
async fn first_everything_then_what_has_changed() {
    let t = TestApp::new().await;
    let (cadre, specialist, junxi) = (t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await);
    let call = json!({"kind": "call", "title": "打个电话"});
    let first = todo(&t, &cadre, call.clone()).await;
    let mut phone = Phone::new(&specialist);
    // In pages of three; what is written meanwhile comes too.
    assert!(phone.pull(&t, 3).await);
    let second = todo(&t, &cadre, call.clone()).await;
    while phone.pull(&t, 3).await {}
    phone.until(&t, |phone| phone.has("todo", &second)).await;
    assert!(phone.has("todo", &first));
    let matters = t.get("/v1/matters?county=350425&state=active&limit=200").send().await.ok();
    assert_eq!(phone.count("matter"), matters["items"].as_array().expect("items").len());
    let one = matters["items"][0]["id"].as_str().expect("an id");
    assert_eq!(phone.get("matter", one)["versions"][0]["number"], 1, "with what the guide is made of");
    let settings = t.get("/v1/settings").by(&specialist).send().await.ok();
    assert_eq!(phone.count("setting"), settings["items"].as_array().expect("items").len());
    // As its own path answers it.
    let alone = t.get(&format!("/v1/todos/{first}")).by(&specialist).send().await.ok();
    assert_eq!(*phone.get("todo", &first), alone);

    // Taken by somebody else: still of the village. Done: gone. Of the township: never there.
    act(&t, &cadre, &first, "take", json!({})).await;
    act(&t, &cadre, &second, "done", json!({"note": "已告知"})).await;
    let town = todo(&t, &junxi, call).await;
    phone.until(&t, |phone| !phone.has("todo", &second)).await;
    assert_eq!(phone.get("todo", &first)["holder_id"], json!(cadre.subject));
    assert!(!phone.told.iter().any(|item| item["id"] == town.as_str()), "the township's");
    let mut above = Phone::new(&junxi);
    above.follow(&t).await;
    assert!(above.has("todo", &first) && above.has("todo", &town), "the township and its villages");

    // Handed to the village by the township, and taken back.
    act(&t, &junxi, &town, "hand_over", json!({"holder_id": specialist.subject})).await;
    phone.until(&t, |phone| phone.has("todo", &town)).await;
    act(&t, &specialist, &town, "put_back", json!({})).await;
    phone.until(&t, |phone| !phone.has("todo", &town)).await;
    let setting = json!({"value": 5, "reason": "试行"});
    let admin = t.staff("admin").await;
    t.put("/v1/settings/booking.days_ahead").by(&admin).header("if-match", "*").json(setting).send().await.ok();
    let set = |phone: &Phone| phone.kept.values().any(|kept| kept["key"] == "booking.days_ahead" && kept["value"] == 5);
    phone.until(&t, set).await;
    t.get("/v1/sync").by(&admin).send().await.problem(403, "forbidden");
    t.run_jobs().await;
}

#[actix_web::test]
async fn errands_orders_and_appointments_come_and_go() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let (cadre, specialist, junxi) = (t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await);
    let mut phone = Phone::new(&specialist);
    phone.follow(&t).await;
    let errand = submitted(&t, &chen, matter(&t, crate::errands::content("village")).await).await;
    let errand_id = id(&errand);
    phone.until(&t, |phone| phone.has("errand", &errand_id)).await;
    let listed = t.get("/v1/errands?limit=200").by(&specialist).send().await.ok();
    let listed = listed["items"].as_array().expect("items").iter().find(|one| one["id"] == errand["id"]);
    assert_eq!(Some(phone.get("errand", &errand_id)), listed);

    // An order is masked while it is of the village, plain while one holds it, masked again, gone.
    let order = placed(&t, &chen, "政策咨询").await;
    let order_id = id(&order);
    phone.until(&t, |phone| phone.has("order", &order_id)).await;
    assert_eq!(phone.get("order", &order_id)["address"], Value::Null);
    step(&t, &specialist, &order, "claim", json!({})).await.ok();
    phone.until(&t, |phone| phone.get("order", &order_id)["held"] == true).await;
    assert_eq!(phone.get("order", &order_id)["address"], "红星村 12 号");
    let looks = format!(
        "SELECT count(*) AS n FROM audit_log WHERE action = 'read_order' AND actor_id = '{}'",
        specialist.subject
    );
    assert_eq!(t.database.count(&looks), 1, "the look is recorded");
    step(&t, &specialist, &order, "return", json!({"reason": "临时有事"})).await.ok();
    phone.until(&t, |phone| phone.get("order", &order_id)["held"] == false).await;
    assert_eq!(phone.get("order", &order_id)["address"], Value::Null);
    step(&t, &chen, &order, "cancel", json!({"reason": "不用了"})).await.ok();
    phone.until(&t, |phone| !phone.has("order", &order_id)).await;

    // At the centre of one's post, or booked by oneself elsewhere.
    let granny = id(&register(&t, &cadre, "陈阿婆", None, None).await);
    let mut booking = t.booking("2026-11-24T09:00:00+08:00").await;
    booking["resident_id"] = json!(granny);
    let booked = id(&t.post("/v1/appointments").by(&specialist).json(booking).send().await.created());
    phone.until(&t, |phone| phone.has("appointment", &booked)).await;
    let mut others = [Phone::new(&junxi), Phone::new(&cadre)];
    for other in &mut others {
        other.follow(&t).await;
    }
    assert_eq!(others.map(|other| other.has("appointment", &booked)), [true, false], "in the township's hall");
    t.post(&format!("/v1/appointments/{booked}/cancel")).by(&specialist).json(json!({})).send().await.ok();
    phone.until(&t, |phone| !phone.has("appointment", &booked)).await;
    t.run_jobs().await;
}

/// What nobody was told of before phones asked.
#[actix_web::test]
async fn whoever_loses_sight_is_told() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let (cadre, specialist, junxi) = (t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await);
    let errand = submitted(&t, &chen, matter(&t, crate::errands::content("village")).await).await;
    let holder = if errand["holder"]["id"] == json!(cadre.subject) { &cadre } else { &specialist };
    let told = |who: &Session, entity: &str, id: &str, gone: bool| {
        let of = if gone { "AND gone" } else { "AND NOT gone" };
        t.database.count(&format!("SELECT count(*) AS n FROM changes WHERE entity = '{entity}' AND entity_id = '{id}' AND staff_id = '{}' {of}", who.subject))
    };
    let errand_id = id(&errand);
    let offer = json!({"staff_id": junxi.subject, "reason": "请接手"});
    crate::errands::step(&t, holder, &errand, "offer_transfer", offer).await.ok();
    crate::errands::step(&t, &junxi, &errand, "decline_transfer", json!({"reason": "请先补齐"})).await.ok();
    assert_eq!(
        (told(&junxi, "errand", &errand_id, false), told(&junxi, "errand", &errand_id, true)),
        (1, 1),
        "asked, and asked no more"
    );

    // A centre whose appointment is moved to another one; a record that is merged.
    let booked = id(&t
        .post("/v1/appointments")
        .by(&chen)
        .json(t.booking("2026-11-24T09:00:00+08:00").await)
        .send()
        .await
        .created());
    let (old, new) = (t.unit("均溪镇").await, t.unit("石牌镇").await);
    t.database.run(&format!("UPDATE appointments SET unit_id = '{new}', version = version + 1 WHERE id = '{booked}'"));
    let left = format!("SELECT count(*) AS n FROM changes WHERE entity_id = '{booked}' AND unit_id = '{old}' AND gone");
    assert_eq!(t.database.count(&left), 1);
    let granny = id(&register(&t, &cadre, "陈阿婆", None, None).await);
    let same = id(&register(&t, &cadre, "陈阿婆", None, None).await);
    let visit = todo(&t, &cadre, json!({"kind": "visit", "title": "看看", "resident_id": same})).await;
    let mut phone = Phone::new(&specialist);
    phone.follow(&t).await;
    let merge = json!({"duplicate_id": same, "reason": "同一人"});
    t.post(&format!("/v1/residents/{granny}/merge")).by(&cadre).header("if-match", "*").json(merge).send().await.ok();
    phone.until(&t, |phone| phone.get("todo", &visit)["resident_id"] == granny.as_str()).await;
    t.run_jobs().await;
}

#[actix_web::test]
async fn of_what_is_about_oneself_nothing_is_said() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let (mut one, mut other) = (Phone::new(&specialist), Phone::new(&cadre));
    one.follow(&t).await;
    other.follow(&t).await;
    let about = todo(&t, &cadre, json!({"kind": "call", "title": "回访"})).await;
    t.database
        .run(&format!("UPDATE todos SET hidden_from = ARRAY['{}'::uuid] WHERE id = '{about}'", specialist.subject));
    other.until(&t, |phone| phone.has("todo", &about)).await;
    act(&t, &cadre, &about, "done", json!({"note": "已了解"})).await;
    other.until(&t, |phone| !phone.has("todo", &about)).await;
    one.follow(&t).await;
    assert!(!one.told.iter().any(|item| item["id"] == about.as_str()), "not even a tombstone");
    // A draft of somebody else has never been seen either.
    let chen = villager(&t, "chen").await;
    let draft = json!({"matter_id": matter(&t, crate::errands::content("village")).await});
    let draft = id(&t.post("/v1/errands").by(&chen).json(draft).send().await.created());
    let later = todo(&t, &cadre, json!({"kind": "call", "title": "再打"})).await;
    one.until(&t, |phone| phone.has("todo", &later)).await;
    assert!(!one.told.iter().any(|item| item["id"] == draft.as_str()));
    t.run_jobs().await;
}

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

#[actix_web::test]
async fn households_and_tasks_reach_whoever_answers_for_them() {
    let t = TestApp::new().await;
    let (cadre, specialist, junxi) = (t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await);
    let admin = t.staff("admin").await;
    let (_, shipai) = crate::staff::open(&t, &admin, "shipai", "township_staff", "石牌镇").await;
    let (mut phone, mut beside, mut far) = (Phone::new(&specialist), Phone::new(&cadre), Phone::new(&shipai));
    for phone in [&mut phone, &mut beside, &mut far] {
        phone.follow(&t).await;
    }
    let monthly = category(&t, "重点关爱户").await;
    let more = json!({"address": "红星村12号", "category_id": monthly, "point": here()});
    let made = create(&t, &cadre, "陈阿婆", more).await;
    let (home, task) = (id(&made), made["task"]["id"].as_str().expect("a task").to_owned());
    phone.until(&t, |phone| phone.has("household", &home) && phone.has("visit_task", &task)).await;
    let kept = phone.get("household", &home);
    assert_eq!(
        (&kept["name"], &kept["address"], &kept["plain"]),
        (&json!("陈阿婆"), &json!("红星村12号"), &json!(true))
    );
    let looks = format!(
        "SELECT count(*) AS n FROM audit_log WHERE action = 'read' AND entity_id = '{home}' AND actor_id = '{}'",
        specialist.subject
    );
    assert_eq!(t.database.count(&looks), 1);
    beside.until(&t, |phone| phone.has("household", &home)).await;
    assert_eq!(
        (&beside.get("household", &home)["name"], &beside.get("household", &home)["address"]),
        (&json!("陈*婆"), &Value::Null)
    );
    far.follow(&t).await;
    assert!(far.told.iter().all(|item| item["entity"] != "household"));

    // A partner who works elsewhere sees it, with its task, until it ends.
    let with = tell(&t, &junxi, &made, "partners", json!({"staff_id": shipai.subject})).await.ok();
    far.until(&t, |phone| phone.has("household", &home) && phone.has("visit_task", &task)).await;
    assert_eq!(far.get("household", &home)["plain"], true);
    // A visit resolves the task: the next one is there instead.
    t.database.run(&format!(
        "SELECT visit_tasks_resolve(1, '{home}', '{}', '2026-11-24', '2026-11-24T10:00:00+08:00')",
        uuid::Uuid::now_v7()
    ));
    for phone in [&mut phone, &mut far] {
        phone.until(&t, |phone| !phone.has("visit_task", &task) && phone.count("visit_task") == 1).await;
        assert_eq!(phone.get("household", &home)["last_visit_on"], "2026-11-24");
    }
    let partner = with["partner_id"].as_str().expect("a partner").to_owned();
    assert_eq!(partner, shipai.subject.to_string());
    t.database.run("UPDATE visit_partners SET until_on = '2026-11-24'");
    far.until(&t, |phone| phone.count("household") == 0 && phone.count("visit_task") == 0).await;
    // Closed: gone for everybody.
    tell(&t, &cadre, &made, "close", json!({"reason": "迁出"})).await.ok();
    for phone in [&mut phone, &mut beside] {
        phone.until(&t, |phone| phone.count("household") == 0 && phone.count("visit_task") == 0).await;
    }
    t.run_jobs().await;
}

/// What a specialist has in the hand at first, over a bad network.
#[actix_web::test]
async fn three_hundred_households_are_a_megabyte_at_most() {
    let t = TestApp::with(|setup| setup.config.writes_per_minute = 100_000).await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let (village, monthly) = (t.unit("红星村委会").await, category(&t, "重点关爱户").await);
    let families = ["陈", "林", "黄", "张", "吴", "李", "郑", "王", "蔡", "刘"];
    let one = async |number: usize| {
        let mut members = Vec::new();
        for (nth, given) in ["阿婆", "建国", "小明"].iter().enumerate() {
            let name = format!("{}{given}", families[(number + nth) % families.len()]);
            let body = json!({"name": name, "unit_id": village, "identity_seen": "id_card"});
            let resident = t.post("/v1/residents").by(&cadre).json(body).send().await.created();
            let relation = if nth == 0 { "head" } else { "child" };
            members.push(json!({"resident_id": resident["id"], "relation": relation}));
        }
        let note = format!("独居老人，子女在外务工，第 {} 次登记，血压偏高，每周三到卫生所取药", number * 7919 % 1000);
        let body = json!({"unit_id": village, "name": format!("{}阿婆", families[number % families.len()]), "category_id": monthly, "note": note,
            "code": format!("HX-{number:04}"), "address": format!("红星村 {} 组 {} 号", number % 12 + 1, number * 7907 % 997), "members": members});
        t.post("/v1/households").by(&cadre).json(body).send().await.created();
    };
    for tens in 0..30 {
        futures_util::future::join_all((0..10).map(|unit| one(tens * 10 + unit))).await;
    }
    t.database.run("UPDATE households SET lng = 117.8 + random() / 10, lat = 25.6 + random() / 10, point_set_at = now(), version = version + 1");
    let (mut phone, mut bytes, mut pages) = (Phone::new(&specialist), 0, 0);
    loop {
        let cursor = phone.cursor.as_ref().map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
        let packed =
            t.get(&format!("/v1/sync{cursor}")).by(&specialist).header("accept-encoding", "gzip").send().await.is(200);
        (bytes, pages) = (bytes + packed.bytes.len(), pages + 1);
        if !phone.pull(&t, 200).await {
            break;
        }
    }
    assert_eq!((phone.count("household"), phone.count("visit_task")), (300, 300));
    assert!(phone.kept.values().any(|kept| kept["address"].is_string() && kept["point"]["lng"].is_number()), "plain");
    assert!(bytes <= 1 << 20, "{bytes} bytes on {pages} pages");
    assert!(bytes > 10_000, "compressed, and counted: {bytes}");
    println!("{bytes} bytes on {pages} pages");
    t.run_jobs().await;
}
