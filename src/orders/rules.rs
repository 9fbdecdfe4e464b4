//! Whether a move can be made, and what the order is after it; pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

pub use super::refusals::OrderError;
use super::{
    kinds::{Dispatch, Evidence},
    model::{By, ConfirmedHow, Order, OrderState, StartedHow, Step},
};
use crate::{
    clock::{local_date, local_midnight},
    http::permissions::Role,
    settings::Settings,
};

/// What a move says without words; nothing personal.
pub type Facts = BTreeMap<String, Value>;

/// How long before the wanted time somebody may be on the way, or `start_minutes` if that is longer.
const EARLY: TimeDelta = TimeDelta::hours(2);
/// A dispatcher is asked no sooner than this before the wanted time: a meal of next week lies open until somebody likes it.
const ASKED_AHEAD: TimeDelta = TimeDelta::hours(24);

/// How long after the wanted time somebody is asked to see why it is not done.
const LATE: TimeDelta = TimeDelta::hours(2);

/// When people are asked anew about what ran out: the next morning, at this time of day.
const MORNING: TimeDelta = TimeDelta::hours(9);

/// The next morning.
pub fn next_morning(now: DateTime<Utc>) -> DateTime<Utc> {
    local_midnight(local_date(now) + Days::new(1)) + MORNING
}

/// Somebody who makes a move.
#[derive(Clone, Copy, Debug)]
pub struct Actor {
    /// None: the system.
    pub id: Option<Uuid>,
    pub role: Option<Role>,
    /// Of the resident's side.
    pub mine: bool,
    /// Holds it.
    pub held: bool,
    /// The member of staff who ordered it.
    pub orderer: bool,
    /// The helper that they are.
    pub helper: Option<Uuid>,
}

impl Actor {
    pub const SYSTEM: Self = Self { id: None, role: None, mine: false, held: false, orderer: false, helper: None };

    fn is_staff(self) -> bool {
        self.role.is_some_and(|role| role != Role::Resident)
    }

    fn dispatches(self) -> bool {
        matches!(self.role, Some(Role::TownshipStaff | Role::CountyAdmin)) && !self.held
    }
}

/// What a move says.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The reason, a note, what was answered.
    pub words: Option<String>,
    /// Evidence.
    pub files: Vec<Uuid>,
    /// The code that was typed.
    pub code: Option<String>,
    /// Whether it is the right one.
    pub code_fits: bool,
    /// The try was counted before anybody looked; one that is not, is one too many.
    pub counted: bool,
    /// An agent writes it down for somebody without a phone.
    pub without_phone: bool,
    /// How a dispute was settled: it was done, or it was not.
    pub done: Option<bool>,
    /// What somebody said who was called: it is well; none: nobody was reached.
    pub content: Option<bool>,
    /// Who is to hold it.
    pub helper: Option<Uuid>,
    pub facts: Facts,
}

/// What decides besides the order.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub settings: &'a Settings,
    pub now: DateTime<Utc>,
}

/// Until when whoever takes it now must be on the way.
pub fn lease(order: &Order, now: DateTime<Utc>) -> DateTime<Utc> {
    let start = TimeDelta::minutes(order.start_minutes.into());
    (now + start).max(order.wanted_from - start)
}

/// When a dispatcher is asked about an order that nobody has taken, or it runs out.
pub fn due_while_open(
    (dispatch, grab_minutes): (Dispatch, i16),
    opened_at: DateTime<Utc>,
    (wanted_from, wanted_until): (DateTime<Utc>, DateTime<Utc>),
) -> DateTime<Utc> {
    let grab = match dispatch {
        Dispatch::Grab => return wanted_until,
        Dispatch::Assign => TimeDelta::zero(),
        Dispatch::GrabThenAssign => TimeDelta::minutes(grab_minutes.into()),
    };
    (opened_at + grab).max(wanted_from - ASKED_AHEAD).min(wanted_until)
}

/// When time does something to an order the next time.
pub fn due(order: &Order, settings: &Settings) -> Option<DateTime<Utc>> {
    let minutes = |minutes: i16| TimeDelta::minutes(minutes.into());
    let unless_told = |at: DateTime<Utc>| (!order.told).then_some(at);
    match order.state {
        OrderState::Open => {
            let window = (order.wanted_from, order.wanted_until);
            let ask = due_while_open((order.dispatch, order.grab_minutes), order.opened_at, window);
            Some(if order.told { order.wanted_until } else { ask })
        }
        OrderState::Claimed => order.lease_until,
        OrderState::OnTheWay => {
            unless_told(order.wanted_until.max(order.set_out_at.unwrap_or(order.wanted_until)) + LATE)
        }
        OrderState::AtWork => {
            let done = order.started_at.map(|at| at + minutes(order.duration_minutes));
            unless_told(order.wanted_until.max(done.unwrap_or(order.wanted_until)) + LATE)
        }
        OrderState::Finished => {
            let after = TimeDelta::hours(settings.orders_call_back_hours);
            order.finished_at.and_then(|at| unless_told(at + after))
        }
        OrderState::Confirmed | OrderState::Disputed | OrderState::Cancelled | OrderState::Expired => None,
    }
}

