//! WeChat's server API: logging in, phone numbers, subscription messages, mini-program codes. Development and tests talk to [`fake`] over HTTP
//! with this same code.

pub mod fake;

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::App,
    error::{Code, Error},
    units::County,
};

/// WeChat said no, or nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The county has no mini-program configured.
    #[error("the county has no mini-program")]
    NotConfigured,
    /// An `errcode`: the request was understood and refused.
    #[error("errcode {0}: {1}")]
    Refused(i64, String),
    /// Nothing was sent, for want of a token or a connection: try again later.
    #[error("not sent: {0}")]
    NotSent(String),
    /// No answer, or none that can be read: try again later.
    #[error("{0}")]
    Away(String),
}

/// Codes that are invalid (40029), used (40163) or of a risky user (40226).
const BAD_CODES: &[i64] = &[40029, 40163, 40226];

/// Invalid or expired access token: get a new one and try again, once.
const BAD_TOKENS: &[i64] = &[40001, 40014, 42001];

/// The system is busy: `-1` says nothing about the request.
const BUSY: i64 = -1;

impl Refusal {
    /// As the answer to a request whose code WeChat looked at.
    pub fn into_error(self) -> Error {
        match &self {
            Self::Refused(code, _) if BAD_CODES.contains(code) => Error::new(Code::WechatCodeRefused).cause(self),
            Self::NotConfigured => Error::new(Code::WechatUnavailable)
                .detail("该县尚未配置小程序", "The county has no mini-program configured")
                .retry_after(3600),
            _ => Error::new(Code::WechatUnavailable).cause(self).retry_after(5),
        }
    }
}

impl Refusal {
    /// Of a step before the request itself.
    fn before(self) -> Self {
        match self {
            Self::Away(words) => Self::NotSent(words),
            other => other,
        }
    }
}

impl From<reqwest::Error> for Refusal {
    fn from(error: reqwest::Error) -> Self {
        // The URL holds the secret or the token.
        let (unsent, words) = (error.is_connect(), error.without_url().to_string());
        if unsent { Self::NotSent(words) } else { Self::Away(words) }
    }
}

/// A client of WeChat, or of whoever speaks like it.
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

