//! A record made at the desk becomes that of a WeChat account: with a code at the desk, or by what only its owner has.

use actix_web::{HttpResponse, http::header, post, web::Data};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    merging::merge,
    model::{IdNumber, IdentityLevel, IdentitySeen, PersonName, Phone, Resident, open},
    routes::ResidentView,
    store::{self, By},
};
use crate::{
    app::App,
    audit::Audit,
    clock::{CST, local_date},
    codes::{self, Purpose},
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can, Reach, Scope},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        limits,
        permissions::{ClaimRecord, MergeResidents},
        valid::{Id, Valid},
    },
};

/// Shown at the desk, typed by the member of staff.
const CLAIM: Purpose = Purpose { name: "claim", life: TimeDelta::minutes(10) };

/// A code to be shown at the desk.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"code": "7KQ2M9XWPD", "expires_at": "2026-11-21T20:25:00+08:00"}))]
pub struct ClaimCodeView {
    /// 10 letters and digits.
    pub code: String,
    pub expires_at: chrono::DateTime<chrono::FixedOffset>,
}

/// Get a code for the desk
///
/// For a resident who logged in with WeChat and whose record was made at the desk: the member of staff types it and joins the
/// two. Good once, for 10 minutes; asking again makes the one before useless.
#[utoipa::path(tag = "residents", security(("token" = ["residents:claim"])), params(("id" = Uuid, Path, description = "Oneself")),
    responses((status = 200, description = "The code", body = ClaimCodeView)), extensions(("x-errors" = json!(["too_many_requests"]))))]
#[post("/v1/residents/{id}/claim_code")]
pub async fn issue_claim_code(caller: Can<ClaimRecord>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    limits::take(&app, "claim_codes", &format!("{}:{}", caller.county, caller.subject), 6).await?;
    let (scope, now, inner) = (caller.scope, app.clock.now(), app.clone());
    let issued = app.db.write("issue_claim_code", move |conn| {
        let row = store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        Ok(codes::issue(conn, &inner.keys, scope.county, (CLAIM, row.id), now)?)
    });
    let view = ClaimCodeView { code: issued.await?, expires_at: (now + CLAIM.life).with_timezone(&CST) };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// The code that the resident shows, and what else was seen.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "7KQ2-M9XW-PD", "identity_seen": "id_card"}))]
pub struct ClaimAtDesk {
    /// 1 to 32 characters.
    #[validate(length(min = 1, max = 32))]
    #[schema(min_length = 1, max_length = 32)]
    code: String,
    /// The proof that the person at the desk is this resident.
    identity_seen: IdentitySeen,
}

/// Let a resident claim this record at the desk
///
/// Joins the record made at the desk with the WeChat account that shows the code. The account's own record vanishes into this
/// one; the resident logs in anew and finds it. At most 6 tries a minute.
#[utoipa::path(tag = "residents", security(("token" = ["residents:merge"])), params(("id" = Uuid, Path, description = "The record made at the desk"), IdempotencyHeader),
    request_body = ClaimAtDesk, responses((status = 200, description = "The one record; masked", body = ResidentView)),
    extensions(("x-errors" = json!(["merge_contradicts", "already_claimed", "already_booked"]))))]
#[post("/v1/residents/{id}/claim")]
pub async fn claim_at_desk(
    caller: Can<MergeResidents>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<ClaimAtDesk>,
) -> Result<Answer> {
    let once = Once::new(&caller, "claim_at_desk", key, body.digest);
    limits::take(&app, "code_tries", &format!("{}:{}", caller.county, caller.subject), 6).await?;
    let (who, scope, inner, command) = (Caller::clone(&caller), caller.scope, app.clone(), body.value);
    let entry = Audit::new("claim", "resident", id.0);
    app.once(once, move |conn| {
        let record = store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        claimable(&inner, &record)?;
        let typed = (CLAIM, command.code.as_str());
        let account = codes::redeem(conn, &inner.keys, scope.county, typed, inner.clock.now())?;
        let account = account.ok_or_else(crate::proxies::invitations::code_refused)?;
        if account == record.id {
            return Err(Code::AlreadyClaimed.into());
        }
        let row = merge(conn, &inner, (&who, &entry), (account, record.id), Some(command.identity_seen))?;
        Answer::ok(row.version, &ResidentView::new(&inner, &who, &row)?)
    })
    .await
}

