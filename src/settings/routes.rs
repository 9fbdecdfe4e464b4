//! Settings over HTTP: every member of staff may read them, the county administrator sets them.

use actix_web::{HttpRequest, HttpResponse, get, http::header, put, web::Data};
use chrono::{DateTime, FixedOffset, Months, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{self, Definition, Entry, Kind, definition, in_effect},
    rules, store,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::{CST, local_date, local_midnight},
    db::changes::{self, Change},
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can},
        document::IfMatchHeader,
        etag::{IfMatch, etag},
        page::{self, After, Page},
        permissions::{ReadSettings, WriteSettings},
        valid::{Query, Valid},
    },
    rooms::{ROOMS, SettingChanged},
    text_enum, units,
};

text_enum! {
    /// What values a setting takes.
    pub enum SettingKind {
        Number = "number",
        Choice = "choice",
    }
}

/// A value that will be in effect from a later day on.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"version": 3, "value": 14, "effective_from": "2027-01-01T00:00:00+08:00"}))]
pub struct ScheduledView {
    pub version: i64,
    /// A number or a word, as the setting's `kind` says.
    pub value: Value,
    pub effective_from: DateTime<FixedOffset>,
}

/// A setting: what it may be, what it is, and what it will be next.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-8000-8000-0000000000c1", "key": "booking.days_ahead", "description": "居民可预约今天之后多少天内的时段",
    "kind": "number", "least": 0, "most": 90, "unit": "days", "default": 7, "value": 10, "effective_from": "2026-11-23T08:00:00+08:00",
    "version": 2, "next": {"version": 2, "value": 14, "effective_from": "2027-01-01T00:00:00+08:00"}}))]
pub struct SettingView {
    /// Made from the key: the same in every county, and what the change feed names.
    pub id: Uuid,
    pub key: &'static str,
    pub description: String,
    pub kind: SettingKind,
    /// Of numbers: the least value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<i64>,
    /// Of numbers: the greatest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<i64>,
    /// Of numbers: what is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// Of choices: the words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<&'static str>>,
    /// A number or a word, as `kind` says.
    pub default: Value,
    /// What is in effect now.
    pub value: Value,
    /// Since when; none while the default is in effect.
    pub effective_from: Option<DateTime<FixedOffset>>,
    /// Of the latest entry, in effect or not; 0 when it was never set. What `PUT` wants as `If-Match`.
    pub version: i64,
    /// What is scheduled next.
    #[schema(inline)]
    pub next: Option<ScheduledView>,
}

/// An entry of a setting's history.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"version": 2, "value": 10, "effective_from": "2026-11-23T08:00:00+08:00", "set_by": "0199a0c0-0000-7000-8000-0000000000a1",
    "set_at": "2026-11-23T08:00:00+08:00", "reason": "春节前预约集中"}))]
pub struct SettingEntryView {
    pub version: i64,
    /// A number or a word, as the setting's `kind` says.
    pub value: Value,
    pub effective_from: DateTime<FixedOffset>,
    /// The member of staff; none for what came with an upgrade.
    pub set_by: Option<Uuid>,
    pub set_at: DateTime<FixedOffset>,
    pub reason: Option<String>,
}

impl From<&Entry> for SettingEntryView {
    fn from(entry: &Entry) -> Self {
        Self {
            version: entry.version,
            value: entry.value.clone(),
            effective_from: entry.effective_from.with_timezone(&CST),
            set_by: entry.set_by,
            set_at: entry.set_at.with_timezone(&CST),
            reason: entry.reason.clone(),
        }
    }
}

fn latest(entries: &[Entry], key: &str) -> i64 {
    entries.iter().filter(|entry| entry.key == key).map(|entry| entry.version).max().unwrap_or(0)
}

/// What follows what is in effect: the earliest day to come, and of entries for one day the latest.
fn next<'a>(entries: &'a [Entry], key: &str, now: DateTime<Utc>) -> Option<&'a Entry> {
    let coming = entries.iter().filter(|entry| entry.key == key && entry.effective_from > now);
    coming.min_by_key(|entry| (entry.effective_from, -entry.version))
}

