//! Closing and reopening a household, and seeing one in plain with a reason.

use actix_web::{HttpResponse, http::header, post, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::HouseholdState,
    routes::answer,
    store::{self, Sight},
    views::{self, HouseholdView, open},
};
use crate::{
    app::App,
    audit::{self, Audit},
    error::{Code, Lang, Result},
    geo::Point,
    http::{
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::{Answer, IdempotencyKey, Once},
        limits,
        permissions::{RevealResidents, WriteHouseholds},
        valid::{Id, Valid},
    },
};

/// Why, in a few words.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "全家迁往县城"}))]
pub struct HouseholdReason {
    /// 2 to 200 characters; kept in the audit log.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    pub reason: String,
}

/// A command: who, which household, which version was seen.
struct Command {
    who: Caller,
    sight: Sight,
    id: Uuid,
    seen: IfMatch,
    lang: Lang,
}

async fn turn(
    app: Data<App>,
    once: Once,
    Command { who, sight, id, seen, lang }: Command,
    (from, to, entry): (HouseholdState, HouseholdState, Audit),
) -> Result<Answer> {
    let (inner, now) = (app.clone(), app.clock.now());
    app.once(once, move |conn| {
        let row = store::lock(conn, sight, id)?;
        seen.check(row.version)?;
        if row.state != from {
            return Err(Code::HouseholdState.into());
        }
        let row = store::set_state(conn, &row, to, now)?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        answer(conn, &inner, (&who, lang), row)
    })
    .await
}

/// Close a household
///
/// It has moved away, or nobody is left. Its open task is dropped; all that is known of it stays.
#[utoipa::path(tag = "households", security(("token" = ["households:write"])), params(("id" = Uuid, Path, description = "The household"), IdempotencyHeader, IfMatchHeader),
    request_body = HouseholdReason, responses((status = 200, description = "Closed", body = HouseholdView)),
    extensions(("x-errors" = json!(["household_state"]))))]
#[post("/v1/households/{id}/close")]
pub async fn close_household(
    caller: Can<WriteHouseholds>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<HouseholdReason>,
) -> Result<Answer> {
    let once = Once::new(&caller, "close_household", key, body.digest);
    let entry = Audit::new("close", "household", id.0).because(Some(body.value.reason));
    let (sight, who) = (Sight::new(&caller, caller.scope, app.clock.now()), Caller::clone(&caller));
    let command = Command { who, sight, id: id.0, seen, lang };
    turn(app, once, command, (HouseholdState::Active, HouseholdState::Closed, entry)).await
}

/// Reopen a household
///
/// They are there again. Its category leads to a task again.
#[utoipa::path(tag = "households", security(("token" = ["households:write"])), params(("id" = Uuid, Path, description = "The household"), IdempotencyHeader, IfMatchHeader),
    request_body = HouseholdReason, responses((status = 200, description = "Active again", body = HouseholdView)),
    extensions(("x-errors" = json!(["household_state"]))))]
#[post("/v1/households/{id}/reopen")]
pub async fn reopen_household(
    caller: Can<WriteHouseholds>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<HouseholdReason>,
) -> Result<Answer> {
    let once = Once::new(&caller, "reopen_household", key, body.digest);
    let entry = Audit::new("reopen", "household", id.0).because(Some(body.value.reason));
    let (sight, who) = (Sight::new(&caller, caller.scope, app.clock.now()), Caller::clone(&caller));
    let command = Command { who, sight, id: id.0, seen, lang };
    turn(app, once, command, (HouseholdState::Closed, HouseholdState::Active, entry)).await
}

/// Households that somebody sees in plain though they do not answer for them: at most 30 a minute, also by making themselves answer for them.
pub async fn take_look(app: &App, who: &Caller) -> Result<()> {
    limits::take(app, "reveals", &format!("{}:{}", who.county, who.subject), 30).await
}

/// What is needed to go there.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"name": "陈阿婆", "address": "红星村12号", "note": "听力不好", "point": null}))]
pub struct RevealedHouseholdView {
    pub name: Option<String>,
    pub address: Option<String>,
    pub note: Option<String>,
    #[schema(inline)]
    pub point: Option<Point>,
}

/// See a household in plain
///
/// For those who do not answer for it. Writes who looked and why to the audit log before it answers. At most 30 a minute; never replayed.
#[utoipa::path(tag = "households", security(("token" = ["residents:reveal"])), params(("id" = Uuid, Path, description = "The household")),
    request_body = HouseholdReason, responses((status = 200, description = "The values", body = RevealedHouseholdView)),
    extensions(("x-errors" = json!(["too_many_requests"]))))]
#[post("/v1/households/{id}/reveal")]
pub async fn reveal_household(
    caller: Can<RevealResidents>,
    id: Id,
    app: Data<App>,
    body: Valid<HouseholdReason>,
) -> Result<HttpResponse> {
    take_look(&app, &caller).await?;
    let looked = Audit::new("reveal", "household", id.0).fields(vec!["name", "address", "note", "point"]);
    let looked = looked.because(Some(body.value.reason));
    let (who, sight, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clock.now());
    let write = app.db.write("reveal_household", move |conn| {
        let row = store::find(conn, sight, id.0)?.ok_or(Code::NotFound)?;
        audit::record(conn, &who, now, &looked.of(row.id))?;
        Ok(row)
    });
    let row = write.await?;
    let view = RevealedHouseholdView {
        name: views::name(&app, &row, true)?,
        address: open(&app, &row, "address", row.address.as_deref())?,
        note: open(&app, &row, "note", row.note.as_deref())?,
        point: row.point(),
    };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}
