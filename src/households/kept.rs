//! Households and tasks that phones of staff keep, with the categories behind them: those of the post's units, those that one answers for or is the partner of. What one answers for
//! is plain, to find it without a network.

use std::collections::HashSet;

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Integer, Nullable, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    categories,
    model::{HouseholdState, TaskState},
    store::{self, Sight},
    tasks,
    views::{self, Eyes, VisitTaskView},
};
use crate::{
    app::App,
    audit::Audit,
    error::Result,
    http::permissions::ReadHouseholds,
    rooms::{Kept, Phone, Synced},
    statement,
};

pub const HOUSEHOLDS: Synced = Synced { entity: "household", for_all: false, ids: household_ids, kept: households };
pub const TASKS: Synced = Synced { entity: "visit_task", for_all: false, ids: task_ids, kept: visit_tasks };
pub const CATEGORIES: Synced =
    Synced { entity: "visit_category", for_all: true, ids: category_ids, kept: visit_categories };

statement! {
    /// Each part by an index of its own.
    pub struct HouseholdIds {
        county: i32 as Integer, staff: Uuid as SqlUuid, within: Option<Uuid> as Nullable<SqlUuid>, after: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    "SELECT x.id FROM (SELECT k.id FROM units_below({county}, {within}) t (id) CROSS JOIN LATERAL (SELECT h.id FROM households h WHERE h.county_id = {county} \
         AND h.unit_id = t.id AND h.state = 'active' AND h.id > {after} ORDER BY h.id LIMIT {limit}) k \
       UNION SELECT h.id FROM households h WHERE h.county_id = {county} AND h.holder_id = {staff} AND h.state = 'active' AND h.id > {after} \
       UNION SELECT h.id FROM visit_partners p JOIN households h ON h.county_id = {county} AND h.id = p.household_id AND h.state = 'active' \
         WHERE p.county_id = {county} AND p.staff_id = {staff} AND p.until_on IS NULL AND p.household_id > {after}) x ORDER BY x.id LIMIT {limit}"
}

statement! {
    pub struct TaskIds {
        county: i32 as Integer, staff: Uuid as SqlUuid, within: Option<Uuid> as Nullable<SqlUuid>, after: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    "SELECT x.id FROM (SELECT k.id FROM units_below({county}, {within}) u (id) CROSS JOIN LATERAL (SELECT t.id FROM visit_tasks t WHERE t.county_id = {county} \
         AND t.unit_id = u.id AND t.state = 'open' AND t.id > {after} ORDER BY t.id LIMIT {limit}) k \
       UNION SELECT t.id FROM visit_tasks t WHERE t.county_id = {county} AND t.holder_id = {staff} AND t.state = 'open' AND t.id > {after} \
       UNION SELECT t.id FROM visit_partners p JOIN visit_tasks t ON t.county_id = {county} AND t.household_id = p.household_id AND t.state = 'open' AND t.id > {after} \
         WHERE p.county_id = {county} AND p.staff_id = {staff} AND p.until_on IS NULL) x ORDER BY x.id LIMIT {limit}"
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

fn household_ids(conn: &mut PgConnection, phone: &Phone, after: Uuid, limit: i64) -> Result<Vec<Uuid>> {
    let (county, staff, within) = (phone.caller.county, phone.caller.subject, phone.caller.unit);
    let rows: Vec<Id> = HouseholdIds { county, staff, within, after, limit }.load(conn)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

fn task_ids(conn: &mut PgConnection, phone: &Phone, after: Uuid, limit: i64) -> Result<Vec<Uuid>> {
    let (county, staff, within) = (phone.caller.county, phone.caller.subject, phone.caller.unit);
    let rows: Vec<Id> = TaskIds { county, staff, within, after, limit }.load(conn)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// A handful; closed ones too, because households may still be in them.
fn category_ids(conn: &mut PgConnection, phone: &Phone, after: Uuid, limit: i64) -> Result<Vec<Uuid>> {
    let mut ids: Vec<_> = categories::all(conn, phone.caller.county)?.into_iter().map(|category| category.id).collect();
    ids.retain(|id| *id > after);
    ids.sort_unstable();
    ids.truncate(limit as usize);
    Ok(ids)
}

fn visit_categories(conn: &mut PgConnection, _: &App, phone: &Phone, ids: &[Uuid]) -> Result<Vec<Kept>> {
    let all = categories::all(conn, phone.caller.county)?.into_iter().filter(|category| ids.contains(&category.id));
    all.map(|category| Kept::new(category.id, category.version, &category)).collect()
}

fn sight(phone: &Phone) -> Result<Option<Sight>> {
    // Those of whom one stands in for are looked at with a network: nobody tells a phone when an absence begins and ends.
    Ok(phone.caller.scope_of::<ReadHouseholds>()?.map(|scope| Sight { scope, me: phone.caller.subject, on: None }))
}

fn households(conn: &mut PgConnection, app: &App, phone: &Phone, ids: &[Uuid]) -> Result<Vec<Kept>> {
    let Some(sight) = sight(phone)? else { return Ok(Vec::new()) };
    let mut rows = store::by_ids(conn, sight, ids)?;
    rows.retain(|row| row.state == HouseholdState::Active);
    let eyes = Eyes { lang: phone.lang, me: phone.caller.subject, on: None, plain: true };
    let (views, plain) = views::many(conn, app, eyes, rows)?;
    let plain: HashSet<_> = plain.into_iter().collect();
    let kept = |mut view: views::HouseholdView| {
        // A thing of its own, with changes of its own.
        view.task = None;
        let kept = Kept::new(view.id, view.version, &view)?;
        let fields = vec!["name", "address", "note", "point"];
        let look = || Audit::new("read", "household", view.id).fields(fields);
        Ok(Kept { look: plain.contains(&view.id).then(look), ..kept })
    };
    views.into_iter().map(kept).collect()
}

/// A task has no version of its own.
fn visit_tasks(conn: &mut PgConnection, _: &App, phone: &Phone, ids: &[Uuid]) -> Result<Vec<Kept>> {
    let Some(sight) = sight(phone)? else { return Ok(Vec::new()) };
    let mut rows = tasks::by_ids(conn, sight, ids)?;
    rows.retain(|task| task.state == TaskState::Open);
    let kept = |task: super::model::VisitTask| Kept::new(task.id, 1, &VisitTaskView::new(task, phone.lang));
    rows.into_iter().map(kept).collect()
}
