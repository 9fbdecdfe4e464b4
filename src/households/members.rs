//! Who belongs to a household: a resident to one at a time.

use actix_web::{HttpRequest, HttpResponse, get, post, web::Data};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{Household, Member, Relation},
    points,
    routes::answer,
    store::{self, Sight},
    views::{HouseholdMemberView, HouseholdView},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    db::schema::{household_members, household_tags},
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::{ReadHouseholds, WriteHouseholds},
        valid::{Id, Valid},
    },
    people,
};

/// Somebody who belongs to a household.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"resident_id": "0199a0c0-0000-7000-8000-00000000000a", "relation": "head"}))]
pub struct NewMember {
    /// Somebody within one's reach.
    pub resident_id: Uuid,
    /// What they are to the head.
    pub relation: Relation,
}

/// Adds a member to a locked household; the household's version is the caller's to raise. Where they do not agree to it, its point goes.
pub fn add(
    conn: &mut PgConnection,
    (who, sight): (&Caller, Sight),
    row: &Household,
    new: &NewMember,
    pointer: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let unknown = || {
        let text = Text::fixed("没有这名居民", "there is no such resident");
        Error::invalid(vec![FieldError::body(pointer, "unknown_resident", text)])
    };
    let resident = people::find(conn, sight.scope, new.resident_id)?.ok_or_else(unknown)?;
    let resident = people::present(conn, row.county_id, resident.id)?.ok_or_else(unknown)?;
    diesel::insert_into(household_members::table)
        .values((
            (household_members::county_id.eq(row.county_id), household_members::id.eq(Uuid::now_v7())),
            (household_members::household_id.eq(row.id), household_members::resident_id.eq(resident)),
            (household_members::relation.eq(new.relation), household_members::since_on.eq(local_date(now))),
            (household_members::added_by.eq(who.subject), household_members::created_at.eq(now)),
        ))
        .execute(conn)?;
    points::forget_if_refused(conn, row.county_id, row.id, now)
}

/// Everybody who ever belonged to a household.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct HouseholdMembers {
    pub items: Vec<HouseholdMemberView>,
}

/// List members of a household
///
/// Those who have left too, oldest first; names are masked.
#[utoipa::path(tag = "households", security(("token" = ["households:read"])), params(("id" = Uuid, Path, description = "The household")),
    responses((status = 200, description = "Everybody who ever belonged to it", body = HouseholdMembers)))]
#[get("/v1/households/{id}/members")]
pub async fn list_household_members(caller: Can<ReadHouseholds>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (sight, inner) = (Sight::new(&caller, caller.scope, app.clock.now()), app.clone());
    let read = app.db.read("list_household_members", move |conn| {
        let row = store::find(conn, sight, id.0)?.ok_or(Code::NotFound)?;
        let of = household_members::table.filter(household_members::county_id.eq(row.county_id));
        let of = of.filter(household_members::household_id.eq(row.id));
        let order = (household_members::since_on, household_members::id);
        let members: Vec<Member> = of.order(order).select(Member::as_select()).load(conn)?;
        let residents: Vec<_> = members.iter().map(|member| member.resident_id).collect();
        let names = people::masked_names(conn, &inner, row.county_id, &residents)?;
        let view = |member: Member| {
            let name = names.get(&member.resident_id).cloned();
            HouseholdMemberView::new(member, name)
        };
        Ok(members.into_iter().map(view).collect())
    });
    let items: Vec<_> = read.await?;
    Ok(HttpResponse::Ok().json(HouseholdMembers { items }))
}

/// Add a member to a household
///
/// Whoever belongs to another one leaves that first. The home point goes where they do not agree to their whereabouts being kept (consent `position`).
#[utoipa::path(tag = "households", security(("token" = ["households:write"])), params(("id" = Uuid, Path, description = "The household"), IdempotencyHeader, IfMatchHeader),
    request_body = NewMember, responses((status = 200, description = "With the member", body = HouseholdView)),
    extensions(("x-errors" = json!(["household_state", "member_elsewhere", "head_taken"]))))]
#[post("/v1/households/{id}/members")]
pub async fn add_household_member(
    caller: Can<WriteHouseholds>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<NewMember>,
) -> Result<Answer> {
    let once = Once::new(&caller, "add_household_member", key, body.digest);
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let (new, entry) = (body.value, Audit::new("add_member", "household", id.0));
    app.once(once, move |conn| {
        let row = store::lock_active(conn, sight, id.0)?;
        seen.check(row.version)?;
        add(conn, (&who, sight), &row, &new, "/resident_id", now)?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        let row = store::touch(conn, (row.county_id, row.id), now)?;
        answer(conn, &inner, (&who, lang), row)
    })
    .await
}

/// Nothing needs to be said.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct EndMembership {}

/// The second id of a path.
pub fn second_id(request: &HttpRequest, name: &str) -> Result<Uuid> {
    let text = request.match_info().get(name).unwrap_or_default();
    text.parse().map_err(|_| Code::NotFound.into())
}

/// End a membership
///
/// Somebody does not belong to the household any more; what was said of them with tags ends too.
#[utoipa::path(tag = "households", security(("token" = ["households:write"])), params(("id" = Uuid, Path, description = "The household"),
    ("member_id" = Uuid, Path, description = "The membership"), IdempotencyHeader, IfMatchHeader),
    request_body = EndMembership, responses((status = 200, description = "Without the member", body = HouseholdView)),
    extensions(("x-errors" = json!(["household_state"]))))]
#[post("/v1/households/{id}/members/{member_id}/end")]
pub async fn end_household_member(
    caller: Can<WriteHouseholds>,
    id: Id,
    key: IdempotencyKey,
    (request, seen): (HttpRequest, IfMatch),
    lang: Lang,
    app: Data<App>,
    body: Valid<EndMembership>,
) -> Result<Answer> {
    let once = Once::new(&caller, "end_household_member", key, body.digest);
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let (member, entry) = (second_id(&request, "member_id")?, Audit::new("end_member", "household", id.0));
    app.once(once, move |conn| {
        let row = store::lock_active(conn, sight, id.0)?;
        seen.check(row.version)?;
        let of = household_members::table.find((row.county_id, member));
        let of = of.filter(household_members::household_id.eq(row.id)).filter(household_members::until_on.is_null());
        let left = diesel::update(of)
            .set(household_members::until_on.eq(local_date(now)))
            .returning(household_members::resident_id)
            .get_result::<Uuid>(conn)?;
        let tags = household_tags::table.filter(household_tags::county_id.eq(row.county_id));
        let tags = tags.filter(household_tags::household_id.eq(row.id)).filter(household_tags::resident_id.eq(left));
        diesel::update(tags.filter(household_tags::until_on.is_null()))
            .set(household_tags::until_on.eq(local_date(now)))
            .execute(conn)?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        let row = store::touch(conn, (row.county_id, row.id), now)?;
        answer(conn, &inner, (&who, lang), row)
    })
    .await
}
