//! Appointments: those of the past as they ended, and those of the next days, which fit the slots of the rules.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Integer, Text},
};
use uuid::Uuid;

use super::{
    BATCH, Dice, LIVE_BATCH, World,
    centres::{Centre, Window},
};
use crate::{clock::CST, db::schema::appointments, statement};

#[derive(Insertable)]
#[diesel(table_name = appointments, treat_none_as_default_value = false)]
struct NewAppointment {
    county_id: i32,
    id: Uuid,
    unit_id: Uuid,
    window_id: Uuid,
    matter_id: Uuid,
    resident_id: Option<Uuid>,
    booked_by: Option<Uuid>,
    channel: &'static str,
    on_date: NaiveDate,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    busy_from: DateTime<Utc>,
    busy_until: DateTime<Utc>,
    capacity: i16,
    capacity_total: i16,
    state: &'static str,
    cancelled_at: Option<DateTime<Utc>>,
    cancel_reason: Option<&'static str>,
    reminded: i16,
    ticket: Option<String>,
    arrived_at: Option<DateTime<Utc>>,
    on_time: Option<bool>,
    queue_at: Option<DateTime<Utc>>,
    desk_id: Option<Uuid>,
    called_at: Option<DateTime<Utc>>,
    calls: i16,
    served_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    updated_by: Option<Uuid>,
}

/// How a past appointment ended, of a hundred.
const ENDS: &[(u32, &str)] = &[(82, "done"), (11, "cancelled"), (7, "no_show")];
/// Of a hundred; the place is the one in [`Window::capacity`].
const CHANNELS: &[(u32, (&str, usize))] = &[(55, ("public", 0)), (25, ("proxy", 1)), (20, ("desk", 2))];
const REASONS: &[&str] = &["临时有事", "材料还没准备好", "家里有人生病", "已在网上办好", "天气不好，下次再来"];

/// Days after today that have bookings: what may be booked online by default.
const AHEAD: u64 = 7;

/// Arriving later than this is late (the default of the county's settings).
const GRACE: TimeDelta = TimeDelta::minutes(15);

/// One day of the county while it fills.
struct Filling<'a> {
    world: &'a World,
    date: NaiveDate,
    dice: Dice,
    taken: HashMap<(Uuid, NaiveTime, usize), i16>,
    /// One active booking per resident, matter and day.
    booked: HashSet<(usize, Uuid)>,
}

/// A free place, for somebody.
struct Place<'a> {
    centre: &'a Centre,
    window: &'a Window,
    channel: &'static str,
    capacity: i16,
    matter: Uuid,
    resident: usize,
    starts_at: DateTime<Utc>,
}

impl<'a> Filling<'a> {
    fn new(world: &'a World, date: NaiveDate) -> Self {
        let number = date.signed_duration_since(NaiveDate::MIN).num_days().unsigned_abs();
        let dice = Dice::of(world.seed, "day", number);
        Self { world, date, dice, taken: HashMap::new(), booked: HashSet::new() }
    }

