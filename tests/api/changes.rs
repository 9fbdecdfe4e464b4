//! The change feed: a late commit is never skipped.

use diesel::{Connection, RunQueryDsl, connection::SimpleConnection};
use lianxin::db::changes::{self, Change, Position};
use uuid::Uuid;

use crate::harness::{NOW, TestApp, at};

fn change(entity_id: Uuid) -> Change {
    Change { county: 1, entity: "test", entity_id, unit_id: None, resident_id: None, staff_id: None, gone: false }
}

#[actix_web::test]
async fn what_commits_late_is_read_late_but_read() {
    let t = TestApp::new().await;
    let (mut slow, mut fast, mut reader) = (t.database.service(), t.database.service(), t.database.service());
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let mut start = Position::default();
    for seen in changes::since(&mut reader, 1, start, 1_000).expect("read") {
        start = Position { xid: seen.xid, seq: seen.seq };
    }
    slow.batch_execute("BEGIN").expect("begun");
    changes::record(&mut slow, change(first), at(NOW)).expect("recorded");
    changes::record(&mut fast, change(second), at(NOW)).expect("recorded");
    let seen = changes::since(&mut reader, 1, start, 10).expect("read");
    assert!(seen.is_empty(), "nothing beyond a transaction that is still running: {seen:?}");
    slow.batch_execute("COMMIT").expect("committed");
    let asked = std::time::Instant::now();
    let mut seen = Vec::new();
    while seen.len() < 2 && asked.elapsed() < std::time::Duration::from_secs(30) {
        seen = changes::since(&mut reader, 1, start, 10).expect("read").into_iter().map(|row| row.entity_id).collect();
    }
    assert_eq!(seen, [first, second]);
}

#[actix_web::test]
async fn a_reader_that_follows_along_misses_nothing_and_sees_nothing_twice() {
    let t = TestApp::new().await;
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let url = t.database.service_url.clone();
            std::thread::spawn(move || {
                let mut conn = diesel::PgConnection::establish(&url).expect("connects");
                let mut written = Vec::new();
                for number in 0..60 {
                    let id = Uuid::now_v7();
                    conn.batch_execute("BEGIN").expect("begun");
                    changes::record(&mut conn, change(id), at(NOW)).expect("recorded");
                    // Some transactions take longer than others; every fifth is rolled back.
                    let pause = format!("SELECT pg_sleep({})", f64::from((writer * 7 + number) % 5) / 1000.0);
                    diesel::sql_query(pause).execute(&mut conn).expect("slept");
                    let keep = number % 5 != 4;
                    conn.batch_execute(if keep { "COMMIT" } else { "ROLLBACK" }).expect("ended");
                    written.extend(keep.then_some(id));
                }
                written
            })
        })
        .collect();
    let (mut reader, mut position, mut seen) = (t.database.service(), Position::default(), Vec::new());
    let mut follow = |seen: &mut Vec<Uuid>| {
        for row in changes::since(&mut reader, 1, position, 7).expect("read") {
            let next = Position { xid: row.xid, seq: row.seq };
            assert!(next > position);
            position = next;
            seen.extend((row.entity == "test").then_some(row.entity_id));
        }
    };
    while !writers.iter().all(std::thread::JoinHandle::is_finished) {
        follow(&mut seen);
    }
    let mut written: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().expect("wrote")).collect();
    // Transactions of other tests on the same server hold the horizon back for a while; they end.
    let asked = std::time::Instant::now();
    while seen.len() < written.len() && asked.elapsed() < std::time::Duration::from_secs(30) {
        follow(&mut seen);
    }
    for _ in 0..10 {
        follow(&mut seen);
    }
    written.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, written);
}
