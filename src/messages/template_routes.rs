//! A county's words and templates for each kind of message over HTTP.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, http::header, put, web::Data, web::Path};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::{
    model::{Form, Kind, OwnWords, Policy},
    templates::{self, Template, Values},
    words::{self, OwnTemplate},
};
use crate::{
    app::App,
    audit::{self, Audit},
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        document::IfMatchHeader,
        etag::{IfMatch, etag},
        permissions::{ReadMessageTemplates, WriteMessageTemplates},
        valid::Valid,
    },
};

/// A placeholder of a kind of message.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"name": "starts_at", "form": "time"}))]
pub struct PlaceholderView {
    pub name: String,
    pub form: Form,
}

/// A kind of message, and what is in effect for it in the county.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"kind": "appointment_booked", "policy": "at_once", "late_after": "starts_at",
    "placeholders": [{"name": "matter", "form": "text"}, {"name": "unit", "form": "text"}, {"name": "window", "form": "text"}, {"name": "starts_at", "form": "time"}, {"name": "place", "form": "place"}],
    "title_zh": "预约成功", "text_zh": "您已预约 {starts_at} 在{unit}党群服务中心（{window}）办理“{matter}”。",
    "title_en": "Appointment booked", "text_en": "You are booked for {matter} at the service centre of {unit} ({window}), {starts_at}.",
    "wechat_template_id": "fake-template-booked", "wechat_fields": {"thing1": "matter", "thing2": "unit", "time3": "starts_at"},
    "sms_template": null, "own": [], "version": 1}))]
pub struct MessageTemplateView {
    pub kind: Kind,
    pub policy: Policy,
    /// The placeholder after whose time it is worth nothing: a `drop_if_late` or `now_or_never` is dropped then, and nobody is asked to call later.
    pub late_after: Option<String>,
    /// What `{…}` in the texts, and the fields of WeChat, can be filled with.
    pub placeholders: Vec<PlaceholderView>,
    pub title_zh: String,
    pub text_zh: String,
    pub title_en: String,
    pub text_en: String,
    /// None: WeChat is not asked for this kind.
    pub wechat_template_id: Option<String>,
    /// Field of the WeChat template to placeholder.
    pub wechat_fields: BTreeMap<String, String>,
    /// The SMS gateway's own template.
    pub sms_template: Option<String>,
    /// Which words and fields are the county's own; the others are defaults.
    pub own: Vec<String>,
    /// 0 while everything is default.
    pub version: i64,
}

impl MessageTemplateView {
    fn new(kind: Kind, row: Option<&Template>) -> Self {
        let (definition, own) = (kind.definition(), row.map(Template::own).unwrap_or_default());
        let names = [
            ("title_zh", own.words.title_zh.is_some()),
            ("text_zh", own.words.text_zh.is_some()),
            ("title_en", own.words.title_en.is_some()),
            ("text_en", own.words.text_en.is_some()),
            ("wechat_fields", own.wechat_fields.is_some()),
        ];
        let effect = own.with_defaults(kind);
        let placeholder = |(name, form): &(&str, Form)| PlaceholderView { name: (*name).to_owned(), form: *form };
        Self {
            kind,
            policy: definition.policy,
            late_after: definition.late.map(str::to_owned),
            placeholders: definition.placeholders.iter().map(placeholder).collect(),
            title_zh: effect.words.title_zh.unwrap_or_default(),
            text_zh: effect.words.text_zh.unwrap_or_default(),
            title_en: effect.words.title_en.unwrap_or_default(),
            text_en: effect.words.text_en.unwrap_or_default(),
            wechat_template_id: row.and_then(|row| row.wechat_template_id.clone()),
            wechat_fields: effect.wechat_fields.unwrap_or_default(),
            sms_template: row.and_then(|row| row.sms_template.clone()),
            own: names.into_iter().filter(|(_, own)| *own).map(|(name, _)| name.to_owned()).collect(),
            version: row.map_or(0, |row| row.version),
        }
    }
}

/// Every kind of message.
#[derive(Serialize, ToSchema)]
pub struct MessageTemplatesView {
    pub items: Vec<MessageTemplateView>,
}

