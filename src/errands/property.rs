//! Random steps, legal and illegal: the ledger verifies, the state is what it folds to, the clock is what a plain count says.

use chrono::{Days, NaiveDate, TimeDelta};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::{
    acting,
    clock::{Clock, Until},
    ledger::{self, Entry, Facts},
    model::{Errand, ErrandState, Line, Marks, Step},
    steps::{self, Actor, Around, Said},
};
use crate::{
    calendar::{Calendar, import},
    clock::local_midnight,
    http::permissions::Role,
    matters::{
        Version,
        version::{Content, DecidedBy, MatterKind},
    },
    settings::Settings,
};

const STEPS: &[Step] = &[
    Step::Submit,
    Step::Take,
    Step::RequestSupplement,
    Step::Supplement,
    Step::Lapse,
    Step::Accept,
    Step::DeemAccepted,
    Step::Refuse,
    Step::Begin,
    Step::Forward,
    Step::Later,
    Step::Return,
    Step::Suspend,
    Step::Resume,
    Step::Extend,
    Step::Decide,
    Step::Deliver,
    Step::Acknowledge,
    Step::CallBack,
    Step::Archive,
    Step::Withdraw,
    Step::OfferTransfer,
    Step::AcceptTransfer,
    Step::DeclineTransfer,
    Step::Correct,
    Step::Escalate,
];

fn calendar() -> Calendar {
    Calendar::new(import::parse(include_bytes!("../../data/working-calendar.csv")).expect("our own file"))
}

fn version(decided_by: DecidedBy, days: i16) -> Version {
    let content = Content {
        decided_by,
        department_id: (decided_by == DecidedBy::Department).then(Uuid::nil),
        kind: if days == 0 { MatterKind::Instant } else { MatterKind::Promised },
        promised_days: days,
        statutory_days: None,
        proxy_allowed: true,
        materials: Vec::new(),
        conditions: Vec::new(),
        questions: Vec::new(),
        form: None,
        ladder: None,
    };
    let (effective_from, created_at) = (NaiveDate::MIN, chrono::DateTime::UNIX_EPOCH);
    Version { matter_id: Uuid::nil(), number: 1, effective_from, content, created_by: None, created_at }
}

fn draft(version: &Version) -> Errand {
    Errand {
        line: Line {
            county_id: 1,
            id: Uuid::from_u128(7),
            number: "261123-000001".into(),
            matter_id: Uuid::nil(),
            matter_version: 1,
            matter_name: String::new(),
            resident_id: Uuid::nil(),
            resident_name: None,
            unit_id: Uuid::nil(),
            unit_name: String::new(),
            decided_by: version.decided_by,
            department_id: version.department_id,
            department_name: None,
            kind: version.kind,
            state: ErrandState::Draft,
            holder_id: None,
            holder_name: None,
            offered_to: None,
            filed_by: None,
            filed_by_resident: None,
            mandate_id: None,
            answers: Default::default(),
            materials: Vec::new(),
            supplements: 0,
            asked: Vec::new(),
            limit_days: version.promised_days,
            submitted_on: None,
            accepted_on: None,
            decided_on: None,
            granted: None,
            due_on: None,
            provisional: false,
            yellow_from: None,
            red_from: None,
            version: 1,
            created_at: chrono::DateTime::UNIX_EPOCH,
            updated_at: chrono::DateTime::UNIX_EPOCH,
        },
        back_to: None,
        form: None,
        content_salt: None,
        parcel: None,
        files: None,
        replies: None,
        on_time: None,
        rung: 0,
        rung_on: None,
        entries: 0,
        head: None,
        mandated: true,
        held: true,
        offered: true,
        departmental: true,
        asked_fits: true,
        first_asked: Some(Uuid::from_u128(1)),
        names: None,
        originals_out: 0,
        finding_id: None,
        marks: Marks::default(),
    }
}

/// What a command says for its step.
fn facts(step: Step, number: u32) -> Facts {
    match step {
        Step::CallBack => Facts::from([("reached".to_owned(), json!(number > 4))]),
        _ => Facts::new(),
    }
}

