//! Whether something may be booked or cancelled: pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::model::{Appointment, AppointmentState};
use crate::{
    calendar::Calendar,
    clock::{CST, local_date},
    error::{Code, Error},
    people::{self, IdentityLevel},
    settings::Settings,
    windows::{Channel, Rule, Slot, slots_of_day},
};

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppointmentError {
    #[error("outside the days that can be booked")]
    OutsideWindow { days_ahead: i64 },
    #[error("no slot begins then")]
    NotOffered,
    #[error("full")]
    Full { starts_at: DateTime<Utc> },
    #[error("already cancelled")]
    AlreadyCancelled,
    #[error("too late to cancel online")]
    TooLate { until: DateTime<Utc> },
}

impl From<AppointmentError> for Error {
    fn from(error: AppointmentError) -> Self {
        let at = |at: DateTime<Utc>| at.with_timezone(&CST).format("%Y-%m-%d %H:%M").to_string();
        match error {
            AppointmentError::OutsideWindow { days_ahead } => Error::new(Code::BookingWindow).detail(
                format!("可预约今天起 {days_ahead} 天内的时段"),
                format!("Slots can be booked from today to {days_ahead} days ahead"),
            ),
            AppointmentError::NotOffered => Error::new(Code::SlotNotOffered)
                .detail("请从 /v1/slots 返回的时段中选择", "Choose one of the slots that /v1/slots answers"),
            AppointmentError::Full { starts_at } => Error::new(Code::SlotFull)
                .detail(format!("{} 的名额已被约完", at(starts_at)), format!("{} has no place left", at(starts_at))),
            AppointmentError::AlreadyCancelled => Code::AlreadyCancelled.into(),
            AppointmentError::TooLate { until } => Error::new(Code::CancelTooLate).detail(
                format!("可在线取消至 {}；请致电或到窗口办理", at(until)),
                format!("Online it was possible until {}; call the centre", at(until)),
            ),
        }
    }
}

/// The slots that begin at `starts_at`, one per window that offers it; not empty.
pub fn book(
    rules: &[Rule],
    calendar: &Calendar,
    settings: &Settings,
    channel: Channel,
    starts_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Slot>, AppointmentError> {
    let date = local_date(starts_at);
    let ahead = (date - local_date(now)).num_days();
    // An agent or the desk is not bound by the online limit.
    let bound = channel == Channel::Public && ahead > settings.booking_days_ahead;
    if ahead < 0 || bound {
        return Err(AppointmentError::OutsideWindow { days_ahead: settings.booking_days_ahead });
    }
    let mut slots = slots_of_day(rules, calendar, date, channel);
    slots.retain(|slot| slot.starts_at == starts_at && starts_at > now);
    if slots.is_empty() { Err(AppointmentError::NotOffered) } else { Ok(slots) }
}

/// Whether we are sure enough who it is for; the desk and agents see the person.
pub fn identity(level: IdentityLevel, needed: IdentityLevel, channel: Channel) -> Result<(), Error> {
    let sure = level >= needed || channel != Channel::Public;
    if sure { Ok(()) } else { Err(people::identity_needed(needed)) }
}

/// Whether an appointment may be cancelled; a resident must do so in time, staff may until it begins.
pub fn cancel(
    appointment: &Appointment,
    settings: &Settings,
    resident: bool,
    now: DateTime<Utc>,
) -> Result<(), AppointmentError> {
    if appointment.state == AppointmentState::Cancelled {
        return Err(AppointmentError::AlreadyCancelled);
    }
    let minutes = if resident { settings.booking_cancel_minutes_before } else { 0 };
    let until = appointment.starts_at - TimeDelta::minutes(minutes);
    if now > until { Err(AppointmentError::TooLate { until }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, NaiveTime};
    use uuid::Uuid;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
    }

    fn rule() -> Rule {
        let time = |hour| NaiveTime::from_hms_opt(hour, 0, 0).expect("a time");
        Rule {
            id: Uuid::nil(),
            window_id: Uuid::nil(),
            weekdays: 0b11111,
            opens_at: time(9),
            closes_at: time(11),
            slot_minutes: 30,
            capacity_public: 1,
            capacity_proxy: 1,
            capacity_desk: 0,
            valid_from: NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date"),
            valid_until: None,
        }
    }

    #[test]
    fn booking_by_time_and_channel() {
        let now = at("2026-11-23T09:10:00+08:00");
        let cases = [
            ("2026-11-23T09:30:00+08:00", Channel::Public, Ok(1)),
            ("2026-11-23T01:30:00Z", Channel::Public, Ok(1)),
            ("2026-11-23T09:00:00+08:00", Channel::Public, Err(AppointmentError::NotOffered)),
            ("2026-11-23T09:40:00+08:00", Channel::Public, Err(AppointmentError::NotOffered)),
            ("2026-11-23T11:00:00+08:00", Channel::Public, Err(AppointmentError::NotOffered)),
            ("2026-11-28T09:30:00+08:00", Channel::Public, Err(AppointmentError::NotOffered)),
            ("2026-11-23T09:30:00+08:00", Channel::Desk, Err(AppointmentError::NotOffered)),
            ("2026-11-30T09:30:00+08:00", Channel::Public, Ok(1)),
            ("2026-12-01T09:30:00+08:00", Channel::Public, Err(AppointmentError::OutsideWindow { days_ahead: 7 })),
            ("2026-12-01T09:30:00+08:00", Channel::Proxy, Ok(1)),
            ("2026-11-20T09:30:00+08:00", Channel::Proxy, Err(AppointmentError::OutsideWindow { days_ahead: 7 })),
        ];
        for (starts_at, channel, expected) in cases {
            let found = book(&[rule()], &Calendar::default(), &Settings::default(), channel, at(starts_at), now);
            assert_eq!(found.map(|slots| slots.len()), expected, "{starts_at} {channel:?}");
        }
    }
}
