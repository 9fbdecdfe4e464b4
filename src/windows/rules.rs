//! Slots of a day, computed from rules, exceptions and calendar: pure.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};
use uuid::Uuid;

use super::model::{Capacity, Exception, ExceptionKind, Place, Rule};
use crate::{
    calendar::{Calendar, model::DayReason},
    clock::CST,
};

/// A slot that a window offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub window: Uuid,
    pub place: Place,
    /// The rule or exception that it comes from.
    pub source: Uuid,
    pub capacity: Capacity,
}

/// As many consecutive slots as a matter needs, all of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub window: Uuid,
    pub place: Place,
    /// Begin and end of each slot.
    pub slots: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    pub capacity: Capacity,
}

impl Run {
    pub fn starts_at(&self) -> DateTime<Utc> {
        self.slots[0].0
    }

    pub fn ends_at(&self) -> DateTime<Utc> {
        self.slots[self.slots.len() - 1].1
    }
}

/// The weekday whose rules a day follows, Monday is 0: a statutory holiday closes the centre, a make-up workday opens it
/// like a Monday, and an exception may say otherwise.
fn weekday_of(calendar: &Calendar, exceptions: &[&Exception], date: NaiveDate) -> Option<u32> {
    let said = exceptions.iter().find_map(|exception| exception.like_weekday);
    if let Some(day) = said {
        return u32::try_from(day - 1).ok();
    }
    match calendar.reason(date) {
        DayReason::Holiday => None,
        DayReason::MakeUpWorkday => Some(0),
        DayReason::Weekday | DayReason::Weekend => Some(date.weekday().num_days_from_monday()),
    }
}

impl Rule {
    /// Whether the rule holds on a day that follows the rules of `weekday`.
    pub(super) fn holds(&self, date: NaiveDate, weekday: u32) -> bool {
        let monday = |date: NaiveDate| date - TimeDelta::days(date.weekday().num_days_from_monday().into());
        let weeks = (monday(date) - monday(self.valid_from)).num_weeks();
        self.valid_from <= date
            && self.valid_until.is_none_or(|until| date <= until)
            && self.weekdays & (1 << weekday) != 0
            && weeks % i64::from(self.every_weeks) == 0
    }
}

/// An instant of a local day.
fn local(date: NaiveDate, time: NaiveTime) -> DateTime<Utc> {
    (date.and_time(time) - CST).and_utc()
}

fn cut(date: NaiveDate, (opens_at, closes_at): (NaiveTime, NaiveTime), minutes: i16, slot: Slot, into: &mut Vec<Slot>) {
    let (length, closes_at) = (TimeDelta::minutes(minutes.into()), local(date, closes_at));
    let mut starts_at = local(date, opens_at);
    while starts_at + length <= closes_at {
        let ends_at = starts_at + length;
        into.push(Slot { starts_at, ends_at, ..slot });
        starts_at = ends_at;
    }
}

/// Every slot that one window offers on a day, in order of time. Rules hold by the weekday that the day follows, exceptions
/// open more, and what a closed exception touches is not there. Where two rules offer the same slot their capacities add up.
pub fn slots_of_day(
    window: Uuid,
    rules: &[Rule],
    exceptions: &[Exception],
    calendar: &Calendar,
    date: NaiveDate,
) -> Vec<Slot> {
    let here = |exception: &&Exception| exception.on_date == date && exception.window_id.is_none_or(|of| of == window);
    let today: Vec<&Exception> = exceptions.iter().filter(here).collect();
    let none = DateTime::<Utc>::UNIX_EPOCH;
    let slot = |source, place, capacity| Slot { starts_at: none, ends_at: none, window, place, source, capacity };
    let mut slots = Vec::new();
    if let Some(weekday) = weekday_of(calendar, &today, date) {
        for rule in rules.iter().filter(|rule| rule.window_id == window && rule.holds(date, weekday)) {
            let hours = (rule.opens_at, rule.closes_at);
            cut(date, hours, rule.slot_minutes, slot(rule.id, rule.place, rule.capacity()), &mut slots);
        }
    }
    for exception in today.iter().filter(|exception| exception.kind == ExceptionKind::Open) {
        let hours = exception.opens_at.zip(exception.closes_at);
        if let (Some(hours), Some(minutes), Some(place)) = (hours, exception.slot_minutes, exception.place) {
            cut(date, hours, minutes, slot(exception.id, place, exception.capacity()), &mut slots);
        }
    }
    for exception in today.iter().filter(|exception| exception.kind == ExceptionKind::Closed) {
        let from = exception.opens_at.map(|time| local(date, time));
        let until = exception.closes_at.map(|time| local(date, time));
        let touched = |slot: &Slot| {
            from.is_none_or(|from| slot.ends_at > from) && until.is_none_or(|until| slot.starts_at < until)
        };
        slots.retain(|slot| !touched(slot));
    }
    slots.retain(|slot| slot.capacity.total() > 0);
    slots.sort_by_key(|slot| (slot.starts_at, slot.ends_at, slot.place.as_str(), slot.source));
    slots.dedup_by(|next, kept| {
        let same = (next.starts_at, next.ends_at, next.place) == (kept.starts_at, kept.ends_at, kept.place);
        if same {
            kept.capacity = kept.capacity + next.capacity;
        }
        same
    });
    slots
}

