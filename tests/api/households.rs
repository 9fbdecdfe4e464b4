//! Households: written down, found, changed, and who sees what of them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Reply, Session, TestApp},
    merging::{id, register},
};

/// A household of 红星村.
pub async fn create(t: &TestApp, by: &Session, name: &str, more: Value) -> Value {
    let mut body = json!({"unit_id": t.unit("红星村委会").await, "name": name});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    t.post("/v1/households").by(by).json(body).send().await.created()
}

/// A command to a household.
pub async fn tell(t: &TestApp, by: &Session, household: &Value, verb: &str, body: Value) -> Reply {
    let path = format!("/v1/households/{}/{verb}", id(household));
    t.post(&path).by(by).header("if-match", "*").json(body).send().await
}

pub async fn seen(t: &TestApp, by: &Session, household: &Value) -> Value {
    t.get(&format!("/v1/households/{}", id(household))).by(by).send().await.ok()
}

/// The id of a category of the sample county.
pub async fn category(t: &TestApp, name: &str) -> Value {
    let all = t.get("/v1/visit-categories").by(&t.staff("cadre").await).send().await.ok();
    let all = all["items"].as_array().expect("items");
    all.iter().find(|category| category["name"] == name).expect(name)["id"].clone()
}

pub fn here() -> Value {
    json!({"point": {"lng": 117.8521, "lat": 25.6896, "coordinate_system": "gcj02"}, "accuracy_m": 12.0})
}

#[actix_web::test]
async fn whoever_holds_a_household_sees_it_plain_and_others_masked() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let more = json!({"address": "红星村12号", "note": "听力不好", "code": "HX-1", "point": here()});
    let made = create(&t, &cadre, "陈阿婆", more).await;
    assert_eq!(made["holder_id"], json!(specialist.subject), "the specialist of the village answers for it");
    assert_eq!((&made["name"], &made["plain"], &made["address"]), (&json!("陈*婆"), &json!(false), &Value::Null));
    let plain = seen(&t, &specialist, &made).await;
    assert_eq!(
        (&plain["name"], &plain["address"], &plain["note"]),
        (&json!("陈阿婆"), &json!("红星村12号"), &json!("听力不好"))
    );
    let point = &plain["point"];
    assert_eq!(point["coordinate_system"], "wgs84");
    assert!((point["lng"].as_f64().expect("a number") - 117.8521).abs() > 0.003, "shifted back by half a kilometre");
    let looks = "SELECT count(*) AS n FROM audit_log WHERE action = 'read' AND entity = 'household' AND 'address' = ANY (fields)";
    assert_eq!(t.database.count(looks), 1);
    let listed = t.get("/v1/households?count=true").by(&specialist).send().await.ok();
    assert_eq!((&listed["total"], &listed["items"][0]["name"]), (&json!(1), &json!("陈*婆")), "lists are masked");

    let path = format!("/v1/households/{}/reveal", id(&made));
    let revealed = t.post(&path).by(&cadre).json(json!({"reason": "上门送药"})).send().await.ok();
    assert_eq!((&revealed["name"], &revealed["address"]), (&json!("陈阿婆"), &json!("红星村12号")));
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'reveal' AND reason = '上门送药'"),
        1
    );
    // Sealed in the database.
    assert_eq!(t.database.everything().matches("红星村12号").count(), 0);

    // Nobody of another township sees it; a person's household is not told to residents.
    let admin = t.staff("admin").await;
    let (_, far) = crate::staff::open(&t, &admin, "far", "township_staff", "石牌镇").await;
    t.get(&format!("/v1/households/{}", id(&made))).by(&far).send().await.problem(404, "not_found");
    let resident = t.resident("someone").await;
    t.get("/v1/households").by(&resident).send().await.problem(403, "forbidden");
    // Whoever it is handed over to sees it wherever they work, and the one before no longer in plain.
    let over = tell(&t, &cadre, &made, "hand_over", json!({"holder_id": far.subject})).await.ok();
    assert_eq!(over["holder_id"], json!(far.subject));
    assert_eq!(seen(&t, &far, &made).await["name"], "陈阿婆");
    assert_eq!(seen(&t, &specialist, &made).await["name"], "陈*婆");
    let gone = format!(
        "SELECT count(*) AS n FROM changes WHERE entity = 'household' AND gone AND staff_id = '{}'",
        specialist.subject
    );
    assert_eq!(t.database.count(&gone), 1);
    let nobody = tell(&t, &cadre, &made, "hand_over", json!({"holder_id": Uuid::nil()})).await.problem(422, "invalid");
    assert_eq!(nobody.faults(), ["/holder_id:unknown_staff"]);
}

