//! Who sits at a window: what an absence and a dismissal do to its bookings.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::store;
use crate::{
    db::{changes, schema::windows},
    error::{Result, Text},
    rooms::{Absent, HandOver},
    todos::{self, Kind, NewTodo},
    units::store::unit_within,
    windows::{Window, window_changed},
};

/// Passes the gates of the centres of some windows, always in the same order.
fn gates(conn: &mut PgConnection, county: i32, windows: &[(Uuid, Uuid)]) -> QueryResult<()> {
    let mut units: Vec<_> = windows.iter().map(|(unit, _)| *unit).collect();
    units.sort_unstable();
    units.dedup();
    units.into_iter().try_for_each(|unit| store::gate(conn, county, unit))
}

/// Asks the staff of a centre to decide on the bookings of windows at which nobody will sit; where somebody will, nothing is to
/// be done any more.
pub fn check(conn: &mut PgConnection, county: i32, ids: &[Uuid], now: DateTime<Utc>) -> Result<()> {
    let uncovered = store::uncovered(conn, county, ids.to_vec(), now)?;
    let rows = windows::table.filter(windows::county_id.eq(county)).filter(windows::id.eq_any(ids));
    for window in rows.order(windows::id).select(Window::as_select()).load::<Window>(conn)? {
        let about = ("window", window.id);
        let Some(day) = uncovered.get(&window.id) else {
            todos::drop_about(conn, county, Kind::Decide, about, now)?;
            continue;
        };
        let name = &window.name;
        let title = Text::new(
            format!("“{name}”自 {day} 起无人值守：请为已预约的居民改期或取消"),
            format!("The bookings of window {name} from {day} on need moving: nobody is there"),
        );
        let new = NewTodo {
            county,
            kind: Kind::Decide,
            unit: Some(window.unit_id),
            resident: None,
            about: Some(about),
            title,
            holder: None,
            due_at: None,
            created_by: None,
        };
        todos::open(conn, new, now)?;
    }
    Ok(())
}

/// Somebody is away or back, or somebody else stands in: looks at the windows that depend on it.
pub fn absent(conn: &mut PgConnection, absent: &Absent) -> Result<()> {
    let windows = store::depending(conn, absent.county, absent.staff)?;
    gates(conn, absent.county, &windows)?;
    let ids: Vec<_> = windows.into_iter().map(|(_, id)| id).collect();
    check(conn, absent.county, &ids, absent.now)
}

/// Whoever takes over sits at the windows too.
pub fn hand_over(conn: &mut PgConnection, over: &HandOver) -> Result<usize> {
    let mut held = windows::table
        .filter(windows::county_id.eq(over.county))
        .filter(windows::officer_id.eq(over.from))
        .order(windows::id)
        .select((windows::unit_id, windows::id))
        .into_boxed();
    if let Some(unit) = over.unit {
        held = held.filter(unit_within(over.county, windows::unit_id.nullable(), unit));
    }
    let held: Vec<(Uuid, Uuid)> = held.load(conn)?;
    if over.from == over.to || held.is_empty() {
        return Ok(held.len());
    }
    gates(conn, over.county, &held)?;
    let ids: Vec<_> = held.iter().map(|(_, id)| *id).collect();
    let rows = windows::table.filter(windows::county_id.eq(over.county)).filter(windows::id.eq_any(&ids));
    diesel::update(rows.filter(windows::officer_id.eq(over.from)))
        .set((
            windows::officer_id.eq(over.to),
            (windows::version.eq(windows::version + 1), windows::updated_at.eq(over.now)),
        ))
        .execute(conn)?;
    for (unit, id) in held {
        changes::record(conn, window_changed(over.county, id, unit), over.now)?;
    }
    check(conn, over.county, &ids, over.now)?;
    Ok(ids.len())
}
