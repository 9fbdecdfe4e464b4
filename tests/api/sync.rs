//! Phones that keep in step: the snapshot, what has changed, tombstones.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    errands::{matter, submitted, villager},
    harness::{Reply, Session, TestApp},
    merging::{id, register},
    orders::{placed, step},
};

/// A phone: what it keeps, and where it stands.
pub struct Phone {
    pub session: Session,
    pub kept: BTreeMap<(String, String), Value>,
    pub cursor: Option<String>,
    /// Everything that it was ever told.
    pub told: Vec<Value>,
}

impl Phone {
    pub fn new(session: &Session) -> Self {
        Self { session: session.clone(), kept: BTreeMap::new(), cursor: None, told: Vec::new() }
    }

    pub async fn ask(&self, t: &TestApp, limit: usize) -> Reply {
        let cursor = self.cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        t.get(&format!("/v1/sync?limit={limit}{cursor}")).by(&self.session).send().await
    }

    /// One page; whether there is more.
    pub async fn pull(&mut self, t: &TestApp, limit: usize) -> bool {
        let page = self.ask(t, limit).await.ok();
        for item in page["items"].as_array().expect("items") {
            let text = |name: &str| item[name].as_str().expect(name).to_owned();
            let key = (text("entity"), text("id"));
            match item["gone"].as_bool().expect("gone") {
                true => drop(self.kept.remove(&key)),
                false => drop(self.kept.insert(key, item["data"].clone())),
            }
            self.told.push(item.clone());
        }
        self.cursor = page["next_cursor"].as_str().map(str::to_owned);
        page["more"].as_bool().expect("more")
    }

    pub async fn follow(&mut self, t: &TestApp) {
        while self.pull(t, 200).await {}
    }

    /// Follows until something holds: transactions of other tests on the same server hold the feed back for a while.
    pub async fn until(&mut self, t: &TestApp, holds: impl Fn(&Self) -> bool) {
        let asked = Instant::now();
        while !holds(self) {
            assert!(asked.elapsed() < Duration::from_secs(30), "never: {:#?}", self.kept.keys().collect::<Vec<_>>());
            self.follow(t).await;
        }
    }

    pub fn has(&self, entity: &str, id: &str) -> bool {
        self.kept.contains_key(&(entity.to_owned(), id.to_owned()))
    }

    pub fn get(&self, entity: &str, id: &str) -> &Value {
        &self.kept[&(entity.to_owned(), id.to_owned())]
    }

    pub fn count(&self, entity: &str) -> usize {
        self.kept.keys().filter(|(of, _)| of == entity).count()
    }
}

pub async fn todo(t: &TestApp, by: &Session, body: Value) -> String {
    id(&t.post("/v1/todos").by(by).json(body).send().await.created())
}

async fn act(t: &TestApp, by: &Session, todo: &str, verb: &str, body: Value) {
    t.post(&format!("/v1/todos/{todo}/{verb}")).by(by).json(body).send().await.ok();
}

