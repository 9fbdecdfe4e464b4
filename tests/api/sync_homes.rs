//! Households, tasks and partners on phones: whoever loses sight gets a tombstone, and whoever follows slow and overlapping writers has what is there.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::BigInt};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Session, TestApp},
    households::{category, create, tell},
    merging::id,
    sync::Phone,
    sync_property::{Writer, agree},
};

/// A village of a township other than 红星村.
fn village(t: &TestApp, township: &str) -> Uuid {
    let name = "SELECT u.id::text AS text FROM units u JOIN units p ON p.county_id = u.county_id AND p.id = u.parent_id \
         WHERE u.level = 'village' AND u.name <> '红星村委会' AND p.name =";
    t.database.text(&format!("{name} '{township}' ORDER BY u.name LIMIT 1")).parse().expect("an id")
}

#[actix_web::test]
async fn whoever_loses_sight_of_a_household_gets_a_tombstone() {
    let t = TestApp::new().await;
    let (cadre, junxi, admin) = (t.staff("cadre").await, t.staff("junxi").await, t.staff("admin").await);
    let (_, far) = crate::staff::open(&t, &admin, "far", "township_staff", "石牌镇").await;
    let monthly = category(&t, "重点关爱户").await;
    let [moved, handed, merged, stays, partnered] =
        ["甲家", "乙家", "丙家", "丁家", "戊家"].map(|name| (name, json!({"category_id": monthly})));
    let mut homes = Vec::new();
    for (name, more) in [moved, handed, merged, stays, partnered] {
        homes.push(create(&t, &cadre, name, more).await);
    }
    tell(&t, &junxi, &homes[1], "hand_over", json!({"holder_id": far.subject})).await.ok();
    tell(&t, &junxi, &homes[4], "partners", json!({"staff_id": far.subject})).await.ok();
    let rows = "code,unit,name,address,category,lng,lat,coordinate_system,note\n,红星村委会,己家,,重点关爱户,,,,\n";
    let import = t.post("/v1/households/import").by(&junxi).csv(rows.as_bytes().to_vec()).send().await.ok();
    let imported = json!({"id": import["lines"][0]["household_id"]});
    let (mut here, mut above, mut there) = (Phone::new(&cadre), Phone::new(&junxi), Phone::new(&far));
    here.until(&t, |phone| phone.count("household") == 6 && phone.count("visit_task") == 6).await;
    above.until(&t, |phone| phone.count("household") == 6 && phone.count("visit_task") == 6).await;
    there.until(&t, |phone| phone.count("household") == 2 && phone.count("visit_task") == 2).await;
    let told = |phone: &mut Phone| -> BTreeSet<(String, bool)> {
        let told = phone.told.drain(..).filter(|item| item["entity"] == "household");
        told.map(|item| (item["id"].as_str().expect("an id").to_owned(), item["gone"] == true)).collect()
    };
    for phone in [&mut here, &mut above, &mut there] {
        phone.told.clear();
    }

    let other = village(&t, "均溪镇");
    let body = json!({"unit_id": other, "name": "甲家", "category_id": monthly});
    let path = format!("/v1/households/{}", id(&homes[0]));
    t.put(&path).by(&junxi).header("if-match", "*").json(body).send().await.ok();
    tell(&t, &junxi, &homes[1], "hand_over", json!({"holder_id": cadre.subject})).await.ok();
    let merge = json!({"duplicate_id": homes[2]["id"], "reason": "重复登记"});
    tell(&t, &junxi, &homes[3], "merge", merge).await.ok();
    t.post(&format!("/v1/household-imports/{}/undo", id(&import))).by(&junxi).json(json!({})).send().await.ok();
    let partners = t.get(&format!("/v1/households/{}/partners", id(&homes[4]))).by(&junxi).send().await.ok();
    let end = format!("partners/{}/end", id(&partners["items"][0]));
    tell(&t, &junxi, &homes[4], &end, json!({})).await.ok();

    there.until(&t, |phone| phone.count("household") == 0 && phone.count("visit_task") == 0).await;
    assert_eq!(told(&mut there), BTreeSet::from([(id(&homes[1]), true), (id(&homes[4]), true)]));
    // Moved, merged, undone; the others stay.
    here.until(&t, |phone| phone.count("household") == 3 && phone.count("visit_task") == 3).await;
    let gone: BTreeSet<_> = told(&mut here).into_iter().filter(|(_, gone)| *gone).map(|(id, _)| id).collect();
    assert_eq!(gone, BTreeSet::from([id(&homes[0]), id(&homes[2]), id(&imported)]));
    above.until(&t, |phone| phone.count("household") == 4 && phone.count("visit_task") == 4).await;
    above.until(&t, |phone| phone.get("household", &id(&homes[0]))["unit_id"] == json!(other)).await;
    above.until(&t, |phone| phone.get("household", &id(&homes[1]))["holder_id"] == json!(cadre.subject)).await;
    for phone in [&mut here, &mut above, &mut there] {
        agree(&t, phone).await;
    }
    t.run_jobs().await;
}

