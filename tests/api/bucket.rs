//! Attachments in a bucket: a small S3 stands in, which knows what the file store asks of one.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::Server,
    http::{Method, StatusCode, header},
    web::{self, Bytes, Data},
};
use chrono::TimeDelta;
use lianxin::jobs;

use crate::{
    attachments::{FORM, PDF, form, id, link},
    harness::TestApp,
    uploads::{create, patch},
};

/// The key of an object and its bytes.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Bytes>>,
    away: AtomicBool,
}

impl Bucket {
    fn count(&self) -> usize {
        self.objects.lock().expect("whole").len()
    }
}

fn listed(objects: &BTreeMap<String, Bytes>, query: &str) -> HttpResponse {
    let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).expect("a prefix").replace("%2F", "/");
    let mut xml = String::from("<ListBucketResult>");
    for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        let size = bytes.len();
        xml += &format!(
            "<Contents><Key>{key}</Key><LastModified>2026-11-23T00:00:00.000Z</LastModified><Size>{size}</Size></Contents>"
        );
    }
    HttpResponse::Ok().content_type("application/xml").body(xml + "</ListBucketResult>")
}

fn read(bytes: Option<&Bytes>, range: Option<&str>) -> HttpResponse {
    let Some(bytes) = bytes else { return HttpResponse::NotFound().finish() };
    let size = bytes.len();
    let Some((from, to)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return HttpResponse::Ok().body(bytes.clone());
    };
    let (from, to): (usize, usize) = (from.parse().expect("a start"), to.parse().expect("an end"));
    let range = (header::CONTENT_RANGE, format!("bytes {from}-{to}/{size}"));
    HttpResponse::PartialContent().insert_header(range).body(bytes.slice(from..=to))
}

async fn serve(request: HttpRequest, body: Bytes, bucket: Data<Bucket>) -> HttpResponse {
    let signed = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=key/") {
        return HttpResponse::Forbidden().finish();
    }
    if bucket.away.load(Ordering::Relaxed) {
        return HttpResponse::new(StatusCode::SERVICE_UNAVAILABLE);
    }
    let mut objects = bucket.objects.lock().expect("whole");
    let key = request.path().strip_prefix("/files").expect("the bucket").trim_start_matches('/').to_owned();
    match *request.method() {
        Method::PUT => {
            assert!(objects.insert(key, body).is_none(), "nothing is overwritten");
            HttpResponse::Ok().insert_header((header::ETAG, "\"x\"")).finish()
        }
        Method::DELETE => {
            objects.remove(&key);
            HttpResponse::NoContent().finish()
        }
        _ if key.is_empty() => listed(&objects, request.query_string()),
        _ => read(objects.get(&key), request.headers().get("range").and_then(|range| range.to_str().ok())),
    }
}

fn server(listener: TcpListener, bucket: &Arc<Bucket>) -> Server {
    let bucket = Data::from(bucket.clone());
    let app = move || {
        let bytes = web::PayloadConfig::new(8 * 1024 * 1024);
        App::new().app_data(bytes).app_data(bucket.clone()).default_service(web::to(serve))
    };
    HttpServer::new(app).workers(1).disable_signals().listen(listener).expect("listens").run()
}

async fn with_bucket() -> (TestApp, Arc<Bucket>) {
    let bucket = Arc::<Bucket>::default();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    actix_web::rt::spawn(server(listener, &bucket));
    let t = TestApp::with(|setup| {
        let config = &mut setup.config;
        (config.lianxin_files, config.s3_bucket, config.s3_endpoint) = (None, Some("files".into()), Some(endpoint));
        (config.s3_access_key, config.s3_secret_key) = (Some("key".into()), Some("secret".into()));
    })
    .await;
    (t, bucket)
}

async fn sweep(t: &TestApp) {
    jobs::sweep(&t.app).await.expect("swept");
}

#[actix_web::test]
async fn files_come_go_and_leave_nothing_in_a_bucket() {
    let (t, bucket) = with_bucket().await;
    let chen = t.resident("chen").await;
    let upload = t.post("/v1/attachments").by(&chen).bytes(FORM, form("a.pdf", "application/pdf", PDF));
    let whole = id(&upload.send().await.created());
    let url = link(&t, &chen, whole).await;
    assert_eq!(t.get(&url).send().await.is(200).bytes, PDF);
    assert_eq!(t.get(&url).header("range", "bytes=1-3").send().await.is(206).bytes, b"PDF");

    let pieces = create(&t, &chen, PDF.len()).await;
    patch(&t, &chen, &pieces, 0, &PDF[..9]).send().await.is(204);
    patch(&t, &chen, &pieces, 9, &PDF[9..]).send().await.is(204);
    assert_eq!(bucket.count(), 3);
    t.run_jobs().await;
    assert_eq!(bucket.count(), 2, "a file each");
    let url = link(&t, &chen, pieces.rsplit('/').next().expect("an id").parse().expect("a UUID")).await;
    assert_eq!(t.get(&url).send().await.is(200).bytes, PDF);

    t.pass(TimeDelta::hours(24));
    sweep(&t).await;
    assert_eq!(bucket.count(), 0);
}

#[actix_web::test]
async fn a_bucket_that_is_away_is_503_and_loses_nothing() {
    let (t, bucket) = with_bucket().await;
    let chen = t.resident("chen").await;
    let upload = || t.post("/v1/attachments").by(&chen).key("k").bytes(FORM, form("a.pdf", "application/pdf", PDF));
    let path = create(&t, &chen, PDF.len()).await;
    bucket.away.store(true, Ordering::Relaxed);
    upload().send().await.problem(503, "unavailable");
    patch(&t, &chen, &path, 0, PDF).send().await.problem(503, "unavailable");
    bucket.away.store(false, Ordering::Relaxed);
    upload().send().await.created();
    patch(&t, &chen, &path, 0, PDF).send().await.is(204);
    t.run_jobs().await;
    // What the first attempt left is gone a day later.
    t.pass(TimeDelta::hours(24));
    sweep(&t).await;
    t.pass(TimeDelta::hours(1));
    sweep(&t).await;
    assert_eq!((bucket.count(), t.database.count("SELECT count(*) AS n FROM attachments")), (0, 0));
}
