//! Staff in the database.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    db::{
        found,
        schema::{staff, staff_posts},
    },
    error::Result,
    http::permissions::Role,
};

/// What a login needs of a member of staff.
pub struct Account {
    pub id: Uuid,
    pub password_hash: String,
    /// Role and unit of every post.
    pub posts: Vec<(Role, Uuid)>,
}

/// The active account of a user name, with its posts.
pub fn account(conn: &mut PgConnection, county: i32, username: &str) -> Result<Option<Account>> {
    let here = staff::table.filter(staff::county_id.eq(county)).filter(staff::username.eq(username));
    let active = here.filter(staff::state.eq("active")).select((staff::id, staff::password_hash));
    let Some((id, password_hash)) = found(active.first(conn))? else { return Ok(None) };
    let own = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::staff_id.eq(id));
    let posts = own.select((staff_posts::role, staff_posts::unit_id)).load(conn)?;
    Ok(Some(Account { id, password_hash, posts }))
}

/// Whether a member of staff is active; if so, nobody can dismiss them before the transaction ends.
pub fn lock_active(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<bool> {
    let row = staff::table.find((county, id)).filter(staff::state.eq("active")).select(staff::id).for_share();
    Ok(found(row.first::<Uuid>(conn))?.is_some())
}

/// Adds a member of staff with one post.
pub fn insert(
    conn: &mut PgConnection,
    county: i32,
    (username, display_name, hash): (&str, &str, &str),
    (role, unit): (Role, Uuid),
    now: DateTime<Utc>,
) -> QueryResult<Uuid> {
    let id = Uuid::now_v7();
    diesel::insert_into(staff::table)
        .values((
            (staff::county_id.eq(county), staff::id.eq(id), staff::username.eq(username)),
            (staff::display_name.eq(display_name), staff::password_hash.eq(hash)),
            (staff::created_at.eq(now), staff::updated_at.eq(now)),
        ))
        .execute(conn)?;
    diesel::insert_into(staff_posts::table)
        .values((
            staff_posts::county_id.eq(county),
            staff_posts::staff_id.eq(id),
            staff_posts::role.eq(role),
            staff_posts::unit_id.eq(unit),
        ))
        .execute(conn)?;
    Ok(id)
}

/// Marks somebody as dismissed and ends all their sessions.
pub fn dismiss(conn: &mut PgConnection, county: i32, id: Uuid, now: DateTime<Utc>) -> QueryResult<usize> {
    let row = staff::table.find((county, id)).filter(staff::state.eq("active"));
    let dismissed = diesel::update(row)
        .set((staff::state.eq("dismissed"), staff::version.eq(staff::version + 1), staff::updated_at.eq(now)))
        .execute(conn)?;
    crate::sessions::end_all_of_staff(conn, county, id, "dismissed", now)?;
    Ok(dismissed)
}
