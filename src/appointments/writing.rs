//! What writes appointments: one guarded statement per move. Triggers do the rest (see [`super`]).

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types::{BigInt, Binary, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    model::{Appointment, AppointmentState},
    placing::Placed,
};
use crate::{
    db::schema::appointments,
    error::{Code, Error, Result, Retry},
    statement,
    windows::{Channel, Place},
};

/// An appointment to be made.
#[derive(Clone, Debug)]
pub struct New {
    pub county: i32,
    pub id: Uuid,
    pub unit: Uuid,
    pub matter: Uuid,
    pub resident: Uuid,
    pub booked_by: Option<Uuid>,
    pub booked_by_resident: Option<Uuid>,
    pub channel: Channel,
    pub placed: Placed,
    /// Sealed.
    pub address: Option<Vec<u8>>,
    pub nth: i16,
    /// Until when it is only held; none: booked.
    pub held_until: Option<DateTime<Utc>>,
    /// The entry of the waiting list to which it is offered.
    pub waiting: Option<Uuid>,
    pub now: DateTime<Utc>,
}

statement! {
    /// The resident's row is locked as the foreign key would: a merge at the same moment is seen, and nothing is left behind.
    pub struct Insert {
        county: i32 as Integer, id: Uuid as SqlUuid, unit: Uuid as SqlUuid, window: Uuid as SqlUuid, matter: Uuid as SqlUuid,
        resident: Uuid as SqlUuid, booked_by: Option<Uuid> as Nullable<SqlUuid>, booked_by_resident: Option<Uuid> as Nullable<SqlUuid>,
        channel: Channel as Text, place: Place as Text, address: Option<Vec<u8>> as Nullable<Binary>, on_date: NaiveDate as Date,
        starts_at: DateTime<Utc> as Timestamptz, ends_at: DateTime<Utc> as Timestamptz, slots: i16 as SmallInt,
        busy_from: DateTime<Utc> as Timestamptz, busy_until: DateTime<Utc> as Timestamptz, capacity: i16 as SmallInt, capacity_total: i16 as SmallInt,
        nth: i16 as SmallInt, state: AppointmentState as Text, held_until: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        waiting: Option<Uuid> as Nullable<SqlUuid>, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO appointments (county_id, id, unit_id, window_id, matter_id, resident_id, booked_by, booked_by_resident, channel, place, address, \
       on_date, starts_at, ends_at, slots, busy_from, busy_until, capacity, capacity_total, nth, state, held_until, waiting_id, created_at, updated_at) \
     SELECT {county}, {id}, {unit}, {window}, {matter}, p.id, {booked_by}, {booked_by_resident}, {channel}, {place}, {address}, \
       {on_date}, {starts_at}, {ends_at}, {slots}, {busy_from}, {busy_until}, {capacity}, {capacity_total}, {nth}, {state}, {held_until}, {waiting}, {now}, {now} \
     FROM residents p WHERE p.county_id = {county} AND p.id = {resident} AND p.merged_into IS NULL AND p.closed_at IS NULL FOR KEY SHARE"
}

/// A row that lost a race for the last place, or for the resident's only one, is decided again with fresh facts: they say it
/// better, or find another window.
fn again(error: DieselError) -> Error {
    const RACES: &[&str] = &[
        "appointments_never_overbooked",
        "appointments_waited_for",
        "appointments_one_a_day",
        "appointments_one_hold",
    ];
    let lost = match &error {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::CheckViolation, info) => {
            info.constraint_name().is_some_and(|name| RACES.contains(&name))
        }
        _ => false,
    };
    let error = Error::from(error);
    if lost { Error { retry: Retry::Again, ..error } } else { error }
}

fn one(changed: QueryResult<usize>) -> Result<()> {
    match changed.map_err(again)? {
        // Somebody moved it, or merged the resident, since it was read.
        0 => Err(Error { retry: Retry::Again, ..Code::VersionStale.into() }),
        _ => Ok(()),
    }
}

/// Takes the place, or fails with an error that is worth another try with fresh facts.
pub fn insert(conn: &mut PgConnection, new: &New) -> Result<()> {
    let placed = &new.placed;
    let insert = Insert {
        county: new.county,
        id: new.id,
        unit: new.unit,
        window: placed.window,
        matter: new.matter,
        resident: new.resident,
        booked_by: new.booked_by,
        booked_by_resident: new.booked_by_resident,
        channel: new.channel,
        place: placed.place,
        address: new.address.clone(),
        on_date: placed.on_date,
        starts_at: placed.starts_at,
        ends_at: placed.ends_at,
        slots: placed.slots,
        busy_from: placed.busy_from,
        busy_until: placed.busy_until,
        capacity: placed.capacity,
        capacity_total: placed.capacity_total,
        nth: new.nth,
        state: if new.held_until.is_some() { AppointmentState::Held } else { AppointmentState::Booked },
        held_until: new.held_until,
        waiting: new.waiting,
        now: new.now,
    };
    one(insert.execute(conn))
}

