//! Every error of the API, rendered as RFC 9457 `application/problem+json`.

mod codes;

use std::borrow::Cow;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use chrono::{DateTime, FixedOffset, Utc};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use serde::Serialize;
use utoipa::ToSchema;

pub use codes::Code;
use codes::{CONSTRAINTS, LOST_RACES};

/// The language of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    #[default]
    Zh,
    En,
}

/// A sentence in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub zh: Cow<'static, str>,
    pub en: Cow<'static, str>,
}

impl Text {
    pub const fn fixed(zh: &'static str, en: &'static str) -> Self {
        Self { zh: Cow::Borrowed(zh), en: Cow::Borrowed(en) }
    }

    pub fn new(zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::Zh => &self.zh,
            Lang::En => &self.en,
        }
    }
}

/// Whether the same closure may simply run again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    #[default]
    No,
    /// Serialization failure, deadlock or a lost race: run it again.
    Again,
    /// The database reported something that may mean a dead connection: find out.
    Suspect,
    /// This connection is of no use any more, for example after a failover: take another.
    Dead,
}

/// Where a field stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// JSON pointer into the body (RFC 6901).
    Body(String),
    Query(String),
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub at: At,
    pub code: Cow<'static, str>,
    pub text: Text,
}

impl FieldError {
    pub fn body(pointer: impl Into<String>, code: impl Into<Cow<'static, str>>, text: Text) -> Self {
        Self { at: At::Body(pointer.into()), code: code.into(), text }
    }

    pub fn query(name: impl Into<String>, code: impl Into<Cow<'static, str>>, text: Text) -> Self {
        Self { at: At::Query(name.into()), code: code.into(), text }
    }
}

/// What went wrong, for the caller; the cause is for the log only.
#[derive(Debug)]
pub struct Error {
    pub code: Code,
    pub detail: Option<Text>,
    /// When the same will be possible, where that is known.
    pub possible_at: Option<DateTime<Utc>>,
    pub errors: Vec<FieldError>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub retry: Retry,
    pub cause: Option<String>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(code: Code) -> Self {
        let (detail, possible_at, cause, retry) = (None, None, None, Retry::No);
        let error = Self { code, detail, possible_at, errors: Vec::new(), headers: Vec::new(), retry, cause };
        // RFC 9110 §15.5.2: a 401 names the scheme.
        if code.status() == StatusCode::UNAUTHORIZED { error.header(header::WWW_AUTHENTICATE, "Bearer") } else { error }
    }

    pub fn detail(mut self, zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(Text::new(zh, en));
        self
    }

    /// Says from when on the same is possible.
    pub fn possible_at(self, at: DateTime<Utc>) -> Self {
        Self { possible_at: Some(at), ..self }
    }

