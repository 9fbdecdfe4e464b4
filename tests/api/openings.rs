//! Opening rules: changed and ended, every n-th week, by phone; and who sits at a window.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Reply, Session, TestApp};

/// A window of 红星村 with one rule: Monday to Friday, 09:00 to 11:00.
pub struct Hall {
    pub t: TestApp,
    pub junxi: Session,
    pub unit: Uuid,
    pub matter: Uuid,
    pub window: String,
    pub rule: String,
}

pub fn rule(opens: &str, closes: &str) -> Value {
    json!({"weekdays": [1, 2, 3, 4, 5], "opens_at": format!("{opens}:00"), "closes_at": format!("{closes}:00"), "slot_minutes": 30,
        "capacity_public": 1, "capacity_proxy": 0, "capacity_desk": 0, "valid_from": "2026-01-01", "valid_until": null})
}

pub fn with(mut body: Value, change: Value) -> Value {
    body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
    body
}

pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

impl Hall {
    pub async fn new() -> Self {
        let t = TestApp::new().await;
        let junxi = t.staff("junxi").await;
        let (unit, matter) = (t.unit("红星村委会").await, t.matter().await);
        let body = json!({"unit_id": unit, "name": "村级窗口", "matter_ids": [matter]});
        let window = text(&t.post("/v1/windows").by(&junxi).json(body).send().await.created()["id"]);
        let path = format!("/v1/windows/{window}/opening_rules");
        let made = t.post(&path).by(&junxi).json(rule("09:00", "11:00")).send().await.created();
        let rule = text(&made["opening_rules"][0]["id"]);
        Self { t, junxi, unit, matter, window, rule }
    }

    pub async fn add_rule(&self, body: Value) -> Reply {
        let path = format!("/v1/windows/{}/opening_rules", self.window);
        self.t.post(&path).by(&self.junxi).json(body).send().await
    }

    pub async fn put_rule(&self, body: Value) -> Reply {
        let path = format!("/v1/windows/{}/opening_rules/{}", self.window, self.rule);
        self.t.put(&path).by(&self.junxi).header("if-match", "*").json(body).send().await
    }

    pub async fn put_window(&self, change: Value) -> Reply {
        let body = with(json!({"name": "村级窗口", "state": "open", "matter_ids": [self.matter]}), change);
        let path = format!("/v1/windows/{}", self.window);
        self.t.put(&path).by(&self.junxi).header("if-match", "*").json(body).send().await
    }

    /// The times of day of the slots at a place that have a place left.
    pub async fn free_at(&self, date: &str, place: &str) -> Vec<String> {
        let path = format!(
            "/v1/slots?county=350425&unit_id={}&matter_id={}&date={date}&place={place}",
            self.unit, self.matter
        );
        let slots = self.t.get(&path).send().await.ok();
        let free = slots["items"].as_array().expect("items").iter().filter(|slot| slot["free"] != 0);
        free.map(|slot| text(&slot["starts_at"])[11..16].to_owned()).collect()
    }

    pub async fn free(&self, date: &str) -> Vec<String> {
        self.free_at(date, "centre").await
    }

    pub fn booking(&self, at: &str) -> Value {
        json!({"unit_id": self.unit, "matter_id": self.matter, "starts_at": format!("{at}:00+08:00")})
    }

    /// A new resident with a booking.
    pub async fn booked(&self, who: &str, at: &str) -> (Session, String) {
        let resident = self.t.resident(who).await;
        let booking = self.t.post("/v1/appointments").by(&resident).json(self.booking(at)).send().await.created();
        (resident, text(&booking["id"]))
    }

    pub async fn seen(&self, by: &Session, id: &str) -> Value {
        self.t.get(&format!("/v1/appointments/{id}")).by(by).send().await.ok()
    }
}

