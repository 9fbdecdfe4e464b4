//! One hot slot: a thousand people want the same place at the same moment.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};

use crate::{
    ROUNDS, Subject,
    load::Turn,
    pgbench::Fixture,
    report::{Case, Round},
    story::Story,
};

/// A centre with one window.
const CENTRE: &str = "石牌镇";

/// Everybody is answered, 201 or 409, against as many clients of pgbench updating one row: one who decides after the other.
pub fn slot(subject: &mut Subject, story: &Story, fixture: &Fixture) -> Result<[Case; 2]> {
    println!("one hot slot");
    let database = fixture.database;
    let unit = database
        .text(&format!("SELECT id::text AS value FROM units WHERE name = '{CENTRE}' AND level = 'township'"))?;
    let next = AtomicUsize::new(0);
    let rush = |_: Turn, into: &mut Vec<u8>| story.rush(&unit, next.fetch_add(1, Ordering::Relaxed), into);
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let theirs = fixture.hot()?;
        for (places, rounds) in [10, 1_000].into_iter().zip(&mut rounds) {
            database.run(&format!(
                "UPDATE opening_rules r SET capacity_public = {places}, capacity_proxy = 0, capacity_desk = 0 \
                 FROM windows w WHERE w.id = r.window_id AND w.unit_id = '{unit}'"
            ))?;
            let before = database.count("appointments")?;
            let ours = subject.load(&[201, 409], &rush)?;
            let booked = database.count("appointments")? - before;
            println!("  {places} places: {booked} booked");
            ensure!(booked > 0, "the slots were full before anybody asked");
            rounds.push(Round { theirs, their_tail: None, ours });
        }
    }
    let [few, many] = rounds;
    let crowd = Case {
        name: "a hot slot with 10 places and 1,000 callers: answers decided",
        against: "pgbench updating one row",
        aim: Some(0.7),
        rounds: few,
    };
    // No aim: most of these are bookings, of some eight rows each.
    let booked = Case {
        name: "a hot slot with a place for each of 1,000 callers",
        against: "pgbench updating one row; a booking writes eight",
        aim: None,
        rounds: many,
    };
    Ok([crowd, booked])
}
