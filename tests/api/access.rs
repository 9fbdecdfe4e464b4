//! Who may do what: every operation × every kind of caller × own and foreign county. An operation without a row fails.

use std::collections::BTreeSet;

use lianxin::{
    http::{permissions::PERMISSIONS, serve::Document},
    sample, staff,
    units::import,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Session, TestApp};

/// Every role of the sample county, by its demo account.
const STAFF: &[(&str, &str)] = &[
    ("specialist", "specialist"),
    ("cadre", "village_cadre"),
    ("junxi", "township_staff"),
    ("civil.affairs", "department_staff"),
    ("supervisor", "supervisor"),
    ("admin", "county_admin"),
];

/// Operation, method, path, body. `{r}` is a resident of 红星村, `{a}` their appointment in 均溪镇, `{m}` their message,
/// `{w}` a window there, `{t}` a matter, `{u}` 均溪镇, `{v}` 红星村, `{j}` a job, `{y}` who may act for `{r}`, `{o}` a todo of 红星村,
/// `{k}` the ID number of a child, `{d}` a data request of `{r}`, `{e}` their entry of the waiting list.
type Row = (&'static str, &'static str, &'static str, &'static str);

const ROWS: &[Row] = &[
    ("list_units", "GET", "/v1/units?county=350425", ""),
    ("get_unit", "GET", "/v1/units/{u}?county=350425", ""),
    ("list_calendar_days", "GET", "/v1/calendar/days?county=350425&year=2026", ""),
    ("get_due_date", "GET", "/v1/calendar/due_date?county=350425&from=2026-01-01&working_days=1", ""),
    ("log_in_staff", "POST", "/v1/sessions/staff", "{}"),
    ("log_in_resident", "POST", "/v1/sessions/wechat", "{}"),
    ("refresh_session", "POST", "/v1/sessions/refresh", "{}"),
    ("get_own_session", "GET", "/v1/sessions/current", ""),
    ("log_out", "DELETE", "/v1/sessions/current", ""),
    ("get_signing_keys", "GET", "/.well-known/jwks.json", ""),
    ("register_resident", "POST", "/v1/residents", r#"{"name": "王五", "unit_id": "{v}", "identity_seen": "id_card"}"#),
    ("look_up_resident", "POST", "/v1/residents/lookup", r#"{"phone": "13950900001"}"#),
    ("prove_phone", "POST", "/v1/residents/{r}/prove_phone", r#"{"code": "bad"}"#),
    ("get_resident", "GET", "/v1/residents/{r}", ""),
    ("update_resident", "PUT", "/v1/residents/{r}", r#"{"unit_id": "{v}"}"#),
    ("reveal_resident", "POST", "/v1/residents/{r}/reveal", r#"{"fields": ["phone"], "reason": "核对"}"#),
    ("list_duplicates", "GET", "/v1/residents/{r}/duplicates", ""),
    ("merge_resident", "POST", "/v1/residents/{r}/merge", r#"{"duplicate_id": "{r}", "reason": "同一人"}"#),
    (
        "take_over_resident",
        "POST",
        "/v1/residents/take_over",
        r#"{"name": "王五", "id_number": "350425194806120018", "unit_id": "{v}", "identity_seen": "id_card", "reason": "搬来"}"#,
    ),
    ("issue_claim_code", "POST", "/v1/residents/{r}/claim_code", ""),
    ("claim_at_desk", "POST", "/v1/residents/{r}/claim", r#"{"code": "2222222222", "identity_seen": "id_card"}"#),
    (
        "claim_by_phone",
        "POST",
        "/v1/residents/{r}/claim_by_phone",
        r#"{"name": "王五", "id_number": "350425194806120018"}"#,
    ),
    (
        "register_child",
        "POST",
        "/v1/children",
        r#"{"name": "小宝", "id_number": "{k}", "unit_id": "{v}", "identity_seen": "household_register", "guardian_id": "{r}"}"#,
    ),
    ("create_proxy", "POST", "/v1/residents/{r}/proxies", r#"{"relation": "child", "may": ["book"]}"#),
    ("list_proxies", "GET", "/v1/residents/{r}/proxies", ""),
    ("list_principals", "GET", "/v1/residents/{r}/principals", ""),
    ("accept_proxy", "POST", "/v1/proxies/accept", r#"{"code": "2222222222"}"#),
    ("get_proxy", "GET", "/v1/proxies/{y}", ""),
    ("issue_proxy_code", "POST", "/v1/proxies/{y}/code", ""),
    ("end_proxy", "POST", "/v1/proxies/{y}/end", "{}"),
    ("list_todos", "GET", "/v1/todos", ""),
    ("create_todo", "POST", "/v1/todos", r#"{"kind": "call", "title": "打个电话"}"#),
    ("get_todo", "GET", "/v1/todos/{o}", ""),
    ("take_todo", "POST", "/v1/todos/{o}/take", "{}"),
    ("put_back_todo", "POST", "/v1/todos/{o}/put_back", "{}"),
    ("hand_over_todo", "POST", "/v1/todos/{o}/hand_over", r#"{"holder_id": "{o}"}"#),
    ("finish_todo", "POST", "/v1/todos/{o}/done", r#"{"note": "办好了"}"#),
    ("get_my_day", "GET", "/v1/my_day", ""),
    ("get_open_for_resident", "GET", "/v1/residents/{r}/open", ""),
    ("list_matters", "GET", "/v1/matters?county=350425", ""),
    ("create_matter", "POST", "/v1/matters", r#"{"name": "新事项{n}"}"#),
    ("get_matter", "GET", "/v1/matters/{t}?county=350425", ""),
    ("update_matter", "PUT", "/v1/matters/{t}", r#"{"name": "改名{n}", "state": "active"}"#),
    ("list_windows", "GET", "/v1/windows?county=350425", ""),
    ("create_window", "POST", "/v1/windows", r#"{"unit_id": "{u}", "name": "新窗口{n}", "matter_ids": []}"#),
    ("get_window", "GET", "/v1/windows/{w}?county=350425", ""),
    ("update_window", "PUT", "/v1/windows/{w}", r#"{"name": "改名{n}", "state": "open", "matter_ids": []}"#),
    (
        "create_opening_rule",
        "POST",
        "/v1/windows/{w}/opening_rules",
        r#"{"weekdays": [6], "opens_at": "09:00:00", "closes_at": "10:00:00", "slot_minutes": 30, "capacity_public": 1, "capacity_proxy": 1, "capacity_desk": 1, "valid_from": "2026-01-01"}"#,
    ),
    (
        "update_opening_rule",
        "PUT",
        "/v1/windows/{w}/opening_rules/{t}",
        r#"{"weekdays": [6], "opens_at": "09:00:00", "closes_at": "10:00:00", "slot_minutes": 30, "capacity_public": 1, "capacity_proxy": 1, "capacity_desk": 1, "valid_from": "2026-01-01"}"#,
    ),
    ("delete_opening_rule", "DELETE", "/v1/windows/{w}/opening_rules/{t}", ""),
    ("list_affected", "GET", "/v1/windows/{w}/affected", ""),
    (
        "resolve_affected",
        "POST",
        "/v1/windows/{w}/resolve_affected",
        r#"{"from": "2026-12-24", "to": "2026-12-24", "affected": "move"}"#,
    ),
    ("list_opening_exceptions", "GET", "/v1/opening_exceptions?county=350425", ""),
    (
        "create_opening_exceptions",
        "POST",
        "/v1/opening_exceptions",
        r#"{"unit_id": "{u}", "from_date": "2026-12-24", "until_date": "2026-12-24", "kind": "closed", "reason": "盘点"}"#,
    ),
    ("delete_opening_exception", "DELETE", "/v1/opening_exceptions/{w}", ""),
    ("list_slots", "GET", "/v1/slots?county=350425&unit_id={u}&matter_id={t}&date=2026-11-24", ""),
    ("get_centre_day", "GET", "/v1/units/{u}/day?date=2026-11-23", ""),
    ("list_appointments", "GET", "/v1/appointments", ""),
    (
        "book_appointment",
        "POST",
        "/v1/appointments",
        r#"{"unit_id": "{u}", "matter_id": "{t}", "starts_at": "2026-11-29T09:00:00+08:00", "resident_id": "{r}"}"#,
    ),
    ("get_appointment", "GET", "/v1/appointments/{a}", ""),
    ("cancel_appointment", "POST", "/v1/appointments/{a}/cancel", "{}"),
    (
        "hold_appointment",
        "POST",
        "/v1/holds",
        r#"{"unit_id": "{u}", "matter_id": "{t}", "starts_at": "2026-11-24T09:00:00+08:00"}"#,
    ),
    ("book_held_appointment", "POST", "/v1/appointments/{a}/book", "{}"),
    (
        "reschedule_appointment",
        "POST",
        "/v1/appointments/{a}/reschedule",
        r#"{"starts_at": "2026-11-25T09:00:00+08:00"}"#,
    ),
    ("get_appointment_history", "GET", "/v1/appointments/{a}/history", ""),
    ("reveal_appointment", "POST", "/v1/appointments/{a}/reveal", r#"{"reason": "上门前确认"}"#),
    (
        "join_waiting",
        "POST",
        "/v1/waiting",
        r#"{"unit_id": "{u}", "matter_id": "{t}", "earliest": "2026-11-29T09:00:00+08:00", "latest": "2026-11-29T09:00:00+08:00", "resident_id": "{r}"}"#,
    ),
    ("list_waiting", "GET", "/v1/waiting", ""),
    ("get_waiting", "GET", "/v1/waiting/{e}", ""),
    ("leave_waiting", "POST", "/v1/waiting/{e}/leave", "{}"),
    ("list_messages", "GET", "/v1/messages", ""),
    ("read_message", "POST", "/v1/messages/{m}/read", "{}"),
    ("list_message_grants", "GET", "/v1/messages/grants", ""),
    ("grant_message_templates", "POST", "/v1/messages/grants", r#"{"template_ids": ["fake-template-booked"]}"#),
    ("get_message_slip", "GET", "/v1/messages/{m}/slip", ""),
    ("list_resident_messages", "GET", "/v1/residents/{r}/messages", ""),
    ("list_message_templates", "GET", "/v1/message_templates", ""),
    (
        "update_message_template",
        "PUT",
        "/v1/message_templates/appointment_booked",
        r#"{"wechat_template_id": "fake-template-booked"}"#,
    ),
    ("list_dead_jobs", "GET", "/v1/jobs/dead", ""),
    ("replay_job", "POST", "/v1/jobs/{j}/replay", "{}"),
    ("list_consent_texts", "GET", "/v1/consent_texts?county=350425", ""),
    ("list_consents", "GET", "/v1/residents/{r}/consents", ""),
    (
        "record_consent",
        "POST",
        "/v1/residents/{r}/consents",
        r#"{"purpose": "health", "version": 1, "answer": "refused", "how": "spoken"}"#,
    ),
    ("withdraw_consent", "POST", "/v1/residents/{r}/consents/health/withdraw", r#"{"how": "spoken"}"#),
    (
        "publish_consent_text",
        "POST",
        "/v1/consent_texts",
        r#"{"purpose": "health", "zh": "新文本{n}", "en": "A new text {n}"}"#,
    ),
    ("create_data_request", "POST", "/v1/residents/{r}/data_requests", r#"{"kind": "correct", "words": "请更正"}"#),
    ("list_data_requests", "GET", "/v1/residents/{r}/data_requests", ""),
    ("get_data_request", "GET", "/v1/data_requests/{d}", ""),
    ("get_data_archive", "GET", "/v1/data_requests/{d}/archive", ""),
    ("decide_data_request", "POST", "/v1/data_requests/{d}/decide", r#"{"outcome": "done", "reason": "已核对"}"#),
    ("log_in_staff_by_wechat", "POST", "/v1/sessions/wechat_staff", "{}"),
    ("list_own_sessions", "GET", "/v1/sessions", ""),
    ("end_own_session", "DELETE", "/v1/sessions/{x}", ""),
    ("list_staff", "GET", "/v1/staff", ""),
    (
        "create_staff",
        "POST",
        "/v1/staff",
        r#"{"username": "new{n}", "display_name": "新人", "role": "village_cadre", "unit_id": "{v}"}"#,
    ),
    ("import_staff", "POST", "/v1/staff/import?preview=true", "{}"),
    ("get_staff", "GET", "/v1/staff/{s}", ""),
    ("update_staff", "PUT", "/v1/staff/{s}", r#"{"display_name": "改名"}"#),
    ("create_staff_post", "POST", "/v1/staff/{s}/posts", r#"{"role": "specialist", "unit_id": "{v}"}"#),
    ("update_staff_post", "PUT", "/v1/staff/{s}/posts/{p}", "{}"),
    ("reset_staff_password", "POST", "/v1/staff/{s}/reset_password", "{}"),
    ("reset_staff_totp", "POST", "/v1/staff/{s}/reset_totp", "{}"),
    ("enable_staff", "POST", "/v1/staff/{s}/enable", "{}"),
    ("list_staff_sessions", "GET", "/v1/staff/{s}/sessions", ""),
    ("end_staff_sessions", "POST", "/v1/staff/{s}/end_sessions", "{}"),
    ("create_absence", "POST", "/v1/staff/{s}/absences", r#"{"from_on": "2026-12-01", "until_on": "2026-12-02"}"#),
    ("list_absences", "GET", "/v1/staff/{s}/absences", ""),
    ("cancel_absence", "POST", "/v1/absences/{b}/cancel", "{}"),
    (
        "transfer_staff",
        "POST",
        "/v1/staff/{s}/transfer",
        r#"{"post_id": "{p}", "to": {"role": "township_staff", "unit_id": "{u}"}}"#,
    ),
    ("end_staff_post", "POST", "/v1/staff/{s}/posts/{p}/end", "{}"),
    ("dismiss_staff", "POST", "/v1/staff/{s}/dismiss", r#"{"reason": "离职"}"#),
    ("change_own_password", "POST", "/v1/account/password", r#"{"current": "not the one", "new": "long enough"}"#),
    ("enrol_totp", "POST", "/v1/account/totp/enrol", "{}"),
    ("create_wechat_code", "POST", "/v1/account/wechat_code", "{}"),
    ("unbind_wechat", "POST", "/v1/account/unbind_wechat", "{}"),
    ("list_audit", "GET", "/v1/audit", ""),
    ("list_resident_audit", "GET", "/v1/residents/{r}/audit", ""),
    ("get_county", "GET", "/v1/county", ""),
    ("update_county", "PUT", "/v1/county", r#"{"name": "大田县", "wechat_appid": null}"#),
    ("list_settings", "GET", "/v1/settings", ""),
    ("get_setting", "GET", "/v1/settings/booking.days_ahead", ""),
    ("list_setting_history", "GET", "/v1/settings/booking.days_ahead/history", ""),
    ("set_setting", "PUT", "/v1/settings/privacy.export_days", r#"{"value": 8, "reason": "测试"}"#),
    ("get_appointment_code", "GET", "/v1/appointments/{a}/code", ""),
    ("get_appointment_wxacode", "GET", "/v1/appointments/{a}/wxacode", ""),
    ("get_appointment_queue", "GET", "/v1/appointments/{a}/queue", ""),
    ("get_unit_queue", "GET", "/v1/units/{u}/queue", ""),
    ("arrive_appointment", "POST", "/v1/appointments/{a}/arrive", "{}"),
    ("create_arrival", "POST", "/v1/arrivals", r#"{"unit_id": "{u}", "phone": "13950900001"}"#),
    ("create_walk_in", "POST", "/v1/walk_ins", r#"{"unit_id": "{u}", "matter_id": "{t}"}"#),
    ("call_next_ticket", "POST", "/v1/windows/{w}/call_next", "{}"),
    ("call_ticket", "POST", "/v1/appointments/{a}/call", r#"{"window_id": "{w}"}"#),
    ("recall_ticket", "POST", "/v1/appointments/{a}/recall", "{}"),
    ("skip_ticket", "POST", "/v1/appointments/{a}/skip", "{}"),
    ("serve_ticket", "POST", "/v1/appointments/{a}/serve", "{}"),
    ("finish_appointment", "POST", "/v1/appointments/{a}/finish", "{}"),
    ("transfer_ticket", "POST", "/v1/appointments/{a}/transfer", r#"{"window_id": "{w}"}"#),
    ("pause_window", "POST", "/v1/windows/{w}/pause", "{}"),
    ("resume_window", "POST", "/v1/windows/{w}/resume", "{}"),
    ("note_no_show", "POST", "/v1/appointments/{a}/no_show", "{}"),
    ("excuse_appointment", "POST", "/v1/appointments/{a}/excuse", r#"{"reason": "登记有误"}"#),
    ("create_screen", "POST", "/v1/units/{u}/screens", r#"{"name": "屏幕{n}"}"#),
    ("list_screens", "GET", "/v1/units/{u}/screens", ""),
    ("end_screen", "POST", "/v1/screens/{i}/end", "{}"),
    ("get_hall", "GET", "/v1/halls/{h}", ""),
    // A stream that is there would never end.
    ("stream_hall", "GET", "/v1/halls/nobody-knows-this-secret-of-a-screen/events", ""),
    ("arrive_at_kiosk", "POST", "/v1/halls/{h}/arrivals", r#"{"code": "22222222222222222222"}"#),
    ("walk_in_at_kiosk", "POST", "/v1/halls/{h}/walk_ins", r#"{"matter_id": "{t}"}"#),
    ("get_liveness", "GET", "/livez", ""),
    ("get_readiness", "GET", "/readyz", ""),
    ("get_metrics", "GET", "/metrics", ""),
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
    let values = vec![
        ("{i}", id(&screen["id"])),
        ("{h}", id(&screen["secret"])),
        ("{x}", id(&second["session_id"])),
        ("{s}", id(&member["id"])),
        ("{p}", id(&member["posts"][0]["id"])),
        ("{b}", id(&absence["id"])),
        ("{e}", waiting.to_string()),
        ("{y}", id(&proxy["id"])),
        ("{o}", id(&todo["id"])),
        ("{k}", crate::harness::id_number("2020-06-01", 1)),
        ("{r}", owner.subject.to_string()),
        ("{a}", id(&booked["id"])),
        ("{m}", id(&inbox["items"][0]["id"])),
        ("{w}", id(&windows["items"][0]["id"])),
        ("{t}", t.matter().await.to_string()),
        ("{u}", t.unit("均溪镇").await.to_string()),
        ("{v}", village.to_string()),
        ("{d}", id(&asked.body["id"])),
        ("{j}", t.database.count("SELECT max(id) AS n FROM outbox").to_string()),
    ];
    (Things { values }, owner)
}

async fn call(t: &TestApp, things: &Things, row: &Row, number: usize, by: Option<&Session>) -> u16 {
    let (_, method, path, body) = row;
    let method: Method = method.parse().expect("a method");
    let mut call = t.call(method.clone(), &things.fill(path, number));
    if !body.is_empty() {
        call = call.body(things.fill(body, number));
    }
    if method == Method::POST {
        call = call.key(&uuid::Uuid::now_v7().to_string());
    }
    if method != Method::GET {
        call = call.header("if-match", "*");
    }
    if let Some(session) = by {
        call = call.by(session);
    }
    call.send().await.status
}

#[test]
fn every_operation_has_a_row_and_every_row_an_operation() {
    let documented: BTreeSet<_> = documented().into_iter().map(|(operation, _)| operation).collect();
    let rows: BTreeSet<_> = ROWS.iter().map(|(operation, ..)| (*operation).to_owned()).collect();
    assert_eq!(rows, documented);
    assert_eq!(rows.len(), ROWS.len(), "a row twice");
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
    let mut wrong = Vec::new();
    for (number, row) in ROWS.iter().enumerate() {
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
            let unsure = matches!(operation, "accept_proxy" | "claim_by_phone") && status == 403 && need.is_some();
            let bad = allowed == refused && !own && !(unsure && allowed) || status >= 500 || status == 405;
            bad.then(|| format!("{operation} by {who}: {status}, allowed: {allowed}"))
        };
        let status = call(&t, &things, row, number, None).await;
        wrong.extend(check("nobody", status, need.is_none()));
        let may = |role: &str| grants.as_ref().is_none_or(|grants| grants.contains(&role));
        for (username, role) in STAFF {
            let session = t.staff(username).await;
            let status = call(&t, &things, row, number * 10, Some(&session)).await;
            wrong.extend(check(role, status, may(role)));
        }
        if operation == "log_out" {
            continue;
        }
        let status = call(&t, &things, row, number * 10 + 1, Some(&stranger)).await;
        wrong.extend(check("a stranger", status, may("resident")));
        let private = ["{r}", "{a}", "{m}", "{y}", "{d}"].iter().any(|thing| row.2.contains(thing));
        if private && may("resident") && status != 404 {
            wrong.push(format!("{operation} by a stranger: {status}, must not find it"));
        }
        // What names a thing of this county is not found from another one.
        let named = row.2.contains('{') && need.is_some();
        let status = call(&t, &things, row, number * 10 + 2, Some(&foreign)).await;
        if named && may("county_admin") && status != 404 {
            wrong.push(format!("{operation} by a foreign administrator: {status}, must not find it"));
        }
        let status = call(&t, &things, row, number * 10 + 3, Some(&owner)).await;
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
