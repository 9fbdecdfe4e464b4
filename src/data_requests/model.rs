//! A request of a resident about their own data.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use crate::{db::schema::data_requests, error::Text, text_enum};

text_enum! {
    /// What is asked for.
    pub enum DataRequestKind {
        /// 复制、转移 (art. 45)
        Export = "export",
        /// 更正、补充 (art. 46)
        Correct = "correct",
        /// 注销、删除 (art. 47)
        Close = "close",
    }
}

text_enum! {
    /// Where a request stands.
    pub enum DataRequestState {
        Requested = "requested",
        Running = "running",
        /// The copy can be fetched.
        Ready = "ready",
        Done = "done",
        Refused = "refused",
        /// The copy is gone.
        Expired = "expired",
    }
}

impl DataRequestState {
    /// States in which something is still to be done.
    pub const WAITING: &[Self] = &[Self::Requested, Self::Running];

    pub fn words(self) -> Text {
        match self {
            Self::Requested => Text::fixed("已申请", "requested"),
            Self::Running => Text::fixed("处理中", "running"),
            Self::Ready => Text::fixed("可获取", "ready"),
            Self::Done => Text::fixed("已办结", "done"),
            Self::Refused => Text::fixed("未予办理", "refused"),
            Self::Expired => Text::fixed("已过期", "expired"),
        }
    }
}

/// A request as stored, without its archive; words and reason are sealed.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = data_requests, check_for_backend(diesel::pg::Pg))]
pub struct DataRequest {
    pub county_id: i32,
    pub id: Uuid,
    pub resident_id: Uuid,
    pub kind: DataRequestKind,
    pub state: DataRequestState,
    pub words: Option<Vec<u8>>,
    pub asked_by: Option<Uuid>,
    pub decided_by: Option<Uuid>,
    pub reason: Option<Vec<u8>>,
    pub due_at: DateTime<Utc>,
    pub counts: Option<Value>,
    pub kept: Option<Value>,
    pub asked_at: DateTime<Utc>,
    pub ready_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub version: i64,
}

/// What a sealed value of a request is bound to.
pub fn place(column: &str, id: Uuid) -> String {
    format!("data_requests.{column}/{id}")
}
