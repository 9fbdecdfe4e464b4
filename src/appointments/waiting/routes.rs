//! Joining the waiting list, looking and leaving over HTTP.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{Entry, WaitingState, address_place},
    rules::{self, WaitingError},
    store::{self, Filter, Join},
};
use crate::{
    app::App,
    appointments::{
        booking::{self, Rules},
        facts::{About, Facts, facts},
        placing::{self, Offered, Wish},
        rules as booking_rules,
        views::{BookedResident, Named},
    },
    audit::{self, Audit},
    clock::{CST, local_date},
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can, Scope},
        document::IdempotencyHeader,
        etag::etag,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::{BookAppointments, CancelAppointments, ReadAppointments},
        valid::{Id, Query, Valid},
    },
    people,
    windows::{Channel, Place},
};
use diesel::RunQueryDsl;

/// An entry of the waiting list (候补).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f1", "state": "waiting", "state_name": "候补中", "channel": "public", "place": "centre", "address": null,
    "matter": {"id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "城乡居民医保参保登记"}, "unit": {"id": "0199a0c0-0000-7000-8000-000000000001", "name": "均溪镇"},
    "resident": {"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张小明", "phone": "13800138000"}, "booked_by": null, "booked_by_resident": null,
    "on_date": "2026-11-24", "earliest": "2026-11-24T09:00:00+08:00", "latest": "2026-11-24T10:30:00+08:00", "position": 3, "ahead": 2,
    "appointment_id": null, "starts_at": null, "offered_until": null, "version": 1, "created_at": "2026-11-23T20:15:00+08:00", "updated_at": "2026-11-23T20:15:00+08:00"}))]
pub struct WaitingView {
    pub id: Uuid,
    pub state: WaitingState,
    /// The state in the language of the request.
    pub state_name: String,
    pub channel: Channel,
    pub place: Place,
    /// Where to come, for `home`; plain for the resident, null for others.
    pub address: Option<String>,
    pub matter: Named,
    pub unit: Named,
    pub resident: BookedResident,
    /// The member of staff who entered the resident (代约人).
    pub booked_by: Option<Uuid>,
    /// The relative or carer who entered the resident (代约人).
    pub booked_by_resident: Option<Uuid>,
    pub on_date: NaiveDate,
    /// The first start that would do.
    pub earliest: DateTime<FixedOffset>,
    /// The last start that would do.
    pub latest: DateTime<FixedOffset>,
    /// The place in the line, from 1, while `waiting`.
    pub position: Option<i64>,
    /// How many come before, of those who could be offered the same place, while `waiting`.
    pub ahead: Option<i64>,
    /// The place that is offered, as a held appointment: book it (`/v1/appointments/{id}/book`) or cancel it. Later: that was
    /// offered, or was booked.
    pub appointment_id: Option<Uuid>,
    /// When that begins.
    pub starts_at: Option<DateTime<FixedOffset>>,
    /// Until when the place is kept, while `offered`.
    pub offered_until: Option<DateTime<FixedOffset>>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
    pub updated_at: DateTime<FixedOffset>,
}

impl WaitingView {
    fn new(app: &App, caller: &Caller, lang: Lang, row: Entry) -> Result<Self> {
        let (county, own) = (row.county_id, row.resident_id == caller.subject);
        let sealed = (row.resident_name.as_deref(), row.resident_phone.as_deref());
        let (name, phone) = people::name_and_phone(app, (county, row.resident_id), sealed, !own)?;
        let address = row.address.as_deref().filter(|_| own);
        let address = address.map(|sealed| app.keys.open_text(county, &address_place(row.id), sealed)).transpose()?;
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        let ahead = (row.state == WaitingState::Waiting).then_some(row.ahead);
        Ok(Self {
            id: row.id,
            state: row.state,
            state_name: row.state.words().get(lang).to_owned(),
            channel: row.channel,
            place: row.place,
            address,
            matter: Named { id: row.matter_id, name: row.matter_name },
            unit: Named { id: row.unit_id, name: row.unit_name },
            resident: BookedResident { id: row.resident_id, name, phone },
            booked_by: row.booked_by,
            booked_by_resident: row.booked_by_resident,
            on_date: row.on_date,
            earliest: local(row.earliest),
            latest: local(row.latest),
            position: ahead.map(|ahead| ahead + 1),
            ahead,
            appointment_id: row.appointment_id,
            starts_at: row.starts_at.map(local),
            offered_until: row.offered_until.filter(|_| row.state == WaitingState::Offered).map(local),
            version: row.version,
            created_at: local(row.created_at),
            updated_at: local(row.updated_at),
        })
    }
}

