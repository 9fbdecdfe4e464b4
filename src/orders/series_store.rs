//! Series of orders in the database.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{
        Array, BigInt, Binary, Bool, Date, Double, Integer, Nullable, SmallInt, Text, Time, Timestamptz,
        Uuid as SqlUuid,
    },
};
use uuid::Uuid;

use super::{
    ordering::Private,
    series::{Series, SeriesState},
};
use crate::{db::found, error::Result, geo::Point, http::page::After, statement};

macro_rules! series {
    ($mine:literal) => {
        concat!(
            "SELECT s.*, (SELECT k.name FROM order_kinds k WHERE k.county_id = s.county_id AND k.id = s.kind_id) AS kind_name, \
               (SELECT u.name FROM units u WHERE u.county_id = s.county_id AND u.id = s.unit_id) AS unit_name, \
               (SELECT p.name FROM residents p WHERE p.county_id = s.county_id AND p.id = s.resident_id) AS resident_name, ",
            $mine,
            " AS mine FROM order_series s "
        )
    };
}

statement! {
    struct Find {
        county: i32 as Integer, id: Uuid as SqlUuid, resident: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, today: NaiveDate as Date,
    }
    concat!(series!("{resident}::uuid IS NOT NULL"), "WHERE s.county_id = {county} AND s.id = {id} AND CASE WHEN {resident}::uuid IS NOT NULL THEN \
        s.resident_id = {resident} OR acts_for({county}, s.resident_id, {resident}, 'order', {today}) \
      ELSE {within}::uuid IS NULL OR unit_within({county}, s.unit_id, {within}) END FOR NO KEY UPDATE OF s")
}

/// Who may see a series: the resident's side, staff of the unit or above it.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    pub resident: Option<Uuid>,
    /// None of staff: the whole county.
    pub within: Option<Uuid>,
}

/// The series with an id, if the caller may see it; nobody changes it before the transaction ends.
pub fn lock(conn: &mut PgConnection, county: i32, sight: Sight, id: Uuid, today: NaiveDate) -> Result<Option<Series>> {
    let Sight { resident, within } = sight;
    found(Find { county, id, resident, within, today }.get_result(conn))
}

statement! {
    struct List {
        county: i32 as Integer, resident: Option<Uuid> as Nullable<SqlUuid>, unit: Option<Uuid> as Nullable<SqlUuid>, of: Option<Uuid> as Nullable<SqlUuid>,
        within: Option<Uuid> as Nullable<SqlUuid>, today: NaiveDate as Date, after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    concat!(series!("{resident}::uuid IS NOT NULL"), "WHERE s.county_id = {county} AND CASE WHEN {of}::uuid IS NOT NULL THEN s.resident_id = {of} ELSE unit_within({county}, s.unit_id, {unit}) END \
      AND CASE WHEN {resident}::uuid IS NOT NULL THEN s.resident_id = {resident} OR acts_for({county}, s.resident_id, {resident}, 'order', {today}) \
        ELSE {within}::uuid IS NULL OR unit_within({county}, s.unit_id, {within}) END \
      AND (s.created_at, s.id) > ({after_at}, {after_id}) ORDER BY s.created_at, s.id LIMIT {limit}")
}

/// Of a resident, or of a unit and those below it; oldest first, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    county: i32,
    sight: Sight,
    (of, unit): (Option<Uuid>, Option<Uuid>),
    (after, today): (After, NaiveDate),
    limit: i64,
) -> QueryResult<Vec<Series>> {
    let (after_at, after_id) = (after.at.max(DateTime::UNIX_EPOCH), after.id);
    let Sight { resident, within } = sight;
    List { county, resident, unit, of, within, today, after_at, after_id, limit: limit + 1 }.load(conn)
}

