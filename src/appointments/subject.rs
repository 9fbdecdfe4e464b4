//! What the room knows of a person, for themselves; and what goes when their record is closed.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};

use super::{
    model::AppointmentState,
    store::{self, Filter, Of},
};
use crate::{
    app::App,
    clock::{CST, local_date},
    db::schema::appointments,
    error::Result,
    http::{
        caller::{Reach, Scope},
        page::After,
    },
    rooms::Person,
};

/// More than anybody books in a life; the archive has a limit of its own.
const ALL: i64 = 100_000;

fn all(person: Person, state: Option<AppointmentState>, from: DateTime<Utc>) -> (Scope, Filter) {
    let to = DateTime::UNIX_EPOCH + TimeDelta::days(365 * 200);
    (
        Scope { county: person.county, reach: Reach::County },
        Filter { of: Of::Resident(person.id, None), state, from, to },
    )
}

/// Every appointment, with the names of what it was about.
pub fn export(conn: &mut PgConnection, _: &App, person: Person) -> Result<Value> {
    let (scope, filter) = all(person, None, DateTime::UNIX_EPOCH);
    let rows = store::list(conn, scope, (person.id, local_date(person.now)), filter, After::START, ALL)?;
    let local = |at: DateTime<Utc>| at.with_timezone(&CST);
    let view = |row: super::model::Appointment| {
        json!({
            "id": row.id, "state": row.state, "channel": row.channel, "matter": row.matter_name, "unit": row.unit_name,
            "window": row.window_name, "starts_at": local(row.starts_at), "ends_at": local(row.ends_at),
            "booked_by_staff": row.booked_by.is_some(), "cancelled_at": row.cancelled_at.map(local),
            "cancel_reason": row.cancel_reason, "created_at": local(row.created_at),
        })
    };
    Ok(json!({"appointments": rows.into_iter().map(view).collect::<Vec<_>>()}))
}

/// Future bookings are cancelled, so that their places come back; of past ones stays that they were, not why they were cancelled.
pub fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let (scope, filter) = all(person, Some(AppointmentState::Booked), person.now);
    let mut count = 0;
    for row in store::list(conn, scope, (person.id, local_date(person.now)), filter, After::START, ALL)? {
        count += usize::from(store::cancel(conn, person.county, row.id, None, person.now)?);
    }
    let of = appointments::table.filter(appointments::county_id.eq(person.county));
    let told = of.filter(appointments::resident_id.eq(person.id)).filter(appointments::cancel_reason.is_not_null());
    count += diesel::update(told).set(appointments::cancel_reason.eq(None::<String>)).execute(conn)?;
    Ok(count)
}
