//! Errands: those of the past, most of them in the archive, and open ones whose limits run or are over.

use std::collections::{HashMap, HashSet, VecDeque};

use anyhow::Context;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    Dice, World,
    appointments::working_days,
    courses::{Around, Course, People, a_year_after},
};
use crate::{
    db::schema::{errand_ledger, errands, mandates, matters},
    errands::{
        acting::Frame,
        ledger::Entry,
        model::{ErrandState, Provided, Step},
    },
    error::Result,
    http::permissions::Role,
    matters::{
        Version, all_in_effect,
        version::{DecidedBy, MatterKind, Need},
    },
};

/// Errands in one transaction; each has several rows, which triggers look at.
const BATCH: usize = 1_000;
/// Batches on the way to the database while the next one is drawn.
const UNDER_WAY: usize = 2;
/// Numbers of a day: the past draws from those below, what is open from those above.
const PAST_NUMBERS: i64 = 800_000;

#[derive(Insertable)]
#[diesel(table_name = mandates, treat_none_as_default_value = false)]
struct NewMandate {
    county_id: i32,
    id: Uuid,
    resident_id: Uuid,
    agent_id: Option<Uuid>,
    unit_id: Uuid,
    given_how: &'static str,
    given_by: Option<Uuid>,
    valid_until: NaiveDate,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Insertable)]
#[diesel(table_name = errands, treat_none_as_default_value = false)]
struct NewErrand {
    county_id: i32,
    id: Uuid,
    number: String,
    matter_id: Uuid,
    matter_version: i16,
    resident_id: Uuid,
    unit_id: Uuid,
    decided_by: DecidedBy,
    department_id: Option<Uuid>,
    kind: MatterKind,
    state: ErrandState,
    back_to: Option<ErrandState>,
    holder_id: Option<Uuid>,
    filed_by: Option<Uuid>,
    mandate_id: Option<Uuid>,
    answers: Value,
    materials: Value,
    supplements: i16,
    limit_days: i16,
    submitted_on: Option<NaiveDate>,
    accepted_on: Option<NaiveDate>,
    decided_on: Option<NaiveDate>,
    granted: Option<bool>,
    on_time: Option<bool>,
    due_on: Option<NaiveDate>,
    provisional: bool,
    yellow_from: Option<NaiveDate>,
    red_from: Option<NaiveDate>,
    rung: i16,
    rung_on: Option<NaiveDate>,
    calendar_digest: Option<Vec<u8>>,
    entries: i32,
    head: Option<Vec<u8>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Insertable)]
#[diesel(table_name = errand_ledger, treat_none_as_default_value = false)]
struct NewEntry {
    county_id: i32,
    errand_id: Uuid,
    seq: i32,
    at: DateTime<Utc>,
    step: Step,
    actor_id: Option<Uuid>,
    actor_role: Option<Role>,
    from_state: Option<ErrandState>,
    to_state: ErrandState,
    facts: Value,
    previous: Vec<u8>,
    hash: Vec<u8>,
}

#[derive(Default)]
struct Batch {
    mandates: Vec<NewMandate>,
    errands: Vec<NewErrand>,
    entries: Vec<NewEntry>,
}

/// An errand and its ledger in one transaction, as the constraint wants them.
fn copy(conn: &mut PgConnection, batch: &Batch) -> QueryResult<usize> {
    diesel::copy_from(mandates::table).from_insertable(&batch.mandates).execute(conn)?;
    let made = diesel::copy_from(errands::table).from_insertable(&batch.errands).execute(conn)?;
    diesel::copy_from(errand_ledger::table).from_insertable(&batch.entries).execute(conn)?;
    Ok(made)
}

/// Batches on their way.
struct Writer<'a> {
    world: &'a World,
    batch: Batch,
    under_way: VecDeque<JoinHandle<Result<usize>>>,
    made: usize,
}

impl Writer<'_> {
    async fn full(&mut self, least: usize) -> anyhow::Result<()> {
        if self.batch.errands.len() >= least {
            let (app, batch) = (self.world.app.clone(), std::mem::take(&mut self.batch));
            let write = async move { app.db.write("generate", move |conn| Ok(copy(conn, &batch)?)).await };
            self.under_way.push_back(tokio::spawn(write));
        }
        self.wait(UNDER_WAY).await
    }

    async fn wait(&mut self, left: usize) -> anyhow::Result<()> {
        while self.under_way.len() > left {
            let first = self.under_way.pop_front().context("more than none")?;
            self.made += first.await??;
        }
        Ok(())
    }

    async fn end(mut self) -> anyhow::Result<usize> {
        self.full(1).await?;
        self.wait(0).await?;
        Ok(self.made)
    }
}

