//! The hall (排队叫号): arriving, tickets, calling, waiting times, what the screen in the hall shows, and the end of the day.
//!
//! ```text
//! booked ──arrive──▶ arrived ◀───────arrive again─────── missed
//!   │                 ▲ ▲  │                               ▲
//!   │    walk-in ─────┘ │  └─call─▶ called ──skip (last)───┘
//!   │                   ├──skip──────┤  │ ▲└─recall─┐
//!   │                   │          serve└─┼─────────┘
//!   │                   │            ▼
//!   │                   └─transfer─ serving ──finish──▶ done
//!   └──no_show──▶ no_show ──excuse──▶ cancelled ◀──excuse── missed
//! end of the day: booked ▶ no_show, called ▶ missed, serving ▶ done, arrived ▶ cancelled with a todo to call and say sorry
//! ```
//! Who goes first: whoever was transferred to the window; those on time whose slot begins within the grace, in order of
//! their slots; everybody else by their place in line (the arrival; for those on time the slot; for the skipped the moment of
//! skipping). The states themselves are those of [`appointments`](crate::appointments).
//!
//! Buttons are pressed twice and by two people: every command locks the row, decides on what it finds there, and answers a
//! repeat with the state that is already reached.

pub mod arriving;
pub mod board;
pub mod buttons;
pub mod calling;
pub mod closing;
pub mod halls;
pub mod handles;
pub mod line;
pub mod model;
pub mod pausing;
pub mod rules;
pub mod screens;
pub mod store;

pub use board::Boards;
pub use closing::close_days;

use crate::rooms::{Index, Room, Sealed};

pub const ROOM: Room = Room {
    sealed: &[Sealed {
        table: "appointment_handles",
        column: "handle",
        index: Some(Index::new(&["handle_index"], handles::FIELD)),
    }],
    ..Room::new("queue")
};
