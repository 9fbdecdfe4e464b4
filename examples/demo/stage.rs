//! Sends requests, prints them with their answers, and turns whatever was not expected into an error.

use std::{cell::Cell, ops::Index, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Method, header::HeaderMap, redirect::Policy};
use serde_json::Value;
use uuid::Uuid;

use crate::print;

/// How often and after which pause something that comes later is asked for.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(200);
/// How often a request that came too soon is sent again.
const PATIENCE: usize = 3;

/// Something new each time: codes of the fake WeChat and idempotency keys are good once.
pub fn nonce() -> String {
    Uuid::now_v7().to_string()
}

/// Somebody logged in.
pub struct Session {
    pub name: &'static str,
    pub subject: String,
    token: String,
}

/// The server that the story is played on.
pub struct Stage {
    http: Client,
    url: String,
    requests: Cell<usize>,
}

impl Stage {
    /// The server, if it is there.
    pub async fn at(url: &str) -> Result<Self> {
        let http = Client::builder().no_proxy().redirect(Policy::none()).timeout(Duration::from_secs(30)).build()?;
        let stage = Self { http, url: url.trim_end_matches('/').to_owned(), requests: Cell::new(0) };
        let ready = stage.get("/readyz").attempt().await?;
        ensure!(ready.status == 200, "{} is there, but not ready: {}", stage.url, ready.text);
        stage.requests.set(0);
        Ok(stage)
    }

    /// How many requests have been sent.
    pub fn requests(&self) -> usize {
        self.requests.get()
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: &str, body: Value) -> Call<'_> {
        Call { body: Some(body), ..self.call(Method::POST, path) }
    }

    pub fn put(&self, path: &str, body: Value) -> Call<'_> {
        Call { body: Some(body), ..self.call(Method::PUT, path) }
    }

    /// The first event of a stream, which must have this name; then the stream is left.
    pub async fn event(&self, path: &str, name: &str) -> Result<Value> {
        println!("\n→ GET {path}\n  Accept: text/event-stream");
        let request = self.http.get(format!("{}{path}", self.url)).header("Accept", "text/event-stream");
        let mut response = request.send().await?;
        self.requests.set(self.requests.get() + 1);
        ensure!(response.status() == 200, "GET {path}: expected 200, got {}", response.status());
        let (start, mut bytes) = (format!("event: {name}"), Vec::new());
        loop {
            let text = String::from_utf8_lossy(&bytes);
            let mut events = text.split_inclusive("\n\n").filter(|event| event.ends_with("\n\n"));
            if let Some(event) = events.find(|event| event.lines().any(|line| line == start)) {
                println!("← 200 OK\n{}", print::event(event));
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                return Ok(serde_json::from_str(data.context("an event without data")?)?);
            }
            let more = response.chunk().await?;
            bytes.extend_from_slice(&more.with_context(|| format!("GET {path}: the stream ended before {name}"))?);
        }
    }

    /// A file in a form, as `wx.uploadFile` sends it.
    pub fn upload(&self, name: &'static str, media_type: &'static str, bytes: Vec<u8>) -> Call<'_> {
        Call { file: Some(File { name, media_type, bytes }), ..self.call(Method::POST, "/v1/attachments") }
    }

    /// A table as its body, in CSV.
    pub fn table(&self, path: &str, rows: String) -> Call<'_> {
        Call { table: Some(rows), ..self.call(Method::POST, path) }
    }

    fn call(&self, method: Method, path: &str) -> Call<'_> {
        let (path, headers) = (path.to_owned(), Vec::new());
        Call { stage: self, method, path, who: None, headers, body: None, file: None, table: None, quiet: false }
    }
}

/// A remark between two requests.
pub fn say(words: &str) {
    println!("\n  # {words}");
}

/// A request to be sent.
pub struct Call<'a> {
    stage: &'a Stage,
    method: Method,
    path: String,
    who: Option<&'static str>,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
    file: Option<File>,
    table: Option<String>,
    quiet: bool,
}

/// A file to be uploaded.
struct File {
    name: &'static str,
    media_type: &'static str,
    bytes: Vec<u8>,
}

/// What parts of a form stand between.
const BOUNDARY: &str = "lianxin-demo";

impl File {
    fn form(&self) -> Vec<u8> {
        let Self { name, media_type, bytes } = self;
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {media_type}\r\n\r\n"
        );
        [head.as_bytes(), bytes, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat()
    }
}

