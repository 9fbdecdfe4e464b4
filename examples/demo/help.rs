//! A meal for Granny Chen: ordered for her at the desk, claimed by one of two, brought, confirmed without a phone, rated.

use anyhow::{Context, Result};
use lianxin::sample::COUNTY;
use serde_json::{Value, json};

use crate::{
    errand::step,
    stage::{Session, Stage, nonce, say},
    story::Story,
};

const KIND: &str = "助餐";
const HOME: &str = "红星村 3 组 12 号";

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, cadre, specialist, granny) = (&story.stage, story.cadre()?, story.specialist()?, story.granny()?);
    let order = place(stage, cadre, granny).await?;
    claim(stage, (specialist, cadre), &order).await?;
    bring(stage, (specialist, cadre), &order).await?;
    rate(stage, (specialist, cadre), &order).await
}

/// Ordered by the cadre for somebody without a phone; its path.
async fn place(stage: &Stage, cadre: &Session, granny: &str) -> Result<String> {
    let kinds = stage.get(&format!("/v1/order-kinds?county={COUNTY}&limit=200")).quietly().send(200).await?;
    let kind = kinds.items()?.iter().find(|kind| kind["name"] == KIND).context("the sample has it")?;
    say(
        "陈阿婆没有手机，村干部替她下单，越快越好 · Granny Chen has no phone; the cadre orders for her, as soon as somebody can",
    );
    let wish = json!({"kind_id": kind["id"], "resident_id": granny, "address": HOME, "phone": "13950912345", "words": "少油少盐",
        "place": {"lng": 117.85212, "lat": 25.69731, "coordinate_system": "gcj02"}});
    let placed = stage.post("/v1/orders", wish).by(cadre).key(&nonce()).send(201).await?;
    placed.has("/state", "open")?;
    Ok(placed.needs("location")?.to_owned())
}

/// The first has it, and only now sees where.
async fn claim(stage: &Stage, (specialist, cadre): (&Session, &Session), order: &str) -> Result<()> {
    say(
        "附近能接的单：看得到类型、时间和大致距离，看不到是谁、在哪一户 · what is near: kind, time, about how far; not who or where",
    );
    let nearby = stage.get("/v1/orders/nearby?lng=117.8474&lat=25.6991&limit=5").by(specialist).send(200).await?;
    let id = order.rsplit('/').next().unwrap_or_default();
    nearby.items()?.iter().find(|near| near["id"] == id).context("the order is not near")?;
    stage.get(order).by(specialist).quietly().send(200).await?.has("/address", Value::Null)?;
    say("先接先得 · the first has it");
    stage
        .post(&format!("{order}/claim"), json!({}))
        .by(specialist)
        .key(&nonce())
        .send(200)
        .await?
        .has("/held", true)?;
    let late = stage.post(&format!("{order}/claim"), json!({})).by(cadre).key(&nonce());
    late.send(409).await?.has("/code", "order_taken")?;
    say("接单后才看得到地址和电话，查看有记录 · whoever holds it sees address and phone; the look is recorded");
    stage.get(order).by(specialist).send(200).await?.has("/address", HOME)
}

/// On the way, at the door, done; somebody else writes down what she says.
async fn bring(stage: &Stage, (specialist, cadre): (&Session, &Session), order: &str) -> Result<()> {
    step(stage, specialist, order, "set_out", json!({})).await?.has("/state", "on_the_way")?;
    say(
        "开始要看居民的一次性验证码；没有手机的，由不接单的工作人员登记 · a one-time code to start; without a phone another agent writes it down",
    );
    let wrong =
        stage.post(&format!("{order}/start"), json!({"code": "000000x"})).by(specialist).header("if-match", "*");
    wrong.key(&nonce()).send(409).await?.has("/code", "order_code_wrong")?;
    let heard = json!({"without_phone": true, "words": "电话问过邻居，人已到家"});
    step(stage, cadre, order, "start", heard).await?.has("/started_how", "without_phone")?;
    step(stage, specialist, order, "finish", json!({"words": "两菜一汤，已送到"})).await?.has("/state", "finished")?;
    let alone = stage.post(&format!("{order}/confirm"), json!({"without_phone": true, "words": "阿婆说好吃"}));
    say("接单的人不能自己确认 · whoever did it does not confirm it");
    alone.by(specialist).header("if-match", "*").key(&nonce()).send(422).await?;
    let heard = json!({"without_phone": true, "words": "当面问过阿婆，饭菜收到"});
    step(stage, cadre, order, "confirm", heard).await?.has("/confirmed_how", "without_phone")
}

/// What she says of it, written down by the cadre and never by whoever brought it.
async fn rate(stage: &Stage, (specialist, cadre): (&Session, &Session), order: &str) -> Result<()> {
    let id = order.rsplit('/').next().unwrap_or_default();
    let rating = json!({"about_kind": "order", "about_id": id, "grade": 5, "words": "热乎的，好"});
    say("好差评：由被服务的人评，一次；没有手机的由别人代记 · rated once by the one who was served");
    stage
        .post("/v1/ratings", rating.clone())
        .by(specialist)
        .key(&nonce())
        .send(403)
        .await?
        .has("/code", "own_service")?;
    stage.post("/v1/ratings", rating.clone()).by(cadre).key(&nonce()).send(201).await?.has("/grade", 5)?;
    stage.post("/v1/ratings", rating).by(cadre).key(&nonce()).send(409).await?.has("/code", "already_rated")
}
