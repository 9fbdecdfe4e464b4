//! How households are shown: masked, and plain to whoever answers for them.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use diesel::PgConnection;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    model::{Household, HouseholdState, Member, Relation, TaskState, VisitTask, place},
    store::{self, Around},
};
use crate::{
    app::App,
    clock::{CST, local_date},
    error::{Code, Lang, Result},
    geo::Point,
    people::{self, PersonName, Personal},
};

/// Somebody who belongs to a household.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000b2", "resident_id": "0199a0c0-0000-7000-8000-00000000000a", "name": "陈*婆",
    "relation": "head", "since_on": "2026-11-23", "until_on": null}))]
pub struct HouseholdMemberView {
    pub id: Uuid,
    pub resident_id: Uuid,
    /// Masked.
    pub name: Option<String>,
    pub relation: Relation,
    pub since_on: NaiveDate,
    /// Exclusive; none: still a member.
    pub until_on: Option<NaiveDate>,
}

impl HouseholdMemberView {
    pub fn new(member: Member, name: Option<String>) -> Self {
        let Member { id, resident_id, relation, since_on, until_on, .. } = member;
        Self { id, resident_id, name, relation, since_on, until_on }
    }
}

/// A visit that is due (走访任务).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000b3", "household_id": "0199a0c0-0000-7000-8000-0000000000b1",
    "unit_id": "0199a0c0-0000-7000-8000-000000000001", "category_id": "0199a0c0-0000-7000-8000-0000000000b4", "holder_id": "0199a0c0-0000-7000-8000-0000000000a1",
    "opens_on": "2026-11-23", "due_on": "2026-11-30", "state": "open", "state_name": "待走访", "visit_id": null, "resolved_on": null}))]
pub struct VisitTaskView {
    pub id: Uuid,
    pub household_id: Uuid,
    pub unit_id: Uuid,
    pub category_id: Uuid,
    /// Who answers for it.
    pub holder_id: Option<Uuid>,
    /// From this day on a visit counts for it.
    pub opens_on: NaiveDate,
    pub due_on: NaiveDate,
    pub state: TaskState,
    /// The state in the language of the request.
    pub state_name: String,
    /// The visit that resolved it.
    pub visit_id: Option<Uuid>,
    /// The day of that visit; after `due_on` it was late.
    pub resolved_on: Option<NaiveDate>,
}

impl VisitTaskView {
    pub fn new(task: VisitTask, lang: Lang) -> Self {
        Self {
            id: task.id,
            household_id: task.household_id,
            unit_id: task.unit_id,
            category_id: task.category_id,
            holder_id: task.holder_id,
            opens_on: task.opens_on,
            due_on: task.due_on,
            state: task.state,
            state_name: task.state.words().get(lang).to_owned(),
            visit_id: task.resolved_by,
            resolved_on: task.resolved_on,
        }
    }
}

/// A household (户).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000b1", "unit_id": "0199a0c0-0000-7000-8000-000000000001", "state": "active", "state_name": "在册",
    "code": "HX-0012", "name": "陈*婆", "plain": false, "address": null, "note": null, "category_id": null, "holder_id": "0199a0c0-0000-7000-8000-0000000000a1",
    "partner_id": null, "point": null, "point_set_at": "2026-11-23T09:00:00+08:00", "last_visit_on": null, "members": [], "task": null, "version": 1,
    "created_at": "2026-11-23T09:00:00+08:00"}))]
pub struct HouseholdView {
    pub id: Uuid,
    /// The village.
    pub unit_id: Uuid,
    pub state: HouseholdState,
    /// The state in the language of the request.
    pub state_name: String,
    /// The county's own number of it.
    pub code: Option<String>,
    /// How it is called, usually after its head. Masked, unless `plain`.
    pub name: Option<String>,
    /// The caller answers for it, or for an absent colleague who does, and sees name, address, note and point; others see that there is something, or `reveal` it.
    pub plain: bool,
    pub address: Option<String>,
    pub note: Option<String>,
    pub category_id: Option<Uuid>,
    /// Who answers for its visits.
    pub holder_id: Option<Uuid>,
    /// Its one-to-one partner (结对帮扶).
    pub partner_id: Option<Uuid>,
    /// The home point, in WGS 84.
    #[schema(inline)]
    pub point: Option<Point>,
    /// When the home point was set; none: there is none.
    pub point_set_at: Option<DateTime<FixedOffset>>,
    /// The last day on which a visit met somebody.
    pub last_visit_on: Option<NaiveDate>,
    pub members: Vec<HouseholdMemberView>,
    /// The visit that comes next.
    #[schema(inline)]
    pub task: Option<VisitTaskView>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
}

