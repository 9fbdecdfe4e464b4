//! Windows and opening rules in the database.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::model::{Rule, Window, WindowState};
use crate::{
    db::{
        found,
        schema::{matters, opening_rules, window_matters, windows},
    },
    error::Result,
    http::page::After,
};

pub fn find(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Window>> {
    found(windows::table.find((county, id)).select(Window::as_select()).first(conn))
}

/// Windows of a county or one unit in order of creation, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    county: i32,
    unit: Option<Uuid>,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Window>> {
    let mut query = windows::table.filter(windows::county_id.eq(county)).select(Window::as_select()).into_boxed();
    if let Some(unit) = unit {
        query = query.filter(windows::unit_id.eq(unit));
    }
    if let Some(after) = after {
        query = query.filter(windows::id.gt(after.id));
    }
    query.order(windows::id).limit(limit + 1).load(conn)
}

pub fn count(conn: &mut PgConnection, county: i32, unit: Option<Uuid>) -> QueryResult<i64> {
    let mut query = windows::table.filter(windows::county_id.eq(county)).into_boxed();
    if let Some(unit) = unit {
        query = query.filter(windows::unit_id.eq(unit));
    }
    query.count().get_result(conn)
}

/// Which window serves which matter.
pub type Served = Vec<(Uuid, Uuid)>;

/// The rules of some windows, and the matters that they serve.
pub fn details(conn: &mut PgConnection, county: i32, ids: &[Uuid]) -> QueryResult<(Vec<Rule>, Served)> {
    let rules =
        opening_rules::table.filter(opening_rules::county_id.eq(county)).filter(opening_rules::window_id.eq_any(ids));
    let rules = rules.order(opening_rules::id).select(Rule::as_select()).load(conn)?;
    let served = window_matters::table
        .filter(window_matters::county_id.eq(county))
        .filter(window_matters::window_id.eq_any(ids));
    let served = served.order(window_matters::matter_id).select((window_matters::window_id, window_matters::matter_id));
    Ok((rules, served.load(conn)?))
}

/// How many of these matters exist.
pub fn known_matters(conn: &mut PgConnection, county: i32, ids: &[Uuid]) -> QueryResult<i64> {
    let here = matters::table.filter(matters::county_id.eq(county)).filter(matters::id.eq_any(ids));
    here.count().get_result(conn)
}

pub fn insert(
    conn: &mut PgConnection,
    county: i32,
    (unit, name, officer): (Uuid, &str, Option<Uuid>),
    now: DateTime<Utc>,
) -> QueryResult<Window> {
    diesel::insert_into(windows::table)
        .values((
            (windows::county_id.eq(county), windows::id.eq(Uuid::now_v7()), windows::unit_id.eq(unit)),
            (windows::name.eq(name), windows::officer_id.eq(officer)),
            (windows::created_at.eq(now), windows::updated_at.eq(now)),
        ))
        .returning(Window::as_returning())
        .get_result(conn)
}

/// Writes a window if the version is still `version`.
pub fn update(
    conn: &mut PgConnection,
    (county, id, version): (i32, Uuid, i64),
    (name, state, officer): (&str, WindowState, Option<Uuid>),
    now: DateTime<Utc>,
) -> Result<Option<Window>> {
    let row = windows::table.find((county, id)).filter(windows::version.eq(version));
    let set = (
        windows::name.eq(name),
        windows::state.eq(state),
        windows::officer_id.eq(officer),
        windows::version.eq(version + 1),
        windows::updated_at.eq(now),
    );
    found(diesel::update(row).set(set).returning(Window::as_returning()).get_result(conn))
}

/// A window is seen as changed when its rules change.
pub fn touch(conn: &mut PgConnection, county: i32, id: Uuid, now: DateTime<Utc>) -> Result<Option<Window>> {
    let set = (windows::version.eq(windows::version + 1), windows::updated_at.eq(now));
    found(diesel::update(windows::table.find((county, id))).set(set).returning(Window::as_returning()).get_result(conn))
}

/// Sets which matters a window serves.
pub fn serve(conn: &mut PgConnection, county: i32, window: Uuid, ids: &[Uuid]) -> QueryResult<()> {
    let old =
        window_matters::table.filter(window_matters::county_id.eq(county)).filter(window_matters::window_id.eq(window));
    diesel::delete(old).execute(conn)?;
    let rows: Vec<_> = ids
        .iter()
        .map(|matter| {
            (
                window_matters::county_id.eq(county),
                window_matters::window_id.eq(window),
                window_matters::matter_id.eq(*matter),
            )
        })
        .collect();
    diesel::insert_into(window_matters::table).values(rows).execute(conn).map(drop)
}

pub fn insert_rule(conn: &mut PgConnection, county: i32, rule: &Rule) -> QueryResult<usize> {
    diesel::insert_into(opening_rules::table)
        .values((
            (
                opening_rules::county_id.eq(county),
                opening_rules::id.eq(rule.id),
                opening_rules::window_id.eq(rule.window_id),
            ),
            (opening_rules::weekdays.eq(rule.weekdays), opening_rules::slot_minutes.eq(rule.slot_minutes)),
            (opening_rules::opens_at.eq(rule.opens_at), opening_rules::closes_at.eq(rule.closes_at)),
            (
                opening_rules::capacity_public.eq(rule.capacity_public),
                opening_rules::capacity_proxy.eq(rule.capacity_proxy),
            ),
            (opening_rules::capacity_desk.eq(rule.capacity_desk), opening_rules::place.eq(rule.place)),
            opening_rules::every_weeks.eq(rule.every_weeks),
            (opening_rules::valid_from.eq(rule.valid_from), opening_rules::valid_until.eq(rule.valid_until)),
        ))
        .execute(conn)
}

/// A rule of a window.
pub fn rule(conn: &mut PgConnection, county: i32, window: Uuid, id: Uuid) -> Result<Option<Rule>> {
    let row = opening_rules::table.find((county, id)).filter(opening_rules::window_id.eq(window));
    found(row.select(Rule::as_select()).first(conn))
}

/// Writes a rule over the one with its id.
pub fn update_rule(conn: &mut PgConnection, county: i32, rule: &Rule) -> QueryResult<usize> {
    let row = opening_rules::table.find((county, rule.id)).filter(opening_rules::window_id.eq(rule.window_id));
    let set = (
        (opening_rules::weekdays.eq(rule.weekdays), opening_rules::slot_minutes.eq(rule.slot_minutes)),
        (opening_rules::opens_at.eq(rule.opens_at), opening_rules::closes_at.eq(rule.closes_at)),
        (
            opening_rules::capacity_public.eq(rule.capacity_public),
            opening_rules::capacity_proxy.eq(rule.capacity_proxy),
        ),
        (opening_rules::capacity_desk.eq(rule.capacity_desk), opening_rules::place.eq(rule.place)),
        opening_rules::every_weeks.eq(rule.every_weeks),
        (opening_rules::valid_from.eq(rule.valid_from), opening_rules::valid_until.eq(rule.valid_until)),
    );
    diesel::update(row).set(set).execute(conn)
}

pub fn delete_rule(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<usize> {
    diesel::delete(opening_rules::table.find((county, id))).execute(conn)
}
