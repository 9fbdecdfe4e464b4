//! Who may do what: every operation × every kind of caller × own and foreign county. An operation without a row fails.

mod rows;

use std::collections::BTreeSet;

use lianxin::{
    http::{permissions::PERMISSIONS, serve::Document},
    sample, staff,
    units::import,
};
use reqwest::Method;
use serde_json::{Value, json};

use rows::{Row, rows};

use crate::harness::{Reply, Session, TestApp};

/// Every role of the sample county, by its demo account.
const STAFF: &[(&str, &str)] = &[
    ("specialist", "specialist"),
    ("cadre", "village_cadre"),
    ("junxi", "township_staff"),
    ("civil.affairs", "department_staff"),
    ("supervisor", "supervisor"),
    ("admin", "county_admin"),
];

/// An administrator of another county of the same installation.
pub async fn foreign_admin(t: &TestApp) -> Session {
    let file = "division_code,level,name,parent_code\n350426000000,county,尤溪县,\n350426100000,township,城关镇,350426000000\n";
    import::import(&t.app, file.as_bytes(), "statistics_bureau", None, false).await.expect("imports");
    let new = staff::NewStaff {
        county: "350426".into(),
        username: "admin".into(),
        display_name: "外县管理员".into(),
        password: sample::PASSWORD.into(),
        role: "county_admin".parse().expect("a role"),
        unit: None,
    };
    staff::create(&t.app, new).await.expect("created");
    let body = json!({"county": "350426", "username": "admin", "password": sample::PASSWORD, "role": "county_admin"});
    t.post("/v1/sessions/staff").json(body).send().await.session()
}

/// The permission that the document names for each operation.
fn documented() -> Vec<(String, Option<String>)> {
    let document: Value = serde_json::to_value(Document::openapi()).expect("serialises");
    let mut all = Vec::new();
    for path in document["paths"].as_object().expect("paths").values() {
        for operation in path.as_object().expect("operations").values() {
            let need = operation["security"].as_array().into_iter().flatten().find_map(|need| need.get("token"));
            let need = need.and_then(|scopes| scopes[0].as_str().map(str::to_owned));
            all.push((operation["operationId"].as_str().expect("an operationId").to_owned(), need));
        }
    }
    all
}

