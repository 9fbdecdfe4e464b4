//! Visits to households (入户走访): checked in by phones that may be offline for a day, with clocks that may be years off.
//!
//! ```text
//! check in ──▶ created                       the same again ──▶ same: nothing changes
//!                │  ▲                        other words, or somebody else, under its id ──▶ conflict: both are kept
//!                │  └─ amend (a further entry; an outcome counts instead)              └─ settle: keep, or amend ─┘
//!                ├─ photos arrive, each one that it named
//!                └─ findings ──▶ an errand draft, an order, a todo: linked, found from either end
//! ```
//! **Once, whatever is repeated.** The phone gives a visit its id; what comes again under it is compared with what was said ([`rules::Kept`]). A batch is
//! decided in memory from one statement ([`facts`], [`deciding`]) and written by one ([`writing`]): one that is wrong never spoils the others. Whoever
//! was faster by an instant makes the whole batch be looked at anew.
//!
//! **When it was** follows from two readings of the phone's own clock: `occurred_at = device_at + (now − sent_at)`. The raw values stay. Whether the caller
//! may visit the household, and whether it is there, is judged by that day: what somebody did in the morning they tell in the evening, from another post perhaps.
//!
//! **Where it was** is evidence attached to a service (国办函〔2026〕12号): one point per visit, off, optional or required as the county says; flagged when it is far,
//! vague or made up, refused for none of these. It is not kept where nobody of the household has agreed (consent `position`), and goes when somebody takes that back;
//! a check-in that waited for such a withdrawal is looked at anew (the trigger `visits_agreed`).
//! Nobody can list what one person did, and no list shows points.
//!
//! **Append-only.** The service can change of a visit what counts by its amendments and what the law wants erased, nothing else. A household's task is
//! resolved by the visit being there (the trigger `visits_follow`), never by a tick.

pub mod amendments;
pub mod cases;
pub mod check_in_routes;
pub mod conflicts;
pub mod deciding;
pub mod facts;
pub mod finding_routes;
pub mod findings;
mod hooks;
pub mod lists;
pub mod model;
pub mod numbers;
pub mod photos;
pub mod request;
pub mod routes;
pub mod rules;
pub mod store;
pub mod views;
pub mod writing;

pub use hooks::{ROOM, forget_positions};
