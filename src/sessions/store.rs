//! Sessions and signing keys in the database.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{connection::SimpleConnection, prelude::*};
use uuid::Uuid;

use super::model::{SESSION_LIFE, Session};
use crate::{
    db::{
        found,
        schema::{sessions, signing_keys},
    },
    error::Result,
};

pub fn insert(conn: &mut PgConnection, session: &Session) -> QueryResult<usize> {
    diesel::insert_into(sessions::table).values(session).execute(conn)
}

/// The session, locked until the transaction ends: refreshes of one session go one after another.
pub fn lock(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Session>> {
    found(sessions::table.find((county, id)).select(Session::as_select()).for_update().first(conn))
}

pub fn rotate(conn: &mut PgConnection, session: &Session, next: &[u8], now: DateTime<Utc>) -> QueryResult<usize> {
    diesel::update(sessions::table.find((session.county_id, session.id)))
        .set((
            sessions::refresh_hash.eq(next),
            sessions::previous_hash.eq(&session.refresh_hash),
            sessions::rotated_at.eq(now),
            sessions::expires_at.eq(now + SESSION_LIFE),
        ))
        .execute(conn)
}

/// Ends a session; an ended one stays as it ended.
pub fn end(conn: &mut PgConnection, county: i32, id: Uuid, because: &str, now: DateTime<Utc>) -> QueryResult<usize> {
    diesel::update(sessions::table.find((county, id)).filter(sessions::ended_at.is_null()))
        .set((sessions::ended_at.eq(now), sessions::ended_because.eq(because)))
        .execute(conn)
}

/// Ends every session of a member of staff, in the transaction of the reason.
pub fn end_all_of_staff(
    conn: &mut PgConnection,
    county: i32,
    staff: Uuid,
    because: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let own = sessions::table.filter(sessions::county_id.eq(county)).filter(sessions::staff_id.eq(staff));
    diesel::update(own.filter(sessions::ended_at.is_null()))
        .set((sessions::ended_at.eq(now), sessions::ended_because.eq(because)))
        .execute(conn)
}

/// Ends every session of a resident, in the transaction of the reason.
pub fn end_all_of_resident(
    conn: &mut PgConnection,
    county: i32,
    resident: Uuid,
    because: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let own = sessions::table.filter(sessions::county_id.eq(county)).filter(sessions::resident_id.eq(resident));
    diesel::update(own.filter(sessions::ended_at.is_null()))
        .set((sessions::ended_at.eq(now), sessions::ended_because.eq(because)))
        .execute(conn)
}

/// Whether a session is neither ended nor expired.
pub fn is_live(conn: &mut PgConnection, county: i32, id: Uuid, now: DateTime<Utc>) -> Result<bool> {
    let columns = (sessions::ended_at, sessions::expires_at);
    let row: Option<(Option<DateTime<Utc>>, DateTime<Utc>)> =
        found(sessions::table.find((county, id)).select(columns).first(conn))?;
    Ok(row.is_some_and(|(ended, expires)| ended.is_none() && expires > now))
}

/// Deletes sessions that expired long ago; the record of logins is kept for half a year. Few enough for one statement.
pub fn purge(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    diesel::delete(sessions::table.filter(sessions::expires_at.lt(now - TimeDelta::days(183)))).execute(conn)?;
    Ok(false)
}

/// An Ed25519 key as stored; the private half is sealed.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = signing_keys, check_for_backend(diesel::pg::Pg))]
pub struct SigningKey {
    pub kid: String,
    pub public_key: Vec<u8>,
    pub private_key: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub signs_from: DateTime<Utc>,
    pub retired_at: Option<DateTime<Utc>>,
}

/// The keys that may still verify something.
pub fn signing_keys(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<Vec<SigningKey>> {
    let live = signing_keys::retired_at.is_null().or(signing_keys::retired_at.gt(now));
    signing_keys::table.filter(live).order(signing_keys::signs_from.desc()).select(SigningKey::as_select()).load(conn)
}

/// Adds the first key unless another process just did.
pub fn first_signing_key(conn: &mut PgConnection, key: &SigningKey) -> QueryResult<Vec<SigningKey>> {
    conn.batch_execute("SELECT pg_advisory_xact_lock(725026350426)")?;
    let known = signing_keys(conn, key.created_at)?;
    if known.is_empty() {
        diesel::insert_into(signing_keys::table).values(key).execute(conn)?;
        return Ok(vec![key.clone()]);
    }
    Ok(known)
}

/// Adds a key, and retires the others at `until`.
pub fn rotate_signing_key(conn: &mut PgConnection, key: &SigningKey, until: DateTime<Utc>) -> QueryResult<()> {
    diesel::update(signing_keys::table.filter(signing_keys::retired_at.is_null()))
        .set(signing_keys::retired_at.eq(until))
        .execute(conn)?;
    diesel::insert_into(signing_keys::table).values(key).execute(conn).map(drop)
}
