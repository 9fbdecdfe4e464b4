//! The settings: one table of all of them, and their values as a struct.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{error::Text, text_enum};

text_enum! {
    /// Whether a proof is taken with a visit (国办函〔2026〕12号 forbids to force it generally).
    pub enum Evidence {
        Off = "off",
        Optional = "optional",
        Required = "required",
    }
}

text_enum! {
    /// Who needs a one-time code (RFC 6238) beside the password.
    pub enum Totp {
        Nobody = "nobody",
        /// County administrators and supervisors.
        Administrators = "administrators",
        Everybody = "everybody",
    }
}

text_enum! {
    /// Whether something is done at all.
    pub enum Switch {
        Off = "off",
        On = "on",
    }
}

/// What values a setting takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number within bounds, in a unit.
    Number { default: i64, least: i64, most: i64, unit: &'static str },
    /// One of these words.
    Choice { default: &'static str, options: &'static [&'static str] },
}

impl Kind {
    pub fn default(&self) -> Value {
        match self {
            Self::Number { default, .. } => json!(default),
            Self::Choice { default, .. } => json!(default),
        }
    }

    pub fn takes(&self, value: &Value) -> bool {
        match self {
            Self::Number { least, most, .. } => value.as_i64().is_some_and(|number| (*least..=*most).contains(&number)),
            Self::Choice { options, .. } => value.as_str().is_some_and(|word| options.contains(&word)),
        }
    }
}

/// A setting as the table has it.
#[derive(Clone, Debug)]
pub struct Definition {
    pub key: &'static str,
    pub kind: Kind,
    pub words: Text,
}

macro_rules! settings {
    ($($field:ident: $type:ty = $kind:expr, $key:literal, $zh:literal, $en:literal;)*) => {
        /// Every setting of a county as it is at one time.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Settings { $(#[doc = $en] pub $field: $type),* }

        /// The whole table.
        pub const DEFINITIONS: &[Definition] =
            &[$(Definition { key: $key, kind: $kind, words: Text::fixed($zh, $en) }),*];

        impl Settings {
            /// With the value that `of` knows for a key, and the default otherwise.
            fn with(of: impl Fn(&str) -> Option<Value>) -> Self {
                $(
                    let kind: Kind = $kind;
                    // A value that fits no more, because a later version narrowed the range, counts as not set.
                    let value = of($key).filter(|value| kind.takes(value)).unwrap_or_else(|| kind.default());
                    let $field: $type = serde_json::from_value(value).expect("the kind fits the type: a test says so");
                )*
                Self { $($field),* }
            }
        }
    };
}

const fn number(default: i64, least: i64, most: i64, unit: &'static str) -> Kind {
    Kind::Number { default, least, most, unit }
}

const EVIDENCE: Kind = Kind::Choice { default: "optional", options: &["off", "optional", "required"] };

// Limits of bookings; errands, visits and lamps (DOMAIN: every "configurable"); messages; accounts; retention.
settings! {
    booking_days_ahead: i64 = number(7, 0, 90, "days"), "booking.days_ahead",
        "居民可预约今天之后多少天内的时段", "Days after today that residents can book";
    booking_cancel_minutes_before: i64 = number(120, 0, 10_080, "minutes"), "booking.cancel_minutes_before",
        "居民最迟可在开始前多少分钟在线取消", "Minutes before the start until which residents can cancel online";
    booking_per_matter_and_day: i64 = number(1, 1, 10, "appointments"), "booking.per_matter_and_day",
        "同一居民同一事项同一天最多几个有效预约", "Active appointments that a resident can have for one matter and day";
    booking_hold_minutes: i64 = number(5, 1, 30, "minutes"), "booking.hold_minutes",
        "填写表单时名额保留多少分钟", "Minutes for which a place is held while the form is filled in";
    booking_release_minutes_before: i64 = number(1440, 0, 10_080, "minutes"), "booking.release_minutes_before",
        "开始前多少分钟起，代约和柜台未用的名额向所有人开放", "Minutes before a slot from which the unused places of agents and of the desk are everybody's";
    booking_offer_minutes: i64 = number(30, 5, 240, "minutes"), "booking.offer_minutes",
        "候补到的名额保留多少分钟，只计 8 点至 20 点", "Minutes for which a place is offered to the first of the waiting list, counted from 08:00 to 20:00 only";
    queue_grace_minutes: i64 = number(15, 0, 120, "minutes"), "queue.grace_minutes",
        "预约者晚到多少分钟内仍优先于现场取号者", "Minutes after the start of the slot within which somebody with an appointment still goes before walk-ins";
    queue_calls: i64 = number(3, 1, 10, "calls"), "queue.calls",
        "叫号几次未到算过号", "Calls in vain after which a ticket is missed";
    queue_service_minutes: i64 = number(10, 1, 240, "minutes"), "queue.service_minutes",
        "当天办结不足五件时，估算等候时间所用的每件分钟数", "Minutes that serving somebody is taken to last while fewer than five have been served today";
    booking_no_shows: i64 = number(3, 1, 20, "no-shows"), "booking.no_shows",
        "多少次爽约后暂停在线预约", "No-shows after which online booking pauses; counted within booking.no_show_days";
    booking_no_show_days: i64 = number(90, 1, 365, "days"), "booking.no_show_days",
        "统计爽约的天数", "Days within which no-shows count";
    booking_pause_days: i64 = number(30, 0, 365, "days"), "booking.pause_days",
        "爽约过多后暂停在线预约的天数；窗口和代办员仍可代约", "Days for which online booking pauses after too many no-shows; desk and agents still book";
    proxies_per_resident: i64 = number(5, 1, 20, "people"), "proxies.per_resident",
        "一位居民最多可授权几人代办", "People who may act for one resident at a time";
    proxies_days: i64 = number(1095, 30, 3650, "days"), "proxies.days",
        "代办授权最长多少天", "Days that a resident can let somebody act for them at most";
    errands_deemed_accepted_days: i64 = number(5, 1, 30, "working_days"), "errands.deemed_accepted_days",
        "提交后多少个工作日未答复视为受理（行政许可法第三十二条）", "Working days without an answer after which what was submitted counts as accepted (Administrative Licensing Law, art. 32)";
    errands_supplement_days: i64 = number(30, 5, 180, "days"), "errands.supplement_days",
        "居民补正材料的期限天数；逾期未补正的，经办人可按撤回处理", "Days in which what is missing may come; an errand for which it did not may be ended by whoever answers for it";
    errands_department_days: i64 = number(10, 1, 60, "working_days"), "errands.department_days",
        "转办后多少个工作日未答复即提醒县直部门", "Working days without an answer after which a department is reminded of what was forwarded to it";
    errands_acknowledged_after_days: i64 = number(15, 0, 180, "days"), "errands.acknowledged_after_days",
        "送达后多少天无人签收也可归档", "Days after its delivery from which an errand may be archived though nobody has acknowledged it";
    errands_call_back_days: i64 = number(7, 1, 60, "days"), "errands.call_back_days",
        "送达后多少天内回访", "Days after its delivery within which the resident is called back";
    errands_yellow_percent: i64 = number(80, 1, 99, "percent"), "errands.yellow_percent",
        "已计天数达到时限的百分之多少亮黄灯", "Share of the limit from which the lamp is yellow";
    errands_red_percent: i64 = number(100, 2, 100, "percent"), "errands.red_percent",
        "已计天数超过时限的百分之多少亮红灯", "Share of the limit beyond which the lamp is red";
    orders_load: i64 = number(3, 1, 20, "orders"), "orders.load",
        "服务人员未自行设定时，同时最多接几单", "Orders that a helper holds at a time, unless they say otherwise of themselves";
    orders_open_per_resident: i64 = number(5, 1, 50, "orders"), "orders.open_per_resident",
        "一位居民最多有几个未完成的订单，周期订单除外", "Orders of a resident that are not done yet at most, those of a series not counted";
    orders_at_once_minutes: i64 = number(120, 15, 720, "minutes"), "orders.at_once_minutes",
        "“尽快上门”的订单等待多少分钟后过期", "Minutes after which an order that is wanted at once has run out";
    orders_call_back_hours: i64 = number(48, 1, 240, "hours"), "orders.call_back_hours",
        "完成后多少小时未确认即回访", "Hours without a confirmation after which the resident is called back";
    orders_returns_per_day: i64 = number(3, 1, 50, "orders"), "orders.returns_per_day",
        "一位服务人员一天最多自行退几单", "Orders that a helper can give back in a day; then a dispatcher sees to it";
    orders_series_days: i64 = number(7, 1, 30, "days"), "orders.series_days",
        "周期订单提前多少天生成", "Days ahead for which the orders of a series are made";
    ratings_ask: Switch = Kind::Choice { default: "on", options: &["off", "on"] }, "ratings.ask",
        "服务办结次日上午是否请居民评价", "Whether residents are asked the next morning to rate what was done";
    visits_position: Evidence = EVIDENCE, "visits.position",
        "走访时是否记录位置", "Whether a visit records a position";
    visits_photo: Evidence = EVIDENCE, "visits.photo",
        "走访时是否附照片", "Whether a visit carries photos";
    visits_far_m: i64 = number(500, 50, 50_000, "m"), "visits.far_m",
        "签到位置距家庭住址超过多少米标记为“远”，另加定位误差", "Metres from the home point, beyond the reading's own accuracy, from which a visit at home is flagged as far";
    visits_vague_m: i64 = number(100, 10, 10_000, "m"), "visits.vague_m",
        "定位误差超过多少米标记为“不精确”", "Accuracy in metres beyond which a position is flagged as vague";
    visits_late_days: i64 = number(7, 1, 366, "days"), "visits.late_days",
        "走访超过多少天才上传标记为“补报”", "Days after a visit from which its check-in is flagged as late";
    attachments_max_mib: i64 = number(20, 1, 100, "MiB"), "attachments.max_mib",
        "单个附件最大多少 MiB", "Size of an attachment in MiB at most";
    messages_quiet_from_hour: i64 = number(20, 17, 23, "hour"), "messages.quiet_from_hour",
        "晚上几点起不打扰（东八区）", "Hour of the evening from which people are left in peace (UTC+8)";
    messages_quiet_until_hour: i64 = number(8, 5, 11, "hour"), "messages.quiet_until_hour",
        "早上几点起可以打扰（东八区）", "Hour of the morning until which people are left in peace (UTC+8)";
    staff_totp: Totp = Kind::Choice { default: "nobody", options: &["nobody", "administrators", "everybody"] }, "staff.totp",
        "哪些工作人员登录须用动态验证码（RFC 6238）", "Who needs a one-time code (RFC 6238) beside the password";
    staff_stale_days: i64 = number(90, 7, 730, "days"), "staff.stale_days",
        "账号多少天未登录即停用", "Days without a login after which an account is disabled";
    privacy_audit_months: i64 = number(6, 6, 120, "months"), "privacy.audit_months",
        "审计记录保存月数，不少于 6 个月（网络安全法第二十一条）", "Months that audit entries are kept, at least 6 (Cybersecurity Law, art. 21)";
    privacy_consent_years: i64 = number(3, 3, 30, "years"), "privacy.consent_years",
        "同意记录保存年数，不少于 3 年（个人信息保护法第五十六条）", "Years that records of consent are kept, at least 3 (Personal Information Protection Law, art. 56)";
    privacy_export_days: i64 = number(7, 1, 30, "days"), "privacy.export_days",
        "个人信息副本可下载的天数", "Days for which an export of one's data can be fetched";
}

/// An entry of a county's history of settings.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub version: i64,
    pub value: Value,
    pub effective_from: DateTime<Utc>,
    pub set_by: Option<uuid::Uuid>,
    pub set_at: DateTime<Utc>,
    pub reason: Option<String>,
}

/// The entry of a key in effect at a time: the latest that has come, of equal ones the highest version.
pub fn in_effect<'a>(entries: &'a [Entry], key: &str, at: DateTime<Utc>) -> Option<&'a Entry> {
    let come = entries.iter().filter(|entry| entry.key == key && entry.effective_from <= at);
    come.max_by_key(|entry| (entry.effective_from, entry.version))
}

