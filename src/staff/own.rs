//! One's own account: password, one-time codes, WeChat.

use actix_web::{HttpRequest, HttpResponse, http::header, post, web::Data};
use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::{
    credentials::{self, WECHAT_CODE},
    model::{StaffView, password_fault},
    routes::view,
    store,
};
use crate::{
    app::App,
    audit::{self, Actor, Audit},
    clock::CST,
    codes, crypto,
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::OwnAccount,
        valid::Valid,
    },
    sessions::{
        self,
        password::{Tries, prove},
    },
};

/// The password as it is and as it shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"current": "correct horse battery", "new": "staple the other horse"}))]
pub struct ChangeOwnPassword {
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128, format = Password)]
    current: String,
    /// 10 to 128 characters, not the user name, not the current one.
    #[validate(length(min = 10, max = 128))]
    #[schema(min_length = 10, max_length = 128, format = Password)]
    new: String,
}

/// Change one's password
///
/// One's other sessions end within 5 seconds. Five wrong passwords lock it for five minutes. Takes no key: what is kept of a
/// body for its repeats would help whoever wants to guess the password.
#[utoipa::path(tag = "account", security(("token" = ["account:own"])), request_body = ChangeOwnPassword, responses((status = 204, description = "Changed")),
    extensions(("x-errors" = json!(["login_locked"]))))]
#[post("/v1/account/password")]
pub async fn change_own_password(
    caller: Can<OwnAccount>,
    app: Data<App>,
    body: Valid<ChangeOwnPassword>,
) -> Result<HttpResponse> {
    let (county, me, session, now) = (caller.county, caller.subject, caller.session, app.clock.now());
    let tries = Tries::take(&app, format_args!("password:{county}:{me}")).await?;
    let scope = caller.scope;
    let member = app.db.read("account", move |conn| store::find(conn, scope, me)).await?.ok_or(Code::SessionEnded)?;
    let ChangeOwnPassword { current, new } = body.value;
    let Some(hash) = member.password_hash.clone() else { return Err(Code::SessionEnded.into()) };
    if !crypto::verify_password(current.clone(), Some(hash.clone())).await {
        return Err(Error::field("/current", "password_wrong", "原密码不正确", "this is not the current password"));
    }
    tries.forget(&app).await;
    if let Some((code, zh, en)) = password_fault(&new, &member.username, Some(&current)) {
        return Err(Error::field("/new", code, zh, en));
    }
    let new_hash = crypto::hash_password_in_turn(new).await?;
    let (who, entry) = (Caller::clone(&caller), Audit::new("change_password", "staff", me));
    let write = app.db.write("change_own_password", move |conn| {
        let now_stored = store::lock_to_change(conn, county, me)?.password_hash;
        if now_stored.as_ref() != Some(&hash) {
            // Reset or changed meanwhile.
            return Err(Code::SessionEnded.into());
        }
        store::set_password(conn, county, me, &new_hash, None)?;
        sessions::end_others_of_staff(conn, county, (me, session), "password", now)?;
        audit::record(conn, &who, now, &entry)?;
        Ok(())
    });
    write.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Who wants to set one-time codes up; no session is needed, because none may be had without them.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"county": "350425", "username": "chen.xiaolan", "password": "correct horse battery"}))]
pub struct EnrolTotp {
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
}

/// The secret of one-time codes, shown this once.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "uri": "otpauth://totp/%E8%BF%9E%E5%BF%83:chen.xiaolan?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=%E8%BF%9E%E5%BF%83"}))]
pub struct TotpView {
    /// Base32, to be typed.
    pub secret: String,
    /// To be shown as a QR code.
    pub uri: String,
}

/// Set one-time codes up
///
/// RFC 6238: SHA-1, six digits, 30 s. The first login with a right `totp` confirms the secret; until then another call makes
/// another. The same limits and lock as logging in. Takes no key and is never replayed.
#[utoipa::path(tag = "account", security(()), request_body = EnrolTotp, responses((status = 200, description = "The secret", body = TotpView)),
    extensions(("x-errors" = json!(["login_failed", "login_locked", "too_many_requests", "account_disabled", "county_suspended", "totp_enrolled"]))))]
