//! Who answers for a household: its holder, handed over, and its one-to-one partner (结对帮扶).

use actix_web::{HttpRequest, HttpResponse, get, post, web::Data};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{Date, Timestamptz},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    closing::take_look,
    members::second_id,
    model::{Household, Partner},
    routes::answer,
    store::{self, Sight},
    views::HouseholdView,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    db::schema::visit_partners,
    error::{Code, Error, Lang, Result},
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

/// To whom.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"holder_id": "0199a0c0-0000-7000-8000-0000000000a2"}))]
pub struct HandOverHousehold {
    /// An active member of staff.
    holder_id: Uuid,
    /// 2 to 200 characters, kept in the audit log. Needed by whoever takes a household over themselves: they see it in plain from then on.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    reason: Option<String>,
}

/// Whoever gives a household to themselves sees it in plain: that takes a reason and counts as a look, as by `reveal`.
/// What was answered before costs none.
async fn taken(
    app: &Data<App>,
    (who, once): (&Caller, &Once),
    to: Uuid,
    reason: Option<&str>,
) -> Result<Option<Answer>> {
    if to != who.subject {
        return Ok(None);
    }
    if reason.is_none() {
        let (zh, en) = ("由本人接手须写明原因", "say why you take it over yourself");
        return Err(Error::field("/reason", "required", zh, en));
    }
    let answered = app.answered(once.clone()).await?;
    if answered.is_none() {
        take_look(app, who).await?;
    }
    Ok(answered)
}

/// Hand a household over
///
/// Somebody else answers for its visits from now on, its open task included. When a member of staff leaves, everything they hold goes to another at once.
/// Taking one over oneself needs a reason, at most 30 a minute.
#[utoipa::path(tag = "households", security(("token" = ["households:write"])), params(("id" = Uuid, Path, description = "The household"), IdempotencyHeader, IfMatchHeader),
    request_body = HandOverHousehold, responses((status = 200, description = "With its new holder", body = HouseholdView)),
    extensions(("x-errors" = json!(["household_state", "too_many_requests"]))))]
#[post("/v1/households/{id}/hand_over")]
pub async fn hand_over_household(
    caller: Can<WriteHouseholds>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<HandOverHousehold>,
) -> Result<Answer> {
    let once = Once::new(&caller, "hand_over_household", key, body.digest);
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let HandOverHousehold { holder_id: to, reason } = body.value;
    if let Some(answer) = taken(&app, (&who, &once), to, reason.as_deref()).await? {
        return Ok(answer);
    }
    let entry = Audit::new("hand_over", "household", id.0).because(reason);
    app.once(once, move |conn| {
        let row = store::lock_active(conn, sight, id.0)?;
        seen.check(row.version)?;
        store::check_staff(conn, row.county_id, to, "/holder_id")?;
        let row = store::set_holder(conn, &row, to, now)?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        answer(conn, &inner, (&who, lang), row)
    })
    .await
}

/// A one-to-one partner (结对帮扶干部).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000b6", "staff_id": "0199a0c0-0000-7000-8000-0000000000a1", "from_on": "2026-11-23", "until_on": null}))]
pub struct VisitPartnerView {
    pub id: Uuid,
    pub staff_id: Uuid,
    pub from_on: NaiveDate,
    /// Exclusive, planned where it is still to come; none: until further notice.
    pub until_on: Option<NaiveDate>,
}

/// Everybody who was ever the partner of a household.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct VisitPartners {
    /// Oldest first.
    pub items: Vec<VisitPartnerView>,
}

/// List partners of a household
///
/// Former ones too, also of households that were merged into it.
#[utoipa::path(tag = "households", security(("token" = ["households:read"])), params(("id" = Uuid, Path, description = "The household")),
    responses((status = 200, description = "Every partner", body = VisitPartners)))]
#[get("/v1/households/{id}/partners")]
pub async fn list_visit_partners(caller: Can<ReadHouseholds>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let sight = Sight::new(&caller, caller.scope, app.clock.now());
    let read = app.db.read("list_visit_partners", move |conn| {
        let row = store::find(conn, sight, id.0)?.ok_or(Code::NotFound)?;
        let of = visit_partners::table.filter(visit_partners::county_id.eq(row.county_id));
        let of = of.filter(visit_partners::household_id.eq_any(store::with_merged(conn, row.county_id, row.id)?));
        let order = (visit_partners::from_on, visit_partners::id);
        Ok(of.order(order).select(Partner::as_select()).load(conn)?)
    });
    let view = |partner: Partner| {
        let Partner { id, staff_id, from_on, until_on, planned_until, .. } = partner;
        VisitPartnerView { id, staff_id, from_on, until_on: until_on.or(planned_until) }
    };
    let items = read.await?.into_iter().map(view).collect();
    Ok(HttpResponse::Ok().json(VisitPartners { items }))
}

/// Who is to be the partner.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"staff_id": "0199a0c0-0000-7000-8000-0000000000a1"}))]
pub struct NewVisitPartner {
    /// An active member of staff, of whatever unit; sees the household in plain from then on.
    staff_id: Uuid,
    /// Today by default, and not later.
    from_on: Option<NaiveDate>,
    /// The first day on which they are not the partner any more, after today; until further notice by default.
    until_on: Option<NaiveDate>,
    /// 2 to 200 characters, kept in the audit log. Needed by whoever makes themselves the partner.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    reason: Option<String>,
}

/// Somebody as a partner, from a day on and perhaps until another.
pub struct Partnership {
    pub staff: Uuid,
    pub from_on: NaiveDate,
    pub planned_until: Option<NaiveDate>,
}

