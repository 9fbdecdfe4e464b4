//! Moves of errands: against pgbench with the same statements, and while a new calendar moves a hundred thousand deadlines.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lianxin::{
    errands::store::{Find, Write},
    http::idempotency::Gate,
};
use uuid::Uuid;

use crate::{
    ROUNDS, Subject,
    database::Database,
    errands::County,
    load::Measured,
    pgbench,
    process::{Amounts, Server},
    report::{Case, Round},
    wire,
};

/// Submitted errands of one round; neither side comes to the end of them.
const A_ROUND: usize = 40_000;
/// Deadlines that a new calendar moves, and how many of them a second are enough.
const DEADLINES: usize = 100_000;
const ENOUGH: f64 = 5_000.0;

/// The n-th errand that was made here; so its number is known without asking.
fn id(number: usize) -> String {
    format!("00000000-0000-7000-8000-{number:012x}")
}

/// Submitted errands that the township's staff answer for, each with the two entries of its ledger.
fn submit(database: &Database, unit: &str, many: usize) -> Result<()> {
    let id = "('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid";
    database.run(&format!(
        "INSERT INTO errands (county_id, id, number, matter_id, matter_version, resident_id, unit_id, decided_by, department_id, kind, state, holder_id, \
           limit_days, submitted_on, due_on, yellow_from, red_from, rung_on, entries, head, version, created_at, updated_at) \
         SELECT c.id, {id}, '260101-' || lpad(n::text, 6, '0'), v.matter_id, v.number, p.ids[1 + n % cardinality(p.ids)], '{unit}', v.decided_by, v.department_id, \
           v.kind, 'submitted', s.id, v.promised_days, current_date, current_date + 7, current_date + 6, current_date + 8, current_date + 6, 2, sha256(n::text::bytea), 2, now(), now() \
         FROM generate_series(0, {many} - 1) n CROSS JOIN (SELECT id FROM counties WHERE key = '350425') c \
         CROSS JOIN LATERAL (SELECT * FROM matter_versions WHERE county_id = c.id AND decided_by = 'township' AND promised_days > 0 ORDER BY matter_id LIMIT 1) v \
         CROSS JOIN (SELECT array_agg(id) AS ids FROM (SELECT id FROM residents ORDER BY id LIMIT 10000) p) p \
         CROSS JOIN LATERAL (SELECT id FROM staff WHERE county_id = c.id AND username = 'junxi') s; \
         INSERT INTO errand_ledger (county_id, errand_id, seq, at, step, from_state, to_state, facts, previous, hash) \
         SELECT c.id, {id}, e.seq, now(), e.step, e.before, e.after, jsonb_build_object('on', current_date, 'days', 5), '\\x00', sha256(n::text::bytea) \
         FROM generate_series(0, {many} - 1) n CROSS JOIN (SELECT id FROM counties WHERE key = '350425') c \
         CROSS JOIN (VALUES (1, 'file', NULL, 'draft'), (2, 'submit', 'draft', 'submitted')) e (seq, step, before, after)"
    ))?;
    database.settle()
}

