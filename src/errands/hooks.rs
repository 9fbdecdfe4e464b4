//! What errands have to say where rooms meet: somebody's day, what is open for a resident, handing over, merging, export, erasure.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Array, Date, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    acting, content, custody, jobs, journeys,
    mandates::{Mandate, words_place},
    model::{Errand, ErrandState, Line, Step, form_place},
    rated,
    steps::Said,
    store::{self, Seen},
    trips::HandOverTrips,
    waits,
};
use crate::{
    app::App,
    calendar::jobs::READ_EVERYWHERE,
    clock::{local_date, local_midnight},
    error::{Result, Text as Words},
    rooms::{Day, DaysChanged, Entry, HandOver, Merge, Person, Room, Sealed, SettingChanged},
    statement,
};

pub const ROOM: Room = Room {
    day: Some(day),
    open_for: Some(open_for),
    hand_over: Some(hand_over),
    days_changed: Some(days_changed),
    setting_changed: Some(setting_changed),
    merge: Some(merge),
    export: Some(export),
    erase: Some(erase),
    sealed: &[
        Sealed { table: "errands", column: "form", index: None },
        Sealed { table: "errands", column: "content_salt", index: None },
        Sealed { table: "errands", column: "parcel", index: None },
        Sealed { table: "errand_words", column: "words", index: None },
        Sealed { table: "errand_originals", column: "name", index: None },
        Sealed { table: "mandates", column: "words", index: None },
    ],
    attached: &[(content::ERRAND, content::sees_errand), (content::MANDATE, content::sees_mandate)],
    rated: &[("errand", rated::served)],
    synced: &[super::kept::SYNCED],
    ..Room::new("errands")
};

#[derive(QueryableByName)]
struct Open {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = Text)]
    matter: String,
    #[diesel(sql_type = Text)]
    state: ErrandState,
    #[diesel(sql_type = Nullable<Date>)]
    due_on: Option<NaiveDate>,
    #[diesel(sql_type = SqlUuid)]
    resident_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    holder_id: Option<Uuid>,
}

impl From<Open> for Entry {
    fn from(row: Open) -> Self {
        let (number, matter) = (&row.number, &row.matter);
        Self {
            entity: "errand",
            id: row.id,
            at: row.due_on.and_then(|due| due.succ_opt()).map(local_midnight),
            until: None,
            state: row.state.as_str().to_owned(),
            title: Words::new(format!("代办：{matter}（{number}）"), format!("Errand: {matter} ({number})")),
            resident_id: Some(row.resident_id),
            holder_id: row.holder_id,
        }
    }
}

macro_rules! open {
    () => {
        "SELECT e.id, e.number, (SELECT name FROM matters m WHERE m.county_id = e.county_id AND m.id = e.matter_id) AS matter, e.state, e.due_on, e.resident_id, e.holder_id \
         FROM errands e WHERE e.county_id = {county} AND e.submitted_on IS NOT NULL AND e.state <> 'archived' "
    };
}

statement! {
    struct OfDay { county: i32 as Integer, staff: Vec<Uuid> as Array<SqlUuid>, until: NaiveDate as Date }
    concat!(open!(), "AND e.holder_id = ANY ({staff}) AND e.due_on <= {until} ORDER BY e.due_on, e.id LIMIT 200")
}

statement! {
    struct OfResident { county: i32 as Integer, resident: Uuid as SqlUuid }
    concat!(open!(), "AND e.resident_id = {resident} ORDER BY e.created_at, e.id LIMIT 200")
}

/// What one answers for and is due by the end of the day, or overdue; originals that one has in hand, trips.
fn day(conn: &mut PgConnection, day: &Day) -> Result<Vec<Entry>> {
    let rows: Vec<Open> =
        OfDay { county: day.county, staff: day.staff.clone(), until: local_date(day.from) }.load(conn)?;
    let originals = custody::day(conn, day.county, &day.staff)?;
    let trips = journeys::day(conn, day, local_date(day.from))?;
    Ok(rows.into_iter().map(Entry::from).chain(originals).chain(trips).collect())
}

fn open_for(conn: &mut PgConnection, person: Person) -> Result<Vec<Entry>> {
    let rows: Vec<Open> = OfResident { county: person.county, resident: person.id }.load(conn)?;
    let originals = custody::open_for(conn, person)?;
    Ok(rows.into_iter().map(Entry::from).chain(originals).collect())
}

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

