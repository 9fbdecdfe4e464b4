//! Counties and their units: who the tenants are, and where things are.

pub mod import;
pub mod model;
pub mod routes;
pub mod store;

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use crate::{
    app::App,
    error::{Code, Error, Result},
};

pub use model::{County, DivisionCode, Level};
pub use store::{exists_in, find_county};

/// How long another process's change may stay unseen.
const FRESH: Duration = Duration::from_secs(5);

/// Counties by tenant key, read again every few seconds. Unknown keys are not remembered.
#[derive(Default)]
pub struct Counties(RwLock<HashMap<String, (Arc<County>, Instant)>>);

impl Counties {
    /// Forgets what was remembered: called by whoever changes a county.
    pub fn forget(&self) {
        if let Ok(mut known) = self.0.write() {
            known.clear();
        }
    }

    /// The county of a public request; 404 when there is none.
    pub async fn public(&self, app: &App, key: &str) -> Result<Arc<County>> {
        let unknown =
            || Error::new(Code::NotFound).detail(format!("没有代号为 {key} 的县"), format!("There is no county {key}"));
        self.find(app, key).await?.ok_or_else(unknown)
    }

    /// The county with a key. While PostgreSQL is away the last one known goes on.
    pub async fn find(&self, app: &App, key: &str) -> Result<Option<Arc<County>>> {
        let known = self.0.read().ok().and_then(|known| known.get(key).cloned());
        if let Some((county, read)) = &known
            && read.elapsed() < FRESH
        {
            return Ok(Some(county.clone()));
        }
        let (wanted, now) = (key.to_owned(), app.clock.now());
        match (app.db.read("county", move |conn| store::find_county(conn, &wanted, now)).await, known) {
            (Ok(Some(county)), _) => {
                let county = Arc::new(county);
                if let Ok(mut known) = self.0.write() {
                    known.insert(key.to_owned(), (county.clone(), Instant::now()));
                }
                Ok(Some(county))
            }
            (Ok(None), _) => Ok(None),
            (Err(_), Some((county, _))) => Ok(Some(county)),
            (Err(error), None) => Err(error),
        }
    }
}
