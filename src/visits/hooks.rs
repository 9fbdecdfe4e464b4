//! What visits have to say where rooms meet: what is open for a resident, merging, export, erasure, and what a withdrawn consent takes away.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Binary, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    deciding::read_said,
    findings::FindingKind,
    model::{VisitOutcome, place},
    photos::VISIT,
    store,
};
use crate::{
    app::App,
    attachments,
    clock::CST,
    error::Result,
    households,
    rooms::{Entry, Merge, Person, Room, Sealed},
    statement,
};

pub const ROOM: Room = Room {
    open_for: Some(open_for),
    merge: Some(merge),
    export: Some(export),
    erase: Some(erase),
    sealed: &[
        Sealed { table: "visits", column: "said", index: None },
        Sealed { table: "visit_amendments", column: "note", index: None },
        Sealed { table: "visit_conflicts", column: "said", index: None },
        Sealed { table: "visit_findings", column: "words", index: None },
    ],
    attached: &[(VISIT, |conn, caller, id, _| store::sees(conn, caller, id))],
    ..Room::new("visits")
};

statement! {
    /// Concerns of somebody of which nothing has been made.
    struct Concerns { county: i32 as Integer, resident: Uuid as SqlUuid }
    "SELECT f.id, f.kind, f.at, f.by_id FROM visit_findings f WHERE f.county_id = {county} AND f.resident_id = {resident} AND f.kind = 'concern' AND f.words IS NOT NULL \
       AND NOT EXISTS (SELECT FROM visit_cases c WHERE c.county_id = f.county_id AND c.finding_id = f.id) ORDER BY f.at, f.id LIMIT 200"
}

#[derive(QueryableByName)]
struct Concern {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    kind: FindingKind,
    #[diesel(sql_type = SqlUuid)]
    by_id: Uuid,
}

fn open_for(conn: &mut PgConnection, person: Person) -> Result<Vec<Entry>> {
    let entry = |row: Concern| Entry {
        entity: "finding",
        id: row.id,
        at: None,
        until: None,
        state: "open".to_owned(),
        title: row.kind.words(),
        resident_id: Some(person.id),
        holder_id: Some(row.by_id),
    };
    let rows: Vec<Concern> = Concerns { county: person.county, resident: person.id }.load(conn)?;
    Ok(rows.into_iter().map(entry).collect())
}

statement! {
    struct MergeFindings { county: i32 as Integer, from: Uuid as SqlUuid, into: Uuid as SqlUuid }
    "UPDATE visit_findings SET resident_id = {into}, version = version + 1 WHERE county_id = {county} AND resident_id = {from}"
}

/// Visits belong to households; of residents there are findings.
fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let Merge { county, from, into, .. } = *merge;
    Ok(MergeFindings { county, from, into }.execute(conn)?)
}

/// The households that somebody belonged to `m`, and those `h` that turned out to be these.
macro_rules! homes {
    () => {
        "household_members m CROSS JOIN LATERAL household_ids(m.county_id, m.household_id) h (id) "
    };
}

/// Visits to them of the days on which they belonged to it, the one on which they left included or not. Whoever was written down first was there before: on
/// the spot a household has no members yet.
macro_rules! theirs {
    ($until:literal) => {
        concat!(
            "(SELECT x.id FROM ",
            homes!(),
            "JOIN visits x ON x.county_id = m.county_id AND x.household_id = h.id \
             AND (x.on_date >= m.since_on OR m.first) AND (m.until_on IS NULL OR x.on_date ",
            $until,
            " m.until_on) \
           WHERE m.county_id = {county} AND m.resident_id = {resident})"
        )
    };
}

statement! {
    struct VisitsOf { county: i32 as Integer, resident: Uuid as SqlUuid }
    concat!("SELECT v.id, v.on_date, v.occurred_at, coalesce(v.amended_outcome, v.outcome) AS outcome, v.lng, v.lat, v.said FROM visits v \
       WHERE v.county_id = {county} AND v.id IN ", theirs!("<"), " ORDER BY v.occurred_at, v.id LIMIT 10000")
}

