//! Versions in the database: read, and added to; nothing changes them.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{Date, Integer, Uuid as SqlUuid},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::{
    store::Matter,
    version::{Content, DecidedBy, MatterKind, Version},
};
use crate::{
    db::{
        found,
        schema::{matter_versions, matters},
    },
    error::{Code, Error, Result},
};

diesel::define_sql_function! {
    /// The number of the version in effect on a day.
    fn matter_version_on(county: Integer, matter: SqlUuid, on_day: Date) -> Nullable<SmallInt>;
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = matter_versions, check_for_backend(diesel::pg::Pg))]
struct Row {
    matter_id: Uuid,
    number: i16,
    effective_from: NaiveDate,
    decided_by: DecidedBy,
    department_id: Option<Uuid>,
    kind: MatterKind,
    promised_days: i16,
    statutory_days: Option<i16>,
    proxy_allowed: bool,
    materials: Value,
    conditions: Value,
    questions: Value,
    form: Option<Value>,
    ladder: Option<Value>,
    created_by: Option<Uuid>,
    created_at: DateTime<Utc>,
}

/// What was checked before it was written.
fn parsed<T: DeserializeOwned>(stored: Value) -> Result<T> {
    serde_json::from_value(stored).map_err(Error::internal)
}

impl TryFrom<Row> for Version {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let content = Content {
            decided_by: row.decided_by,
            department_id: row.department_id,
            kind: row.kind,
            promised_days: row.promised_days,
            statutory_days: row.statutory_days,
            proxy_allowed: row.proxy_allowed,
            materials: parsed(row.materials)?,
            conditions: parsed(row.conditions)?,
            questions: parsed(row.questions)?,
            form: row.form,
            ladder: row.ladder.map(parsed).transpose()?,
        };
        let Row { matter_id, number, effective_from, created_by, created_at, .. } = row;
        Ok(Self { matter_id, number, effective_from, content, created_by, created_at })
    }
}

/// The version of a matter in effect on a local day; none before the first.
pub fn in_effect(conn: &mut PgConnection, county: i32, matter: Uuid, day: NaiveDate) -> Result<Option<Version>> {
    let of = matter_versions::table
        .filter(matter_versions::county_id.eq(county))
        .filter(matter_versions::matter_id.eq(matter))
        .filter(matter_versions::effective_from.le(day));
    let latest = of.order((matter_versions::effective_from.desc(), matter_versions::number.desc()));
    found(latest.select(Row::as_select()).first(conn))?.map(Version::try_from).transpose()
}

/// The versions of all matters of a county in effect on a local day.
pub fn all_in_effect(conn: &mut PgConnection, county: i32, day: NaiveDate) -> Result<Vec<Version>> {
    let on = matter_version_on(matter_versions::county_id, matter_versions::matter_id, day);
    let of = matter_versions::table.filter(matter_versions::county_id.eq(county));
    let rows = of.filter(matter_versions::number.nullable().eq(on)).select(Row::as_select()).load(conn)?;
    rows.into_iter().map(Version::try_from).collect()
}

/// Of these matters the versions in effect on a local day, and those to come; in the order in which they were published.
pub fn present_and_coming(
    conn: &mut PgConnection,
    county: i32,
    matters: &[Uuid],
    day: NaiveDate,
) -> Result<Vec<Version>> {
    let on = matter_version_on(matter_versions::county_id, matter_versions::matter_id, day);
    let of = matter_versions::table.filter(matter_versions::county_id.eq(county));
    let of = of.filter(matter_versions::matter_id.eq_any(matters));
    let of = of.filter(
        matter_versions::effective_from.gt(day).or(matter_versions::number.nullable().eq(on).assume_not_null()),
    );
    let rows = of.order((matter_versions::matter_id, matter_versions::number)).select(Row::as_select()).load(conn)?;
    rows.into_iter().map(Version::try_from).collect()
}

/// One version of a matter.
pub fn version(conn: &mut PgConnection, county: i32, matter: Uuid, number: i16) -> Result<Option<Version>> {
    let row = matter_versions::table.find((county, matter, number)).select(Row::as_select());
    found(row.first(conn))?.map(Version::try_from).transpose()
}

