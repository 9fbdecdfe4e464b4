//! What may become of a ticket: pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::model::{Desk, Ticket, local};
use crate::{
    appointments::model::{AppointmentState as State, Move},
    clock::local_date,
    error::{Code, Error, Result},
    windows::Place,
};

/// Nobody takes a ticket earlier than this before their slot: the line is for those who are next.
pub const EARLIEST: TimeDelta = TimeDelta::hours(2);

/// A call repeated sooner is the same finger on the same button.
pub const SAME_CALL: TimeDelta = TimeDelta::seconds(10);

/// So many must have been served today before their mean says more than the setting.
pub const ENOUGH: i64 = 5;

/// What a command comes to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is so already: pressed twice.
    Already,
    /// The ticket as it shall be.
    Becomes(Box<Ticket>),
}

fn becomes(ticket: Ticket) -> Result<Outcome> {
    Ok(Outcome::Becomes(Box::new(ticket)))
}

/// 409 with the state that stands against it.
fn refused(code: Code, state: State) -> Error {
    let words = state.words();
    Error::new(code).detail(format!("当前状态：{}", words.zh), format!("Its state: {}", words.en))
}

fn moved(row: &Ticket, order: Move) -> Result<Ticket> {
    if order.from().contains(&row.state) {
        Ok(Ticket { state: order.to(), ..row.clone() })
    } else {
        Err(refused(Code::NotBooked, row.state))
    }
}

/// The number on a ticket: `A001` for appointments, `B001` for walk-ins.
pub fn label(walk_in: bool, number: i32) -> String {
    format!("{}{number:03}", if walk_in { 'B' } else { 'A' })
}

/// Somebody is here. The number is still to be given to those who have none.
pub fn arrive(row: &Ticket, grace: TimeDelta, now: DateTime<Utc>) -> Result<Outcome> {
    if !matches!(row.state, State::Booked | State::Missed | State::Arrived | State::Called | State::Serving) {
        return Err(refused(Code::CannotArrive, row.state));
    }
    if row.place != Place::Centre {
        return Err(Code::NotAtCentre.into());
    }
    let day = local_date(row.starts_at);
    if day != local_date(now) {
        return Err(Error::new(Code::NotToday).detail(format!("预约日期为 {day}"), format!("It is on {day}")));
    }
    if matches!(row.state, State::Arrived | State::Called | State::Serving) {
        return Ok(Outcome::Already);
    }
    let earliest = row.starts_at - EARLIEST;
    if now < earliest {
        let at = local(earliest).format("%H:%M");
        let early = Error::new(Code::ArrivalTooEarly).detail(format!("{at} 起可签到"), format!("Possible from {at}"));
        return Err(early.possible_at(earliest));
    }
    // Whoever has missed their calls comes back behind those who wait.
    let on_time = row.state == State::Booked && now <= row.starts_at + grace;
    becomes(Ticket {
        arrived_at: row.arrived_at.or(Some(now)),
        on_time: Some(on_time),
        queue_at: Some(if on_time { row.starts_at } else { now }),
        desk_id: None,
        calls: 0,
        ..moved(row, Move::Arrive)?
    })
}

/// A window that can call now.
pub fn free(desk: &Desk) -> Result<()> {
    if !desk.open {
        return Err(Code::WindowClosed.into());
    }
    if desk.paused_at.is_some() {
        return Err(Code::WindowPaused.into());
    }
    match (&desk.ticket, desk.ticket_state) {
        (Some(ticket), Some(state)) => {
            let words = state.words();
            let (zh, en) = (format!("{ticket} {}", words.zh), format!("{ticket}: {}", words.en));
            Err(Error::new(Code::WindowBusy).detail(zh, en))
        }
        _ => Ok(()),
    }
}

/// This very ticket, to this window.
pub fn call(row: &Ticket, desk: &Desk, now: DateTime<Utc>) -> Result<Outcome> {
    if matches!(row.state, State::Called | State::Serving) {
        if row.desk_id == Some(desk.id) && row.state == State::Called {
            return Ok(Outcome::Already);
        }
        let (ticket, at) = (row.ticket.as_deref().unwrap_or_default(), row.desk_name.as_deref().unwrap_or_default());
        let (zh, en) = (format!("{ticket} 在 {at}"), format!("{ticket} is at {at}"));
        return Err(Error::new(Code::AlreadyCalled).detail(zh, en));
    }
    let ticket = moved(row, Move::Call)?;
    if local_date(row.starts_at) != local_date(now) {
        return Err(Code::NotToday.into());
    }
    free(desk)?;
    becomes(Ticket { desk_id: Some(desk.id), called_at: Some(now), calls: row.calls + 1, ..ticket })
}