/// For what, when, for whom.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000001", "matter_id": "0199a0c0-0000-7000-8000-0000000000b1",
    "earliest": "2026-11-24T09:00:00+08:00", "latest": "2026-11-24T10:30:00+08:00"}))]
pub struct JoinWaiting {
    /// Whose centre.
    unit_id: Uuid,
    /// For what.
    matter_id: Uuid,
    /// The first start that would do.
    earliest: DateTime<FixedOffset>,
    /// The last start that would do, on the same local day; the same as `earliest` for one slot only.
    latest: DateTime<FixedOffset>,
    /// For whom; required of staff. Residents wait for themselves by default, or for somebody who lets them (`/proxies`).
    resident_id: Option<Uuid>,
    /// `proxy` (default) or `desk`, for staff; residents wait for places of `public`.
    #[schema(inline)]
    channel: Option<Channel>,
    /// One of the matter's places; the first of them by default.
    #[schema(inline)]
    place: Option<Place>,
    /// Where to come, for `home` and only there; 1 to 200 characters.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    address: Option<String>,
}

/// The range of starts, of one local day.
fn range(command: &JoinWaiting) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
    let (earliest, latest) = (command.earliest.to_utc(), command.latest.to_utc());
    if earliest <= latest && local_date(earliest) == local_date(latest) {
        return Ok((earliest, latest));
    }
    let text = Text::fixed("须不早于 earliest 且在同一天", "must be on the day of earliest, and not before it");
    Err(Error::invalid(vec![FieldError::body("/latest", "range", text)]))
}

/// What joining is decided with, besides the database.
#[derive(Clone)]
struct Joining {
    id: Uuid,
    caller: Caller,
    scope: Scope,
    command: JoinWaiting,
    resident: Uuid,
    channel: Channel,
    range: (DateTime<Utc>, DateTime<Utc>),
    rules: Rules,
    entry: Audit,
}

impl Joining {
    /// The starts within the range, full ones included.
    fn offered(&self, facts: &Facts, place: Place) -> Vec<Offered> {
        let Rules { settings, calendar, now } = &self.rules;
        let ((earliest, latest), wish) =
            (self.range, Wish::new(self.channel, place, facts.slots, facts.travel_minutes));
        let mut offered = placing::offered(&facts.openings, calendar, settings, &wish, local_date(earliest), *now);
        offered.retain(|offered| (earliest..=latest).contains(&offered.placed.starts_at));
        offered
    }