statement! {
    struct HeldBy { county: i32 as Integer, staff: Uuid as SqlUuid, unit: Option<Uuid> as Nullable<SqlUuid> }
    "SELECT e.id FROM errands e WHERE e.county_id = {county} AND e.id IN ( \
         SELECT h.id FROM errands h WHERE h.county_id = {county} AND h.holder_id = {staff} AND h.state NOT IN ('draft', 'archived') \
         UNION ALL SELECT o.id FROM errands o WHERE o.county_id = {county} AND o.offered_to = {staff}) \
       AND ({unit}::uuid IS NULL OR unit_within({county}, e.unit_id, {unit})) ORDER BY e.id FOR NO KEY UPDATE"
}

/// Somebody else answers for what one held; an offer to somebody who leaves is over.
fn hand_over(conn: &mut PgConnection, over: &HandOver) -> Result<usize> {
    let HandOver { county, from, to, unit, now } = *over;
    let held: Vec<Held> = HeldBy { county, staff: from, unit }.load(conn)?;
    for Held { id } in &held {
        let Some(before) = store::find(conn, county, Seen::WHOLE, *id, local_date(now))? else { continue };
        let mut after = before.clone();
        let held = before.holder_id == Some(from);
        after.holder_id = if held { Some(to) } else { before.holder_id };
        after.offered_to = before.offered_to.filter(|asked| *asked != from && after.holder_id != Some(*asked));
        let said = Said { staff: after.holder_id, ..Said::default() };
        acting::note(conn, (&before, &after), (Step::HandOver, &said), now)?;
    }
    let trips = HandOverTrips { county, from, to, unit, now }.execute(conn)?;
    Ok(held.len() + trips + custody::hand_over(conn, over)?)
}

/// The deadlines are counted again: by now everybody goes by the new calendar.
fn days_changed(conn: &mut PgConnection, changed: &DaysChanged) -> Result<()> {
    waits::recount(conn, changed.county)?;
    jobs::want_recount(conn, changed.county, changed.now)
}

/// So are the days of the lamps, once every process goes by the new setting.
fn setting_changed(conn: &mut PgConnection, changed: &SettingChanged) -> Result<()> {
    match changed.key {
        "errands.yellow_percent" | "errands.red_percent" => {
            jobs::want_recount(conn, changed.county, changed.from + READ_EVERYWHERE)
        }
        "errands.department_days" => waits::recount(conn, changed.county),
        _ => Ok(()),
    }
}

statement! {
    struct MergeErrands { county: i32 as Integer, from: Uuid as SqlUuid, into: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE errands SET resident_id = CASE WHEN resident_id = {from} THEN {into} ELSE resident_id END, \
       filed_by_resident = CASE WHEN filed_by_resident = {from} THEN {into} ELSE filed_by_resident END, version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND (resident_id = {from} OR filed_by_resident = {from})"
}

statement! {
    struct MergeMandates { county: i32 as Integer, from: Uuid as SqlUuid, into: Uuid as SqlUuid }
    "UPDATE mandates SET resident_id = CASE WHEN resident_id = {from} THEN {into} ELSE resident_id END, \
       given_by_resident = CASE WHEN given_by_resident = {from} THEN {into} ELSE given_by_resident END \
     WHERE county_id = {county} AND (resident_id = {from} OR given_by_resident = {from})"
}

fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let Merge { county, from, into, now } = *merge;
    let errands = MergeErrands { county, from, into, now }.execute(conn)?;
    Ok(errands + MergeMandates { county, from, into }.execute(conn)?)
}

#[derive(QueryableByName)]
struct Mine {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = Text)]
    matter: String,
    #[diesel(sql_type = Text)]
    state: ErrandState,
    #[diesel(sql_type = Nullable<diesel::sql_types::Binary>)]
    form: Option<Vec<u8>>,
    #[diesel(sql_type = Jsonb)]
    answers: Value,
    #[diesel(sql_type = Jsonb)]
    materials: Value,
    #[diesel(sql_type = Nullable<diesel::sql_types::Binary>)]
    parcel: Option<Vec<u8>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

statement! {
    struct AllOf { county: i32 as Integer, resident: Uuid as SqlUuid }
    "SELECT e.id, e.number, (SELECT name FROM matters m WHERE m.county_id = e.county_id AND m.id = e.matter_id) AS matter, e.state, e.form, e.answers, e.materials, e.parcel, e.created_at \
     FROM errands e WHERE e.county_id = {county} AND e.resident_id = {resident} ORDER BY e.created_at, e.id"
}

statement! {
    struct MandatesOf { county: i32 as Integer, resident: Uuid as SqlUuid }
    "SELECT g.*, (SELECT name FROM matters m WHERE m.county_id = g.county_id AND m.id = g.matter_id) AS matter \
     FROM mandates g WHERE g.county_id = {county} AND g.resident_id = {resident} ORDER BY g.created_at, g.id"
}

