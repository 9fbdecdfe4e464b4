//! Absences over HTTP and in the database: one's own, or anybody's by an administrator.

use actix_web::{HttpResponse, get, post, web::Data};
use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{cover, store};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::{CST, local_date},
    db::{found, schema::staff_absences},
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can, Reach, Scope},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::RecordAbsences,
        valid::{Id, Query, Valid},
    },
    sessions, text_enum,
};

/// The longest absence, in days.
const LONGEST: i64 = 366;

text_enum! {
    /// How an absence stands today.
    pub enum AbsenceState {
        Coming = "coming",
        Running = "running",
        Over = "over",
        Cancelled = "cancelled",
    }
}

/// An absence as stored; the reason is sealed.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = staff_absences, check_for_backend(diesel::pg::Pg))]
struct Absence {
    id: Uuid,
    staff_id: Uuid,
    from_on: NaiveDate,
    until_on: NaiveDate,
    reason: Option<Vec<u8>>,
    created_by: Uuid,
    created_at: DateTime<Utc>,
    cancelled_at: Option<DateTime<Utc>>,
}

impl Absence {
    fn state(&self, today: NaiveDate) -> AbsenceState {
        match self.cancelled_at {
            Some(_) => AbsenceState::Cancelled,
            None if self.until_on < today => AbsenceState::Over,
            None if self.from_on > today => AbsenceState::Coming,
            None => AbsenceState::Running,
        }
    }
}

/// An absence (请假、外出).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000a7", "staff_id": "0199a0c0-0000-7000-8000-0000000000f1", "from_on": "2026-11-24",
    "until_on": "2026-11-26", "state": "coming", "reason": "培训", "created_by": "0199a0c0-0000-7000-8000-0000000000f1",
    "created_at": "2026-11-23T08:00:00+08:00", "cancelled_at": null}))]
pub struct AbsenceView {
    pub id: Uuid,
    pub staff_id: Uuid,
    /// The first day, local.
    pub from_on: NaiveDate,
    /// The last day.
    pub until_on: NaiveDate,
    pub state: AbsenceState,
    pub reason: Option<String>,
    pub created_by: Uuid,
    pub created_at: DateTime<FixedOffset>,
    pub cancelled_at: Option<DateTime<FixedOffset>>,
}

fn place(id: Uuid) -> String {
    format!("staff_absences.reason/{id}")
}

impl AbsenceView {
    fn new(app: &App, county: i32, absence: &Absence) -> Result<Self> {
        let open = |sealed: &Vec<u8>| app.keys.open_text(county, &place(absence.id), sealed);
        Ok(Self {
            id: absence.id,
            staff_id: absence.staff_id,
            from_on: absence.from_on,
            until_on: absence.until_on,
            state: absence.state(local_date(app.clock.now())),
            reason: absence.reason.as_ref().map(open).transpose()?,
            created_by: absence.created_by,
            created_at: absence.created_at.with_timezone(&CST),
            cancelled_at: absence.cancelled_at.map(|at| at.with_timezone(&CST)),
        })
    }
}

/// Whether somebody's absences are the caller's business.
fn may(scope: Scope, staff: Uuid) -> Result<()> {
    match scope.reach {
        Reach::County => Ok(()),
        Reach::Own(own) if own == staff => Ok(()),
        Reach::Own(_) | Reach::Unit(_) => Err(Code::NotFound.into()),
    }
}

/// From when until when, and why.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check_days"))]
#[schema(example = json!({"from_on": "2026-11-24", "until_on": "2026-11-26", "reason": "培训"}))]
pub struct CreateAbsence {
    /// The first day, local.
    from_on: NaiveDate,
    /// The last day, today at the earliest.
    until_on: NaiveDate,
    /// Up to 200 characters; kept sealed.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
}

fn check_days(absence: &CreateAbsence) -> Result<(), ValidationError> {
    let days = (absence.until_on - absence.from_on).num_days();
    if (0..LONGEST).contains(&days) {
        return Ok(());
    }
    let text =
        "until_on 不得早于 from_on，且至多 366 天|until_on must not be before from_on, and 366 days are the most";
    Err(ValidationError::new("days").with_message(text.into()))
}

/// Record an absence
///
/// One's own; administrators anybody's. While it lasts, the deputies of the posts get what the holder would get and may log
/// in as the posts. Two absences of a person cannot overlap.
#[utoipa::path(tag = "staff", security(("token" = ["staff:absences"])), params(("id" = Uuid, Path, description = "The member of staff"), IdempotencyHeader),
    request_body = CreateAbsence, responses((status = 201, description = "Recorded", body = AbsenceView)),
    extensions(("x-errors" = json!(["absence_overlaps", "staff_not_active"]))))]
