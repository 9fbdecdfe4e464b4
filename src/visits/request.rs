//! What a phone sends of a visit.

use chrono::{DateTime, FixedOffset, Utc};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::model::{NoPosition, Reading, Said, VisitOutcome, VisitPlace};
use crate::{clock::whole_micros, geo::Point, people::PersonName};

/// A household that the phone has met for the first time; who lives there is added later.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "陈阿婆", "address": "红星村 3 组 12 号"}))]
pub struct NewOnTheSpot {
    /// What it is called, usually after its head, 1 to 50 characters.
    pub name: PersonName,
    /// The village; the caller's own by default.
    pub unit_id: Option<Uuid>,
    /// 2 to 200 characters.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    pub address: Option<String>,
    /// Where its door is, if the phone was told so: the reading of the visit is never taken for it.
    #[validate(nested)]
    pub home: Option<Point>,
}

/// A visit as the phone tells it (走访签到).
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d1", "household_id": "0199a0c0-0000-7000-8000-0000000000d0", "device_at": "2026-11-23T09:12:30+08:00",
    "outcome": "seen", "place": "home", "position": {"lng": 117.852120, "lat": 25.697310, "coordinate_system": "gcj02", "accuracy_m": 18.0, "mocked": false},
    "note": "身体还好，想问高龄津贴", "photos": ["0199a0c0-0000-7000-8000-0000000000d2"]}))]
pub struct CheckIn {
    /// Made by the phone, once for each visit (UUIDv7): what comes again under it is the same visit.
    pub id: Uuid,
    /// The household; one that is new has an id of the phone's own too.
    pub household_id: Uuid,
    /// What a new household is called; of one that is there already it is ignored.
    #[validate(nested)]
    pub household: Option<NewOnTheSpot>,
    /// When it happened by the phone's clock, however wrong that is; not after `sent_at`. Where the phone's clock was set in between, add what it was
    /// moved by before sending: both must be of one clock.
    pub device_at: DateTime<FixedOffset>,
    pub outcome: VisitOutcome,
    pub place: VisitPlace,
    /// One point; none with `no_position_reason`.
    #[validate(nested)]
    pub position: Option<Reading>,
    /// Why there is no position. Needed where the county requires positions and there is none.
    pub no_position_reason: Option<NoPosition>,
    /// 1 to 2,000 characters; kept sealed.
    #[validate(length(min = 1, max = 2000))]
    #[schema(min_length = 1, max_length = 2000)]
    pub note: Option<String>,
    /// The phone's own ids of photos that arrive later, 0 to 9.
    #[serde(default)]
    #[validate(length(max = 9))]
    #[schema(max_items = 9)]
    pub photos: Vec<Uuid>,
}

impl CheckIn {
    /// When it happened by the phone's clock, as it is kept.
    pub fn device_at(&self) -> DateTime<Utc> {
        whole_micros(self.device_at.to_utc())
    }

    /// What is kept and compared. The household is looked at apart: it may be there when the same comes again.
    pub fn said(&self) -> Said {
        Said {
            household_id: self.household_id,
            device_at: self.device_at(),
            outcome: self.outcome,
            place: self.place,
            position: self.position,
            no_position_reason: self.no_position_reason,
            note: self.note.clone(),
            photos: self.photos.clone(),
        }
    }
}
