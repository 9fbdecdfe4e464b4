//! Tickets, windows and the line in the database.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Bool, Date, Double, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::model::{Desk, Ticket};
use crate::{
    appointments::model::AppointmentState,
    clock::local_date,
    db::found,
    error::{Code, Error, Result, Retry},
    http::caller::{Can, Reach, Scope},
    statement,
    windows::may,
};

/// The columns of [`Ticket`], of a row called `a`.
macro_rules! tickets {
    ($from:literal) => {
        concat!(
            "SELECT a.county_id, a.id, a.state, a.channel, a.place, \
                a.unit_id, (SELECT name FROM units u WHERE u.county_id = a.county_id AND u.id = a.unit_id) AS unit_name, a.window_id, \
                a.matter_id, (SELECT name FROM matters m WHERE m.county_id = a.county_id AND m.id = a.matter_id) AS matter_name, \
                a.resident_id, (SELECT name FROM residents p WHERE p.county_id = a.county_id AND p.id = a.resident_id) AS resident_name, \
                a.starts_at, a.ticket, a.arrived_at, a.on_time, a.queue_at, \
                a.desk_id, (SELECT name FROM windows w WHERE w.county_id = a.county_id AND w.id = a.desk_id) AS desk_name, \
                a.called_at, a.calls, a.served_at, a.finished_at, a.cancelled_at, a.cancel_reason, a.version FROM ",
            $from,
            " a "
        )
    };
}

/// Who goes first, among those who wait: the one place where the line is put in order.
macro_rules! order {
    () => {
        "(a.desk_id IS NOT NULL) DESC, (a.on_time AND a.queue_at <= {soon}) DESC, a.queue_at, a.arrived_at, a.id"
    };
}

/// Whose tickets and windows: a scope, and oneself.
#[derive(Clone, Copy, Debug)]
pub struct Hand {
    pub scope: Scope,
    pub me: Uuid,
    pub today: NaiveDate,
}

impl Hand {
    pub fn of<P>(caller: &Can<P>, now: DateTime<Utc>) -> Self {
        Self { scope: caller.scope, me: caller.subject, today: local_date(now) }
    }

    fn within(self) -> Option<Uuid> {
        match self.scope.reach {
            Reach::Unit(unit) => Some(unit),
            // No permission of this room reaches only one's own.
            Reach::Own(own) => Some(own),
            Reach::County => None,
        }
    }
}

statement! {
    struct Lock { county: i32 as Integer, id: Uuid as SqlUuid, within: Option<Uuid> as Nullable<SqlUuid>, me: Uuid as SqlUuid, today: NaiveDate as Date }
    concat!(tickets!("appointments"), "WHERE a.county_id = {county} AND a.id = {id}", may!("a"), " FOR NO KEY UPDATE OF a")
}

statement! {
    struct LockAny { county: i32 as Integer, id: Uuid as SqlUuid }
    concat!(tickets!("appointments"), "WHERE a.county_id = {county} AND a.id = {id} FOR NO KEY UPDATE OF a")
}

/// The ticket with an id, if it is within reach; nobody moves it before the transaction ends.
pub fn lock(conn: &mut PgConnection, hand: Hand, id: Uuid) -> Result<Ticket> {
    let lock = Lock { county: hand.scope.county, id, within: hand.within(), me: hand.me, today: hand.today };
    found(lock.get_result(conn))?.ok_or(Code::NotFound.into())
}

