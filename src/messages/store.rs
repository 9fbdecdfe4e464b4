//! Messages in the database.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::{
    jobs::DeliverMessage,
    model::{Delivery, Kind, Message, NewMessage},
};
use crate::{
    db::{
        changes::{self, Change},
        found,
        schema::{message_templates, messages, residents},
    },
    error::Result,
    http::page::After,
    jobs,
};

/// Puts a message into the inbox and orders its delivery, in one transaction; posting it again changes nothing.
pub fn post(conn: &mut PgConnection, new: NewMessage, now: DateTime<Utc>) -> Result<()> {
    let id = Uuid::now_v7();
    let posted = diesel::insert_into(messages::table)
        .values((
            (messages::county_id.eq(new.county), messages::id.eq(id), messages::resident_id.eq(new.resident)),
            (messages::kind.eq(new.kind), messages::about_id.eq(new.about), messages::params.eq(&new.params)),
            messages::created_at.eq(now),
        ))
        .on_conflict((messages::county_id, messages::kind, messages::about_id))
        .do_nothing()
        .execute(conn)?;
    if posted == 1 {
        changes::record(conn, changed(new.county, new.resident, id), now)?;
        jobs::push(conn, new.county, &DeliverMessage { message: id }, now)?;
    }
    Ok(())
}

fn changed(county: i32, resident: Uuid, id: Uuid) -> Change {
    let (unit_id, staff_id, resident_id) = (None, None, Some(resident));
    Change { county, entity: "message", entity_id: id, unit_id, resident_id, staff_id, gone: false }
}

/// What a delivery needs: the message, the sealed openid, the county's template for the kind.
pub type ToDeliver = (Message, Option<Vec<u8>>, Option<String>);

pub fn to_deliver(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<ToDeliver>> {
    let Some(message) = found(messages::table.find((county, id)).select(Message::as_select()).first(conn))? else {
        return Ok(None);
    };
    let openid = residents::table.find((county, message.resident_id)).select(residents::wechat_openid).first(conn)?;
    let template =
        message_templates::table.find((county, message.kind.as_str())).select(message_templates::wechat_template_id);
    Ok(Some((message, openid, found(template.first(conn))?)))
}

/// Writes what became of the WeChat message; one that is no longer pending stays as it is.
pub fn delivered(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    delivery: Delivery,
    errcode: Option<i32>,
) -> QueryResult<usize> {
    diesel::update(messages::table.find((county, id)).filter(messages::wechat.eq(Delivery::Pending)))
        .set((messages::wechat.eq(delivery), messages::wechat_errcode.eq(errcode)))
        .execute(conn)
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
    }
    found(own.select(Message::as_select()).first(conn))
}

/// Sets the template of a kind.
pub fn set_template(conn: &mut PgConnection, county: i32, kind: Kind, template: &str) -> QueryResult<usize> {
    diesel::insert_into(message_templates::table)
        .values((
            message_templates::county_id.eq(county),
            message_templates::kind.eq(kind),
            message_templates::wechat_template_id.eq(template),
        ))
        .on_conflict((message_templates::county_id, message_templates::kind))
        .do_update()
        .set(message_templates::wechat_template_id.eq(template))
        .execute(conn)
}