#[derive(QueryableByName)]
struct OneVisit {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = diesel::sql_types::Date)]
    on_date: NaiveDate,
    #[diesel(sql_type = Timestamptz)]
    occurred_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    outcome: VisitOutcome,
    #[diesel(sql_type = Nullable<Double>)]
    lng: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    lat: Option<f64>,
    #[diesel(sql_type = Nullable<Binary>)]
    said: Option<Vec<u8>>,
}

statement! {
    struct FindingsOf { county: i32 as Integer, resident: Uuid as SqlUuid }
    "SELECT f.id, f.kind, f.at, f.words FROM visit_findings f WHERE f.county_id = {county} AND f.resident_id = {resident} ORDER BY f.at, f.id LIMIT 10000"
}

#[derive(QueryableByName)]
struct OneFinding {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    kind: FindingKind,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Binary>)]
    words: Option<Vec<u8>>,
}

fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let (county, resident) = (person.county, person.id);
    let (mut visits, mut findings) = (Vec::new(), Vec::new());
    for row in (VisitsOf { county, resident }).load::<OneVisit>(conn)? {
        let open = |sealed: &Vec<u8>| {
            let bytes = app.keys.open(county, &place("visits", "said", row.id), sealed)?;
            read_said(&bytes)
        };
        let note = row.said.as_ref().map(open).transpose()?.and_then(|said| said.note);
        visits.push(json!({"id": row.id, "on_date": row.on_date, "occurred_at": row.occurred_at.with_timezone(&CST), "outcome": row.outcome,
            "lng": row.lng, "lat": row.lat, "note": note}));
    }
    for row in (FindingsOf { county, resident }).load::<OneFinding>(conn)? {
        let open = |sealed: &Vec<u8>| app.keys.open_text(county, &place("visit_findings", "words", row.id), sealed);
        let words = row.words.as_ref().map(open).transpose()?;
        findings.push(json!({"id": row.id, "kind": row.kind, "at": row.at.with_timezone(&CST), "words": words}));
    }
    Ok(json!({"visits": visits, "findings": findings}))
}

/// Nobody else is left in a household of [`homes`] whose record is open.
macro_rules! deserted {
    () => {
        "m.county_id = {county} AND m.resident_id = {resident} AND NOT EXISTS (SELECT FROM household_members o JOIN residents r ON r.county_id = o.county_id AND r.id = o.resident_id \
           WHERE o.county_id = m.county_id AND o.household_id = m.household_id AND o.until_on IS NULL AND o.resident_id <> m.resident_id AND r.closed_at IS NULL)"
    };
}

/// Visits `v` to such a household until they left it, also from before they came, unless somebody else whose record is open belonged to it then: nobody is
/// left whom they speak of.
macro_rules! alone {
    () => {
        concat!("v.county_id = {county} AND v.id IN (SELECT x.id FROM ", homes!(), "JOIN visits x ON x.county_id = m.county_id AND x.household_id = h.id \
             AND (m.until_on IS NULL OR x.on_date <= m.until_on) WHERE ", deserted!(), " \
             AND NOT EXISTS (SELECT FROM household_members o JOIN residents r ON r.county_id = o.county_id AND r.id = o.resident_id AND r.closed_at IS NULL \
               WHERE o.county_id = m.county_id AND o.household_id = m.household_id AND o.resident_id <> m.resident_id AND (x.on_date >= o.since_on OR o.first) \
                 AND (o.until_on IS NULL OR x.on_date < o.until_on)))")
    };
}

statement! {
    struct EraseFindings { county: i32 as Integer, resident: Uuid as SqlUuid }
    "UPDATE visit_findings SET words = NULL, version = version + 1 WHERE county_id = {county} AND resident_id = {resident} AND words IS NOT NULL"
}