/// The request that accepts one.
fn accepts(token: &str, number: usize) -> Vec<u8> {
    let (id, key) = (id(number), Uuid::now_v7());
    format!(
        "POST /v1/errands/{id}/accept HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\nif-match: *\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    )
    .into_bytes()
}

/// The statements of an acceptance, as the program makes them.
fn script() -> Result<String> {
    const NONE: &str = "nullif(:none::text, 'none')";
    let id = "('00000000-0000-7000-8000-' || lpad(to_hex(:from::int + :n::int), 12, '0'))::uuid";
    let (uuid, day, bytes) = (format!("{NONE}::uuid"), format!("{NONE}::date"), format!("{NONE}::bytea"));
    let key = "(lpad(to_hex(:from::int + :n::int), 32, '0'))";
    let hash = "sha256((:from::int + :n::int)::text::bytea)";
    let binds = [
        ("lock", ":lock::bigint"),
        ("county", ":county::int"),
        ("caller", ":staff::uuid"),
        ("operation", "'accept_errand'"),
        ("key", key),
        ("id", id),
        ("resident", &uuid),
        ("staff", ":staff::uuid"),
        ("within", ":unit::uuid"),
        ("whole", "false"),
        ("today", "current_date"),
        ("asked", &uuid),
        ("version", "2::bigint"),
        ("state", "'accepted'"),
        ("back_to", NONE),
        ("holder", ":staff::uuid"),
        ("offered_to", &uuid),
        ("department", &uuid),
        ("form", &bytes),
        ("answers", "jsonb_build_object()"),
        ("materials", "jsonb_build_array()"),
        ("supplements", "0::smallint"),
        ("limit_days", "5::smallint"),
        ("submitted_on", "current_date"),
        ("accepted_on", "current_date"),
        ("decided_on", &day),
        ("granted", "nullif(:none::text, 'none')::boolean"),
        ("on_time", "nullif(:none::text, 'none')::boolean"),
        ("due_on", "current_date + 7"),
        ("provisional", "false"),
        ("yellow_from", "current_date + 6"),
        ("red_from", "current_date + 8"),
        ("rung", "0::smallint"),
        ("rung_on", "current_date + 6"),
        ("calendar", "sha256('calendar')"),
        ("seq", "3"),
        ("step", "'accept'"),
        ("actor", ":staff::uuid"),
        ("role", "'township_staff'"),
        ("from_state", "'submitted'"),
        ("facts", "jsonb_build_object('on', current_date, 'days', 5)"),
        ("words_digest", &bytes),
        ("previous", "sha256('previous')"),
        ("hash", hash),
        ("words_id", &uuid),
        ("words", &bytes),
        ("digest", "sha256('digest')"),
        ("status", "200::smallint"),
        ("location", NONE),
        ("etag", "'\"3\"'"),
        ("body", "decode(repeat('5a', 1500), 'hex')"),
        ("answers_now", &uuid),
        ("now", "now()"),
        ("content_salt", &bytes),
        ("parcel", &bytes),
        ("under", &uuid),
    ];
    // Whom somebody asks to take it over, when it is read; the materials that were asked for, when it is written.
    let written = [&[("asked", "array_remove(string_to_array(:none::text, ','), 'none')")][..], &binds[..]].concat();
    let statements = [(Gate::SQL, &binds[..]), (Find::SQL, &binds), (Write::SQL, &written)];
    let filled = statements.map(|(sql, binds)| pgbench::fill(sql, binds)).into_iter().collect::<Result<String>>()?;
    Ok(format!("BEGIN;\n{filled}COMMIT;\n"))
}

/// Acceptances, each of another errand; one half of what is there for pgbench, the other for us.
pub fn accept(subject: &mut Subject, database: &Database, unit: &str, token: &str) -> Result<Case> {
    println!("accepting an errand");
    submit(database, unit, 2 * ROUNDS * A_ROUND)?;
    let value = |sql: &str| database.text(sql);
    let variables = [
        ("county", value("SELECT id::text AS value FROM counties WHERE key = '350425'")?),
        (
            "staff",
            value(
                "SELECT id::text AS value FROM staff WHERE username = 'junxi' AND county_id = (SELECT id FROM counties WHERE key = '350425')",
            )?,
        ),
        ("unit", unit.to_owned()),
    ];
    let (script, next) = (script()?, AtomicUsize::new(ROUNDS * A_ROUND));
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        database.settle()?;
        let before = database.count("errand_ledger WHERE step = 'accept'")?;
        let from = [&variables[..], &[("from", (round * A_ROUND).to_string())]].concat();
        let theirs = pgbench::alone(database, &script, &from)?;
        let accepted = database.count("errand_ledger WHERE step = 'accept'")? - before;
        ensure!(accepted == theirs.transactions, "{} transactions accepted {accepted} errands", theirs.transactions);
        database.settle()?;
        let ours = subject.load(&[200], &|_, into| {
            into.extend(accepts(token, next.fetch_add(1, Ordering::Relaxed)));
            Ok(())
        })?;
        rounds.push(Round { theirs: theirs.per_second, their_tail: None, ours });
    }
    let against = "pgbench, same statements";
    Ok(Case { name: "accepting an errand (`POST /v1/errands/{id}/accept`)", against, aim: Some(0.6), rounds })
}

