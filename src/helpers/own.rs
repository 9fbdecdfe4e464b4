//! What helpers see and say of themselves.

use std::collections::{BTreeSet, HashMap};

use actix_web::{HttpResponse, get, http::header, post, put, web::Data};
use chrono::{DateTime, FixedOffset, NaiveTime};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{
    hooks,
    model::{Helper, HelperState, Hours},
    questions, rules, store,
    views::{HelperView, Shown},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::whole_micros,
    error::{Code, Error, FieldError, Lang, Result, Text},
    geo::{CoordinateSystem, Point},
    http::{
        caller::{Caller, Can, Reach, Scope},
        command::Command,
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag},
        idempotency::{Answer, Once},
        permissions::{BeAway, OwnHelper},
        valid::{Query, Valid},
    },
    rooms::HelperGone,
};

/// The helper that somebody is, if any.
pub fn id_of(conn: &mut PgConnection, who: &Caller) -> Result<Option<Uuid>> {
    Ok(store::of_caller(conn, who)?.map(|row| row.id))
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OwnHelperQuery {
    /// The system of the point in the answer; `gcj02` is what WeChat's maps show.
    #[param(inline, example = "gcj02")]
    coordinates: Option<CoordinateSystem>,
}

/// Oneself as a helper
///
/// What was granted and what one has said; also while an application waits or after it was refused, with the reason. 404 for those who
/// never applied and have no post that makes them a helper.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:own"])), params(OwnHelperQuery),
    responses((status = 200, description = "Oneself", body = HelperView)), extensions(("x-errors" = json!(["not_found"]))))]
#[get("/v1/helpers/me")]
pub async fn get_own_helper(
    caller: Can<OwnHelper>,
    lang: Lang,
    app: Data<App>,
    query: Query<OwnHelperQuery>,
) -> Result<HttpResponse> {
    let (who, inner) = (Caller::clone(&caller), app.clone());
    let system = query.0.coordinates.unwrap_or(CoordinateSystem::Wgs84);
    let read = app.db.read("get_own_helper", move |conn| {
        let row = store::of_caller(conn, &who)?.ok_or(Code::NotFound)?;
        HelperView::one(conn, &inner, (lang, Shown::Own(system)), row)
    });
    let view = read.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}

fn check_weekdays(days: &[u8]) -> Result<(), ValidationError> {
    let distinct: BTreeSet<_> = days.iter().collect();
    if days.iter().all(|day| (1..=7).contains(day)) && distinct.len() == days.len() {
        return Ok(());
    }
    Err(ValidationError::new("weekdays")
        .with_message("须为互不相同的 1（星期一）至 7（星期日）|must be distinct, 1 (Monday) to 7 (Sunday)".into()))
}

/// When one can be asked, local time (UTC+8).
#[derive(Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "Self::check", skip_on_field_errors = false))]
#[schema(example = json!({"weekdays": [1, 3, 5], "from_time": "14:00:00", "until_time": "18:00:00"}))]
pub struct HelperHours {
    /// ISO weekdays, 1 is Monday and 7 is Sunday.
    #[validate(length(min = 1, max = 7), custom(function = "check_weekdays"))]
    #[schema(min_items = 1, max_items = 7)]
    weekdays: Vec<u8>,
    #[schema(value_type = String, format = "time")]
    from_time: NaiveTime,
    /// Exclusive; `00:00:00` is the end of the day.
    #[schema(value_type = String, format = "time")]
    until_time: NaiveTime,
}

impl HelperHours {
    fn check(&self) -> Result<(), ValidationError> {
        if self.from_time < self.until_time || self.until_time == NaiveTime::MIN {
            return Ok(());
        }
        Err(ValidationError::new("hours").with_message("结束须晚于开始|must end after it begins".into()))
    }
}

impl From<&HelperHours> for Hours {
    fn from(said: &HelperHours) -> Self {
        let weekdays = said.weekdays.iter().fold(0, |days, day| days | 1 << (day - 1));
        Self { weekdays, from_time: said.from_time, until_time: said.until_time }
    }
}

