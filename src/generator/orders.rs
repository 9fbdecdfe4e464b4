//! Orders: those of the past, confirmed, and open ones in the villages, each at a place on the map.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Binary, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{BATCH, Dice, World, centres::Centre};
use crate::{clock::local_midnight, db::schema::order_kinds, error::Result, http::permissions::Role, statement};

/// About the middle of the county, and how far its villages lie from it, and people from the middle of their village, in millionths of a degree.
const MIDDLE: (f64, f64) = (117.85, 25.69);
const VILLAGES: i64 = 250_000;
const HOUSES: i64 = 15_000;

/// An order as it is drawn; the rest follows from its kind.
struct Drawn {
    county: i32,
    id: Uuid,
    number: String,
    kind: Uuid,
    resident: Uuid,
    unit: Uuid,
    address: Vec<u8>,
    lng: f64,
    lat: f64,
    ordered_at: DateTime<Utc>,
    wanted_from: DateTime<Utc>,
    /// Who has done it; none: it is open.
    holder: Option<(Uuid, Role)>,
    started_at: DateTime<Utc>,
}

statement! {
    struct Write {
        county: i32 as Integer, ids: Vec<Uuid> as Array<SqlUuid>, numbers: Vec<String> as Array<Text>, kinds: Vec<Uuid> as Array<SqlUuid>,
        residents: Vec<Uuid> as Array<SqlUuid>, units: Vec<Uuid> as Array<SqlUuid>, addresses: Vec<Vec<u8>> as Array<Binary>, lngs: Vec<f64> as Array<Double>,
        lats: Vec<f64> as Array<Double>, ordered: Vec<DateTime<Utc>> as Array<Timestamptz>, wanted: Vec<DateTime<Utc>> as Array<Timestamptz>,
        holders: Vec<Option<Uuid>> as Array<Nullable<SqlUuid>>, roles: Vec<Option<&'static str>> as Array<Nullable<Text>>, started: Vec<DateTime<Utc>> as Array<Timestamptz>,
    }
    "WITH drawn AS (SELECT d.*, k.duration_minutes * interval '1 minute' AS takes, k.skills, k.taken_by, k.dispatch, k.evidence, k.money, k.duration_minutes, k.grab_minutes, k.start_minutes \
       FROM unnest({ids}, {numbers}, {kinds}, {residents}, {units}, {addresses}, {lngs}, {lats}, {ordered}, {wanted}, {holders}, {roles}, {started}) \
         d (id, number, kind, resident, unit, address, lng, lat, ordered_at, wanted_from, holder, role, started_at) \
       JOIN order_kinds k ON k.county_id = {county} AND k.id = d.kind), \
     made AS (INSERT INTO orders (county_id, id, number, kind_id, resident_id, unit_id, state, wanted_from, wanted_until, at_once, skills, taken_by, dispatch, evidence, money, \
         duration_minutes, grab_minutes, start_minutes, address, lng, lat, holder_id, opened_at, due_at, told, set_out_at, started_at, started_how, finished_at, confirmed_how, ended_at, \
         moves, version, created_at, updated_at) \
       SELECT {county}, d.id, d.number, d.kind, d.resident, d.unit, CASE WHEN d.holder IS NULL THEN 'open' ELSE 'confirmed' END, d.wanted_from, d.wanted_from + interval '3 hours', false, \
         d.skills, d.taken_by, d.dispatch, d.evidence, d.money, d.duration_minutes, d.grab_minutes, d.start_minutes, d.address, d.lng, d.lat, d.holder, d.ordered_at, \
         CASE WHEN d.holder IS NULL THEN d.wanted_from + interval '3 hours' END, d.holder IS NULL, \
         CASE WHEN d.holder IS NOT NULL THEN d.started_at - interval '20 minutes' END, CASE WHEN d.holder IS NOT NULL THEN d.started_at END, CASE WHEN d.holder IS NOT NULL THEN 'code' END, \
         CASE WHEN d.holder IS NOT NULL THEN d.started_at + d.takes END, CASE WHEN d.holder IS NOT NULL THEN 'code' END, CASE WHEN d.holder IS NOT NULL THEN d.started_at + d.takes END, \
         CASE WHEN d.holder IS NULL THEN 1 ELSE 6 END, CASE WHEN d.holder IS NULL THEN 1 ELSE 6 END, d.ordered_at, \
         CASE WHEN d.holder IS NULL THEN d.ordered_at ELSE d.started_at + d.takes END \
       FROM drawn d RETURNING id) \
     INSERT INTO order_moves (county_id, order_id, seq, at, step, actor_id, actor_role, from_state, to_state, from_holder, holder_id) \
     SELECT {county}, d.id, m.seq, CASE m.seq WHEN 1 THEN d.ordered_at WHEN 2 THEN d.ordered_at + interval '5 minutes' WHEN 3 THEN d.started_at - interval '20 minutes' \
         WHEN 4 THEN d.started_at ELSE d.started_at + d.takes END, m.step, CASE m.seq WHEN 1 THEN d.resident ELSE d.holder END, CASE m.seq WHEN 1 THEN 'resident' ELSE d.role END, \
         m.before, m.after, CASE WHEN m.seq > 2 THEN d.holder END, CASE WHEN m.seq > 1 THEN d.holder END \
     FROM drawn d JOIN (VALUES (1, 'order', NULL, 'open'), (2, 'claim', 'open', 'claimed'), (3, 'set_out', 'claimed', 'on_the_way'), (4, 'start', 'on_the_way', 'at_work'), \
         (5, 'finish', 'at_work', 'finished'), (6, 'confirm', 'finished', 'confirmed')) m (seq, step, before, after) ON m.seq = 1 OR d.holder IS NOT NULL"
}

