//! Booking over HTTP, and what a hold has in common with it.

use std::sync::Arc;

use actix_web::{post, web::Data};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    crowd::{self, Start},
    facts::{About, Facts, facts},
    limits,
    model::{Appointment, AppointmentState, address_place},
    placing::{self, Placed, Wish},
    rules::{self, AppointmentError},
    views::AppointmentView,
    writing::{self, New},
};
use crate::{
    app::App,
    calendar::{self, Calendar},
    clock::local_date,
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can, Reach, Scope},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::BookAppointments,
        valid::Valid,
    },
    people,
    proxies::{self, May},
    settings::Settings,
    units,
    windows::{Channel, Place},
};

/// Which slot, for whom, where.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000001", "matter_id": "0199a0c0-0000-7000-8000-0000000000b1", "starts_at": "2026-11-23T09:00:00+08:00"}))]
pub struct BookAppointment {
    /// Whose centre.
    pub unit_id: Uuid,
    /// For what.
    pub matter_id: Uuid,
    /// The start of a slot of `GET /v1/slots`.
    pub starts_at: DateTime<FixedOffset>,
    /// For whom; required of staff. Residents book for themselves by default, or for somebody who lets them (`/proxies`).
    pub resident_id: Option<Uuid>,
    /// `proxy` (default) or `desk`, for staff; residents book through `public`.
    #[schema(inline)]
    pub channel: Option<Channel>,
    /// One of the matter's places; the first of them by default.
    #[schema(inline)]
    pub place: Option<Place>,
    /// Where to come, for `home` and only there; 1 to 200 characters. A hold may leave it for `book`.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub address: Option<String>,
}

