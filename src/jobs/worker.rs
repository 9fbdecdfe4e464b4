//! The relay and the workers: from the outbox to the Redis stream, from the stream to the jobs.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use redis::{
    AsyncCommands, RedisError, Value,
    aio::ConnectionLike,
    streams::{StreamReadOptions, StreamReadReply},
};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tracing::{Instrument, info_span};

use super::{MAX_ATTEMPTS, backoff, dispatch, store, sweep, tick};
use crate::{
    app::App,
    error::{Code, Error, Result, Text},
    redis::Away,
    todos::{self, NewTodo},
};

const GROUP: &str = "workers";
/// How often the relay looks for what is due.
const TICK: Duration = Duration::from_millis(200);
const SWEEP: Duration = Duration::from_secs(600);
/// How often to look for what a minute matters for.
const PROMPT: Duration = Duration::from_secs(15);
/// How often the audit log is sealed.
const SEAL: Duration = Duration::from_secs(120);
/// Jobs at once in one process.
const CONSUMERS: usize = 4;
/// Entries on the stream beyond which the relay waits.
const LONGEST_STREAM: usize = 2_000;
/// After a failure a pass rests for this long.
const REST: Duration = Duration::from_secs(2);
/// Shorter than the lease: a job that hangs is given up before another worker may take it.
const PATIENCE: Duration = Duration::from_secs(50);

fn stream(app: &App) -> String {
    app.redis.key("jobs")
}

/// Pushes what is due onto the stream; answers how many.
async fn relay(app: &App) -> Result<usize> {
    // Without Redis the outbox is left alone, and a stream that nobody works off is not made longer.
    let (length, now) = (stream(app), app.clock.now());
    if app.redis.run(async |mut redis| redis.xlen::<_, usize>(length).await).await? > LONGEST_STREAM {
        return Ok(0);
    }
    let ids = app.db.write("relay", move |conn| Ok(store::take_due(conn, now, 500)?)).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let (stream, taken) = (stream(app), ids.clone());
    let pushed = app
        .redis
        .run(async |mut redis| {
            let mut pipe = redis::pipe();
            for id in &taken {
                pipe.xadd(&stream, "*", &[("id", *id)]).ignore();
            }
            pipe.query_async::<()>(&mut redis).await
        })
        .await;
    if let Err(away) = pushed {
        app.db.write("relay_untake", move |conn| Ok(store::untake(conn, &ids)?)).await?;
        return Err(away.into());
    }
    Ok(taken.len())
}

/// Reads from the group, which is created when Redis comes back empty.
async fn read<C: ConnectionLike + AsyncCommands>(
    redis: &mut C,
    stream: &str,
    consumer: &str,
    block: Option<usize>,
) -> Result<Vec<(String, i64)>, RedisError> {
    let mut options = StreamReadOptions::default().group(GROUP, consumer).count(16);
    if let Some(block) = block {
        options = options.block(block);
    }
    let reply: Option<StreamReadReply> = match redis.xread_options(&[stream], &[">"], &options).await {
        Err(error) if error.code() == Some("NOGROUP") => {
            let created: Result<Value, _> = redis.xgroup_create_mkstream(stream, GROUP, "0").await;
            if let Err(error) = created
                && error.code() != Some("BUSYGROUP")
            {
                return Err(error);
            }
            return Ok(Vec::new());
        }
        reply => reply?,
    };
    let entries = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
    Ok(entries
        .map(|entry| {
            let id = entry.get("id").unwrap_or(0);
            (entry.id, id)
        })
        .collect())
}

/// Takes entries off the stream for good: the truth is in the outbox.
async fn acknowledge<C: ConnectionLike + AsyncCommands>(
    redis: &mut C,
    stream: &str,
    entry: &str,
) -> Result<(), RedisError> {
    redis::pipe().xack(stream, GROUP, &[entry]).ignore().xdel(stream, &[entry]).ignore().query_async(redis).await
}

