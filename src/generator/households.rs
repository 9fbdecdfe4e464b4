//! Households of three with a home point, a category and so a task, and visits to them in the past two years; in the way of a phone that had no position.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Binary, Date, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{BATCH, Dice, LIVE_BATCH, World, analyse, centres::Centre, names, orders::village};
use crate::{
    clock::{local_date, local_midnight},
    people::searched_name,
    statement,
};

/// Who live together, by their numbers.
const TOGETHER: usize = 3;
/// How far a door is from the middle of its village, in millionths of a degree.
const DOORS: i64 = 15_000;
/// Days ago, at most, that a household came into its category: some tasks are overdue, most are not.
const PLANNED: i64 = 30;

struct Drawn {
    county: i32,
    id: Uuid,
    unit: Uuid,
    holder: Uuid,
    name: Vec<u8>,
    name_index: Vec<u8>,
    address: Vec<u8>,
    lng: f64,
    lat: f64,
    members: Vec<Uuid>,
    /// None where the county has none.
    category: Option<Uuid>,
    at: DateTime<Utc>,
    /// When it came into its category.
    planned: DateTime<Utc>,
}

statement! {
    struct Write {
        county: i32 as Integer, ids: Vec<Uuid> as Array<SqlUuid>, units: Vec<Uuid> as Array<SqlUuid>, holders: Vec<Uuid> as Array<SqlUuid>, names: Vec<Vec<u8>> as Array<Binary>,
        indexes: Vec<Vec<u8>> as Array<Binary>, addresses: Vec<Vec<u8>> as Array<Binary>, lngs: Vec<f64> as Array<Double>, lats: Vec<f64> as Array<Double>,
        categories: Vec<Option<Uuid>> as Array<Nullable<SqlUuid>>, times: Vec<DateTime<Utc>> as Array<Timestamptz>, planned: Vec<DateTime<Utc>> as Array<Timestamptz>,
    }
    // The task of each is the trigger's (`households_follow`), as of any household.
    "WITH drawn AS (SELECT * FROM unnest({ids}, {units}, {holders}, {names}, {indexes}, {addresses}, {lngs}, {lats}, {categories}, {times}, {planned}) \
         d (id, unit, holder, name, name_index, address, lng, lat, category, at, planned)), \
     made AS (INSERT INTO households (county_id, id, unit_id, holder_id, name, name_index, address, lng, lat, category_id, point_set_at, created_by, created_at, updated_at) \
       SELECT {county}, d.id, d.unit, d.holder, d.name, d.name_index, d.address, d.lng, d.lat, d.category, d.at, d.holder, d.at, d.planned FROM drawn d RETURNING id) \
     INSERT INTO household_points (county_id, id, household_id, source, lng, lat, given_lng, given_lat, coordinate_system, set_by, at) \
     SELECT {county}, d.id, d.id, 'created', d.lng, d.lat, d.lng, d.lat, 'wgs84', d.holder, d.at FROM drawn d"
}

statement! {
    struct WriteMembers {
        county: i32 as Integer, ids: Vec<Uuid> as Array<SqlUuid>, households: Vec<Uuid> as Array<SqlUuid>, relations: Vec<&'static str> as Array<Text>, since: Vec<NaiveDate> as Array<Date>,
        times: Vec<DateTime<Utc>> as Array<Timestamptz>,
    }
    // The number of a member is that of the resident.
    "INSERT INTO household_members (county_id, id, household_id, resident_id, relation, since_on, created_at) \
     SELECT {county}, d.id, d.household, d.id, d.relation, d.since, d.at FROM unnest({ids}, {households}, {relations}, {since}, {times}) d (id, household, relation, since, at)"
}

