//! Helpers in the database.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    dsl::exists,
    prelude::*,
    sql_types::{Integer, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::model::{Around, Helper, HelperKind, HelperState, Hours};
use crate::{
    db::{
        found,
        schema::{helper_hours, helper_units, helpers, staff, staff_posts, units},
    },
    error::{Code, Result},
    geo::Point,
    http::{
        caller::{Caller, Reach, Scope},
        page::After,
        permissions::Role,
    },
    statement,
    units::store::unit_within,
};

type Boxed<'a> = helpers::BoxedQuery<'a, diesel::pg::Pg>;

/// Those of a scope: their home unit lies within it, or it is oneself.
fn within<'a>(scope: Scope) -> Boxed<'a> {
    let here = helpers::table.filter(helpers::county_id.eq(scope.county)).into_boxed();
    match scope.reach {
        Reach::Own(own) => {
            let as_staff = helpers::staff_id.is_not_distinct_from(own);
            here.filter(as_staff.or(helpers::resident_id.is_not_distinct_from(own)))
        }
        Reach::Unit(unit) => here.filter(unit_within(scope.county, helpers::unit_id.nullable(), unit)),
        Reach::County => here,
    }
}

/// What a list is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub unit: Option<Uuid>,
    pub kind: Option<HelperKind>,
    pub state: Option<HelperState>,
    pub skill: Option<String>,
}

fn wanted<'a>(scope: Scope, by: &Wanted) -> Boxed<'a> {
    let mut query = within(scope);
    if let Some(unit) = by.unit {
        query = query.filter(unit_within(scope.county, helpers::unit_id.nullable(), unit));
    }
    if let Some(kind) = by.kind {
        query = query.filter(helpers::kind.eq(kind));
    }
    if let Some(state) = by.state {
        query = query.filter(helpers::state.eq(state));
    }
    if let Some(skill) = &by.skill {
        query = query.filter(helpers::skills.contains(vec![Some(skill.clone())]));
    }
    query
}

/// In the order of their ids, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    scope: Scope,
    by: &Wanted,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Helper>> {
    let mut query = wanted(scope, by);
    if let Some(after) = after {
        query = query.filter(helpers::id.gt(after.id));
    }
    query.order(helpers::id).limit(limit + 1).select(Helper::as_select()).load(conn)
}

pub fn count(conn: &mut PgConnection, scope: Scope, by: &Wanted) -> QueryResult<i64> {
    wanted(scope, by).count().get_result(conn)
}