/// Takes entries off the stream that a dead worker has read and never acknowledged; their jobs come again from the outbox.
async fn abandoned(app: &App) -> Result<()> {
    let stream = stream(app);
    let claim = async |mut redis: redis::aio::ConnectionManager| -> Result<(), RedisError> {
        let idle = SWEEP.as_millis() as u64;
        let mut claim = redis::cmd("XAUTOCLAIM");
        claim.arg(&stream).arg(GROUP).arg("sweep").arg(idle).arg("0-0").arg("COUNT").arg(1_000).arg("JUSTID");
        let claimed: Result<(String, Vec<String>, Value), RedisError> = claim.query_async(&mut redis).await;
        match claimed {
            Err(error) if error.code() == Some("NOGROUP") => Ok(()),
            Err(error) => Err(error),
            Ok((_, entries, _)) if entries.is_empty() => Ok(()),
            Ok((_, entries, _)) => {
                redis::pipe()
                    .xack(&stream, GROUP, &entries)
                    .ignore()
                    .xdel(&stream, &entries)
                    .ignore()
                    .query_async(&mut redis)
                    .await
            }
        }
    };
    Ok(app.redis.run(claim).await?)
}

/// Does one job, if it is still to be done; its failure is noted, not answered.
async fn work(app: &Arc<App>, id: i64) -> Result<()> {
    let now = app.clock.now();
    let Some(claimed) = app.db.write("claim_job", move |conn| store::claim(conn, id, MAX_ATTEMPTS, now)).await? else {
        return Ok(());
    };
    if claimed.dead {
        tracing::error!(id, kind = claimed.kind, "a worker died during the last attempt; the job is given up");
        return app.db.write("job_dead", move |conn| look_at(conn, (claimed.county_id, id), &claimed.kind, now)).await;
    }
    let (kind, ticket, county) = (claimed.kind.clone(), (claimed.id, claimed.attempts), claimed.county_id);
    let attempt = claimed.attempts - claimed.deferred;
    let span = info_span!("job", id, kind, attempt);
    let outcome = timeout(PATIENCE, dispatch(app, claimed).instrument(span.clone())).await;
    let outcome = outcome.unwrap_or_else(|_| Err(Error::unavailable("took too long")));
    let labels = [("kind", kind.clone()), ("outcome", if outcome.is_ok() { "done" } else { "failed" }.to_owned())];
    metrics::counter!("lianxin_jobs_total", &labels).increment(1);
    let Err(error) = outcome else { return Ok(()) };
    let again = (attempt < MAX_ATTEMPTS).then(|| app.clock.now() + backoff(attempt));
    span.in_scope(|| match again {
        Some(at) => tracing::warn!(%error, again = %at, "job failed"),
        None => tracing::error!(%error, "job given up; replay it when the cause is gone"),
    });
    let (words, now) = (error.to_string(), app.clock.now());
    let noted = app.db.write("job_failed", move |conn| {
        let noted = store::failed(conn, ticket, &words, again, now)?;
        if noted == 1 && again.is_none() {
            look_at(conn, (county, id), &kind, now)?;
        }
        Ok(())
    });
    noted.await
}

/// A job that was given up is an administrator's to look at.
fn look_at(conn: &mut PgConnection, (county, id): (i32, i64), kind: &str, now: DateTime<Utc>) -> Result<()> {
    let todo = NewTodo {
        county,
        kind: todos::Kind::Failure,
        unit: None,
        resident: None,
        about: Some(("job", super::entity(id))),
        title: Text::new(format!("后台任务失败：{kind}"), format!("A job was given up: {kind}")),
        holder: None,
        due_at: None,
        created_by: None,
    };
    todos::open(conn, todo, now).map(drop)
}

