//! Who may act for a resident (代约人、监护人): relatives and carers whom the resident names, guardians of children under 14.
//!
//! ```text
//!            ┌──code──┐
//!            ▼        │
//! (create) invited ───┘
//!             ├──accept (the proxy types the code)──▶ active ──end──▶ ended
//!             └──end──▶ ended
//! (register_child) ──▶ active, until the day before the 14th birthday
//! ```
//! Nobody is named by a number: the resident (or a member of staff, who records what was signed or said) makes an
//! invitation, and whoever holds its code accepts it. What a proxy does is recorded beside the resident, never instead.

pub mod children;
pub mod invitations;
pub mod model;
pub mod routes;
pub mod store;

pub use model::May;
pub use store::{acts_for, expire, guardian_missing};

use crate::rooms::Room;

pub const ROOM: Room =
    Room { merge: Some(store::merge), export: Some(store::export), erase: Some(store::erase), ..Room::new("proxies") };
