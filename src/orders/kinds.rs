//! What can be ordered (接单类型), in the database: a county's configuration.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::Value;
use uuid::Uuid;

pub use crate::helpers::HelperKind;
use crate::{db::found, error::Result, http::page::After, statement, text_enum};

text_enum! {
    /// Whether a kind can be ordered.
    pub enum OrderKindState {
        Active = "active",
        Closed = "closed",
    }
}

text_enum! {
    /// What finishing asks for.
    pub enum Evidence {
        None = "none",
        /// Words.
        Note = "note",
        /// At least one picture.
        Photo = "photo",
    }
}

text_enum! {
    /// How an order comes to somebody.
    pub enum Dispatch {
        /// 抢单: the first who fits has it.
        Grab = "grab",
        /// 派单: a dispatcher picks.
        Assign = "assign",
        /// 先抢后派: a dispatcher is asked when nobody has claimed it for a while.
        GrabThenAssign = "grab_then_assign",
    }
}

/// A kind as stored.
#[derive(Clone, Debug, QueryableByName)]
pub struct OrderKind {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub description: Option<String>,
    #[diesel(sql_type = Text)]
    pub state: OrderKindState,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub form: Option<Value>,
    #[diesel(sql_type = Array<Text>)]
    pub skills: Vec<String>,
    #[diesel(sql_type = SmallInt)]
    pub duration_minutes: i16,
    #[diesel(sql_type = Text)]
    pub evidence: Evidence,
    #[diesel(sql_type = Bool)]
    pub money: bool,
    #[diesel(sql_type = Array<Text>)]
    pub taken_by: Vec<HelperKind>,
    #[diesel(sql_type = Text)]
    pub dispatch: Dispatch,
    #[diesel(sql_type = SmallInt)]
    pub grab_minutes: i16,
    #[diesel(sql_type = SmallInt)]
    pub start_minutes: i16,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

/// What a county says of a kind.
#[derive(Clone, Debug)]
pub struct KindSaid {
    pub name: String,
    pub description: Option<String>,
    pub state: OrderKindState,
    pub form: Option<Value>,
    pub skills: Vec<String>,
    pub duration_minutes: i16,
    pub evidence: Evidence,
    pub money: bool,
    pub taken_by: Vec<HelperKind>,
    pub dispatch: Dispatch,
    pub grab_minutes: i16,
    pub start_minutes: i16,
}

statement! {
    struct Insert {
        county: i32 as Integer, id: Uuid as SqlUuid, name: String as Text, description: Option<String> as Nullable<Text>, state: OrderKindState as Text,
        form: Option<Value> as Nullable<Jsonb>, skills: Vec<String> as Array<Text>, duration: i16 as SmallInt, evidence: Evidence as Text, money: bool as Bool,
        taken_by: Vec<HelperKind> as Array<Text>, dispatch: Dispatch as Text, grab: i16 as SmallInt, start: i16 as SmallInt, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO order_kinds (county_id, id, name, description, state, form, skills, duration_minutes, evidence, money, taken_by, dispatch, grab_minutes, start_minutes, created_at, updated_at) \
     VALUES ({county}, {id}, {name}, {description}, {state}, {form}, {skills}, {duration}, {evidence}, {money}, {taken_by}, {dispatch}, {grab}, {start}, {now}, {now}) RETURNING *"
}

pub fn insert(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    said: &KindSaid,
    now: DateTime<Utc>,
) -> QueryResult<OrderKind> {
    let KindSaid { name, description, state, form, skills, duration_minutes: duration, evidence, money, .. } =
        said.clone();
    let KindSaid { taken_by, dispatch, grab_minutes: grab, start_minutes: start, .. } = said.clone();
    let insert = Insert {
        county,
        id,
        name,
        description,
        state,
        form,
        skills,
        duration,
        evidence,
        money,
        taken_by,
        dispatch,
        grab,
        start,
        now,
    };
    insert.get_result(conn)
}

statement! {
    struct Update {
        county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, name: String as Text, description: Option<String> as Nullable<Text>,
        state: OrderKindState as Text, form: Option<Value> as Nullable<Jsonb>, skills: Vec<String> as Array<Text>, duration: i16 as SmallInt, evidence: Evidence as Text,
        money: bool as Bool, taken_by: Vec<HelperKind> as Array<Text>, dispatch: Dispatch as Text, grab: i16 as SmallInt, start: i16 as SmallInt, now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE order_kinds SET name = {name}, description = {description}, state = {state}, form = {form}, skills = {skills}, duration_minutes = {duration}, evidence = {evidence}, \
       money = {money}, taken_by = {taken_by}, dispatch = {dispatch}, grab_minutes = {grab}, start_minutes = {start}, version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND id = {id} AND version = {version} RETURNING *"
}

/// Replaces what is said of a kind; none when somebody was faster.
pub fn update(
    conn: &mut PgConnection,
    (county, id, version): (i32, Uuid, i64),
    said: &KindSaid,
    now: DateTime<Utc>,
) -> Result<Option<OrderKind>> {
    let KindSaid { name, description, state, form, skills, duration_minutes: duration, evidence, money, .. } =
        said.clone();
    let KindSaid { taken_by, dispatch, grab_minutes: grab, start_minutes: start, .. } = said.clone();
    let update = Update {
        county,
        id,
        version,
        name,
        description,
        state,
        form,
        skills,
        duration,
        evidence,
        money,
        taken_by,
        dispatch,
        grab,
        start,
        now,
    };
    found(update.get_result(conn))
}

statement! {
    struct Find { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT * FROM order_kinds WHERE county_id = {county} AND id = {id}"
}

pub fn find(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<OrderKind>> {
    found(Find { county, id }.get_result(conn))
}

statement! {
    struct List {
        county: i32 as Integer, state: Option<OrderKindState> as Nullable<Text>, after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    "SELECT * FROM order_kinds k WHERE k.county_id = {county} AND ({state}::text IS NULL OR k.state = {state}) AND (k.created_at, k.id) > ({after_at}, {after_id}) \
     ORDER BY k.created_at, k.id LIMIT {limit}"
}

/// Oldest first, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    county: i32,
    state: Option<OrderKindState>,
    after: After,
    limit: i64,
) -> QueryResult<Vec<OrderKind>> {
    let (after_at, after_id) = (after.at.max(DateTime::UNIX_EPOCH), after.id);
    List { county, state, after_at, after_id, limit: limit + 1 }.load(conn)
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

statement! {
    struct Count { county: i32 as Integer, state: Option<OrderKindState> as Nullable<Text> }
    "SELECT count(*) AS n FROM order_kinds k WHERE k.county_id = {county} AND ({state}::text IS NULL OR k.state = {state})"
}

pub fn count(conn: &mut PgConnection, county: i32, state: Option<OrderKindState>) -> QueryResult<i64> {
    Ok(Count { county, state }.get_result::<Counted>(conn)?.n)
}

statement! {
    struct Unknown { county: i32 as Integer, skills: Vec<String> as Array<Text> }
    "SELECT n.key FROM unnest({skills}::text[]) AS n (key) WHERE NOT EXISTS (SELECT FROM skills s WHERE s.county_id = {county} AND s.key = n.key AND s.state = 'active')"
}

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = Text)]
    key: String,
}

/// Those that are no skills of the county, or retired ones.
pub fn unknown_skills(conn: &mut PgConnection, county: i32, skills: &[String]) -> QueryResult<Vec<String>> {
    let unknown: Vec<Key> = Unknown { county, skills: skills.to_vec() }.load(conn)?;
    Ok(unknown.into_iter().map(|unknown| unknown.key).collect())
}
