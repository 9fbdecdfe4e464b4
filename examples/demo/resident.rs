//! Zhang logs in with WeChat, proves his phone, gives his name, and agrees before his ID number is kept.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    people::{self, Sex},
    stage::{Reply, Session, Stage, nonce, say},
    story::{Place, Story},
};

const NAME: &str = "张小明";
const PHONE: &str = "13800138000";

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, place) = (&story.stage, story.place()?);
    say("开发环境的微信是假的：code 里写明是谁 · WeChat is a fake in development: the code says who it is");
    let zhang = people::wechat(stage, "zhang", NAME).await?;
    stage.get("/v1/sessions/current").by(&zhang).send(200).await?.has("/subject_id", zhang.subject.as_str())?;
    let proved = people::prove_phone(stage, &zhang, PHONE).await?;

    say("修改须带上读到的版本 · a change names the version that was read");
    let path = format!("/v1/residents/{}", zhang.subject);
    let save = stage.put(&path, whole(place, &proved["id_number"])).by(&zhang);
    save.header("If-Match", proved.needs("etag")?).send(200).await?;
    let own = stage.get(&path).by(&zhang).send(200).await?;
    own.has("/name", NAME)?;
    own.has("/phone", PHONE)?;
    own.has("/masked", false)?;
    consent(stage, &zhang, place).await?;
    story.zhang = Some(zhang);
    Ok(())
}

/// The record as Zhang wants it.
fn whole(place: &Place, id_number: &Value) -> Value {
    json!({"name": NAME, "id_number": id_number, "phone": PHONE, "unit_id": place.village})
}

/// No ID number without consent; and with the consent the number goes.
async fn consent(stage: &Stage, zhang: &Session, place: &Place) -> Result<()> {
    let path = format!("/v1/residents/{}", zhang.subject);
    let consents = format!("{path}/consents");
    say("同意过什么、该看哪一版文本 · what he agreed to, and which version of the text to show");
    let asked = stage.get(&consents).by(zhang).send(200).await?;
    let asked = asked.items()?.iter().find(|item| item["purpose"] == "id_number").cloned();
    let asked = asked.context("no consent for ID numbers")?;
    let withdraw = || stage.post(&format!("{consents}/id_number/withdraw"), json!({})).by(zhang).key(&nonce());
    if asked["state"] == "given" || asked["state"] == "outdated" {
        say("上次中断时留下的，先撤回 · left behind by an interrupted run: withdrawn first");
        withdraw().send(200).await?;
    }

    let number = Value::from(people::id_number(Sex::Man, 1970));
    let read: Reply = stage.get(&path).by(zhang).quietly().send(200).await?;
    let version = read.needs("etag")?;
    let save = || stage.put(&path, whole(place, &number)).by(zhang).header("If-Match", version);
    say("没有同意，就不保存身份证号 · without consent no ID number is kept");
    save().refused(403, "consent_required").await?;
    let answer = json!({"purpose": "id_number", "version": asked["ask_version"], "answer": "given"});
    stage.post(&consents, answer).by(zhang).key(&nonce()).send(201).await?.has("/state", "given")?;
    save().send(200).await?.has("/id_number", number)?;

    say("撤回和同意一样容易，号码随即删除 · withdrawing is as easy as giving, and the number goes at once");
    withdraw().send(200).await?.has("/state", "withdrawn")?;
    stage.get(&path).by(zhang).send(200).await?.has("/id_number", Value::Null)
}
