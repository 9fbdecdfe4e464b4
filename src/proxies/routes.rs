//! Naming who may act for a resident, over HTTP.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use chrono::{DateTime, Days, FixedOffset, NaiveDate};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{GivenHow, May, Proxy, ProxyState, Relation},
    store::{self, NewProxy, Of},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::{CST, local_date},
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can, Scope},
        document::IdempotencyHeader,
        etag::etag,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::{ReadProxies, WriteProxies},
        valid::{Id, Query, Valid},
    },
    people,
};

/// Who may act for a resident (代约人、监护人), for what and until when. Names are masked.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d1", "resident_id": "0199a0c0-0000-7000-8000-00000000000a", "resident_name": "林*山",
    "proxy_id": "0199a0c0-0000-7000-8000-00000000000b", "proxy_name": "林*梅", "relation": "child", "may": ["book"], "valid_until": "2027-11-21",
    "given_how": "spoken", "given_by": "0199a0c0-0000-7000-8000-0000000000a1", "state": "active", "state_name": "有效",
    "accepted_at": "2026-11-21T20:15:00+08:00", "ended_at": null, "version": 2, "created_at": "2026-11-21T20:10:00+08:00"}))]
pub struct ProxyView {
    pub id: Uuid,
    /// For whom.
    pub resident_id: Uuid,
    pub resident_name: Option<String>,
    /// Who may act; none until the invitation is accepted.
    pub proxy_id: Option<Uuid>,
    pub proxy_name: Option<String>,
    pub relation: Relation,
    pub may: Vec<May>,
    /// The last day, local time.
    pub valid_until: NaiveDate,
    pub given_how: GivenHow,
    /// The member of staff who recorded it.
    pub given_by: Option<Uuid>,
    pub state: ProxyState,
    /// The state in the language of the request.
    pub state_name: String,
    pub accepted_at: Option<DateTime<FixedOffset>>,
    pub ended_at: Option<DateTime<FixedOffset>>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
}

impl ProxyView {
    pub(super) fn many(conn: &mut PgConnection, app: &App, lang: Lang, rows: Vec<Proxy>) -> Result<Vec<Self>> {
        let county = rows.first().map_or(0, |row| row.county_id);
        let ids: Vec<_> = rows.iter().flat_map(|row| [Some(row.resident_id), row.proxy_id]).flatten().collect();
        let names = people::masked_names(conn, app, county, &ids)?;
        let name = |id: Option<Uuid>| id.and_then(|id| names.get(&id).cloned());
        let view = |row: Proxy| Self {
            id: row.id,
            resident_id: row.resident_id,
            resident_name: name(Some(row.resident_id)),
            proxy_id: row.proxy_id,
            proxy_name: name(row.proxy_id),
            relation: row.relation,
            may: row.may(),
            valid_until: row.valid_until,
            given_how: row.given_how,
            given_by: row.given_by,
            state: row.state,
            state_name: row.state.words().get(lang).to_owned(),
            accepted_at: row.accepted_at.map(|at| at.with_timezone(&CST)),
            ended_at: row.ended_at.map(|at| at.with_timezone(&CST)),
            version: row.version,
            created_at: row.created_at.with_timezone(&CST),
        };
        Ok(rows.into_iter().map(view).collect())
    }

    pub(super) fn one(conn: &mut PgConnection, app: &App, lang: Lang, row: Proxy) -> Result<Self> {
        Self::many(conn, app, lang, vec![row])?.pop().ok_or(Code::NotFound.into())
    }
}

/// Whom the resident lets act for them.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"relation": "child", "may": ["book"], "valid_until": "2027-11-21", "given_how": "spoken"}))]
pub struct CreateProxy {
    /// Guardians are registered with the child instead (`POST /v1/children`).
    relation: Relation,
    /// 1 to 3 kinds of things.
    #[validate(length(min = 1, max = 3))]
    #[schema(min_items = 1, max_items = 3)]
    may: Vec<May>,
    /// The last day; a year from today by default, at most `proxies.days` from today.
    valid_until: Option<NaiveDate>,
    /// Staff say how the resident gave it: `signed` or `spoken`. Residents leave it out.
    #[schema(inline)]
    given_how: Option<GivenHow>,
}

