//! Free slots over HTTP: public, computed at every request.

use std::collections::{BTreeMap, HashMap};

use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{model::Channel, rules, store};
use crate::{
    app::App,
    calendar,
    clock::{CST, local_date},
    error::Result,
    http::valid::Query,
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
    /// For what.
    matter_id: Uuid,
    /// The day.
    #[param(example = "2026-11-23")]
    date: NaiveDate,
    /// Through which channel; `public` by default.
    #[param(inline)]
    channel: Option<Channel>,
}

/// The slots of a day.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"date": "2026-11-23", "channel": "public", "items": [
    {"starts_at": "2026-11-23T08:30:00+08:00", "ends_at": "2026-11-23T09:00:00+08:00", "free": 4}]}))]
pub struct SlotsView {
    pub date: NaiveDate,
    pub channel: Channel,
    pub items: Vec<SlotView>,
}

/// A slot of a centre; which window serves it is decided at booking.
#[derive(Serialize, ToSchema)]
pub struct SlotView {
    pub starts_at: DateTime<FixedOffset>,
    pub ends_at: DateTime<FixedOffset>,
    /// Places left over all windows; 0 is full.
    pub free: i64,
}

/// Free slots of a day
///
/// Computed from opening rules, the calendar and the bookings at this moment. A statutory holiday and a past day have none;
/// slots that have begun are left out.
#[utoipa::path(tag = "windows", security(()), params(SlotsQuery), responses((status = 200, description = "The slots, earliest first", body = SlotsView)))]
#[get("/v1/slots")]
pub async fn list_slots(app: Data<App>, query: Query<SlotsQuery>) -> Result<HttpResponse> {
    let SlotsQuery { county, unit_id, matter_id, date, channel } = query.0;
    let county = app.counties.public(&app, &county).await?.id;
    let (calendar, now) = (calendar::current(&app).await?, app.clock.now());
    let channel = channel.unwrap_or(Channel::Public);
    let slots = if date < local_date(now) {
        Vec::new()
    } else {
        app.db
            .read("list_slots", move |conn| {
                let offered = rules::slots_of_day(
                    &store::rules_for(conn, county, unit_id, matter_id, date)?,
                    &calendar,
                    date,
                    channel,
                );
                let midnight = date.and_time(NaiveTime::MIN).and_local_timezone(CST).single();
                let Some(from) = midnight.map(|midnight| midnight.to_utc()).filter(|_| !offered.is_empty()) else {
                    return Ok(Vec::new());
                };
                let mut ids: Vec<_> = offered.iter().map(|slot| slot.window).collect();
                ids.sort_unstable();
                ids.dedup();
                let taken = store::taken(conn, county, &ids, channel, (from, from + Days::new(1)))?;
                let taken: HashMap<_, _> = taken.into_iter().map(|(window, at, taken)| ((window, at), taken)).collect();
                let mut free: BTreeMap<_, i64> = BTreeMap::new();
                for slot in offered.iter().filter(|slot| slot.starts_at > now) {
                    let taken = taken.get(&(slot.window, slot.starts_at)).copied().unwrap_or(0);
                    *free.entry((slot.starts_at, slot.ends_at)).or_default() +=
                        i64::from((slot.capacity - taken).max(0));
                }
                Ok(free.into_iter().collect())
            })
            .await?
    };
    let item = |((starts_at, ends_at), free): ((DateTime<_>, DateTime<_>), i64)| SlotView {
        starts_at: starts_at.with_timezone(&CST),
        ends_at: ends_at.with_timezone(&CST),
        free,
    };
    Ok(HttpResponse::Ok().json(SlotsView { date, channel, items: slots.into_iter().map(item).collect() }))
}
