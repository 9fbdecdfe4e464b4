//! A resident's inbox over HTTP.

use actix_web::{HttpResponse, get, post, web::Data};
use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{Delivery, Kind, Message},
    store,
};
use crate::{
    app::App,
    clock::CST,
    error::{Code, Lang, Result},
    http::{
        caller::Can,
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::ReadMessages,
        valid::{Id, Query, Valid},
    },
};

/// A message in the inbox.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f1", "kind": "appointment_booked", "title": "预约成功",
    "text": "您已预约 2026-11-23 09:00 在均溪镇党群服务中心（民生事务窗口）办理“城乡居民医保参保登记”。", "about_id": "0199a0c0-0000-7000-8000-0000000000e1",
    "wechat": "sent", "created_at": "2026-11-21T20:15:01+08:00", "read_at": null}))]
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
    pub created_at: DateTime<FixedOffset>,
    pub read_at: Option<DateTime<FixedOffset>>,
}

impl MessageView {
    fn new(message: &Message, lang: Lang) -> Self {
        let (title, text) = message.words(lang);
        Self {
            id: message.id,
            kind: message.kind,
            title,
            text,
            about_id: message.about_id,
            wechat: message.wechat,
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
    let limit = page::limit(query.0.limit)?;
    let after = page::after(&app.keys, "messages", query.0.cursor.as_deref())?;
    let (county, me, unread, count) =
        (caller.county, caller.subject, query.0.unread.unwrap_or(false), query.0.count.unwrap_or(false));
    let (rows, total) = app
        .db
        .read("list_messages", move |conn| {
            let total = if count { Some(store::count(conn, county, me, unread)?) } else { None };
            Ok((store::list(conn, county, me, unread, after, limit)?, total))
        })
        .await?;
    let place = |message: &Message| After { at: message.created_at, id: message.id };
    let page = page::cut(&app.keys, "messages", rows, limit as usize, place, |row| Ok(MessageView::new(&row, lang)))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
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
        Answer::ok(if message.read_at.is_some() { 2 } else { 1 }, &MessageView::new(&message, lang))
    })
    .await
}
