//! Who plays: logging in, and numbers that fit their rules but belong to nobody.

use anyhow::Result;
use chrono::{Days, NaiveDate};
use lianxin::sample::{COUNTY, PASSWORD};
use serde_json::{Value, json};

use crate::stage::{Reply, Session, Stage, nonce};

/// With an account of the sample county.
pub async fn staff(stage: &Stage, username: &str, role: &str, name: &'static str) -> Result<Session> {
    let login = json!({"county": COUNTY, "username": username, "password": PASSWORD, "role": role});
    stage.post("/v1/sessions/staff", login).send(201).await?.session(name)
}

/// With the fake WeChat, as whoever the code names.
pub async fn wechat(stage: &Stage, user: &str, name: &'static str) -> Result<Session> {
    let login = json!({"county": COUNTY, "code": format!("login.{user}.{}", nonce())});
    stage.post("/v1/sessions/wechat", login).send(201).await?.session(name)
}

/// The phone as WeChat knows it; the record as it is then.
pub async fn prove_phone(stage: &Stage, who: &Session, phone: &str) -> Result<Reply> {
    let code = json!({"code": format!("phone.{phone}.{}", nonce())});
    let path = format!("/v1/residents/{}/prove_phone", who.subject);
    let proved = stage.post(&path, code).by(who).key(&nonce()).send(200).await?;
    proved.has("/phone", phone)?;
    Ok(proved)
}

/// Waits until somebody's inbox has a message of a kind about something: it comes a moment later, from the worker.
pub async fn told(stage: &Stage, who: &Session, kind: &str, about: &str) -> Result<()> {
    let of = |message: &Value| message["kind"] == kind && message["about_id"] == about;
    let inbox = stage.get("/v1/messages?limit=200").by(who);
    inbox.until(|reply| reply.items().is_ok_and(|items| items.iter().any(of))).await?;
    Ok(())
}

#[derive(Clone, Copy)]
pub enum Sex {
    Woman,
    Man,
}

/// Place, day of birth within 25 years, serial (even: a woman) and the check character of GB 11643 (ISO 7064, MOD 11-2).
pub fn id_number(sex: Sex, born_from: i32) -> String {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let first = NaiveDate::from_ymd_opt(born_from, 1, 1).unwrap_or_default();
    let born = first + Days::new(rand::random_range(0..9_000));
    let serial = rand::random_range(0..500_u32) * 2 + u32::from(matches!(sex, Sex::Man));
    let digits = format!("{COUNTY}{}{serial:03}", born.format("%Y%m%d"));
    let sum: u32 = digits.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{digits}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

pub fn phone() -> String {
    format!("139{:08}", rand::random_range(0..100_000_000_u32))
}
