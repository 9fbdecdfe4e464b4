//! pgbench running the very statements of the hot paths: what PostgreSQL can do on this machine with nobody in front of it.
//!
//! The texts come from the program itself; only `{bind}` becomes a typed `:variable`. Ids are made of numbers, because
//! pgbench computes with nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use lianxin::{
    appointments::{facts::FactsOf, store::Find, writing::Insert},
    http::idempotency::{Gate, Keep},
    sample,
};

use crate::{
    database::Database,
    load::{CONNECTIONS, MEASURED, threads},
    story::Story,
};

/// Residents of pgbench's own: it never meets those who use the API.
const RESIDENTS: usize = 5_000;
/// Days from tomorrow on, and half hours of each. A round has `RESIDENTS * DAYS` different bookings.
const DAYS: usize = 60;
const SLOTS: usize = 13;

/// A resident's id, and that of the appointment that is read.
const WHO: &str = "lpad(to_hex(:who::int), 32, '0')::uuid";
/// Ascending like UUIDv7, and different in each round; also the idempotency key.
const NEW: &str = "(lpad(to_hex(:round::int), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(:n::int), 12, '0'))";
/// A NULL that arrives as a parameter, as the program's does: written out, it would make the plan simpler.
const NONE: &str = "nullif(:none::text, 'none')::uuid";

/// A script of somebody else's, with a `:n` of its own for every transaction of every client.
pub fn alone(database: &Database, script: &str, variables: &[(&str, String)]) -> Result<Tally> {
    let folder = std::env::temp_dir().join(format!("lianxin-{}-alone", database.name));
    fs::create_dir_all(&folder)?;
    let file = folder.join("script.sql");
    let counting = "\\set n :i * :clients + :client_id\n\\set i :i + 1\n\\set lock hash(:n)\n";
    fs::write(&file, format!("{counting}{script}"))?;
    let mut all = vec![format!("--define=i=0"), format!("--define=clients={CONNECTIONS}"), "--define=none=none".into()];
    all.extend(variables.iter().map(|(name, value)| format!("--define={name}={value}")));
    let tally = execute(&program()?, database, &all, &[file]);
    // One small file in a temporary folder.
    let _ = fs::remove_dir_all(&folder);
    tally
}

/// `i` counts a client's transactions over the whole run, so that `n` is different for every transaction of every client.
const NUMBERS: &str = r"\set n :i * :clients + :client_id
\set i :i + 1
\set turn :n / :residents
\set r :n % :residents
\set who :r + 1
\set day (:turn + :r) % :days
\set slot random(0, :slots - 1)
\set at :first_at + :day * 86400 + :slot * 1800
\set ends :at + 1800
\set lock hash(:n)
";

/// A statement's text with something for each of its binds.
pub fn fill(sql: &str, binds: &[(&str, &str)]) -> Result<String> {
    let (mut filled, mut rest) = (String::new(), sql);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').with_context(|| format!("an open brace in {sql}"))?;
        let bind = binds.iter().find(|(known, _)| *known == name);
        let (_, text) = bind.with_context(|| format!("pgbench has nothing for the bind {name}"))?;
        filled += before;
        filled += &format!("({text})");
        rest = after;
    }
    Ok(filled + rest + ";\n")
}

fn read_script() -> Result<String> {
    let binds = [
        ("county", ":county::int"),
        ("id", WHO),
        ("own", WHO),
        ("me", WHO),
        ("within", NONE),
        ("today", "current_date"),
    ];
    Ok(format!("\\set who random(1, :residents)\n{}", fill(Find::SQL, &binds)?))
}

