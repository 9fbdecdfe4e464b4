//! The HTTP server: middleware in order, the routes, the document and its page.

use std::net::TcpListener;

use actix_cors::Cors;
use actix_web::{
    App as ActixApp, HttpResponse, HttpServer,
    dev::Server,
    http::{Method, header},
    middleware::{Compress, from_fn},
    web::{self, Data},
};
use bytes::Bytes;
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::{Config as PageConfig, SwaggerUi};

use crate::{app::App, config::Config, http};

/// The OpenAPI document as it is served, and its paths for answering 405.
pub struct Document {
    bytes: Bytes,
    paths: Vec<(String, Vec<&'static str>)>,
}

impl Document {
    /// The document as a value, generated from the handlers.
    pub fn openapi() -> utoipa::openapi::OpenApi {
        let (_, document) = ActixApp::new()
            .into_utoipa_app()
            .openapi(http::document::frame())
            .configure(http::routes)
            .split_for_parts();
        http::document::finish(document)
    }

    /// The document as it is committed and served.
    pub fn json() -> String {
        let mut text = Self::openapi().to_pretty_json().expect("the document serialises");
        text.push('\n');
        text
    }

    fn new() -> Self {
        let mut paths = Vec::new();
        for (path, item) in &Self::openapi().paths.paths {
            let methods = [
                ("GET", &item.get),
                ("POST", &item.post),
                ("PUT", &item.put),
                ("DELETE", &item.delete),
                ("HEAD", &item.head),
                ("PATCH", &item.patch),
                ("OPTIONS", &item.options),
            ];
            let methods = methods.into_iter().filter(|(_, operation)| operation.is_some()).map(|(name, _)| name);
            paths.push((path.clone(), methods.collect()));
        }
        Self { bytes: Self::json().into(), paths }
    }

    /// The methods under which a path is known.
    pub fn methods(&self, path: &str) -> Vec<&'static str> {
        let fits = |pattern: &str| {
            let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
            loop {
                match (pattern.next(), path.next()) {
                    (None, None) => return true,
                    (Some(a), Some(b)) if a == b || (a.starts_with('{') && !b.is_empty()) => {}
                    _ => return false,
                }
            }
        };
        let all = self.paths.iter().filter(|(pattern, _)| fits(pattern)).flat_map(|(_, methods)| methods);
        let mut all: Vec<_> = all.copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

async fn get_document(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "public, max-age=60"))
        .body(document.bytes.clone())
}

fn cors(config: &Config) -> Cors {
    // The last two are for tus.
    let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::PATCH];
    let cors = Cors::default().allowed_methods(methods).allow_any_header().max_age(3600).expose_headers([
        "ETag",
        "Location",
        "Retry-After",
        "X-Request-Id",
        "Idempotency-Replayed",
        "RateLimit",
        "RateLimit-Policy",
        "Repr-Digest",
        "Tus-Resumable",
        "Tus-Version",
        "Tus-Extension",
        "Tus-Max-Size",
        "Upload-Offset",
        "Upload-Length",
        "Upload-Metadata",
        "Upload-Expires",
    ]);
    match config.cors_origins.as_str() {
        "*" => cors.allow_any_origin(),
        origins => {
            let origins = origins.split(',').map(str::trim).filter(|origin| !origin.is_empty());
            origins.fold(cors, |cors, origin| cors.allowed_origin(origin))
        }
    }
}

/// Builds the server on a bound socket; the caller runs it. Stops gracefully: requests in flight get their answers.
pub fn server(app: Data<App>, listener: TcpListener) -> std::io::Result<Server> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = match app.config.http_workers {
        0 => cores,
        some => some,
    };
    // As many blocking threads as connections: no thread ever waits for a connection.
    let blocking = (app.config.connections() as usize).div_ceil(workers).max(1);
    let document = Data::new(Document::new());
    let server = HttpServer::new(move || {
        let page = SwaggerUi::new("/docs/{_:.*}").config(PageConfig::from("/openapi.json").validator_url("none"));
        let (service, _) = ActixApp::new()
            .into_utoipa_app()
            .app_data(app.clone())
            .app_data(document.clone())
            .configure(http::routes)
            .map(|service| {
                service
                    .route("/openapi.json", web::get().to(get_document))
                    .route("/docs", web::get().to(async || web::Redirect::to("/docs/")))
                    .service(page)
                    .default_service(web::to(http::no_route))
            })
            .split_for_parts();
        service
            .wrap(from_fn(http::caller::identify))
            .wrap(from_fn(http::resumable::speak_tus))
            .wrap(from_fn(http::way::small_stay_plain))
            .wrap(Compress::default())
            .wrap(cors(&app.config))
            .wrap(from_fn(http::way::way))
    });
    server
        .workers(workers)
        .worker_max_blocking_threads(blocking)
        .shutdown_timeout(20)
        .disable_signals()
        .listen(listener)
        .map(HttpServer::run)
}
