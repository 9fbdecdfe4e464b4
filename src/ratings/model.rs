//! A rating: of what, by whom, which grade.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    db::schema::{rating_entries, ratings},
    error::Text,
    proxies::May,
    text_enum,
};

/// How long a rating can be changed.
pub const CHANGEABLE: TimeDelta = TimeDelta::hours(24);

/// How often it can be changed meanwhile; each time is kept.
pub const MOST_CHANGES: i16 = 5;

/// Grades up to this one are bad: somebody gets in touch.
pub const BAD: i16 = 2;

/// Totals of fewer ratings could be traced to those who gave them.
pub const FEWEST: i64 = 5;

text_enum! {
    /// What is rated.
    pub enum AboutKind {
        /// 预约
        Appointment = "appointment",
        /// 代办
        Errand = "errand",
        /// 上门服务
        Order = "order",
    }
}

impl AboutKind {
    /// What somebody who rates it for another must be allowed.
    pub fn may(self) -> May {
        match self {
            Self::Appointment => May::Book,
            Self::Errand => May::Errand,
            Self::Order => May::Order,
        }
    }
}

text_enum! {
    /// Who said it.
    pub enum GivenHow {
        /// The one who was served.
        Resident = "resident",
        /// Somebody who acts for them.
        Proxy = "proxy",
        /// Staff wrote down what somebody without a phone said.
        Agent = "agent",
    }
}

/// The grade in words: 5 非常满意 to 1 非常不满意.
pub fn grade_words(grade: i16) -> Text {
    match grade {
        5 => Text::fixed("非常满意", "very satisfied"),
        4 => Text::fixed("满意", "satisfied"),
        3 => Text::fixed("基本满意", "mostly satisfied"),
        2 => Text::fixed("不满意", "dissatisfied"),
        _ => Text::fixed("非常不满意", "very dissatisfied"),
    }
}

/// A rating as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = ratings, check_for_backend(diesel::pg::Pg))]
pub struct Rating {
    pub county_id: i32,
    pub id: Uuid,
    pub about_kind: AboutKind,
    pub about_id: Uuid,
    pub resident_id: Uuid,
    pub unit_id: Uuid,
    pub served_by: Vec<Option<Uuid>>,
    pub grade: i16,
    pub reasons: Vec<Option<String>>,
    pub given_how: GivenHow,
    pub given_by: Uuid,
    pub entries: i16,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
}

/// What was said one time, as stored; the words are sealed.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = rating_entries, check_for_backend(diesel::pg::Pg))]
pub struct Entry {
    pub id: Uuid,
    pub grade: i16,
    pub reasons: Vec<Option<String>>,
    pub words: Option<Vec<u8>>,
    pub given_how: GivenHow,
    pub at: DateTime<Utc>,
}

/// What the sealed words of an entry are bound to.
pub fn words_place(id: Uuid) -> String {
    format!("rating_entries.words/{id}")
}
