//! What waits for a department without an answer: reminded, with a todo for its staff and an entry of the ledger; not answered in the same
//! time again, the county's supervisors are told.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Bool, Date, Integer, Nullable, Timestamptz, Uuid as SqlUuid},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    acting::{self, Frame},
    ledger::Facts,
    model::Step,
    steps::Said,
    store::{self, Seen},
    sweeps::{self, working},
};
use crate::{
    app::App,
    calendar::rules,
    clock::local_date,
    db::found,
    error::{Result, Text},
    statement,
    todos::{self, NewTodo},
};

/// How many are looked for at once.
const BATCH: i64 = 200;

#[derive(Clone, Copy, Debug, QueryableByName)]
struct Wait {
    #[diesel(sql_type = Integer)]
    county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    errand_id: Uuid,
    #[diesel(sql_type = Integer)]
    seq: i32,
    #[diesel(sql_type = Date)]
    since: NaiveDate,
}

statement! {
    struct Uncounted { limit: i64 as BigInt }
    concat!("SELECT w.county_id, w.errand_id, w.seq, w.since FROM department_waits w WHERE w.remind_on IS NULL AND w.reminded_at IS NULL ", working!("w"), " ORDER BY w.county_id, w.errand_id, w.seq LIMIT {limit}")
}

statement! {
    struct Due { today: NaiveDate as Date, limit: i64 as BigInt }
    concat!("SELECT w.county_id, w.errand_id, w.seq, w.since FROM department_waits w WHERE w.reminded_at IS NULL AND w.remind_on <= {today} ", working!("w"), " ORDER BY w.remind_on, w.errand_id, w.seq LIMIT {limit}")
}

statement! {
    struct Recount { county: i32 as Integer }
    "UPDATE department_waits SET remind_on = NULL WHERE county_id = {county} AND reminded_at IS NULL AND remind_on IS NOT NULL"
}

/// The days of a county's reminders are counted again, with the next tick: the calendar or the setting has changed.
pub fn recount(conn: &mut PgConnection, county: i32) -> Result<()> {
    Recount { county }.execute(conn)?;
    Ok(())
}

statement! {
    struct Count { county: i32 as Integer, errand: Uuid as SqlUuid, seq: i32 as Integer, remind_on: NaiveDate as Date }
    "UPDATE department_waits SET remind_on = {remind_on} WHERE county_id = {county} AND errand_id = {errand} AND seq = {seq} AND remind_on IS NULL"
}

statement! {
    /// Settles a wait, once; tells whether it is the last of its errand, which is still with the department, and began with a reminder.
    struct Settle { county: i32 as Integer, errand: Uuid as SqlUuid, seq: i32 as Integer, now: DateTime<Utc> as Timestamptz }
    "UPDATE department_waits w SET reminded_at = {now} WHERE w.county_id = {county} AND w.errand_id = {errand} AND w.seq = {seq} AND w.reminded_at IS NULL \
     RETURNING EXISTS (SELECT FROM errands e WHERE e.county_id = w.county_id AND e.id = w.errand_id AND e.state = 'forwarded') \
       AND NOT EXISTS (SELECT FROM department_waits n WHERE n.county_id = w.county_id AND n.errand_id = w.errand_id AND n.seq > w.seq) AS waits, \
       EXISTS (SELECT FROM errand_ledger l WHERE l.county_id = w.county_id AND l.errand_id = w.errand_id AND l.seq = w.seq AND l.step = 'remind') AS again"
}

#[derive(QueryableByName)]
struct Settled {
    #[diesel(sql_type = Bool)]
    waits: bool,
    #[diesel(sql_type = Bool)]
    again: bool,
}

type Then = fn(&mut PgConnection, &App, Wait, &Frame) -> Result<()>;

/// Counts what has begun to wait, and reminds of what has waited too long.
pub async fn run(app: &Arc<App>) -> Result<()> {
    let counted = every(app, "count_waits", |conn, _| Ok(Uncounted { limit: BATCH }.load(conn)?), count).await;
    let reminded = every(app, "remind_departments", |conn, today| Ok(Due { today, limit: BATCH }.load(conn)?), remind);
    counted.and(reminded.await)
}

