//! Counting deadlines again when the calendar or the settings of the lamp have changed: many at a time, each batch a transaction of its own.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{
        Array, BigInt, Binary, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    acting::Frame,
    clock::Clock,
    ledger::{self, Entry, Facts},
    model::{ErrandState, Marks, Step},
    steps,
    store::marks,
};
use crate::{app::App, error::Result, statement};

/// Errands of one transaction.
const BATCH: i64 = 500;

statement! {
    struct Stale { county: i32 as Integer, last: Uuid as SqlUuid, digest: Vec<u8> as Binary, limit: i64 as BigInt }
    concat!("SELECT e.id, e.version, e.state, e.matter_id, e.matter_version, e.due_on, e.rung, e.entries, e.head, \
       ", marks!(), " \
     FROM errands e WHERE e.county_id = {county} AND e.due_on IS NOT NULL AND e.id > {last} AND e.calendar_digest IS DISTINCT FROM {digest} \
     ORDER BY e.id LIMIT {limit} FOR NO KEY UPDATE OF e")
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Text)]
    state: ErrandState,
    #[diesel(sql_type = SqlUuid)]
    matter_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    matter_version: i16,
    #[diesel(sql_type = Nullable<Date>)]
    due_on: Option<NaiveDate>,
    #[diesel(sql_type = SmallInt)]
    rung: i16,
    #[diesel(sql_type = Integer)]
    entries: i32,
    #[diesel(sql_type = Nullable<Binary>)]
    head: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    marks: Marks,
}

statement! {
    /// Writes what was counted, and an entry of the ledger where the day has moved.
    struct Recounted {
        county: i32 as Integer, ids: Vec<Uuid> as Array<SqlUuid>, versions: Vec<i64> as Array<BigInt>, due: Vec<Option<NaiveDate>> as Array<Nullable<Date>>,
        provisional: Vec<bool> as Array<Bool>, yellow: Vec<Option<NaiveDate>> as Array<Nullable<Date>>, red: Vec<Option<NaiveDate>> as Array<Nullable<Date>>,
        rungs: Vec<Option<NaiveDate>> as Array<Nullable<Date>>, seqs: Vec<i32> as Array<Integer>, states: Vec<&'static str> as Array<Text>,
        facts: Vec<Option<Value>> as Array<Nullable<Jsonb>>, previous: Vec<Vec<u8>> as Array<Binary>, hashes: Vec<Option<Vec<u8>>> as Array<Nullable<Binary>>,
        digest: Vec<u8> as Binary, now: DateTime<Utc> as Timestamptz,
    }
    "WITH counted AS (SELECT * FROM unnest({ids}, {versions}, {due}, {provisional}, {yellow}, {red}, {rungs}, {seqs}, {states}, {facts}, {previous}, {hashes}) \
         c (id, version, due_on, provisional, yellow_from, red_from, rung_on, seq, state, facts, previous, hash)), \
       moved AS (UPDATE errands e SET due_on = c.due_on, provisional = c.provisional, yellow_from = c.yellow_from, red_from = c.red_from, rung_on = c.rung_on, \
           calendar_digest = {digest}, entries = CASE WHEN c.hash IS NULL THEN e.entries ELSE c.seq END, head = coalesce(c.hash, e.head), \
           version = CASE WHEN c.hash IS NULL THEN e.version ELSE e.version + 1 END, updated_at = CASE WHEN c.hash IS NULL THEN e.updated_at ELSE {now} END \
         FROM counted c WHERE e.county_id = {county} AND e.id = c.id AND e.version = c.version RETURNING e.id), \
       told AS (INSERT INTO errand_ledger (county_id, errand_id, seq, at, step, from_state, to_state, facts, previous, hash) \
         SELECT {county}, c.id, c.seq, {now}, 'recount', c.state, c.state, c.facts, c.previous, c.hash FROM counted c JOIN moved m ON m.id = c.id WHERE c.hash IS NOT NULL) \
     SELECT FROM moved"
}

/// The entry of a deadline that has moved.
fn entry(county: i32, row: &Row, due_on: Option<NaiveDate>, frame: &Frame) -> Entry {
    let facts = Facts::from([
        ("on".to_owned(), json!(frame.today)),
        ("due_before".to_owned(), json!(row.due_on)),
        ("due_on".to_owned(), json!(due_on)),
    ]);
    let mut entry = Entry {
        seq: row.entries + 1,
        at: frame.now,
        step: Step::Recount,
        actor_id: None,
        actor_role: None,
        from_state: Some(row.state),
        to_state: row.state,
        facts: json!(facts),
        words_digest: None,
        previous: row.head.clone().unwrap_or_else(|| ledger::BEGINNING.to_vec()),
        hash: Vec::new(),
    };
    entry.hash = entry.digest(county, row.id).to_vec();
    entry
}

/// Counts a batch after the last one again; where the next one begins, if there is one.
fn batch(conn: &mut PgConnection, app: &App, (county, last): (i32, Uuid), frame: &Frame) -> Result<Option<Uuid>> {
    let digest = frame.basis();
    let rows: Vec<Row> = Stale { county, last, digest: digest.clone(), limit: BATCH }.load(conn)?;
    let mut all = Recounted {
        county,
        ids: Vec::new(),
        versions: Vec::new(),
        due: Vec::new(),
        provisional: Vec::new(),
        yellow: Vec::new(),
        red: Vec::new(),
        rungs: Vec::new(),
        seqs: Vec::new(),
        states: Vec::new(),
        facts: Vec::new(),
        previous: Vec::new(),
        hashes: Vec::new(),
        digest,
        now: frame.now,
    };
    for row in &rows {
        let version = app.versions.get(conn, (county, row.matter_id, row.matter_version))?;
        let Some(clock) = Clock::of(row.marks.0.iter().copied()) else { continue };
        let reading = clock.read(&frame.calendar, &frame.settings);
        let rung = version.ladder().get(row.rung as usize);
        let moved = reading.due_on != row.due_on;
        let entry = entry(county, row, reading.due_on, frame);
        all.ids.push(row.id);
        all.versions.push(row.version);
        all.due.push(reading.due_on);
        all.provisional.push(reading.provisional);
        all.yellow.push(reading.yellow_from);
        all.red.push(reading.red_from);
        all.rungs.push(rung.and_then(|rung| steps::rung_on(&reading, rung, &frame.calendar)));
        all.seqs.push(entry.seq);
        all.states.push(row.state.as_str());
        all.facts.push(moved.then_some(entry.facts));
        all.previous.push(entry.previous);
        all.hashes.push(moved.then_some(entry.hash));
    }
    let next = rows.last().map(|row| row.id).filter(|_| rows.len() as i64 == BATCH);
    all.execute(conn)?;
    Ok(next)
}

/// Counts every deadline of a county again that was counted by another calendar, or other settings of the lamp.
pub async fn county(app: &Arc<App>, county: i32) -> Result<()> {
    let frame = Frame::of_county(app, county).await?;
    let mut last = Some(Uuid::nil());
    while let Some(from) = last {
        let (frame, inner) = (frame.clone(), app.clone());
        last = app.db.write("recount_errands", move |conn| batch(conn, &inner, (county, from), &frame)).await?;
    }
    Ok(())
}
