//! Whoever takes an order, in the database: why somebody cannot, who they are, the codes that they try, and whose township it is.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{kinds::HelperKind, model::OrderState};
use crate::{db::found, error::Result, http::caller::Caller, statement};

statement! {
    struct Why { county: i32 as Integer, id: Uuid as SqlUuid, helper: Uuid as SqlUuid, load: i32 as Integer, now: DateTime<Utc> as Timestamptz }
    "SELECT helper_unfit({county}, h.id, {id}, {now}) AS unfit, free_place({county}, h.id, coalesce(h.max_load, {load})) IS NULL AS full_up \
     FROM helpers h WHERE h.county_id = {county} AND h.id = {helper}"
}

/// Why a helper could not have an order.
#[derive(Clone, Debug, QueryableByName)]
pub struct Reasons {
    #[diesel(sql_type = Array<Text>)]
    pub unfit: Vec<String>,
    /// They hold as many as they can.
    #[diesel(sql_type = Bool)]
    pub full_up: bool,
}

/// [`Reasons`], now; none: there is no such helper.
pub fn why(
    conn: &mut PgConnection,
    (county, id): (i32, Uuid),
    (helper, load): (Uuid, i64),
    now: DateTime<Utc>,
) -> Result<Option<Reasons>> {
    found(Why { county, id, helper, load: load as i32, now }.get_result(conn))
}

statement! {
    /// The helper with an id, or that a member of staff or a resident is.
    pub struct HelperOf { county: i32 as Integer, resident: Option<Uuid> as Nullable<SqlUuid>, staff: Option<Uuid> as Nullable<SqlUuid>, helper: Option<Uuid> as Nullable<SqlUuid> }
    "SELECT h.id, h.kind, h.state = 'active' AS active, h.version, h.staff_id, h.resident_id, \
       (SELECT s.display_name FROM staff s WHERE s.county_id = h.county_id AND s.id = h.staff_id) AS staff_name, \
       (SELECT v.name FROM residents v WHERE v.county_id = h.county_id AND v.id = h.resident_id) AS name \
     FROM helpers h WHERE h.county_id = {county} AND CASE WHEN {helper}::uuid IS NOT NULL THEN h.id = {helper} \
       WHEN {staff}::uuid IS NOT NULL THEN h.staff_id = {staff} ELSE h.resident_id = {resident} END"
}

/// A helper (服务人员) as far as orders name them; the name of a resident is sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Who {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub kind: HelperKind,
    #[diesel(sql_type = Bool)]
    pub active: bool,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub staff_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub resident_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub staff_name: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub name: Option<Vec<u8>>,
}

/// The helper that a caller is.
pub fn helper_of(conn: &mut PgConnection, caller: &Caller) -> Result<Option<Who>> {
    let resident = caller.is_resident().then_some(caller.subject);
    found(HelperOf { county: caller.county, resident, staff: caller.staff(), helper: None }.get_result(conn))
}

/// A helper of the county.
pub fn helper(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Who>> {
    found(HelperOf { county, resident: None, staff: None, helper: Some(id) }.get_result(conn))
}

statement! {
    struct Try { county: i32 as Integer, id: Uuid as SqlUuid, resident: Option<Uuid> as Nullable<SqlUuid>, staff: Option<Uuid> as Nullable<SqlUuid>, states: Vec<OrderState> as Array<Text> }
    "UPDATE orders o SET tries = o.tries + 1 FROM helpers h WHERE o.county_id = {county} AND o.id = {id} AND o.state = ANY ({states}) AND o.tries < 5 \
       AND h.county_id = o.county_id AND h.id = o.holder_id AND (h.staff_id = {staff} OR h.resident_id = {resident}) RETURNING o.tries"
}

#[derive(QueryableByName)]
struct Tried {
    #[diesel(sql_type = SmallInt)]
    tries: i16,
}

/// Counts a code that the holder types, before anybody looks whether it is right: guesses at once count like guesses one by one. The
/// number of this try; none: it is not their turn, or the codes are locked.
pub fn count_try(conn: &mut PgConnection, caller: &Caller, id: Uuid, states: &[OrderState]) -> Result<Option<i16>> {
    let resident = caller.is_resident().then_some(caller.subject);
    let tried = Try { county: caller.county, id, resident, staff: caller.staff(), states: states.to_vec() };
    Ok(found(tried.get_result::<Tried>(conn))?.map(|tried| tried.tries))
}

statement! {
    struct Untry { county: i32 as Integer, id: Uuid as SqlUuid }
    "UPDATE orders SET tries = tries - 1 WHERE county_id = {county} AND id = {id} AND tries BETWEEN 1 AND 4"
}

/// A try that was none.
pub fn uncount_try(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<usize> {
    Untry { county, id }.execute(conn)
}

statement! {
    /// Their row is locked, so that two at once count each other.
    struct Returned { county: i32 as Integer, helper: Uuid as SqlUuid, actor: Uuid as SqlUuid, since: DateTime<Utc> as Timestamptz }
    "WITH one AS (SELECT h.id FROM helpers h WHERE h.county_id = {county} AND h.id = {helper} FOR NO KEY UPDATE) \
     SELECT (SELECT count(*) FROM order_moves m WHERE m.county_id = {county} AND m.from_holder = one.id AND m.step = 'return' AND m.at >= {since} AND m.actor_id = {actor}) AS n FROM one"
}

#[derive(QueryableByName)]
struct Returns {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// How many a helper has given back themselves since a time: what an absence, a lease or a dispatcher took from them does not count.
pub fn returned(
    conn: &mut PgConnection,
    county: i32,
    (helper, actor): (Uuid, Uuid),
    since: DateTime<Utc>,
) -> QueryResult<i64> {
    Ok(Returned { county, helper, actor, since }.get_result::<Returns>(conn)?.n)
}

statement! {
    struct Above { county: i32 as Integer, unit: Uuid as SqlUuid }
    "SELECT (SELECT u.id FROM units u WHERE u.county_id = {county} AND u.level = 'township' AND unit_within({county}, {unit}, u.id)) AS id"
}

#[derive(QueryableByName)]
struct Township {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
}

/// The township of a unit, whose staff dispatch; the unit itself above one.
pub fn township(conn: &mut PgConnection, county: i32, unit: Uuid) -> QueryResult<Uuid> {
    Ok(Above { county, unit }.get_result::<Township>(conn)?.id.unwrap_or(unit))
}
