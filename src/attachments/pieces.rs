//! Pieces of resumable uploads in the database: who may append, what has arrived, in order.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::{
    jobs::ProcessUpload,
    model::{Attachment, AttachmentState as State, Uploader},
    store::{KEPT, Key, find},
};
use crate::{
    db::{
        found,
        schema::{attachment_pieces, attachments},
    },
    error::{Code, Error, Result},
    jobs,
};

/// An object with a part of a file.
#[derive(Clone, Debug)]
pub struct Piece {
    pub start: i64,
    pub bytes: i64,
    pub object: String,
}

/// What an append may begin with.
#[derive(Debug)]
pub enum Claim {
    /// The right to append, until a newer request claims it.
    Open(Box<Attachment>),
    /// All of it is there already.
    Whole(i64),
}

/// 409 with where the upload stands.
pub fn elsewhere(received: i64) -> Error {
    Error::new(Code::UploadOffset)
        .detail(format!("已收到 {received} 字节"), format!("{received} bytes are there"))
        .header(super::tus::UPLOAD_OFFSET, received)
}

/// One's own resumable upload; 404, or 410 when its time is over.
pub fn own(conn: &mut PgConnection, key: Key, uploader: Uploader, now: DateTime<Utc>) -> Result<Attachment> {
    let row = find(conn, key)?.filter(|row| row.resumable && row.is_by(uploader)).ok_or(Code::NotFound)?;
    let over = row.expires_at.is_some_and(|expires| expires <= now);
    if over { Err(Code::UploadExpired.into()) } else { Ok(row) }
}

/// Lets a request append from `offset`. The newest request wins: the one before it hangs on a connection that is dead, or soon learns.
pub fn claim(
    conn: &mut PgConnection,
    (key, uploader): (Key, Uploader),
    (writer, offset): (Uuid, i64),
    now: DateTime<Utc>,
) -> Result<Claim> {
    let row = own(conn, key, uploader, now)?;
    if row.state != State::Uploading && offset == row.length {
        return Ok(Claim::Whole(row.length));
    }
    let open = attachments::table.find(key).filter(attachments::state.eq(State::Uploading));
    let claimed = diesel::update(open.filter(attachments::received.eq(offset)))
        .set((attachments::writer.eq(writer), attachments::expires_at.eq(now + KEPT), attachments::updated_at.eq(now)))
        .returning(Attachment::as_returning())
        .get_result(conn);
    found(claimed)?.map(Box::new).map(Claim::Open).ok_or_else(|| elsewhere(row.received))
}

/// Counts pieces that lie in the store, in order; with the last byte, the job that looks at the file. 423 for a writer that another
/// has taken over from.
pub fn keep(
    conn: &mut PgConnection,
    row: &Attachment,
    writer: Uuid,
    pieces: &[Piece],
    now: DateTime<Utc>,
) -> Result<()> {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Ok(()) };
    let (key, end) = ((row.county_id, row.id), last.start + last.bytes);
    let whole = end == row.length;
    let mine = attachments::table.find(key).filter(attachments::state.eq(State::Uploading));
    let mine = mine.filter(attachments::writer.assume_not_null().eq(writer).and(attachments::received.eq(first.start)));
    let counted = diesel::update(mine)
        .set((
            (attachments::received.eq(end), attachments::expires_at.eq(now + KEPT), attachments::updated_at.eq(now)),
            attachments::state.eq(if whole { State::Processing } else { State::Uploading }),
            attachments::version.eq(attachments::version + 1),
        ))
        .execute(conn)?;
    if counted == 0 {
        return Err(Code::UploadLocked.into());
    }
    let rows: Vec<_> = pieces
        .iter()
        .map(|piece| {
            (
                (attachment_pieces::county_id.eq(key.0), attachment_pieces::attachment_id.eq(key.1)),
                (attachment_pieces::start.eq(piece.start), attachment_pieces::bytes.eq(piece.bytes)),
                attachment_pieces::object.eq(&piece.object),
            )
        })
        .collect();
    diesel::insert_into(attachment_pieces::table).values(rows).execute(conn)?;
    if whole {
        jobs::push(conn, key.0, &ProcessUpload { attachment: key.1 }, now)?;
    }
    Ok(())
}

/// An upload that is all there and not looked at yet, with its objects in order.
pub fn whole(conn: &mut PgConnection, key: Key) -> Result<Option<(Attachment, Vec<String>)>> {
    let Some(row) = find(conn, key)?.filter(|row| row.state == State::Processing) else { return Ok(None) };
    let of = attachment_pieces::table.filter(attachment_pieces::county_id.eq(key.0));
    let of = of.filter(attachment_pieces::attachment_id.eq(key.1)).order(attachment_pieces::start);
    Ok(Some((row, of.select(attachment_pieces::object).load(conn)?)))
}

/// The pieces are not needed any more.
pub fn forget(conn: &mut PgConnection, key: Key) -> QueryResult<()> {
    let of = attachment_pieces::table.filter(attachment_pieces::county_id.eq(key.0));
    diesel::delete(of.filter(attachment_pieces::attachment_id.eq(key.1))).execute(conn).map(drop)
}
