//! The outbox in the database.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Bool, Integer, Jsonb, Text, Timestamptz},
};
use serde_json::Value;

use crate::{
    db::{found, schema::outbox},
    error::Result,
    statement,
};

/// How long a pushed job may lie on the stream before it is pushed again.
const PUSHED: TimeDelta = TimeDelta::seconds(60);

/// How long a worker may take.
pub const LEASE: TimeDelta = TimeDelta::seconds(60);

pub fn push(conn: &mut PgConnection, county: i32, kind: &str, payload: &Value, at: DateTime<Utc>) -> QueryResult<()> {
    diesel::insert_into(outbox::table)
        .values((
            outbox::county_id.eq(county),
            outbox::kind.eq(kind),
            outbox::payload.eq(payload),
            outbox::run_at.eq(at),
        ))
        .execute(conn)
        .map(drop)
}

statement! {
    struct TakeDue { now: DateTime<Utc> as Timestamptz, until: DateTime<Utc> as Timestamptz, limit: i64 as BigInt }
    "UPDATE outbox SET pushed_until = {until} WHERE id IN ( \
       SELECT id FROM outbox WHERE dead_at IS NULL AND run_at <= {now} \
         AND coalesce(pushed_until, '-infinity') <= {now} AND coalesce(leased_until, '-infinity') <= {now} \
         AND county_id NOT IN (SELECT id FROM counties WHERE state = 'suspended') \
       ORDER BY run_at LIMIT {limit} FOR UPDATE SKIP LOCKED) \
     RETURNING id"
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Takes up to `limit` jobs that are due, not of a suspended county, and neither on the stream nor at a worker, and marks them as pushed.
pub fn take_due(conn: &mut PgConnection, now: DateTime<Utc>, limit: i64) -> QueryResult<Vec<i64>> {
    let rows: Vec<Id> = TakeDue { now, until: now + PUSHED, limit }.load(conn)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// They could not be pushed after all.
pub fn untake(conn: &mut PgConnection, ids: &[i64]) -> QueryResult<usize> {
    diesel::update(outbox::table.filter(outbox::id.eq_any(ids)))
        .set(outbox::pushed_until.eq(None::<DateTime<Utc>>))
        .execute(conn)
}

/// A job that this worker has now.
#[derive(Debug, QueryableByName)]
pub struct Claimed {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Jsonb)]
    pub payload: Value,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    /// How many of them found that it was not time yet.
    #[diesel(sql_type = Integer)]
    pub deferred: i32,
    /// It was given up instead.
    #[diesel(sql_type = Bool)]
    pub dead: bool,
}

statement! {
    struct Claim { id: i64 as BigInt, most: i32 as Integer, now: DateTime<Utc> as Timestamptz, until: DateTime<Utc> as Timestamptz }
    "UPDATE outbox SET attempts = attempts + 1, leased_until = {until}, \
       dead_at = CASE WHEN attempts - deferred >= {most} THEN {now}::timestamptz END, \
       last_error = CASE WHEN attempts - deferred >= {most} THEN 'the worker died during the last attempt' ELSE last_error END \
     WHERE id = {id} AND dead_at IS NULL AND run_at <= {now} AND coalesce(leased_until, '-infinity') <= {now} \
       AND county_id NOT IN (SELECT id FROM counties WHERE state = 'suspended') \
     RETURNING id, county_id, kind, payload, attempts, deferred, dead_at IS NOT NULL AS dead"
}

/// Claims a job by compare-and-set; none if it is done, dead, not due, at another worker or of a suspended county. One that has had all its attempts
/// without noting a failure is given up.
pub fn claim(conn: &mut PgConnection, id: i64, most: i32, now: DateTime<Utc>) -> Result<Option<Claimed>> {
    found(Claim { id, most, now, until: now + LEASE }.get_result(conn))
}

/// Deletes a job that this attempt has done.
pub fn done(conn: &mut PgConnection, id: i64, attempt: i32) -> QueryResult<usize> {
    diesel::delete(outbox::table.find(id).filter(outbox::attempts.eq(attempt))).execute(conn)
}

