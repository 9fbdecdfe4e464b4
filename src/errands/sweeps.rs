//! What time does to errands: silence accepts, and the ladder is climbed. Each in effect once: by the version of its errand.

use std::{collections::HashMap, sync::Arc};

use chrono::NaiveDate;
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Date, Integer, Nullable, Text, Uuid as SqlUuid},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    acting::{self, Frame},
    ledger::Facts,
    model::{Errand, Step},
    steps::Said,
};
use crate::{
    app::App,
    clock::{local_date, local_midnight},
    error::{Result, Text as Words},
    matters::{
        Version,
        version::{Rung, RungTo},
    },
    statement,
    todos::{self, NewTodo},
};

/// How many are looked for at once.
const BATCH: i64 = 200;

/// Of a county that is not suspended (停用): while it is, its timers wait, and keep nobody else's waiting.
macro_rules! working {
    ($row:literal) => {
        concat!("AND EXISTS (SELECT FROM counties c WHERE c.id = ", $row, ".county_id AND c.state = 'active')")
    };
}
pub(super) use working;

statement! {
    struct Deemed { today: NaiveDate as Date, limit: i64 as BigInt }
    concat!("SELECT e.county_id, e.id FROM errands e WHERE e.state = 'submitted' AND e.due_on < {today} ", working!("e"), " ORDER BY e.due_on LIMIT {limit}")
}

statement! {
    struct Climbing { today: NaiveDate as Date, limit: i64 as BigInt }
    concat!("SELECT e.county_id, e.id FROM errands e WHERE e.rung_on IS NOT NULL AND e.rung_on <= {today} ", working!("e"), " ORDER BY e.rung_on LIMIT {limit}")
}

#[derive(Clone, Copy, QueryableByName)]
struct Due {
    #[diesel(sql_type = Integer)]
    county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

type Search = fn(&mut PgConnection, NaiveDate) -> QueryResult<Vec<Due>>;
type Then = fn(&mut PgConnection, &App, (i32, Uuid), &Frame) -> Result<bool>;

/// Sees to everything that is due; what fails does not keep the rest waiting, and comes again.
pub async fn run(app: &Arc<App>) -> Result<()> {
    let deemed = every(app, "deem_accepted", |conn, today| Deemed { today, limit: BATCH }.load(conn), deem);
    let deemed = deemed.await;
    let climbed = every(app, "climb_ladders", |conn, today| Climbing { today, limit: BATCH }.load(conn), climb);
    deemed.and(climbed.await)
}

async fn every(app: &Arc<App>, name: &'static str, search: Search, then: Then) -> Result<()> {
    let today = local_date(app.clock.now());
    let mut frames = HashMap::new();
    let mut failed = Ok(());
    loop {
        let due = app.db.read(name, move |conn| Ok(search(conn, today)?)).await?;
        let mut done = 0;
        for Due { county_id: county, id } in due.iter().copied() {
            let frame = match frames.get(&county) {
                Some(frame) => Frame::clone(frame),
                None => frames.entry(county).insert_entry(Frame::of_county(app, county).await?).get().clone(),
            };
            let inner = app.clone();
            match app.db.write(name, move |conn| then(conn, &inner, (county, id), &frame)).await {
                Ok(taken) => done += usize::from(taken),
                Err(error) => failed = Err(error),
            }
        }
        // Whatever could not be moved would be found again.
        if due.len() < BATCH as usize || done == 0 {
            return failed;
        }
    }
}

/// What was not answered in time counts as accepted (行政许可法第三十二条).
fn deem(conn: &mut PgConnection, app: &App, which: (i32, Uuid), frame: &Frame) -> Result<bool> {
    Ok(acting::by_system(conn, app, which, (Step::DeemAccepted, |_, _| Said::default()), frame)?.is_some())
}

/// The rung of the ladder that an errand comes to next.
fn next_rung(errand: &Errand, version: &Version) -> Option<Rung> {
    version.ladder().get(errand.rung as usize).copied()
}

/// Climbs one rung: an entry of the ledger, and a todo for whom it names.
fn climb(conn: &mut PgConnection, app: &App, which: (i32, Uuid), frame: &Frame) -> Result<bool> {
    let says = |errand: &Errand, version: &Version| {
        let to = next_rung(errand, version).map(|rung| rung.to);
        let facts = Facts::from([("rung".to_owned(), json!(errand.rung + 1)), ("to".to_owned(), json!(to))]);
        Said { facts, ..Said::default() }
    };
    let Some(errand) = acting::by_system(conn, app, which, (Step::Escalate, says), frame)? else { return Ok(false) };
    let version = app.versions.get(conn, (errand.county_id, errand.matter_id, errand.matter_version))?;
    if let Some(rung) = next_rung(&errand, &version) {
        let new = todo(conn, &errand, &rung, frame)?;
        todos::open(conn, new, frame.now)?;
    }
    Ok(true)
}

statement! {
    struct Above { county: i32 as Integer, unit: Uuid as SqlUuid, level: &'static str as Text }
    "SELECT (SELECT u.id FROM units u WHERE u.county_id = {county} AND u.level = {level} AND unit_within({county}, {unit}, u.id)) AS id"
}

#[derive(QueryableByName)]
struct Unit {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
}

/// The unit of a level that a unit belongs to.
pub(super) fn above(
    conn: &mut PgConnection,
    county: i32,
    unit: Uuid,
    level: &'static str,
) -> QueryResult<Option<Uuid>> {
    Ok(Above { county, unit, level }.get_result::<Unit>(conn)?.id)
}

/// What whoever stands on a rung is asked to do.
fn todo(conn: &mut PgConnection, errand: &Errand, rung: &Rung, frame: &Frame) -> Result<NewTodo> {
    let county = errand.county_id;
    let mut above = |level| above(conn, county, errand.unit_id, level);
    let (about, unit, holder) = match rung.to {
        RungTo::Holder => ("errand", Some(errand.unit_id), errand.holder_id),
        RungTo::UnitHead => ("errand_of_unit", Some(errand.unit_id), None),
        RungTo::TownshipSupervisor => ("errand_of_township", above("township")?.or(Some(errand.unit_id)), None),
        RungTo::CountySupervisor => ("errand_of_county", above("county")?, None),
    };
    let overdue = errand.due_on.is_some_and(|due| due < frame.today);
    let (zh, en) = if overdue { ("已逾期", "overdue") } else { ("即将到期", "due soon") };
    let (number, matter) = (&errand.number, &errand.matter_name);
    Ok(NewTodo {
        county,
        kind: todos::Kind::Decide,
        unit,
        resident: Some(errand.resident_id),
        about: Some((about, errand.id)),
        title: Words::new(format!("代办件 {number}（{matter}）{zh}"), format!("Errand {number} ({matter}) is {en}")),
        holder,
        due_at: errand.due_on.and_then(|due| due.succ_opt()).map(local_midnight),
        created_by: None,
    })
}
