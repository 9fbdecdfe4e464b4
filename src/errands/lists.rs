//! Lists of errands: of a resident, of whoever answers, of a unit and those below it, of a department, and by name.
//!
//! A page reads as much as it shows, however many errands are over: each list has a statement for what it is usually narrowed to,
//! whose order is that of an index. A narrower one never tests rows that an index could have left out.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    OptionalExtension, PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Binary, Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    clock::Lamp,
    keys::{
        AllInStateAtUnit, AllNamed, AtUnit, CountAtUnit, CountRunningAtUnit, RunningAtUnit, RunningAtUnitByDue,
        namesakes,
    },
    model::{ErrandState, Line},
    store::with_department,
};
use crate::{
    clock::{local_date, local_midnight},
    http::page::After,
    statement, text_enum,
};

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

text_enum! {
    /// The order of a list.
    pub enum Sort {
        /// Filed first.
        CreatedAt = "created_at",
        /// Due first; only those with a due date.
        DueOn = "due_on",
    }
}

impl Sort {
    /// Where an errand stands in this order.
    pub fn place(self, row: &Line) -> After {
        let at = match self {
            Self::CreatedAt => row.created_at,
            Self::DueOn => row.due_on.map_or(DateTime::UNIX_EPOCH, local_midnight),
        };
        After { at, id: row.id }
    }

    /// A cursor fits only the order that it came from.
    pub fn list(self) -> &'static str {
        match self {
            Self::CreatedAt => "errands",
            Self::DueOn => "errands_by_due",
        }
    }
}

/// Which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub state: Option<ErrandState>,
    pub lamp: Option<Lamp>,
    pub matter: Option<Uuid>,
    pub holder: Option<Uuid>,
    pub due_before: Option<NaiveDate>,
}

/// The columns of a [`Line`]: each name is looked up, or known already by whatever the list goes through (`t`).
macro_rules! listed {
    () => {
        listed!(
            "(SELECT name FROM residents p WHERE p.county_id = e.county_id AND p.id = e.resident_id)",
            "(SELECT name FROM units u WHERE u.county_id = e.county_id AND u.id = e.unit_id)"
        )
    };
    ($resident:expr, $unit:expr) => {
        concat!(
            "SELECT e.county_id, e.id, e.number, e.matter_id, e.matter_version, \
               (SELECT name FROM matters m WHERE m.county_id = e.county_id AND m.id = e.matter_id) AS matter_name, \
               e.resident_id, ", $resident, " AS resident_name, e.unit_id, ", $unit, " AS unit_name, e.decided_by, e.department_id, \
               CASE WHEN e.department_id IS NOT NULL \
                 THEN (SELECT name FROM departments d WHERE d.county_id = e.county_id AND d.id = e.department_id) END AS department_name, \
               e.kind, e.state, e.holder_id, \
               (SELECT display_name FROM staff s WHERE s.county_id = e.county_id AND s.id = e.holder_id) AS holder_name, \
               e.offered_to, e.filed_by, e.filed_by_resident, e.mandate_id, e.answers, e.materials, e.supplements, e.asked, e.limit_days, \
               e.submitted_on, e.accepted_on, e.decided_on, e.granted, e.due_on, e.provisional, e.yellow_from, e.red_from, e.version, \
               e.created_at, e.updated_at "
        )
    };
}

/// The conditions of [`Filter`] on an errand `e`; `dated`: only those with a due date.
macro_rules! filtered {
    () => {
        " AND ({state}::text IS NULL OR e.state = {state}) AND ({matter}::uuid IS NULL OR e.matter_id = {matter}) \
          AND ({holder}::uuid IS NULL OR e.holder_id = {holder}) AND (NOT {dated} OR e.due_on IS NOT NULL) \
          AND ({due_before}::date IS NULL OR e.due_on < {due_before}) \
          AND CASE {lamp}::text WHEN 'red' THEN {today} >= e.red_from WHEN 'yellow' THEN {today} >= e.yellow_from AND {today} < e.red_from \
            WHEN 'green' THEN {today} < least(e.yellow_from, e.red_from) ELSE true END "
    };
}

