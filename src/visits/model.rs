//! What is said of a visit, what the service finds out itself, and the row that holds both.

use chrono::{DateTime, FixedOffset, NaiveDate, TimeDelta, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Binary, Bool, Date, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::{
    clock::whole_micros,
    error::Text as Words,
    geo::{CoordinateSystem, Point, check_swapped},
    text_enum,
};

text_enum! {
    /// What came of a visit (走访结果).
    pub enum VisitOutcome {
        /// 见到
        Seen = "seen",
        /// 未见到
        NotFound = "not_found",
        /// 不愿见
        Declined = "declined",
    }
}

impl VisitOutcome {
    pub fn words(self) -> Words {
        match self {
            Self::Seen => Words::fixed("见到", "seen"),
            Self::NotFound => Words::fixed("未见到", "not found"),
            Self::Declined => Words::fixed("不愿见", "declined"),
        }
    }
}

text_enum! {
    /// Where they met, or did not.
    pub enum VisitPlace {
        /// 在家
        Home = "home",
        /// 在别处: at the field, at the centre.
        Elsewhere = "elsewhere",
    }
}

text_enum! {
    /// Why there is no position.
    pub enum NoPosition {
        /// The phone's owner does not let the app have it.
        Denied = "denied",
        /// It is switched off.
        Off = "off",
        /// There was no signal.
        NoSignal = "no_signal",
        /// The household did not wish it.
        NotWished = "not_wished",
    }
}

text_enum! {
    /// What was found out about a visit. Nothing is refused for it.
    pub enum VisitFlag {
        /// At home, as it is said, and yet far from the home point.
        Far = "far",
        /// The position is not precise enough to say anything.
        Vague = "vague",
        /// The phone says that the position was made up by an app.
        Mocked = "mocked",
        /// The phone's clock was wrong when it sent this.
        ClockOff = "clock_off",
        /// It came long after it happened.
        Late = "late",
    }
}

text_enum! {
    /// What was sent and is not kept.
    pub enum LeftOut {
        /// The county keeps no positions (`visits.position` is `off`).
        PositionOff = "position_off",
        /// Nobody of the household has agreed to it (consent `position`), or somebody has said no.
        PositionWithoutConsent = "position_without_consent",
        /// It was kept until somebody of the household took their consent back.
        PositionWithdrawn = "position_withdrawn",
        /// The county keeps no photos (`visits.photo` is `off`).
        PhotosOff = "photos_off",
    }
}

/// A reading of a phone: one point per visit, never a track.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "Self::check", skip_on_field_errors = false))]
#[schema(example = json!({"lng": 117.852120, "lat": 25.697310, "coordinate_system": "gcj02", "accuracy_m": 18.0, "mocked": false}))]
pub struct Reading {
    /// Degrees east, -180 to 180.
    #[validate(range(min = -180.0, max = 180.0))]
    #[schema(minimum = -180, maximum = 180)]
    pub lng: f64,
    /// Degrees north, -90 to 90.
    #[validate(range(min = -90.0, max = 90.0))]
    #[schema(minimum = -90, maximum = 90)]
    pub lat: f64,
    pub coordinate_system: CoordinateSystem,
    /// Within so many metres, 0 to 100,000. A phone that says less than 0 does not know where it is: that is `no_position_reason`.
    #[validate(range(min = 0.0, max = 100_000.0))]
    #[schema(minimum = 0, maximum = 100_000)]
    pub accuracy_m: f64,
    /// The phone says that an app made it up.
    #[serde(default)]
    pub mocked: bool,
}

impl Reading {
    fn check(&self) -> Result<(), ValidationError> {
        check_swapped(self.lng, self.lat)
    }

    pub fn point(&self) -> Point {
        Point { lng: self.lng, lat: self.lat, coordinate_system: self.coordinate_system }
    }

    /// As it is stored, if it is.
    pub fn stored(
        system: Option<CoordinateSystem>,
        (lng, lat): (Option<f64>, Option<f64>),
        accuracy_m: Option<f64>,
        mocked: bool,
    ) -> Option<Self> {
        Some(Self { lng: lng?, lat: lat?, coordinate_system: system?, accuracy_m: accuracy_m?, mocked })
    }
}

/// What a phone said of a visit, as it is kept sealed: what comes again is compared with it byte for byte. The position is kept apart: it goes
/// when somebody takes their consent back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    pub household_id: Uuid,
    pub device_at: DateTime<Utc>,
    pub outcome: VisitOutcome,
    pub place: VisitPlace,
    #[serde(skip)]
    pub position: Option<Reading>,
    pub no_position_reason: Option<NoPosition>,
    pub note: Option<String>,
    pub photos: Vec<Uuid>,
}

