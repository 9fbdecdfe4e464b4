//! Appointments (预约): booked, looked at, cancelled.
//!
//! ```text
//! booked ──cancel──▶ cancelled
//! ```
//! A slot is never overbooked: the count of a slot is raised by one guarded statement in the transaction that books, and a
//! CHECK stands behind it. The window is chosen by the system: the one with most places left.

pub mod day;
pub mod jobs;
pub mod model;
pub mod routes;
pub mod rules;
pub mod store;
mod subject;

use crate::rooms::Room;

pub const ROOM: Room = Room {
    day: Some(store::day),
    open_for: Some(store::open_for),
    merge: Some(store::merge),
    export: Some(subject::export),
    erase: Some(subject::erase),
    ..Room::new("appointments")
};
