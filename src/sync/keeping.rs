//! How long the feed is kept: marks say where it stood when, and what is older than the oldest cursor may be goes.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult, RunQueryDsl,
    sql_types::{BigInt, Timestamptz},
};

use super::feed;
use crate::{app::App, error::Result, statement};

/// Rows deleted at once: few enough to stay far below the statement timeout.
const BATCH: i64 = 5_000;

statement! {
    struct Mark { now: DateTime<Utc> as Timestamptz }
    "INSERT INTO change_marks (at, xid) VALUES ({now}, pg_snapshot_xmin(pg_current_snapshot())) ON CONFLICT DO NOTHING"
}

statement! {
    /// The feed is kept from the last mark on that is old enough; marks before it are of no use.
    struct Cut { before: DateTime<Utc> as Timestamptz }
    "WITH old AS (SELECT max(m.xid) AS xid FROM change_marks m WHERE m.at < {before}), \
       gone AS (DELETE FROM change_marks m USING old WHERE m.at < {before} AND m.xid < old.xid) \
     UPDATE change_feed f SET kept_from = old.xid FROM old WHERE old.xid > f.kept_from"
}

statement! {
    struct Purge { limit: i64 as BigInt }
    "DELETE FROM changes WHERE ctid = ANY (ARRAY(SELECT o.ctid FROM change_feed f CROSS JOIN counties k CROSS JOIN LATERAL ( \
       SELECT c.ctid FROM changes c WHERE c.county_id = k.id AND c.xid < f.kept_from ORDER BY c.xid, c.seq LIMIT {limit}) o LIMIT {limit}))"
}

statement! {
    /// What a restored dump brought along: its transactions are counted otherwise than ours.
    struct PurgeForeign { limit: i64 as BigInt }
    "DELETE FROM changes WHERE ctid = ANY (ARRAY(SELECT o.ctid FROM counties k CROSS JOIN LATERAL ( \
       SELECT c.ctid FROM changes c WHERE c.county_id = k.id AND c.xid >= pg_snapshot_xmax(pg_current_snapshot()) ORDER BY c.xid DESC, c.seq DESC LIMIT {limit}) o LIMIT {limit}))"
}

/// Says where the feed stands now, and begins a new epoch where the database is another one: at every start, and every hour.
pub fn mark(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<()> {
    feed::renew(conn, now)?;
    Ok(Mark { now }.execute(conn).map(drop)?)
}

/// Deletes what is older than `keep`; a phone away for longer starts over. True while there is more to delete.
pub fn purge(conn: &mut PgConnection, keep: TimeDelta, now: DateTime<Utc>) -> QueryResult<bool> {
    Cut { before: now - keep }.execute(conn)?;
    let gone = Purge { limit: BATCH }.execute(conn)? + PurgeForeign { limit: BATCH }.execute(conn)?;
    Ok(gone >= BATCH as usize)
}

/// The pass of workers over the feed.
pub async fn run(app: &App) -> Result<()> {
    let (now, keep) = (app.clock.now(), TimeDelta::days(i64::from(app.config.changes_kept_days)));
    app.db.write("mark_changes", move |conn| mark(conn, now)).await?;
    while app.db.write("purge_changes", move |conn| Ok(purge(conn, keep, now)?)).await? {}
    Ok(())
}
