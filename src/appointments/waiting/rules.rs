//! Who may wait, for what, and how long an offer stands: pure.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use crate::{
    appointments::{limits, placing::Offered, rules::AppointmentError},
    clock::{local_date, local_midnight},
    error::{Code, Error},
    settings::Settings,
    windows::Channel,
};

/// Before the start an offer ends, so that whoever takes it can still come; and nobody is asked to decide faster than this.
const LEAST: TimeDelta = TimeDelta::minutes(5);

/// Why somebody cannot wait.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitingError {
    #[error(transparent)]
    Booking(#[from] AppointmentError),
    #[error("a place is free")]
    PlaceFree { starts_at: DateTime<Utc> },
    #[error("it begins too soon")]
    TooSoon,
    #[error("neither waits nor has an offer")]
    NotWaiting,
}

impl From<WaitingError> for Error {
    fn from(error: WaitingError) -> Self {
        match error {
            WaitingError::Booking(error) => error.into(),
            WaitingError::PlaceFree { starts_at } => {
                let at = starts_at.with_timezone(&crate::clock::CST).format("%Y-%m-%d %H:%M");
                Error::new(Code::PlaceFree)
                    .detail(format!("{at} 尚有名额，请直接预约"), format!("{at} has a place: book it"))
            }
            WaitingError::TooSoon => Error::new(Code::SlotNotOffered)
                .detail("即将开始的时段不能候补", "What begins within minutes cannot be waited for"),
            WaitingError::NotWaiting => Code::NotWaiting.into(),
        }
    }
}

/// From when on nothing can be offered for a start any more.
pub fn too_late(starts_at: DateTime<Utc>) -> DateTime<Utc> {
    starts_at - LEAST * 2
}

/// The end of so many minutes of day time; by night, `from` to `until` o'clock, none passes.
fn counted(now: DateTime<Utc>, minutes: i64, (from, until): (i64, i64)) -> DateTime<Utc> {
    let hour = |day: NaiveDate, hour: i64| local_midnight(day) + TimeDelta::hours(hour);
    let (mut left, mut at) = (TimeDelta::minutes(minutes), now);
    loop {
        let day = local_date(at);
        let (begins, ends) = (at.max(hour(day, until)), hour(day, from));
        if begins + left <= ends {
            return begins + left;
        }
        left -= (ends - begins).max(TimeDelta::zero());
        at = local_midnight(day.checked_add_days(Days::new(1)).unwrap_or(day)).max(at + TimeDelta::hours(1));
    }
}

/// Until when a place is offered: the minutes of the county, by day, and in time before it begins. None when that leaves no time
/// to decide.
pub fn offer_until(settings: &Settings, starts_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let night = (settings.messages_quiet_from_hour, settings.messages_quiet_until_hour);
    let until = counted(now, settings.booking_offer_minutes, night).min(starts_at - LEAST);
    (until >= now + LEAST).then_some(until)
}

