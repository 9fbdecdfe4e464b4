//! What the township decides about helpers, over HTTP.

use actix_web::{HttpResponse, http::header, post, put, web::Data};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    decisions, hooks,
    model::{Decision, Helper, HelperState, reason_place},
    own::unknown_units,
    questions, rules, skills,
    store::{self, Decided},
    views::{HelperView, Shown},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can, Reach, Scope},
        command::Command,
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag},
        idempotency::{Answer, Once},
        permissions::DecideHelpers,
        valid::{Id, Valid},
    },
    messages::{self, NewMessage},
    people,
    rooms::HelperGone,
    units,
};

/// What a helper is granted.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000001", "skills": ["care"], "unit_ids": []}))]
pub struct GrantHelper {
    /// The home unit: they serve it and what lies below it. Left out, it stays; of staff it follows their posts.
    unit_id: Option<Uuid>,
    /// All that they have from now on; may differ from what they claim.
    #[validate(length(max = 50))]
    #[schema(max_items = 50)]
    skills: Vec<String>,
    /// All further units that they serve from now on; may differ from what they asked for. Within the caller's reach, or granted before.
    #[validate(length(max = 20))]
    #[schema(max_items = 20)]
    unit_ids: Vec<Uuid>,
}

/// Why, for the helper to read.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "请先到党群服务中心核验身份"}))]
pub struct HelperReason {
    /// 2 to 200 characters; the helper reads it.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    reason: String,
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct ResumeHelper {}

/// Nobody decides about themselves.
fn not_oneself(who: &Caller, row: &Helper) -> Result<()> {
    if row.staff_id == Some(who.subject) { Err(Code::Forbidden.into()) } else { Ok(()) }
}

/// Writes what is granted, or tells every fault. What they asked for beyond the reach of whoever decides stays asked for, of the county.
fn grant(conn: &mut PgConnection, scope: Scope, row: &Helper, said: &GrantHelper, now: DateTime<Utc>) -> Result<()> {
    let mut wrong = rules::skill_faults(&said.skills, &skills::active(conn, scope.county)?, Some(row), "/skills");
    let around = store::around(conn, scope.county, &[row.id])?.remove(&row.id).unwrap_or_default();
    let mut may: Vec<_> = around.units.iter().filter(|(_, granted)| *granted).map(|(unit, _)| *unit).collect();
    may.extend(store::units_within(conn, scope, &said.unit_ids)?);
    wrong.extend(unknown_units(&said.unit_ids, &may));
    let home = said.unit_id.unwrap_or(row.unit_id);
    if home != row.unit_id && row.staff_id.is_some() {
        let text = Text::fixed("随任职确定，请调整其岗位", "follows their posts; change those");
        wrong.push(FieldError::body("/unit_id", "by_post", text));
    } else if home != row.unit_id && !units::store::exists_in(conn, scope, home)? {
        let text = Text::fixed("没有这个单位，或不在您的管辖范围内", "there is no such unit within your reach");
        wrong.push(FieldError::body("/unit_id", "unknown_unit", text));
    }
    if !wrong.is_empty() {
        return Err(Error::invalid(wrong));
    }
    let mut further = rules::distinct(&said.unit_ids);
    further.retain(|unit| *unit != home);
    let asked: Vec<_> = around.units.iter().filter(|(_, granted)| !granted).map(|(unit, _)| *unit).collect();
    let decided = store::units_within(conn, scope, &asked)?;
    let left = |unit: &Uuid| !decided.contains(unit) && !further.contains(unit) && *unit != home;
    let left: Vec<_> = asked.into_iter().filter(left).collect();
    store::grant(conn, row, (home, &rules::distinct(&said.skills)), (&further, &left))?;
    questions::settle(conn, row, now)?;
    questions::ask_county(conn, row, !left.is_empty(), now)
}

/// Change what a helper is granted
///
/// Skills, home unit and further units, the whole of it. What they asked for within the caller's reach is thereby decided; the county is asked about
/// the rest.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:decide"])), params(("id" = Uuid, Path, description = "The helper"), IfMatchHeader),
    request_body = GrantHelper, responses((status = 200, description = "The helper", body = HelperView)))]