    /// The same gate and the same facts as for booking, so that nothing is free when somebody begins to wait.
    fn run(&self, conn: &mut PgConnection, app: &App) -> Result<Entry> {
        let (county, now, command) = (self.scope.county, self.rules.now, &self.command);
        let (unit, matter) = (command.unit_id, command.matter_id);
        let resident = booking::resident_of(conn, self.scope, &self.caller, self.resident, now)?;
        booking::own_desk(conn, self.scope, self.channel, unit)?;
        let about = About { county, unit, matter, resident, starts_at: self.range.0, but: None, now };
        let Some(facts) = facts(conn, &self.rules.settings, about)? else {
            return Err(booking::unknown(conn, county, unit)?);
        };
        facts.resident_id.ok_or_else(booking::resident_unknown)?;
        booking_rules::identity(facts.level, facts.level_needed, self.channel)?;
        let place = booking_rules::place(command.place, &facts.places)?;
        booking_rules::address(place, command.address.as_deref())?;
        if facts.own_specialist && facts.openings.is_empty() {
            return Err(Code::NoSpecialist.into());
        }
        let offered = self.offered(&facts, place);
        rules::join(&self.rules.settings, self.channel, &facts.standing, &offered, self.range.1, now)?;
        // The starts themselves: nobody is kept from a slot that begins before the first that would do.
        let starts = || offered.iter().map(|offered| offered.placed.starts_at);
        let address = command.address.as_deref().filter(|_| place == Place::Home);
        let seal = |address: &str| app.keys.seal(county, &address_place(self.id), address.trim().as_bytes());
        let me = self.caller.subject;
        let join = Join {
            county,
            id: self.id,
            unit,
            matter,
            resident,
            channel: self.channel,
            place,
            address: address.map(seal),
            booked_by: self.caller.staff(),
            booked_by_resident: (self.caller.is_resident() && resident != me).then_some(me),
            on: local_date(self.range.0),
            earliest: starts().min().unwrap_or(self.range.0),
            latest: starts().max().unwrap_or(self.range.1),
            until: offered.iter().map(|offered| offered.placed.ends_at).max().unwrap_or(self.range.1),
            now,
        };
        if join.execute(conn)? == 0 {
            return Err(booking::resident_unknown());
        }
        if resident != me {
            audit::record(conn, &self.caller, now, &self.entry)?;
        }
        let entry = store::find(conn, self.scope, (me, local_date(now)), self.id)?.ok_or(Code::NotFound)?;
        store::tell(conn, &entry, now)?;
        Ok(entry)
    }
}

/// Join the waiting list
///
/// For a start within a range of one day that is full. Whoever came first is offered first what becomes free: a held appointment,
/// kept for 30 minutes (configurable; only minutes between 08:00 and 20:00 count). Meanwhile nobody else gets a place there. One
/// entry for a matter and day; the limits of booking hold here too. `place_free`: book it instead.
#[utoipa::path(tag = "waiting", security(("token" = ["appointments:book"])), params(IdempotencyHeader), request_body = JoinWaiting,
    responses((status = 201, description = "In the line", body = WaitingView)),
    extensions(("x-errors" = json!(["identity_needed", "place_free", "already_waiting", "already_booked", "booking_paused", "no_specialist", "slot_not_offered", "booking_window"]))))]
#[post("/v1/waiting")]
pub async fn join_waiting(
    caller: Can<BookAppointments>,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<JoinWaiting>,
) -> Result<Answer> {
    let once = Once::new(&caller, "join_waiting", key, body.digest);
    let (resident, channel) = booking::whom(&caller, body.value.resident_id, body.value.channel)?;
    let (id, range) = (Uuid::now_v7(), range(&body.value)?);
    let joining = Joining {
        id,
        caller: Caller::clone(&caller),
        scope: caller.scope,
        command: body.value,
        resident,
        channel,
        range,
        rules: Rules::of(&app, &caller).await?,
        entry: Audit::new("join", "waiting_entry", id),
    };
    let inner = app.clone();
    app.once(once, move |conn| {
        let row = joining.run(conn, &inner)?;
        let (id, version) = (row.id, row.version);
        Answer::created(format!("/v1/waiting/{id}"), version, &WaitingView::new(&inner, &joining.caller, lang, row)?)
    })
    .await
}

/// One entry of the waiting list
///
/// One's own or of somebody who lets one book, one at the caller's centres, or one that the caller made for somebody. Says the place
/// in the line, and what is offered.
#[utoipa::path(tag = "waiting", security(("token" = ["appointments:read"])), params(("id" = Uuid, Path, description = "The entry")),
    responses((status = 200, description = "The entry", body = WaitingView)))]
