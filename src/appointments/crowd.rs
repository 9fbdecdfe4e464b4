//! The crowd before a slot that is full: refused together, by one look, without a transaction or a stored key.
//!
//! When a start has been refused once, those who want it next are likely to be many. Whoever comes then stands in line for the
//! next look, which begins after they came, so that nobody is refused for what is over; while one look is under way the line
//! grows for the next. Only residents who book for themselves are turned away here, and only if nothing of their own has to be
//! said first: anybody else, and everybody once there is a place again, is decided in the ordinary way.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Date, Integer, Text, Timestamptz, Uuid as SqlUuid},
};
use quick_cache::sync::Cache;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    booking::Rules,
    facts::{About, facts, no_shows_since},
    rules::AppointmentError,
};
use crate::{
    app::App,
    clock::local_date,
    error::{Code, Result},
    http::idempotency::{Answer, Once},
    people::IdentityLevel,
    statement,
    windows::{Channel, Place},
};

/// Starts that are remembered as full, the least wanted of them forgotten.
const STARTS: usize = 1_000;

/// What somebody wants for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    pub county: i32,
    pub unit: Uuid,
    pub matter: Uuid,
    pub place: Option<Place>,
    pub starts_at: DateTime<Utc>,
}

/// Starts that were full when they were last asked for.
pub struct Crowds(Cache<Start, Arc<Crowd>>);

impl Default for Crowds {
    fn default() -> Self {
        Self(Cache::new(STARTS))
    }
}

/// Those who wait for the next look.
#[derive(Default)]
struct Crowd(Mutex<Line>);

#[derive(Default)]
struct Line {
    waiting: Vec<Waiting>,
    /// Somebody looks; the next look is theirs too.
    led: bool,
}

struct Waiting {
    once: Once,
    /// As a write of theirs.
    counted: bool,
    rules: Rules,
    tell: oneshot::Sender<Result<()>>,
}

