//! The township brings its list of households, and the specialist goes round without a network, by a clock that is years off: what the phone sends twice is there once, and what a visit found becomes an errand.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use lianxin::{
    clock::{CST, Clock},
    sample::COUNTY,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    people, phone,
    stage::{Session, Stage, nonce, say},
    story::{Place, Story},
};

const MATTER: &str = "残疾人证申领";

/// What a phone's clock shows that is three years slow.
fn slow(now: DateTime<Utc>, minutes_ago: i64) -> String {
    (now - TimeDelta::days(1_095) - TimeDelta::minutes(minutes_ago)).with_timezone(&CST).to_rfc3339()
}

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, specialist, granny) = (&story.stage, story.specialist()?, story.granny()?);
    list(stage).await?;
    let home = phone::due(stage, specialist, story.place()?, story.old_man()?).await?;
    let cursor = phone::fetch(stage, specialist, &home).await?;
    let day = morning(stage, specialist, home.id).await?;
    again(stage, specialist, &day).await?;
    phone::photo(stage, specialist, &day.last, day.photo).await?;
    phone::resolved(stage, specialist, &home, &day.last).await?;
    find(stage, specialist, granny, &day).await?;
    phone::changed(stage, specialist, &home, &cursor).await?;
    numbers(stage, story.place()?, home.due_on).await
}

/// A table of households: seen first, imported, and taken back.
async fn list(stage: &Stage) -> Result<()> {
    let town = people::staff(stage, "junxi", "township_staff", "均溪镇工作人员").await?;
    let header = "code,unit,name,address,category,lng,lat,coordinate_system,note";
    let code = nonce();
    let rows = format!(
        "{header}\n{code},均溪镇/红星村委会,郑家,红星村7号,重点关爱户,117.84721,25.69254,gcj02,\n,红星村委会,=B2,,,,,,\n"
    );
    say(
        "镇里用表格导入户：先预览，逐行说明；公式不收 · a list of households: previewed line by line; formulas are refused",
    );
    let seen =
        stage.table("/v1/households/import?preview=true", rows.clone()).by(&town).key(&nonce()).send(200).await?;
    seen.has("/lines/1/faults/0/code", "formula")?;
    let rows = rows.lines().take(2).collect::<Vec<_>>().join("\n");
    let done = stage.table("/v1/households/import", rows).by(&town).key(&nonce()).send(200).await?;
    done.has("/created", 1)?;
    say("导错了可以撤销 · and taken back, as long as nothing has happened since");
    let undo = format!("/v1/household-imports/{}/undo", done.str("/id")?);
    stage.post(&undo, json!({})).by(&town).key(&nonce()).send(200).await?.has("/undone", 1)
}

/// A day of visits as the phone has it.
struct Day {
    batch: Value,
    first: String,
    /// Where somebody had to be seen.
    last: String,
    /// Named by the last one, and still on the phone only.
    photo: Uuid,
}

/// Two households that nobody knew, one visit that cannot be, and at last the household that is due.
async fn morning(stage: &Stage, specialist: &Session, due: Uuid) -> Result<Day> {
    let now = Clock::System.now();
    let (known, new, photo) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let visit = |household: Uuid, ago: i64, more: Value| {
        let mut visit = json!({"id": Uuid::now_v7(), "household_id": household, "device_at": slow(now, ago), "outcome": "seen", "place": "home",
            "no_position_reason": "no_signal", "note": "身体还好"});
        for (name, value) in more.as_object().into_iter().flatten() {
            visit[name] = value.clone();
        }
        visit
    };
    let spot = |name: &str| json!({"name": name, "address": "红星村 3 组"});
    let visits = [
        visit(known, 300, json!({"household": spot("陈家")})),
        visit(new, 240, json!({"household": spot("新来的郑家"), "outcome": "not_found", "note": "门锁着"})),
        visit(known, 60, json!({"place": "elsewhere", "note": "在地里又遇到"})),
        visit(new, -30, json!({"note": "手机说这次走访还没有发生"})),
        // Just now: of the day whatever the hour is.
        visit(due, 0, json!({"note": "血压偏高，已提醒吃药", "photos": [photo]})),
    ];
    let id = |number: usize| visits[number]["id"].as_str().context("an id").map(str::to_owned);
    let (first, last) = (id(0)?, id(4)?);
    let batch = json!({"sent_at": slow(now, 0), "visits": visits});
    say(
        "一整天没有网络，手机的钟慢了三年；傍晚一次发出，逐条答复：错的一条不影响其他 · no network all day, and a clock three years slow; in the evening all of it at once, each answered by itself",
    );
    let sent = stage.post("/v1/visits/batch", batch.clone()).by(specialist).key(&nonce()).send(200).await?;
    for (item, result) in ["created", "created", "created", "refused", "created"].iter().enumerate() {
        sent.has(&format!("/items/{item}/result"), *result)?;
    }
    sent.has("/items/0/flags/0", "clock_off")?;
    sent.has("/items/3/refusal/errors/0/code", "after_sent_at")?;
    Ok(Day { batch, first, last, photo })
}

