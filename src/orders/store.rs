//! Orders in the database: one statement reads everything that a move is decided by, one writes it.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{
        Array, BigInt, Binary, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use serde_json::Value;
use uuid::Uuid;

use super::model::{ConfirmedHow, Order, OrderState, StartedHow, Step};
pub use super::takers::{Reasons, Who, count_try, helper, helper_of, returned, township, uncount_try, why};
pub use crate::http::caller::Seen;
use crate::{
    clock::local_date,
    db::found,
    error::Result,
    http::{idempotency::Keep, permissions::Role},
    statement,
};

/// The columns of an order `o` whose holder is `h`; `$own` are those that depend on who asks.
macro_rules! columns {
    ($own:expr) => {
        concat!(
            "SELECT o.*, (SELECT k.name FROM order_kinds k WHERE k.county_id = o.county_id AND k.id = o.kind_id) AS kind_name, \
               (SELECT u.name FROM units u WHERE u.county_id = o.county_id AND u.id = o.unit_id) AS unit_name, \
               (SELECT p.name FROM residents p WHERE p.county_id = o.county_id AND p.id = o.resident_id) AS resident_name, \
               h.kind AS holder_kind, h.staff_id AS holder_staff, \
               (SELECT s.display_name FROM staff s WHERE s.county_id = h.county_id AND s.id = h.staff_id) AS holder_staff_name, \
               h.resident_id AS holder_resident, (SELECT v.name FROM residents v WHERE v.county_id = h.county_id AND v.id = h.resident_id) AS holder_name, \
               (SELECT c.finding_id FROM visit_cases c WHERE c.county_id = o.county_id AND c.kind = 'order' AND c.case_id = o.id) AS finding_id, ",
            $own,
            " FROM "
        )
    };
}
pub(super) use columns;

/// Whether the caller holds an order whose holder is `h`, and whether they are of the resident's side.
macro_rules! sides {
    () => {
        // A volunteer who was stopped holds nothing any more; staff who were are still staff.
        "coalesce(h.staff_id = {staff}, false) OR coalesce(h.resident_id = {resident} AND h.state = 'active', false) AS held, \
         coalesce(o.resident_id = {resident}, false) OR coalesce(acts_for({county}, o.resident_id, {resident}, 'order', {today}), false) AS mine"
    };
}
pub(super) use sides;

/// What is not agreed to yet, and what is not accounted for, of whoever holds it: what a former holder owes is no fault of theirs.
macro_rules! money {
    () => {
        "CASE WHEN o.money THEN (SELECT count(*) FROM order_money m WHERE m.county_id = o.county_id AND m.order_id = o.id AND m.helper_id = o.holder_id \
             AND NOT EXISTS (SELECT FROM order_money_answers a WHERE a.county_id = m.county_id AND a.order_id = m.order_id AND a.line = m.line)) ELSE 0 END AS money_pending, \
         CASE WHEN o.money THEN (SELECT coalesce(sum(CASE m.kind WHEN 'advance' THEN m.amount_fen ELSE -m.amount_fen END), 0)::bigint FROM order_money m \
             JOIN order_money_answers a ON a.county_id = m.county_id AND a.order_id = m.order_id AND a.line = m.line AND a.agreed \
             WHERE m.county_id = o.county_id AND m.order_id = o.id AND m.helper_id = o.holder_id) ELSE 0 END AS money_missing"
    };
}

statement! {
    /// An order with what its next move is decided by.
    pub struct Find {
        county: i32 as Integer, id: Uuid as SqlUuid, resident: Option<Uuid> as Nullable<SqlUuid>, staff: Option<Uuid> as Nullable<SqlUuid>,
        within: Option<Uuid> as Nullable<SqlUuid>, whole: bool as Bool, today: NaiveDate as Date,
    }
    concat!(columns!(concat!(sides!(), ", ", money!())), "orders o LEFT JOIN helpers h ON h.county_id = o.county_id AND h.id = o.holder_id \
     WHERE o.county_id = {county} AND o.id = {id} AND ({whole} OR CASE WHEN {resident}::uuid IS NOT NULL THEN \
         o.resident_id = {resident} OR coalesce(h.resident_id = {resident}, false) OR acts_for({county}, o.resident_id, {resident}, 'order', {today}) \
       ELSE coalesce(h.staff_id = {staff}, false) OR coalesce(unit_within({county}, o.unit_id, {within}), false) END)")
}

/// The order with an id, if the caller may see it.
pub fn find(conn: &mut PgConnection, county: i32, seen: Seen, id: Uuid, today: NaiveDate) -> Result<Option<Order>> {
    let Seen { resident, staff, within, whole } = seen;
    found(Find { county, id, resident, staff, within, whole, today }.get_result(conn))
}

