//! Open orders near a helper that they can take: by an index of places, and of the units that they serve.
//!
//! Only so many are looked at, however many lie open: the nearest ones on the map until enough fit, and of each unit served those that run
//! out first, which also brings what has no point. Distances are those to a grid of half a kilometre:
//! asking from several places does not tell where somebody lives.

use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Bool, Date, Double, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{kinds::Evidence, rules::OrderError, store::today};
use crate::{
    app::App,
    appointments::Named,
    clock::CST,
    error::{Error, FieldError, Result, Text as Words},
    geo::{CoordinateSystem, Point},
    http::{caller::Can, page, permissions::TakeOrders, valid::Query},
    statement,
};

/// Whether the helper `me` can take the order `o`, its place apart; what costs most comes last.
macro_rules! fits {
    () => {
        "o.dispatch <> 'assign' AND o.wanted_until > {now} AND me.kind = ANY (o.taken_by) AND o.skills <@ me.skills AND o.id <> ALL (me.returned) \
           AND (me.resident_id IS NULL OR me.resident_id NOT IN (o.resident_id, coalesce(o.ordered_by_resident, o.resident_id)) \
             AND NOT acts_for({county}, o.resident_id, me.resident_id, 'order', {today})) \
           AND helper_free({county}, me.id, greatest({now}, o.wanted_from))"
    };
}

statement! {
    pub struct Nearby {
        county: i32 as Integer, resident: Option<Uuid> as Nullable<SqlUuid>, staff: Option<Uuid> as Nullable<SqlUuid>, lng: Option<f64> as Nullable<Double>,
        lat: Option<f64> as Nullable<Double>, today: NaiveDate as Date, now: DateTime<Utc> as Timestamptz, limit: i64 as BigInt,
    }
    // Read in the order of the index, and no further than it takes to find enough.
    concat!("WITH RECURSIVE me AS MATERIALIZED ( \
         SELECT h.id, h.kind, h.skills, h.unit_id, h.staff_id, h.resident_id, h.lng AS home_lng, h.lat AS home_lat, h.radius_m, \
           coalesce({lng}, h.lng) AS lng, CASE WHEN {lng}::float8 IS NULL THEN h.lat ELSE {lat} END AS lat, \
           ARRAY(SELECT m.order_id FROM order_moves m WHERE m.county_id = {county} AND m.step = 'return' AND m.from_holder = h.id AND m.at > {now} - interval '1 day') AS returned \
           FROM helpers h \
          WHERE h.county_id = {county} AND h.state = 'active' AND (h.staff_id = {staff} OR h.resident_id = {resident})), \
       tree (id) AS ( \
         SELECT t.unit_id FROM (SELECT unit_id FROM me UNION SELECT f.unit_id FROM helper_units f JOIN me ON f.county_id = {county} AND f.helper_id = me.id AND f.granted \
           UNION SELECT p.unit_id FROM staff_posts p JOIN me ON p.county_id = {county} AND p.staff_id = me.staff_id AND p.ended_at IS NULL AND p.role IN ('specialist', 'village_cadre')) t \
         UNION SELECT u.id FROM tree t JOIN units u ON u.county_id = {county} AND u.parent_id = t.id), \
       town (id) AS (SELECT township_of({county}, unit_id) FROM me UNION SELECT u.id FROM town t JOIN units u ON u.county_id = {county} AND u.parent_id = t.id), \
       found AS ( \
         SELECT n.id, n.wanted_until, distance_m(me.lng, me.lat, grid(n.lng), grid(n.lat)) AS distance FROM me CROSS JOIN LATERAL ( \
           SELECT o.id, o.wanted_until, o.lng, o.lat FROM ( \
             SELECT x.*, map_point(grid(x.lng), grid(x.lat)) <-> map_point(me.lng, me.lat) AS steps FROM orders x \
              WHERE x.county_id = {county} AND x.state = 'open' AND x.lng IS NOT NULL ORDER BY steps LIMIT 1000) o \
            WHERE ", fits!(), " AND (o.unit_id IN (SELECT id FROM tree) \
              OR coalesce(distance_m(me.home_lng, me.home_lat, grid(o.lng), grid(o.lat)) <= me.radius_m, false) AND o.unit_id IN (SELECT id FROM town)) \
            ORDER BY o.steps LIMIT {limit}) n WHERE me.lng IS NOT NULL \
         UNION \
         SELECT n.id, n.wanted_until, distance_m(me.lng, me.lat, grid(n.lng), grid(n.lat)) FROM me CROSS JOIN tree t CROSS JOIN LATERAL ( \
           SELECT o.id, o.wanted_until, o.lng, o.lat FROM ( \
             SELECT x.* FROM orders x WHERE x.county_id = {county} AND x.unit_id = t.id AND x.state = 'open' ORDER BY x.wanted_until, x.id LIMIT 100) o \
            WHERE ", fits!(), " ORDER BY o.wanted_until, o.id LIMIT {limit}) n), \
       nearest AS (SELECT * FROM found f ORDER BY f.distance NULLS LAST, f.wanted_until, f.id LIMIT {limit}) \
     SELECT o.id, o.kind_id, o.unit_id, o.wanted_from, o.wanted_until, o.at_once, o.skills, o.language, o.duration_minutes, o.evidence, o.money, f.distance, \
       k.name AS kind_name, u.name AS unit_name \
     FROM nearest f JOIN orders o ON o.county_id = {county} AND o.id = f.id JOIN order_kinds k ON k.county_id = {county} AND k.id = o.kind_id \
       JOIN units u ON u.county_id = {county} AND u.id = o.unit_id \
     ORDER BY f.distance NULLS LAST, f.wanted_until, f.id")
}

