//! Checking in over HTTP: one visit, or a day of them.

use std::sync::Arc;

use actix_web::{post, web::Data};
use chrono::{DateTime, FixedOffset};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{
    deciding::{Around, Became, Plan},
    facts::{self, Brief},
    model::{Clocks, LeftOut, VisitFlag},
    request::CheckIn,
    rules, store,
    views::VisitView,
    writing,
};
use crate::{
    app::App,
    clock::CST,
    error::{At, Code, Error, FieldError, Lang, ProblemField, Result},
    http::{
        caller::{Caller, Can, Scope, Seen},
        command::Command,
        document::IdempotencyHeader,
        idempotency::{Answer, Once},
        permissions::CheckInVisits,
        valid,
    },
    settings::Settings,
    text_enum,
};

/// Check-ins of one batch.
const MOST: usize = 50;
/// Bytes of an answer that is kept, with room to spare.
const LONGEST: usize = 60 * 1024;

/// A visit, and what the phone's clock showed when it sent it.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"sent_at": "2026-11-23T17:40:02+08:00", "visit": {"id": "0199a0c0-0000-7000-8000-0000000000d1",
    "household_id": "0199a0c0-0000-7000-8000-0000000000d0", "device_at": "2026-11-23T09:12:30+08:00", "outcome": "seen", "place": "home",
    "no_position_reason": "no_signal", "note": "身体还好"}}))]
pub struct CheckInVisit {
    /// By the phone's clock, however wrong that is; read anew for every attempt that has a key of its own.
    pub sent_at: DateTime<FixedOffset>,
    #[validate(nested)]
    pub visit: CheckIn,
}

/// A day of visits.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"sent_at": "2026-11-23T17:40:02+08:00", "visits": [{"id": "0199a0c0-0000-7000-8000-0000000000d1",
    "household_id": "0199a0c0-0000-7000-8000-0000000000d0", "household": {"name": "陈阿婆"}, "device_at": "2026-11-23T09:12:30+08:00", "outcome": "seen", "place": "home",
    "no_position_reason": "no_signal"}]}))]
pub struct CheckInBatch {
    /// By the phone's clock, however wrong that is; read anew for every attempt that has a key of its own.
    pub sent_at: DateTime<FixedOffset>,
    /// 1 to 50, the oldest first. Each is looked at by itself: one that is wrong does not spoil the others.
    #[validate(custom(function = "some"))]
    #[schema(value_type = Vec<CheckIn>, min_items = 1, max_items = 50)]
    pub visits: Vec<Value>,
}

fn some(visits: &[Value]) -> std::result::Result<(), ValidationError> {
    if (1..=MOST).contains(&visits.len()) {
        return Ok(());
    }
    Err(ValidationError::new("length").with_message("须为 1 至 50 条|must be 1 to 50".into()))
}

text_enum! {
    /// What became of a check-in.
    pub enum CheckInResult {
        Created = "created",
        /// It was there already, word for word: nothing has changed.
        Same = "same",
        /// Something else is there under its id: both are kept, and a person settles it.
        Conflict = "conflict",
        /// It is wrong: mended, it may be sent again.
        Refused = "refused",
    }
}

/// Why a check-in was refused.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"code": "invalid", "title": "请求内容有误", "errors": [{"pointer": "/visits/3/device_at", "code": "after_sent_at", "detail": "不能晚于发送时间 sent_at"}]}))]
pub struct CheckInRefusal {
    /// As in a problem document.
    pub code: String,
    pub title: String,
    /// Wrong fields, with pointers into the whole body.
    pub errors: Vec<ProblemField>,
}

/// What became of one check-in.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d1", "result": "created", "household_id": "0199a0c0-0000-7000-8000-0000000000d0",
    "occurred_at": "2026-11-23T09:12:30+08:00", "skew_seconds": 0, "distance_m": 14.2, "flags": [], "left_out": [], "version": 1}))]
pub struct CheckedIn {
    /// None of one that cannot be read at all.
    pub id: Option<Uuid>,
    pub result: CheckInResult,
    /// The household that it belongs to, and what follows belong to the visit that is there; absent where the caller may not see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub household_id: Option<Uuid>,
    /// When it happened by the server's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<DateTime<FixedOffset>>,
    /// How much later the server's clock is than the phone's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_seconds: Option<i64>,
    /// Metres to the home point, where both are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_m: Option<f64>,
    /// What was found out; nothing is refused for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<VisitFlag>>,
    /// What was sent and is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<Vec<LeftOut>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Which of the visit's other versions this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<CheckInRefusal>,
}

/// What became of a batch, in its order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": [{"id": "0199a0c0-0000-7000-8000-0000000000d1", "result": "created", "household_id": "0199a0c0-0000-7000-8000-0000000000d0",
    "occurred_at": "2026-11-23T09:12:30+08:00", "skew_seconds": 0, "flags": [], "left_out": [], "version": 1}]}))]