/// All that one may say oneself.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"point": {"lng": 117.847210, "lat": 25.692540, "coordinate_system": "gcj02"}, "radius_m": 3000, "max_load": 2,
    "hours": [{"weekdays": [1, 3, 5], "from_time": "14:00:00", "until_time": "18:00:00"}], "unit_ids": []}))]
pub struct UpdateOwnHelper {
    /// Where one starts from; shown to nobody else, only distances are.
    #[validate(nested)]
    #[schema(inline)]
    point: Option<Point>,
    /// One also serves what lies within this distance of the point, in metres; needs a point.
    #[validate(range(min = 0, max = 50_000))]
    #[schema(minimum = 0, maximum = 50_000)]
    radius_m: Option<i32>,
    /// Orders to hold at a time; none: as many as the county's setting says.
    #[validate(range(min = 1, max = 20))]
    #[schema(minimum = 1, maximum = 20)]
    max_load: Option<i16>,
    /// When one can be asked; none: always.
    #[serde(default)]
    #[validate(nested, length(max = 20))]
    #[schema(max_items = 20)]
    hours: Vec<HelperHours>,
    /// Further units that one would like to serve: those granted stay so, new ones wait for the township, those left out are given up.
    #[serde(default)]
    #[validate(length(max = 20))]
    #[schema(max_items = 20)]
    unit_ids: Vec<Uuid>,
}

/// Every unit of a list that the county does not have.
fn unit_faults(conn: &mut PgConnection, county: i32, units: &[Uuid]) -> Result<Vec<FieldError>> {
    let known = store::units_within(conn, Scope { county, reach: Reach::County }, units)?;
    Ok(unknown_units(units, &known))
}

/// A fault for each of the units that is not among those known.
pub(super) fn unknown_units(units: &[Uuid], known: &[Uuid]) -> Vec<FieldError> {
    let text = || Text::fixed("没有这个单位，或不在您的管辖范围内", "there is no such unit within your reach");
    let wrong = units.iter().enumerate().filter(|(_, unit)| !known.contains(unit));
    wrong.map(|(index, _)| FieldError::body(format!("/unit_ids/{index}"), "unknown_unit", text())).collect()
}

/// The further units as they shall be, and whether one of them is new.
fn further(conn: &mut PgConnection, row: &Helper, asked: &[Uuid]) -> Result<(Vec<(Uuid, bool)>, bool)> {
    let around = store::around(conn, row.county_id, &[row.id])?.remove(&row.id).unwrap_or_default();
    let before: HashMap<Uuid, bool> = around.units.into_iter().collect();
    let asked = rules::distinct(asked).into_iter().filter(|unit| *unit != row.unit_id);
    let all: Vec<_> = asked.map(|unit| (unit, before.get(&unit) == Some(&true))).collect();
    let new = all.iter().any(|(unit, _)| !before.contains_key(unit));
    Ok((all, new))
}

/// Say where and when one helps
///
/// The whole of it, in place of what was said before. Skills and further units are granted by the township.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:own"])), params(OwnHelperQuery, IfMatchHeader), request_body = UpdateOwnHelper,
    responses((status = 200, description = "Oneself", body = HelperView)), extensions(("x-errors" = json!(["not_found"]))))]
#[put("/v1/helpers/me")]
pub async fn update_own_helper(
    caller: Can<OwnHelper>,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    query: Query<OwnHelperQuery>,
    body: Valid<UpdateOwnHelper>,
) -> Result<HttpResponse> {
    let (who, inner, now, command) = (Caller::clone(&caller), app.clone(), app.clock.now(), body.value);
    let system = query.0.coordinates.unwrap_or(CoordinateSystem::Wgs84);
    let entry = Audit::new("update", "helper", Uuid::nil());
    let write = app.db.write("update_own_helper", move |conn| {
        let row = store::lock_own(conn, &who)?;
        seen.check(row.version)?;
        let mut wrong = unit_faults(conn, who.county, &command.unit_ids)?;
        if command.radius_m.is_some() && command.point.is_none() {
            let text = Text::fixed("须同时给出 point", "needs a point");
            wrong.push(FieldError::body("/radius_m", "point_missing", text));
        }
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        let (units, new) = further(conn, &row, &command.unit_ids)?;
        let hours: Vec<_> = command.hours.iter().map(Hours::from).collect();
        store::set_units(conn, &row, units.iter().copied())?;
        store::set_hours(conn, &row, &hours)?;
        store::set_place(conn, &row, command.point, (command.radius_m, command.max_load))?;
        // While an application waits, the units are decided with it.
        let asked: Vec<_> = units.iter().filter(|(_, granted)| !granted).map(|(unit, _)| *unit).collect();
        if asked.is_empty() || (new && row.state == HelperState::Active) {
            questions::ask_units(conn, &row, &asked, now)?;
        }
        audit::record(conn, &who, now, &entry.of(row.id))?;
        let row = store::touch(conn, &row, now)?;
        HelperView::one(conn, &inner, (lang, Shown::Own(system)), row)
    });
    let view = write.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}

