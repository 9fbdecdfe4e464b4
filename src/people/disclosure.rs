//! Plain values over HTTP: revealed to staff with a reason, proved by residents through WeChat.

use actix_web::{HttpResponse, http::header, post, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::{
    model::{IdNumber, IdentityLevel, PersonName, Phone, open},
    routes::{ResidentView, checked, record, shown, values},
    store::{self, Values},
};
use crate::{
    app::App,
    audit::{self, Audit},
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        limits,
        permissions::{ProvePhone, RevealResidents},
        valid::{Id, Valid},
    },
};

/// Fields that can be revealed.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Revealable {
    Name,
    IdNumber,
    Phone,
}

/// Which values, and why they are needed.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"fields": ["phone"], "reason": "电话通知取件"}))]
pub struct RevealResident {
    /// 1 to 3 fields.
    #[validate(length(min = 1, max = 3))]
    #[schema(min_items = 1, max_items = 3)]
    fields: Vec<Revealable>,
    /// 2 to 200 characters; kept in the audit log.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    reason: String,
}

/// The plain values that were asked for.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"phone": "13950900001"}))]
pub struct RevealedView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// See plain values
///
/// Writes who looked, at what and why to the audit log before it answers. At most 30 a minute; never replayed.
#[utoipa::path(tag = "residents", security(("token" = ["residents:reveal"])), params(("id" = Uuid, Path, description = "The resident")),
    request_body = RevealResident, responses((status = 200, description = "The values", body = RevealedView)), extensions(("x-errors" = json!(["too_many_requests"]))))]
#[post("/v1/residents/{id}/reveal")]
pub async fn reveal_resident(
    caller: Can<RevealResidents>,
    id: Id,
    app: Data<App>,
    body: Valid<RevealResident>,
) -> Result<HttpResponse> {
    limits::take(&app, "reveals", &format!("{}:{}", caller.county, caller.subject), 30).await?;
    let wanted = body.value.fields;
    let fields = wanted.iter().map(|field| match field {
        Revealable::Name => "name",
        Revealable::IdNumber => "id_number",
        Revealable::Phone => "phone",
    });
    let entry = Audit::new("reveal", "resident", id.0).fields(fields.collect()).because(Some(body.value.reason));
    let (who, scope, now) = (Caller::clone(&caller), caller.scope, app.clock.now());
    let row = app
        .db
        .write("reveal_resident", move |conn| {
            let row = store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
            audit::record(conn, &who, now, &entry.of(row.id))?;
            Ok(row)
        })
        .await?;
    let asked = |field, sealed| if wanted.contains(&field) { sealed } else { None };
    let view = RevealedView {
        name: shown::<PersonName>(&app, &row, asked(Revealable::Name, row.name.as_deref()), false)?,
        id_number: shown::<IdNumber>(&app, &row, asked(Revealable::IdNumber, row.id_number.as_deref()), false)?,
        phone: shown::<Phone>(&app, &row, asked(Revealable::Phone, row.phone.as_deref()), false)?,
    };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// The code of WeChat's phone button.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "0d3f…"}))]
pub struct ProvePhoneCode {
    /// What `getPhoneNumber` gave the mini-program; good once, for 5 minutes. 1 to 256 characters.
    #[validate(length(min = 1, max = 256))]
    #[schema(min_length = 1, max_length = 256)]
    code: String,
}

/// Prove one's phone with WeChat
///
/// Exchanges the code of WeChat's phone button (`getuserphonenumber`) for the number, and keeps it as proved.
#[utoipa::path(tag = "residents", security(("token" = ["residents:prove_phone"])), params(("id" = Uuid, Path, description = "Oneself"), IdempotencyHeader),
    request_body = ProvePhoneCode, responses((status = 200, description = "With the phone", body = ResidentView)),
    extensions(("x-errors" = json!(["wechat_unavailable"]))))]
#[post("/v1/residents/{id}/prove_phone")]
pub async fn prove_phone(
    caller: Can<ProvePhone>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<ProvePhoneCode>,
) -> Result<Answer> {
    if id.0 != caller.subject {
        return Err(Code::NotFound.into());
    }
    let once = Once::new(&caller, "prove_phone", key, body.digest);
    // The code is good once: a repeat must find its answer before WeChat is asked again.
    if let Some(answer) = app.answered(once.clone()).await? {
        return Ok(answer);
    }
    limits::take(&app, "phone_proofs", &format!("{}:{}", caller.county, caller.subject), 6).await?;
    // WeChat is asked before the key's lock can be taken; two repeats at once must not both use up the code.
    let alone = limits::alone(&app, &format!("prove_phone:{}", caller.subject)).await?;
    let county = app.counties.public(&app, &caller.county_key).await?;
    let asked = app.wechat.phone_number(&app, &county, &body.value.code).await;
    alone.end(&app).await;
    let refused = |zh, en| Error::field("/code", "wechat_code_refused", zh, en);
    let number = asked.map_err(|refusal| match refusal.into_error() {
        error if error.code == Code::WechatCodeRefused => refused(
            "微信手机号凭证无效或已使用，请重新获取",
            "WeChat refused the code: invalid, expired or used; get a new one",
        )
        .cause(error),
        error => error,
    })?;
    let phone: Phone =
        number.parse().map_err(|_| refused("只支持大陆手机号", "only mainland numbers are supported"))?;
    let (who, scope, inner) = (Caller::clone(&caller), caller.scope, app.clone());
    app.once(once, move |conn| {
        let row = store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        let name = open::<PersonName>(&inner.keys, scope.county, row.id, row.name.as_deref())?;
        let number = open::<IdNumber>(&inner.keys, scope.county, row.id, row.id_number.as_deref())?;
        let level =
            if row.identity_level == IdentityLevel::Officer { IdentityLevel::Officer } else { IdentityLevel::Phone };
        let values = values(&inner, scope.county, row.id, name.as_ref(), number.as_ref(), Some(&phone));
        let values = Values { unit_id: row.unit_id, identity_level: level, identity_seen: row.identity_seen, ..values };
        let values = checked(conn, &inner, scope.county, row.id, number.as_ref(), values)?;
        let row = store::update(conn, &row, values)?
            .ok_or_else(|| Error { retry: crate::error::Retry::Again, ..Code::VersionStale.into() })?;
        record(conn, &row, None)?;
        Answer::ok(row.version, &ResidentView::new(&inner, &who, &row)?)
    })
    .await
}
