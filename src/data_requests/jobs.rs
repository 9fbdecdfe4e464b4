//! Making a copy, and closing a record.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Months, TimeDelta, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    model::{self, DataRequest, DataRequestState},
    store::{self, End},
};
use crate::{
    app::App,
    audit::{self, Actor, Audit},
    clock::CST,
    error::{Error, Result, Text},
    http::idempotency,
    jobs::{self, Job, Ticket},
    messages::{self, NewMessage},
    people,
    rooms::{Person, ROOMS},
    settings::Settings,
    todos::{self, NewTodo},
};

/// A copy may have so many bytes. A life's worth of services is far below.
const LARGEST: usize = 8 * 1024 * 1024;

/// When what was under way during a closing has ended for certain.
const SETTLED: TimeDelta = TimeDelta::minutes(2);

/// Makes the copy of somebody's data.
#[derive(Debug, Serialize, Deserialize)]
pub struct MakeExport {
    pub request: Uuid,
}

impl Job for MakeExport {
    const KIND: &'static str = "make_export";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let (key, now) = ((ticket.county, self.request), app.clock.now());
        let begun = app.db.write("begin_export", move |conn| store::begin(conn, (key, now))).await?;
        let Some(request) = begun else {
            return app.db.write("export_over", move |conn| ticket.done(conn)).await;
        };
        let inner = app.clone();
        app.db
            .write("make_export", move |conn| {
                export(conn, &inner, &request, now)?;
                ticket.done(conn)
            })
            .await
    }
}

fn export(conn: &mut PgConnection, app: &App, request: &DataRequest, now: DateTime<Utc>) -> Result<()> {
    let (county, id, at) = (request.county_id, request.id, ((request.county_id, request.id), now));
    let person = Person { county, id: request.resident_id, now };
    let (mut rooms, mut counts) = (Map::new(), Map::new());
    for room in ROOMS {
        if let Some(export) = room.export {
            let value = export(conn, app, person)?;
            counts.insert(room.name.into(), json!(things(&value)));
            rooms.insert(room.name.into(), value);
        }
    }
    let archive = json!({"made_at": now.with_timezone(&CST), "resident": request.resident_id, "rooms": rooms});
    let bytes = serde_json::to_vec(&archive).map_err(Error::internal)?;
    if bytes.len() > LARGEST {
        return too_large(conn, app, request, now);
    }
    let sealed = app.keys.seal(county, &model::place("archive", id), &bytes);
    let days = settings(conn, county, now)?.privacy_export_days;
    let until = now + TimeDelta::days(days);
    if let Some(row) = store::ready(conn, at, (&sealed, &Value::Object(counts)), until)? {
        store::changed(conn, &row, now)?;
        let params = json!({"expires_at": until.with_timezone(&CST).to_rfc3339()});
        let kind = messages::Kind::ExportReady;
        messages::post(
            conn,
            NewMessage { county, resident: request.resident_id, kind, about: id, occasion: 0, params },
            now,
        )?;
    }
    Ok(())
}

/// How many things a room gave: the items of its lists, and one for each object beside them.
fn things(value: &Value) -> usize {
    let parts = value.as_object().into_iter().flat_map(Map::values);
    parts.map(|part| part.as_array().map_or(1, Vec::len)).sum()
}

fn too_large(conn: &mut PgConnection, app: &App, request: &DataRequest, now: DateTime<Utc>) -> Result<()> {
    let (county, id) = (request.county_id, request.id);
    let words = "副本超过 8 MiB，工作人员会与您联系 (the copy has more than 8 MiB; staff will be in touch)";
    let reason = app.keys.seal(county, &model::place("reason", id), words.as_bytes());
    let end = End { reason: Some(reason), ..End::new(DataRequestState::Refused) };
    store::end(conn, ((county, id), now), end)?;
    let todo = NewTodo {
        county,
        kind: todos::Kind::Failure,
        unit: None,
        resident: Some(request.resident_id),
        about: Some(("data_request", id)),
        title: Text::fixed("个人信息副本过大，需人工提供", "A copy of personal data is too large; provide it by hand"),
        holder: None,
        due_at: Some(request.due_at),
        created_by: None,
    };
    todos::open(conn, todo, now)?;
    Ok(())
}

fn settings(conn: &mut PgConnection, county: i32, now: DateTime<Utc>) -> Result<Settings> {
    Ok(Settings::at(&crate::settings::load(conn, county)?, now))
}

/// Closes a record, in one transaction.
#[derive(Debug, Serialize, Deserialize)]
pub struct CloseRecord {
    pub request: Uuid,
}

impl Job for CloseRecord {
    const KIND: &'static str = "close_record";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let (key, now, inner) = ((ticket.county, self.request), app.clock.now(), app.clone());
        let entry = Audit::new("close", "resident", Uuid::nil());
        app.db
            .write("close_record", move |conn| {
                if let Some(request) = store::begin(conn, (key, now))? {
                    close(conn, &inner, &request, now)?;
                    audit::record(conn, Actor::system(key.0), now, &entry.of(request.resident_id))?;
                }
                ticket.done(conn)
            })
            .await
    }
}

fn close(conn: &mut PgConnection, app: &App, request: &DataRequest, now: DateTime<Utc>) -> Result<()> {
    let (county, id) = (request.county_id, request.resident_id);
    let person = Person { county, id, now };
    // First, so that what begins now waits, and finds the record closed.
    people::subject::lock(conn, county, id)?;
    let counts = erase(conn, app, person)?;
    let settings = settings(conn, county, now)?;
    let later = |months: i64| (now.with_timezone(&CST) + Months::new(months as u32)).date_naive();
    let kept = json!({
        "consents": later(settings.privacy_consent_years * 12),
        "audit": later(settings.privacy_audit_months),
    });
    let end = End { counts: Some(counts), kept: Some(kept), ..End::new(DataRequestState::Done) };
    store::end(conn, ((county, request.id), now), end)?;
    Ok(jobs::push(conn, county, &EraseAgain { resident: id }, now + SETTLED)?)
}

/// Has every room let go of a person; how many things each.
fn erase(conn: &mut PgConnection, app: &App, person: Person) -> Result<Value> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    // Also what still hangs on records that were merged into this one.
    for id in people::with_merged(conn, person.county, person.id)? {
        for room in ROOMS {
            if let Some(erase) = room.erase {
                *counts.entry(room.name).or_default() += erase(conn, app, Person { id, ..person })?;
            }
        }
        // Answers kept to be repeated hold the person's data too.
        idempotency::forget(conn, person.county, id)?;
    }
    Ok(json!(counts))
}

/// What was under way while a record closed, and saw it open, goes too.
#[derive(Debug, Serialize, Deserialize)]
pub struct EraseAgain {
    pub resident: Uuid,
}

impl Job for EraseAgain {
    const KIND: &'static str = "erase_again";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let (inner, person) = (app.clone(), Person { county: ticket.county, id: self.resident, now: app.clock.now() });
        app.db
            .write("erase_again", move |conn| {
                erase(conn, &inner, person)?;
                ticket.done(conn)
            })
            .await
    }
}