/// A booking at one of the windows, with everything around it.
fn book_script(window: usize) -> Result<String> {
    let (window, id) = (format!(":window{window}::uuid"), format!("{NEW}::uuid"));
    let binds = [
        ("lock", ":lock::bigint"),
        ("county", ":county::int"),
        ("caller", WHO),
        ("operation", ":operation::text"),
        ("key", NEW),
        ("unit", ":unit::uuid"),
        ("matter", ":matter::uuid"),
        ("resident", WHO),
        ("day", ":first::date + :day::int"),
        ("after", "to_timestamp(:at::float8 - 14400)"),
        ("before", "(:first::date + :day::int + 1)::timestamp AT TIME ZONE 'Asia/Shanghai'"),
        ("since", ":now::timestamptz - interval '121 days'"),
        ("but", NONE),
        ("channel", ":channel::text"),
        ("place", ":place::text"),
        ("address", "nullif(:none::text, 'none')::bytea"),
        ("slots", ":one::smallint"),
        ("busy_from", "to_timestamp(:at::float8)"),
        ("busy_until", "to_timestamp(:ends::float8)"),
        ("capacity_total", ":total::smallint"),
        ("nth", ":one::smallint"),
        ("state", ":state::text"),
        ("held_until", "nullif(:none::text, 'none')::timestamptz"),
        ("waiting", NONE),
        ("starts_at", "to_timestamp(:at::float8)"),
        ("ends_at", "to_timestamp(:ends::float8)"),
        ("id", &id),
        ("window", &window),
        ("booked_by", NONE),
        ("booked_by_resident", NONE),
        ("on_date", ":first::date + :day::int"),
        ("capacity", ":capacity::smallint"),
        ("now", ":now::timestamptz"),
        ("digest", ":digest::bytea"),
        ("status", ":status::smallint"),
        ("location", ":location::text"),
        ("etag", ":etag::text"),
        ("body", ":body::bytea"),
        ("at", ":now::timestamptz"),
    ];
    let statements = [Gate::SQL, FactsOf::SQL, Insert::SQL, Keep::SQL];
    let statements = statements.map(|sql| fill(sql, &binds)).into_iter().collect::<Result<String>>()?;
    Ok(format!("{NUMBERS}BEGIN;\n{statements}COMMIT;\n"))
}

/// The newest pgbench of Debian's folders, or the one in `PATH`.
fn program() -> Result<PathBuf> {
    let folders = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = folders.filter_map(|folder| {
        let version: u32 = folder.file_name().to_str()?.parse().ok()?;
        Some((version, folder.path().join("bin/pgbench"))).filter(|(_, path)| path.exists())
    });
    if let Some((_, newest)) = debian.max() {
        return Ok(newest);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("pgbench")).find(|path| path.exists());
    found.context("pgbench was not found: it comes with PostgreSQL (Debian: postgresql-contrib or postgresql)")
}

/// What a run of pgbench says.
pub struct Tally {
    pub per_second: f64,
    pub transactions: i64,
}

fn tally(output: &str) -> Result<Tally> {
    let value = |label: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix(label));
        let word = line.and_then(|rest| rest.split_whitespace().next());
        word.with_context(|| format!("no `{label}` in {output}"))
    };
    let per_second = value("tps = ")?.parse()?;
    Ok(Tally { per_second, transactions: value("number of transactions actually processed: ")?.parse()? })
}

pub struct Fixture<'a> {
    pub database: &'a Database,
    program: PathBuf,
    /// Removed when the fixture goes.
    folder: PathBuf,
    matters: Vec<String>,
    variables: Vec<String>,
}

impl<'a> Fixture<'a> {
    /// Makes pgbench's residents and the appointments that it reads, and writes the scripts.
    pub fn prepare(database: &'a Database, story: &Story) -> Result<Self> {
        let [first, second, ..] = story.windows.as_slice() else { bail!("the centre has fewer than two windows") };
        let county = format!("SELECT id::text AS value FROM counties WHERE key = '{}'", sample::COUNTY);
        let county = database.text(&county)?;
        let midnight = story.tomorrow.and_time(chrono::NaiveTime::MIN).and_utc();
        let sealed = "SELECT round(avg(octet_length(body)))::int::text AS value FROM idempotency_keys";
        let sealed: usize = database.text(sealed)?.parse()?;
        let variables = [
            ("none", "none".to_owned()),
            ("i", "0".into()),
            ("clients", CONNECTIONS.to_string()),
            ("residents", RESIDENTS.to_string()),
            ("days", DAYS.to_string()),
            ("slots", SLOTS.to_string()),
            ("county", county.clone()),
            ("unit", story.unit.clone()),
            ("window0", first.clone()),
            ("window1", second.clone()),
            ("channel", "public".into()),
            ("first", story.tomorrow.to_string()),
            ("first_at", midnight.timestamp().to_string()),
            ("capacity", "1000".into()),
            ("total", "1002".into()),
            ("one", "1".into()),
            ("place", "centre".into()),
            ("state", "booked".into()),
            ("now", lianxin::clock::Clock::System.now().to_rfc3339()),
            ("operation", "book_appointment".into()),
            ("digest", format!("\\x{}", "5a".repeat(32))),
            ("status", "201".into()),
            ("location", "/v1/appointments/00000000-0000-7000-8000-000000000000".into()),
            ("etag", "\"1\"".into()),
            ("body", format!("\\x{}", "5a".repeat(sealed))),
        ];
        let variables = variables.iter().map(|(name, value)| format!("--define={name}={value}")).collect();
        let folder = std::env::temp_dir().join(format!("lianxin-{}", database.name));
        fs::create_dir_all(&folder)?;
        let matters = story.matters.clone();
        let fixture = Self { database, program: program()?, folder, matters, variables };
        fs::write(fixture.folder.join("read.sql"), read_script()?)?;
        for window in 0..2 {
            fs::write(fixture.folder.join(format!("book{window}.sql")), book_script(window)?)?;
        }
        fs::write(fixture.folder.join("hot.sql"), "UPDATE hot SET taken = taken + 1 WHERE id = 1;\n")?;
        fixture.people(&county, &story.unit, first, midnight.timestamp() - 86_400)?;
        Ok(fixture)
    }

