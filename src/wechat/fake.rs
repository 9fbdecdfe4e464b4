//! A WeChat of our own for development and tests: the real protocol over HTTP, with people made up from their codes.
//!
//! `js_code` is `login.<user>.<anything>`, a phone code `phone.<number>.<anything>`; each is good once, as in real life.
//! `GET /fake/sent` tells what was sent; `POST /fake/answer {"errcode": 43101}` makes the next message fail, and
//! `POST /fake/delay {"milliseconds": 300}` makes each take its time. Beside it stands an SMS gateway at `/sms`: `GET /fake/sms` tells
//! what it sent, `POST /fake/sms_answer {"status": 503, "retry_after": 30}` makes the next one fail.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::Server,
    http::{StatusCode, header},
    web::{Data, Json, Query, get, post},
};
use serde_json::{Value, json};

/// Who may talk to it: the mini-program of the sample county.
pub const APPID: &str = "wxfake350425000000";
pub const SECRET: &str = "fake-secret-of-development";
/// What the SMS gateway beside it wants as bearer token.
pub const SMS_SECRET: &str = "fake-sms-secret-of-development";

/// Everything it remembers.
#[derive(Default)]
pub struct Wechat {
    used: Mutex<HashSet<String>>,
    tokens: Mutex<u64>,
    /// Messages as they came in, oldest first.
    pub sent: Mutex<Vec<Value>>,
    /// Errors for the next messages.
    pub refuse: Mutex<VecDeque<i64>>,
    /// Logins and token requests, by path.
    pub calls: Mutex<HashMap<&'static str, u64>>,
    /// Mini-program codes that were asked for, oldest first.
    pub codes: Mutex<Vec<Value>>,
    /// Errors for the next codes; they come with status 200 where an image would, as in real life.
    pub refuse_codes: Mutex<VecDeque<i64>>,
    /// How long a message takes, in milliseconds.
    pub delay: AtomicU64,
    /// To whom something is being sent right now.
    busy: Mutex<HashSet<String>>,
    /// Messages that came while another one to the same person was being sent.
    pub overlaps: AtomicU64,
    /// SMS as they came in, oldest first.
    pub sms: Mutex<Vec<Value>>,
    /// Idempotency keys of SMS that were taken.
    sms_keys: Mutex<HashSet<String>>,
    /// Statuses for the next SMS, with `Retry-After` in seconds.
    pub sms_refuse: Mutex<VecDeque<(u16, Option<u64>)>>,
}

type State = Data<Arc<Wechat>>;
type Params = Query<HashMap<String, String>>;

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn error(errcode: i64, errmsg: &str) -> Json<Value> {
    Json(json!({"errcode": errcode, "errmsg": errmsg}))
}

impl Wechat {
    fn called(&self, path: &'static str) {
        *locked(&self.calls).entry(path).or_default() += 1;
    }

    /// The middle part of `<kind>.<who>.<anything>`, once.
    fn redeem(&self, kind: &str, code: &str) -> Result<String, Json<Value>> {
        let mut parts = code.splitn(3, '.');
        let (Some(is), Some(who), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(error(40029, "invalid code"));
        };
        if is != kind || who.is_empty() {
            return Err(error(40029, "invalid code"));
        }
        if !locked(&self.used).insert(code.to_owned()) {
            return Err(error(40163, "code been used"));
        }
        Ok(who.to_owned())
    }

    fn token(&self) -> String {
        format!("fake-token-{}", locked(&self.tokens))
    }

    /// Declares every token given so far invalid.
    pub fn expire_tokens(&self) {
        *locked(&self.tokens) += 1;
    }
}

async fn jscode2session(wechat: State, query: Params) -> Json<Value> {
    wechat.called("jscode2session");
    let param = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    if param("appid") != APPID {
        return error(40013, "invalid appid");
    }
    if param("secret") != SECRET {
        return error(40125, "invalid appsecret");
    }
    match wechat.redeem("login", param("js_code")) {
        Ok(who) => Json(json!({"openid": format!("o-{who}"), "session_key": "ZmFrZS1zZXNzaW9uLWtleQ=="})),
        Err(refusal) => refusal,
    }
}

async fn stable_token(wechat: State, body: Json<Value>) -> Json<Value> {
    wechat.called("stable_token");
    if body["grant_type"] != "client_credential" || body["appid"] != APPID || body["secret"] != SECRET {
        return error(40125, "invalid appsecret");
    }
    Json(json!({"access_token": wechat.token(), "expires_in": 7200}))
}

async fn phone_number(wechat: State, query: Params, body: Json<Value>) -> Json<Value> {
    if query.get("access_token") != Some(&wechat.token()) {
        return error(40001, "invalid credential, access_token is invalid or not latest");
    }
    match wechat.redeem("phone", body["code"].as_str().unwrap_or_default()) {
        Ok(number) => Json(json!({"errcode": 0, "errmsg": "ok", "phone_info": {
            "phoneNumber": number, "purePhoneNumber": number, "countryCode": "86",
            "watermark": {"timestamp": 0, "appid": APPID}}})),
        Err(refusal) => refusal,
    }
}

