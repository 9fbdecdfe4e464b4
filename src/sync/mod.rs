//! What phones of staff keep in step with (同步): first everything, then what has changed, also after weeks without a network.
//!
//! ```text
//! no cursor ─▶ snapshot, entity by entity ─▶ changes since before the snapshot began ─▶ changes since ─▶ … ─▶ nothing new
//!                                                  410: too old, from before a restore, of another post ─▶ no cursor
//! ```
//! **What is kept** is what a room says by its [`Synced`](crate::rooms::Synced): what asks something of the caller and what they need for it.
//! Whatever leaves that (done, handed over, moved out of sight) is a tombstone. A phone that has followed to the end has exactly what
//! a new snapshot would hold.
//!
//! **No change is missed.** A change is read only below `pg_snapshot_xmin`, in the order `(xid, seq)` ([`feed`]): whatever is still
//! uncommitted lies above and is read later. Its row says *that* something changed and who may care; what it is now, and whether the caller
//! may see it, is read from the room when it is sent. A snapshot's cursor holds where the feed stood before the first page.
//!
//! **Nothing new** is one read by index: of the caller's units, of the caller, of everybody.
//!
//! **A cursor is good** for one account in one post with the units it reaches, of one feed ([`feed::Standing`]), not further back than
//! the feed is kept ([`keeping`]). Otherwise 410, and the phone starts over.

mod cursor;
pub mod feed;
pub mod keeping;
mod pages;
pub mod routes;
