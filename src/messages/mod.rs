//! Messages to residents: always in the inbox, and on the first channel that takes them.
//!
//! ```text
//! wechat ──not taken──▶ sms ──not taken──▶ person: a todo for the staff of the resident's unit
//!    └──sent               └──sent            (call, or slip for those without a phone)
//! ```
//! Each step is a delivery: `pending ──▶ sent | refused | not_reachable | dropped`. A kind's [policy](model::Policy) says when a
//! message may go out; nothing else of a message waits. One lease per person keeps two sends from overlapping, in any process.
//!
//! Nothing here is sealed: parameters hold matters, places and times, never names or numbers. Whom a message is for is read, and
//! opened, when it is sent.

mod delivery;
pub mod jobs;
mod kinds;
pub mod model;
pub mod routes;
mod rules;
pub mod sms;
pub mod staff;
mod store;
pub mod template_routes;
mod templates;
mod words;

pub use model::{Kind, NewMessage};
pub use store::{post, withdraw};
pub use templates::set_wechat as set_template;

use crate::rooms::Room;

pub const ROOM: Room =
    Room { merge: Some(store::merge), export: Some(store::export), erase: Some(store::erase), ..Room::new("messages") };
