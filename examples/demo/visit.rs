//! An agent books for Granny Chen although the public is full, makes it a visit at home, and then the power is cut.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    counter::Counter,
    people, slots,
    stage::{Session, Stage, nonce, say},
    story::Story,
};

const ADDRESS: &str = "均溪镇红星村12号，晒谷场旁边";

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, cadre, counter) = (&story.stage, story.cadre()?, story.counter()?);
    let booked = book(stage, cadre, story.granny()?, counter).await?;
    at_home(stage, cadre, counter, &booked).await?;
    reveal(stage, cadre, &booked).await?;
    power_cut(stage, story.li()?, counter).await
}

/// The public's place is Li's; the agents' is still there. The path of the appointment.
async fn book(stage: &Stage, cadre: &Session, granny: &str, counter: &Counter) -> Result<String> {
    let half_past = counter.at("09:30");
    say("九点半：网上已约满，代办员的名额还在 · 09:30: full for the public, not for agents");
    let public = slots::on(stage, &counter.place, counter.day, "channel=public").await?;
    ensure!(!public.free.contains(&half_past), "the public's place at {half_past} should be taken");
    let mut wish = counter.wish(&half_past);
    wish["resident_id"] = granny.into();
    wish["channel"] = "proxy".into();
    let booked = stage.post("/v1/appointments", wish).by(cadre).key(&nonce()).send(201).await?;
    booked.has("/channel", "proxy")?;
    booked.has("/resident/name", "陈*婆")?;
    Ok(booked.needs("location")?.to_owned())
}

/// The same appointment, but at her home, with the way there and back kept free.
async fn at_home(stage: &Stage, cadre: &Session, counter: &Counter, path: &str) -> Result<()> {
    say("阿婆膝盖疼，来不了：改为上门，要写明地址 · her knee hurts: a visit at home, and that needs an address");
    let mut body = json!({"starts_at": counter.at("14:30"), "place": "home"});
    let change = |body: &Value| stage.post(&format!("{path}/reschedule"), body.clone()).by(cadre).key(&nonce());
    change(&body).refused(422, "invalid").await?.has("/errors/0/pointer", "/address")?;
    body["address"] = ADDRESS.into();
    let moved = change(&body).send(200).await?;
    moved.has("/place", "home")?;
    say("来回路上各半小时也占着：下一户最早四点 · half an hour each way is kept free: the next visit is at four");
    let visits = slots::on(stage, &counter.place, counter.day, "channel=proxy&place=home").await?;
    ensure!(visits.free.first() == Some(&counter.at("16:00")), "travel should be kept free: {:?}", visits.free);
    Ok(())
}

/// Where she lives is seen with a reason only.
async fn reveal(stage: &Stage, cadre: &Session, path: &str) -> Result<()> {
    say("预约里看不到地址 · the appointment does not show the address");
    stage.get(path).by(cadre).send(200).await?.has("/address", Value::Null)?;
    say("出发前写明理由才看得到，并留痕 · before setting out: with a reason, which is recorded");
    let reveal = stage.post(&format!("{path}/reveal"), json!({"reason": "上门办证，核对地址"})).by(cadre);
    reveal.send(200).await?.has("/address", ADDRESS)
}

/// A day with bookings is not just closed: who is affected is listed, and somebody decides.
async fn power_cut(stage: &Stage, li: &Session, counter: &Counter) -> Result<()> {
    let close = |change: Value| {
        let mut body = json!({"kind": "closed", "reason": "停电检修"});
        for (name, value) in change.as_object().into_iter().flatten() {
            body[name.as_str()] = value.clone();
        }
        counter.except(stage, (counter.day, counter.day), body)
    };
    say(
        "那天要停电：关窗？已有人约了，先说怎么办 · the power will be cut that day: close? Some have booked, so decide first",
    );
    close(json!({})).refused(409, "bookings_affected").await?;
    say("试算：影响谁，能改到几时 · a dry run: who is affected, and where they could go");
    let planned = close(json!({"dry_run": true, "affected": "move"})).send(200).await?;
    planned.has("/affected_count", 2)?;
    say("改到最近的空位，并逐一通知 · moved to the nearest free time, and everybody is told");
    let closed = close(json!({"affected": "move"})).send(201).await?;
    let affected = closed["affected"].as_array().context("no list of those who are affected")?;
    let next_day = counter.next_day().to_string();
    for one in affected {
        let to = one["new_place"]["starts_at"].as_str().unwrap_or_default();
        ensure!(one["outcome"] == "moved" && to.starts_with(&next_day), "it should move to {next_day}: {one}");
    }
    let of_li = affected.iter().find(|one| one["resident"]["id"] == li.subject);
    let id = of_li.and_then(|one| one["id"].as_str()).context("Li is not among those who are affected")?;
    people::told(stage, li, "appointment_changed", id).await
}
