//! Units over HTTP: public, for choosing a place.

use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    model::{Level, Unit},
    store,
};
use crate::{
    app::App,
    error::{Code, Result},
    http::{
        cached,
        page::{self, After, Page},
        valid::{Id, Query},
    },
};

/// A county, township or village and its service centre (党群服务中心).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-000000000001", "parent_id": "0199a0c0-0000-7000-8000-000000000000",
    "level": "township", "name": "均溪镇", "division_code": "350425100000", "code_source": "statistics_bureau", "code_vintage": "2023"}))]
pub struct UnitView {
    pub id: Uuid,
    /// The unit above; none for the county.
    pub parent_id: Option<Uuid>,
    pub level: Level,
    pub name: String,
    /// Twelve digits. An attribute, not a key: it may change, and another `code_source` may give another.
    pub division_code: String,
    pub code_source: String,
    pub code_vintage: Option<String>,
}

impl From<Unit> for UnitView {
    fn from(unit: Unit) -> Self {
        let Unit { id, parent_id, level, name, division_code, code_source, code_vintage, .. } = unit;
        Self { id, parent_id, level, name, division_code, code_source, code_vintage }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UnitsQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// Only units of this level.
    #[param(inline, example = "township")]
    level: Option<Level>,
    /// Only the units directly below this one.
    parent_id: Option<Uuid>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List units
///
/// Townships and villages of a county, in the order of their registration.
#[utoipa::path(tag = "units", security(()), params(UnitsQuery),
    responses((status = 200, description = "A page of units", body = Page<UnitView>), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/units")]
pub async fn list_units(app: Data<App>, request: HttpRequest, query: Query<UnitsQuery>) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "units", query.cursor.as_deref())?;
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &query.county).await?.id;
        let (filter, count) = ((query.level, query.parent_id), query.count.unwrap_or(false));
        let (rows, total) = app
            .db
            .read("list_units", move |conn| {
                let total = if count { Some(store::count(conn, county, filter)?) } else { None };
                Ok((store::list(conn, county, filter, after, limit)?, total))
            })
            .await?;
        let place = |unit: &Unit| After { at: unit.created_at, id: unit.id };
        let page = page::cut(&app.keys, "units", rows, limit as usize, place, |unit| Ok(UnitView::from(unit)))?;
        Ok(Page { total, ..page })
    })
    .await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UnitQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
}

/// One unit
///
/// With its division code and where that comes from.
#[utoipa::path(tag = "units", security(()), params(("id" = Uuid, Path, description = "The unit"), UnitQuery),
    responses((status = 200, description = "The unit", body = UnitView), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/units/{id}")]
pub async fn get_unit(app: Data<App>, request: HttpRequest, id: Id, query: Query<UnitQuery>) -> Result<HttpResponse> {
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &query.0.county).await?.id;
        let unit = app.db.read("get_unit", move |conn| store::find(conn, county, id.0)).await?;
        Ok(UnitView::from(unit.ok_or(Code::NotFound)?))
    })
    .await
}
