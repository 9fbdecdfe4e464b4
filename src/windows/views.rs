//! A window as it is answered: its rules, its matters, and who sits there.

use std::collections::HashMap;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime};
use diesel::PgConnection;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    model::{Place, Rule, Window, WindowState},
    store,
};
use crate::{
    clock::CST,
    error::{Error, Result},
    staff::{self, There},
};

/// A service window (窗口) of a unit's centre.
#[derive(Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000c1", "unit_id": "0199a0c0-0000-7000-8000-000000000001", "name": "民生事务窗口",
    "state": "open", "officer": null, "paused_at": null, "matter_ids": ["0199a0c0-0000-7000-8000-0000000000b1"], "opening_rules": [], "version": 1}))]
pub struct WindowView {
    pub id: Uuid,
    pub unit_id: Uuid,
    pub name: String,
    /// A closed window offers no slots.
    pub state: WindowState,
    /// Who sits there. On days on which they are absent and nobody stands in for them the window offers nothing.
    pub officer: Option<OfficerView>,
    /// It calls nobody since then (暂停办理).
    pub paused_at: Option<DateTime<FixedOffset>>,
    /// The matters that it serves.
    pub matter_ids: Vec<Uuid>,
    pub opening_rules: Vec<OpeningRuleView>,
    pub version: i64,
}

/// The member of staff of a window.
#[derive(Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f1", "name": "陈小兰", "present": false,
    "cover": {"id": "0199a0c0-0000-7000-8000-0000000000f2", "name": "林志强"}}))]
pub struct OfficerView {
    pub id: Uuid,
    pub name: String,
    /// Whether they are there today.
    pub present: bool,
    /// Who is there today in their place (AB 岗).
    pub cover: Option<CoverView>,
}

/// Who stands in.
#[derive(Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f2", "name": "林志强"}))]
pub struct CoverView {
    pub id: Uuid,
    pub name: String,
}

impl From<(There, Option<There>)> for OfficerView {
    fn from((officer, cover): (There, Option<There>)) -> Self {
        let cover = cover.map(|cover| CoverView { id: cover.id, name: cover.name });
        Self { id: officer.id, name: officer.name, present: officer.present, cover }
    }
}

/// A recurring opening rule.
#[derive(Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d1", "weekdays": [1, 2, 3, 4, 5], "opens_at": "08:30:00", "closes_at": "11:30:00",
    "slot_minutes": 30, "place": "centre", "capacity_public": 4, "capacity_proxy": 1, "capacity_desk": 1, "every_weeks": 1,
    "valid_from": "2026-01-01", "valid_until": null}))]
pub struct OpeningRuleView {
    pub id: Uuid,
    /// ISO weekdays, 1 is Monday and 7 is Sunday.
    pub weekdays: Vec<u8>,
    /// Local time (UTC+8).
    pub opens_at: NaiveTime,
    pub closes_at: NaiveTime,
    pub slot_minutes: i16,
    /// Where its slots are served.
    pub place: Place,
    pub capacity_public: i16,
    pub capacity_proxy: i16,
    pub capacity_desk: i16,
    /// Only every n-th week, counted from the week of `valid_from`.
    pub every_weeks: i16,
    pub valid_from: NaiveDate,
    pub valid_until: Option<NaiveDate>,
}

impl From<Rule> for OpeningRuleView {
    fn from(rule: Rule) -> Self {
        Self {
            id: rule.id,
            weekdays: (1..=7).filter(|day| rule.weekdays & (1 << (day - 1)) != 0).collect(),
            opens_at: rule.opens_at,
            closes_at: rule.closes_at,
            slot_minutes: rule.slot_minutes,
            place: rule.place,
            capacity_public: rule.capacity_public,
            capacity_proxy: rule.capacity_proxy,
            capacity_desk: rule.capacity_desk,
            every_weeks: rule.every_weeks,
            valid_from: rule.valid_from,
            valid_until: rule.valid_until,
        }
    }
}

/// Views of windows with their rules, matters and officers: three statements however many windows, and one more for each
/// officer who is away.
pub fn views(conn: &mut PgConnection, county: i32, windows: Vec<Window>, today: NaiveDate) -> Result<Vec<WindowView>> {
    let ids: Vec<_> = windows.iter().map(|window| window.id).collect();
    let (rules, served) = store::details(conn, county, &ids)?;
    let mut by_window: HashMap<Uuid, (Vec<OpeningRuleView>, Vec<Uuid>)> = HashMap::new();
    for rule in rules {
        by_window.entry(rule.window_id).or_default().0.push(rule.into());
    }
    for (window, matter) in served {
        by_window.entry(window).or_default().1.push(matter);
    }
    let officers: Vec<Uuid> = windows.iter().filter_map(|window| window.officer_id).collect();
    let officers = if officers.is_empty() { Vec::new() } else { staff::on_duty(conn, county, officers, today)? };
    let officers: HashMap<Uuid, OfficerView> = officers.into_iter().map(|who| (who.0.id, who.into())).collect();
    let view = |window: Window| {
        let (opening_rules, matter_ids) = by_window.remove(&window.id).unwrap_or_default();
        WindowView {
            id: window.id,
            unit_id: window.unit_id,
            name: window.name,
            state: window.state,
            officer: window.officer_id.and_then(|id| officers.get(&id).cloned()),
            paused_at: window.paused_at.map(|at| at.with_timezone(&CST)),
            matter_ids,
            opening_rules,
            version: window.version,
        }
    };
    Ok(windows.into_iter().map(view).collect())
}

pub fn view(conn: &mut PgConnection, county: i32, window: Window, today: NaiveDate) -> Result<WindowView> {
    views(conn, county, vec![window], today)?.pop().ok_or_else(|| Error::internal("one window, one view"))
}
