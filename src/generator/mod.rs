//! A realistic county that never was: centres with windows and staff, residents, appointments of two years and the next days,
//! errands with their ledgers, volunteers, orders with their moves, ratings of orders, households with their home points and tasks, visits.
//!
//! For demonstrations, measurements and front ends that want to see a full list. Everything is written by COPY in batches, so
//! that memory does not grow with the county, and everything is drawn from the seed: the same seed and size on the same day give
//! the same ids and plain values. Three things differ from one installation to the next: the ids of units, matters and categories of
//! visits, which were there before; those of tasks of visits, which the database makes; and sealed bytes, whose nonces are random.
//!
//! A later room joins in two steps: a file with `pub async fn make(world: &World) -> Result<usize>` that draws from
//! `Dice::of` under a name of its own (what others draw stays as it was), and a line in `MAKERS`.
//!
//! What is not made: the history of moves (`appointment_events`) and the change feed of what is past, children under 14 (their
//! records need guardians), forms of errands and orders, notes and positions of
//! visits, and messages and todos: nobody is to be told of what was made up.

mod appointments;
mod centres;
mod courses;
mod dice;
mod errands;
mod households;
mod names;
mod orders;
mod people;
mod ratings;
mod volunteers;

use std::{str::FromStr, sync::Arc};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Months, NaiveDate, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, connection::SimpleConnection};
use futures_util::future::LocalBoxFuture;
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::{
    app::App,
    audit::{self, Actor, Audit},
    calendar::{self, Calendar},
    clock::{local_date, local_midnight},
    db::Db,
    sample,
    units::tenants,
};

use centres::{Centre, Facts};
use dice::Dice;

/// Draws things of one kind and writes them; answers how many.
type Maker = for<'a> fn(&'a World) -> LocalBoxFuture<'a, Result<usize>>;

/// What is made, in this order.
const MAKERS: &[(&str, Maker)] = &[
    ("windows", |world| Box::pin(centres::make(world))),
    ("residents", |world| Box::pin(people::make(world))),
    ("past appointments", |world| Box::pin(appointments::make_past(world))),
    ("booked appointments", |world| Box::pin(appointments::make_booked(world))),
    ("past errands", |world| Box::pin(errands::make_past(world))),
    ("open errands", |world| Box::pin(errands::make_open(world))),
    ("volunteers", |world| Box::pin(volunteers::make(world))),
    ("past orders", |world| Box::pin(orders::make_past(world))),
    ("open orders", |world| Box::pin(orders::make_open(world))),
    ("ratings", |world| Box::pin(ratings::make(world))),
    ("households", |world| Box::pin(households::make(world))),
    ("visits", |world| Box::pin(households::make_visits(world))),
];

/// Rows in one COPY and one transaction: well within the time that a statement has.
const BATCH: usize = 2_000;
/// The same for rows whose triggers have work to do.
const LIVE_BATCH: usize = 200;

/// How many residents, how many of their appointments are over, how many errands were filed and orders made in that time
/// and lately, how many households there are and how often they were visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub residents: usize,
    pub past_appointments: usize,
    pub past_errands: usize,
    pub open_errands: usize,
    pub past_orders: usize,
    pub open_orders: usize,
    /// Residents who help.
    pub volunteers: usize,
    /// Of past orders; no more than these.
    pub ratings: usize,
    pub households: usize,
    pub visits: usize,
}

impl FromStr for Size {
    type Err = String;

