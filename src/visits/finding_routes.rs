//! Findings over HTTP: written down, looked at.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use chrono::{DateTime, FixedOffset};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    findings::{self, CaseKind, Filter, Finding, FindingKind, NewFinding},
    model::place,
    store,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::CST,
    error::{Code, Error, Lang, Result},
    http::{
        caller::{Caller, Can, Seen},
        command::Command,
        document::IdempotencyHeader,
        etag::etag,
        idempotency::{Answer, Once},
        page::{self, After, Page},
        permissions::{CheckInVisits, ReadVisits},
        valid::{Id, Query},
    },
    people,
};

/// An errand, an order or a todo that was made of a finding.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"kind": "errand", "id": "0199a0c0-0000-7000-8000-0000000000c1", "at": "2026-11-23T18:10:00+08:00"}))]
pub struct CaseView {
    pub kind: CaseKind,
    pub id: Uuid,
    pub at: DateTime<FixedOffset>,
}

/// What a visit found (民情登记).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e5", "visit_id": "0199a0c0-0000-7000-8000-0000000000d1", "household_id": "0199a0c0-0000-7000-8000-0000000000d0",
    "unit_id": "0199a0c0-0000-7000-8000-000000000002", "resident_id": "0199a0c0-0000-7000-8000-00000000000a", "kind": "concern", "kind_name": "群众诉求", "words": "想办高龄津贴",
    "by_id": "0199a0c0-0000-7000-8000-0000000000a1", "at": "2026-11-23T18:05:00+08:00", "cases": [], "version": 1}))]
pub struct FindingView {
    pub id: Uuid,
    pub visit_id: Uuid,
    pub household_id: Uuid,
    pub unit_id: Uuid,
    /// Whom it concerns, if it is somebody who is registered.
    pub resident_id: Option<Uuid>,
    pub kind: FindingKind,
    /// In the language of the request.
    pub kind_name: String,
    /// Of a single finding only; none once they have been erased.
    pub words: Option<String>,
    pub by_id: Uuid,
    pub at: DateTime<FixedOffset>,
    /// What was made of it, oldest first.
    pub cases: Vec<CaseView>,
    pub version: i64,
}

impl FindingView {
    /// As in lists.
    pub fn new(lang: Lang, row: &Finding) -> Self {
        let cases = row.case_kinds.iter().zip(&row.case_ids).zip(&row.case_times);
        let case = |((kind, id), at): ((&CaseKind, &Uuid), &DateTime<chrono::Utc>)| CaseView {
            kind: *kind,
            id: *id,
            at: at.with_timezone(&CST),
        };
        Self {
            id: row.id,
            visit_id: row.visit_id,
            household_id: row.household_id,
            unit_id: row.unit_id,
            resident_id: row.resident_id,
            kind: row.kind,
            kind_name: row.kind.words().get(lang).to_owned(),
            words: None,
            by_id: row.by_id,
            at: row.at.with_timezone(&CST),
            cases: cases.map(case).collect(),
            version: row.version,
        }
    }

    /// With what was said. Whoever shows it to somebody else than its author records the look.
    pub fn of(app: &App, lang: Lang, row: &Finding) -> Result<Self> {
        Ok(Self { words: words(app, row)?, ..Self::new(lang, row) })
    }
}

/// What was said, opened; none once it has been erased.
fn words(app: &App, row: &Finding) -> Result<Option<String>> {
    let open = |sealed: &Vec<u8>| app.keys.open_text(row.county_id, &place("visit_findings", "words", row.id), sealed);
    Ok(row.words.as_ref().map(open).transpose()?)
}

/// What was found.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "concern", "words": "想办高龄津贴", "resident_id": "0199a0c0-0000-7000-8000-00000000000a"}))]
pub struct WriteFinding {
    pub kind: FindingKind,
    /// 1 to 2,000 characters; kept sealed.
    #[validate(length(min = 1, max = 2000))]
    #[schema(min_length = 1, max_length = 2000)]
    pub words: String,
    /// Whom it concerns, within the caller's reach.
    pub resident_id: Option<Uuid>,
}

/// Write down what a visit found
///
/// A note, or a concern that something is made of: `POST /v1/findings/{id}/errand`, `…/order`, `…/todo`. By staff who see the visit.
#[utoipa::path(tag = "visits", security(("token" = ["visits:check_in"])), params(("id" = Uuid, Path, description = "The visit"), IdempotencyHeader),
    request_body = WriteFinding, responses((status = 201, description = "The finding", body = FindingView)))]
