//! The job that offers what has become free. The database orders it with the move that frees a place while somebody waits.

use std::sync::Arc;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::offers::{Line, Offering};
use crate::{
    app::App,
    error::Result,
    jobs::{Job, Ticket},
};

/// Offers what is free at a centre on a day to those who wait.
#[derive(Debug, Serialize, Deserialize)]
pub struct OfferPlaces {
    pub unit: Uuid,
    pub on: NaiveDate,
}

impl Job for OfferPlaces {
    const KIND: &'static str = "offer_places";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let line = Line { county: ticket.county, unit: self.unit, on: self.on };
        let offering = Offering::new(app, line).await?;
        let offer = app.db.write("offer_places", move |conn| {
            if offering.run(conn)? { ticket.later(conn, offering.now) } else { ticket.done(conn) }
        });
        offer.await
    }
}
