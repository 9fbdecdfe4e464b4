//! Windows (窗口) of a centre, their opening rules, and the slots that follow from them.

pub mod model;
pub mod routes;
pub mod rules;
pub mod slots;
pub mod store;

pub use model::{Channel, Rule};
pub use rules::{Slot, slots_of_day};
pub use store::rules_for;
