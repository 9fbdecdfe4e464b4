//! Jobs about appointments.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{model::AppointmentState, store};
use crate::{
    app::App,
    clock::CST,
    error::Result,
    jobs::{Job, Ticket},
    messages::{self, NewMessage},
    text_enum,
};

text_enum! {
    /// What there is to tell.
    pub enum News {
        Booked = "booked",
        Changed = "changed",
        Cancelled = "cancelled",
        Offered = "offered",
        Called = "called",
    }
}

/// Tells the resident what happened to the appointment; ordered by the database with every move that is news.
#[derive(Debug, Serialize, Deserialize)]
pub struct Notify {
    pub appointment: Uuid,
    pub news: News,
    /// Of the appointment, after the move.
    pub version: i64,
}

impl Job for Notify {
    const KIND: &'static str = "notify_appointment";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let now = app.clock.now();
        app.db
            .write("notify_appointment", move |conn| {
                let row = store::for_job(conn, ticket.county, self.appointment)?;
                if self.news == News::Cancelled {
                    messages::withdraw(conn, ticket.county, store::BOOKED, self.appointment, now)?;
                }
                // What was cancelled or has begun meanwhile is no news.
                let row = row.filter(|row| row.state == AppointmentState::Booked && row.starts_at > now);
                if let Some(row) = row.filter(|_| self.news == News::Booked) {
                    let params = json!({
                        "matter": row.matter_name, "unit": row.unit_name, "window": row.window_name,
                        "starts_at": row.starts_at.with_timezone(&CST).to_rfc3339(),
                    });
                    // A relative who booked must know it too.
                    let told = [
                        (messages::Kind::AppointmentBooked, row.resident_id),
                        (messages::Kind::ProxyBooked, row.booked_by_resident),
                    ];
                    for (kind, resident) in told {
                        let Some(resident) = resident else { continue };
                        let (county, about, params) = (ticket.county, row.id, params.clone());
                        messages::post(conn, NewMessage { county, resident, kind, about, params }, now)?;
                    }
                }
                ticket.done(conn)
            })
            .await
    }
}
