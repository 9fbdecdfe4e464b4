//! Calling: who is next, this very one, again, did not come, being served, done, to another window.

use std::sync::Arc;

use actix_web::{post, web::Data};
use chrono::{DateTime, Utc};
use diesel::{PgConnection, RunQueryDsl};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    arriving::Rules,
    model::{Ticket, TicketView},
    rules::{self, Outcome},
    store::{self, CallNext, Hand},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    db::found,
    error::{Code, Error, Lang, Result},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::ServeQueue,
        valid::{Id, Valid},
    },
};

/// A button somebody pressed at the desk: who, when, and what the audit log calls it.
pub struct Button {
    pub who: Caller,
    pub hand: Hand,
    pub now: DateTime<Utc>,
    entry: Audit,
    lang: Lang,
    app: Arc<App>,
}

impl Button {
    pub fn new(caller: &Can<ServeQueue>, app: &Data<App>, lang: Lang, action: &'static str, id: Uuid) -> Self {
        let (who, hand) = (Caller::clone(caller), Hand { scope: caller.scope, me: caller.subject });
        let (now, entry) = (app.clock.now(), Audit::new(action, "appointment", id));
        Self { who, hand, now, entry, lang, app: app.clone().into_inner() }
    }

    pub fn because(self, reason: Option<String>) -> Self {
        Self { entry: self.entry.because(reason), ..self }
    }

    /// Decides on the locked ticket and does it.
    pub fn press(
        &self,
        conn: &mut PgConnection,
        id: Uuid,
        rule: impl FnOnce(&mut PgConnection, &Ticket) -> Result<Outcome>,
    ) -> Result<Answer> {
        let row = store::lock(conn, self.hand, id)?;
        let row = match rule(conn, &row)? {
            Outcome::Already => row,
            Outcome::Becomes(new) => store::apply(conn, *new, self.who.staff(), self.now)?,
        };
        self.answer(conn, row)
    }

    fn answer(&self, conn: &mut PgConnection, row: Ticket) -> Result<Answer> {
        audit::record(conn, &self.who, self.now, &self.entry.of(row.id))?;
        Answer::ok(row.version, &TicketView::new(&self.app, self.lang, row)?)
    }

    fn call_next(&self, conn: &mut PgConnection, window: Uuid, rules: Rules) -> Result<Answer> {
        let desk = store::lock_desk(conn, self.hand, window)?.ok_or(Code::NotFound)?;
        rules::free(&desk)?;
        let next = CallNext {
            county: self.who.county,
            unit: desk.unit_id,
            window,
            matters: desk.matters,
            today: local_date(self.now),
            soon: self.now + rules.grace,
            by: self.who.subject,
            now: self.now,
        };
        let row = found(next.get_result(conn))?.ok_or(Code::NobodyWaits)?;
        self.answer(conn, row)
    }
}

/// A command without words.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct QueueCommand {}

/// Which window.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"window_id": "0199a0c0-0000-7000-8000-0000000000c1"}))]
pub struct ToWindow {
    /// A window of the same centre.
    window_id: Uuid,
}

