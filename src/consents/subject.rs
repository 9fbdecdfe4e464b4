//! What the ledger knows of a person, for themselves; and a duplicate's ledger.

use diesel::PgConnection;
use serde_json::{Value, json};

use super::store;
use crate::{
    app::App,
    clock::CST,
    error::Result,
    rooms::{Merge, Person},
};

/// Every answer with the words that it was given to.
pub fn export(conn: &mut PgConnection, _: &App, person: Person) -> Result<Value> {
    let mut answers = Vec::new();
    for entry in store::ledger(conn, person.county, person.id)? {
        let text = store::text(conn, person.county, entry.purpose, entry.version)?;
        let (zh, en) = text.map(|text| (text.zh, text.en)).unzip();
        answers.push(json!({
            "purpose": entry.purpose, "version": entry.version, "answer": entry.answer, "how": entry.how,
            "recorded_by_staff": entry.by_staff.is_some(), "at": entry.at.with_timezone(&CST), "text": {"zh": zh, "en": en},
        }));
    }
    Ok(json!({ "answers": answers }))
}

pub fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    Ok(store::copy(conn, merge.county, merge.from, merge.into)?)
}
