//! Staff log in with a password, and a one-time code where the county asks for it.

use std::sync::{Arc, LazyLock};

use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use redis::Script;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::start::{Acting, Proof, TokensView, acting, count_login, start_staff};
use crate::{
    app::App,
    crypto,
    error::{Code, Error, Result},
    http::{permissions::Role, valid::Valid},
    settings::Totp,
    staff::{
        self,
        model::{StaffState, password_fault},
        store::Account,
    },
    units::County,
};

/// Failures before an account is locked, and for how long.
const FAILURES: i64 = 5;
const LOCK_SECONDS: u64 = 5 * 60;

/// Adds a failure before the password is looked at, so that tries at once count too; the lock holds from the last one.
static TRY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local n = tonumber(redis.call('GET', KEYS[1]) or 0)
          if n >= tonumber(ARGV[1]) then return {n + 1, redis.call('TTL', KEYS[1])} end
          redis.call('SET', KEYS[1], n + 1, 'EX', ARGV[2])
          return {n + 1, 0}",
    )
});

/// Takes a try back that was neither a success nor a failure; the lock's time runs on.
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"if tonumber(redis.call('GET', KEYS[1]) or 0) > 0 then return redis.call('DECR', KEYS[1]) end return 0",
    )
});

/// A count of failures in a row; five lock for five minutes.
pub struct Tries(String);

impl Tries {
    /// Counts a try; 429 while locked. Needs Redis.
    pub async fn take(app: &App, of: impl std::fmt::Display) -> Result<Self> {
        let key = app.redis.key(of);
        let count = async |mut redis| {
            TRY.key(&key).arg(FAILURES).arg(LOCK_SECONDS).invoke_async::<(i64, i64)>(&mut redis).await
        };
        let (tries, locked_for) = app.redis.run(count).await?;
        if tries > FAILURES {
            return Err(Error::new(Code::LoginLocked).retry_after(locked_for.max(1) as u64));
        }
        Ok(Self(key))
    }

    /// A success: the count begins anew.
    pub async fn forget(&self, app: &App) {
        let forget = async |mut redis| redis::cmd("DEL").arg(&self.0).query_async::<i64>(&mut redis).await;
        let _ = app.redis.run(forget).await;
    }

    /// Neither success nor failure.
    pub async fn give_back(&self, app: &App) {
        let give_back = async |mut redis| GIVE_BACK.key(&self.0).invoke_async::<i64>(&mut redis).await;
        let _ = app.redis.run(give_back).await;
    }
}

/// Somebody who knows the password of an active account.
pub struct Proved {
    pub county: Arc<County>,
    pub account: Account,
    pub hash: String,
    pub tries: Tries,
}

/// Checks user name and password; limited by address, and by user name whether it exists or not.
pub async fn prove(app: &App, request: &HttpRequest, key: &str, username: &str, password: &str) -> Result<Proved> {
    count_login(app, request).await?;
    let username = username.trim().to_lowercase();
    let tries = Tries::take(app, format_args!("login:{key}:{username}")).await?;
    let county = app.counties.find(app, key).await?;
    let account = match &county {
        Some(county) => {
            let county = county.id;
            app.db.read("account", move |conn| staff::store::account(conn, county, &username)).await?
        }
        None => None,
    };
    let hash = account.as_ref().and_then(|account| account.password_hash.clone());
    let fits = crypto::verify_password(password.to_owned(), hash.clone()).await;
    let (Some(county), Some(account), Some(hash), true) = (county, account, hash, fits) else {
        return Err(Code::LoginFailed.into());
    };
    if account.one_time_until.is_some_and(|until| until <= app.clock.now()) {
        return Err(Code::LoginFailed.into());
    }
    if account.state != StaffState::Active {
        return Err(Code::AccountDisabled.into());
    }
    Ok(Proved { county, account, hash, tries })
}

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
    /// The post to act in: one's own, or that of an absent colleague whose deputy one is.
    role: Role,
    /// The unit of the post; needed only by those who hold the role in several.
    unit_id: Option<Uuid>,
    /// Replaces the password; needed with a one-time password. 10 to 128 characters, not the user name, not the old one.
    #[validate(length(min = 10, max = 128))]
    #[schema(min_length = 10, max_length = 128, format = Password)]
    new_password: Option<String>,
    /// The six digits of the authenticator, where the county asks for them.
    #[validate(length(max = 16))]
    #[schema(max_length = 16)]
    totp: Option<String>,
    /// What the device calls itself, shown in the list of devices. Up to 100 characters.
    #[validate(length(max = 100))]
    #[schema(max_length = 100)]
    device: Option<String>,
}

