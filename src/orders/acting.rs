//! Making a move over HTTP: gate, read, decide, write.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use uuid::Uuid;

use super::{
    codes::CodeFor,
    evidence,
    model::{Order, OrderState, Step},
    notes::{self, NoteKind},
    rules::{self, Actor, Around, OrderError, Said},
    store::{self, Seen, Who, Writing, today},
    views::OrderView,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::{local_date, local_midnight},
    error::{Code, Error, FieldError, Lang, Result, Retry, Text},
    http::{
        caller::{Caller, Scope},
        etag::IfMatch,
        idempotency::{Answer, Keeping, Once},
    },
    settings::Settings,
    todos::{self, NewTodo},
    units,
};

/// What every move is made with besides the database.
#[derive(Clone)]
pub struct Frame {
    pub settings: Settings,
    pub now: DateTime<Utc>,
}

impl Frame {
    pub async fn of(app: &App, county: &str) -> Result<Self> {
        Ok(Self { settings: app.counties.public(app, county).await?.settings.clone(), now: app.clock.now() })
    }

    /// For the system, which knows counties by their id.
    pub async fn of_county(app: &App, county: i32) -> Result<Self> {
        let key = app.db.read("county_key", move |conn| Ok(units::store::key(conn, county)?)).await?;
        Self::of(app, &key).await
    }

    pub fn around(&self) -> Around<'_> {
        Around { settings: &self.settings, now: self.now }
    }
}

/// A move that somebody asks for.
#[derive(Clone)]
pub struct Act {
    pub who: Caller,
    pub scope: Scope,
    pub id: Uuid,
    pub step: Step,
    pub said: Said,
    pub seen: Option<IfMatch>,
    pub lang: Lang,
    pub frame: Frame,
    /// Of what is done by order of an office.
    pub audit: Option<Audit>,
}

/// Somebody was faster: as it is now, or not at all.
pub fn lost(code: Code) -> Error {
    Error { retry: Retry::Again, ..code.into() }
}

fn actor(who: &Caller, order: &Order, helper: Option<&Who>) -> Actor {
    Actor {
        id: Some(who.subject),
        role: Some(who.role),
        mine: order.mine,
        held: order.held,
        orderer: who.staff().is_some() && order.ordered_by == who.staff(),
        helper: helper.filter(|helper| helper.active).map(|helper| helper.id),
    }
}

/// Whoever holds it from now on, as far as the answer names them.
fn name_holder(after: &mut Order, helper: &Who, me: &Caller) {
    (after.holder_kind, after.holder_staff) = (Some(helper.kind), helper.staff_id);
    (after.holder_staff_name, after.holder_resident) = (helper.staff_name.clone(), helper.resident_id);
    after.holder_name = helper.name.clone();
    after.held = match me.staff() {
        Some(staff) => helper.staff_id == Some(staff),
        None => helper.resident_id == Some(me.subject),
    };
}

/// Words for why somebody cannot take an order.
fn unfit(reason: &str) -> Text {
    match reason {
        "state" => Text::fixed("不是在岗的服务人员", "is no active helper"),
        "kind" => Text::fixed("该类订单不由此类人员承接", "this kind of helper does not take it"),
        "skill" => Text::fixed("缺少所需技能", "lacks a skill"),
        "own" => Text::fixed("不能承接自己的订单", "cannot take an order of their own"),
        "place" => Text::fixed("不在服务范围内", "does not serve the place"),
        "returned" => Text::fixed("一天内退过该订单", "has given it back, or lost it, within a day"),
        _ => Text::fixed("该时间不在岗", "is not available at that time"),
    }
}