/// Puts off a job that this attempt found not to be due; the attempt does not count, but its number is never given again.
pub fn later(conn: &mut PgConnection, id: i64, attempt: i32, at: DateTime<Utc>) -> QueryResult<usize> {
    let none = None::<DateTime<Utc>>;
    diesel::update(outbox::table.find(id).filter(outbox::attempts.eq(attempt)))
        .set((
            (outbox::leased_until.eq(none), outbox::pushed_until.eq(none)),
            (outbox::run_at.eq(at), outbox::deferred.eq(outbox::deferred + 1)),
        ))
        .execute(conn)
}

/// Notes a failure: again at `again`, or never without one.
pub fn failed(
    conn: &mut PgConnection,
    claimed: (i64, i32),
    error: &str,
    again: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let never = again.is_none().then_some(now);
    let none = None::<DateTime<Utc>>;
    diesel::update(outbox::table.find(claimed.0).filter(outbox::attempts.eq(claimed.1)))
        .set((
            (outbox::leased_until.eq(none), outbox::pushed_until.eq(none), outbox::last_error.eq(error)),
            (outbox::run_at.eq(again.unwrap_or(now)), outbox::dead_at.eq(never)),
        ))
        .execute(conn)
}

/// A job that was given up.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = outbox, check_for_backend(diesel::pg::Pg))]
pub struct Dead {
    pub id: i64,
    pub kind: String,
    pub payload: Value,
    pub attempts: i32,
    pub last_error: Option<String>,
    pub dead_at: Option<DateTime<Utc>>,
}

/// The county's dead jobs after an id, oldest first, one more than `limit`.
pub fn dead(conn: &mut PgConnection, county: i32, after: i64, limit: i64) -> QueryResult<Vec<Dead>> {
    let here = outbox::table.filter(outbox::county_id.eq(county)).filter(outbox::dead_at.is_not_null());
    here.filter(outbox::id.gt(after)).order(outbox::id).limit(limit + 1).select(Dead::as_select()).load(conn)
}

pub fn count_dead(conn: &mut PgConnection, county: i32) -> QueryResult<i64> {
    let here = outbox::table.filter(outbox::county_id.eq(county)).filter(outbox::dead_at.is_not_null());
    here.count().get_result(conn)
}

/// Brings a dead job back to life with all its attempts.
pub fn replay(conn: &mut PgConnection, county: i32, id: i64, now: DateTime<Utc>) -> Result<Option<Dead>> {
    let row = outbox::table.find(id).filter(outbox::county_id.eq(county)).filter(outbox::dead_at.is_not_null());
    let counters = (outbox::attempts.eq(0), outbox::deferred.eq(0));
    let alive = (outbox::dead_at.eq(None::<DateTime<Utc>>), counters, outbox::run_at.eq(now));
    found(diesel::update(row).set(alive).returning(Dead::as_returning()).get_result(conn))
}

/// Whether the county has a job of that number.
pub fn exists(conn: &mut PgConnection, county: i32, id: i64) -> QueryResult<bool> {
    let row = outbox::table.find(id).filter(outbox::county_id.eq(county));
    diesel::select(diesel::dsl::exists(row)).get_result(conn)
}

/// Jobs waiting and dead, for metrics.
pub fn backlog(conn: &mut PgConnection) -> QueryResult<(i64, i64)> {
    let waiting = outbox::table.filter(outbox::dead_at.is_null()).count().get_result(conn)?;
    let dead = outbox::table.filter(outbox::dead_at.is_not_null()).count().get_result(conn)?;
    Ok((waiting, dead))
}

/// Rows deleted at once: few enough to stay far below the statement timeout.
const BATCH: i64 = 5_000;

statement! {
    struct PurgeKeys { before: DateTime<Utc> as Timestamptz, limit: i64 as BigInt }
    "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency_keys WHERE created_at < {before} LIMIT {limit}))"
}

/// Answers are kept for 7 days. True while there is more to delete.
pub fn purge_idempotency_keys(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    Ok(PurgeKeys { before: now - TimeDelta::days(7), limit: BATCH }.execute(conn)? == BATCH as usize)
}
