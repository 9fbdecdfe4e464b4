//! What follows a step as a todo: what is missing and has to come, the call-back (回访) that a delivery asks for, and whoever was called
//! back and is not satisfied.

use std::sync::Arc;

use chrono::{Days, NaiveDate};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Bool, Date, Integer, Nullable, Text, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::acting::Frame;
use crate::{
    app::App,
    clock::local_midnight,
    db::found,
    error::{Result, Text as Words},
    jobs::{Job, Ticket},
    statement, text_enum,
    todos::{self, NewTodo},
};

text_enum! {
    /// What follows; the database orders it with the entry that it follows from.
    pub enum What {
        CallBack = "call_back",
        Unsatisfied = "unsatisfied",
        Supplement = "supplement",
    }
}

/// Opens the todo.
#[derive(Debug, Serialize, Deserialize)]
pub struct FollowUp {
    pub errand: Uuid,
    pub what: What,
}

impl Job for FollowUp {
    const KIND: &'static str = "follow_up_errand";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let frame = Frame::of_county(app, ticket.county).await?;
        let (id, what) = (self.errand, self.what);
        let follow = app.db.write("follow_up_errand", move |conn| {
            open(conn, (ticket.county, id), what, &frame)?;
            ticket.done(conn)
        });
        follow.await
    }
}

#[derive(QueryableByName)]
struct Followed {
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = Text)]
    matter: String,
    #[diesel(sql_type = SqlUuid)]
    resident_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    unit_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    holder_id: Option<Uuid>,
    /// While something is waited for.
    #[diesel(sql_type = Nullable<Date>)]
    supplement_until: Option<NaiveDate>,
}

statement! {
    /// Locked, so that whoever calls back comes before or after.
    struct Lock { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT e.number, (SELECT name FROM matters m WHERE m.county_id = e.county_id AND m.id = e.matter_id) AS matter, e.resident_id, e.unit_id, e.holder_id, \
       CASE WHEN e.state = 'supplement_requested' THEN (SELECT (l.facts ->> 'until')::date FROM errand_ledger l WHERE l.county_id = e.county_id AND l.errand_id = e.id \
         AND l.step = 'request_supplement' ORDER BY l.seq DESC LIMIT 1) END AS supplement_until \
     FROM errands e WHERE e.county_id = {county} AND e.id = {id} FOR NO KEY UPDATE"
}

statement! {
    struct Reached { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT EXISTS (SELECT FROM errand_ledger l WHERE l.county_id = {county} AND l.errand_id = {id} AND l.step = 'call_back' AND l.facts ->> 'reached' = 'true') AS reached"
}

#[derive(QueryableByName)]
struct IsReached {
    #[diesel(sql_type = Bool)]
    reached: bool,
}

fn open(conn: &mut PgConnection, (county, id): (i32, Uuid), what: What, frame: &Frame) -> Result<()> {
    let Some(errand) = found(Lock { county, id }.get_result::<Followed>(conn))? else { return Ok(()) };
    if what == What::CallBack && (Reached { county, id }).get_result::<IsReached>(conn)?.reached {
        return Ok(());
    }
    let (number, matter) = (&errand.number, &errand.matter);
    let (days, until) = (frame.settings.errands_call_back_days.unsigned_abs(), errand.supplement_until);
    if what == What::Supplement && until.is_none() {
        return Ok(());
    }
    let after = |day: NaiveDate| local_midnight(day + Days::new(1));
    let (kind, about, holder, due, title) = match what {
        What::CallBack => (
            todos::Kind::Call,
            "errand_call_back",
            errand.holder_id,
            frame.today + Days::new(days),
            Words::new(
                format!("回访：代办件 {number}（{matter}）已送达"),
                format!("Call back: errand {number} ({matter}) has been delivered"),
            ),
        ),
        What::Supplement => (
            todos::Kind::Call,
            "errand_supplement",
            errand.holder_id,
            until.unwrap_or(frame.today),
            Words::new(
                format!("催补正：代办件 {number}（{matter}）等居民补正材料"),
                format!("Something is missing: errand {number} ({matter}) waits for the resident"),
            ),
        ),
        What::Unsatisfied => (
            todos::Kind::Decide,
            "errand_unsatisfied",
            None,
            frame.today + Days::new(days),
            Words::new(
                format!("回访不满意：代办件 {number}（{matter}）"),
                format!("Not satisfied when called back: errand {number} ({matter})"),
            ),
        ),
    };
    let new = NewTodo {
        county,
        kind,
        unit: Some(errand.unit_id),
        resident: Some(errand.resident_id),
        about: Some((about, id)),
        title,
        holder,
        due_at: Some(after(due)),
        created_by: None,
    };
    todos::open(conn, new, frame.now)?;
    Ok(())
}
