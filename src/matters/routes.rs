//! The catalogue over HTTP: public to read, the county administrator's to change.

use actix_web::{HttpRequest, HttpResponse, get, http::header, post, put, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::store::{self, Matter, MatterState, Said};
use crate::{
    app::App,
    audit::{self, Audit},
    db::changes::{self, Change},
    error::{Code, Result},
    http::{
        cached,
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag, versioned},
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::WriteMatters,
        valid::{Id, Query, Valid},
    },
    people::IdentityLevel,
    windows::Place,
};

/// A matter (事项).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "城乡居民医保参保登记", "description": "带身份证或户口簿", "state": "active", "identity_level": "none",
    "slots": 1, "places": ["centre"], "travel_minutes": 30, "own_specialist": false, "version": 1}))]
pub struct MatterView {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    /// Only active matters can be booked.
    pub state: MatterState,
    /// How sure we must be who a resident is before it can be booked online.
    pub identity_level: IdentityLevel,
    /// Consecutive slots that an appointment takes.
    pub slots: i16,
    /// Where it can be done; the first is where it is done unless something else is said.
    pub places: Vec<Place>,
    /// Minutes kept free before and after an appointment at home.
    pub travel_minutes: i16,
    /// Only the specialist (特派员) of the unit where the resident lives does it.
    pub own_specialist: bool,
    pub version: i64,
}

impl From<Matter> for MatterView {
    fn from(matter: Matter) -> Self {
        let Matter { id, name, description, state, identity_level, .. } = matter;
        let Matter { slots, places, travel_minutes, own_specialist, version, .. } = matter;
        Self { id, name, description, state, identity_level, slots, places, travel_minutes, own_specialist, version }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MattersQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// Only matters in this state.
    #[param(inline, example = "active")]
    state: Option<MatterState>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List matters
///
/// The county's catalogue, oldest first.
#[utoipa::path(tag = "matters", security(()), params(MattersQuery),
    responses((status = 200, description = "A page of matters", body = Page<MatterView>), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/matters")]
pub async fn list_matters(app: Data<App>, request: HttpRequest, query: Query<MattersQuery>) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "matters", query.cursor.as_deref())?;
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &query.county).await?.id;
        let (state, count) = (query.state, query.count.unwrap_or(false));
        let (rows, total) = app
            .db
            .read("list_matters", move |conn| {
                let total = if count { Some(store::count(conn, county, state)?) } else { None };
                Ok((store::list(conn, county, state, after, limit)?, total))
            })
            .await?;
        let place = |matter: &Matter| After { at: matter.created_at, id: matter.id };
        let page = page::cut(&app.keys, "matters", rows, limit as usize, place, |matter| Ok(MatterView::from(matter)))?;
        Ok(Page { total, ..page })
    })
    .await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MatterQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
}

/// One matter
///
/// Its `ETag` is what `PUT` wants as `If-Match`.
#[utoipa::path(tag = "matters", security(()), params(("id" = Uuid, Path, description = "The matter"), MatterQuery),
    responses((status = 200, description = "The matter", body = MatterView), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/matters/{id}")]
pub async fn get_matter(
    app: Data<App>,
    request: HttpRequest,
    id: Id,
    query: Query<MatterQuery>,
) -> Result<HttpResponse> {
    let county = app.counties.public(&app, &query.0.county).await?.id;
    let matter = app.db.read("get_matter", move |conn| store::find(conn, county, id.0)).await?.ok_or(Code::NotFound)?;
    Ok(versioned(&request, matter.version, &MatterView::from(matter)))
}

/// A new matter.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "城乡居民医保参保登记", "description": "带身份证或户口簿"}))]
pub struct CreateMatter {
    /// 1 to 64 characters, unique in the county.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// What to bring and to know. Up to 2,000 characters.
    #[validate(length(max = 2000))]
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// How sure we must be who a resident is before it can be booked online; `none` by default.
    #[schema(inline)]
    identity_level: Option<IdentityLevel>,
    /// Consecutive slots that an appointment takes, 1 to 8; 1 by default.
    #[validate(range(min = 1, max = 8))]
    #[schema(minimum = 1, maximum = 8)]
    slots: Option<i16>,
    /// Where it can be done, each place once, the usual one first; `centre` by default.
    #[validate(length(min = 1, max = 4), custom(function = "check_places"))]
    #[schema(min_items = 1, max_items = 4, inline)]
    places: Option<Vec<Place>>,
    /// Minutes kept free before and after an appointment at home, 0 to 240; 30 by default.
    #[validate(range(min = 0, max = 240))]
    #[schema(minimum = 0, maximum = 240)]
    travel_minutes: Option<i16>,
    /// Only the specialist (特派员) of the unit where the resident lives does it; `false` by default.
    own_specialist: Option<bool>,
}

pub(super) fn check_places(places: &[Place]) -> Result<(), ValidationError> {
    let twice = |(index, place): (usize, &Place)| places[..index].contains(place);
    if !places.iter().enumerate().any(twice) {
        return Ok(());
    }
    Err(ValidationError::new("places").with_message("每个地点只能出现一次|a place is named twice".into()))
}

impl CreateMatter {
    /// With the default for what is left out.
    fn said(self) -> Said {
        let usual = Said::new(self.name.trim(), self.description);
        Said {
            identity_level: self.identity_level.unwrap_or(usual.identity_level),
            slots: self.slots.unwrap_or(usual.slots),
            places: self.places.unwrap_or(usual.places),
            travel_minutes: self.travel_minutes.unwrap_or(usual.travel_minutes),
            own_specialist: self.own_specialist.unwrap_or(usual.own_specialist),
            ..usual
        }
    }
}

/// What phones learn of a matter.
pub(super) fn changed(county: i32, id: Uuid) -> Change {
    Change { county, entity: "matter", entity_id: id, unit_id: None, resident_id: None, staff_id: None, gone: false }
}

/// Create a matter
///
/// Adds to the catalogue; it can be booked once a window serves it.
#[utoipa::path(tag = "matters", security(("token" = ["matters:write"])), params(IdempotencyHeader), request_body = CreateMatter,
    responses((status = 201, description = "Created", body = MatterView)), extensions(("x-errors" = json!(["name_taken"]))))]