impl Said {
    /// Without what is not kept.
    pub fn without(mut self, left_out: &[LeftOut]) -> Self {
        for what in left_out {
            match what {
                LeftOut::PhotosOff => self.photos.clear(),
                LeftOut::PositionOff | LeftOut::PositionWithoutConsent | LeftOut::PositionWithdrawn => {
                    self.position = None;
                }
            }
        }
        self
    }

    pub fn bytes(&self) -> crate::error::Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(crate::error::Error::internal)
    }
}

/// A visit (走访) as stored.
#[derive(Clone, Debug, QueryableByName)]
pub struct Visit {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub household_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub unit_id: Uuid,
    #[diesel(sql_type = Text)]
    pub unit_name: String,
    #[diesel(sql_type = SqlUuid)]
    pub staff_id: Uuid,
    #[diesel(sql_type = Text)]
    pub staff_name: String,
    #[diesel(sql_type = Text)]
    pub outcome: VisitOutcome,
    /// What counts instead, by the last amendment.
    #[diesel(sql_type = Nullable<Text>)]
    pub amended_outcome: Option<VisitOutcome>,
    #[diesel(sql_type = Text)]
    pub place: VisitPlace,
    /// Where it was instead, by the last amendment.
    #[diesel(sql_type = Nullable<Text>)]
    pub amended_place: Option<VisitPlace>,
    #[diesel(sql_type = Timestamptz)]
    pub device_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub sent_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    pub skew_seconds: i64,
    #[diesel(sql_type = Timestamptz)]
    pub occurred_at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    pub on_date: NaiveDate,
    #[diesel(sql_type = Timestamptz)]
    pub recorded_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    pub coordinate_system: Option<CoordinateSystem>,
    /// As the phone measured it; `lng` and `lat` are WGS 84.
    #[diesel(sql_type = Nullable<Double>)]
    pub raw_lng: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub raw_lat: Option<f64>,
    #[diesel(sql_type = Bool)]
    pub mocked: bool,
    #[diesel(sql_type = Nullable<Double>)]
    pub lng: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub accuracy_m: Option<f64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub no_position_reason: Option<NoPosition>,
    #[diesel(sql_type = Nullable<Double>)]
    pub distance_m: Option<f64>,
    #[diesel(sql_type = Array<Text>)]
    pub flags: Vec<VisitFlag>,
    #[diesel(sql_type = Array<Text>)]
    pub left_out: Vec<LeftOut>,
    #[diesel(sql_type = Array<SqlUuid>)]
    pub photos: Vec<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub said: Option<Vec<u8>>,
    #[diesel(sql_type = BigInt)]
    pub amendments: i64,
    #[diesel(sql_type = BigInt)]
    pub photos_there: i64,
    #[diesel(sql_type = BigInt)]
    pub open_conflicts: i64,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    /// The caller made it.
    #[diesel(sql_type = Bool)]
    pub own: bool,
}

impl Visit {
    /// What counts.
    pub fn outcome_now(&self) -> VisitOutcome {
        self.amended_outcome.unwrap_or(self.outcome)
    }

    pub fn place_now(&self) -> VisitPlace {
        self.amended_place.unwrap_or(self.place)
    }

    /// What was found out, as far as it still holds: far is who says that they were at home, and was not.
    pub fn flags_now(&self) -> Vec<VisitFlag> {
        let away = self.place_now() == VisitPlace::Elsewhere;
        self.flags.iter().copied().filter(|flag| !(away && *flag == VisitFlag::Far)).collect()
    }

    /// As the phone measured it.
    pub fn reading(&self) -> Option<Reading> {
        Reading::stored(self.coordinate_system, (self.raw_lng, self.raw_lat), self.accuracy_m, self.mocked)
    }
}

/// When something happened, as a phone tells it.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The phone's clock when it sent this.
    pub sent_at: DateTime<Utc>,
    /// The server's when it came.
    pub now: DateTime<Utc>,
}

impl Clocks {
    /// As they are kept.
    pub fn new(sent_at: DateTime<FixedOffset>, now: DateTime<Utc>) -> Self {
        Self { sent_at: whole_micros(sent_at.to_utc()), now }
    }

    /// How much later the server's clock is than the phone's.
    pub fn skew(self) -> TimeDelta {
        self.now - self.sent_at
    }

    /// When something happened by the server's clock.
    pub fn occurred(self, device_at: DateTime<Utc>) -> DateTime<Utc> {
        device_at + self.skew()
    }
}

/// What a sealed column of a row of this room is bound to.
pub fn place(table: &str, column: &str, id: Uuid) -> String {
    format!("{table}.{column}/{id}")
}
