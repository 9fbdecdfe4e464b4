//! Where rooms meet: what each has to say about a member of staff, a day, a resident, and its sealed columns.
//!
//! What spans rooms (my day, everything open for a person, handing over, merging two records, export and erasure of one's
//! data, sealing under a new key) walks the list [`ROOMS`]. A new room declares a [`Room`] and adds its line; nothing that
//! walks the list knows any room by name.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::PgConnection;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    app::App,
    appointments, attachments,
    audit::Audit,
    calendar::Calendar,
    consents, data_requests, errands,
    error::{Lang, Result, Text},
    helpers, households,
    http::caller::Caller,
    matters, messages, opening, orders, people, proxies, queue, ratings, sessions, settings, staff, todos, visits,
};

/// Every room that has something to say.
pub const ROOMS: &[Room] = &[
    people::ROOM,
    proxies::ROOM,
    appointments::ROOM,
    opening::ROOM,
    messages::ROOM,
    todos::ROOM,
    sessions::ROOM,
    consents::ROOM,
    data_requests::ROOM,
    staff::ROOM,
    queue::ROOM,
    attachments::ROOM,
    errands::ROOM,
    helpers::ROOM,
    orders::ROOM,
    ratings::ROOM,
    // Before households, whose members tell which visits go with a record.
    visits::ROOM,
    households::ROOM,
    matters::ROOM,
    settings::ROOM,
];

/// Every kind of thing that phones keep, in the order in which they are first sent.
pub fn synced() -> impl Iterator<Item = &'static Synced> {
    ROOMS.iter().flat_map(|room| room.synced)
}

type OfDay = fn(&mut PgConnection, &Day) -> Result<Vec<Entry>>;
type OpenFor = fn(&mut PgConnection, Person) -> Result<Vec<Entry>>;
type HandsOver = fn(&mut PgConnection, &HandOver) -> Result<usize>;
type OnAbsence = fn(&mut PgConnection, &Absent) -> Result<()>;
type OnCalendar = fn(&mut PgConnection, &DaysChanged) -> Result<()>;
type OnSetting = fn(&mut PgConnection, &SettingChanged) -> Result<()>;
type Merges = fn(&mut PgConnection, &Merge) -> Result<usize>;
type Export = fn(&mut PgConnection, &App, Person) -> Result<Value>;
type Erase = fn(&mut PgConnection, &App, Person) -> Result<usize>;
type OnHelperGone = fn(&mut PgConnection, &HelperGone) -> Result<()>;
type IsServed = fn(&mut PgConnection, i32, Uuid) -> Result<Option<Served>>;
type Ids = fn(&mut PgConnection, &Phone, Uuid, i64) -> Result<Vec<Uuid>>;
type Keeps = fn(&mut PgConnection, &App, &Phone, &[Uuid]) -> Result<Vec<Kept>>;
type MaySee = fn(&mut PgConnection, &Caller, Uuid, DateTime<Utc>) -> Result<bool>;

/// What a room has to say; what it leaves out does not concern it.
pub struct Room {
    pub name: &'static str,
    /// What stands in somebody's day.
    pub day: Option<OfDay>,
    /// What is open for a resident, at any time.
    pub open_for: Option<OpenFor>,
    /// Moves what a member of staff holds to another; how many things.
    pub hand_over: Option<HandsOver>,
    /// Sees to what waits for somebody who is not there, or is there again.
    pub absent: Option<OnAbsence>,
    /// Sees to what a helper holds who is not there, for a time or for good.
    pub helper_gone: Option<OnHelperGone>,
    /// Sees to what was arranged for days that work no more, or again.
    pub days_changed: Option<OnCalendar>,
    /// Sees to what was computed by a setting that changes.
    pub setting_changed: Option<OnSetting>,
    /// Moves what belongs to a resident's duplicate to the record that stays; how many things.
    pub merge: Option<Merges>,
    /// Everything the room knows of a resident, plain, for themselves (PIPL art. 45).
    pub export: Option<Export>,
    /// Erases or anonymises what the room knows of a resident (PIPL art. 47); how many things.
    pub erase: Option<Erase>,
    /// Columns that hold sealed values, for sealing them under a new key.
    pub sealed: &'static [Sealed],
    /// The kinds of things that attachments can belong to here, and whether a caller may see such a thing: then its attachments too.
    pub attached: &'static [(&'static str, MaySee)],
    /// The kinds of things here that can be rated, and who was served by one of a county; none if there is no such thing.
    pub rated: &'static [(&'static str, IsServed)],
    /// The kinds of things here that phones of staff keep, to work without a network.
    pub synced: &'static [Synced],
}

impl Room {
    /// A room that has nothing to say yet.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            day: None,
            open_for: None,
            hand_over: None,
            absent: None,
            helper_gone: None,
            days_changed: None,
            setting_changed: None,
            merge: None,
            export: None,
            erase: None,
            sealed: &[],
            attached: &[],
            rated: &[],
            synced: &[],
        }
    }
}

