//! Random writers whose transactions overlap, some slow and some given up, against phones that follow: no change is missed, none is made up.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use diesel::{PgConnection, connection::SimpleConnection};
use lianxin::{
    error::Text,
    http::caller::{Reach, Scope},
    todos::{Kind, NewTodo, store},
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    harness::{NOW, TestApp, at},
    sync::Phone,
};

const WRITERS: usize = 4;
const PHONES: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Command {
    /// A writer opens one, of the village, the township or nobody, held by somebody or by nobody.
    Open(usize, usize, usize),
    /// It gives one of those there are to somebody, or back.
    Hold(usize, usize, usize),
    Done(usize, usize),
    /// It ends its transaction; until then everything stays open.
    Commit(usize),
    Rollback(usize),
    /// A phone asks for so much.
    Pull(usize, usize),
    /// A phone begins anew.
    Restart(usize),
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let (writer, phone) = (0..WRITERS, 0..PHONES);
    let command = prop_oneof![
        5 => (writer.clone(), 0..3usize, 0..4usize).prop_map(|(writer, unit, holder)| Command::Open(writer, unit, holder)),
        6 => (writer.clone(), 0..100usize, 0..4usize).prop_map(|(writer, which, holder)| Command::Hold(writer, which, holder)),
        3 => (writer.clone(), 0..100usize).prop_map(|(writer, which)| Command::Done(writer, which)),
        6 => writer.clone().prop_map(Command::Commit),
        1 => writer.prop_map(Command::Rollback),
        8 => (phone.clone(), 1..6usize).prop_map(|(phone, limit)| Command::Pull(phone, limit)),
        1 => phone.prop_map(Command::Restart),
    ];
    prop::collection::vec(command, 30..120)
}

/// A connection, and what its open transaction has written.
pub struct Writer {
    pub conn: PgConnection,
    pub open: bool,
    pub touched: BTreeMap<Uuid, i64>,
}

impl Writer {
    pub fn begin(&mut self) {
        if !self.open {
            self.conn.batch_execute("BEGIN").expect("begun");
            self.open = true;
        }
    }

    pub fn end(&mut self, how: &str) -> BTreeMap<Uuid, i64> {
        if self.open {
            self.conn.batch_execute(how).expect(how);
            self.open = false;
        }
        std::mem::take(&mut self.touched)
    }
}

struct World {
    writers: Vec<Writer>,
    units: [Option<Uuid>; 3],
    holders: [Option<Uuid>; 4],
    /// Every todo that was committed.
    there: Vec<Uuid>,
    /// Every version that was committed: what phones may be told.
    written: BTreeSet<(Uuid, i64)>,
}

impl World {
    /// One of those there are, unless another transaction has it: it would be waited for.
    fn pick(&self, writer: usize, which: usize) -> Option<Uuid> {
        let id = *self.there.get(which % self.there.len().max(1))?;
        let busy = |(other, of): (usize, &Writer)| other != writer && of.touched.contains_key(&id);
        (!self.writers.iter().enumerate().any(busy)).then_some(id)
    }

    fn open(&mut self, writer: usize, unit: usize, holder: usize) {
        let (unit, holder) = (self.units[unit], self.holders[holder]);
        let title = Text::fixed("看看", "have a look");
        let new = NewTodo {
            county: 1,
            kind: Kind::Call,
            unit,
            resident: None,
            about: None,
            title,
            holder,
            due_at: None,
            created_by: None,
        };
        let of = &mut self.writers[writer];
        of.begin();
        let todo = store::open(&mut of.conn, new, at(NOW)).expect("written").expect("about nothing");
        of.touched.insert(todo.id, todo.version);
    }

    fn act(&mut self, writer: usize, which: usize, holder: Option<usize>) {
        let Some(id) = self.pick(writer, which) else { return };
        let by = self.holders[1].expect("somebody");
        let order = match holder {
            Some(holder) => store::Move::Hold(self.holders[holder]),
            None => store::Move::Done(b"sealed".to_vec()),
        };
        let of = &mut self.writers[writer];
        of.begin();
        let scope = Scope { county: 1, reach: Reach::County };
        let todo = store::lock(&mut of.conn, scope, by, id).expect("read").expect("there");
        let waits = lianxin::todos::model::TodoState::WAITING.contains(&todo.state);
        let moved = waits.then(|| store::apply(&mut of.conn, &todo, order, by, at(NOW)).expect("written"));
        // Locked it is either way, until the transaction ends.
        of.touched.insert(id, moved.map_or(todo.version, |moved| moved.version));
    }

    fn end(&mut self, writer: usize, how: &str) {
        let touched = self.writers[writer].end(how);
        if how == "COMMIT" {
            for (id, version) in touched {
                if !self.there.contains(&id) {
                    self.there.push(id);
                }
                self.written.insert((id, version));
            }
        }
    }

    /// What a phone was told since, was written, and no later than it was told.
    fn check(&self, phone: &mut Phone) {
        for item in phone.told.drain(..).filter(|item| item["entity"] == "todo" && item["gone"] == false) {
            let id: Uuid = item["id"].as_str().expect("an id").parse().expect("a UUID");
            let version = item["version"].as_i64().expect("a version");
            assert!(self.written.contains(&(id, version)), "made up: {item}");
        }
    }
}

async fn play(t: &TestApp, world: &mut World, sessions: &[crate::harness::Session], commands: &[Command]) {
    let mut phones: Vec<_> = sessions.iter().map(Phone::new).collect();
    for command in commands {
        match *command {
            Command::Open(writer, unit, holder) => world.open(writer, unit, holder),
            Command::Hold(writer, which, holder) => world.act(writer, which, Some(holder)),
            Command::Done(writer, which) => world.act(writer, which, None),
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

/// A phone that has followed has what one has that begins anew, once nobody writes any more.
pub async fn agree(t: &TestApp, phone: &mut Phone) {
    let mut anew = Phone::new(&phone.session);
    anew.follow(t).await;
    // Transactions of other tests on the same server hold the feed back for a while; they end.
    let asked = Instant::now();
    while phone.kept != anew.kept && asked.elapsed() < Duration::from_secs(30) {
        phone.follow(t).await;
    }
    let differs = |one: &Phone, other: &Phone| -> Vec<Value> {
        let other = |(key, value): &(&(String, String), &Value)| other.kept.get(*key) != Some(*value);
        one.kept.iter().filter(other).map(|(_, value)| value.clone()).collect()
    };
    assert!(phone.kept == anew.kept, "the phone: {:#?}\nanew: {:#?}", differs(phone, &anew), differs(&anew, phone));
}

/// A phone that follows, in pages of any size, while transactions overlap and end in any order, has in the end what one has that begins anew.
#[actix_web::test]
async fn whoever_follows_has_what_is_there() {
    let t = TestApp::new().await;
    let sessions = [t.staff("cadre").await, t.staff("specialist").await, t.staff("junxi").await];
    let units = [Some(t.unit("红星村委会").await), Some(t.unit("均溪镇").await), None];
    let writer = || Writer { conn: t.database.service(), open: false, touched: BTreeMap::new() };
    let holders = [None, Some(sessions[0].subject), Some(sessions[1].subject), Some(sessions[2].subject)];
    let writers = (0..WRITERS).map(|_| writer()).collect();
    let mut world = World { writers, units, holders, there: Vec::new(), written: BTreeSet::new() };
    let mut runner = TestRunner::deterministic();
    for _ in 0..24 {
        let commands = commands().new_tree(&mut runner).expect("commands").current();
        play(&t, &mut world, &sessions, &commands).await;
    }
    t.run_jobs().await;
}