statement! {
    /// The old place is free in the moment in which the new one is taken: it is the same row.
    struct Move {
        county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, unit: Uuid as SqlUuid, window: Uuid as SqlUuid, channel: Channel as Text,
        place: Place as Text, address: Option<Vec<u8>> as Nullable<Binary>, on_date: NaiveDate as Date,
        starts_at: DateTime<Utc> as Timestamptz, ends_at: DateTime<Utc> as Timestamptz, slots: i16 as SmallInt,
        busy_from: DateTime<Utc> as Timestamptz, busy_until: DateTime<Utc> as Timestamptz, capacity: i16 as SmallInt, capacity_total: i16 as SmallInt,
        nth: i16 as SmallInt, by: Option<Uuid> as Nullable<SqlUuid>, now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE appointments SET unit_id = {unit}, window_id = {window}, channel = {channel}, place = {place}, address = {address}, on_date = {on_date}, \
       starts_at = {starts_at}, ends_at = {ends_at}, slots = {slots}, busy_from = {busy_from}, busy_until = {busy_until}, capacity = {capacity}, \
       capacity_total = {capacity_total}, nth = {nth}, waiting_id = NULL, reminded = 0, moved_at = {now}, version = version + 1, updated_at = {now}, updated_by = {by} \
     WHERE county_id = {county} AND id = {id} AND state = 'booked' AND version = {version}"
}

/// Where an appointment goes.
#[derive(Clone, Debug)]
pub struct Moved {
    pub unit: Uuid,
    pub channel: Channel,
    pub placed: Placed,
    /// Sealed.
    pub address: Option<Vec<u8>>,
    pub nth: i16,
    /// Who moves it; none: the system.
    pub by: Option<Uuid>,
    pub now: DateTime<Utc>,
}

/// Gives an appointment that is as it was read another place.
pub fn reschedule(conn: &mut PgConnection, row: &Appointment, moved: Moved) -> Result<()> {
    let Moved { unit, channel, placed, address, nth, by, now } = moved;
    let Placed {
        window,
        place,
        on_date,
        starts_at,
        ends_at,
        busy_from,
        busy_until,
        slots,
        capacity,
        capacity_total,
        ..
    } = placed;
    let step = Move {
        county: row.county_id,
        id: row.id,
        version: row.version,
        unit,
        window,
        channel,
        place,
        address,
        on_date,
        starts_at,
        ends_at,
        slots,
        busy_from,
        busy_until,
        capacity,
        capacity_total,
        nth,
        by,
        now,
    };
    one(step.execute(conn))
}

/// Turns a held place into a booking, if it is as it was read and still held.
pub fn book(
    conn: &mut PgConnection,
    row: &Appointment,
    address: Option<Vec<u8>>,
    by: Uuid,
    now: DateTime<Utc>,
) -> Result<()> {
    let held = appointments::table.find((row.county_id, row.id)).filter(appointments::version.eq(row.version));
    let held = held.filter(appointments::state.eq(AppointmentState::Held)).filter(appointments::held_until.gt(now));
    let set = (
        appointments::state.eq(AppointmentState::Booked),
        appointments::address.eq(address),
        appointments::version.eq(row.version + 1),
        (appointments::updated_at.eq(now), appointments::updated_by.eq(by)),
    );
    one(diesel::update(held).set(set).execute(conn))
}

/// Cancels what is held, booked or waits in the hall; false when somebody else was first.
pub fn cancel(
    conn: &mut PgConnection,
    (county, id): (i32, Uuid),
    reason: Option<&str>,
    by: Option<Uuid>,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let row = appointments::table.find((county, id));
    let row = row.filter(appointments::state.eq_any(super::model::Move::Cancel.from()));
    let set = (
        appointments::state.eq(AppointmentState::Cancelled),
        (appointments::cancelled_at.eq(now), appointments::cancel_reason.eq(reason)),
        appointments::version.eq(appointments::version + 1),
        (appointments::updated_at.eq(now), appointments::updated_by.eq(by)),
    );
    diesel::update(row).set(set).execute(conn).map(|changed| changed == 1)
}

/// [`cancel`] for a booking that must be as it was read: otherwise it is worth another try.
pub fn cancel_as_read(
    conn: &mut PgConnection,
    row: &Appointment,
    reason: Option<&str>,
    by: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<()> {
    let same = appointments::table.find((row.county_id, row.id)).filter(appointments::version.eq(row.version));
    let set = (
        appointments::state.eq(AppointmentState::Cancelled),
        (appointments::cancelled_at.eq(now), appointments::cancel_reason.eq(reason)),
        appointments::version.eq(row.version + 1),
        (appointments::updated_at.eq(now), appointments::updated_by.eq(by)),
    );
    one(diesel::update(same.filter(appointments::state.eq(row.state))).set(set).execute(conn))
}

statement! {
    struct Lapse {
        county: i32 as Integer, resident: Uuid as SqlUuid, matter: Option<Uuid> as Nullable<SqlUuid>, day: Option<NaiveDate> as Nullable<Date>,
        now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE appointments SET state = 'lapsed', version = version + 1, updated_at = {now}, updated_by = NULL \
     WHERE county_id = {county} AND resident_id = {resident} AND state = 'held' \
       AND (held_until <= {now} OR (waiting_id IS NULL AND ({matter}::uuid IS NULL OR (matter_id = {matter} AND on_date = {day}))))"
}

/// Lets a resident's holds go: those that have run out, and the one that is replaced, of a matter and day or any. Offers of the
/// waiting list stay until they run out.
pub fn lapse(
    conn: &mut PgConnection,
    (county, resident): (i32, Uuid),
    of: Option<(Uuid, NaiveDate)>,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let (matter, day) = of.unzip();
    Lapse { county, resident, matter, day, now }.execute(conn)
}

statement! {
    struct LapseExpired { county: i32 as Integer, resident: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE appointments SET state = 'lapsed', version = version + 1, updated_at = {now}, updated_by = NULL \
     WHERE county_id = {county} AND resident_id = {resident} AND state = 'held' AND held_until <= {now}"
}

/// Lets a resident's holds go that have run out, and no other.
pub fn lapse_expired(
    conn: &mut PgConnection,
    (county, resident): (i32, Uuid),
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    LapseExpired { county, resident, now }.execute(conn)
}
