//! Looking at files in turn: the largest photos take a second and hundreds of megabytes.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    content::{self, Content},
    model::Refusal,
};
use crate::error::{Error, Result};

/// Files at once in one process.
static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// One of the few places, for as long as a file is held in memory.
#[derive(Clone)]
pub struct Turn(#[expect(dead_code, reason = "held, not looked at")] Arc<OwnedSemaphorePermit>);

pub async fn turn() -> Turn {
    Turn(Arc::new(AT_ONCE.clone().acquire_owned().await.expect("never closed")))
}

/// Looks at a file on a thread of its own, to which everything else goes first.
pub async fn look(
    turn: &Turn,
    declared: Option<String>,
    read: impl FnOnce() -> std::io::Result<Vec<u8>> + Send + 'static,
) -> Result<std::result::Result<Content, Refusal>> {
    let (answer, verdict) = oneshot::channel();
    // Held by the work as well: one who hangs up does not make room before it is done.
    let turn = turn.clone();
    std::thread::spawn(move || {
        let _turn = turn;
        let _ = rustix::process::nice(10);
        let _ = answer.send(read().map(|bytes| content::look(bytes, declared.as_deref())));
    });
    // A decoder that panics sends nothing: the file is what is wrong.
    verdict.await.unwrap_or(Ok(Err(Refusal::Broken))).map_err(Error::internal)
}
