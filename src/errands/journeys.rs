//! Making a trip: planned, started, the results of its errands, finished; every step of an errand in the trip's transaction.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate};
use diesel::{PgConnection, QueryResult, RunQueryDsl};
use rand::RngExt;
use serde_json::json;
use uuid::Uuid;

use super::{
    acting::{self, Frame},
    content,
    ledger::Facts,
    model::{ErrandState, Step},
    steps::Said,
    store::{self, Seen},
    trips::{self, Forget, Line, Plan, Trip, TripResult, TripState},
};
use crate::{
    app::App,
    clock::local_midnight,
    error::{Code, Error, FieldError, Result, Retry, Text},
    http::{
        caller::{Caller, Scope},
        etag::IfMatch,
    },
    rooms::{Day, Entry},
    staff,
};

/// How many days ahead a trip is planned at most.
const AHEAD: u64 = 60;

/// Tries to find a number that no trip has.
const TRIES: usize = 20;

/// Somebody who plans or makes a trip.
#[derive(Clone)]
pub struct Traveller {
    pub who: Caller,
    pub scope: Scope,
    pub frame: Frame,
}

/// What came of an errand.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub errand: Uuid,
    pub result: TripResult,
    pub words: String,
    /// The papers of a decision.
    pub files: Vec<Uuid>,
}

fn lost() -> Error {
    Error { retry: Retry::Again, ..Code::VersionStale.into() }
}

fn fault(pointer: String, code: &'static str, zh: &'static str, en: &'static str) -> FieldError {
    FieldError::body(pointer, code, Text::fixed(zh, en))
}

/// Whose errands one could take along: one's own, and those of whoever one covers.
pub fn answering(conn: &mut PgConnection, county: i32, staff: Uuid, today: NaiveDate) -> QueryResult<Vec<Uuid>> {
    let mut covered = staff::covered_by(conn, county, staff, today)?;
    covered.push(staff);
    Ok(covered)
}

impl Traveller {
    fn seen(&self) -> Seen {
        Seen::by(&self.who, self.scope)
    }

    pub fn find(&self, conn: &mut PgConnection, id: Uuid) -> Result<Trip> {
        trips::find(conn, self.who.county, self.seen(), id, self.frame.today)?.ok_or(Code::NotFound.into())
    }

    /// The trip, as the caller saw it and in a state, if they make it.
    fn mine(&self, conn: &mut PgConnection, id: Uuid, seen: &IfMatch, state: TripState) -> Result<Trip> {
        let trip = self.find(conn, id)?;
        seen.check(trip.version)?;
        if !trip.held {
            let (zh, en) = (format!("由{}负责", trip.agent_name), format!("{} makes it", trip.agent_name));
            return Err(Error::new(Code::NotAgent).detail(zh, en));
        }
        if trip.state != state {
            let words = trip.state.words();
            let (zh, en) = (format!("当前状态：{}", words.zh), format!("It is {}", words.en));
            return Err(Error::new(Code::TripState).detail(zh, en));
        }
        Ok(trip)
    }

    /// Collects errands that are ready for a department.
    pub fn plan(
        &self,
        conn: &mut PgConnection,
        id: Uuid,
        (department, on): (Uuid, NaiveDate),
        errands: &[Uuid],
    ) -> Result<Trip> {
        let Frame { today, now, .. } = self.frame;
        let (county, agent) = (self.who.county, self.who.subject);
        let unit = self.who.unit.ok_or(Code::Forbidden)?;
        let answering = answering(conn, county, agent, today)?;
        let ready = trips::ready_of(conn, county, answering, department, errands, today)?;
        let ready: BTreeSet<_> = ready.iter().map(|line| line.errand_id).collect();
        let mut seen = BTreeSet::new();
        let wrong = errands.iter().enumerate().filter(|(_, id)| !seen.insert(**id) || !ready.contains(*id));
        let (zh, en) = (
            "须为您负责的、由该部门决定、已受理或在办（或部门答复稍后办理）的代办件，且不重复",
            "must be an errand that you answer for, decided by the department, accepted or being handled (or answered later), once",
        );
        let mut faults: Vec<_> =
            wrong.map(|(index, _)| fault(format!("/errand_ids/{index}"), "not_ready", zh, en)).collect();
        if on < today || on > today + Days::new(AHEAD) {
            faults.push(fault("/on".into(), "range", "须在今天起 60 天以内", "must be within 60 days from today"));
        }
        if !faults.is_empty() {
            return Err(Error::invalid(faults));
        }
        Forget { county, errands: errands.to_vec(), today }.execute(conn)?;
        let number = self.number(conn)?;
        Plan { county, id, number, agent, unit, department, on, errands: errands.to_vec(), now }.execute(conn)?;
        self.find(conn, id)
    }

