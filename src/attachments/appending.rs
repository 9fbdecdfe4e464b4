//! Taking in the body of one request of a resumable upload: in pieces, so that a cut loses next to nothing.
//!
//! Bytes go to the file store as objects of their own and are then counted in the database. That needs no file that grows, which a
//! bucket does not have and two processes could not share, and no lock: of two requests that append at once, the one that claimed
//! the upload last goes on, and the other's pieces are not counted.

use std::time::Duration;

use actix_web::web::{Data, Payload};
use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    model::{Attachment, parts},
    pieces::{self, Piece},
    tus_headers::Checksum,
};
use crate::{
    app::App,
    error::{Code, Error, Result},
};

/// Bytes of a piece: at most so many are sent again after a cut.
const PIECE: usize = 512 * 1024;

/// After so long without a byte, what has arrived is counted, for a phone that asks on another connection.
const QUIET: Duration = Duration::from_secs(2);

/// After so many of them the phone has gone.
const PATIENCE: u32 = 15;

/// A request that appends.
pub struct Append {
    app: Data<App>,
    row: Attachment,
    writer: Uuid,
    /// Where the next piece begins.
    at: i64,
    buffer: BytesMut,
    /// In the store, not counted: with a checksum nothing counts before all of it has come and fits.
    stored: Vec<Piece>,
    checksum: Option<(Checksum, digest::Context)>,
}

impl Append {
    pub fn new(app: Data<App>, row: Attachment, writer: Uuid, checksum: Option<Checksum>) -> Self {
        let checksum = checksum.map(|checksum| {
            let context = digest::Context::new(checksum.algorithm);
            (checksum, context)
        });
        let at = row.received;
        Self { app, row, writer, at, buffer: BytesMut::new(), stored: Vec::new(), checksum }
    }

    /// Takes the body in, on a task of its own: what a phone sent before it vanished is kept, though nobody waits for the answer.
    /// Answers where the upload stands.
    pub async fn run(self, payload: Payload) -> Result<i64> {
        let task = actix_web::rt::spawn(self.take(payload).instrument(tracing::Span::current()));
        task.await.map_err(Error::internal)?
    }

    async fn take(mut self, mut payload: Payload) -> Result<i64> {
        let mut quiet = 0;
        loop {
            match tokio::time::timeout(QUIET, payload.next()).await {
                Ok(Some(Ok(chunk))) => {
                    quiet = 0;
                    self.add(&chunk).await?;
                }
                Ok(None) => return self.end().await,
                Err(_) if quiet < PATIENCE => {
                    quiet += 1;
                    self.store_and_count().await?;
                }
                Err(_) => {
                    self.store_and_count().await?;
                    // On a line that still holds it asks where to go on, as clients of tus do after 409, and only then.
                    return Err(pieces::elsewhere(self.counted()).cause("the body stopped coming"));
                }
                Ok(Some(Err(_))) => {
                    self.store_and_count().await?;
                    return Err(Error::new(Code::MalformedRequest).cause("the body was cut"));
                }
            }
        }
    }

    async fn add(&mut self, chunk: &Bytes) -> Result<()> {
        if self.at + (self.buffer.len() + chunk.len()) as i64 > self.row.length {
            return Err(too_long(self.row.length));
        }
        if let Some((_, context)) = &mut self.checksum {
            context.update(chunk);
        }
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() >= PIECE { self.store_and_count().await } else { Ok(()) }
    }

    /// Puts what is in the buffer into the store, and counts it unless a checksum has to fit first.
    async fn store_and_count(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            let (bytes, start) = (self.buffer.split().freeze(), self.at);
            let object = format!("{start}-{}", self.writer.simple());
            let piece = Piece { start, bytes: bytes.len() as i64, object };
            self.app.files.put(&format!("{}/{}", parts(&self.row.folder), piece.object), bytes).await?;
            self.at += piece.bytes;
            self.stored.push(piece);
        }
        if self.checksum.is_none() { self.count().await } else { Ok(()) }
    }

    async fn count(&mut self) -> Result<()> {
        let pieces = std::mem::take(&mut self.stored);
        if pieces.is_empty() {
            return Ok(());
        }
        let (row, writer, now) = (self.row.clone(), self.writer, self.app.clock.now());
        self.app.db.write("keep_pieces", move |conn| pieces::keep(conn, &row, writer, &pieces, now)).await
    }

    /// Where the upload stands; what waits for its checksum does not count.
    fn counted(&self) -> i64 {
        self.stored.first().map_or(self.at, |piece| piece.start)
    }

    /// All of the body is there.
    async fn end(mut self) -> Result<i64> {
        self.store_and_count().await?;
        if let Some((checksum, context)) = self.checksum.take() {
            if context.finish().as_ref() != checksum.expected {
                return Err(Code::ChecksumMismatch.into());
            }
            self.count().await?;
        }
        Ok(self.at)
    }
}

/// 413: more than was announced.
pub fn too_long(length: i64) -> Error {
    let (zh, en) = (format!("Upload-Length 为 {length}"), format!("Upload-Length is {length}"));
    Error::new(Code::BodyTooLarge).detail(zh, en)
}
