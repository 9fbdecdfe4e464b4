//! Taking a step over HTTP: gate, read, decide, write; three round trips, and one more for new files.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use diesel::PgConnection;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    content,
    ledger::{self, Entry, Salted},
    model::{Errand, Step},
    steps::{self, Actor, Around, Said},
    store::{self, Seen, Writing},
    views::ErrandView,
};
use crate::{
    app::App,
    calendar::{self, Calendar},
    clock::local_date,
    crypto,
    error::{Code, Error, FieldError, Lang, Result, Retry},
    http::{
        caller::{Caller, Scope},
        etag::IfMatch,
        idempotency::{Answer, Keep, Keeping, Once},
    },
    matters::Version,
    settings::Settings,
    units,
};

/// What every step is taken with besides the database.
#[derive(Clone)]
pub struct Frame {
    pub settings: Settings,
    pub calendar: Arc<Calendar>,
    pub now: DateTime<Utc>,
    pub today: NaiveDate,
}

impl Frame {
    pub async fn of(app: &App, county: &str) -> Result<Self> {
        let (settings, now) = (app.counties.public(app, county).await?.settings.clone(), app.clock.now());
        Ok(Self { settings, calendar: calendar::current(app).await?, now, today: local_date(now) })
    }

    /// For the system, which knows counties by their id.
    pub async fn of_county(app: &App, county: i32) -> Result<Self> {
        let key = app.db.read("county_key", move |conn| Ok(units::store::key(conn, county)?)).await?;
        Self::of(app, &key).await
    }

    /// What dates are computed by: the calendar, and the shares of the limit at which the lamp turns.
    pub fn basis(&self) -> Vec<u8> {
        let Settings { errands_yellow_percent: yellow, errands_red_percent: red, .. } = &self.settings;
        crypto::digest(&[&self.calendar.digest[..], &yellow.to_be_bytes(), &red.to_be_bytes()].concat()).to_vec()
    }

    pub fn around<'a>(&'a self, version: &'a Version) -> Around<'a> {
        Around { calendar: &self.calendar, settings: &self.settings, version, now: self.now, today: self.today }
    }
}

/// A step that somebody asks for.
#[derive(Clone)]
pub struct Act {
    pub who: Caller,
    pub scope: Scope,
    pub id: Uuid,
    pub step: Step,
    pub said: Said,
    /// What is wrong with it.
    pub faults: Vec<FieldError>,
    pub seen: Option<IfMatch>,
    pub lang: Lang,
    pub frame: Frame,
}

fn actor(who: &Caller, errand: &Errand) -> Actor {
    Actor {
        id: Some(who.subject),
        role: Some(who.role),
        holds: errand.held,
        offered: errand.offered,
        departmental: errand.departmental,
    }
}

/// What a step says, with what follows from where the errand stands: who answers for it, and the days that it grants.
pub fn said(said: &Said, step: Step, actor: Actor, errand: &Errand, (settings, today): (&Settings, NaiveDate)) -> Said {
    let mut said = said.clone();
    match step {
        Step::RequestSupplement => {
            let until = today + Days::new(settings.errands_supplement_days.unsigned_abs());
            said.facts.insert("until".into(), json!(until));
        }
        Step::Submit => {
            said.days = Some(settings.errands_deemed_accepted_days as u32);
            said.staff = errand.first_asked;
        }
        Step::Accept | Step::DeemAccepted => said.days = Some(errand.limit_days as u32),
        Step::Take => said.staff = actor.id,
        Step::AcceptTransfer => said.staff = errand.offered_to,
        _ => {}
    }
    let keys = |keys: Vec<&str>| json!(keys.join(","));
    if !said.provided.is_empty() {
        let provided = said.provided.iter().map(|one| one.key.as_str()).collect();
        said.facts.insert("provided".into(), keys(provided));
    }
    if !said.missing.is_empty() {
        said.facts.insert("missing".into(), keys(said.missing.iter().map(String::as_str).collect()));
    }
    said
}

/// The entry of a step, chained to the one before.
pub fn entry(
    (before, after): (&Errand, &Errand),
    step: Step,
    actor: Actor,
    said: &Said,
    now: DateTime<Utc>,
) -> (Entry, Option<Salted>) {
    let mut facts = said.facts.clone();
    let mut fact = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), value);
        }
    };
    fact("on", Some(json!(local_date(now))));
    fact("days", said.days.map(|days| json!(days)));
    fact("staff", said.staff.map(|id| json!(id)));
    fact("department", said.department.map(|id| json!(id)));
    fact("granted", said.granted.map(|granted| json!(granted)));
    let words = said.words.as_deref().map(Salted::new);
    let mut entry = Entry {
        seq: before.entries + 1,
        at: now,
        step,
        actor_id: actor.id,
        actor_role: actor.role,
        from_state: Some(before.state),
        to_state: after.state,
        facts: json!(facts),
        words_digest: words.as_ref().map(|words| words.digest.to_vec()),
        previous: before.head.clone().unwrap_or_else(|| ledger::BEGINNING.to_vec()),
        hash: Vec::new(),
    };
    entry.hash = entry.digest(before.county_id, before.id).to_vec();
    (entry, words)
}

/// A step that is taken, and not written yet.
struct Taken {
    after: Errand,
    entry: Entry,
    /// Sealed, with their id.
    words: Option<(Uuid, Vec<u8>)>,
    /// The agent whose mandate it is taken under.
    under: Option<Uuid>,
}

