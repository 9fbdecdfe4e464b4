//! An allowance for Granny Chen: what she needs, her mandate, what was missing, the clock, the decision, the ledger.

use anyhow::{Context, Result};
use lianxin::sample::COUNTY;
use serde_json::{Value, json};

use crate::{
    stage::{Reply, Session, Stage, nonce, say},
    story::Story,
};

const MATTER: &str = "老年人优待证 / 高龄津贴";

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, cadre, granny) = (&story.stage, story.cadre()?, story.granny()?);
    let clerk = &story.counter()?.clerk;
    let matter = guide(stage).await?;
    let mandate = mandate(stage, cadre, granny, &matter).await?;
    let errand = file(stage, cadre, granny, &matter, &mandate).await?;
    handle(stage, cadre, clerk, &errand).await?;
    look(stage, cadre, &errand).await
}

/// What is needed for the allowance; the matter.
async fn guide(stage: &Stage) -> Result<String> {
    let matters = stage.get(&format!("/v1/matters?county={COUNTY}&limit=200")).quietly().send(200).await?;
    let matter =
        matters.items()?.iter().find(|matter| matter["name"] == MATTER).context("the sample has the matter")?;
    let matter = matter["id"].as_str().context("an id")?.to_owned();
    say("要带什么？先问一个问题 · what does she need? one question first");
    let ask = |answers: &str| stage.get(&format!("/v1/matters/{matter}/guide?county={COUNTY}&answers={answers}"));
    let open = ask("").send(200).await?;
    open.has("/questions/0/key", "what")?;
    say("高龄津贴：身份证、户口簿、社会保障卡，5 个工作日 · the allowance: three papers, five working days");
    let told = ask("what:allowance").send(200).await?;
    told.has("/promised_days", 5)?;
    Ok(matter)
}

/// She says it, the cadre writes it down.
async fn mandate(stage: &Stage, cadre: &Session, granny: &str, matter: &str) -> Result<String> {
    say(
        "没有委托，代办员不能代办；她当面口头委托，原话记下 · no mandate, no errand: she says it, and it is written down",
    );
    let path = format!("/v1/residents/{granny}/mandates");
    let spoken = json!({"given_how": "spoken", "words": "我走不动，津贴请小陈帮我办", "matter_id": matter});
    let given = stage.post(&path, spoken).by(cadre).key(&nonce()).send(201).await?;
    given.has("/live", true)?;
    Ok(given.str("/id")?.to_owned())
}

/// The draft lacks something; what is told at once is brought, and it is submitted. Its path.
async fn file(stage: &Stage, cadre: &Session, granny: &str, matter: &str, mandate: &str) -> Result<String> {
    let draft = json!({"matter_id": matter, "resident_id": granny, "mandate_id": mandate, "answers": {"what": "allowance"},
        "form": {"what": "高龄津贴", "bank_account": "6217001234567890"}, "materials": [{"key": "id_card", "in_person": true}]});
    say("填表，先存草稿 · a draft");
    let filed = stage.post("/v1/errands", draft).by(cadre).key(&nonce()).send(201).await?;
    filed.has("/state", "draft")?;
    let errand = filed.needs("location")?.to_owned();
    say("提交：缺什么一次说清（一次性告知） · all that is missing is told at once");
    let submit = || stage.post(&format!("{errand}/submit"), json!({})).by(cadre).header("if-match", "*").key(&nonce());
    let missing = submit().refused(422, "invalid").await?;
    for index in 0..2 {
        missing.has(&format!("/errors/{index}/code"), "missing")?;
    }
    let more = json!({"answers": {"what": "allowance"}, "form": {"what": "高龄津贴", "bank_account": "6217001234567890"},
        "materials": [{"key": "id_card", "in_person": true}, {"key": "household_register", "in_person": true}, {"key": "bank_card", "in_person": true}]});
    let etag = filed.needs("etag")?;
    stage.put(&errand, more).by(cadre).header("if-match", etag).send(200).await?;
    let sent = submit().send(200).await?;
    say("谁先接手谁负责（首问责任） · whoever was asked first answers for it");
    sent.has("/holder/id", cadre.subject.as_str())?;
    Ok(errand)
}

/// Takes a step.
pub async fn step(stage: &Stage, who: &Session, errand: &str, step: &str, body: Value) -> Result<Reply> {
    stage.post(&format!("{errand}/{step}"), body).by(who).header("if-match", "*").key(&nonce()).send(200).await
}

/// From acceptance to delivery: the township decides, and before that has to accept the transfer.
async fn handle(stage: &Stage, cadre: &Session, clerk: &Session, errand: &str) -> Result<()> {
    say("受理：从下一个工作日起算 · accepted: the count begins on the next working day");
    step(stage, cadre, errand, "accept", json!({})).await?.has("/lamp", "green")?;
    say("这件事由乡镇决定，代办员不能自己批 · the township decides this, not the agent");
    let decide = json!({"granted": true, "words": "符合条件，津贴自下月起发放"});
    let alone = stage.post(&format!("{errand}/decide"), decide.clone()).by(cadre).header("if-match", "*").key(&nonce());
    alone.refused(409, "decided_elsewhere").await?;
    say(
        "转交镇里；对方接收之前仍由代办员负责 · offered to the township; until it is accepted the cadre answers for it",
    );
    let offer = json!({"staff_id": clerk.subject, "reason": "材料齐全，请镇里决定"});
    step(stage, cadre, errand, "offer_transfer", offer).await?.has("/holder/id", cadre.subject.as_str())?;
    step(stage, clerk, errand, "accept_transfer", json!({})).await?.has("/holder/id", clerk.subject.as_str())?;
    step(stage, clerk, errand, "decide", decide).await?.has("/state", "decided")?;
    step(stage, clerk, errand, "deliver", json!({"how": "by_agent", "words": "代办员送到家中"}))
        .await?
        .has("/state", "delivered")?;
    say(
        "她不用手机，在回证上按手印，工作人员记下 · she has no phone: her fingerprint on the receipt, written down by the clerk",
    );
    let signed = json!({"acknowledged_how": "signed", "words": "本人在送达回证上按手印"});
    step(stage, clerk, errand, "acknowledge", signed).await?.has("/delivery/how", "by_agent")?;
    step(stage, clerk, errand, "archive", json!({})).await?.has("/state", "archived")
}

/// What is kept, and how the day came about.
async fn look(stage: &Stage, cadre: &Session, errand: &str) -> Result<()> {
    say("台账：每一步谁、何时，前后相扣，改不了 · the ledger: who and when, chained, for good");
    let ledger = stage.get(&format!("{errand}/ledger")).by(cadre).send(200).await?;
    ledger.has("/broken_at", Value::Null)?;
    say("时限怎么算出来的，一天一天看得见 · how the deadline came about, day by day");
    stage.get(&format!("{errand}/clock")).by(cadre).send(200).await?.has("/limit_days", 5)
}
