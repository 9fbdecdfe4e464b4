//! Black-box tests over HTTP, on real PostgreSQL and Redis: one file per room. `make test` brings the databases.

#![allow(clippy::disallowed_methods, reason = "tests look into the database behind the application's back")]

mod absences;
mod access;
mod appointments;
mod calendar;
mod changes;
mod harness;
mod jobs;
mod launcher;
mod openapi;
mod outages;
mod people;
mod races;
mod requests;
mod schema;
mod sessions;
mod staff;
mod staff_import;
mod staff_login;
mod units;
mod windows;