#[actix_web::test]
async fn first_everything_then_what_has_changed() {
    let t = TestApp::new().await;
    let (cadre, specialist, junxi) = (t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await);
    let call = json!({"kind": "call", "title": "打个电话"});
    let first = todo(&t, &cadre, call.clone()).await;
    let mut phone = Phone::new(&specialist);
    // In pages of three; what is written meanwhile comes too.
    assert!(phone.pull(&t, 3).await);
    let second = todo(&t, &cadre, call.clone()).await;
    while phone.pull(&t, 3).await {}
    phone.until(&t, |phone| phone.has("todo", &second)).await;
    assert!(phone.has("todo", &first));
    let matters = t.get("/v1/matters?county=350425&state=active&limit=200").send().await.ok();
    assert_eq!(phone.count("matter"), matters["items"].as_array().expect("items").len());
    let one = matters["items"][0]["id"].as_str().expect("an id");
    assert_eq!(phone.get("matter", one)["versions"][0]["number"], 1, "with what the guide is made of");
    let settings = t.get("/v1/settings").by(&specialist).send().await.ok();
    assert_eq!(phone.count("setting"), settings["items"].as_array().expect("items").len());
    let categories = t.get("/v1/visit-categories").by(&specialist).send().await.ok();
    assert_eq!(phone.count("visit_category"), categories["items"].as_array().expect("items").len());
    // As its own path answers it.
    let alone = t.get(&format!("/v1/todos/{first}")).by(&specialist).send().await.ok();
    assert_eq!(*phone.get("todo", &first), alone);

    // Taken by somebody else: still of the village. Done: gone. Of the township: never there.
    act(&t, &cadre, &first, "take", json!({})).await;
    act(&t, &cadre, &second, "done", json!({"note": "已告知"})).await;
    let town = todo(&t, &junxi, call).await;
    phone.until(&t, |phone| !phone.has("todo", &second)).await;
    assert_eq!(phone.get("todo", &first)["holder_id"], json!(cadre.subject));
    assert!(!phone.told.iter().any(|item| item["id"] == town.as_str()), "the township's");
    let mut above = Phone::new(&junxi);
    above.follow(&t).await;
    assert!(above.has("todo", &first) && above.has("todo", &town), "the township and its villages");

    // Handed to the village by the township, and taken back.
    act(&t, &junxi, &town, "hand_over", json!({"holder_id": specialist.subject})).await;
    phone.until(&t, |phone| phone.has("todo", &town)).await;
    act(&t, &specialist, &town, "put_back", json!({})).await;
    phone.until(&t, |phone| !phone.has("todo", &town)).await;
    let setting = json!({"value": 5, "reason": "试行"});
    let admin = t.staff("admin").await;
    t.put("/v1/settings/booking.days_ahead").by(&admin).header("if-match", "*").json(setting).send().await.ok();
    let set = |phone: &Phone| phone.kept.values().any(|kept| kept["key"] == "booking.days_ahead" && kept["value"] == 5);
    phone.until(&t, set).await;
    t.get("/v1/sync").by(&admin).send().await.problem(403, "forbidden");
    t.run_jobs().await;
}

#[actix_web::test]
async fn errands_orders_and_appointments_come_and_go() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let (cadre, specialist, junxi) = (t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await);
    let mut phone = Phone::new(&specialist);
    phone.follow(&t).await;
    let errand = submitted(&t, &chen, matter(&t, crate::errands::content("village")).await).await;
    let errand_id = id(&errand);
    phone.until(&t, |phone| phone.has("errand", &errand_id)).await;
    let listed = t.get("/v1/errands?limit=200").by(&specialist).send().await.ok();
    let listed = listed["items"].as_array().expect("items").iter().find(|one| one["id"] == errand["id"]);
    assert_eq!(Some(phone.get("errand", &errand_id)), listed);

    // An order is masked while it is of the village, plain while one holds it, masked again, gone.
    let order = placed(&t, &chen, "政策咨询").await;
    let order_id = id(&order);
    phone.until(&t, |phone| phone.has("order", &order_id)).await;
    assert_eq!(phone.get("order", &order_id)["address"], Value::Null);
    step(&t, &specialist, &order, "claim", json!({})).await.ok();
    phone.until(&t, |phone| phone.get("order", &order_id)["held"] == true).await;
    assert_eq!(phone.get("order", &order_id)["address"], "红星村 12 号");
    let looks = format!(
        "SELECT count(*) AS n FROM audit_log WHERE action = 'read_order' AND actor_id = '{}'",
        specialist.subject
    );
    assert_eq!(t.database.count(&looks), 1, "the look is recorded");
    step(&t, &specialist, &order, "return", json!({"reason": "临时有事"})).await.ok();
    phone.until(&t, |phone| phone.get("order", &order_id)["held"] == false).await;
    assert_eq!(phone.get("order", &order_id)["address"], Value::Null);
    step(&t, &chen, &order, "cancel", json!({"reason": "不用了"})).await.ok();
    phone.until(&t, |phone| !phone.has("order", &order_id)).await;

    // At the centre of one's post, or booked by oneself elsewhere.
    let granny = id(&register(&t, &cadre, "陈阿婆", None, None).await);
    let mut booking = t.booking("2026-11-24T09:00:00+08:00").await;
    booking["resident_id"] = json!(granny);
    let booked = id(&t.post("/v1/appointments").by(&specialist).json(booking).send().await.created());
    phone.until(&t, |phone| phone.has("appointment", &booked)).await;
    let mut others = [Phone::new(&junxi), Phone::new(&cadre)];
    for other in &mut others {
        other.follow(&t).await;
    }
    assert_eq!(others.map(|other| other.has("appointment", &booked)), [true, false], "in the township's hall");
    t.post(&format!("/v1/appointments/{booked}/cancel")).by(&specialist).json(json!({})).send().await.ok();
    phone.until(&t, |phone| !phone.has("appointment", &booked)).await;
    t.run_jobs().await;
}

