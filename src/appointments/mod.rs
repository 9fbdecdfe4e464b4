//! Appointments (预约): held, booked, moved, cancelled; the waiting list; reminders.
//!
//! ```text
//!         ┌─ lapse ─▶ lapsed                      ┌── skip, transfer ──┐
//!       held ── book ─▶ booked ── arrive ─▶ arrived ── call ─▶ called ── serve ─▶ serving ── finish ─▶ done
//!         │               │  ⟲ reschedule      ▲ │               │  ⟲ recall
//!         │               ├─ no show ─▶ no_show│ │ arrive        └─ third time in vain ─▶ missed
//!         └─── cancel ────┴──── cancel ────────┼─┴─▶ cancelled ◀─ excuse ─ no_show, missed   │
//!                                              └─────────────────────────────────────────────┘
//! ```
//! [`model::Move`] is this diagram as a table. The moves of the hall (arrive … finish) are the room `queue`'s.
//!
//! There are no counters. A live appointment (all states up to serving; a hold until it runs out) takes a place of every slot that it
//! overlaps, and a trigger refuses the row that would be one too many, under a lock per window and day. So a place comes back by
//! itself when a hold runs out, also while no process is alive; rescheduling is one UPDATE; and rules may change their slots without
//! anything to recount. A second trigger writes what follows from every move: history, change feed, notice, next in line.
//!
//! The window is chosen by the system: the one with most places left. When a start has been refused as full, those who want it next
//! are refused together, by one look for all of them (`crowd`).

pub mod booking;
mod crowd;
pub mod day;
pub mod facts;
pub mod holding;
pub mod jobs;
mod kept;
pub mod lapsing;
pub mod limits;
pub mod model;
pub mod moving;
pub mod notices;
pub mod placing;
mod rated;
pub mod reminders;
pub mod routes;
pub mod rules;
pub mod store;
mod subject;
pub mod views;
pub mod waiting;
mod within;
pub mod writing;

pub use crowd::Crowds;
pub use model::{Appointment, AppointmentState};
pub use notices::withdraw;
pub use placing::{Offered, Placed, Wish, offered};
pub use store::several;
pub use views::Named;
pub use writing::{Moved, cancel_as_read, reschedule};

use diesel::PgConnection;
use serde_json::Value;

use crate::{
    app::App,
    error::Result,
    rooms::{Entry, Merge, Person, Room, Sealed},
};

pub const ROOM: Room = Room {
    day: Some(store::day),
    open_for: Some(open_for),
    merge: Some(merge),
    export: Some(export),
    erase: Some(erase),
    sealed: &[
        Sealed { table: "appointments", column: "address", index: None },
        Sealed { table: "waiting_entries", column: "address", index: None },
    ],
    rated: &[("appointment", rated::served)],
    synced: &[kept::SYNCED],
    ..Room::new("appointments")
};

fn open_for(conn: &mut PgConnection, person: Person) -> Result<Vec<Entry>> {
    Ok([store::open_for(conn, person)?, waiting::open_for(conn, person)?].concat())
}

fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    // The waiting list first: what one of two entries was offered is given back before the other's could be in its way.
    Ok(waiting::merge(conn, merge)? + store::merge(conn, merge)?)
}

fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let mut all = subject::export(conn, app, person)?;
    all["waiting"] = waiting::export(conn, app, person)?;
    Ok(all)
}

fn erase(conn: &mut PgConnection, app: &App, person: Person) -> Result<usize> {
    Ok(waiting::erase(conn, person)? + subject::erase(conn, app, person)?)
}