/// A unit and those below it, if staff reach it.
macro_rules! below {
    ($top:literal) => {
        concat!(
            "(WITH RECURSIVE tree (id) AS (SELECT u.id FROM units u WHERE u.county_id = {county} AND u.id = ", $top,
            " AND {me}::uuid IS NULL AND ({within}::uuid IS NULL OR unit_within({county}, u.id, {within})) \
              UNION ALL SELECT u.id FROM tree t JOIN units u ON u.county_id = {county} AND u.parent_id = t.id) SELECT id FROM tree)"
        )
    };
}

/// A statement with the binds of every list.
macro_rules! asking {
    ($name:ident { $($bind:ident: $rust:ty as $sql:ty),+ } $text:expr) => {
        $crate::statement! {
            pub(super) struct $name {
                county: i32 as diesel::sql_types::Integer, me: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, state: Option<ErrandState> as Nullable<Text>,
                matter: Option<Uuid> as Nullable<SqlUuid>, holder: Option<Uuid> as Nullable<SqlUuid>, dated: bool as Bool,
                due_before: Option<NaiveDate> as Nullable<Date>, lamp: Option<&'static str> as Nullable<Text>, today: NaiveDate as Date,
                $($bind: $rust as $sql),+
            }
            $text
        }
    };
}

/// After a place in the order of a list, as many as the page has.
macro_rules! page {
    (created_at) => {
        "AND (e.created_at, e.id) > ({after_at}, {after_id}) ORDER BY e.created_at, e.id LIMIT {limit}"
    };
    (due_on) => {
        "AND (e.due_on, e.id) > ({after_on}, {after_id}) ORDER BY e.due_on, e.id LIMIT {limit}"
    };
}

pub(super) use {asking, below, filtered, listed, page};

/// A list in both orders, and its count: the same errands.
macro_rules! lists {
    ($($page:ident, $due:ident, $count:ident { $($bind:ident: $rust:ty as $sql:ty),+ } $from:expr;)*) => {$(
        asking! { $page { $($bind: $rust as $sql,)+ after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt }
            concat!(listed!(), "FROM ", $from, filtered!(), page!(created_at)) }
        asking! { $due { $($bind: $rust as $sql,)+ after_on: NaiveDate as Date, after_id: Uuid as SqlUuid, limit: i64 as BigInt }
            concat!(listed!(), "FROM ", $from, filtered!(), page!(due_on)) }
        asking! { $count { $($bind: $rust as $sql),+ } concat!("SELECT count(*) AS n FROM ", $from, filtered!()) }
    )*};
}

/// A list of several things `t`: as many of each as the page has, by its index, and of these the first.
macro_rules! parts {
    ($line:expr; $($page:ident, $count:ident { $($bind:ident: $rust:ty as $sql:ty),+ } $things:expr, $of:expr;)*) => {$(
        asking! { $page { $($bind: $rust as $sql,)+ after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt }
            concat!($line, "FROM ", $things, " t CROSS JOIN LATERAL (SELECT * FROM errands e WHERE e.county_id = {county} AND ", $of, filtered!(),
                page!(created_at), ") e ORDER BY e.created_at, e.id LIMIT {limit}") }
        asking! { $count { $($bind: $rust as $sql),+ }
            concat!("SELECT count(*) AS n FROM ", $things, " t CROSS JOIN LATERAL (SELECT FROM errands e WHERE e.county_id = {county} AND ", $of, filtered!(), " OFFSET 0) e") }
    )*};
}

