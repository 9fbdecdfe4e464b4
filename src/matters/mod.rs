//! The catalogue (事项): what can be done at a centre, and, version by version, how.
//!
//! ```text
//! published ──(its day comes)──▶ in effect ──(a later one's day comes)──▶ past; what was filed under it keeps it
//!     └──(another one for the same day)──▶ never in effect
//! ```
//! Nothing of it is stored but the day: in effect is the latest that is not after today, of equal ones the highest number. A matter
//! without a version can be booked, not filed.

mod check;
pub mod file;
mod forms;
pub mod guide;
pub mod import;
mod kept;
mod known;
mod lines;
mod plan;
pub mod routes;
mod rules;
pub mod store;
pub mod version;
pub mod version_routes;
mod version_store;
pub mod version_views;

pub use forms::{check_filled, check_form, faults as form_faults};
pub use known::Versions;
pub use rules::{Answers, Applies, applies, check_answers, limit_in_words, missing, open_questions};
pub use store::{Matter, Said, find};
pub use version::Version;
pub use version_store::{all_in_effect, decided_by, in_effect, version};

use crate::rooms::Room;

pub const ROOM: Room = Room { synced: &[kept::SYNCED], ..Room::new("matters") };
