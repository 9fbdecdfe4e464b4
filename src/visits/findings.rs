//! Findings (民情登记) in the database: what a visit found, and what was made of it.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    db::found,
    error::{Result, Text as Words},
    http::{caller::Seen, page::After},
    statement, text_enum,
};

text_enum! {
    /// What was found.
    pub enum FindingKind {
        /// 记录
        Note = "note",
        /// 诉求: something is to be made of it.
        Concern = "concern",
    }
}

impl FindingKind {
    pub fn words(self) -> Words {
        match self {
            Self::Note => Words::fixed("民情记录", "note"),
            Self::Concern => Words::fixed("群众诉求", "concern"),
        }
    }
}

text_enum! {
    /// What was made of a finding.
    pub enum CaseKind {
        Errand = "errand",
        Order = "order",
        Todo = "todo",
    }
}

impl CaseKind {
    /// Where it is found.
    pub fn path(self, id: Uuid) -> String {
        match self {
            Self::Errand => format!("/v1/errands/{id}"),
            Self::Order => format!("/v1/orders/{id}"),
            Self::Todo => format!("/v1/todos/{id}"),
        }
    }
}

/// A finding as stored, with what was made of it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Finding {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub visit_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub household_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub unit_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub resident_id: Option<Uuid>,
    #[diesel(sql_type = Text)]
    pub kind: FindingKind,
    #[diesel(sql_type = Nullable<Binary>)]
    pub words: Option<Vec<u8>>,
    #[diesel(sql_type = SqlUuid)]
    pub by_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Array<Text>)]
    pub case_kinds: Vec<CaseKind>,
    #[diesel(sql_type = Array<SqlUuid>)]
    pub case_ids: Vec<Uuid>,
    #[diesel(sql_type = Array<Timestamptz>)]
    pub case_times: Vec<DateTime<Utc>>,
}

/// The columns of a finding `f`.
macro_rules! columns {
    () => {
        "SELECT f.*, v.household_id, c.kinds AS case_kinds, c.ids AS case_ids, c.times AS case_times FROM visit_findings f \
         JOIN visits v ON v.county_id = f.county_id AND v.id = f.visit_id \
         CROSS JOIN LATERAL (SELECT coalesce(array_agg(k.kind ORDER BY k.at, k.case_id), ARRAY[]::text[]) AS kinds, coalesce(array_agg(k.case_id ORDER BY k.at, k.case_id), ARRAY[]::uuid[]) AS ids, \
           coalesce(array_agg(k.at ORDER BY k.at, k.case_id), ARRAY[]::timestamptz[]) AS times FROM visit_cases k WHERE k.county_id = f.county_id AND k.finding_id = f.id) c "
    };
}

/// Whether the caller may see a finding `f`.
macro_rules! seen {
    () => {
        "({whole} OR coalesce(f.by_id = {staff}, false) OR coalesce(v.staff_id = {staff}, false) OR coalesce(unit_within({county}, f.unit_id, {within}), false)) "
    };
}

