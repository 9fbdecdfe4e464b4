//! An old man without a phone: his specialist writes down whom he lets act, and his daughter in the city books for him.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    booking::{DAYS, TEMPLATE},
    people::{self, Sex},
    slots,
    stage::{Session, Stage, nonce, say},
    story::{Place, Story},
};

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, zhang, place) = (&story.stage, story.zhang()?, story.place()?);
    let specialist = people::staff(stage, "specialist", "specialist", "红星村特派员").await?;
    let old_man = register(stage, &specialist, place).await?;
    let (proxy, code) = write_down(stage, &specialist, &old_man).await?;
    let daughter = accept(stage, &code, &proxy).await?;
    stranger(stage, zhang, &code).await?;
    match book(stage, (&daughter, zhang), place, &old_man).await? {
        Some(booked) => {
            bring(stage, &specialist, &old_man, &booked).await?;
            say("女儿要回来陪他去：取消 · she is coming home to take him there: cancelled");
            let cancel = stage.post(&format!("/v1/appointments/{booked}/cancel"), json!({"reason": "改由家人陪同"}));
            cancel.by(&daughter).key(&nonce()).send(200).await?.has("/state", "cancelled")?;
        }
        None => {
            say("今后七天没有名额 · no place in the next seven days");
            counter(stage, &old_man, &[]).await?;
        }
    }
    end(stage, &daughter, &proxy, &old_man).await?;
    story.old_man = Some(old_man);
    story.specialist = Some(specialist);
    Ok(())
}

/// Looked up first, so that nobody is registered twice; nobody has a phone here.
async fn register(stage: &Stage, specialist: &Session, place: &Place) -> Result<String> {
    say("先查有没有登记过；号码是随机编的 · looked up first; the number is made up");
    let number = people::id_number(Sex::Man, 1930);
    let found = stage.post("/v1/residents/lookup", json!({"id_number": number})).by(specialist).send(200).await?;
    ensure!(found.items()?.is_empty(), "somebody has this number: {}", found.text);
    say(
        "看了户口簿，他口头同意保存身份证号；没有电话 · the household register was seen, he agreed aloud; he has no phone",
    );
    let body = json!({"name": "林大山", "id_number": number, "unit_id": place.village, "identity_seen": "household_register",
        "consents": ["id_number"], "consents_how": "spoken"});
    let made = stage.post("/v1/residents", body).by(specialist).key(&nonce()).send(201).await?;
    made.has("/name", "林*山")?;
    made.has("/phone", Value::Null)?;
    made.has("/identity_level", "officer")?;
    Ok(made.str("/id")?.to_owned())
}

/// What he said, and the code that his daughter needs.
async fn write_down(stage: &Stage, specialist: &Session, old_man: &str) -> Result<(String, String)> {
    say("“让我女儿替我约。”特派员记下来 · \"let my daughter book for me\": the specialist writes it down");
    let body = json!({"relation": "child", "may": ["book"], "given_how": "spoken"});
    let path = format!("/v1/residents/{old_man}/proxies");
    let invited = stage.post(&path, body).by(specialist).key(&nonce()).send(201).await?;
    invited.has("/state", "invited")?;
    invited.has("/given_by", specialist.subject.as_str())?;

    say("打电话把代码念给女儿听 · the code is read out to his daughter on the phone");
    let path = format!("{}/code", invited.needs("location")?);
    let code = stage.post(&path, json!({})).by(specialist).send(200).await?;
    Ok((invited.str("/id")?.to_owned(), code.str("/code")?.to_owned()))
}

