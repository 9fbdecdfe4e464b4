//! What a county may decide otherwise (可配置项): one typed setting each, with default, range, effective date and history.
//!
//! A setting is a line of the table in [`model`]; the rooms read them as plain fields of [`Settings`], which every
//! [`County`](crate::units::County) carries.

mod kept;
pub mod model;
pub mod routes;
mod rules;
mod store;

pub use model::{Evidence, Settings, Switch, Totp};
pub use store::{load, set};

use crate::rooms::Room;

pub const ROOM: Room = Room { synced: &[kept::SYNCED], ..Room::new("settings") };