#[post("/v1/account/totp/enrol")]
pub async fn enrol_totp(app: Data<App>, request: HttpRequest, body: Valid<EnrolTotp>) -> Result<HttpResponse> {
    let EnrolTotp { county, username, password } = body.value;
    let proved = prove(&app, &request, &county, &username, &password).await?;
    // The password was right; the code is still to be shown.
    proved.tries.give_back(&app).await;
    proved.county.working()?;
    let (county, account, now) = (proved.county, proved.account, app.clock.now());
    let secret = crypto::totp::new_secret();
    let issuer = format!("连心 {}", county.name);
    let (base32, uri) = crypto::totp::shown(&secret, &issuer, &account.username).map_err(Error::internal)?;
    let (number, id) = (county.id, account.id);
    let sealed = app.keys.seal(number, &credentials::totp_place(id), &secret);
    let role = account.posts.first().map_or("staff", |(role, _)| role.as_str());
    let entry = Audit::new("enrol_totp", "staff", id);
    let write = app.db.write("enrol_totp", move |conn| {
        if store::lock(conn, number, id)?.password_hash.as_ref() != Some(&proved.hash) {
            return Err(Code::LoginFailed.into());
        }
        if !credentials::set_totp(conn, number, id, &sealed)? {
            return Err(Code::TotpEnrolled.into());
        }
        Ok(audit::record(conn, Actor { county: number, id, role }, now, &entry)?)
    });
    write.await?;
    let no_store = (header::CACHE_CONTROL, "no-store");
    Ok(HttpResponse::Ok().insert_header(no_store).json(TotpView { secret: base32, uri }))
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct CreateWechatCode {}

/// A code that binds a WeChat account, shown this once.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"code": "7KQ2MXW9HT", "good_until": "2026-11-23T08:10:00+08:00"}))]
pub struct WechatCodeView {
    /// To be typed in the mini-program.
    pub code: String,
    pub good_until: DateTime<FixedOffset>,
}

/// Get a code that binds one's WeChat account
///
/// Good once, for 10 minutes; only the newest. Needs a session by password. Takes no key and is never replayed.
#[utoipa::path(tag = "account", security(("token" = ["account:own"])), request_body = CreateWechatCode,
    responses((status = 200, description = "The code", body = WechatCodeView)))]
#[post("/v1/account/wechat_code")]
pub async fn create_wechat_code(
    caller: Can<OwnAccount>,
    app: Data<App>,
    _body: Valid<CreateWechatCode>,
) -> Result<HttpResponse> {
    let (county, me, session, now) = (caller.county, caller.subject, caller.session, app.clock.now());
    let inner = app.clone();
    let write = app.db.write("create_wechat_code", move |conn| {
        if !sessions::lock(conn, county, session)?.is_some_and(|session| session.by_password) {
            let (zh, en) = ("请用密码登录后再获取绑定码", "log in with the password to get a binding code");
            return Err(Error::new(Code::Forbidden).detail(zh, en));
        }
        store::lock_to_change(conn, county, me)?;
        Ok(codes::issue(conn, &inner.keys, county, (WECHAT_CODE, me), now)?)
    });
    let good_until = (now + WECHAT_CODE.life).with_timezone(&CST);
    let view = WechatCodeView { code: write.await?, good_until };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct UnbindWechat {}

/// Unbind one's WeChat account
///
/// Sessions stay; end them in the list of devices. A second time changes nothing.
#[utoipa::path(tag = "account", security(("token" = ["account:own"])), params(IdempotencyHeader), request_body = UnbindWechat,
    responses((status = 200, description = "Unbound", body = StaffView)))]
#[post("/v1/account/unbind_wechat")]
pub async fn unbind_wechat(
    caller: Can<OwnAccount>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<UnbindWechat>,
) -> Result<Answer> {
    let once = Once::new(&caller, "unbind_wechat", key, body.digest);
    let (county, who, now) = (caller.county, Caller::clone(&caller), app.clock.now());
    let entry = Audit::new("unbind_wechat", "staff", caller.subject);
    app.once(once, move |conn| {
        let mut member = store::lock(conn, county, who.subject)?;
        if credentials::unbind_wechat(conn, county, who.subject)? {
            audit::record(conn, &who, now, &entry)?;
            member = store::touch(conn, county, who.subject, now)?;
        }
        Answer::ok(member.version, &view(conn, &who, member, now)?)
    })
    .await
}