/// What is written with a move besides the order: the move, and the answer that is kept.
macro_rules! and_the_move {
    () => {
        "entry AS (INSERT INTO order_moves (county_id, order_id, seq, at, step, actor_id, actor_role, from_state, to_state, from_holder, holder_id, facts) \
           SELECT county_id, id, {moves}, {now}, {step}, {actor}, {role}, {from_state}, {state}, {from_holder}, {holder}, {facts} FROM moved), \
         kept AS (INSERT INTO idempotency_keys (county_id, caller_id, operation, key, request_digest, status, location, etag, body, created_at) \
           SELECT county_id, {caller}, {operation}, {key}, {digest}, {status}, {location}, {etag}, {body}, {now} FROM moved WHERE {key}::text IS NOT NULL) \
         SELECT count(*) AS n FROM moved"
    };
}

statement! {
    /// Writes a move, if nobody was faster.
    pub struct Write {
        county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, state: OrderState as Text, holder: Option<Uuid> as Nullable<SqlUuid>,
        load_place: Option<i16> as Nullable<SmallInt>, lease_until: Option<DateTime<Utc>> as Nullable<Timestamptz>, opened_at: DateTime<Utc> as Timestamptz,
        due_at: Option<DateTime<Utc>> as Nullable<Timestamptz>, told: bool as Bool, codes: i32 as Integer, tries: Option<i16> as Nullable<SmallInt>,
        set_out_at: Option<DateTime<Utc>> as Nullable<Timestamptz>, started_at: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        started_how: Option<StartedHow> as Nullable<Text>, finished_at: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        confirmed_how: Option<ConfirmedHow> as Nullable<Text>, ended_at: Option<DateTime<Utc>> as Nullable<Timestamptz>, moves: i32 as Integer,
        step: Step as Text, actor: Option<Uuid> as Nullable<SqlUuid>, role: Option<&'static str> as Nullable<Text>, from_state: OrderState as Text,
        from_holder: Option<Uuid> as Nullable<SqlUuid>, facts: Value as Jsonb, caller: Option<Uuid> as Nullable<SqlUuid>,
        operation: Option<&'static str> as Nullable<Text>, key: Option<String> as Nullable<Text>, digest: Option<Vec<u8>> as Nullable<Binary>,
        status: Option<i16> as Nullable<SmallInt>, location: Option<String> as Nullable<Text>, etag: Option<String> as Nullable<Text>,
        body: Option<Vec<u8>> as Nullable<Binary>, now: DateTime<Utc> as Timestamptz,
    }
    concat!("WITH moved AS (UPDATE orders SET state = {state}, holder_id = {holder}, load_place = {load_place}, lease_until = {lease_until}, opened_at = {opened_at}, \
         due_at = {due_at}, told = {told}, codes = {codes}, tries = coalesce({tries}, tries), set_out_at = {set_out_at}, started_at = {started_at}, started_how = {started_how}, \
         finished_at = {finished_at}, confirmed_how = {confirmed_how}, ended_at = {ended_at}, moves = {moves}, version = version + 1, updated_at = {now} \
       WHERE county_id = {county} AND id = {id} AND version = {version} AND state = {from_state} AND holder_id IS NOT DISTINCT FROM {from_holder} RETURNING county_id, id), ",
       and_the_move!())
}

statement! {
    /// Gives an open order to a helper who fits and has a place left, unless somebody is at it; nobody waits for anybody else's claim.
    pub struct Give {
        county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, state: OrderState as Text, holder: Uuid as SqlUuid, holder_version: i64 as BigInt, load: i32 as Integer,
        waived: Vec<&'static str> as Array<Text>, lease_until: Option<DateTime<Utc>> as Nullable<Timestamptz>, moves: i32 as Integer, step: Step as Text,
        actor: Option<Uuid> as Nullable<SqlUuid>, role: Option<&'static str> as Nullable<Text>, from_state: OrderState as Text,
        from_holder: Option<Uuid> as Nullable<SqlUuid>, facts: Value as Jsonb, caller: Option<Uuid> as Nullable<SqlUuid>,
        operation: Option<&'static str> as Nullable<Text>, key: Option<String> as Nullable<Text>, digest: Option<Vec<u8>> as Nullable<Binary>,
        status: Option<i16> as Nullable<SmallInt>, location: Option<String> as Nullable<Text>, etag: Option<String> as Nullable<Text>,
        body: Option<Vec<u8>> as Nullable<Binary>, now: DateTime<Utc> as Timestamptz,
    }
    // Whoever stops the helper meanwhile, or says that they are away, waits until this is there to be taken back; or was faster, and it is looked at anew.
    concat!("WITH free AS (SELECT o.county_id, o.id FROM orders o WHERE o.county_id = {county} AND o.id = {id} AND o.version = {version} AND o.state = {from_state} \
         AND o.holder_id IS NOT DISTINCT FROM {from_holder} FOR NO KEY UPDATE SKIP LOCKED), \
       who AS (SELECT h.id, h.max_load FROM helpers h WHERE h.county_id = {county} AND h.id = {holder} AND h.state = 'active' AND h.version = {holder_version} FOR SHARE), \
       moved AS (UPDATE orders o SET state = {state}, holder_id = w.id, load_place = p.place, lease_until = {lease_until}, due_at = {lease_until}, told = false, \
         codes = o.codes + 1, tries = 0, moves = {moves}, version = o.version + 1, updated_at = {now} \
       FROM free f CROSS JOIN who w CROSS JOIN LATERAL (SELECT free_place({county}, w.id, coalesce(w.max_load, {load})) AS place OFFSET 0) p \
       WHERE o.county_id = {county} AND o.id = f.id AND p.place IS NOT NULL AND helper_unfit({county}, w.id, f.id, {now}) <@ {waived}::text[] RETURNING o.county_id, o.id), ",
       and_the_move!())
}

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// What a move is written with.
pub struct Writing<'a> {
    pub before: &'a Order,
    pub after: &'a Order,
    pub step: Step,
    pub actor: Option<Uuid>,
    pub role: Option<Role>,
    pub facts: Value,
    pub keep: Option<Keep>,
    pub now: DateTime<Utc>,
}

