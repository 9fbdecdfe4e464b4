//! Lists of errands: of a resident, of whoever answers, of a unit and those below it, of a department.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    OptionalExtension, PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    clock::Lamp,
    model::{Errand, ErrandState},
};
use crate::{http::page::After, statement};

/// Which errands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of a resident, as `me` may see them.
    Resident(Uuid),
    /// Filed by a resident for others.
    FiledBy(Uuid),
    /// That a member of staff answers for or is asked to take over.
    Staff(Uuid),
    /// Of a unit and the units below it.
    Unit(Uuid),
    /// With a department, as one of its staff sees them.
    Department(Uuid),
}

/// Which of them.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<ErrandState>,
    pub lamp: Option<Lamp>,
    pub matter: Option<Uuid>,
    pub holder: Option<Uuid>,
    pub due_before: Option<NaiveDate>,
}

/// The columns of an errand in a list; what only a single one tells is left out.
macro_rules! listed {
    () => {
        "SELECT e.county_id, e.id, e.number, e.matter_id, e.matter_version, \
           (SELECT name FROM matters m WHERE m.county_id = e.county_id AND m.id = e.matter_id) AS matter_name, e.resident_id, \
           (SELECT name FROM residents p WHERE p.county_id = e.county_id AND p.id = e.resident_id) AS resident_name, e.unit_id, \
           (SELECT name FROM units u WHERE u.county_id = e.county_id AND u.id = e.unit_id) AS unit_name, e.decided_by, e.department_id, \
           (SELECT name FROM departments d WHERE d.county_id = e.county_id AND d.id = e.department_id) AS department_name, e.kind, e.state, e.back_to, e.holder_id, \
           (SELECT display_name FROM staff s WHERE s.county_id = e.county_id AND s.id = e.holder_id) AS holder_name, e.offered_to, e.filed_by, \
           e.filed_by_resident, e.mandate_id, NULL::bytea AS form, e.answers, e.materials, NULL::bytea AS content_salt, NULL::bytea AS parcel, NULL::jsonb AS files, NULL::jsonb AS replies, e.supplements, e.limit_days, e.submitted_on, e.accepted_on, \
           e.decided_on, e.granted, e.on_time, e.due_on, e.provisional, e.yellow_from, e.red_from, e.rung, e.rung_on, e.entries, e.head, true AS mandated, false AS held, \
           false AS offered, false AS departmental, false AS asked_fits, NULL::uuid AS first_asked, NULL::jsonb AS names, 0::bigint AS originals_out, NULL::jsonb AS marks, \
           e.version, e.created_at, e.updated_at "
    };
}

/// The conditions of [`Filter`] on an errand `e`.
macro_rules! filtered {
    () => {
        " AND ({state}::text IS NULL OR e.state = {state}) AND ({matter}::uuid IS NULL OR e.matter_id = {matter}) \
          AND ({holder}::uuid IS NULL OR e.holder_id = {holder}) \
          AND ({due_before}::date IS NULL OR e.due_on < {due_before}) \
          AND CASE {lamp}::text WHEN 'red' THEN {today} >= e.red_from WHEN 'yellow' THEN {today} >= e.yellow_from AND {today} < e.red_from \
            WHEN 'green' THEN {today} < least(e.yellow_from, e.red_from) ELSE true END "
    };
}