#[post("/v1/visits/{id}/findings")]
pub async fn write_finding(caller: Can<CheckInVisits>, id: Id, command: Command<WriteFinding>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "write_finding", key, digest);
    let (who, scope, seen) = (Caller::clone(&caller), caller.scope, Seen::by(&caller, caller.scope));
    let (now, inner) = (app.clock.now(), app.clone());
    app.once(once, move |conn| {
        let visit = store::find(conn, who.county, seen, id.0)?.ok_or(Code::NotFound)?;
        let resident = match body.resident_id.map(|id| people::lock(conn, scope, id)).transpose()? {
            Some(None) => {
                let (zh, en) = ("没有这位居民，或不在您的管辖范围", "There is no such resident within your reach");
                return Err(Error::field("/resident_id", "unknown_resident", zh, en));
            }
            row => row.flatten().map(|row| row.id),
        };
        let id = Uuid::now_v7();
        let words = inner.keys.seal(who.county, &place("visit_findings", "words", id), body.words.as_bytes());
        let (county, unit, kind, by) = (who.county, visit.unit_id, body.kind, who.subject);
        findings::insert(conn, NewFinding { county, id, visit: visit.id, unit, resident, kind, words, by }, now)?;
        let row = findings::find(conn, county, seen, id)?.ok_or(Code::NotFound)?;
        Answer::created(format!("/v1/findings/{id}"), row.version, &FindingView::of(&inner, lang, &row)?)
    })
    .await
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindingsQuery {
    /// Of this unit and the units below it.
    unit_id: Option<Uuid>,
    /// Of this visit.
    visit_id: Option<Uuid>,
    /// Of this household.
    household_id: Option<Uuid>,
    /// About this resident.
    resident_id: Option<Uuid>,
    #[param(inline)]
    kind: Option<FindingKind>,
    /// Only concerns of which nothing has been made.
    #[param(default = false)]
    open: Option<bool>,
    /// The one that this errand, order or todo was made of.
    case_id: Option<Uuid>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List findings
///
/// Those that the caller may see, oldest first, without what was said; with what was made of them. `case_id` finds the one that an errand, an order or a todo was made of.
#[utoipa::path(tag = "visits", security(("token" = ["visits:read"])), params(FindingsQuery),
    responses((status = 200, description = "A page of findings", body = Page<FindingView>)))]
#[get("/v1/findings")]
pub async fn list_findings(
    caller: Can<ReadVisits>,
    lang: Lang,
    app: Data<App>,
    query: Query<FindingsQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "findings", query.cursor.as_deref())?.unwrap_or(After::START);
    let (county, seen, count) = (caller.county, Seen::by(&caller, caller.scope), query.count.unwrap_or(false));
    let FindingsQuery { unit_id: unit, visit_id: visit, household_id: household, resident_id: resident, kind, .. } =
        query;
    let (open, case) = (query.open.unwrap_or(false), query.case_id);
    let filter = Filter { unit, visit, household, resident, kind, open, case };
    let read = app.db.read("list_findings", move |conn| {
        let total = count.then(|| findings::count(conn, county, seen, filter)).transpose()?;
        Ok((findings::list(conn, county, seen, filter, after, limit)?, total))
    });
    let (rows, total) = read.await?;
    let place = |row: &Finding| After { at: row.at, id: row.id };
    let page = page::cut(&app.keys, "findings", rows, limit as usize, place, |row| Ok(FindingView::new(lang, &row)))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// One finding
///
/// With what was said. For whoever made it or the visit, and staff of the unit and above it, whose look is recorded.
#[utoipa::path(tag = "visits", security(("token" = ["visits:read"])), params(("id" = Uuid, Path, description = "The finding")),
    responses((status = 200, description = "The finding", body = FindingView)))]
#[get("/v1/findings/{id}")]
pub async fn get_finding(caller: Can<ReadVisits>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (who, seen, now) = (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now());
    let (looked, inner) = (Audit::new("read_finding", "finding", id.0).fields(vec!["words"]), app.clone());
    let show = move |conn: &mut PgConnection| {
        let row = findings::find(conn, who.county, seen, id.0)?.ok_or(Code::NotFound)?;
        if row.by_id != who.subject {
            audit::record(conn, &who, now, &looked)?;
        }
        FindingView::of(&inner, lang, &row)
    };
    let view = app.db.write("get_finding", show).await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}
