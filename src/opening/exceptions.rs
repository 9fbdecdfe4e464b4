//! What is said of a day that is different: the command that says it, and how it is answered.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::settle::{Decision, Order};
use crate::{
    error::{Error, Result},
    http::caller::Scope,
    units,
    windows::{self, Exception, ExceptionKind, Place},
};

/// Days that one command may be about.
const LONGEST: i64 = 62;

/// What is different on one day (延时服务、周末无休、临时关闭).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d2", "unit_id": "0199a0c0-0000-7000-8000-000000000001", "window_id": null, "date": "2026-11-28",
    "kind": "open", "opens_at": "09:00:00", "closes_at": "11:00:00", "like_weekday": null, "slot_minutes": 30, "place": "centre",
    "capacity_public": 2, "capacity_proxy": 1, "capacity_desk": 0, "reason": "周末无休", "version": 1}))]
pub struct OpeningExceptionView {
    pub id: Uuid,
    /// Whose centre.
    pub unit_id: Uuid,
    /// One window; none: the whole centre.
    pub window_id: Option<Uuid>,
    pub date: NaiveDate,
    pub kind: ExceptionKind,
    /// Local time (UTC+8); none: the whole day.
    pub opens_at: Option<NaiveTime>,
    pub closes_at: Option<NaiveTime>,
    /// Opens by the rules of this ISO weekday.
    pub like_weekday: Option<i16>,
    pub slot_minutes: Option<i16>,
    pub place: Option<Place>,
    pub capacity_public: Option<i16>,
    pub capacity_proxy: Option<i16>,
    pub capacity_desk: Option<i16>,
    pub reason: String,
    pub version: i64,
}

impl From<Exception> for OpeningExceptionView {
    fn from(row: Exception) -> Self {
        Self {
            id: row.id,
            unit_id: row.unit_id,
            window_id: row.window_id,
            date: row.on_date,
            kind: row.kind,
            opens_at: row.opens_at,
            closes_at: row.closes_at,
            like_weekday: row.like_weekday,
            slot_minutes: row.slot_minutes,
            place: row.place,
            capacity_public: row.capacity_public,
            capacity_proxy: row.capacity_proxy,
            capacity_desk: row.capacity_desk,
            reason: row.reason,
            version: row.version,
        }
    }
}

/// What is different, from when until when, and what becomes of bookings that fit no more.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check_days"))]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000001", "from_date": "2026-11-28", "until_date": "2026-11-29", "kind": "open",
    "opens_at": "09:00:00", "closes_at": "11:00:00", "slot_minutes": 30, "place": "centre", "capacity_public": 2, "capacity_proxy": 1,
    "capacity_desk": 0, "reason": "周末无休"}))]
pub struct CreateOpeningExceptions {
    /// Whose centre; within the caller's reach.
    pub(super) unit_id: Uuid,
    /// One of its windows; the whole centre without it.
    window_id: Option<Uuid>,
    /// The first day, today at the earliest.
    pub(super) from_date: NaiveDate,
    /// The last day; at most 62 days in all.
    until_date: NaiveDate,
    /// `closed` wins over everything that opens.
    kind: ExceptionKind,
    /// Local time (UTC+8). Closed: these hours, the whole day without them. Open: additional hours, with all that a rule has.
    #[schema(value_type = Option<String>, format = "time")]
    opens_at: Option<NaiveTime>,
    #[schema(value_type = Option<String>, format = "time")]
    closes_at: Option<NaiveTime>,
    /// Open: by the rules of this ISO weekday, also on a holiday; instead of own hours.
    #[validate(range(min = 1, max = 7))]
    #[schema(minimum = 1, maximum = 7)]
    like_weekday: Option<i16>,
    /// 5 to 480.
    #[validate(range(min = 5, max = 480))]
    #[schema(minimum = 5, maximum = 480)]
    slot_minutes: Option<i16>,
    /// Where its slots are served.
    #[schema(inline)]
    place: Option<Place>,
    /// Places per slot for the mini-program, 0 to 1,000.
    #[validate(range(min = 0, max = 1000))]
    #[schema(minimum = 0, maximum = 1000)]
    capacity_public: Option<i16>,
    /// Places per slot for agents (代约), 0 to 1,000.
    #[validate(range(min = 0, max = 1000))]
    #[schema(minimum = 0, maximum = 1000)]
    capacity_proxy: Option<i16>,
    /// Places per slot for the counter, 0 to 1,000.
    #[validate(range(min = 0, max = 1000))]
    #[schema(minimum = 0, maximum = 1000)]
    capacity_desk: Option<i16>,
    /// Shown to residents, also to those whose appointment is cancelled because of it. 1 to 200 characters.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
    /// What becomes of bookings that fit no more; required once there are any.
    #[schema(inline)]
    affected: Option<Decision>,
    /// Only list the bookings that would fit no more; nothing changes.
    #[schema(default = false)]
    dry_run: Option<bool>,
}

