//! A helper: who, of which kind, and where they stand.

use chrono::{DateTime, NaiveTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    db::schema::{helper_hours, helpers},
    error::Text,
    geo::Point,
    text_enum,
};

text_enum! {
    /// What a helper is.
    pub enum HelperKind {
        /// 住村特派员
        Specialist = "specialist",
        /// 村干部
        Cadre = "cadre",
        /// 志愿者
        Volunteer = "volunteer",
        /// 护理员
        CareStaff = "care_staff",
    }
}

text_enum! {
    /// What a resident can apply to be.
    pub enum AppliedKind {
        /// 志愿者
        Volunteer = "volunteer",
        /// 护理员
        CareStaff = "care_staff",
    }
}

impl From<AppliedKind> for HelperKind {
    fn from(kind: AppliedKind) -> Self {
        match kind {
            AppliedKind::Volunteer => Self::Volunteer,
            AppliedKind::CareStaff => Self::CareStaff,
        }
    }
}

impl HelperKind {
    pub fn words(self) -> Text {
        match self {
            Self::Specialist => Text::fixed("住村特派员", "specialist"),
            Self::Cadre => Text::fixed("村干部", "village cadre"),
            Self::Volunteer => Text::fixed("志愿者", "volunteer"),
            Self::CareStaff => Text::fixed("护理员", "care staff"),
        }
    }
}

text_enum! {
    /// Where a helper stands.
    pub enum HelperState {
        Applied = "applied",
        Active = "active",
        Stopped = "stopped",
        Refused = "refused",
    }
}

impl HelperState {
    pub fn words(self) -> Text {
        match self {
            Self::Applied => Text::fixed("待审核", "applied"),
            Self::Active => Text::fixed("服务中", "active"),
            Self::Stopped => Text::fixed("已停止", "stopped"),
            Self::Refused => Text::fixed("未通过", "refused"),
        }
    }
}

text_enum! {
    /// What the township decides.
    pub enum Decision {
        Approve = "approve",
        Refuse = "refuse",
        Stop = "stop",
        Resume = "resume",
    }
}

impl Decision {
    /// The table of moves: from which state to which.
    pub const fn moves(self) -> (HelperState, HelperState) {
        match self {
            Self::Approve => (HelperState::Applied, HelperState::Active),
            Self::Refuse => (HelperState::Applied, HelperState::Refused),
            Self::Stop => (HelperState::Active, HelperState::Stopped),
            Self::Resume => (HelperState::Stopped, HelperState::Active),
        }
    }
}

/// States in which a resident may apply, again if need be.
pub const MAY_APPLY: &[HelperState] = &[HelperState::Stopped, HelperState::Refused];

/// A helper as stored; `words` and `reason` are sealed.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = helpers, check_for_backend(diesel::pg::Pg))]
pub struct Helper {
    pub county_id: i32,
    pub id: Uuid,
    pub kind: HelperKind,
    pub staff_id: Option<Uuid>,
    pub resident_id: Option<Uuid>,
    pub unit_id: Uuid,
    pub state: HelperState,
    pub skills: Vec<Option<String>>,
    pub claimed: Vec<Option<String>>,
    pub words: Option<Vec<u8>>,
    pub lng: Option<f64>,
    pub lat: Option<f64>,
    pub radius_m: Option<i32>,
    pub max_load: Option<i16>,
    pub away_from: Option<DateTime<Utc>>,
    pub away_until: Option<DateTime<Utc>>,
    pub decided_by: Option<Uuid>,
    pub decided_at: Option<DateTime<Utc>>,
    pub reason: Option<Vec<u8>>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

impl Helper {
    /// Where they start from.
    pub fn point(&self) -> Option<Point> {
        self.lng.zip(self.lat).map(|(lng, lat)| Point::wgs84(lng, lat))
    }

    pub fn has(&self, skill: &str) -> bool {
        self.skills.iter().flatten().any(|had| had == skill)
    }
}

/// What the sealed words of an application are bound to.
pub fn words_place(id: Uuid) -> String {
    format!("helpers.words/{id}")
}

/// What the sealed reason is bound to.
pub fn reason_place(id: Uuid) -> String {
    format!("helpers.reason/{id}")
}

/// When a helper can be asked, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = helper_hours, check_for_backend(diesel::pg::Pg))]
pub struct Hours {
    /// Bit 0 is Monday.
    pub weekdays: i16,
    pub from_time: NaiveTime,
    /// Exclusive; midnight is the end of the day.
    pub until_time: NaiveTime,
}

/// What goes with a helper: further units and hours.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// Further units, and whether they were granted.
    pub units: Vec<(Uuid, bool)>,
    pub hours: Vec<Hours>,
}
