//! Who is asked to decide about a helper: the township of their home unit, and the county about units beyond it.

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use uuid::Uuid;

use super::{
    model::{Helper, HelperKind},
    store,
};
use crate::{
    error::{Result, Text},
    http::caller::{Reach, Scope},
    todos::{self, NewTodo},
};

/// An application; further units within the home township; further units beyond it.
const ALL: [&str; 3] = ["helper", "helper_units", "helper_units_beyond"];

fn ask(
    conn: &mut PgConnection,
    row: &Helper,
    (about, unit): (&'static str, Option<Uuid>),
    title: Text,
    now: DateTime<Utc>,
) -> Result<()> {
    let (county, resident, about) = (row.county_id, row.resident_id, Some((about, row.id)));
    let kind = todos::Kind::Decide;
    let todo = NewTodo { county, kind, unit, resident, about, title, holder: None, due_at: None, created_by: None };
    todos::open(conn, todo, now).map(drop)
}

fn township(conn: &mut PgConnection, row: &Helper) -> Result<Uuid> {
    Ok(store::township_of(conn, row.county_id, row.unit_id)?)
}

/// Asks the township about an application.
pub fn ask_application(conn: &mut PgConnection, row: &Helper, now: DateTime<Utc>) -> Result<()> {
    let title = match row.kind {
        HelperKind::CareStaff => Text::fixed("有人申请成为护理员，请审核", "Somebody applies as care staff: decide"),
        _ => Text::fixed("有人申请成为志愿者，请审核", "Somebody applies as a volunteer: decide"),
    };
    let township = township(conn, row)?;
    ask(conn, row, ("helper", Some(township)), title, now)
}

/// Asks whoever can grant them about further units that are asked for; drops the question when none is any more.
pub fn ask_units(conn: &mut PgConnection, row: &Helper, asked: &[Uuid], now: DateTime<Utc>) -> Result<()> {
    let township = township(conn, row)?;
    let scope = Scope { county: row.county_id, reach: Reach::Unit(township) };
    let near = store::units_within(conn, scope, asked)?;
    if near.is_empty() {
        todos::drop_about(conn, row.county_id, todos::Kind::Decide, ("helper_units", row.id), now)?;
    } else {
        let title = Text::fixed("服务人员申请增加服务区域，请审核", "A helper asks for further units to serve: decide");
        ask(conn, row, ("helper_units", Some(township)), title, now)?;
    }
    ask_county(conn, row, near.len() < asked.len(), now)
}

/// The same of the county, whether there is anything that only it can grant.
pub fn ask_county(conn: &mut PgConnection, row: &Helper, asked: bool, now: DateTime<Utc>) -> Result<()> {
    if !asked {
        return todos::drop_about(conn, row.county_id, todos::Kind::Decide, ("helper_units_beyond", row.id), now);
    }
    let (zh, en) = ("服务人员申请跨乡镇服务，请审核", "A helper asks to serve units of another township: decide");
    ask(conn, row, ("helper_units_beyond", None), Text::fixed(zh, en), now)
}

/// What waited for a decision waits no more.
pub fn settle(conn: &mut PgConnection, row: &Helper, now: DateTime<Utc>) -> Result<()> {
    for about in ALL {
        todos::drop_about(conn, row.county_id, todos::Kind::Decide, (about, row.id), now)?;
    }
    Ok(())
}
