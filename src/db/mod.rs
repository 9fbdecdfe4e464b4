//! The only door to PostgreSQL: `Db::read` and `Db::write`.
//!
//! What makes diesel with r2d2 fast, and stays so only if all four hold: no `SELECT 1` at checkout, statements cached,
//! as many blocking threads as connections, and the connection taken *inside* the blocking pool.

pub mod changes;
pub mod enums;
pub mod migrate;
pub mod schema;
pub mod statement;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    pg::PgConnection,
    r2d2::{self, ConnectionManager, ManageConnection, Pool, PooledConnection},
    result::Error as DieselError,
};
use tracing::Span;

use crate::error::{Code, Error, Result, Retry};

/// Every session of the service: bounded waits, UTC, and one plan per statement. Left to itself PostgreSQL plans our joins anew
/// each time, because conditions such as `{own} IS NULL OR …` look cheaper with the values known; planning costs several times
/// what running does. Our statements are made so that one plan, by index, is right for all values. Nor are plans compiled (`jit`):
/// of values that it does not know it expects many rows, and compiling for those takes a hundred times as long as reading a page.
const SESSION: &str = "SET statement_timeout = '5s'; SET lock_timeout = '2s'; SET plan_cache_mode = force_generic_plan; SET jit = off; \
    SET idle_in_transaction_session_timeout = '15s'; SET timezone = 'UTC'";

/// Longer than any statement may take; after that the network is to blame.
const PATIENCE: Duration = Duration::from_secs(12);

/// After a failure to connect, nobody waits for a connection for this long.
const PAUSE: Duration = Duration::from_millis(500);

/// Added to a URL that does not say otherwise: a host that vanished is noticed in seconds, not in minutes.
const NETWORK: &str =
    "connect_timeout=3&keepalives_idle=15&keepalives_interval=5&keepalives_count=2&tcp_user_timeout=10000";

/// Serialization failures and lost races are run again this often.
const RETRIES: u32 = 5;

/// A pooled connection and whether it is known to be dead.
pub struct Conn {
    pg: PgConnection,
    dead: bool,
}

/// diesel's manager, except that it sets the session up and believes what [`Db`] found out about a connection.
pub struct Manager(ConnectionManager<PgConnection>);

impl ManageConnection for Manager {
    type Connection = Conn;
    type Error = r2d2::Error;

    fn connect(&self) -> Result<Conn, r2d2::Error> {
        let mut pg = self.0.connect()?;
        pg.batch_execute(SESSION).map_err(r2d2::Error::QueryError)?;
        Ok(Conn { pg, dead: false })
    }

    fn is_valid(&self, conn: &mut Conn) -> Result<(), r2d2::Error> {
        self.0.is_valid(&mut conn.pg)
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        conn.dead || self.0.has_broken(&mut conn.pg)
    }
}

/// The connection pool behind the door.
#[derive(Clone)]
pub struct Db {
    pool: Pool<Manager>,
    size: u32,
    made: Instant,
    /// Milliseconds after `made` until which nobody waits for a connection.
    pause_until: Arc<AtomicU64>,
}