    fn number(&self, conn: &mut PgConnection) -> Result<String> {
        for _ in 0..TRIES {
            let day = self.frame.today.format("%y%m%d");
            let number = format!("T{day}-{:06}", rand::rng().random_range(0..1_000_000));
            if !trips::taken(conn, self.who.county, number.clone())? {
                return Ok(number);
            }
        }
        Err(Error::unavailable("no free number was found"))
    }

    /// A step of one of the errands; the number of its entry.
    fn step(
        &self,
        conn: &mut PgConnection,
        app: &App,
        trip: &Trip,
        errand: Uuid,
        step: Step,
        said: Said,
    ) -> Result<i32> {
        let (county, today) = (self.who.county, self.frame.today);
        let before = store::find(conn, county, self.seen(), errand, today)?.ok_or(Code::NotFound)?;
        let facts = Facts::from([("trip".to_owned(), json!(trip.id))]);
        let said = Said { facts, ..said };
        Ok(acting::follow(conn, app, Some(&self.who), &before, (step, &said), &self.frame)?.entries)
    }

    /// Sets out: what is not with the department yet is forwarded. What cannot be any more is not taken along.
    pub fn start(&self, conn: &mut PgConnection, app: &App, id: Uuid, seen: &IfMatch) -> Result<Trip> {
        let trip = self.mine(conn, id, seen, TripState::Planned)?;
        if !trips::move_on(conn, &trip, TripState::UnderWay, self.frame.now)? {
            return Err(lost());
        }
        for line in trips::lines(conn, &trip)?.into_iter().filter(|line| line.open) {
            if line.state == ErrandState::Forwarded {
                continue;
            }
            match self.step(conn, app, &trip, line.errand_id, Step::Forward, Said::default()) {
                Ok(_) => {}
                Err(error) if stays(&error) => {
                    trips::answer(conn, &trip, line.errand_id, TripResult::NotHandedIn, None)?;
                }
                Err(error) => return Err(error),
            }
        }
        self.find(conn, id)
    }

    /// Writes down what came of errands, each as a step of its ledger; all of them or none.
    pub fn results(
        &self,
        conn: &mut PgConnection,
        app: &App,
        (id, seen): (Uuid, &IfMatch),
        outcomes: &[Outcome],
    ) -> Result<Trip> {
        let trip = self.mine(conn, id, seen, TripState::UnderWay)?;
        if !trips::move_on(conn, &trip, TripState::UnderWay, self.frame.now)? {
            return Err(lost());
        }
        let lines = trips::lines(conn, &trip)?;
        check(&lines, outcomes)?;
        // In one order, so that two who lock the same errands wait for each other in turn.
        let mut sorted: Vec<_> = outcomes.iter().enumerate().collect();
        sorted.sort_by_key(|(_, outcome)| outcome.errand);
        for (index, Outcome { errand, result, words, files }) in sorted {
            let (words, files, place) = (Some(words.clone()), files.clone(), format!("/results/{index}"));
            let said = Said { words, files, place, ..Said::default() };
            let back = lines.iter().any(|line| line.errand_id == *errand && line.state != ErrandState::Forwarded);
            let (step, granted) = match result {
                TripResult::Accepted => (Step::Decide, Some(true)),
                TripResult::Refused => (Step::Decide, Some(false)),
                TripResult::Later => (Step::Later, None),
                // Withdrawn or given back meanwhile: its ledger has told it.
                TripResult::None | TripResult::NotHandedIn if back => {
                    trips::answer(conn, &trip, *errand, *result, None)?;
                    continue;
                }
                TripResult::None | TripResult::NotHandedIn => (Step::Return, None),
            };
            let seq = self.step(conn, app, &trip, *errand, step, Said { granted, ..said })?;
            trips::answer(conn, &trip, *errand, *result, Some(seq))?;
        }
        self.find(conn, id)
    }

