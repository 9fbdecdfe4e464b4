//! What is found out about visits and refused for none of it; who agreed; how many versions are kept.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Session, TestApp},
    households::{category, create, seen, tell},
    merging::{id, register},
    visits::{HOME, agreeing_member, batch, check_in, household, live_in, reading, results, visit},
};

fn read(change: Value) -> Value {
    let mut reading = reading(HOME.0, HOME.1);
    for (name, value) in change.as_object().expect("fields") {
        reading[name] = value.clone();
    }
    json!({"no_position_reason": null, "position": reading})
}

#[actix_web::test]
async fn what_is_off_is_flagged_and_accepted() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    agreeing_member(&t, home).await;
    let late = json!({"device_at": "2026-11-10T09:00:00+08:00"});
    for (said, flags) in [
        (read(json!({"mocked": true})), json!(["mocked"])),
        (read(json!({"accuracy_m": 100.0})), json!([])),
        (read(json!({"accuracy_m": 100.5})), json!(["vague"])),
        (read(json!({"accuracy_m": 900.0, "mocked": true})), json!(["vague", "mocked"])),
        (late, json!(["late"])),
    ] {
        let made = check_in(&t, &specialist, &visit(home, said.clone())).await.created();
        assert_eq!(made["flags"], flags, "{said}");
    }
    for (flag, visits) in [("mocked", 2), ("vague", 2), ("late", 1), ("far", 0), ("clock_off", 0)] {
        let page = t.get(&format!("/v1/visits?flag={flag}&count=true")).by(&specialist).send().await.ok();
        assert_eq!(page["total"], visits, "{flag}");
    }
    t.run_jobs().await;
}

/// A phone whose map is shifted stands at the door; the same numbers without the shift lie half a kilometre away.
#[actix_web::test]
async fn a_reading_is_set_right_by_its_coordinate_system() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = Uuid::now_v7();
    // The first of the published vectors: the same place in both systems.
    let (wgs84, gcj02) = ((117.965846, 25.715855), (117.970660530, 25.712835699));
    let spot = json!({"name": "陈家", "home": {"lng": wgs84.0, "lat": wgs84.1, "coordinate_system": "wgs84"}});
    check_in(&t, &specialist, &visit(home, json!({"household": spot}))).await.created();
    agreeing_member(&t, home).await;
    let at = |system: &str| read(json!({"lng": gcj02.0, "lat": gcj02.1, "coordinate_system": system}));
    let right = check_in(&t, &specialist, &visit(home, at("gcj02"))).await.created();
    assert_eq!((&right["flags"], &right["measured_in"]), (&json!([]), &json!("gcj02")));
    assert!(right["distance_m"].as_f64().is_some_and(|metres| metres < 1.0), "{right}");
    assert_eq!(right["position"]["coordinate_system"], "wgs84");
    let wrong = check_in(&t, &specialist, &visit(home, at("wgs84"))).await.created();
    assert_eq!(wrong["flags"], json!(["far"]));
    assert!(wrong["distance_m"].as_f64().is_some_and(|metres| (550.0..650.0).contains(&metres)), "{wrong}");
    t.run_jobs().await;
}

#[actix_web::test]
async fn whoever_does_not_wish_it_was_not_seen() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let home = create(&t, &cadre, "陈家", json!({"category_id": category(&t, "一般户").await})).await;
    let declined = visit(id(&home).parse().expect("an id"), json!({"outcome": "declined"}));
    check_in(&t, &specialist, &declined).await.created();
    let now = seen(&t, &specialist, &home).await;
    assert_eq!((&now["last_visit_on"], &now["task"]["id"]), (&Value::Null, &home["task"]["id"]));
    assert_eq!(now["task"]["state"], "open");
    t.run_jobs().await;
}

/// Somebody said yes and nobody no: that is enough. One no is enough, too.
#[actix_web::test]
async fn every_member_of_a_household_has_a_say() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let home = household(&t, &specialist).await;
    agreeing_member(&t, home).await;
    let lin = register(&t, &cadre, "林某", None, None).await;
    live_in(&t, home, id(&lin).parse().expect("an id"), "spouse").await;
    let come = async || check_in(&t, &specialist, &visit(home, read(json!({})))).await.created()["left_out"].clone();
    assert_eq!(come().await, json!([]), "one has not been asked");
    let refused = json!({"purpose": "position", "version": 1, "answer": "refused", "how": "spoken"});
    t.post(&format!("/v1/residents/{}/consents", id(&lin))).by(&cadre).json(refused).send().await.created();
    assert_eq!(come().await, json!(["position_without_consent"]));
    assert_eq!(t.database.count("SELECT count(*) AS n FROM visits WHERE raw_lng IS NOT NULL"), 0, "of before, too");
    // Whoever has left has no say any more.
    let members = t.get(&format!("/v1/households/{home}/members")).by(&cadre).send().await.ok();
    let members = members["items"].as_array().expect("members");
    let of = members.iter().find(|member| member["resident_id"] == lin["id"]).expect("a member");
    let here = json!({"id": home});
    tell(&t, &cadre, &here, &format!("members/{}/end", id(of)), json!({})).await.ok();
    assert_eq!(come().await, json!([]));
    t.run_jobs().await;
}

#[actix_web::test]
async fn twenty_other_versions_are_kept_and_no_more() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    let first = visit(home, json!({}));
    check_in(&t, &specialist, &first).await.created();
    let other = |number: usize| {
        let mut other = first.clone();
        other["note"] = json!(format!("另一种说法 {number}"));
        other
    };
    let sent = "2026-11-23T08:00:00+08:00";
    let all: Vec<_> = (0..21).map(other).collect();
    let items = batch(&t, &specialist, sent, &all).await;
    let told = results(&items);
    assert_eq!((told[..20].iter().all(|result| *result == "conflict"), told[20]), (true, "refused"));
    assert_eq!(items[20]["refusal"]["code"], "too_many_conflicts");
    check_in(&t, &specialist, &other(20)).await.problem(409, "too_many_conflicts");
    // Those that are kept are known again.
    check_in(&t, &specialist, &other(3)).await.problem(409, "visit_conflict");
    let by =
        |by: &Session| t.get(&format!("/v1/visits/{}/conflicts", first["id"].as_str().expect("an id"))).by(by).send();
    assert_eq!(by(&specialist).await.ok()["items"].as_array().map(Vec::len), Some(20));
    assert_eq!(t.database.count("SELECT count(*) AS n FROM todos WHERE about = 'visit'"), 1, "one for all of them");
    t.run_jobs().await;
}
