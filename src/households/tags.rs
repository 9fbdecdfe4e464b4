//! Tags of households (标签): a permission of their own, every look recorded, sensitive ones only with a member's consent.

use actix_web::{HttpRequest, HttpResponse, get, post, web::Data};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{dsl::exists, prelude::*};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    members::second_id,
    store::{self, Sight},
    tag_kinds::{self, TagPurpose},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    consents::{self, Purpose},
    db::schema::{household_members, household_tag_kinds, household_tags, households},
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::{ReadHouseholdTags, WriteHouseholdTags},
        valid::{Id, Valid},
    },
};

/// What is said of a household in one word.
#[derive(Clone, Debug, Serialize, ToSchema, Queryable, Selectable)]
#[diesel(table_name = household_tags, check_for_backend(diesel::pg::Pg))]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000b7", "tag": "disabled", "resident_id": "0199a0c0-0000-7000-8000-00000000000a",
    "since_on": "2026-11-23", "until_on": null, "set_by": "0199a0c0-0000-7000-8000-0000000000a1"}))]
pub struct HouseholdTagView {
    pub id: Uuid,
    /// Key of the kind.
    pub tag: String,
    /// The member concerned.
    pub resident_id: Option<Uuid>,
    pub since_on: NaiveDate,
    /// Exclusive; none: it still holds.
    pub until_on: Option<NaiveDate>,
    pub set_by: Uuid,
}

/// The tags of a household.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": [], "version": 3}))]
pub struct HouseholdTags {
    /// Those that hold, and those that did; oldest first.
    pub items: Vec<HouseholdTagView>,
    /// Of the household.
    pub version: i64,
}

fn of(conn: &mut PgConnection, (county, household): (i32, Uuid), version: i64) -> QueryResult<HouseholdTags> {
    let of = household_tags::table.filter(household_tags::county_id.eq(county));
    let of = of.filter(household_tags::household_id.eq(household));
    let order = (household_tags::since_on, household_tags::id);
    Ok(HouseholdTags { items: of.order(order).select(HouseholdTagView::as_select()).load(conn)?, version })
}

/// List tags of a household
///
/// They are told nowhere else. The look is recorded.
#[utoipa::path(tag = "households", security(("token" = ["household_tags:read"])), params(("id" = Uuid, Path, description = "The household")),
    responses((status = 200, description = "Its tags", body = HouseholdTags)))]
#[get("/v1/households/{id}/tags")]
pub async fn list_household_tags(caller: Can<ReadHouseholdTags>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (who, sight, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clock.now());
    let looked = Audit::new("read_tags", "household", id.0).fields(vec!["tags"]);
    let write = app.db.write("list_household_tags", move |conn| {
        let row = store::find(conn, sight, id.0)?.ok_or(Code::NotFound)?;
        audit::record(conn, &who, now, &looked.of(row.id))?;
        Ok(of(conn, (row.county_id, row.id), row.version)?)
    });
    Ok(HttpResponse::Ok().json(write.await?))
}

/// A tag, and whom it is about.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tag": "disabled", "resident_id": "0199a0c0-0000-7000-8000-00000000000a"}))]
pub struct NewHouseholdTag {
    /// Key of an active kind, 1 to 32 characters.
    #[validate(length(min = 1, max = 32))]
    #[schema(min_length = 1, max_length = 32)]
    tag: String,
    /// The member concerned; a sensitive tag needs one, whose consent it rests on.
    resident_id: Option<Uuid>,
}

/// Refuses a tag that the county has not, and a sensitive one without a member who agrees.
fn check(
    conn: &mut PgConnection,
    (county, household): (i32, Uuid),
    new: &NewHouseholdTag,
    now: DateTime<Utc>,
) -> Result<()> {
    let kind = tag_kinds::active(conn, county, &new.tag)?;
    let kind = kind.ok_or_else(|| {
        Error::field("/tag", "unknown_tag", "没有这个标签，或已停用", "there is no such tag, or it is closed")
    })?;
    if let Some(resident) = new.resident_id {
        let member = household_members::table.filter(household_members::county_id.eq(county));
        let member = member.filter(household_members::household_id.eq(household));
        let member = member.filter(household_members::resident_id.eq(resident));
        if !diesel::select(exists(member.filter(household_members::until_on.is_null()))).get_result(conn)? {
            let (zh, en) = ("不是该户成员", "does not belong to the household");
            return Err(Error::field("/resident_id", "not_a_member", zh, en));
        }
    }
    match (kind.consent, new.resident_id) {
        (None, _) => Ok(()),
        (Some(_), None) => {
            let (zh, en) = ("敏感标签须指明成员并取得其同意", "a sensitive tag needs the member who agrees to it");
            Err(Error::field("/resident_id", "required", zh, en))
        }
        (Some(purpose), Some(resident)) => consents::required(conn, county, resident, purpose.into(), now),
    }
}

/// Give a household a tag
///
/// A sensitive one rests on the separate consent of the member concerned, and goes when that is withdrawn.
#[utoipa::path(tag = "households", security(("token" = ["household_tags:write"])), params(("id" = Uuid, Path, description = "The household"), IdempotencyHeader, IfMatchHeader),
    request_body = NewHouseholdTag, responses((status = 200, description = "Its tags now", body = HouseholdTags)),
    extensions(("x-errors" = json!(["household_state", "tag_there", "consent_required"]))))]
