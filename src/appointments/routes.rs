//! Booking, looking and cancelling over HTTP.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveTime, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{Appointment, AppointmentState},
    rules::{self, AppointmentError},
    store::{self, Facts, FactsOf, Filter, Of},
};
use crate::{
    app::App,
    audit::{self, Audit},
    calendar::{self, Calendar},
    clock::{CST, local_date},
    error::{Code, Error, FieldError, Lang, Result, Retry, Text},
    http::{
        caller::{Caller, Can, Reach, Scope},
        document::IdempotencyHeader,
        etag::etag,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::{BookAppointments, CancelAppointments, ReadAppointments},
        valid::{Id, Query, Valid},
    },
    messages, people,
    proxies::{self, May},
    settings::Settings,
    units,
    windows::{Channel, Slot},
};
use diesel::RunQueryDsl;

/// An id and its name.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-000000000001", "name": "均溪镇"}))]
pub struct Named {
    pub id: Uuid,
    pub name: String,
}

/// The resident whom an appointment is for; masked for everybody else.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明", "phone": "138****8000"}))]
pub struct BookedResident {
    pub id: Uuid,
    pub name: Option<String>,
    pub phone: Option<String>,
}

/// An appointment (预约).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e1", "state": "booked", "state_name": "已预约", "channel": "public",
    "matter": {"id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "城乡居民医保参保登记"}, "unit": {"id": "0199a0c0-0000-7000-8000-000000000001", "name": "均溪镇"},
    "window": {"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "民生事务窗口"}, "starts_at": "2026-11-23T09:00:00+08:00", "ends_at": "2026-11-23T09:30:00+08:00",
    "resident": {"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张小明", "phone": "13800138000"}, "booked_by": null, "booked_by_resident": null,
    "cancelled_at": null, "cancel_reason": null, "version": 1, "created_at": "2026-11-21T20:15:00+08:00", "updated_at": "2026-11-21T20:15:00+08:00"}))]
pub struct AppointmentView {
    pub id: Uuid,
    pub state: AppointmentState,
    /// The state in the language of the request.
    pub state_name: String,
    pub channel: Channel,
    pub matter: Named,
    pub unit: Named,
    /// Chosen by the system.
    pub window: Named,
    pub starts_at: DateTime<FixedOffset>,
    pub ends_at: DateTime<FixedOffset>,
    pub resident: BookedResident,
    /// The member of staff who booked for the resident (代约人).
    pub booked_by: Option<Uuid>,
    /// The relative or carer who booked for the resident (代约人).
    pub booked_by_resident: Option<Uuid>,
    pub cancelled_at: Option<DateTime<FixedOffset>>,
    pub cancel_reason: Option<String>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
    pub updated_at: DateTime<FixedOffset>,
}

impl AppointmentView {
    fn new(app: &App, caller: &Caller, lang: Lang, row: Appointment) -> Result<Self> {
        let masked = caller.subject != row.resident_id;
        let (name, phone) = people::name_and_phone(
            app,
            (row.county_id, row.resident_id),
            (row.resident_name.as_deref(), row.resident_phone.as_deref()),
            masked,
        )?;
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        Ok(Self {
            id: row.id,
            state: row.state,
            state_name: row.state.words().get(lang).to_owned(),
            channel: row.channel,
            matter: Named { id: row.matter_id, name: row.matter_name },
            unit: Named { id: row.unit_id, name: row.unit_name },
            window: Named { id: row.window_id, name: row.window_name },
            starts_at: local(row.starts_at),
            ends_at: local(row.ends_at),
            resident: BookedResident { id: row.resident_id, name, phone },
            booked_by: row.booked_by,
            booked_by_resident: row.booked_by_resident,
            cancelled_at: row.cancelled_at.map(local),
            cancel_reason: row.cancel_reason,
            version: row.version,
            created_at: local(row.created_at),
            updated_at: local(row.updated_at),
        })
    }
}

/// Which slot, for whom.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000001", "matter_id": "0199a0c0-0000-7000-8000-0000000000b1", "starts_at": "2026-11-23T09:00:00+08:00"}))]
pub struct BookAppointment {
    /// Whose centre.
    unit_id: Uuid,
    /// For what.
    matter_id: Uuid,
    /// The start of a slot of `GET /v1/slots`.
    starts_at: DateTime<FixedOffset>,
    /// For whom; required of staff. Residents book for themselves by default, or for somebody who lets them (`/proxies`).
    resident_id: Option<Uuid>,
    /// `proxy` (default) or `desk`, for staff; residents book through `public`.
    #[schema(inline)]
    channel: Option<Channel>,
}

