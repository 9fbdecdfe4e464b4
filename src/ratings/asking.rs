//! Asking for ratings: the morning after, each resident once for everything that was finished the day before.
//!
//! Nobody is asked at the door, where whoever served stands beside them. What was missed because the worker was down all day is not made up
//! for: who is asked days later only wonders what it was.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Date, Integer, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::App,
    clock::{CST, local_date, local_midnight},
    error::Result,
    messages::{self, Kind, NewMessage},
    settings::Switch,
    statement,
};

/// When people are asked, and until when it is not too late: hours of the day.
const FROM: TimeDelta = TimeDelta::hours(9);
const UNTIL: TimeDelta = TimeDelta::hours(20);

/// Residents in one transaction.
const BATCH: i64 = 200;

statement! {
    /// Active counties in which not everybody has been asked on a day.
    struct Counties { today: NaiveDate as Date }
    "SELECT c.id, c.key FROM counties c WHERE c.state = 'active' AND NOT EXISTS (SELECT FROM rating_rounds r WHERE r.county_id = c.id AND r.on_date = {today}) ORDER BY c.id"
}

#[derive(Clone, QueryableByName)]
struct County {
    #[diesel(sql_type = Integer)]
    id: i32,
    #[diesel(sql_type = Text)]
    key: String,
}

statement! {
    /// Whose appointments were done, errands delivered and orders confirmed in a time, and not rated yet; how many.
    struct Served {
        county: i32 as Integer, from: DateTime<Utc> as Timestamptz, until: DateTime<Utc> as Timestamptz, after: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    "WITH served AS ( \
         SELECT a.resident_id, 'appointment' AS about_kind, a.id FROM appointments a \
          WHERE a.county_id = {county} AND a.state = 'done' AND a.finished_at >= {from} AND a.finished_at < {until} AND a.resident_id IS NOT NULL \
         UNION SELECT e.resident_id, 'errand', e.id FROM errand_ledger l JOIN errands e ON e.county_id = l.county_id AND e.id = l.errand_id \
          WHERE l.county_id = {county} AND l.to_state = 'delivered' AND l.from_state IS DISTINCT FROM 'delivered' AND l.at >= {from} AND l.at < {until} \
            AND e.state IN ('delivered', 'archived') AND e.decided_on IS NOT NULL \
         UNION SELECT o.resident_id, 'order', o.id FROM orders o WHERE o.county_id = {county} AND o.state = 'confirmed' AND o.ended_at >= {from} AND o.ended_at < {until}) \
     SELECT s.resident_id, count(*) AS n FROM served s WHERE s.resident_id > {after} \
        AND NOT EXISTS (SELECT FROM ratings r WHERE r.county_id = {county} AND r.about_kind = s.about_kind AND r.about_id = s.id) \
      GROUP BY s.resident_id ORDER BY s.resident_id LIMIT {limit}"
}

#[derive(QueryableByName)]
struct Resident {
    #[diesel(sql_type = SqlUuid)]
    resident_id: Uuid,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

statement! {
    struct Asked { county: i32 as Integer, today: NaiveDate as Date, now: DateTime<Utc> as Timestamptz }
    "INSERT INTO rating_rounds (county_id, on_date, asked_at) VALUES ({county}, {today}, {now}) ON CONFLICT DO NOTHING"
}

/// Asks in every county; what fails in one does not keep the others waiting, and comes again.
pub async fn run(app: &Arc<App>) -> Result<()> {
    let now = app.clock.now();
    let today = local_date(now);
    let (from, until) = (local_midnight(today) + FROM, local_midnight(today) + UNTIL);
    if now < from || now >= until {
        return Ok(());
    }
    let mut failed = Ok(());
    for county in app.db.read("counties_to_ask", move |conn| Ok(Counties { today }.load::<County>(conn)?)).await? {
        failed = failed.and(everybody(app, &county, today, until).await);
    }
    failed
}

/// Everybody of a county, some at a time; a worker that dies in between leaves the rest to the next pass.
async fn everybody(app: &Arc<App>, county: &County, today: NaiveDate, until: DateTime<Utc>) -> Result<()> {
    let (id, now) = (county.id, app.clock.now());
    let ask = app.counties.public(app, &county.key).await?.settings.ratings_ask;
    let mut after = (ask == Switch::On).then_some(Uuid::nil());
    while let Some(last) = after {
        let write = app.db.write("ask_to_rate", move |conn| some(conn, id, (today, until), last, now));
        after = write.await?;
    }
    let done = app.db.write("asked_to_rate", move |conn| Ok(Asked { county: id, today, now }.execute(conn)?));
    done.await.map(drop)
}

/// The next ones after a resident; the last of them, if there are more.
fn some(
    conn: &mut PgConnection,
    county: i32,
    (today, until): (NaiveDate, DateTime<Utc>),
    after: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Uuid>> {
    let served = Served {
        county,
        from: local_midnight(today - Days::new(1)),
        until: local_midnight(today),
        after,
        limit: BATCH,
    };
    let rows: Vec<Resident> = served.load(conn)?;
    // Which morning it is tells one such message from the next.
    let occasion = local_midnight(today).timestamp();
    for Resident { resident_id: resident, n } in &rows {
        let params = json!({"count": n.to_string(), "until": until.with_timezone(&CST).to_rfc3339()});
        let (resident, kind) = (*resident, Kind::PleaseRate);
        messages::post(conn, NewMessage { county, resident, kind, about: resident, occasion, params }, now)?;
    }
    Ok(rows.last().filter(|_| rows.len() as i64 == BATCH).map(|row| row.resident_id))
}