/// For whom and through which channel, or every reason why not.
pub fn whom(caller: &Caller, resident: Option<Uuid>, channel: Option<Channel>) -> Result<(Uuid, Channel)> {
    let mut wrong = Vec::new();
    let mut say =
        |pointer: &str, code: &'static str, zh, en| wrong.push(FieldError::body(pointer, code, Text::fixed(zh, en)));
    let resident = match (caller.is_resident(), resident) {
        (true, id) => Some(id.unwrap_or(caller.subject)),
        (false, id) => {
            if id.is_none() {
                say("/resident_id", "required", "代约须写明为谁预约", "say for whom");
            }
            id
        }
    };
    let channel = match (caller.is_resident(), channel) {
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

/// For whom: oneself, somebody who lets one, or for staff somebody within reach.
pub fn resident_of(
    conn: &mut PgConnection,
    scope: Scope,
    caller: &Caller,
    resident: Uuid,
    now: DateTime<Utc>,
) -> Result<Uuid> {
    if !caller.is_resident() {
        return people::find(conn, scope, resident)?.map(|row| row.id).ok_or_else(resident_unknown);
    }
    let me = caller.subject;
    if resident == me || proxies::acts_for(conn, scope.county, (resident, me), May::Book, local_date(now))? {
        return Ok(resident);
    }
    let (zh, en) = ("没有这位居民，或未授权您代约", "There is nobody of this id who lets you book for them");
    Err(Error::field("/resident_id", "may_not_act_for", zh, en))
}

pub fn resident_unknown() -> Error {
    Error::field(
        "/resident_id",
        "unknown_resident",
        "没有这位居民，或不在您的管辖范围",
        "There is no such resident within your reach",
    )
}

/// `desk` is for the counter of one's own centre.
pub fn own_desk(conn: &mut PgConnection, scope: Scope, channel: Channel, unit: Uuid) -> Result<()> {
    if channel != Channel::Desk || units::exists_in(conn, scope, unit)? {
        return Ok(());
    }
    let (zh, en) = ("desk 仅限本中心的柜台", "desk is for the counter of one's own centre");
    Err(Error::field("/channel", "not_your_desk", zh, en))
}

/// Whether unit or matter is wrong.
pub fn unknown(conn: &mut PgConnection, county: i32, unit: Uuid) -> Result<Error> {
    let scope = Scope { county, reach: Reach::County };
    Ok(match units::exists_in(conn, scope, unit)? {
        true => Error::field(
            "/matter_id",
            "unknown_matter",
            "没有这个可预约的事项",
            "there is no such matter that can be booked",
        ),
        false => Error::field("/unit_id", "unknown_unit", "没有这个中心", "there is no such centre"),
    })
}

/// What a booking is decided with, besides the database.
#[derive(Clone)]
pub struct Rules {
    pub settings: Settings,
    pub calendar: Arc<Calendar>,
    pub now: DateTime<Utc>,
}

impl Rules {
    pub async fn of(app: &App, caller: &Caller) -> Result<Self> {
        let settings = app.counties.public(app, &caller.county_key).await?.settings.clone();
        Ok(Self { settings, calendar: calendar::current(app).await?, now: app.clock.now() })
    }

    /// Where a start fits, after everything that could speak against it; and the how many-th of the day it is.
    pub fn place(
        &self,
        facts: &Facts,
        what: (Channel, Option<Place>),
        starts_at: DateTime<Utc>,
    ) -> Result<(Placed, i16)> {
        facts.resident_id.ok_or_else(resident_unknown)?;
        rules::identity(facts.level, facts.level_needed, what.0)?;
        let placed = self.fit(facts, what, starts_at)?;
        // A limit of one's own says more than that others were faster.
        let nth = limits::next(&self.settings, what.0, &facts.standing, starts_at, self.now)?;
        Ok((placed?, nth))
    }

    /// Where a start fits, whoever asks; the inner error is that others were faster.
    pub fn fit(
        &self,
        facts: &Facts,
        (channel, place): (Channel, Option<Place>),
        starts_at: DateTime<Utc>,
    ) -> Result<Result<Placed, AppointmentError>> {
        let place = rules::place(place, &facts.places)?;
        limits::within_days(&self.settings, channel, starts_at, self.now)?;
        if facts.own_specialist && facts.openings.is_empty() {
            return Err(Code::NoSpecialist.into());
        }
        let wish = Wish::new(channel, place, facts.slots, facts.travel_minutes);
        match placing::choose(&facts.openings, &self.calendar, &self.settings, &wish, starts_at, self.now) {
            // What is not offered is nobody's.
            Err(AppointmentError::NotOffered) => Err(AppointmentError::NotOffered.into()),
            placed => Ok(placed),
        }
    }
}

/// A booking or a hold.
#[derive(Clone)]
struct Booking {
    id: Uuid,
    caller: Caller,
    scope: Scope,
    command: BookAppointment,
    resident: Uuid,
    channel: Channel,
    hold: bool,
    rules: Rules,
}

impl Booking {
    /// Decides and books: one statement of facts, the rules, one statement that books.
    fn run(&self, conn: &mut PgConnection, app: &App) -> Result<Appointment> {
        let (county, now, starts_at) = (self.scope.county, self.rules.now, self.command.starts_at.to_utc());
        let (unit, matter) = (self.command.unit_id, self.command.matter_id);
        let resident = resident_of(conn, self.scope, &self.caller, self.resident, now)?;
        own_desk(conn, self.scope, self.channel, unit)?;
        if self.hold {
            // One at a time: a new hold takes the place of the one before.
            writing::lapse(conn, (county, resident), None, now)?;
        }
        let about = About { county, unit, matter, resident, starts_at, but: None, now };
        let known = facts(conn, &self.rules.settings, about)?;
        let known = match known {
            // Booking what one holds without naming the hold.
            Some(known) if known.holding => {
                writing::lapse(conn, (county, resident), Some((matter, local_date(starts_at))), now)?;
                facts(conn, &self.rules.settings, about)?
            }
            known => known,
        };
        let Some(facts) = known else { return Err(unknown(conn, county, unit)?) };
        let (placed, nth) = self.rules.place(&facts, (self.channel, self.command.place), starts_at)?;
        if !self.hold {
            rules::address(placed.place, self.command.address.as_deref())?;
        }
        let sealed = sealed(app, county, self.id, placed.place, self.command.address.as_deref());
        let until = self.hold.then(|| now + TimeDelta::minutes(self.rules.settings.booking_hold_minutes));
        let new = New {
            county,
            id: self.id,
            unit,
            matter,
            resident,
            booked_by: self.caller.staff(),
            booked_by_resident: (self.caller.is_resident() && resident != self.caller.subject)
                .then_some(self.caller.subject),
            channel: self.channel,
            placed,
            address: sealed,
            nth,
            held_until: until,
            waiting: None,
            now,
        };
        writing::insert(conn, &new)?;
        Ok(made(new, facts))
    }
}

/// An address as it is stored.
pub fn sealed(app: &App, county: i32, id: Uuid, place: Place, address: Option<&str>) -> Option<Vec<u8>> {
    let address = address.filter(|_| place == Place::Home)?;
    Some(app.keys.seal(county, &address_place(id), address.trim().as_bytes()))
}

/// The row that has just been written, without reading it again.
fn made(new: New, facts: Facts) -> Appointment {
    let Placed { window, window_name, place, starts_at, ends_at, slots, .. } = new.placed;
    Appointment {
        county_id: new.county,
        id: new.id,
        state: if new.held_until.is_some() { AppointmentState::Held } else { AppointmentState::Booked },
        channel: new.channel,
        place,
        address: new.address,
        unit_id: new.unit,
        unit_name: facts.unit_name,
        window_id: window,
        window_name,
        matter_id: new.matter,
        matter_name: facts.matter_name,
        resident_id: Some(new.resident),
        resident_name: facts.resident_name,
        resident_phone: facts.resident_phone,
        booked_by: new.booked_by,
        booked_by_resident: new.booked_by_resident,
        starts_at,
        ends_at,
        slots,
        held_until: new.held_until,
        waiting_id: new.waiting,
        ticket: None,
        arrived_at: None,
        on_time: None,
        desk_id: None,
        calls: 0,
        cancelled_at: None,
        cancel_reason: None,
        version: 1,
        created_at: new.now,
        updated_at: new.now,
    }
}

pub async fn take(
    caller: Can<BookAppointments>,
    once: Once,
    lang: Lang,
    app: Data<App>,
    command: BookAppointment,
    hold: bool,
) -> Result<Answer> {
    let (resident, channel) = whom(&caller, command.resident_id, command.channel)?;
    let rules = Rules::of(&app, &caller).await?;
    let (scope, who) = (caller.scope, Caller::clone(&caller));
    let BookAppointment { unit_id: unit, matter_id: matter, place, starts_at, .. } = command;
    let start = Start { county: scope.county, unit, matter, place, starts_at: starts_at.to_utc() };
    let booking = Booking { id: Uuid::now_v7(), caller: who, scope, command, resident, channel, hold, rules };
    let (inner, rules) = (app.clone(), booking.rules.clone());
    let book = move |conn: &mut PgConnection| {
        let row = booking.run(conn, &inner)?;
        let (id, version) = (row.id, row.version);
        let view = AppointmentView::new(&inner, &booking.caller, lang, row)?;
        Answer::created(format!("/v1/appointments/{id}"), version, &view)
    };
    match resident == caller.subject {
        true => crowd::decide(&app, once, &rules, start, book).await,
        false => app.once(once, book).await,
    }
}

/// Book an appointment
///
/// Takes one place of a slot, or of as many consecutive slots as the matter needs; the system chooses the window. A resident books up
/// to 7 days ahead (configurable) and has one booking per matter and day; three no-shows within 90 days pause online booking for 30
/// days; some matters want to be sure who it is for (`identity_needed`). Where such a limit ends by itself, `possible_at` says when.
/// Agents and the desk are bound by none of these but the one booking per matter and day. `slot_full` leaves no trace: try another
/// slot, also with the same key. The resident is told by WeChat and in the inbox.
#[utoipa::path(tag = "appointments", security(("token" = ["appointments:book"])), params(IdempotencyHeader), request_body = BookAppointment,
    responses((status = 201, description = "Booked", body = AppointmentView)),
    extensions(("x-errors" = json!(["identity_needed", "slot_full", "slot_waited_for", "already_booked", "booking_paused", "no_specialist", "slot_not_offered", "booking_window"]))))]
#[post("/v1/appointments")]
pub async fn book_appointment(
    caller: Can<BookAppointments>,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<BookAppointment>,
) -> Result<Answer> {
    let once = Once::new(&caller, "book_appointment", key, body.digest);
    take(caller, once, lang, app, body.value, false).await
}
