//! Kinds of messages and their words.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    db::schema::messages,
    error::{Lang, Text},
    text_enum,
};

text_enum! {
    /// What a message is about.
    pub enum Kind {
        AppointmentBooked = "appointment_booked",
    }
}

text_enum! {
    /// What became of the WeChat subscription message.
    pub enum Delivery {
        Pending = "pending",
        Sent = "sent",
        /// WeChat refused for good, for example because the person gave no grant (43101).
        Refused = "refused",
        /// The resident has no WeChat here, or the county no template.
        NotReachable = "not_reachable",
    }
}

/// A message to be posted.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub county: i32,
    pub resident: Uuid,
    pub kind: Kind,
    /// What it is about; one message per kind and thing.
    pub about: Uuid,
    pub params: Value,
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
    pub wechat: Delivery,
    pub created_at: DateTime<Utc>,
    pub read_at: Option<DateTime<Utc>>,
}

impl Message {
    fn param(&self, name: &str) -> &str {
        self.params[name].as_str().unwrap_or_default()
    }

    /// `2026-11-23 09:00` of an RFC 3339 parameter.
    fn time(&self, name: &str, format: &str) -> String {
        let at = DateTime::parse_from_rfc3339(self.param(name));
        at.map(|at| at.format(format).to_string()).unwrap_or_default()
    }

    /// Title and text for the inbox.
    pub fn words(&self, lang: Lang) -> (String, String) {
        let (matter, unit) = (self.param("matter"), self.param("unit"));
        let (title, text) = match self.kind {
            Kind::AppointmentBooked => {
                let (at, window) = (self.time("starts_at", "%Y-%m-%d %H:%M"), self.param("window"));
                let zh = format!("您已预约 {at} 在{unit}党群服务中心（{window}）办理“{matter}”。");
                let en = format!("You are booked for {matter} at the service centre of {unit} ({window}), {at}.");
                (Text::fixed("预约成功", "Appointment booked"), Text::new(zh, en))
            }
        };
        (title.get(lang).to_owned(), text.get(lang).to_owned())
    }

    /// The `data` of the subscription message. WeChat's `thing` fields hold 20 characters; longer ones are cut deliberately.
    pub fn wechat_data(&self) -> Value {
        let thing = |name: &str| cut(self.param(name), 20);
        match self.kind {
            Kind::AppointmentBooked => json!({
                "thing1": {"value": thing("matter")},
                "thing2": {"value": thing("unit")},
                "time3": {"value": self.time("starts_at", "%Y年%m月%d日 %H:%M")},
            }),
        }
    }
}

/// At most `most` characters, the last one an ellipsis when something was cut.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_cut_to_twenty_characters() {
        assert_eq!(cut("医保", 20), "医保");
        let long = "农村宅基地和建房（规划选址）审批以及更多更多的内容";
        assert_eq!(cut(long, 20).chars().count(), 20);
        assert!(cut(long, 20).ends_with('…'));
    }
}
