//! One validated configuration, from the environment and an optional TOML file; wrong combinations do not start.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::crypto::Keyring;

/// The key of development and tests; production refuses it.
pub const DEVELOPMENT_KEYS: &str = "1:bGlhbnhpbi1kZXZlbG9wbWVudC1rZXktMzItYnl0ZSE=";
const WECHAT: &str = "https://api.weixin.qq.com";

/// Production unless development is chosen: only then are private databases, a fake WeChat and demo accounts possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Production,
    Development,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Pretty,
    #[default]
    Json,
}

/// Every setting of the program; the README lists them. Names in the environment are these in capitals.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// `LIANXIN_MODE`.
    #[serde(default, rename = "lianxin_mode")]
    pub mode: Mode,
    #[serde(default = "loopback")]
    pub bind: String,
    #[serde(default = "port")]
    pub port: u16,
    /// HTTP worker threads; 0 is one per core.
    #[serde(default)]
    pub http_workers: usize,
    /// The service role's connection. Without it, development runs a private PostgreSQL.
    pub database_url: Option<SecretString>,
    /// The owner's connection, for migrations only.
    pub database_owner_url: Option<SecretString>,
    /// Connections to PostgreSQL, and as many blocking threads; 0 is four per core. More than the cores can use only makes the
    /// slowest answers slower.
    #[serde(default)]
    pub database_pool: u32,
    pub redis_url: Option<SecretString>,
    /// Prefix of every Redis key, so that installations can share one Redis.
    #[serde(default = "prefix")]
    pub redis_prefix: String,
    /// `1:<base64 of 32 bytes>[,2:…]`; the highest version encrypts, all decrypt.
    pub encryption_keys: Option<SecretString>,
    #[serde(default = "wechat")]
    pub wechat_url: String,
    #[serde(default)]
    pub log_format: LogFormat,
    /// A `tracing` filter, for example `info,lianxin::jobs=debug`.
    #[serde(default = "log")]
    pub log: String,
    /// Origins that browsers may call from, separated by commas; `*` is any.
    #[serde(default)]
    pub cors_origins: String,
    /// `/metrics` answers only to this bearer token; without it, only in development.
    pub metrics_token: Option<SecretString>,
    /// Proxies in front that set `X-Forwarded-For`; 0 trusts nobody's.
    #[serde(default)]
    pub trusted_proxies: usize,
    /// Writes a caller may send in a minute.
    #[serde(default = "writes")]
    pub writes_per_minute: u32,
    /// Logins an address may try in a minute.
    #[serde(default = "logins")]
    pub logins_per_minute: u32,
    /// Days for which changes are kept for phones; one that was away for longer starts over.
    #[serde(default = "changes_kept")]
    pub changes_kept_days: u32,
    /// Where the private PostgreSQL and Redis of development keep their data.
    #[serde(default = "data_dir")]
    pub lianxin_data: PathBuf,
    /// The folder of attachments; in development `files` in `LIANXIN_DATA`. Not both this and `S3_BUCKET`.
    pub lianxin_files: Option<PathBuf>,
    /// The bucket of attachments in an S3-compatible store.
    pub s3_bucket: Option<String>,
    /// `https://…` of the store; without it, Amazon's. Where the bucket's name stands in front of its host, it is left out of paths,
    /// as the stores of Alibaba and Tencent want it.
    pub s3_endpoint: Option<String>,
    #[serde(default = "region")]
    pub s3_region: String,
    pub s3_access_key: Option<SecretString>,
    pub s3_secret_key: Option<SecretString>,
}

fn loopback() -> String {
    "127.0.0.1".into()
}
fn port() -> u16 {
    8080
}
fn prefix() -> String {
    "lianxin".into()
}
fn wechat() -> String {
    WECHAT.into()
}
fn log() -> String {
    "info".into()
}
fn writes() -> u32 {
    120
}
fn logins() -> u32 {
    60
}
fn changes_kept() -> u32 {
    30
}
fn data_dir() -> PathBuf {
    ".lianxin".into()
}
fn region() -> String {
    "us-east-1".into()
}

impl Config {
    /// Reads `LIANXIN_CONFIG` (a TOML file, optional) and then the environment, which wins.
    pub fn load() -> Result<Self> {
        let mut builder = config::Config::builder();
        if let Ok(file) = std::env::var("LIANXIN_CONFIG") {
            builder = builder.add_source(config::File::new(&file, config::FileFormat::Toml));
        }
        // An empty variable is an unset one: that is how shells and compose files say "nothing".
        let environment = config::Environment::default().ignore_empty(true).try_parsing(false);
        builder.add_source(environment).build()?.try_deserialize().context("configuration")
    }

