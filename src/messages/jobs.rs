//! Delivering a message: one channel per run, one person at a time.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    delivery::{self, Receiver},
    model::{Channel, Delivered, Delivery, Message},
    rules::{self, When},
    sms::{self, Sms},
    templates,
};
use crate::{
    app::App,
    calendar::{self, Calendar},
    error::{Error, Lang, Result, Text},
    jobs::{self, Job, Ticket},
    todos::{self, NewTodo},
    units::{self, County},
    wechat,
};

/// WeChat's word for "this person gave no grant for this template".
const NO_GRANT: i64 = 43101;
/// What is about the person and final: no grant, no such openid (40003). Everything else is about us or will pass (one message at
/// a time per person is 43108).
const FINAL: &[i64] = &[NO_GRANT, 40003];
/// How soon to look again when somebody else is sending to the person.
const BUSY: TimeDelta = TimeDelta::seconds(2);

/// Brings a message of the inbox to its person. WeChat knows no idempotency: a crash between its answer and our record sends
/// it twice, which is better than never.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeliverMessage {
    pub message: Uuid,
}

/// What is to be sent to whom.
enum Parcel {
    Wechat(Value),
    Sms(Sms),
}

/// An attempt that has been recorded and is now made.
struct Attempt {
    message: Message,
    channel: Channel,
    /// Which attempt on this channel, from 1.
    number: i32,
    /// Of the lease on the person.
    holder: Uuid,
    parcel: Parcel,
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Sent,
    Refused(Option<i32>),
    /// It did not leave this house: the grant is as good as before.
    NotSent,
    /// `code` is known where there was an answer, and nothing was sent.
    Later {
        code: Option<i32>,
        not_before: Option<DateTime<Utc>>,
    },
}

/// What every step needs to know.
struct Facts {
    app: Arc<App>,
    county: County,
    calendar: Arc<Calendar>,
    now: DateTime<Utc>,
}

impl Job for DeliverMessage {
    const KIND: &'static str = "deliver_message";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let (now, id, holder) = (app.clock.now(), self.message, Uuid::now_v7());
        let county = app.db.read("to_deliver", move |conn| {
            let key = units::store::key(conn, ticket.county)?;
            units::find_county(conn, &key, now)
        });
        let county = county.await?.ok_or_else(|| Error::internal("the county is gone"))?;
        let facts = Arc::new(Facts { app: app.clone(), county, calendar: calendar::current(app).await?, now });
        let known = facts.clone();
        let begun = app.db.write("begin_delivery", move |conn| known.begin(conn, id, holder, ticket)).await?;
        let Some(attempt) = begun else { return Ok(()) };
        let outcome = facts.send(&attempt.parcel).await;
        if !matches!(outcome, Outcome::Sent) {
            tracing::warn!(message = %id, channel = attempt.channel.as_str(), ?outcome, "a message was not taken");
        }
        let now = app.clock.now();
        app.db.write("end_delivery", move |conn| facts.end(conn, &attempt, outcome, ticket, now)).await
    }
}

/// A channel has failed: the next one begins.
fn give_up(
    conn: &mut PgConnection,
    message: &Message,
    channel: Channel,
    said: (Delivery, Option<i32>),
    now: DateTime<Utc>,
) -> Result<()> {
    let of = (message.county_id, message.id);
    // What was dropped meanwhile goes nowhere else.
    let settled = delivery::settle(conn, of, channel, said, now)?;
    if settled == 1
        && let Some(next) = channel.next()
    {
        delivery::insert(conn, of, next, Delivery::Pending, now)?;
    }
    Ok(())
}

