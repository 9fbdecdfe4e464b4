//! Accounts that nobody has used for long are disabled.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Bool, Integer, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{cover, model::StaffState, store};
use crate::{
    audit::{self, Actor, Audit},
    db::schema::counties,
    error::{Result, Text},
    http::permissions::Role,
    sessions,
    settings::{self, Settings},
    statement,
    todos::{self, NewTodo},
    units::CountyState,
};

/// Accounts disabled in one transaction.
const BATCH: i64 = 50;

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Bool)]
    administrates: bool,
}

statement! {
    /// Neither logged in, nor refreshed a session, nor made or enabled since `before`.
    struct Stale { county: i32 as Integer, before: DateTime<Utc> as Timestamptz, role: &'static str as diesel::sql_types::Text, limit: i64 as BigInt }
    "SELECT s.id, EXISTS (SELECT FROM staff_posts p WHERE p.county_id = s.county_id AND p.staff_id = s.id AND p.ended_at IS NULL \
                            AND p.role = {role}) AS administrates \
       FROM staff s \
      WHERE s.county_id = {county} AND s.state = 'active' AND s.active_since < {before} \
        AND (s.last_login_at IS NULL OR s.last_login_at < {before}) \
        AND NOT EXISTS (SELECT FROM sessions x WHERE x.county_id = s.county_id AND x.staff_id = s.id AND x.rotated_at >= {before}) \
      ORDER BY s.active_since, s.id LIMIT {limit} FOR NO KEY UPDATE OF s"
}

/// Those of a county whom the pass disables: all that are stale but the last administrator.
fn stale(conn: &mut PgConnection, county: i32, before: DateTime<Utc>) -> Result<Vec<Found>> {
    let mut stale: Vec<Found> = Stale { county, before, role: Role::CountyAdmin.as_str(), limit: BATCH }.load(conn)?;
    if let Some(one) = stale.iter().position(|found| found.administrates)
        && store::other_administrators(conn, county, stale[one].id)? == 0
    {
        stale.remove(one);
    }
    Ok(stale)
}

/// Disables a batch of accounts of one county without a login for the days that it set; true while there may be more. The
/// last administrator stays. In a suspended county nobody can log in, so the days do not count.
pub fn disable_stale(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<bool> {
    let working = counties::table.filter(counties::state.eq(CountyState::Active)).order(counties::id);
    for county in working.select(counties::id).load::<i32>(conn)? {
        let days = Settings::at(&settings::load(conn, county)?, now).staff_stale_days;
        let before = now - TimeDelta::days(days);
        if stale(conn, county, before)?.is_empty() {
            continue;
        }
        // Locks of one county only, in a transaction of its own: the next call finds the next.
        store::lock_county(conn, county)?;
        let mut disabled = false;
        // One by one: of several administrators each may be the last by then.
        for Found { id, administrates } in stale(conn, county, before)? {
            if administrates && store::other_administrators(conn, county, id)? == 0 {
                continue;
            }
            disable(conn, county, id, now)?;
            disabled = true;
        }
        if disabled {
            return Ok(true);
        }
    }
    Ok(false)
}

fn disable(conn: &mut PgConnection, county: i32, id: Uuid, now: DateTime<Utc>) -> Result<()> {
    store::set_state(conn, county, id, StaffState::Disabled, now)?;
    sessions::end_all_of_staff(conn, county, id, "disabled", now)?;
    sessions::end_uncovered(conn, county, now)?;
    cover::told(conn, county, id, now)?;
    let reason = Some("nobody logged in for long".to_owned());
    audit::record(conn, Actor::system(county), now, &Audit::new("disable", "staff", id).because(reason))?;
    let title = Text::fixed(
        "账号长期未登录已停用：请恢复启用，或办理交接并离职",
        "An account was disabled because nobody logged in for long: enable it, or hand over what it holds and dismiss",
    );
    let (kind, about) = (todos::Kind::Decide, Some(("staff", id)));
    let (unit, resident, holder, due_at, created_by) = (None, None, None, None, None);
    todos::open(conn, NewTodo { county, kind, unit, resident, about, title, holder, due_at, created_by }, now)?;
    store::touch(conn, county, id, now)?;
    Ok(())
}
