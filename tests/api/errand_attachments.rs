//! Files of errands and mandates: attached with the step that brings them, seen by whoever sees the thing, bound by the ledger.

use chrono::TimeDelta;
use futures_util::future::join_all;
use lianxin::jobs;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::foreign_admin,
    attachments::{link, pdf, photo, stored},
    errands::{content, ledger, matter, path, step, submitted, villager},
    harness::{Reply, Session, TestApp},
    merging::with_phone,
    proxies::authorised,
    staff::open,
    uploads::{create, patch},
};

/// What is filed with files for the one material that is needed.
pub fn with(matter: Uuid, ids: &[Uuid]) -> Value {
    json!({"matter_id": matter, "answers": {"local": "yes"}, "materials": [{"key": "id_card", "attachment_ids": ids}]})
}

fn without_matter(mut body: Value) -> Value {
    body.as_object_mut().expect("an object").remove("matter_id");
    body
}

async fn look(t: &TestApp, by: &Session, id: Uuid) -> Reply {
    t.get(&format!("/v1/attachments/{id}")).by(by).send().await
}

async fn file(t: &TestApp, by: &Session, body: Value) -> Reply {
    t.post("/v1/errands").by(by).json(body).send().await
}

#[actix_web::test]
async fn whoever_sees_the_errand_sees_its_files() {
    let t = TestApp::new().await;
    let (who, lin) = (villager(&t, "chen").await, villager(&t, "lin").await);
    let admin = t.staff("admin").await;
    let mut content = content("department");
    content["department_id"] = json!(t.department("县民政局").await);
    let matter = matter(&t, content).await;
    let photo = pdf(&t, &who).await;
    let filed = file(&t, &who, with(matter, &[photo])).await.created();
    assert_eq!(
        filed["materials"],
        json!([{"key": "id_card", "in_person": false, "attachment_ids": [photo]}]),
        "without in_person it is attached"
    );
    let seen = look(&t, &who, photo).await.ok();
    assert_eq!(
        (&seen["about"], &seen["about_id"], &seen["expires_at"]),
        (&json!("errand"), &filed["id"], &Value::Null)
    );
    let (cadre, bureau) = (t.staff("cadre").await, t.staff("civil.affairs").await);
    let said = json!({"relation": "child", "may": ["errand"], "given_how": "spoken", "valid_until": "2026-12-31"});
    let daughter = with_phone(&t, "daughter", "陈小梅", "13950900002").await;
    authorised(&t, &cadre, &who.subject.to_string(), &daughter, said).await;
    look(&t, &daughter, photo).await.ok();
    let (_, shipai) = open(&t, &admin, "shipai", "township_staff", "石牌镇").await;
    let foreign = foreign_admin(&t).await;
    // A draft is its resident's.
    let junxi = t.staff("junxi").await;
    for other in [&cadre, &junxi, &bureau, &lin, &shipai, &foreign] {
        look(&t, other, photo).await.problem(404, "not_found");
    }
    let sent = step(&t, &who, &filed, "submit", json!({})).await.ok();
    for staff in [&cadre, &junxi, &admin, &t.staff("supervisor").await] {
        look(&t, staff, photo).await.ok();
        let url = link(&t, staff, photo).await;
        t.get(&url).send().await.is(200);
    }
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'link'"), 4);
    step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    look(&t, &bureau, photo).await.problem(404, "not_found");
    step(&t, &cadre, &sent, "forward", json!({})).await.ok();
    look(&t, &bureau, photo).await.ok();
    step(&t, &bureau, &sent, "return", json!({"reason": "材料不全"})).await.ok();
    look(&t, &bureau, photo).await.problem(404, "not_found");
    for other in [&lin, &shipai, &foreign] {
        look(&t, other, photo).await.problem(404, "not_found");
        t.post(&format!("/v1/attachments/{photo}/link")).by(other).send().await.problem(404, "not_found");
    }
    let delete = t.call(reqwest::Method::DELETE, &format!("/v1/attachments/{photo}")).by(&who);
    delete.send().await.problem(409, "attachment_in_use");
    t.run_jobs().await;
}

