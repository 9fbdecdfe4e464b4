//! Whom a change of the opening affects: pure.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use uuid::Uuid;

use crate::{
    appointments::AppointmentState,
    calendar::Calendar,
    clock::{CST, local_date},
    windows::{Busy, Channel, Exception, ExceptionKind, Opening, Place, Run, Slot, Waiting, runs, slots_of_day},
};

/// A booking that is still to come, or a hold.
#[derive(Clone, Debug)]
pub struct Booking {
    pub id: Uuid,
    pub window: Uuid,
    pub matter: Uuid,
    pub resident: Uuid,
    /// Where the resident lives, or the unit of the centre.
    pub lives_in: Uuid,
    pub channel: Channel,
    pub place: Place,
    pub state: AppointmentState,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub busy_from: DateTime<Utc>,
    pub busy_until: DateTime<Utc>,
    /// It was made when unused places were everybody's: only the total counts.
    pub released: bool,
    pub nth: i16,
    pub created_at: DateTime<Utc>,
}

/// A window with what it offers and what is taken of it.
#[derive(Clone, Debug)]
pub struct Desk {
    pub open: bool,
    /// The matters that it serves.
    pub serves: Vec<Uuid>,
    /// Units whose specialist (特派员) sits there.
    pub specialist_of: Vec<Uuid>,
    pub opening: Opening,
}

/// What a matter needs.
#[derive(Clone, Debug)]
pub struct Needs {
    pub slots: i16,
    pub travel_minutes: i16,
    pub own_specialist: bool,
}

/// A centre as it is, or as it would be.
#[derive(Clone, Debug, Default)]
pub struct Centre {
    pub desks: Vec<Desk>,
    /// Those to come; those who have arrived stay where they are.
    pub bookings: Vec<Booking>,
    /// Live appointments that no change moves any more, per window.
    pub settled: HashMap<Uuid, Vec<Busy>>,
    pub matters: HashMap<Uuid, Needs>,
    /// Who waits, for which matter.
    pub waiting: Vec<(Uuid, Waiting)>,
}

/// Why a booking does not fit, the worst last: who was told to come in spite of one fault must still be asked about a worse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// More are booked than there are places: those who booked last.
    NoPlace,
    /// Nothing is offered at its time, though somebody may be there.
    NoSlot,
    /// Nobody is there for it: the window or the centre is closed, or the matter is done there no more.
    Closed,
}

/// Begin and end of each slot, and all of one rule, over the time of a booking.
fn covering(slots: &[Slot], booking: &Booking) -> Option<Run> {
    (1..=slots.len() as i16)
        .map(|count| runs(slots, count, booking.place))
        .take_while(|runs| !runs.is_empty())
        .flatten()
        .find(|run| run.starts_at() == booking.starts_at && run.ends_at() >= booking.ends_at)
}

impl Desk {
    fn slots(&self, calendar: &Calendar, date: NaiveDate) -> Vec<Slot> {
        let opening = &self.opening;
        if opening.away.contains(&date) {
            return Vec::new();
        }
        slots_of_day(opening.window, &opening.rules, &opening.exceptions, calendar, date)
    }

    /// Whether an exception closes the time of a booking.
    fn shut(&self, booking: &Booking, date: NaiveDate) -> bool {
        let at = |time: NaiveTime| (date.and_time(time) - CST).and_utc();
        let here = |closed: &&Exception| {
            closed.kind == ExceptionKind::Closed
                && closed.on_date == date
                && closed.window_id.is_none_or(|of| of == self.opening.window)
        };
        self.opening.exceptions.iter().filter(here).any(|closed| {
            closed.opens_at.is_none_or(|from| at(from) < booking.ends_at)
                && closed.closes_at.is_none_or(|until| at(until) > booking.starts_at)
        })
    }

    /// Whether slots of a day and place overlap without being the same: two sources open the same hours.
    pub fn clashes(&self, calendar: &Calendar, date: NaiveDate) -> bool {
        let slots = self.slots(calendar, date);
        let mut pairs =
            slots.iter().enumerate().flat_map(|(index, one)| slots[index + 1..].iter().map(move |other| (one, other)));
        pairs.any(|(one, other)| {
            one.place == other.place && one.starts_at < other.ends_at && other.starts_at < one.ends_at
        })
    }
}

impl Booking {
    /// What it takes.
    pub fn busy(&self) -> Busy {
        Busy { from: self.busy_from, until: self.busy_until, channel: self.channel, count: 1 }
    }
}

impl Centre {
    pub fn desk(&mut self, window: Uuid) -> Option<&mut Desk> {
        self.desks.iter_mut().find(|desk| desk.opening.window == window)
    }

    /// What does not fit into the opening. Of those too many for a slot it is the ones who booked last.
    pub fn unfit(&self, calendar: &Calendar) -> HashMap<Uuid, Fault> {
        let mut faults = HashMap::new();
        for desk in &self.desks {
            let window = desk.opening.window;
            let settled = self.settled.get(&window).cloned().unwrap_or_default();
            let mut so_far = Opening { busy: settled, waiting: Vec::new(), ..desk.opening.clone() };
            let mut days: BTreeMap<NaiveDate, Vec<Slot>> = BTreeMap::new();
            let mut here: Vec<_> = self.bookings.iter().filter(|booking| booking.window == window).collect();
            here.sort_by_key(|booking| (booking.created_at, booking.id));
            for booking in here {
                let date = local_date(booking.starts_at);
                let slots = days.entry(date).or_insert_with(|| desk.slots(calendar, date));
                let fits = desk.open && desk.serves.contains(&booking.matter);
                let Some(run) = covering(slots, booking).filter(|_| fits) else {
                    let shut = !fits || desk.shut(booking, date);
                    faults.insert(booking.id, if shut { Fault::Closed } else { Fault::NoSlot });
                    continue;
                };
                let travel = booking.starts_at - booking.busy_from;
                if so_far.left(&run, booking.channel, travel, booking.released).free == 0 {
                    faults.insert(booking.id, Fault::NoPlace);
                    continue;
                }
                so_far.busy.push(booking.busy());
            }
        }
        faults
    }

