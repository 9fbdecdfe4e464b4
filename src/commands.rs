//! What each command does.

use std::{
    io::BufRead,
    net::TcpListener,
    process::{Command, ExitCode},
    sync::Arc,
};

use actix_web::rt::System;
use anyhow::{Context, Result, ensure};
use diesel::connection::SimpleConnection;
use lianxin::{
    app::App,
    audit::{self, Actor, Audit},
    clock::{CST, Clock},
    config::Config,
    db::{changes, migrate},
    generator::{self, Made},
    http::serve::Document,
    launcher::Purpose,
    messages, sessions, staff, telemetry,
    units::{self, tenants},
    wechat::{self, fake},
};
use secrecy::ExposeSecret;

use crate::{
    Cli, County, Generate, Keys, Staff, imports, keepers,
    serving::{alone, private_services, run},
};

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
        Cli::Import(import) => in_app(config, async |app| imports::import(app, import).await)?,
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

pub fn migrate(config: &Config, down: bool) -> Result<()> {
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
    size.past_errands = order.past_errands.unwrap_or(size.past_errands);
    size.open_errands = order.open_errands.unwrap_or(size.open_errands);
    size.households = order.households.unwrap_or(size.households);
    size.visits = order.visits.unwrap_or(size.visits);
    size.past_orders = order.past_orders.unwrap_or(size.past_orders);
    size.open_orders = order.open_orders.unwrap_or(size.open_orders);
    size.volunteers = order.volunteers.unwrap_or(size.volunteers);
    size.ratings = order.ratings.unwrap_or(size.ratings);
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
