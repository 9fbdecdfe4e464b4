//! Who stands in for whom on a day (AB 岗).

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{Array, Bool, Date, Integer, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    clock::{CST, local_date},
    error::Result,
    http::permissions::Role,
    rooms::{Absent, ROOMS},
    statement,
};

statement! {
    /// Outwards from somebody who is present: those who name them as deputy and are not there, and so on. The rule against
    /// circles ends it; the depth guards what an import of long ago may have left.
    struct Covered { county: i32 as Integer, staff: Uuid as SqlUuid, on: NaiveDate as Date }
    "WITH RECURSIVE reach (id, until_on, depth) AS ( \
       SELECT {staff}, NULL::date, 0 WHERE staff_present({county}, {staff}, {on}) \
       UNION \
       SELECT p.staff_id, LEAST(r.until_on, a.until_on), r.depth + 1 \
         FROM reach r JOIN staff_posts p ON p.county_id = {county} AND p.deputy_id = r.id \
         LEFT JOIN staff_absences a ON a.county_id = p.county_id AND a.staff_id = p.staff_id AND a.cancelled_at IS NULL \
              AND {on} BETWEEN a.from_on AND a.until_on \
        WHERE r.depth < 16 AND NOT staff_present({county}, p.staff_id, {on})) \
     SELECT p.staff_id AS holder, p.role, p.unit_id AS unit, LEAST(r.until_on, a.until_on) AS until_on \
       FROM reach r JOIN staff_posts p ON p.county_id = {county} AND p.deputy_id = r.id \
       JOIN staff_absences a ON a.county_id = p.county_id AND a.staff_id = p.staff_id AND a.cancelled_at IS NULL \
            AND {on} BETWEEN a.from_on AND a.until_on \
       JOIN staff s ON s.county_id = p.county_id AND s.id = p.staff_id AND s.state = 'active' \
      ORDER BY p.id"
}

/// A post that somebody may act in for an absent colleague, and the last day of it.
#[derive(Clone, Debug, QueryableByName)]
pub struct CoveredPost {
    #[diesel(sql_type = SqlUuid)]
    pub holder: Uuid,
    #[diesel(sql_type = Text)]
    pub role: Role,
    #[diesel(sql_type = SqlUuid)]
    pub unit: Uuid,
    #[diesel(sql_type = Date)]
    pub until_on: NaiveDate,
}

impl CoveredPost {
    /// The end of the last day.
    pub fn until(&self) -> DateTime<Utc> {
        let midnight = (self.until_on + chrono::Days::new(1)).and_time(NaiveTime::MIN);
        midnight.and_local_timezone(CST).single().map_or(DateTime::<Utc>::MIN_UTC, |at| at.to_utc())
    }
}

/// The posts of absent colleagues that `staff` acts in on a day; none while `staff` is away too.
pub fn covered_posts(
    conn: &mut PgConnection,
    county: i32,
    staff: Uuid,
    on: NaiveDate,
) -> QueryResult<Vec<CoveredPost>> {
    Covered { county, staff, on }.load(conn)
}

/// Until when `staff` may act in a colleague's post, if they may now.
pub fn covers_until(
    conn: &mut PgConnection,
    county: i32,
    staff: Uuid,
    (holder, role, unit): (Uuid, Role, Uuid),
    now: DateTime<Utc>,
) -> QueryResult<Option<DateTime<Utc>>> {
    let posts = covered_posts(conn, county, staff, local_date(now))?;
    let same = |post: &&CoveredPost| (post.holder, post.role, post.unit) == (holder, role, unit);
    Ok(posts.iter().find(same).map(CoveredPost::until))
}

/// Whom `staff` covers on a day: those absent who have them as deputy, and those whose deputies are absent too.
pub fn covered_by(conn: &mut PgConnection, county: i32, staff: Uuid, on: NaiveDate) -> QueryResult<Vec<Uuid>> {
    let mut holders: Vec<_> = covered_posts(conn, county, staff, on)?.into_iter().map(|post| post.holder).collect();
    holders.sort_unstable();
    holders.dedup();
    Ok(holders)
}