statement! {
    struct Insert {
        county: i32 as Integer, id: Uuid as SqlUuid, kind: Uuid as SqlUuid, resident: Uuid as SqlUuid, unit: Uuid as SqlUuid, rrule: String as Text, from_time: NaiveTime as Time,
        minutes: i16 as SmallInt, skip_holidays: bool as Bool, from_on: NaiveDate as Date, until_on: NaiveDate as Date, language: Option<String> as Nullable<Text>,
        address: Option<Vec<u8>> as Nullable<Binary>, phone: Option<Vec<u8>> as Nullable<Binary>, words: Option<Vec<u8>> as Nullable<Binary>, form: Option<Vec<u8>> as Nullable<Binary>,
        lng: Option<f64> as Nullable<Double>, lat: Option<f64> as Nullable<Double>, ordered_by: Option<Uuid> as Nullable<SqlUuid>,
        ordered_by_resident: Option<Uuid> as Nullable<SqlUuid>, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO order_series (county_id, id, kind_id, resident_id, unit_id, rrule, from_time, minutes, skip_holidays, from_on, until_on, language, address, phone, words, form, lng, lat, \
       ordered_by, ordered_by_resident, created_at, updated_at) \
     VALUES ({county}, {id}, {kind}, {resident}, {unit}, {rrule}, {from_time}, {minutes}, {skip_holidays}, {from_on}, {until_on}, {language}, {address}, {phone}, {words}, {form}, {lng}, {lat}, \
       {ordered_by}, {ordered_by_resident}, {now}, {now})"
}

/// When the orders of a series are wanted.
#[derive(Clone, Debug)]
pub struct Rhythm {
    pub rrule: String,
    pub from_time: NaiveTime,
    pub minutes: i16,
    pub skip_holidays: bool,
    pub from_on: NaiveDate,
    pub until_on: NaiveDate,
}

/// A series to be written.
pub struct NewSeries {
    pub county: i32,
    pub id: Uuid,
    pub kind: Uuid,
    pub resident: Uuid,
    pub unit: Uuid,
    pub rhythm: Rhythm,
    pub language: Option<String>,
    pub private: Private,
    pub point: Option<Point>,
    pub ordered_by: Option<Uuid>,
    pub ordered_by_resident: Option<Uuid>,
    pub now: DateTime<Utc>,
}

pub fn insert(conn: &mut PgConnection, new: NewSeries) -> QueryResult<()> {
    let NewSeries {
        county,
        id,
        kind,
        resident,
        unit,
        rhythm,
        language,
        private,
        ordered_by,
        ordered_by_resident,
        now,
        ..
    } = new;
    let Rhythm { rrule, from_time, minutes, skip_holidays, from_on, until_on } = rhythm;
    let Private { address, phone, words, form } = private;
    let point = new.point.map(Point::to_wgs84);
    let (lng, lat) = (point.map(|point| point.lng), point.map(|point| point.lat));
    let insert = Insert {
        county,
        id,
        kind,
        resident,
        unit,
        rrule,
        from_time,
        minutes,
        skip_holidays,
        from_on,
        until_on,
        language,
        address,
        phone,
        words,
        form,
        lng,
        lat,
        ordered_by,
        ordered_by_resident,
        now,
    };
    insert.execute(conn).map(drop)
}

statement! {
    struct Move { county: i32 as Integer, id: Uuid as SqlUuid, state: SeriesState as Text, planned: Option<NaiveDate> as Nullable<Date>, now: DateTime<Utc> as Timestamptz }
    "UPDATE order_series SET state = {state}, planned_until = {planned}, version = version + 1, updated_at = {now} WHERE county_id = {county} AND id = {id}"
}

/// Writes where a locked series stands.
pub fn set_state(
    conn: &mut PgConnection,
    series: &Series,
    (state, planned): (SeriesState, Option<NaiveDate>),
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    Move { county: series.county_id, id: series.id, state, planned, now }.execute(conn)
}

statement! {
    struct Rewrite {
        county: i32 as Integer, id: Uuid as SqlUuid, rrule: String as Text, from_time: NaiveTime as Time, minutes: i16 as SmallInt, skip_holidays: bool as Bool,
        until_on: NaiveDate as Date, planned: Option<NaiveDate> as Nullable<Date>, now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE order_series SET rrule = {rrule}, from_time = {from_time}, minutes = {minutes}, skip_holidays = {skip_holidays}, until_on = {until_on}, planned_until = {planned}, \
       version = version + 1, updated_at = {now} WHERE county_id = {county} AND id = {id}"
}

/// Writes another rhythm of a locked series, planned up to a day.
pub fn rewrite(
    conn: &mut PgConnection,
    series: &Series,
    (rhythm, planned): (&Rhythm, Option<NaiveDate>),
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let Rhythm { rrule, from_time, minutes, skip_holidays, until_on, .. } = rhythm.clone();
    let (county, id) = (series.county_id, series.id);
    Rewrite { county, id, rrule, from_time, minutes, skip_holidays, until_on, planned, now }.execute(conn)
}

statement! {
    struct Skip { county: i32 as Integer, series: Uuid as SqlUuid, day: NaiveDate as Date, now: DateTime<Utc> as Timestamptz }
    "INSERT INTO order_series_skips (county_id, series_id, occurrence, skipped_at) VALUES ({county}, {series}, {day}, {now}) ON CONFLICT DO NOTHING"
}

/// Nobody is to come on a day.
pub fn skip(conn: &mut PgConnection, series: &Series, day: NaiveDate, now: DateTime<Utc>) -> QueryResult<usize> {
    Skip { county: series.county_id, series: series.id, day, now }.execute(conn)
}

statement! {
    struct Skipped { county: i32 as Integer, series: Uuid as SqlUuid }
    "SELECT k.occurrence FROM order_series_skips k WHERE k.county_id = {county} AND k.series_id = {series} ORDER BY k.occurrence"
}

#[derive(QueryableByName)]
struct Day {
    #[diesel(sql_type = Date)]
    occurrence: NaiveDate,
}

/// Days that were left out.
pub fn skipped(conn: &mut PgConnection, county: i32, series: Uuid) -> QueryResult<Vec<NaiveDate>> {
    let days: Vec<Day> = Skipped { county, series }.load(conn)?;
    Ok(days.into_iter().map(|day| day.occurrence).collect())
}

statement! {
    struct Future { county: i32 as Integer, series: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "SELECT o.id, o.occurrence FROM orders o WHERE o.county_id = {county} AND o.series_id = {series} AND o.state = 'open' AND o.wanted_from > {now} ORDER BY o.id FOR NO KEY UPDATE SKIP LOCKED"
}

/// An order of a series that nobody has taken yet.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Waiting {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Date)]
    pub occurrence: NaiveDate,
}

/// Its orders to come that nobody has taken; one that somebody is taking just now is theirs.
pub fn waiting(conn: &mut PgConnection, series: &Series, now: DateTime<Utc>) -> QueryResult<Vec<Waiting>> {
    Future { county: series.county_id, series: series.id, now }.load(conn)
}

statement! {
    struct Forget { county: i32 as Integer, series: Uuid as SqlUuid, days: Vec<NaiveDate> as Array<Date> }
    "UPDATE orders o SET series_id = NULL, occurrence = NULL WHERE o.county_id = {county} AND o.series_id = {series} AND o.state = 'cancelled' AND o.occurrence = ANY ({days}) \
       AND EXISTS (SELECT FROM order_moves m WHERE m.county_id = o.county_id AND m.order_id = o.id AND m.seq = o.moves AND m.facts ->> 'why' = 'series')"
}

/// Lets go of orders that were cancelled with a pause or a change, so that these days can be ordered anew; what somebody has cancelled stays so.
pub fn forget(conn: &mut PgConnection, series: &Series, days: Vec<NaiveDate>) -> QueryResult<usize> {
    Forget { county: series.county_id, series: series.id, days }.execute(conn)
}

statement! {
    struct ToPlan { county: i32 as Integer, until: NaiveDate as Date, today: NaiveDate as Date, limit: i64 as BigInt }
    "SELECT s.id FROM order_series s WHERE s.state = 'active' AND s.county_id = {county} AND (s.planned_until IS NULL OR s.planned_until < least(s.until_on, {until}) OR s.until_on < {today}) \
       ORDER BY s.planned_until NULLS FIRST LIMIT {limit}"
}

/// A series whose days to come have to be ordered.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Planned {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
}

/// Series of a county that have days up to `until` to be ordered, or are over.
pub fn to_plan(
    conn: &mut PgConnection,
    county: i32,
    (today, until): (NaiveDate, NaiveDate),
    limit: i64,
) -> QueryResult<Vec<Planned>> {
    ToPlan { county, today, until, limit }.load(conn)
}

statement! {
    struct Working { most: i32 as Integer }
    "SELECT c.id FROM counties c WHERE c.state = 'active' AND EXISTS (SELECT FROM order_series s WHERE s.county_id = c.id AND s.state = 'active') ORDER BY c.id LIMIT {most}"
}

#[derive(QueryableByName)]
struct County {
    #[diesel(sql_type = Integer)]
    id: i32,
}

/// Counties that work and have series; while one is suspended (停用) nothing of it is ordered.
pub fn counties(conn: &mut PgConnection) -> QueryResult<Vec<i32>> {
    let rows: Vec<County> = Working { most: i32::MAX }.load(conn)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