/// Whether somebody may make a move; what they say decides where both sides can.
fn allowed(step: Step, actor: Actor, said: &Said) -> Result<(), OrderError> {
    let other = |fits: bool| if fits { Ok(()) } else { Err(OrderError::OtherSide) };
    let holds = |fits: bool| if fits { Ok(()) } else { Err(OrderError::NotHeld) };
    if actor.role.is_none() {
        return other(matches!(step, Step::Return | Step::Cancel | Step::Expire | Step::Ask | Step::HandOver));
    }
    match step.by() {
        By::Resident => other(actor.mine),
        By::Helper => actor.helper.map(drop).ok_or(OrderError::NotAHelper),
        By::Holder => holds(actor.held),
        By::HolderOrDispatcher => holds(actor.held || actor.dispatches()),
        By::ResidentOrDispatcher => other(actor.mine || actor.orderer || actor.dispatches()),
        By::Anybody if step == Step::Start && !actor.held => {
            // Whoever merely sees it cannot begin it, except for an agent who writes it down.
            if actor.is_staff() && said.without_phone { Ok(()) } else { Err(OrderError::NotHeld) }
        }
        By::Anybody => other(actor.mine || actor.held || actor.is_staff()),
        By::NotHolder => other(!actor.held && (actor.mine || actor.is_staff())),
        By::OtherStaff => other(!actor.held && actor.is_staff()),
        By::Dispatcher => other(actor.dispatches()),
        By::System => Err(OrderError::OtherSide),
    }
}

fn required(pointer: &'static str, zh: &'static str, en: &'static str) -> OrderError {
    OrderError::Field(pointer, "required", zh, en)
}

/// How it was begun.
fn started(actor: Actor, said: &Said) -> Result<StartedHow, OrderError> {
    if said.without_phone {
        return if !actor.is_staff() {
            Err(OrderError::OtherSide)
        } else if said.words.is_none() {
            Err(required("/words", "须写明如何确认", "say how you know"))
        } else if actor.held {
            // Often nobody else is there, and whoever has to invent a witness invents a code. So it counts, as what it is.
            Ok(StartedHow::OwnWord)
        } else {
            Ok(StartedHow::WithoutPhone)
        };
    }
    typed(said).map(|()| StartedHow::Code)
}

fn typed(said: &Said) -> Result<(), OrderError> {
    if said.code.is_none() {
        return Err(required("/code", "请填写居民出示的验证码", "the code that the resident shows is needed"));
    }
    match (said.counted, said.code_fits) {
        (false, _) => Err(OrderError::CodesLocked),
        (true, false) => Err(OrderError::CodeWrong),
        (true, true) => Ok(()),
    }
}

/// How it was confirmed; money that passed through the helper's hands adds up first.
fn confirmed(before: &Order, actor: Actor, said: &Said) -> Result<ConfirmedHow, OrderError> {
    let how = if actor.held {
        typed(said).map(|()| ConfirmedHow::Code)?
    } else if actor.mine {
        ConfirmedHow::InMiniProgram
    } else if !said.without_phone {
        return Err(required("/without_phone", "代为确认须注明", "whoever confirms for somebody says so"));
    } else if said.words.is_none() {
        return Err(required("/words", "须写明如何确认", "say how you know"));
    } else {
        ConfirmedHow::WithoutPhone
    };
    adds_up(before)?;
    Ok(how)
}

fn adds_up(before: &Order) -> Result<(), OrderError> {
    let (pending, missing) = (before.money_pending, before.money_missing);
    if pending == 0 && missing == 0 { Ok(()) } else { Err(OrderError::Money { pending, missing }) }
}

/// What finishing needs besides a picture, which is looked at when it is attached.
fn evidence(before: &Order, said: &Said) -> Result<(), OrderError> {
    match before.evidence {
        Evidence::Note if said.words.is_none() => Err(required("/words", "须填写服务记录", "say what was done")),
        Evidence::Photo if said.files.is_empty() => {
            Err(OrderError::Field("/attachment_ids", "photo_needed", "须附照片", "a picture is needed"))
        }
        _ => Ok(()),
    }
}

/// Nobody holds it any more.
fn let_go(after: &mut Order) {
    (after.holder_id, after.load_place, after.lease_until) = (None, None, None);
    (after.holder_kind, after.holder_staff, after.holder_staff_name) = (None, None, None);
    (after.holder_resident, after.holder_name, after.held) = (None, None, false);
}