/// A matter that errands are filed for, and what is brought for it.
struct Kind {
    version: Version,
    materials: Value,
}

/// Everything that errands are drawn from.
struct Drawing<'a> {
    around: Around<'a>,
    kinds: Vec<Kind>,
    /// Numbers of a day that are taken.
    numbers: HashMap<NaiveDate, HashSet<i64>>,
}

/// Active matters with a version in effect.
async fn kinds(world: &World) -> anyhow::Result<Vec<Kind>> {
    let (county, today) = (world.county, world.today);
    let versions = world.app.db.read("generate", move |conn| {
        let active = matters::table.filter(matters::county_id.eq(county)).filter(matters::state.eq("active"));
        let active: Vec<(Uuid, String)> = active.select((matters::id, matters::name)).load(conn)?;
        let names: HashMap<Uuid, String> = active.into_iter().collect();
        let mut versions = all_in_effect(conn, county, today)?;
        versions.retain(|version| names.contains_key(&version.matter_id));
        // Ids are another county's own; names are the same wherever the same seed is drawn.
        versions.sort_by_key(|version| names[&version.matter_id].clone());
        Ok(versions)
    });
    let always = |version: &Version| {
        let needed = version.materials.iter().filter(|one| one.need == Need::Required && one.when.is_empty());
        json!(
            needed
                .map(|one| Provided { key: one.key.clone(), in_person: true, attachment_ids: Vec::new() })
                .collect::<Vec<_>>()
        )
    };
    Ok(versions.await?.into_iter().map(|version| Kind { materials: always(&version), version }).collect())
}

impl Drawing<'_> {
    fn number(&mut self, dice: &mut Dice, day: NaiveDate, (least, below): (i64, i64)) -> String {
        let taken = self.numbers.entry(day).or_default();
        let mut drawn = dice.between(least, below - 1);
        while !taken.insert(drawn) {
            drawn = least + (drawn - least + 1) % (below - least);
        }
        format!("{}-{drawn:06}", day.format("%y%m%d"))
    }

    /// One errand, filed on a working day, that goes as it goes.
    fn draw(&mut self, dice: &mut Dice, (kind, day): (usize, usize), open: bool, batch: &mut Batch) {
        let world = self.around.world;
        let resident = dice.below(world.size.residents);
        let lives = |(_, centre): &(usize, &super::Centre)| {
            !centre.township && (centre.people.0..centre.people.1).contains(&resident)
        };
        let Some((place, centre)) = world.centres.iter().enumerate().find(lives) else { return };
        let above = world.centres[..place].iter().rev().find(|centre| centre.township);
        let number =
            self.number(dice, self.around.days[day], if open { (PAST_NUMBERS, 1_000_000) } else { (0, PAST_NUMBERS) });
        let (resident_id, kind) = (world.resident(resident), &self.kinds[kind]);
        let mut mandate = None;
        let people = |dice: &mut Dice, at: DateTime<Utc>| {
            let holder = *dice.pick(&centre.agents());
            if dice.percent(20) {
                mandate = Some(NewMandate {
                    county_id: world.county,
                    id: dice.id(at),
                    resident_id,
                    agent_id: Some(holder.0),
                    unit_id: centre.unit,
                    given_how: "signed",
                    given_by: Some(holder.0),
                    valid_until: a_year_after(at),
                    created_at: at,
                    updated_at: at,
                });
            }
            let files = if mandate.is_some() { holder } else { (resident_id, Role::Resident) };
            People { files, holder, decides: above.map_or(holder, |above| (above.officer, Role::TownshipStaff)) }
        };
        let mut course = Course::begin(&self.around, dice, &kind.version, people, day);
        if open {
            course.open(dice)
        } else {
            course.past(dice)
        }
        let rung_on = course.climb();
        let filed =
            Filed { number, resident_id, unit_id: centre.unit, mandate: mandate.as_ref(), materials: &kind.materials };
        batch.errands.push(row(&course, filed, rung_on));
        batch.mandates.extend(mandate);
        let id = course.id;
        batch.entries.extend(course.entries.into_iter().map(|entry| {
            let Entry { seq, at, step, actor_id, actor_role, from_state, to_state, facts, previous, hash, .. } = entry;
            let (county_id, errand_id) = (world.county, id);
            NewEntry {
                county_id,
                errand_id,
                seq,
                at,
                step,
                actor_id,
                actor_role,
                from_state,
                to_state,
                facts,
                previous,
                hash,
            }
        }));
    }
}

