//! What an import of the catalogue would do: decided from the file and what is there, without writing.

use std::collections::HashMap;

use chrono::NaiveDate;
use diesel::PgConnection;
use uuid::Uuid;

use super::{
    file::{FileMatter, FileVersion, Read},
    store::{Matter, MatterState, Said},
    version::Version,
    version_store,
};
use crate::{
    departments::{self, Department, DepartmentState},
    error::{FieldError, Result, Text},
};

/// What is there.
pub struct Facts {
    pub departments: Vec<Department>,
    pub matters: Vec<Matter>,
    /// By matter: the versions in effect on the day from which the file counts.
    pub versions: HashMap<Uuid, Version>,
}

impl Facts {
    pub fn load(conn: &mut PgConnection, county: i32, day: NaiveDate) -> Result<Self> {
        let versions = version_store::all_in_effect(conn, county, day)?;
        Ok(Self {
            departments: departments::all(conn, county)?,
            matters: version_store::matters(conn, county)?,
            versions: versions.into_iter().map(|version| (version.matter_id, version)).collect(),
        })
    }
}

/// What becomes of a department.
pub enum DepartmentStep {
    Create,
    SetPhone(Uuid),
}

/// What becomes of a matter.
pub struct MatterStep {
    pub name: String,
    /// The matter that is there, if one is.
    pub known: Option<Matter>,
    /// How it shall be, if it is not so.
    pub said: Option<(Said, MatterState)>,
    /// The version to be published.
    pub version: Option<FileVersion>,
}

impl MatterStep {
    pub fn changes(&self) -> bool {
        self.said.is_some() || self.version.is_some()
    }
}

/// All of it, with every fault; with any, nothing is done.
pub struct Plan {
    pub from: NaiveDate,
    pub departments: Vec<(DepartmentStep, String, Option<String>)>,
    pub matters: Vec<MatterStep>,
    pub faults: Vec<FieldError>,
}

impl Plan {
    /// Names of the matters that are new, of those that change, and how many do not.
    pub fn counts(&self) -> (Vec<&str>, Vec<&str>, usize) {
        let named = |new: bool| {
            let those = self.matters.iter().filter(move |step| step.changes() && step.known.is_none() == new);
            those.map(|step| step.name.as_str()).collect::<Vec<_>>()
        };
        (named(true), named(false), self.matters.iter().filter(|step| !step.changes()).count())
    }
}

/// The day from which the versions of a file count.
pub fn from(read: &Read, today: NaiveDate) -> NaiveDate {
    read.effective_from.unwrap_or(today)
}

/// Decides; `facts` are those of [`from`].
pub fn plan(read: &Read, facts: &Facts, today: NaiveDate) -> Plan {
    let mut plan =
        Plan { from: from(read, today), departments: Vec::new(), matters: Vec::new(), faults: read.faults.clone() };
    if plan.from < today {
        let text = Text::fixed("不得早于今天", "must not be in the past");
        plan.faults.push(FieldError::body("/effective_from", "in_past", text));
    }
    for (index, department) in &read.departments {
        match facts.departments.iter().find(|known| known.name == department.name) {
            None => plan.departments.push((DepartmentStep::Create, department.name.clone(), department.phone.clone())),
            Some(known) if known.state == DepartmentState::Closed => {
                plan.faults.push(departments::unknown(format!("/departments/{index}/name")));
            }
            Some(known) if department.phone.is_some() && department.phone != known.phone => {
                let step = DepartmentStep::SetPhone(known.id);
                plan.departments.push((step, department.name.clone(), department.phone.clone()));
            }
            Some(_) => {}
        }
    }
    for (index, matter) in &read.matters {
        let named = matter.version.as_ref().and_then(|version| version.department.as_deref());
        if named.is_some_and(|name| !is_department(name, read, facts)) {
            plan.faults.push(departments::unknown(format!("/matters/{index}/version/department")));
        }
        plan.matters.push(step(matter, facts));
    }
    plan
}

fn is_department(name: &str, read: &Read, facts: &Facts) -> bool {
    let open = |known: &Department| known.name == name && known.state == DepartmentState::Active;
    facts.departments.iter().any(open) || read.departments.iter().any(|(_, department)| department.name == name)
}

fn step(matter: &FileMatter, facts: &Facts) -> MatterStep {
    let known = facts.matters.iter().find(|known| known.name == matter.name).cloned();
    let before = known.as_ref().map(|known| (Said::from(known), known.state));
    let usual = (Said::new(&matter.name, None), MatterState::Active);
    let (said, state) = before.clone().unwrap_or(usual);
    let said = Said {
        name: matter.name.clone(),
        description: matter.description.clone().or(said.description),
        identity_level: matter.identity_level.unwrap_or(said.identity_level),
        slots: matter.slots.unwrap_or(said.slots),
        places: matter.places.clone().unwrap_or(said.places),
        travel_minutes: matter.travel_minutes.unwrap_or(said.travel_minutes),
        own_specialist: matter.own_specialist.unwrap_or(said.own_specialist),
    };
    let after = (said, matter.state.unwrap_or(state));
    let in_effect = known.as_ref().and_then(|known| facts.versions.get(&known.id));
    let in_effect = in_effect.map(|version| FileVersion::of(version, &facts.departments));
    MatterStep {
        name: matter.name.clone(),
        said: (before.as_ref() != Some(&after)).then_some(after),
        version: matter.version.clone().filter(|version| in_effect.as_ref() != Some(version)),
        known,
    }
}