/// [`lock`] for what has no caller: a kiosk.
pub fn lock_any(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Ticket> {
    found(LockAny { county, id }.get_result(conn))?.ok_or(Code::NotFound.into())
}

statement! {
    struct Find { county: i32 as Integer, id: Uuid as SqlUuid }
    concat!(tickets!("appointments"), "WHERE a.county_id = {county} AND a.id = {id}")
}

/// The ticket with an id, for whoever is known to see it.
pub fn ticket(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Ticket> {
    found(Find { county, id }.get_result(conn))?.ok_or(Code::NotFound.into())
}

statement! {
    /// Writes what a rule made of a row that is locked. Whoever comes back after missing the calls has lost the place in the slot, which
    /// somebody else may have taken, and goes on like a walk-in.
    struct Apply {
        county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, state: AppointmentState as Text,
        ticket: Option<String> as Nullable<Text>, arrived_at: Option<DateTime<Utc>> as Nullable<Timestamptz>, on_time: Option<bool> as Nullable<Bool>,
        queue_at: Option<DateTime<Utc>> as Nullable<Timestamptz>, desk: Option<Uuid> as Nullable<SqlUuid>,
        called_at: Option<DateTime<Utc>> as Nullable<Timestamptz>, calls: i16 as SmallInt, served_at: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        finished_at: Option<DateTime<Utc>> as Nullable<Timestamptz>, cancelled_at: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        cancel_reason: Option<String> as Nullable<Text>, by: Option<Uuid> as Nullable<SqlUuid>, now: DateTime<Utc> as Timestamptz,
    }
    concat!("WITH moved AS (UPDATE appointments SET state = {state}, \
         channel = CASE WHEN state = 'missed' AND {state} = 'arrived' THEN 'walk_in' ELSE channel END, ticket = {ticket}, arrived_at = {arrived_at}, on_time = {on_time}, queue_at = {queue_at}, \
         desk_id = {desk}, called_at = {called_at}, calls = {calls}, served_at = {served_at}, finished_at = {finished_at}, cancelled_at = {cancelled_at}, \
         cancel_reason = {cancel_reason}, version = version + 1, updated_at = {now}, updated_by = {by} \
       WHERE county_id = {county} AND id = {id} AND version = {version} RETURNING *) ", tickets!("moved"))
}

/// Moves a locked ticket to what `new` says.
pub fn apply(conn: &mut PgConnection, new: Ticket, by: Option<Uuid>, now: DateTime<Utc>) -> Result<Ticket> {
    let apply = Apply {
        county: new.county_id,
        id: new.id,
        version: new.version,
        state: new.state,
        ticket: new.ticket,
        arrived_at: new.arrived_at,
        on_time: new.on_time,
        queue_at: new.queue_at,
        desk: new.desk_id,
        called_at: new.called_at,
        calls: new.calls,
        served_at: new.served_at,
        finished_at: new.finished_at,
        cancelled_at: new.cancelled_at,
        cancel_reason: new.cancel_reason,
        by,
        now,
    };
    let moved = found(apply.get_result(conn))?;
    moved.ok_or_else(|| Error { retry: Retry::Again, ..Code::VersionStale.into() })
}

statement! {
    struct Number {
        county: i32 as Integer, unit: Uuid as SqlUuid, on_date: NaiveDate as Date, booked: i32 as Integer, walk_ins: i32 as Integer,
    }
    "INSERT INTO queue_days AS q (county_id, unit_id, on_date, booked, walk_ins) VALUES ({county}, {unit}, {on_date}, {booked}, {walk_ins}) \
     ON CONFLICT (county_id, unit_id, on_date) DO UPDATE SET booked = q.booked + {booked}, walk_ins = q.walk_ins + {walk_ins} \
     RETURNING CASE WHEN {booked} = 1 THEN q.booked ELSE q.walk_ins END AS n"
}

#[derive(QueryableByName)]
struct Numbered {
    #[diesel(sql_type = Integer)]
    n: i32,
}

/// The next number of a centre's day.
pub fn number(
    conn: &mut PgConnection,
    (county, unit): (i32, Uuid),
    on_date: NaiveDate,
    walk_in: bool,
) -> QueryResult<i32> {
    let (booked, walk_ins) = if walk_in { (0, 1) } else { (1, 0) };
    Number { county, unit, on_date, booked, walk_ins }.get_result::<Numbered>(conn).map(|row| row.n)
}

statement! {
    /// A ticket without an appointment.
    pub struct WalkIn {
        county: i32 as Integer, id: Uuid as SqlUuid, unit: Uuid as SqlUuid, window: Uuid as SqlUuid, matter: Uuid as SqlUuid,
        resident: Option<Uuid> as Nullable<SqlUuid>, booked_by: Option<Uuid> as Nullable<SqlUuid>, on_date: NaiveDate as Date,
        now: DateTime<Utc> as Timestamptz, ends_at: DateTime<Utc> as Timestamptz, ticket: String as Text,
    }
    concat!("WITH moved AS (INSERT INTO appointments (county_id, id, unit_id, window_id, matter_id, resident_id, booked_by, channel, on_date, \
         starts_at, ends_at, busy_from, busy_until, state, ticket, arrived_at, on_time, queue_at, created_at, updated_at, updated_by) \
       VALUES ({county}, {id}, {unit}, {window}, {matter}, {resident}, {booked_by}, 'walk_in', {on_date}, \
         {now}, {ends_at}, {now}, {ends_at}, 'arrived', {ticket}, {now}, false, {now}, {now}, {now}, {booked_by}) RETURNING *) ", tickets!("moved"))
}

statement! {
    struct Serving { county: i32 as Integer, unit: Uuid as SqlUuid, matter: Uuid as SqlUuid }
    "SELECT w.id FROM window_matters wm JOIN windows w ON w.county_id = wm.county_id AND w.id = wm.window_id AND w.unit_id = {unit} AND w.state = 'open' \
     JOIN matters m ON m.county_id = wm.county_id AND m.id = wm.matter_id AND m.state = 'active' AND 'centre' = ANY (m.places) \
     WHERE wm.county_id = {county} AND wm.matter_id = {matter} ORDER BY (w.paused_at IS NOT NULL), w.id LIMIT 1"
}

#[derive(QueryableByName)]
pub struct OnlyId {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
}

/// A window of a centre that serves a matter there, one that is not paused if possible.
pub fn window_for(conn: &mut PgConnection, county: i32, unit: Uuid, matter: Uuid) -> Result<Option<Uuid>> {
    Ok(found(Serving { county, unit, matter }.get_result::<OnlyId>(conn))?.map(|row| row.id))
}

/// The columns of [`Desk`], of a row of `windows` called `w`.
macro_rules! desks {
    () => {
        "SELECT w.id, w.unit_id, w.name, w.state = 'open' AS open, w.paused_at, w.version, \
           ARRAY(SELECT wm.matter_id FROM window_matters wm WHERE wm.county_id = w.county_id AND wm.window_id = w.id) AS matters, \
           t.ticket, t.state AS ticket_state \
         FROM windows w LEFT JOIN appointments t ON t.county_id = w.county_id AND t.desk_id = w.id AND t.state IN ('called', 'serving') "
    };
}

statement! {
    struct LockWindow { county: i32 as Integer, id: Uuid as SqlUuid, within: Option<Uuid> as Nullable<SqlUuid>, me: Uuid as SqlUuid, today: NaiveDate as Date }
    concat!("SELECT w.id FROM windows w WHERE w.county_id = {county} AND w.id = {id}", may!("w"), " FOR NO KEY UPDATE OF w")
}

statement! {
    struct FindDesk { county: i32 as Integer, id: Uuid as SqlUuid }
    concat!(desks!(), "WHERE w.county_id = {county} AND w.id = {id}")
}

statement! {
    struct DesksOf { county: i32 as Integer, unit: Uuid as SqlUuid }
    concat!(desks!(), "WHERE w.county_id = {county} AND w.unit_id = {unit} ORDER BY w.id")
}

/// The window with an id, if it is within reach. It is locked before it is read: whoever waited for the lock then sees what the
/// one before has called there.
pub fn lock_desk(conn: &mut PgConnection, hand: Hand, id: Uuid) -> Result<Option<Desk>> {
    let lock = LockWindow { county: hand.scope.county, id, within: hand.within(), me: hand.me, today: hand.today };
    if found(lock.get_result::<OnlyId>(conn))?.is_none() {
        return Ok(None);
    }
    desk(conn, hand.scope.county, id)
}

pub fn desk(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Desk>> {
    found(FindDesk { county, id }.get_result(conn))
}

/// The windows of a centre.
pub fn desks(conn: &mut PgConnection, county: i32, unit: Uuid) -> QueryResult<Vec<Desk>> {
    DesksOf { county, unit }.load(conn)
}

statement! {
    struct Pause { county: i32 as Integer, id: Uuid as SqlUuid, at: Option<DateTime<Utc>> as Nullable<Timestamptz>, now: DateTime<Utc> as Timestamptz }
    "UPDATE windows SET paused_at = {at}, version = version + 1, updated_at = {now} WHERE county_id = {county} AND id = {id}"
}

/// Pauses a window, or lets it go on.
pub fn pause(
    conn: &mut PgConnection,
    (county, id): (i32, Uuid),
    at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    Pause { county, id, at, now }.execute(conn)
}

statement! {
    /// Calls the first in line whom a window serves. Rows that others are calling are passed over: two desks never wait for
    /// each other, nor get the same.
    pub struct CallNext {
        county: i32 as Integer, unit: Uuid as SqlUuid, window: Uuid as SqlUuid, matters: Vec<Uuid> as Array<SqlUuid>, today: NaiveDate as Date,
        soon: DateTime<Utc> as Timestamptz, by: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz,
    }
    concat!("WITH next AS MATERIALIZED (SELECT a.id FROM appointments a \
         WHERE a.county_id = {county} AND a.unit_id = {unit} AND a.state = 'arrived' AND a.on_date = {today} \
           AND (a.desk_id = {window} OR (a.matter_id = ANY ({matters}) AND (a.desk_id IS NULL OR NOT EXISTS ( \
             SELECT FROM windows w WHERE w.county_id = a.county_id AND w.id = a.desk_id AND w.state = 'open' AND w.paused_at IS NULL)))) \
         ORDER BY ", order!(), " LIMIT 1 FOR NO KEY UPDATE OF a SKIP LOCKED), \
       moved AS (UPDATE appointments m SET state = 'called', desk_id = {window}, called_at = {now}, calls = m.calls + 1, version = m.version + 1, \
         updated_at = {now}, updated_by = {by} FROM next WHERE m.county_id = {county} AND m.id = next.id RETURNING m.*) ", tickets!("moved"))
}

statement! {
    struct Line { county: i32 as Integer, unit: Uuid as SqlUuid, today: NaiveDate as Date, soon: DateTime<Utc> as Timestamptz }
    concat!(tickets!("appointments"), "WHERE a.county_id = {county} AND a.unit_id = {unit} AND a.state IN ('arrived', 'called', 'serving') \
        AND a.on_date = {today} AND a.place = 'centre' ORDER BY ", order!())
}

/// Those who wait, are called or are served at a centre today; who waits in the order of the line.
pub fn line(
    conn: &mut PgConnection,
    (county, unit): (i32, Uuid),
    today: NaiveDate,
    soon: DateTime<Utc>,
) -> QueryResult<Vec<Ticket>> {
    Line { county, unit, today, soon }.load(conn)
}

statement! {
    struct Missed { county: i32 as Integer, unit: Uuid as SqlUuid, today: NaiveDate as Date }
    concat!(tickets!("appointments"), "WHERE a.county_id = {county} AND a.unit_id = {unit} AND a.state = 'missed' \
        AND a.on_date = {today} AND a.ticket IS NOT NULL ORDER BY a.called_at DESC, a.id LIMIT 200")
}

/// Those who have missed their calls at a centre today, the last first.
pub fn missed(conn: &mut PgConnection, (county, unit): (i32, Uuid), today: NaiveDate) -> QueryResult<Vec<Ticket>> {
    Missed { county, unit, today }.load(conn)
}

statement! {
    struct DayOf { county: i32 as Integer, unit: Uuid as SqlUuid, today: NaiveDate as Date }
    "SELECT count(*) FILTER (WHERE state = 'done') AS done, count(*) FILTER (WHERE state = 'missed') AS missed, \
       count(*) FILTER (WHERE state = 'done' AND served_at IS NOT NULL) AS timed, \
       (avg(extract(epoch FROM finished_at - served_at)) FILTER (WHERE state = 'done' AND served_at IS NOT NULL))::float8 AS mean_seconds \
     FROM appointments WHERE county_id = {county} AND unit_id = {unit} AND on_date = {today} AND ticket IS NOT NULL"
}

/// What a centre has done today.
#[derive(Clone, Debug, QueryableByName)]
pub struct Done {
    #[diesel(sql_type = BigInt)]
    pub done: i64,
    #[diesel(sql_type = BigInt)]
    pub missed: i64,
    #[diesel(sql_type = BigInt)]
    pub timed: i64,
    #[diesel(sql_type = Nullable<Double>)]
    pub mean_seconds: Option<f64>,
}

pub fn done(conn: &mut PgConnection, county: i32, unit: Uuid, today: NaiveDate) -> QueryResult<Done> {
    DayOf { county, unit, today }.get_result(conn)
}

statement! {
    struct OfPhone {
        county: i32 as Integer, unit: Uuid as SqlUuid, phones: Vec<Vec<u8>> as Array<diesel::sql_types::Binary>,
        from: DateTime<Utc> as Timestamptz, to: DateTime<Utc> as Timestamptz,
    }
    "SELECT a.id, a.state, a.starts_at FROM residents p \
     JOIN appointments a ON a.county_id = p.county_id AND a.resident_id = p.id AND a.starts_at >= {from} AND a.starts_at < {to} \
       AND a.unit_id = {unit} AND a.place = 'centre' AND a.state IN ('booked', 'arrived', 'called', 'serving', 'missed') \
     WHERE p.county_id = {county} AND p.phone_index = ANY ({phones}) AND p.merged_into IS NULL AND p.closed_at IS NULL \
     ORDER BY a.starts_at, a.id LIMIT 50"
}

/// An appointment of today, of somebody known by phone.
#[derive(Clone, Debug, QueryableByName)]
pub struct Candidate {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub state: AppointmentState,
    #[diesel(sql_type = Timestamptz)]
    pub starts_at: DateTime<Utc>,
}

/// Appointments at a centre, between two times, of whoever has one of these phones.
pub fn of_phone(
    conn: &mut PgConnection,
    (county, unit): (i32, Uuid),
    phones: Vec<Vec<u8>>,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> QueryResult<Vec<Candidate>> {
    OfPhone { county, unit, phones, from, to }.load(conn)
}

statement! {
    struct UnitWithin { county: i32 as Integer, unit: Uuid as SqlUuid, within: Option<Uuid> as Nullable<SqlUuid>, me: Uuid as SqlUuid, today: NaiveDate as Date }
    concat!("SELECT a.unit_id AS id FROM (SELECT id AS unit_id FROM units WHERE county_id = {county} AND id = {unit}) a WHERE true", may!("a"))
}

/// 404 unless a centre is within reach.
pub fn reach(conn: &mut PgConnection, hand: Hand, unit: Uuid) -> Result<()> {
    let within = UnitWithin { county: hand.scope.county, unit, within: hand.within(), me: hand.me, today: hand.today };
    found(within.get_result::<OnlyId>(conn))?.map(drop).ok_or(Code::NotFound.into())
}
