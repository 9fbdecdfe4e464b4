//! The inbox in the database, and what other rooms ask of it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    delivery,
    jobs::DeliverMessage,
    model::{Channel, Delivered, Delivery, Kind, Message, NewMessage, OwnWords},
    templates,
};
use crate::{
    app::App,
    clock::CST,
    db::{
        changes::{self, Change},
        found,
        schema::{message_deliveries, message_grants, message_leases, messages},
    },
    error::{Lang, Result},
    http::{caller::Scope, page::After},
    jobs, people,
    rooms::{Merge, Person},
    todos,
};

/// Puts a message into the inbox and orders its delivery, in one transaction; posting it again changes nothing.
pub fn post(conn: &mut PgConnection, new: NewMessage, now: DateTime<Utc>) -> Result<()> {
    let (county, id) = (new.county, Uuid::now_v7());
    // Merged meanwhile: to the record that stays. Closed meanwhile: to nobody.
    let Some(resident) = people::present(conn, county, new.resident)? else { return Ok(()) };
    let new = NewMessage { resident, ..new };
    let own = templates::find(conn, county, new.kind)?.map(|template| template.own().words);
    let own = own.filter(|words| *words != OwnWords::default());
    let posted = diesel::insert_into(messages::table)
        .values((
            (messages::county_id.eq(county), messages::id.eq(id), messages::resident_id.eq(new.resident)),
            (messages::kind.eq(new.kind), messages::about_id.eq(new.about), messages::params.eq(&new.params)),
            (messages::created_at.eq(now), messages::words.eq(own.map(|words| json!(words)))),
            messages::occasion.eq(new.occasion),
        ))
        .on_conflict((
            messages::county_id,
            messages::kind,
            messages::about_id,
            messages::resident_id,
            messages::occasion,
        ))
        .do_nothing()
        .execute(conn)?;
    if posted == 1 {
        delivery::insert(conn, (county, id), Channel::Inbox, Delivery::Sent, now)?;
        delivery::insert(conn, (county, id), Channel::Wechat, Delivery::Pending, now)?;
        changes::record(conn, changed(county, new.resident, id), now)?;
        jobs::push(conn, county, &DeliverMessage { message: id }, now)?;
    }
    Ok(())
}

/// What a thing's messages of these kinds, posted for an occasion before this one, told is no longer so: what has not gone out
/// does not, and nobody is asked to call about it. The inbox keeps them.
pub fn withdraw(
    conn: &mut PgConnection,
    county: i32,
    (kinds, before): (&[Kind], i64),
    about: Uuid,
    now: DateTime<Utc>,
) -> Result<()> {
    let of = messages::table.filter(messages::county_id.eq(county)).filter(messages::about_id.eq(about));
    let of = of.filter(messages::kind.eq_any(kinds)).filter(messages::occasion.lt(before));
    let ids: Vec<Uuid> = of.select(messages::id).load(conn)?;
    for id in ids {
        delivery::drop_pending(conn, (county, id), now)?;
        for kind in [todos::Kind::Call, todos::Kind::Slip] {
            todos::drop_about(conn, county, kind, ("message", id), now)?;
        }
    }
    Ok(())
}

fn changed(county: i32, resident: Uuid, id: Uuid) -> Change {
    let (unit_id, staff_id, resident_id) = (None, None, Some(resident));
    Change { county, entity: "message", entity_id: id, unit_id, resident_id, staff_id, gone: false }
}

/// A resident's inbox, oldest first, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    county: i32,
    resident: Uuid,
    unread: bool,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Message>> {
    let own = messages::table.filter(messages::county_id.eq(county)).filter(messages::resident_id.eq(resident));
    let mut query = own.select(Message::as_select()).into_boxed();
    if unread {
        query = query.filter(messages::read_at.is_null());
    }
    if let Some(after) = after {
        let same = messages::created_at.eq(after.at).and(messages::id.gt(after.id));
        query = query.filter(messages::created_at.gt(after.at).or(same));
    }
    query.order((messages::created_at, messages::id)).limit(limit + 1).load(conn)
}

pub fn count(conn: &mut PgConnection, county: i32, resident: Uuid, unread: bool) -> QueryResult<i64> {
    let own = messages::table.filter(messages::county_id.eq(county)).filter(messages::resident_id.eq(resident));
    let mut query = own.into_boxed();
    if unread {
        query = query.filter(messages::read_at.is_null());
    }
    query.count().get_result(conn)
}

