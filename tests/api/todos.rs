//! What waits for a human; one's day; everything open for a person.

use serde_json::{Value, json};

use crate::{
    harness::{Session, TestApp},
    merging::{id, register},
};

async fn open(t: &TestApp, by: &Session, body: Value) -> String {
    id(&t.post("/v1/todos").by(by).json(body).send().await.created())
}

async fn act(t: &TestApp, by: &Session, todo: &str, verb: &str, body: Value) -> crate::harness::Reply {
    t.post(&format!("/v1/todos/{todo}/{verb}")).by(by).json(body).send().await
}

#[actix_web::test]
async fn taken_over_handed_over_put_back_and_done() {
    let t = TestApp::new().await;
    let (cadre, specialist, junxi) = (t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await);
    let granny = id(&register(&t, &cadre, "陈阿婆", None, None).await);
    let body =
        json!({"kind": "visit", "title": "看看热水器", "resident_id": granny, "due_at": "2026-11-23T17:00:00+08:00"});
    let todo = open(&t, &cadre, body).await;
    // Of the village: seen by its staff and by the township above.
    for by in [&cadre, &specialist, &junxi] {
        assert_eq!(t.get("/v1/todos").by(by).send().await.ok()["items"][0]["id"], json!(todo));
    }
    t.get(&format!("/v1/todos/{todo}")).by(&t.staff("civil.affairs").await).send().await.problem(404, "not_found");
    let taken = act(&t, &cadre, &todo, "take", json!({})).await.ok();
    assert_eq!((&taken["state"], &taken["holder_id"]), (&json!("taken"), &json!(cadre.subject)));
    let again = act(&t, &cadre, &todo, "take", json!({})).await.ok();
    assert_eq!(again["version"], taken["version"], "the button may be pressed twice");
    act(&t, &specialist, &todo, "done", json!({"note": "修好了"})).await.problem(409, "todo_not_held");
    act(&t, &specialist, &todo, "put_back", json!({})).await.problem(409, "todo_not_held");
    act(&t, &specialist, &todo, "take", json!({})).await.ok();
    let over = json!({"holder_id": cadre.subject});
    act(&t, &specialist, &todo, "hand_over", over).await.ok();
    let nobody = act(&t, &cadre, &todo, "hand_over", json!({"holder_id": granny})).await.problem(422, "invalid");
    assert_eq!(nobody.faults(), ["/holder_id:unknown_staff"]);
    assert_eq!(act(&t, &cadre, &todo, "put_back", json!({})).await.ok()["state"], "open");
    let done = act(&t, &specialist, &todo, "done", json!({"note": "热水器修好了"})).await.ok();
    assert_eq!(
        (&done["state"], &done["note"], &done["done_by"]),
        (&json!("done"), &json!("热水器修好了"), &json!(specialist.subject))
    );
    act(&t, &cadre, &todo, "take", json!({})).await.problem(409, "todo_not_waiting");
    assert_eq!(t.get("/v1/todos").by(&cadre).send().await.ok()["items"], json!([]));
    assert_eq!(t.get("/v1/todos?state=done&count=true").by(&cadre).send().await.ok()["total"], json!(1));
    assert!(!t.database.everything().contains("热水器修好了"), "notes are sealed");
    let gone = format!(
        "SELECT count(*) AS n FROM changes WHERE entity_id = '{todo}' AND gone AND staff_id = '{}'",
        cadre.subject
    );
    assert_eq!(t.database.count(&gone), 2, "who lost it learns so");
}

#[actix_web::test]
async fn two_finish_at_once_and_one_is_told() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let todo = open(&t, &cadre, json!({"kind": "call", "title": "打个电话"})).await;
    let done = |by| act(&t, by, &todo, "done", json!({"note": "已告知"}));
    let (one, other) = futures_util::join!(done(&cadre), done(&specialist));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[actix_web::test]
async fn lists_filter_and_wrong_fields_are_told() {
    let t = TestApp::new().await;
    let (cadre, junxi) = (t.staff("cadre").await, t.staff("junxi").await);
    let granny = id(&register(&t, &cadre, "陈阿婆", None, None).await);
    let village = t.unit("红星村委会").await;
    let soon =
        open(&t, &cadre, json!({"kind": "call", "title": "问问情况", "due_at": "2026-11-23T10:00:00+08:00"})).await;
    let mine = json!({"kind": "slip", "title": "打印通知", "resident_id": granny, "holder_id": cadre.subject});
    let mine = open(&t, &cadre, mine).await;
    let town = open(&t, &junxi, json!({"kind": "decide", "title": "核对名单"})).await;
    let list = async |by: &Session, query: &str| -> Vec<String> {
        let page = t.get(&format!("/v1/todos?{query}")).by(by).send().await.ok();
        page["items"].as_array().expect("items").iter().map(id).collect()
    };
    assert_eq!(list(&junxi, "").await, [soon.clone(), mine.clone(), town.clone()]);
    assert_eq!(list(&cadre, "").await, [soon.clone(), mine.clone()]);
    assert_eq!(list(&cadre, "mine=true").await, std::slice::from_ref(&mine));
    assert_eq!(list(&junxi, "kind=decide").await, std::slice::from_ref(&town));
    assert_eq!(list(&junxi, &format!("unit_id={village}&kind=slip")).await, std::slice::from_ref(&mine));
    assert_eq!(list(&junxi, &format!("resident_id={granny}")).await, std::slice::from_ref(&mine));
    assert_eq!(list(&junxi, "due_before=2026-11-23T12:00:00%2B08:00").await, [soon]);
    let far = json!({"kind": "call", "title": "问问", "unit_id": t.unit("石牌镇").await});
    let reply = t.post("/v1/todos").by(&cadre).json(far).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/unit_id:unknown_unit"]);
    let wrong = json!({"kind": "sing", "title": "x", "priority": 1});
    let reply = t.post("/v1/todos").by(&cadre).json(wrong).send().await.problem(422, "invalid");
    assert_eq!(reply.faults().len(), 3, "{:?}", reply.faults());
}

