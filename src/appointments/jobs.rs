//! Jobs about appointments. The database writes them with the moves that they follow from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::notices::{self, News};
use crate::{
    app::App,
    error::Result,
    jobs::{Job, Ticket},
};

/// Tells the resident, and the relative who booked, what happened to an appointment.
#[derive(Debug, Serialize, Deserialize)]
pub struct Notify {
    pub appointment: Uuid,
    pub news: News,
    /// Of the appointment, when it happened.
    pub version: i64,
}

impl Job for Notify {
    const KIND: &'static str = "notify_appointment";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let now = app.clock.now();
        let notify = app.db.write("notify_appointment", move |conn| {
            notices::tell(conn, (ticket.county, self.appointment), (self.news, self.version), now)?;
            ticket.done(conn)
        });
        notify.await
    }
}