fn write(conn: &mut PgConnection, rows: &[Drawn]) -> QueryResult<usize> {
    let Some(county) = rows.first().map(|row| row.county) else { return Ok(0) };
    let write = Write {
        county,
        ids: rows.iter().map(|row| row.id).collect(),
        numbers: rows.iter().map(|row| row.number.clone()).collect(),
        kinds: rows.iter().map(|row| row.kind).collect(),
        residents: rows.iter().map(|row| row.resident).collect(),
        units: rows.iter().map(|row| row.unit).collect(),
        addresses: rows.iter().map(|row| row.address.clone()).collect(),
        lngs: rows.iter().map(|row| row.lng).collect(),
        lats: rows.iter().map(|row| row.lat).collect(),
        ordered: rows.iter().map(|row| row.ordered_at).collect(),
        wanted: rows.iter().map(|row| row.wanted_from).collect(),
        holders: rows.iter().map(|row| row.holder.map(|(id, _)| id)).collect(),
        roles: rows.iter().map(|row| row.holder.map(|(_, role)| role.as_str())).collect(),
        started: rows.iter().map(|row| row.started_at).collect(),
    };
    write.execute(conn)?;
    Ok(rows.len())
}

/// Where a village lies: anywhere, but always there.
pub(super) fn village(world: &World, place: usize) -> (f64, f64) {
    let mut dice = world.dice("place", place);
    let mut off = |most: i64| dice.between(-most, most) as f64 / 1e6;
    (MIDDLE.0 + off(VILLAGES), MIDDLE.1 + off(VILLAGES))
}

/// Kinds that residents can order, in the order of their names.
async fn kinds(world: &World) -> Result<Vec<Uuid>> {
    let county = world.county;
    let kinds = world.app.db.read("generate", move |conn| {
        let here = order_kinds::table.filter(order_kinds::county_id.eq(county)).filter(order_kinds::state.eq("active"));
        Ok(here.order(order_kinds::name).select(order_kinds::id).load(conn)?)
    });
    kinds.await
}

/// Somebody's order for a day; the n-th of all that are made, by which its number differs from every other.
fn draw(
    world: &World,
    dice: &mut Dice,
    (kinds, day, number): (&[Uuid], NaiveDate, usize),
    open: bool,
) -> Option<Drawn> {
    let resident = dice.below(world.size.residents);
    let lives =
        |(_, centre): &(usize, &Centre)| !centre.township && (centre.people.0..centre.people.1).contains(&resident);
    let (place, centre) = world.centres.iter().enumerate().find(lives)?;
    let (lng, lat) = village(world, place);
    let mut near = |at: f64| at + dice.between(-HOUSES, HOUSES) as f64 / 1e6;
    let (lng, lat) = (near(lng), near(lat));
    let wanted_from = local_midnight(day) + TimeDelta::minutes(30 * dice.between(16, 36));
    let ordered_at = (wanted_from - dice.minutes(120, 24 * 60)).min(world.now);
    let id = dice.id(ordered_at);
    let address = format!("{}组{}号", dice.between(1, 12), dice.between(1, 300));
    Some(Drawn {
        county: world.county,
        id,
        number: format!("D{}-{:06}", ordered_at.format("%y%m%d"), number % 1_000_000),
        kind: *dice.pick(kinds),
        resident: world.resident(resident),
        unit: centre.unit,
        address: world.app.keys.seal(world.county, &format!("orders.address/{id}"), address.as_bytes()),
        lng,
        lat,
        ordered_at,
        wanted_from,
        holder: (!open).then(|| *dice.pick(&centre.agents())),
        started_at: wanted_from + dice.minutes(0, 60),
    })
}

async fn make(world: &World, wanted: usize, open: bool) -> anyhow::Result<usize> {
    let kinds = kinds(world).await?;
    let days: Vec<_> = world.begin().iter_days().take_while(|day| *day < world.today).collect();
    if kinds.is_empty() || days.is_empty() {
        return Ok(0);
    }
    let (mut made, mut rows) = (0, Vec::new());
    for number in 0..wanted {
        let mut dice = world.dice(if open { "open order" } else { "order" }, number);
        let day =
            if open { world.today + TimeDelta::days(dice.between(1, 5)) } else { days[number * days.len() / wanted] };
        // Numbers of the past from below, open ones from above.
        let place = if open { 999_999 - number % 500_000 } else { number % 500_000 };
        rows.extend(draw(world, &mut dice, (&kinds, day, place), open));
        if rows.len() >= BATCH {
            made += world.put(std::mem::take(&mut rows), write).await?;
        }
    }
    Ok(made + world.put(rows, write).await?)
}

pub async fn make_past(world: &World) -> anyhow::Result<usize> {
    make(world, world.size.past_orders, false).await
}

pub async fn make_open(world: &World) -> anyhow::Result<usize> {
    make(world, world.size.open_orders, true).await
}
