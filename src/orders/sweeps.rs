//! What time does to orders: leases end, dispatchers are asked, what nobody took runs out, whoever did not confirm is called. Each in effect
//! once: by the version of its order.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Integer, Timestamptz, Uuid as SqlUuid},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    acting::{self, Frame, todo},
    model::{Order, OrderState, Step},
    rules::{self, Facts, Said},
    store::{self, Seen, today},
};
use crate::{
    app::App,
    error::Result,
    statement,
    todos::{self, NewTodo},
};

/// How many are looked for at once.
const BATCH: i64 = 200;

statement! {
    /// Of counties that are not suspended (停用): while one is, its timers wait, and keep nobody else's waiting.
    struct Due { now: DateTime<Utc> as Timestamptz, limit: i64 as BigInt }
    "SELECT o.county_id, o.id FROM orders o WHERE o.due_at IS NOT NULL AND o.due_at <= {now} \
       AND EXISTS (SELECT FROM counties c WHERE c.id = o.county_id AND c.state = 'active') ORDER BY o.due_at LIMIT {limit}"
}

#[derive(Clone, Copy, QueryableByName)]
struct Found {
    #[diesel(sql_type = Integer)]
    county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Sees to everything that is due; what fails does not keep the rest waiting, and comes again.
pub async fn run(app: &Arc<App>) -> Result<()> {
    let now = app.clock.now();
    let mut frames: HashMap<i32, Frame> = HashMap::new();
    let mut failed = Ok(());
    loop {
        let due: Vec<Found> = app.db.read("due_orders", move |conn| Ok(Due { now, limit: BATCH }.load(conn)?)).await?;
        let mut done = 0;
        for Found { county_id: county, id } in due.iter().copied() {
            let frame = match frames.get(&county) {
                Some(frame) => frame.clone(),
                None => frames.entry(county).insert_entry(Frame::of_county(app, county).await?).get().clone(),
            };
            match app.db.write("move_due_order", move |conn| one(conn, (county, id), &frame)).await {
                Ok(moved) => done += usize::from(moved),
                Err(error) => failed = Err(error),
            }
        }
        // Whatever could not be moved would be found again.
        if due.len() < BATCH as usize || done == 0 {
            return failed;
        }
    }
}

/// What time does to an order now; false when somebody was faster.
fn one(conn: &mut PgConnection, (county, id): (i32, Uuid), frame: &Frame) -> Result<bool> {
    let Some(order) = store::find(conn, county, Seen::WHOLE, id, today(frame.now))? else { return Ok(false) };
    if order.due_at.is_none_or(|due| due > frame.now) {
        return Ok(false);
    }
    // Somebody is at it, or has yet to begin: nothing to ask, and nothing to write down.
    if order.state == OrderState::Expired && todos::waits(conn, county, todos::Kind::Decide, ("order_dispatch", id))? {
        return Ok(store::put_off(conn, &order, rules::next_morning(frame.now))?);
    }
    let (step, why) = match order.state {
        OrderState::Open if order.wanted_until <= frame.now => (Step::Expire, None),
        OrderState::Claimed => (Step::Return, Some("lease")),
        _ => (Step::Ask, None),
    };
    let facts = Facts::from_iter(why.map(|why| ("why".to_owned(), json!(why))));
    let said = Said { facts, ..Said::default() };
    if !acting::of_system(conn, &order, (step, &said), frame)? {
        return Ok(false);
    }
    ask(conn, &order, step, frame.now)?;
    if step == Step::Return {
        tell_staff(conn, &order, frame.now)?;
    }
    Ok(true)
}

/// Staff who lost what they had claimed learn it here: messages are for residents.
fn tell_staff(conn: &mut PgConnection, order: &Order, now: DateTime<Utc>) -> Result<()> {
    let Some(staff) = order.holder_staff else { return Ok(()) };
    let words = ("未按时出发，已退回待接单", "went back to the pool: you were not on the way in time");
    let new = todo(("order_lost", todos::Kind::Decide), order.unit_id, order, words, None);
    todos::open(conn, NewTodo { holder: Some(staff), ..new }, now)?;
    Ok(())
}

/// Who has to act because time is up.
fn ask(conn: &mut PgConnection, order: &Order, step: Step, now: DateTime<Utc>) -> Result<()> {
    let (about, words) = match (step, order.state) {
        (Step::Expire, _) | (Step::Ask, OrderState::Expired) => (
            ("order_dispatch", todos::Kind::Decide),
            ("过期无人接单，请安排", "ran out and nobody took it; find somebody"),
        ),
        (Step::Ask, OrderState::Open) => {
            (("order_dispatch", todos::Kind::Decide), ("等待派单", "waits for somebody to be assigned"))
        }
        (Step::Ask, OrderState::OnTheWay | OrderState::AtWork) => (
            ("order_late", todos::Kind::Call),
            ("超过约定时间未完成，请了解情况", "is not done though its time is over; find out why"),
        ),
        (Step::Ask, OrderState::Finished) => {
            (("order_call_back", todos::Kind::Call), ("居民未确认，请回访", "is not confirmed; call the resident"))
        }
        _ => return Ok(()),
    };
    let unit = store::township(conn, order.county_id, order.unit_id)?;
    todos::open(conn, todo(about, unit, order, words, None), now)?;
    Ok(())
}
