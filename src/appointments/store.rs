//! Appointments in the database.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Date, Integer, Nullable, SmallInt, Text, Time, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::model::{Appointment, AppointmentState};
use crate::{
    clock::local_date,
    db::{found, schema::appointments},
    error::Result,
    http::{
        caller::{Reach, Scope},
        page::After,
    },
    messages,
    people::IdentityLevel,
    rooms::{Day, Entry, Merge, Person},
    statement,
    windows::{Channel, Rule, Slot},
};

statement! {
    /// Everything that a booking is decided and answered by, in one round trip: a row per rule of a window that serves the
    /// matter, or one row without a rule; none if unit or matter do not exist. Taken places are those of the start asked for.
    pub struct FactsOf {
        county: i32 as Integer, unit: Uuid as SqlUuid, matter: Uuid as SqlUuid, resident: Uuid as SqlUuid,
        channel: Channel as Text, starts_at: DateTime<Utc> as Timestamptz,
    }
    "SELECT u.name AS unit_name, m.name AS matter_name, m.identity_level AS level_needed, coalesce(p.identity_level, 'none') AS level, p.name AS resident_name, p.phone AS resident_phone, p.id AS resident_id, \
            w.name AS window_name, coalesce(s.taken, 0::smallint) AS taken, r.id AS rule_id, r.window_id, r.weekdays, r.opens_at, r.closes_at, \
            r.slot_minutes, r.capacity_public, r.capacity_proxy, r.capacity_desk, r.valid_from, r.valid_until \
     FROM units u JOIN matters m ON m.county_id = u.county_id AND m.id = {matter} AND m.state = 'active' \
     LEFT JOIN residents p ON p.county_id = u.county_id AND p.id = {resident} AND p.merged_into IS NULL AND p.closed_at IS NULL \
     LEFT JOIN (window_matters wm \
       JOIN windows w ON w.county_id = wm.county_id AND w.id = wm.window_id AND w.state = 'open' \
       JOIN opening_rules r ON r.county_id = w.county_id AND r.window_id = w.id \
       LEFT JOIN slot_usage s ON s.county_id = w.county_id AND s.window_id = w.id AND s.starts_at = {starts_at} AND s.channel = {channel}) \
       ON wm.county_id = u.county_id AND wm.matter_id = m.id AND w.unit_id = u.id \
     WHERE u.county_id = {county} AND u.id = {unit}"
}

/// A row of [`FactsOf`].
#[derive(Clone, Debug, QueryableByName)]
pub struct Facts {
    #[diesel(sql_type = Text)]
    pub unit_name: String,
    #[diesel(sql_type = Text)]
    pub matter_name: String,
    /// How sure the matter wants us to be who the resident is, and how sure we are.
    #[diesel(sql_type = Text)]
    pub level_needed: IdentityLevel,
    #[diesel(sql_type = Text)]
    pub level: IdentityLevel,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub resident_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub resident_name: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub resident_phone: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub window_name: Option<String>,
    #[diesel(sql_type = SmallInt)]
    pub taken: i16,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    rule_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub window_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    weekdays: Option<i16>,
    #[diesel(sql_type = Nullable<Time>)]
    opens_at: Option<NaiveTime>,
    #[diesel(sql_type = Nullable<Time>)]
    closes_at: Option<NaiveTime>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    slot_minutes: Option<i16>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    capacity_public: Option<i16>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    capacity_proxy: Option<i16>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    capacity_desk: Option<i16>,
    #[diesel(sql_type = Nullable<Date>)]
    valid_from: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    valid_until: Option<NaiveDate>,
}

impl Facts {
    /// The opening rule of the row.
    pub fn rule(&self) -> Option<Rule> {
        Some(Rule {
            id: self.rule_id?,
            window_id: self.window_id?,
            weekdays: self.weekdays?,
            opens_at: self.opens_at?,
            closes_at: self.closes_at?,
            slot_minutes: self.slot_minutes?,
            capacity_public: self.capacity_public?,
            capacity_proxy: self.capacity_proxy?,
            capacity_desk: self.capacity_desk?,
            valid_from: self.valid_from?,
            valid_until: self.valid_until,
        })
    }
}

