//! Jobs: what is to be done after a write, prompt through Redis, certain through PostgreSQL.
//!
//! ```text
//! outbox row ──relay──▶ Redis stream ──worker──▶ claimed ──done──▶ row deleted
//!      ▲                                            │
//!      └──────────── fails: again later ◀───────────┤
//!                                                   └─ last attempt ─▶ dead, until a person replays it
//! ```
//! The row is written in the transaction that wants the job, and deleted in the transaction that did it. A wiped Redis, a
//! dead worker or a crash between any two steps only means that the relay pushes the row again.

pub mod routes;
pub mod store;
mod worker;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    app::App,
    appointments, attachments, calendar, consents, data_requests, errands,
    error::{Error, Result},
    messages, orders, ratings, sync,
};

pub use worker::{run, run_due};

/// Attempts before a job is given up: 12, over about two hours.
pub const MAX_ATTEMPTS: i32 = 12;

/// A kind of job. Its payload is ids: what happened since it was written counts.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    const KIND: &'static str;

    /// Does it, and ends with [`Ticket::done`] in the transaction that holds its effect. May run more than once.
    fn run(self, app: &Arc<App>, ticket: Ticket) -> impl Future<Output = Result<()>>;
}

/// The right to finish a job: good while no other worker has claimed it since.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub county: i32,
    id: i64,
    attempt: i32,
}

impl Ticket {
    /// Deletes the job's row with its effect; fails, and undoes the effect, if another worker has taken over.
    pub fn done(&self, conn: &mut PgConnection) -> Result<()> {
        if store::done(conn, self.id, self.attempt)? == 1 {
            Ok(())
        } else {
            Err(Error::unavailable("another worker took over"))
        }
    }

    /// Puts the job off without counting the attempt, in the transaction that holds what it did so far: it is not time yet,
    /// or there is a next step. Like [`done`](Self::done) it fails if another worker has taken over.
    pub fn later(&self, conn: &mut PgConnection, at: DateTime<Utc>) -> Result<()> {
        if store::later(conn, self.id, self.attempt, at)? == 1 {
            Ok(())
        } else {
            Err(Error::unavailable("another worker took over"))
        }
    }
}

/// A job's number where things are named by UUIDs: in the audit log and in todos.
pub fn entity(number: i64) -> Uuid {
    Uuid::from_u128(number as u128)
}

/// Orders a job in the transaction of `conn`, to run at `at` or as soon after as possible.
pub fn push<J: Job>(conn: &mut PgConnection, county: i32, job: &J, at: DateTime<Utc>) -> QueryResult<()> {
    let payload = serde_json::to_value(job).map_err(|error| diesel::result::Error::SerializationError(error.into()))?;
    store::push(conn, county, J::KIND, &payload, at)
}

async fn start<J: Job>(app: &Arc<App>, claimed: store::Claimed) -> Result<()> {
    let job: J = serde_json::from_value(claimed.payload).map_err(Error::internal)?;
    job.run(app, Ticket { county: claimed.county_id, id: claimed.id, attempt: claimed.attempts }).await
}

macro_rules! jobs {
    ($($job:ty),* $(,)?) => {
        /// Starts a claimed job by its kind.
        async fn dispatch(app: &Arc<App>, claimed: store::Claimed) -> Result<()> {
            match claimed.kind.as_str() {
                $(<$job>::KIND => start::<$job>(app, claimed).await,)*
                other => Err(Error::internal(format!("no job is called {other}"))),
            }
        }
    };
}

// Every job of every room.
jobs! {
    appointments::jobs::Notify,
    appointments::waiting::jobs::OfferPlaces,
    messages::jobs::DeliverMessage,
    data_requests::jobs::MakeExport,
    data_requests::jobs::CloseRecord,
    data_requests::jobs::EraseAgain,
    calendar::jobs::DaysHaveChanged,
    attachments::jobs::ProcessUpload,
    errands::jobs::Notify,
    errands::jobs::Recount,
    errands::following::FollowUp,
    orders::jobs::Notify,
}

/// Idempotent passes over what has become old; several workers may run them at once, and one that fails does not keep the
/// others from running.
pub async fn sweep(app: &App) -> Result<()> {
    let now = app.clock.now();
    let passes: &[(&'static str, Pass)] = &[
        ("purge_idempotency_keys", |conn, now| Ok(store::purge_idempotency_keys(conn, now)?)),
        ("purge_sessions", |conn, now| Ok(crate::sessions::purge(conn, now)?)),
        ("expire_proxies", crate::proxies::expire),
        ("purge_codes", |conn, now| Ok(crate::codes::purge(conn, now)?)),
        ("expire_exports", |conn, now| Ok(data_requests::expire_exports(conn, now)?)),
        ("purge_consents", |conn, now| Ok(consents::purge(conn, now)?)),
        ("close_days", crate::queue::close_days),
        ("disable_stale_staff", crate::staff::disable_stale),
    ];
    let swept = passes_of(app, passes, now).await;
    let files = attachments::sweep(app).await;
    swept.and(files).and(sync::keeping::run(app).await)
}

/// Idempotent passes over what a minute matters for: what a person waits for. Like [`sweep`], and cheap when nothing is due: each
/// reads an index of what is open.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    let now = app.clock.now();
    let passes: &[(&'static str, Pass)] = &[
        ("lapse_holds", appointments::lapsing::holds),
        ("end_partnerships", crate::households::holding::end_planned),
        ("lapse_waiting", |conn, now| Ok(appointments::waiting::lapse(conn, now)?)),
        ("remind_an_hour_before", appointments::reminders::an_hour_before),
        ("remind_a_day_before", appointments::reminders::a_day_before),
    ];
    let lapsed_and_reminded = passes_of(app, passes, now).await;
    let offered = appointments::waiting::offer_everywhere(app).await;
    let errands = errands::sweeps::run(app).await.and(errands::waits::run(app).await);
    let orders = orders::plan_series(app).await.and(orders::sweeps::run(app).await);
    lapsed_and_reminded.and(offered).and(errands).and(orders).and(ratings::asking::run(app).await)
}

async fn passes_of(app: &App, passes: &[(&'static str, Pass)], now: DateTime<Utc>) -> Result<()> {
    let mut failed = Ok(());
    for &(name, pass) in passes {
        loop {
            match app.db.write(name, move |conn| pass(conn, now)).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    failed = Err(error);
                    break;
                }
            }
        }
    }
    failed
}

/// Does a batch; true while there is more.
type Pass = fn(&mut PgConnection, DateTime<Utc>) -> Result<bool>;

/// When to try again after an attempt failed: doubling from 4 s to an hour, with jitter, so that what failed together does not
/// come back together.
pub fn backoff(attempt: i32) -> TimeDelta {
    let seconds = (2i64 << attempt.clamp(1, 11)).min(3600);
    let jitter = rand::random_range(0.75..1.25);
    TimeDelta::milliseconds((seconds as f64 * 1000.0 * jitter) as i64)
}