const WRITERS: usize = 4;
const PHONES: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Command {
    /// A writer creates one in a village, held by somebody or whoever is there, in a category or none.
    Create(usize, usize, usize, bool),
    /// It does something to one of those that are there, with one of these numbers.
    Do(usize, usize, Act, usize),
    Commit(usize),
    Rollback(usize),
    Pull(usize, usize),
    Restart(usize),
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Move,
    HandOver,
    Category,
    Partner,
    EndPartner,
    Close,
    Reopen,
    Visit,
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let (writer, phone) = (0..WRITERS, 0..PHONES);
    let act = prop_oneof![
        2 => Just(Act::Move),
        2 => Just(Act::HandOver),
        2 => Just(Act::Category),
        4 => Just(Act::Partner),
        1 => Just(Act::EndPartner),
        1 => Just(Act::Close),
        2 => Just(Act::Reopen),
        6 => Just(Act::Visit),
    ];
    let command = prop_oneof![
        5 => (writer.clone(), 0..3usize, 0..4usize, prop::bool::weighted(0.8)).prop_map(|(writer, unit, holder, due)| Command::Create(writer, unit, holder, due)),
        12 => (writer.clone(), 0..100usize, act, 0..12usize).prop_map(|(writer, which, act, with)| Command::Do(writer, which, act, with)),
        6 => writer.clone().prop_map(Command::Commit),
        1 => writer.prop_map(Command::Rollback),
        8 => (phone.clone(), 1..6usize).prop_map(|(phone, limit)| Command::Pull(phone, limit)),
        1 => phone.prop_map(Command::Restart),
    ];
    prop::collection::vec(command, 30..100)
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

struct World {
    writers: Vec<Writer>,
    villages: [Uuid; 3],
    staff: [Uuid; 4],
    category: String,
    there: Vec<Uuid>,
    /// Every version that was committed: what phones may be told.
    written: BTreeSet<(Uuid, i64)>,
    days: u32,
}

impl World {
    /// Runs something in a writer's transaction, and notes which version it leaves.
    fn run(&mut self, writer: usize, household: Uuid, sql: &str) {
        let of = &mut self.writers[writer];
        of.begin();
        of.conn.batch_execute(sql).expect(sql);
        let version =
            sql_query(format!("SELECT version AS n FROM households WHERE county_id = 1 AND id = '{household}'"));
        let version: Version = version.get_result(&mut of.conn).expect("there");
        of.touched.insert(household, version.n);
    }

    fn create(&mut self, writer: usize, (unit, holder, due): (usize, usize, bool)) {
        let (id, unit) = (Uuid::now_v7(), self.villages[unit]);
        let holder = self.staff.get(holder.wrapping_sub(1)).map_or("NULL".to_owned(), |id| format!("'{id}'"));
        let category = if due { format!("'{}'", self.category) } else { "NULL".to_owned() };
        self.run(
            writer,
            id,
            &format!(
                "INSERT INTO households (county_id, id, unit_id, holder_id, category_id, created_at, updated_at) \
                 VALUES (1, '{id}', '{unit}', {holder}, {category}, '2026-11-23T08:00:00+08:00', '2026-11-23T08:00:00+08:00')"
            ),
        );
    }

    fn act(&mut self, writer: usize, which: usize, act: Act, with: usize) {
        let Some(&id) = self.there.get(which % self.there.len().max(1)) else { return };
        // Another transaction has it: it would be waited for.
        let busy = |(other, of): (usize, &Writer)| other != writer && of.touched.contains_key(&id);
        if self.writers.iter().enumerate().any(busy) {
            return;
        }
        let (village, staff, category) = (self.villages[with % 3], self.staff[with % 4], &self.category);
        let set = |what: String| {
            format!(
                "UPDATE households SET {what}, version = version + 1, updated_at = '2026-11-23T08:00:00+08:00' WHERE county_id = 1 AND id = '{id}'"
            )
        };
        let touch = set("unit_id = unit_id".into());
        let sql = match act {
            Act::Move => set(format!("unit_id = '{village}'")),
            Act::HandOver => set(format!("holder_id = '{staff}'")),
            Act::Category => set(format!("category_id = CASE WHEN category_id IS NULL THEN '{category}'::uuid END")),
            Act::Partner => format!(
                "INSERT INTO visit_partners (county_id, id, household_id, staff_id, from_on, created_by, created_at) SELECT 1, gen_random_uuid(), '{id}', '{staff}', \
                   '2026-11-23', '{staff}', now() WHERE NOT EXISTS (SELECT FROM visit_partners WHERE household_id = '{id}' AND until_on IS NULL); {touch}"
            ),
            Act::EndPartner => {
                format!(
                    "UPDATE visit_partners SET until_on = from_on WHERE household_id = '{id}' AND until_on IS NULL; {touch}"
                )
            }
            Act::Close => set("state = 'closed', closed_on = '2026-11-23'".into()),
            Act::Reopen => set("state = 'active', closed_on = NULL".into()),
            Act::Visit => {
                self.days += 1;
                let day = format!("'2026-11-23'::date + {}", self.days);
                format!("SELECT visit_tasks_resolve(1, '{id}', gen_random_uuid(), {day}, '2026-11-23T08:00:00+08:00')")
            }
        };
        self.run(writer, id, &sql);
    }

    fn end(&mut self, writer: usize, how: &str) {
        for (id, version) in self.writers[writer].end(how) {
            if how == "COMMIT" {
                if !self.there.contains(&id) {
                    self.there.push(id);
                }
                self.written.insert((id, version));
            }
        }
    }

    /// What a phone was told since, was written.
    fn check(&self, phone: &mut Phone) {
        for item in phone.told.drain(..).filter(|item| item["entity"] == "household" && item["gone"] == false) {
            let id: Uuid = item["id"].as_str().expect("an id").parse().expect("a UUID");
            let version = item["version"].as_i64().expect("a version");
            assert!(self.written.contains(&(id, version)), "made up: {item}");
        }
    }
}

async fn play(t: &TestApp, world: &mut World, sessions: &[Session], commands: &[Command]) {
    let mut phones: Vec<_> = sessions.iter().map(Phone::new).collect();
    // What was there before is known to them; those that begin anew meanwhile meet the writers on their first pages.
    for phone in &mut phones {
        phone.follow(t).await;
        world.check(phone);
    }
    for command in commands {
        match *command {
            Command::Create(writer, unit, holder, due) => world.create(writer, (unit, holder, due)),
            Command::Do(writer, which, act, with) => world.act(writer, which, act, with),
            Command::Commit(writer) => world.end(writer, "COMMIT"),
            Command::Rollback(writer) => world.end(writer, "ROLLBACK"),
            Command::Pull(phone, limit) => {
                phones[phone].pull(t, limit).await;
                world.check(&mut phones[phone]);
            }
            Command::Restart(phone) => phones[phone] = Phone::new(&sessions[phone]),
        }
    }
    for writer in 0..WRITERS {
        world.end(writer, "COMMIT");
    }
    for phone in &mut phones {
        agree(t, phone).await;
        world.check(phone);
    }
}

/// Households that are moved, handed over, closed, visited and given partners by transactions that overlap: whoever follows has what is there.
#[actix_web::test]
async fn whoever_follows_has_the_households_that_are_there() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (_, far) = crate::staff::open(&t, &admin, "far", "township_staff", "石牌镇").await;
    let sessions = [t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await, far];
    let villages = [t.unit("红星村委会").await, village(&t, "均溪镇"), village(&t, "石牌镇")];
    let writers =
        (0..WRITERS).map(|_| Writer { conn: t.database.service(), open: false, touched: BTreeMap::new() }).collect();
    let category: Value = category(&t, "重点关爱户").await;
    let category = category.as_str().expect("an id").to_owned();
    let staff = [0, 1, 2, 3].map(|nth: usize| sessions[nth].subject);
    let (there, written) = (Vec::new(), BTreeSet::new());
    let mut world = World { writers, villages, staff, category, there, written, days: 0 };
    let mut runner = TestRunner::deterministic();
    for _ in 0..16 {
        let commands = commands().new_tree(&mut runner).expect("commands").current();
        play(&t, &mut world, &sessions, &commands).await;
    }
    assert!(world.there.len() > 20, "{}", world.there.len());
    t.run_jobs().await;
}
