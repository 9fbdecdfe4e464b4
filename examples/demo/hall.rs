//! In the hall: a screen, a kiosk, tickets, calling; and nobody's name in public.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, FixedOffset, TimeDelta, Timelike};
use lianxin::{
    clock::{CST, Clock},
    sample::COUNTY,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    counter::{self, Counter},
    people,
    stage::{Call, Session, Stage, nonce, say},
    story::Story,
};

/// A call repeated sooner is the same finger on the same button.
const SAME_CALL: Duration = Duration::from_secs(11);

/// Somebody with an appointment of today, and the ticket that they got for it.
struct Visitor<'a> {
    who: &'a Session,
    appointment: String,
    ticket: String,
}

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, counter) = (&story.stage, story.counter()?);
    let clerk = &counter.clerk;
    say("大厅装一块屏：密钥只给一次，凭它只看得到号码 · a screen: its secret is told once, and shows numbers only");
    let path = format!("/v1/units/{}/screens", counter.place.town);
    let screen = stage.post(&path, json!({"name": "大厅东侧"})).by(clerk).send(200).await?;
    let hall = format!("/v1/halls/{}", screen.str("/secret")?);

    let booked = book(stage, story.wang()?, counter).await?;
    say("自助机：没预约的人取号 · at the kiosk: a ticket for somebody without an appointment");
    let walk_in = stage.post(&format!("{hall}/walk_ins"), json!({"matter_id": counter.place.matter}));
    let walk_in = walk_in.key(&nonce()).send(201).await?.str("/ticket")?.to_owned();
    let visitor = match booked {
        Some(appointment) => Some(arrive(stage, story.wang()?, appointment, &hall).await?),
        None => None,
    };
    call(stage, counter, &hall, visitor.as_ref(), &walk_in).await?;

    say("屏拆了 · the screen is taken down");
    let end = stage.post(&format!("/v1/screens/{}/end", screen.str("/id")?), json!({}));
    end.by(clerk).key(&nonce()).send(200).await?.str("/ended_at")?;
    counter.close(stage).await
}

/// The next whole minutes, if five of them are left of today. In the very last minute of a day it waits for the next.
async fn soon() -> Option<(DateTime<FixedOffset>, DateTime<FixedOffset>)> {
    let mut now = Clock::System.now().with_timezone(&CST);
    if (now.hour(), now.minute()) == (23, 59) {
        say("差一点就是明天了，等一等 · it is almost tomorrow: a moment");
        sleep(Duration::from_secs(61 - u64::from(now.second()))).await;
        now = Clock::System.now().with_timezone(&CST);
    }
    let opens = now + TimeDelta::minutes(2);
    let closes = opens + TimeDelta::minutes(5);
    (closes.date_naive() == now.date_naive()).then_some((opens, closes))
}

/// Wang books a slot that begins in a moment; the path of the appointment. None shortly before midnight.
async fn book(stage: &Stage, wang: &Session, counter: &Counter) -> Result<Option<String>> {
    let Some((opens, closes)) = soon().await else {
        say("今天已没有时段，只有现场取号的人 · no slot is left today: only somebody without an appointment");
        return Ok(None);
    };
    say("今天此刻也加开一个时段 · another slot today, at this very hour");
    let [from, until] = [opens, closes].map(|at| at.format("%H:%M:00").to_string());
    let today = opens.date_naive();
    counter.except(stage, (today, today), counter::hours(&from, &until, 5, "centre", (1, 0))).send(201).await?;
    say("王建国就约它 · which Wang books");
    let wish = counter.wish(&opens.format("%Y-%m-%dT%H:%M:00+08:00").to_string());
    let booked = stage.post("/v1/appointments", wish).by(wang).key(&nonce()).send(201).await?;
    Ok(Some(booked.needs("location")?.to_owned()))
}

/// He shows his code, and gets a number.
async fn arrive<'a>(stage: &Stage, who: &'a Session, path: String, hall: &str) -> Result<Visitor<'a>> {
    say("王建国的取号码：随机的，不含任何个人信息 · Wang's code: random, with nothing about him in it");
    let code = stage.get(&format!("{path}/code")).by(who).send(200).await?;
    let code = code.str("/handle")?;
    let image = stage.get(&format!("{path}/wxacode")).by(who).quietly().send(200).await?;
    say(&format!("同一个码，微信画成小程序码：{} · WeChat draws it too", image.needs("content-type")?));
    say("乱编的码取不到号 · a code that is nobody's gives no ticket");
    let kiosk = |code: &str| stage.post(&format!("{hall}/arrivals"), json!({"code": code})).key(&nonce());
    kiosk("2222-2222-2222-2222-2222").refused(404, "nobody_arrives").await?;
    say("在自助机上扫一扫 · held under the reader of the kiosk");
    let ticket = kiosk(code).send(200).await?.str("/ticket")?.to_owned();
    let appointment = path.rsplit('/').next().context("a path ends with an id")?.to_owned();
    Ok(Visitor { who, appointment, ticket })
}

