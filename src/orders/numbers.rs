//! Numbers for supervisors (督查): how many orders are open, ran out, were begun in time and confirmed; of units and kinds, never of persons.

use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    app::App,
    clock::local_date,
    error::Result,
    http::{caller::Can, period::Period, permissions::CountOrders, valid::Query},
    statement, text_enum, units,
};

text_enum! {
    /// What the numbers are of.
    pub enum OrdersBy {
        /// The unit itself and each of those right below it, with all that lies below them.
        Unit = "unit",
        Kind = "kind",
    }
}

statement! {
    /// Of the units below one, or of the kinds there: how things stand now, and what ended in a period.
    struct Numbers {
        county: i32 as Integer, unit: Uuid as SqlUuid, kind: Option<Uuid> as Nullable<SqlUuid>, by: &'static str as Text,
        from: DateTime<Utc> as Timestamptz, until: DateTime<Utc> as Timestamptz,
    }
    "WITH RECURSIVE tree (id, top) AS ( \
         SELECT u.id, u.id FROM units u WHERE u.county_id = {county} AND (u.parent_id = {unit} OR u.id = {unit}) \
         UNION ALL \
         SELECT u.id, t.top FROM tree t JOIN units u ON u.county_id = {county} AND u.parent_id = t.id WHERE t.id <> {unit}), \
       counted AS ( \
         SELECT CASE {by} WHEN 'unit' THEN t.top ELSE o.kind_id END AS id, \
           count(*) FILTER (WHERE o.state = 'open') AS open, count(*) FILTER (WHERE o.state IN ('claimed', 'on_the_way', 'at_work')) AS held, \
           count(*) FILTER (WHERE o.state = 'finished') AS unconfirmed, count(*) FILTER (WHERE o.state = 'disputed') AS disputed, \
           count(*) FILTER (WHERE o.state = 'expired') AS expired, \
           count(*) FILTER (WHERE o.state = 'confirmed' AND o.ended_at >= {from} AND o.ended_at < {until}) AS confirmed, \
           count(*) FILTER (WHERE o.state = 'confirmed' AND o.ended_at >= {from} AND o.ended_at < {until} AND o.started_at <= o.wanted_until) AS in_time, \
           count(*) FILTER (WHERE o.state = 'confirmed' AND o.ended_at >= {from} AND o.ended_at < {until} AND o.started_how = 'own_word') AS own_word, \
           count(*) FILTER (WHERE o.state = 'cancelled' AND o.ended_at >= {from} AND o.ended_at < {until}) AS cancelled \
         FROM tree t JOIN orders o ON o.county_id = {county} AND o.unit_id = t.id AND ({kind}::uuid IS NULL OR o.kind_id = {kind}) \
          AND (o.state NOT IN ('confirmed', 'cancelled') OR o.ended_at >= {from} AND o.ended_at < {until}) \
         GROUP BY 1) \
     SELECT c.*, CASE {by} WHEN 'unit' THEN (SELECT name FROM units u WHERE u.county_id = {county} AND u.id = c.id) \
       ELSE (SELECT name FROM order_kinds k WHERE k.county_id = {county} AND k.id = c.id) END AS name FROM counted c ORDER BY name, c.id"
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
    held: i64,
    #[diesel(sql_type = BigInt)]
    unconfirmed: i64,
    #[diesel(sql_type = BigInt)]
    disputed: i64,
    #[diesel(sql_type = BigInt)]
    expired: i64,
    #[diesel(sql_type = BigInt)]
    confirmed: i64,
    #[diesel(sql_type = BigInt)]
    in_time: i64,
    #[diesel(sql_type = BigInt)]
    own_word: i64,
    #[diesel(sql_type = BigInt)]
    cancelled: i64,
}

/// The numbers of a unit or a kind.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-000000000002", "name": "红星村委会", "open": 2, "held": 3, "unconfirmed": 1, "disputed": 0, "expired": 0,
    "confirmed": 40, "in_time": 38, "in_time_rate": 0.95, "own_word": 1, "cancelled": 4}))]
pub struct OrderNumbers {
    pub id: Uuid,
    pub name: String,
    /// Now: nobody has taken it.
    pub open: i64,
    /// Now: somebody is to come, on the way or at work.
    pub held: i64,
    /// Now: finished, and the resident has not said so.
    pub unconfirmed: i64,
    pub disputed: i64,
    /// Now: nobody took it in its time.
    pub expired: i64,
    /// Confirmed in the period.
    pub confirmed: i64,
    /// Of these, begun before the wanted time was over.
    pub in_time: i64,
    /// `in_time` of `confirmed`, 0 to 1; none while nothing was confirmed.
    pub in_time_rate: Option<f64>,
    /// Of those confirmed: nobody but whoever held it says that it began; `GET /v1/orders?started_how=own_word` lists them.
    pub own_word: i64,
    /// Cancelled in the period.
    pub cancelled: i64,
}

impl From<Row> for OrderNumbers {
    fn from(row: Row) -> Self {
        let Row { id, name, open, held, unconfirmed, disputed, expired, confirmed, in_time, own_word, cancelled } = row;
        let in_time_rate = (confirmed > 0).then(|| in_time as f64 / confirmed as f64);
        Self {
            id,
            name,
            open,
            held,
            unconfirmed,
            disputed,
            expired,
            confirmed,
            in_time,
            in_time_rate,
            own_word,
            cancelled,
        }
    }
}

/// Numbers by unit or by kind.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"from": "2026-11-01", "to": "2026-11-30", "items": []}))]
pub struct OrderNumbersView {
    pub from: NaiveDate,
    pub to: NaiveDate,
    /// By name; only those that have something to count.
    pub items: Vec<OrderNumbers>,
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OrderNumbersQuery {
    /// Of this unit and those below it; the caller's own by default.
    unit_id: Option<Uuid>,
    /// Only of this kind.
    kind_id: Option<Uuid>,
    /// By the units right below (default), or by kind.
    #[param(inline)]
    by: Option<OrdersBy>,
    /// Ended from this day on; 30 days before `to` by default.
    from: Option<NaiveDate>,
    /// Ended up to this day; today by default. At most 366 days after `from`.
    to: Option<NaiveDate>,
}

/// Count orders
///
/// How things stand now, and what ended in a period. By unit or by kind; nobody is ranked.
#[utoipa::path(tag = "orders", security(("token" = ["orders:count"])), params(OrderNumbersQuery),
    responses((status = 200, description = "The numbers", body = OrderNumbersView)))]
#[get("/v1/orders/numbers")]
pub async fn count_orders(
    caller: Can<CountOrders>,
    app: Data<App>,
    query: Query<OrderNumbersQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let period = Period::asked(query.from, query.to, local_date(app.clock.now()))?;
    let (scope, own) = (caller.scope, caller.unit);
    let (kind, by) = (query.kind_id, query.by.unwrap_or(OrdersBy::Unit).as_str());
    let read = app.db.read("count_orders", move |conn| {
        let unit = units::store::counted(conn, scope, query.unit_id, own)?;
        let (from, until) = period.instants();
        Ok(Numbers { county: scope.county, unit, kind, by, from, until }.load::<Row>(conn)?)
    });
    let items = read.await?.into_iter().map(OrderNumbers::from).collect();
    Ok(HttpResponse::Ok().json(OrderNumbersView { from: period.from, to: period.to, items }))
}
