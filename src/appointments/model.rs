//! An appointment as read, with the names that belong to it; its states and the table of moves between them.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    error::Text as Words,
    text_enum,
    windows::{Channel, Place},
};

text_enum! {
    /// Where an appointment stands.
    pub enum AppointmentState {
        /// A place kept for a few minutes while the form is filled in, or offered to somebody on the waiting list.
        Held = "held",
        Booked = "booked",
        /// 已到
        Arrived = "arrived",
        /// 叫号
        Called = "called",
        Serving = "serving",
        Done = "done",
        Cancelled = "cancelled",
        /// 爽约: never came.
        NoShow = "no_show",
        /// 过号: was called and did not come to the window.
        Missed = "missed",
        /// A held place that was not booked in time; or booked, and on the day the centre noted nobody's coming.
        Lapsed = "lapsed",
    }
}

impl AppointmentState {
    /// States in which a place is taken.
    pub const LIVE: &[Self] = &[Self::Held, Self::Booked, Self::Arrived, Self::Called, Self::Serving];

    pub fn words(self) -> Words {
        match self {
            Self::Held => Words::fixed("待确认", "held"),
            Self::Booked => Words::fixed("已预约", "booked"),
            Self::Arrived => Words::fixed("已到场", "arrived"),
            Self::Called => Words::fixed("正在叫号", "called"),
            Self::Serving => Words::fixed("办理中", "being served"),
            Self::Done => Words::fixed("已办结", "done"),
            Self::Cancelled => Words::fixed("已取消", "cancelled"),
            Self::NoShow => Words::fixed("爽约", "did not come"),
            Self::Missed => Words::fixed("已过号", "missed the call"),
            Self::Lapsed => Words::fixed("已失效", "lapsed"),
        }
    }
}

/// What can be done to an appointment. The table is the diagram in [`super`]; rules and SQL both go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Book,
    Lapse,
    Reschedule,
    Cancel,
    NoShow,
    Excuse,
    Arrive,
    Call,
    Recall,
    /// Did not come when called: back into the line.
    Skip,
    /// Did not come, for the last time.
    Miss,
    Serve,
    Transfer,
    Finish,
    /// Done without a hall: at home, by phone, by video.
    FinishAway,
}

impl Move {
    pub const ALL: &[Self] = &[
        Self::Book,
        Self::Lapse,
        Self::Reschedule,
        Self::Cancel,
        Self::NoShow,
        Self::Excuse,
        Self::Arrive,
        Self::Call,
        Self::Recall,
        Self::Skip,
        Self::Miss,
        Self::Serve,
        Self::Transfer,
        Self::Finish,
        Self::FinishAway,
    ];

    /// From which states, and to which.
    pub const fn row(self) -> (&'static [AppointmentState], AppointmentState) {
        use AppointmentState::{Arrived, Booked, Called, Cancelled, Done, Held, Lapsed, Missed, NoShow, Serving};
        match self {
            Self::Book => (&[Held], Booked),
            Self::Lapse => (&[Held, Booked], Lapsed),
            Self::Reschedule => (&[Booked], Booked),
            Self::Cancel => (&[Held, Booked, Arrived], Cancelled),
            Self::NoShow => (&[Booked], NoShow),
            Self::Excuse => (&[NoShow, Missed], Cancelled),
            Self::Arrive => (&[Booked, Missed], Arrived),
            Self::Call => (&[Arrived], Called),
            Self::Recall => (&[Called], Called),
            Self::Skip => (&[Called], Arrived),
            Self::Miss => (&[Called], Missed),
            Self::Serve => (&[Called], Serving),
            Self::Transfer => (&[Called, Serving], Arrived),
            Self::Finish => (&[Serving], Done),
            Self::FinishAway => (&[Booked, Serving], Done),
        }
    }

    pub const fn from(self) -> &'static [AppointmentState] {
        self.row().0
    }

    pub const fn to(self) -> AppointmentState {
        self.row().1
    }
}

/// What the address of an appointment at home is bound to.
pub fn address_place(id: Uuid) -> String {
    format!("appointments.address/{id}")
}

/// An appointment with the names of what it is about; the resident's name and phone, and the address, are sealed.
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
    #[diesel(sql_type = Text)]
    pub place: Place,
    #[diesel(sql_type = Nullable<Binary>)]
    pub address: Option<Vec<u8>>,
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
    /// None for somebody who took a ticket without saying who they are.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub resident_id: Option<Uuid>,
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
    #[diesel(sql_type = SmallInt)]
    pub slots: i16,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub held_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub waiting_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub ticket: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub arrived_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub on_time: Option<bool>,
    /// The window that calls or serves.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub desk_id: Option<Uuid>,
    #[diesel(sql_type = SmallInt)]
    pub calls: i16,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_reached_and_ends_stay_ends() {
        use AppointmentState::{Booked, Cancelled, Done, Held, Lapsed};
        for state in AppointmentState::ALL {
            let reached = Move::ALL.iter().any(|step| step.to() == *state);
            assert!(reached || *state == Held, "{state:?}");
        }
        for end in [Done, Cancelled, Lapsed] {
            assert!(Move::ALL.iter().all(|step| !step.from().contains(&end)), "{end:?}");
        }
        // What has been done to somebody who came is never told as not having come.
        assert_eq!(Move::NoShow.from(), [Booked]);
    }
}
