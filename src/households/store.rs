//! Households in the database.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    dsl::{exists, sql},
    prelude::*,
    sql_types::{Bool, Date, Integer, Nullable, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::model::{Household, HouseholdState, Member, Partner, TaskState, UNKNOWN_CATEGORY, Values, VisitTask};
use crate::{
    clock::local_date,
    db::{
        found,
        schema::{household_members, households, residents, staff, visit_categories, visit_partners, visit_tasks},
    },
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Reach, Scope},
        page::After,
    },
    statement,
    units::store::unit_within,
};

type Boxed = households::BoxedQuery<'static, diesel::pg::Pg>;

/// Who looks, and how far they reach.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    pub scope: Scope,
    pub me: Uuid,
    /// The day on which they stand in for absent colleagues (AB 岗); none: they look for themselves only.
    pub on: Option<NaiveDate>,
}

impl Sight {
    pub fn new(caller: &Caller, scope: Scope, now: DateTime<Utc>) -> Self {
        Self { scope, me: caller.subject, on: Some(local_date(now)) }
    }
}

statement! {
    struct Covered { county: i32 as Integer, me: Uuid as SqlUuid, on: NaiveDate as Date }
    "SELECT covered_by({county}, {me}, {on}) AS id"
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Whom somebody stands in for on a day: the same as lists ask for.
pub fn covered(conn: &mut PgConnection, county: i32, me: Uuid, on: NaiveDate) -> QueryResult<Vec<Uuid>> {
    let ids: Vec<Id> = Covered { county, me, on }.load(conn)?;
    Ok(ids.into_iter().map(|one| one.id).collect())
}

/// Whether a holder is the caller, or an absent colleague whom they stand in for: asked once, not of every row.
macro_rules! answers {
    ($sight:expr, $holder:literal) => {
        sql::<Bool>(concat!("coalesce(", $holder, " = "))
            .bind::<SqlUuid, _>($sight.me)
            .sql(concat!(" OR ", $holder, " IN (SELECT covered_by("))
            .bind::<Integer, _>($sight.scope.county)
            .sql(", ")
            .bind::<SqlUuid, _>($sight.me)
            .sql(", ")
            .bind::<Nullable<Date>, _>($sight.on)
            .sql(")), false)")
    };
}
pub(super) use answers;

/// Those of a scope, and those that one holds, or a colleague whom one stands in for, or is the partner of, wherever they are.
fn visible(sight: Sight) -> Boxed {
    let Sight { scope, me, .. } = sight;
    let here = households::table.filter(households::county_id.eq(scope.county)).into_boxed();
    let partner = visit_partners::table
        .filter(visit_partners::county_id.eq(scope.county))
        .filter(visit_partners::household_id.eq(households::id))
        .filter(visit_partners::staff_id.eq(me))
        .filter(visit_partners::until_on.is_null());
    let own = answers!(sight, "households.holder_id").or(exists(partner));
    match scope.reach {
        Reach::Own(_) => here.filter(own),
        Reach::Unit(unit) => here.filter(unit_within(scope.county, households::unit_id.nullable(), unit).or(own)),
        Reach::County => here,
    }
}

/// What a list is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub unit: Option<Uuid>,
    /// Active ones by default.
    pub state: Option<HouseholdState>,
    pub category: Option<Uuid>,
    pub holder: Option<Uuid>,
    /// Blind indexes of a name: of the household, or of a member.
    pub name: Option<Vec<Vec<u8>>>,
}

fn wanted(sight: Sight, by: &Wanted) -> Boxed {
    let county = sight.scope.county;
    let mut query = visible(sight).filter(households::state.eq(by.state.unwrap_or(HouseholdState::Active)));
    if let Some(unit) = by.unit {
        query = query.filter(unit_within(county, households::unit_id.nullable(), unit));
    }
    if let Some(category) = by.category {
        query = query.filter(households::category_id.eq(category));
    }
    if let Some(holder) = by.holder {
        query = query.filter(households::holder_id.eq(holder));
    }
    if let Some(indexes) = &by.name {
        let named = household_members::table
            .inner_join(
                residents::table.on(residents::county_id
                    .eq(household_members::county_id)
                    .and(residents::id.eq(household_members::resident_id))),
            )
            .filter(household_members::county_id.eq(county))
            .filter(household_members::until_on.is_null())
            .filter(residents::name_index.eq_any(indexes.clone()))
            .select(household_members::household_id);
        query = query.filter(
            households::name_index.eq_any(indexes.clone()).is_not_distinct_from(true).or(households::id.eq_any(named)),
        );
    }
    query
}

