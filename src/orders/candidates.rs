//! Who could be assigned an order: a suggestion, with what speaks for and against each.

use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Binary, Bool, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    acting::Frame,
    kinds::HelperKind,
    store::{self, Seen, today},
};
use crate::{
    app::App,
    error::{Code, Result},
    http::{
        caller::{Caller, Can},
        permissions::DispatchOrders,
        valid::Id,
    },
    people, statement,
};

/// How many are suggested.
const MOST: i64 = 20;

statement! {
    struct Candidates { county: i32 as Integer, id: Uuid as SqlUuid, load: i32 as Integer, now: DateTime<Utc> as Timestamptz, limit: i64 as BigInt }
    // Those who fit first; among them whoever speaks the language, knows the resident, holds little and is near.
    "SELECT * FROM (SELECT h.id, h.kind, h.resident_id, (SELECT s.display_name FROM staff s WHERE s.county_id = h.county_id AND s.id = h.staff_id) AS staff_name, \
         (SELECT v.name FROM residents v WHERE v.county_id = h.county_id AND v.id = h.resident_id) AS name, \
         helper_unfit({county}, h.id, o.id, {now}) AS unfit, distance_m(h.lng, h.lat, o.lng, o.lat) AS distance, \
         (SELECT count(*) FROM orders x WHERE x.county_id = h.county_id AND x.holder_id = h.id AND x.load_place IS NOT NULL) AS load, coalesce(h.max_load, {load}) AS most, \
         coalesce(o.language = ANY (h.skills), false) AS speaks, \
         (SELECT count(*) FROM orders c WHERE c.county_id = o.county_id AND c.resident_id = o.resident_id AND c.holder_id = h.id AND c.state = 'confirmed') AS before \
       FROM orders o JOIN helpers h ON h.county_id = o.county_id AND h.state = 'active' AND h.kind = ANY (o.taken_by) AND o.skills <@ h.skills \
       WHERE o.county_id = {county} AND o.id = {id} AND (h.resident_id IS NULL OR h.resident_id NOT IN (o.resident_id, coalesce(o.ordered_by_resident, o.resident_id))) \
         AND helper_serves({county}, h.id, o.unit_id, o.lng, o.lat)) c \
     ORDER BY cardinality(c.unfit) > 0 OR c.load >= c.most, NOT c.speaks, c.before = 0, c.load, c.distance NULLS LAST, c.id LIMIT {limit}"
}

#[derive(QueryableByName)]
struct Candidate {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    kind: HelperKind,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    resident_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    staff_name: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    name: Option<Vec<u8>>,
    #[diesel(sql_type = Array<Text>)]
    unfit: Vec<String>,
    #[diesel(sql_type = Nullable<Double>)]
    distance: Option<f64>,
    #[diesel(sql_type = BigInt)]
    load: i64,
    #[diesel(sql_type = Integer)]
    most: i32,
    #[diesel(sql_type = Bool)]
    speaks: bool,
    #[diesel(sql_type = BigInt)]
    before: i64,
}

/// Somebody who could be assigned an order, and what it was judged by.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"helper_id": "0199a0c0-0000-7000-8000-0000000000a1", "kind": "specialist", "name": "红星村特派员", "distance_m": 830, "load": 1, "most": 3,
    "speaks": false, "before": 2, "against": []}))]
pub struct CandidateView {
    pub helper_id: Uuid,
    pub kind: HelperKind,
    /// Of volunteers and care staff masked.
    pub name: Option<String>,
    /// Metres from where they start; none where either point is not known.
    pub distance_m: Option<i64>,
    /// Orders that they hold, and can hold.
    pub load: i64,
    pub most: i32,
    /// They have the skill that is wished, such as the dialect.
    pub speaks: bool,
    /// Orders of this resident that they have done.
    pub before: i64,
    /// What speaks against them: `hours` (not available when it is wanted), `own`, `load` (they hold as many as they can).
    pub against: Vec<String>,
}

/// Who is suggested for an order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct CandidatesView {
    /// Best first: those who can at all, then by language, by whether they know the resident, by load, by distance.
    pub items: Vec<CandidateView>,
}

fn view(app: &App, county: i32, row: Candidate) -> Result<CandidateView> {
    let name = match row.resident_id {
        None => row.staff_name,
        Some(resident) => people::name_and_phone(app, (county, resident), (row.name.as_deref(), None), true)?.0,
    };
    let full = (row.load >= row.most.into()).then(|| "load".to_owned());
    Ok(CandidateView {
        helper_id: row.id,
        kind: row.kind,
        name,
        distance_m: row.distance.map(|metres| metres.round() as i64),
        load: row.load,
        most: row.most,
        speaks: row.speaks,
        before: row.before,
        against: row.unfit.into_iter().chain(full).collect(),
    })
}

fn candidates(conn: &mut PgConnection, county: i32, id: Uuid, frame: &Frame) -> QueryResult<Vec<Candidate>> {
    let load = frame.settings.orders_load as i32;
    Candidates { county, id, load, now: frame.now, limit: MOST }.load(conn)
}

/// Suggest who could do an order
///
/// Active helpers of the right kind with the skills who serve the place, with what speaks for and against each. For whoever assigns; nobody is
/// assigned by it.
#[utoipa::path(tag = "orders", security(("token" = ["orders:dispatch"])), params(("id" = Uuid, Path, description = "The order")),
    responses((status = 200, description = "The suggestion", body = CandidatesView)))]
#[get("/v1/orders/{id}/candidates")]
pub async fn list_order_candidates(caller: Can<DispatchOrders>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let frame = Frame::of(&app, &caller.county_key).await?;
    let (who, seen) = (Caller::clone(&caller), Seen::by(&caller, caller.scope));
    let read = app.db.read("list_order_candidates", move |conn| {
        store::find(conn, who.county, seen, id.0, today(frame.now))?.ok_or(Code::NotFound)?;
        Ok(candidates(conn, who.county, id.0, &frame)?)
    });
    let items = read.await?.into_iter().map(|row| view(&app, caller.county, row)).collect::<Result<_>>()?;
    Ok(HttpResponse::Ok().json(CandidatesView { items }))
}