#[post("/v1/staff/{id}/absences")]
pub async fn create_absence(
    caller: Can<RecordAbsences>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<CreateAbsence>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_absence", key, body.digest);
    let (scope, who, command, now) = (caller.scope, Caller::clone(&caller), body.value, app.clock.now());
    let (inner, absence_id) = (app.clone(), Uuid::now_v7());
    let entry = Audit::new("create_absence", "staff", id.0).fields(vec!["from_on", "until_on"]);
    app.once(once, move |conn| {
        may(scope, id.0)?;
        store::lock_county(conn, scope.county)?;
        store::lock_to_change(conn, scope.county, id.0)?;
        if command.until_on < local_date(now) {
            let (zh, en) = ("最后一天不得早于今天", "the last day is over already");
            return Err(Error::field("/until_on", "past", zh, en));
        }
        let seal = |reason: &String| inner.keys.seal(scope.county, &place(absence_id), reason.trim().as_bytes());
        let absence: Absence = diesel::insert_into(staff_absences::table)
            .values((
                (staff_absences::county_id.eq(scope.county), staff_absences::id.eq(absence_id)),
                (staff_absences::staff_id.eq(id.0), staff_absences::reason.eq(command.reason.as_ref().map(seal))),
                (staff_absences::from_on.eq(command.from_on), staff_absences::until_on.eq(command.until_on)),
                (staff_absences::created_by.eq(who.subject), staff_absences::created_at.eq(now)),
            ))
            .returning(Absence::as_returning())
            .get_result(conn)?;
        // Whoever covered others until now does no more.
        sessions::end_uncovered(conn, scope.county, now)?;
        cover::told(conn, scope.county, id.0, now)?;
        audit::record(conn, &who, now, &entry)?;
        store::touch(conn, scope.county, id.0, now)?;
        store::tell_deputies(conn, scope.county, id.0, now)?;
        Answer::created(format!("/v1/staff/{}/absences", id.0), 1, &AbsenceView::new(&inner, scope.county, &absence)?)
    })
    .await
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AbsencesQuery {
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List absences
///
/// Of one member of staff, in the order of recording, cancelled ones included: one's own, for administrators anybody's. An
/// administrator's look at reasons is recorded.
#[utoipa::path(tag = "staff", security(("token" = ["staff:absences"])), params(("id" = Uuid, Path, description = "The member of staff"), AbsencesQuery),
    responses((status = 200, description = "A page of absences", body = Page<AbsenceView>)))]
#[get("/v1/staff/{id}/absences")]
pub async fn list_absences(
    caller: Can<RecordAbsences>,
    id: Id,
    app: Data<App>,
    query: Query<AbsencesQuery>,
) -> Result<HttpResponse> {
    let limit = page::limit(query.0.limit)?;
    let after = page::after(&app.keys, "absences", query.0.cursor.as_deref())?;
    let (scope, who, now) = (caller.scope, Caller::clone(&caller), app.clock.now());
    let (county, count) = (scope.county, query.0.count.unwrap_or(false));
    may(scope, id.0)?;
    let entry = Audit::new("read_absences", "staff", id.0).fields(vec!["reason"]);
    let read = app.db.write("list_absences", move |conn| {
        store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        let of = || {
            staff_absences::table.filter(staff_absences::county_id.eq(county)).filter(staff_absences::staff_id.eq(id.0))
        };
        let total = if count { Some(of().count().get_result::<i64>(conn)?) } else { None };
        let mut rows = of().select(Absence::as_select()).into_boxed();
        if let Some(after) = after {
            rows = rows.filter(staff_absences::id.gt(after.id));
        }
        let rows: Vec<Absence> = rows.order(staff_absences::id).limit(limit + 1).load(conn)?;
        if who.subject != id.0 && rows.iter().any(|absence| absence.reason.is_some()) {
            audit::record(conn, &who, now, &entry)?;
        }
        Ok((rows, total))
    });
    let (rows, total) = read.await?;
    let place = |absence: &Absence| After { at: absence.created_at, id: absence.id };
    let page =
        page::cut(&app.keys, "absences", rows, limit as usize, place, |row| AbsenceView::new(&app, county, &row))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct CancelAbsence {}

/// Cancel an absence
///
/// Before it begins or while it lasts. Sessions of deputies in the posts end within 5 seconds.
#[utoipa::path(tag = "staff", security(("token" = ["staff:absences"])), params(("id" = Uuid, Path, description = "The absence"), IdempotencyHeader),
    request_body = CancelAbsence, responses((status = 200, description = "Cancelled", body = AbsenceView)), extensions(("x-errors" = json!(["absence_over"]))))]
#[post("/v1/absences/{id}/cancel")]
pub async fn cancel_absence(
    caller: Can<RecordAbsences>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<CancelAbsence>,
) -> Result<Answer> {
    let once = Once::new(&caller, "cancel_absence", key, body.digest);
    let (scope, who, now, inner) = (caller.scope, Caller::clone(&caller), app.clock.now(), app.clone());
    let entry = Audit::new("cancel_absence", "staff", Uuid::nil());
    app.once(once, move |conn| {
        store::lock_county(conn, scope.county)?;
        let row = staff_absences::table.find((scope.county, id.0));
        let absence: Absence = found(row.select(Absence::as_select()).first(conn))?.ok_or(Code::NotFound)?;
        may(scope, absence.staff_id)?;
        let today = local_date(now);
        if !matches!(absence.state(today), AbsenceState::Coming | AbsenceState::Running) {
            return Err(Code::AbsenceOver.into());
        }
        let cancelled = diesel::update(row.filter(staff_absences::cancelled_at.is_null()))
            .set(staff_absences::cancelled_at.eq(now))
            .returning(Absence::as_returning());
        let absence: Absence = found(cancelled.get_result(conn))?.ok_or(Code::AbsenceOver)?;
        sessions::end_uncovered(conn, scope.county, now)?;
        cover::told(conn, scope.county, absence.staff_id, now)?;
        audit::record(conn, &who, now, &entry.of(absence.staff_id))?;
        store::touch(conn, scope.county, absence.staff_id, now)?;
        store::tell_deputies(conn, scope.county, absence.staff_id, now)?;
        Answer::ok(2, &AbsenceView::new(&inner, scope.county, &absence)?)
    })
    .await
}
