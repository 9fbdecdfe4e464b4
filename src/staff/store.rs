//! Staff and posts in the database.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{dsl::exists, prelude::*};
use uuid::Uuid;

use super::{
    credentials::WECHAT_CODE,
    model::{Member, Post, StaffState},
};
use crate::{
    codes,
    db::{
        changes::{self, Change},
        found,
        schema::{staff, staff_absences, staff_posts},
    },
    error::{Code, Result},
    http::{
        caller::{Reach, Scope},
        page::After,
        permissions::Role,
    },
    statement,
    units::store::unit_within,
};

/// What a login needs of a member of staff.
#[derive(Clone)]
pub struct Account {
    pub id: Uuid,
    pub username: String,
    pub state: StaffState,
    pub password_hash: Option<String>,
    pub one_time_until: Option<DateTime<Utc>>,
    /// Sealed.
    pub totp_secret: Option<Vec<u8>>,
    pub totp_confirmed: bool,
    /// Role and unit of every post.
    pub posts: Vec<(Role, Uuid)>,
}

fn with_posts(conn: &mut PgConnection, member: Member) -> QueryResult<Account> {
    let held = posts(conn, member.county_id, &[member.id])?;
    Ok(Account {
        id: member.id,
        username: member.username,
        state: member.state,
        password_hash: member.password_hash,
        one_time_until: member.one_time_until,
        totp_secret: member.totp_secret,
        totp_confirmed: member.totp_confirmed_at.is_some(),
        posts: held.into_iter().map(|post| (post.role, post.unit_id)).collect(),
    })
}

/// The account of a user name, with its posts; none of somebody dismissed.
pub fn account(conn: &mut PgConnection, county: i32, username: &str) -> Result<Option<Account>> {
    let here = staff::table.filter(staff::county_id.eq(county)).filter(staff::username.eq(username));
    let row = here.filter(staff::state.ne(StaffState::Dismissed)).select(Member::as_select()).first(conn);
    Ok(found(row)?.map(|member| with_posts(conn, member)).transpose()?)
}

/// The account to which a WeChat account is bound.
pub fn account_by_wechat(conn: &mut PgConnection, county: i32, indexes: &[Vec<u8>]) -> Result<Option<Account>> {
    let here = staff::table.filter(staff::county_id.eq(county)).filter(staff::wechat_openid_index.eq_any(indexes));
    let row = here.filter(staff::state.ne(StaffState::Dismissed)).select(Member::as_select()).first(conn);
    Ok(found(row)?.map(|member| with_posts(conn, member)).transpose()?)
}

statement! {
    struct Lock { place: i32 as diesel::sql_types::Integer, county: i32 as diesel::sql_types::Integer }
    "SELECT pg_advisory_xact_lock({place}, {county})"
}

/// One after another, until the transaction ends: whoever changes who stands in for whom, or who administrates. Two at once
/// could each see the other as the one who stays.
pub fn lock_county(conn: &mut PgConnection, county: i32) -> QueryResult<()> {
    Lock { place: 7_250_008, county }.execute(conn).map(drop)
}