/// What an errand is besides its course.
struct Filed<'a> {
    number: String,
    resident_id: Uuid,
    unit_id: Uuid,
    mandate: Option<&'a NewMandate>,
    materials: &'a Value,
}

/// What an errand is after its course.
fn row(course: &Course, filed: Filed, rung_on: Option<NaiveDate>) -> NewErrand {
    let (world, basis) = (course.around.world, course.around.basis);
    let (reading, version, entries) = (course.reading(), course.version, &course.entries);
    let reading = reading.as_ref();
    NewErrand {
        county_id: world.county,
        id: course.id,
        number: filed.number,
        matter_id: version.matter_id,
        matter_version: version.number,
        resident_id: filed.resident_id,
        unit_id: filed.unit_id,
        decided_by: version.decided_by,
        department_id: version.department_id,
        kind: version.kind,
        state: course.state,
        back_to: course.back_to,
        holder_id: Some(course.people.holder.0),
        filed_by: filed.mandate.and_then(|mandate| mandate.agent_id),
        mandate_id: filed.mandate.map(|mandate| mandate.id),
        answers: json!({}),
        materials: filed.materials.clone(),
        supplements: i16::from(course.day_of(Step::RequestSupplement).is_some()),
        limit_days: version.promised_days,
        submitted_on: course.day_of(Step::Submit),
        accepted_on: course.day_of(Step::Accept),
        decided_on: course.day_of(Step::Decide),
        granted: course.granted,
        on_time: course.on_time,
        due_on: reading.and_then(|reading| reading.due_on),
        provisional: reading.is_some_and(|reading| reading.provisional),
        yellow_from: reading.and_then(|reading| reading.yellow_from),
        red_from: reading.and_then(|reading| reading.red_from),
        rung: course.rung,
        rung_on,
        calendar_digest: Some(basis.to_vec()),
        entries: entries.len() as i32,
        head: entries.last().map(|last| last.hash.clone()),
        version: entries.len() as i64,
        created_at: entries.first().map_or(course.last(), |first| first.at),
        updated_at: course.last(),
    }
}

/// Everything is drawn between the working days of the past and today.
async fn make(world: &World, wanted: usize, open: bool) -> anyhow::Result<usize> {
    let (kinds, days) = (kinds(world).await?, working_days(world));
    if kinds.is_empty() || days.len() < 30 {
        return Ok(0);
    }
    let frame = Frame::of_county(&world.app, world.county).await?;
    let basis = frame.basis();
    let around = Around { world, settings: &frame.settings, days: &days, basis: &basis };
    let mut drawing = Drawing { around, kinds, numbers: HashMap::new() };
    // A matter that is done at once is not open the next day.
    let lasting: Vec<_> =
        (0..drawing.kinds.len()).filter(|kind| drawing.kinds[*kind].version.promised_days > 0).collect();
    let mut writer = Writer { world, batch: Batch::default(), under_way: VecDeque::new(), made: 0 };
    for number in 0..if open && lasting.is_empty() { 0 } else { wanted } {
        let mut dice = world.dice(if open { "open errand" } else { "errand" }, number);
        let (kind, day) = if open {
            let kind = *dice.pick(&lasting);
            let limit = i64::from(drawing.kinds[kind].version.promised_days);
            // Most are within their limit, some are near it or over it.
            let ago = if dice.percent(85) { dice.between(1, limit.max(1)) } else { limit + dice.between(1, 6) };
            (kind, days.len().saturating_sub(ago as usize))
        } else {
            let day = number * days.len() / wanted;
            drawing.numbers.retain(|date, _| *date == days[day]);
            (dice.below(drawing.kinds.len()), day)
        };
        drawing.draw(&mut dice, (kind, day), open, &mut writer.batch);
        writer.full(BATCH).await?;
    }
    writer.end().await
}

pub async fn make_past(world: &World) -> anyhow::Result<usize> {
    make(world, world.size.past_errands, false).await
}

pub async fn make_open(world: &World) -> anyhow::Result<usize> {
    make(world, world.size.open_errands, true).await
}
