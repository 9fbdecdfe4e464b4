//! Trips (收集归类、代为办理) in the database: errands for one department, taken there in one journey.
//!
//! ```text
//! planned ──start──▶ under_way ──finish──▶ done
//!    └──cancel──▶ cancelled
//! ```

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Binary, Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    model::ErrandState,
    originals::OriginalState,
    store::{Seen, with_department},
};
use crate::{db::found, error::Result, error::Text as Words, http::page::After, statement, text_enum};

text_enum! {
    /// Where a trip stands.
    pub enum TripState {
        Planned = "planned",
        UnderWay = "under_way",
        Done = "done",
        Cancelled = "cancelled",
    }
}

impl TripState {
    pub fn words(self) -> Words {
        match self {
            Self::Planned => Words::fixed("已计划", "planned"),
            Self::UnderWay => Words::fixed("进行中", "under way"),
            Self::Done => Words::fixed("已完成", "done"),
            Self::Cancelled => Words::fixed("已取消", "cancelled"),
        }
    }
}

text_enum! {
    /// What came of an errand on a trip.
    pub enum TripResult {
        /// Nothing yet; once the trip is done: left there, the department answers by itself.
        None = "none",
        /// Granted.
        Accepted = "accepted",
        /// Refused after examination (不予通过).
        Refused = "refused",
        /// The department needs more time.
        Later = "later",
        /// Not handed in: back in the agent's hands, or no longer to be taken along.
        NotHandedIn = "not_handed_in",
    }
}

/// A trip as it is read.
#[derive(Clone, Debug, QueryableByName)]
pub struct Trip {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = SqlUuid)]
    pub agent_id: Uuid,
    #[diesel(sql_type = Text)]
    pub agent_name: String,
    #[diesel(sql_type = SqlUuid)]
    pub department_id: Uuid,
    #[diesel(sql_type = Text)]
    pub department_name: String,
    #[diesel(sql_type = Date)]
    pub on_date: NaiveDate,
    #[diesel(sql_type = Text)]
    pub state: TripState,
    #[diesel(sql_type = BigInt)]
    pub errands: i64,
    /// The caller makes it, or covers whoever does.
    #[diesel(sql_type = Bool)]
    pub held: bool,
    /// The caller sees it as staff of the department only: of its errands those that have come to them.
    #[diesel(sql_type = Bool)]
    pub theirs: bool,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

/// A trip, for whoever may see it: who makes it, staff of the unit or above it, and the department once it is on the way.
macro_rules! trip {
    () => {
        concat!("SELECT t.county_id, t.id, t.number, t.agent_id, s.display_name AS agent_name, t.department_id, d.name AS department_name, t.on_date, t.state, \
           (SELECT count(*) FROM trip_errands x JOIN errands e ON e.county_id = x.county_id AND e.id = x.errand_id \
              WHERE x.county_id = t.county_id AND x.trip_id = t.id AND (NOT v.theirs OR ", with_department!(), ")) AS errands, \
           v.held, v.theirs, t.version, t.created_at, t.updated_at \
         FROM trips t JOIN staff s ON s.county_id = t.county_id AND s.id = t.agent_id \
         JOIN departments d ON d.county_id = t.county_id AND d.id = t.department_id \
         CROSS JOIN LATERAL (SELECT h.held, NOT ({whole} OR h.held OR ({within}::uuid IS NOT NULL AND unit_within({county}, t.unit_id, {within}))) AS theirs \
           FROM (SELECT coalesce(t.agent_id = {staff} OR staff_covers({county}, {staff}, t.agent_id, {today}), false) AS held OFFSET 0) h OFFSET 0) v WHERE ")
    };
}

macro_rules! visible {
    () => {
        "t.county_id = {county} AND ({whole} OR (t.agent_id = {staff} AND t.state IN ('planned', 'under_way')) OR ({within}::uuid IS NOT NULL AND unit_within({county}, t.unit_id, {within})) \
           OR (t.state IN ('under_way', 'done') AND EXISTS (SELECT FROM staff_posts a WHERE a.county_id = {county} AND a.staff_id = {staff} \
                 AND a.department_id = t.department_id AND a.ended_at IS NULL))) "
    };
}

macro_rules! chosen {
    () => {
        "AND ({state}::text IS NULL OR t.state = {state}) AND ({department}::uuid IS NULL OR t.department_id = {department}) "
    };
}

