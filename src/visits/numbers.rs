//! Numbers for supervisors (督查): households due, seen and not found, by unit and period. Nothing per person, no ranking, no tracks, no time online
//! (国办函〔2026〕12号).

use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Date, Integer, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    app::App,
    clock::local_date,
    error::Result,
    http::{caller::Can, period::Period, permissions::CountVisits, valid::Query},
    statement, units,
};

statement! {
    /// Of the unit itself and each of those right below it, with all that lies below them. A household counts once, by the best of the period, also
    /// under the ids of those that turned out to be it.
    struct Numbers {
        county: i32 as Integer, unit: Uuid as SqlUuid, from_at: DateTime<Utc> as Timestamptz, until_at: DateTime<Utc> as Timestamptz,
        from_on: NaiveDate as Date, to_on: NaiveDate as Date,
    }
    "WITH RECURSIVE tree (id, top) AS ( \
         SELECT u.id, u.id FROM units u WHERE u.county_id = {county} AND (u.parent_id = {unit} OR u.id = {unit}) \
         UNION ALL \
         SELECT u.id, t.top FROM tree t JOIN units u ON u.county_id = {county} AND u.parent_id = t.id WHERE t.id <> {unit}), \
       homes AS (SELECT t.top AS id, count(*) AS households FROM tree t JOIN households h ON h.county_id = {county} AND h.unit_id = t.id AND h.state = 'active' GROUP BY 1), \
       owed AS (SELECT t.top, coalesce(h.merged_into, h.id) AS home, bool_and(k.state = 'resolved' AND k.resolved_on <= k.due_on) AS met \
         FROM tree t CROSS JOIN LATERAL ( \
           SELECT d.household_id, d.state, d.due_on, d.resolved_on FROM visit_tasks d WHERE d.county_id = {county} AND d.unit_id = t.id AND d.due_on BETWEEN {from_on} AND {to_on} AND d.state <> 'dropped' \
           UNION ALL SELECT o.household_id, o.state, o.due_on, o.resolved_on FROM visit_tasks o WHERE o.county_id = {county} AND o.unit_id = t.id AND o.state = 'open' AND o.due_on < {from_on} \
           UNION ALL SELECT l.household_id, l.state, l.due_on, l.resolved_on FROM visit_tasks l WHERE l.county_id = {county} AND l.unit_id = t.id AND l.state = 'resolved' AND l.resolved_on > l.due_on \
             AND l.resolved_on >= {from_on} AND l.due_on < {from_on}) k JOIN households h ON h.county_id = {county} AND h.id = k.household_id GROUP BY 1, 2), \
       tasks AS (SELECT top AS id, count(*) AS due, count(*) FILTER (WHERE met) AS met FROM owed GROUP BY 1), \
       visited AS (SELECT t.top, coalesce(h.merged_into, h.id) AS home, bool_or(coalesce(v.amended_outcome, v.outcome) = 'seen') AS seen, \
           bool_or(coalesce(v.amended_outcome, v.outcome) = 'declined') AS declined, count(*) AS visits \
         FROM tree t JOIN visits v ON v.county_id = {county} AND v.unit_id = t.id AND v.occurred_at >= {from_at} AND v.occurred_at < {until_at} \
           JOIN households h ON h.county_id = {county} AND h.id = v.household_id GROUP BY 1, 2), \
       met AS (SELECT top AS id, count(*) FILTER (WHERE seen) AS seen, count(*) FILTER (WHERE declined AND NOT seen) AS declined, \
         count(*) FILTER (WHERE NOT seen AND NOT declined) AS not_found, sum(visits)::bigint AS visits FROM visited GROUP BY 1) \
     SELECT u.id, u.name, coalesce(h.households, 0) AS households, coalesce(k.due, 0) AS due, coalesce(k.met, 0) AS met, coalesce(m.seen, 0) AS seen, \
       coalesce(m.declined, 0) AS declined, coalesce(m.not_found, 0) AS not_found, coalesce(m.visits, 0) AS visits \
     FROM (SELECT DISTINCT top FROM tree) t JOIN units u ON u.county_id = {county} AND u.id = t.top \
     LEFT JOIN homes h ON h.id = u.id LEFT JOIN tasks k ON k.id = u.id LEFT JOIN met m ON m.id = u.id \
     WHERE h.id IS NOT NULL OR k.id IS NOT NULL OR m.id IS NOT NULL ORDER BY u.name, u.id"
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    households: i64,
    #[diesel(sql_type = BigInt)]
    due: i64,
    #[diesel(sql_type = BigInt)]
    met: i64,
    #[diesel(sql_type = BigInt)]
    seen: i64,
    #[diesel(sql_type = BigInt)]
    declined: i64,
    #[diesel(sql_type = BigInt)]
    not_found: i64,
    #[diesel(sql_type = BigInt)]
    visits: i64,
}

