//! Messages: the table of their kinds, their channels and what became of them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

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

macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $code:tt: $definition:expr;)*) => {
        text_enum! {
            /// What a message is about.
            pub enum Kind { $($(#[$meta])* $name = $code),* }
        }

        impl Kind {
            /// The kind's row.
            pub fn definition(self) -> &'static Definition {
                match self { $(Self::$name => { const ROW: &Definition = &$definition; ROW }),* }
            }
        }
    };
}

/// What is said of an appointment.
const APPOINTMENT: &[(&str, Form)] = &[
    ("matter", Form::Text),
    ("unit", Form::Text),
    ("window", Form::Text),
    ("starts_at", Form::Time),
    ("place", Form::Place),
];

/// The fields of WeChat for it.
const APPOINTMENT_FIELDS: &[(&str, &str)] = &[("thing1", "matter"), ("thing2", "unit"), ("time3", "starts_at")];

/// What is said of an appointment that is cancelled.
const CANCELLED: &[(&str, Form)] = &[
    ("matter", Form::Text),
    ("unit", Form::Text),
    ("window", Form::Text),
    ("starts_at", Form::Time),
    ("place", Form::Place),
    ("reason", Form::Reason),
];

// A new kind is a new row: nothing else knows kinds by name.
kinds! {
    /// 预约成功: the answer to what somebody has just done, so it goes at any hour.
    AppointmentBooked = "appointment_booked": Definition {
        policy: Policy::AtOnce,
        late: Some("starts_at"),
        by_person: true,
        placeholders: APPOINTMENT,
        title: Text::fixed("预约成功", "Appointment booked"),
        text: Text::fixed(
            "您已预约 {starts_at} 在{unit}党群服务中心（{window}）办理“{matter}”。",
            "You are booked for {matter} at the service centre of {unit} ({window}), {starts_at}.",
        ),
        wechat_fields: &[("thing1", "matter"), ("thing2", "unit"), ("time3", "starts_at")],
        page: "pages/appointment",
    };
    /// 信息副本已备好: a copy of one's data can be fetched; worth nothing once it has expired.
    ExportReady = "export_ready": Definition {
        policy: Policy::DropIfLate,
        late: Some("expires_at"),
        by_person: true,
        placeholders: &[("expires_at", Form::Time)],
        title: Text::fixed("个人信息副本已备好", "The copy of your data is ready"),
        text: Text::fixed(
            "您申请的个人信息副本已备好，请在 {expires_at} 前到小程序下载，或到党群服务中心领取。",
            "The copy of your data is ready. Fetch it in the mini-program or at the service centre before {expires_at}.",
        ),
        wechat_fields: &[("time1", "expires_at")],
        page: "pages/data",
    };
    /// 代办授权生效: the resident is told who-may-act has begun, also when somebody else wrote it down; nobody is woken for it.
    ProxyAccepted = "proxy_accepted": Definition {
        policy: Policy::Hold,
        late: None,
        by_person: true,
        placeholders: &[("valid_until", Form::Text)],
        title: Text::fixed("代办授权已生效", "Somebody may act for you"),
        text: Text::fixed(
            "您授权的代办人已接受授权，有效期至 {valid_until}。如非本人意愿，请联系所在村或社区随时终止。",
            "The person whom you let act for you has accepted, until {valid_until}. If you did not want this, your village or community ends it at any time.",
        ),
        wechat_fields: &[("thing1", "valid_until")],
        page: "pages/proxies",
    };
    /// 代约成功: the answer to a relative or carer who has booked for somebody, who is told as for every booking.
    ProxyBooked = "proxy_booked": Definition {
        policy: Policy::AtOnce,
        late: Some("starts_at"),
        by_person: true,
        placeholders: APPOINTMENT,
        title: Text::fixed("代约成功", "Booked for somebody else"),
        text: Text::fixed(
            "您已为授权您的居民预约 {starts_at} 在{unit}党群服务中心（{window}）办理“{matter}”。",
            "You have booked {matter} at the service centre of {unit} ({window}), {starts_at}, for the resident who lets you act.",
        ),
        wechat_fields: &[("thing1", "matter"), ("thing2", "unit"), ("time3", "starts_at")],
        page: "pages/appointment",
    };
    /// 预约改期: told at any hour, or somebody finds a locked door. Like the following it also goes to the relative who booked, so
    /// its words say neither who it is for nor who did it.
    AppointmentChanged = "appointment_changed": Definition {
        policy: Policy::AtOnce,
        late: Some("starts_at"),
        by_person: true,
        placeholders: APPOINTMENT,
        title: Text::fixed("预约已改期", "Appointment moved"),
        text: Text::fixed(
            "“{matter}”的预约已改为 {starts_at}，{unit}党群服务中心（{window}），方式：{place}。",
            "The appointment for {matter} is now on {starts_at}, service centre of {unit} ({window}), {place}.",
        ),
        wechat_fields: APPOINTMENT_FIELDS,
        page: "pages/appointment",
    };
    /// 预约取消: with the reason, if the staff gave one; what residents say of their own is not repeated to the relative.
    AppointmentCancelled = "appointment_cancelled": Definition {
        policy: Policy::AtOnce,
        late: Some("starts_at"),
        by_person: true,
        placeholders: CANCELLED,
        title: Text::fixed("预约已取消", "Appointment cancelled"),
        text: Text::fixed(
            "{starts_at} 在{unit}党群服务中心（{window}）办理“{matter}”的预约已取消，请勿前往。{reason}",
            "The appointment for {matter} at the service centre of {unit} ({window}), {starts_at}, is cancelled. Please do not come.{reason}",
        ),
        wechat_fields: &[("thing1", "matter"), ("thing2", "unit"), ("time3", "starts_at"), ("thing4", "reason")],
        page: "pages/appointment",
    };
    /// 提前一天提醒
    AppointmentTomorrow = "appointment_tomorrow": Definition {
        policy: Policy::DropIfLate,
        late: Some("starts_at"),
        by_person: true,
        placeholders: APPOINTMENT,
        title: Text::fixed("预约提醒", "Reminder of an appointment"),
        text: Text::fixed(
            "提醒：{starts_at} 在{unit}党群服务中心（{window}）办理“{matter}”，方式：{place}。如不能前往，请及时取消。",
            "Reminder: {matter} at the service centre of {unit} ({window}), {starts_at}, {place}. Please cancel in time if it does not suit.",
        ),
        wechat_fields: APPOINTMENT_FIELDS,
        page: "pages/appointment",
    };
    /// 提前一小时提醒: nobody can bring a slip in an hour.
    AppointmentSoon = "appointment_soon": Definition {
        policy: Policy::DropIfLate,
        late: Some("starts_at"),
        by_person: false,
        placeholders: APPOINTMENT,
        title: Text::fixed("预约即将开始", "Appointment within the hour"),
        text: Text::fixed(
            "提醒：“{matter}”的预约将于 {starts_at} 在{unit}党群服务中心（{window}）开始，方式：{place}。",
            "Reminder: the appointment for {matter} begins at {starts_at}, service centre of {unit} ({window}), {place}.",
        ),
        wechat_fields: APPOINTMENT_FIELDS,
        page: "pages/appointment",
    };
    /// 候补到号: a place is kept until the offer ends; its minutes count by day only.
    PlaceOffered = "place_offered": Definition {
        policy: Policy::DropIfLate,
        late: Some("offered_until"),
        by_person: true,
        placeholders: &[
            ("matter", Form::Text),
            ("unit", Form::Text),
            ("window", Form::Text),
            ("starts_at", Form::Time),
            ("place", Form::Place),
            ("offered_until", Form::Time),
        ],
        title: Text::fixed("候补到号，请确认", "A place has become free"),
        text: Text::fixed(
            "候补的“{matter}”有空位：{starts_at}，{unit}党群服务中心（{window}），方式：{place}。请在 {offered_until} 前确认，逾期将让给下一位。",
            "A place for {matter} has become free: {starts_at}, service centre of {unit} ({window}), {place}. Take it by {offered_until}; then it goes to the next in line.",
        ),
        wechat_fields: &[("thing1", "matter"), ("thing2", "unit"), ("time3", "starts_at"), ("time4", "offered_until")],
        page: "pages/appointment",
    };
    /// 受理通知: the limit runs from here.
    ErrandAccepted = "errand_accepted": Definition {
        policy: Policy::Hold,
        late: None,
        by_person: true,
        placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text), ("due_on", Form::Text)],
        title: Text::fixed("代办件已受理", "Your errand is accepted"),
        text: Text::fixed(
            "您委托{unit}代办的“{matter}”已受理，受理编号 {number}，应于 {due_on} 前办结。",
            "Your errand {matter} (number {number}, {unit}) is accepted and due by {due_on}.",
        ),
        wechat_fields: &[("thing1", "matter"), ("character_string2", "number"), ("thing3", "due_on")],
        page: "pages/errand",
    };
    /// 补正通知: everything that is missing stands in the errand (一次性告知).
    ErrandSupplement = "errand_supplement": Definition {
        policy: Policy::Hold,
        late: None,
        by_person: true,
        placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text)],
        title: Text::fixed("代办件需补正材料", "Something is missing"),
        text: Text::fixed(
            "您的代办件“{matter}”（{number}）需要补正材料，请在小程序查看清单，或联系{unit}代办员。补正期间不计入办理时限。",
            "Something is missing for your errand {matter} ({number}). See the list in the mini-program, or ask the agent of {unit}. The limit stands still meanwhile.",
        ),
        wechat_fields: &[("thing1", "matter"), ("character_string2", "number")],
        page: "pages/errand",
    };
    /// 不予受理通知: the reason stands in the errand.
    ErrandNotAccepted = "errand_not_accepted": Definition {
        policy: Policy::Hold,
        late: None,
        by_person: true,
        placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text)],
        title: Text::fixed("代办件不予受理", "Your errand is not accepted"),
        text: Text::fixed(
            "您的代办件“{matter}”（{number}）不予受理，理由请在小程序查看，或联系{unit}代办员。",
            "Your errand {matter} ({number}) is not accepted. See the reason in the mini-program, or ask the agent of {unit}.",
        ),
        wechat_fields: &[("thing1", "matter"), ("character_string2", "number")],
        page: "pages/errand",
    };
    /// 延期告知: with its reason in the errand.
    ErrandExtended = "errand_extended": Definition {
        policy: Policy::Hold,
        late: None,
        by_person: true,
        placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text), ("due_on", Form::Text)],
        title: Text::fixed("代办件延期办理", "Your errand takes longer"),
        text: Text::fixed(
            "您的代办件“{matter}”（{number}）经批准延期至 {due_on} 前办结，理由请在小程序查看，或联系{unit}代办员。",
            "The limit of your errand {matter} ({number}) is extended to {due_on}. See the reason in the mini-program, or ask the agent of {unit}.",
        ),
        wechat_fields: &[("thing1", "matter"), ("character_string2", "number"), ("thing3", "due_on")],
        page: "pages/errand",
    };
    /// 办结通知: the result stands in the errand.
    ErrandDecided = "errand_decided": Definition {
        policy: Policy::Hold,
        late: None,
        by_person: true,
        placeholders: &[("matter", Form::Text), ("number", Form::Text), ("unit", Form::Text)],
        title: Text::fixed("代办件已办结", "Your errand is decided"),
        text: Text::fixed(
            "您的代办件“{matter}”（{number}）已有办理结果，请在小程序查看，或联系{unit}代办员。",
            "Your errand {matter} ({number}) is decided. See the result in the mini-program, or ask the agent of {unit}.",
        ),
        wechat_fields: &[("thing1", "matter"), ("character_string2", "number")],
        page: "pages/errand",
    };
    /// 叫号: somebody stands in the hall, or should.
    TicketCalled = "ticket_called": Definition {
        policy: Policy::NowOrNever,
        late: Some("called_until"),
        by_person: false,
        placeholders: &[
            ("ticket", Form::Text),
            ("window", Form::Text),
            ("matter", Form::Text),
            ("unit", Form::Text),
            ("called_until", Form::Time),
        ],
        title: Text::fixed("请到窗口办理", "Please come to the window"),
        text: Text::fixed(
            "请 {ticket} 号到{unit}党群服务中心{window}办理“{matter}”。",
            "Number {ticket}, please come to {window} at the service centre of {unit} for {matter}.",
        ),
        wechat_fields: &[("character_string1", "ticket"), ("thing2", "window"), ("thing3", "matter")],
        page: "pages/appointment",
    };
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
