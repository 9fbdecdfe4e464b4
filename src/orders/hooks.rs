//! What orders have to say where rooms meet: somebody's day, what is open for a resident, whoever leaves, merging, export, erasure.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Array, Binary, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    evidence,
    model::{Order, OrderState, Step},
    notes, rated,
    rules::{self, Actor, Around, Facts, Said},
    store::{self, Seen, Writing, today},
    views::place,
};
use crate::{
    app::App,
    error::{Code, Error, Result, Text as Words},
    rooms::{Absent, Day, Entry, HandOver, HelperGone, Merge, Person, Room, Sealed},
    settings::Settings,
    statement,
};

pub const ROOM: Room = Room {
    day: Some(day),
    open_for: Some(open_for),
    hand_over: Some(hand_over),
    absent: Some(absent),
    helper_gone: Some(helper_gone),
    merge: Some(merge),
    export: Some(export),
    erase: Some(erase),
    sealed: &[
        Sealed { table: "orders", column: "address", index: None },
        Sealed { table: "orders", column: "phone", index: None },
        Sealed { table: "orders", column: "words", index: None },
        Sealed { table: "orders", column: "form", index: None },
        Sealed { table: "order_series", column: "address", index: None },
        Sealed { table: "order_series", column: "phone", index: None },
        Sealed { table: "order_series", column: "words", index: None },
        Sealed { table: "order_series", column: "form", index: None },
        Sealed { table: "order_notes", column: "words", index: None },
    ],
    attached: &[(evidence::ORDER, evidence::sees)],
    rated: &[("order", rated::served)],
    synced: &[super::kept::SYNCED],
    ..Room::new("orders")
};

#[derive(QueryableByName)]
struct Open {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    state: OrderState,
    #[diesel(sql_type = Timestamptz)]
    wanted_from: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    wanted_until: DateTime<Utc>,
    #[diesel(sql_type = SqlUuid)]
    resident_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    staff_id: Option<Uuid>,
}

impl From<Open> for Entry {
    fn from(row: Open) -> Self {
        let (number, kind) = (&row.number, &row.kind);
        Self {
            entity: "order",
            id: row.id,
            at: Some(row.wanted_from),
            until: Some(row.wanted_until),
            state: row.state.as_str().to_owned(),
            title: Words::new(format!("订单：{kind}（{number}）"), format!("Order: {kind} ({number})")),
            resident_id: Some(row.resident_id),
            holder_id: row.staff_id,
        }
    }
}

macro_rules! open {
    () => {
        "SELECT o.id, o.number, (SELECT k.name FROM order_kinds k WHERE k.county_id = o.county_id AND k.id = o.kind_id) AS kind, o.state, o.wanted_from, o.wanted_until, o.resident_id, h.staff_id "
    };
}

statement! {
    struct OfDay { county: i32 as Integer, staff: Vec<Uuid> as Array<SqlUuid>, to: DateTime<Utc> as Timestamptz }
    concat!(open!(), "FROM helpers h JOIN orders o ON o.county_id = h.county_id AND o.holder_id = h.id AND o.load_place IS NOT NULL \
     WHERE h.county_id = {county} AND h.staff_id = ANY ({staff}) AND o.wanted_from < {to} ORDER BY o.wanted_from, o.id LIMIT 200")
}

statement! {
    struct OfResident { county: i32 as Integer, resident: Uuid as SqlUuid }
    concat!(open!(), "FROM orders o LEFT JOIN helpers h ON h.county_id = o.county_id AND h.id = o.holder_id \
     WHERE o.county_id = {county} AND o.resident_id = {resident} AND o.state NOT IN ('confirmed', 'cancelled') ORDER BY o.created_at, o.id LIMIT 200")
}

/// What one holds and is wanted by the end of the day.
fn day(conn: &mut PgConnection, day: &Day) -> Result<Vec<Entry>> {
    let rows: Vec<Open> = OfDay { county: day.county, staff: day.staff.clone(), to: day.to }.load(conn)?;
    Ok(rows.into_iter().map(Entry::from).collect())
}