#[post("/v1/matters")]
pub async fn create_matter(
    caller: Can<WriteMatters>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<CreateMatter>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_matter", key, body.digest);
    let (county, said, now) = (caller.county, body.value.said(), app.clock.now());
    let (who, entry) = (Caller::clone(&caller), Audit::new("create", "matter", Uuid::nil()));
    let answer = app
        .once(once, move |conn| {
            let matter = store::insert(conn, county, &said, now)?;
            audit::record(conn, &who, now, &entry.of(matter.id))?;
            changes::record(conn, changed(county, matter.id), now)?;
            Answer::created(format!("/v1/matters/{}", matter.id), matter.version, &MatterView::from(matter))
        })
        .await;
    app.rendered.forget();
    answer
}

/// The whole matter as it shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "城乡居民医保参保登记", "description": null, "state": "withdrawn"}))]
pub struct UpdateMatter {
    /// 1 to 64 characters, unique in the county.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// Up to 2,000 characters.
    #[validate(length(max = 2000))]
    #[schema(max_length = 2000)]
    description: Option<String>,
    state: MatterState,
    /// `none` by default.
    #[schema(inline)]
    identity_level: Option<IdentityLevel>,
    /// Consecutive slots that an appointment takes, 1 to 8; 1 by default.
    #[validate(range(min = 1, max = 8))]
    #[schema(minimum = 1, maximum = 8)]
    slots: Option<i16>,
    /// Where it can be done, each place once, the usual one first; `centre` by default.
    #[validate(length(min = 1, max = 4), custom(function = "check_places"))]
    #[schema(min_items = 1, max_items = 4, inline)]
    places: Option<Vec<Place>>,
    /// Minutes kept free before and after an appointment at home, 0 to 240; 30 by default.
    #[validate(range(min = 0, max = 240))]
    #[schema(minimum = 0, maximum = 240)]
    travel_minutes: Option<i16>,
    /// Only the specialist (特派员) of the unit where the resident lives does it; `false` by default.
    own_specialist: Option<bool>,
}

impl UpdateMatter {
    fn said(self) -> (Said, MatterState) {
        let Self { name, description, state, identity_level, slots, places, travel_minutes, own_specialist } = self;
        let same = CreateMatter { name, description, identity_level, slots, places, travel_minutes, own_specialist };
        (same.said(), state)
    }
}

/// Change a matter
///
/// Renames, describes or withdraws it, and says how it is done; what is left out is as by default. Appointments that exist are
/// kept as they are.
#[utoipa::path(tag = "matters", security(("token" = ["matters:write"])), params(("id" = Uuid, Path, description = "The matter"), IfMatchHeader),
    request_body = UpdateMatter, responses((status = 200, description = "As it is now", body = MatterView)), extensions(("x-errors" = json!(["name_taken"]))))]
#[put("/v1/matters/{id}")]
pub async fn update_matter(
    caller: Can<WriteMatters>,
    id: Id,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<UpdateMatter>,
) -> Result<HttpResponse> {
    let (county, (said, state), now) = (caller.county, body.value.said(), app.clock.now());
    let (who, entry) = (Caller::clone(&caller), Audit::new("update", "matter", id.0));
    let matter = app
        .db
        .write("update_matter", move |conn| {
            let matter = store::find(conn, county, id.0)?.ok_or(Code::NotFound)?;
            seen.check(matter.version)?;
            let place = (county, id.0, matter.version);
            let matter = store::update(conn, place, (&said, state), now)?.ok_or(Code::VersionStale)?;
            audit::record(conn, &who, now, &entry)?;
            changes::record(conn, changed(county, matter.id), now)?;
            Ok(matter)
        })
        .await?;
    app.rendered.forget();
    let tag = (header::ETAG, etag(matter.version));
    Ok(HttpResponse::Ok().insert_header(tag).json(MatterView::from(matter)))
}
