//! Ratings (好差评): what the one who was served says of every appointment, errand and order that was finished.
//!
//! ```text
//! (rate, once) ──▶ given ──change, for 24 hours──▶ given (every version stays)
//!                    └──grade 1 or 2──▶ a todo of those one level above the unit
//! ```
//! Residents are asked for it the next morning ([`asking`]). Which things can be rated, by whom they were received and who served, rooms say themselves ([`Room::rated`](crate::rooms::Room::rated)).
//!
//! Whoever was rated must never find out who gave a bad grade, or people would not dare. So those who served and the colleagues of
//! their unit see totals only: of months that are over, in which nothing can change any more, and only of five ratings or more.
//! Single ratings are seen one level above, by supervisors and the county, which is recorded. Todos, changes and audit entries
//! that others could see name neither the resident nor the unit. The rated see neither the todo nor the entries of a rating, nor who looked at
//! a resident since a bad one; and nobody sees in a resident's entries who looked from above them.
//!
//! That somebody who rates is the one who was rated is known by the WeChat account that both logins hang on. A member of staff who has bound
//! none, or uses another one as a resident, is not recognised: staff have neither an ID number nor a private phone here to go by.
//!
//! Whoever acts for somebody sees and changes what they said for them, never what the resident said; the resident sees and changes all.

pub mod asking;
pub mod giving;
mod hooks;
mod model;
pub mod numbers;
pub mod reasons;
pub mod routes;
mod store;
mod views;

pub use hooks::ROOM;
pub use model::words_place;
