//! Taking a step: what it needs, and what the errand is afterwards. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::{
    clock::{Clock, Mark, Reading},
    ledger::Facts,
    model::{By, Errand, ErrandState, Provided, Step, To},
    refusals::StepError,
    replies::Parcel,
};
use crate::{
    calendar::{Calendar, rules},
    http::permissions::Role,
    matters::{
        self, Version,
        version::{DecidedBy, Material, Rung, RungAt},
    },
    settings::Settings,
};

/// Who takes the step; none of it for the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    pub id: Option<Uuid>,
    pub role: Option<Role>,
    /// Answers for it, or covers whoever does.
    pub holds: bool,
    /// Was asked to take it over, or covers whoever was.
    pub offered: bool,
    /// Has a post in the department that has it.
    pub departmental: bool,
}

impl Actor {
    pub const SYSTEM: Self = Self { id: None, role: None, holds: false, offered: false, departmental: false };

    fn is(self, roles: &[Role]) -> bool {
        self.role.is_some_and(|role| roles.contains(&role))
    }
}

/// What a step says.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub facts: Facts,
    /// Working days that it grants: to answer, to decide, or on top.
    pub days: Option<u32>,
    /// Who answers for it from now on, or is asked to.
    pub staff: Option<Uuid>,
    pub department: Option<Uuid>,
    pub granted: Option<bool>,
    pub words: Option<String>,
    /// Materials that are there from now on, beside those that were.
    pub provided: Vec<Provided>,
    /// Keys of the materials that are missing.
    pub missing: Vec<String>,
    /// Papers of the reply.
    pub files: Vec<Uuid>,
    /// Where in a body this is said; empty: it is all of it.
    pub place: String,
    pub parcel: Option<Parcel>,
}

/// Keys that are no materials of the version, or here twice, with their place.
pub fn unknown<'a>(version: &Version, keys: impl Iterator<Item = &'a str>) -> Vec<(usize, String)> {
    let mut seen = BTreeSet::new();
    let known = |key: &str| version.materials.iter().any(|material| material.key == key);
    let wrong = keys.enumerate().filter(|(_, key)| !known(key) | !seen.insert(key.to_owned()));
    wrong.map(|(index, key)| (index, key.to_owned())).collect()
}

/// Roles of agents (代办员), who handle only under a mandate.
const AGENTS: &[Role] = &[Role::Specialist, Role::VillageCadre];

/// Roles that approve: over the village.
const APPROVERS: &[Role] = &[Role::TownshipStaff, Role::CountyAdmin];

/// Whether the actor may take the step at all.
fn may(errand: &Errand, step: Step, actor: Actor) -> Result<(), StepError> {
    let holder = || if actor.holds { Ok(()) } else { Err(StepError::NotHolder { holder: errand.holder_name.clone() }) };
    match step.by() {
        By::System => Ok(()),
        // Whoever has the original moves it.
        By::Custodian => Ok(()),
        By::Applicant if actor.is(&[Role::Resident]) => Ok(()),
        // Before anybody answers for it, whoever files it.
        By::Applicant if errand.state == ErrandState::Draft => Ok(()),
        // What the resident hands in, whoever answers takes; what was theirs to want, only under a mandate.
        By::Applicant if step == Step::Withdraw && errand.mandate_id.is_none() => Err(StepError::MandateEnded),
        By::Holder if step == Step::RequestSupplement && errand.supplements > 0 && actor.is(APPROVERS) => Ok(()),
        By::Applicant | By::Holder => holder(),
        By::Colleague if actor.holds => Err(StepError::State { state: errand.state }),
        By::Colleague => Ok(()),
        By::Offered if actor.offered && errand.offered_to.is_some() => Ok(()),
        By::Offered => Err(StepError::NotOffered),
        By::Staff if actor.is(AGENTS) || actor.is(APPROVERS) => Ok(()),
        By::Staff => Err(StepError::NotHolder { holder: errand.holder_name.clone() }),
        By::Approver if actor.is(APPROVERS) => Ok(()),
        By::Approver => Err(StepError::ApprovalNeeded),
        By::Decider if actor.departmental => Ok(()),
        // Within the township's power (乡镇权限), whoever answers for it.
        By::Decider if errand.decided_by == DecidedBy::Township && actor.is(APPROVERS) => Ok(()),
        By::Decider => holder(),
    }?;
    if under_mandate(step, actor) && !errand.mandated { Err(StepError::MandateEnded) } else { Ok(()) }
}

/// Whether a step needs the resident's mandate. Handing it on is always possible, so that somebody answers for it; so is writing down
/// what became of it; and an original finds its way back whatever became of the mandate.
pub fn under_mandate(step: Step, actor: Actor) -> bool {
    let handing_on = matches!(
        step,
        Step::OfferTransfer
            | Step::AcceptTransfer
            | Step::DeclineTransfer
            | Step::Take
            | Step::Acknowledge
            | Step::CallBack
            | Step::Lapse
            | Step::Archive
            | Step::Correct
    );
    actor.is(AGENTS) && !handing_on && step.by() != By::Custodian
}