/// For whom and through which channel, or every reason why not.
fn whom(caller: &Caller, command: &BookAppointment) -> Result<(Uuid, Channel)> {
    let mut wrong = Vec::new();
    let mut say =
        |pointer: &str, code: &'static str, zh, en| wrong.push(FieldError::body(pointer, code, Text::fixed(zh, en)));
    let resident = match (caller.is_resident(), command.resident_id) {
        (true, id) => Some(id.unwrap_or(caller.subject)),
        (false, id) => {
            if id.is_none() {
                say("/resident_id", "required", "代约须写明为谁预约", "say for whom");
            }
            id
        }
    };
    let channel = match (caller.is_resident(), command.channel) {
        (true, None | Some(Channel::Public)) => Channel::Public,
        (false, None) => Channel::Proxy,
        (false, Some(channel @ (Channel::Proxy | Channel::Desk))) => channel,
        (_, Some(channel)) => {
            say(
                "/channel",
                "channel",
                "居民用 public，工作人员用 proxy 或 desk",
                "public for residents, proxy or desk for staff",
            );
            channel
        }
    };
    match (resident, wrong.is_empty()) {
        (Some(resident), true) => Ok((resident, channel)),
        _ => Err(Error::invalid(wrong)),
    }
}

/// What a booking is decided with, besides the database.
#[derive(Clone)]
struct Booking {
    id: Uuid,
    caller: Caller,
    scope: Scope,
    command: BookAppointment,
    resident: Uuid,
    channel: Channel,
    settings: Settings,
    calendar: std::sync::Arc<Calendar>,
    now: DateTime<Utc>,
}

impl Booking {
    /// Decides and books: one statement of facts, the rules, one statement that books.
    fn run(&self, conn: &mut PgConnection) -> Result<Appointment> {
        let (county, starts_at) = (self.scope.county, self.command.starts_at.to_utc());
        let resident = self.resident(conn)?;
        let (unit, matter) = (self.command.unit_id, self.command.matter_id);
        if self.channel == Channel::Desk && !units::exists_in(conn, self.scope, unit)? {
            return Err(Error::field(
                "/channel",
                "not_your_desk",
                "desk 仅限本中心的柜台",
                "desk is for the counter of one's own centre",
            ));
        }
        let facts = FactsOf { county, unit, matter, resident, channel: self.channel, starts_at };
        let facts: Vec<Facts> = facts.load(conn)?;
        let Some(first) = facts.first() else {
            let county = Scope { reach: Reach::County, ..self.scope };
            return Err(match units::exists_in(conn, county, unit)? {
                true => Error::field(
                    "/matter_id",
                    "unknown_matter",
                    "没有这个可预约的事项",
                    "there is no such matter that can be booked",
                ),
                false => Error::field("/unit_id", "unknown_unit", "没有这个中心", "there is no such centre"),
            });
        };
        first.resident_id.ok_or_else(resident_unknown)?;
        rules::identity(first.level, first.level_needed, self.channel)?;
        let opening: Vec<_> = facts.iter().filter_map(Facts::rule).collect();
        let slots = rules::book(&opening, &self.calendar, &self.settings, self.channel, starts_at, self.now)?;
        let fact = |slot: &Slot| facts.iter().find(|fact| fact.window_id == Some(slot.window));
        let taken = |slot: &Slot| fact(slot).map_or(0, |fact| fact.taken);
        let free =
            slots.iter().filter(|slot| taken(slot) < slot.capacity).min_by_key(|slot| taken(slot) - slot.capacity);
        let slot = free.ok_or(AppointmentError::Full { starts_at })?;
        let row = self.row(first, fact(slot).and_then(|fact| fact.window_name.clone()).unwrap_or_default(), slot);
        if store::book(conn, &row, slot)? {
            return Ok(row);
        }
        // Somebody was faster. Again with fresh facts, and without the lock on the full slot: holding it while waiting for
        // another window's would be a deadlock in the making.
        Err(Error { retry: Retry::Again, ..AppointmentError::Full { starts_at }.into() })
    }

    /// For whom: oneself, somebody who lets one, or for staff somebody within reach.
    fn resident(&self, conn: &mut PgConnection) -> Result<Uuid> {
        let (county, me) = (self.scope.county, self.caller.subject);
        if !self.caller.is_resident() {
            return people::find(conn, self.scope, self.resident)?.map(|row| row.id).ok_or_else(resident_unknown);
        }
        if self.resident == me || proxies::acts_for(conn, county, (self.resident, me), May::Book, local_date(self.now))?
        {
            return Ok(self.resident);
        }
        let (zh, en) = ("没有这位居民，或未授权您代约", "There is nobody of this id who lets you book for them");
        Err(Error::field("/resident_id", "may_not_act_for", zh, en))
    }

