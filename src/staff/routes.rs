//! Members of staff over HTTP: the duty board for everybody who works here, accounts for administrators.

use actix_web::{HttpResponse, get, http::header, post, put, web::Data};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{Member, StaffState, StaffView, check_display_name, check_service_phone, check_username},
    posts::{check_department, check_deputy, check_post},
    store::{self, Wanted},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag},
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::{ReadStaff, Role, WriteStaff},
        valid::{Id, Query, Valid},
    },
};

/// Members of staff as they are shown: two statements however many.
fn views(conn: &mut PgConnection, caller: &Caller, members: Vec<Member>, now: DateTime<Utc>) -> Result<Vec<StaffView>> {
    let ids: Vec<_> = members.iter().map(|member| member.id).collect();
    let mut posts = store::posts(conn, caller.county, &ids)?;
    let away = store::away(conn, caller.county, &ids, local_date(now))?;
    let view = |member: Member| {
        let held = posts.extract_if(.., |post| post.staff_id == member.id).collect();
        let until = away.iter().find(|(id, _)| *id == member.id).map(|(_, until)| *until);
        let whole = caller.role == Role::CountyAdmin || caller.subject == member.id;
        StaffView::new(member, held, until, whole)
    };
    Ok(members.into_iter().map(view).collect())
}

/// One member of staff as they are shown.
pub(super) fn view(conn: &mut PgConnection, caller: &Caller, member: Member, now: DateTime<Utc>) -> Result<StaffView> {
    views(conn, caller, vec![member], now)?.pop().ok_or_else(|| Error::internal("one member, one view"))
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StaffQuery {
    /// Only those with a post in this unit.
    unit_id: Option<Uuid>,
    /// Only those with a post in this department.
    department_id: Option<Uuid>,
    /// Only those with this role.
    #[param(inline, example = "village_cadre")]
    role: Option<Role>,
    /// Only accounts in this state; for administrators.
    #[param(inline, example = "active")]
    state: Option<StaffState>,
    /// Only the account with this user name; for administrators.
    #[param(example = "chen.xiaolan")]
    username: Option<String>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List staff
///
/// Those who have a post within the caller's reach, oldest first. Administrators see the whole county with accounts, the
/// others the duty board (干群连心卡): who is active, their posts and service phones.
#[utoipa::path(tag = "staff", security(("token" = ["staff:read"])), params(StaffQuery),
    responses((status = 200, description = "A page of staff", body = Page<StaffView>)))]
#[get("/v1/staff")]
pub async fn list_staff(caller: Can<ReadStaff>, app: Data<App>, query: Query<StaffQuery>) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "staff", query.cursor.as_deref())?;
    if caller.role != Role::CountyAdmin && (query.state.is_some() || query.username.is_some()) {
        let (zh, en) = ("state 与 username 仅县管理员可用", "state and username are for administrators");
        return Err(Error::new(Code::Forbidden).detail(zh, en));
    }
    let username = query.username.map(|name| name.trim().to_lowercase());
    let by =
        Wanted { unit: query.unit_id, department: query.department_id, role: query.role, state: query.state, username };
    let (scope, who, now, count) =
        (caller.scope, Caller::clone(&caller), app.clock.now(), query.count.unwrap_or(false));
    let (rows, total) = app
        .db
        .read("list_staff", move |conn| {
            let total = if count { Some(store::count(conn, scope, &by)?) } else { None };
            let members = store::list(conn, scope, &by, after, limit)?;
            let created: Vec<_> = members.iter().map(|member| member.created_at).collect();
            let rows: Vec<_> = created.into_iter().zip(views(conn, &who, members, now)?).collect();
            Ok((rows, total))
        })
        .await?;
    let place = |(at, view): &(DateTime<Utc>, StaffView)| After { at: *at, id: view.id };
    let page = page::cut(&app.keys, "staff", rows, limit as usize, place, |(_, view)| Ok(view))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// One member of staff
///
/// Its `ETag` is what `PUT` and commands want as `If-Match`.
#[utoipa::path(tag = "staff", security(("token" = ["staff:read"])), params(("id" = Uuid, Path, description = "The member of staff")),
    responses((status = 200, description = "The member of staff", body = StaffView)))]
#[get("/v1/staff/{id}")]
pub async fn get_staff(caller: Can<ReadStaff>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (scope, who, now) = (caller.scope, Caller::clone(&caller), app.clock.now());
    let read = app.db.read("get_staff", move |conn| {
        let member = store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        view(conn, &who, member, now)
    });
    let view = read.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}

