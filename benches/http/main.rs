//! `make bench`: our endpoints against a constant handler and against pgbench, measured in one run and told as ratios.
//!
//! Absolute numbers say more about the machine than about the program. So every case is measured beside what it could be at
//! best on this machine, in turns (theirs, ours, theirs, ours, …), and the median of the ratios counts: whatever disturbs
//! the machine disturbs both. A missed aim is reported and does not fail; anything that is not the expected answer does.
#![allow(
    clippy::disallowed_methods,
    reason = "this stands outside the program: it prepares and counts in its own database"
)]

mod baseline;
mod database;
mod errands;
mod history;
mod hot;
mod load;
mod moves;
mod orders;
mod people;
mod pgbench;
mod process;
mod report;
mod story;
mod visits;
mod wire;

use anyhow::{Context, Result, bail, ensure};

use database::Database;
use load::{Load, Measured};
use process::Server;
use report::{Case, Report, Round, median};
use story::{Bookings, Story};

/// The server's own, so that the constant handler has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often each case and its baseline take turns.
const ROUNDS: usize = 3;

const CACHED: &str = "/v1/matters?county=350425";

/// A server under load, and the most memory it was seen to use.
struct Subject<'a> {
    server: Server,
    peak_kib: &'a mut u64,
}

impl Subject<'_> {
    fn load(&mut self, expected: &[u16], next: &load::Next) -> Result<Measured> {
        let Self { server, peak_kib } = self;
        let measured = Load { address: server.address, expected, next }.run(|| {
            // A process that has ended shows as a failing request.
            **peak_kib = server.resident_kib().unwrap_or_default().max(**peak_kib);
        });
        let measured = measured.context("our server")?;
        println!("  {:.0}/s; highest so far {} MiB", measured.rate, **peak_kib / 1024);
        Ok(measured)
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    if let (Some(baseline::ARGUMENT), Some(length)) = (arguments.next().as_deref(), arguments.next()) {
        return baseline::serve(length.parse()?);
    }
    Database::sweep()?;
    let database = Database::create()?;
    let mut report = Report::new(database.settings()?);
    println!("the first start migrates and loads the sample county");
    Server::start("run", &database)?.ready()?;
    database.open_up()?;
    match std::env::var("ONLY").as_deref() {
        Ok("hot") => {
            let story = Story::play(&ready("run", &database)?, &database)?;
            let fixture = pgbench::Fixture::prepare(&database, &story)?;
            // As in the whole run: among thousands of others.
            let mut subject = Subject { server: ready("serve", &database)?, peak_kib: &mut report.peak_kib };
            booking(&mut subject, &Bookings::new(&story), &fixture)?;
            drop(subject);
            hot_slot(&database, &story, &fixture, &mut report)?;
        }
        Ok("history") => report.cases.extend(history::two_million(&mut report.peak_kib)?),
        Ok("errands") => report.cases.extend(errands::cases(&mut report.peak_kib)?),
        Ok("orders") => report.cases.extend(orders::cases(&mut report.peak_kib)?),
        Ok("visits") => report.cases.extend(visits::cases(&mut report.peak_kib)?),
        Ok(other) if !other.is_empty() => bail!("ONLY is hot, history, errands, orders or visits, not {other}"),
        _ => return whole(&database, report),
    }
    // Part of the picture only: nothing to keep.
    println!("\n{report}");
    Ok(())
}

fn ready(command: &str, database: &Database) -> Result<Server> {
    let server = Server::start(command, database)?;
    server.ready()?;
    Ok(server)
}

fn whole(database: &Database, mut report: Report) -> Result<()> {
    measure(database, &mut report)?;
    let text = report.to_string();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results.md");
    std::fs::write(path, &text).with_context(|| path.to_owned())?;
    println!("\n{text}");
    Ok(())
}

