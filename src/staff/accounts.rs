//! What an administrator does with an account: open it, reset it, see and end its sessions, enable it again.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    cover, credentials,
    model::{StaffState, StaffView},
    routes::view,
    store,
};
use crate::{
    app::App,
    audit::{self, Actor, Audit},
    clock::CST,
    crypto,
    error::{Code, Result},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        limits,
        permissions::WriteStaff,
        valid::{Id, Valid},
    },
    sessions::{self, devices::DeviceView},
    todos,
};

/// How long a one-time password is good.
const ONE_TIME: TimeDelta = TimeDelta::hours(24);

/// A one-time password has 59 bits, and five tries.
const ONE_TIME_LENGTH: usize = 12;

/// Sets a one-time password, ends every session and unbinds WeChat; the user name, and what changed.
fn set_one_time(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    (hash, until): (&str, DateTime<Utc>),
    now: DateTime<Utc>,
) -> Result<(String, Vec<&'static str>)> {
    let member = store::lock_to_change(conn, county, id)?;
    store::set_password(conn, county, id, hash, Some(until))?;
    sessions::end_all_of_staff(conn, county, id, "password", now)?;
    let mut fields = vec!["password"];
    fields.extend(credentials::unbind_wechat(conn, county, id)?.then_some("wechat"));
    store::touch(conn, county, id, now)?;
    Ok((member.username, fields))
}

/// The same from the command line, for a county whose administrators cannot log in themselves; the one-time password.
pub async fn reset_by_operator(app: &App, county: i32, username: String) -> Result<String> {
    let (one_time_password, now) = (crypto::random_code(ONE_TIME_LENGTH), app.clock.now());
    let hash = crypto::hash_password_in_turn(one_time_password.clone()).await?;
    let entry = Audit::new("reset_password", "staff", Uuid::nil());
    let reset = app.db.write("reset_staff_password", move |conn| {
        let account = store::account(conn, county, &username)?.ok_or(Code::NotFound)?;
        let (_, fields) = set_one_time(conn, county, account.id, (&hash, now + ONE_TIME), now)?;
        Ok(audit::record(conn, Actor::operator(county), now, &entry.of(account.id).fields(fields))?)
    });
    reset.await?;
    Ok(one_time_password)
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct ResetStaffPassword {}

/// A one-time password, shown this once.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"username": "chen.xiaolan", "one_time_password": "7KQ2MXW9HT4C", "good_until": "2026-11-24T08:00:00+08:00"}))]
pub struct OneTimePasswordView {
    pub username: String,
    /// Good once: the login with it must set a new password. Tell it to nobody else.
    pub one_time_password: String,
    pub good_until: DateTime<FixedOffset>,
}

/// Open an account, or reset its password
///
/// Answers a one-time password, once, good for 24 hours; the login with it must set another. Every session of the account
/// ends within 5 seconds, and a bound WeChat account is unbound. One's own is changed with `/v1/account/password` instead: an
/// administrator who lost the one-time password would be locked out. Takes no key and is never replayed.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), params(("id" = Uuid, Path, description = "The member of staff")),
    request_body = ResetStaffPassword, responses((status = 200, description = "The one-time password", body = OneTimePasswordView)),
    extensions(("x-errors" = json!(["staff_not_active", "own_account", "too_many_requests"]))))]
#[post("/v1/staff/{id}/reset_password")]
pub async fn reset_staff_password(
    caller: Can<WriteStaff>,
    id: Id,
    app: Data<App>,
    _body: Valid<ResetStaffPassword>,
) -> Result<HttpResponse> {
    if id.0 == caller.subject {
        return Err(Code::OwnAccount.into());
    }
    limits::take(&app, "resets", &format!("{}:{}", caller.county, caller.subject), 30).await?;
    let (county, who, now) = (caller.county, Caller::clone(&caller), app.clock.now());
    let (one_time_password, until) = (crypto::random_code(ONE_TIME_LENGTH), now + ONE_TIME);
    let hash = crypto::hash_password_in_turn(one_time_password.clone()).await?;
    let entry = Audit::new("reset_password", "staff", id.0);
    let reset = app.db.write("reset_staff_password", move |conn| {
        let (username, fields) = set_one_time(conn, county, id.0, (&hash, until), now)?;
        audit::record(conn, &who, now, &entry.clone().fields(fields))?;
        Ok(username)
    });
    let view = OneTimePasswordView { username: reset.await?, one_time_password, good_until: until.with_timezone(&CST) };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct EnableStaff {}

/// Enable an account again
///
/// One that was disabled because nobody logged in for long. The days count anew.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), params(("id" = Uuid, Path, description = "The member of staff"), IdempotencyHeader),
    request_body = EnableStaff, responses((status = 200, description = "Enabled", body = StaffView)),
    extensions(("x-errors" = json!(["staff_active", "already_dismissed"]))))]
