//! Reading and replacing the calendar.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use diesel::prelude::*;

use super::model::{Calendar, Day, DayKind};
use crate::db::schema::{calendar_days, calendar_years};

pub fn load(conn: &mut PgConnection) -> QueryResult<Calendar> {
    let columns = (calendar_days::day, calendar_days::kind, calendar_days::name);
    let days: Vec<(NaiveDate, DayKind, String)> = calendar_days::table.select(columns).load(conn)?;
    let years: Vec<i32> = calendar_years::table.select(calendar_years::year).load(conn)?;
    let mut calendar = Calendar::new(days.into_iter().map(|(date, kind, name)| Day { date, kind, name }));
    calendar.years = years.into_iter().collect();
    Ok(calendar)
}

/// Replaces whole years.
pub fn replace(conn: &mut PgConnection, days: &[Day], now: DateTime<Utc>) -> QueryResult<()> {
    let years: std::collections::BTreeSet<i32> = days.iter().map(|day| day.date.year()).collect();
    diesel::delete(calendar_days::table.filter(calendar_days::year.eq_any(&years))).execute(conn)?;
    let rows: Vec<_> =
        years.iter().map(|year| (calendar_years::year.eq(*year), calendar_years::loaded_at.eq(now))).collect();
    diesel::insert_into(calendar_years::table)
        .values(rows)
        .on_conflict(calendar_years::year)
        .do_update()
        .set(calendar_years::loaded_at.eq(now))
        .execute(conn)?;
    let rows: Vec<_> = days
        .iter()
        .map(|day| {
            let (date, kind) = (calendar_days::day.eq(day.date), calendar_days::kind.eq(day.kind));
            (date, kind, calendar_days::year.eq(day.date.year()), calendar_days::name.eq(&day.name))
        })
        .collect();
    diesel::insert_into(calendar_days::table).values(rows).execute(conn)?;
    Ok(())
}
