//! Offering free places to those who wait, in their order.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::PgConnection;
use uuid::Uuid;

use super::{
    model::{Entry, address_place},
    rules, store,
};
use crate::{
    app::App,
    appointments::{
        facts::{self, About},
        limits, model,
        placing::{self, Wish},
        writing,
    },
    calendar::{self, Calendar},
    error::{Error, Result},
    settings::Settings,
    units,
};

/// Offers in one transaction: each holds locks on its window's day until the end.
const BATCH: usize = 20;

/// Who waits at a centre for a day stands in one line, whatever the matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub county: i32,
    pub unit: Uuid,
    pub on: NaiveDate,
}

/// What offers are made with, besides the database.
pub struct Offering {
    app: Arc<App>,
    line: Line,
    settings: Settings,
    calendar: Arc<Calendar>,
    pub now: DateTime<Utc>,
}

/// What became of somebody's turn.
enum Turn {
    Offered,
    /// Nothing fits.
    Waits,
    /// They are booked already, or hold a place of their own at the moment.
    PassedOver,
}

impl Offering {
    pub async fn new(app: &Arc<App>, line: Line) -> Result<Self> {
        let now = app.clock.now();
        let county = app.db.read("county_of_line", move |conn| {
            let key = units::store::key(conn, line.county)?;
            units::find_county(conn, &key, now)
        });
        let county = county.await?.ok_or_else(|| Error::internal("the county is gone"))?;
        let calendar = calendar::current(app).await?;
        Ok(Self { app: app.clone(), line, settings: county.settings, calendar, now })
    }

    /// Gives everybody in the line, in its order, the earliest place that is free and fits, until nothing is; true when there may
    /// be more to do. Whoever is passed over needs more slots, another channel or another time than what is free.
    pub fn run(&self, conn: &mut PgConnection) -> Result<bool> {
        store::lock_line(conn, self.line)?;
        let (mut offers, mut in_vain) = (0, Vec::<Entry>::new());
        for entry in store::line(conn, self.line, self.now)? {
            // Nothing came free since somebody before them had the same wish.
            if in_vain.iter().any(|before| wishes_no_more(&entry, before)) {
                continue;
            }
            match self.turn(conn, &entry)? {
                Turn::Offered => offers += 1,
                Turn::Waits => in_vain.push(entry),
                Turn::PassedOver => {}
            }
            if offers == BATCH {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn turn(&self, conn: &mut PgConnection, entry: &Entry) -> Result<Turn> {
        let (county, now) = (self.line.county, self.now);
        let about = About {
            county,
            unit: entry.unit_id,
            matter: entry.matter_id,
            resident: entry.resident_id,
            starts_at: entry.earliest.max(now),
            but: None,
            now,
        };
        // The matter was withdrawn: nothing is offered for it any more.
        let Some(facts) = facts::facts(conn, &self.settings, about)? else { return Ok(Turn::Waits) };
        // The limits bound them when they joined; a pause that came since does not take away what they waited for.
        let standing = limits::Standing { no_shows: Vec::new(), ..facts.standing };
        let nth = limits::next(&self.settings, entry.channel, &standing, entry.latest, now).ok();
        let Some(nth) = nth.filter(|_| facts.resident_id.is_some()) else {
            store::settle(conn, entry, now)?;
            return Ok(Turn::PassedOver);
        };
        let wish = Wish::new(entry.channel, entry.place, facts.slots, facts.travel_minutes);
        let wish = Wish { from_the_line: true, ..wish };
        let offered = placing::offered(&facts.openings, &self.calendar, &self.settings, &wish, entry.on_date, now);
        let fits = offered.into_iter().filter(|offered| offered.free > 0).find_map(|offered| {
            let starts_at = offered.placed.starts_at;
            let within = entry.earliest <= starts_at && starts_at <= entry.latest;
            let until = rules::offer_until(&self.settings, starts_at, now).filter(|_| within);
            until.map(|until| (offered.placed, until))
        });
        let Some((placed, until)) = fits else { return Ok(Turn::Waits) };
        let id = Uuid::now_v7();
        let new = writing::New {
            county,
            id,
            unit: entry.unit_id,
            matter: entry.matter_id,
            resident: entry.resident_id,
            booked_by: entry.booked_by,
            booked_by_resident: entry.booked_by_resident,
            channel: entry.channel,
            placed,
            address: self.address(entry, id)?,
            nth,
            held_until: Some(until),
            waiting: Some(entry.id),
            now,
        };
        writing::insert(conn, &new)?;
        store::offer(conn, entry, (id, until), now)?;
        Ok(Turn::Offered)
    }

    /// The address, sealed for the appointment.
    fn address(&self, entry: &Entry, appointment: Uuid) -> Result<Option<Vec<u8>>> {
        let (county, keys) = (entry.county_id, &self.app.keys);
        let Some(sealed) = &entry.address else { return Ok(None) };
        let plain = keys.open_text(county, &address_place(entry.id), sealed)?;
        Ok(Some(keys.seal(county, &model::address_place(appointment), plain.as_bytes())))
    }
}

/// Whether everything that would do for one would have done for the other, for whom nothing was found. Where somebody lives may
/// decide which windows serve them.
fn wishes_no_more(entry: &Entry, before: &Entry) -> bool {
    let same = |entry: &Entry| (entry.matter_id, entry.place, entry.channel, entry.resident_unit_id);
    same(entry) == same(before) && before.earliest <= entry.earliest && entry.latest <= before.latest
}

async fn offer_in(app: &Arc<App>, line: Line) -> Result<()> {
    let offering = Arc::new(Offering::new(app, line).await?);
    loop {
        let offering = offering.clone();
        if !app.db.write("offer_places", move |conn| offering.run(conn)).await? {
            return Ok(());
        }
    }
}

/// Offers in every line in which somebody waits: places may have come free without a move, because a rule was changed or the time
/// came from which they are everybody's. A line that fails does not keep the others waiting.
pub async fn offer_everywhere(app: &Arc<App>) -> Result<()> {
    let now = app.clock.now();
    let mut failed = Ok(());
    for line in app.db.read("waiting_lines", move |conn| Ok(store::lines(conn, now)?)).await? {
        let offered = offer_in(app, line).await;
        failed = failed.and(offered);
    }
    failed
}
