//! An entry of the waiting list, its states, and what an offer is made from.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Binary, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    error::Text as Words,
    text_enum,
    windows::{Channel, Place},
};

text_enum! {
    /// Where an entry of the waiting list stands.
    pub enum WaitingState {
        Waiting = "waiting",
        /// A place is kept until the offer ends.
        Offered = "offered",
        /// Took the offer, or was booked otherwise.
        Booked = "booked",
        /// Left the list or declined.
        Left = "left",
        /// Nobody took the offer in time, or no place came in time.
        Lapsed = "lapsed",
    }
}

impl WaitingState {
    pub fn words(self) -> Words {
        match self {
            Self::Waiting => Words::fixed("候补中", "waiting"),
            Self::Offered => Words::fixed("已到号，待确认", "offered"),
            Self::Booked => Words::fixed("已预约", "booked"),
            Self::Left => Words::fixed("已退出", "left"),
            Self::Lapsed => Words::fixed("已失效", "lapsed"),
        }
    }
}

/// What the address of an entry is bound to.
pub fn address_place(id: Uuid) -> String {
    format!("waiting_entries.address/{id}")
}

/// An entry with the names of what it is about; name, phone and address are sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Entry {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub state: WaitingState,
    #[diesel(sql_type = Text)]
    pub channel: Channel,
    #[diesel(sql_type = Text)]
    pub place: Place,
    #[diesel(sql_type = Nullable<Binary>)]
    pub address: Option<Vec<u8>>,
    #[diesel(sql_type = SqlUuid)]
    pub unit_id: Uuid,
    #[diesel(sql_type = Text)]
    pub unit_name: String,
    #[diesel(sql_type = SqlUuid)]
    pub matter_id: Uuid,
    #[diesel(sql_type = Text)]
    pub matter_name: String,
    #[diesel(sql_type = SqlUuid)]
    pub resident_id: Uuid,
    #[diesel(sql_type = Nullable<Binary>)]
    pub resident_name: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub resident_phone: Option<Vec<u8>>,
    /// Where the resident lives.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub resident_unit_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub booked_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub booked_by_resident: Option<Uuid>,
    #[diesel(sql_type = Date)]
    pub on_date: NaiveDate,
    #[diesel(sql_type = Timestamptz)]
    pub earliest: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub latest: DateTime<Utc>,
    /// How many come before, of those who could be offered the same place.
    #[diesel(sql_type = BigInt)]
    pub ahead: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub offered_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub appointment_id: Option<Uuid>,
    /// When the place that is offered, or was taken, begins.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub starts_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}