/// In the order of their ids, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    sight: Sight,
    by: &Wanted,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Household>> {
    let mut query = wanted(sight, by);
    if let Some(after) = after {
        query = query.filter(households::id.gt(after.id));
    }
    query.order(households::id).limit(limit + 1).select(Household::as_select()).load(conn)
}

pub fn count(conn: &mut PgConnection, sight: Sight, by: &Wanted) -> QueryResult<i64> {
    wanted(sight, by).count().get_result(conn)
}

/// Those of some that one sees, whatever their state; merged ones do not lead on.
pub fn by_ids(conn: &mut PgConnection, sight: Sight, ids: &[Uuid]) -> QueryResult<Vec<Household>> {
    visible(sight).filter(households::id.eq_any(ids.to_vec())).select(Household::as_select()).load(conn)
}

/// The household with an id, if one sees it; the id of a merged one leads to the one that stayed.
pub fn find(conn: &mut PgConnection, sight: Sight, id: Uuid) -> Result<Option<Household>> {
    let into = households::table.find((sight.scope.county, id)).select(households::merged_into);
    let id = found(into.first::<Option<Uuid>>(conn))?.flatten().unwrap_or(id);
    found(visible(sight).filter(households::id.eq(id)).select(Household::as_select()).first(conn))
}

/// [`find`], and nobody changes the row before the transaction ends.
pub fn lock(conn: &mut PgConnection, sight: Sight, id: Uuid) -> Result<Household> {
    let row = find(conn, sight, id)?.ok_or(Code::NotFound)?;
    lock_row(conn, sight.scope.county, row.id)?;
    // Once more: somebody may have merged or moved it meanwhile.
    find(conn, sight, row.id)?.ok_or(Code::NotFound.into())
}

