//! The counties of an installation, for its operator: created, listed, suspended, resumed.
//!
//! ```text
//! active ──suspend (reason)──▶ suspended ──resume──▶ active
//! ```

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::model::{CountyState, DivisionCode, Level};
use crate::{
    app::App,
    audit::{self, Actor, Audit},
    db::{
        changes::{self, Change},
        found,
        schema::{counties, units},
    },
    error::Result,
    staff,
};

/// What `lianxin county create` takes.
pub struct NewCounty {
    pub key: String,
    pub name: String,
    /// Of the county's own unit.
    pub code: Option<String>,
    /// Whose numbering the code is.
    pub source: String,
}

/// A county in the operator's list.
#[derive(Clone, Debug, Queryable)]
pub struct Listed {
    pub key: String,
    pub name: String,
    pub state: CountyState,
    pub suspended_at: Option<DateTime<Utc>>,
    pub suspended_because: Option<String>,
}

/// The id by which audit entries and changes name a county.
pub fn audit_id(key: &str) -> Uuid {
    audit::id_of("county", key)
}

/// What phones learn when a county changes.
pub fn changed(county: i32, key: &str) -> Change {
    let entity_id = audit_id(key);
    Change { county, entity: "county", entity_id, unit_id: None, resident_id: None, staff_id: None, gone: false }
}

/// Makes a county and its own unit; one that exists is refused and stays as it is.
pub async fn create(app: &App, new: NewCounty) -> anyhow::Result<()> {
    let fits = new.key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    ensure!(
        fits && (2..=32).contains(&new.key.len()),
        "a key has 2 to 32 lower-case letters, digits, hyphens and underscores"
    );
    let name = new.name.trim().to_owned();
    ensure!((1..=64).contains(&name.chars().count()), "a name has 1 to 64 characters");
    let code = new.code.unwrap_or_else(|| format!("{}000000", new.key));
    let code: DivisionCode = code.parse().map_err(anyhow::Error::msg).context("name the division code with --code")?;
    ensure!(code.level() == Level::County, "{} is not the code of a county", code.as_str());
    let entry = Audit::new("create", "county", audit_id(&new.key));
    let (key, source, now) = (new.key.clone(), new.source, app.clock.now());
    let created = app.db.write("create_county", move |conn| {
        let made = diesel::insert_into(counties::table)
            .values((counties::key.eq(&key), counties::name.eq(&name), counties::created_at.eq(now)))
            .on_conflict_do_nothing()
            .returning(counties::id);
        let Some(county) = found(made.get_result::<i32>(conn))? else { return Ok(false) };
        diesel::insert_into(units::table)
            .values((
                (units::county_id.eq(county), units::id.eq(Uuid::now_v7()), units::level.eq(Level::County)),
                (units::name.eq(&name), units::division_code.eq(code.as_str()), units::code_source.eq(&source)),
                (units::created_at.eq(now), units::updated_at.eq(now)),
            ))
            .execute(conn)?;
        audit::record(conn, Actor::operator(county), now, &entry)?;
        Ok(true)
    });
    ensure!(created.await?, "the county {} exists already", new.key);
    Ok(())
}

/// Every county of the installation, by key.
pub async fn list(app: &App) -> Result<Vec<Listed>> {
    app.db
        .read("list_counties", |conn| {
            let suspended = (counties::suspended_at, counties::suspended_because);
            let columns = (counties::key, counties::name, counties::state, suspended.0, suspended.1);
            Ok(counties::table.order(counties::key).select(columns).load(conn)?)
        })
        .await
}

/// Shuts a county out until it is resumed. It holds everywhere within 5 seconds.
pub async fn suspend(app: &App, key: &str, reason: &str) -> anyhow::Result<()> {
    ensure!((2..=200).contains(&reason.trim().chars().count()), "a reason has 2 to 200 characters");
    turn(app, key, Some(reason.trim().to_owned())).await
}

/// Lets a suspended county work again: the sessions that it had, and the jobs that waited.
pub async fn resume(app: &App, key: &str) -> anyhow::Result<()> {
    turn(app, key, None).await
}

/// Suspends for a reason, resumes without one; only from the other state.
async fn turn(app: &App, key: &str, reason: Option<String>) -> anyhow::Result<()> {
    let (from, to, action) = match reason {
        Some(_) => (CountyState::Active, CountyState::Suspended, "suspend"),
        None => (CountyState::Suspended, CountyState::Active, "resume"),
    };
    // Without the reason: the county reads its own log.
    let entry = Audit::new(action, "county", audit_id(key));
    let (wanted, now) = (key.to_owned(), app.clock.now());
    let turned = app.db.write("turn_county", move |conn| {
        let row = counties::table.filter(counties::key.eq(&wanted)).filter(counties::state.eq(from));
        let set = diesel::update(row).set((
            (counties::state.eq(to), counties::version.eq(counties::version + 1)),
            counties::suspended_at.eq(reason.as_ref().map(|_| now)),
            counties::suspended_because.eq(&reason),
        ));
        let Some(county) = found(set.returning(counties::id).get_result::<i32>(conn))? else {
            let known = counties::table.filter(counties::key.eq(&wanted)).select(counties::id);
            return Ok((false, found(known.first::<i32>(conn))?.is_some()));
        };
        if to == CountyState::Active {
            staff::store::begin_anew(conn, county, now)?;
        }
        audit::record(conn, Actor::operator(county), now, &entry)?;
        changes::record(conn, changed(county, &wanted), now)?;
        Ok((true, true))
    });
    let (turned, known) = turned.await?;
    ensure!(known, "there is no county {key}");
    ensure!(turned, "the county {key} is {} already", to.as_str());
    app.counties.forget();
    app.rendered.forget();
    Ok(())
}
