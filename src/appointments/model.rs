//! An appointment as read, with the names that belong to it.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{error::Text as Words, text_enum, windows::Channel};

text_enum! {
    /// Where an appointment stands.
    pub enum AppointmentState {
        Booked = "booked",
        Cancelled = "cancelled",
    }
}

impl AppointmentState {
    pub fn words(self) -> Words {
        match self {
            Self::Booked => Words::fixed("已预约", "booked"),
            Self::Cancelled => Words::fixed("已取消", "cancelled"),
        }
    }
}

/// An appointment with the names of what it is about; the resident's name and phone are sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Appointment {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub state: AppointmentState,
    #[diesel(sql_type = Text)]
    pub channel: Channel,
    #[diesel(sql_type = SqlUuid)]
    pub unit_id: Uuid,
    #[diesel(sql_type = Text)]
    pub unit_name: String,
    #[diesel(sql_type = SqlUuid)]
    pub window_id: Uuid,
    #[diesel(sql_type = Text)]
    pub window_name: String,
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
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub booked_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub booked_by_resident: Option<Uuid>,
    #[diesel(sql_type = Timestamptz)]
    pub starts_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub ends_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub cancelled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub cancel_reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}
