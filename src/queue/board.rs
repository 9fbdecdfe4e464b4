//! What the screens of a hall show: read once a second and unit, however many look.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{Binary, Integer, Text, Uuid as SqlUuid},
};
use quick_cache::sync::Cache;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{arriving::Rules, line::Line};
use crate::{
    app::App,
    appointments::model::AppointmentState as State,
    crypto,
    db::found,
    error::{Code, Error, Result},
    http::limits,
    statement, units,
};

/// How old what a screen shows may be, and how long an ended screen may go on.
const FRESH: TimeDelta = TimeDelta::seconds(1);

/// By the clock of the application, which may also be set back.
fn is_fresh(read_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - read_at).abs() < FRESH
}

/// How long a secret that names no screen is remembered as such: a screen that was ended goes on asking.
const UNKNOWN: TimeDelta = TimeDelta::seconds(10);

/// Secrets that are not known here that an address may try in a minute: more than the screens of a building, which are asked
/// for once each after a start.
const GUESSES: u32 = 60;

/// Streams that a screen may have open at once in this process: one is enough, and those whose client has gone without a word
/// are found out when the next comment is sent.
const STREAMS: usize = 20;

/// Seconds within which a client that has gone is found out.
const CLOSED_AFTER: u64 = 30;

/// More than anybody in a hall reads.
const SHOWN: usize = 30;

/// A screen or kiosk, as its secret names it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Screen {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = Text)]
    pub county_key: String,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub unit_id: Uuid,
}

statement! {
    struct Find { hash: Vec<u8> as Binary }
    "SELECT s.county_id, c.key AS county_key, s.id, s.unit_id FROM hall_screens s \
     JOIN counties c ON c.id = s.county_id AND c.state = 'active' WHERE s.handle_hash = {hash} AND s.ended_at IS NULL"
}

/// What a hall shows, rendered.
#[derive(Debug)]
pub struct Board {
    pub body: Bytes,
    /// The digest of the body, without quotes.
    pub version: String,
}

/// The last reading of a unit, or that it failed, and when. Held while somebody reads: the others wait for the same.
type Reading = Arc<tokio::sync::Mutex<Option<(Option<Arc<Board>>, DateTime<Utc>)>>>;

/// The halls that somebody looks at.
pub struct Boards {
    readings: Mutex<HashMap<(i32, Uuid), Reading>>,
    screens: Cache<[u8; 32], (Arc<Screen>, DateTime<Utc>)>,
    unknown: Cache<[u8; 32], DateTime<Utc>>,
    streams: Arc<Mutex<HashMap<Uuid, usize>>>,
    closing: watch::Sender<bool>,
}

impl Default for Boards {
    fn default() -> Self {
        Self {
            readings: Mutex::default(),
            screens: Cache::new(2_000),
            unknown: Cache::new(2_000),
            streams: Arc::default(),
            closing: watch::Sender::new(false),
        }
    }
}

/// One of the streams of a screen; dropped with it.
pub struct Stream {
    of: Uuid,
    all: Arc<Mutex<HashMap<Uuid, usize>>>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Ok(mut all) = self.all.lock() else { return };
        if let Some(open) = all.get_mut(&self.of) {
            *open -= 1;
            if *open == 0 {
                all.remove(&self.of);
            }
        }
    }
}

impl Boards {
    /// [`screen`](Self::screen) for whoever asks from outside: an address that tries many secrets has to wait. What this process
    /// has once known costs nothing, so that a guesser next door shuts no screen out.
    pub async fn screen_for(&self, app: &App, secret: &str, from: &str) -> Result<Arc<Screen>> {
        let hash = crypto::digest(secret.as_bytes());
        if self.screens.get(&hash).is_none() && !self.named_nothing(&hash, app.clock.now()) {
            limits::take(app, "hall_secrets", from, GUESSES).await?;
        }
        self.screen(app, secret).await
    }

    fn named_nothing(&self, hash: &[u8; 32], now: DateTime<Utc>) -> bool {
        self.unknown.get(hash).is_some_and(|read_at| (now - read_at).abs() < UNKNOWN)
    }

    /// Opens a stream of a screen, unless it has too many.
    pub fn open(&self, screen: &Screen) -> Result<Stream> {
        let mut all =
            self.streams.lock().map_err(|_| Error::internal("a thread panicked with the streams of halls"))?;
        let open = all.entry(screen.id).or_default();
        if *open >= STREAMS {
            let (zh, en) = (
                format!("该屏幕已有 {STREAMS} 个连接，请先关闭其他连接"),
                format!("The screen has {STREAMS} streams open already; close some of them"),
            );
            return Err(Error::new(Code::TooManyRequests).detail(zh, en).retry_after(CLOSED_AFTER));
        }
        *open += 1;
        Ok(Stream { of: screen.id, all: self.streams.clone() })
    }

