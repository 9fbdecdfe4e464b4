//! Lists of orders: of a resident, of whoever ordered for others, of a helper, of a unit and those below it.
//!
//! A page reads about as much as it shows: each list has a statement whose order is that of an index.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    model::{Order, OrderState, StartedHow},
    store::{columns, sides},
};
use crate::{http::page::After, statement};

/// Which orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of a resident, as the caller may see them.
    Resident(Uuid),
    /// Ordered by a resident for others.
    OrderedBy(Uuid),
    /// That a helper holds or held.
    Helper(Uuid),
    /// Of a unit and the units below it.
    Unit(Uuid),
}

/// Which of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    pub state: Option<OrderState>,
    pub kind: Option<Uuid>,
    pub holder: Option<Uuid>,
    pub series: Option<Uuid>,
    pub started_how: Option<StartedHow>,
    /// Wanted in a time.
    pub from: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
}

/// What is listed, and what is left out because the caller may not see it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub county: i32,
    pub of: Of,
    /// The resident or the member of staff who asks.
    pub resident: Option<Uuid>,
    pub staff: Option<Uuid>,
    /// The unit that staff reach; none: the whole county.
    pub within: Option<Uuid>,
    pub filter: Filter,
    pub today: NaiveDate,
}

/// What a list does not look at.
macro_rules! no_money {
    () => {
        ", 0::bigint AS money_pending, 0::bigint AS money_missing"
    };
}

pub(super) use no_money;

/// The conditions of [`Filter`] on an order `o`.
macro_rules! filtered {
    () => {
        " AND ({state}::text IS NULL OR o.state = {state}) AND ({kind}::uuid IS NULL OR o.kind_id = {kind}) \
          AND ({holder}::uuid IS NULL OR o.holder_id = {holder}) AND ({series}::uuid IS NULL OR o.series_id = {series}) \
          AND ({started_how}::text IS NULL OR o.started_how = {started_how}) \
          AND ({from}::timestamptz IS NULL OR o.wanted_until > {from}) AND ({until}::timestamptz IS NULL OR o.wanted_from < {until}) \
          AND ({within}::uuid IS NULL OR unit_within({county}, o.unit_id, {within})) "
    };
}

/// A list and its count: the same orders. A list of units has as many of each as the page has, by its index, and of these the first.
macro_rules! lists {
    ($($page:ident, $count:ident $things:literal $of:literal;)*) => {$(
        statement! {
            struct $page {
                county: i32 as Integer, which: Uuid as SqlUuid, resident: Option<Uuid> as Nullable<SqlUuid>, staff: Option<Uuid> as Nullable<SqlUuid>,
                within: Option<Uuid> as Nullable<SqlUuid>, state: Option<OrderState> as Nullable<Text>, kind: Option<Uuid> as Nullable<SqlUuid>,
                holder: Option<Uuid> as Nullable<SqlUuid>, series: Option<Uuid> as Nullable<SqlUuid>, started_how: Option<StartedHow> as Nullable<Text>, from: Option<DateTime<Utc>> as Nullable<Timestamptz>,
                until: Option<DateTime<Utc>> as Nullable<Timestamptz>, today: NaiveDate as Date, after_at: DateTime<Utc> as Timestamptz,
                after_id: Uuid as SqlUuid, limit: i64 as BigInt,
            }
            concat!(columns!(concat!(sides!(), no_money!())), $things, " t CROSS JOIN LATERAL (SELECT * FROM orders o WHERE o.county_id = {county} AND ", $of, filtered!(),
                "AND (o.created_at, o.id) > ({after_at}, {after_id}) ORDER BY o.created_at, o.id LIMIT {limit}) o \
                 LEFT JOIN helpers h ON h.county_id = o.county_id AND h.id = o.holder_id ORDER BY o.created_at, o.id LIMIT {limit}")
        }
        statement! {
            struct $count {
                county: i32 as Integer, which: Uuid as SqlUuid, resident: Option<Uuid> as Nullable<SqlUuid>,
                within: Option<Uuid> as Nullable<SqlUuid>, state: Option<OrderState> as Nullable<Text>, kind: Option<Uuid> as Nullable<SqlUuid>,
                holder: Option<Uuid> as Nullable<SqlUuid>, series: Option<Uuid> as Nullable<SqlUuid>, started_how: Option<StartedHow> as Nullable<Text>, from: Option<DateTime<Utc>> as Nullable<Timestamptz>,
                until: Option<DateTime<Utc>> as Nullable<Timestamptz>, today: NaiveDate as Date,
            }
            concat!("SELECT count(*) AS n FROM ", $things, " t CROSS JOIN LATERAL (SELECT FROM orders o WHERE o.county_id = {county} AND ", $of, filtered!(),
                " AND coalesce({resident}::uuid, {which}) IS NOT NULL AND {today}::date IS NOT NULL OFFSET 0) o")
        }
    )*};
}

