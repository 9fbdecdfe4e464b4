//! Looking at appointments over HTTP.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{self, Appointment, AppointmentState},
    store::{self, Event, Filter, Of},
    views::AppointmentView,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::{CST, local_date},
    error::{Code, Lang, Result},
    http::{
        caller::{Caller, Can},
        etag::etag,
        limits,
        page::{self, After, Page},
        permissions::{ReadAppointments, RevealResidents},
        valid::{Id, Query, Valid},
    },
    people,
};

/// One appointment
///
/// One's own or of somebody who lets one book, one at the caller's centres, or one that the caller booked for somebody.
#[utoipa::path(tag = "appointments", security(("token" = ["appointments:read"])), params(("id" = Uuid, Path, description = "The appointment")),
    responses((status = 200, description = "The appointment", body = AppointmentView)))]
#[get("/v1/appointments/{id}")]
pub async fn get_appointment(
    caller: Can<ReadAppointments>,
    id: Id,
    lang: Lang,
    app: Data<App>,
) -> Result<HttpResponse> {
    let (scope, me) = (caller.scope, (caller.subject, local_date(app.clock.now())));
    let row = app.db.read("get_appointment", move |conn| store::find(conn, scope, me, id.0)).await?;
    let row = row.ok_or(Code::NotFound)?;
    let tag = (header::ETAG, etag(row.version));
    Ok(HttpResponse::Ok().insert_header(tag).json(AppointmentView::new(&app, &caller, lang, row)?))
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AppointmentsQuery {
    /// Of whom; residents see their own by default, and none of those who do not let them.
    resident_id: Option<Uuid>,
    /// At whose centre; staff, and theirs by default.
    unit_id: Option<Uuid>,
    /// Only in this state.
    #[param(inline)]
    state: Option<AppointmentState>,
    /// From this day, local time; any by default.
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

/// The beginning of a local day, this many days later.
fn day(date: NaiveDate, later: u64) -> Option<DateTime<Utc>> {
    let midnight = date.checked_add_days(Days::new(later))?.and_time(NaiveTime::MIN);
    midnight.and_local_timezone(CST).single().map(|at| at.to_utc())
}

/// List appointments
///
/// Residents: one's own, or those of somebody who lets one book (`resident_id`). Staff: of one resident or at one centre, by default their own centre's; earliest first.
#[utoipa::path(tag = "appointments", security(("token" = ["appointments:read"])), params(AppointmentsQuery),
    responses((status = 200, description = "A page of appointments", body = Page<AppointmentView>)))]
#[get("/v1/appointments")]
pub async fn list_appointments(
    caller: Can<ReadAppointments>,
    lang: Lang,
    app: Data<App>,
    query: Query<AppointmentsQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let of = match (caller.is_resident(), query.resident_id, query.unit_id.or(caller.unit)) {
        (true, whom, _) => Of::Resident(whom.unwrap_or(caller.subject), query.unit_id),
        (false, Some(resident), _) => Of::Resident(resident, query.unit_id),
        (false, None, unit) => Of::Unit(unit.ok_or(Code::Forbidden)?),
    };
    let wide = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + chrono::TimeDelta::days(365 * 200));
    let from = query.from.and_then(|date| day(date, 0)).unwrap_or(wide.0);
    let to = query.to.and_then(|date| day(date, 1)).unwrap_or(wide.1);
    let filter = Filter { of, state: query.state, from, to };
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "appointments", query.cursor.as_deref())?.unwrap_or(After::START);
    let (scope, count) = (caller.scope, query.count.unwrap_or(false));
    let me = (caller.subject, local_date(app.clock.now()));
    let (rows, total) = app
        .db
        .read("list_appointments", move |conn| {
            let total = if count { Some(store::count(conn, scope, me, filter)?) } else { None };
            Ok((store::list(conn, scope, me, filter, after, limit)?, total))
        })
        .await?;
    let place = |row: &Appointment| After { at: row.starts_at, id: row.id };
    let view = |row| AppointmentView::new(&app, &caller, lang, row);
    let page = page::cut(&app.keys, "appointments", rows, limit as usize, place, view)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// A move in the history of an appointment.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"version": 2, "at": "2026-11-22T10:00:00+08:00", "actor_id": "0199a0c0-0000-7000-8000-00000000000a", "from_state": "booked", "to_state": "booked",
    "from_starts_at": "2026-11-23T09:00:00+08:00", "to_starts_at": "2026-11-24T09:00:00+08:00",
    "from_window_id": "0199a0c0-0000-7000-8000-0000000000c1", "to_window_id": "0199a0c0-0000-7000-8000-0000000000c1", "desk_id": null}))]
