//! The pass that orders the days of series some days ahead.

use std::sync::Arc;

use chrono::Days;

use super::{
    acting::Frame,
    series::{self, Planned, Sight},
};
use crate::{app::App, calendar, clock::local_date, error::Result};

/// How many are looked for at once.
const BATCH: i64 = 200;

/// Orders what is to come of every series; what fails does not keep the rest waiting, and comes again.
pub async fn run(app: &Arc<App>) -> Result<()> {
    let today = local_date(app.clock.now());
    let calendar = calendar::current(app).await?;
    let mut failed = Ok(());
    let counties = app.db.read("counties_of_series", move |conn| Ok(series::counties(conn)?)).await?;
    for county in counties {
        let frame = Frame::of_county(app, county).await?;
        let ahead = frame.settings.orders_series_days;
        let until = today + Days::new(ahead.unsigned_abs());
        let due: Vec<Planned> = app
            .db
            .read("series_to_plan", move |conn| Ok(series::to_plan(conn, county, (today, until), BATCH)?))
            .await?;
        for Planned { id } in due {
            let (inner, calendar, now) = (app.clone(), calendar.clone(), frame.now);
            let plan = app.db.write("plan_series", move |conn| {
                let all = Sight { resident: None, within: None };
                let Some(row) = series::lock(conn, county, all, id, today)? else { return Ok(()) };
                if row.state == series::SeriesState::Active {
                    series::plan(conn, &inner, &row, (&calendar, ahead), now)?;
                }
                Ok(())
            });
            failed = failed.and(plan.await);
        }
    }
    failed
}
