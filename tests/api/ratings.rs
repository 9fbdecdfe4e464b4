//! Ratings: by those who were served, once; and nothing of them to those who were rated.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::foreign_admin,
    errands::{content, matter, step, submitted, villager},
    harness::{Reply, Session, TestApp},
    merging::{register, with_phone},
    queue::{act, arrive, booked, desk, id, line},
};

pub async fn rate(t: &TestApp, by: &Session, about: (&str, &str), body: Value) -> Reply {
    let mut whole = json!({"about_kind": about.0, "about_id": about.1});
    whole.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
    t.post("/v1/ratings").by(by).json(whole).send().await
}

/// An errand that its holder, the cadre, has delivered.
pub async fn delivered(t: &TestApp, who: &Session) -> (Value, Session) {
    let matter = matter(t, content("village")).await;
    let sent = submitted(t, who, matter).await;
    let cadre = t.staff("cadre").await;
    assert_eq!(sent["holder"]["id"], json!(cadre.subject));
    step(t, &cadre, &sent, "accept", json!({})).await.ok();
    step(t, &cadre, &sent, "decide", json!({"granted": true, "words": "证明已开具"})).await.ok();
    let done = step(t, &cadre, &sent, "deliver", json!({"how": "in_person"})).await.ok();
    t.run_jobs().await;
    (done, cadre)
}

pub async fn todos(t: &TestApp, by: &Session) -> Vec<Value> {
    let page = t.get("/v1/todos?limit=200").by(by).send().await.ok();
    let all = page["items"].as_array().expect("items");
    all.iter().filter(|todo| todo["about"] == "rating").cloned().collect()
}

pub async fn ratings(t: &TestApp, by: &Session, query: &str) -> Vec<Value> {
    t.get(&format!("/v1/ratings?{query}")).by(by).send().await.ok()["items"].as_array().expect("items").clone()
}

/// Somebody's appointment that 均溪镇 has served, the resident and the desk.
async fn served(t: &TestApp) -> (String, Session, Session) {
    let mine = booked(t, "zhang", "09:00").await;
    let junxi = desk(t, "08:50").await;
    let zhang = t.resident("zhang").await;
    rate(t, &zhang, ("appointment", &mine), json!({"grade": 5})).await.problem(409, "not_served");
    let ticket = arrive(t, &junxi, &mine).await;
    let window = id(&line(t, &junxi).await["windows"][0]);
    act(t, &junxi, &format!("/v1/windows/{window}/call_next"), json!({})).await.ok();
    for verb in ["serve", "finish"] {
        act(t, &junxi, &format!("/v1/appointments/{}/{verb}", id(&ticket)), json!({})).await.ok();
    }
    t.run_jobs().await;
    (mine, zhang, junxi)
}

#[actix_web::test]
async fn an_appointment_is_rated_once_it_is_done() {
    let t = TestApp::new().await;
    let (mine, zhang, junxi) = served(&t).await;
    let five = json!({"grade": 5, "reasons": ["friendly", "fast"], "words": "讲得很耐心"});
    let about = ("appointment", mine.as_str());
    let wrong = json!({"grade": 6, "reasons": ["friendly"], "words": ""});
    let faults = rate(&t, &zhang, about, wrong).await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/grade:range", "/words:length"]);
    let wrong = json!({"grade": 1, "reasons": ["friendly", "slow", "magic"]});
    let faults = rate(&t, &zhang, about, wrong).await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/reasons/0:unknown_reason", "/reasons/2:unknown_reason"]);
    // Nobody else's, nothing of another kind, nothing that is not there.
    rate(&t, &t.resident("stranger").await, about, five.clone()).await.problem(404, "not_found");
    for kind in ["errand", "order"] {
        rate(&t, &zhang, (kind, &mine), five.clone()).await.problem(404, "not_found");
    }
    rate(&t, &zhang, ("appointment", &Uuid::nil().to_string()), five.clone()).await.problem(404, "not_found");
    rate(&t, &junxi, about, five.clone()).await.problem(404, "not_found");

    let key = Uuid::now_v7().to_string();
    let mut body = json!({"about_kind": "appointment", "about_id": mine});
    body.as_object_mut().expect("an object").extend(five.as_object().expect("an object").clone());
    let give = || t.post("/v1/ratings").by(&zhang).key(&key).json(body.clone()).send();
    let given = give().await.is(201);
    assert_eq!(give().await.is(201).bytes, given.bytes, "the same key, the same answer");
    assert_eq!(given.header("location"), format!("/v1/ratings/{}", id(&given.body)));
    assert_eq!(
        (&given["grade"], &given["grade_name"], &given["words"], &given["given_how"], &given["served_by"]),
        (&json!(5), &json!("非常满意"), &json!("讲得很耐心"), &json!("resident"), &json!([junxi.subject]))
    );
    assert_eq!((&given["unit_id"], &given["history"]), (&json!(t.unit("均溪镇").await), &json!([])));
    rate(&t, &zhang, about, five).await.problem(409, "already_rated");
    assert_eq!(ratings(&t, &zhang, "").await.len(), 1);
    assert!(todos(&t, &t.staff("admin").await).await.is_empty(), "a good one is nobody's to look into");
}

