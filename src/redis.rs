//! The way to Redis: a key prefix, short waits, and a pause after a failure so that a dead Redis does not slow reads down.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{
    Client, FromRedisValue, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};

use crate::error::{Code, Error};

/// After a failure Redis is left alone this long.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub struct Redis {
    client: Client,
    manager: ConnectionManager,
    prefix: Arc<str>,
    started: Instant,
    /// Milliseconds after `started` until which nothing is tried.
    pause_until: Arc<AtomicU64>,
}

impl Redis {
    /// Connects when first used; needs a tokio runtime.
    pub fn new(url: &str, prefix: &str) -> anyhow::Result<Self> {
        let client = Client::open(url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_millis(500)))
            .set_response_timeout(Some(Duration::from_millis(500)))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(100));
        let manager = client.get_connection_manager_lazy(config)?;
        let (prefix, pause_until) = (prefix.into(), Arc::default());
        Ok(Self { client, manager, prefix, started: Instant::now(), pause_until })
    }

    /// The full name of a key.
    pub fn key(&self, name: impl std::fmt::Display) -> String {
        format!("{}:{name}", self.prefix)
    }

    /// A connection of its own for blocking reads, which the shared one must never do.
    pub async fn dedicated(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(Duration::from_secs(5)));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Runs one command or script; fails fast while Redis is known to be away.
    pub async fn run<T, F>(&self, work: impl FnOnce(ConnectionManager) -> F) -> Result<T, Away>
    where
        T: FromRedisValue,
        F: Future<Output = Result<T, RedisError>>,
    {
        let now = self.started.elapsed().as_millis() as u64;
        if now < self.pause_until.load(Ordering::Relaxed) {
            return Err(Away("left alone after a failure".into()));
        }
        work(self.manager.clone()).await.map_err(|error| {
            if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
                let until = self.started.elapsed() + PAUSE;
                self.pause_until.store(until.as_millis() as u64, Ordering::Relaxed);
            }
            metrics::counter!("lianxin_redis_failures_total").increment(1);
            Away(error.to_string())
        })
    }

    /// `PING`.
    pub async fn ping(&self) -> Result<(), Away> {
        self.run(async |mut redis| redis::cmd("PING").query_async::<String>(&mut redis).await).await.map(drop)
    }
}

/// Redis did not answer. Some callers go on without it; for the others it is a 503.
#[derive(Debug, thiserror::Error)]
#[error("Redis: {0}")]
pub struct Away(String);

impl From<RedisError> for Away {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

impl From<Away> for Error {
    fn from(away: Away) -> Self {
        Error::new(Code::Unavailable).cause(away).retry_after(2)
    }
}
