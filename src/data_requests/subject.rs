//! What the room itself knows of a person.

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde_json::{Value, json};

use super::{
    model::{self, DataRequest, DataRequestKind, DataRequestState},
    store::{self, End},
};
use crate::{
    app::App,
    clock::CST,
    error::Result,
    rooms::{Merge, Person},
    todos,
};

/// More than anybody asks in a life.
const ALL: i64 = 10_000;

/// Every request, with what was asked and answered; the copies themselves are not copied again.
pub fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let local = |at: DateTime<Utc>| at.with_timezone(&CST);
    let mut requests = Vec::new();
    for row in store::list(conn, person.county, person.id, None, ALL)? {
        let open = |column, sealed: &Option<Vec<u8>>| {
            let open = |sealed: &Vec<u8>| app.keys.open_text(row.county_id, &model::place(column, row.id), sealed);
            sealed.as_ref().map(open).transpose()
        };
        requests.push(json!({
            "id": row.id, "kind": row.kind, "state": row.state, "words": open("words", &row.words)?,
            "reason": open("reason", &row.reason)?, "asked_by_staff": row.asked_by.is_some(), "asked_at": local(row.asked_at),
            "due_at": local(row.due_at), "ended_at": row.ended_at.map(local),
        }));
    }
    Ok(json!({ "requests": requests }))
}

/// What else waits is refused, copies go, words go; that there were requests stays, and the closing with its counts.
pub fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    for row in store::list(conn, person.county, person.id, None, ALL)? {
        let at = ((person.county, row.id), person.now);
        if DataRequestState::WAITING.contains(&row.state) && row.kind != DataRequestKind::Close {
            store::end(conn, at, End::new(DataRequestState::Refused))?;
        }
        store::expire_one(conn, at)?;
    }
    Ok(store::forget_words(conn, person.county, person.id)?)
}

/// Requests of a duplicate go to the record that stays. One that waits there already, or would close it, is not carried over.
pub fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let waits = |row: &DataRequest| DataRequestState::WAITING.contains(&row.state);
    let there = store::list(conn, merge.county, merge.into, None, ALL)?;
    let all = store::list(conn, merge.county, merge.from, None, ALL)?;
    for row in &all {
        let twice = there.iter().any(|other| waits(other) && other.kind == row.kind);
        if waits(row) && (twice || row.kind == DataRequestKind::Close) {
            store::end(conn, ((merge.county, row.id), merge.now), End::new(DataRequestState::Refused))?;
            todos::drop_about(conn, merge.county, todos::Kind::Decide, ("data_request", row.id), merge.now)?;
        }
        store::give_to(conn, (merge.county, row.id), merge.into)?;
    }
    Ok(all.len())
}
