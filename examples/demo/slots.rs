//! Looking for a day with free places.

use anyhow::{Context, Result};
use chrono::{Days, NaiveDate};
use lianxin::{
    clock::{Clock, local_date},
    sample::COUNTY,
};
use serde_json::Value;

use crate::{
    stage::{Reply, Stage},
    story::Place,
};

/// The slots of a day through a channel.
pub struct Day {
    pub date: NaiveDate,
    path: String,
    /// Starts that have a place left, earliest first.
    pub free: Vec<String>,
}

pub fn tomorrow() -> NaiveDate {
    local_date(Clock::System.now()) + Days::new(1)
}

/// The slots of one day; `through` says channel and place as the query does.
pub async fn on(stage: &Stage, place: &Place, date: NaiveDate, through: &str) -> Result<Day> {
    let (town, matter) = (&place.town, &place.matter);
    let path = format!("/v1/slots?county={COUNTY}&unit_id={town}&matter_id={matter}&date={date}&{through}");
    let slots = stage.get(&path).send(200).await?;
    let items = slots.items()?.iter().filter(|slot| slot["free"].as_i64() > Some(0));
    let free = items.filter_map(|slot| slot["starts_at"].as_str().map(str::to_owned)).collect();
    Ok(Day { date, path, free })
}

/// The first of so many days that has at least `wanted` starts with a place left. Begins tomorrow: what begins within two
/// hours could not be cancelled online any more.
pub async fn next(stage: &Stage, place: &Place, channel: &str, days: u64, wanted: usize) -> Result<Option<Day>> {
    for date in tomorrow().iter_days().take(days as usize) {
        let day = on(stage, place, date, &format!("channel={channel}")).await?;
        if day.free.len() >= wanted {
            return Ok(Some(day));
        }
    }
    Ok(None)
}

impl Day {
    /// How many places of a start are left now, asked without printing.
    pub async fn left(&self, stage: &Stage, starts_at: &str) -> Result<i64> {
        let slots: Reply = stage.get(&self.path).quietly().send(200).await?;
        let slot = slots.items()?.iter().find(|slot| slot["starts_at"] == starts_at);
        slot.map(|slot| &slot["free"]).and_then(Value::as_i64).with_context(|| format!("{starts_at} is gone"))
    }
}
