//! Residents in the database.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::model::{IdentityLevel, IdentitySeen, Resident};
use crate::{
    app::App,
    db::{
        changes::{self, Change},
        found,
        schema::residents,
    },
    error::Result,
    http::caller::{Reach, Scope},
    units::store::unit_within,
};

/// The resident with an id, if within the scope.
pub fn find(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Option<Resident>> {
    let open = residents::table.find((scope.county, id)).filter(residents::closed_at.is_null());
    let mut query = open.select(Resident::as_select()).into_boxed();
    match scope.reach {
        Reach::Own(own) => query = query.filter(residents::id.eq(own)),
        Reach::Unit(unit) => query = query.filter(unit_within(scope.county, residents::unit_id, unit)),
        Reach::County => {}
    }
    found(query.first(conn))
}

/// What a lookup is by.
#[derive(Clone, Debug)]
pub enum By {
    IdNumber(Vec<Vec<u8>>),
    Phone(Vec<Vec<u8>>),
}

/// Those within the scope whose blind index is one of `by`. One indexed read.
pub fn find_by(conn: &mut PgConnection, scope: Scope, by: &By) -> QueryResult<Vec<Resident>> {
    let here = residents::table.filter(residents::county_id.eq(scope.county));
    let mut query = here.select(Resident::as_select()).into_boxed();
    query = match by {
        By::IdNumber(indexes) => query.filter(residents::id_number_index.eq_any(indexes)),
        By::Phone(indexes) => query.filter(residents::phone_index.eq_any(indexes)),
    };
    if let Reach::Unit(unit) = scope.reach {
        query = query.filter(unit_within(scope.county, residents::unit_id, unit));
    }
    query.order(residents::id).limit(20).load(conn)
}

/// Whether somebody else of the county is registered under one of these indexes, whichever key made it. The constraint
/// guards one key's; this guards the time of a rotation.
pub fn is_registered(conn: &mut PgConnection, county: i32, indexes: &[Vec<u8>], except: Uuid) -> QueryResult<bool> {
    let here = residents::table.filter(residents::county_id.eq(county)).filter(residents::id.ne(except));
    diesel::select(diesel::dsl::exists(here.filter(residents::id_number_index.eq_any(indexes)))).get_result(conn)
}

/// The values of a row that can be written.
#[derive(Clone, Debug, Insertable, AsChangeset)]
#[diesel(table_name = residents, treat_none_as_null = true)]
pub struct Values {
    pub unit_id: Option<Uuid>,
    pub name: Option<Vec<u8>>,
    pub id_number: Option<Vec<u8>>,
    pub id_number_index: Option<Vec<u8>>,
    pub phone: Option<Vec<u8>>,
    pub phone_index: Option<Vec<u8>>,
    pub identity_level: IdentityLevel,
    pub identity_seen: Option<IdentitySeen>,
    pub updated_at: DateTime<Utc>,
}

pub fn insert(conn: &mut PgConnection, county: i32, id: Uuid, staff: Uuid, values: Values) -> QueryResult<Resident> {
    let at = values.updated_at;
    diesel::insert_into(residents::table)
        .values((
            (residents::county_id.eq(county), residents::id.eq(id), residents::registered_by.eq(staff)),
            residents::created_at.eq(at),
            values,
        ))
        .returning(Resident::as_returning())
        .get_result(conn)
}

/// Writes the values if the version is still the one that was read.
pub fn update(conn: &mut PgConnection, read: &Resident, values: Values) -> Result<Option<Resident>> {
    let row = residents::table.find((read.county_id, read.id)).filter(residents::version.eq(read.version));
    let set = diesel::update(row).set((residents::version.eq(residents::version + 1), values));
    found(set.returning(Resident::as_returning()).get_result(conn))
}

/// The resident of a WeChat account, made at the first login. Two first logins at once: the second finds the first's.
pub fn find_or_create_by_wechat(conn: &mut PgConnection, app: &App, county: i32, openid: &str) -> Result<Uuid> {
    let indexes = app.keys.blinds(county, "wechat_openid", openid);
    let here = residents::table.filter(residents::county_id.eq(county));
    let known = here.filter(residents::wechat_openid_index.eq_any(indexes)).select(residents::id);
    if let Some(id) = found(known.first(conn))? {
        return Ok(id);
    }
    let (id, now) = (Uuid::now_v7(), app.clock.now());
    let sealed = app.keys.seal(county, &super::model::place("wechat_openid", id), openid.as_bytes());
    diesel::insert_into(residents::table)
        .values((
            (residents::county_id.eq(county), residents::id.eq(id)),
            residents::wechat_openid.eq(sealed),
            residents::wechat_openid_index.eq(app.keys.blind(county, "wechat_openid", openid)),
            residents::identity_level.eq(IdentityLevel::None),
            (residents::created_at.eq(now), residents::updated_at.eq(now)),
        ))
        .execute(conn)?;
    let (unit_id, resident_id, staff_id) = (None, Some(id), None);
    let made = Change { county, entity: "resident", entity_id: id, unit_id, resident_id, staff_id, gone: false };
    changes::record(conn, made, now)?;
    Ok(id)
}
