//! Helpers and what goes on around them: posts that begin and end, lists, closed records, records that become one.

use serde_json::{Value, json};

use crate::{
    access::foreign_admin,
    harness::{Session, TestApp},
    helpers::{apply, decide, free, me, serves, volunteer},
    merging::with_phone,
    staff::{id, open},
};

#[actix_web::test]
async fn specialists_and_cadres_follow_their_posts() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (village, town) = (t.unit("红星村委会").await, t.unit("均溪镇").await);
    let sample = t.get("/v1/helpers?kind=specialist&count=true").by(&admin).send().await.ok();
    assert_eq!(
        (&sample["total"], &sample["items"][0]["name"], &sample["items"][0]["state"]),
        (&json!(1), &json!("红星村特派员"), &json!("active"))
    );
    let (member, session) = open(&t, &admin, "liao", "village_cadre", "红星村委会").await;
    let helper = me(&t, &session).await;
    assert_eq!(
        (&helper["kind"], &helper["staff_id"], &helper["unit_id"], &helper["state"], &helper["resident_id"]),
        (&json!("cadre"), &member["id"], &json!(village), &json!("active"), &Value::Null)
    );
    t.get("/v1/helpers/me").by(&t.staff("junxi").await).send().await.problem(403, "forbidden");
    assert!(serves(&t, &helper, village, "NULL, NULL") && !serves(&t, &helper, town, "NULL, NULL"));

    // A second post is served too, and becomes the home when the first one ends.
    let second = t.unit("石牌村委会").await;
    let posts = format!("/v1/staff/{}/posts", id(&member));
    let body = json!({"role": "specialist", "unit_id": second});
    let given = t.post(&posts).by(&admin).json(body).send().await.created();
    assert!(serves(&t, &helper, second, "NULL, NULL"));
    assert_eq!(me(&t, &session).await["kind"], "cadre", "the oldest post says what they are");
    let ends = async |post: &Value| {
        let path = format!("{posts}/{}/end", post["id"].as_str().expect("an id"));
        t.post(&path).by(&admin).json(json!({})).send().await.ok();
    };
    ends(&given["posts"][0]).await;
    let helpers = format!("/v1/helpers/{}", id(&helper));
    let moved = t.get(&helpers).by(&admin).send().await.ok();
    assert_eq!(
        (&moved["kind"], &moved["unit_id"], &moved["state"]),
        (&json!("specialist"), &json!(second), &json!("active"))
    );
    // An absence counts, with its days.
    let absences = format!("/v1/staff/{}/absences", id(&member));
    let body = json!({"from_on": "2026-11-25", "until_on": "2026-11-26"});
    t.post(&absences).by(&admin).json(body).send().await.created();
    for (at, expected) in
        [("2026-11-24T23:59:00+08:00", true), ("2026-11-25T00:00:00+08:00", false), ("2026-11-27T00:00:00+08:00", true)]
    {
        assert_eq!(free(&t, &helper, at), expected, "{at}");
    }
    // Whom somebody has stopped, neither a resumption without a post nor a new post brings back.
    let home = json!({"skills": ["policy"], "unit_ids": [], "unit_id": village});
    let reply = t.put(&helpers).by(&admin).header("if-match", "*").json(home).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/unit_id:by_post"]);
    ends(&given["posts"][1]).await;
    let left = t.get(&helpers).by(&admin).send().await.ok();
    assert_eq!((&left["state"], &left["decided_by"]), (&json!("stopped"), &Value::Null));
    decide(&t, &admin, &helper, "resume", json!({})).await.problem(409, "helper_state");
    let body = json!({"role": "specialist", "unit_id": village});
    t.post(&posts).by(&admin).json(body.clone()).send().await.created();
    assert_eq!(t.get(&helpers).by(&admin).send().await.ok()["state"], "active");
    decide(&t, &admin, &helper, "stop", json!({"reason": "投诉核实中"})).await.ok();
    let body = json!({"role": "specialist", "unit_id": second});
    t.post(&posts).by(&admin).json(body).send().await.created();
    assert_eq!(t.get(&helpers).by(&admin).send().await.ok()["state"], "stopped");
    decide(&t, &admin, &helper, "resume", json!({})).await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn lists_are_of_ones_own_reach() {
    let t = TestApp::new().await;
    let (lin, helper) = volunteer(&t, "lin", &["care"]).await;
    let (admin, junxi, cadre) = (t.staff("admin").await, t.staff("junxi").await, t.staff("cadre").await);
    let (_, away) = open(&t, &admin, "far", "specialist", "石牌村委会").await;
    let ids = async |by: &Session, query: &str| {
        let page = t.get(&format!("/v1/helpers?{query}")).by(by).send().await.ok();
        page["items"].as_array().expect("items").iter().map(|one| one["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&admin, "").await.len(), 4);
    assert_eq!(ids(&junxi, "").await.len(), 3);
    assert_eq!(ids(&t.staff("supervisor").await, "").await.len(), 4);
    assert_eq!(ids(&lin, "").await, [helper["id"].clone()]);
    assert_eq!(ids(&junxi, "skill=care").await, [helper["id"].clone()]);
    assert_eq!(ids(&cadre, "kind=volunteer&state=active").await, [helper["id"].clone()]);
    assert!(ids(&cadre, "state=stopped").await.is_empty());
    let far = t.unit("石牌镇").await;
    assert_eq!(ids(&admin, &format!("unit_id={far}")).await.len(), 1);
    assert!(ids(&junxi, &format!("unit_id={far}")).await.is_empty());
    // Page after page, each once.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = t.get(&format!("/v1/helpers?limit=1&count=true{cursor}")).by(&admin).send().await.ok();
        assert_eq!(page["total"], 4);
        seen.push(page["items"][0]["id"].clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ids(&admin, "").await);
    let path = format!("/v1/helpers/{}", id(&helper));
    t.get(&path).by(&t.resident("other").await).send().await.problem(404, "not_found");
    t.get(&path).by(&away).send().await.problem(404, "not_found");
    t.get(&path).by(&foreign_admin(&t).await).send().await.problem(404, "not_found");
}

#[actix_web::test]
async fn a_closed_record_helps_no_more() {
    let t = TestApp::new().await;
    let (lin, helper) = volunteer(&t, "lin", &["care"]).await;
    let place = json!({"point": {"lng": 117.8, "lat": 25.7, "coordinate_system": "wgs84"}, "radius_m": 1000,
        "hours": [{"weekdays": [1], "from_time": "14:00:00", "until_time": "18:00:00"}], "unit_ids": [t.unit("均溪镇").await]});
    t.put("/v1/helpers/me").by(&lin).header("if-match", "*").json(place).send().await.ok();
    let copy = crate::data_requests::ask(&t, &lin, lin.subject, json!({"kind": "export"})).await;
    t.run_jobs().await;
    let archive = t.get(&format!("/v1/data_requests/{}/archive", id(&copy))).by(&lin).send().await.ok();
    let told = &archive["rooms"]["helpers"][0];
    assert_eq!(
        (&told["skills"], &told["radius_m"], &told["point"]["lng"]),
        (&json!(["care"]), &json!(1000), &json!(117.8))
    );
    let decided = told["decisions"].as_array().expect("a list");
    assert_eq!((decided.len(), &decided[0]["decision"], &decided[0]["reason"]), (1, &json!("approve"), &Value::Null));
    crate::data_requests::ask(&t, &lin, lin.subject, json!({"kind": "close"})).await;
    t.run_jobs().await;
    t.pass(chrono::TimeDelta::minutes(2));
    t.run_jobs().await;
    let row = format!(
        "SELECT state || ' ' || num_nonnulls(lng, radius_m, words, reason, decided_by) || ' ' || cardinality(claimed) AS text FROM helpers WHERE id = '{}'",
        id(&helper)
    );
    assert_eq!(t.database.text(&row), "stopped 0 0");
    assert_eq!(t.database.count("SELECT count(*) + (SELECT count(*) FROM helper_hours) AS n FROM helper_units"), 0);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM todos WHERE about LIKE 'helper%' AND state = 'open'"), 0);
    let admin = t.staff("admin").await;
    decide(&t, &admin, &helper, "resume", json!({})).await.problem(409, "helper_state");
}

#[actix_web::test]
async fn of_two_records_one_helper_stays() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let merge = async |kept: &Session, gone: &Session| {
        let body = json!({"duplicate_id": gone.subject, "reason": "同一人重复登记", "identity_seen": "id_card"});
        let call = t.post(&format!("/v1/residents/{}/merge", kept.subject)).by(&cadre).header("if-match", "*");
        call.json(body).send().await.ok();
        t.run_jobs().await;
    };
    // Only the one that vanishes helps.
    let (lin, helper) = volunteer(&t, "lin", &["care"]).await;
    let kept = with_phone(&t, "kept", "林志愿", "13950930008").await;
    merge(&kept, &lin).await;
    let kept = t.resident("kept").await;
    let now = me(&t, &kept).await;
    assert_eq!((&now["id"], &now["state"], &now["skills"]), (&helper["id"], &json!("active"), &json!(["care"])));
    // Both do: the active one stays with the record that stays.
    let other = with_phone(&t, "other", "林志愿", "13950930009").await;
    apply(&t, &other, json!({"kind": "volunteer", "words": "也想帮忙"})).await.created();
    merge(&other, &kept).await;
    let last = me(&t, &t.resident("other").await).await;
    assert_eq!((&last["id"], &last["state"]), (&helper["id"], &json!("active")));
    let rows = t.database.texts(
        "SELECT state || ' ' || (words IS NULL) AS text FROM helpers WHERE resident_id IS NOT NULL ORDER BY state",
    );
    assert_eq!(rows, ["active true", "stopped true"]);
    let open = "SELECT count(*) AS n FROM todos WHERE about LIKE 'helper%' AND state = 'open'";
    assert_eq!(t.database.count(open), 0);
    t.run_jobs().await;
}
