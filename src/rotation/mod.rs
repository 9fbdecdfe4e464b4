//! Changing the master key: everything sealed is sealed again under the newest one, while the service runs.
//!
//! 1. Every process gets the ring with the new key beside the old ones: from then on it seals, and all of them open.
//! 2. `lianxin keys reseal` walks every sealed column by primary key. Each value is exchanged only if it is still the one that
//!    was read, so a write in between is never lost. It may be stopped anywhere and run again: what is done is skipped.
//! 3. When nothing is left under an old key (`lianxin keys status`), it may leave the ring.
//!
//! Blind indexes are made anew with their values, and for values from before there was an index: the same run fills a new one.
//!
//! Stored answers of repeatable writes are not sealed again: they live for 7 days, and so long the old key stays. A blind index
//! is looked for under every key of the ring in one indexed read, so people are found all the while.

mod store;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::{
    app::App,
    audit::{self, Actor, Audit, seal},
    crypto::GLOBAL,
    error::{Code, Error, Result},
    rooms::{Index, ROOMS},
};
use store::{At, Swap};

/// Rows looked at at once when nothing is written.
const LOOK: i64 = 5_000;

/// How the rows of a table are named, and whose key seals them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// `(county_id, id)`, as every table of a room.
    OfCounty,
    /// The table of counties itself: `id` is the county, and a value is bound to its column alone.
    Counties,
    /// A text key, under the keys of no county.
    Global(&'static str),
}

/// A sealed column.
#[derive(Clone, Copy, Debug)]
struct Column {
    table: &'static str,
    column: &'static str,
    index: Option<Index>,
    rows: Rows,
}

/// What no room can declare, because its table has no `(county_id, id)`.
const SPECIAL: &[Column] = &[
    Column { table: "counties", column: "wechat_secret", index: None, rows: Rows::Counties },
    Column { table: "counties", column: "sms_secret", index: None, rows: Rows::Counties },
    Column { table: "signing_keys", column: "private_key", index: None, rows: Rows::Global("kid") },
];

fn columns() -> impl Iterator<Item = Column> {
    let of_rooms = ROOMS.iter().flat_map(|room| room.sealed).map(|sealed| Column {
        table: sealed.table,
        column: sealed.column,
        index: sealed.index,
        rows: Rows::OfCounty,
    });
    of_rooms.chain(SPECIAL.iter().copied())
}

impl Column {
    fn name(&self) -> String {
        format!("{}.{}", self.table, self.column)
    }

    /// What a value of a row is bound to.
    fn place(&self, key: &str) -> String {
        match self.rows {
            Rows::Counties => self.name(),
            Rows::OfCounty | Rows::Global(_) => format!("{}/{key}", self.name()),
        }
    }

    /// Before the first row.
    fn start(&self) -> At {
        match self.rows {
            Rows::OfCounty => At { county: i32::MIN, key: uuid::Uuid::nil().to_string() },
            Rows::Counties | Rows::Global(_) => At { county: i32::MIN, key: String::new() },
        }
    }
}

/// A value that could not be sealed again, and was left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    pub column: String,
    pub county: i32,
    /// Id of the row; the county's number or a `kid` in tables that have none.
    pub key: String,
    pub because: Because,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Because {
    #[error("it does not open: the key is missing, or it was tampered with")]
    Unsealable,
    #[error("its blind index is another row's: the same person is registered twice")]
    Duplicate,
}

/// What became of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub column: String,
    /// Rows looked at.
    pub rows: u64,
    pub resealed: u64,
    /// Written by somebody else between reading and writing; theirs counts.
    pub overtaken: u64,
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Resealed {
    pub columns: Vec<Progress>,
    pub stuck: Vec<Stuck>,
    /// It was not stopped before the end.
    pub finished: bool,
}

