//! Dismissal and transfer: what is handed over, and what stays.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::TestApp,
    staff::{PASSWORD, by_username, id, name_deputy, open, seen},
};

#[actix_web::test]
async fn a_dismissal_hands_everything_over_and_tells_of_posts_without_a_deputy() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (made, session) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    let (chen, cadre) = (id(&made), by_username(&t, &admin, "cadre").await);
    name_deputy(&t, &admin, &id(&cadre), Some(&chen)).await.ok();
    todo(&t, &chen, "红星村委会").await;
    todo(&t, &chen, "均溪镇").await;

    let path = format!("/v1/staff/{chen}/dismiss");
    let dismiss =
        async |body: Value, version: &str| t.post(&path).by(&admin).header("if-match", version).json(body).send().await;
    let body = json!({"hand_over_to": id(&cadre), "reason": "退休"});
    t.post(&path).by(&admin).json(body.clone()).send().await.problem(428, "precondition_required");
    dismiss(body.clone(), "\"99\"").await.problem(412, "version_stale");
    let version = format!("\"{}\"", seen(&t, &admin, &chen).await["version"]);
    let reply = dismiss(json!({"reason": "退休"}), &version).await.problem(409, "still_holds");
    assert!(reply["detail"].as_str().expect("what").contains("2 todos"));
    for (to, fault) in [(chen.clone(), "hand_over_self"), (Uuid::nil().to_string(), "unknown_staff")] {
        let reply = dismiss(json!({"hand_over_to": to, "reason": "退休"}), &version).await.problem(422, "invalid");
        assert_eq!(reply.faults(), [format!("/hand_over_to:{fault}")]);
    }
    let before = seen(&t, &admin, &id(&cadre)).await["version"].clone();
    let told = format!("SELECT count(*) AS n FROM changes WHERE entity = 'staff' AND staff_id = '{}'", id(&cadre));
    let told_before = t.database.count(&told);
    let left = dismiss(body.clone(), &version).await.ok();
    assert_eq!(left["moved"], json!([{"room": "todos", "count": 2}]));
    assert_eq!((&left["staff"]["account"]["state"], &left["staff"]["posts"]), (&json!("dismissed"), &json!([])));
    dismiss(body, &version).await.problem(409, "already_dismissed");

    let held = format!("SELECT count(*) AS n FROM todos WHERE holder_id = '{}'", id(&cadre));
    assert_eq!(t.database.count(&held), 2);
    let decide = "SELECT count(*) AS n FROM todos WHERE kind = 'decide' AND about = 'staff_post' AND state = 'open'";
    assert_eq!(t.database.count(decide), 1);
    let alone = seen(&t, &admin, &id(&cadre)).await;
    assert_eq!(alone["posts"][0]["deputy_id"], Value::Null);
    assert_eq!(alone["version"].as_i64(), before.as_i64().map(|version| version + 1), "a stale screen is refused");
    let lost = format!(
        "SELECT count(*) AS n FROM audit_log WHERE action = 'update_post' AND entity_id = '{}' AND fields = '{{deputy_id}}' AND reason = '退休'",
        id(&cadre)
    );
    assert_eq!(t.database.count(&lost), 1);
    assert_eq!(t.database.count(&told), told_before + 1);
    let reasons = "SELECT count(*) AS n FROM audit_log WHERE action = 'dismiss' AND reason = '退休'";
    assert_eq!(t.database.count(reasons), 1);
    crate::sessions::ends_within_five_seconds(&t, &session).await;
    let login = json!({"county": "350425", "username": "chen", "password": PASSWORD, "role": "village_cadre"});
    t.post("/v1/sessions/staff").json(login).send().await.problem(401, "login_failed");
    // A deputy is named: the todo has settled itself.
    name_deputy(&t, &admin, &id(&cadre), Some(&id(&by_username(&t, &admin, "junxi").await))).await.ok();
    assert_eq!(t.database.count(decide), 0);
    for (verb, code) in [("reset_password", "staff_not_active"), ("enable", "already_dismissed")] {
        t.post(&format!("/v1/staff/{chen}/{verb}")).by(&admin).json(json!({})).send().await.problem(409, code);
    }
}

/// A todo that somebody holds.
async fn todo(t: &TestApp, holder: &str, unit: &str) {
    let unit = t.unit(unit).await;
    t.database.run(&format!(
        "INSERT INTO todos (county_id, id, kind, unit_id, title_zh, title_en, state, holder_id, created_at, updated_at) \
         VALUES (1, gen_random_uuid(), 'call', '{unit}', '打电话', 'call', 'taken', '{holder}', now(), now())"
    ));
}

