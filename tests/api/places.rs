//! Matters of several slots, at home, by phone, and of the resident's own specialist.

use serde_json::{Value, json};

use crate::harness::{Reply, Session, TestApp};

const NINE: &str = "2026-11-25T09:00:00+08:00";

/// One window with one public place per slot of its rules at the centre, at home and by phone.
async fn windows(slots: i16) -> TestApp {
    let t = TestApp::new().await;
    t.database.run(&format!(
        "UPDATE opening_rules SET capacity_public = 0, capacity_proxy = 0, capacity_desk = 0; \
         UPDATE opening_rules SET capacity_public = 1 WHERE window_id = (SELECT id FROM windows WHERE name = '民生事务窗口'); \
         UPDATE matters SET slots = {slots}, places = '{{centre,home,phone}}'; \
         INSERT INTO opening_rules (county_id, id, window_id, weekdays, opens_at, closes_at, slot_minutes, capacity_public, capacity_proxy, capacity_desk, valid_from, place) \
         SELECT county_id, gen_random_uuid(), window_id, weekdays, opens_at, closes_at, slot_minutes, 1, 0, 0, valid_from, other \
         FROM opening_rules, unnest(ARRAY['home', 'phone']) other WHERE capacity_public = 1"
    ));
    t
}

async fn book(t: &TestApp, who: &Session, at: &str, more: Value) -> Reply {
    let mut body = t.booking(at).await;
    for (field, value) in more.as_object().expect("fields") {
        body[field] = value.clone();
    }
    t.post("/v1/appointments").by(who).json(body).send().await
}

async fn starts(t: &TestApp, more: &str) -> Vec<String> {
    let (unit, matter) = (t.unit("均溪镇").await, t.matter().await);
    let path = format!("/v1/slots?county=350425&unit_id={unit}&matter_id={matter}&date=2026-11-25{more}");
    let slots = t.get(&path).send().await.ok();
    let free = slots["items"].as_array().expect("items").iter().filter(|slot| slot["free"] != 0);
    free.map(|slot| slot["starts_at"].as_str().expect("a time")[11..16].to_owned()).collect()
}