struct Things {
    values: Vec<(&'static str, String)>,
}

impl Things {
    fn fill(&self, text: &str, number: usize) -> String {
        let filled = self.values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        filled.replace("{n}", &number.to_string())
    }
}

async fn things(t: &TestApp) -> (Things, Session) {
    let owner = t.resident("owner").await;
    let village = t.unit("红星村委会").await;
    let body = json!({"unit_id": village});
    t.put(&format!("/v1/residents/{}", owner.subject)).by(&owner).header("if-match", "*").json(body).send().await.ok();
    let body = t.booking("2026-11-24T09:00:00+08:00").await;
    let booked = t.post("/v1/appointments").by(&owner).json(body).send().await.created();
    t.run_jobs().await;
    let inbox = t.get("/v1/messages").by(&owner).send().await.ok();
    let windows = t.get(&format!("/v1/windows?county=350425&unit_id={}", t.unit("均溪镇").await)).send().await.ok();
    t.database.run(
        "INSERT INTO outbox (county_id, kind, payload, run_at, dead_at) VALUES (1, 'none', '{}', now() - interval '1 year', now())",
    );
    let waiting = uuid::Uuid::now_v7();
    t.database.run(&format!(
        "INSERT INTO waiting_entries (county_id, id, unit_id, matter_id, resident_id, channel, place, on_date, earliest, latest, until, state, created_at, updated_at) \
         SELECT county_id, '{waiting}', unit_id, matter_id, resident_id, channel, place, '2026-11-27', '2026-11-27T09:00:00+08:00', '2026-11-27T09:00:00+08:00', '2026-11-27T09:30:00+08:00', \
           'waiting', created_at, created_at FROM appointments WHERE id = '{}'",
        booked["id"].as_str().expect("an id")
    ));
    let ask = json!({"kind": "correct", "words": "姓名有误"});
    let asked =
        t.post(&format!("/v1/residents/{}/data_requests", owner.subject)).by(&owner).json(ask).send().await.is(202);
    let file = crate::attachments::form("a.pdf", "application/pdf", b"%PDF-1.7 a letter");
    let file = t.post("/v1/attachments").by(&owner).bytes(crate::attachments::FORM, file).send().await.created();
    let id = |value: &Value| value.as_str().expect("an id").to_owned();
    let proxies = format!("/v1/residents/{}/proxies", owner.subject);
    let proxy = json!({"relation": "child", "may": ["book"]});
    let proxy = t.post(&proxies).by(&owner).json(proxy).send().await.created();
    let todo = json!({"kind": "call", "title": "打个电话"});
    let todo = t.post("/v1/todos").by(&t.staff("cadre").await).json(todo).send().await.created();
    let second = t.resident("owner").await;
    let second = t.get("/v1/sessions/current").by(&second).send().await.ok();
    let admin = t.staff("admin").await;
    let body = json!({"username": "liao", "display_name": "廖某", "role": "village_cadre", "unit_id": village});
    let member = t.post("/v1/staff").by(&admin).json(body).send().await.created();
    let absences = format!("/v1/staff/{}/absences", id(&member["id"]));
    let body = json!({"from_on": "2026-11-30", "until_on": "2026-11-30"});
    let absence = t.post(&absences).by(&admin).json(body).send().await.created();
    let screens = format!("/v1/units/{}/screens", t.unit("均溪镇").await);
    let screen = t.post(&screens).by(&admin).json(json!({"name": "大厅"})).send().await.ok();
    let mandate = json!({"words": "请帮我办"});
    let mandate =
        t.post(&format!("/v1/residents/{}/mandates", owner.subject)).by(&owner).json(mandate).send().await.created();
    let errand = t.post("/v1/errands").by(&owner).json(json!({"matter_id": t.matter().await})).send().await.created();
    let original = uuid::Uuid::now_v7();
    t.database.run(&format!(
        "INSERT INTO errand_originals (county_id, id, errand_id, state, with_id, seq, created_at, updated_at) \
         SELECT county_id, '{original}', id, 'held', '{}', 1, created_at, created_at FROM errands WHERE id = '{}'",
        id(&member["id"]),
        id(&errand["id"])
    ));
    let trip = uuid::Uuid::now_v7();
    t.database.run(&format!(
        "INSERT INTO trips (county_id, id, number, agent_id, unit_id, department_id, on_date, state, created_at, updated_at) \
         SELECT 1, '{trip}', 'T261123-000001', '{}', '{village}', id, '2026-11-25', 'planned', created_at, created_at FROM departments WHERE name = '县残联'",
        id(&member["id"])
    ));
    let applicant = crate::merging::with_phone(t, "applicant", "林志愿", "13950930077").await;
    let body = json!({"kind": "volunteer"});
    let helper = t.post("/v1/helpers/applications").by(&applicant).json(body).send().await.created();
    let rating = uuid::Uuid::now_v7();
    t.database.run(&format!(
        "INSERT INTO ratings (county_id, id, about_kind, about_id, resident_id, unit_id, served_by, grade, reasons, given_how, given_by, on_date, created_at, changed_at) \
         SELECT county_id, '{rating}', 'appointment', gen_random_uuid(), resident_id, '{village}', '{{}}', 5, '{{}}', 'resident', resident_id, on_date, created_at, created_at \
         FROM appointments WHERE id = '{}'",
        id(&booked["id"])
    ));
    let kinds = t.get("/v1/order-kinds?county=350425&limit=1").send().await.ok();
    let kind = id(&kinds["items"][0]["id"]);
    let order = json!({"kind_id": kind, "address": "红星村 1 号", "phone": "13950900001"});
    let order = t.post("/v1/orders").by(&owner).json(order).send().await.created();
    let rhythm = json!({"rrule": "FREQ=DAILY", "from_time": "11:00:00", "minutes": 60, "from_on": "2026-11-24", "until_on": "2026-11-25"});
    let series = json!({"kind_id": kind, "rhythm": rhythm, "phone": "13950900001"});
    let series = t.post("/v1/order-series").by(&owner).json(series).send().await.created();
    let household = json!({"unit_id": village, "name": "陈阿婆"});
    let household = t.post("/v1/households").by(&admin).json(household).send().await.created();
    let category = crate::households::category(t, "一般户").await;
    let (visit, finding, version) = visited(t).await;
    let values = vec![
        ("{vi}", id(&visit["id"])),
        ("{fi}", id(&finding["id"])),
        ("{vv}", version),
        ("{hh}", id(&household["id"])),
        ("{vc}", id(&category)),
        ("{ra}", rating.to_string()),
        ("{os}", id(&series["id"])),
        ("{or}", id(&order["id"])),
        ("{ok}", kind),
        ("{he}", id(&helper["id"])),
        ("{l}", trip.to_string()),
        ("{c}", original.to_string()),
        ("{q}", id(&mandate["id"])),
        ("{z}", id(&errand["id"])),
        ("{i}", id(&screen["id"])),
        ("{h}", id(&screen["secret"])),
        ("{x}", id(&second["session_id"])),
        ("{s}", id(&member["id"])),
        ("{p}", id(&member["posts"][0]["id"])),
        ("{b}", id(&absence["id"])),
        ("{f}", id(&file["id"])),
        ("{e}", waiting.to_string()),
        ("{y}", id(&proxy["id"])),
        ("{o}", id(&todo["id"])),
        ("{k}", crate::harness::id_number("2020-06-01", 1)),
        ("{r}", owner.subject.to_string()),
        ("{a}", id(&booked["id"])),
        ("{m}", id(&inbox["items"][0]["id"])),
        ("{w}", id(&windows["items"][0]["id"])),
        ("{t}", t.matter().await.to_string()),
        ("{g}", t.department("县残联").await.to_string()),
        ("{u}", t.unit("均溪镇").await.to_string()),
        ("{v}", village.to_string()),
        ("{d}", id(&asked.body["id"])),
        ("{j}", t.database.count("SELECT max(id) AS n FROM outbox").to_string()),
    ];
    (Things { values }, owner)
}

/// A visit of 红星村 with a finding, and another version of it.
async fn visited(t: &TestApp) -> (Value, Value, String) {
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let household = crate::visits::household(t, &specialist).await;
    let visit = crate::visits::visit(household, json!({}));
    crate::visits::check_in(t, &specialist, &visit).await.created();
    crate::visits::check_in(t, &cadre, &visit).await.problem(409, "visit_conflict");
    let path = format!("/v1/visits/{}/findings", visit["id"].as_str().expect("an id"));
    let finding = json!({"kind": "note", "words": "腿脚不便"});
    let finding = t.post(&path).by(&specialist).json(finding).send().await.created();
    (visit, finding, t.database.text("SELECT id::text AS text FROM visit_conflicts"))
}

async fn call(t: &TestApp, things: &Things, row: &Row, number: usize, by: Option<&Session>) -> Reply {
    let (_, method, path, body) = row;
    let method: Method = method.parse().expect("a method");
    let mut call = t.call(method.clone(), &things.fill(path, number));
    if !body.is_empty() {
        call = call.body(things.fill(body, number));
    }
    if method == Method::POST {
        call = call.key(&uuid::Uuid::now_v7().to_string());
    }
    if path.starts_with("/v1/uploads") {
        let all = [("tus-resumable", "1.0.0"), ("upload-length", "9"), ("upload-offset", "0")];
        call = all.into_iter().fold(call, |call, (name, value)| call.header(name, value));
        call = call.header("content-type", "application/offset+octet-stream");
    }
    if method != Method::GET {
        call = call.header("if-match", "*");
    }
    if let Some(session) = by {
        call = call.by(session);
    }
    call.send().await
}

/// Everybody of [`STAFF`], by role.
async fn logged_in(t: &TestApp) -> Vec<(&'static str, Session)> {
    let mut sessions = Vec::new();
    for (username, role) in STAFF {
        sessions.push((*role, t.staff(username).await));
    }
    sessions
}

#[test]
fn every_operation_has_a_row_and_every_row_an_operation() {
    let documented: BTreeSet<_> = documented().into_iter().map(|(operation, _)| operation).collect();
    let called: BTreeSet<_> = rows().map(|(operation, ..)| (*operation).to_owned()).collect();
    assert_eq!(called, documented);
    assert_eq!(called.len(), rows().count(), "a row twice");
}

#[actix_web::test]
async fn the_whole_matrix() {
    let t = TestApp::with(|setup| {
        setup.config.writes_per_minute = 100_000;
        setup.config.logins_per_minute = 100_000;
    })
    .await;
    let (things, owner) = things(&t).await;
    let stranger = t.resident("stranger").await;
    let foreign = foreign_admin(&t).await;
    let documented = documented();
    let (mut wrong, mut staff) = (Vec::new(), logged_in(&t).await);
    for (number, row) in rows().enumerate() {
        let operation = row.0;
        let need = documented.iter().find(|(name, _)| name == operation).and_then(|(_, need)| need.clone());
        let grants = need.as_ref().map(|need| {
            let (_, grants) = PERMISSIONS.iter().find(|(name, _)| name == need).expect("documented permissions exist");
            grants.iter().map(|(role, _)| role.as_str()).collect::<Vec<_>>()
        });
        let check = |who: &str, status: u16, allowed: bool| {
            let refused = matches!(status, 401 | 403);
            // Logging in and WeChat answer 401 of their own.
            let own = matches!(operation, "refresh_session" | "prove_phone") && status == 401 && who != "nobody";
            // Not sure enough who it is: a rule of its own, after the permission.
            let unsure = matches!(operation, "accept_proxy" | "claim_by_phone" | "apply_to_help")
                && status == 403
                && need.is_some();
            let bad = allowed == refused && !own && !(unsure && allowed) || status >= 500 || status == 405;
            bad.then(|| format!("{operation} by {who}: {status}, allowed: {allowed}"))
        };
        let status = call(&t, &things, row, number, None).await.status;
        wrong.extend(check("nobody", status, need.is_none()));
        let may = |role: &str| grants.as_ref().is_none_or(|grants| grants.contains(&role));
        for (role, session) in &staff {
            let status = call(&t, &things, row, number * 10, Some(session)).await.status;
            wrong.extend(check(role, status, may(role)));
        }
        // What is done to one's own session or account ends it.
        if row.2.starts_with("/v1/sessions") || row.2.starts_with("/v1/account") {
            staff = logged_in(&t).await;
        }
        if operation == "log_out" {
            continue;
        }
        let status = call(&t, &things, row, number * 10 + 1, Some(&stranger)).await.status;
        wrong.extend(check("a stranger", status, may("resident")));
        let private = ["{r}", "{a}", "{m}", "{y}", "{d}", "{f}", "{z}", "{q}", "{c}", "{he}", "{or}", "{os}", "{ra}"]
            .iter()
            .any(|thing| row.2.contains(thing));
        if private && may("resident") && status != 404 {
            wrong.push(format!("{operation} by a stranger: {status}, must not find it"));
        }
        // What names a thing of this county is not found from another one.
        let named = row.2.contains('{') && need.is_some();
        let status = call(&t, &things, row, number * 10 + 2, Some(&foreign)).await.status;
        if named && may("county_admin") && status != 404 {
            wrong.push(format!("{operation} by a foreign administrator: {status}, must not find it"));
        }
        let status = call(&t, &things, row, number * 10 + 3, Some(&owner)).await.status;
        wrong.extend(check("the owner", status, may("resident")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The replayed job is of a kind that nobody knows.
    t.database.run("DELETE FROM outbox WHERE kind = 'none'");
    t.run_jobs().await;
}

/// Reaches: a township's staff see nothing of another township, a village's nothing of another village.
#[actix_web::test]
async fn nothing_beyond_ones_reach() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let far = t.unit("石牌镇").await;
    let body = json!({"name": "远方人", "phone": "13950900007", "unit_id": far, "identity_seen": "id_card"});
    let resident = t.post("/v1/residents").by(&admin).json(body).send().await.created();
    let path = format!("/v1/residents/{}", resident["id"].as_str().expect("an id"));
    for username in ["junxi", "cadre", "specialist"] {
        let session = t.staff(username).await;
        t.get(&path).by(&session).send().await.problem(404, "not_found");
        let reveal = json!({"fields": ["phone"], "reason": "核对"});
        t.post(&format!("{path}/reveal")).by(&session).json(reveal).send().await.problem(404, "not_found");
        let found = t.post("/v1/residents/lookup").by(&session).json(json!({"phone": "13950900007"})).send().await.ok();
        assert_eq!(found["items"], json!([]), "{username}");
    }
    t.get(&path).by(&admin).send().await.ok();
}

/// Every operation by somebody who may, after `away` has taken something away: what is not answered as `fits` wants.
pub async fn every_call(t: &TestApp, away: impl FnOnce(), fits: impl Fn(&str, &Reply) -> bool) -> Vec<String> {
    let (things, owner) = things(t).await;
    let mut by_role = logged_in(t).await;
    by_role.push(("resident", owner));
    let needs = documented();
    away();
    let mut unfit = Vec::new();
    for (number, row) in rows().enumerate() {
        let need = needs.iter().find(|(operation, _)| operation == row.0).and_then(|(_, need)| need.as_ref());
        let granted = PERMISSIONS.iter().find(|(name, _)| Some(&(*name).to_owned()) == need).map(|(_, grants)| grants);
        let may = |role: &str| granted.is_some_and(|grants| grants.iter().any(|(to, _)| to.as_str() == role));
        let by = by_role.iter().find(|(role, _)| may(role)).map(|(_, session)| session);
        let reply = call(t, &things, row, number, by).await;
        if !fits(row.0, &reply) {
            unfit.push(format!("{}: {} {}", row.0, reply.status, reply.body));
        }
    }
    unfit
}
