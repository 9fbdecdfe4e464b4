//! One person, two records: duplicates, merging, taking over, claiming.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Session, TestApp, id_number};

const PHONE: &str = "13950900001";

pub fn id(of: &Value) -> String {
    of["id"].as_str().expect("an id").to_owned()
}

/// Registered in 红星村.
pub async fn register(t: &TestApp, by: &Session, name: &str, number: Option<&str>, phone: Option<&str>) -> Value {
    let unit = t.unit("红星村委会").await;
    let mut body = json!({"name": name, "unit_id": unit, "identity_seen": "id_card"});
    if let Some(number) = number {
        body["id_number"] = json!(number);
        body["consents"] = json!(["id_number"]);
        body["consents_how"] = json!("spoken");
    }
    if let Some(phone) = phone {
        body["phone"] = json!(phone);
    }
    t.post("/v1/residents").by(by).json(body).send().await.created()
}

/// Logged in with WeChat, of 红星村, with a name and a proved phone.
pub async fn with_phone(t: &TestApp, who: &str, name: &str, phone: &str) -> Session {
    let session = t.resident(who).await;
    let path = format!("/v1/residents/{}", session.subject);
    let body = json!({"name": name, "unit_id": t.unit("红星村委会").await});
    t.put(&path).by(&session).header("if-match", "*").json(body).send().await.ok();
    let code = json!({"code": format!("phone.{phone}.{}", Uuid::now_v7())});
    t.post(&format!("{path}/prove_phone")).by(&session).json(code).send().await.ok();
    session
}

async fn merge(t: &TestApp, by: &Session, into: &str, from: &str, proof: Option<&str>) -> crate::harness::Reply {
    let mut body = json!({"duplicate_id": from, "reason": "同一人重复登记"});
    if let Some(proof) = proof {
        body["identity_seen"] = json!(proof);
    }
    t.post(&format!("/v1/residents/{into}/merge")).by(by).header("if-match", "*").json(body).send().await
}

#[actix_web::test]
async fn a_duplicate_is_found_merged_and_its_id_leads_on() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let number = id_number("1948-06-12", 1);
    let desk = id(&register(&t, &cadre, "陈阿婆", Some(&number), Some(PHONE)).await);
    let account = with_phone(&t, "granny", "陈阿婆", PHONE).await;
    let body = t.booking("2026-11-24T09:00:00+08:00").await;
    let booked = id(&t.post("/v1/appointments").by(&account).json(body).send().await.created());
    t.run_jobs().await;

    let found = t.get(&format!("/v1/residents/{desk}/duplicates")).by(&cadre).send().await.ok();
    assert_eq!(found["items"][0]["resident"]["id"], json!(account.subject));
    assert_eq!(found["items"][0]["common"], json!(["phone"]));

    let from = account.subject.to_string();
    let one = merge(&t, &cadre, &desk, &from, None).await.ok();
    assert_eq!((one["id"].as_str(), &one["wechat"]), (Some(desk.as_str()), &json!(true)));
    assert_eq!(one["identity_level"], "officer");
    // The id leads on, everything went over, and nothing is left behind.
    assert_eq!(t.get(&format!("/v1/residents/{from}")).by(&cadre).send().await.ok()["id"], json!(desk));
    let open = t.get(&format!("/v1/residents/{from}/open")).by(&cadre).send().await.ok();
    assert_eq!(open["resident_id"], json!(desk));
    assert!(open["items"].as_array().expect("items").iter().any(|item| item["id"] == json!(booked)));
    let left = format!(
        "SELECT (SELECT count(*) FROM appointments WHERE resident_id = '{from}') + (SELECT count(*) FROM messages WHERE resident_id = '{from}') AS n"
    );
    assert_eq!(t.database.count(&left), 0);
    // The session of the vanished record is over; the WeChat account finds the one that stays.
    t.pass(chrono::TimeDelta::seconds(6));
    t.get("/v1/appointments").by(&t.resident("granny").await).send().await.ok()["items"][0]["id"]
        .as_str()
        .is_some_and(|found| found == booked)
        .then_some(())
        .expect("the appointment is there");
    assert_eq!(t.resident("granny").await.subject.to_string(), desk);
    // Again: it is the same record already.
    let again = merge(&t, &cadre, &desk, &from, None).await.problem(422, "invalid");
    assert_eq!(again.faults(), ["/duplicate_id:same_record"]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM resident_merges"), 1);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'merge'"), 2);
}