/// The same, also in the order of the due dates.
macro_rules! dated_parts {
    ($line:expr; $($page:ident, $due:ident, $count:ident { $($bind:ident: $rust:ty as $sql:ty),+ } $things:expr, $of:expr;)*) => {$(
        parts! { $line; $page, $count { $($bind: $rust as $sql),+ } $things, $of; }
        asking! { $due { $($bind: $rust as $sql,)+ after_on: NaiveDate as Date, after_id: Uuid as SqlUuid, limit: i64 as BigInt }
            concat!($line, "FROM ", $things, " t CROSS JOIN LATERAL (SELECT * FROM errands e WHERE e.county_id = {county} AND ", $of, filtered!(),
                page!(due_on), ") e ORDER BY e.due_on, e.id LIMIT {limit}") }
    )*};
}

/// Departments of a member of staff.
macro_rules! departments {
    ($staff:literal) => {
        concat!(
            "(SELECT DISTINCT s.department_id AS id FROM staff_posts s WHERE s.county_id = {county} AND s.staff_id = ",
            $staff,
            " AND s.department_id IS NOT NULL AND s.ended_at IS NULL AND {me}::uuid IS NULL AND {within}::uuid IS NULL)"
        )
    };
}

lists! {
    OfResident, OfResidentByDue, CountOfResident { resident: Uuid as SqlUuid }
        "errands e WHERE e.county_id = {county} AND e.resident_id = {resident} \
         AND CASE WHEN {me}::uuid IS NULL THEN e.submitted_on IS NOT NULL ELSE {me} = {resident} OR acts_for({county}, {resident}, {me}, 'errand', {today}) END \
         AND ({within}::uuid IS NULL OR unit_within({county}, e.unit_id, {within})) ";
    FiledBy, FiledByByDue, CountFiledBy { resident: Uuid as SqlUuid }
        "errands e WHERE e.county_id = {county} AND e.filed_by_resident = {resident} AND {me} = {resident} AND {within}::uuid IS NULL \
         AND acts_for({county}, e.resident_id, {resident}, 'errand', {today}) ";
    // Each part by an index of its own: what they answer for, are asked to take over, and have not submitted yet.
    OfStaff, OfStaffByDue, CountOfStaff { staff: Uuid as SqlUuid }
        "(SELECT * FROM errands h WHERE h.county_id = {county} AND h.holder_id = {staff} AND h.state NOT IN ('draft', 'archived') \
           UNION ALL SELECT * FROM errands o WHERE o.county_id = {county} AND o.offered_to = {staff} AND o.state <> 'archived' \
           UNION ALL SELECT * FROM errands d WHERE d.county_id = {county} AND d.filed_by = {staff} AND d.state = 'draft') e \
         WHERE {me}::uuid IS NULL AND ({within}::uuid IS NULL OR unit_within({county}, e.unit_id, {within})) ";
}

parts! { listed!();
    InStateAtUnit, CountInStateAtUnit { unit: Uuid as SqlUuid } below!("{unit}"), "e.unit_id = t.id AND e.state = {state} AND e.submitted_on IS NOT NULL";
    HeldAtUnit, CountHeldAtUnit { unit: Uuid as SqlUuid } below!("{unit}"), "e.unit_id = t.id AND e.holder_id = {holder} AND e.submitted_on IS NOT NULL";
    OfMatterAtUnit, CountOfMatterAtUnit { unit: Uuid as SqlUuid } below!("{unit}"), "e.unit_id = t.id AND e.matter_id = {matter} AND e.submitted_on IS NOT NULL";
    WithDepartment, CountWithDepartment { staff: Uuid as SqlUuid } departments!("{staff}"),
        concat!("e.department_id = t.id AND ", with_department!());
}

dated_parts! { listed!();
    InStateWithDepartment, InStateWithDepartmentByDue, CountInStateWithDepartment { staff: Uuid as SqlUuid } departments!("{staff}"),
        concat!("e.department_id = t.id AND e.state = {state} AND ", with_department!());
}

