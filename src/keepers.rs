//! Commands for those who keep an installation trustworthy: the audit log verified and pruned, master keys changed. They only
//! print what the library found.

use std::{io::Write, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use lianxin::{
    app::App,
    audit::{prune, verify},
    clock::CST,
    db::Db,
    rotation,
};
use secrecy::ExposeSecret;

use crate::Audit;

fn code(right: bool) -> ExitCode {
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub async fn audit(app: &Arc<App>, command: Audit) -> Result<ExitCode> {
    match command {
        Audit::Verify { county, anchor } => {
            if let Some(key) = &county {
                app.counties.find(app, key).await?.with_context(|| format!("there is no county {key}"))?;
            }
            let anchor = anchor.map(|text| hex::decode(text.trim()).context("the anchor is no digest in hexadecimal"));
            let report = verify::verify(app, county.as_deref(), anchor.transpose()?.as_deref()).await?;
            print_verified(&report);
            Ok(code(report.is_right()))
        }
        Audit::Prune => {
            let url = app.config.database_owner_url.as_ref();
            let url = url.context("DATABASE_OWNER_URL is not set: the service's role may not delete from the log")?;
            let pruned = prune::prune(app, &Db::new(url.expose_secret(), 1)).await?;
            for county in &pruned {
                let prune::Pruned { key, months, entries, batches, broken } = county;
                println!("{key}: {entries} entries of {batches} batches pruned, kept for {months} months");
                if let Some((batch, fault)) = broken {
                    println!("{key}: BROKEN batch {batch} is left as it is: {fault}");
                }
            }
            Ok(code(pruned.iter().all(|county| county.broken.is_none())))
        }
    }
}

fn print_verified(report: &verify::Report) {
    for county in &report.counties {
        let key = &county.key;
        println!("{key}: {} entries in {} batches are right", county.entries, county.batches);
        if county.pruned_batches > 0 {
            println!("{key}: {} entries in {} batches were pruned", county.pruned_entries, county.pruned_batches);
        }
        if county.vouched_for > 0 {
            println!("{key}: {} batches are signed under keys that the ring lacks", county.vouched_for);
        }
        println!("{key}: {} entries are not sealed yet", county.unsealed);
        if let Some(newest) = &county.newest {
            println!("{key}: newest digest {}", hex::encode(newest));
        }
        if let Some(batch) = county.anchored {
            println!("{key}: the anchor is batch {batch}");
        }
        if let Some((batch, fault)) = county.broken {
            println!("{key}: BROKEN batch {batch}: {fault}");
        }
    }
    if report.anchor_found == Some(false) {
        println!("BROKEN: the anchor is in no chain: what it stood for was removed or replaced");
    }
}

pub async fn reseal(app: &Arc<App>, batch: i64) -> Result<ExitCode> {
    let mut line = String::new();
    let done = rotation::reseal(app, batch, |progress| {
        let rotation::Progress { column, rows, resealed, overtaken } = progress;
        if !line.is_empty() && line != *column {
            println!();
        }
        line.clone_from(column);
        let overtaken = if *overtaken > 0 { format!(", {overtaken} written meanwhile") } else { String::new() };
        print!("\r{column}: {rows} rows, {resealed} sealed again{overtaken}");
        let _ = std::io::stdout().flush();
        true
    });
    let done = done.await?;
    println!();
    for stuck in &done.stuck {
        println!("NOT sealed again: {} of {} in county {}: {}", stuck.column, stuck.key, stuck.county, stuck.because);
    }
    key_status(app).await?;
    Ok(code(done.stuck.is_empty()))
}

pub async fn key_status(app: &Arc<App>) -> Result<()> {
    let status = rotation::status(app).await?;
    for (column, by_key) in &status.columns {
        let counts: Vec<_> = by_key.iter().map(|(key, count)| format!("{count} under key {key}")).collect();
        println!("{column}: {}", if counts.is_empty() { "none".to_owned() } else { counts.join(", ") });
    }
    for (column, values) in &status.bare {
        println!("{column}: {values} values are not found yet, for want of an index: run `lianxin keys reseal`");
    }
    for (key, counties) in &status.audit {
        println!("audit log: newest batch of {counties} counties under key {key}");
    }
    for (key, (count, until)) in &status.answers {
        let until = until.with_timezone(&CST).to_rfc3339();
        println!("answers that may be repeated: {count} under key {key}, the last until {until}");
    }
    println!("key {} seals", status.current);
    for key in status.ring.iter().copied().filter(|key| *key != status.current) {
        match (status.left_under(key), status.needed_until(key)) {
            (0, None) => println!("0 values left under key {key}: it may be removed"),
            (0, Some(until)) => {
                let until = until.with_timezone(&CST).to_rfc3339();
                println!(
                    "0 values left under key {key}: it may be removed after {until}, when the last answer has gone"
                );
            }
            (left, _) => println!("{left} values left under key {key}: it must stay; run `lianxin keys reseal`"),
        }
        println!(
            "  (without key {key}, sessions that were last refreshed before its successor came must log in again)"
        );
    }
    Ok(())
}
