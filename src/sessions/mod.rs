//! Sessions: who logged in, the tokens they carry, and the end of it.
//!
//! ```text
//! live ──log_out──▶ ended(logout)
//!   │ ├─refresh (current token, or the previous one within 60 s)──▶ live
//!   │ └─refresh (an older token)──▶ ended(refresh_reused)
//!   ├──the member of staff is dismissed, disabled, or has another password──▶ ended(dismissed, disabled, password)
//!   ├──the resident's record is merged into another, or closed──▶ ended(merged, closed)
//!   ├──a post ends, or an absence that a deputy covers──▶ ended(post_ended, cover_ended)
//!   └──ended from another device, or by an administrator──▶ ended(device)
//! ```
//! PostgreSQL records; Redis serves a copy that lives 3 s; the process remembers for 1.5 s. So an end takes effect within
//! 5 s even where nobody could be told, a wiped Redis logs nobody out, and an old copy of Redis revives nobody.

pub mod devices;
mod live;
pub mod model;
pub mod password;
pub mod routes;
mod rules;
mod start;
mod store;
mod subject;
mod tokens;
pub mod wechat;

pub use live::authenticate;
pub use store::{
    end_all_of_resident, end_all_of_staff, end_of_post, end_others_of_staff, end_uncovered, live_of_staff, lock, purge,
};
pub use tokens::{Tokens, rotate};

use crate::rooms::Room;

pub const ROOM: Room = Room { export: Some(subject::export), erase: Some(subject::erase), ..Room::new("sessions") };
