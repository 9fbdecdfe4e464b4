//! Files of an order: what finishing it shows, and receipts; whoever sees the order sees them.

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use uuid::Uuid;

use super::{
    kinds::Evidence,
    model::Order,
    store::{self, Seen, today},
};
use crate::{
    attachments::{self, Attach},
    error::{Error, Result},
    http::{caller::Caller, permissions::ReadOrders},
};

/// The kind of thing of this room that files can belong to.
pub const ORDER: &str = "order";

/// Whoever sees the order sees its files, by the rules of `GET /v1/orders/{id}`.
pub fn sees(conn: &mut PgConnection, caller: &Caller, id: Uuid, now: DateTime<Utc>) -> Result<bool> {
    let Some(scope) = caller.scope_of::<ReadOrders>()? else { return Ok(false) };
    Ok(store::find(conn, caller.county, Seen::by(caller, scope), id, today(now))?.is_some())
}

/// Attaches files to an order.
pub fn attach(
    conn: &mut PgConnection,
    who: &Caller,
    order: &Order,
    (ids, pointer): (&[Uuid], &str),
    now: DateTime<Utc>,
) -> Result<()> {
    let (county, about_id, resident) = (order.county_id, order.id, Some(order.resident_id));
    let to = Attach { county, about: ORDER, about_id, resident, by: who.into(), pointer, now };
    attachments::attach(conn, &to, ids)?;
    Ok(())
}

/// What finishing brings; where a picture is asked for, one of the files is one.
pub fn bring(conn: &mut PgConnection, who: &Caller, order: &Order, ids: &[Uuid], now: DateTime<Utc>) -> Result<()> {
    attach(conn, who, order, (ids, "/attachment_ids"), now)?;
    if order.evidence != Evidence::Photo {
        return Ok(());
    }
    let files = attachments::of(conn, order.county_id, ORDER, order.id)?;
    let mut brought = files.iter().filter(|file| ids.contains(&file.id));
    if brought.any(|file| file.media_type.as_deref().is_some_and(|kind| kind.starts_with("image/"))) {
        return Ok(());
    }
    Err(Error::field("/attachment_ids", "photo_needed", "须附照片", "a picture is needed"))
}
