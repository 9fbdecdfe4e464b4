//! Whether settings go together: pure.

use chrono::{DateTime, Utc};

use super::model::{Entry, Settings};
use crate::error::Text;

/// A combination that must hold, the settings it speaks of, and what is said when it does not.
type Rule = (&'static [&'static str], fn(&Settings) -> bool, Text);

const RULES: &[Rule] = &[
    (
        &["booking.days_ahead", "booking.cancel_minutes_before"],
        |settings| settings.booking_cancel_minutes_before <= (settings.booking_days_ahead + 1) * 24 * 60,
        Text::fixed(
            "取消期限长于可预约的天数，预约后就无法取消",
            "nothing that can be booked could be cancelled: the time before the start is longer than the days ahead",
        ),
    ),
    (
        &["errands.yellow_percent", "errands.red_percent"],
        |settings| settings.errands_yellow_percent < settings.errands_red_percent,
        Text::fixed("黄灯须早于红灯", "the lamp must turn yellow before it turns red"),
    ),
];

/// The first combination that a new entry would break, at any time from `now` on: what is scheduled counts too.
pub fn broken(entries: &[Entry], key: &str, now: DateTime<Utc>) -> Option<(DateTime<Utc>, &'static Text)> {
    let mut times: Vec<_> = entries.iter().map(|entry| entry.effective_from).filter(|at| *at > now).collect();
    times.push(now);
    times.sort_unstable();
    let rules = || RULES.iter().filter(|(keys, ..)| keys.contains(&key));
    times.into_iter().find_map(|at| {
        let settings = Settings::at(entries, at);
        rules().find(|(_, holds, _)| !holds(&settings)).map(|(.., words)| (at, words))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_scheduled_counts_too() {
        let at = |day: i64| DateTime::from_timestamp(day * 86_400, 0).expect("a time");
        let entry = |key: &str, value: i64, from| Entry {
            key: key.into(),
            version: 1,
            value: json!(value),
            effective_from: at(from),
            set_by: None,
            set_at: at(0),
            reason: None,
        };
        let far = entry("booking.cancel_minutes_before", 2 * 24 * 60, 0);
        assert_eq!(broken(std::slice::from_ref(&far), "booking.cancel_minutes_before", at(1)), None);
        let later = [far, entry("booking.days_ahead", 0, 5)];
        assert_eq!(broken(&later, "booking.days_ahead", at(1)).map(|(when, _)| when), Some(at(5)));
        // Not a matter of other settings.
        assert_eq!(broken(&later, "staff.totp", at(1)), None);
    }
}