#[actix_web::test]
async fn a_bad_one_is_looked_into_above_and_hidden_from_the_rated() {
    let t = TestApp::new().await;
    let (mine, zhang, junxi) = served(&t).await;
    let five = json!({"grade": 5, "words": "讲得很耐心"});
    let given = rate(&t, &zhang, ("appointment", &mine), five).await.is(201);
    // Changed within a day, every version kept; a bad one is looked into above the township.
    let put = |version: &str, body: Value| {
        t.put(&format!("/v1/ratings/{}", id(&given.body))).by(&zhang).header("if-match", version).json(body).send()
    };
    let worse = json!({"grade": 2, "reasons": ["slow"], "words": "其实等了很久"});
    put("\"9\"", worse.clone()).await.problem(412, "version_stale");
    let changed = put("\"1\"", worse.clone()).await.is(200);
    assert_eq!(
        (&changed["grade"], &changed["version"], &changed["history"][0]["words"]),
        (&json!(2), &json!(2), &json!("讲得很耐心"))
    );
    let (admin, supervisor) = (t.staff("admin").await, t.staff("supervisor").await);
    let todo = todos(&t, &supervisor).await.pop().expect("somebody looks into it");
    assert_eq!(
        (&todo["about_id"], &todo["resident_id"], &todo["unit_id"]),
        (&given["id"], &Value::Null, &json!(t.unit("大田县").await))
    );
    assert_eq!(todo["due_at"], "2026-11-25T00:00:00+08:00", "the end of the next working day");
    // The rated and their colleagues learn nothing; whoever is above them reads it, and that is recorded.
    assert!(todos(&t, &junxi).await.is_empty() && ratings(&t, &junxi, "").await.is_empty());
    let one = format!("/v1/ratings/{}", id(&given.body));
    t.get(&one).by(&junxi).send().await.problem(404, "not_found");
    t.get(&one).by(&t.staff("cadre").await).send().await.problem(403, "forbidden");
    t.get(&one).by(&t.resident("stranger").await).send().await.problem(404, "not_found");
    t.get(&one).by(&foreign_admin(&t).await).send().await.problem(404, "not_found");
    let looked = "SELECT count(*) AS n FROM audit_log WHERE action = 'read' AND entity = 'rating'";
    assert_eq!(t.database.count(looked), 0);
    assert_eq!(t.get(&one).by(&supervisor).send().await.ok()["words"], "其实等了很久");
    assert_eq!(t.database.count(looked), 1);
    assert_eq!(ratings(&t, &admin, "up_to_grade=2").await[0]["words"], Value::Null, "lists are without words");
    assert!(ratings(&t, &admin, "up_to_grade=1").await.is_empty());
    let changes =
        "SELECT count(*) AS n FROM changes WHERE entity = 'rating' AND (unit_id IS NOT NULL OR staff_id IS NOT NULL)";
    assert_eq!(t.database.count(changes), 0);
    assert!(!t.database.everything().contains("等了很久"), "sealed");
    // After a day it stays as it is.
    t.set_time("2026-11-24T08:50:00+08:00");
    let zhang = t.resident("zhang").await;
    let late = t.put(&one).by(&zhang).header("if-match", "*").json(worse).send().await;
    late.problem(409, "rating_closed");
    let rewrite = "UPDATE rating_entries SET grade = 5";
    let refused = diesel::connection::SimpleConnection::batch_execute(&mut t.database.service(), rewrite);
    assert!(refused.is_err(), "what was said cannot be changed");
}

