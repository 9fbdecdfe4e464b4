//! What one chapter leaves for the next.

use anyhow::{Context, Result};

use crate::{
    counter::Counter,
    stage::{Session, Stage},
};

/// Where and for what somebody books.
pub struct Place {
    /// 均溪镇
    pub town: String,
    /// 红星村委会, the village of everybody in the story.
    pub village: String,
    pub matter: String,
}

/// The server, and what is known so far.
pub struct Story {
    pub stage: Stage,
    pub place: Option<Place>,
    pub zhang: Option<Session>,
    pub cadre: Option<Session>,
    /// The resident without a smartphone.
    pub granny: Option<String>,
    pub specialist: Option<Session>,
    /// The resident without a phone.
    pub old_man: Option<String>,
    /// Where the last chapters book.
    pub counter: Option<Counter>,
    /// Who was first on the waiting list, and has a booking.
    pub li: Option<Session>,
    /// Who was second.
    pub wang: Option<Session>,
}

impl Story {
    pub fn new(stage: Stage) -> Self {
        Self {
            stage,
            place: None,
            zhang: None,
            cadre: None,
            granny: None,
            specialist: None,
            old_man: None,
            counter: None,
            li: None,
            wang: None,
        }
    }

    pub fn place(&self) -> Result<&Place> {
        self.place.as_ref().context("the chapter of the county comes first")
    }

    pub fn zhang(&self) -> Result<&Session> {
        self.zhang.as_ref().context("the chapter in which Zhang logs in comes first")
    }

    pub fn cadre(&self) -> Result<&Session> {
        self.cadre.as_ref().context("the chapter in which the cadre logs in comes first")
    }

    pub fn granny(&self) -> Result<&str> {
        self.granny.as_deref().context("the chapter in which the cadre registers her comes first")
    }

    pub fn specialist(&self) -> Result<&Session> {
        self.specialist.as_ref().context("the chapter of the old man comes first")
    }

    pub fn old_man(&self) -> Result<&str> {
        self.old_man.as_deref().context("the chapter of the old man comes first")
    }

    pub fn counter(&self) -> Result<&Counter> {
        self.counter.as_ref().context("the chapter of the waiting list comes first")
    }

    pub fn li(&self) -> Result<&Session> {
        self.li.as_ref().context("the chapter of the waiting list comes first")
    }

    pub fn wang(&self) -> Result<&Session> {
        self.wang.as_ref().context("the chapter of the waiting list comes first")
    }
}