#[actix_web::test]
async fn every_wrong_file_is_named_and_none_is_attached() {
    let t = TestApp::new().await;
    let (who, lin) = (villager(&t, "chen").await, villager(&t, "lin").await);
    let matter = matter(&t, content("village")).await;
    let (mine, foreign, used) = (pdf(&t, &who).await, pdf(&t, &lin).await, pdf(&t, &who).await);
    file(&t, &who, with(matter, &[used])).await.created();
    let id = |path: &str| -> Uuid { path.rsplit('/').next().expect("an id").parse().expect("a UUID") };
    let unready = id(&create(&t, &who, 1000).await);
    let picture = photo();
    let refused = create(&t, &who, picture.len()).await;
    patch(&t, &who, &refused, 0, &picture).send().await.is(204);
    t.run_jobs().await;
    let body = json!({"matter_id": matter, "answers": {"local": "no"}, "materials": [
        {"key": "id_card", "attachment_ids": [mine, foreign]},
        {"key": "permit", "in_person": true, "attachment_ids": [used, unready, id(&refused), Uuid::now_v7()]}]});
    let wrong = file(&t, &who, body).await.problem(422, "invalid");
    assert_eq!(
        wrong.faults(),
        [
            "/materials/0/attachment_ids/1:attachment",
            "/materials/1/attachment_ids/0:attachment",
            "/materials/1/attachment_ids/1:attachment_not_ready",
            "/materials/1/attachment_ids/2:attachment",
            "/materials/1/attachment_ids/3:attachment",
        ]
    );
    assert_eq!(look(&t, &who, mine).await.ok()["about"], Value::Null);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM errands"), 1, "and nothing is filed");
    let body = json!({"matter_id": matter, "materials": [{"key": "id_card"}, {"key": "permit", "attachment_ids": [mine, mine]}]});
    let wrong = file(&t, &who, body).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/materials/0/attachment_ids:required", "/materials/1/attachment_ids/1:twice"]);
    let ten: Vec<_> = (0..10).map(|_| Uuid::now_v7()).collect();
    let wrong = file(&t, &who, with(matter, &ten)).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/materials/0/attachment_ids:length"]);
    // Of two drafts that take the same file at once one has it.
    let both = join_all((0..2).map(|_| file(&t, &who, with(matter, &[mine])))).await;
    let mut statuses: Vec<_> = both.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422]);
}

#[actix_web::test]
async fn a_draft_lets_go_of_what_it_does_not_need_any_more() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let (first, second, third) = (pdf(&t, &who).await, pdf(&t, &who).await, pdf(&t, &who).await);
    let filed = file(&t, &who, with(matter, &[first, second])).await.created();
    let change = without_matter(with(matter, &[second, third]));
    let put = |tag: &str, body: &Value| t.put(&path(&filed)).by(&who).header("if-match", tag).json(body.clone()).send();
    let unknown = without_matter(with(matter, &[second, Uuid::now_v7()]));
    let wrong = put("\"1\"", &unknown).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/materials/0/attachment_ids/1:attachment"]);
    look(&t, &who, first).await.ok();
    let draft = put("\"1\"", &change).await.ok();
    assert_eq!(draft["materials"][0]["attachment_ids"], json!([second, third]));
    look(&t, &who, first).await.problem(404, "not_found");
    put("\"1\"", &change).await.problem(412, "version_stale");
    jobs::sweep(&t.app).await.expect("swept");
    assert_eq!(stored(&t), 2);
    // Its bytes are gone, and it does not come back.
    put("\"2\"", &without_matter(with(matter, &[first]))).await.problem(422, "invalid");
    t.pass(TimeDelta::days(3));
    jobs::sweep(&t.app).await.expect("swept");
    assert_eq!(stored(&t), 2, "what belongs to an errand does not run out");
    let who = t.resident("chen").await;
    look(&t, &who, second).await.ok();
    step(&t, &who, &filed, "submit", json!({})).await.ok();
}

