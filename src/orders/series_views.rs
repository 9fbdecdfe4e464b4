//! Series of orders as they are asked for and answered.

use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    series::{self, LONGEST, Rhythm, Series, SeriesState, sealed_place},
    views::OrderResident,
};
use crate::{
    app::App,
    appointments::Named,
    clock::CST,
    error::{FieldError, Result, Text},
    geo::Point,
    people::{self, Phone},
};

/// Orders that come again (周期订单).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d2", "state": "active", "kind": {"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "助餐"},
    "resident": {"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明"}, "unit": {"id": "0199a0c0-0000-7000-8000-000000000002", "name": "红星村"},
    "rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "from_time": "11:00:00", "minutes": 60, "skip_holidays": true, "from_on": "2026-11-23", "until_on": "2027-05-23",
    "planned_until": "2026-11-30", "language": null, "address": null, "phone": null, "words": null, "ordered_by": null, "ordered_by_resident": null, "version": 1,
    "created_at": "2026-11-23T08:00:00+08:00", "updated_at": "2026-11-23T08:00:00+08:00"}))]
pub struct OrderSeriesView {
    pub id: Uuid,
    pub state: SeriesState,
    pub kind: Named,
    pub resident: OrderResident,
    pub unit: Named,
    /// RFC 5545; days, weeks or months.
    pub rrule: String,
    /// When somebody is wanted to come, local time, and for how many minutes.
    pub from_time: NaiveTime,
    pub minutes: i16,
    /// Nobody comes on statutory holidays (法定节假日).
    pub skip_holidays: bool,
    pub from_on: NaiveDate,
    /// The last day.
    pub until_on: NaiveDate,
    /// Up to this day its orders are there (`GET /v1/orders?series_id=`).
    pub planned_until: Option<NaiveDate>,
    pub language: Option<String>,
    /// For the resident's side only.
    pub address: Option<String>,
    pub phone: Option<String>,
    pub words: Option<String>,
    pub ordered_by: Option<Uuid>,
    pub ordered_by_resident: Option<Uuid>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
    pub updated_at: DateTime<FixedOffset>,
}

impl OrderSeriesView {
    pub fn new(app: &App, row: &Series) -> Result<Self> {
        let whom = (row.county_id, row.resident_id);
        let (name, _) = people::name_and_phone(app, whom, (row.resident_name.as_deref(), None), !row.mine)?;
        let opened = |column: &str, sealed: &Option<Vec<u8>>| {
            let open = |sealed: &Vec<u8>| app.keys.open_text(row.county_id, &sealed_place(column, row.id), sealed);
            sealed.as_ref().filter(|_| row.mine).map(open).transpose()
        };
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        Ok(Self {
            id: row.id,
            state: row.state,
            kind: Named { id: row.kind_id, name: row.kind_name.clone() },
            resident: OrderResident { id: row.resident_id, name },
            unit: Named { id: row.unit_id, name: row.unit_name.clone() },
            rrule: row.rrule.clone(),
            from_time: row.from_time,
            minutes: row.minutes,
            skip_holidays: row.skip_holidays,
            from_on: row.from_on,
            until_on: row.until_on,
            planned_until: row.planned_until,
            language: row.language.clone(),
            address: opened("address", &row.address)?,
            phone: opened("phone", &row.phone)?,
            words: opened("words", &row.words)?,
            ordered_by: row.ordered_by,
            ordered_by_resident: row.ordered_by_resident,
            version: row.version,
            created_at: local(row.created_at),
            updated_at: local(row.updated_at),
        })
    }
}

/// When somebody is to come again and again.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "from_time": "11:00:00", "minutes": 60, "skip_holidays": true, "from_on": "2026-11-23", "until_on": "2027-05-23"}))]
pub struct OrderRhythm {
    /// RFC 5545 without DTSTART, UNTIL and times of day: `FREQ=DAILY`, `WEEKLY` or `MONTHLY` with its parts. Up to 200 characters.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub rrule: String,
    /// When somebody is wanted to come, local time.
    pub from_time: NaiveTime,
    /// For how long, 5 to 720.
    #[validate(range(min = 5, max = 720))]
    #[schema(minimum = 5, maximum = 720)]
    pub minutes: i16,
    /// Nobody comes on statutory holidays (法定节假日).
    #[serde(default)]
    pub skip_holidays: bool,
    /// The first day, at most 60 days ahead.
    pub from_on: NaiveDate,
    /// The last day, at most 366 days after the first.
    pub until_on: NaiveDate,
}

impl OrderRhythm {
    pub fn rhythm(&self) -> Rhythm {
        let Self { rrule, from_time, minutes, skip_holidays, from_on, until_on } = self.clone();
        Rhythm { rrule, from_time, minutes, skip_holidays, from_on, until_on }
    }

    /// Everything that is wrong with it; pointers stand under `above`.
    pub fn faults(&self, above: &str, first: NaiveDate, today: NaiveDate) -> Vec<FieldError> {
        let fault = |name: &str, zh, en| FieldError::body(format!("{above}/{name}"), "range", Text::fixed(zh, en));
        let mut faults = Vec::new();
        if self.from_on < first || self.from_on > today + Days::new(60) {
            faults.push(fault("from_on", "须在今天起 60 天以内", "must be within 60 days from today"));
        }
        if self.until_on < self.from_on || self.until_on > self.from_on + Days::new(LONGEST) {
            faults.push(fault("until_on", "须在开始后 366 天以内", "must be within 366 days after the first"));
        }
        if faults.is_empty()
            && let Err(wrong) = series::days(&self.rrule, self.from_on, self.until_on)
        {
            faults.push(FieldError::body(format!("{above}/rrule"), wrong.code, wrong.text));
        }
        faults
    }
}

/// What is wished again and again.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind_id": "0199a0c0-0000-7000-8000-0000000000c1", "rhythm": {"rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "from_time": "11:00:00", "minutes": 60, "skip_holidays": true,
    "from_on": "2026-11-23", "until_on": "2027-05-23"}, "address": "红星村 12 号", "phone": "13950900001"}))]
pub struct CreateOrderSeries {
    /// An active kind.
    pub kind_id: Uuid,
    /// For whom; required of staff. Residents order for themselves by default, or for somebody who lets them.
    pub resident_id: Option<Uuid>,
    #[validate(nested)]
    pub rhythm: OrderRhythm,
    /// Where to come to, 2 to 200 characters; where somebody came to the last time by default.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    pub address: Option<String>,
    /// Whom to call; the resident's phone by default.
    #[schema(inline)]
    pub phone: Option<Phone>,
    /// Up to 1,000 characters.
    #[validate(length(min = 1, max = 1000))]
    #[schema(min_length = 1, max_length = 1000)]
    pub words: Option<String>,
    /// As the kind's JSON Schema wants it.
    #[schema(value_type = Option<Object>)]
    pub form: Option<serde_json::Value>,
    /// A skill that is wished, such as a dialect.
    #[validate(length(max = 32))]
    #[schema(max_length = 32)]
    pub language: Option<String>,
    /// Where it is on the map.
    #[validate(nested)]
    pub place: Option<Point>,
}

/// A day of a series.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"on": "2026-11-25"}))]
pub struct SkipOrderSeries {
    /// A day to come that the rule names.
    pub on: NaiveDate,
}
