//! Two households that are one: members, tags, points, partner and tasks go over; the id of the one that vanishes leads on.

use std::collections::HashSet;

use actix_web::{post, web::Data};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{Integer, Timestamptz, Uuid as SqlUuid},
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    holding::{Partnership, add_partner},
    model::{Household, Relation, place},
    points,
    routes::answer,
    store::{self, Sight},
    views::HouseholdView,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    db::schema::{household_members, household_tags, households, visit_partners},
    error::{Code, Error, Lang, Result},
    http::{
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::WriteHouseholds,
        valid::{Id, Valid},
    },
    statement,
};

/// Which household is the same, and why one thinks so.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"duplicate_id": "0199a0c0-0000-7000-8000-0000000000b9", "reason": "离线登记重复"}))]
pub struct MergeHousehold {
    /// The one that vanishes.
    duplicate_id: Uuid,
    /// 2 to 200 characters; kept in the audit log.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    reason: String,
}

/// Members go over; of two heads the one who stays is head.
fn members(conn: &mut PgConnection, from: &Household, into: &Household) -> QueryResult<usize> {
    let of = |id| {
        household_members::table
            .filter(household_members::county_id.eq(from.county_id))
            .filter(household_members::household_id.eq(id))
    };
    let head = of(into.id).filter(household_members::relation.eq(Relation::Head));
    let headed = diesel::select(diesel::dsl::exists(head.filter(household_members::until_on.is_null())));
    if headed.get_result(conn)? {
        let head = of(from.id).filter(household_members::relation.eq(Relation::Head));
        diesel::update(head).set(household_members::relation.eq(Relation::Other)).execute(conn)?;
    }
    diesel::update(of(from.id)).set(household_members::household_id.eq(into.id)).execute(conn)
}

/// Tags go over; what is said of both already ends with the one that vanishes.
fn tags(conn: &mut PgConnection, from: &Household, into: &Household, today: NaiveDate) -> QueryResult<usize> {
    let of = |id| {
        household_tags::table
            .filter(household_tags::county_id.eq(from.county_id))
            .filter(household_tags::household_id.eq(id))
    };
    let said: Vec<String> =
        of(into.id).filter(household_tags::until_on.is_null()).select(household_tags::tag).load(conn)?;
    let twice = of(from.id).filter(household_tags::tag.eq_any(said)).filter(household_tags::until_on.is_null());
    diesel::update(twice).set(household_tags::until_on.eq(today)).execute(conn)?;
    diesel::update(of(from.id)).set(household_tags::household_id.eq(into.id)).execute(conn)
}

/// The partner of the one that vanishes goes over if the other has none; days before stay with the id that they were said of.
fn partner(conn: &mut PgConnection, from: &Household, into: &Household, by: Uuid, now: DateTime<Utc>) -> Result<()> {
    let live = |id| {
        let of = visit_partners::table.filter(visit_partners::county_id.eq(from.county_id));
        of.filter(visit_partners::household_id.eq(id)).filter(visit_partners::until_on.is_null())
    };
    let today = local_date(now);
    let left = diesel::update(live(from.id))
        .set(visit_partners::until_on.eq(today))
        .returning((visit_partners::staff_id, visit_partners::planned_until))
        .get_results::<(Uuid, Option<NaiveDate>)>(conn)?;
    let has = diesel::select(diesel::dsl::exists(live(into.id))).get_result::<bool>(conn)?;
    let goes_on = left.first().filter(|(_, until)| until.is_none_or(|until| until > today));
    if let (Some(&(staff, planned_until)), false) = (goes_on, has) {
        add_partner(conn, into, Partnership { staff, from_on: today, planned_until }, by, now)?;
    }
    Ok(())
}

statement! {
    /// The one that vanishes says nothing of its own any more.
    struct Vanish { county: i32 as Integer, from: Uuid as SqlUuid, into: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE households SET state = 'merged', merged_into = {into}, code = NULL, name = NULL, name_index = NULL, address = NULL, note = NULL, category_id = NULL, \
       lng = NULL, lat = NULL, point_set_at = NULL, last_visit_on = NULL, version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND (id = {from} OR merged_into = {from})"
}

statement! {
    struct Plan { county: i32 as Integer, household: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "SELECT household_plan({county}, {household}, {now})"
}

/// What the one that stays lacks it takes from the other, sealed anew under its own id.
fn fill(conn: &mut PgConnection, app: &App, from: &Household, into: &Household, now: DateTime<Utc>) -> Result<()> {
    let again = |column: &str, own: &Option<Vec<u8>>, other: &Option<Vec<u8>>| -> Result<Option<Vec<u8>>> {
        let (None, Some(sealed)) = (own, other) else { return Ok(own.clone()) };
        let plain = app.keys.open_text(from.county_id, &place(column, from.id), sealed)?;
        Ok(Some(app.keys.seal(into.county_id, &place(column, into.id), plain.as_bytes())))
    };
    let placed = if into.point_set_at.is_some() { into } else { from };
    diesel::update(households::table.find((into.county_id, into.id)))
        .set((
            households::code.eq(into.code.as_ref().or(from.code.as_ref())),
            households::address.eq(again("address", &into.address, &from.address)?),
            households::note.eq(again("note", &into.note, &from.note)?),
            households::category_id.eq(into.category_id.or(from.category_id)),
            (households::lng.eq(placed.lng), households::lat.eq(placed.lat)),
            households::point_set_at.eq(placed.point_set_at),
            households::last_visit_on.eq(into.last_visit_on.max(from.last_visit_on)),
            households::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Merge two households
///
/// The one in the path stays. What it lacks it takes from the other: address, note, category, home point, partner. Members, tags, points and visits are
/// those of both. The other's id leads to it from then on. The home point goes where a member of either does not agree to it.
#[utoipa::path(tag = "households", security(("token" = ["households:write"])), params(("id" = Uuid, Path, description = "The household that stays"), IdempotencyHeader, IfMatchHeader),
    request_body = MergeHousehold, responses((status = 200, description = "Both in one", body = HouseholdView)),
    extensions(("x-errors" = json!(["household_state"]))))]
#[post("/v1/households/{id}/merge")]
pub async fn merge_household(
    caller: Can<WriteHouseholds>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<MergeHousehold>,
) -> Result<Answer> {
    let MergeHousehold { duplicate_id, reason } = body.value;
    let once = Once::new(&caller, "merge_household", key, body.digest);
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let entry = Audit::new("merge", "household", id.0).because(Some(reason));
    app.once(once, move |conn| {
        let into = store::find(conn, sight, id.0)?.ok_or(Code::NotFound)?.id;
        if HashSet::from([into, duplicate_id]).len() == 1 {
            return Err(Error::field("/duplicate_id", "same", "两个户相同", "is the same household"));
        }
        let (into, from) = store::lock_both(conn, sight, into, duplicate_id)?;
        seen.check(into.version)?;
        members(conn, &from, &into)?;
        tags(conn, &from, &into, local_date(now))?;
        partner(conn, &from, &into, who.subject, now)?;
        Vanish { county: who.county, from: from.id, into: into.id, now }.execute(conn)?;
        fill(conn, &inner, &from, &into, now)?;
        points::forget_if_refused(conn, who.county, into.id, now)?;
        if from.last_visit_on > into.last_visit_on && into.category_id.is_some() {
            Plan { county: who.county, household: into.id, now }.execute(conn)?;
        }
        for id in [into.id, from.id] {
            audit::record(conn, &who, now, &entry.of(id))?;
        }
        let row = store::touch(conn, (who.county, into.id), now)?;
        answer(conn, &inner, (&who, lang), row)
    })
    .await
}
