//! Helpers: decisions that stay, whoever applies or is merged; who is asked about which wish; what phones learn; times as they are kept.

use serde_json::{Value, json};

use crate::{
    harness::{Reply, Session, TestApp},
    helpers::{apply, decide, known, me, volunteer},
    staff::id,
};

async fn get(t: &TestApp, by: &Session, helper: &Value) -> Value {
    t.get(&format!("/v1/helpers/{}", id(helper))).by(by).send().await.ok()
}

async fn grant(t: &TestApp, by: &Session, helper: &Value, body: Value) -> Reply {
    t.put(&format!("/v1/helpers/{}", id(helper))).by(by).header("if-match", "*").json(body).send().await
}

/// What is asked about helpers of those who see it.
async fn asked(t: &TestApp, by: &Session) -> Vec<String> {
    let page = t.get("/v1/todos?kind=decide&limit=200").by(by).send().await.ok();
    let about = page["items"].as_array().expect("items").iter().filter_map(|todo| todo["about"].as_str());
    about.filter(|about| about.starts_with("helper")).map(str::to_owned).collect()
}

fn decisions(view: &Value) -> Vec<(String, Option<String>)> {
    let all = view["decisions"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    all.map(|one| (text(&one["decision"]).expect("a decision"), text(&one["reason"]))).collect()
}

#[actix_web::test]
async fn applying_again_hides_nothing() {
    let t = TestApp::new().await;
    let (lin, helper) = volunteer(&t, "lin", &["care"]).await;
    let (junxi, cadre) = (t.staff("junxi").await, t.staff("cadre").await);
    decide(&t, &junxi, &helper, "stop", json!({"reason": "多次收受老人财物"})).await.ok();
    t.pass(chrono::TimeDelta::seconds(1));
    let again = apply(&t, &lin, json!({"kind": "volunteer", "words": "想再试试"})).await.created();
    assert_eq!((&again["id"], &again["reason"]), (&helper["id"], &Value::Null));
    let stopped = ("stop".to_owned(), Some("多次收受老人财物".to_owned()));
    let seen = get(&t, &junxi, &helper).await;
    assert_eq!(decisions(&seen), [("approve".to_owned(), None), stopped.clone()]);
    assert_eq!(seen["decisions"][1]["decided_by"], json!(junxi.subject));
    // Whoever does not decide reads no reasons; lists show none.
    assert_eq!(decisions(&get(&t, &cadre, &helper).await), []);
    let page = t.get("/v1/helpers?kind=volunteer").by(&junxi).send().await.ok();
    assert_eq!(decisions(&page["items"][0]), []);
    assert!(!t.database.everything().contains("多次收受"), "sealed");
    decide(&t, &junxi, &helper, "refuse", json!({"reason": "不再录用"})).await.ok();
    assert_eq!(decisions(&get(&t, &junxi, &helper).await).len(), 3);
    // A copy of one's data has them; with the record the reasons go.
    crate::data_requests::ask(&t, &lin, lin.subject, json!({"kind": "close"})).await;
    t.run_jobs().await;
    t.pass(chrono::TimeDelta::minutes(2));
    t.run_jobs().await;
    let left = "SELECT count(*) * 10 + count(reason) AS n FROM helper_decisions";
    assert_eq!(t.database.count(left), 30);
    let rewrite = "UPDATE helper_decisions SET decision = 'approve'";
    let refused = diesel::connection::SimpleConnection::batch_execute(&mut t.database.service(), rewrite);
    assert!(refused.is_err(), "what was decided cannot be changed");
}

#[actix_web::test]
async fn nobody_escapes_a_stop_by_a_second_record() {
    let t = TestApp::new().await;
    let (_, first) = volunteer(&t, "lin", &["care"]).await;
    let junxi = t.staff("junxi").await;
    decide(&t, &junxi, &first, "stop", json!({"reason": "多次爽约"})).await.ok();
    let lin = t.resident("lin").await;
    let other = known(&t, "other", "林志愿", ("1971-01-01", "13950930009")).await;
    let second = apply(&t, &other, json!({"kind": "volunteer"})).await.created();
    decide(&t, &junxi, &second, "approve", json!({"skills": ["care"], "unit_ids": []})).await.ok();
    assert_eq!(me(&t, &other).await["state"], "active");
    t.database
        .run(&format!("UPDATE residents SET id_number = NULL, id_number_index = NULL WHERE id = '{}'", lin.subject));
    let body = json!({"duplicate_id": lin.subject, "reason": "同一人重复登记", "identity_seen": "id_card"});
    let call = t.post(&format!("/v1/residents/{}/merge", other.subject));
    call.by(&t.staff("cadre").await).header("if-match", "*").json(body).send().await.ok();
    t.run_jobs().await;
    let other = t.resident("other").await;
    let now = me(&t, &other).await;
    assert_eq!((&now["id"], &now["state"]), (&first["id"], &json!("stopped")));
    assert_eq!(decisions(&get(&t, &junxi, &first).await).last().expect("one").1.as_deref(), Some("多次爽约"));
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM helpers WHERE state = 'active' AND resident_id IS NOT NULL"),
        0
    );
}

