//! What ratings have to say where rooms meet: one record instead of two, a copy of one's data, erasure.

use diesel::{
    prelude::*,
    sql_types::{Integer, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{model::Rating, store, views::entry_view};
use crate::{
    app::App,
    clock::CST,
    db::schema::ratings,
    error::Result,
    rooms::{Merge, Person, Room, Sealed},
    statement,
};

pub const ROOM: Room = Room {
    merge: Some(merge),
    export: Some(export),
    erase: Some(erase),
    sealed: &[Sealed { table: "rating_entries", column: "words", index: None }],
    ..Room::new("ratings")
};

fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    store::moved(conn, merge)
}

fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let here = ratings::table.filter(ratings::county_id.eq(person.county));
    let of = here.filter(ratings::resident_id.eq(person.id)).order((ratings::created_at, ratings::id));
    let mut all = Vec::new();
    for row in of.select(Rating::as_select()).load(conn)? {
        let mut said = Vec::new();
        for entry in store::entries(conn, row.county_id, row.id)? {
            said.push(entry_view(app, row.county_id, entry)?);
        }
        all.push(json!({"id": row.id, "about_kind": row.about_kind, "about_id": row.about_id, "grade": row.grade, "said": said,
            "created_at": row.created_at.with_timezone(&CST)}));
    }
    Ok(Value::Array(all))
}

statement! {
    struct EraseWords { county: i32 as Integer, resident: Uuid as SqlUuid }
    "UPDATE rating_entries SET words = NULL WHERE county_id = {county} AND words IS NOT NULL \
       AND (given_by = {resident} OR rating_id IN (SELECT id FROM ratings WHERE county_id = {county} AND resident_id = {resident}))"
}

/// What was said is erased; that somebody was satisfied or not stays counted.
fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    Ok(EraseWords { county: person.county, resident: person.id }.execute(conn)?)
}