/// Whether a member of staff is active; if so, nobody can dismiss them before the transaction ends.
pub fn lock_active(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<bool> {
    let row = staff::table.find((county, id)).filter(staff::state.eq(StaffState::Active));
    Ok(found(row.select(staff::id).for_no_key_update().first::<Uuid>(conn))?.is_some())
}

/// Whether a member of staff is active.
pub fn is_active(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<bool> {
    let row = staff::table.find((county, id)).filter(staff::state.eq(StaffState::Active));
    diesel::select(exists(row)).get_result(conn)
}

/// A member of staff, locked against other changes.
pub fn lock(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Member> {
    let row = staff::table.find((county, id)).select(Member::as_select()).for_no_key_update();
    found(row.first(conn))?.ok_or(Code::NotFound.into())
}

/// [`lock`], refusing those who are not active.
pub fn lock_to_change(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Member> {
    let member = lock(conn, county, id)?;
    if member.state == StaffState::Active { Ok(member) } else { Err(Code::StaffNotActive.into()) }
}

type Boxed<'a> = staff_posts::BoxedQuery<'a, diesel::pg::Pg, diesel::sql_types::Uuid>;

fn holders<'a>(county: i32) -> Boxed<'a> {
    let live = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::ended_at.is_null());
    live.select(staff_posts::staff_id).into_boxed()
}

/// Members of staff within a scope; beyond the county's administrators only those who are active.
fn within<'a>(scope: Scope) -> staff::BoxedQuery<'a, diesel::pg::Pg> {
    let query = staff::table.filter(staff::county_id.eq(scope.county)).into_boxed();
    match scope.reach {
        Reach::Own(own) => query.filter(staff::id.eq(own)),
        Reach::Unit(unit) => {
            let there = holders(scope.county).filter(unit_within(scope.county, staff_posts::unit_id.nullable(), unit));
            query.filter(staff::state.eq(StaffState::Active)).filter(staff::id.eq_any(there))
        }
        Reach::County => query,
    }
}

pub fn find(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Option<Member>> {
    found(within(scope).filter(staff::id.eq(id)).select(Member::as_select()).first(conn))
}

/// What a list is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub unit: Option<Uuid>,
    pub department: Option<Uuid>,
    pub role: Option<Role>,
    pub state: Option<StaffState>,
    pub username: Option<String>,
}

fn wanted<'a>(scope: Scope, by: &Wanted) -> staff::BoxedQuery<'a, diesel::pg::Pg> {
    let mut query = within(scope);
    if by.unit.is_some() || by.department.is_some() || by.role.is_some() {
        let mut there = holders(scope.county);
        if let Some(unit) = by.unit {
            there = there.filter(staff_posts::unit_id.eq(unit));
        }
        if let Some(department) = by.department {
            there = there.filter(staff_posts::department_id.eq(department));
        }
        if let Some(role) = by.role {
            there = there.filter(staff_posts::role.eq(role));
        }
        query = query.filter(staff::id.eq_any(there));
    }
    if let Some(state) = by.state {
        query = query.filter(staff::state.eq(state));
    }
    if let Some(username) = &by.username {
        query = query.filter(staff::username.eq(username.clone()));
    }
    query
}

/// Members of staff in order of creation, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    scope: Scope,
    by: &Wanted,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Member>> {
    let mut query = wanted(scope, by);
    if let Some(after) = after {
        query = query.filter(staff::id.gt(after.id));
    }
    query.order(staff::id).limit(limit + 1).select(Member::as_select()).load(conn)
}

pub fn count(conn: &mut PgConnection, scope: Scope, by: &Wanted) -> QueryResult<i64> {
    wanted(scope, by).count().get_result(conn)
}

/// The posts that some hold, oldest first.
pub fn posts(conn: &mut PgConnection, county: i32, staff: &[Uuid]) -> QueryResult<Vec<Post>> {
    let held = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::staff_id.eq_any(staff));
    held.filter(staff_posts::ended_at.is_null()).order(staff_posts::id).select(Post::as_select()).load(conn)
}

/// A post that has not ended, of one member of staff.
pub fn post(conn: &mut PgConnection, county: i32, staff: Uuid, id: Uuid) -> Result<Post> {
    let row = staff_posts::table.find((county, id)).filter(staff_posts::staff_id.eq(staff));
    let row = found(row.select((Post::as_select(), staff_posts::ended_at.is_not_null())).first::<(Post, bool)>(conn))?;
    match row {
        None => Err(Code::NotFound.into()),
        Some((_, true)) => Err(Code::PostEnded.into()),
        Some((post, false)) => Ok(post),
    }
}

/// Until when those are away who are away on a day.
pub fn away(
    conn: &mut PgConnection,
    county: i32,
    staff: &[Uuid],
    on: NaiveDate,
) -> QueryResult<Vec<(Uuid, NaiveDate)>> {
    let of = staff_absences::table.filter(staff_absences::county_id.eq(county));
    let of = of.filter(staff_absences::staff_id.eq_any(staff)).filter(staff_absences::cancelled_at.is_null());
    let now = of.filter(staff_absences::from_on.le(on)).filter(staff_absences::until_on.ge(on));
    now.select((staff_absences::staff_id, staff_absences::until_on)).load(conn)
}

/// Adds a member of staff with one post and a password.
pub fn insert(
    conn: &mut PgConnection,
    county: i32,
    (username, display_name, hash): (&str, &str, &str),
    post: (Role, Uuid),
    now: DateTime<Utc>,
) -> QueryResult<Uuid> {
    let id = insert_member(conn, county, (username, display_name, None), Some(hash), now)?;
    insert_post(conn, county, id, post, None, now)?;
    Ok(id)
}

/// Adds a member of staff: user name, name to show, service phone.
pub fn insert_member(
    conn: &mut PgConnection,
    county: i32,
    (username, display_name, phone): (&str, &str, Option<&str>),
    hash: Option<&str>,
    now: DateTime<Utc>,
) -> QueryResult<Uuid> {
    let id = Uuid::now_v7();
    diesel::insert_into(staff::table)
        .values((
            (staff::county_id.eq(county), staff::id.eq(id), staff::username.eq(username)),
            (staff::display_name.eq(display_name), staff::phone.eq(phone), staff::password_hash.eq(hash)),
            (staff::created_at.eq(now), staff::updated_at.eq(now), staff::active_since.eq(now)),
        ))
        .execute(conn)?;
    changes::record(conn, changed(county, id), now)?;
    Ok(id)
}

/// Adds a post to those of a member of staff.
pub fn insert_post(
    conn: &mut PgConnection,
    county: i32,
    staff: Uuid,
    (role, unit): (Role, Uuid),
    deputy: Option<Uuid>,
    now: DateTime<Utc>,
) -> QueryResult<Uuid> {
    let id = Uuid::now_v7();
    diesel::insert_into(staff_posts::table)
        .values((
            (staff_posts::county_id.eq(county), staff_posts::id.eq(id), staff_posts::staff_id.eq(staff)),
            (staff_posts::role.eq(role), staff_posts::unit_id.eq(unit)),
            (staff_posts::deputy_id.eq(deputy), staff_posts::since.eq(now)),
        ))
        .execute(conn)?;
    Ok(id)
}

pub fn set_deputy(conn: &mut PgConnection, county: i32, post: Uuid, deputy: Option<Uuid>) -> QueryResult<usize> {
    diesel::update(staff_posts::table.find((county, post))).set(staff_posts::deputy_id.eq(deputy)).execute(conn)
}

pub fn set_department(
    conn: &mut PgConnection,
    county: i32,
    post: Uuid,
    department: Option<Uuid>,
) -> QueryResult<usize> {
    let row = diesel::update(staff_posts::table.find((county, post)));
    row.set(staff_posts::department_id.eq(department)).execute(conn)
}

/// Ends posts; those that had ended stay as they are.
pub fn end_posts(conn: &mut PgConnection, county: i32, ids: &[Uuid], now: DateTime<Utc>) -> QueryResult<usize> {
    let rows = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::id.eq_any(ids));
    diesel::update(rows.filter(staff_posts::ended_at.is_null()))
        .set((staff_posts::ended_at.eq(now), staff_posts::deputy_id.eq(None::<Uuid>)))
        .execute(conn)
}

/// Holder and deputy of every post that has one: who stands in for whom.
pub fn deputies(conn: &mut PgConnection, county: i32) -> QueryResult<Vec<(Uuid, Uuid)>> {
    let live = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::ended_at.is_null());
    let named = live.filter(staff_posts::deputy_id.is_not_null());
    named.select((staff_posts::staff_id, staff_posts::deputy_id.assume_not_null())).load(conn)
}

