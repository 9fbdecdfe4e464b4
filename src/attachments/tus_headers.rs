//! The headers of tus 1.0.0.

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{HeaderMap, HeaderName},
};
use aws_lc_rs::digest;
use base64::prelude::{BASE64_STANDARD, Engine};

use super::{model::clean_name, tus};
use crate::error::{Code, Error, Result};

/// `Upload-Metadata` may have so many bytes.
const METADATA: usize = 2048;

/// A request that speaks our version of tus; 412 with the version otherwise.
pub struct Resumable;

impl FromRequest for Resumable {
    type Error = Error;
    type Future = std::future::Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let spoken = text(request.headers(), &tus::TUS_RESUMABLE);
        let fits = spoken == Some(tus::VERSION);
        let refused = || Error::new(Code::TusVersion).header(HeaderName::from_static("tus-version"), tus::VERSION);
        std::future::ready(if fits { Ok(Self) } else { Err(refused()) })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn malformed(zh: &'static str, en: &'static str) -> Error {
    Error::new(Code::MalformedHeader).detail(zh, en)
}

/// A count of bytes in a header.
fn number(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    text(headers, name)?.parse().ok().filter(|number| *number >= 0)
}

/// Where the body belongs.
pub fn offset(headers: &HeaderMap) -> Result<i64> {
    let missing = || malformed("Upload-Offset 须为非负整数", "Upload-Offset must be a number, 0 or more");
    number(headers, &tus::UPLOAD_OFFSET).ok_or_else(missing)
}

/// How long the body is, where that is known.
pub fn body_length(headers: &HeaderMap) -> Option<i64> {
    number(headers, &HeaderName::from_static("content-length"))
}

/// Whether there is a body of bytes.
pub fn is_bytes(request: &HttpRequest) -> bool {
    use actix_web::HttpMessage;
    request.content_type() == "application/offset+octet-stream"
}

/// What a creation says of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Announced {
    pub length: i64,
    /// As it came.
    pub metadata: Option<String>,
    pub name: Option<String>,
    pub declared: Option<String>,
}

impl Announced {
    pub fn read(headers: &HeaderMap) -> Result<Self> {
        let length = number(headers, &tus::UPLOAD_LENGTH).filter(|length| *length > 0).ok_or_else(|| {
            malformed(
                "须有 Upload-Length，至少为 1；不支持 Upload-Defer-Length",
                "Upload-Length is needed, 1 or more; Upload-Defer-Length is not supported",
            )
        })?;
        let Some(value) = headers.get(&tus::UPLOAD_METADATA) else {
            return Ok(Self { length, ..Self::default() });
        };
        let wrong = || {
            malformed(
                "Upload-Metadata 须为以逗号分隔的「键 base64」，至多 2 KiB",
                "Upload-Metadata is a list of keys with values in base64, up to 2 KiB",
            )
        };
        let metadata = value.to_str().ok().filter(|text| text.len() <= METADATA).ok_or_else(wrong)?;
        let mut found = Self { length, metadata: Some(metadata.to_owned()), ..Self::default() };
        for pair in metadata.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = BASE64_STANDARD.decode(value.trim()).map_err(|_| wrong())?;
            let value = String::from_utf8(value).ok().filter(|value| !value.contains('\0'));
            match key {
                "filename" | "name" => found.name = clean_name(&value.ok_or_else(wrong)?),
                "filetype" | "type" => found.declared = Some(value.ok_or_else(wrong)?.to_ascii_lowercase()),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// `Upload-Checksum` of one request.
pub struct Checksum {
    pub algorithm: &'static digest::Algorithm,
    pub expected: Vec<u8>,
}

/// The names that the standard and we know.
pub const CHECKSUMS: &str = "sha1,sha256";

impl Checksum {
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>> {
        let Some(value) = headers.get("upload-checksum") else { return Ok(None) };
        let read = || {
            let (name, sum) = value.to_str().ok()?.split_once(' ')?;
            let algorithm = match name {
                "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
                "sha256" => &digest::SHA256,
                _ => return None,
            };
            Some(Self { algorithm, expected: BASE64_STANDARD.decode(sum.trim()).ok()? })
        };
        let wrong = || {
            malformed("Upload-Checksum 须为 sha1 或 sha256 加 base64", "Upload-Checksum is sha1 or sha256 with base64")
        };
        read().map(Some).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(HeaderName::from_static(name), value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn metadata_names_the_file() {
        let name = BASE64_STANDARD.encode("../户口簿.jpg");
        let metadata = format!("filename {name}, filetype aW1hZ2UvSlBFRw==,is_confidential");
        let read = Announced::read(&headers(&[("upload-length", "7"), ("upload-metadata", &metadata)])).expect("read");
        assert_eq!(
            (read.length, read.name.as_deref(), read.declared.as_deref()),
            (7, Some("户口簿.jpg"), Some("image/jpeg"))
        );
        for wrong in [
            &[][..],
            &[("upload-length", "0")],
            &[("upload-length", "-1")],
            &[("upload-length", "7"), ("upload-metadata", "filename !")],
            &[("upload-length", "7"), ("upload-metadata", "filename /w==")],
        ] {
            assert_eq!(Announced::read(&headers(wrong)).expect_err("refused").code, Code::MalformedHeader, "{wrong:?}");
        }
    }

    #[test]
    fn checksums_have_known_names() {
        assert!(Checksum::read(&headers(&[])).expect("none").is_none());
        assert!(
            Checksum::read(&headers(&[("upload-checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=")]))
                .expect("read")
                .is_some()
        );
        for wrong in ["md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha1", "sha1 ?"] {
            assert!(Checksum::read(&headers(&[("upload-checksum", wrong)])).is_err(), "{wrong}");
        }
    }
}
