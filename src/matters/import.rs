//! The catalogue as one file over HTTP and from the command line: out, and in again, all or nothing.

use std::collections::HashMap;

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use anyhow::Context;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    file::{self, CatalogueFile, FORMAT, FileDepartment, FileMatter, FileVersion, Read},
    plan::{self, DepartmentStep, Facts, MatterStep, Plan},
    routes, store, version_routes, version_store,
};
use crate::{
    app::App,
    audit::{self, Actor, Audit},
    clock::local_date,
    db::changes,
    departments::{self, DepartmentState},
    error::{At, Code, Error, FieldError, Result, Text},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        files::JsonFile,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::WriteMatters,
        valid::Query,
    },
    import::{BadRows, Imported},
    units,
};

/// Export the catalogue
///
/// Every matter with its version in effect today, and the departments, as one file that `POST /v1/catalogue/import` reads, in this
/// county or in another one.
#[utoipa::path(tag = "matters", security(("token" = ["matters:write"])), responses((status = 200, description = "The file", body = CatalogueFile)))]
#[get("/v1/catalogue/export")]
pub async fn export_catalogue(caller: Can<WriteMatters>, app: Data<App>) -> Result<HttpResponse> {
    let (county, today) = (caller.county, local_date(app.clock.now()));
    let facts = app.db.read("export_catalogue", move |conn| Facts::load(conn, county, today)).await?;
    let version =
        |matter: Uuid| facts.versions.get(&matter).map(|version| FileVersion::of(version, &facts.departments));
    let open = facts.departments.iter().filter(|department| department.state == DepartmentState::Active);
    let file = CatalogueFile {
        format: FORMAT.to_owned(),
        county: Some(caller.county_key.to_string()),
        exported_on: Some(today),
        effective_from: None,
        departments: open.map(|one| FileDepartment { name: one.name.clone(), phone: one.phone.clone() }).collect(),
        matters: facts.matters.iter().map(|matter| FileMatter::of(matter.clone(), version(matter.id))).collect(),
    };
    // For people too: faults of an import are told by line.
    let body = serde_json::to_string_pretty(&file).map_err(Error::internal)?;
    let name = format!("attachment; filename=\"catalogue-{}-{today}.json\"", caller.county_key);
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CONTENT_DISPOSITION, name))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body))
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ImportQuery {
    /// Only says what would happen, faults included.
    #[param(default = false)]
    dry_run: Option<bool>,
}

/// A fault of the file.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"line": 12, "pointer": "/matters/0/version/materials/1/key", "code": "key_twice", "zh": "材料的 key 重复", "en": "another material has this key"}))]
pub struct CatalogueFaultView {
    /// From 1; of what is missing, that of what should hold it.
    pub line: usize,
    /// JSON pointer into the file.
    pub pointer: String,
    pub code: String,
    pub zh: String,
    pub en: String,
}

/// What an import did, or would do.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"dry_run": true, "effective_from": "2026-11-23", "departments": ["县民政局"], "created": ["最低生活保障申请"],
    "changed": [], "unchanged": 13, "faults": []}))]
pub struct CatalogueImportView {
    pub dry_run: bool,
    /// From when on new versions count.
    pub effective_from: NaiveDate,
    /// Departments that are new or have another phone.
    pub departments: Vec<String>,
    /// Matters that are new.
    pub created: Vec<String>,
    /// Matters that change, or get a new version.
    pub changed: Vec<String>,
    /// How many matters stay as they are: they get no new version.
    pub unchanged: usize,
    /// Only in a dry run; otherwise faults are a 422.
    pub faults: Vec<CatalogueFaultView>,
}