/// A kind of thing that phones keep. Whoever writes one adds a row to `changes` for everybody who keeps it, or kept it until then: by unit,
/// by member of staff; for everybody of the county only where the thing is for everybody.
pub struct Synced {
    /// As in `changes`.
    pub entity: &'static str,
    /// Everybody of the county keeps the same.
    pub for_all: bool,
    /// What a phone keeps, by id: the next after one, at most so many.
    pub ids: Ids,
    /// Of these, those that a phone keeps, as they are now. What is left out is no longer for it.
    pub kept: Keeps,
}

/// Whose phone, in which post.
#[derive(Clone, Debug)]
pub struct Phone {
    pub caller: Caller,
    pub lang: Lang,
    pub now: DateTime<Utc>,
    /// The request, for the audit log.
    pub request: Option<Uuid>,
}

/// A thing that a phone keeps.
pub struct Kept {
    pub id: Uuid,
    pub version: i64,
    /// As its own path answers it, in a list or alone; none: it never was for this phone, which is not told that there is such a thing.
    pub data: Option<Value>,
    /// It is shown plain, which is recorded.
    pub look: Option<Audit>,
}

impl Kept {
    pub fn new(id: Uuid, version: i64, data: &impl serde::Serialize) -> Result<Self> {
        let data = serde_json::to_value(data).map_err(crate::error::Error::internal)?;
        Ok(Self { id, version, data: Some(data), look: None })
    }

    /// Nothing is said of it.
    pub const fn unsaid(id: Uuid) -> Self {
        Self { id, version: 0, data: None, look: None }
    }
}

/// A sealed column of a table with the key `(county_id, id)`; its values are bound to `<table>.<column>/<id>`.
pub struct Sealed {
    pub table: &'static str,
    pub column: &'static str,
    pub index: Option<Index>,
}

/// The blind indexes beside a sealed value.
#[derive(Clone, Copy, Debug)]
pub struct Index {
    pub columns: &'static [&'static str],
    /// What they are made of.
    pub field: &'static str,
    /// The form of a value that it is found by.
    pub form: fn(&str) -> String,
    /// Every value has them; one from before there were any gets them when values are sealed again.
    pub always: bool,
}

impl Index {
    /// Of values as they are, some of which nobody is to be found by.
    pub const fn new(columns: &'static [&'static str], field: &'static str) -> Self {
        Self { columns, field, form: str::to_owned, always: false }
    }
}

/// Whose day, and which.
#[derive(Clone, Debug)]
pub struct Day {
    pub county: i32,
    /// Oneself and those whom one covers.
    pub staff: Vec<Uuid>,
    /// The unit of the caller's post.
    pub unit: Option<Uuid>,
    /// Local midnight, and the next.
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

/// A resident of a county.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    pub county: i32,
    pub id: Uuid,
    pub now: DateTime<Utc>,
}

/// Everything that one member of staff holds goes to another.
#[derive(Clone, Copy, Debug)]
pub struct HandOver {
    pub county: i32,
    pub from: Uuid,
    pub to: Uuid,
    /// Only what belongs to this unit, for a transfer away from it.
    pub unit: Option<Uuid>,
    pub now: DateTime<Utc>,
}

/// It has changed whether a member of staff is there, or who is there instead: an absence, a deputy, a dismissal.
#[derive(Clone, Copy, Debug)]
pub struct Absent {
    pub county: i32,
    pub staff: Uuid,
    pub now: DateTime<Utc>,
}

/// A helper was stopped, has left, or is away for a time.
#[derive(Clone, Copy, Debug)]
pub struct HelperGone {
    pub county: i32,
    pub helper: Uuid,
    pub from: DateTime<Utc>,
    /// Exclusive; none: for good, or until they say that they are back.
    pub until: Option<DateTime<Utc>>,
    pub now: DateTime<Utc>,
}

/// Something that somebody received, or is about to.
#[derive(Clone, Debug)]
pub struct Served {
    pub resident: Uuid,
    /// Whose service it is.
    pub unit: Uuid,
    /// Members of staff and helpers who served.
    pub by: Vec<Uuid>,
    /// None: it is not finished, or came to nothing.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The calendar says otherwise than before whether these days work.
#[derive(Clone, Debug)]
pub struct DaysChanged {
    pub county: i32,
    pub days: Vec<NaiveDate>,
    pub calendar: Arc<Calendar>,
    pub now: DateTime<Utc>,
}

/// A setting of the county has another value from a time on.
#[derive(Clone, Copy, Debug)]
pub struct SettingChanged {
    pub county: i32,
    pub key: &'static str,
    pub from: DateTime<Utc>,
}

/// `from` turns out to be `into`.
#[derive(Clone, Copy, Debug)]
pub struct Merge {
    pub county: i32,
    pub from: Uuid,
    pub into: Uuid,
    pub now: DateTime<Utc>,
}

/// A line in somebody's day, or among what is open for a resident.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The kind of thing, as in paths: `appointment`, `todo`, …
    pub entity: &'static str,
    pub id: Uuid,
    /// When it begins or is due; none: at any time.
    pub at: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    pub state: String,
    pub title: Text,
    pub resident_id: Option<Uuid>,
    /// Who holds it, where somebody does: oneself, or somebody one covers.
    pub holder_id: Option<Uuid>,
}
