//! Where a household is: set and corrected on purpose, never by a visit; every point stays in the history.

use std::collections::HashSet;

use actix_web::{HttpResponse, get, post, web::Data};
use chrono::{DateTime, FixedOffset, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Integer, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{HomePoint, Household, POSITION_REFUSED, PointSource},
    routes::answer,
    store::{self, Sight},
    views::{self, Eyes, HouseholdView},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::CST,
    db::schema::{household_points, households},
    error::{Code, Error, Lang, Result},
    geo::Point,
    http::{
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::{ReadHouseholds, WriteHouseholds},
        valid::{Id, Valid},
    },
    statement,
};

/// Where a household is.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"point": {"lng": 117.84721, "lat": 25.69254, "coordinate_system": "gcj02"}, "accuracy_m": 12.0}))]
pub struct NewPoint {
    #[validate(nested)]
    pub point: Point,
    /// Metres, as the phone says, 0 to 100,000; left out: picked on a map.
    #[validate(range(min = 0.0, max = 100_000.0))]
    #[schema(minimum = 0, maximum = 100_000)]
    pub accuracy_m: Option<f64>,
}

#[derive(QueryableByName)]
struct HouseholdId {
    #[diesel(sql_type = SqlUuid)]
    household_id: Uuid,
}

statement! {
    struct PositionRefused { county: i32 as Integer, households: Vec<Uuid> as Array<SqlUuid> }
    "SELECT h.id AS household_id FROM unnest({households}) h (id) WHERE household_refuses({county}, h.id)"
}

/// Those of some households of which a member does not agree to the whereabouts of the home being kept.
pub fn unplaced(conn: &mut PgConnection, county: i32, households: Vec<Uuid>) -> Result<HashSet<Uuid>> {
    let rows: Vec<HouseholdId> = PositionRefused { county, households }.load(conn)?;
    Ok(rows.into_iter().map(|row| row.household_id).collect())
}

/// Sets the point of a locked household.
pub fn set(
    conn: &mut PgConnection,
    row: &Household,
    new: &NewPoint,
    (source, by): (PointSource, Option<Uuid>),
    now: DateTime<Utc>,
) -> Result<Household> {
    let (county, household) = (row.county_id, row.id);
    if !unplaced(conn, county, vec![household])?.is_empty() {
        let (zh, en) = POSITION_REFUSED;
        return Err(Error::new(Code::ConsentRequired).detail(zh, en));
    }
    let (given, point) = (new.point, new.point.to_wgs84());
    let given = (
        (household_points::given_lng.eq(given.lng), household_points::given_lat.eq(given.lat)),
        household_points::coordinate_system.eq(given.coordinate_system),
    );
    diesel::insert_into(household_points::table)
        .values((
            (household_points::county_id.eq(county), household_points::id.eq(Uuid::now_v7())),
            (household_points::household_id.eq(household), household_points::source.eq(source), given),
            (household_points::lng.eq(point.lng), household_points::lat.eq(point.lat)),
            (household_points::accuracy_m.eq(new.accuracy_m), household_points::set_by.eq(by)),
            household_points::at.eq(now),
        ))
        .execute(conn)?;
    let set = (households::lng.eq(point.lng), households::lat.eq(point.lat), households::point_set_at.eq(now));
    diesel::update(households::table.find((county, household))).set(set).execute(conn)?;
    Ok(store::touch(conn, (county, household), now)?)
}

statement! {
    /// Whoever sets a point meanwhile, at the desk or by an import, is waited for; so is a check-in.
    struct LockHome { county: i32 as Integer, resident: Uuid as SqlUuid }
    "SELECT h.id AS household_id FROM households h WHERE h.county_id = {county} AND h.id IN (SELECT m.household_id FROM household_members m \
       WHERE m.county_id = {county} AND m.resident_id = {resident} AND m.until_on IS NULL) ORDER BY h.id FOR NO KEY UPDATE"
}

statement! {
    struct ForgetHistory { county: i32 as Integer, household: Uuid as SqlUuid }
    "UPDATE household_points p SET lng = NULL, lat = NULL, given_lng = NULL, given_lat = NULL, accuracy_m = NULL \
     WHERE p.county_id = {county} AND p.household_id IN (SELECT household_ids({county}, {household}))"
}

statement! {
    struct ForgetPoint { county: i32 as Integer, household: Uuid as SqlUuid, now: DateTime<Utc> as diesel::sql_types::Timestamptz }
    "UPDATE households SET lng = NULL, lat = NULL, point_set_at = NULL, version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND id = {household} AND lng IS NOT NULL"
}

statement! {
    struct ForgetLines { county: i32 as Integer, household: Uuid as SqlUuid }
    "UPDATE household_import_lines l SET before = NULL WHERE l.county_id = {county} AND l.household_id IN (SELECT household_ids({county}, {household}))"
}

/// The point of a locked household goes, its history too, and what undoing an import would bring back.
fn forget_at(conn: &mut PgConnection, county: i32, household: Uuid, now: DateTime<Utc>) -> Result<()> {
    ForgetHistory { county, household }.execute(conn)?;
    ForgetLines { county, household }.execute(conn)?;
    ForgetPoint { county, household, now }.execute(conn)?;
    Ok(())
}

