//! The line of a centre as it stands now: who is ahead of whom, and how long it takes.

use actix_web::{HttpResponse, get, http::header, web::Data};
use chrono::{DateTime, FixedOffset, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    arriving::Rules,
    model::{Desk, Ticket, TicketView, local},
    pausing::QueueWindowView,
    rules,
    store::{self, Done, Hand},
};
use crate::{
    app::App,
    appointments::{self, model::AppointmentState as State},
    clock::local_date,
    error::{Code, Lang, Result},
    http::{
        caller::Can,
        permissions::{ReadAppointments, ReadQueue},
        valid::{Id, Query},
    },
};

/// A centre at this moment.
pub struct Line {
    pub desks: Vec<Desk>,
    /// In the order in which they are called.
    pub waiting: Vec<Ticket>,
    /// Called or being served.
    pub at_desks: Vec<Ticket>,
    pub done: Done,
    pub service_minutes: f64,
    /// Of those who wait: who is ahead, and the windows that call them.
    places: Vec<(usize, usize)>,
}

impl Line {
    pub fn read(conn: &mut PgConnection, here: (i32, Uuid), rules: Rules, now: DateTime<Utc>) -> Result<Self> {
        let (county, unit) = here;
        let today = local_date(now);
        let desks = store::desks(conn, county, unit)?;
        let all = store::line(conn, here, today, now + rules.grace)?;
        let done = store::done(conn, county, unit, today)?;
        let service_minutes = rules::service_minutes(done.timed, done.mean_seconds, rules.service_minutes);
        let (waiting, at_desks): (Vec<_>, Vec<_>) = all.into_iter().partition(|row| row.state == State::Arrived);
        let places = places(&desks, &waiting);
        Ok(Self { desks, waiting, at_desks, done, service_minutes, places })
    }

    /// People ahead of the one at this place of the line, and minutes until their turn.
    pub fn wait(&self, index: usize) -> (usize, Option<i64>) {
        let (ahead, windows) = self.places[index];
        (ahead, rules::estimate(ahead, self.service_minutes, windows))
    }

    /// [`wait`](Self::wait) for a ticket, if it waits.
    pub fn wait_of(&self, id: Uuid) -> Option<(usize, Option<i64>)> {
        self.waiting.iter().position(|row| row.id == id).map(|index| self.wait(index))
    }
}

/// The windows that would call a ticket: the one it was transferred to while that calls, otherwise all that serve its matter.
fn callers(desks: &[Desk], row: &Ticket) -> Vec<usize> {
    let calling = || desks.iter().enumerate().filter(|(_, desk)| desk.calls());
    match calling().find(|(_, desk)| row.desk_id == Some(desk.id)) {
        Some((index, _)) => vec![index],
        None => calling().filter(|(_, desk)| desk.matters.contains(&row.matter_id)).map(|(index, _)| index).collect(),
    }
}

/// For each who waits, those ahead who are called by one of the same windows, and how many windows that are. While no window
/// calls somebody, those ahead are those of the same matter.
fn places(desks: &[Desk], waiting: &[Ticket]) -> Vec<(usize, usize)> {
    let all: Vec<_> = waiting.iter().map(|row| callers(desks, row)).collect();
    let rival = |one: usize, other: usize| match all[one].is_empty() {
        true => waiting[one].matter_id == waiting[other].matter_id,
        false => all[one].iter().any(|desk| all[other].contains(desk)),
    };
    (0..waiting.len()).map(|me| ((0..me).filter(|other| rival(me, *other)).count(), all[me].len())).collect()
}

/// Somebody who waits.
#[derive(Serialize, ToSchema)]
pub struct WaitingView {
    pub ticket: TicketView,
    /// People who would be called before.
    pub ahead: usize,
    /// None while no window calls.
    pub estimated_minutes: Option<i64>,
}

