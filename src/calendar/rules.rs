//! Deadlines in working days: pure arithmetic.
//!
//! The count starts on the next working day. A working day counts only if the clock ran for the whole of it: the day of
//! acceptance, the day a pause begins and the day it ends never count. Due is the end of the n-th counted day.

use chrono::{Days, NaiveDate};

use super::model::Calendar;

/// The clock stood still from one day to another, both included; `until` is open while it still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    pub from: NaiveDate,
    pub until: Option<NaiveDate>,
}

impl Pause {
    fn holds(&self, date: NaiveDate) -> bool {
        self.from <= date && self.until.is_none_or(|until| date <= until)
    }
}

/// One day of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub date: NaiveDate,
    /// Which counted day it is, from 1; none when it does not count.
    pub number: Option<u32>,
    pub paused: bool,
}

/// A deadline and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The day at whose end (24:00) it is due.
    pub on: NaiveDate,
    /// A year on the way is not loaded: the weekend rule stood in for its notice.
    pub provisional: bool,
    /// Every day from acceptance to the deadline.
    pub days: Vec<Counted>,
}

/// The deadline of something accepted on a day; none while a pause is open. A limit of 0 is an instant matter (即办件),
/// due at the end of the day of acceptance.
pub fn due(calendar: &Calendar, accepted: NaiveDate, limit: u32, pauses: &[Pause]) -> Option<Due> {
    if pauses.iter().any(|pause| pause.until.is_none()) {
        return None;
    }
    // An instant matter that stood still is due on the day on which it goes on.
    let last = pauses.iter().filter_map(|pause| pause.until).max().filter(|_| limit == 0);
    let mut provisional = !calendar.knows(accepted);
    let mut days = vec![Counted { date: accepted, number: None, paused: false }];
    let (mut date, mut number) = (accepted, 0);
    while number < limit || last.is_some_and(|last| date < last) {
        date = date.checked_add_days(Days::new(1))?;
        provisional |= !calendar.knows(date);
        let paused = pauses.iter().any(|pause| pause.holds(date));
        let counts = number < limit && calendar.works(date) && !paused;
        number += u32::from(counts);
        days.push(Counted { date, number: counts.then_some(number), paused });
    }
    Some(Due { on: date, provisional, days })
}

/// The count from acceptance to a day, of a clock that stood still on it.
pub fn until(calendar: &Calendar, accepted: NaiveDate, last: NaiveDate, pauses: &[Pause]) -> Due {
    let mut number = 0;
    let mut days = vec![Counted { date: accepted, number: None, paused: false }];
    for date in accepted.iter_days().skip(1).take_while(|date| *date <= last) {
        let paused = pauses.iter().any(|pause| pause.holds(date));
        let counts = calendar.works(date) && !paused;
        number += u32::from(counts);
        days.push(Counted { date, number: counts.then_some(number), paused });
    }
    Due { on: last, provisional: days.iter().any(|day| !calendar.knows(day.date)), days }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::calendar::import;

    fn calendar() -> Calendar {
        let file = include_bytes!("../../data/working-calendar.csv");
        Calendar::new(import::parse(file).expect("our own file"))
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn four_hundred_checked_examples() {
        let calendar = calendar();
        let mut reader = csv::Reader::from_reader(&include_bytes!("../../data/working-day-vectors.csv")[..]);
        let mut checked = 0;
        for row in reader.deserialize() {
            let (accepted, limit, expected): (NaiveDate, u32, NaiveDate) = row.expect("a row");
            let due = due(&calendar, accepted, limit, &[]).expect("no pause");
            assert_eq!(due.on, expected, "{accepted} + {limit}");
            assert!(!due.provisional);
            checked += 1;
        }
        assert_eq!(checked, 400);
    }

    #[test]
    fn the_year_after_the_calendar_is_provisional() {
        let due = due(&calendar(), day("2026-12-30"), 5, &[]).expect("no pause");
        assert_eq!((due.on, due.provisional), (day("2027-01-06"), true));
    }

    #[test]
    fn neither_end_of_a_pause_counts() {
        // Thursday; Friday counts, Monday begins and Tuesday ends a pause, Wednesday counts.
        let pause = Pause { from: day("2026-11-23"), until: Some(day("2026-11-24")) };
        let due_on = |pauses: &[Pause]| due(&calendar(), day("2026-11-19"), 2, pauses).map(|due| due.on);
        assert_eq!(due_on(&[pause]), Some(day("2026-11-25")));
        assert_eq!(due_on(&[]), Some(day("2026-11-23")));
        assert_eq!(due_on(&[Pause { until: None, ..pause }]), None);
    }

    proptest! {
        #[test]
        fn exactly_the_limit_of_working_days_lies_behind_the_deadline(offset in 0u64..2300, limit in 0u32..60) {
            let calendar = calendar();
            let accepted = day("2020-01-01") + Days::new(offset);
            let due = due(&calendar, accepted, limit, &[]).expect("no pause");
            let counted = due.days.iter().filter(|day| day.number.is_some()).count() as u32;
            prop_assert_eq!(counted, limit);
            prop_assert_eq!(due.days[0].number, None);
            if limit > 0 {
                prop_assert!(calendar.works(due.on));
            } else {
                prop_assert_eq!(due.on, accepted);
            }
            for pair in due.days.windows(2) {
                prop_assert_eq!(pair[0].date + Days::new(1), pair[1].date);
                prop_assert_eq!(pair[1].number.is_some(), calendar.works(pair[1].date));
            }
        }

        #[test]
        fn later_acceptance_and_longer_limits_and_pauses_never_come_earlier(
            offset in 0u64..2200, later in 0u64..40, limit in 0u32..30, more in 0u32..10, start in 0u64..40, length in 0u64..20,
        ) {
            let calendar = calendar();
            let accepted = day("2020-01-01") + Days::new(offset);
            let on = |accepted, limit, pauses: &[Pause]| due(&calendar, accepted, limit, pauses).expect("closed").on;
            let base = on(accepted, limit, &[]);
            prop_assert!(on(accepted + Days::new(later), limit, &[]) >= base);
            prop_assert!(on(accepted, limit + more, &[]) >= base);
            let from = accepted + Days::new(start);
            let pause = Pause { from, until: Some(from + Days::new(length)) };
            let paused = on(accepted, limit, &[pause]);
            prop_assert!(paused >= base);
            prop_assert!(limit == 0 || !pause.holds(paused));
        }
    }
}
