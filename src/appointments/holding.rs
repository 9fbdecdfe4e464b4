//! Booking in two steps: a place is held while the form is filled in.

use actix_web::post;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    booking::{BookAppointment, sealed, take},
    model::AppointmentState,
    rules, store,
    views::AppointmentView,
    writing,
};
use crate::{
    audit::{self, Audit},
    clock::local_date,
    error::{Code, Result},
    http::{
        caller::{Caller, Can},
        command::Command,
        document::IdempotencyHeader,
        idempotency::{Answer, Once},
        permissions::BookAppointments,
        valid::Id,
    },
};

/// Hold a place
///
/// Keeps a place for 5 minutes (configurable) while the form is filled in; then `POST /v1/appointments/{id}/book`. A resident has one
/// hold at a time: a new one gives the old one's place back. A hold that runs out gives its place back by itself. The same limits as
/// for booking.
#[utoipa::path(tag = "appointments", security(("token" = ["appointments:book"])), params(IdempotencyHeader), request_body = BookAppointment,
    responses((status = 201, description = "Held", body = AppointmentView)),
    extensions(("x-errors" = json!(["identity_needed", "slot_full", "slot_waited_for", "already_booked", "booking_paused", "no_specialist", "slot_not_offered", "booking_window"]))))]
#[post("/v1/holds")]
pub async fn hold_appointment(caller: Can<BookAppointments>, command: Command<BookAppointment>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "hold_appointment", key, digest);
    take(caller, once, lang, app, body, true).await
}

/// What was still missing.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct BookHeld {
    /// Where to come, for `home` and only there, unless the hold said it; 1 to 200 characters.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    address: Option<String>,
}

/// Book a held place
///
/// Turns a hold, or an offer of the waiting list, into a booking while it is kept; `hold_expired` afterwards.
#[utoipa::path(tag = "appointments", security(("token" = ["appointments:book"])), params(("id" = Uuid, Path, description = "The held appointment"), IdempotencyHeader),
    request_body = BookHeld, responses((status = 200, description = "Booked", body = AppointmentView)),
    extensions(("x-errors" = json!(["hold_expired", "not_booked"]))))]
#[post("/v1/appointments/{id}/book")]
pub async fn book_held_appointment(
    caller: Can<BookAppointments>,
    id: Id,
    command: Command<BookHeld>,
) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "book_held_appointment", key, digest);
    let (who, scope, now, inner) = (Caller::clone(&caller), caller.scope, app.clock.now(), app.clone());
    let entry = Audit::new("book", "appointment", id.0);
    app.once(once, move |conn| {
        let mut row = store::find(conn, scope, (who.subject, local_date(now)), id.0)?.ok_or(Code::NotFound)?;
        rules::book(&row, now)?;
        let address = match &body.address {
            None if row.address.is_some() => row.address.clone(),
            address => {
                rules::address(row.place, address.as_deref())?;
                sealed(&inner, row.county_id, row.id, row.place, address.as_deref())
            }
        };
        writing::book(conn, &row, address.clone(), who.subject, now)?;
        if row.resident_id != Some(who.subject) {
            audit::record(conn, &who, now, &entry)?;
        }
        (row.state, row.address, row.updated_at) = (AppointmentState::Booked, address, now);
        row.version += 1;
        Answer::ok(row.version, &AppointmentView::new(&inner, &who, lang, row)?)
    })
    .await
}
