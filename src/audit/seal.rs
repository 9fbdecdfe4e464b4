//! Sealing the log in batches: a chain of signed digests per county.
//!
//! # The bytes
//! A batch's digest is SHA-256 over, in this order (integers big-endian):
//! - the ASCII words `lianxin audit 1`, the previous batch's digest (32 bytes, zeros before the first),
//! - the county's number (4 bytes), the batch's number (8), the number of its entries (8),
//! - each entry in order of `(at, id)`: `id` (16 bytes), `at` in microseconds since 1970 (8), `actor_id` (16), `entity_id` (16),
//!   then the texts `actor_role`, `action`, `entity`, `reason`, each its length in bytes (4) and UTF-8, `ff ff ff ff` for none,
//!   then `request_id` (4 bytes of length, 16 or none as for texts), then the number of `fields` (4) and each as a text.
//!
//! The signature is HMAC-SHA-256 over digest and `sealed_at` (microseconds, 8 bytes) under the key for `audit` of the master
//! key that `key_version` names.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Bool, Integer},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    app::App,
    crypto::Keyring,
    db::{
        found,
        schema::{audit_batches, audit_log, counties},
    },
    error::{Error, Result},
    statement,
};

/// Entries in a batch at most: few enough for one short transaction and for memory.
pub const BATCH: i64 = 5_000;

/// What comes before the first batch.
pub const START: [u8; 32] = [0; 32];

/// An entry as it is hashed.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = audit_log, check_for_backend(diesel::pg::Pg))]
pub struct Row {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub actor_id: Uuid,
    pub actor_role: String,
    pub action: String,
    pub entity: String,
    pub entity_id: Uuid,
    pub fields: Vec<Option<String>>,
    pub reason: Option<String>,
    pub request_id: Option<Uuid>,
}

/// A batch as stored.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_batches, check_for_backend(diesel::pg::Pg))]
pub struct Batch {
    pub county_id: i32,
    pub id: i64,
    pub rows: i64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    pub previous: Vec<u8>,
    pub digest: Vec<u8>,
    pub key_version: i16,
    pub signature: Vec<u8>,
    pub sealed_at: DateTime<Utc>,
    pub pruned_at: Option<DateTime<Utc>>,
}

impl Batch {
    /// What is signed.
    pub fn signed(digest: &[u8], sealed_at: DateTime<Utc>) -> Vec<u8> {
        [digest, &sealed_at.timestamp_micros().to_be_bytes()].concat()
    }
}

fn add(hash: &mut Sha256, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            hash.update((value.len() as u32).to_be_bytes());
            hash.update(value);
        }
        None => hash.update(u32::MAX.to_be_bytes()),
    }
}

/// The digest of a batch, over the bytes that this file's head defines. `rows` are in order of `(at, id)`.
pub fn digest(previous: &[u8], county: i32, batch: i64, rows: &[Row]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"lianxin audit 1");
    hash.update(previous);
    hash.update(county.to_be_bytes());
    hash.update(batch.to_be_bytes());
    hash.update((rows.len() as i64).to_be_bytes());
    for row in rows {
        hash.update(row.id.as_bytes());
        hash.update(row.at.timestamp_micros().to_be_bytes());
        hash.update(row.actor_id.as_bytes());
        hash.update(row.entity_id.as_bytes());
        for text in [Some(&row.actor_role), Some(&row.action), Some(&row.entity), row.reason.as_ref()] {
            add(&mut hash, text.map(String::as_bytes));
        }
        add(&mut hash, row.request_id.as_ref().map(|id| id.as_bytes().as_slice()));
        hash.update((row.fields.len() as u32).to_be_bytes());
        for field in &row.fields {
            add(&mut hash, field.as_ref().map(String::as_bytes));
        }
    }
    hash.finalize().into()
}

statement! {
    /// Whoever seals a county's log keeps others from it until the transaction ends. The first number is ours alone.
    struct Alone { county: i32 as Integer }
    "SELECT pg_try_advisory_xact_lock(725027, {county}) AS alone"
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = Bool)]
    alone: bool,
}

/// The newest batch of a county.
pub fn newest(conn: &mut PgConnection, county: i32) -> Result<Option<Batch>> {
    let here = audit_batches::table.filter(audit_batches::county_id.eq(county));
    found(here.order(audit_batches::id.desc()).select(Batch::as_select()).first(conn))
}

