//! Messages to residents: always in the inbox, and by WeChat subscription message where that is possible.

pub mod jobs;
mod model;
pub mod routes;
pub mod store;

pub use model::{Kind, NewMessage};
pub use store::post;

use crate::rooms::Room;

pub const ROOM: Room = Room::new("messages");
