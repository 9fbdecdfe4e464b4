//! Slots of a day, computed from rules and calendar: pure.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use uuid::Uuid;

use super::model::{Channel, Rule};
use crate::{
    calendar::{Calendar, model::DayReason},
    clock::CST,
};

/// A slot that a window offers through a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub window: Uuid,
    pub capacity: i16,
}

/// The weekday whose rules a day follows, Monday is 0: a statutory holiday closes the centre, a make-up workday opens it
/// like a Monday.
pub fn rules_of(calendar: &Calendar, date: NaiveDate) -> Option<u32> {
    match calendar.reason(date) {
        DayReason::Holiday => None,
        DayReason::MakeUpWorkday => Some(0),
        DayReason::Weekday | DayReason::Weekend => Some(date.weekday().num_days_from_monday()),
    }
}

/// Every slot that the rules offer on a day, in order of time and window. Two rules of one window that offer the same
/// start add their capacities up.
pub fn slots_of_day(rules: &[Rule], calendar: &Calendar, date: NaiveDate, channel: Channel) -> Vec<Slot> {
    let Some(weekday) = rules_of(calendar, date) else { return Vec::new() };
    let mut slots: Vec<Slot> = Vec::new();
    for rule in rules {
        let valid = rule.valid_from <= date && rule.valid_until.is_none_or(|until| date <= until);
        if !valid || rule.weekdays & (1 << weekday) == 0 || rule.capacity(channel) == 0 {
            continue;
        }
        let length = TimeDelta::minutes(rule.slot_minutes.into());
        let local = |time| date.and_time(time).and_local_timezone(CST).single().map(|at| at.to_utc());
        let (Some(mut starts_at), Some(closes_at)) = (local(rule.opens_at), local(rule.closes_at)) else { continue };
        while starts_at + length <= closes_at {
            let ends_at = starts_at + length;
            slots.push(Slot { starts_at, ends_at, window: rule.window_id, capacity: rule.capacity(channel) });
            starts_at = ends_at;
        }
    }
    slots.sort_unstable();
    slots.dedup_by(|next, kept| {
        let same = next.starts_at == kept.starts_at && next.ends_at == kept.ends_at && next.window == kept.window;
        if same {
            kept.capacity += next.capacity;
        }
        same
    });
    slots
}

#[cfg(test)]
mod tests {
    use chrono::NaiveTime;
    use proptest::prelude::*;

    use super::*;
    use crate::calendar::import;

    fn calendar() -> Calendar {
        Calendar::new(import::parse(include_bytes!("../../data/working-calendar.csv")).expect("our own file"))
    }

    fn time(text: &str) -> NaiveTime {
        text.parse().expect("a time")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn rule() -> Rule {
        Rule {
            id: Uuid::nil(),
            window_id: Uuid::nil(),
            weekdays: 0b11111,
            opens_at: time("08:30:00"),
            closes_at: time("11:45:00"),
            slot_minutes: 30,
            capacity_public: 4,
            capacity_proxy: 1,
            capacity_desk: 0,
            valid_from: day("2026-01-01"),
            valid_until: Some(day("2026-12-31")),
        }
    }

    #[test]
    fn holidays_close_and_make_up_workdays_open() {
        let on = |date| slots_of_day(&[rule()], &calendar(), day(date), Channel::Public).len();
        assert_eq!(on("2026-11-23"), 6, "a Monday");
        assert_eq!(on("2026-11-22"), 0, "a Sunday");
        assert_eq!(on("2026-10-01"), 0, "National Day");
        assert_eq!(on("2026-09-20"), 6, "a Sunday that is worked");
        assert_eq!(on("2025-12-31"), 0, "before the rule");
        assert_eq!(on("2027-01-04"), 0, "after the rule");
    }

    #[test]
    fn no_capacity_no_slot_and_the_last_slot_ends_before_closing() {
        let slots = |channel| slots_of_day(&[rule()], &calendar(), day("2026-11-23"), channel);
        assert!(slots(Channel::Desk).is_empty());
        let public = slots(Channel::Public);
        assert_eq!(public[0].starts_at.to_rfc3339(), "2026-11-23T00:30:00+00:00");
        assert_eq!(public[5].ends_at.to_rfc3339(), "2026-11-23T03:30:00+00:00");
        assert_eq!(slots(Channel::Proxy)[0].capacity, 1);
    }

    #[test]
    fn two_rules_of_a_window_for_the_same_time_add_up() {
        let slots = slots_of_day(&[rule(), rule()], &calendar(), day("2026-11-23"), Channel::Public);
        assert_eq!((slots.len(), slots[0].capacity), (6, 8));
    }

    proptest! {
        #[test]
        fn slots_lie_within_the_hours_and_do_not_overlap(open in 0u32..1200, length in 5i16..480, hours in 1u32..10) {
            let opens_at = NaiveTime::from_num_seconds_from_midnight_opt(open * 60, 0).expect("within a day");
            let close = (open + hours * 60).min(1439);
            let closes_at = NaiveTime::from_num_seconds_from_midnight_opt(close * 60, 0).expect("within a day");
            let rule = Rule { opens_at, closes_at, slot_minutes: length, ..rule() };
            let slots = slots_of_day(&[rule], &calendar(), day("2026-11-23"), Channel::Public);
            prop_assert_eq!(slots.len() as u32, (close - open) / length as u32);
            for pair in slots.windows(2) {
                prop_assert_eq!(pair[0].ends_at, pair[1].starts_at);
            }
        }
    }
}
