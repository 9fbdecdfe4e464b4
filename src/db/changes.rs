//! The feed that phones synchronise from: every write that they must learn of adds a row in its own transaction.
//!
//! A reader takes what lies below `pg_snapshot_xmin`, in `(xid, seq)` order. Rows of transactions still running are above
//! it, so a late commit is never skipped; timestamps and sequences alone would skip it.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, RunQueryDsl,
    sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

/// One thing that changed, and who may see it: a resident, and the staff of a unit.
#[derive(Clone, Debug)]
pub struct Change {
    pub county: i32,
    pub entity: &'static str,
    pub entity_id: Uuid,
    pub unit_id: Option<Uuid>,
    pub resident_id: Option<Uuid>,
    /// A member of staff who must learn of it wherever they work, for example because they booked it.
    pub staff_id: Option<Uuid>,
    /// It is no longer there for them: a tombstone.
    pub gone: bool,
}

crate::statement! {
    struct Record {
        county: i32 as Integer, entity: &'static str as Text, entity_id: Uuid as SqlUuid,
        unit: Option<Uuid> as Nullable<SqlUuid>, resident: Option<Uuid> as Nullable<SqlUuid>, staff: Option<Uuid> as Nullable<SqlUuid>,
        gone: bool as Bool, at: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, gone, at) \
     VALUES ({county}, {entity}, {entity_id}, {unit}, {resident}, {staff}, {gone}, {at})"
}

/// Adds a change in the transaction of `conn`.
pub fn record(conn: &mut PgConnection, change: Change, at: DateTime<Utc>) -> QueryResult<()> {
    let Change { county, entity, entity_id, unit_id: unit, resident_id: resident, staff_id: staff, gone } = change;
    Record { county, entity, entity_id, unit, resident, staff, gone, at }.execute(conn).map(drop)
}

/// Where a reader stands: after this transaction and row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub xid: i64,
    pub seq: i64,
}

/// A change as read back.
#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct Recorded {
    #[diesel(sql_type = BigInt)]
    pub xid: i64,
    #[diesel(sql_type = BigInt)]
    pub seq: i64,
    #[diesel(sql_type = Text)]
    pub entity: String,
    #[diesel(sql_type = SqlUuid)]
    pub entity_id: Uuid,
    #[diesel(sql_type = Bool)]
    pub gone: bool,
}

crate::statement! {
    struct Since { county: i32 as Integer, xid: i64 as BigInt, seq: i64 as BigInt, limit: i64 as BigInt }
    "SELECT xid::text::bigint AS xid, seq, entity, entity_id, gone FROM changes \
     WHERE county_id = {county} AND (xid, seq) > ({xid}::text::xid8, {seq}) \
       AND xid < pg_snapshot_xmin(pg_current_snapshot()) \
     ORDER BY xid, seq LIMIT {limit}"
}

/// The next changes of a county after `position`, oldest first; none of a transaction that is still running, and none
/// after one.
pub fn since(conn: &mut PgConnection, county: i32, position: Position, limit: i64) -> QueryResult<Vec<Recorded>> {
    Since { county, xid: position.xid, seq: position.seq, limit }.load(conn)
}
