//! Visits that are due: read only, because nobody ticks one.

use actix_web::{HttpResponse, get, web::Data};
use chrono::NaiveDate;
use diesel::{
    dsl::{exists, sql},
    prelude::*,
    sql_types::{Bool, Date, Integer, Nullable, Uuid as SqlUuid},
};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    model::{TaskState, VisitTask},
    store::{Sight, answers},
    views::VisitTaskView,
};
use crate::{
    app::App,
    clock::{local_date, local_midnight},
    db::schema::{visit_partners, visit_tasks},
    error::{Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Can, Reach},
        page::{self, After, Page},
        permissions::ReadHouseholds,
        valid::Query,
    },
    units::store::unit_within,
};

type Boxed = visit_tasks::BoxedQuery<'static, diesel::pg::Pg>;

/// Those of households that one sees.
fn visible(sight: Sight) -> Boxed {
    let Sight { scope, me, .. } = sight;
    let here = visit_tasks::table.filter(visit_tasks::county_id.eq(scope.county)).into_boxed();
    let partner = visit_partners::table
        .filter(visit_partners::county_id.eq(scope.county))
        .filter(visit_partners::household_id.eq(visit_tasks::household_id))
        .filter(visit_partners::staff_id.eq(me))
        .filter(visit_partners::until_on.is_null());
    let own = answers!(sight, "visit_tasks.holder_id").or(exists(partner));
    match scope.reach {
        Reach::Own(_) => here.filter(own),
        Reach::Unit(unit) => here.filter(unit_within(scope.county, visit_tasks::unit_id.nullable(), unit).or(own)),
        Reach::County => here,
    }
}

/// Those of some that one sees.
pub fn by_ids(conn: &mut PgConnection, sight: Sight, ids: &[Uuid]) -> QueryResult<Vec<VisitTask>> {
    visible(sight).filter(visit_tasks::id.eq_any(ids.to_vec())).select(VisitTask::as_select()).load(conn)
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VisitTasksQuery {
    /// Only those of this unit and the units below it.
    unit_id: Option<Uuid>,
    /// Only those that this member of staff answers for: open ones, or one's own. Who has resolved how many is nobody's business.
    holder_id: Option<Uuid>,
    /// Only those of this household.
    household_id: Option<Uuid>,
    /// `open` by default.
    #[param(inline, example = "open")]
    state: Option<TaskState>,
    /// Only those whose window is open on this day.
    on: Option<NaiveDate>,
    /// Only those due before this day.
    due_before: Option<NaiveDate>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

fn wanted(sight: Sight, by: &VisitTasksQuery) -> Boxed {
    let mut query = visible(sight).filter(visit_tasks::state.eq(by.state.unwrap_or(TaskState::Open)));
    if let Some(unit) = by.unit_id {
        query = query.filter(unit_within(sight.scope.county, visit_tasks::unit_id.nullable(), unit));
    }
    if let Some(holder) = by.holder_id {
        query = query.filter(visit_tasks::holder_id.eq(holder));
    }
    if let Some(household) = by.household_id {
        query = query.filter(visit_tasks::household_id.eq(household));
    }
    if let Some(day) = by.on {
        query = query.filter(visit_tasks::opens_on.le(day));
    }
    if let Some(day) = by.due_before {
        query = query.filter(visit_tasks::due_on.lt(day));
    }
    query
}

/// List tasks of visits
///
/// What is due first comes first. A task is resolved because a visit exists in its window that met somebody; there is no way to tick one.
#[utoipa::path(tag = "households", security(("token" = ["households:read"])), params(VisitTasksQuery),
    responses((status = 200, description = "A page of tasks", body = Page<VisitTaskView>)))]
#[get("/v1/visit-tasks")]
pub async fn list_visit_tasks(
    caller: Can<ReadHouseholds>,
    lang: Lang,
    app: Data<App>,
    query: Query<VisitTasksQuery>,
) -> Result<HttpResponse> {
    let (query, sight) = (query.0, Sight::new(&caller, caller.scope, app.clock.now()));
    let limit = page::limit(query.limit)?;
    let others = query.holder_id.is_some_and(|holder| holder != caller.subject);
    if others && query.state.is_some_and(|state| state != TaskState::Open) {
        let text = Text::fixed("他人的任务只能按待走访筛选", "of somebody else only open tasks are listed");
        return Err(Error::invalid(vec![FieldError::query("holder_id", "open_only", text)]));
    }
    let after = page::after(&app.keys, "visit_tasks", query.cursor.as_deref())?;
    let read = app.db.read("list_visit_tasks", move |conn| {
        let count = query.count.unwrap_or(false);
        let total = if count { Some(wanted(sight, &query).count().get_result(conn)?) } else { None };
        let mut rows = wanted(sight, &query);
        if let Some(after) = after {
            let day = local_date(after.at);
            let same = visit_tasks::due_on.eq(day).and(visit_tasks::id.gt(after.id));
            rows = rows.filter(visit_tasks::due_on.gt(day).or(same));
        }
        let rows = rows.order((visit_tasks::due_on, visit_tasks::id)).limit(limit + 1);
        Ok((rows.select(VisitTask::as_select()).load(conn)?, total))
    });
    let (rows, total) = read.await?;
    let place = |task: &VisitTask| After { at: local_midnight(task.due_on), id: task.id };
    let view = |task| Ok(VisitTaskView::new(task, lang));
    let page = page::cut(&app.keys, "visit_tasks", rows, limit as usize, place, view)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}
