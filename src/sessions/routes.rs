//! Residents log in; everybody stays in and logs out.

use actix_web::{HttpRequest, HttpResponse, delete, get, http::header, post, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    live,
    rules::{self, Refresh},
    start::{TokensView, count_login, start, tokens},
    store,
    tokens::{Jwk, RefreshToken},
};
use crate::{
    app::App,
    error::{Code, Result},
    http::{
        caller::Can,
        limits,
        permissions::{OwnSession, Role},
        valid::Valid,
    },
    people, wechat,
};

/// A WeChat login code.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"county": "350425", "code": "0e3Xyz…"}))]
pub struct LogInResident {
    /// Tenant key of the county; its mini-program issued the code.
    #[validate(length(min = 1, max = 32))]
    #[schema(min_length = 1, max_length = 32)]
    county: String,
    /// What `wx.login` gave the mini-program; good once, for 5 minutes.
    #[validate(length(min = 1, max = 256))]
    #[schema(min_length = 1, max_length = 256)]
    code: String,
    /// What the device calls itself. Up to 100 characters.
    #[validate(length(max = 100))]
    #[schema(max_length = 100)]
    device: Option<String>,
}

/// A refresh token.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "AAAAAQGZ…"}))]
pub struct RefreshSession {
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    refresh_token: String,
}

/// Log in with WeChat
///
/// For residents: exchanges the code of `wx.login` (`jscode2session`). The first login registers the resident. Needs Redis
/// and WeChat: 503 without them.
#[utoipa::path(tag = "sessions", security(()), request_body = LogInResident, responses((status = 201, description = "Logged in", body = TokensView)),
    extensions(("x-errors" = json!(["wechat_code_refused", "wechat_unavailable", "too_many_requests", "not_found", "county_suspended"]))))]
#[post("/v1/sessions/wechat")]
pub async fn log_in_resident(app: Data<App>, request: HttpRequest, body: Valid<LogInResident>) -> Result<HttpResponse> {
    count_login(&app, &request).await?;
    let county = app.counties.working(&app, &body.value.county).await?;
    let openid = app.wechat.openid(&app, &county, &body.value.code).await.map_err(wechat::Refusal::into_error)?;
    let (inner, number) = (app.clone(), county.id);
    let resident = app
        .db
        .write("log_in_resident", move |conn| people::find_or_create_by_wechat(conn, &inner, number, &openid))
        .await?;
    start(&app, &county, resident, body.value.device).await
}

/// Refresh a session
///
/// Answers a new access token and the next refresh token. The previous refresh token is taken for 60 s while its successor
/// is unused, and gives the same successor; an older one ends the session, because somebody else must have it.
#[utoipa::path(tag = "sessions", security(()), request_body = RefreshSession, responses((status = 200, description = "New tokens", body = TokensView)),
    extensions(("x-errors" = json!(["session_ended", "unauthenticated", "too_many_requests", "county_suspended"]))))]
#[post("/v1/sessions/refresh")]
pub async fn refresh_session(
    app: Data<App>,
    request: HttpRequest,
    body: Valid<RefreshSession>,
) -> Result<HttpResponse> {
    limits::take(&app, "refreshes", &limits::address(&app, &request), app.config.logins_per_minute * 10).await?;
    let presented = RefreshToken::parse(&app, &body.value.refresh_token).ok_or(Code::Unauthenticated)?;
    let nexts = presented.nexts(&app);
    let (now, hash) = (app.clock.now(), presented.hash());
    let successors: Vec<_> = nexts.iter().map(RefreshToken::hash).collect();
    let (county, id) = (presented.county, presented.session);
    let (session, key, outcome, repeated) = app
        .db
        .write("refresh_session", move |conn| {
            let session = store::lock(conn, county, id)?.ok_or(Code::Unauthenticated)?;
            let mut outcome = rules::refresh(&session, &hash, now);
            // A repeat across a change of keys: the successor is the one that was stored.
            let repeated = successors.iter().position(|successor| *successor == session.refresh_hash).unwrap_or(0);
            if matches!(outcome, Refresh::Rotate | Refresh::Repeat) && !store::still_covers(conn, &session, now)? {
                store::end(conn, county, id, "cover_ended", now)?;
                outcome = Refresh::Over;
            }
            match outcome {
                Refresh::Rotate => drop(store::rotate(conn, &session, &successors[0], now)?),
                Refresh::Reused => drop(store::end(conn, county, id, "refresh_reused", now)?),
                Refresh::Repeat | Refresh::Over => {}
            }
            let key = crate::units::store::working_key(conn, county)?;
            Ok((session, key, outcome, repeated))
        })
        .await?;
    if outcome == Refresh::Reused {
        live::tell_ended(&app, id).await;
    }
    if matches!(outcome, Refresh::Reused | Refresh::Over) {
        return Err(Code::SessionEnded.into());
    }
    let next = if outcome == Refresh::Repeat { &nexts[repeated] } else { &nexts[0] };
    let view = tokens(&app, &key, &session, next).await?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// Who is logged in.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"session_id": "0199a0c0-0000-7000-8000-0000000000aa", "county": "350425", "role": "resident",
    "subject_id": "0199a0c0-0000-7000-8000-00000000000a", "unit_id": null}))]
pub struct SessionView {
    pub session_id: Uuid,
    pub county: String,
    pub role: Role,
    /// Id of the resident or member of staff.
    pub subject_id: Uuid,
    pub unit_id: Option<Uuid>,
}

/// Who am I
///
/// The session of the token.
#[utoipa::path(tag = "sessions", security(("token" = ["sessions:own"])), responses((status = 200, description = "The session", body = SessionView)))]
#[get("/v1/sessions/current")]
pub async fn get_own_session(caller: Can<OwnSession>) -> HttpResponse {
    let (county, role) = (caller.county_key.to_string(), caller.role);
    HttpResponse::Ok().json(SessionView {
        session_id: caller.session,
        county,
        role,
        subject_id: caller.subject,
        unit_id: caller.unit,
    })
}

/// Log out
///
/// Ends the session of the token, everywhere within 5 seconds. A second time changes nothing.
#[utoipa::path(tag = "sessions", security(("token" = ["sessions:own"])), responses((status = 204, description = "Logged out")))]
#[delete("/v1/sessions/current")]
pub async fn log_out(caller: Can<OwnSession>, app: Data<App>) -> Result<HttpResponse> {
    let (county, id, now) = (caller.county, caller.session, app.clock.now());
    app.db.write("log_out", move |conn| Ok(store::end(conn, county, id, "logout", now)?)).await?;
    live::tell_ended(&app, id).await;
    Ok(HttpResponse::NoContent().finish())
}

/// The public keys of access tokens (RFC 7517).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "0199a0c0", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}))]
pub struct JwksView {
    pub keys: Vec<Jwk>,
}

/// Public keys of access tokens
///
/// A JSON Web Key Set with Ed25519 keys (RFC 8037). A new key appears a minute before it signs.
#[utoipa::path(tag = "sessions", security(()), responses((status = 200, description = "The keys", body = JwksView)))]
#[get("/.well-known/jwks.json")]
pub async fn get_signing_keys(app: Data<App>) -> Result<HttpResponse> {
    let keys = app.tokens.jwks(&app).await?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=30")).json(JwksView { keys }))
}
