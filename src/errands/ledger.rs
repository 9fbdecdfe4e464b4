//! The ledger of an errand: append-only entries, each chained to the one before by its hash, words only as a salted digest.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Binary, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    clock::Mark,
    model::{ErrandState, Step},
};
use crate::{clock::local_date, http::permissions::Role};

/// What a step says without words, by name: days, dates, ids; numbers, texts and truths only, so that it is written in one way.
pub type Facts = BTreeMap<String, Value>;

/// Bytes of the salt before the words.
const SALT: usize = 16;

/// The hash before the first entry.
pub const BEGINNING: [u8; 32] = [0; 32];

/// An entry as stored.
#[derive(Clone, Debug, QueryableByName)]
pub struct Entry {
    #[diesel(sql_type = Integer)]
    pub seq: i32,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub step: Step,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub actor_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub actor_role: Option<Role>,
    #[diesel(sql_type = Nullable<Text>)]
    pub from_state: Option<ErrandState>,
    #[diesel(sql_type = Text)]
    pub to_state: ErrandState,
    #[diesel(sql_type = Jsonb)]
    pub facts: Value,
    #[diesel(sql_type = Nullable<Binary>)]
    pub words_digest: Option<Vec<u8>>,
    #[diesel(sql_type = Binary)]
    pub previous: Vec<u8>,
    #[diesel(sql_type = Binary)]
    pub hash: Vec<u8>,
}

/// Words to be kept with an entry: sealed beside the ledger, their digest in it.
#[derive(Clone, Debug)]
pub struct Salted {
    pub plain: Vec<u8>,
    pub digest: [u8; 32],
}

impl Salted {
    pub fn new(words: &str) -> Self {
        let salt: [u8; SALT] = rand::random();
        let plain = [&salt[..], words.as_bytes()].concat();
        let digest = Sha256::digest(&plain).into();
        Self { plain, digest }
    }

    /// The words again, without the salt.
    pub fn words(plain: &[u8]) -> String {
        String::from_utf8_lossy(plain.get(SALT..).unwrap_or_default()).into_owned()
    }

    /// Whether these are the words that the ledger speaks of.
    pub fn fits(plain: &[u8], digest: &[u8]) -> bool {
        Sha256::digest(plain).as_slice() == digest
    }
}

impl Entry {
    pub fn mark(&self) -> Mark {
        let date = |name: &str| self.facts.get(name)?.as_str()?.parse::<NaiveDate>().ok();
        let days = self.facts.get("days").and_then(Value::as_u64).and_then(|days| u32::try_from(days).ok());
        Mark { on: date("on").unwrap_or_else(|| local_date(self.at)), step: self.step, to: self.to_state, days }
    }

    /// The hash that the entry must have: every field with its length before it, after the hash of the entry before.
    pub fn digest(&self, county: i32, errand: Uuid) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        field(&self.previous);
        field(&county.to_be_bytes());
        field(errand.as_bytes());
        field(&self.seq.to_be_bytes());
        field(&self.at.timestamp_micros().to_be_bytes());
        field(self.step.as_str().as_bytes());
        field(self.actor_id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()));
        field(self.actor_role.map_or("", Role::as_str).as_bytes());
        field(self.from_state.map_or("", ErrandState::as_str).as_bytes());
        field(self.to_state.as_str().as_bytes());
        field(canonical(&self.facts).as_bytes());
        field(self.words_digest.as_deref().unwrap_or_default());
        hasher.finalize().into()
    }
}

/// Facts in the order of their names.
fn canonical(facts: &Value) -> String {
    let sorted: BTreeMap<_, _> = facts.as_object().into_iter().flatten().collect();
    serde_json::to_string(&sorted).expect("a map of JSON values")
}

/// The first entry that is not what it was when it was written, if there is one.
pub fn broken(county: i32, errand: Uuid, entries: &[Entry]) -> Option<i32> {
    let mut previous = BEGINNING.to_vec();
    for (index, entry) in entries.iter().enumerate() {
        let whole = entry.seq == index as i32 + 1 && entry.previous == previous;
        if !whole || entry.digest(county, errand).as_slice() != entry.hash {
            return Some(entry.seq);
        }
        previous.clone_from(&entry.hash);
    }
    None
}
