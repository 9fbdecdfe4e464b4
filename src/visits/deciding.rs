//! What becomes of each of several check-ins: pure but for ids and seals. One that is wrong never spoils the others.

use chrono::NaiveDate;
use uuid::Uuid;

use super::{
    facts::{Before, Brief, Household, Known, Other},
    model::{Clocks, Said, place},
    request::{CheckIn, NewOnTheSpot},
    rules::{self, Home, Weighed},
};
use crate::{
    clock::local_date,
    crypto::Keyring,
    error::{Code, Error, FieldError, Result, Text},
    geo::Point,
    households::OnTheSpot,
    settings::Settings,
};

/// Other versions of one visit that are kept: more are no mistake of a phone.
const OTHERS: usize = 20;

/// Whoever checks in, where, when, by what the county has decided.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub keys: &'a Keyring,
    pub county: i32,
    pub me: Uuid,
    /// The unit of the caller's post.
    pub unit: Option<Uuid>,
    pub clocks: Clocks,
    pub settings: &'a Settings,
}

impl Around<'_> {
    /// The local day of a visit.
    fn day(&self, check_in: &CheckIn) -> NaiveDate {
        local_date(self.clocks.occurred(check_in.device_at()))
    }
}

/// A visit to be written.
#[derive(Clone, Debug)]
pub struct NewVisit {
    pub id: Uuid,
    pub household: Uuid,
    pub unit: Uuid,
    pub weighed: Weighed,
    /// Sealed.
    pub said: Vec<u8>,
}

/// Another version to be kept.
#[derive(Clone, Debug)]
pub struct NewConflict {
    pub id: Uuid,
    pub visit: Uuid,
    pub unit: Uuid,
    pub weighed: Weighed,
    /// Sealed.
    pub said: Vec<u8>,
}

/// What becomes of one check-in.
#[derive(Debug)]
pub enum Became {
    Created(Brief),
    /// It is there already.
    Same(Brief),
    /// Something else is there under its id; which version this is, and what is there if the caller may see it.
    Conflict(Uuid, Option<Brief>),
    Refused(Error),
}

/// What is to be written, and what is answered, in the order of the check-ins.
#[derive(Debug, Default)]
pub struct Plan {
    pub visits: Vec<NewVisit>,
    pub households: Vec<OnTheSpot>,
    pub conflicts: Vec<NewConflict>,
    pub became: Vec<Became>,
}

fn fault(pointer: &str, code: &'static str, zh: &'static str, en: &'static str) -> FieldError {
    FieldError::body(pointer, code, Text::fixed(zh, en))
}

impl Plan {
    /// Decides on one after another: what comes later in a batch finds what came before it.
    pub fn of(check_ins: Vec<Result<CheckIn>>, mut known: Known, around: Around<'_>) -> Result<Self> {
        let mut plan = Self::default();
        for check_in in check_ins {
            let became = match check_in {
                Err(refusal) => Became::Refused(refusal),
                Ok(check_in) => match known.visits.get_mut(&check_in.id) {
                    Some(before) => {
                        let household = known.households.get(&check_in.household_id);
                        plan.again(&check_in, before, household, around)?
                    }
                    None => plan.first(&check_in, &mut known, around)?,
                },
            };
            plan.became.push(became);
        }
        Ok(plan)
    }

    /// Something is there under its id.
    fn again(
        &mut self,
        check_in: &CheckIn,
        before: &mut Before,
        household: Option<&Household>,
        around: Around<'_>,
    ) -> Result<Became> {
        let said = check_in.said();
        if before.staff == around.me && before.kept.is_same(&said)? {
            return Ok(Became::Same(before.brief.clone()));
        }
        let faults = rules::faults(check_in, around.clocks, around.settings);
        if !faults.is_empty() {
            return Ok(Became::Refused(Error::invalid(faults)));
        }
        // Of a household that the caller does not reach nothing is known, not even who agrees.
        let day = around.day(check_in);
        let household = household.filter(|household| household.reached_on(day));
        let home = household.map_or(Home::default(), |household| household.home);
        let weighed = rules::weigh(said, home, around.clocks, around.settings);
        let shown = before.reached.then(|| before.brief.clone());
        for other in before.others.iter().filter(|other| other.staff == around.me) {
            if other.kept.is_same(&weighed.said)? {
                return Ok(Became::Conflict(other.id, shown));
            }
        }
        let unit = household.map(|household| household.unit).or(around.unit);
        let (Some(unit), true) = (unit, before.others.len() < OTHERS) else {
            return Ok(Became::Refused(Code::TooManyConflicts.into()));
        };
        let id = Uuid::now_v7();
        let kept = weighed.kept()?;
        let bytes = kept.said.as_deref().unwrap_or_default();
        let said = around.keys.seal(around.county, &place("visit_conflicts", "said", id), bytes);
        before.others.push(Other { id, staff: around.me, kept });
        self.conflicts.push(NewConflict { id, visit: check_in.id, unit, weighed, said });
        Ok(Became::Conflict(id, shown))
    }