#[post("/v1/staff/{id}/enable")]
pub async fn enable_staff(
    caller: Can<WriteStaff>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<EnableStaff>,
) -> Result<Answer> {
    let once = Once::new(&caller, "enable_staff", key, body.digest);
    let (county, who, now) = (caller.county, Caller::clone(&caller), app.clock.now());
    let entry = Audit::new("enable", "staff", id.0);
    app.once(once, move |conn| {
        store::lock_county(conn, county)?;
        match store::lock(conn, county, id.0)?.state {
            StaffState::Disabled => {}
            StaffState::Active => return Err(Code::StaffActive.into()),
            StaffState::Dismissed => return Err(Code::AlreadyDismissed.into()),
        }
        store::set_state(conn, county, id.0, StaffState::Active, now)?;
        // Whoever stood in beyond them does so no more.
        sessions::end_uncovered(conn, county, now)?;
        cover::told(conn, county, id.0, now)?;
        todos::drop_about(conn, county, todos::Kind::Decide, ("staff", id.0), now)?;
        audit::record(conn, &who, now, &entry)?;
        let member = store::touch(conn, county, id.0, now)?;
        Answer::ok(member.version, &view(conn, &who, member, now)?)
    })
    .await
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct ResetStaffTotp {}

/// Reset one-time codes
///
/// For somebody who has lost their authenticator: they set it up anew.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), params(("id" = Uuid, Path, description = "The member of staff"), IdempotencyHeader),
    request_body = ResetStaffTotp, responses((status = 200, description = "Reset", body = StaffView)), extensions(("x-errors" = json!(["staff_not_active"]))))]
#[post("/v1/staff/{id}/reset_totp")]
pub async fn reset_staff_totp(
    caller: Can<WriteStaff>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<ResetStaffTotp>,
) -> Result<Answer> {
    let once = Once::new(&caller, "reset_staff_totp", key, body.digest);
    let (county, who, now) = (caller.county, Caller::clone(&caller), app.clock.now());
    let entry = Audit::new("reset_totp", "staff", id.0);
    app.once(once, move |conn| {
        store::lock_to_change(conn, county, id.0)?;
        credentials::forget_totp(conn, county, id.0)?;
        audit::record(conn, &who, now, &entry)?;
        let member = store::touch(conn, county, id.0, now)?;
        Answer::ok(member.version, &view(conn, &who, member, now)?)
    })
    .await
}

/// Live sessions of somebody.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct StaffSessionsView {
    /// At most 200, newest first.
    pub items: Vec<DeviceView>,
}

/// Sessions of a member of staff
///
/// Those that live, newest first, at most 200.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), params(("id" = Uuid, Path, description = "The member of staff")),
    responses((status = 200, description = "The sessions", body = StaffSessionsView)))]
#[get("/v1/staff/{id}/sessions")]
pub async fn list_staff_sessions(caller: Can<WriteStaff>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (scope, current, now) = (caller.scope, caller.session, app.clock.now());
    let read = app.db.read("list_staff_sessions", move |conn| {
        store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        Ok(sessions::live_of_staff(conn, scope.county, id.0, now)?)
    });
    let items = read.await?.into_iter().map(|session| DeviceView::new(session, current)).collect();
    Ok(HttpResponse::Ok().json(StaffSessionsView { items }))
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct EndStaffSessions {}

/// How many sessions ended.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"ended": 2}))]
pub struct EndedView {
    pub ended: usize,
}

/// End every session of a member of staff
///
/// For a lost phone. Takes effect within 5 seconds; a bound WeChat account is unbound, because the phone could log in with it.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), params(("id" = Uuid, Path, description = "The member of staff"), IdempotencyHeader),
    request_body = EndStaffSessions, responses((status = 200, description = "Ended", body = EndedView)))]
#[post("/v1/staff/{id}/end_sessions")]
pub async fn end_staff_sessions(
    caller: Can<WriteStaff>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<EndStaffSessions>,
) -> Result<Answer> {
    let once = Once::new(&caller, "end_staff_sessions", key, body.digest);
    let (county, who, now) = (caller.county, Caller::clone(&caller), app.clock.now());
    let entry = Audit::new("end_sessions", "staff", id.0);
    app.once(once, move |conn| {
        let mut member = store::lock(conn, county, id.0)?;
        let ended = sessions::end_all_of_staff(conn, county, id.0, "device", now)?;
        let mut fields = vec!["sessions"];
        if credentials::unbind_wechat(conn, county, id.0)? {
            fields.push("wechat");
            member = store::touch(conn, county, id.0, now)?;
        }
        audit::record(conn, &who, now, &entry.clone().fields(fields))?;
        Answer::ok(member.version, &EndedView { ended })
    })
    .await
}