/// Seals the oldest entries that no batch holds yet; none when there are none, or when somebody else is at it.
fn seal_batch(conn: &mut PgConnection, keys: &Keyring, county: i32, now: DateTime<Utc>) -> Result<Option<Batch>> {
    let lock: Locked = Alone { county }.get_result(conn)?;
    if !lock.alone {
        return Ok(None);
    }
    let open = audit_log::table.filter(audit_log::county_id.eq(county)).filter(audit_log::batch_id.is_null());
    let rows: Vec<Row> = open.order((audit_log::at, audit_log::id)).limit(BATCH).select(Row::as_select()).load(conn)?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(None) };
    let before = newest(conn, county)?;
    let (id, previous) = before.map_or((1, START.to_vec()), |before| (before.id + 1, before.digest));
    let digest = digest(&previous, county, id, &rows).to_vec();
    let batch = Batch {
        county_id: county,
        id,
        rows: rows.len() as i64,
        first_at: first.at,
        last_at: last.at,
        previous,
        key_version: keys.current().into(),
        signature: keys.sign("audit", &Batch::signed(&digest, now)).to_vec(),
        digest,
        sealed_at: now,
        pruned_at: None,
    };
    diesel::insert_into(audit_batches::table).values(&batch).execute(conn)?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let sealed =
        diesel::update(open.filter(audit_log::id.eq_any(ids))).set(audit_log::batch_id.eq(id)).execute(conn)?;
    if sealed != rows.len() {
        return Err(Error::internal("entries went elsewhere while they were sealed"));
    }
    Ok(Some(batch))
}

/// Seals what is open in every county, suspended ones too; how many entries. Several may run it at once.
pub async fn seal_all(app: &Arc<App>) -> Result<usize> {
    let ids = app.db.read("counties", |conn| Ok(counties::table.select(counties::id).load::<i32>(conn)?)).await?;
    let mut entries = 0;
    for county in ids {
        loop {
            let (inner, now) = (app.clone(), app.clock.now());
            let sealed = app.db.write("seal_audit", move |conn| seal_batch(conn, &inner.keys, county, now)).await?;
            let Some(batch) = sealed else { break };
            // The log is kept elsewhere than the database: an anchor outside.
            let digest = hex::encode(&batch.digest);
            tracing::info!(county, batch = batch.id, entries = batch.rows, digest, "audit batch sealed");
            entries += batch.rows as usize;
            if batch.rows < BATCH {
                break;
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            id: Uuid::from_u128(1),
            at: DateTime::from_timestamp_micros(1_795_000_000_000_001).expect("valid"),
            actor_id: Uuid::from_u128(2),
            actor_role: "county_admin".into(),
            action: "reveal".into(),
            entity: "resident".into(),
            entity_id: Uuid::from_u128(3),
            fields: vec![Some("phone".into()), Some("name".into())],
            reason: Some("核对".into()),
            request_id: None,
        }
    }

    /// Every value counts, and none can slide into its neighbour.
    #[test]
    fn every_change_changes_the_digest() {
        type Change = fn(&mut Row);
        let changes: [Change; 13] = [
            |row| row.id = Uuid::from_u128(9),
            |row| row.at += chrono::TimeDelta::microseconds(1),
            |row| row.actor_id = Uuid::from_u128(9),
            |row| row.actor_role = "supervisor".into(),
            |row| (row.action, row.entity) = ("revealr".into(), "esident".into()),
            |row| row.entity_id = Uuid::from_u128(9),
            |row| row.fields.reverse(),
            |row| row.fields = vec![Some("phonename".into())],
            |row| row.fields = vec![],
            |row| row.fields = vec![None, Some("phone".into()), Some("name".into())],
            |row| row.reason = None,
            |row| row.reason = Some(String::new()),
            |row| row.request_id = Some(Uuid::nil()),
        ];
        let mut seen = std::collections::HashSet::from([digest(&START, 1, 1, &[row()])]);
        for change in changes {
            let mut changed = row();
            change(&mut changed);
            assert!(seen.insert(digest(&START, 1, 1, &[changed])));
        }
        for (previous, county, batch) in [([1; 32], 1, 1), (START, 2, 1), (START, 1, 2)] {
            assert!(seen.insert(digest(&previous, county, batch, &[row()])));
        }
        assert!(seen.insert(digest(&START, 1, 1, &[row(), row()])));
    }

    /// Fixed for ever: a log that was sealed years ago must verify.
    #[test]
    fn the_bytes_are_what_the_head_of_this_file_says() {
        let mut bytes = b"lianxin audit 1".to_vec();
        bytes.extend([0; 32]);
        bytes.extend([0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
        bytes.extend(1_u128.to_be_bytes());
        bytes.extend(1_795_000_000_000_001_i64.to_be_bytes());
        bytes.extend(2_u128.to_be_bytes());
        bytes.extend(3_u128.to_be_bytes());
        for text in ["county_admin", "reveal", "resident", "核对"] {
            bytes.extend([0, 0, 0, text.len() as u8]);
            bytes.extend(text.as_bytes());
        }
        bytes.extend([255; 4]);
        bytes.extend([0, 0, 0, 2, 0, 0, 0, 5]);
        bytes.extend(b"phone\0\0\0\x04name");
        assert_eq!(digest(&START, 7, 2, &[row()]), crate::crypto::digest(&bytes));
    }
}
