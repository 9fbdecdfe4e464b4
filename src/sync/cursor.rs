//! Where a phone stands: opaque, signed, and bound to whose phone it is.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use uuid::Uuid;

use super::feed::Standing;
use crate::{
    crypto::{self, Keyring},
    db::changes::Position,
    error::{Error, FieldError, Result, Text},
    http::caller::Caller,
    rooms,
};

/// How far the phone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The snapshot goes on with this kind of thing, after this id.
    Snapshot(u8, Uuid),
    /// It follows the changes.
    Changes,
}

/// Where a phone stands, and for whom this is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The account in its post, and what is kept at all.
    pub whose: [u8; 16],
    /// The units that the post reaches.
    pub reach: [u8; 16],
    pub epoch: i64,
    /// When it was handed out, in seconds.
    pub at: i64,
    /// Everything up to there is known, or in the snapshot that goes on.
    pub position: Position,
    pub stage: Stage,
}

const PURPOSE: &str = "sync";
const FOLLOWS: u8 = u8::MAX;
const LENGTH: usize = 16 + 16 + 4 * 8 + 1 + 16;
const TAG: usize = 16;

/// Whose cursor it is: another post, or an upgrade that keeps other things on phones, makes another one.
pub fn whose(caller: &Caller) -> [u8; 16] {
    let kinds: Vec<_> = rooms::synced().map(|kind| kind.entity).collect();
    let text = format!("{}/{}/{}/{:?}/{kinds:?}", caller.county, caller.subject, caller.role.as_str(), caller.unit);
    *crypto::digest(text.as_bytes()).first_chunk().expect("32 bytes hold 16")
}

impl Cursor {
    /// The start of a snapshot.
    pub fn start(caller: &Caller, standing: &Standing, at: i64) -> Self {
        let (reach, epoch, position) = (standing.reach(), standing.epoch, standing.now());
        Self { whose: whose(caller), reach, epoch, at, position, stage: Stage::Snapshot(0, Uuid::nil()) }
    }

    pub fn seal(&self, keys: &Keyring) -> String {
        let (kind, after) = match self.stage {
            Stage::Snapshot(kind, after) => (kind, after),
            Stage::Changes => (FOLLOWS, Uuid::nil()),
        };
        let mut bytes = Vec::with_capacity(LENGTH + TAG);
        bytes.extend_from_slice(&self.whose);
        bytes.extend_from_slice(&self.reach);
        for number in [self.epoch, self.at, self.position.xid, self.position.seq] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.push(kind);
        bytes.extend_from_slice(after.as_bytes());
        let tag = keys.sign(PURPOSE, &bytes);
        bytes.extend_from_slice(&tag[..TAG]);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads one back; what we have not made is a fault of the parameter.
    pub fn open(keys: &Keyring, text: &str) -> Result<Self> {
        let read = || {
            let bytes: [u8; LENGTH + TAG] = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
            let (place, tag) = bytes.split_at(LENGTH);
            if !keys.verify(PURPOSE, place, tag) {
                return None;
            }
            let number = |index: usize| Some(i64::from_be_bytes(*place[32 + index * 8..].first_chunk()?));
            let stage = match place[64] {
                FOLLOWS => Stage::Changes,
                kind => Stage::Snapshot(kind, Uuid::from_slice(&place[65..]).ok()?),
            };
            Some(Self {
                whose: *place.first_chunk()?,
                reach: *place[16..].first_chunk()?,
                epoch: number(0)?,
                at: number(1)?,
                position: Position { xid: number(2)?, seq: number(3)? },
                stage,
            })
        };
        read().ok_or_else(|| {
            let text = Text::fixed(
                "cursor 无效，请原样使用上一次返回的 next_cursor",
                "This is no cursor of ours: pass next_cursor as it was answered",
            );
            Error::invalid(vec![FieldError::query("cursor", "cursor", text)])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_cannot_be_made_up() {
        let keys = Keyring::parse(crate::config::DEVELOPMENT_KEYS).expect("valid");
        let cursor = Cursor {
            whose: [1; 16],
            reach: [2; 16],
            epoch: -3,
            at: 4,
            position: Position { xid: 5, seq: 6 },
            stage: Stage::Snapshot(7, Uuid::max()),
        };
        for cursor in [cursor, Cursor { stage: Stage::Changes, ..cursor }] {
            let text = cursor.seal(&keys);
            assert_eq!(Cursor::open(&keys, &text).expect("own"), cursor);
            let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).expect("base64");
            for at in 0..bytes.len() {
                bytes[at] ^= 1;
                assert!(Cursor::open(&keys, &BASE64_URL_SAFE_NO_PAD.encode(&bytes)).is_err(), "byte {at}");
                bytes[at] ^= 1;
            }
        }
        assert!(Cursor::open(&keys, "").is_err());
        let list = crate::http::page::cursor(&keys, "todos", crate::http::page::After::START);
        assert!(Cursor::open(&keys, &list).is_err(), "a cursor of a list");
    }
}
