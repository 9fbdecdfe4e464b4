//! Purposes, answers, and how they were given.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    db::schema::{consent_texts, consents},
    error::Text,
    text_enum,
};

text_enum! {
    /// What the data is for; each is agreed to separately.
    pub enum Purpose {
        /// 身份证号
        IdNumber = "id_number",
        /// 健康信息
        Health = "health",
        /// 位置信息
        Position = "position",
        /// 未满十四周岁未成年人的信息
        Under14 = "under_14",
    }
}

impl Purpose {
    pub fn words(self) -> Text {
        match self {
            Self::IdNumber => Text::fixed("处理身份证号", "keeping the ID number"),
            Self::Health => Text::fixed("处理健康信息", "keeping health information"),
            Self::Position => Text::fixed("处理位置信息", "using the position"),
            Self::Under14 => Text::fixed("处理未满十四周岁未成年人的信息", "keeping data of a child under 14"),
        }
    }
}

text_enum! {
    /// What was answered.
    pub enum Answered {
        Given = "given",
        Refused = "refused",
        Withdrawn = "withdrawn",
    }
}

text_enum! {
    /// How it was answered.
    pub enum How {
        /// 在小程序中
        InMiniProgram = "in_mini_program",
        /// 书面签字
        Signed = "signed",
        /// 口头
        Spoken = "spoken",
        /// 由监护人
        ByGuardian = "by_guardian",
    }
}

text_enum! {
    /// How it was answered at the desk.
    pub enum DeskHow {
        Signed = "signed",
        Spoken = "spoken",
    }
}

text_enum! {
    /// Where a resident stands with a purpose.
    pub enum ConsentState {
        /// Not asked yet.
        Never = "never",
        Given = "given",
        /// Given to a text that has changed since: to be asked again.
        Outdated = "outdated",
        Withdrawn = "withdrawn",
        Refused = "refused",
    }
}

impl ConsentState {
    pub fn words(self) -> Text {
        match self {
            Self::Never => Text::fixed("未询问", "not asked yet"),
            Self::Given => Text::fixed("已同意", "given"),
            Self::Outdated => Text::fixed("文本已更新，需重新同意", "the text has changed; to be asked again"),
            Self::Withdrawn => Text::fixed("已撤回", "withdrawn"),
            Self::Refused => Text::fixed("不同意", "refused"),
        }
    }
}

/// Whose hand it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The person, or a guardian with a record of their own.
    Resident(Uuid),
    /// Staff who recorded what they heard or saw.
    Staff(Uuid),
}

/// An answer to be recorded with [`give`](super::give).
#[derive(Clone, Copy, Debug)]
pub struct Given {
    pub county: i32,
    pub resident: Uuid,
    pub purpose: Purpose,
    /// The text that was shown; none: the one in effect. Withdrawing is about the text that was agreed to.
    pub version: Option<i64>,
    pub answer: Answered,
    pub how: How,
    pub by: Who,
}

/// A text as published.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = consent_texts, check_for_backend(diesel::pg::Pg))]
pub struct ConsentText {
    pub id: Uuid,
    pub purpose: Purpose,
    pub version: i64,
    pub zh: String,
    pub en: String,
    pub effective_from: DateTime<Utc>,
    pub published_at: DateTime<Utc>,
}

/// An entry of the ledger.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = consents, check_for_backend(diesel::pg::Pg))]
pub struct Consent {
    pub county_id: i32,
    pub id: Uuid,
    pub seq: i64,
    pub resident_id: Uuid,
    pub purpose: Purpose,
    pub version: i64,
    pub answer: Answered,
    pub how: How,
    pub by_resident: Option<Uuid>,
    pub by_staff: Option<Uuid>,
    pub at: DateTime<Utc>,
}
