//! Dated exceptions in the database.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::model::Exception;
use crate::{
    clock::local_date,
    db::{
        found,
        schema::opening_exceptions::{self, dsl},
    },
    error::Result,
    http::page::After,
};

/// Which exceptions a list is of.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub county: i32,
    pub unit: Option<Uuid>,
    pub from: Option<NaiveDate>,
    pub to: Option<NaiveDate>,
}

fn wanted<'a>(wanted: Wanted) -> opening_exceptions::BoxedQuery<'a, diesel::pg::Pg> {
    let mut query = dsl::opening_exceptions.filter(dsl::county_id.eq(wanted.county)).into_boxed();
    if let Some(unit) = wanted.unit {
        query = query.filter(dsl::unit_id.eq(unit));
    }
    if let Some(from) = wanted.from {
        query = query.filter(dsl::on_date.ge(from));
    }
    if let Some(to) = wanted.to {
        query = query.filter(dsl::on_date.le(to));
    }
    query
}

/// By day, one more than `limit`.
pub fn list(conn: &mut PgConnection, which: Wanted, after: Option<After>, limit: i64) -> QueryResult<Vec<Exception>> {
    let mut query = wanted(which);
    if let Some(after) = after {
        let day = local_date(after.at);
        query = query.filter(dsl::on_date.gt(day).or(dsl::on_date.eq(day).and(dsl::id.gt(after.id))));
    }
    query.order((dsl::on_date, dsl::id)).limit(limit + 1).select(Exception::as_select()).load(conn)
}

/// All of a centre from a day on.
pub fn coming(conn: &mut PgConnection, county: i32, unit: Uuid, from: NaiveDate) -> QueryResult<Vec<Exception>> {
    let which = Wanted { county, unit: Some(unit), from: Some(from), to: None };
    wanted(which).order((dsl::on_date, dsl::id)).select(Exception::as_select()).load(conn)
}

pub fn count(conn: &mut PgConnection, which: Wanted) -> QueryResult<i64> {
    wanted(which).count().get_result(conn)
}

pub fn find(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Exception>> {
    found(dsl::opening_exceptions.find((county, id)).select(Exception::as_select()).first(conn))
}

pub fn insert(
    conn: &mut PgConnection,
    county: i32,
    days: &[Exception],
    by: Option<Uuid>,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let row = |day: &Exception| {
        (
            (
                dsl::county_id.eq(county),
                dsl::id.eq(day.id),
                dsl::unit_id.eq(day.unit_id),
                dsl::window_id.eq(day.window_id),
            ),
            (dsl::on_date.eq(day.on_date), dsl::kind.eq(day.kind), dsl::reason.eq(day.reason.clone())),
            (dsl::opens_at.eq(day.opens_at), dsl::closes_at.eq(day.closes_at), dsl::like_weekday.eq(day.like_weekday)),
            (dsl::slot_minutes.eq(day.slot_minutes), dsl::place.eq(day.place)),
            (dsl::capacity_public.eq(day.capacity_public), dsl::capacity_proxy.eq(day.capacity_proxy)),
            (dsl::capacity_desk.eq(day.capacity_desk), dsl::created_by.eq(by), dsl::created_at.eq(now)),
        )
    };
    let rows: Vec<_> = days.iter().map(row).collect();
    diesel::insert_into(dsl::opening_exceptions).values(rows).execute(conn)
}

/// False if it is gone already.
pub fn delete(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<bool> {
    diesel::delete(dsl::opening_exceptions.find((county, id))).execute(conn).map(|gone| gone == 1)
}
