//! The clock of an errand, computed from its ledger and the calendar: pure, so that it can be explained and computed again.

use chrono::{Days, NaiveDate};
use serde::Deserialize;

use super::model::{ErrandState, Step};
use crate::{
    calendar::{
        Calendar,
        rules::{self, Counted, Pause},
    },
    settings::Settings,
    text_enum,
};

text_enum! {
    /// How far the time is spent.
    pub enum Lamp {
        Green = "green",
        /// 黄灯: most of the days are over.
        Yellow = "yellow",
        /// 红灯: overdue.
        Red = "red",
    }
}

text_enum! {
    /// What a limit is for.
    pub enum Until {
        /// To what was submitted; silence counts as acceptance.
        Answer = "answer",
        Decision = "decision",
    }
}

/// What the clock reads from an entry of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Mark {
    /// The local day of the entry.
    pub on: NaiveDate,
    pub step: Step,
    pub to: ErrandState,
    /// Working days that the step grants: to answer, to decide, or on top.
    pub days: Option<u32>,
}

/// A clock as the ledger tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    pub until: Until,
    /// The day of submission or acceptance, which does not count.
    pub since: NaiveDate,
    /// Working days, extensions included.
    pub limit: u32,
    pub pauses: Vec<Pause>,
    /// The day on which what it ran for was done.
    pub ended: Option<NaiveDate>,
}

/// Days that follow from a clock and a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The day at whose end it is due; none while the clock stands still.
    pub due_on: Option<NaiveDate>,
    /// A year on the way is not loaded: the weekend rule stood in for its notice.
    pub provisional: bool,
    /// The days from which the lamp is yellow, and red.
    pub yellow_from: Option<NaiveDate>,
    pub red_from: Option<NaiveDate>,
    /// Every day from the first to the deadline, or, while it stands still, to the day before it stopped.
    pub days: Vec<Counted>,
}

impl Clock {
    /// Folds the ledger; none before submission.
    pub fn of(marks: impl IntoIterator<Item = Mark>) -> Option<Self> {
        marks.into_iter().fold(None, Self::next)
    }

    fn next(clock: Option<Self>, mark: Mark) -> Option<Self> {
        let begin =
            |until, since| Self { until, since, limit: mark.days.unwrap_or(0), pauses: Vec::new(), ended: None };
        let stands = matches!(mark.to, ErrandState::SupplementRequested | ErrandState::Suspended);
        match (mark.step, clock) {
            (Step::Submit, _) => Some(begin(Until::Answer, mark.on)),
            // What was missing is there: the time to answer begins anew.
            (Step::Supplement, Some(clock)) if clock.until == Until::Answer => {
                Some(Self { since: mark.on, pauses: Vec::new(), ..clock })
            }
            (Step::Accept, _) => Some(begin(Until::Decision, mark.on)),
            // Silence accepts from the day of submission (行政许可法第三十二条).
            (Step::DeemAccepted, Some(clock)) => Some(begin(Until::Decision, clock.since)),
            (Step::Extend, Some(clock)) => Some(Self { limit: clock.limit + mark.days.unwrap_or(0), ..clock }),
            (Step::Supplement | Step::Resume, Some(mut clock)) => {
                if let Some(pause) = clock.pauses.last_mut() {
                    pause.until.get_or_insert(mark.on);
                }
                Some(clock)
            }
            (_, Some(mut clock)) if stands && mark.step != Step::Correct => {
                if clock.pauses.last().is_none_or(|pause| pause.until.is_some()) {
                    clock.pauses.push(Pause { from: mark.on, until: None });
                }
                Some(clock)
            }
            (Step::Decide | Step::Refuse | Step::Withdraw, Some(clock)) => Some(Self { ended: Some(mark.on), ..clock }),
            (_, clock) => clock,
        }
    }

    /// What the calendar makes of it.
    pub fn read(&self, calendar: &Calendar, settings: &Settings) -> Reading {
        let closed: Vec<_> =
            self.pauses.iter().map(|pause| Pause { until: pause.until.or(Some(NaiveDate::MAX)), ..*pause }).collect();
        let stands = self.pauses.iter().any(|pause| pause.until.is_none());
        let counted = if stands {
            let last = self.pauses.last().map_or(self.since, |pause| pause.from);
            Some(rules::until(calendar, self.since, last, &closed))
        } else {
            rules::due(calendar, self.since, self.limit, &self.pauses)
        };
        let Some(due) = counted else {
            return Reading { due_on: None, provisional: false, yellow_from: None, red_from: None, days: Vec::new() };
        };
        let running = !stands && self.ended.is_none();
        // From the day after the one that fills the share.
        let from = |percent: i64| {
            let filled = (i64::from(self.limit) * percent + 99) / 100;
            let day =
                due.days.iter().find(|day| day.number.map_or(self.limit == 0, |number| i64::from(number) >= filled));
            day.filter(|_| running)?.date.checked_add_days(Days::new(1))
        };
        Reading {
            due_on: running.then_some(due.on),
            provisional: due.provisional,
            yellow_from: from(settings.errands_yellow_percent),
            red_from: from(settings.errands_red_percent),
            days: due.days,
        }
    }
}

/// The lamp on a day; none while no limit runs.
pub fn lamp(yellow_from: Option<NaiveDate>, red_from: Option<NaiveDate>, today: NaiveDate) -> Option<Lamp> {
    let red_from = red_from?;
    Some(match yellow_from {
        _ if today >= red_from => Lamp::Red,
        Some(yellow) if today >= yellow => Lamp::Yellow,
        _ => Lamp::Green,
    })
}