    pub fn cause(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    pub fn header(mut self, name: HeaderName, value: impl std::fmt::Display) -> Self {
        if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
            self.headers.push((name, value));
        }
        self
    }

    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, seconds.max(1))
    }

    /// 422 with every wrong field.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(Code::Invalid) }
    }

    /// 422 for one field of the body.
    pub fn field(pointer: &str, code: &'static str, zh: &'static str, en: &'static str) -> Self {
        Self::invalid(vec![FieldError::body(pointer, code, Text::fixed(zh, en))])
    }

    pub fn unavailable(cause: impl std::fmt::Display) -> Self {
        Self::new(Code::Unavailable).cause(cause).retry_after(2)
    }

    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal).cause(cause)
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        match code {
            Code::IdempotencyInProgress => Self::new(code).retry_after(1),
            _ => Self::new(code),
        }
    }
}

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        let suspect = |code: Code| Self { retry: Retry::Suspect, ..Self::new(code).cause(&error) };
        match &error {
            DieselError::NotFound => Code::NotFound.into(),
            DieselError::DatabaseError(kind, info) => {
                let constraint = info.constraint_name().unwrap_or_default();
                let known = CONSTRAINTS.iter().find(|(name, _)| *name == constraint);
                match kind {
                    DatabaseErrorKind::SerializationFailure => {
                        Self { retry: Retry::Again, ..Self::unavailable(&error) }
                    }
                    _ if LOST_RACES.contains(&constraint) => {
                        Self { retry: Retry::Again, ..Self::from(Code::IdempotencyInProgress) }
                    }
                    _ if known.is_some() => known.map_or(Code::Internal, |(_, code)| *code).into(),
                    DatabaseErrorKind::Unknown if info.message().starts_with("deadlock") => {
                        Self { retry: Retry::Again, ..Self::unavailable(&error) }
                    }
                    DatabaseErrorKind::Unknown if info.message().contains("timeout") => Self::unavailable(&error),
                    DatabaseErrorKind::ReadOnlyTransaction => Self { retry: Retry::Dead, ..Self::unavailable(&error) },
                    DatabaseErrorKind::ClosedConnection
                    | DatabaseErrorKind::UnableToSendCommand
                    | DatabaseErrorKind::Unknown => suspect(Code::Internal),
                    _ => Self::internal(&error),
                }
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<crate::crypto::Unsealable> for Error {
    fn from(error: crate::crypto::Unsealable) -> Self {
        Self::internal(error)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause}", self.code.as_str()),
            None => write!(f, "{}", self.code.as_str()),
        }
    }
}

impl std::error::Error for Error {}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    /// Only the status: language, path and request id are known to `http::way`, which writes the body.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.code.status())
    }
}

/// The body of every error (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "type": "https://lianxin.example/problems/slot-full", "code": "slot_full", "title": "该时段已约满", "status": 409,
    "detail": "2026-11-23 09:00 的名额已被约完", "instance": "/v1/appointments",
    "request_id": "01994c5e-7f00-7000-8000-000000000000"}))]
pub struct Problem {
    /// Names the kind of problem; the last segment is `code` with hyphens.
    #[serde(rename = "type")]
    pub kind: String,
    /// Stable, never translated: what programs branch on.
    pub code: String,
    /// What `code` means, in the language of the request.
    pub title: String,
    pub status: u16,
    /// What happened in this case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When the same will be possible, where that is known: for limits of booking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub possible_at: Option<DateTime<FixedOffset>>,
    /// The path of the request.
    pub instance: String,
    /// The same as the `X-Request-Id` header; give it to whoever runs the service.
    pub request_id: String,
    /// Every wrong field of a 422.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemField>,
}

/// One wrong field: `pointer` into the body or `parameter` of the query.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"pointer": "/id_number", "code": "id_number", "detail": "身份证号不正确：须为 18 位且校验位相符"}))]
pub struct ProblemField {
    /// JSON pointer into the body (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of the query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    pub code: String,
    pub detail: String,
}

impl Error {
    /// The problem document for one request.
    pub fn problem(&self, lang: Lang, instance: &str, request_id: &str) -> Problem {
        let field = |error: &FieldError| {
            let (pointer, parameter) = match &error.at {
                At::Body(pointer) => (Some(pointer.clone()), None),
                At::Query(name) => (None, Some(name.clone())),
            };
            let detail = error.text.get(lang).to_owned();
            ProblemField { pointer, parameter, code: error.code.to_string(), detail }
        };
        Problem {
            kind: format!("https://lianxin.example/problems/{}", self.code.as_str().replace('_', "-")),
            code: self.code.as_str().to_owned(),
            title: self.code.title().get(lang).to_owned(),
            status: self.code.status().as_u16(),
            detail: self.detail.as_ref().map(|text| text.get(lang).to_owned()),
            possible_at: self.possible_at.map(|at| at.with_timezone(&crate::clock::CST)),
            instance: instance.to_owned(),
            request_id: request_id.to_owned(),
            errors: self.errors.iter().map(field).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_never_reaches_the_caller() {
        let problem = Error::internal("password=secret").problem(Lang::En, "/x", "1");
        let body = serde_json::to_string(&problem).expect("serialises");
        assert!(!body.contains("secret"));
    }
}
