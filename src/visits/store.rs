//! Visits in the database, read.

use diesel::{
    PgConnection, QueryResult, RunQueryDsl,
    sql_types::{Bool, Integer, Nullable, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::model::Visit;
use crate::{
    db::found,
    error::Result,
    http::{
        caller::{Caller, Seen},
        permissions::ReadVisits,
    },
    statement,
};

/// The columns of a visit `v`, as whoever asks sees it.
macro_rules! columns {
    () => {
        "SELECT v.*, (SELECT u.name FROM units u WHERE u.county_id = v.county_id AND u.id = v.unit_id) AS unit_name, \
           (SELECT s.display_name FROM staff s WHERE s.county_id = v.county_id AND s.id = v.staff_id) AS staff_name, \
           (SELECT count(*) FROM visit_amendments a WHERE a.county_id = v.county_id AND a.visit_id = v.id) AS amendments, \
           (SELECT count(*) FROM visit_photos f WHERE f.county_id = v.county_id AND f.visit_id = v.id) AS photos_there, \
           (SELECT count(*) FROM visit_conflicts c WHERE c.county_id = v.county_id AND c.visit_id = v.id AND c.settled_at IS NULL) AS open_conflicts, \
           coalesce(v.staff_id = {staff}, false) AS own FROM "
    };
}
pub(super) use columns;

statement! {
    pub struct Find { county: i32 as Integer, id: Uuid as SqlUuid, staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, whole: bool as Bool }
    concat!(columns!(), "visits v WHERE v.county_id = {county} AND v.id = {id} \
       AND ({whole} OR coalesce(v.staff_id = {staff}, false) OR coalesce(unit_within({county}, v.unit_id, {within}), false))")
}

/// The visit with an id, if the caller may see it: whoever made it, staff of its unit and above it.
pub fn find(conn: &mut PgConnection, county: i32, seen: Seen, id: Uuid) -> Result<Option<Visit>> {
    let Seen { staff, within, whole, .. } = seen;
    found(Find { county, id, staff, within, whole }.get_result(conn))
}

/// Whoever sees the visit sees its files, by the rules of `GET /v1/visits/{id}`.
pub fn sees(conn: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<bool> {
    let Some(scope) = caller.scope_of::<ReadVisits>()? else { return Ok(false) };
    Ok(find(conn, caller.county, Seen::by(caller, scope), id)?.is_some())
}

statement! {
    struct Lock { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT v.id FROM visits v WHERE v.county_id = {county} AND v.id = {id} FOR NO KEY UPDATE"
}

statement! {
    struct LockHome { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT h.id FROM households h WHERE h.county_id = {county} AND h.id = (SELECT coalesce(g.merged_into, g.id) FROM visits v \
       JOIN households g ON g.county_id = v.county_id AND g.id = v.household_id WHERE v.county_id = {county} AND v.id = {id}) FOR NO KEY UPDATE"
}

/// Nobody else amends or settles it meanwhile. The household first, whose tasks may follow: as check-ins and withdrawn consents do.
pub fn lock(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<usize> {
    LockHome { county, id }.execute(conn)?;
    Lock { county, id }.execute(conn)
}
