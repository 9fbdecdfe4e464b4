//! Asking, looking and deciding over HTTP.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use chrono::{DateTime, Days, FixedOffset, NaiveTime, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    jobs::{CloseRecord, MakeExport},
    model::{self, DataRequest, DataRequestKind, DataRequestState},
    store::{self, End, NewDataRequest},
};
use crate::{
    app::App,
    audit::{self, Audit},
    calendar::{self, Calendar},
    clock::{CST, local_date},
    error::{Code, Error, Lang, Result, Retry, Text},
    http::{
        caller::{Caller, Can, Scope},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag},
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::{AskDataRequests, DecideDataRequests, ReadDataRequests},
        valid::{Id, Query, Valid},
    },
    jobs,
    people::subject::{self, Known},
    todos::{self, NewTodo},
};

/// Working days within which a request is answered.
const LIMIT: u32 = 15;

/// A request about one's own data (个人信息查阅复制、更正、注销申请).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d1", "resident_id": "0199a0c0-0000-7000-8000-00000000000a", "kind": "export",
    "state": "ready", "state_name": "可获取", "words": null, "reason": null, "asked_by": null, "decided_by": null, "due_at": "2026-12-15T00:00:00+08:00",
    "counts": {"people": 3, "appointments": 2}, "kept": null, "asked_at": "2026-11-23T08:00:00+08:00", "ready_at": "2026-11-23T08:00:02+08:00",
    "expires_at": "2026-11-30T08:00:02+08:00", "ended_at": null, "version": 3}))]
pub struct DataRequestView {
    pub id: Uuid,
    pub resident_id: Uuid,
    pub kind: DataRequestKind,
    pub state: DataRequestState,
    /// The state in the language of the request.
    pub state_name: String,
    /// What the person asks for; to staff only in the single request, which is recorded.
    pub words: Option<String>,
    /// Why it was decided so; to staff only in the single request.
    pub reason: Option<String>,
    /// The member of staff who wrote it down at the desk.
    pub asked_by: Option<Uuid>,
    pub decided_by: Option<Uuid>,
    /// 15 working days after it was asked.
    pub due_at: DateTime<FixedOffset>,
    /// How many things each room copied or erased.
    pub counts: Option<Value>,
    /// Of a closed record: what the law has us keep, and until which day.
    pub kept: Option<Value>,
    pub asked_at: DateTime<FixedOffset>,
    pub ready_at: Option<DateTime<FixedOffset>>,
    /// Until when the copy can be fetched.
    pub expires_at: Option<DateTime<FixedOffset>>,
    pub ended_at: Option<DateTime<FixedOffset>>,
    pub version: i64,
}

impl DataRequestView {
    fn new(app: &App, row: &DataRequest, lang: Lang, told: bool) -> Result<Self> {
        let open = |column, sealed: &Option<Vec<u8>>| {
            let open = |sealed: &Vec<u8>| app.keys.open_text(row.county_id, &model::place(column, row.id), sealed);
            sealed.as_ref().filter(|_| told).map(open).transpose()
        };
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        Ok(Self {
            id: row.id,
            resident_id: row.resident_id,
            kind: row.kind,
            state: row.state,
            state_name: row.state.words().get(lang).to_owned(),
            words: open("words", &row.words)?,
            reason: open("reason", &row.reason)?,
            asked_by: row.asked_by,
            decided_by: row.decided_by,
            due_at: local(row.due_at),
            counts: row.counts.clone(),
            kept: row.kept.clone(),
            asked_at: local(row.asked_at),
            ready_at: row.ready_at.map(local),
            expires_at: row.expires_at.map(local),
            ended_at: row.ended_at.map(local),
            version: row.version,
        })
    }
}

/// What is asked for.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "correct", "words": "姓名应为陈大妹"}))]
pub struct CreateDataRequest {
    kind: DataRequestKind,
    /// What is wrong and how it should be; required for `correct`, and of staff who have a record closed (how they were asked).
    /// Up to 2,000 characters.
    #[validate(length(min = 1, max = 2000))]
    #[schema(min_length = 1, max_length = 2000)]
    words: Option<String>,
}

/// The end of the last of the working days.
fn due(calendar: &Calendar, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let due = calendar::rules::due(calendar, local_date(now), LIMIT, &[]);
    let midnight = due.map(|due| (due.on + Days::new(1)).and_time(NaiveTime::MIN));
    let at = midnight.and_then(|midnight| midnight.and_local_timezone(CST).single());
    at.map(|at| at.to_utc()).ok_or_else(|| Error::internal("no deadline can be computed"))
}

