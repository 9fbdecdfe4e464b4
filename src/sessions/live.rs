//! Whether a session still lives: the process knows for 1.5 s, Redis for 3 s, PostgreSQL always.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::store;
use crate::{
    app::App,
    error::{Code, Result},
    http::caller::Caller,
};

const REMEMBERED: Duration = Duration::from_millis(1_500);
const SERVED_MS: u64 = 3_000;
/// Longer than any access token, after which an ended session is of no use anyway.
const ENDED_SECONDS: u64 = 16 * 60;

/// The caller behind an access token; 401 if the token or its session is no longer good.
pub async fn authenticate(app: &App, token: &str) -> Result<Caller> {
    let verified = app.tokens.verify(app, token).await?;
    let caller = &verified.caller;
    // What is known of a county may be asked at every request. While PostgreSQL is away, what needs it fails by itself.
    if let Ok(Some(county)) = app.counties.find(app, &caller.county_key).await {
        county.working()?;
    }
    let remembered = app.tokens.live.get(&caller.session);
    if remembered.is_none_or(|seen| seen.elapsed() > REMEMBERED) {
        if !is_live(app, caller).await? {
            return Err(Code::SessionEnded.into());
        }
        app.tokens.live.insert(caller.session, Instant::now());
    }
    Ok(caller.clone())
}

async fn is_live(app: &App, caller: &Caller) -> Result<bool> {
    let key = app.redis.key(format_args!("session:{}", caller.session));
    let ask = async |mut redis| redis::cmd("GET").arg(&key).query_async::<Option<String>>(&mut redis).await;
    if let Ok(Some(served)) = app.redis.run(ask).await {
        return Ok(served == "live");
    }
    let (county, session, now) = (caller.county, caller.session, app.clock.now());
    let live = app.db.read("session", move |conn| store::is_live(conn, county, session, now)).await?;
    if live {
        // NX: an end that was told meanwhile stays told.
        let set = async |mut redis| {
            let mut set = redis::cmd("SET");
            set.arg(&key).arg("live").arg("PX").arg(SERVED_MS).arg("NX");
            set.query_async::<Option<String>>(&mut redis).await
        };
        let _ = app.redis.run(set).await;
    }
    Ok(live)
}

/// Tells everybody that a session has ended. Best effort: what nobody could be told holds within 5 s all the same.
pub async fn tell_ended(app: &App, session: Uuid) {
    app.tokens.live.remove(&session);
    let key = app.redis.key(format_args!("session:{session}"));
    let set = async |mut redis| {
        let mut set = redis::cmd("SET");
        set.arg(key).arg("ended").arg("EX").arg(ENDED_SECONDS);
        set.query_async::<String>(&mut redis).await
    };
    let _ = app.redis.run(set).await;
}
