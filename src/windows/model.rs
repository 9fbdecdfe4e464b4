//! Windows, opening rules and channels.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use diesel::prelude::*;
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    db::schema::{opening_exceptions, opening_rules, windows},
    text_enum,
};

text_enum! {
    /// Whether a window takes bookings.
    pub enum WindowState {
        Open = "open",
        Closed = "closed",
    }
}

text_enum! {
    /// Through what a place is taken; each has its own capacity.
    pub enum Channel {
        /// The mini-program.
        Public = "public",
        /// Through an agent (代约).
        Proxy = "proxy",
        /// At the counter.
        Desk = "desk",
        /// Came without an appointment (取号): stands in the same line and takes no place of a slot.
        WalkIn = "walk_in",
    }
}

text_enum! {
    /// Where an appointment takes place.
    pub enum Place {
        Centre = "centre",
        /// 上门
        Home = "home",
        Phone = "phone",
        Video = "video",
    }
}

text_enum! {
    /// What an exception does to a day.
    pub enum ExceptionKind {
        Closed = "closed",
        Open = "open",
    }
}

/// Places of a slot, per channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    pub public: i16,
    pub proxy: i16,
    pub desk: i16,
}

impl Capacity {
    pub fn of(self, channel: Channel) -> i16 {
        match channel {
            Channel::Public => self.public,
            Channel::Proxy => self.proxy,
            Channel::Desk => self.desk,
            Channel::WalkIn => 0,
        }
    }

    pub fn total(self) -> i16 {
        self.public + self.proxy + self.desk
    }
}

impl std::ops::Add for Capacity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { public: self.public + other.public, proxy: self.proxy + other.proxy, desk: self.desk + other.desk }
    }
}

/// A window as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = windows, check_for_backend(diesel::pg::Pg))]
pub struct Window {
    pub id: Uuid,
    pub unit_id: Uuid,
    pub name: String,
    pub state: WindowState,
    pub officer_id: Option<Uuid>,
    pub paused_at: Option<DateTime<Utc>>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

/// A recurring opening rule as stored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Queryable, Selectable)]
#[diesel(table_name = opening_rules, check_for_backend(diesel::pg::Pg))]
pub struct Rule {
    pub id: Uuid,
    pub window_id: Uuid,
    /// Bit 0 is Monday.
    pub weekdays: i16,
    pub opens_at: NaiveTime,
    pub closes_at: NaiveTime,
    pub slot_minutes: i16,
    pub capacity_public: i16,
    pub capacity_proxy: i16,
    pub capacity_desk: i16,
    pub valid_from: NaiveDate,
    pub valid_until: Option<NaiveDate>,
    /// Where its slots are served.
    pub place: Place,
    /// Only every n-th week, counted from the week (Monday to Sunday) of `valid_from`.
    pub every_weeks: i16,
}

impl Rule {
    pub fn capacity(&self) -> Capacity {
        Capacity { public: self.capacity_public, proxy: self.capacity_proxy, desk: self.capacity_desk }
    }
}

/// What is different on one day, as stored: at a centre, or at one of its windows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Queryable, Selectable)]
#[diesel(table_name = opening_exceptions, check_for_backend(diesel::pg::Pg))]
pub struct Exception {
    pub id: Uuid,
    pub unit_id: Uuid,
    /// None: the whole centre.
    pub window_id: Option<Uuid>,
    pub on_date: NaiveDate,
    pub kind: ExceptionKind,
    pub opens_at: Option<NaiveTime>,
    pub closes_at: Option<NaiveTime>,
    /// Opens the day by the rules of this ISO weekday, 1 is Monday.
    pub like_weekday: Option<i16>,
    pub slot_minutes: Option<i16>,
    pub place: Option<Place>,
    pub capacity_public: Option<i16>,
    pub capacity_proxy: Option<i16>,
    pub capacity_desk: Option<i16>,
    /// Shown to residents.
    pub reason: String,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

impl Exception {
    /// Places of its own slots; none where it closes or follows a weekday.
    pub fn capacity(&self) -> Capacity {
        Capacity {
            public: self.capacity_public.unwrap_or(0),
            proxy: self.capacity_proxy.unwrap_or(0),
            desk: self.capacity_desk.unwrap_or(0),
        }
    }
}
