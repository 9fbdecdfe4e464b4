//! A county's SMS gateway: one POST per message, and what its answer means.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{StatusCode, Url, header, redirect};
use serde_json::json;
use uuid::Uuid;

use crate::{app::App, units::County};

/// What the sealed secret of a county is bound to.
pub const SECRET_PLACE: &str = "counties.sms_secret";

/// A message that did not go through.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the county has no SMS gateway")]
    NotConfigured,
    /// Understood and refused for good.
    #[error("refused with {0}")]
    Refused(StatusCode),
    /// No answer, or not now; not before a time where the gateway names one.
    #[error("not now ({status:?})")]
    Later { status: Option<StatusCode>, not_before: Option<DateTime<Utc>> },
}

/// A client of the counties' gateways.
pub struct Gateway {
    http: reqwest::Client,
}

/// One message for a phone.
#[derive(Clone, Debug)]
pub struct Sms {
    /// The same at every attempt, so that a gateway that knows it sends once.
    pub id: Uuid,
    pub to: String,
    pub text: String,
    /// The gateway's own template, where it wants one.
    pub template: Option<String>,
}

impl Gateway {
    pub fn new() -> anyhow::Result<Self> {
        // A redirect would carry phone and text to whoever it names.
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).redirect(redirect::Policy::none());
        Ok(Self { http: http.build()? })
    }

    /// Sends one message. 2xx is taken, 4xx refused for good except 401, 403, 404, 408, 425 and 429, everything else is for later.
    pub async fn send(&self, app: &App, county: &County, sms: &Sms) -> Result<(), Refusal> {
        let (Some(url), Some(sealed)) = (&county.sms_url, &county.sms_secret) else {
            return Err(Refusal::NotConfigured);
        };
        let later = |status| Refusal::Later { status, not_before: None };
        let secret = app.keys.open_text(county.id, SECRET_PLACE, sealed).map_err(|_| later(None))?;
        let body = json!({"id": sms.id, "to": sms.to, "text": sms.text, "template": sms.template});
        let request = self.http.post(url).bearer_auth(secret).header("idempotency-key", sms.id.to_string());
        let answer = request.json(&body).send().await.map_err(|_| later(None))?;
        let status = answer.status();
        // 401, 403 and 404 are about our secret or address, and will be mended.
        let ours = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
        let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
        if status.is_success() {
            Ok(())
        } else if status.is_client_error() && !passing.contains(&status) && !ours.contains(&status) {
            Err(Refusal::Refused(status))
        } else {
            let said = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            let not_before = said.and_then(|said| retry_after(said, app.clock.now()));
            Err(Refusal::Later { status: Some(status), not_before })
        }
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110 §10.2.3); nobody is believed for more than a day.
fn retry_after(said: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let at = match said.trim().parse::<u32>() {
        Ok(seconds) => now + TimeDelta::seconds(seconds.into()),
        Err(_) => DateTime::parse_from_rfc2822(said.trim()).ok()?.to_utc(),
    };
    Some(at.min(now + TimeDelta::days(1)))
}

/// Whether a gateway may be used: it receives phones and texts, so in production only over https.
pub fn fits(url: &str, development: bool) -> bool {
    let host = |url: &Url| url.has_host() && url.username().is_empty() && url.password().is_none();
    Url::parse(url).is_ok_and(|url| host(&url) && (url.scheme() == "https" || development && url.scheme() == "http"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_within_a_day() {
        let now = DateTime::from_timestamp(1_795_000_000, 0).expect("a time");
        assert_eq!(retry_after("30", now), Some(now + TimeDelta::seconds(30)));
        assert_eq!(retry_after("999999", now), Some(now + TimeDelta::days(1)));
        assert_eq!(retry_after(&(now + TimeDelta::minutes(1)).to_rfc2822(), now), Some(now + TimeDelta::minutes(1)));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn production_speaks_https() {
        assert!(fits("https://sms.example/send", false) && fits("http://127.0.0.1:1/sms", true));
        for bad in ["http://sms.example/send", "https://user:pass@sms.example", "sms.example", "ftp://sms.example", ""]
        {
            assert!(!fits(bad, false), "{bad}");
        }
    }
}
