//! A certificate for Zhang, with photos: uploaded from his phone, looked at by the agent, answered with a paper, brought home,
//! acknowledged, called back.

use std::io::Cursor;

use anyhow::{Context, Result, ensure};
use image::{ImageFormat, Rgb, RgbImage};
use lianxin::sample::COUNTY;
use serde_json::{Value, json};

use crate::{
    errand::step,
    stage::{Session, Stage, nonce, say},
    story::Story,
};

const MATTER: &str = "村级证明 / 盖章";

/// Stands in for a scan.
const CERTIFICATE: &[u8] = b"%PDF-1.7 residence certificate";

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, zhang) = (&story.stage, story.zhang()?);
    let (errand, photo, holder) = file(stage, zhang).await?;
    let agents = [story.cadre()?, story.specialist()?];
    let agent =
        agents.into_iter().find(|agent| agent.subject == holder).context("one of the village answers for it")?;
    look(stage, agent, &photo).await?;
    let certificate = decide(stage, agent, &errand).await?;
    reply(stage, (zhang, agent), &errand, &certificate).await?;
    call_back(stage, agent, &errand).await
}

/// A photo as a phone takes it, a little smaller.
pub fn photo() -> Result<Vec<u8>> {
    let mut jpeg = Cursor::new(Vec::new());
    let sheet = |x: u32, y: u32| if y % 24 < 3 && x > 20 && x < 220 { Rgb([40, 40, 60]) } else { Rgb([250, 248, 240]) };
    RgbImage::from_fn(240, 320, sheet).write_to(&mut jpeg, ImageFormat::Jpeg)?;
    Ok(jpeg.into_inner())
}

/// Uploaded first, then filed with: the errand's path, the photo, who answers for it.
async fn file(stage: &Stage, zhang: &Session) -> Result<(String, String, String)> {
    let matters = stage.get(&format!("/v1/matters?county={COUNTY}&limit=200")).quietly().send(200).await?;
    let matter = matters.items()?.iter().find(|matter| matter["name"] == MATTER).context("the sample has it")?;
    say(
        "拍下手写的声明，像 wx.uploadFile 那样上传；照片里的位置等信息会去掉 · a photo of what he wrote, uploaded as wx.uploadFile does",
    );
    let upload = stage.upload("声明.jpg", "image/jpeg", photo()?).by(zhang).key(&nonce());
    let uploaded = upload.send(201).await?;
    uploaded.has("/about", Value::Null)?;
    let photo = uploaded.str("/id")?.to_owned();
    say("身份证当面核对，声明附照片 · the identity card in person, the statement as a photo");
    let body = json!({"matter_id": matter["id"], "answers": {"what": "residence"}, "form": {"purpose": "子女入学", "use_at": "县第一小学"},
        "materials": [{"key": "id_card", "in_person": true}, {"key": "statement", "attachment_ids": [photo]}]});
    let filed = stage.post("/v1/errands", body).by(zhang).key(&nonce()).send(201).await?;
    let errand = filed.needs("location")?.to_owned();
    let sent = stage.post(&format!("{errand}/submit"), json!({})).by(zhang).key(&nonce()).send(200).await?;
    Ok((errand, photo, sent.str("/holder/id")?.to_owned()))
}

/// The agent sees the photo because the errand is theirs to see; the link works for five minutes.
async fn look(stage: &Stage, agent: &Session, photo: &str) -> Result<()> {
    say("代办员看得到这件事，就看得到它的照片；查看留痕 · who sees the errand sees its photo; the look is recorded");
    let path = format!("/v1/attachments/{photo}");
    let view = stage.get(&path).by(agent).send(200).await?;
    view.has("/about", "errand")?;
    let link = stage.post(&format!("{path}/link"), json!({})).by(agent).send(200).await?;
    let file = stage.get(link.str("/url")?).quietly().send(200).await?;
    let tag = format!("\"{}\"", view.str("/sha256")?);
    ensure!(file.header("etag") == Some(tag.as_str()), "the file should be the one with the digest {tag}");
    Ok(())
}

/// Decided with the certificate; its id.
async fn decide(stage: &Stage, agent: &Session, errand: &str) -> Result<String> {
    step(stage, agent, errand, "accept", json!({})).await?;
    say("当天办结，证明扫描件随决定一起 · decided the same day, with the certificate");
    let scan = stage.upload("居住证明.pdf", "application/pdf", CERTIFICATE.to_vec()).by(agent).key(&nonce());
    let scan = scan.send(201).await?.str("/id")?.to_owned();
    let body = json!({"granted": true, "words": "已开具居住证明", "attachment_ids": [scan]});
    step(stage, agent, errand, "decide", body).await?.has("/documents/0", scan.as_str())?;
    Ok(scan)
}

/// Brought home and acknowledged; only then archived.
async fn reply(stage: &Stage, (zhang, agent): (&Session, &Session), errand: &str, certificate: &str) -> Result<()> {
    say("张小明在手机上打开证明 · Zhang opens the certificate on his phone");
    let link = stage.post(&format!("/v1/attachments/{certificate}/link"), json!({})).by(zhang).send(200).await?;
    stage.get(link.str("/url")?).quietly().send(200).await?;
    say("代办员把原件送到家 · the agent brings the original");
    let brought = json!({"how": "by_agent", "words": "原件已送到家中"});
    step(stage, agent, errand, "deliver", brought).await?.has("/delivery/acknowledged_on", Value::Null)?;
    say("没有签收，还不能归档 · not acknowledged yet, not archived yet");
    let early = stage.post(&format!("{errand}/archive"), json!({})).by(agent).header("if-match", "*").key(&nonce());
    early.refused(409, "not_acknowledged").await?;
    let signed = stage.post(&format!("{errand}/acknowledge"), json!({})).by(zhang).key(&nonce()).send(200).await?;
    signed.has("/delivery/acknowledged_how", "in_mini_program")?;
    step(stage, agent, errand, "archive", json!({})).await?.has("/state", "archived")
}

/// A todo asks for it; the answer settles the todo.
async fn call_back(stage: &Stage, agent: &Session, errand: &str) -> Result<()> {
    say("送达后有一件回访待办 · since the delivery a call-back waits as a todo");
    let id = errand.rsplit('/').next().unwrap_or_default();
    let about = |todo: &Value| todo["about"] == "errand_call_back" && todo["about_id"] == id;
    let mine = || stage.get("/v1/todos?mine=true&kind=call&limit=200").by(agent).quietly();
    let waits = mine().until(|page| page.items().is_ok_and(|todos| todos.iter().any(about))).await?;
    ensure!(waits.items()?.iter().any(about), "the call-back should wait");
    let answer = json!({"reached": true, "satisfied": "yes", "words": "证明已交学校，满意"});
    step(stage, agent, errand, "call_back", answer).await?.has("/call_back/satisfied", "yes")?;
    let left = mine().send(200).await?;
    ensure!(!left.items()?.iter().any(about), "the todo should be done");
    say("台账记着每一步和每个文件的摘要 · the ledger has every step, and the digest of every file");
    stage.get(&format!("{errand}/ledger")).by(agent).send(200).await?.has("/broken_at", Value::Null)
}
