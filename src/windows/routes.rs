//! Windows over HTTP: looking, and opening new ones. What may take something away from bookings is in the room `opening`.

use actix_web::{HttpRequest, HttpResponse, get, post, web::Data};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    model::Window,
    store,
    views::{WindowView, view, views},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    db::changes::{self, Change},
    error::{Code, Error, Result},
    http::{
        cached,
        caller::{Caller, Can, Scope},
        document::IdempotencyHeader,
        etag::versioned,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::WriteWindows,
        valid::{Id, Query, Valid},
    },
    staff, units,
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WindowsQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// Only the windows of this unit's centre.
    unit_id: Option<Uuid>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List windows
///
/// Of a county or of one unit's centre, with the matters they serve and their opening rules.
#[utoipa::path(tag = "windows", security(()), params(WindowsQuery),
    responses((status = 200, description = "A page of windows", body = Page<WindowView>), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/windows")]
pub async fn list_windows(app: Data<App>, request: HttpRequest, query: Query<WindowsQuery>) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "windows", query.cursor.as_deref())?;
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &query.county).await?.id;
        let (unit, count, today) = (query.unit_id, query.count.unwrap_or(false), local_date(app.clock.now()));
        let (windows, views, total) = app
            .db
            .read("list_windows", move |conn| {
                let total = if count { Some(store::count(conn, county, unit)?) } else { None };
                let windows = store::list(conn, county, unit, after, limit)?;
                Ok((windows.clone(), views(conn, county, windows, today)?, total))
            })
            .await?;
        let rows = windows.into_iter().zip(views).collect();
        let place = |(window, _): &(Window, _)| After { at: window.created_at, id: window.id };
        let page = page::cut(&app.keys, "windows", rows, limit as usize, place, |(_, view)| Ok(view))?;
        Ok(Page { total, ..page })
    })
    .await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WindowQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
}

/// One window
///
/// Its `ETag` is what `PUT` wants as `If-Match`.
#[utoipa::path(tag = "windows", security(()), params(("id" = Uuid, Path, description = "The window"), WindowQuery),
    responses((status = 200, description = "The window", body = WindowView), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/windows/{id}")]
pub async fn get_window(
    app: Data<App>,
    request: HttpRequest,
    id: Id,
    query: Query<WindowQuery>,
) -> Result<HttpResponse> {
    let county = app.counties.public(&app, &query.0.county).await?.id;
    let today = local_date(app.clock.now());
    let read = app.db.read("get_window", move |conn| {
        let window = store::find(conn, county, id.0)?.ok_or(Code::NotFound)?;
        view(conn, county, window, today)
    });
    let view = read.await?;
    Ok(versioned(&request, view.version, &view))
}

/// What phones learn of a window.
pub fn changed(county: i32, id: Uuid, unit: Uuid) -> Change {
    Change {
        county,
        entity: "window",
        entity_id: id,
        unit_id: Some(unit),
        resident_id: None,
        staff_id: None,
        gone: false,
    }
}

/// Refuses matters that do not exist or are named twice.
pub fn check_matters(conn: &mut PgConnection, county: i32, ids: &[Uuid]) -> Result<()> {
    if store::known_matters(conn, county, ids)? == ids.len() as i64 {
        return Ok(());
    }
    Err(Error::field(
        "/matter_ids",
        "unknown_matter",
        "含有不存在或重复的事项",
        "one of the matters does not exist or is named twice",
    ))
}

/// Refuses as the officer of a window whoever does not work there.
pub fn check_officer(conn: &mut PgConnection, county: i32, officer: Option<Uuid>, unit: Uuid) -> Result<()> {
    let Some(officer) = officer else { return Ok(()) };
    if staff::serves(conn, county, officer, unit)? {
        return Ok(());
    }
    let (zh, en) = (
        "没有这名在职人员，或其岗位与该单位无关",
        "there is no such active member of staff with a post of the unit, one above or one below",
    );
    Err(Error::field("/officer_id", "unknown_staff", zh, en))
}

/// A window that the caller may change.
pub fn reachable(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Window> {
    let window = store::find(conn, scope.county, id)?.ok_or(Code::NotFound)?;
    if units::exists_in(conn, scope, window.unit_id)? { Ok(window) } else { Err(Code::Forbidden.into()) }
}

/// A new window.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000001", "name": "民生事务窗口", "matter_ids": ["0199a0c0-0000-7000-8000-0000000000b1"]}))]
pub struct CreateWindow {
    /// Whose centre; within the caller's reach.
    unit_id: Uuid,
    /// 1 to 64 characters, unique in the centre.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// Up to 100 matters that it serves.
    #[validate(length(max = 100))]
    #[schema(max_items = 100)]
    matter_ids: Vec<Uuid>,
    /// Who sits there: an active member of staff with a post of the unit, one above or one below.
    officer_id: Option<Uuid>,
}

/// Create a window
///
/// It offers slots once it has an opening rule.
#[utoipa::path(tag = "windows", security(("token" = ["windows:write"])), params(IdempotencyHeader), request_body = CreateWindow,
    responses((status = 201, description = "Created", body = WindowView)), extensions(("x-errors" = json!(["name_taken"]))))]
#[post("/v1/windows")]
pub async fn create_window(
    caller: Can<WriteWindows>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<CreateWindow>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_window", key, body.digest);
    let (scope, command, now) = (caller.scope, body.value, app.clock.now());
    let (who, entry) = (Caller::clone(&caller), Audit::new("create", "window", Uuid::nil()));
    let answer = app
        .once(once, move |conn| {
            if !units::exists_in(conn, scope, command.unit_id)? {
                return Err(Error::field(
                    "/unit_id",
                    "unknown_unit",
                    "没有这个单位，或不在您的管辖范围",
                    "There is no such unit within your reach",
                ));
            }
            check_matters(conn, scope.county, &command.matter_ids)?;
            check_officer(conn, scope.county, command.officer_id, command.unit_id)?;
            let new = (command.unit_id, command.name.trim(), command.officer_id);
            let window = store::insert(conn, scope.county, new, now)?;
            store::serve(conn, scope.county, window.id, &command.matter_ids)?;
            audit::record(conn, &who, now, &entry.of(window.id))?;
            changes::record(conn, changed(scope.county, window.id, window.unit_id), now)?;
            let (id, version) = (window.id, window.version);
            Answer::created(format!("/v1/windows/{id}"), version, &view(conn, scope.county, window, local_date(now))?)
        })
        .await;
    app.rendered.forget();
    answer
}
