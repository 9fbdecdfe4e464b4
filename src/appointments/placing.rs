//! Where something fits: the places that windows have for a wish, and the one that is chosen. Pure.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use uuid::Uuid;

use super::rules::AppointmentError;
use crate::{
    calendar::Calendar,
    clock::local_date,
    settings::Settings,
    windows::{Channel, Opening, Place},
};

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub channel: Channel,
    pub place: Place,
    /// Consecutive slots that the matter needs.
    pub slots: i16,
    /// Kept free before and after; nothing except at home.
    pub travel: TimeDelta,
    /// For somebody of the waiting list, who stands behind nobody.
    pub from_the_line: bool,
}

impl Wish {
    pub fn new(channel: Channel, place: Place, slots: i16, travel_minutes: i16) -> Self {
        let travel = if place == Place::Home { travel_minutes } else { 0 };
        Self { channel, place, slots, travel: TimeDelta::minutes(travel.into()), from_the_line: false }
    }
}

/// A place in a window: everything that a row says about where and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub window: Uuid,
    pub window_name: String,
    pub place: Place,
    pub on_date: NaiveDate,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub busy_from: DateTime<Utc>,
    pub busy_until: DateTime<Utc>,
    pub slots: i16,
    /// Live appointments of the channel, or of all once released, that may overlap each slot, this one included.
    pub capacity: i16,
    pub capacity_total: i16,
}

/// A place with how much is left there.
#[derive(Clone, Debug)]
pub struct Offered {
    pub placed: Placed,
    pub free: i16,
    /// Somebody of the waiting list comes first.
    pub waited_for: bool,
}

/// Every time of a day at which the wish could be served, full ones included, by time; of equal times the window with most left
/// comes first.
pub fn offered(
    openings: &[Opening],
    calendar: &Calendar,
    settings: &Settings,
    wish: &Wish,
    date: NaiveDate,
    now: DateTime<Utc>,
) -> Vec<Offered> {
    let mut found = Vec::new();
    for opening in openings {
        for run in opening.runs(calendar, date, wish.slots, wish.place) {
            let released = now >= run.starts_at() - TimeDelta::minutes(settings.booking_release_minutes_before);
            let left = opening.left(&run, wish.channel, wish.travel, released);
            if run.starts_at() <= now || left.capacity == 0 {
                continue;
            }
            let placed = Placed {
                window: opening.window,
                window_name: opening.name.clone(),
                place: run.place,
                on_date: date,
                starts_at: run.starts_at(),
                ends_at: run.ends_at(),
                busy_from: run.starts_at() - wish.travel,
                busy_until: run.ends_at() + wish.travel,
                slots: wish.slots,
                capacity: left.capacity,
                capacity_total: left.total,
            };
            let waited_for = !wish.from_the_line && opening.waited_for(&run, wish.channel, left, now);
            found.push(Offered { placed, free: left.free, waited_for });
        }
    }
    found.sort_by_key(|offered| (offered.placed.starts_at, -offered.free, offered.placed.window));
    found
}

/// The place for a start: of the windows that offer it the one with most left.
pub fn choose(
    openings: &[Opening],
    calendar: &Calendar,
    settings: &Settings,
    wish: &Wish,
    starts_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Placed, AppointmentError> {
    let mut then = offered(openings, calendar, settings, wish, local_date(starts_at), now);
    then.retain(|offered| offered.placed.starts_at == starts_at);
    if then.is_empty() {
        return Err(AppointmentError::NotOffered);
    }
    if let Some(free) = then.iter().find(|offered| offered.free > 0 && !offered.waited_for) {
        return Ok(free.placed.clone());
    }
    let waited_for = then.iter().any(|offered| offered.waited_for);
    Err(if waited_for { AppointmentError::WaitedFor { starts_at } } else { AppointmentError::Full { starts_at } })
}