/// Runs everything that is due now, through the stream, and stops: how tests step the worker. Answers how many entries
/// were taken off the stream.
pub async fn run_due(app: &Arc<App>) -> Result<usize> {
    let (stream, mut count) = (stream(app), 0);
    let mut redis = app.redis.dedicated().await.map_err(|error| Error::new(Code::Unavailable).cause(error))?;
    let away = |error: RedisError| Error::new(Code::Unavailable).cause(error);
    loop {
        let pushed = relay(app).await?;
        let mut taken = 0;
        // Twice: the first read may have created the group.
        for _ in 0..2 {
            for (entry, id) in read(&mut redis, &stream, "steps", None).await.map_err(away)? {
                work(app, id).await?;
                acknowledge(&mut redis, &stream, &entry).await.map_err(away)?;
                taken += 1;
            }
        }
        count += taken;
        if pushed + taken == 0 {
            return Ok(count);
        }
    }
}

/// Runs relay, workers and sweeps until `stop` turns true; then finishes what was begun.
pub async fn run(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    tasks.spawn_local(every(app.clone(), stop.clone(), TICK, "relay", async |app| relay(app).await.map(drop)));
    tasks.spawn_local(every(app.clone(), stop.clone(), SWEEP, "sweep", async |app| sweep(app).await));
    tasks.spawn_local(every(app.clone(), stop.clone(), PROMPT, "tick", async |app| tick(app).await));
    tasks.spawn_local(every(app.clone(), stop.clone(), SEAL, "seal_audit", async |app| {
        crate::audit::seal::seal_all(app).await.map(drop)
    }));
    tasks.spawn_local(every(app.clone(), stop.clone(), SWEEP, "abandoned", async |app| abandoned(app).await));
    tasks.spawn_local(every(app.clone(), stop.clone(), Duration::from_secs(5), "metrics", async |app| {
        let (waiting, dead) = app.db.read("backlog", |conn| Ok(store::backlog(conn)?)).await?;
        metrics::gauge!("lianxin_jobs_waiting").set(waiting as f64);
        metrics::gauge!("lianxin_jobs_dead").set(dead as f64);
        Ok(())
    }));
    for number in 0..CONSUMERS {
        tasks.spawn_local(consume(app.clone(), stop.clone(), number));
    }
    while tasks.join_next().await.is_some() {}
}

async fn every(
    app: Arc<App>,
    mut stop: watch::Receiver<bool>,
    pause: Duration,
    name: &'static str,
    pass: impl AsyncFn(&Arc<App>) -> Result<()>,
) {
    while !*stop.borrow() {
        let mut rest = pause;
        if let Err(error) = pass(&app).await {
            tracing::warn!(%error, name, "a pass failed; it comes again");
            rest = rest.max(REST);
        }
        tokio::select! {
            _ = tokio::time::sleep(rest) => {}
            _ = stop.changed() => {}
        }
    }
}

async fn consume(app: Arc<App>, mut stop: watch::Receiver<bool>, number: usize) {
    let stream = stream(&app);
    let consumer = format!("{}-{number}", std::process::id());
    while !*stop.borrow() {
        if let Err(error) = drain(&app, &stream, &consumer, &stop).await {
            tracing::warn!(%error, "the stream is away; jobs wait in the outbox");
            tokio::select! {
                _ = tokio::time::sleep(Duration::from_secs(1)) => {}
                _ = stop.changed() => {}
            }
        }
    }
}

/// Works off the stream until told to stop, or until Redis fails. A job that was begun is finished.
async fn drain(app: &Arc<App>, stream: &str, consumer: &str, stop: &watch::Receiver<bool>) -> Result<(), Away> {
    let mut redis = app.redis.dedicated().await.map_err(Away::from)?;
    while !*stop.borrow() {
        let entries = read(&mut redis, stream, consumer, Some(1_000)).await.map_err(Away::from)?;
        for (entry, id) in entries {
            let app = app.clone();
            // A task of its own: a panic ends the job, not the worker.
            let done = tokio::task::spawn_local(async move { work(&app, id).await }).await;
            match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, id, "a job could not be claimed or noted; it comes again"),
                Err(panic) => tracing::error!(%panic, id, "a job panicked; it comes again when its lease ends"),
            }
            acknowledge(&mut redis, stream, &entry).await.map_err(Away::from)?;
        }
    }
    Ok(())
}
