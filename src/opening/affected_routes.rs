//! Bookings that fit no opening, for whatever reason: looking at them, and deciding on them.

use actix_web::{HttpResponse, get, post, web::Data};
use chrono::NaiveDate;
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{
    closed_days,
    exception_routes::KEPT,
    presence,
    settle::{AffectedView, Decision, Frame, Order},
    window_routes::{LISTED, behind_the_gate},
};
use crate::{
    app::App,
    audit::{self, Audit},
    error::{Error, FieldError, Result, Text},
    http::{
        caller::{Can, Scope},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::WriteWindows,
        valid::{Id, Query, Valid},
    },
    text_enum, windows,
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UnfitQuery {
    /// From this day; today by default.
    #[param(example = "2026-11-23")]
    from: Option<NaiveDate>,
    /// To this day, included; any by default.
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

/// List bookings that fit no opening
///
/// Of a window, earliest first, with the nearest time to which each could move: because nobody sits there on their day, because the
/// calendar has closed the day (a todo about a `closed_day` of the centre), or because they were kept when the opening changed.
/// Names are masked.
#[utoipa::path(tag = "windows", security(("token" = ["windows:write"])), params(("id" = Uuid, Path, description = "The window"), UnfitQuery),
    responses((status = 200, description = "A page of bookings", body = Page<AffectedView>)))]
#[get("/v1/windows/{id}/affected")]
pub async fn list_affected(
    caller: Can<WriteWindows>,
    id: Id,
    app: Data<App>,
    query: Query<UnfitQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "affected", query.cursor.as_deref())?.unwrap_or(After::START);
    let (frame, scope) = (Frame::new(&app, &caller).await?, caller.scope);
    let days = (query.from.unwrap_or(NaiveDate::MIN), query.to.unwrap_or(NaiveDate::MAX));
    let read = app.db.read("list_affected", move |conn| {
        let window = windows::reachable(conn, scope, id.0)?;
        frame.plan_unfit(conn, (window.unit_id, id.0), days)?.views(&frame, &Order::default(), usize::MAX)
    });
    let mut rows = read.await?;
    let total = query.count.unwrap_or(false).then_some(rows.len() as i64);
    let place = |row: &AffectedView| After { at: row.starts_at.to_utc(), id: row.id };
    rows.retain(|row| (place(row).at, row.id) > (after.at, after.id));
    rows.sort_by_key(|row| (row.starts_at, row.id));
    let page = page::cut(&app.keys, "affected", rows, limit as usize, place, Ok)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

text_enum! {
    /// What becomes of bookings that cannot stay.
    pub enum Resolution {
        /// To the nearest free time of the centre; where there is none they are cancelled, and somebody calls.
        Move = "move",
        Cancel = "cancel",
    }
}

/// Of which days, and what becomes of them.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check_days"))]
#[schema(example = json!({"from": "2026-11-24", "to": "2026-11-26", "affected": "move", "reason": "窗口人员请假"}))]
pub struct ResolveAffected {
    /// The first day.
    from: NaiveDate,
    /// The last day.
    to: NaiveDate,
    /// Required, unless it is a dry run.
    #[schema(inline)]
    affected: Option<Resolution>,
    /// Only list them; nothing changes.
    #[schema(default = false)]
    dry_run: Option<bool>,
    /// Told to those whose appointment is cancelled. 1 to 200 characters.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
}

fn check_days(said: &ResolveAffected) -> Result<(), ValidationError> {
    if said.from <= said.to {
        return Ok(());
    }
    Err(ValidationError::new("days").with_message("to 不得早于 from|to must not be before from".into()))
}

/// What became of the bookings of a window that fit no opening.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"dry_run": false, "affected_count": 1, "affected": [{"id": "0199a0c0-0000-7000-8000-0000000000e1", "channel": "public", "place": "centre", "matter": {"id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "城乡居民医保参保登记"}, "window": {"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "民生事务窗口"}, "starts_at": "2026-11-23T09:00:00+08:00", "ends_at": "2026-11-23T09:30:00+08:00", "resident": {"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明"}, "outcome": "cancelled", "new_place": null}]}))]
pub struct ResolvedView {
    /// Nothing was changed.
    pub dry_run: bool,
    pub affected_count: usize,
    /// They themselves, earliest first: of a dry run up to 1,000, otherwise up to 100.
    pub affected: Vec<AffectedView>,
}

fn resolve(
    conn: &mut PgConnection,
    frame: &Frame,
    (scope, id): (Scope, Uuid),
    (command, entry): (&ResolveAffected, &Audit),
) -> Result<Answer> {
    let decision = command.affected.map(|affected| match affected {
        Resolution::Move => Decision::Move,
        Resolution::Cancel => Decision::Cancel,
    });
    let order = Order { decision, dry_run: command.dry_run.unwrap_or(false), reason: command.reason.clone() };
    let window = behind_the_gate(conn, scope, id)?;
    let plan = frame.plan_unfit(conn, (window.unit_id, id), (command.from, command.to))?;
    let most = if order.dry_run { LISTED } else { KEPT };
    let affected = plan.views(frame, &order, most)?;
    if !order.dry_run {
        plan.carry_out(conn, frame, &order)?;
        presence::check(conn, scope.county, &[id], frame.now)?;
        closed_days::decided(conn, (scope.county, window.unit_id), &frame.calendar, frame.now)?;
        audit::record(conn, &frame.caller, frame.now, entry)?;
    }
    let view = ResolvedView { dry_run: order.dry_run, affected_count: plan.len(), affected };
    Answer::ok(window.version, &view)
}

/// Decide on bookings that fit no opening
///
/// Those of a window on some days that nobody will be there for, or that were kept when the opening changed: `move` each to the nearest
/// free time of the centre (cancelled, with a todo to call, where there is none), or `cancel` them; each with a notice to the resident. A
/// `dry_run` lists them, and leaves its `Idempotency-Key` unused.
#[utoipa::path(tag = "windows", security(("token" = ["windows:write"])), params(("id" = Uuid, Path, description = "The window"), IdempotencyHeader),
    request_body = ResolveAffected, responses((status = 200, description = "What became of them", body = ResolvedView)))]
#[post("/v1/windows/{id}/resolve_affected")]
pub async fn resolve_affected(
    caller: Can<WriteWindows>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<ResolveAffected>,
) -> Result<Answer> {
    let once = Once::new(&caller, "resolve_affected", key, body.digest);
    let (frame, scope, command) = (Frame::new(&app, &caller).await?, caller.scope, body.value);
    let dry_run = command.dry_run.unwrap_or(false);
    if !dry_run && command.affected.is_none() {
        let text = Text::fixed("须为 move 或 cancel", "must be move or cancel");
        return Err(Error::invalid(vec![FieldError::body("/affected", "required", text)]));
    }
    let entry = Audit::new("resolve_affected", "window", id.0).because(command.reason.clone());
    let work = move |conn: &mut PgConnection| resolve(conn, &frame, (scope, id.0), (&command, &entry));
    match dry_run {
        true => app.db.write("resolve_affected", work).await,
        false => app.once(once, work).await,
    }
}
