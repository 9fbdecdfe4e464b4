//! The waiting list in the database.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    model::{Entry, WaitingState},
    offers::Line,
    rules,
};
use crate::{
    appointments::{
        notices,
        within::{binds, within},
    },
    clock::local_date,
    db::{
        changes::{self, Change},
        found,
    },
    error::{Code, Error, Result, Retry},
    http::{caller::Scope, page::After},
    statement,
    windows::{Channel, Place},
};

/// The columns of [`Entry`]; `$ahead` says how many come before.
macro_rules! entries {
    ($ahead:expr) => {
        concat!("SELECT e.county_id, e.id, e.state, e.channel, e.place, e.address, \
            e.unit_id, (SELECT name FROM units u WHERE u.county_id = e.county_id AND u.id = e.unit_id) AS unit_name, \
            e.matter_id, (SELECT name FROM matters m WHERE m.county_id = e.county_id AND m.id = e.matter_id) AS matter_name, \
            e.resident_id, p.name AS resident_name, p.phone AS resident_phone, p.unit_id AS resident_unit_id, e.booked_by, e.booked_by_resident, \
            e.on_date, e.earliest, e.latest, ", $ahead, " AS ahead, e.offered_until, e.appointment_id, \
            (SELECT a.starts_at FROM appointments a WHERE a.county_id = e.county_id AND a.id = e.appointment_id) AS starts_at, \
            e.version, e.created_at, e.updated_at \
          FROM waiting_entries e JOIN residents p ON p.county_id = e.county_id AND p.id = e.resident_id ")
    };
}

/// Those before who could be offered the same place: their time overlaps, and a window serves both matters.
macro_rules! ahead {
    () => {
        "CASE e.state WHEN 'waiting' THEN (SELECT count(*) FROM waiting_entries b \
            WHERE b.county_id = e.county_id AND b.unit_id = e.unit_id AND b.on_date = e.on_date AND b.state = 'waiting' \
              AND (b.created_at, b.id) < (e.created_at, e.id) AND b.place = e.place AND b.earliest <= e.latest AND b.latest >= e.earliest \
              AND EXISTS (SELECT FROM window_matters own JOIN window_matters other ON other.county_id = own.county_id AND other.window_id = own.window_id \
                            JOIN windows w ON w.county_id = own.county_id AND w.id = own.window_id AND w.unit_id = e.unit_id \
                           WHERE own.county_id = e.county_id AND own.matter_id = e.matter_id AND other.matter_id = b.matter_id)) ELSE 0 END"
    };
}

/// What a list is narrowed to.
macro_rules! filtered {
    () => {
        " AND ({state}::text IS NULL OR e.state = {state}) AND ({on}::date IS NULL OR e.on_date = {on}) "
    };
}

statement! {
    struct Find {
        county: i32 as Integer, id: Uuid as SqlUuid, own: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>,
        me: Uuid as SqlUuid, today: NaiveDate as Date,
    }
    concat!(entries!(ahead!()), "WHERE e.county_id = {county} AND e.id = {id}", within!("e"))
}