impl Db {
    /// A pool that connects lazily: a database that is away is an answer of 503, not a crash at start.
    pub fn new(url: &str, size: u32) -> Self {
        let url = match url.split_once('?') {
            _ if !url.contains("://") || url.contains("connect_timeout") => url.to_owned(),
            Some(_) => format!("{url}&{NETWORK}"),
            None => format!("{url}?{NETWORK}"),
        };
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(1))
            .test_on_check_out(false)
            .connection_timeout(Duration::from_secs(1))
            .error_handler(Box::new(Quiet))
            .build_unchecked(Manager(ConnectionManager::new(url)));
        Self { pool, size, made: Instant::now(), pause_until: Arc::default() }
    }

    /// Runs `f` without a transaction: for a single statement, or several that need not agree. May run twice.
    pub async fn read<T, F>(&self, name: &'static str, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut PgConnection) -> Result<T> + Send + 'static,
    {
        self.blocking(name, Code::Unavailable, move |db| db.attempt(&f, false)).await
    }

    /// Runs `f` in one transaction; SQL only, because it may run again after a serialization failure or on a new
    /// connection. [`Code::OutcomeUnknown`] if the connection died while committing.
    pub async fn write<T, F>(&self, name: &'static str, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut PgConnection) -> Result<T> + Send + 'static,
    {
        self.blocking(name, Code::OutcomeUnknown, move |db| db.attempt(&f, true)).await
    }

    /// Moves the work to a blocking thread. PostgreSQL bounds its own statements; a machine that does not answer at all is
    /// given up here, and the thread ends when the network does.
    async fn blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        given_up: Code,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (db, span) = (self.clone(), Span::current());
        let started = Instant::now();
        let task = tokio::task::spawn_blocking(move || span.in_scope(|| work(&db)));
        let answer = tokio::time::timeout(PATIENCE, task).await;
        metrics::histogram!("lianxin_database_seconds", "work" => name).record(started.elapsed());
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_panic() => Err(Error::internal(format!("panic in {name}: {error}"))),
            Ok(Err(_)) => Err(Error::unavailable("shutting down")),
            Err(_) => Err(Error::new(given_up).cause("PostgreSQL does not answer").retry_after(5)),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the door itself")]
    fn checkout(&self) -> Result<PooledConnection<Manager>> {
        // A second of waiting is enough for one request; those who come right after it are told at once.
        let now = self.made.elapsed().as_millis() as u64;
        if now < self.pause_until.load(Ordering::Relaxed) {
            return Err(Error::unavailable("no connection to PostgreSQL a moment ago"));
        }
        self.pool.get().map_err(|_| {
            let until = self.made.elapsed() + PAUSE;
            self.pause_until.store(until.as_millis() as u64, Ordering::Relaxed);
            Error::unavailable("no connection to PostgreSQL")
        })
    }

    /// Runs `f` until it has an answer: again on new connections as long as old ones prove dead, again after races.
    fn attempt<T>(&self, f: &impl Fn(&mut PgConnection) -> Result<T>, transaction: bool) -> Result<T> {
        let (mut races, mut deaths) = (0, 0);
        loop {
            let mut conn = self.checkout()?;
            let error = match Self::once(&mut conn, f, transaction) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if conn.dead && error.code != Code::OutcomeUnknown && deaths <= self.size {
                deaths += 1;
            } else if error.retry == Retry::Again && races < RETRIES {
                races += 1;
                drop(conn);
                std::thread::sleep(Duration::from_millis(rand::random_range(1..=8 << races)));
            } else if conn.dead && error.code != Code::OutcomeUnknown {
                return Err(Error::unavailable(error));
            } else {
                return Err(error);
            }
        }
    }

    fn once<T>(conn: &mut Conn, f: &impl Fn(&mut PgConnection) -> Result<T>, transaction: bool) -> Result<T> {
        type Transaction = AnsiTransactionManager;
        if !transaction {
            return f(&mut conn.pg).inspect_err(|error| conn.probe(error));
        }
        if let Err(error) = Transaction::begin_transaction(&mut conn.pg) {
            conn.dead = true;
            return Err(error.into());
        }
        match f(&mut conn.pg) {
            Ok(value) => match Transaction::commit_transaction(&mut conn.pg) {
                Ok(()) => Ok(value),
                Err(error) => {
                    let error = Error::from(error);
                    conn.probe(&error);
                    // Not knowing is an answer of its own: only the idempotency key can tell.
                    let unknown = conn.dead && error.retry != Retry::Again;
                    Err(if unknown { Error::new(Code::OutcomeUnknown).cause(&error).retry_after(1) } else { error })
                }
            },
            Err(error) => {
                if Transaction::rollback_transaction(&mut conn.pg).is_err() {
                    conn.dead = true;
                }
                conn.probe(&error);
                Err(error)
            }
        }
    }
}

impl Conn {
    /// After an error that could mean a dead connection, asks it.
    fn probe(&mut self, error: &Error) {
        self.dead |= match error.retry {
            Retry::Suspect => self.pg.batch_execute("SELECT 1").is_err(),
            Retry::Dead => true,
            Retry::No | Retry::Again => false,
        };
    }
}

/// Connection errors are answered as 503 and counted there; r2d2's own log lines would repeat them every second.
#[derive(Debug)]
struct Quiet;

impl r2d2::HandleError<r2d2::Error> for Quiet {
    fn handle_error(&self, error: r2d2::Error) {
        tracing::debug!(%error, "connecting to PostgreSQL");
        metrics::counter!("lianxin_database_connect_failures_total").increment(1);
    }
}

crate::statement! {
    struct Check { table: &'static str as diesel::sql_types::Text }
    "SELECT has_table_privilege({table}, 'DELETE') AS may_delete_audit, \
       current_setting('lc_messages') ~ '^(C|POSIX|en)' OR current_setting('lc_messages') = '' AS english"
}

/// What is worth knowing of a connection before serving with it.
#[derive(Debug, diesel::QueryableByName)]
pub struct Checked {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    pub may_delete_audit: bool,
    /// Errors come in English: diesel tells no SQLSTATE, so deadlocks are known by their words.
    #[diesel(sql_type = diesel::sql_types::Bool)]
    pub english: bool,
}

pub fn check(conn: &mut PgConnection) -> diesel::QueryResult<Checked> {
    use diesel::RunQueryDsl;
    Check { table: "audit_log" }.get_result(conn)
}

/// Turns a missing row into "not found" and keeps every other error.
pub fn found<T>(row: Result<T, DieselError>) -> Result<Option<T>> {
    match row {
        Ok(row) => Ok(Some(row)),
        Err(DieselError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
