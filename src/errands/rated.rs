//! What can be rated of an errand: that it was decided and delivered, who was served and by whom.

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
    /// Whoever took a step has served, and whoever answers for it. What was archived without a decision came to nothing.
    struct ServedBy { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT e.resident_id, e.unit_id, \
       CASE WHEN e.state IN ('delivered', 'archived') AND e.decided_on IS NOT NULL THEN ( \
         SELECT min(l.at) FROM errand_ledger l WHERE l.county_id = e.county_id AND l.errand_id = e.id AND l.to_state = 'delivered') END AS finished_at, \
       ARRAY(SELECT s.id FROM staff s WHERE s.county_id = e.county_id AND s.id IN ( \
         SELECT l.actor_id FROM errand_ledger l WHERE l.county_id = e.county_id AND l.errand_id = e.id AND l.step <> 'call_back' \
         UNION ALL SELECT e.holder_id)) AS served_by \
     FROM errands e WHERE e.county_id = {county} AND e.id = {id} AND e.state <> 'draft'"
}

/// Who was served by an errand, and by whom.
pub fn served(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Served>> {
    let row: Option<Row> = found(ServedBy { county, id }.get_result(conn))?;
    Ok(row.map(|row| Served {
        resident: row.resident_id,
        unit: row.unit_id,
        by: row.served_by,
        finished_at: row.finished_at,
    }))
}
