//! Totals of ratings: by unit, kind and month for supervisors; of past months and five or more for those who were rated.

use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Date, Integer, Nullable, Text, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    model::{AboutKind, CHANGEABLE, FEWEST},
    routes::looking,
    store::Looking,
};
use crate::{
    app::App,
    clock::local_date,
    error::{Error, FieldError, Result, Text as Words},
    http::{
        caller::{Caller, Can},
        permissions::{CountRatings, ReadRatings},
        valid::Query,
    },
    statement, units,
};

/// Months that can be asked for at a time.
const LONGEST: u32 = 24;

statement! {
    /// Of a unit itself and of each of those right below it with all that lies below them; without what is hidden.
    struct Above {
        county: i32 as Integer, unit: Uuid as SqlUuid, kind: Option<AboutKind> as Nullable<Text>, from: NaiveDate as Date, before: NaiveDate as Date,
        hidden: Vec<Uuid> as Array<SqlUuid>, who: Uuid as SqlUuid,
    }
    "WITH RECURSIVE tree (id, top) AS ( \
         SELECT u.id, u.id FROM units u WHERE u.county_id = {county} AND (u.parent_id = {unit} OR u.id = {unit}) \
         UNION ALL \
         SELECT u.id, t.top FROM tree t JOIN units u ON u.county_id = {county} AND u.parent_id = t.id WHERE t.id <> {unit}), \
       counted AS ( \
         SELECT t.top AS id, r.about_kind, date_trunc('month', r.on_date)::date AS month, count(*) AS total, \
           count(*) FILTER (WHERE r.grade = 5) AS grade_5, count(*) FILTER (WHERE r.grade = 4) AS grade_4, \
           count(*) FILTER (WHERE r.grade = 3) AS grade_3, count(*) FILTER (WHERE r.grade = 2) AS grade_2, count(*) FILTER (WHERE r.grade = 1) AS grade_1 \
         FROM tree t JOIN ratings r ON r.county_id = {county} AND r.unit_id = t.id \
         WHERE r.on_date >= {from} AND r.on_date < {before} AND ({kind}::text IS NULL OR r.about_kind = {kind}) \
           AND NOT r.unit_id = ANY ({hidden}) AND NOT r.served_by @> ARRAY[{who}] \
         GROUP BY 1, 2, 3) \
     SELECT c.*, u.name FROM counted c JOIN units u ON u.county_id = {county} AND u.id = c.id ORDER BY u.name, c.id, c.month, c.about_kind"
}

statement! {
    /// Of units in which somebody works: all kinds together, of months in which nothing can change any more, and never of few people, of whom colleagues wrote none down.
    struct Within {
        county: i32 as Integer, units: Vec<Uuid> as Array<SqlUuid>, from: NaiveDate as Date, before: NaiveDate as Date, fewest: i64 as BigInt,
    }
    "SELECT r.unit_id AS id, u.name, NULL::text AS about_kind, date_trunc('month', r.on_date)::date AS month, count(*) AS total, \
       count(*) FILTER (WHERE r.grade = 5) AS grade_5, count(*) FILTER (WHERE r.grade = 4) AS grade_4, \
       count(*) FILTER (WHERE r.grade = 3) AS grade_3, count(*) FILTER (WHERE r.grade = 2) AS grade_2, count(*) FILTER (WHERE r.grade = 1) AS grade_1 \
     FROM ratings r JOIN units u ON u.county_id = r.county_id AND u.id = r.unit_id \
     WHERE r.county_id = {county} AND r.unit_id = ANY ({units}) AND r.on_date >= {from} AND r.on_date < {before} \
     GROUP BY r.unit_id, u.name, 4 HAVING count(DISTINCT r.resident_id) FILTER (WHERE r.given_how <> 'agent') >= {fewest} ORDER BY u.name, r.unit_id, 4"
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    about_kind: Option<AboutKind>,
    #[diesel(sql_type = Date)]
    month: NaiveDate,
    #[diesel(sql_type = BigInt)]
    total: i64,
    #[diesel(sql_type = BigInt)]
    grade_5: i64,
    #[diesel(sql_type = BigInt)]
    grade_4: i64,
    #[diesel(sql_type = BigInt)]
    grade_3: i64,
    #[diesel(sql_type = BigInt)]
    grade_2: i64,
    #[diesel(sql_type = BigInt)]
    grade_1: i64,
}

/// How often each grade was given in a month.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000002", "unit_name": "红星村委会", "about_kind": "errand", "month": "2026-11",
    "total": 20, "grade_5": 12, "grade_4": 5, "grade_3": 2, "grade_2": 1, "grade_1": 0, "satisfied_rate": 0.95}))]
pub struct RatingNumbers {
    pub unit_id: Uuid,
    pub unit_name: String,
    /// None: all kinds together.
    #[schema(inline)]
    pub about_kind: Option<AboutKind>,
    /// Year and month in which they were given, local time.
    pub month: String,
    pub total: i64,
    /// 非常满意
    pub grade_5: i64,
    /// 满意
    pub grade_4: i64,
    /// 基本满意
    pub grade_3: i64,
    /// 不满意
    pub grade_2: i64,
    /// 非常不满意
    pub grade_1: i64,
    /// Grades 3 to 5 of all, 0 to 1.
    pub satisfied_rate: f64,
}

impl From<Row> for RatingNumbers {
    fn from(row: Row) -> Self {
        let Row { id, name, about_kind, month, total, grade_5, grade_4, grade_3, grade_2, grade_1 } = row;
        let satisfied_rate = (grade_5 + grade_4 + grade_3) as f64 / total.max(1) as f64;
        let month = month.format("%Y-%m").to_string();
        Self {
            unit_id: id,
            unit_name: name,
            about_kind,
            month,
            total,
            grade_5,
            grade_4,
            grade_3,
            grade_2,
            grade_1,
            satisfied_rate,
        }
    }
}