/// A mandate, and the name of the matter that it is for.
#[derive(QueryableByName)]
struct Given {
    #[diesel(embed)]
    mandate: Mandate,
    #[diesel(sql_type = Nullable<Text>)]
    matter: Option<String>,
}

fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let (county, resident) = (person.county, person.id);
    let rows: Vec<Mine> = AllOf { county, resident }.load(conn)?;
    let mut errands = Vec::new();
    for row in rows {
        let mut said = Vec::new();
        for told in store::ledger(conn, county, row.id)? {
            let open = |(id, words): (Uuid, Vec<u8>)| acting::words(app, county, id, &words);
            let words = told.words_id.zip(told.words).map(open).transpose()?;
            said.push(json!({"at": told.entry.at, "step": told.entry.step, "facts": told.entry.facts, "words": words}));
        }
        let open = |sealed: &Vec<u8>| app.keys.open_text(county, &form_place(row.id), sealed);
        let form = row.form.as_ref().map(open).transpose()?;
        let form = form.and_then(|form| serde_json::from_str::<Value>(&form).ok());
        let parcel = content::parcel(app, (county, row.id), row.parcel.as_deref())?;
        errands.push(
            json!({"number": row.number, "matter": row.matter, "state": row.state, "form": form, "answers": row.answers,
            "materials": row.materials, "parcel": parcel, "created_at": row.created_at, "steps": said}),
        );
    }
    let mut mandates = Vec::new();
    for Given { mandate: row, matter } in (MandatesOf { county, resident }).load::<Given>(conn)? {
        let open = |sealed: &Vec<u8>| app.keys.open_text(county, &words_place(row.id), sealed);
        let words = row.words.as_ref().map(open).transpose()?;
        mandates.push(
            json!({"matter": matter, "given_how": row.given_how, "words": words, "attachment_ids": row.attachment_ids,
            "valid_until": row.valid_until, "revoked_at": row.revoked_at}),
        );
    }
    let originals = custody::export(conn, app, person)?;
    Ok(json!({"errands": errands, "mandates": mandates, "originals": originals}))
}

statement! {
    struct EraseForms { county: i32 as Integer, resident: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE errands SET form = NULL, answers = jsonb_build_object(), materials = jsonb_build_array(), content_salt = NULL, parcel = NULL, version = version + 1, updated_at = {now} WHERE county_id = {county} AND resident_id = {resident}"
}

statement! {
    struct EraseWords { county: i32 as Integer, resident: Uuid as SqlUuid }
    "DELETE FROM errand_words w USING errands e WHERE e.county_id = {county} AND e.resident_id = {resident} AND w.county_id = e.county_id AND w.errand_id = e.id"
}

statement! {
    struct EraseMandates { county: i32 as Integer, resident: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE mandates SET words = NULL, attachment_ids = jsonb_build_array(), revoked_at = coalesce(revoked_at, {now}), version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND resident_id = {resident}"
}

statement! {
    struct Undecided { county: i32 as Integer, resident: Uuid as SqlUuid, states: Vec<&'static str> as Array<Text> }
    "SELECT e.id FROM errands e WHERE e.county_id = {county} AND e.resident_id = {resident} AND e.state = ANY ({states}) ORDER BY e.id FOR NO KEY UPDATE"
}

/// Whoever closes their record wants nothing more: what is not decided yet is withdrawn, and nobody waits for what is missing.
fn close(conn: &mut PgConnection, person: Person) -> Result<()> {
    let Person { county, id: resident, now } = person;
    let states = Step::Close.from().iter().map(|state| state.as_str()).collect();
    for Held { id } in (Undecided { county, resident, states }).load(conn)? {
        let Some(before) = store::find(conn, county, Seen::WHOLE, id, local_date(now))? else { continue };
        let line = Line {
            state: ErrandState::Withdrawn,
            offered_to: None,
            due_on: None,
            provisional: false,
            yellow_from: None,
            red_from: None,
            ..before.line.clone()
        };
        let after = Errand { line, back_to: None, rung_on: None, ..before.clone() };
        acting::note(conn, (&before, &after), (Step::Close, &Said::default()), now)?;
    }
    Ok(())
}

/// The ledger keeps what happened, without a word of what was said.
fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let Person { county, id: resident, now } = person;
    close(conn, person)?;
    let forms = EraseForms { county, resident, now }.execute(conn)?;
    let words = EraseWords { county, resident }.execute(conn)?;
    let originals = custody::erase(conn, person)?;
    Ok(forms + words + originals + EraseMandates { county, resident, now }.execute(conn)?)
}
