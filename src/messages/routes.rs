//! A resident's inbox and subscription grants over HTTP.

use actix_web::{HttpResponse, get, post, web::Data};
use chrono::{DateTime, FixedOffset};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    delivery,
    model::{Channel, Delivered, Delivery, Kind, Message},
    store, templates,
};
use crate::{
    app::App,
    clock::CST,
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::Can,
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::{GrantMessages, ReadMessages},
        valid::{Id, Query, Valid},
    },
};

/// What became of a message on one channel.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"channel": "wechat", "state": "refused", "attempts": 1, "code": 43101, "at": "2026-11-21T20:15:02+08:00"}))]
pub struct DeliveryView {
    pub channel: Channel,
    pub state: Delivery,
    pub attempts: i32,
    /// WeChat's `errcode` or the HTTP status of the SMS gateway, where it was refused.
    pub code: Option<i32>,
    /// When it came to this state, or was last tried.
    pub at: DateTime<FixedOffset>,
}

impl From<&Delivered> for DeliveryView {
    fn from(row: &Delivered) -> Self {
        let Delivered { channel, state, attempts, code, at, .. } = *row;
        Self { channel, state, attempts, code, at: at.with_timezone(&CST) }
    }
}

/// A message in the inbox.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f1", "kind": "appointment_booked", "title": "预约成功",
    "text": "您已预约 2026-11-23 09:00 在均溪镇党群服务中心（民生事务窗口）办理“城乡居民医保参保登记”。", "about_id": "0199a0c0-0000-7000-8000-0000000000e1",
    "wechat": "sent", "deliveries": [{"channel": "inbox", "state": "sent", "attempts": 0, "code": null, "at": "2026-11-21T20:15:01+08:00"},
        {"channel": "wechat", "state": "sent", "attempts": 1, "code": null, "at": "2026-11-21T20:15:02+08:00"}], "created_at": "2026-11-21T20:15:01+08:00", "read_at": null}))]
pub struct MessageView {
    pub id: Uuid,
    pub kind: Kind,
    /// In the language of the request, as is the text.
    pub title: String,
    pub text: String,
    /// What it is about, for example the appointment.
    pub about_id: Uuid,
    /// What became of the WeChat subscription message.
    pub wechat: Delivery,
    /// Every channel that has been begun, in their order.
    pub deliveries: Vec<DeliveryView>,
    pub created_at: DateTime<FixedOffset>,
    pub read_at: Option<DateTime<FixedOffset>>,
}

impl MessageView {
    /// `delivered` may hold what belongs to other messages.
    pub(super) fn new(message: &Message, delivered: &[Delivered], lang: Lang) -> Self {
        let (title, text) = message.words(lang);
        let of: Vec<_> = delivered.iter().filter(|row| row.message_id == message.id).collect();
        let wechat = of.iter().find(|row| row.channel == Channel::Wechat);
        Self {
            id: message.id,
            kind: message.kind,
            title,
            text,
            about_id: message.about_id,
            wechat: wechat.map_or(Delivery::NotReachable, |row| row.state),
            deliveries: of.into_iter().map(DeliveryView::from).collect(),
            created_at: message.created_at.with_timezone(&CST),
            read_at: message.read_at.map(|at| at.with_timezone(&CST)),
        }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MessagesQuery {
    /// Only what has not been read.
    #[param(default = false)]
    unread: Option<bool>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List one's messages
///
/// Oldest first. Every message is here, whether WeChat delivered it or not.
#[utoipa::path(tag = "messages", security(("token" = ["messages:read"])), params(MessagesQuery),
    responses((status = 200, description = "A page of messages", body = Page<MessageView>)))]
#[get("/v1/messages")]
pub async fn list_messages(
    caller: Can<ReadMessages>,
    lang: Lang,
    app: Data<App>,
    query: Query<MessagesQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let asked = Asked::new(&app, query.unread, query.limit, query.cursor.as_deref(), query.count)?;
    let (county, me) = (caller.county, caller.subject);
    let part = app.db.read("list_messages", move |conn| asked.part(conn, county, me)).await?;
    Ok(HttpResponse::Ok().json(page_of(&app, asked, part, lang)?))
}

/// Which part of an inbox.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    unread: bool,
    limit: i64,
    after: Option<After>,
    count: bool,
}

/// Messages, what became of them, and how many there are if that was asked.
pub(super) type Part = (Vec<Message>, Vec<Delivered>, Option<i64>);

impl Asked {
    pub(super) fn new(
        app: &App,
        unread: Option<bool>,
        limit: Option<i64>,
        cursor: Option<&str>,
        count: Option<bool>,
    ) -> Result<Self> {
        let (limit, after) = (page::limit(limit)?, page::after(&app.keys, "messages", cursor)?);
        Ok(Self { unread: unread.unwrap_or(false), limit, after, count: count.unwrap_or(false) })
    }

    pub(super) fn part(&self, conn: &mut PgConnection, county: i32, resident: Uuid) -> Result<Part> {
        let total = if self.count { Some(store::count(conn, county, resident, self.unread)?) } else { None };
        let rows = store::list(conn, county, resident, self.unread, self.after, self.limit)?;
        let ids: Vec<Uuid> = rows.iter().map(|message| message.id).collect();
        let delivered = store::deliveries(conn, county, &ids)?;
        Ok((rows, delivered, total))
    }
}