/// Where somebody belongs, locked.
pub fn lock_homes(conn: &mut PgConnection, county: i32, resident: Uuid) -> Result<Vec<Uuid>> {
    let homes: Vec<HouseholdId> = LockHome { county, resident }.load(conn)?;
    Ok(homes.into_iter().map(|home| home.household_id).collect())
}

/// A member takes back, or refuses, that their whereabouts are kept: where they live is forgotten.
pub fn forget(conn: &mut PgConnection, county: i32, resident: Uuid, now: DateTime<Utc>) -> Result<()> {
    for household in lock_homes(conn, county, resident)? {
        forget_at(conn, county, household, now)?;
    }
    Ok(())
}

/// Whoever has come to a household may have refused it before.
pub fn forget_if_refused(conn: &mut PgConnection, county: i32, household: Uuid, now: DateTime<Utc>) -> Result<()> {
    store::lock_row(conn, county, household)?;
    if unplaced(conn, county, vec![household])?.is_empty() { Ok(()) } else { forget_at(conn, county, household, now) }
}

/// Set or correct the home point
///
/// A further row of its history. Visits never move it. Refused with `consent_required` while a member does not agree to it.
#[utoipa::path(tag = "households", security(("token" = ["households:write"])), params(("id" = Uuid, Path, description = "The household"), IdempotencyHeader, IfMatchHeader),
    request_body = NewPoint, responses((status = 200, description = "With the point", body = HouseholdView)),
    extensions(("x-errors" = json!(["household_state", "consent_required"]))))]
#[post("/v1/households/{id}/points")]
pub async fn set_household_point(
    caller: Can<WriteHouseholds>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<NewPoint>,
) -> Result<Answer> {
    let once = Once::new(&caller, "set_household_point", key, body.digest);
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let (new, entry) = (body.value, Audit::new("set_point", "household", id.0));
    app.once(once, move |conn| {
        let row = store::lock_active(conn, sight, id.0)?;
        seen.check(row.version)?;
        let source = if row.point_set_at.is_some() { PointSource::Corrected } else { PointSource::Set };
        let row = set(conn, &row, &new, (source, Some(who.subject)), now)?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        answer(conn, &inner, (&who, lang), row)
    })
    .await
}

/// A home point that was set once.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000b5", "household_id": "0199a0c0-0000-7000-8000-0000000000b1", "source": "set",
    "point": {"lng": 117.84721, "lat": 25.69254, "coordinate_system": "gcj02"}, "accuracy_m": 12.0, "set_by": "0199a0c0-0000-7000-8000-0000000000a1", "at": "2026-11-23T09:00:00+08:00"}))]
pub struct HomePointView {
    pub id: Uuid,
    /// The household that it was set for: this one, or one that was merged into it.
    pub household_id: Uuid,
    pub source: PointSource,
    /// As it was given; none once it has been erased, and for those who do not answer for the household.
    #[schema(inline)]
    pub point: Option<Point>,
    pub accuracy_m: Option<f64>,
    pub set_by: Option<Uuid>,
    pub at: DateTime<FixedOffset>,
}

/// The history of a home point.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct HomePoints {
    /// Oldest first.
    pub items: Vec<HomePointView>,
}

/// List home points of a household
///
/// Every one that was ever set, also for households that were merged into it. The look is recorded.
#[utoipa::path(tag = "households", security(("token" = ["households:read"])), params(("id" = Uuid, Path, description = "The household")),
    responses((status = 200, description = "Every point", body = HomePoints)))]
#[get("/v1/households/{id}/points")]
pub async fn list_household_points(
    caller: Can<ReadHouseholds>,
    id: Id,
    lang: Lang,
    app: Data<App>,
) -> Result<HttpResponse> {
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let looked = Audit::new("read_points", "household", id.0).fields(vec!["point"]);
    let write = app.db.write("list_household_points", move |conn| {
        let row = store::find(conn, sight, id.0)?.ok_or(Code::NotFound)?;
        let (county, id) = (row.county_id, row.id);
        let plain = views::one(conn, &inner, Eyes::plain(lang, who.subject, now), row)?.plain;
        audit::record(conn, &who, now, &looked.of(id))?;
        let of = household_points::table.filter(household_points::county_id.eq(county));
        let of = of.filter(household_points::household_id.eq_any(store::with_merged(conn, county, id)?));
        let order = (household_points::at, household_points::id);
        let points: Vec<HomePoint> = of.order(order).select(HomePoint::as_select()).load(conn)?;
        let view = |point: HomePoint| HomePointView {
            id: point.id,
            household_id: point.household_id,
            source: point.source,
            point: point.given_lng.zip(point.given_lat).filter(|_| plain).map(|(lng, lat)| Point {
                lng,
                lat,
                coordinate_system: point.coordinate_system,
            }),
            accuracy_m: point.accuracy_m,
            set_by: point.set_by,
            at: point.at.with_timezone(&CST),
        };
        Ok(points.into_iter().map(view).collect())
    });
    let items: Vec<_> = write.await?;
    Ok(HttpResponse::Ok().json(HomePoints { items }))
}
