//! Mandates over HTTP: given, seen, revoked.

use actix_web::{HttpResponse, get, post, web::Data};
use chrono::{DateTime, Days, FixedOffset, NaiveDate};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    content::{self, MANDATE},
    mandates::{self, Give, Mandate, words_place},
};
use crate::{
    app::App,
    attachments::{self, Attach},
    audit::{self, Audit},
    clock::{CST, local_date},
    error::{Code, Error, FieldError, Result, Text},
    http::{
        caller::{Caller, Can, Scope},
        command::Command,
        document::IdempotencyHeader,
        idempotency::{Answer, Once},
        page::{self, After, Page},
        permissions::{ReadErrands, WriteMandates},
        valid::{Id, Query},
    },
    matters, people,
    proxies::{self, May, model::GivenHow},
};

/// The longest that a mandate holds, in days.
const LONGEST: u64 = 366;

/// A mandate (委托): what an agent may do for a resident.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d7", "resident_id": "0199a0c0-0000-7000-8000-00000000000a", "agent_id": null,
    "unit_id": "0199a0c0-0000-7000-8000-000000000002", "matter_id": "0199a0c0-0000-7000-8000-0000000000b1", "given_how": "spoken",
    "given_by": "0199a0c0-0000-7000-8000-0000000000a1", "given_by_resident": null, "words": "我腿脚不便，请帮我办医保", "attachment_ids": [], "valid_until": "2027-02-21",
    "live": true, "revoked_at": null, "version": 1, "created_at": "2026-11-23T08:00:00+08:00"}))]
pub struct MandateView {
    pub id: Uuid,
    pub resident_id: Uuid,
    /// The agent (代办员); none: whoever answers for the errand.
    pub agent_id: Option<Uuid>,
    pub unit_id: Uuid,
    /// Only for this matter; none: for all.
    pub matter_id: Option<Uuid>,
    pub given_how: GivenHow,
    /// The member of staff who recorded it.
    pub given_by: Option<Uuid>,
    /// The relative or carer who gave it for the resident.
    pub given_by_resident: Option<Uuid>,
    /// What was said.
    pub words: Option<String>,
    /// The photo of the signature, or the recording of what was said; for whoever sees the mandate.
    pub attachment_ids: Vec<Uuid>,
    /// The last day.
    pub valid_until: NaiveDate,
    /// Neither revoked nor run out.
    pub live: bool,
    pub revoked_at: Option<DateTime<FixedOffset>>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
}

impl MandateView {
    fn new(app: &App, row: Mandate) -> Result<Self> {
        let open = |sealed: &Vec<u8>| app.keys.open_text(row.county_id, &words_place(row.id), sealed);
        Ok(Self {
            id: row.id,
            resident_id: row.resident_id,
            agent_id: row.agent_id,
            unit_id: row.unit_id,
            matter_id: row.matter_id,
            given_how: row.given_how,
            given_by: row.given_by,
            given_by_resident: row.given_by_resident,
            words: row.words.as_ref().map(open).transpose()?,
            attachment_ids: serde_json::from_value(row.attachment_ids).map_err(Error::internal)?,
            valid_until: row.valid_until,
            live: row.revoked_at.is_none() && row.valid_until >= local_date(app.clock.now()),
            revoked_at: row.revoked_at.map(|at| at.with_timezone(&CST)),
            version: row.version,
            created_at: row.created_at.with_timezone(&CST),
        })
    }
}

/// What an agent may do.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"given_how": "spoken", "words": "我腿脚不便，请帮我办医保", "valid_until": "2027-02-21"}))]
pub struct GiveMandate {
    /// The agent; by default whoever answers for the errand.
    pub agent_id: Option<Uuid>,
    /// Only for this matter; by default for all.
    pub matter_id: Option<Uuid>,
    /// Staff say how the resident gave it: `signed` or `spoken`. Residents leave it out.
    #[schema(inline)]
    pub given_how: Option<GivenHow>,
    /// What was said, 2 to 500 characters; required for `spoken`.
    #[validate(length(min = 2, max = 500))]
    #[schema(min_length = 2, max_length = 500)]
    pub words: Option<String>,
    /// Staff: the photo of the signature, or the recording of what was said; up to 9 of the caller's own uploads.
    #[serde(default)]
    #[validate(length(max = 9))]
    #[schema(max_items = 9)]
    pub attachment_ids: Vec<Uuid>,
    /// The last day, at most 366 days from today; 90 days from today by default.
    pub valid_until: Option<NaiveDate>,
}

