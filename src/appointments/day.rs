//! A day of a centre: its windows and everything booked there, in one round trip to the database.

use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, Datelike, Days, FixedOffset, NaiveDate, Utc};
use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Binary, Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{model::AppointmentState, views::Named};
use crate::{
    app::App,
    clock::{CST, local_date, local_midnight},
    error::{Code, Error, FieldError, Lang, Result, Text as Words},
    http::{
        caller::{Can, Reach},
        permissions::ReadAppointments,
        valid::{Id, Query},
    },
    people, statement,
    windows::{Channel, Place, may, model::WindowState},
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DayQuery {
    /// Which day, local time; today by default.
    #[param(example = "2026-11-23")]
    date: Option<NaiveDate>,
}

/// A day of a centre.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"date": "2026-11-23", "unit": {"id": "0199a0c0-0000-7000-8000-000000000001", "name": "均溪镇"},
    "windows": [{"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "民生事务窗口", "state": "open", "officer": null, "paused_at": null}],
    "appointments": [{"id": "0199a0c0-0000-7000-8000-0000000000e1", "state": "booked", "state_name": "已预约", "channel": "public", "place": "centre",
        "window_id": "0199a0c0-0000-7000-8000-0000000000c1", "desk_id": null, "matter": {"id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "城乡居民医保参保登记"},
        "resident_id": "0199a0c0-0000-7000-8000-00000000000a", "resident_name": "张*明", "starts_at": "2026-11-23T09:00:00+08:00", "ends_at": "2026-11-23T09:30:00+08:00",
        "ticket": null, "arrived_at": null, "on_time": null, "called_at": null, "finished_at": null, "version": 1}]}))]
pub struct CentreDayView {
    pub date: NaiveDate,
    pub unit: Named,
    /// By name.
    pub windows: Vec<DayWindowView>,
    /// Earliest first, walk-ins and what is over included; holds that ran out are not.
    pub appointments: Vec<DayAppointmentView>,
}

/// A window on a day.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "民生事务窗口", "state": "open",
    "officer": {"id": "0199a0c0-0000-7000-8000-0000000000d5", "name": "廖某"}, "paused_at": null}))]
pub struct DayWindowView {
    pub id: Uuid,
    pub name: String,
    pub state: WindowState,
    /// Who sits there.
    #[schema(inline)]
    pub officer: Option<Named>,
    /// Calls nobody since then.
    pub paused_at: Option<DateTime<FixedOffset>>,
}

/// An appointment in a centre's day; names are masked.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e1", "state": "booked", "state_name": "已预约", "channel": "public", "place": "centre",
    "window_id": "0199a0c0-0000-7000-8000-0000000000c1", "desk_id": null, "matter": {"id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "城乡居民医保参保登记"},
    "resident_id": "0199a0c0-0000-7000-8000-00000000000a", "resident_name": "张*明", "starts_at": "2026-11-23T09:00:00+08:00", "ends_at": "2026-11-23T09:30:00+08:00",
    "ticket": null, "arrived_at": null, "on_time": null, "called_at": null, "finished_at": null, "version": 1}))]
pub struct DayAppointmentView {
    pub id: Uuid,
    pub state: AppointmentState,
    /// The state in the language of the request.
    pub state_name: String,
    pub channel: Channel,
    pub place: Place,
    /// The window that was booked.
    pub window_id: Uuid,
    /// The window that calls or serves.
    pub desk_id: Option<Uuid>,
    pub matter: Named,
    /// None for a walk-in whom nobody asked.
    pub resident_id: Option<Uuid>,
    pub resident_name: Option<String>,
    pub starts_at: DateTime<FixedOffset>,
    pub ends_at: DateTime<FixedOffset>,
    pub ticket: Option<String>,
    pub arrived_at: Option<DateTime<FixedOffset>>,
    /// Arrived within the grace of the slot.
    pub on_time: Option<bool>,
    pub called_at: Option<DateTime<FixedOffset>>,
    pub finished_at: Option<DateTime<FixedOffset>>,
    pub version: i64,
}

statement! {
    /// A line for the centre, if it is within reach, one per window, one per appointment: an index range of one day, whatever
    /// lies before it. Names are looked up one by one, by key: a join would be planned for numbers that are not known.
    pub struct OfDay {
        county: i32 as Integer, unit: Uuid as SqlUuid, within: Option<Uuid> as Nullable<SqlUuid>, me: Uuid as SqlUuid, today: NaiveDate as Date,
        from: DateTime<Utc> as Timestamptz, to: DateTime<Utc> as Timestamptz, now: DateTime<Utc> as Timestamptz,
    }
    concat!("WITH centre AS MATERIALIZED ( \
       SELECT u.id, u.name FROM (SELECT county_id, id, name, id AS unit_id FROM units) u WHERE u.county_id = {county} AND u.id = {unit}", may!("u"), ") \
     SELECT 0 AS kind, c.id, c.name, NULL AS state, NULL::uuid AS officer_id, NULL AS officer, NULL::timestamptz AS paused_at, \
            NULL AS channel, NULL AS place, NULL::uuid AS window_id, NULL::uuid AS desk_id, NULL::uuid AS matter_id, NULL::uuid AS resident_id, \
            NULL::bytea AS resident_name, NULL::timestamptz AS starts_at, NULL::timestamptz AS ends_at, NULL AS ticket, \
            NULL::timestamptz AS arrived_at, NULL::boolean AS on_time, NULL::timestamptz AS called_at, NULL::timestamptz AS finished_at, NULL::bigint AS version \
     FROM centre c \
     UNION ALL \
     SELECT 1, w.id, w.name, w.state, w.officer_id, (SELECT s.display_name FROM staff s WHERE s.county_id = {county} AND s.id = w.officer_id), w.paused_at, \
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL \
     FROM windows w WHERE w.county_id = {county} AND w.unit_id = {unit} AND EXISTS (SELECT FROM centre) \
     UNION ALL \
     SELECT 2, a.id, (SELECT m.name FROM matters m WHERE m.county_id = {county} AND m.id = a.matter_id), a.state, NULL, NULL, NULL, \
            a.channel, a.place, a.window_id, a.desk_id, a.matter_id, a.resident_id, \
            (SELECT p.name FROM residents p WHERE p.county_id = {county} AND p.id = a.resident_id), a.starts_at, a.ends_at, a.ticket, \
            a.arrived_at, a.on_time, a.called_at, a.finished_at, a.version \
     FROM appointments a WHERE a.county_id = {county} AND a.unit_id = {unit} AND a.starts_at >= {from} AND a.starts_at < {to} \
       AND a.state <> 'lapsed' AND (a.state <> 'held' OR a.held_until > {now}) AND EXISTS (SELECT FROM centre) \
     ORDER BY kind, starts_at, name, id")
}