#[actix_web::test]
async fn households_are_found_by_whole_names_within_reach_and_changed_with_care() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let granny = register(&t, &cadre, "林小妹", None, None).await;
    let member = json!({"members": [{"resident_id": granny["id"], "relation": "head"}], "address": "12号"});
    let made = create(&t, &cadre, "陈阿婆家", member).await;
    assert_eq!(made["members"][0]["name"], "林*妹");
    for (name, count) in [("陈 阿婆家", 1), ("林小妹", 1), ("陈阿婆", 0)] {
        let found = t.post("/v1/households/lookup").by(&cadre).json(json!({"name": name})).send().await.ok();
        assert_eq!(found["items"].as_array().expect("items").len(), count, "{name}");
    }
    let path = format!("/v1/households/{}", id(&made));
    let unit = t.unit("红星村委会").await;
    let put = |body: Value, version: &str| t.put(&path).by(&cadre).header("if-match", version).json(body).send();
    t.put(&path)
        .by(&cadre)
        .json(json!({"unit_id": unit, "name": "x"}))
        .send()
        .await
        .problem(428, "precondition_required");
    put(json!({"unit_id": unit, "name": "陈**家"}), "\"77\"").await.problem(412, "version_stale");
    // The mask, and no address, because a cadre sees neither: both stay.
    let put_back = put(json!({"unit_id": unit, "name": "陈**家", "code": "A-7"}), "*").await.ok();
    assert_eq!((&put_back["code"], &put_back["version"]), (&json!("A-7"), &json!(2)));
    let plain = seen(&t, &specialist, &made).await;
    assert_eq!((&plain["name"], &plain["address"]), (&json!("陈阿婆家"), &json!("12号")));
    let wrong = put(json!({"unit_id": unit, "name": "李*"}), "*").await.problem(422, "invalid");
    assert_eq!(wrong.faults(), ["/name:mask"]);
    put(json!({"unit_id": unit, "name": "陈阿婆家", "address": ""}), "*").await.ok();
    assert_eq!(seen(&t, &specialist, &made).await["address"], Value::Null);
    let far =
        put(json!({"unit_id": t.unit("均溪镇").await, "name": "陈阿婆家", "category_id": Uuid::nil()}), "*").await;
    assert_eq!(far.problem(422, "invalid").faults(), ["/unit_id:unknown_unit"]);

    // Created on the spot: the phone's own id, once.
    let own = Uuid::now_v7();
    assert_eq!(create(&t, &specialist, "王某", json!({"id": own})).await["id"], json!(own));
    let body = json!({"id": own, "unit_id": unit, "name": "王某"});
    t.post("/v1/households").by(&specialist).json(body).send().await.problem(409, "household_exists");
    let body = json!({"code": "A-8", "unit_id": unit, "name": "王某"});
    t.post("/v1/households").by(&specialist).json(body.clone()).send().await.created();
    t.post("/v1/households").by(&specialist).json(body).send().await.problem(409, "code_taken");

    let closed = tell(&t, &cadre, &made, "close", json!({"reason": "全家外出"})).await.ok();
    assert_eq!((&closed["state"], &closed["state_name"]), (&json!("closed"), &json!("已注销")));
    tell(&t, &cadre, &made, "close", json!({"reason": "全家外出"})).await.problem(409, "household_state");
    put(json!({"unit_id": unit, "name": "x"}), "*").await.problem(409, "household_state");
    assert_eq!(tell(&t, &cadre, &made, "reopen", json!({"reason": "回来了"})).await.ok()["state"], "active");
}

