//! Random commands of several residents against a model of what must come out: booking, holds, moving, the waiting list, time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::harness::{Reply, Session, TestApp, at};

const RESIDENTS: usize = 5;
const SLOTS: [&str; 3] = ["2026-11-25T09:00:00+08:00", "2026-11-25T09:30:00+08:00", "2026-11-25T10:00:00+08:00"];
/// Places of each slot.
const PLACES: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Command {
    Book(usize, usize),
    Hold(usize, usize),
    /// What one holds or is offered.
    Confirm(usize),
    Reschedule(usize, usize),
    Cancel(usize),
    Wait(usize, usize),
    Leave(usize),
    Minutes(i64),
    /// The worker comes round.
    Tick,
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let (who, slot) = (0..RESIDENTS, 0..SLOTS.len());
    let command = prop_oneof![
        6 => (who.clone(), slot.clone()).prop_map(|(who, slot)| Command::Book(who, slot)),
        3 => (who.clone(), slot.clone()).prop_map(|(who, slot)| Command::Hold(who, slot)),
        3 => who.clone().prop_map(Command::Confirm),
        3 => (who.clone(), slot.clone()).prop_map(|(who, slot)| Command::Reschedule(who, slot)),
        3 => who.clone().prop_map(Command::Cancel),
        5 => (who.clone(), slot).prop_map(|(who, slot)| Command::Wait(who, slot)),
        1 => who.prop_map(Command::Leave),
        2 => (1i64..20).prop_map(Command::Minutes),
        2 => Just(Command::Tick),
    ];
    prop::collection::vec(command, 20..60)
}

/// What a resident has on the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Held { slot: usize, until: DateTime<Utc>, offer: bool },
    Booked { slot: usize },
}

impl Has {
    fn slot(self) -> usize {
        match self {
            Self::Held { slot, .. } | Self::Booked { slot } => slot,
        }
    }

    /// Still takes a place.
    fn live(self, now: DateTime<Utc>) -> bool {
        match self {
            Self::Held { until, .. } => until > now,
            Self::Booked { .. } => true,
        }
    }
}

#[derive(Debug, Default)]
struct Model {
    has: BTreeMap<usize, Has>,
    /// In order.
    line: Vec<(usize, usize)>,
}

impl Model {
    fn taken(&self, slot: usize, but: usize, now: DateTime<Utc>) -> usize {
        self.has.iter().filter(|(who, has)| **who != but && has.slot() == slot && has.live(now)).count()
    }

    fn waited_for(&self, slot: usize) -> bool {
        self.line.iter().any(|(_, waits)| *waits == slot)
    }

    /// What everybody sees.
    fn free(&self, slot: usize, now: DateTime<Utc>) -> usize {
        if self.waited_for(slot) { 0 } else { PLACES - self.taken(slot, RESIDENTS, now) }
    }

    /// The answer to somebody who wants a place; `none` if they get it.
    fn refusal(&self, who: usize, slot: usize, moving: bool, now: DateTime<Utc>) -> Option<&'static str> {
        let in_the_way = match self.has.get(&who) {
            Some(Has::Booked { .. }) => !moving,
            Some(has @ Has::Held { offer: true, .. }) => has.live(now),
            _ => false,
        };
        if in_the_way {
            Some("already_booked")
        } else if self.waited_for(slot) {
            Some("slot_waited_for")
        } else if self.taken(slot, who, now) >= PLACES {
            Some("slot_full")
        } else {
            None
        }
    }

    /// The worker: offers that ran out go, and what is free goes to the first who wait for it. Whoever has booked meanwhile waits no
    /// longer, and whoever holds a place of their own is passed over.
    fn tick(&mut self, now: DateTime<Utc>) {
        self.has.retain(|_, has| has.live(now));
        let mut in_vain = Vec::new();
        let mut line = std::mem::take(&mut self.line);
        line.retain(|(who, slot)| {
            if in_vain.contains(slot) {
                return true;
            }
            match self.has.get(who) {
                Some(Has::Booked { .. }) => false,
                Some(Has::Held { .. }) => true,
                None if self.taken(*slot, RESIDENTS, now) < PLACES => {
                    self.has.insert(*who, Has::Held { slot: *slot, until: now + TimeDelta::minutes(30), offer: true });
                    false
                }
                None => {
                    in_vain.push(*slot);
                    true
                }
            }
        });
        self.line = line;
    }
}

