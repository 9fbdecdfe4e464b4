//! Looking at helpers over HTTP.

use actix_web::{HttpResponse, get, http::header, web::Data};
use chrono::DateTime;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    decisions,
    model::{HelperKind, HelperState},
    store::{self, Wanted},
    views::{HelperView, Shown},
};
use crate::{
    app::App,
    audit::{self, Audit},
    error::{Code, Lang, Result},
    geo::CoordinateSystem,
    http::{
        caller::{Caller, Can},
        etag::etag,
        page::{self, After, Page},
        permissions::{DecideHelpers, ReadHelpers},
        valid::{Id, Query},
    },
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HelpersQuery {
    /// Only those whose home is this unit or lies below it.
    unit_id: Option<Uuid>,
    /// Only of this kind.
    #[param(inline)]
    kind: Option<HelperKind>,
    /// Only in this state.
    #[param(inline)]
    state: Option<HelperState>,
    /// Only those who have this skill.
    #[param(example = "care", max_length = 32)]
    skill: Option<String>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List helpers
///
/// Those of the caller's unit and the units below it; a resident sees oneself. In the order in which they came; nobody is ranked.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:read"])), params(HelpersQuery),
    responses((status = 200, description = "A page of helpers", body = Page<HelperView>)))]
#[get("/v1/helpers")]
pub async fn list_helpers(
    caller: Can<ReadHelpers>,
    lang: Lang,
    app: Data<App>,
    query: Query<HelpersQuery>,
) -> Result<HttpResponse> {
    let HelpersQuery { unit_id: unit, kind, state, skill, limit, cursor, count } = query.0;
    let limit = page::limit(limit)?;
    let after = page::after(&app.keys, "helpers", cursor.as_deref())?;
    let (scope, wanted, inner) = (caller.scope, Wanted { unit, kind, state, skill }, app.clone());
    let read = app.db.read("list_helpers", move |conn| {
        let total = if count.unwrap_or(false) { Some(store::count(conn, scope, &wanted)?) } else { None };
        let rows = store::list(conn, scope, &wanted, after, limit)?;
        Ok((HelperView::many(conn, &inner, (lang, Shown::Outside), rows)?, total))
    });
    let (views, total) = read.await?;
    // The id is all of the order.
    let place = |view: &HelperView| After { at: DateTime::UNIX_EPOCH, id: view.id };
    let page = page::cut(&app.keys, "helpers", views, limit as usize, place, Ok)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// One helper
///
/// Whoever decides about them also reads what they wrote and everything that was decided before, which is recorded.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:read"])), params(("id" = Uuid, Path, description = "The helper")),
    responses((status = 200, description = "The helper", body = HelperView)))]
#[get("/v1/helpers/{id}")]
pub async fn get_helper(caller: Can<ReadHelpers>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (who, scope, inner, now) = (Caller::clone(&caller), caller.scope, app.clone(), app.clock.now());
    let decides = caller.scope_of::<DecideHelpers>()?.is_some();
    let shown = match (caller.is_resident(), decides) {
        (true, _) => Shown::Own(CoordinateSystem::Wgs84),
        (false, true) => Shown::Words,
        (false, false) => Shown::Outside,
    };
    let looked = Audit::new("read", "helper", id.0).fields(vec!["words", "reason"]);
    let read = app.db.write("get_helper", move |conn| {
        let row = store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        let said = row.words.is_some() || row.reason.is_some() || decisions::has_reasons(conn, row.county_id, row.id)?;
        if matches!(shown, Shown::Words) && said {
            audit::record(conn, &who, now, &looked)?;
        }
        HelperView::one(conn, &inner, (lang, shown), row)
    });
    let view = read.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}
