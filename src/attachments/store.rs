//! Attachments in the database. Every move is an update guarded by the state that it may start from.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Bool, Integer, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    content::Content,
    model::{Attachment, AttachmentState as State, Refusal, Uploader},
};
use crate::{
    db::{
        found,
        schema::{attachment_pieces, attachments},
    },
    error::{Code, Result},
    statement,
};

/// Which attachment.
pub type Key = (i32, Uuid);

/// How long what belongs to nothing is kept.
pub const KEPT: TimeDelta = TimeDelta::hours(24);

/// Bytes that somebody may have uploaded and not used: a day of photos of an agent without a network.
const UNUSED: i64 = 1024 * 1024 * 1024;

/// At most as many removed at once.
const BATCH: i64 = 200;

/// An attachment that nobody has removed.
pub fn find(conn: &mut PgConnection, key: Key) -> Result<Option<Attachment>> {
    let there = attachments::table.find(key).filter(attachments::state.ne(State::Removing));
    found(there.select(Attachment::as_select()).first(conn))
}

statement! {
    struct Unused { county: i32 as Integer, uploader: Uuid as SqlUuid, staff: bool as Bool }
    "SELECT coalesce(sum(length), 0)::bigint AS bytes FROM attachments WHERE county_id = {county} AND uploader_id = {uploader} \
       AND by_staff = {staff} AND about IS NULL AND state <> 'removing'"
}