fn write(conn: &mut PgConnection, rows: &[Drawn]) -> QueryResult<usize> {
    let Some(county) = rows.first().map(|row| row.county) else { return Ok(0) };
    let write = Write {
        county,
        ids: rows.iter().map(|row| row.id).collect(),
        units: rows.iter().map(|row| row.unit).collect(),
        holders: rows.iter().map(|row| row.holder).collect(),
        names: rows.iter().map(|row| row.name.clone()).collect(),
        indexes: rows.iter().map(|row| row.name_index.clone()).collect(),
        addresses: rows.iter().map(|row| row.address.clone()).collect(),
        lngs: rows.iter().map(|row| row.lng).collect(),
        lats: rows.iter().map(|row| row.lat).collect(),
        categories: rows.iter().map(|row| row.category).collect(),
        times: rows.iter().map(|row| row.at).collect(),
        planned: rows.iter().map(|row| row.planned).collect(),
    };
    write.execute(conn)?;
    let members =
        || rows.iter().flat_map(|row| row.members.iter().enumerate().map(move |(place, id)| (row, place, *id)));
    let relation = |(_, place, _): (&Drawn, usize, Uuid)| ["head", "spouse", "child"][place.min(TOGETHER - 1)];
    let members_of = WriteMembers {
        county,
        ids: members().map(|(_, _, id)| id).collect(),
        households: members().map(|(row, ..)| row.id).collect(),
        relations: members().map(relation).collect(),
        since: members().map(|(row, ..)| local_date(row.at)).collect(),
        times: members().map(|(row, ..)| row.at).collect(),
    };
    members_of.execute(conn)?;
    Ok(rows.len())
}

/// The village of the n-th household, with its place among the centres and the first of who live there; none: those live in no village.
fn home(world: &World, number: usize) -> Option<(usize, &Centre, usize)> {
    let first = number * TOGETHER;
    let lives = |(_, centre): &(usize, &Centre)| {
        !centre.township && (centre.people.0..centre.people.1).contains(&first) && !centre.agents().is_empty()
    };
    world.centres.iter().enumerate().find(lives).map(|(place, centre)| (place, centre, first))
}

/// The first so many that have a village.
fn homes(world: &World) -> impl Iterator<Item = (usize, usize, &Centre, usize)> {
    let most = world.size.residents / TOGETHER;
    let there = (0..most)
        .filter_map(move |number| home(world, number).map(|(place, centre, first)| (number, place, centre, first)));
    there.take(world.size.households)
}

fn id(world: &World, number: usize, first: usize) -> Uuid {
    world.dice("household.id", number).id(world.registered(first))
}

fn draw(world: &World, (number, place, centre, first): (usize, usize, &Centre, usize)) -> Drawn {
    let (county, keys) = (world.county, &world.app.keys);
    let mut dice = world.dice("household", number);
    let id = id(world, number, first);
    let name = format!("{}家", names::person(&mut dice, false, 60));
    let (lng, lat) = village(world, place);
    let mut near = |at: f64| at + dice.between(-DOORS, DOORS) as f64 / 1e6;
    let (lng, lat) = (near(lng), near(lat));
    let address = format!("{}组{}号", dice.between(1, 12), dice.between(1, 300));
    let seal = |column: &str, text: &str| keys.seal(county, &format!("households.{column}/{id}"), text.as_bytes());
    let last = (first + TOGETHER).min(centre.people.1);
    let (mut plan, categories) = (world.dice("household.category", number), &world.facts.categories);
    Drawn {
        county,
        id,
        unit: centre.unit,
        holder: dice.pick(&centre.agents()).0,
        name_index: keys.blind(county, "name", &searched_name(&name)),
        name: seal("name", &name),
        address: seal("address", &address),
        lng,
        lat,
        members: (first..last).map(|resident| world.resident(resident)).collect(),
        category: (!categories.is_empty()).then(|| *plan.pick(categories)),
        at: world.registered(last),
        planned: world.now - TimeDelta::days(plan.between(0, PLANNED)),
    }
}

pub async fn make(world: &World) -> anyhow::Result<usize> {
    let (mut made, mut rows) = (0, Vec::new());
    for home in homes(world) {
        rows.push(draw(world, home));
        if rows.len() < LIVE_BATCH {
            continue;
        }
        made += world.put(std::mem::take(&mut rows), write).await?;
        // Triggers and keys look up each household by plans made while the table was empty, when any index of the county seems
        // as good as its key: five thousand households would read each other millions of times.
        if made == LIVE_BATCH {
            analyse(&world.app, "households, household_members, visit_tasks").await?;
        }
    }
    Ok(made + world.put(rows, write).await?)
}

