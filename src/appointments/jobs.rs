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
};

/// Tells the resident that the appointment is booked.
#[derive(Debug, Serialize, Deserialize)]
pub struct NotifyBooked {
    pub appointment: Uuid,
}

impl Job for NotifyBooked {
    const KIND: &'static str = "notify_booked";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let now = app.clock.now();
        app.db
            .write("notify_booked", move |conn| {
                let row = store::for_job(conn, ticket.county, self.appointment)?;
                // What was cancelled or has begun meanwhile is no news.
                let row = row.filter(|row| row.state == AppointmentState::Booked && row.starts_at > now);
                if let Some(row) = row {
                    let params = json!({
                        "matter": row.matter_name, "unit": row.unit_name, "window": row.window_name,
                        "starts_at": row.starts_at.with_timezone(&CST).to_rfc3339(),
                    });
                    // A relative who booked must know it too.
                    let told = [
                        (messages::Kind::AppointmentBooked, Some(row.resident_id)),
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