/// The real thing, and what is needed to talk to it.
struct World {
    t: TestApp,
    residents: Vec<Session>,
    booking: Value,
    slots: String,
    /// The last appointment of each that was live, and the entry in the line.
    appointments: BTreeMap<usize, String>,
    entries: BTreeMap<usize, String>,
}

impl World {
    async fn new() -> Self {
        let t = TestApp::with(|setup| {
            setup.config.writes_per_minute = 100_000;
            setup.config.logins_per_minute = 100_000;
        })
        .await;
        t.database.run(&format!(
            "UPDATE opening_rules SET capacity_public = 0, capacity_proxy = 0, capacity_desk = 0; \
             UPDATE opening_rules SET capacity_public = {PLACES} WHERE window_id = (SELECT id FROM windows WHERE name = '民生事务窗口')"
        ));
        t.set_time("2026-11-24T08:00:00+08:00");
        let (unit, matter) = (t.unit("均溪镇").await, t.matter().await);
        let mut world = Self {
            slots: format!("/v1/slots?county=350425&unit_id={unit}&matter_id={matter}&date=2026-11-25"),
            booking: json!({"unit_id": unit, "matter_id": matter}),
            residents: Vec::new(),
            appointments: BTreeMap::new(),
            entries: BTreeMap::new(),
            t,
        };
        world.log_in().await;
        world
    }

