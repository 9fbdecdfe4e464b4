//! Retention: the owner deletes the entries of batches that a county has kept long enough; their digests stay in the chain.

use chrono::{DateTime, Months, Utc};
use diesel::prelude::*;

use super::{
    Actor, Audit, id_of, record,
    seal::Batch,
    verify::{Fault, after, compared, pruned_early, rows},
};
use crate::{
    app::App,
    db::{
        Db,
        schema::{audit_batches, audit_log, counties},
    },
    error::Result,
    settings::{self, Settings},
};

/// What was pruned in a county.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub key: String,
    pub months: i64,
    pub entries: i64,
    pub batches: i64,
    /// Nothing is deleted from a log that is not right; look at it with `audit verify` first.
    pub broken: Option<(i64, Fault)>,
}

/// Prunes every county's log by its own setting, through the owner's connection.
pub async fn prune(app: &App, owner: &Db) -> Result<Vec<Pruned>> {
    let known = owner.read("counties", |conn| {
        Ok(counties::table.order(counties::id).select((counties::id, counties::key)).load::<(i32, String)>(conn)?)
    });
    let mut all = Vec::new();
    for (county, key) in known.await? {
        all.push(prune_county(app, owner, county, key).await?);
    }
    Ok(all)
}

async fn prune_county(app: &App, owner: &Db, county: i32, key: String) -> Result<Pruned> {
    let now = app.clock.now();
    let settings = owner.read("settings", move |conn| Ok(Settings::at(&settings::load(conn, county)?, now))).await?;
    let months = settings.privacy_audit_months;
    let oldest = now.checked_sub_months(Months::new(months as u32)).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let mut pruned = Pruned { key, months, ..Pruned::default() };
    let mut last = 0;
    'all: loop {
        let batches = owner.read("audit_batches", move |conn| Ok(after(conn, county, last)?)).await?;
        if batches.is_empty() {
            break;
        }
        for batch in batches {
            last = batch.id;
            if batch.pruned_at.is_some() {
                continue;
            }
            // From the old end only: a chain without holes.
            if batch.last_at >= oldest || batch.sealed_at >= oldest || pruned_early(&batch, now) {
                break 'all;
            }
            let entries = batch.rows;
            let entry = Audit::new("prune", "audit_log", id_of("county", &pruned.key));
            let entry = entry.because(Some(format!("batch {last}, {entries} entries, kept for {months} months")));
            match owner.write("prune_audit", move |conn| cut(conn, &batch, now, &entry)).await? {
                Cut::Done => {
                    pruned.batches += 1;
                    pruned.entries += entries;
                }
                Cut::ByAnother => {}
                Cut::Broken(fault) => {
                    pruned.broken = Some((last, fault));
                    break 'all;
                }
            }
        }
    }
    Ok(pruned)
}

/// What became of a batch.
enum Cut {
    Done,
    /// Somebody else pruned it meanwhile.
    ByAnother,
    Broken(Fault),
}

/// Deletes the entries of a batch, if they are what was sealed, and marks it.
fn cut(conn: &mut PgConnection, batch: &Batch, now: DateTime<Utc>, entry: &Audit) -> Result<Cut> {
    let row = audit_batches::table.find((batch.county_id, batch.id)).select(audit_batches::pruned_at);
    if row.for_update().first::<Option<DateTime<Utc>>>(conn)?.is_some() {
        return Ok(Cut::ByAnother);
    }
    let held = rows(conn, batch.county_id, batch.id, batch.rows + 1)?;
    if let Some(fault) = compared(batch, &held) {
        return Ok(Cut::Broken(fault));
    }
    let of = audit_log::table.filter(audit_log::county_id.eq(batch.county_id));
    diesel::delete(of.filter(audit_log::batch_id.eq(batch.id))).execute(conn)?;
    diesel::update(audit_batches::table.find((batch.county_id, batch.id)))
        .set(audit_batches::pruned_at.eq(now))
        .execute(conn)?;
    record(conn, Actor::operator(batch.county_id), now, entry)?;
    Ok(Cut::Done)
}
