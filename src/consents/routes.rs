//! Giving, refusing, withdrawing and seeing consents over HTTP.

use actix_web::{HttpRequest, HttpResponse, get, post, web::Data};
use chrono::{DateTime, FixedOffset, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{Answered, Consent, ConsentState, DeskHow, Given, How, Purpose, Who},
    rules, store,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::CST,
    error::{Code, Error, Lang, Result},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::{ReadConsents, WriteConsents},
        valid::{Id, Valid},
    },
    people,
};

/// Where a resident stands with one purpose.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"purpose": "id_number", "purpose_name": "处理身份证号", "state": "given", "state_name": "已同意", "version": 1,
    "at": "2026-11-21T09:00:00+08:00", "how": "signed", "recorded_by": "0199a0c0-0000-7000-8000-00000000000b", "ask_version": 1}))]
pub struct ConsentView {
    pub purpose: Purpose,
    /// The purpose in the language of the request.
    pub purpose_name: String,
    pub state: ConsentState,
    /// The state in the language of the request.
    pub state_name: String,
    /// The version of the text that was answered.
    pub version: Option<i64>,
    pub at: Option<DateTime<FixedOffset>>,
    pub how: Option<How>,
    /// The member of staff who recorded it; none: answered by the resident or a guardian.
    pub recorded_by: Option<Uuid>,
    /// The version in effect, to be shown when asking; none: the county asks for no such consent.
    pub ask_version: Option<i64>,
}

impl ConsentView {
    fn new(purpose: Purpose, latest: Option<&Consent>, in_effect: Option<i64>, lang: Lang) -> Self {
        let state = rules::state(latest, in_effect);
        Self {
            purpose,
            purpose_name: purpose.words().get(lang).to_owned(),
            state,
            state_name: state.words().get(lang).to_owned(),
            version: latest.map(|latest| latest.version),
            at: latest.map(|latest| latest.at.with_timezone(&CST)),
            how: latest.map(|latest| latest.how),
            recorded_by: latest.and_then(|latest| latest.by_staff),
            ask_version: in_effect,
        }
    }
}

/// Every purpose.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct ConsentsView {
    pub items: Vec<ConsentView>,
}

/// A resident's consents
///
/// Every purpose with the latest answer; `ask_version` is the text to show when asking (`GET /v1/consent_texts`).
#[utoipa::path(tag = "consents", security(("token" = ["consents:read"])), params(("id" = Uuid, Path, description = "The resident")),
    responses((status = 200, description = "One item per purpose", body = ConsentsView)))]
#[get("/v1/residents/{id}/consents")]
pub async fn list_consents(caller: Can<ReadConsents>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (scope, now) = (caller.scope, app.clock.now());
    let read = app.db.read("list_consents", move |conn| {
        let row = people::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        Ok((store::ledger(conn, scope.county, row.id)?, store::texts_in_effect(conn, scope.county, now)?))
    });
    let (ledger, texts) = read.await?;
    let view = |purpose: &Purpose| {
        let latest = ledger.iter().rfind(|entry| entry.purpose == *purpose);
        let in_effect = texts.iter().find(|text| text.purpose == *purpose).map(|text| text.version);
        ConsentView::new(*purpose, latest, in_effect, lang)
    };
    Ok(HttpResponse::Ok().json(ConsentsView { items: Purpose::ALL.iter().map(view).collect() }))
}

/// What can be answered when asked.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentAnswer {
    Given,
    Refused,
}

/// An answer to the text that was shown.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"purpose": "id_number", "version": 1, "answer": "given", "how": "in_mini_program"}))]
pub struct RecordConsent {
    purpose: Purpose,
    /// The version of the text that was shown.
    version: i64,
    answer: ConsentAnswer,
    /// Residents answer `in_mini_program` (default); staff say how they heard or saw it.
    #[schema(inline)]
    how: Option<How>,
}

/// How it was answered, or why it cannot have been answered so.
fn how(caller: &Caller, said: Option<How>) -> Result<How> {
    match (caller.is_resident(), said) {
        (true, None | Some(How::InMiniProgram)) => Ok(How::InMiniProgram),
        (false, Some(how)) if how != How::InMiniProgram => Ok(how),
        (false, None) => Err(Error::field("/how", "required", "必填：如何表示的", "is required: how it was said")),
        (true, Some(_)) => Err(Error::field(
            "/how",
            "staff_only",
            "在小程序中作答请用 in_mini_program",
            "residents answer in_mini_program",
        )),
        (false, Some(_)) => Err(Error::field(
            "/how",
            "resident_only",
            "in_mini_program 只能由居民本人作答",
            "only residents answer in_mini_program",
        )),
    }
}

fn by(caller: &Caller) -> Who {
    caller.staff().map_or(Who::Resident(caller.subject), Who::Staff)
}