impl Settings {
    /// As they are at a time.
    pub fn at(entries: &[Entry], at: DateTime<Utc>) -> Self {
        Self::with(|key| in_effect(entries, key, at).map(|entry| entry.value.clone()))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::with(|_| None)
    }
}

pub fn definition(key: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_fits_its_own_range_and_type() {
        let mut keys = std::collections::HashSet::new();
        for definition in DEFINITIONS {
            assert!(keys.insert(definition.key), "{} twice", definition.key);
            assert!(definition.kind.takes(&definition.kind.default()), "{}", definition.key);
            if let Kind::Choice { options, .. } = definition.kind {
                for option in options {
                    // Panics if the type does not know the word.
                    Settings::with(|key| (key == definition.key).then(|| json!(option)));
                }
            }
        }
        let defaults = Settings::default();
        assert_eq!((defaults.booking_days_ahead, defaults.visits_position), (7, Evidence::Optional));
    }

    #[test]
    fn the_latest_that_has_come_is_in_effect() {
        let at = |day: i64| DateTime::from_timestamp(day * 86_400, 0).expect("a time");
        let entry = |version, value: i64, from| Entry {
            key: "booking.days_ahead".into(),
            version,
            value: json!(value),
            effective_from: at(from),
            set_by: None,
            set_at: at(0),
            reason: None,
        };
        let entries = [entry(1, 10, 5), entry(2, 3, 1), entry(3, 12, 5), entry(4, 999, 8)];
        for (day, expected) in [(0, 7), (1, 3), (4, 3), (5, 12), (8, 7)] {
            assert_eq!(Settings::at(&entries, at(day)).booking_days_ahead, expected, "day {day}");
        }
    }
}
