//! The way of every request and answer: id, panic guard, problem documents, metrics and one log line.

use std::{
    cell::RefCell,
    collections::HashMap,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use futures_util::FutureExt;
use metrics::Histogram;
use tracing::{Instrument, Level};
use uuid::Uuid;

use crate::{
    error::{Code, Error, Lang},
    http::caller::language,
};

/// Smaller bodies are not worth compressing.
const COMPRESS_FROM: u64 = 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: Uuid;
}

/// The id of the request being served, for audit entries.
pub fn request_id() -> Option<Uuid> {
    CURRENT.try_with(|id| *id).ok()
}

/// The `trace-id` of a W3C `traceparent`, if there is a valid one.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let valid = version.len() == 2 && trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit());
    (valid && trace.bytes().any(|byte| byte != b'0')).then_some(trace)
}

/// A path as the log has it: a secret that stands for somebody's right to read stays out.
fn loggable(path: &str) -> &str {
    const SECRETS: &[&str] = &["/v1/halls/", "/v1/files/"];
    SECRETS.iter().find(|secrets| path.starts_with(**secrets)).unwrap_or(&path)
}

/// The outermost middleware.
pub async fn way(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let id = Uuid::now_v7();
    let lang = language(request.headers());
    let method = request.method().clone();
    let path = request.path().to_owned();
    let trace = trace_id(request.headers()).unwrap_or_default();
    let span = tracing::span!(Level::INFO, "request", %id, %method, path = loggable(&path), trace);

    let served = AssertUnwindSafe(next.call(request)).catch_unwind();
    let served = CURRENT.scope(id, served.instrument(span.clone())).await;
    let _entered = span.enter();
    let mut response = match served {
        Ok(Ok(response)) => response.map_into_boxed_body(),
        Ok(Err(error)) => return Err(rendered(&of(&error), lang, &path, id, &method, started)),
        Err(panic) => {
            let words = panic.downcast_ref::<&str>().map(ToString::to_string);
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            let error = Error::internal(format!("panic: {words}"));
            return Err(rendered(&error, lang, &path, id, &method, started));
        }
    };
    let failed = response.response().error().map(of);
    if let Some(error) = failed {
        let problem = problem(&error, lang, &path, id);
        response = response.map_body(|head, _| {
            head.status = problem.status();
            for (name, value) in problem.headers() {
                head.headers.insert(name.clone(), value.clone());
            }
            problem.into_body()
        });
    }
    let status = response.status();
    let head = response.response_mut().head_mut();
    head.headers.insert(REQUEST_ID, header_value(id));
    head.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if head.headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "identity") {
        head.headers.remove(header::CONTENT_ENCODING);
    }
    record(&method, response.request().match_pattern().as_deref(), status, started.elapsed());
    Ok(response)
}

/// Keeps `middleware::Compress`, which stands outside, away from small bodies; `way` takes the mark off again.
pub async fn small_stay_plain(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut response = next.call(request).await?;
    if let BodySize::Sized(0..COMPRESS_FROM) = response.response().body().size() {
        let headers = response.headers_mut();
        if !headers.contains_key(header::CONTENT_ENCODING) {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("identity"));
        }
    }
    Ok(response)
}

/// Our error behind actix's, or what actix's own means.
fn of(error: &actix_web::Error) -> Error {
    if let Some(own) = error.as_error::<Error>() {
        return Error {
            code: own.code,
            detail: own.detail.clone(),
            possible_at: own.possible_at,
            errors: own.errors.clone(),
            headers: own.headers.clone(),
            retry: own.retry,
            cause: own.cause.clone(),
        };
    }
    let status = error.as_response_error().status_code();
    let code = match status {
        StatusCode::NOT_FOUND => Code::RouteNotFound,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        _ if status.is_client_error() => Code::MalformedRequest,
        _ => Code::Internal,
    };
    Error::new(code).cause(error)
}

fn header_value(id: Uuid) -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut buffer)).expect("hexadecimal and hyphens")
}

/// The problem document; the one place where an error is logged.
fn problem(error: &Error, lang: Lang, path: &str, id: Uuid) -> HttpResponse {
    let status = error.code.status();
    let cause = error.cause.as_deref().unwrap_or_default();
    if status.is_server_error() {
        tracing::error!(code = error.code.as_str(), cause, "failed");
    } else {
        tracing::debug!(code = error.code.as_str(), cause, "refused");
    }
    let mut response = HttpResponse::build(status);
    for (name, value) in &error.headers {
        response.append_header((name.clone(), value.clone()));
    }
    response
        .content_type("application/problem+json")
        .insert_header((header::CONTENT_LANGUAGE, if lang == Lang::Zh { "zh-CN" } else { "en" }))
        .body(serde_json::to_vec(&error.problem(lang, path, &id.to_string())).unwrap_or_default())
}

/// An error that no longer has a request to answer through.
fn rendered(error: &Error, lang: Lang, path: &str, id: Uuid, method: &Method, started: Instant) -> actix_web::Error {
    let mut response = problem(error, lang, path, id);
    response.headers_mut().insert(REQUEST_ID, header_value(id));
    record(method, None, response.status(), started.elapsed());
    InternalError::from_response("rendered", response).into()
}

/// The method as a label: clients can invent methods, and every label stays in memory.
fn known(method: &Method) -> &'static str {
    ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]
        .into_iter()
        .find(|name| *name == method.as_str())
        .unwrap_or("other")
}

/// The histograms of one route, by method and status.
type Times = HashMap<(&'static str, u16), Histogram>;

thread_local! {
    /// Looked up once per thread: the registry wants three texts and a hash of them at every answer. As many as there are routes
    /// with their statuses, never what clients invent.
    static TIMES: RefCell<HashMap<String, Times>> = RefCell::default();
}

fn histogram(method: &'static str, route: &str, status: StatusCode) -> Histogram {
    TIMES.with_borrow_mut(|known| {
        let key = (method, status.as_u16());
        if let Some(found) = known.get(route).and_then(|times| times.get(&key)) {
            return found.clone();
        }
        let labels =
            [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.as_str().to_owned())];
        let made = metrics::histogram!("lianxin_http_seconds", &labels);
        known.entry(route.to_owned()).or_default().insert(key, made.clone());
        made
    })
}

fn record(method: &Method, pattern: Option<&str>, status: StatusCode, took: Duration) {
    histogram(known(method), pattern.unwrap_or("none"), status).record(took);
    tracing::info!(status = status.as_u16(), ms = took.as_micros() as f64 / 1000.0, "answered");
}
