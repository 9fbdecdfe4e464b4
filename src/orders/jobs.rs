//! Jobs about orders. The database writes the notices with the moves that they follow from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::notices;
use crate::{
    app::App,
    error::Result,
    jobs::{Job, Ticket},
};

/// Tells people of a move.
#[derive(Debug, Serialize, Deserialize)]
pub struct Notify {
    pub order: Uuid,
    pub seq: i32,
}

impl Job for Notify {
    const KIND: &'static str = "notify_order";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let now = app.clock.now();
        let notify = app.db.write("notify_order", move |conn| {
            notices::tell(conn, (ticket.county, self.order), self.seq, now)?;
            ticket.done(conn)
        });
        notify.await
    }
}
