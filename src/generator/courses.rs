//! The course of an errand, step by step: its ledger, chained by hashes as the service chains it, and what the errand then is.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{Dice, World};
use crate::{
    clock::{local_date, local_midnight},
    errands::{
        clock::{Clock, Reading},
        ledger::{self, Entry, Facts},
        model::{ErrandState, Step, To},
        steps::rung_on,
    },
    http::permissions::Role,
    matters::{Version, version::DecidedBy},
    settings::Settings,
};

/// How an errand of the past ended, of a hundred.
const ENDS: &[(u32, Option<Step>)] = &[(91, Some(Step::Decide)), (5, Some(Step::Refuse)), (4, Some(Step::Withdraw))];

/// Where an open one stands, of a hundred.
const STANDS: &[(u32, ErrandState)] = &[
    (12, ErrandState::Submitted),
    (6, ErrandState::SupplementRequested),
    (28, ErrandState::Accepted),
    (48, ErrandState::Handling),
    (6, ErrandState::Suspended),
];

/// Who takes part.
#[derive(Clone, Copy)]
pub struct People {
    /// The resident, or the agent who files for them.
    pub files: (Uuid, Role),
    pub holder: (Uuid, Role),
    /// Of the township, where that decides.
    pub decides: (Uuid, Role),
}

/// What courses have in common.
pub struct Around<'a> {
    pub world: &'a World,
    pub settings: &'a Settings,
    /// Working days from the beginning to yesterday.
    pub days: &'a [NaiveDate],
    /// What dates are computed by.
    pub basis: &'a [u8],
}

/// An errand under way.
pub struct Course<'a> {
    pub around: &'a Around<'a>,
    pub version: &'a Version,
    pub id: Uuid,
    pub people: People,
    pub entries: Vec<Entry>,
    pub state: ErrandState,
    pub back_to: Option<ErrandState>,
    /// Place among the working days, and the time of the last step.
    day: usize,
    at: DateTime<Utc>,
    pub on_time: Option<bool>,
    pub granted: Option<bool>,
    pub rung: i16,
}

impl<'a> Course<'a> {
    /// Filed on a working day.
    pub fn begin(
        around: &'a Around<'a>,
        dice: &mut Dice,
        version: &'a Version,
        people: impl FnOnce(&mut Dice, DateTime<Utc>) -> People,
        day: usize,
    ) -> Self {
        let at = local_midnight(around.days[day]) + dice.minutes(8 * 60, 15 * 60);
        let (id, people) = (dice.id(at), people(dice, at));
        let (entries, state) = (Vec::with_capacity(8), ErrandState::Draft);
        let mut course = Self {
            around,
            version,
            id,
            people,
            entries,
            state,
            back_to: None,
            day,
            at,
            on_time: None,
            granted: None,
            rung: 0,
        };
        let filed = [("matter", json!(version.matter_id)), ("matter_version", json!(version.number))];
        course.take(Step::File, people.files.into(), &filed);
        course.at += dice.minutes(1, 20);
        let days = around.settings.errands_deemed_accepted_days;
        course.take(Step::Submit, people.files.into(), &[("days", json!(days)), ("staff", json!(people.holder.0))]);
        course
    }

    fn take(&mut self, step: Step, actor: Option<(Uuid, Role)>, says: &[(&str, serde_json::Value)]) {
        let (from, first) = (self.state, self.entries.is_empty());
        self.state = match step.row().1 {
            To::State(state) => state,
            To::Same => from,
            To::Back => self.back_to.unwrap_or(from),
        };
        let stands = matches!(self.state, ErrandState::SupplementRequested | ErrandState::Suspended);
        self.back_to = stands.then(|| if from == self.state { self.back_to } else { Some(from) }).flatten();
        let mut facts: Facts = says.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        facts.insert("on".into(), json!(local_date(self.at)));
        let previous = self.entries.last().map_or_else(|| ledger::BEGINNING.to_vec(), |last| last.hash.clone());
        let (actor_id, actor_role) = actor.unzip();
        let mut entry = Entry {
            seq: self.entries.len() as i32 + 1,
            at: self.at,
            step,
            actor_id,
            actor_role,
            from_state: (!first).then_some(from),
            to_state: self.state,
            facts: json!(facts),
            words_digest: None,
            previous,
            hash: Vec::new(),
        };
        entry.hash = entry.digest(self.around.world.county, self.id).to_vec();
        self.entries.push(entry);
    }

    /// Some working days later, or some minutes on the same; false when that has not come yet.
    fn goes_on(&mut self, dice: &mut Dice, days: i64) -> bool {
        let day = self.day + days as usize;
        let Some(date) = self.around.days.get(day) else { return false };
        self.at = match day == self.day {
            true => self.at + dice.minutes(5, 40),
            false => local_midnight(*date) + dice.minutes(8 * 60 + 30, 16 * 60),
        };
        self.day = day;
        true
    }

