//! Households (户): members, home point, tags, who answers for them, and the visits that are due.
//!
//! ```text
//! (create, a check-in on the spot, an import) ──▶ active ◀──reopen── closed
//!                                                  │  └────close──────▶ │
//!                                                  └──merge──▶ merged, and its id leads to the other
//!
//! task: (category, or the visit before) ──▶ open ──(a visit in its window met somebody)──▶ resolved, and the next one opens
//!                                             └──(another category, closed, merged)──▶ dropped
//! ```
//! The home point is set and corrected on purpose; every one stays in `household_points`, and no visit moves it. Tags have a permission of their own;
//! sensitive ones, and the point, go when a member takes the consent back (the table of effects in [`consents`](crate::consents)).
//!
//! A household always has at most one open task, made by the database: when its category changes, and when a visit resolves the one before
//! (`visit_tasks_resolve`). There is no way to tick one.

pub mod categories;
pub mod closing;
mod for_visits;
pub mod holding;
mod hooks;
pub mod importing;
mod kept;
pub mod members;
pub mod merging;
pub mod model;
mod plan;
pub mod points;
pub mod routes;
pub mod store;
pub mod tag_kinds;
pub mod tags;
pub mod tasks;
pub mod undoing;
pub mod views;

pub use categories::{WriteVisitCategory, all as categories, insert as insert_category};
pub use for_visits::{OnTheSpot, create_on_the_spot};
pub use hooks::ROOM;
pub use points::{forget as forget_point, lock_homes};
pub use tag_kinds::{PutHouseholdTagKind, TagKindState, TagPurpose, write as write_tag_kind};
pub use tags::{forget_health, forget_under_14};
pub use tasks::by_ids as tasks_by_ids;