#[actix_web::test]
async fn rules_say_place_and_rhythm() {
    let hall = Hall::new().await;
    let body = with(rule("09:00", "11:00"), json!({"place": "phone", "every_weeks": 2, "valid_from": "2026-11-18"}));
    let made = hall.add_rule(body).await.created();
    assert_eq!(
        (&made["opening_rules"][1]["place"], &made["opening_rules"][1]["every_weeks"]),
        (&json!("phone"), &json!(2))
    );
    assert_eq!(
        (&made["opening_rules"][0]["place"], &made["opening_rules"][0]["every_weeks"]),
        (&json!("centre"), &json!(1))
    );
    let admin = hall.t.staff("admin").await;
    let path = format!("/v1/matters/{}", hall.matter);
    let matter = json!({"name": "电话咨询", "state": "active", "places": ["centre", "phone"]});
    hall.t.put(&path).by(&admin).header("if-match", "*").json(matter).send().await.ok();
    let two = json!(["09:00", "09:30", "10:00", "10:30"]);
    assert_eq!(json!(hall.free_at("2026-11-25", "phone").await), json!([]), "the week between");
    assert_eq!(json!(hall.free_at("2026-12-02", "phone").await), two);
    assert_eq!(json!(hall.free("2026-11-25").await), two);
}

#[actix_web::test]
async fn rules_of_one_place_never_open_the_same_hours_twice() {
    let hall = Hall::new().await;
    hall.add_rule(rule("10:30", "12:00")).await.problem(422, "rules_overlap");
    hall.add_rule(rule("11:00", "12:00")).await.created();
    hall.add_rule(with(rule("09:00", "12:00"), json!({"weekdays": [6, 7]}))).await.created();
    hall.add_rule(with(rule("09:00", "12:00"), json!({"place": "home"}))).await.created();
    hall.put_rule(rule("09:00", "11:30")).await.problem(422, "rules_overlap");
    hall.put_rule(rule("09:00", "10:30")).await.ok();
    assert_eq!(hall.free("2026-11-25").await, ["09:00", "09:30", "10:00", "11:00", "11:30"]);
}

#[actix_web::test]
async fn nothing_straddles_two_rules() {
    let hall = Hall::new().await;
    hall.add_rule(rule("11:00", "12:00")).await.created();
    let admin = hall.t.staff("admin").await;
    let path = format!("/v1/matters/{}", hall.matter);
    let matter = json!({"name": "两个时段的事项", "state": "active", "slots": 2});
    hall.t.put(&path).by(&admin).header("if-match", "*").json(matter).send().await.ok();
    assert_eq!(hall.free("2026-11-25").await, ["09:00", "09:30", "10:00", "11:00"]);
    let resident = hall.t.resident("zhang").await;
    let book = |at: &str| hall.t.post("/v1/appointments").by(&resident).json(hall.booking(at)).send();
    book("2026-11-25T10:30").await.problem(422, "slot_not_offered");
    assert_eq!(book("2026-11-25T10:00").await.created()["ends_at"], "2026-11-25T11:00:00+08:00");
    hall.t.run_jobs().await;
}

