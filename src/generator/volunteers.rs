//! Volunteers: residents who help in the village where they live, with what they can do and when; some have only applied.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Double, Integer, Nullable, SmallInt, Text, Time, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    World,
    orders::{near, village},
};
use crate::{clock::local_midnight, db::schema::skills, error::Result, http::permissions::Role, statement};

/// Bits of Saturday and Sunday, and of every day.
const WEEKEND: i16 = 0b110_0000;
const EVERY_DAY: i16 = 0b111_1111;

/// A volunteer (志愿者).
#[derive(Clone, Debug)]
pub struct Volunteer {
    pub id: Uuid,
    pub resident: Uuid,
    /// The village, by its place among the centres.
    pub place: usize,
    pub skills: Vec<String>,
    unit: Uuid,
    point: (f64, f64),
    radius_m: i32,
    /// Days, from and until; none: always.
    hours: Option<(i16, NaiveTime, NaiveTime)>,
    applied_at: DateTime<Utc>,
    /// Who approved; none: nobody yet.
    pub approved_by: Option<Uuid>,
}

statement! {
    struct Write {
        county: i32 as Integer, ids: Vec<Uuid> as Array<SqlUuid>, residents: Vec<Uuid> as Array<SqlUuid>, units: Vec<Uuid> as Array<SqlUuid>,
        skills: Vec<String> as Array<Text>, lngs: Vec<f64> as Array<Double>, lats: Vec<f64> as Array<Double>, radii: Vec<i32> as Array<Integer>,
        weekdays: Vec<Option<i16>> as Array<Nullable<SmallInt>>, from: Vec<Option<NaiveTime>> as Array<Nullable<Time>>,
        until: Vec<Option<NaiveTime>> as Array<Nullable<Time>>, applied: Vec<DateTime<Utc>> as Array<Timestamptz>, deciders: Vec<Option<Uuid>> as Array<Nullable<SqlUuid>>,
    }
    "WITH drawn AS (SELECT d.*, string_to_array(nullif(d.can, ''), ',') AS skills, d.applied_at + interval '2 days' AS decided_at \
       FROM unnest({ids}, {residents}, {units}, {skills}, {lngs}, {lats}, {radii}, {weekdays}, {from}, {until}, {applied}, {deciders}) \
         d (id, resident, unit, can, lng, lat, radius, weekdays, from_time, until_time, applied_at, decider)), \
     made AS (INSERT INTO helpers (county_id, id, kind, resident_id, unit_id, state, skills, claimed, lng, lat, radius_m, decided_by, decided_at, version, created_at, updated_at) \
       SELECT {county}, d.id, 'volunteer', d.resident, d.unit, CASE WHEN d.decider IS NULL THEN 'applied' ELSE 'active' END, \
         CASE WHEN d.decider IS NULL THEN ARRAY[]::text[] ELSE coalesce(d.skills, ARRAY[]::text[]) END, coalesce(d.skills, ARRAY[]::text[]), d.lng, d.lat, d.radius, d.decider, \
         CASE WHEN d.decider IS NOT NULL THEN d.decided_at END, CASE WHEN d.decider IS NULL THEN 1 ELSE 2 END, d.applied_at, \
         CASE WHEN d.decider IS NULL THEN d.applied_at ELSE d.decided_at END FROM drawn d), \
     decided AS (INSERT INTO helper_decisions (county_id, id, helper_id, decision, decided_by, decided_at) \
       SELECT {county}, d.id, d.id, 'approve', d.decider, d.decided_at FROM drawn d WHERE d.decider IS NOT NULL) \
     INSERT INTO helper_hours (county_id, helper_id, no, weekdays, from_time, until_time) \
     SELECT {county}, d.id, 0, d.weekdays, d.from_time, d.until_time FROM drawn d WHERE d.weekdays IS NOT NULL"
}

fn write(conn: &mut PgConnection, rows: &[(i32, Volunteer)]) -> QueryResult<usize> {
    let Some((county, _)) = rows.first() else { return Ok(0) };
    let rows = || rows.iter().map(|(_, row)| row);
    let write = Write {
        county: *county,
        ids: rows().map(|row| row.id).collect(),
        residents: rows().map(|row| row.resident).collect(),
        units: rows().map(|row| row.unit).collect(),
        skills: rows().map(|row| row.skills.join(",")).collect(),
        lngs: rows().map(|row| row.point.0).collect(),
        lats: rows().map(|row| row.point.1).collect(),
        radii: rows().map(|row| row.radius_m).collect(),
        weekdays: rows().map(|row| row.hours.map(|hours| hours.0)).collect(),
        from: rows().map(|row| row.hours.map(|hours| hours.1)).collect(),
        until: rows().map(|row| row.hours.map(|hours| hours.2)).collect(),
        applied: rows().map(|row| row.applied_at).collect(),
        deciders: rows().map(|row| row.approved_by).collect(),
    };
    write.execute(conn)?;
    Ok(rows().count())
}

/// What helpers can be asked for, by key.
async fn known(world: &World) -> Result<Vec<String>> {
    let county = world.county;
    let known = world.app.db.read("generate", move |conn| {
        let here = skills::table.filter(skills::county_id.eq(county)).filter(skills::state.eq("active"));
        Ok(here.order(skills::key).select(skills::key).load(conn)?)
    });
    known.await
}

/// The n-th of them: a resident of a village, each another one.
fn draw(world: &World, known: &[String], number: usize) -> Option<Volunteer> {
    let resident = number * world.size.residents / world.size.volunteers;
    let place = world.village_of(resident)?;
    let above = world.centres[..place].iter().rev().find(|centre| centre.township)?;
    let mut dice = world.dice("volunteer", number);
    // Before the first order that is made up.
    let applied_at =
        world.registered(resident).max(local_midnight(world.begin()) - dice.minutes(4 * 24 * 60, 300 * 24 * 60));
    let at = |hour| NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default();
    let hours = [(5, None), (3, Some((WEEKEND, at(8), at(18)))), (2, Some((EVERY_DAY, at(17), at(21))))];
    let deciders: Vec<_> = above.agents().into_iter().filter(|(_, role)| *role == Role::TownshipStaff).collect();
    let approved_by = (!deciders.is_empty() && dice.percent(80)).then(|| dice.pick(&deciders).0);
    Some(Volunteer {
        id: dice.id(applied_at),
        resident: world.resident(resident),
        place,
        skills: known.iter().filter(|_| dice.percent(30)).cloned().collect(),
        unit: world.centres[place].unit,
        point: near(&mut dice, village(world, place)),
        radius_m: 1_000 * dice.between(1, 8) as i32,
        hours: *dice.weighted(&hours),
        applied_at: applied_at.min(world.now - TimeDelta::days(3)),
        approved_by,
    })
}

/// All of them.
pub async fn all(world: &World) -> Result<Vec<Volunteer>> {
    let known = known(world).await?;
    Ok((0..world.size.volunteers.min(world.size.residents)).filter_map(|number| draw(world, &known, number)).collect())
}

pub async fn make(world: &World) -> anyhow::Result<usize> {
    let rows = all(world).await?.into_iter().map(|volunteer| (world.county, volunteer)).collect();
    world.put(rows, write).await
}
