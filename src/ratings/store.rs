//! Ratings in the database.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    dsl::not,
    prelude::*,
    sql_types::{Array, Integer, Nullable, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::model::{AboutKind, Entry, GivenHow, Rating};
use crate::{
    clock::local_date,
    db::{
        changes::{self, Change},
        found,
        schema::{rating_entries, ratings, staff_posts},
    },
    error::Result,
    http::{
        caller::{Reach, Scope},
        page::After,
        permissions::Role,
    },
    rooms::Merge,
    statement,
    units::store::unit_within,
};

/// What is said.
#[derive(Clone, Debug)]
pub struct Said {
    pub grade: i16,
    pub reasons: Vec<String>,
    /// The entry's id and its sealed words.
    pub entry: Uuid,
    pub words: Option<Vec<u8>>,
    pub how: GivenHow,
    pub by: Uuid,
}

/// A rating that is given for the first time.
#[derive(Clone, Debug)]
pub struct New {
    pub id: Uuid,
    pub about: (AboutKind, Uuid),
    pub resident: Uuid,
    pub unit: Uuid,
    pub served_by: Vec<Uuid>,
}

/// A change that one resident's phone learns of; nobody else's: not even that there is a rating.
fn changed(county: i32, rating: Uuid, resident: Uuid, gone: bool) -> Change {
    let (entity_id, resident_id) = (rating, Some(resident));
    Change { county, entity: "rating", entity_id, unit_id: None, resident_id, staff_id: None, gone }
}

/// Tells the resident, and whoever said it for them.
fn tell(conn: &mut PgConnection, row: &Rating, now: DateTime<Utc>) -> QueryResult<()> {
    changes::record(conn, changed(row.county_id, row.id, row.resident_id, false), now)?;
    if row.given_how == GivenHow::Proxy {
        changes::record(conn, changed(row.county_id, row.id, row.given_by, false), now)?;
    }
    Ok(())
}

/// Those of a record that is one with another from now on.
pub fn moved(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let Merge { county, from, into, now } = *merge;
    let moved: Vec<MovedRating> = MoveRatings { county, from, into }.load(conn)?;
    for rating in &moved {
        changes::record(conn, changed(county, rating.id, from, true), now)?;
        changes::record(conn, changed(county, rating.id, into, false), now)?;
    }
    Ok(moved.len())
}

statement! {
    // Of two records that turn out to be one person, what the one said for the other is their own word.
    struct MoveRatings { county: i32 as Integer, from: Uuid as SqlUuid, into: Uuid as SqlUuid }
    "UPDATE ratings SET resident_id = CASE WHEN resident_id = {from} THEN {into} ELSE resident_id END, \
       given_by = CASE WHEN given_by = {from} THEN {into} ELSE given_by END, version = version + 1, \
       given_how = CASE WHEN given_how = 'proxy' AND resident_id IN ({from}, {into}) AND given_by IN ({from}, {into}) THEN 'resident' ELSE given_how END \
     WHERE county_id = {county} AND (resident_id = {from} OR given_by = {from}) RETURNING id"
}

#[derive(QueryableByName)]
struct MovedRating {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

fn insert_entry(conn: &mut PgConnection, row: &Rating, said: &Said, now: DateTime<Utc>) -> QueryResult<usize> {
    diesel::insert_into(rating_entries::table)
        .values((
            (rating_entries::county_id.eq(row.county_id), rating_entries::id.eq(said.entry)),
            (rating_entries::rating_id.eq(row.id), rating_entries::seq.eq(row.entries)),
            (rating_entries::grade.eq(said.grade), rating_entries::reasons.eq(&said.reasons)),
            (rating_entries::words.eq(&said.words), rating_entries::given_how.eq(said.how)),
            (rating_entries::given_by.eq(said.by), rating_entries::at.eq(now)),
        ))
        .execute(conn)
}

/// Writes a rating; a second one of the same thing fails on `ratings_once`.
pub fn insert(conn: &mut PgConnection, county: i32, new: &New, said: &Said, now: DateTime<Utc>) -> QueryResult<Rating> {
    let row = diesel::insert_into(ratings::table)
        .values((
            (ratings::county_id.eq(county), ratings::id.eq(new.id), ratings::about_kind.eq(new.about.0)),
            (ratings::about_id.eq(new.about.1), ratings::resident_id.eq(new.resident), ratings::unit_id.eq(new.unit)),
            (ratings::served_by.eq(&new.served_by), ratings::grade.eq(said.grade), ratings::reasons.eq(&said.reasons)),
            (ratings::given_how.eq(said.how), ratings::given_by.eq(said.by), ratings::on_date.eq(local_date(now))),
            (ratings::created_at.eq(now), ratings::changed_at.eq(now)),
        ))
        .returning(Rating::as_returning())
        .get_result(conn)?;
    insert_entry(conn, &row, said, now)?;
    tell(conn, &row, now)?;
    Ok(row)
}

/// Says it anew, of a row that is locked.
pub fn change(conn: &mut PgConnection, row: &Rating, said: &Said, now: DateTime<Utc>) -> QueryResult<Rating> {
    if row.given_how == GivenHow::Proxy && row.given_by != said.by {
        changes::record(conn, changed(row.county_id, row.id, row.given_by, true), now)?;
    }
    let row = diesel::update(ratings::table.find((row.county_id, row.id)))
        .set((
            (ratings::grade.eq(said.grade), ratings::reasons.eq(&said.reasons), ratings::changed_at.eq(now)),
            (ratings::given_how.eq(said.how), ratings::given_by.eq(said.by)),
            (ratings::entries.eq(ratings::entries + 1), ratings::version.eq(ratings::version + 1)),
        ))
        .returning(Rating::as_returning())
        .get_result(conn)?;
    insert_entry(conn, &row, said, now)?;
    tell(conn, &row, now)?;
    Ok(row)
}

/// A rating of a county, locked, whoever may see it.
pub fn lock(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Rating>> {
    found(ratings::table.find((county, id)).select(Rating::as_select()).for_no_key_update().first(conn))
}

/// Everything that was said, oldest first.
pub fn entries(conn: &mut PgConnection, county: i32, rating: Uuid) -> QueryResult<Vec<Entry>> {
    let of = rating_entries::table.filter(rating_entries::county_id.eq(county));
    let of = of.filter(rating_entries::rating_id.eq(rating)).order(rating_entries::seq);
    of.select(Entry::as_select()).load(conn)
}

/// Units in which somebody works: of their ratings they see totals only, whatever else they are.
pub fn working_units(conn: &mut PgConnection, county: i32, member: Uuid) -> QueryResult<Vec<Uuid>> {
    let held = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::staff_id.eq(member));
    let working = [Role::Specialist, Role::VillageCadre, Role::TownshipStaff];
    let held = held.filter(staff_posts::ended_at.is_null()).filter(staff_posts::role.eq_any(working));
    held.select(staff_posts::unit_id).load(conn)
}

statement! {
    struct Above { county: i32 as Integer, unit: Uuid as SqlUuid, served_by: Vec<Uuid> as Array<SqlUuid> }
    "WITH RECURSIVE up (id, parent_id, height) AS ( \
         SELECT u.id, u.parent_id, 0 FROM units u WHERE u.county_id = {county} AND u.id = {unit} \
         UNION ALL SELECT u.id, u.parent_id, n.height + 1 FROM up n JOIN units u ON u.county_id = {county} AND u.id = n.parent_id) \
     SELECT (SELECT n.id FROM up n WHERE n.height > 0 AND (n.parent_id IS NULL OR NOT EXISTS (SELECT FROM staff_posts p \
         WHERE p.county_id = {county} AND p.staff_id = ANY ({served_by}) AND p.ended_at IS NULL AND p.unit_id = n.id)) ORDER BY n.height LIMIT 1) AS id"
}

#[derive(QueryableByName)]
struct Unit {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
}

/// The lowest unit above one in which none of those who served works; the county at last, none above it.
pub fn above(conn: &mut PgConnection, county: i32, unit: Uuid, served_by: Vec<Uuid>) -> QueryResult<Option<Uuid>> {
    Ok(Above { county, unit, served_by }.get_result::<Unit>(conn)?.id)
}

/// Who looks, and what is kept from them.
#[derive(Clone, Debug)]
pub struct Looking {
    pub scope: Scope,
    pub who: Uuid,
    /// Units whose single ratings they do not see: those in which they work.
    pub hidden: Vec<Uuid>,
}

type Boxed<'a> = ratings::BoxedQuery<'a, diesel::pg::Pg>;

fn visible<'a>(looking: &Looking) -> Boxed<'a> {
    let Looking { scope, who, hidden } = looking.clone();
    let here = ratings::table.filter(ratings::county_id.eq(scope.county)).into_boxed();
    let here = match scope.reach {
        Reach::Own(own) => return here.filter(ratings::resident_id.eq(own).or(ratings::given_by.eq(own))),
        Reach::Unit(unit) => here.filter(unit_within(scope.county, ratings::unit_id.nullable(), unit)),
        Reach::County => here,
    };
    here.filter(ratings::unit_id.ne_all(hidden)).filter(not(ratings::served_by.contains(vec![Some(who)])))
}

/// What a list is narrowed to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub unit: Option<Uuid>,
    pub about_kind: Option<AboutKind>,
    pub about: Option<Uuid>,
    pub up_to_grade: Option<i16>,
    pub from: Option<NaiveDate>,
    pub to: Option<NaiveDate>,
}

fn wanted<'a>(looking: &Looking, by: Wanted) -> Boxed<'a> {
    let mut query = visible(looking);
    if let Some(unit) = by.unit {
        query = query.filter(unit_within(looking.scope.county, ratings::unit_id.nullable(), unit));
    }
    if let Some(kind) = by.about_kind {
        query = query.filter(ratings::about_kind.eq(kind));
    }
    if let Some(about) = by.about {
        query = query.filter(ratings::about_id.eq(about));
    }
    if let Some(grade) = by.up_to_grade {
        query = query.filter(ratings::grade.le(grade));
    }
    if let Some(from) = by.from {
        query = query.filter(ratings::on_date.ge(from));
    }
    if let Some(to) = by.to {
        query = query.filter(ratings::on_date.le(to));
    }
    query
}

/// Newest last, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    looking: &Looking,
    by: Wanted,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Rating>> {
    let mut query = wanted(looking, by);
    if let Some(after) = after {
        let same = ratings::created_at.eq(after.at).and(ratings::id.gt(after.id));
        query = query.filter(ratings::created_at.gt(after.at).or(same));
    }
    query.order((ratings::created_at, ratings::id)).limit(limit + 1).select(Rating::as_select()).load(conn)
}

pub fn count(conn: &mut PgConnection, looking: &Looking, by: Wanted) -> QueryResult<i64> {
    wanted(looking, by).count().get_result(conn)
}

pub fn find(conn: &mut PgConnection, looking: &Looking, id: Uuid) -> Result<Option<Rating>> {
    found(visible(looking).filter(ratings::id.eq(id)).select(Rating::as_select()).first(conn))
}
