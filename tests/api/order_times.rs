//! What time does to orders, and what goes wrong: leases, dispatchers, disputes, call backs, whoever leaves, records that are closed.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    errands::villager,
    harness::TestApp,
    helpers::volunteer,
    orders::{codes, finished, get, inbox, path, placed, step, steps, todos, wish},
};

#[actix_web::test]
async fn a_claim_is_a_lease_and_what_has_begun_stays() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let (lin, _) = volunteer(&t, "lin", &[]).await;
    let specialist = t.staff("specialist").await;
    let (lost, kept) = (placed(&t, &who, "日用品代购").await, placed(&t, &who, "日用品代购").await);
    step(&t, &lin, &lost, "claim", json!({})).await.ok();
    step(&t, &specialist, &kept, "claim", json!({})).await.ok();
    let (start, _) = codes(&t, &who, &kept).await;
    step(&t, &specialist, &kept, "start", json!({"code": start})).await.ok();
    t.set_time("2026-11-23T13:29:00+08:00");
    t.tick().await;
    let who = t.resident("chen").await;
    assert_eq!(get(&t, &who, &lost).await["state"], "claimed");
    t.set_time("2026-11-23T13:30:00+08:00");
    t.tick().await;
    t.tick().await;
    assert_eq!(
        (&get(&t, &who, &lost).await["state"], &get(&t, &who, &kept).await["state"]),
        (&json!("open"), &json!("at_work"))
    );
    assert_eq!(steps(&t, &who, &lost).await, ["order", "claim", "return"]);
    let lin = t.resident("lin").await;
    assert_eq!(t.get(&path(&lost)).by(&lin).send().await.status, 404);
    assert!(inbox(&t, &lin).await.contains(&"order_lost".to_owned()));
    assert!(inbox(&t, &who).await.contains(&"order_returned".to_owned()));
    // It can be had again, with a lease of its own; not by whoever let it go, on the same day.
    let again = step(&t, &lin, &lost, "claim", json!({})).await.problem(409, "helper_unfit");
    assert_eq!(again.faults(), [":returned"]);
    let cadre = t.staff("cadre").await;
    let again = step(&t, &cadre, &lost, "claim", json!({})).await.ok();
    assert_eq!(again["lease_until"], "2026-11-23T14:00:00+08:00");
    step(&t, &cadre, &lost, "set_out", json!({})).await.ok();
    t.set_time("2026-11-23T18:30:00+08:00");
    t.tick().await;
    let who = t.resident("chen").await;
    assert_eq!(get(&t, &who, &lost).await["state"], "on_the_way");
    let junxi = t.staff("junxi").await;
    let asked = todos(&t, &junxi).await;
    assert_eq!(asked.iter().filter(|title| title.contains("超过约定时间")).count(), 2, "{asked:?}");
    t.tick().await;
    assert_eq!(todos(&t, &junxi).await.len(), asked.len());
}

