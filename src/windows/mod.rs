//! Windows (窗口) of a centre, their opening rules and exceptions, and the slots that follow from them.
//!
//! ```text
//! rules ─┐
//! exceptions ─┼─ slots_of_day ─▶ slots ─ runs ─▶ as many in a row as a matter needs ─ left ─▶ free places
//! calendar ─┘                                          live appointments, waiting list ──┘
//! ```
//! Nothing of it is stored: a slot is what the rules say at the moment of asking. [`openings()`] brings everything in one statement.

pub mod model;
pub mod openings;
pub mod routes;
pub mod rules;
pub mod slots;
pub mod store;

pub use model::{Channel, Place, Rule};
pub use openings::{Asked, openings};
pub use rules::{Left, Opening, Run, Slot, slots_of_day};