/// From when until when.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "2026-12-01T00:00:00+08:00", "until": "2026-12-08T00:00:00+08:00"}))]
pub struct GoAway {
    /// Now by default.
    from: Option<DateTime<FixedOffset>>,
    /// Exclusive; none: until one says that one is back.
    until: Option<DateTime<FixedOffset>>,
}

/// Say that one is away
///
/// For volunteers and care staff; in place of what was said before. Orders held for that time go back to the pool. Specialists and
/// cadres record an absence instead.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:away"])), params(IdempotencyHeader), request_body = GoAway,
    responses((status = 200, description = "Oneself", body = HelperView)), extensions(("x-errors" = json!(["not_found", "helper_state"]))))]
#[post("/v1/helpers/me/away")]
pub async fn go_away(caller: Can<BeAway>, command: Command<GoAway>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "go_away", key, digest);
    let (who, inner, now) = (Caller::clone(&caller), app.clone(), app.clock.now());
    // As finely as it is kept: two times that differ by less are one.
    let from = body.from.map_or(now, |from| whole_micros(from.to_utc()));
    let until = body.until.map(|until| whole_micros(until.to_utc()));
    let entry = Audit::new("away", "helper", Uuid::nil());
    app.once(once, move |conn| {
        // In here: what was said in time is answered the same when it is repeated later.
        if until.is_some_and(|until| until <= from || until <= now) {
            return Err(Error::field("/until", "range", "须晚于 from 和现在", "must be after `from` and after now"));
        }
        let row = store::lock_own(conn, &who)?;
        if row.state != HelperState::Active {
            return Err(rules::wrong_state(row.state));
        }
        let row = store::set_away(conn, &row, (Some(from), until), now)?;
        hooks::gone(conn, &HelperGone { county: who.county, helper: row.id, from, until, now })?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        let view = HelperView::one(conn, &inner, (lang, Shown::Own(CoordinateSystem::Wgs84)), row)?;
        Answer::ok(view.version, &view)
    })
    .await
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct ComeBack {}

/// Say that one is back
///
/// Before the time, or when no time was said. Nothing happens to those who were not away.
#[utoipa::path(tag = "helpers", security(("token" = ["helpers:away"])), params(IdempotencyHeader), request_body = ComeBack,
    responses((status = 200, description = "Oneself", body = HelperView)), extensions(("x-errors" = json!(["not_found"]))))]
#[post("/v1/helpers/me/back")]
pub async fn come_back(caller: Can<BeAway>, command: Command<ComeBack>) -> Result<Answer> {
    let Command { key, lang, app, digest, .. } = command;
    let once = Once::new(&caller, "come_back", key, digest);
    let (who, inner, now) = (Caller::clone(&caller), app.clone(), app.clock.now());
    let entry = Audit::new("back", "helper", Uuid::nil());
    app.once(once, move |conn| {
        let mut row = store::lock_own(conn, &who)?;
        if row.away_from.is_some() {
            row = store::set_away(conn, &row, (None, None), now)?;
            audit::record(conn, &who, now, &entry.of(row.id))?;
        }
        let view = HelperView::one(conn, &inner, (lang, Shown::Own(CoordinateSystem::Wgs84)), row)?;
        Answer::ok(view.version, &view)
    })
    .await
}