#[actix_web::test]
async fn nobody_claims_it_a_dispatcher_is_asked_and_assigns() {
    let t = TestApp::new().await;
    let (who, junxi, admin) = (villager(&t, "chen").await, t.staff("junxi").await, t.staff("admin").await);
    let (lin, helper) = volunteer(&t, "lin", &["care"]).await;
    let order = placed(&t, &who, "生活照料").await;
    t.pass(TimeDelta::minutes(9));
    t.tick().await;
    assert_eq!(todos(&t, &junxi).await, Vec::<String>::new());
    t.pass(TimeDelta::minutes(1));
    t.tick().await;
    assert_eq!(todos(&t, &junxi).await.len(), 1);
    assert_eq!(get(&t, &who, &order).await["state"], "open");
    let candidates = t.get(&format!("{}/candidates", path(&order))).by(&junxi).send().await.ok();
    let suggested = &candidates["items"];
    assert_eq!(
        (suggested.as_array().expect("items").len(), &suggested[0]["helper_id"]),
        (1, &helper["id"]),
        "{suggested}"
    );
    assert_eq!(
        (&suggested[0]["against"], &suggested[0]["load"], &suggested[0]["most"]),
        (&json!([]), &json!(0), &json!(3))
    );
    t.get(&format!("{}/candidates", path(&order))).by(&who).send().await.problem(403, "forbidden");
    // By what was seen, to somebody who can.
    let assign = |version: &'static str, helper: &Value| {
        let call = t.post(&format!("{}/assign", path(&order))).by(&junxi).header("if-match", version);
        call.json(json!({"helper_id": helper})).send()
    };
    t.post(&format!("{}/assign", path(&order)))
        .by(&junxi)
        .json(json!({"helper_id": helper["id"]}))
        .send()
        .await
        .problem(428, "precondition_required");
    assign("\"1\"", &helper["id"]).await.problem(412, "version_stale");
    let unknown = assign("*", &json!(who.subject)).await.problem(422, "invalid");
    assert_eq!(unknown.faults(), ["/helper_id:unknown_helper"]);
    let specialist = t.staff("specialist").await;
    let unfit = assign("*", &json!(specialist.subject)).await.problem(409, "helper_unfit");
    assert_eq!(unfit.faults(), ["/helper_id:kind", "/helper_id:skill"]);
    let assigned = assign("\"2\"", &helper["id"]).await.ok();
    assert_eq!(
        (&assigned["state"], &assigned["holder"]["id"], &assigned["holder"]["name"]),
        (&json!("claimed"), &helper["id"], &json!("林*愿"))
    );
    assert_eq!(todos(&t, &junxi).await, Vec::<String>::new());
    t.run_jobs().await;
    assert!(inbox(&t, &lin).await.contains(&"order_assigned".to_owned()));
    assert_eq!(get(&t, &lin, &order).await["address"], "红星村 12 号");
    // What nobody takes in its time goes to the township, who can still find somebody.
    let late = placed(&t, &who, "生活照料").await;
    t.set_time("2026-11-23T16:00:00+08:00");
    t.tick().await;
    let (who, junxi) = (t.resident("chen").await, t.staff("junxi").await);
    assert_eq!(get(&t, &who, &late).await["state"], "expired");
    assert!(inbox(&t, &who).await.contains(&"order_expired".to_owned()));
    assert_eq!(todos(&t, &junxi).await.len(), 1);
    let lin = t.resident("lin").await;
    step(&t, &lin, &late, "claim", json!({})).await.problem(409, "order_taken");
    step(&t, &junxi, &late, "assign", json!({"helper_id": helper["id"]})).await.ok();
    assert_eq!(todos(&t, &junxi).await, Vec::<String>::new());
    let other = t.staff("junxi").await;
    step(&t, &other, &late, "return", json!({"reason": "改由他人"})).await.ok();
    let _ = admin;
    t.run_jobs().await;
}

