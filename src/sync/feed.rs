//! The feed as one phone reads it: what concerns its units, its owner and everybody, by index; and which feed it is.
//!
//! **What a restore does to cursors.** A cursor names the epoch of the feed. The row of `change_feed` remembers the cluster and the timeline
//! that it was written on; where it is read on another one (a dump put into a new cluster, a recovery to a point in time, a standby
//! that was promoted, `pg_upgrade`), a new epoch begins and every cursor is from before it. A copy of the files that was put back and started moves neither:
//! such a cursor is known because it is further than the feed is now, or, once the feed has passed it, because a mark says that the
//! feed stood behind it at a later time. What stays unseen is a copy put back while no server made a mark, within the minutes that clocks of
//! servers may differ by: marks are made at every start and every hour.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::cursor::{self, Cursor};
use crate::{
    crypto,
    db::changes::Position,
    error::{Code, Error, Result},
    http::caller::Caller,
    statement,
};

statement! {
    /// Which feed it is, how far it can be read, and the next changes for a phone: of its units, of its owner, and of everybody.
    pub struct Next {
        county: i32 as Integer, top: Option<Uuid> as Nullable<SqlUuid>, staff: Uuid as SqlUuid, xid: i64 as BigInt, seq: i64 as BigInt,
        entities: Vec<&'static str> as Array<Text>, for_all: Vec<&'static str> as Array<Text>, handed_out: DateTime<Utc> as Timestamptz, limit: i64 as BigInt,
    }
    "WITH RECURSIVE tree (id) AS (SELECT u.id FROM units u WHERE u.county_id = {county} AND u.id = {top} \
       UNION ALL SELECT u.id FROM tree t JOIN units u ON u.county_id = {county} AND u.parent_id = t.id), \
     reach AS (SELECT coalesce(array_agg(id ORDER BY id), ARRAY[]::uuid[]) AS units FROM tree) \
     SELECT f.epoch, f.place = feed_place() AS here, f.kept_from::text::bigint AS kept_from, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin, \
       EXISTS (SELECT FROM change_marks m WHERE m.at > {handed_out} + interval '5 minutes' AND m.xid < {xid}::text::xid8) AS rewound, \
       r.units::text AS units, c.xid::text::bigint AS xid, c.seq, c.entity, c.entity_id \
     FROM change_feed f CROSS JOIN reach r LEFT JOIN LATERAL ( \
       SELECT n.xid, n.seq, n.entity, n.entity_id FROM ( \
         SELECT o.* FROM unnest(r.units) u (id) CROSS JOIN LATERAL ( \
           SELECT x.xid, x.seq, x.entity, x.entity_id FROM changes x WHERE x.county_id = {county} AND x.unit_id = u.id AND x.unit_id IS NOT NULL \
             AND (x.xid, x.seq) > ({xid}::text::xid8, {seq}) AND x.xid < pg_snapshot_xmin(pg_current_snapshot()) AND x.entity = ANY ({entities}) \
           ORDER BY x.xid, x.seq LIMIT {limit}) o \
         UNION \
         (SELECT x.xid, x.seq, x.entity, x.entity_id FROM changes x WHERE x.county_id = {county} AND x.staff_id = {staff} AND x.staff_id IS NOT NULL \
             AND (x.xid, x.seq) > ({xid}::text::xid8, {seq}) AND x.xid < pg_snapshot_xmin(pg_current_snapshot()) AND x.entity = ANY ({entities}) \
           ORDER BY x.xid, x.seq LIMIT {limit}) \
         UNION \
         (SELECT x.xid, x.seq, x.entity, x.entity_id FROM changes x WHERE x.county_id = {county} AND x.unit_id IS NULL AND x.staff_id IS NULL AND x.resident_id IS NULL \
             AND (x.xid, x.seq) > ({xid}::text::xid8, {seq}) AND x.xid < pg_snapshot_xmin(pg_current_snapshot()) AND x.entity = ANY ({for_all}) \
           ORDER BY x.xid, x.seq LIMIT {limit})) n \
       ORDER BY n.xid, n.seq LIMIT {limit}) c ON true \
     ORDER BY c.xid, c.seq"
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(embed)]
    standing: Standing,
    #[diesel(sql_type = Nullable<BigInt>)]
    xid: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    seq: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    entity: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    entity_id: Option<Uuid>,
}

