//! What each command does.

use std::{
    io::{BufRead, Write},
    net::TcpListener,
    process::{Command, ExitCode},
    sync::Arc,
    time::Duration,
};

use actix_web::{rt::System, web::Data};
use anyhow::{Context, Result, ensure};
use diesel::connection::SimpleConnection;
use lianxin::{
    app::App,
    audit::{self, Actor, Audit},
    calendar,
    clock::{CST, Clock},
    config::Config,
    db::{changes, migrate},
    generator::{self, Made},
    http::serve::{self, Document},
    jobs,
    launcher::{self, Purpose, Services},
    messages, sample, sessions, staff, telemetry,
    units::{self, tenants},
    wechat::{self, fake},
};
use secrecy::ExposeSecret;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{Cli, County, Generate, Import, Keys, Staff, keepers};

pub fn execute(cli: Cli) -> Result<ExitCode> {
    if let Cli::Openapi = cli {
        print!("{}", Document::json());
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load()?;
    telemetry::start_logs(&config);
    match cli {
        Cli::Run => run(config)?,
        Cli::Serve => alone(config, true, false)?,
        Cli::Worker => alone(config, false, true)?,
        Cli::Migrate { down } => migrate(&config, down)?,
        Cli::WithServices { command } => return with_services(config, &command),
        Cli::FakeWechat { port } => fake_wechat(&config, port)?,
        Cli::Openapi => {}
        Cli::Import(import) => in_app(config, async |app| self::import(app, import).await)?,
        Cli::Generate(order) => generate(config, order)?,
        Cli::Staff(staff) => in_app(config, async |app| self::staff(app, staff).await)?,
        Cli::County(county) => in_app(config, async |app| self::county(app, county).await)?,
        Cli::Keys(Keys::Rotate) => in_app(config, async |app| {
            println!("key {} signs in a minute", sessions::rotate(app).await?);
            Ok(())
        })?,
        Cli::Keys(Keys::Reseal { batch }) => return in_app(config, async |app| keepers::reseal(app, batch).await),
        Cli::Keys(Keys::Status) => in_app(config, async |app| keepers::key_status(app).await)?,
        Cli::Audit(command) => return in_app(config, async |app| keepers::audit(app, command).await),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs something short against the configured database.
fn in_app<T>(config: Config, work: impl AsyncFnOnce(&Arc<App>) -> Result<T>) -> Result<T> {
    System::new().block_on(async { work(&Arc::new(App::new(config, Clock::System)?)).await })
}

fn migrate(config: &Config, down: bool) -> Result<()> {
    let url = config.database_owner_url.as_ref().context("DATABASE_OWNER_URL is not set: the owner's connection")?;
    let mut conn = migrate::connect(url.expose_secret())?;
    if down {
        migrate::down(&mut conn)?;
        println!("every migration was taken back");
        return Ok(());
    }
    for name in migrate::up(&mut conn)? {
        println!("migrated {name}");
    }
    Ok(())
}

/// Private databases for whatever the configuration does not bring.
fn private_services(config: &mut Config, purpose: Purpose) -> Result<Option<Services>> {
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
fn run(mut config: Config) -> Result<()> {
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

fn alone(config: Config, server: bool, worker: bool) -> Result<()> {
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

fn with_services(mut config: Config, command: &[String]) -> Result<ExitCode> {
    let services = private_services(&mut config, Purpose::Tests)?;
    let text = |secret: &Option<secrecy::SecretString>| {
        secret.as_ref().map(|url| url.expose_secret().to_owned()).unwrap_or_default()
    };
    let (program, args) = command.split_first().context("which command?")?;
    let status = Command::new(program)
        .args(args)
        .env("DATABASE_URL", text(&config.database_url))
        .env("DATABASE_OWNER_URL", text(&config.database_owner_url))
        .env("REDIS_URL", text(&config.redis_url))
        .status()
        .with_context(|| format!("running {program}"))?;
    drop(services);
    Ok(ExitCode::from(status.code().unwrap_or(1) as u8))
}

/// Fills a county; in development with the databases of `make run`, which must not be running.
fn generate(mut config: Config, order: Generate) -> Result<()> {
    ensure!(
        config.is_development() || order.into_production,
        "generated people are for development (LIANXIN_MODE=development); --into-production if it must be"
    );
    let services = private_services(&mut config, Purpose::Development)?;
    config.check()?;
    let owner = config.database_owner_url.clone();
    if owner.is_some() {
        migrate(&config, false)?;
    }
    let mut size = order.size;
    size.past_appointments = order.past_appointments.unwrap_or(size.past_appointments);
    let order = generator::Order { county: order.county, size, seed: order.seed };
    let made = in_app(config, async |app| generator::run(app, &order).await)?;
    match made {
        Made::Before => println!("{} was generated before; a new one needs a new database", order.county),
        Made::Rows(rows) => {
            // Plans that know of the new rows; what the owner may, and the service may not.
            if let Some(owner) = owner {
                migrate::connect(owner.expose_secret())?.batch_execute("VACUUM ANALYZE")?;
            }
            let rows: Vec<_> = rows.iter().map(|(what, count)| format!("{count} {what}")).collect();
            println!("generated {} in {} (seed {})", rows.join(", "), order.county, order.seed);
        }
    }
    drop(services);
    Ok(())
}

fn fake_wechat(config: &Config, port: u16) -> Result<()> {
    ensure!(config.is_development(), "the fake WeChat is for development; it would let anybody in as anybody");
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("fake WeChat on http://{}", listener.local_addr()?);
    System::new().block_on(async { Ok(fake::server(listener, Arc::default())?.await?) })
}

async fn import(app: &App, import: Import) -> Result<()> {
    let (file, imported) = match import {
        Import::Divisions { file, source, vintage } => {
            let content = std::fs::read(&file.file).with_context(|| file.file.display().to_string())?;
            let imported = units::import::import(app, &content, &source, vintage.as_deref(), file.dry_run).await?;
            (file, imported)
        }
        Import::Calendar { file, allow_removal } => {
            let content = std::fs::read(&file.file).with_context(|| file.file.display().to_string())?;
            let imported = calendar::import::import(app, &content, file.dry_run, allow_removal).await?;
            (file, imported)
        }
    };
    let did = if file.dry_run { "would import" } else { "imported" };
    println!("{did} {}: {imported}", file.file.display());
    Ok(())
}

/// A secret from the environment or the first line of the input; never from the arguments, which everybody can list.
fn secret(variable: &str) -> Result<String> {
    if let Ok(secret) = std::env::var(variable) {
        return Ok(secret);
    }
    eprintln!("{variable} is not set; reading the first line of the input:");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn staff(app: &App, command: Staff) -> Result<()> {
    match command {
        Staff::Create { county, username, name, role, unit } => {
            let password = secret("LIANXIN_PASSWORD")?;
            let new = staff::NewStaff { county, username, display_name: name, password, role, unit };
            println!("created {}", staff::create(app, new).await?);
        }
        Staff::ResetPassword { county, username } => {
            println!("one-time password of {username}: {}", staff::reset_password(app, &county, &username).await?);
        }
        Staff::Dismiss { county, username } => {
            staff::dismiss(app, &county, &username).await?;
            println!("dismissed {username}");
        }
    }
    Ok(())
}

async fn county(app: &App, command: County) -> Result<()> {
    match command {
        County::Wechat { county, appid, booked_template } => {
            set_wechat(app, &county, appid, booked_template).await?;
            println!("set");
        }
        County::Create { key, name, code, source } => {
            tenants::create(app, tenants::NewCounty { key: key.clone(), name, code, source }).await?;
            println!("created {key}; next: import divisions, staff create, county wechat");
        }
        County::List => {
            for county in tenants::list(app).await? {
                let since = county.suspended_at.map(|at| format!(" since {}", at.with_timezone(&CST).to_rfc3339()));
                let because = county.suspended_because.map(|words| format!(": {words}"));
                let more = format!("{}{}", since.unwrap_or_default(), because.unwrap_or_default());
                println!("{}\t{}\t{}{more}", county.key, county.name, county.state.as_str());
            }
        }
        County::Suspend { county, reason } => {
            tenants::suspend(app, &county, &reason).await?;
            println!("suspended {county}");
        }
        County::Sms { county, url } => {
            set_sms(app, &county, url).await?;
            println!("set");
        }
        County::Resume { county } => {
            tenants::resume(app, &county).await?;
            println!("resumed {county}");
        }
    }
    Ok(())
}

async fn set_wechat(app: &App, key: &str, appid: String, booked_template: Option<String>) -> Result<()> {
    let secret = secret("LIANXIN_WECHAT_SECRET")?;
    ensure!(!secret.is_empty(), "the secret is empty");
    // Also of a suspended county.
    let county = app.counties.find(app, key).await?.with_context(|| format!("there is no county {key}"))?.id;
    let (changed, now) = (tenants::changed(county, key), app.clock.now());
    let entry = Audit::new("update", "county", changed.entity_id).fields(vec!["wechat_appid", "wechat_secret"]);
    let sealed = app.keys.seal(county, wechat::SECRET_PLACE, secret.as_bytes());
    let set = app.db.write("set_wechat", move |conn| {
        units::store::set_wechat(conn, county, &appid, &sealed)?;
        if let Some(template) = &booked_template {
            for kind in [messages::Kind::AppointmentBooked, messages::Kind::ProxyBooked] {
                messages::set_template(conn, county, kind, template, now)?;
            }
        }
        audit::record(conn, Actor::operator(county), now, &entry)?;
        changes::record(conn, changed.clone(), now)?;
        Ok(())
    });
    Ok(set.await?)
}

async fn set_sms(app: &App, key: &str, url: String) -> Result<()> {
    let development = app.config.is_development();
    ensure!(
        messages::sms::fits(&url, development),
        "--url must be https://… without user and password: it receives phone numbers"
    );
    let secret = secret("LIANXIN_SMS_SECRET")?;
    ensure!(!secret.is_empty(), "the secret is empty");
    let county = app.counties.find(app, key).await?.with_context(|| format!("there is no county {key}"))?.id;
    let (changed, now) = (tenants::changed(county, key), app.clock.now());
    let entry = Audit::new("update", "county", changed.entity_id).fields(vec!["sms_url", "sms_secret"]);
    let sealed = app.keys.seal(county, messages::sms::SECRET_PLACE, secret.as_bytes());
    let set = app.db.write("set_sms", move |conn| {
        units::store::set_sms(conn, county, &url, &sealed)?;
        audit::record(conn, Actor::operator(county), now, &entry)?;
        changes::record(conn, changed.clone(), now)?;
        Ok(())
    });
    Ok(set.await?)
}
