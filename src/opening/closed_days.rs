//! Days that the calendar closes although people have booked them: a todo for the centre, one for each day.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Date, Integer, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{affected::Centre, store};
use crate::{
    appointments::AppointmentState,
    calendar::Calendar,
    clock::{local_date, local_midnight},
    crypto,
    error::{Result, Text},
    rooms::DaysChanged,
    statement,
    todos::{self, Kind, NewTodo},
};

/// What such todos are about: a day of a centre.
const ABOUT: &str = "closed_day";

/// Windows that a title names.
const NAMED: usize = 5;

statement! {
    struct Centres { county: i32 as Integer, days: Vec<NaiveDate> as Array<Date>, now: DateTime<Utc> as Timestamptz }
    "SELECT DISTINCT w.unit_id AS unit FROM appointments a JOIN windows w ON w.county_id = a.county_id AND w.id = a.window_id \
      WHERE a.county_id = {county} AND a.on_date = ANY ({days}) AND a.state = 'booked' AND a.starts_at > {now} ORDER BY 1"
}

#[derive(QueryableByName)]
struct CentreRow {
    #[diesel(sql_type = SqlUuid)]
    unit: Uuid,
}

/// A day of a centre, where things are named by UUIDs: always the same.
fn day_of(unit: Uuid, day: NaiveDate) -> Uuid {
    let digest = crypto::digest(format!("{unit} {day}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Centres and days that somebody is still asked to decide on.
fn waiting(conn: &mut PgConnection, county: i32) -> QueryResult<Vec<(Uuid, NaiveDate)>> {
    let rows = todos::waiting_about(conn, county, Kind::Decide, ABOUT)?;
    Ok(rows.into_iter().filter_map(|todo| todo.unit_id.zip(todo.due_at.map(local_date))).collect())
}

/// The windows whose bookings of a day have nobody to come to.
fn windows_of(centre: &Centre, calendar: &Calendar, day: NaiveDate) -> BTreeSet<String> {
    if calendar.works(day) {
        return BTreeSet::new();
    }
    let unfit = centre.unfit(calendar);
    let there = centre.bookings.iter().filter(|booking| {
        booking.state == AppointmentState::Booked
            && local_date(booking.starts_at) == day
            && unfit.contains_key(&booking.id)
    });
    let name = |window: Uuid| centre.desks.iter().find(|desk| desk.opening.window == window);
    there.filter_map(|booking| name(booking.window)).map(|desk| desk.opening.name.clone()).collect()
}

/// Asks for a decision on the bookings of some days of a centre, or asks no more where there are none.
fn ask(
    conn: &mut PgConnection,
    (county, unit): (i32, Uuid),
    days: impl IntoIterator<Item = NaiveDate>,
    calendar: &Calendar,
    now: DateTime<Utc>,
) -> Result<()> {
    let centre = store::centre(conn, county, unit, 0, now)?;
    for day in days {
        let about = (ABOUT, day_of(unit, day));
        let windows = windows_of(&centre, calendar, day);
        if windows.is_empty() {
            todos::drop_about(conn, county, Kind::Decide, about, now)?;
            continue;
        }
        let names: Vec<_> = windows.into_iter().take(NAMED).collect();
        let title = Text::new(
            format!("{day} 按新日历不办公：请为“{}”已预约的居民改期或取消", names.join("”“")),
            format!("{day} is no working day any more: the bookings of {} need moving", names.join(", ")),
        );
        let new = NewTodo {
            county,
            kind: Kind::Decide,
            unit: Some(unit),
            resident: None,
            about: Some(about),
            title,
            holder: None,
            due_at: Some(local_midnight(day)),
            created_by: None,
        };
        todos::open(conn, new, now)?;
    }
    Ok(())
}

/// An import has changed which days work.
pub fn days_changed(conn: &mut PgConnection, changed: &DaysChanged) -> Result<()> {
    let DaysChanged { county, days, calendar, now } = changed;
    let booked: Vec<CentreRow> = Centres { county: *county, days: days.clone(), now: *now }.load(conn)?;
    let asked = waiting(conn, *county)?.into_iter().map(|(unit, _)| unit);
    let units: BTreeSet<Uuid> = booked.into_iter().map(|row| row.unit).chain(asked).collect();
    units.into_iter().try_for_each(|unit| ask(conn, (*county, unit), days.iter().copied(), calendar, *now))
}

/// Bookings of a centre have been decided on: what nobody has to ask about any more goes.
pub fn decided(conn: &mut PgConnection, of: (i32, Uuid), calendar: &Calendar, now: DateTime<Utc>) -> Result<()> {
    let asked = waiting(conn, of.0)?.into_iter().filter(|(unit, _)| *unit == of.1);
    let days: Vec<_> = asked.map(|(_, day)| day).collect();
    if days.is_empty() { Ok(()) } else { ask(conn, of, days, calendar, now) }
}