/// Acceptances one after another, until somebody says that it is enough.
fn one_by_one(
    server: &Server,
    token: &str,
    next: &AtomicUsize,
    mut enough: impl FnMut() -> Result<bool>,
) -> Result<Measured> {
    let (begun, mut latencies) = (Instant::now(), Vec::new());
    while !enough()? {
        let request = accepts(token, next.fetch_add(1, Ordering::Relaxed));
        let asked = Instant::now();
        wire::json(server.address, &request, 200)?;
        latencies.push(asked.elapsed());
        // Somebody at a desk, not a load.
        thread::sleep(Duration::from_millis(20));
    }
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied();
    let (p50, p99) = at(0.5).zip(at(0.99)).context("nothing was accepted")?;
    println!("  {} moves, the slowest took {:?}", latencies.len(), latencies.last().copied().unwrap_or_default());
    Ok(Measured { rate, p50, p99 })
}

/// A holiday that nobody knew of, while errands are accepted.
pub fn while_deadlines_are_counted() -> Result<[Case; 2]> {
    println!("a county is generated, with {DEADLINES} deadlines");
    // Some of what is open stands still.
    let County { server, database, unit, token } =
        County::generate(Amounts { open_errands: DEADLINES + DEADLINES / 6, ..Amounts::default() }, "run")?;
    submit(&database, &unit, 5_000)?;
    database.wait_for_jobs()?;
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let quiet = one_by_one(&server, &token, &next, || Ok(begun.elapsed() > Duration::from_secs(5)))?;
    database.run(
        "INSERT INTO calendar_days (day, kind, name) SELECT day::date, 'holiday', '临时假日' \
         FROM generate_series(current_date + 3, current_date + 9, '1 day') day ON CONFLICT (day) DO UPDATE SET kind = 'holiday'",
    )?;
    // Every process reads the calendar again within ten seconds.
    thread::sleep(Duration::from_secs(11));
    let running = database.count("errands WHERE due_on IS NOT NULL")?;
    ensure!(running >= DEADLINES as i64, "only {running} deadlines run");
    println!("{running} deadlines are counted again");
    database.run("INSERT INTO outbox (county_id, kind, payload, run_at) SELECT id, 'recount_errands', '{}', now() FROM counties WHERE key = '350425'")?;
    let begun = Instant::now();
    let (mut looked, mut ended) = (Instant::now(), false);
    let busy = one_by_one(&server, &token, &next, || {
        if looked.elapsed() > Duration::from_millis(200) {
            looked = Instant::now();
            ended = database.count("outbox WHERE kind = 'recount_errands'")? == 0;
            ensure!(begun.elapsed() < Duration::from_secs(300), "the deadlines are not counted to the end");
        }
        Ok(ended)
    })?;
    let took = begun.elapsed();
    let moved = database.count("errand_ledger WHERE step = 'recount'")?;
    println!("  {moved} moved, in {:.1} s", took.as_secs_f64());
    ensure!(moved * 2 > running, "a week without work moves only {moved} of {running} deadlines");
    let rate = running as f64 / took.as_secs_f64();
    let counted = Round { theirs: ENOUGH, their_tail: None, ours: Measured { rate, p50: took, p99: took } };
    let meanwhile =
        Round { theirs: quiet.rate, their_tail: Some(quiet.p99.as_secs_f64() / quiet.p50.as_secs_f64()), ours: busy };
    Ok([
        Case {
            name: "deadlines counted again after a new calendar, of 100,000 (time: of all of them)",
            against: "twenty seconds for all",
            aim: Some(1.0),
            rounds: vec![counted],
        },
        Case {
            name: "accepting an errand every 20 ms meanwhile",
            against: "the same before",
            aim: None,
            rounds: vec![meanwhile],
        },
    ])
}
