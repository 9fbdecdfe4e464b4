//! Finding the binaries of PostgreSQL and Redis.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

const INSTALL: &str = "install PostgreSQL 15 or newer and Redis 7 or newer (or Valkey): on Debian `apt-get install postgresql redis-server`, \
    on macOS `brew install postgresql@16 redis`; or set DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL to servers that run elsewhere";

/// The folder of PostgreSQL's binaries, and the Redis server.
pub struct Found {
    pub postgres: PathBuf,
    pub redis: PathBuf,
}

/// The newest PostgreSQL from 15 on, and a Redis from 7 on or a Valkey.
pub fn find() -> Result<Found> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    for (base, inside) in [
        ("/usr/lib/postgresql", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("/usr", "bin"),
        ("/usr/local", "bin"),
    ] {
        let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path().join(inside)));
    }
    folders.extend(["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from));
    let clusters = folders.iter().filter(|folder| folder.join("postgres").exists() && folder.join("initdb").exists());
    let newest = clusters.filter_map(|folder| Some((postgres_version(folder)?, folder))).max();
    let postgres = newest.filter(|(version, _)| *version >= 15).map(|(_, folder)| folder.clone());
    let servers = folders.iter().flat_map(|folder| [folder.join("redis-server"), folder.join("valkey-server")]);
    let redis = servers.into_iter().find(|server| redis_version(server).is_some_and(|version| version >= 7));
    Ok(Found {
        postgres: postgres.with_context(|| format!("PostgreSQL was not found: {INSTALL}"))?,
        redis: redis.with_context(|| format!("Redis was not found: {INSTALL}"))?,
    })
}

fn output(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The major version of `postgres (PostgreSQL) 15.18 …`.
pub fn postgres_version(binaries: &Path) -> Option<u32> {
    let text = output(&binaries.join("postgres"))?;
    let number = text.split(')').nth(1)?.trim().split(|c: char| !c.is_ascii_digit()).next()?;
    number.parse().ok()
}

/// The major version of `Redis server v=7.0.15 …`.
fn redis_version(server: &Path) -> Option<u32> {
    if !server.exists() {
        return None;
    }
    output(server)?.split("v=").nth(1)?.split('.').next()?.parse().ok()
}