impl CatalogueImportView {
    fn new(plan: &Plan, dry_run: bool, faults: Vec<(usize, FieldError)>) -> Self {
        let (created, changed, unchanged) = plan.counts();
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let fault = |(line, fault): (usize, FieldError)| {
            let (At::Body(pointer) | At::Query(pointer)) = fault.at;
            let Text { zh, en } = fault.text;
            let (code, zh, en) = (fault.code.into_owned(), zh.into_owned(), en.into_owned());
            CatalogueFaultView { line, pointer, code, zh, en }
        };
        Self {
            dry_run,
            effective_from: plan.from,
            departments: plan.departments.iter().map(|(_, name, _)| name.clone()).collect(),
            created: owned(created),
            changed: owned(changed),
            unchanged,
            faults: faults.into_iter().map(fault).collect(),
        }
    }
}

/// Who imports, and when.
#[derive(Clone, Copy)]
pub struct By {
    pub actor: Actor,
    /// None: the operator.
    pub staff: Option<Uuid>,
    pub now: DateTime<Utc>,
    /// Versions never count from before this day.
    pub today: NaiveDate,
}

/// Import the catalogue
///
/// The file of `GET /v1/catalogue/export`, up to 4 MiB and 300 matters. Matters and departments are known by their names; who is not in
/// the file stays as it is. A matter whose version says what the one in effect says gets no new version. With any fault nothing is
/// imported, and all of them are told with line and pointer: with `dry_run` in the answer, without it as 422. A dry run is not kept
/// for repeats.
#[utoipa::path(tag = "matters", security(("token" = ["matters:write"])), params(ImportQuery, IdempotencyHeader), request_body = CatalogueFile,
    responses((status = 200, description = "What it did, or would do", body = CatalogueImportView)), extensions(("x-errors" = json!(["name_taken"]))))]
#[post("/v1/catalogue/import")]
pub async fn import_catalogue(
    caller: Can<WriteMatters>,
    key: IdempotencyKey,
    app: Data<App>,
    query: Query<ImportQuery>,
    body: JsonFile,
) -> Result<Answer> {
    let read = file::read(&body.file)?;
    let (county, now) = (caller.county, app.clock.now());
    let who = Caller::clone(&caller);
    let by = By { actor: Actor::from(&who), staff: who.staff(), now, today: local_date(now) };
    if query.0.dry_run.unwrap_or(false) {
        let planned = app.db.read("plan_catalogue", move |conn| planned(conn, county, &read, by.today));
        let mut plan = planned.await?;
        let faults = file::with_lines(&body.file, std::mem::take(&mut plan.faults));
        return Answer::ok(1, &CatalogueImportView::new(&plan, true, faults));
    }
    let once = Once::new(&caller, "import_catalogue", key, body.digest);
    let entry = Audit::new("import", "matter", Uuid::nil());
    let content = body.file;
    let answer = app
        .once(once, move |conn| {
            let plan = run(conn, county, &read, by, Some(&entry))?;
            if !plan.faults.is_empty() {
                return Err(Error::invalid(told(&content, plan.faults)));
            }
            Answer::ok(1, &CatalogueImportView::new(&plan, false, Vec::new()))
        })
        .await;
    app.rendered.forget();
    answer
}

/// Faults with their lines in words.
fn told(content: &[u8], faults: Vec<FieldError>) -> Vec<FieldError> {
    let told = |(line, fault): (usize, FieldError)| {
        let text = Text::new(format!("第 {line} 行：{}", fault.text.zh), format!("line {line}: {}", fault.text.en));
        FieldError { text, ..fault }
    };
    file::with_lines(content, faults).into_iter().map(told).collect()
}

fn planned(conn: &mut PgConnection, county: i32, read: &Read, today: NaiveDate) -> Result<Plan> {
    let facts = Facts::load(conn, county, plan::from(read, today))?;
    Ok(plan::plan(read, &facts, today))
}

