//! Custody of originals over HTTP: taken over, passed on, brought to the department and back, returned.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    acting::Frame,
    commands::ErrandCommand,
    custody::{Custodian, Movement},
    model::Step,
    originals::{self, Acknowledged, Original, OriginalState, name_place},
};
use crate::{
    app::App,
    appointments::Named,
    clock::CST,
    error::Result,
    http::{
        caller::{Caller, Can},
        command::Command,
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag},
        idempotency::{Answer, Once},
        page::{self, After, Page},
        permissions::{FileErrands, HandleErrands, Permission, ReadErrands},
        valid::{Id, Query},
    },
};

/// An original (原件) that a resident handed over.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000c7", "errand_id": "0199a0c0-0000-7000-8000-0000000000f1", "name": "居民身份证",
    "state": "held", "with": {"id": "0199a0c0-0000-7000-8000-0000000000a1", "name": "陈特派"}, "passed_to": null, "taken_how": "signed", "returned_how": null,
    "version": 2, "created_at": "2026-11-23T08:30:00+08:00", "updated_at": "2026-11-23T08:31:00+08:00"}))]
pub struct OriginalView {
    pub id: Uuid,
    pub errand_id: Uuid,
    /// What it is, for the resident's side, whoever answers for the errand or has it in hand, and the department; none for others, or
    /// once it has been erased.
    pub name: Option<String>,
    pub state: OriginalState,
    /// Who has it and answers for it; with the department: who brought it there. None: the resident has it back.
    pub with: Option<Named>,
    /// Who has been handed it and has not acknowledged it yet.
    pub passed_to: Option<Named>,
    /// How the resident acknowledged that it was handed over.
    #[schema(inline)]
    pub taken_how: Option<Acknowledged>,
    /// How the resident acknowledged that it came back.
    #[schema(inline)]
    pub returned_how: Option<Acknowledged>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
    pub updated_at: DateTime<FixedOffset>,
}

impl OriginalView {
    /// `named`: to those who may know what it is, by the rule of the words in the ledger.
    fn new(app: &App, row: Original, named: bool) -> Result<Self> {
        let open = |sealed: &Vec<u8>| app.keys.open_text(row.county_id, &name_place(row.id), sealed);
        let who = |id: Option<Uuid>, name: Option<String>| id.map(|id| Named { id, name: name.unwrap_or_default() });
        Ok(Self {
            id: row.id,
            errand_id: row.errand_id,
            name: row.name.as_ref().filter(|_| named).map(open).transpose()?,
            state: row.state,
            with: who(row.with_id, row.with_name),
            passed_to: who(row.passed_to, row.passed_name),
            taken_how: row.taken_how,
            returned_how: row.returned_how,
            version: row.version,
            created_at: row.created_at.with_timezone(&CST),
            updated_at: row.updated_at.with_timezone(&CST),
        })
    }
}

/// What was handed over.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "居民身份证"}))]
pub struct TakeOriginal {
    /// What it is, as the resident would call it; 2 to 100 characters.
    #[validate(length(min = 2, max = 100))]
    #[schema(min_length = 2, max_length = 100)]
    pub name: String,
}

/// To whom.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"staff_id": "0199a0c0-0000-7000-8000-0000000000a2"}))]
pub struct PassOriginal {
    /// An active member of staff with a post of the unit, or of one above it.
    pub staff_id: Uuid,
}

/// How the resident acknowledged it.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"how": "signed"}))]
pub struct AcknowledgeOriginal {
    /// Staff say `signed`, when they saw the signature. Residents leave it out.
    #[schema(inline)]
    pub how: Option<Acknowledged>,
}

async fn custodian<P: Permission>(app: &App, caller: &Can<P>) -> Result<Custodian> {
    let frame = Frame::of(app, &caller.county_key).await?;
    Ok(Custodian { who: Caller::clone(caller), scope: caller.scope, frame })
}

/// Moves an original, once per key.
async fn moved<P: Permission, T>(
    operation: &'static str,
    caller: Can<P>,
    id: Id,
    movement: Movement,
    command: Command<T>,
) -> Result<Answer> {
    let Command { key, app, digest, .. } = command;
    let once = Once::new(&caller, operation, key, digest);
    let (custodian, inner) = (custodian(&app, &caller).await?, app.clone());
    app.once(once, move |conn| {
        let view = OriginalView::new(&inner, custodian.move_on(conn, &inner, id.0, &movement)?, true)?;
        Answer::ok(view.version, &view)
    })
    .await
}

fn to(step: Step, seen: IfMatch) -> Movement {
    Movement { step, to: None, how: None, seen }
}

