//! Finding one resident among many, and reading while others log in.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use diesel::{Connection, PgConnection};
use lianxin::{
    http::caller::{Reach, Scope},
    people::store::{By, find_by},
    sample,
};

use crate::{
    Subject,
    database::Database,
    load::{Load, Measured, Turn},
    report::{Case, Round, median},
    story::Story,
    wire::request,
};

/// As many as live in the county.
const MANY: usize = 400_000;
/// Lookups of one measurement, each for another phone.
const LOOKUPS: usize = 4_000;

/// Residents whose phones are found by an index of the number of the row.
fn fill(database: &Database, from: usize, to: usize) -> Result<()> {
    database.run(&format!(
        "INSERT INTO residents (county_id, id, unit_id, phone, phone_index, id_number, id_number_index, identity_level, registered_by, created_at, updated_at) \
         SELECT c.id, ('00000000-0000-4000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, u.id, '\\x01'::bytea, decode(lpad(to_hex(n), 34, '0'), 'hex'), \
                '\\x01'::bytea, decode('01' || lpad(to_hex(n), 32, '0'), 'hex'), 'officer', s.id, now(), now() \
         FROM generate_series({from}, {to} - 1) n, counties c \
         JOIN LATERAL (SELECT id FROM units WHERE county_id = c.id AND level = 'village' LIMIT 1) u ON true \
         JOIN LATERAL (SELECT id FROM staff WHERE county_id = c.id LIMIT 1) s ON true WHERE c.key = '{}'",
        sample::COUNTY
    ))?;
    database.run("VACUUM ANALYZE residents")
}

/// Finds people by phone, one after another, with the statement of the program.
fn look_up(database: &Database, known: usize) -> Result<Measured> {
    let county: i32 =
        database.text(&format!("SELECT id::text AS value FROM counties WHERE key = '{}'", sample::COUNTY))?.parse()?;
    let mut conn = PgConnection::establish(&database.service_url)?;
    let scope = Scope { county, reach: Reach::County };
    let mut latencies = Vec::with_capacity(LOOKUPS);
    for number in 0..LOOKUPS {
        let index = hex::decode(format!("{:0>34x}", number * 97 % known))?;
        let begun = Instant::now();
        let found = find_by(&mut conn, scope, &By::Phone(vec![index]))?;
        latencies.push(begun.elapsed());
        ensure!(found.len() == 1, "{} people have the phone of one", found.len());
    }
    latencies.sort_unstable();
    let all: Duration = latencies.iter().sum();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
    Ok(Measured { rate: LOOKUPS as f64 / all.as_secs_f64(), p50: at(0.5), p99: at(0.99) })
}

/// The same statement among 1,000 and among 400,000.
pub fn among_many(database: &Database) -> Result<Case> {
    println!("a resident by phone among {MANY}");
    let few = 1_000;
    fill(database, 0, few)?;
    let mut theirs = Vec::new();
    for _ in 0..3 {
        theirs.push(look_up(database, few)?.rate);
    }
    fill(database, few, MANY)?;
    let theirs = median(theirs);
    let mut rounds = Vec::new();
    for _ in 0..3 {
        rounds.push(Round { theirs, their_tail: None, ours: look_up(database, MANY)? });
    }
    let name = "finding a resident by phone among 400,000 (one connection)";
    Ok(Case { name, against: "the same statement among 1,000", aim: Some(0.7), rounds })
}

/// Reads by key while as many connections as those of the readers do nothing but log in.
pub fn reading_while_others_log_in(subject: &mut Subject, story: &Story, quiet: &Case) -> Result<Case> {
    println!("a read by key, while others log in");
    let reads = story.reads();
    let read = |turn: Turn, into: &mut Vec<u8>| {
        into.extend_from_slice(&reads[(turn.connection * 31 + turn.nth) % reads.len()]);
        Ok(())
    };
    // A new name each time: nobody is locked, and a name that does not exist takes as long as one that does.
    let log_in = |turn: Turn, into: &mut Vec<u8>| {
        let (county, username) = (sample::COUNTY, format!("nobody-{}-{}", turn.connection, turn.nth));
        let body =
            format!(r#"{{"county":"{county}","username":"{username}","password":"guess","role":"village_cadre"}}"#);
        into.extend(request("POST", "/v1/sessions/staff", None, None, Some(&body)));
        Ok(())
    };
    let address = subject.server.address;
    let ours = std::thread::scope(|scope| {
        let logins = scope.spawn(move || Load { address, expected: &[401], next: &log_in }.run(|| {}));
        let ours = subject.load(&[200], &read);
        let logins = logins.join().ok().context("the logins panicked")??;
        println!("  {:.0} logins a second meanwhile", logins.rate);
        ours
    })?;
    let theirs = median(quiet.rounds.iter().map(|round| round.ours.rate).collect());
    let rounds = vec![Round { theirs, their_tail: None, ours }];
    let name = "read by key while 32 connections log in";
    Ok(Case { name, against: "the same while nobody logs in", aim: Some(0.5), rounds })
}

/// What the benchmark's residents accepted: their messages go out by WeChat.
pub fn grants(database: &Database) -> Result<()> {
    database.run(
        "INSERT INTO message_grants (county_id, id, resident_id, template_id, granted_at) \
         SELECT r.county_id, gen_random_uuid(), r.id, 'fake-template-booked', now() FROM residents r, generate_series(1, 200) \
         WHERE r.wechat_openid IS NOT NULL",
    )
}
