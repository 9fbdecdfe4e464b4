//! Posts and their deputies (AB 岗) over HTTP.

use actix_web::{HttpRequest, HttpResponse, http::header, post, put, web::Data};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{cover, leaving, model::Post, routes::view, rules, store};
use crate::{
    app::App,
    audit::{self, Audit},
    departments,
    error::{Code, Error, FieldError, Result, Text},
    http::{
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag},
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::{Role, WriteStaff},
        valid::{Id, Valid},
    },
    sessions, todos, units,
};

/// What is wrong with a role in a unit; `above` is the pointer of the object that names them.
pub(super) fn check_post(
    conn: &mut PgConnection,
    county: i32,
    (role, unit): (Role, Uuid),
    above: &str,
) -> Result<Vec<FieldError>> {
    if role == Role::Resident {
        let text = Text::fixed("群众不是工作人员的岗位", "a resident is no member of staff");
        return Ok(vec![FieldError::body(format!("{above}/role"), "role", text)]);
    }
    let wrong = |code, text| vec![FieldError::body(format!("{above}/unit_id"), code, text)];
    Ok(match units::store::find(conn, county, unit)? {
        None => wrong("unknown_unit", Text::fixed("没有这个单位", "there is no such unit")),
        Some(unit) if !rules::fits(role, unit.level) => {
            let (zh, en) = (role.levels().join("、"), role.levels().join(" or "));
            let text =
                Text::new(format!("此岗位所在单位的级别须为 {zh}"), format!("this role needs a unit of level {en}"));
            wrong("unit_level", text)
        }
        Some(_) => Vec::new(),
    })
}

/// What is wrong with the department of a post: `department_staff` names one, nobody else does. It stays open until the
/// transaction ends.
pub(super) fn check_department(
    conn: &mut PgConnection,
    county: i32,
    (role, department): (Role, Option<Uuid>),
    above: &str,
) -> Result<Vec<FieldError>> {
    let pointer = format!("{above}/department_id");
    let wrong = |code, text| Ok(vec![FieldError::body(&pointer, code, text)]);
    match (role, department) {
        (Role::DepartmentStaff, None) => wrong("required", Text::fixed("须写明部门", "the department is missing")),
        (Role::DepartmentStaff, Some(id)) if departments::hold(conn, county, id)? => Ok(Vec::new()),
        (Role::DepartmentStaff, Some(_)) => Ok(vec![departments::unknown(&pointer)]),
        (_, Some(_)) => wrong("role", Text::fixed("此岗位不属于部门", "a post with this role is in no department")),
        (_, None) => Ok(Vec::new()),
    }
}

/// What is wrong with a deputy; a circle is an error of its own. `holder` is none for somebody who does not exist yet.
/// Takes the county's lock to be held.
pub(super) fn check_deputy(
    conn: &mut PgConnection,
    county: i32,
    holder: Option<Uuid>,
    deputy: Option<Uuid>,
) -> Result<Vec<FieldError>> {
    let Some(deputy) = deputy else { return Ok(Vec::new()) };
    let wrong = |code, text| Ok(vec![FieldError::body("/deputy_id", code, text)]);
    if holder == Some(deputy) {
        return wrong("deputy_self", Text::fixed("代理人须为他人", "nobody can stand in for themselves"));
    }
    if !store::is_active(conn, county, deputy)? {
        return wrong("unknown_staff", Text::fixed("没有这名在职人员", "there is no such active member of staff"));
    }
    if let Some(holder) = holder
        && rules::circle(&store::deputies(conn, county)?, holder, deputy)
    {
        return Err(rules::circle_error());
    }
    Ok(Vec::new())
}

/// Ends posts with the sessions in them, those of deputies included.
pub(super) fn end(conn: &mut PgConnection, county: i32, posts: &[Post], now: DateTime<Utc>) -> Result<()> {
    let ids: Vec<_> = posts.iter().map(|post| post.id).collect();
    store::end_posts(conn, county, &ids, now)?;
    for post in posts {
        sessions::end_of_post(conn, county, post.staff_id, (post.role, post.unit_id), now)?;
        // Nobody needs to name a deputy for it any more.
        todos::drop_about(conn, county, todos::Kind::Decide, ("staff_post", post.id), now)?;
        cover::told(conn, county, post.staff_id, now)?;
    }
    sessions::end_uncovered(conn, county, now)
}

/// The `{post_id}` of a path.
fn post_id(request: &HttpRequest) -> Result<Uuid> {
    request.match_info().get("post_id").and_then(|id| id.parse().ok()).ok_or(Code::NotFound.into())
}

/// A further post.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "specialist", "unit_id": "0199a0c0-0000-7000-8000-000000000002", "deputy_id": null}))]
pub struct CreateStaffPost {
    /// Any role but `resident`.
    role: Role,
    /// A unit on a level that the role fits.
    unit_id: Uuid,
    /// Who stands in (AB 岗): another active member of staff. Deputies must not go in a circle.
    deputy_id: Option<Uuid>,
    /// For `department_staff`, and only then: which department's.
    department_id: Option<Uuid>,
}

/// Give somebody a further post
///
/// Answers the whole member of staff.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), params(("id" = Uuid, Path, description = "The member of staff"), IdempotencyHeader),
    request_body = CreateStaffPost, responses((status = 201, description = "Given", body = super::model::StaffView)),
    extensions(("x-errors" = json!(["post_held", "deputy_circle", "staff_not_active"]))))]
