//! Uploading in one request, looking and taking back over HTTP.

use actix_web::{HttpRequest, HttpResponse, delete, get, http::header, post, web};
use chrono::{DateTime, FixedOffset, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    attaching::may_see,
    content::Content,
    model::{self, Attachment, AttachmentState, Refusal, Uploader},
    processing,
    receiving::{self, Received},
    store::{self, NewAttachment},
};
use crate::{
    app::App,
    clock::CST,
    crypto,
    error::{Code, Error, FieldError, Lang, Result},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        etag::etag,
        idempotency::{Answer, IdempotencyKey, Once},
        limits,
        permissions::{ReadAttachments, UploadAttachments},
        valid::Id,
    },
};

const MIB: u64 = 1024 * 1024;

/// A file (附件).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f1", "state": "ready", "state_name": "可用", "name": "户口簿.jpg",
    "media_type": "image/jpeg", "bytes": 482113, "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", "width": 3024, "height": 4032,
    "refusal": null, "refusal_text": null, "about": null, "about_id": null, "expires_at": "2026-11-24T08:00:00+08:00",
    "created_at": "2026-11-23T08:00:00+08:00", "version": 2}))]
pub struct AttachmentView {
    pub id: Uuid,
    pub state: AttachmentState,
    /// The state in the language of the request.
    pub state_name: String,
    /// As the uploader's phone calls it, without a path.
    pub name: Option<String>,
    /// Told by the content.
    pub media_type: Option<String>,
    /// Size of what is stored: images lose their metadata.
    pub bytes: Option<i64>,
    /// SHA-256 of what is stored, in hexadecimal.
    pub sha256: Option<String>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    /// Why the content of a resumable upload was refused: `empty`, `type_not_allowed`, `type_mismatch`, `broken`,
    /// `too_many_pixels` or `zip_bomb`.
    pub refusal: Option<String>,
    /// The same in the language of the request.
    pub refusal_text: Option<String>,
    /// The kind of thing that it belongs to, and which; none: to nothing yet.
    pub about: Option<String>,
    pub about_id: Option<Uuid>,
    /// When it goes unless it belongs to something by then.
    pub expires_at: Option<DateTime<FixedOffset>>,
    pub created_at: DateTime<FixedOffset>,
    pub version: i64,
}

impl AttachmentView {
    pub fn new(app: &App, row: &Attachment, lang: Lang) -> Result<Self> {
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        let refusal: Option<Refusal> = row.refusal.as_ref().and_then(|refusal| refusal.parse().ok());
        Ok(Self {
            id: row.id,
            state: row.state,
            state_name: row.state.words().get(lang).to_owned(),
            name: row.name(app)?,
            media_type: row.media_type.clone(),
            bytes: row.bytes,
            sha256: row.sha256.as_ref().map(hex::encode),
            width: row.width,
            height: row.height,
            refusal: row.refusal.clone(),
            refusal_text: refusal.map(|refusal| refusal.words().get(lang).to_owned()),
            about: row.about.clone(),
            about_id: row.about_id,
            expires_at: row.expires_at.map(local),
            created_at: local(row.created_at),
            version: row.version,
        })
    }
}

/// The form that `wx.uploadFile` sends, with `name: "file"`.
#[derive(ToSchema)]
#[schema(example = json!({"file": "(the bytes of a photo)"}))]
#[expect(dead_code, reason = "only its schema is used: the body is read as it comes")]
pub struct UploadForm {
    /// The file, with its name and type. The only field.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
}

/// Bytes that an attachment of a county may have.
pub async fn most(app: &App, county: &str) -> Result<u64> {
    let settings = &app.counties.public(app, county).await?.settings;
    Ok(settings.attachments_max_mib.unsigned_abs() * MIB)
}

/// 413 with how much it may be.
pub fn too_large(most: u64) -> Error {
    let mib = most / MIB;
    Error::new(Code::BodyTooLarge)
        .detail(format!("文件不得超过 {mib} MiB"), format!("A file may have up to {mib} MiB"))
        .header(header::HeaderName::from_static("tus-max-size"), most)
}

/// Takes one of the writes that a caller has in a minute.
pub async fn count(app: &App, caller: &Caller) -> Result<()> {
    limits::take(app, "writes", &format!("{}:{}", caller.county, caller.subject), app.config.writes_per_minute).await
}

/// What a repeat is known by: the name and type that the file was sent with, and its bytes.
fn digest(received: &Received) -> [u8; 32] {
    let part = |part: &Option<String>| crypto::digest(part.as_deref().unwrap_or_default().as_bytes());
    crypto::digest(&[part(&received.name), part(&received.declared), received.sha256].concat())
}

/// Stores a file that is right, under a row that remembers it from before.
async fn store(app: &App, who: &Caller, received: &Received, content: &Content, id: Uuid) -> Result<()> {
    let (county, now) = (who.county, app.clock.now());
    let seal = |name: &String| app.keys.seal(county, &model::place("name", id), name.as_bytes());
    let (name, declared_type) = (received.name.as_ref().map(seal), received.declared.clone());
    let (folder, uploader, length) = (model::folder(county), Uploader::from(who), content.bytes.len() as i64);
    let object = model::object(&folder);
    let begin = move |conn: &mut diesel::PgConnection| {
        let (name, declared_type, folder) = (name.clone(), declared_type.clone(), folder.clone());
        let new = NewAttachment {
            key: (county, id),
            uploader,
            resumable: false,
            name,
            metadata: None,
            declared_type,
            length,
            received: length,
            folder,
        };
        store::begin(conn, new, now)
    };
    app.db.write("begin_attachment", begin).await?;
    app.files.put(&object, content.bytes.clone()).await
}