fn open_for(conn: &mut PgConnection, person: Person) -> Result<Vec<Entry>> {
    let rows: Vec<Open> = OfResident { county: person.county, resident: person.id }.load(conn)?;
    Ok(rows.into_iter().map(Entry::from).collect())
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

statement! {
    struct HeldBy {
        county: i32 as Integer, staff: Option<Uuid> as Nullable<SqlUuid>, helper: Option<Uuid> as Nullable<SqlUuid>, unit: Option<Uuid> as Nullable<SqlUuid>,
    }
    "SELECT o.id FROM orders o WHERE o.county_id = {county} AND o.load_place IS NOT NULL \
       AND o.holder_id IN (SELECT h.id FROM helpers h WHERE h.county_id = {county} AND (h.id = {helper} OR h.staff_id = {staff})) \
       AND ({unit}::uuid IS NULL OR unit_within({county}, o.unit_id, {unit})) ORDER BY o.id FOR NO KEY UPDATE"
}

/// A move of the system that must be made: the row is locked. None of those that are made here leads to where a setting says what is due.
fn moved(
    conn: &mut PgConnection,
    before: &Order,
    (step, said): (Step, &Said),
    place: Option<i16>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let settings = Settings::default();
    let around = Around { settings: &settings, now };
    let Ok(mut after) = rules::take(before, step, Actor::SYSTEM, said, around) else { return Ok(false) };
    after.load_place = place.or(after.load_place);
    let facts = rules::facts(step, said);
    let writing = Writing { before, after: &after, step, actor: None, role: None, facts, keep: None, now };
    if store::write(conn, writing)? { Ok(true) } else { Err(Error::internal("a locked order has moved")) }
}

fn why(reason: &str) -> Said {
    Said { facts: Facts::from([("why".to_owned(), json!(reason))]), ..Said::default() }
}

statement! {
    /// The helper that a member of staff is, and the place after the last that they have taken.
    struct NextPlace { county: i32 as Integer, staff: Uuid as SqlUuid }
    "SELECT h.id, coalesce((SELECT max(x.load_place) FROM orders x WHERE x.county_id = h.county_id AND x.holder_id = h.id AND x.load_place IS NOT NULL), 0)::smallint AS last \
     FROM helpers h WHERE h.county_id = {county} AND h.staff_id = {staff} AND h.state = 'active' FOR SHARE OF h"
}

#[derive(QueryableByName)]
struct Heir {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SmallInt)]
    last: i16,
}

/// Whoever comes instead holds it, however much they hold; somebody who is no helper cannot, and it goes back to the pool.
fn hand_over(conn: &mut PgConnection, over: &HandOver) -> Result<usize> {
    let HandOver { county, from, to, unit, now } = *over;
    let held: Vec<Id> = HeldBy { county, staff: Some(from), helper: None, unit }.load(conn)?;
    let heir: Option<Heir> = match held.is_empty() {
        true => None,
        false => crate::db::found(NextPlace { county, staff: to }.get_result(conn))?,
    };
    let mut last = heir.as_ref().map_or(0, |heir| heir.last);
    for Id { id } in &held {
        let before = store::find(conn, county, Seen::WHOLE, *id, today(now))?.ok_or(Code::NotFound)?;
        match &heir {
            Some(heir) => {
                last += 1;
                let said = Said { helper: Some(heir.id), ..Said::default() };
                moved(conn, &before, (Step::HandOver, &said), Some(last), now)?;
            }
            None => drop(moved(conn, &before, (Step::Return, &why("left")), None, now)?),
        }
    }
    Ok(held.len())
}