/// Marks a message of a resident as read; the first time counts.
pub fn read(
    conn: &mut PgConnection,
    county: i32,
    resident: Uuid,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Message>> {
    let own = messages::table.find((county, id)).filter(messages::resident_id.eq(resident));
    let unread = own.filter(messages::read_at.is_null());
    if diesel::update(unread).set(messages::read_at.eq(now)).execute(conn)? == 1 {
        changes::record(conn, changed(county, resident, id), now)?;
        // Who has read it needs neither call nor slip.
        for kind in [todos::Kind::Call, todos::Kind::Slip] {
            todos::drop_about(conn, county, kind, ("message", id), now)?;
        }
    }
    found(own.select(Message::as_select()).first(conn))
}

/// A message of a resident within the scope, and the resident.
pub fn within(conn: &mut PgConnection, scope: Scope, id: Uuid) -> Result<Option<(Message, people::Resident)>> {
    let message = messages::table.find((scope.county, id)).select(Message::as_select()).first(conn);
    let Some(message) = found(message)? else { return Ok(None) };
    let resident = people::find(conn, scope, message.resident_id)?;
    Ok(resident.map(|resident| (message, resident)))
}

/// What became of these messages, in the order of channels.
pub fn deliveries(conn: &mut PgConnection, county: i32, ids: &[Uuid]) -> QueryResult<Vec<Delivered>> {
    let of = message_deliveries::table.filter(message_deliveries::county_id.eq(county));
    let of = of.filter(message_deliveries::message_id.eq_any(ids)).select(Delivered::as_select());
    let mut rows: Vec<Delivered> = of.load(conn)?;
    rows.sort_by_key(|row| Channel::ALL.iter().position(|channel| *channel == row.channel));
    Ok(rows)
}

/// What a message is known by, besides whom it is for.
type About = (Kind, Uuid, i64);

/// Messages and grants go to the record that stays; of two about the same thing the survivor's is kept. Grants belong to
/// a WeChat account: those of the other account are found out by WeChat's first 43101.
pub fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let county = merge.county;
    let of = |resident: Uuid| {
        messages::table.filter(messages::county_id.eq(county)).filter(messages::resident_id.eq(resident))
    };
    let about = (messages::kind, messages::about_id, messages::occasion);
    // Locked, so that no delivery begins for one that is about to go.
    let theirs: Vec<(Uuid, About)> = of(merge.from).select((messages::id, about)).for_update().load(conn)?;
    let kept: Vec<About> = of(merge.into).select(about).load(conn)?;
    let (twice, moved): (Vec<_>, Vec<_>) = theirs.into_iter().partition(|(_, about)| kept.contains(about));
    let ids = |all: Vec<(Uuid, About)>| all.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let (twice, moved) = (ids(twice), ids(moved));
    delivery::forget(conn, county, &twice, merge.now)?;
    let here = messages::table.filter(messages::county_id.eq(county));
    diesel::delete(here.filter(messages::id.eq_any(&twice))).execute(conn)?;
    diesel::update(here.filter(messages::id.eq_any(&moved))).set(messages::resident_id.eq(merge.into)).execute(conn)?;
    for id in &moved {
        changes::record(conn, Change { gone: true, ..changed(county, merge.from, *id) }, merge.now)?;
        changes::record(conn, changed(county, merge.into, *id), merge.now)?;
    }
    let grants = message_grants::table.filter(message_grants::county_id.eq(county));
    let grants = grants.filter(message_grants::resident_id.eq(merge.from));
    let grants = diesel::update(grants).set(message_grants::resident_id.eq(merge.into)).execute(conn)?;
    diesel::delete(message_leases::table.find((county, merge.from))).execute(conn)?;
    Ok(twice.len() + moved.len() + grants)
}

/// Every message with its words and what became of it, and the grants given.
pub fn export(conn: &mut PgConnection, _: &App, person: Person) -> Result<Value> {
    let own = messages::table.filter(messages::county_id.eq(person.county)).filter(messages::resident_id.eq(person.id));
    let rows: Vec<Message> = own.order((messages::created_at, messages::id)).select(Message::as_select()).load(conn)?;
    let ids: Vec<Uuid> = rows.iter().map(|message| message.id).collect();
    let delivered = deliveries(conn, person.county, &ids)?;
    let time = |at: DateTime<Utc>| at.with_timezone(&CST).to_rfc3339();
    let message = |message: &Message| {
        let (title, text) = message.words(Lang::Zh);
        let of = delivered.iter().filter(|row| row.message_id == message.id);
        let of: Vec<_> =
            of.map(|row| json!({"channel": row.channel, "state": row.state, "at": time(row.at)})).collect();
        json!({"kind": message.kind, "title": title, "text": text, "created_at": time(message.created_at),
            "read_at": message.read_at.map(time), "deliveries": of})
    };
    let grants = message_grants::table.filter(message_grants::county_id.eq(person.county));
    let grants = grants.filter(message_grants::resident_id.eq(person.id)).order(message_grants::granted_at);
    let columns = (message_grants::template_id, message_grants::granted_at, message_grants::used_at);
    let grants: Vec<(String, DateTime<Utc>, Option<DateTime<Utc>>)> = grants.select(columns).load(conn)?;
    let grant = |(template, granted, used): (String, DateTime<Utc>, Option<DateTime<Utc>>)| json!({"template_id": template, "granted_at": time(granted), "used_at": used.map(time)});
    let grants: Vec<_> = grants.into_iter().map(grant).collect();
    Ok(json!({"messages": rows.iter().map(message).collect::<Vec<_>>(), "grants": grants}))
}

/// What the messages were about goes, and with it the grants; that something was sent stays. What has not been sent is not.
pub fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let own = messages::table.filter(messages::county_id.eq(person.county)).filter(messages::resident_id.eq(person.id));
    let ids: Vec<Uuid> = own.select(messages::id).load(conn)?;
    for id in &ids {
        delivery::drop_pending(conn, (person.county, *id), person.now)?;
    }
    let grants = message_grants::table.filter(message_grants::county_id.eq(person.county));
    diesel::delete(grants.filter(message_grants::resident_id.eq(person.id))).execute(conn)?;
    diesel::delete(message_leases::table.find((person.county, person.id))).execute(conn)?;
    let nothing = (messages::params.eq(json!({})), messages::words.eq(None::<Value>));
    Ok(diesel::update(own).set(nothing).execute(conn)?)
}