dated_parts! { listed!("t.name", "t.unit_name");
    // Of all who have the name, those that one of the other lists shows too.
    Named, NamedByDue, CountNamed {
        names: Vec<Vec<u8>> as Array<Binary>, resident: Option<Uuid> as Nullable<SqlUuid>, unit: Option<Uuid> as Nullable<SqlUuid>,
        staff: Option<Uuid> as Nullable<SqlUuid>, member: Option<Uuid> as Nullable<SqlUuid>
    } namesakes!(concat!(" AND ({resident}::uuid IS NULL OR n.id = {resident}) AND ({unit}::uuid IS NULL OR d.unit_id IN ", below!("{unit}"), ")")),
        concat!(
            "e.resident_id = t.id AND e.unit_id = t.unit_id \
             AND ({member}::uuid IS NULL OR ", with_department!(), " AND e.department_id IN ", departments!("{member}"), ") \
             AND CASE WHEN {staff}::uuid IS NULL THEN e.submitted_on IS NOT NULL \
               ELSE coalesce(e.holder_id = {staff} AND e.state NOT IN ('draft', 'archived') OR e.offered_to = {staff} OR e.filed_by = {staff} AND e.state = 'draft', false) END"
        );
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
    /// Only of those with this name: its blind indexes. Staff only.
    pub name: Option<Vec<Vec<u8>>>,
    pub filter: Filter,
    pub sort: Sort,
    pub today: NaiveDate,
}

impl Asked {
    /// Only those with a due date can be meant.
    fn dated(&self) -> bool {
        self.sort == Sort::DueOn || self.filter.lamp.is_some() || self.filter.due_before.is_some()
    }

    /// In this state nothing has a due date.
    fn nothing(&self) -> bool {
        self.dated() && self.filter.state.is_some_and(|state| !state.runs())
    }
}

macro_rules! ask {
    ($asked:expr, $statement:ident { $($key:ident),* $(,)? }) => {{
        let Asked { county, me, within, filter, today, .. } = $asked.clone();
        let Filter { state, lamp, matter, holder, due_before } = filter;
        let (dated, lamp) = ($asked.dated(), lamp.map(Lamp::as_str));
        $statement { county, me, within, state, lamp, matter, holder, dated, due_before, today, $($key),* }
    }};
}

/// The statement for what is asked, of those in one order.
macro_rules! choose {
    ($asked:expr, $conn:expr, $load:ident,
     ($resident:ident, $filed_by:ident, $staff:ident, $named:ident, $unit:ident, $all_in_state:ident, $in_state:ident, $held:ident, $of_matter:ident, $running:ident, $department:ident, $in_state_there:ident),
     { $($key:ident),* }) => {{
        let (dated, filter) = ($asked.dated(), $asked.filter.clone());
        let mostly_over = filter.state.is_none_or(|state| state == ErrandState::Archived);
        if let Some(names) = $asked.name.clone() {
            let (mut resident, mut unit, mut staff, mut member) = (None, None, None, None);
            match $asked.of {
                Of::Resident(id) | Of::FiledBy(id) => (resident, unit) = (Some(id), $asked.within),
                Of::Staff(id) => staff = Some(id),
                Of::Unit(id) => unit = Some(id),
                Of::Department(id) => member = Some(id),
            }
            return ask!($asked, $named { names, resident, unit, staff, member, $($key),* }).$load($conn);
        }
        match $asked.of {
            Of::Resident(resident) => ask!($asked, $resident { resident, $($key),* }).$load($conn),
            Of::FiledBy(resident) => ask!($asked, $filed_by { resident, $($key),* }).$load($conn),
            Of::Staff(staff) => ask!($asked, $staff { staff, $($key),* }).$load($conn),
            // What is open is little; what is over is most of all, and narrowed by an index of its own.
            Of::Unit(unit) if dated && filter.state.is_none() => ask!($asked, $running { unit, $($key),* }).$load($conn),
            Of::Unit(unit) if mostly_over && filter.holder.is_some() => ask!($asked, $held { unit, $($key),* }).$load($conn),
            Of::Unit(unit) if mostly_over && filter.matter.is_some() => ask!($asked, $of_matter { unit, $($key),* }).$load($conn),
            Of::Unit(unit) if filter.state.is_some() && filter == (Filter { state: filter.state, ..Filter::default() }) => {
                ask!($asked, $all_in_state { unit, $($key),* }).$load($conn)
            }
            Of::Unit(unit) if filter.state.is_some() => ask!($asked, $in_state { unit, $($key),* }).$load($conn),
            Of::Unit(unit) => ask!($asked, $unit { unit, $($key),* }).$load($conn),
            Of::Department(staff) if dated || filter.state.is_some() => {
                // Of what a department sees, only what was forwarded to it has a due date.
                let state = filter.state.or(Some(ErrandState::Forwarded));
                let asked = Asked { filter: Filter { state, ..filter }, ..$asked.clone() };
                ask!(asked, $in_state_there { staff, $($key),* }).$load($conn)
            }
            Of::Department(staff) => ask!($asked, $department { staff, $($key),* }).$load($conn),
        }
    }};
}