#[actix_web::test]
async fn many_taps_are_one_rating() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let (done, cadre) = delivered(&t, &chen).await;
    let errand = id(&done);
    let all =
        join_all((1..=6).map(|grade| rate(&t, &chen, ("errand", &errand), json!({"grade": grade % 5 + 1})))).await;
    assert_eq!(all.iter().filter(|reply| reply.status == 201).count(), 1);
    for reply in all.iter().filter(|reply| reply.status != 201) {
        assert_eq!((reply.status, &reply.body["code"]), (409, &json!("already_rated")));
    }
    let given = ratings(&t, &chen, &format!("about_id={errand}")).await.pop().expect("one");
    assert_eq!((&given["served_by"], &given["unit_id"]), (&json!([cadre.subject]), &json!(t.unit("红星村委会").await)));
    // Of a village the township is above: it sees them, the village does not.
    let junxi = t.staff("junxi").await;
    assert_eq!(ratings(&t, &junxi, "about_kind=errand").await.len(), 1);
    t.get("/v1/ratings").by(&cadre).send().await.problem(403, "forbidden");
    // Whoever comes to work in the village too, or did it, sees it no more.
    let village = t.unit("红星村委会").await;
    t.database.run(&format!(
        "INSERT INTO staff_posts (county_id, id, staff_id, role, unit_id, since) VALUES (1, gen_random_uuid(), '{}', 'village_cadre', '{village}', now())",
        junxi.subject
    ));
    assert!(ratings(&t, &junxi, "").await.is_empty());
    t.run_jobs().await;
}

#[actix_web::test]
async fn relatives_rate_and_staff_write_down_what_others_did() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let (done, cadre) = delivered(&t, &chen).await;
    let (errand, specialist) = (id(&done), t.staff("specialist").await);
    let about = ("errand", errand.as_str());
    let bad = json!({"grade": 1, "reasons": ["asked_for_money"], "words": "要了两条烟"});
    // Somebody with a phone does it with their own hands.
    rate(&t, &specialist, about, bad.clone()).await.problem(409, "rates_oneself");
    // For somebody without one: anybody but the one who did it; within reach.
    let granny = id(&register(&t, &cadre, "陈大阿婆", None, None).await);
    t.database.run(&format!("UPDATE errands SET resident_id = '{granny}' WHERE id = '{errand}'"));
    rate(&t, &cadre, about, bad.clone()).await.problem(403, "own_service");
    let (_, far) = crate::staff::open(&t, &t.staff("admin").await, "far", "specialist", "石牌村委会").await;
    rate(&t, &far, about, bad.clone()).await.problem(404, "not_found");
    let given = rate(&t, &specialist, about, bad.clone()).await.created();
    assert_eq!((&given["given_how"], &given["given_by"]), (&json!("agent"), &json!(specialist.subject)));
    let one = format!("/v1/ratings/{}", id(&given));
    t.get(&one).by(&specialist).send().await.problem(403, "forbidden");
    let put = |by: &Session, body: Value| t.put(&one).by(by).header("if-match", "*").json(body).send();
    put(&cadre, json!({"grade": 5})).await.problem(404, "not_found");
    put(&t.staff("junxi").await, json!({"grade": 5})).await.problem(404, "not_found");
    put(&specialist, json!({"grade": 2, "reasons": ["late"]})).await.ok();
    let junxi = t.staff("junxi").await;
    assert_eq!(todos(&t, &junxi).await.len(), 1, "once, however often it is changed");
    assert!(todos(&t, &cadre).await.is_empty());
    let waits = t.get(&format!("/v1/residents/{granny}/open")).by(&cadre).send().await.ok();
    assert!(!waits.to_string().contains("rating"), "not at the counter either: {waits}");

    // A daughter who may file errands for her may rate them; one who may only book may not.
    let daughter = with_phone(&t, "daughter", "林小梅", "13950900002").await;
    let may = |may: &str| json!({"relation": "child", "may": [may], "given_how": "spoken"});
    let booking = crate::proxies::authorised(&t, &cadre, &granny, &daughter, may("book")).await;
    put(&daughter, json!({"grade": 4})).await.problem(404, "not_found");
    t.post(&format!("/v1/proxies/{booking}/end")).by(&daughter).send().await.ok();
    crate::proxies::authorised(&t, &cadre, &granny, &daughter, may("errand")).await;
    // What an agent wrote down she neither changes nor reads.
    put(&daughter, json!({"grade": 4, "reasons": ["fast"]})).await.problem(404, "not_found");
    assert!(ratings(&t, &daughter, "").await.is_empty());
    put(&specialist, json!({"grade": 4, "reasons": ["fast"]})).await.ok();
    assert_eq!(todos(&t, &junxi).await.len(), 1, "it stays somebody's to look into");
    let (other, _) = delivered(&t, &chen).await;
    t.database.run(&format!("UPDATE errands SET resident_id = '{granny}' WHERE id = '{}'", id(&other)));
    let given = rate(&t, &daughter, ("errand", &id(&other)), json!({"grade": 4, "reasons": ["fast"]})).await.created();
    assert_eq!(given["given_how"], "proxy");
    assert_eq!(ratings(&t, &daughter, "").await.len(), 1);
    t.run_jobs().await;
}

