//! A whole application per test: a clone of a migrated template database, its own Redis prefix, a fake WeChat, a clock that
//! stands still, and a real HTTP server on a free port.

pub mod database;
pub mod proxy;
mod request;

use std::{net::TcpListener, sync::Arc};

use actix_web::{dev::ServerHandle, web::Data};
use chrono::{DateTime, TimeDelta, Utc};
use lianxin::{app::App, clock::Clock, config::Config, http::serve, jobs, messages, sample, wechat::fake};
use serde_json::json;
use uuid::Uuid;

pub use request::{Call, Reply};

/// Monday, 08:00 in China: an ordinary working day; the sample county opens at 08:00 too.
pub const NOW: &str = "2026-11-23T08:00:00+08:00";

pub fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

/// An ID number of somebody born on a day; the sequence tells several apart.
pub fn id_number(born: &str, sequence: u32) -> String {
    let digits = format!("350425{}{sequence:03}", born.replace('-', ""));
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{digits}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

/// Somebody logged in.
#[derive(Clone, Debug)]
pub struct Session {
    pub access: String,
    pub refresh: String,
    pub subject: Uuid,
}

pub struct TestApp {
    pub app: Data<App>,
    pub url: String,
    pub http: reqwest::Client,
    pub wechat: Arc<fake::Wechat>,
    pub database: database::Database,
    /// Where attachments lie; goes with the test.
    pub files: tempfile::TempDir,
    server: ServerHandle,
}

/// What a test may change before the application is built.
pub struct Setup {
    pub config: Config,
    pub database: database::Database,
}

impl TestApp {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let database = database::Database::clone_of_template().await;
        let wechat = Arc::<fake::Wechat>::default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut config = Config::development();
        config.database_url = Some(database.service_url.clone().into());
        config.redis_url = Some(std::env::var("REDIS_URL").expect("make test sets it").into());
        config.redis_prefix = format!("test-{}", Uuid::now_v7().simple());
        config.database_pool = 8;
        config.http_workers = 2;
        config.log = "error".into();
        let files = tempfile::tempdir().expect("a folder");
        config.lianxin_files = Some(files.path().to_owned());
        config.wechat_url = format!("http://{}", listener.local_addr().expect("bound"));
        lianxin::telemetry::start_metrics();
        actix_web::rt::spawn(fake::server(listener, wechat.clone()).expect("serves"));

        let fake = config.wechat_url.clone();
        let mut setup = Setup { config, database };
        change(&mut setup);
        let app = Data::new(App::new(setup.config, Clock::manual(at(NOW))).expect("a valid configuration"));
        // Behind the application's back: the way to the database may be one that is shut.
        let secret = app.keys.seal(1, messages::sms::SECRET_PLACE, fake::SMS_SECRET.as_bytes());
        let secret = hex::encode(secret);
        setup.database.run(&format!(
            "UPDATE counties SET sms_url = '{fake}/sms', sms_secret = decode('{secret}', 'hex') WHERE id = 1"
        ));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let server = serve::server(app.clone(), listener).expect("serves");
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { app, url, http, wechat, database: setup.database, files, server: handle }
    }

    /// Runs every job that is due.
    pub async fn run_jobs(&self) -> usize {
        jobs::run_due(&self.app.clone().into_inner()).await.expect("PostgreSQL and Redis are there")
    }

    /// Runs the passes over what a minute matters for, and the jobs that follow.
    pub async fn tick(&self) -> usize {
        jobs::tick(&self.app.clone().into_inner()).await.expect("PostgreSQL is there");
        self.run_jobs().await
    }

    pub fn set_time(&self, text: &str) {
        self.app.clock.set(at(text));
    }

    pub fn pass(&self, time: TimeDelta) {
        self.app.clock.set(self.app.clock.now() + time);
    }

    pub async fn staff(&self, username: &str) -> Session {
        let (_, _, role, _) = sample::ACCOUNTS.iter().find(|(name, ..)| *name == username).expect("a demo account");
        let body = json!({"county": "350425", "username": username, "password": sample::PASSWORD, "role": role});
        self.post("/v1/sessions/staff").json(body).send().await.session()
    }

    pub async fn resident(&self, who: &str) -> Session {
        let code = format!("login.{who}.{}", Uuid::now_v7());
        let body = json!({"county": "350425", "code": code});
        self.post("/v1/sessions/wechat").json(body).send().await.session()
    }

    /// Lets one WeChat message about a booking through.
    pub async fn grant(&self, resident: &Session) {
        let body = json!({"template_ids": ["fake-template-booked"]});
        self.post("/v1/messages/grants").by(resident).json(body).send().await.created();
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(reqwest::Method::GET, path)
    }

    /// With a new idempotency key.
    pub fn post(&self, path: &str) -> Call<'_> {
        self.call(reqwest::Method::POST, path).key(&Uuid::now_v7().to_string())
    }

    pub fn put(&self, path: &str) -> Call<'_> {
        self.call(reqwest::Method::PUT, path)
    }

    pub fn call(&self, method: reqwest::Method, path: &str) -> Call<'_> {
        Call::new(&self.http, method, &format!("{}{path}", self.url), path)
    }

    /// The id of a unit by name.
    pub async fn unit(&self, name: &str) -> Uuid {
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/v1/units?county=350425&limit=200{cursor}")).send().await.ok();
            if let Some(unit) = page["items"].as_array().expect("items").iter().find(|unit| unit["name"] == name) {
                return unit["id"].as_str().expect("an id").parse().expect("a UUID");
            }
            cursor = format!("&cursor={}", page["next_cursor"].as_str().expect("the unit exists"));
        }
    }

    /// The id of the first matter of the sample catalogue.
    pub async fn matter(&self) -> Uuid {
        let page = self.get("/v1/matters?county=350425&limit=1").send().await.ok();
        page["items"][0]["id"].as_str().expect("an id").parse().expect("a UUID")
    }

    /// The id of a matter by name.
    pub async fn matter_named(&self, name: &str) -> Uuid {
        self.named("/v1/matters?county=350425&limit=200", name).await
    }

    /// The id of a department by name.
    pub async fn department(&self, name: &str) -> Uuid {
        self.named("/v1/departments?county=350425&limit=200", name).await
    }

    async fn named(&self, list: &str, name: &str) -> Uuid {
        let page = self.get(list).send().await.ok();
        let found = page["items"].as_array().expect("items").iter().find(|item| item["name"] == name);
        found.expect(name)["id"].as_str().expect("an id").parse().expect("a UUID")
    }

    /// The body of a booking in 均溪镇.
    pub async fn booking(&self, starts_at: &str) -> serde_json::Value {
        json!({"unit_id": self.unit("均溪镇").await, "matter_id": self.matter().await, "starts_at": starts_at})
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // Not awaited: dropping the database cuts its connections.
        drop(self.server.stop(false));
        if !std::thread::panicking() {
            let due = self.database.count("SELECT count(*) AS n FROM outbox WHERE dead_at IS NULL");
            assert_eq!(due, 0, "{due} jobs were forgotten: run_jobs()");
        }
    }
}