/// Seals again what lies under an old key, in transactions of `batch` rows. `goes_on` is told after each, and may stop it.
pub async fn reseal(app: &Arc<App>, batch: i64, mut goes_on: impl FnMut(&Progress) -> bool) -> Result<Resealed> {
    let mut done = Resealed { columns: Vec::new(), stuck: Vec::new(), finished: false };
    let mut touched = BTreeSet::new();
    for column in columns() {
        let mut progress = Progress { column: column.name(), ..Progress::default() };
        let mut at = column.start();
        loop {
            let rows = app.db.read("sealed_values", move |conn| Ok(store::page(conn, &column, &at, batch, true)?));
            let rows = rows.await?;
            let Some(last) = rows.last().map(|row| row.at.clone()) else { break };
            progress.rows += rows.len() as u64;
            let swaps = again(app, &column, rows, &mut done.stuck);
            exchange(app, column, swaps, (&mut progress, &mut touched), &mut done.stuck).await?;
            at = last;
            if !goes_on(&progress) {
                done.columns.push(progress);
                return Ok(done);
            }
        }
        done.columns.push(progress);
    }
    tell(app, touched).await?;
    Ok(Resealed { finished: true, ..done })
}

/// The values under old keys, sealed anew.
fn again(app: &App, column: &Column, rows: Vec<store::Found>, stuck: &mut Vec<Stuck>) -> Vec<Swap> {
    let mut swaps = Vec::new();
    for store::Found { at, value, bare } in rows {
        let Some(old) = value else { continue };
        if old.first() == Some(&app.keys.current()) && !bare {
            continue;
        }
        let place = column.place(&at.key);
        let Ok(plain) = app.keys.open(at.county, &place, &old) else {
            stuck.push(Stuck::new(column, at, Because::Unsealable));
            continue;
        };
        let index = match (column.index, std::str::from_utf8(&plain)) {
            (Some(Index { field, form, .. }), Ok(text)) => Some(app.keys.blind(at.county, field, &form(text))),
            (Some(_), Err(_)) => {
                stuck.push(Stuck::new(column, at, Because::Unsealable));
                continue;
            }
            (None, _) => None,
        };
        let new = app.keys.seal(at.county, &place, &plain);
        swaps.push(Swap { at, old, new, index });
    }
    swaps
}

impl Stuck {
    fn new(column: &Column, at: At, because: Because) -> Self {
        Self { column: column.name(), county: at.county, key: at.key, because }
    }
}

/// Writes a batch in one transaction; one by one when a unique index refuses it, so that only the row at fault stays.
async fn exchange(
    app: &App,
    column: Column,
    swaps: Vec<Swap>,
    (progress, touched): (&mut Progress, &mut BTreeSet<i32>),
    stuck: &mut Vec<Stuck>,
) -> Result<()> {
    if swaps.is_empty() {
        return Ok(());
    }
    let mut parts = vec![swaps];
    while let Some(part) = parts.pop() {
        match write(app, column, part.clone(), touched).await {
            Ok(written) => {
                progress.resealed += written as u64;
                progress.overtaken += (part.len() - written) as u64;
            }
            Err(error) if error.code != Code::NameTaken => return Err(error),
            Err(_) if part.len() > 1 => parts.extend(part.into_iter().map(|swap| vec![swap])),
            Err(_) => stuck.extend(part.into_iter().map(|swap| Stuck::new(&column, swap.at, Because::Duplicate))),
        }
    }
    Ok(())
}

/// The entry that tells a county's log of it.
fn entry(app: &App) -> Audit {
    Audit::new("reseal", "key", audit::id_of("key", &app.keys.current().to_string()))
}

/// Exchanges values, and records it in the log of each county that this run has not touched before.
async fn write(app: &App, column: Column, swaps: Vec<Swap>, touched: &mut BTreeSet<i32>) -> Result<usize> {
    let counties = swaps.iter().map(|swap| swap.at.county).filter(|county| *county != GLOBAL);
    let fresh: BTreeSet<i32> = counties.filter(|county| !touched.contains(county)).collect();
    let (entry, now, told) = (entry(app), app.clock.now(), fresh.clone());
    let written = app.db.write("reseal", move |conn| {
        // Whichever index it is: the row is another's twin.
        let written = store::swap(conn, &column, &swaps).map_err(|error| match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Code::NameTaken.into(),
            error => Error::from(error),
        })?;
        for county in &told {
            audit::record(conn, Actor::operator(*county), now, &entry)?;
        }
        Ok(written)
    });
    let written = written.await?;
    touched.extend(fresh);
    Ok(written)
}

