//! Arriving: at the desk by the list, by code or by phone, and without an appointment.

use actix_web::{post, web::Data};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, RunQueryDsl};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    handles,
    model::{Ticket, TicketView},
    rules::{self, Outcome},
    store::{self, Candidate, Hand, WalkIn},
};
use crate::{
    app::App,
    appointments::model::AppointmentState as State,
    audit::{self, Audit},
    clock::{local_date, local_midnight},
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::ServeQueue,
        valid::{Id, Valid},
    },
    people::{self, Phone},
};

/// The settings that the hall goes by, as they are now.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub grace: TimeDelta,
    pub calls: i64,
    pub service_minutes: i64,
}

impl Rules {
    pub async fn of(app: &App, county: &str) -> Result<Self> {
        let settings = &app.counties.public(app, county).await?.settings;
        Ok(Self {
            grace: TimeDelta::minutes(settings.queue_grace_minutes),
            calls: settings.queue_calls,
            service_minutes: settings.queue_service_minutes,
        })
    }
}

/// Puts a locked ticket into the line, with a number if it has none.
pub fn enter(
    conn: &mut PgConnection,
    row: Ticket,
    rules: Rules,
    by: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Ticket> {
    let mut new = match rules::arrive(&row, rules.grace, now)? {
        Outcome::Already => return Ok(row),
        Outcome::Becomes(new) => *new,
    };
    if new.ticket.is_none() {
        let number = store::number(conn, (new.county_id, new.unit_id), local_date(now), false)?;
        new.ticket = Some(rules::label(false, number));
    }
    store::apply(conn, new, by, now)
}

/// A ticket for somebody without an appointment.
#[derive(Clone, Copy, Debug)]
pub struct NewWalkIn {
    pub county: i32,
    pub id: Uuid,
    pub unit: Uuid,
    pub matter: Uuid,
    pub resident: Option<Uuid>,
    pub by: Option<Uuid>,
}

/// How long a walk-in is written down as lasting; nothing depends on it.
const WALK_IN: TimeDelta = TimeDelta::minutes(30);

pub fn walk_in(conn: &mut PgConnection, new: NewWalkIn, now: DateTime<Utc>) -> Result<Ticket> {
    let NewWalkIn { county, id, unit, matter, resident, by } = new;
    let window = store::window_for(conn, county, unit, matter)?.ok_or_else(|| {
        Error::field("/matter_id", "not_served", "本中心没有窗口办理该事项", "no open window of this centre serves it")
    })?;
    let on_date = local_date(now);
    let ticket = rules::label(true, store::number(conn, (county, unit), on_date, true)?);
    let ends_at = now + WALK_IN;
    let row = WalkIn { county, id, unit, window, matter, resident, booked_by: by, on_date, now, ends_at, ticket };
    Ok(row.get_result(conn)?)
}

/// Who stands at the desk.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "7K3MPQ2XWH5RTN8CVEJ4"}))]
pub struct ArriveAppointment {
    /// The code that they show, to be sure that it is theirs. Up to 64 characters.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    code: Option<String>,
}

/// Arrive for an appointment
///
/// Gives a ticket (`A001`, …) and a place in line: on the day itself, from 2 hours before the slot. Within 15 minutes of the slot
/// (`queue.grace_minutes`) the place is that of the slot, later that of the arrival. Whoever has missed their calls comes back
/// with the same ticket, behind those who wait. Pressed twice it answers the same ticket: the row is locked, and what is in line
/// stays as it is.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(("id" = Uuid, Path, description = "The appointment"), IdempotencyHeader),
    request_body = ArriveAppointment, responses((status = 200, description = "The ticket", body = TicketView)),
    extensions(("x-errors" = json!(["arrival_too_early", "cannot_arrive", "code_of_another", "not_at_centre", "not_today"]))))]
