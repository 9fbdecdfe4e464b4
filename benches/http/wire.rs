//! HTTP/1.1 as bytes: requests built beforehand, and just enough reading to know status and length of an answer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A whole request.
pub fn request(method: &str, path: &str, token: Option<&str>, key: Option<&str>, body: Option<&str>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n");
    if let Some(token) = token {
        text += &format!("authorization: Bearer {token}\r\n");
    }
    if let Some(key) = key {
        text += &format!("idempotency-key: {key}\r\n");
    }
    if let Some(body) = body {
        text += &format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    } else {
        text += "\r\n";
    }
    text.into_bytes()
}

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub status: u16,
    /// Where the body begins and ends.
    pub body: (usize, usize),
}

/// The head, once all of it has arrived. An answer without a length is none of ours.
pub fn head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end])?;
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let status = status.with_context(|| format!("no status in {text}"))?;
    let length = length.with_context(|| format!("no content-length in {text}"))?;
    Ok(Some(Head { status, body: (end + 4, end + 4 + length) }))
}

/// Sends one request on a connection of its own.
pub fn ask(address: SocketAddr, request: &[u8]) -> Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    stream.write_all(request)?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let read = stream.read(&mut chunk)?;
        ensure!(read > 0, "the server closed the connection");
        bytes.extend_from_slice(&chunk[..read]);
        if let Some(Head { status, body: (from, to) }) = head(&bytes)?
            && bytes.len() >= to
        {
            return Ok((status, bytes[from..to].to_vec()));
        }
    }
}

/// Sends one request and reads its JSON, if the status is the expected one.
pub fn json(address: SocketAddr, request: &[u8], expected: u16) -> Result<Value> {
    let (status, body) = ask(address, request)?;
    let what = || String::from_utf8_lossy(request).lines().next().unwrap_or_default().to_owned();
    ensure!(status == expected, "{} answers {status}: {}", what(), String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).with_context(what)
}

/// A text of a JSON object.
pub fn text(value: &Value, name: &str) -> Result<String> {
    let text = value[name].as_str().with_context(|| format!("no {name} in {value}"))?;
    Ok(text.to_owned())
}
