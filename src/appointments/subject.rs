//! What the room knows of a person, for themselves; and what goes when their record is closed.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};

use super::{
    model::{self, Appointment, AppointmentState},
    store::{self, Filter, Of},
    writing,
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
pub fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let (scope, filter) = all(person, None, DateTime::UNIX_EPOCH);
    let rows = store::list(conn, scope, (person.id, local_date(person.now)), filter, After::START, ALL)?;
    let local = |at: DateTime<Utc>| at.with_timezone(&CST);
    let view = |row: Appointment| {
        let place = model::address_place(row.id);
        let address = row.address.as_deref().map(|sealed| app.keys.open_text(row.county_id, &place, sealed));
        Ok(json!({
            "id": row.id, "state": row.state, "channel": row.channel, "matter": row.matter_name, "unit": row.unit_name,
            "window": row.window_name, "place": row.place, "address": address.transpose()?, "starts_at": local(row.starts_at),
            "ends_at": local(row.ends_at), "ticket": row.ticket, "arrived_at": row.arrived_at.map(local),
            "booked_by_staff": row.booked_by.is_some(), "cancelled_at": row.cancelled_at.map(local),
            "cancel_reason": row.cancel_reason, "created_at": local(row.created_at),
        }))
    };
    Ok(json!({"appointments": rows.into_iter().map(view).collect::<Result<Vec<_>>>()?}))
}

/// What is still to come is cancelled, so that places come back; of what was stays that it was, not where to and not why it was
/// cancelled.
pub fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let (scope, filter) = all(person, None, person.now);
    let mut count = 0;
    for row in store::list(conn, scope, (person.id, local_date(person.now)), filter, After::START, ALL)? {
        count += usize::from(writing::cancel(conn, (person.county, row.id), None, None, person.now)?);
    }
    let told = appointments::cancel_reason.is_not_null().or(appointments::address.is_not_null());
    let of = appointments::table.filter(appointments::county_id.eq(person.county));
    let of = of.filter(appointments::resident_id.eq(person.id)).filter(told);
    let nothing = (appointments::cancel_reason.eq(None::<String>), appointments::address.eq(None::<Vec<u8>>));
    count += diesel::update(of).set(nothing).execute(conn)?;
    Ok(count)
}
