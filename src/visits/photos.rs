//! Photos of a visit that arrive later: uploaded like any file, then said to be one of those that the visit named.

use actix_web::post;
use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, RunQueryDsl,
    sql_types::{Array, Integer, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{model::Visit, store, views::VisitView};
use crate::{
    attachments::{self, Attach},
    error::{Code, Error, FieldError, Result, Text},
    http::{
        caller::{Caller, Can, Seen},
        command::Command,
        document::IdempotencyHeader,
        idempotency::{Answer, Once},
        permissions::CheckInVisits,
        valid::Id,
    },
    settings::Evidence,
    statement,
};

/// The kind of thing of this room that files can belong to.
pub const VISIT: &str = "visit";

/// One photo.
#[derive(Clone, Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"photo_id": "0199a0c0-0000-7000-8000-0000000000d2", "attachment_id": "0199a0c0-0000-7000-8000-0000000000f5"}))]
pub struct ArrivedPhoto {
    /// As the visit named it.
    pub photo_id: Uuid,
    /// The file, ready: `POST /v1/attachments` or `/v1/uploads`.
    pub attachment_id: Uuid,
}

/// Photos that are here now.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"photos": [{"photo_id": "0199a0c0-0000-7000-8000-0000000000d2", "attachment_id": "0199a0c0-0000-7000-8000-0000000000f5"}]}))]
pub struct AddPhotos {
    /// 1 to 9.
    #[validate(length(min = 1, max = 9), nested)]
    #[schema(min_items = 1, max_items = 9)]
    pub photos: Vec<ArrivedPhoto>,
}

statement! {
    /// Each once; one that is there already stays.
    struct Insert { county: i32 as Integer, visit: Uuid as SqlUuid, photos: Vec<Uuid> as Array<SqlUuid>, files: Vec<Uuid> as Array<SqlUuid>, now: DateTime<Utc> as Timestamptz }
    "INSERT INTO visit_photos (county_id, visit_id, photo_id, attachment_id, at) SELECT {county}, {visit}, p.photo, p.file, {now} FROM unnest({photos}, {files}) p (photo, file) \
     ON CONFLICT (county_id, visit_id, photo_id) DO NOTHING"
}

statement! {
    struct There { county: i32 as Integer, visit: Uuid as SqlUuid }
    "SELECT f.photo_id, f.attachment_id FROM visit_photos f WHERE f.county_id = {county} AND f.visit_id = {visit}"
}

#[derive(diesel::QueryableByName)]
struct Is {
    #[diesel(sql_type = SqlUuid)]
    photo_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    attachment_id: Uuid,
}

statement! {
    struct Touch { county: i32 as Integer, visit: Uuid as SqlUuid }
    "UPDATE visits SET version = version + 1 WHERE county_id = {county} AND id = {visit}"
}

fn write(
    conn: &mut PgConnection,
    visit: &Visit,
    (photos, files): (Vec<Uuid>, Vec<Uuid>),
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let county = visit.county_id;
    Insert { county, visit: visit.id, photos, files, now }.execute(conn)?;
    Touch { county, visit: visit.id }.execute(conn)?;
    Ok(())
}

/// Which of them are new; every wrong one is told.
fn new_ones(visit: &Visit, there: &[Is], said: &[ArrivedPhoto]) -> Result<Vec<(usize, ArrivedPhoto)>> {
    let (mut faults, mut new) = (Vec::new(), Vec::<(usize, ArrivedPhoto)>::new());
    for (index, photo) in said.iter().enumerate() {
        let mut fault = |code: &'static str, zh: &'static str, en: &'static str| {
            let text = Text::fixed(zh, en);
            faults.push(FieldError::body(format!("/photos/{index}/photo_id"), code, text));
        };
        match there.iter().find(|is| is.photo_id == photo.photo_id) {
            Some(is) if is.attachment_id == photo.attachment_id => {}
            Some(_) => fault("photo_there", "该照片已上传", "this photo is here already"),
            None if !visit.photos.contains(&photo.photo_id) => {
                fault("unknown_photo", "签到时没有这张照片", "the visit named no such photo");
            }
            None if new.iter().any(|(_, other)| other.photo_id == photo.photo_id) => {
                fault("twice", "重复", "is here twice");
            }
            None => new.push((index, photo.clone())),
        }
    }
    if faults.is_empty() { Ok(new) } else { Err(Error::invalid(faults)) }
}

/// No photo comes to a visit whose words have been erased, or where the county keeps none any more.
fn check_wanted(visit: &Visit, wanted: Evidence) -> Result<()> {
    if visit.said.is_none() {
        let (zh, en) =
            ("该走访内容已按法律要求删除，不再接收照片", "what the visit said has been erased: no photos any more");
        return Err(Error::field("/photos", "erased", zh, en));
    }
    if wanted == Evidence::Off {
        let (zh, en) = ("本县不再保存走访照片", "the county keeps no photos of visits");
        return Err(Error::field("/photos", "photos_off", zh, en));
    }
    Ok(())
}

/// Add photos to a visit
///
/// Files that were uploaded, each as one of the photos that the visit named. Sending them again changes nothing. By whoever made the visit. Refused once what
/// the visit said has been erased, and while the county keeps no photos (`visits.photo` is `off`).
#[utoipa::path(tag = "visits", security(("token" = ["visits:check_in"])), params(("id" = Uuid, Path, description = "The visit"), IdempotencyHeader),
    request_body = AddPhotos, responses((status = 200, description = "The visit", body = VisitView)), extensions(("x-errors" = json!(["not_visitor"]))))]
#[post("/v1/visits/{id}/photos")]
pub async fn add_visit_photos(caller: Can<CheckInVisits>, id: Id, command: Command<AddPhotos>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "add_visit_photos", key, digest);
    let (who, seen, now) = (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now());
    let (inner, wanted) = (app.clone(), app.counties.public(&app, &caller.county_key).await?.settings.visits_photo);
    app.once(once, move |conn| {
        store::lock(conn, who.county, id.0)?;
        let row = store::find(conn, who.county, seen, id.0)?.ok_or(Code::NotFound)?;
        if !row.own {
            return Err(Code::NotVisitor.into());
        }
        let there: Vec<Is> = There { county: who.county, visit: row.id }.load(conn)?;
        let new = new_ones(&row, &there, &body.photos)?;
        if !new.is_empty() {
            check_wanted(&row, wanted)?;
        }
        let placed: Vec<_> =
            new.iter().map(|(index, photo)| (photo.attachment_id, format!("/photos/{index}/attachment_id"))).collect();
        // Of the household, not of one person: closing one record does not take them away.
        let to = Attach {
            county: who.county,
            about: VISIT,
            about_id: row.id,
            resident: None,
            by: (&who).into(),
            pointer: "/photos",
            now,
        };
        attachments::attach_each(conn, &to, &placed)?;
        if !new.is_empty() {
            let ids = new.iter().map(|(_, photo)| (photo.photo_id, photo.attachment_id)).unzip();
            write(conn, &row, ids, now)?;
        }
        let row = store::find(conn, who.county, seen, row.id)?.ok_or(Code::NotFound)?;
        Answer::ok(row.version, &VisitView::of(conn, &inner, lang, &row)?)
    })
    .await
}