statement! {
    /// Inwards from an absent holder: the nearest deputy who is present, of their oldest post.
    struct Cover { county: i32 as Integer, holder: Uuid as SqlUuid, on: NaiveDate as Date }
    "WITH RECURSIVE chain (id, post, depth) AS ( \
       SELECT p.deputy_id, p.id, 1 FROM staff_posts p \
        WHERE p.county_id = {county} AND p.staff_id = {holder} AND p.deputy_id IS NOT NULL \
          AND NOT staff_present({county}, {holder}, {on}) \
       UNION \
       SELECT p.deputy_id, c.post, c.depth + 1 FROM chain c \
         JOIN staff_posts p ON p.county_id = {county} AND p.staff_id = c.id AND p.deputy_id IS NOT NULL \
        WHERE c.depth < 16 AND NOT staff_present({county}, c.id, {on})) \
     SELECT id FROM chain WHERE staff_present({county}, id, {on}) ORDER BY depth, post, id LIMIT 1"
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Who acts for the holder on a day: the holder, or the first present deputy along the chain; the holder if there is none.
pub fn cover_of(conn: &mut PgConnection, county: i32, holder: Uuid, on: NaiveDate) -> QueryResult<Uuid> {
    let found: Vec<Found> = Cover { county, holder, on }.load(conn)?;
    Ok(found.first().map_or(holder, |found| found.id))
}

statement! {
    struct Present { county: i32 as Integer, staff: Vec<Uuid> as Array<SqlUuid>, on: NaiveDate as Date }
    "SELECT s.id, s.display_name AS name, staff_present({county}, s.id, {on}) AS present FROM staff s \
      WHERE s.county_id = {county} AND s.id = ANY ({staff})"
}

/// A member of staff, and whether they are there on the day that was asked for.
#[derive(Clone, Debug, QueryableByName)]
pub struct There {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Bool)]
    pub present: bool,
}

/// Those asked for, and who is there in the place of each who is not, where somebody is.
pub fn on_duty(
    conn: &mut PgConnection,
    county: i32,
    staff: Vec<Uuid>,
    on: NaiveDate,
) -> QueryResult<Vec<(There, Option<There>)>> {
    let asked: Vec<There> = Present { county, staff, on }.load(conn)?;
    let mut found = Vec::new();
    for there in asked {
        let mut cover = None;
        if !there.present {
            let by = cover_of(conn, county, there.id, on)?;
            cover = Present { county, staff: vec![by], on }.load::<There>(conn)?.pop().filter(|by| by.present);
        }
        found.push((there, cover));
    }
    Ok(found)
}

statement! {
    struct Serves { county: i32 as Integer, staff: Uuid as SqlUuid, unit: Uuid as SqlUuid }
    "SELECT s.id FROM staff s JOIN staff_posts p ON p.county_id = s.county_id AND p.staff_id = s.id AND p.ended_at IS NULL \
      WHERE s.county_id = {county} AND s.id = {staff} AND s.state = 'active' \
        AND (unit_within({county}, {unit}, p.unit_id) OR unit_within({county}, p.unit_id, {unit})) LIMIT 1"
}

/// Whether an active member of staff has a post that has to do with a unit: of it, of one above it or of one below it.
pub fn serves(conn: &mut PgConnection, county: i32, staff: Uuid, unit: Uuid) -> QueryResult<bool> {
    Ok(!Serves { county, staff, unit }.load::<Found>(conn)?.is_empty())
}

/// Tells all rooms that it has changed whether `staff` is there, or who is there instead.
pub(super) fn told(conn: &mut PgConnection, county: i32, staff: Uuid, now: DateTime<Utc>) -> Result<()> {
    let absent = Absent { county, staff, now };
    ROOMS.iter().filter_map(|room| room.absent).try_for_each(|hook| hook(conn, &absent))
}
