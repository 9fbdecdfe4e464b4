//! Orders that come again (周期订单): which days a rule names, and the passes that order them some days ahead, each once.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryableByName,
    sql_types::{
        BigInt, Binary, Bool, Date, Double, Integer, Nullable, SmallInt, Text, Time, Timestamptz, Uuid as SqlUuid,
    },
};
use rrule::{Frequency, RRule, RRuleSet, Tz, Unvalidated};
use uuid::Uuid;

pub use super::series_store::{
    NewSeries, Planned, Rhythm, Sight, Waiting, counties, forget, insert, list, lock, rewrite, set_state, skip,
    skipped, to_plan, waiting,
};
use super::{
    kinds::{self, OrderKindState},
    ordering::{self, NewOrder, Private},
    views::place,
};
use crate::{
    app::App,
    calendar::{Calendar, model::DayReason},
    clock::{CST, local_date, local_midnight},
    error::{FieldError, Result, Text as Words},
    geo::Point,
    text_enum,
};

/// The longest series, in days.
pub const LONGEST: u64 = 366;

text_enum! {
    /// Where a series stands.
    pub enum SeriesState {
        Active = "active",
        /// Nothing is ordered until it goes on.
        Paused = "paused",
        Ended = "ended",
    }
}

/// A series as stored; what is personal is sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Series {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub kind_id: Uuid,
    #[diesel(sql_type = Text)]
    pub kind_name: String,
    #[diesel(sql_type = SqlUuid)]
    pub resident_id: Uuid,
    #[diesel(sql_type = Nullable<Binary>)]
    pub resident_name: Option<Vec<u8>>,
    #[diesel(sql_type = SqlUuid)]
    pub unit_id: Uuid,
    #[diesel(sql_type = Text)]
    pub unit_name: String,
    #[diesel(sql_type = Text)]
    pub rrule: String,
    #[diesel(sql_type = Time)]
    pub from_time: NaiveTime,
    #[diesel(sql_type = SmallInt)]
    pub minutes: i16,
    #[diesel(sql_type = Bool)]
    pub skip_holidays: bool,
    #[diesel(sql_type = Date)]
    pub from_on: NaiveDate,
    #[diesel(sql_type = Date)]
    pub until_on: NaiveDate,
    #[diesel(sql_type = Text)]
    pub state: SeriesState,
    #[diesel(sql_type = Nullable<Date>)]
    pub planned_until: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Text>)]
    pub language: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub address: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub phone: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub words: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub form: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lng: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lat: Option<f64>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub ordered_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub ordered_by_resident: Option<Uuid>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
    /// Of the resident's side.
    #[diesel(sql_type = Bool)]
    pub mine: bool,
}

/// What a sealed column of a series is bound to.
pub fn sealed_place(column: &str, id: Uuid) -> String {
    format!("order_series.{column}/{id}")
}

fn fault(code: &'static str, zh: &'static str, en: &'static str) -> FieldError {
    FieldError::body("/rrule", code, Words::fixed(zh, en))
}

fn start(day: NaiveDate) -> DateTime<Tz> {
    day.and_time(NaiveTime::MIN).and_utc().with_timezone(&Tz::UTC)
}

/// The days that a rule (RFC 5545, without DTSTART) names from a day on, until another; or what is wrong with it. Days are all that counts: they are reckoned without a zone.
pub fn days(rule: &str, from: NaiveDate, until: NaiveDate) -> std::result::Result<Vec<NaiveDate>, FieldError> {
    let wrong = || fault("rrule", "不是合法的 RRULE（RFC 5545）", "is no RRULE of RFC 5545");
    if rule.contains(['\n', '\r', ':']) {
        return Err(wrong());
    }
    let parsed: RRule<Unvalidated> = rule.parse().map_err(|_| wrong())?;
    let daily = matches!(parsed.get_freq(), Frequency::Daily | Frequency::Weekly | Frequency::Monthly);
    let times = [parsed.get_by_hour(), parsed.get_by_minute(), parsed.get_by_second()];
    if !daily || times.iter().any(|list| !list.is_empty()) || parsed.get_until().is_some() {
        return Err(fault(
            "rrule_kind",
            "只能按天、周、月重复；时间和结束日另行填写",
            "may only repeat by days, weeks or months; times of day and the last day are said elsewhere",
        ));
    }
    let rule = parsed.validate(start(from)).map_err(|_| wrong())?;
    let named = RRuleSet::new(start(from)).rrule(rule).before(start(until)).all(LONGEST as u16 + 1);
    let days: Vec<_> =
        named.dates.iter().map(DateTime::date_naive).filter(|day| (from..=until).contains(day)).collect();
    if days.is_empty() {
        return Err(fault("rrule_empty", "这段时间内没有一天", "names no day in this time"));
    }
    Ok(days)
}