/// Whom it is about, locked against being closed meanwhile.
fn subject_of(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Known> {
    subject::known(conn, scope, id)?.ok_or(Code::NotFound)?;
    Ok(subject::lock(conn, scope.county, id)?.ok_or(Code::RecordClosed)?)
}

/// Orders what follows: a job, or a decision of a human.
fn order(conn: &mut PgConnection, row: &DataRequest, unit: Option<Uuid>, now: DateTime<Utc>) -> Result<()> {
    let (county, request) = (row.county_id, row.id);
    match row.kind {
        DataRequestKind::Export => Ok(jobs::push(conn, county, &MakeExport { request }, now)?),
        DataRequestKind::Close => Ok(jobs::push(conn, county, &CloseRecord { request }, now)?),
        DataRequestKind::Correct => {
            let todo = NewTodo {
                county,
                kind: todos::Kind::Decide,
                unit,
                resident: Some(row.resident_id),
                about: Some(("data_request", request)),
                title: Text::fixed("居民申请更正个人信息", "A resident asks for a correction of personal data"),
                holder: None,
                due_at: Some(row.due_at),
                created_by: row.asked_by,
            };
            todos::open(conn, todo, now).map(drop)
        }
    }
}

/// Ask about one's own data
///
/// `export`: a copy of everything (个人信息保护法 art. 45). `correct`: a correction that the person cannot make alone (art. 46), decided
/// by staff within 15 working days. `close`: closes the record (art. 47): future appointments are cancelled, every session ends,
/// everything personal is erased; it cannot be undone. At most one of a kind waits. Staff ask for somebody at the desk.
#[utoipa::path(tag = "data_requests", security(("token" = ["data_requests:ask"])), params(("id" = Uuid, Path, description = "The resident"), IdempotencyHeader),
    request_body = CreateDataRequest, responses((status = 202, description = "Accepted; look at `Location`", body = DataRequestView)),
    extensions(("x-errors" = json!(["request_exists", "record_closed"]))))]
#[post("/v1/residents/{id}/data_requests")]
pub async fn create_data_request(
    caller: Can<AskDataRequests>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<CreateDataRequest>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_data_request", key, body.digest);
    let (command, who, scope, now) = (body.value, Caller::clone(&caller), caller.scope, app.clock.now());
    let (request, due_at) = (Uuid::now_v7(), due(&*calendar::current(&app).await?, now)?);
    let entry = Audit::new("ask_data_request", "resident", id.0).fields(vec![command.kind.as_str()]);
    let inner = app.clone();
    app.once(once, move |conn| {
        let person = subject_of(conn, scope, id.0)?;
        let needed = match command.kind {
            DataRequestKind::Correct => true,
            DataRequestKind::Close => who.staff().is_some(),
            DataRequestKind::Export => who.staff().is_some(),
        };
        if needed && command.words.is_none() {
            return Err(Error::field("/words", "required", "必填", "is required"));
        }
        let seal = |words: &String| inner.keys.seal(scope.county, &model::place("words", request), words.as_bytes());
        let new = NewDataRequest {
            county: scope.county,
            id: request,
            resident: person.id,
            kind: command.kind,
            words: command.words.as_ref().map(seal),
            asked_by: who.staff(),
            due_at,
        };
        let row = store::insert(conn, new, now)?;
        order(conn, &row, person.unit_id, now)?;
        audit::record(conn, &who, now, &entry.of(person.id))?;
        let view = DataRequestView::new(&inner, &row, lang, true)?;
        Answer::accepted(format!("/v1/data_requests/{request}"), row.version, &view)
    })
    .await
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DataRequestsQuery {
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List a resident's requests
///
/// Oldest first, also those of a record that is closed. Staff see what was written only in the single request.
#[utoipa::path(tag = "data_requests", security(("token" = ["data_requests:read"])), params(("id" = Uuid, Path, description = "The resident"), DataRequestsQuery),
    responses((status = 200, description = "A page of requests", body = Page<DataRequestView>)))]