/// Upload a file
///
/// As `wx.uploadFile` sends it: a form with one field `file`, and nothing else. JPEG, PNG, WebP, PDF, DOCX, XLSX, and MP3, M4A, AAC or
/// AMR recordings, told by their content; up to `attachments.max_mib`, images up to 50 megapixels. Images lose their metadata, the
/// place where they were taken included, and are turned upright. The file belongs to nothing at first: only its uploader sees it, for
/// 24 hours; what takes it by its `id` decides from then on. Long files over bad networks: `POST /v1/uploads`.
#[utoipa::path(tag = "attachments", security(("token" = ["attachments:upload"])), params(IdempotencyHeader),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 201, description = "Uploaded", body = AttachmentView)),
    extensions(("x-errors" = json!(["malformed_request", "upload_media_type", "body_too_large", "invalid", "too_many_uploads"]))))]
#[post("/v1/attachments")]
pub async fn upload_attachment(
    caller: Can<UploadAttachments>,
    key: IdempotencyKey,
    lang: Lang,
    app: web::Data<App>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<Answer> {
    count(&app, &caller).await?;
    let most = most(&app, &caller.county_key).await?;
    let received = receiving::receive(request.headers(), payload, most).await?;
    let once = Once::new(&caller, "upload_attachment", key, digest(&received));
    let app = app.into_inner();
    if let Some(answer) = app.answered(once.clone()).await? {
        return Ok(answer);
    }
    let turn = processing::turn().await;
    let file = received.file.try_clone().map_err(Error::internal)?;
    let looked = processing::look(&turn, received.declared.clone(), move || receiving::whole(file)).await?;
    let content =
        looked.map_err(|refusal| Error::invalid(vec![FieldError::body("/file", refusal.as_str(), refusal.words())]))?;
    let (id, inner, now) = (Uuid::now_v7(), app.clone(), app.clock.now());
    store(&app, &caller, &received, &content, id).await?;
    let (county, content) = (caller.county, std::sync::Arc::new(content));
    app.once_counted(once, move |conn| {
        let row = store::ready(conn, (county, id), &content, now)?.ok_or(Code::UploadExpired)?;
        Answer::created(format!("/v1/attachments/{id}"), row.version, &AttachmentView::new(&inner, &row, lang)?)
    })
    .await
}

/// An attachment that a caller may see.
pub async fn visible(app: &web::Data<App>, caller: &Can<ReadAttachments>, id: Uuid) -> Result<Attachment> {
    let (who, now) = (Caller::clone(caller), app.clock.now());
    app.db
        .read("get_attachment", move |conn| {
            let row = store::find(conn, (who.county, id))?.ok_or(Code::NotFound)?;
            if may_see(conn, &who, &row, now)? { Ok(row) } else { Err(Code::NotFound.into()) }
        })
        .await
}

/// Get a file's description
///
/// For its uploader while it belongs to nothing, then for whoever may see the thing that it belongs to. What was uploaded in
/// pieces is `processing` for a moment before it is `ready` or `refused`.
#[utoipa::path(tag = "attachments", security(("token" = ["attachments:read"])), params(("id" = Uuid, Path, description = "The attachment")),
    responses((status = 200, description = "The attachment", body = AttachmentView)))]
#[get("/v1/attachments/{id}")]
pub async fn get_attachment(
    caller: Can<ReadAttachments>,
    id: Id,
    lang: Lang,
    app: web::Data<App>,
) -> Result<HttpResponse> {
    let row = visible(&app, &caller, id.0).await?;
    let view = AttachmentView::new(&app, &row, lang)?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(row.version))).json(view))
}

/// Lets go of one's own upload that belongs to nothing: of any, or only of one that came in pieces.
pub async fn take_back(app: &web::Data<App>, caller: &Caller, id: Uuid, any: bool) -> Result<HttpResponse> {
    let (key, uploader, now) = ((caller.county, id), Uploader::from(caller), app.clock.now());
    app.db
        .write("remove_attachment", move |conn| {
            let own = |row: &Attachment| row.is_by(uploader) && (any || row.resumable);
            let row = store::find(conn, key)?.filter(own).ok_or(Code::NotFound)?;
            if row.about.is_some() || !store::remove_unattached(conn, key, now)? {
                return Err(Code::AttachmentInUse.into());
            }
            Ok(())
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Take a file back
///
/// By its uploader, while it belongs to nothing.
#[utoipa::path(tag = "attachments", security(("token" = ["attachments:upload"])), params(("id" = Uuid, Path, description = "The attachment")),
    responses((status = 204, description = "Gone")), extensions(("x-errors" = json!(["attachment_in_use"]))))]
#[delete("/v1/attachments/{id}")]
pub async fn remove_attachment(caller: Can<UploadAttachments>, id: Id, app: web::Data<App>) -> Result<HttpResponse> {
    take_back(&app, &caller, id.0, true).await
}
