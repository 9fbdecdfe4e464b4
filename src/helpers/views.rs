//! How helpers are shown: names of staff as on the duty board, names of residents masked, a point to its owner alone.

use std::collections::HashMap;

use chrono::{DateTime, FixedOffset, NaiveTime, Utc};
use diesel::PgConnection;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    decisions::{self, HelperDecisionView},
    model::{Around, Helper, HelperKind, HelperState, Hours, reason_place, words_place},
    store,
};
use crate::{
    app::App,
    clock::CST,
    error::{Code, Lang, Result},
    geo::{CoordinateSystem, Point},
    people,
};

/// When a helper can be asked, local time (UTC+8).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"weekdays": [1, 3, 5], "from_time": "14:00:00", "until_time": "18:00:00"}))]
pub struct HelperHoursView {
    /// ISO weekdays, 1 is Monday and 7 is Sunday.
    pub weekdays: Vec<u8>,
    pub from_time: NaiveTime,
    /// Exclusive; `00:00:00` is the end of the day.
    pub until_time: NaiveTime,
}

impl From<Hours> for HelperHoursView {
    fn from(hours: Hours) -> Self {
        let weekdays = (1..=7).filter(|day| hours.weekdays & (1 << (day - 1)) != 0).collect();
        Self { weekdays, from_time: hours.from_time, until_time: hours.until_time }
    }
}

/// A helper (服务人员).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e1", "kind": "volunteer", "kind_name": "志愿者", "staff_id": null,
    "resident_id": "0199a0c0-0000-7000-8000-00000000000a", "name": "林*山", "unit_id": "0199a0c0-0000-7000-8000-000000000001", "state": "active",
    "state_name": "服务中", "skills": ["care"], "claimed_skills": ["care", "repair"], "unit_ids": [], "asked_unit_ids": [], "hours": [],
    "radius_m": 3000, "max_load": null, "away_from": null, "away_until": null, "point": null, "words": null, "reason": null,
    "decided_by": "0199a0c0-0000-7000-8000-0000000000a1", "decided_at": "2026-11-21T20:15:00+08:00", "decisions": [], "version": 2, "created_at": "2026-11-21T20:10:00+08:00"}))]
pub struct HelperView {
    pub id: Uuid,
    pub kind: HelperKind,
    /// The kind in the language of the request.
    pub kind_name: String,
    /// Specialists and cadres are members of staff; the others residents.
    pub staff_id: Option<Uuid>,
    pub resident_id: Option<Uuid>,
    /// Of staff as on the duty board, of residents masked.
    pub name: Option<String>,
    /// The home unit: they serve it and what lies below it. Of staff: where they have a post.
    pub unit_id: Uuid,
    pub state: HelperState,
    /// The state in the language of the request.
    pub state_name: String,
    /// Granted by staff.
    pub skills: Vec<String>,
    /// What they say of themselves.
    pub claimed_skills: Vec<String>,
    /// Further units that they serve.
    pub unit_ids: Vec<Uuid>,
    /// Further units that they have asked for, and nobody has decided about.
    pub asked_unit_ids: Vec<Uuid>,
    /// When they can be asked; empty: always.
    pub hours: Vec<HelperHoursView>,
    /// They also serve what lies within this distance of their point.
    pub radius_m: Option<i32>,
    /// Orders that they hold at a time; none: as many as the county's setting says.
    pub max_load: Option<i16>,
    pub away_from: Option<DateTime<FixedOffset>>,
    /// Exclusive; none while `away_from` is set: until they say that they are back.
    pub away_until: Option<DateTime<FixedOffset>>,
    /// Where they start from; only shown to themselves.
    #[schema(inline)]
    pub point: Option<Point>,
    /// What they wrote when they applied; for themselves and whoever decides, of one helper only.
    pub words: Option<String>,
    /// Why they were refused or stopped; shown like `words`.
    pub reason: Option<String>,
    /// The member of staff who decided last; none while nobody has, or when it follows from a post.
    pub decided_by: Option<Uuid>,
    pub decided_at: Option<DateTime<FixedOffset>>,
    /// Everything that was ever decided, oldest first; shown like `words`.
    pub decisions: Vec<HelperDecisionView>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
}