#[actix_web::test]
async fn without_a_phone_an_agent_writes_it_down_and_silence_is_not_content() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let (lin, _) = volunteer(&t, "lin", &[]).await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let order = placed(&t, &who, "文书代写").await;
    t.database.run("UPDATE helpers SET skills = '{writing}'");
    step(&t, &lin, &order, "claim", json!({})).await.ok();
    // A volunteer vouches for nobody, and an agent says how they know.
    step(&t, &lin, &order, "start", json!({"without_phone": true, "words": "她没有手机"}))
        .await
        .problem(409, "other_side");
    let bare = step(&t, &cadre, &order, "start", json!({"without_phone": true})).await.problem(422, "invalid");
    assert_eq!(bare.faults(), ["/words:required"]);
    let both = json!({"without_phone": true, "words": "当面确认", "code": "123456"});
    assert_eq!(
        step(&t, &cadre, &order, "start", both).await.problem(422, "invalid").faults(),
        ["/without_phone:code_given"]
    );
    let begun = step(&t, &cadre, &order, "start", json!({"without_phone": true, "words": "电话确认已到"})).await.ok();
    assert_eq!((&begun["state"], &begun["started_how"]), (&json!("at_work"), &json!("without_phone")));
    step(&t, &lin, &order, "worry", json!({"words": "老人不舒服"})).await.ok();
    let urgent = todos(&t, &cadre).await;
    assert!(urgent.len() == 1 && urgent[0].contains("担心"), "{urgent:?}");
    step(&t, &lin, &order, "finish", json!({"words": "申请书已写好"})).await.ok();
    step(&t, &specialist, &order, "call_back", json!({"reached": true, "words": "在家"})).await.problem(422, "invalid");
    t.run_jobs().await;
    t.set_time("2026-11-25T07:59:00+08:00");
    t.tick().await;
    let cadre = t.staff("cadre").await;
    let junxi = t.staff("junxi").await;
    assert_eq!(todos(&t, &junxi).await.len(), 1, "only the worry");
    t.set_time("2026-11-25T08:00:00+08:00");
    t.tick().await;
    assert_eq!(todos(&t, &junxi).await.len(), 2);
    let nobody = step(&t, &cadre, &order, "call_back", json!({"reached": false, "words": "没人接"})).await.ok();
    assert_eq!((&nobody["state"], todos(&t, &junxi).await.len()), (&json!("finished"), 2));
    let said =
        step(&t, &cadre, &order, "call_back", json!({"reached": true, "content": true, "words": "很满意"})).await.ok();
    assert_eq!((&said["state"], &said["confirmed_how"]), (&json!("confirmed"), &json!("call_back")));
    assert_eq!(todos(&t, &junxi).await.len(), 1);
    step(&t, &cadre, &order, "call_back", json!({"reached": false, "words": "再打"})).await.problem(409, "order_state");
}