statement! {
    struct Helps { county: i32 as Integer, resident: Option<Uuid> as Nullable<SqlUuid>, staff: Option<Uuid> as Nullable<SqlUuid> }
    "SELECT EXISTS (SELECT FROM helpers h WHERE h.county_id = {county} AND h.state = 'active' AND (h.staff_id = {staff} OR h.resident_id = {resident})) AS yes"
}

#[derive(QueryableByName)]
struct Yes {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

#[derive(QueryableByName)]
pub struct Near {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    kind_id: Uuid,
    #[diesel(sql_type = Text)]
    kind_name: String,
    #[diesel(sql_type = SqlUuid)]
    unit_id: Uuid,
    #[diesel(sql_type = Text)]
    unit_name: String,
    #[diesel(sql_type = Timestamptz)]
    wanted_from: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    wanted_until: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    at_once: bool,
    #[diesel(sql_type = Array<Text>)]
    skills: Vec<String>,
    #[diesel(sql_type = Nullable<Text>)]
    language: Option<String>,
    #[diesel(sql_type = SmallInt)]
    duration_minutes: i16,
    #[diesel(sql_type = Text)]
    evidence: Evidence,
    #[diesel(sql_type = Bool)]
    money: bool,
    #[diesel(sql_type = Nullable<Double>)]
    distance: Option<f64>,
}

/// An open order as helpers see it before they take it: never for whom, nor where exactly.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d1", "kind": {"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "日用品代购"},
    "unit": {"id": "0199a0c0-0000-7000-8000-000000000002", "name": "红星村"}, "wanted_from": "2026-11-23T14:00:00+08:00", "wanted_until": "2026-11-23T16:00:00+08:00",
    "at_once": false, "skills": [], "language": null, "duration_minutes": 60, "evidence": "photo", "money": true, "distance_m": 830}))]
pub struct NearbyOrderView {
    pub id: Uuid,
    pub kind: Named,
    pub unit: Named,
    pub wanted_from: DateTime<FixedOffset>,
    pub wanted_until: DateTime<FixedOffset>,
    /// As soon as somebody can.
    pub at_once: bool,
    pub skills: Vec<String>,
    /// A skill that is wished, such as a dialect.
    pub language: Option<String>,
    pub duration_minutes: i16,
    pub evidence: Evidence,
    pub money: bool,
    /// Metres as the crow flies; none where either point is not known.
    pub distance_m: Option<i64>,
}