/// Totals by unit, kind and month.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"from": "2026-06", "to": "2026-11", "items": []}))]
pub struct RatingNumbersView {
    pub from: String,
    pub to: String,
    /// By name, month and kind; only those that have something to count.
    pub items: Vec<RatingNumbers>,
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RatingNumbersQuery {
    /// Of this unit and those right below it; the caller's own by default.
    unit_id: Option<Uuid>,
    /// Only of this kind; of the caller's own unit all kinds are together, and are left out then.
    #[param(inline)]
    about_kind: Option<AboutKind>,
    /// The first month, `YYYY-MM`; five months before `to` by default.
    #[param(example = "2026-06", pattern = "^[0-9]{4}-[0-9]{2}$")]
    from: Option<String>,
    /// The last month, `YYYY-MM`; the current one by default. At most 24 months in all.
    #[param(example = "2026-11", pattern = "^[0-9]{4}-[0-9]{2}$")]
    to: Option<String>,
}

/// The first day of a month of the query.
fn month(name: &'static str, text: Option<&str>, default: NaiveDate) -> Result<NaiveDate, FieldError> {
    let parse = |text: &str| (text.len() == 7).then(|| format!("{text}-01").parse::<NaiveDate>().ok()).flatten();
    let wrong =
        || FieldError::query(name, "month", Words::fixed("须为年月，如 2026-11", "must be a month such as 2026-11"));
    text.map_or(Ok(default), |text| parse(text).ok_or_else(wrong))
}

/// First days of the first month and of the one after the last, or every fault.
fn period(query: &RatingNumbersQuery, today: NaiveDate) -> Result<(NaiveDate, NaiveDate)> {
    let this = today.with_day(1).unwrap_or(today);
    let to = month("to", query.to.as_deref(), this);
    let back = |to: NaiveDate| to.checked_sub_months(Months::new(5)).unwrap_or(to);
    let from = month("from", query.from.as_deref(), back(*to.as_ref().unwrap_or(&this)));
    let (from, to) = match (from, to) {
        (Ok(from), Ok(to)) => (from, to),
        (from, to) => return Err(Error::invalid(from.err().into_iter().chain(to.err()).collect())),
    };
    let before = to.checked_add_months(Months::new(1)).unwrap_or(to);
    if from >= before || from.checked_add_months(Months::new(LONGEST)).is_some_and(|last| last < before) {
        let text =
            Words::fixed("须不晚于 to，且合计不超过 24 个月", "must not be after `to`, and at most 24 months in all");
        return Err(Error::invalid(vec![FieldError::query("from", "range", text)]));
    }
    Ok((from, before))
}

/// The first day of the first month in which something can still change.
fn unsettled(now: DateTime<Utc>) -> NaiveDate {
    let day = local_date(now - CHANGEABLE);
    day.with_day(1).unwrap_or(day)
}

/// Count ratings
///
/// For townships, supervisors and the county: by unit, kind and month, of a unit itself and of those right below it. Of the units in which the caller
/// works, whatever they are: all kinds together, of months that are over, and only where there are five ratings or more, so that none
/// can be traced to anybody. Units are counted, never persons.
#[utoipa::path(tag = "ratings", security(("token" = ["ratings:count"])), params(RatingNumbersQuery),
    responses((status = 200, description = "The numbers", body = RatingNumbersView)), extensions(("x-errors" = json!(["not_found"]))))]
#[get("/v1/ratings/numbers")]
pub async fn count_ratings(
    caller: Can<CountRatings>,
    app: Data<App>,
    query: Query<RatingNumbersQuery>,
) -> Result<HttpResponse> {
    let (query, now) = (query.0, app.clock.now());
    let (from, before) = period(&query, local_date(now))?;
    let (who, scope, kind) = (Caller::clone(&caller), caller.scope, query.about_kind);
    let sees_single = caller.scope_of::<ReadRatings>()?.is_some();
    let read = app.db.read("count_ratings", move |conn| {
        let unit = units::store::counted(conn, scope, query.unit_id, who.unit)?;
        let Looking { hidden, .. } = looking(conn, &who, scope)?;
        let (county, settled) = (scope.county, unsettled(now).min(before));
        // A unit below, in which the caller works too, is asked for by itself.
        let own = if hidden.contains(&unit) && kind.is_none() { vec![unit] } else { Vec::new() };
        let mut rows: Vec<Row> = Within { county, units: own, from, before: settled, fewest: FEWEST }.load(conn)?;
        if sees_single {
            rows.extend(Above { county, unit, kind, from, before, hidden, who: who.subject }.load::<Row>(conn)?);
        }
        Ok(rows)
    });
    let items = read.await?.into_iter().map(RatingNumbers::from).collect();
    let month = |day: NaiveDate| day.format("%Y-%m").to_string();
    let view = RatingNumbersView { from: month(from), to: month(before - Days::new(1)), items };
    Ok(HttpResponse::Ok().json(view))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_settled_when_nothing_in_it_can_change() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).expect("a time").to_utc();
        let day = |text: &str| text.parse::<NaiveDate>().expect("a day");
        for (now, first) in [
            ("2026-11-30T23:00:00+08:00", "2026-11-01"),
            ("2026-12-01T23:59:59+08:00", "2026-11-01"),
            ("2026-12-02T00:00:00+08:00", "2026-12-01"),
        ] {
            assert_eq!(unsettled(at(now)), day(first), "{now}");
        }
    }
}