    /// A name, or a number of residents with five appointments each, an errand and an order of every second one, a rating of every second
    /// order, a volunteer among fifty, and a household of every fourth, each visited four times.
    fn from_str(text: &str) -> Result<Self, String> {
        let (residents, past_appointments) = match text {
            "small" => (1_000, 5_000),
            "medium" => (50_000, 200_000),
            "large" => (400_000, 2_000_000),
            number => match number.parse::<usize>() {
                Ok(residents @ 1..=5_000_000) => (residents, residents * 5),
                _ => return Err("small, medium, large or a number of residents from 1 to 5000000".into()),
            },
        };
        let (past, open) = (residents / 2, residents / 20);
        Ok(Self {
            residents,
            past_appointments,
            past_errands: past,
            open_errands: open,
            past_orders: past,
            open_orders: open,
            volunteers: residents / 50,
            ratings: past / 2,
            households: residents / 4,
            visits: residents,
        })
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Order {
    /// Tenant key of a county with units, matters and a calendar.
    pub county: String,
    pub size: Size,
    pub seed: u64,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// By name.
    Rows(Vec<(&'static str, usize)>),
    /// An earlier run has made this county, or part of it; nothing was changed.
    Before,
}

/// Everything that is drawn from: what was there before, and the plan of what will be.
pub struct World {
    app: Arc<App>,
    county: i32,
    seed: u64,
    size: Size,
    now: DateTime<Utc>,
    today: NaiveDate,
    calendar: Arc<Calendar>,
    facts: Facts,
    centres: Vec<Centre>,
}

/// Fills a county, once.
pub async fn run(app: &Arc<App>, order: &Order) -> Result<Made> {
    let key = &order.county;
    if app.config.is_development() && key == sample::COUNTY {
        sample::load(app).await?;
    }
    let county = app.counties.find(app, key).await?.with_context(|| format!("there is no county {key}"))?.id;
    let now = app.clock.now();
    let facts = app.db.read("generate", move |conn| Ok(centres::facts(conn, county)?)).await?;
    let ready = !facts.townships.is_empty() && !facts.villages.is_empty() && !facts.matters.is_empty();
    ensure!(ready, "{key} needs townships, villages and matters first");
    if facts.generated {
        return Ok(Made::Before);
    }
    let calendar = calendar::current(app).await?;
    let (app, today, size, seed) = (app.clone(), local_date(now), order.size, order.seed);
    let mut world = World { app, county, seed, size, now, today, calendar, facts, centres: Vec::new() };
    world.centres = centres::plan(&world);
    let mut rows = Vec::new();
    for (what, make) in MAKERS {
        let made = make(&world).await?;
        tracing::info!(what, made, "generated");
        rows.push((*what, made));
    }
    let entry = Audit::new("generate", "county", tenants::audit_id(key));
    let noted = world.app.db.write("generate", move |conn| {
        audit::record(conn, Actor::operator(county), now, &entry)?;
        Ok(())
    });
    noted.await?;
    world.app.rendered.forget();
    let tables = "residents, appointments, errands, errand_ledger, orders, order_moves, households, household_members, visit_tasks, visits";
    analyse(&world.app, tables).await?;
    Ok(Made::Rows(rows))
}

/// What was made in bulk is not known to the planner until its tables are looked at, which only their owner may.
async fn analyse(app: &App, tables: &'static str) -> Result<()> {
    let Some(url) = app.config.database_owner_url.as_ref() else { return Ok(()) };
    let analyse = Db::new(url.expose_secret(), 1);
    analyse.read("analyse", move |conn| Ok(conn.batch_execute(&format!("ANALYZE {tables}"))?)).await?;
    Ok(())
}

impl World {
    /// Where the past begins that appointments are made of.
    fn begin(&self) -> NaiveDate {
        self.today.checked_sub_months(Months::new(24)).unwrap_or(self.today)
    }

    fn dice(&self, what: &str, number: usize) -> Dice {
        Dice::of(self.seed, what, number as u64)
    }

    /// When a resident was registered: in the three years before the first appointment, one after another.
    fn registered(&self, resident: usize) -> DateTime<Utc> {
        let span = TimeDelta::days(3 * 365).num_seconds();
        let at = span * resident as i64 / self.size.residents.max(1) as i64;
        local_midnight(self.begin()) - TimeDelta::seconds(span - at)
    }

    /// The id of a resident; nobody has to remember them all.
    fn resident(&self, resident: usize) -> Uuid {
        self.dice("resident.id", resident).id(self.registered(resident))
    }

    /// Where a resident lives, by the place of the village among the centres.
    fn village_of(&self, resident: usize) -> Option<usize> {
        self.centres
            .iter()
            .position(|centre| !centre.township && (centre.people.0..centre.people.1).contains(&resident))
    }

    /// Writes rows in batches.
    async fn put<R: Send + Sync + 'static>(&self, rows: Vec<R>, copy: Copy<R>) -> Result<usize> {
        self.put_by(BATCH, rows, copy).await
    }

    async fn put_by<R: Send + Sync + 'static>(&self, batch: usize, mut rows: Vec<R>, copy: Copy<R>) -> Result<usize> {
        let mut written = 0;
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(batch));
            written += self.app.db.write("generate", move |conn| Ok(copy(conn, &rows)?)).await?;
            rows = rest;
        }
        Ok(written)
    }
}

/// Copies rows into a table.
type Copy<R> = fn(&mut PgConnection, &[R]) -> QueryResult<usize>;
