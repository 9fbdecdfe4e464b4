//! Imports of households that were made, and undoing one: line by line, unless something has happened since.

use actix_web::{HttpResponse, get, post, web::Data};
use chrono::{DateTime, FixedOffset, Utc};
use diesel::{
    dsl::{exists, select},
    prelude::*,
    sql_types::{Bool, Integer, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    importing::{Before, place},
    model::{Household, HouseholdState, PointSource},
    routes::{Sealing, values},
    store::{self, Sight},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::CST,
    db::{
        found,
        schema::{household_import_lines as lines, household_imports as imports, household_points, households},
    },
    error::{Code, Error, Result},
    geo::CoordinateSystem,
    http::{
        caller::{Caller, Can, Reach},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::ImportHouseholds,
        valid::{Id, Query, Valid},
    },
    statement,
};

/// An import that was made.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = imports, check_for_backend(diesel::pg::Pg))]
struct Import {
    id: Uuid,
    created: i32,
    changed: i32,
    unchanged: i32,
    imported_by: Uuid,
    imported_at: DateTime<Utc>,
    undone_by: Option<Uuid>,
    undone_at: Option<DateTime<Utc>>,
}

/// An import of households that was made.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000ba", "created": 12, "changed": 3, "unchanged": 0, "imported_by": "0199a0c0-0000-7000-8000-0000000000a1",
    "imported_at": "2026-11-23T09:00:00+08:00", "undone_by": null, "undone_at": null}))]
pub struct HouseholdImportSummary {
    pub id: Uuid,
    pub created: i32,
    pub changed: i32,
    pub unchanged: i32,
    pub imported_by: Uuid,
    pub imported_at: DateTime<FixedOffset>,
    pub undone_by: Option<Uuid>,
    pub undone_at: Option<DateTime<FixedOffset>>,
}

impl From<Import> for HouseholdImportSummary {
    fn from(row: Import) -> Self {
        Self {
            id: row.id,
            created: row.created,
            changed: row.changed,
            unchanged: row.unchanged,
            imported_by: row.imported_by,
            imported_at: row.imported_at.with_timezone(&CST),
            undone_by: row.undone_by,
            undone_at: row.undone_at.map(|at| at.with_timezone(&CST)),
        }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HouseholdImportsQuery {
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

type Boxed = imports::BoxedQuery<'static, diesel::pg::Pg>;

/// The county's see all, others their own.
fn visible(sight: Sight) -> Boxed {
    let here = imports::table.filter(imports::county_id.eq(sight.scope.county)).into_boxed();
    match sight.scope.reach {
        Reach::County => here,
        Reach::Unit(_) | Reach::Own(_) => here.filter(imports::imported_by.eq(sight.me)),
    }
}

/// List imports of households
///
/// One's own; for the county's administrators all. Oldest first.
#[utoipa::path(tag = "households", security(("token" = ["households:import"])), params(HouseholdImportsQuery),
    responses((status = 200, description = "A page of imports", body = Page<HouseholdImportSummary>)))]
#[get("/v1/household-imports")]
pub async fn list_household_imports(
    caller: Can<ImportHouseholds>,
    app: Data<App>,
    query: Query<HouseholdImportsQuery>,
) -> Result<HttpResponse> {
    let (query, sight) = (query.0, Sight::new(&caller, caller.scope, app.clock.now()));
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "household_imports", query.cursor.as_deref())?;
    let read = app.db.read("list_household_imports", move |conn| {
        let count = query.count.unwrap_or(false);
        let total = if count { Some(visible(sight).count().get_result(conn)?) } else { None };
        let mut rows = visible(sight);
        if let Some(after) = after {
            let same = imports::imported_at.eq(after.at).and(imports::id.gt(after.id));
            rows = rows.filter(imports::imported_at.gt(after.at).or(same));
        }
        let rows = rows.order((imports::imported_at, imports::id)).limit(limit + 1);
        Ok((rows.select(Import::as_select()).load(conn)?, total))
    });
    let (rows, total) = read.await?;
    let place = |row: &Import| After { at: row.imported_at, id: row.id };
    let view = |row| Ok(HouseholdImportSummary::from(row));
    let page = page::cut(&app.keys, "household_imports", rows, limit as usize, place, view)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// Nothing needs to be said.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct UndoHouseholdImport {}

/// What became of a line.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"line": 2, "household_id": "0199a0c0-0000-7000-8000-0000000000b1", "undone": true}))]
pub struct UndoneLineView {
    pub line: i32,
    pub household_id: Uuid,
    /// False: something has happened to the household since; it stays as it is.
    pub undone: bool,
}

/// An import after it was undone.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"undone": 1, "kept": 0, "lines": [{"line": 2, "household_id": "0199a0c0-0000-7000-8000-0000000000b1", "undone": true}]}))]
pub struct UndoneImportView {
    pub undone: usize,
    /// Lines that were overtaken.
    pub kept: usize,
    pub lines: Vec<UndoneLineView>,
}

/// A line of an import.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = lines, check_for_backend(diesel::pg::Pg))]
struct Line {
    id: Uuid,
    line: i32,
    household_id: Uuid,
    did: String,
    before: Option<Vec<u8>>,
    version: i64,
}

/// Undo an import of households
///
/// Line by line: what it changed is as it was, and what it created is closed and says nothing any more. A household to which something has happened since (a change, a
/// member, a tag, a point; a visit, if the import created it) stays as it is, and the answer says so. Once.
#[utoipa::path(tag = "households", security(("token" = ["households:import"])), params(("id" = Uuid, Path, description = "The import"), IdempotencyHeader),
    request_body = UndoHouseholdImport, responses((status = 200, description = "What became of each line", body = UndoneImportView)),
    extensions(("x-errors" = json!(["import_undone", "code_taken"]))))]
