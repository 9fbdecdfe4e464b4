//! The county's administrator: a setting for tomorrow, a colleague who comes and goes, and who looked at whom.

use anyhow::{Context, Result, ensure};
use lianxin::sample::COUNTY;
use serde_json::{Value, json};

use crate::{
    people, slots,
    stage::{Session, Stage, nonce, say},
    story::{Place, Story},
};

/// From which hour of the evening on people are left in peace.
const SETTING: &str = "/v1/settings/messages.quiet_from_hour";

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, old_man, specialist) = (&story.stage, story.old_man()?, story.specialist()?);
    let admin = people::staff(stage, "admin", "county_admin", "县管理员").await?;
    setting(stage, &admin).await?;
    let username = format!("chen.{}", &nonce()[24..]);
    let colleague = open(stage, &admin, story.place()?, &username).await?;
    dismiss(stage, &admin, &colleague, old_man, specialist).await?;
    looks(stage, &admin, old_man).await
}

/// Changed from tomorrow on, and back again, so that the county stays as it was.
async fn setting(stage: &Stage, admin: &Session) -> Result<()> {
    say("晚上几点起不打扰群众 · from which hour of the evening people are left in peace");
    let read = stage.get(SETTING).by(admin).send(200).await?;
    let (now, wanted) = (&read["value"], if read["value"] == 19 { 20 } else { 19 });
    let tomorrow = slots::tomorrow();
    let set = |value: Value, reason: &str| {
        stage.put(SETTING, json!({"value": value, "effective_on": tomorrow, "reason": reason})).by(admin)
    };
    let version = read.needs("etag")?;
    say("中午就不打扰？超出范围 · as early as noon? out of range");
    set(json!(12), "太早了").header("If-Match", version).refused(422, "invalid").await?;
    let changed = set(json!(wanted), "冬天天黑得早").header("If-Match", version).send(200).await?;
    changed.has("/value", now.clone())?;
    changed.has("/next/value", wanted)?;
    say("改回来：同一天的新一条取代前一条 · back again: another entry for the same day replaces the first");
    let back = set(now.clone(), "还是照旧").header("If-Match", changed.needs("etag")?).send(200).await?;
    back.has("/next/value", now.clone())?;
    let history = stage.get(&format!("{SETTING}/history?limit=2")).by(admin).send(200).await?;
    history.has("/items/0/value", now.clone())?;
    history.has("/items/1/value", wanted)?;
    history.has("/items/1/set_by", admin.subject.as_str())
}

/// No default password: one that is good once, and must be replaced.
async fn open(stage: &Stage, admin: &Session, place: &Place, username: &str) -> Result<Session> {
    say("新同事的账号还没有密码 · the account of a new colleague has no password yet");
    let body =
        json!({"username": username, "display_name": "陈小兰", "role": "village_cadre", "unit_id": place.village});
    let made = stage.post("/v1/staff", body).by(admin).key(&nonce()).send(201).await?;
    made.has("/account/password", "none")?;
    let path = format!("{}/reset_password", made.needs("location")?);
    let one_time = stage.post(&path, json!({})).by(admin).send(200).await?;
    let one_time = one_time.str("/one_time_password")?;

    let log_in = |password: &str, new: Option<&str>| {
        let body = json!({"county": COUNTY, "username": username, "password": password, "role": "village_cadre", "new_password": new});
        stage.post("/v1/sessions/staff", body)
    };
    say("一次性密码只能用来设自己的密码 · a one-time password only serves to choose one's own");
    log_in(one_time, None).refused(403, "password_change_required").await?;
    let own = nonce();
    let colleague = log_in(one_time, Some(&own)).send(201).await?.session("陈小兰")?;
    log_in(one_time, None).refused(401, "login_failed").await?;
    ensure!(colleague.subject == made.str("/id")?, "somebody else has logged in");
    Ok(colleague)
}

/// What a colleague holds goes to another in the same step.
async fn dismiss(stage: &Stage, admin: &Session, who: &Session, old_man: &str, specialist: &Session) -> Result<()> {
    say("她手上有一件事 · she has something to do");
    let body = json!({"kind": "visit", "title": "上门看看热水器", "resident_id": old_man, "holder_id": who.subject});
    let todo = stage.post("/v1/todos", body).by(who).key(&nonce()).send(201).await?;
    todo.has("/state", "taken")?;

    say("离职：手上的事交给谁？ · she leaves: who takes over what she holds?");
    let path = format!("/v1/staff/{}", who.subject);
    let read = stage.get(&path).by(admin).send(200).await?;
    let version = read.needs("etag")?;
    let dismiss =
        |body: Value| stage.post(&format!("{path}/dismiss"), body).by(admin).key(&nonce()).header("If-Match", version);
    dismiss(json!({"reason": "调往外县"})).refused(409, "still_holds").await?;
    let left = dismiss(json!({"reason": "调往外县", "hand_over_to": specialist.subject})).send(200).await?;
    left.has("/moved", json!([{"room": "todos", "count": 1}]))?;
    left.has("/staff/account/state", "dismissed")?;
    let path = todo.needs("location")?;
    let held = stage.get(path).by(specialist).send(200).await?;
    held.has("/holder_id", specialist.subject.as_str())?;
    let note = json!({"note": "热水器好了"});
    stage.post(&format!("{path}/done"), note).by(specialist).key(&nonce()).send(200).await?.has("/state", "done")
}

/// Who looked at the old man, and that looking leaves a trace too.
async fn looks(stage: &Stage, admin: &Session, old_man: &str) -> Result<()> {
    say("谁看过林大山的资料 · who looked at Lin Dashan");
    let path = format!("/v1/audit?entity=resident&entity_id={old_man}&limit=200");
    let log = stage.get(&path).by(admin).send(200).await?;
    let at_counter = |entry: &&Value| entry["action"] == "open" && entry["actor_role"] == "township_staff";
    log.items()?.iter().find(at_counter).context("the look at the counter is not in the audit log")?;
    say("查看日志本身也记入日志 · looking at the log is in the log too");
    let path = format!("/v1/audit?entity=audit_log&entity_id={old_man}&limit=1");
    stage.get(&path).by(admin).send(200).await?.has("/items/0/actor_id", admin.subject.as_str())
}