/// The first bytes of a JPEG, or of a PNG for a transparent one, and the scene: enough to see what would be drawn.
async fn code_unlimited(wechat: State, query: Params, body: Json<Value>) -> HttpResponse {
    let refuse = |code, words| HttpResponse::Ok().json(error(code, words).0);
    if query.get("access_token") != Some(&wechat.token()) {
        return refuse(40001, "invalid credential, access_token is invalid or not latest");
    }
    let scene = body["scene"].as_str().unwrap_or_default().to_owned();
    if scene.is_empty() || scene.len() > 32 {
        return refuse(40169, "invalid length for scene, or the data is not json string");
    }
    if body["page"].as_str().is_some_and(|page| page.starts_with('/')) {
        return refuse(41030, "invalid page");
    }
    if let Some(code) = locked(&wechat.refuse_codes).pop_front() {
        return refuse(code, "refused as told");
    }
    let (magic, media_type): (&[u8], _) = match body["is_hyaline"].as_bool() {
        Some(true) => (b"\x89PNG\r\n\x1a\n", "image/png"),
        _ => (b"\xff\xd8\xff\xe0", "image/jpeg"),
    };
    locked(&wechat.codes).push(body.0);
    HttpResponse::Ok().content_type(media_type).body([magic, scene.as_bytes()].concat())
}

async fn subscribe_send(wechat: State, query: Params, body: Json<Value>) -> Json<Value> {
    if query.get("access_token") != Some(&wechat.token()) {
        return error(40001, "invalid credential, access_token is invalid or not latest");
    }
    for field in ["touser", "template_id", "data"] {
        if body[field].is_null() {
            return error(47003, "argument invalid");
        }
    }
    let person = body["touser"].as_str().unwrap_or_default().to_owned();
    if !person.starts_with("o-") {
        return error(40003, "invalid openid");
    }
    let too_long = |(field, value): (&String, &Value)| {
        field.starts_with("thing") && !(1..=20).contains(&value["value"].as_str().unwrap_or_default().chars().count())
    };
    if body["data"].as_object().is_none_or(|data| data.iter().any(too_long)) {
        return error(47003, "argument invalid! data.thing.value invalid");
    }
    if !locked(&wechat.busy).insert(person.clone()) {
        wechat.overlaps.fetch_add(1, Ordering::SeqCst);
        return error(43108, "concurrent sending to one user");
    }
    tokio::time::sleep(Duration::from_millis(wechat.delay.load(Ordering::SeqCst))).await;
    locked(&wechat.busy).remove(&person);
    if let Some(code) = locked(&wechat.refuse).pop_front() {
        return error(code, "refused as told");
    }
    locked(&wechat.sent).push(body.0);
    error(0, "ok")
}

/// The SMS gateway: takes each idempotency key once.
async fn send_sms(wechat: State, request: HttpRequest, body: Json<Value>) -> HttpResponse {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header(header::AUTHORIZATION.as_str()) != format!("Bearer {SMS_SECRET}") {
        return HttpResponse::Unauthorized().finish();
    }
    if let Some((status, retry_after)) = locked(&wechat.sms_refuse).pop_front() {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = HttpResponse::build(status);
        if let Some(seconds) = retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        return answer.finish();
    }
    let text = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
    if !text("id") || !text("to") || !text("text") {
        return HttpResponse::BadRequest().finish();
    }
    if locked(&wechat.sms_keys).insert(header("idempotency-key").to_owned()) {
        locked(&wechat.sms).push(body.0);
    }
    HttpResponse::Accepted().finish()
}

async fn sent_sms(wechat: State) -> Json<Value> {
    Json(json!({"sent": *locked(&wechat.sms)}))
}

async fn answer_sms(wechat: State, body: Json<Value>) -> Json<Value> {
    let status = body["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(503);
    locked(&wechat.sms_refuse).push_back((status, body["retry_after"].as_u64()));
    error(0, "ok")
}

async fn delay(wechat: State, body: Json<Value>) -> Json<Value> {
    wechat.delay.store(body["milliseconds"].as_u64().unwrap_or_default(), Ordering::SeqCst);
    error(0, "ok")
}

async fn sent(wechat: State) -> Json<Value> {
    Json(json!({"sent": *locked(&wechat.sent)}))
}

async fn answer(wechat: State, body: Json<Value>) -> Json<Value> {
    locked(&wechat.refuse).extend(body["errcode"].as_i64());
    error(0, "ok")
}

/// Serves it on a bound loopback socket.
pub fn server(listener: TcpListener, wechat: Arc<Wechat>) -> std::io::Result<Server> {
    let serve = move || {
        App::new()
            .app_data(Data::new(wechat.clone()))
            .route("/sns/jscode2session", get().to(jscode2session))
            .route("/cgi-bin/stable_token", post().to(stable_token))
            .route("/wxa/business/getuserphonenumber", post().to(phone_number))
            .route("/cgi-bin/message/subscribe/send", post().to(subscribe_send))
            .route("/wxa/getwxacodeunlimit", post().to(code_unlimited))
            .route("/fake/sent", get().to(sent))
            .route("/fake/answer", post().to(answer))
            .route("/fake/delay", post().to(delay))
            .route("/sms", post().to(send_sms))
            .route("/fake/sms", get().to(sent_sms))
            .route("/fake/sms_answer", post().to(answer_sms))
    };
    HttpServer::new(serve).workers(1).disable_signals().listen(listener).map(HttpServer::run)
}