fn by_created_at(conn: &mut PgConnection, asked: &Asked, after: After, limit: i64) -> QueryResult<Vec<Line>> {
    let (after_at, after_id) = (after.at.max(DateTime::UNIX_EPOCH), after.id);
    if let (Some(names), Of::Unit(unit), true) = (&asked.name, asked.of, asked.filter == Filter::default()) {
        let names = names.clone();
        return ask!(asked, AllNamed { names, unit, after_at, after_id, limit }).load(conn);
    }
    choose!(
        asked, conn, load,
        (OfResident, FiledBy, OfStaff, Named, AtUnit, AllInStateAtUnit, InStateAtUnit, HeldAtUnit, OfMatterAtUnit, RunningAtUnit, WithDepartment, InStateWithDepartment),
        { after_at, after_id, limit }
    )
}

fn by_due_on(conn: &mut PgConnection, asked: &Asked, after: After, limit: i64) -> QueryResult<Vec<Line>> {
    let (after_on, after_id) = (local_date(after.at.max(DateTime::UNIX_EPOCH)), after.id);
    choose!(
        asked, conn, load,
        (OfResidentByDue, FiledByByDue, OfStaffByDue, NamedByDue, RunningAtUnitByDue, RunningAtUnitByDue, RunningAtUnitByDue, RunningAtUnitByDue, RunningAtUnitByDue, RunningAtUnitByDue,
         InStateWithDepartmentByDue, InStateWithDepartmentByDue),
        { after_on, after_id, limit }
    )
}

/// A page in its order, one more than `limit`.
pub fn list(conn: &mut PgConnection, asked: &Asked, after: After, limit: i64) -> QueryResult<Vec<Line>> {
    match asked.sort {
        _ if asked.nothing() => Ok(Vec::new()),
        Sort::CreatedAt => by_created_at(conn, asked, after, limit + 1),
        Sort::DueOn => by_due_on(conn, asked, after, limit + 1),
    }
}

fn counted(conn: &mut PgConnection, asked: &Asked) -> QueryResult<Counted> {
    choose!(
        asked,
        conn,
        get_result,
        (
            CountOfResident,
            CountFiledBy,
            CountOfStaff,
            CountNamed,
            CountAtUnit,
            CountInStateAtUnit,
            CountInStateAtUnit,
            CountHeldAtUnit,
            CountOfMatterAtUnit,
            CountRunningAtUnit,
            CountWithDepartment,
            CountInStateWithDepartment
        ),
        {}
    )
}

/// How many a list has in all.
pub fn count(conn: &mut PgConnection, asked: &Asked) -> QueryResult<i64> {
    if asked.nothing() { Ok(0) } else { Ok(counted(conn, asked)?.n) }
}
