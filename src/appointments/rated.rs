//! What can be rated of an appointment: that it is done, who was served and by whom.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Array, Integer, Nullable, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{db::found, error::Result, rooms::Served, statement};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    resident_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    unit_id: Uuid,
    #[diesel(sql_type = Array<SqlUuid>)]
    served_by: Vec<Uuid>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    finished_at: Option<DateTime<Utc>>,
}

statement! {
    /// Whoever called, served or finished it has served; a walk-in of whom nothing is known can rate nothing.
    struct ServedBy { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT a.resident_id, a.unit_id, CASE a.state WHEN 'done' THEN a.finished_at END AS finished_at, \
       ARRAY(SELECT DISTINCT e.actor_id FROM appointment_events e JOIN staff s ON s.county_id = e.county_id AND s.id = e.actor_id \
         WHERE e.county_id = a.county_id AND e.appointment_id = a.id AND e.to_state IN ('called', 'serving', 'done')) AS served_by \
     FROM appointments a WHERE a.county_id = {county} AND a.id = {id} AND a.resident_id IS NOT NULL"
}

/// Who was served by an appointment, and by whom.
pub fn served(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Served>> {
    let row: Option<Row> = found(ServedBy { county, id }.get_result(conn))?;
    Ok(row.map(|row| Served {
        resident: row.resident_id,
        unit: row.unit_id,
        by: row.served_by,
        finished_at: row.finished_at,
    }))
}
