//! Counties and units in the database.

use chrono::{DateTime, Utc};
use diesel::{
    dsl::exists,
    prelude::*,
    sql_types::{Integer, Nullable, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::model::{County, CountyState, Level, Unit};
use crate::{
    db::{
        found,
        schema::{counties, units},
    },
    error::{Code, Result},
    http::{
        caller::{Reach, Scope},
        page::After,
    },
    settings::{self, Settings},
};

/// An address and its sealed secret.
type Remote = (Option<String>, Option<Vec<u8>>);
type CountyRow = (i32, String, String, Remote, Remote, CountyState);

/// Every county, suspended ones too.
pub fn every_county(conn: &mut PgConnection) -> QueryResult<Vec<i32>> {
    counties::table.select(counties::id).order(counties::id).load(conn)
}

/// The county with a tenant key, with its settings as they are at `now`.
pub fn find_county(conn: &mut PgConnection, key: &str, now: DateTime<Utc>) -> Result<Option<County>> {
    let (wechat, sms) = ((counties::wechat_appid, counties::wechat_secret), (counties::sms_url, counties::sms_secret));
    let columns = (counties::id, counties::key, counties::name, wechat, sms, counties::state);
    let row = found(counties::table.filter(counties::key.eq(key)).select(columns).first::<CountyRow>(conn))?;
    let Some((id, key, name, (wechat_appid, wechat_secret), (sms_url, sms_secret), state)) = row else {
        return Ok(None);
    };
    let settings = Settings::at(&settings::load(conn, id)?, now);
    Ok(Some(County { id, key: key.into(), name, wechat_appid, wechat_secret, sms_url, sms_secret, settings, state }))
}

/// Sets the county's mini-program; `secret` is sealed.
pub fn set_wechat(conn: &mut PgConnection, county: i32, appid: &str, secret: &[u8]) -> QueryResult<usize> {
    diesel::update(counties::table.filter(counties::id.eq(county)))
        .set((
            (counties::wechat_appid.eq(appid), counties::wechat_secret.eq(secret)),
            counties::version.eq(counties::version + 1),
        ))
        .execute(conn)
}

/// Holds back others who change the county or its settings, until the transaction ends. Rows that refer to the county can be
/// written meanwhile.
pub fn lock_county(conn: &mut PgConnection, county: i32) -> QueryResult<i32> {
    counties::table.find(county).select(counties::id).for_no_key_update().first(conn)
}

/// Sets the county's SMS gateway; `secret` is sealed.
pub fn set_sms(conn: &mut PgConnection, county: i32, url: &str, secret: &[u8]) -> QueryResult<usize> {
    diesel::update(counties::table.filter(counties::id.eq(county)))
        .set((counties::sms_url.eq(url), counties::sms_secret.eq(secret)))
        .execute(conn)
}

/// The units of a county in order of creation, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    county: i32,
    (level, parent): (Option<Level>, Option<Uuid>),
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Unit>> {
    let mut query = units::table.filter(units::county_id.eq(county)).select(Unit::as_select()).into_boxed();
    if let Some(level) = level {
        query = query.filter(units::level.eq(level));
    }
    if let Some(parent) = parent {
        query = query.filter(units::parent_id.eq(parent));
    }
    if let Some(after) = after {
        query = query.filter(units::id.gt(after.id));
    }
    query.order(units::id).limit(limit + 1).load(conn)
}

pub fn count(conn: &mut PgConnection, county: i32, (level, parent): (Option<Level>, Option<Uuid>)) -> QueryResult<i64> {
    let mut query = units::table.filter(units::county_id.eq(county)).into_boxed();
    if let Some(level) = level {
        query = query.filter(units::level.eq(level));
    }
    if let Some(parent) = parent {
        query = query.filter(units::parent_id.eq(parent));
    }
    query.count().get_result(conn)
}

pub fn find(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Unit>> {
    found(units::table.find((county, id)).select(Unit::as_select()).first(conn))
}

/// The units of a county with this name or division code; without one, the county's own.
pub fn named(conn: &mut PgConnection, county: i32, name: Option<&str>) -> QueryResult<Vec<Unit>> {
    let here = units::table.filter(units::county_id.eq(county)).select(Unit::as_select()).into_boxed();
    match name {
        Some(name) => here.filter(units::name.eq(name).or(units::division_code.eq(name))).load(conn),
        None => here.filter(units::level.eq(Level::County)).load(conn),
    }
}

/// The unit of a county with this name on a level; for the sample county.
pub fn find_by_name(conn: &mut PgConnection, county: i32, level: Level, name: &str) -> Result<Option<Unit>> {
    let named = units::table.filter(units::county_id.eq(county)).filter(units::level.eq(level));
    found(named.filter(units::name.eq(name)).select(Unit::as_select()).first(conn))
}

diesel::define_sql_function! {
    /// Whether a unit is `top` or lies below it.
    fn unit_within(county: Integer, unit: Nullable<SqlUuid>, top: SqlUuid) -> Bool;
}

/// Whether a unit exists within a scope: the unit of the caller's post, one below it, or any of the county.
pub fn exists_in(conn: &mut PgConnection, scope: Scope, unit: Uuid) -> QueryResult<bool> {
    match scope.reach {
        Reach::Unit(top) => diesel::select(unit_within(scope.county, unit, top)).get_result(conn),
        Reach::Own(_) | Reach::County => {
            diesel::select(exists(units::table.find((scope.county, unit)))).get_result(conn)
        }
    }
}

/// The unit that numbers are asked of: that one, or the caller's own; the county itself for those who reach all of it.
pub fn counted(conn: &mut PgConnection, scope: Scope, asked: Option<Uuid>, own: Option<Uuid>) -> Result<Uuid> {
    let unit = match (asked.or(own), scope.reach) {
        (Some(unit), _) => unit,
        (None, Reach::County) => named(conn, scope.county, None)?.first().ok_or(Code::NotFound)?.id,
        (None, _) => return Err(Code::Forbidden.into()),
    };
    if exists_in(conn, scope, unit)? { Ok(unit) } else { Err(Code::NotFound.into()) }
}

/// The tenant key of a county for a session that goes on; 403 while the county is suspended.
pub fn working_key(conn: &mut PgConnection, county: i32) -> Result<String> {
    let columns = (counties::key, counties::state);
    let (key, state) = counties::table.find(county).select(columns).first::<(String, CountyState)>(conn)?;
    if state == CountyState::Suspended { Err(Code::CountySuspended.into()) } else { Ok(key) }
}

/// The tenant key of a county.
pub fn key(conn: &mut PgConnection, county: i32) -> QueryResult<String> {
    counties::table.find(county).select(counties::key).first(conn)
}
