//! Reading the audit log.

use chrono::{DateTime, Utc};
use diesel::{
    define_sql_function,
    dsl::not,
    pg::Pg,
    prelude::*,
    sql_types::{Integer, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    db::schema::audit_log,
    http::{page::After, permissions::Role},
};

/// An entry as it is shown.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = audit_log, check_for_backend(diesel::pg::Pg))]
pub struct Entry {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub actor_id: Uuid,
    pub actor_role: String,
    pub action: String,
    pub entity: String,
    pub entity_id: Uuid,
    pub fields: Vec<Option<String>>,
    pub reason: Option<String>,
    pub request_id: Option<Uuid>,
    pub batch_id: Option<i64>,
}

/// Which entries; what is left out does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub entity: Option<String>,
    /// Any, where none is named.
    pub entity_ids: Vec<Uuid>,
    pub actor_id: Option<Uuid>,
    pub action: Option<String>,
    /// From this instant on.
    pub from: Option<DateTime<Utc>>,
    /// Before this instant.
    pub to: Option<DateTime<Utc>>,
    /// Whoever reads it, if they are staff: what would tell them who rated them is left out.
    pub reader: Option<Uuid>,
    /// Looks in these roles are left out.
    pub no_looks_of: &'static [Role],
}

/// What of a resident is a look, and changes nothing.
const LOOKS: &[&str] =
    &["reveal", "read", "lookup", "open", "read_audit", "read_order", "reveal_order", "list_messages"];

define_sql_function! {
    /// Defined once, in the database.
    fn tells_the_rated(county: Integer, reader: SqlUuid, about: Text, about_id: SqlUuid, what: Text, actor: SqlUuid, at: Timestamptz) -> Bool;
}

fn filtered<'a>(county: i32, filter: &Filter) -> audit_log::BoxedQuery<'a, Pg> {
    let mut query = audit_log::table.filter(audit_log::county_id.eq(county)).into_boxed();
    let filter = filter.clone();
    if let Some(entity) = filter.entity {
        query = query.filter(audit_log::entity.eq(entity));
    }
    if !filter.entity_ids.is_empty() {
        query = query.filter(audit_log::entity_id.eq_any(filter.entity_ids.clone()));
    }
    if let Some(actor) = filter.actor_id {
        query = query.filter(audit_log::actor_id.eq(actor));
    }
    if let Some(action) = filter.action {
        query = query.filter(audit_log::action.eq(action));
    }
    if let Some(from) = filter.from {
        query = query.filter(audit_log::at.ge(from));
    }
    if let Some(to) = filter.to {
        query = query.filter(audit_log::at.lt(to));
    }
    if let Some(reader) = filter.reader {
        let (about, what) = ((audit_log::entity, audit_log::entity_id), (audit_log::action, audit_log::actor_id));
        query = query.filter(not(tells_the_rated(county, reader, about.0, about.1, what.0, what.1, audit_log::at)));
    }
    if !filter.no_looks_of.is_empty() {
        let roles = filter.no_looks_of.iter().map(|role| role.as_str());
        let by_them = audit_log::actor_role.eq_any(roles.collect::<Vec<_>>());
        query = query.filter(not(by_them.and(audit_log::action.eq_any(LOOKS))));
    }
    query
}

/// Entries in order of time, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    county: i32,
    filter: &Filter,
    newest_first: bool,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Entry>> {
    let mut query = filtered(county, filter);
    if let Some(After { at, id }) = after {
        let same = audit_log::at.eq(at);
        query = match newest_first {
            true => query.filter(audit_log::at.lt(at).or(same.and(audit_log::id.lt(id)))).filter(audit_log::at.le(at)),
            false => query.filter(audit_log::at.gt(at).or(same.and(audit_log::id.gt(id)))).filter(audit_log::at.ge(at)),
        };
    }
    let query = match newest_first {
        true => query.order((audit_log::at.desc(), audit_log::id.desc())),
        false => query.order((audit_log::at.asc(), audit_log::id.asc())),
    };
    query.limit(limit + 1).select(Entry::as_select()).load(conn)
}

pub fn count(conn: &mut PgConnection, county: i32, filter: &Filter) -> QueryResult<i64> {
    filtered(county, filter).count().get_result(conn)
}