statement! {
    struct Gone {
        county: i32 as Integer, staff: Option<Uuid> as Nullable<SqlUuid>, helper: Option<Uuid> as Nullable<SqlUuid>, from: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        until: Option<DateTime<Utc>> as Nullable<Timestamptz>, now: DateTime<Utc> as Timestamptz,
    }
    "SELECT o.id FROM orders o JOIN helpers h ON h.county_id = o.county_id AND h.id = o.holder_id WHERE o.county_id = {county} AND o.load_place IS NOT NULL \
       AND (h.id = {helper} OR h.staff_id = {staff}) AND CASE WHEN {staff}::uuid IS NOT NULL \
         THEN h.state <> 'active' OR o.state = 'claimed' AND NOT staff_present({county}, {staff}, (greatest({now}, o.wanted_from) AT TIME ZONE 'Asia/Shanghai')::date) \
         ELSE (h.state <> 'active' OR o.state = 'claimed') AND ({from}::timestamptz IS NULL OR greatest({now}, o.wanted_from) >= {from}) AND ({until}::timestamptz IS NULL OR greatest({now}, o.wanted_from) < {until}) END \
     ORDER BY o.id FOR NO KEY UPDATE OF o"
}

fn give_back(conn: &mut PgConnection, gone: Gone, reason: &str) -> Result<()> {
    let (county, now) = (gone.county, gone.now);
    let held: Vec<Id> = gone.load(conn)?;
    for Id { id } in held {
        let Some(before) = store::find(conn, county, Seen::WHOLE, id, today(now))? else { continue };
        moved(conn, &before, (Step::Return, &why(reason)), None, now)?;
    }
    Ok(())
}

/// What an absent one has claimed for days on which they are not there goes back to the pool; what they have begun stays theirs.
fn absent(conn: &mut PgConnection, absent: &Absent) -> Result<()> {
    let Absent { county, staff, now } = *absent;
    give_back(conn, Gone { county, staff: Some(staff), helper: None, from: None, until: None, now }, "absent")
}

/// So does what a helper has claimed who is away; of one who helps no more, all of it.
fn helper_gone(conn: &mut PgConnection, gone: &HelperGone) -> Result<()> {
    let HelperGone { county, helper, from, until, now } = *gone;
    give_back(conn, Gone { county, staff: None, helper: Some(helper), from: Some(from), until, now }, "gone")
}

statement! {
    struct MergeOrders { county: i32 as Integer, from: Uuid as SqlUuid, into: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE orders SET resident_id = CASE WHEN resident_id = {from} THEN {into} ELSE resident_id END, \
       ordered_by_resident = nullif(CASE WHEN ordered_by_resident = {from} THEN {into} ELSE ordered_by_resident END, CASE WHEN resident_id = {from} THEN {into} ELSE resident_id END), \
       version = version + 1, updated_at = {now} WHERE county_id = {county} AND (resident_id = {from} OR ordered_by_resident = {from})"
}

statement! {
    struct MergeSeries { county: i32 as Integer, from: Uuid as SqlUuid, into: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE order_series SET resident_id = CASE WHEN resident_id = {from} THEN {into} ELSE resident_id END, \
       ordered_by_resident = nullif(CASE WHEN ordered_by_resident = {from} THEN {into} ELSE ordered_by_resident END, CASE WHEN resident_id = {from} THEN {into} ELSE resident_id END), \
       version = version + 1, updated_at = {now} WHERE county_id = {county} AND (resident_id = {from} OR ordered_by_resident = {from})"
}

fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let Merge { county, from, into, now } = *merge;
    let orders = MergeOrders { county, from, into, now }.execute(conn)?;
    Ok(orders + MergeSeries { county, from, into, now }.execute(conn)?)
}

#[derive(QueryableByName)]
struct Mine {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    state: OrderState,
    #[diesel(sql_type = Timestamptz)]
    wanted_from: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    wanted_until: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Binary>)]
    address: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    phone: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    words: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    form: Option<Vec<u8>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

