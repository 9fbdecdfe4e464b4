//! Looking at single ratings over HTTP: one's own, and those of others from one level above.

use actix_web::{HttpResponse, get, http::header, web::Data};
use chrono::NaiveDate;
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    model::{AboutKind, Rating},
    store::{self, Looking, Wanted},
    views::RatingView,
};
use crate::{
    app::App,
    audit::{self, Audit},
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can, Scope},
        etag::etag,
        page::{self, After, Page},
        permissions::ReadRatings,
        valid::{Id, Query},
    },
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RatingsQuery {
    /// Only of this unit and the units below it.
    unit_id: Option<Uuid>,
    /// Only of this kind.
    #[param(inline)]
    about_kind: Option<AboutKind>,
    /// Only of this appointment, errand or order.
    about_id: Option<Uuid>,
    /// Only up to this grade: 2 lists the bad ones.
    #[param(minimum = 1, maximum = 5)]
    up_to_grade: Option<i16>,
    /// Given on this day or later.
    from: Option<NaiveDate>,
    /// Given on this day or earlier.
    to: Option<NaiveDate>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// What somebody may look at.
pub(super) fn looking(conn: &mut PgConnection, who: &Caller, scope: Scope) -> Result<Looking> {
    let hidden = match who.staff() {
        Some(member) => store::working_units(conn, who.county, member)?,
        None => Vec::new(),
    };
    Ok(Looking { scope, who: who.subject, hidden })
}

/// List ratings
///
/// Residents: those that they gave or that are of what they received. Townships and supervisors: of the units below them, without words, never
/// of a unit in which they work themselves, nor of what they did. Oldest first.
#[utoipa::path(tag = "ratings", security(("token" = ["ratings:read"])), params(RatingsQuery),
    responses((status = 200, description = "A page of ratings", body = Page<RatingView>)))]
#[get("/v1/ratings")]
pub async fn list_ratings(
    caller: Can<ReadRatings>,
    lang: Lang,
    app: Data<App>,
    query: Query<RatingsQuery>,
) -> Result<HttpResponse> {
    let RatingsQuery { unit_id, about_kind, about_id, up_to_grade, from, to, limit, cursor, count } = query.0;
    let limit = page::limit(limit)?;
    if up_to_grade.is_some_and(|grade| !(1..=5).contains(&grade)) {
        let text = Text::fixed("须在 1 至 5 之间", "must be 1 to 5");
        return Err(Error::invalid(vec![FieldError::query("up_to_grade", "range", text)]));
    }
    let after = page::after(&app.keys, "ratings", cursor.as_deref())?;
    let (who, scope, inner, now) = (Caller::clone(&caller), caller.scope, app.clone(), app.clock.now());
    let wanted = Wanted { unit: unit_id, about_kind, about: about_id, up_to_grade, from, to };
    let entry = Audit::new("list", "rating", Uuid::nil());
    let read = app.db.write("list_ratings", move |conn| {
        let looking = looking(conn, &who, scope)?;
        let total = if count.unwrap_or(false) { Some(store::count(conn, &looking, wanted)?) } else { None };
        let rows = store::list(conn, &looking, wanted, after, limit)?;
        if !who.is_resident() {
            audit::record(conn, &who, now, &entry)?;
        }
        let places: Vec<_> = rows.iter().map(|row: &Rating| After { at: row.created_at, id: row.id }).collect();
        let views = RatingView::many(conn, &inner, lang, rows)?;
        Ok((places.into_iter().zip(views).collect::<Vec<_>>(), total))
    });
    let (rows, total) = read.await?;
    let page = page::cut(&app.keys, "ratings", rows, limit as usize, |(place, _)| *place, |(_, view)| Ok(view))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// One rating
///
/// With what was said and what was said before. Somebody else's look is recorded.
#[utoipa::path(tag = "ratings", security(("token" = ["ratings:read"])), params(("id" = Uuid, Path, description = "The rating")),
    responses((status = 200, description = "The rating", body = RatingView)))]
#[get("/v1/ratings/{id}")]
pub async fn get_rating(caller: Can<ReadRatings>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (who, scope, inner, now) = (Caller::clone(&caller), caller.scope, app.clone(), app.clock.now());
    let entry = Audit::new("read", "rating", id.0).fields(vec!["words"]);
    let read = app.db.write("get_rating", move |conn| {
        let looking = looking(conn, &who, scope)?;
        let row = store::find(conn, &looking, id.0)?.ok_or(Code::NotFound)?;
        if !who.is_resident() {
            audit::record(conn, &who, now, &entry)?;
        }
        RatingView::whole(conn, &inner, lang, row)
    });
    let view = read.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}