/// How much of a helper is shown.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    /// As in lists.
    Outside,
    /// Also what was written, for whoever decides.
    Words,
    /// Everything, with the point in this system.
    Own(CoordinateSystem),
}

fn local(at: Option<DateTime<Utc>>) -> Option<DateTime<FixedOffset>> {
    at.map(|at| at.with_timezone(&CST))
}

impl HelperView {
    fn new(app: &App, (lang, shown): (Lang, Shown), row: Helper, name: Option<String>, around: Around) -> Result<Self> {
        let open = |place: String, sealed: &Option<Vec<u8>>| {
            let sealed = sealed.as_ref().filter(|_| !matches!(shown, Shown::Outside));
            sealed.map(|sealed| app.keys.open_text(row.county_id, &place, sealed)).transpose()
        };
        let point = match shown {
            Shown::Own(system) => row.point().map(|point| point.within(system)),
            Shown::Outside | Shown::Words => None,
        };
        let units = |wanted: bool| around.units.iter().filter(|(_, is)| *is == wanted).map(|(unit, _)| *unit).collect();
        Ok(Self {
            id: row.id,
            kind: row.kind,
            kind_name: row.kind.words().get(lang).to_owned(),
            staff_id: row.staff_id,
            resident_id: row.resident_id,
            name,
            unit_id: row.unit_id,
            state: row.state,
            state_name: row.state.words().get(lang).to_owned(),
            words: open(words_place(row.id), &row.words)?,
            reason: open(reason_place(row.id), &row.reason)?,
            skills: row.skills.into_iter().flatten().collect(),
            claimed_skills: row.claimed.into_iter().flatten().collect(),
            unit_ids: units(true),
            asked_unit_ids: units(false),
            hours: around.hours.into_iter().map(HelperHoursView::from).collect(),
            radius_m: row.radius_m,
            max_load: row.max_load,
            away_from: local(row.away_from),
            away_until: local(row.away_until),
            point,
            decided_by: row.decided_by,
            decided_at: local(row.decided_at),
            decisions: Vec::new(),
            version: row.version,
            created_at: row.created_at.with_timezone(&CST),
        })
    }

    pub fn many(conn: &mut PgConnection, app: &App, as_seen: (Lang, Shown), rows: Vec<Helper>) -> Result<Vec<Self>> {
        let Some(county) = rows.first().map(|row| row.county_id) else { return Ok(Vec::new()) };
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let residents: Vec<_> = rows.iter().filter_map(|row| row.resident_id).collect();
        let members: Vec<_> = rows.iter().filter_map(|row| row.staff_id).collect();
        let mut names: HashMap<Uuid, String> = store::staff_names(conn, county, &members)?;
        names.extend(people::masked_names(conn, app, county, &residents)?);
        let mut around = store::around(conn, county, &ids)?;
        let view = |row: Helper| {
            let name = row.staff_id.or(row.resident_id).and_then(|id| names.get(&id).cloned());
            let around = around.remove(&row.id).unwrap_or_default();
            Self::new(app, as_seen, row, name, around)
        };
        rows.into_iter().map(view).collect()
    }

    pub fn one(conn: &mut PgConnection, app: &App, as_seen: (Lang, Shown), row: Helper) -> Result<Self> {
        let (county, id) = (row.county_id, row.id);
        let view = Self::many(conn, app, as_seen, vec![row])?.pop().ok_or(Code::NotFound)?;
        let decisions = match as_seen.1 {
            Shown::Outside => Vec::new(),
            Shown::Words | Shown::Own(_) => decisions::of(conn, app, county, id)?,
        };
        Ok(Self { decisions, ..view })
    }
}