struct Visit {
    county: i32,
    id: Uuid,
    household: Uuid,
    unit: Uuid,
    staff: Uuid,
    outcome: &'static str,
    at: DateTime<Utc>,
    sent_at: DateTime<Utc>,
}

statement! {
    /// Without what was said: nobody is told of what was made up whole.
    struct WriteVisits {
        county: i32 as Integer, ids: Vec<Uuid> as Array<SqlUuid>, households: Vec<Uuid> as Array<SqlUuid>, units: Vec<Uuid> as Array<SqlUuid>, staff: Vec<Uuid> as Array<SqlUuid>,
        outcomes: Vec<&'static str> as Array<Text>, times: Vec<DateTime<Utc>> as Array<Timestamptz>, sent: Vec<DateTime<Utc>> as Array<Timestamptz>,
    }
    "INSERT INTO visits (county_id, id, household_id, unit_id, staff_id, outcome, place, device_at, sent_at, skew_seconds, occurred_at, on_date, recorded_at, mocked, no_position_reason, \
       flags, left_out, photos) \
     SELECT {county}, d.id, d.household, d.unit, d.staff, d.outcome, 'home', d.at, d.sent, 0, d.at, (d.at AT TIME ZONE 'Asia/Shanghai')::date, d.sent, false, 'no_signal', ARRAY[]::text[], ARRAY[]::text[], ARRAY[]::uuid[] \
     FROM unnest({ids}, {households}, {units}, {staff}, {outcomes}, {times}, {sent}) d (id, household, unit, staff, outcome, at, sent)"
}

fn write_visits(conn: &mut PgConnection, rows: &[Visit]) -> QueryResult<usize> {
    let Some(county) = rows.first().map(|row| row.county) else { return Ok(0) };
    let write = WriteVisits {
        county,
        ids: rows.iter().map(|row| row.id).collect(),
        households: rows.iter().map(|row| row.household).collect(),
        units: rows.iter().map(|row| row.unit).collect(),
        staff: rows.iter().map(|row| row.staff).collect(),
        outcomes: rows.iter().map(|row| row.outcome).collect(),
        times: rows.iter().map(|row| row.at).collect(),
        sent: rows.iter().map(|row| row.sent_at).collect(),
    };
    write.execute(conn)
}

/// A visit of a day, sent in the evening.
fn visit(world: &World, mut dice: Dice, (household, unit, agents): &(Uuid, Uuid, Vec<Uuid>), day: NaiveDate) -> Visit {
    let at = local_midnight(day) + TimeDelta::minutes(8 * 60) + dice.minutes(0, 10 * 60);
    let outcome = *dice.weighted(&[(88, "seen"), (10, "not_found"), (2, "declined")]);
    let (county, staff, sent_at) = (world.county, *dice.pick(agents), local_midnight(day) + TimeDelta::hours(19));
    Visit { county, id: dice.id(sent_at), household: *household, unit: *unit, staff, outcome, at, sent_at }
}

pub async fn make_visits(world: &World) -> anyhow::Result<usize> {
    let agents = |centre: &Centre| centre.agents().into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let homes: Vec<_> = homes(world)
        .map(|(number, _, centre, first)| (id(world, number, first), centre.unit, agents(centre)))
        .collect();
    let days: Vec<_> = world.begin().iter_days().take_while(|day| *day < world.today).collect();
    if homes.is_empty() || days.is_empty() {
        return Ok(0);
    }
    let (mut made, mut rows, wanted) = (0, Vec::with_capacity(BATCH), world.size.visits);
    for number in 0..wanted {
        let mut dice = world.dice("visit", number);
        let home = &homes[dice.below(homes.len())];
        // Oldest first, so that indexes of time grow at their end.
        rows.push(visit(world, dice, home, days[(number as u128 * days.len() as u128 / wanted as u128) as usize]));
        if rows.len() >= BATCH {
            made += world.put(std::mem::replace(&mut rows, Vec::with_capacity(BATCH)), write_visits).await?;
        }
    }
    Ok(made + world.put(rows, write_visits).await?)
}
