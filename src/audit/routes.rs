//! The audit log over HTTP: all of it for the county, and for residents who looked at them. Looking is itself recorded.

use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, FixedOffset, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Audit, id_of, record,
    store::{self, Entry, Filter},
};
use crate::{
    app::App,
    clock::CST,
    error::{Code, Error, FieldError, Result, Text},
    http::{
        caller::{Caller, Can},
        page::{self, After, Page},
        permissions::{ReadAudit, ReadResidentAudit, Role},
        valid::{Id, Query},
    },
    people, text_enum, units,
};

text_enum! {
    /// Which end of a list comes first.
    pub enum AuditOrder {
        Newest = "newest",
        Oldest = "oldest",
    }
}

/// An entry of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e1", "at": "2026-11-23T09:12:00.000001+08:00",
    "actor_id": "0199a0c0-0000-7000-8000-0000000000a1", "actor_role": "village_cadre", "action": "reveal", "entity": "resident",
    "entity_id": "0199a0c0-0000-7000-8000-00000000000a", "fields": ["phone"], "reason": "电话通知取件",
    "request_id": "01994c5e-7f00-7000-8000-000000000000", "batch": 17}))]
pub struct AuditEntryView {
    pub id: Uuid,
    pub at: DateTime<FixedOffset>,
    /// Resident or member of staff; all zeros for the service itself and its operator.
    pub actor_id: Uuid,
    /// A role, `system` or `operator`.
    pub actor_role: String,
    pub action: String,
    pub entity: String,
    /// Settings and counties, which have names instead of ids, carry one made from the name.
    pub entity_id: Uuid,
    /// What was seen or changed, by name.
    pub fields: Vec<String>,
    pub reason: Option<String>,
    /// The `X-Request-Id` of the request.
    pub request_id: Option<Uuid>,
    /// The sealed batch that holds the entry; none for the first minutes.
    pub batch: Option<i64>,
}

impl From<Entry> for AuditEntryView {
    fn from(entry: Entry) -> Self {
        let Entry { id, at, actor_id, actor_role, action, entity, entity_id, fields, reason, request_id, batch_id } =
            entry;
        let (at, fields) = (at.with_timezone(&CST), fields.into_iter().flatten().collect());
        Self { id, at, actor_id, actor_role, action, entity, entity_id, fields, reason, request_id, batch: batch_id }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Only about this kind of thing.
    #[param(example = "resident")]
    entity: Option<String>,
    /// Only about this thing; needs `entity`.
    entity_id: Option<Uuid>,
    /// Only by this person.
    actor_id: Option<Uuid>,
    /// Only this action.
    #[param(example = "reveal")]
    action: Option<String>,
    /// From this time on.
    #[param(example = "2026-11-23T00:00:00+08:00")]
    from: Option<DateTime<FixedOffset>>,
    /// Before this time.
    #[param(example = "2026-11-24T00:00:00+08:00")]
    to: Option<DateTime<FixedOffset>>,
    /// Which end comes first.
    #[param(inline, example = "newest")]
    order: Option<AuditOrder>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before; it goes with the same order.
    cursor: Option<String>,
    /// Also count all of them; needs `entity_id`, `actor_id` or `from`, because a whole log takes long to count.
    #[param(default = false)]
    count: Option<bool>,
}

impl AuditQuery {
    /// The filter, and the names of what it is by.
    fn filter(self) -> Result<(Filter, Vec<&'static str>)> {
        let mut wrong = Vec::new();
        if self.entity_id.is_some() && self.entity.is_none() {
            let text = Text::fixed("查询 entity_id 时须指明 entity", "is needed with entity_id");
            wrong.push(FieldError::query("entity", "required", text));
        }
        if self.count == Some(true) && self.entity_id.is_none() && self.actor_id.is_none() && self.from.is_none() {
            let text =
                Text::fixed("计数时须指明 entity_id、actor_id 或 from", "to count, name entity_id, actor_id or from");
            wrong.push(FieldError::query("count", "too_many", text));
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && to <= from
        {
            wrong.push(FieldError::query("to", "range", Text::fixed("须晚于 from", "must be after from")));
        }
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        let by = [
            ("entity", self.entity.is_some()),
            ("entity_id", self.entity_id.is_some()),
            ("actor_id", self.actor_id.is_some()),
            ("action", self.action.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
        ];
        let by = by.into_iter().filter_map(|(name, used)| used.then_some(name)).collect();
        let utc = |at: DateTime<FixedOffset>| at.with_timezone(&Utc);
        let (from, to) = (self.from.map(utc), self.to.map(utc));
        let (entity, entity_id, actor_id, action) = (self.entity, self.entity_id, self.actor_id, self.action);
        let entity_ids = entity_id.into_iter().collect();
        Ok((Filter { entity, entity_ids, actor_id, action, from, to, ..Filter::default() }, by))
    }
}

/// Entries name no unit, so there is no part of the log for a township's supervisor.
fn of_the_county(conn: &mut PgConnection, caller: &Caller) -> Result<()> {
    if caller.role != Role::Supervisor {
        return Ok(());
    }
    let unit = units::store::find(conn, caller.county, caller.unit.ok_or(Code::Forbidden)?)?;
    if unit.is_some_and(|unit| unit.level == units::Level::County) {
        return Ok(());
    }
    Err(Error::new(Code::Forbidden).detail("须为县级督查岗位", "A supervisor's post of the county is needed"))
}

/// The place of an entry in a list.
fn place(entry: &Entry) -> After {
    After { at: entry.at, id: entry.id }
}

/// The county's audit log
///
/// Who looked at what and who changed what, newest first unless asked otherwise. For the administrator and supervisors of the
/// county: entries name no unit, so a township's supervisor has no part of it. What would tell the reader who rated them is left out. Looking
/// is itself recorded, once per request.
#[utoipa::path(tag = "audit", security(("token" = ["audit:read"])), params(AuditQuery),
    responses((status = 200, description = "A page of entries", body = Page<AuditEntryView>)))]
#[get("/v1/audit")]
pub async fn list_audit(caller: Can<ReadAudit>, app: Data<App>, query: Query<AuditQuery>) -> Result<HttpResponse> {
    let (limit, count) = (page::limit(query.0.limit)?, query.0.count.unwrap_or(false));
    let order = query.0.order.unwrap_or(AuditOrder::Newest);
    let list = format!("audit/{}", order.as_str());
    let after = page::after(&app.keys, &list, query.0.cursor.as_deref())?;
    let (filter, by) = query.0.filter()?;
    let (who, county, now) = (Caller::clone(&caller), caller.scope.county, app.clock.now());
    let about = filter.entity_ids.first().copied().unwrap_or_else(|| id_of("county", &caller.county_key));
    let look = Audit::new("read", "audit_log", about).fields(by);
    let (rows, total) = app
        .db
        .write("list_audit", move |conn| {
            of_the_county(conn, &who)?;
            let filter = Filter { reader: who.staff(), ..filter.clone() };
            let total = if count { Some(store::count(conn, county, &filter)?) } else { None };
            let rows = store::list(conn, county, &filter, order == AuditOrder::Newest, after, limit)?;
            record(conn, &who, now, &look)?;
            Ok((rows, total))
        })
        .await?;
    let page = page::cut(&app.keys, &list, rows, limit as usize, place, |entry| Ok(AuditEntryView::from(entry)))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// Somebody looked at a resident, or changed the record.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e1", "at": "2026-11-23T09:12:00.000001+08:00", "role": "village_cadre",
    "action": "reveal", "fields": ["phone"], "reason": "电话通知取件"}))]