#[actix_web::test]
async fn a_dispute_is_settled_by_the_township_and_its_words_are_not_for_whoever_did_it() {
    let t = TestApp::new().await;
    let (who, specialist, junxi) = (villager(&t, "chen").await, t.staff("specialist").await, t.staff("junxi").await);
    let order = finished(&t, &who, &specialist, "政策咨询").await;
    let note = |by, words: &'static str| {
        t.post(&format!("{}/notes", path(&order))).by(by).json(json!({"words": words})).send()
    };
    note(&who, "还有一个问题").await.created();
    note(&specialist, "明天再来").await.created();
    step(&t, &specialist, &order, "dispute", json!({"reason": "没有"})).await.problem(409, "other_side");
    let disputed = step(&t, &who, &order, "dispute", json!({"reason": "他没讲清楚"})).await.ok();
    assert_eq!(disputed["state"], "disputed");
    assert_eq!(todos(&t, &junxi).await.len(), 1);
    step(&t, &who, &order, "confirm", json!({})).await.problem(409, "order_state");
    let read = async |by| {
        let notes = t.get(&format!("{}/notes", path(&order))).by(by).send().await.ok();
        notes["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|note| note["words"].as_str().expect("words").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(read(&specialist).await, ["已办好", "还有一个问题", "明天再来"]);
    assert_eq!(read(&who).await, ["已办好", "还有一个问题", "明天再来", "他没讲清楚"]);
    let looks = || t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'read_notes'");
    assert_eq!((looks(), read(&junxi).await.len(), looks()), (0, 4, 1));
    let stranger = t.resident("stranger").await;
    t.get(&format!("{}/notes", path(&order))).by(&stranger).send().await.problem(404, "not_found");
    step(&t, &who, &order, "settle", json!({"done": true, "words": "核实"})).await.problem(403, "forbidden");
    let settled = step(&t, &junxi, &order, "settle", json!({"done": false, "words": "确实没有讲"})).await.ok();
    assert_eq!((&settled["state"], &settled["holder"]), (&json!("cancelled"), &Value::Null));
    assert_eq!(todos(&t, &junxi).await, Vec::<String>::new());
    let other = finished(&t, &who, &specialist, "政策咨询").await;
    step(&t, &who, &other, "dispute", json!({"reason": "说好了又没来"})).await.ok();
    let settled = step(&t, &junxi, &other, "settle", json!({"done": true, "words": "误会"})).await.ok();
    assert_eq!(settled["confirmed_how"], "settled");
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_is_absent_or_leaves_keeps_nobody_waiting() {
    let t = TestApp::new().await;
    let (who, specialist, cadre, admin) =
        (villager(&t, "chen").await, t.staff("specialist").await, t.staff("cadre").await, t.staff("admin").await);
    let (first, second) = (placed(&t, &who, "政策咨询").await, placed(&t, &who, "政策咨询").await);
    for order in [&first, &second] {
        step(&t, &specialist, order, "claim", json!({})).await.ok();
    }
    let (start, _) = codes(&t, &who, &second).await;
    step(&t, &specialist, &second, "start", json!({"code": start})).await.ok();
    let day = t.get("/v1/my_day").by(&specialist).send().await.ok();
    assert_eq!(day["items"].as_array().expect("items").iter().filter(|entry| entry["entity"] == "order").count(), 2);
    let absence = json!({"from_on": "2026-11-23", "until_on": "2026-11-23"});
    t.post(&format!("/v1/staff/{}/absences", specialist.subject)).by(&admin).json(absence).send().await.created();
    // What has begun stays; the rest is looked for somebody else.
    assert_eq!(get(&t, &who, &first).await["state"], "open");
    assert_eq!(get(&t, &who, &second).await["state"], "at_work");
    step(&t, &specialist, &first, "claim", json!({})).await.problem(409, "helper_unfit");
    let open = t.get(&format!("/v1/residents/{}/open", who.subject)).by(&cadre).send().await.ok();
    assert_eq!(open["items"].as_array().expect("items").iter().filter(|entry| entry["entity"] == "order").count(), 2);
    let dismiss = json!({"reason": "离职", "hand_over_to": cadre.subject});
    let dismissed = t
        .post(&format!("/v1/staff/{}/dismiss", specialist.subject))
        .by(&admin)
        .header("if-match", "*")
        .json(dismiss)
        .send()
        .await;
    dismissed.is(200);
    let handed = get(&t, &cadre, &second).await;
    assert_eq!(
        (&handed["held"], &handed["state"], &handed["address"]),
        (&json!(true), &json!("at_work"), &json!("红星村 12 号"))
    );
    step(&t, &cadre, &second, "finish", json!({"words": "接着办完"})).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_closed_record_leaves_nobody_on_the_way_and_no_address() {
    let t = TestApp::new().await;
    let (who, specialist) = (villager(&t, "chen").await, t.staff("specialist").await);
    let done = finished(&t, &who, &specialist, "政策咨询").await;
    step(&t, &who, &done, "confirm", json!({})).await.ok();
    let open = placed(&t, &who, "政策咨询").await;
    step(&t, &specialist, &open, "claim", json!({})).await.ok();
    t.post(&format!("/v1/residents/{}/data_requests", who.subject))
        .by(&who)
        .json(json!({"kind": "close"}))
        .send()
        .await
        .is(202);
    t.run_jobs().await;
    t.pass(TimeDelta::minutes(2));
    t.run_jobs().await;
    let left = "SELECT count(*) AS n FROM orders WHERE address IS NOT NULL OR phone IS NOT NULL OR words IS NOT NULL OR holder_id IS NOT NULL AND state <> 'confirmed'";
    assert_eq!(t.database.count(left), 0);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM order_notes WHERE words IS NOT NULL"), 0);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM orders WHERE state = 'cancelled'"), 1);
}

#[actix_web::test]
async fn kinds_are_the_countys_and_an_order_keeps_what_it_was_ordered_by() {
    let t = TestApp::new().await;
    let (admin, who) = (t.staff("admin").await, villager(&t, "chen").await);
    let body = json!({"name": "理发", "duration_minutes": 30, "evidence": "none", "money": false, "taken_by": ["volunteer"], "dispatch": "grab",
        "form": {"type": "object", "properties": {"short": {"type": "boolean"}}, "required": ["short"]}});
    let post = |body: Value| t.post("/v1/order-kinds").by(&admin).json(body).send();
    let made = post(body.clone()).await.created();
    assert_eq!((&made["grab_minutes"], &made["start_minutes"]), (&json!(10), &json!(30)));
    post(body.clone()).await.problem(409, "name_taken");
    let mut wrong = body.clone();
    wrong["skills"] = json!(["klingon", "care", "care"]);
    wrong["form"] = json!({"type": "array"});
    let wrong = post(wrong).await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/form/type:form_type", "/skills/0:unknown_skill", "/skills/2:twice"]);
    t.post("/v1/order-kinds").by(&who).json(body.clone()).send().await.problem(403, "forbidden");
    let mut order = wish(&t, "理发").await;
    let bare = t.post("/v1/orders").by(&who).json(order.clone()).send().await.problem(422, "invalid");
    assert_eq!(bare.faults(), ["/form/short:required"]);
    order["form"] = json!({"short": true});
    let placed = t.post("/v1/orders").by(&who).json(order.clone()).send().await.created();
    assert_eq!(placed["form"], json!({"short": true}));
    let place = format!("/v1/order-kinds/{}", made["id"].as_str().expect("an id"));
    let mut closed = body.clone();
    closed["state"] = json!("closed");
    closed["duration_minutes"] = json!(45);
    t.put(&place).by(&admin).json(closed.clone()).send().await.problem(428, "precondition_required");
    t.put(&place)
        .by(&admin)
        .header("if-match", "\"9\"")
        .json(closed.clone())
        .send()
        .await
        .problem(412, "version_stale");
    t.put(&place).by(&admin).header("if-match", "\"1\"").json(closed).send().await.ok();
    let refused = t.post("/v1/orders").by(&who).json(order).send().await.problem(422, "invalid");
    assert!(refused.faults().contains(&"/kind_id:unknown_kind".to_owned()));
    assert_eq!(get(&t, &who, &placed).await["duration_minutes"], json!(30));
}

#[actix_web::test]
async fn what_ran_out_is_asked_about_until_somebody_ends_it() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let order = placed(&t, &who, "政策咨询").await;
    t.set_time("2026-11-23T16:00:00+08:00");
    t.tick().await;
    let asked = "SELECT count(*) AS n FROM todos WHERE about = 'order_dispatch'";
    let moves = "SELECT count(*) AS n FROM order_moves WHERE step = 'ask'";
    assert_eq!((t.database.count(asked), t.database.count(moves)), (1, 0));
    // While somebody is at it there is nothing to ask.
    t.set_time("2026-11-24T09:00:00+08:00");
    t.tick().await;
    assert_eq!((t.database.count(asked), t.database.count(moves)), (1, 0));
    // Ticked off, and nobody has been found: it is asked anew the next morning, once.
    let junxi = t.staff("junxi").await;
    let page = t.get("/v1/todos?limit=100").by(&junxi).send().await.ok();
    let todo = page["items"].as_array().expect("items").iter().find(|todo| todo["about"] == "order_dispatch");
    let done = format!("/v1/todos/{}/done", todo.expect("a todo")["id"].as_str().expect("an id"));
    t.post(&done).by(&junxi).json(json!({"note": "已知悉"})).send().await.ok();
    t.tick().await;
    assert_eq!(todos(&t, &junxi).await, Vec::<String>::new());
    t.set_time("2026-11-25T09:00:00+08:00");
    for _ in 0..2 {
        t.tick().await;
        assert_eq!((t.database.count(asked), t.database.count(moves)), (2, 1));
    }
    let (who, junxi) = (t.resident("chen").await, t.staff("junxi").await);
    assert_eq!(todos(&t, &junxi).await.len(), 1);
    step(&t, &who, &order, "cancel", json!({"reason": "不用了"})).await.ok();
    assert_eq!(todos(&t, &junxi).await, Vec::<String>::new());
    t.set_time("2026-11-27T09:00:00+08:00");
    t.tick().await;
    assert_eq!(t.database.count(asked), 2);
}
