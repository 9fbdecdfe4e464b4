//! Appointments in the database.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    model::{Appointment, AppointmentState},
    within::{binds, within},
};
use crate::{
    clock::{local_date, local_midnight},
    db::{
        found,
        schema::{appointment_events, appointments},
    },
    error::Result,
    http::{
        caller::{Reach, Scope},
        page::After,
    },
    rooms::{Day, Entry, Merge, Person},
    statement,
};

/// The columns of [`Appointment`] and where they come from. Names are looked up one by one: joined, PostgreSQL sorts and merges
/// its small tables for every single row, which takes half as long again.
macro_rules! columns {
    () => {
        "SELECT a.county_id, a.id, a.state, a.channel, \
                a.unit_id, (SELECT name FROM units u WHERE u.county_id = a.county_id AND u.id = a.unit_id) AS unit_name, \
                a.window_id, (SELECT name FROM windows w WHERE w.county_id = a.county_id AND w.id = a.window_id) AS window_name, \
                a.matter_id, (SELECT name FROM matters m WHERE m.county_id = a.county_id AND m.id = a.matter_id) AS matter_name, \
                a.resident_id, p.name AS resident_name, p.phone AS resident_phone, a.place, a.address, a.slots, a.held_until, a.waiting_id, \
                a.ticket, a.arrived_at, a.on_time, a.desk_id, a.calls, \
                a.booked_by, a.booked_by_resident, a.starts_at, a.ends_at, a.cancelled_at, a.cancel_reason, a.version, a.created_at, a.updated_at \
         FROM appointments a LEFT JOIN residents p ON p.county_id = a.county_id AND p.id = a.resident_id "
    };
}

pub(super) use columns;

statement! {
    struct Several { county: i32 as Integer, ids: Vec<Uuid> as Array<SqlUuid> }
    concat!(columns!(), "WHERE a.county_id = {county} AND a.id = ANY ({ids})")
}

/// The appointments with these ids, for commands that have found them within their own scope.
pub fn several(conn: &mut PgConnection, county: i32, ids: Vec<Uuid>) -> QueryResult<Vec<Appointment>> {
    Several { county, ids }.load(conn)
}

statement! {
    /// One appointment, by its key.
    pub struct Find {
        county: i32 as Integer, id: Uuid as SqlUuid, own: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>,
        me: Uuid as SqlUuid, today: NaiveDate as Date,
    }
    concat!(columns!(), "WHERE a.county_id = {county} AND a.id = {id}", within!("a"))
}

statement! {
    /// A page of one resident's appointments: an index range.
    struct OfResident {
        county: i32 as Integer, resident: Uuid as SqlUuid, unit: Option<Uuid> as Nullable<SqlUuid>, own: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>,
        me: Uuid as SqlUuid, today: NaiveDate as Date, state: Option<AppointmentState> as Nullable<Text>, from: DateTime<Utc> as Timestamptz, to: DateTime<Utc> as Timestamptz,
        after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    concat!(columns!(), "WHERE a.county_id = {county} AND a.resident_id = {resident} \
        AND ({unit}::uuid IS NULL OR a.unit_id = {unit}) AND (a.starts_at, a.id) > ({after_at}, {after_id}) \
        AND a.starts_at >= {from} AND a.starts_at < {to} AND ({state}::text IS NULL OR a.state = {state})", within!("a"),
        "ORDER BY a.starts_at, a.id LIMIT {limit}")
}

statement! {
    /// A page of the appointments at one unit's centre: an index range.
    struct AtUnit {
        county: i32 as Integer, unit: Uuid as SqlUuid, own: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>,
        me: Uuid as SqlUuid, today: NaiveDate as Date, state: Option<AppointmentState> as Nullable<Text>, from: DateTime<Utc> as Timestamptz, to: DateTime<Utc> as Timestamptz,
        after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    concat!(columns!(), "WHERE a.county_id = {county} AND a.unit_id = {unit} AND (a.starts_at, a.id) > ({after_at}, {after_id}) \
        AND a.starts_at >= {from} AND a.starts_at < {to} AND ({state}::text IS NULL OR a.state = {state})", within!("a"),
        "ORDER BY a.starts_at, a.id LIMIT {limit}")
}

/// What a list is of, and which part of it.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    pub of: Of,
    pub state: Option<AppointmentState>,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// Of a resident, everywhere or at one unit's centre.
    Resident(Uuid, Option<Uuid>),
    Unit(Uuid),
}

/// The appointment with an id, if `me` may see it.
pub fn find(
    conn: &mut PgConnection,
    scope: Scope,
    (me, today): (Uuid, NaiveDate),
    id: Uuid,
) -> Result<Option<Appointment>> {
    let (own, within) = binds(scope);
    found(Find { county: scope.county, id, own, within, me, today }.get_result(conn))
}

/// Appointments that `me` may see, earliest first, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    scope: Scope,
    (me, today): (Uuid, NaiveDate),
    filter: Filter,
    after: After,
    limit: i64,
) -> QueryResult<Vec<Appointment>> {
    let ((own, within), county, limit) = (binds(scope), scope.county, limit + 1);
    let Filter { of, state, from, to } = filter;
    let (after_at, after_id) = (after.at.max(DateTime::UNIX_EPOCH), after.id);
    match of {
        Of::Resident(resident, unit) => {
            OfResident { county, resident, unit, own, within, me, today, state, from, to, after_at, after_id, limit }
                .load(conn)
        }
        Of::Unit(unit) => {
            AtUnit { county, unit, own, within, me, today, state, from, to, after_at, after_id, limit }.load(conn)
        }
    }
}

