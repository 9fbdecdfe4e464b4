//! Who did not come, who is excused, and the end of the day.

use actix_web::post;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid},
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    buttons::{Button, QueueCommand, press},
    model::TicketView,
};
use crate::{
    appointments::model::AppointmentState,
    clock::{local_date, local_midnight},
    error::{Result, Text},
    http::{
        caller::Can, command::Command, document::IdempotencyHeader, idempotency::Answer, permissions::ServeQueue,
        valid::Id,
    },
    statement,
    todos::{self, NewTodo},
};

/// Note a no-show
///
/// From the end of the grace on. What nobody notes by the end of the day is noted then. Pressed twice it changes nothing.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "Did not come", body = TicketView)),
    extensions(("x-errors" = json!(["no_show_too_early", "not_booked"]))))]
#[post("/v1/appointments/{id}/no_show")]
pub async fn note_no_show(caller: Can<ServeQueue>, id: Id, command: Command<QueueCommand>) -> Result<Answer> {
    press(caller, id, command, |_| Button::NoShow).await
}

/// Why it does not count.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "到场但登记有误"}))]
pub struct ExcuseAppointment {
    /// 2 to 200 characters; kept in the audit log.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    reason: String,
}

/// Excuse a no-show
///
/// Who was wrongly noted as not having come, or missed their calls with good reason: cancelled instead, so that it does not
/// count against them.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = ExcuseAppointment, responses((status = 200, description = "Cancelled", body = TicketView)), extensions(("x-errors" = json!(["not_booked"]))))]
#[post("/v1/appointments/{id}/excuse")]
pub async fn excuse_appointment(
    caller: Can<ServeQueue>,
    id: Id,
    command: Command<ExcuseAppointment>,
) -> Result<Answer> {
    press(caller, id, command, |why| Button::Excuse(why.reason)).await
}

/// Rows at once: each brings its change, its history and perhaps a message.
const BATCH: i64 = 200;

/// What somebody is told who waited and whose turn never came, and whose visit nobody noted.
const NOT_REACHED: &str = "当日未能办理，系统已关闭，工作人员会与您联系";

statement! {
    /// Appointments of days before: at a centre that noted who came, those not noted did not come. Where nobody noted anybody (the
    /// system was away, or the hall is not run with it) nothing is held against anyone. Whether somebody was visited or telephoned
    /// is not for a clock to say either: a person asks.
    struct CloseBooked { midnight: DateTime<Utc> as Timestamptz, now: DateTime<Utc> as Timestamptz, reason: &'static str as SqlText, batch: i64 as BigInt }
    "WITH old AS (SELECT county_id, id FROM appointments WHERE state = 'booked' AND starts_at < {midnight} \
       ORDER BY starts_at LIMIT {batch} FOR NO KEY UPDATE SKIP LOCKED) \
     UPDATE appointments a SET state = CASE WHEN a.place <> 'centre' THEN 'cancelled' \
         WHEN EXISTS (SELECT FROM queue_days d WHERE d.county_id = a.county_id AND d.unit_id = a.unit_id AND d.on_date = a.on_date) THEN 'no_show' \
         ELSE 'lapsed' END, \
       cancelled_at = CASE WHEN a.place <> 'centre' THEN {now} END, cancel_reason = CASE WHEN a.place <> 'centre' THEN {reason} END, \
       version = a.version + 1, updated_at = {now}, updated_by = NULL \
     FROM old WHERE a.county_id = old.county_id AND a.id = old.id RETURNING a.county_id, a.id, a.unit_id, a.resident_id, a.state"
}

statement! {
    /// Tickets of days before.
    struct CloseLine { midnight: DateTime<Utc> as Timestamptz, now: DateTime<Utc> as Timestamptz, reason: &'static str as SqlText, batch: i64 as BigInt }
    "WITH old AS (SELECT county_id, id FROM appointments WHERE state IN ('arrived', 'called', 'serving') AND starts_at < {midnight} \
       LIMIT {batch} FOR NO KEY UPDATE SKIP LOCKED) \
     UPDATE appointments a SET state = CASE a.state WHEN 'called' THEN 'missed' WHEN 'serving' THEN 'done' ELSE 'cancelled' END, \
       finished_at = CASE WHEN a.state = 'serving' THEN {now} END, \
       cancelled_at = CASE WHEN a.state = 'arrived' THEN {now} END, cancel_reason = CASE WHEN a.state = 'arrived' THEN {reason} END, \
       version = a.version + 1, updated_at = {now}, updated_by = NULL \
     FROM old WHERE a.county_id = old.county_id AND a.id = old.id RETURNING a.county_id, a.id, a.unit_id, a.resident_id, a.state"
}

statement! {
    /// Holds of days before, which nobody can confirm any more. Offers of the waiting list lapse with their entries.
    struct CloseHeld { midnight: DateTime<Utc> as Timestamptz, now: DateTime<Utc> as Timestamptz, batch: i64 as BigInt }
    "WITH old AS (SELECT county_id, id FROM appointments WHERE state = 'held' AND held_until < {now} AND starts_at < {midnight} AND waiting_id IS NULL \
       ORDER BY held_until LIMIT {batch} FOR NO KEY UPDATE SKIP LOCKED) \
     UPDATE appointments a SET state = 'lapsed', version = a.version + 1, updated_at = {now}, updated_by = NULL \
     FROM old WHERE a.county_id = old.county_id AND a.id = old.id RETURNING a.county_id, a.id, a.unit_id, a.resident_id, a.state"
}

#[derive(QueryableByName)]
struct Closed {
    #[diesel(sql_type = Integer)]
    county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    unit_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    resident_id: Option<Uuid>,
    #[diesel(sql_type = SqlText)]
    state: AppointmentState,
}

/// Closes what days before left open, of all counties, however long nobody did; true while there is more. Whoever waited and was
/// never called gets a call from a person, who says sorry and finds a new time.
pub fn close_days(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<bool> {
    let (midnight, reason, batch) = (local_midnight(local_date(now)), NOT_REACHED, BATCH);
    let booked: Vec<Closed> = CloseBooked { midnight, now, reason, batch }.load(conn)?;
    let line: Vec<Closed> = CloseLine { midnight, now, reason, batch }.load(conn)?;
    let held: Vec<Closed> = CloseHeld { midnight, now, batch }.load(conn)?;
    let more = [&booked, &line, &held].iter().any(|closed| closed.len() as i64 == BATCH);
    for row in booked.iter().chain(&line).filter(|row| row.state == AppointmentState::Cancelled) {
        // Whom nobody asked for a name nobody can call.
        let Some(resident) = row.resident_id else { continue };
        let title = Text::new(
            "预约当日未能办理或未登记结果：请致电致歉并另约时间",
            "Not served, or nothing noted, on the day: call, say sorry and find a new time",
        );
        let new = NewTodo {
            county: row.county_id,
            kind: todos::Kind::Call,
            unit: Some(row.unit_id),
            resident: Some(resident),
            about: Some(("appointment", row.id)),
            title,
            holder: None,
            due_at: None,
            created_by: None,
        };
        todos::open(conn, new, now)?;
    }
    Ok(more)
}
