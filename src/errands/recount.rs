//! Counting deadlines again when the calendar or the settings of the lamp have changed: many at a time, each batch a transaction of its own.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{
        Array, BigInt, Binary, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use futures_util::{StreamExt, TryStreamExt, stream};
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
/// Transactions at a time: while one waits for the database, another counts.
const LANES: usize = 2;

statement! {
    /// Where each batch begins.
    struct Starts { county: i32 as Integer, digest: Vec<u8> as Binary, batch: i64 as BigInt }
    "SELECT s.id FROM (SELECT e.id, row_number() OVER (ORDER BY e.id) AS n FROM errands e \
       WHERE e.county_id = {county} AND e.due_on IS NOT NULL AND e.calendar_digest IS DISTINCT FROM {digest}) s \
     WHERE s.n % {batch} = 1 ORDER BY s.id"
}

#[derive(QueryableByName)]
struct Start {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

statement! {
    /// The errands of a batch, from one to before the next one's first.
    struct Stale { county: i32 as Integer, from: Uuid as SqlUuid, until: Uuid as SqlUuid, digest: Vec<u8> as Binary }
    concat!("SELECT e.id, e.version, e.state, e.matter_id, e.matter_version, e.due_on, e.rung, e.entries, e.head, \
       ", marks!(), " \
     FROM errands e WHERE e.county_id = {county} AND e.due_on IS NOT NULL AND e.id >= {from} AND e.id < {until} AND e.calendar_digest IS DISTINCT FROM {digest} \
     ORDER BY e.id FOR NO KEY UPDATE OF e")
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

/// Counts a batch again.
fn batch(conn: &mut PgConnection, app: &App, (county, from, until): (i32, Uuid, Uuid), frame: &Frame) -> Result<()> {
    let digest = frame.basis();
    let rows: Vec<Row> = Stale { county, from, until, digest: digest.clone() }.load(conn)?;
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
    all.execute(conn)?;
    Ok(())
}

/// Counts every deadline of a county again that was counted by another calendar, or other settings of the lamp.
pub async fn county(app: &Arc<App>, county: i32) -> Result<()> {
    let frame = Frame::of_county(app, county).await?;
    let inner = frame.clone();
    let starts = app
        .db
        .read("stale_errands", move |conn| Ok(Starts { county, digest: inner.basis(), batch: BATCH }.load(conn)?));
    let starts: Vec<_> = starts.await?.into_iter().map(|start: Start| start.id).collect();
    // The last one takes in what was filed meanwhile.
    let ends = starts.iter().skip(1).copied().chain([Uuid::max()]);
    let batches = starts.iter().copied().zip(ends).map(|(from, until)| {
        let (frame, inner) = (frame.clone(), app.clone());
        app.db.write("recount_errands", move |conn| batch(conn, &inner, (county, from, until), &frame))
    });
    stream::iter(batches).buffer_unordered(LANES).try_collect().await
}
