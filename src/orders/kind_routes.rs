//! Kinds of orders over HTTP: public to read, the county administrator's to change.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, get, http::header, post, put, web::Data};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::kinds::{self, Dispatch, Evidence, HelperKind, KindSaid, OrderKind, OrderKindState};
use crate::{
    app::App,
    audit::{self, Audit},
    db::changes::{self, Change},
    error::{Code, Error, FieldError, Result, Text},
    http::{
        cached,
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag, versioned},
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::WriteOrderKinds,
        valid::{Id, Query, Valid},
    },
    matters,
};

/// A kind of order (接单类型).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "日用品代购", "description": "米面油盐等日用品", "state": "active", "form": null,
    "skills": [], "duration_minutes": 60, "evidence": "photo", "money": true, "taken_by": ["specialist", "cadre", "volunteer"], "dispatch": "grab_then_assign",
    "grab_minutes": 10, "start_minutes": 30, "version": 1}))]
pub struct OrderKindView {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    /// Only active kinds can be ordered.
    pub state: OrderKindState,
    /// JSON Schema 2020-12 of what is filled in; none: there is nothing to fill in.
    #[schema(value_type = Option<Object>)]
    pub form: Option<Value>,
    /// Skills (技能) that whoever takes it must all have.
    pub skills: Vec<String>,
    /// How long it usually takes.
    pub duration_minutes: i16,
    /// What finishing asks for.
    pub evidence: Evidence,
    /// Money passes through the helper's hands; every line of it is agreed to by the other side.
    pub money: bool,
    /// Who may take it.
    pub taken_by: Vec<HelperKind>,
    /// How it comes to somebody.
    pub dispatch: Dispatch,
    /// Of `grab_then_assign`: minutes until a dispatcher is asked.
    pub grab_minutes: i16,
    /// Minutes after the claim, or before the wanted time begins if that is later, until which whoever holds it must be on the way.
    pub start_minutes: i16,
    pub version: i64,
}

impl From<OrderKind> for OrderKindView {
    fn from(kind: OrderKind) -> Self {
        let OrderKind { id, name, description, state, form, skills, duration_minutes, evidence, money, .. } = kind;
        let OrderKind { taken_by, dispatch, grab_minutes, start_minutes, version, .. } = kind;
        Self {
            id,
            name,
            description,
            state,
            form,
            skills,
            duration_minutes,
            evidence,
            money,
            taken_by,
            dispatch,
            grab_minutes,
            start_minutes,
            version,
        }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OrderKindsQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// Only kinds in this state.
    #[param(inline, example = "active")]
    state: Option<OrderKindState>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List kinds of orders
///
/// What can be ordered in a county, oldest first.
#[utoipa::path(tag = "orders", security(()), params(OrderKindsQuery),
    responses((status = 200, description = "A page of kinds", body = Page<OrderKindView>), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/order-kinds")]
pub async fn list_order_kinds(
    app: Data<App>,
    request: HttpRequest,
    query: Query<OrderKindsQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "order_kinds", query.cursor.as_deref())?.unwrap_or(After::START);
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &query.county).await?.id;
        let (state, count) = (query.state, query.count.unwrap_or(false));
        let read = app.db.read("list_order_kinds", move |conn| {
            let total = if count { Some(kinds::count(conn, county, state)?) } else { None };
            Ok((kinds::list(conn, county, state, after, limit)?, total))
        });
        let (rows, total) = read.await?;
        let place = |kind: &OrderKind| After { at: kind.created_at, id: kind.id };
        let view = |kind| Ok(OrderKindView::from(kind));
        let page = page::cut(&app.keys, "order_kinds", rows, limit as usize, place, view)?;
        Ok(Page { total, ..page })
    })
    .await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OrderKindQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
}

