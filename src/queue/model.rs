//! A ticket (号票): an appointment, or somebody without one, on the way through the hall; and the window that calls.

use chrono::{DateTime, FixedOffset, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    app::App,
    appointments::model::AppointmentState,
    clock::CST,
    error::{Lang, Result},
    people,
    windows::{Channel, Place},
};

/// An appointment as the hall sees it, with names; the resident's is sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Ticket {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub state: AppointmentState,
    #[diesel(sql_type = Text)]
    pub channel: Channel,
    #[diesel(sql_type = Text)]
    pub place: Place,
    #[diesel(sql_type = SqlUuid)]
    pub unit_id: Uuid,
    #[diesel(sql_type = Text)]
    pub unit_name: String,
    /// The window that was booked.
    #[diesel(sql_type = SqlUuid)]
    pub window_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub matter_id: Uuid,
    #[diesel(sql_type = Text)]
    pub matter_name: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub resident_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub resident_name: Option<Vec<u8>>,
    #[diesel(sql_type = Timestamptz)]
    pub starts_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    pub ticket: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub arrived_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub on_time: Option<bool>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub queue_at: Option<DateTime<Utc>>,
    /// The window that calls or serves; of one that waits, the window it was transferred to.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub desk_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub desk_name: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub called_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = SmallInt)]
    pub calls: i16,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub served_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub finished_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub cancelled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub cancel_reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

/// A window as the hall sees it, and the ticket that it calls or serves.
#[derive(Clone, Debug, QueryableByName)]
pub struct Desk {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub unit_id: Uuid,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Bool)]
    pub open: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub paused_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    /// The matters that it serves.
    #[diesel(sql_type = Array<SqlUuid>)]
    pub matters: Vec<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub ticket: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub ticket_state: Option<AppointmentState>,
}

impl Desk {
    /// Whether it calls the next one when it is free.
    pub fn calls(&self) -> bool {
        self.open && self.paused_at.is_none()
    }
}

/// An id and its name.
#[derive(Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "民生事务窗口"}))]
pub struct QueueName {
    pub id: Uuid,
    pub name: String,
}

/// A ticket (号票): an appointment or a walk-in, on its way through the hall. `id` is the appointment's.
#[derive(Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e1", "ticket": "A001", "state": "arrived", "state_name": "已到达", "channel": "public",
    "place": "centre", "matter": {"id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "城乡居民医保参保登记"}, "unit": {"id": "0199a0c0-0000-7000-8000-000000000001", "name": "均溪镇"},
    "desk": null, "resident": {"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明"}, "starts_at": "2026-11-23T09:00:00+08:00", "arrived_at": "2026-11-23T08:55:00+08:00",
    "on_time": true, "called_at": null, "calls": 0, "served_at": null, "finished_at": null, "cancelled_at": null, "cancel_reason": null, "version": 2}))]
pub struct TicketView {
    pub id: Uuid,
    /// `A…` of appointments, `B…` of walk-ins; none before the arrival.
    pub ticket: Option<String>,
    pub state: AppointmentState,
    /// The state in the language of the request.
    pub state_name: String,
    pub channel: Channel,
    pub place: Place,
    pub matter: QueueName,
    pub unit: QueueName,
    /// The window that calls, serves or served; of one that waits, the window it was transferred to.
    #[schema(inline)]
    pub desk: Option<QueueName>,
    /// Masked; none for a walk-in whom nobody asked.
    #[schema(inline)]
    pub resident: Option<TicketResident>,
    /// The slot; of a walk-in the arrival.
    pub starts_at: DateTime<FixedOffset>,
    pub arrived_at: Option<DateTime<FixedOffset>>,
    /// Arrived within the grace of the slot (`queue.grace_minutes`): goes before walk-ins.
    pub on_time: Option<bool>,
    pub called_at: Option<DateTime<FixedOffset>>,
    /// How often it was called since it (last) arrived.
    pub calls: i16,
    pub served_at: Option<DateTime<FixedOffset>>,
    pub finished_at: Option<DateTime<FixedOffset>>,
    pub cancelled_at: Option<DateTime<FixedOffset>>,
    pub cancel_reason: Option<String>,
    pub version: i64,
}

/// Whose ticket it is; the name is masked.
#[derive(Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明"}))]
pub struct TicketResident {
    pub id: Uuid,
    pub name: Option<String>,
}

/// A time as it is told.
pub fn local(at: DateTime<Utc>) -> DateTime<FixedOffset> {
    at.with_timezone(&CST)
}

impl TicketView {
    pub fn new(app: &App, lang: Lang, row: Ticket) -> Result<Self> {
        let resident = match row.resident_id {
            Some(id) => {
                let sealed = (row.resident_name.as_deref(), None);
                let (name, _) = people::name_and_phone(app, (row.county_id, id), sealed, true)?;
                Some(TicketResident { id, name })
            }
            None => None,
        };
        Ok(Self {
            id: row.id,
            ticket: row.ticket,
            state: row.state,
            state_name: row.state.words().get(lang).to_owned(),
            channel: row.channel,
            place: row.place,
            matter: QueueName { id: row.matter_id, name: row.matter_name },
            unit: QueueName { id: row.unit_id, name: row.unit_name },
            desk: row.desk_id.zip(row.desk_name).map(|(id, name)| QueueName { id, name }),
            resident,
            starts_at: local(row.starts_at),
            arrived_at: row.arrived_at.map(local),
            on_time: row.on_time,
            called_at: row.called_at.map(local),
            calls: row.calls,
            served_at: row.served_at.map(local),
            finished_at: row.finished_at.map(local),
            cancelled_at: row.cancelled_at.map(local),
            cancel_reason: row.cancel_reason,
            version: row.version,
        })
    }
}
