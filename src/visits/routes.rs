//! Looking at visits over HTTP.

use actix_web::{HttpResponse, get, http::header, web::Data};
use chrono::{DateTime, FixedOffset};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    lists::{self, Asked, Filter, Of},
    model::{Visit, VisitFlag, VisitOutcome},
    store,
    views::VisitView,
};
use crate::{
    app::App,
    audit::{self, Audit},
    error::{Code, Lang, Result},
    http::{
        caller::{Caller, Can, Reach, Seen},
        etag::etag,
        page::{self, After, Page},
        permissions::ReadVisits,
        valid::{Id, Query},
    },
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VisitsQuery {
    /// Of this household.
    household_id: Option<Uuid>,
    /// Of this unit and the units below it; the caller's own by default.
    unit_id: Option<Uuid>,
    /// Those that the caller made. Nobody can list what somebody else has made: that would be a track.
    #[param(default = false)]
    mine: Option<bool>,
    /// Only those with this outcome, as amended.
    #[param(inline)]
    outcome: Option<VisitOutcome>,
    /// Only those with this flag.
    #[param(inline)]
    flag: Option<VisitFlag>,
    /// Only those that happened from this time on; before that one.
    from: Option<DateTime<FixedOffset>>,
    until: Option<DateTime<FixedOffset>>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List visits
///
/// Of a household, of a unit and the units below it, or one's own; newest first. Without notes and points: those are looked at one by one.
#[utoipa::path(tag = "visits", security(("token" = ["visits:read"])), params(VisitsQuery),
    responses((status = 200, description = "A page of visits", body = Page<VisitView>)))]
#[get("/v1/visits")]
pub async fn list_visits(
    caller: Can<ReadVisits>,
    lang: Lang,
    app: Data<App>,
    query: Query<VisitsQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "visits", query.cursor.as_deref())?;
    let of = match (query.mine.unwrap_or(false), query.household_id, query.unit_id) {
        (true, ..) => Of::Staff(caller.subject),
        (false, Some(household), _) => Of::Household(household),
        (false, None, unit) => Of::Unit(unit.or(caller.unit).ok_or(Code::Forbidden)?),
    };
    let within = match (caller.scope.reach, of) {
        (Reach::Unit(unit), Of::Unit(_) | Of::Household(_)) => Some(unit),
        _ => None,
    };
    let utc = |at: Option<DateTime<FixedOffset>>| at.map(|at| at.to_utc());
    let VisitsQuery { outcome, flag, from, until, count, .. } = query;
    let filter = Filter { outcome, flag, from: utc(from), until: utc(until) };
    let asked = Asked { county: caller.county, of, staff: caller.staff(), within, filter };
    let read = app.db.read("list_visits", move |conn| {
        let total = count.unwrap_or(false).then(|| lists::count(conn, &asked)).transpose()?;
        Ok((lists::list(conn, &asked, after, limit)?, total))
    });
    let (rows, total) = read.await?;
    let place = |row: &Visit| After { at: row.occurred_at, id: row.id };
    let page = page::cut(&app.keys, "visits", rows, limit as usize, place, |row| Ok(VisitView::new(lang, &row)))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// One visit
///
/// With what was said, its amendments and photos. For whoever made it, and staff of its unit and above it, whose look is recorded.
#[utoipa::path(tag = "visits", security(("token" = ["visits:read"])), params(("id" = Uuid, Path, description = "The visit")),
    responses((status = 200, description = "The visit", body = VisitView)))]
#[get("/v1/visits/{id}")]
pub async fn get_visit(caller: Can<ReadVisits>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (who, seen, now) = (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now());
    let (looked, inner) = (Audit::new("read_visit", "visit", id.0).fields(vec!["note", "position"]), app.clone());
    let show = move |conn: &mut PgConnection| {
        let row = store::find(conn, who.county, seen, id.0)?.ok_or(Code::NotFound)?;
        if !row.own {
            audit::record(conn, &who, now, &looked)?;
        }
        VisitView::of(conn, &inner, lang, &row)
    };
    let view = app.db.write("get_visit", show).await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}
