//! Where those whom a change of the opening affects can go instead: pure.

use std::{cmp::Reverse, collections::HashMap};

use chrono::{DateTime, Days, NaiveDate, Utc};
use uuid::Uuid;

use super::affected::{Booking, Centre, Desk, Needs};
use crate::{
    appointments::{Offered, Placed, Wish, offered},
    calendar::Calendar,
    clock::local_date,
    settings::Settings,
    windows::Busy,
};

/// Days after its own within which a booking finds another place, if the county lets people book fewer days ahead.
pub const DAYS: i64 = 7;

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

impl Desk {
    fn takes(&self, booking: &Booking, needs: Option<&Needs>) -> bool {
        let own = needs.is_some_and(|needs| needs.own_specialist);
        self.open && self.serves.contains(&booking.matter) && (!own || self.specialist_of.contains(&booking.lives_in))
    }

    fn give_back(&mut self, booking: &Booking) {
        let place = (booking.busy_from, booking.busy_until, booking.channel);
        let taken = self.opening.busy.iter_mut().find(|busy| (busy.from, busy.until, busy.channel) == place);
        if let Some(busy) = taken.filter(|busy| busy.count > 0) {
            busy.count -= 1;
        }
    }
}

impl Centre {
    /// What a booking took is free.
    fn give_back(&mut self, booking: &Booking) {
        if let Some(desk) = self.desk(booking.window) {
            desk.give_back(booking);
        }
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
    use crate::opening::affected::tests::{at, centre, change};

    /// The centre afterwards, who is affected, and where each of them goes.
    type Settled = (Centre, Vec<Booking>, Vec<Option<(Placed, i16)>>);

    fn settle(before: &Centre, with: impl Fn(&mut Centre)) -> Settled {
        let (mut after, gone) = change(before, with);
        let by = Way { calendar: &Calendar::default(), settings: &Settings::default(), now: at("2026-11-23T08:00") };
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