/// Which feed it is and how far it can be read, for one phone.
#[derive(Clone, Debug, QueryableByName)]
pub struct Standing {
    #[diesel(sql_type = BigInt)]
    pub epoch: i64,
    /// The database is the one that wrote the feed.
    #[diesel(sql_type = Bool)]
    pub here: bool,
    /// Changes of earlier transactions may be gone.
    #[diesel(sql_type = BigInt)]
    pub kept_from: i64,
    /// Every transaction before this one has ended, and is read.
    #[diesel(sql_type = BigInt)]
    pub xmin: i64,
    /// The feed stood behind the cursor after that was handed out.
    #[diesel(sql_type = Bool)]
    pub rewound: bool,
    /// The units that the phone's post reaches, as text.
    #[diesel(sql_type = Text)]
    units: String,
}

impl Standing {
    /// The units, for a cursor: where a unit joins them or leaves, what can be seen is another thing.
    pub fn reach(&self) -> [u8; 16] {
        *crypto::digest(self.units.as_bytes()).first_chunk().expect("32 bytes hold 16")
    }

    /// Before every transaction that has not ended yet.
    pub fn now(&self) -> Position {
        Position { xid: self.xmin, seq: 0 }
    }

    /// Whether a cursor is still good; 410 says why not.
    pub fn check(&self, caller: &Caller, cursor: &Cursor) -> Result<()> {
        let gone = |zh, en| Err(Error::new(Code::SyncCursorGone).detail(zh, en));
        if cursor.whose != cursor::whose(caller) || cursor.reach != self.reach() {
            let zh = "该 cursor 属于另一账号、岗位或辖区，或来自旧版本；请不带 cursor 重新同步，未上传的记录请保留";
            let en = "It is of another account, post or reach, or from before an upgrade. Start over without a cursor; keep what is not uploaded yet";
            return gone(zh, en);
        }
        if cursor.epoch != self.epoch || cursor.position.xid > self.xmin || self.rewound {
            let zh = "数据库已恢复或切换；请不带 cursor 重新同步，再次上传此后的记录（相同的编号不会重复）";
            let en = "The database was restored or replaced. Start over without a cursor, and upload once more what was uploaded lately: the same ids are never kept twice";
            return gone(zh, en);
        }
        if cursor.position.xid < self.kept_from {
            let zh = "距上次同步过久；请不带 cursor 重新同步，未上传的记录请保留";
            let en = "It is too long ago. Start over without a cursor; keep what is not uploaded yet";
            return gone(zh, en);
        }
        Ok(())
    }
}

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub entity: String,
    pub id: Uuid,
    pub at: Position,
}

/// Reads the feed for a phone: where it stands, and at most `limit` changes after `position`, in their order.
pub fn next(conn: &mut PgConnection, next: Next) -> QueryResult<(Standing, Vec<Changed>)> {
    let rows: Vec<Row> = next.load(conn)?;
    let standing = rows.first().map(|row| row.standing.clone()).ok_or(diesel::result::Error::NotFound)?;
    let changed = |row: Row| {
        let (xid, seq, entity, id) = (row.xid?, row.seq?, row.entity?, row.entity_id?);
        Some(Changed { entity, id, at: Position { xid, seq } })
    };
    Ok((standing, rows.into_iter().filter_map(changed).collect()))
}

statement! {
    struct Renew { epoch: i64 as BigInt, now: DateTime<Utc> as Timestamptz }
    "UPDATE change_feed SET epoch = {epoch}, place = feed_place(), began_at = {now}, \
       kept_from = CASE WHEN split_part(place, '/', 1) = split_part(feed_place(), '/', 1) THEN kept_from ELSE '0' END WHERE place <> feed_place()"
}

statement! {
    /// Marks of another cluster count its transactions, not ours.
    struct Forget { now: DateTime<Utc> as Timestamptz }
    "DELETE FROM change_marks WHERE xid > pg_snapshot_xmax(pg_current_snapshot()) AND at <= {now}"
}

/// Begins a new epoch if the database is another one than the one that wrote the feed: cursors from before are gone.
pub fn renew(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<bool> {
    let renewed = Renew { epoch: rand::random(), now }.execute(conn)? == 1;
    if renewed {
        Forget { now }.execute(conn)?;
        tracing::warn!(
            "the database was restored or replaced: a new epoch of the change feed begins, phones start over"
        );
    }
    Ok(renewed)
}
