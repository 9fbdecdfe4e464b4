//! Migrations, built into the binary and run by the owner role.

use anyhow::{Context, Result, anyhow};
use diesel::{Connection, PgConnection, connection::SimpleConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Connects as the owner.
pub fn connect(url: &str) -> Result<PgConnection> {
    PgConnection::establish(url).context("connecting to PostgreSQL as the owner")
}

/// Runs what has not been run yet and returns its names. Two that start at once wait for each other.
pub fn up(conn: &mut PgConnection) -> Result<Vec<String>> {
    // One number for all of us; any will do that nobody else uses.
    conn.batch_execute("SELECT pg_advisory_lock(725026350425)")?;
    let ran = conn.run_pending_migrations(MIGRATIONS).map(|ran| ran.iter().map(ToString::to_string).collect());
    conn.batch_execute("SELECT pg_advisory_unlock(725026350425)")?;
    ran.map_err(|error| anyhow!("{error}"))
}

/// Takes every migration back; everything stored is gone.
pub fn down(conn: &mut PgConnection) -> Result<()> {
    conn.revert_all_migrations(MIGRATIONS).map_err(|error| anyhow!("{error}"))?;
    Ok(())
}