statement! {
    /// Takes a place if one is left, and with it writes the appointment, its change and its message job: one round trip. The
    /// resident's row is locked as the foreign key would: a merge at the same moment is seen, and nothing is left behind.
    pub struct Book {
        county: i32 as Integer, id: Uuid as SqlUuid, unit: Uuid as SqlUuid, window: Uuid as SqlUuid, matter: Uuid as SqlUuid,
        resident: Uuid as SqlUuid, booked_by: Option<Uuid> as Nullable<SqlUuid>, booked_by_resident: Option<Uuid> as Nullable<SqlUuid>,
        channel: Channel as Text, on_date: NaiveDate as Date,
        starts_at: DateTime<Utc> as Timestamptz, ends_at: DateTime<Utc> as Timestamptz, capacity: i16 as SmallInt, now: DateTime<Utc> as Timestamptz,
    }
    "WITH place AS ( \
       INSERT INTO slot_usage AS u (county_id, window_id, starts_at, channel, taken, capacity) \
       VALUES ({county}, {window}, {starts_at}, {channel}, 1, {capacity}) \
       ON CONFLICT (county_id, window_id, starts_at, channel) \
       DO UPDATE SET taken = u.taken + 1, capacity = EXCLUDED.capacity WHERE u.taken < EXCLUDED.capacity \
       RETURNING window_id), \
     booked AS ( \
       INSERT INTO appointments (county_id, id, unit_id, window_id, matter_id, resident_id, booked_by, booked_by_resident, channel, on_date, starts_at, ends_at, state, created_at, updated_at) \
       SELECT {county}, {id}, {unit}, window_id, {matter}, p.id, {booked_by}, {booked_by_resident}, {channel}, {on_date}, {starts_at}, {ends_at}, 'booked', {now}, {now} \
       FROM place, (SELECT id FROM residents WHERE county_id = {county} AND id = {resident} AND merged_into IS NULL AND closed_at IS NULL FOR KEY SHARE) p \
       RETURNING id), \
     changed AS ( \
       INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at) \
       SELECT {county}, 'appointment', id, {unit}, {resident}, {booked_by}, {now} FROM booked), \
     job AS ( \
       INSERT INTO outbox (county_id, kind, payload, run_at) \
       SELECT {county}, 'notify_booked', jsonb_build_object('appointment', id), {now} FROM booked) \
     SELECT EXISTS (SELECT FROM booked) AS done"
}

statement! {
    /// Cancels and gives the place back. The slot is locked before the appointment, in the order of booking.
    pub struct Cancel {
        county: i32 as Integer, id: Uuid as SqlUuid, reason: Option<String> as Nullable<Text>, now: DateTime<Utc> as Timestamptz,
    }
    "WITH place AS ( \
       SELECT s.county_id, s.window_id, s.starts_at, s.channel FROM appointments a \
       JOIN slot_usage s USING (county_id, window_id, starts_at, channel) \
       WHERE a.county_id = {county} AND a.id = {id} AND a.state = 'booked' FOR UPDATE OF s), \
     cancelled AS ( \
       UPDATE appointments a SET state = 'cancelled', cancelled_at = {now}, cancel_reason = {reason}, version = a.version + 1, updated_at = {now} \
       FROM place WHERE a.county_id = {county} AND a.id = {id} AND a.state = 'booked' RETURNING a.id, a.unit_id, a.resident_id, a.booked_by), \
     freed AS ( \
       UPDATE slot_usage s SET taken = s.taken - 1 FROM place, cancelled \
       WHERE (s.county_id, s.window_id, s.starts_at, s.channel) = (place.county_id, place.window_id, place.starts_at, place.channel)), \
     changed AS ( \
       INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at) \
       SELECT {county}, 'appointment', id, unit_id, resident_id, booked_by, {now} FROM cancelled) \
     SELECT EXISTS (SELECT FROM cancelled) AS done"
}

#[derive(QueryableByName)]
struct Done {
    #[diesel(sql_type = Bool)]
    done: bool,
}

/// Runs [`Book`] for one window; false when it is full.
pub fn book(conn: &mut PgConnection, new: &Appointment, slot: &Slot) -> QueryResult<bool> {
    let book = Book {
        county: new.county_id,
        id: new.id,
        unit: new.unit_id,
        window: slot.window,
        matter: new.matter_id,
        resident: new.resident_id,
        booked_by: new.booked_by,
        booked_by_resident: new.booked_by_resident,
        channel: new.channel,
        on_date: local_date(new.starts_at),
        starts_at: new.starts_at,
        ends_at: slot.ends_at,
        capacity: slot.capacity,
        now: new.created_at,
    };
    book.get_result::<Done>(conn).map(|row| row.done)
}

/// Runs [`Cancel`]; false when somebody else was first.
pub fn cancel(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    reason: Option<String>,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    Cancel { county, id, reason, now }.get_result::<Done>(conn).map(|row| row.done)
}

/// Kinds of messages that say that something is booked.
pub const BOOKED: &[messages::Kind] = &[messages::Kind::AppointmentBooked, messages::Kind::ProxyBooked];

/// The columns of [`Appointment`] and where they come from. Names are looked up one by one: joined, PostgreSQL sorts and merges
/// its small tables for every single row, which takes half as long again.
macro_rules! appointments {
    () => {
        "SELECT a.county_id, a.id, a.state, a.channel, \
                a.unit_id, (SELECT name FROM units u WHERE u.county_id = a.county_id AND u.id = a.unit_id) AS unit_name, \
                a.window_id, (SELECT name FROM windows w WHERE w.county_id = a.county_id AND w.id = a.window_id) AS window_name, \
                a.matter_id, (SELECT name FROM matters m WHERE m.county_id = a.county_id AND m.id = a.matter_id) AS matter_name, \
                a.resident_id, p.name AS resident_name, p.phone AS resident_phone, \
                a.booked_by, a.booked_by_resident, a.starts_at, a.ends_at, a.cancelled_at, a.cancel_reason, a.version, a.created_at, a.updated_at \
         FROM appointments a JOIN residents p ON p.county_id = a.county_id AND p.id = a.resident_id "
    };
}

