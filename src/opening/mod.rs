//! Changing what is open: windows, opening rules, dated exceptions, absences; and what it does to those who have booked.
//!
//! ```text
//! change ─▶ who fits no more? ─ nobody ───────────────────────────────▶ done
//!                │                  ┌─ keep ─▶ stays; somebody is there all the same
//!                ├─ affected said ──┼─ move ─▶ nearest free place of the centre, else cancelled and called
//!                │                  └─ cancel ─▶ cancelled, with the reason
//!                └─ nothing said ─▶ 409 bookings_affected; dry_run lists them
//! ```
//! Nobody finds a locked door. Whoever changes an opening passes the gate of the centre alone, first thing in the transaction: a
//! booking is either seen by the change or sees it. So places for those who move can be chosen from what was read.
//!
//! An absence cannot wait for a decision: where nobody stands in, a todo asks for one (`resolve_affected`). Nor can a calendar:
//! where it closes a day that people have booked, a todo of the centre asks.

mod affected;
pub mod affected_routes;
mod clashes;
mod closed_days;
pub mod exception_routes;
mod exceptions;
mod places;
mod presence;
pub mod rule_routes;
mod settle;
mod store;
pub mod window_routes;

use crate::rooms::Room;

pub const ROOM: Room = Room {
    hand_over: Some(presence::hand_over),
    absent: Some(presence::absent),
    days_changed: Some(closed_days::days_changed),
    ..Room::new("windows")
};
