//! Files: uploaded in one request, looked at, stripped, read by links, let go of.

use chrono::TimeDelta;
use diesel::PgConnection;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use lianxin::{
    attachments::{self, Attach, Uploader},
    error::{Code, Result},
    jobs,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Call, Reply, Session, TestApp};

pub const FORM: &str = "multipart/form-data; boundary=x7";

/// The body that `wx.uploadFile` sends.
pub fn form(name: &str, media_type: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--x7\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {media_type}\r\n\r\n"
    );
    [head.as_bytes(), bytes, b"\r\n--x7--\r\n"].concat()
}

fn upload<'a>(t: &'a TestApp, by: &Session, name: &str, media_type: &str, bytes: &[u8]) -> Call<'a> {
    t.post("/v1/attachments").by(by).bytes(FORM, form(name, media_type, bytes))
}

pub const PDF: &[u8] = b"%PDF-1.7 the household register";

pub async fn pdf(t: &TestApp, by: &Session) -> Uuid {
    let made = upload(t, by, "户口簿.pdf", "application/pdf", PDF).send().await.created();
    id(&made)
}

pub fn id(view: &Value) -> Uuid {
    view["id"].as_str().expect("an id").parse().expect("a UUID")
}

pub async fn link(t: &TestApp, by: &Session, id: Uuid) -> String {
    let link = t.post(&format!("/v1/attachments/{id}/link")).by(by).send().await.ok();
    link["url"].as_str().expect("a link").to_owned()
}

/// Files below the folder of the store.
pub fn stored(t: &TestApp) -> usize {
    fn below(path: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.map(|path| if path.is_dir() { below(&path) } else { 1 }).sum()
    }
    below(t.files.path())
}

/// A photo, red on the left and blue on the right, that was taken with the phone on its side and says where.
pub fn photo() -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let image = RgbImage::from_fn(64, 32, |x, _| if x < 32 { Rgb([250, 0, 0]) } else { Rgb([0, 0, 250]) });
    DynamicImage::from(image).write_to(&mut out, ImageFormat::Jpeg).expect("encodes");
    let jpeg = out.into_inner();
    // TIFF, little endian: orientation 6 and a pointer to the GPS directory, which holds a latitude reference and a latitude.
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let north = u32::from(b'N');
    let mut tiff = [b"II*\0\x08\0\0\0", &2u16.to_le_bytes()[..]].concat();
    tiff.extend([entry(0x0112, 3, 1, 6), entry(0x8825, 4, 1, 38), vec![0; 4]].concat());
    tiff.extend([&2u16.to_le_bytes()[..], &entry(1, 2, 2, north), &entry(2, 5, 3, 68), &[0; 4]].concat());
    tiff.extend([25u32, 1, 41, 1, 12345, 100].into_iter().flat_map(u32::to_le_bytes));
    let exif = [b"Exif\0\0", &tiff[..]].concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let comment = b"\xFF\xFE\x00\x0ATAKEN AT";
    [&jpeg[..2], b"\xFF\xE1", &length, &exif, comment, &jpeg[2..], b"\xFF\xD8 a second picture with GPS"].concat()
}

#[actix_web::test]
async fn a_photo_loses_its_place_and_stands_upright() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let made = upload(&t, &chen, "tmp/wx/陈家老屋.jpeg", "image/jpeg", &photo()).send().await;
    assert_eq!(made.header("location"), format!("/v1/attachments/{}", made["id"].as_str().expect("an id")));
    let made = made.created();
    assert_eq!(
        (&made["state"], &made["media_type"], &made["name"]),
        (&json!("ready"), &json!("image/jpeg"), &json!("陈家老屋.jpeg"))
    );
    assert_eq!((&made["width"], &made["height"], &made["about"]), (&json!(32), &json!(64), &Value::Null));
    assert_eq!(made["expires_at"], "2026-11-24T08:00:00+08:00");
    let file = t.get(&link(&t, &chen, id(&made)).await).send().await.is(200);
    for trace in [&b"Exif"[..], b"TAKEN AT", b"second picture", &12345u32.to_le_bytes()] {
        assert!(!file.bytes.windows(trace.len()).any(|part| part == trace), "{trace:?} is still there");
    }
    let image = image::load_from_memory(&file.bytes).expect("an image").to_rgb8();
    // Turned clockwise: what was left is above.
    assert!(image.get_pixel(16, 10)[0] > 200 && image.get_pixel(16, 54)[2] > 200);
    let digest = hex::encode(lianxin::crypto::digest(&file.bytes));
    assert_eq!(
        (made["sha256"].as_str(), made["bytes"].as_u64()),
        (Some(digest.as_str()), Some(file.bytes.len() as u64))
    );
    assert_eq!(file.header("etag"), format!("\"{digest}\""));
    assert!(!t.database.everything().contains("陈家老屋"), "names are sealed");
}