#[post("/v1/household-imports/{id}/undo")]
pub async fn undo_household_import(
    caller: Can<ImportHouseholds>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<UndoHouseholdImport>,
) -> Result<Answer> {
    let once = Once::new(&caller, "undo_household_import", key, body.digest);
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let entry = Audit::new("undo_import", "household", id.0);
    let whole = Audit::new("undo_import", "household_import", id.0);
    app.once(once, move |conn| {
        let row = imports::table.find((who.county, id.0)).select(imports::id).for_update();
        found(row.first::<Uuid>(conn))?.ok_or(Code::NotFound)?;
        let import = visible(sight).filter(imports::id.eq(id.0)).select(Import::as_select()).first(conn);
        if found(import)?.ok_or(Code::NotFound)?.undone_at.is_some() {
            return Err(Code::ImportUndone.into());
        }
        let of = lines::table.filter(lines::county_id.eq(who.county)).filter(lines::import_id.eq(id.0));
        let all: Vec<Line> = of.order(lines::household_id).select(Line::as_select()).load(conn)?;
        let mut views = Vec::with_capacity(all.len());
        for line in &all {
            let undone = undo(conn, &inner, (&who, sight), line, now)?;
            if undone {
                audit::record(conn, &who, now, &entry.of(line.household_id))?;
            }
            views.push(UndoneLineView { line: line.line, household_id: line.household_id, undone });
        }
        // It is undone once: what was before is kept no longer.
        let of = lines::table.filter(lines::county_id.eq(who.county)).filter(lines::import_id.eq(id.0));
        diesel::update(of).set(lines::before.eq(None::<Vec<u8>>)).execute(conn)?;
        diesel::update(imports::table.find((who.county, id.0)))
            .set((imports::undone_by.eq(who.subject), imports::undone_at.eq(now)))
            .execute(conn)?;
        audit::record(conn, &who, now, &whole)?;
        views.sort_by_key(|view| view.line);
        let undone = views.iter().filter(|view| view.undone).count();
        Answer::ok(1, &UndoneImportView { undone, kept: views.len() - undone, lines: views })
    })
    .await
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    found: bool,
}

statement! {
    /// Visits do not raise the version of a household.
    struct Visited { county: i32 as Integer, household: Uuid as SqlUuid }
    "SELECT EXISTS (SELECT FROM visits v WHERE v.county_id = {county} AND v.household_id = {household}) AS found"
}

