//! Ratings of the orders of the past: most are good, some are written down by staff for somebody without a phone.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Binary, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    BATCH, Dice, World,
    orders::{self, Drawn},
};
use crate::{clock::local_date, ratings, statement};

/// Grades by how often they are given.
const GRADES: &[(u32, i16)] = &[(70, 5), (16, 4), (8, 3), (4, 2), (2, 1)];
const GOOD_WORDS: &[&str] = &["很耐心，谢谢", "来得很快", "帮了大忙", "下次还找你们"];
const BAD_WORDS: &[&str] = &["等了很久", "没有讲清楚", "来晚了"];

struct Rating {
    county: i32,
    id: Uuid,
    entry: Uuid,
    about: Uuid,
    resident: Uuid,
    unit: Uuid,
    /// Whoever served, separated by commas: a row of arrays cannot hold arrays of several lengths.
    served_by: String,
    grade: i16,
    reason: Option<&'static str>,
    words: Option<Vec<u8>>,
    /// Who wrote it down; none: the resident.
    agent: Option<Uuid>,
    at: DateTime<Utc>,
}

statement! {
    struct Write {
        county: i32 as Integer, ids: Vec<Uuid> as Array<SqlUuid>, entries: Vec<Uuid> as Array<SqlUuid>, about: Vec<Uuid> as Array<SqlUuid>, residents: Vec<Uuid> as Array<SqlUuid>,
        units: Vec<Uuid> as Array<SqlUuid>, served: Vec<String> as Array<Text>, grades: Vec<i16> as Array<SmallInt>, reasons: Vec<Option<&'static str>> as Array<Nullable<Text>>,
        words: Vec<Option<Vec<u8>>> as Array<Nullable<Binary>>, agents: Vec<Option<Uuid>> as Array<Nullable<SqlUuid>>, days: Vec<NaiveDate> as Array<Date>,
        times: Vec<DateTime<Utc>> as Array<Timestamptz>,
    }
    "WITH drawn AS (SELECT d.*, array_remove(ARRAY[d.reason], NULL) AS reasons, CASE WHEN d.agent IS NULL THEN 'resident' ELSE 'agent' END AS how, coalesce(d.agent, d.resident) AS giver \
       FROM unnest({ids}, {entries}, {about}, {residents}, {units}, {served}, {grades}, {reasons}, {words}, {agents}, {days}, {times}) \
         d (id, entry, about, resident, unit, served, grade, reason, words, agent, on_date, at)), \
     made AS (INSERT INTO ratings (county_id, id, about_kind, about_id, resident_id, unit_id, served_by, grade, reasons, given_how, given_by, on_date, created_at, changed_at) \
       SELECT {county}, d.id, 'order', d.about, d.resident, d.unit, string_to_array(d.served, ',')::uuid[], d.grade, d.reasons, d.how, d.giver, d.on_date, d.at, d.at FROM drawn d) \
     INSERT INTO rating_entries (county_id, id, rating_id, seq, grade, reasons, words, given_how, given_by, at) \
     SELECT {county}, d.entry, d.id, 1, d.grade, d.reasons, d.words, d.how, d.giver, d.at FROM drawn d"
}

fn write(conn: &mut PgConnection, rows: &[Rating]) -> QueryResult<usize> {
    let Some(county) = rows.first().map(|row| row.county) else { return Ok(0) };
    let write = Write {
        county,
        ids: rows.iter().map(|row| row.id).collect(),
        entries: rows.iter().map(|row| row.entry).collect(),
        about: rows.iter().map(|row| row.about).collect(),
        residents: rows.iter().map(|row| row.resident).collect(),
        units: rows.iter().map(|row| row.unit).collect(),
        served: rows.iter().map(|row| row.served_by.clone()).collect(),
        grades: rows.iter().map(|row| row.grade).collect(),
        reasons: rows.iter().map(|row| row.reason).collect(),
        words: rows.iter().map(|row| row.words.clone()).collect(),
        agents: rows.iter().map(|row| row.agent).collect(),
        days: rows.iter().map(|row| local_date(row.at)).collect(),
        times: rows.iter().map(|row| row.at).collect(),
    };
    write.execute(conn)?;
    Ok(rows.len())
}

/// What was said of an order that was done; nothing if it is not over yet.
fn draw(world: &World, mut dice: Dice, order: &Drawn) -> Option<Rating> {
    let holder = order.holder?;
    let at = order.ended_at + dice.minutes(10, 40 * 60);
    let (id, entry) = (dice.id(at), dice.id(at));
    let grade = *dice.weighted(GRADES);
    let reasons: Vec<_> = ratings::reasons::fitting(grade).collect();
    let words = dice.pick(if grade > 2 { GOOD_WORDS } else { BAD_WORDS });
    let words =
        dice.percent(20).then(|| world.app.keys.seal(order.county, &ratings::words_place(entry), words.as_bytes()));
    let colleagues: Vec<_> =
        world.centres[order.place].agents().into_iter().map(|(id, _)| id).filter(|id| *id != holder.helper).collect();
    let agent = (!colleagues.is_empty() && dice.percent(15)).then(|| *dice.pick(&colleagues));
    let mut served = vec![holder.helper.to_string(), holder.person.to_string()];
    served.dedup();
    (at <= world.now).then(|| Rating {
        county: order.county,
        id,
        entry,
        about: order.id,
        resident: order.resident,
        unit: order.unit,
        served_by: served.join(","),
        grade,
        reason: dice.percent(60).then(|| *dice.pick(&reasons)),
        words,
        agent,
        at,
    })
}

pub async fn make(world: &World) -> anyhow::Result<usize> {
    let (past, wanted) = (world.size.past_orders, world.size.ratings.min(world.size.past_orders));
    // So many of all, the same way apart.
    let rated = |number: usize| number * wanted / past != (number + 1) * wanted / past;
    let plan = orders::Plan::of(world).await?;
    let (mut made, mut rows) = (0, Vec::new());
    for number in (0..past).filter(|number| rated(*number)) {
        let order = plan.past(world, number);
        rows.extend(order.and_then(|order| draw(world, world.dice("rating", number), &order)));
        if rows.len() >= BATCH {
            made += world.put(std::mem::take(&mut rows), write).await?;
        }
    }
    Ok(made + world.put(rows, write).await?)
}
