//! A request and its reply, in few words.

use std::ops::Index;

use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;

use super::Session;

pub struct Call<'a> {
    builder: RequestBuilder,
    what: String,
    http: &'a Client,
}

impl<'a> Call<'a> {
    pub fn new(http: &'a Client, method: Method, url: &str, path: &str) -> Self {
        let what = format!("{method} {path}");
        Self { builder: http.request(method, url), what, http }
    }

    pub fn by(self, session: &Session) -> Self {
        self.header("authorization", &format!("Bearer {}", session.access))
    }

    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// Replaces what was set before.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header value"));
        self.builder = self.builder.headers(headers);
        self
    }

    pub fn json(mut self, body: Value) -> Self {
        self.builder = self.builder.json(&body);
        self
    }

    pub fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.builder = self.builder.header("content-type", "application/json").body(body);
        self
    }

    /// With another body than JSON, or none of these.
    pub fn bytes(mut self, media_type: &str, body: impl Into<reqwest::Body>) -> Self {
        self.builder = self.builder.header("content-type", media_type).body(body);
        self
    }

    pub fn csv(mut self, file: Vec<u8>) -> Self {
        self.builder = self.builder.header("content-type", "text/csv").body(file);
        self
    }

    pub async fn send(self) -> Reply {
        let request = self.builder.build().expect("a request");
        let response = self.http.execute(request).await.unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("a body").to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Reply { status, headers, bytes, body, what: self.what }
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    pub body: Value,
    what: String,
}

impl Reply {
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.what, String::from_utf8_lossy(&self.bytes));
        self
    }

    /// The body of a 200.
    #[track_caller]
    pub fn ok(self) -> Value {
        self.is(200).body
    }

    /// The body of a 201.
    #[track_caller]
    pub fn created(self) -> Value {
        self.is(201).body
    }

    /// A problem document with this status and code.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        let reply = self.is(status);
        assert_eq!(reply.header("content-type"), "application/problem+json", "{}", reply.what);
        assert_eq!(reply.body["code"], code, "{}: {}", reply.what, reply.body);
        assert_eq!(reply.body["status"], status);
        assert_eq!(reply.body["request_id"], reply.header("x-request-id"));
        reply
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// `pointer:code` (or `parameter:code`) of every wrong field, sorted.
    pub fn faults(&self) -> Vec<String> {
        let all = self.body["errors"].as_array().cloned().unwrap_or_default();
        let place = |error: &Value| error["pointer"].as_str().or(error["parameter"].as_str()).unwrap_or("?").to_owned();
        let mut all: Vec<_> =
            all.iter().map(|error| format!("{}:{}", place(error), error["code"].as_str().unwrap_or("?"))).collect();
        all.sort();
        all
    }

    #[track_caller]
    pub fn session(self) -> Session {
        let body = self.created();
        let text = |name: &str| body[name].as_str().expect(name).to_owned();
        let id = |name: &str| text(name).parse().expect("a UUID");
        Session { access: text("access_token"), refresh: text("refresh_token"), subject: id("subject_id") }
    }
}

impl Index<&str> for Reply {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        &self.body[name]
    }
}