pub struct CheckedInBatch {
    pub items: Vec<CheckedIn>,
}

impl CheckedIn {
    /// With as many wrong fields as fit.
    fn new(id: Option<Uuid>, became: &Became, lang: Lang, most: usize) -> Self {
        let (result, brief, conflict_id, refused) = match became {
            Became::Created(brief) => (CheckInResult::Created, Some(brief), None, None),
            Became::Same(brief) => (CheckInResult::Same, Some(brief), None, None),
            Became::Conflict(other, brief) => (CheckInResult::Conflict, brief.as_ref(), Some(*other), None),
            Became::Refused(error) => (CheckInResult::Refused, None, None, Some(error)),
        };
        let refusal = refused.map(|error| {
            let mut problem = error.problem(lang, "", "");
            problem.errors.truncate(most);
            CheckInRefusal { code: problem.code, title: problem.title, errors: problem.errors }
        });
        let of = |brief: &Brief| brief.occurred_at.with_timezone(&CST);
        Self {
            id,
            result,
            household_id: brief.map(|brief| brief.household),
            occurred_at: brief.map(of),
            skew_seconds: brief.map(|brief| brief.skew_seconds),
            distance_m: brief.and_then(|brief| brief.distance_m),
            flags: brief.map(|brief| brief.flags.clone()),
            left_out: brief.map(|brief| brief.left_out.clone()),
            version: brief.map(|brief| brief.version),
            conflict_id,
            refusal,
        }
    }
}

/// The answer to a batch. All wrong fields are told, unless somebody has made so many that the answer could not be kept: then the first of each.
fn answer(ids: &[Option<Uuid>], plan: &Plan, lang: Lang) -> Result<Answer> {
    let mut last = CheckedInBatch { items: Vec::new() };
    for most in [usize::MAX, 10, 3, 0] {
        let items = ids.iter().zip(&plan.became).map(|(id, became)| CheckedIn::new(*id, became, lang, most));
        last = CheckedInBatch { items: items.collect() };
        if serde_json::to_vec(&last).map_err(Error::internal)?.len() <= LONGEST {
            break;
        }
    }
    Answer::ok(1, &last)
}

/// Puts the pointers of a check-in's wrong fields where they stand in the whole body.
fn placed(mut error: Error, before: &str) -> Error {
    for field in &mut error.errors {
        if let At::Body(pointer) = &mut field.at {
            pointer.insert_str(0, before);
        }
    }
    error
}

/// One of a batch: its id, if it has one, and the check-in or every wrong field of it.
fn parse(value: &Value, clocks: Clocks, settings: &Settings) -> (Option<Uuid>, Result<CheckIn>) {
    let id = value.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
    let parsed = valid::part::<CheckIn>(value).map_err(|mut faults: Vec<FieldError>| {
        // What only a rule knows is told with the rest.
        if let Ok(check_in) = CheckIn::deserialize(value) {
            faults.extend(rules::faults(&check_in, clocks, settings));
        }
        Error::invalid(faults)
    });
    (id, parsed)
}

/// Whoever checks in.
#[derive(Clone)]
struct Checking {
    app: Arc<App>,
    who: Caller,
    scope: Scope,
    clocks: Clocks,
    settings: Settings,
}

impl Checking {
    async fn new(app: &Data<App>, caller: &Can<CheckInVisits>, sent_at: DateTime<FixedOffset>) -> Result<Self> {
        let clocks = Clocks::new(sent_at, app.clock.now());
        if let Some(fault) = rules::sent_at_fault(clocks) {
            return Err(Error::invalid(vec![fault]));
        }
        let settings = app.counties.public(app, &caller.county_key).await?.settings.clone();
        let (who, scope) = (Caller::clone(caller), caller.scope);
        Ok(Self { app: app.clone().into_inner(), who, scope, clocks, settings })
    }

    /// Reads and decides.
    fn plan(&self, conn: &mut PgConnection, check_ins: Vec<Result<CheckIn>>) -> Result<Plan> {
        let Self { app, who, scope, clocks, settings } = self;
        let fine: Vec<&CheckIn> = check_ins.iter().filter_map(|one| one.as_ref().ok()).collect();
        let of = (who.county, Seen::by(who, *scope));
        let known = facts::read(conn, app, of, (&fine, who.unit), *clocks)?;
        let around =
            Around { keys: &app.keys, county: who.county, me: who.subject, unit: who.unit, clocks: *clocks, settings };
        Plan::of(check_ins, known, around)
    }

    const fn by(&self) -> (i32, Uuid) {
        (self.who.county, self.who.subject)
    }
}