/// The numbers of a unit.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000002", "name": "红星村委会", "households": 120, "due": 40, "met": 36, "seen": 52, "declined": 1, "not_found": 4, "visits": 61}))]
pub struct VisitNumbers {
    pub unit_id: Uuid,
    pub name: String,
    /// Households that are there now.
    pub households: i64,
    /// Households that were due in the period, also those that were overdue when it began.
    pub due: i64,
    /// Of these, the ones where somebody was seen in time, whenever they were due.
    pub met: i64,
    /// Households where somebody was seen in the period, due or not.
    pub seen: i64,
    /// Households that were visited in the period and did not wish it, and nobody was seen at another time.
    pub declined: i64,
    /// Households that were visited in the period, and nobody was there.
    pub not_found: i64,
    /// Visits in the period.
    pub visits: i64,
}

impl From<Row> for VisitNumbers {
    fn from(row: Row) -> Self {
        let Row { id: unit_id, name, households, due, met, seen, declined, not_found, visits } = row;
        Self { unit_id, name, households, due, met, seen, declined, not_found, visits }
    }
}

/// Numbers by unit.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"from": "2026-11-01", "to": "2026-11-30", "items": []}))]
pub struct VisitNumbersView {
    pub from: NaiveDate,
    pub to: NaiveDate,
    /// By name; only those that have something to count.
    pub items: Vec<VisitNumbers>,
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VisitNumbersQuery {
    /// Of this unit and those below it; the caller's own by default.
    unit_id: Option<Uuid>,
    /// From this day on; 30 days before `to` by default.
    from: Option<NaiveDate>,
    /// Up to this day; today by default. At most 366 days after `from`.
    to: Option<NaiveDate>,
}

/// Count visits
///
/// Households due, seen, not found and not wishing it in a period, by the units right below. Of units only: nobody is counted or ranked.
#[utoipa::path(tag = "visits", security(("token" = ["visits:count"])), params(VisitNumbersQuery),
    responses((status = 200, description = "The numbers", body = VisitNumbersView)))]
#[get("/v1/visits/numbers")]
pub async fn count_visits(
    caller: Can<CountVisits>,
    app: Data<App>,
    query: Query<VisitNumbersQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let period = Period::asked(query.from, query.to, local_date(app.clock.now()))?;
    let (scope, own) = (caller.scope, caller.unit);
    let read = app.db.read("count_visits", move |conn| {
        let unit = units::store::counted(conn, scope, query.unit_id, own)?;
        let ((from_at, until_at), from_on, to_on) = (period.instants(), period.from, period.to);
        Ok(Numbers { county: scope.county, unit, from_at, until_at, from_on, to_on }.load::<Row>(conn)?)
    });
    let items = read.await?.into_iter().map(VisitNumbers::from).collect();
    Ok(HttpResponse::Ok().json(VisitNumbersView { from: period.from, to: period.to, items }))
}
