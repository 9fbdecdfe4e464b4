//! Consent texts over HTTP: public to read, the county administrator's to publish.

use actix_web::{HttpRequest, HttpResponse, get, post, web::Data};
use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{ConsentText, Purpose},
    store,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::CST,
    error::{Code, Error, FieldError, Result, Text},
    http::{
        cached,
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::PublishConsentTexts,
        valid::{Query, Valid},
    },
};

/// What residents are asked to agree to, for one purpose (同意文本).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f1", "purpose": "id_number", "version": 1, "zh": "我们保存您的身份证号……",
    "en": "We keep your ID number …", "effective_from": "2026-11-21T09:00:00+08:00", "published_at": "2026-11-21T09:00:00+08:00"}))]
pub struct ConsentTextView {
    pub id: Uuid,
    pub purpose: Purpose,
    /// Counts per purpose.
    pub version: i64,
    pub zh: String,
    pub en: String,
    pub effective_from: DateTime<FixedOffset>,
    pub published_at: DateTime<FixedOffset>,
}

impl From<ConsentText> for ConsentTextView {
    fn from(text: ConsentText) -> Self {
        let ConsentText { id, purpose, version, zh, en, effective_from, published_at } = text;
        let (effective_from, published_at) = (effective_from.with_timezone(&CST), published_at.with_timezone(&CST));
        Self { id, purpose, version, zh, en, effective_from, published_at }
    }
}

/// One text per purpose that the county has published.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct ConsentTextsView {
    pub items: Vec<ConsentTextView>,
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ConsentTextsQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// Only of this purpose.
    #[param(inline, example = "id_number")]
    purpose: Option<Purpose>,
    /// This version of the purpose, also an old or a coming one; only together with `purpose`.
    #[param(minimum = 1)]
    version: Option<i64>,
}

/// List consent texts
///
/// The text in effect of every purpose; with `purpose` and `version` that one, old or coming (404 if there is none). Purposes
/// without a text need no consent in this county.
#[utoipa::path(tag = "consents", security(()), params(ConsentTextsQuery),
    responses((status = 200, description = "The texts", body = ConsentTextsView), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/consent_texts")]
pub async fn list_consent_texts(
    app: Data<App>,
    request: HttpRequest,
    query: Query<ConsentTextsQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    if query.version.is_some() && query.purpose.is_none() {
        let text = Text::fixed("与 version 一起必填", "is required together with version");
        return Err(Error::invalid(vec![FieldError::query("purpose", "required", text)]));
    }
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &query.county).await?.id;
        let (purpose, version, now) = (query.purpose, query.version, app.clock.now());
        let read = app.db.read("list_consent_texts", move |conn| match (purpose, version) {
            (Some(purpose), Some(version)) => {
                Ok(vec![store::text(conn, county, purpose, version)?.ok_or(Code::NotFound)?])
            }
            (Some(purpose), None) => Ok(store::text_in_effect(conn, county, purpose, now)?.into_iter().collect()),
            (None, _) => Ok(store::texts_in_effect(conn, county, now)?),
        });
        Ok(ConsentTextsView { items: read.await?.into_iter().map(ConsentTextView::from).collect() })
    })
    .await
}

/// A text in both languages.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"purpose": "position", "zh": "走访和上门服务时，我们记录一次位置……", "en": "When we visit you, we record the position once …",
    "effective_from": "2027-01-01T00:00:00+08:00"}))]
pub struct PublishConsentText {
    purpose: Purpose,
    /// What for, which data, how long, what refusing means, how to withdraw. 1 to 4,000 characters.
    #[validate(length(min = 1, max = 4000))]
    #[schema(min_length = 1, max_length = 4000)]
    zh: String,
    /// The same in English. 1 to 4,000 characters.
    #[validate(length(min = 1, max = 4000))]
    #[schema(min_length = 1, max_length = 4000)]
    en: String,
    /// From when it counts; at once by default, never in the past.
    effective_from: Option<DateTime<FixedOffset>>,
}

/// Publish a consent text
///
/// The next version of a purpose. Whoever agreed to another one is asked again (`outdated`). What was published stays readable and
/// cannot be changed.
#[utoipa::path(tag = "consents", security(("token" = ["consents:publish"])), params(IdempotencyHeader), request_body = PublishConsentText,
    responses((status = 201, description = "Published", body = ConsentTextView)))]
#[post("/v1/consent_texts")]
pub async fn publish_consent_text(
    caller: Can<PublishConsentTexts>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<PublishConsentText>,
) -> Result<Answer> {
    let once = Once::new(&caller, "publish_consent_text", key, body.digest);
    let (command, who, now) = (body.value, Caller::clone(&caller), app.clock.now());
    let entry = Audit::new("publish", "consent_text", Uuid::nil()).fields(vec![command.purpose.as_str()]);
    let answer = app
        .once(once, move |conn| {
            let from = command.effective_from.map_or(now, |from| from.to_utc());
            if from < now {
                return Err(Error::field("/effective_from", "in_past", "不得早于现在", "must not be in the past"));
            }
            let words = (command.zh.trim(), command.en.trim());
            let text = store::publish(conn, (who.county, command.purpose), words, from, (who.staff(), now))?;
            audit::record(conn, &who, now, &entry.of(text.id))?;
            let (purpose, version) = (text.purpose.as_str(), text.version);
            let place = format!("/v1/consent_texts?county={}&purpose={purpose}&version={version}", who.county_key);
            Answer::created(place, version, &ConsentTextView::from(text))
        })
        .await;
    app.rendered.forget();
    answer
}