/// She logs in, proves her phone, and types the code as she wrote it down.
async fn accept(stage: &Stage, code: &str, proxy: &str) -> Result<Session> {
    let phone = people::phone();
    let daughter = people::wechat(stage, &format!("daughter-{phone}"), "林小梅").await?;
    let (start, end) = code.split_at(code.len() / 2);
    let typed = json!({"code": format!("{}-{}", start.to_lowercase(), end.to_lowercase())});
    let type_in = || stage.post("/v1/proxies/accept", typed.clone()).by(&daughter).key(&nonce());
    say("手机号还没有验证：先弄清是谁 · her phone is not proved yet: first it must be known who she is");
    type_in().refused(403, "identity_needed").await?;
    let proved = people::prove_phone(stage, &daughter, &phone).await?;
    let path = format!("/v1/residents/{}", daughter.subject);
    let save = stage.put(&path, json!({"name": "林小梅", "phone": phone})).by(&daughter);
    save.header("If-Match", proved.needs("etag")?).send(200).await?;
    say("代码没有用掉；大小写和连字符无所谓 · the code is still good; case and hyphens do not matter");
    let accepted = type_in().send(200).await?;
    accepted.has("/id", proxy)?;
    accepted.has("/state", "active")?;

    say("她可以替谁办 · for whom she may act");
    let principals = stage.get(&format!("{path}/principals")).by(&daughter).send(200).await?;
    principals.has("/items/0/id", proxy)?;
    principals.has("/items/0/resident_name", "林*山")?;
    principals.has("/items/0/proxy_name", "林*梅")?;
    Ok(daughter)
}

/// Zhang has heard the code too, and tries all the same.
async fn stranger(stage: &Stage, zhang: &Session, code: &str) -> Result<()> {
    say("张小明听到了代码，但它只能用一次 · Zhang has heard the code, but it is good once");
    let typed = stage.post("/v1/proxies/accept", json!({"code": code})).by(zhang).key(&nonce());
    typed.refused(422, "invalid").await?.has("/errors/0/code", "code_refused")
}

/// The appointment, if there is a free place: hers to make, and his.
async fn book(
    stage: &Stage,
    (daughter, zhang): (&Session, &Session),
    place: &Place,
    old_man: &str,
) -> Result<Option<String>> {
    let Some(day) = slots::next(stage, place, "public", DAYS, 1).await? else { return Ok(None) };
    let grant = json!({"template_ids": [TEMPLATE]});
    stage.post("/v1/messages/grants", grant).by(daughter).key(&nonce()).send(201).await?;
    say("为他预约：回答里有两个人 · booked for him: the answer names both");
    let body =
        json!({"unit_id": place.town, "matter_id": place.matter, "starts_at": day.free[0], "resident_id": old_man});
    let booked = stage.post("/v1/appointments", body.clone()).by(daughter).key(&nonce()).send(201).await?;
    booked.has("/resident/id", old_man)?;
    booked.has("/resident/name", "林*山")?;
    booked.has("/booked_by_resident", daughter.subject.as_str())?;
    let id = booked.str("/id")?.to_owned();
    say("张小明不能替他约，也看不到这个预约 · Zhang can neither book for him nor see it");
    let refused = stage.post("/v1/appointments", body).by(zhang).key(&nonce()).refused(422, "invalid").await?;
    refused.has("/errors/0/code", "may_not_act_for")?;
    stage.get(booked.needs("location")?).by(zhang).refused(404, "not_found").await?;

    say("女儿收到微信 · the daughter is told by WeChat");
    let told = |item: &Value| item["about_id"] == id.as_str() && item["wechat"] == "sent";
    let inbox = stage.get("/v1/messages").by(daughter);
    inbox.until(|reply| reply.items().is_ok_and(|items| items.iter().any(told))).await?;
    Ok(Some(id))
}

