//! An errand as a list shows it.
//!
//! A search may show fifty where another shows one, so a line is what is shown and no more: a reader finds each of its columns by name.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Binary, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use serde_json::Value;
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
    #[diesel(sql_type = Jsonb)]
    pub answers: Value,
    #[diesel(sql_type = Jsonb)]
    pub materials: Value,
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

impl Line {
    /// What is there, as it was checked before it was written.
    pub fn provided(&self) -> Vec<Provided> {
        serde_json::from_value(self.materials.clone()).unwrap_or_default()
    }

    pub fn answers(&self) -> Answers {
        serde_json::from_value(self.answers.clone()).unwrap_or_default()
    }
}
