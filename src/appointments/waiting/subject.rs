//! What the waiting list has to say of a person: open, for themselves, merged, erased.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Integer, Text, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    model::{self, WaitingState, address_place},
    store::{self, Filter},
};
use crate::{
    app::App,
    clock::{CST, local_date},
    db::schema::waiting_entries,
    error::{Result, Text as Words},
    http::{
        caller::{Reach, Scope},
        page::After,
    },
    rooms::{Entry, Merge, Person},
    statement,
};

/// More than anybody waits for in a life.
const ALL: i64 = 100_000;

fn of(conn: &mut PgConnection, county: i32, resident: Uuid, now: DateTime<Utc>) -> QueryResult<Vec<model::Entry>> {
    let scope = Scope { county, reach: Reach::County };
    let filter = Filter { resident: Some(resident), unit: None, state: None, on: None };
    store::list(conn, scope, (resident, local_date(now)), filter, After::START, ALL)
}

fn open(entry: &model::Entry) -> bool {
    matches!(entry.state, WaitingState::Waiting | WaitingState::Offered)
}

/// What a resident waits for, or is offered.
pub fn open_for(conn: &mut PgConnection, person: Person) -> Result<Vec<Entry>> {
    let entries = of(conn, person.county, person.id, person.now)?.into_iter().filter(open);
    let entry = |row: model::Entry| Entry {
        entity: "waiting_entry",
        id: row.id,
        at: Some(row.earliest),
        until: Some(row.latest),
        state: row.state.as_str().to_owned(),
        title: Words::new(
            format!("候补：{}（{}）", row.matter_name, row.unit_name),
            format!("Waiting list: {} ({})", row.matter_name, row.unit_name),
        ),
        resident_id: Some(row.resident_id),
        holder_id: None,
    };
    Ok(entries.map(entry).collect())
}

/// Every entry, with the names of what it was about.
pub fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let local = |at: DateTime<Utc>| at.with_timezone(&CST);
    let view = |row: model::Entry| {
        let open = |sealed: &Vec<u8>| app.keys.open_text(person.county, &address_place(row.id), sealed);
        let address = row.address.as_ref().map(open).transpose()?;
        Ok(json!({
            "id": row.id, "state": row.state, "channel": row.channel, "place": row.place, "address": address,
            "matter": row.matter_name, "unit": row.unit_name, "earliest": local(row.earliest), "latest": local(row.latest),
            "booked_by_staff": row.booked_by.is_some(), "offered": row.starts_at.map(local), "created_at": local(row.created_at),
        }))
    };
    of(conn, person.county, person.id, person.now)?.into_iter().map(view).collect()
}

/// Nobody waits any more; where to come is forgotten, that somebody waited stays.
pub fn erase(conn: &mut PgConnection, person: Person) -> Result<usize> {
    let mut count = 0;
    for entry in of(conn, person.county, person.id, person.now)?.iter().filter(|entry| open(entry)) {
        store::leave(conn, entry, None, person.now)?;
        count += 1;
    }
    let here = waiting_entries::table.filter(waiting_entries::county_id.eq(person.county));
    let known = here.filter(waiting_entries::resident_id.eq(person.id)).filter(waiting_entries::address.is_not_null());
    count += diesel::update(known).set(waiting_entries::address.eq(None::<Vec<u8>>)).execute(conn)?;
    Ok(count)
}

statement! {
    /// Of two open entries of one matter and day the younger.
    struct Twice { county: i32 as Integer, from: Uuid as SqlUuid, into: Uuid as SqlUuid, waiting: WaitingState as Text, offered: WaitingState as Text }
    "SELECT CASE WHEN (a.created_at, a.id) < (b.created_at, b.id) THEN b.id ELSE a.id END AS id \
     FROM waiting_entries a JOIN waiting_entries b ON b.county_id = a.county_id AND b.matter_id = a.matter_id AND b.on_date = a.on_date \
     WHERE a.county_id = {county} AND a.resident_id = {from} AND b.resident_id = {into} \
       AND a.state IN ({waiting}, {offered}) AND b.state IN ({waiting}, {offered})"
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// A duplicate's entries go over. Of two for one matter and day the older stays, wherever it stands in the line.
pub fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let Merge { county, from, into, now } = *merge;
    let (waiting, offered) = (WaitingState::Waiting, WaitingState::Offered);
    let twice: Vec<Id> = Twice { county, from, into, waiting, offered }.load(conn)?;
    let scope = Scope { county, reach: Reach::County };
    for Id { id } in twice {
        if let Some(entry) = store::find(conn, scope, (into, local_date(now)), id)? {
            store::leave(conn, &entry, None, now)?;
        }
    }
    let here = || waiting_entries::table.filter(waiting_entries::county_id.eq(county));
    for entry in of(conn, county, from, now)? {
        store::tell_gone(conn, &entry, now)?;
        store::tell(conn, &model::Entry { resident_id: into, ..entry }, now)?;
    }
    let moved = diesel::update(here().filter(waiting_entries::resident_id.eq(from)))
        .set((waiting_entries::resident_id.eq(into), waiting_entries::version.eq(waiting_entries::version + 1)))
        .execute(conn)?;
    diesel::update(here().filter(waiting_entries::booked_by_resident.eq(from)))
        .set(waiting_entries::booked_by_resident.eq(into))
        .execute(conn)?;
    Ok(moved)
}
