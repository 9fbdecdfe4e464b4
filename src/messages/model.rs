//! Messages: what a kind says of them, their channels and what became of them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use super::kinds::Kind;
use crate::{
    db::schema::{message_deliveries, messages},
    error::Text,
    text_enum,
};

text_enum! {
    /// When a kind of message may go out. It is in the inbox at once in any case.
    pub enum Policy {
        /// At any hour: somebody waits for it.
        AtOnce = "at_once",
        /// Waits until the quiet hours end.
        Hold = "hold",
        /// Waits like `hold`, and is dropped once its time has passed.
        DropIfLate = "drop_if_late",
        /// At any hour, and dropped once its time has passed.
        NowOrNever = "now_or_never",
    }
}

text_enum! {
    /// What a placeholder stands for.
    pub enum Form {
        Text = "text",
        /// RFC 3339 in the parameters, `2026-11-23 09:00` in texts.
        Time = "time",
        /// `centre`, `home`, `phone` or `video` in the parameters, words in texts.
        Place = "place",
        /// Why, where that was said: a sentence of its own in texts (`原因：停电检修。`), nothing where it was not.
        Reason = "reason",
    }
}

/// A row of the table of kinds: what holds for a kind unless the county says otherwise.
#[derive(Clone, Debug)]
pub struct Definition {
    pub policy: Policy,
    /// The parameter after whose time it is worth nothing: a `drop_if_late` or `now_or_never` is dropped then, and nobody is
    /// asked to call later.
    pub late: Option<&'static str>,
    /// Whether a member of staff is asked to tell those whom nothing else reaches; pointless for what is over in minutes.
    pub by_person: bool,
    /// The parameters of a message, as `{name}` in its words. None of them is personal: who reads a message knows whom it is to.
    pub placeholders: &'static [(&'static str, Form)],
    pub title: Text,
    pub text: Text,
    /// Fields of the WeChat template, and the placeholder that fills each.
    pub wechat_fields: &'static [(&'static str, &'static str)],
    /// Where a tap on the WeChat message leads; `?id=` is what it is about.
    pub page: &'static str,
}

text_enum! {
    /// A way to a person, in the order in which they are tried; the inbox has every message.
    pub enum Channel {
        Inbox = "inbox",
        /// 订阅消息
        Wechat = "wechat",
        /// 短信
        Sms = "sms",
        /// A member of staff calls, visits or brings a printed slip.
        Person = "person",
    }
}

impl Channel {
    /// What is tried when this one has failed.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Wechat => Some(Self::Sms),
            Self::Sms => Some(Self::Person),
            Self::Inbox | Self::Person => None,
        }
    }
}

text_enum! {
    /// What became of a message on a channel.
    pub enum Delivery {
        Pending = "pending",
        /// Taken by WeChat or the gateway; for `person`: a todo waits for the staff.
        Sent = "sent",
        /// Refused for good, for example because the person gave no grant (43101), or at every attempt.
        Refused = "refused",
        /// The resident has no WeChat, grant or phone here, or the county no template or gateway; or no answer ever came.
        NotReachable = "not_reachable",
        /// Its time had passed before it could be sent.
        Dropped = "dropped",
    }
}

/// A message to be posted.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub county: i32,
    pub resident: Uuid,
    pub kind: Kind,
    /// What it is about; one message per kind, thing, resident and occasion.
    pub about: Uuid,
    /// Which time the same thing is told, for example the version that an appointment was moved to; 0 for what is told once.
    pub occasion: i64,
    /// The kind's placeholders. No personal data: they are stored as they are. A reason of the staff's is as plain as in the
    /// appointment itself.
    pub params: Value,
}

/// A county's own words, with placeholders; what is missing is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnWords {
    pub title_zh: Option<String>,
    pub text_zh: Option<String>,
    pub title_en: Option<String>,
    pub text_en: Option<String>,
}

/// A message as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = messages, check_for_backend(diesel::pg::Pg))]
pub struct Message {
    pub county_id: i32,
    pub id: Uuid,
    pub resident_id: Uuid,
    pub kind: Kind,
    pub about_id: Uuid,
    pub params: Value,
    pub created_at: DateTime<Utc>,
    pub read_at: Option<DateTime<Utc>>,
    pub words: Option<Value>,
}

/// What became of a message on one channel.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = message_deliveries, check_for_backend(diesel::pg::Pg))]
pub struct Delivered {
    pub message_id: Uuid,
    pub channel: Channel,
    pub state: Delivery,
    pub attempts: i32,
    pub code: Option<i32>,
    pub at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_names_only_what_it_has() {
        for kind in Kind::ALL {
            let row = kind.definition();
            let own = super::super::words::OwnTemplate::default();
            assert_eq!(super::super::words::faults(*kind, &own.with_defaults(*kind)), [], "{kind:?}");
            let late = [Policy::DropIfLate, Policy::NowOrNever].contains(&row.policy);
            assert!(!late || row.late.is_some(), "{kind:?}");
            let form = |name: &str| row.placeholders.iter().find(|(known, _)| *known == name).map(|(_, form)| *form);
            assert!(row.late.is_none_or(|late| form(late) == Some(Form::Time)), "{kind:?}");
        }
    }
}