#[actix_web::test]
async fn a_number_that_nobody_checked_finds_the_duplicate() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let number = id_number("1948-06-12", 1);
    let typed = with_phone(&t, "granny", "陈阿婆", "13950900009").await;
    let path = format!("/v1/residents/{}", typed.subject);
    consent(&t, &typed).await;
    let body =
        json!({"name": "陈阿婆", "id_number": number, "phone": "13950900009", "unit_id": t.unit("红星村委会").await});
    t.put(&path).by(&typed).header("if-match", "*").json(body).send().await.ok();
    let desk = id(&register(&t, &cadre, "陈阿婆", Some(&number), None).await);
    let found = t.get(&format!("/v1/residents/{desk}/duplicates")).by(&cadre).send().await.ok();
    assert_eq!(found["items"][0]["common"], json!(["id_number"]));
    // The record that stays may be the one with WeChat: it learns what was checked.
    let one = merge(&t, &cadre, &typed.subject.to_string(), &desk, None).await.ok();
    assert_eq!((&one["identity_level"], &one["phone"]), (&json!("officer"), &json!("139****0009")));
    let look = json!({"id_number": number});
    let found = t.post("/v1/residents/lookup").by(&cadre).json(look).send().await.ok();
    assert_eq!(found["items"][0]["id"], json!(typed.subject));
}

/// Gives the consent to keep the ID number.
pub async fn consent(t: &TestApp, who: &Session) {
    let texts = t.get("/v1/consent_texts?county=350425").send().await.ok();
    let text = texts["items"].as_array().expect("items").iter().find(|text| text["purpose"] == "id_number");
    let version = text.expect("a text")["version"].clone();
    let body = json!({"purpose": "id_number", "version": version, "answer": "given", "how": "in_mini_program"});
    t.post(&format!("/v1/residents/{}/consents", who.subject)).by(who).json(body).send().await.is(201);
}

#[actix_web::test]
async fn contradictions_are_refused_and_say_what_to_do() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let (one, other) = (id_number("1948-06-12", 1), id_number("1950-03-07", 2));
    let granny = id(&register(&t, &cadre, "陈阿婆", Some(&one), Some(PHONE)).await);
    let neighbour = id(&register(&t, &cadre, "陈阿婆", Some(&other), Some(PHONE)).await);
    let refused = merge(&t, &cadre, &granny, &neighbour, Some("id_card")).await.problem(409, "merge_contradicts");
    assert!(refused["detail"].as_str().expect("a detail").contains("两个人"));
    let stranger = id(&register(&t, &cadre, "陈阿婆", None, Some("13950900002")).await);
    merge(&t, &cadre, &granny, &stranger, None).await.problem(409, "merge_contradicts");
    let named = id(&register(&t, &cadre, "林阿婆", None, Some(PHONE)).await);
    merge(&t, &cadre, &granny, &named, None).await.problem(409, "merge_contradicts");
    merge(&t, &cadre, &granny, &named, Some("household_register")).await.ok();
    // Out of reach, or of another county: not there.
    let admin = t.staff("admin").await;
    let far = json!({"name": "陈阿婆", "phone": PHONE, "unit_id": t.unit("石牌镇").await, "identity_seen": "id_card"});
    let far = id(&t.post("/v1/residents").by(&admin).json(far).send().await.created());
    let reply = merge(&t, &cadre, &granny, &far, None).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/duplicate_id:unknown_resident"]);
    merge(&t, &cadre, &far, &granny, None).await.problem(404, "not_found");
    merge(&t, &admin, &granny, &far, None).await.ok();
    let stale = t.post(&format!("/v1/residents/{granny}/merge")).by(&admin).header("if-match", "\"1\"");
    stale.json(json!({"duplicate_id": stranger, "reason": "同一人"})).send().await.problem(412, "version_stale");
}

#[actix_web::test]
async fn both_with_the_same_booking_is_for_a_person_to_solve() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let granny = id(&register(&t, &cadre, "陈阿婆", None, Some(PHONE)).await);
    let twice = id(&register(&t, &cadre, "陈阿婆", None, Some(PHONE)).await);
    for (who, starts_at) in [(&granny, "2026-11-24T09:00:00+08:00"), (&twice, "2026-11-24T10:00:00+08:00")] {
        let mut body = t.booking(starts_at).await;
        body["resident_id"] = json!(who);
        t.post("/v1/appointments").by(&cadre).json(body).send().await.created();
    }
    merge(&t, &cadre, &granny, &twice, None).await.problem(409, "already_booked");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM residents WHERE merged_into IS NOT NULL"), 0);
    t.run_jobs().await;
}

