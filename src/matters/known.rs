//! Versions at hand: they never change, so that reading one once is enough.

use std::sync::Arc;

use diesel::PgConnection;
use quick_cache::sync::Cache;
use uuid::Uuid;

use super::{Version, version_store};
use crate::error::{Error, Result};

/// The last so many that were asked for.
const KNOWN: usize = 1_000;

/// Versions by county, matter and number.
pub struct Versions(Cache<(i32, Uuid, i16), Arc<Version>>);

impl Default for Versions {
    fn default() -> Self {
        Self(Cache::new(KNOWN))
    }
}

impl Versions {
    /// The version that something was filed under.
    pub fn get(&self, conn: &mut PgConnection, key: (i32, Uuid, i16)) -> Result<Arc<Version>> {
        if let Some(version) = self.0.get(&key) {
            return Ok(version);
        }
        let (county, matter, number) = key;
        let read = version_store::version(conn, county, matter, number)?;
        let version = Arc::new(read.ok_or_else(|| Error::internal("a version that was filed under is gone"))?);
        self.0.insert(key, version.clone());
        Ok(version)
    }
}
