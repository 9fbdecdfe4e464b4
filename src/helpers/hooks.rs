//! What helpers have to say where rooms meet: one record instead of two, a copy of one's data, erasure; and telling rooms who is gone.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Integer, Timestamptz, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    decisions,
    model::{Helper, HelperState, reason_place, words_place},
    questions, store,
    views::HelperHoursView,
};
use crate::{
    app::App,
    clock::CST,
    db::{found, schema::helpers},
    error::Result,
    rooms::{Absent, HelperGone, Merge, Person, ROOMS, Room, Sealed},
    statement,
};

pub const ROOM: Room = Room {
    absent: Some(absent),
    merge: Some(merge),
    export: Some(export),
    erase: Some(erase),
    sealed: &[
        Sealed { table: "helpers", column: "words", index: None },
        Sealed { table: "helpers", column: "reason", index: None },
        Sealed { table: "helper_decisions", column: "reason", index: None },
    ],
    ..Room::new("helpers")
};

/// Tells all rooms that a helper is not there.
pub fn gone(conn: &mut PgConnection, gone: &HelperGone) -> Result<()> {
    ROOMS.iter().filter_map(|room| room.helper_gone).try_for_each(|hook| hook(conn, gone))
}

/// Somebody whose last post has ended helps no more: the database has said so, and rooms learn of it.
fn absent(conn: &mut PgConnection, absent: &Absent) -> Result<()> {
    let Absent { county, staff, now } = *absent;
    let here = helpers::table.filter(helpers::county_id.eq(county)).filter(helpers::staff_id.eq(staff));
    let stopped = here.filter(helpers::state.eq(HelperState::Stopped)).select(helpers::id);
    match found(stopped.first::<Uuid>(conn))? {
        Some(helper) => gone(conn, &HelperGone { county, helper, from: now, until: None, now }),
        None => Ok(()),
    }
}

/// Ends what a row stands for: what it held goes back, what was asked is settled, what it tells of the person is gone.
fn end(conn: &mut PgConnection, row: &Helper, now: DateTime<Utc>) -> Result<()> {
    let state = if row.state == HelperState::Refused { HelperState::Refused } else { HelperState::Stopped };
    store::forget(conn, row, state, now)?;
    questions::settle(conn, row, now)?;
    let (county, helper) = (row.county_id, row.id);
    gone(conn, &HelperGone { county, helper, from: now, until: None, now })
}

/// Which of two wins: who was stopped by somebody is stopped in whatever record they come back; but a refusal is no ban, and who was approved
/// since goes on.
fn weight(row: &Helper) -> u8 {
    match row.state {
        HelperState::Stopped if row.decided_by.is_some() => 2,
        HelperState::Active => 1,
        HelperState::Applied | HelperState::Refused | HelperState::Stopped => 0,
    }
}

/// Two records become one, and one helper stays: the one that was stopped, or is active, or that of the record that stays.
fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let Merge { county, from, into, now } = *merge;
    let Some(goes) = store::lock_of_resident(conn, county, from)? else { return Ok(0) };
    let Some(stays) = store::lock_of_resident(conn, county, into)? else {
        let moved =
            (helpers::resident_id.eq(into), helpers::version.eq(helpers::version + 1), helpers::updated_at.eq(now));
        diesel::update(helpers::table.find((county, goes.id))).set(moved).execute(conn)?;
        return Ok(1);
    };
    let (kept, ended) = if weight(&goes) > weight(&stays) { (goes, stays) } else { (stays, goes) };
    end(conn, &ended, now)?;
    if kept.resident_id == Some(from) {
        // One row per person at every moment: the two change places.
        ChangePlaces { county, from, into, now }.execute(conn)?;
    }
    Ok(1)
}

statement! {
    struct ChangePlaces { county: i32 as Integer, from: Uuid as SqlUuid, into: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE helpers SET resident_id = CASE resident_id WHEN {from} THEN {into} ELSE {from} END, version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND resident_id IN ({from}, {into})"
}

fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let here = helpers::table.filter(helpers::county_id.eq(person.county)).filter(helpers::resident_id.eq(person.id));
    let Some(row) = found(here.select(Helper::as_select()).first(conn))? else { return Ok(json!([])) };
    let around = store::around(conn, row.county_id, &[row.id])?.remove(&row.id).unwrap_or_default();
    let open = |place: String, sealed: &Option<Vec<u8>>| {
        sealed.as_ref().map(|sealed| app.keys.open_text(row.county_id, &place, sealed)).transpose()
    };
    let (words, reason) = (open(words_place(row.id), &row.words)?, open(reason_place(row.id), &row.reason)?);
    let hours: Vec<_> = around.hours.into_iter().map(HelperHoursView::from).collect();
    Ok(
        json!([{"id": row.id, "kind": row.kind, "state": row.state, "unit_id": row.unit_id, "skills": row.skills, "claimed_skills": row.claimed,
        "words": words, "reason": reason, "decisions": decisions::of(conn, app, row.county_id, row.id)?, "point": row.point(), "radius_m": row.radius_m, "max_load": row.max_load, "hours": hours,
        "units": around.units, "away_from": row.away_from.map(|at| at.with_timezone(&CST)),
        "away_until": row.away_until.map(|at| at.with_timezone(&CST)), "created_at": row.created_at.with_timezone(&CST)}]),
    )
}

/// Somebody whose record is closed helps no more; that somebody did stays.
fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let Some(row) = store::lock_of_resident(conn, person.county, person.id)? else { return Ok(0) };
    end(conn, &row, person.now)?;
    decisions::forget(conn, person.county, row.id)?;
    Ok(1)
}
