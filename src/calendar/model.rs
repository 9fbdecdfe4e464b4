//! Days, and what the State Council's notices say of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate, Weekday};

use crate::{crypto, text_enum};

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

/// Holidays of a year by law (全国年节及纪念日放假办法, 11 days until 2024, 13 since). A notice lists at least these; a few days of
/// January that the notice of the year before mentions do not make a year known.
const STATUTORY: usize = 11;

/// Everything that has been published and imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// Years whose notice is complete.
    pub years: BTreeSet<i32>,
    pub days: BTreeMap<NaiveDate, (DayKind, String)>,
    /// What tells this calendar from another: SHA-256 of which days are what.
    pub digest: [u8; 32],
}

impl Calendar {
    pub fn new(days: impl IntoIterator<Item = Day>) -> Self {
        let days: BTreeMap<_, _> = days.into_iter().map(|day| (day.date, (day.kind, day.name))).collect();
        let mut holidays: BTreeMap<i32, usize> = BTreeMap::new();
        for (date, _) in days.iter().filter(|(_, (kind, _))| *kind == DayKind::Holiday) {
            *holidays.entry(date.year()).or_default() += 1;
        }
        let complete = holidays.into_iter().filter(|(_, count)| *count >= STATUTORY);
        let listed: String = days.iter().map(|(date, (kind, _))| format!("{date} {}\n", kind.as_str())).collect();
        Self { years: complete.map(|(year, _)| year).collect(), digest: crypto::digest(listed.as_bytes()), days }
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
