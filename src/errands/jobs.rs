//! Jobs about errands. The database writes the notices with the steps that they follow from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    notices::{self, News},
    recount,
};
use crate::{
    app::App,
    error::Result,
    jobs::{self, Job, Ticket},
};

/// Tells the resident what happened to an errand.
#[derive(Debug, Serialize, Deserialize)]
pub struct Notify {
    pub errand: Uuid,
    pub news: News,
    /// Of the errand, when it happened.
    pub version: i64,
}

impl Job for Notify {
    const KIND: &'static str = "notify_errand";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let now = app.clock.now();
        let notify = app.db.write("notify_errand", move |conn| {
            notices::tell(conn, (ticket.county, self.errand), (self.news, self.version), now)?;
            ticket.done(conn)
        });
        notify.await
    }
}

/// Counts the deadlines of a county again by the calendar of today, batch by batch.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recount {}

impl Job for Recount {
    const KIND: &'static str = "recount_errands";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        recount::county(app, ticket.county).await?;
        app.db.write("recounted_errands", move |conn| ticket.done(conn)).await
    }
}

/// Wants a county's deadlines counted again.
pub fn want_recount(conn: &mut diesel::PgConnection, county: i32, now: chrono::DateTime<chrono::Utc>) -> Result<()> {
    Ok(jobs::push(conn, county, &Recount {}, now)?)
}