#[get("/v1/residents/{id}/data_requests")]
pub async fn list_data_requests(
    caller: Can<ReadDataRequests>,
    id: Id,
    lang: Lang,
    app: Data<App>,
    query: Query<DataRequestsQuery>,
) -> Result<HttpResponse> {
    let (limit, list) = (page::limit(query.0.limit)?, format!("data_requests/{}", id.0));
    let after = page::after(&app.keys, &list, query.0.cursor.as_deref())?;
    let (scope, count) = (caller.scope, query.0.count.unwrap_or(false));
    let (rows, total) = app
        .db
        .read("list_data_requests", move |conn| {
            subject::known(conn, scope, id.0)?.ok_or(Code::NotFound)?;
            let total = if count { Some(store::count(conn, scope.county, id.0)?) } else { None };
            Ok((store::list(conn, scope.county, id.0, after, limit)?, total))
        })
        .await?;
    let place = |row: &DataRequest| After { at: row.asked_at, id: row.id };
    let view = |row: DataRequest| DataRequestView::new(&app, &row, lang, caller.is_resident());
    let page = page::cut(&app.keys, &list, rows, limit as usize, place, view)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// One request
///
/// With what was written; that staff looked is recorded.
#[utoipa::path(tag = "data_requests", security(("token" = ["data_requests:read"])), params(("id" = Uuid, Path, description = "The request")),
    responses((status = 200, description = "The request", body = DataRequestView)))]
#[get("/v1/data_requests/{id}")]
pub async fn get_data_request(
    caller: Can<ReadDataRequests>,
    id: Id,
    lang: Lang,
    app: Data<App>,
) -> Result<HttpResponse> {
    let (who, scope, now) = (Caller::clone(&caller), caller.scope, app.clock.now());
    let entry = Audit::new("read_data_request", "resident", Uuid::nil());
    let row = app
        .db
        .write("get_data_request", move |conn| {
            let row = within(conn, scope, id.0)?;
            if who.staff().is_some() && (row.words.is_some() || row.reason.is_some()) {
                audit::record(conn, &who, now, &entry.of(row.resident_id))?;
            }
            Ok(row)
        })
        .await?;
    let view = DataRequestView::new(&app, &row, lang, true)?;
    let headers = (header::ETAG, etag(row.version));
    Ok(HttpResponse::Ok().insert_header(headers).insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// The request with an id, of somebody within the scope.
fn within(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<DataRequest> {
    let row = store::find(conn, scope.county, id)?.ok_or(Code::NotFound)?;
    subject::known(conn, scope, row.resident_id)?.ok_or(Code::NotFound)?;
    Ok(row)
}

/// How a correction ends.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataRequestOutcome {
    Done,
    Refused,
}

/// The decision and its reason.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"outcome": "done", "reason": "已核对户口簿并更正"}))]
pub struct DecideDataRequest {
    outcome: DataRequestOutcome,
    /// Told to the person. 2 to 500 characters.
    #[validate(length(min = 2, max = 500))]
    #[schema(min_length = 2, max_length = 500)]
    reason: String,
}

/// Decide on a correction
///
/// Once the record is corrected, or with the reason why not (个人信息保护法 art. 50). Copies and closings decide themselves.
#[utoipa::path(tag = "data_requests", security(("token" = ["data_requests:decide"])),
    params(("id" = Uuid, Path, description = "The request, of kind `correct`"), IdempotencyHeader, IfMatchHeader),
    request_body = DecideDataRequest, responses((status = 200, description = "Decided", body = DataRequestView)),
    extensions(("x-errors" = json!(["request_not_open"]))))]
#[post("/v1/data_requests/{id}/decide")]
pub async fn decide_data_request(
    caller: Can<DecideDataRequests>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<DecideDataRequest>,
) -> Result<Answer> {
    let once = Once::new(&caller, "decide_data_request", key, body.digest);
    let (command, who, scope, now) = (body.value, Caller::clone(&caller), caller.scope, app.clock.now());
    let (state, action) = match command.outcome {
        DataRequestOutcome::Done => (DataRequestState::Done, "correct"),
        DataRequestOutcome::Refused => (DataRequestState::Refused, "refuse_correction"),
    };
    let (entry, inner) = (Audit::new(action, "resident", Uuid::nil()), app.clone());
    app.once(once, move |conn| {
        let row = within(conn, scope, id.0)?;
        seen.check(row.version)?;
        if row.kind != DataRequestKind::Correct || row.state != DataRequestState::Requested {
            return Err(Code::RequestNotOpen.into());
        }
        let reason = inner.keys.seal(scope.county, &model::place("reason", id.0), command.reason.as_bytes());
        let end = End { reason: Some(reason), by: who.staff(), ..End::new(state) };
        let ended = store::end(conn, ((scope.county, id.0), now), end)?;
        // Somebody else was first: again, to say which version there is now.
        let row = ended.ok_or_else(|| Error { retry: Retry::Again, ..Code::RequestNotOpen.into() })?;
        todos::drop_about(conn, scope.county, todos::Kind::Decide, ("data_request", id.0), now)?;
        audit::record(conn, &who, now, &entry.of(row.resident_id))?;
        Answer::ok(row.version, &DataRequestView::new(&inner, &row, lang, true)?)
    })
    .await
}