statement! {
    struct OfResident {
        county: i32 as Integer, resident: Uuid as SqlUuid, unit: Option<Uuid> as Nullable<SqlUuid>, own: Option<Uuid> as Nullable<SqlUuid>,
        within: Option<Uuid> as Nullable<SqlUuid>, me: Uuid as SqlUuid, today: NaiveDate as Date, state: Option<WaitingState> as Nullable<Text>,
        on: Option<NaiveDate> as Nullable<Date>, after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    concat!(entries!(ahead!()), "WHERE e.county_id = {county} AND e.resident_id = {resident} AND ({unit}::uuid IS NULL OR e.unit_id = {unit}) \
        AND (e.created_at, e.id) > ({after_at}, {after_id})", filtered!(), within!("e"), "ORDER BY e.created_at, e.id LIMIT {limit}")
}

statement! {
    struct AtUnit {
        county: i32 as Integer, unit: Uuid as SqlUuid, own: Option<Uuid> as Nullable<SqlUuid>,
        within: Option<Uuid> as Nullable<SqlUuid>, me: Uuid as SqlUuid, today: NaiveDate as Date, state: Option<WaitingState> as Nullable<Text>,
        on: Option<NaiveDate> as Nullable<Date>, after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    concat!(entries!(ahead!()), "WHERE e.county_id = {county} AND e.unit_id = {unit} \
        AND (e.created_at, e.id) > ({after_at}, {after_id})", filtered!(), within!("e"), "ORDER BY e.created_at, e.id LIMIT {limit}")
}

statement! {
    struct Count {
        county: i32 as Integer, resident: Option<Uuid> as Nullable<SqlUuid>, unit: Option<Uuid> as Nullable<SqlUuid>, own: Option<Uuid> as Nullable<SqlUuid>,
        within: Option<Uuid> as Nullable<SqlUuid>, me: Uuid as SqlUuid, today: NaiveDate as Date, state: Option<WaitingState> as Nullable<Text>,
        on: Option<NaiveDate> as Nullable<Date>,
    }
    concat!("SELECT count(*) AS n FROM waiting_entries e WHERE e.county_id = {county} AND ({resident}::uuid IS NULL OR e.resident_id = {resident}) \
        AND ({unit}::uuid IS NULL OR e.unit_id = {unit})", filtered!(), within!("e"))
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// What a list is of, and which part of it.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Of a resident, everywhere or at one centre; or of everybody at a centre.
    pub resident: Option<Uuid>,
    pub unit: Option<Uuid>,
    pub state: Option<WaitingState>,
    pub on: Option<NaiveDate>,
}

/// The entry with an id, if `me` may see it.
pub fn find(conn: &mut PgConnection, scope: Scope, (me, today): (Uuid, NaiveDate), id: Uuid) -> Result<Option<Entry>> {
    let (own, within) = binds(scope);
    found(Find { county: scope.county, id, own, within, me, today }.get_result(conn))
}

/// Entries that `me` may see, in the order of the line, one more than `limit`; none without a resident or a unit.
pub fn list(
    conn: &mut PgConnection,
    scope: Scope,
    (me, today): (Uuid, NaiveDate),
    filter: Filter,
    after: After,
    limit: i64,
) -> QueryResult<Vec<Entry>> {
    let ((own, within), county, limit) = (binds(scope), scope.county, limit + 1);
    let Filter { resident, unit, state, on } = filter;
    let (after_at, after_id) = (after.at.max(DateTime::UNIX_EPOCH), after.id);
    match (resident, unit) {
        (Some(resident), unit) => {
            OfResident { county, resident, unit, own, within, me, today, state, on, after_at, after_id, limit }
                .load(conn)
        }
        (None, Some(unit)) => {
            AtUnit { county, unit, own, within, me, today, state, on, after_at, after_id, limit }.load(conn)
        }
        (None, None) => Ok(Vec::new()),
    }
}

/// How many entries a list has in all.
pub fn count(
    conn: &mut PgConnection,
    scope: Scope,
    (me, today): (Uuid, NaiveDate),
    filter: Filter,
) -> QueryResult<i64> {
    let ((own, within), county) = (binds(scope), scope.county);
    let Filter { resident, unit, state, on } = filter;
    let count = Count { county, resident, unit, own, within, me, today, state, on };
    count.get_result::<Counted>(conn).map(|counted| counted.n)
}

statement! {
    /// The resident's row is locked as the foreign key would: a merge at the same moment is seen.
    pub struct Join {
        county: i32 as Integer, id: Uuid as SqlUuid, unit: Uuid as SqlUuid, matter: Uuid as SqlUuid, resident: Uuid as SqlUuid,
        channel: Channel as Text, place: Place as Text, address: Option<Vec<u8>> as Nullable<Binary>, booked_by: Option<Uuid> as Nullable<SqlUuid>,
        booked_by_resident: Option<Uuid> as Nullable<SqlUuid>, on: NaiveDate as Date, earliest: DateTime<Utc> as Timestamptz,
        latest: DateTime<Utc> as Timestamptz, until: DateTime<Utc> as Timestamptz, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO waiting_entries (county_id, id, unit_id, matter_id, resident_id, channel, place, address, booked_by, booked_by_resident, \
       on_date, earliest, latest, until, state, created_at, updated_at) \
     SELECT {county}, {id}, {unit}, {matter}, p.id, {channel}, {place}, {address}, {booked_by}, {booked_by_resident}, \
       {on}, {earliest}, {latest}, {until}, 'waiting', {now}, {now} \
     FROM residents p WHERE p.county_id = {county} AND p.id = {resident} AND p.merged_into IS NULL AND p.closed_at IS NULL FOR KEY SHARE"
}

fn changed(entry: &Entry) -> Change {
    let (unit_id, resident_id, staff_id) = (Some(entry.unit_id), Some(entry.resident_id), entry.booked_by);
    let (county, entity_id) = (entry.county_id, entry.id);
    Change { county, entity: "waiting_entry", entity_id, unit_id, resident_id, staff_id, gone: false }
}

/// Tells the phones of those concerned.
pub fn tell(conn: &mut PgConnection, entry: &Entry, now: DateTime<Utc>) -> QueryResult<()> {
    changes::record(conn, changed(entry), now)
}

/// It is no longer this resident's: their phone forgets it.
pub fn tell_gone(conn: &mut PgConnection, entry: &Entry, now: DateTime<Utc>) -> QueryResult<()> {
    changes::record(conn, Change { unit_id: None, staff_id: None, gone: true, ..changed(entry) }, now)
}

statement! {
    struct Leave { county: i32 as Integer, id: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE waiting_entries SET state = 'left', version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND id = {id} AND state = 'waiting'"
}

statement! {
    /// The entry follows by trigger. Only what is held: an offer that was taken a moment ago is a booking.
    struct Decline {
        county: i32 as Integer, id: Uuid as SqlUuid, entry: Uuid as SqlUuid, by: Option<Uuid> as Nullable<SqlUuid>, now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE appointments SET state = 'cancelled', cancelled_at = {now}, version = version + 1, updated_at = {now}, updated_by = {by} \
     WHERE county_id = {county} AND id = {id} AND waiting_id = {entry} AND state = 'held'"
}

/// Takes somebody off the list, with the place that is offered to them. An entry that is not as it was read is looked at again.
pub fn leave(conn: &mut PgConnection, entry: &Entry, by: Option<Uuid>, now: DateTime<Utc>) -> Result<()> {
    let (county, id) = (entry.county_id, entry.id);
    let left = match (entry.state, entry.appointment_id) {
        (WaitingState::Waiting, _) => {
            tell(conn, entry, now)?;
            Leave { county, id, now }.execute(conn)?
        }
        (WaitingState::Offered, Some(appointment)) => {
            notices::withdraw(conn, county, appointment, now)?;
            Decline { county, id: appointment, entry: id, by, now }.execute(conn)?
        }
        _ => return Err(rules::WaitingError::NotWaiting.into()),
    };
    if left == 1 { Ok(()) } else { Err(Error { retry: Retry::Again, ..Code::NotWaiting.into() }) }
}

statement! {
    struct LockLine { county: i32 as Integer, unit: Uuid as SqlUuid, on: NaiveDate as Date }
    "SELECT pg_advisory_xact_lock(hashtextextended('waiting' || {unit}::text || {on}::text, {county}))"
}

/// One at a time offers in a line, so that nobody is passed over and nobody is offered two places.
pub fn lock_line(conn: &mut PgConnection, Line { county, unit, on }: Line) -> QueryResult<usize> {
    LockLine { county, unit, on }.execute(conn)
}

statement! {
    struct InLine { county: i32 as Integer, unit: Uuid as SqlUuid, on: NaiveDate as Date, now: DateTime<Utc> as Timestamptz }
    concat!(entries!("0::bigint"), "WHERE e.county_id = {county} AND e.unit_id = {unit} AND e.on_date = {on} AND e.state = 'waiting' AND e.latest > {now} \
        ORDER BY e.created_at, e.id FOR UPDATE OF e")
}

/// Who waits, in order, locked: whoever leaves at this moment is left out or leaves afterwards.
pub fn line(conn: &mut PgConnection, Line { county, unit, on }: Line, now: DateTime<Utc>) -> QueryResult<Vec<Entry>> {
    InLine { county, unit, on, now }.load(conn)
}

statement! {
    struct Lines { today: NaiveDate as Date, now: DateTime<Utc> as Timestamptz }
    "SELECT DISTINCT county_id, unit_id, on_date FROM waiting_entries WHERE state = 'waiting' AND on_date >= {today} AND latest > {now} \
       AND county_id NOT IN (SELECT id FROM counties WHERE state = 'suspended') ORDER BY county_id, on_date, unit_id"
}

#[derive(QueryableByName)]
struct LineRow {
    #[diesel(sql_type = Integer)]
    county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    unit_id: Uuid,
    #[diesel(sql_type = Date)]
    on_date: NaiveDate,
}

/// Every line in which somebody waits.
pub fn lines(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<Vec<Line>> {
    let rows: Vec<LineRow> = Lines { today: local_date(now), now }.load(conn)?;
    Ok(rows.into_iter().map(|row| Line { county: row.county_id, unit: row.unit_id, on: row.on_date }).collect())
}

statement! {
    struct Offer {
        county: i32 as Integer, id: Uuid as SqlUuid, appointment: Uuid as SqlUuid, until: DateTime<Utc> as Timestamptz, now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE waiting_entries SET state = 'offered', appointment_id = {appointment}, offered_until = {until}, version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND id = {id} AND state = 'waiting'"
}

/// Writes that a place is kept for somebody.
pub fn offer(
    conn: &mut PgConnection,
    entry: &Entry,
    (appointment, until): (Uuid, DateTime<Utc>),
    now: DateTime<Utc>,
) -> QueryResult<()> {
    Offer { county: entry.county_id, id: entry.id, appointment, until, now }.execute(conn)?;
    tell(conn, entry, now)
}

statement! {
    struct Settle { county: i32 as Integer, id: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE waiting_entries e SET state = 'booked', appointment_id = a.id, version = e.version + 1, updated_at = {now} \
       FROM (SELECT county_id, id, resident_id, matter_id, on_date FROM appointments \
              WHERE county_id = {county} AND state IN ('booked', 'arrived', 'called', 'serving') AND channel <> 'walk_in') a \
     WHERE e.county_id = {county} AND e.id = {id} AND e.state = 'waiting' \
       AND a.resident_id = e.resident_id AND a.matter_id = e.matter_id AND a.on_date = e.on_date"
}

/// Whoever has booked the matter for that day otherwise waits no longer.
pub fn settle(conn: &mut PgConnection, entry: &Entry, now: DateTime<Utc>) -> QueryResult<()> {
    match (Settle { county: entry.county_id, id: entry.id, now }).execute(conn)? {
        0 => Ok(()),
        _ => tell(conn, entry, now),
    }
}

/// Rows in one transaction.
const BATCH: i64 = 500;

statement! {
    struct Lapse { before: DateTime<Utc> as Timestamptz, now: DateTime<Utc> as Timestamptz, limit: i64 as BigInt }
    "WITH lapsed AS ( \
       UPDATE waiting_entries e SET state = 'lapsed', version = e.version + 1, updated_at = {now} FROM ( \
         SELECT county_id, id FROM waiting_entries WHERE state = 'waiting' AND latest <= {before} LIMIT {limit} FOR UPDATE SKIP LOCKED) late \
       WHERE e.county_id = late.county_id AND e.id = late.id RETURNING e.*) \
     INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at) \
     SELECT county_id, 'waiting_entry', id, unit_id, resident_id, booked_by, {now} FROM lapsed"
}

/// Whom nothing can be offered any more waits no longer; true while there are more.
pub fn lapse(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    // As in `rules::too_late`, seen from the other side.
    let before = now + (DateTime::UNIX_EPOCH - rules::too_late(DateTime::UNIX_EPOCH));
    Ok(Lapse { before, now, limit: BATCH }.execute(conn)? == BATCH as usize)
}