pub struct EventView {
    /// The version of the appointment after the move; the first is what was made.
    pub version: i64,
    pub at: DateTime<FixedOffset>,
    /// The resident, relative or member of staff who moved it; none: the system.
    pub actor_id: Option<Uuid>,
    pub from_state: AppointmentState,
    pub to_state: AppointmentState,
    pub from_starts_at: DateTime<FixedOffset>,
    pub to_starts_at: DateTime<FixedOffset>,
    pub from_window_id: Uuid,
    pub to_window_id: Uuid,
    /// The window that called or served.
    pub desk_id: Option<Uuid>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        Self {
            version: event.version,
            at: local(event.at),
            actor_id: event.actor_id,
            from_state: event.from_state,
            to_state: event.to_state,
            from_starts_at: local(event.from_starts_at),
            to_starts_at: local(event.to_starts_at),
            from_window_id: event.from_window_id,
            to_window_id: event.to_window_id,
            desk_id: event.desk_id,
        }
    }
}

/// What happened to an appointment.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct HistoryView {
    /// Oldest first; empty while nothing happened since it was made.
    pub items: Vec<EventView>,
}

/// The history of an appointment
///
/// Every move since it was made: state, time, window, and who did it. Nothing in it can be changed.
#[utoipa::path(tag = "appointments", security(("token" = ["appointments:read"])), params(("id" = Uuid, Path, description = "The appointment")),
    responses((status = 200, description = "The moves", body = HistoryView)))]
#[get("/v1/appointments/{id}/history")]
pub async fn get_appointment_history(caller: Can<ReadAppointments>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (scope, me) = (caller.scope, (caller.subject, local_date(app.clock.now())));
    let read = app.db.read("get_appointment_history", move |conn| {
        store::find(conn, scope, me, id.0)?.ok_or(Code::NotFound)?;
        Ok(store::history(conn, scope.county, id.0)?)
    });
    let items = read.await?.into_iter().map(EventView::from).collect();
    Ok(HttpResponse::Ok().json(HistoryView { items }))
}

/// Why the plain values are needed.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "上门前电话确认"}))]
pub struct RevealAppointment {
    /// 2 to 200 characters; kept in the audit log.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    reason: String,
}

/// What is needed to go there, or to call.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"name": "陈阿婆", "phone": "13950900001", "address": "均溪镇红星村12号"}))]
pub struct RevealedAppointmentView {
    pub name: Option<String>,
    pub phone: Option<String>,
    /// For `home`.
    pub address: Option<String>,
}

/// See name, phone and address
///
/// For whoever goes there or calls. Writes who looked and why to the audit log before it answers. At most 30 a minute; never replayed.
#[utoipa::path(tag = "appointments", security(("token" = ["residents:reveal"])), params(("id" = Uuid, Path, description = "The appointment")),
    request_body = RevealAppointment, responses((status = 200, description = "The values", body = RevealedAppointmentView)),
    extensions(("x-errors" = json!(["too_many_requests"]))))]
#[post("/v1/appointments/{id}/reveal")]
pub async fn reveal_appointment(
    caller: Can<RevealResidents>,
    id: Id,
    app: Data<App>,
    body: Valid<RevealAppointment>,
) -> Result<HttpResponse> {
    limits::take(&app, "reveals", &format!("{}:{}", caller.county, caller.subject), 30).await?;
    let entry = Audit::new("reveal", "appointment", id.0).fields(vec!["name", "phone", "address"]);
    let entry = entry.because(Some(body.value.reason));
    let (who, scope, now) = (Caller::clone(&caller), caller.scope, app.clock.now());
    let write = app.db.write("reveal_appointment", move |conn| {
        let row = store::find(conn, scope, (who.subject, local_date(now)), id.0)?.ok_or(Code::NotFound)?;
        audit::record(conn, &who, now, &entry)?;
        Ok(row)
    });
    let row = write.await?;
    let sealed = (row.resident_name.as_deref(), row.resident_phone.as_deref());
    let who = row.resident_id.map(|id| people::name_and_phone(&app, (row.county_id, id), sealed, false)).transpose()?;
    let (name, phone) = who.unwrap_or_default();
    let place = model::address_place(row.id);
    let address = row.address.as_deref().map(|sealed| app.keys.open_text(row.county_id, &place, sealed)).transpose()?;
    let view = RevealedAppointmentView { name, phone, address };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}