/// Whether somebody may wait for a start within a range, given what is offered in it. Returns which of their appointments for the
/// matter and day it would be.
pub fn join(
    settings: &Settings,
    channel: Channel,
    standing: &limits::Standing,
    offered: &[Offered],
    latest: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<i16, WaitingError> {
    limits::within_days(settings, channel, latest, now)?;
    // What is not offered is nobody's; otherwise a limit of one's own says more than what is free.
    if offered.is_empty() {
        return Err(AppointmentError::NotOffered.into());
    }
    let nth = limits::next(settings, channel, standing, latest, now)?;
    let free = offered.iter().find(|offered| offered.free > 0 && !offered.waited_for);
    if let Some(free) = free {
        return Err(WaitingError::PlaceFree { starts_at: free.placed.starts_at });
    }
    if too_late(latest) <= now { Err(WaitingError::TooSoon) } else { Ok(nth) }
}

#[cfg(test)]
mod tests {
    use chrono::Timelike;
    use proptest::prelude::*;

    use super::*;
    use crate::clock::CST;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
    }

    #[test]
    fn offers_count_by_day_only_and_end_before_the_start() {
        let settings = Settings::default();
        for (now, starts_at, expected) in [
            ("2026-11-23T09:00:00+08:00", "2026-11-23T15:00:00+08:00", Some("2026-11-23T09:30:00+08:00")),
            ("2026-11-23T19:30:00+08:00", "2026-11-24T15:00:00+08:00", Some("2026-11-23T20:00:00+08:00")),
            ("2026-11-23T19:50:00+08:00", "2026-11-24T15:00:00+08:00", Some("2026-11-24T08:20:00+08:00")),
            ("2026-11-23T20:00:00+08:00", "2026-11-24T15:00:00+08:00", Some("2026-11-24T08:30:00+08:00")),
            ("2026-11-23T23:59:59+08:00", "2026-11-24T15:00:00+08:00", Some("2026-11-24T08:30:00+08:00")),
            ("2026-11-24T03:00:00+08:00", "2026-11-24T15:00:00+08:00", Some("2026-11-24T08:30:00+08:00")),
            ("2026-11-24T08:00:00+08:00", "2026-11-24T15:00:00+08:00", Some("2026-11-24T08:30:00+08:00")),
            ("2026-11-24T03:00:00+08:00", "2026-11-24T08:30:00+08:00", Some("2026-11-24T08:25:00+08:00")),
            ("2026-11-23T09:00:00+08:00", "2026-11-23T09:20:00+08:00", Some("2026-11-23T09:15:00+08:00")),
            ("2026-11-23T09:00:00+08:00", "2026-11-23T09:10:00+08:00", Some("2026-11-23T09:05:00+08:00")),
            ("2026-11-23T09:00:00+08:00", "2026-11-23T09:09:59+08:00", None),
            ("2026-11-23T09:00:00+08:00", "2026-11-23T09:00:00+08:00", None),
        ] {
            assert_eq!(offer_until(&settings, at(starts_at), at(now)), expected.map(at), "{now} for {starts_at}");
        }
        let long = Settings { booking_offer_minutes: 240, ..settings };
        let late = offer_until(&long, at("2026-11-25T09:00:00+08:00"), at("2026-11-23T18:00:00+08:00"));
        assert_eq!(late, Some(at("2026-11-24T10:00:00+08:00")), "two hours today, two tomorrow");
    }

    proptest! {
        #[test]
        fn exactly_the_minutes_of_the_day_are_counted(
            minute in 0i64..2 * 24 * 60, minutes in 5i64..=240, from in 17i64..=23, until in 5i64..=11,
        ) {
            let now = at("2026-11-23T00:00:00+08:00") + TimeDelta::minutes(minute);
            let end = counted(now, minutes, (from, until));
            let by_day = |at: &DateTime<Utc>| {
                let hour = i64::from(at.with_timezone(&CST).hour());
                (until..from).contains(&hour)
            };
            let every = std::iter::successors(Some(now), |at| Some(*at + TimeDelta::minutes(1)));
            let count = every.take_while(|at| *at < end).filter(by_day).count();
            prop_assert_eq!(count as i64, minutes);
            prop_assert!(by_day(&(end - TimeDelta::minutes(1))), "ends by day");
        }

        #[test]
        fn an_offer_leaves_time_to_decide_and_to_come(now in 0i64..24 * 60, ahead in 0i64..2 * 24 * 60) {
            let now = at("2026-11-23T00:00:00+08:00") + TimeDelta::minutes(now);
            let starts_at = now + TimeDelta::minutes(ahead);
            match offer_until(&Settings::default(), starts_at, now) {
                Some(until) => prop_assert!(until >= now + LEAST && until <= starts_at - LEAST),
                None => prop_assert!(too_late(starts_at) < now),
            }
        }
    }
}
