//! Orders that phones of staff keep: those of the post's units that are not over, and what one holds; that plain, to find there without a network.

use chrono::NaiveDate;
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Date, Integer, Nullable, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    lists::no_money,
    model::Order,
    store::{columns, sides, today},
    views::OrderView,
};
use crate::{
    app::App,
    audit::Audit,
    error::Result,
    rooms::{Kept, Phone, Synced},
    statement,
};

pub const SYNCED: Synced = Synced { entity: "order", for_all: false, ids, kept };

statement! {
    pub struct Ids {
        county: i32 as Integer, staff: Uuid as SqlUuid, within: Option<Uuid> as Nullable<SqlUuid>, after: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    "SELECT x.id FROM (SELECT o.id FROM units_below({county}, {within}) t (id) JOIN orders o ON o.county_id = {county} AND o.unit_id = t.id \
         AND o.state = ANY (ARRAY['open', 'claimed', 'on_the_way', 'at_work', 'finished', 'disputed', 'expired']) AND o.id > {after} \
       UNION SELECT o.id FROM helpers h JOIN orders o ON o.county_id = {county} AND o.holder_id = h.id AND o.load_place IS NOT NULL AND o.id > {after} \
         WHERE h.county_id = {county} AND h.staff_id = {staff}) x ORDER BY x.id LIMIT {limit}"
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
    struct These {
        county: i32 as Integer, resident: Option<Uuid> as Nullable<SqlUuid>, staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>,
        ids: Vec<Uuid> as Array<SqlUuid>, today: NaiveDate as Date,
    }
    concat!(columns!(concat!(sides!(), no_money!())), "orders o LEFT JOIN helpers h ON h.county_id = o.county_id AND h.id = o.holder_id \
     WHERE o.county_id = {county} AND o.id = ANY ({ids}) AND o.state NOT IN ('confirmed', 'cancelled') \
       AND (coalesce(h.staff_id = {staff} AND o.load_place IS NOT NULL, false) OR coalesce(unit_within({county}, o.unit_id, {within}), false))")
}

fn kept(conn: &mut PgConnection, app: &App, phone: &Phone, ids: &[Uuid]) -> Result<Vec<Kept>> {
    let Phone { caller, lang, now, .. } = phone;
    let (county, staff, within, ids) = (caller.county, caller.staff(), caller.unit, ids.to_vec());
    let rows: Vec<Order> = These { county, resident: None, staff, within, ids, today: today(*now) }.load(conn)?;
    let kept = |row: Order| {
        let plain = OrderView::is_plain_for_holder(&row);
        let kept = Kept::new(row.id, row.version, &OrderView::shown(app, caller, *lang, &row, plain)?)?;
        let look = || Audit::new("read_order", "resident", row.resident_id).fields(vec!["name", "phone", "address"]);
        Ok(Kept { look: plain.then(look), ..kept })
    };
    rows.into_iter().map(kept).collect()
}