#[post("/v1/appointments/{id}/arrive")]
pub async fn arrive_appointment(
    caller: Can<ServeQueue>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<ArriveAppointment>,
) -> Result<Answer> {
    let once = Once::new(&caller, "arrive_appointment", key, body.digest);
    let rules = Rules::of(&app, &caller.county_key).await?;
    let (who, now) = (Caller::clone(&caller), app.clock.now());
    let hand = Hand::of(&caller, now);
    let (entry, code, inner) = (Audit::new("arrive", "appointment", id.0), body.value.code, app.clone());
    app.once(once, move |conn| {
        let row = store::lock(conn, hand, id.0)?;
        if let Some(code) = &code
            && handles::find(conn, &inner, who.county, code)? != Some(row.id)
        {
            return Err(Code::CodeOfAnother.into());
        }
        let row = enter(conn, row, rules, who.staff(), now)?;
        audit::record(conn, &who, now, &entry)?;
        Answer::ok(row.version, &TicketView::new(&inner, lang, row)?)
    })
    .await
}

/// Who has come: by the code that they show, or by the phone that they name.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000001", "phone": "13950900001"}))]
pub struct CreateArrival {
    /// At whose centre.
    unit_id: Uuid,
    /// Up to 64 characters.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    code: Option<String>,
    /// The whole number; either this or `code`.
    #[validate(length(min = 1, max = 20))]
    #[schema(min_length = 1, max_length = 20)]
    phone: Option<String>,
}

/// What somebody is found by.
#[derive(Clone)]
enum By {
    Code(String),
    Phone(Phone),
}

impl CreateArrival {
    fn by(&self) -> Result<By> {
        match (&self.code, &self.phone) {
            (Some(code), None) => Ok(By::Code(code.clone())),
            (None, Some(phone)) => phone.parse().map(By::Phone).map_err(|_| {
                Error::field("/phone", "phone", "须为 11 位大陆手机号", "a mainland mobile number of 11 digits")
            }),
            _ => {
                let text = Text::fixed("code 与 phone 须且只能填一个", "exactly one of code and phone");
                Err(Error::invalid(vec![FieldError::body("", "one_of", text)]))
            }
        }
    }
}

/// The appointment that a code leads to, at this centre.
pub fn by_code(conn: &mut PgConnection, app: &App, (county, unit): (i32, Uuid), code: &str) -> Result<Ticket> {
    let id = handles::find(conn, app, county, code)?.ok_or(Code::NobodyArrives)?;
    let row = store::lock_any(conn, county, id)?;
    if row.unit_id != unit {
        let (zh, en) = (format!("该预约在{}", row.unit_name), format!("It is at {}", row.unit_name));
        return Err(Error::new(Code::ArrivalElsewhere).detail(zh, en));
    }
    Ok(row)
}

/// The one appointment of today whom a phone means: of those that can arrive now, else of those in line, else the next that is
/// still too early.
fn chosen(candidates: &[Candidate], now: DateTime<Utc>) -> Result<Uuid> {
    let may_arrive = |one: &&Candidate| one.state == State::Booked && now >= one.starts_at - rules::EARLIEST;
    let ready: Vec<_> = candidates.iter().filter(may_arrive).collect();
    let in_line: Vec<_> = candidates.iter().filter(|one| one.state != State::Booked).collect();
    match (ready.as_slice(), in_line.as_slice()) {
        ([one], _) | ([], [one]) => Ok(one.id),
        ([], []) => candidates.first().map(|one| one.id).ok_or(Code::NobodyArrives.into()),
        ([], many) | (many, _) => {
            let (zh, en) = (format!("共有 {} 个预约，请从列表中选择", many.len()), format!("There are {}", many.len()));
            Err(Error::new(Code::ArrivalAmbiguous).detail(zh, en))
        }
    }
}

