//! Orders (线上接单、线下服务): help that a resident orders online, and somebody who comes.
//!
//! ```text
//!  order ─▶ open ──claim, assign──▶ claimed ──set out──▶ on_the_way ──start──▶ at_work ──finish──▶ finished ──confirm──▶ confirmed
//!            │ ▲                      │  └──────────────start──────────────────▶ │                   │  ▲ │
//!            │ └──return (a reason; the lease has ended; whoever had it left)────┘                   │  │ └─call back─▶ confirmed, or
//!            │                                                                                       │  └── nobody reached
//!          expire ─▶ expired ──assign──▶ claimed                                          dispute ───┴──▶ disputed ──settle──▶ confirmed
//!            (nobody took it in its time: the township is asked)                                                        └────▶ cancelled
//!          cancel: from open, claimed, on_the_way and expired ─▶ cancelled
//!          worry: while somebody holds it; ask: when time is up, a person is asked to see to it
//! ```
//! [`model::Step`] is this diagram as a table, with who makes each move. Every move is a row of `order_moves`, written with the order in one
//! statement, a compare-and-set on its version, state and holder; a constraint refuses an order that its moves do not lead to.
//!
//! **Exactly one has it.** The statement that gives an order to a helper decides: open, fit, a place left. It skips what somebody else is at,
//! so nobody waits for anybody. How many one helper holds is a matter of places ([`model::Order::load_place`]): a unique index, not a count.
//!
//! **A claim is a lease.** Whoever is not on the way in time loses it ([`sweeps`]); what has begun is never taken by time. Everything that
//! time does is one column, `due_at`, computed by [`rules::due`] with every move.
//!
//! **Nobody comes unseen.** The resident shows a code to start and another when it is done ([`codes`]); for somebody without a phone an agent
//! writes it down, recorded as such. That may be the member of staff who holds it, because often nobody else is there: but only for the beginning,
//! as their own word, which the numbers of supervisors count and the list finds. The end is never theirs to confirm. Who did not confirm is called: silence is never taken for content.

pub mod acting;
pub mod candidates;
pub mod claiming;
pub mod codes;
pub mod commands;
mod evidence;
mod hooks;
pub mod jobs;
mod kept;
pub mod kind_routes;
pub mod kinds;
pub mod lists;
pub mod model;
pub mod money;
pub mod money_routes;
pub mod nearby;
pub mod notes;
mod notices;
pub mod numbers;
pub mod order_routes;
pub mod ordering;
mod planning;
#[cfg(test)]
mod property;
mod rated;
mod refusals;
pub mod reveal;
pub mod routes;
pub mod rules;
pub mod series;
pub mod series_routes;
mod series_store;
pub mod series_views;
pub mod step_routes;
pub mod store;
pub mod sweeps;
pub mod takers;
pub mod views;

pub use acting::Frame;
pub use hooks::ROOM;
pub use ordering::{Wish, order};
pub use planning::run as plan_series;
