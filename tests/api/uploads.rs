//! Resumable uploads by tus 1.0.0: the good way, cuts, wrong offsets, two at once, other bytes, giving up.

use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::TimeDelta;
use lianxin::{crypto, jobs};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use crate::{
    attachments::{PDF, link, photo, stored},
    harness::{Call, Reply, Session, TestApp},
};

const BYTES: &str = "application/offset+octet-stream";

fn tus<'a>(t: &'a TestApp, by: &Session, method: Method, path: &str) -> Call<'a> {
    t.call(method, path).by(by).header("tus-resumable", "1.0.0")
}

pub async fn create(t: &TestApp, by: &Session, length: usize) -> String {
    let metadata = format!("filename {},filetype YXBwbGljYXRpb24vcGRm", BASE64_STANDARD.encode("低保申请.pdf"));
    let call = tus(t, by, Method::POST, "/v1/uploads").header("upload-length", &length.to_string());
    let reply = call.header("upload-metadata", &metadata).send().await.is(201);
    assert_eq!(
        (reply.header("tus-resumable"), reply.header("upload-expires")),
        ("1.0.0", "Tue, 24 Nov 2026 00:00:00 GMT")
    );
    reply.header("location").to_owned()
}

pub fn patch<'a>(t: &'a TestApp, by: &Session, path: &str, offset: usize, bytes: &[u8]) -> Call<'a> {
    let call = tus(t, by, Method::PATCH, path).header("upload-offset", &offset.to_string());
    call.bytes(BYTES, bytes.to_vec())
}

async fn offset(t: &TestApp, by: &Session, path: &str) -> usize {
    let reply = tus(t, by, Method::HEAD, path).send().await.is(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    reply.header("upload-offset").parse().expect("a number")
}

async fn look(t: &TestApp, by: &Session, path: &str) -> Value {
    t.get(&path.replace("uploads", "attachments")).by(by).send().await.ok()
}

fn id(path: &str) -> Uuid {
    path.rsplit('/').next().expect("an id").parse().expect("a UUID")
}

/// A document of some size in which no two places are the same.
fn document(size: usize) -> Vec<u8> {
    let counted = (0..size as u32 / 4 + 1).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes());
    PDF.iter().copied().chain(counted).take(size).collect()
}

#[actix_web::test]
async fn in_pieces_by_patch_and_by_override() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let can = t.call(Method::OPTIONS, "/v1/uploads").send().await.is(204);
    assert_eq!((can.header("tus-version"), can.header("tus-max-size")), ("1.0.0", "104857600"));
    assert!(can.header("tus-extension").contains("creation-with-upload"));
    let file = document(1_500_000);
    let path = create(&t, &chen, file.len()).await;
    assert_eq!(offset(&t, &chen, &path).await, 0);
    let reply = patch(&t, &chen, &path, 0, &file[..700_000]).send().await.is(204);
    assert_eq!((reply.header("upload-offset"), reply.header("tus-resumable")), ("700000", "1.0.0"));
    assert_eq!(look(&t, &chen, &path).await["state"], "uploading");
    let overridden = t.call(Method::POST, &path).by(&chen).header("tus-resumable", "1.0.0");
    let overridden = overridden.header("x-http-method-override", "PATCH").header("upload-offset", "700000");
    overridden.bytes(BYTES, file[700_000..].to_vec()).send().await.is(204);
    assert_eq!(offset(&t, &chen, &path).await, file.len());
    let head = tus(&t, &chen, Method::HEAD, &path).send().await;
    assert!(head.header("upload-metadata").ends_with("YXBwbGljYXRpb24vcGRm"));
    assert_eq!(look(&t, &chen, &path).await["state"], "processing");
    t.post(&format!("/v1/attachments/{}/link", id(&path))).by(&chen).send().await.problem(409, "attachment_not_ready");
    t.run_jobs().await;
    let ready = look(&t, &chen, &path).await;
    assert_eq!(
        (&ready["state"], &ready["name"], &ready["bytes"]),
        (&json!("ready"), &json!("低保申请.pdf"), &json!(file.len()))
    );
    assert_eq!(ready["sha256"], hex::encode(crypto::digest(&file)));
    let url = link(&t, &chen, id(&path)).await;
    assert!(t.get(&url).send().await.is(200).bytes == file);
    assert_eq!((stored(&t), t.database.count("SELECT count(*) AS n FROM attachment_pieces")), (1, 0));
    // The answer to the last byte was lost: it is asked again.
    patch(&t, &chen, &path, file.len(), b"").send().await.is(204);
    patch(&t, &chen, &path, 5, b"x").send().await.problem(409, "upload_offset");
}

