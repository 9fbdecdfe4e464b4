//! Random moves by people and by time, read early and written late, with workers that die in between: at every moment at most one
//! holds an order, and none is lost.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use uuid::Uuid;

use super::{
    kinds::{Dispatch, Evidence},
    model::{Order, OrderState, Step},
    rules::{self, Actor, Around, Said},
};
use crate::{http::permissions::Role, settings::Settings};

fn open(dispatch: Dispatch, now: DateTime<Utc>) -> Order {
    let mut order = Order {
        county_id: 1,
        id: Uuid::from_u128(1),
        number: "D261123-000001".into(),
        kind_id: Uuid::nil(),
        kind_name: "助餐".into(),
        resident_id: Uuid::from_u128(2),
        resident_name: None,
        unit_id: Uuid::nil(),
        unit_name: "红星村".into(),
        state: OrderState::Open,
        wanted_from: now + TimeDelta::hours(2),
        wanted_until: now + TimeDelta::hours(4),
        at_once: false,
        skills: Vec::new(),
        taken_by: Vec::new(),
        dispatch,
        evidence: Evidence::None,
        money: false,
        duration_minutes: 30,
        grab_minutes: 10,
        start_minutes: 30,
        language: None,
        address: None,
        phone: None,
        words: None,
        form: None,
        lng: None,
        lat: None,
        ordered_by: None,
        ordered_by_resident: None,
        series_id: None,
        occurrence: None,
        holder_id: None,
        load_place: None,
        lease_until: None,
        opened_at: now,
        due_at: None,
        told: false,
        codes: 1,
        tries: 0,
        set_out_at: None,
        started_at: None,
        started_how: None,
        finished_at: None,
        confirmed_how: None,
        ended_at: None,
        moves: 1,
        version: 1,
        created_at: now,
        updated_at: now,
        holder_kind: None,
        holder_staff: None,
        holder_staff_name: None,
        holder_resident: None,
        holder_name: None,
        finding_id: None,
        mine: false,
        held: false,
        money_pending: 0,
        money_missing: 0,
    };
    order.due_at = rules::due(&order, &Settings::default());
    order
}

/// Who moves: the resident, helpers by number, a dispatcher, time.
#[derive(Clone, Copy, Debug)]
enum Who {
    Resident,
    Helper(u8),
    Dispatcher,
    Time,
}

impl Who {
    fn actor(self, order: &Order) -> Actor {
        let helper = |number: u8| Uuid::from_u128(100 + u128::from(number));
        match self {
            Self::Time => Actor::SYSTEM,
            Self::Resident => {
                Actor { role: Some(Role::Resident), id: Some(order.resident_id), mine: true, ..Actor::SYSTEM }
            }
            Self::Helper(number) => {
                let held = order.holder_id == Some(helper(number));
                Actor {
                    role: Some(Role::Specialist),
                    helper: Some(helper(number)),
                    held,
                    id: Some(helper(number)),
                    ..Actor::SYSTEM
                }
            }
            Self::Dispatcher => {
                Actor { role: Some(Role::TownshipStaff), id: Some(Uuid::from_u128(3)), ..Actor::SYSTEM }
            }
        }
    }
}

/// A move that somebody thinks of: by what they read then, written now, or never, because the worker dies.
#[derive(Clone, Debug)]
struct Thought {
    who: Who,
    step: Step,
    minutes: i64,
    /// How many writes ago it was read.
    stale: usize,
    dies: bool,
    sure: bool,
}

fn thoughts() -> impl Strategy<Value = Vec<Thought>> {
    let who = prop_oneof![
        3 => (0u8..4).prop_map(Who::Helper),
        1 => Just(Who::Resident),
        1 => Just(Who::Dispatcher),
        3 => Just(Who::Time),
    ];
    let one = (who, prop::sample::select(Step::ALL), 0i64..90, 0usize..3, prop::bool::weighted(0.2), any::<bool>());
    let thought =
        one.prop_map(|(who, step, minutes, stale, dies, sure)| Thought { who, step, minutes, stale, dies, sure });
    prop::collection::vec(thought, 1..60)
}

