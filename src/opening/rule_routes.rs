//! Opening rules over HTTP: adding, changing, ending and removing them.

use actix_web::{HttpRequest, HttpResponse, delete, post, put, web::Data};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{
    affected::Centre,
    clashes::Clashes,
    settle::{Decision, Frame, Order},
    window_routes::{LISTED, WindowChangeView, answer, behind_the_gate, respond},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    db::changes,
    error::{Code, Error, FieldError, Result, Text},
    http::{
        caller::{Caller, Can, Scope},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::WriteWindows,
        valid::{Id, Query, Valid},
    },
    windows::{self, Place, Rule, Window, WindowView},
};

fn check_weekdays(days: &[u8]) -> Result<(), ValidationError> {
    let distinct: std::collections::BTreeSet<_> = days.iter().collect();
    if days.iter().all(|day| (1..=7).contains(day)) && distinct.len() == days.len() {
        return Ok(());
    }
    Err(ValidationError::new("weekdays")
        .with_message("须为不重复的 1（周一）至 7（周日）|must be distinct days, 1 (Monday) to 7 (Sunday)".into()))
}

/// What is written of a rule is the same in every command.
macro_rules! rule_command {
    ($(#[$meta:meta])* $name:ident { $($extra:tt)* }) => {
        #[derive(Clone, Deserialize, Validate, ToSchema)]
        $(#[$meta])*
        #[serde(deny_unknown_fields)]
        #[validate(schema(function = "Self::check"))]
        pub struct $name {
            /// ISO weekdays, 1 is Monday and 7 is Sunday. A make-up workday follows Monday's rules.
            #[validate(length(min = 1, max = 7), custom(function = "check_weekdays"))]
            #[schema(min_items = 1, max_items = 7)]
            weekdays: Vec<u8>,
            /// Local time (UTC+8).
            #[schema(value_type = String, format = "time")]
            opens_at: NaiveTime,
            #[schema(value_type = String, format = "time")]
            closes_at: NaiveTime,
            /// 5 to 480.
            #[validate(range(min = 5, max = 480))]
            #[schema(minimum = 5, maximum = 480)]
            slot_minutes: i16,
            /// Where its slots are served; `centre` by default.
            #[schema(inline)]
            place: Option<Place>,
            /// Places per slot for the mini-program, 0 to 1,000.
            #[validate(range(min = 0, max = 1000))]
            #[schema(minimum = 0, maximum = 1000)]
            capacity_public: i16,
            /// Places per slot for agents (代约), 0 to 1,000.
            #[validate(range(min = 0, max = 1000))]
            #[schema(minimum = 0, maximum = 1000)]
            capacity_proxy: i16,
            /// Places per slot for the counter, 0 to 1,000.
            #[validate(range(min = 0, max = 1000))]
            #[schema(minimum = 0, maximum = 1000)]
            capacity_desk: i16,
            /// Only every n-th week, counted from the week (Monday to Sunday) of `valid_from`, 1 to 8; 1 by default.
            #[validate(range(min = 1, max = 8))]
            #[schema(minimum = 1, maximum = 8)]
            every_weeks: Option<i16>,
            valid_from: NaiveDate,
            /// The last day; open-ended without it.
            valid_until: Option<NaiveDate>,
            $($extra)*
        }

        impl $name {
            fn check(&self) -> Result<(), ValidationError> {
                check_rule((self.opens_at, self.closes_at, self.slot_minutes), (self.valid_from, self.valid_until))
            }

            fn rule(&self, id: Uuid, window_id: Uuid) -> Rule {
                Rule {
                    id,
                    window_id,
                    weekdays: self.weekdays.iter().fold(0, |days, day| days | 1 << (day - 1)),
                    opens_at: self.opens_at,
                    closes_at: self.closes_at,
                    slot_minutes: self.slot_minutes,
                    capacity_public: self.capacity_public,
                    capacity_proxy: self.capacity_proxy,
                    capacity_desk: self.capacity_desk,
                    valid_from: self.valid_from,
                    valid_until: self.valid_until,
                    place: self.place.unwrap_or(Place::Centre),
                    every_weeks: self.every_weeks.unwrap_or(1),
                }
            }
        }
    };
}

fn check_rule(
    (opens_at, closes_at, slot_minutes): (NaiveTime, NaiveTime, i16),
    (from, until): (NaiveDate, Option<NaiveDate>),
) -> Result<(), ValidationError> {
    if (closes_at - opens_at).num_minutes() < i64::from(slot_minutes) {
        return Err(ValidationError::new("hours")
            .with_message("营业时间须至少容纳一个时段|the hours must hold at least one slot".into()));
    }
    if until.is_some_and(|until| until < from) {
        return Err(ValidationError::new("validity")
            .with_message("valid_until 不得早于 valid_from|valid_until must not be before valid_from".into()));
    }
    Ok(())
}

rule_command! {
    /// A new opening rule.
    #[schema(example = json!({"weekdays": [1, 2, 3, 4, 5], "opens_at": "08:30:00", "closes_at": "11:30:00", "slot_minutes": 30,
        "place": "centre", "capacity_public": 4, "capacity_proxy": 1, "capacity_desk": 1, "every_weeks": 1, "valid_from": "2026-01-01", "valid_until": null}))]
    CreateOpeningRule {}
}

