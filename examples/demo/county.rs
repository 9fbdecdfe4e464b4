//! A county: its towns and villages, its matters, and a deadline counted in working days.

use anyhow::{Context, Result};
use lianxin::sample::COUNTY;

use crate::{
    stage::{Reply, say},
    story::{Place, Story},
};

pub async fn play(story: &mut Story) -> Result<()> {
    let stage = &story.stage;
    let towns = stage.get(&format!("/v1/units?county={COUNTY}&level=township&limit=200&count=true"));
    let town = id_of(&towns.send(200).await?, "均溪镇")?;
    let villages = stage.get(&format!("/v1/units?county={COUNTY}&parent_id={town}&limit=200"));
    let village = id_of(&villages.send(200).await?, "红星村委会")?;
    let matters = stage.get(&format!("/v1/matters?county={COUNTY}&state=active&limit=3")).send(200).await?;
    let matter = matters.str("/items/0/id")?.to_owned();

    say("受理当天不算；中秋、国庆和周末不算 · the day of acceptance, holidays and weekends do not count");
    let due = stage.get(&format!("/v1/calendar/due_date?county={COUNTY}&from=2026-09-25&working_days=5"));
    due.send(200).await?.has("/due_on", "2026-10-09")?;
    story.place = Some(Place { town, village, matter });
    Ok(())
}

/// The id of the item with a name.
fn id_of(page: &Reply, name: &str) -> Result<String> {
    let item = page.items()?.iter().find(|item| item["name"] == name);
    let id = item.and_then(|item| item["id"].as_str().map(str::to_owned));
    id.with_context(|| format!("{name} is not there: is {COUNTY} the sample county of `make run`?"))
}
