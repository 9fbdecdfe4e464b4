//! One's own devices: the sessions that live, and ending one of them.

use actix_web::{HttpResponse, delete, get, web::Data};
use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{live, model::Session, store};
use crate::{
    app::App,
    clock::CST,
    error::{Code, Result},
    http::{
        caller::Can,
        page::{self, After, Page},
        permissions::{OwnSession, Role},
        valid::{Id, Query},
    },
};

/// A session, as a line of the list of devices.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000aa", "current": true, "device": "HUAWEI Mate 70", "role": "village_cadre",
    "unit_id": "0199a0c0-0000-7000-8000-000000000002", "covers_id": null, "created_at": "2026-11-21T08:30:00+08:00",
    "refreshed_at": "2026-11-21T12:00:00+08:00", "expires_at": "2026-12-21T12:00:00+08:00"}))]
pub struct DeviceView {
    pub id: Uuid,
    /// Whether it is the session of this request.
    pub current: bool,
    /// What the device called itself at the login.
    pub device: Option<String>,
    pub role: Role,
    pub unit_id: Option<Uuid>,
    /// The absent colleague in whose post it acts.
    pub covers_id: Option<Uuid>,
    pub created_at: DateTime<FixedOffset>,
    /// When it was last refreshed.
    pub refreshed_at: DateTime<FixedOffset>,
    pub expires_at: DateTime<FixedOffset>,
}

impl DeviceView {
    pub fn new(session: Session, current: Uuid) -> Self {
        Self {
            id: session.id,
            current: session.id == current,
            device: session.device,
            role: session.role,
            unit_id: session.unit_id,
            covers_id: session.covers_id,
            created_at: session.created_at.with_timezone(&CST),
            refreshed_at: session.rotated_at.with_timezone(&CST),
            expires_at: session.expires_at.with_timezone(&CST),
        }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OwnSessionsQuery {
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List one's own sessions
///
/// Where one is logged in: the sessions that live, oldest first.
#[utoipa::path(tag = "sessions", security(("token" = ["sessions:own"])), params(OwnSessionsQuery),
    responses((status = 200, description = "A page of sessions", body = Page<DeviceView>)))]
#[get("/v1/sessions")]
pub async fn list_own_sessions(
    caller: Can<OwnSession>,
    app: Data<App>,
    query: Query<OwnSessionsQuery>,
) -> Result<HttpResponse> {
    let limit = page::limit(query.0.limit)?;
    let after = page::after(&app.keys, "sessions", query.0.cursor.as_deref())?;
    let (county, me, now) = (caller.county, caller.subject, app.clock.now());
    let count = query.0.count.unwrap_or(false);
    let read = app.db.read("list_own_sessions", move |conn| {
        let total = if count { Some(store::count_of(conn, county, me, now)?) } else { None };
        Ok((store::live_of(conn, county, me, after, (limit, now))?, total))
    });
    let (rows, total) = read.await?;
    let place = |session: &Session| After { at: session.created_at, id: session.id };
    let view = |session| Ok(DeviceView::new(session, caller.session));
    let page = page::cut(&app.keys, "sessions", rows, limit as usize, place, view)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// End one of one's own sessions
///
/// For a lost phone: takes effect within 5 seconds. A second time changes nothing.
#[utoipa::path(tag = "sessions", security(("token" = ["sessions:own"])), params(("id" = Uuid, Path, description = "The session")),
    responses((status = 204, description = "Ended")))]
#[delete("/v1/sessions/{id}")]
pub async fn end_own_session(caller: Can<OwnSession>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (county, me, now) = (caller.county, caller.subject, app.clock.now());
    let write = app.db.write("end_own_session", move |conn| {
        let session = store::lock(conn, county, id.0)?.filter(|session| session.subject() == me);
        session.ok_or(Code::NotFound)?;
        Ok(store::end(conn, county, id.0, "device", now)?)
    });
    write.await?;
    live::tell_ended(&app, id.0).await;
    Ok(HttpResponse::NoContent().finish())
}
