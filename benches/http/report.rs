//! What was reached, as Markdown.

use std::fmt::{self, Display, Formatter};

use crate::{
    ROUNDS,
    database::Settings,
    load::{CONNECTIONS, MEASURED, Measured, WARM_UP},
};

/// The slowest answers may take this many times as long as the usual one.
const TAIL: f64 = 4.0;
const MEBIBYTES: f64 = 100.0;
const SECONDS: f64 = 1.0;

/// Theirs and ours, right after each other.
pub struct Round {
    /// Per second.
    pub theirs: f64,
    /// How much longer the slowest of theirs took, where that is known.
    pub their_tail: Option<f64>,
    pub ours: Measured,
}

pub struct Case {
    pub name: &'static str,
    pub against: &'static str,
    /// The least ratio; none for what is only told.
    pub aim: Option<f64>,
    pub rounds: Vec<Round>,
}

pub struct Report {
    settings: Settings,
    pub cases: Vec<Case>,
    pub peak_kib: u64,
    pub start_seconds: f64,
}

/// The middle one; of an even number the higher of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Case {
    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }
}

fn milliseconds(of: impl Fn(&Measured) -> std::time::Duration) -> impl Fn(&Round) -> f64 {
    move |round| of(&round.ours).as_secs_f64() * 1000.0
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "**missed**" }
}

impl Report {
    pub fn new(settings: Settings) -> Self {
        Self { settings, cases: Vec::new(), peak_kib: 0, start_seconds: f64::NAN }
    }

    fn conditions(&self, out: &mut Formatter) -> fmt::Result {
        let Settings { version, fsync, synchronous_commit, full_page_writes, shared_buffers } = &self.settings;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        writeln!(out, "# What was measured\n")?;
        writeln!(out, "Written by `make bench`. {cores} cores, shared by server, PostgreSQL, Redis and load.\n")?;
        writeln!(
            out,
            "PostgreSQL {version}: fsync {fsync}, synchronous_commit {synchronous_commit}, full_page_writes {full_page_writes}, \
             shared_buffers {shared_buffers}. Where nobody waits for a disk everything is bound by the processor, where all that \
             we add to PostgreSQL's own work shows: the harder comparison.\n"
        )?;
        writeln!(
            out,
            "Ours and theirs take turns, {ROUNDS} rounds of {} s (ours after {} s of warming up), {CONNECTIONS} connections that \
             each wait for their answer; ratios, rates and times are medians of the rounds.\n",
            MEASURED.as_secs(),
            WARM_UP.as_secs()
        )
    }

    fn ratios(&self, out: &mut Formatter) -> fmt::Result {
        writeln!(
            out,
            "## Speed\n\n| what | ours, /s | against | theirs, /s | ratio | aim | |\n|---|--:|---|--:|--:|--:|---|"
        )?;
        for case in &self.cases {
            let ratio = case.median(|round| round.ours.rate / round.theirs);
            let (ours, theirs) = (case.median(|round| round.ours.rate), case.median(|round| round.theirs));
            write!(out, "| {} | {ours:.0} | {} | {theirs:.0} | **{ratio:.2}** ", case.name, case.against)?;
            match case.aim {
                Some(aim) => writeln!(out, "| ≥ {aim} | {} |", verdict(ratio >= aim))?,
                None => writeln!(out, "| – | |")?,
            }
        }
        Ok(())
    }

    fn times(&self, out: &mut Formatter) -> fmt::Result {
        writeln!(out, "\n## Time of an answer under full load\n")?;
        writeln!(out, "| what | p50, ms | p99, ms | p99 ÷ p50 | theirs | aim | |\n|---|--:|--:|--:|--:|--:|---|")?;
        for case in &self.cases {
            let p50 = case.median(milliseconds(|ours| ours.p50));
            let p99 = case.median(milliseconds(|ours| ours.p99));
            let tail = case.median(|round| round.ours.p99.as_secs_f64() / round.ours.p50.as_secs_f64());
            let theirs: Vec<f64> = case.rounds.iter().filter_map(|round| round.their_tail).collect();
            let theirs = if theirs.is_empty() { "–".to_owned() } else { format!("{:.1}", median(theirs)) };
            write!(out, "| {} | {p50:.2} | {p99:.2} | **{tail:.1}** | {theirs} ", case.name)?;
            match case.aim {
                Some(_) => writeln!(out, "| ≤ {TAIL} | {} |", verdict(tail <= TAIL))?,
                None => writeln!(out, "| – | |")?,
            }
        }
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        self.conditions(out)?;
        self.ratios(out)?;
        self.times(out)?;
        let (size, start) = (self.peak_kib as f64 / 1024.0, self.start_seconds);
        writeln!(out, "\n## Size and start\n\n| what | | aim | |\n|---|--:|--:|---|")?;
        let fits = verdict(size < MEBIBYTES);
        writeln!(
            out,
            "| server's resident memory, highest under load | **{size:.0} MiB** | < {MEBIBYTES} MiB | {fits} |"
        )?;
        // Of a part alone it is not measured.
        if start.is_nan() {
            return Ok(());
        }
        let fits = verdict(start < SECONDS);
        writeln!(out, "| start to ready, migrated database | **{start:.2} s** | < {SECONDS} s | {fits} |")
    }
}
