//! The processes that are measured: started, timed, weighed and stopped.

use std::{
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{baseline, database::Database, wire};

/// What a county of 20,000 has behind it, and what is open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amounts {
    pub past_appointments: usize,
    pub past_errands: usize,
    pub open_errands: usize,
    pub open_orders: usize,
    pub households: usize,
    pub visits: usize,
}

/// `lianxin generate`: migrates, makes the sample county and fills it.
pub fn generate(database: &Database, amounts: Amounts) -> Result<()> {
    let mut generate = Command::new(env!("CARGO_BIN_EXE_lianxin"));
    let Amounts { past_appointments, past_errands, open_errands, open_orders, households, visits } = amounts;
    generate.args(["generate", "--size", "20000", "--past-appointments", &past_appointments.to_string()]);
    generate.args(["--past-orders", "0", "--open-orders", &open_orders.to_string(), "--volunteers", "0"]);
    generate.args(["--households", &households.to_string(), "--visits", &visits.to_string()]);
    generate.args(["--past-errands", &past_errands.to_string(), "--open-errands", &open_errands.to_string()]);
    generate
        .envs([("LIANXIN_MODE", "development"), ("LOG", "warn")])
        .env("DATABASE_URL", &database.service_url)
        .env("DATABASE_OWNER_URL", &database.owner_url)
        .env_remove("LIANXIN_CONFIG");
    let begun = Instant::now();
    let output = generate.output().context("generating a county")?;
    ensure!(output.status.success(), "generate failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    let words = String::from_utf8_lossy(&output.stdout);
    println!("  {} in {:.0} s", words.lines().last().unwrap_or_default(), begun.elapsed().as_secs_f64());
    Ok(())
}

/// A process that serves. Dropping asks it to end, and waits.
pub struct Server {
    child: Child,
    spawned: Instant,
    pub address: SocketAddr,
}

impl Server {
    /// `lianxin run` or `lianxin serve` on our database, at a free port, with limits that nobody reaches.
    pub fn start(command: &str, database: &Database) -> Result<Self> {
        let mut server = Command::new(env!("CARGO_BIN_EXE_lianxin"));
        server
            .arg(command)
            .envs([("LIANXIN_MODE", "development"), ("PORT", "0"), ("LOG", "warn")])
            .envs([("WRITES_PER_MINUTE", "1000000"), ("LOGINS_PER_MINUTE", "1000000")])
            .env("DATABASE_URL", &database.service_url)
            .env("DATABASE_OWNER_URL", &database.owner_url)
            .env("REDIS_PREFIX", &database.name)
            .env_remove("LIANXIN_CONFIG")
            .env_remove("WECHAT_URL");
        Self::spawn(server)
    }

    /// This very program, as the constant handler.
    pub fn baseline(length: usize) -> Result<Self> {
        let mut constant = Command::new(std::env::current_exe()?);
        constant.args([baseline::ARGUMENT, &length.to_string()]);
        Self::spawn(constant)
    }

    /// Starts it and waits until it says where it serves.
    fn spawn(mut command: Command) -> Result<Self> {
        let spawned = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting a server")?;
        let mut lines = BufReader::new(child.stdout.take().context("it is piped")?);
        // Kept from here on, so that it is stopped even if what follows fails.
        let mut server = Self { child, spawned, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        server.address = loop {
            let mut line = String::new();
            ensure!(lines.read_line(&mut line)? > 0, "the server ended before it served; its words are above");
            if let Some((_, rest)) = line.split_once(" serves http://") {
                let address = rest.split_whitespace().next().unwrap_or_default();
                break address.parse().with_context(|| format!("no address in {line}"))?;
            }
        };
        // What else it says goes nowhere, but must go: a full pipe would stop it.
        thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        Ok(server)
    }

    /// Waits until it is ready; how long that took from its start.
    pub fn ready(&self) -> Result<Duration> {
        let request = wire::request("GET", "/readyz", None, None, None);
        loop {
            if let Ok((200, _)) = wire::ask(self.address, &request) {
                return Ok(self.spawned.elapsed());
            }
            ensure!(self.spawned.elapsed() < Duration::from_secs(60), "the server does not become ready");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its resident memory now (VmRSS).
    pub fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(30) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
