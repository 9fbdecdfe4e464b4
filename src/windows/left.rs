//! What is left of the slots of a day: pure.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    model::{Channel, Exception, Place, Rule},
    rules::{Run, runs, slots_of_day},
};
use crate::calendar::Calendar;

/// How long before it begins a place can be offered to somebody who waits.
const LAST_OFFER: TimeDelta = TimeDelta::minutes(10);

/// Live appointments with the same times, and of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Busy {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub channel: Channel,
    pub count: i64,
}

/// Somebody waits for slots between `earliest` and `until`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Waiting {
    pub earliest: DateTime<Utc>,
    /// The end of the last one that would do.
    pub until: DateTime<Utc>,
    pub place: Place,
    pub channel: Channel,
}

/// One window: what it offers, and what is taken of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    pub window: Uuid,
    pub name: String,
    pub rules: Vec<Rule>,
    pub exceptions: Vec<Exception>,
    /// Days on which nobody sits there.
    pub away: Vec<NaiveDate>,
    pub busy: Vec<Busy>,
    pub waiting: Vec<Waiting>,
}

/// What is left of a run for a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Places that can be taken now.
    pub free: i16,
    /// How many live appointments of the channel (of all, once released) may overlap each slot.
    pub capacity: i16,
    /// How many of all channels.
    pub total: i16,
}

impl Opening {
    /// The runs that it offers on a day.
    pub fn runs(&self, calendar: &Calendar, date: NaiveDate, count: i16, place: Place) -> Vec<Run> {
        if self.away.contains(&date) {
            return Vec::new();
        }
        runs(&slots_of_day(self.window, &self.rules, &self.exceptions, calendar, date), count, place)
    }

    /// What is left of a run. `travel` is kept free around it; once `released` (unused places of agents and of the desk are
    /// everybody's shortly before) all channels together count.
    pub fn left(&self, run: &Run, channel: Channel, travel: TimeDelta, released: bool) -> Left {
        let total = run.capacity.total();
        let capacity = if released { total } else { run.capacity.of(channel) };
        let last = run.slots.len() - 1;
        let free = run.slots.iter().enumerate().map(|(index, (from, until))| {
            let from = if index == 0 { *from - travel } else { *from };
            let until = if index == last { *until + travel } else { *until };
            let here = self.busy.iter().filter(|busy| busy.from < until && busy.until > from);
            let (mut own, mut all) = (0, 0);
            for busy in here {
                all += busy.count;
                own += if busy.channel == channel { busy.count } else { 0 };
            }
            let own = if released { all } else { own };
            (i64::from(total) - all).min(i64::from(capacity) - own).max(0) as i16
        });
        Left { free: free.min().unwrap_or(0), capacity, total }
    }

    /// Whether somebody in the waiting list comes before whoever asks now. Minutes before it begins a place can be offered to nobody
    /// any more. As the trigger on appointments has it.
    pub fn waited_for(&self, run: &Run, channel: Channel, left: Left, now: DateTime<Utc>) -> bool {
        let everybodys = left.capacity == left.total;
        let in_the_way = |waiting: &Waiting| {
            waiting.place == run.place
                && waiting.earliest < run.ends_at()
                && waiting.until > run.starts_at()
                && (everybodys || waiting.channel == channel)
        };
        run.starts_at() - LAST_OFFER >= now && self.waiting.iter().any(in_the_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::rules::tests::{WINDOW, at, calendar, day, rule};

    fn opening(busy: Vec<Busy>) -> (Opening, Vec<Run>) {
        let opening = Opening {
            window: WINDOW,
            name: String::new(),
            rules: vec![Rule { capacity_public: 2, capacity_proxy: 1, capacity_desk: 1, ..rule() }],
            exceptions: Vec::new(),
            away: Vec::new(),
            busy,
            waiting: Vec::new(),
        };
        let runs = opening.runs(&calendar(), day("2026-11-23"), 2, Place::Centre);
        (opening, runs)
    }

    fn busy(from: &str, until: &str, channel: Channel, count: i64) -> Busy {
        let at = |time: &str| at(&format!("2026-11-23T{time}:00+08:00"));
        Busy { from: at(from), until: at(until), channel, count }
    }

    #[test]
    fn what_is_left_by_channel_and_release() {
        let (none, hour) = (TimeDelta::zero(), TimeDelta::hours(1));
        let (it, runs) = opening(vec![busy("09:00", "09:30", Channel::Public, 1)]);
        let left = |travel, channel, released| it.left(&runs[0], channel, travel, released).free;
        assert_eq!((left(none, Channel::Public, false), left(none, Channel::Public, true)), (1, 3));
        assert_eq!((left(none, Channel::Proxy, false), left(none, Channel::WalkIn, false)), (1, 0));
        assert_eq!(it.left(&runs[2], Channel::Public, none, false).free, 2, "09:30 to 10:30 is another time");
        assert_eq!(it.left(&runs[2], Channel::Public, hour, false).free, 1, "with travel it is not");
        // Kept from a longer slot of old: it takes a place in every slot that it overlaps.
        let (it, runs) = opening(vec![busy("08:30", "10:00", Channel::Public, 2)]);
        let free: Vec<_> = runs.iter().map(|run| it.left(run, Channel::Public, none, false).free).collect();
        assert_eq!(free, [0, 0, 0, 2, 2]);
        let (it, runs) = opening(vec![busy("08:30", "10:00", Channel::Public, 9)]);
        assert_eq!(it.left(&runs[0], Channel::Desk, none, false).free, 0, "never below nothing, and the total counts");
    }
}
