//! What waits for a human (待办): call this person, print that slip, look at this failure.
//!
//! ```text
//! open ──take──▶ taken ──done──▶ done
//!  │ ▲            │ ├─take (by another: take over)──▶ taken
//!  │ └──put_back──┘ ├─hand_over──▶ taken (by whom it was given to)
//!  ├──done──────────┴──▶ done
//!  └──drop (what it was about has settled itself)──▶ dropped
//! ```
//! Rooms open them in the transaction of what they follow from, with [`open`]; opening one again that is not done yet changes
//! nothing.

mod kept;
pub mod model;
pub mod routes;
pub mod store;

pub use model::{Kind, NewTodo};
pub use store::{drop_about, open, open_hidden_from, waiting_about, waits};

use crate::rooms::{Room, Sealed};

pub const ROOM: Room = Room {
    day: Some(store::day),
    open_for: Some(store::open_for),
    hand_over: Some(store::hand_over),
    merge: Some(store::merge),
    erase: Some(store::erase),
    sealed: &[Sealed { table: "todos", column: "note", index: None }],
    synced: &[kept::SYNCED],
    ..Room::new("todos")
};