    fn accept(&mut self) {
        self.take(Step::Accept, self.people.holder.into(), &[("days", json!(self.version.promised_days))]);
    }

    fn departmental(&self) -> bool {
        self.version.decided_by == DecidedBy::Department
    }

    /// As far as it has come by now; most to the archive.
    pub fn past(&mut self, dice: &mut Dice) {
        let (holder, limit) = (self.people.holder, i64::from(self.version.promised_days));
        let end = *dice.weighted(ENDS);
        let wait = dice.between(0, 2);
        if !self.goes_on(dice, wait) {
            return;
        }
        match end {
            Some(Step::Refuse) => self.take(Step::Refuse, holder.into(), &[]),
            Some(Step::Withdraw) => self.take(Step::Withdraw, self.people.files.into(), &[]),
            _ => {
                self.accept();
                if self.departmental() {
                    self.at += dice.minutes(5, 40);
                    self.take(Step::Forward, holder.into(), &[]);
                }
                let days = if dice.percent(96) { dice.between(0, limit) } else { limit + dice.between(1, 5) };
                if !self.goes_on(dice, days) {
                    return;
                }
                self.decide(dice);
                let days = dice.between(0, 2);
                if !self.goes_on(dice, days) {
                    return;
                }
                self.take(Step::Deliver, holder.into(), &[("how", json!("in_person"))]);
                self.at += dice.minutes(1, 5);
                self.take(Step::Acknowledge, holder.into(), &[("how", json!("signed"))]);
            }
        }
        let days = dice.between(0, 2);
        if self.goes_on(dice, days) {
            self.take(Step::Archive, holder.into(), &[]);
        }
    }

    fn decide(&mut self, dice: &mut Dice) {
        let granted = dice.percent(95);
        let due = self.reading().and_then(|reading| reading.due_on);
        (self.granted, self.on_time) = (Some(granted), Some(due.is_none_or(|due| local_date(self.at) <= due)));
        let by = if self.version.decided_by == DecidedBy::Township { self.people.decides } else { self.people.holder };
        self.take(Step::Decide, by.into(), &[("granted", json!(granted))]);
    }

    /// Accepted and not decided, or not even accepted.
    pub fn open(&mut self, dice: &mut Dice) {
        let (holder, stands) = (self.people.holder, *dice.weighted(STANDS));
        // What was not answered for longer counts as accepted.
        let waits = self.reading().and_then(|reading| reading.due_on).is_some_and(|due| due >= self.around.world.today);
        if stands == ErrandState::Submitted && waits || !self.goes_on(dice, 0) {
            return;
        }
        self.accept();
        self.at += dice.minutes(5, 40);
        let missing = [("missing", json!("id_card"))];
        match stands {
            ErrandState::SupplementRequested => {
                let days = self.around.settings.errands_supplement_days.unsigned_abs();
                let until = ("until", json!(local_date(self.at) + Days::new(days)));
                let [missing] = missing;
                self.take(Step::RequestSupplement, holder.into(), &[missing, until]);
            }
            ErrandState::Suspended => self.take(Step::Suspend, holder.into(), &[]),
            ErrandState::Handling if self.departmental() => self.take(Step::Forward, holder.into(), &[]),
            ErrandState::Handling => self.take(Step::Begin, holder.into(), &[]),
            _ => {}
        }
    }

    /// What the clock says of it; none when no limit runs.
    pub fn reading(&self) -> Option<Reading> {
        let clock = Clock::of(self.entries.iter().map(Entry::mark))?;
        Some(clock.read(&self.around.world.calendar, self.around.settings)).filter(|_| self.state.runs())
    }

    /// Climbs the rungs that lie behind it, so that nobody is asked for them today; the day of the next one.
    pub fn climb(&mut self) -> Option<NaiveDate> {
        let reading = self.reading()?;
        let World { calendar, today, .. } = self.around.world;
        for rung in self.version.ladder() {
            let on = rung_on(&reading, rung, calendar).filter(|on| *on <= *today);
            let Some(on) = on else { return rung_on(&reading, rung, calendar) };
            self.rung += 1;
            // In the night, as the sweep does it.
            self.at = self.at.max(local_midnight(on) + TimeDelta::minutes(5));
            self.take(Step::Escalate, None, &[("rung", json!(self.rung)), ("to", json!(rung.to))]);
        }
        None
    }

    /// The first time that a step was taken.
    pub fn day_of(&self, step: Step) -> Option<NaiveDate> {
        self.entries.iter().find(|entry| entry.step == step).map(|entry| local_date(entry.at))
    }

    pub fn last(&self) -> DateTime<Utc> {
        self.at
    }
}

/// The last day of a mandate given at a time.
pub fn a_year_after(at: DateTime<Utc>) -> NaiveDate {
    local_date(at) + Days::new(365)
}
