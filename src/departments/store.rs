//! Departments in the database.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    db::{
        found,
        schema::{departments, staff, staff_posts},
    },
    error::Result,
    http::page::After,
    text_enum,
};

text_enum! {
    /// Whether a department is there.
    pub enum DepartmentState {
        Active = "active",
        Closed = "closed",
    }
}

/// A department as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = departments, check_for_backend(diesel::pg::Pg))]
pub struct Department {
    pub id: Uuid,
    pub name: String,
    pub phone: Option<String>,
    pub state: DepartmentState,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

pub fn find(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Department>> {
    found(departments::table.find((county, id)).select(Department::as_select()).first(conn))
}

/// All of a county: a few dozen.
pub fn all(conn: &mut PgConnection, county: i32) -> QueryResult<Vec<Department>> {
    let here = departments::table.filter(departments::county_id.eq(county));
    here.order(departments::id).select(Department::as_select()).load(conn)
}

/// Departments in order of creation, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    county: i32,
    state: Option<DepartmentState>,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Department>> {
    let mut query = departments::table.filter(departments::county_id.eq(county)).into_boxed();
    if let Some(state) = state {
        query = query.filter(departments::state.eq(state));
    }
    if let Some(after) = after {
        query = query.filter(departments::id.gt(after.id));
    }
    query.order(departments::id).limit(limit + 1).select(Department::as_select()).load(conn)
}

pub fn count(conn: &mut PgConnection, county: i32, state: Option<DepartmentState>) -> QueryResult<i64> {
    let mut query = departments::table.filter(departments::county_id.eq(county)).into_boxed();
    if let Some(state) = state {
        query = query.filter(departments::state.eq(state));
    }
    query.count().get_result(conn)
}

/// Whether a department is there and not closed; if so it cannot be closed until the transaction ends.
pub fn hold(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<bool> {
    let row = departments::table.find((county, id)).select(departments::state).for_share();
    Ok(found(row.first::<DepartmentState>(conn))? == Some(DepartmentState::Active))
}

/// A department to be changed; others wait.
pub fn lock(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Department>> {
    found(departments::table.find((county, id)).select(Department::as_select()).for_no_key_update().first(conn))
}

/// Holds back whoever changes or names a department of a county, until the transaction ends.
pub fn lock_all(conn: &mut PgConnection, county: i32) -> QueryResult<()> {
    let here = departments::table.filter(departments::county_id.eq(county)).order(departments::id);
    here.select(departments::id).for_no_key_update().load::<Uuid>(conn).map(drop)
}

/// Whether somebody has a post in it.
pub fn has_staff(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<bool> {
    let posts = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::department_id.eq(id));
    diesel::select(diesel::dsl::exists(posts.filter(staff_posts::ended_at.is_null()))).get_result(conn)
}

/// The departments in which some members of staff have posts: oneself, and those whom one covers.
pub fn of_staff(conn: &mut PgConnection, county: i32, staff: &[Uuid]) -> QueryResult<Vec<Uuid>> {
    let held = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::staff_id.eq_any(staff));
    let live = held.filter(staff_posts::ended_at.is_null()).filter(staff_posts::department_id.is_not_null());
    live.select(staff_posts::department_id.assume_not_null()).distinct().load(conn)
}

/// The active members of staff with a post in a department.
pub fn staff_of(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<Vec<Uuid>> {
    let posts = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::department_id.eq(id));
    let there = posts.filter(staff_posts::ended_at.is_null()).select(staff_posts::staff_id);
    let active = staff::table.filter(staff::county_id.eq(county)).filter(staff::state.eq("active"));
    active.filter(staff::id.eq_any(there)).order(staff::id).select(staff::id).load(conn)
}

pub fn insert(
    conn: &mut PgConnection,
    county: i32,
    (name, phone): (&str, Option<&str>),
    now: DateTime<Utc>,
) -> QueryResult<Department> {
    diesel::insert_into(departments::table)
        .values((
            (departments::county_id.eq(county), departments::id.eq(Uuid::now_v7())),
            (departments::name.eq(name), departments::phone.eq(phone)),
            (departments::created_at.eq(now), departments::updated_at.eq(now)),
        ))
        .returning(Department::as_returning())
        .get_result(conn)
}

/// Writes a department that is locked.
pub fn update(
    conn: &mut PgConnection,
    (county, id): (i32, Uuid),
    (name, phone, state): (&str, Option<&str>, DepartmentState),
    now: DateTime<Utc>,
) -> QueryResult<Department> {
    diesel::update(departments::table.find((county, id)))
        .set((
            (departments::name.eq(name), departments::phone.eq(phone), departments::state.eq(state)),
            (departments::version.eq(departments::version + 1), departments::updated_at.eq(now)),
        ))
        .returning(Department::as_returning())
        .get_result(conn)
}

pub fn set_phone(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    phone: Option<&str>,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let version = departments::version.eq(departments::version + 1);
    diesel::update(departments::table.find((county, id)))
        .set((departments::phone.eq(phone), version, departments::updated_at.eq(now)))
        .execute(conn)
}
