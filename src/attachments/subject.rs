//! What the room knows of a person.

use diesel::prelude::*;
use serde_json::{Value, json};

use super::{
    model::{Attachment, AttachmentState as State},
    store,
};
use crate::{
    app::App,
    clock::CST,
    db::schema::attachments,
    error::Result,
    rooms::{Merge, Person},
};

/// More than anybody uploads in a life.
const ALL: i64 = 10_000;

/// Every file about or by the person, with its name and digest. The bytes are fetched one by one, by their ids.
pub fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let own = attachments::uploader_id.eq(person.id).and(attachments::by_staff.eq(false));
    let rows: Vec<Attachment> = attachments::table
        .filter(attachments::county_id.eq(person.county).and(attachments::state.ne(State::Removing)))
        .filter(attachments::resident_id.assume_not_null().eq(person.id).or(own))
        .order(attachments::id)
        .limit(ALL)
        .select(Attachment::as_select())
        .load(conn)?;
    let mut files = Vec::new();
    for row in rows {
        files.push(json!({
            "id": row.id, "name": row.name(app)?, "state": row.state, "media_type": row.media_type, "bytes": row.bytes,
            "sha256": row.sha256.as_ref().map(hex::encode), "about": row.about, "about_id": row.about_id,
            "uploaded_by_staff": row.by_staff, "uploaded_at": row.created_at.with_timezone(&CST),
        }));
    }
    Ok(json!({ "files": files }))
}

/// Files about the person go; digests in ledgers stay.
pub fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    Ok(store::remove_resident(conn, person.county, person.id, person.now)?)
}

pub fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let of = attachments::table.filter(attachments::county_id.eq(merge.county));
    let about = diesel::update(of.filter(attachments::resident_id.eq(merge.from)))
        .set(attachments::resident_id.eq(merge.into))
        .execute(conn)?;
    let of = attachments::table.filter(attachments::county_id.eq(merge.county).and(attachments::by_staff.eq(false)));
    let by = diesel::update(of.filter(attachments::uploader_id.eq(merge.from)))
        .set(attachments::uploader_id.eq(merge.into))
        .execute(conn)?;
    Ok(about + by)
}
