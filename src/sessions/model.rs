//! A session as stored, and what its access token claims.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{db::schema::sessions, http::permissions::Role};

/// How long an access token is good.
pub const ACCESS_LIFE: TimeDelta = TimeDelta::minutes(15);

/// How long a session lives after its last refresh.
pub const SESSION_LIFE: TimeDelta = TimeDelta::days(30);

/// How long the previous refresh token is still taken while its successor is unused: answers get lost.
pub const GRACE: TimeDelta = TimeDelta::seconds(60);

/// The claims of an access token (RFC 7519).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    /// Resident or member of staff.
    pub sub: Uuid,
    pub sid: Uuid,
    pub county: String,
    /// The county's number within this installation.
    pub cno: i32,
    pub role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Uuid>,
    pub iat: i64,
    pub exp: i64,
}

/// A session as stored.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = sessions, check_for_backend(diesel::pg::Pg))]
pub struct Session {
    pub county_id: i32,
    pub id: Uuid,
    pub resident_id: Option<Uuid>,
    pub staff_id: Option<Uuid>,
    pub role: Role,
    pub unit_id: Option<Uuid>,
    pub device: Option<String>,
    pub refresh_hash: Vec<u8>,
    pub previous_hash: Option<Vec<u8>>,
    pub rotated_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub by_password: bool,
    /// The absent colleague whose role and unit these are; the session lives no longer than `covers_until`.
    pub covers_id: Option<Uuid>,
    pub covers_until: Option<DateTime<Utc>>,
}

impl Session {
    /// When it expires if it is used at `now`.
    pub fn expiry(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let far = now + SESSION_LIFE;
        self.covers_until.map_or(far, |until| far.min(until))
    }

    pub fn subject(&self) -> Uuid {
        self.resident_id.or(self.staff_id).unwrap_or_default()
    }
}