impl SettingView {
    pub(super) fn new(definition: &'static Definition, entries: &[Entry], now: DateTime<Utc>, lang: Lang) -> Self {
        let key = definition.key;
        // As Settings::at: a value that fits no more counts as not set.
        let current = in_effect(entries, key, now).filter(|entry| definition.kind.takes(&entry.value));
        let next = next(entries, key, now).map(|entry| ScheduledView {
            version: entry.version,
            value: entry.value.clone(),
            effective_from: entry.effective_from.with_timezone(&CST),
        });
        let (kind, least, most, unit, options) = match definition.kind {
            Kind::Number { least, most, unit, .. } => (SettingKind::Number, Some(least), Some(most), Some(unit), None),
            Kind::Choice { options, .. } => (SettingKind::Choice, None, None, None, Some(options.to_vec())),
        };
        Self {
            id: audit::id_of("setting", key),
            key,
            description: definition.words.get(lang).to_owned(),
            kind,
            least,
            most,
            unit,
            options,
            default: definition.kind.default(),
            value: current.map_or_else(|| definition.kind.default(), |entry| entry.value.clone()),
            effective_from: current.map(|entry| entry.effective_from.with_timezone(&CST)),
            version: latest(entries, key),
            next,
        }
    }
}

/// The setting of the path.
fn named(request: &HttpRequest) -> Result<&'static Definition> {
    Ok(request.match_info().get("key").and_then(definition).ok_or(Code::NotFound)?)
}

/// List settings
///
/// All of them, on one page: what the county decides otherwise than the default, what it may decide, and what is scheduled.
#[utoipa::path(tag = "settings", security(("token" = ["settings:read"])), responses((status = 200, description = "Every setting", body = Page<SettingView>)))]
#[get("/v1/settings")]
pub async fn list_settings(caller: Can<ReadSettings>, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (county, now) = (caller.scope.county, app.clock.now());
    let entries = app.db.read("list_settings", move |conn| Ok(store::load(conn, county)?)).await?;
    let items = model::DEFINITIONS.iter().map(|of| SettingView::new(of, &entries, now, lang)).collect();
    Ok(HttpResponse::Ok().json(Page { items, next_cursor: None, total: None }))
}

/// One setting
///
/// Its `ETag` is what `PUT` wants as `If-Match`: `"0"` while it was never set.
#[utoipa::path(tag = "settings", security(("token" = ["settings:read"])), params(("key" = String, Path, description = "The setting", example = "booking.days_ahead")),
    responses((status = 200, description = "The setting", body = SettingView)))]
#[get("/v1/settings/{key}")]
pub async fn get_setting(
    caller: Can<ReadSettings>,
    request: HttpRequest,
    lang: Lang,
    app: Data<App>,
) -> Result<HttpResponse> {
    let (definition, county, now) = (named(&request)?, caller.scope.county, app.clock.now());
    let entries = app.db.read("get_setting", move |conn| Ok(store::load(conn, county)?)).await?;
    let view = SettingView::new(definition, &entries, now, lang);
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// The history of a setting
///
/// Who set it to what, when and why; newest first. What is scheduled is among it.
#[utoipa::path(tag = "settings", security(("token" = ["settings:read"])), params(("key" = String, Path, description = "The setting", example = "booking.days_ahead"), HistoryQuery),
    responses((status = 200, description = "A page of entries", body = Page<SettingEntryView>)))]
#[get("/v1/settings/{key}/history")]
pub async fn list_setting_history(
    caller: Can<ReadSettings>,
    request: HttpRequest,
    app: Data<App>,
    query: Query<HistoryQuery>,
) -> Result<HttpResponse> {
    let (definition, county, limit) = (named(&request)?, caller.scope.county, page::limit(query.0.limit)?);
    let list = format!("settings/{}", definition.key);
    let after = page::after(&app.keys, &list, query.0.cursor.as_deref())?;
    let before = after.map_or(i64::MAX, |after| after.id.as_u128() as i64);
    let mut rows = app.db.read("list_setting_history", move |conn| Ok(store::load(conn, county)?)).await?;
    rows.retain(|entry| entry.key == definition.key);
    let total = query.0.count.unwrap_or(false).then_some(rows.len() as i64);
    rows.retain(|entry| entry.version < before);
    rows.sort_by_key(|entry| -entry.version);
    let place = |entry: &Entry| After { at: DateTime::UNIX_EPOCH, id: Uuid::from_u128(entry.version as u128) };
    let view = |entry: Entry| Ok(SettingEntryView::from(&entry));
    let page = page::cut(&app.keys, &list, rows, limit as usize, place, view)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// What a setting shall be, from when on, and why.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"value": 10, "effective_on": "2027-01-01", "reason": "春节前预约集中"}))]
pub struct SetSetting {
    /// A number or a word, as the setting's `kind` says.
    value: Value,
    /// The local day from which it holds, today or up to ten years later; without it, at once. A second entry for the same day replaces the
    /// first.
    effective_on: Option<NaiveDate>,
    /// 2 to 200 characters; kept in the history and in the audit log.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    reason: String,
}

/// Every fault of a value and a day.
fn faults(definition: &Definition, command: &SetSetting, today: NaiveDate) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    if !definition.kind.takes(&command.value) {
        wrong.push(match definition.kind {
            Kind::Number { least, most, unit, .. } => {
                let text = Text::new(
                    format!("须为 {least} 至 {most} 的整数（{unit}）"),
                    format!("must be a whole number from {least} to {most} ({unit})"),
                );
                FieldError::body("/value", "setting_range", text)
            }
            Kind::Choice { options, .. } => {
                let words = options.join(", ");
                FieldError::body(
                    "/value",
                    "setting_choice",
                    Text::new(format!("须为 {words} 之一"), format!("must be one of {words}")),
                )
            }
        });
    }
    let last = today.checked_add_months(Months::new(120)).unwrap_or(today);
    if command.effective_on.is_some_and(|day| day < today || day > last) {
        let text = Text::fixed("须为今天起十年内的日期", "must be today or within ten years");
        wrong.push(FieldError::body("/effective_on", "range", text));
    }
    wrong
}

