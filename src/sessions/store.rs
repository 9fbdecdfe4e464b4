//! Sessions and signing keys in the database.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{connection::SimpleConnection, prelude::*};
use uuid::Uuid;

use super::model::Session;
use crate::{
    db::{
        found,
        schema::{sessions, signing_keys},
    },
    error::Result,
    http::{page::After, permissions::Role},
    staff,
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
            sessions::expires_at.eq(session.expiry(now)),
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

/// Ends all but one of the sessions of a member of staff.
pub fn end_others_of_staff(
    conn: &mut PgConnection,
    county: i32,
    (staff, kept): (Uuid, Uuid),
    because: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let own = sessions::table.filter(sessions::county_id.eq(county)).filter(sessions::staff_id.eq(staff));
    diesel::update(own.filter(sessions::ended_at.is_null()).filter(sessions::id.ne(kept)))
        .set((sessions::ended_at.eq(now), sessions::ended_because.eq(because)))
        .execute(conn)
}

/// Ends the sessions that a member of staff has in one of their own posts.
pub fn end_of_post(
    conn: &mut PgConnection,
    county: i32,
    staff: Uuid,
    (role, unit): (Role, Uuid),
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let own = sessions::table.filter(sessions::county_id.eq(county)).filter(sessions::staff_id.eq(staff));
    let here =
        own.filter(sessions::role.eq(role)).filter(sessions::unit_id.eq(unit)).filter(sessions::covers_id.is_null());
    diesel::update(here.filter(sessions::ended_at.is_null()))
        .set((sessions::ended_at.eq(now), sessions::ended_because.eq("post_ended")))
        .execute(conn)
}

/// Whether a session that acts in an absent colleague's post still may; any other may.
pub fn still_covers(conn: &mut PgConnection, session: &Session, now: DateTime<Utc>) -> QueryResult<bool> {
    let (Some(holder), Some(staff), Some(unit)) = (session.covers_id, session.staff_id, session.unit_id) else {
        return Ok(true);
    };
    Ok(staff::covers_until(conn, session.county_id, staff, (holder, session.role, unit), now)?.is_some())
}

/// Ends the sessions of deputies who cover nobody any more: after whatever changes posts, deputies or absences. There are few.
pub fn end_uncovered(conn: &mut PgConnection, county: i32, now: DateTime<Utc>) -> Result<()> {
    let covering = sessions::table.filter(sessions::county_id.eq(county)).filter(sessions::covers_id.is_not_null());
    let live = covering.filter(sessions::ended_at.is_null()).filter(sessions::expires_at.gt(now));
    for session in live.select(Session::as_select()).load(conn)? {
        if !still_covers(conn, &session, now)? {
            end(conn, county, session.id, "cover_ended", now)?;
        }
    }
    Ok(())
}

/// The live sessions of a member of staff, newest first.
pub fn live_of_staff(
    conn: &mut PgConnection,
    county: i32,
    staff: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Session>> {
    let own = sessions::table.filter(sessions::county_id.eq(county)).filter(sessions::staff_id.eq(staff));
    let live = own.filter(sessions::ended_at.is_null()).filter(sessions::expires_at.gt(now));
    live.order(sessions::id.desc()).limit(200).select(Session::as_select()).load(conn)
}

/// The live sessions of one person in order of creation, one more than `limit`.
pub fn live_of(
    conn: &mut PgConnection,
    county: i32,
    person: Uuid,
    after: Option<After>,
    (limit, now): (i64, DateTime<Utc>),
) -> QueryResult<Vec<Session>> {
    let mut live = of_person(county, person, now);
    if let Some(after) = after {
        live = live.filter(sessions::id.gt(after.id));
    }
    live.order(sessions::id).limit(limit + 1).select(Session::as_select()).load(conn)
}

pub fn count_of(conn: &mut PgConnection, county: i32, person: Uuid, now: DateTime<Utc>) -> QueryResult<i64> {
    of_person(county, person, now).count().get_result(conn)
}

fn of_person<'a>(county: i32, person: Uuid, now: DateTime<Utc>) -> sessions::BoxedQuery<'a, diesel::pg::Pg> {
    let own = sessions::resident_id.eq(person).or(sessions::staff_id.eq(person));
    let live = sessions::table.filter(sessions::county_id.eq(county)).filter(sessions::ended_at.is_null());
    live.filter(sessions::expires_at.gt(now)).filter(own.assume_not_null()).into_boxed()
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
