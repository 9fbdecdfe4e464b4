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
//! The window is chosen by the system: the one with most places left.

pub mod booking;
pub mod day;
pub mod facts;
pub mod jobs;
pub mod limits;
pub mod model;
pub mod moving;
pub mod placing;
pub mod routes;
pub mod rules;
pub mod store;
mod subject;
pub mod views;
pub mod writing;

use crate::rooms::{Room, Sealed};

pub const ROOM: Room = Room {
    day: Some(store::day),
    open_for: Some(store::open_for),
    merge: Some(store::merge),
    export: Some(subject::export),
    erase: Some(subject::erase),
    sealed: &[Sealed { table: "appointments", column: "address", index: None }],
    ..Room::new("appointments")
};