#[put("/v1/helpers/{id}")]
pub async fn update_helper(
    caller: Can<DecideHelpers>,
    id: Id,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<GrantHelper>,
) -> Result<HttpResponse> {
    let (who, scope, inner, now) = (Caller::clone(&caller), caller.scope, app.clone(), app.clock.now());
    let (command, entry) = (body.value, Audit::new("update", "helper", id.0).fields(vec!["unit", "skills", "units"]));
    let write = app.db.write("update_helper", move |conn| {
        let row = store::lock(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        not_oneself(&who, &row)?;
        seen.check(row.version)?;
        grant(conn, scope, &row, &command, now)?;
        audit::record(conn, &who, now, &entry)?;
        let row = store::touch(conn, &row, now)?;
        HelperView::one(conn, &inner, (lang, Shown::Outside), row)
    });
    let view = write.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}

/// A decision that somebody takes.
struct Taken {
    decision: Decision,
    grant: Option<GrantHelper>,
    reason: Option<String>,
}

/// Tells a resident what was decided; staff hear of their posts from their administrators.
fn tell(conn: &mut PgConnection, row: &Helper, decision: Decision, now: DateTime<Utc>) -> Result<()> {
    let kind = match decision {
        Decision::Approve => messages::Kind::HelperApproved,
        Decision::Refuse => messages::Kind::HelperRefused,
        Decision::Stop => messages::Kind::HelperStopped,
        Decision::Resume => messages::Kind::HelperResumed,
    };
    let Some(resident) = row.resident_id else { return Ok(()) };
    let unit = units::store::find(conn, row.county_id, row.unit_id)?.ok_or(Code::NotFound)?;
    let (county, about, occasion) = (row.county_id, row.id, row.version);
    let new = NewMessage { county, resident, kind, about, occasion, params: json!({"unit": unit.name}) };
    messages::post(conn, new, now).map(drop)
}

/// Whether they may help at all: approved or let go on, a resident has shown who they are, and a member of staff has a post.
fn fit(conn: &mut PgConnection, app: &App, scope: Scope, row: &Helper, now: DateTime<Utc>) -> Result<()> {
    if let Some(member) = row.staff_id {
        let held = store::has_post(conn, scope.county, member)?;
        return if held { Ok(()) } else { Err(rules::wrong_state(row.state)) };
    }
    let anywhere = Scope { reach: Reach::County, ..scope };
    let resident = row.resident_id.map(|id| people::find(conn, anywhere, id)).transpose()?.flatten();
    let resident = resident.ok_or_else(|| rules::wrong_state(row.state))?;
    let number = people::id_number(app, &resident)?;
    rules::identified(resident.identity_level, number.as_ref(), local_date(now))
}

/// Takes a decision as a command says it.
async fn decide<T>(
    operation: &'static str,
    caller: Can<DecideHelpers>,
    id: Id,
    seen: IfMatch,
    command: Command<T>,
    taken: impl FnOnce(T) -> Taken,
) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, operation, key, digest);
    let (who, scope, inner, now) = (Caller::clone(&caller), caller.scope, app.clone(), app.clock.now());
    let taken = std::sync::Arc::new(taken(body));
    let entry = Audit::new(taken.decision.as_str(), "helper", id.0);
    app.once(once, move |conn| {
        let row = store::lock(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        not_oneself(&who, &row)?;
        let (from, to) = taken.decision.moves();
        if row.state != from {
            return Err(rules::wrong_state(row.state));
        }
        seen.check(row.version)?;
        match &taken.grant {
            Some(said) => grant(conn, scope, &row, said, now)?,
            None => questions::settle(conn, &row, now)?,
        }
        if to == HelperState::Active {
            fit(conn, &inner, scope, &row, now)?;
        }
        let seal = |reason: &String| inner.keys.seal(scope.county, &reason_place(row.id), reason.as_bytes());
        let decided = Decided { state: to, by: who.subject, reason: taken.reason.as_ref().map(seal) };
        let row = store::decide(conn, &row, &decided, now)?;
        let said = (taken.decision, who.subject, taken.reason.as_deref());
        decisions::record(conn, &inner, (scope.county, row.id), said, now)?;
        if taken.decision == Decision::Stop {
            hooks::gone(conn, &HelperGone { county: scope.county, helper: row.id, from: now, until: None, now })?;
        }
        tell(conn, &row, taken.decision, now)?;
        audit::record(conn, &who, now, &entry)?;
        let view = HelperView::one(conn, &inner, (lang, Shown::Outside), row)?;
        Answer::ok(view.version, &view)
    })
    .await
}