/// A line of [`OfDay`]: 0 the centre, 1 a window, 2 an appointment, whose name is that of its matter.
#[derive(Debug, QueryableByName)]
struct Line {
    #[diesel(sql_type = Integer)]
    kind: i32,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    state: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    officer_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    officer: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    paused_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    channel: Option<Channel>,
    #[diesel(sql_type = Nullable<Text>)]
    place: Option<Place>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    window_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    desk_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    matter_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    resident_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    resident_name: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    starts_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ends_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    ticket: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    arrived_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Bool>)]
    on_time: Option<bool>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    called_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    finished_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    version: Option<i64>,
}

fn local(at: DateTime<Utc>) -> DateTime<FixedOffset> {
    at.with_timezone(&CST)
}

impl Line {
    fn state<S: std::str::FromStr>(&self) -> Option<S> {
        self.state.as_deref()?.parse().ok()
    }

    fn window(self) -> Option<DayWindowView> {
        let state = self.state()?;
        let officer = self.officer_id.zip(self.officer).map(|(id, name)| Named { id, name });
        Some(DayWindowView { id: self.id, name: self.name, state, officer, paused_at: self.paused_at.map(local) })
    }

    fn appointment(self, app: &App, county: i32, lang: Lang) -> Result<Option<DayAppointmentView>> {
        let resident = self.resident_id.zip(self.resident_name.as_deref());
        let resident_name = match resident {
            Some((id, name)) => people::name_and_phone(app, (county, id), (Some(name), None), true)?.0,
            None => None,
        };
        let Some(state) = self.state::<AppointmentState>() else { return Ok(None) };
        let view = || {
            Some(DayAppointmentView {
                id: self.id,
                state,
                state_name: state.words().get(lang).to_owned(),
                channel: self.channel?,
                place: self.place?,
                window_id: self.window_id?,
                desk_id: self.desk_id,
                matter: Named { id: self.matter_id?, name: self.name },
                resident_id: self.resident_id,
                resident_name,
                starts_at: local(self.starts_at?),
                ends_at: local(self.ends_at?),
                ticket: self.ticket,
                arrived_at: self.arrived_at.map(local),
                on_time: self.on_time,
                called_at: self.called_at.map(local),
                finished_at: self.finished_at.map(local),
                version: self.version?,
            })
        };
        Ok(view())
    }
}

/// The day of a centre
///
/// Its windows and every appointment of that day with its state and ticket, for the desk and the township: whoever has a post there or
/// above, and whoever sits at one of its open windows, themselves or for an absent colleague, whatever their post. Names are masked.
#[utoipa::path(tag = "appointments", security(("token" = ["appointments:read"])), params(("id" = Uuid, Path, description = "The unit whose centre it is"), DayQuery),
    responses((status = 200, description = "The day", body = CentreDayView)))]
#[get("/v1/units/{id}/day")]
pub async fn get_centre_day(
    caller: Can<ReadAppointments>,
    id: Id,
    lang: Lang,
    app: Data<App>,
    query: Query<DayQuery>,
) -> Result<HttpResponse> {
    let within = match caller.scope.reach {
        // A centre's day is its staff's.
        Reach::Own(_) => return Err(Code::NotFound.into()),
        Reach::Unit(unit) => Some(unit),
        Reach::County => None,
    };
    let (county, now) = (caller.scope.county, app.clock.now());
    let date = query.0.date.unwrap_or_else(|| local_date(now));
    // Far beyond these PostgreSQL has no times.
    if !(2000..=2100).contains(&date.year()) {
        let text = Words::fixed("年份须在 2000 至 2100 之间", "the year must be 2000 to 2100");
        return Err(Error::invalid(vec![FieldError::query("date", "range", text)]));
    }
    let (from, to) = (local_midnight(date), local_midnight(date + Days::new(1)));
    let of = OfDay { county, unit: id.0, within, me: caller.subject, today: local_date(now), from, to, now };
    let lines: Vec<Line> = app.db.read("get_centre_day", move |conn| Ok(of.clone().load(conn)?)).await?;
    let (mut unit, mut windows, mut appointments) = (None, Vec::new(), Vec::new());
    for line in lines {
        match line.kind {
            0 => unit = Some(Named { id: line.id, name: line.name }),
            1 => windows.extend(line.window()),
            _ => appointments.extend(line.appointment(&app, county, lang)?),
        }
    }
    let unit = unit.ok_or(Code::NotFound)?;
    Ok(HttpResponse::Ok().json(CentreDayView { date, unit, windows, appointments }))
}
