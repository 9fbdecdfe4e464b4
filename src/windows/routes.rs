//! Windows and opening rules over HTTP.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, get, http::header, post, put, web::Data};
use chrono::{NaiveDate, NaiveTime};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{
    model::{Place, Rule, Window, WindowState},
    store,
};
use crate::{
    app::App,
    audit::{self, Audit},
    db::changes::{self, Change},
    error::{Code, Error, Result},
    http::{
        cached,
        caller::{Caller, Can, Scope},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag, versioned},
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::WriteWindows,
        valid::{Id, Query, Valid},
    },
    units,
};

/// A service window (窗口) of a unit's centre.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000c1", "unit_id": "0199a0c0-0000-7000-8000-000000000001", "name": "民生事务窗口",
    "state": "open", "matter_ids": ["0199a0c0-0000-7000-8000-0000000000b1"], "opening_rules": [], "version": 1}))]
pub struct WindowView {
    pub id: Uuid,
    pub unit_id: Uuid,
    pub name: String,
    /// A closed window offers no slots; bookings that exist are kept.
    pub state: WindowState,
    /// The matters that it serves.
    pub matter_ids: Vec<Uuid>,
    pub opening_rules: Vec<OpeningRuleView>,
    pub version: i64,
}

/// A recurring opening rule.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d1", "weekdays": [1, 2, 3, 4, 5], "opens_at": "08:30:00", "closes_at": "11:30:00",
    "slot_minutes": 30, "capacity_public": 4, "capacity_proxy": 1, "capacity_desk": 1, "valid_from": "2026-01-01", "valid_until": null}))]
pub struct OpeningRuleView {
    pub id: Uuid,
    /// ISO weekdays, 1 is Monday and 7 is Sunday.
    pub weekdays: Vec<u8>,
    /// Local time (UTC+8).
    pub opens_at: NaiveTime,
    pub closes_at: NaiveTime,
    pub slot_minutes: i16,
    pub capacity_public: i16,
    pub capacity_proxy: i16,
    pub capacity_desk: i16,
    pub valid_from: NaiveDate,
    pub valid_until: Option<NaiveDate>,
}

impl From<Rule> for OpeningRuleView {
    fn from(rule: Rule) -> Self {
        Self {
            id: rule.id,
            weekdays: (1..=7).filter(|day| rule.weekdays & (1 << (day - 1)) != 0).collect(),
            opens_at: rule.opens_at,
            closes_at: rule.closes_at,
            slot_minutes: rule.slot_minutes,
            capacity_public: rule.capacity_public,
            capacity_proxy: rule.capacity_proxy,
            capacity_desk: rule.capacity_desk,
            valid_from: rule.valid_from,
            valid_until: rule.valid_until,
        }
    }
}

/// Views of windows with their rules and matters: two statements however many windows.
fn views(conn: &mut PgConnection, county: i32, windows: Vec<Window>) -> Result<Vec<WindowView>> {
    let ids: Vec<_> = windows.iter().map(|window| window.id).collect();
    let (rules, served) = store::details(conn, county, &ids)?;
    let mut by_window: HashMap<Uuid, (Vec<OpeningRuleView>, Vec<Uuid>)> = HashMap::new();
    for rule in rules {
        by_window.entry(rule.window_id).or_default().0.push(rule.into());
    }
    for (window, matter) in served {
        by_window.entry(window).or_default().1.push(matter);
    }
    let view = |Window { id, unit_id, name, state, version, .. }: Window| {
        let (opening_rules, matter_ids) = by_window.remove(&id).unwrap_or_default();
        WindowView { id, unit_id, name, state, matter_ids, opening_rules, version }
    };
    Ok(windows.into_iter().map(view).collect())
}

