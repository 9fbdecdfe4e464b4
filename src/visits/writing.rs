//! Check-ins written: the households first, then, in one statement, visits, other versions and the answer that is kept.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Binary, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    deciding::{NewConflict, NewVisit, Plan},
    model::Clocks,
    rules::Weighed,
};
use crate::{
    app::App,
    clock::local_date,
    error::{Code, Error, Result, Retry},
    households,
    http::idempotency::Keep,
    statement,
};

statement! {
    /// Writes visits and other versions, and keeps the answer.
    pub struct Write {
        county: i32 as Integer, staff: Uuid as SqlUuid, sent_at: DateTime<Utc> as Timestamptz, visits: Value as Jsonb, conflicts: Value as Jsonb,
        caller: Option<Uuid> as Nullable<SqlUuid>, operation: Option<&'static str> as Nullable<Text>, key: Option<String> as Nullable<Text>, digest: Option<Vec<u8>> as Nullable<Binary>,
        status: Option<i16> as Nullable<SmallInt>, location: Option<String> as Nullable<Text>, etag: Option<String> as Nullable<Text>, body: Option<Vec<u8>> as Nullable<Binary>,
        now: DateTime<Utc> as Timestamptz,
    }
    "WITH made AS (INSERT INTO visits (county_id, id, household_id, unit_id, staff_id, outcome, place, device_at, sent_at, skew_seconds, occurred_at, on_date, recorded_at, \
         coordinate_system, raw_lng, raw_lat, lng, lat, accuracy_m, mocked, no_position_reason, distance_m, flags, left_out, photos, said) \
       SELECT {county}, r.id, r.household, r.unit, {staff}, r.outcome, r.place, r.device_at, {sent_at}, r.skew_seconds, r.occurred_at, r.on_date, {now}, \
         r.coordinate_system, r.raw_lng, r.raw_lat, r.lng, r.lat, r.accuracy_m, r.mocked, r.no_position_reason, r.distance_m, r.flags, r.left_out, r.photos, r.said \
       FROM jsonb_to_recordset({visits}) AS r (id uuid, household uuid, unit uuid, outcome text, place text, device_at timestamptz, skew_seconds bigint, occurred_at timestamptz, on_date date, \
         coordinate_system text, raw_lng float8, raw_lat float8, lng float8, lat float8, accuracy_m float8, mocked bool, no_position_reason text, distance_m float8, flags text[], left_out text[], photos uuid[], said bytea) \
       ON CONFLICT (county_id, id) DO NOTHING RETURNING id), \
     clashed AS (INSERT INTO visit_conflicts (county_id, id, visit_id, household_id, unit_id, staff_id, occurred_at, recorded_at, coordinate_system, raw_lng, raw_lat, accuracy_m, mocked, left_out, said) \
       SELECT {county}, r.id, r.visit, r.household, r.unit, {staff}, r.occurred_at, {now}, r.coordinate_system, r.raw_lng, r.raw_lat, r.accuracy_m, r.mocked, r.left_out, r.said \
       FROM jsonb_to_recordset({conflicts}) AS r (id uuid, visit uuid, household uuid, unit uuid, occurred_at timestamptz, coordinate_system text, raw_lng float8, raw_lat float8, \
         accuracy_m float8, mocked bool, left_out text[], said bytea)), \
     kept AS (INSERT INTO idempotency_keys (county_id, caller_id, operation, key, request_digest, status, location, etag, body, created_at) \
       SELECT {county}, {caller}, {operation}, {key}, {digest}, {status}, {location}, {etag}, {body}, {now} WHERE {key}::text IS NOT NULL) \
     SELECT count(*) AS n FROM made"
}

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Bytes as PostgreSQL reads them from JSON.
fn hex(bytes: &[u8]) -> String {
    format!("\\x{}", hex::encode(bytes))
}

/// A reading as it was said.
fn raw(weighed: &Weighed) -> Map<String, Value> {
    let position = weighed.said.position;
    let columns = [
        ("coordinate_system", json!(position.map(|reading| reading.coordinate_system))),
        ("raw_lng", json!(position.map(|reading| reading.lng))),
        ("raw_lat", json!(position.map(|reading| reading.lat))),
        ("accuracy_m", json!(position.map(|reading| reading.accuracy_m))),
        ("mocked", json!(position.is_some_and(|reading| reading.mocked))),
        ("occurred_at", json!(weighed.occurred_at)),
        ("left_out", json!(weighed.left_out)),
    ];
    columns.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn row(weighed: &Weighed, more: Value) -> Value {
    let mut row = raw(weighed);
    if let Value::Object(more) = more {
        row.extend(more);
    }
    Value::Object(row)
}

fn visit(new: &NewVisit) -> Value {
    let NewVisit { id, household, unit, weighed, said: sealed } = new;
    let Weighed { said, point, .. } = weighed;
    let more = json!({"id": id, "household": household, "unit": unit, "outcome": said.outcome, "place": said.place, "device_at": said.device_at,
        "skew_seconds": weighed.skew_seconds, "on_date": local_date(weighed.occurred_at), "lng": point.map(|point| point.lng), "lat": point.map(|point| point.lat),
        "no_position_reason": said.no_position_reason, "distance_m": weighed.distance_m, "flags": weighed.flags, "photos": said.photos, "said": hex(sealed)});
    row(weighed, more)
}

fn conflict(new: &NewConflict) -> Value {
    let NewConflict { id, visit, unit, weighed, said: sealed } = new;
    row(
        weighed,
        json!({"id": id, "visit": visit, "household": weighed.said.household_id, "unit": unit, "said": hex(sealed)}),
    )
}

/// Writes what a plan wants. Somebody who wrote a visit of the same id meanwhile was faster: all of it is looked at anew.
pub fn write(
    conn: &mut PgConnection,
    app: &App,
    (county, staff): (i32, Uuid),
    (plan, clocks): (&Plan, Clocks),
    keep: Option<Keep>,
) -> Result<()> {
    let now = clocks.now;
    // Each raises the version of its visit: in one order, whatever the phones'.
    let mut conflicts: Vec<_> = plan.conflicts.iter().collect();
    conflicts.sort_by_key(|new| (new.visit, new.id));
    households::create_on_the_spot(conn, app, (county, staff), &plan.households, now)?;
    let (caller, operation, key, digest, status, location, etag, body) = Keep::binds(keep);
    let write = Write {
        county,
        staff,
        sent_at: clocks.sent_at,
        visits: plan.visits.iter().map(visit).collect(),
        conflicts: conflicts.into_iter().map(conflict).collect(),
        caller,
        operation,
        key,
        digest,
        status,
        location,
        etag,
        body,
        now,
    };
    let written = write.get_result::<Written>(conn)?.n;
    if written == plan.visits.len() as i64 {
        return Ok(());
    }
    Err(Error { retry: Retry::Again, ..Code::IdempotencyInProgress.into() })
}