statement! {
    struct EraseAmendments { county: i32 as Integer, resident: Uuid as SqlUuid }
    concat!("UPDATE visit_amendments a SET note = NULL FROM visits v WHERE a.county_id = {county} AND a.visit_id = v.id AND a.note IS NOT NULL AND ", alone!())
}

statement! {
    /// Also what was said of them under the id of a visit to somebody else.
    struct EraseConflicts { county: i32 as Integer, resident: Uuid as SqlUuid }
    concat!("UPDATE visit_conflicts c SET said = NULL, coordinate_system = NULL, raw_lng = NULL, raw_lat = NULL, accuracy_m = NULL, mocked = false WHERE c.county_id = {county} AND c.said IS NOT NULL \
       AND (c.household_id IN (SELECT h.id FROM ", homes!(), "WHERE ", deserted!(), ") OR c.visit_id IN (SELECT v.id FROM visits v WHERE ", alone!(), "))")
}

statement! {
    struct ErasePhotos { county: i32 as Integer, resident: Uuid as SqlUuid }
    concat!("SELECT DISTINCT v.id FROM visits v JOIN visit_photos f ON f.county_id = v.county_id AND f.visit_id = v.id WHERE ", alone!())
}

statement! {
    struct EraseVisits { county: i32 as Integer, resident: Uuid as SqlUuid }
    concat!("UPDATE visits v SET said = NULL, coordinate_system = NULL, raw_lng = NULL, raw_lat = NULL, lng = NULL, lat = NULL, accuracy_m = NULL, mocked = false, distance_m = NULL, version = v.version + 1 \
       WHERE (v.said IS NOT NULL OR v.lng IS NOT NULL) AND ", alone!())
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// What was found of somebody goes. What was said of visits is said of a household: it goes with its last member. That a visit was made stays.
fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let Person { county, id: resident, now } = person;
    // Whoever checks in meanwhile is waited for, or finds that nobody is there any more.
    households::lock_homes(conn, county, resident)?;
    let findings = EraseFindings { county, resident }.execute(conn)?;
    for Id { id } in (ErasePhotos { county, resident }).load::<Id>(conn)? {
        attachments::let_go(conn, county, (VISIT, id), now)?;
    }
    EraseAmendments { county, resident }.execute(conn)?;
    EraseConflicts { county, resident }.execute(conn)?;
    Ok(findings + EraseVisits { county, resident }.execute(conn)?)
}

statement! {
    struct ForgetOthers { county: i32 as Integer, resident: Uuid as SqlUuid }
    concat!("UPDATE visit_conflicts c SET coordinate_system = NULL, raw_lng = NULL, raw_lat = NULL, accuracy_m = NULL, mocked = false, \
         left_out = c.left_out || ARRAY['position_withdrawn'] \
       WHERE c.county_id = {county} AND c.raw_lng IS NOT NULL AND (c.visit_id IN ", theirs!("<="), " \
         OR c.household_id IN (SELECT h.id FROM ", homes!(), "WHERE m.county_id = {county} AND m.resident_id = {resident} AND m.until_on IS NULL))")
}

statement! {
    struct ForgetPoints { county: i32 as Integer, resident: Uuid as SqlUuid }
    concat!("UPDATE visits v SET coordinate_system = NULL, raw_lng = NULL, raw_lat = NULL, lng = NULL, lat = NULL, accuracy_m = NULL, mocked = false, distance_m = NULL, \
         flags = array_remove(array_remove(v.flags, 'far'), 'vague'), left_out = v.left_out || ARRAY['position_withdrawn'], version = v.version + 1 \
       WHERE v.county_id = {county} AND v.lng IS NOT NULL AND v.id IN ", theirs!("<="))
}

/// Where a household was visited goes when one of it takes the consent back, of all the time that they belonged to it.
pub fn forget_positions(conn: &mut PgConnection, county: i32, resident: Uuid, _: DateTime<Utc>) -> Result<()> {
    ForgetOthers { county, resident }.execute(conn)?;
    ForgetPoints { county, resident }.execute(conn)?;
    Ok(())
}
