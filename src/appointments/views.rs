//! An appointment as it is answered.

use chrono::{DateTime, FixedOffset, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::{self, Appointment, AppointmentState};
use crate::{
    app::App,
    clock::CST,
    error::{Lang, Result},
    http::caller::Caller,
    people,
    windows::{Channel, Place},
};

/// An id and its name.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-000000000001", "name": "均溪镇"}))]
pub struct Named {
    pub id: Uuid,
    pub name: String,
}

/// The resident whom an appointment is for; masked for everybody else.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明", "phone": "138****8000"}))]
pub struct BookedResident {
    pub id: Uuid,
    pub name: Option<String>,
    pub phone: Option<String>,
}

/// An appointment (预约), or a ticket of somebody who came without one.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e1", "state": "booked", "state_name": "已预约", "channel": "public", "place": "centre", "address": null,
    "matter": {"id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "城乡居民医保参保登记"}, "unit": {"id": "0199a0c0-0000-7000-8000-000000000001", "name": "均溪镇"},
    "window": {"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "民生事务窗口"}, "starts_at": "2026-11-23T09:00:00+08:00", "ends_at": "2026-11-23T09:30:00+08:00",
    "resident": {"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张小明", "phone": "13800138000"}, "booked_by": null, "booked_by_resident": null,
    "held_until": null, "ticket": null, "arrived_at": null, "calls": 0, "desk_id": null,
    "cancelled_at": null, "cancel_reason": null, "version": 1, "created_at": "2026-11-21T20:15:00+08:00", "updated_at": "2026-11-21T20:15:00+08:00"}))]
pub struct AppointmentView {
    pub id: Uuid,
    pub state: AppointmentState,
    /// The state in the language of the request.
    pub state_name: String,
    pub channel: Channel,
    pub place: Place,
    /// Where to come, for `home`; plain for the resident, null for others: staff see it with `reveal`.
    pub address: Option<String>,
    pub matter: Named,
    pub unit: Named,
    /// Chosen by the system.
    pub window: Named,
    pub starts_at: DateTime<FixedOffset>,
    pub ends_at: DateTime<FixedOffset>,
    /// None for somebody who took a ticket without saying who they are.
    pub resident: Option<BookedResident>,
    /// The member of staff who booked for the resident (代约人).
    pub booked_by: Option<Uuid>,
    /// The relative or carer who booked for the resident (代约人).
    pub booked_by_resident: Option<Uuid>,
    /// Until when the place is kept, while `held`: book it before.
    pub held_until: Option<DateTime<FixedOffset>>,
    /// The number in the hall (排队号), from arrival on.
    pub ticket: Option<String>,
    pub arrived_at: Option<DateTime<FixedOffset>>,
    /// How often the ticket has been called.
    pub calls: i16,
    /// The window that calls or serves.
    pub desk_id: Option<Uuid>,
    pub cancelled_at: Option<DateTime<FixedOffset>>,
    pub cancel_reason: Option<String>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
    pub updated_at: DateTime<FixedOffset>,
}

impl AppointmentView {
    pub fn new(app: &App, caller: &Caller, lang: Lang, row: Appointment) -> Result<Self> {
        let own = row.resident_id == Some(caller.subject);
        let resident = row.resident_id.map(|id| {
            let sealed = (row.resident_name.as_deref(), row.resident_phone.as_deref());
            let (name, phone) = people::name_and_phone(app, (row.county_id, id), sealed, !own)?;
            Ok::<_, crate::error::Error>(BookedResident { id, name, phone })
        });
        let address = row.address.as_deref().filter(|_| own);
        let address = address
            .map(|sealed| app.keys.open_text(row.county_id, &model::address_place(row.id), sealed))
            .transpose()?;
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        Ok(Self {
            id: row.id,
            state: row.state,
            state_name: row.state.words().get(lang).to_owned(),
            channel: row.channel,
            place: row.place,
            address,
            matter: Named { id: row.matter_id, name: row.matter_name },
            unit: Named { id: row.unit_id, name: row.unit_name },
            window: Named { id: row.window_id, name: row.window_name },
            starts_at: local(row.starts_at),
            ends_at: local(row.ends_at),
            resident: resident.transpose()?,
            booked_by: row.booked_by,
            booked_by_resident: row.booked_by_resident,
            held_until: row.held_until.filter(|_| row.state == AppointmentState::Held).map(local),
            ticket: row.ticket,
            arrived_at: row.arrived_at.map(local),
            calls: row.calls,
            desk_id: row.desk_id,
            cancelled_at: row.cancelled_at.map(local),
            cancel_reason: row.cancel_reason,
            version: row.version,
            created_at: local(row.created_at),
            updated_at: local(row.updated_at),
        })
    }
}