fn view(conn: &mut PgConnection, county: i32, window: Window) -> Result<WindowView> {
    views(conn, county, vec![window])?.pop().ok_or_else(|| Error::internal("one window, one view"))
}

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
        let (unit, count) = (query.unit_id, query.count.unwrap_or(false));
        let (windows, views, total) = app
            .db
            .read("list_windows", move |conn| {
                let total = if count { Some(store::count(conn, county, unit)?) } else { None };
                let windows = store::list(conn, county, unit, after, limit)?;
                Ok((windows.clone(), views(conn, county, windows)?, total))
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
    let read = app.db.read("get_window", move |conn| {
        let window = store::find(conn, county, id.0)?.ok_or(Code::NotFound)?;
        view(conn, county, window)
    });
    let view = read.await?;
    Ok(versioned(&request, view.version, &view))
}

fn changed(county: i32, id: Uuid, unit: Uuid) -> Change {
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

fn check_matters(conn: &mut PgConnection, county: i32, ids: &[Uuid]) -> Result<()> {
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

/// A window that the caller may change.
fn reachable(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Window> {
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
            let window = store::insert(conn, scope.county, command.unit_id, command.name.trim(), now)?;
            store::serve(conn, scope.county, window.id, &command.matter_ids)?;
            audit::record(conn, &who, now, &entry.of(window.id))?;
            changes::record(conn, changed(scope.county, window.id, window.unit_id), now)?;
            let (id, version) = (window.id, window.version);
            Answer::created(format!("/v1/windows/{id}"), version, &view(conn, scope.county, window)?)
        })
        .await;
    app.rendered.forget();
    answer
}

/// The whole window as it shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "民生事务窗口", "state": "closed", "matter_ids": []}))]
pub struct UpdateWindow {
    /// 1 to 64 characters, unique in the centre.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    state: WindowState,
    /// Up to 100 matters that it serves.
    #[validate(length(max = 100))]
    #[schema(max_items = 100)]
    matter_ids: Vec<Uuid>,
}

/// Change a window
///
/// Renames, opens or closes it, and sets what it serves. Bookings that exist are kept.
#[utoipa::path(tag = "windows", security(("token" = ["windows:write"])), params(("id" = Uuid, Path, description = "The window"), IfMatchHeader),
    request_body = UpdateWindow, responses((status = 200, description = "As it is now", body = WindowView)), extensions(("x-errors" = json!(["name_taken"]))))]
#[put("/v1/windows/{id}")]
pub async fn update_window(
    caller: Can<WriteWindows>,
    id: Id,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<UpdateWindow>,
) -> Result<HttpResponse> {
    let (scope, command, now) = (caller.scope, body.value, app.clock.now());
    let (who, entry) = (Caller::clone(&caller), Audit::new("update", "window", id.0));
    let view = app
        .db
        .write("update_window", move |conn| {
            let window = reachable(conn, scope, id.0)?;
            seen.check(window.version)?;
            check_matters(conn, scope.county, &command.matter_ids)?;
            let place = (scope.county, id.0, window.version);
            let window =
                store::update(conn, place, (command.name.trim(), command.state), now)?.ok_or(Code::VersionStale)?;
            store::serve(conn, scope.county, window.id, &command.matter_ids)?;
            audit::record(conn, &who, now, &entry)?;
            changes::record(conn, changed(scope.county, window.id, window.unit_id), now)?;
            view(conn, scope.county, window)
        })
        .await?;
    app.rendered.forget();
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}

/// A new opening rule.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check_rule"))]
#[schema(example = json!({"weekdays": [1, 2, 3, 4, 5], "opens_at": "08:30:00", "closes_at": "11:30:00", "slot_minutes": 30,
    "capacity_public": 4, "capacity_proxy": 1, "capacity_desk": 1, "valid_from": "2026-01-01", "valid_until": null}))]
