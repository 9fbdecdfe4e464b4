//! Errands: lists and searches of a township with ten thousand and with a million behind the county.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use diesel::{Connection, PgConnection, connection::SimpleConnection};
use lianxin::{
    clock::{Clock, local_date},
    errands::{
        lists::{self, Asked, Filter, Of, Sort},
        model::ErrandState,
    },
    http::page::After,
    sample,
};
use uuid::Uuid;

use crate::{
    ROUNDS, Subject,
    database::Database,
    load::{Measured, Turn},
    moves,
    process::{self, Amounts, Server},
    report::{Case, Round},
    story, wire,
};

const FEW: usize = 10_000;
const MANY: usize = 1_000_000;
/// As many are open in both.
const OPEN: usize = 2_000;

/// A search by name.
struct Search {
    name: &'static str,
    state: Option<ErrandState>,
    limit: i64,
    aim: Option<f64>,
}

/// The same answer from both counties, a line or two, has the aim. A full page of what is over is another answer than the line or two
/// that there is of a name in the small one: what it costs more is mostly its lines, so it has none.
const SEARCHED: [Search; 3] = [
    Search {
        name: "errands in hand by name among 1,000,000 (one connection)",
        state: Some(ErrandState::Handling),
        limit: 20,
        aim: Some(0.67),
    },
    Search { name: "all errands of a name, the first one or two of both", state: None, limit: 1, aim: Some(0.67) },
    Search { name: "all errands of a name, a page of 20 against one or two", state: None, limit: 20, aim: None },
];

/// Searches by name of one measurement, on one connection.
const SEARCHES: usize = 2_000;
/// Requests that take turns.
const SAMPLES: usize = 1_000;

pub struct County {
    /// Ends before its database.
    pub server: Server,
    pub database: Database,
    pub unit: String,
    pub token: String,
}

impl County {
    pub fn generate(amounts: Amounts, command: &str) -> Result<Self> {
        let database = Database::create()?;
        process::generate(&database, Amounts { past_appointments: 2_000, ..amounts })?;
        let server = Server::start(command, &database)?;
        server.ready()?;
        let unit = database.text("SELECT id::text AS value FROM units WHERE name = '均溪镇' AND level = 'township'")?;
        let token = story::township_staff(&server)?;
        database.settle()?;
        Ok(Self { server, database, unit, token })
    }

    /// What the township's staff look at: what is in hand, what is nearly late, what is due first.
    fn pages(&self) -> Result<Vec<Vec<u8>>> {
        let queries = ["state=handling", "state=archived", "lamp=yellow", "lamp=red&sort=due_on", "sort=due_on", ""];
        let page = |query: &&str| {
            let path = format!("/v1/errands?unit_id={}&{query}", self.unit);
            wire::request("GET", &path, Some(&self.token), None, None)
        };
        let pages: Vec<_> = queries.iter().map(page).collect();
        for page in &pages {
            let view = wire::json(self.server.address, page, 200)?;
            let shown = view["items"].as_array().map_or(0, Vec::len);
            ensure!(shown >= 5, "only {shown} errands: {}", String::from_utf8_lossy(page));
        }
        Ok(pages)
    }

    /// Of the township's villages, drawn by the hash of what they are.
    fn of_township(&self, what: &str, only: &str) -> Result<Vec<String>> {
        self.database.texts(&format!(
            "SELECT value FROM (SELECT DISTINCT {what} AS value FROM errands e JOIN units u ON u.id = e.unit_id JOIN residents p ON p.id = e.resident_id \
             WHERE u.parent_id = '{}'{only}) v ORDER BY md5(value) LIMIT {SAMPLES}",
            self.unit
        ))
    }

    fn numbers(&self) -> Result<Vec<Vec<u8>>> {
        let ask = |number: &String| {
            wire::request("GET", &format!("/v1/errands?number={number}"), Some(&self.token), None, None)
        };
        Ok(self.of_township("e.number", "")?.iter().map(ask).collect())
    }

