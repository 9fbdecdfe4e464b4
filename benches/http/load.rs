//! The load: as many requests as a fixed number of connections can make, each waiting for its answer before the next.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::{TryStreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::wire::{self, Head};

pub const CONNECTIONS: usize = 32;
pub const WARM_UP: Duration = Duration::from_secs(1);
pub const MEASURED: Duration = Duration::from_secs(5);

/// Whose request comes next: the how-manieth of which connection.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub connection: usize,
    pub nth: usize,
}

/// Appends the bytes of the next request.
pub type Next<'a> = dyn Fn(Turn, &mut Vec<u8>) -> Result<()> + Sync + 'a;

pub struct Load<'a> {
    pub address: SocketAddr,
    /// Any other status ends the measurement with an error.
    pub expected: &'a [u16],
    pub next: &'a Next<'a>,
}

/// What came out.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Answers per second.
    pub rate: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// As many threads as pgbench gets.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(CONNECTIONS)
}

impl Load<'_> {
    /// Warms up, measures, and calls `meanwhile` some times a second.
    pub fn run(&self, mut meanwhile: impl FnMut()) -> Result<Measured> {
        let from = Instant::now() + WARM_UP;
        let latencies = thread::scope(|scope| {
            let drive = |thread| scope.spawn(move || self.drive(thread, from, from + MEASURED));
            let running: Vec<_> = (0..threads()).map(drive).collect();
            while running.iter().any(|thread| !thread.is_finished()) {
                meanwhile();
                thread::sleep(Duration::from_millis(50));
            }
            let joined = running.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
            joined.collect::<Result<Vec<_>>>()
        })?;
        Measured::new(latencies.concat())
    }

    /// One thread's share of the connections. A runtime of its own per thread: nothing is handed to another core.
    fn drive(&self, thread: usize, from: Instant, until: Instant) -> Result<Vec<Duration>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mine = (thread..CONNECTIONS).step_by(threads());
        let connections: FuturesUnordered<_> = mine.map(|number| self.connection(number, from, until)).collect();
        runtime.block_on(connections.try_concat())
    }

    async fn connection(&self, connection: usize, from: Instant, until: Instant) -> Result<Vec<Duration>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut request, mut answer, mut latencies) = (Vec::new(), Vec::with_capacity(64 * 1024), Vec::new());
        for nth in 0.. {
            request.clear();
            (self.next)(Turn { connection, nth }, &mut request)?;
            let begun = Instant::now();
            if begun >= until {
                break;
            }
            stream.write_all(&request).await?;
            let status = read(&mut stream, &mut answer).await?;
            if begun >= from {
                latencies.push(begun.elapsed());
            }
            ensure!(self.expected.contains(&status), "answered {status}: {}", String::from_utf8_lossy(&answer));
        }
        Ok(latencies)
    }
}

/// Reads one whole answer; its status.
pub async fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<u16> {
    answer.clear();
    let mut head = None;
    loop {
        ensure!(stream.read_buf(answer).await? > 0, "the server closed a connection");
        if head.is_none() {
            head = wire::head(answer)?;
        }
        if let Some(Head { status, body: (_, end) }) = head
            && answer.len() >= end
        {
            ensure!(answer.len() == end, "more was answered than was asked for");
            return Ok(status);
        }
    }
}

impl Measured {
    fn new(mut latencies: Vec<Duration>) -> Result<Self> {
        latencies.sort_unstable();
        let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied();
        let (p50, p99) = at(0.5).zip(at(0.99)).context("nothing was answered in time")?;
        Ok(Self { rate: latencies.len() as f64 / MEASURED.as_secs_f64(), p50, p99 })
    }
}
