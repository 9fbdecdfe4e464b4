//! Rescheduling and cancelling over HTTP.

use actix_web::{post, web::Data};
use chrono::{DateTime, FixedOffset};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    booking::{self, Rules},
    facts::{About, facts},
    model::{Appointment, AppointmentState, Move},
    notices,
    rules::{self, AppointmentError},
    store,
    views::AppointmentView,
    writing::{self, Moved},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    error::{Code, Error, Lang, Result, Retry},
    http::{
        caller::{Caller, Can, Scope},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::{BookAppointments, CancelAppointments},
        valid::{Id, Valid},
    },
    windows::{Channel, Place},
};

/// When and where instead.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"starts_at": "2026-11-24T09:00:00+08:00"}))]
pub struct RescheduleAppointment {
    /// The start of a slot of `GET /v1/slots`.
    starts_at: DateTime<FixedOffset>,
    /// Another centre; the same by default.
    unit_id: Option<Uuid>,
    /// Another of the matter's places; the same by default.
    #[schema(inline)]
    place: Option<Place>,
    /// For `home`; the one that there is by default. 1 to 200 characters.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    address: Option<String>,
}

/// A move, and what it is decided with.
#[derive(Clone)]
struct Rescheduling {
    caller: Caller,
    scope: Scope,
    command: RescheduleAppointment,
    rules: Rules,
    audit: Audit,
}

impl Rescheduling {
    fn run(&self, conn: &mut PgConnection, app: &App, id: Uuid) -> Result<Appointment> {
        let (caller, command, now) = (&self.caller, &self.command, self.rules.now);
        let me = (caller.subject, local_date(now));
        let row = store::find(conn, self.scope, me, id)?.ok_or(Code::NotFound)?;
        rules::give_up(&row, Move::Reschedule, &self.rules.settings, caller.is_resident(), now)?;
        let resident = row.resident_id.ok_or_else(booking::resident_unknown)?;
        let (county, matter, starts_at) = (row.county_id, row.matter_id, command.starts_at.to_utc());
        let unit = command.unit_id.unwrap_or(row.unit_id);
        // Residents move within what is the public's; staff within their own, whoever had booked.
        let channel = match (caller.is_resident(), row.channel) {
            (true, _) => Channel::Public,
            (false, Channel::Public) => Channel::Proxy,
            (false, channel) => channel,
        };
        booking::own_desk(conn, self.scope, channel, unit)?;
        let about = About { county, unit, matter, resident, starts_at, but: Some(row.id), now };
        let known = facts(conn, &self.rules.settings, about)?;
        let Some(known) = known else { return Err(booking::unknown(conn, county, unit)?) };
        if known.holding {
            // What has run out and was not tidied up yet is not in the way.
            writing::lapse_expired(conn, (county, resident), now)?;
        }
        let (placed, nth) = self.rules.place(&known, (channel, Some(command.place.unwrap_or(row.place))), starts_at)?;
        let address = match (&command.address, placed.place) {
            (None, Place::Home) if row.address.is_some() => row.address.clone(),
            (address, place) => {
                rules::address(place, address.as_deref())?;
                booking::sealed(app, county, row.id, place, address.as_deref())
            }
        };
        let moved = Moved { unit, channel, placed, address, nth, by: Some(caller.subject), now };
        writing::reschedule(conn, &row, moved)?;
        notices::withdraw(conn, county, row.id, now)?;
        if row.resident_id != Some(caller.subject) {
            audit::record(conn, caller, now, &self.audit)?;
        }
        store::for_job(conn, county, id)?.ok_or_else(|| Code::NotFound.into())
    }
}

/// Move an appointment
///
/// One atomic step: the new place is taken in the moment in which the old one comes back, or nothing changes. The appointment keeps
/// its id and its history (`GET /v1/appointments/{id}/history`). Residents may as long as they could cancel, staff until it begins;
/// the new time is under the same limits as a booking.
#[utoipa::path(tag = "appointments", security(("token" = ["appointments:book"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = RescheduleAppointment, responses((status = 200, description = "As it is now", body = AppointmentView)),
    extensions(("x-errors" = json!(["identity_needed", "slot_full", "slot_waited_for", "already_booked", "booking_paused", "no_specialist", "slot_not_offered", "booking_window", "not_booked", "cancel_too_late"]))))]
#[post("/v1/appointments/{id}/reschedule")]
pub async fn reschedule_appointment(
    caller: Can<BookAppointments>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<RescheduleAppointment>,
) -> Result<Answer> {
    let once = Once::new(&caller, "reschedule_appointment", key, body.digest);
    let rules = Rules::of(&app, &caller).await?;
    let audit = Audit::new("reschedule", "appointment", id.0);
    let (scope, inner) = (caller.scope, app.clone());
    let step = Rescheduling { caller: Caller::clone(&caller), scope, command: body.value, rules, audit };
    app.once(once, move |conn| {
        let row = step.run(conn, &inner, id.0)?;
        Answer::ok(row.version, &AppointmentView::new(&inner, &step.caller, lang, row)?)
    })
    .await
}

/// Why.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "临时有事"}))]
pub struct CancelAppointment {
    /// Up to 200 characters. What staff say is told to the resident with the cancellation, and to the relative who booked.
    #[validate(length(max = 200))]
    #[schema(max_length = 200)]
    reason: Option<String>,
}

/// Cancel an appointment
///
/// Gives the place back at once, to the first of the waiting list if there is one. Residents may until 2 hours before the start
/// (configurable), staff until it begins; what is only held, and a ticket that waits in the hall, at any time.
#[utoipa::path(tag = "appointments", security(("token" = ["appointments:cancel"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = CancelAppointment, responses((status = 200, description = "Cancelled", body = AppointmentView)),
    extensions(("x-errors" = json!(["already_cancelled", "not_booked", "cancel_too_late"]))))]
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
        rules::give_up(&row, Move::Cancel, &settings, who.is_resident(), now)?;
        // Who cancels for somebody else is on record.
        if row.resident_id != Some(who.subject) {
            audit::record(conn, &who, now, &entry)?;
        }
        if !writing::cancel(conn, (scope.county, row.id), reason.as_deref(), Some(who.subject), now)? {
            // Decided again: it says what somebody else has just done.
            return Err(Error { retry: Retry::Again, ..AppointmentError::AlreadyCancelled.into() });
        }
        notices::withdraw(conn, scope.county, row.id, now)?;
        row.state = AppointmentState::Cancelled;
        (row.cancelled_at, row.cancel_reason, row.updated_at) = (Some(now), reason.clone(), now);
        row.version += 1;
        Answer::ok(row.version, &AppointmentView::new(&inner, &who, lang, row)?)
    })
    .await
}