fn changed(county: i32, id: Uuid) -> Change {
    let (entity, unit_id, resident_id, staff_id) = ("staff", None, None, Some(id));
    Change { county, entity, entity_id: id, unit_id, resident_id, staff_id, gone: false }
}

/// A new version of a member of staff, told to their phone.
pub fn touch(conn: &mut PgConnection, county: i32, id: Uuid, now: DateTime<Utc>) -> QueryResult<Member> {
    let member = diesel::update(staff::table.find((county, id)))
        .set((staff::version.eq(staff::version + 1), staff::updated_at.eq(now)))
        .returning(Member::as_returning())
        .get_result(conn)?;
    changes::record(conn, changed(county, id), now)?;
    Ok(member)
}

/// Tells the phones of those who stand in for somebody.
pub fn tell_deputies(conn: &mut PgConnection, county: i32, id: Uuid, now: DateTime<Utc>) -> QueryResult<()> {
    for deputy in posts(conn, county, &[id])?.into_iter().filter_map(|post| post.deputy_id) {
        changes::record(conn, Change { staff_id: Some(deputy), ..changed(county, id) }, now)?;
    }
    Ok(())
}

pub fn set_names(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    (display_name, phone): (&str, Option<&str>),
) -> QueryResult<usize> {
    diesel::update(staff::table.find((county, id)))
        .set((staff::display_name.eq(display_name), staff::phone.eq(phone)))
        .execute(conn)
}

pub fn set_state(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    state: StaffState,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let row = staff::table.find((county, id));
    match state {
        StaffState::Active => {
            diesel::update(row).set((staff::state.eq(state), staff::active_since.eq(now))).execute(conn)
        }
        // Nobody gets in by a code or a WeChat account that was bound before.
        StaffState::Disabled | StaffState::Dismissed => {
            codes::void(conn, county, (WECHAT_CODE, id))?;
            diesel::update(row).set(staff::state.eq(state)).execute(conn)
        }
    }
}

/// Sets a password; a one-time one is good until `one_time_until`. A code that binds a WeChat account is good no more: whoever
/// knew the password before may have made it.
pub fn set_password(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    hash: &str,
    one_time_until: Option<DateTime<Utc>>,
) -> QueryResult<usize> {
    codes::void(conn, county, (WECHAT_CODE, id))?;
    diesel::update(staff::table.find((county, id)))
        .set((staff::password_hash.eq(hash), staff::one_time_until.eq(one_time_until)))
        .execute(conn)
}

/// The days without a login count anew for everybody: nobody could log in before.
pub fn begin_anew(conn: &mut PgConnection, county: i32, now: DateTime<Utc>) -> QueryResult<usize> {
    let active = staff::table.filter(staff::county_id.eq(county)).filter(staff::state.eq(StaffState::Active));
    diesel::update(active).set(staff::active_since.eq(now)).execute(conn)
}

/// Active administrators with a password of their own, leaving one out; a one-time password may never reach anybody.
pub fn other_administrators(conn: &mut PgConnection, county: i32, without: Uuid) -> QueryResult<i64> {
    let there = holders(county).filter(staff_posts::role.eq(Role::CountyAdmin));
    let others = staff::table.filter(staff::county_id.eq(county)).filter(staff::id.ne(without));
    let others = others.filter(staff::state.eq(StaffState::Active)).filter(staff::id.eq_any(there));
    let own = others.filter(staff::password_hash.is_not_null()).filter(staff::one_time_until.is_null());
    own.count().get_result(conn)
}