#[actix_web::test]
async fn a_resident_belongs_to_one_household_and_a_household_has_one_head() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let (one, other) = (create(&t, &cadre, "甲家", json!({})).await, create(&t, &cadre, "乙家", json!({})).await);
    let (a, b) = (register(&t, &cadre, "张甲", None, None).await, register(&t, &cadre, "张乙", None, None).await);
    let member = |of: &Value, relation: &str| json!({"resident_id": of["id"], "relation": relation});
    tell(&t, &cadre, &one, "members", member(&a, "head")).await.ok();
    tell(&t, &cadre, &other, "members", member(&a, "head")).await.problem(409, "member_elsewhere");
    tell(&t, &cadre, &one, "members", member(&b, "head")).await.problem(409, "head_taken");
    let both = tell(&t, &cadre, &one, "members", member(&b, "spouse")).await.ok();
    assert_eq!(both["members"].as_array().expect("members").len(), 2);
    let nobody = json!({"resident_id": Uuid::nil(), "relation": "child"});
    let nobody = tell(&t, &cadre, &one, "members", nobody).await.problem(422, "invalid");
    assert_eq!(nobody.faults(), ["/resident_id:unknown_resident"]);
    let left = format!("members/{}/end", id(&both["members"][0]));
    assert_eq!(tell(&t, &cadre, &one, &left, json!({})).await.ok()["members"].as_array().expect("members").len(), 1);
    tell(&t, &cadre, &one, &left, json!({})).await.problem(404, "not_found");
    tell(&t, &cadre, &other, "members", member(&a, "head")).await.ok();
    let all = t.get(&format!("/v1/households/{}/members", id(&one))).by(&cadre).send().await.ok();
    assert_eq!(all["items"].as_array().expect("items").len(), 2, "who has left is not forgotten");
    // Two records that turn out to be one person: one membership is left.
    let body = json!({"duplicate_id": b["id"], "reason": "同一人", "identity_seen": "id_card"});
    let path = format!("/v1/residents/{}/merge", id(&a));
    t.post(&path).by(&cadre).header("if-match", "*").json(body).send().await.ok();
    assert_eq!(seen(&t, &cadre, &one).await["members"], json!([]));
    assert_eq!(seen(&t, &cadre, &other).await["members"][0]["resident_id"], a["id"]);
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_home_point_is_corrected_and_its_history_kept_until_a_member_says_no() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let made = create(&t, &specialist, "陈家", json!({"point": here()})).await;
    let moved = json!({"point": {"lng": 117.8600, "lat": 25.6900, "coordinate_system": "wgs84"}});
    let set = tell(&t, &specialist, &made, "points", moved.clone()).await.ok();
    assert_eq!((&set["point"]["lng"], &set["point"]["lat"]), (&json!(117.86), &json!(25.69)));
    let swapped = json!({"point": {"lng": 25.69, "lat": 117.86, "coordinate_system": "wgs84"}, "accuracy_m": -1.0});
    let faults = tell(&t, &specialist, &made, "points", swapped).await.problem(422, "invalid").faults();
    assert_eq!(faults, ["/accuracy_m:range", "/point/lat:range", "/point:swapped"]);
    let history = t.get(&format!("/v1/households/{}/points", id(&made))).by(&specialist).send().await.ok();
    let sources: Vec<_> = history["items"].as_array().expect("items").iter().map(|point| &point["source"]).collect();
    assert_eq!(sources, ["created", "corrected"]);
    assert_eq!(history["items"][0]["point"], here()["point"], "as it was given");
    let masked = t.get(&format!("/v1/households/{}/points", id(&made))).by(&cadre).send().await.ok();
    assert_eq!(masked["items"][0]["point"], Value::Null);

    let granny = register(&t, &cadre, "陈阿婆", None, None).await;
    tell(&t, &cadre, &made, "members", json!({"resident_id": granny["id"], "relation": "head"})).await.ok();
    let answer = |answer: &str| json!({"purpose": "position", "version": 1, "answer": answer, "how": "spoken"});
    let path = format!("/v1/residents/{}/consents", id(&granny));
    t.post(&path).by(&cadre).json(answer("refused")).send().await.created();
    let after = seen(&t, &specialist, &made).await;
    assert_eq!((&after["point"], &after["point_set_at"]), (&Value::Null, &Value::Null));
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM household_points WHERE lng IS NOT NULL OR given_lng IS NOT NULL"),
        0
    );
    tell(&t, &specialist, &made, "points", moved.clone()).await.problem(403, "consent_required");
    t.post(&path).by(&cadre).json(answer("given")).send().await.created();
    tell(&t, &specialist, &made, "points", moved).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_comes_to_a_village_answers_for_the_households_that_nobody_answered_for() {
    let t = TestApp::new().await;
    let (admin, junxi) = (t.staff("admin").await, t.staff("junxi").await);
    let made = create(&t, &junxi, "陈家", json!({"unit_id": t.unit("文昌居委会").await})).await;
    assert_eq!(made["holder_id"], Value::Null, "there is nobody yet");
    let (_, townswoman) = crate::staff::open(&t, &admin, "town.ship", "township_staff", "均溪镇").await;
    assert_eq!(seen(&t, &townswoman, &made).await["holder_id"], Value::Null, "the township is no village");
    let (_, specialist) = crate::staff::open(&t, &admin, "wen.chang", "specialist", "文昌居委会").await;
    let plain = seen(&t, &specialist, &made).await;
    assert_eq!((&plain["holder_id"], &plain["name"]), (&json!(specialist.subject), &json!("陈家")));
    // Whoever comes later takes nothing away.
    let (_, later) = crate::staff::open(&t, &admin, "wen.chang.2", "specialist", "文昌居委会").await;
    assert_eq!(seen(&t, &later, &made).await["holder_id"], json!(specialist.subject));
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_household_shows_in_what_is_open_for_a_person_and_in_their_copy() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let granny = register(&t, &cadre, "陈阿婆", None, None).await;
    let member = json!({"resident_id": granny["id"], "relation": "head"});
    let more = json!({"category_id": category(&t, "重点关爱户").await, "address": "红星村12号", "members": [member]});
    let made = create(&t, &cadre, "陈家", more).await;
    let open = t.get(&format!("/v1/residents/{}/open", id(&granny))).by(&cadre).send().await.ok();
    let open = open["items"].as_array().expect("items");
    assert!(open.iter().any(|one| one["entity"] == "visit_task" && one["resident_id"] == granny["id"]), "{open:?}");
    let asked = json!({"kind": "export", "words": "阿婆要一份自己的资料"});
    let asked = crate::data_requests::ask(&t, &cadre, id(&granny), asked).await;
    t.run_jobs().await;
    let copy = t.get(&format!("/v1/data_requests/{}/archive", id(&asked))).by(&cadre).send().await.is(200).body;
    let of = &copy["rooms"]["households"][0];
    assert_eq!(
        (&of["household_id"], &of["relation"], &of["address"]),
        (&made["id"], &json!("head"), &json!("红星村12号"))
    );
    t.run_jobs().await;
}
