//! A resident applies to be a volunteer (志愿者) or care staff (护理员).

use actix_web::post;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{AppliedKind, MAY_APPLY, words_place},
    own::unknown_units,
    questions, rules, skills,
    store::{self, Application},
    views::{HelperView, Shown},
};
use crate::{
    audit::{self, Audit},
    clock::local_date,
    error::{Code, Error, Result},
    geo::CoordinateSystem,
    http::{
        caller::{Caller, Can, Reach, Scope},
        command::Command,
        document::IdempotencyHeader,
        idempotency::{Answer, Once},
        permissions::ApplyHelper,
    },
    people::{self, IdentityLevel},
};

/// What somebody would like to be, and what they say of themselves.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "volunteer", "skills": ["care", "datian_dialect"], "unit_ids": [], "words": "退休护士，周末有空"}))]
pub struct ApplyToHelp {
    kind: AppliedKind,
    /// What one says one can do, of the county's list (`GET /v1/skills`); the township decides.
    #[serde(default)]
    #[validate(length(max = 50))]
    #[schema(max_items = 50)]
    skills: Vec<String>,
    /// Units that one would like to serve beside the one where one lives.
    #[serde(default)]
    #[validate(length(max = 20))]
    #[schema(max_items = 20)]
    unit_ids: Vec<Uuid>,
    /// 2 to 500 characters; read by those who decide.
    #[validate(length(min = 2, max = 500))]
    #[schema(min_length = 2, max_length = 500)]
    words: Option<String>,
}

/// Apply to help
///
/// The township decides, and says which skills and units one has. One's phone must have been proved, and one must live in a village that
/// is known; who is under 18 is refused. Whoever was refused or stopped may apply again; 409 `already_helper` otherwise.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:apply"])), params(IdempotencyHeader), request_body = ApplyToHelp,
    responses((status = 201, description = "The application", body = HelperView)),
    extensions(("x-errors" = json!(["already_helper", "under_age", "identity_needed", "unit_unknown"]))))]
#[post("/v1/helpers/applications")]
pub async fn apply_to_help(caller: Can<ApplyHelper>, command: Command<ApplyToHelp>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "apply_to_help", key, digest);
    let (who, scope, inner, now) = (Caller::clone(&caller), caller.scope, app.clone(), app.clock.now());
    let (fresh, entry) = (Uuid::now_v7(), Audit::new("apply", "helper", Uuid::nil()));
    app.once(once, move |conn| {
        let me = people::lock(conn, scope, who.subject)?.ok_or(Code::NotFound)?;
        if me.identity_level == IdentityLevel::None {
            return Err(people::identity_needed(IdentityLevel::Phone));
        }
        rules::of_age(people::id_number(&inner, &me)?.as_ref(), local_date(now))?;
        let unit = me.unit_id.ok_or(Code::UnitUnknown)?;
        let mut wrong = rules::skill_faults(&body.skills, &skills::active(conn, who.county)?, None, "/skills");
        let anywhere = Scope { county: who.county, reach: Reach::County };
        wrong.extend(unknown_units(&body.unit_ids, &store::units_within(conn, anywhere, &body.unit_ids)?));
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        let before = store::lock_of_resident(conn, who.county, me.id)?;
        if before.as_ref().is_some_and(|row| !MAY_APPLY.contains(&row.state)) {
            return Err(Code::AlreadyHelper.into());
        }
        let id = before.as_ref().map_or(fresh, |row| row.id);
        let seal = |words: &String| inner.keys.seal(who.county, &words_place(id), words.as_bytes());
        let new = Application {
            id,
            resident: me.id,
            unit,
            kind: body.kind.into(),
            claimed: rules::distinct(&body.skills),
            words: body.words.as_ref().map(seal),
        };
        let row = match &before {
            None => store::insert(conn, who.county, &new, now)?,
            Some(row) => store::apply_again(conn, row, &new, now)?,
        };
        let asked = rules::distinct(&body.unit_ids).into_iter().filter(|other| *other != unit);
        store::set_units(conn, &row, asked.map(|unit| (unit, false)))?;
        questions::ask_application(conn, &row, now)?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        let view = HelperView::one(conn, &inner, (lang, Shown::Own(CoordinateSystem::Wgs84)), row)?;
        Answer::created(format!("/v1/helpers/{}", view.id), view.version, &view)
    })
    .await
}
