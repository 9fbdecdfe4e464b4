//! Orders: claims against pgbench with the same statements, five hundred helpers before one order, and what lies open near somebody.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use diesel::{Connection, PgConnection, RunQueryDsl, connection::SimpleConnection};
use futures_util::future::try_join_all;
use lianxin::{
    clock::{Clock, local_date},
    http::idempotency::Gate,
    orders::{
        claiming::Glance,
        nearby::{Near, Nearby},
        store::{Find, Give},
        takers::HelperOf,
    },
    sample,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use uuid::Uuid;

use crate::{
    ROUNDS, Subject,
    database::Database,
    errands::County,
    load::{self, Measured},
    pgbench,
    process::Amounts,
    report::{Case, Round},
    wire::{self, request},
};

/// What lies open in the county.
const OPEN: usize = 100_000;
/// Helpers that log in, and as many of pgbench's own; each can hold as many orders as anybody may.
const HELPERS: usize = 2_000;
const LOAD: usize = 20;
/// Orders of one round: as many as the helpers of a side have places for.
const A_ROUND: usize = HELPERS * LOAD;
/// Who comes at once, and how often in one round.
const CROWD: usize = 500;
const RUSHES: usize = 8;
/// Helpers that look around, on one connection.
const LOOKS: usize = 400;

/// The n-th order made here, and the n-th helper of pgbench's own: known without asking.
fn order(number: usize) -> String {
    format!("00000000-0000-7000-8000-{number:012x}")
}

/// SQL of the same.
const ORDER: &str = "('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid";
const THEIRS: &str = "('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid";

/// The township's county, unit, and whoever claims.
struct Story {
    county: String,
    unit: String,
    tokens: Vec<String>,
    /// The next order that nobody has tried.
    next: AtomicUsize,
}

impl Story {
    /// Residents log in and become volunteers; pgbench gets as many of its own.
    fn play(County { server, database, unit, .. }: &County) -> Result<Self> {
        let county = format!("SELECT id::text AS value FROM counties WHERE key = '{}'", sample::COUNTY);
        let county = database.text(&county)?;
        let (mut tokens, mut residents) = (Vec::new(), Vec::new());
        for number in 0..HELPERS {
            let body = format!(r#"{{"county":"{}","code":"login.helper{number}.{}"}}"#, sample::COUNTY, Uuid::now_v7());
            let session = request("POST", "/v1/sessions/wechat", None, None, Some(&body));
            let session = wire::json(server.address, &session, 201)?;
            tokens.push(wire::text(&session, "access_token")?);
            residents.push(format!("'{}'", wire::text(&session, "subject_id")?));
        }
        let helpers =
            "INSERT INTO helpers (county_id, id, kind, resident_id, unit_id, state, max_load, created_at, updated_at)";
        database.run(&format!(
            "INSERT INTO residents (county_id, id, wechat_openid, wechat_openid_index, identity_level, created_at, updated_at) \
             SELECT {county}, {THEIRS}, n::text::bytea, sha256(n::text::bytea), 'none', now(), now() FROM generate_series(0, {HELPERS} - 1) n; \
             {helpers} SELECT {county}, {THEIRS}, 'volunteer', {THEIRS}, '{unit}', 'active', {LOAD}, now(), now() FROM generate_series(0, {HELPERS} - 1) n; \
             {helpers} SELECT {county}, id, 'volunteer', id, '{unit}', 'active', {LOAD}, now(), now() FROM unnest(ARRAY[{}]::uuid[]) id",
            residents.join(", ")
        ))?;
        Ok(Self { county, unit: unit.clone(), tokens, next: AtomicUsize::new(0) })
    }

    /// New open orders, from the next on that nobody has tried; the first of them.
    fn order(&self, database: &Database, many: usize) -> Result<usize> {
        let Self { county, unit, next, .. } = self;
        let from = next.load(Ordering::Relaxed);
        // Whoever held something is free again, as if each had been cancelled.
        database.run(&format!(
            "WITH over AS (UPDATE orders SET state = 'cancelled', holder_id = NULL, load_place = NULL, lease_until = NULL, due_at = NULL, ended_at = now(), \
               moves = moves + 1, version = version + 1 WHERE state = 'claimed' RETURNING county_id, id, moves) \
             INSERT INTO order_moves (county_id, order_id, seq, at, step, from_state, to_state) SELECT county_id, id, moves, now(), 'cancel', 'claimed', 'cancelled' FROM over; \
             INSERT INTO orders (county_id, id, number, kind_id, resident_id, unit_id, state, wanted_from, wanted_until, at_once, skills, taken_by, dispatch, evidence, money, \
               duration_minutes, grab_minutes, start_minutes, opened_at, moves, created_at, updated_at) \
             SELECT {county}, {ORDER}, 'D000000-' || lpad(n::text, 6, '0'), k.id, p.ids[1 + n % cardinality(p.ids)], '{unit}', 'open', now(), now() + interval '1 day', false, \
               '{{}}', '{{volunteer}}', 'grab', 'none', false, 30, 10, 60, now(), 1, now(), now() \
             FROM generate_series({from}, {from} + {many} - 1) n CROSS JOIN (SELECT id FROM order_kinds WHERE county_id = {county} ORDER BY id LIMIT 1) k \
             CROSS JOIN (SELECT array_agg(id) AS ids FROM (SELECT id FROM residents WHERE registered_by IS NOT NULL ORDER BY id LIMIT 10000) p) p; \
             INSERT INTO order_moves (county_id, order_id, seq, at, step, to_state) SELECT {county}, {ORDER}, 1, now(), 'order', 'open' FROM generate_series({from}, {from} + {many} - 1) n"
        ))?;
        database.settle()?;
        next.store(from + many, Ordering::Relaxed);
        Ok(from)
    }

    /// The n-th helper's claim of an order.
    fn claim(&self, helper: usize, number: usize) -> Vec<u8> {
        let (path, key) = (format!("/v1/orders/{}/claim", order(number)), Uuid::now_v7().to_string());
        request("POST", &path, Some(&self.tokens[helper % HELPERS]), Some(&key), Some("{}"))
    }
}

/// The statements of a claim, as the program makes them.
fn script(answer: usize) -> Result<String> {
    const NONE: &str = "nullif(:none::text, 'none')";
    let n = "(:from::int + :n::int)";
    let id = ORDER.replace("to_hex(n)", &format!("to_hex({n})"));
    let helper = THEIRS.replace("to_hex(n)", &format!("to_hex(:n::int % {HELPERS})"));
    let (uuid, key, body) = (
        format!("{NONE}::uuid"),
        format!("(lpad(to_hex({n}), 32, '0'))"),
        format!("decode(repeat('5a', {answer}), 'hex')"),
    );
    let binds = [
        ("lock", ":lock::bigint"),
        ("county", ":county::int"),
        ("caller", helper.as_str()),
        ("operation", "'claim_order'"),
        ("key", &key),
        ("id", &id),
        ("resident", &helper),
        ("staff", &uuid),
        ("helper", &uuid),
        ("within", &uuid),
        ("whole", "true"),
        ("today", "current_date"),
        ("version", "1::bigint"),
        ("state", "'claimed'"),
        ("holder", &helper),
        ("holder_version", "1::bigint"),
        ("load", "3"),
        ("waived", "array_remove(string_to_array(:none::text, ','), 'none')"),
        ("lease_until", "now() + interval '1 hour'"),
        ("moves", "2"),
        ("step", "'claim'"),
        ("actor", &helper),
        ("role", "'resident'"),
        ("from_state", "'open'"),
        ("from_holder", &uuid),
        ("facts", "jsonb_build_object()"),
        ("digest", "sha256('digest')"),
        ("status", "200::smallint"),
        ("location", NONE),
        ("etag", "'\"2\"'"),
        ("body", &body),
        ("now", "now()"),
    ];
    let [glance, gate, helper, find, give] =
        [Glance::SQL, Gate::SQL, HelperOf::SQL, Find::SQL, Give::SQL].map(|sql| pgbench::fill(sql, &binds));
    Ok(format!("{}BEGIN;\n{}{}{}{}COMMIT;\n", glance?, gate?, helper?, find?, give?))
}

/// Claims, each of another order.
fn claims(subject: &mut Subject, database: &Database, story: &Story) -> Result<Case> {
    println!("claiming an order");
    let first = story.order(database, 1)?;
    wire::json(subject.server.address, &story.claim(0, first), 200)?;
    let stored = "SELECT octet_length(body)::text AS value FROM idempotency_keys WHERE operation = 'claim_order'";
    let script = script(database.text(stored)?.parse()?)?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let from = story.order(database, A_ROUND)?;
        let variables = [("county", story.county.clone()), ("from", from.to_string())];
        let theirs = pgbench::alone(database, &script, &variables)?;
        let claimed = database.count("orders WHERE state = 'claimed'")?;
        ensure!(claimed == theirs.transactions, "{} transactions claimed {claimed} orders", theirs.transactions);
        let turn = AtomicUsize::new(0);
        let from = story.order(database, A_ROUND)?;
        let ours = subject.load(&[200], &|_, into| {
            let number = turn.fetch_add(1, Ordering::Relaxed);
            into.extend(story.claim(number, from + number));
            Ok(())
        })?;
        rounds.push(Round { theirs: theirs.per_second, their_tail: None, ours });
    }
    let against = "pgbench, same statements";
    Ok(Case { name: "claiming an order (`POST /v1/orders/{id}/claim`)", against, aim: Some(0.7), rounds })
}

/// Sends all of them at once, each on a connection of its own that is there already; how often each status came, and when.
fn at_once(address: SocketAddr, requests: &[Vec<u8>], latencies: &mut Vec<Duration>) -> Result<BTreeMap<u16, usize>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answers: Vec<(u16, Duration)> = runtime.block_on(async {
        let mut streams = try_join_all(requests.iter().map(|_| TcpStream::connect(address))).await?;
        let begun = Instant::now();
        let asking = streams.iter_mut().zip(requests).map(|(stream, request)| async move {
            stream.set_nodelay(true)?;
            stream.write_all(request).await?;
            let status = load::read(stream, &mut Vec::new()).await?;
            anyhow::Ok((status, begun.elapsed()))
        });
        try_join_all(asking).await
    })?;
    let mut statuses = BTreeMap::new();
    for (status, took) in answers {
        *statuses.entry(status).or_default() += 1;
        latencies.push(took);
    }
    Ok(statuses)
}