/// A list and its count: the same errands.
macro_rules! lists {
    ($($(#[$meta:meta])* $page:ident, $count:ident of $whose:ident: $from:literal;)*) => {$(
        statement! {
            $(#[$meta])*
            struct $page {
                county: i32 as Integer, $whose: Uuid as SqlUuid, me: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, state: Option<ErrandState> as Nullable<Text>,
                matter: Option<Uuid> as Nullable<SqlUuid>, holder: Option<Uuid> as Nullable<SqlUuid>,
                due_before: Option<NaiveDate> as Nullable<Date>, lamp: Option<&'static str> as Nullable<Text>, today: NaiveDate as Date,
                after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
            }
            concat!(listed!(), $from, filtered!(), "AND (e.created_at, e.id) > ({after_at}, {after_id}) ORDER BY e.created_at, e.id LIMIT {limit}")
        }

        statement! {
            struct $count {
                county: i32 as Integer, $whose: Uuid as SqlUuid, me: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, state: Option<ErrandState> as Nullable<Text>,
                matter: Option<Uuid> as Nullable<SqlUuid>, holder: Option<Uuid> as Nullable<SqlUuid>,
                due_before: Option<NaiveDate> as Nullable<Date>, lamp: Option<&'static str> as Nullable<Text>, today: NaiveDate as Date,
            }
            concat!("SELECT count(*) AS n ", $from, filtered!())
        }
    )*};
}

lists! {
    OfResident, CountOfResident of resident:
        "FROM errands e WHERE e.county_id = {county} AND e.resident_id = {resident} \
         AND CASE WHEN {me}::uuid IS NULL THEN e.state <> 'draft' ELSE {me} = {resident} OR acts_for({county}, {resident}, {me}, 'errand', {today}) END \
         AND ({within}::uuid IS NULL OR unit_within({county}, e.unit_id, {within})) ";
    FiledBy, CountFiledBy of resident:
        "FROM errands e WHERE e.county_id = {county} AND e.filed_by_resident = {resident} AND {me} = {resident} AND {within}::uuid IS NULL \
         AND acts_for({county}, e.resident_id, {resident}, 'errand', {today}) ";
    /// Each part by an index of its own: what they answer for, are asked to take over, and have not submitted yet.
    OfStaff, CountOfStaff of staff:
        "FROM (SELECT * FROM errands h WHERE h.county_id = {county} AND h.holder_id = {staff} AND h.state NOT IN ('draft', 'archived') \
           UNION ALL SELECT * FROM errands o WHERE o.county_id = {county} AND o.offered_to = {staff} \
           UNION ALL SELECT * FROM errands d WHERE d.county_id = {county} AND d.filed_by = {staff} AND d.state = 'draft') e \
         WHERE {me}::uuid IS NULL AND ({within}::uuid IS NULL OR unit_within({county}, e.unit_id, {within})) ";
    WithDepartment, CountWithDepartment of staff:
        "FROM errands e WHERE e.county_id = {county} AND {within}::uuid IS NULL AND {me}::uuid IS NULL AND e.state IN ('forwarded', 'decided', 'delivered', 'archived') \
         AND e.department_id IN (SELECT s.department_id FROM staff_posts s WHERE s.county_id = {county} AND s.staff_id = {staff} AND s.ended_at IS NULL) ";
}

statement! {
    /// A page of a unit and those below it: as many of each as the page has, by its index, and of these the first.
    struct AtUnit {
        county: i32 as Integer, unit: Uuid as SqlUuid, me: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, state: Option<ErrandState> as Nullable<Text>,
        matter: Option<Uuid> as Nullable<SqlUuid>, holder: Option<Uuid> as Nullable<SqlUuid>,
        due_before: Option<NaiveDate> as Nullable<Date>, lamp: Option<&'static str> as Nullable<Text>, today: NaiveDate as Date,
        after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    concat!(listed!(), "FROM (SELECT u.id FROM units u WHERE u.county_id = {county} AND unit_within({county}, u.id, {unit}) AND {me}::uuid IS NULL \
          AND ({within}::uuid IS NULL OR unit_within({county}, {unit}, {within}))) t \
        CROSS JOIN LATERAL (SELECT * FROM errands e WHERE e.county_id = {county} AND e.unit_id = t.id AND e.state <> 'draft'", filtered!(),
        "AND (e.created_at, e.id) > ({after_at}, {after_id}) ORDER BY e.created_at, e.id LIMIT {limit}) e ORDER BY e.created_at, e.id LIMIT {limit}")
}

statement! {
    struct CountAtUnit {
        county: i32 as Integer, unit: Uuid as SqlUuid, me: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, state: Option<ErrandState> as Nullable<Text>,
        matter: Option<Uuid> as Nullable<SqlUuid>, holder: Option<Uuid> as Nullable<SqlUuid>,
        due_before: Option<NaiveDate> as Nullable<Date>, lamp: Option<&'static str> as Nullable<Text>, today: NaiveDate as Date,
    }
    concat!("SELECT count(*) AS n FROM (SELECT u.id FROM units u WHERE u.county_id = {county} AND unit_within({county}, u.id, {unit}) AND {me}::uuid IS NULL \
          AND ({within}::uuid IS NULL OR unit_within({county}, {unit}, {within}))) t \
        CROSS JOIN LATERAL (SELECT FROM errands e WHERE e.county_id = {county} AND e.unit_id = t.id AND e.state <> 'draft'", filtered!(), ") e")
}

statement! {
    struct Numbered { county: i32 as Integer, number: String as Text }
    "SELECT e.id FROM errands e WHERE e.county_id = {county} AND e.number = {number}"
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// The errand with a number (受理编号): for whoever is told it over the phone, and may see it.
pub fn numbered(conn: &mut PgConnection, county: i32, number: &str) -> QueryResult<Option<Uuid>> {
    let found = Numbered { county, number: number.to_owned() }.get_result::<Id>(conn).optional()?;
    Ok(found.map(|found| found.id))
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// What is listed, and what is left out because the caller may not see it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub county: i32,
    pub of: Of,
    /// The resident who asks; none: staff.
    pub me: Option<Uuid>,
    /// The unit that the caller reaches; none: the whole county.
    pub within: Option<Uuid>,
    pub filter: Filter,
    pub today: NaiveDate,
}

macro_rules! ask {
    ($asked:expr, $statement:ident { $($key:ident),* }) => {{
        let Asked { county, me, within, filter, today, .. } = $asked.clone();
        let Filter { state, lamp, matter, holder, due_before } = filter;
        let lamp = lamp.map(Lamp::as_str);
        $statement { county, me, within, state, lamp, matter, holder, due_before, today, $($key),* }
    }};
}

/// Oldest first, one more than `limit`.
pub fn list(conn: &mut PgConnection, asked: &Asked, after: After, limit: i64) -> QueryResult<Vec<Errand>> {
    let (after_at, after_id, limit) = (after.at.max(DateTime::UNIX_EPOCH), after.id, limit + 1);
    match asked.of {
        Of::Resident(resident) => ask!(asked, OfResident { resident, after_at, after_id, limit }).load(conn),
        Of::FiledBy(resident) => ask!(asked, FiledBy { resident, after_at, after_id, limit }).load(conn),
        Of::Staff(staff) => ask!(asked, OfStaff { staff, after_at, after_id, limit }).load(conn),
        Of::Unit(unit) => ask!(asked, AtUnit { unit, after_at, after_id, limit }).load(conn),
        Of::Department(staff) => ask!(asked, WithDepartment { staff, after_at, after_id, limit }).load(conn),
    }
}

/// How many a list has in all.
pub fn count(conn: &mut PgConnection, asked: &Asked) -> QueryResult<i64> {
    let counted: Counted = match asked.of {
        Of::Resident(resident) => ask!(asked, CountOfResident { resident }).get_result(conn),
        Of::FiledBy(resident) => ask!(asked, CountFiledBy { resident }).get_result(conn),
        Of::Staff(staff) => ask!(asked, CountOfStaff { staff }).get_result(conn),
        Of::Unit(unit) => ask!(asked, CountAtUnit { unit }).get_result(conn),
        Of::Department(staff) => ask!(asked, CountWithDepartment { staff }).get_result(conn),
    }?;
    Ok(counted.n)
}