/// List message templates
///
/// Every kind of message with what is in effect: the default, or what the county decided. There are few: no pages.
#[utoipa::path(tag = "messages", security(("token" = ["message_templates:read"])),
    responses((status = 200, description = "Every kind", body = MessageTemplatesView)))]
#[get("/v1/message_templates")]
pub async fn list_message_templates(caller: Can<ReadMessageTemplates>, app: Data<App>) -> Result<HttpResponse> {
    let county = caller.county;
    let rows = app.db.read("list_message_templates", move |conn| Ok(templates::all(conn, county)?)).await?;
    let view = |kind: &Kind| MessageTemplateView::new(*kind, rows.iter().find(|row| row.kind == *kind));
    Ok(HttpResponse::Ok().json(MessageTemplatesView { items: Kind::ALL.iter().map(view).collect() }))
}

/// The whole template as it shall be; what is left out is the default.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text_zh": "您已预约 {starts_at} 到{unit}办理“{matter}”，请带身份证。", "wechat_template_id": "fake-template-booked",
    "wechat_fields": {"thing1": "matter", "time3": "starts_at"}, "sms_template": "SMS_100001"}))]
pub struct UpdateMessageTemplate {
    /// 1 to 64 characters.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    title_zh: Option<String>,
    /// 1 to 500 characters, with placeholders in braces.
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    text_zh: Option<String>,
    /// 1 to 64 characters.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    title_en: Option<String>,
    /// 1 to 500 characters, with placeholders in braces.
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    text_en: Option<String>,
    /// As WeChat names the template. 1 to 128 characters; none: the message goes by the next channel.
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128)]
    wechat_template_id: Option<String>,
    /// Field of the WeChat template, such as `thing1`, to placeholder. Up to 10.
    #[validate(length(min = 1, max = 10))]
    wechat_fields: Option<BTreeMap<String, String>>,
    /// The SMS gateway's own template. 1 to 64 characters.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    sms_template: Option<String>,
}

/// Change a message template
///
/// From the next message on; what was posted keeps its words. Placeholders that the kind does not have, and fields that cannot be
/// filled, are refused one by one. `If-Match` is the `version` of the list, 0 while everything is default.
#[utoipa::path(tag = "messages", security(("token" = ["message_templates:write"])),
    params(("kind" = Kind, Path, description = "The kind of message"), IfMatchHeader), request_body = UpdateMessageTemplate,
    responses((status = 200, description = "As it is now", body = MessageTemplateView)))]
#[put("/v1/message_templates/{kind}")]
pub async fn update_message_template(
    caller: Can<WriteMessageTemplates>,
    kind: Path<String>,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<UpdateMessageTemplate>,
) -> Result<HttpResponse> {
    let kind: Kind = kind.parse().map_err(|_| Code::NotFound)?;
    let command = body.value;
    let own_words = OwnWords {
        title_zh: command.title_zh,
        text_zh: command.text_zh,
        title_en: command.title_en,
        text_en: command.text_en,
    };
    let own = OwnTemplate { words: own_words, wechat_fields: command.wechat_fields };
    let faults = words::faults(kind, &own);
    if !faults.is_empty() {
        return Err(Error::invalid(faults));
    }
    let (who, now) = (Caller::clone(&caller), app.clock.now());
    // Kinds have no id: the entry names the kind among its fields.
    let entry = Audit::new("update", "message_template", uuid::Uuid::nil()).fields(vec![kind.as_str()]);
    let values = Values {
        wechat_template_id: command.wechat_template_id,
        wechat_fields: templates::stored(own.wechat_fields.as_ref()),
        title_zh: own.words.title_zh,
        text_zh: own.words.text_zh,
        title_en: own.words.title_en,
        text_en: own.words.text_en,
        sms_template: command.sms_template,
        updated_at: now,
    };
    let row = app
        .db
        .write("update_message_template", move |conn| {
            let version = templates::find(conn, who.county, kind)?.map_or(0, |row| row.version);
            seen.check(version)?;
            let row = templates::put(conn, (who.county, kind, version), values.clone())?.ok_or(Code::VersionStale)?;
            audit::record(conn, &who, now, &entry)?;
            Ok(row)
        })
        .await?;
    let tag = (header::ETAG, etag(row.version));
    Ok(HttpResponse::Ok().insert_header(tag).json(MessageTemplateView::new(kind, Some(&row))))
}
