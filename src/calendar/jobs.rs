//! Jobs about the calendar: what an import means for what was arranged before.

use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

use super::store;
use crate::{
    app::App,
    error::Result,
    jobs::{Job, Ticket},
    rooms::{DaysChanged, ROOMS},
};

/// After so long every process has read the calendar again, and what it accepted by the old one is written.
pub const READ_EVERYWHERE: TimeDelta = TimeDelta::minutes(1);

/// Tells the rooms of one county that an import has changed whether some days work.
#[derive(Debug, Serialize, Deserialize)]
pub struct DaysHaveChanged {
    pub days: Vec<NaiveDate>,
}

impl Job for DaysHaveChanged {
    const KIND: &'static str = "days_have_changed";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let now = app.clock.now();
        let write = app.db.write("days_have_changed", move |conn| {
            let calendar = Arc::new(store::load(conn)?);
            let changed = DaysChanged { county: ticket.county, days: self.days.clone(), calendar, now };
            for room in ROOMS {
                room.days_changed.map_or(Ok(()), |tell| tell(conn, &changed))?;
            }
            ticket.done(conn)
        });
        write.await
    }
}