    /// Nothing is there under its id.
    fn first(&mut self, check_in: &CheckIn, known: &mut Known, around: Around<'_>) -> Result<Became> {
        let mut faults = rules::faults(check_in, around.clocks, around.settings);
        let household = match self.household(check_in, known, around) {
            Ok(household) => household,
            Err(fault) => {
                faults.push(fault);
                return Ok(Became::Refused(Error::invalid(faults)));
            }
        };
        if !faults.is_empty() {
            return Ok(Became::Refused(Error::invalid(faults)));
        }
        if let (None, Some(new)) = (known.households.get(&check_in.household_id), &check_in.household) {
            let NewOnTheSpot { name, address, home, .. } = new.clone();
            let (id, unit) = (household.id, household.unit);
            self.households.push(OnTheSpot { id, unit, name, address, home });
            known.households.insert(id, household.clone());
        }
        let weighed = rules::weigh(check_in.said(), household.home, around.clocks, around.settings);
        let kept = weighed.kept()?;
        let bytes = kept.said.as_deref().unwrap_or_default();
        let said = around.keys.seal(around.county, &place("visits", "said", check_in.id), bytes);
        let brief = Brief {
            household: household.id,
            occurred_at: weighed.occurred_at,
            skew_seconds: weighed.skew_seconds,
            distance_m: weighed.distance_m,
            flags: weighed.flags.clone(),
            left_out: weighed.left_out.clone(),
            version: 1,
        };
        let before = Before { staff: around.me, kept, reached: true, brief: brief.clone(), others: Vec::new() };
        known.visits.insert(check_in.id, before);
        self.visits.push(NewVisit { id: check_in.id, household: household.id, unit: household.unit, weighed, said });
        Ok(Became::Created(brief))
    }

    /// The household, as it is or will be.
    fn household(
        &self,
        check_in: &CheckIn,
        known: &Known,
        around: Around<'_>,
    ) -> std::result::Result<Household, FieldError> {
        let unknown = || {
            let (zh, en) = (
                "没有这一户，或不在您的走访范围；新的户须写明 household",
                "there is no such household within your reach; of a new one say `household`",
            );
            fault("/household_id", "unknown_household", zh, en)
        };
        let day = around.day(check_in);
        match (known.households.get(&check_in.household_id), &check_in.household) {
            (Some(there), _) if !there.reached_on(day) => Err(unknown()),
            (Some(there), _) if !there.there_on(day) => {
                let (zh, en) = ("走访之日该户已注销", "the household was closed before that day");
                Err(fault("/household_id", "household_closed", zh, en))
            }
            (Some(there), _) => Ok(there.clone()),
            (None, None) => Err(unknown()),
            (None, Some(new)) => {
                let unit = new.unit_id.or(around.unit).filter(|unit| known.villages.contains(unit));
                let unit = unit.ok_or_else(|| {
                    let (zh, en) = ("须为您管辖范围内的村", "must be a village within your reach");
                    fault("/household/unit_id", "unknown_unit", zh, en)
                })?;
                let home = Home { point: new.home.map(Point::to_wgs84), agrees: known.nobody_asked };
                let (id, days, closed_on) = (check_in.household_id, Vec::new(), None);
                Ok(Household { id, unit, reached: true, days, active: true, closed_on, home })
            }
        }
    }
}

/// What was said, read back.
pub fn read_said(bytes: &[u8]) -> Result<Said> {
    serde_json::from_slice(bytes).map_err(Error::internal)
}
