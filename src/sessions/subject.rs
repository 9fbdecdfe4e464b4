//! A person's logins, for themselves; and the end of them when their record is closed.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};

use super::store;
use crate::{app::App, clock::CST, db::schema::sessions, error::Result, rooms::Person};

/// Every login that is still on record.
pub fn export(conn: &mut PgConnection, _: &App, person: Person) -> Result<Value> {
    type Row = (DateTime<Utc>, Option<String>, DateTime<Utc>, Option<DateTime<Utc>>, Option<String>);
    let columns =
        (sessions::created_at, sessions::device, sessions::expires_at, sessions::ended_at, sessions::ended_because);
    let own = sessions::table.filter(sessions::county_id.eq(person.county));
    let own = own.filter(sessions::resident_id.eq(person.id)).order((sessions::created_at, sessions::id));
    let rows: Vec<Row> = own.select(columns).load(conn)?;
    let local = |at: DateTime<Utc>| at.with_timezone(&CST);
    let login = |(created, device, expires, ended, because): Row| {
        json!({"at": local(created), "device": device, "expires_at": local(expires),
            "ended_at": ended.map(local), "ended_because": because})
    };
    Ok(json!({"logins": rows.into_iter().map(login).collect::<Vec<_>>()}))
}

/// Every session ends; what the devices were called goes.
pub fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let ended = store::end_all_of_resident(conn, person.county, person.id, "closed", person.now)?;
    let own = sessions::table.filter(sessions::county_id.eq(person.county));
    let named = own.filter(sessions::resident_id.eq(person.id)).filter(sessions::device.is_not_null());
    diesel::update(named).set(sessions::device.eq(None::<String>)).execute(conn)?;
    Ok(ended)
}