    /// Tokens live a quarter of an hour.
    async fn log_in(&mut self) {
        self.residents.clear();
        for number in 0..RESIDENTS {
            self.residents.push(self.t.resident(&format!("r{number}")).await);
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.t.app.clock.now()
    }

    async fn post(&self, who: usize, path: &str, body: Value) -> Reply {
        self.t.post(path).by(&self.residents[who]).json(body).send().await
    }

    async fn take(&mut self, who: usize, path: &str, slot: usize) -> Reply {
        let mut body = self.booking.clone();
        body["starts_at"] = json!(SLOTS[slot]);
        let reply = self.post(who, path, body).await;
        if reply.status == 201 {
            self.appointments.insert(who, reply["id"].as_str().expect("an id").to_owned());
        }
        reply
    }

    /// Of a worker that comes round: jobs, passes, and which offers there are now.
    async fn tick(&mut self) {
        self.t.tick().await;
        for who in 0..RESIDENTS {
            let list = self.t.get("/v1/appointments?state=held").by(&self.residents[who]).send().await.ok();
            if let Some(held) = list["items"].as_array().and_then(|items| items.first()) {
                self.appointments.insert(who, held["id"].as_str().expect("an id").to_owned());
            }
        }
    }
}

fn told(reply: &Reply) -> Option<String> {
    (reply.status >= 400).then(|| reply.body["code"].as_str().unwrap_or_default().to_owned())
}

/// Runs a command on both, and compares the answers.
async fn step(world: &mut World, model: &mut Model, command: Command) -> Result<(), TestCaseError> {
    let now = world.now();
    match command {
        Command::Book(who, slot) | Command::Hold(who, slot) => {
            let hold = matches!(command, Command::Hold(..));
            let expected = model.refusal(who, slot, false, now);
            let reply = world.take(who, if hold { "/v1/holds" } else { "/v1/appointments" }, slot).await;
            prop_assert_eq!(told(&reply), expected.map(str::to_owned), "{:?}: {}", command, reply.body);
            if expected.is_none() {
                let until = now + TimeDelta::minutes(5);
                let has = if hold { Has::Held { slot, until, offer: false } } else { Has::Booked { slot } };
                model.has.insert(who, has);
            }
        }
        Command::Confirm(who) => {
            let (Some(has), Some(id)) = (model.has.get(&who).copied(), world.appointments.get(&who).cloned()) else {
                return Ok(());
            };
            let expected = match has {
                Has::Booked { .. } => Some("not_booked"),
                held if held.live(now) => None,
                _ => Some("hold_expired"),
            };
            let reply = world.post(who, &format!("/v1/appointments/{id}/book"), json!({})).await;
            prop_assert_eq!(told(&reply), expected.map(str::to_owned), "{:?}: {}", command, reply.body);
            if expected.is_none() {
                model.has.insert(who, Has::Booked { slot: has.slot() });
            }
        }
        Command::Reschedule(who, slot) => {
            let Some(Has::Booked { slot: from }) = model.has.get(&who).copied() else { return Ok(()) };
            let id = world.appointments[&who].clone();
            // Staying is no move: nobody is passed.
            let expected = model.refusal(who, slot, true, now);
            let body = json!({"starts_at": SLOTS[slot]});
            let reply = world.post(who, &format!("/v1/appointments/{id}/reschedule"), body).await;
            prop_assert_eq!(told(&reply), expected.map(str::to_owned), "{:?} from {}: {}", command, from, reply.body);
            if expected.is_none() {
                model.has.insert(who, Has::Booked { slot });
            }
        }
        Command::Cancel(who) => {
            if model.has.remove(&who).is_some() {
                let id = world.appointments[&who].clone();
                world.post(who, &format!("/v1/appointments/{id}/cancel"), json!({})).await.ok();
            }
        }
        Command::Wait(who, slot) => {
            let live = model.has.get(&who).is_some_and(|has| has.live(now));
            let waits = model.line.iter().any(|(waiting, _)| *waiting == who);
            let mut body = world.booking.clone();
            (body["earliest"], body["latest"]) = (json!(SLOTS[slot]), json!(SLOTS[slot]));
            let reply = world.post(who, "/v1/waiting", body).await;
            let refused = live || waits || model.free(slot, now) > 0 && !model.waited_for(slot);
            prop_assert_eq!(reply.status == 201, !refused, "{:?}: {}", command, reply.body);
            if !refused {
                world.entries.insert(who, reply["id"].as_str().expect("an id").to_owned());
                model.line.push((who, slot));
            }
        }
        Command::Leave(who) => {
            if let Some(place) = model.line.iter().position(|(waiting, _)| *waiting == who) {
                model.line.remove(place);
                let id = world.entries[&who].clone();
                world.post(who, &format!("/v1/waiting/{id}/leave"), json!({})).await.ok();
            }
        }
        Command::Minutes(minutes) => {
            // Offers count the minutes of the day only; here it stays day.
            if now + TimeDelta::minutes(minutes) < at("2026-11-24T17:00:00+08:00") {
                world.t.pass(TimeDelta::minutes(minutes));
                world.log_in().await;
            }
        }
        Command::Tick => {
            world.tick().await;
            model.tick(now);
        }
    }
    Ok(())
}

/// What everybody sees, and what must always hold.
async fn compare(world: &World, model: &Model) -> Result<(), TestCaseError> {
    let now = world.now();
    let seen = world.t.get(&world.slots).send().await.ok();
    for (number, starts_at) in SLOTS.iter().enumerate() {
        let slot = seen["items"].as_array().expect("items").iter().find(|slot| slot["starts_at"] == *starts_at);
        let free = slot.expect("offered")["free"].as_i64().expect("a number");
        prop_assert_eq!(free, model.free(number, now) as i64, "{} with {:?}", starts_at, model);
        prop_assert!(model.taken(number, RESIDENTS, now) <= PLACES, "{:?}", model);
    }
    for (who, session) in world.residents.iter().enumerate() {
        let booked = world.t.get("/v1/appointments?state=booked").by(session).send().await.ok();
        let booked: Vec<_> =
            booked["items"].as_array().expect("items").iter().map(|item| item["starts_at"].clone()).collect();
        let expected: Vec<Value> = match model.has.get(&who) {
            Some(Has::Booked { slot }) => vec![json!(SLOTS[*slot])],
            _ => Vec::new(),
        };
        prop_assert_eq!(booked, expected, "resident {} with {:?}", who, model);
    }
    Ok(())
}

#[test]
fn random_commands_end_where_the_model_does() {
    let config =
        ProptestConfig { cases: 10, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() };
    let run = |commands: Vec<Command>| {
        actix_web::rt::System::new().block_on(async {
            let (mut world, mut model) = (World::new().await, Model::default());
            let mut outcome = Ok(());
            for command in commands {
                outcome = step(&mut world, &mut model, command).await;
                if outcome.is_err() {
                    break;
                }
                outcome = compare(&world, &model).await;
                if outcome.is_err() {
                    break;
                }
            }
            world.t.tick().await;
            outcome
        })
    };
    TestRunner::new(config).run(&commands(), run).expect("the model and the service agree");
}