/// A record with a WeChat account has its owner; a child's is its guardian's.
fn claimable(app: &App, record: &Resident) -> Result<()> {
    if record.wechat_openid.is_some() {
        return Err(Code::AlreadyClaimed.into());
    }
    let number = open::<IdNumber>(&app.keys, record.county_id, record.id, record.id_number.as_deref())?;
    if number.is_some_and(|number| number.is_child(local_date(app.clock.now()))) {
        return Err(super::routes::guardian_required("/id_number"));
    }
    Ok(())
}

/// What only the owner of the record has: the name and number on the card, and the phone, which was proved before.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "陈阿婆", "id_number": "350425194806120018"}))]
pub struct ClaimByPhone {
    name: PersonName,
    id_number: IdNumber,
}

/// Which record is one's own now.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"resident_id": "0199a0c0-0000-7000-8000-00000000000a", "log_in_again": true}))]
pub struct ClaimedView {
    pub resident_id: Uuid,
    /// Always true: the session belongs to the record that has vanished.
    pub log_in_again: bool,
}

/// Claim the record that was made at the desk
///
/// For a resident who logged in with WeChat and has proved the phone (`prove_phone`). Name, ID number and that phone must all be
/// those of one record whose identity an officer has checked, and nothing that one has typed before may contradict it; the answer
/// does not tell what did not fit. Then log in again. At most 5 tries an hour.
#[utoipa::path(tag = "residents", security(("token" = ["residents:claim"])), params(("id" = Uuid, Path, description = "Oneself"), IdempotencyHeader),
    request_body = ClaimByPhone, responses((status = 200, description = "The record is one's own", body = ClaimedView)),
    extensions(("x-errors" = json!(["claim_not_proved", "identity_needed", "already_booked"]))))]
#[post("/v1/residents/{id}/claim_by_phone")]
pub async fn claim_by_phone(
    caller: Can<ClaimRecord>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<ClaimByPhone>,
) -> Result<Answer> {
    let once = Once::new(&caller, "claim_by_phone", key, body.digest);
    limits::take_hourly(&app, "claims", &format!("{}:{}", caller.county, caller.subject), 5).await?;
    let (who, scope, inner, sent) = (Caller::clone(&caller), caller.scope, app.clone(), body.value);
    let entry = Audit::new("claim", "resident", id.0);
    app.once(once, move |conn| {
        let me = store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        // Somebody whose identity an officer has checked has a record of their own; a phone that staff typed proves nothing.
        match me.identity_level {
            IdentityLevel::None => return Err(super::identity_needed(IdentityLevel::Phone)),
            IdentityLevel::Phone => {}
            IdentityLevel::Officer => return Err(Code::ClaimNotProved.into()),
        }
        let refused = || Error::from(Code::ClaimNotProved);
        let county = Scope { reach: Reach::County, ..scope };
        let by = By::IdNumber(inner.keys.blinds(scope.county, "id_number", sent.id_number.as_ref()));
        let record = store::find_by(conn, county, &by)?.into_iter().next().ok_or_else(refused)?;
        let opened = |field: Option<&[u8]>, row: &Resident| open::<Phone>(&inner.keys, row.county_id, row.id, field);
        let phones = (opened(me.phone.as_deref(), &me)?, opened(record.phone.as_deref(), &record)?);
        let name = open::<PersonName>(&inner.keys, record.county_id, record.id, record.name.as_deref())?;
        let fits = phones.0.is_some() && phones.0 == phones.1 && name.as_ref() == Some(&sent.name);
        if !fits || record.id == me.id || claimable(&inner, &record).is_err() {
            return Err(refused());
        }
        // Nothing but the account itself may contradict: a phone that two people share does not make one of them the other.
        let row = merge(conn, &inner, (&who, &entry), (me.id, record.id), None).map_err(|error| match error.code {
            Code::MergeContradicts => refused(),
            _ => error,
        })?;
        Answer::ok(row.version, &ClaimedView { resident_id: row.id, log_in_again: true })
    })
    .await
}