/// Some ratings of a unit in a month, each by somebody else, behind the application's back.
fn fill(t: &TestApp, unit: Uuid, day: &str, grades: &[i16]) {
    for grade in grades {
        t.database.run(&format!(
            "WITH somebody AS (INSERT INTO residents (county_id, id, wechat_openid, wechat_openid_index, identity_level, created_at, updated_at) \
               SELECT 1, u, u::text::bytea, u::text::bytea, 'none', '{day}', '{day}' FROM gen_random_uuid() u RETURNING id) \
             INSERT INTO ratings (county_id, id, about_kind, about_id, resident_id, unit_id, served_by, grade, reasons, given_how, given_by, on_date, created_at, changed_at) \
             SELECT 1, gen_random_uuid(), 'errand', gen_random_uuid(), id, '{unit}', '{{}}', {grade}, '{{}}', 'resident', id, '{day}', '{day}', '{day}' FROM somebody"
        ));
    }
}

#[actix_web::test]
async fn the_rated_see_totals_of_past_months_and_never_of_few() {
    let t = TestApp::new().await;
    villager(&t, "chen").await;
    let (village, town, far) = (t.unit("红星村委会").await, t.unit("均溪镇").await, t.unit("石牌村委会").await);
    fill(&t, village, "2026-09-10", &[1, 5, 5, 5]);
    fill(&t, village, "2026-10-10", &[1, 2, 3, 5, 5]);
    fill(&t, village, "2026-11-10", &[1, 5, 5, 5, 5, 5]);
    fill(&t, town, "2026-10-11", &[2, 4]);
    fill(&t, far, "2026-10-12", &[5]);
    let numbers = async |by: &Session, query: &str| {
        let page = t.get(&format!("/v1/ratings/numbers?{query}")).by(by).send().await.ok();
        let all = page["items"].as_array().expect("items").clone();
        all.iter()
            .map(|row| {
                format!(
                    "{} {} {} {}",
                    row["unit_name"].as_str().expect("a name"),
                    row["month"].as_str().expect("a month"),
                    row["about_kind"].as_str().unwrap_or("all"),
                    row["total"]
                )
            })
            .collect::<Vec<_>>()
    };
    let (cadre, junxi) = (t.staff("cadre").await, t.staff("junxi").await);
    assert_eq!(numbers(&cadre, "").await, ["红星村委会 2026-10 all 5"]);
    assert!(numbers(&cadre, "about_kind=errand").await.is_empty(), "kinds would make the cells smaller");
    let page = t.get("/v1/ratings/numbers").by(&cadre).send().await.ok();
    let row = &page["items"][0];
    assert_eq!(
        (&row["grade_5"], &row["grade_3"], &row["grade_2"], &row["grade_1"], &row["satisfied_rate"]),
        (&json!(2), &json!(1), &json!(1), &json!(1), &json!(0.6))
    );
    assert_eq!((&page["from"], &page["to"]), (&json!("2026-06"), &json!("2026-11")));
    // Five of one person are one person's.
    let one = "UPDATE ratings SET resident_id = (SELECT resident_id FROM ratings WHERE on_date = '2026-10-10' LIMIT 1) WHERE on_date = '2026-10-10'";
    t.database.run(one);
    assert!(numbers(&cadre, "").await.is_empty());
    // The township: its villages in full, itself not at all with so few.
    assert_eq!(
        numbers(&junxi, "").await,
        ["红星村委会 2026-09 errand 4", "红星村委会 2026-10 errand 5", "红星村委会 2026-11 errand 6"]
    );
    fill(&t, town, "2026-10-11", &[5, 5, 5]);
    assert_eq!(numbers(&junxi, "").await[0], "均溪镇 2026-10 all 5");
    assert_eq!(numbers(&junxi, &format!("unit_id={village}&from=2026-11")).await, ["红星村委会 2026-11 errand 6"]);
    // The county: everything, by the units right below it.
    let supervisor = t.staff("supervisor").await;
    assert_eq!(
        numbers(&supervisor, "from=2026-10&to=2026-10").await,
        ["均溪镇 2026-10 errand 10", "石牌镇 2026-10 errand 1"]
    );
    assert_eq!(numbers(&t.staff("admin").await, "about_kind=appointment").await, Vec::<String>::new());
    t.get(&format!("/v1/ratings/numbers?unit_id={far}")).by(&junxi).send().await.problem(404, "not_found");
    t.get(&format!("/v1/ratings/numbers?unit_id={town}")).by(&cadre).send().await.problem(404, "not_found");
    for (query, fault) in [
        ("from=2026-13", "from:month"),
        ("to=11-2026", "to:month"),
        ("from=2026-11&to=2026-10", "from:range"),
        ("from=2024-10&to=2026-10", "from:range"),
    ] {
        let reply = t.get(&format!("/v1/ratings/numbers?{query}")).by(&supervisor).send().await;
        assert_eq!(reply.problem(422, "invalid").faults(), [fault], "{query}");
    }
    t.get("/v1/ratings/numbers?from=2024-11&to=2026-10").by(&supervisor).send().await.ok();
    // November is shown from the moment on in which nothing in it can change.
    for (now, shown) in [("2026-12-01T23:59:00+08:00", false), ("2026-12-02T00:00:00+08:00", true)] {
        t.set_time(now);
        let cadre = t.staff("cadre").await;
        assert_eq!(numbers(&cadre, "").await.contains(&"红星村委会 2026-11 all 6".to_owned()), shown, "{now}");
    }
    t.get("/v1/ratings/numbers").by(&t.resident("chen").await).send().await.problem(403, "forbidden");
}

