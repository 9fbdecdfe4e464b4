//! The audit log: every look at personal data and every administrative change, append-only.
//!
//! ```text
//! recorded ──seal (a pass every few minutes)──▶ in a batch ──prune (by the owner, when kept long enough)──▶ gone, its digest stays
//! ```
//! Entries are inserted unchained, so that nothing waits for anything; [`seal`] chains them in batches afterwards, [`verify`]
//! recomputes all of it. The service role can insert, read and put an entry into a batch once, nothing else.

pub mod prune;
pub mod routes;
pub mod seal;
mod store;
pub mod verify;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::{Builder, Uuid};

use crate::{
    crypto,
    db::schema::audit_log,
    http::{caller::Caller, way},
};

/// Who did it.
#[derive(Clone, Copy, Debug)]
pub struct Actor {
    pub county: i32,
    /// Resident or member of staff; nil for the service itself.
    pub id: Uuid,
    /// A role, `system` for jobs and sweeps, `operator` for the command line.
    pub role: &'static str,
}

impl Actor {
    /// A job or a sweep of the service itself.
    pub const fn system(county: i32) -> Self {
        Self { county, id: Uuid::nil(), role: "system" }
    }

    /// Somebody at the command line.
    pub const fn operator(county: i32) -> Self {
        Self { county, id: Uuid::nil(), role: "operator" }
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self { county: caller.county, id: caller.subject, role: caller.role.as_str() }
    }
}

/// An entry of the audit log: what was done, to what, and why.
#[derive(Clone, Debug)]
pub struct Audit {
    pub action: &'static str,
    pub entity: &'static str,
    pub entity_id: Uuid,
    pub fields: Vec<&'static str>,
    pub reason: Option<String>,
    pub request_id: Option<Uuid>,
}

impl Audit {
    /// Of the request being served; made before the database door, which has no request.
    pub fn new(action: &'static str, entity: &'static str, entity_id: Uuid) -> Self {
        Self { action, entity, entity_id, fields: Vec::new(), reason: None, request_id: way::request_id() }
    }

    /// Which fields were seen or changed.
    pub fn fields(self, fields: Vec<&'static str>) -> Self {
        Self { fields, ..self }
    }

    pub fn because(self, reason: Option<String>) -> Self {
        Self { reason, ..self }
    }

    /// The same about another thing.
    pub fn of(&self, entity_id: Uuid) -> Self {
        Self { entity_id, ..self.clone() }
    }
}

/// The id of something that has a name instead of one, such as a setting or a county: always the same for the same name
/// (UUIDv8 of a SHA-256, RFC 9562 appendix B.2).
pub fn id_of(entity: &str, name: &str) -> Uuid {
    let digest = crypto::digest(format!("{entity}/{name}").as_bytes());
    Builder::from_custom_bytes(*digest.first_chunk().expect("32 bytes hold 16")).into_uuid()
}

/// [`record`] of several, in one statement.
pub fn record_all(
    conn: &mut PgConnection,
    by: impl Into<Actor>,
    at: DateTime<Utc>,
    entries: &[Audit],
) -> QueryResult<()> {
    let by: Actor = by.into();
    let row = |entry: &Audit| {
        (
            (audit_log::county_id.eq(by.county), audit_log::id.eq(Uuid::now_v7()), audit_log::at.eq(at)),
            (audit_log::actor_id.eq(by.id), audit_log::actor_role.eq(by.role)),
            (
                audit_log::action.eq(entry.action),
                audit_log::entity.eq(entry.entity),
                audit_log::entity_id.eq(entry.entity_id),
            ),
            (
                audit_log::fields.eq(entry.fields.clone()),
                audit_log::reason.eq(entry.reason.clone()),
                audit_log::request_id.eq(entry.request_id),
            ),
        )
    };
    if entries.is_empty() {
        return Ok(());
    }
    diesel::insert_into(audit_log::table).values(entries.iter().map(row).collect::<Vec<_>>()).execute(conn).map(drop)
}

/// Writes an entry in the transaction of what it tells.
pub fn record(conn: &mut PgConnection, by: impl Into<Actor>, at: DateTime<Utc>, entry: &Audit) -> QueryResult<()> {
    let by: Actor = by.into();
    diesel::insert_into(audit_log::table)
        .values((
            (audit_log::county_id.eq(by.county), audit_log::id.eq(Uuid::now_v7()), audit_log::at.eq(at)),
            (audit_log::actor_id.eq(by.id), audit_log::actor_role.eq(by.role)),
            (
                audit_log::action.eq(entry.action),
                audit_log::entity.eq(entry.entity),
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
