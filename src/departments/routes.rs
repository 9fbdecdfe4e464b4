//! Departments over HTTP: public to read, the county administrator's to change.

use actix_web::{HttpRequest, HttpResponse, get, http::header, post, put, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::store::{self, Department, DepartmentState};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    db::changes::{self, Change},
    error::{Code, Error, Result},
    http::{
        cached,
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag, versioned},
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::WriteDepartments,
        valid::{Id, Query, Valid},
    },
    matters,
    staff::model::check_service_phone,
};

/// A department of the county government (县直部门).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d1", "name": "县民政局", "phone": "0598-7222301", "state": "active", "version": 1}))]
pub struct DepartmentView {
    pub id: Uuid,
    pub name: String,
    /// Service phone; public.
    pub phone: Option<String>,
    pub state: DepartmentState,
    pub version: i64,
}

impl From<Department> for DepartmentView {
    fn from(department: Department) -> Self {
        let Department { id, name, phone, state, version, .. } = department;
        Self { id, name, phone, state, version }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DepartmentsQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// Only departments in this state.
    #[param(inline, example = "active")]
    state: Option<DepartmentState>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List departments
///
/// Of the county government, oldest first.
#[utoipa::path(tag = "departments", security(()), params(DepartmentsQuery),
    responses((status = 200, description = "A page of departments", body = Page<DepartmentView>), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/departments")]
pub async fn list_departments(
    app: Data<App>,
    request: HttpRequest,
    query: Query<DepartmentsQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "departments", query.cursor.as_deref())?;
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &query.county).await?.id;
        let (state, count) = (query.state, query.count.unwrap_or(false));
        let read = app.db.read("list_departments", move |conn| {
            let total = if count { Some(store::count(conn, county, state)?) } else { None };
            Ok((store::list(conn, county, state, after, limit)?, total))
        });
        let (rows, total) = read.await?;
        let place = |row: &Department| After { at: row.created_at, id: row.id };
        let page =
            page::cut(&app.keys, "departments", rows, limit as usize, place, |row| Ok(DepartmentView::from(row)))?;
        Ok(Page { total, ..page })
    })
    .await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DepartmentQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
}

/// One department
///
/// Its `ETag` is what `PUT` wants as `If-Match`.
#[utoipa::path(tag = "departments", security(()), params(("id" = Uuid, Path, description = "The department"), DepartmentQuery),
    responses((status = 200, description = "The department", body = DepartmentView), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/departments/{id}")]
pub async fn get_department(
    app: Data<App>,
    request: HttpRequest,
    id: Id,
    query: Query<DepartmentQuery>,
) -> Result<HttpResponse> {
    let county = app.counties.public(&app, &query.0.county).await?.id;
    let read = app.db.read("get_department", move |conn| store::find(conn, county, id.0)).await?;
    let department = read.ok_or(Code::NotFound)?;
    Ok(versioned(&request, department.version, &DepartmentView::from(department)))
}

/// What phones learn of a department.
pub fn changed(county: i32, id: Uuid) -> Change {
    let (entity, unit_id, resident_id, staff_id) = ("department", None, None, None);
    Change { county, entity, entity_id: id, unit_id, resident_id, staff_id, gone: false }
}

/// A new department.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "县民政局", "phone": "0598-7222301"}))]
pub struct CreateDepartment {
    /// 1 to 64 characters, unique in the county.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// Service phone, public: mobile, landline with area code, or short number.
    #[validate(length(max = 20), custom(function = "check_service_phone"))]
    #[schema(max_length = 20)]
    phone: Option<String>,
}

/// Refuses a name of blanks.
fn named(name: &str) -> Result<&str> {
    match name.trim() {
        "" => Err(Error::field("/name", "length", "不得为空", "must not be blank")),
        name => Ok(name),
    }
}

/// Create a department
///
/// Matters can be decided there, and posts of the role `department_staff` name it.
#[utoipa::path(tag = "departments", security(("token" = ["departments:write"])), params(IdempotencyHeader), request_body = CreateDepartment,
    responses((status = 201, description = "Created", body = DepartmentView)), extensions(("x-errors" = json!(["name_taken"]))))]
#[post("/v1/departments")]
pub async fn create_department(
    caller: Can<WriteDepartments>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<CreateDepartment>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_department", key, body.digest);
    let (county, command, now) = (caller.county, body.value, app.clock.now());
    let (who, entry) = (Caller::clone(&caller), Audit::new("create", "department", Uuid::nil()));
    let answer = app
        .once(once, move |conn| {
            let names = (named(&command.name)?, command.phone.as_deref());
            let department = store::insert(conn, county, names, now)?;
            audit::record(conn, &who, now, &entry.of(department.id))?;
            changes::record(conn, changed(county, department.id), now)?;
            let (id, version) = (department.id, department.version);
            Answer::created(format!("/v1/departments/{id}"), version, &DepartmentView::from(department))
        })
        .await;
    app.rendered.forget();
    answer
}

/// The whole department as it shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "县民政局", "phone": "0598-7222301", "state": "active"}))]
pub struct UpdateDepartment {
    /// 1 to 64 characters, unique in the county.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// Service phone, public.
    #[validate(length(max = 20), custom(function = "check_service_phone"))]
    #[schema(max_length = 20)]
    phone: Option<String>,
    state: DepartmentState,
}

/// Change a department
///
/// Renames, closes or opens it again. 409 `department_in_use` for closing one that decides a matter, now or by a coming version, or
/// in which somebody has a post.
#[utoipa::path(tag = "departments", security(("token" = ["departments:write"])), params(("id" = Uuid, Path, description = "The department"), IfMatchHeader),
    request_body = UpdateDepartment, responses((status = 200, description = "As it is now", body = DepartmentView)),
    extensions(("x-errors" = json!(["name_taken", "department_in_use"]))))]
#[put("/v1/departments/{id}")]
pub async fn update_department(
    caller: Can<WriteDepartments>,
    id: Id,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<UpdateDepartment>,
) -> Result<HttpResponse> {
    let (county, command, now) = (caller.county, body.value, app.clock.now());
    let (who, entry) = (Caller::clone(&caller), Audit::new("update", "department", id.0));
    let write = app.db.write("update_department", move |conn| {
        let before = store::lock(conn, county, id.0)?.ok_or(Code::NotFound)?;
        seen.check(before.version)?;
        let closes = before.state == DepartmentState::Active && command.state == DepartmentState::Closed;
        if closes
            && (matters::decided_by(conn, county, id.0, local_date(now))? || store::has_staff(conn, county, id.0)?)
        {
            return Err(Code::DepartmentInUse.into());
        }
        let name = named(&command.name)?;
        let mut fields = Vec::new();
        fields.extend((name != before.name).then_some("name"));
        fields.extend((command.phone != before.phone).then_some("phone"));
        fields.extend((command.state != before.state).then_some("state"));
        let department = store::update(conn, (county, id.0), (name, command.phone.as_deref(), command.state), now)?;
        audit::record(conn, &who, now, &entry.clone().fields(fields))?;
        changes::record(conn, changed(county, id.0), now)?;
        Ok(department)
    });
    let department = write.await?;
    app.rendered.forget();
    let tag = (header::ETAG, etag(department.version));
    Ok(HttpResponse::Ok().insert_header(tag).json(DepartmentView::from(department)))
}
