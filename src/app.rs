//! The application: built once, shared by server, worker, command line and tests.

use anyhow::{Context, Result};
use secrecy::ExposeSecret;

use crate::{
    appointments, attachments::Files, calendar, clock::Clock, config::Config, crypto::Keyring, db::Db,
    http::cached::Rendered, matters, messages, queue, redis::Redis, sessions::Tokens, units::Counties, wechat,
};

pub struct App {
    pub config: Config,
    pub db: Db,
    pub redis: Redis,
    pub clock: Clock,
    pub keys: Keyring,
    pub calendar: calendar::Current,
    pub counties: Counties,
    pub tokens: Tokens,
    /// Public answers that are the same for everybody.
    pub rendered: Rendered,
    /// Slots that are full and still wanted.
    pub crowds: appointments::Crowds,
    /// Versions of matters, which never change.
    pub versions: matters::Versions,
    /// What the screens of halls show.
    pub boards: queue::Boards,
    pub wechat: wechat::Client,
    pub sms: messages::sms::Gateway,
    /// Where attachments lie.
    pub files: Files,
}

impl App {
    /// Builds it from a checked configuration. Connects lazily: what is away now may be back at the first request.
    pub fn new(config: Config, clock: Clock) -> Result<Self> {
        config.check()?;
        let database = config.database_url.as_ref().context("checked")?.expose_secret();
        let redis = config.redis_url.as_ref().context("checked")?.expose_secret();
        Ok(Self {
            db: Db::new(database, config.connections()),
            redis: Redis::new(redis, &config.redis_prefix)?,
            keys: config.keyring()?,
            calendar: calendar::Current::default(),
            counties: Counties::default(),
            tokens: Tokens::default(),
            rendered: Rendered::default(),
            crowds: appointments::Crowds::default(),
            versions: matters::Versions::default(),
            boards: queue::Boards::default(),
            wechat: wechat::Client::new(&config.wechat_url)?,
            sms: messages::sms::Gateway::new()?,
            files: Files::new(&config)?,
            clock,
            config,
        })
    }
}
