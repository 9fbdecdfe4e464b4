//! Windows, opening rules and channels.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    db::schema::{opening_rules, windows},
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
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

/// A recurring opening rule as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
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
}

impl Rule {
    pub fn capacity(&self, channel: Channel) -> i16 {
        match channel {
            Channel::Public => self.capacity_public,
            Channel::Proxy => self.capacity_proxy,
            Channel::Desk => self.capacity_desk,
        }
    }
}