impl Act {
    /// Reads, decides and writes, with the answer that is kept for a repetition.
    pub fn run(&self, conn: &mut PgConnection, app: &App, keeping: &Keeping) -> Result<Answer> {
        let Self { who, frame, step, .. } = self;
        let (before, helper) = self.read(conn)?;
        if let Some(seen) = &self.seen {
            seen.check(before.version)?;
        }
        let said = self.said(app, &before);
        let mut after = rules::take(&before, *step, actor(who, &before, helper.as_ref()), &said, frame.around())?;
        if let Some(helper) = helper.as_ref().filter(|helper| after.holder_id == Some(helper.id)) {
            name_holder(&mut after, helper, who);
        }
        if let (Step::Return, true, Some(helper)) = (step, before.held, before.holder_id) {
            self.may_return(conn, helper)?;
        }
        if *step == Step::Finish {
            evidence::bring(conn, who, &before, &said.files, frame.now)?;
        }
        let answer = Answer::ok(after.version, &OrderView::new(app, who, self.lang, &after)?)?;
        let writing = Writing {
            before: &before,
            after: &after,
            step: *step,
            actor: Some(who.subject),
            role: Some(who.role),
            facts: rules::facts(*step, &said),
            keep: Some(keeping.keep(&answer)?),
            now: frame.now,
        };
        match step {
            Step::Claim | Step::Assign => self.give(conn, writing, helper.as_ref().ok_or(OrderError::NotAHelper)?)?,
            _ if !store::write(conn, writing)? => return Err(lost(Code::VersionStale)),
            _ => {}
        }
        if let Some(words) = &said.words {
            if *step == Step::Worry && notes::enough(conn, &before)? {
                return Err(Code::TooManyNotes.into());
            }
            notes::insert(conn, app, (&before, who), (NoteKind::of(*step), words), frame.now)?;
        }
        if let Some(entry) = &self.audit {
            audit::record(conn, who, frame.now, entry)?;
        }
        ask_people(conn, *step, &after, frame.now)?;
        Ok(answer)
    }

    /// Whoever gives back one after the other only keeps others from taking them.
    fn may_return(&self, conn: &mut PgConnection, helper: Uuid) -> Result<()> {
        let Self { who, frame, .. } = self;
        let today = local_midnight(local_date(frame.now));
        let most = frame.settings.orders_returns_per_day;
        if store::returned(conn, who.county, (helper, who.subject), today)? < most {
            return Ok(());
        }
        Err(Error::new(Code::TooManyReturns).detail(format!("每天至多 {most} 单"), format!("At most {most} a day")))
    }

    /// The order, and the helper who takes it.
    fn read(&self, conn: &mut PgConnection) -> Result<(Order, Option<Who>)> {
        let Self { who, frame, .. } = self;
        let helper = match self.step {
            Step::Claim => store::helper_of(conn, who)?,
            Step::Assign => match self.said.helper {
                Some(helper) => store::helper(conn, who.county, helper)?,
                None => None,
            },
            _ => None,
        };
        // What lies open is for every helper of the county to be told why not.
        let whole = self.step == Step::Claim && helper.as_ref().is_some_and(|helper| helper.active);
        let seen = Seen::by(who, self.scope);
        let seen = Seen { whole: seen.whole || whole, ..seen };
        let order = store::find(conn, who.county, seen, self.id, today(frame.now))?.ok_or(Code::NotFound)?;
        if self.step == Step::Assign && helper.is_none() {
            let (zh, en) = ("没有这位服务人员", "there is no such helper");
            return Err(Error::field("/helper_id", "unknown_helper", zh, en));
        }
        Ok((order, helper))
    }

    fn said(&self, app: &App, before: &Order) -> Said {
        let of = if self.step == Step::Start { CodeFor::Start } else { CodeFor::Finish };
        let fits = self.said.code.as_ref().is_some_and(|code| of.fits(&app.keys, before, code));
        Said { code_fits: fits, ..self.said.clone() }
    }

    /// Gives it to a helper, or says why not.
    fn give(&self, conn: &mut PgConnection, writing: Writing<'_>, helper: &Who) -> Result<()> {
        let (order, load) = (writing.before, self.frame.settings.orders_load);
        // Whoever assigns has asked them.
        let waived = if self.step == Step::Assign { vec!["place", "hours", "returned"] } else { Vec::new() };
        let pointer = if self.step == Step::Assign { "/helper_id" } else { "" };
        if store::give(conn, writing, helper, (load, waived.clone()))? {
            return Ok(());
        }
        let why = store::why(conn, (order.county_id, order.id), (helper.id, load), self.frame.now)?
            .ok_or(OrderError::NotAHelper)?;
        let reasons = why.unfit.iter().filter(|reason| !waived.contains(&reason.as_str()));
        let faults: Vec<_> = reasons.map(|reason| FieldError::body(pointer, reason.clone(), unfit(reason))).collect();
        if !faults.is_empty() {
            return Err(Error { errors: faults, ..Code::HelperUnfit.into() });
        }
        Err(if why.full_up { Code::LoadReached.into() } else { lost(Code::OrderTaken) })
    }
}

