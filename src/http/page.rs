//! Lists: `limit`, an opaque signed `cursor` that stays right while rows are inserted, and `?count=true`.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    crypto::Keyring,
    error::{Error, FieldError, Result, Text},
};

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass as `cursor` to get what follows; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// How many there are in all; only with `count=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
}

/// The page size asked for: 1 to 200, 20 by default. Lists repeat `limit`, `cursor` and `count` among their own
/// parameters, because serde's `flatten` would let unknown parameters through.
pub fn limit(asked: Option<i64>) -> Result<i64> {
    match asked.unwrap_or(20) {
        limit @ 1..=200 => Ok(limit),
        _ => {
            let text = Text::fixed("须在 1 至 200 之间", "must be 1 to 200");
            Err(Error::invalid(vec![FieldError::query("limit", "range", text)]))
        }
    }
}

/// The place after which a page begins: a time and an id, the order of every list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    pub at: DateTime<Utc>,
    pub id: Uuid,
}

impl After {
    /// Before everything.
    pub const START: Self = Self { at: DateTime::<Utc>::MIN_UTC, id: Uuid::nil() };
}

/// Seals a place into a cursor that only fits the list it came from.
pub fn cursor(keys: &Keyring, list: &str, after: After) -> String {
    let mut bytes = Vec::with_capacity(40);
    bytes.extend_from_slice(&after.at.timestamp_micros().to_be_bytes());
    bytes.extend_from_slice(after.id.as_bytes());
    let tag = keys.sign("cursor", &[list.as_bytes(), &bytes].concat());
    bytes.extend_from_slice(&tag[..16]);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor back; a forged one, or one of another list, is 422.
pub fn after(keys: &Keyring, list: &str, cursor: Option<&str>) -> Result<Option<After>> {
    let Some(cursor) = cursor else { return Ok(None) };
    let read = || {
        let bytes: [u8; 40] = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
        let (place, tag) = bytes.split_at(24);
        if !keys.verify("cursor", &[list.as_bytes(), place].concat(), tag) {
            return None;
        }
        let at = DateTime::from_timestamp_micros(i64::from_be_bytes(place[..8].try_into().ok()?))?;
        Some(After { at, id: Uuid::from_slice(&place[8..]).ok()? })
    };
    read().map(Some).ok_or_else(|| {
        let text = Text::fixed(
            "cursor 无效，请从第一页重新读取",
            "The cursor is not one of this list; start from its first page",
        );
        Error::invalid(vec![FieldError::query("cursor", "cursor", text)])
    })
}

/// Cuts one row more than asked for into a page and the cursor of the next.
pub fn cut<R, T>(
    keys: &Keyring,
    list: &str,
    mut rows: Vec<R>,
    limit: usize,
    place: impl Fn(&R) -> After,
    view: impl FnMut(R) -> Result<T>,
) -> Result<Page<T>> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().map(place);
    let next_cursor = last.filter(|_| more).map(|after| cursor(keys, list, after));
    Ok(Page { items: rows.into_iter().map(view).collect::<Result<_>>()?, next_cursor, total: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_fits_its_own_list_and_cannot_be_forged() {
        let keys = Keyring::parse(crate::config::DEVELOPMENT_KEYS).expect("valid");
        let place =
            After { at: DateTime::from_timestamp_micros(1_795_000_000_000_001).expect("valid"), id: Uuid::max() };
        let text = cursor(&keys, "a", place);
        assert_eq!(after(&keys, "a", Some(&text)).expect("own"), Some(place));
        assert!(after(&keys, "b", Some(&text)).is_err());
        assert!(after(&keys, "a", Some(&text[1..])).is_err());
        assert!(after(&keys, "a", Some("")).is_err());
        assert_eq!(after(&keys, "a", None).expect("none"), None);
    }
}