#[actix_web::test]
async fn a_rule_ends_and_goes_and_a_stale_screen_changes_nothing() {
    let hall = Hall::new().await;
    let t = &hall.t;
    let path = format!("/v1/windows/{}/opening_rules/{}", hall.window, hall.rule);
    let body = with(rule("09:00", "11:00"), json!({"valid_until": "2026-11-24"}));
    let put = |by: &Session, version: &str| t.put(&path).by(by).header("if-match", version).json(body.clone()).send();
    put(&hall.junxi, "\"1\"").await.problem(412, "version_stale");
    t.put(&path).by(&hall.junxi).json(body.clone()).send().await.problem(428, "precondition_required");
    put(&t.staff("cadre").await, "\"2\"").await.problem(403, "forbidden");
    put(&crate::access::foreign_admin(t).await, "\"2\"").await.problem(404, "not_found");
    let reply = put(&hall.junxi, "\"2\"").await;
    assert_eq!(reply.headers["etag"], "\"3\"");
    assert_eq!(reply.ok()["opening_rules"][0]["valid_until"], "2026-11-24");
    assert_eq!((hall.free("2026-11-24").await.len(), hall.free("2026-11-25").await.len()), (4, 0));
    let delete = |version: &str| t.call(Method::DELETE, &path).by(&hall.junxi).header("if-match", version).send();
    delete("\"2\"").await.problem(412, "version_stale");
    assert_eq!(delete("\"3\"").await.ok()["opening_rules"], json!([]));
    delete("*").await.problem(404, "not_found");
    assert_eq!(hall.free("2026-11-24").await.len(), 0);
    // A rule of another window is not found under this one.
    let shipai = t.unit("石牌镇").await;
    let far = t.get(&format!("/v1/windows?county=350425&unit_id={shipai}")).send().await.ok();
    let far = format!(
        "/v1/windows/{}/opening_rules/{}",
        text(&far["items"][0]["id"]),
        text(&far["items"][0]["opening_rules"][0]["id"])
    );
    t.call(Method::DELETE, &far).by(&hall.junxi).header("if-match", "*").send().await.problem(403, "forbidden");
    let kept = "SELECT count(*) AS n FROM audit_log WHERE entity = 'opening_rule' AND action IN ('create', 'update', 'delete')";
    assert_eq!(t.database.count(kept), 3);
}

#[actix_web::test]
async fn a_window_is_as_open_as_its_officer_is_there() {
    let hall = Hall::new().await;
    let t = &hall.t;
    let admin = t.staff("admin").await;
    let member = async |username: &str, unit: &str, deputy: Option<&str>| {
        let body = json!({"username": username, "display_name": username, "role": "village_cadre", "unit_id": t.unit(unit).await, "deputy_id": deputy});
        text(&t.post("/v1/staff").by(&admin).json(body).send().await.created()["id"])
    };
    let (deputy, far) = (member("deputy", "红星村委会", None).await, member("far", "后坑村委会", None).await);
    let officer = member("officer", "红星村委会", Some(&deputy)).await;
    let refused = hall.put_window(json!({"officer_id": far})).await.problem(422, "invalid");
    assert_eq!(refused.faults(), ["/officer_id:unknown_staff"]);
    let window = hall.put_window(json!({"officer_id": officer})).await.ok();
    assert_eq!(window["officer"], json!({"id": officer, "name": "officer", "present": true, "cover": null}));
    let away = async |who: &str, from: &str, until: &str| {
        let body = json!({"from_on": from, "until_on": until});
        t.post(&format!("/v1/staff/{who}/absences")).by(&admin).json(body).send().await.created()
    };
    away(&officer, "2026-11-23", "2026-11-25").await;
    away(&deputy, "2026-11-25", "2026-11-25").await;
    let seen = t.get(&format!("/v1/windows/{}?county=350425", hall.window)).send().await.ok();
    let cover = json!({"id": deputy, "name": "deputy"});
    assert_eq!((&seen["officer"]["present"], &seen["officer"]["cover"]), (&json!(false), &cover));
    assert_eq!(hall.free("2026-11-24").await.len(), 4, "the deputy is there");
    assert_eq!(hall.free("2026-11-25").await.len(), 0, "nobody is");
    assert_eq!(hall.free("2026-11-26").await.len(), 4);
    // Whoever takes over sits there too.
    let dismiss = async |to: Option<&str>| {
        let path = format!("/v1/staff/{officer}/dismiss");
        t.post(&path)
            .by(&admin)
            .header("if-match", "*")
            .json(json!({"reason": "调走", "hand_over_to": to}))
            .send()
            .await
    };
    dismiss(None).await.problem(409, "still_holds");
    let moved = dismiss(Some(&deputy)).await.ok();
    assert_eq!(moved["moved"], json!([{"room": "windows", "count": 1}]));
    let seen = t.get(&format!("/v1/windows/{}?county=350425", hall.window)).send().await.ok();
    assert_eq!(seen["officer"]["id"], json!(deputy));
}
