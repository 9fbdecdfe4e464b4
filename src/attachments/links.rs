//! Signed links: whoever has one can read the file for five minutes, with no login, because that is how phones show images.

use std::ops::Range;

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::header::{self, ContentDisposition, DispositionParam, DispositionType, ExtendedValue, HeaderMap},
    post,
    web::{Data, Path},
};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    content,
    model::{Attachment, AttachmentState},
    routes::visible,
    store,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::CST,
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        etag::not_modified,
        permissions::ReadAttachments,
        valid::Id,
    },
};

/// How long a link works.
const GOOD: TimeDelta = TimeDelta::minutes(5);

/// What the signature of a link is made for.
const PURPOSE: &str = "attachment_link";

/// County, attachment, second of expiry.
const SIGNED: usize = 4 + 16 + 8;

/// Half of the tag: 128 bits.
const TAG: usize = 16;

fn token(app: &App, county: i32, id: Uuid, until: DateTime<Utc>) -> String {
    let mut bytes = [&county.to_be_bytes()[..], id.as_bytes(), &until.timestamp().to_be_bytes()].concat();
    let tag = app.keys.sign(PURPOSE, &bytes);
    bytes.extend_from_slice(&tag[..TAG]);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The county and the attachment of a token, and until when it is good.
fn read(app: &App, token: &str) -> Option<(i32, Uuid, i64)> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.len() == SIGNED + TAG)?;
    let (signed, tag) = bytes.split_at(SIGNED);
    if !app.keys.verify(PURPOSE, signed, tag) {
        return None;
    }
    let county = i32::from_be_bytes(*signed.first_chunk()?);
    let id = Uuid::from_slice(&signed[4..20]).ok()?;
    Some((county, id, i64::from_be_bytes(*signed.last_chunk()?)))
}

/// A link to a file.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"url": "/v1/files/AAAAAQGZoMAAAHAAgAAAAAAAAPEAAAAAaSJdLHn3vJmP6x1n8sBkGQYw4HM", "expires_at": "2026-11-23T08:05:00+08:00"}))]
pub struct LinkView {
    /// Relative to this API; needs no token.
    pub url: String,
    pub expires_at: DateTime<FixedOffset>,
}

/// Get a link to a file
///
/// For `wx.previewImage`, `wx.downloadFile` and `<img>`: it needs no login and works for five minutes, for whoever has it. A link to
/// somebody else's file is recorded.
#[utoipa::path(tag = "attachments", security(("token" = ["attachments:read"])), params(("id" = Uuid, Path, description = "The attachment")),
    responses((status = 200, description = "The link", body = LinkView)), extensions(("x-errors" = json!(["attachment_not_ready"]))))]
#[post("/v1/attachments/{id}/link")]
pub async fn create_attachment_link(caller: Can<ReadAttachments>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let row = visible(&app, &caller, id.0).await?;
    if row.state != AttachmentState::Ready {
        return Err(Code::AttachmentNotReady.into());
    }
    let (who, now) = (Caller::clone(&caller), app.clock.now());
    let own = row.is_by((&who).into()) || who.is_resident() && row.resident_id == Some(who.subject);
    if !own {
        let entry = Audit::new("link", "attachment", row.id);
        app.db.write("create_attachment_link", move |conn| Ok(audit::record(conn, &who, now, &entry)?)).await?;
    }
    let until = now + GOOD;
    let url = format!("/v1/files/{}", token(&app, row.county_id, row.id, until));
    let view = LinkView { url, expires_at: until.with_timezone(&CST) };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// What of a file is asked for: one range (RFC 9110 §14). Several, or a unit that nobody knows, mean all of it.
fn range(headers: &HeaderMap, etag: &str, size: u64) -> Result<Option<Range<u64>>> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let changed = text(header::IF_RANGE).is_some_and(|tag| tag != etag);
    let asked = text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")).filter(|_| !changed);
    let Some((from, to)) = asked.filter(|asked| !asked.contains(',')).and_then(|asked| asked.trim().split_once('-'))
    else {
        return Ok(None);
    };
    let range = match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to => from..to.saturating_add(1).min(size),
        (Ok(from), Err(_)) if to.is_empty() => from..size,
        (Err(_), Ok(last)) if from.is_empty() => size.saturating_sub(last)..size,
        _ => return Ok(None),
    };
    if range.is_empty() {
        return Err(Error::new(Code::RangeNotSatisfiable).header(header::CONTENT_RANGE, format!("bytes */{size}")));
    }
    Ok(Some(range))
}

