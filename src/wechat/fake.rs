//! A WeChat of our own for development and tests: the real protocol over HTTP, with people made up from their codes.
//!
//! `js_code` is `login.<user>.<anything>`, a phone code `phone.<number>.<anything>`; each is good once, as in real life.
//! `GET /fake/sent` tells what was sent; `POST /fake/answer {"errcode": 43101}` makes the next message fail.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use actix_web::{
    App, HttpServer,
    dev::Server,
    web::{Data, Json, Query, get, post},
};
use serde_json::{Value, json};

/// Who may talk to it: the mini-program of the sample county.
pub const APPID: &str = "wxfake350425000000";
pub const SECRET: &str = "fake-secret-of-development";

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

async fn subscribe_send(wechat: State, query: Params, body: Json<Value>) -> Json<Value> {
    if query.get("access_token") != Some(&wechat.token()) {
        return error(40001, "invalid credential, access_token is invalid or not latest");
    }
    for field in ["touser", "template_id", "data"] {
        if body[field].is_null() {
            return error(47003, "argument invalid");
        }
    }
    if let Some(code) = locked(&wechat.refuse).pop_front() {
        return error(code, "refused as told");
    }
    locked(&wechat.sent).push(body.0);
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
            .route("/fake/sent", get().to(sent))
            .route("/fake/answer", post().to(answer))
    };
    HttpServer::new(serve).workers(1).disable_signals().listen(listener).map(HttpServer::run)
}
