//! What was decided about a helper, each time and for good: whoever applies again does not wipe out why they were stopped.

use chrono::{DateTime, FixedOffset, Utc};
use diesel::{dsl::exists, prelude::*};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::Decision;
use crate::{app::App, clock::CST, db::schema::helper_decisions, error::Result};

/// What the sealed reason of a decision is bound to.
fn place(id: Uuid) -> String {
    format!("helper_decisions.reason/{id}")
}

/// A decision about a helper.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"decision": "stop", "decided_by": "0199a0c0-0000-7000-8000-0000000000a1", "decided_at": "2026-11-23T09:00:00+08:00", "reason": "多次爽约"}))]
pub struct HelperDecisionView {
    pub decision: Decision,
    pub decided_by: Uuid,
    pub decided_at: DateTime<FixedOffset>,
    /// None if there was none, or if it has been erased.
    pub reason: Option<String>,
}

/// Writes one down.
pub fn record(
    conn: &mut PgConnection,
    app: &App,
    (county, helper): (i32, Uuid),
    (decision, by, reason): (Decision, Uuid, Option<&str>),
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let id = Uuid::now_v7();
    let reason = reason.map(|reason| app.keys.seal(county, &place(id), reason.as_bytes()));
    diesel::insert_into(helper_decisions::table)
        .values((
            (helper_decisions::county_id.eq(county), helper_decisions::id.eq(id)),
            (helper_decisions::helper_id.eq(helper), helper_decisions::decision.eq(decision)),
            (helper_decisions::decided_by.eq(by), helper_decisions::decided_at.eq(now)),
            helper_decisions::reason.eq(reason),
        ))
        .execute(conn)
        .map(drop)
}

/// All of them, oldest first.
pub fn of(conn: &mut PgConnection, app: &App, county: i32, helper: Uuid) -> Result<Vec<HelperDecisionView>> {
    type Row = (Uuid, Decision, Uuid, DateTime<Utc>, Option<Vec<u8>>);
    let here = helper_decisions::table.filter(helper_decisions::county_id.eq(county));
    let here = here.filter(helper_decisions::helper_id.eq(helper));
    let columns = (
        helper_decisions::id,
        helper_decisions::decision,
        helper_decisions::decided_by,
        helper_decisions::decided_at,
        helper_decisions::reason,
    );
    let ordered = here.order((helper_decisions::decided_at, helper_decisions::id)).select(columns);
    let view = |(id, decision, decided_by, at, sealed): Row| {
        let reason = sealed.map(|sealed| app.keys.open_text(county, &place(id), &sealed)).transpose()?;
        Ok(HelperDecisionView { decision, decided_by, decided_at: at.with_timezone(&CST), reason })
    };
    ordered.load::<Row>(conn)?.into_iter().map(view).collect()
}

/// Whether a reason was ever written down.
pub fn has_reasons(conn: &mut PgConnection, county: i32, helper: Uuid) -> QueryResult<bool> {
    let here = helper_decisions::table.filter(helper_decisions::county_id.eq(county));
    let here = here.filter(helper_decisions::helper_id.eq(helper)).filter(helper_decisions::reason.is_not_null());
    diesel::select(exists(here)).get_result(conn)
}

/// What was said of somebody whose record is closed is gone; what was decided stays.
pub fn forget(conn: &mut PgConnection, county: i32, helper: Uuid) -> QueryResult<usize> {
    let here = helper_decisions::table.filter(helper_decisions::county_id.eq(county));
    let said = here.filter(helper_decisions::helper_id.eq(helper)).filter(helper_decisions::reason.is_not_null());
    diesel::update(said).set(helper_decisions::reason.eq(None::<Vec<u8>>)).execute(conn)
}
