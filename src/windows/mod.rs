//! Windows (窗口) of a centre, their opening rules and exceptions, and the slots that follow from them.
//!
//! ```text
//! rules ─┐
//! exceptions ─┼─ slots_of_day ─▶ slots ─ runs ─▶ as many in a row as a matter needs ─ left ─▶ free places
//! calendar ─┘                                          live appointments, waiting list ──┘
//! ```
//! Nothing of it is stored: a slot is what the rules say at the moment of asking. [`openings()`] brings everything in one statement.

mod exceptions;
pub mod left;
pub mod model;
pub mod openings;
mod overlap;
mod reach;
pub mod routes;
pub mod rules;
pub mod slots;
pub mod store;
pub mod views;

pub use exceptions::{
    Wanted as WantedExceptions, coming as coming_exceptions, count as count_exceptions, delete as delete_exception,
    find as find_exception, insert as insert_exceptions, list as list_exceptions,
};
pub use left::{Busy, Left, Opening, Waiting};
pub use model::{Channel, Exception, ExceptionKind, Place, Rule, Window, WindowState};
pub use openings::{Asked, openings};
pub use overlap::overlap;
pub(crate) use reach::may;
pub use routes::{changed as window_changed, check_matters, check_officer, reachable};
pub use rules::{Run, Slot, runs, slots_of_day};
pub use store::{delete_rule, details, find, insert_rule, rule, serve, touch, update, update_rule};
pub use views::{WindowView, view};
