//! Settings in the database.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::model::Entry;
use crate::db::schema::settings;

/// Every entry of a county: a few dozen at most.
pub fn load(conn: &mut PgConnection, county: i32) -> QueryResult<Vec<Entry>> {
    type Row = (String, i64, Value, DateTime<Utc>, Option<Uuid>, DateTime<Utc>, Option<String>);
    let columns = (
        settings::key,
        settings::version,
        settings::value,
        settings::effective_from,
        settings::set_by,
        settings::set_at,
        settings::reason,
    );
    let here = settings::table.filter(settings::county_id.eq(county));
    let rows = here.order((settings::key, settings::version)).select(columns).load::<Row>(conn)?;
    let entry = |(key, version, value, effective_from, set_by, set_at, reason)| Entry {
        key,
        version,
        value,
        effective_from,
        set_by,
        set_at,
        reason,
    };
    Ok(rows.into_iter().map(entry).collect())
}

/// Adds an entry; false when somebody else has taken its version.
pub fn set(conn: &mut PgConnection, county: i32, entry: &Entry) -> QueryResult<bool> {
    let added = diesel::insert_into(settings::table)
        .values((
            (settings::county_id.eq(county), settings::key.eq(&entry.key), settings::version.eq(entry.version)),
            (settings::value.eq(&entry.value), settings::effective_from.eq(entry.effective_from)),
            (settings::set_by.eq(entry.set_by), settings::set_at.eq(entry.set_at), settings::reason.eq(&entry.reason)),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(added == 1)
}