impl Crowd {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Books, or refuses with others what is full.
pub async fn decide<F>(app: &Arc<App>, once: Once, rules: &Rules, start: Start, book: F) -> Result<Answer>
where
    F: Fn(&mut PgConnection) -> Result<Answer> + Clone + Send + 'static,
{
    if let Some(crowd) = app.crowds.0.get(&start) {
        stand_in_line(app, crowd, (once.clone(), false), rules.clone(), start).await?;
        return gather(app, start, app.once_counted(once, book).await);
    }
    app.count(&once).await?;
    // Whoever has waited for a connection meanwhile may stand in line after all.
    let (inner, late) = (app.clone(), Arc::new(AtomicBool::new(false)));
    let (unless_late, was_late, then) = (book.clone(), late.clone(), once.clone());
    let answer = app.once_counted(once, move |conn| {
        if inner.crowds.0.get(&start).is_some() {
            late.store(true, Ordering::Relaxed);
            return Err(Code::SlotFull.into());
        }
        unless_late(conn)
    });
    let answer = answer.await;
    if !was_late.load(Ordering::Relaxed) {
        return gather(app, start, answer);
    }
    if let Some(crowd) = app.crowds.0.get(&start) {
        stand_in_line(app, crowd, (then.clone(), true), rules.clone(), start).await?;
    }
    gather(app, start, app.once_counted(then, book).await)
}

/// Remembers a start that is full.
fn gather(app: &App, start: Start, answer: Result<Answer>) -> Result<Answer> {
    let refused = answer.as_ref().is_err_and(|error| matches!(error.code, Code::SlotFull | Code::SlotWaitedFor));
    if refused && app.crowds.0.get(&start).is_none() {
        app.crowds.0.insert(start, Arc::default());
    }
    answer
}

/// The refusal that the next look finds, if it finds one; otherwise it has to be found out in the ordinary way. Whoever has
/// not been counted is.
async fn stand_in_line(
    app: &Arc<App>,
    crowd: Arc<Crowd>,
    (once, counted): (Once, bool),
    rules: Rules,
    start: Start,
) -> Result<()> {
    let (tell, told) = oneshot::channel();
    let led = {
        let mut line = crowd.line();
        line.waiting.push(Waiting { once, counted, rules, tell });
        mem::replace(&mut line.led, true)
    };
    if !led {
        // Goes on if whoever came first hangs up.
        actix_web::rt::spawn(lead(app.clone(), Leading { crowd, over: false }, start));
    }
    told.await.unwrap_or(Ok(()))
}

/// The duty to look until nobody waits. Whoever still waits when it ends in another way is not kept waiting.
struct Leading {
    crowd: Arc<Crowd>,
    over: bool,
}

impl Drop for Leading {
    fn drop(&mut self) {
        if !self.over {
            *self.crowd.line() = Line::default();
        }
    }
}

async fn lead(app: Arc<App>, mut leading: Leading, start: Start) {
    loop {
        let waiting = {
            let mut line = leading.crowd.line();
            if line.waiting.is_empty() {
                line.led = false;
                leading.over = true;
                return;
            }
            mem::take(&mut line.waiting)
        };
        let uncounted = waiting.iter().filter(|one| !one.counted);
        let counts = app.count_each(uncounted.map(|one| &one.once));
        let (counts, refusals) = tokio::join!(counts, look(&app, start, &waiting));
        let (mut counts, mut refusals) = (counts.into_iter(), refusals.unwrap_or_default().into_iter());
        for one in waiting {
            let counted = if one.counted { Ok(()) } else { counts.next().unwrap_or(Ok(())) };
            let refused = refusals.next().flatten().map_or(Ok(()), |refusal| Err(refusal.into()));
            // Or has hung up.
            let _ = one.tell.send(counted.and(refused));
        }
    }
}

statement! {
    /// Of those who wait, by their number from 1: how sure we are who they are, if the key is new and there is nothing of their
    /// own that a booking would have to mind.
    struct FreeOfElse {
        county: i32 as Integer, locks: Vec<i64> as Array<BigInt>, residents: Vec<Uuid> as Array<SqlUuid>,
        operations: Vec<&'static str> as Array<Text>, keys: Vec<String> as Array<Text>,
        matter: Uuid as SqlUuid, day: NaiveDate as Date, since: DateTime<Utc> as Timestamptz,
    }
    "SELECT * FROM free_of_else({county}, {locks}, {residents}, {operations}, {keys}, {matter}, {day}, {since})"
}

#[derive(QueryableByName)]
struct Free {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Text)]
    level: IdentityLevel,
}

/// What each of those who wait is refused with; none if there is a place, or something else to say.
async fn look(app: &App, start: Start, waiting: &[Waiting]) -> Result<Vec<Option<AppointmentError>>> {
    let Some(Waiting { rules, .. }) = waiting.last() else { return Ok(Vec::new()) };
    let Start { county, unit, matter, place, starts_at } = start;
    let (rules, number) = (rules.clone(), waiting.len());
    let each = || waiting.iter().map(|one| &one.once);
    let ask = FreeOfElse {
        county,
        locks: each().map(Once::lock).collect(),
        residents: each().map(|once| once.caller).collect(),
        operations: each().map(|once| once.operation).collect(),
        keys: each().map(|once| once.key.clone()).collect(),
        matter,
        day: local_date(starts_at),
        since: no_shows_since(&rules.settings, rules.now),
    };
    let looked = app.db.read("look_at_crowd", move |conn| {
        let about = About { county, unit, matter, resident: Uuid::nil(), starts_at, but: None, now: rules.now };
        // Whose windows these are depends on who asks.
        let Some(facts) = facts(conn, &rules.settings, about)?.filter(|facts| !facts.own_specialist) else {
            return Ok(None);
        };
        let Err(refusal) = rules.fit(&facts, (Channel::Public, place), starts_at)? else { return Ok(None) };
        let mut refusals = vec![None; number];
        for Free { number, level } in ask.clone().load::<Free>(conn)? {
            if let Some(place) = refusals.get_mut(number as usize - 1).filter(|_| level >= facts.level_needed) {
                *place = Some(refusal.clone());
            }
        }
        Ok(Some(refusals))
    });
    let looked = looked.await;
    if !matches!(looked, Ok(Some(_))) {
        app.crowds.0.remove(&start);
    }
    Ok(looked?.unwrap_or_default())
}