/// What reached him on no channel waits for the village's staff: a slip.
async fn bring(stage: &Stage, specialist: &Session, old_man: &str, booked: &str) -> Result<()> {
    say("他没有微信，也没有电话：成了村里的待办 · he has neither WeChat nor phone: a todo for the village");
    let messages = stage.get(&format!("/v1/residents/{old_man}/messages")).by(specialist);
    let about = |item: &&Value| item["about_id"] == booked && item["deliveries"].as_array().map(Vec::len) == Some(4);
    let of_booking = |items: &[Value]| items.iter().find(about).cloned();
    let messages = messages.until(|reply| reply.items().is_ok_and(|items| of_booking(items).is_some())).await?;
    let message = of_booking(messages.items()?).unwrap_or_default();
    let tried: Vec<_> = message["deliveries"].as_array().into_iter().flatten().collect();
    let states = ["sent", "not_reachable", "not_reachable", "sent"];
    ensure!(tried.iter().map(|channel| &channel["state"]).eq(states.iter()), "inbox, WeChat, SMS, person: {tried:?}");

    let todos = stage.get(&format!("/v1/todos?kind=slip&resident_id={old_man}")).by(specialist).send(200).await?;
    let todo = todos.items()?.iter().find(|todo| todo["about_id"] == message["id"]).context("no slip to bring")?;
    todo["unit_id"].as_str().context("the slip belongs to no village")?;
    let path = format!("/v1/todos/{}", todo["id"].as_str().unwrap_or_default());
    say("特派员领取，它就在他那一天的日程里 · the specialist takes it, and it stands in that day");
    stage.post(&format!("{path}/take"), json!({})).by(specialist).key(&nonce()).send(200).await?;
    let due = todo["due_at"].as_str().and_then(|at| at.get(..10)).context("a slip has a day")?;
    let day = stage.get(&format!("/v1/my_day?date={due}")).by(specialist).send(200).await?;
    ensure!(day.items()?.iter().any(|item| item["id"] == todo["id"]), "the slip is not in the specialist's day");

    counter(stage, old_man, &[booked, todo["id"].as_str().unwrap_or_default()]).await?;

    say("打印的纸条是明文；谁看过会留痕 · the printed slip is plain; who looked is recorded");
    let path_of = |todo: &Value| format!("/v1/messages/{}/slip", todo["about_id"].as_str().unwrap_or_default());
    let slip = stage.get(&path_of(todo)).by(specialist).send(200).await?;
    slip.has("/name", "林大山")?;
    slip.has("/unit", "红星村委会")?;
    let note = json!({"note": "已送到家并念给他听"});
    let done = || stage.post(&format!("{path}/done"), note.clone()).by(specialist).key(&nonce());
    done().send(200).await?.has("/state", "done")?;
    done().refused(409, "todo_not_waiting").await?;
    // Outside the quiet hours he is also told that somebody may act for him.
    for other in todos.items()?.iter().filter(|other| other["id"] != todo["id"]) {
        say("另一张也顺路带到：代办授权已生效 · another one is brought along: somebody may act for him");
        stage.get(&path_of(other)).by(specialist).send(200).await?;
        let path = format!("/v1/todos/{}/done", other["id"].as_str().unwrap_or_default());
        stage.post(&path, note.clone()).by(specialist).key(&nonce()).send(200).await?;
    }
    Ok(())
}

/// Everything that is open for him, on one page, these things among it.
async fn counter(stage: &Stage, old_man: &str, expected: &[&str]) -> Result<()> {
    let town = people::staff(stage, "junxi", "township_staff", "均溪镇工作人员").await?;
    say("柜台：“这个人”还有什么没办完 · at the counter: what is open for this person");
    let open = stage.get(&format!("/v1/residents/{old_man}/open")).by(&town).send(200).await?;
    open.has("/resident_name", "林*山")?;
    for id in expected {
        ensure!(open.items()?.iter().any(|item| item["id"] == *id), "{id} should be open for him: {}", open.text);
    }
    Ok(())
}

/// She acts no more; at once.
async fn end(stage: &Stage, daughter: &Session, proxy: &str, old_man: &str) -> Result<()> {
    say("授权终止，立即生效 · she acts for him no more, at once");
    let end = || stage.post(&format!("/v1/proxies/{proxy}/end"), json!({})).by(daughter).key(&nonce());
    end().send(200).await?.has("/state", "ended")?;
    end().refused(409, "proxy_ended").await?;
    let list = stage.get(&format!("/v1/appointments?resident_id={old_man}")).by(daughter).send(200).await?;
    ensure!(list.items()?.is_empty(), "she still sees {}", list.text);
    Ok(())
}