#[get("/v1/waiting/{id}")]
pub async fn get_waiting(caller: Can<ReadAppointments>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (scope, me) = (caller.scope, (caller.subject, local_date(app.clock.now())));
    let row = app.db.read("get_waiting", move |conn| store::find(conn, scope, me, id.0)).await?;
    let row = row.ok_or(Code::NotFound)?;
    let tag = (header::ETAG, etag(row.version));
    Ok(HttpResponse::Ok().insert_header(tag).json(WaitingView::new(&app, &caller, lang, row)?))
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WaitingQuery {
    /// Of whom; residents see their own by default, and none of those who do not let them.
    resident_id: Option<Uuid>,
    /// At whose centre; staff, and theirs by default.
    unit_id: Option<Uuid>,
    /// Only in this state.
    #[param(inline)]
    state: Option<WaitingState>,
    /// Only for this day.
    on_date: Option<NaiveDate>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List the waiting list
///
/// Residents: one's own entries, or those of somebody who lets one book (`resident_id`). Staff: of one resident or at one centre, by
/// default their own centre's. In the order of the line.
#[utoipa::path(tag = "waiting", security(("token" = ["appointments:read"])), params(WaitingQuery),
    responses((status = 200, description = "A page of entries", body = Page<WaitingView>)))]
#[get("/v1/waiting")]
pub async fn list_waiting(
    caller: Can<ReadAppointments>,
    lang: Lang,
    app: Data<App>,
    query: Query<WaitingQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let (resident, unit) = match (caller.is_resident(), query.resident_id) {
        (true, whom) => (Some(whom.unwrap_or(caller.subject)), query.unit_id),
        (false, Some(resident)) => (Some(resident), query.unit_id),
        (false, None) => (None, Some(query.unit_id.or(caller.unit).ok_or(Code::Forbidden)?)),
    };
    let filter = Filter { resident, unit, state: query.state, on: query.on_date };
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "waiting", query.cursor.as_deref())?.unwrap_or(After::START);
    let (scope, count) = (caller.scope, query.count.unwrap_or(false));
    let me = (caller.subject, local_date(app.clock.now()));
    let read = app.db.read("list_waiting", move |conn| {
        let total = if count { Some(store::count(conn, scope, me, filter)?) } else { None };
        Ok((store::list(conn, scope, me, filter, after, limit)?, total))
    });
    let (rows, total) = read.await?;
    let place = |row: &Entry| After { at: row.created_at, id: row.id };
    let view = |row| WaitingView::new(&app, &caller, lang, row);
    let page = page::cut(&app.keys, "waiting", rows, limit as usize, place, view)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct LeaveWaiting {}

/// Leave the waiting list
///
/// Gives back the place that is offered, if one is; it goes to the next in line.
#[utoipa::path(tag = "waiting", security(("token" = ["appointments:cancel"])), params(("id" = Uuid, Path, description = "The entry"), IdempotencyHeader),
    request_body = LeaveWaiting, responses((status = 200, description = "Left", body = WaitingView)), extensions(("x-errors" = json!(["not_waiting"]))))]
#[post("/v1/waiting/{id}/leave")]
pub async fn leave_waiting(
    caller: Can<CancelAppointments>,
    id: Id,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<LeaveWaiting>,
) -> Result<Answer> {
    let once = Once::new(&caller, "leave_waiting", key, body.digest);
    let (who, scope, now, inner) = (Caller::clone(&caller), caller.scope, app.clock.now(), app.clone());
    let audit = Audit::new("leave", "waiting_entry", id.0);
    app.once(once, move |conn| {
        let me = (who.subject, local_date(now));
        let entry = store::find(conn, scope, me, id.0)?.ok_or(Code::NotFound)?;
        if !matches!(entry.state, WaitingState::Waiting | WaitingState::Offered) {
            return Err(WaitingError::NotWaiting.into());
        }
        store::leave(conn, &entry, Some(who.subject), now)?;
        if who.subject != entry.resident_id {
            audit::record(conn, &who, now, &audit)?;
        }
        let row = store::find(conn, scope, me, id.0)?.ok_or(Code::NotFound)?;
        Answer::ok(row.version, &WaitingView::new(&inner, &who, lang, row)?)
    })
    .await
}