/// Take an original over
///
/// From the resident, by whoever answers for the errand; the resident acknowledges it. An errand is not archived while an original is out.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader),
    request_body = TakeOriginal, responses((status = 201, description = "The original", body = OriginalView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/errands/{id}/originals")]
pub async fn take_original(caller: Can<HandleErrands>, id: Id, command: Command<TakeOriginal>) -> Result<Answer> {
    let Command { key, app, body, digest, .. } = command;
    let once = Once::new(&caller, "take_original", key, digest);
    let (custodian, inner, new) = (custodian(&app, &caller).await?, app.clone(), Uuid::now_v7());
    app.once(once, move |conn| {
        let view = OriginalView::new(&inner, custodian.take(conn, &inner, id.0, new, &body.name)?, true)?;
        Answer::created(format!("/v1/originals/{new}"), view.version, &view)
    })
    .await
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OriginalsQuery {
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List originals
///
/// Everything that was handed over for an errand, also what has been returned; oldest first. Where each has been is told by the ledger.
#[utoipa::path(tag = "errands", security(("token" = ["errands:read"])), params(("id" = Uuid, Path, description = "The errand"), OriginalsQuery),
    responses((status = 200, description = "A page of originals", body = Page<OriginalView>)))]
#[get("/v1/errands/{id}/originals")]
pub async fn list_originals(
    caller: Can<ReadErrands>,
    id: Id,
    app: Data<App>,
    query: Query<OriginalsQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let (limit, count) = (page::limit(query.limit)?, query.count.unwrap_or(false));
    let after = page::after(&app.keys, "originals", query.cursor.as_deref())?.unwrap_or(After::START);
    let custodian = custodian(&app, &caller).await?;
    let read = app.db.read("list_originals", move |conn| {
        let errand = custodian.errand(conn, id.0, false, None)?;
        let (of, who) = ((errand.county_id, errand.id), (custodian.who.staff(), custodian.frame.today));
        let total = if count { Some(originals::count(conn, of.0, of.1)?) } else { None };
        Ok((custodian.concerned(&errand), originals::list(conn, of, who, after, limit)?, total))
    });
    let (named, rows, total) = read.await?;
    let place = |row: &Original| After { at: row.created_at, id: row.id };
    let view = |row: Original| {
        let named = named || row.held || row.passed;
        OriginalView::new(&app, row, named)
    };
    let page = page::cut(&app.keys, "originals", rows, limit as usize, place, view)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// One original
///
/// For whoever may see the errand, and whoever has it or has been handed it.
#[utoipa::path(tag = "errands", security(("token" = ["errands:read"])), params(("id" = Uuid, Path, description = "The original")),
    responses((status = 200, description = "The original", body = OriginalView)))]
#[get("/v1/originals/{id}")]
pub async fn get_original(caller: Can<ReadErrands>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let custodian = custodian(&app, &caller).await?;
    let read = app.db.read("get_original", move |conn| {
        let (original, errand) = custodian.find(conn, id.0, None)?;
        Ok((original.held || original.passed || custodian.concerned(&errand), original))
    });
    let (named, original) = read.await?;
    let view = OriginalView::new(&app, original, named)?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}

/// Pass an original on
///
/// To another member of staff, who acknowledges it with `receive`; until then whoever has it answers for it, and may name somebody else.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The original"), IdempotencyHeader, IfMatchHeader),
    request_body = PassOriginal, responses((status = 200, description = "The original", body = OriginalView)), extensions(("x-errors" = json!(["original_state", "not_in_hand"]))))]
#[post("/v1/originals/{id}/pass")]
pub async fn pass_original(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<PassOriginal>,
) -> Result<Answer> {
    let movement = Movement { to: Some(command.body.staff_id), ..to(Step::PassOriginal, seen) };
    moved("pass_original", caller, id, movement, command).await
}

/// Receive an original
///
/// By whoever was handed it: from now on they have it. Also takes back a return that did not happen.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The original"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The original", body = OriginalView)), extensions(("x-errors" = json!(["original_state", "not_in_hand", "not_passed"]))))]
#[post("/v1/originals/{id}/receive")]
pub async fn receive_original(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    moved("receive_original", caller, id, to(Step::ReceiveOriginal, seen), command).await
}

/// Hand an original to the department
///
/// Whoever brought it there answers for bringing it back.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The original"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The original", body = OriginalView)), extensions(("x-errors" = json!(["original_state", "not_in_hand", "decided_elsewhere"]))))]
#[post("/v1/originals/{id}/to_department")]
pub async fn original_to_department(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    moved("original_to_department", caller, id, to(Step::OriginalToDepartment, seen), command).await
}

/// Fetch an original from the department
///
/// By whoever brought it there, or answers for the errand; from now on they have it.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The original"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The original", body = OriginalView)), extensions(("x-errors" = json!(["original_state", "not_in_hand"]))))]
#[post("/v1/originals/{id}/from_department")]
pub async fn original_from_department(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    moved("original_from_department", caller, id, to(Step::OriginalFromDepartment, seen), command).await
}

/// Return an original
///
/// Says that the resident has it again; it counts as out until they acknowledge it.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The original"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The original", body = OriginalView)), extensions(("x-errors" = json!(["original_state", "not_in_hand"]))))]
#[post("/v1/originals/{id}/return")]
pub async fn return_original(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    moved("return_original", caller, id, to(Step::ReturnOriginal, seen), command).await
}

/// Acknowledge an original
///
/// By the resident or somebody who acts for them, or by whoever has it and saw the signature: that it was handed over, or, once it
/// was returned, that it is back.
#[utoipa::path(tag = "errands", security(("token" = ["errands:file"])), params(("id" = Uuid, Path, description = "The original"), IdempotencyHeader, IfMatchHeader),
    request_body = AcknowledgeOriginal, responses((status = 200, description = "The original", body = OriginalView)), extensions(("x-errors" = json!(["original_state", "not_in_hand"]))))]
#[post("/v1/originals/{id}/acknowledge")]
pub async fn acknowledge_original(
    caller: Can<FileErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<AcknowledgeOriginal>,
) -> Result<Answer> {
    let movement = Movement { how: command.body.how, ..to(Step::AcknowledgeOriginal, seen) };
    moved("acknowledge_original", caller, id, movement, command).await
}
