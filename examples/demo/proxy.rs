//! The village cadre registers an old woman without a smartphone, finds her, and books for her.

use anyhow::{Result, ensure};
use chrono::{Days, NaiveDate};
use lianxin::sample::{COUNTY, PASSWORD};
use serde_json::json;

use crate::{
    slots,
    stage::{Session, Stage, nonce, say},
    story::{Place, Story},
};

/// How many days ahead are looked at; an agent is not bound by the residents' seven.
const DAYS: u64 = 14;

/// Somebody made up.
struct Granny {
    id: String,
    phone: String,
}

pub async fn play(story: &mut Story) -> Result<()> {
    let stage = &story.stage;
    let login = json!({"county": COUNTY, "username": "cadre", "password": PASSWORD, "role": "village_cadre"});
    let cadre = stage.post("/v1/sessions/staff", login).send(201).await?.session("红星村代办员")?;
    let granny = register(stage, &cadre, story.place()?).await?;
    book(stage, &cadre, story.place()?, &granny).await?;
    story.granny = Some(granny.id);
    story.cadre = Some(cadre);
    Ok(())
}

/// Registers her and finds her again; both answers are masked.
async fn register(stage: &Stage, cadre: &Session, place: &Place) -> Result<Granny> {
    say("身份证号符合校验规则，但是随机编的 · the ID number fits its check digit, but is made up");
    let (number, phone) = (id_number(), format!("139{:08}", rand::random_range(0..100_000_000_u32)));
    let body = json!({"name": "陈阿婆", "id_number": number, "phone": phone, "unit_id": place.village, "identity_seen": "id_card"});
    let made = stage.post("/v1/residents", body).by(cadre).key(&nonce()).send(201).await?;
    made.has("/masked", true)?;
    made.has("/name", "陈*婆")?;
    ensure!(!made.text.contains(&number) && !made.text.contains(&phone), "the answer should be masked: {}", made.text);
    let id = made.str("/id")?.to_owned();

    say("按完整的身份证号查找，查找会留痕 · found by the whole ID number; the look is recorded");
    let found = stage.post("/v1/residents/lookup", json!({"id_number": number})).by(cadre).send(200).await?;
    found.has("/items/0/id", id.as_str())?;
    Ok(Granny { id, phone })
}

/// Books through the agents' places, phones her, and gives the place back in the end.
async fn book(stage: &Stage, cadre: &Session, place: &Place, granny: &Granny) -> Result<()> {
    say("代约有专门的名额 · agents have places of their own");
    let Some(day) = slots::next(stage, place, "proxy", DAYS, 1).await? else {
        say("今后两周没有代约名额，本章到此为止 · no place for agents in two weeks: the chapter ends here");
        return Ok(());
    };
    let body = json!({"unit_id": place.town, "matter_id": place.matter, "starts_at": day.free[0], "resident_id": granny.id, "channel": "proxy"});
    let booked = stage.post("/v1/appointments", body).by(cadre).key(&nonce()).send(201).await?;
    booked.has("/booked_by", cadre.subject.as_str())?;
    booked.has("/resident/name", "陈*婆")?;

    say("打电话告诉她：写明理由才看得到号码 · to phone her, the cadre gives a reason and sees the number");
    let path = format!("/v1/residents/{}/reveal", granny.id);
    let reveal = json!({"fields": ["phone"], "reason": format!("电话告知预约时间 {}", day.date)});
    stage.post(&path, reveal).by(cadre).send(200).await?.has("/phone", granny.phone.as_str())?;

    say("她改天由儿子陪同前往：取消 · her son will take her another day: cancelled");
    let cancel = stage.post(&format!("{}/cancel", booked.needs("location")?), json!({"reason": "改天由家人陪同"}));
    cancel.by(cadre).key(&nonce()).send(200).await?.has("/state", "cancelled")
}

/// Place, day of birth, serial (even: a woman) and the check character of GB 11643 (ISO 7064, MOD 11-2).
fn id_number() -> String {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let born = NaiveDate::from_ymd_opt(1930, 1, 1).unwrap_or_default() + Days::new(rand::random_range(0..9_000));
    let digits = format!("{COUNTY}{}{:03}", born.format("%Y%m%d"), rand::random_range(0..500_u32) * 2);
    let sum: u32 = digits.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{digits}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}
