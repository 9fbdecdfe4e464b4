//! Logging in, staying in, logging out.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse, delete, get, http::header, post, web::Data};
use redis::Script;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    live,
    model::{ACCESS_LIFE, SESSION_LIFE, Session},
    rules::{self, Refresh},
    store,
    tokens::{Jwk, RefreshToken},
};
use crate::{
    app::App,
    crypto,
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        limits,
        permissions::{OwnSession, Role},
        valid::Valid,
    },
    people, staff,
    units::County,
    wechat,
};

/// Failures before an account is locked, and for how long.
const FAILURES: i64 = 5;
const LOCK_SECONDS: u64 = 5 * 60;

/// User name and password, and as what to act.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"county": "350425", "username": "chen.xiaolan", "password": "correct horse battery", "role": "village_cadre"}))]
pub struct LogInStaff {
    /// Tenant key of the county.
    #[validate(length(min = 1, max = 32))]
    #[schema(min_length = 1, max_length = 32)]
    county: String,
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    username: String,
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128, format = Password)]
    password: String,
    /// The post to act in.
    role: Role,
    /// The unit of the post; needed only by those who hold the role in several.
    unit_id: Option<Uuid>,
    /// What the device calls itself, shown in the list of devices. Up to 100 characters.
    #[validate(length(max = 100))]
    #[schema(max_length = 100)]
    device: Option<String>,
}

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

/// Tokens of a session.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"session_id": "0199a0c0-0000-7000-8000-0000000000aa", "access_token": "eyJ0eXAi…", "token_type": "Bearer",
    "expires_in_seconds": 900, "refresh_token": "AAAAAQGZ…", "refresh_expires_in_seconds": 2592000, "role": "resident",
    "county": "350425", "subject_id": "0199a0c0-0000-7000-8000-00000000000a", "unit_id": null}))]
pub struct TokensView {
    pub session_id: Uuid,
    /// Send as `Authorization: Bearer …`.
    pub access_token: String,
    pub token_type: &'static str,
    pub expires_in_seconds: i64,
    /// Good once; the answer holds the next one. Lost answers: the same token works for 60 s more and gives the same next one.
    pub refresh_token: String,
    pub refresh_expires_in_seconds: i64,
    pub role: Role,
    pub county: String,
    /// Id of the resident or member of staff.
    pub subject_id: Uuid,
    /// Unit of the post; none for residents.
    pub unit_id: Option<Uuid>,
}

/// The address behind the trusted proxies.
fn address(app: &App, request: &HttpRequest) -> String {
    let peer = || request.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    // Each proxy adds the address it saw at the right, some on a line of their own; the left is whatever the client claimed.
    let lines = request.headers().get_all("x-forwarded-for").filter_map(|line| line.to_str().ok());
    let all: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    match app.config.trusted_proxies {
        hops @ 1.. if all.len() >= hops => all[all.len() - hops].to_owned(),
        _ => peer(),
    }
}

async fn count_login(app: &App, request: &HttpRequest) -> Result<()> {
    limits::take_certain(app, "logins", &address(app, request), app.config.logins_per_minute).await?
}

/// Adds a failure before the password is looked at, so that tries at once count too; the lock holds from the last one.
static TRY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local n = tonumber(redis.call('GET', KEYS[1]) or 0)
          if n >= tonumber(ARGV[1]) then return {n + 1, redis.call('TTL', KEYS[1])} end
          redis.call('SET', KEYS[1], n + 1, 'EX', ARGV[2])
          return {n + 1, 0}",
    )
});

/// Log in with a password
///
/// For staff. Five failures lock the user name for five minutes, whether it exists or not. Needs Redis: 503 without it.
#[utoipa::path(tag = "sessions", security(()), request_body = LogInStaff, responses((status = 201, description = "Logged in", body = TokensView)),
    extensions(("x-errors" = json!(["login_failed", "login_locked", "too_many_requests", "county_suspended"]))))]
