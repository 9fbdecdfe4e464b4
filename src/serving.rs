//! Commands that stay: the server, the worker, or everything in one process.

use std::{io::Write, net::TcpListener, sync::Arc, time::Duration};

use actix_web::{rt::System, web::Data};
use anyhow::{Context, Result, ensure};
use lianxin::{
    app::App,
    clock::Clock,
    config::Config,
    http::serve,
    jobs,
    launcher::{self, Purpose, Services},
    sample, sync, telemetry,
    wechat::fake,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::commands::migrate;

/// Private databases for whatever the configuration does not bring.
pub fn private_services(config: &mut Config, purpose: Purpose) -> Result<Option<Services>> {
    match (&config.database_url, &config.redis_url) {
        (Some(_), Some(_)) => return Ok(None),
        (None, None) => {}
        _ => anyhow::bail!("set both DATABASE_URL and REDIS_URL, or neither: without them development runs its own"),
    }
    ensure!(
        config.is_development(),
        "DATABASE_URL and REDIS_URL are not set. Production needs both; for development, `make run` starts its own"
    );
    let services = launcher::start(&config.lianxin_data, purpose)?;
    config.database_url = Some(services.service_url.clone().into());
    config.database_owner_url = Some(services.owner_url.clone().into());
    config.redis_url = Some(services.redis_url.clone().into());
    Ok(Some(services))
}

/// Everything in one process.
pub fn run(mut config: Config) -> Result<()> {
    // Before anything starts: a taken port is the commonest mistake.
    let listener = listen(&config)?;
    // On this thread, which lives to the end: the children die with the thread that started them.
    let services = private_services(&mut config, Purpose::Development)?;
    config.check()?;
    if config.database_owner_url.is_some() {
        migrate(&config, false)?;
    }
    let development = config.is_development();
    let wechat = if development && !std::env::var("WECHAT_URL").is_ok_and(|url| !url.is_empty()) {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        config.wechat_url = format!("http://{}", listener.local_addr()?);
        Some(listener)
    } else {
        None
    };
    let outcome = System::new().block_on(async {
        let app = Data::new(App::new(config, Clock::System)?);
        if let Some(listener) = wechat {
            actix_web::rt::spawn(fake::server(listener, Arc::default())?);
        }
        if development {
            sample::load(&app).await?;
            if app.config.fakes_wechat() {
                sample::use_fake_sms(&app, &app.config.wechat_url).await?;
            }
        }
        work(app, Some(listener), true).await
    });
    if let Some(mut services) = services {
        services.stop();
    }
    outcome
}

pub fn alone(config: Config, server: bool, worker: bool) -> Result<()> {
    let listener = if server { Some(listen(&config)?) } else { None };
    System::new().block_on(async { work(Data::new(App::new(config, Clock::System)?), listener, worker).await })
}

fn listen(config: &Config) -> Result<TcpListener> {
    let address = format!("{}:{}", config.bind, config.port);
    TcpListener::bind(&address)
        .with_context(|| format!("{address} cannot be used; choose another port, for example PORT=8081 make run"))
}

/// Serves and works until Ctrl-C or SIGTERM, then finishes what was begun.
async fn work(app: Data<App>, listener: Option<TcpListener>, worker: bool) -> Result<()> {
    telemetry::start_metrics();
    actix_web::rt::spawn(async {
        loop {
            telemetry::upkeep();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    check_database(&app).await?;
    let (stop, stopped) = watch::channel(false);
    let worker = worker.then(|| actix_web::rt::spawn(jobs::run(app.clone().into_inner(), stopped)));
    let server = match listener {
        Some(listener) => {
            welcome(&app, &listener.local_addr()?.to_string());
            let server = serve::server(app.clone(), listener)?;
            Some((server.handle(), actix_web::rt::spawn(server)))
        }
        None => None,
    };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping: requests and jobs that have begun are finished");
    app.boards.close();
    if let Some((handle, task)) = server {
        handle.stop(true).await;
        task.await??;
    }
    let _ = stop.send(true);
    if let Some(worker) = worker {
        worker.await?;
    }
    Ok(())
}

/// Refuses a connection that voids what the schema promises. A database that is away is no reason not to start.
async fn check_database(app: &App) -> Result<()> {
    let Ok(facts) = app.db.read("check", |conn| Ok(lianxin::db::check(conn)?)).await else {
        tracing::warn!("PostgreSQL is away; answers are 503 until it is back");
        return Ok(());
    };
    ensure!(
        !facts.may_delete_audit,
        "DATABASE_URL connects as a role that may delete from audit_log: use a member of lianxin_service, not the owner"
    );
    if !facts.english {
        tracing::warn!(
            "PostgreSQL's lc_messages is not English: deadlocks are answered instead of retried; set lc_messages = 'C'"
        );
    }
    // Where the feed stands now, before anybody reads it: what tells a copy that was put back from what was there before.
    let now = app.clock.now();
    app.db.write("mark_changes", move |conn| sync::keeping::mark(conn, now)).await?;
    Ok(())
}

/// What a newcomer needs to see, written at once: nobody may be reading any more, and that must not end the server.
fn welcome(app: &App, address: &str) {
    let mut words = format!("lianxin serves http://{address}  (documentation: http://{address}/docs/)\n");
    if app.config.is_development() {
        let (county, password) = (sample::COUNTY, sample::PASSWORD);
        words += &format!("\ndevelopment, sample county {county} (大田县); password of every account: {password}\n");
        for (username, name, role, _) in sample::ACCOUNTS {
            words += &format!("  {username:<14} {:<17} {name}\n", role.as_str());
        }
        words += &format!(
            "\nlog in as a member of staff:\n  curl -s http://{address}/v1/sessions/staff -H 'Content-Type: application/json' \\\n    \
             -d '{{\"county\":\"{county}\",\"username\":\"cadre\",\"password\":\"{password}\",\"role\":\"village_cadre\"}}'\n\
             log in as a resident (any name, any number; each code is good once, as WeChat's are):\n  \
             curl -s http://{address}/v1/sessions/wechat -H 'Content-Type: application/json' \\\n    \
             -d '{{\"county\":\"{county}\",\"code\":\"login.zhang.1\"}}'\n\
             the whole story, request by request: make demo\n\n"
        );
    }
    if app.config.fakes_wechat() {
        let fake = &app.config.wechat_url;
        words +=
            &format!("what the fake WeChat and its SMS gateway have sent: {fake}/fake/sent and {fake}/fake/sms\n\n");
    }
    let _ = std::io::stdout().write_all(words.as_bytes());
}