/// One batch; what is left comes with the next tick.
async fn every(
    app: &Arc<App>,
    name: &'static str,
    search: fn(&mut PgConnection, NaiveDate) -> Result<Vec<Wait>>,
    then: Then,
) -> Result<()> {
    let today = local_date(app.clock.now());
    let mut frames: HashMap<i32, Frame> = HashMap::new();
    let mut failed = Ok(());
    for wait in app.db.read(name, move |conn| search(conn, today)).await? {
        let frame = match frames.get(&wait.county_id) {
            Some(frame) => frame.clone(),
            None => {
                let frame = Frame::of_county(app, wait.county_id).await?;
                frames.entry(wait.county_id).or_insert(frame).clone()
            }
        };
        let inner = app.clone();
        let done = app.db.write(name, move |conn| then(conn, &inner, wait, &frame)).await;
        failed = failed.and(done);
    }
    failed
}

/// The day after so many working days.
fn count(conn: &mut PgConnection, _: &App, wait: Wait, frame: &Frame) -> Result<()> {
    let Wait { county_id: county, errand_id: errand, seq, since } = wait;
    let days = frame.settings.errands_department_days as u32;
    let due = rules::due(&frame.calendar, since, days, &[]).and_then(|due| due.on.succ_opt());
    Count { county, errand, seq, remind_on: due.unwrap_or(NaiveDate::MAX) }.execute(conn)?;
    Ok(())
}

statement! {
    struct Staff { county: i32 as Integer, department: Uuid as SqlUuid }
    "SELECT (SELECT p.staff_id FROM staff_posts p JOIN staff s ON s.county_id = p.county_id AND s.id = p.staff_id AND s.state = 'active' \
       WHERE p.county_id = {county} AND p.department_id = {department} AND p.ended_at IS NULL \
       ORDER BY (SELECT count(*) FROM todos t WHERE t.county_id = p.county_id AND t.holder_id = p.staff_id AND t.state IN ('open', 'taken')), p.staff_id LIMIT 1) AS id"
}

#[derive(QueryableByName)]
struct Whom {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
}

/// Reminds the department: an entry of the ledger, and a todo for one of its staff; where it has none, for the county's administrators.
/// The second time the county's supervisors are told (督办) instead.
fn remind(conn: &mut PgConnection, app: &App, wait: Wait, frame: &Frame) -> Result<()> {
    let Wait { county_id: county, errand_id: id, seq, .. } = wait;
    let settled: Option<Settled> = found(Settle { county, errand: id, seq, now: frame.now }.get_result(conn))?;
    let Some(Settled { again, .. }) = settled.filter(|settled| settled.waits) else { return Ok(()) };
    let Some(errand) = store::find(conn, county, Seen::WHOLE, id, frame.today)? else { return Ok(()) };
    let Some(department) = errand.department_id else { return Ok(()) };
    let escalated = again.then(|| ("escalated".to_owned(), json!(true)));
    let facts = [("since".to_owned(), json!(wait.since))].into_iter().chain(escalated);
    let said = Said { facts: Facts::from_iter(facts), department: Some(department), ..Said::default() };
    acting::follow(conn, app, None, &errand, (Step::Remind, &said), frame)?;
    let (number, matter) = (&errand.number, &errand.matter_name);
    let (about, unit, holder, title) = if again {
        let title = Text::new(
            format!("代办件 {number}（{matter}）提醒后部门仍未答复"),
            format!("Errand {number} ({matter}): the department has not answered a reminder"),
        );
        ("errand_unanswered", sweeps::above(conn, county, errand.unit_id, "county")?, None, title)
    } else {
        let title = Text::new(
            format!("代办件 {number}（{matter}）等待部门答复"),
            format!("Errand {number} ({matter}) waits for the department's answer"),
        );
        ("errand_of_department", None, Staff { county, department }.get_result::<Whom>(conn)?.id, title)
    };
    let (resident, about) = (Some(errand.resident_id), Some((about, id)));
    let new = NewTodo {
        county,
        kind: todos::Kind::Decide,
        unit,
        resident,
        about,
        title,
        holder,
        due_at: None,
        created_by: None,
    };
    todos::open(conn, new, frame.now)?;
    Ok(())
}
