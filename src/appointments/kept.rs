//! Appointments that phones of staff keep: what is booked at the centre of one's post or was booked by oneself, and is still to come or going on.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Integer, Nullable, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    model::{Appointment, AppointmentState},
    store::columns,
    views::AppointmentView,
};
use crate::{
    app::App,
    error::Result,
    rooms::{Kept, Phone, Synced},
    statement,
};

pub const SYNCED: Synced = Synced { entity: "appointment", for_all: false, ids, kept };

statement! {
    pub struct Ids {
        county: i32 as Integer, staff: Uuid as SqlUuid, unit: Option<Uuid> as Nullable<SqlUuid>, since: DateTime<Utc> as Timestamptz, after: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    "SELECT x.id FROM (SELECT a.id FROM appointments a WHERE a.county_id = {county} AND a.unit_id = {unit} AND a.starts_at > {since} \
         AND a.state IN ('booked', 'arrived', 'called', 'serving') AND a.id > {after} \
       UNION SELECT b.id FROM appointments b WHERE b.county_id = {county} AND b.booked_by = {staff} AND b.booked_by IS NOT NULL AND b.starts_at > {since} \
         AND b.state IN ('booked', 'arrived', 'called', 'serving') AND b.id > {after}) x ORDER BY x.id LIMIT {limit}"
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// What is older has ended by the evening of its day; it need not be looked through.
fn since(phone: &Phone) -> DateTime<Utc> {
    phone.now - TimeDelta::days(2)
}

fn ids(conn: &mut PgConnection, phone: &Phone, after: Uuid, limit: i64) -> Result<Vec<Uuid>> {
    let (county, staff, unit) = (phone.caller.county, phone.caller.subject, phone.caller.unit);
    let rows: Vec<Id> = Ids { county, staff, unit, since: since(phone), after, limit }.load(conn)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

statement! {
    struct These {
        county: i32 as Integer, staff: Uuid as SqlUuid, unit: Option<Uuid> as Nullable<SqlUuid>, since: DateTime<Utc> as Timestamptz, ids: Vec<Uuid> as Array<SqlUuid>,
    }
    concat!(columns!(), "WHERE a.county_id = {county} AND a.id = ANY ({ids}) AND a.starts_at > {since} \
       AND a.state IN ('held', 'booked', 'arrived', 'called', 'serving') AND (coalesce(a.unit_id = {unit}, false) OR coalesce(a.booked_by = {staff}, false))")
}

fn kept(conn: &mut PgConnection, app: &App, phone: &Phone, ids: &[Uuid]) -> Result<Vec<Kept>> {
    let (county, staff, unit) = (phone.caller.county, phone.caller.subject, phone.caller.unit);
    let rows: Vec<Appointment> = These { county, staff, unit, since: since(phone), ids: ids.to_vec() }.load(conn)?;
    let kept = |row: Appointment| match row.state {
        // A form that is being filled in, or an offer: nothing yet.
        AppointmentState::Held => Ok(Kept::unsaid(row.id)),
        _ => {
            let (id, version) = (row.id, row.version);
            Kept::new(id, version, &AppointmentView::new(app, &phone.caller, phone.lang, row)?)
        }
    };
    rows.into_iter().map(kept).collect()
}