rule_command! {
    /// The whole rule as it shall be, and what becomes of bookings that fit no more.
    #[schema(example = json!({"weekdays": [1, 3, 5], "opens_at": "08:30:00", "closes_at": "11:30:00", "slot_minutes": 30, "place": "centre",
        "capacity_public": 4, "capacity_proxy": 1, "capacity_desk": 1, "every_weeks": 1, "valid_from": "2026-01-01", "valid_until": "2026-12-31",
        "affected": "move", "reason": "冬季作息"}))]
    UpdateOpeningRule {
        /// What becomes of bookings that fit no more; required once there are any.
        #[schema(inline)]
        affected: Option<Decision>,
        /// Only list the bookings that would fit no more; nothing changes.
        #[schema(default = false)]
        dry_run: Option<bool>,
        /// Told to those whose appointment is cancelled. 1 to 200 characters.
        #[validate(length(min = 1, max = 200))]
        #[schema(min_length = 1, max_length = 200)]
        reason: Option<String>,
    }
}

/// Refuses a rule that offers hours of the window and place that another one offers already.
fn no_overlap(conn: &mut PgConnection, county: i32, rule: &Rule) -> Result<()> {
    let (others, _) = windows::details(conn, county, &[rule.window_id])?;
    if !others.iter().any(|other| other.id != rule.id && windows::overlap(rule, other)) {
        return Ok(());
    }
    let (zh, en) = (
        "与该窗口同一地点的另一条开放规则时间重叠",
        "another rule of the window and place opens some of these hours already",
    );
    Err(Error::new(Code::RulesOverlap).detail(zh, en))
}

/// A window after a change of its rules, seen as changed itself.
fn touched(conn: &mut PgConnection, by: &Caller, window: &Window, entry: &Audit, now: DateTime<Utc>) -> Result<Window> {
    let county = by.county;
    let window = windows::touch(conn, county, window.id, now)?.ok_or(Code::NotFound)?;
    audit::record(conn, by, now, entry)?;
    changes::record(conn, windows::window_changed(county, window.id, window.unit_id), now)?;
    Ok(window)
}

/// Add an opening rule
///
/// Slots follow at once. Rules of one window and place must not open the same hours twice, nor hours in part that a day to come is
/// opened for specially. Answers the whole window.
#[utoipa::path(tag = "windows", security(("token" = ["windows:write"])), params(("id" = Uuid, Path, description = "The window"), IdempotencyHeader),
    request_body = CreateOpeningRule, responses((status = 201, description = "The window with the rule", body = WindowView)),
    extensions(("x-errors" = json!(["rules_overlap"]))))]
