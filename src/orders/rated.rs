//! What can be rated of an order: that it was finished, who was served and by whom.

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
    /// Whoever held it served: as a helper, and as the member of staff or resident that they are. What was settled as not done came to nothing.
    struct ServedBy { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT o.resident_id, o.unit_id, CASE WHEN o.state IN ('finished', 'confirmed', 'disputed') THEN o.finished_at END AS finished_at, \
       ARRAY(SELECT DISTINCT w.id FROM helpers h CROSS JOIN LATERAL (VALUES (h.id), (h.staff_id), (h.resident_id)) w (id) \
         WHERE h.county_id = o.county_id AND h.id = o.holder_id AND w.id IS NOT NULL) AS served_by \
     FROM orders o WHERE o.county_id = {county} AND o.id = {id}"
}

/// Who was served by an order, and by whom.
pub fn served(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Served>> {
    let row: Option<Row> = found(ServedBy { county, id }.get_result(conn))?;
    Ok(row.map(|row| Served {
        resident: row.resident_id,
        unit: row.unit_id,
        by: row.served_by,
        finished_at: row.finished_at,
    }))
}