    /// Takes a place that is free, where one is found before long.
    fn place(&mut self, after: DateTime<Utc>) -> Option<Place<'a>> {
        (0..30).find_map(|_| self.try_place(after))
    }

    fn try_place(&mut self, after: DateTime<Utc>) -> Option<Place<'a>> {
        let (world, dice) = (self.world, &mut self.dice);
        // Somebody goes to the centre of their township, or as often to that of their village.
        let resident = dice.below(world.size.residents);
        let wanted = dice.percent(50);
        let lives =
            |centre: &&Centre| centre.township == wanted && (centre.people.0..centre.people.1).contains(&resident);
        let centre = world.centres.iter().find(lives)?;
        let window = dice.pick(&centre.windows);
        let slots: Vec<_> = window.slots().collect();
        let (time, (channel, kind)) = (*dice.pick(&slots), *dice.weighted(CHANNELS));
        let starts_at = (self.date.and_time(time) - CST).and_utc();
        let matter = *dice.pick(&window.matters);
        let capacity = window.capacity[kind];
        let taken = self.taken.entry((window.id, time, kind)).or_default();
        if starts_at <= after || *taken >= capacity || !self.booked.insert((resident, matter)) {
            return None;
        }
        *taken += 1;
        Some(Place { centre, window, channel, capacity, matter, resident, starts_at })
    }

    /// Somebody's booking, not yet ended.
    fn booked(&mut self, place: &Place) -> NewAppointment {
        let Place { centre, window, channel, capacity, matter, resident, starts_at } = *place;
        let ends_at = starts_at + TimeDelta::minutes(window.minutes.into());
        // Up to a week before, between 07:00 and 21:00, and not in the future.
        let day = self.date - Days::new(self.dice.below(AHEAD as usize) as u64 + 1);
        let created_at = (day.and_time(NaiveTime::MIN) - CST).and_utc() + self.dice.minutes(7 * 60, 21 * 60);
        let created_at = created_at.min(self.world.now);
        NewAppointment {
            county_id: self.world.county,
            id: self.dice.id(created_at),
            unit_id: centre.unit,
            window_id: window.id,
            matter_id: matter,
            resident_id: Some(self.world.resident(resident)),
            booked_by: (channel != "public").then_some(window.officer),
            channel,
            on_date: self.date,
            starts_at,
            ends_at,
            busy_from: starts_at,
            busy_until: ends_at,
            capacity,
            capacity_total: window.capacity.iter().sum(),
            state: "booked",
            cancelled_at: None,
            cancel_reason: None,
            // Nobody is reminded of what was made up.
            reminded: 2,
            ticket: None,
            arrived_at: None,
            on_time: None,
            queue_at: None,
            desk_id: None,
            called_at: None,
            calls: 0,
            served_at: None,
            finished_at: None,
            version: 1,
            created_at,
            updated_at: created_at,
            updated_by: None,
        }
    }

    /// How it went.
    fn end(&mut self, row: NewAppointment, officer: Uuid) -> NewAppointment {
        let dice = &mut self.dice;
        match *dice.weighted(ENDS) {
            "done" => {
                let late = dice.percent(6);
                let arrived_at = row.starts_at + if late { dice.minutes(16, 40) } else { dice.minutes(-25, 14) };
                let on_time = arrived_at <= row.starts_at + GRACE;
                let called_at = arrived_at.max(row.starts_at) + dice.minutes(0, 10);
                let served_at = called_at + dice.minutes(0, 2);
                let finished_at = served_at + dice.minutes(3, 25);
                NewAppointment {
                    state: "done",
                    arrived_at: Some(arrived_at),
                    on_time: Some(on_time),
                    queue_at: Some(if on_time { row.starts_at } else { arrived_at }),
                    desk_id: Some(row.window_id),
                    called_at: Some(called_at),
                    calls: 1,
                    served_at: Some(served_at),
                    finished_at: Some(finished_at),
                    version: 5,
                    updated_at: finished_at,
                    updated_by: Some(officer),
                    ..row
                }
            }
            "cancelled" => {
                // At the latest two hours before.
                let left = (row.starts_at - row.created_at).num_minutes() - 120;
                let at = row.created_at + TimeDelta::minutes(dice.between(0, left.max(0)));
                let (cancelled_at, cancel_reason) = (Some(at), Some(*dice.pick(REASONS)));
                NewAppointment {
                    state: "cancelled",
                    cancelled_at,
                    cancel_reason,
                    version: 2,
                    updated_at: at,
                    updated_by: row.resident_id,
                    ..row
                }
            }
            state => NewAppointment { state, version: 2, updated_at: row.ends_at, ..row },
        }
    }

    /// A past day: so many appointments, numbered in the order of arrival at each centre.
    fn past(mut self, wanted: usize) -> Vec<NewAppointment> {
        let mut rows = Vec::with_capacity(wanted);
        while rows.len() < wanted {
            let Some(place) = self.place(DateTime::UNIX_EPOCH) else { break };
            let row = self.booked(&place);
            rows.push(self.end(row, place.window.officer));
        }
        rows.sort_by_key(|row| (row.unit_id, row.arrived_at, row.id));
        let (mut unit, mut last) = (Uuid::nil(), 0);
        for row in rows.iter_mut().filter(|row| row.arrived_at.is_some()) {
            if row.unit_id != unit {
                (unit, last) = (row.unit_id, 0);
            }
            last += 1;
            row.ticket = Some(format!("A{last:03}"));
        }
        rows
    }
}

/// Working days from the beginning to yesterday.
pub fn working_days(world: &World) -> Vec<NaiveDate> {
    let days = world.begin().iter_days().take_while(|day| *day < world.today);
    days.filter(|day| world.calendar.works(*day)).collect()
}

fn copy(conn: &mut PgConnection, rows: &[NewAppointment]) -> QueryResult<usize> {
    diesel::copy_from(appointments::table).from_insertable(rows).execute(conn)
}

/// Day after day, so that only one is ever in memory.
pub async fn make_past(world: &World) -> anyhow::Result<usize> {
    let days = working_days(world);
    let (mut made, mut waiting) = (0, Vec::new());
    for (number, day) in days.iter().enumerate() {
        // What an earlier day could not hold, this one takes.
        let due = (world.size.past_appointments as u128 * (number + 1) as u128 / days.len() as u128) as usize;
        waiting.extend(Filling::new(world, *day).past(due.saturating_sub(made + waiting.len())));
        if waiting.len() >= BATCH {
            made += world.put(std::mem::take(&mut waiting), copy).await?;
        }
    }
    Ok(made + world.put(waiting, copy).await?)
}

statement! {
    /// What the table's trigger wrote for the phones of the booked: nobody is told of what was made up.
    struct Untold { county: i32 as Integer, ids: Vec<String> as Array<Text> }
    "DELETE FROM outbox o USING unnest({ids}) AS made (appointment) WHERE o.county_id = {county} AND o.kind = 'notify_appointment' AND o.payload ->> 'appointment' = made.appointment"
}

/// Into the table like everybody else's: were a slot overbooked, the trigger would refuse.
fn copy_booked(conn: &mut PgConnection, rows: &[NewAppointment]) -> QueryResult<usize> {
    let made = copy(conn, rows)?;
    if let Some(first) = rows.first() {
        Untold { county: first.county_id, ids: rows.iter().map(|row| row.id.to_string()).collect() }.execute(conn)?;
    }
    Ok(made)
}

/// From now on for a week: as many as on a past day, fewer the further away.
pub async fn make_booked(world: &World) -> anyhow::Result<usize> {
    // A county with little behind it still shows a day worth looking at.
    let usual = world.size.past_appointments.div_ceil(working_days(world).len().max(1)).max(60);
    let mut made = 0;
    for ahead in 0..=AHEAD {
        let Some(day) = world.today.checked_add_days(Days::new(ahead)).filter(|day| world.calendar.works(*day)) else {
            continue;
        };
        let mut filling = Filling::new(world, day);
        let mut rows = Vec::new();
        for _ in 0..usual * (AHEAD - ahead + 1) as usize / (AHEAD + 1) as usize {
            let Some(place) = filling.place(world.now) else { break };
            rows.push(filling.booked(&place));
        }
        made += world.put_by(LIVE_BATCH, rows, copy_booked).await?;
    }
    Ok(made)
}
