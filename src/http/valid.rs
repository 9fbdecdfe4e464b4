//! Bodies and queries: parsed, checked, and refused with *every* wrong field.
//!
//! serde stops at the first fault. On failure, and only then, the value is checked against the very schema that the
//! OpenAPI document publishes for the type, which finds all of them.

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header, web};
use futures_util::{StreamExt, future::LocalBoxFuture};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use crate::{
    crypto,
    error::{Code, Error, FieldError, Result, Text},
    http::faults,
};

/// Bodies of JSON, in bytes.
pub const BODY_LIMIT: usize = 256 * 1024;
/// Of those whose parts are each looked at by themselves.
pub const BATCH_LIMIT: usize = 1024 * 1024;

/// A body that is right in every field, and the digest of its bytes for idempotency. Of a `BATCH` each part is checked with [`part`], so that one that
/// is wrong does not spoil the others; it may be longer.
pub struct Valid<T, const BATCH: bool = false> {
    pub value: T,
    pub digest: [u8; 32],
}

impl<T, const BATCH: bool> FromRequest for Valid<T, BATCH>
where
    T: DeserializeOwned + Validate + ToSchema + 'static,
{
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let announced: usize = announced.and_then(|length| length.parse().ok()).unwrap_or(0);
        let json = request.content_type() == "application/json";
        // Commands need no body: nothing at all means an object without fields.
        let typed = request.headers().contains_key(header::CONTENT_TYPE);
        let path = request.path().to_owned();
        let mut payload = payload.take();
        let limit = if BATCH { BATCH_LIMIT } else { BODY_LIMIT };
        Box::pin(async move {
            if announced > limit {
                return Err(too_large(limit));
            }
            let mut body = web::BytesMut::with_capacity(announced);
            while let Some(chunk) = payload.next().await {
                let chunk = chunk.map_err(|error| Error::new(Code::MalformedRequest).cause(error))?;
                if body.len() + chunk.len() > limit {
                    return Err(too_large(limit));
                }
                body.extend_from_slice(&chunk);
            }
            if !json && (typed || !body.is_empty()) {
                return Err(Code::UnsupportedMediaType.into());
            }
            let bytes: &[u8] = if body.is_empty() { b"{}" } else { &body };
            Ok(Self { value: parse(bytes, BATCH)?, digest: crypto::digest(&[path.as_bytes(), &[0], bytes].concat()) })
        })
    }
}

fn too_large(limit: usize) -> Error {
    let limit = limit / 1024;
    Error::new(Code::BodyTooLarge)
        .detail(format!("请求体不得超过 {limit} KiB"), format!("A body may have up to {limit} KiB"))
}

/// Parses and checks a JSON body.
fn parse<T: DeserializeOwned + Validate + ToSchema>(bytes: &[u8], batch: bool) -> Result<T> {
    // PostgreSQL's text cannot hold U+0000.
    if !batch
        && bytes.windows(6).any(|window| window == b"\\u0000")
        && let Ok(value) = serde_json::from_slice::<Value>(bytes)
    {
        let found = faults::nul_characters(&value);
        if !found.is_empty() {
            return Err(Error::invalid(found));
        }
    }
    let fault = match serde_json::from_slice::<T>(bytes) {
        Ok(value) => {
            value.validate().map_err(|errors| Error::invalid(fields(&errors)))?;
            return Ok(value);
        }
        Err(fault) => fault,
    };
    // Syntax is 400; anything else is a field, also a type that serde met before the end of broken syntax.
    let value: Value = serde_json::from_slice(bytes).map_err(|syntax| {
        let (line, column) = (syntax.line(), syntax.column());
        Error::new(Code::MalformedJson)
            .detail(format!("第 {line} 行第 {column} 列"), format!("Line {line}, column {column}"))
    })?;
    let mut errors = faults::in_body::<T>(&value);
    if errors.is_empty() {
        // The schema is weaker than serde here; its words never repeat a value, only names and types.
        let text = Text::new("内容无法识别", faults::without_values(&fault.to_string()));
        errors.push(FieldError::body("", "unreadable", text));
    }
    Err(Error::invalid(errors))
}

/// A part of a JSON file: the typed value, or every fault with its pointer in the part.
pub fn part<T: DeserializeOwned + Validate + ToSchema>(value: &Value) -> Result<T, Vec<FieldError>> {
    let nul = faults::nul_characters(value);
    if !nul.is_empty() {
        return Err(nul);
    }
    match T::deserialize(value) {
        Ok(typed) => typed.validate().map(|()| typed).map_err(|errors| fields(&errors)),
        Err(fault) => {
            let mut errors = faults::in_body::<T>(value);
            if errors.is_empty() {
                let text = Text::new("内容无法识别", faults::without_values(&fault.to_string()));
                errors.push(FieldError::body("", "unreadable", text));
            }
            Err(errors)
        }
    }
}

/// The validator's findings as problem fields. Rejected values are never repeated.
fn fields(errors: &ValidationErrors) -> Vec<FieldError> {
    let mut found = Vec::new();
    collect(errors, "", &mut found);
    found.sort_by(|a, b| format!("{:?}", a.at).cmp(&format!("{:?}", b.at)));
    found
}

fn collect(errors: &ValidationErrors, above: &str, found: &mut Vec<FieldError>) {
    for (name, kind) in errors.errors() {
        // Rules over several fields speak of the object.
        let pointer = if name == "__all__" { above.to_owned() } else { format!("{above}/{name}") };
        match kind {
            ValidationErrorsKind::Struct(inner) => collect(inner, &pointer, found),
            ValidationErrorsKind::List(items) => {
                for (index, inner) in items {
                    collect(inner, &format!("{pointer}/{index}"), found);
                }
            }
            ValidationErrorsKind::Field(all) => {
                found.extend(all.iter().map(|error| {
                    let bound = |name: &str| error.params.get(name).map(ToString::to_string);
                    let text = match &error.message {
                        // Own rules bring both languages, divided by a bar.
                        Some(message) => match message.split_once('|') {
                            Some((zh, en)) => Text::new(zh.to_owned(), en.to_owned()),
                            None => Text::new(message.clone(), message.clone()),
                        },
                        None => faults::bounds(bound("min"), bound("max")),
                    };
                    FieldError::body(&pointer, error.code.clone(), text)
                }));
            }
        }
    }
}

/// A query that is right in every parameter; unknown ones are refused.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + IntoParams + 'static> FromRequest for Query<T> {
    type Error = Error;
    type Future = std::future::Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(query(request.query_string()))
    }
}

fn query<T: DeserializeOwned + IntoParams>(text: &str) -> Result<Query<T>> {
    if !text.contains("%00")
        && let Ok(web::Query(value)) = web::Query::<T>::from_query(text)
    {
        return Ok(Query(value));
    }
    let pairs = web::Query::<Vec<(String, String)>>::from_query(text)
        .map_err(|error| Error::new(Code::MalformedRequest).cause(error))?;
    let mut given = Map::new();
    for (name, value) in pairs.into_inner() {
        given.insert(name, Value::String(value));
    }
    let mut errors = faults::in_query::<T>(&given);
    if errors.is_empty() {
        let text = Text::fixed("参数无法识别", "The parameters cannot be read");
        errors.push(FieldError::query("", "unreadable", text));
    }
    Err(Error::invalid(errors))
}

/// The `{id}` of a path. What is no UUID names nothing: 404.
pub struct Id(pub Uuid);

impl FromRequest for Id {
    type Error = Error;
    type Future = std::future::Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("id").and_then(|id| id.parse().ok());
        std::future::ready(id.map(Self).ok_or(Code::NotFound.into()))
    }
}
