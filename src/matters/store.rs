//! Matters in the database.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    db::{found, schema::matters},
    error::Result,
    http::page::After,
    people::IdentityLevel,
    text_enum,
};

text_enum! {
    /// Whether a matter is offered.
    pub enum MatterState {
        Active = "active",
        Withdrawn = "withdrawn",
    }
}

/// A matter as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = matters, check_for_backend(diesel::pg::Pg))]
pub struct Matter {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    pub state: MatterState,
    pub identity_level: IdentityLevel,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

pub fn find(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Matter>> {
    found(matters::table.find((county, id)).select(Matter::as_select()).first(conn))
}

/// The county's matters in order of creation, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    county: i32,
    state: Option<MatterState>,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Matter>> {
    let mut query = matters::table.filter(matters::county_id.eq(county)).select(Matter::as_select()).into_boxed();
    if let Some(state) = state {
        query = query.filter(matters::state.eq(state));
    }
    if let Some(after) = after {
        query = query.filter(matters::id.gt(after.id));
    }
    query.order(matters::id).limit(limit + 1).load(conn)
}

pub fn count(conn: &mut PgConnection, county: i32, state: Option<MatterState>) -> QueryResult<i64> {
    let mut query = matters::table.filter(matters::county_id.eq(county)).into_boxed();
    if let Some(state) = state {
        query = query.filter(matters::state.eq(state));
    }
    query.count().get_result(conn)
}

pub fn insert(
    conn: &mut PgConnection,
    county: i32,
    (name, description): (&str, Option<&str>),
    identity_level: IdentityLevel,
    now: DateTime<Utc>,
) -> QueryResult<Matter> {
    diesel::insert_into(matters::table)
        .values((
            (matters::county_id.eq(county), matters::id.eq(Uuid::now_v7())),
            (matters::name.eq(name), matters::description.eq(description), matters::identity_level.eq(identity_level)),
            (matters::created_at.eq(now), matters::updated_at.eq(now)),
        ))
        .returning(Matter::as_returning())
        .get_result(conn)
}

/// Writes a matter if the version is still `version`.
pub fn update(
    conn: &mut PgConnection,
    (county, id, version): (i32, Uuid, i64),
    (name, description, state, level): (&str, Option<&str>, MatterState, IdentityLevel),
    now: DateTime<Utc>,
) -> Result<Option<Matter>> {
    let row = matters::table.find((county, id)).filter(matters::version.eq(version));
    let set = (
        (matters::name.eq(name), matters::description.eq(description), matters::state.eq(state)),
        (matters::identity_level.eq(level), matters::version.eq(version + 1), matters::updated_at.eq(now)),
    );
    found(diesel::update(row).set(set).returning(Matter::as_returning()).get_result(conn))
}