#[actix_web::test]
async fn ones_day_and_this_person() {
    let t = TestApp::new().await;
    let (cadre, junxi) = (t.staff("cadre").await, t.staff("junxi").await);
    let granny = id(&register(&t, &cadre, "陈阿婆", None, None).await);
    let mut booking = t.booking("2026-11-24T09:00:00+08:00").await;
    booking["resident_id"] = json!(granny);
    let booked = id(&t.post("/v1/appointments").by(&cadre).json(booking).send().await.created());
    t.run_jobs().await;
    let todo = json!({"kind": "visit", "title": "看看", "resident_id": granny, "holder_id": junxi.subject, "due_at": "2026-11-24T08:00:00+08:00"});
    let todo = open(&t, &junxi, todo).await;
    let ids = |page: &Value| page["items"].as_array().expect("items").iter().map(id).collect::<Vec<_>>();
    let day = t.get("/v1/my_day?date=2026-11-24").by(&junxi).send().await.ok();
    assert_eq!(ids(&day), [todo.clone(), booked.clone()], "by time");
    assert_eq!(day["items"][1]["resident_name"], "陈*婆");
    assert_eq!(ids(&t.get("/v1/my_day").by(&junxi).send().await.ok()), Vec::<String>::new());
    let open = t.get(&format!("/v1/residents/{granny}/open")).by(&cadre).send().await.ok();
    assert!([&todo, &booked].iter().all(|wanted| ids(&open).contains(wanted)), "{open}");
    let looked = format!("SELECT count(*) AS n FROM audit_log WHERE action = 'open' AND entity_id = '{granny}'");
    assert_eq!(t.database.count(&looked), 1);
    t.get(&format!("/v1/residents/{granny}/open"))
        .by(&t.staff("supervisor").await)
        .send()
        .await
        .problem(403, "forbidden");
    let far = t.staff("admin").await;
    let body = json!({"name": "远方人", "unit_id": t.unit("石牌镇").await, "identity_seen": "id_card"});
    let far = id(&t.post("/v1/residents").by(&far).json(body).send().await.created());
    t.get(&format!("/v1/residents/{far}/open")).by(&cadre).send().await.problem(404, "not_found");
    t.get("/v1/my_day?date=9999-99-99").by(&junxi).send().await.problem(422, "invalid");
}

#[actix_web::test]
async fn a_job_that_was_given_up_is_somebodys_to_look_at() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    t.database.run(
        "INSERT INTO outbox (county_id, kind, payload, run_at, attempts) VALUES (1, 'none', '{}', '2026-01-01', 11)",
    );
    t.run_jobs().await;
    let waiting = || t.get("/v1/todos?kind=failure").by(&admin).send();
    let todo = waiting().await.ok()["items"][0].clone();
    assert_eq!((&todo["about"], &todo["title"]), (&json!("job"), &json!("后台任务失败：none")));
    // Replayed: nothing to look at any more, until it fails again.
    let number = t.database.count("SELECT max(id) AS n FROM outbox");
    t.post(&format!("/v1/jobs/{number}/replay")).by(&admin).send().await.ok();
    assert_eq!(waiting().await.ok()["items"], json!([]));
    t.database.run("DELETE FROM outbox WHERE kind = 'none'");
}

#[actix_web::test]
async fn what_nobody_needs_to_be_told_any_more_is_dropped() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let granny = id(&register(&t, &cadre, "陈阿婆", None, None).await);
    let mut booking = t.booking("2026-11-24T09:00:00+08:00").await;
    booking["resident_id"] = json!(granny);
    let booked = id(&t.post("/v1/appointments").by(&cadre).json(booking).send().await.created());
    t.run_jobs().await;
    let slips = || t.get("/v1/todos?kind=slip").by(&cadre).send();
    let slip = slips().await.ok()["items"][0].clone();
    assert_eq!(slip["due_at"], "2026-11-24T09:00:00+08:00", "before it begins, not after");
    t.post(&format!("/v1/appointments/{booked}/cancel")).by(&cadre).send().await.ok();
    assert_eq!(slips().await.ok()["items"], json!([]));
    // That it is cancelled is another slip.
    t.run_jobs().await;
    let told = slips().await.ok()["items"].as_array().expect("items").len();
    assert_eq!(told, 1);
}
