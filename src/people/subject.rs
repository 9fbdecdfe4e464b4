//! A resident as the subject of data: what is held of the record, what is let go, and closing it (个人信息保护法 art. 44–50).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    model::{self, IdNumber, PersonName, Phone, Resident},
    routes, store,
};
use crate::{
    app::App,
    clock::CST,
    db::{
        changes::{self, Change},
        found,
        schema::{audit_log, resident_merges, residents},
    },
    error::Result,
    http::caller::{Reach, Scope},
    rooms::Person,
    units::{self, store::unit_within},
};

/// What must be known of a record, open or closed, before something is done about it.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: Uuid,
    pub unit_id: Option<Uuid>,
    /// Whether the person has a phone to do things with.
    pub wechat: bool,
    pub closed_at: Option<DateTime<Utc>>,
}

type KnownRow = (Uuid, Option<Uuid>, Option<Vec<u8>>, Option<DateTime<Utc>>);

impl From<KnownRow> for Known {
    fn from((id, unit_id, wechat, closed_at): KnownRow) -> Self {
        Self { id, unit_id, wechat: wechat.is_some(), closed_at }
    }
}

/// The record with an id, or where it leads, within the scope, closed ones included.
pub fn known(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Option<Known>> {
    let id = store::merged_into(conn, scope.county, id)?.unwrap_or(id);
    let columns = (residents::id, residents::unit_id, residents::wechat_openid_index, residents::closed_at);
    let mut query = residents::table.find((scope.county, id)).select(columns).into_boxed();
    match scope.reach {
        Reach::Own(own) => query = query.filter(residents::id.eq(own)),
        Reach::Unit(unit) => query = query.filter(unit_within(scope.county, residents::unit_id, unit)),
        Reach::County => {}
    }
    Ok(found(query.first::<KnownRow>(conn))?.map(Known::from))
}

/// The open record with an id, or where it leads, locked until the transaction ends: against closing, and against others who lock it.
pub fn lock(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Known>> {
    let id = store::merged_into(conn, county, id)?.unwrap_or(id);
    let columns = (residents::id, residents::unit_id, residents::wechat_openid_index, residents::closed_at);
    let here = residents::merged_into.is_null().and(residents::closed_at.is_null());
    let open = residents::table.find((county, id)).filter(here).select(columns);
    Ok(found(open.for_update().first::<KnownRow>(conn))?.map(Known::from))
}

/// Removes the ID number: the consent that it was kept by has ended. Who the person is stays checked.
pub fn forget_id_number(conn: &mut PgConnection, county: i32, id: Uuid, now: DateTime<Utc>) -> Result<()> {
    let row = residents::table.find((county, id)).filter(residents::id_number.is_not_null());
    let none = None::<Vec<u8>>;
    let updated = diesel::update(row)
        .set((
            (residents::id_number.eq(&none), residents::id_number_index.eq(&none)),
            residents::id_number_claim.eq(&none),
            (residents::version.eq(residents::version + 1), residents::updated_at.eq(now)),
        ))
        .returning(Resident::as_returning())
        .get_result(conn);
    match found(updated)? {
        Some(row) => routes::record(conn, &row, None),
        None => Ok(()),
    }
}

/// Everything held of the record, plain, and who looked at it.
pub fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let (county, id) = (person.county, person.id);
    let Some(row) = store::find(conn, Scope { county, reach: Reach::County }, id)? else { return Ok(Value::Null) };
    let keys = &app.keys;
    let openid = row.wechat_openid.as_deref();
    let openid = openid.map(|sealed| keys.open_text(county, &model::place("wechat_openid", id), sealed)).transpose()?;
    let unit = row.unit_id.map(|unit| units::store::find(conn, county, unit)).transpose()?.flatten();
    Ok(json!({
        "record": {
            "id": id,
            "name": model::shown::<PersonName>(keys, county, id, row.name.as_deref(), false)?,
            "id_number": model::shown::<IdNumber>(keys, county, id, row.id_number.as_deref(), false)?,
            "phone": model::shown::<Phone>(keys, county, id, row.phone.as_deref(), false)?,
            "wechat_openid": openid,
            "unit": unit.map(|unit| unit.name),
            "identity_level": row.identity_level,
            "identity_seen": row.identity_seen,
            "created_at": row.created_at.with_timezone(&CST),
            "updated_at": row.updated_at.with_timezone(&CST),
            "version": row.version,
        },
        "audit": looked_at(conn, county, id)?,
    }))
}

/// Who looked at the record or changed it: action, time, role and reason.
fn looked_at(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<Vec<Value>> {
    type Row = (DateTime<Utc>, String, String, Vec<Option<String>>, Option<String>);
    let columns = (audit_log::at, audit_log::actor_role, audit_log::action, audit_log::fields, audit_log::reason);
    let about = audit_log::table.filter(audit_log::county_id.eq(county)).filter(audit_log::entity.eq("resident"));
    let ids = store::with_merged(conn, county, id)?;
    let about = about.filter(audit_log::entity_id.eq_any(ids)).order((audit_log::at, audit_log::id));
    let rows: Vec<Row> = about.select(columns).load(conn)?;
    let entry = |(at, role, action, fields, reason): Row| json!({"at": at.with_timezone(&CST), "role": role, "action": action, "fields": fields, "reason": reason});
    Ok(rows.into_iter().map(entry).collect())
}

/// Closes the record: everything personal goes, the row stays for what hangs on it. How many records: one, or none if it
/// is closed already.
pub fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let (county, id, now, none) = (person.county, person.id, person.now, None::<Vec<u8>>);
    let open = residents::table.find((county, id)).filter(residents::closed_at.is_null());
    let closed = diesel::update(open)
        .set((
            (residents::name.eq(&none), residents::name_index.eq(&none)),
            (residents::id_number.eq(&none), residents::id_number_index.eq(&none)),
            (residents::phone.eq(&none), residents::phone_index.eq(&none), residents::closed_at.eq(now)),
            (residents::wechat_openid.eq(&none), residents::wechat_openid_index.eq(&none)),
            residents::id_number_claim.eq(&none),
            (residents::version.eq(residents::version + 1), residents::updated_at.eq(now)),
        ))
        .returning(residents::unit_id)
        .get_result::<Option<Uuid>>(conn);
    let Some(unit_id) = found(closed)? else { return Ok(0) };
    // What vanished records said goes too; the audit log keeps that they were merged.
    let vanished = resident_merges::table.filter(resident_merges::county_id.eq(county));
    diesel::delete(vanished.filter(resident_merges::into_id.eq(id))).execute(conn)?;
    let (resident_id, staff_id) = (Some(id), None);
    let gone = Change { county, entity: "resident", entity_id: id, unit_id, resident_id, staff_id, gone: true };
    changes::record(conn, gone, now)?;
    Ok(1)
}
