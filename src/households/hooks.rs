//! What households have to say where rooms meet: a day, handing over, one record instead of two, a copy of one's data, erasure.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{Date, Integer, Nullable, Timestamptz, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    kept,
    model::{Household, HouseholdState, Member, TaskState, VisitTask},
    points, store, views,
};
use crate::{
    app::App,
    clock::{local_date, local_midnight},
    db::schema::{household_members, household_tags, households, visit_tasks},
    error::{Result, Text},
    people::searched_name,
    rooms::{Day, Entry, HandOver, Index, Merge, Person, Room, Sealed},
    statement,
};

pub const ROOM: Room = Room {
    day: Some(day),
    open_for: Some(open_for),
    hand_over: Some(hand_over),
    merge: Some(merge),
    export: Some(export),
    erase: Some(erase),
    sealed: &[
        Sealed {
            table: "households",
            column: "name",
            index: Some(Index { form: searched_name, always: true, ..Index::new(&["name_index"], "name") }),
        },
        Sealed { table: "households", column: "address", index: None },
        Sealed { table: "households", column: "note", index: None },
        Sealed { table: "household_import_lines", column: "before", index: None },
    ],
    synced: &[kept::CATEGORIES, kept::HOUSEHOLDS, kept::TASKS],
    ..Room::new("households")
};

fn entry(task: VisitTask) -> Entry {
    Entry {
        entity: "visit_task",
        id: task.id,
        at: None,
        until: task.due_on.succ_opt().map(local_midnight),
        state: task.state.as_str().to_owned(),
        title: Text::fixed("入户走访", "visit a household"),
        resident_id: None,
        holder_id: task.holder_id,
    }
}

/// What has opened by the day, for whoever answers for it; what is due first comes first.
fn day(conn: &mut PgConnection, day: &Day) -> Result<Vec<Entry>> {
    let held = visit_tasks::table.filter(visit_tasks::county_id.eq(day.county));
    let held = held.filter(visit_tasks::holder_id.eq_any(day.staff.clone()));
    let open =
        held.filter(visit_tasks::state.eq(TaskState::Open)).filter(visit_tasks::opens_on.le(local_date(day.from)));
    let order = (visit_tasks::due_on, visit_tasks::id);
    let rows: Vec<VisitTask> = open.order(order).limit(200).select(VisitTask::as_select()).load(conn)?;
    Ok(rows.into_iter().map(entry).collect())
}

/// Where somebody belongs now.
fn household_of(conn: &mut PgConnection, person: Person) -> Result<Option<Uuid>> {
    let of = household_members::table.filter(household_members::county_id.eq(person.county));
    let of = of.filter(household_members::resident_id.eq(person.id)).filter(household_members::until_on.is_null());
    Ok(of.select(household_members::household_id).first(conn).optional()?)
}

fn open_for(conn: &mut PgConnection, person: Person) -> Result<Vec<Entry>> {
    let Some(household) = household_of(conn, person)? else { return Ok(Vec::new()) };
    let of = visit_tasks::table.filter(visit_tasks::county_id.eq(person.county));
    let of = of.filter(visit_tasks::household_id.eq(household)).filter(visit_tasks::state.eq(TaskState::Open));
    let open = of.filter(visit_tasks::opens_on.le(local_date(person.now)));
    let rows: Vec<VisitTask> = open.select(VisitTask::as_select()).load(conn)?;
    Ok(rows.into_iter().map(|task| Entry { resident_id: Some(person.id), ..entry(task) }).collect())
}

