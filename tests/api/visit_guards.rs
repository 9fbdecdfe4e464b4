//! Check-ins that come late, at once with something else, from where somebody worked in the morning; and versions of one visit until they are settled.

use diesel::connection::SimpleConnection;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    attachments::{FORM, form, photo},
    closed_records::settle,
    harness::{Session, TestApp},
    households::{create, tell},
    merging::id,
    staff::{PASSWORD, open},
    visits::{HOME, agreeing_member, batch, check_in, get, household, live_in, reading, results, set, visit},
};

fn path(visit: &Value) -> String {
    format!("/v1/visits/{}", visit["id"].as_str().expect("an id"))
}

fn count(t: &TestApp, of: &str) -> i64 {
    t.database.count(&format!("SELECT count(*) AS n FROM {of}"))
}

fn placed(lng: f64, lat: f64) -> Value {
    json!({"no_position_reason": null, "position": reading(lng, lat)})
}

/// A check-in that waits for a household while somebody of it takes their consent back.
#[actix_web::test]
async fn a_position_that_waited_for_a_withdrawal_is_not_kept() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    let who = agreeing_member(&t, home).await.subject;
    let first = visit(home, placed(HOME.0, HOME.1));
    let late = visit(home, placed(HOME.0, HOME.1));
    let mut withdrawing = t.database.owner();
    withdrawing
        .batch_execute(&format!(
            "BEGIN; SELECT FROM households WHERE id = '{home}' FOR NO KEY UPDATE; \
             INSERT INTO consents (county_id, id, resident_id, purpose, version, answer, how, by_resident, at) \
             VALUES (1, gen_random_uuid(), '{who}', 'position', 1, 'withdrawn', 'in_mini_program', '{who}', '2026-11-23T08:00:00+08:00')"
        ))
        .expect("begun");
    let end = async {
        // Until the check-ins wait for the household.
        while count(&t, "pg_locks WHERE NOT granted") < 2 {
            actix_web::rt::task::yield_now().await;
        }
        withdrawing.batch_execute("COMMIT").expect("committed");
    };
    let day = [late.clone()];
    let both = async {
        (check_in(&t, &specialist, &first).await, batch(&t, &specialist, "2026-11-23T08:00:00+08:00", &day).await)
    };
    let one = check_in(&t, &specialist, &first);
    let ((), one, many) = futures_util::join!(end, one, batch(&t, &specialist, "2026-11-23T08:00:00+08:00", &day));
    assert_eq!(one.created()["left_out"], json!(["position_without_consent"]));
    assert_eq!((results(&many), &many[0]["left_out"]), (vec!["created"], &json!(["position_without_consent"])));
    assert_eq!(count(&t, "visits WHERE raw_lng IS NOT NULL"), 0);
    let (again, same) = both.await;
    assert_eq!((again.status, results(&same)), (200, vec!["same"]));
    t.run_jobs().await;
}

/// Phones tell more digits than a database keeps.
#[actix_web::test]
async fn times_are_kept_in_whole_microseconds() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    let said = visit(home, json!({"device_at": "2026-11-23T07:59:59.9999996+08:00"}));
    let send = |sent_at: &str| {
        let body = json!({"sent_at": sent_at, "visit": said});
        t.post("/v1/visits").by(&specialist).json(body).send()
    };
    let made = send("2026-11-23T07:59:59.9999997+08:00").await.created();
    assert_eq!(made["device_at"], "2026-11-23T07:59:59.999999+08:00");
    send("2026-11-23T08:00:00.0000001+08:00").await.ok();
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_batch_is_taken_whatever_one_of_it_contains_and_however_long_it_is() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    let sent = "2026-11-23T08:00:00+08:00";
    let all = [visit(home, json!({"note": "\u{0}"})), visit(home, json!({}))];
    let items = batch(&t, &specialist, sent, &all).await;
    assert_eq!(results(&items), ["refused", "created"]);
    assert_eq!(items[0]["refusal"]["errors"][0]["pointer"], "/visits/0/note");
    let long: Vec<_> = (0..50).map(|_| visit(home, json!({"note": "民".repeat(2000)}))).collect();
    let items = batch(&t, &specialist, sent, &long).await;
    assert!(results(&items).iter().all(|result| *result == "created"), "{items:?}");
    // Everything else has its limit.
    let note = "民".repeat(100_000);
    check_in(&t, &specialist, &visit(home, json!({"note": note}))).await.problem(413, "body_too_large");
    t.run_jobs().await;
}

