//! Todos that phones of staff keep: those of the post's units and those that one holds, while they wait.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{model::Todo, routes::TodoView, store::waiting};
use crate::{
    app::App,
    db::schema::todos,
    error::Result,
    rooms::{Kept, Phone, Synced},
    statement,
    units::store::unit_within,
};

pub const SYNCED: Synced = Synced { entity: "todo", for_all: false, ids, kept };

statement! {
    pub struct Ids {
        county: i32 as Integer, staff: Uuid as SqlUuid, within: Option<Uuid> as Nullable<SqlUuid>, after: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    "SELECT x.id FROM (SELECT k.id FROM units_below({county}, {within}) t (id) CROSS JOIN LATERAL (SELECT o.id FROM todos o WHERE o.county_id = {county} \
         AND o.unit_id = t.id AND o.unit_id IS NOT NULL AND o.state IN ('open', 'taken') AND o.id > {after} AND NOT o.hidden_from @> ARRAY[{staff}] \
         ORDER BY o.id LIMIT {limit}) k \
       UNION SELECT h.id FROM todos h WHERE h.county_id = {county} AND h.holder_id = {staff} AND h.state IN ('open', 'taken') AND h.id > {after} \
         AND NOT h.hidden_from @> ARRAY[{staff}]) x ORDER BY x.id LIMIT {limit}"
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

fn kept(conn: &mut PgConnection, app: &App, phone: &Phone, ids: &[Uuid]) -> Result<Vec<Kept>> {
    let (county, me) = (phone.caller.county, phone.caller.subject);
    let these = todos::table.filter(todos::county_id.eq(county)).filter(todos::id.eq_any(ids));
    // Nothing is ever said of what is about oneself: that there is such a thing would say it.
    let hidden = || todos::hidden_from.contains(vec![Some(me)]);
    let held = todos::holder_id.is_not_distinct_from(me);
    let rows: Vec<(Todo, bool)> = match phone.caller.unit {
        Some(unit) => {
            let of = unit_within(county, todos::unit_id, unit).or(held);
            these.filter(hidden().or(waiting().and(of))).select((Todo::as_select(), hidden())).load(conn)?
        }
        None => these.filter(hidden().or(waiting().and(held))).select((Todo::as_select(), hidden())).load(conn)?,
    };
    let kept = |(todo, hidden): (Todo, bool)| match hidden {
        true => Ok(Kept::unsaid(todo.id)),
        false => Kept::new(todo.id, todo.version, &TodoView::new(app, phone.lang, &todo)?),
    };
    rows.into_iter().map(kept).collect()
}
