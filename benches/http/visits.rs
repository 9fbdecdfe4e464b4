//! Visits: checking in with ten thousand and with ten million visits behind the county.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use uuid::Uuid;

use crate::{
    ROUNDS, Subject,
    errands::County,
    load::Measured,
    process::Amounts,
    report::{Case, Round},
    story,
    wire::request,
};

const FEW: usize = 10_000;
const MANY: usize = 10_000_000;
/// As many in both counties.
const HOUSEHOLDS: usize = 5_000;
/// Households of the township that somebody goes round.
const ROUND: usize = 100;
/// Check-ins of one batch.
const BATCH: usize = 50;

/// What every visit says.
const CLOCKS: &str = r#""outcome":"seen","place":"home","no_position_reason":"no_signal","note":"身体还好""#;

struct Story {
    token: String,
    households: Vec<String>,
    sent_at: String,
    turn: AtomicUsize,
}

impl Story {
    /// Logs in now: making the other county may have taken longer than a token lives.
    fn play(county: &County) -> Result<Self> {
        let County { server, database, unit, .. } = county;
        let households = database.texts(&format!(
            "SELECT h.id::text AS value FROM households h JOIN units u ON u.id = h.unit_id WHERE u.parent_id = '{unit}' AND h.state = 'active' ORDER BY md5(h.id::text) LIMIT {ROUND}"
        ))?;
        ensure!(households.len() == ROUND, "only {} households in the township", households.len());
        let sent_at =
            database.text("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS value")?;
        Ok(Self { token: story::township_staff(server)?, households, sent_at, turn: AtomicUsize::new(0) })
    }

    fn visit(&self) -> String {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (id, household, at) = (Uuid::now_v7(), &self.households[turn % ROUND], &self.sent_at);
        format!(r#"{{"id":"{id}","household_id":"{household}","device_at":"{at}",{CLOCKS}}}"#)
    }

    fn one(&self) -> Vec<u8> {
        let body = format!(r#"{{"sent_at":"{}","visit":{}}}"#, self.sent_at, self.visit());
        request("POST", "/v1/visits", Some(&self.token), Some(&Uuid::now_v7().to_string()), Some(&body))
    }

    fn batch(&self) -> Vec<u8> {
        let visits: Vec<_> = (0..BATCH).map(|_| self.visit()).collect();
        let body = format!(r#"{{"sent_at":"{}","visits":[{}]}}"#, self.sent_at, visits.join(","));
        request("POST", "/v1/visits/batch", Some(&self.token), Some(&Uuid::now_v7().to_string()), Some(&body))
    }
}

fn load(subject: &mut Subject, story: &Story, batch: bool) -> Result<Measured> {
    let expected: &[u16] = if batch { &[200] } else { &[201] };
    subject.load(expected, &|_, into| {
        into.extend(if batch { story.batch() } else { story.one() });
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
    let County { server, database: _few, .. } = few;
    let mut few = Subject { server, peak_kib: &mut 0 };
    let mut most = 0;
    let County { server, database: _many, .. } = many;
    let mut many = Subject { server, peak_kib: &mut most };
    println!("check-ins, one by one and fifty at once, in both");
    let (mut single, mut batches) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        single.push(beside((&mut few, &few_story), (&mut many, &many_story), false)?);
        batches.push(beside((&mut few, &few_story), (&mut many, &many_story), true)?);
    }
    drop((few, many));
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