/// What was done in the morning is judged by the morning.
#[actix_web::test]
async fn whoever_could_visit_on_that_day_tells_it_in_the_evening() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let (_, chen) = open(&t, &admin, "chen", "township_staff", "石牌镇").await;
    let (made, _) = open(&t, &admin, "zheng", "village_cadre", "红星村委会").await;
    let home = create(&t, &cadre, "陈家", json!({})).await;
    let at = id(&home).parse::<Uuid>().expect("an id");
    check_in(&t, &chen, &visit(at, json!({}))).await.problem(422, "invalid");
    tell(&t, &cadre, &home, "partners", json!({"staff_id": chen.subject})).await.ok();
    let partners = t.get(&format!("/v1/households/{}/partners", id(&home))).by(&cadre).send().await.ok();
    let end = format!("partners/{}/end", id(&partners["items"][0]));
    tell(&t, &cadre, &home, &end, json!({})).await.ok();
    // Of the village in the morning, of another in the evening.
    let seen = crate::staff::seen(&t, &admin, &id(&made)).await;
    let (post, version) = (&seen["posts"][0]["id"], format!("\"{}\"", seen["version"]));
    let to = json!({"role": "township_staff", "unit_id": t.unit("石牌镇").await});
    let move_to = json!({"post_id": post, "to": to, "hand_over_to": cadre.subject});
    let path = format!("/v1/staff/{}/transfer", id(&made));
    t.post(&path).by(&admin).header("if-match", &version).json(move_to).send().await.ok();
    tell(&t, &cadre, &home, "close", json!({"reason": "迁往县城"})).await.ok();
    let login = |who: &str| {
        let body = json!({"county": "350425", "username": who, "password": PASSWORD, "role": "township_staff"});
        t.post("/v1/sessions/staff").json(body).send()
    };
    let zheng = login("zheng").await.session();
    for by in [&chen, &zheng, &cadre] {
        check_in(&t, by, &visit(at, json!({}))).await.created();
    }
    t.set_time("2026-11-25T08:00:00+08:00");
    let later = |by: Session, day: &str| {
        let said = visit(at, json!({"device_at": format!("2026-11-{day}T07:00:00+08:00")}));
        let body = json!({"sent_at": "2026-11-25T08:00:00+08:00", "visit": said});
        let call = t.post("/v1/visits").by(&by).json(body);
        async move { call.send().await }
    };
    let chen = login("chen").await.session();
    let cadre = t.staff("cadre").await;
    later(chen.clone(), "23").await.created();
    assert_eq!(later(chen, "24").await.problem(422, "invalid").faults(), ["/visit/household_id:unknown_household"]);
    assert_eq!(later(cadre, "24").await.problem(422, "invalid").faults(), ["/visit/household_id:household_closed"]);
    t.run_jobs().await;
}