/// From when a command holds. Never before what was last set at once: the clocks of two servers differ, and the later entry
/// must win.
fn from(command: &SetSetting, entries: &[Entry], key: &str, now: DateTime<Utc>) -> DateTime<Utc> {
    let at_once = entries.iter().filter(|entry| entry.key == key && entry.effective_from == entry.set_at);
    let earliest = at_once.map(|entry| entry.effective_from).max().map_or(now, |last| last.max(now));
    command.effective_on.map(local_midnight).filter(|midnight| *midnight > now).unwrap_or(earliest)
}

fn conflict((at, words): (DateTime<Utc>, &Text)) -> Error {
    let day = at.with_timezone(&CST).format("%Y-%m-%d %H:%M");
    Error::new(Code::SettingsConflict)
        .detail(format!("自 {day} 起：{}", words.zh), format!("From {day} on: {}", words.en))
}

/// Change a setting
///
/// At once or from a day on. A combination of settings that makes no sense is refused, also one that would only come about
/// when something scheduled takes effect. Scheduled values are replaced by another entry for the same day.
#[utoipa::path(tag = "settings", security(("token" = ["settings:write"])), params(("key" = String, Path, description = "The setting", example = "booking.days_ahead"), IfMatchHeader),
    request_body = SetSetting, responses((status = 200, description = "As it is now", body = SettingView)), extensions(("x-errors" = json!(["settings_conflict"]))))]
#[put("/v1/settings/{key}")]
pub async fn set_setting(
    caller: Can<WriteSettings>,
    request: HttpRequest,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<SetSetting>,
) -> Result<HttpResponse> {
    let (definition, now) = (named(&request)?, app.clock.now());
    let (key, command) = (definition.key, body.value);
    let wrong = faults(definition, &command, local_date(now));
    if !wrong.is_empty() {
        return Err(Error::invalid(wrong));
    }
    let entry = Audit::new("set", "setting", audit::id_of("setting", key))
        .fields(vec![key])
        .because(Some(command.reason.clone()));
    let (who, county) = (Caller::clone(&caller), caller.scope.county);
    let set = app.db.write("set_setting", move |conn| {
        // Two who set two settings at once might each be right, and both together wrong.
        units::store::lock_county(conn, county)?;
        let mut entries = store::load(conn, county)?;
        let version = latest(&entries, key);
        seen.check(version)?;
        entries.push(Entry {
            key: key.to_owned(),
            version: version + 1,
            value: command.value.clone(),
            effective_from: from(&command, &entries, key, now),
            set_by: who.staff(),
            set_at: now,
            reason: Some(command.reason.clone()),
        });
        if let Some(broken) = rules::broken(&entries, key, now) {
            return Err(conflict(broken));
        }
        if !entries.last().map_or(Ok(false), |new| store::set(conn, county, new))? {
            return Err(Code::VersionStale.into());
        }
        audit::record(conn, &who, now, &entry)?;
        changes::record(conn, changed(county, entry.entity_id), now)?;
        let from = entries.last().map_or(now, |new| new.effective_from);
        for room in ROOMS {
            let changed = SettingChanged { county, key, from };
            room.setting_changed.map_or(Ok(()), |tell| tell(conn, &changed))?;
        }
        Ok(entries)
    });
    let entries = set.await?;
    app.counties.forget();
    app.rendered.forget();
    let view = SettingView::new(definition, &entries, now, lang);
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}

fn changed(county: i32, id: Uuid) -> Change {
    Change { county, entity: "setting", entity_id: id, unit_id: None, resident_id: None, staff_id: None, gone: false }
}
