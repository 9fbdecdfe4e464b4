//! Matters in the database.

use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    prelude::*,
    sql_types::{Array, Nullable, Text},
};
use uuid::Uuid;

use crate::{
    db::{found, schema::matters},
    error::Result,
    http::page::After,
    people::IdentityLevel,
    text_enum,
    windows::Place,
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
    /// Consecutive slots that an appointment takes.
    pub slots: i16,
    #[diesel(deserialize_as = StoredPlaces)]
    pub places: Vec<Place>,
    /// Kept free before and after an appointment at home.
    pub travel_minutes: i16,
    /// Only the specialist (特派员) of the unit where the resident lives does it.
    pub own_specialist: bool,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// PostgreSQL cannot say that the elements of an array are not null; the CHECK of the column does.
pub struct StoredPlaces(Vec<Place>);

impl Queryable<Array<Nullable<Text>>, Pg> for StoredPlaces {
    type Row = Vec<Option<Place>>;

    fn build(row: Self::Row) -> diesel::deserialize::Result<Self> {
        Ok(Self(row.into_iter().flatten().collect()))
    }
}

impl From<StoredPlaces> for Vec<Place> {
    fn from(stored: StoredPlaces) -> Self {
        stored.0
    }
}

/// What a matter says, to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub name: String,
    pub description: Option<String>,
    pub identity_level: IdentityLevel,
    pub slots: i16,
    pub places: Vec<Place>,
    pub travel_minutes: i16,
    pub own_specialist: bool,
}

impl Said {
    /// With everything else as it is by default: one slot at the centre, whoever comes.
    pub fn new(name: impl Into<String>, description: Option<String>) -> Self {
        Self {
            name: name.into(),
            description,
            identity_level: IdentityLevel::None,
            slots: 1,
            places: vec![Place::Centre],
            travel_minutes: 30,
            own_specialist: false,
        }
    }
}

impl From<&Matter> for Said {
    fn from(matter: &Matter) -> Self {
        let Matter { name, description, identity_level, slots, places, travel_minutes, own_specialist, .. } =
            matter.clone();
        Self { name, description, identity_level, slots, places, travel_minutes, own_specialist }
    }
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

pub fn insert(conn: &mut PgConnection, county: i32, said: &Said, now: DateTime<Utc>) -> QueryResult<Matter> {
    diesel::insert_into(matters::table)
        .values((
            (matters::county_id.eq(county), matters::id.eq(Uuid::now_v7())),
            (matters::name.eq(&said.name), matters::description.eq(&said.description)),
            (matters::identity_level.eq(said.identity_level), matters::slots.eq(said.slots)),
            (matters::places.eq(&said.places), matters::travel_minutes.eq(said.travel_minutes)),
            matters::own_specialist.eq(said.own_specialist),
            (matters::created_at.eq(now), matters::updated_at.eq(now)),
        ))
        .returning(Matter::as_returning())
        .get_result(conn)
}

/// Writes a matter if the version is still `version`.
pub fn update(
    conn: &mut PgConnection,
    (county, id, version): (i32, Uuid, i64),
    (said, state): (&Said, MatterState),
    now: DateTime<Utc>,
) -> Result<Option<Matter>> {
    let row = matters::table.find((county, id)).filter(matters::version.eq(version));
    let set = (
        (matters::name.eq(&said.name), matters::description.eq(&said.description), matters::state.eq(state)),
        (matters::identity_level.eq(said.identity_level), matters::slots.eq(said.slots)),
        (matters::places.eq(&said.places), matters::travel_minutes.eq(said.travel_minutes)),
        matters::own_specialist.eq(said.own_specialist),
        (matters::version.eq(version + 1), matters::updated_at.eq(now)),
    );
    found(diesel::update(row).set(set).returning(Matter::as_returning()).get_result(conn))
}