statement! {
    struct Count {
        county: i32 as Integer, resident: Option<Uuid> as Nullable<SqlUuid>, unit: Option<Uuid> as Nullable<SqlUuid>,
        own: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, me: Uuid as SqlUuid, today: NaiveDate as Date,
        state: Option<AppointmentState> as Nullable<Text>, from: DateTime<Utc> as Timestamptz, to: DateTime<Utc> as Timestamptz,
    }
    concat!("SELECT count(*) AS n FROM appointments a WHERE a.county_id = {county} AND ({resident}::uuid IS NULL OR a.resident_id = {resident}) \
        AND ({unit}::uuid IS NULL OR a.unit_id = {unit}) AND a.starts_at >= {from} AND a.starts_at < {to} \
        AND ({state}::text IS NULL OR a.state = {state})", within!("a"))
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// How many appointments a list has in all.
pub fn count(
    conn: &mut PgConnection,
    scope: Scope,
    (me, today): (Uuid, NaiveDate),
    filter: Filter,
) -> QueryResult<i64> {
    let ((own, within), county) = (binds(scope), scope.county);
    let Filter { of, state, from, to } = filter;
    let (resident, unit) = match of {
        Of::Resident(resident, unit) => (Some(resident), unit),
        Of::Unit(unit) => (None, Some(unit)),
    };
    let count = Count { county, resident, unit, own, within, me, today, state, from, to };
    count.get_result::<Counted>(conn).map(|counted| counted.n)
}

statement! {
    struct Facing { county: i32 as Integer, id: Uuid as SqlUuid }
    concat!(columns!(), "WHERE a.county_id = {county} AND a.id = {id}")
}

/// The appointment of a job: no caller, no scope.
pub fn for_job(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Appointment>> {
    found(Facing { county, id }.get_result(conn))
}

fn entry(row: Appointment) -> Entry {
    let title = crate::error::Text::new(
        format!("预约：{}（{}）", row.matter_name, row.unit_name),
        format!("Appointment: {} ({})", row.matter_name, row.unit_name),
    );
    Entry {
        entity: "appointment",
        id: row.id,
        at: Some(row.starts_at),
        until: Some(row.ends_at),
        state: row.state.as_str().to_owned(),
        title,
        resident_id: row.resident_id,
        holder_id: None,
    }
}

/// More than a centre has in a day.
const WHOLE_DAY: i64 = 1_000;

/// Those that are still to be kept.
fn live(rows: Vec<Appointment>) -> Vec<Entry> {
    rows.into_iter().filter(|row| AppointmentState::LIVE.contains(&row.state)).map(entry).collect()
}

/// What is booked at the centre of one's post that day, and who is in the hall.
pub fn day(conn: &mut PgConnection, day: &Day) -> Result<Vec<Entry>> {
    let Some(unit) = day.unit else { return Ok(Vec::new()) };
    let scope = Scope { county: day.county, reach: Reach::County };
    let filter = Filter { of: Of::Unit(unit), state: None, from: day.from, to: day.to };
    Ok(live(list(conn, scope, (Uuid::nil(), local_date(day.now)), filter, After::START, WHOLE_DAY)?))
}

/// What a resident has booked and has not got done.
pub fn open_for(conn: &mut PgConnection, person: Person) -> Result<Vec<Entry>> {
    let scope = Scope { county: person.county, reach: Reach::County };
    let today = local_date(person.now);
    let to = DateTime::UNIX_EPOCH + TimeDelta::days(365 * 200);
    let filter = Filter { of: Of::Resident(person.id, None), state: None, from: local_midnight(today), to };
    Ok(live(list(conn, scope, (Uuid::nil(), today), filter, After::START, 200)?))
}

/// A duplicate's appointments go over. Both having booked the same matter on the same day is for a person to solve first.
pub fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    // Somebody who is two people may hold two places; a hold is quickly made again.
    super::writing::lapse(conn, (merge.county, merge.from), None, merge.now)?;
    let here = || appointments::table.filter(appointments::county_id.eq(merge.county));
    let moved = diesel::update(here().filter(appointments::resident_id.eq(merge.from)))
        .set((
            appointments::resident_id.eq(merge.into),
            appointments::version.eq(appointments::version + 1),
            appointments::updated_at.eq(merge.now),
        ))
        .execute(conn)?;
    diesel::update(here().filter(appointments::booked_by_resident.eq(merge.from)))
        .set(appointments::booked_by_resident.eq(merge.into))
        .execute(conn)?;
    Ok(moved)
}

/// A move in the history of an appointment.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = appointment_events, check_for_backend(diesel::pg::Pg))]
pub struct Event {
    pub version: i64,
    pub at: DateTime<Utc>,
    pub actor_id: Option<Uuid>,
    pub from_state: AppointmentState,
    pub to_state: AppointmentState,
    pub from_starts_at: DateTime<Utc>,
    pub to_starts_at: DateTime<Utc>,
    pub from_window_id: Uuid,
    pub to_window_id: Uuid,
    pub desk_id: Option<Uuid>,
}

/// Every move of an appointment since it was made, oldest first.
pub fn history(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<Vec<Event>> {
    let of = appointment_events::table.filter(appointment_events::county_id.eq(county));
    let of = of.filter(appointment_events::appointment_id.eq(id)).order(appointment_events::version);
    of.select(Event::as_select()).load(conn)
}
