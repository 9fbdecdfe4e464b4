//! The village cadre registers an old woman without a smartphone, finds her, and books for her.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{
    people::{self, Sex},
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
    let cadre = people::staff(stage, "cadre", "village_cadre", "红星村代办员").await?;
    let granny = register(stage, &cadre, story.place()?).await?;
    book(stage, &cadre, story.place()?, &granny).await?;
    story.granny = Some(granny.id);
    story.cadre = Some(cadre);
    Ok(())
}

/// Registers her and finds her again; both answers are masked.
async fn register(stage: &Stage, cadre: &Session, place: &Place) -> Result<Granny> {
    say("身份证号符合校验规则，但是随机编的 · the ID number fits its check digit, but is made up");
    let (number, phone) = (people::id_number(Sex::Woman, 1930), people::phone());
    let body = json!({"name": "陈阿婆", "id_number": number, "phone": phone, "unit_id": place.village, "identity_seen": "id_card"});
    say("没有她的同意，不登记身份证号 · without her consent no ID number is registered");
    stage.post("/v1/residents", body.clone()).by(cadre).key(&nonce()).refused(403, "consent_required").await?;
    say("她签了字 · she has signed");
    let mut body = body;
    body["consents"] = json!(["id_number"]);
    body["consents_how"] = json!("signed");
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