/// Several crowds, one after another; `which` says which order the n-th of a crowd claims.
fn rush(
    address: SocketAddr,
    story: &Story,
    which: impl Fn(usize, usize) -> usize,
    expected: &[(u16, usize)],
) -> Result<Measured> {
    let (mut latencies, mut spent) = (Vec::new(), Duration::ZERO);
    for turn in 0..RUSHES {
        let requests: Vec<_> = (0..CROWD).map(|helper| story.claim(helper, which(turn, helper))).collect();
        let begun = Instant::now();
        let statuses = at_once(address, &requests, &mut latencies)?;
        spent += begun.elapsed();
        ensure!(statuses.iter().map(|(status, many)| (*status, *many)).eq(expected.iter().copied()), "{statuses:?}");
    }
    latencies.sort_unstable();
    let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied();
    let (p50, p99) = at(0.5).zip(at(0.99)).context("nobody came")?;
    Ok(Measured { rate: latencies.len() as f64 / spent.as_secs_f64(), p50, p99 })
}

/// Five hundred before one order: one has it, nobody waits for the others.
fn crowd(subject: &Subject, database: &Database, story: &Story) -> Result<Case> {
    println!("{CROWD} helpers before one order");
    let (address, mut rounds) = (subject.server.address, Vec::new());
    for _ in 0..ROUNDS {
        let from = story.order(database, CROWD * RUSHES)?;
        let theirs = rush(address, story, |turn, helper| from + turn * CROWD + helper, &[(200, CROWD)])?;
        let from = story.order(database, RUSHES)?;
        let ours = rush(address, story, |turn, _| from + turn, &[(200, 1), (409, CROWD - 1)])?;
        let tail = theirs.p99.as_secs_f64() / theirs.p50.as_secs_f64();
        rounds.push(Round { theirs: theirs.rate, their_tail: Some(tail), ours });
    }
    let against = "as many at once, each for an order of their own";
    Ok(Case {
        name: "500 helpers at once for one order: one 200, 499 × `order_taken`",
        against,
        aim: Some(1.0),
        rounds,
    })
}