#[actix_web::test]
async fn created_with_its_first_bytes() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let photo = photo();
    let call = tus(&t, &chen, Method::POST, "/v1/uploads").header("upload-length", &photo.len().to_string());
    let reply = call.bytes(BYTES, photo.clone()).send().await.is(201);
    assert_eq!(reply.header("upload-offset"), photo.len().to_string());
    let path = reply.header("location").to_owned();
    t.run_jobs().await;
    let view = look(&t, &chen, &path).await;
    assert_eq!(
        (&view["state"], &view["media_type"], &view["height"]),
        (&json!("ready"), &json!("image/jpeg"), &json!(64))
    );
}

/// Sends the head and a part of the body, says that nothing follows, and hangs up once the server has, which has read it all then.
async fn cut(t: &TestApp, by: &Session, path: &str, length: usize, sent: &[u8]) {
    let address = t.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: {BYTES}\r\nContent-Length: {length}\r\n\r\n",
        by.access
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(sent).await.expect("sent");
    stream.shutdown().await.expect("shut");
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[actix_web::test]
async fn what_arrived_before_a_cut_counts() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let file = document(2_000_000);
    let path = create(&t, &chen, file.len()).await;
    cut(&t, &chen, &path, file.len(), &file[..1_234_567]).await;
    let got = offset(&t, &chen, &path).await;
    assert_eq!(got, 1_234_567, "to the byte");
    patch(&t, &chen, &path, got, &file[got..]).send().await.is(204);
    t.run_jobs().await;
    assert_eq!(look(&t, &chen, &path).await["sha256"], hex::encode(crypto::digest(&file)));
}

#[actix_web::test]
async fn the_newest_writer_goes_on_and_bytes_are_never_mixed() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let file = document(1_200_000);
    let path = create(&t, &chen, file.len()).await;
    let send = |offset: usize| patch(&t, &chen, &path, offset, &file[offset..]).send();
    let all: Vec<Reply> = futures_util::future::join_all((0..4).map(|_| send(0))).await;
    assert!(all.iter().all(|reply| matches!(reply.status, 204 | 409 | 423)), "{all:?}");
    let at = offset(&t, &chen, &path).await;
    if at < file.len() {
        send(at).await.is(204);
    }
    t.run_jobs().await;
    assert_eq!(look(&t, &chen, &path).await["sha256"], hex::encode(crypto::digest(&file)));
    sweep(&t).await;
    assert_eq!(stored(&t), 1, "also what the others left");
}

async fn sweep(t: &TestApp) {
    jobs::sweep(&t.app).await.expect("swept");
}