/// Within a scope: of one resident and those who let this one act, or at a unit and the units below, or booked by oneself.
macro_rules! within {
    () => {
        " AND ({own}::uuid IS NULL OR a.resident_id = {own} OR acts_for({county}, a.resident_id, {own}, 'book', {today})) \
          AND ({within}::uuid IS NULL OR a.booked_by = {me} OR unit_within({county}, a.unit_id, {within})) "
    };
}

statement! {
    /// One appointment, by its key.
    pub struct Find {
        county: i32 as Integer, id: Uuid as SqlUuid, own: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>,
        me: Uuid as SqlUuid, today: NaiveDate as Date,
    }
    concat!(appointments!(), "WHERE a.county_id = {county} AND a.id = {id}", within!())
}

statement! {
    /// A page of one resident's appointments: an index range.
    struct OfResident {
        county: i32 as Integer, resident: Uuid as SqlUuid, unit: Option<Uuid> as Nullable<SqlUuid>, own: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>,
        me: Uuid as SqlUuid, today: NaiveDate as Date, state: Option<AppointmentState> as Nullable<Text>, from: DateTime<Utc> as Timestamptz, to: DateTime<Utc> as Timestamptz,
        after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    concat!(appointments!(), "WHERE a.county_id = {county} AND a.resident_id = {resident} \
        AND ({unit}::uuid IS NULL OR a.unit_id = {unit}) AND (a.starts_at, a.id) > ({after_at}, {after_id}) \
        AND a.starts_at >= {from} AND a.starts_at < {to} AND ({state}::text IS NULL OR a.state = {state})", within!(),
        "ORDER BY a.starts_at, a.id LIMIT {limit}")
}

statement! {
    /// A page of the appointments at one unit's centre: an index range.
    struct AtUnit {
        county: i32 as Integer, unit: Uuid as SqlUuid, own: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>,
        me: Uuid as SqlUuid, today: NaiveDate as Date, state: Option<AppointmentState> as Nullable<Text>, from: DateTime<Utc> as Timestamptz, to: DateTime<Utc> as Timestamptz,
        after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    concat!(appointments!(), "WHERE a.county_id = {county} AND a.unit_id = {unit} AND (a.starts_at, a.id) > ({after_at}, {after_id}) \
        AND a.starts_at >= {from} AND a.starts_at < {to} AND ({state}::text IS NULL OR a.state = {state})", within!(),
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

/// The scope as the binds of `within!`.
fn binds(scope: Scope) -> (Option<Uuid>, Option<Uuid>) {
    match scope.reach {
        Reach::Own(own) => (Some(own), None),
        Reach::Unit(unit) => (None, Some(unit)),
        Reach::County => (None, None),
    }
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
        AND ({state}::text IS NULL OR a.state = {state})", within!())
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
    concat!(appointments!(), "WHERE a.county_id = {county} AND a.id = {id}")
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
        resident_id: Some(row.resident_id),
        holder_id: None,
    }
}

/// More than a centre has in a day.
const WHOLE_DAY: i64 = 1_000;

/// What is booked at the centre of one's post that day.
pub fn day(conn: &mut PgConnection, day: &Day) -> Result<Vec<Entry>> {
    let Some(unit) = day.unit else { return Ok(Vec::new()) };
    let scope = Scope { county: day.county, reach: Reach::County };
    let filter = Filter { of: Of::Unit(unit), state: Some(AppointmentState::Booked), from: day.from, to: day.to };
    let rows = list(conn, scope, (Uuid::nil(), local_date(day.now)), filter, After::START, WHOLE_DAY)?;
    Ok(rows.into_iter().map(entry).collect())
}

/// What a resident has booked and has not begun.
pub fn open_for(conn: &mut PgConnection, person: Person) -> Result<Vec<Entry>> {
    let scope = Scope { county: person.county, reach: Reach::County };
    let to = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(365 * 200);
    let of = Of::Resident(person.id, None);
    let filter = Filter { of, state: Some(AppointmentState::Booked), from: person.now, to };
    let rows = list(conn, scope, (Uuid::nil(), local_date(person.now)), filter, After::START, 200)?;
    Ok(rows.into_iter().map(entry).collect())
}

/// A duplicate's appointments go over. Both having booked the same matter on the same day is for a person to solve first.
pub fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let here = || appointments::table.filter(appointments::county_id.eq(merge.county));
    let moved = diesel::update(here().filter(appointments::resident_id.eq(merge.from)))
        .set((appointments::resident_id.eq(merge.into), appointments::version.eq(appointments::version + 1)))
        .execute(conn)?;
    diesel::update(here().filter(appointments::booked_by_resident.eq(merge.from)))
        .set(appointments::booked_by_resident.eq(merge.into))
        .execute(conn)?;
    Ok(moved)
}
