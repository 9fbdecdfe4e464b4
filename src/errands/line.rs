//! An errand as a list shows it.
//!
//! A search may show fifty where another shows one, so a line is what is shown and no more: a reader finds each of its columns by name.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    deserialize::{FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    sql_types::{
        Array, BigInt, Binary, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{model::ErrandState, provided::Provided};
use crate::matters::{
    Answers,
    version::{DecidedBy, MatterKind},
};

/// What a list tells of an errand; the name is sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Line {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// 受理编号
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = SqlUuid)]
    pub matter_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    pub matter_version: i16,
    #[diesel(sql_type = Text)]
    pub matter_name: String,
    #[diesel(sql_type = SqlUuid)]
    pub resident_id: Uuid,
    #[diesel(sql_type = Nullable<Binary>)]
    pub resident_name: Option<Vec<u8>>,
    #[diesel(sql_type = SqlUuid)]
    pub unit_id: Uuid,
    #[diesel(sql_type = Text)]
    pub unit_name: String,
    #[diesel(sql_type = Text)]
    pub decided_by: DecidedBy,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub department_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub department_name: Option<String>,
    #[diesel(sql_type = Text)]
    pub kind: MatterKind,
    #[diesel(sql_type = Text)]
    pub state: ErrandState,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub holder_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub holder_name: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub offered_to: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub filed_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub filed_by_resident: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub mandate_id: Option<Uuid>,
    /// Answers to the questions of the guide.
    #[diesel(sql_type = Jsonb, deserialize_as = Stored<Answers>)]
    pub answers: Answers,
    /// What is there, and how.
    #[diesel(sql_type = Jsonb, deserialize_as = Stored<Vec<Provided>>)]
    pub materials: Vec<Provided>,
    #[diesel(sql_type = SmallInt)]
    pub supplements: i16,
    /// Keys of the materials that were asked for and are not there yet.
    #[diesel(sql_type = Array<Text>)]
    pub asked: Vec<String>,
    #[diesel(sql_type = SmallInt)]
    pub limit_days: i16,
    #[diesel(sql_type = Nullable<Date>)]
    pub submitted_on: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    pub accepted_on: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    pub decided_on: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub granted: Option<bool>,
    #[diesel(sql_type = Nullable<Date>)]
    pub due_on: Option<NaiveDate>,
    #[diesel(sql_type = Bool)]
    pub provisional: bool,
    #[diesel(sql_type = Nullable<Date>)]
    pub yellow_from: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    pub red_from: Option<NaiveDate>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
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