#[derive(QueryableByName)]
struct Sum {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

/// An upload that begins.
pub struct NewAttachment {
    pub key: Key,
    pub uploader: Uploader,
    pub resumable: bool,
    /// Sealed.
    pub name: Option<Vec<u8>>,
    /// Sealed.
    pub metadata: Option<Vec<u8>>,
    pub declared_type: Option<String>,
    pub length: i64,
    pub received: i64,
    pub folder: String,
}

/// Writes it down before its first byte is stored, so that none is ever forgotten.
pub fn begin(conn: &mut PgConnection, new: NewAttachment, now: DateTime<Utc>) -> Result<Attachment> {
    let (county, Uploader { id, staff }) = (new.key.0, new.uploader);
    let bytes = Unused { county, uploader: id, staff }.get_result::<Sum>(conn)?.bytes;
    if bytes + new.length > UNUSED {
        return Err(Code::TooManyUploads.into());
    }
    let row = diesel::insert_into(attachments::table)
        .values((
            (attachments::county_id.eq(county), attachments::id.eq(new.key.1), attachments::uploader_id.eq(id)),
            (attachments::by_staff.eq(staff), attachments::state.eq(State::Uploading)),
            (attachments::resumable.eq(new.resumable), attachments::name.eq(new.name)),
            (attachments::metadata.eq(new.metadata), attachments::declared_type.eq(new.declared_type)),
            (attachments::length.eq(new.length), attachments::received.eq(new.received)),
            (attachments::folder.eq(new.folder), attachments::expires_at.eq(now + KEPT)),
            (attachments::created_at.eq(now), attachments::updated_at.eq(now)),
        ))
        .returning(Attachment::as_returning())
        .get_result(conn)?;
    Ok(row)
}

/// The file is in its place. None if it was removed meanwhile, or another has finished it.
pub fn ready(conn: &mut PgConnection, key: Key, content: &Content, now: DateTime<Utc>) -> Result<Option<Attachment>> {
    let pending = attachments::table.find(key).filter(attachments::state.eq_any([State::Uploading, State::Processing]));
    let (width, height) = content.size.map(|(width, height)| (width as i32, height as i32)).unzip();
    let ready = diesel::update(pending)
        .set((
            (attachments::state.eq(State::Ready), attachments::media_type.eq(content.media_type)),
            (attachments::bytes.eq(content.bytes.len() as i64), attachments::sha256.eq(content.sha256.to_vec())),
            (attachments::width.eq(width), attachments::height.eq(height), attachments::expires_at.eq(now + KEPT)),
            (attachments::updated_at.eq(now), attachments::version.eq(attachments::version + 1)),
        ))
        .returning(Attachment::as_returning())
        .get_result(conn);
    found(ready)
}

/// What came in pieces is not what may be attached.
pub fn refuse(conn: &mut PgConnection, key: Key, refusal: Refusal, now: DateTime<Utc>) -> QueryResult<usize> {
    let pending = attachments::table.find(key).filter(attachments::state.eq(State::Processing));
    diesel::update(pending)
        .set((
            (attachments::state.eq(State::Refused), attachments::refusal.eq(refusal.as_str())),
            (attachments::updated_at.eq(now), attachments::version.eq(attachments::version + 1)),
        ))
        .execute(conn)
}

macro_rules! remove {
    ($rows:expr, $now:expr, $conn:expr) => {
        diesel::update($rows.filter(attachments::state.ne(State::Removing)))
            .set((
                (attachments::state.eq(State::Removing), attachments::removed_at.eq($now)),
                (attachments::name.eq(None::<Vec<u8>>), attachments::metadata.eq(None::<Vec<u8>>)),
                attachments::cleared_at.eq(None::<DateTime<Utc>>),
                (attachments::updated_at.eq($now), attachments::version.eq(attachments::version + 1)),
            ))
            .execute($conn)
    };
}

/// Lets go of an attachment that belongs to nothing; false if it has come to belong to something.
pub fn remove_unattached(conn: &mut PgConnection, key: Key, now: DateTime<Utc>) -> QueryResult<bool> {
    Ok(remove!(attachments::table.find(key).filter(attachments::about.is_null()), now, conn)? == 1)
}

/// Lets go of everything that belongs to a thing.
pub fn remove_of(conn: &mut PgConnection, county: i32, thing: (&str, Uuid), now: DateTime<Utc>) -> QueryResult<usize> {
    let of = attachments::table.filter(attachments::county_id.eq(county));
    let of = of.filter(attachments::about.eq(thing.0).and(attachments::about_id.eq(thing.1)));
    remove!(of, now, conn)
}

/// Lets go of some of what belongs to a thing.
pub fn remove_some(
    conn: &mut PgConnection,
    county: i32,
    thing: (&str, Uuid),
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let of = attachments::table.filter(attachments::county_id.eq(county).and(attachments::id.eq_any(ids)));
    let of = of.filter(attachments::about.eq(thing.0).and(attachments::about_id.eq(thing.1)));
    remove!(of, now, conn)
}

/// Lets go of a resident's files, and of what the resident uploaded that belongs to nothing.
pub fn remove_resident(conn: &mut PgConnection, county: i32, resident: Uuid, now: DateTime<Utc>) -> QueryResult<usize> {
    let about = attachments::table.filter(attachments::county_id.eq(county).and(attachments::resident_id.eq(resident)));
    let about = remove!(about, now, conn)?;
    let own = attachments::table.filter(attachments::county_id.eq(county).and(attachments::uploader_id.eq(resident)));
    let own = own.filter(attachments::by_staff.eq(false).and(attachments::about.is_null()));
    Ok(about + remove!(own, now, conn)?)
}

/// Marks what nobody has used in time. True while there is more.
pub fn expire(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let old = attachments::table.filter(attachments::about.is_null().and(attachments::state.ne(State::Removing)));
    let old = old.filter(attachments::expires_at.le(now)).limit(BATCH);
    let keys: Vec<Key> = old.select((attachments::county_id, attachments::id)).load(conn)?;
    for key in &keys {
        // Attached or gone on with a moment ago, perhaps: looked at again.
        let still = attachments::table.find(*key).filter(attachments::about.is_null());
        remove!(still.filter(attachments::expires_at.le(now)), now, conn)?;
    }
    Ok(keys.len() == BATCH as usize)
}

/// After the last of its writers has certainly ended, a folder is emptied once more, and its row goes.
const SETTLED: TimeDelta = TimeDelta::hours(1);

/// Folders to be emptied, and whether their rows go afterwards.
pub fn to_clear(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<Vec<(Key, String, bool)>> {
    let removing = attachments::table.filter(attachments::state.eq(State::Removing));
    let due = attachments::cleared_at.is_null().or(attachments::removed_at.le(now - SETTLED));
    let rows: Vec<(i32, Uuid, String, Option<DateTime<Utc>>)> = removing
        .filter(due)
        .order(attachments::removed_at)
        .limit(BATCH)
        .select((attachments::county_id, attachments::id, attachments::folder, attachments::removed_at))
        .load(conn)?;
    let settled = |at: Option<DateTime<Utc>>| at.is_some_and(|at| at <= now - SETTLED);
    Ok(rows.into_iter().map(|(county, id, folder, at)| ((county, id), folder, settled(at))).collect())
}

/// Folders of resumable uploads that still hold pieces, though nobody needs them.
pub fn parts_left(conn: &mut PgConnection) -> QueryResult<Vec<(Key, String)>> {
    let done = attachments::table.filter(attachments::state.eq_any([State::Ready, State::Refused]));
    let left = done.filter(attachments::resumable.and(attachments::cleared_at.is_null())).limit(BATCH);
    let rows: Vec<(i32, Uuid, String)> =
        left.select((attachments::county_id, attachments::id, attachments::folder)).load(conn)?;
    Ok(rows.into_iter().map(|(county, id, folder)| ((county, id), folder)).collect())
}

/// The pieces of a finished upload are gone.
pub fn parts_cleared(conn: &mut PgConnection, key: Key, now: DateTime<Utc>) -> QueryResult<()> {
    let done = attachments::table.find(key).filter(attachments::state.eq_any([State::Ready, State::Refused]));
    diesel::update(done).set(attachments::cleared_at.eq(now)).execute(conn).map(drop)
}

/// A folder is empty.
pub fn cleared(conn: &mut PgConnection, key: Key, last: bool, now: DateTime<Utc>) -> QueryResult<()> {
    let row = attachments::table.find(key).filter(attachments::state.eq(State::Removing));
    if !last {
        return diesel::update(row).set(attachments::cleared_at.eq(now)).execute(conn).map(drop);
    }
    let pieces = attachment_pieces::table.filter(attachment_pieces::county_id.eq(key.0));
    diesel::delete(pieces.filter(attachment_pieces::attachment_id.eq(key.1))).execute(conn)?;
    diesel::delete(row).execute(conn).map(drop)
}