    fn row(&self, facts: &Facts, window_name: String, slot: &Slot) -> Appointment {
        let resident_id = facts.resident_id.unwrap_or(self.resident);
        let booked_by_resident =
            (self.caller.is_resident() && resident_id != self.caller.subject).then_some(self.caller.subject);
        Appointment {
            county_id: self.scope.county,
            id: self.id,
            state: AppointmentState::Booked,
            channel: self.channel,
            unit_id: self.command.unit_id,
            unit_name: facts.unit_name.clone(),
            window_id: slot.window,
            window_name,
            matter_id: self.command.matter_id,
            matter_name: facts.matter_name.clone(),
            resident_id,
            resident_name: facts.resident_name.clone(),
            resident_phone: facts.resident_phone.clone(),
            booked_by: self.caller.staff(),
            booked_by_resident,
            starts_at: slot.starts_at,
            ends_at: slot.ends_at,
            cancelled_at: None,
            cancel_reason: None,
            version: 1,
            created_at: self.now,
            updated_at: self.now,
        }
    }
}

fn resident_unknown() -> Error {
    Error::field(
        "/resident_id",
        "unknown_resident",
        "没有这位居民，或不在您的管辖范围",
        "There is no such resident within your reach",
    )
}

/// Book an appointment
///
/// Takes one place of a slot; the system chooses the window. A resident books up to 7 days ahead (configurable) and has one
/// booking per matter and day; some matters want to be sure who it is for (`identity_needed`). `slot_full` leaves no trace: try another slot, also with the same key. The resident is told by
/// WeChat and in the inbox.
#[utoipa::path(tag = "appointments", security(("token" = ["appointments:book"])), params(IdempotencyHeader), request_body = BookAppointment,
    responses((status = 201, description = "Booked", body = AppointmentView)),
    extensions(("x-errors" = json!(["identity_needed", "slot_full", "already_booked", "slot_not_offered", "booking_window"]))))]
#[post("/v1/appointments")]
pub async fn book_appointment(
    caller: Can<BookAppointments>,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<BookAppointment>,
) -> Result<Answer> {
    let once = Once::new(&caller, "book_appointment", key, body.digest);
    let (resident, channel) = whom(&caller, &body.value)?;
    let county = app.counties.public(&app, &caller.county_key).await?;
    let booking = Booking {
        id: Uuid::now_v7(),
        caller: Caller::clone(&caller),
        scope: caller.scope,
        command: body.value,
        resident,
        channel,
        settings: county.settings.clone(),
        calendar: calendar::current(&app).await?,
        now: app.clock.now(),
    };
    let inner = app.clone();
    app.once(once, move |conn| {
        let row = booking.run(conn)?;
        let (id, version) = (row.id, row.version);
        let view = AppointmentView::new(&inner, &booking.caller, lang, row)?;
        Answer::created(format!("/v1/appointments/{id}"), version, &view)
    })
    .await
}

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

/// Why.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "临时有事"}))]
pub struct CancelAppointment {
    /// Up to 200 characters.
    #[validate(length(max = 200))]
    #[schema(max_length = 200)]
    reason: Option<String>,
}

/// Cancel an appointment
///
/// Gives the place back at once. Residents may until 2 hours before the start (configurable), staff until it begins.
#[utoipa::path(tag = "appointments", security(("token" = ["appointments:cancel"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = CancelAppointment, responses((status = 200, description = "Cancelled", body = AppointmentView)),
    extensions(("x-errors" = json!(["already_cancelled", "cancel_too_late"]))))]
#[post("/v1/appointments/{id}/cancel")]
pub async fn cancel_appointment(
    caller: Can<CancelAppointments>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<CancelAppointment>,
) -> Result<Answer> {
    let once = Once::new(&caller, "cancel_appointment", key, body.digest);
    let settings = app.counties.public(&app, &caller.county_key).await?.settings.clone();
    let (who, scope, now, reason, inner) =
        (Caller::clone(&caller), caller.scope, app.clock.now(), body.value.reason, app.clone());
    let entry = Audit::new("cancel", "appointment", id.0).because(reason.clone());
    app.once(once, move |conn| {
        let mut row = store::find(conn, scope, (who.subject, local_date(now)), id.0)?.ok_or(Code::NotFound)?;
        rules::cancel(&row, &settings, who.is_resident(), now)?;
        // Who cancels for somebody else is on record.
        if who.subject != row.resident_id {
            audit::record(conn, &who, now, &entry)?;
        }
        if !store::cancel(conn, scope.county, row.id, reason.clone(), now)? {
            return Err(AppointmentError::AlreadyCancelled.into());
        }
        messages::withdraw(conn, scope.county, store::BOOKED, row.id, now)?;
        row.state = AppointmentState::Cancelled;
        (row.cancelled_at, row.cancel_reason, row.updated_at) = (Some(now), reason.clone(), now);
        row.version += 1;
        Answer::ok(row.version, &AppointmentView::new(&inner, &who, lang, row)?)
    })
    .await
}