    /// Everybody in the waiting list stands before every window that serves their matter.
    pub fn line_up(&mut self) {
        for desk in &mut self.desks {
            let here = self.waiting.iter().filter(|(matter, _)| desk.serves.contains(matter));
            desk.opening.waiting = here.map(|(_, waiting)| waiting.clone()).collect();
        }
    }
}

/// Those for whom it is worse afterwards than before; by time.
pub fn affected(before: &Centre, after: &Centre, calendar: &Calendar) -> Vec<Booking> {
    let (was, is) = (before.unfit(calendar), after.unfit(calendar));
    let worse = |booking: &&Booking| is.get(&booking.id) > was.get(&booking.id);
    by_time(after.bookings.iter().filter(worse).cloned().collect())
}

/// In the order in which they find other places: by time, of the same time those first who booked first.
pub fn by_time(mut bookings: Vec<Booking>) -> Vec<Booking> {
    bookings.sort_by_key(|booking| (booking.starts_at, booking.created_at, booking.id));
    bookings
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::windows::Rule;

    const MATTER: Uuid = Uuid::from_u128(7);

    pub fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(&format!("{text}:00+08:00")).expect("a time").to_utc()
    }

    fn rule(window: Uuid, capacity: i16) -> Rule {
        Rule {
            id: Uuid::from_u128(window.as_u128() + 100),
            window_id: window,
            weekdays: 0b11111,
            opens_at: "09:00:00".parse().expect("a time"),
            closes_at: "11:00:00".parse().expect("a time"),
            slot_minutes: 30,
            capacity_public: capacity,
            capacity_proxy: 0,
            capacity_desk: 0,
            valid_from: "2026-01-01".parse().expect("a date"),
            valid_until: None,
            place: Place::Centre,
            every_weeks: 1,
        }
    }

    fn booking(number: u128, window: Uuid, slot: i64) -> Booking {
        let starts_at = at("2026-11-25T09:00") + chrono::TimeDelta::minutes(30 * slot);
        let ends_at = starts_at + chrono::TimeDelta::minutes(30);
        Booking {
            id: Uuid::from_u128(number),
            window,
            matter: MATTER,
            resident: Uuid::from_u128(number),
            lives_in: Uuid::nil(),
            channel: Channel::Public,
            place: Place::Centre,
            state: AppointmentState::Booked,
            starts_at,
            ends_at,
            busy_from: starts_at,
            busy_until: ends_at,
            released: false,
            nth: 1,
            created_at: DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(number as i64),
        }
    }

    /// Windows with these capacities, and a booking for each window and slot.
    pub fn centre(capacities: &[i16], booked: &[(usize, i64)]) -> Centre {
        let window = |index: usize| Uuid::from_u128(1 + index as u128);
        let mut centre = Centre::default();
        centre.matters.insert(MATTER, Needs { slots: 1, travel_minutes: 0, own_specialist: false });
        for (index, capacity) in capacities.iter().enumerate() {
            let id = window(index);
            let rules = vec![rule(id, *capacity)];
            let (name, exceptions, away) = (String::new(), Vec::new(), Vec::new());
            let opening = Opening { window: id, name, rules, exceptions, away, busy: Vec::new(), waiting: Vec::new() };
            centre.desks.push(Desk { open: true, serves: vec![MATTER], specialist_of: Vec::new(), opening });
        }
        for (number, (index, slot)) in booked.iter().enumerate() {
            let booking = booking(1000 + number as u128, window(*index), *slot);
            centre.desks[*index].opening.busy.push(booking.busy());
            centre.bookings.push(booking);
        }
        centre
    }

    /// The centre afterwards, and who is affected.
    pub fn change(before: &Centre, change: impl Fn(&mut Centre)) -> (Centre, Vec<Booking>) {
        let mut after = before.clone();
        change(&mut after);
        let gone = affected(before, &after, &Calendar::default());
        (after, gone)
    }

    #[test]
    fn what_did_not_fit_before_is_affected_only_by_worse() {
        let over = centre(&[1], &[(0, 0), (0, 0)]);
        assert_eq!(over.unfit(&Calendar::default()).len(), 1);
        assert!(change(&over, |centre| centre.desks[0].opening.rules[0].capacity_public = 1).1.is_empty());
        assert_eq!(change(&over, |centre| centre.desks[0].open = false).1.len(), 2, "but it is when its slot goes");
    }

    #[test]
    fn shorter_slots_still_cover_a_booking_and_longer_ones_do_not_start_there() {
        let before = centre(&[1], &[(0, 1)]);
        assert!(change(&before, |centre| centre.desks[0].opening.rules[0].slot_minutes = 15).1.is_empty());
        assert_eq!(change(&before, |centre| centre.desks[0].opening.rules[0].slot_minutes = 60).1.len(), 1);
    }
}