lists! {
    OfResident, CountOfResident "(SELECT {which}::uuid AS id)"
        "o.resident_id = t.id AND ({resident}::uuid IS NULL OR o.resident_id = {resident} OR acts_for({county}, o.resident_id, {resident}, 'order', {today}))";
    OrderedBy, CountOrderedBy "(SELECT {which}::uuid AS id)"
        "o.ordered_by_resident = t.id AND acts_for({county}, o.resident_id, t.id, 'order', {today})";
    OfHelper, CountOfHelper "(SELECT {which}::uuid AS id)" "o.holder_id = t.id";
    AtUnit, CountAtUnit "(WITH RECURSIVE tree (id) AS (SELECT u.id FROM units u WHERE u.county_id = {county} AND u.id = {which} AND ({within}::uuid IS NULL OR unit_within({county}, u.id, {within})) \
        UNION ALL SELECT u.id FROM tree t JOIN units u ON u.county_id = {county} AND u.parent_id = t.id) SELECT id FROM tree)" "o.unit_id = t.id";
    InStateAtUnit, CountInStateAtUnit "(WITH RECURSIVE tree (id) AS (SELECT u.id FROM units u WHERE u.county_id = {county} AND u.id = {which} AND ({within}::uuid IS NULL OR unit_within({county}, u.id, {within})) \
        UNION ALL SELECT u.id FROM tree t JOIN units u ON u.county_id = {county} AND u.parent_id = t.id) SELECT id FROM tree)" "o.unit_id = t.id AND o.state = {state}";
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

macro_rules! page_of {
    ($asked:expr, $conn:expr, $after:expr, $limit:expr, $($of:pat $(if $guard:expr)? => $which:expr, $page:ident;)*) => {{
        let Asked { county, of, resident, staff, within, filter, today } = *$asked;
        let Filter { state, kind, holder, series, started_how, from, until } = filter;
        let (after_at, after_id, limit) = ($after.at.max(DateTime::UNIX_EPOCH), $after.id, $limit);
        match of {
            $($of $(if $guard)? => $page { county, which: $which, resident, staff, within, state, kind, holder, series, started_how, from, until, today, after_at, after_id, limit }.load($conn),)*
        }
    }};
}

/// Ordered first, one more than `limit`.
pub fn list(conn: &mut PgConnection, asked: &Asked, after: After, limit: i64) -> QueryResult<Vec<Order>> {
    let in_state = asked.filter.state.is_some();
    page_of! { asked, conn, after, limit + 1,
        Of::Resident(id) => id, OfResident;
        Of::OrderedBy(id) => id, OrderedBy;
        Of::Helper(id) => id, OfHelper;
        Of::Unit(id) if in_state => id, InStateAtUnit;
        Of::Unit(id) => id, AtUnit;
    }
}

macro_rules! count_of {
    ($asked:expr, $conn:expr, $($of:pat $(if $guard:expr)? => $which:expr, $count:ident;)*) => {{
        let Asked { county, of, resident, within, filter, today, .. } = *$asked;
        let Filter { state, kind, holder, series, started_how, from, until } = filter;
        match of {
            $($of $(if $guard)? => $count { county, which: $which, resident, within, state, kind, holder, series, started_how, from, until, today }.get_result::<Counted>($conn),)*
        }
    }};
}

/// How many a list has in all.
pub fn count(conn: &mut PgConnection, asked: &Asked) -> QueryResult<i64> {
    let in_state = asked.filter.state.is_some();
    let counted = count_of! { asked, conn,
        Of::Resident(id) => id, CountOfResident;
        Of::OrderedBy(id) => id, CountOrderedBy;
        Of::Helper(id) => id, CountOfHelper;
        Of::Unit(id) if in_state => id, CountInStateAtUnit;
        Of::Unit(id) => id, CountAtUnit;
    };
    Ok(counted?.n)
}

statement! {
    struct Numbered { county: i32 as Integer, number: String as Text }
    "SELECT o.id FROM orders o WHERE o.county_id = {county} AND o.number = {number}"
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// The order with a number: for whoever is told it over the phone, and may see it.
pub fn numbered(conn: &mut PgConnection, county: i32, number: &str) -> crate::error::Result<Option<Uuid>> {
    let row = Numbered { county, number: number.to_owned() }.get_result::<Id>(conn);
    Ok(crate::db::found(row)?.map(|found| found.id))
}