    /// Ends a trip: finished after it was made, or cancelled before. What has no result is free for another one.
    pub fn end(
        &self,
        conn: &mut PgConnection,
        (id, seen): (Uuid, &IfMatch),
        (from, to): (TripState, TripState),
    ) -> Result<Trip> {
        let trip = self.mine(conn, id, seen, from)?;
        if !trips::move_on(conn, &trip, to, self.frame.now)? {
            return Err(lost());
        }
        trips::close(conn, &trip, to == TripState::Done)?;
        self.find(conn, id)
    }
}

/// Whether an errand is left at home because of this, rather than the whole trip.
fn stays(error: &Error) -> bool {
    matches!(
        error.code,
        Code::ErrandState | Code::NotHolder | Code::MandateEnded | Code::DecidedElsewhere | Code::NotFound
    )
}

/// Every outcome is of an errand of the trip that has none, once; and only a decision has papers.
fn check(lines: &[Line], outcomes: &[Outcome]) -> Result<()> {
    let (mut seen, mut faults) = (BTreeSet::new(), Vec::new());
    for (index, Outcome { errand, result, files, .. }) in outcomes.iter().enumerate() {
        let at = |name: &str| format!("/results/{index}/{name}");
        match lines.iter().find(|line| line.errand_id == *errand) {
            None => faults.push(fault(at("errand_id"), "not_on_trip", "不在本次行程中", "is not on this trip")),
            Some(line) if !line.open || !seen.insert(*errand) => {
                let (zh, en) = ("已有结果，或重复", "has a result already, or is here twice");
                faults.push(fault(at("errand_id"), "answered", zh, en));
            }
            Some(line) if line.state != ErrandState::Forwarded && *result != TripResult::NotHandedIn => {
                let (zh, en) = (
                    "已不在该部门（已撤回、退回或答复），只能填 not_handed_in",
                    "is no longer with the department: only not_handed_in",
                );
                faults.push(fault(at("result"), "not_with_department", zh, en));
            }
            Some(_) => {}
        }
        if *result == TripResult::None {
            faults.push(fault(at("result"), "result", "请填写结果", "say what came of it"));
        }
        if !files.is_empty() && !matches!(result, TripResult::Accepted | TripResult::Refused) {
            faults.push(fault(at("attachment_ids"), "no_decision", "只有决定才附文书", "only a decision has papers"));
        }
        faults.extend(content::twice(files, &at("attachment_ids")));
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::invalid(faults)) }
}

/// Trips that one is to make by the end of the day.
pub fn day(conn: &mut PgConnection, day: &Day, until: NaiveDate) -> Result<Vec<Entry>> {
    let rows = trips::due(conn, day.county, &day.staff, until)?;
    let entry = |trip: Trip| {
        let (number, department) = (&trip.number, &trip.department_name);
        Entry {
            entity: "trip",
            id: trip.id,
            at: Some(local_midnight(trip.on_date)),
            until: None,
            state: trip.state.as_str().to_owned(),
            title: Text::new(format!("代办行程：{department}（{number}）"), format!("Trip: {department} ({number})")),
            resident_id: None,
            holder_id: Some(trip.agent_id),
        }
    };
    Ok(rows.into_iter().map(entry).collect())
}
