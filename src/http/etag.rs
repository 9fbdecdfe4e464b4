//! Versions as `ETag`, `If-Match` and `If-None-Match` (RFC 9110 §13.1).

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, http::header};
use serde::Serialize;

use crate::error::{Code, Error, Result};

/// The `ETag` of a row's version.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Whether `sent`, the value of `If-Match` or `If-None-Match`, names `etag`; proxies may have added `W/`.
fn names(sent: &str, etag: &str) -> bool {
    sent.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == "*" || one == etag)
}

/// `If-Match`, required: 428 without it.
#[derive(Clone, Debug)]
pub struct IfMatch(String);

impl IfMatch {
    /// 412 unless the client saw this version.
    pub fn check(&self, version: i64) -> Result<()> {
        if names(&self.0, &etag(version)) {
            return Ok(());
        }
        let (zh, en) = (format!("当前版本为 {version}"), format!("The current version is {version}"));
        Err(Error::new(Code::VersionStale).detail(zh, en).header(header::ETAG, etag(version)))
    }
}

impl FromRequest for IfMatch {
    type Error = Error;
    type Future = std::future::Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let sent = request.headers().get(header::IF_MATCH).ok_or(Code::PreconditionRequired.into());
        let text = sent.and_then(|value| value.to_str().map_err(|_| Code::MalformedHeader.into()));
        std::future::ready(text.map(|text| Self(text.to_owned())))
    }
}

/// Whether the client already has `etag`: answer 304.
pub fn not_modified(request: &HttpRequest, etag: &str) -> bool {
    let sent = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    sent.is_some_and(|sent| names(sent, etag))
}

/// A thing of a catalogue with its version as `ETag`, or 304 to those who have it. Clients may keep it for a minute.
pub fn versioned(request: &HttpRequest, version: i64, view: &impl Serialize) -> HttpResponse {
    let tag = etag(version);
    let same = not_modified(request, &tag);
    let mut response = if same { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::ETAG, tag)).insert_header((header::CACHE_CONTROL, "public, max-age=60"));
    if same { response.finish() } else { response.json(view) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_and_listed_tags_match() {
        for sent in ["\"3\"", "W/\"3\"", "\"2\", \"3\"", "*"] {
            IfMatch(sent.into()).check(3).expect(sent);
        }
        for sent in ["\"2\"", "3", "", "\"33\""] {
            assert_eq!(IfMatch(sent.into()).check(3).expect_err(sent).code, Code::VersionStale);
        }
    }
}