statement! {
    struct Insert {
        county: i32 as Integer, id: Uuid as SqlUuid, visit: Uuid as SqlUuid, unit: Uuid as SqlUuid, resident: Option<Uuid> as Nullable<SqlUuid>, kind: FindingKind as Text,
        words: Vec<u8> as Binary, by: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO visit_findings (county_id, id, visit_id, unit_id, resident_id, kind, words, by_id, at) VALUES ({county}, {id}, {visit}, {unit}, {resident}, {kind}, {words}, {by}, {now})"
}

/// A finding to be written.
pub struct NewFinding {
    pub county: i32,
    pub id: Uuid,
    pub visit: Uuid,
    pub unit: Uuid,
    pub resident: Option<Uuid>,
    pub kind: FindingKind,
    /// Sealed.
    pub words: Vec<u8>,
    pub by: Uuid,
}

pub fn insert(conn: &mut PgConnection, new: NewFinding, now: DateTime<Utc>) -> QueryResult<()> {
    let NewFinding { county, id, visit, unit, resident, kind, words, by } = new;
    Insert { county, id, visit, unit, resident, kind, words, by, now }.execute(conn).map(drop)
}

statement! {
    struct Find { county: i32 as Integer, id: Uuid as SqlUuid, staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, whole: bool as Bool }
    concat!(columns!(), "WHERE f.county_id = {county} AND f.id = {id} AND ", seen!())
}

/// The finding with an id, if the caller may see it: whoever made it or the visit, staff of the unit and above it.
pub fn find(conn: &mut PgConnection, county: i32, seen: Seen, id: Uuid) -> Result<Option<Finding>> {
    let Seen { staff, within, whole, .. } = seen;
    found(Find { county, id, staff, within, whole }.get_result(conn))
}

statement! {
    struct Lock { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT f.id FROM visit_findings f WHERE f.county_id = {county} AND f.id = {id} FOR NO KEY UPDATE"
}

/// Nobody else makes anything of it meanwhile.
pub fn lock(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<usize> {
    Lock { county, id }.execute(conn)
}

/// Which findings a list is of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Of this unit and those below it.
    pub unit: Option<Uuid>,
    pub visit: Option<Uuid>,
    pub household: Option<Uuid>,
    pub resident: Option<Uuid>,
    pub kind: Option<FindingKind>,
    /// Concerns of which nothing has been made.
    pub open: bool,
    /// The one that this errand, order or todo was made of.
    pub case: Option<Uuid>,
}

macro_rules! filtered {
    () => {
        concat!("WHERE f.county_id = {county} AND ", seen!(),
            "AND ({unit}::uuid IS NULL OR unit_within({county}, f.unit_id, {unit})) AND ({visit}::uuid IS NULL OR f.visit_id = {visit}) \
             AND ({household}::uuid IS NULL OR v.household_id IN (SELECT household_ids({county}, {household}))) AND ({resident}::uuid IS NULL OR f.resident_id = {resident}) AND ({kind}::text IS NULL OR f.kind = {kind}) \
             AND (NOT {open} OR f.kind = 'concern' AND NOT EXISTS (SELECT FROM visit_cases o WHERE o.county_id = f.county_id AND o.finding_id = f.id)) \
             AND ({case}::uuid IS NULL OR f.id IN (SELECT o.finding_id FROM visit_cases o WHERE o.county_id = {county} AND o.case_id = {case})) ")
    };
}

statement! {
    struct List {
        county: i32 as Integer, staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, whole: bool as Bool, unit: Option<Uuid> as Nullable<SqlUuid>,
        visit: Option<Uuid> as Nullable<SqlUuid>, household: Option<Uuid> as Nullable<SqlUuid>, resident: Option<Uuid> as Nullable<SqlUuid>, kind: Option<FindingKind> as Nullable<Text>,
        open: bool as Bool, case: Option<Uuid> as Nullable<SqlUuid>, after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    concat!(columns!(), filtered!(), "AND (f.at, f.id) > ({after_at}, {after_id}) ORDER BY f.at, f.id LIMIT {limit}")
}

statement! {
    struct Count {
        county: i32 as Integer, staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, whole: bool as Bool, unit: Option<Uuid> as Nullable<SqlUuid>,
        visit: Option<Uuid> as Nullable<SqlUuid>, household: Option<Uuid> as Nullable<SqlUuid>, resident: Option<Uuid> as Nullable<SqlUuid>, kind: Option<FindingKind> as Nullable<Text>,
        open: bool as Bool, case: Option<Uuid> as Nullable<SqlUuid>,
    }
    concat!("SELECT count(*) AS n FROM visit_findings f JOIN visits v ON v.county_id = f.county_id AND v.id = f.visit_id ", filtered!())
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Oldest first, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    county: i32,
    seen: Seen,
    filter: Filter,
    after: After,
    limit: i64,
) -> QueryResult<Vec<Finding>> {
    let Seen { staff, within, whole, .. } = seen;
    let Filter { unit, visit, household, resident, kind, open, case } = filter;
    let (after_at, after_id, limit) = (after.at.max(DateTime::UNIX_EPOCH), after.id, limit + 1);
    List { county, staff, within, whole, unit, visit, household, resident, kind, open, case, after_at, after_id, limit }
        .load(conn)
}

pub fn count(conn: &mut PgConnection, county: i32, seen: Seen, filter: Filter) -> QueryResult<i64> {
    let Seen { staff, within, whole, .. } = seen;
    let Filter { unit, visit, household, resident, kind, open, case } = filter;
    let count = Count { county, staff, within, whole, unit, visit, household, resident, kind, open, case };
    Ok(count.get_result::<Counted>(conn)?.n)
}

statement! {
    struct Link { county: i32 as Integer, finding: Uuid as SqlUuid, kind: CaseKind as Text, case: Uuid as SqlUuid, by: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "INSERT INTO visit_cases (county_id, finding_id, kind, case_id, by_id, at) VALUES ({county}, {finding}, {kind}, {case}, {by}, {now})"
}

/// Says what was made of a finding.
pub fn link(
    conn: &mut PgConnection,
    finding: &Finding,
    (kind, case): (CaseKind, Uuid),
    by: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    Link { county: finding.county_id, finding: finding.id, kind, case, by, now }.execute(conn).map(drop)
}
