//! Codes and bindings of an account in the database: one-time codes, WeChat.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::model::StaffState;
use crate::{
    codes::{self, Purpose},
    crypto::Keyring,
    db::{found, schema::staff},
    error::Result,
};

/// What the sealed secret of one-time codes is bound to.
pub fn totp_place(id: Uuid) -> String {
    format!("staff.totp_secret/{id}")
}

/// What the sealed WeChat account is bound to.
pub fn openid_place(id: Uuid) -> String {
    format!("staff.wechat_openid/{id}")
}

/// The field that blind indexes of bound WeChat accounts are made of: of its own, so that nobody sees which member of staff
/// is which resident.
pub const OPENID: &str = "staff_wechat_openid";

/// Typed in the mini-program, to bind its WeChat account.
pub const WECHAT_CODE: Purpose = Purpose { name: "staff_wechat", life: TimeDelta::minutes(10) };

/// Keeps a new secret, sealed; false when one is confirmed already.
pub fn set_totp(conn: &mut PgConnection, county: i32, id: Uuid, secret: &[u8]) -> QueryResult<bool> {
    let row = staff::table.find((county, id)).filter(staff::state.eq(StaffState::Active));
    let set = (staff::totp_secret.eq(secret), staff::totp_last_step.eq(None::<i64>));
    Ok(diesel::update(row.filter(staff::totp_confirmed_at.is_null())).set(set).execute(conn)? == 1)
}

/// Uses the code of a step of a secret; false when one of this step or a later one was used before, or the secret is another.
pub fn use_totp(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    (secret, step): (&[u8], i64),
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let row = staff::table.find((county, id)).filter(staff::totp_secret.eq(secret));
    let fresh = row.filter(staff::totp_last_step.is_null().or(staff::totp_last_step.lt(step)));
    let confirmed = diesel::dsl::case_when(
        staff::totp_confirmed_at.is_null(),
        now.into_sql::<diesel::sql_types::Nullable<diesel::sql_types::Timestamptz>>(),
    )
    .otherwise(staff::totp_confirmed_at);
    let set = (staff::totp_last_step.eq(step), staff::totp_confirmed_at.eq(confirmed));
    Ok(diesel::update(fresh).set(set).execute(conn)? == 1)
}

pub fn forget_totp(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<usize> {
    diesel::update(staff::table.find((county, id)))
        .set((
            staff::totp_secret.eq(None::<Vec<u8>>),
            staff::totp_confirmed_at.eq(None::<DateTime<Utc>>),
            staff::totp_last_step.eq(None::<i64>),
        ))
        .execute(conn)
}

pub fn logged_in(conn: &mut PgConnection, county: i32, id: Uuid, now: DateTime<Utc>) -> QueryResult<usize> {
    diesel::update(staff::table.find((county, id))).set(staff::last_login_at.eq(now)).execute(conn)
}

/// Who made a binding code, and whether another WeChat account is bound to them; uses the code up.
pub fn take_wechat_code(
    conn: &mut PgConnection,
    keys: &Keyring,
    county: i32,
    typed: &str,
    now: DateTime<Utc>,
) -> Result<Option<(Uuid, Option<Vec<u8>>)>> {
    let Some(id) = codes::redeem(conn, keys, county, (WECHAT_CODE, typed), now)? else { return Ok(None) };
    let row = staff::table.find((county, id)).filter(staff::state.eq(StaffState::Active));
    found(row.select((staff::id, staff::wechat_openid_index)).for_update().first(conn))
}

pub fn bind_wechat(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    (sealed, index): (&[u8], &[u8]),
) -> QueryResult<usize> {
    diesel::update(staff::table.find((county, id)))
        .set((staff::wechat_openid.eq(sealed), staff::wechat_openid_index.eq(index)))
        .execute(conn)
}

/// Unbinds the WeChat account, and a code that would bind one is good no more; whether one was bound.
pub fn unbind_wechat(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<bool> {
    codes::void(conn, county, (WECHAT_CODE, id))?;
    let bound = staff::table.find((county, id)).filter(staff::wechat_openid.is_not_null());
    let unbound = diesel::update(bound)
        .set((staff::wechat_openid.eq(None::<Vec<u8>>), staff::wechat_openid_index.eq(None::<Vec<u8>>)))
        .execute(conn)?;
    Ok(unbound > 0)
}