/// Log in with a password
///
/// For staff. Five failures lock the user name for five minutes, whether it exists or not. A one-time password needs
/// `new_password`. Where the county asks for one-time codes, `totp` is needed; those who have none set up do it with
/// `/v1/account/totp/enrol`. A deputy may act in an absent colleague's post while the absence lasts. Needs Redis: 503
/// without it.
#[utoipa::path(tag = "sessions", security(()), request_body = LogInStaff, responses((status = 201, description = "Logged in", body = TokensView)),
    extensions(("x-errors" = json!(["login_failed", "login_locked", "too_many_requests", "county_suspended", "password_change_required", "account_disabled",
        "totp_required", "totp_enrolment_required"]))))]
#[post("/v1/sessions/staff")]
pub async fn log_in_staff(app: Data<App>, request: HttpRequest, body: Valid<LogInStaff>) -> Result<HttpResponse> {
    let command = body.value;
    let proved = prove(&app, &request, &command.county, &command.username, &command.password).await?;
    let login = complete(&app, &proved, &command).await;
    let (acting, proof) = match login {
        Ok(login) => login,
        Err(error) => {
            match error.code {
                // A wrong code or post counts as a failure.
                Code::LoginFailed => {}
                // Everything was right, the code included.
                Code::PasswordChangeRequired => proved.tries.forget(&app).await,
                // Clearing the count here would let somebody with the password alone try codes without end.
                _ => proved.tries.give_back(&app).await,
            }
            return Err(error);
        }
    };
    let answer = start_staff(&app, &proved.county, (proved.account.id, acting), proof, command.device).await?;
    proved.tries.forget(&app).await;
    Ok(answer)
}

/// The post, the one-time code and the new password of a login; each may be missing or wrong.
async fn complete(app: &App, proved: &Proved, command: &LogInStaff) -> Result<(Acting, Proof)> {
    let Proved { county, account, hash, .. } = proved;
    let acting = acting(app, county.id, account, command.role, command.unit_id).await?;
    let code = second_factor(app, county, account, acting.role, command.totp.as_deref())?;
    if account.one_time_until.is_some() && command.new_password.is_none() {
        return Err(Code::PasswordChangeRequired.into());
    }
    let new_hash = match &command.new_password {
        None => None,
        Some(new) => {
            if let Some((code, zh, en)) = password_fault(new, &account.username, Some(&command.password)) {
                return Err(Error::field("/new_password", code, zh, en));
            }
            Some(crypto::hash_password_in_turn(new.clone()).await?)
        }
    };
    Ok((acting, Proof::Password { hash: hash.clone(), new_hash, code }))
}

/// Secret and step of the one-time code; none where none is needed. Whoever has set codes up is asked for them everywhere.
fn second_factor(
    app: &App,
    county: &County,
    account: &Account,
    role: Role,
    code: Option<&str>,
) -> Result<Option<(Vec<u8>, i64)>> {
    let demanded = match county.settings.staff_totp {
        Totp::Nobody => false,
        Totp::Administrators => matches!(role, Role::CountyAdmin | Role::Supervisor),
        Totp::Everybody => true,
    };
    let needed = demanded || account.totp_confirmed;
    let Some(sealed) = &account.totp_secret else {
        return if demanded { Err(Code::TotpEnrolmentRequired.into()) } else { Ok(None) };
    };
    let Some(code) = code else {
        return if needed { Err(Code::TotpRequired.into()) } else { Ok(None) };
    };
    let secret = app.keys.open(county.id, &staff::credentials::totp_place(account.id), sealed)?;
    let step = crypto::totp::step_of(&secret, code.trim(), app.clock.now());
    step.map(|step| Some((sealed.clone(), step))).ok_or(Code::LoginFailed.into())
}