pub(super) fn page_of(
    app: &App,
    asked: Asked,
    (rows, delivered, total): Part,
    lang: Lang,
) -> Result<Page<MessageView>> {
    let place = |message: &Message| After { at: message.created_at, id: message.id };
    let view = |row: Message| Ok(MessageView::new(&row, &delivered, lang));
    let page = page::cut(&app.keys, "messages", rows, asked.limit as usize, place, view)?;
    Ok(Page { total, ..page })
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct ReadMessage {}

/// Mark a message as read
///
/// The first time counts; a second time changes nothing.
#[utoipa::path(tag = "messages", security(("token" = ["messages:read"])), params(("id" = Uuid, Path, description = "The message"), IdempotencyHeader),
    request_body = ReadMessage, responses((status = 200, description = "Read", body = MessageView)))]
#[post("/v1/messages/{id}/read")]
pub async fn read_message(
    caller: Can<ReadMessages>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<ReadMessage>,
) -> Result<Answer> {
    let once = Once::new(&caller, "read_message", key, body.digest);
    let (county, me, now) = (caller.county, caller.subject, app.clock.now());
    app.once(once, move |conn| {
        let message = store::read(conn, county, me, id.0, now)?.ok_or(Code::NotFound)?;
        let delivered = store::deliveries(conn, county, &[message.id])?;
        Answer::ok(if message.read_at.is_some() { 2 } else { 1 }, &MessageView::new(&message, &delivered, lang))
    })
    .await
}

/// What `wx.requestSubscribeMessage` answered with `accept`.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"template_ids": ["fake-template-booked"]}))]
pub struct GrantMessageTemplates {
    /// 1 to 10 templates of the county, each once.
    #[validate(length(min = 1, max = 10))]
    #[schema(min_items = 1, max_items = 10)]
    template_ids: Vec<String>,
}

/// A subscription template, and how many more messages the resident lets through.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"template_id": "fake-template-booked", "kinds": ["appointment_booked"], "left": 1}))]
pub struct MessageGrantView {
    pub template_id: String,
    /// The kinds of messages that it carries.
    pub kinds: Vec<Kind>,
    /// Unused grants; at 0 it is time to ask again.
    pub left: i64,
}

/// Every subscription template of the county.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": [{"template_id": "fake-template-booked", "kinds": ["appointment_booked"], "left": 1}]}))]
pub struct MessageGrantsView {
    pub items: Vec<MessageGrantView>,
}

fn grants_view(conn: &mut PgConnection, county: i32, resident: Uuid) -> Result<MessageGrantsView> {
    let left = delivery::left(conn, (county, resident))?;
    let mut items: Vec<MessageGrantView> = Vec::new();
    for template in templates::all(conn, county)? {
        let Some(template_id) = template.wechat_template_id else { continue };
        if let Some(known) = items.iter_mut().find(|item| item.template_id == template_id) {
            known.kinds.push(template.kind);
            continue;
        }
        let left = left.iter().find(|(id, _)| *id == template_id).map_or(0, |(_, left)| *left);
        items.push(MessageGrantView { template_id, kinds: vec![template.kind], left });
    }
    items.sort_by(|a, b| a.template_id.cmp(&b.template_id));
    Ok(MessageGrantsView { items })
}

/// See which messages may be sent
///
/// Every subscription template of the county with the number of messages that the resident still lets through, so that the
/// mini-program knows when to ask (`wx.requestSubscribeMessage`).
#[utoipa::path(tag = "messages", security(("token" = ["messages:grant"])),
    responses((status = 200, description = "Templates and what is left of them", body = MessageGrantsView)))]
#[get("/v1/messages/grants")]
pub async fn list_message_grants(caller: Can<GrantMessages>, app: Data<App>) -> Result<HttpResponse> {
    let (county, me) = (caller.county, caller.subject);
    let view = app.db.read("list_message_grants", move |conn| grants_view(conn, county, me)).await?;
    Ok(HttpResponse::Ok().json(view))
}

/// Let messages through
///
/// One grant for each template that the resident accepted; WeChat takes one message for each. Sent with the same key when the
/// network fails, so that an acceptance counts once.
#[utoipa::path(tag = "messages", security(("token" = ["messages:grant"])), params(IdempotencyHeader), request_body = GrantMessageTemplates,
    responses((status = 201, description = "Recorded; what is left now", body = MessageGrantsView)))]
#[post("/v1/messages/grants")]
pub async fn grant_message_templates(
    caller: Can<GrantMessages>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<GrantMessageTemplates>,
) -> Result<Answer> {
    let once = Once::new(&caller, "grant_message_templates", key, body.digest);
    let (county, me, now, wanted) = (caller.county, caller.subject, app.clock.now(), body.value.template_ids);
    app.once(once, move |conn| {
        let known: Vec<_> =
            templates::all(conn, county)?.into_iter().filter_map(|row| row.wechat_template_id).collect();
        let mut faults = Vec::new();
        for (index, id) in wanted.iter().enumerate() {
            let pointer = format!("/template_ids/{index}");
            if !known.contains(id) {
                let text = Text::fixed("本县没有这个订阅消息模板", "the county has no such subscription template");
                faults.push(FieldError::body(pointer, "unknown_template", text));
            } else if wanted[..index].contains(id) {
                let text = Text::fixed("同一模板每次只能授权一次", "a template is granted once at a time");
                faults.push(FieldError::body(pointer, "repeated", text));
            }
        }
        if !faults.is_empty() {
            return Err(Error::invalid(faults));
        }
        delivery::grant(conn, (county, me), &wanted, now)?;
        Answer::created("/v1/messages/grants".into(), 1, &grants_view(conn, county, me)?)
    })
    .await
}