/// Writes a partner of a locked household.
pub fn add_partner(
    conn: &mut PgConnection,
    row: &Household,
    Partnership { staff, from_on, planned_until }: Partnership,
    by: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    diesel::insert_into(visit_partners::table)
        .values((
            (visit_partners::county_id.eq(row.county_id), visit_partners::id.eq(Uuid::now_v7())),
            (visit_partners::household_id.eq(row.id), visit_partners::staff_id.eq(staff)),
            (visit_partners::from_on.eq(from_on), visit_partners::planned_until.eq(planned_until)),
            (visit_partners::created_by.eq(by), visit_partners::created_at.eq(now)),
        ))
        .execute(conn)
}

/// Give a household a partner
///
/// One at a time: the one before ends first. Making oneself the partner needs a reason, at most 30 a minute.
#[utoipa::path(tag = "households", security(("token" = ["households:write"])), params(("id" = Uuid, Path, description = "The household"), IdempotencyHeader, IfMatchHeader),
    request_body = NewVisitPartner, responses((status = 200, description = "With the partner", body = HouseholdView)),
    extensions(("x-errors" = json!(["household_state", "has_partner", "too_many_requests"]))))]
#[post("/v1/households/{id}/partners")]
pub async fn add_visit_partner(
    caller: Can<WriteHouseholds>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<NewVisitPartner>,
) -> Result<Answer> {
    let once = Once::new(&caller, "add_visit_partner", key, body.digest);
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let new = body.value;
    let entry = Audit::new("add_partner", "household", id.0).because(new.reason.clone());
    let (today, planned_until) = (local_date(now), new.until_on);
    let from_on = new.from_on.unwrap_or(today);
    if from_on > today {
        return Err(Error::field("/from_on", "range", "不得晚于今天", "must not be after today"));
    }
    if planned_until.is_some_and(|until| until <= today) {
        return Err(Error::field("/until_on", "range", "须晚于今天", "must be after today"));
    }
    if let Some(answer) = taken(&app, (&who, &once), new.staff_id, new.reason.as_deref()).await? {
        return Ok(answer);
    }
    app.once(once, move |conn| {
        let row = store::lock_active(conn, sight, id.0)?;
        seen.check(row.version)?;
        store::check_staff(conn, row.county_id, new.staff_id, "/staff_id")?;
        let partnership = Partnership { staff: new.staff_id, from_on, planned_until };
        add_partner(conn, &row, partnership, who.subject, now)?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        let row = store::touch(conn, (row.county_id, row.id), now)?;
        answer(conn, &inner, (&who, lang), row)
    })
    .await
}

/// When it ends.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"on": "2026-12-31"}))]
pub struct EndVisitPartner {
    /// The first day on which they are not the partner any more, not before today, the default.
    on: Option<NaiveDate>,
    /// Lifts the end that was planned instead: they stay until further notice.
    #[serde(default)]
    lift: bool,
}

/// End a partnership
///
/// At once, or planned for a later day, in place of what was planned before; or what was planned is lifted.
#[utoipa::path(tag = "households", security(("token" = ["households:write"])), params(("id" = Uuid, Path, description = "The household"),
    ("partner_id" = Uuid, Path, description = "The partnership"), IdempotencyHeader, IfMatchHeader),
    request_body = EndVisitPartner, responses((status = 200, description = "Without the partner; with them where it ends later", body = HouseholdView)),
    extensions(("x-errors" = json!(["household_state"]))))]
#[post("/v1/households/{id}/partners/{partner_id}/end")]
pub async fn end_visit_partner(
    caller: Can<WriteHouseholds>,
    id: Id,
    key: IdempotencyKey,
    (request, seen): (HttpRequest, IfMatch),
    lang: Lang,
    app: Data<App>,
    body: Valid<EndVisitPartner>,
) -> Result<Answer> {
    let once = Once::new(&caller, "end_visit_partner", key, body.digest);
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let (partner, entry) = (second_id(&request, "partner_id")?, Audit::new("end_partner", "household", id.0));
    let today = local_date(now);
    let EndVisitPartner { on, lift } = body.value;
    if lift && on.is_some() {
        return Err(Error::field("/on", "not_both", "取消计划时不能再写日期", "there is no day with `lift`"));
    }
    let on = on.unwrap_or(today);
    if on < today {
        return Err(Error::field("/on", "range", "不得早于今天", "must not be before today"));
    }
    app.once(once, move |conn| {
        let row = store::lock_active(conn, sight, id.0)?;
        seen.check(row.version)?;
        let of = visit_partners::table.find((row.county_id, partner));
        let of = of.filter(visit_partners::household_id.eq(row.id)).filter(visit_partners::until_on.is_null());
        let (planned, now_on) =
            if lift { (None, None) } else { ((on > today).then_some(on), (on == today).then_some(on)) };
        let ends = (visit_partners::planned_until.eq(planned), visit_partners::until_on.eq(now_on));
        if diesel::update(of).set(ends).execute(conn)? == 0 {
            return Err(Code::NotFound.into());
        }
        audit::record(conn, &who, now, &entry.of(row.id))?;
        let row = store::touch(conn, (row.county_id, row.id), now)?;
        answer(conn, &inner, (&who, lang), row)
    })
    .await
}

statement! {
    struct EndPlanned { today: NaiveDate as Date, now: DateTime<Utc> as Timestamptz }
    "WITH ended AS (UPDATE visit_partners SET until_on = planned_until WHERE until_on IS NULL AND planned_until <= {today} RETURNING county_id, household_id) \
     UPDATE households h SET version = version + 1, updated_at = {now} FROM ended e WHERE h.county_id = e.county_id AND h.id = e.household_id"
}

/// Ends the partnerships that were planned until today, in every county, all at once.
pub fn end_planned(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<bool> {
    EndPlanned { today: local_date(now), now }.execute(conn)?;
    Ok(false)
}
