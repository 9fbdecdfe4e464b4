//! Black-box tests over HTTP, on real PostgreSQL and Redis: one file per room. `make test` brings the databases.

#![allow(clippy::disallowed_methods, reason = "tests look into the database behind the application's back")]

mod absences;
mod access;
mod appointments;
mod audit;
mod calendar;
mod calling;
mod changes;
mod closing;
mod consents;
mod counties;
mod data_requests;
mod halls;
mod harness;
mod holds;
mod jobs;
mod keys;
mod launcher;
mod limits;
mod merging;
mod message_templates;
mod messages;
mod moving;
mod notices;
mod openapi;
mod outages;
mod people;
mod places;
mod proxies;
mod queue;
mod races;
mod reminders;
mod requests;
mod schema;
mod sessions;
mod settings;
mod staff;
mod staff_import;
mod staff_leaving;
mod staff_login;
mod todos;
mod units;
mod waiting;
mod waiting_rules;
mod windows;