/// A todo of staff about an order; urgent ones are due at once.
pub fn todo(
    (about, kind): (&'static str, todos::Kind),
    unit: Uuid,
    order: &Order,
    (zh, en): (&str, &str),
    due_at: Option<DateTime<Utc>>,
) -> NewTodo {
    let (number, name) = (&order.number, &order.kind_name);
    NewTodo {
        county: order.county_id,
        kind,
        unit: Some(unit),
        resident: Some(order.resident_id),
        about: Some((about, order.id)),
        title: Text::new(format!("订单 {number}（{name}）{zh}"), format!("Order {number} ({name}) {en}")),
        holder: None,
        due_at,
        created_by: None,
    }
}

/// Who has to act because of a move.
fn ask_people(conn: &mut PgConnection, step: Step, after: &Order, now: DateTime<Utc>) -> Result<()> {
    let new = match (step, after.state) {
        (Step::Worry, _) => {
            let words = (
                "：上门无人应答，服务人员担心，请立即联系",
                ": nobody answers and whoever came is worried; see to it now",
            );
            todo(("order_worry", todos::Kind::Visit), after.unit_id, after, words, Some(now))
        }
        (Step::Dispute | Step::CallBack, OrderState::Disputed) => {
            let words = ("有争议，请处理", "is disputed; settle it");
            let township = store::township(conn, after.county_id, after.unit_id)?;
            todo(("order_dispute", todos::Kind::Decide), township, after, words, None)
        }
        _ => return Ok(()),
    };
    todos::open(conn, new, now)?;
    Ok(())
}

/// A move of the system, from how things stand; the order before it. None when it cannot be made any more, or somebody was faster.
pub fn by_system(
    conn: &mut PgConnection,
    (county, id): (i32, Uuid),
    (step, said): (Step, &Said),
    frame: &Frame,
) -> Result<Option<Order>> {
    let Some(before) = store::find(conn, county, Seen::WHOLE, id, today(frame.now))? else { return Ok(None) };
    Ok(of_system(conn, &before, (step, said), frame)?.then_some(before))
}

/// [`by_system`], from how it was read.
pub fn of_system(conn: &mut PgConnection, before: &Order, (step, said): (Step, &Said), frame: &Frame) -> Result<bool> {
    let Ok(after) = rules::take(before, step, Actor::SYSTEM, said, frame.around()) else { return Ok(false) };
    let facts = rules::facts(step, said);
    let writing = Writing { before, after: &after, step, actor: None, role: None, facts, keep: None, now: frame.now };
    store::write(conn, writing)
}

/// Makes a move, once per key, which has been counted among the caller's writes. Money that does not add up is seen by the supervisors too.
pub async fn act(app: &Arc<App>, once: Once, act: Act) -> Result<Answer> {
    let (inner, then) = (app.clone(), act.clone());
    let answer = app.once_keeping_counted(once, move |conn, keeping| act.run(conn, &inner, keeping)).await;
    if answer.as_ref().is_err_and(|error| error.code == Code::MoneyDoesNotAddUp) {
        let ask = move |conn: &mut PgConnection| then.ask_about_money(conn);
        app.db.write("ask_about_money", ask).await?;
    }
    answer
}

impl Act {
    fn ask_about_money(&self, conn: &mut PgConnection) -> Result<()> {
        let (order, _) = self.read(conn)?;
        // It may have been put right meanwhile.
        if !matches!(
            order.state,
            OrderState::Finished | OrderState::Claimed | OrderState::OnTheWay | OrderState::AtWork
        ) {
            return Ok(());
        }
        let township = store::township(conn, order.county_id, order.unit_id)?;
        let words = ("账目不符，请核对", ": the money does not add up; look into it");
        todos::open(conn, todo(("order_money", todos::Kind::Decide), township, &order, words, None), self.frame.now)?;
        Ok(())
    }
}

/// Makes a move that a code may prove: each try is counted before anybody looks whether it is right.
pub async fn act_with_code(app: &Arc<App>, once: Once, mut act: Act) -> Result<Answer> {
    // First of all: whoever sends too much costs the database nothing, and no try of the code.
    app.count(&once).await?;
    if act.said.code.is_some() {
        // A repetition is not one more try.
        if let Some(answer) = app.answered(once.clone()).await? {
            return Ok(answer);
        }
        let (who, id, states) = (act.who.clone(), act.id, act.step.from());
        let count = move |conn: &mut PgConnection| store::count_try(conn, &who, id, states);
        act.said.counted = app.db.write("count_try", count).await?.is_some();
    }
    let (who, id, counted) = (act.who.clone(), act.id, act.said.counted);
    let answer = self::act(app, once, act).await;
    // It was no guess, and something else was in the way: the try is given back.
    let guessed = |error: &Error| matches!(error.code, Code::OrderCodeWrong | Code::OrderCodesLocked);
    if counted && answer.as_ref().is_err_and(|error| !guessed(error)) {
        app.db.write("uncount_try", move |conn| Ok(store::uncount_try(conn, who.county, id)?)).await?;
    }
    answer
}
