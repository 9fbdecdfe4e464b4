//! Verifying the log: everything recomputed, batch by batch, from what the database holds.

use chrono::{DateTime, Months, Utc};
use diesel::prelude::*;

use super::seal::{Batch, Row, START, digest};
use crate::{
    app::App,
    crypto::Keyring,
    db::{
        Db,
        schema::{audit_batches, audit_log, counties},
    },
    error::Result,
};

/// Batches read at once; their entries are read one batch after the other.
const AHEAD: i64 = 100;

/// No county may keep its log for less: what counts as pruned must be older.
const LEAST_MONTHS: Months = Months::new(6);

/// What is wrong with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("an entry was changed")]
    Changed,
    #[error("entries are missing")]
    Missing,
    #[error("entries were added")]
    Added,
    #[error("the chain is broken: a batch before it is missing or was replaced")]
    Chain,
    #[error("the signature is wrong")]
    Signature,
    #[error("it is signed under key {0}, which the key ring lacks, and no later batch vouches for it")]
    KeyMissing(i16),
    #[error("it counts as pruned, though it is not old enough")]
    PrunedEarly,
}

/// What was found in one county.
#[derive(Clone, Debug, Default)]
pub struct CountyReport {
    pub key: String,
    /// Entries and batches that are right, up to the first fault.
    pub entries: i64,
    pub batches: i64,
    /// Entries and batches of which only the digests are left.
    pub pruned_entries: i64,
    pub pruned_batches: i64,
    /// Batches whose key is gone; a later batch with a good signature stands for them.
    pub vouched_for: i64,
    /// Entries that no batch holds yet.
    pub unsealed: i64,
    pub newest: Option<Vec<u8>>,
    /// The first batch that is wrong, and why.
    pub broken: Option<(i64, Fault)>,
    /// The batch that the anchor is the digest of.
    pub anchored: Option<i64>,
}

/// What was found in all.
#[derive(Clone, Debug)]
pub struct Report {
    pub counties: Vec<CountyReport>,
    /// Whether the anchor is in a chain, if one was given.
    pub anchor_found: Option<bool>,
}

impl Report {
    pub fn is_right(&self) -> bool {
        self.anchor_found != Some(false) && self.counties.iter().all(|county| county.broken.is_none())
    }
}

/// Verifies the log of one county, or of all. `anchor` is a digest that was noted earlier.
pub async fn verify(app: &App, county: Option<&str>, anchor: Option<&[u8]>) -> Result<Report> {
    let wanted = county.map(str::to_owned);
    let known = app.db.read("counties", move |conn| {
        let mut all = counties::table.order(counties::id).select((counties::id, counties::key)).into_boxed();
        if let Some(wanted) = &wanted {
            all = all.filter(counties::key.eq(wanted.clone()));
        }
        Ok(all.load::<(i32, String)>(conn)?)
    });
    let mut reports = Vec::new();
    for (county, key) in known.await? {
        let report = CountyReport { key, ..CountyReport::default() };
        reports.push(verify_county(app, county, anchor, report).await?);
    }
    let anchored = reports.iter().any(|report| report.anchored.is_some());
    Ok(Report { counties: reports, anchor_found: anchor.map(|_| anchored) })
}

async fn verify_county(
    app: &App,
    county: i32,
    anchor: Option<&[u8]>,
    mut report: CountyReport,
) -> Result<CountyReport> {
    let (mut last, mut previous) = (0, START.to_vec());
    // The first batch whose key is gone, until one with a good signature follows.
    let mut unsigned = None;
    'all: loop {
        let batches = app.db.read("audit_batches", move |conn| Ok(after(conn, county, last)?)).await?;
        if batches.is_empty() {
            break;
        }
        for batch in batches {
            if let Some(fault) = fault(app, &batch, last, &previous).await? {
                report.broken = Some((batch.id, fault));
                break 'all;
            }
            match signed(&app.keys, &batch) {
                Some(true) => unsigned = None,
                Some(false) => {
                    report.broken = Some((batch.id, Fault::Signature));
                    break 'all;
                }
                None => {
                    report.vouched_for += 1;
                    unsigned = unsigned.or(Some((batch.id, Fault::KeyMissing(batch.key_version))));
                }
            }
            if anchor == Some(batch.digest.as_slice()) {
                report.anchored = Some(batch.id);
            }
            report.count(&batch);
            (last, previous) = (batch.id, batch.digest);
        }
    }
    report.broken = report.broken.or(unsigned);
    report.newest = (last > 0).then_some(previous);
    report.unsealed = app.db.read("unsealed", move |conn| Ok(unsealed(conn, county)?)).await?;
    Ok(report)
}