/// Find and arrive by code or phone
///
/// For the desk: the code from somebody's phone or slip, or the phone that they name. By phone it is today's appointment of
/// whoever has that number; when there are several, `arrival_ambiguous` tells how many, and the desk picks from the list.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(IdempotencyHeader), request_body = CreateArrival,
    responses((status = 200, description = "The ticket", body = TicketView)),
    extensions(("x-errors" = json!(["arrival_ambiguous", "arrival_elsewhere", "arrival_too_early", "cannot_arrive", "nobody_arrives", "not_at_centre", "not_found", "not_today"]))))]
#[post("/v1/arrivals")]
pub async fn create_arrival(
    caller: Can<ServeQueue>,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<CreateArrival>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_arrival", key, body.digest);
    let (by, unit) = (body.value.by()?, body.value.unit_id);
    let rules = Rules::of(&app, &caller.county_key).await?;
    let (who, now) = (Caller::clone(&caller), app.clock.now());
    let hand = Hand::of(&caller, now);
    let (entry, inner) = (Audit::new("arrive", "appointment", Uuid::nil()), app.clone());
    app.once(once, move |conn| {
        store::reach(conn, hand, unit)?;
        let here = (who.county, unit);
        let row = match &by {
            By::Code(code) => by_code(conn, &inner, here, code)?,
            By::Phone(phone) => {
                let phones = inner.keys.blinds(who.county, "phone", phone.as_ref());
                let today = local_midnight(local_date(now));
                let found = store::of_phone(conn, here, phones, (today, today + TimeDelta::days(1)))?;
                store::lock_any(conn, who.county, chosen(&found, now)?)?
            }
        };
        let row = enter(conn, row, rules, who.staff(), now)?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        Answer::ok(row.version, &TicketView::new(&inner, lang, row)?)
    })
    .await
}

fn within_reach(conn: &mut PgConnection, hand: Hand, resident: Uuid) -> Result<Uuid> {
    let seen = people::find(conn, hand.scope, resident)?;
    let there = seen.map(|row| people::present(conn, hand.scope.county, row.id)).transpose()?.flatten();
    there.ok_or_else(|| {
        let (zh, en) = ("没有这位居民，或不在您的管辖范围", "There is no such resident within your reach");
        Error::field("/resident_id", "unknown_resident", zh, en)
    })
}

/// A ticket without an appointment.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000001", "matter_id": "0199a0c0-0000-7000-8000-0000000000b1"}))]
pub struct CreateWalkIn {
    /// At whose centre.
    unit_id: Uuid,
    /// For what.
    matter_id: Uuid,
    /// For whom, where that is known.
    resident_id: Option<Uuid>,
}

/// Take a ticket without an appointment
///
/// The ticket (`B001`, …) joins the same line: behind those who are on time for their slot. An open window of the centre has to
/// serve the matter.
#[utoipa::path(tag = "queue", security(("token" = ["queue:serve"])), params(IdempotencyHeader), request_body = CreateWalkIn,
    responses((status = 201, description = "The ticket", body = TicketView)), extensions(("x-errors" = json!(["not_found"]))))]
#[post("/v1/walk_ins")]
pub async fn create_walk_in(
    caller: Can<ServeQueue>,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<CreateWalkIn>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_walk_in", key, body.digest);
    let (who, now) = (Caller::clone(&caller), app.clock.now());
    let hand = Hand::of(&caller, now);
    let (id, command) = (Uuid::now_v7(), body.value);
    let (entry, inner) = (Audit::new("walk_in", "appointment", id), app.clone());
    app.once(once, move |conn| {
        let (county, unit) = (who.county, command.unit_id);
        store::reach(conn, hand, unit)?;
        let resident = command.resident_id.map(|resident| within_reach(conn, hand, resident)).transpose()?;
        let new = NewWalkIn { county, id, unit, matter: command.matter_id, resident, by: who.staff() };
        let row = walk_in(conn, new, now)?;
        audit::record(conn, &who, now, &entry)?;
        Answer::created(format!("/v1/appointments/{id}"), row.version, &TicketView::new(&inner, lang, row)?)
    })
    .await
}
