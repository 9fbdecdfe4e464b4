//! Importing households from a table: seen first, all or nothing, and undone again.

use std::collections::{HashMap, HashSet};

use actix_web::{post, web::Data};
use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types::Integer};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    categories::{self, CategoryState, VisitCategoryView},
    model::{Household, HouseholdState, PointSource},
    plan::{self, Facts, Known, Line, LineAction, Planned, Village},
    points::{self, NewPoint},
    routes::{Sealing, values},
    store::{self, Sight},
    views::open,
};
use crate::{
    app::App,
    audit::{self, Audit},
    db::schema::{household_import_lines as lines, household_imports as imports, households, units},
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can, Reach},
        document::IdempotencyHeader,
        files::Table,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::ImportHouseholds,
        valid::Query,
    },
    people::{PersonName, Personal},
    sheet::{self, FaultView},
    statement,
    units::{Level, store::unit_within},
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ImportHouseholdsQuery {
    /// Only says what would happen.
    #[param(default = false)]
    preview: Option<bool>,
}

/// What a line changes in a column; names, addresses and notes are masked, points only named.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"column": "address", "before": "红***", "after": "新***"}))]
pub struct HouseholdChangeView {
    pub column: &'static str,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// A line of the file.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"line": 2, "action": "create", "household_id": null, "changes": [], "faults": []}))]
pub struct HouseholdLineView {
    /// The header is line 1.
    pub line: u64,
    /// What it does; nothing while anything is wrong.
    pub action: LineAction,
    /// The household that it is about; none yet of one that a preview would create.
    pub household_id: Option<Uuid>,
    /// Only of a preview.
    pub changes: Vec<HouseholdChangeView>,
    pub faults: Vec<FaultView>,
}

/// What an import did, or would do.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": null, "preview": true, "created": 1, "changed": 0, "unchanged": 0,
    "lines": [{"line": 2, "action": "create", "household_id": null, "changes": [], "faults": []}]}))]
pub struct HouseholdImportView {
    /// What it is undone by; none of a preview.
    pub id: Option<Uuid>,
    pub preview: bool,
    pub created: usize,
    pub changed: usize,
    pub unchanged: usize,
    pub lines: Vec<HouseholdLineView>,
}

/// The first character of an address or a note.
fn masked(text: Option<&str>) -> Option<String> {
    text.and_then(|text| text.chars().next()).map(|first| format!("{first}***"))
}

fn masked_name(name: &str) -> Option<String> {
    name.parse::<PersonName>().ok().map(|name| name.mask())
}

fn change(plan: &Planned, known: &Known, column: &'static str) -> HouseholdChangeView {
    let id = |id: Option<Uuid>| id.map(|id| id.to_string());
    let (before, after) = match column {
        "code" => (known.code.clone(), plan.line.code.clone()),
        "unit" => (id(Some(known.unit)), id(plan.unit)),
        "category" => (id(known.category), id(plan.category)),
        "name" => (masked_name(&known.name), plan.line.name.as_ref().map(Personal::mask)),
        "address" => (masked(known.address.as_deref()), masked(plan.line.address.as_deref())),
        "note" => (masked(known.note.as_deref()), masked(plan.line.note.as_deref())),
        _ => (None, None),
    };
    HouseholdChangeView { column, before, after }
}

impl HouseholdImportView {
    fn new(planned: &[Planned], id: Option<Uuid>) -> Self {
        let count = |action| planned.iter().filter(|plan| plan.action == action).count();
        let line = |plan: &Planned| HouseholdLineView {
            line: plan.line.line,
            action: plan.action,
            household_id: plan.known.as_ref().map(|known| known.id),
            changes: plan
                .known
                .iter()
                .filter(|_| id.is_none())
                .flat_map(|known| plan.columns.iter().map(|column| change(plan, known, column)))
                .collect(),
            faults: plan.line.faults.iter().map(FaultView::from).collect(),
        };
        Self {
            id,
            preview: id.is_none(),
            created: count(LineAction::Create),
            changed: count(LineAction::Change),
            unchanged: count(LineAction::Unchanged),
            lines: planned.iter().map(line).collect(),
        }
    }
}

/// A household in plain.
fn known(app: &App, row: &Household, unplaced: &HashSet<Uuid>) -> Result<Known> {
    Ok(Known {
        id: row.id,
        active: row.state == HouseholdState::Active,
        code: row.code.clone(),
        unit: row.unit_id,
        name: open(app, row, "name", row.name.as_deref())?.unwrap_or_default(),
        address: open(app, row, "address", row.address.as_deref())?,
        category: row.category_id,
        note: open(app, row, "note", row.note.as_deref())?,
        point: row.point(),
        unplaced: unplaced.contains(&row.id),
    })
}

statement! {
    /// One import after another until the transaction ends: two at once could each create a household without a code.
    struct Alone { county: i32 as Integer }
    "SELECT pg_advisory_xact_lock(7250033, {county})"
}