pub struct ResidentLookView {
    pub id: Uuid,
    pub at: DateTime<FixedOffset>,
    /// In which role; `resident` is oneself.
    pub role: String,
    pub action: String,
    pub fields: Vec<String>,
    pub reason: Option<String>,
}

impl From<Entry> for ResidentLookView {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            at: entry.at.with_timezone(&CST),
            role: entry.actor_role,
            action: entry.action,
            fields: entry.fields.into_iter().flatten().collect(),
            reason: entry.reason,
        }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LooksQuery {
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// Who looks from above somebody who reads a resident's entries: whoever looks into a bad rating looks from above those who were rated, and
/// would tell them whose it is.
const fn above(reader: Role) -> &'static [Role] {
    match reader {
        Role::Specialist | Role::VillageCadre => &[Role::TownshipStaff, Role::Supervisor, Role::CountyAdmin],
        Role::TownshipStaff => &[Role::Supervisor, Role::CountyAdmin],
        Role::Resident | Role::DepartmentStaff | Role::Supervisor | Role::CountyAdmin => &[],
    }
}

/// Who looked at a resident
///
/// When, in which role, at what and why, newest first: for the resident everything; for staff within reach what their own level and those
/// below it looked at, and every change. Looking here is itself recorded, once per request.
#[utoipa::path(tag = "audit", security(("token" = ["residents:audit"])), params(("id" = Uuid, Path, description = "The resident"), LooksQuery),
    responses((status = 200, description = "A page of looks", body = Page<ResidentLookView>)))]
#[get("/v1/residents/{id}/audit")]
pub async fn list_resident_audit(
    caller: Can<ReadResidentAudit>,
    id: Id,
    app: Data<App>,
    query: Query<LooksQuery>,
) -> Result<HttpResponse> {
    let (limit, count) = (page::limit(query.0.limit)?, query.0.count.unwrap_or(false));
    let list = format!("audit/resident/{}", id.0);
    let after = page::after(&app.keys, &list, query.0.cursor.as_deref())?;
    let (who, scope, now) = (Caller::clone(&caller), caller.scope, app.clock.now());
    let look = Audit::new("read_audit", "resident", id.0);
    let (rows, total) = app
        .db
        .write("list_resident_audit", move |conn| {
            let row = people::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
            // Also by the ids of records that were merged into this one.
            let entity_ids = people::with_merged(conn, scope.county, row.id)?;
            let (entity, reader) = (Some("resident".to_owned()), who.staff());
            let filter = Filter { entity, entity_ids, reader, no_looks_of: above(who.role), ..Filter::default() };
            let total = if count { Some(store::count(conn, scope.county, &filter)?) } else { None };
            let rows = store::list(conn, scope.county, &filter, true, after, limit)?;
            record(conn, &who, now, &look.of(row.id))?;
            Ok((rows, total))
        })
        .await?;
    let page = page::cut(&app.keys, &list, rows, limit as usize, place, |entry| Ok(ResidentLookView::from(entry)))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}