/// Nobody changes the row before the transaction ends, whoever sees it.
pub fn lock_row(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<Uuid> {
    households::table.find((county, id)).select(households::id).for_no_key_update().first(conn)
}

/// [`lock`] of one that is active.
pub fn lock_active(conn: &mut PgConnection, sight: Sight, id: Uuid) -> Result<Household> {
    let row = lock(conn, sight, id)?;
    if row.state == HouseholdState::Active { Ok(row) } else { Err(Code::HouseholdState.into()) }
}

/// Both, locked in the order of their ids.
pub fn lock_both(conn: &mut PgConnection, sight: Sight, one: Uuid, other: Uuid) -> Result<(Household, Household)> {
    for id in [one.min(other), one.max(other)] {
        lock_row(conn, sight.scope.county, id).optional()?;
    }
    let mut active = |id| -> Result<Household> {
        let row = visible(sight).filter(households::id.eq(id)).select(Household::as_select()).first(conn);
        let row = found(row)?.ok_or(Code::NotFound)?;
        if row.state == HouseholdState::Active { Ok(row) } else { Err(Code::HouseholdState.into()) }
    };
    Ok((active(one)?, active(other)?))
}

/// A new one; its id may be a phone's own, which is there only once.
pub fn insert(
    conn: &mut PgConnection,
    (county, id): (i32, Uuid),
    values: &Values,
    by: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Household> {
    let made = diesel::insert_into(households::table)
        .values((
            (households::county_id.eq(county), households::id.eq(id), households::created_by.eq(by), values),
            (households::created_at.eq(now), households::updated_at.eq(now)),
        ))
        .on_conflict((households::county_id, households::id))
        .do_nothing()
        .returning(Household::as_returning())
        .get_result(conn);
    found(made)?.ok_or(Code::HouseholdExists.into())
}

/// Writes the values of a locked row.
pub fn update(conn: &mut PgConnection, row: &Household, values: &Values, now: DateTime<Utc>) -> QueryResult<Household> {
    diesel::update(households::table.find((row.county_id, row.id)))
        .set((values, households::version.eq(households::version + 1), households::updated_at.eq(now)))
        .returning(Household::as_returning())
        .get_result(conn)
}

/// A new version of a household, after what belongs to it has changed; the database tells phones.
pub fn touch(conn: &mut PgConnection, (county, id): (i32, Uuid), now: DateTime<Utc>) -> QueryResult<Household> {
    diesel::update(households::table.find((county, id)))
        .set((households::version.eq(households::version + 1), households::updated_at.eq(now)))
        .returning(Household::as_returning())
        .get_result(conn)
}

pub fn set_state(
    conn: &mut PgConnection,
    row: &Household,
    state: HouseholdState,
    now: DateTime<Utc>,
) -> QueryResult<Household> {
    // What is due is planned from the day of the change.
    let closed_on = (state == HouseholdState::Closed).then(|| local_date(now));
    let set = (households::state.eq(state), households::closed_on.eq(closed_on), households::updated_at.eq(now));
    diesel::update(households::table.find((row.county_id, row.id))).set(set).execute(conn)?;
    touch(conn, (row.county_id, row.id), now)
}

pub fn set_holder(
    conn: &mut PgConnection,
    row: &Household,
    holder: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<Household> {
    diesel::update(households::table.find((row.county_id, row.id)))
        .set((
            households::holder_id.eq(holder),
            households::version.eq(households::version + 1),
            households::updated_at.eq(now),
        ))
        .returning(Household::as_returning())
        .get_result(conn)
}

/// What is shown with each of some households.
#[derive(Clone, Debug, Default)]
pub struct Around {
    pub members: Vec<Member>,
    pub partner: Option<Partner>,
    pub task: Option<VisitTask>,
}

/// One statement each for members, partners and open tasks of some households.
pub fn around(conn: &mut PgConnection, county: i32, ids: &[Uuid]) -> QueryResult<HashMap<Uuid, Around>> {
    let mut all: HashMap<Uuid, Around> = HashMap::new();
    let of = household_members::table.filter(household_members::county_id.eq(county));
    let of = of.filter(household_members::household_id.eq_any(ids)).filter(household_members::until_on.is_null());
    let order = (household_members::since_on, household_members::id);
    for member in of.order(order).select(Member::as_select()).load(conn)? {
        all.entry(member.household_id).or_default().members.push(member);
    }
    let of = visit_partners::table.filter(visit_partners::county_id.eq(county));
    let of = of.filter(visit_partners::household_id.eq_any(ids)).filter(visit_partners::until_on.is_null());
    for partner in of.select(Partner::as_select()).load(conn)? {
        let id = partner.household_id;
        all.entry(id).or_default().partner = Some(partner);
    }
    let of = visit_tasks::table.filter(visit_tasks::county_id.eq(county));
    let of = of.filter(visit_tasks::household_id.eq_any(ids)).filter(visit_tasks::state.eq(TaskState::Open));
    for task in of.select(VisitTask::as_select()).load(conn)? {
        let id = task.household_id;
        all.entry(id).or_default().task = Some(task);
    }
    Ok(all)
}

/// A household and those that were merged into it.
pub fn with_merged(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<Vec<Uuid>> {
    let here = households::table.filter(households::county_id.eq(county));
    let mut ids: Vec<Uuid> = here.filter(households::merged_into.eq(id)).select(households::id).load(conn)?;
    ids.push(id);
    Ok(ids)
}

/// Refuses a category that is not there, or closed unless the household is in it already.
pub fn check_category(conn: &mut PgConnection, county: i32, wanted: Option<Uuid>, had: Option<Uuid>) -> Result<()> {
    let Some(id) = wanted.filter(|id| Some(*id) != had) else { return Ok(()) };
    let open = visit_categories::table.find((county, id)).filter(visit_categories::state.eq("active"));
    if diesel::select(exists(open)).get_result(conn)? {
        return Ok(());
    }
    let (zh, en) = UNKNOWN_CATEGORY;
    Err(Error::field("/category_id", "unknown_category", zh, en))
}

/// Refuses a member of staff who is not there any more.
pub fn check_staff(conn: &mut PgConnection, county: i32, id: Uuid, pointer: &str) -> Result<()> {
    let active = staff::table.find((county, id)).filter(staff::state.eq("active"));
    if diesel::select(exists(active)).get_result(conn)? {
        return Ok(());
    }
    Err(Error::field(pointer, "unknown_staff", "没有这名在职人员", "there is no such active member of staff"))
}
