//! Changing a window: its name, state, matters and officer.

use actix_web::{HttpResponse, http::header, put, web::Data};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    affected::Centre,
    presence,
    settle::{AffectedView, Decision, Frame, Order, Plan},
    store,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    db::changes,
    error::{Code, Result},
    http::{
        caller::{Can, Scope},
        document::IfMatchHeader,
        etag::{IfMatch, etag},
        permissions::WriteWindows,
        valid::{Id, Valid},
    },
    windows::{self, Window, WindowState, WindowView},
};

/// More than this are counted, not listed.
pub(super) const LISTED: usize = 1_000;

/// A window as it is, and what became of the bookings that a change affected.
#[derive(Serialize, ToSchema)]
pub struct WindowChangeView {
    #[serde(flatten)]
    pub window: WindowView,
    /// Nothing was changed.
    pub dry_run: bool,
    /// How many bookings fit no more.
    pub affected_count: usize,
    /// They themselves, earliest first: of a dry run up to 1,000, otherwise up to 100.
    pub affected: Vec<AffectedView>,
}

/// Answers a window after a change, or as it still is after a dry run.
pub(super) fn answer(
    conn: &mut PgConnection,
    frame: &Frame,
    window: Window,
    (plan, order, most): (&Plan, &Order, usize),
) -> Result<WindowChangeView> {
    Ok(WindowChangeView {
        window: windows::view(conn, frame.caller.county, window, local_date(frame.now))?,
        dry_run: order.dry_run,
        affected_count: plan.len(),
        affected: plan.views(frame, order, most)?,
    })
}

pub(super) fn respond(view: WindowChangeView) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::ETAG, etag(view.window.version))).json(view)
}

/// A window that the caller may change, behind the gate of its centre: read again there, because somebody else may just have
/// changed it.
pub(super) fn behind_the_gate(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Window> {
    let window = windows::reachable(conn, scope, id)?;
    store::gate(conn, scope.county, window.unit_id)?;
    windows::reachable(conn, scope, id)
}

/// The whole window as it shall be, and what becomes of bookings that fit no more.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "民生事务窗口", "state": "closed", "matter_ids": [], "officer_id": null, "affected": "move", "reason": "窗口合并"}))]
pub struct UpdateWindow {
    /// 1 to 64 characters, unique in the centre.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    state: WindowState,
    /// Up to 100 matters that it serves.
    #[validate(length(max = 100))]
    #[schema(max_items = 100)]
    matter_ids: Vec<Uuid>,
    /// Who sits there: an active member of staff with a post of the unit, one above or one below; nobody in particular without it.
    officer_id: Option<Uuid>,
    /// What becomes of bookings that fit no more; required once there are any.
    #[schema(inline)]
    affected: Option<Decision>,
    /// Only list the bookings that would fit no more; nothing changes.
    #[schema(default = false)]
    dry_run: Option<bool>,
    /// Told to those whose appointment is cancelled. 1 to 200 characters.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
}

impl UpdateWindow {
    fn order(&self) -> Order {
        let (decision, dry_run) = (self.affected, self.dry_run.unwrap_or(false));
        Order { decision, dry_run, reason: self.reason.clone() }
    }

    fn run(
        &self,
        conn: &mut PgConnection,
        frame: &Frame,
        scope: Scope,
        id: Uuid,
        seen: &IfMatch,
        entry: &Audit,
    ) -> Result<WindowChangeView> {
        let (county, order, now) = (scope.county, self.order(), frame.now);
        let window = behind_the_gate(conn, scope, id)?;
        seen.check(window.version)?;
        windows::check_matters(conn, county, &self.matter_ids)?;
        if self.officer_id != window.officer_id {
            windows::check_officer(conn, county, self.officer_id, window.unit_id)?;
        }
        let change = |centre: &mut Centre| {
            if let Some(desk) = centre.desk(id) {
                desk.open = self.state == WindowState::Open;
                desk.serves.clone_from(&self.matter_ids);
            }
        };
        let plan = frame.plan(conn, window.unit_id, change)?;
        if order.dry_run {
            return answer(conn, frame, window, (&plan, &order, LISTED));
        }
        plan.decided(&order)?;
        let (key, values) = ((county, id, window.version), (self.name.trim(), self.state, self.officer_id));
        let window = windows::update(conn, key, values, now)?.ok_or(Code::VersionStale)?;
        windows::serve(conn, county, id, &self.matter_ids)?;
        plan.carry_out(conn, frame, &order)?;
        presence::check(conn, county, &[id], now)?;
        audit::record(conn, &frame.caller, now, entry)?;
        changes::record(conn, windows::window_changed(county, id, window.unit_id), now)?;
        answer(conn, frame, window, (&plan, &order, LISTED))
    }
}

/// Change a window
///
/// Renames, opens or closes it, and sets what it serves and who sits there. If bookings fit no more because of it, `affected` says
/// what becomes of them: `keep`, `move` to the nearest free time of the centre (cancelled, with a todo to call, where there is none),
/// or `cancel`; each with a notice to the resident. Without it nothing changes (`bookings_affected`); `dry_run` lists them.
#[utoipa::path(tag = "windows", security(("token" = ["windows:write"])), params(("id" = Uuid, Path, description = "The window"), IfMatchHeader),
    request_body = UpdateWindow, responses((status = 200, description = "As it is now", body = WindowChangeView, example = json!({"id": "0199a0c0-0000-7000-8000-0000000000c1", "unit_id": "0199a0c0-0000-7000-8000-000000000001", "name": "民生事务窗口", "state": "open", "officer": null, "paused_at": null, "matter_ids": [], "opening_rules": [], "version": 3, "dry_run": false, "affected_count": 0, "affected": []}))),
    extensions(("x-errors" = json!(["name_taken", "bookings_affected"]))))]
#[put("/v1/windows/{id}")]
pub async fn update_window(
    caller: Can<WriteWindows>,
    id: Id,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<UpdateWindow>,
) -> Result<HttpResponse> {
    let (frame, scope, command) = (Frame::new(&app, &caller).await?, caller.scope, body.value);
    let mut entry = Audit::new("update", "window", id.0);
    entry.reason = command.reason.clone();
    let write = app.db.write("update_window", move |conn| command.run(conn, &frame, scope, id.0, &seen, &entry));
    let view = write.await?;
    app.rendered.forget();
    Ok(respond(view))
}
