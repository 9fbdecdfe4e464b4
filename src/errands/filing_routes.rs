//! Filing over HTTP: a draft, its changes, and handing it in.

use actix_web::{post, put, web::Data};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    acting::Frame,
    content,
    filing::{self, Draft, Filing},
    model::{ErrandState, Provided},
    refusals::StepError,
    store::{self, Seen},
    views::ErrandView,
};
use crate::{
    app::App,
    error::{Code, Error, Lang, Result},
    http::{
        caller::{Caller, Can},
        command::Command,
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::{Answer, Once},
        permissions::FileErrands,
        valid::{Id, Valid},
    },
    matters::Answers,
};

/// What is handed over to be done.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"matter_id": "0199a0c0-0000-7000-8000-0000000000b1", "answers": {}, "materials": [{"key": "id_card", "in_person": true}]}))]
pub struct FileErrand {
    /// A matter with a version in effect; the errand keeps that version.
    pub matter_id: Uuid,
    /// For whom; required of staff. Residents file for themselves by default, or for somebody who lets them (`/proxies`).
    pub resident_id: Option<Uuid>,
    /// The resident's live mandate; required of staff.
    pub mandate_id: Option<Uuid>,
    /// As the version's JSON Schema wants it; may follow later, but must be there to submit.
    #[schema(value_type = Option<Object>)]
    pub form: Option<Value>,
    /// Answers to the version's questions, by key.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub answers: Answers,
    /// What is there; 0 to 50.
    #[serde(default)]
    #[validate(length(max = 50), nested)]
    #[schema(max_items = 50)]
    pub materials: Vec<Provided>,
}

/// What a draft says instead.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"answers": {}, "materials": [{"key": "id_card", "in_person": true}]}))]
pub struct UpdateErrand {
    /// As the version's JSON Schema wants it.
    #[schema(value_type = Option<Object>)]
    pub form: Option<Value>,
    /// Answers to the version's questions, by key.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub answers: Answers,
    /// What is there; 0 to 50.
    #[serde(default)]
    #[validate(length(max = 50), nested)]
    #[schema(max_items = 50)]
    pub materials: Vec<Provided>,
}

/// File an errand
///
/// Makes a draft, which may still lack something; what is there is checked, and every fault told. For oneself, for somebody who lets
/// one, or, by an agent, under the resident's mandate. The number is for the phone; it tells nothing but the day.
#[utoipa::path(tag = "errands", security(("token" = ["errands:file"])), params(IdempotencyHeader), request_body = FileErrand,
    responses((status = 201, description = "The draft", body = ErrandView)), extensions(("x-errors" = json!(["proxy_not_allowed", "unit_unknown"]))))]
#[post("/v1/errands")]
pub async fn file_errand(caller: Can<FileErrands>, command: Command<FileErrand>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "file_errand", key, digest);
    let FileErrand { matter_id: matter, resident_id: resident, mandate_id: mandate, form, answers, materials } = body;
    let draft = Draft { matter, resident, mandate, form, answers, materials };
    let frame = Frame::of(&app, &caller.county_key).await?;
    let filing = Filing { id: Uuid::now_v7(), who: Caller::clone(&caller), scope: caller.scope, draft, frame };
    let inner = app.clone();
    app.once(once, move |conn| {
        let row = filing.run(conn, &inner)?;
        let view = ErrandView::new(&inner, &filing.who, lang, &row, filing.frame.today)?;
        Answer::created(format!("/v1/errands/{}", row.id), row.version, &view)
    })
    .await
}

/// Change a draft
///
/// Replaces form, answers and materials; files that no material has any more are let go of. What was submitted is changed by steps only.
#[utoipa::path(tag = "errands", security(("token" = ["errands:file"])), params(("id" = Uuid, Path, description = "The errand"), IfMatchHeader),
    request_body = UpdateErrand, responses((status = 200, description = "The draft", body = ErrandView)), extensions(("x-errors" = json!(["errand_state"]))))]
#[put("/v1/errands/{id}")]
pub async fn update_errand(
    caller: Can<FileErrands>,
    id: Id,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<UpdateErrand>,
) -> Result<Answer> {
    let frame = Frame::of(&app, &caller.county_key).await?;
    let (who, scope, inner, sent) = (Caller::clone(&caller), caller.scope, app.clone(), body.value);
    let write = app.db.write("update_errand", move |conn| {
        let (county, by, today) = (who.county, Seen::by(&who, scope), frame.today);
        let row = store::find(conn, county, by, id.0, today)?.ok_or(Code::NotFound)?;
        seen.check(row.version)?;
        if !who.is_resident() && !row.mandated {
            return Err(StepError::MandateEnded.into());
        }
        if row.state != ErrandState::Draft {
            return Err(StepError::State { state: row.state }.into());
        }
        let version = inner.versions.get(conn, (county, row.matter_id, row.matter_version))?;
        let wrong = filing::faults(&version, sent.form.as_ref(), &sent.answers, &sent.materials);
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        let form = filing::sealed_form(&inner, county, row.id, sent.form.as_ref())?;
        content::redraft(conn, &who, &row, &sent.materials, frame.now)?;
        let said = (form, json!(sent.answers), json!(sent.materials));
        if !store::redraft(conn, &row, said, frame.now)? {
            return Err(Code::VersionStale.into());
        }
        let row = store::find(conn, county, by, id.0, today)?.ok_or(Code::NotFound)?;
        Answer::ok(row.version, &ErrandView::new(&inner, &who, lang, &row, today)?)
    });
    write.await
}
