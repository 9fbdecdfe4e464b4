//! An errand as a list shows it.
//!
//! A search may show fifty where another shows one, so a line is what is shown and no more, and its columns are read where they stand.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    deserialize::{FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    sql_types::{
        Array, BigInt, Binary, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{model::ErrandState, provided::Provided};
use crate::{
    matters::{
        Answers,
        version::{DecidedBy, MatterKind},
    },
    row,
};

row! {
    /// What a list tells of an errand; the name is sealed.
    pub struct Line {
        county_id: i32 as Integer,
        id: Uuid as SqlUuid,
        /// 受理编号
        number: String as Text,
        matter_id: Uuid as SqlUuid,
        matter_version: i16 as SmallInt,
        matter_name: String as Text,
        resident_id: Uuid as SqlUuid,
        resident_name: Option<Vec<u8>> as Nullable<Binary>,
        unit_id: Uuid as SqlUuid,
        unit_name: String as Text,
        decided_by: DecidedBy as Text,
        department_id: Option<Uuid> as Nullable<SqlUuid>,
        department_name: Option<String> as Nullable<Text>,
        kind: MatterKind as Text,
        state: ErrandState as Text,
        holder_id: Option<Uuid> as Nullable<SqlUuid>,
        holder_name: Option<String> as Nullable<Text>,
        offered_to: Option<Uuid> as Nullable<SqlUuid>,
        filed_by: Option<Uuid> as Nullable<SqlUuid>,
        filed_by_resident: Option<Uuid> as Nullable<SqlUuid>,
        mandate_id: Option<Uuid> as Nullable<SqlUuid>,
        /// Answers to the questions of the guide.
        answers: Answers as Jsonb = Stored<Answers>,
        /// What is there, and how.
        materials: Vec<Provided> as Jsonb = Stored<Vec<Provided>>,
        supplements: i16 as SmallInt,
        /// Keys of the materials that were asked for and are not there yet.
        asked: Vec<String> as Array<Text>,
        limit_days: i16 as SmallInt,
        submitted_on: Option<NaiveDate> as Nullable<Date>,
        accepted_on: Option<NaiveDate> as Nullable<Date>,
        decided_on: Option<NaiveDate> as Nullable<Date>,
        granted: Option<bool> as Nullable<Bool>,
        due_on: Option<NaiveDate> as Nullable<Date>,
        provisional: bool as Bool,
        yellow_from: Option<NaiveDate> as Nullable<Date>,
        red_from: Option<NaiveDate> as Nullable<Date>,
        version: i64 as BigInt,
        created_at: DateTime<Utc> as Timestamptz,
        updated_at: DateTime<Utc> as Timestamptz,
    }
}

/// A value that was checked before it was written, read from JSON at once.
#[derive(Debug, FromSqlRow)]
pub struct Stored<T>(T);

impl<T: DeserializeOwned> FromSql<Jsonb, Pg> for Stored<T> {
    fn from_sql(value: PgValue<'_>) -> diesel::deserialize::Result<Self> {
        // Its first byte is the version of the format (PostgreSQL, `jsonb_send`).
        match value.as_bytes().split_first() {
            Some((1, json)) => Ok(Self(serde_json::from_slice(json)?)),
            _ => Err("jsonb of an unknown format".into()),
        }
    }
}

impl From<Stored<Self>> for Answers {
    fn from(stored: Stored<Self>) -> Self {
        stored.0
    }
}

impl From<Stored<Self>> for Vec<Provided> {
    fn from(stored: Stored<Self>) -> Self {
        stored.0
    }
}