#[actix_web::test]
async fn every_fault_has_its_status() {
    let t = TestApp::new().await;
    let (chen, lin) = (t.resident("chen").await, t.resident("lin").await);
    let create_with = |name: &'static str, value: &str| tus(&t, &chen, Method::POST, "/v1/uploads").header(name, value);
    let old =
        t.call(Method::POST, "/v1/uploads").by(&chen).header("tus-resumable", "0.2.2").header("upload-length", "9");
    let old = old.send().await.problem(412, "tus_version");
    assert_eq!((old.header("tus-version"), old.header("tus-resumable")), ("1.0.0", "1.0.0"));
    create_with("upload-defer-length", "1").send().await.problem(400, "malformed_header");
    create_with("upload-length", "0").send().await.problem(400, "malformed_header");
    let large = create_with("upload-length", "20971521").send().await.problem(413, "body_too_large");
    assert_eq!(large.header("tus-max-size"), "20971520");
    create_with("upload-length", "9")
        .header("upload-metadata", "filename ?")
        .send()
        .await
        .problem(400, "malformed_header");

    let path = create(&t, &chen, 100).await;
    patch(&t, &chen, &path, 7, b"abc").send().await.problem(409, "upload_offset");
    let json = tus(&t, &chen, Method::PATCH, &path).header("upload-offset", "0").json(json!({}));
    json.send().await.problem(415, "upload_media_type");
    tus(&t, &chen, Method::PATCH, &path).bytes(BYTES, "abc").send().await.problem(400, "malformed_header");
    let long = create_with("upload-length", "9").bytes(BYTES, vec![7; 10]);
    long.send().await.problem(413, "body_too_large");
    patch(&t, &chen, &path, 0, &[7; 101]).send().await.problem(413, "body_too_large");
    patch(&t, &lin, &path, 0, b"abc").send().await.problem(404, "not_found");
    tus(&t, &lin, Method::HEAD, &path).send().await.is(404);
    tus(&t, &lin, Method::DELETE, &path).send().await.problem(404, "not_found");
    let wrong = patch(&t, &chen, &path, 0, b"abc").header("upload-checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=");
    wrong.send().await.problem(460, "checksum_mismatch");
    patch(&t, &chen, &path, 0, b"abc")
        .header("upload-checksum", "crc32 AAAA")
        .send()
        .await
        .problem(400, "malformed_header");
    assert_eq!(offset(&t, &chen, &path).await, 0, "nothing of these counts");
    // SHA-1 of "abc", FIPS 180-4.
    let right = patch(&t, &chen, &path, 0, b"abc").header("upload-checksum", "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
    assert_eq!(right.send().await.is(204).header("upload-offset"), "3");

    t.pass(TimeDelta::hours(24));
    let chen = t.resident("chen").await;
    patch(&t, &chen, &path, 3, b"abc").send().await.problem(410, "upload_expired");
    tus(&t, &chen, Method::HEAD, &path).send().await.is(410);
    sweep(&t).await;
    tus(&t, &chen, Method::HEAD, &path).send().await.is(404);
    assert_eq!(stored(&t), 0);
}

#[actix_web::test]
async fn content_that_may_not_be_attached_is_refused_with_a_reason() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let photo = photo();
    let path = create(&t, &chen, photo.len()).await;
    // Announced as a PDF.
    patch(&t, &chen, &path, 0, &photo).send().await.is(204);
    t.run_jobs().await;
    let view = look(&t, &chen, &path).await;
    assert_eq!((&view["state"], &view["refusal"]), (&json!("refused"), &json!("type_mismatch")));
    assert_eq!((view["refusal_text"].as_str(), stored(&t)), (Some("文件内容与声明的类型不符"), 0));
    // Resumed with other bytes: a whole that is none.
    let path = create(&t, &chen, 60).await;
    patch(&t, &chen, &path, 0, &photo[..30]).send().await.is(204);
    patch(&t, &chen, &path, 30, &[0; 30]).send().await.is(204);
    t.run_jobs().await;
    assert_eq!(look(&t, &chen, &path).await["state"], "refused");
}

#[actix_web::test]
async fn giving_up_leaves_nothing_behind() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let path = create(&t, &chen, 600_000).await;
    patch(&t, &chen, &path, 0, &document(550_000)).send().await.is(204);
    assert_eq!(stored(&t), 2, "a piece of 512 KiB and the rest, or so");
    tus(&t, &chen, Method::DELETE, &path).send().await.is(204);
    tus(&t, &chen, Method::HEAD, &path).send().await.is(404);
    patch(&t, &chen, &path, 550_000, b"x").send().await.problem(404, "not_found");
    sweep(&t).await;
    t.pass(TimeDelta::hours(1));
    sweep(&t).await;
    let left = "SELECT (SELECT count(*) FROM attachments) + (SELECT count(*) FROM attachment_pieces) AS n";
    assert_eq!((stored(&t), t.database.count(left)), (0, 0));
}