statement! {
    struct Find {
        county: i32 as Integer, id: Uuid as SqlUuid, staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>,
        whole: bool as Bool, today: NaiveDate as Date,
    }
    concat!(trip!(), visible!(), "AND t.id = {id}")
}

/// The trip with an id, if the caller may see it.
pub fn find(conn: &mut PgConnection, county: i32, seen: Seen, id: Uuid, today: NaiveDate) -> Result<Option<Trip>> {
    let Seen { staff, within, whole, .. } = seen;
    found(Find { county, id, staff, within, whole, today }.get_result(conn))
}

statement! {
    struct Trips {
        county: i32 as Integer, staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, whole: bool as Bool, today: NaiveDate as Date,
        state: Option<TripState> as Nullable<Text>, department: Option<Uuid> as Nullable<SqlUuid>,
        after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    concat!(trip!(), visible!(), chosen!(), "AND (t.created_at, t.id) > ({after_at}, {after_id}) ORDER BY t.created_at, t.id LIMIT {limit}")
}

statement! {
    struct Count {
        county: i32 as Integer, staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, whole: bool as Bool,
        state: Option<TripState> as Nullable<Text>, department: Option<Uuid> as Nullable<SqlUuid>,
    }
    concat!("SELECT count(*) AS n FROM trips t WHERE ", visible!(), chosen!())
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Which trips.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub county: i32,
    pub seen: Seen,
    pub state: Option<TripState>,
    pub department: Option<Uuid>,
    pub today: NaiveDate,
}

/// Oldest first, one more than `limit`.
pub fn list(conn: &mut PgConnection, asked: Asked, after: After, limit: i64) -> QueryResult<Vec<Trip>> {
    let Asked { county, seen: Seen { staff, within, whole, .. }, state, department, today } = asked;
    let (after_at, after_id, limit) = (after.at.max(DateTime::UNIX_EPOCH), after.id, limit + 1);
    Trips { county, staff, within, whole, today, state, department, after_at, after_id, limit }.load(conn)
}

pub fn count(conn: &mut PgConnection, asked: Asked) -> QueryResult<i64> {
    let Asked { county, seen: Seen { staff, within, whole, .. }, state, department, .. } = asked;
    Ok(Count { county, staff, within, whole, state, department }.get_result::<Counted>(conn)?.n)
}

/// An errand that is ready to be taken along, or is on a trip; the name is sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Line {
    #[diesel(sql_type = SqlUuid)]
    pub errand_id: Uuid,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Text)]
    pub matter: String,
    #[diesel(sql_type = SqlUuid)]
    pub resident_id: Uuid,
    #[diesel(sql_type = Nullable<Binary>)]
    pub resident_name: Option<Vec<u8>>,
    #[diesel(sql_type = Text)]
    pub state: ErrandState,
    #[diesel(sql_type = Nullable<Date>)]
    pub due_on: Option<NaiveDate>,
    #[diesel(sql_type = SqlUuid)]
    pub department_id: Uuid,
    #[diesel(sql_type = Text)]
    pub department_name: String,
    #[diesel(sql_type = Bool)]
    pub open: bool,
    #[diesel(sql_type = Text)]
    pub result: TripResult,
}

macro_rules! errand_line {
    ($open:literal, $result:literal, $from:expr) => {
        concat!(
            "SELECT e.id AS errand_id, e.number, (SELECT name FROM matters m WHERE m.county_id = e.county_id AND m.id = e.matter_id) AS matter, e.resident_id, \
               (SELECT name FROM residents p WHERE p.county_id = e.county_id AND p.id = e.resident_id) AS resident_name, e.state, e.due_on, e.department_id, \
               (SELECT name FROM departments d WHERE d.county_id = e.county_id AND d.id = e.department_id) AS department_name, ",
            $open, " AS open, ", $result, " AS result ", $from
        )
    };
}

