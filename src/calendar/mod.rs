//! Working days (工作日): weekends and statutory holidays excluded, make-up workdays included.
//!
//! The arithmetic in `rules` is pure; this file keeps the imported calendar at hand.

pub mod import;
pub mod jobs;
pub mod model;
pub mod routes;
pub mod rules;
mod store;

use std::{
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use crate::{app::App, error::Result};

pub use model::{Calendar, Day, DayKind};
pub use store::load;

/// How long an import by another process may stay unseen.
const FRESH: Duration = Duration::from_secs(10);

/// The calendar in use, read again every few seconds.
#[derive(Default)]
pub struct Current(RwLock<Option<(Arc<Calendar>, Instant)>>);

impl Current {
    /// Forgets what was read: called by whoever imports.
    pub fn forget(&self) {
        if let Ok(mut known) = self.0.write() {
            *known = None;
        }
    }
}

/// The calendar of today's knowledge. While PostgreSQL is away the last one known goes on.
pub async fn current(app: &App) -> Result<Arc<Calendar>> {
    let known = app.calendar.0.read().ok().and_then(|known| known.clone());
    if let Some((calendar, read)) = &known
        && read.elapsed() < FRESH
    {
        return Ok(calendar.clone());
    }
    let loaded = app.db.read("calendar", |conn| Ok(store::load(conn)?)).await;
    match (loaded, known) {
        (Ok(calendar), _) => {
            let calendar = Arc::new(calendar);
            if let Ok(mut known) = app.calendar.0.write() {
                *known = Some((calendar.clone(), Instant::now()));
            }
            Ok(calendar)
        }
        (Err(_), Some((calendar, _))) => Ok(calendar),
        (Err(error), None) => Err(error),
    }
}
