//! Mandates (委托) in the database: what a resident lets an agent (代办员) do for them.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Binary, Date, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{db::found, error::Result, http::page::After, proxies::model::GivenHow, statement};

/// A mandate as stored; the words are sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Mandate {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub resident_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub agent_id: Option<Uuid>,
    #[diesel(sql_type = SqlUuid)]
    pub unit_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub matter_id: Option<Uuid>,
    #[diesel(sql_type = Text)]
    pub given_how: GivenHow,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub given_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub given_by_resident: Option<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub words: Option<Vec<u8>>,
    #[diesel(sql_type = Jsonb)]
    pub attachment_ids: Value,
    #[diesel(sql_type = Date)]
    pub valid_until: NaiveDate,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub revoked_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

/// What the words of a mandate are bound to.
pub fn words_place(id: Uuid) -> String {
    format!("mandates.words/{id}")
}

statement! {
    pub struct Give {
        county: i32 as Integer, id: Uuid as SqlUuid, resident: Uuid as SqlUuid, agent: Option<Uuid> as Nullable<SqlUuid>, unit: Uuid as SqlUuid,
        matter: Option<Uuid> as Nullable<SqlUuid>, given_how: GivenHow as Text, given_by: Option<Uuid> as Nullable<SqlUuid>,
        given_by_resident: Option<Uuid> as Nullable<SqlUuid>, words: Option<Vec<u8>> as Nullable<Binary>, attachment_ids: Value as Jsonb,
        valid_until: NaiveDate as Date, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO mandates (county_id, id, resident_id, agent_id, unit_id, matter_id, given_how, given_by, given_by_resident, words, attachment_ids, valid_until, created_at, updated_at) \
     VALUES ({county}, {id}, {resident}, {agent}, {unit}, {matter}, {given_how}, {given_by}, {given_by_resident}, {words}, {attachment_ids}, {valid_until}, {now}, {now}) RETURNING *"
}

statement! {
    struct Find { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT * FROM mandates WHERE county_id = {county} AND id = {id}"
}

pub fn find(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Mandate>> {
    found(Find { county, id }.get_result(conn))
}

statement! {
    struct Page {
        county: i32 as Integer, resident: Uuid as SqlUuid, after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    "SELECT * FROM mandates WHERE county_id = {county} AND resident_id = {resident} AND (created_at, id) > ({after_at}, {after_id}) \
     ORDER BY created_at, id LIMIT {limit}"
}

/// Those of a resident, oldest first, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    county: i32,
    resident: Uuid,
    after: After,
    limit: i64,
) -> QueryResult<Vec<Mandate>> {
    let (after_at, after_id) = (after.at.max(DateTime::UNIX_EPOCH), after.id);
    Page { county, resident, after_at, after_id, limit: limit + 1 }.load(conn)
}

statement! {
    struct Count { county: i32 as Integer, resident: Uuid as SqlUuid }
    "SELECT count(*) AS n FROM mandates WHERE county_id = {county} AND resident_id = {resident}"
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

pub fn count(conn: &mut PgConnection, county: i32, resident: Uuid) -> QueryResult<i64> {
    Ok(Count { county, resident }.get_result::<Counted>(conn)?.n)
}

statement! {
    struct Revoke { county: i32 as Integer, id: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE mandates SET revoked_at = {now}, version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND id = {id} AND revoked_at IS NULL RETURNING *"
}

/// From now on it stops every further step of an agent; none if it was revoked before.
pub fn revoke(conn: &mut PgConnection, county: i32, id: Uuid, now: DateTime<Utc>) -> Result<Option<Mandate>> {
    found(Revoke { county, id, now }.get_result(conn))
}

statement! {
    struct IsAgent { county: i32 as Integer, agent: Uuid as SqlUuid, unit: Uuid as SqlUuid }
    "SELECT count(*) AS n FROM staff_posts p JOIN staff s ON s.county_id = p.county_id AND s.id = p.staff_id AND s.state = 'active' \
     WHERE p.county_id = {county} AND p.staff_id = {agent} AND p.ended_at IS NULL AND p.role IN ('specialist', 'village_cadre', 'township_staff', 'county_admin') \
       AND unit_within({county}, {unit}, p.unit_id)"
}

/// Whether somebody could be the agent of whoever lives in a unit.
pub fn is_agent(conn: &mut PgConnection, county: i32, agent: Uuid, unit: Uuid) -> QueryResult<bool> {
    Ok(IsAgent { county, agent, unit }.get_result::<Counted>(conn)?.n > 0)
}
