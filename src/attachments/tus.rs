//! Resumable uploads: tus 1.0.0 (<https://tus.io/protocols/resumable-upload>), whose methods, headers and errors count here.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder, delete, head,
    http::header::{self, HeaderName},
    options, patch, post,
    web::{Data, Payload},
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    appending::{Append, too_long},
    model::{self, Attachment, Uploader},
    pieces::{self, Claim},
    routes::{count, most, take_back, too_large},
    store::{self, NewAttachment},
    tus_headers::{self, Announced, CHECKSUMS, Checksum, Resumable},
};
use crate::{
    app::App,
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        document::TusHeader,
        permissions::UploadAttachments,
        valid::Id,
    },
    settings,
};

pub const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,expiration,termination,checksum";

pub const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

/// The most that any county can allow, in bytes: who asks without a login has no county.
fn most_anywhere() -> i64 {
    let definition = settings::model::definition("attachments.max_mib").map(|definition| definition.kind);
    match definition {
        Some(settings::model::Kind::Number { most, .. }) => most * 1024 * 1024,
        _ => 0,
    }
}

/// RFC 9110 §5.6.7, which is how the standard writes times.
fn http_date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn expires(response: &mut HttpResponseBuilder, row: &Attachment) {
    if let Some(expires) = row.expires_at {
        response.insert_header((UPLOAD_EXPIRES, http_date(expires)));
    }
}

/// What this server can
///
/// Versions and extensions of tus, and the largest file that any county allows; a county may allow less (`attachments.max_mib`).
#[utoipa::path(tag = "attachments", security(()), responses((status = 204, description = "`Tus-Version`, `Tus-Extension`, `Tus-Max-Size`, `Tus-Checksum-Algorithm`")))]
#[options("/v1/uploads")]
pub async fn describe_uploads() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header(("tus-version", VERSION))
        .insert_header(("tus-extension", EXTENSIONS))
        .insert_header(("tus-max-size", most_anywhere().to_string()))
        .insert_header(("tus-checksum-algorithm", CHECKSUMS))
        .finish()
}

async fn begin(app: &Data<App>, who: &Caller, announced: Announced) -> Result<Attachment> {
    let (county, uploader, id, now) = (who.county, Uploader::from(who), Uuid::now_v7(), app.clock.now());
    let seal = |column, text: &Option<String>| {
        let seal = |text: &String| app.keys.seal(county, &model::place(column, id), text.as_bytes());
        text.as_ref().map(seal)
    };
    let (name, metadata) = (seal("name", &announced.name), seal("metadata", &announced.metadata));
    let (length, declared_type, folder) = (announced.length, announced.declared, model::folder(county));
    app.db
        .write("create_upload", move |conn| {
            let (name, metadata, declared_type) = (name.clone(), metadata.clone(), declared_type.clone());
            let (key, folder, received, resumable) = ((county, id), folder.clone(), 0, true);
            let new =
                NewAttachment { key, uploader, resumable, name, metadata, declared_type, length, received, folder };
            store::begin(conn, new, now)
        })
        .await
}

/// Begin a resumable upload
///
/// tus 1.0.0, creation and creation-with-upload: `Upload-Length` is needed; `Upload-Metadata` may name the file (`filename`) and its
/// type (`filetype`). Its id is the attachment's: `GET /v1/attachments/{id}` tells how it stands. Takes no `Idempotency-Key`: an
/// upload that nobody goes on with is gone after 24 hours.
#[utoipa::path(tag = "attachments", security(("token" = ["attachments:upload"])), params(TusHeader,
        ("Upload-Length" = i64, Header, description = "Bytes of the whole file", example = 3145728),
        ("Upload-Metadata" = Option<String>, Header, description = "`filename` and `filetype` with values in base64", example = "filename cGhvdG8uanBn,filetype aW1hZ2UvanBlZw==")),
    responses((status = 201, description = "`Location`, `Upload-Expires`; `Upload-Offset` if the request had a body")),
    extensions(("x-errors" = json!(["malformed_header", "tus_version", "body_too_large", "too_many_uploads", "too_many_requests"]))))]
