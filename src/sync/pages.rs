//! What a page holds: of the snapshot, or of what has changed.

use std::collections::{HashMap, HashSet};

use diesel::PgConnection;
use uuid::Uuid;

use super::{
    cursor::Stage,
    feed::{Changed, Standing},
    routes::SyncItem,
};
use crate::{
    app::App,
    audit::{self, Audit},
    db::changes::Position,
    error::Result,
    rooms::{self, Kept, Phone, Synced},
};

/// Some items, and where the phone stands after them.
pub struct Read {
    pub items: Vec<SyncItem>,
    pub position: Position,
    pub stage: Stage,
    pub more: bool,
}

/// Reads things as they are now, and records which were shown plain.
fn kept(conn: &mut PgConnection, app: &App, phone: &Phone, kind: &Synced, ids: &[Uuid]) -> Result<HashMap<Uuid, Kept>> {
    let rows = (kind.kept)(conn, app, phone, ids)?;
    let looks = rows.iter().filter_map(|kept| kept.look.clone());
    let looks: Vec<_> = looks.map(|look| Audit { request_id: phone.request, ..look }).collect();
    audit::record_all(conn, &phone.caller, phone.now, &looks)?;
    Ok(rows.into_iter().map(|kept| (kept.id, kept)).collect())
}

/// The next page of the snapshot: kind after kind, by id.
pub fn snapshot(
    conn: &mut PgConnection,
    app: &App,
    phone: &Phone,
    (from, position): ((u8, Uuid), Position),
    limit: usize,
) -> Result<Read> {
    let mut items = Vec::new();
    let (first, mut after) = from;
    for (number, kind) in rooms::synced().enumerate().skip(usize::from(first)) {
        let room = limit - items.len();
        let ids = (kind.ids)(conn, phone, after, room as i64)?;
        let mut found = if ids.is_empty() { HashMap::new() } else { kept(conn, app, phone, kind, &ids)? };
        // What has gone since is in the changes that follow.
        let there = ids.iter().filter_map(|id| found.remove(id));
        items.extend(there.filter_map(|kept| SyncItem::there(kind.entity, kept)));
        if let Some(last) = ids.last().filter(|_| ids.len() == room) {
            let stage = Stage::Snapshot(number as u8, *last);
            return Ok(Read { items, position, stage, more: true });
        }
        after = Uuid::nil();
    }
    // What has changed meanwhile comes next.
    Ok(Read { items, position, stage: Stage::Changes, more: true })
}

/// What has changed: each thing once, as it is now; a tombstone for what the phone keeps no more.
pub fn changes(conn: &mut PgConnection, app: &App, phone: &Phone, changed: &[Changed]) -> Result<Vec<SyncItem>> {
    let mut items = Vec::new();
    for kind in rooms::synced() {
        let mut seen = HashSet::new();
        let ids = changed.iter().filter(|change| change.entity == kind.entity).map(|change| change.id);
        let ids: Vec<Uuid> = ids.filter(|id| seen.insert(*id)).collect();
        if ids.is_empty() {
            continue;
        }
        let mut found = kept(conn, app, phone, kind, &ids)?;
        items.extend(ids.into_iter().filter_map(|id| match found.remove(&id) {
            Some(kept) => SyncItem::there(kind.entity, kept),
            None => Some(SyncItem::gone(kind.entity, id)),
        }));
    }
    Ok(items)
}

/// Where the phone stands after these changes: with fewer than asked for, wherever the feed ends.
pub fn after(standing: &Standing, changed: &[Changed], limit: usize) -> (Position, bool) {
    match changed.last() {
        Some(last) if changed.len() == limit => (last.at, true),
        _ => (standing.now(), false),
    }
}
