//! Granny Chen's allowance is decided in the county: her household register goes along on a trip, and comes back.

use anyhow::{Context, Result, ensure};
use lianxin::sample::COUNTY;
use serde_json::{Value, json};

use crate::{
    people,
    stage::{Reply, Session, Stage, nonce, say},
    story::Story,
};

const MATTER: &str = "最低生活保障申请";

pub async fn play(story: &mut Story) -> Result<()> {
    let (stage, cadre, granny) = (&story.stage, story.cadre()?, story.granny()?);
    let errand = accepted(stage, cadre, granny).await?;
    let register = hand_over(stage, cadre, &errand).await?;
    let trip = collect(stage, cadre, &errand).await?;
    let bureau = people::staff(stage, "civil.affairs", "department_staff", "县民政局").await?;
    travel(stage, cadre, &bureau, &errand, &register, &trip).await?;
    bring_back(stage, cadre, &register, &trip).await
}

/// The id that a thing is answered with.
fn id(reply: &Reply) -> Result<String> {
    Ok(reply.str("/id")?.to_owned())
}

/// A command on what the caller has just seen.
async fn go(stage: &Stage, who: &Session, path: &str, body: Value) -> Result<Reply> {
    stage.post(path, body).by(who).header("if-match", "*").key(&nonce()).send(200).await
}

/// Filed under her mandate, with everything that is needed, and accepted; its path.
async fn accepted(stage: &Stage, cadre: &Session, granny: &str) -> Result<String> {
    let matters = stage.get(&format!("/v1/matters?county={COUNTY}&limit=200")).quietly().send(200).await?;
    let matter = matters.items()?.iter().find(|matter| matter["name"] == MATTER).context("the sample has it")?;
    say("低保由县民政局决定 · the subsistence allowance is decided by the county's civil affairs bureau");
    let spoken = json!({"given_how": "spoken", "words": "低保也请小陈帮我办", "matter_id": matter["id"]});
    let mandates = format!("/v1/residents/{granny}/mandates");
    let mandate = stage.post(&mandates, spoken).by(cadre).key(&nonce()).quietly().send(201).await?;
    let there = |key: &str| json!({"key": key, "in_person": true});
    let materials = ["id_card", "household_register", "application", "inquiry_consent", "income_statement"].map(there);
    let draft = json!({"matter_id": matter["id"], "resident_id": granny, "mandate_id": mandate.str("/id")?, "materials": materials,
        "answers": {"ill": "no", "disabled": "no", "student": "no", "renting": "no"},
        "form": {"members": [{"name": "陈阿婆", "relation": "本人"}], "monthly_income_fen": 30000, "reason": "年老独居，无稳定收入", "bank_account": "6217001234567890"}});
    let filed = stage.post("/v1/errands", draft).by(cadre).key(&nonce()).send(201).await?;
    let errand = filed.needs("location")?.to_owned();
    stage.post(&format!("{errand}/submit"), json!({})).by(cadre).key(&nonce()).send(200).await?;
    go(stage, cadre, &format!("{errand}/accept"), json!({})).await?;
    Ok(errand)
}

/// The register is handed over against a signature; its path.
async fn hand_over(stage: &Stage, cadre: &Session, errand: &str) -> Result<String> {
    say("户口簿原件交给代办员，签字为证 · the register itself is handed over, against a signature");
    let register = json!({"name": "居民户口簿"});
    let taken = stage.post(&format!("{errand}/originals"), register).by(cadre).key(&nonce()).send(201).await?;
    taken.has("/with/id", cadre.subject.as_str())?;
    let register = taken.needs("location")?.to_owned();
    go(stage, cadre, &format!("{register}/acknowledge"), json!({"how": "signed"}))
        .await?
        .has("/taken_how", "signed")?;
    Ok(register)
}

/// What is ready for the bureau goes along in one journey; the trip's path.
async fn collect(stage: &Stage, cadre: &Session, errand: &str) -> Result<String> {
    say("收集归类：哪些可以一起送县里 · what is ready, by department");
    let ready = stage.get("/v1/trips/ready").by(cadre).send(200).await?;
    let one = stage.get(errand).by(cadre).quietly().send(200).await?;
    let department = one.str("/department/id")?;
    let departments = ready["departments"].as_array().context("departments")?;
    let mine = departments.iter().find(|ready| ready["department"]["id"] == department).context("the bureau's")?;
    let errands: Vec<_> =
        mine["errands"].as_array().context("errands")?.iter().map(|ready| &ready["errand_id"]).collect();
    ensure!(errands.contains(&&one["id"]), "the errand is not ready");
    let plan = json!({"department_id": department, "on": one["accepted_on"], "errand_ids": [one["id"]]});
    let planned = stage.post("/v1/trips", plan).by(cadre).key(&nonce()).send(201).await?;
    planned.has("/errands/0/originals/0/name", "居民户口簿")?;
    Ok(planned.needs("location")?.to_owned())
}

/// On the way, there, and what the bureau says.
async fn travel(
    stage: &Stage,
    cadre: &Session,
    bureau: &Session,
    errand: &str,
    register: &str,
    trip: &str,
) -> Result<()> {
    stage.get(errand).by(bureau).refused(404, "not_found").await?;
    say("出发：全部转办，县民政局这才看得到 · off it goes: forwarded, and the bureau sees it from now on");
    go(stage, cadre, &format!("{trip}/start"), json!({})).await?.has("/trip/state", "under_way")?;
    stage.get(errand).by(bureau).send(200).await?.has("/state", "forwarded")?;
    go(stage, cadre, &format!("{register}/to_department"), json!({})).await?.has("/state", "with_department")?;
    say("要入户核查，答复须等几天 · they need some days");
    go(stage, bureau, &format!("{errand}/later"), json!({"reason": "须入户核查"})).await?;
    say("结果由代办员带回，记入每一件的台账 · the result comes back with the agent, into the ledger of each errand");
    let one = stage.get(errand).by(cadre).quietly().send(200).await?;
    let words = "符合条件，自下月起发放";
    let results = json!({"results": [{"errand_id": id(&one)?, "result": "accepted", "words": words}]});
    go(stage, cadre, &format!("{trip}/results"), results).await?.has("/errands/0/result", "accepted")?;
    stage.get(errand).by(cadre).quietly().send(200).await?.has("/granted", true)
}

/// The register comes back to her; until she has it, the errand is not archived.
async fn bring_back(stage: &Stage, cadre: &Session, register: &str, trip: &str) -> Result<()> {
    go(stage, cadre, &format!("{register}/from_department"), json!({})).await?.has("/state", "held")?;
    go(stage, cadre, &format!("{trip}/finish"), json!({})).await?.has("/trip/state", "done")?;
    say("原件交还，本人签收；此前不能归档 · the register is back, against her signature; the archive waits for that");
    go(stage, cadre, &format!("{register}/return"), json!({})).await?.has("/state", "handed_back")?;
    go(stage, cadre, &format!("{register}/acknowledge"), json!({"how": "signed"})).await?.has("/state", "returned")
}