/// Everything that is needed is there, and every question answered that decides what is needed.
fn complete(errand: &Errand, version: &Version) -> Result<(), StepError> {
    let answers = &errand.answers;
    let keys: Vec<_> = errand.materials.iter().map(|one| one.key.as_str()).collect();
    let missing: Vec<_> = matters::missing(version, answers, &keys).into_iter().cloned().collect();
    let open: Vec<_> = matters::open_questions(version, answers).into_iter().cloned().collect();
    let form = version.form.is_some() && errand.form.is_none();
    if missing.is_empty() && open.is_empty() && !form {
        Ok(())
    } else {
        Err(StepError::Incomplete { missing, open, form })
    }
}

/// What could have been asked for at once (一次性告知) is asked for a second time only by whoever approves that.
fn second(errand: &Errand, step: Step, actor: Actor) -> Result<(), StepError> {
    let again = step == Step::RequestSupplement && errand.supplements > 0;
    if again && !actor.is(APPROVERS) { Err(StepError::ApprovalNeeded) } else { Ok(()) }
}

/// All that was asked for is there: the clock goes on, and asking again takes an approval.
fn brought(errand: &Errand, step: Step, said: &Said, version: &Version) -> Result<(), StepError> {
    let lacks = |material: &&Material| {
        errand.asked.contains(&material.key) && !said.provided.iter().any(|one| one.key == material.key)
    };
    let missing: Vec<_> = version.materials.iter().filter(lacks).cloned().collect();
    if step != Step::Supplement || missing.is_empty() {
        Ok(())
    } else {
        Err(StepError::Incomplete { missing, open: Vec::new(), form: false })
    }
}

/// Working days by which a limit may be longer than the law's own: 行政许可法第四十二条 (an extension of ten days, once approved).
const MORE: i16 = 10;

/// The most working days that a limit comes to with its extensions.
fn longest(version: &Version) -> i16 {
    version.statutory_days.unwrap_or(version.promised_days) + MORE
}

/// What only some steps need.
fn needs(errand: &Errand, step: Step, actor: Actor, said: &Said, around: Around) -> Result<(), StepError> {
    let Around { today, version, settings, .. } = around;
    match step {
        Step::Submit => complete(errand, version),
        Step::RequestSupplement | Step::Supplement => {
            let keys = said.missing.iter().map(String::as_str);
            let unknown = unknown(version, keys.chain(said.provided.iter().map(|one| one.key.as_str())));
            let pointer = "/materials";
            if unknown.is_empty() {
                second(errand, step, actor)?;
                brought(errand, step, said, version)
            } else {
                Err(StepError::UnknownMaterials { pointer, unknown })
            }
        }
        Step::Lapse => match errand.supplement_until().filter(|until| today <= *until) {
            Some(until) => Err(StepError::SupplementWaits { until }),
            None => Ok(()),
        },
        Step::Decide if errand.decided_by == DecidedBy::Department && errand.state != ErrandState::Forwarded => {
            Err(StepError::DecidedElsewhere { by: errand.decided_by })
        }
        Step::Decide if errand.decided_by == DecidedBy::Township && actor.is(AGENTS) => {
            Err(StepError::DecidedElsewhere { by: errand.decided_by })
        }
        Step::Forward if errand.decided_by != DecidedBy::Department => {
            Err(StepError::DecidedElsewhere { by: errand.decided_by })
        }
        Step::Extend if errand.due_on.is_none_or(|due| due < today) => {
            Err(StepError::Expired { due_on: errand.due_on })
        }
        Step::Extend if errand.limit_days + said.days.unwrap_or(0) as i16 > longest(version) => {
            Err(StepError::TooLong { most: longest(version) })
        }
        Step::Archive if errand.originals_out > 0 => Err(StepError::OriginalsOut { count: errand.originals_out }),
        Step::Archive => match errand.kept_until(settings).filter(|until| today < *until) {
            Some(until) => Err(StepError::NotAcknowledged { until }),
            None => Ok(()),
        },
        Step::Acknowledge if errand.replied_on(step).is_some() => Err(StepError::Acknowledged),
        Step::CallBack if errand.called_back() => Err(StepError::CalledBack),
        // Somebody was faster, or the calendar has changed.
        Step::DeemAccepted if errand.due_on.is_none_or(|due| due >= today) => {
            Err(StepError::State { state: errand.state })
        }
        Step::Escalate if errand.rung_on.is_none_or(|day| day > today) => Err(StepError::State { state: errand.state }),
        Step::OfferTransfer if errand.offered_to.is_some() => Err(StepError::OfferWaits),
        Step::OfferTransfer if !errand.asked_fits || said.staff == errand.holder_id => Err(StepError::CannotTakeOver),
        _ => Ok(()),
    }
}

