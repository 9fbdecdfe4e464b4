//! Tidying up held places that were not booked in time. Nothing depends on it: a hold that has run out takes no place anyway.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Bool, Integer, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::notices;
use crate::{error::Result, statement};

/// Rows in one transaction.
const BATCH: i64 = 200;

statement! {
    struct Lapse { now: DateTime<Utc> as Timestamptz, limit: i64 as BigInt }
    "UPDATE appointments a SET state = 'lapsed', version = a.version + 1, updated_at = {now}, updated_by = NULL FROM ( \
       SELECT county_id, id FROM appointments WHERE state = 'held' AND held_until <= {now} ORDER BY held_until LIMIT {limit} FOR UPDATE SKIP LOCKED) late \
     WHERE a.county_id = late.county_id AND a.id = late.id RETURNING a.county_id, a.id, a.waiting_id IS NOT NULL AS offered"
}

#[derive(QueryableByName)]
struct Lapsed {
    #[diesel(sql_type = Integer)]
    county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Bool)]
    offered: bool,
}

/// Lapses what was held and not booked in time: while a form was filled in, or as an offer, whose entry lapses with it and whose
/// place goes to the next in line. True while there is more.
pub fn holds(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<bool> {
    let rows: Vec<Lapsed> = Lapse { now, limit: BATCH }.load(conn)?;
    for row in rows.iter().filter(|row| row.offered) {
        notices::withdraw(conn, row.county_id, row.id, now)?;
    }
    Ok(rows.len() == BATCH as usize)
}
