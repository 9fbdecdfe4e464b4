//! A centre as it is, read for a change of its opening; and holds that a change takes away.

use std::collections::HashMap;

use chrono::{DateTime, Days, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Bool, Date, Integer, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    affected::{Booking, Centre, Desk, Needs},
    places::Taken,
};
use crate::{
    appointments::{self, AppointmentState},
    clock::local_date,
    db::schema::{matters, windows},
    error::{Code, Error, Result, Retry},
    statement,
    windows::{Channel, Opening, Place, Waiting, Window, WindowState, coming_exceptions, details},
};

statement! {
    struct Gate { county: i32 as Integer, unit: Uuid as SqlUuid }
    "SELECT centre_gate({county}, {unit}, true)"
}

/// Passes the gate of a centre alone: until the end of the transaction nobody books there, and what is read now stays true.
pub fn gate(conn: &mut PgConnection, county: i32, unit: Uuid) -> QueryResult<()> {
    Gate { county, unit }.execute(conn).map(drop)
}

statement! {
    struct Live { county: i32 as Integer, unit: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "SELECT a.id, a.window_id, a.matter_id, a.resident_id, coalesce(p.unit_id, a.unit_id) AS lives_in, a.channel, a.place, a.state, a.starts_at, a.ends_at, \
            a.busy_from, a.busy_until, a.capacity = a.capacity_total AS released, a.nth, a.created_at \
       FROM windows w \
       JOIN appointments a ON a.county_id = w.county_id AND a.window_id = w.id AND a.busy_from > {now} - interval '1 day' AND a.busy_until > {now} \
        AND a.state IN ('held', 'booked', 'arrived', 'called', 'serving') AND a.channel <> 'walk_in' AND (a.state <> 'held' OR a.held_until > {now}) \
       JOIN residents p ON p.county_id = a.county_id AND p.id = a.resident_id \
      WHERE w.county_id = {county} AND w.unit_id = {unit}"
}

#[derive(QueryableByName)]
struct LiveRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    matter_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    resident_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    lives_in: Uuid,
    #[diesel(sql_type = Text)]
    channel: Channel,
    #[diesel(sql_type = Text)]
    place: Place,
    #[diesel(sql_type = Text)]
    state: AppointmentState,
    #[diesel(sql_type = Timestamptz)]
    starts_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    ends_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    busy_from: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    busy_until: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    released: bool,
    #[diesel(sql_type = SmallInt)]
    nth: i16,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl From<LiveRow> for Booking {
    fn from(row: LiveRow) -> Self {
        Self {
            id: row.id,
            window: row.window_id,
            matter: row.matter_id,
            resident: row.resident_id,
            lives_in: row.lives_in,
            channel: row.channel,
            place: row.place,
            state: row.state,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            busy_from: row.busy_from,
            busy_until: row.busy_until,
            released: row.released,
            nth: row.nth,
            created_at: row.created_at,
        }
    }
}

statement! {
    struct Away { county: i32 as Integer, unit: Uuid as SqlUuid, from: NaiveDate as Date, to: NaiveDate as Date }
    "SELECT w.id, d::date AS day FROM windows w CROSS JOIN generate_series({from}::timestamp, {to}::timestamp, interval '1 day') d \
      WHERE w.county_id = {county} AND w.unit_id = {unit} AND w.officer_id IS NOT NULL AND NOT post_covered({county}, w.officer_id, d::date)"
}

#[derive(QueryableByName)]
struct AwayRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Date)]
    day: NaiveDate,
}

statement! {
    struct Specialists { county: i32 as Integer, unit: Uuid as SqlUuid }
    "SELECT w.id, p.unit_id AS unit FROM windows w \
       JOIN staff_posts p ON p.county_id = w.county_id AND p.staff_id = w.officer_id AND p.role = 'specialist' AND p.ended_at IS NULL \
      WHERE w.county_id = {county} AND w.unit_id = {unit}"
}

#[derive(QueryableByName)]
struct SpecialistRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    unit: Uuid,
}

statement! {
    struct Line { county: i32 as Integer, unit: Uuid as SqlUuid, today: NaiveDate as Date }
    "SELECT matter_id, earliest, until, place, channel FROM waiting_entries \
      WHERE county_id = {county} AND unit_id = {unit} AND on_date >= {today} AND state = 'waiting'"
}

#[derive(QueryableByName)]
struct LineRow {
    #[diesel(sql_type = SqlUuid)]
    matter_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    earliest: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    until: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    place: Place,
    #[diesel(sql_type = Text)]
    channel: Channel,
}