#[post("/v1/sessions/staff")]
pub async fn log_in_staff(app: Data<App>, request: HttpRequest, body: Valid<LogInStaff>) -> Result<HttpResponse> {
    count_login(&app, &request).await?;
    let LogInStaff { county: key, username, password, role, unit_id, device } = body.value;
    let username = username.trim().to_lowercase();
    let lock = app.redis.key(format_args!("login:{key}:{username}"));
    let count =
        async |mut redis| TRY.key(&lock).arg(FAILURES).arg(LOCK_SECONDS).invoke_async::<(i64, i64)>(&mut redis).await;
    let (tries, locked_for) = app.redis.run(count).await?;
    if tries > FAILURES {
        return Err(Error::new(Code::LoginLocked).retry_after(locked_for.max(1) as u64));
    }
    let county = app.counties.find(&app, &key).await?;
    let account = match &county {
        Some(county) => {
            let (county, username) = (county.id, username.clone());
            app.db.read("account", move |conn| staff::store::account(conn, county, &username)).await?
        }
        None => None,
    };
    let fits = crypto::verify_password(password, account.as_ref().map(|account| account.password_hash.clone())).await;
    let (Some(county), Some(account), true) = (county, account, fits) else {
        return Err(Code::LoginFailed.into());
    };
    let mut posts =
        account.posts.iter().filter(|(post, unit)| *post == role && unit_id.is_none_or(|wanted| wanted == *unit));
    let post = match (posts.next(), posts.next()) {
        (Some(post), None) => *post,
        (Some(_), Some(_)) => {
            let (zh, en) = ("此岗位在多个单位任职，请指明 unit_id", "the role is held in several units; name one");
            return Err(Error::field("/unit_id", "required", zh, en));
        }
        (None, _) => return Err(Code::LoginFailed.into()),
    };
    let forget = async |mut redis| redis::cmd("DEL").arg(&lock).query_async::<i64>(&mut redis).await;
    let _ = app.redis.run(forget).await;
    start(&app, &county, None, Some((account.id, post)), device).await
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
    start(&app, &county, Some(resident), None, body.value.device).await
}

async fn start(
    app: &App,
    county: &County,
    resident: Option<Uuid>,
    staff: Option<(Uuid, (Role, Uuid))>,
    device: Option<String>,
) -> Result<HttpResponse> {
    county.working()?;
    let now = app.clock.now();
    let token = RefreshToken::first(county.id, Uuid::now_v7());
    let session = Session {
        county_id: county.id,
        id: token.session,
        resident_id: resident,
        staff_id: staff.map(|(id, _)| id),
        role: staff.map_or(Role::Resident, |(_, (role, _))| role),
        unit_id: staff.map(|(_, (_, unit))| unit),
        device,
        refresh_hash: token.hash(),
        previous_hash: None,
        rotated_at: now,
        created_at: now,
        expires_at: now + SESSION_LIFE,
        ended_at: None,
    };
    let row = session.clone();
    let started = app.db.write("start_session", move |conn| {
        // Dismissed between the password and here: the lock orders the two, so that no session slips through.
        if let Some(staff) = row.staff_id
            && !staff::store::lock_active(conn, row.county_id, staff)?
        {
            return Err(Code::LoginFailed.into());
        }
        Ok(store::insert(conn, &row)?)
    });
    started.await?;
    let view = tokens(app, &county.key, &session, &token).await?;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, "/v1/sessions/current"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(view))
}

async fn tokens(app: &App, county_key: &str, session: &Session, token: &RefreshToken) -> Result<TokensView> {
    let caller = Caller {
        county: session.county_id,
        county_key: county_key.into(),
        session: session.id,
        subject: session.subject(),
        role: session.role,
        unit: session.unit_id,
    };
    Ok(TokensView {
        session_id: session.id,
        access_token: app.tokens.sign(app, &caller).await?,
        token_type: "Bearer",
        expires_in_seconds: ACCESS_LIFE.num_seconds(),
        refresh_token: token.text(app),
        refresh_expires_in_seconds: SESSION_LIFE.num_seconds(),
        role: session.role,
        county: county_key.to_owned(),
        subject_id: session.subject(),
        unit_id: session.unit_id,
    })
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
    limits::take(&app, "refreshes", &address(&app, &request), app.config.logins_per_minute * 10).await?;
    let presented = RefreshToken::parse(&app, &body.value.refresh_token).ok_or(Code::Unauthenticated)?;
    let nexts = presented.nexts(&app);
    let (now, hash) = (app.clock.now(), presented.hash());
    let successors: Vec<_> = nexts.iter().map(RefreshToken::hash).collect();
    let (county, id) = (presented.county, presented.session);
    let (session, key, outcome, repeated) = app
        .db
        .write("refresh_session", move |conn| {
            let session = store::lock(conn, county, id)?.ok_or(Code::Unauthenticated)?;
            let outcome = rules::refresh(&session, &hash, now);
            // A repeat across a change of keys: the successor is the one that was stored.
            let repeated = successors.iter().position(|successor| *successor == session.refresh_hash).unwrap_or(0);
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
