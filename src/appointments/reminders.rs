//! Reminders: the day before and the hour before, once each in effect.
//!
//! The mark on the appointment and the message are one transaction, so a pass may run anywhere, any number of times, and late: a
//! reminder whose time was missed is made up for as long as it is of use. The quiet hours are the business of messages: the hour before
//! the first slots of a morning is told when they end (08:30 at 08:00); whoever comes in that very moment has had the day before.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, SmallInt, Timestamptz},
};

use super::notices::{Facts, facts_to_tell};
use crate::{error::Result, messages::Kind, statement};

const DAY: TimeDelta = TimeDelta::days(1);
const HOUR: TimeDelta = TimeDelta::hours(1);

/// Appointments in one transaction: few enough that nobody who moves one of them waits long.
const BATCH: i64 = 100;

statement! {
    /// Marks what is due of those that stand at `reminded`. The version stays: nobody's screen is stale because of it.
    struct Due {
        reminded: i16 as SmallInt, now: DateTime<Utc> as Timestamptz, until: DateTime<Utc> as Timestamptz, hour: DateTime<Utc> as Timestamptz,
        limit: i64 as BigInt, version: i64 as BigInt,
    }
    concat!("WITH due AS ( \
       SELECT county_id, id FROM appointments WHERE state = 'booked' AND reminded = {reminded} AND starts_at > {now} AND starts_at <= {until} \
       ORDER BY starts_at LIMIT {limit} FOR UPDATE SKIP LOCKED) \
     UPDATE appointments a SET reminded = CASE WHEN a.starts_at <= {hour} THEN 2 ELSE 1 END FROM due \
     WHERE a.county_id = due.county_id AND a.id = due.id \
     RETURNING a.reminded, greatest(a.created_at, a.moved_at) AS made_at, ", facts_to_tell!())
}

#[derive(QueryableByName)]
struct Reminded {
    /// Which reminder is due: 1, the day before; 2, the hour before.
    #[diesel(sql_type = SmallInt)]
    reminded: i16,
    /// When it was booked, or last moved.
    #[diesel(sql_type = Timestamptz)]
    made_at: DateTime<Utc>,
    #[diesel(embed)]
    facts: Facts,
}

impl Reminded {
    /// The reminder, unless it was booked or moved within that very time: whoever has just been told needs none.
    fn kind(&self) -> Option<Kind> {
        let (kind, before) = match self.reminded {
            1 => (Kind::AppointmentTomorrow, DAY),
            _ => (Kind::AppointmentSoon, HOUR),
        };
        (self.made_at <= self.facts.starts_at - before).then_some(kind)
    }
}

fn remind(conn: &mut PgConnection, reminded: i16, before: TimeDelta, now: DateTime<Utc>) -> Result<bool> {
    let due = Due { reminded, now, until: now + before, hour: now + HOUR, limit: BATCH, version: i64::MAX };
    let rows: Vec<Reminded> = due.load(conn)?;
    for row in &rows {
        if let Some(kind) = row.kind() {
            row.facts.tell(conn, (kind, kind), row.facts.version, now)?;
        }
    }
    Ok(rows.len() == BATCH as usize)
}

/// Reminds those whose appointment begins within a day; true while there are more.
pub fn a_day_before(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<bool> {
    remind(conn, 0, DAY, now)
}

/// Reminds those whose appointment begins within the hour; true while there are more.
pub fn an_hour_before(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<bool> {
    remind(conn, 1, HOUR, now)
}