impl Taken {
    /// By `who`, who brings what it says to be there; none: the system.
    fn by(
        conn: &mut PgConnection,
        app: &App,
        who: Option<&Caller>,
        before: &Errand,
        (step, sent): (Step, &Said),
        frame: &Frame,
    ) -> Result<Self> {
        let actor = who.map_or(Actor::SYSTEM, |who| actor(who, before));
        let version = app.versions.get(conn, (before.county_id, before.matter_id, before.matter_version))?;
        let mut said = said(sent, step, actor, before, (&frame.settings, frame.today));
        let mut after = steps::take(before, step, actor, &said, frame.around(&version))?;
        if let Some(who) = who {
            content::bind(conn, app, (who, step, frame.now), &mut after, &mut said)?;
        }
        let (entry, words) = entry((before, &after), step, actor, &said, frame.now);
        after.tell(&entry);
        (after.version, after.updated_at) = (before.version + 1, frame.now);
        let words = words.map(|words| {
            let id = Uuid::now_v7();
            (id, app.keys.seal(before.county_id, &format!("errand_words.words/{id}"), &words.plain))
        });
        let mandated = before.filed_by.is_some() && steps::under_mandate(step, actor);
        Ok(Self { after, entry, words, under: actor.id.filter(|_| mandated) })
    }

    /// Writes it, and the answer that is kept for a repetition; the errand after it.
    fn write(self, conn: &mut PgConnection, before: &Errand, keep: Option<Keep>, frame: &Frame) -> Result<Errand> {
        let Self { after, entry, words, under } = self;
        let (calendar, now) = (Some(frame.basis()), frame.now);
        let writing = Writing { before, after: &after, entry: &entry, words, under, keep, calendar, now };
        match store::write(conn, writing)? {
            true => Ok(after),
            // Somebody was faster: as it is now, or not at all.
            false => Err(Error { retry: Retry::Again, ..Code::VersionStale.into() }),
        }
    }
}

impl Act {
    /// Reads, decides and writes, with the answer that is kept for a repetition.
    pub fn run(&self, conn: &mut PgConnection, app: &App, keeping: &Keeping) -> Result<Answer> {
        let Self { who, frame, .. } = self;
        let (seen, asked) = (Seen::by(who, self.scope), self.said.staff);
        let before = store::find_and_ask(conn, who.county, seen, self.id, frame.today, asked)?.ok_or(Code::NotFound)?;
        if !self.faults.is_empty() {
            return Err(Error::invalid(self.faults.clone()));
        }
        if let Some(seen) = &self.seen {
            seen.check(before.version)?;
        }
        let taken = Taken::by(conn, app, Some(who), &before, (self.step, &self.said), frame)?;
        let view = ErrandView::new(app, who, self.lang, &taken.after, frame.today)?;
        let answer = Answer::ok(taken.after.version, &view)?;
        taken.write(conn, &before, Some(keeping.keep(&answer)?), frame)?;
        Ok(answer)
    }
}

/// A step that is part of something greater, which answers for it; none is taken without the other.
pub fn follow(
    conn: &mut PgConnection,
    app: &App,
    who: Option<&Caller>,
    before: &Errand,
    step: (Step, &Said),
    frame: &Frame,
) -> Result<Errand> {
    Taken::by(conn, app, who, before, step, frame)?.write(conn, before, None, frame)
}

/// A step of the system, which has no words, from how things stand; the errand before it. None when it cannot be taken any more, or
/// somebody was faster.
pub fn by_system(
    conn: &mut PgConnection,
    app: &App,
    (county, id): (i32, Uuid),
    (step, says): (Step, impl Fn(&Errand, &Version) -> Said),
    frame: &Frame,
) -> Result<Option<Errand>> {
    let Some(before) = store::find(conn, county, Seen::WHOLE, id, frame.today)? else { return Ok(None) };
    let version = app.versions.get(conn, (county, before.matter_id, before.matter_version))?;
    let said = said(&says(&before, &version), step, Actor::SYSTEM, &before, (&frame.settings, frame.today));
    let Ok(after) = steps::take(&before, step, Actor::SYSTEM, &said, frame.around(&version)) else { return Ok(None) };
    let (entry, _) = entry((&before, &after), step, Actor::SYSTEM, &said, frame.now);
    let calendar = Some(frame.basis());
    let writing = Writing {
        before: &before,
        after: &after,
        entry: &entry,
        words: None,
        under: None,
        keep: None,
        calendar,
        now: frame.now,
    };
    Ok(store::write(conn, writing)?.then_some(before))
}

/// Writes a step of the system whose outcome is given, of a locked errand; the place of its entry. It counts no date anew.
pub fn note(
    conn: &mut PgConnection,
    (before, after): (&Errand, &Errand),
    (step, said): (Step, &Said),
    now: DateTime<Utc>,
) -> Result<i32> {
    let (entry, _) = entry((before, after), step, Actor::SYSTEM, said, now);
    let writing = Writing { before, after, entry: &entry, words: None, under: None, keep: None, calendar: None, now };
    if store::write(conn, writing)? { Ok(entry.seq) } else { Err(Error::internal("a locked errand has moved")) }
}

/// What was said with a step, from what is stored of it.
pub fn words(app: &App, county: i32, id: Uuid, sealed: &[u8]) -> Result<String> {
    Ok(Salted::words(&salted(app, county, id, sealed)?))
}

/// The same with their salt, as the ledger has their digest.
pub fn salted(app: &App, county: i32, id: Uuid, sealed: &[u8]) -> Result<Vec<u8>> {
    Ok(app.keys.open(county, &format!("errand_words.words/{id}"), sealed)?)
}

/// Takes a step, once per key.
pub async fn act(app: &Arc<App>, once: Once, act: Act) -> Result<Answer> {
    let inner = app.clone();
    app.once_keeping(once, move |conn, keeping| act.run(conn, &inner, keeping)).await
}
