//! The people who read and book, and the slots that they book.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use chrono::{Days, NaiveDate};
use lianxin::{
    clock::{Clock, local_date},
    sample,
};
use uuid::Uuid;

use crate::{
    database::Database,
    load::Turn,
    process::Server,
    wire::{self, request},
};

/// How many log in. Their tokens are good for 15 minutes, several times as long as all cases take.
pub const RESIDENTS: usize = 1_000;

/// The token of the staff of 均溪镇.
pub fn township_staff(server: &Server) -> Result<String> {
    let (county, password) = (sample::COUNTY, sample::PASSWORD);
    let body = format!(r#"{{"county":"{county}","username":"junxi","password":"{password}","role":"township_staff"}}"#);
    let session = request("POST", "/v1/sessions/staff", None, None, Some(&body));
    wire::text(&wire::json(server.address, &session, 201)?, "access_token")
}

struct Resident {
    token: String,
    /// The one to be read.
    appointment: String,
}

pub struct Story {
    pub unit: String,
    pub windows: Vec<String>,
    pub matters: Vec<String>,
    pub tomorrow: NaiveDate,
    residents: Vec<Resident>,
    /// The starts of the slots of each open day from tomorrow on.
    days: Vec<Vec<String>>,
}

impl Story {
    /// Finds the busiest centre, logs everybody in, and books the appointments that will be read.
    pub fn play(server: &Server, database: &Database) -> Result<Self> {
        let unit = "SELECT id::text AS value FROM units WHERE name = '均溪镇' AND level = 'township'";
        let unit = database.text(unit)?;
        let windows = format!("SELECT id::text AS value FROM windows WHERE unit_id = '{unit}' ORDER BY name");
        let windows = database.texts(&windows)?;
        let matters = database.texts("SELECT id::text AS value FROM matters ORDER BY name")?;
        let today = local_date(Clock::System.now());
        let tomorrow = today.checked_add_days(Days::new(1)).context("the calendar ends today")?;
        let mut story = Self { unit, windows, matters, tomorrow, residents: Vec::new(), days: Vec::new() };
        for day in tomorrow.iter_days().take(90) {
            let slots = story.slots(server, day)?;
            story.days.extend(Some(slots).filter(|slots| !slots.is_empty()));
        }
        ensure!(story.days.len() >= 20 && story.matters.len() >= 4, "the sample county offers too few days or matters");
        for number in 0..RESIDENTS {
            let resident = story.resident(server, number).with_context(|| format!("resident {number}"))?;
            story.residents.push(resident);
        }
        Ok(story)
    }

    fn slots(&self, server: &Server, day: NaiveDate) -> Result<Vec<String>> {
        let (county, unit, matter) = (sample::COUNTY, &self.unit, self.for_reading());
        let path = format!("/v1/slots?county={county}&unit_id={unit}&matter_id={matter}&date={day}");
        let page = wire::json(server.address, &request("GET", &path, None, None, None), 200)?;
        let items = page["items"].as_array().context("no slots")?;
        let starts = items.iter().map(|slot| wire::text(slot, "starts_at")).collect::<Result<Vec<_>>>()?;
        // Windows that the generator made have other hours; those of the sample county serve every matter at these.
        let half_hour = |start: &String| {
            let time = start.get(11..16).unwrap_or_default();
            (time.ends_with(":00") || time.ends_with(":30"))
                && ("08:00".."11:30").contains(&time) | ("14:30".."17:30").contains(&time)
        };
        Ok(starts.into_iter().filter(half_hour).collect())
    }

    /// One matter is for the appointments that are read; the others are for the load.
    fn for_reading(&self) -> &str {
        self.matters.last().map_or("", String::as_str)
    }

    fn resident(&self, server: &Server, number: usize) -> Result<Resident> {
        let body = format!(r#"{{"county":"{}","code":"login.bench{number}.{}"}}"#, sample::COUNTY, Uuid::now_v7());
        let session = request("POST", "/v1/sessions/wechat", None, None, Some(&body));
        let token = wire::text(&wire::json(server.address, &session, 201)?, "access_token")?;
        let day = &self.days[number % self.days.len()];
        let body = self.booking(&self.unit, self.for_reading(), &day[number % day.len()]);
        let key = Uuid::now_v7().to_string();
        let booking = request("POST", "/v1/appointments", Some(&token), Some(&key), Some(&body));
        let appointment = wire::text(&wire::json(server.address, &booking, 201)?, "id")?;
        Ok(Resident { token, appointment })
    }

    fn booking(&self, unit: &str, matter: &str, starts_at: &str) -> String {
        format!(r#"{{"unit_id":"{unit}","matter_id":"{matter}","starts_at":"{starts_at}"}}"#)
    }

    /// Everybody's request for the same slot at a centre, one slot after another; nobody asks twice for a matter and day, and
    /// [`Bookings`] do not come as far as the second matter.
    pub fn rush(&self, unit: &str, number: usize, into: &mut Vec<u8>) -> Result<()> {
        let (who, slot) = (number % RESIDENTS, number / RESIDENTS);
        let (day, turn) = (&self.days[slot % self.days.len()], slot / self.days.len());
        let matter = self.matters.get(1 + turn).context("every slot was rushed for")?;
        let body = self.booking(unit, matter, &day[turn % day.len()]);
        let (token, key) = (Some(self.residents[who].token.as_str()), Uuid::now_v7().to_string());
        into.extend(request("POST", "/v1/appointments", token, Some(&key), Some(&body)));
        Ok(())
    }

    /// The day furthest away, for which nobody asks before it is.
    pub fn last_day(&self) -> Option<&str> {
        self.days.last()?.first()?.get(..10)
    }

    /// Everybody's request for their own appointment.
    pub fn reads(&self) -> Vec<Vec<u8>> {
        let read = |resident: &Resident| {
            let path = format!("/v1/appointments/{}", resident.appointment);
            request("GET", &path, Some(&resident.token), None, None)
        };
        self.residents.iter().map(read).collect()
    }
}

/// Bookings that never meet: each resident books each matter once a day at most.
pub struct Bookings<'a> {
    story: &'a Story,
    next: AtomicUsize,
}

impl<'a> Bookings<'a> {
    pub fn new(story: &'a Story) -> Self {
        Self { story, next: AtomicUsize::new(0) }
    }

    /// The next one. Neighbours differ in resident, day and time, so that few wait for the same slot: as in pgbench's script.
    pub fn write(&self, _: Turn, into: &mut Vec<u8>) -> Result<()> {
        let Story { residents, days, matters, .. } = self.story;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (who, turn) = (number % residents.len(), number / residents.len());
        let day = &days[(turn + who) % days.len()];
        let matter = &matters[..matters.len() - 1];
        let matter = matter.get(turn / days.len()).context("every resident has booked everything on every day")?;
        let body = self.story.booking(&self.story.unit, matter, &day[(who * 7 + turn) % day.len()]);
        let key = Uuid::now_v7().to_string();
        let token = Some(residents[who].token.as_str());
        into.extend(request("POST", "/v1/appointments", token, Some(&key), Some(&body)));
        Ok(())
    }
}