#[actix_web::test]
async fn a_repeat_stores_nothing_and_another_file_is_a_fault() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let send = |bytes: &[u8]| upload(&t, &chen, "a.pdf", "application/pdf", bytes).key("k1");
    let first = send(PDF).send().await.is(201);
    let again = send(PDF).send().await.is(201);
    assert_eq!((again.header("idempotency-replayed"), &again.bytes), ("true", &first.bytes));
    send(b"%PDF-1.7 another").send().await.problem(422, "idempotency_key_reused");
    assert_eq!((stored(&t), t.database.count("SELECT count(*) AS n FROM attachments")), (1, 1));
    let all = futures_util::future::join_all((0..5).map(|_| send(b"%PDF-1.7 at once").key("k2").send())).await;
    let made: Vec<_> = all.iter().filter(|reply| reply.status == 201).map(|reply| &reply.bytes).collect();
    assert!(!made.is_empty() && made.iter().all(|bytes| *bytes == made[0]));
    assert!(all.iter().all(|reply| matches!(reply.status, 201 | 409)), "{all:?}");
    let ready = "SELECT count(*) AS n FROM attachments WHERE state = 'ready'";
    assert_eq!(t.database.count(ready), 2);
}

#[actix_web::test]
async fn what_is_not_what_it_claims_is_refused() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let bomb = {
        let mut jpeg = photo();
        let frame = jpeg.windows(2).position(|marker| marker == [0xFF, 0xC0]).expect("a frame");
        jpeg[frame + 5..][..4].copy_from_slice(&[10_000u16.to_be_bytes(), 6_000u16.to_be_bytes()].concat());
        jpeg
    };
    let (broken, photo) = (&photo()[..200], photo());
    for (media_type, bytes, code) in [
        ("image/jpeg", &b"#!/bin/sh\nrm -rf /"[..], "type_not_allowed"),
        ("application/pdf", b"<html><script>alert(1)</script>", "type_not_allowed"),
        ("application/pdf", &photo[..], "type_mismatch"),
        ("image/png", PDF, "type_mismatch"),
        ("image/jpeg", broken, "broken"),
        ("image/jpeg", &bomb, "too_many_pixels"),
        ("application/zip", b"PK\x03\x04 not an archive at all, really", "broken"),
        ("image/jpeg", b"", "empty"),
    ] {
        let reply = upload(&t, &chen, "a.jpg", media_type, bytes).send().await.problem(422, "invalid");
        assert_eq!(reply.faults(), [format!("/file:{code}")], "{media_type}");
    }
    let send = |body: Vec<u8>| t.post("/v1/attachments").by(&chen).bytes(FORM, body);
    let field = b"--x7\r\nContent-Disposition: form-data; name=\"errand\"\r\n\r\n1\r\n--x7--\r\n".to_vec();
    assert_eq!(send(field).send().await.problem(422, "invalid").faults(), ["/errand:unknown_field"]);
    let twice = [&form("a.pdf", "application/pdf", PDF)[..], &form("b.pdf", "application/pdf", PDF)].concat();
    let twice = String::from_utf8(twice).expect("text").replacen("--x7--\r\n", "", 1);
    assert_eq!(send(twice.into_bytes()).send().await.problem(422, "invalid").faults(), ["/file:twice"]);
    assert_eq!(send(b"--x7--\r\n".to_vec()).send().await.problem(422, "invalid").faults(), ["/file:required"]);
    send(b"--x7\r\nContent-Disp".to_vec()).send().await.problem(400, "malformed_request");
    let json = t.post("/v1/attachments").by(&chen).json(json!({}));
    json.send().await.problem(415, "upload_media_type");
    let keyless = t.call(reqwest::Method::POST, "/v1/attachments").by(&chen).bytes(FORM, form("a", "", PDF));
    keyless.send().await.problem(400, "idempotency_key_missing");
    assert_eq!(stored(&t), 0);
}

#[actix_web::test]
async fn a_county_says_how_large() {
    let t = TestApp::new().await;
    let (admin, chen) = (t.staff("admin").await, t.resident("chen").await);
    let body = json!({"value": 1, "reason": "带宽有限"});
    t.put("/v1/settings/attachments.max_mib").by(&admin).header("if-match", "*").json(body).send().await.ok();
    t.pass(TimeDelta::seconds(5));
    let large = [PDF, &vec![7; 1024 * 1024]].concat();
    upload(&t, &chen, "a.pdf", "application/pdf", &large).send().await.problem(413, "body_too_large");
    upload(&t, &chen, "a.pdf", "application/pdf", &large[..1024 * 1024]).send().await.created();
    // Nobody fills the store with what is never used: 1 GiB in 24 hours.
    t.database.run("UPDATE attachments SET length = 1073741000, received = 1073741000");
    upload(&t, &chen, "a.pdf", "application/pdf", &[PDF, &[7; 2000]].concat())
        .send()
        .await
        .problem(409, "too_many_uploads");
    pdf(&t, &t.resident("lin").await).await;
}

