//! Dated exceptions over HTTP: a day closed or specially open, at a centre or at one of its windows.

use actix_web::{HttpRequest, HttpResponse, delete, get, post, web::Data};
use chrono::NaiveDate;
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    affected::Centre,
    clashes::Clashes,
    exceptions::{CreateOpeningExceptions, OpeningExceptionView},
    rule_routes::AffectedQuery,
    settle::{AffectedView, Frame, Order, Plan},
    store,
    window_routes::LISTED,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::{local_date, local_midnight},
    db::changes::{self, Change},
    error::{Code, Error, Result},
    http::{
        cached,
        caller::{Can, Scope},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::WriteWindows,
        valid::{Id, Query, Valid},
    },
    units,
    windows::{self, Exception, ExceptionKind, WantedExceptions},
};

/// Stored answers have a limit; a dry run lists more.
pub(super) const KEPT: usize = 100;

/// Exceptions made or removed, and what became of the bookings that this affected.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": [], "dry_run": true, "affected_count": 0, "affected": []}))]
pub struct ExceptionChangeView {
    /// One per day.
    pub items: Vec<OpeningExceptionView>,
    /// Nothing was changed.
    pub dry_run: bool,
    /// How many bookings fit no more.
    pub affected_count: usize,
    /// They themselves, earliest first: of a dry run up to 1,000, otherwise up to 100.
    pub affected: Vec<AffectedView>,
}

fn answer(
    frame: &Frame,
    days: &[Exception],
    (plan, order, most): (&Plan, &Order, usize),
) -> Result<ExceptionChangeView> {
    Ok(ExceptionChangeView {
        items: days.iter().cloned().map(Into::into).collect(),
        dry_run: order.dry_run,
        affected_count: plan.len(),
        affected: plan.views(frame, order, most)?,
    })
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExceptionsQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// Only of this unit's centre.
    unit_id: Option<Uuid>,
    /// From this day.
    #[param(example = "2026-11-23")]
    from: Option<NaiveDate>,
    /// To this day, included.
    to: Option<NaiveDate>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List opening exceptions
///
/// Days on which a centre or one of its windows is closed or specially open, by day. Statutory holidays close and make-up workdays
/// open by themselves: see `GET /v1/calendar/days`.
#[utoipa::path(tag = "windows", security(()), params(ExceptionsQuery),
    responses((status = 200, description = "A page of exceptions", body = Page<OpeningExceptionView>), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/opening_exceptions")]
pub async fn list_opening_exceptions(
    app: Data<App>,
    request: HttpRequest,
    query: Query<ExceptionsQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "opening_exceptions", query.cursor.as_deref())?;
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &query.county).await?.id;
        let wanted = WantedExceptions { county, unit: query.unit_id, from: query.from, to: query.to };
        let count = query.count.unwrap_or(false);
        let read = app.db.read("list_opening_exceptions", move |conn| {
            let total = if count { Some(windows::count_exceptions(conn, wanted)?) } else { None };
            Ok((windows::list_exceptions(conn, wanted, after, limit)?, total))
        });
        let (rows, total) = read.await?;
        let place = |row: &Exception| After { at: local_midnight(row.on_date), id: row.id };
        let view = |row: Exception| Ok(OpeningExceptionView::from(row));
        let page = page::cut(&app.keys, "opening_exceptions", rows, limit as usize, place, view)?;
        Ok(Page { total, ..page })
    })
    .await
}

/// Refuses hours that would be offered twice, in part, by whatever opens the day.
fn no_clash(centre: &Centre, frame: &Frame, days: &[Exception]) -> Result<()> {
    let opens = days.iter().filter(|day| day.kind == ExceptionKind::Open);
    let clash = |day: &Exception| centre.desks.iter().any(|desk| desk.clashes(&frame.calendar, day.on_date));
    if !opens.into_iter().any(clash) {
        return Ok(());
    }
    let (zh, en) = ("与当天已开放的时间部分重叠", "some of these hours are open on that day already");
    Err(Error::new(Code::RulesOverlap).detail(zh, en))
}

fn tell(conn: &mut PgConnection, frame: &Frame, days: &[Exception], gone: bool) -> Result<()> {
    for day in days {
        let change = Change {
            county: frame.caller.county,
            entity: "opening_exception",
            entity_id: day.id,
            unit_id: Some(day.unit_id),
            resident_id: None,
            staff_id: None,
            gone,
        };
        changes::record(conn, change, frame.now)?;
    }
    Ok(())
}

/// A command, and what it is carried out with.
#[derive(Clone)]
struct Step {
    frame: Frame,
    scope: Scope,
    command: CreateOpeningExceptions,
    days: Vec<Exception>,
    entry: Audit,
}