impl Facts {
    /// Decides what to do now. Channels that cannot be tried are passed over; what can is recorded with the grant it takes, before
    /// it is sent. None when nothing is to be sent: the job is then done or put off.
    fn begin(&self, conn: &mut PgConnection, id: Uuid, holder: Uuid, ticket: Ticket) -> Result<Option<Attempt>> {
        let (county, now) = (self.county.id, self.now);
        loop {
            let Some((message, receiver, pending)) = delivery::waiting(conn, (county, id))? else {
                return ticket.done(conn).map(|()| None);
            };
            match rules::when(&message, &self.county.settings, now) {
                When::Now => {}
                When::Wait(until) => return ticket.later(conn, until).map(|()| None),
                When::Late => {
                    delivery::drop_pending(conn, (county, id), now)?;
                    return ticket.done(conn).map(|()| None);
                }
            }
            if pending.channel == Channel::Person {
                self.ask_staff(conn, &message, &receiver)?;
                continue;
            }
            if pending.attempts >= rules::most_attempts(pending.channel) {
                give_up(conn, &message, pending.channel, exhausted(&pending), now)?;
                continue;
            }
            if !delivery::lease(conn, (county, message.resident_id), holder, now)? {
                return ticket.later(conn, now + BUSY).map(|()| None);
            }
            if let Some(parcel) = self.pack(conn, &message, &receiver, pending.channel)? {
                delivery::attempt(conn, (county, id), pending.channel, now)?;
                let (channel, number) = (pending.channel, pending.attempts + 1);
                return Ok(Some(Attempt { message, channel, number, holder, parcel }));
            }
            delivery::release(conn, (county, message.resident_id), holder)?;
            give_up(conn, &message, pending.channel, (Delivery::NotReachable, None), now)?;
        }
    }

    /// What is to be sent, if the channel reaches the person at all.
    fn pack(
        &self,
        conn: &mut PgConnection,
        message: &Message,
        receiver: &Receiver,
        channel: Channel,
    ) -> Result<Option<Parcel>> {
        let (county, resident) = (self.county.id, message.resident_id);
        let opened = |field: &str, sealed: &Option<Vec<u8>>| {
            let open =
                |sealed: &Vec<u8>| self.app.keys.open_text(county, &format!("residents.{field}/{resident}"), sealed);
            sealed.as_ref().map(open).transpose()
        };
        let template = templates::find(conn, county, message.kind)?;
        if channel == Channel::Sms {
            let phone = opened("phone", &receiver.phone)?.filter(|_| self.county.sms_url.is_some());
            let template = template.and_then(|template| template.sms_template);
            let sms = |to| Sms { id: message.id, to, text: message.words(Lang::Zh).1, template };
            return Ok(phone.map(sms).map(Parcel::Sms));
        }
        let (Some(openid), Some(template)) = (opened("wechat_openid", &receiver.wechat_openid)?, template) else {
            return Ok(None);
        };
        let configured = self.county.wechat_appid.is_some() && self.county.wechat_secret.is_some();
        let Some(template_id) = template.wechat_template_id.clone().filter(|_| configured) else { return Ok(None) };
        if !delivery::take_grant(conn, (county, resident), &template_id, message.id, self.now)? {
            return Ok(None);
        }
        let page = format!("{}?id={}", message.kind.definition().page, message.about_id);
        let data = message.wechat_data(&template.own().fields(message.kind));
        let body = json!({"touser": openid, "template_id": template_id, "lang": "zh_CN", "page": page, "data": data});
        Ok(Some(Parcel::Wechat(body)))
    }

    /// Nothing reached the person: somebody has to.
    fn ask_staff(&self, conn: &mut PgConnection, message: &Message, receiver: &Receiver) -> Result<()> {
        let of = (message.county_id, message.id);
        // Whoever has read it in the inbox need not be called.
        let pointless = message.read_at.is_some() || !message.kind.definition().by_person;
        let state = if pointless { Delivery::Dropped } else { Delivery::Sent };
        if delivery::settle(conn, of, Channel::Person, (state, None), self.now)? == 0 || pointless {
            return Ok(());
        }
        let what = &message.kind.definition().title;
        let (kind, title) = match receiver.phone {
            Some(_) => {
                let words = (format!("电话告知居民：{}", what.zh), format!("Call the resident: {}", what.en));
                (todos::Kind::Call, Text::new(words.0, words.1))
            }
            None => {
                let words =
                    (format!("打印并送达居民：{}", what.zh), format!("Print and bring to the resident: {}", what.en));
                (todos::Kind::Slip, Text::new(words.0, words.1))
            }
        };
        let todo = NewTodo {
            county: message.county_id,
            kind,
            unit: receiver.unit_id,
            resident: Some(message.resident_id),
            about: Some(("message", message.id)),
            title,
            holder: None,
            due_at: Some(rules::person_due(message, &self.calendar, self.now)),
            created_by: None,
        };
        todos::open(conn, todo, self.now)?;
        Ok(())
    }