impl From<Near> for NearbyOrderView {
    fn from(row: Near) -> Self {
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        Self {
            id: row.id,
            kind: Named { id: row.kind_id, name: row.kind_name },
            unit: Named { id: row.unit_id, name: row.unit_name },
            wanted_from: local(row.wanted_from),
            wanted_until: local(row.wanted_until),
            at_once: row.at_once,
            skills: row.skills,
            language: row.language,
            duration_minutes: row.duration_minutes,
            evidence: row.evidence,
            money: row.money,
            distance_m: row.distance.map(|metres| metres.round() as i64),
        }
    }
}

/// What can be taken near one.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct NearbyOrdersView {
    /// Nearest first; what has no distance comes last, those that run out first before the others.
    pub items: Vec<NearbyOrderView>,
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct NearbyQuery {
    /// Where one is, with `lat`; where one starts from as a helper by default.
    #[param(minimum = -180, maximum = 180)]
    lng: Option<f64>,
    #[param(minimum = -90, maximum = 90)]
    lat: Option<f64>,
    /// Of `lng` and `lat`; `wgs84` by default.
    #[param(inline)]
    coordinate_system: Option<CoordinateSystem>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
}

/// Where one says that one is.
fn point(query: &NearbyQuery) -> Result<Option<Point>> {
    let fault = |name: &str, code: &'static str, zh, en| FieldError::query(name, code, Words::fixed(zh, en));
    let (lng, lat) = match (query.lng, query.lat) {
        (None, None) => return Ok(None),
        (Some(lng), Some(lat)) => (lng, lat),
        (Some(_), None) => {
            return Err(Error::invalid(vec![fault("lat", "required", "须与 lng 一起填写", "is needed with `lng`")]));
        }
        (None, Some(_)) => {
            return Err(Error::invalid(vec![fault("lng", "required", "须与 lat 一起填写", "is needed with `lat`")]));
        }
    };
    let outside = [("lng", lng, 180.0), ("lat", lat, 90.0)];
    let outside = outside.into_iter().filter(|(_, degrees, most)| !(-most..=*most).contains(degrees));
    let faults: Vec<_> = outside.map(|(name, ..)| fault(name, "range", "超出范围", "is out of range")).collect();
    if !faults.is_empty() {
        return Err(Error::invalid(faults));
    }
    let coordinate_system = query.coordinate_system.unwrap_or(CoordinateSystem::Wgs84);
    Ok(Some(Point { lng, lat, coordinate_system }.to_wgs84()))
}

/// List open orders near me that I can take
///
/// For helpers: those that they fit for, by kind, skills, place and hours, nearest first. What a dispatcher assigns is not among them. Of the orders with a point, the 1,000
/// nearest are looked at; of each unit that one serves, also the 100 that run out first.
#[utoipa::path(tag = "orders", security(("token" = ["orders:take"])), params(NearbyQuery),
    responses((status = 200, description = "What can be taken", body = NearbyOrdersView)), extensions(("x-errors" = json!(["not_a_helper"]))))]
#[get("/v1/orders/nearby")]
pub async fn list_nearby_orders(
    caller: Can<TakeOrders>,
    app: Data<App>,
    query: Query<NearbyQuery>,
) -> Result<HttpResponse> {
    let (limit, point, now) = (page::limit(query.0.limit)?, point(&query.0)?, app.clock.now());
    let (county, resident, staff) = (caller.county, caller.is_resident().then_some(caller.subject), caller.staff());
    let (lng, lat) = (point.map(|point| point.lng), point.map(|point| point.lat));
    let read = app.db.read("list_nearby_orders", move |conn| {
        let rows: Vec<Near> = Nearby { county, resident, staff, lng, lat, today: today(now), now, limit }.load(conn)?;
        if rows.is_empty() && !(Helps { county, resident, staff }).get_result::<Yes>(conn)?.yes {
            return Err(OrderError::NotAHelper.into());
        }
        Ok(rows)
    });
    let items = read.await?.into_iter().map(NearbyOrderView::from).collect();
    Ok(HttpResponse::Ok().json(NearbyOrdersView { items }))
}