#[derive(Deserialize)]
struct Session {
    openid: String,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct PhoneAnswer {
    phone_info: PhoneInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PhoneInfo {
    pure_phone_number: String,
    /// Comes as a string or as a number.
    country_code: Value,
}

impl Client {
    pub fn new(base: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        Ok(Self { http, base: Url::parse(base)? })
    }

    fn credentials<'a>(app: &App, county: &'a County) -> Result<(&'a str, String), Refusal> {
        let (Some(appid), Some(sealed)) = (&county.wechat_appid, &county.wechat_secret) else {
            return Err(Refusal::NotConfigured);
        };
        let secret = app.keys.open_text(county.id, SECRET_PLACE, sealed);
        Ok((appid, secret.map_err(|error| Refusal::Away(error.to_string()))?))
    }

    async fn fetch(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Bytes, Refusal> {
        let url = self.base.join(path).map_err(|error| Refusal::Away(error.to_string()))?;
        let mut request = self.http.request(method, url).query(query);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Ok(request.send().await?.error_for_status()?.bytes().await?)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Value, Refusal> {
        understood(&self.fetch(method, path, query, body).await?)
    }

    /// `jscode2session`: the person behind a login code.
    pub async fn openid(&self, app: &App, county: &County, code: &str) -> Result<String, Refusal> {
        let (appid, secret) = Self::credentials(app, county)?;
        let query = [("appid", appid), ("secret", &secret), ("js_code", code), ("grant_type", "authorization_code")];
        let answer = self.call(Method::GET, "/sns/jscode2session", &query, None).await?;
        Ok(read::<Session>(answer)?.openid)
    }

    /// `getuserphonenumber`: the number behind the code of the phone button, without country code; mainland only.
    pub async fn phone_number(&self, app: &App, county: &County, code: &str) -> Result<String, Refusal> {
        let path = "/wxa/business/getuserphonenumber";
        let answer = self.with_token(app, county, path, json!({"code": code})).await?;
        let info = read::<PhoneAnswer>(answer)?.phone_info;
        let country = info.country_code.as_str().map_or_else(|| info.country_code.to_string(), str::to_owned);
        Ok(if country == "86" { info.pure_phone_number } else { format!("+{country}") })
    }

    /// `subscribeMessage.send`: one message for one grant of the person.
    pub async fn subscribe_send(&self, app: &App, county: &County, message: Value) -> Result<(), Refusal> {
        self.with_token(app, county, "/cgi-bin/message/subscribe/send", message).await.map(drop)
    }

    /// `getUnlimitedQRCode`: the mini-program's round code with a scene of at most 32 characters, as an image.
    pub async fn code(&self, app: &App, county: &County, scene: &str, page: &str) -> Result<Image, Refusal> {
        // The page of a version that is not published yet is drawn too.
        let body = json!({"scene": scene, "page": page, "check_path": false});
        self.with_token_as(app, county, "/wxa/getwxacodeunlimit", body, image).await
    }

    async fn with_token(&self, app: &App, county: &County, path: &str, body: Value) -> Result<Value, Refusal> {
        self.with_token_as(app, county, path, body, |bytes| understood(&bytes)).await
    }

    async fn with_token_as<T>(
        &self,
        app: &App,
        county: &County,
        path: &str,
        body: Value,
        read: fn(Bytes) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let post = async |token: &str| {
            read(self.fetch(Method::POST, path, &[("access_token", token)], Some(body.clone())).await?)
        };
        let token = self.token(app, county, None).await.map_err(Refusal::before)?;
        match post(&token).await {
            Err(Refusal::Refused(code, _)) if BAD_TOKENS.contains(&code) => {
                post(&self.token(app, county, Some(&token)).await.map_err(Refusal::before)?).await
            }
            answer => answer,
        }
    }

    /// `stable_token`, shared by all processes through Redis. WeChat gives the same token while it is valid, so a lost copy
    /// costs a call and nothing else. When `failed` was refused, what others have fetched since is taken first; a new one is
    /// forced last, and only once a minute: WeChat allows a few a day, and each makes the one before invalid.
    async fn token(&self, app: &App, county: &County, failed: Option<&str>) -> Result<String, Refusal> {
        let (appid, _) = Self::credentials(app, county)?;
        let place = format!("wechat_token/{appid}");
        let key = app.redis.key(&place);
        let get = async |mut redis| redis::cmd("GET").arg(&key).query_async::<Option<Vec<u8>>>(&mut redis).await;
        if let Ok(Some(sealed)) = app.redis.run(get).await
            && let Ok(token) = app.keys.open_text(county.id, &place, &sealed)
            && failed != Some(token.as_str())
        {
            return Ok(token);
        }
        let mut answer = self.stable_token(app, county, false).await?;
        if failed == Some(answer.access_token.as_str()) {
            let once = app.redis.key(format_args!("{place}/forced"));
            let set = async |mut redis| {
                redis::cmd("SET")
                    .arg(&once)
                    .arg(1)
                    .arg("NX")
                    .arg("EX")
                    .arg(60)
                    .query_async::<Option<String>>(&mut redis)
                    .await
            };
            if !matches!(app.redis.run(set).await, Ok(Some(_))) {
                return Err(Refusal::Away(
                    "the token was refused, and a new one was forced less than a minute ago".into(),
                ));
            }
            answer = self.stable_token(app, county, true).await?;
        }
        let sealed = app.keys.seal(county.id, &place, answer.access_token.as_bytes());
        let keep = answer.expires_in.saturating_sub(300).max(1);
        let set = async |mut redis| {
            redis::cmd("SET").arg(&key).arg(sealed).arg("EX").arg(keep).query_async::<String>(&mut redis).await
        };
        let _ = app.redis.run(set).await;
        Ok(answer.access_token)
    }

    async fn stable_token(&self, app: &App, county: &County, force: bool) -> Result<Token, Refusal> {
        let (appid, secret) = Self::credentials(app, county)?;
        let body = json!({"grant_type": "client_credential", "appid": appid, "secret": secret, "force_refresh": force});
        read(self.call(Method::POST, "/cgi-bin/stable_token", &[], Some(body)).await?)
    }
}

/// A picture and what it is.
#[derive(Debug)]
pub struct Image {
    pub bytes: Bytes,
    pub media_type: &'static str,
}

/// The answer as JSON, which WeChat sends as `text/plain`, unless it is an error.
fn understood(bytes: &[u8]) -> Result<Value, Refusal> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Refusal::Away("the answer is no JSON".into()))?;
    match value["errcode"].as_i64() {
        None | Some(0) => Ok(value),
        Some(code) if code == BUSY => Err(Refusal::Away("busy".into())),
        Some(code) => Err(Refusal::Refused(code, value["errmsg"].as_str().unwrap_or_default().to_owned())),
    }
}

/// The answer as an image, known by its first bytes: errors come as JSON with status 200 and whatever content type.
fn image(bytes: Bytes) -> Result<Image, Refusal> {
    const MAGIC: &[(&[u8], &str)] = &[(b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg")];
    match MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, media_type)) => Ok(Image { bytes, media_type }),
        None => Err(understood(&bytes).err().unwrap_or_else(|| Refusal::Away("neither an image nor an error".into()))),
    }
}

/// What the sealed secret of a county is bound to.
pub const SECRET_PLACE: &str = "counties.wechat_secret";

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Refusal> {
    serde_json::from_value(answer).map_err(|error| Refusal::Away(format!("an answer of another form: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_its_first_bytes_and_an_error_behind_200_is_an_error() {
        for (bytes, media_type) in [(&b"\x89PNG\r\n\x1a\n..."[..], "image/png"), (b"\xff\xd8\xff\xe0..", "image/jpeg")]
        {
            assert_eq!(image(Bytes::from_static(bytes)).expect("an image").media_type, media_type);
        }
        let refused = image(Bytes::from_static(br#"{"errcode": 45009, "errmsg": "reach max api daily quota limit"}"#));
        assert!(matches!(refused, Err(Refusal::Refused(45009, _))));
        for other in [&b""[..], b"<html>", b"{}"] {
            assert!(matches!(image(Bytes::from_static(other)), Err(Refusal::Away(_))), "{other:?}");
        }
    }
}
