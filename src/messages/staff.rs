//! What members of staff see of a resident's messages: to call with, and to print.

use actix_web::{HttpResponse, get, http::header, web::Data};
use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    routes::{Asked, MessageView, page_of},
    store,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::CST,
    error::{Code, Lang, Result},
    http::{
        caller::{Caller, Can},
        limits,
        page::Page,
        permissions::PrintMessages,
        valid::{Id, Query},
    },
    people, units,
};

/// Everything that a printed slip (纸条) says; plain, because it is brought to the person.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"message_id": "0199a0c0-0000-7000-8000-0000000000f1", "title": "预约成功",
    "text": "您已预约 2026-11-23 09:00 在均溪镇党群服务中心（民生事务窗口）办理“城乡居民医保参保登记”。", "name": "陈阿婆", "phone": null,
    "unit": "红星村委会", "created_at": "2026-11-21T20:15:01+08:00", "made_at": "2026-11-22T09:00:00+08:00"}))]
pub struct MessageSlipView {
    pub message_id: Uuid,
    pub title: String,
    pub text: String,
    pub name: Option<String>,
    pub phone: Option<String>,
    /// Village or community of the resident.
    pub unit: Option<String>,
    /// When the message was posted.
    pub created_at: DateTime<FixedOffset>,
    /// When the slip was made.
    pub made_at: DateTime<FixedOffset>,
}

/// Get a slip to print
///
/// The message with the resident's name, phone and unit, plain. Writes who looked to the audit log before it answers; at most 60 a
/// minute.
#[utoipa::path(tag = "messages", security(("token" = ["messages:slip"])), params(("id" = Uuid, Path, description = "The message")),
    responses((status = 200, description = "The slip", body = MessageSlipView)), extensions(("x-errors" = json!(["too_many_requests"]))))]
#[get("/v1/messages/{id}/slip")]
pub async fn get_message_slip(caller: Can<PrintMessages>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    limits::take(&app, "slips", &format!("{}:{}", caller.county, caller.subject), 60).await?;
    let entry = Audit::new("print_slip", "resident", id.0).fields(vec!["name", "phone"]);
    let (who, scope, now) = (Caller::clone(&caller), caller.scope, app.clock.now());
    let (message, resident, unit) = app
        .db
        .write("get_message_slip", move |conn| {
            let (message, resident) = store::within(conn, scope, id.0)?.ok_or(Code::NotFound)?;
            let unit = match resident.unit_id {
                Some(unit) => units::store::find(conn, scope.county, unit)?.map(|unit| unit.name),
                None => None,
            };
            audit::record(conn, &who, now, &entry.of(resident.id))?;
            Ok((message, resident, unit))
        })
        .await?;
    let sealed = (resident.name.as_deref(), resident.phone.as_deref());
    let (name, phone) = people::name_and_phone(&app, (resident.county_id, resident.id), sealed, false)?;
    let (title, text) = message.words(lang);
    let view = MessageSlipView {
        message_id: message.id,
        title,
        text,
        name,
        phone,
        unit,
        created_at: message.created_at.with_timezone(&CST),
        made_at: now.with_timezone(&CST),
    };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ResidentMessagesQuery {
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

/// List a resident's messages
///
/// Oldest first, with what became of each, so that whoever calls or visits knows what to say. Writes who looked to the audit log.
#[utoipa::path(tag = "messages", security(("token" = ["messages:slip"])),
    params(("id" = Uuid, Path, description = "The resident"), ResidentMessagesQuery),
    responses((status = 200, description = "A page of messages", body = Page<MessageView>)))]
#[get("/v1/residents/{id}/messages")]
pub async fn list_resident_messages(
    caller: Can<PrintMessages>,
    id: Id,
    lang: Lang,
    app: Data<App>,
    query: Query<ResidentMessagesQuery>,
) -> Result<HttpResponse> {
    let (who, scope, now) = (Caller::clone(&caller), caller.scope, app.clock.now());
    let entry = Audit::new("list_messages", "resident", id.0).fields(vec!["messages"]);
    let query = query.0;
    let asked = Asked::new(&app, query.unread, query.limit, query.cursor.as_deref(), query.count)?;
    let part = app
        .db
        .write("list_resident_messages", move |conn| {
            people::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
            audit::record(conn, &who, now, &entry)?;
            asked.part(conn, scope.county, id.0)
        })
        .await?;
    Ok(HttpResponse::Ok().json(page_of(&app, asked, part, lang)?))
}