/// The versions of a matter, oldest first, from above a number; one more than `limit`.
pub fn list(conn: &mut PgConnection, county: i32, matter: Uuid, above: i16, limit: i64) -> Result<Vec<Version>> {
    let of = matter_versions::table
        .filter(matter_versions::county_id.eq(county))
        .filter(matter_versions::matter_id.eq(matter))
        .filter(matter_versions::number.gt(above));
    let rows = of.order(matter_versions::number).limit(limit + 1).select(Row::as_select()).load(conn)?;
    rows.into_iter().map(Version::try_from).collect()
}

/// How many versions a matter has.
pub fn count(conn: &mut PgConnection, county: i32, matter: Uuid) -> QueryResult<i64> {
    let of = matter_versions::table.filter(matter_versions::county_id.eq(county));
    of.filter(matter_versions::matter_id.eq(matter)).count().get_result(conn)
}

/// Holds back others who publish for a matter, until the transaction ends. Not found: 404.
pub fn lock(conn: &mut PgConnection, county: i32, matter: Uuid) -> Result<()> {
    let row = matters::table.find((county, matter)).select(matters::id).for_no_key_update();
    found(row.first::<Uuid>(conn))?.map(drop).ok_or(Code::NotFound.into())
}

/// Holds back whoever changes matters of a county, or publishes for one, until the transaction ends.
pub fn lock_all(conn: &mut PgConnection, county: i32) -> QueryResult<()> {
    let here = matters::table.filter(matters::county_id.eq(county)).order(matters::id);
    here.select(matters::id).for_no_key_update().load::<Uuid>(conn).map(drop)
}

/// All matters of a county, oldest first: some hundreds.
pub fn matters(conn: &mut PgConnection, county: i32) -> QueryResult<Vec<Matter>> {
    let here = matters::table.filter(matters::county_id.eq(county));
    here.order(matters::id).select(Matter::as_select()).load(conn)
}

/// Whether versions that are in effect, or will be, are decided by a department.
pub fn decided_by(conn: &mut PgConnection, county: i32, department: Uuid, day: NaiveDate) -> QueryResult<bool> {
    let on = matter_version_on(matter_versions::county_id, matter_versions::matter_id, day);
    let of = matter_versions::table
        .filter(matter_versions::county_id.eq(county))
        .filter(matter_versions::department_id.eq(department))
        .filter(
            matter_versions::effective_from.gt(day).or(matter_versions::number.nullable().eq(on).assume_not_null()),
        );
    diesel::select(diesel::dsl::exists(of)).get_result(conn)
}

fn json(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(Error::internal)
}

/// Adds the next version of a matter, which is locked.
pub fn insert(
    conn: &mut PgConnection,
    (county, matter): (i32, Uuid),
    content: &Content,
    effective_from: NaiveDate,
    (by, now): (Option<Uuid>, DateTime<Utc>),
) -> Result<Version> {
    let of = matter_versions::table
        .filter(matter_versions::county_id.eq(county))
        .filter(matter_versions::matter_id.eq(matter));
    let last: Option<i16> = of.select(diesel::dsl::max(matter_versions::number)).first(conn)?;
    let row = diesel::insert_into(matter_versions::table)
        .values((
            (matter_versions::county_id.eq(county), matter_versions::matter_id.eq(matter)),
            (matter_versions::number.eq(last.unwrap_or(0) + 1), matter_versions::effective_from.eq(effective_from)),
            (
                matter_versions::decided_by.eq(content.decided_by),
                matter_versions::department_id.eq(content.department_id),
            ),
            (matter_versions::kind.eq(content.kind), matter_versions::promised_days.eq(content.promised_days)),
            (
                matter_versions::statutory_days.eq(content.statutory_days),
                matter_versions::proxy_allowed.eq(content.proxy_allowed),
            ),
            (
                matter_versions::materials.eq(json(&content.materials)?),
                matter_versions::conditions.eq(json(&content.conditions)?),
                matter_versions::questions.eq(json(&content.questions)?),
            ),
            (
                matter_versions::form.eq(&content.form),
                matter_versions::ladder.eq(content.ladder.as_ref().map(json).transpose()?),
            ),
            (matter_versions::created_by.eq(by), matter_versions::created_at.eq(now)),
        ))
        .returning(Row::as_returning())
        .get_result::<Row>(conn)?;
    row.try_into()
}
