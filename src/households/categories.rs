//! How often households are to be seen (走访类别): a list of the county's own.

use actix_web::{HttpResponse, get, http::header, post, put, web::Data};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::{
    app::App,
    audit::{self, Audit},
    db::{
        changes::{self, Change},
        found,
        schema::visit_categories,
    },
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag},
        idempotency::{Answer, IdempotencyKey, Once},
        page::Page,
        permissions::{ReadHouseholds, WriteVisitCategories},
        valid::{Id, Valid},
    },
    text_enum,
};

text_enum! {
    /// Whether households are still put into a category.
    pub enum CategoryState {
        Active = "active",
        Closed = "closed",
    }
}

/// How often a household is to be seen (走访类别).
#[derive(Clone, Debug, Serialize, ToSchema, Queryable, Selectable)]
#[diesel(table_name = visit_categories, check_for_backend(diesel::pg::Pg))]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000b4", "name": "重点关爱户", "every_days": 30, "window_days": 10, "state": "active", "version": 1}))]
pub struct VisitCategoryView {
    pub id: Uuid,
    pub name: String,
    /// Days from a visit until the next one is due.
    pub every_days: i16,
    /// Days before the due day from which on a visit counts for it.
    pub window_days: i16,
    pub state: CategoryState,
    pub version: i64,
}

/// The category as it shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "重点关爱户", "every_days": 30, "window_days": 10}))]
pub struct WriteVisitCategory {
    /// 1 to 64 characters, unique in the county.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// 1 to 730.
    #[validate(range(min = 1, max = 730))]
    #[schema(minimum = 1, maximum = 730)]
    pub every_days: i16,
    /// 1 to 730, and no more than `every_days`.
    #[validate(range(min = 1, max = 730))]
    #[schema(minimum = 1, maximum = 730)]
    pub window_days: i16,
    /// `active` by default; no household is put into a closed one any more, those in it stay.
    #[schema(inline)]
    pub state: Option<CategoryState>,
}

impl WriteVisitCategory {
    fn check(&self) -> Result<()> {
        if self.name.trim().is_empty() {
            return Err(Error::field("/name", "required", "不能为空", "must not be empty"));
        }
        if self.window_days > self.every_days {
            let (zh, en) = ("不得大于 every_days", "must not be more than every_days");
            return Err(Error::field("/window_days", "range", zh, en));
        }
        Ok(())
    }
}

/// All of a county, oldest first.
pub fn all(conn: &mut PgConnection, county: i32) -> QueryResult<Vec<VisitCategoryView>> {
    let here = visit_categories::table.filter(visit_categories::county_id.eq(county));
    let order = (visit_categories::created_at, visit_categories::id);
    here.order(order).select(VisitCategoryView::as_select()).load(conn)
}

pub fn insert(
    conn: &mut PgConnection,
    (county, id): (i32, Uuid),
    new: &WriteVisitCategory,
    now: DateTime<Utc>,
) -> QueryResult<VisitCategoryView> {
    diesel::insert_into(visit_categories::table)
        .values((
            (visit_categories::county_id.eq(county), visit_categories::id.eq(id)),
            (visit_categories::name.eq(new.name.trim()), visit_categories::every_days.eq(new.every_days)),
            visit_categories::window_days.eq(new.window_days),
            visit_categories::state.eq(new.state.unwrap_or(CategoryState::Active)),
            (visit_categories::created_at.eq(now), visit_categories::updated_at.eq(now)),
        ))
        .returning(VisitCategoryView::as_returning())
        .get_result(conn)
}

/// What phones learn of a category.
fn changed(county: i32, id: Uuid) -> Change {
    let (unit_id, resident_id, staff_id) = (None, None, None);
    Change { county, entity: "visit_category", entity_id: id, unit_id, resident_id, staff_id, gone: false }
}

/// List categories of visits
///
/// All of the county, on one page, oldest first.
#[utoipa::path(tag = "households", security(("token" = ["households:read"])),
    responses((status = 200, description = "Every category", body = Page<VisitCategoryView>)))]
#[get("/v1/visit-categories")]
pub async fn list_visit_categories(caller: Can<ReadHouseholds>, app: Data<App>) -> Result<HttpResponse> {
    let county = caller.county;
    let items = app.db.read("list_visit_categories", move |conn| Ok(all(conn, county)?)).await?;
    Ok(HttpResponse::Ok().json(Page { items, next_cursor: None, total: None }))
}

/// Create a category of visits
///
/// Households can be put into it at once.
#[utoipa::path(tag = "households", security(("token" = ["visit_categories:write"])), params(IdempotencyHeader), request_body = WriteVisitCategory,
    responses((status = 201, description = "Created", body = VisitCategoryView)), extensions(("x-errors" = json!(["name_taken"]))))]
#[post("/v1/visit-categories")]
pub async fn create_visit_category(
    caller: Can<WriteVisitCategories>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<WriteVisitCategory>,
) -> Result<Answer> {
    body.value.check()?;
    let once = Once::new(&caller, "create_visit_category", key, body.digest);
    let (id, new, now) = (Uuid::now_v7(), body.value, app.clock.now());
    let (who, entry) = (Caller::clone(&caller), Audit::new("create", "visit_category", id));
    app.once(once, move |conn| {
        let view = insert(conn, (who.county, id), &new, now)?;
        audit::record(conn, &who, now, &entry)?;
        changes::record(conn, changed(who.county, id), now)?;
        Answer::created(format!("/v1/visit-categories/{id}"), view.version, &view)
    })
    .await
}

/// Change a category of visits
///
/// Tasks that are open stay as they are; the next ones follow.
#[utoipa::path(tag = "households", security(("token" = ["visit_categories:write"])), params(("id" = Uuid, Path, description = "The category"), IfMatchHeader),
    request_body = WriteVisitCategory, responses((status = 200, description = "As it is now", body = VisitCategoryView)), extensions(("x-errors" = json!(["name_taken"]))))]
#[put("/v1/visit-categories/{id}")]
pub async fn update_visit_category(
    caller: Can<WriteVisitCategories>,
    id: Id,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<WriteVisitCategory>,
) -> Result<HttpResponse> {
    let (new, now) = (body.value, app.clock.now());
    let (who, entry) = (Caller::clone(&caller), Audit::new("update", "visit_category", id.0));
    let write = app.db.write("update_visit_category", move |conn| {
        let row = visit_categories::table.find((who.county, id.0));
        let version = row.select(visit_categories::version).for_no_key_update();
        seen.check(found(version.first(conn))?.ok_or(Code::NotFound)?)?;
        new.check()?;
        let view: VisitCategoryView = diesel::update(row)
            .set((
                (visit_categories::name.eq(new.name.trim()), visit_categories::every_days.eq(new.every_days)),
                visit_categories::window_days.eq(new.window_days),
                visit_categories::state.eq(new.state.unwrap_or(CategoryState::Active)),
                visit_categories::version.eq(visit_categories::version + 1),
                visit_categories::updated_at.eq(now),
            ))
            .returning(VisitCategoryView::as_returning())
            .get_result(conn)?;
        audit::record(conn, &who, now, &entry)?;
        changes::record(conn, changed(who.county, id.0), now)?;
        Ok(view)
    });
    let view = write.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}
