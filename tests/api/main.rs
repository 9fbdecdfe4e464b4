//! Black-box tests over HTTP, on real PostgreSQL and Redis: one file per room. `make test` brings the databases.

#![allow(clippy::disallowed_methods, reason = "tests look into the database behind the application's back")]

mod access;
mod appointments;
mod audit;
mod calendar;
mod changes;
mod counties;
mod harness;
mod jobs;
mod keys;
mod launcher;
mod openapi;
mod outages;
mod people;
mod races;
mod requests;
mod schema;
mod sessions;
mod settings;
mod units;
mod windows;