#[actix_web::test]
async fn links_are_short_lived_and_serve_ranges() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let id = pdf(&t, &chen).await;
    let url = link(&t, &chen, id).await;
    let whole = t.get(&url).send().await.is(200);
    assert_eq!((&whole.bytes[..], whole.header("content-type")), (PDF, "application/pdf"));
    let disposition = whole.header("content-disposition");
    assert!(disposition.starts_with("attachment; filename=\"___.pdf\"; filename*=UTF-8''%E6%88%B7"), "{disposition}");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    assert!(whole.header("content-security-policy").contains("sandbox"));
    assert_eq!((whole.header("cache-control"), whole.header("accept-ranges")), ("no-store", "bytes"));
    assert_eq!(whole.header("content-length"), PDF.len().to_string());
    let part = t.get(&url).header("range", "bytes=1-3").send().await.is(206);
    assert_eq!(
        (&part.bytes[..], part.header("content-range")),
        (&b"PDF"[..], format!("bytes 1-3/{}", PDF.len()).as_str())
    );
    t.get(&url).header("range", "bytes=900-").send().await.problem(416, "range_not_satisfiable");
    t.get(&url).header("range", "bytes=1-3").header("if-range", "\"other\"").send().await.is(200);
    t.get(&url).header("if-none-match", whole.header("etag")).send().await.is(304);
    // A changed character, somebody else's county, a shorter tag: nothing.
    for at in [12, 30, url.len() - 3] {
        let mut forged = url.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).expect("text");
        t.get(&forged).send().await.problem(404, "not_found");
    }
    t.get(&url[..url.len() - 4]).send().await.problem(404, "not_found");
    t.pass(TimeDelta::minutes(5));
    t.get(&url).send().await.problem(410, "link_expired");
    let url = link(&t, &chen, id).await;
    t.call(reqwest::Method::DELETE, &format!("/v1/attachments/{id}")).by(&chen).send().await.is(204);
    t.get(&url).send().await.problem(404, "not_found");
}

async fn look(t: &TestApp, by: &Session, id: Uuid) -> Reply {
    t.get(&format!("/v1/attachments/{id}")).by(by).send().await
}

#[actix_web::test]
async fn unattached_only_its_uploader_sees_it_and_takes_it_back() {
    let t = TestApp::new().await;
    let (chen, lin, cadre) = (t.resident("chen").await, t.resident("lin").await, t.staff("cadre").await);
    let id = pdf(&t, &chen).await;
    assert_eq!(look(&t, &chen, id).await.header("etag"), "\"2\"");
    let path = format!("/v1/attachments/{id}");
    for other in [&lin, &cadre, &t.staff("admin").await] {
        look(&t, other, id).await.problem(404, "not_found");
        t.post(&format!("{path}/link")).by(other).send().await.problem(404, "not_found");
        t.call(reqwest::Method::DELETE, &path).by(other).send().await.problem(404, "not_found");
    }
    t.call(reqwest::Method::DELETE, &path).by(&chen).send().await.is(204);
    t.call(reqwest::Method::DELETE, &path).by(&chen).send().await.problem(404, "not_found");
    look(&t, &chen, id).await.problem(404, "not_found");
}

async fn sweep(t: &TestApp) {
    jobs::sweep(&t.app).await.expect("swept");
}

#[actix_web::test]
async fn what_nobody_used_goes_and_its_bytes_with_it() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let id = pdf(&t, &chen).await;
    t.pass(TimeDelta::hours(23));
    sweep(&t).await;
    look(&t, &t.resident("chen").await, id).await.is(200);
    t.pass(TimeDelta::hours(1));
    let folder = t.database.text("SELECT folder AS text FROM attachments");
    sweep(&t).await;
    assert_eq!((stored(&t), t.database.count("SELECT count(*) AS n FROM attachments WHERE name IS NULL")), (0, 1));
    // A writer that hung put something there after all.
    std::fs::create_dir_all(t.files.path().join(&folder)).expect("a folder");
    std::fs::write(t.files.path().join(&folder).join("file#1"), b"late").expect("written");
    sweep(&t).await;
    assert_eq!(stored(&t), 1);
    t.pass(TimeDelta::hours(1));
    sweep(&t).await;
    assert_eq!((stored(&t), t.database.count("SELECT count(*) AS n FROM attachments")), (0, 0));
}

