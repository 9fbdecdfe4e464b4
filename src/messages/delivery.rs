//! Deliveries, leases and grants in the database.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{Integer, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::model::{Channel, Delivered, Delivery, Message};
use crate::{
    db::{
        found,
        schema::{
            message_deliveries as deliveries, message_grants as grants, message_leases as leases, messages, residents,
        },
    },
    error::Result,
    statement, todos,
};

/// How long somebody may be at sending to a person: longer than a job may run, so that two never overlap.
pub const LEASE: TimeDelta = TimeDelta::seconds(60);

/// County and id of a message.
pub type Of = (i32, Uuid);

/// Begins a channel; one that was begun stays as it is.
pub fn insert(
    conn: &mut PgConnection,
    (county, id): Of,
    channel: Channel,
    state: Delivery,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    diesel::insert_into(deliveries::table)
        .values((
            (deliveries::county_id.eq(county), deliveries::message_id.eq(id), deliveries::channel.eq(channel)),
            (deliveries::state.eq(state), deliveries::at.eq(now)),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
}

/// Whom a message is for; the values are sealed.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = residents, check_for_backend(diesel::pg::Pg))]
pub struct Receiver {
    pub unit_id: Option<Uuid>,
    pub phone: Option<Vec<u8>>,
    pub wechat_openid: Option<Vec<u8>>,
}

/// A message, whom it is for, and the channel that is to be tried now; none when nothing is left to do.
pub fn waiting(conn: &mut PgConnection, (county, id): Of) -> Result<Option<(Message, Receiver, Delivered)>> {
    let Some(message) = found(messages::table.find((county, id)).select(Message::as_select()).first(conn))? else {
        return Ok(None);
    };
    // At most one waits: the next channel begins when the one before has failed.
    let of = deliveries::table.filter(deliveries::county_id.eq(county)).filter(deliveries::message_id.eq(id));
    let pending = of.filter(deliveries::state.eq(Delivery::Pending)).select(Delivered::as_select());
    let Some(pending) = found(pending.first(conn))? else { return Ok(None) };
    let receiver = residents::table.find((county, message.resident_id)).select(Receiver::as_select()).first(conn)?;
    Ok(Some((message, receiver, pending)))
}

/// Counts an attempt before it is made, so that one that dies on the way counts too.
pub fn attempt(conn: &mut PgConnection, (county, id): Of, channel: Channel, now: DateTime<Utc>) -> QueryResult<usize> {
    let row = deliveries::table.find((county, id, channel)).filter(deliveries::state.eq(Delivery::Pending));
    diesel::update(row).set((deliveries::attempts.eq(deliveries::attempts + 1), deliveries::at.eq(now))).execute(conn)
}

/// Writes what an attempt came to; a delivery that no longer waits stays as it is.
pub fn settle(
    conn: &mut PgConnection,
    (county, id): Of,
    channel: Channel,
    (state, code): (Delivery, Option<i32>),
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let row = deliveries::table.find((county, id, channel)).filter(deliveries::state.eq(Delivery::Pending));
    diesel::update(row)
        .set((deliveries::state.eq(state), deliveries::code.eq(code), deliveries::at.eq(now)))
        .execute(conn)
}

/// What has not been sent will not be.
pub fn drop_pending(conn: &mut PgConnection, (county, id): Of, now: DateTime<Utc>) -> QueryResult<usize> {
    let of = deliveries::table.filter(deliveries::county_id.eq(county)).filter(deliveries::message_id.eq(id));
    diesel::update(of.filter(deliveries::state.eq(Delivery::Pending)))
        .set((deliveries::state.eq(Delivery::Dropped), deliveries::at.eq(now)))
        .execute(conn)
}

/// Removes what hangs on messages that are about to go.
pub fn forget(conn: &mut PgConnection, county: i32, ids: &[Uuid], now: DateTime<Utc>) -> Result<()> {
    for id in ids {
        for kind in [todos::Kind::Call, todos::Kind::Slip] {
            todos::drop_about(conn, county, kind, ("message", *id), now)?;
        }
    }
    let used = grants::table.filter(grants::county_id.eq(county)).filter(grants::message_id.eq_any(ids));
    diesel::update(used).set(grants::message_id.eq(None::<Uuid>)).execute(conn)?;
    let of = deliveries::table.filter(deliveries::county_id.eq(county));
    diesel::delete(of.filter(deliveries::message_id.eq_any(ids))).execute(conn)?;
    Ok(())
}

statement! {
    struct Take {
        county: i32 as Integer, resident: Uuid as SqlUuid, holder: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz,
        until: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO message_leases (county_id, resident_id, holder, until) VALUES ({county}, {resident}, {holder}, {until}) \
     ON CONFLICT (county_id, resident_id) DO UPDATE SET holder = excluded.holder, until = excluded.until \
     WHERE message_leases.until <= {now}"
}

/// The right to send to a person, alone; false while somebody else has it.
pub fn lease(conn: &mut PgConnection, (county, resident): Of, holder: Uuid, now: DateTime<Utc>) -> QueryResult<bool> {
    Ok(Take { county, resident, holder, now, until: now + LEASE }.execute(conn)? == 1)
}

/// Gives the right back, if it is still this holder's.
pub fn release(conn: &mut PgConnection, (county, resident): Of, holder: Uuid) -> QueryResult<usize> {
    diesel::delete(leases::table.find((county, resident)).filter(leases::holder.eq(holder))).execute(conn)
}

/// Records grants that a resident gave, one each.
pub fn grant(
    conn: &mut PgConnection,
    (county, resident): Of,
    templates: &[String],
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let row = |template| {
        (
            (grants::county_id.eq(county), grants::id.eq(Uuid::now_v7()), grants::resident_id.eq(resident)),
            (grants::template_id.eq(template), grants::granted_at.eq(now)),
        )
    };
    diesel::insert_into(grants::table).values(templates.iter().map(row).collect::<Vec<_>>()).execute(conn)
}

/// How many unused grants a resident has left, by template.
pub fn left(conn: &mut PgConnection, (county, resident): Of) -> QueryResult<Vec<(String, i64)>> {
    let own = grants::table.filter(grants::county_id.eq(county)).filter(grants::resident_id.eq(resident));
    let unused = own.filter(grants::used_at.is_null()).filter(grants::voided_at.is_null());
    unused.group_by(grants::template_id).select((grants::template_id, diesel::dsl::count_star())).load(conn)
}

statement! {
    struct TakeGrant {
        county: i32 as Integer, resident: Uuid as SqlUuid, template: String as Text, message: Uuid as SqlUuid,
        now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE message_grants SET message_id = {message}, used_at = {now} WHERE county_id = {county} AND used_at IS NULL AND id = ( \
       SELECT id FROM message_grants WHERE county_id = {county} AND resident_id = {resident} AND template_id = {template} \
         AND used_at IS NULL AND voided_at IS NULL ORDER BY granted_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)"
}

/// Takes exactly one grant for a message, the oldest; one that an earlier attempt took is taken already.
pub fn take_grant(
    conn: &mut PgConnection,
    (county, resident): Of,
    template: &str,
    message: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let taken = grants::table.filter(grants::county_id.eq(county)).filter(grants::message_id.eq(message));
    let taken = taken.filter(grants::template_id.eq(template)).filter(grants::voided_at.is_null());
    if diesel::select(diesel::dsl::exists(taken)).get_result(conn)? {
        return Ok(true);
    }
    // The county has changed the template since: the grant for the old one is there for others.
    give_back(conn, (county, message))?;
    let template = template.to_owned();
    Ok(TakeGrant { county, resident, template, message, now }.execute(conn)? == 1)
}

/// WeChat answered that it did not send: the grant is there for another message.
pub fn give_back(conn: &mut PgConnection, (county, message): Of) -> QueryResult<usize> {
    let taken = grants::table.filter(grants::county_id.eq(county)).filter(grants::message_id.eq(message));
    let unused = (grants::message_id.eq(None::<Uuid>), grants::used_at.eq(None::<DateTime<Utc>>));
    diesel::update(taken.filter(grants::voided_at.is_null())).set(unused).execute(conn)
}

/// WeChat knows of no grant (43101): what we believe to be left for the template of this message is void, its own included.
pub fn void(conn: &mut PgConnection, (county, message): Of, now: DateTime<Utc>) -> Result<()> {
    let here = grants::table.filter(grants::county_id.eq(county));
    let taken = here.filter(grants::message_id.eq(message)).select((grants::resident_id, grants::template_id));
    let Some((resident, template)) = found(taken.first::<(Uuid, String)>(conn))? else { return Ok(()) };
    let believed = here.filter(grants::resident_id.eq(resident)).filter(grants::template_id.eq(template));
    let believed = believed.filter(grants::voided_at.is_null());
    let left = believed.filter(grants::used_at.is_null().or(grants::message_id.eq(message)));
    diesel::update(left).set(grants::voided_at.eq(now)).execute(conn)?;
    Ok(())
}