/// Imports what was read, if there is no fault. Without `entry` nobody has done it: the sample county, of which no phone knows yet.
pub fn run(conn: &mut PgConnection, county: i32, read: &Read, by: By, entry: Option<&Audit>) -> Result<Plan> {
    // One import at a time: the second sees what the first has published; and what was planned for stays so.
    units::store::lock_county(conn, county)?;
    version_store::lock_all(conn, county)?;
    departments::lock_all(conn, county)?;
    let plan = planned(conn, county, read, by.today)?;
    if !plan.faults.is_empty() {
        return Ok(plan);
    }
    for (step, name, phone) in &plan.departments {
        let id = match step {
            DepartmentStep::Create => departments::insert(conn, county, (name, phone.as_deref()), by.now)?.id,
            DepartmentStep::SetPhone(id) => {
                departments::set_phone(conn, county, *id, phone.as_deref(), by.now)?;
                *id
            }
        };
        if let Some(entry) = entry {
            audit::record(conn, by.actor, by.now, &Audit { entity: "department", ..entry.of(id) })?;
            changes::record(conn, departments::routes::changed(county, id), by.now)?;
        }
    }
    let all = departments::all(conn, county)?;
    let ids: HashMap<String, Uuid> = all.into_iter().map(|department| (department.name, department.id)).collect();
    for step in plan.matters.iter().filter(|step| step.changes()) {
        let id = apply(conn, county, step, (&ids, plan.from), by)?;
        if let Some(entry) = entry {
            audit::record(conn, by.actor, by.now, &entry.of(id))?;
            changes::record(conn, routes::changed(county, id), by.now)?;
        }
    }
    Ok(plan)
}

/// Does what was decided about a matter.
fn apply(
    conn: &mut PgConnection,
    county: i32,
    step: &MatterStep,
    (departments, from): (&HashMap<String, Uuid>, NaiveDate),
    by: By,
) -> Result<Uuid> {
    let id = match (&step.known, &step.said) {
        (Some(known), Some((said, state))) => {
            let place = (county, known.id, known.version);
            store::update(conn, place, (said, *state), by.now)?.ok_or(Code::VersionStale)?.id
        }
        (Some(known), None) => known.id,
        (None, Some((said, state))) => {
            let new = store::insert(conn, county, said, by.now)?;
            if *state != new.state {
                store::update(conn, (county, new.id, new.version), (said, *state), by.now)?;
            }
            new.id
        }
        (None, None) => return Err(Error::internal("a new matter says something")),
    };
    if let Some(version) = step.version.clone() {
        let department = version.department.as_ref().and_then(|name| departments.get(name)).copied();
        version_routes::publish(conn, (county, id), &version.content(department), from, (by.staff, by.now))?;
    }
    Ok(id)
}

/// `lianxin import catalogue FILE --county KEY`.
pub async fn import(app: &App, key: &str, content: &[u8], dry_run: bool) -> anyhow::Result<Imported> {
    let county = app.counties.find(app, key).await?.with_context(|| format!("there is no county {key}"))?.id;
    let read = file::read(content).map_err(|error| {
        let place = error.detail.as_ref().map(|text| text.en.to_string()).unwrap_or_default();
        anyhow::anyhow!("the file is not JSON: {place}")
    })?;
    let now = app.clock.now();
    let by = By { actor: Actor::operator(county), staff: None, now, today: local_date(now) };
    let entry = Audit::new("import", "matter", Uuid::nil());
    let done = if dry_run {
        app.db.read("plan_catalogue", move |conn| planned(conn, county, &read, by.today)).await?
    } else {
        app.db.write("import_catalogue", move |conn| run(conn, county, &read, by, Some(&entry))).await?
    };
    let mut bad = BadRows::default();
    for (line, fault) in file::with_lines(content, done.faults.clone()) {
        let (At::Body(pointer) | At::Query(pointer)) = &fault.at;
        bad.add(line as u64, format!("{pointer}: {}", fault.text.en));
    }
    let (created, changed, unchanged) = done.counts();
    let imported = Imported { created: created.len(), changed: changed.len(), removed: 0, unchanged };
    Ok(bad.into_result(imported)?)
}
