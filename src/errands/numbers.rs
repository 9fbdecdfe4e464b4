//! Numbers for supervisors (督查): how many errands are open, late and on time; of units and matters, never of persons.

use actix_web::{HttpResponse, get, web::Data};
use chrono::NaiveDate;
use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Date, Integer, Nullable, Text, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    app::App,
    clock::local_date,
    error::Result,
    http::{caller::Can, period::Period, permissions::CountErrands, valid::Query},
    statement, text_enum, units,
};

text_enum! {
    /// What the numbers are of.
    pub enum By {
        /// The unit itself and each of those right below it, with all that lies below them.
        Unit = "unit",
        Matter = "matter",
    }
}

statement! {
    /// Of the units below one, or of the matters there: what is open today, and what was decided in a period.
    struct Numbers {
        county: i32 as Integer, unit: Uuid as SqlUuid, matter: Option<Uuid> as Nullable<SqlUuid>, by: &'static str as Text,
        from: NaiveDate as Date, to: NaiveDate as Date, today: NaiveDate as Date,
    }
    "WITH RECURSIVE tree (id, top) AS ( \
         SELECT u.id, u.id FROM units u WHERE u.county_id = {county} AND (u.parent_id = {unit} OR u.id = {unit}) \
         UNION ALL \
         SELECT u.id, t.top FROM tree t JOIN units u ON u.county_id = {county} AND u.parent_id = t.id WHERE t.id <> {unit}), \
       counted AS ( \
         SELECT CASE {by} WHEN 'unit' THEN t.top ELSE e.matter_id END AS id, \
           count(*) FILTER (WHERE e.due_on IS NOT NULL OR e.back_to IS NOT NULL) AS open, \
           count(*) FILTER (WHERE e.back_to IS NOT NULL) AS standing, \
           count(*) FILTER (WHERE {today} >= e.red_from) AS overdue, \
           count(*) FILTER (WHERE {today} >= e.yellow_from AND {today} < e.red_from) AS nearly_overdue, \
           count(*) FILTER (WHERE e.decided_on BETWEEN {from} AND {to}) AS decided, \
           count(*) FILTER (WHERE e.decided_on BETWEEN {from} AND {to} AND e.on_time) AS on_time, \
           count(*) FILTER (WHERE e.supplements > 1) AS asked_again \
         FROM tree t JOIN LATERAL ( \
           SELECT o.matter_id, o.due_on, o.back_to, o.red_from, o.yellow_from, NULL::date AS decided_on, NULL::boolean AS on_time, o.supplements FROM errands o \
            WHERE o.county_id = {county} AND o.unit_id = t.id AND o.state NOT IN ('draft', 'delivered', 'archived', 'not_accepted', 'withdrawn', 'decided') \
              AND ({matter}::uuid IS NULL OR o.matter_id = {matter}) \
           UNION ALL \
           SELECT d.matter_id, NULL, NULL, NULL, NULL, d.decided_on, d.on_time, d.supplements FROM errands d \
            WHERE d.county_id = {county} AND d.unit_id = t.id AND d.decided_on IS NOT NULL AND d.decided_on BETWEEN {from} AND {to} \
              AND ({matter}::uuid IS NULL OR d.matter_id = {matter})) e ON true \
         GROUP BY 1) \
     SELECT c.*, CASE {by} WHEN 'unit' THEN (SELECT name FROM units u WHERE u.county_id = {county} AND u.id = c.id) \
       ELSE (SELECT name FROM matters m WHERE m.county_id = {county} AND m.id = c.id) END AS name FROM counted c ORDER BY name, c.id"
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    open: i64,
    #[diesel(sql_type = BigInt)]
    standing: i64,
    #[diesel(sql_type = BigInt)]
    overdue: i64,
    #[diesel(sql_type = BigInt)]
    nearly_overdue: i64,
    #[diesel(sql_type = BigInt)]
    decided: i64,
    #[diesel(sql_type = BigInt)]
    on_time: i64,
    #[diesel(sql_type = BigInt)]
    asked_again: i64,
}

/// The numbers of a unit or a matter.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-000000000002", "name": "红星村委会", "open": 12, "standing_still": 2, "overdue": 1,
    "nearly_overdue": 3, "decided": 40, "on_time": 38, "on_time_rate": 0.95, "asked_again": 1}))]
pub struct ErrandNumbers {
    pub id: Uuid,
    pub name: String,
    /// Submitted and not decided yet.
    pub open: i64,
    /// Of these, waiting for what is missing or for a special procedure.
    pub standing_still: i64,
    /// Of these, with a red lamp.
    pub overdue: i64,
    /// Of these, with a yellow lamp.
    pub nearly_overdue: i64,
    /// Decided in the period.
    pub decided: i64,
    /// Of these, by the day on which they were due.
    pub on_time: i64,
    /// `on_time` of `decided`, 0 to 1; none while nothing was decided.
    pub on_time_rate: Option<f64>,
    /// Of those open and those decided in the period: for which something missing was asked for more than once (一次性告知).
    pub asked_again: i64,
}

impl From<Row> for ErrandNumbers {
    fn from(row: Row) -> Self {
        let Row { id, name, open, standing, overdue, nearly_overdue, decided, on_time, asked_again } = row;
        let on_time_rate = (decided > 0).then(|| on_time as f64 / decided as f64);
        let standing_still = standing;
        Self { id, name, open, standing_still, overdue, nearly_overdue, decided, on_time, on_time_rate, asked_again }
    }
}

/// Numbers by unit or by matter.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"from": "2026-11-01", "to": "2026-11-30", "items": []}))]
pub struct ErrandNumbersView {
    pub from: NaiveDate,
    pub to: NaiveDate,
    /// By name; only those that have something to count.
    pub items: Vec<ErrandNumbers>,
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct NumbersQuery {
    /// Of this unit and those below it; the caller's own by default.
    unit_id: Option<Uuid>,
    /// Only of this matter.
    matter_id: Option<Uuid>,
    /// By the units right below (default), or by matter.
    #[param(inline)]
    by: Option<By>,
    /// Decided from this day on; 30 days before `to` by default.
    from: Option<NaiveDate>,
    /// Decided up to this day; today by default. At most 366 days after `from`.
    to: Option<NaiveDate>,
}

/// Count errands
///
/// What is open now, late or nearly so, and what was decided in a period and in time. By unit or by matter; nobody is ranked.
#[utoipa::path(tag = "errands", security(("token" = ["errands:count"])), params(NumbersQuery),
    responses((status = 200, description = "The numbers", body = ErrandNumbersView)))]
#[get("/v1/errands/numbers")]
pub async fn count_errands(
    caller: Can<CountErrands>,
    app: Data<App>,
    query: Query<NumbersQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let today = local_date(app.clock.now());
    let Period { from, to, .. } = Period::asked(query.from, query.to, today)?;
    let (scope, own) = (caller.scope, caller.unit);
    let (matter, by) = (query.matter_id, query.by.unwrap_or(By::Unit).as_str());
    let read = app.db.read("count_errands", move |conn| {
        let unit = units::store::counted(conn, scope, query.unit_id, own)?;
        Ok(Numbers { county: scope.county, unit, matter, by, from, to, today }.load::<Row>(conn)?)
    });
    let items = read.await?.into_iter().map(ErrandNumbers::from).collect();
    Ok(HttpResponse::Ok().json(ErrandNumbersView { from, to, items }))
}
