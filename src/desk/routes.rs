//! My day, and this person, over HTTP.

use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveTime};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    app::App,
    audit::{self, Audit},
    clock::{CST, local_date},
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can},
        permissions::{ReadDay, ReadOpen},
        valid::{Id, Query},
    },
    people,
    rooms::{Day, Entry, Person, ROOMS},
    staff,
};

/// A line in somebody's day, or among what is open for a resident.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"entity": "appointment", "id": "0199a0c0-0000-7000-8000-0000000000e1", "at": "2026-11-23T09:00:00+08:00",
    "until": "2026-11-23T09:30:00+08:00", "state": "booked", "title": "预约：城乡居民医保参保登记（均溪镇）",
    "resident_id": "0199a0c0-0000-7000-8000-00000000000a", "resident_name": "张*明", "holder_id": null}))]
pub struct EntryView {
    /// The kind of thing: `appointment`, `todo`, …; more kinds may come.
    pub entity: &'static str,
    pub id: Uuid,
    /// When it begins or is due; none: at any time.
    pub at: Option<DateTime<FixedOffset>>,
    pub until: Option<DateTime<FixedOffset>>,
    /// A state of that kind of thing.
    pub state: String,
    /// In the language of the request.
    pub title: String,
    pub resident_id: Option<Uuid>,
    /// Masked.
    pub resident_name: Option<String>,
    /// Who holds it, where somebody does: oneself, or an absent one whom one covers.
    pub holder_id: Option<Uuid>,
}

/// By time; what has none comes last.
fn views(
    conn: &mut PgConnection,
    app: &App,
    county: i32,
    mut entries: Vec<Entry>,
    lang: Lang,
) -> Result<Vec<EntryView>> {
    entries.sort_by_key(|entry| (entry.at.is_none(), entry.at, entry.id));
    let mut ids: Vec<_> = entries.iter().filter_map(|entry| entry.resident_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let names = people::masked_names(conn, app, county, &ids)?;
    let view = |entry: Entry| EntryView {
        entity: entry.entity,
        id: entry.id,
        at: entry.at.map(|at| at.with_timezone(&CST)),
        until: entry.until.map(|at| at.with_timezone(&CST)),
        state: entry.state,
        title: entry.title.get(lang).to_owned(),
        resident_name: entry.resident_id.and_then(|id| names.get(&id).cloned()),
        resident_id: entry.resident_id,
        holder_id: entry.holder_id,
    };
    Ok(entries.into_iter().map(view).collect())
}

/// What stands in one's day.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"date": "2026-11-23", "covers": [], "items": []}))]
pub struct DayView {
    pub date: NaiveDate,
    /// The absent ones whose todos and errands are here too.
    pub covers: Vec<Uuid>,
    pub items: Vec<EntryView>,
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DayQuery {
    /// Local day; today by default.
    date: Option<NaiveDate>,
}

/// My day
///
/// What the caller holds and what is booked at the centre of the caller's post, by time, with that of the absent ones whom the caller
/// covers; what has no time comes last.
#[utoipa::path(tag = "todos", security(("token" = ["day:read"])), params(DayQuery),
    responses((status = 200, description = "The day", body = DayView)))]
#[get("/v1/my_day")]
pub async fn get_my_day(
    caller: Can<ReadDay>,
    lang: Lang,
    app: Data<App>,
    query: Query<DayQuery>,
) -> Result<HttpResponse> {
    let now = app.clock.now();
    let date = query.0.date.unwrap_or(local_date(now));
    let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_local_timezone(CST).single();
    let bounds = midnight(date).zip(date.checked_add_days(Days::new(1)).and_then(midnight));
    let Some((from, to)) = bounds else {
        let text = Text::fixed("日期超出范围", "The day is out of range");
        return Err(Error::invalid(vec![FieldError::query("date", "range", text)]));
    };
    let (who, inner) = (Caller::clone(&caller), app.clone());
    let read = app.db.read("get_my_day", move |conn| {
        let covers = staff::covered_by(conn, who.county, who.subject, local_date(now))?;
        let staff = [&[who.subject], covers.as_slice()].concat();
        let day = Day { county: who.county, staff, unit: who.unit, from: from.to_utc(), to: to.to_utc(), now };
        let mut entries = Vec::new();
        for of_room in ROOMS.iter().filter_map(|room| room.day) {
            entries.extend(of_room(conn, &day)?);
        }
        Ok(DayView { date, covers, items: views(conn, &inner, who.county, entries, lang)? })
    });
    Ok(HttpResponse::Ok().json(read.await?))
}

/// Everything that is open for a resident.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"resident_id": "0199a0c0-0000-7000-8000-00000000000a", "resident_name": "张*明", "items": []}))]
pub struct OpenView {
    /// Of the record that stays, where records were merged.
    pub resident_id: Uuid,
    /// Masked.
    pub resident_name: Option<String>,
    pub items: Vec<EntryView>,
}

/// This person
///
/// Everything open for one resident, for the counter: appointments, todos and whatever later rooms bring. Within reach; the look
/// is recorded.
#[utoipa::path(tag = "todos", security(("token" = ["residents:open"])), params(("id" = Uuid, Path, description = "The resident")),
    responses((status = 200, description = "What is open", body = OpenView)))]
#[get("/v1/residents/{id}/open")]
pub async fn get_open_for_resident(caller: Can<ReadOpen>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (who, scope, now, inner) = (Caller::clone(&caller), caller.scope, app.clock.now(), app.clone());
    let entry = Audit::new("open", "resident", id.0);
    let read = app.db.write("get_open_for_resident", move |conn| {
        let resident = people::find(conn, scope, id.0)?.ok_or(Code::NotFound)?.id;
        let person = Person { county: scope.county, id: resident, now };
        let mut entries = Vec::new();
        for of_room in ROOMS.iter().filter_map(|room| room.open_for) {
            entries.extend(of_room(conn, person)?);
        }
        audit::record(conn, &who, now, &entry.of(resident))?;
        let items = views(conn, &inner, scope.county, entries, lang)?;
        let resident_name = people::masked_names(conn, &inner, scope.county, &[resident])?.remove(&resident);
        Ok(OpenView { resident_id: resident, resident_name, items })
    });
    Ok(HttpResponse::Ok().json(read.await?))
}