#[post("/v1/windows/{id}/opening_rules")]
pub async fn create_opening_rule(
    caller: Can<WriteWindows>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<CreateOpeningRule>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_opening_rule", key, body.digest);
    let (scope, who, now) = (caller.scope, Caller::clone(&caller), app.clock.now());
    let frame = Frame::new(&app, &caller).await?;
    let rule = body.value.rule(Uuid::now_v7(), id.0);
    let entry = Audit::new("create", "opening_rule", rule.id);
    let answer = app
        .once(once, move |conn| {
            let window = behind_the_gate(conn, scope, id.0)?;
            no_overlap(conn, scope.county, &rule)?;
            let mut centre = frame.centre(conn, window.unit_id)?;
            let before = Clashes::of(&centre, &frame.calendar);
            if let Some(desk) = centre.desk(id.0) {
                desk.opening.rules.push(rule.clone());
            }
            before.none_new(&centre, &frame)?;
            windows::insert_rule(conn, scope.county, &rule)?;
            let window = touched(conn, &who, &window, &entry, now)?;
            let version = window.version;
            let view = windows::view(conn, scope.county, window, local_date(now))?;
            Answer::created(format!("/v1/windows/{}", id.0), version, &view)
        })
        .await;
    app.rendered.forget();
    answer
}

/// What a rule becomes: another, or nothing.
#[derive(Clone)]
struct Step {
    window: Uuid,
    id: Uuid,
    rule: Option<Rule>,
    order: Order,
    entry: Audit,
}

impl Step {
    fn run(&self, conn: &mut PgConnection, frame: &Frame, scope: Scope, seen: &IfMatch) -> Result<WindowChangeView> {
        let county = scope.county;
        let window = behind_the_gate(conn, scope, self.window)?;
        windows::rule(conn, county, self.window, self.id)?.ok_or(Code::NotFound)?;
        seen.check(window.version)?;
        if let Some(rule) = &self.rule {
            no_overlap(conn, county, rule)?;
        }
        let mut clash = Ok(());
        let change = |centre: &mut Centre| {
            let before = Clashes::of(centre, &frame.calendar);
            if let Some(desk) = centre.desk(self.window) {
                desk.opening.rules.retain(|rule| rule.id != self.id);
                desk.opening.rules.extend(self.rule.clone());
            }
            clash = before.none_new(centre, frame);
        };
        let plan = frame.plan(conn, window.unit_id, change)?;
        clash?;
        if self.order.dry_run {
            return answer(conn, frame, window, (&plan, &self.order, LISTED));
        }
        plan.decided(&self.order)?;
        match &self.rule {
            Some(rule) => windows::update_rule(conn, county, rule)?,
            None => windows::delete_rule(conn, county, self.id)?,
        };
        plan.carry_out(conn, frame, &self.order)?;
        let window = touched(conn, &frame.caller, &window, &self.entry, frame.now)?;
        answer(conn, frame, window, (&plan, &self.order, LISTED))
    }
}

/// The `{rule_id}` of a path.
fn rule_id(request: &HttpRequest) -> Result<Uuid> {
    request.match_info().get("rule_id").and_then(|id| id.parse().ok()).ok_or(Code::NotFound.into())
}

async fn step(app: &Data<App>, caller: &Can<WriteWindows>, seen: IfMatch, step: Step) -> Result<HttpResponse> {
    let (frame, scope) = (Frame::new(app, caller).await?, caller.scope);
    let view = app.db.write("opening_rule", move |conn| step.run(conn, &frame, scope, &seen)).await?;
    app.rendered.forget();
    Ok(respond(view))
}