/// What lies open near helpers all over the county, by the program's statement.
fn nearby(database: &Database, story: &Story) -> Result<Case> {
    println!("open orders near a helper, of {OPEN}");
    let open = database.count("orders WHERE state = 'open'")?;
    ensure!(open >= OPEN as i64, "only {open} orders are open");
    // Somebody of each village, with every skill, who would go ten kilometres: the most there is to look at.
    database.run(&format!(
        "UPDATE helpers h SET skills = (SELECT array_agg(key) FROM skills WHERE county_id = {0}), lng = o.lng, lat = o.lat, radius_m = 10000 \
         FROM (SELECT DISTINCT ON (unit_id) unit_id, lng, lat FROM orders WHERE state = 'open' AND lng IS NOT NULL ORDER BY unit_id, id) o \
         WHERE h.county_id = {0} AND h.kind = 'specialist' AND o.unit_id = h.unit_id",
        story.county
    ))?;
    database.settle()?;
    let staff = "SELECT staff_id::text AS value FROM helpers WHERE kind = 'specialist' AND state = 'active' AND lng IS NOT NULL ORDER BY id";
    let staff: Vec<Uuid> = database.texts(staff)?.iter().map(|id| id.parse()).collect::<Result<_, _>>()?;
    ensure!(staff.len() >= 2, "only {} specialists have a place", staff.len());
    let mut conn = PgConnection::establish(&database.service_url)?;
    conn.batch_execute("SET plan_cache_mode = force_generic_plan; SET jit = off")?;
    let (now, county) = (Clock::System.now(), story.county.parse()?);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (mut latencies, mut found) = (Vec::with_capacity(LOOKS), 0);
        for number in 0..LOOKS {
            let staff = Some(staff[number % staff.len()]);
            let ask =
                Nearby { county, resident: None, staff, lng: None, lat: None, today: local_date(now), now, limit: 20 };
            let begun = Instant::now();
            found += ask.load::<Near>(&mut conn)?.len();
            latencies.push(begun.elapsed());
        }
        ensure!(found >= LOOKS * 10, "{LOOKS} looks found {found} orders");
        latencies.sort_unstable();
        let all: Duration = latencies.iter().sum();
        let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
        let ours = Measured { rate: LOOKS as f64 / all.as_secs_f64(), p50: at(0.5), p99: at(0.99) };
        rounds.push(Round { theirs: 100.0, their_tail: None, ours });
    }
    let against = "ten milliseconds";
    Ok(Case {
        name: "open orders near a helper among 100,000 (database, one connection)",
        against,
        aim: Some(1.0),
        rounds,
    })
}

pub fn cases(peak_kib: &mut u64) -> Result<Vec<Case>> {
    println!("a county is generated, with {OPEN} open orders");
    let county = County::generate(Amounts { open_orders: OPEN, ..Amounts::default() }, "run")?;
    println!("{HELPERS} helpers log in");
    let story = Story::play(&county)?;
    let County { server, database, .. } = county;
    let near = nearby(&database, &story)?;
    // The server alone, as for bookings.
    drop(server);
    let mut subject = Subject { server: crate::ready("serve", &database)?, peak_kib };
    Ok(vec![near, claims(&mut subject, &database, &story)?, crowd(&subject, &database, &story)?])
}