    /// By the program's statement: over HTTP a member of staff may search 30 times a minute.
    fn search(&self, Search { state, limit, .. }: &Search) -> Result<Measured> {
        let only = state.map_or(String::new(), |state| format!(" AND e.state = '{}'", state.as_str()));
        let names = self.of_township("encode(p.name_index, 'hex')", &only)?;
        let names: Vec<Vec<u8>> = names.iter().map(hex::decode).collect::<Result<_, _>>()?;
        let county = format!("SELECT id::text AS value FROM counties WHERE key = '{}'", sample::COUNTY);
        let (county, unit): (i32, Uuid) = (self.database.text(&county)?.parse()?, self.unit.parse()?);
        let mut conn = PgConnection::establish(&self.database.service_url)?;
        conn.batch_execute("SET plan_cache_mode = force_generic_plan; SET jit = off")?;
        let asked = Asked {
            county,
            of: Of::Unit(unit),
            me: None,
            within: Some(unit),
            name: None,
            filter: Filter { state: *state, ..Filter::default() },
            sort: Sort::CreatedAt,
            today: local_date(Clock::System.now()),
        };
        let mut latencies = Vec::with_capacity(SEARCHES);
        // The first time each is looked for is for warming up, as in the load over HTTP.
        for number in 0..names.len() + SEARCHES {
            let asked = Asked { name: Some(vec![names[number % names.len()].clone()]), ..asked.clone() };
            let begun = Instant::now();
            let found = lists::list(&mut conn, &asked, After::START, *limit)?;
            if number >= names.len() {
                latencies.push(begun.elapsed());
            }
            ensure!(!found.is_empty(), "a name of the township is not found there");
        }
        latencies.sort_unstable();
        let all: Duration = latencies.iter().sum();
        let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
        Ok(Measured { rate: SEARCHES as f64 / all.as_secs_f64(), p50: at(0.5), p99: at(0.99) })
    }
}

fn tail(measured: &Measured) -> Option<f64> {
    Some(measured.p99.as_secs_f64() / measured.p50.as_secs_f64())
}

/// The same requests of both, in turns.
fn beside(few: &mut Subject, many: &mut Subject, theirs: &[Vec<u8>], ours: &[Vec<u8>]) -> Result<Round> {
    fn next(requests: &[Vec<u8>]) -> impl Fn(Turn, &mut Vec<u8>) -> Result<()> + Sync + '_ {
        |turn, into| {
            into.extend_from_slice(&requests[(turn.connection * 31 + turn.nth) % requests.len()]);
            Ok(())
        }
    }
    let theirs = few.load(&[200], &next(theirs))?;
    Ok(Round { theirs: theirs.rate, their_tail: tail(&theirs), ours: many.load(&[200], &next(ours))? })
}

pub fn cases(peak_kib: &mut u64) -> Result<Vec<Case>> {
    println!("two counties are generated, one with {MANY} errands behind it");
    let amounts = |past_errands| Amounts { past_errands, open_errands: OPEN, ..Amounts::default() };
    let (few, many) = (County::generate(amounts(FEW), "serve")?, County::generate(amounts(MANY), "serve")?);
    println!("lists of a township, and searches, in both");
    let (few_pages, many_pages) = (few.pages()?, many.pages()?);
    let (few_numbers, many_numbers) = (few.numbers()?, many.numbers()?);
    let (mut pages, mut numbers, mut searched) = (Vec::new(), Vec::new(), SEARCHED.map(|_| Vec::new()));
    for _ in 0..ROUNDS {
        for (search, rounds) in SEARCHED.iter().zip(&mut searched) {
            let (theirs, ours) = (few.search(search)?, many.search(search)?);
            println!("  {:.0}/s, by name in the other {:.0}/s", ours.rate, theirs.rate);
            rounds.push(Round { theirs: theirs.rate, their_tail: tail(&theirs), ours });
        }
    }
    let County { server, database: _few, .. } = few;
    let mut few = Subject { server, peak_kib: &mut 0 };
    let mut most = 0;
    let County { server, database, unit, token } = many;
    let mut many = Subject { server, peak_kib: &mut most };
    for _ in 0..ROUNDS {
        pages.push(beside(&mut few, &mut many, &few_pages, &many_pages)?);
        numbers.push(beside(&mut few, &mut many, &few_numbers, &many_numbers)?);
    }
    drop(few);
    let accept = moves::accept(&mut many, &database, &unit, &token)?;
    drop(many);
    *peak_kib = most.max(*peak_kib);
    let against = "the same with 10,000";
    let mut cases = vec![
        Case {
            name: "a page of a township's errands (state, lamp, due first), with 1,000,000 errands",
            against,
            aim: Some(0.67),
            rounds: pages,
        },
        Case { name: "an errand by its number among 1,000,000", against, aim: Some(0.67), rounds: numbers },
    ];
    cases.extend(SEARCHED.iter().zip(searched).map(|(search, rounds)| Case {
        name: search.name,
        against,
        aim: search.aim,
        rounds,
    }));
    cases.push(accept);
    cases.extend(moves::while_deadlines_are_counted()?);
    Ok(cases)
}