impl GiveMandate {
    /// How it was given and until when, or every fault.
    fn checked(&self, caller: &Caller, today: NaiveDate) -> Result<(GivenHow, NaiveDate)> {
        let mut wrong = content::twice(&self.attachment_ids, "/attachment_ids");
        let given_how = GivenHow::told(caller.is_resident(), self.given_how, "given_how").unwrap_or_else(|fault| {
            wrong.push(fault);
            GivenHow::Spoken
        });
        let mut say = |pointer: &str, code: &'static str, text| wrong.push(FieldError::body(pointer, code, text));
        if given_how == GivenHow::Spoken && self.words.is_none() && !caller.is_resident() {
            say("/words", "required", Text::fixed("口头委托须记录原话", "write down what was said"));
        }
        if caller.is_resident() && !self.attachment_ids.is_empty() {
            say("/attachment_ids", "not_for_residents", Text::fixed("由工作人员附上", "only staff attach a proof"));
        }
        let until = self.valid_until.unwrap_or(today + Days::new(90));
        if until < today || until > today + Days::new(LONGEST) {
            say("/valid_until", "range", Text::fixed("须在今天起 366 天以内", "must be within 366 days from today"));
        }
        if wrong.is_empty() { Ok((given_how, until)) } else { Err(Error::invalid(wrong)) }
    }
}

/// The resident, for themselves, for those who let them, or for staff within reach.
pub fn resident(
    conn: &mut diesel::PgConnection,
    who: &Caller,
    scope: Scope,
    id: Uuid,
    today: NaiveDate,
) -> Result<people::Resident> {
    let whole = Scope { county: scope.county, reach: crate::http::caller::Reach::County };
    let own = who.is_resident()
        && (id == who.subject || proxies::acts_for(conn, who.county, (id, who.subject), May::Errand, today)?);
    let reach = if own { whole } else { scope };
    people::find(conn, reach, id)?.ok_or(Code::NotFound.into())
}

/// Give a mandate
///
/// By the resident or somebody who lets them, or recorded by staff who heard or saw it. An agent handles an errand only while it
/// holds.
#[utoipa::path(tag = "errands", security(("token" = ["mandates:write"])), params(("id" = Uuid, Path, description = "The resident"), IdempotencyHeader),
    request_body = GiveMandate, responses((status = 201, description = "The mandate", body = MandateView)), extensions(("x-errors" = json!(["unit_unknown"]))))]
#[post("/v1/residents/{id}/mandates")]
pub async fn give_mandate(caller: Can<WriteMandates>, id: Id, command: Command<GiveMandate>) -> Result<Answer> {
    let Command { key, app, body, digest, .. } = command;
    let once = Once::new(&caller, "give_mandate", key, digest);
    let (who, scope, now, inner) = (Caller::clone(&caller), caller.scope, app.clock.now(), app.clone());
    let (today, new, entry) = (local_date(now), Uuid::now_v7(), Audit::new("give_mandate", "resident", id.0));
    app.once(once, move |conn| {
        let person = resident(conn, &who, scope, id.0, today)?;
        let (given_how, valid_until) = body.checked(&who, today)?;
        let unit = person.unit_id.or(who.unit).ok_or(Code::UnitUnknown)?;
        if let Some(matter) = body.matter_id
            && matters::find(conn, who.county, matter)?.is_none()
        {
            return Err(Error::field("/matter_id", "unknown_matter", "没有这个事项", "there is no such matter"));
        }
        if let Some(agent) = body.agent_id
            && !mandates::is_agent(conn, who.county, agent, unit)?
        {
            let (zh, en) = ("须为该村或上级单位在岗的工作人员", "must have a post in the resident's unit or above it");
            return Err(Error::field("/agent_id", "unknown_agent", zh, en));
        }
        let seal = |words: &String| inner.keys.seal(who.county, &words_place(new), words.as_bytes());
        let other = who.is_resident() && who.subject != person.id;
        let give = Give {
            county: who.county,
            id: new,
            resident: person.id,
            agent: body.agent_id,
            unit,
            matter: body.matter_id,
            given_how,
            given_by: who.staff(),
            given_by_resident: other.then_some(who.subject),
            words: body.words.as_ref().map(seal),
            attachment_ids: json!(body.attachment_ids),
            valid_until,
            now,
        };
        let row: Mandate = diesel::RunQueryDsl::get_result(give, conn)?;
        let (county, resident, by) = (who.county, Some(person.id), (&who).into());
        let to = Attach { county, about: MANDATE, about_id: new, resident, by, pointer: "/attachment_ids", now };
        attachments::attach(conn, &to, &body.attachment_ids)?;
        audit::record(conn, &who, now, &entry.of(person.id))?;
        let view = MandateView::new(&inner, row)?;
        Answer::created(format!("/v1/mandates/{new}"), view.version, &view)
    })
    .await
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MandatesQuery {
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List mandates
///
/// Those that hold and those that do not any more, oldest first.
#[utoipa::path(tag = "errands", security(("token" = ["errands:read"])), params(("id" = Uuid, Path, description = "The resident"), MandatesQuery),
    responses((status = 200, description = "A page of mandates", body = Page<MandateView>)))]