/// Change an opening rule
///
/// The whole rule as it shall be; to end it, set `valid_until`. If bookings fit no more because of it, `affected` says what becomes of
/// them: `keep`, `move` to the nearest free time of the centre (cancelled, with a todo to call, where there is none), or `cancel`;
/// each with a notice to the resident. Without it nothing changes (`bookings_affected`); `dry_run` lists them. Answers the whole
/// window, whose version `If-Match` names.
#[utoipa::path(tag = "windows", security(("token" = ["windows:write"])), request_body = UpdateOpeningRule,
    params(("id" = Uuid, Path, description = "The window"), ("rule_id" = Uuid, Path, description = "The rule"), IfMatchHeader),
    responses((status = 200, description = "The window with the rule", body = WindowChangeView, example = json!({"id": "0199a0c0-0000-7000-8000-0000000000c1", "unit_id": "0199a0c0-0000-7000-8000-000000000001", "name": "民生事务窗口", "state": "open", "officer": null, "paused_at": null, "matter_ids": [], "opening_rules": [], "version": 3, "dry_run": false, "affected_count": 0, "affected": []}))),
    extensions(("x-errors" = json!(["rules_overlap", "bookings_affected"]))))]
#[put("/v1/windows/{id}/opening_rules/{rule_id}")]
pub async fn update_opening_rule(
    caller: Can<WriteWindows>,
    id: Id,
    seen: IfMatch,
    request: HttpRequest,
    app: Data<App>,
    body: Valid<UpdateOpeningRule>,
) -> Result<HttpResponse> {
    let (command, rule) = (body.value, rule_id(&request)?);
    let order =
        Order { decision: command.affected, dry_run: command.dry_run.unwrap_or(false), reason: command.reason.clone() };
    let entry = Audit::new("update", "opening_rule", rule).because(command.reason.clone());
    let change = Step { window: id.0, id: rule, rule: Some(command.rule(rule, id.0)), order, entry };
    step(&app, &caller, seen, change).await
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AffectedQuery {
    /// What becomes of bookings that fit no more; required once there are any.
    #[param(inline)]
    affected: Option<Decision>,
    /// Only list the bookings that would fit no more; nothing changes.
    #[param(default = false)]
    dry_run: Option<bool>,
    /// Told to those whose appointment is cancelled. 1 to 200 characters.
    #[param(min_length = 1, max_length = 200)]
    reason: Option<String>,
}

impl AffectedQuery {
    pub(super) fn order(self) -> Result<Order> {
        if self.reason.as_ref().is_some_and(|reason| !(1..=200).contains(&reason.chars().count())) {
            let text = Text::fixed("须为 1 至 200 个字", "must have 1 to 200 characters");
            return Err(Error::invalid(vec![FieldError::query("reason", "length", text)]));
        }
        Ok(Order { decision: self.affected, dry_run: self.dry_run.unwrap_or(false), reason: self.reason })
    }
}

/// Remove an opening rule
///
/// As if it had never been; to end it with a day, change its `valid_until`. If bookings fit no more because of it, `affected` says what
/// becomes of them, as for changing it. Answers the whole window, whose version `If-Match` names.
#[utoipa::path(tag = "windows", security(("token" = ["windows:write"])),
    params(("id" = Uuid, Path, description = "The window"), ("rule_id" = Uuid, Path, description = "The rule"), AffectedQuery, IfMatchHeader),
    responses((status = 200, description = "The window without the rule", body = WindowChangeView, example = json!({"id": "0199a0c0-0000-7000-8000-0000000000c1", "unit_id": "0199a0c0-0000-7000-8000-000000000001", "name": "民生事务窗口", "state": "open", "officer": null, "paused_at": null, "matter_ids": [], "opening_rules": [], "version": 3, "dry_run": false, "affected_count": 0, "affected": []}))),
    extensions(("x-errors" = json!(["bookings_affected"]))))]
#[delete("/v1/windows/{id}/opening_rules/{rule_id}")]
pub async fn delete_opening_rule(
    caller: Can<WriteWindows>,
    id: Id,
    seen: IfMatch,
    request: HttpRequest,
    app: Data<App>,
    query: Query<AffectedQuery>,
) -> Result<HttpResponse> {
    let (order, rule) = (query.0.order()?, rule_id(&request)?);
    let entry = Audit::new("delete", "opening_rule", rule).because(order.reason.clone());
    step(&app, &caller, seen, Step { window: id.0, id: rule, rule: None, order, entry }).await
}
