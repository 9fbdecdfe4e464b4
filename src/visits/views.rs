//! Visits as they are shown.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Array, Nullable, Timestamptz, Uuid as SqlUuid},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    amendments::{self, AmendmentView},
    deciding::read_said,
    model::{LeftOut, NoPosition, Said, Visit, VisitFlag, VisitOutcome, VisitPlace, place},
};
use crate::{
    app::App,
    clock::CST,
    error::{Lang, Result},
    geo::{CoordinateSystem, Point},
    statement,
};

/// A photo that a visit named.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"photo_id": "0199a0c0-0000-7000-8000-0000000000d2", "attachment_id": null, "arrived_at": null}))]
pub struct VisitPhoto {
    /// The phone's own id.
    pub photo_id: Uuid,
    /// None: it has not arrived.
    pub attachment_id: Option<Uuid>,
    pub arrived_at: Option<DateTime<FixedOffset>>,
}

/// A visit to a household (入户走访).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d1", "household_id": "0199a0c0-0000-7000-8000-0000000000d0", "unit_id": "0199a0c0-0000-7000-8000-000000000002",
    "unit_name": "红星村委会", "staff_id": "0199a0c0-0000-7000-8000-0000000000a1", "staff_name": "红星村特派员", "outcome": "seen", "outcome_name": "见到", "outcome_said": "seen", "place": "home", "place_said": "home",
    "device_at": "2026-11-23T09:12:30+08:00", "sent_at": "2026-11-23T17:40:02+08:00", "skew_seconds": 0, "occurred_at": "2026-11-23T09:12:30+08:00", "on_date": "2026-11-23",
    "recorded_at": "2026-11-23T17:40:02+08:00", "position": null, "measured_in": null, "accuracy_m": null, "no_position_reason": "no_signal", "distance_m": null, "flags": [], "left_out": [],
    "note": "身体还好", "photos": [], "amendments": [], "amendment_count": 0, "photos_missing": 0, "open_conflicts": 0, "own": true, "version": 1}))]
pub struct VisitView {
    pub id: Uuid,
    pub household_id: Uuid,
    /// The village that the household belonged to.
    pub unit_id: Uuid,
    pub unit_name: String,
    pub staff_id: Uuid,
    pub staff_name: String,
    /// What counts, by the last amendment that says so.
    pub outcome: VisitOutcome,
    /// In the language of the request.
    pub outcome_name: String,
    /// What was said at first.
    pub outcome_said: VisitOutcome,
    /// Where it was, by the last amendment that says so.
    pub place: VisitPlace,
    /// What was said at first.
    pub place_said: VisitPlace,
    /// By the phone's clock, as it was sent.
    pub device_at: DateTime<FixedOffset>,
    pub sent_at: DateTime<FixedOffset>,
    /// How much later the server's clock was than the phone's.
    pub skew_seconds: i64,
    /// When it happened by the server's clock: `device_at` and the skew.
    pub occurred_at: DateTime<FixedOffset>,
    pub on_date: NaiveDate,
    pub recorded_at: DateTime<FixedOffset>,
    /// WGS 84; of a single visit only: a list of points would be a track.
    pub position: Option<Point>,
    /// What the phone measured in.
    pub measured_in: Option<CoordinateSystem>,
    pub accuracy_m: Option<f64>,
    pub no_position_reason: Option<NoPosition>,
    /// Metres to the home point as it was then; computed, never typed.
    pub distance_m: Option<f64>,
    /// What was found out; nothing is refused for it.
    pub flags: Vec<VisitFlag>,
    /// What was sent and is not kept.
    pub left_out: Vec<LeftOut>,
    /// Of a single visit only; none once it has been erased.
    pub note: Option<String>,
    /// Those that the visit named; of a single visit only.
    pub photos: Vec<VisitPhoto>,
    /// Oldest first; of a single visit only.
    pub amendments: Vec<AmendmentView>,
    pub amendment_count: i64,
    /// Named and not here yet.
    pub photos_missing: i64,
    /// Other versions that nobody has settled.
    pub open_conflicts: i64,
    /// The caller made it.
    pub own: bool,
    pub version: i64,
}

statement! {
    struct Photos { county: i32 as diesel::sql_types::Integer, visit: Uuid as SqlUuid, named: Vec<Uuid> as Array<SqlUuid> }
    "SELECT n.id AS photo_id, f.attachment_id, f.at FROM unnest({named}) WITH ORDINALITY n (id, place) \
     LEFT JOIN visit_photos f ON f.county_id = {county} AND f.visit_id = {visit} AND f.photo_id = n.id ORDER BY n.place"
}

#[derive(QueryableByName)]
struct Photo {
    #[diesel(sql_type = SqlUuid)]
    photo_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    attachment_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    at: Option<DateTime<Utc>>,
}

/// What the phone said, opened; none once it has been erased.
pub fn said(app: &App, row: &Visit) -> Result<Option<Said>> {
    let open = |sealed: &Vec<u8>| {
        let bytes = app.keys.open(row.county_id, &place("visits", "said", row.id), sealed)?;
        read_said(&bytes)
    };
    row.said.as_ref().map(open).transpose()
}

impl VisitView {
    /// As in lists.
    pub fn new(lang: Lang, row: &Visit) -> Self {
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        Self {
            id: row.id,
            household_id: row.household_id,
            unit_id: row.unit_id,
            unit_name: row.unit_name.clone(),
            staff_id: row.staff_id,
            staff_name: row.staff_name.clone(),
            outcome: row.outcome_now(),
            outcome_name: row.outcome_now().words().get(lang).to_owned(),
            outcome_said: row.outcome,
            place: row.place_now(),
            place_said: row.place,
            device_at: local(row.device_at),
            sent_at: local(row.sent_at),
            skew_seconds: row.skew_seconds,
            occurred_at: local(row.occurred_at),
            on_date: row.on_date,
            recorded_at: local(row.recorded_at),
            position: None,
            measured_in: row.coordinate_system,
            accuracy_m: row.accuracy_m,
            no_position_reason: row.no_position_reason,
            distance_m: row.distance_m,
            flags: row.flags_now(),
            left_out: row.left_out.clone(),
            note: None,
            photos: Vec::new(),
            amendments: Vec::new(),
            amendment_count: row.amendments,
            photos_missing: row.photos.len() as i64 - row.photos_there,
            open_conflicts: row.open_conflicts,
            own: row.own,
            version: row.version,
        }
    }

    /// Of a single visit, with everything that was said. Whoever shows it to somebody else than its author records the look.
    pub fn of(conn: &mut PgConnection, app: &App, lang: Lang, row: &Visit) -> Result<Self> {
        let photos = match row.photos.is_empty() {
            true => Vec::new(),
            false => Photos { county: row.county_id, visit: row.id, named: row.photos.clone() }.load::<Photo>(conn)?,
        };
        let photo = |photo: Photo| VisitPhoto {
            photo_id: photo.photo_id,
            attachment_id: photo.attachment_id,
            arrived_at: photo.at.map(|at| at.with_timezone(&CST)),
        };
        let amendments = if row.amendments > 0 { amendments::of(conn, app, row)? } else { Vec::new() };
        Ok(Self {
            position: row.lng.zip(row.lat).map(|(lng, lat)| Point::wgs84(lng, lat)),
            note: said(app, row)?.and_then(|said| said.note),
            photos: photos.into_iter().map(photo).collect(),
            amendments,
            ..Self::new(lang, row)
        })
    }
}