    /// The development configuration of `make run` and the tests; everything else stays at its default.
    pub fn development() -> Self {
        let mut config: Self =
            serde_json::from_str(r#"{"lianxin_mode": "development"}"#).expect("every other field has a default");
        config.encryption_keys = Some(DEVELOPMENT_KEYS.into());
        config
    }

    /// The size of the connection pool.
    pub fn connections(&self) -> u32 {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        if self.database_pool > 0 { self.database_pool } else { 4 * cores }
    }

    pub fn is_development(&self) -> bool {
        self.mode == Mode::Development
    }

    /// Whether another server stands in for WeChat; only development may say so.
    pub fn fakes_wechat(&self) -> bool {
        self.is_development() && self.wechat_url != WECHAT
    }

    /// The keys, checked. Development falls back to its own; production must bring some.
    pub fn keyring(&self) -> Result<Keyring> {
        let keys = match &self.encryption_keys {
            Some(keys) => keys.expose_secret(),
            None if self.is_development() => DEVELOPMENT_KEYS,
            None => anyhow::bail!(
                "ENCRYPTION_KEYS is not set. Make one with: printf '1:%s\\n' \"$(head -c 32 /dev/urandom | base64)\""
            ),
        };
        Keyring::parse(keys).context("ENCRYPTION_KEYS")
    }

    /// Refuses what must not start, and says what to set instead.
    pub fn check(&self) -> Result<()> {
        self.keyring()?;
        ensure!(self.database_url.is_some(), "DATABASE_URL is not set: the service role's connection, postgres://…");
        ensure!(self.redis_url.is_some(), "REDIS_URL is not set: redis://…");
        ensure!(self.database_pool <= 1000, "DATABASE_POOL must be 0 to 1000");
        ensure!((1..=365).contains(&self.changes_kept_days), "CHANGES_KEPT_DAYS must be 1 to 365");
        ensure!(self.writes_per_minute > 0, "WRITES_PER_MINUTE must be at least 1");
        ensure!(self.logins_per_minute > 0, "LOGINS_PER_MINUTE must be at least 1");
        let origins = self.cors_origins.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        for origin in origins {
            let scheme = origin.starts_with("https://") || origin.starts_with("http://");
            let fits = origin == "*" || scheme && !origin.ends_with('/');
            ensure!(fits, "CORS_ORIGINS: {origin} is no origin; it looks like https://h5.example, without a path");
        }
        self.check_files()?;
        if self.is_development() {
            return Ok(());
        }
        let keys = self.encryption_keys.as_ref().map(ExposeSecret::expose_secret);
        ensure!(
            keys.is_none_or(|keys| !keys.contains(&DEVELOPMENT_KEYS[2..])),
            "ENCRYPTION_KEYS holds the development key; production needs its own"
        );
        ensure!(
            self.wechat_url == WECHAT,
            "WECHAT_URL must be {WECHAT} in production; another server would receive the counties' secrets"
        );
        ensure!(self.cors_origins != "*", "CORS_ORIGINS=* is for development; name the origins");
        Ok(())
    }

    /// Attachments need one place, the same for every process.
    fn check_files(&self) -> Result<()> {
        let Some(_) = &self.s3_bucket else {
            let loose = self.s3_endpoint.is_some() || self.s3_access_key.is_some() || self.s3_secret_key.is_some();
            ensure!(!loose, "S3_BUCKET is not set, but other S3_ variables are");
            ensure!(
                self.is_development() || self.lianxin_files.is_some(),
                "LIANXIN_FILES is not set: the folder of attachments; or S3_BUCKET for an S3-compatible store"
            );
            return Ok(());
        };
        ensure!(self.lianxin_files.is_none(), "LIANXIN_FILES and S3_BUCKET are both set; attachments lie in one place");
        let keys = self.s3_access_key.is_some() && self.s3_secret_key.is_some();
        ensure!(keys, "S3_BUCKET needs S3_ACCESS_KEY and S3_SECRET_KEY");
        let secure = self.s3_endpoint.as_ref().is_none_or(|endpoint| endpoint.starts_with("https://"));
        ensure!(secure || self.is_development(), "S3_ENDPOINT must be https:// in production");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn production() -> Config {
        let mut config = Config::development();
        config.mode = Mode::Production;
        config.database_url = Some("postgres://x".into());
        config.redis_url = Some("redis://x".into());
        config.lianxin_files = Some("/srv/files".into());
        config.encryption_keys = Some("1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into());
        config
    }

    #[test]
    fn production_is_the_default_and_refuses_missing_and_default_secrets() {
        assert_eq!(Mode::default(), Mode::Production);
        production().check().expect("complete");
        type Spoil = fn(&mut Config);
        let cases: [(&str, Spoil); 10] = [
            ("CORS_ORIGINS", |c| c.cors_origins = "h5.example".into()),
            ("ENCRYPTION_KEYS", |c| c.encryption_keys = None),
            ("ENCRYPTION_KEYS", |c| c.encryption_keys = Some(DEVELOPMENT_KEYS.into())),
            ("DATABASE_URL", |c| c.database_url = None),
            ("REDIS_URL", |c| c.redis_url = None),
            ("WECHAT_URL", |c| c.wechat_url = "http://127.0.0.1:1".into()),
            ("CORS_ORIGINS", |c| c.cors_origins = "*".into()),
            ("LIANXIN_FILES", |c| c.lianxin_files = None),
            ("S3_BUCKET", |c| c.s3_secret_key = Some("x".into())),
            ("S3_ACCESS_KEY", |c| (c.lianxin_files, c.s3_bucket) = (None, Some("files".into()))),
        ];
        for (names, spoil) in cases {
            let mut config = production();
            spoil(&mut config);
            let refusal = format!("{:#}", config.check().expect_err(names));
            assert!(refusal.contains(names), "{refusal} does not name {names}");
        }
    }
}