impl CreateProxy {
    fn checked(
        mut self,
        caller: &Caller,
        (id, resident): (Uuid, Uuid),
        today: NaiveDate,
        most: i64,
    ) -> Result<NewProxy> {
        let mut wrong = Vec::new();
        let mut say = |pointer: &str, code: &'static str, text| wrong.push(FieldError::body(pointer, code, text));
        if self.relation == Relation::Guardian {
            let text = Text::fixed(
                "监护人请与未满 14 周岁的儿童一并登记",
                "guardians are registered with the child: POST /v1/children",
            );
            say("/relation", "guardian", text);
        }
        let valid_until = self.valid_until.unwrap_or(today + Days::new(365.min(most as u64)));
        if valid_until < today || valid_until > today + Days::new(most as u64) {
            let text = Text::new(format!("须在今天起 {most} 天以内"), format!("must be within {most} days from today"));
            say("/valid_until", "range", text);
        }
        let given_how = GivenHow::told(caller.is_resident(), self.given_how, "given_how").unwrap_or_else(|fault| {
            wrong.push(fault);
            GivenHow::Spoken
        });
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        self.may.sort_unstable_by_key(|may| may.as_str());
        self.may.dedup();
        let (relation, may, given_by) = (self.relation, self.may, caller.staff());
        Ok(NewProxy { id, resident, proxy: None, relation, may, valid_until, given_how, given_by })
    }
}

/// Let somebody act for a resident
///
/// Makes an invitation; `POST /v1/proxies/{id}/code` gives the code that the other one accepts it with. By the resident, or
/// by staff who record what the resident signed or said. At most `proxies.per_resident` at a time (configurable).
#[utoipa::path(tag = "proxies", security(("token" = ["proxies:write"])), params(("id" = Uuid, Path, description = "The resident"), IdempotencyHeader),
    request_body = CreateProxy, responses((status = 201, description = "Invited", body = ProxyView)), extensions(("x-errors" = json!(["proxy_limit"]))))]
#[post("/v1/residents/{id}/proxies")]
pub async fn create_proxy(
    caller: Can<WriteProxies>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<CreateProxy>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_proxy", key, body.digest);
    let settings = app.counties.public(&app, &caller.county_key).await?.settings.clone();
    let (now, most) = (app.clock.now(), settings.proxies_per_resident);
    let (who, scope, inner, command) = (Caller::clone(&caller), caller.scope, app.clone(), body.value);
    let proxy = Uuid::now_v7();
    let entry = Audit::new("create_proxy", "resident", id.0);
    app.once(once, move |conn| {
        let resident = people::lock(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        if people::id_number(&inner, &resident)?.is_some_and(|number| number.is_child(local_date(now))) {
            return Err(people::guardian_required(""));
        }
        let new = command.clone().checked(&who, (proxy, resident.id), local_date(now), settings.proxies_days)?;
        if store::count_live(conn, scope.county, resident.id, local_date(now))? >= most {
            let (zh, en) = (format!("同一时间最多授权 {most} 人"), format!("At most {most} people at a time"));
            return Err(Error::new(Code::ProxyLimit).detail(zh, en));
        }
        let row = store::insert(conn, scope.county, &new, now)?;
        audit::record(conn, &who, now, &entry.of(resident.id))?;
        let view = ProxyView::one(conn, &inner, lang, row)?;
        Answer::created(format!("/v1/proxies/{}", view.id), view.version, &view)
    })
    .await
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ProxiesQuery {
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

async fn page_of(
    app: Data<App>,
    (scope, id, lang): (Scope, Uuid, Lang),
    of: fn(Uuid) -> Of,
    query: ProxiesQuery,
) -> Result<HttpResponse> {
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "proxies", query.cursor.as_deref())?;
    let (count, inner) = (query.count.unwrap_or(false), app.clone());
    let read = app.db.read("list_proxies", move |conn| {
        let of = of(people::find(conn, scope, id)?.ok_or(Code::NotFound)?.id);
        let total = if count { Some(store::count(conn, scope.county, of)?) } else { None };
        let rows = store::list(conn, scope.county, of, after, limit)?;
        let places: Vec<_> = rows.iter().map(|row| After { at: row.created_at, id: row.id }).collect();
        let views = ProxyView::many(conn, &inner, lang, rows)?;
        Ok((places.into_iter().zip(views).collect::<Vec<_>>(), total))
    });
    let (rows, total) = read.await?;
    let page = page::cut(&app.keys, "proxies", rows, limit as usize, |(place, _)| *place, |(_, view)| Ok(view))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// List who may act for a resident
///
/// Invitations, those in force and those that have ended, oldest first.
#[utoipa::path(tag = "proxies", security(("token" = ["proxies:read"])), params(("id" = Uuid, Path, description = "The resident"), ProxiesQuery),
    responses((status = 200, description = "A page of proxies", body = Page<ProxyView>)))]
#[get("/v1/residents/{id}/proxies")]
pub async fn list_proxies(
    caller: Can<ReadProxies>,
    id: Id,
    lang: Lang,
    app: Data<App>,
    query: Query<ProxiesQuery>,
) -> Result<HttpResponse> {
    page_of(app, (caller.scope, id.0, lang), Of::Resident, query.0).await
}

/// List for whom somebody may act
///
/// The other direction: those who have let this resident act for them, oldest first.
#[utoipa::path(tag = "proxies", security(("token" = ["proxies:read"])), params(("id" = Uuid, Path, description = "The resident who acts"), ProxiesQuery),
    responses((status = 200, description = "A page of proxies", body = Page<ProxyView>)))]
