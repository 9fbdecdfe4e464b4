//! When a message may go out: pure decisions about hours, lateness and what is tried next.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};

use super::model::{Channel, Message, Policy};
use crate::{
    calendar::Calendar,
    clock::{CST, local_date},
    settings::Settings,
};

/// What is to be done with a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Now,
    /// The quiet hours end then.
    Wait(DateTime<Utc>),
    /// Its time has passed.
    Late,
}

/// How often a channel that fails without a final answer is tried, before the next one: WeChat for about two minutes, the
/// gateway for about half an hour.
pub fn most_attempts(channel: Channel) -> i32 {
    match channel {
        Channel::Wechat => 6,
        _ => 10,
    }
}

fn local(date: NaiveDate, hour: u32) -> DateTime<Utc> {
    let time = NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default();
    date.and_time(time).and_local_timezone(CST).single().map(|at| at.to_utc()).unwrap_or_default()
}

/// When the quiet hours end, if it is quiet.
fn quiet_until(settings: &Settings, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let (from, until) = (settings.messages_quiet_from_hour as u32, settings.messages_quiet_until_hour as u32);
    let (today, hour) = (local_date(now), now.with_timezone(&CST).hour());
    if hour < until {
        Some(local(today, until))
    } else if hour >= from {
        today.checked_add_days(Days::new(1)).map(|tomorrow| local(tomorrow, until))
    } else {
        None
    }
}

impl Message {
    /// The time after which it is worth nothing.
    pub fn late_after(&self) -> Option<DateTime<Utc>> {
        let param = self.params[self.kind.definition().late?].as_str()?;
        DateTime::parse_from_rfc3339(param).ok().map(|at| at.to_utc())
    }
}

/// Whether a message may go out now.
pub fn when(message: &Message, settings: &Settings, now: DateTime<Utc>) -> When {
    let policy = message.kind.definition().policy;
    let drops = matches!(policy, Policy::DropIfLate | Policy::NowOrNever);
    if drops && message.late_after().is_some_and(|late| late <= now) {
        return When::Late;
    }
    match quiet_until(settings, now) {
        Some(end) if matches!(policy, Policy::Hold | Policy::DropIfLate) => When::Wait(end),
        _ => When::Now,
    }
}

/// Until when somebody of the staff should have told the person: noon of the next working day, or when the message is late.
pub fn person_due(message: &Message, calendar: &Calendar, now: DateTime<Utc>) -> DateTime<Utc> {
    let days = std::iter::successors(local_date(now).succ_opt(), NaiveDate::succ_opt);
    // A calendar without a working day in two months is a broken one.
    let day = days.take(60).find(|day| calendar.works(*day));
    let due = day.map_or(now + TimeDelta::days(1), |day| local(day, 12));
    message.late_after().map_or(due, |late| due.min(late.max(now)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::messages::Kind;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
    }

    fn message(kind: Kind) -> Message {
        let id = Uuid::nil();
        Message {
            county_id: 1,
            id,
            resident_id: id,
            kind,
            about_id: id,
            params: json!({"expires_at": "2026-11-24T12:00:00+08:00", "called_until": "2026-11-23T20:05:00+08:00"}),
            created_at: at("2026-11-23T08:00:00+08:00"),
            read_at: None,
            words: None,
        }
    }

    #[test]
    fn what_holds_waits_for_the_morning_and_what_is_late_is_dropped() {
        let settings = Settings::default();
        let (held, now_or_never, at_once) =
            (message(Kind::ProxyAccepted), message(Kind::ExportReady), message(Kind::AppointmentBooked));
        let morning = |day: u32| When::Wait(at(&format!("2026-11-{day}T08:00:00+08:00")));
        for (time, expected, urgent) in [
            ("2026-11-23T07:59:59+08:00", morning(23), morning(23)),
            ("2026-11-23T08:00:00+08:00", When::Now, When::Now),
            ("2026-11-23T19:59:59+08:00", When::Now, When::Now),
            ("2026-11-23T20:00:00+08:00", morning(24), morning(24)),
            ("2026-11-24T12:00:00+08:00", When::Now, When::Late),
            ("2026-11-24T23:00:00+08:00", morning(25), When::Late),
        ] {
            assert_eq!(when(&held, &settings, at(time)), expected, "{time}");
            assert_eq!(when(&now_or_never, &settings, at(time)), urgent, "{time}");
            assert_eq!(when(&at_once, &settings, at(time)), When::Now, "{time}");
        }
    }

    #[test]
    fn who_is_called_is_told_by_night_too_but_not_later() {
        let called = message(Kind::TicketCalled);
        for (time, expected) in [("20:00:00", When::Now), ("20:04:59", When::Now), ("20:05:00", When::Late)] {
            let now = at(&format!("2026-11-23T{time}+08:00"));
            assert_eq!(when(&called, &Settings::default(), now), expected, "{time}");
        }
    }

    #[test]
    fn people_are_told_by_noon_of_the_next_working_day() {
        let friday = at("2026-11-27T09:00:00+08:00");
        let due = person_due(&message(Kind::ProxyAccepted), &Calendar::default(), friday);
        assert_eq!(due, at("2026-11-30T12:00:00+08:00"));
        let monday = at("2026-11-23T15:00:00+08:00");
        assert_eq!(
            person_due(&message(Kind::ExportReady), &Calendar::default(), monday),
            at("2026-11-24T12:00:00+08:00")
        );
    }
}