fn desks(conn: &mut PgConnection, county: i32, unit: Uuid, (today, last): (NaiveDate, NaiveDate)) -> Result<Vec<Desk>> {
    let here = windows::table.filter(windows::county_id.eq(county)).filter(windows::unit_id.eq(unit));
    let rows: Vec<Window> = here.order(windows::id).select(Window::as_select()).load(conn)?;
    let ids: Vec<_> = rows.iter().map(|window| window.id).collect();
    let (rules, served) = details(conn, county, &ids)?;
    let exceptions = coming_exceptions(conn, county, unit, today)?;
    let away: Vec<AwayRow> = Away { county, unit, from: today, to: last }.load(conn)?;
    let specialists: Vec<SpecialistRow> = Specialists { county, unit }.load(conn)?;
    let desk = |window: Window| {
        let id = window.id;
        let opening = Opening {
            window: id,
            name: window.name,
            rules: rules.iter().filter(|rule| rule.window_id == id).cloned().collect(),
            exceptions: exceptions.clone(),
            away: away.iter().filter(|away| away.id == id).map(|away| away.day).collect(),
            busy: Vec::new(),
            waiting: Vec::new(),
        };
        Desk {
            open: window.state == WindowState::Open,
            serves: served.iter().filter(|(of, _)| *of == id).map(|(_, matter)| *matter).collect(),
            specialist_of: specialists.iter().filter(|row| row.id == id).map(|row| row.unit).collect(),
            opening,
        }
    };
    Ok(rows.into_iter().map(desk).collect())
}

/// A centre from now on: what it offers, and what is taken of it. Takes the gate to be passed, unless it is only looked at.
pub fn centre(conn: &mut PgConnection, county: i32, unit: Uuid, ahead: i64, now: DateTime<Utc>) -> Result<Centre> {
    let live: Vec<LiveRow> = Live { county, unit, now }.load(conn)?;
    let today = local_date(now);
    let last = live.iter().map(|row| local_date(row.starts_at)).max().unwrap_or(today);
    let mut centre =
        Centre { desks: desks(conn, county, unit, (today, last + Days::new(ahead as u64)))?, ..Centre::default() };
    for booking in live.into_iter().map(Booking::from) {
        let (window, busy) = (booking.window, booking.busy());
        if let Some(desk) = centre.desk(window) {
            desk.opening.busy.push(busy.clone());
        }
        let moves = matches!(booking.state, AppointmentState::Booked | AppointmentState::Held);
        if moves && booking.starts_at > now {
            centre.bookings.push(booking);
        } else {
            centre.settled.entry(window).or_default().push(busy);
        }
    }
    let columns = (matters::id, matters::slots, matters::travel_minutes, matters::own_specialist);
    let wanted: Vec<_> = centre.bookings.iter().map(|booking| booking.matter).collect();
    let needed = matters::table.filter(matters::county_id.eq(county)).filter(matters::id.eq_any(wanted));
    for (id, slots, travel_minutes, own_specialist) in needed.select(columns).load::<(Uuid, i16, i16, bool)>(conn)? {
        centre.matters.insert(id, Needs { slots, travel_minutes, own_specialist });
    }
    let line: Vec<LineRow> = Line { county, unit, today }.load(conn)?;
    let waits = |row: LineRow| {
        let LineRow { matter_id, earliest, until, place, channel } = row;
        (matter_id, Waiting { earliest, until, place, channel })
    };
    centre.waiting = line.into_iter().map(waits).collect();
    centre.line_up();
    Ok(centre)
}

statement! {
    /// Also holds that have run out and are not tidied up: their number is not free yet.
    struct TakenOf { county: i32 as Integer, residents: Vec<Uuid> as Array<SqlUuid>, today: NaiveDate as Date }
    "SELECT resident_id, matter_id, on_date, nth FROM appointments \
      WHERE county_id = {county} AND resident_id = ANY ({residents}) AND on_date >= {today} AND channel <> 'walk_in' \
        AND state IN ('held', 'booked', 'arrived', 'called', 'serving')"
}

#[derive(QueryableByName)]
struct TakenRow {
    #[diesel(sql_type = SqlUuid)]
    resident_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    matter_id: Uuid,
    #[diesel(sql_type = Date)]
    on_date: NaiveDate,
    #[diesel(sql_type = SmallInt)]
    nth: i16,
}

