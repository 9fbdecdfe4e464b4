//! What residents ask about their own data (个人信息保护法 art. 44–50): a copy, a correction, closing the record.
//!
//! ```text
//! export   requested ──job──▶ running ──▶ ready ──after privacy.export_days──▶ expired
//!                                └─(too large)──▶ refused
//! correct  requested ──decide──▶ done | refused
//! close    requested ──job──▶ running ──▶ done
//! any      requested ──(the record is closed)──▶ refused
//! ```
//! Copy and closing walk [`ROOMS`](crate::rooms::ROOMS). Closing is one transaction; what was under way while it ran is erased
//! a moment later by a second walk. Answered within 15 working days.

pub mod archive;
pub mod jobs;
mod model;
pub mod routes;
mod store;
mod subject;

pub use store::expire as expire_exports;

use crate::rooms::{Room, Sealed};

pub const ROOM: Room = Room {
    merge: Some(subject::merge),
    export: Some(subject::export),
    erase: Some(subject::erase),
    sealed: &[
        Sealed { table: "data_requests", column: "words", index: None },
        Sealed { table: "data_requests", column: "reason", index: None },
        Sealed { table: "data_requests", column: "archive", index: None },
    ],
    ..Room::new("data_requests")
};
