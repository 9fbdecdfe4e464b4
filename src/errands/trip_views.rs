//! Trips as they are answered.

use std::collections::HashMap;

use chrono::{DateTime, FixedOffset, NaiveDate};
use diesel::PgConnection;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    model::ErrandState,
    originals::{OriginalState, name_place},
    trips::{self, Along, Line, Trip, TripResult, TripState},
    views::ErrandResident,
};
use crate::{
    app::App,
    appointments::Named,
    clock::CST,
    error::{Lang, Result},
    people,
};

/// An errand of a trip, or one that could be.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"errand_id": "0199a0c0-0000-7000-8000-0000000000f1", "number": "261123-482913", "matter": "最低生活保障申请",
    "resident": {"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明"}, "state": "handling", "due_on": "2026-12-23", "result": "none",
    "originals": [{"id": "0199a0c0-0000-7000-8000-0000000000c7", "name": "户口簿", "state": "held"}]}))]
pub struct TripErrandView {
    pub errand_id: Uuid,
    pub number: String,
    pub matter: String,
    /// Masked.
    pub resident: ErrandResident,
    pub state: ErrandState,
    pub due_on: Option<NaiveDate>,
    /// What came of it; the words are in the errand's ledger.
    pub result: TripResult,
    /// To take along, or there already.
    pub originals: Vec<TripOriginalView>,
}

/// An original that goes along.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000c7", "name": "户口簿", "state": "held"}))]
pub struct TripOriginalView {
    pub id: Uuid,
    pub name: Option<String>,
    pub state: OriginalState,
}

/// A trip (收集归类、代为办理).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e7", "number": "T261123-104233", "agent": {"id": "0199a0c0-0000-7000-8000-0000000000a1", "name": "陈特派"},
    "department": {"id": "0199a0c0-0000-7000-8000-0000000000d3", "name": "县民政局"}, "on": "2026-11-25", "state": "planned", "state_name": "已计划", "errands": 3,
    "version": 1, "created_at": "2026-11-23T08:30:00+08:00", "updated_at": "2026-11-23T08:30:00+08:00"}))]
pub struct TripView {
    pub id: Uuid,
    pub number: String,
    /// Who makes it.
    pub agent: Named,
    pub department: Named,
    /// The day on which it is planned.
    pub on: NaiveDate,
    pub state: TripState,
    /// The state in the language of the request.
    pub state_name: String,
    /// How many.
    pub errands: i64,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
    pub updated_at: DateTime<FixedOffset>,
}

/// A trip with its list.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"trip": {"id": "0199a0c0-0000-7000-8000-0000000000e7", "number": "T261123-104233",
    "agent": {"id": "0199a0c0-0000-7000-8000-0000000000a1", "name": "陈特派"}, "department": {"id": "0199a0c0-0000-7000-8000-0000000000d3", "name": "县民政局"},
    "on": "2026-11-25", "state": "planned", "state_name": "已计划", "errands": 0, "version": 1, "created_at": "2026-11-23T08:30:00+08:00",
    "updated_at": "2026-11-23T08:30:00+08:00"}, "errands": []}))]
pub struct TripSheetView {
    pub trip: TripView,
    pub errands: Vec<TripErrandView>,
}

/// What is ready for one department.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"department": {"id": "0199a0c0-0000-7000-8000-0000000000d3", "name": "县民政局"}, "errands": []}))]
pub struct ReadyView {
    pub department: Named,
    /// The most urgent first.
    pub errands: Vec<TripErrandView>,
}

/// What is ready, by department.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"departments": []}))]
pub struct ReadyTripsView {
    pub departments: Vec<ReadyView>,
}

impl TripView {
    pub fn new(lang: Lang, row: Trip) -> Self {
        Self {
            id: row.id,
            number: row.number,
            agent: Named { id: row.agent_id, name: row.agent_name },
            department: Named { id: row.department_id, name: row.department_name },
            on: row.on_date,
            state: row.state,
            state_name: row.state.words().get(lang).to_owned(),
            errands: row.errands,
            version: row.version,
            created_at: row.created_at.with_timezone(&CST),
            updated_at: row.updated_at.with_timezone(&CST),
        }
    }
}

/// An errand with the originals that go along.
pub fn errand(app: &App, county: i32, row: Line, along: Vec<Along>) -> Result<TripErrandView> {
    let sealed = (row.resident_name.as_deref(), None);
    let (name, _) = people::name_and_phone(app, (county, row.resident_id), sealed, true)?;
    let original = |row: Along| {
        let open = |sealed: &Vec<u8>| app.keys.open_text(county, &name_place(row.id), sealed);
        Ok(TripOriginalView { id: row.id, name: row.name.as_ref().map(open).transpose()?, state: row.state })
    };
    Ok(TripErrandView {
        errand_id: row.errand_id,
        number: row.number,
        matter: row.matter,
        resident: ErrandResident { id: row.resident_id, name },
        state: row.state,
        due_on: row.due_on,
        result: row.result,
        originals: along.into_iter().map(original).collect::<Result<_>>()?,
    })
}

/// A trip with its list, in the transaction of `conn`.
pub fn sheet(conn: &mut PgConnection, app: &App, lang: Lang, trip: Trip) -> Result<TripSheetView> {
    let (county, id) = (trip.county_id, trip.id);
    let mut along: HashMap<Uuid, Vec<Along>> = HashMap::new();
    for original in trips::along(conn, county, id)? {
        along.entry(original.errand_id).or_default().push(original);
    }
    let lines = trips::lines(conn, &trip)?.into_iter();
    let lines = lines.map(|line| {
        let along = along.remove(&line.errand_id).unwrap_or_default();
        errand(app, county, line, along)
    });
    Ok(TripSheetView { errands: lines.collect::<Result<_>>()?, trip: TripView::new(lang, trip) })
}