/// A centre's line.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"at": "2026-11-23T09:00:00+08:00", "service_minutes": 10.0, "done": 4, "missed": 0, "at_windows": [], "line": [],
    "windows": [{"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "民生事务窗口", "open": true, "paused_at": null, "ticket": null, "ticket_state": null}]}))]
pub struct QueueView {
    pub at: DateTime<FixedOffset>,
    pub windows: Vec<QueueWindowView>,
    /// Called or being served.
    pub at_windows: Vec<TicketView>,
    /// Who waits, first the one who is next.
    pub line: Vec<WaitingView>,
    /// How long serving somebody takes: today's mean from the fifth on, before that `queue.service_minutes`.
    pub service_minutes: f64,
    /// Served today.
    pub done: i64,
    /// Missed their calls today.
    pub missed: i64,
    /// They themselves, the last first, up to 200; only if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed_tickets: Option<Vec<TicketView>>,
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct QueueQuery {
    /// Also the tickets that have missed their calls today: whoever comes back after all arrives again.
    #[param(default = false)]
    missed: Option<bool>,
}

/// A centre's line now
///
/// Windows with what they call or serve, and who waits in the order in which they are called. Estimated minutes are the people
/// ahead × the mean time of serving today ÷ the windows that are open, not paused and serve the matter, rounded up.
#[utoipa::path(tag = "queue", security(("token" = ["queue:read"])), params(("id" = Uuid, Path, description = "The unit"), QueueQuery),
    responses((status = 200, description = "The line", body = QueueView)))]
#[get("/v1/units/{id}/queue")]
pub async fn get_unit_queue(
    caller: Can<ReadQueue>,
    id: Id,
    lang: Lang,
    app: Data<App>,
    query: Query<QueueQuery>,
) -> Result<HttpResponse> {
    let now = app.clock.now();
    let hand = Hand::of(&caller, now);
    let rules = Rules::of(&app, &caller.county_key).await?;
    let (here, wanted) = ((caller.county, id.0), query.0.missed.unwrap_or(false));
    let read = app.db.read("get_unit_queue", move |conn| {
        store::reach(conn, hand, id.0)?;
        let missed = if wanted { Some(store::missed(conn, here, hand.today)?) } else { None };
        Ok((Line::read(conn, here, rules, now)?, missed))
    });
    let (line, missed) = read.await?;
    let view = |row: &Ticket| TicketView::new(&app, lang, row.clone());
    let waiting = line.waiting.iter().enumerate().map(|(index, row)| {
        let (ahead, estimated_minutes) = line.wait(index);
        Ok(WaitingView { ticket: view(row)?, ahead, estimated_minutes })
    });
    let view = QueueView {
        at: local(now),
        windows: line.desks.iter().map(QueueWindowView::from).collect(),
        at_windows: line.at_desks.iter().map(view).collect::<Result<_>>()?,
        line: waiting.collect::<Result<_>>()?,
        service_minutes: line.service_minutes,
        done: line.done.done,
        missed: line.done.missed,
        missed_tickets: missed.map(|rows| rows.iter().map(view).collect::<Result<_>>()).transpose()?,
    };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// Where one stands in line.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"ticket": "A001", "state": "arrived", "state_name": "已到场", "ahead": 2, "estimated_minutes": 10, "window": null, "calls": 0}))]
pub struct PlaceInLineView {
    /// None before the arrival.
    pub ticket: Option<String>,
    pub state: State,
    /// The state in the language of the request.
    pub state_name: String,
    /// People who would be called before; only while waiting.
    pub ahead: Option<usize>,
    /// None when not waiting, and while no window calls.
    pub estimated_minutes: Option<i64>,
    /// The name of the window that calls or serves.
    pub window: Option<String>,
    /// How often the ticket was called.
    pub calls: i16,
}

/// One's place in line
///
/// For whoever may see the appointment: ticket, people ahead and estimated minutes, to be asked again every half minute.
#[utoipa::path(tag = "queue", security(("token" = ["appointments:read"])), params(("id" = Uuid, Path, description = "The appointment")),
    responses((status = 200, description = "The place", body = PlaceInLineView)))]
#[get("/v1/appointments/{id}/queue")]
pub async fn get_appointment_queue(
    caller: Can<ReadAppointments>,
    id: Id,
    lang: Lang,
    app: Data<App>,
) -> Result<HttpResponse> {
    let (scope, now) = (caller.scope, app.clock.now());
    let me = (caller.subject, local_date(now));
    let rules = Rules::of(&app, &caller.county_key).await?;
    let read = app.db.read("get_appointment_queue", move |conn| {
        let seen = appointments::store::find(conn, scope, me, id.0)?.ok_or(Code::NotFound)?;
        let row = store::ticket(conn, scope.county, seen.id)?;
        let waits = row.state == State::Arrived && local_date(row.starts_at) == local_date(now);
        let line = waits.then(|| Line::read(conn, (scope.county, row.unit_id), rules, now)).transpose()?;
        let wait = line.and_then(|line| line.wait_of(row.id));
        Ok((row, wait))
    });
    let (row, wait) = read.await?;
    let at_desk = matches!(row.state, State::Called | State::Serving);
    let view = PlaceInLineView {
        ticket: row.ticket,
        state: row.state,
        state_name: row.state.words().get(lang).to_owned(),
        ahead: wait.map(|(ahead, _)| ahead),
        estimated_minutes: wait.and_then(|(_, minutes)| minutes),
        window: row.desk_name.filter(|_| at_desk),
        calls: row.calls,
    };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}
