//! Errands that phones of staff keep: those of the post's units that are not archived, what one answers for or is asked to take over, one's drafts.

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{lists::listed, model::Line, views::ErrandView};
use crate::{
    app::App,
    clock::local_date,
    error::Result,
    rooms::{Kept, Phone, Synced},
    statement,
};

pub const SYNCED: Synced = Synced { entity: "errand", for_all: false, ids, kept };

statement! {
    /// Each part by an index of its own.
    pub struct Ids {
        county: i32 as Integer, staff: Uuid as SqlUuid, within: Option<Uuid> as Nullable<SqlUuid>, after: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    "SELECT x.id FROM (SELECT k.id FROM units_below({county}, {within}) t (id) CROSS JOIN LATERAL (SELECT e.id FROM errands e WHERE e.county_id = {county} \
         AND e.unit_id = t.id AND e.state NOT IN ('draft', 'archived') AND e.id > {after} ORDER BY e.id LIMIT {limit}) k \
       UNION SELECT h.id FROM errands h WHERE h.county_id = {county} AND h.holder_id = {staff} AND h.state NOT IN ('draft', 'archived') AND h.id > {after} \
       UNION SELECT o.id FROM errands o WHERE o.county_id = {county} AND o.offered_to = {staff} AND o.state NOT IN ('draft', 'archived') AND o.id > {after} \
       UNION SELECT d.id FROM errands d WHERE d.county_id = {county} AND d.filed_by = {staff} AND d.state = 'draft' AND d.id > {after}) x ORDER BY x.id LIMIT {limit}"
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

fn ids(conn: &mut PgConnection, phone: &Phone, after: Uuid, limit: i64) -> Result<Vec<Uuid>> {
    let (county, staff, within) = (phone.caller.county, phone.caller.subject, phone.caller.unit);
    let rows: Vec<Id> = Ids { county, staff, within, after, limit }.load(conn)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

statement! {
    struct These { county: i32 as Integer, staff: Uuid as SqlUuid, within: Option<Uuid> as Nullable<SqlUuid>, ids: Vec<Uuid> as Array<SqlUuid> }
    concat!(listed!(), ", e.state = 'draft' AND e.filed_by IS DISTINCT FROM {staff} AS unseen FROM errands e WHERE e.county_id = {county} AND e.id = ANY ({ids}) \
       AND (e.state = 'draft' OR e.state <> 'archived' AND (e.holder_id = {staff} OR e.offered_to = {staff} OR unit_within({county}, e.unit_id, {within})))")
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(embed)]
    line: Line,
    /// Somebody else's draft, which nobody has seen yet.
    #[diesel(sql_type = Bool)]
    unseen: bool,
}

fn kept(conn: &mut PgConnection, app: &App, phone: &Phone, ids: &[Uuid]) -> Result<Vec<Kept>> {
    let (county, staff, within) = (phone.caller.county, phone.caller.subject, phone.caller.unit);
    let rows: Vec<Row> = These { county, staff, within, ids: ids.to_vec() }.load(conn)?;
    let today = local_date(phone.now);
    let kept = |Row { line, unseen }: Row| match unseen {
        true => Ok(Kept::unsaid(line.id)),
        false => Kept::new(line.id, line.version, &ErrandView::listed(app, &phone.caller, phone.lang, &line, today)?),
    };
    rows.into_iter().map(kept).collect()
}
