//! The waiting list (候补): who waits for a start within a range of one day, first come, first offered.
//!
//! ```text
//! (join) waiting ──offer──▶ offered ──book (the held appointment)──▶ booked
//!           ├──leave──▶ left ◀──leave, cancel──┤
//!           └──too late──▶ lapsed ◀──runs out──┘
//! ```
//! An offer is a held appointment: it takes the place, and booking it is taking the offer. What becomes of it becomes of the entry,
//! by a trigger. While somebody waits for a slot the database gives nobody else a place in it, so that a worker that was away for an
//! hour changes neither the order nor who comes first.

pub mod jobs;
pub mod model;
mod offers;
pub mod routes;
pub mod rules;
pub mod store;
mod subject;

pub use offers::offer_everywhere;
pub use store::lapse;
pub(super) use subject::{erase, export, merge, open_for};
