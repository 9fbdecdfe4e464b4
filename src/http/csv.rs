//! Bodies of CSV, as bytes: what an import reads.

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header, web};
use futures_util::{StreamExt, future::LocalBoxFuture};

use crate::{
    crypto,
    error::{Code, Error, Result},
};

/// Bodies of CSV, in bytes: thousands of lines.
pub const CSV_LIMIT: usize = 1024 * 1024;

/// A body of `text/csv` in whatever encoding, and the digest of its bytes for idempotency.
pub struct Csv {
    pub file: web::Bytes,
    pub digest: [u8; 32],
}

impl FromRequest for Csv {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let announced: usize = announced.and_then(|length| length.parse().ok()).unwrap_or(0);
        let csv = request.content_type() == "text/csv";
        let path = request.uri().to_string();
        let mut payload = payload.take();
        Box::pin(async move {
            if !csv {
                let (zh, en) = ("请求体类型须为 text/csv", "The body must be text/csv");
                return Err(Error::new(Code::UnsupportedMediaType).detail(zh, en));
            }
            if announced > CSV_LIMIT {
                return Err(too_large());
            }
            let mut file = web::BytesMut::with_capacity(announced);
            while let Some(chunk) = payload.next().await {
                let chunk = chunk.map_err(|error| Error::new(Code::MalformedRequest).cause(error))?;
                if file.len() + chunk.len() > CSV_LIMIT {
                    return Err(too_large());
                }
                file.extend_from_slice(&chunk);
            }
            let digest = crypto::digest(&[path.as_bytes(), &[0], &file[..]].concat());
            Ok(Self { file: file.freeze(), digest })
        })
    }
}

fn too_large() -> Error {
    Error::new(Code::BodyTooLarge).detail(
        format!("文件不得超过 {} KiB", CSV_LIMIT / 1024),
        format!("A file may have up to {} KiB", CSV_LIMIT / 1024),
    )
}