    async fn send(&self, parcel: &Parcel) -> Outcome {
        match parcel {
            Parcel::Wechat(body) => match self.app.wechat.subscribe_send(&self.app, &self.county, body.clone()).await {
                Ok(()) => Outcome::Sent,
                Err(wechat::Refusal::NotConfigured) => Outcome::Refused(None),
                Err(wechat::Refusal::Refused(code, _)) if FINAL.contains(&code) => Outcome::Refused(Some(code as i32)),
                Err(wechat::Refusal::Refused(code, _)) => Outcome::Later { code: Some(code as i32), not_before: None },
                Err(wechat::Refusal::Away(_)) => Outcome::Later { code: None, not_before: None },
                Err(wechat::Refusal::NotSent(_)) => Outcome::NotSent,
            },
            Parcel::Sms(sms) => match self.app.sms.send(&self.app, &self.county, sms).await {
                Ok(()) => Outcome::Sent,
                Err(sms::Refusal::NotConfigured) => Outcome::Refused(None),
                Err(sms::Refusal::Refused(status)) => Outcome::Refused(Some(status.as_u16().into())),
                Err(sms::Refusal::Later { status, not_before }) => {
                    Outcome::Later { code: status.map(|status| status.as_u16().into()), not_before }
                }
            },
        }
    }

    /// Records what an attempt came to, and what follows.
    fn end(
        &self,
        conn: &mut PgConnection,
        attempt: &Attempt,
        outcome: Outcome,
        ticket: Ticket,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let Attempt { message, channel, number, holder, .. } = attempt;
        let of = (message.county_id, message.id);
        delivery::release(conn, (message.county_id, message.resident_id), *holder)?;
        match outcome {
            Outcome::Sent => {
                delivery::settle(conn, of, *channel, (Delivery::Sent, None), now)?;
                return ticket.done(conn);
            }
            Outcome::Refused(code) => {
                if code == Some(NO_GRANT as i32) {
                    delivery::void(conn, of, now)?;
                }
                delivery::give_back(conn, of)?;
                give_up(conn, message, *channel, (Delivery::Refused, code), now)?;
            }
            Outcome::NotSent => {
                delivery::give_back(conn, of)?;
                if *number < rules::most_attempts(*channel) {
                    return ticket.later(conn, now + jobs::backoff(*number));
                }
                give_up(conn, message, *channel, (Delivery::NotReachable, None), now)?;
            }
            Outcome::Later { code, not_before } => {
                delivery::settle(conn, of, *channel, (Delivery::Pending, code), now)?;
                if *number < rules::most_attempts(*channel) {
                    let again = now + jobs::backoff(*number);
                    return ticket.later(conn, not_before.map_or(again, |at| at.max(again)));
                }
                // Without an answer nobody knows whether WeChat has sent it and used the grant up.
                if code.is_some() {
                    delivery::give_back(conn, of)?;
                }
                let state = if code.is_some() { Delivery::Refused } else { Delivery::NotReachable };
                give_up(conn, message, *channel, (state, code), now)?;
            }
        }
        ticket.later(conn, now)
    }
}

/// Attempts that died on the way have used up the channel.
fn exhausted(pending: &Delivered) -> (Delivery, Option<i32>) {
    let state = if pending.code.is_some() { Delivery::Refused } else { Delivery::NotReachable };
    (state, pending.code)
}
