//! Reading and replacing the calendar.

use chrono::{Datelike, NaiveDate};
use diesel::prelude::*;

use super::model::{Calendar, Day, DayKind};
use crate::db::schema::calendar_days;

pub fn load(conn: &mut PgConnection) -> QueryResult<Calendar> {
    let columns = (calendar_days::day, calendar_days::kind, calendar_days::name);
    let days: Vec<(NaiveDate, DayKind, String)> = calendar_days::table.select(columns).load(conn)?;
    Ok(Calendar::new(days.into_iter().map(|(date, kind, name)| Day { date, kind, name })))
}

/// Replaces the whole years that the days belong to.
pub fn replace(conn: &mut PgConnection, days: &[Day]) -> QueryResult<()> {
    let years: std::collections::BTreeSet<i32> = days.iter().map(|day| day.date.year()).collect();
    for year in years {
        let (first, last) = (NaiveDate::from_ymd_opt(year, 1, 1), NaiveDate::from_ymd_opt(year, 12, 31));
        let whole = calendar_days::day.nullable().between(first, last);
        diesel::delete(calendar_days::table.filter(whole)).execute(conn)?;
    }
    let row = |day: &Day| {
        (calendar_days::day.eq(day.date), calendar_days::kind.eq(day.kind), calendar_days::name.eq(day.name.clone()))
    };
    let rows: Vec<_> = days.iter().map(row).collect();
    diesel::insert_into(calendar_days::table).values(rows).execute(conn).map(drop)
}