/// Opens a sealed value of a household.
pub fn open(app: &App, row: &Household, column: &str, sealed: Option<&[u8]>) -> Result<Option<String>> {
    let open = |sealed| app.keys.open_text(row.county_id, &place(column, row.id), sealed);
    Ok(sealed.map(open).transpose()?)
}

/// The name, masked or plain.
pub fn name(app: &App, row: &Household, plain: bool) -> Result<Option<String>> {
    let name = open(app, row, "name", row.name.as_deref())?;
    let masked = |name: String| name.parse().map(|name: PersonName| name.mask()).unwrap_or_else(|_| "*".into());
    Ok(if plain { name } else { name.map(masked) })
}

/// Who looks, and whether in plain what they answer for: then it is for the caller to record the look.
#[derive(Clone, Copy, Debug)]
pub struct Eyes {
    pub lang: Lang,
    pub me: Uuid,
    /// The day on which they stand in for absent colleagues.
    pub on: Option<NaiveDate>,
    pub plain: bool,
}

impl Eyes {
    pub fn plain(lang: Lang, me: Uuid, now: DateTime<Utc>) -> Self {
        Self { lang, me, on: Some(local_date(now)), plain: true }
    }

    /// Whose households are shown plain: the caller's, and those of absent colleagues whom they stand in for.
    fn answers_for(self, conn: &mut PgConnection, county: i32, rows: &[Household]) -> Result<Vec<Uuid>> {
        let mut staff = vec![self.me];
        let others = rows.iter().any(|row| row.holder_id.is_some_and(|holder| holder != self.me));
        if let Some(on) = self.on.filter(|_| self.plain && others) {
            staff.extend(store::covered(conn, county, self.me, on)?);
        }
        Ok(staff)
    }
}

/// Views of some households, and the ids of those that were shown plain.
pub fn many(
    conn: &mut PgConnection,
    app: &App,
    eyes: Eyes,
    rows: Vec<Household>,
) -> Result<(Vec<HouseholdView>, Vec<Uuid>)> {
    let Some(county) = rows.first().map(|row| row.county_id) else { return Ok(Default::default()) };
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut around = store::around(conn, county, &ids)?;
    let residents: Vec<_> =
        around.values().flat_map(|around| &around.members).map(|member| member.resident_id).collect();
    let names = people::masked_names(conn, app, county, &residents)?;
    let answering = eyes.answers_for(conn, county, &rows)?;
    let (mut views, mut plain) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        let Around { members, partner, task } = around.remove(&row.id).unwrap_or_default();
        let partner_id = partner.map(|partner| partner.staff_id);
        let shown = eyes.plain
            && (row.holder_id.is_some_and(|holder| answering.contains(&holder)) || partner_id == Some(eyes.me));
        if shown {
            plain.push(row.id);
        }
        let seen = |column, sealed: &Option<Vec<u8>>| open(app, &row, column, sealed.as_deref().filter(|_| shown));
        views.push(HouseholdView {
            id: row.id,
            unit_id: row.unit_id,
            state: row.state,
            state_name: row.state.words().get(eyes.lang).to_owned(),
            name: name(app, &row, shown)?,
            plain: shown,
            address: seen("address", &row.address)?,
            note: seen("note", &row.note)?,
            category_id: row.category_id,
            holder_id: row.holder_id,
            partner_id,
            point: row.point().filter(|_| shown),
            point_set_at: row.point_set_at.map(|at| at.with_timezone(&CST)),
            last_visit_on: row.last_visit_on,
            members: members
                .into_iter()
                .map(|member| {
                    let name = names.get(&member.resident_id).cloned();
                    HouseholdMemberView::new(member, name)
                })
                .collect(),
            task: task.map(|task| VisitTaskView::new(task, eyes.lang)),
            version: row.version,
            created_at: row.created_at.with_timezone(&CST),
            code: row.code,
        });
    }
    Ok((views, plain))
}

/// [`many`] of one.
pub fn one(conn: &mut PgConnection, app: &App, eyes: Eyes, row: Household) -> Result<HouseholdView> {
    let (views, _) = many(conn, app, eyes, vec![row])?;
    views.into_iter().next().ok_or(Code::NotFound.into())
}