/// What a pass does to an order that is due, as [`super::sweeps`] says.
fn by_time(order: &Order, now: DateTime<Utc>) -> Option<Step> {
    order.due_at.filter(|due| *due <= now)?;
    Some(match order.state {
        OrderState::Open if order.wanted_until <= now => Step::Expire,
        OrderState::Claimed => Step::Return,
        _ => Step::Ask,
    })
}

/// What the constraints of the table say, and that nothing is lost: time will act, or a person has been asked, or it has ended.
fn holds(order: &Order) -> Result<(), TestCaseError> {
    use OrderState::{Cancelled, Confirmed, Disputed, Expired, Open};
    let free = matches!(order.state, Open | Cancelled | Expired);
    prop_assert_eq!(free, order.holder_id.is_none(), "{:?}", order.state);
    prop_assert_eq!(order.state.is_held(), order.load_place.is_some(), "{:?}", order.state);
    prop_assert_eq!(order.state == OrderState::Claimed, order.lease_until.is_some(), "{:?}", order.state);
    prop_assert_eq!(matches!(order.state, Confirmed | Cancelled), order.ended_at.is_some());
    prop_assert_eq!(order.state == Confirmed, order.confirmed_how.is_some());
    let settled = matches!(order.state, Confirmed | Cancelled | Disputed | Expired);
    prop_assert!(settled || order.due_at.is_some() || order.told, "lost in {:?}", order.state);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn one_holder_at_most_and_nothing_lost(thoughts in thoughts(), dispatch in prop::sample::select(Dispatch::ALL)) {
        let settings = Settings::default();
        let mut now = DateTime::from_timestamp(1_795_000_000, 0).expect("a time");
        let mut written = vec![open(dispatch, now)];
        for thought in thoughts {
            now += TimeDelta::minutes(thought.minutes);
            let read = written[written.len().saturating_sub(1 + thought.stale)].clone();
            let step = match thought.who {
                Who::Time => match by_time(&read, now) {
                    Some(step) => step,
                    None => continue,
                },
                _ => thought.step,
            };
            let said = Said {
                code: Some("000000".into()), counted: true, code_fits: thought.sure, content: Some(thought.sure), done: Some(thought.sure),
                words: Some("因为".into()), helper: (step == Step::Assign).then(|| Uuid::from_u128(101)), ..Said::default()
            };
            let around = Around { settings: &settings, now };
            let Ok(after) = rules::take(&read, step, thought.who.actor(&read), &said, around) else { continue };
            let current = written.last().expect("one at least");
            // The compare-and-set of the statement that writes.
            let fits = (current.version, current.state, current.holder_id) == (read.version, read.state, read.holder_id);
            if thought.dies || !fits {
                continue;
            }
            holds(&after)?;
            // From one to another only through the pool, and never by time once it has begun.
            let passed = read.holder_id.is_some() && after.holder_id.is_some() && read.holder_id != after.holder_id;
            prop_assert!(!passed, "passed on by {:?}", step);
            let taken = matches!(thought.who, Who::Time) && after.holder_id.is_none() && read.holder_id.is_some();
            prop_assert!(!taken || read.state == OrderState::Claimed, "taken from {:?}", read.state);
            written.push(after);
        }
        // However the workers died: passes alone bring it to where a person has been asked, or to its end.
        let mut order = written.pop().expect("one at least");
        for _ in 0..20 {
            now += TimeDelta::days(3);
            let Some(step) = by_time(&order, now) else { break };
            order = rules::take(&order, step, Actor::SYSTEM, &Said::default(), Around { settings: &settings, now }).expect("time may");
            holds(&order)?;
        }
        // What ran out is asked about until a person ends it.
        let later = by_time(&order, now + TimeDelta::days(365));
        prop_assert_eq!(later, (order.state == OrderState::Expired).then_some(Step::Ask));
        prop_assert!(order.state != OrderState::Open && order.state != OrderState::Claimed, "left in {:?}", order.state);
    }
}