#[post("/v1/households/{id}/tags")]
pub async fn add_household_tag(
    caller: Can<WriteHouseholdTags>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<NewHouseholdTag>,
) -> Result<Answer> {
    let once = Once::new(&caller, "add_household_tag", key, body.digest);
    let (who, sight, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clock.now());
    let (new, entry) = (body.value, Audit::new("add_tag", "household", id.0).fields(vec!["tags"]));
    app.once(once, move |conn| {
        let row = store::lock_active(conn, sight, id.0)?;
        seen.check(row.version)?;
        check(conn, (row.county_id, row.id), &new, now)?;
        diesel::insert_into(household_tags::table)
            .values((
                (household_tags::county_id.eq(row.county_id), household_tags::id.eq(Uuid::now_v7())),
                (household_tags::household_id.eq(row.id), household_tags::tag.eq(&new.tag)),
                (household_tags::resident_id.eq(new.resident_id), household_tags::since_on.eq(local_date(now))),
                (household_tags::set_by.eq(who.subject), household_tags::created_at.eq(now)),
            ))
            .execute(conn)?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        let row = store::touch(conn, (row.county_id, row.id), now)?;
        Answer::ok(row.version, &of(conn, (row.county_id, row.id), row.version)?)
    })
    .await
}

/// Nothing needs to be said.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct EndHouseholdTag {}

/// End a tag
///
/// It holds no more, from today on.
#[utoipa::path(tag = "households", security(("token" = ["household_tags:write"])), params(("id" = Uuid, Path, description = "The household"),
    ("tag_id" = Uuid, Path, description = "The tag of the household"), IdempotencyHeader, IfMatchHeader),
    request_body = EndHouseholdTag, responses((status = 200, description = "Its tags now", body = HouseholdTags)),
    extensions(("x-errors" = json!(["household_state"]))))]
#[post("/v1/households/{id}/tags/{tag_id}/end")]
pub async fn end_household_tag(
    caller: Can<WriteHouseholdTags>,
    id: Id,
    key: IdempotencyKey,
    (request, seen): (HttpRequest, IfMatch),
    app: Data<App>,
    body: Valid<EndHouseholdTag>,
) -> Result<Answer> {
    let once = Once::new(&caller, "end_household_tag", key, body.digest);
    let (who, sight, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clock.now());
    let (tag, entry) = (second_id(&request, "tag_id")?, Audit::new("end_tag", "household", id.0).fields(vec!["tags"]));
    app.once(once, move |conn| {
        let row = store::lock_active(conn, sight, id.0)?;
        seen.check(row.version)?;
        let held = household_tags::table.find((row.county_id, tag));
        let held = held.filter(household_tags::household_id.eq(row.id)).filter(household_tags::until_on.is_null());
        if diesel::update(held).set(household_tags::until_on.eq(local_date(now))).execute(conn)? == 0 {
            return Err(Code::NotFound.into());
        }
        audit::record(conn, &who, now, &entry.of(row.id))?;
        let row = store::touch(conn, (row.county_id, row.id), now)?;
        Answer::ok(row.version, &of(conn, (row.county_id, row.id), row.version)?)
    })
    .await
}

/// A member takes a consent back, or refuses it: the tags that rest on it go, those that have ended too.
fn forget(
    conn: &mut PgConnection,
    (county, resident): (i32, Uuid),
    purpose: TagPurpose,
    now: DateTime<Utc>,
) -> Result<()> {
    let kinds = household_tag_kinds::table.filter(household_tag_kinds::county_id.eq(county));
    let kinds = kinds.filter(household_tag_kinds::consent.eq(purpose)).select(household_tag_kinds::key);
    let tags = household_tags::table.filter(household_tags::county_id.eq(county));
    let tags = tags.filter(household_tags::resident_id.eq(resident)).filter(household_tags::tag.eq_any(kinds));
    let from: Vec<Uuid> = diesel::delete(tags).returning(household_tags::household_id).get_results(conn)?;
    let here = households::table.filter(households::county_id.eq(county)).filter(households::id.eq_any(from));
    diesel::update(here)
        .set((households::version.eq(households::version + 1), households::updated_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Forgets what rests on [`Purpose::Health`].
pub fn forget_health(conn: &mut PgConnection, county: i32, resident: Uuid, now: DateTime<Utc>) -> Result<()> {
    forget(conn, (county, resident), TagPurpose::Health, now)
}

/// Forgets what rests on [`Purpose::Under14`].
pub fn forget_under_14(conn: &mut PgConnection, county: i32, resident: Uuid, now: DateTime<Utc>) -> Result<()> {
    forget(conn, (county, resident), TagPurpose::Under14, now)
}

impl From<TagPurpose> for Purpose {
    fn from(purpose: TagPurpose) -> Self {
        match purpose {
            TagPurpose::Health => Self::Health,
            TagPurpose::Under14 => Self::Under14,
        }
    }
}
