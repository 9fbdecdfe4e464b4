//! What residents may book online, and when again: the fairness of 预约, each limit with its own error. Pure.

use chrono::{DateTime, Days, TimeDelta, Utc};

use super::rules::AppointmentError;
use crate::{
    clock::{local_date, local_midnight},
    settings::Settings,
    windows::Channel,
};

/// What is known of a resident when they book.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Which of their active appointments for the matter and day are taken: 1, 2, …
    pub taken: Vec<i16>,
    /// The starts of appointments booked online to which they did not come.
    pub no_shows: Vec<DateTime<Utc>>,
}

/// Until when online booking is paused: enough no-shows within the days before the last one, which is not long ago.
pub fn paused_until(settings: &Settings, no_shows: &[DateTime<Utc>]) -> Option<DateTime<Utc>> {
    let last = *no_shows.iter().max()?;
    let since = last - TimeDelta::days(settings.booking_no_show_days);
    let count = no_shows.iter().filter(|at| **at > since).count() as i64;
    (count >= settings.booking_no_shows)
        .then(|| local_midnight(local_date(last)) + TimeDelta::days(1 + settings.booking_pause_days))
}

/// Whether a day may be booked, by days ahead: agents and the desk are bound by the past only.
pub fn within_days(
    settings: &Settings,
    channel: Channel,
    starts_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), AppointmentError> {
    let (date, days_ahead) = (local_date(starts_at), settings.booking_days_ahead);
    let ahead = (date - local_date(now)).num_days();
    let opens_at = (ahead > days_ahead).then(|| local_midnight(date) - TimeDelta::days(days_ahead));
    let bound = channel == Channel::Public && opens_at.is_some();
    if ahead < 0 || bound { Err(AppointmentError::OutsideWindow { days_ahead, opens_at }) } else { Ok(()) }
}

/// Which of the resident's appointments for the matter and day this one will be. Pauses bind only who books online; a second
/// booking of the same matter and day is a mistake whoever makes it.
pub fn next(
    settings: &Settings,
    channel: Channel,
    standing: &Standing,
    starts_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<i16, AppointmentError> {
    let paused = paused_until(settings, &standing.no_shows).filter(|until| *until > now);
    if let Some(until) = paused.filter(|_| channel == Channel::Public) {
        return Err(AppointmentError::Paused { until, no_shows: settings.booking_no_shows });
    }
    let most = settings.booking_per_matter_and_day as i16;
    let next_day = local_date(starts_at).checked_add_days(Days::new(1)).map(local_midnight);
    (1..=most).find(|nth| !standing.taken.contains(nth)).ok_or(AppointmentError::AlreadyBooked { next_day })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
    }

    fn days(days: &[&str]) -> Vec<DateTime<Utc>> {
        days.iter().map(|day| at(&format!("{day}T09:00:00+08:00"))).collect()
    }

    #[test]
    fn three_no_shows_in_ninety_days_pause_for_thirty() {
        let settings = Settings::default();
        let until = |no_shows: &[&str]| paused_until(&settings, &days(no_shows));
        assert_eq!(until(&[]), None);
        assert_eq!(until(&["2026-11-02", "2026-11-09"]), None, "two");
        let end = Some(at("2026-12-17T00:00:00+08:00"));
        assert_eq!(until(&["2026-11-02", "2026-11-16", "2026-11-09"]), end, "thirty whole days after the last");
        assert_eq!(until(&["2026-08-18", "2026-11-09", "2026-11-16"]), None, "the first is ninety days old");
        assert_eq!(until(&["2026-08-19", "2026-11-09", "2026-11-16"]), end, "eighty-nine");
    }

    #[test]
    fn a_pause_binds_online_booking_only_and_ends() {
        let (settings, standing) = (
            Settings::default(),
            Standing { taken: vec![], no_shows: days(&["2026-11-02", "2026-11-09", "2026-11-16"]) },
        );
        let starts_at = at("2026-12-17T09:00:00+08:00");
        let next = |channel, now| next(&settings, channel, &standing, starts_at, at(now));
        let until = at("2026-12-17T00:00:00+08:00");
        let paused = Err(AppointmentError::Paused { until, no_shows: 3 });
        assert_eq!(next(Channel::Public, "2026-12-16T23:59:59+08:00"), paused);
        assert_eq!(next(Channel::Public, "2026-12-17T00:00:00+08:00"), Ok(1));
        assert_eq!(next(Channel::Proxy, "2026-11-20T00:00:00+08:00"), Ok(1));
    }

    #[test]
    fn one_a_day_and_matter_unless_the_county_says_more() {
        let starts_at = at("2026-11-23T09:00:00+08:00");
        let next = |most, taken: &[i16]| {
            let settings = Settings { booking_per_matter_and_day: most, ..Settings::default() };
            let standing = Standing { taken: taken.to_vec(), no_shows: vec![] };
            next(&settings, Channel::Desk, &standing, starts_at, starts_at).ok()
        };
        assert_eq!(
            (next(1, &[]), next(1, &[1]), next(2, &[1]), next(2, &[2]), next(2, &[2, 1])),
            (Some(1), None, Some(2), Some(1), None)
        );
    }

    #[test]
    fn days_ahead_bind_residents_and_the_past_binds_all() {
        let settings = Settings::default();
        let now = at("2026-11-23T09:10:00+08:00");
        let within = |channel, day: &str| within_days(&settings, channel, at(&format!("{day}T09:00:00+08:00")), now);
        assert_eq!(within(Channel::Public, "2026-11-30"), Ok(()));
        let opens_at = Some(at("2026-11-24T00:00:00+08:00"));
        let outside = |opens_at| Err(AppointmentError::OutsideWindow { days_ahead: 7, opens_at });
        assert_eq!(within(Channel::Public, "2026-12-01"), outside(opens_at));
        assert_eq!(within(Channel::Proxy, "2026-12-01"), Ok(()));
        assert_eq!(within(Channel::Desk, "2026-11-22"), outside(None));
    }
}