type Row = (Uuid, Option<Uuid>, String, String);

/// Villages within reach, active categories, and the households that the lines may be about. Those of an import stay as they are until the transaction
/// ends; a preview keeps nobody waiting.
fn facts(conn: &mut PgConnection, app: &App, sight: Sight, (file, preview): (&[Line], bool)) -> Result<Facts> {
    let county = sight.scope.county;
    let level = |level: Level| units::table.filter(units::county_id.eq(county)).filter(units::level.eq(level));
    let above: HashMap<Uuid, String> =
        level(Level::Township).select((units::id, units::name)).load(conn)?.into_iter().collect();
    let mut here = level(Level::Village).into_boxed();
    if let Reach::Unit(top) = sight.scope.reach {
        here = here.filter(unit_within(county, units::id.nullable(), top));
    }
    let rows: Vec<Row> = here.select((units::id, units::parent_id, units::name, units::division_code)).load(conn)?;
    let place = |(id, parent, name, code): Row| {
        let township = parent.and_then(|parent| above.get(&parent).cloned()).unwrap_or_default();
        Village { id, name, township, code }
    };
    let villages: Vec<Village> = rows.into_iter().map(place).collect();
    let codes: Vec<String> = file.iter().filter_map(|line| line.code.clone()).collect();
    let names: Vec<Vec<u8>> =
        file.iter().filter_map(|line| line.name.as_ref()).flat_map(|name| name.blinds(&app.keys, county)).collect();
    let of: HashSet<Uuid> = villages.iter().map(|village| village.id).collect();
    let namesakes = households::name_index.eq_any(names).and(households::unit_id.eq_any(&of));
    let rows = households::table
        .filter(households::county_id.eq(county))
        .filter(households::code.eq_any(codes).or(namesakes))
        .order(households::id)
        .select(Household::as_select());
    let rows: Vec<Household> = if preview { rows.load(conn)? } else { rows.for_no_key_update().load(conn)? };
    let (here, elsewhere): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| of.contains(&row.unit_id));
    let unplaced = points::unplaced(conn, county, here.iter().map(|row| row.id).collect())?;
    let category =
        |category: VisitCategoryView| (category.name, (category.id, category.state == CategoryState::Active));
    Ok(Facts {
        villages,
        categories: categories::all(conn, county)?.into_iter().map(category).collect(),
        known: here.iter().map(|row| known(app, row, &unplaced)).collect::<Result<_>>()?,
        taken: elsewhere.into_iter().filter_map(|row| row.code).collect(),
    })
}

/// What a line changed, as it was: sealed, for undoing it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Before {
    pub unit: Uuid,
    pub code: Option<String>,
    pub name: String,
    pub address: Option<String>,
    pub note: Option<String>,
    pub category: Option<Uuid>,
    /// Where it was, if the line moved it.
    pub moved: Option<Option<(f64, f64)>>,
}

/// What the sealed words of a line are bound to.
pub fn place(id: Uuid) -> String {
    format!("household_import_lines.before/{id}")
}

