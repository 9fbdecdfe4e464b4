//! What goes wrong, and how it is told.

use anyhow::{Result, ensure};
use lianxin::sample::COUNTY;
use serde_json::{Value, json};

use crate::{
    stage::{Reply, Session, Stage, nonce, say},
    story::Story,
};

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, zhang) = (&story.stage, story.zhang()?);
    wrong_fields(stage, story.cadre()?).await?;
    nothing_there(stage, zhang, story.granny()?).await?;

    say("没有登录 · nobody is logged in");
    stage.get("/v1/appointments").refused(401, "unauthenticated").await?.needs("www-authenticate")?;

    stale(stage, zhang).await?;
    locked(stage).await
}

/// Every wrong field at once, in the language that is asked for.
async fn wrong_fields(stage: &Stage, cadre: &Session) -> Result<()> {
    say("六个字段都不对 · six fields are wrong");
    let body = json!({"name": "", "id_number": "350425195003070024", "phone": "12345", "unit_id": "here", "identity_seen": "photo", "age": 7});
    let post = || stage.post("/v1/residents", body.clone()).by(cadre).key(&nonce());
    let zh = post().refused(422, "invalid").await?;
    let expected = ["/age", "/id_number", "/identity_seen", "/name", "/phone", "/unit_id"];
    ensure!(pointers(&zh) == expected, "expected faults at {expected:?}, got {}", zh.text);
    say("同样的错误，英文说明 · the same in English");
    let en = post().header("Accept-Language", "en").refused(422, "invalid").await?;
    ensure!(pointers(&en) == expected, "expected faults at {expected:?}, got {}", en.text);
    ensure!(en["title"] != zh["title"], "the title should follow the language");
    Ok(())
}

/// Where the faults of a 422 are, sorted.
fn pointers(reply: &Reply) -> Vec<&str> {
    let errors = reply["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut all: Vec<_> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
    all.sort_unstable();
    all
}

/// What does not exist, and what one may not see, look the same.
async fn nothing_there(stage: &Stage, zhang: &Session, granny: &str) -> Result<()> {
    say("没有这个接口 · no such endpoint");
    stage.get("/v1/nowhere").refused(404, "route_not_found").await?;
    say("没有这个县 · no such county");
    stage.get("/v1/units?county=999999").refused(404, "not_found").await?;
    say("没有这个预约 · no such appointment");
    stage.get(&format!("/v1/appointments/{}", nonce())).by(zhang).refused(404, "not_found").await?;
    say("别人的资料：有，但看不到 · somebody else's record: it exists, but not for Zhang");
    stage.get(&format!("/v1/residents/{granny}")).by(zhang).refused(404, "not_found").await?;
    Ok(())
}

/// Two devices change the same record; the second has not seen what the first wrote.
async fn stale(stage: &Stage, zhang: &Session) -> Result<()> {
    say("两台设备读到同一个版本，先后保存 · two devices read the same version, and save one after the other");
    let path = format!("/v1/residents/{}", zhang.subject);
    let read = stage.get(&path).by(zhang).send(200).await?;
    let field = |name: &str| -> Value { read[name].clone() };
    let whole = json!({"name": field("name"), "id_number": field("id_number"), "phone": field("phone"), "unit_id": field("unit_id")});
    let version = read.needs("etag")?;
    let save = || stage.put(&path, whole.clone()).by(zhang).header("If-Match", version);
    save().send(200).await?;
    save().refused(412, "version_stale").await?;
    Ok(())
}

/// Guessing a password. Nobody has this name, so that no account of the sample county is locked.
async fn locked(stage: &Stage) -> Result<()> {
    say(
        "猜密码：第六次起锁定，无论账号是否存在 · guessing passwords: locked after five, whether the name exists or not",
    );
    let username = format!("nobody.{}", nonce());
    let guess = |number: usize| {
        let password = format!("guess-{number}");
        let body = json!({"county": COUNTY, "username": username, "password": password, "role": "village_cadre"});
        stage.post("/v1/sessions/staff", body)
    };
    guess(1).refused(401, "login_failed").await?;
    say("再猜四次 · four more guesses");
    for number in 2..=5 {
        guess(number).quietly().refused(401, "login_failed").await?;
    }
    let locked = guess(6).refused(429, "login_locked").await?;
    let seconds = locked.needs("retry-after")?.parse::<u64>();
    ensure!(seconds.is_ok_and(|seconds| seconds > 0), "Retry-After should be a number of seconds");
    Ok(())
}