#[actix_web::test]
async fn what_was_missing_is_attached_and_the_ledger_binds_it() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("township")).await);
    let cadre = t.staff("cadre").await;
    let (card, permit, foreign) = (pdf(&t, &who).await, pdf(&t, &who).await, pdf(&t, &cadre).await);
    let filed = file(&t, &who, with(matter, &[card])).await.created();
    let sent = step(&t, &who, &filed, "submit", json!({})).await.ok();
    step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    step(&t, &cadre, &sent, "request_supplement", json!({"materials": ["permit"], "words": "请补交居住证"})).await.ok();
    let bring = |ids: &[Uuid]| json!({"materials": [{"key": "permit", "attachment_ids": ids}], "words": "已拍照"});
    let wrong = step(&t, &who, &sent, "supplement", bring(&[permit, foreign])).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/materials/0/attachment_ids/1:attachment"]);
    let wrong = step(&t, &who, &sent, "supplement", bring(&[])).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/materials/0/attachment_ids:required"]);
    let key = |body: Value| t.post(&format!("{}/supplement", path(&sent))).by(&who).key("once").json(body).send();
    let (again, same) = (key(bring(&[permit])).await.ok(), key(bring(&[permit])).await.ok());
    assert_eq!((&again["state"], &again), (&json!("accepted"), &same));
    assert_eq!(again["materials"][1], json!({"key": "permit", "in_person": false, "attachment_ids": [permit]}));
    let told = ledger(&t, &who, &sent).await;
    assert_eq!(told["broken_at"], Value::Null);
    let entry = |name: &str| {
        let entries = told["entries"].as_array().expect("entries");
        entries.iter().find(|entry| entry["step"] == name).expect(name)["facts"].clone()
    };
    let sha256 = look(&t, &who, permit).await.ok()["sha256"].as_str().expect("a digest").to_owned();
    assert_eq!(entry("supplement")["files"], json!(format!("{permit}:{sha256}")));
    assert!(entry("submit")["content"] != entry("supplement")["content"], "each binds what was said then");
    assert_eq!(entry("supplement")["content"].as_str().map(str::len), Some(64));
    // Whatever is changed beside the ledger shows, and where.
    let broken = async || ledger(&t, &who, &sent).await["broken_at"].clone();
    for (change, back, at) in [
        ("answers = '{\"local\": \"no\"}'", "answers = '{\"local\": \"yes\"}'", 5),
        ("materials = materials - 1", "", 5),
        ("form = content_salt", "form = NULL", 0),
        ("content_salt = NULL", "", 5),
    ] {
        let kept = t.database.text("SELECT materials::text || '#' || encode(content_salt, 'hex') AS text FROM errands");
        t.database.run(&format!("UPDATE errands SET {change}"));
        match at {
            // What cannot be opened is no answer at all.
            0 => drop(t.get(&format!("{}/ledger", path(&sent))).by(&who).send().await.is(500)),
            at => assert_eq!(broken().await, at, "{change}"),
        }
        let (materials, salt) = kept.split_once('#').expect("both");
        t.database
            .run(&format!("UPDATE errands SET materials = '{materials}', content_salt = decode('{salt}', 'hex')"));
        if !back.is_empty() {
            t.database.run(&format!("UPDATE errands SET {back}"));
        }
        assert_eq!(broken().await, Value::Null, "{change}");
    }
    t.database.run(&format!("UPDATE attachments SET sha256 = decode(repeat('00', 32), 'hex') WHERE id = '{card}'"));
    assert_eq!(broken().await, 2);
    t.database.run(&format!("UPDATE attachments SET about_id = gen_random_uuid() WHERE id = '{permit}'"));
    assert_eq!(broken().await, 2, "the first of them");
    assert!(!t.database.everything().contains(&hex::encode("已拍照")));
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_mandate_carries_its_signature() {
    let t = TestApp::new().await;
    let (who, lin) = (villager(&t, "chen").await, villager(&t, "lin").await);
    let (cadre, junxi, bureau) = (t.staff("cadre").await, t.staff("junxi").await, t.staff("civil.affairs").await);
    let (photo, own) = (pdf(&t, &cadre).await, pdf(&t, &who).await);
    let mandates = format!("/v1/residents/{}/mandates", who.subject);
    let give = |by: &Session, body: Value| t.post(&mandates).by(by).json(body).send();
    let signed = |ids: &[Uuid]| json!({"given_how": "signed", "attachment_ids": ids});
    let wrong = give(&cadre, signed(&[photo, own])).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/attachment_ids/1:attachment"]);
    let wrong = give(&cadre, signed(&[photo, photo])).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/attachment_ids/1:twice"]);
    let wrong = give(&who, json!({"attachment_ids": [own]})).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/attachment_ids:not_for_residents"]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM mandates"), 0);
    let given = give(&cadre, signed(&[photo])).await.created();
    assert_eq!(given["attachment_ids"], json!([photo]));
    let wrong = give(&cadre, signed(&[photo])).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/attachment_ids/0:attachment"], "it proves one mandate");
    for by in [&who, &cadre, &junxi, &t.staff("admin").await] {
        look(&t, by, photo).await.ok();
    }
    for by in [&lin, &bureau, &foreign_admin(&t).await] {
        look(&t, by, photo).await.problem(404, "not_found");
    }
    let list = t.get(&mandates).by(&who).send().await.ok();
    assert_eq!(list["items"][0]["attachment_ids"], json!([photo]));
}