#[actix_web::test]
async fn a_matter_of_two_slots_takes_both() {
    let t = windows(2).await;
    let (zhang, li, wang) = (t.resident("zhang").await, t.resident("li").await, t.resident("wang").await);
    let all = ["08:00", "08:30", "09:00", "09:30", "10:00", "10:30", "14:30", "15:00", "15:30", "16:00", "16:30"];
    assert_eq!(starts(&t, "").await, all, "nothing straddles the noon break");
    let booked = book(&t, &zhang, NINE, json!({})).await.created();
    assert_eq!(booked["ends_at"], "2026-11-25T10:00:00+08:00");
    assert_eq!(starts(&t, "").await, ["08:00", "10:00", "10:30", "14:30", "15:00", "15:30", "16:00", "16:30"]);
    for time in ["08:30", "09:00", "09:30"] {
        book(&t, &li, &format!("2026-11-25T{time}:00+08:00"), json!({})).await.problem(409, "slot_full");
    }
    for time in ["11:00", "17:00", "12:00"] {
        let reply = book(&t, &li, &format!("2026-11-25T{time}:00+08:00"), json!({})).await;
        reply.problem(422, "slot_not_offered");
    }
    book(&t, &li, "2026-11-25T10:00:00+08:00", json!({})).await.created();
    book(&t, &wang, "2026-11-25T08:00:00+08:00", json!({})).await.created();
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_visit_at_home_needs_an_address_and_time_to_travel() {
    let t = windows(1).await;
    let (zhang, li, junxi) = (t.resident("zhang").await, t.resident("li").await, t.staff("junxi").await);
    let reply = book(&t, &zhang, NINE, json!({"place": "home"})).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/address:required"]);
    let reply = book(&t, &zhang, NINE, json!({"address": "红星村12号"})).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/address:not_at_home"]);
    let reply = book(&t, &zhang, NINE, json!({"place": "video"})).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/place:place_not_served"]);
    let home = json!({"place": "home", "address": "红星村12号"});
    let booked = book(&t, &zhang, NINE, home).await.created();
    assert_eq!((&booked["place"], &booked["address"]), (&json!("home"), &json!("红星村12号")));
    // Half an hour of travel before and after.
    let around = ["08:30", "09:00", "09:30"];
    assert!(starts(&t, "").await.iter().all(|start| !around.contains(&start.as_str())));
    for time in around {
        book(&t, &li, &format!("2026-11-25T{time}:00+08:00"), json!({})).await.problem(409, "slot_full");
    }
    // On the way back from one visit nobody sets out to the next.
    let free = starts(&t, "&place=home").await;
    assert!(free.contains(&"14:30".to_owned()) && !free.contains(&"10:00".to_owned()), "{free:?}");
    assert!(!t.database.everything().contains("红星村12号"), "sealed");
    let path = format!("/v1/appointments/{}", booked["id"].as_str().expect("an id"));
    assert_eq!(t.get(&path).by(&junxi).send().await.ok()["address"], Value::Null);
    let reveal = json!({"reason": "上门前电话确认"});
    let shown = t.post(&format!("{path}/reveal")).by(&junxi).json(reveal.clone()).send().await.ok();
    assert_eq!(shown["address"], "红星村12号");
    t.post(&format!("{path}/reveal")).by(&t.staff("cadre").await).json(reveal).send().await.problem(404, "not_found");
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'reveal' AND entity = 'appointment'"),
        1
    );
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_hold_at_home_says_the_address_when_it_is_booked() {
    let t = windows(1).await;
    let zhang = t.resident("zhang").await;
    let mut body = t.booking(NINE).await;
    body["place"] = json!("home");
    let held = t.post("/v1/holds").by(&zhang).json(body).send().await.created();
    let path = format!("/v1/appointments/{}/book", held["id"].as_str().expect("an id"));
    let reply = t.post(&path).by(&zhang).json(json!({})).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/address:required"]);
    let booked = t.post(&path).by(&zhang).json(json!({"address": "红星村12号"})).send().await.ok();
    assert_eq!(booked["address"], "红星村12号");
    t.run_jobs().await;
}

#[actix_web::test]
async fn the_own_specialist_serves_only_their_own_village() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let village = t.unit("红星村委会").await;
    let register = async |name: &str, phone: &str, unit: &str, by: &Session| {
        let unit = t.unit(unit).await;
        let body = json!({"name": name, "phone": phone, "unit_id": unit, "identity_seen": "known_in_person"});
        t.post("/v1/residents").by(by).json(body).send().await.created()["id"].clone()
    };
    let granny = register("陈阿婆", "13950900001", "红星村委会", &cadre).await;
    let far = register("林阿公", "13950900002", "石牌镇", &t.staff("admin").await).await;
    t.database.run(&format!(
        "UPDATE matters SET own_specialist = true; \
         UPDATE windows SET unit_id = '{village}', officer_id = (SELECT id FROM staff WHERE username = 'specialist') WHERE name = '民生事务窗口'"
    ));
    let admin = t.staff("admin").await;
    let book = async |who: &Value, unit: &str| {
        let mut body = t.booking(NINE).await;
        (body["unit_id"], body["resident_id"]) = (json!(t.unit(unit).await), who.clone());
        t.post("/v1/appointments").by(&admin).json(body).send().await
    };
    book(&granny, "均溪镇").await.problem(409, "no_specialist");
    book(&far, "红星村委会").await.problem(409, "no_specialist");
    let booked = book(&granny, "红星村委会").await.created();
    assert_eq!(booked["window"]["name"], "民生事务窗口");
    let matter = t.matter().await;
    let slots = async |lives: &str| {
        let lives = t.unit(lives).await;
        let path = format!(
            "/v1/slots?county=350425&unit_id={village}&matter_id={matter}&date=2026-11-25&resident_unit_id={lives}"
        );
        t.get(&path).send().await.ok()["items"].as_array().expect("items").len()
    };
    assert_eq!((slots("红星村委会").await, slots("石牌镇").await), (13, 0));
    t.run_jobs().await;
}