statement! {
    struct Ready {
        county: i32 as Integer, staff: Vec<Uuid> as Array<SqlUuid>, department: Option<Uuid> as Nullable<SqlUuid>, ids: Option<Vec<Uuid>> as Nullable<Array<SqlUuid>>,
        today: NaiveDate as Date,
    }
    errand_line!("false", "'none'",
        "FROM errands e WHERE e.county_id = {county} AND e.holder_id = ANY ({staff}) AND e.state IN ('accepted', 'handling', 'forwarded') AND e.decided_by = 'department' \
           AND ({department}::uuid IS NULL OR e.department_id = {department}) AND ({ids}::uuid[] IS NULL OR e.id = ANY ({ids})) \
           AND (e.state <> 'forwarded' OR (SELECT l.step FROM errand_ledger l WHERE l.county_id = e.county_id AND l.errand_id = e.id AND l.step IN ('forward', 'later') \
                  ORDER BY l.seq DESC LIMIT 1) = 'later' \
             OR EXISTS (SELECT FROM trip_errands p WHERE p.county_id = e.county_id AND p.errand_id = e.id AND NOT p.open AND p.result = 'none')) \
           AND ({ids}::uuid[] IS NOT NULL OR NOT EXISTS (SELECT FROM trip_errands x JOIN trips t ON t.county_id = x.county_id AND t.id = x.trip_id \
                 WHERE x.county_id = e.county_id AND x.errand_id = e.id AND x.open AND (t.state <> 'planned' OR t.on_date >= {today}))) \
         ORDER BY department_name, e.department_id, e.due_on, e.id LIMIT 500")
}

/// What members of staff answer for and could be taken to a department: by department, the most urgent first.
pub fn ready(
    conn: &mut PgConnection,
    county: i32,
    staff: Vec<Uuid>,
    department: Option<Uuid>,
    today: NaiveDate,
) -> QueryResult<Vec<Line>> {
    Ready { county, staff, department, ids: None, today }.load(conn)
}

/// Those of them with these ids, also if they are on a trip: the index says so.
pub fn ready_of(
    conn: &mut PgConnection,
    county: i32,
    staff: Vec<Uuid>,
    department: Uuid,
    ids: &[Uuid],
    today: NaiveDate,
) -> QueryResult<Vec<Line>> {
    Ready { county, staff, department: Some(department), ids: Some(ids.to_vec()), today }.load(conn)
}

statement! {
    struct Lines { county: i32 as Integer, trip: Uuid as SqlUuid, theirs: bool as Bool }
    errand_line!("x.open", "x.result",
        concat!("FROM trip_errands x JOIN errands e ON e.county_id = x.county_id AND e.id = x.errand_id WHERE x.county_id = {county} AND x.trip_id = {trip} AND (NOT {theirs} OR ", with_department!(), ") ORDER BY e.id"))
}

/// The list of a trip.
pub fn lines(conn: &mut PgConnection, trip: &Trip) -> QueryResult<Vec<Line>> {
    Lines { county: trip.county_id, trip: trip.id, theirs: trip.theirs }.load(conn)
}

/// An original to take along, or that is there; the name is sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Along {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub errand_id: Uuid,
    #[diesel(sql_type = Nullable<Binary>)]
    pub name: Option<Vec<u8>>,
    #[diesel(sql_type = Text)]
    pub state: OriginalState,
}

statement! {
    struct AlongWith { county: i32 as Integer, trip: Uuid as SqlUuid }
    "SELECT o.id, o.errand_id, o.name, o.state FROM trips t JOIN trip_errands x ON x.county_id = t.county_id AND x.trip_id = t.id \
     JOIN errand_originals o ON o.county_id = x.county_id AND o.errand_id = x.errand_id AND o.with_id = t.agent_id AND o.state IN ('held', 'with_department') \
     WHERE t.county_id = {county} AND t.id = {trip} ORDER BY o.created_at, o.id"
}

/// The originals of a trip's errands that its agent has in hand or has brought to the department.
pub fn along(conn: &mut PgConnection, county: i32, trip: Uuid) -> QueryResult<Vec<Along>> {
    AlongWith { county, trip }.load(conn)
}

statement! {
    /// A trip whose day is over and that was never made holds nothing any more.
    pub struct Forget { county: i32 as Integer, errands: Vec<Uuid> as Array<SqlUuid>, today: NaiveDate as Date }
    "UPDATE trip_errands x SET open = false, result = 'not_handed_in' FROM trips t WHERE x.county_id = {county} AND x.errand_id = ANY ({errands}) AND x.open \
       AND t.county_id = x.county_id AND t.id = x.trip_id AND t.state = 'planned' AND t.on_date < {today}"
}

statement! {
    /// Plans a trip, with its errands.
    pub struct Plan {
        county: i32 as Integer, id: Uuid as SqlUuid, number: String as Text, agent: Uuid as SqlUuid, unit: Uuid as SqlUuid, department: Uuid as SqlUuid,
        on: NaiveDate as Date, errands: Vec<Uuid> as Array<SqlUuid>, now: DateTime<Utc> as Timestamptz,
    }
    "WITH planned AS (INSERT INTO trips (county_id, id, number, agent_id, unit_id, department_id, on_date, state, created_at, updated_at) \
       VALUES ({county}, {id}, {number}, {agent}, {unit}, {department}, {on}, 'planned', {now}, {now}) RETURNING county_id, id) \
     INSERT INTO trip_errands (county_id, trip_id, errand_id) SELECT p.county_id, p.id, unnest({errands}) FROM planned p"
}