#[actix_web::test]
async fn a_copy_tells_what_was_handed_in_and_closing_takes_it_away() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let (cadre, card) = (t.staff("cadre").await, pdf(&t, &who).await);
    let spoken = json!({"given_how": "spoken", "words": "请帮我办", "matter_id": matter, "attachment_ids": [pdf(&t, &cadre).await]});
    t.post(&format!("/v1/residents/{}/mandates", who.subject)).by(&cadre).json(spoken).send().await.created();
    let filed = file(&t, &who, with(matter, &[card])).await.created();
    let sent = step(&t, &who, &filed, "submit", json!({})).await.ok();
    let name = sent["matter"]["name"].clone();
    let requests = format!("/v1/residents/{}/data_requests", who.subject);
    let asked = t.post(&requests).by(&who).json(json!({"kind": "export"})).send().await.is(202);
    t.run_jobs().await;
    let archive = format!("/v1/data_requests/{}/archive", asked["id"].as_str().expect("an id"));
    let room = t.get(&archive).by(&who).send().await.ok()["rooms"]["errands"].clone();
    let errand = &room["errands"][0];
    assert_eq!(
        (&errand["answers"], &errand["materials"][0]["attachment_ids"]),
        (&json!({"local": "yes"}), &json!([card]))
    );
    assert_eq!(errand["steps"][1]["facts"]["content"].as_str().map(str::len), Some(64));
    assert_eq!((&room["mandates"][0]["matter"], &room["mandates"][0]["words"]), (&name, &json!("请帮我办")));
    step(&t, &who, &sent, "withdraw", json!({"reason": "不办了"})).await.ok();
    step(&t, &cadre, &sent, "archive", json!({})).await.ok();
    t.post(&requests).by(&who).json(json!({"kind": "close"})).send().await.is(202);
    t.run_jobs().await;
    t.pass(TimeDelta::minutes(3));
    t.run_jobs().await;
    jobs::sweep(&t.app).await.expect("swept");
    assert_eq!(stored(&t), 0);
    let left = "SELECT materials::text || answers::text || coalesce(content_salt, form, parcel, '')::text AS text FROM errands";
    assert_eq!(t.database.text(left), "[]{}\\x");
    let told = ledger(&t, &t.staff("admin").await, &sent).await;
    assert_eq!((&told["broken_at"], &told["entries"][1]["facts"]["files"].is_string()), (&Value::Null, &true));
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_is_brought_in_person_is_bound_too_and_other_steps_carry_nothing() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let sent = submitted(&t, &who, matter).await;
    step(&t, &t.staff("cadre").await, &sent, "accept", json!({})).await.ok();
    let told = ledger(&t, &who, &sent).await;
    let facts = |index: usize| told["entries"][index]["facts"].clone();
    assert_eq!((facts(1)["content"].as_str().map(str::len), &facts(1)["files"]), (Some(64), &Value::Null));
    assert_eq!((&facts(2)["content"], &facts(2)["files"]), (&Value::Null, &Value::Null));
    t.run_jobs().await;
}