#[post("/v1/uploads")]
pub async fn create_upload(
    caller: Can<UploadAttachments>,
    _tus: Resumable,
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse> {
    count(&app, &caller).await?;
    let announced = Announced::read(request.headers())?;
    let most = most(&app, &caller.county_key).await?;
    if announced.length.unsigned_abs() > most {
        return Err(too_large(most));
    }
    let checksum = Checksum::read(request.headers())?;
    let bytes = tus_headers::is_bytes(&request);
    if bytes && tus_headers::body_length(request.headers()).is_some_and(|length| length > announced.length) {
        return Err(too_long(announced.length));
    }
    let row = begin(&app, &caller, announced).await?;
    let mut response = HttpResponse::Created();
    expires(&mut response, &row);
    response.insert_header((header::LOCATION, format!("/v1/uploads/{}", row.id)));
    if bytes {
        // It exists, whatever becomes of the first bytes: the client goes on from where they got to.
        let (key, uploader) = ((row.county_id, row.id), Uploader::from(&*caller));
        let _ = append(&app, (key, uploader), 0, checksum, payload).await;
        let now = app.clock.now();
        let row = app.db.read("get_upload", move |conn| pieces::own(conn, key, uploader, now)).await?;
        response.insert_header((UPLOAD_OFFSET, row.received.to_string()));
    }
    Ok(response.finish())
}

async fn append(
    app: &Data<App>,
    (key, uploader): (store::Key, Uploader),
    offset: i64,
    checksum: Option<Checksum>,
    payload: Payload,
) -> Result<i64> {
    let (writer, now) = (Uuid::now_v7(), app.clock.now());
    let claim = move |conn: &mut diesel::PgConnection| pieces::claim(conn, (key, uploader), (writer, offset), now);
    match app.db.write("claim_upload", claim).await? {
        Claim::Whole(length) => Ok(length),
        Claim::Open(row) => Append::new(app.clone(), *row, writer, checksum).run(payload).await,
    }
}

/// Ask how far an upload got
///
/// tus 1.0.0: what to go on with after a cut.
#[utoipa::path(tag = "attachments", security(("token" = ["attachments:upload"])), params(TusHeader, ("id" = Uuid, Path, description = "The upload")),
    responses((status = 200, description = "`Upload-Offset`, `Upload-Length`, `Upload-Expires`, `Upload-Metadata`")),
    extensions(("x-errors" = json!(["tus_version", "upload_expired"]))))]
#[head("/v1/uploads/{id}")]
pub async fn get_upload(
    caller: Can<UploadAttachments>,
    id: Id,
    _tus: Resumable,
    app: Data<App>,
) -> Result<HttpResponse> {
    let (key, uploader, now) = ((caller.county, id.0), Uploader::from(&*caller), app.clock.now());
    let row = app.db.read("get_upload", move |conn| pieces::own(conn, key, uploader, now)).await?;
    let mut response = HttpResponse::Ok();
    expires(&mut response, &row);
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((UPLOAD_OFFSET, row.received.to_string()))
        .insert_header((UPLOAD_LENGTH, row.length.to_string()));
    if let Some(sealed) = &row.metadata {
        let metadata = app.keys.open_text(key.0, &model::place("metadata", row.id), sealed)?;
        response.insert_header((UPLOAD_METADATA, metadata));
    }
    Ok(response.finish())
}

/// Send bytes of an upload
///
/// tus 1.0.0: `PATCH`, or `POST` with `X-HTTP-Method-Override: PATCH`, because phones cannot send `PATCH`. What arrived before a cut
/// counts (with `Upload-Checksum`: all of the request or nothing). A newer request takes over from an older one, which gets 423.
/// After the last byte the file is looked at: `GET /v1/attachments/{id}`.
#[utoipa::path(tag = "attachments", security(("token" = ["attachments:upload"])), params(TusHeader, ("id" = Uuid, Path, description = "The upload"),
        ("Upload-Offset" = i64, Header, description = "Where the body belongs: what `HEAD` says", example = 1048576),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha1` or `sha256` of this body, in base64", example = "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=")),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "`Upload-Offset`, `Upload-Expires`")),
    extensions(("x-errors" = json!(["malformed_header", "malformed_request", "upload_offset", "upload_expired", "tus_version", "body_too_large",
        "upload_media_type", "upload_locked", "checksum_mismatch", "too_many_requests"]))))]
#[patch("/v1/uploads/{id}")]
pub async fn append_upload(
    caller: Can<UploadAttachments>,
    id: Id,
    _tus: Resumable,
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse> {
    count(&app, &caller).await?;
    if !tus_headers::is_bytes(&request) {
        let (zh, en) = ("须为 application/offset+octet-stream", "It must be application/offset+octet-stream");
        return Err(Error::new(Code::UploadMediaType).detail(zh, en));
    }
    let (offset, checksum) = (tus_headers::offset(request.headers())?, Checksum::read(request.headers())?);
    let (key, uploader, now) = ((caller.county, id.0), Uploader::from(&*caller), app.clock.now());
    if let Some(length) = tus_headers::body_length(request.headers()) {
        let row = app.db.read("get_upload", move |conn| pieces::own(conn, key, uploader, now)).await?;
        if offset.saturating_add(length) > row.length && offset == row.received {
            return Err(too_long(row.length));
        }
    }
    let at = append(&app, (key, uploader), offset, checksum, payload).await?;
    let mut response = HttpResponse::NoContent();
    let until = app.clock.now() + store::KEPT;
    response.insert_header((UPLOAD_OFFSET, at.to_string())).insert_header((UPLOAD_EXPIRES, http_date(until)));
    Ok(response.finish())
}

/// Give an upload up
///
/// tus 1.0.0, termination: also of one that is complete, while it belongs to nothing.
#[utoipa::path(tag = "attachments", security(("token" = ["attachments:upload"])), params(TusHeader, ("id" = Uuid, Path, description = "The upload")),
    responses((status = 204, description = "Gone")), extensions(("x-errors" = json!(["tus_version", "attachment_in_use"]))))]
#[delete("/v1/uploads/{id}")]
pub async fn remove_upload(
    caller: Can<UploadAttachments>,
    id: Id,
    _tus: Resumable,
    app: Data<App>,
) -> Result<HttpResponse> {
    take_back(&app, &caller, id.0, false).await
}
