//! Where everything meets: what stands in one's day, and everything open for the person at the counter.
//!
//! Neither knows any room: both walk [`ROOMS`](crate::rooms::ROOMS), and a room joins by its line there.

pub mod routes;