impl Series {
    /// The days up to one on which somebody is to come, holidays and days that were left out apart.
    pub fn days(&self, calendar: &Calendar, after: NaiveDate, until: NaiveDate) -> Vec<NaiveDate> {
        let all = days(&self.rrule, self.from_on, self.until_on).unwrap_or_default();
        let works = |day: &NaiveDate| !self.skip_holidays || calendar.reason(*day) != DayReason::Holiday;
        all.into_iter().filter(|day| *day > after && *day <= until).filter(works).collect()
    }

    /// When somebody is wanted on a day.
    pub fn window(&self, day: NaiveDate) -> (DateTime<Utc>, DateTime<Utc>, bool) {
        let from = day.and_time(self.from_time).and_local_timezone(CST).single();
        let from = from.map_or_else(|| local_midnight(day), |from| from.to_utc());
        (from, from + TimeDelta::minutes(self.minutes.into()), false)
    }

    /// What is personal, sealed anew for one of its orders.
    fn private(&self, app: &App, order: Uuid) -> Result<Private> {
        let again = |column: &str, sealed: &Option<Vec<u8>>| {
            let Some(sealed) = sealed else { return Ok(None) };
            let plain = app.keys.open(self.county_id, &sealed_place(column, self.id), sealed)?;
            Ok::<_, crate::error::Error>(Some(app.keys.seal(self.county_id, &place(column, order), &plain)))
        };
        Ok(Private {
            address: again("address", &self.address)?,
            phone: again("phone", &self.phone)?,
            words: again("words", &self.words)?,
            form: again("form", &self.form)?,
        })
    }
}

/// Orders the days of a locked series from tomorrow on (today included while it is to come) up to some days ahead; each once.
pub fn plan(
    conn: &mut PgConnection,
    app: &App,
    series: &Series,
    (calendar, ahead): (&Calendar, i64),
    now: DateTime<Utc>,
) -> Result<usize> {
    let today = local_date(now);
    let horizon = today + Days::new(ahead.unsigned_abs());
    if series.until_on < today {
        set_state(conn, series, (SeriesState::Ended, series.planned_until), now)?;
        return Ok(0);
    }
    let kind = kinds::find(conn, series.county_id, series.kind_id)?;
    let Some(kind) = kind.filter(|kind| kind.state == OrderKindState::Active) else {
        // What cannot be ordered any more does not come again.
        set_state(conn, series, (SeriesState::Ended, series.planned_until), now)?;
        return Ok(0);
    };
    let until = horizon.min(series.until_on);
    let after = series.planned_until.unwrap_or(series.from_on - Days::new(1)).max(today - Days::new(1));
    let out = skipped(conn, series.county_id, series.id)?;
    let mut made = 0;
    for day in series.days(calendar, after, until).into_iter().filter(|day| !out.contains(day)) {
        let window = series.window(day);
        if window.0 <= now {
            continue;
        }
        let id = Uuid::now_v7();
        let new = NewOrder {
            county: series.county_id,
            id,
            kind: &kind,
            resident: series.resident_id,
            unit: series.unit_id,
            window,
            language: series.language.clone(),
            private: series.private(app, id)?,
            point: series.lng.zip(series.lat).map(|(lng, lat)| Point::wgs84(lng, lat)),
            ordered_by: series.ordered_by,
            ordered_by_resident: series.ordered_by_resident,
            of: Some((series.id, day)),
            by: None,
            now,
        };
        made += usize::from(ordering::insert(conn, new)?);
    }
    set_state(conn, series, (SeriesState::Active, Some(until)), now)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::At;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    #[test]
    fn days_of_rules() {
        let of = |rule: &str| {
            let days = days(rule, day("2026-11-23"), day("2026-12-06")).map_err(|fault| fault.code.into_owned());
            days.map(|days| days.iter().map(|day| day.format("%m%d").to_string()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(of("FREQ=WEEKLY;BYDAY=MO,WE"), Ok("1123 1125 1130 1202".to_owned()));
        assert_eq!(of("FREQ=DAILY;INTERVAL=5"), Ok("1123 1128 1203".to_owned()));
        assert_eq!(of("FREQ=DAILY;COUNT=2"), Ok("1123 1124".to_owned()));
        assert_eq!(of("FREQ=MONTHLY;BYMONTHDAY=1"), Ok("1201".to_owned()));
        for (rule, fault) in [
            ("FREQ=HOURLY", "rrule_kind"),
            ("FREQ=DAILY;BYHOUR=9", "rrule_kind"),
            ("FREQ=DAILY;UNTIL=20261201T000000Z", "rrule_kind"),
            ("every day", "rrule"),
            ("DTSTART:20261123T000000Z\nRRULE:FREQ=DAILY", "rrule"),
            ("FREQ=MONTHLY;BYMONTHDAY=20", "rrule_empty"),
        ] {
            assert_eq!(of(rule), Err(fault.to_owned()), "{rule}");
        }
        let wrong = days("", day("2026-11-23"), day("2026-11-24")).expect_err("nothing");
        assert_eq!(wrong.at, At::Body("/rrule".into()));
    }
}
