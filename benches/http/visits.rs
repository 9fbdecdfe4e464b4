//! Visits: checking in with ten thousand and with ten million visits behind the county; each resolves a task and plans the next.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use lianxin::clock::Clock;
use uuid::Uuid;

use crate::{
    ROUNDS, Subject,
    database::Database,
    errands::County,
    load::{CONNECTIONS, Measured},
    process::Amounts,
    report::{Case, Round},
    story,
    wire::request,
};

const FEW: usize = 10_000;
const MANY: usize = 10_000_000;
/// As many in both counties.
const HOUSEHOLDS: usize = 5_000;
/// Households of the township that each phone goes round, nobody else's: one day after the other.
const ROUND: usize = 20;
/// Days that a phone has to tell of: older ones are refused.
const DAYS: usize = 364;
/// Check-ins of one batch.
const BATCH: usize = 50;

/// What every visit says.
const CLOCKS: &str = r#""outcome":"seen","place":"home","no_position_reason":"no_signal","note":"身体还好""#;

/// Phones that come back in the evening, or after days.
struct Story {
    token: String,
    households: Vec<String>,
    sent_at: DateTime<Utc>,
    /// Visits of each phone so far.
    turns: [AtomicUsize; CONNECTIONS],
}

impl Story {
    /// Logs in now: making the other county may have taken longer than a token lives.
    fn play(county: &County) -> Result<Self> {
        let County { server, database, unit, .. } = county;
        let most = CONNECTIONS * ROUND;
        let households = database.texts(&format!(
            "SELECT h.id::text AS value FROM households h JOIN units u ON u.id = h.unit_id WHERE u.parent_id = '{unit}' AND h.state = 'active' ORDER BY md5(h.id::text) LIMIT {most}"
        ))?;
        ensure!(households.len() == most, "only {} households in the township", households.len());
        daily(database)?;
        let turns = std::array::from_fn(|_| AtomicUsize::new(0));
        Ok(Self { token: story::township_staff(server)?, households, sent_at: Clock::System.now(), turns })
    }

    fn sent_at(&self) -> String {
        self.sent_at.to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// Day after day: what comes in order resolves the task that the day before has left.
    fn visit(&self, phone: usize) -> String {
        let turn = self.turns[phone].fetch_add(1, Ordering::Relaxed);
        let household = &self.households[phone * ROUND + turn % ROUND];
        let days_ago = DAYS - turn / ROUND % DAYS;
        let at = (self.sent_at - TimeDelta::days(days_ago as i64)).to_rfc3339_opts(SecondsFormat::Micros, true);
        let id = Uuid::now_v7();
        format!(r#"{{"id":"{id}","household_id":"{household}","device_at":"{at}",{CLOCKS}}}"#)
    }

    fn one(&self, phone: usize) -> Vec<u8> {
        let body = format!(r#"{{"sent_at":"{}","visit":{}}}"#, self.sent_at(), self.visit(phone));
        request("POST", "/v1/visits", Some(&self.token), Some(&Uuid::now_v7().to_string()), Some(&body))
    }

    fn batch(&self, phone: usize) -> Vec<u8> {
        let visits: Vec<_> = (0..BATCH).map(|_| self.visit(phone)).collect();
        let body = format!(r#"{{"sent_at":"{}","visits":[{}]}}"#, self.sent_at(), visits.join(","));
        request("POST", "/v1/visits/batch", Some(&self.token), Some(&Uuid::now_v7().to_string()), Some(&body))
    }
}

/// Everybody is to be seen every day, since before the first day that is told of: otherwise a household had one task, and all check-ins
/// but its first would resolve none.
fn daily(database: &Database) -> Result<()> {
    database.run(&format!(
        "UPDATE visit_categories SET every_days = 1, window_days = 1; \
         UPDATE visit_tasks SET opens_on = current_date - {DAYS} - 2 WHERE state = 'open'"
    ))
}

/// What is measured is what was meant: a phone that begins anew finds its days told already.
fn resolved(database: &Database) -> Result<()> {
    let (tasks, visits) =
        (database.count("visit_tasks WHERE state = 'resolved'")?, database.count("visits WHERE said IS NOT NULL")?);
    println!("  {visits} check-ins resolved {tasks} tasks");
    ensure!(tasks * 10 >= visits * 9, "only {tasks} of {visits} check-ins resolved a task");
    Ok(())
}

fn load(subject: &mut Subject, story: &Story, batch: bool) -> Result<Measured> {
    let expected: &[u16] = if batch { &[200] } else { &[201] };
    subject.load(expected, &|turn, into| {
        into.extend(if batch { story.batch(turn.connection) } else { story.one(turn.connection) });
        Ok(())
    })
}

/// The same in both, in turns.
fn beside(few: (&mut Subject, &Story), many: (&mut Subject, &Story), batch: bool) -> Result<Round> {
    let theirs = load(few.0, few.1, batch)?;
    let their_tail = Some(theirs.p99.as_secs_f64() / theirs.p50.as_secs_f64());
    Ok(Round { theirs: theirs.rate, their_tail, ours: load(many.0, many.1, batch)? })
}

pub fn cases(peak_kib: &mut u64) -> Result<Vec<Case>> {
    println!("two counties are generated, one with {MANY} visits behind it");
    let amounts = |visits| Amounts { households: HOUSEHOLDS, visits, ..Amounts::default() };
    let (few, many) = (County::generate(amounts(FEW), "serve")?, County::generate(amounts(MANY), "serve")?);
    ensure!(many.database.count("visits")? >= MANY as i64, "there are fewer visits than were asked for");
    let (few_story, many_story) = (Story::play(&few)?, Story::play(&many)?);
    let County { server, database: few_database, .. } = few;
    let mut few = Subject { server, peak_kib: &mut 0 };
    let mut most = 0;
    let County { server, database: many_database, .. } = many;
    let mut many = Subject { server, peak_kib: &mut most };
    println!("check-ins, one by one and fifty at once, in both");
    let (mut single, mut batches) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        single.push(beside((&mut few, &few_story), (&mut many, &many_story), false)?);
        batches.push(beside((&mut few, &few_story), (&mut many, &many_story), true)?);
    }
    drop((few, many));
    resolved(&few_database)?;
    resolved(&many_database)?;
    *peak_kib = most.max(*peak_kib);
    let against = "the same with 10,000";
    Ok(vec![
        Case {
            name: "a check-in (`POST /v1/visits`) with 10,000,000 visits",
            against,
            aim: Some(0.83),
            rounds: single,
        },
        Case { name: "50 check-ins in a batch with 10,000,000 visits", against, aim: Some(0.83), rounds: batches },
    ])
}