#[post("/v1/staff/{id}/posts")]
pub async fn create_staff_post(
    caller: Can<WriteStaff>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<CreateStaffPost>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_staff_post", key, body.digest);
    let (county, who, command, now) = (caller.county, Caller::clone(&caller), body.value, app.clock.now());
    let entry = Audit::new("create_post", "staff", id.0).fields(vec![command.role.as_str()]);
    app.once(once, move |conn| {
        store::lock_county(conn, county)?;
        store::lock_to_change(conn, county, id.0)?;
        let mut wrong = check_post(conn, county, (command.role, command.unit_id), "")?;
        wrong.extend(check_department(conn, county, (command.role, command.department_id), "")?);
        wrong.extend(check_deputy(conn, county, Some(id.0), command.deputy_id)?);
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        let post = (command.role, command.unit_id);
        let post = store::insert_post(conn, county, id.0, post, command.deputy_id, now)?;
        store::set_department(conn, county, post, command.department_id)?;
        cover::told(conn, county, id.0, now)?;
        audit::record(conn, &who, now, &entry)?;
        let member = store::touch(conn, county, id.0, now)?;
        Answer::created(format!("/v1/staff/{}", id.0), member.version, &view(conn, &who, member, now)?)
    })
    .await
}

/// A post as it shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"deputy_id": "0199a0c0-0000-7000-8000-0000000000f2"}))]
pub struct UpdateStaffPost {
    /// Who stands in (AB 岗); none: nobody.
    deputy_id: Option<Uuid>,
    /// For `department_staff`: which department's; left out, it stays as it is.
    department_id: Option<Uuid>,
}

/// Name a deputy
///
/// And, for a post of the role `department_staff`, the department.
/// AB 岗: the deputy of a post gets what its holder would get while the holder is absent. Somebody who is away too is passed
/// over for their own deputy, so deputies must not go in a circle. Sessions of the deputy before end.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), request_body = UpdateStaffPost,
    params(("id" = Uuid, Path, description = "The member of staff"), ("post_id" = Uuid, Path, description = "The post"), IfMatchHeader),
    responses((status = 200, description = "The whole member of staff", body = super::model::StaffView)),
    extensions(("x-errors" = json!(["deputy_circle", "post_ended"]))))]
#[put("/v1/staff/{id}/posts/{post_id}")]
pub async fn update_staff_post(
    caller: Can<WriteStaff>,
    id: Id,
    seen: IfMatch,
    request: HttpRequest,
    app: Data<App>,
    body: Valid<UpdateStaffPost>,
) -> Result<HttpResponse> {
    let (county, who, now) = (caller.county, Caller::clone(&caller), app.clock.now());
    let UpdateStaffPost { deputy_id: deputy, department_id: department } = body.value;
    let post = post_id(&request)?;
    let mut fields = vec!["deputy_id"];
    fields.extend(department.map(|_| "department_id"));
    let entry = Audit::new("update_post", "staff", id.0).fields(fields);
    let write = app.db.write("update_staff_post", move |conn| {
        store::lock_county(conn, county)?;
        let member = store::lock(conn, county, id.0)?;
        let held = store::post(conn, county, id.0, post)?;
        seen.check(member.version)?;
        let mut wrong = check_deputy(conn, county, Some(id.0), deputy)?;
        if department.is_some() {
            wrong.extend(check_department(conn, county, (held.role, department), "")?);
        }
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        store::set_deputy(conn, county, held.id, deputy)?;
        store::set_department(conn, county, held.id, department.or(held.department_id))?;
        cover::told(conn, county, id.0, now)?;
        if deputy.is_some() {
            todos::drop_about(conn, county, todos::Kind::Decide, ("staff_post", held.id), now)?;
        }
        sessions::end_uncovered(conn, county, now)?;
        audit::record(conn, &who, now, &entry)?;
        let member = store::touch(conn, county, id.0, now)?;
        store::tell_deputies(conn, county, id.0, now)?;
        view(conn, &who, member, now)
    });
    let view = write.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct EndStaffPost {}

/// End a post
///
/// Sessions in it end within 5 seconds, a deputy's too. What the holder has in hand stays with them; `transfer` hands it over.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), request_body = EndStaffPost,
    params(("id" = Uuid, Path, description = "The member of staff"), ("post_id" = Uuid, Path, description = "The post"), IdempotencyHeader),
    responses((status = 200, description = "The whole member of staff", body = super::model::StaffView)),
    extensions(("x-errors" = json!(["post_ended", "last_administrator"]))))]
#[post("/v1/staff/{id}/posts/{post_id}/end")]
pub async fn end_staff_post(
    caller: Can<WriteStaff>,
    id: Id,
    request: HttpRequest,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<EndStaffPost>,
) -> Result<Answer> {
    let once = Once::new(&caller, "end_staff_post", key, body.digest);
    let (county, who, now) = (caller.county, Caller::clone(&caller), app.clock.now());
    let post = post_id(&request)?;
    let entry = Audit::new("end_post", "staff", id.0);
    app.once(once, move |conn| {
        store::lock_county(conn, county)?;
        store::lock(conn, county, id.0)?;
        let held = store::post(conn, county, id.0, post)?;
        if held.role == Role::CountyAdmin && !leaving::administrates_besides(conn, county, &held)? {
            leaving::keep_an_administrator(conn, county, id.0)?;
        }
        audit::record(conn, &who, now, &entry.clone().fields(vec![held.role.as_str()]))?;
        end(conn, county, &[held], now)?;
        let member = store::touch(conn, county, id.0, now)?;
        Answer::ok(member.version, &view(conn, &who, member, now)?)
    })
    .await
}
