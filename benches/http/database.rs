//! A database of our own on the private server, made for one run and dropped after it.

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::Text,
};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    value: String,
}

pub struct Database {
    pub name: String,
    pub service_url: String,
    pub owner_url: String,
}

/// The URL of another database of the same server.
fn renamed(url: &str, name: &str) -> Result<String> {
    let (before, options) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = before.rsplit_once('/').with_context(|| format!("no database in {url}"))?;
    Ok(if options.is_empty() { format!("{server}/{name}") } else { format!("{server}/{name}?{options}") })
}

fn server(variable: &str) -> Result<String> {
    std::env::var(variable).with_context(|| format!("{variable} is not set; run `make bench`"))
}

fn admin() -> Result<PgConnection> {
    Ok(PgConnection::establish(&renamed(&server("DATABASE_OWNER_URL")?, "postgres")?)?)
}

impl Database {
    /// Drops what killed runs left behind.
    pub fn sweep() -> Result<()> {
        let mut conn = admin()?;
        let old = "SELECT datname::text AS value FROM pg_database WHERE datname LIKE 'bench\\_%'";
        for Row { value } in sql_query(old).load(&mut conn)? {
            conn.batch_execute(&format!("DROP DATABASE {value} WITH (FORCE)"))?;
        }
        Ok(())
    }

    /// A new one.
    pub fn create() -> Result<Self> {
        let mut conn = admin()?;
        let name = format!("bench_{}", SystemTime::UNIX_EPOCH.elapsed()?.as_millis());
        let (service_url, owner_url) = (server("DATABASE_URL")?, server("DATABASE_OWNER_URL")?);
        let (service_url, owner_url) = (renamed(&service_url, &name)?, renamed(&owner_url, &name)?);
        conn.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"))?;
        Ok(Self { name, service_url, owner_url })
    }

    fn owner(&self) -> Result<PgConnection> {
        Ok(PgConnection::establish(&self.owner_url)?)
    }

    pub fn run(&self, sql: &str) -> Result<()> {
        self.owner()?.batch_execute(sql).with_context(|| sql.to_owned())
    }

    /// The texts of a query's column `value`.
    pub fn texts(&self, sql: &str) -> Result<Vec<String>> {
        let rows: Vec<Row> = sql_query(sql).load(&mut self.owner()?).with_context(|| sql.to_owned())?;
        Ok(rows.into_iter().map(|row| row.value).collect())
    }

    /// The `value` of a query of one row.
    pub fn text(&self, sql: &str) -> Result<String> {
        self.texts(sql)?.pop().with_context(|| format!("nothing found by {sql}"))
    }

    pub fn count(&self, from: &str) -> Result<i64> {
        Ok(self.text(&format!("SELECT count(*)::text AS value FROM {from}"))?.parse()?)
    }

    /// Version, and what decides how much it waits for the disk.
    pub fn settings(&self) -> Result<Settings> {
        let setting = |name: &str| self.text(&format!("SELECT current_setting('{name}') AS value"));
        Ok(Settings {
            version: setting("server_version")?,
            fsync: setting("fsync")?,
            synchronous_commit: setting("synchronous_commit")?,
            full_page_writes: setting("full_page_writes")?,
            shared_buffers: setting("shared_buffers")?,
        })
    }

    /// Room for as many bookings as a run can make: full slots would be measured as something else.
    pub fn open_up(&self) -> Result<()> {
        self.run(
            "UPDATE opening_rules SET capacity_public = 1000; \
             INSERT INTO settings (county_id, key, version, value, effective_from, set_at) \
             SELECT id, 'booking.days_ahead', 1, '90', '2026-01-01', '2026-01-01' FROM counties",
        )
    }

    /// Both sides begin with the same statistics and an empty outbox.
    pub fn settle(&self) -> Result<()> {
        self.run("TRUNCATE outbox")?;
        self.run("VACUUM ANALYZE")
    }

    /// Until the worker has nothing left to do.
    pub fn wait_for_jobs(&self) -> Result<()> {
        let asked = Instant::now();
        while self.count("outbox WHERE dead_at IS NULL")? > 0 {
            ensure!(asked.elapsed() < Duration::from_secs(120), "the worker does not come to an end");
            thread::sleep(Duration::from_millis(100));
        }
        self.run("VACUUM ANALYZE")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nobody is left to tell, and the next run drops it too.
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = admin().and_then(|mut conn| Ok(conn.batch_execute(&drop)?));
    }
}

/// How the server is set.
#[derive(Clone, Debug)]
pub struct Settings {
    pub version: String,
    pub fsync: String,
    pub synchronous_commit: String,
    pub full_page_writes: String,
    pub shared_buffers: String,
}
