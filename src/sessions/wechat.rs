//! Staff log in with a WeChat account that is bound to theirs.

use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    password::Tries,
    start::{Proof, TokensView, acting, count_login, start_staff},
};
use crate::{
    app::App,
    audit::{self, Actor, Audit},
    error::{Code, Result},
    http::{limits, permissions::Role, valid::Valid},
    staff::{self, credentials, model::StaffState},
    units::County,
    wechat,
};

/// Binding codes that an address may try in a minute.
const BINDINGS_PER_MINUTE: u32 = 10;

/// A WeChat login code, as what to act, and a code that binds the account.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"county": "350425", "code": "0e3Xyz…", "role": "village_cadre", "bind_code": "7KQ2MXW9HT"}))]
pub struct LogInStaffByWechat {
    /// Tenant key of the county; its mini-program issued the code.
    #[validate(length(min = 1, max = 32))]
    #[schema(min_length = 1, max_length = 32)]
    county: String,
    /// What `wx.login` gave the mini-program; good once, for 5 minutes.
    #[validate(length(min = 1, max = 256))]
    #[schema(min_length = 1, max_length = 256)]
    code: String,
    /// The post to act in: one's own, or that of an absent colleague whose deputy one is.
    role: Role,
    /// The unit of the post; needed only by those who hold the role in several.
    unit_id: Option<Uuid>,
    /// From `/v1/account/wechat_code`, the first time: binds this WeChat account.
    #[validate(length(max = 32))]
    #[schema(max_length = 32)]
    bind_code: Option<String>,
    /// What the device calls itself. Up to 100 characters.
    #[validate(length(max = 100))]
    #[schema(max_length = 100)]
    device: Option<String>,
}

/// Log in as staff with WeChat
///
/// For staff whose account has a WeChat account bound to it; `bind_code` binds it first. A WeChat account is bound to one
/// member of staff of a county, and one account has one. Needs Redis and WeChat: 503 without them.
#[utoipa::path(tag = "sessions", security(()), request_body = LogInStaffByWechat, responses((status = 201, description = "Logged in", body = TokensView)),
    extensions(("x-errors" = json!(["wechat_code_refused", "wechat_unavailable", "wechat_not_bound", "wechat_bound", "bind_code_refused",
        "account_disabled", "county_suspended", "login_failed", "login_locked", "too_many_requests", "not_found"]))))]
#[post("/v1/sessions/wechat_staff")]
pub async fn log_in_staff_by_wechat(
    app: Data<App>,
    request: HttpRequest,
    body: Valid<LogInStaffByWechat>,
) -> Result<HttpResponse> {
    count_login(&app, &request).await?;
    let command = body.value;
    let county = app.counties.working(&app, &command.county).await?;
    let tries = match &command.bind_code {
        Some(_) => {
            let from = limits::address(&app, &request);
            limits::take_certain(&app, "bindings", &from, BINDINGS_PER_MINUTE).await??;
            Some(Tries::take(&app, format_args!("bind:{}:{from}", county.key)).await?)
        }
        None => None,
    };
    let openid = app.wechat.openid(&app, &county, &command.code).await.map_err(wechat::Refusal::into_error)?;
    if let (Some(code), Some(tries)) = (&command.bind_code, &tries) {
        bind(&app, &county, code, &openid).await?;
        tries.forget(&app).await;
    }
    let indexes = app.keys.blinds(county.id, credentials::OPENID, &openid);
    let (number, wanted) = (county.id, indexes.clone());
    let read = app.db.read("account", move |conn| staff::store::account_by_wechat(conn, number, &wanted));
    let account = read.await?.ok_or(Code::WechatNotBound)?;
    if account.state != StaffState::Active {
        return Err(Code::AccountDisabled.into());
    }
    let acting = acting(&app, county.id, &account, command.role, command.unit_id).await?;
    start_staff(&app, &county, (account.id, acting), Proof::Wechat(indexes), command.device).await
}

/// Binds a WeChat account to whoever made the code.
async fn bind(app: &Data<App>, county: &County, code: &str, openid: &str) -> Result<()> {
    let (county, inner, now) = (county.id, app.clone(), app.clock.now());
    let known = app.keys.blinds(county, credentials::OPENID, openid);
    let (code, openid, entry) = (code.to_owned(), openid.to_owned(), Audit::new("bind_wechat", "staff", Uuid::nil()));
    let write = app.db.write("bind_wechat", move |conn| {
        let taken = credentials::take_wechat_code(conn, &inner.keys, county, &code, now)?;
        let (id, bound) = taken.ok_or(Code::BindCodeRefused)?;
        match bound {
            Some(bound) if known.contains(&bound) => return Ok(()),
            Some(_) => return Err(Code::WechatBound.into()),
            // Of a key before the current one, too: the constraint only knows equal bytes.
            None if staff::store::account_by_wechat(conn, county, &known)?.is_some() => {
                return Err(Code::WechatBound.into());
            }
            None => {}
        }
        let sealed = inner.keys.seal(county, &credentials::openid_place(id), openid.as_bytes());
        credentials::bind_wechat(conn, county, id, (&sealed, &inner.keys.blind(county, credentials::OPENID, &openid)))?;
        let role = staff::store::posts(conn, county, &[id])?.first().map_or("staff", |post| post.role.as_str());
        audit::record(conn, Actor { county, id, role }, now, &entry.of(id))?;
        staff::store::touch(conn, county, id, now)?;
        Ok(())
    });
    write.await
}
