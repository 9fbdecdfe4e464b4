//! Files come to belong to a thing, which from then on decides who may see them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::model::{Attachment, AttachmentState as State, Uploader};
use crate::{
    db::schema::attachments,
    error::{Error, FieldError, Result, Text},
    http::caller::Caller,
    rooms::ROOMS,
};

/// More files of one thing than anybody needs.
const MOST: i64 = 500;

/// What files are to belong to.
#[derive(Clone, Copy, Debug)]
pub struct Attach<'a> {
    pub county: i32,
    /// The kind of thing, as its room declares it in [`Room::attached`](crate::rooms::Room::attached).
    pub about: &'static str,
    pub about_id: Uuid,
    /// Whose data the files are; they go when the record is closed.
    pub resident: Option<Uuid>,
    pub by: Uploader,
    /// Where the ids stand in the body: a wrong one is a field `<pointer>/<index>`.
    pub pointer: &'a str,
    pub now: DateTime<Utc>,
}

/// Attaches files in the transaction of what they are attached to: only ready ones, only the uploader's own, only those that belong
/// to nothing yet or to this very thing already. Otherwise none is attached, and every wrong one is named. The SHA-256 of each.
pub fn attach(conn: &mut PgConnection, to: &Attach<'_>, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Vec<u8>>> {
    let placed = ids.iter().enumerate().map(|(index, id)| (*id, format!("{}/{index}", to.pointer)));
    attach_each(conn, to, &placed.collect::<Vec<_>>())
}

/// [`attach`] for ids from several places of a body, each with its own pointer.
pub fn attach_each(
    conn: &mut PgConnection,
    to: &Attach<'_>,
    placed: &[(Uuid, String)],
) -> Result<BTreeMap<Uuid, Vec<u8>>> {
    if placed.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<Uuid> = placed.iter().map(|(id, _)| *id).collect();
    let own = attachments::table.filter(attachments::county_id.eq(to.county).and(attachments::id.eq_any(&ids)));
    let own = own.filter(attachments::uploader_id.eq(to.by.id).and(attachments::by_staff.eq(to.by.staff)));
    let same = attachments::about.eq(to.about).and(attachments::about_id.eq(to.about_id));
    let free = attachments::about.is_null().and(attachments::expires_at.gt(to.now));
    let changed: Vec<(Uuid, Option<Vec<u8>>)> = diesel::update(own.filter(attachments::state.eq(State::Ready)))
        .filter(same.assume_not_null().or(free.assume_not_null()))
        .set((
            (attachments::about.eq(to.about), attachments::about_id.eq(to.about_id)),
            (attachments::resident_id.eq(to.resident), attachments::expires_at.eq(None::<DateTime<Utc>>)),
            (attachments::updated_at.eq(to.now), attachments::version.eq(attachments::version + 1)),
        ))
        .returning((attachments::id, attachments::sha256))
        .get_results(conn)?;
    let changed: BTreeMap<_, _> = changed.into_iter().map(|(id, sha256)| (id, sha256.unwrap_or_default())).collect();
    let (mut wrong, mut unready) = (Vec::new(), Vec::new());
    for (id, pointer) in placed.iter().filter(|(id, _)| !changed.contains_key(id)) {
        let row = super::store::find(conn, (to.county, *id))?.filter(|row| row.is_by(to.by) && row.about.is_none());
        let pending = row.is_some_and(|row| matches!(row.state, State::Uploading | State::Processing));
        if pending { unready.push(pointer) } else { wrong.push(pointer) }
    }
    let field = |pointer: &str, code: &'static str, text: Text| FieldError::body(pointer, code, text);
    let unknown =
        Text::fixed("没有这个附件，或它已用于其他事项", "There is no such attachment, or it belongs to something else");
    let early = Text::fixed("附件尚未处理完成", "The attachment is not ready yet");
    let mut errors: Vec<_> = wrong.into_iter().map(|pointer| field(pointer, "attachment", unknown.clone())).collect();
    errors.extend(unready.into_iter().map(|pointer| field(pointer, "attachment_not_ready", early.clone())));
    if errors.is_empty() { Ok(changed) } else { Err(Error::invalid(errors)) }
}

/// The files of a thing, oldest first.
pub fn of(conn: &mut PgConnection, county: i32, about: &str, about_id: Uuid) -> QueryResult<Vec<Attachment>> {
    let of = attachments::table.filter(attachments::county_id.eq(county));
    let of = of.filter(attachments::about.eq(about).and(attachments::about_id.eq(about_id)));
    let of = of.filter(attachments::state.eq(State::Ready)).select(Attachment::as_select());
    of.order(attachments::id).limit(MOST).load(conn)
}

/// Lets go of the files of a thing, for retention and erasure: nobody sees them any more, and a pass takes their bytes away.
pub fn let_go(conn: &mut PgConnection, county: i32, thing: (&str, Uuid), now: DateTime<Utc>) -> QueryResult<usize> {
    super::store::remove_of(conn, county, thing, now)
}

/// Lets go of some files of a thing that it does not need any more.
pub fn let_go_some(
    conn: &mut PgConnection,
    county: i32,
    thing: (&str, Uuid),
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    super::store::remove_some(conn, county, thing, ids, now)
}

/// Whether a caller may see an attachment: one's own while it belongs to nothing, then as the thing's room says.
pub fn may_see(conn: &mut PgConnection, caller: &Caller, row: &Attachment, now: DateTime<Utc>) -> Result<bool> {
    let Some((about, id)) = row.thing() else {
        return Ok(row.is_by(caller.into()));
    };
    let rooms = ROOMS.iter().flat_map(|room| room.attached);
    for (_, may_see) in rooms.filter(|(kind, _)| *kind == about) {
        if may_see(conn, caller, id, now)? {
            return Ok(true);
        }
    }
    Ok(false)
}
