//! Counties and their units: who the tenants are, and where things are.

pub mod county;
pub mod import;
pub mod model;
pub mod routes;
pub mod store;
pub mod tenants;

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use crate::{
    app::App,
    error::{Code, Error, Result},
};

pub use model::{County, CountyState, DivisionCode, Level};
pub use store::{every_county, exists_in, find_county};

/// How long another process's change may stay unseen.
/// With what is rendered (`http::cached`) it adds up to the 5 seconds within which a suspension holds.
const FRESH: Duration = Duration::from_secs(2);

fn unknown(key: &str) -> Error {
    Error::new(Code::NotFound).detail(format!("没有代号为 {key} 的县"), format!("There is no county {key}"))
}

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

    /// The county of a public request; 404 when there is none, or a suspended one.
    pub async fn public(&self, app: &App, key: &str) -> Result<Arc<County>> {
        self.find(app, key).await?.filter(|county| county.state == CountyState::Active).ok_or_else(|| unknown(key))
    }

    /// The county of a login: 404 when there is none, 403 while it is suspended.
    pub async fn working(&self, app: &App, key: &str) -> Result<Arc<County>> {
        let county = self.find(app, key).await?.ok_or_else(|| unknown(key))?;
        county.working()?;
        Ok(county)
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
