//! Lianxin (连心): the back end of a county's party-masses service centres.
//!
//! # The rooms
//! | room | what it is |
//! |---|---|
//! | [`units`] | counties (the tenants), created and suspended by the operator; their townships and villages |
//! | [`departments`] | departments of the county government (县直部门), which decide what villages and townships may not |
//! | [`calendar`] | working days and deadlines |
//! | [`settings`] | what a county decides otherwise than the default, with effective days and history |
//! | [`people`], [`proxies`] | residents and their sealed data, merging and claiming records; who may act for whom, children |
//! | [`consents`], [`data_requests`] | what residents agreed to, per purpose; a copy of one's data, a correction, closing the record |
//! | [`audit`] | who looked at what and who changed what, sealed in batches |
//! | [`staff`], [`sessions`] | who works here, their posts, deputies and absences; logging in, tokens, devices, logging out |
//! | [`matters`] | the catalogue: versions with effective days, materials, questions, forms; the guide; import and export |
//! | [`errands`] | paperwork handed over to be done: mandates, steps, a chained ledger, the clock of working days, the ladder, custody, trips, the reply |
//! | [`orders`] | help ordered online and done at the door: kinds, series, claims and leases, codes, evidence, money, numbers |
//! | [`ratings`] | what whoever was served says of an appointment, errand or order, and who must never see it |
//! | [`helpers`] | who comes when help is ordered: specialists and cadres by their posts, volunteers and care staff by approval; skills, places, hours |
//! | [`households`] | households: members, home points, tags, partners, categories, and the visits that are due |
//! | [`visits`] | check-ins of visits to households, one by one or a day at once, whatever is repeated; amendments, versions, photos that arrive later, findings and what is made of them, numbers |
//! | [`windows`] | windows, and the free slots that follow from rules, exceptions, calendar and bookings |
//! | [`opening`] | changing what is open: rules, dated exceptions, absences; and what becomes of those who have booked |
//! | [`appointments`] | holding, booking, moving, cancelling; the waiting list; what people are told, and reminders |
//! | [`queue`] | the hall: arriving, tickets, calling, screens, the end of the day |
//! | [`attachments`] | files: uploaded, at once or in pieces (tus), checked, attached to a thing, read by signed links |
//! | [`messages`] | the inbox; WeChat, SMS or a person who brings it; templates and grants |
//! | [`sync`] | what phones of staff keep to work without a network, and what has changed since |
//! | [`todos`], [`desk`] | what waits for a human; one's day, and everything open for the person at the counter |
//!
//! | what they stand on | |
//! |---|---|
//! | [`http`] | the one list of routes; caller, permission, validated input, idempotency, pages, the document |
//! | [`db`] | the only door to PostgreSQL; hand-written statements; the change feed |
//! | [`jobs`] | outbox, relay, worker |
//! | [`rooms`] | the list of rooms that what spans them walks: a day, handing over, absences, merging, export, erasure, sealed columns, what phones keep |
//! | [`geo`] | points on a map, WGS 84 and GCJ-02 |
//! | [`sheet`] | tables that people send, XLSX and CSV, with what is wrong in each line |
//! | [`codes`] | one-time codes, shown by one person and typed by another |
//! | [`crypto`], [`redis`](mod@redis), [`clock`], [`config`], [`error`], [`telemetry`] | what their names say |
//! | [`app`] | all of it together, built once |
//! | [`rotation`] | sealing everything again under a new master key |
//! | [`wechat`] | WeChat's server API, and a fake one, with an SMS gateway, for development and tests |
//! | [`launcher`], [`sample`], [`generator`], [`import`] | development: private databases, the sample county, a full one; CSV imports |
//!
//! # The way of one request
//! 1. `http::way` gives it an id; the list in [`http::routes`] finds the handler, say `appointments::routes::book_appointment`.
//! 2. Its arguments are checked in order: `Can<BookAppointments>` (who, and the permission as a type), `IdempotencyKey`,
//!    `Valid<BookAppointment>` (every wrong field at once).
//! 3. `app.once(…)` opens one transaction through [`db::Db::write`], takes the key's lock and looks for an answer to repeat.
//! 4. The room reads the facts under the caller's scope in one statement (which passes the gate of the centre, so that its opening
//!    stays as it was read), `rules` decides without SQL, one guarded statement applies the change. Its rows in `changes` and
//!    `outbox` are written with it: for an appointment by a trigger, elsewhere by the room.
//! 5. The answer is stored with the key, the transaction commits, the answer goes out. The relay finds the outbox row.
//!
//! # Where this differs from the usual layout, and why
//! - The permission table lives in [`http::permissions`], beside the extractor that enforces it: the type that a handler names
//!   *is* the row of the table.
//! - Hot statements are hand-written SQL behind [`statement!`](crate::statement), because all that a booking is decided by, or a
//!   day of a centre, costs one round trip that way, and diesel's DSL cannot say it. They are prepared once per connection like
//!   any other.
//! - What must hold of appointments, and what follows from a move, is written by triggers, not by the rooms: no slot overbooked,
//!   nobody passed on the waiting list, and history, change feed, notice and the next in line for every move. Booking, the hall, the
//!   waiting list, a changed opening, an absence and the end of a day all move appointments; no way of moving one leaves something
//!   out. The rules decide the same beforehand, to say it in words.
//! - Errors that every operation can answer are added to the document by rule (`http::document`), not repeated in every
//!   annotation; a handler only names its own codes (`x-errors`).
//! - A third list beside those of routes and jobs: [`rooms::ROOMS`]. What spans rooms walks it and knows no room by name.
//! - Small rooms keep model and store in one file; large ones have one file of routes per topic (`staff`, `messages`).

#[macro_use]
pub mod db;

pub mod app;
pub mod appointments;
pub mod attachments;
pub mod audit;
pub mod calendar;
pub mod clock;
pub mod codes;
pub mod config;
pub mod consents;
pub mod crypto;
pub mod data_requests;
pub mod departments;
pub mod desk;
pub mod errands;
pub mod error;
pub mod generator;
pub mod geo;
pub mod helpers;
pub mod households;
pub mod http;
pub mod import;
pub mod jobs;
pub mod launcher;
pub mod matters;
pub mod messages;
pub mod opening;
pub mod orders;
pub mod people;
pub mod proxies;
pub mod queue;
pub mod ratings;
pub mod redis;
pub mod rooms;
pub mod rotation;
pub mod sample;
pub mod sessions;
pub mod settings;
pub mod sheet;
pub mod staff;
pub mod sync;
pub mod telemetry;
pub mod todos;
pub mod units;
pub mod visits;
pub mod wechat;
pub mod windows;