#[actix_web::test]
async fn two_merges_and_bookings_at_once_leave_nothing_behind() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    for round in 0..5 {
        let phone = format!("1395090010{round}");
        let granny = id(&register(&t, &cadre, "陈阿婆", None, Some(&phone)).await);
        let twice = id(&register(&t, &cadre, "陈阿婆", None, Some(&phone)).await);
        let mut body = t.booking("2026-11-24T09:00:00+08:00").await;
        body["resident_id"] = json!(twice);
        let booking = t.post("/v1/appointments").by(&cadre).json(body).send();
        let (_, one, other) = futures_util::join!(
            booking,
            merge(&t, &cadre, &granny, &twice, None),
            merge(&t, &cadre, &twice, &granny, None)
        );
        let statuses = [one.status, other.status];
        assert!(statuses.contains(&200), "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 422, 404].contains(status)), "{statuses:?}");
    }
    let left = "SELECT count(*) AS n FROM appointments a JOIN residents r ON r.county_id = a.county_id AND r.id = a.resident_id WHERE r.merged_into IS NOT NULL";
    assert_eq!(t.database.count(left), 0);
    let chains = "SELECT count(*) AS n FROM residents a JOIN residents b ON b.id = a.merged_into WHERE b.merged_into IS NOT NULL";
    assert_eq!(t.database.count(chains), 0);
    t.run_jobs().await;
}

#[actix_web::test]
async fn somebody_who_moved_is_taken_over_with_the_card_in_hand() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let number = id_number("1948-06-12", 1);
    let far = json!({"name": "陈阿婆", "id_number": number, "unit_id": t.unit("石牌镇").await, "identity_seen": "id_card",
        "consents": ["id_number"], "consents_how": "spoken"});
    let far = id(&t.post("/v1/residents").by(&admin).json(far).send().await.created());
    let here = t.unit("红星村委会").await;
    let take = |name: &str| {
        let body = json!({"name": name, "id_number": number, "unit_id": here, "identity_seen": "id_card", "reason": "随儿子搬来"});
        t.post("/v1/residents/take_over").by(&cadre).json(body).send()
    };
    t.get(&format!("/v1/residents/{far}")).by(&cadre).send().await.problem(404, "not_found");
    take("陈婆").await.problem(404, "not_found");
    let taken = take("陈阿婆").await.ok();
    assert_eq!((id(&taken), &taken["unit_id"]), (far.clone(), &json!(here)));
    t.get(&format!("/v1/residents/{far}")).by(&cadre).send().await.ok();
    let told = format!("SELECT count(*) AS n FROM changes WHERE entity_id = '{far}' AND gone");
    assert_eq!(t.database.count(&told), 1);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'take_over'"), 1);
}

#[actix_web::test]
async fn claimed_with_what_only_the_owner_has_and_nothing_is_learnt_by_guessing() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let number = id_number("1948-06-12", 1);
    let desk = id(&register(&t, &cadre, "陈阿婆", Some(&number), Some(PHONE)).await);
    let claim = |by: &Session, name: &str, number: &str| {
        let path = format!("/v1/residents/{}/claim_by_phone", by.subject);
        t.post(&path).by(by).json(json!({"name": name, "id_number": number})).send()
    };
    let nobody = t.resident("nobody").await;
    claim(&nobody, "陈阿婆", &number).await.problem(403, "identity_needed");
    // The number is right, the phone is not: the same answer as for a number that nobody has.
    let thief = with_phone(&t, "thief", "小偷", "13950900666").await;
    let right = claim(&thief, "陈阿婆", &number).await.problem(409, "claim_not_proved");
    let wrong = claim(&thief, "陈阿婆", &id_number("1948-06-12", 9)).await.problem(409, "claim_not_proved");
    assert_eq!((&right["title"], &right["detail"]), (&wrong["title"], &wrong["detail"]));
    for _ in 0..3 {
        claim(&thief, "陈婆", &number).await.problem(409, "claim_not_proved");
    }
    claim(&thief, "陈阿婆", &number).await.problem(429, "too_many_requests");

    // The daughter has the same phone, and is not her mother.
    let daughter = with_phone(&t, "daughter", "林小梅", PHONE).await;
    claim(&daughter, "陈阿婆", &number).await.problem(409, "claim_not_proved");
    let granny = with_phone(&t, "granny", "陈阿婆", PHONE).await;
    let claimed = claim(&granny, "陈阿婆", &number).await.ok();
    assert_eq!(claimed["resident_id"], json!(desk));
    t.pass(chrono::TimeDelta::seconds(6));
    let again = t.resident("granny").await;
    assert_eq!(again.subject.to_string(), desk);
    let mine = t.get(&format!("/v1/residents/{desk}")).by(&again).send().await.ok();
    assert_eq!((&mine["name"], &mine["phone"]), (&json!("陈阿婆"), &json!(PHONE)));
    // It has its owner now.
    let second = with_phone(&t, "second", "陈阿婆", PHONE).await;
    claim(&second, "陈阿婆", &number).await.problem(409, "claim_not_proved");
}

