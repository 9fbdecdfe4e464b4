//! Households and tasks on phones, and how much a first sync is.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::TestApp,
    households::{category, create, here, tell},
    merging::id,
    sync::Phone,
};

#[actix_web::test]
async fn households_and_tasks_reach_whoever_answers_for_them() {
    let t = TestApp::new().await;
    let (cadre, specialist, junxi) = (t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await);
    let admin = t.staff("admin").await;
    let (_, shipai) = crate::staff::open(&t, &admin, "shipai", "township_staff", "石牌镇").await;
    let (mut phone, mut beside, mut far) = (Phone::new(&specialist), Phone::new(&cadre), Phone::new(&shipai));
    for phone in [&mut phone, &mut beside, &mut far] {
        phone.follow(&t).await;
    }
    let monthly = category(&t, "重点关爱户").await;
    let more = json!({"address": "红星村12号", "category_id": monthly, "point": here()});
    let made = create(&t, &cadre, "陈阿婆", more).await;
    let (home, task) = (id(&made), made["task"]["id"].as_str().expect("a task").to_owned());
    phone.until(&t, |phone| phone.has("household", &home) && phone.has("visit_task", &task)).await;
    let kept = phone.get("household", &home);
    assert_eq!(
        (&kept["name"], &kept["address"], &kept["plain"]),
        (&json!("陈阿婆"), &json!("红星村12号"), &json!(true))
    );
    let looks = format!(
        "SELECT count(*) AS n FROM audit_log WHERE action = 'read' AND entity_id = '{home}' AND actor_id = '{}'",
        specialist.subject
    );
    assert_eq!(t.database.count(&looks), 1);
    beside.until(&t, |phone| phone.has("household", &home)).await;
    assert_eq!(
        (&beside.get("household", &home)["name"], &beside.get("household", &home)["address"]),
        (&json!("陈*婆"), &Value::Null)
    );
    far.follow(&t).await;
    assert!(far.told.iter().all(|item| item["entity"] != "household"));

    // A partner who works elsewhere sees it, with its task, until it ends.
    let with = tell(&t, &junxi, &made, "partners", json!({"staff_id": shipai.subject})).await.ok();
    far.until(&t, |phone| phone.has("household", &home) && phone.has("visit_task", &task)).await;
    assert_eq!(far.get("household", &home)["plain"], true);
    // A visit resolves the task: the next one is there instead.
    t.database.run(&format!(
        "SELECT visit_tasks_resolve(1, '{home}', '{}', '2026-11-24', '2026-11-24T10:00:00+08:00')",
        Uuid::now_v7()
    ));
    for phone in [&mut phone, &mut far] {
        phone.until(&t, |phone| !phone.has("visit_task", &task) && phone.count("visit_task") == 1).await;
        assert_eq!(phone.get("household", &home)["last_visit_on"], "2026-11-24");
    }
    let partner = with["partner_id"].as_str().expect("a partner").to_owned();
    assert_eq!(partner, shipai.subject.to_string());
    t.database.run("UPDATE visit_partners SET until_on = '2026-11-24'");
    far.until(&t, |phone| phone.count("household") == 0 && phone.count("visit_task") == 0).await;
    // Closed: gone for everybody.
    tell(&t, &cadre, &made, "close", json!({"reason": "迁出"})).await.ok();
    for phone in [&mut phone, &mut beside] {
        phone.until(&t, |phone| phone.count("household") == 0 && phone.count("visit_task") == 0).await;
    }
    t.run_jobs().await;
}

/// What a specialist has in the hand at first, over a bad network.
#[actix_web::test]
async fn three_hundred_households_are_a_megabyte_at_most() {
    let t = TestApp::with(|setup| setup.config.writes_per_minute = 100_000).await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let (village, monthly) = (t.unit("红星村委会").await, category(&t, "重点关爱户").await);
    let families = ["陈", "林", "黄", "张", "吴", "李", "郑", "王", "蔡", "刘"];
    let one = async |number: usize| {
        let mut members = Vec::new();
        for (nth, given) in ["阿婆", "建国", "小明"].iter().enumerate() {
            // At the desk one registers thirty a minute.
            let (resident, name) = (Uuid::now_v7(), format!("{}{given}", families[(number + nth) % families.len()]));
            let sealed = hex::encode(t.app.keys.seal(1, &format!("residents.name/{resident}"), name.as_bytes()));
            t.database.run(&format!(
                "INSERT INTO residents (county_id, id, unit_id, name, identity_level, registered_by, created_at, updated_at) \
                 VALUES (1, '{resident}', '{village}', '\\x{sealed}', 'none', '{}', now(), now())",
                cadre.subject
            ));
            let relation = if nth == 0 { "head" } else { "child" };
            members.push(json!({"resident_id": resident, "relation": relation}));
        }
        let note = format!("独居老人，子女在外务工，第 {} 次登记，血压偏高，每周三到卫生所取药", number * 7919 % 1000);
        let body = json!({"unit_id": village, "name": format!("{}阿婆", families[number % families.len()]), "category_id": monthly, "note": note,
            "code": format!("HX-{number:04}"), "address": format!("红星村 {} 组 {} 号", number % 12 + 1, number * 7907 % 997), "members": members});
        t.post("/v1/households").by(&cadre).json(body).send().await.created();
    };
    for tens in 0..30 {
        futures_util::future::join_all((0..10).map(|unit| one(tens * 10 + unit))).await;
    }
    t.database.run("UPDATE households SET lng = 117.8 + random() / 10, lat = 25.6 + random() / 10, point_set_at = now(), version = version + 1");
    let (mut phone, mut bytes, mut pages) = (Phone::new(&specialist), 0, 0);
    loop {
        let cursor = phone.cursor.as_ref().map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
        let packed =
            t.get(&format!("/v1/sync{cursor}")).by(&specialist).header("accept-encoding", "gzip").send().await.is(200);
        (bytes, pages) = (bytes + packed.bytes.len(), pages + 1);
        if !phone.pull(&t, 200).await {
            break;
        }
    }
    assert_eq!((phone.count("household"), phone.count("visit_task")), (300, 300));
    assert!(phone.kept.values().any(|kept| kept["address"].is_string() && kept["point"]["lng"].is_number()), "plain");
    assert!(bytes <= 1 << 20, "{bytes} bytes on {pages} pages");
    assert!(bytes > 10_000, "compressed, and counted: {bytes}");
    println!("{bytes} bytes on {pages} pages");
    t.run_jobs().await;
}
