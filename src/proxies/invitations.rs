//! The code of an invitation: given out by those who may, typed by whoever accepts.

use actix_web::{HttpResponse, http::header, post, web::Data};
use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{INVITATION, ProxyState},
    routes::ProxyView,
    store,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::CST,
    codes,
    error::{Code, Error, Lang, Result},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        limits,
        permissions::{AcceptProxies, WriteProxies},
        valid::{Id, Valid},
    },
    messages::{self, NewMessage},
    people::{self, IdentityLevel},
};

/// A code to be shown or read out to somebody.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"code": "7KQ2M9XWPD", "expires_at": "2026-11-28T20:15:00+08:00"}))]
pub struct CodeView {
    /// 10 letters and digits; case, spaces and hyphens do not matter when it is typed.
    pub code: String,
    pub expires_at: DateTime<FixedOffset>,
}

/// Get an invitation's code
///
/// Whoever types it accepts the invitation. Good once, for 7 days; asking again makes the one before useless.
#[utoipa::path(tag = "proxies", security(("token" = ["proxies:write"])), params(("id" = Uuid, Path, description = "The invitation")),
    responses((status = 200, description = "The code, never shown again", body = CodeView)), extensions(("x-errors" = json!(["proxy_not_invited", "too_many_requests"]))))]
#[post("/v1/proxies/{id}/code")]
pub async fn issue_proxy_code(caller: Can<WriteProxies>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    limits::take(&app, "proxy_codes", &format!("{}:{}", caller.county, caller.subject), 10).await?;
    let (scope, now, inner) = (caller.scope, app.clock.now(), app.clone());
    let issued = app.db.write("issue_proxy_code", move |conn| {
        let proxy = store::find(conn, scope.county, id.0)?.ok_or(Code::NotFound)?;
        people::find(conn, scope, proxy.resident_id)?.ok_or(Code::NotFound)?;
        if proxy.state != ProxyState::Invited {
            return Err(Code::ProxyNotInvited.into());
        }
        Ok(codes::issue(conn, &inner.keys, scope.county, (INVITATION, proxy.id), now)?)
    });
    let expires_at = (now + INVITATION.life).with_timezone(&CST);
    let view = CodeView { code: issued.await?, expires_at };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// A code that somebody was given.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "7KQ2-M9XW-PD"}))]
pub struct AcceptProxy {
    /// 1 to 32 characters.
    #[validate(length(min = 1, max = 32))]
    #[schema(min_length = 1, max_length = 32)]
    code: String,
}

pub(crate) fn code_refused() -> Error {
    Error::field(
        "/code",
        "code_refused",
        "代码不正确、已使用或已过期",
        "The code is wrong, has been used or has expired",
    )
}

/// Accept an invitation
///
/// With the code. One's phone must have been proved, so that the resident's file says who acts. At most 6 tries a minute.
#[utoipa::path(tag = "proxies", security(("token" = ["proxies:accept"])), params(IdempotencyHeader), request_body = AcceptProxy,
    responses((status = 200, description = "In force", body = ProxyView)),
    extensions(("x-errors" = json!(["proxy_exists", "proxy_not_invited", "identity_needed"]))))]
#[post("/v1/proxies/accept")]
pub async fn accept_proxy(
    caller: Can<AcceptProxies>,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<AcceptProxy>,
) -> Result<Answer> {
    let once = Once::new(&caller, "accept_proxy", key, body.digest);
    limits::take(&app, "code_tries", &format!("{}:{}", caller.county, caller.subject), 6).await?;
    let (who, scope, now, inner) = (Caller::clone(&caller), caller.scope, app.clock.now(), app.clone());
    let entry = Audit::new("accept_proxy", "resident", Uuid::nil());
    app.once(once, move |conn| {
        let me = people::lock(conn, scope, who.subject)?.ok_or(Code::NotFound)?;
        if me.identity_level == IdentityLevel::None {
            return Err(people::identity_needed(IdentityLevel::Phone));
        }
        let typed = (INVITATION, body.value.code.as_str());
        let id = codes::redeem(conn, &inner.keys, scope.county, typed, now)?.ok_or_else(code_refused)?;
        let invited = store::find(conn, scope.county, id)?.ok_or_else(code_refused)?;
        if invited.resident_id == me.id {
            let (zh, en) = ("不能授权给自己", "this is an invitation of your own");
            return Err(Error::field("/code", "proxy_of_oneself", zh, en));
        }
        people::present(conn, scope.county, invited.resident_id)?.ok_or(Code::ProxyNotInvited)?;
        let row = store::accept(conn, scope.county, id, me.id, now)?.ok_or(Code::ProxyNotInvited)?;
        let (resident, kind) = (row.resident_id, messages::Kind::ProxyAccepted);
        let params = json!({"valid_until": row.valid_until});
        messages::post(
            conn,
            NewMessage { county: scope.county, resident, kind, about: row.id, occasion: 0, params },
            now,
        )?;
        audit::record(conn, &who, now, &entry.of(row.resident_id))?;
        let view = ProxyView::one(conn, &inner, lang, row)?;
        Answer::ok(view.version, &view)
    })
    .await
}