/// Check in
///
/// A visit, once: the same id with the same content is accepted again (200), with other content, or from somebody else, it is 409 `visit_conflict`; both versions are
/// kept, and a person settles it. When it happened is `device_at` set right by `sent_at`. Where somebody was is flagged, never refused for being far,
/// vague or made up; it is not kept where the county wants none of it, or where nobody of the household has agreed to it (consent `position`): `left_out` tells.
#[utoipa::path(tag = "visits", security(("token" = ["visits:check_in"])), params(IdempotencyHeader), request_body = CheckInVisit,
    responses((status = 201, description = "The visit", body = VisitView), (status = 200, description = "It was there already", body = VisitView)),
    extensions(("x-errors" = json!(["visit_conflict", "too_many_conflicts"]))))]
#[post("/v1/visits")]
pub async fn check_in_visit(caller: Can<CheckInVisits>, command: Command<CheckInVisit>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "check_in_visit", key, digest);
    let checking = Checking::new(&app, &caller, body.sent_at).await?;
    let check_in = body.visit;
    let (again, visit) = (checking.clone(), check_in.id);
    let same = check_in.clone();
    let answer = app.once(once, move |conn| {
        let mut plan = checking.plan(conn, vec![Ok(check_in.clone())])?;
        let became = plan.became.pop().ok_or_else(|| Error::internal("a check-in without an answer"))?;
        match became {
            Became::Refused(error) => return Err(placed(error, "/visit")),
            Became::Conflict(..) => return Err(conflict(visit)),
            Became::Created(_) | Became::Same(_) => {}
        }
        let created = !plan.visits.is_empty();
        if created {
            writing::write(conn, &checking.app, checking.by(), (&plan, checking.clocks), None)?;
        }
        let (who, seen) = (&checking.who, Seen::by(&checking.who, checking.scope));
        let row = store::find(conn, who.county, seen, visit)?.ok_or(Code::NotFound)?;
        let view = VisitView::of(conn, &checking.app, lang, &row)?;
        match created {
            true => Answer::created(format!("/v1/visits/{visit}"), row.version, &view),
            false => Answer::ok(row.version, &view),
        }
    });
    match answer.await {
        Err(error) if error.code == Code::VisitConflict => {
            keep_conflict(again, same).await?;
            Err(error)
        }
        answer => answer,
    }
}

fn conflict(visit: Uuid) -> Error {
    let look = format!("/v1/visits/{visit}/conflicts");
    Error::new(Code::VisitConflict)
        .detail(format!("两个版本均已保留：{look}"), format!("Both versions are kept: {look}"))
}

/// A refusal undoes what it was found out in: the other version is written apart. It is kept once, however often it comes.
async fn keep_conflict(checking: Checking, check_in: CheckIn) -> Result<()> {
    let app = checking.app.clone();
    let keep = app.db.write("keep_conflict", move |conn| {
        let plan = checking.plan(conn, vec![Ok(check_in.clone())])?;
        match plan.conflicts.is_empty() {
            true => Ok(()),
            false => writing::write(conn, &checking.app, checking.by(), (&plan, checking.clocks), None),
        }
    });
    keep.await
}

/// Check in a day of visits
///
/// What a phone collected without a network, with the households that it met for the first time. Each is answered by itself, in the order of the batch: `created`, `same`
/// (it was there already), `conflict` (something else is there under its id, or somebody else's) or `refused` with every wrong field. Sending all of it again changes nothing.
/// The body may have up to 1 MiB, which 50 of the longest notes fit into.
#[utoipa::path(tag = "visits", security(("token" = ["visits:check_in"])), params(IdempotencyHeader), request_body = CheckInBatch,
    responses((status = 200, description = "What became of each", body = CheckedInBatch)), extensions(("x-errors" = json!(["too_many_conflicts"]))))]
#[post("/v1/visits/batch")]
pub async fn check_in_visits(caller: Can<CheckInVisits>, command: Command<CheckInBatch, true>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "check_in_visits", key, digest);
    let checking = Checking::new(&app, &caller, body.sent_at).await?;
    app.once_keeping(once, move |conn, keeping| {
        let parsed = body.visits.iter().map(|value| parse(value, checking.clocks, &checking.settings));
        let (ids, check_ins): (Vec<_>, Vec<_>) = parsed.unzip();
        let mut plan = checking.plan(conn, check_ins)?;
        for (index, became) in plan.became.iter_mut().enumerate() {
            if let Became::Refused(error) = became {
                let told = std::mem::replace(error, Code::Invalid.into());
                *error = placed(told, &format!("/visits/{index}"));
            }
        }
        let answer = answer(&ids, &plan, lang)?;
        let keep = Some(keeping.keep(&answer)?);
        writing::write(conn, &checking.app, checking.by(), (&plan, checking.clocks), keep)?;
        Ok(answer)
    })
    .await
}