#[actix_web::test]
async fn lists_are_whole_page_after_page() {
    let t = TestApp::new().await;
    villager(&t, "chen").await;
    let village = t.unit("红星村委会").await;
    for (day, grades) in [("2026-10-10", [1, 2]), ("2026-10-11", [3, 4]), ("2026-11-01", [5, 1])] {
        fill(&t, village, day, &grades);
    }
    let junxi = t.staff("junxi").await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = t.get(&format!("/v1/ratings?limit=2&count=true{cursor}")).by(&junxi).send().await.ok();
        assert_eq!(page["total"], 6);
        seen.extend(page["items"].as_array().expect("items").iter().map(id));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (6, 6));
    assert_eq!(ratings(&t, &junxi, "from=2026-10-11&to=2026-10-31").await.len(), 2);
    assert_eq!(ratings(&t, &junxi, "up_to_grade=2").await.len(), 3);
    assert_eq!(ratings(&t, &junxi, &format!("unit_id={village}&about_kind=errand")).await.len(), 6);
    assert!(ratings(&t, &junxi, "about_kind=order").await.is_empty());
    let reply = t.get("/v1/ratings?up_to_grade=9").by(&junxi).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["up_to_grade:range"]);
    let reasons = t.get("/v1/ratings/reasons").header("accept-language", "en").send().await.ok();
    assert_eq!(reasons["items"][0], json!({"key": "friendly", "grades": [3, 4, 5], "name": "friendly"}));
}

#[actix_web::test]
async fn what_was_said_goes_with_the_record_and_the_grade_stays() {
    let t = TestApp::new().await;
    let chen = with_phone(&t, "chen", "陈阿婆", "13950900001").await;
    let (done, _) = delivered(&t, &chen).await;
    let given = rate(&t, &chen, ("errand", &id(&done)), json!({"grade": 2, "words": "等了很久"})).await.created();
    // Of two records the one that stays has it.
    let kept = with_phone(&t, "kept", "陈阿婆", "13950900009").await;
    let body = json!({"duplicate_id": chen.subject, "reason": "同一人重复登记", "identity_seen": "id_card"});
    let call =
        t.post(&format!("/v1/residents/{}/merge", kept.subject)).by(&t.staff("cadre").await).header("if-match", "*");
    call.json(body).send().await.ok();
    t.run_jobs().await;
    let kept = t.resident("kept").await;
    let now = t.get(&format!("/v1/ratings/{}", id(&given))).by(&kept).send().await.ok();
    assert_eq!((&now["words"], &now["resident_id"]), (&json!("等了很久"), &json!(kept.subject)));
    let copy = crate::data_requests::ask(&t, &kept, kept.subject, json!({"kind": "export"})).await;
    t.run_jobs().await;
    let archive = t.get(&format!("/v1/data_requests/{}/archive", id(&copy))).by(&kept).send().await.ok();
    assert_eq!(archive["rooms"]["ratings"][0]["said"][0]["words"], "等了很久");
    crate::data_requests::ask(&t, &kept, kept.subject, json!({"kind": "close"})).await;
    t.run_jobs().await;
    t.pass(TimeDelta::minutes(2));
    t.run_jobs().await;
    assert_eq!(t.database.count("SELECT count(words) AS n FROM rating_entries"), 0);
    let seen = t.get(&format!("/v1/ratings/{}", id(&given))).by(&t.staff("admin").await).send().await.ok();
    assert_eq!((&seen["grade"], &seen["words"], &seen["resident_name"]), (&json!(2), &Value::Null, &Value::Null));
}