    /// As many residents and as many appointments, the n-th of the n-th, all at one start before those that are booked, and the row that everybody updates.
    fn people(&self, county: &str, unit: &str, window: &str, at: i64) -> Result<()> {
        let matter = self.matters.first().context("there are no matters")?;
        let (id, bytes) = ("lpad(to_hex(n), 32, '0')::uuid", "decode(lpad(to_hex(n), 32, '0'), 'hex')");
        let (from, to) = (format!("to_timestamp({at})"), format!("to_timestamp({})", at + 1800));
        self.database.run(&format!(
            "INSERT INTO residents (county_id, id, wechat_openid, wechat_openid_index, identity_level, created_at, updated_at) \
             SELECT {county}, {id}, {bytes}, {bytes}, 'none', now(), now() FROM generate_series(1, {RESIDENTS}) n; \
             INSERT INTO appointments (county_id, id, unit_id, window_id, matter_id, resident_id, channel, on_date, \
               starts_at, ends_at, busy_from, busy_until, state, cancelled_at, created_at, updated_at) \
             SELECT {county}, {id}, '{unit}', '{window}', '{matter}', {id}, 'public', ({from} AT TIME ZONE 'UTC')::date, \
               {from}, {to}, {from}, {to}, 'cancelled', now(), now(), now() FROM generate_series(1, {RESIDENTS}) n; \
             CREATE TABLE hot (id integer PRIMARY KEY, taken bigint NOT NULL) WITH (fillfactor = 70); INSERT INTO hot VALUES (1, 0)"
        ))
    }

    /// Reads by key per second.
    pub fn read(&self) -> Result<f64> {
        Ok(self.run(&["read.sql"], &[])?.per_second)
    }

    /// Bookings per second. Each round has a matter of its own, and so all its residents' days again.
    pub fn book(&self, round: usize) -> Result<f64> {
        let matter = self.matters.get(round).context("there are more rounds than matters")?;
        let before = self.database.count("appointments")?;
        let own = [format!("--define=matter={matter}"), format!("--define=round={}", round + 1)];
        let tally = self.run(&["book0.sql", "book1.sql"], &own)?;
        let booked = self.database.count("appointments")? - before;
        ensure!(booked == tally.transactions, "{} transactions made {booked} appointments", tally.transactions);
        Ok(tally.per_second)
    }

    /// Updates of one and the same row per second.
    pub fn hot(&self) -> Result<f64> {
        Ok(self.run(&["hot.sql"], &[])?.per_second)
    }

    fn run(&self, scripts: &[&str], own: &[String]) -> Result<Tally> {
        let scripts: Vec<_> = scripts.iter().map(|script| self.folder.join(script)).collect();
        execute(&self.program, self.database, &[&self.variables, own].concat(), &scripts)
    }
}

fn execute(program: &Path, database: &Database, variables: &[String], scripts: &[PathBuf]) -> Result<Tally> {
    let mut pgbench = Command::new(program);
    // As the program's own sessions have it (src/db/mod.rs): left alone, PostgreSQL would plan the joins anew each time.
    pgbench.env("PGOPTIONS", "-c plan_cache_mode=force_generic_plan -c jit=off");
    pgbench.args(["--no-vacuum", "--protocol=prepared", &format!("--time={}", MEASURED.as_secs())]);
    pgbench.args([format!("--client={CONNECTIONS}"), format!("--jobs={}", threads())]).args(variables);
    pgbench.args(scripts.iter().map(|script| format!("--file={}", script.display())));
    let output = pgbench.arg(&database.service_url).stdin(Stdio::null()).output().context("running pgbench")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench failed: {}", words.trim());
    tally(&String::from_utf8_lossy(&output.stdout))
}

impl Drop for Fixture<'_> {
    fn drop(&mut self) {
        // Three small files in a temporary folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