impl CountyReport {
    fn count(&mut self, batch: &Batch) {
        let (entries, batches) = match batch.pruned_at {
            Some(_) => (&mut self.pruned_entries, &mut self.pruned_batches),
            None => (&mut self.entries, &mut self.batches),
        };
        *entries += batch.rows;
        *batches += 1;
    }
}

/// Whether the key that the batch names has signed it; none when the ring lacks it.
fn signed(keys: &Keyring, batch: &Batch) -> Option<bool> {
    let version = u8::try_from(batch.key_version).ok()?;
    keys.verify_with(version, "audit", &Batch::signed(&batch.digest, batch.sealed_at), &batch.signature)
}

/// What is wrong with a batch, signature apart.
async fn fault(app: &App, batch: &Batch, last: i64, previous: &[u8]) -> Result<Option<Fault>> {
    if batch.id != last + 1 || batch.previous != previous {
        return Ok(Some(Fault::Chain));
    }
    match contents(&app.db, batch).await? {
        None => Ok(None),
        // Pruned between reading the batch and reading its entries?
        Some(_) if pruned(&app.db, batch).await? => {
            Ok(pruned_early(batch, app.clock.now()).then_some(Fault::PrunedEarly))
        }
        fault => Ok(fault),
    }
}

/// Whether a batch is younger than any county may prune; when it was sealed is signed.
pub fn pruned_early(batch: &Batch, now: DateTime<Utc>) -> bool {
    now.checked_sub_months(LEAST_MONTHS).is_none_or(|oldest| batch.sealed_at > oldest)
}

async fn pruned(db: &Db, batch: &Batch) -> Result<bool> {
    let (county, id) = (batch.county_id, batch.id);
    let read = db.read("audit_batch", move |conn| {
        let batch = audit_batches::table.find((county, id)).select(audit_batches::pruned_at);
        let left = audit_log::table.filter(audit_log::county_id.eq(county)).filter(audit_log::batch_id.eq(id));
        let any: bool = diesel::select(diesel::dsl::exists(left)).get_result(conn)?;
        Ok(batch.first::<Option<DateTime<Utc>>>(conn)?.is_some() && !any)
    });
    read.await
}

/// Whether a batch holds what it was sealed with.
pub async fn contents(db: &Db, batch: &Batch) -> Result<Option<Fault>> {
    let (county, id, most) = (batch.county_id, batch.id, batch.rows + 1);
    let rows = db.read("audit_rows", move |conn| Ok(rows(conn, county, id, most)?)).await?;
    Ok(compared(batch, &rows))
}

/// [`contents`] of rows at hand.
pub fn compared(batch: &Batch, rows: &[Row]) -> Option<Fault> {
    match (rows.len() as i64).cmp(&batch.rows) {
        std::cmp::Ordering::Less => Some(Fault::Missing),
        std::cmp::Ordering::Greater => Some(Fault::Added),
        std::cmp::Ordering::Equal => {
            let same = digest(&batch.previous, batch.county_id, batch.id, rows) == batch.digest.as_slice();
            (!same).then_some(Fault::Changed)
        }
    }
}

/// The entries of a batch in the order in which they are hashed.
pub fn rows(conn: &mut PgConnection, county: i32, batch: i64, most: i64) -> QueryResult<Vec<Row>> {
    let of = audit_log::table.filter(audit_log::county_id.eq(county)).filter(audit_log::batch_id.eq(batch));
    of.order((audit_log::at, audit_log::id)).limit(most).select(Row::as_select()).load(conn)
}

/// The batches after one, in the order of the chain.
pub fn after(conn: &mut PgConnection, county: i32, last: i64) -> QueryResult<Vec<Batch>> {
    let here = audit_batches::table.filter(audit_batches::county_id.eq(county)).filter(audit_batches::id.gt(last));
    here.order(audit_batches::id).limit(AHEAD).select(Batch::as_select()).load(conn)
}

fn unsealed(conn: &mut PgConnection, county: i32) -> QueryResult<i64> {
    let here = audit_log::table.filter(audit_log::county_id.eq(county));
    here.filter(audit_log::batch_id.is_null()).count().get_result(conn)
}
