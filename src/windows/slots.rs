//! Free slots over HTTP: public, computed at every request.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, Days, FixedOffset, NaiveDate, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Bool, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    left::Opening,
    model::{Channel, Place},
    openings,
};
use crate::{
    app::App,
    calendar::{self, Calendar},
    clock::{CST, local_date, local_midnight},
    error::Result,
    http::valid::Query,
    settings::Settings,
    statement,
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SlotsQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// Whose centre.
    unit_id: Uuid,
    /// For what; a matter that needs several slots has starts only where so many follow each other.
    matter_id: Uuid,
    /// The day.
    #[param(example = "2026-11-23")]
    date: NaiveDate,
    /// Through which channel; `public` by default.
    #[param(inline)]
    channel: Option<Channel>,
    /// Where; by default the first of the matter's places.
    #[param(inline)]
    place: Option<Place>,
    /// Where the resident lives: for matters that only the resident's own specialist does.
    resident_unit_id: Option<Uuid>,
}

/// The slots of a day.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"date": "2026-11-23", "channel": "public", "place": "centre", "items": [
    {"starts_at": "2026-11-23T08:30:00+08:00", "ends_at": "2026-11-23T09:00:00+08:00", "free": 4, "waited_for": false}]}))]
pub struct SlotsView {
    pub date: NaiveDate,
    pub channel: Channel,
    pub place: Place,
    pub items: Vec<SlotView>,
}

/// A time that can be booked at a centre; which window serves it is decided at booking.
#[derive(Serialize, ToSchema)]
pub struct SlotView {
    pub starts_at: DateTime<FixedOffset>,
    /// The end of the last slot that the matter needs.
    pub ends_at: DateTime<FixedOffset>,
    /// Places left over all windows; 0 is full.
    pub free: i64,
    /// Somebody is on the waiting list: what becomes free is theirs first.
    pub waited_for: bool,
}

statement! {
    /// What the matter needs, and the openings of the centre, in one round trip.
    struct Offer {
        county: i32 as Integer, unit: Uuid as SqlUuid, matter: Uuid as SqlUuid, lives_in: Option<Uuid> as Nullable<SqlUuid>,
        day: NaiveDate as Date, after: DateTime<Utc> as Timestamptz, before: DateTime<Utc> as Timestamptz, now: DateTime<Utc> as Timestamptz,
        gate: bool as Bool,
    }
    "SELECT m.slots, m.travel_minutes, m.places, o.* FROM matters m \
     LEFT JOIN LATERAL centre_openings({county}, {unit}, m.id, {lives_in}, {day}, {day}, {after}, {before}, {now}, {gate}, NULL) o ON true \
     WHERE m.county_id = {county} AND m.id = {matter}"
}

#[derive(QueryableByName)]
struct OfferRow {
    #[diesel(sql_type = SmallInt)]
    slots: i16,
    #[diesel(sql_type = SmallInt)]
    travel_minutes: i16,
    #[diesel(sql_type = Array<Text>)]
    places: Vec<Place>,
    #[diesel(embed)]
    opening: openings::Row,
}

/// What is free at a start over all windows, whether it is waited for.
#[derive(Clone, Copy, Default)]
struct Sum {
    free: i64,
    waited_for: bool,
}

/// For what the slots are wanted.
struct Wish {
    date: NaiveDate,
    channel: Channel,
    place: Place,
    slots: i16,
    travel: TimeDelta,
}

type Starts = BTreeMap<(DateTime<Utc>, DateTime<Utc>), Sum>;

fn add(
    starts: &mut Starts,
    opening: &Opening,
    calendar: &Calendar,
    settings: &Settings,
    wish: &Wish,
    now: DateTime<Utc>,
) {
    for run in opening.runs(calendar, wish.date, wish.slots, wish.place) {
        if run.starts_at() <= now {
            continue;
        }
        let released = now >= run.starts_at() - TimeDelta::minutes(settings.booking_release_minutes_before);
        let left = opening.left(&run, wish.channel, wish.travel, released);
        if left.capacity == 0 {
            continue;
        }
        let sum = starts.entry((run.starts_at(), run.ends_at())).or_default();
        if opening.waited_for(&run, wish.channel, left, now) {
            sum.waited_for = true;
        } else {
            sum.free += i64::from(left.free);
        }
    }
}

/// Free slots of a day
///
/// Computed from opening rules, exceptions, the calendar and the bookings at this moment. A closed day and a past day have none;
/// slots that have begun are left out. Shortly before a slot (`booking.release_minutes_before`) the places of agents and of the
/// desk that nobody took are everybody's. While somebody waits for a slot, what becomes free in it is theirs.
#[utoipa::path(tag = "windows", security(()), params(SlotsQuery), responses((status = 200, description = "The slots, earliest first", body = SlotsView)))]
#[get("/v1/slots")]
pub async fn list_slots(app: Data<App>, query: Query<SlotsQuery>) -> Result<HttpResponse> {
    let SlotsQuery { county, unit_id, matter_id, date, channel, place, resident_unit_id } = query.0;
    let county = app.counties.public(&app, &county).await?;
    let (calendar, now) = (calendar::current(&app).await?, app.clock.now());
    let channel = channel.unwrap_or(Channel::Public);
    let next = date.checked_add_days(Days::new(1)).filter(|_| date >= local_date(now));
    let (mut starts, mut place) = (Starts::new(), place);
    if let Some(next) = next {
        let offer = Offer {
            county: county.id,
            unit: unit_id,
            matter: matter_id,
            lives_in: resident_unit_id,
            day: date,
            after: local_midnight(date),
            before: local_midnight(next),
            now,
            gate: false,
        };
        let rows: Vec<OfferRow> = app.db.read("list_slots", move |conn| Ok(offer.clone().load(conn)?)).await?;
        for row in rows {
            let place = *place.get_or_insert(*row.places.first().unwrap_or(&Place::Centre));
            let travel = if place == Place::Home { row.travel_minutes } else { 0 };
            let travel = TimeDelta::minutes(travel.into());
            let wish = Wish { date, channel, place, slots: row.slots, travel };
            if let Some(opening) = row.opening.opening()?.filter(|_| row.places.contains(&place)) {
                add(&mut starts, &opening, &calendar, &county.settings, &wish, now);
            }
        }
    }
    let item = |((starts_at, ends_at), sum): ((DateTime<_>, DateTime<_>), Sum)| SlotView {
        starts_at: starts_at.with_timezone(&CST),
        ends_at: ends_at.with_timezone(&CST),
        free: sum.free,
        waited_for: sum.waited_for,
    };
    let place = place.unwrap_or(Place::Centre);
    Ok(HttpResponse::Ok().json(SlotsView { date, channel, place, items: starts.into_iter().map(item).collect() }))
}