#[actix_web::test]
async fn claimed_at_the_desk_with_a_code_that_is_good_once() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let desk = id(&register(&t, &cadre, "陈阿婆", None, None).await);
    let other = id(&register(&t, &cadre, "林阿公", None, None).await);
    let granny = t.resident("granny").await;
    let issue = || t.post(&format!("/v1/residents/{}/claim_code", granny.subject)).by(&granny).send();
    let first = issue().await.is(200).body["code"].as_str().expect("a code").to_owned();
    let code = issue().await.is(200).body["code"].as_str().expect("a code").to_owned();
    let claim = |record: &str, code: &str| {
        let body = json!({"code": code, "identity_seen": "id_card"});
        t.post(&format!("/v1/residents/{record}/claim")).by(&cadre).json(body).send()
    };
    // Only the newest is good.
    assert_eq!(claim(&desk, &first).await.problem(422, "invalid").faults(), ["/code:code_refused"]);
    let typed = format!("{}-{} {}", &code[..4].to_lowercase(), &code[4..8], &code[8..]);
    let one = claim(&desk, &typed).await.ok();
    assert_eq!((&one["wechat"], &one["id"]), (&json!(true), &json!(desk)));
    assert_eq!(claim(&other, &code).await.problem(422, "invalid").faults(), ["/code:code_refused"]);
    claim(&desk, &code).await.problem(409, "already_claimed");
    t.pass(chrono::TimeDelta::seconds(6));
    assert_eq!(t.resident("granny").await.subject.to_string(), desk);
    // Late, and too often.
    let li = t.resident("li").await;
    let code = t.post(&format!("/v1/residents/{}/claim_code", li.subject)).by(&li).send().await.is(200);
    t.pass(chrono::TimeDelta::minutes(10));
    let late = claim(&other, code["code"].as_str().expect("a code")).await.problem(422, "invalid");
    assert_eq!(late.faults(), ["/code:code_refused"]);
    claim(&other, "2222222222").await.is(422);
    claim(&other, "2222222223").await.problem(429, "too_many_requests");
}

#[actix_web::test]
async fn what_was_taken_back_is_not_there_again_and_every_look_is_told() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let number = id_number("1948-06-12", 1);
    let desk = id(&register(&t, &cadre, "陈阿婆", Some(&number), Some(PHONE)).await);
    let account = with_phone(&t, "granny", "陈阿婆", PHONE).await;
    let from = account.subject.to_string();
    consent(&t, &account).await;
    let withdraw = json!({"how": "in_mini_program"});
    let path = format!("/v1/residents/{from}/consents/id_number/withdraw");
    t.post(&path).by(&account).json(withdraw).send().await.ok();
    t.get(&format!("/v1/residents/{from}")).by(&cadre).send().await.ok();
    let one = merge(&t, &cadre, &desk, &from, None).await.ok();
    assert_eq!(one["id_number"], json!(null), "the consent was withdrawn after it had been given at the desk");
    let look = json!({"id_number": number});
    assert_eq!(t.post("/v1/residents/lookup").by(&cadre).json(look).send().await.ok()["items"], json!([]));
    // By either id the same ledger, and whoever looked by the old one is told to the person.
    let consents = t.get(&format!("/v1/residents/{from}/consents")).by(&cadre).send().await.ok();
    let state = consents["items"].as_array().expect("items").iter().find(|item| item["purpose"] == "id_number");
    assert_eq!(state.expect("a purpose")["state"], "withdrawn");
    let reveal = json!({"fields": ["phone"], "reason": "通知取件"});
    t.post(&format!("/v1/residents/{from}/reveal")).by(&cadre).json(reveal).send().await.ok();
    t.pass(chrono::TimeDelta::seconds(6));
    let granny = t.resident("granny").await;
    let seen = t.get(&format!("/v1/residents/{desk}/audit?limit=200")).by(&granny).send().await.ok();
    let actions: Vec<_> = seen["items"].as_array().expect("items").iter().map(|item| item["action"].clone()).collect();
    for action in ["reveal", "read", "merge", "register"] {
        assert!(actions.contains(&json!(action)), "{action} missing in {actions:?}");
    }
}
