//! Rate limits: GCRA in one Lua script, so that every process counts together.

use std::sync::LazyLock;

use actix_web::{HttpRequest, http::header::HeaderName};
use redis::Script;

use crate::{
    app::App,
    error::{Code, Error, Result},
    redis::Away,
};

/// Generic cell rate algorithm: keeps the theoretical arrival time, answers the milliseconds to wait.
static GCRA: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local t = redis.call('TIME')
          local now = t[1] * 1000 + math.floor(t[2] / 1000)
          local due = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + ARGV[1]
          local wait = due - now - ARGV[2]
          if wait > 0 then return math.ceil(wait) end
          redis.call('SET', KEYS[1], string.format('%.3f', due), 'PX', math.ceil(due - now) + 1000)
          return 0",
    )
});

/// Takes one of `per_minute` requests of `who`, or answers 429 with when to come back. All of them may come at once.
/// While Redis is away nobody is held up.
pub async fn take(app: &App, policy: &str, who: &str, per_minute: u32) -> Result<()> {
    take_certain(app, policy, who, per_minute).await.unwrap_or(Ok(()))
}

/// [`take`] for what is worth guessing: `per_hour` tries, all of them at once if need be.
pub async fn take_hourly(app: &App, policy: &str, who: &str, per_hour: u32) -> Result<()> {
    within(app, policy, who, (per_hour, 3600)).await.unwrap_or(Ok(()))
}

/// The address behind the trusted proxies.
pub fn address(app: &App, request: &HttpRequest) -> String {
    let peer = || request.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    // Each proxy adds the address it saw at the right, some on a line of their own; the left is whatever the client claimed.
    let lines = request.headers().get_all("x-forwarded-for").filter_map(|line| line.to_str().ok());
    let all: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    match app.config.trusted_proxies {
        hops @ 1.. if all.len() >= hops => all[all.len() - hops].to_owned(),
        _ => peer(),
    }
}

/// The right to do something that must not be done twice at once.
pub struct Alone(String);

/// Takes the right for 10 s at most; 409 while somebody else has it. While Redis is away everybody has it.
pub async fn alone(app: &App, what: &str) -> Result<Alone> {
    let key = app.redis.key(format_args!("alone:{what}"));
    let set = async |mut redis| {
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(1).arg("NX").arg("EX").arg(10);
        set.query_async::<Option<String>>(&mut redis).await
    };
    match app.redis.run(set).await {
        Ok(None) => Err(Code::IdempotencyInProgress.into()),
        Ok(Some(_)) | Err(_) => Ok(Alone(key)),
    }
}

impl Alone {
    pub async fn end(self, app: &App) {
        let end = async |mut redis| redis::cmd("DEL").arg(&self.0).query_async::<i64>(&mut redis).await;
        let _ = app.redis.run(end).await;
    }
}

/// [`take`] for what must not go on uncounted: the outer error is a Redis that is away.
pub async fn take_certain(app: &App, policy: &str, who: &str, per_minute: u32) -> Result<Result<()>, Away> {
    within(app, policy, who, (per_minute, 60)).await
}

/// [`take`] for many at once, in one round trip: for each, whether they may.
pub async fn take_each(app: &App, policy: &str, whos: &[String], per_minute: u32) -> Vec<Result<()>> {
    let (interval, window_ms) = (60_000.0 / f64::from(per_minute), 60_000.0);
    let mut pipe = redis::pipe();
    pipe.load_script(&GCRA).ignore();
    for who in whos {
        let key = app.redis.key(format_args!("rate:{policy}:{who}"));
        pipe.invoke_script(GCRA.key(key).arg(interval).arg(window_ms));
    }
    let asked = app.redis.run(async |mut redis| pipe.query_async::<Vec<i64>>(&mut redis).await).await;
    let waits = asked.unwrap_or_else(|_| vec![0; whos.len()]);
    waits.into_iter().map(|wait| verdict(policy, wait, (per_minute, 60))).collect()
}

async fn within(app: &App, policy: &str, who: &str, (most, window): (u32, u32)) -> Result<Result<()>, Away> {
    let key = app.redis.key(format_args!("rate:{policy}:{who}"));
    let window_ms = f64::from(window) * 1000.0;
    let interval = window_ms / f64::from(most);
    let ask = async |mut redis| GCRA.key(key).arg(interval).arg(window_ms).invoke_async::<i64>(&mut redis).await;
    Ok(verdict(policy, app.redis.run(ask).await?, (most, window)))
}

/// What the milliseconds to wait mean to whoever asks.
fn verdict(policy: &str, wait: i64, (most, window): (u32, u32)) -> Result<()> {
    if wait == 0 {
        return Ok(());
    }
    let seconds = (wait as u64).div_ceil(1000);
    metrics::counter!("lianxin_rate_limited_total", "policy" => policy.to_owned()).increment(1);
    Err(Error::new(Code::TooManyRequests)
        .detail(format!("每 {window} 秒至多 {most} 次"), format!("At most {most} in {window} seconds"))
        .retry_after(seconds)
        // draft-ietf-httpapi-ratelimit-headers-10
        .header(HeaderName::from_static("ratelimit"), format!("\"{policy}\";r=0;t={seconds}"))
        .header(HeaderName::from_static("ratelimit-policy"), format!("\"{policy}\";q={most};w={window}")))
}
