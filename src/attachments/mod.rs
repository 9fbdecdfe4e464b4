//! Files (附件): uploaded first, checked, then attached to a thing, which from then on decides who may see them.
//!
//! ```text
//! POST /v1/attachments ──────────────────────────▶ ready ──attach──▶ ready, of a thing
//! POST /v1/uploads ──▶ uploading ──(all there)──▶ processing ──job──┤       │
//!        (tus 1.0.0)    │  ▲ PATCH                                  └─▶ refused
//!                       └──┘                                            │
//! unattached: 24 hours later, or by its uploader ──┐                    │
//! attached: when its thing, or the person, goes ───┴──▶ removing ◀──────┘ ──pass──▶ bytes gone, row gone
//! ```
//! What a file is, is told by its content ([`content`]); images lose everything but the picture ([`strip`]). The bytes lie in a
//! file store ([`Files`]): a folder, or a bucket of an S3-compatible service.
//!
//! **No orphans.** The row is written before the first byte, and deleted after the last one: whatever crashes in between, a pass
//! finds the row. A removed folder is emptied twice, an hour apart, because a writer that hung may still have put something there.
//!
//! **Files are not sealed** by this program as columns are: a range of a film or the rest of a download would mean opening all
//! of it, and a new master key would mean writing every file anew. Their names are sealed; the disk or the bucket encrypts the rest.

mod appending;
mod attaching;
pub mod content;
mod files;
pub mod jobs;
pub mod links;
pub mod model;
mod pieces;
mod processing;
mod receiving;
pub mod routes;
mod store;
pub mod strip;
mod subject;
mod sweeping;
pub mod tus;
mod tus_headers;
mod zip;

pub use attaching::{Attach, attach, attach_each, let_go, let_go_some, of};
pub use files::Files;
pub use model::{Attachment, Uploader};
pub use routes::AttachmentView;
pub use sweeping::sweep;

use crate::rooms::{Room, Sealed};

pub const ROOM: Room = Room {
    merge: Some(subject::merge),
    export: Some(subject::export),
    erase: Some(subject::erase),
    sealed: &[
        Sealed { table: "attachments", column: "name", index: None },
        Sealed { table: "attachments", column: "metadata", index: None },
    ],
    ..Room::new("attachments")
};
