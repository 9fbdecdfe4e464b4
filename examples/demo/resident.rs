//! Zhang logs in with WeChat, proves his phone and gives his name.

use anyhow::Result;
use lianxin::sample::COUNTY;
use serde_json::json;

use crate::{
    stage::{nonce, say},
    story::Story,
};

const NAME: &str = "张小明";
const PHONE: &str = "13800138000";

pub async fn play(story: &mut Story) -> Result<()> {
    let stage = &story.stage;
    say("开发环境的微信是假的：code 里写明是谁 · WeChat is a fake in development: the code says who it is");
    let login = json!({"county": COUNTY, "code": format!("login.zhang.{}", nonce())});
    let zhang = stage.post("/v1/sessions/wechat", login).send(201).await?.session(NAME)?;
    stage.get("/v1/sessions/current").by(&zhang).send(200).await?.has("/subject_id", zhang.subject.as_str())?;

    let path = format!("/v1/residents/{}", zhang.subject);
    let code = json!({"code": format!("phone.{PHONE}.{}", nonce())});
    let proved = stage.post(&format!("{path}/prove_phone"), code).by(&zhang).key(&nonce()).send(200).await?;
    proved.has("/phone", PHONE)?;

    say("修改须带上读到的版本 · a change names the version that was read");
    let whole =
        json!({"name": NAME, "id_number": proved["id_number"], "phone": PHONE, "unit_id": story.place()?.village});
    let version = proved.needs("etag")?;
    stage.put(&path, whole).by(&zhang).header("If-Match", version).send(200).await?;
    let own = stage.get(&path).by(&zhang).send(200).await?;
    own.has("/name", NAME)?;
    own.has("/phone", PHONE)?;
    own.has("/masked", false)?;
    story.zhang = Some(zhang);
    Ok(())
}
