//! Errands (代办): paperwork that is handed over to be done, from the mandate to the archive, on a clock of working days.
//!
//! ```text
//!  draft ─submit─▶ submitted ─accept──────────────▶ accepted ─begin─▶ handling ─decide─▶ decided ─deliver─▶ delivered ─archive─▶ archived
//!                   │  ▲  │  └─silence (5 days)──────▶ │                │   ▲ ▲ │            ▲                                  ▲  ▲
//!                   │  │  └─not accept─▶ not_accepted ─│────────────────│───│─│─│────────────│────────────────── archive ───────┘  │
//!                   │  └─supplement──┐                 └─── forward ────┴─▶ forwarded ─decide┘                                     │
//!                   └─request────────┴ supplement_requested (also from accepted, handling; goes on where it was)                   │
//!                                      suspended (from accepted, handling, forwarded; likewise)                                    │
//!                                      lapse: from supplement_requested, when the last day for it is over ─▶ withdrawn
//!                   withdraw, from any of these until the decision ─▶ withdrawn ────────────────── archive ────────────────────────┘
//!                                      acknowledge: in delivered, once, before archive; call back: in delivered and archived
//! ```
//! What was delivered is acknowledged (签收) before it is archived, or has been there long enough; then the resident is called back (回访),
//! archived or not: [`replies`]. What is handed in, and the files that it carries, is bound by digests to the entries: [`content`].
//!
//! [`model::Step`] is this diagram as a table, with who takes each step. Every step is an entry of the ledger, chained by hashes and
//! written with the errand in one statement; a constraint refuses an errand that its ledger does not tell. The clock is computed from
//! the ledger and the calendar ([`clock`]); the dates in the row serve lists and sweeps.
//!
//! Beside it: originals and whose hands they are in ([`originals`]), trips that take errands to a department ([`trips`]), and departments
//! that do not answer ([`waits`]); what they do to an errand is a step of it.

pub mod acting;
pub mod applicant_routes;
pub mod clock;
pub mod commands;
pub mod content;
pub mod custody;
pub mod custody_routes;
pub mod filing;
pub mod filing_routes;
pub mod following;
mod hooks;
pub mod jobs;
pub mod journeys;
mod kept;
mod keys;
pub mod ledger;
mod line;
pub mod lists;
pub mod mandate_routes;
pub mod mandates;
pub mod model;
mod notices;
pub mod numbers;
pub mod originals;
#[cfg(test)]
mod property;
pub mod provided;
mod rated;
pub mod recount;
pub mod refusals;
pub mod replies;
pub mod reply_routes;
pub mod routes;
pub mod step_routes;
pub mod steps;
pub mod store;
pub mod sweeps;
pub mod trip_routes;
pub mod trip_views;
pub mod trips;
pub mod views;
pub mod waits;

pub use acting::Frame;
pub use filing::{Draft, Filing};
pub use hooks::ROOM;
pub use provided::Provided;