/// Which bookings the residents of some bookings have, anywhere in the county.
pub fn taken(conn: &mut PgConnection, county: i32, bookings: &[Booking], today: NaiveDate) -> QueryResult<Taken> {
    let residents = bookings.iter().map(|booking| booking.resident).collect();
    let mut taken = Taken::default();
    for row in (TakenOf { county, residents, today }).load::<TakenRow>(conn)? {
        taken.add((row.resident_id, row.matter_id, row.on_date), row.nth);
    }
    Ok(taken)
}

statement! {
    /// Whoever had it offered from the waiting list stands in it again, in the old place.
    struct LetGo { county: i32 as Integer, ids: Vec<Uuid> as Array<SqlUuid>, now: DateTime<Utc> as Timestamptz }
    "WITH gone AS ( \
       UPDATE appointments SET state = 'lapsed', version = version + 1, updated_at = {now}, updated_by = NULL \
        WHERE county_id = {county} AND id = ANY ({ids}) AND state = 'held' RETURNING id, waiting_id), \
     back AS ( \
       UPDATE waiting_entries e SET state = 'waiting', offered_until = NULL, appointment_id = NULL, version = e.version + 1, updated_at = {now} \
         FROM gone WHERE e.county_id = {county} AND e.id = gone.waiting_id AND e.state = 'offered' AND e.appointment_id = gone.id RETURNING e.*), \
     told AS ( \
       INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at) \
       SELECT county_id, 'waiting_entry', id, unit_id, resident_id, booked_by, {now} FROM back) \
     SELECT id, waiting_id IS NOT NULL AS offered FROM gone"
}

/// Lets held places go that are offered no more. A hold that is being booked at this moment is looked at again.
pub fn let_go(conn: &mut PgConnection, county: i32, ids: Vec<Uuid>, now: DateTime<Utc>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let count = ids.len();
    let gone: Vec<GoneRow> = LetGo { county, ids, now }.load(conn)?;
    if gone.len() < count {
        return Err(Error { retry: Retry::Again, ..Code::VersionStale.into() });
    }
    gone.iter().filter(|row| row.offered).try_for_each(|row| appointments::withdraw(conn, county, row.id, now))
}

#[derive(QueryableByName)]
struct GoneRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Bool)]
    offered: bool,
}

statement! {
    struct Uncovered { county: i32 as Integer, windows: Vec<Uuid> as Array<SqlUuid>, now: DateTime<Utc> as Timestamptz }
    "WITH days AS ( \
       SELECT DISTINCT w.id, w.officer_id, a.on_date FROM windows w \
         JOIN appointments a ON a.county_id = w.county_id AND a.window_id = w.id AND a.busy_from > {now} - interval '1 day' \
          AND a.state IN ('held', 'booked', 'arrived', 'called', 'serving') AND a.channel <> 'walk_in' \
        WHERE w.county_id = {county} AND w.id = ANY ({windows}) AND w.officer_id IS NOT NULL AND a.state = 'booked' AND a.starts_at > {now}) \
     SELECT id, min(on_date) AS day FROM days WHERE NOT post_covered({county}, officer_id, on_date) GROUP BY id"
}

/// Of some windows those that have bookings on days without anybody, and the first such day.
pub fn uncovered(
    conn: &mut PgConnection,
    county: i32,
    windows: Vec<Uuid>,
    now: DateTime<Utc>,
) -> QueryResult<HashMap<Uuid, NaiveDate>> {
    let rows: Vec<AwayRow> = Uncovered { county, windows, now }.load(conn)?;
    Ok(rows.into_iter().map(|row| (row.id, row.day)).collect())
}

statement! {
    /// Windows of those for whom somebody stands in, at any remove: the other way round than `post_covered`.
    struct Depending { county: i32 as Integer, staff: Uuid as SqlUuid }
    "WITH RECURSIVE reach (id, depth) AS ( \
       SELECT {staff}, 0 \
       UNION \
       SELECT p.staff_id, r.depth + 1 FROM reach r \
         JOIN staff_posts p ON p.county_id = {county} AND p.deputy_id = r.id AND p.ended_at IS NULL \
        WHERE r.depth < 16) \
     SELECT DISTINCT w.unit_id AS unit, w.id FROM windows w WHERE w.county_id = {county} AND w.officer_id IN (SELECT id FROM reach) ORDER BY 1, 2"
}

/// Unit and id of the windows that somebody sits at, or stands in for whoever does.
pub fn depending(conn: &mut PgConnection, county: i32, staff: Uuid) -> QueryResult<Vec<(Uuid, Uuid)>> {
    let rows: Vec<SpecialistRow> = Depending { county, staff }.load(conn)?;
    Ok(rows.into_iter().map(|row| (row.unit, row.id)).collect())
}
