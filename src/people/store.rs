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
        schema::{resident_merges, residents},
    },
    error::Result,
    http::caller::{Reach, Scope},
    rooms::Merge,
    units::store::unit_within,
};

/// The resident with an id, if within the scope; the id of a record that was merged leads to the one that stayed.
pub fn find(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Option<Resident>> {
    match find_unmerged(conn, scope, id)? {
        None => match merged_into(conn, scope.county, id)? {
            Some(into) => find_unmerged(conn, scope, into),
            None => Ok(None),
        },
        found => Ok(found),
    }
}

fn find_unmerged(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Option<Resident>> {
    let open = residents::merged_into.is_null().and(residents::closed_at.is_null());
    let mut query = residents::table.find((scope.county, id)).filter(open).select(Resident::as_select()).into_boxed();
    match scope.reach {
        Reach::Own(own) => query = query.filter(residents::id.eq(own)),
        Reach::Unit(unit) => query = query.filter(unit_within(scope.county, residents::unit_id, unit)),
        Reach::County => {}
    }
    found(query.first(conn))
}

/// Where a merged record's id leads.
pub fn merged_into(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Uuid>> {
    Ok(found(residents::table.find((county, id)).select(residents::merged_into).first(conn))?.flatten())
}

/// A record's id, and those that lead to it.
pub fn with_merged(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<Vec<Uuid>> {
    let here = residents::table.filter(residents::county_id.eq(county));
    let mut ids: Vec<Uuid> = here.filter(residents::merged_into.eq(id)).select(residents::id).load(conn)?;
    ids.push(id);
    Ok(ids)
}

/// The id of the record that is there under an id, which nobody merges or closes before the transaction ends; what is
/// written for it meanwhile goes to the right one.
pub fn present(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Uuid>> {
    let id = merged_into(conn, county, id)?.unwrap_or(id);
    let open = residents::merged_into.is_null().and(residents::closed_at.is_null());
    let row = residents::table.find((county, id)).filter(open).select(residents::id);
    found(row.for_key_share().first(conn))
}

/// [`find`], and nobody can change the row before the transaction ends.
pub fn lock(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Option<Resident>> {
    let Some(row) = find(conn, scope, id)? else { return Ok(None) };
    let open = residents::merged_into.is_null().and(residents::closed_at.is_null());
    let row = residents::table.find((scope.county, row.id)).filter(open);
    found(row.select(Resident::as_select()).for_update().first(conn))
}

/// Both rows, locked in the order of their ids, so that two merges of the same pair do not wait for each other in a circle;
/// none if one of them is no longer there.
pub fn lock_both(conn: &mut PgConnection, county: i32, one: Uuid, other: Uuid) -> Result<Option<(Resident, Resident)>> {
    let both = residents::table.filter(residents::county_id.eq(county)).filter(residents::id.eq_any([one, other]));
    let open = residents::merged_into.is_null().and(residents::closed_at.is_null());
    let both = both.filter(open).order(residents::id);
    let mut rows: Vec<Resident> = both.select(Resident::as_select()).for_update().load(conn)?;
    if rows.len() != 2 {
        return Ok(None);
    }
    let second = rows.remove(usize::from(rows[0].id == one));
    let first = rows.remove(0);
    Ok(Some((first, second)))
}

/// What a lookup is by.
#[derive(Clone, Debug)]
pub enum By {
    IdNumber(Vec<Vec<u8>>),
    /// Also by a number that nobody has checked.
    AnyIdNumber(Vec<Vec<u8>>),
    Phone(Vec<Vec<u8>>),
}

/// Those within the scope whose blind index is one of `by`. One indexed read.
pub fn find_by(conn: &mut PgConnection, scope: Scope, by: &By) -> QueryResult<Vec<Resident>> {
    let here = residents::table.filter(residents::county_id.eq(scope.county));
    let mut query = here.select(Resident::as_select()).into_boxed();
    query = match by {
        By::IdNumber(indexes) => query.filter(residents::id_number_index.eq_any(indexes)),
        By::AnyIdNumber(indexes) => {
            let claimed = residents::id_number_claim.eq_any(indexes);
            query.filter(residents::id_number_index.eq_any(indexes).or(claimed))
        }
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
    pub name_index: Option<Vec<u8>>,
    pub id_number: Option<Vec<u8>>,
    pub id_number_index: Option<Vec<u8>>,
    pub id_number_claim: Option<Vec<u8>>,
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

/// The sealed WeChat account of a record.
pub fn wechat_of(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Vec<u8>>> {
    let row = residents::table.find((county, id)).select(residents::wechat_openid);
    Ok(found(row.first::<Option<Vec<u8>>>(conn))?.flatten())
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

/// Empties a record that turns out to be another, and leads its id and those that led to it there. Answers the openid that it had.
pub fn vanish(
    conn: &mut PgConnection,
    app: &App,
    from: &Resident,
    into: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<String>> {
    let here = || residents::table.filter(residents::county_id.eq(from.county_id));
    diesel::update(here().filter(residents::merged_into.eq(from.id)))
        .set(residents::merged_into.eq(into))
        .execute(conn)?;
    let nothing = None::<Vec<u8>>;
    diesel::update(here().filter(residents::id.eq(from.id)))
        .set((
            (residents::name.eq(&nothing), residents::name_index.eq(&nothing)),
            (residents::id_number.eq(&nothing), residents::phone.eq(&nothing)),
            (residents::id_number_index.eq(&nothing), residents::phone_index.eq(&nothing)),
            (residents::wechat_openid.eq(&nothing), residents::wechat_openid_index.eq(&nothing)),
            (residents::id_number_claim.eq(&nothing), residents::merged_into.eq(into)),
            (residents::version.eq(residents::version + 1), residents::updated_at.eq(now)),
        ))
        .execute(conn)?;
    let place = super::model::place("wechat_openid", from.id);
    let open = |sealed: &Vec<u8>| app.keys.open_text(from.county_id, &place, sealed);
    Ok(from.wechat_openid.as_ref().map(open).transpose()?)
}

/// Gives a record a WeChat account.
pub fn set_wechat(conn: &mut PgConnection, app: &App, row: &Resident, openid: &str) -> QueryResult<usize> {
    let sealed = app.keys.seal(row.county_id, &super::model::place("wechat_openid", row.id), openid.as_bytes());
    diesel::update(residents::table.find((row.county_id, row.id)))
        .set((
            residents::wechat_openid.eq(sealed),
            residents::wechat_openid_index.eq(app.keys.blind(row.county_id, "wechat_openid", openid)),
        ))
        .execute(conn)
}

/// Keeps what the vanished record said, what went over, and why.
pub fn note_merge(
    conn: &mut PgConnection,
    id: Uuid,
    merge: &Merge,
    (snapshot, moved, reason): (Vec<u8>, serde_json::Value, String),
    (by, role): (Uuid, &str),
) -> QueryResult<usize> {
    diesel::insert_into(resident_merges::table)
        .values((
            (resident_merges::county_id.eq(merge.county), resident_merges::id.eq(id)),
            (resident_merges::from_id.eq(merge.from), resident_merges::into_id.eq(merge.into)),
            (
                resident_merges::snapshot.eq(snapshot),
                resident_merges::moved.eq(moved),
                resident_merges::reason.eq(reason),
            ),
            (resident_merges::merged_by.eq(by), resident_merges::merged_by_role.eq(role)),
            resident_merges::merged_at.eq(merge.now),
        ))
        .execute(conn)
}

/// A later merge leads earlier ones' history along; what a closed record's vanished ones said is erased with it.
pub fn merge_history(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let of = resident_merges::table.filter(resident_merges::county_id.eq(merge.county));
    Ok(diesel::update(of.filter(resident_merges::into_id.eq(merge.from)))
        .set(resident_merges::into_id.eq(merge.into))
        .execute(conn)?)
}

/// The sealed names of several residents.
pub fn names(conn: &mut PgConnection, county: i32, ids: &[Uuid]) -> QueryResult<Vec<(Uuid, Option<Vec<u8>>)>> {
    let here = residents::table.filter(residents::county_id.eq(county)).filter(residents::id.eq_any(ids));
    here.select((residents::id, residents::name)).load(conn)
}
