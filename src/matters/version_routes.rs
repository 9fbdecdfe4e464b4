//! Versions over HTTP: public to read, the county administrator's to publish.

use actix_web::{HttpRequest, HttpResponse, get, post, web::Data};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    check, routes, store,
    version::{Content, Version},
    version_store,
    version_views::{PublishVersion, VersionView},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    db::changes,
    departments,
    error::{Code, Error, FieldError, Result, Text},
    http::{
        cached,
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::WriteMatters,
        valid::{Id, Query, Valid},
    },
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VersionsQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List versions of a matter
///
/// Past, present and coming ones, in the order in which they were published. A matter without a version can be booked, not filed.
#[utoipa::path(tag = "matters", security(()), params(("id" = Uuid, Path, description = "The matter"), VersionsQuery),
    responses((status = 200, description = "A page of versions", body = Page<VersionView>), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/matters/{id}/versions")]
pub async fn list_matter_versions(
    app: Data<App>,
    request: HttpRequest,
    id: Id,
    query: Query<VersionsQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let list = format!("matter_versions/{}", id.0);
    // The number stands where other lists have an id.
    let after = page::after(&app.keys, &list, query.cursor.as_deref())?;
    let above = after.and_then(|after| i16::try_from(after.id.as_u128()).ok()).unwrap_or(0);
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &query.county).await?.id;
        let count = query.count.unwrap_or(false);
        let read = app.db.read("list_matter_versions", move |conn| {
            store::find(conn, county, id.0)?.ok_or(Code::NotFound)?;
            let total = if count { Some(version_store::count(conn, county, id.0)?) } else { None };
            Ok((version_store::list(conn, county, id.0, above, limit)?, total))
        });
        let (rows, total) = read.await?;
        let place = |version: &Version| After {
            at: version.created_at,
            id: Uuid::from_u128(u128::from(version.number.unsigned_abs())),
        };
        let page = page::cut(&app.keys, &list, rows, limit as usize, place, |version| Ok(VersionView::from(version)))?;
        Ok(Page { total, ..page })
    })
    .await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VersionQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
}

/// One version of a matter
///
/// Also a past or a coming one; what was published never changes.
#[utoipa::path(tag = "matters", security(()),
    params(("id" = Uuid, Path, description = "The matter"), ("number" = i16, Path, description = "The number of the version"), VersionQuery),
    responses((status = 200, description = "The version", body = VersionView), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/matters/{id}/versions/{number}")]
pub async fn get_matter_version(
    app: Data<App>,
    request: HttpRequest,
    id: Id,
    query: Query<VersionQuery>,
) -> Result<HttpResponse> {
    let number: i16 = request.match_info().get("number").and_then(|text| text.parse().ok()).ok_or(Code::NotFound)?;
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &query.0.county).await?.id;
        let read = app.db.read("get_matter_version", move |conn| version_store::version(conn, county, id.0, number));
        Ok(VersionView::from(read.await?.ok_or(Code::NotFound)?))
    })
    .await
}

/// Publishes the next version of a matter that is locked; what was there already is not looked at. Faults are those that need the
/// database.
pub(super) fn publish(
    conn: &mut PgConnection,
    (county, matter): (i32, Uuid),
    content: &Content,
    from: NaiveDate,
    (by, now): (Option<Uuid>, DateTime<Utc>),
) -> Result<Version> {
    let mut wrong = Vec::new();
    if from < local_date(now) && version_store::count(conn, county, matter)? > 0 {
        let text = Text::fixed("不得早于今天", "must not be in the past");
        wrong.push(FieldError::body("/effective_from", "in_past", text));
    }
    if let Some(department) = content.department_id
        && !departments::hold(conn, county, department)?
    {
        wrong.push(departments::unknown("/department_id"));
    }
    if !wrong.is_empty() {
        return Err(Error::invalid(wrong));
    }
    version_store::insert(conn, (county, matter), content, from, (by, now))
}

/// Publish a version
///
/// The next one, in effect from its day on; of several for one day the last counts. Whoever has filed keeps the version that was in
/// effect then. Nothing of it can be changed afterwards: a coming version is replaced by another one for the same day.
#[utoipa::path(tag = "matters", security(("token" = ["matters:write"])), params(("id" = Uuid, Path, description = "The matter"), IdempotencyHeader),
    request_body = PublishVersion, responses((status = 201, description = "Published", body = VersionView)))]
#[post("/v1/matters/{id}/versions")]
pub async fn publish_matter_version(
    caller: Can<WriteMatters>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<PublishVersion>,
) -> Result<Answer> {
    let once = Once::new(&caller, "publish_matter_version", key, body.digest);
    let (county, who, now) = (caller.county, Caller::clone(&caller), app.clock.now());
    let from = body.value.effective_from.unwrap_or(local_date(now));
    let content = body.value.content();
    let wrong = check::faults(&content, "", "department_id");
    let entry = Audit::new("publish", "matter", id.0).fields(vec!["version"]);
    let answer = app
        .once(once, move |conn| {
            // A matter that is not there comes first.
            version_store::lock(conn, county, id.0)?;
            if !wrong.is_empty() {
                return Err(Error::invalid(wrong.clone()));
            }
            let version = publish(conn, (county, id.0), &content, from, (who.staff(), now))?;
            audit::record(conn, &who, now, &entry)?;
            changes::record(conn, routes::changed(county, id.0), now)?;
            let place = format!("/v1/matters/{}/versions/{}", id.0, version.number);
            Answer::created(place, 1, &VersionView::from(version))
        })
        .await;
    app.rendered.forget();
    answer
}
