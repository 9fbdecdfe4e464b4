//! Lists whose page is found in an index alone, however many errands lie before it: only what stands on the page is read itself.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Date, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::{
    lists::{asking, below, listed},
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
    ($page:ident { $($bind:ident: $rust:ty as $sql:ty),+ } $line:expr, $knows:literal, $things:expr, $of:literal) => {
        asking! { $page { $($bind: $rust as $sql,)+ after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt }
            concat!($line, "FROM (SELECT ", $knows, "k.id FROM ", $things, " t CROSS JOIN LATERAL ( \
                 SELECT e.id, e.created_at FROM errands e WHERE e.county_id = {county} AND ", $of, " AND e.submitted_on IS NOT NULL \
                   AND (e.created_at, e.id) > ({after_at}, {after_id}) ORDER BY e.created_at, e.id LIMIT {limit}) k ORDER BY k.created_at, k.id LIMIT {limit}) t \
               CROSS JOIN LATERAL (SELECT * FROM errands e WHERE e.county_id = {county} AND e.id = t.id OFFSET 0) e ORDER BY e.created_at, e.id") }
    };
}

keyed! { AtUnit { unit: Uuid as SqlUuid } listed!(), "", below!("{unit}"), "e.unit_id = t.id" }
keyed! { AllInStateAtUnit { unit: Uuid as SqlUuid } listed!(), "", below!("{unit}"), "e.unit_id = t.id AND e.state = {state}" }
keyed! { AllNamed { names: Vec<Vec<u8>> as Array<Binary>, unit: Uuid as SqlUuid }
listed!("t.name", "t.unit_name"), "t.name, t.unit_name, ", namesakes!(concat!(" AND d.unit_id IN ", below!("{unit}"))), "e.resident_id = t.id AND e.unit_id = t.unit_id" }