/// Attaches as a room does, in a transaction of its own.
async fn attach(t: &TestApp, by: &Session, about_id: Uuid, resident: Option<Uuid>, ids: Vec<Uuid>) -> Result<()> {
    let (now, by) = (t.app.clock.now(), Uploader { id: by.subject, staff: false });
    let work = move |conn: &mut PgConnection| {
        let to = Attach { county: 1, about: "errand", about_id, resident, by, pointer: "/attachments", now };
        attachments::attach(conn, &to, &ids).map(drop)
    };
    t.app.db.write("test", work).await
}

#[actix_web::test]
async fn attaching_takes_only_ones_own_that_is_ready_and_free() {
    let t = TestApp::new().await;
    let (chen, lin) = (t.resident("chen").await, t.resident("lin").await);
    let (one, two, foreign) = (pdf(&t, &chen).await, pdf(&t, &chen).await, pdf(&t, &lin).await);
    let (errand, other) = (Uuid::now_v7(), Uuid::now_v7());
    let refused = attach(&t, &chen, errand, None, vec![one, foreign, Uuid::now_v7()]).await.expect_err("refused");
    let pointers: Vec<_> = refused.errors.iter().map(|error| format!("{:?}", error.at)).collect();
    assert_eq!(
        (refused.code, pointers),
        (Code::Invalid, vec![r#"Body("/attachments/1")"#.into(), r#"Body("/attachments/2")"#.into()])
    );
    assert_eq!(t.database.count("SELECT count(*) AS n FROM attachments WHERE about IS NOT NULL"), 0, "all or nothing");
    attach(&t, &chen, errand, Some(chen.subject), vec![one, two]).await.expect("attached");
    attach(&t, &chen, errand, Some(chen.subject), vec![one]).await.expect("the same thing again");
    attach(&t, &chen, other, None, vec![one]).await.expect_err("belongs to another");
    // No room vouches for errands here: nobody sees it, not even who brought it.
    look(&t, &chen, one).await.problem(404, "not_found");
    let delete = t.call(reqwest::Method::DELETE, &format!("/v1/attachments/{one}")).by(&chen);
    delete.send().await.problem(409, "attachment_in_use");
    t.pass(TimeDelta::days(2));
    sweep(&t).await;
    let find = move |conn: &mut PgConnection| Ok(attachments::of(conn, 1, "errand", errand)?.len());
    assert_eq!((t.app.db.read("test", find).await.expect("read"), stored(&t)), (2, 2));
    attach(&t, &lin, other, None, vec![foreign]).await.expect_err("expired");
    let now = t.app.clock.now();
    let go = move |conn: &mut PgConnection| Ok(attachments::let_go(conn, 1, ("errand", errand), now)?);
    assert_eq!(t.app.db.write("test", go).await.expect("written"), 2);
    sweep(&t).await;
    assert_eq!(stored(&t), 0);
}

#[actix_web::test]
async fn two_things_at_once_do_not_share_a_file() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let id = pdf(&t, &chen).await;
    let all = futures_util::future::join_all((0..4).map(|_| attach(&t, &chen, Uuid::now_v7(), None, vec![id]))).await;
    assert_eq!(all.iter().filter(|attached| attached.is_ok()).count(), 1);
}

#[actix_web::test]
async fn closing_a_record_takes_its_files_and_a_copy_lists_them() {
    let t = TestApp::new().await;
    let chen = t.resident("chen").await;
    let (attached, _loose) = (pdf(&t, &chen).await, pdf(&t, &chen).await);
    attach(&t, &chen, Uuid::now_v7(), Some(chen.subject), vec![attached]).await.expect("attached");
    let path = format!("/v1/residents/{}/data_requests", chen.subject);
    let asked = t.post(&path).by(&chen).json(json!({"kind": "export"})).send().await.is(202);
    t.run_jobs().await;
    let archive = format!("/v1/data_requests/{}/archive", asked["id"].as_str().expect("an id"));
    let archive = t.get(&archive).by(&chen).send().await.ok();
    let files = archive["rooms"]["attachments"]["files"].as_array().expect("files");
    assert_eq!((files.len(), &files[0]["name"], &files[0]["about"]), (2, &json!("户口簿.pdf"), &json!("errand")));
    t.post(&path).by(&chen).json(json!({"kind": "close"})).send().await.is(202);
    t.run_jobs().await;
    t.pass(TimeDelta::minutes(3));
    t.run_jobs().await;
    sweep(&t).await;
    assert_eq!(stored(&t), 0);
}