/// Images and recordings are shown, documents are saved; the name has the extension of what it is.
fn disposition(name: Option<String>, media_type: &str) -> ContentDisposition {
    let name = name.unwrap_or_else(|| "file".into());
    let name = match content::extension(media_type, &name) {
        Some(extension) => format!("{name}.{extension}"),
        None => name,
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let shown = media_type.starts_with("image/") || media_type.starts_with("audio/");
    let extended =
        ExtendedValue { charset: header::Charset::Ext("UTF-8".into()), language_tag: None, value: name.into_bytes() };
    ContentDisposition {
        disposition: if shown { DispositionType::Inline } else { DispositionType::Attachment },
        parameters: vec![DispositionParam::Filename(ascii), DispositionParam::FilenameExt(extended)],
    }
}

async fn serve(app: &App, request: &HttpRequest, row: &Attachment) -> Result<HttpResponse> {
    let (media_type, bytes, sha256) = (row.media_type.as_deref(), row.bytes, row.sha256.as_deref());
    let (Some(media_type), Some(bytes), Some(sha256)) = (media_type, bytes, sha256) else {
        return Err(Code::NotFound.into());
    };
    let (tag, size) = (format!("\"{}\"", hex::encode(sha256)), bytes.unsigned_abs());
    let range = range(request.headers(), &tag, size)?;
    let mut response = match (&range, not_modified(request, &tag)) {
        (_, true) => HttpResponse::NotModified(),
        (Some(_), _) => HttpResponse::PartialContent(),
        (None, _) => HttpResponse::Ok(),
    };
    response
        .content_type(media_type)
        .insert_header((header::ETAG, tag.clone()))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header(("repr-digest", format!("sha-256=:{}:", BASE64_STANDARD.encode(sha256))))
        // Nothing in a file runs in this API's name.
        .insert_header((header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        .insert_header(("cross-origin-resource-policy", "cross-origin"))
        .insert_header(disposition(row.name(app)?, media_type))
        // Compressed already; ranges are of these bytes.
        .insert_header((header::CONTENT_ENCODING, "identity"));
    if not_modified(request, &tag) {
        return Ok(response.finish());
    }
    if let Some(Range { start, end }) = &range {
        response.insert_header((header::CONTENT_RANGE, format!("bytes {start}-{}/{size}", end - 1)));
    }
    let range = range.unwrap_or(0..size);
    response.no_chunking(range.end - range.start);
    Ok(response.streaming(app.files.read(&row.object(), range).await?))
}

/// Read a file
///
/// By a link; single ranges are answered with 206, so that a cut download goes on where it stopped. `ETag` is the SHA-256 of the file.
#[utoipa::path(tag = "attachments", security(()), params(("token" = String, Path, description = "The last part of a link")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream", example = json!("(bytes)")),
        (status = 206, description = "The range of the file that was asked for"), (status = 304, description = "The file is the one of `If-None-Match`")),
    extensions(("x-errors" = json!(["link_expired", "range_not_satisfiable"]))))]
#[get("/v1/files/{token}")]
pub async fn get_file(token: Path<String>, request: HttpRequest, app: Data<App>) -> Result<HttpResponse> {
    let (county, id, until) = read(&app, &token).ok_or(Code::NotFound)?;
    if app.clock.now().timestamp() >= until {
        return Err(Code::LinkExpired.into());
    }
    let row = app.db.read("get_file", move |conn| store::find(conn, (county, id))).await?;
    let row = row.filter(|row| row.state == AttachmentState::Ready).ok_or(Code::NotFound)?;
    serve(&app, &request, &row).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let of = |asked: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, asked.parse().expect("a header"));
            range(&headers, "\"x\"", 10).map_err(|error| error.code)
        };
        for (asked, expected) in [
            ("bytes=0-3", Ok(Some(0..4))),
            ("bytes=4-", Ok(Some(4..10))),
            ("bytes=-3", Ok(Some(7..10))),
            ("bytes=-30", Ok(Some(0..10))),
            ("bytes=9-99", Ok(Some(9..10))),
            ("bytes=10-", Err(Code::RangeNotSatisfiable)),
            ("bytes=-0", Err(Code::RangeNotSatisfiable)),
            ("bytes=3-1", Ok(None)),
            ("bytes=0-1,4-5", Ok(None)),
            ("lines=0-1", Ok(None)),
        ] {
            assert_eq!(of(asked), expected, "{asked}");
        }
    }
}