/// A new account with its first post.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "chen.xiaolan", "display_name": "陈小兰", "phone": "0598-7220001", "role": "village_cadre",
    "unit_id": "0199a0c0-0000-7000-8000-000000000002", "deputy_id": null}))]
pub struct CreateStaff {
    /// 2 to 32 lower-case letters, digits, dots, hyphens and underscores; unique in the county, for good.
    #[validate(length(min = 2, max = 32), custom(function = "check_username"))]
    #[schema(min_length = 2, max_length = 32)]
    username: String,
    /// 1 to 32 characters, shown on the duty board.
    #[validate(length(min = 1, max = 32), custom(function = "check_display_name"))]
    #[schema(min_length = 1, max_length = 32)]
    display_name: String,
    /// Service phone, public: mobile, landline with area code, or short number.
    #[validate(length(max = 20), custom(function = "check_service_phone"))]
    #[schema(max_length = 20)]
    phone: Option<String>,
    /// Any role but `resident`.
    role: Role,
    /// A unit on a level that the role fits.
    unit_id: Uuid,
    /// Who stands in (AB 岗).
    deputy_id: Option<Uuid>,
    /// For `department_staff`, and only then: which department's.
    department_id: Option<Uuid>,
}

/// Create an account
///
/// With its first post and without a password: `reset_password` opens it. There is no default password.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), params(IdempotencyHeader), request_body = CreateStaff,
    responses((status = 201, description = "Created", body = StaffView)), extensions(("x-errors" = json!(["name_taken"]))))]
#[post("/v1/staff")]
pub async fn create_staff(
    caller: Can<WriteStaff>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<CreateStaff>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_staff", key, body.digest);
    let (county, who, command, now) = (caller.county, Caller::clone(&caller), body.value, app.clock.now());
    let entry = Audit::new("create", "staff", Uuid::nil());
    app.once(once, move |conn| {
        store::lock_county(conn, county)?;
        let mut wrong = check_post(conn, county, (command.role, command.unit_id), "")?;
        wrong.extend(check_department(conn, county, (command.role, command.department_id), "")?);
        wrong.extend(check_deputy(conn, county, None, command.deputy_id)?);
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        let names = (command.username.as_str(), command.display_name.trim(), command.phone.as_deref());
        let id = store::insert_member(conn, county, names, None, now)?;
        let post = store::insert_post(conn, county, id, (command.role, command.unit_id), command.deputy_id, now)?;
        store::set_department(conn, county, post, command.department_id)?;
        audit::record(conn, &who, now, &entry.of(id))?;
        let member = store::lock(conn, county, id)?;
        Answer::created(format!("/v1/staff/{id}"), member.version, &view(conn, &who, member, now)?)
    })
    .await
}

/// Name and service phone as they shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"display_name": "陈小兰", "phone": "13950900001"}))]
pub struct UpdateStaff {
    /// 1 to 32 characters, shown on the duty board.
    #[validate(length(min = 1, max = 32), custom(function = "check_display_name"))]
    #[schema(min_length = 1, max_length = 32)]
    display_name: String,
    /// Service phone, public: mobile, landline with area code, or short number.
    #[validate(length(max = 20), custom(function = "check_service_phone"))]
    #[schema(max_length = 20)]
    phone: Option<String>,
}

/// Change name and service phone
///
/// Needs the `ETag` that was read.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), params(("id" = Uuid, Path, description = "The member of staff"), IfMatchHeader),
    request_body = UpdateStaff, responses((status = 200, description = "As they are now", body = StaffView)), extensions(("x-errors" = json!(["already_dismissed"]))))]
#[put("/v1/staff/{id}")]
pub async fn update_staff(
    caller: Can<WriteStaff>,
    id: Id,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<UpdateStaff>,
) -> Result<HttpResponse> {
    let (county, who, command, now) = (caller.county, Caller::clone(&caller), body.value, app.clock.now());
    let entry = Audit::new("update", "staff", id.0);
    let write = app.db.write("update_staff", move |conn| {
        let member = store::lock(conn, county, id.0)?;
        seen.check(member.version)?;
        if member.state == StaffState::Dismissed {
            return Err(Code::AlreadyDismissed.into());
        }
        let (name, phone) = (command.display_name.trim(), command.phone.as_deref());
        let mut fields = Vec::new();
        fields.extend((name != member.display_name).then_some("display_name"));
        fields.extend((phone != member.phone.as_deref()).then_some("phone"));
        store::set_names(conn, county, id.0, (name, phone))?;
        audit::record(conn, &who, now, &entry.clone().fields(fields))?;
        let member = store::touch(conn, county, id.0, now)?;
        view(conn, &who, member, now)
    });
    let view = write.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}