pub struct CreateOpeningRule {
    /// ISO weekdays, 1 is Monday and 7 is Sunday. A make-up workday follows Monday's rules.
    #[validate(length(min = 1, max = 7), custom(function = "check_weekdays"))]
    #[schema(min_items = 1, max_items = 7)]
    weekdays: Vec<u8>,
    /// Local time (UTC+8).
    #[schema(value_type = String, format = "time")]
    opens_at: NaiveTime,
    #[schema(value_type = String, format = "time")]
    closes_at: NaiveTime,
    /// 5 to 480.
    #[validate(range(min = 5, max = 480))]
    #[schema(minimum = 5, maximum = 480)]
    slot_minutes: i16,
    /// Places per slot for the mini-program, 0 to 1,000.
    #[validate(range(min = 0, max = 1000))]
    #[schema(minimum = 0, maximum = 1000)]
    capacity_public: i16,
    /// Places per slot for agents (代约), 0 to 1,000.
    #[validate(range(min = 0, max = 1000))]
    #[schema(minimum = 0, maximum = 1000)]
    capacity_proxy: i16,
    /// Places per slot for the counter, 0 to 1,000.
    #[validate(range(min = 0, max = 1000))]
    #[schema(minimum = 0, maximum = 1000)]
    capacity_desk: i16,
    valid_from: NaiveDate,
    /// The last day; open-ended without it.
    valid_until: Option<NaiveDate>,
}

fn check_weekdays(days: &[u8]) -> Result<(), ValidationError> {
    let distinct: std::collections::BTreeSet<_> = days.iter().collect();
    if days.iter().all(|day| (1..=7).contains(day)) && distinct.len() == days.len() {
        return Ok(());
    }
    Err(ValidationError::new("weekdays")
        .with_message("须为不重复的 1（周一）至 7（周日）|must be distinct days, 1 (Monday) to 7 (Sunday)".into()))
}

fn check_rule(rule: &CreateOpeningRule) -> Result<(), ValidationError> {
    let minutes = (rule.closes_at - rule.opens_at).num_minutes();
    if minutes < i64::from(rule.slot_minutes) {
        return Err(ValidationError::new("hours")
            .with_message("营业时间须至少容纳一个时段|the hours must hold at least one slot".into()));
    }
    if rule.valid_until.is_some_and(|until| until < rule.valid_from) {
        return Err(ValidationError::new("validity")
            .with_message("valid_until 不得早于 valid_from|valid_until must not be before valid_from".into()));
    }
    Ok(())
}

/// Add an opening rule
///
/// Slots follow at once. Answers the whole window.
#[utoipa::path(tag = "windows", security(("token" = ["windows:write"])), params(("id" = Uuid, Path, description = "The window"), IdempotencyHeader),
    request_body = CreateOpeningRule, responses((status = 201, description = "The window with the rule", body = WindowView)))]
#[post("/v1/windows/{id}/opening_rules")]
pub async fn create_opening_rule(
    caller: Can<WriteWindows>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<CreateOpeningRule>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_opening_rule", key, body.digest);
    let (scope, command, now) = (caller.scope, body.value, app.clock.now());
    let rule = Rule {
        id: Uuid::now_v7(),
        window_id: id.0,
        weekdays: command.weekdays.iter().fold(0, |days, day| days | 1 << (day - 1)),
        opens_at: command.opens_at,
        closes_at: command.closes_at,
        slot_minutes: command.slot_minutes,
        capacity_public: command.capacity_public,
        capacity_proxy: command.capacity_proxy,
        capacity_desk: command.capacity_desk,
        valid_from: command.valid_from,
        valid_until: command.valid_until,
        place: Place::Centre,
        every_weeks: 1,
    };
    let (who, entry) = (Caller::clone(&caller), Audit::new("create", "opening_rule", rule.id));
    let answer = app
        .once(once, move |conn| {
            reachable(conn, scope, id.0)?;
            store::insert_rule(conn, scope.county, &rule)?;
            let window = store::touch(conn, scope.county, id.0, now)?.ok_or(Code::NotFound)?;
            audit::record(conn, &who, now, &entry)?;
            changes::record(conn, changed(scope.county, window.id, window.unit_id), now)?;
            let version = window.version;
            Answer::created(format!("/v1/windows/{}", id.0), version, &view(conn, scope.county, window)?)
        })
        .await;
    app.rendered.forget();
    answer
}
