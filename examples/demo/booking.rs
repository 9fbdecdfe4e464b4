//! Zhang books, presses twice, tries a second time, is told, and cancels.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    slots::{self, Day},
    stage::{Reply, Session, Stage, nonce, say},
    story::{Place, Story},
};

/// Days ahead that residents may book.
pub const DAYS: u64 = 7;
/// Of the message about a booking, in the sample county.
pub const TEMPLATE: &str = "fake-template-booked";

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, zhang, place) = (&story.stage, story.zhang()?, story.place()?);
    tidy(stage, zhang).await?;
    say("均溪镇最近一天的空余时段 · free slots of the next day that has any");
    // Two: the second is for the second booking, which is refused.
    let Some(day) = slots::next(stage, place, "public", DAYS, 2).await? else {
        say("今后七天都放假或已约满，本章到此为止 · the next seven days are holidays or full: the chapter ends here");
        return Ok(());
    };
    let starts_at = &day.free[0];
    say("点了“允许”：微信每点一次只放行一条 · he lets messages through: WeChat takes one for each time he agrees");
    let grant = json!({"template_ids": [TEMPLATE]});
    stage.post("/v1/messages/grants", grant).by(zhang).key(&nonce()).send(201).await?;
    let before = day.left(stage, starts_at).await?;
    let booked = book(stage, zhang, place, &day).await?;
    count(stage, &day, before - 1).await?;
    message(stage, zhang, booked.str("/id")?).await?;

    say("临时有事：取消，名额立即退回 · something came up: cancelled, and the place is free again at once");
    let path = format!("{}/cancel", booked.needs("location")?);
    let cancel = || stage.post(&path, json!({"reason": "临时有事"})).by(zhang);
    cancel().key(&nonce()).send(200).await?.has("/state", "cancelled")?;
    count(stage, &day, before).await?;
    cancel().key(&nonce()).refused(409, "already_cancelled").await?;
    Ok(())
}

/// Wants so many places at the first start of the day.
async fn count(stage: &Stage, day: &Day, expected: i64) -> Result<()> {
    let left = day.left(stage, &day.free[0]).await?;
    say(&format!("{} 还剩 {left} 个名额 · {left} places left", day.free[0]));
    ensure!(
        left == expected,
        "expected {expected} places left at {}, got {left}; is somebody else booking?",
        day.free[0]
    );
    Ok(())
}

/// Cancels what an interrupted run has left behind, here or in a later chapter: one booking per matter and day, and nobody
/// shall be said not to have come.
async fn tidy(stage: &Stage, zhang: &Session) -> Result<()> {
    say("张小明现有的预约 · what Zhang has booked already");
    let list = format!("/v1/appointments?state=booked&from={}&limit=200", slots::tomorrow());
    let held = stage.get(&list).by(zhang).send(200).await?;
    for id in held.items()?.iter().filter_map(|item| item["id"].as_str()) {
        say("上次中断时留下的，先取消 · left behind by an interrupted run: cancelled first");
        let cancel = stage.post(&format!("/v1/appointments/{id}/cancel"), json!({}));
        cancel.by(zhang).key(&nonce()).send(200).await?;
    }
    Ok(())
}

/// The booking, repeated, read, and refused for a second time on the same day.
async fn book(stage: &Stage, zhang: &Session, place: &Place, day: &Day) -> Result<Reply> {
    let body = |starts_at: &str| json!({"unit_id": place.town, "matter_id": place.matter, "starts_at": starts_at});
    let key = nonce();
    let press = || stage.post("/v1/appointments", body(&day.free[0])).by(zhang).key(&key);
    let booked = press().send(201).await?;
    booked.has("/state", "booked")?;

    say("按钮又按了一次：同一个键，同一个回答 · the button is pressed again: the same key, the same answer");
    let again = press().send(201).await?;
    ensure!(again.needs("idempotency-replayed")? == "true", "the repeat is not marked as one");
    ensure!(again.text == booked.text, "the repeat got another answer");

    say("看一看 · looking at it");
    stage.get(booked.needs("location")?).by(zhang).send(200).await?.has("/id", booked.str("/id")?)?;

    say("同一事项同一天再约一次 · the same matter on the same day once more");
    let second = stage.post("/v1/appointments", body(day.free.last().unwrap_or(&day.free[0])));
    second.by(zhang).key(&nonce()).refused(409, "already_booked").await?;
    Ok(booked)
}

/// The message about a booking: it comes a moment later, from the worker.
async fn message(stage: &Stage, zhang: &Session, appointment: &str) -> Result<()> {
    say("收件箱里的消息稍后就到，由后台任务送出 · the message comes a moment later, from the worker");
    let about = |reply: &Reply| -> Option<Value> {
        let delivered = |item: &&Value| item["about_id"] == appointment && item["wechat"] != "pending";
        reply.items().ok()?.iter().find(delivered).cloned()
    };
    let inbox = stage.get("/v1/messages?unread=true&limit=200").by(zhang).until(|reply| about(reply).is_some()).await?;
    let message = about(&inbox).unwrap_or_default();
    ensure!(message["wechat"] == "sent", "the fake WeChat should have taken the message: {message}");
    let path = format!("/v1/messages/{}/read", message["id"].as_str().unwrap_or_default());
    stage.post(&path, json!({})).by(zhang).key(&nonce()).send(200).await?;
    Ok(())
}