#[actix_web::test]
async fn every_wish_reaches_somebody_who_can_grant_it() {
    let t = TestApp::new().await;
    let (town, far) = (t.unit("均溪镇").await, t.unit("石牌镇").await);
    let (junxi, admin) = (t.staff("junxi").await, t.staff("admin").await);
    let lin = known(&t, "lin", "林阿姨", ("1970-05-01", "13950930001")).await;
    let helper = apply(&t, &lin, json!({"kind": "volunteer", "unit_ids": [town, far]})).await.created();
    // The township decides what it can; the rest is not lost.
    decide(&t, &junxi, &helper, "approve", json!({"skills": [], "unit_ids": [town]})).await.ok();
    let view = get(&t, &junxi, &helper).await;
    assert_eq!((&view["unit_ids"], &view["asked_unit_ids"]), (&json!([town]), &json!([far])));
    assert_eq!((asked(&t, &junxi).await, asked(&t, &admin).await), (vec![], vec!["helper_units_beyond".to_owned()]));
    let view = grant(&t, &admin, &helper, json!({"skills": [], "unit_ids": [town, far]})).await.ok();
    assert_eq!((view["unit_ids"].as_array().map(Vec::len), &view["asked_unit_ids"]), (Some(2), &json!([])));
    assert!(asked(&t, &admin).await.is_empty());
    // Asked for later: each question where it can be answered.
    let wish = |units: Value| {
        let body = json!({"unit_ids": units});
        t.put("/v1/helpers/me").by(&lin).header("if-match", "*").json(body).send()
    };
    wish(json!([])).await.ok();
    wish(json!([town, far])).await.ok();
    assert_eq!(asked(&t, &junxi).await, ["helper_units"]);
    assert_eq!(asked(&t, &admin).await, ["helper_units", "helper_units_beyond"]);
    let left = grant(&t, &junxi, &helper, json!({"skills": [], "unit_ids": []})).await.ok();
    assert_eq!((&left["unit_ids"], &left["asked_unit_ids"]), (&json!([]), &json!([far])));
    assert_eq!((asked(&t, &junxi).await, asked(&t, &admin).await), (vec![], vec!["helper_units_beyond".to_owned()]));
    // Taken back, it is nobody's to decide any more.
    wish(json!([])).await.ok();
    assert!(asked(&t, &admin).await.is_empty());
    t.run_jobs().await;
}

#[actix_web::test]
async fn phones_learn_of_posts_and_of_homes_that_move() {
    let t = TestApp::new().await;
    let (admin, village) = (t.staff("admin").await, t.unit("红星村委会").await);
    let (member, _) = crate::staff::open(&t, &admin, "liao", "village_cadre", "红星村委会").await;
    let told =
        |rest: &str| t.database.count(&format!("SELECT count(*) AS n FROM changes WHERE entity = 'helper' AND {rest}"));
    let of_member = format!("staff_id = '{}' AND unit_id = '{village}'", id(&member));
    assert_eq!(told(&of_member), 1, "a post begins");
    let post = member["posts"][0]["id"].as_str().expect("an id");
    let end = t.post(&format!("/v1/staff/{}/posts/{post}/end", id(&member))).by(&admin).json(json!({})).send().await;
    end.ok();
    assert!(told(&of_member) > 1, "and ends");
    let (_, helper) = volunteer(&t, "lin", &[]).await;
    let town = t.unit("均溪镇").await;
    let gone = format!("entity_id = '{}' AND unit_id = '{village}' AND gone", id(&helper));
    assert_eq!(told(&gone), 0);
    grant(&t, &admin, &helper, json!({"skills": [], "unit_ids": [], "unit_id": town})).await.ok();
    assert_eq!(told(&gone), 1, "those where they lived lose sight of them");
    assert!(told(&format!("entity_id = '{}' AND unit_id = '{town}' AND NOT gone", id(&helper))) >= 1);
    t.run_jobs().await;
}

#[actix_web::test]
async fn away_is_as_fine_as_it_is_kept_and_answered_the_same_again() {
    let t = TestApp::new().await;
    let (lin, _) = volunteer(&t, "lin", &[]).await;
    let away = |key: &'static str, from: &str, until: &str| {
        let body = json!({"from": from, "until": until});
        t.post("/v1/helpers/me/away").by(&lin).key(key).json(body).send()
    };
    let same = away("a", "2026-12-01T00:00:00.0000001+08:00", "2026-12-01T00:00:00.0000009+08:00").await;
    assert_eq!(same.problem(422, "invalid").faults(), ["/until:range"]);
    let fine = away("b", "2026-11-23T09:00:00.0000019+08:00", "2026-11-23T10:00:00.0000011+08:00").await.is(200);
    assert_eq!(fine.body["away_from"], "2026-11-23T09:00:00.000001+08:00");
    t.set_time("2026-11-23T12:00:00+08:00");
    let lin = t.resident("lin").await;
    let body = json!({"from": "2026-11-23T09:00:00.0000019+08:00", "until": "2026-11-23T10:00:00.0000011+08:00"});
    let again = t.post("/v1/helpers/me/away").by(&lin).key("b").json(body).send().await.is(200);
    assert_eq!(again.bytes, fine.bytes);
}
