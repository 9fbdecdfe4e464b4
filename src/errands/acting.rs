//! Taking a step over HTTP: gate, read, decide, write; three round trips.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::PgConnection;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
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
    error::{Code, Error, Lang, Result, Retry},
    http::{
        caller::{Caller, Scope},
        etag::IfMatch,
        idempotency::{Answer, Keeping, Once},
    },
    settings::Settings,
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

    pub fn around(&self) -> Around<'_> {
        Around { calendar: &self.calendar, settings: &self.settings, now: self.now, today: self.today }
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

/// The entry of a step, chained to the one before.
pub fn entry(before: &Errand, after: &Errand, step: Step, actor: Actor, said: &Said, frame: &Frame) -> (Entry, Option<Salted>) {
    let mut facts = said.facts.clone();
    let mut fact = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), value);
        }
    };
    fact("on", Some(json!(frame.today)));
    fact("days", said.days.map(|days| json!(days)));
    fact("staff", said.staff.map(|id| json!(id)));
    fact("department", said.department.map(|id| json!(id)));
    fact("granted", said.granted.map(|granted| json!(granted)));
    let words = said.words.as_deref().map(Salted::new);
    let mut entry = Entry {
        seq: before.entries + 1,
        at: frame.now,
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

impl Act {
    /// Reads, decides and writes, with the answer that is kept for a repetition.
    pub fn run(&self, conn: &mut PgConnection, app: &App, keeping: &Keeping) -> Result<Answer> {
        let Frame { today, now, .. } = self.frame;
        let seen = Seen::by(&self.who, self.scope);
        let before = store::find(conn, self.who.county, seen, self.id, today)?.ok_or(Code::NotFound)?;
        if let Some(seen) = &self.seen {
            seen.check(before.version)?;
        }
        let actor = actor(&self.who, &before);
        let mut after = steps::take(&before, self.step, actor, &self.said, self.frame.around())?;
        let (entry, words) = entry(&before, &after, self.step, actor, &self.said, &self.frame);
        (after.entries, after.head) = (entry.seq, Some(entry.hash.clone()));
        (after.version, after.updated_at) = (before.version + 1, now);
        let words = words.map(|words| {
            let id = Uuid::now_v7();
            (id, app.keys.seal(before.county_id, &format!("errand_words.words/{id}"), &words.plain))
        });
        let answer = Answer::ok(after.version, &ErrandView::new(app, &self.who, self.lang, &after, today)?)?;
        let calendar = self.frame.calendar.digest();
        let writing = Writing { before: &before, after: &after, entry: &entry, words, keep: Some(keeping.keep(&answer)?), calendar, now };
        if store::write(conn, writing)? {
            return Ok(answer);
        }
        // Somebody was faster: as it is now, or not at all.
        Err(Error { retry: Retry::Again, ..Code::VersionStale.into() })
    }
}

/// Takes a step, once per key.
pub async fn act(app: &Arc<App>, once: Once, act: Act) -> Result<Answer> {
    let inner = app.clone();
    app.once_keeping(once, move |conn, keeping| act.run(conn, &inner, keeping)).await
}