/// What a move does to an order on its way to being done.
fn goes_on(
    after: &mut Order,
    before: &Order,
    (step, actor): (Step, Actor),
    said: &Said,
    now: DateTime<Utc>,
) -> Result<(), OrderError> {
    match step {
        Step::Claim | Step::Assign => {
            if step == Step::Claim && before.dispatch == Dispatch::Assign {
                return Err(OrderError::Assigned);
            }
            after.holder_id = Some(said.helper.or(actor.helper).ok_or(OrderError::NotAHelper)?);
            (after.load_place, after.lease_until) = (Some(1), Some(lease(before, now)));
            // Whoever has seen the codes of an earlier holder's knows none of these.
            (after.codes, after.tries) = (before.codes + 1, 0);
        }
        Step::Return => {
            // Whoever has somebody's money settles that first; a dispatcher sees to it otherwise.
            if actor.held {
                adds_up(before)?;
            }
            let_go(after);
            (after.set_out_at, after.started_at, after.started_how, after.tries) = (None, None, None, 0);
            after.opened_at = now;
        }
        Step::SetOut => {
            let from = before.wanted_from - TimeDelta::minutes(before.start_minutes.into()).max(EARLY);
            if now < from {
                return Err(OrderError::TooEarly(from));
            }
            (after.set_out_at, after.lease_until) = (Some(now), None);
        }
        Step::Start => {
            after.started_how = Some(started(actor, said)?);
            (after.started_at, after.lease_until, after.tries) = (Some(now), None, 0);
        }
        Step::Finish => {
            evidence(before, said)?;
            (after.finished_at, after.load_place) = (Some(now), None);
        }
        Step::Ask => after.told = true,
        Step::HandOver => (after.holder_id, after.codes, after.tries) = (said.helper, before.codes + 1, 0),
        _ => {}
    }
    Ok(())
}

/// What a move does that ends an order, or says how it was.
fn ends(
    after: &mut Order,
    before: &Order,
    (step, actor): (Step, Actor),
    said: &Said,
    now: DateTime<Utc>,
) -> Result<(), OrderError> {
    let confirm = |after: &mut Order, how| {
        (after.state, after.confirmed_how, after.ended_at) = (OrderState::Confirmed, Some(how), Some(now));
    };
    match (step, said.content) {
        (Step::Confirm, _) => {
            confirm(after, confirmed(before, actor, said)?);
            after.tries = 0;
        }
        (Step::CallBack, Some(true)) => {
            adds_up(before)?;
            confirm(after, ConfirmedHow::CallBack);
        }
        (Step::CallBack, Some(false)) => after.state = OrderState::Disputed,
        (Step::CallBack, None) => after.told = false,
        (Step::Settle, _) if said.done == Some(true) => confirm(after, ConfirmedHow::Settled),
        (Step::Cancel | Step::Settle, _) => {
            if step == Step::Cancel && actor.role.is_some() {
                adds_up(before)?;
            }
            let_go(after);
            (after.state, after.ended_at) = (OrderState::Cancelled, Some(now));
        }
        _ => {}
    }
    Ok(())
}

/// The order after a move.
pub fn take(before: &Order, step: Step, actor: Actor, said: &Said, around: Around<'_>) -> Result<Order, OrderError> {
    let Around { settings, now } = around;
    if !step.from().contains(&before.state) {
        return Err(match step {
            Step::Claim => OrderError::Taken,
            _ => OrderError::State(before.state),
        });
    }
    allowed(step, actor, said)?;
    let mut after = before.clone();
    after.state = step.row().1.unwrap_or(before.state);
    goes_on(&mut after, before, (step, actor), said, now)?;
    ends(&mut after, before, (step, actor), said, now)?;
    if after.state != before.state {
        after.told = false;
    }
    after.due_at = match (step, after.state) {
        // Nobody was reached: somebody tries again tomorrow.
        (Step::CallBack, OrderState::Finished) => Some(now + TimeDelta::hours(24)),
        // Whoever was asked may have ticked it off without finding anybody.
        (_, OrderState::Expired) => Some(next_morning(now)),
        _ => due(&after, settings),
    };
    (after.moves, after.version, after.updated_at) = (before.moves + 1, before.version + 1, now);
    Ok(after)
}

/// The facts that a move leaves behind.
pub fn facts(step: Step, said: &Said) -> Value {
    let mut facts = said.facts.clone();
    let mut fact = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    match step {
        Step::Start | Step::Confirm if said.without_phone => drop(fact("without_phone", json!(true))),
        Step::Settle => drop(fact("done", json!(said.done))),
        Step::CallBack => drop(fact("reached", json!(said.content.is_some()))),
        Step::Finish if !said.files.is_empty() => drop(fact("files", json!(said.files))),
        _ => {}
    }
    json!(facts)
}
