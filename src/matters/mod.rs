//! The catalogue (事项): what can be done at a centre.

pub mod routes;
pub mod store;

pub use store::{Matter, Said, find};