impl Call<'_> {
    pub fn by(mut self, session: &Session) -> Self {
        self.who = Some(session.name);
        self.header("Authorization", &format!("Bearer {}", session.token))
    }

    pub fn key(self, key: &str) -> Self {
        self.header("Idempotency-Key", key)
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Not printed.
    pub fn quietly(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Sends it and wants this status.
    pub async fn send(self, status: u16) -> Result<Reply> {
        self.print();
        let reply = self.attempt().await?;
        if !self.quiet {
            reply.print();
        }
        reply.is(status)
    }

    /// Sends it and wants a problem document with this status and code.
    pub async fn refused(self, status: u16, code: &str) -> Result<Reply> {
        let reply = self.send(status).await?;
        let problem = reply.header("content-type") == Some("application/problem+json") && reply["code"] == code;
        ensure!(problem, "{}: expected a problem {code}, got {}", reply.what, reply.text);
        Ok(reply)
    }

    /// Asks again and again until a 200 has what is waited for; prints only that.
    pub async fn until(self, there: impl Fn(&Reply) -> bool) -> Result<Reply> {
        self.print();
        for number in 1..=TRIES {
            let reply = self.attempt().await?.is(200)?;
            if there(&reply) {
                println!("  （第 {number} 次 · answer number {number}）");
                reply.print();
                return Ok(reply);
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("{} {}: asked {TRIES} times, and what was waited for did not come", self.method, self.path)
    }

    fn print(&self) {
        if self.quiet {
            return;
        }
        let who = self.who.map(|who| format!("  （{who}）")).unwrap_or_default();
        println!("\n→ {} {}{who}", self.method, print::path(&self.path));
        for (name, value) in &self.headers {
            println!("  {name}: {}", print::header(value));
        }
        if let Some(body) = &self.body {
            println!("{}", print::json(&body.to_string()));
        }
        if let Some(File { name, media_type, bytes }) = &self.file {
            println!("  {name}（{media_type}，{} 字节 · bytes）", bytes.len());
        }
        for row in self.table.iter().flat_map(|table| table.lines()) {
            println!("  {row}");
        }
    }

    /// One answer. Whoever plays the demo many times a minute is told to wait, and waits.
    async fn attempt(&self) -> Result<Reply> {
        let mut reply = self.once().await?;
        for _ in 0..PATIENCE {
            if reply["code"] != "too_many_requests" {
                break;
            }
            let seconds = reply.header("retry-after").and_then(|value| value.parse().ok()).unwrap_or(1);
            println!("  （请求太频繁，等 {seconds} 秒 · too many requests, waiting {seconds} s）");
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            reply = self.once().await?;
        }
        Ok(reply)
    }

    async fn once(&self) -> Result<Reply> {
        let Self { stage, method, path, headers, body, file, table, .. } = self;
        let mut request = stage.http.request(method.clone(), format!("{}{path}", stage.url));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(file) = file {
            let form = format!("multipart/form-data; boundary={BOUNDARY}");
            request = request.header("Content-Type", form).body(file.form());
        }
        if let Some(table) = table {
            request = request.header("Content-Type", "text/csv").body(table.clone());
        }
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                let words = "连不上 · nothing answers there. Start it with `make run` in another terminal.";
                return anyhow::anyhow!("{}: {words}", stage.url);
            }
            anyhow::Error::new(error)
        })?;
        stage.requests.set(stage.requests.get() + 1);
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply { status, headers, text, body, what: format!("{method} {path}") })
    }
}

/// An answer.
pub struct Reply {
    status: u16,
    headers: HeaderMap,
    pub text: String,
    body: Value,
    what: String,
}

impl Reply {
    fn print(&self) {
        let words = reqwest::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        println!("← {} {}", self.status, words.unwrap_or_default());
        for name in ["Location", "ETag", "Idempotency-Replayed", "Retry-After", "WWW-Authenticate", "Cache-Control"] {
            if let Some(value) = self.header(name) {
                println!("  {name}: {}", print::header(value));
            }
        }
        if !self.text.is_empty() {
            println!("{}", print::json(&self.text));
        }
    }

    fn is(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "{}: expected {status}, got {}: {}", self.what, self.status, self.text);
        Ok(self)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A header that must be there.
    pub fn needs(&self, name: &str) -> Result<&str> {
        self.header(name).with_context(|| format!("{}: the answer has no {name}", self.what))
    }

    /// A text at a JSON pointer, for example `/items/0/id`.
    pub fn str(&self, pointer: &str) -> Result<&str> {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.with_context(|| format!("{}: no text at {pointer} in {}", self.what, self.text))
    }

    /// The items of a page.
    pub fn items(&self) -> Result<&[Value]> {
        let items = self.body["items"].as_array().map(Vec::as_slice);
        items.with_context(|| format!("{}: no items in {}", self.what, self.text))
    }

    /// Wants a value at a JSON pointer.
    pub fn has(&self, pointer: &str, expected: impl Into<Value>) -> Result<()> {
        let (found, expected) = (self.body.pointer(pointer).unwrap_or(&Value::Null), expected.into());
        ensure!(*found == expected, "{}: expected {expected} at {pointer}, got {found}", self.what);
        Ok(())
    }

    /// Whoever has just logged in.
    pub fn session(&self, name: &'static str) -> Result<Session> {
        let (subject, token) = (self.str("/subject_id")?.to_owned(), self.str("/access_token")?.to_owned());
        Ok(Session { name, subject, token })
    }
}

impl Index<&str> for Reply {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        &self.body[name]
    }
}
