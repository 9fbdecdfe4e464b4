//! The days that numbers are asked for, as every room's queries name them.

use chrono::{DateTime, Days, NaiveDate, Utc};

use crate::{
    clock::local_midnight,
    error::{Error, FieldError, Result, Text},
};

/// The longest period, in days.
const LONGEST: i64 = 366;

/// From a day up to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from: NaiveDate,
    pub to: NaiveDate,
    next: NaiveDate,
}

impl Period {
    /// As a query says it; the 30 days up to today by default.
    pub fn asked(from: Option<NaiveDate>, to: Option<NaiveDate>, today: NaiveDate) -> Result<Self> {
        let to = to.unwrap_or(today);
        let from = from.unwrap_or(to.checked_sub_days(Days::new(30)).unwrap_or(to));
        let next = to.checked_add_days(Days::new(1));
        let fits = from <= to && (to - from).num_days() <= LONGEST;
        next.filter(|_| fits).map(|next| Self { from, to, next }).ok_or_else(|| {
            let text = Text::fixed(
                "须不晚于 to，且相隔不超过 366 天",
                "must not be after `to`, nor more than 366 days before it",
            );
            Error::invalid(vec![FieldError::query("from", "range", text)])
        })
    }

    /// Its first instant, and the first one after it.
    pub fn instants(self) -> (DateTime<Utc>, DateTime<Utc>) {
        (local_midnight(self.from), local_midnight(self.next))
    }
}