pub fn find(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Option<Helper>> {
    found(within(scope).filter(helpers::id.eq(id)).select(Helper::as_select()).first(conn))
}

/// [`find`], and nobody changes the row before the transaction ends.
pub fn lock(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Option<Helper>> {
    let row = helpers::table.find((scope.county, id)).select(helpers::id).for_no_key_update();
    if found(row.first::<Uuid>(conn))?.is_none() {
        return Ok(None);
    }
    find(conn, scope, id)
}

/// Somebody's own row, whether they are staff or a resident.
pub fn of_caller(conn: &mut PgConnection, who: &Caller) -> Result<Option<Helper>> {
    let here = helpers::table.filter(helpers::county_id.eq(who.county)).into_boxed();
    let own = if who.is_resident() {
        here.filter(helpers::resident_id.eq(who.subject))
    } else {
        here.filter(helpers::staff_id.eq(who.subject))
    };
    found(own.select(Helper::as_select()).first(conn))
}

/// [`of_caller`], locked.
pub fn lock_own(conn: &mut PgConnection, who: &Caller) -> Result<Helper> {
    let id = of_caller(conn, who)?.ok_or(Code::NotFound)?.id;
    let scope = Scope { county: who.county, reach: Reach::Own(who.subject) };
    lock(conn, scope, id)?.ok_or(Code::NotFound.into())
}

/// The row of a resident, locked.
pub fn lock_of_resident(conn: &mut PgConnection, county: i32, resident: Uuid) -> Result<Option<Helper>> {
    let here = helpers::table.filter(helpers::county_id.eq(county)).filter(helpers::resident_id.eq(resident));
    found(here.select(Helper::as_select()).for_no_key_update().first(conn))
}

/// What goes with each of some.
pub fn around(conn: &mut PgConnection, county: i32, ids: &[Uuid]) -> QueryResult<HashMap<Uuid, Around>> {
    let mut all: HashMap<Uuid, Around> = HashMap::new();
    let of = helper_units::table.filter(helper_units::county_id.eq(county)).filter(helper_units::helper_id.eq_any(ids));
    let columns = (helper_units::helper_id, helper_units::unit_id, helper_units::granted);
    for (id, unit, granted) in of.order(helper_units::unit_id).select(columns).load::<(Uuid, Uuid, bool)>(conn)? {
        all.entry(id).or_default().units.push((unit, granted));
    }
    let of = helper_hours::table.filter(helper_hours::county_id.eq(county)).filter(helper_hours::helper_id.eq_any(ids));
    let rows = of.order(helper_hours::no).select((helper_hours::helper_id, Hours::as_select()));
    for (id, hours) in rows.load::<(Uuid, Hours)>(conn)? {
        all.entry(id).or_default().hours.push(hours);
    }
    Ok(all)
}

/// Names of members of staff.
pub fn staff_names(conn: &mut PgConnection, county: i32, ids: &[Uuid]) -> QueryResult<HashMap<Uuid, String>> {
    let here = staff::table.filter(staff::county_id.eq(county)).filter(staff::id.eq_any(ids));
    Ok(here.select((staff::id, staff::display_name)).load(conn)?.into_iter().collect())
}

/// Whether a member of staff still has a post that makes them a helper.
pub fn has_post(conn: &mut PgConnection, county: i32, member: Uuid) -> QueryResult<bool> {
    let held = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::staff_id.eq(member));
    let held = held.filter(staff_posts::ended_at.is_null());
    diesel::select(exists(held.filter(staff_posts::role.eq_any([Role::Specialist, Role::VillageCadre]))))
        .get_result(conn)
}

/// Those of some units that lie within a scope.
pub fn units_within(conn: &mut PgConnection, scope: Scope, ids: &[Uuid]) -> QueryResult<Vec<Uuid>> {
    let mut here = units::table.filter(units::county_id.eq(scope.county)).filter(units::id.eq_any(ids)).into_boxed();
    if let Reach::Unit(top) = scope.reach {
        here = here.filter(unit_within(scope.county, units::id.nullable(), top));
    }
    here.select(units::id).load(conn)
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

statement! {
    struct TownshipOf { county: i32 as Integer, unit: Uuid as SqlUuid }
    "SELECT township_of({county}, {unit}) AS id"
}

/// The township of a village; a unit above the villages itself.
pub fn township_of(conn: &mut PgConnection, county: i32, unit: Uuid) -> QueryResult<Uuid> {
    Ok(TownshipOf { county, unit }.get_result::<Place>(conn)?.id)
}

/// Somebody applies, for the first time or again; the rows of an earlier application make way.
#[derive(Clone, Debug)]
pub struct Application {
    pub id: Uuid,
    pub resident: Uuid,
    pub unit: Uuid,
    pub kind: HelperKind,
    pub claimed: Vec<String>,
    /// Sealed.
    pub words: Option<Vec<u8>>,
}

pub fn insert(conn: &mut PgConnection, county: i32, new: &Application, now: DateTime<Utc>) -> QueryResult<Helper> {
    diesel::insert_into(helpers::table)
        .values((
            (helpers::county_id.eq(county), helpers::id.eq(new.id), helpers::kind.eq(new.kind)),
            (helpers::resident_id.eq(new.resident), helpers::unit_id.eq(new.unit)),
            (helpers::state.eq(HelperState::Applied), helpers::claimed.eq(&new.claimed), helpers::words.eq(&new.words)),
            (helpers::created_at.eq(now), helpers::updated_at.eq(now)),
        ))
        .returning(Helper::as_returning())
        .get_result(conn)
}

/// Applies again with a row that [`lock_of_resident`] has locked.
pub fn apply_again(
    conn: &mut PgConnection,
    row: &Helper,
    new: &Application,
    now: DateTime<Utc>,
) -> QueryResult<Helper> {
    let none = None::<Vec<u8>>;
    let set = (
        (helpers::kind.eq(new.kind), helpers::unit_id.eq(new.unit), helpers::state.eq(HelperState::Applied)),
        (helpers::claimed.eq(&new.claimed), helpers::words.eq(&new.words), helpers::reason.eq(none)),
        (helpers::decided_by.eq(None::<Uuid>), helpers::decided_at.eq(None::<DateTime<Utc>>)),
    );
    diesel::update(helpers::table.find((row.county_id, row.id))).set(set).execute(conn)?;
    touch(conn, row, now)
}

/// A new version of a row; the database tells phones.
pub fn touch(conn: &mut PgConnection, row: &Helper, now: DateTime<Utc>) -> QueryResult<Helper> {
    diesel::update(helpers::table.find((row.county_id, row.id)))
        .set((helpers::version.eq(helpers::version + 1), helpers::updated_at.eq(now)))
        .returning(Helper::as_returning())
        .get_result(conn)
}

/// What a decision leaves behind.
#[derive(Clone, Debug)]
pub struct Decided {
    pub state: HelperState,
    pub by: Uuid,
    /// Sealed.
    pub reason: Option<Vec<u8>>,
}

/// Moves a locked row.
pub fn decide(conn: &mut PgConnection, row: &Helper, to: &Decided, now: DateTime<Utc>) -> QueryResult<Helper> {
    let set = (
        (helpers::state.eq(to.state), helpers::decided_by.eq(to.by), helpers::decided_at.eq(now)),
        helpers::reason.eq(&to.reason),
    );
    diesel::update(helpers::table.find((row.county_id, row.id))).set(set).execute(conn)?;
    touch(conn, row, now)
}

/// What staff grant: home unit, skills, further units; and units that stay asked for. In place of what was there before.
pub fn grant(
    conn: &mut PgConnection,
    row: &Helper,
    (home, skills): (Uuid, &[String]),
    (further, asked): (&[Uuid], &[Uuid]),
) -> QueryResult<()> {
    diesel::update(helpers::table.find((row.county_id, row.id)))
        .set((helpers::unit_id.eq(home), helpers::skills.eq(skills)))
        .execute(conn)?;
    let granted = further.iter().map(|unit| (*unit, true));
    set_units(conn, row, granted.chain(asked.iter().map(|unit| (*unit, false))))
}

/// The further units as they shall be.
pub fn set_units(conn: &mut PgConnection, row: &Helper, all: impl Iterator<Item = (Uuid, bool)>) -> QueryResult<()> {
    let of = helper_units::table.filter(helper_units::county_id.eq(row.county_id));
    diesel::delete(of.filter(helper_units::helper_id.eq(row.id))).execute(conn)?;
    let rows: Vec<_> = all
        .map(|(unit, granted)| {
            let of = (helper_units::county_id.eq(row.county_id), helper_units::helper_id.eq(row.id));
            (of, helper_units::unit_id.eq(unit), helper_units::granted.eq(granted))
        })
        .collect();
    diesel::insert_into(helper_units::table).values(rows).execute(conn).map(drop)
}

/// The hours as they shall be.
pub fn set_hours(conn: &mut PgConnection, row: &Helper, all: &[Hours]) -> QueryResult<()> {
    let of = helper_hours::table.filter(helper_hours::county_id.eq(row.county_id));
    diesel::delete(of.filter(helper_hours::helper_id.eq(row.id))).execute(conn)?;
    let rows: Vec<_> = (0i16..)
        .zip(all)
        .map(|(no, hours)| {
            let of = (helper_hours::county_id.eq(row.county_id), helper_hours::helper_id.eq(row.id));
            (of, helper_hours::no.eq(no), hours)
        })
        .collect();
    diesel::insert_into(helper_hours::table).values(rows).execute(conn).map(drop)
}

/// Where somebody starts from, how far they go, how much they take.
pub fn set_place(
    conn: &mut PgConnection,
    row: &Helper,
    point: Option<Point>,
    (radius, load): (Option<i32>, Option<i16>),
) -> QueryResult<usize> {
    let point = point.map(Point::to_wgs84);
    let set = (
        (helpers::lng.eq(point.map(|point| point.lng)), helpers::lat.eq(point.map(|point| point.lat))),
        (helpers::radius_m.eq(radius), helpers::max_load.eq(load)),
    );
    diesel::update(helpers::table.find((row.county_id, row.id))).set(set).execute(conn)
}

/// From when until when a volunteer is away; none: there again.
pub fn set_away(
    conn: &mut PgConnection,
    row: &Helper,
    away: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    now: DateTime<Utc>,
) -> QueryResult<Helper> {
    diesel::update(helpers::table.find((row.county_id, row.id)))
        .set((helpers::away_from.eq(away.0), helpers::away_until.eq(away.1)))
        .execute(conn)?;
    touch(conn, row, now)
}

/// Nothing that tells of the person stays; that somebody helped does.
pub fn forget(conn: &mut PgConnection, row: &Helper, state: HelperState, now: DateTime<Utc>) -> QueryResult<Helper> {
    set_units(conn, row, std::iter::empty())?;
    set_hours(conn, row, &[])?;
    set_place(conn, row, None, (None, None))?;
    let (none, nobody, never) = (None::<Vec<u8>>, None::<Uuid>, None::<DateTime<Utc>>);
    let set = (
        (helpers::state.eq(state), helpers::decided_by.eq(nobody), helpers::decided_at.eq(now)),
        (helpers::words.eq(&none), helpers::reason.eq(&none), helpers::claimed.eq(Vec::<String>::new())),
        helpers::skills.eq(Vec::<String>::new()),
        (helpers::away_from.eq(never), helpers::away_until.eq(never)),
    );
    diesel::update(helpers::table.find((row.county_id, row.id))).set(set).execute(conn)?;
    touch(conn, row, now)
}
