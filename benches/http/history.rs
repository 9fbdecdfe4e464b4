//! The same county with two thousand and with two million appointments behind it: what is over must cost nothing.

use crate::{
    ROUNDS, Subject,
    database::Database,
    process::{self, Amounts, Server},
    report::{Case, Round},
    story::{self, Bookings, Story},
    wire,
};
use anyhow::{Context, Result, ensure};

const FEW: usize = 2_000;
const MANY: usize = 2_000_000;

/// Bookings on the day that is looked at.
const BOOKED: usize = 400;

struct County {
    /// Ends before its database.
    server: Server,
    story: Story,
    database: Database,
    day: Vec<u8>,
}

impl County {
    fn generate(past: usize) -> Result<Self> {
        let database = Database::create()?;
        process::generate(&database, Amounts { past_appointments: past, ..Amounts::default() })?;
        database.open_up()?;
        // With the fake WeChat, for logging in.
        let server = Server::start("run", &database)?;
        server.ready()?;
        let story = Story::play(&server, &database)?;
        drop(server);
        let server = Server::start("serve", &database)?;
        server.ready()?;
        let day = story.last_day().context("no days")?.to_owned();
        fill(&database, &story.unit, &day)?;
        database.settle()?;
        let day = request(&server, &story.unit, &day)?;
        Ok(Self { server, story, database, day })
    }
}

/// A day of the centre with as many bookings as it has in all.
fn fill(database: &Database, unit: &str, day: &str) -> Result<()> {
    let there = format!("appointments WHERE unit_id = '{unit}' AND on_date = '{day}'");
    let wanted = BOOKED as i64 - database.count(&there)?;
    ensure!(wanted > 0, "the day is full already");
    let at = format!("timestamptz '{day} 09:00 +08'");
    database.run(&format!(
        "INSERT INTO appointments (county_id, id, unit_id, window_id, matter_id, resident_id, channel, on_date, starts_at, ends_at, \
           busy_from, busy_until, capacity, capacity_total, state, created_at, updated_at) \
         SELECT p.county_id, gen_random_uuid(), '{unit}', w.id, m.id, p.id, 'public', '{day}', {at}, {at} + interval '30 minutes', \
           {at}, {at} + interval '30 minutes', 1000, 1002, 'booked', now(), now() \
         FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM residents WHERE wechat_openid IS NULL ORDER BY id LIMIT {wanted}) p \
         JOIN (SELECT *, row_number() OVER (ORDER BY id) AS n FROM windows WHERE unit_id = '{unit}') w ON w.n = 1 + p.n % 12 \
         CROSS JOIN (SELECT id FROM matters ORDER BY id LIMIT 1) m"
    ))
}

/// The request for the day, by the township's staff.
fn request(server: &Server, unit: &str, day: &str) -> Result<Vec<u8>> {
    let token = story::township_staff(server)?;
    let request = wire::request("GET", &format!("/v1/units/{unit}/day?date={day}"), Some(&token), None, None);
    let view = wire::json(server.address, &request, 200)?;
    let count = |list: &str| view[list].as_array().map_or(0, Vec::len);
    ensure!(
        (count("windows"), count("appointments")) == (12, BOOKED),
        "not the day that was meant: {} windows, {} bookings",
        count("windows"),
        count("appointments")
    );
    Ok(request)
}

pub fn two_million(peak_kib: &mut u64) -> Result<[Case; 2]> {
    println!("two counties are generated, one with {MANY} appointments behind it");
    let (few, many) = (County::generate(FEW)?, County::generate(MANY)?);
    let (few_bookings, many_bookings) = (Bookings::new(&few.story), Bookings::new(&many.story));
    println!("the day of a centre, and booking, in both");
    let (mut days, mut bookings) = (Vec::new(), Vec::new());
    let County { server, database, day, .. } = few;
    let mut few = Subject { server, peak_kib: &mut 0 };
    let mut most = 0;
    let mut much = Subject { server: many.server, peak_kib: &mut most };
    for _ in 0..ROUNDS {
        let look = |request: &Vec<u8>, into: &mut Vec<u8>| {
            into.extend_from_slice(request);
            Ok(())
        };
        let theirs = few.load(&[200], &|_, into| look(&day, into))?;
        let ours = much.load(&[200], &|_, into| look(&many.day, into))?;
        days.push(Round { theirs: theirs.rate, their_tail: Some(tail(&theirs)), ours });
        for database in [&database, &many.database] {
            database.settle()?;
        }
        let theirs = few.load(&[201], &|turn, into| few_bookings.write(turn, into))?;
        let ours = much.load(&[201], &|turn, into| many_bookings.write(turn, into))?;
        bookings.push(Round { theirs: theirs.rate, their_tail: Some(tail(&theirs)), ours });
    }
    drop((few, much));
    *peak_kib = most.max(*peak_kib);
    let against = "the same with 2,000 behind it";
    Ok([
        Case {
            name: "a centre's day, 12 windows and 400 bookings, with 2,000,000 past appointments",
            against,
            aim: Some(0.8),
            rounds: days,
        },
        Case { name: "booking with 2,000,000 past appointments", against, aim: Some(0.83), rounds: bookings },
    ])
}

fn tail(measured: &crate::load::Measured) -> f64 {
    measured.p99.as_secs_f64() / measured.p50.as_secs_f64()
}
