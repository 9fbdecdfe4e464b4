//! Catalogues and calendars: rendered once, answered from memory for some seconds, with `ETag`, `Cache-Control` and 304.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, HttpResponse, http::header};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};
use serde::Serialize;

use crate::{app::App, crypto, error::Result, http::etag::not_modified};

/// How long another process's change may stay unseen here, beside the 2 seconds of what is known of a county. Clients are told
/// a minute.
const FRESH: Duration = Duration::from_secs(3);

struct Entry {
    body: Bytes,
    etag: String,
    made: Instant,
}

/// Bytes that rendered answers may take in all: clients can invent as many queries as they like.
const BUDGET: u64 = 8 * 1024 * 1024;

#[derive(Clone)]
struct Bytesize;

impl Weighter<Box<str>, Arc<Entry>> for Bytesize {
    fn weight(&self, uri: &Box<str>, entry: &Arc<Entry>) -> u64 {
        (uri.len() + entry.body.len() + 200) as u64
    }
}

/// Public answers by path and query.
pub struct Rendered(Cache<Box<str>, Arc<Entry>, Bytesize>);

impl Default for Rendered {
    fn default() -> Self {
        Self(Cache::with_weighter(2_000, BUDGET, Bytesize))
    }
}

impl Rendered {
    /// Forgets everything: called by whoever changes what is rendered.
    pub fn forget(&self) {
        self.0.clear();
    }
}

/// Answers from memory, or renders what `read` reads. Only for answers that depend on path and query alone.
pub async fn answer<T, F>(app: &App, request: &HttpRequest, read: impl FnOnce() -> F) -> Result<HttpResponse>
where
    T: Serialize,
    F: Future<Output = Result<T>>,
{
    let uri = request.uri().path_and_query().map_or("", |uri| uri.as_str());
    let known = app.rendered.0.get(uri).filter(|entry| entry.made.elapsed() < FRESH);
    let entry = match known {
        Some(entry) => entry,
        None => {
            let body = serde_json::to_vec(&read().await?).map_err(crate::error::Error::internal)?;
            let etag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&crypto::digest(&body)[..9]));
            let entry = Arc::new(Entry { body: body.into(), etag, made: Instant::now() });
            app.rendered.0.insert(uri.into(), entry.clone());
            entry
        }
    };
    let same = not_modified(request, &entry.etag);
    let mut response = if same { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::ETAG, entry.etag.as_str()))
        .insert_header((header::CACHE_CONTROL, "public, max-age=60"));
    if same {
        return Ok(response.finish());
    }
    Ok(response.content_type("application/json").body(entry.body.clone()))
}
