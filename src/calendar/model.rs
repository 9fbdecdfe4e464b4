//! Days, and what the State Council's notices say of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate, Weekday};

use crate::text_enum;

text_enum! {
    /// What a published notice says of a day.
    pub enum DayKind {
        /// 法定节假日
        Holiday = "holiday",
        /// 调休上班
        Workday = "workday",
    }
}

text_enum! {
    /// Why a day counts as a working day or does not.
    pub enum DayReason {
        Weekday = "weekday",
        Weekend = "weekend",
        /// 法定节假日
        Holiday = "holiday",
        /// 调休上班
        MakeUpWorkday = "make_up_workday",
    }
}

/// A published exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    pub date: NaiveDate,
    pub kind: DayKind,
    pub name: String,
}

/// Everything that has been published and imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    pub years: BTreeSet<i32>,
    pub days: BTreeMap<NaiveDate, (DayKind, String)>,
}

impl Calendar {
    pub fn new(days: impl IntoIterator<Item = Day>) -> Self {
        let mut calendar = Self::default();
        for day in days {
            calendar.years.insert(day.date.year());
            calendar.days.insert(day.date, (day.kind, day.name));
        }
        calendar
    }

    /// Whether and why a day works. Of a year that is not loaded only the weekend rule is known.
    pub fn reason(&self, date: NaiveDate) -> DayReason {
        match self.days.get(&date) {
            Some((DayKind::Holiday, _)) => DayReason::Holiday,
            Some((DayKind::Workday, _)) => DayReason::MakeUpWorkday,
            None if matches!(date.weekday(), Weekday::Sat | Weekday::Sun) => DayReason::Weekend,
            None => DayReason::Weekday,
        }
    }

    pub fn works(&self, date: NaiveDate) -> bool {
        matches!(self.reason(date), DayReason::Weekday | DayReason::MakeUpWorkday)
    }

    /// The name of the holiday that makes this day special.
    pub fn name(&self, date: NaiveDate) -> Option<&str> {
        self.days.get(&date).map(|(_, name)| name.as_str())
    }

    /// Whether the notice of the day's year has been imported.
    pub fn knows(&self, date: NaiveDate) -> bool {
        self.years.contains(&date.year())
    }
}
