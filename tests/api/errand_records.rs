//! What is kept and told of errands: lists, numbers, the ledger, a new calendar, handing over.

use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    errands::{complete, content, ledger, matter, path, step, steps, submitted, villager},
    harness::TestApp,
};

#[actix_web::test]
async fn lists_are_of_those_who_may_see_them() {
    let t = TestApp::new().await;
    let (chen, lin) = (villager(&t, "chen").await, villager(&t, "lin").await);
    let matter = matter(&t, content("village")).await;
    let first = submitted(&t, &chen, matter).await;
    let second = submitted(&t, &lin, matter).await;
    t.post("/v1/errands").by(&lin).json(complete(matter)).send().await.created();
    let (cadre, junxi, foreign) = (t.staff("cadre").await, t.staff("junxi").await, foreign_admin(&t).await);
    let ids = |page: &Value| {
        page["items"].as_array().expect("items").iter().map(|item| item["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&t.get("/v1/errands").by(&chen).send().await.ok()), [first["id"].clone()]);
    assert_eq!(ids(&t.get("/v1/errands").by(&lin).send().await.ok()).len(), 2, "with the draft");
    let other = format!("/v1/errands?resident_id={}", lin.subject);
    assert_eq!(ids(&t.get(&other).by(&chen).send().await.ok()), Vec::<Value>::new());
    assert_eq!(ids(&t.get(&other).by(&foreign).send().await.ok()), Vec::<Value>::new());
    for session in [&cadre, &junxi] {
        let page = t.get("/v1/errands?count=true&limit=1").by(session).send().await.ok();
        assert_eq!((&page["total"], ids(&page)), (&json!(2), vec![first["id"].clone()]));
        let rest = format!("/v1/errands?limit=1&cursor={}", page["next_cursor"].as_str().expect("more"));
        assert_eq!(ids(&t.get(&rest).by(session).send().await.ok()), [second["id"].clone()]);
    }
    let far = format!("/v1/errands?unit_id={}", t.unit("石牌镇").await);
    assert_eq!(ids(&t.get(&far).by(&junxi).send().await.ok()), Vec::<Value>::new());
    let number = format!("/v1/errands?number={}", second["number"].as_str().expect("a number"));
    assert_eq!(ids(&t.get(&number).by(&cadre).send().await.ok()), [second["id"].clone()]);
    for (query, expected) in [
        ("lamp=green", 2),
        ("lamp=red", 0),
        ("state=accepted", 0),
        ("due_before=2026-12-01", 2),
        ("due_before=2026-11-30", 0),
    ] {
        assert_eq!(
            ids(&t.get(&format!("/v1/errands?{query}")).by(&cadre).send().await.ok()).len(),
            expected,
            "{query}"
        );
    }
    assert_eq!(
        ids(&t.get("/v1/errands?mine=true").by(&cadre).send().await.ok()).len()
            + ids(&t.get("/v1/errands?mine=true").by(&t.staff("specialist").await).send().await.ok()).len(),
        2
    );
    for session in [&chen, &foreign] {
        t.get(&path(&second)).by(session).send().await.problem(404, "not_found");
        t.get(&format!("{}/ledger", path(&second))).by(session).send().await.problem(404, "not_found");
    }
}

#[actix_web::test]
async fn supervisors_see_numbers_of_units_and_matters() {
    let t = TestApp::new().await;
    let (chen, lin) = (villager(&t, "chen").await, villager(&t, "lin").await);
    let matter = matter(&t, content("village")).await;
    let (first, second) = (submitted(&t, &chen, matter).await, submitted(&t, &lin, matter).await);
    let cadre = t.staff("cadre").await;
    let third = submitted(&t, &chen, matter).await;
    for errand in [&first, &second] {
        let holder = t.get(&path(errand)).by(&cadre).send().await.ok();
        let by =
            if holder["holder"]["id"] == json!(cadre.subject) { cadre.clone() } else { t.staff("specialist").await };
        step(&t, &by, errand, "accept", json!({})).await.ok();
        if *errand == first {
            step(&t, &by, errand, "decide", json!({"granted": true, "words": "已开具"})).await.ok();
        }
    }
    t.run_jobs().await;
    t.set_time("2026-12-01T10:00:00+08:00");
    let junxi = t.staff("junxi").await;
    let town = t.get("/v1/errands/numbers").by(&junxi).send().await.ok();
    let village = &town["items"][0];
    assert_eq!(village["name"], "红星村委会");
    let of = |name: &str| village[name].clone();
    assert_eq!((of("open"), of("overdue"), of("decided"), of("on_time")), (json!(2), json!(2), json!(1), json!(1)));
    assert_eq!((of("on_time_rate"), of("standing_still")), (json!(1.0), json!(0)));
    let supervisor = t.staff("supervisor").await;
    let matters = t.get(&format!("/v1/errands/numbers?by=matter&matter_id={matter}")).by(&supervisor).send().await.ok();
    assert_eq!((&matters["items"][0]["id"], &matters["items"][0]["open"]), (&json!(matter), &json!(2)));
    let before = t.get("/v1/errands/numbers?from=2026-10-01&to=2026-10-31").by(&supervisor).send().await.ok();
    assert_eq!(before["items"][0]["decided"], 0);
    let far = format!("/v1/errands/numbers?unit_id={}", t.unit("石牌镇").await);
    t.get(&far).by(&junxi).send().await.problem(404, "not_found");
    t.get("/v1/errands/numbers?from=2026-12-02").by(&junxi).send().await.problem(422, "invalid");
    drop(third);
    t.tick().await;
}

#[actix_web::test]
async fn a_draft_is_ones_own_and_may_be_withdrawn() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let filed = t.post("/v1/errands").by(&who).json(complete(matter)).send().await.created();
    for username in ["cadre", "junxi", "admin"] {
        let session = t.staff(username).await;
        t.get(&path(&filed)).by(&session).send().await.problem(404, "not_found");
        step(&t, &session, &filed, "submit", json!({})).await.problem(404, "not_found");
        step(&t, &session, &filed, "withdraw", json!({"reason": "不办了"})).await.problem(404, "not_found");
    }
    let withdrawn = step(&t, &who, &filed, "withdraw", json!({"reason": "不办了"})).await.ok();
    assert_eq!((&withdrawn["state"], &withdrawn["holder"]), (&json!("withdrawn"), &Value::Null));
    assert_eq!((&withdrawn["form"], &withdrawn["materials"]), (&Value::Null, &json!([])), "nothing of it is left");
    for username in ["cadre", "junxi", "admin"] {
        let session = t.staff(username).await;
        t.get(&path(&filed)).by(&session).send().await.problem(404, "not_found");
        let theirs = t.get("/v1/errands?state=withdrawn&count=true").by(&session).send().await.ok();
        assert_eq!(theirs["total"], 0, "what was never handed in is nobody's business: {username}");
    }
    step(&t, &who, &filed, "submit", json!({})).await.problem(409, "errand_state");
    // What a resident has handed in nobody else withdraws.
    let sent = submitted(&t, &who, matter).await;
    let cadre = t.staff("cadre").await;
    step(&t, &cadre, &sent, "withdraw", json!({"reason": "不办了"})).await.problem(409, "mandate_ended");
}

#[actix_web::test]
async fn what_was_changed_in_the_database_shows_and_cannot_be_changed_by_the_service() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let sent = submitted(&t, &who, matter).await;
    let cadre = t.staff("cadre").await;
    step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    step(&t, &cadre, &sent, "suspend", json!({"reason": "听证"})).await.ok();
    t.run_jobs().await;
    let broken = async || ledger(&t, &who, &sent).await["broken_at"].clone();
    assert_eq!(broken().await, Value::Null);
    // Whoever handles it reads it for that; whoever is over it is written down, before they see a word.
    let looks = "SELECT count(*) AS n FROM audit_log WHERE action = 'read_ledger'";
    for (by, words, looked) in [("cadre", "听证", 0), ("junxi", "听证", 1), ("admin", "听证", 2)] {
        let told = ledger(&t, &t.staff(by).await, &sent).await;
        assert_eq!((&told["entries"][3]["words"], t.database.count(looks)), (&json!(words), looked), "{by}");
    }
    let colleague = ledger(&t, &t.staff("specialist").await, &sent).await;
    assert_eq!((&colleague["entries"][3]["words"], t.database.count(looks)), (&Value::Null, 2));
    let may = t.database.count("SELECT (has_table_privilege('lianxin_app', 'errand_ledger', 'UPDATE') OR has_table_privilege('lianxin_app', 'errand_ledger', 'DELETE'))::int::bigint AS n");
    assert_eq!(may, 0);
    t.database.run("UPDATE errand_ledger SET facts = facts || '{\"on\": \"2026-11-20\"}' WHERE step = 'accept'");
    assert_eq!(broken().await, 3);
    t.database.run("DELETE FROM errand_words; DELETE FROM errand_ledger WHERE seq >= 3");
    assert_eq!(broken().await, 3, "its end was cut off");
}

#[actix_web::test]
async fn a_new_calendar_moves_deadlines_and_says_so_in_the_ledger() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let sent = submitted(&t, &who, matter).await;
    let cadre = t.staff("cadre").await;
    let accepted = step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    assert_eq!(accepted["due_on"], "2026-11-30");
    t.run_jobs().await;
    t.database.run("INSERT INTO calendar_days (day, kind, name) VALUES ('2026-11-25', 'holiday', '测试假日')");
    t.app.calendar.forget();
    let county = t.database.count("SELECT id::bigint AS n FROM counties WHERE key = '350425'") as i32;
    lianxin::errands::recount::county(&t.app.clone().into_inner(), county).await.expect("counted");
    let moved = t.get(&path(&sent)).by(&who).send().await.ok();
    assert_eq!(moved["due_on"], "2026-12-01");
    let told = ledger(&t, &who, &sent).await;
    assert_eq!((steps(&told).last(), &told["broken_at"]), (Some(&"recount"), &Value::Null));
    // Once more changes nothing.
    lianxin::errands::recount::county(&t.app.clone().into_inner(), county).await.expect("counted");
    assert_eq!(ledger(&t, &who, &sent).await, told);
    t.run_jobs().await;
}