fn unknown_window() -> Error {
    Error::field("/window_id", "unknown_window", "本中心没有这个窗口", "the centre has no such window")
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
pub async fn call_next_ticket(
    caller: Can<ServeQueue>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<QueueCommand>,
) -> Result<Answer> {
    let once = Once::new(&caller, "call_next_ticket", key, body.digest);
    let rules = Rules::of(&app, &caller.county_key).await?;
    let button = Button::new(&caller, &app, lang, "call", id.0);
    app.once(once, {
        let button = Arc::new(button);
        move |conn| button.call_next(conn, id.0, rules)
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
pub async fn call_ticket(
    caller: Can<ServeQueue>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<ToWindow>,
) -> Result<Answer> {
    let once = Once::new(&caller, "call_ticket", key, body.digest);
    let (window, button) = (body.value.window_id, Arc::new(Button::new(&caller, &app, lang, "call", id.0)));
    app.once(once, move |conn| {
        // Windows are locked before tickets, as by `call_next`.
        let desk = store::lock_desk(conn, button.hand, window)?;
        button.press(conn, id.0, |_, row| {
            let desk = desk.filter(|desk| desk.unit_id == row.unit_id).ok_or_else(unknown_window)?;
            rules::call(row, &desk, button.now)
        })
    })
    .await
}

/// Call again
///
/// The resident gets another message. Within 10 seconds of the last call nothing happens: that is the same press.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "The ticket", body = TicketView)), extensions(("x-errors" = json!(["not_booked"]))))]
#[post("/v1/appointments/{id}/recall")]
pub async fn recall_ticket(
    caller: Can<ServeQueue>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<QueueCommand>,
) -> Result<Answer> {
    let once = Once::new(&caller, "recall_ticket", key, body.digest);
    let button = Arc::new(Button::new(&caller, &app, lang, "recall", id.0));
    app.once(once, move |conn| button.press(conn, id.0, |_, row| rules::recall(row, button.now))).await
}

/// Skip a ticket
///
/// Called and did not come: back into the line, behind those who wait now. After the third call in vain (`queue.calls`) it is
/// missed (过号); whoever comes after all arrives again with the same ticket.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "The ticket", body = TicketView)), extensions(("x-errors" = json!(["not_booked"]))))]
#[post("/v1/appointments/{id}/skip")]
pub async fn skip_ticket(
    caller: Can<ServeQueue>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<QueueCommand>,
) -> Result<Answer> {
    let once = Once::new(&caller, "skip_ticket", key, body.digest);
    let rules = Rules::of(&app, &caller.county_key).await?;
    let button = Arc::new(Button::new(&caller, &app, lang, "skip", id.0));
    app.once(once, move |conn| button.press(conn, id.0, |_, row| rules::skip(row, rules.calls, button.now))).await
}

/// Serve a ticket
///
/// Who was called is here. Pressed twice it changes nothing.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "The ticket", body = TicketView)), extensions(("x-errors" = json!(["not_booked"]))))]
#[post("/v1/appointments/{id}/serve")]
pub async fn serve_ticket(
    caller: Can<ServeQueue>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<QueueCommand>,
) -> Result<Answer> {
    let once = Once::new(&caller, "serve_ticket", key, body.digest);
    let button = Arc::new(Button::new(&caller, &app, lang, "serve", id.0));
    app.once(once, move |conn| button.press(conn, id.0, |_, row| rules::serve(row, button.now))).await
}

/// Finish
///
/// At the centre after being served; at home, by phone and by video, where nobody stands in line, from the start of the
/// appointment on. Pressed twice it changes nothing.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "Done", body = TicketView)), extensions(("x-errors" = json!(["not_booked", "not_begun"]))))]
#[post("/v1/appointments/{id}/finish")]
pub async fn finish_appointment(
    caller: Can<ServeQueue>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<QueueCommand>,
) -> Result<Answer> {
    let once = Once::new(&caller, "finish_appointment", key, body.digest);
    let button = Arc::new(Button::new(&caller, &app, lang, "finish", id.0));
    app.once(once, move |conn| button.press(conn, id.0, |_, row| rules::finish(row, button.now))).await
}

/// Transfer a ticket
///
/// Somebody who is called or served waits at the front for another open window of the centre, which calls them next. While
/// that window is paused or closed, any other that serves the matter may.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = ToWindow, responses((status = 200, description = "The ticket", body = TicketView)), extensions(("x-errors" = json!(["not_booked", "window_closed"]))))]
#[post("/v1/appointments/{id}/transfer")]
pub async fn transfer_ticket(
    caller: Can<ServeQueue>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<ToWindow>,
) -> Result<Answer> {
    let once = Once::new(&caller, "transfer_ticket", key, body.digest);
    let (window, button) = (body.value.window_id, Arc::new(Button::new(&caller, &app, lang, "transfer", id.0)));
    app.once(once, move |conn| {
        button.press(conn, id.0, |conn, row| {
            let desk = store::desk(conn, button.who.county, window)?;
            let desk = desk.filter(|desk| desk.unit_id == row.unit_id).ok_or_else(unknown_window)?;
            rules::transfer(row, &desk)
        })
    })
    .await
}