/// Approve an application
///
/// With the skills and units that the applicant has from now on, which may differ from what was claimed and asked for. Whoever goes into
/// other people's homes has been seen by an officer with an ID number, and is of full age.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:decide"])), params(("id" = Uuid, Path, description = "The helper"), IdempotencyHeader, IfMatchHeader),
    request_body = GrantHelper, responses((status = 200, description = "Active", body = HelperView)),
    extensions(("x-errors" = json!(["helper_state", "identity_needed", "under_age"]))))]
#[post("/v1/helpers/{id}/approve")]
pub async fn approve_helper(
    caller: Can<DecideHelpers>,
    id: Id,
    seen: IfMatch,
    command: Command<GrantHelper>,
) -> Result<Answer> {
    let taken = |said| Taken { decision: Decision::Approve, grant: Some(said), reason: None };
    decide("approve_helper", caller, id, seen, command, taken).await
}

/// Refuse an application
///
/// With a reason that the applicant reads. They may apply again.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:decide"])), params(("id" = Uuid, Path, description = "The helper"), IdempotencyHeader, IfMatchHeader),
    request_body = HelperReason, responses((status = 200, description = "Refused", body = HelperView)), extensions(("x-errors" = json!(["helper_state"]))))]
#[post("/v1/helpers/{id}/refuse")]
pub async fn refuse_helper(
    caller: Can<DecideHelpers>,
    id: Id,
    seen: IfMatch,
    command: Command<HelperReason>,
) -> Result<Answer> {
    let taken = |said: HelperReason| Taken { decision: Decision::Refuse, grant: None, reason: Some(said.reason) };
    decide("refuse_helper", caller, id, seen, command, taken).await
}

/// Stop a helper
///
/// At once, with a reason that they read; orders that they hold go back to the pool. Also of staff, whom a new post does not bring back.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:decide"])), params(("id" = Uuid, Path, description = "The helper"), IdempotencyHeader, IfMatchHeader),
    request_body = HelperReason, responses((status = 200, description = "Stopped", body = HelperView)), extensions(("x-errors" = json!(["helper_state"]))))]
#[post("/v1/helpers/{id}/stop")]
pub async fn stop_helper(
    caller: Can<DecideHelpers>,
    id: Id,
    seen: IfMatch,
    command: Command<HelperReason>,
) -> Result<Answer> {
    let taken = |said: HelperReason| Taken { decision: Decision::Stop, grant: None, reason: Some(said.reason) };
    decide("stop_helper", caller, id, seen, command, taken).await
}

/// Let a helper go on
///
/// With the skills and units from before. Staff need a post that makes them a helper, residents a checked identity.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:decide"])), params(("id" = Uuid, Path, description = "The helper"), IdempotencyHeader, IfMatchHeader),
    request_body = ResumeHelper, responses((status = 200, description = "Active", body = HelperView)),
    extensions(("x-errors" = json!(["helper_state", "identity_needed", "under_age"]))))]
#[post("/v1/helpers/{id}/resume")]
pub async fn resume_helper(
    caller: Can<DecideHelpers>,
    id: Id,
    seen: IfMatch,
    command: Command<ResumeHelper>,
) -> Result<Answer> {
    let taken = |_| Taken { decision: Decision::Resume, grant: None, reason: None };
    decide("resume_helper", caller, id, seen, command, taken).await
}
