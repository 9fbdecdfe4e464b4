//! What a refresh token leads to: pure.

use chrono::{DateTime, Utc};

use super::model::{GRACE, Session};

/// The answer to a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// The current one: its successor becomes current.
    Rotate,
    /// The previous one, its answer lost: the same successor again.
    Repeat,
    /// An older one: somebody else has it. The session ends.
    Reused,
    /// The session is over.
    Over,
}

/// Decides on a refresh token by its hash.
pub fn refresh(session: &Session, presented: &[u8], now: DateTime<Utc>) -> Refresh {
    if session.ended_at.is_some() || session.expires_at <= now {
        Refresh::Over
    } else if session.refresh_hash == presented {
        Refresh::Rotate
    } else if session.previous_hash.as_deref() == Some(presented) && now <= session.rotated_at + GRACE {
        Refresh::Repeat
    } else {
        Refresh::Reused
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;
    use crate::http::permissions::Role;

    #[test]
    fn the_table() {
        let start = DateTime::from_timestamp(1_795_000_000, 0).expect("valid");
        let live = Session {
            county_id: 1,
            id: Uuid::nil(),
            resident_id: Some(Uuid::nil()),
            staff_id: None,
            role: Role::Resident,
            unit_id: None,
            device: None,
            refresh_hash: b"now".to_vec(),
            previous_hash: Some(b"before".to_vec()),
            rotated_at: start,
            created_at: start,
            expires_at: start + TimeDelta::days(30),
            ended_at: None,
            by_password: false,
            covers_id: None,
            covers_until: None,
        };
        let ended = Session { ended_at: Some(start), ..live.clone() };
        let cases = [
            (&live, "now", 0, Refresh::Rotate),
            (&live, "now", 3600, Refresh::Rotate),
            (&live, "before", 60, Refresh::Repeat),
            (&live, "before", 61, Refresh::Reused),
            (&live, "older", 1, Refresh::Reused),
            (&live, "now", 30 * 86_400, Refresh::Over),
            (&ended, "now", 1, Refresh::Over),
        ];
        for (session, token, later, expected) in cases {
            let now = start + TimeDelta::seconds(later);
            assert_eq!(refresh(session, token.as_bytes(), now), expected, "{token} after {later} s");
        }
    }
}