/// The deadline, counted day by day from what the ledger says, in another way than the clock does it.
fn counted(calendar: &Calendar, entries: &[Entry]) -> Option<NaiveDate> {
    let on = |entry: &Entry| entry.mark().on;
    let days = |entry: &Entry| entry.mark().days.unwrap_or(0);
    let stands = |state: ErrandState| matches!(state, ErrandState::SupplementRequested | ErrandState::Suspended);
    // Where the clock begins: acceptance; before it, the last time that everything was handed in.
    let submitted = |entry: &&Entry| {
        entry.step == Step::Submit || entry.step == Step::Supplement && entry.to_state == ErrandState::Submitted
    };
    let accepted = entries.iter().position(|entry| matches!(entry.step, Step::Accept | Step::DeemAccepted));
    let before = &entries[..accepted.unwrap_or(entries.len())];
    let since = match accepted {
        Some(at) if entries[at].step == Step::Accept => on(&entries[at]),
        _ => on(before.iter().rfind(submitted)?),
    };
    let granted = match accepted {
        Some(at) => days(&entries[at]),
        None => days(before.iter().find(|entry| entry.step == Step::Submit)?),
    };
    let after = &entries[accepted.map_or(before.len(), |at| at + 1)..];
    let more: u32 = after.iter().filter(|entry| entry.step == Step::Extend).map(days).sum();
    let whole = |day: NaiveDate| {
        let touches = |entry: &&Entry| {
            let moved = entry.from_state.is_some_and(stands) != stands(entry.to_state);
            on(entry) == day && moved
        };
        let until = after.iter().rfind(|entry| on(entry) < day);
        let stood = until.is_some_and(|entry| stands(entry.to_state));
        !stood && !after.iter().any(|entry| touches(&entry))
    };
    let (mut day, mut left) = (since, granted + more);
    if left == 0 {
        // An instant matter: on the day on which it goes on, if it stood still.
        let goes_on = |entry: &&Entry| entry.from_state.is_some_and(stands) && !stands(entry.to_state);
        return Some(after.iter().rfind(goes_on).map_or(since, |entry| on(entry).max(since)));
    }
    while left > 0 {
        day = day + Days::new(1);
        left -= u32::from(calendar.works(day) && whole(day));
    }
    Some(day)
}

proptest! {
    #[test]
    fn whatever_is_tried_the_ledger_tells_the_errand(
        decided in 0usize..3, days in 0i16..12,
        tried in prop::collection::vec((0usize..STEPS.len(), 0u8..4, 0u64..4, 1u32..9), 1..60),
    ) {
        let decided_by = [DecidedBy::Village, DecidedBy::Township, DecidedBy::Department][decided];
        let (calendar, version, settings) = (calendar(), version(decided_by, days), Settings::default());
        let (mut errand, mut entries) = (draft(&version), Vec::<Entry>::new());
        let mut today: NaiveDate = "2026-09-21".parse().expect("a date");
        let mut now = local_midnight(today) + TimeDelta::hours(9);
        for (step, who, later, granted) in tried {
            today = today + Days::new(later);
            now = (local_midnight(today) + TimeDelta::hours(9)).max(now + TimeDelta::milliseconds(1));
            let (step, around) = (STEPS[step], Around { calendar: &calendar, settings: &settings, version: &version, now, today });
            let role = [Role::Resident, Role::VillageCadre, Role::TownshipStaff, Role::DepartmentStaff][who as usize];
            let actor = Actor { id: Some(Uuid::from_u128(u128::from(who) + 10)), role: Some(role), holds: who > 0, offered: who == 2, departmental: who == 3 };
            let staff = (step == Step::OfferTransfer).then(|| Uuid::from_u128(99));
            let sent = Said { days: (step == Step::Extend).then_some(granted), staff, granted: (step == Step::Decide).then_some(true), facts: facts(step, granted), ..Said::default() };
            let said = acting::said(&sent, step, actor, &errand, (&settings, today));
            let before = errand.clone();
            let Ok(mut after) = steps::take(&before, step, actor, &said, around) else {
                continue;
            };
            prop_assert!(step.from().contains(&before.state));
            let (entry, _) = acting::entry((&before, &after), step, actor, &said, now);
            after.tell(&entry);
            entries.push(entry);
            let once = |step| entries.iter().filter(|entry| entry.step == step).count() <= 1;
            prop_assert!(once(Step::Decide) && once(Step::Deliver) && once(Step::Acknowledge));
            if step == Step::Archive && before.state == ErrandState::Delivered {
                let told = |step| entries.iter().find(|entry| entry.step == step).map(|entry| entry.mark().on);
                let waited = told(Step::Deliver).is_some_and(|on| today >= on + Days::new(15));
                prop_assert!(waited || told(Step::Acknowledge).is_some());
            }
            errand = after;
            // What the constraints of the table ask for.
            prop_assert!(errand.submitted_on.is_none() || errand.holder_id.is_some());
            let stands = matches!(errand.state, ErrandState::SupplementRequested | ErrandState::Suspended);
            prop_assert_eq!(stands, errand.back_to.is_some());
            prop_assert_eq!(errand.state.runs(), errand.due_on.is_some());
            prop_assert_eq!(errand.decided_on.is_some(), errand.granted.is_some());
            if errand.state.runs() {
                prop_assert_eq!(errand.due_on, counted(&calendar, &entries));
            }
        }
        prop_assert_eq!(ledger::broken(1, errand.id, &entries), None);
        let folded = entries.iter().fold(ErrandState::Draft, |state, entry| {
            assert_eq!(entry.from_state, Some(state));
            entry.to_state
        });
        prop_assert_eq!(folded, errand.state);
        let marks: Vec<_> = entries.iter().map(Entry::mark).collect();
        prop_assert_eq!(&marks, &errand.marks.0);
        let clock = Clock::of(marks);
        prop_assert_eq!(clock.is_some(), errand.submitted_on.is_some());
        prop_assert!(clock.is_none_or(|clock| (clock.until == Until::Decision) == errand.accepted_on.is_some()));
        // One bit of one entry changed, and it shows where.
        if let Some(last) = entries.last_mut() {
            last.facts["on"] = json!("2020-01-01");
            prop_assert_eq!(ledger::broken(1, errand.id, &entries), Some(errand.entries));
        }
    }
}
