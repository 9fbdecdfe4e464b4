//! One-time codes: shown by one person, typed by another. Stored as keyed hashes; only the newest of a subject is good, once.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    crypto::{self, Keyring},
    db::{found, schema::one_time_codes},
    error::Result,
};

/// 31^10 codes: at six tries a minute nobody guesses one.
const LENGTH: usize = 10;

/// What a code is for, and how long it is good.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    pub name: &'static str,
    pub life: TimeDelta,
}

/// Gives a subject a new code; the one before is no longer good.
pub fn issue(
    conn: &mut PgConnection,
    keys: &Keyring,
    county: i32,
    (purpose, subject): (Purpose, Uuid),
    now: DateTime<Utc>,
) -> QueryResult<String> {
    let code = crypto::random_code(LENGTH);
    let index = keys.blind(county, purpose.name, &code);
    let new = (one_time_codes::index.eq(&index), one_time_codes::expires_at.eq(now + purpose.life));
    diesel::insert_into(one_time_codes::table)
        .values((
            one_time_codes::county_id.eq(county),
            one_time_codes::purpose.eq(purpose.name),
            one_time_codes::subject_id.eq(subject),
            new,
        ))
        .on_conflict((one_time_codes::county_id, one_time_codes::purpose, one_time_codes::subject_id))
        .do_update()
        .set(new)
        .execute(conn)?;
    Ok(code)
}

/// Uses a code up, and tells whose it was; none if nobody has such a code. Case, spaces and hyphens do not matter.
pub fn redeem(
    conn: &mut PgConnection,
    keys: &Keyring,
    county: i32,
    (purpose, typed): (Purpose, &str),
    now: DateTime<Utc>,
) -> Result<Option<Uuid>> {
    let code: String = typed.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    let here = one_time_codes::table.filter(one_time_codes::county_id.eq(county));
    let these = here.filter(one_time_codes::purpose.eq(purpose.name));
    let these = these.filter(one_time_codes::index.eq_any(keys.blinds(county, purpose.name, &code)));
    let used = diesel::delete(these.filter(one_time_codes::expires_at.gt(now)));
    found(used.returning(one_time_codes::subject_id).get_result(conn))
}

/// A subject's code is good no more.
pub fn void(conn: &mut PgConnection, county: i32, (purpose, subject): (Purpose, Uuid)) -> QueryResult<usize> {
    diesel::delete(one_time_codes::table.find((county, purpose.name, subject))).execute(conn)
}

/// Deletes what has expired.
pub fn purge(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    diesel::delete(one_time_codes::table.filter(one_time_codes::expires_at.lt(now))).execute(conn)?;
    Ok(false)
}
