//! `lianxin import calendar FILE`: replaces the years that the file holds, all or nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use diesel::PgConnection;
use serde::Deserialize;

use super::{
    jobs::{DaysHaveChanged, READ_EVERYWHERE},
    model::{Calendar, Day, DayKind},
    store,
};
use crate::{
    app::App,
    clock::local_date,
    error::Result,
    import::{BadRows, Imported, rows},
    jobs, units,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    date: String,
    kind: String,
    name: String,
}

/// Reads a file with the columns `date,kind,name`; every bad row is reported with its line.
pub fn parse(file: &[u8]) -> Result<Vec<Day>, BadRows> {
    let mut bad = BadRows::default();
    let mut seen: BTreeMap<NaiveDate, u64> = BTreeMap::new();
    let mut days = Vec::new();
    for (line, row) in rows::<Row>(file, &["date", "kind", "name"], &mut bad) {
        let date = row.date.parse::<NaiveDate>().ok().filter(|_| row.date.len() == 10);
        let kind = row.kind.parse::<DayKind>();
        if date.is_none() {
            bad.add(line, format!("date {:?} is not a day, YYYY-MM-DD", row.date));
        }
        if let Err(why) = &kind {
            bad.add(line, format!("kind {why}"));
        }
        if row.name.trim().is_empty() {
            bad.add(line, "name is empty");
        }
        if let (Some(date), Ok(kind)) = (date, kind) {
            match seen.insert(date, line) {
                Some(first) => bad.add(line, format!("{date} is already on line {first}")),
                None => days.push(Day { date, kind, name: row.name.trim().to_owned() }),
            }
        }
    }
    bad.into_result(days)
}

/// Orders that every county looks at what it has arranged for the days to come that work no more, or again.
fn tell(conn: &mut PgConnection, (old, new): (&Calendar, &Calendar), now: DateTime<Utc>) -> Result<()> {
    let today = local_date(now);
    let named: BTreeSet<_> = old.days.keys().chain(new.days.keys()).copied().collect();
    let changed = named.into_iter().filter(|day| *day >= today && old.works(*day) != new.works(*day));
    let days: Vec<NaiveDate> = changed.collect();
    if days.is_empty() {
        return Ok(());
    }
    let job = DaysHaveChanged { days };
    for county in units::every_county(conn)? {
        jobs::push(conn, county, &job, now + READ_EVERYWHERE)?;
    }
    Ok(())
}

/// Imports; with `dry_run` only says what would change. A year's notice may name a few days of the year before or after: a file
/// that would *remove* days is refused unless that is meant. Bookings on days that it closes are a todo of their centre a minute later.
pub async fn import(app: &App, file: &[u8], dry_run: bool, allow_removal: bool) -> anyhow::Result<Imported> {
    let days = parse(file)?;
    let now = app.clock.now();
    let imported = app
        .db
        .write("import_calendar", move |conn| {
            let (old, new) = (store::load(conn)?, Calendar::new(days.clone()));
            let mut counts = Imported::default();
            for (date, what) in &new.days {
                match old.days.get(date) {
                    None => counts.created += 1,
                    Some(known) if known != what => counts.changed += 1,
                    Some(_) => counts.unchanged += 1,
                }
            }
            let years: BTreeSet<i32> = new.days.keys().map(Datelike::year).collect();
            let gone = old.days.keys().filter(|date| years.contains(&date.year()) && !new.days.contains_key(date));
            counts.removed = gone.count();
            let meant = counts.removed == 0 || allow_removal;
            if !dry_run && counts.differs() && meant {
                store::replace(conn, &days)?;
                let all = store::load(conn)?;
                tell(conn, (&old, &all), now)?;
            }
            Ok(counts)
        })
        .await?;
    app.calendar.forget();
    ensure!(
        imported.removed == 0 || allow_removal || dry_run,
        "nothing was imported: {} days of the file's years are not in the file; add them, or allow their removal with --allow-removal",
        imported.removed
    );
    Ok(imported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_row_is_named_with_its_line() {
        let file = "date,kind,name\n2026-02-30,holiday,春节\n2026-02-17,feast,春节\n2026-02-18,holiday,\n2026-02-19,holiday,春节\n2026-02-19,holiday,春节\n";
        let bad = parse(file.as_bytes()).expect_err("five faults").to_string();
        for line in ["line 2:", "line 3:", "line 4:", "line 6:"] {
            assert!(bad.contains(line), "{bad}");
        }
        assert!(!bad.contains("line 5:"), "{bad}");
    }
}
