//! Black-box tests over HTTP, on real PostgreSQL and Redis: one file per room. `make test` brings the databases.

#![allow(clippy::disallowed_methods, reason = "tests look into the database behind the application's back")]

mod absences;
mod access;
mod appointments;
mod audit;
mod calendar;
mod changes;
mod consents;
mod counties;
mod data_requests;
mod generator;
mod harness;
mod jobs;
mod keys;
mod launcher;
mod merging;
mod message_templates;
mod messages;
mod openapi;
mod outages;
mod people;
mod proxies;
mod races;
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
mod windows;