statement! {
    struct AllOf { county: i32 as Integer, resident: Uuid as SqlUuid }
    "SELECT o.id, o.number, (SELECT k.name FROM order_kinds k WHERE k.county_id = o.county_id AND k.id = o.kind_id) AS kind, o.state, o.wanted_from, o.wanted_until, \
       o.address, o.phone, o.words, o.form, o.created_at FROM orders o WHERE o.county_id = {county} AND o.resident_id = {resident} ORDER BY o.created_at, o.id"
}

/// What a resident's side reads.
const MINE: notes::Reads = notes::Reads { open: true, office: false, mine: true, asked: false };

fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let (county, resident) = (person.county, person.id);
    let mut orders = Vec::new();
    for row in (AllOf { county, resident }).load::<Mine>(conn)? {
        let open = |column: &str, sealed: &Option<Vec<u8>>| {
            let open = |sealed: &Vec<u8>| app.keys.open_text(county, &place(column, row.id), sealed);
            sealed.as_ref().map(open).transpose()
        };
        let form = open("form", &row.form)?.and_then(|form| serde_json::from_str::<Value>(&form).ok());
        let mut said = Vec::new();
        let order = store::find(conn, county, Seen::WHOLE, row.id, today(person.now))?.ok_or(Code::NotFound)?;
        for note in notes::of(conn, &order, resident, MINE)? {
            let words = note.words.as_ref().map(|sealed| app.keys.open_text(county, &notes::place(note.id), sealed));
            said.push(
                json!({"at": note.created_at, "side": note.side, "kind": note.kind, "words": words.transpose()?}),
            );
        }
        let moves: Vec<_> =
            store::moves(conn, county, row.id)?.iter().map(|one| json!({"at": one.at, "step": one.step})).collect();
        orders.push(json!({"number": row.number, "kind": row.kind, "state": row.state, "wanted_from": row.wanted_from, "wanted_until": row.wanted_until,
            "address": open("address", &row.address)?, "phone": open("phone", &row.phone)?, "words": open("words", &row.words)?, "form": form,
            "created_at": row.created_at, "moves": moves, "notes": said}));
    }
    Ok(json!({"orders": orders}))
}

statement! {
    struct OpenOf { county: i32 as Integer, resident: Uuid as SqlUuid }
    "SELECT o.id FROM orders o WHERE o.county_id = {county} AND o.resident_id = {resident} AND o.state IN ('open', 'claimed', 'on_the_way', 'expired') ORDER BY o.id FOR NO KEY UPDATE"
}

statement! {
    struct EraseOrders { county: i32 as Integer, resident: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE orders SET address = NULL, phone = NULL, words = NULL, form = NULL, lng = NULL, lat = NULL, told = true, due_at = CASE WHEN state IN ('at_work', 'finished') THEN NULL ELSE due_at END, \
       version = version + 1, updated_at = {now} WHERE county_id = {county} AND resident_id = {resident}"
}

statement! {
    struct EraseSeries { county: i32 as Integer, resident: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE order_series SET state = 'ended', address = NULL, phone = NULL, words = NULL, form = NULL, lng = NULL, lat = NULL, version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND resident_id = {resident}"
}

statement! {
    struct EraseNotes { county: i32 as Integer, resident: Uuid as SqlUuid }
    "UPDATE order_notes n SET words = NULL FROM orders o WHERE o.county_id = {county} AND o.resident_id = {resident} AND n.county_id = o.county_id AND n.order_id = o.id AND n.words IS NOT NULL"
}

/// What was to come is cancelled; the moves keep what happened, without a word of what was said.
fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let Person { county, id: resident, now } = person;
    for Id { id } in (OpenOf { county, resident }).load::<Id>(conn)? {
        let Some(before) = store::find(conn, county, Seen::WHOLE, id, today(now))? else { continue };
        moved(conn, &before, (Step::Cancel, &why("record_closed")), None, now)?;
    }
    let series = EraseSeries { county, resident, now }.execute(conn)?;
    let notes = EraseNotes { county, resident }.execute(conn)?;
    Ok(EraseOrders { county, resident, now }.execute(conn)? + notes + series)
}
