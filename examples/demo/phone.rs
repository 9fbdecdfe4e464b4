//! What a phone of staff keeps: everything before going out, then only what has changed; and what a visit does to the task it is for.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use chrono::NaiveDate;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    papers,
    stage::{Reply, Session, Stage, nonce, say},
    story::Place,
};

/// The category of the sample county that comes round most often.
const CATEGORY: &str = "重点关爱户";

/// A household that somebody has to be seen of.
pub struct Home {
    pub id: Uuid,
    task: String,
    pub due_on: NaiveDate,
}

/// A household in a category has a task at once.
pub async fn due(stage: &Stage, specialist: &Session, place: &Place, old_man: &str) -> Result<Home> {
    say("林大山列为重点关爱户 · Lin Dashan's household is one to be seen every thirty days");
    let categories = stage.get("/v1/visit-categories").by(specialist).send(200).await?;
    let category = categories.items()?.iter().find(|category| category["name"] == CATEGORY).context("a category")?;
    let household = json!({"unit_id": place.village, "name": "林大山", "address": "红星村21号", "category_id": category["id"],
        "members": [{"resident_id": old_man, "relation": "head"}]});
    let made = stage.post("/v1/households", household).by(specialist).key(&nonce()).send(201).await?;
    let id = made.str("/id")?.parse()?;
    say("任务随即生成，谁也不能手工勾掉 · its task is there at once, and nobody can tick it");
    let tasks = tasks(stage, specialist, id, "open").await?;
    Ok(Home { id, task: tasks.str("/items/0/id")?.to_owned(), due_on: due_on(&tasks)? })
}

async fn tasks(stage: &Stage, specialist: &Session, household: Uuid, state: &str) -> Result<Reply> {
    let path = format!("/v1/visit-tasks?household_id={household}&state={state}");
    let tasks = stage.get(&path).by(specialist).send(200).await?;
    ensure!(tasks.items()?.len() == 1, "one {state} task of the household, not {}", tasks.text);
    tasks.has("/items/0/state", state)?;
    Ok(tasks)
}

fn due_on(tasks: &Reply) -> Result<NaiveDate> {
    Ok(tasks.str("/items/0/due_on")?.parse()?)
}

/// How many of each kind, as it is said to a reader.
fn told(items: &[Value]) -> String {
    let mut kinds = BTreeMap::new();
    for item in items {
        *kinds.entry(item["entity"].as_str().unwrap_or_default()).or_insert(0) += 1;
    }
    kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}

fn has(items: &[Value], entity: &str, id: &str, gone: bool) -> bool {
    items.iter().any(|item| item["entity"] == entity && item["id"] == id && item["gone"] == gone)
}

/// Everything, page by page; the cursor that the phone stores with it.
pub async fn fetch(stage: &Stage, specialist: &Session, home: &Home) -> Result<String> {
    say(
        "出门前，手机取下所需的一切，一页一页，直到 more 为 false · before going out the phone fetches all it needs, until `more` is false",
    );
    let (mut items, mut pages) = (Vec::new(), 1);
    let mut page = stage.get("/v1/sync").by(specialist).send(200).await?;
    loop {
        items.extend_from_slice(page.items()?);
        if page["more"] == false {
            break;
        }
        let next = format!("/v1/sync?cursor={}", page.str("/next_cursor")?);
        // The first has shown what they look like.
        page = stage.get(&next).by(specialist).quietly().send(200).await?;
        pages += 1;
    }
    say(&format!("{pages} 页 · pages: {}", told(&items)));
    ensure!(has(&items, "household", &home.id.to_string(), false), "the household should be on the phone");
    ensure!(has(&items, "visit_task", &home.task, false), "the task should be on the phone");
    Ok(page.str("/next_cursor")?.to_owned())
}

/// What has changed since, each thing once; what is done is a tombstone.
pub async fn changed(stage: &Stage, specialist: &Session, home: &Home, cursor: &str) -> Result<()> {
    say(
        "凭上次的 cursor 只取变化：走访过的户、新的任务、代办件；完成的任务只剩删除标记 · with the cursor only what has changed: the resolved task is a tombstone",
    );
    let resolved = |reply: &Reply| reply.items().is_ok_and(|items| has(items, "visit_task", &home.task, true));
    // What is committed is told once everything older is: a moment later, when the worker is busy.
    let page = stage.get(&format!("/v1/sync?cursor={cursor}")).by(specialist).until(resolved).await?;
    let items = page.items()?;
    say(&format!("变化 · changed: {}", told(items)));
    ensure!(has(items, "household", &home.id.to_string(), false), "the household was seen, which changes it");
    let next = |item: &Value| item["entity"] == "visit_task" && item["data"]["household_id"] == home.id.to_string();
    ensure!(items.iter().any(next), "the next task should be there: {}", page.text);
    Ok(())
}

/// A photo that the check-in named, when there is a network for it.
pub async fn photo(stage: &Stage, specialist: &Session, visit: &str, photo: Uuid) -> Result<()> {
    say("签到时说有一张照片，随后才传到 · the check-in named a photo, which arrives later");
    let path = format!("/v1/visits/{visit}");
    stage.get(&path).by(specialist).send(200).await?.has("/photos_missing", 1)?;
    let file =
        stage.upload("血压记录.jpg", "image/jpeg", papers::photo()?).by(specialist).key(&nonce()).send(201).await?;
    let body = json!({"photos": [{"photo_id": photo, "attachment_id": file.str("/id")?}]});
    let with = stage.post(&format!("{path}/photos"), body).by(specialist).key(&nonce()).send(200).await?;
    with.has("/photos_missing", 0)?;
    with.has("/photos/0/attachment_id", file.str("/id")?)
}

/// Because a visit in its window met somebody; the next one counts from that day.
pub async fn resolved(stage: &Stage, specialist: &Session, home: &Home, visit: &str) -> Result<()> {
    say("有了走访，任务自己完成，写明是哪一次 · the task is resolved because a visit is there, and says which");
    let done = tasks(stage, specialist, home.id, "resolved").await?;
    done.has("/items/0/id", home.task.as_str())?;
    done.has("/items/0/visit_id", visit)?;
    say("下一次从那天算起 · the next one counts from that day");
    let next = tasks(stage, specialist, home.id, "open").await?;
    ensure!(due_on(&next)? > home.due_on, "the next one should be later: {}", next.text);
    Ok(())
}
