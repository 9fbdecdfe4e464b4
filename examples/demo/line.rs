//! Zhang holds a place, books and moves it; two wait for what is full, and what comes free goes to the first of them.

use anyhow::{Context, Result, ensure};
use chrono::Days;
use serde_json::json;

use crate::{
    counter::{self, Counter},
    people,
    slots::{self, Day},
    stage::{Reply, Session, Stage, nonce, say},
    story::Story,
};

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, zhang) = (&story.stage, story.zhang()?);
    let counter = counter::open(stage, story.place()?).await?;
    say("每个时段一个名额 · one place at each time");
    let day = slots::on(stage, &counter.place, counter.day, "channel=public").await?;
    let booked = book(stage, zhang, &counter, &day).await?;
    reschedule(stage, zhang, &counter, &booked).await?;

    let (li, wang) = (newcomer(stage, "李秀英").await?, newcomer(stage, "王建国").await?);
    let (first, second) = join(stage, (&li, &wang), &counter).await?;
    say("张小明去不了了：取消 · Zhang cannot come: cancelled");
    let cancel = stage.post(&format!("{booked}/cancel"), json!({"reason": "临时出差"}));
    cancel.by(zhang).key(&nonce()).send(200).await?.has("/state", "cancelled")?;
    offered(stage, (&li, &first), (&wang, &second), &counter).await?;

    (story.counter, story.li, story.wang) = (Some(counter), Some(li), Some(wang));
    Ok(())
}

/// Somebody who has never been here, and gives a name.
async fn newcomer(stage: &Stage, name: &'static str) -> Result<Session> {
    let who = people::wechat(stage, &nonce(), name).await?;
    let save = stage.put(&format!("/v1/residents/{}", who.subject), json!({"name": name})).by(&who).quietly();
    save.header("If-Match", "*").send(200).await?;
    Ok(who)
}

/// What cannot be booked, and what can: held first, then booked; the path of the appointment.
async fn book(stage: &Stage, zhang: &Session, counter: &Counter, day: &Day) -> Result<String> {
    let nine = counter.at("09:00");
    say("昨天的时段 · a slot of yesterday");
    let yesterday = format!("{}T09:00:00+08:00", slots::tomorrow() - Days::new(2));
    let past = stage.post("/v1/holds", counter.wish(&yesterday)).by(zhang).key(&nonce());
    past.refused(422, "booking_window").await?;

    say("先占住，填表这几分钟别人抢不走 · held first: nobody takes it while he fills in the form");
    let held = stage.post("/v1/holds", counter.wish(&nine)).by(zhang).key(&nonce()).send(201).await?;
    held.has("/state", "held")?;
    held.str("/held_until")?;
    ensure!(day.left(stage, &nine).await? == 0, "a held place should not be free");
    say("再确认 · then booked");
    let path = held.needs("location")?.to_owned();
    let booked = stage.post(&format!("{path}/book"), json!({})).by(zhang).key(&nonce()).send(200).await?;
    booked.has("/state", "booked")?;

    say("同一事项同一天再约一次：错误里写明几时可以 · once more that day: the error says from when it is possible");
    let again = stage.post("/v1/appointments", counter.wish(&counter.at("10:00"))).by(zhang).key(&nonce());
    let again = again.refused(409, "already_booked").await?;
    again.has("/possible_at", format!("{}T00:00:00+08:00", counter.next_day()))?;
    Ok(path)
}

/// Another time, the same appointment, and what happened to it so far.
async fn reschedule(stage: &Stage, zhang: &Session, counter: &Counter, path: &str) -> Result<()> {
    say("改晚半小时：一步完成，不会两头落空 · half an hour later, in one step: never without either");
    let later = json!({"starts_at": counter.at("09:30")});
    let moved = stage.post(&format!("{path}/reschedule"), later).by(zhang).key(&nonce()).send(200).await?;
    moved.has("/starts_at", counter.at("09:30"))?;
    say("这个预约的来龙去脉，谁也改不了 · the history of the appointment, which nobody can change");
    let history = stage.get(&format!("{path}/history")).by(zhang).send(200).await?;
    let last = history.items()?.last().context("no history")?;
    ensure!(last["from_starts_at"] == counter.at("09:00"), "it should come from 09:00: {last}");
    ensure!(last["to_starts_at"] == counter.at("09:30"), "it should go to 09:30: {last}");
    ensure!(last["actor_id"] == zhang.subject, "Zhang moved it: {last}");
    Ok(())
}

/// The paths of their entries.
async fn join(stage: &Stage, (li, wang): (&Session, &Session), counter: &Counter) -> Result<(String, String)> {
    let half_past = counter.at("09:30");
    say("李秀英的班车只赶得上九点半，可是约满了 · Li's bus is in time for 09:30 only, and that is full");
    let full = stage.post("/v1/appointments", counter.wish(&half_past)).by(li).key(&nonce());
    full.refused(409, "slot_full").await?;
    say("她候补，王建国排在她后面 · she joins the waiting list, and Wang behind her");
    let first = enter(stage, li, counter, &half_past).await?;
    first.has("/position", 1)?;
    let second = enter(stage, wang, counter, &half_past).await?;
    second.has("/position", 2)?;
    Ok((first.needs("location")?.to_owned(), second.needs("location")?.to_owned()))
}

async fn enter(stage: &Stage, who: &Session, counter: &Counter, at: &str) -> Result<Reply> {
    let body = json!({"unit_id": counter.place.town, "matter_id": counter.place.matter, "earliest": at, "latest": at});
    stage.post("/v1/waiting", body).by(who).key(&nonce()).send(201).await
}

/// The first is asked and takes it; nobody passes the line.
async fn offered(
    stage: &Stage,
    (li, first): (&Session, &str),
    (wang, second): (&Session, &str),
    counter: &Counter,
) -> Result<()> {
    say("王建国想抢先约走 · Wang tries to be faster");
    let jump = stage.post("/v1/appointments", counter.wish(&counter.at("09:30"))).by(wang).key(&nonce());
    jump.refused(409, "slot_waited_for").await?;
    say("名额按先后给到李秀英，她收到消息 · the place is offered to Li, who was first, and she is told");
    let offer = stage.get(first).by(li).until(|entry| entry["state"] == "offered").await?;
    offer.str("/offered_until")?;
    people::told(stage, li, "place_offered", offer.str("/appointment_id")?).await?;
    say("她要了 · she takes it");
    let take = stage.post(&format!("/v1/appointments/{}/book", offer.str("/appointment_id")?), json!({}));
    take.by(li).key(&nonce()).send(200).await?.has("/starts_at", counter.at("09:30"))?;
    say("王建国升到第一位；他不等了 · Wang is first in line now; he gives up waiting");
    stage.get(second).by(wang).send(200).await?.has("/position", 1)?;
    stage.post(&format!("{second}/leave"), json!({})).by(wang).key(&nonce()).send(200).await?.has("/state", "left")
}
