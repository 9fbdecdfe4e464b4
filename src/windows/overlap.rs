//! Whether two rules of a window would offer the same hours twice: pure.

use chrono::TimeDelta;

use super::model::Rule;

/// After so many weeks every two rhythms have met if they ever do: no pair of 1 to 8 has a greater common multiple than 56.
const RHYTHMS: i64 = 57;

/// Whether two rules of one window and place ever open the same weekday at overlapping hours.
pub fn overlap(one: &Rule, other: &Rule) -> bool {
    let hours = one.opens_at < other.closes_at && other.opens_at < one.closes_at;
    let days = one.weekdays & other.weekdays;
    if (one.window_id, one.place) != (other.window_id, other.place) || !hours || days == 0 {
        return false;
    }
    let from = one.valid_from.max(other.valid_from);
    let until = [one.valid_until, other.valid_until].into_iter().flatten().min();
    let last = from + TimeDelta::weeks(RHYTHMS);
    let last = until.map_or(last, |until| until.min(last));
    // A make-up workday or an exception may give any day the rules of any weekday: only weeks and validity count.
    let both = |date| (0..7).any(|day| days & (1 << day) != 0 && one.holds(date, day) && other.holds(date, day));
    from.iter_days().take_while(|date| *date <= last).any(both)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::windows::Place;

    fn rule(hours: (&str, &str), weekdays: i16) -> Rule {
        let time = |text: &str| format!("{text}:00").parse().expect("a time");
        Rule {
            id: Uuid::now_v7(),
            window_id: Uuid::nil(),
            weekdays,
            opens_at: time(hours.0),
            closes_at: time(hours.1),
            slot_minutes: 30,
            capacity_public: 1,
            capacity_proxy: 1,
            capacity_desk: 1,
            valid_from: "2026-01-01".parse().expect("a date"),
            valid_until: None,
            place: Place::Centre,
            every_weeks: 1,
        }
    }

    #[test]
    fn hours_days_places_and_validity_must_all_meet() {
        let morning = rule(("08:00", "12:00"), 0b11111);
        let meets = |other: &Rule| {
            assert_eq!(overlap(&morning, other), overlap(other, &morning));
            overlap(&morning, other)
        };
        assert!(meets(&rule(("11:00", "13:00"), 0b00001)));
        assert!(!meets(&rule(("12:00", "13:00"), 0b00001)), "right after");
        assert!(!meets(&rule(("11:00", "13:00"), 0b1100000)), "other weekdays");
        assert!(!meets(&Rule { place: Place::Phone, ..morning.clone() }));
        assert!(!meets(&Rule { window_id: Uuid::max(), ..morning.clone() }));
        let past = Rule {
            valid_until: "2025-12-31".parse().ok(),
            valid_from: "2025-01-01".parse().expect("a date"),
            ..morning.clone()
        };
        assert!(!meets(&past), "over before the other begins");
    }

    #[test]
    fn rhythms_meet_or_miss_each_other() {
        let weekly = rule(("08:00", "12:00"), 0b1);
        let every = |weeks, from: &str| Rule {
            every_weeks: weeks,
            valid_from: from.parse().expect("a date"),
            ..weekly.clone()
        };
        assert!(overlap(&weekly, &every(2, "2026-01-05")));
        assert!(!overlap(&every(2, "2026-01-05"), &every(2, "2026-01-12")), "turn and turn about");
        assert!(overlap(&every(2, "2026-01-05"), &every(3, "2026-01-12")));
        assert!(!overlap(&every(4, "2026-01-05"), &every(6, "2026-01-12")), "even and odd weeks");
        assert!(overlap(&every(7, "2026-01-05"), &every(8, "2026-01-12")));
    }
}