/// What nobody was told of before phones asked.
#[actix_web::test]
async fn whoever_loses_sight_is_told() {
    let t = TestApp::new().await;
    let chen = villager(&t, "chen").await;
    let (cadre, specialist, junxi) = (t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await);
    let errand = submitted(&t, &chen, matter(&t, crate::errands::content("village")).await).await;
    let holder = if errand["holder"]["id"] == json!(cadre.subject) { &cadre } else { &specialist };
    let told = |who: &Session, entity: &str, id: &str, gone: bool| {
        let of = if gone { "AND gone" } else { "AND NOT gone" };
        t.database.count(&format!("SELECT count(*) AS n FROM changes WHERE entity = '{entity}' AND entity_id = '{id}' AND staff_id = '{}' {of}", who.subject))
    };
    let errand_id = id(&errand);
    let offer = json!({"staff_id": junxi.subject, "reason": "请接手"});
    crate::errands::step(&t, holder, &errand, "offer_transfer", offer).await.ok();
    crate::errands::step(&t, &junxi, &errand, "decline_transfer", json!({"reason": "请先补齐"})).await.ok();
    assert_eq!(
        (told(&junxi, "errand", &errand_id, false), told(&junxi, "errand", &errand_id, true)),
        (1, 1),
        "asked, and asked no more"
    );

    // A centre whose appointment is moved to another one; a record that is merged.
    let booked = id(&t
        .post("/v1/appointments")
        .by(&chen)
        .json(t.booking("2026-11-24T09:00:00+08:00").await)
        .send()
        .await
        .created());
    let (old, new) = (t.unit("均溪镇").await, t.unit("石牌镇").await);
    t.database.run(&format!("UPDATE appointments SET unit_id = '{new}', version = version + 1 WHERE id = '{booked}'"));
    let left = format!("SELECT count(*) AS n FROM changes WHERE entity_id = '{booked}' AND unit_id = '{old}' AND gone");
    assert_eq!(t.database.count(&left), 1);
    let granny = id(&register(&t, &cadre, "陈阿婆", None, None).await);
    let same = id(&register(&t, &cadre, "陈阿婆", None, None).await);
    let visit = todo(&t, &cadre, json!({"kind": "visit", "title": "看看", "resident_id": same})).await;
    let mut phone = Phone::new(&specialist);
    phone.follow(&t).await;
    let merge = json!({"duplicate_id": same, "reason": "同一人", "identity_seen": "id_card"});
    t.post(&format!("/v1/residents/{granny}/merge")).by(&cadre).header("if-match", "*").json(merge).send().await.ok();
    phone.until(&t, |phone| phone.get("todo", &visit)["resident_id"] == granny.as_str()).await;
    t.run_jobs().await;
}

#[actix_web::test]
async fn of_what_is_about_oneself_nothing_is_said() {
    let t = TestApp::new().await;
    let (cadre, specialist) = (t.staff("cadre").await, t.staff("specialist").await);
    let (mut one, mut other) = (Phone::new(&specialist), Phone::new(&cadre));
    one.follow(&t).await;
    other.follow(&t).await;
    let about = todo(&t, &cadre, json!({"kind": "call", "title": "回访"})).await;
    t.database
        .run(&format!("UPDATE todos SET hidden_from = ARRAY['{}'::uuid] WHERE id = '{about}'", specialist.subject));
    other.until(&t, |phone| phone.has("todo", &about)).await;
    act(&t, &cadre, &about, "done", json!({"note": "已了解"})).await;
    other.until(&t, |phone| !phone.has("todo", &about)).await;
    one.follow(&t).await;
    assert!(!one.told.iter().any(|item| item["id"] == about.as_str()), "not even a tombstone");
    // A draft of somebody else has never been seen either.
    let chen = villager(&t, "chen").await;
    let draft = json!({"matter_id": matter(&t, crate::errands::content("village")).await});
    let draft = id(&t.post("/v1/errands").by(&chen).json(draft).send().await.created());
    let later = todo(&t, &cadre, json!({"kind": "call", "title": "再打"})).await;
    one.until(&t, |phone| phone.has("todo", &later)).await;
    assert!(!one.told.iter().any(|item| item["id"] == draft.as_str()));
    t.run_jobs().await;
}