/// The lamp is stored as days: a new share of the limit moves them, without an entry, for no deadline has moved.
#[actix_web::test]
async fn new_settings_of_the_lamp_reach_what_is_open() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let sent = submitted(&t, &who, matter).await;
    let (cadre, admin) = (t.staff("cadre").await, t.staff("admin").await);
    step(&t, &cadre, &sent, "accept", json!({})).await.ok();
    t.run_jobs().await;
    let dates = "SELECT concat_ws(' ', due_on, yellow_from, red_from, rung_on) AS text FROM errands";
    assert_eq!(t.database.text(dates), "2026-11-30 2026-11-28 2026-12-01 2026-11-28");
    let told = ledger(&t, &who, &sent).await;
    let setting = json!({"value": 40, "reason": "提前提醒"});
    let put = |body| t.put("/v1/settings/errands.yellow_percent").by(&admin).header("if-match", "*").json(body).send();
    put(setting).await.ok();
    t.run_jobs().await;
    assert_eq!(t.database.text(dates), "2026-11-30 2026-11-28 2026-12-01 2026-11-28", "not before everybody knows");
    t.pass(chrono::TimeDelta::minutes(1));
    t.run_jobs().await;
    assert_eq!(t.database.text(dates), "2026-11-30 2026-11-26 2026-12-01 2026-11-26");
    assert_eq!(ledger(&t, &who, &sent).await, told, "nothing has happened to it");
    // From a later day on: then.
    let admin = t.staff("admin").await;
    let later = json!({"value": 60, "reason": "恢复", "effective_on": "2026-11-24"});
    let call = t.put("/v1/settings/errands.yellow_percent").by(&admin).header("if-match", "*");
    call.json(later).send().await.ok();
    t.pass(chrono::TimeDelta::minutes(5));
    t.run_jobs().await;
    assert_eq!(t.database.text(dates), "2026-11-30 2026-11-26 2026-12-01 2026-11-26");
    t.set_time("2026-11-24T00:01:00+08:00");
    t.run_jobs().await;
    assert_eq!(t.database.text(dates), "2026-11-30 2026-11-27 2026-12-01 2026-11-27");
}

#[actix_web::test]
async fn whoever_leaves_hands_over_what_they_answer_for() {
    let t = TestApp::new().await;
    let (who, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let sent = submitted(&t, &who, matter).await;
    let (admin, cadre, specialist) = (t.staff("admin").await, t.staff("cadre").await, t.staff("specialist").await);
    let dismiss = format!("/v1/staff/{}/dismiss", cadre.subject);
    t.post(&dismiss)
        .by(&admin)
        .header("if-match", "*")
        .json(json!({"reason": "调离"}))
        .send()
        .await
        .problem(409, "still_holds");
    let to = json!({"reason": "调离", "hand_over_to": specialist.subject});
    t.post(&dismiss).by(&admin).header("if-match", "*").json(to).send().await.ok();
    let now = t.get(&path(&sent)).by(&specialist).send().await.ok();
    assert_eq!(now["holder"]["id"], json!(specialist.subject));
    let told = ledger(&t, &who, &sent).await;
    assert_eq!((steps(&told).last(), &told["broken_at"]), (Some(&"hand_over"), &Value::Null));
    step(&t, &specialist, &sent, "accept", json!({})).await.ok();
    t.run_jobs().await;
}