impl Step {
    fn run(&self, conn: &mut PgConnection) -> Result<Answer> {
        let Self { frame, scope, command, days, entry } = self;
        let order = command.order();
        command.check(conn, *scope, local_date(frame.now))?;
        store::gate(conn, scope.county, command.unit_id)?;
        let mut clash = Ok(());
        let change = |centre: &mut Centre| {
            for desk in &mut centre.desks {
                desk.opening.exceptions.extend(days.iter().cloned());
            }
            clash = no_clash(centre, frame, days);
        };
        let plan = frame.plan(conn, command.unit_id, change)?;
        clash?;
        if order.dry_run {
            return Answer::ok(1, &answer(frame, days, (&plan, &order, LISTED))?);
        }
        plan.decided(&order)?;
        windows::insert_exceptions(conn, scope.county, days, frame.caller.staff(), frame.now)?;
        plan.carry_out(conn, frame, &order)?;
        for day in days {
            audit::record(conn, &frame.caller, frame.now, &entry.of(day.id))?;
        }
        tell(conn, frame, days, false)?;
        let place = format!("/v1/opening_exceptions?unit_id={}&from={}", command.unit_id, command.from_date);
        Answer::created(place, 1, &answer(frame, days, (&plan, &order, KEPT))?)
    }
}

/// Close days, or open them specially
///
/// One exception per day. `closed` closes a centre or a window for some hours or the whole day; `open` opens it for additional hours
/// (延时服务), or by the rules of another weekday (周末无休), holidays included. If bookings fit no more because of it, `affected` says
/// what becomes of them: `keep`, `move` to the nearest free time of the centre (cancelled, with a todo to call, where there is
/// none), or `cancel`; each with a notice to the resident. Without it nothing changes (`bookings_affected`). A `dry_run` lists them;
/// it changes nothing, answers 200 and leaves its `Idempotency-Key` unused.
#[utoipa::path(tag = "windows", security(("token" = ["windows:write"])), params(IdempotencyHeader), request_body = CreateOpeningExceptions,
    responses((status = 201, description = "Made", body = ExceptionChangeView), (status = 200, description = "A dry run", body = ExceptionChangeView)),
    extensions(("x-errors" = json!(["bookings_affected", "rules_overlap"]))))]
#[post("/v1/opening_exceptions")]
pub async fn create_opening_exceptions(
    caller: Can<WriteWindows>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<CreateOpeningExceptions>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_opening_exceptions", key, body.digest);
    let (frame, scope, command) = (Frame::new(&app, &caller).await?, caller.scope, body.value);
    let Order { dry_run, reason, .. } = command.order();
    let entry = Audit::new("create", "opening_exception", Uuid::nil()).because(reason);
    let days = command.days(frame.now);
    let step = Step { frame, scope, command, days, entry };
    let answer = match dry_run {
        true => app.db.write("create_opening_exceptions", move |conn| step.run(conn)).await,
        false => app.once(once, move |conn| step.run(conn)).await,
    };
    app.rendered.forget();
    answer
}

fn remove(
    conn: &mut PgConnection,
    frame: &Frame,
    (scope, id): (Scope, Uuid),
    order: &Order,
    entry: &Audit,
) -> Result<ExceptionChangeView> {
    let find =
        |conn: &mut PgConnection| windows::find_exception(conn, scope.county, id)?.ok_or(Error::from(Code::NotFound));
    let unit = find(conn)?.unit_id;
    if !units::exists_in(conn, scope, unit)? {
        return Err(Code::Forbidden.into());
    }
    store::gate(conn, scope.county, unit)?;
    let day = find(conn)?;
    if day.on_date < local_date(frame.now) {
        return Err(Error::new(Code::DayOver));
    }
    let mut clash = Ok(());
    let change = |centre: &mut Centre| {
        let before = Clashes::of(centre, &frame.calendar);
        for desk in &mut centre.desks {
            desk.opening.exceptions.retain(|other| other.id != id);
        }
        clash = before.none_new(centre, frame);
    };
    let (plan, days) = (frame.plan(conn, unit, change)?, [day]);
    clash?;
    if order.dry_run {
        return answer(frame, &days, (&plan, order, LISTED));
    }
    plan.decided(order)?;
    windows::delete_exception(conn, scope.county, id)?;
    plan.carry_out(conn, frame, order)?;
    audit::record(conn, &frame.caller, frame.now, entry)?;
    tell(conn, frame, &days, true)?;
    answer(frame, &days, (&plan, order, LISTED))
}

/// Remove an opening exception
///
/// The day is as the rules and its other exceptions say; where they would open some hours twice (`rules_overlap`), the other
/// exception goes first. If bookings fit no more because of it, `affected` says what becomes of them, as for making one.
/// Days that are over cannot be changed (`day_over`). A second time it is not found.
#[utoipa::path(tag = "windows", security(("token" = ["windows:write"])), params(("id" = Uuid, Path, description = "The exception"), AffectedQuery),
    responses((status = 200, description = "Removed", body = ExceptionChangeView)), extensions(("x-errors" = json!(["bookings_affected", "day_over", "rules_overlap"]))))]
#[delete("/v1/opening_exceptions/{id}")]
pub async fn delete_opening_exception(
    caller: Can<WriteWindows>,
    id: Id,
    app: Data<App>,
    query: Query<AffectedQuery>,
) -> Result<HttpResponse> {
    let (frame, scope, order) = (Frame::new(&app, &caller).await?, caller.scope, query.0.order()?);
    let entry = Audit::new("delete", "opening_exception", id.0).because(order.reason.clone());
    let write =
        app.db.write("delete_opening_exception", move |conn| remove(conn, &frame, (scope, id.0), &order, &entry));
    let view = write.await?;
    app.rendered.forget();
    Ok(HttpResponse::Ok().json(view))
}