/// Writes it in one statement; false when somebody was faster.
pub fn write(conn: &mut PgConnection, writing: Writing<'_>) -> Result<bool> {
    let Writing { before, after, step, actor, role, facts, keep, now } = writing;
    let (caller, operation, key, digest, status, location, etag, body) = Keep::binds(keep);
    let write = Write {
        county: before.county_id,
        id: before.id,
        version: before.version,
        state: after.state,
        holder: after.holder_id,
        load_place: after.load_place,
        lease_until: after.lease_until,
        opened_at: after.opened_at,
        due_at: after.due_at,
        told: after.told,
        codes: after.codes,
        // Tries are counted beside the moves: only a move that begins anew says how many there were.
        tries: matches!(step, Step::Return | Step::Start | Step::Confirm | Step::HandOver).then_some(after.tries),
        set_out_at: after.set_out_at,
        started_at: after.started_at,
        started_how: after.started_how,
        finished_at: after.finished_at,
        confirmed_how: after.confirmed_how,
        ended_at: after.ended_at,
        moves: after.moves,
        step,
        actor,
        role: role.map(Role::as_str),
        from_state: before.state,
        from_holder: before.holder_id,
        facts,
        caller,
        operation,
        key,
        digest,
        status,
        location,
        etag,
        body,
        now,
    };
    Ok(write.get_result::<Written>(conn)?.n == 1)
}

/// Gives it to the helper who holds it afterwards, if they fit but for what is `waived`; false when they do not, have no place left, or
/// somebody was faster.
pub fn give(
    conn: &mut PgConnection,
    writing: Writing<'_>,
    helper: &Who,
    (load, waived): (i64, Vec<&'static str>),
) -> Result<bool> {
    let Writing { before, after, step, actor, role, facts, keep, now } = writing;
    let (holder, holder_version) = (helper.id, helper.version);
    let (caller, operation, key, digest, status, location, etag, body) = Keep::binds(keep);
    let give = Give {
        county: before.county_id,
        id: before.id,
        version: before.version,
        state: after.state,
        holder,
        holder_version,
        load: load as i32,
        waived,
        lease_until: after.lease_until,
        moves: after.moves,
        step,
        actor,
        role: role.map(Role::as_str),
        from_state: before.state,
        from_holder: before.holder_id,
        facts,
        caller,
        operation,
        key,
        digest,
        status,
        location,
        etag,
        body,
        now,
    };
    Ok(give.get_result::<Written>(conn)?.n == 1)
}

statement! {
    struct PutOff { county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, due_at: DateTime<Utc> as Timestamptz }
    "UPDATE orders SET due_at = {due_at} WHERE county_id = {county} AND id = {id} AND version = {version}"
}

/// Time looks at it again later, and nothing has happened; false when somebody was faster.
pub fn put_off(conn: &mut PgConnection, order: &Order, due_at: DateTime<Utc>) -> QueryResult<bool> {
    let Order { county_id: county, id, version, .. } = *order;
    Ok(PutOff { county, id, version, due_at }.execute(conn)? == 1)
}

statement! {
    struct Moves { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT m.seq, m.at, m.step, m.actor_id, m.actor_role, m.from_state, m.to_state, m.from_holder, m.holder_id, m.facts FROM order_moves m WHERE m.county_id = {county} AND m.order_id = {id} ORDER BY m.seq"
}

/// A move as stored.
#[derive(Clone, Debug, QueryableByName)]
pub struct Moved {
    #[diesel(sql_type = Integer)]
    pub seq: i32,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub step: Step,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub actor_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub actor_role: Option<Role>,
    #[diesel(sql_type = Nullable<Text>)]
    pub from_state: Option<OrderState>,
    #[diesel(sql_type = Text)]
    pub to_state: OrderState,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub from_holder: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub holder_id: Option<Uuid>,
    #[diesel(sql_type = Jsonb)]
    pub facts: Value,
}

/// Every move of an order, oldest first.
pub fn moves(conn: &mut PgConnection, county: i32, id: Uuid) -> QueryResult<Vec<Moved>> {
    Moves { county, id }.load(conn)
}

/// The local day that proxies are asked about.
pub fn today(now: DateTime<Utc>) -> NaiveDate {
    local_date(now)
}
