//! A phone that works a day without a network, by a clock that is years off, and sends everything twice: the server ends with each thing once.

use chrono::{DateTime, FixedOffset, TimeDelta};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    attachments::{FORM, form, photo},
    harness::{NOW, Reply, Session, TestApp, at},
    visits::{HOME, household, reading, results},
};

/// A phone: its own clock, and what it has written down and not sent.
struct Phone {
    /// What its clock is off.
    off: TimeDelta,
    visits: Vec<Value>,
    photos: Vec<(Uuid, Uuid)>,
}

impl Phone {
    /// Its clock.
    fn clock(&self, t: &TestApp) -> DateTime<FixedOffset> {
        (t.app.clock.now() + self.off).fixed_offset()
    }

    /// Somebody is visited, without a network.
    fn visit(&mut self, t: &TestApp, household: Uuid, more: Value) -> Uuid {
        let id = Uuid::now_v7();
        let mut visit = json!({"id": id, "household_id": household, "device_at": self.clock(t), "outcome": "seen", "place": "home",
            "position": reading(HOME.0, HOME.1), "note": "身体还好"});
        for (name, value) in more.as_object().expect("fields") {
            visit[name] = value.clone();
        }
        self.visits.push(visit);
        id
    }

    /// Sends everything, as its clock shows the time now.
    fn batch(&self, t: &TestApp) -> Value {
        json!({"sent_at": self.clock(t), "visits": self.visits})
    }
}

/// The answer was lost: the same request again, under the same key, then all of it under another one.
async fn three_times(t: &TestApp, by: &Session, path: &str, body: Value) -> (Reply, Reply) {
    let key = Uuid::now_v7().to_string();
    let first = t.post(path).by(by).key(&key).json(body.clone()).send().await;
    let replayed = t.post(path).by(by).key(&key).json(body.clone()).send().await;
    assert_eq!((replayed.header("idempotency-replayed"), &replayed.bytes), ("true", &first.bytes), "{path}");
    (first, t.post(path).by(by).json(body).send().await)
}

fn count(t: &TestApp, of: &str) -> i64 {
    t.database.count(&format!("SELECT count(*) AS n FROM {of}"))
}

#[actix_web::test]
async fn a_day_offline_ends_with_each_thing_once() {
    let t = TestApp::new().await;
    let specialist = t.staff("specialist").await;
    let known = household(&t, &specialist).await;
    // Its clock shows a day of 2019.
    let mut phone =
        Phone { off: -TimeDelta::days(2_500) - TimeDelta::hours(5), visits: Vec::new(), photos: Vec::new() };
    let mut when = Vec::new();
    let new: Vec<_> = (0..12).map(|_| Uuid::now_v7()).collect();
    for (number, household) in new.iter().enumerate() {
        t.pass(TimeDelta::minutes(20));
        let spot = json!({"name": format!("第 {number} 户"), "home": {"lng": HOME.0, "lat": HOME.1, "coordinate_system": "gcj02"}});
        let photo = Uuid::now_v7();
        let id = phone.visit(&t, *household, json!({"household": spot, "photos": [photo]}));
        phone.photos.push((id, photo));
        when.push((id, t.app.clock.now()));
    }
    for outcome in ["not_found", "seen"] {
        t.pass(TimeDelta::minutes(20));
        when.push((
            phone.visit(&t, known, json!({"outcome": outcome, "position": null, "no_position_reason": "no_signal"})),
            t.app.clock.now(),
        ));
    }
    // In the evening there is a network, and the answers get lost.
    t.set_time("2026-11-23T18:00:00+08:00");
    let specialist = t.staff("specialist").await;
    let (first, again) = three_times(&t, &specialist, "/v1/visits/batch", phone.batch(&t)).await;
    let (first, again) = (first.ok(), again.ok());
    assert!(results(first["items"].as_array().expect("items")).iter().all(|result| *result == "created"), "{first}");
    assert!(results(again["items"].as_array().expect("items")).iter().all(|result| *result == "same"), "{again}");
    assert_eq!((count(&t, "visits"), count(&t, "households"), count(&t, "visit_conflicts")), (15, 13, 0));
    for (item, (id, at)) in first["items"].as_array().expect("items").iter().zip(&when) {
        assert_eq!(item["id"], json!(id));
        let occurred: DateTime<FixedOffset> = serde_json::from_value(item["occurred_at"].clone()).expect("a time");
        assert_eq!(occurred, *at, "the wrong clock is set right");
        assert!(item["flags"].as_array().expect("flags").contains(&json!("clock_off")), "{item}");
    }
    // The clock was mended meanwhile, and everything is sent once more an hour later.
    t.pass(TimeDelta::minutes(5));
    phone.off = TimeDelta::zero();
    let mended = t.post("/v1/visits/batch").by(&specialist).json(phone.batch(&t)).send().await.ok();
    assert!(results(mended["items"].as_array().expect("items")).iter().all(|result| *result == "same"), "{mended}");
    // Photos, uploaded twice as well: what belongs to nothing goes by itself.
    for (visit, photo_id) in &phone.photos[..2] {
        let file = form("a.jpg", "image/jpeg", &photo());
        let sent = t.post("/v1/attachments").by(&specialist).bytes(FORM, file).send().await.created();
        let body = json!({"photos": [{"photo_id": photo_id, "attachment_id": sent["id"]}]});
        let (there, again) = three_times(&t, &specialist, &format!("/v1/visits/{visit}/photos"), body).await;
        let (there, again) = (there.ok(), again.ok());
        assert_eq!(
            (&there["photos"], &there["photos_missing"], &there["version"]),
            (&again["photos"], &json!(0), &again["version"])
        );
        assert_eq!(there["photos"][0]["attachment_id"], sent["id"]);
        t.get(&format!("/v1/attachments/{}", sent["id"].as_str().expect("an id"))).by(&specialist).send().await.ok();
    }
    assert_eq!(count(&t, "visit_photos"), 2);
    // What was found, and what is made of it.
    let found = json!({"kind": "concern", "words": "想修水龙头"});
    let path = format!("/v1/visits/{}/findings", phone.photos[0].0);
    let key = Uuid::now_v7().to_string();
    let one = t.post(&path).by(&specialist).key(&key).json(found.clone()).send().await.created();
    let same = t.post(&path).by(&specialist).key(&key).json(found).send().await.created();
    assert_eq!((&one["id"], count(&t, "visit_findings")), (&same["id"], 1));
    assert_eq!(at(NOW) + TimeDelta::minutes(605), t.app.clock.now());
    t.run_jobs().await;
}