/// One kind of order
///
/// Its `ETag` is what `PUT` wants as `If-Match`.
#[utoipa::path(tag = "orders", security(()), params(("id" = Uuid, Path, description = "The kind"), OrderKindQuery),
    responses((status = 200, description = "The kind", body = OrderKindView), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/order-kinds/{id}")]
pub async fn get_order_kind(
    app: Data<App>,
    request: HttpRequest,
    id: Id,
    query: Query<OrderKindQuery>,
) -> Result<HttpResponse> {
    let county = app.counties.public(&app, &query.0.county).await?.id;
    let read = app.db.read("get_order_kind", move |conn| kinds::find(conn, county, id.0));
    let kind = read.await?.ok_or(Code::NotFound)?;
    Ok(versioned(&request, kind.version, &OrderKindView::from(kind)))
}

/// The whole kind as it shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "日用品代购", "duration_minutes": 60, "evidence": "photo", "money": true, "taken_by": ["specialist", "volunteer"], "dispatch": "grab_then_assign"}))]
pub struct WriteOrderKind {
    /// 1 to 64 characters, unique in the county.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// Up to 2,000 characters.
    #[validate(length(max = 2000))]
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// `active` by default.
    #[schema(inline)]
    state: Option<OrderKindState>,
    /// JSON Schema 2020-12 of the type `object`; left out: there is nothing to fill in.
    #[schema(value_type = Option<Object>)]
    form: Option<Value>,
    /// Skills of the county that whoever takes it must all have, 0 to 20.
    #[serde(default)]
    #[validate(length(max = 20))]
    #[schema(max_items = 20)]
    skills: Vec<String>,
    /// How long it usually takes, 5 to 720.
    #[validate(range(min = 5, max = 720))]
    #[schema(minimum = 5, maximum = 720)]
    duration_minutes: i16,
    evidence: Evidence,
    money: bool,
    /// Who may take it, 1 to 4.
    #[validate(length(min = 1, max = 4))]
    #[schema(min_items = 1, max_items = 4)]
    taken_by: Vec<HelperKind>,
    dispatch: Dispatch,
    /// 1 to 1,440; 10 by default.
    #[validate(range(min = 1, max = 1440))]
    #[schema(minimum = 1, maximum = 1440)]
    grab_minutes: Option<i16>,
    /// 5 to 1,440; 30 by default.
    #[validate(range(min = 5, max = 1440))]
    #[schema(minimum = 5, maximum = 1440)]
    start_minutes: Option<i16>,
}

fn twice<T: Ord>(items: &[T], pointer: &str) -> Vec<FieldError> {
    let mut seen = BTreeSet::new();
    let again = items.iter().enumerate().filter(|(_, item)| !seen.insert(*item)).map(|(index, _)| index);
    let text = Text::fixed("重复", "is here twice");
    again.map(|index| FieldError::body(format!("{pointer}/{index}"), "twice", text.clone())).collect()
}

impl WriteOrderKind {
    /// With the default for what is left out, if nothing is wrong with it.
    fn said(&self, conn: &mut PgConnection, county: i32) -> Result<KindSaid> {
        let mut faults = twice(&self.skills, "/skills");
        faults.extend(twice(&self.taken_by.iter().map(|by| by.as_str()).collect::<Vec<_>>(), "/taken_by"));
        if self.name.trim().is_empty() {
            faults.push(FieldError::body("/name", "required", Text::fixed("不能为空", "must not be empty")));
        }
        let unknown = kinds::unknown_skills(conn, county, &self.skills)?;
        let text = Text::fixed("本县没有这项技能", "is no skill of this county");
        for (index, _) in self.skills.iter().enumerate().filter(|(_, skill)| unknown.contains(skill)) {
            faults.push(FieldError::body(format!("/skills/{index}"), "unknown_skill", text.clone()));
        }
        faults.extend(self.form.iter().flat_map(|form| matters::form_faults(form, "/form")));
        if !faults.is_empty() {
            return Err(Error::invalid(faults));
        }
        Ok(KindSaid {
            name: self.name.trim().to_owned(),
            description: self.description.clone(),
            state: self.state.unwrap_or(OrderKindState::Active),
            form: self.form.clone(),
            skills: self.skills.clone(),
            duration_minutes: self.duration_minutes,
            evidence: self.evidence,
            money: self.money,
            taken_by: self.taken_by.clone(),
            dispatch: self.dispatch,
            grab_minutes: self.grab_minutes.unwrap_or(10),
            start_minutes: self.start_minutes.unwrap_or(30),
        })
    }
}

/// What phones learn of a kind.
fn changed(county: i32, id: Uuid) -> Change {
    Change {
        county,
        entity: "order_kind",
        entity_id: id,
        unit_id: None,
        resident_id: None,
        staff_id: None,
        gone: false,
    }
}

/// Create a kind of order
///
/// It can be ordered at once.
#[utoipa::path(tag = "orders", security(("token" = ["order_kinds:write"])), params(IdempotencyHeader), request_body = WriteOrderKind,
    responses((status = 201, description = "Created", body = OrderKindView)), extensions(("x-errors" = json!(["name_taken"]))))]
#[post("/v1/order-kinds")]
pub async fn create_order_kind(
    caller: Can<WriteOrderKinds>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<WriteOrderKind>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_order_kind", key, body.digest);
    let (id, said, now) = (Uuid::now_v7(), body.value, app.clock.now());
    let (who, entry) = (Caller::clone(&caller), Audit::new("create", "order_kind", id));
    let write = app.once(once, move |conn| {
        let said = said.said(conn, who.county)?;
        let kind = kinds::insert(conn, who.county, id, &said, now)?;
        audit::record(conn, &who, now, &entry)?;
        changes::record(conn, changed(who.county, id), now)?;
        Answer::created(format!("/v1/order-kinds/{id}"), kind.version, &OrderKindView::from(kind))
    });
    let answer = write.await;
    app.rendered.forget();
    answer
}

/// Change a kind of order
///
/// All of it; what is left out is as by default. Orders that exist keep what was said when they were ordered.
#[utoipa::path(tag = "orders", security(("token" = ["order_kinds:write"])), params(("id" = Uuid, Path, description = "The kind"), IfMatchHeader),
    request_body = WriteOrderKind, responses((status = 200, description = "As it is now", body = OrderKindView)), extensions(("x-errors" = json!(["name_taken"]))))]
#[put("/v1/order-kinds/{id}")]
pub async fn update_order_kind(
    caller: Can<WriteOrderKinds>,
    id: Id,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<WriteOrderKind>,
) -> Result<HttpResponse> {
    let (said, now) = (body.value, app.clock.now());
    let (who, entry) = (Caller::clone(&caller), Audit::new("update", "order_kind", id.0));
    let write = app.db.write("update_order_kind", move |conn| {
        let kind = kinds::find(conn, who.county, id.0)?.ok_or(Code::NotFound)?;
        seen.check(kind.version)?;
        let said = said.said(conn, who.county)?;
        let kind = kinds::update(conn, (who.county, id.0, kind.version), &said, now)?.ok_or(Code::VersionStale)?;
        audit::record(conn, &who, now, &entry)?;
        changes::record(conn, changed(who.county, id.0), now)?;
        Ok(kind)
    });
    let kind = write.await?;
    app.rendered.forget();
    let tag = (header::ETAG, etag(kind.version));
    Ok(HttpResponse::Ok().insert_header(tag).json(OrderKindView::from(kind)))
}