/// Whether a line was undone.
fn undo(
    conn: &mut PgConnection,
    app: &App,
    (who, sight): (&Caller, Sight),
    line: &Line,
    now: DateTime<Utc>,
) -> Result<bool> {
    let row = match store::lock(conn, sight, line.household_id) {
        Ok(row) => row,
        // It is beyond one's reach by now.
        Err(error) if error.code == Code::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if row.id != line.household_id || row.version != line.version {
        return Ok(false);
    }
    if line.did == "created" {
        let (county, household) = (who.county, row.id);
        let overtaken = Visited { county, household }.get_result::<Found>(conn)?.found;
        if !overtaken {
            vanish(conn, &row, now)?;
        }
        return Ok(!overtaken);
    }
    let Some(sealed) = &line.before else { return Ok(false) };
    let plain = app.keys.open(who.county, &place(line.id), sealed)?;
    let before: Before = serde_json::from_slice(&plain).map_err(Error::internal)?;
    // Somebody else's by now.
    let code = households::table.filter(households::county_id.eq(who.county)).filter(households::id.ne(row.id));
    if before.code.is_some() && select(exists(code.filter(households::code.eq(&before.code)))).get_result(conn)? {
        return Ok(false);
    }
    let name = before.name.parse().map_err(Error::internal)?;
    let sealing = Sealing { name: &name, address: before.address.as_deref(), note: before.note.as_deref() };
    let set = values(app, (who.county, row.id), (before.unit, before.code, before.category), &sealing);
    store::update(conn, &row, &set, now)?;
    if let Some(point) = before.moved {
        move_back(conn, &row, (point, who.subject), now)?;
    }
    Ok(true)
}

/// The point as it was before the line moved it; the history says that it was taken back.
fn move_back(
    conn: &mut PgConnection,
    row: &Household,
    (point, by): (Option<(f64, f64)>, Uuid),
    now: DateTime<Utc>,
) -> Result<()> {
    let (lng, lat) = point.unzip();
    diesel::insert_into(household_points::table)
        .values((
            (household_points::county_id.eq(row.county_id), household_points::id.eq(Uuid::now_v7())),
            (household_points::household_id.eq(row.id), household_points::source.eq(PointSource::TakenBack)),
            (household_points::lng.eq(lng), household_points::lat.eq(lat)),
            (household_points::given_lng.eq(lng), household_points::given_lat.eq(lat)),
            household_points::coordinate_system.eq(CoordinateSystem::Wgs84),
            (household_points::set_by.eq(by), household_points::at.eq(now)),
        ))
        .execute(conn)?;
    let set = (households::lng.eq(lng), households::lat.eq(lat), households::point_set_at.eq(point.map(|_| now)));
    diesel::update(households::table.find((row.county_id, row.id))).set(set).execute(conn)?;
    Ok(())
}

/// A household that a line created says nothing any more; its row stays, because tasks and the change feed name it.
fn vanish(conn: &mut PgConnection, row: &Household, now: DateTime<Utc>) -> Result<()> {
    let (none, nowhere) = (None::<Vec<u8>>, None::<f64>);
    let points = household_points::table.filter(household_points::county_id.eq(row.county_id));
    diesel::update(points.filter(household_points::household_id.eq(row.id)))
        .set((
            (household_points::lng.eq(nowhere), household_points::lat.eq(nowhere)),
            (household_points::given_lng.eq(nowhere), household_points::given_lat.eq(nowhere)),
            household_points::accuracy_m.eq(None::<f64>),
        ))
        .execute(conn)?;
    diesel::update(households::table.find((row.county_id, row.id)))
        .set((
            (households::name.eq(&none), households::name_index.eq(&none), households::address.eq(&none)),
            (households::note.eq(&none), households::code.eq(None::<String>)),
            (households::lng.eq(nowhere), households::lat.eq(nowhere)),
            households::point_set_at.eq(None::<DateTime<Utc>>),
        ))
        .execute(conn)?;
    store::set_state(conn, row, HouseholdState::Closed, now)?;
    Ok(())
}
