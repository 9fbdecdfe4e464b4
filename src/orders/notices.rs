//! What people are told of orders, and whether it is still so when it is told: the resident's side, and helpers who are residents.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::model::{OrderState, Step};
use crate::{
    clock::{CST, local_date},
    db::found,
    error::Result,
    messages::{self, Kind, NewMessage},
    proxies::{self, May},
    statement,
};

statement! {
    /// A move, and the order as it is by now.
    struct Of { county: i32 as Integer, id: Uuid as SqlUuid, seq: i32 as Integer }
    "SELECT m.step, m.actor_id, m.facts ->> 'why' AS why, m.from_holder, m.holder_id AS then_holder, o.state, o.holder_id, o.number, o.resident_id, o.ordered_by_resident, \
       o.wanted_from, o.wanted_until, m.seq::bigint AS occasion, (SELECT k.name FROM order_kinds k WHERE k.county_id = o.county_id AND k.id = o.kind_id) AS kind_name, \
       (SELECT u.name FROM units u WHERE u.county_id = o.county_id AND u.id = o.unit_id) AS unit_name, \
       (SELECT h.resident_id FROM helpers h WHERE h.county_id = o.county_id AND h.id = m.holder_id) AS taker, \
       (SELECT h.resident_id FROM helpers h WHERE h.county_id = o.county_id AND h.id = m.from_holder) AS former \
     FROM order_moves m JOIN orders o ON o.county_id = m.county_id AND o.id = m.order_id WHERE m.county_id = {county} AND m.order_id = {id} AND m.seq = {seq}"
}

#[derive(Clone, Debug, QueryableByName)]
struct Told {
    #[diesel(sql_type = Text)]
    step: Step,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    actor_id: Option<Uuid>,
    /// Why the system did it.
    #[diesel(sql_type = Nullable<Text>)]
    why: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    from_holder: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    then_holder: Option<Uuid>,
    #[diesel(sql_type = Text)]
    state: OrderState,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    holder_id: Option<Uuid>,
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = SqlUuid)]
    resident_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    ordered_by_resident: Option<Uuid>,
    #[diesel(sql_type = Timestamptz)]
    wanted_from: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    wanted_until: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    occasion: i64,
    #[diesel(sql_type = Text)]
    kind_name: String,
    #[diesel(sql_type = Text)]
    unit_name: String,
    /// The record of whoever holds it after the move, and of whoever did before, if they are residents.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    taker: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    former: Option<Uuid>,
}

impl Told {
    /// What the resident's side is told, while it is still so. Nobody is told of what they have just done themselves.
    fn for_resident(&self) -> Option<Kind> {
        let same_holder = self.holder_id == self.then_holder;
        match self.step {
            Step::Claim | Step::Assign if same_holder && self.state.is_held() => Some(Kind::OrderClaimed),
            Step::SetOut if same_holder && self.state == OrderState::OnTheWay => Some(Kind::OrderOnTheWay),
            Step::Return if self.state == OrderState::Open => Some(Kind::OrderReturned),
            Step::Finish if self.state == OrderState::Finished => Some(Kind::OrderFinished),
            // With a series that was paused, changed or ended, or a record that was closed: that is known.
            Step::Cancel if self.why.is_none() => Some(Kind::OrderCancelled),
            Step::Settle => Some(Kind::OrderSettled),
            Step::Expire if self.state == OrderState::Expired => Some(Kind::OrderExpired),
            _ => None,
        }
    }

    /// What helpers are told: whoever got it without asking, and whoever lost it.
    fn for_helpers(&self) -> Vec<(Uuid, Kind)> {
        let mut told = Vec::new();
        if let (Step::Assign | Step::HandOver, Some(taker)) = (self.step, self.taker)
            && self.holder_id == self.then_holder
        {
            told.push((taker, Kind::OrderAssigned));
        }
        if self.step == Step::Settle {
            told.extend(self.taker.or(self.former).map(|helper| (helper, Kind::OrderSettled)));
            return told;
        }
        let lost = self.from_holder.is_some() && self.from_holder != self.then_holder;
        if let Some(former) = self.former.filter(|former| lost && self.actor_id != Some(*former)) {
            told.push((
                former,
                if self.step == Step::Cancel { Kind::OrderCancelledForHelper } else { Kind::OrderLost },
            ));
        }
        told
    }
}

/// Tells whoever a move concerns.
pub fn tell(conn: &mut PgConnection, (county, id): (i32, Uuid), seq: i32, now: DateTime<Utc>) -> Result<()> {
    let row: Option<Told> = found(Of { county, id, seq }.get_result(conn))?;
    let Some(row) = row else { return Ok(()) };
    let time = |at: DateTime<Utc>| at.with_timezone(&CST).to_rfc3339();
    let all = json!({"kind": row.kind_name, "number": row.number, "unit": row.unit_name, "wanted_from": time(row.wanted_from), "wanted_until": time(row.wanted_until)});
    let mut told = row.for_helpers();
    if let Some(kind) = row.for_resident() {
        told.extend([(row.resident_id, kind)].into_iter().filter(|(whom, _)| row.actor_id != Some(*whom)));
        if let Some(relative) = row.ordered_by_resident.filter(|relative| row.actor_id != Some(*relative))
            && proxies::acts_for(conn, county, (row.resident_id, relative), May::Order, local_date(now))?
        {
            told.push((relative, kind));
        }
    }
    for (resident, kind) in told {
        let used = kind.definition().placeholders.iter().map(|(name, _)| ((*name).to_owned(), all[*name].clone()));
        let params = Value::Object(used.collect());
        let new = NewMessage { county, resident, kind, about: id, occasion: row.occasion, params };
        messages::post(conn, new, now)?;
    }
    Ok(())
}
