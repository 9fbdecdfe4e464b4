//! Whole files as bodies, as bytes: what an import reads.

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header, web};
use futures_util::{StreamExt, future::LocalBoxFuture};

use crate::{
    crypto,
    error::{Code, Error, Result},
    sheet::{self, Row, XLSX},
};

/// Tables, in bytes: thousands of lines.
pub const TABLE_LIMIT: usize = 1024 * 1024;
/// Files of JSON, in bytes: a whole catalogue.
pub const JSON_LIMIT: usize = 4 * 1024 * 1024;

/// A body that is a table, CSV or XLSX, and the digest of its bytes for idempotency. Its bytes say which of the two it is.
pub struct Table {
    file: web::Bytes,
    pub digest: [u8; 32],
}

impl Table {
    /// What the file holds; read beside the event loop, because a workbook is unpacked for it.
    pub async fn rows(&self, columns: &'static [&'static str], most: usize) -> Result<Vec<Row>> {
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || sheet::read(&file, columns, most));
        Ok(read.await.map_err(Error::internal)??)
    }

    /// The SHA-256 of the file alone.
    pub fn sha256(&self) -> [u8; 32] {
        crypto::digest(&self.file)
    }
}

/// A file of `application/json`, larger than ordinary bodies, and the digest of its bytes for idempotency.
pub struct JsonFile {
    pub file: web::Bytes,
    pub digest: [u8; 32],
}

impl FromRequest for Table {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let read = read(request, payload, &["text/csv", XLSX], TABLE_LIMIT);
        Box::pin(async move { read.await.map(|(file, digest)| Self { file, digest }) })
    }
}

impl FromRequest for JsonFile {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let read = read(request, payload, &["application/json"], JSON_LIMIT);
        Box::pin(async move { read.await.map(|(file, digest)| Self { file, digest }) })
    }
}

/// The whole body, of one of some media types and up to a limit, and its digest together with path and query.
fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    kinds: &'static [&'static str],
    limit: usize,
) -> impl Future<Output = Result<(web::Bytes, [u8; 32])>> + use<> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let announced: usize = announced.and_then(|length| length.parse().ok()).unwrap_or(0);
    let fits = kinds.contains(&request.content_type());
    let path = request.uri().to_string();
    let mut payload = payload.take();
    async move {
        if !fits {
            let (zh, en) = (kinds.join(" 或 "), kinds.join(" or "));
            let (zh, en) = (format!("请求体类型须为 {zh}"), format!("The body must be {en}"));
            return Err(Error::new(Code::UnsupportedMediaType).detail(zh, en));
        }
        if announced > limit {
            return Err(too_large(limit));
        }
        let mut file = web::BytesMut::with_capacity(announced);
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| Error::new(Code::MalformedRequest).cause(error))?;
            if file.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            file.extend_from_slice(&chunk);
        }
        let digest = crypto::digest(&[path.as_bytes(), &[0], &file[..]].concat());
        Ok((file.freeze(), digest))
    }
}

fn too_large(limit: usize) -> Error {
    let limit = limit / 1024;
    Error::new(Code::BodyTooLarge)
        .detail(format!("文件不得超过 {limit} KiB"), format!("A file may have up to {limit} KiB"))
}
