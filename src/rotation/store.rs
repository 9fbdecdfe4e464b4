//! Sealed values read by primary key and exchanged by compare-and-set, in tables that are known by name only.
#![expect(
    clippy::disallowed_methods,
    reason = "the tables come from a list, so the text cannot be fixed; nothing here is hot"
)]

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text, Timestamptz},
};

use super::{Column, Rows};
use crate::{db::schema::audit_batches, rooms::Index, statement};

/// Where a row stands in the order of its table's primary key.
#[derive(Clone, Debug, QueryableByName)]
pub struct At {
    #[diesel(sql_type = Integer)]
    pub county: i32,
    #[diesel(sql_type = Text)]
    pub key: String,
}

/// A row's sealed value, or the first byte of it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Found {
    #[diesel(embed)]
    pub at: At,
    #[diesel(sql_type = Nullable<Binary>)]
    pub value: Option<Vec<u8>>,
    /// Has no blind index and should.
    #[diesel(sql_type = Bool)]
    pub bare: bool,
}

/// A value and its blind index, to be exchanged if they are still as they were.
#[derive(Clone, Debug)]
pub struct Swap {
    pub at: At,
    pub old: Vec<u8>,
    pub new: Vec<u8>,
    pub index: Option<Vec<u8>>,
}

/// The rows after one, in the order of the primary key: as many as are asked for, sealed or not, so that each statement is short
/// however few are left.
pub fn page(conn: &mut PgConnection, column: &Column, after: &At, limit: i64, whole: bool) -> QueryResult<Vec<Found>> {
    let Column { table, column: name, rows, index } = column;
    let missing = |index: &Index| index.columns.iter().map(|column| format!("{column} IS NULL")).collect::<Vec<_>>();
    let missing = index.as_ref().filter(|index| index.always).map(missing);
    let bare =
        missing.map_or("false".to_owned(), |missing| format!("{name} IS NOT NULL AND {}", missing.join(" AND ")));
    let value = if whole { (*name).to_owned() } else { format!("substring({name} FROM 1 FOR 1)") };
    let (county, key, beyond, order) = match rows {
        Rows::OfCounty => ("county_id", "id", "(county_id, id) > ($1, $2::uuid)".to_owned(), "county_id, id"),
        Rows::Counties => ("id", "id", "id > $1 AND $2 IS NOT NULL".to_owned(), "id"),
        Rows::Global(key) => ("0", *key, format!("$1 IS NOT NULL AND {key} > $2"), *key),
    };
    let sql = format!(
        "SELECT {county} AS county, {key}::text AS key, {value} AS value, {bare} AS bare FROM {table} WHERE {beyond} ORDER BY {order} LIMIT $3"
    );
    sql_query(sql).bind::<Integer, _>(after.county).bind::<Text, _>(&after.key).bind::<BigInt, _>(limit).load(conn)
}

/// Exchanges values that are still what they were; how many. A row whose index is not set keeps it so, unless each must have it.
pub fn swap(conn: &mut PgConnection, column: &Column, swaps: &[Swap]) -> QueryResult<usize> {
    let Column { table, column: name, rows, index } = column;
    let set = |index: Index| {
        index.columns.iter().map(move |column| match index.always {
            true => format!(", {column} = v.index"),
            false => format!(", {column} = CASE WHEN t.{column} IS NULL THEN NULL ELSE v.index END"),
        })
    };
    let index: String = index.iter().copied().flat_map(set).collect();
    let same = match rows {
        Rows::OfCounty => "t.county_id = v.county AND t.id = v.key::uuid".to_owned(),
        Rows::Counties => "t.id = v.county".to_owned(),
        Rows::Global(key) => format!("t.{key} = v.key"),
    };
    let sql = format!(
        "UPDATE {table} t SET {name} = v.new{index} \
         FROM unnest($1, $2, $3, $4, $5) AS v(county, key, old, new, index) WHERE {same} AND t.{name} = v.old"
    );
    let of = |bytes: fn(&Swap) -> &Vec<u8>| swaps.iter().map(bytes).collect::<Vec<_>>();
    sql_query(sql)
        .bind::<Array<Integer>, _>(swaps.iter().map(|swap| swap.at.county).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(swaps.iter().map(|swap| swap.at.key.as_str()).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(of(|swap| &swap.old))
        .bind::<Array<Binary>, _>(of(|swap| &swap.new))
        .bind::<Array<Nullable<Binary>>, _>(swaps.iter().map(|swap| swap.index.as_ref()).collect::<Vec<_>>())
        .execute(conn)
}

/// The key version of each county's newest audit batch.
pub fn newest_batches(conn: &mut PgConnection) -> QueryResult<Vec<(i32, i16)>> {
    audit_batches::table
        .distinct_on(audit_batches::county_id)
        .order((audit_batches::county_id, audit_batches::id.desc()))
        .select((audit_batches::county_id, audit_batches::key_version))
        .load(conn)
}

statement! {
    struct Answers { from: DateTime<Utc> as Timestamptz, to: DateTime<Utc> as Timestamptz }
    "SELECT get_byte(body, 0)::smallint AS key, count(*) AS count, max(created_at) AS last FROM idempotency_keys \
     WHERE created_at >= {from} AND created_at < {to} GROUP BY 1"
}

#[derive(QueryableByName)]
struct Answered {
    #[diesel(sql_type = SmallInt)]
    key: i16,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Timestamptz)]
    last: DateTime<Utc>,
}

/// Stored answers of a span of time: key version, how many, the last.
pub fn answers(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> QueryResult<Vec<(u8, u64, DateTime<Utc>)>> {
    let rows: Vec<Answered> = Answers { from, to }.load(conn)?;
    Ok(rows.into_iter().map(|row| (row.key as u8, row.count as u64, row.last)).collect())
}
