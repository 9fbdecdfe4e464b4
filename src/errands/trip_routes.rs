//! Trips over HTTP: what is ready, planned, its list, started, the results, finished or cancelled.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    acting::Frame,
    commands::ErrandCommand,
    journeys::{self, Outcome, Traveller},
    store::Seen,
    trip_views::{ReadyTripsView, ReadyView, TripSheetView, TripView, errand, sheet},
    trips::{self, Asked, Trip, TripResult, TripState},
};
use crate::{
    app::App,
    appointments::Named,
    clock::local_date,
    error::{Lang, Result},
    http::{
        caller::{Caller, Can},
        command::Command,
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag},
        idempotency::{Answer, Once},
        page::{self, After, Page},
        permissions::HandleErrands,
        valid::{Id, Query},
    },
};

async fn traveller(app: &App, caller: &Can<HandleErrands>) -> Result<Traveller> {
    let frame = Frame::of(app, &caller.county_key).await?;
    Ok(Traveller { who: Caller::clone(caller), scope: caller.scope, frame })
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReadyQuery {
    /// Only for this department.
    department_id: Option<Uuid>,
}

/// What is ready for a trip
///
/// Errands that the caller, or whoever they cover, answers for and a department decides: accepted or being handled, or with the department, which answers
/// later. Without those that are on an open trip; at most 500, by department, the most urgent first.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(ReadyQuery),
    responses((status = 200, description = "By department", body = ReadyTripsView)))]
#[get("/v1/trips/ready")]
pub async fn get_ready_trips(
    caller: Can<HandleErrands>,
    app: Data<App>,
    query: Query<ReadyQuery>,
) -> Result<HttpResponse> {
    let (county, staff, department) = (caller.county, caller.subject, query.0.department_id);
    let today = local_date(app.clock.now());
    let read = app.db.read("get_ready_trips", move |conn| {
        let answering = journeys::answering(conn, county, staff, today)?;
        Ok(trips::ready(conn, county, answering, department, today)?)
    });
    let read = read.await?;
    let mut departments: Vec<ReadyView> = Vec::new();
    for row in read {
        let (id, name) = (row.department_id, row.department_name.clone());
        if departments.last().is_none_or(|last| last.department.id != id) {
            departments.push(ReadyView { department: Named { id, name }, errands: Vec::new() });
        }
        let view = errand(&app, county, row, Vec::new())?;
        departments.last_mut().expect("one has just been pushed").errands.push(view);
    }
    Ok(HttpResponse::Ok().json(ReadyTripsView { departments }))
}

/// A trip to be made.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"department_id": "0199a0c0-0000-7000-8000-0000000000d3", "on": "2026-11-25", "errand_ids": ["0199a0c0-0000-7000-8000-0000000000f1"]}))]
pub struct PlanTrip {
    pub department_id: Uuid,
    /// The day, within 60 days from today.
    pub on: NaiveDate,
    /// 1 to 50 errands that are ready; see `GET /v1/trips/ready`.
    #[validate(length(min = 1, max = 50))]
    #[schema(min_items = 1, max_items = 50)]
    pub errand_ids: Vec<Uuid>,
}

/// Plan a trip
///
/// Collects errands for one department (收集归类). An errand is on one open trip at most.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(IdempotencyHeader),
    request_body = PlanTrip, responses((status = 201, description = "The trip with its list", body = TripSheetView)), extensions(("x-errors" = json!(["on_another_trip"]))))]
#[post("/v1/trips")]
pub async fn plan_trip(caller: Can<HandleErrands>, command: Command<PlanTrip>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "plan_trip", key, digest);
    let (traveller, inner, new) = (traveller(&app, &caller).await?, app.clone(), Uuid::now_v7());
    app.once(once, move |conn| {
        let trip = traveller.plan(conn, new, (body.department_id, body.on), &body.errand_ids)?;
        let version = trip.version;
        Answer::created(format!("/v1/trips/{new}"), version, &sheet(conn, &inner, lang, trip)?)
    })
    .await
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TripsQuery {
    /// Only in this state.
    #[param(inline)]
    state: Option<TripState>,
    /// Only to this department.
    department_id: Option<Uuid>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List trips
///
/// One's own and those of one's unit and the units below it; departments: those to them that are on the way or were made. Oldest first.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(TripsQuery),
    responses((status = 200, description = "A page of trips", body = Page<TripView>)))]
#[get("/v1/trips")]
pub async fn list_trips(
    caller: Can<HandleErrands>,
    lang: Lang,
    app: Data<App>,
    query: Query<TripsQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let (limit, count) = (page::limit(query.limit)?, query.count.unwrap_or(false));
    let after = page::after(&app.keys, "trips", query.cursor.as_deref())?.unwrap_or(After::START);
    let (county, seen, today) = (caller.county, Seen::by(&caller, caller.scope), local_date(app.clock.now()));
    let asked = Asked { county, seen, state: query.state, department: query.department_id, today };
    let read = app.db.read("list_trips", move |conn| {
        let total = if count { Some(trips::count(conn, asked)?) } else { None };
        Ok((trips::list(conn, asked, after, limit)?, total))
    });
    let (rows, total) = read.await?;
    let place = |row: &Trip| After { at: row.created_at, id: row.id };
    let page = page::cut(&app.keys, "trips", rows, limit as usize, place, |row| Ok(TripView::new(lang, row)))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// One trip with its list
///
/// Number, matter, resident (masked), the originals to take along, and the result of each errand.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The trip")),
    responses((status = 200, description = "The trip with its list", body = TripSheetView)))]