pub fn recall(row: &Ticket, now: DateTime<Utc>) -> Result<Outcome> {
    let ticket = moved(row, Move::Recall)?;
    if row.called_at.is_some_and(|at| now < at + SAME_CALL) {
        return Ok(Outcome::Already);
    }
    becomes(Ticket { called_at: Some(now), calls: row.calls.saturating_add(1), ..ticket })
}

/// Did not come: behind those who wait, or out of the line after `most` calls.
pub fn skip(row: &Ticket, most: i64, now: DateTime<Utc>) -> Result<Outcome> {
    if i64::from(row.calls) >= most {
        return becomes(moved(row, Move::Miss)?);
    }
    becomes(Ticket { desk_id: None, on_time: Some(false), queue_at: Some(now), ..moved(row, Move::Skip)? })
}

pub fn serve(row: &Ticket, now: DateTime<Utc>) -> Result<Outcome> {
    if row.state == State::Serving {
        return Ok(Outcome::Already);
    }
    becomes(Ticket { served_at: Some(now), ..moved(row, Move::Serve)? })
}

/// Done: at the centre after being served; elsewhere nobody stands in line.
pub fn finish(row: &Ticket, now: DateTime<Utc>) -> Result<Outcome> {
    if row.state == State::Done {
        return Ok(Outcome::Already);
    }
    let order = if row.place == Place::Centre { Move::Finish } else { Move::FinishAway };
    let ticket = moved(row, order)?;
    if row.place != Place::Centre && now < row.starts_at {
        return Err(Error::new(Code::NotBegun).possible_at(row.starts_at));
    }
    becomes(Ticket { finished_at: Some(now), desk_id: row.desk_id.or(Some(row.window_id)), ..ticket })
}

/// To another window of the centre, at the front of its line.
pub fn transfer(row: &Ticket, desk: &Desk) -> Result<Outcome> {
    if row.state == State::Arrived && row.desk_id == Some(desk.id) {
        return Ok(Outcome::Already);
    }
    let ticket = moved(row, Move::Transfer)?;
    if row.desk_id == Some(desk.id) {
        let (zh, en) = ("已在该窗口", "it is at this window already");
        return Err(Error::field("/window_id", "same_window", zh, en));
    }
    if !desk.open {
        return Err(Code::WindowClosed.into());
    }
    becomes(Ticket { desk_id: Some(desk.id), served_at: None, ..ticket })
}

pub fn no_show(row: &Ticket, grace: TimeDelta, now: DateTime<Utc>) -> Result<Outcome> {
    if row.state == State::NoShow {
        return Ok(Outcome::Already);
    }
    let ticket = moved(row, Move::NoShow)?;
    let from = row.starts_at + grace;
    if now <= from {
        let at = local(from).format("%H:%M");
        let early = Error::new(Code::NoShowTooEarly).detail(format!("{at} 之后可登记"), format!("Possible after {at}"));
        return Err(early.possible_at(from));
    }
    becomes(ticket)
}

pub fn excuse(row: &Ticket, reason: &str, now: DateTime<Utc>) -> Result<Outcome> {
    let ticket = moved(row, Move::Excuse)?;
    becomes(Ticket { cancelled_at: Some(now), cancel_reason: Some(reason.to_owned()), ..ticket })
}

/// Minutes until the turn of somebody with so many ahead: their serving, shared by the windows that call them, rounded up.
/// None while no window calls.
pub fn estimate(ahead: usize, service_minutes: f64, windows: usize) -> Option<i64> {
    (windows > 0).then(|| (ahead as f64 * service_minutes / windows as f64).ceil() as i64)
}

/// How long serving lasts: the mean of those served today once there are enough of them, otherwise the setting.
pub fn service_minutes(served: i64, mean_seconds: Option<f64>, setting: i64) -> f64 {
    match mean_seconds {
        Some(seconds) if served >= ENOUGH => seconds / 60.0,
        _ => setting as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_rounded_up_and_need_a_window() {
        for (ahead, minutes, windows, expected) in [
            (0, 10.0, 2, Some(0)),
            (1, 10.0, 2, Some(5)),
            (3, 10.0, 2, Some(15)),
            (1, 10.0, 3, Some(4)),
            (5, 7.5, 1, Some(38)),
            (5, 7.5, 0, None),
        ] {
            assert_eq!(estimate(ahead, minutes, windows), expected, "{ahead} ahead, {windows} windows");
        }
    }

    #[test]
    fn the_mean_counts_from_the_fifth_on() {
        assert_eq!(service_minutes(4, Some(120.0), 10), 10.0);
        assert_eq!(service_minutes(5, Some(120.0), 10), 2.0);
        assert_eq!(service_minutes(0, None, 7), 7.0);
    }

    #[test]
    fn numbers_grow_beyond_three_digits() {
        assert_eq!(
            (label(false, 1), label(true, 12), label(false, 1000)),
            ("A001".into(), "B012".into(), "A1000".into())
        );
    }
}
