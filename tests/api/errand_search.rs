//! Finding errands by the name of whom they are for: exact, within reach, recorded; in both orders.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    data_requests,
    errands::{content, matter, path, step, submitted, villager},
    harness::{Session, TestApp},
    merging,
};

async fn found(t: &TestApp, by: &Session, query: &str) -> Vec<Value> {
    let page = t.get(&format!("/v1/errands?{query}")).by(by).send().await.ok();
    page["items"].as_array().expect("items").iter().map(|item| item["id"].clone()).collect()
}

async fn rename(t: &TestApp, by: &Session, resident: &Session, name: &str) {
    let body = json!({"name": name, "unit_id": t.unit("红星村委会").await});
    let call = t.put(&format!("/v1/residents/{}", resident.subject)).by(by);
    call.header("if-match", "*").json(body).send().await.ok();
}

#[actix_web::test]
async fn found_by_the_exact_name_however_it_is_typed_within_reach() {
    let t = TestApp::new().await;
    let (chen, lin) = (villager(&t, "chen").await, villager(&t, "lin").await);
    rename(&t, &lin, &lin, "林 阿Ａ公").await;
    let village = matter(&t, content("village")).await;
    let (first, second) = (submitted(&t, &chen, village).await, submitted(&t, &chen, village).await);
    let other = submitted(&t, &lin, village).await;
    let (cadre, junxi, admin) = (t.staff("cadre").await, t.staff("junxi").await, t.staff("admin").await);
    for by in [&cadre, &junxi, &admin] {
        let both = [first["id"].clone(), second["id"].clone()];
        for typed in ["陈阿婆", "%20陈阿婆%20", "陈%20阿婆", "陈%E3%80%80阿婆"] {
            assert_eq!(found(&t, by, &format!("name={typed}")).await, both, "{typed}");
        }
        for typed in ["林阿A公", "林阿Ａ公", "林 阿a公", "陈阿", "陈阿婆婆"] {
            let expected = if typed.contains(['A', 'Ａ']) { vec![other["id"].clone()] } else { vec![] };
            assert_eq!(found(&t, by, &format!("name={typed}")).await, expected, "{typed}");
        }
    }
    // Together with everything else that narrows a list.
    let far = t.unit("石牌镇").await;
    assert_eq!(found(&t, &admin, &format!("name=陈阿婆&unit_id={far}")).await, Vec::<Value>::new());
    assert_eq!(found(&t, &junxi, &format!("name=陈阿婆&unit_id={far}")).await, Vec::<Value>::new());
    for (query, expected) in [
        ("state=submitted", 2),
        ("state=archived", 0),
        ("lamp=green", 2),
        ("lamp=red", 0),
        ("due_before=2026-11-30", 0),
        ("sort=due_on", 2),
        ("sort=due_on&state=archived", 0),
        ("sort=due_on&state=submitted", 2),
    ] {
        assert_eq!(found(&t, &cadre, &format!("name=陈阿婆&{query}")).await.len(), expected, "{query}");
    }
    assert_eq!(found(&t, &cadre, &format!("name=陈阿婆&resident_id={}", chen.subject)).await.len(), 2);
    assert_eq!(found(&t, &cadre, &format!("name=陈阿婆&resident_id={}", lin.subject)).await.len(), 0);
    for sort in ["created_at", "due_on"] {
        let query = format!("/v1/errands?name=陈阿婆&count=true&limit=1&sort={sort}");
        let page = t.get(&query).by(&cadre).send().await.ok();
        assert_eq!((&page["total"], &page["items"][0]["id"]), (&json!(2), &first["id"]));
        let cursor = page["next_cursor"].as_str().expect("more");
        let rest = t.get(&format!("{query}&cursor={cursor}")).by(&cadre).send().await.ok();
        assert_eq!((&rest["items"][0]["id"], &rest["next_cursor"]), (&second["id"], &Value::Null));
    }
    // Only what a list of theirs would show: what one answers for; what was forwarded to the department.
    assert_eq!(
        found(&t, &cadre, "name=陈阿婆&mine=true").await.len(),
        found(&t, &cadre, "mine=true").await.len() - found(&t, &cadre, "mine=true&name=林阿A公").await.len()
    );
    assert_eq!(found(&t, &t.staff("civil.affairs").await, "name=陈阿婆").await, Vec::<Value>::new());
    assert_eq!(found(&t, &foreign_admin(&t).await, "name=陈阿婆").await, Vec::<Value>::new());
    let refused = t.get("/v1/errands?name=陈阿婆").by(&chen).send().await.problem(422, "invalid");
    assert_eq!(refused.faults(), ["name:not_for_residents"]);
    for typed in ["", "%20", "陈*婆"] {
        let refused = t.get(&format!("/v1/errands?name={typed}")).by(&cadre).send().await.problem(422, "invalid");
        assert_eq!(refused.faults(), ["name:name"], "{typed}");
    }
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_department_finds_what_was_forwarded_to_it() {
    let t = TestApp::new().await;
    let mut content = content("department");
    content["department_id"] = json!(t.department("县民政局").await);
    let (chen, matter) = (villager(&t, "chen").await, matter(&t, content).await);
    let (sent, _waits) = (submitted(&t, &chen, matter).await, submitted(&t, &chen, matter).await);
    let (bureau, other) = (t.staff("civil.affairs").await, t.staff("junxi").await);
    let holder = sent["holder"]["name"].as_str().expect("a holder");
    let holder = t.staff(if holder == "红星村代办员" { "cadre" } else { "specialist" }).await;
    step(&t, &holder, &sent, "accept", json!({})).await.ok();
    assert_eq!(found(&t, &bureau, "name=陈阿婆").await, Vec::<Value>::new());
    step(&t, &holder, &sent, "forward", json!({})).await.ok();
    let queries = [
        "name=陈阿婆",
        "name=陈阿婆&sort=due_on",
        "state=forwarded",
        "lamp=green",
        "sort=due_on",
        "due_before=2027-01-01",
    ];
    for query in queries {
        assert_eq!(found(&t, &bureau, query).await, [sent["id"].clone()], "{query}");
    }
    for query in ["state=decided", "lamp=red", "state=decided&lamp=green"] {
        assert_eq!(found(&t, &bureau, query).await, Vec::<Value>::new(), "{query}");
    }
    assert_eq!(found(&t, &other, "name=陈阿婆").await.len(), 2);
    t.run_jobs().await;
}

/// Whoever looks for a name has looked at everybody who has it.
#[actix_web::test]
async fn every_search_is_recorded_and_there_are_not_many() {
    let t = TestApp::new().await;
    let (chen, lin) = (villager(&t, "chen").await, villager(&t, "lin").await);
    let matter = matter(&t, content("village")).await;
    for who in [&chen, &chen, &lin] {
        submitted(&t, who, matter).await;
    }
    let cadre = t.staff("cadre").await;
    let looks = |resident: &str| {
        t.database.count(&format!(
            "SELECT count(*) AS n FROM audit_log WHERE action = 'lookup' AND entity = 'resident' AND entity_id = '{resident}' AND fields = '{{name}}'"
        ))
    };
    assert_eq!(found(&t, &cadre, "name=陈阿婆").await.len(), 3, "namesakes");
    let nobody = "00000000-0000-0000-0000-000000000000";
    let (one, other) = (chen.subject.to_string(), lin.subject.to_string());
    assert_eq!((looks(&one), looks(&other), looks(nobody)), (1, 1, 0));
    found(&t, &cadre, "name=陈阿公").await;
    assert_eq!((looks(&one), looks(nobody)), (1, 1));
    // Without a name nothing is recorded.
    found(&t, &cadre, "").await;
    assert_eq!((looks(&one), looks(nobody)), (1, 1));
    for _ in 0..28 {
        found(&t, &cadre, "name=陈阿公").await;
    }
    t.get("/v1/errands?name=陈阿公").by(&cadre).send().await.problem(429, "too_many_requests");
    found(&t, &cadre, "lamp=green").await;
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_new_name_is_found_the_old_one_no_more_and_an_erased_one_never() {
    let t = TestApp::new().await;
    let (chen, matter) = (villager(&t, "chen").await, matter(&t, content("village")).await);
    let sent = submitted(&t, &chen, matter).await;
    let (cadre, all) = (t.staff("cadre").await, [sent["id"].clone()]);
    rename(&t, &cadre, &chen, "陈阿妹").await;
    assert_eq!(found(&t, &cadre, "name=陈阿婆").await, Vec::<Value>::new());
    assert_eq!(found(&t, &cadre, "name=陈阿妹").await, all);
    rename(&t, &cadre, &chen, "陈阿婆").await;
    assert_eq!(found(&t, &cadre, "name=陈阿婆").await, all);
    assert_eq!(found(&t, &cadre, "name=陈阿妹").await, Vec::<Value>::new());
    step(&t, &chen, &sent, "withdraw", json!({"reason": "不办了"})).await.ok();
    let holder = sent["holder"]["id"] == json!(cadre.subject);
    let holder = t.staff(if holder { "cadre" } else { "specialist" }).await;
    step(&t, &holder, &sent, "archive", json!({})).await.ok();
    assert_eq!(found(&t, &cadre, "name=陈阿婆&state=archived").await, all);
    t.run_jobs().await;
    data_requests::ask(&t, &chen, chen.subject, json!({"kind": "close"})).await;
    t.run_jobs().await;
    t.pass(TimeDelta::minutes(2));
    t.run_jobs().await;
    let cadre = t.staff("cadre").await;
    assert_eq!(found(&t, &cadre, "name=陈阿婆").await, Vec::<Value>::new());
    assert_eq!(found(&t, &cadre, "state=archived").await, all, "it stays, without a name");
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM residents WHERE closed_at IS NOT NULL AND name_index IS NOT NULL"),
        0
    );
}

#[actix_web::test]
async fn of_two_records_the_name_of_the_one_that_stays_is_found() {
    let t = TestApp::new().await;
    let (kept, gone) = (
        merging::with_phone(&t, "chen", "陈阿婆", "13950900001").await,
        merging::with_phone(&t, "lin", "陈婆婆", "13950900001").await,
    );
    let matter = matter(&t, content("village")).await;
    let sent = submitted(&t, &gone, matter).await;
    let cadre = t.staff("cadre").await;
    assert_eq!(found(&t, &cadre, "name=陈婆婆").await, [sent["id"].clone()]);
    let body = json!({"duplicate_id": gone.subject, "reason": "同一人重复登记", "identity_seen": "id_card"});
    let call = t.post(&format!("/v1/residents/{}/merge", kept.subject)).by(&cadre).header("if-match", "*");
    call.json(body).send().await.ok();
    assert_eq!(found(&t, &cadre, "name=陈婆婆").await, Vec::<Value>::new());
    assert_eq!(found(&t, &cadre, "name=陈阿婆").await, [sent["id"].clone()]);
    t.get(&path(&sent)).by(&cadre).send().await.ok();
    t.run_jobs().await;
}

/// Of many, each list shows the right ones in its order, page after page.
#[actix_web::test]
async fn lists_are_whole_in_both_orders() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let (slow, quick) = (matter(&t, content("village")).await, {
        let mut quick = content("village");
        quick["promised_days"] = json!(1);
        matter(&t, quick).await
    });
    let cadre = t.staff("cadre").await;
    let mut all = Vec::new();
    for number in 0..6 {
        let sent = submitted(&t, &chen, if number % 2 == 0 { slow } else { quick }).await;
        let holder = if sent["holder"]["id"] == json!(cadre.subject) { "cadre" } else { "specialist" };
        let holder = t.staff(holder).await;
        all.push(match number {
            4 | 5 => sent,
            _ => step(&t, &holder, &sent, "accept", json!({})).await.ok(),
        });
    }
    let due = |errand: &Value| (errand["due_on"].clone().to_string(), errand["id"].to_string());
    let mut by_due = all.clone();
    by_due.sort_by_key(due);
    for base in [
        "",
        "&holder_id={holder}",
        "&matter_id={matter}&count=true",
        "&state=accepted",
        "&state=accepted&matter_id={matter}",
        "&state=accepted&holder_id={holder}&count=true",
        "&lamp=green",
        "&mine=true",
        "&count=true",
    ] {
        let base = base.replace("{holder}", &cadre.subject.to_string()).replace("{matter}", &slow.to_string());
        for (sort, order) in [("created_at", &all), ("due_on", &by_due)] {
            let fits = |errand: &&Value| {
                (!base.contains("accepted") || errand["state"] == "accepted")
                    && (!base.contains("matter") || errand["matter"]["id"] == json!(slow))
                    && (!base.contains("holder") && !base.contains("mine")
                        || errand["holder"]["id"] == json!(cadre.subject))
            };
            let expected: Vec<_> = order.iter().filter(fits).map(|errand| errand["id"].clone()).collect();
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let query = format!("/v1/errands?limit=2&sort={sort}{base}{cursor}");
                let page = t.get(&query).by(&cadre).send().await.ok();
                seen.extend(page["items"].as_array().expect("items").iter().map(|item| item["id"].clone()));
                if base.contains("count") {
                    assert_eq!(page["total"], json!(expected.len()));
                }
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(seen, expected, "{sort}{base}");
        }
    }
    // A cursor fits only its own order; the resident's list has both.
    let page = t.get("/v1/errands?limit=2").by(&cadre).send().await.ok();
    let cursor = page["next_cursor"].as_str().expect("more");
    t.get(&format!("/v1/errands?limit=2&sort=due_on&cursor={cursor}")).by(&cadre).send().await.problem(422, "invalid");
    assert_eq!(found(&t, &chen, "sort=due_on").await.len(), 6);
    assert_eq!(found(&t, &chen, "mine=true&sort=due_on").await, Vec::<Value>::new());
    t.run_jobs().await;
}
