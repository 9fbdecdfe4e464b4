//! Whom a change of the opening affects, and where they can go instead: pure.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use chrono::{DateTime, Days, NaiveDate, Utc};
use uuid::Uuid;

use crate::{
    appointments::{AppointmentState, Offered, Placed, Wish, offered},
    calendar::Calendar,
    clock::local_date,
    settings::Settings,
    windows::{Busy, Channel, Opening, Place, Run, Slot, Waiting, runs, slots_of_day},
};

/// Days after its own within which a booking finds another place, if the county lets people book fewer days ahead.
pub const DAYS: i64 = 7;

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

/// Why a booking does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is offered at its time.
    NoSlot,
    /// More are booked than there are places: those who booked last.
    NoPlace,
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
    fn takes(&self, booking: &Booking, needs: Option<&Needs>) -> bool {
        let own = needs.is_some_and(|needs| needs.own_specialist);
        self.open && self.serves.contains(&booking.matter) && (!own || self.specialist_of.contains(&booking.lives_in))
    }

    fn slots(&self, calendar: &Calendar, date: NaiveDate) -> Vec<Slot> {
        let opening = &self.opening;
        if opening.away.contains(&date) {
            return Vec::new();
        }
        slots_of_day(opening.window, &opening.rules, &opening.exceptions, calendar, date)
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

    fn give_back(&mut self, booking: &Booking) {
        let place = (booking.busy_from, booking.busy_until, booking.channel);
        let taken = self.opening.busy.iter_mut().find(|busy| (busy.from, busy.until, busy.channel) == place);
        if let Some(busy) = taken.filter(|busy| busy.count > 0) {
            busy.count -= 1;
        }
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

    /// What a booking took is free.
    fn give_back(&mut self, booking: &Booking) {
        if let Some(desk) = self.desk(booking.window) {
            desk.give_back(booking);
        }
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
                    faults.insert(booking.id, Fault::NoSlot);
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

    /// The places where a booking could be, of one day.
    fn offers(&self, booking: &Booking, date: NaiveDate, by: &Way) -> Vec<Offered> {
        let needs = self.matters.get(&booking.matter);
        let (slots, travel) = needs.map_or((1, 0), |needs| (needs.slots, needs.travel_minutes));
        let wish = Wish::new(booking.channel, booking.place, slots, travel);
        let desks = self.desks.iter().filter(|desk| desk.takes(booking, needs));
        let offers = desks.flat_map(|desk| {
            offered(std::slice::from_ref(&desk.opening), by.calendar, by.settings, &wish, date, by.now)
        });
        offers.filter(|offer| offer.free > 0 && !offer.waited_for).collect()
    }

    /// The nearest place for a booking from its own time on: the same day first, then the days after. Takes it.
    fn place(&mut self, booking: &Booking, by: &Way, taken: &mut Taken) -> Option<(Placed, i16)> {
        let first = local_date(booking.starts_at);
        let last = first + Days::new(by.settings.booking_days_ahead.max(DAYS) as u64);
        for date in first.iter_days().take_while(|date| *date <= last) {
            let Some(nth) = taken.next(booking, date, by.settings) else { continue };
            let offers = self.offers(booking, date, by).into_iter();
            let later = offers.filter(|offer| offer.placed.starts_at >= booking.starts_at);
            let nearest = later.min_by_key(|offer| (offer.placed.starts_at, Reverse(offer.free), offer.placed.window));
            if let Some(Offered { placed, .. }) = nearest {
                taken.moved(booking, date, nth);
                if let Some(desk) = self.desk(placed.window) {
                    let (from, until, channel) = (placed.busy_from, placed.busy_until, booking.channel);
                    desk.opening.busy.push(Busy { from, until, channel, count: 1 });
                }
                return Some((placed, nth));
            }
        }
        None
    }

    /// Everybody in the waiting list stands before every window that serves their matter.
    pub fn line_up(&mut self) {
        for desk in &mut self.desks {
            let here = self.waiting.iter().filter(|(matter, _)| desk.serves.contains(matter));
            desk.opening.waiting = here.map(|(_, waiting)| waiting.clone()).collect();
        }
    }
}

/// What places are looked for with.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    pub calendar: &'a Calendar,
    pub settings: &'a Settings,
    pub now: DateTime<Utc>,
}

/// Which bookings of a matter and day residents have, by their number.
#[derive(Clone, Debug, Default)]
pub struct Taken(HashMap<(Uuid, Uuid, NaiveDate), Vec<i16>>);

impl Taken {
    pub fn add(&mut self, (resident, matter, date): (Uuid, Uuid, NaiveDate), nth: i16) {
        self.0.entry((resident, matter, date)).or_default().push(nth);
    }

    /// The number that a booking has on a day; none if the resident has as many for the matter as may be.
    fn next(&self, booking: &Booking, date: NaiveDate, settings: &Settings) -> Option<i16> {
        if date == local_date(booking.starts_at) {
            return Some(booking.nth);
        }
        let none = Vec::new();
        let taken = self.0.get(&(booking.resident, booking.matter, date)).unwrap_or(&none);
        let room = (taken.len() as i64) < settings.booking_per_matter_and_day;
        (1..=i16::MAX).find(|nth| !taken.contains(nth)).filter(|_| room)
    }

    fn moved(&mut self, booking: &Booking, date: NaiveDate, nth: i16) {
        let of = |date| (booking.resident, booking.matter, date);
        if let Some(left) = self.0.get_mut(&of(local_date(booking.starts_at))) {
            left.retain(|taken| *taken != booking.nth);
        }
        self.add(of(date), nth);
    }
}

/// Those who fitted before and do not afterwards, or who have no slot any more where they had only no place; by time.
pub fn affected(before: &Centre, after: &Centre, calendar: &Calendar) -> Vec<Booking> {
    let (was, is) = (before.unfit(calendar), after.unfit(calendar));
    let worse = |booking: &&Booking| {
        let pair = (was.get(&booking.id), is.get(&booking.id));
        matches!(pair, (None, Some(_)) | (Some(Fault::NoPlace), Some(Fault::NoSlot)))
    };
    by_time(after.bookings.iter().filter(worse).cloned().collect())
}

/// In the order in which they find other places: by time, of the same time those first who booked first.
pub fn by_time(mut bookings: Vec<Booking>) -> Vec<Booking> {
    bookings.sort_by_key(|booking| (booking.starts_at, booking.created_at, booking.id));
    bookings
}

/// Where each of them goes, none where nothing is free. In this order they can be moved one by one without ever being one too
/// many: what is taken counts until its booking has moved.
pub fn places(centre: &mut Centre, bookings: &[Booking], mut taken: Taken, by: &Way) -> Vec<Option<(Placed, i16)>> {
    let mut found = Vec::with_capacity(bookings.len());
    for booking in bookings {
        centre.give_back(booking);
        found.push(centre.place(booking, by, &mut taken));
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::windows::Rule;

    const MATTER: Uuid = Uuid::from_u128(7);

    fn at(text: &str) -> DateTime<Utc> {
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
    fn centre(capacities: &[i16], booked: &[(usize, i64)]) -> Centre {
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

    /// The centre afterwards, who is affected, and where each of them goes.
    type Settled = (Centre, Vec<Booking>, Vec<Option<(Placed, i16)>>);

    fn settle(before: &Centre, change: impl Fn(&mut Centre)) -> Settled {
        let (calendar, settings) = (Calendar::default(), Settings::default());
        let mut after = before.clone();
        change(&mut after);
        let gone = affected(before, &after, &calendar);
        let by = Way { calendar: &calendar, settings: &settings, now: at("2026-11-23T08:00") };
        let found = places(&mut after, &gone, Taken::default(), &by);
        (after, gone, found)
    }

    #[test]
    fn the_last_go_first_and_the_kept_are_left_alone() {
        let before = centre(&[3], &[(0, 0), (0, 0), (0, 0), (0, 1)]);
        let (_, gone, found) = settle(&before, |centre| centre.desks[0].opening.rules[0].capacity_public = 1);
        let ids: Vec<_> = gone.iter().map(|booking| booking.id.as_u128()).collect();
        assert_eq!(ids, [1001, 1002]);
        let starts: Vec<_> = found.iter().flatten().map(|(placed, _)| placed.starts_at).collect();
        assert_eq!(starts, [at("2026-11-25T10:00"), at("2026-11-25T10:30")]);
        // What did not fit before is not affected by a change that does nothing to it.
        let over = centre(&[1], &[(0, 0), (0, 0)]);
        assert_eq!(over.unfit(&Calendar::default()).len(), 1);
        assert!(settle(&over, |centre| centre.desks[0].opening.rules[0].capacity_public = 1).1.is_empty());
        assert_eq!(settle(&over, |centre| centre.desks[0].open = false).1.len(), 2, "but it is when its slot goes");
    }

    #[test]
    fn shorter_slots_still_cover_a_booking_and_longer_ones_do_not_start_there() {
        let before = centre(&[1], &[(0, 1)]);
        assert!(settle(&before, |centre| centre.desks[0].opening.rules[0].slot_minutes = 15).1.is_empty());
        assert_eq!(settle(&before, |centre| centre.desks[0].opening.rules[0].slot_minutes = 60).1.len(), 1);
    }

    proptest! {
        #[test]
        fn nobody_is_moved_where_there_is_no_place(
            capacities in prop::collection::vec(1_i16..4, 1..4),
            wishes in prop::collection::vec((0_usize..4, 0_i64..4), 0..30),
            less in 0_i16..3,
        ) {
            // Only as many as there are places.
            let mut booked: Vec<(usize, i64)> = Vec::new();
            for (index, slot) in wishes {
                let index = index % capacities.len();
                let there = booked.iter().filter(|one| **one == (index, slot)).count();
                if there < capacities[index] as usize {
                    booked.push((index, slot));
                }
            }
            let before = centre(&capacities, &booked);
            let (after, gone, found) = settle(&before, |centre| {
                centre.desks[0].open = false;
                for desk in &mut centre.desks[1..] {
                    desk.opening.rules[0].capacity_public -= less.min(desk.opening.rules[0].capacity_public);
                }
            });
            for (booking, place) in gone.iter().zip(&found) {
                let Some((placed, _)) = place else { continue };
                prop_assert!(placed.starts_at >= booking.starts_at);
                let desk = after.desks.iter().find(|desk| desk.opening.window == placed.window).expect("a window");
                prop_assert!(desk.open);
                let busy = desk.opening.busy.iter().filter(|busy| busy.from < placed.ends_at && busy.until > placed.starts_at);
                let taken: i64 = busy.map(|busy| busy.count).sum();
                prop_assert!(taken <= i64::from(desk.opening.rules[0].capacity_public), "{taken}");
            }
            // Whoever stays fits.
            let moved = |id: &Uuid| gone.iter().any(|booking| booking.id == *id);
            prop_assert!(after.unfit(&Calendar::default()).keys().all(moved));
        }
    }
}
