//! Receiving a form with one file, into a nameless file that goes with this process.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    time::Duration,
};

use actix_multipart::{Multipart, MultipartError};
use actix_web::{http::header::HeaderMap, web};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::{model::clean_name, routes::too_large};
use crate::error::{Code, Error, FieldError, Result, Text};

/// A phone that sends nothing for so long has gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the form says beside the file, in bytes.
const AROUND: u64 = 64 * 1024;

/// Written at once.
const CHUNK: usize = 256 * 1024;

/// A file that has arrived.
pub struct Received {
    pub file: File,
    pub name: Option<String>,
    pub declared: Option<String>,
    pub sha256: [u8; 32],
}

fn faulty(error: &MultipartError) -> Error {
    match error {
        MultipartError::ContentTypeMissing | MultipartError::ContentTypeIncompatible => {
            Error::new(Code::UploadMediaType).detail("须为 multipart/form-data", "It must be multipart/form-data")
        }
        _ => Error::new(Code::MalformedRequest).cause(error),
    }
}

async fn next<T>(stream: &mut (impl StreamExt<Item = Result<T, MultipartError>> + Unpin)) -> Result<Option<T>> {
    let next = tokio::time::timeout(PATIENCE, stream.next()).await;
    let next = next.map_err(|_| Error::new(Code::MalformedRequest).cause("the body stopped coming"))?;
    next.transpose().map_err(|error| faulty(&error))
}

/// Reads the form: one field `file` and nothing else.
pub async fn receive(headers: &HeaderMap, payload: web::Payload, most: u64) -> Result<Received> {
    let announced = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > most + AROUND) {
        return Err(too_large(most));
    }
    let mut form = Multipart::new(headers, payload);
    let mut received = None;
    while let Some(mut field) = next(&mut form).await? {
        let name = field.name().unwrap_or_default().to_owned();
        if name != "file" || received.is_some() {
            let (code, text) = match name == "file" {
                true => ("twice", Text::fixed("一次只能上传一个文件", "One file at a time")),
                false => ("unknown_field", Text::fixed("没有这个字段", "there is no such field")),
            };
            let name: String = name.chars().take(100).collect();
            let pointer = name.replace('~', "~0").replace('/', "~1");
            return Err(Error::invalid(vec![FieldError::body(format!("/{pointer}"), code, text)]));
        }
        let given = field.content_disposition().and_then(|disposition| disposition.get_filename()).and_then(clean_name);
        let declared = field.content_type().map(|mime| mime.essence_str().to_owned());
        let (file, sha256) = keep(&mut field, most).await?;
        received = Some(Received { file, name: given, declared, sha256 });
    }
    received.ok_or_else(|| Error::field("/file", "required", "必填", "is required"))
}

async fn keep(field: &mut actix_multipart::Field, most: u64) -> Result<(File, [u8; 32])> {
    let mut file = tempfile::tempfile().map_err(Error::internal)?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, Vec::with_capacity(CHUNK));
    loop {
        let chunk = next(field).await?;
        if let Some(chunk) = &chunk {
            size += chunk.len() as u64;
            if size > most {
                return Err(too_large(most));
            }
            hash.update(chunk);
            buffer.extend_from_slice(chunk);
        }
        if buffer.len() >= CHUNK || chunk.is_none() && !buffer.is_empty() {
            let full = std::mem::replace(&mut buffer, Vec::with_capacity(CHUNK));
            let written = tokio::task::spawn_blocking(move || file.write_all(&full).map(|()| file)).await;
            file = written.map_err(Error::internal)?.map_err(Error::internal)?;
        }
        if chunk.is_none() {
            return Ok((file, hash.finalize().into()));
        }
    }
}

/// All bytes of a file that has arrived.
pub fn whole(mut file: File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
