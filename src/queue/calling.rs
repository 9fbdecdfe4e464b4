//! Calling: who is next, this very one, again, did not come, being served, done, to another window.

use actix_web::post;
use diesel::RunQueryDsl;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    arriving::Rules,
    buttons::{Button, QueueCommand, press},
    model::{Ticket, TicketView},
    rules,
    store::{self, CallNext, Hand},
};
use crate::{
    audit::{self, Audit},
    clock::local_date,
    db::found,
    error::{Code, Result},
    http::{
        caller::{Caller, Can},
        command::Command,
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::{Answer, Once},
        permissions::ServeQueue,
        valid::Id,
    },
};

/// Which window.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"window_id": "0199a0c0-0000-7000-8000-0000000000c1"}))]
pub struct ToWindow {
    /// A window of the same centre.
    window_id: Uuid,
}

/// Call the next one
///
/// First in line among those whom the window serves: whoever was transferred to it; those on time whose slot begins within the
/// grace, in order of their slots; then everybody else by their place in line. Two desks at once get different ones, and a window
/// has one at a time: pressed twice it answers `window_busy` with the ticket. `nobody_waits` when the line is empty.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The window"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "The ticket that is called", body = TicketView)),
    extensions(("x-errors" = json!(["nobody_waits", "window_busy", "window_closed", "window_paused"]))))]
#[post("/v1/windows/{id}/call_next")]
pub async fn call_next_ticket(caller: Can<ServeQueue>, id: Id, command: Command<QueueCommand>) -> Result<Answer> {
    let Command { key, lang, app, digest, .. } = command;
    let once = Once::new(&caller, "call_next_ticket", key, digest);
    let rules = Rules::of(&app, &caller.county_key).await?;
    let (who, now) = (Caller::clone(&caller), app.clock.now());
    let (hand, entry, inner) = (Hand::of(&caller, now), Audit::new("call", "appointment", id.0), app.clone());
    app.once(once, move |conn| {
        let desk = store::lock_desk(conn, hand, id.0)?.ok_or(Code::NotFound)?;
        rules::free(&desk)?;
        let next = CallNext {
            county: who.county,
            unit: desk.unit_id,
            window: id.0,
            matters: desk.matters,
            today: local_date(now),
            soon: now + rules.grace,
            by: who.subject,
            now,
        };
        let row: Ticket = found(next.get_result(conn))?.ok_or(Code::NobodyWaits)?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        Answer::ok(row.version, &TicketView::new(&inner, lang, row)?)
    })
    .await
}

/// Call a ticket
///
/// This very one, out of turn, to any open window of the centre. Of two desks one wins, the other is told where it is
/// (`already_called`).
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = ToWindow, responses((status = 200, description = "The ticket that is called", body = TicketView)),
    extensions(("x-errors" = json!(["already_called", "not_booked", "not_today", "window_busy", "window_closed", "window_paused"]))))]
#[post("/v1/appointments/{id}/call")]
pub async fn call_ticket(caller: Can<ServeQueue>, id: Id, command: Command<ToWindow>) -> Result<Answer> {
    press(caller, id, command, |to| Button::Call(to.window_id)).await
}

/// Call again
///
/// The resident gets another message. Within 10 seconds of the last call nothing happens: that is the same press.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "The ticket", body = TicketView)), extensions(("x-errors" = json!(["not_booked"]))))]
#[post("/v1/appointments/{id}/recall")]
pub async fn recall_ticket(caller: Can<ServeQueue>, id: Id, command: Command<QueueCommand>) -> Result<Answer> {
    press(caller, id, command, |_| Button::Recall).await
}

/// Skip a ticket
///
/// Called and did not come: back into the line, behind those who wait now. After the third call in vain (`queue.calls`) it is
/// missed (过号); whoever comes after all arrives again with the same ticket, behind those who wait. `If-Match` names the call that is
/// meant: another window may have called the ticket meanwhile.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader, IfMatchHeader),
    request_body = QueueCommand, responses((status = 200, description = "The ticket", body = TicketView)), extensions(("x-errors" = json!(["not_booked"]))))]
#[post("/v1/appointments/{id}/skip")]
pub async fn skip_ticket(
    caller: Can<ServeQueue>,
    id: Id,
    seen: IfMatch,
    command: Command<QueueCommand>,
) -> Result<Answer> {
    press(caller, id, command, |_| Button::Skip(seen)).await
}

/// Serve a ticket
///
/// Who was called is here. Pressed twice it changes nothing.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "The ticket", body = TicketView)), extensions(("x-errors" = json!(["not_booked"]))))]
#[post("/v1/appointments/{id}/serve")]
pub async fn serve_ticket(caller: Can<ServeQueue>, id: Id, command: Command<QueueCommand>) -> Result<Answer> {
    press(caller, id, command, |_| Button::Serve).await
}

/// Finish
///
/// At the centre after being served; at home, by phone and by video, where nobody stands in line, from the start of the
/// appointment on. Pressed twice it changes nothing.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "Done", body = TicketView)), extensions(("x-errors" = json!(["not_booked", "not_begun"]))))]
#[post("/v1/appointments/{id}/finish")]
pub async fn finish_appointment(caller: Can<ServeQueue>, id: Id, command: Command<QueueCommand>) -> Result<Answer> {
    press(caller, id, command, |_| Button::Finish).await
}

/// Transfer a ticket
///
/// Somebody who is called or served waits at the front for another open window of the centre, which calls them next. While
/// that window is paused or closed, any other that serves the matter may. `If-Match` names the call that is meant.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader, IfMatchHeader),
    request_body = ToWindow, responses((status = 200, description = "The ticket", body = TicketView)), extensions(("x-errors" = json!(["not_booked", "window_closed"]))))]
#[post("/v1/appointments/{id}/transfer")]
pub async fn transfer_ticket(
    caller: Can<ServeQueue>,
    id: Id,
    seen: IfMatch,
    command: Command<ToWindow>,
) -> Result<Answer> {
    press(caller, id, command, |to| Button::Transfer(to.window_id, seen)).await
}