    /// The screen of a secret; 404 when there is none, or one that was ended.
    pub async fn screen(&self, app: &App, secret: &str) -> Result<Arc<Screen>> {
        let (hash, now) = (crypto::digest(secret.as_bytes()), app.clock.now());
        if let Some((screen, read_at)) = self.screens.get(&hash)
            && is_fresh(read_at, now)
        {
            return Ok(screen);
        }
        if self.named_nothing(&hash, now) {
            return Err(Code::NotFound.into());
        }
        let found: Option<Screen> =
            app.db.read("hall_screen", move |conn| found(Find { hash: hash.to_vec() }.get_result(conn))).await?;
        let Some(screen) = found.map(Arc::new) else {
            self.screens.remove(&hash);
            self.unknown.insert(hash, now);
            return Err(Code::NotFound.into());
        };
        self.screens.insert(hash, (screen.clone(), now));
        Ok(screen)
    }

    /// Forgets a screen by the hash of its secret: called by whoever ends it.
    pub fn forget(&self, hash: &[u8]) {
        if let Ok(hash) = <[u8; 32]>::try_from(hash) {
            self.screens.remove(&hash);
        }
    }

    /// What a screen's hall shows, at most a second old.
    pub async fn board(&self, app: &App, screen: &Screen) -> Result<Arc<Board>> {
        let reading = match self.readings.lock() {
            Ok(mut readings) => readings.entry((screen.county_id, screen.unit_id)).or_default().clone(),
            Err(_) => return Err(Error::internal("a thread panicked with the readings of halls")),
        };
        let mut last = reading.lock().await;
        let now = app.clock.now();
        match &*last {
            Some((Some(board), at)) if is_fresh(*at, now) => return Ok(board.clone()),
            Some((None, at)) if is_fresh(*at, now) => return Err(Error::unavailable("failed a moment ago")),
            _ => {}
        }
        let read = read(app, screen).await.map(Arc::new);
        *last = Some((read.as_ref().ok().cloned(), app.clock.now()));
        read
    }

    /// Ends every stream: the server is about to stop, and would wait for them.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Turns true when streams end.
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }
}

/// A window of the hall.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"name": "民生事务窗口", "paused": false, "ticket": "A001", "state": "called", "calls": 1}))]
pub struct HallWindowView {
    pub name: String,
    /// 暂停办理
    pub paused: bool,
    /// The ticket that is called or served there.
    pub ticket: Option<String>,
    /// `called` or `serving`.
    #[schema(inline)]
    pub state: Option<State>,
    /// Raised when it is called again: time to chime once more.
    pub calls: Option<i16>,
}

/// A ticket that waits.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"ticket": "B002", "estimated_minutes": 10}))]
pub struct HallTicketView {
    pub ticket: String,
    pub estimated_minutes: Option<i64>,
}

/// What a hall shows: ticket numbers, never a name.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"unit": "均溪镇", "windows": [{"name": "民生事务窗口", "paused": false, "ticket": "A001", "state": "called", "calls": 1}], "waiting": 1,
    "next": [{"ticket": "B002", "estimated_minutes": 10}]}))]
pub struct HallView {
    /// Whose centre.
    pub unit: String,
    /// The open ones.
    pub windows: Vec<HallWindowView>,
    /// How many wait.
    pub waiting: usize,
    /// The first 30 of them, in the order in which they are called.
    pub next: Vec<HallTicketView>,
}

impl HallView {
    fn new(unit: String, line: &Line) -> Self {
        let windows = line.desks.iter().filter(|desk| desk.open).map(|desk| {
            let there = line.at_desks.iter().find(|row| row.desk_id == Some(desk.id));
            HallWindowView {
                name: desk.name.clone(),
                paused: desk.paused_at.is_some(),
                ticket: there.and_then(|row| row.ticket.clone()),
                state: there.map(|row| row.state),
                calls: there.map(|row| row.calls),
            }
        });
        let next = line.waiting.iter().take(SHOWN).enumerate().map(|(index, row)| HallTicketView {
            ticket: row.ticket.clone().unwrap_or_default(),
            estimated_minutes: line.wait(index).1,
        });
        Self { unit, windows: windows.collect(), waiting: line.waiting.len(), next: next.collect() }
    }
}

async fn read(app: &App, screen: &Screen) -> Result<Board> {
    let (rules, now) = (Rules::of(app, &screen.county_key).await?, app.clock.now());
    let (county, unit) = (screen.county_id, screen.unit_id);
    let read = app.db.read("hall", move |conn| {
        let name = units::store::find(conn, county, unit)?.ok_or(Code::NotFound)?.name;
        Ok(HallView::new(name, &Line::read(conn, (county, unit), rules, now)?))
    });
    let body = serde_json::to_vec(&read.await?).map_err(Error::internal)?;
    let version = BASE64_URL_SAFE_NO_PAD.encode(&crypto::digest(&body)[..9]);
    Ok(Board { body: body.into(), version })
}
