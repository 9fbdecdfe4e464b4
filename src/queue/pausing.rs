//! Pausing a window (暂停办理), and going on.

use actix_web::{post, web::Data};
use chrono::{DateTime, FixedOffset};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    buttons::QueueCommand,
    model::{Desk, local},
    store::{self, Hand},
};
use crate::{
    app::App,
    appointments::model::AppointmentState,
    audit::{self, Audit},
    db::changes::{self, Change},
    error::{Code, Result},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::ServeQueue,
        valid::{Id, Valid},
    },
};

/// A window as the hall sees it, with the ticket that it calls or serves.
#[derive(Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "民生事务窗口", "open": true, "paused_at": null, "ticket": "A001", "ticket_state": "called"}))]
pub struct QueueWindowView {
    pub id: Uuid,
    pub name: String,
    pub open: bool,
    /// Calls nobody since then.
    pub paused_at: Option<DateTime<FixedOffset>>,
    pub ticket: Option<String>,
    /// `called` or `serving`.
    #[schema(inline)]
    pub ticket_state: Option<AppointmentState>,
}

impl From<&Desk> for QueueWindowView {
    fn from(desk: &Desk) -> Self {
        Self {
            id: desk.id,
            name: desk.name.clone(),
            open: desk.open,
            paused_at: desk.paused_at.map(local),
            ticket: desk.ticket.clone(),
            ticket_state: desk.ticket_state,
        }
    }
}

async fn set(app: Data<App>, caller: Can<ServeQueue>, (id, pause): (Uuid, bool), once: Once) -> Result<Answer> {
    let (who, now) = (Caller::clone(&caller), app.clock.now());
    let hand = Hand::of(&caller, now);
    let entry = Audit::new(if pause { "pause" } else { "resume" }, "window", id);
    let answer = app
        .once(once, move |conn| {
            let county = who.county;
            let mut desk = store::lock_desk(conn, hand, id)?.ok_or(Code::NotFound)?;
            if desk.paused_at.is_some() != pause {
                let at = pause.then_some(now);
                store::pause(conn, (county, id), at, now)?;
                audit::record(conn, &who, now, &entry)?;
                let change = Change {
                    county,
                    entity: "window",
                    entity_id: id,
                    unit_id: Some(desk.unit_id),
                    resident_id: None,
                    staff_id: None,
                    gone: false,
                };
                changes::record(conn, change, now)?;
                (desk.paused_at, desk.version) = (at, desk.version + 1);
            }
            Answer::ok(desk.version, &QueueWindowView::from(&desk))
        })
        .await;
    app.rendered.forget();
    answer
}

/// Pause a window
///
/// It calls nobody until it goes on; whoever is there is served to the end, its bookings stay, and other windows call its line.
/// Pressed twice it changes nothing.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The window"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "The window", body = QueueWindowView)))]
#[post("/v1/windows/{id}/pause")]
pub async fn pause_window(
    caller: Can<ServeQueue>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<QueueCommand>,
) -> Result<Answer> {
    let once = Once::new(&caller, "pause_window", key, body.digest);
    set(app, caller, (id.0, true), once).await
}

/// Go on after a pause
///
/// Pressed twice it changes nothing.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The window"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "The window", body = QueueWindowView)))]
#[post("/v1/windows/{id}/resume")]
pub async fn resume_window(
    caller: Can<ServeQueue>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<QueueCommand>,
) -> Result<Answer> {
    let once = Once::new(&caller, "resume_window", key, body.digest);
    set(app, caller, (id.0, false), once).await
}
