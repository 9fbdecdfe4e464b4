//! A todo: what is to be done, about what, by whom, until when.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{db::schema::todos, error::Text, text_enum};

text_enum! {
    /// What a human is asked to do.
    pub enum Kind {
        /// 电话联系
        Call = "call",
        /// 上门
        Visit = "visit",
        /// 打印纸条
        Slip = "slip",
        /// 决定
        Decide = "decide",
        /// 查看故障
        Failure = "failure",
    }
}

text_enum! {
    /// Where a todo stands.
    pub enum TodoState {
        Open = "open",
        Taken = "taken",
        Done = "done",
        /// What it was about has settled itself.
        Dropped = "dropped",
    }
}

impl TodoState {
    /// States in which somebody still has to act.
    pub const WAITING: &[Self] = &[Self::Open, Self::Taken];

    pub fn words(self) -> Text {
        match self {
            Self::Open => Text::fixed("待领取", "open"),
            Self::Taken => Text::fixed("办理中", "taken"),
            Self::Done => Text::fixed("已完成", "done"),
            Self::Dropped => Text::fixed("无需办理", "dropped"),
        }
    }
}

/// A todo to be opened.
#[derive(Clone, Debug)]
pub struct NewTodo {
    pub county: i32,
    pub kind: Kind,
    /// Whose staff see it; none: the county's administrators.
    pub unit: Option<Uuid>,
    /// Whom it concerns.
    pub resident: Option<Uuid>,
    /// The thing that it is about: at most one waits per kind and thing.
    pub about: Option<(&'static str, Uuid)>,
    /// What is to be done, without personal data.
    pub title: Text,
    /// Who is to do it; none: whoever takes it. An absent one's cover gets it.
    pub holder: Option<Uuid>,
    pub due_at: Option<DateTime<Utc>>,
    /// The member of staff who asked for it; none: the system.
    pub created_by: Option<Uuid>,
}

/// A todo as stored; the note is sealed.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = todos, check_for_backend(diesel::pg::Pg))]
pub struct Todo {
    pub county_id: i32,
    pub id: Uuid,
    pub kind: Kind,
    pub unit_id: Option<Uuid>,
    pub resident_id: Option<Uuid>,
    pub about: Option<String>,
    pub about_id: Option<Uuid>,
    pub title_zh: String,
    pub title_en: String,
    pub state: TodoState,
    pub holder_id: Option<Uuid>,
    pub due_at: Option<DateTime<Utc>>,
    pub note: Option<Vec<u8>>,
    pub done_by: Option<Uuid>,
    pub done_at: Option<DateTime<Utc>>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Todo {
    pub fn title(&self) -> Text {
        Text::new(self.title_zh.clone(), self.title_en.clone())
    }
}

/// What the sealed note of a todo is bound to.
pub fn note_place(id: Uuid) -> String {
    format!("todos.note/{id}")
}
