//! The calendar over HTTP: special days, and deadlines with the reason for each day.

use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{model::DayKind, rules};
use crate::{
    app::App,
    clock::CST,
    error::{Error, FieldError, Result, Text},
    http::{cached, valid::Query},
};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DaysQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// The year, 2000 to 2100.
    #[param(minimum = 2000, maximum = 2100, example = 2026)]
    year: i32,
}

/// The special days of a year.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"year": 2026, "loaded": true, "days": [{"date": "2026-10-01", "kind": "holiday", "name": "国庆节"}]}))]
pub struct YearView {
    pub year: i32,
    /// Whether the State Council's notice for the year has been imported; without it only weekends are known.
    pub loaded: bool,
    pub days: Vec<DayView>,
}

/// A statutory holiday or a make-up workday (调休).
#[derive(Serialize, ToSchema)]
pub struct DayView {
    pub date: NaiveDate,
    pub kind: DayKind,
    pub name: String,
}

/// Special days of a year
///
/// Statutory holidays and make-up workdays, as published. Days that are not listed follow the weekend rule.
#[utoipa::path(tag = "calendar", security(()), params(DaysQuery),
    responses((status = 200, description = "The year", body = YearView), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/calendar/days")]
pub async fn list_calendar_days(app: Data<App>, request: HttpRequest, query: Query<DaysQuery>) -> Result<HttpResponse> {
    let DaysQuery { county, year } = query.0;
    within("year", year, 2000, 2100)?;
    cached::answer(&app, &request, || async {
        app.counties.public(&app, &county).await?;
        let calendar = super::current(&app).await?;
        let first = NaiveDate::from_ymd_opt(year, 1, 1).unwrap_or_default();
        let last = NaiveDate::from_ymd_opt(year, 12, 31).unwrap_or_default();
        let days = calendar.days.range(first..=last);
        let days = days.map(|(date, (kind, name))| DayView { date: *date, kind: *kind, name: name.clone() });
        Ok(YearView { year, loaded: calendar.years.contains(&year), days: days.collect() })
    })
    .await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DueQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// The day of acceptance, which never counts. 2000-01-01 to 2100-12-31.
    #[param(example = "2026-09-25")]
    from: NaiveDate,
    /// The limit, 0 to 250; 0 is an instant matter (即办件), due on the same day.
    #[param(minimum = 0, maximum = 250, example = 5)]
    working_days: u32,
}

/// A deadline, with every day on the way.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"county": "350425", "from": "2026-11-20", "working_days": 1, "due_on": "2026-11-23",
    "due_at": "2026-11-24T00:00:00+08:00", "provisional": false, "days": [
    {"date": "2026-11-20", "counts": false, "reason": "day_of_acceptance"},
    {"date": "2026-11-21", "counts": false, "reason": "weekend"},
    {"date": "2026-11-22", "counts": false, "reason": "weekend"},
    {"date": "2026-11-23", "counts": true, "reason": "weekday", "number": 1}]}))]
pub struct DueView {
    pub county: String,
    pub from: NaiveDate,
    pub working_days: u32,
    /// Due at the end of this day.
    pub due_on: NaiveDate,
    /// That end, 24:00 in China, as an instant.
    pub due_at: DateTime<FixedOffset>,
    /// A year on the way is not published yet; the weekend rule stood in, and the deadline may move.
    pub provisional: bool,
    pub days: Vec<DueDayView>,
}

/// One day, and why it counts or does not.
#[derive(Serialize, ToSchema)]
pub struct DueDayView {
    pub date: NaiveDate,
    pub counts: bool,
    /// `day_of_acceptance`, `weekday`, `weekend`, `holiday` or `make_up_workday`.
    pub reason: String,
    /// The holiday's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which counted day it is, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
}

/// Deadline in working days
///
/// Counts as the Administrative Licensing Law (行政许可法) does: working days only, from the working day after acceptance;
/// weekends and statutory holidays do not count, make-up workdays do. Due at the end of the last counted day.
#[utoipa::path(tag = "calendar", security(()), params(DueQuery), responses((status = 200, description = "The deadline", body = DueView), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/calendar/due_date")]
pub async fn get_due_date(app: Data<App>, request: HttpRequest, query: Query<DueQuery>) -> Result<HttpResponse> {
    let DueQuery { county, from, working_days } = query.0;
    within("working_days", working_days, 0, 250)?;
    within(
        "from",
        from,
        NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default(),
        NaiveDate::from_ymd_opt(2100, 12, 31).unwrap_or_default(),
    )?;
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &county).await?;
        let calendar = super::current(&app).await?;
        let due =
            rules::due(&calendar, from, working_days, &[]).ok_or_else(|| Error::internal("no pause was given"))?;
        let day = |counted: &rules::Counted| {
            let accepted = counted.date == from && counted.number.is_none();
            DueDayView {
                date: counted.date,
                counts: counted.number.is_some(),
                reason: if accepted { "day_of_acceptance" } else { calendar.reason(counted.date).as_str() }.to_owned(),
                name: calendar.name(counted.date).map(str::to_owned),
                number: counted.number,
            }
        };
        let midnight = (due.on + Days::new(1)).and_time(NaiveTime::MIN).and_local_timezone(CST).single();
        let due_at = midnight.ok_or_else(|| Error::internal("a fixed offset has no gaps"))?;
        let (days, provisional) = (due.days.iter().map(day).collect(), due.provisional);
        Ok(DueView { county: county.key.to_string(), from, working_days, due_on: due.on, due_at, provisional, days })
    })
    .await
}

fn within<T: PartialOrd + std::fmt::Display>(name: &str, value: T, min: T, max: T) -> Result<()> {
    if value >= min && value <= max {
        return Ok(());
    }
    let text = Text::new(format!("须在 {min} 至 {max} 之间"), format!("must be {min} to {max}"));
    Err(Error::invalid(vec![FieldError::query(name, "range", text)]))
}
