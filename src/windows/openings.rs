//! What the windows of a centre offer and what is taken of it, in one statement.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{Bool, Date, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::left::Opening;
use crate::{
    error::{Error, Result},
    statement,
};

/// What is asked of [`openings`].
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub county: i32,
    pub unit: Uuid,
    pub matter: Uuid,
    /// Where the resident lives, for matters of the resident's own specialist; none: whoever's.
    pub lives_in: Option<Uuid>,
    /// First and last day.
    pub days: (NaiveDate, NaiveDate),
    /// Taken places are told that overlap this time.
    pub busy: (DateTime<Utc>, DateTime<Utc>),
    /// Holds that have run out by now take no place.
    pub now: DateTime<Utc>,
    /// Pass the gate of the centre: until the end of the transaction nobody changes its opening.
    pub gate: bool,
    /// An appointment that does not count, because it is about to move.
    pub but: Option<Uuid>,
}

statement! {
    struct Openings {
        county: i32 as Integer, unit: Uuid as SqlUuid, matter: Uuid as SqlUuid, lives_in: Option<Uuid> as Nullable<SqlUuid>,
        from: NaiveDate as Date, to: NaiveDate as Date, after: DateTime<Utc> as Timestamptz, before: DateTime<Utc> as Timestamptz,
        now: DateTime<Utc> as Timestamptz, gate: bool as Bool, but: Option<Uuid> as Nullable<SqlUuid>,
    }
    "SELECT * FROM centre_openings({county}, {unit}, {matter}, {lives_in}, {from}, {to}, {after}, {before}, {now}, {gate}, {but})"
}

/// A row of `centre_openings`, also where it is joined to something else and therefore may be missing.
#[derive(Clone, Debug, QueryableByName)]
pub struct Row {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    window_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    window_name: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    rules: Option<Value>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    exceptions: Option<Value>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    away: Option<Value>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    busy: Option<Value>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    waiting: Option<Value>,
}

fn listed<T: DeserializeOwned>(value: Option<Value>) -> Result<Vec<T>> {
    value.map_or(Ok(Vec::new()), |value| serde_json::from_value(value).map_err(Error::internal))
}

impl Row {
    pub fn opening(self) -> Result<Option<Opening>> {
        let Some(window) = self.window_id else { return Ok(None) };
        Ok(Some(Opening {
            window,
            name: self.window_name.unwrap_or_default(),
            rules: listed(self.rules)?,
            exceptions: listed(self.exceptions)?,
            away: listed(self.away)?,
            busy: listed(self.busy)?,
            waiting: listed(self.waiting)?,
        }))
    }
}

/// The open windows of a centre that serve a matter; none if there is no such matter or centre.
pub fn openings(conn: &mut PgConnection, asked: &Asked) -> Result<Vec<Opening>> {
    let Asked { county, unit, matter, lives_in, days: (from, to), busy: (after, before), now, gate, but } = *asked;
    let ask = Openings { county, unit, matter, lives_in, from, to, after, before, now, gate, but };
    let rows: Vec<Row> = ask.load(conn)?;
    rows.into_iter().filter_map(|row| row.opening().transpose()).collect()
}