/// Every run of `count` slots at a place that follow each other without a gap and come from one rule: nothing straddles two.
pub fn runs(slots: &[Slot], count: i16, place: Place) -> Vec<Run> {
    let slots: Vec<&Slot> = slots.iter().filter(|slot| slot.place == place).collect();
    let mut found = Vec::new();
    for (index, first) in slots.iter().enumerate() {
        let mut run = Run {
            window: first.window,
            place,
            slots: vec![(first.starts_at, first.ends_at)],
            capacity: first.capacity,
        };
        let following = slots[index + 1..].iter().filter(|slot| slot.source == first.source);
        for next in following {
            if run.slots.len() == count as usize || next.starts_at != run.ends_at() {
                break;
            }
            run.slots.push((next.starts_at, next.ends_at));
            let least = |of: fn(Capacity) -> i16| of(run.capacity).min(of(next.capacity));
            run.capacity = Capacity { public: least(|c| c.public), proxy: least(|c| c.proxy), desk: least(|c| c.desk) };
        }
        if run.slots.len() == count as usize {
            found.push(run);
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{calendar::import, windows::Channel};

    pub const WINDOW: Uuid = Uuid::from_u128(1);

    pub fn calendar() -> Calendar {
        Calendar::new(import::parse(include_bytes!("../../data/working-calendar.csv")).expect("our own file"))
    }

    fn time(text: &str) -> NaiveTime {
        text.parse().expect("a time")
    }

    pub fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    pub fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
    }

    pub fn rule() -> Rule {
        Rule {
            id: Uuid::from_u128(10),
            window_id: WINDOW,
            weekdays: 0b11111,
            opens_at: time("08:30:00"),
            closes_at: time("11:45:00"),
            slot_minutes: 30,
            capacity_public: 4,
            capacity_proxy: 1,
            capacity_desk: 0,
            valid_from: day("2026-01-01"),
            valid_until: Some(day("2026-12-31")),
            place: Place::Centre,
            every_weeks: 1,
        }
    }

    fn exception(on: &str, kind: ExceptionKind) -> Exception {
        Exception {
            id: Uuid::from_u128(20),
            unit_id: Uuid::nil(),
            window_id: None,
            on_date: day(on),
            kind,
            opens_at: None,
            closes_at: None,
            like_weekday: None,
            slot_minutes: None,
            place: None,
            capacity_public: None,
            capacity_proxy: None,
            capacity_desk: None,
            reason: "周末无休".to_owned(),
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    fn on(rules: &[Rule], exceptions: &[Exception], date: &str) -> Vec<Slot> {
        slots_of_day(WINDOW, rules, exceptions, &calendar(), day(date))
    }

    #[test]
    fn holidays_close_and_make_up_workdays_open() {
        let on = |date| on(&[rule()], &[], date).len();
        assert_eq!(on("2026-11-23"), 6, "a Monday");
        assert_eq!(on("2026-11-22"), 0, "a Sunday");
        assert_eq!(on("2026-10-01"), 0, "National Day");
        assert_eq!(on("2026-09-20"), 6, "a Sunday that is worked");
        assert_eq!(on("2025-12-31"), 0, "before the rule");
        assert_eq!(on("2027-01-04"), 0, "after the rule");
    }

    #[test]
    fn the_last_slot_ends_before_closing() {
        let slots = on(&[rule()], &[], "2026-11-23");
        assert_eq!(slots[0].starts_at, at("2026-11-23T08:30:00+08:00"));
        assert_eq!(slots[5].ends_at, at("2026-11-23T11:30:00+08:00"));
        assert_eq!((slots[0].capacity.of(Channel::Proxy), slots[0].capacity.of(Channel::Desk)), (1, 0));
        let nothing = Rule { capacity_public: 0, capacity_proxy: 0, ..rule() };
        assert!(on(&[nothing], &[], "2026-11-23").is_empty());
    }

    #[test]
    fn two_rules_of_a_window_for_the_same_time_add_up() {
        let slots = on(&[rule(), rule()], &[], "2026-11-23");
        assert_eq!((slots.len(), slots[0].capacity.public), (6, 8));
    }

    #[test]
    fn every_second_week_counts_from_the_week_of_the_first_day() {
        let rule = Rule { every_weeks: 2, valid_from: day("2026-11-04"), ..rule() };
        let open = |date| !on(std::slice::from_ref(&rule), &[], date).is_empty();
        assert!(!open("2026-11-03"), "before it begins");
        assert!(open("2026-11-04") && open("2026-11-06"), "the week of its first day");
        assert!(!open("2026-11-09") && !open("2026-11-13"));
        assert!(open("2026-11-16") && open("2026-11-20"));
    }

    #[test]
    fn exceptions_open_and_close() {
        let like_monday = Exception { like_weekday: Some(1), ..exception("2026-11-22", ExceptionKind::Open) };
        assert_eq!(
            on(&[rule()], std::slice::from_ref(&like_monday), "2026-11-22").len(),
            6,
            "a Sunday opened like a Monday"
        );
        let holiday = Exception { on_date: day("2026-10-01"), ..like_monday.clone() };
        assert_eq!(on(&[rule()], &[holiday], "2026-10-01").len(), 6, "a holiday too");
        let evening = Exception {
            opens_at: Some(time("18:00:00")),
            closes_at: Some(time("20:00:00")),
            slot_minutes: Some(60),
            place: Some(Place::Centre),
            capacity_public: Some(2),
            capacity_proxy: Some(0),
            capacity_desk: Some(0),
            ..exception("2026-11-23", ExceptionKind::Open)
        };
        assert_eq!(on(&[rule()], std::slice::from_ref(&evening), "2026-11-23").len(), 8, "extended hours");
        let closed = exception("2026-11-23", ExceptionKind::Closed);
        assert!(on(&[rule()], &[evening, closed.clone()], "2026-11-23").is_empty(), "closed wins");
        let elsewhere = Exception { window_id: Some(Uuid::from_u128(2)), ..closed.clone() };
        assert_eq!(on(&[rule()], &[elsewhere], "2026-11-23").len(), 6, "another window");
        let some = Exception { opens_at: Some(time("09:45:00")), closes_at: Some(time("10:30:00")), ..closed };
        let starts: Vec<_> = on(&[rule()], &[some], "2026-11-23").iter().map(|slot| slot.starts_at).collect();
        let expected = ["08:30", "09:00", "10:30", "11:00"].map(|time| at(&format!("2026-11-23T{time}:00+08:00")));
        assert_eq!(starts, expected, "what it touches");
    }

    #[test]
    fn runs_do_not_straddle_gaps_or_rules() {
        let next = Rule { id: Uuid::from_u128(11), opens_at: time("11:30:00"), closes_at: time("12:30:00"), ..rule() };
        let slots = on(&[rule(), next], &[], "2026-11-23");
        assert_eq!(slots.len(), 8);
        assert_eq!(runs(&slots, 1, Place::Centre).len(), 8);
        let pairs = runs(&slots, 2, Place::Centre);
        assert_eq!(pairs.len(), 5 + 1, "five within the first rule, one within the second");
        assert!(pairs.iter().all(|run| run.starts_at() != at("2026-11-23T11:00:00+08:00")));
        assert!(runs(&slots, 7, Place::Centre).is_empty());
        assert!(runs(&slots, 1, Place::Home).is_empty());
    }

    proptest! {
        #[test]
        fn slots_lie_within_the_hours_and_do_not_overlap(open in 0u32..1200, length in 5i16..480, hours in 1u32..10) {
            let opens_at = NaiveTime::from_num_seconds_from_midnight_opt(open * 60, 0).expect("within a day");
            let close = (open + hours * 60).min(1439);
            let closes_at = NaiveTime::from_num_seconds_from_midnight_opt(close * 60, 0).expect("within a day");
            let rule = Rule { opens_at, closes_at, slot_minutes: length, ..rule() };
            let slots = slots_of_day(WINDOW, &[rule], &[], &calendar(), day("2026-11-23"));
            prop_assert_eq!(slots.len() as u32, (close - open) / length as u32);
            for pair in slots.windows(2) {
                prop_assert_eq!(pair[0].ends_at, pair[1].starts_at);
            }
        }
    }
}