fn check_days(said: &CreateOpeningExceptions) -> Result<(), ValidationError> {
    let wrong = |code: &'static str, text: &'static str| Err(ValidationError::new(code).with_message(text.into()));
    let days = (said.until_date - said.from_date).num_days();
    if !(0..LONGEST).contains(&days) {
        return wrong(
            "days",
            "until_date 不得早于 from_date，且至多 62 天|until_date must not be before from_date, and 62 days are the most",
        );
    }
    let own = [said.slot_minutes, said.capacity_public, said.capacity_proxy, said.capacity_desk];
    let own = own.iter().filter(|value| value.is_some()).count() + usize::from(said.place.is_some());
    let hours = said.opens_at.zip(said.closes_at);
    if said.opens_at.is_some() != said.closes_at.is_some() || hours.is_some_and(|(opens, closes)| opens >= closes) {
        return wrong(
            "hours",
            "opens_at 须早于 closes_at，且两者同时填写|opens_at comes before closes_at, and both go together",
        );
    }
    match said.kind {
        ExceptionKind::Closed if own > 0 || said.like_weekday.is_some() => {
            wrong("closed", "closed 只能带时间|closed takes hours and nothing else")
        }
        ExceptionKind::Open if hours.is_some() == said.like_weekday.is_some() => {
            wrong("open", "open 须有时间或 like_weekday 之一|open takes either hours or like_weekday")
        }
        ExceptionKind::Open if own != if hours.is_some() { 5 } else { 0 } => wrong(
            "open",
            "有时间时须填写 slot_minutes、place 和三种名额，否则不填|with hours slot_minutes, place and all capacities are needed, without them none",
        ),
        _ => match (hours, said.slot_minutes) {
            (Some((opens, closes)), Some(minutes)) if (closes - opens).num_minutes() < i64::from(minutes) => {
                wrong("hours", "营业时间须至少容纳一个时段|the hours must hold at least one slot")
            }
            _ => Ok(()),
        },
    }
}

impl CreateOpeningExceptions {
    /// One exception per day.
    pub(super) fn days(&self, now: DateTime<Utc>) -> Vec<Exception> {
        let day = |on_date| Exception {
            id: Uuid::now_v7(),
            unit_id: self.unit_id,
            window_id: self.window_id,
            on_date,
            kind: self.kind,
            opens_at: self.opens_at,
            closes_at: self.closes_at,
            like_weekday: self.like_weekday,
            slot_minutes: self.slot_minutes,
            place: self.place,
            capacity_public: self.capacity_public,
            capacity_proxy: self.capacity_proxy,
            capacity_desk: self.capacity_desk,
            reason: self.reason.trim().to_owned(),
            version: 1,
            created_at: now,
        };
        self.from_date.iter_days().take_while(|date| *date <= self.until_date).map(day).collect()
    }

    pub(super) fn order(&self) -> Order {
        let (decision, dry_run) = (self.affected, self.dry_run.unwrap_or(false));
        Order { decision, dry_run, reason: Some(self.reason.trim().to_owned()) }
    }

    pub(super) fn check(&self, conn: &mut PgConnection, scope: Scope, today: NaiveDate) -> Result<()> {
        if !units::exists_in(conn, scope, self.unit_id)? {
            let (zh, en) = ("没有这个单位，或不在您的管辖范围", "There is no such unit within your reach");
            return Err(Error::field("/unit_id", "unknown_unit", zh, en));
        }
        let window = self.window_id.map(|id| windows::find(conn, scope.county, id)).transpose()?;
        if window.is_some_and(|window| window.is_none_or(|window| window.unit_id != self.unit_id)) {
            return Err(Error::field(
                "/window_id",
                "unknown_window",
                "该中心没有这个窗口",
                "the centre has no such window",
            ));
        }
        if self.from_date < today {
            return Err(Error::field(
                "/from_date",
                "past",
                "过去的日期不能更改",
                "days that are over cannot be changed",
            ));
        }
        Ok(())
    }
}