#[get("/v1/residents/{id}/mandates")]
pub async fn list_mandates(
    caller: Can<ReadErrands>,
    id: Id,
    app: Data<App>,
    query: Query<MandatesQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let (limit, count) = (page::limit(query.limit)?, query.count.unwrap_or(false));
    let after = page::after(&app.keys, "mandates", query.cursor.as_deref())?.unwrap_or(After::START);
    let (who, scope, today) = (Caller::clone(&caller), caller.scope, local_date(app.clock.now()));
    let read = app.db.read("list_mandates", move |conn| {
        let person = resident(conn, &who, scope, id.0, today)?.id;
        let total = if count { Some(mandates::count(conn, who.county, person)?) } else { None };
        Ok((mandates::list(conn, who.county, person, after, limit)?, total))
    });
    let (rows, total) = read.await?;
    let place = |row: &Mandate| After { at: row.created_at, id: row.id };
    let page = page::cut(&app.keys, "mandates", rows, limit as usize, place, |row| MandateView::new(&app, row))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// One mandate
///
/// For the resident, those who act for them, and staff within reach.
#[utoipa::path(tag = "errands", security(("token" = ["errands:read"])), params(("id" = Uuid, Path, description = "The mandate")),
    responses((status = 200, description = "The mandate", body = MandateView)))]
#[get("/v1/mandates/{id}")]
pub async fn get_mandate(caller: Can<ReadErrands>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (who, scope, today) = (Caller::clone(&caller), caller.scope, local_date(app.clock.now()));
    let read = app.db.read("get_mandate", move |conn| {
        let row = mandates::find(conn, who.county, id.0)?.ok_or(Code::NotFound)?;
        resident(conn, &who, scope, row.resident_id, today)?;
        Ok(row)
    });
    Ok(HttpResponse::Ok().json(MandateView::new(&app, read.await?)?))
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct RevokeMandate {}

/// Revoke a mandate
///
/// At any time, at once: no agent takes a further step under it.
#[utoipa::path(tag = "errands", security(("token" = ["mandates:write"])), params(("id" = Uuid, Path, description = "The mandate"), IdempotencyHeader),
    request_body = RevokeMandate, responses((status = 200, description = "Revoked", body = MandateView)), extensions(("x-errors" = json!(["mandate_revoked"]))))]
#[post("/v1/mandates/{id}/revoke")]
pub async fn revoke_mandate(caller: Can<WriteMandates>, id: Id, command: Command<RevokeMandate>) -> Result<Answer> {
    let Command { key, app, digest, .. } = command;
    let once = Once::new(&caller, "revoke_mandate", key, digest);
    let (who, scope, now, inner) = (Caller::clone(&caller), caller.scope, app.clock.now(), app.clone());
    let entry = Audit::new("revoke_mandate", "resident", Uuid::nil());
    app.once(once, move |conn| {
        let row = mandates::find(conn, who.county, id.0)?.ok_or(Code::NotFound)?;
        resident(conn, &who, scope, row.resident_id, local_date(now))?;
        let row = mandates::revoke(conn, who.county, id.0, now)?.ok_or(Code::MandateRevoked)?;
        audit::record(conn, &who, now, &entry.of(row.resident_id))?;
        let view = MandateView::new(&inner, row)?;
        Answer::ok(view.version, &view)
    })
    .await
}