#[get("/v1/residents/{id}/principals")]
pub async fn list_principals(
    caller: Can<ReadProxies>,
    id: Id,
    lang: Lang,
    app: Data<App>,
    query: Query<ProxiesQuery>,
) -> Result<HttpResponse> {
    page_of(app, (caller.scope, id.0, lang), Of::Proxy, query.0).await
}

/// The proxy if the caller is one of the two, or reaches the resident.
fn visible(conn: &mut PgConnection, caller: &Caller, scope: Scope, id: Uuid) -> Result<Proxy> {
    let proxy = store::find(conn, scope.county, id)?.ok_or(Code::NotFound)?;
    if caller.is_resident() && proxy.proxy_id == Some(caller.subject) {
        return Ok(proxy);
    }
    people::find(conn, scope, proxy.resident_id)?.ok_or(Code::NotFound)?;
    Ok(proxy)
}

/// One proxy
///
/// For the resident, the one who may act, and staff within reach.
#[utoipa::path(tag = "proxies", security(("token" = ["proxies:read"])), params(("id" = Uuid, Path, description = "The proxy")),
    responses((status = 200, description = "The proxy", body = ProxyView)))]
#[get("/v1/proxies/{id}")]
pub async fn get_proxy(caller: Can<ReadProxies>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (who, scope, inner) = (Caller::clone(&caller), caller.scope, app.clone());
    let read = app.db.read("get_proxy", move |conn| {
        let proxy = visible(conn, &who, scope, id.0)?;
        ProxyView::one(conn, &inner, lang, proxy)
    });
    let view = read.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct EndProxy {}

/// Let somebody act no more
///
/// By the resident, the one who acts, or staff within reach; at once. What was booked stays booked.
#[utoipa::path(tag = "proxies", security(("token" = ["proxies:write"])), params(("id" = Uuid, Path, description = "The proxy"), IdempotencyHeader),
    request_body = EndProxy, responses((status = 200, description = "Ended", body = ProxyView)), extensions(("x-errors" = json!(["proxy_ended"]))))]
#[post("/v1/proxies/{id}/end")]
pub async fn end_proxy(
    caller: Can<WriteProxies>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<EndProxy>,
) -> Result<Answer> {
    let once = Once::new(&caller, "end_proxy", key, body.digest);
    let (who, scope, now, inner) = (Caller::clone(&caller), caller.scope, app.clock.now(), app.clone());
    let entry = Audit::new("end_proxy", "resident", Uuid::nil());
    app.once(once, move |conn| {
        let proxy = visible(conn, &who, scope, id.0)?;
        // A guardian is so by law: only staff can say that it is over.
        if proxy.relation == Relation::Guardian && who.is_resident() {
            return Err(Code::Forbidden.into());
        }
        let row = store::end(conn, scope.county, proxy.id, now)?.ok_or(Code::ProxyEnded)?;
        audit::record(conn, &who, now, &entry.of(row.resident_id))?;
        let view = ProxyView::one(conn, &inner, lang, row)?;
        Answer::ok(view.version, &view)
    })
    .await
}
