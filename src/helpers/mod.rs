//! Helpers (服务人员): who comes when a resident orders help, what they can do, where and when.
//!
//! ```text
//! (apply) ──▶ applied ──approve──▶ active ◀──resume── stopped
//!               │  ▲                  └─────stop────────▶ │
//!               │  └──────────apply again─────────────────┤
//!             refuse                                      │
//!               └──▶ refused ──apply again──▶ applied     │
//! (a post of a specialist or a cadre begins) ──▶ active ──the last one ends──▶ stopped, until another begins
//! ```
//! Specialists and cadres are helpers by their posts: a trigger on `staff_posts` sees to it. Volunteers (志愿者) and care staff
//! (护理员) are residents who apply; the township decides, and says which skills and units they have. Nobody grants themselves
//! anything: a helper only says where they start from, when they can be asked and what they would like.
//!
//! A radius counts in the township of the home unit only: whoever wants to serve beyond it asks for units there, and the county decides, because
//! no township can for another.
//!
//! Every decision stays in a history of its own. Of two records that become one the stricter wins: who was stopped in one is stopped.
//!
//! Whether a helper serves a place and is free at a time is answered by the database alone (`helper_serves`, `helper_free`), so that
//! whoever hands out work asks one and the same.

pub mod apply;
pub mod decide;
mod decisions;
mod hooks;
mod model;
pub mod own;
mod questions;
pub mod routes;
mod rules;
pub mod skills;
mod store;
mod views;

pub use hooks::ROOM;
pub use model::HelperKind;
pub use own::id_of;
pub use skills::{Skill, SkillState, has_skills, write_skill};