/// From the first call to the empty line.
async fn call(
    stage: &Stage,
    counter: &Counter,
    hall: &str,
    visitor: Option<&Visitor<'_>>,
    walk_in: &str,
) -> Result<()> {
    let clerk = &counter.clerk;
    let step =
        |id: &str, step: &str| stage.post(&format!("/v1/appointments/{id}/{step}"), json!({})).by(clerk).key(&nonce());
    say("叫下一位：按时到的预约排在前面 · next, please: whoever is on time for an appointment goes first");
    let first = next(stage, counter).send(200).await?;
    first.has("/ticket", visitor.map_or(walk_in, |visitor| &visitor.ticket))?;
    let (id, called) = (first.str("/id")?.to_owned(), Instant::now());
    other_desk(stage, counter, &id).await?;
    if let Some(visitor) = visitor {
        say("被叫到的人手机上也有消息 · his phone tells him too");
        people::told(stage, visitor.who, "ticket_called", &visitor.appointment).await?;
    }
    screen(stage, counter, hall, first.str("/ticket")?).await?;

    say("没听见？十秒后再叫一次；更快就是手抖 · not heard? Ten seconds later, again; sooner is the same press");
    sleep_until(called + SAME_CALL).await;
    step(&id, "recall").send(200).await?.has("/calls", 2)?;
    step(&id, "serve").send(200).await?.has("/state", "serving")?;
    step(&id, "finish").send(200).await?.has("/state", "done")?;
    if visitor.is_some() {
        say("再下一位，是现场取号的 · then the one without an appointment");
        let second = next(stage, counter).send(200).await?;
        second.has("/ticket", walk_in)?;
        let id = second.str("/id")?;
        step(id, "serve").quietly().send(200).await?;
        step(id, "finish").send(200).await?.has("/state", "done")?;
    }
    say("没有人等了 · nobody waits any more");
    next(stage, counter).refused(409, "nobody_waits").await?;
    Ok(())
}

fn next<'a>(stage: &'a Stage, counter: &Counter) -> Call<'a> {
    let path = format!("/v1/windows/{}/call_next", counter.window);
    stage.post(&path, json!({})).by(&counter.clerk).key(&nonce())
}

/// Another window presses for the same ticket, and is told who has it.
async fn other_desk(stage: &Stage, counter: &Counter, ticket: &str) -> Result<()> {
    let path = format!("/v1/windows?county={COUNTY}&unit_id={}&limit=200", counter.place.town);
    let windows = stage.get(&path).quietly().send(200).await?;
    let other = windows.items()?.iter().find(|window| window["name"] == "代办服务窗口");
    let other = &other.context("代办服务窗口 of the sample county is not there")?["id"];
    say("另一个窗口也叫这个号 · another window calls the same ticket");
    let call = stage.post(&format!("/v1/appointments/{ticket}/call"), json!({"window_id": other}));
    let told = call.by(&counter.clerk).key(&nonce()).refused(409, "already_called").await?;
    ensure!(told.text.contains(&counter.name), "it should say where the ticket is: {}", told.text);
    Ok(())
}

/// What everybody in the hall sees: by polling, and as a stream.
async fn screen(stage: &Stage, counter: &Counter, hall: &str, ticket: &str) -> Result<()> {
    say("大厅的屏每几秒问一次：只有号码，没有名字 · the screen asks every few seconds: numbers, no names");
    let called =
        |window: &Value| window["name"] == counter.name && window["ticket"] == ticket && window["state"] == "called";
    let shows = |windows: &Value| windows.as_array().is_some_and(|windows| windows.iter().any(called));
    stage.get(hall).until(|reply| shows(&reply["windows"])).await?;
    say("也可以开着一条流，有变化就推来 · or keeps a stream open, and is told what changes");
    let event = stage.event(&format!("{hall}/events"), "hall").await?;
    ensure!(shows(&event["windows"]), "the stream should show {ticket} too: {event}");
    Ok(())
}