/// Also tells the logs that no batch under the new key vouches for yet; and seals, so that the newest batch of each county is
/// signed under the new key and stands for all before it.
async fn tell(app: &Arc<App>, touched: BTreeSet<i32>) -> Result<()> {
    let (current, entry, now) = (i16::from(app.keys.current()), entry(app), app.clock.now());
    let told = app.db.write("record_reseal", move |conn| {
        for (county, version) in store::newest_batches(conn)? {
            if version != current && !touched.contains(&county) {
                audit::record(conn, Actor::operator(county), now, &entry)?;
            }
        }
        Ok(())
    });
    told.await?;
    seal::seal_all(app).await.map(drop)
}

/// How many values lie under which key.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The version that seals, and all that open.
    pub current: u8,
    pub ring: Vec<u8>,
    /// By column.
    pub columns: Vec<(String, BTreeMap<u8, u64>)>,
    /// How many values of a column nobody is found by yet: from before there was an index.
    pub bare: BTreeMap<String, u64>,
    /// Stored answers, and until when the last of them lives.
    pub answers: BTreeMap<u8, (u64, DateTime<Utc>)>,
    /// Counties by the key of their newest audit batch.
    pub audit: BTreeMap<u8, u64>,
}

impl Status {
    /// Values under a key that have to be sealed again, and audit logs that only it vouches for.
    pub fn left_under(&self, key: u8) -> u64 {
        let values: u64 = self.columns.iter().filter_map(|(_, by_key)| by_key.get(&key)).sum();
        values + self.audit.get(&key).copied().unwrap_or(0)
    }

    /// Until when a key must stay for answers that may be repeated.
    pub fn needed_until(&self, key: u8) -> Option<DateTime<Utc>> {
        self.answers.get(&key).map(|(_, until)| *until)
    }
}

/// Counts what lies under which key.
pub async fn status(app: &App) -> Result<Status> {
    let mut status = Status { current: app.keys.current(), ring: app.keys.versions().collect(), ..Status::default() };
    for column in columns() {
        let (mut at, mut by_key) = (column.start(), BTreeMap::new());
        loop {
            let rows =
                app.db.read("sealed_keys", move |conn| Ok(store::page(conn, &column, &at, LOOK, false)?)).await?;
            let Some(last) = rows.last().map(|row| row.at.clone()) else { break };
            let bare = rows.iter().filter(|row| row.bare).count() as u64;
            if bare > 0 {
                *status.bare.entry(column.name()).or_default() += bare;
            }
            for value in rows.into_iter().filter_map(|row| row.value) {
                *by_key.entry(value.first().copied().unwrap_or(0)).or_default() += 1;
            }
            at = last;
        }
        status.columns.push((column.name(), by_key));
    }
    status.answers = answers(app).await?;
    for (_, version) in app.db.read("audit_keys", |conn| Ok(store::newest_batches(conn)?)).await? {
        *status.audit.entry(version as u8).or_default() += 1;
    }
    Ok(status)
}

/// Stored answers by key, a quarter of a day at a time: few enough for one statement.
async fn answers(app: &App) -> Result<BTreeMap<u8, (u64, DateTime<Utc>)>> {
    let (life, step, now) = (TimeDelta::days(7), TimeDelta::hours(6), app.clock.now());
    let mut all: BTreeMap<u8, (u64, DateTime<Utc>)> = BTreeMap::new();
    let mut from = now - life - step;
    while from <= now {
        let to = from + step;
        for (key, count, last) in app.db.read("answer_keys", move |conn| Ok(store::answers(conn, from, to)?)).await? {
            let entry = all.entry(key).or_insert((0, last + life));
            *entry = (entry.0 + count, entry.1.max(last + life));
        }
        from = to;
    }
    all.retain(|_, (_, until)| *until > now);
    Ok(all)
}