/// What is recorded in one transaction: the answer, who recorded it, and the view of it.
fn recorded(
    conn: &mut PgConnection,
    (caller, lang): (&Caller, Lang),
    given: &Given,
    entry: &Audit,
    now: DateTime<Utc>,
) -> Result<(Consent, ConsentView)> {
    let consent = super::give(conn, given, now)?;
    audit::record(conn, caller, now, entry)?;
    let text = store::text_in_effect(conn, given.county, given.purpose, now)?;
    let view = ConsentView::new(given.purpose, Some(&consent), text.map(|text| text.version), lang);
    Ok((consent, view))
}

/// Answer a consent text
///
/// By the resident for oneself, or by staff who record what they heard or saw. Refusing one purpose keeps nobody from what does
/// not need it; refusing what was given before takes it back. For a child under 14 a guardian answers.
#[utoipa::path(tag = "consents", security(("token" = ["consents:write"])), params(("id" = Uuid, Path, description = "The resident"), IdempotencyHeader),
    request_body = RecordConsent, responses((status = 201, description = "Recorded", body = ConsentView)),
    extensions(("x-errors" = json!(["consent_text_changed"]))))]
#[post("/v1/residents/{id}/consents")]
pub async fn record_consent(
    caller: Can<WriteConsents>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<RecordConsent>,
) -> Result<Answer> {
    let once = Once::new(&caller, "record_consent", key, body.digest);
    let (command, who, scope, now) = (body.value, Caller::clone(&caller), caller.scope, app.clock.now());
    let (answer, action) = match command.answer {
        ConsentAnswer::Given => (Answered::Given, "give_consent"),
        ConsentAnswer::Refused => (Answered::Refused, "refuse_consent"),
    };
    let entry = Audit::new(action, "resident", id.0).fields(vec![command.purpose.as_str()]);
    app.once(once, move |conn| {
        let row = people::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        let how = how(&who, command.how)?;
        let (county, version, by) = (scope.county, Some(command.version), by(&who));
        let given = Given { county, resident: row.id, purpose: command.purpose, version, answer, how, by };
        let (consent, view) = recorded(conn, (&who, lang), &given, &entry.of(row.id), now)?;
        Answer::created(format!("/v1/residents/{}/consents", id.0), consent.seq, &view)
    })
    .await
}

/// How it was said.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"how": "in_mini_program"}))]
pub struct WithdrawConsent {
    /// As when answering.
    #[schema(inline)]
    how: Option<How>,
}

/// Withdraw a consent
///
/// As easy as giving it (个人信息保护法 art. 15). What was stored because of it goes at once: with `id_number` the ID number, by
/// which nobody finds the person any more. What was done before stays lawful.
#[utoipa::path(tag = "consents", security(("token" = ["consents:write"])),
    params(("id" = Uuid, Path, description = "The resident"), ("purpose" = Purpose, Path, description = "The purpose"), IdempotencyHeader),
    request_body = WithdrawConsent, responses((status = 200, description = "Withdrawn", body = ConsentView)),
    extensions(("x-errors" = json!(["consent_not_given"]))))]
#[post("/v1/residents/{id}/consents/{purpose}/withdraw")]
pub async fn withdraw_consent(
    caller: Can<WriteConsents>,
    id: Id,
    request: HttpRequest,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<WithdrawConsent>,
) -> Result<Answer> {
    let purpose = request.match_info().get("purpose").and_then(|purpose| purpose.parse::<Purpose>().ok());
    let purpose = purpose.ok_or(Code::NotFound)?;
    let once = Once::new(&caller, "withdraw_consent", key, body.digest);
    let (said, who, scope, now) = (body.value.how, Caller::clone(&caller), caller.scope, app.clock.now());
    let entry = Audit::new("withdraw_consent", "resident", id.0).fields(vec![purpose.as_str()]);
    app.once(once, move |conn| {
        let row = people::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        let (county, answer, how, by) = (scope.county, Answered::Withdrawn, how(&who, said)?, by(&who));
        let given = Given { county, resident: row.id, purpose, version: None, answer, how, by };
        let (consent, view) = recorded(conn, (&who, lang), &given, &entry.of(row.id), now)?;
        Answer::ok(consent.seq, &view)
    })
    .await
}

/// The consents given while a resident is registered at the desk, each once; a guardian signs for a child.
pub fn at_desk(purposes: Option<&[Purpose]>, how: Option<DeskHow>) -> Result<Vec<(Purpose, How)>> {
    let asked: Vec<Purpose> =
        Purpose::ALL.iter().copied().filter(|one| purposes.unwrap_or_default().contains(one)).collect();
    let how = match how {
        _ if asked.is_empty() => return Ok(Vec::new()),
        None => {
            let (zh, en) = ("必填：如何表示的同意", "is required: how the consents were given");
            return Err(Error::field("/consents_how", "required", zh, en));
        }
        Some(DeskHow::Signed) => How::Signed,
        Some(DeskHow::Spoken) => How::Spoken,
    };
    let one = |purpose| (purpose, if purpose == Purpose::Under14 { How::ByGuardian } else { how });
    Ok(asked.into_iter().map(one).collect())
}
