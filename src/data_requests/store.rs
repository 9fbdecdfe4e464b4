//! Requests in the database. Every move is an update guarded by the states that it may start from.

use chrono::{DateTime, Utc};
use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use serde_json::Value;
use uuid::Uuid;

use super::model::{DataRequest, DataRequestKind, DataRequestState};
use crate::{
    db::{
        changes::{self, Change},
        found,
        schema::{data_requests, residents},
    },
    error::Result,
    http::page::After,
};

/// Which request, at what time.
pub type At = ((i32, Uuid), DateTime<Utc>);

pub fn find(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<DataRequest>> {
    found(data_requests::table.find((county, id)).select(DataRequest::as_select()).first(conn))
}

/// Tells the phones of the resident and of the unit.
pub fn changed(conn: &mut PgConnection, row: &DataRequest, now: DateTime<Utc>) -> QueryResult<()> {
    let unit = residents::table.find((row.county_id, row.resident_id)).select(residents::unit_id);
    let unit_id: Option<Uuid> = unit.first(conn)?;
    let (county, entity_id, resident_id) = (row.county_id, row.id, Some(row.resident_id));
    let change =
        Change { county, entity: "data_request", entity_id, unit_id, resident_id, staff_id: None, gone: false };
    changes::record(conn, change, now)
}

/// A request to be written.
pub struct NewDataRequest {
    pub county: i32,
    pub id: Uuid,
    pub resident: Uuid,
    pub kind: DataRequestKind,
    pub words: Option<Vec<u8>>,
    pub asked_by: Option<Uuid>,
    pub due_at: DateTime<Utc>,
}

pub fn insert(conn: &mut PgConnection, new: NewDataRequest, now: DateTime<Utc>) -> QueryResult<DataRequest> {
    let row: DataRequest = diesel::insert_into(data_requests::table)
        .values((
            (data_requests::county_id.eq(new.county), data_requests::id.eq(new.id)),
            (data_requests::resident_id.eq(new.resident), data_requests::kind.eq(new.kind)),
            (data_requests::words.eq(new.words), data_requests::asked_by.eq(new.asked_by)),
            (data_requests::due_at.eq(new.due_at), data_requests::asked_at.eq(now), data_requests::updated_at.eq(now)),
        ))
        .returning(DataRequest::as_returning())
        .get_result(conn)?;
    changed(conn, &row, now)?;
    Ok(row)
}

/// A resident's requests, oldest first, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    county: i32,
    resident: Uuid,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<DataRequest>> {
    let of = data_requests::table.filter(data_requests::county_id.eq(county));
    let mut query = of.filter(data_requests::resident_id.eq(resident)).select(DataRequest::as_select()).into_boxed();
    if let Some(after) = after {
        let same = data_requests::asked_at.eq(after.at).and(data_requests::id.gt(after.id));
        query = query.filter(data_requests::asked_at.gt(after.at).or(same));
    }
    query.order((data_requests::asked_at, data_requests::id)).limit(limit + 1).load(conn)
}

pub fn count(conn: &mut PgConnection, county: i32, resident: Uuid) -> QueryResult<i64> {
    let of = data_requests::table.filter(data_requests::county_id.eq(county));
    of.filter(data_requests::resident_id.eq(resident)).count().get_result(conn)
}

/// Begins the work on a request that waits; one that a crash left running begins again. None if it has ended.
pub fn begin(conn: &mut PgConnection, (key, now): At) -> Result<Option<DataRequest>> {
    let waiting = data_requests::table.find(key).filter(data_requests::state.eq_any(DataRequestState::WAITING));
    let begun = diesel::update(waiting)
        .set((
            data_requests::state.eq(DataRequestState::Running),
            (data_requests::version.eq(data_requests::version + 1), data_requests::updated_at.eq(now)),
        ))
        .returning(DataRequest::as_returning())
        .get_result::<DataRequest>(conn);
    let begun = found(begun)?;
    if let Some(row) = &begun {
        changed(conn, row, now)?;
    }
    Ok(begun)
}

/// The copy is made; none if the request has ended meanwhile.
pub fn ready(
    conn: &mut PgConnection,
    (key, now): At,
    (archive, counts): (&[u8], &Value),
    expires_at: DateTime<Utc>,
) -> Result<Option<DataRequest>> {
    let running = data_requests::table.find(key).filter(data_requests::state.eq(DataRequestState::Running));
    let made = diesel::update(running)
        .set((
            (data_requests::state.eq(DataRequestState::Ready), data_requests::archive.eq(archive)),
            (data_requests::counts.eq(counts), data_requests::ready_at.eq(now)),
            data_requests::expires_at.eq(expires_at),
            (data_requests::version.eq(data_requests::version + 1), data_requests::updated_at.eq(now)),
        ))
        .returning(DataRequest::as_returning())
        .get_result(conn);
    found(made)
}

/// How a request ends.
pub struct End {
    pub state: DataRequestState,
    /// Sealed.
    pub reason: Option<Vec<u8>>,
    pub by: Option<Uuid>,
    pub counts: Option<Value>,
    pub kept: Option<Value>,
}

impl End {
    pub fn new(state: DataRequestState) -> Self {
        Self { state, reason: None, by: None, counts: None, kept: None }
    }
}

/// Ends a request that waits; none if it has ended already.
pub fn end(conn: &mut PgConnection, (key, now): At, end: End) -> Result<Option<DataRequest>> {
    let waiting = data_requests::table.find(key).filter(data_requests::state.eq_any(DataRequestState::WAITING));
    let ended = diesel::update(waiting)
        .set((
            (data_requests::state.eq(end.state), data_requests::ended_at.eq(now)),
            (data_requests::reason.eq(end.reason), data_requests::decided_by.eq(end.by)),
            (data_requests::counts.eq(end.counts), data_requests::kept.eq(end.kept)),
            (data_requests::version.eq(data_requests::version + 1), data_requests::updated_at.eq(now)),
        ))
        .returning(DataRequest::as_returning())
        .get_result::<DataRequest>(conn);
    let ended = found(ended)?;
    if let Some(row) = &ended {
        changed(conn, row, now)?;
    }
    Ok(ended)
}

/// The sealed copy.
pub fn archive(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Vec<u8>>> {
    Ok(found(data_requests::table.find((county, id)).select(data_requests::archive).first(conn))?.flatten())
}

/// At most as many copies let go of at once.
const BATCH: i64 = 200;

/// Copies past their days lose their bytes. True while there is more to do.
pub fn expire(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    // In words that the planner knows from the partial index.
    let ready = data_requests::table.filter(sql::<Bool>("state = 'ready'"));
    let old = ready.filter(data_requests::expires_at.le(now)).limit(BATCH);
    let keys: Vec<(i32, Uuid)> = old.select((data_requests::county_id, data_requests::id)).load(conn)?;
    for key in &keys {
        expire_one(conn, (*key, now))?;
    }
    Ok(keys.len() == BATCH as usize)
}

/// Takes the bytes of a copy that is ready.
pub fn expire_one(conn: &mut PgConnection, (key, now): At) -> QueryResult<()> {
    let ready = data_requests::table.find(key).filter(data_requests::state.eq(DataRequestState::Ready));
    let expired: Option<DataRequest> = diesel::update(ready)
        .set((
            (data_requests::state.eq(DataRequestState::Expired), data_requests::archive.eq(None::<Vec<u8>>)),
            (data_requests::ended_at.eq(now), data_requests::updated_at.eq(now)),
            data_requests::version.eq(data_requests::version + 1),
        ))
        .returning(DataRequest::as_returning())
        .get_result(conn)
        .optional()?;
    expired.map_or(Ok(()), |row| changed(conn, &row, now))
}

/// What the person or the staff wrote in words.
pub fn forget_words(conn: &mut PgConnection, county: i32, resident: Uuid) -> QueryResult<usize> {
    let of = data_requests::table.filter(data_requests::county_id.eq(county));
    let written = data_requests::words.is_not_null().or(data_requests::reason.is_not_null());
    let none = None::<Vec<u8>>;
    diesel::update(of.filter(data_requests::resident_id.eq(resident)).filter(written))
        .set((data_requests::words.eq(&none), data_requests::reason.eq(&none)))
        .execute(conn)
}

/// Gives a request to the record that stays.
pub fn give_to(conn: &mut PgConnection, (county, id): (i32, Uuid), into: Uuid) -> QueryResult<usize> {
    diesel::update(data_requests::table.find((county, id))).set(data_requests::resident_id.eq(into)).execute(conn)
}
