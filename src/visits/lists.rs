//! Lists of visits: of a unit and those below it, of a household, of oneself. Newest first; a page reads about as much as it shows.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    model::{Visit, VisitFlag, VisitOutcome},
    store::columns,
};
use crate::{http::page::After, statement};

/// Which visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of a unit and the units below it.
    Unit(Uuid),
    Household(Uuid),
    /// That the caller made.
    Staff(Uuid),
}

/// Which of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// As amended.
    pub outcome: Option<VisitOutcome>,
    pub flag: Option<VisitFlag>,
    /// That happened in a time.
    pub from: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
}

/// What is listed, and what is left out because the caller may not see it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub county: i32,
    pub of: Of,
    pub staff: Option<Uuid>,
    /// The unit that the caller reaches; none: the whole county.
    pub within: Option<Uuid>,
    pub filter: Filter,
}

/// The conditions of [`Filter`] on a visit `v`; a time that is not bounded is so in the index too.
macro_rules! filtered {
    () => {
        " AND v.occurred_at >= coalesce({from}, '-infinity'::timestamptz) AND v.occurred_at < coalesce({until}, 'infinity'::timestamptz) \
          AND ({outcome}::text IS NULL OR coalesce(v.amended_outcome, v.outcome) = {outcome}) AND ({flag}::text IS NULL OR {flag} = ANY (v.flags) AND ({flag} <> 'far' OR coalesce(v.amended_place, v.place) = 'home')) \
          AND ({within}::uuid IS NULL OR coalesce(v.staff_id = {staff}, false) OR unit_within({county}, v.unit_id, {within})) "
    };
}

/// A list and its count: the same visits. A list of units has as many of each as the page has, by its index, and of these the first.
macro_rules! lists {
    ($($page:ident, $count:ident $things:literal $of:literal;)*) => {$(
        statement! {
            struct $page {
                county: i32 as Integer, which: Uuid as SqlUuid, staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>,
                outcome: Option<VisitOutcome> as Nullable<Text>, flag: Option<VisitFlag> as Nullable<Text>, from: Option<DateTime<Utc>> as Nullable<Timestamptz>,
                until: Option<DateTime<Utc>> as Nullable<Timestamptz>, after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
            }
            concat!(columns!(), $things, " t CROSS JOIN LATERAL (SELECT * FROM visits v WHERE v.county_id = {county} AND ", $of, filtered!(),
                "AND (v.occurred_at, v.id) < ({after_at}, {after_id}) ORDER BY v.occurred_at DESC, v.id DESC LIMIT {limit}) v ORDER BY v.occurred_at DESC, v.id DESC LIMIT {limit}")
        }
        statement! {
            struct $count {
                county: i32 as Integer, which: Uuid as SqlUuid, staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>,
                outcome: Option<VisitOutcome> as Nullable<Text>, flag: Option<VisitFlag> as Nullable<Text>, from: Option<DateTime<Utc>> as Nullable<Timestamptz>,
                until: Option<DateTime<Utc>> as Nullable<Timestamptz>,
            }
            concat!("SELECT count(*) AS n FROM ", $things, " t JOIN visits v ON v.county_id = {county} AND ", $of, filtered!())
        }
    )*};
}

lists! {
    AtUnit, CountAtUnit "(WITH RECURSIVE tree (id) AS (SELECT u.id FROM units u WHERE u.county_id = {county} AND u.id = {which} AND ({within}::uuid IS NULL OR unit_within({county}, u.id, {within})) \
        UNION ALL SELECT u.id FROM tree t JOIN units u ON u.county_id = {county} AND u.parent_id = t.id) SELECT id FROM tree)" "v.unit_id = t.id";
    OfHousehold, CountOfHousehold "(SELECT household_ids({county}, coalesce(h.merged_into, h.id)) AS id FROM households h WHERE h.county_id = {county} AND h.id = {which})" "v.household_id = t.id";
    OfStaff, CountOfStaff "(SELECT {which}::uuid AS id)" "v.staff_id = t.id";
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// After everything: where a list that goes backwards begins.
fn place(after: Option<After>) -> (DateTime<Utc>, Uuid) {
    // The last instant that PostgreSQL and a phone's clock have in common.
    let end = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or_default();
    after.map_or((end, Uuid::max()), |after| (after.at, after.id))
}

/// Newest first, one more than `limit`.
pub fn list(conn: &mut PgConnection, asked: &Asked, after: Option<After>, limit: i64) -> QueryResult<Vec<Visit>> {
    let Asked { county, of, staff, within, filter: Filter { outcome, flag, from, until } } = *asked;
    let ((after_at, after_id), limit) = (place(after), limit + 1);
    macro_rules! page {
        ($of:ident, $which:expr) => {
            $of { county, which: $which, staff, within, outcome, flag, from, until, after_at, after_id, limit }
                .load(conn)
        };
    }
    match of {
        Of::Unit(id) => page!(AtUnit, id),
        Of::Household(id) => page!(OfHousehold, id),
        Of::Staff(id) => page!(OfStaff, id),
    }
}

/// How many a list has in all.
pub fn count(conn: &mut PgConnection, asked: &Asked) -> QueryResult<i64> {
    let Asked { county, of, staff, within, filter: Filter { outcome, flag, from, until } } = *asked;
    macro_rules! count {
        ($of:ident, $which:expr) => {
            $of { county, which: $which, staff, within, outcome, flag, from, until }.get_result::<Counted>(conn)
        };
    }
    let counted = match of {
        Of::Unit(id) => count!(CountAtUnit, id),
        Of::Household(id) => count!(CountOfHousehold, id),
        Of::Staff(id) => count!(CountOfStaff, id),
    };
    Ok(counted?.n)
}