/// What a step is taken with besides the errand.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub calendar: &'a Calendar,
    pub settings: &'a Settings,
    /// That the errand was filed under.
    pub version: &'a Version,
    pub now: DateTime<Utc>,
    pub today: NaiveDate,
}

/// The errand after a step, or why not.
pub fn take(errand: &Errand, step: Step, actor: Actor, said: &Said, around: Around) -> Result<Errand, StepError> {
    if !step.from().contains(&errand.state) {
        return Err(StepError::State { state: errand.state });
    }
    may(errand, step, actor)?;
    needs(errand, step, actor, said, around)?;
    let mut next = errand.clone();
    let (from, today) = (errand.state, around.today);
    next.state = match step.row().1 {
        To::State(state) => state,
        To::Same => from,
        To::Back => errand.back_to.unwrap_or(from),
    };
    let stands = matches!(next.state, ErrandState::SupplementRequested | ErrandState::Suspended);
    next.back_to = match (stands, from == next.state) {
        (true, true) => errand.back_to,
        (true, false) => Some(from),
        (false, _) => None,
    };
    if matches!(step, Step::Supplement | Step::Lapse) {
        next.asked.clear();
    }
    match step {
        Step::Submit => next.submitted_on = Some(today),
        Step::Accept => next.accepted_on = Some(today),
        Step::DeemAccepted => next.accepted_on = errand.submitted_on,
        Step::RequestSupplement => (next.supplements, next.asked) = (errand.supplements + 1, said.missing.clone()),
        // What was missing is there: the time to answer begins anew.
        Step::Supplement if next.state == ErrandState::Submitted => next.submitted_on = Some(today),
        Step::Extend => next.limit_days += said.days.unwrap_or(0) as i16,
        Step::Decide => {
            (next.decided_on, next.granted) = (Some(today), said.granted);
            next.on_time = Some(errand.due_on.is_none_or(|due| today <= due));
        }
        Step::Forward => next.department_id = said.department.or(errand.department_id),
        Step::OfferTransfer => next.offered_to = said.staff,
        Step::AcceptTransfer => (next.holder_id, next.offered_to) = (errand.offered_to, None),
        Step::DeclineTransfer | Step::Archive => next.offered_to = None,
        Step::Take | Step::HandOver => (next.holder_id, next.offered_to) = (said.staff, None),
        _ => {}
    }
    if step == Step::Submit {
        next.holder_id = Some(said.staff.ok_or(StepError::NobodyAnswers)?);
    }
    if !said.provided.is_empty() {
        let mut provided: BTreeMap<_, _> = errand.materials.iter().map(|one| (one.key.clone(), one.clone())).collect();
        provided.extend(said.provided.iter().map(|one| (one.key.clone(), one.clone())));
        next.materials = provided.into_values().collect();
    }
    // A new clock has a ladder of its own.
    if matches!(step, Step::Submit | Step::Accept | Step::DeemAccepted)
        || step == Step::Supplement && next.state == ErrandState::Submitted
    {
        next.rung = 0;
    }
    if step == Step::Escalate {
        next.rung += 1;
    }
    if next.holder_id != errand.holder_id {
        next.holder_name = errand.name_of(next.holder_id);
    }
    next.marks.0.push(Mark { on: today, step, to: next.state, days: said.days });
    read_clock(&mut next, around);
    Ok(next)
}

/// Sets everything that follows from the ledger and the calendar.
pub fn read_clock(errand: &mut Errand, around: Around) {
    let reading = Clock::of(errand.marks.0.iter().copied()).map(|clock| clock.read(around.calendar, around.settings));
    let reading = reading.filter(|_| errand.state.runs());
    errand.due_on = reading.as_ref().and_then(|reading| reading.due_on);
    errand.provisional = reading.as_ref().is_some_and(|reading| reading.provisional);
    errand.yellow_from = reading.as_ref().and_then(|reading| reading.yellow_from);
    errand.red_from = reading.as_ref().and_then(|reading| reading.red_from);
    let rung = around.version.ladder().get(errand.rung as usize);
    errand.rung_on = reading.as_ref().zip(rung).and_then(|(reading, rung)| rung_on(reading, rung, around.calendar));
}

/// The day of a rung of the ladder (督办阶梯); none while no limit runs.
pub fn rung_on(reading: &Reading, rung: &Rung, calendar: &Calendar) -> Option<NaiveDate> {
    match rung.at {
        RungAt::Yellow => reading.yellow_from,
        RungAt::Red => reading.red_from,
        RungAt::RedPlus => {
            let days = rung.days.and_then(|days| u32::try_from(days).ok())?;
            // When so many working days are over.
            rules::due(calendar, reading.due_on?, days, &[])?.on.succ_opt()
        }
    }
}