#[get("/v1/trips/{id}")]
pub async fn get_trip(caller: Can<HandleErrands>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (traveller, inner) = (traveller(&app, &caller).await?, app.clone());
    let read = app.db.read("get_trip", move |conn| {
        let trip = traveller.find(conn, id.0)?;
        sheet(conn, &inner, lang, trip)
    });
    let view = read.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.trip.version))).json(view))
}

/// Start a trip
///
/// Forwards every errand that is not with the department yet, in one transaction. What cannot be forwarded any more, because it was
/// withdrawn, handed on or lost its mandate, is not taken along: its result is `not_handed_in`.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The trip"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The trip with its list", body = TripSheetView)), extensions(("x-errors" = json!(["trip_state", "not_agent"]))))]
#[post("/v1/trips/{id}/start")]
pub async fn start_trip(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    let Command { key, lang, app, digest, .. } = command;
    let once = Once::new(&caller, "start_trip", key, digest);
    let (traveller, inner) = (traveller(&app, &caller).await?, app.clone());
    app.once(once, move |conn| {
        let trip = traveller.start(conn, &inner, id.0, &seen)?;
        Answer::ok(trip.version, &sheet(conn, &inner, lang, trip)?)
    })
    .await
}

/// What came of one errand.
#[derive(Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"errand_id": "0199a0c0-0000-7000-8000-0000000000f1", "result": "accepted", "words": "已批准，下月起发放"}))]
pub struct TripOutcome {
    pub errand_id: Uuid,
    /// `accepted` and `refused` decide it, `later` leaves it with the department, `not_handed_in` brings it back.
    pub result: TripResult,
    /// What the department said, 2 to 1,000 characters; kept with the errand's ledger.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: String,
    /// The papers of a decision, up to 9 of the caller's own uploads. Only with `accepted` and `refused`.
    #[serde(default)]
    #[validate(length(max = 9))]
    #[schema(max_items = 9)]
    pub attachment_ids: Vec<Uuid>,
}

/// What came of a trip.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"results": [{"errand_id": "0199a0c0-0000-7000-8000-0000000000f1", "result": "accepted", "words": "已批准，下月起发放"}]}))]
pub struct TripOutcomes {
    /// 1 to 50; the rest may follow.
    #[validate(length(min = 1, max = 50), nested)]
    #[schema(min_items = 1, max_items = 50)]
    pub results: Vec<TripOutcome>,
}

/// Record results
///
/// Each is a step of its errand; all of them are written, or none.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The trip"), IdempotencyHeader, IfMatchHeader),
    request_body = TripOutcomes, responses((status = 200, description = "The trip with its list", body = TripSheetView)), extensions(("x-errors" = json!(["trip_state", "not_agent", "errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/trips/{id}/results")]
pub async fn record_trip_results(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<TripOutcomes>,
) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "record_trip_results", key, digest);
    let (traveller, inner) = (traveller(&app, &caller).await?, app.clone());
    let outcome = |one: TripOutcome| Outcome {
        errand: one.errand_id,
        result: one.result,
        words: one.words,
        files: one.attachment_ids,
    };
    let outcomes: Vec<_> = body.results.into_iter().map(outcome).collect();
    app.once(once, move |conn| {
        let trip = traveller.results(conn, &inner, (id.0, &seen), &outcomes)?;
        Answer::ok(trip.version, &sheet(conn, &inner, lang, trip)?)
    })
    .await
}

/// Ends a trip, once per key.
async fn ended(
    operation: &'static str,
    caller: Can<HandleErrands>,
    id: Id,
    (seen, states): (IfMatch, (TripState, TripState)),
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    let Command { key, lang, app, digest, .. } = command;
    let once = Once::new(&caller, operation, key, digest);
    let (traveller, inner) = (traveller(&app, &caller).await?, app.clone());
    app.once(once, move |conn| {
        let trip = traveller.end(conn, (id.0, &seen), states)?;
        Answer::ok(trip.version, &sheet(conn, &inner, lang, trip)?)
    })
    .await
}

/// Finish a trip
///
/// What has no result was left there: the department answers by itself.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The trip"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The trip with its list", body = TripSheetView)), extensions(("x-errors" = json!(["trip_state", "not_agent"]))))]
#[post("/v1/trips/{id}/finish")]
pub async fn finish_trip(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    ended("finish_trip", caller, id, (seen, (TripState::UnderWay, TripState::Done)), command).await
}

/// Cancel a trip
///
/// Before it starts; its errands are free for another one.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The trip"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The trip with its list", body = TripSheetView)), extensions(("x-errors" = json!(["trip_state", "not_agent"]))))]
#[post("/v1/trips/{id}/cancel")]
pub async fn cancel_trip(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    ended("cancel_trip", caller, id, (seen, (TripState::Planned, TripState::Cancelled)), command).await
}
