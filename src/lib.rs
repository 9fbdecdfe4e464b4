//! Lianxin (连心): the back end of a county's party-masses service centres.
//!
//! # The rooms
//! | room | what it is |
//! |---|---|
//! | [`units`] | counties (the tenants), created and suspended by the operator; their townships and villages |
//! | [`calendar`] | working days and deadlines |
//! | [`settings`] | what a county decides otherwise than the default, with effective days and history |
//! | [`people`], [`proxies`] | residents and their sealed data, merging and claiming records; who may act for whom, children |
//! | [`consents`], [`data_requests`] | what residents agreed to, per purpose; a copy of one's data, a correction, closing the record |
//! | [`audit`] | who looked at what and who changed what, sealed in batches |
//! | [`staff`], [`sessions`] | who works here, their posts, deputies and absences; logging in, tokens, devices, logging out |
//! | [`matters`], [`windows`] | the catalogue; windows, opening rules, free slots |
//! | [`appointments`] | booking, looking, cancelling |
//! | [`queue`] | the hall: arriving, tickets, calling, screens, the end of the day |
//! | [`messages`] | the inbox; WeChat, SMS or a person who brings it; templates and grants |
//! | [`todos`], [`desk`] | what waits for a human; one's day, and everything open for the person at the counter |
//!
//! | what they stand on | |
//! |---|---|
//! | [`http`] | the one list of routes; caller, permission, validated input, idempotency, pages, the document |
//! | [`db`] | the only door to PostgreSQL; hand-written statements; the change feed |
//! | [`jobs`] | outbox, relay, worker |
//! | [`rooms`] | the list of rooms that what spans them walks: a day, handing over, merging, export, erasure, sealed columns |
//! | [`codes`] | one-time codes, shown by one person and typed by another |
//! | [`crypto`], [`redis`](mod@redis), [`clock`], [`config`], [`error`], [`telemetry`] | what their names say |
//! | [`app`] | all of it together, built once |
//! | [`rotation`] | sealing everything again under a new master key |
//! | [`wechat`] | WeChat's server API, and a fake one, with an SMS gateway, for development and tests |
//! | [`launcher`], [`sample`], [`import`] | development: private databases, the sample county; CSV imports |
//!
//! # The way of one request
//! 1. `http::way` gives it an id; the list in [`http::routes`] finds the handler, say `appointments::routes::book_appointment`.
//! 2. Its arguments are checked in order: `Can<BookAppointments>` (who, and the permission as a type), `IdempotencyKey`,
//!    `Valid<BookAppointment>` (every wrong field at once).
//! 3. `app.once(…)` opens one transaction through [`db::Db::write`], takes the key's lock and looks for an answer to repeat.
//! 4. The room's `store` reads the facts under the caller's scope, `rules` decides without SQL, `store` applies the change
//!    together with its rows in `changes` and `outbox`.
//! 5. The answer is stored with the key, the transaction commits, the answer goes out. The relay finds the outbox row.
//!
//! # Where this differs from the usual layout, and why
//! - The permission table lives in [`http::permissions`], beside the extractor that enforces it: the type that a handler names
//!   *is* the row of the table.
//! - Hot statements are hand-written SQL behind [`statement!`](crate::statement), because one statement that books, counts,
//!   notes the change and orders the message costs one round trip, and diesel's DSL cannot say it. They are prepared once
//!   per connection like any other.
//! - Errors that every operation can answer are added to the document by rule (`http::document`), not repeated in every
//!   annotation; a handler only names its own codes (`x-errors`).
//! - A third list beside those of routes and jobs: [`rooms::ROOMS`]. What spans rooms walks it and knows no room by name.
//! - Small rooms keep model and store in one file; large ones have one file of routes per topic (`staff`, `messages`).

#[macro_use]
pub mod db;

pub mod app;
pub mod appointments;
pub mod audit;
pub mod calendar;
pub mod clock;
pub mod codes;
pub mod config;
pub mod consents;
pub mod crypto;
pub mod data_requests;
pub mod desk;
pub mod error;
pub mod http;
pub mod import;
pub mod jobs;
pub mod launcher;
pub mod matters;
pub mod messages;
pub mod people;
pub mod proxies;
pub mod queue;
pub mod redis;
pub mod rooms;
pub mod rotation;
pub mod sample;
pub mod sessions;
pub mod settings;
pub mod staff;
pub mod telemetry;
pub mod todos;
pub mod units;
pub mod wechat;
pub mod windows;