statement! {
    struct GiveHouseholds {
        county: i32 as Integer, from: Uuid as SqlUuid, to: Uuid as SqlUuid, unit: Option<Uuid> as Nullable<SqlUuid>, now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE households SET holder_id = {to}, version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND holder_id = {from} AND state <> 'merged' AND ({unit}::uuid IS NULL OR unit_within({county}, unit_id, {unit}))"
}

statement! {
    /// Whoever takes over is the partner from today, as long as it was planned.
    struct GivePartners {
        county: i32 as Integer, from: Uuid as SqlUuid, to: Uuid as SqlUuid, unit: Option<Uuid> as Nullable<SqlUuid>, today: NaiveDate as Date, now: DateTime<Utc> as Timestamptz,
    }
    "WITH ended AS (UPDATE visit_partners p SET until_on = {today} FROM households h \
       WHERE p.county_id = {county} AND p.staff_id = {from} AND p.until_on IS NULL AND h.county_id = p.county_id AND h.id = p.household_id \
         AND ({unit}::uuid IS NULL OR unit_within({county}, h.unit_id, {unit})) RETURNING p.household_id, p.planned_until), \
       told AS (UPDATE households h SET version = h.version + 1, updated_at = {now} FROM ended e WHERE h.county_id = {county} AND h.id = e.household_id) \
     INSERT INTO visit_partners (county_id, id, household_id, staff_id, from_on, planned_until, created_by, created_at) \
     SELECT {county}, gen_random_uuid(), household_id, {to}, {today}, planned_until, {to}, {now} FROM ended WHERE planned_until IS NULL OR planned_until > {today}"
}

/// Everything that somebody answers for, and their partnerships, go to another.
fn hand_over(conn: &mut PgConnection, over: &HandOver) -> Result<usize> {
    let HandOver { county, from, to, unit, now } = *over;
    let given = GiveHouseholds { county, from, to, unit, now }.execute(conn)?;
    Ok(given + GivePartners { county, from, to, unit, today: local_date(now), now }.execute(conn)?)
}

/// Whoever belongs to two households because of two records stays where the record that stays belongs.
fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let Merge { county, from, into, now } = *merge;
    let of = |id| {
        household_members::table
            .filter(household_members::county_id.eq(county))
            .filter(household_members::resident_id.eq(id))
    };
    if household_of(conn, Person { county, id: into, now })?.is_some() {
        diesel::update(of(from).filter(household_members::until_on.is_null()))
            .set(household_members::until_on.eq(local_date(now)))
            .execute(conn)?;
    }
    let left: Vec<Uuid> = diesel::update(of(from))
        .set(household_members::resident_id.eq(into))
        .returning(household_members::household_id)
        .get_results(conn)?;
    let tags = household_tags::table.filter(household_tags::county_id.eq(county));
    diesel::update(tags.filter(household_tags::resident_id.eq(from)))
        .set(household_tags::resident_id.eq(into))
        .execute(conn)?;
    for id in &left {
        store::touch(conn, (county, *id), now)?;
    }
    Ok(left.len())
}

fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let of = household_members::table.filter(household_members::county_id.eq(person.county));
    let of = of.filter(household_members::resident_id.eq(person.id)).order(household_members::since_on);
    let members: Vec<Member> = of.select(Member::as_select()).load(conn)?;
    let mut all = Vec::new();
    for member in members {
        let row = households::table.find((person.county, member.household_id));
        let row: Household = row.select(Household::as_select()).first(conn)?;
        let tags = household_tags::table.filter(household_tags::county_id.eq(person.county));
        let tags =
            tags.filter(household_tags::household_id.eq(row.id)).filter(household_tags::resident_id.eq(person.id));
        let columns = (household_tags::tag, household_tags::since_on, household_tags::until_on);
        let tags: Vec<(String, NaiveDate, Option<NaiveDate>)> = tags.select(columns).load(conn)?;
        // Where others live now is not told to somebody who has left.
        let there = member.until_on.is_none();
        let address = views::open(app, &row, "address", row.address.as_deref().filter(|_| there))?;
        all.push(json!({"household_id": row.id, "relation": member.relation, "since_on": member.since_on, "until_on": member.until_on,
            "address": address, "point": row.point().filter(|_| there), "tags": tags}));
    }
    Ok(json!(all))
}

/// Memberships and tags go; a household of nobody else says nothing any more, and is closed.
fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let Person { county, id, now } = person;
    let last = household_of(conn, person)?;
    let of = |household| {
        household_members::table
            .filter(household_members::county_id.eq(county))
            .filter(household_members::household_id.eq(household))
    };
    let others = |conn: &mut PgConnection, household: Uuid| {
        let others =
            of(household).filter(household_members::until_on.is_null()).filter(household_members::resident_id.ne(id));
        others.count().get_result::<i64>(conn)
    };
    if let Some(household) = last
        && others(conn, household)? == 0
    {
        points::forget(conn, county, id, now)?;
        let none = None::<Vec<u8>>;
        diesel::update(households::table.find((county, household)))
            .set((
                (households::name.eq(&none), households::name_index.eq(&none), households::address.eq(&none)),
                (households::note.eq(&none), households::code.eq(None::<String>)),
                (households::state.eq(HouseholdState::Closed), households::closed_on.eq(local_date(now))),
                households::updated_at.eq(now),
            ))
            .execute(conn)?;
    }
    let tags = household_tags::table.filter(household_tags::county_id.eq(county));
    let tags = diesel::delete(tags.filter(household_tags::resident_id.eq(id))).execute(conn)?;
    let members = household_members::table.filter(household_members::county_id.eq(county));
    let members = diesel::delete(members.filter(household_members::resident_id.eq(id))).execute(conn)?;
    if let Some(household) = last {
        store::touch(conn, (county, household), now)?;
    }
    Ok(tags + members)
}