/// Import households
///
/// A table with the columns `code,unit,name,address,category,lng,lat,coordinate_system,note`: `text/csv` in UTF-8, UTF-16 or GB 18030 (GBK), or the first sheet of an
/// `.xlsx` workbook. `unit` is the name of a village, `township/village`, or a division code; `category` a name. A line is about the household with its code, else about the one of that whole name in the
/// village; where there is none, it creates one. What is empty stays as it is; who is not in the file, too. Formulas are refused. With anything wrong nothing is
/// imported, and every line's faults are told: with `preview` in the answer, without it as 422, `pointer` being `/<line>/<column>`. At most 300 lines and 1 MiB. A
/// preview is not kept for repeats.
#[utoipa::path(tag = "households", security(("token" = ["households:import"])), params(ImportHouseholdsQuery, IdempotencyHeader),
    request_body(content((String = "text/csv", example = json!("code,unit,name,address,category,lng,lat,coordinate_system,note\nHX-1,均溪镇/红星村委会,陈阿婆,红星村12号,一般户,,,,\n")), (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
    responses((status = 200, description = "What it did, or would do", body = HouseholdImportView)), extensions(("x-errors" = json!(["consent_required", "code_taken"]))))]
#[post("/v1/households/import")]
pub async fn import_households(
    caller: Can<ImportHouseholds>,
    key: IdempotencyKey,
    app: Data<App>,
    query: Query<ImportHouseholdsQuery>,
    body: Table,
) -> Result<Answer> {
    let (who, sight, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clock.now());
    let rows = body.rows(&plan::COLUMNS, plan::LINES).await?;
    let (file, inner): (Vec<Line>, _) = (rows.into_iter().map(plan::line).collect(), app.clone());
    let once = Once::new(&caller, "import_households", key, body.digest);
    if query.0.preview.unwrap_or(false) {
        // It costs as much as an import, and counts as one.
        app.count(&once).await?;
        let looked =
            Audit::new("preview_import", "household", Uuid::nil()).fields(vec!["name", "address", "note", "point"]);
        let seen = app.db.write("preview_households", move |conn| {
            let planned = plan::plan(file.clone(), &facts(conn, &inner, sight, (&file, true))?);
            // Trying names out leaves a trace, as looking them up does.
            let known = planned.iter().filter_map(|plan| plan.known.as_ref());
            let looks: Vec<_> = known.map(|known| looked.of(known.id)).chain([looked.clone()]).collect();
            audit::record_all(conn, &who, now, &looks)?;
            Ok(planned)
        });
        return Answer::ok(1, &HouseholdImportView::new(&seen.await?, None));
    }
    let (id, digest) = (Uuid::now_v7(), body.sha256());
    let (entry, whole) = (Audit::new("import", "household", id), Audit::new("import", "household_import", id));
    app.once(once, move |conn| {
        Alone { county: who.county }.execute(conn)?;
        let facts = facts(conn, &inner, sight, (&file, false))?;
        let mut planned = plan::plan(file.clone(), &facts);
        let faults = sheet::refusal(planned.iter().map(|plan| (plan.line.line, &*plan.line.faults)));
        if !faults.is_empty() {
            return Err(Error::invalid(faults));
        }
        let count = |action| planned.iter().filter(|plan| plan.action == action).count() as i32;
        diesel::insert_into(imports::table)
            .values((
                (imports::county_id.eq(who.county), imports::id.eq(id), imports::digest.eq(digest.as_slice())),
                (imports::created.eq(count(LineAction::Create)), imports::changed.eq(count(LineAction::Change))),
                (imports::unchanged.eq(count(LineAction::Unchanged)), imports::imported_by.eq(who.subject)),
                imports::imported_at.eq(now),
            ))
            .execute(conn)?;
        for plan in planned.iter_mut().filter(|plan| plan.action != LineAction::Unchanged) {
            let household = apply(conn, &inner, (&who, sight), (id, plan), now)?;
            audit::record(conn, &who, now, &entry.of(household))?;
        }
        audit::record(conn, &who, now, &whole)?;
        Answer::ok(1, &HouseholdImportView::new(&planned, Some(id)))
    })
    .await
}

/// Does what a line says; the household.
fn apply(
    conn: &mut PgConnection,
    app: &App,
    (who, sight): (&Caller, Sight),
    (import, plan): (Uuid, &mut Planned),
    now: DateTime<Utc>,
) -> Result<Uuid> {
    let (county, line) = (who.county, &plan.line);
    let (Some(name), Some(unit)) = (&line.name, plan.unit) else { return Err(Code::Internal.into()) };
    let known = plan.known.clone();
    let id = known.as_ref().map_or_else(Uuid::now_v7, |known| known.id);
    let kept = |new: &Option<String>, old: fn(&Known) -> &Option<String>| {
        new.clone().or_else(|| known.as_ref().and_then(|known| old(known).clone()))
    };
    let (address, note) = (kept(&line.address, |known| &known.address), kept(&line.note, |known| &known.note));
    let sealing = Sealing { name, address: address.as_deref(), note: note.as_deref() };
    let category = plan.category.or(known.as_ref().and_then(|known| known.category));
    let set = values(app, (county, id), (unit, kept(&line.code, |known| &known.code), category), &sealing);
    let mut row = match &known {
        None => store::insert(conn, (county, id), &set, Some(who.subject), now)?,
        Some(_) => {
            let row = store::lock_active(conn, sight, id)?;
            store::update(conn, &row, &set, now)?
        }
    };
    let moves = line.point.filter(|_| known.is_none() || plan.columns.contains(&"point"));
    if let Some(point) = moves {
        let new = NewPoint { point, accuracy_m: None };
        row = points::set(conn, &row, &new, (PointSource::Imported, Some(who.subject)), now)?;
    }
    let line_id = Uuid::now_v7();
    let before = known.as_ref().map(|known| Before {
        unit: known.unit,
        code: known.code.clone(),
        name: known.name.clone(),
        address: known.address.clone(),
        note: known.note.clone(),
        category: known.category,
        moved: moves.map(|_| known.point.map(|point| (point.lng, point.lat))),
    });
    let before = before.map(|before| serde_json::to_vec(&before)).transpose().map_err(Error::internal)?;
    let did = if known.is_none() { "created" } else { "changed" };
    diesel::insert_into(lines::table)
        .values((
            (lines::county_id.eq(county), lines::id.eq(line_id), lines::import_id.eq(import)),
            (lines::line.eq(line.line as i32), lines::household_id.eq(id), lines::did.eq(did)),
            lines::before.eq(before.map(|plain| app.keys.seal(county, &place(line_id), &plain))),
            lines::version.eq(row.version),
        ))
        .execute(conn)?;
    if known.is_none() {
        plan.known = Some(self::known(app, &row, &HashSet::new())?);
        plan.columns.clear();
    }
    Ok(id)
}