fn measure(database: &Database, report: &mut Report) -> Result<()> {
    println!("start to ready");
    let mut starts = Vec::new();
    let mut server = None;
    for _ in 0..ROUNDS {
        drop(server.take());
        let started = Server::start("run", database)?;
        starts.push(started.ready()?.as_secs_f64());
        server = Some(started);
    }
    report.start_seconds = median(starts);
    let server = server.context("there is at least one round")?;

    println!("residents log in, and each books one appointment");
    let story = Story::play(&server, database)?;
    let fixture = pgbench::Fixture::prepare(database, &story)?;
    database.wait_for_jobs()?;
    people::grants(database)?;
    let mut subject = Subject { server, peak_kib: &mut report.peak_kib };
    report.cases.push(cached_read(&mut subject)?);
    let quiet = read_by_key(&mut subject, &story, &fixture)?;
    let disturbed = people::reading_while_others_log_in(&mut subject, &story, &quiet)?;
    report.cases.extend([quiet, disturbed]);
    drop(subject);

    // The server alone: pgbench's outbox rows stay where they are too. The worker has its own case after this.
    let bookings = Bookings::new(&story);
    let mut subject = Subject { server: ready("serve", database)?, peak_kib: &mut report.peak_kib };
    let booked = booking(&mut subject, &bookings, &fixture)?;
    drop(subject);

    println!("booking, with the worker in the same process");
    database.settle()?;
    let mut subject = Subject { server: ready("run", database)?, peak_kib: &mut report.peak_kib };
    let ours = subject.load(&[201], &|turn, into| bookings.write(turn, into))?;
    let theirs = median(booked.rounds.iter().map(|round| round.theirs).collect());
    report.cases.push(booked);
    report.cases.push(Case {
        name: "booking, worker in the same process (`run`)",
        against: "pgbench, same statements; nobody does its jobs",
        aim: None,
        rounds: vec![Round { theirs, their_tail: None, ours }],
    });
    drop(subject);

    hot_slot(database, &story, &fixture, report)?;
    report.cases.extend(history::two_million(&mut report.peak_kib)?);
    report.cases.extend(errands::cases(&mut report.peak_kib)?);
    report.cases.extend(orders::cases(&mut report.peak_kib)?);
    report.cases.extend(visits::cases(&mut report.peak_kib)?);
    // Last, because hundreds of thousands of rows change what else is in memory.
    report.cases.push(people::among_many(database)?);
    Ok(())
}

fn hot_slot(database: &Database, story: &Story, fixture: &pgbench::Fixture, report: &mut Report) -> Result<()> {
    database.settle()?;
    let mut subject = Subject { server: ready("serve", database)?, peak_kib: &mut report.peak_kib };
    report.cases.extend(hot::slot(&mut subject, story, fixture)?);
    Ok(())
}

/// An answer from memory, against a handler that does nothing but answer as many bytes.
fn cached_read(subject: &mut Subject) -> Result<Case> {
    println!("a read answered from cache");
    let request = wire::request("GET", CACHED, None, None, None);
    let (status, body) = wire::ask(subject.server.address, &request)?;
    ensure!(status == 200, "{CACHED} answers {status}");
    let constant = Server::baseline(body.len())?;
    let next = |_, into: &mut Vec<u8>| {
        into.extend_from_slice(&request);
        Ok(())
    };
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let theirs = Load { address: constant.address, expected: &[200], next: &next };
        let theirs = theirs.run(|| {}).context("the constant handler")?;
        let their_tail = Some(theirs.p99.as_secs_f64() / theirs.p50.as_secs_f64());
        rounds.push(Round { theirs: theirs.rate, their_tail, ours: subject.load(&[200], &next)? });
    }
    let against = "actix-web handler, constant of the same size";
    Ok(Case { name: "read answered from cache (`GET /v1/matters`)", against, aim: Some(0.5), rounds })
}

/// An appointment by its id, read by its resident.
fn read_by_key(subject: &mut Subject, story: &Story, fixture: &pgbench::Fixture) -> Result<Case> {
    println!("a read by key");
    let requests = story.reads();
    let next = |turn: load::Turn, into: &mut Vec<u8>| {
        into.extend_from_slice(&requests[(turn.connection * 31 + turn.nth) % requests.len()]);
        Ok(())
    };
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let theirs = fixture.read()?;
        rounds.push(Round { theirs, their_tail: None, ours: subject.load(&[200], &next)? });
    }
    let against = "pgbench, same statement";
    Ok(Case { name: "read by key (`GET /v1/appointments/{id}`)", against, aim: Some(0.35), rounds })
}

/// Bookings that all succeed, each with a new key.
fn booking(subject: &mut Subject, bookings: &Bookings, fixture: &pgbench::Fixture) -> Result<Case> {
    println!("booking");
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        fixture.database.settle()?;
        let theirs = fixture.book(round)?;
        fixture.database.settle()?;
        let ours = subject.load(&[201], &|turn, into| bookings.write(turn, into))?;
        rounds.push(Round { theirs, their_tail: None, ours });
    }
    let against = "pgbench, same statements";
    Ok(Case { name: "booking (`POST /v1/appointments`)", against, aim: Some(0.7), rounds })
}