statement! {
    struct Taken { county: i32 as Integer, number: String as Text }
    "SELECT count(*) AS n FROM trips WHERE county_id = {county} AND number = {number}"
}

/// Whether a trip has this number.
pub fn taken(conn: &mut PgConnection, county: i32, number: String) -> QueryResult<bool> {
    Ok(Taken { county, number }.get_result::<Counted>(conn)?.n > 0)
}

statement! {
    struct Move {
        county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, from: TripState as Text, to: TripState as Text, now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE trips SET state = {to}, version = version + 1, updated_at = {now} WHERE county_id = {county} AND id = {id} AND version = {version} AND state = {from}"
}

/// Moves a trip; false when somebody was faster. Its row is locked from then on.
pub fn move_on(conn: &mut PgConnection, trip: &Trip, to: TripState, now: DateTime<Utc>) -> QueryResult<bool> {
    let Trip { county_id: county, id, version, state: from, .. } = *trip;
    Ok(Move { county, id, version, from, to, now }.execute(conn)? == 1)
}

statement! {
    struct Answered {
        county: i32 as Integer, trip: Uuid as SqlUuid, errand: Uuid as SqlUuid, result: TripResult as Text, seq: Option<i32> as Nullable<Integer>,
    }
    "UPDATE trip_errands SET open = false, result = {result}, seq = {seq} WHERE county_id = {county} AND trip_id = {trip} AND errand_id = {errand} AND open"
}

/// What came of an errand, and the entry of its ledger that tells it.
pub fn answer(
    conn: &mut PgConnection,
    trip: &Trip,
    errand: Uuid,
    result: TripResult,
    seq: Option<i32>,
) -> QueryResult<usize> {
    Answered { county: trip.county_id, trip: trip.id, errand, result, seq }.execute(conn)
}

statement! {
    struct Close { county: i32 as Integer, trip: Uuid as SqlUuid, made: bool as Bool }
    "UPDATE trip_errands x SET open = false, result = CASE WHEN {made} AND e.state IN ('accepted', 'handling', 'withdrawn') THEN 'not_handed_in' ELSE x.result END \
     FROM errands e WHERE x.county_id = {county} AND x.trip_id = {trip} AND x.open AND e.county_id = x.county_id AND e.id = x.errand_id"
}

/// Lets go of whatever has no result; of a trip that was made, what is no longer with the department was not handed in.
pub fn close(conn: &mut PgConnection, trip: &Trip, made: bool) -> QueryResult<usize> {
    Close { county: trip.county_id, trip: trip.id, made }.execute(conn)
}

statement! {
    /// Somebody else makes the trips that one was to make.
    pub struct HandOverTrips {
        county: i32 as Integer, from: Uuid as SqlUuid, to: Uuid as SqlUuid, unit: Option<Uuid> as Nullable<SqlUuid>, now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE trips SET agent_id = {to}, version = version + 1, updated_at = {now} WHERE county_id = {county} AND agent_id = {from} AND state IN ('planned', 'under_way') \
       AND ({unit}::uuid IS NULL OR unit_within({county}, unit_id, {unit}))"
}

statement! {
    struct Due { county: i32 as Integer, staff: Vec<Uuid> as Array<SqlUuid>, until: NaiveDate as Date }
    "SELECT t.county_id, t.id, t.number, t.agent_id, '' AS agent_name, t.department_id, d.name AS department_name, t.on_date, t.state, 0::bigint AS errands, true AS held, false AS theirs, \
       t.version, t.created_at, t.updated_at FROM trips t JOIN departments d ON d.county_id = t.county_id AND d.id = t.department_id \
     WHERE t.county_id = {county} AND t.agent_id = ANY ({staff}) AND t.state IN ('planned', 'under_way') AND t.on_date <= {until} ORDER BY t.on_date, t.id LIMIT 200"
}

/// Trips that one is to make by a day.
pub fn due(conn: &mut PgConnection, county: i32, staff: &[Uuid], until: NaiveDate) -> QueryResult<Vec<Trip>> {
    Due { county, staff: staff.to_vec(), until }.load(conn)
}
