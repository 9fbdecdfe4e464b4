//! The audit log: every look at personal data, append-only (the service role can insert and read, nothing else).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    db::schema::audit_log,
    http::{caller::Caller, way},
};

/// An entry of the audit log: who did what to whose data, and why.
#[derive(Clone, Debug)]
pub struct Audit {
    pub action: &'static str,
    pub entity_id: Uuid,
    pub fields: Vec<&'static str>,
    pub reason: Option<String>,
    pub request_id: Option<Uuid>,
}

impl Audit {
    /// Of the request being served; made before the database door, which has no request.
    pub fn new(action: &'static str, entity_id: Uuid, fields: Vec<&'static str>, reason: Option<String>) -> Self {
        Self { action, entity_id, fields, reason, request_id: way::request_id() }
    }
}

/// Writes an entry in the transaction of what it tells.
pub fn record(conn: &mut PgConnection, caller: &Caller, at: DateTime<Utc>, entry: &Audit) -> QueryResult<()> {
    diesel::insert_into(audit_log::table)
        .values((
            (audit_log::county_id.eq(caller.county), audit_log::id.eq(Uuid::now_v7()), audit_log::at.eq(at)),
            (audit_log::actor_id.eq(caller.subject), audit_log::actor_role.eq(caller.role)),
            (
                audit_log::action.eq(entry.action),
                audit_log::entity.eq("resident"),
                audit_log::entity_id.eq(entry.entity_id),
            ),
            (
                audit_log::fields.eq(&entry.fields),
                audit_log::reason.eq(&entry.reason),
                audit_log::request_id.eq(entry.request_id),
            ),
        ))
        .execute(conn)
        .map(drop)
}
