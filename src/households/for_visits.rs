//! Households that a phone met for the first time, written with the visits that name them.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, RunQueryDsl,
    sql_types::{Integer, Jsonb, Timestamptz, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{app::App, error::Result, geo::Point, people::PersonName, statement};

/// A household to be created on the spot.
#[derive(Clone, Debug)]
pub struct OnTheSpot {
    /// The phone's own id.
    pub id: Uuid,
    /// The village.
    pub unit: Uuid,
    /// What it is called.
    pub name: PersonName,
    pub address: Option<String>,
    pub home: Option<Point>,
}

statement! {
    struct Create { county: i32 as Integer, by: Uuid as SqlUuid, rows: Value as Jsonb, now: DateTime<Utc> as Timestamptz }
    "WITH said AS (SELECT * FROM jsonb_to_recordset({rows}) AS r (id uuid, unit uuid, name bytea, name_index bytea, address bytea, lng float8, lat float8, given_lng float8, given_lat float8, \
         coordinate_system text, point uuid)), \
       made AS (INSERT INTO households (county_id, id, unit_id, name, name_index, address, lng, lat, point_set_at, created_by, created_at, updated_at) \
         SELECT {county}, s.id, s.unit, s.name, s.name_index, s.address, s.lng, s.lat, CASE WHEN s.lng IS NOT NULL THEN {now} END, {by}, {now}, {now} FROM said s RETURNING id) \
     INSERT INTO household_points (county_id, id, household_id, source, lng, lat, given_lng, given_lat, coordinate_system, set_by, at) \
     SELECT {county}, s.point, s.id, 'created', s.lng, s.lat, s.given_lng, s.given_lat, s.coordinate_system, {by}, {now} FROM said s JOIN made m ON m.id = s.id WHERE s.lng IS NOT NULL"
}

/// Bytes as PostgreSQL reads them from JSON.
fn hex(bytes: &[u8]) -> String {
    format!("\\x{}", hex::encode(bytes))
}

/// Creates them all in one statement; nothing is asked if there are none.
pub fn create_on_the_spot(
    conn: &mut PgConnection,
    app: &App,
    (county, by): (i32, Uuid),
    new: &[OnTheSpot],
    now: DateTime<Utc>,
) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let row = |one: &OnTheSpot| {
        let seal = |column: &str, text: &str| {
            hex(&app.keys.seal(county, &format!("households.{column}/{}", one.id), text.as_bytes()))
        };
        let index = one.name.blind(&app.keys, county);
        let home = one.home.map(Point::to_wgs84);
        json!({"id": one.id, "unit": one.unit, "name": seal("name", one.name.as_ref()), "name_index": hex(&index),
            "address": one.address.as_ref().map(|address| seal("address", address)),
            "lng": home.map(|point| point.lng), "lat": home.map(|point| point.lat),
            "given_lng": one.home.map(|point| point.lng), "given_lat": one.home.map(|point| point.lat),
            "coordinate_system": one.home.map(|point| point.coordinate_system), "point": Uuid::now_v7()})
    };
    let rows = new.iter().map(row).collect();
    Create { county, by, rows, now }.execute(conn)?;
    Ok(())
}
