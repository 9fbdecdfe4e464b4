//! Logs (pretty or JSON), Prometheus metrics and the two probes.

use std::{io::IsTerminal, sync::OnceLock};

use actix_web::{HttpRequest, HttpResponse, get, http::header, web::Data};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use secrecy::ExposeSecret;
use serde::Serialize;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};
use utoipa::ToSchema;

use crate::{
    app::App,
    config::{Config, LogFormat},
    error::{Code, Result},
    http::caller::app,
};

/// Starts logging; a second call (tests) changes nothing.
pub fn start_logs(config: &Config) {
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let _ = match config.log_format {
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
        }
        LogFormat::Pretty => registry
            .with(fmt::layer().compact().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr))
            .try_init(),
    };
}

/// The process's recorder, installed once.
fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets(&[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
            .expect("there are buckets");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let _ = metrics::set_global_recorder(recorder);
        handle
    })
}

/// Starts metrics.
pub fn start_metrics() {
    recorder();
}

/// Folds recorded samples into their buckets; called every few seconds, or they would pile up.
pub fn upkeep() {
    recorder().run_upkeep();
}

/// The process runs
///
/// For a supervisor that restarts what hangs; says nothing about PostgreSQL or Redis.
#[utoipa::path(tag = "operations", security(()), responses((status = 200, description = "The process runs", body = String, content_type = "text/plain", example = "ok")))]
#[get("/livez")]
pub async fn get_liveness() -> &'static str {
    "ok"
}

/// Whether each dependency answers.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"ready": true, "postgres": true, "redis": true}))]
pub struct Readiness {
    /// Requests can be served: PostgreSQL answers.
    pub ready: bool,
    pub postgres: bool,
    /// Without Redis reads and bookings go on; logins and jobs wait.
    pub redis: bool,
}

/// Whether requests can be served
///
/// 200 while PostgreSQL answers, 503 otherwise. Redis is reported but does not decide: reads and bookings go on without it.
#[utoipa::path(tag = "operations", security(()), responses(
    (status = 200, description = "Ready", body = Readiness), (status = 503, description = "PostgreSQL is away", body = Readiness)))]
#[get("/readyz")]
pub async fn get_readiness(app: Data<App>) -> HttpResponse {
    use diesel::connection::SimpleConnection;
    let (postgres, redis) =
        tokio::join!(app.db.read("ready", |conn| Ok(conn.batch_execute("SELECT 1")?)), app.redis.ping());
    let readiness = Readiness { ready: postgres.is_ok(), postgres: postgres.is_ok(), redis: redis.is_ok() };
    let mut response = if readiness.ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(readiness)
}

/// Metrics for Prometheus
///
/// Text format 0.0.4. In production it needs `Authorization: Bearer <METRICS_TOKEN>` and does not exist without that setting.
#[utoipa::path(tag = "operations", security((), ("metrics" = [])), responses(
    (status = 200, description = "The metrics", body = String, content_type = "text/plain", example = "lianxin_http_seconds_count 1"),
    (status = 404, description = "No token is configured, or another was sent", body = crate::error::Problem, content_type = "application/problem+json")))]
#[get("/metrics")]
pub async fn get_metrics(request: HttpRequest) -> Result<HttpResponse> {
    let config = &app(&request).config;
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let allowed = match &config.metrics_token {
        Some(token) => sent.is_some_and(|sent| {
            let (sent, token) = (sent.trim_start_matches("Bearer "), token.expose_secret());
            crate::crypto::digest(sent.as_bytes()) == crate::crypto::digest(token.as_bytes())
        }),
        None => config.is_development(),
    };
    if !allowed {
        return Err(Code::RouteNotFound.into());
    }
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(recorder().render()))
}