#[actix_web::test]
async fn versions_are_told_apart_and_wait_for_whoever_made_the_visit() {
    let t = TestApp::new().await;
    let (specialist, admin) = (t.staff("specialist").await, t.staff("admin").await);
    let home = household(&t, &specialist).await;
    agreeing_member(&t, home).await;
    let first = visit(home, placed(HOME.0, HOME.1));
    check_in(&t, &specialist, &first).await.created();
    let mut nearer = first.clone();
    nearer["position"]["accuracy_m"] = json!(8.0);
    check_in(&t, &specialist, &nearer).await.problem(409, "visit_conflict");
    // From another township, of a household there, under the same id.
    let (_, far) = open(&t, &admin, "far", "township_staff", "石牌镇").await;
    let elsewhere = t.database.text("SELECT u.id::text AS text FROM units u JOIN units p ON p.id = u.parent_id WHERE p.name = '石牌镇' AND u.level = 'village' LIMIT 1");
    let theirs = visit(Uuid::now_v7(), json!({"household": {"name": "林家", "unit_id": elsewhere}}));
    check_in(&t, &far, &theirs).await.created();
    let mut theirs = theirs;
    theirs["id"] = first["id"].clone();
    theirs.as_object_mut().expect("fields").remove("household");
    check_in(&t, &far, &theirs).await.problem(409, "visit_conflict");

    let todos = || t.get("/v1/todos?count=true").by(&specialist).send();
    let waiting = todos().await.ok();
    let todo = &waiting["items"][0];
    assert_eq!((&waiting["total"], &todo["kind"], &todo["about_id"]), (&json!(1), &json!("decide"), &first["id"]));
    assert_eq!(todo["holder_id"], json!(specialist.subject));
    let versions = |by: &Session| t.get(&format!("{}/conflicts", path(&first))).by(by).send();
    let seen = versions(&specialist).await.ok();
    let accuracy = |version: &Value| version["position"]["accuracy_m"].clone();
    assert_eq!((accuracy(&seen["first"]), accuracy(&seen["items"][0])), (json!(12.0), json!(8.0)));
    let beyond = &seen["items"][1];
    assert_eq!(
        (&beyond["household_id"], &beyond["staff_name"], &beyond["note"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    // Whoever sent it finds it, and not the visit.
    let own = versions(&far).await.ok();
    assert_eq!((&own["first"], own["items"].as_array().map(Vec::len)), (&Value::Null, Some(1)));
    assert_eq!(own["items"][0]["household_id"], theirs["household_id"]);
    let (_, stranger) = open(&t, &admin, "stranger", "township_staff", "石牌镇").await;
    versions(&stranger).await.problem(404, "not_found");

    let settle = |by: &Session, version: &Value, how: &str| {
        let body = json!({"conflict_id": version["id"], "how": how});
        t.post(&format!("{}/settle", path(&first))).by(by).header("if-match", "*").json(body).send()
    };
    assert_eq!(settle(&specialist, beyond, "amend").await.problem(422, "invalid").faults(), ["/how:beyond_reach"]);
    assert_eq!(settle(&admin, beyond, "amend").await.problem(422, "invalid").faults(), ["/how:other_household"]);
    settle(&specialist, &seen["items"][0], "amend").await.ok();
    assert_eq!(todos().await.ok()["total"], 1, "one is left");
    assert_eq!(count(&t, "audit_log WHERE action = 'settle_visit'"), 0);
    let done = settle(&t.staff("junxi").await, beyond, "keep").await.ok();
    assert_eq!((&done["open_conflicts"], &done["amendment_count"]), (&json!(0), &json!(1)));
    assert_eq!(count(&t, "audit_log WHERE action = 'settle_visit'"), 1, "whose words were shown");
    assert_eq!(todos().await.ok()["total"], 0);
    assert_eq!(count(&t, "changes WHERE entity = 'todo'"), 2, "phones learn of it");
    t.run_jobs().await;
}

/// Whoever is away settles nothing: the township does.
#[actix_web::test]
async fn a_version_of_an_absent_visitors_visit_waits_for_the_township() {
    let t = TestApp::new().await;
    let (specialist, cadre, admin) = (t.staff("specialist").await, t.staff("cadre").await, t.staff("admin").await);
    let home = household(&t, &specialist).await;
    let first = visit(home, json!({}));
    check_in(&t, &specialist, &first).await.created();
    let absence = json!({"from_on": "2026-11-23", "until_on": "2026-11-24", "reason": "生病住院"});
    t.post(&format!("/v1/staff/{}/absences", specialist.subject)).by(&admin).json(absence).send().await.created();
    check_in(&t, &cadre, &first).await.problem(409, "visit_conflict");
    assert_eq!(t.get("/v1/todos?count=true").by(&cadre).send().await.ok()["total"], 0);
    let waiting = t.get("/v1/todos?count=true").by(&t.staff("junxi").await).send().await.ok();
    let todo = &waiting["items"][0];
    assert_eq!((&waiting["total"], &todo["state"], &todo["holder_id"]), (&json!(1), &json!("open"), &Value::Null));
    assert_eq!((&todo["about_id"], &todo["unit_id"]), (&first["id"], &json!(t.unit("均溪镇").await)));
    t.run_jobs().await;
}

#[actix_web::test]
async fn an_amended_place_counts_and_there_is_an_end_of_amending() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    agreeing_member(&t, home).await;
    let said = visit(home, placed(HOME.0, HOME.1 + 0.009));
    assert_eq!(check_in(&t, &specialist, &said).await.created()["flags"], json!(["far"]));
    let amend = |body: Value| t.post(&format!("{}/amendments", path(&said))).by(&specialist).json(body).send();
    amend(json!({"place": "elsewhere"})).await.created();
    let now = get(&t, &specialist, &said).await;
    assert_eq!((&now["place"], &now["place_said"], &now["flags"]), (&json!("elsewhere"), &json!("home"), &json!([])));
    let far = async || t.get("/v1/visits?flag=far&count=true").by(&specialist).send().await.ok()["total"].clone();
    assert_eq!(far().await, 0);
    // It was found out, and comes back with the place.
    amend(json!({"place": "home"})).await.created();
    assert_eq!((get(&t, &specialist, &said).await["flags"].clone(), far().await), (json!(["far"]), json!(1)));
    t.database.run(&format!(
        "INSERT INTO visit_amendments (county_id, id, visit_id, place, by_id, at) SELECT 1, gen_random_uuid(), {}, 'elsewhere', '{}', now() FROM generate_series(1, 48)",
        said["id"].to_string().replace('"', "'"),
        specialist.subject
    ));
    amend(json!({"note": "再补充"})).await.problem(409, "too_many_amendments");
    assert_eq!(get(&t, &specialist, &said).await["amendments"].as_array().map(Vec::len), Some(50));
    t.run_jobs().await;
}

#[actix_web::test]
async fn no_photo_comes_to_what_is_erased_or_where_none_are_kept() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let home = household(&t, &specialist).await;
    let who = agreeing_member(&t, home).await;
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let said = visit(home, json!({"photos": [one, two]}));
    check_in(&t, &specialist, &said).await.created();
    let upload = || async {
        let file = form("a.jpg", "image/jpeg", &photo());
        t.post("/v1/attachments").by(&specialist).bytes(FORM, file).send().await.created()["id"].clone()
    };
    let (first, second) = (upload().await, upload().await);
    let add = |photo: Uuid, file: &Value| {
        let body = json!({"photos": [{"photo_id": photo, "attachment_id": file}]});
        t.post(&format!("{}/photos", path(&said))).by(&specialist).json(body).send()
    };
    add(one, &first).await.ok();
    set(&t, "visits.photo", "off").await;
    add(one, &first).await.ok();
    assert_eq!(add(two, &second).await.problem(422, "invalid").faults(), ["/photos:photos_off"]);
    set(&t, "visits.photo", "optional").await;
    let ask = format!("/v1/residents/{}/data_requests", who.subject);
    t.post(&ask).by(&who).json(json!({"kind": "close"})).send().await.is(202);
    settle(&t).await;
    assert_eq!(add(two, &second).await.problem(422, "invalid").faults(), ["/photos:erased"]);
    // Nor words, nor what another phone collected on that day.
    let amend = |body: Value| t.post(&format!("{}/amendments", path(&said))).by(&specialist).json(body).send();
    assert_eq!(amend(json!({"note": "又想起来"})).await.problem(422, "invalid").faults(), ["/note:erased"]);
    amend(json!({"outcome": "not_found"})).await.created();
    let late = check_in(&t, &specialist, &visit(home, json!({}))).await.problem(422, "invalid");
    assert_eq!(late.faults(), ["/visit/household_id:household_closed"]);
    t.run_jobs().await;
}

/// On the spot a household has no members yet: who is written down later was there all the same.
#[actix_web::test]
async fn visits_from_before_somebody_was_written_down_are_theirs() {
    let t = TestApp::new().await;
    let (specialist, chen, lin) = (t.staff("specialist").await, t.resident("chen").await, t.resident("lin").await);
    let unit = t.unit("红星村委会").await;
    for (who, name) in [(&chen, "陈某"), (&lin, "林某")] {
        let body = json!({"name": name, "unit_id": unit});
        t.put(&format!("/v1/residents/{}", who.subject)).by(who).header("if-match", "*").json(body).send().await.ok();
    }
    let home = household(&t, &specialist).await;
    let before = visit(home, json!({"device_at": "2026-11-20T09:00:00+08:00", "note": "从前说的话"}));
    check_in(&t, &specialist, &before).await.created();
    live_in(&t, home, chen.subject, "head").await;
    t.set_time("2026-11-24T08:00:00+08:00");
    live_in(&t, home, lin.subject, "spouse").await;
    let copy = async |who: &str| {
        let who = t.resident(who).await;
        let ask = format!("/v1/residents/{}/data_requests", who.subject);
        let asked = t.post(&ask).by(&who).json(json!({"kind": "export"})).send().await.is(202);
        t.run_jobs().await;
        t.get(&format!("/v1/data_requests/{}/archive", id(&asked.body))).by(&who).send().await.ok().to_string()
    };
    assert!(copy("chen").await.contains("从前说的话"), "the first of the household");
    assert!(!copy("lin").await.contains("从前说的话"), "who came later");
    let close = async |who: &str| {
        let who = t.resident(who).await;
        let ask = format!("/v1/residents/{}/data_requests", who.subject);
        t.post(&ask).by(&who).json(json!({"kind": "close"})).send().await.is(202);
        settle(&t).await;
        let specialist = t.staff("specialist").await;
        get(&t, &specialist, &before).await["note"].clone()
    };
    assert_eq!(close("chen").await, "从前说的话", "somebody is left");
    assert!(!copy("lin").await.contains("从前说的话"), "of somebody who has been erased");
    assert_eq!(close("lin").await, Value::Null, "nobody is left, also of those days");
}
