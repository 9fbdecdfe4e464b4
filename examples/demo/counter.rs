//! A counter of the story's own: a matter, a window and its hours, made by every run, so that whoever else books is not in
//! the way.

use anyhow::{Context, Result};
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

use crate::{
    people, slots,
    stage::{Call, Session, Stage, nonce, say},
    story::Place,
};

/// Open on two days; each start has one place for residents and one for agents.
pub struct Counter {
    pub place: Place,
    pub window: String,
    pub name: String,
    matter_name: String,
    /// The first of the two days: so far ahead that places of agents are not everybody's yet.
    pub day: NaiveDate,
    admin: Session,
    pub clerk: Session,
}

/// Hours that are open on a day, besides the rules or without any.
pub fn hours(opens: &str, closes: &str, minutes: i64, at: &str, (public, proxy): (i64, i64)) -> Value {
    json!({"kind": "open", "opens_at": opens, "closes_at": closes, "slot_minutes": minutes, "place": at,
        "capacity_public": public, "capacity_proxy": proxy, "capacity_desk": 0, "reason": "敬老月延时服务"})
}

pub async fn open(stage: &Stage, town: &Place) -> Result<Counter> {
    let admin = people::staff(stage, "admin", "county_admin", "县管理员").await?;
    let clerk = people::staff(stage, "junxi", "township_staff", "均溪镇工作人员").await?;
    let tag = &nonce()[30..];
    let (matter_name, name) = (format!("老年人优待证 {tag}"), format!("敬老专窗 {tag}"));

    say("县里新增一个事项：在中心办，也可上门 · the county adds a matter, done at the centre or at home");
    let body = json!({"name": matter_name, "description": "请带身份证和一寸照片", "places": ["centre", "home"], "travel_minutes": 30});
    let matter = stage.post("/v1/matters", body).by(&admin).key(&nonce()).send(201).await?.str("/id")?.to_owned();
    say("镇里为它开一个窗口 · the township opens a window for it");
    let body = json!({"unit_id": town.town, "name": name, "matter_ids": [matter]});
    let window = stage.post("/v1/windows", body).by(&clerk).key(&nonce()).send(201).await?.str("/id")?.to_owned();

    let place = Place { town: town.town.clone(), village: town.village.clone(), matter };
    let counter = Counter { place, window, name, matter_name, day: slots::tomorrow() + Days::new(1), admin, clerk };
    say(
        "连开两天，周末和节假日也开：上午在中心，下午上门 · two days, be they a holiday: mornings at the centre, then at home",
    );
    let days = (counter.day, counter.next_day());
    counter.except(stage, days, hours("09:00:00", "10:30:00", 30, "centre", (1, 1))).send(201).await?;
    counter.except(stage, days, hours("14:00:00", "17:00:00", 30, "home", (0, 1))).send(201).await?;
    Ok(counter)
}

impl Counter {
    pub fn next_day(&self) -> NaiveDate {
        self.day + Days::new(1)
    }

    /// A time of the first day.
    pub fn at(&self, time: &str) -> String {
        format!("{}T{time}:00+08:00", self.day)
    }

    /// What somebody asks for who books here.
    pub fn wish(&self, starts_at: &str) -> Value {
        json!({"unit_id": self.place.town, "matter_id": self.place.matter, "starts_at": starts_at})
    }

    /// Something different on some days, at this window.
    pub fn except<'a>(&self, stage: &'a Stage, days: (NaiveDate, NaiveDate), what: Value) -> Call<'a> {
        let mut body = what;
        body["unit_id"] = self.place.town.as_str().into();
        body["window_id"] = self.window.as_str().into();
        body["from_date"] = days.0.to_string().into();
        body["until_date"] = days.1.to_string().into();
        stage.post("/v1/opening_exceptions", body).by(&self.clerk).key(&nonce())
    }

    /// The counter is closed, and the matter withdrawn: what is still booked is cancelled, and everybody is told.
    pub async fn close(&self, stage: &Stage) -> Result<()> {
        say(
            "专窗撤销，还有的预约取消并逐一通知 · the window closes: what is still booked is cancelled, everybody is told",
        );
        let body = json!({"name": self.name, "state": "closed", "matter_ids": [self.place.matter],
            "affected": "cancel", "reason": "专窗撤销，请到民生事务窗口办理"});
        let window = stage.put(&format!("/v1/windows/{}", self.window), body).by(&self.clerk);
        let closed = window.header("If-Match", "*").send(200).await?;
        closed["affected"].as_array().context("no list of those who are affected")?;
        let body = json!({"name": self.matter_name, "state": "withdrawn"});
        let matter = stage.put(&format!("/v1/matters/{}", self.place.matter), body).by(&self.admin);
        matter.header("If-Match", "*").send(200).await?.has("/state", "withdrawn")
    }
}
