//! Lists whose page is found in an index alone, however many errands lie before it: only what stands on the page is read itself.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Date, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::{
    lists::{asking, below, filtered, listed, page},
    model::ErrandState,
};

/// Everybody who has one of the names, with each unit where they have errands: from one unit to the next, so that what namesakes have
/// elsewhere is not read.
macro_rules! namesakes {
    ($only:expr) => {
        concat!(
            "(SELECT n.id, n.name, d.unit_id, (SELECT name FROM units u WHERE u.county_id = {county} AND u.id = d.unit_id) AS unit_name \
               FROM residents n CROSS JOIN LATERAL (WITH RECURSIVE step (unit_id) AS ( \
                 (SELECT f.unit_id FROM errands f WHERE f.county_id = {county} AND f.resident_id = n.id ORDER BY f.unit_id LIMIT 1) UNION ALL \
                 SELECT (SELECT f.unit_id FROM errands f WHERE f.county_id = {county} AND f.resident_id = n.id AND f.unit_id > s.unit_id ORDER BY f.unit_id LIMIT 1) \
                   FROM step s WHERE s.unit_id IS NOT NULL) SELECT unit_id FROM step WHERE unit_id IS NOT NULL) d \
               WHERE n.county_id = {county} AND n.name_index = ANY ({names})", $only, " OFFSET 0)"
        )
    };
}
pub(super) use namesakes;

/// As many of each thing `t` as the page has, by an index that has all that is asked of them; of these the first, with what `t` knows of them.
/// `OFFSET 0` keeps them one by one: a plan for any limit would take a page for a tenth of the table, and read all of it.
macro_rules! keyed {
    ($order:ident after $after:ident: $moment:ty as $type:ty;
     $page:ident { $($bind:ident: $rust:ty as $sql:ty),+ } $line:expr, $knows:literal, $things:expr, $of:expr) => {
        asking! { $page { $($bind: $rust as $sql,)+ $after: $moment as $type, after_id: Uuid as SqlUuid, limit: i64 as BigInt }
            concat!($line, "FROM (SELECT ", $knows, "k.id FROM ", $things, " t CROSS JOIN LATERAL ( \
                 SELECT e.id, e.", stringify!($order), " AS at FROM errands e WHERE e.county_id = {county} AND ", $of, page!($order), ") k \
               ORDER BY k.at, k.id LIMIT {limit}) t \
               CROSS JOIN LATERAL (SELECT * FROM errands e WHERE e.county_id = {county} AND e.id = t.id OFFSET 0) e ORDER BY e.", stringify!($order), ", e.id") }
    };
}

/// How many of each thing `t`.
macro_rules! counting {
    ($count:ident { $($bind:ident: $rust:ty as $sql:ty),+ } $things:expr, $of:expr) => {
        asking! { $count { $($bind: $rust as $sql),+ }
            concat!("SELECT count(*) AS n FROM ", $things, " t CROSS JOIN LATERAL (SELECT FROM errands e WHERE e.county_id = {county} AND ", $of, " OFFSET 0) e") }
    };
}

/// Of a unit, with a due date: what its index has besides its order is all that a list is narrowed by.
macro_rules! running {
    () => {
        concat!("e.unit_id = t.id AND e.due_on IS NOT NULL", filtered!())
    };
}

keyed! { created_at after after_at: DateTime<Utc> as Timestamptz; AtUnit { unit: Uuid as SqlUuid }
listed!(), "", below!("{unit}"), "e.unit_id = t.id AND e.submitted_on IS NOT NULL " }
keyed! { created_at after after_at: DateTime<Utc> as Timestamptz; AllInStateAtUnit { unit: Uuid as SqlUuid }
listed!(), "", below!("{unit}"), "e.unit_id = t.id AND e.state = {state} AND e.submitted_on IS NOT NULL " }
keyed! { created_at after after_at: DateTime<Utc> as Timestamptz; AllNamed { names: Vec<Vec<u8>> as Array<Binary>, unit: Uuid as SqlUuid }
listed!("t.name", "t.unit_name"), "t.name, t.unit_name, ", namesakes!(concat!(" AND d.unit_id IN ", below!("{unit}"))),
"e.resident_id = t.id AND e.unit_id = t.unit_id AND e.submitted_on IS NOT NULL " }
keyed! { created_at after after_at: DateTime<Utc> as Timestamptz; RunningAtUnit { unit: Uuid as SqlUuid } listed!(), "", below!("{unit}"), running!() }
keyed! { due_on after after_on: NaiveDate as Date; RunningAtUnitByDue { unit: Uuid as SqlUuid } listed!(), "", below!("{unit}"),
concat!(running!(), "AND e.state NOT IN ('draft', 'delivered', 'archived', 'not_accepted', 'withdrawn', 'decided') ") }

counting! { CountAtUnit { unit: Uuid as SqlUuid } below!("{unit}"), "e.unit_id = t.id AND e.submitted_on IS NOT NULL" }
counting! { CountRunningAtUnit { unit: Uuid as SqlUuid } below!("{unit}"), running!() }