#[actix_web::test]
async fn a_transfer_moves_what_belongs_to_the_unit_that_is_left() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (made, session) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    let (chen, cadre) = (id(&made), id(&by_username(&t, &admin, "cadre").await));
    name_deputy(&t, &admin, &cadre, Some(&chen)).await.ok();
    todo(&t, &chen, "红星村委会").await;
    todo(&t, &chen, "均溪镇").await;
    let path = format!("/v1/staff/{chen}/transfer");
    let version = format!("\"{}\"", seen(&t, &admin, &chen).await["version"]);
    let post = made["posts"][0]["id"].clone();
    let transfer = async |role: &str, unit: Uuid, key: &str| {
        let body = json!({"post_id": post, "to": {"role": role, "unit_id": unit}, "hand_over_to": cadre});
        t.post(&path).by(&admin).key(key).header("if-match", &version).json(body).send().await
    };
    let (town, village) = (t.unit("石牌镇").await, t.unit("红星村委会").await);
    assert_eq!(transfer("specialist", town, "1").await.problem(422, "invalid").faults(), ["/to/unit_id:unit_level"]);
    transfer("village_cadre", village, "2").await.problem(409, "post_held");
    let moved = transfer("township_staff", town, "3").await.is(200);
    assert_eq!(moved["moved"], json!([{"room": "todos", "count": 1}]));
    assert_eq!(moved["staff"]["posts"].as_array().expect("posts").len(), 1);
    assert_eq!(moved["staff"]["posts"][0]["unit_id"], json!(town));
    let again = transfer("township_staff", town, "3").await.is(200);
    assert_eq!((again.header("idempotency-replayed"), &again.bytes), ("true", &moved.bytes));
    transfer("township_staff", town, "4").await.problem(409, "post_ended");
    assert_eq!(seen(&t, &admin, &cadre).await["posts"][0]["deputy_id"], Value::Null);
    crate::sessions::ends_within_five_seconds(&t, &session).await;
}

#[actix_web::test]
async fn whoever_stays_in_the_unit_keeps_what_they_hold() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (made, _) = open(&t, &admin, "chen", "village_cadre", "红星村委会").await;
    let (chen, cadre) = (id(&made), id(&by_username(&t, &admin, "cadre").await));
    name_deputy(&t, &admin, &cadre, Some(&chen)).await.ok();
    todo(&t, &chen, "红星村委会").await;
    let transfer = async |whom: &Value, role: &str, unit: &str| {
        let to = json!({"role": role, "unit_id": t.unit(unit).await});
        let body = json!({"post_id": whom["posts"][0]["id"], "to": to});
        let call = t.post(&format!("/v1/staff/{}/transfer", id(whom))).by(&admin).header("if-match", "*");
        call.json(body).send().await
    };
    let moved = transfer(&made, "specialist", "红星村委会").await.ok();
    assert_eq!((&moved["moved"], &moved["staff"]["posts"][0]["role"]), (&json!([]), &json!("specialist")));
    assert_eq!(seen(&t, &admin, &cadre).await["posts"][0]["deputy_id"], json!(chen));
    // Of two posts in the unit one ends; of the last, what is held must go to somebody.
    let more = json!({"role": "village_cadre", "unit_id": t.unit("红星村委会").await});
    t.post(&format!("/v1/staff/{chen}/posts")).by(&admin).json(more).send().await.created();
    let both = seen(&t, &admin, &chen).await;
    assert_eq!(transfer(&both, "township_staff", "石牌镇").await.ok()["moved"], json!([]));
    let left = seen(&t, &admin, &chen).await;
    assert_eq!(left["posts"][0]["role"], "village_cadre");
    transfer(&left, "township_staff", "均溪镇").await.problem(409, "still_holds");
    assert_eq!(seen(&t, &admin, &cadre).await["posts"][0]["deputy_id"], json!(chen));
    // The last administrator stays one.
    let me = by_username(&t, &admin, "admin").await;
    transfer(&me, "supervisor", "大田县").await.problem(409, "last_administrator");
    t.database.run(
        "INSERT INTO units (county_id, id, parent_id, level, name, division_code, code_source, created_at, updated_at) \
         SELECT county_id, gen_random_uuid(), NULL, level, '行政服务中心', '350425000099', code_source, now(), now() \
           FROM units WHERE county_id = 1 AND level = 'county'",
    );
    let unit = t.unit("行政服务中心").await;
    assert_eq!(transfer(&me, "county_admin", "行政服务中心").await.ok()["staff"]["posts"][0]["unit_id"], json!(unit));
}