/// The answer was lost.
async fn again(stage: &Stage, specialist: &Session, day: &Day) -> Result<()> {
    say("答复没收到，再发一遍：每次走访仍只有一条 · the answer was lost; sent again, each visit is there once");
    let again = stage.post("/v1/visits/batch", day.batch.clone()).by(specialist).key(&nonce()).send(200).await?;
    for item in [0, 1, 2, 4] {
        again.has(&format!("/items/{item}/result"), "same")?;
    }
    let mut other = day.batch["visits"][0].clone();
    other["outcome"] = json!("not_found");
    say("同一编号内容不同：两个版本都保留，由人决定 · the same id with other words: both are kept, a person decides");
    let body = json!({"sent_at": day.batch["sent_at"], "visit": other});
    stage.post("/v1/visits", body).by(specialist).key(&nonce()).refused(409, "visit_conflict").await?;
    let versions = stage.get(&format!("/v1/visits/{}/conflicts", day.first)).by(specialist).send(200).await?;
    versions.has("/first/outcome", "seen")?;
    versions.has("/items/0/outcome", "not_found")?;
    let body = json!({"conflict_id": versions.str("/items/0/id")?, "how": "keep"});
    let settle = stage.post(&format!("/v1/visits/{}/settle", day.first), body).by(specialist).header("if-match", "*");
    settle.key(&nonce()).send(200).await?.has("/open_conflicts", 0)
}

/// What was found becomes an errand in one call, under her mandate.
async fn find(stage: &Stage, specialist: &Session, granny: &str, day: &Day) -> Result<()> {
    let matters = stage.get(&format!("/v1/matters?county={COUNTY}&limit=200")).quietly().send(200).await?;
    let matter = matters.items()?.iter().find(|matter| matter["name"] == MATTER).context("the sample has it")?;
    let found = json!({"kind": "concern", "words": "腿脚不便，想办残疾人证", "resident_id": granny});
    say("民情登记：陈阿婆想办残疾人证 · what the visit found: Granny Chen needs a disability certificate");
    let found =
        stage.post(&format!("/v1/visits/{}/findings", day.first), found).by(specialist).key(&nonce()).send(201).await?;
    let finding = found.needs("location")?.to_owned();
    let spoken = json!({"given_how": "spoken", "words": "请特派员帮我办", "matter_id": matter["id"]});
    let mandates = format!("/v1/residents/{granny}/mandates");
    let mandate = stage.post(&mandates, spoken).by(specialist).key(&nonce()).quietly().send(201).await?;
    say("一步转成代办件，并可从任一端找回 · an errand draft in one call, found from either end");
    let errand = json!({"matter_id": matter["id"], "mandate_id": mandate.str("/id")?});
    let made = stage.post(&format!("{finding}/errand"), errand).by(specialist).key(&nonce()).send(201).await?;
    let draft = stage.get(made.needs("location")?).by(specialist).quietly().send(200).await?;
    draft.has("/state", "draft")?;
    let back = stage.get(&format!("/v1/findings?case_id={}", draft.str("/id")?)).by(specialist).send(200).await?;
    back.has("/items/0/visit_id", day.first.as_str())
}

/// Of units and the month up to the day when the task was due: nobody is counted or ranked.
async fn numbers(stage: &Stage, place: &Place, to: NaiveDate) -> Result<()> {
    let supervisor = people::staff(stage, "supervisor", "supervisor", "督查员").await?;
    say(
        "督查员看各村一个月的数字：应访、按期、见到、未见到，没有个人排名 · a supervisor sees a month by village: due, in time, seen, not found; nobody is ranked",
    );
    let month = format!("unit_id={}&from={}&to={to}", place.town, to - Days::new(30));
    let numbers = stage.get(&format!("/v1/visits/numbers?{month}")).by(&supervisor).send(200).await?;
    let village = numbers.items()?.iter().find(|of| of["unit_id"] == place.village).context("the village")?;
    for (number, least) in [("due", 1), ("met", 1), ("seen", 2), ("not_found", 1), ("visits", 4)] {
        ensure!(village[number].as_i64() >= Some(least), "at least {least} {number}: {village}");
    }
    Ok(())
}
