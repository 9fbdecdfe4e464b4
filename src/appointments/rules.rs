//! Whether something may be booked, moved or cancelled: pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::model::{Appointment, AppointmentState, Move};
use crate::{
    clock::CST,
    error::{Code, Error},
    people::{self, IdentityLevel},
    settings::Settings,
    windows::{Channel, Place},
};

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppointmentError {
    #[error("outside the days that can be booked")]
    OutsideWindow { days_ahead: i64, opens_at: Option<DateTime<Utc>> },
    #[error("no slot begins then")]
    NotOffered,
    #[error("full")]
    Full { starts_at: DateTime<Utc> },
    #[error("others wait for it")]
    WaitedFor { starts_at: DateTime<Utc> },
    #[error("already booked")]
    AlreadyBooked { next_day: Option<DateTime<Utc>> },
    #[error("paused after no-shows")]
    Paused { until: DateTime<Utc>, no_shows: i64 },
    #[error("already cancelled")]
    AlreadyCancelled,
    #[error("too late to cancel or to move online")]
    TooLate { until: DateTime<Utc> },
    #[error("not in a state for this")]
    State { state: AppointmentState },
    #[error("held no longer")]
    HoldExpired,
}

impl From<AppointmentError> for Error {
    fn from(error: AppointmentError) -> Self {
        let at = |at: DateTime<Utc>| at.with_timezone(&CST).format("%Y-%m-%d %H:%M").to_string();
        match error {
            AppointmentError::OutsideWindow { days_ahead, opens_at } => {
                let error = Error::new(Code::BookingWindow).detail(
                    format!("可预约今天起 {days_ahead} 天内的时段"),
                    format!("Slots can be booked from today to {days_ahead} days ahead"),
                );
                Error { possible_at: opens_at, ..error }
            }
            AppointmentError::NotOffered => Error::new(Code::SlotNotOffered)
                .detail("请从 /v1/slots 返回的时段中选择", "Choose one of the slots that /v1/slots answers"),
            AppointmentError::Full { starts_at } => Error::new(Code::SlotFull).detail(
                format!("{} 的名额已被约完", at(starts_at)),
                format!("{} has no place left", at(starts_at)),
            ),
            AppointmentError::WaitedFor { starts_at } => Error::new(Code::SlotWaitedFor).detail(
                format!("{} 已有人候补，可加入候补（/v1/waiting）", at(starts_at)),
                format!("Others wait for {}; join the waiting list (/v1/waiting)", at(starts_at)),
            ),
            AppointmentError::AlreadyBooked { next_day } => {
                let error = Error::new(Code::AlreadyBooked).detail(
                    "同一事项次日起的时段可以预约；也可改期或取消原预约",
                    "Book the matter for another day, or move or cancel the appointment that there is",
                );
                Error { possible_at: next_day, ..error }
            }
            AppointmentError::Paused { until, no_shows } => Error::new(Code::BookingPaused)
                .detail(
                    format!("爽约达 {no_shows} 次，{} 起可再次在线预约；窗口和代办员仍可为您预约", at(until)),
                    format!(
                        "{no_shows} appointments were not kept; online again from {}. The desk and agents still book for you",
                        at(until)
                    ),
                )
                .possible_at(until),
            AppointmentError::AlreadyCancelled => Code::AlreadyCancelled.into(),
            AppointmentError::TooLate { until } => Error::new(Code::CancelTooLate).detail(
                format!("可在线取消或改期至 {}；请致电或到窗口办理", at(until)),
                format!("Online it was possible until {}; call the centre", at(until)),
            ),
            AppointmentError::State { state } => {
                let words = state.words();
                Error::new(Code::NotBooked).detail(format!("当前状态：{}", words.zh), format!("It is {}", words.en))
            }
            AppointmentError::HoldExpired => Code::HoldExpired.into(),
        }
    }
}

/// Whether we are sure enough who it is for; the desk and agents see the person.
pub fn identity(level: IdentityLevel, needed: IdentityLevel, channel: Channel) -> Result<(), Error> {
    let sure = level >= needed || channel != Channel::Public;
    if sure { Ok(()) } else { Err(people::identity_needed(needed)) }
}

/// Where it takes place: one of the matter's places, by default the first; with an address exactly for a visit at home.
pub fn place(asked: Option<Place>, places: &[Place]) -> Result<Place, Error> {
    let place = asked.or(places.first().copied()).unwrap_or(Place::Centre);
    if places.contains(&place) {
        return Ok(place);
    }
    Err(Error::field("/place", "place_not_served", "该事项不能在此办理", "the matter is not done there"))
}

/// An address belongs to a visit at home, and to nothing else.
pub fn address(place: Place, address: Option<&str>) -> Result<(), Error> {
    match (place, address.filter(|words| !words.trim().is_empty())) {
        (Place::Home, None) => Err(Error::field("/address", "required", "上门须写明地址", "say where to come")),
        (Place::Home, Some(_)) | (_, None) => Ok(()),
        (_, Some(_)) => {
            Err(Error::field("/address", "not_at_home", "只有上门才需要地址", "only a visit at home has an address"))
        }
    }
}

/// Whether a move starts from where the appointment stands.
pub fn may(appointment: &Appointment, step: Move) -> Result<(), AppointmentError> {
    match appointment.state {
        state if step.from().contains(&state) => Ok(()),
        AppointmentState::Cancelled if step == Move::Cancel => Err(AppointmentError::AlreadyCancelled),
        state => Err(AppointmentError::State { state }),
    }
}

/// Whether an appointment may be cancelled, or given up for another time: a resident must do so in time, staff may until it begins,
/// and what is only held may go at any time.
pub fn give_up(
    appointment: &Appointment,
    step: Move,
    settings: &Settings,
    resident: bool,
    now: DateTime<Utc>,
) -> Result<(), AppointmentError> {
    may(appointment, step)?;
    let minutes = match (appointment.state, resident) {
        (AppointmentState::Booked, true) => settings.booking_cancel_minutes_before,
        (AppointmentState::Booked, false) => 0,
        // Held, or already in the hall: whoever wants to leave leaves.
        _ => return Ok(()),
    };
    let until = appointment.starts_at - TimeDelta::minutes(minutes);
    if now > until { Err(AppointmentError::TooLate { until }) } else { Ok(()) }
}

/// Whether a held place may still be booked.
pub fn book(appointment: &Appointment, now: DateTime<Utc>) -> Result<(), AppointmentError> {
    may(appointment, Move::Book).map_err(|error| match appointment.state {
        AppointmentState::Lapsed => AppointmentError::HoldExpired,
        _ => error,
    })?;
    if appointment.held_until.is_some_and(|until| until > now) { Ok(()) } else { Err(AppointmentError::HoldExpired) }
}
