//! A version of a matter (办事指南): who decides, within how many working days, what is needed and filled in.

use std::{collections::BTreeMap, ops::Deref};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::text_enum;

text_enum! {
    /// Where a matter is decided.
    pub enum DecidedBy {
        Village = "village",
        Township = "township",
        /// 县直部门
        Department = "department",
    }
}

text_enum! {
    /// Whether it is done at once.
    pub enum MatterKind {
        /// 即办件
        Instant = "instant",
        /// 承诺件
        Promised = "promised",
    }
}

text_enum! {
    /// Whether a material (材料) must be there.
    pub enum Need {
        Required = "required",
        /// One of those with the same `group` is enough.
        OneOf = "one_of",
    }
}

text_enum! {
    /// As what a material is brought.
    pub enum PaperForm {
        Original = "original",
        Copy = "copy",
        Either = "either",
    }
}

text_enum! {
    /// When a rung of the ladder is reached.
    pub enum RungAt {
        /// The lamp turns yellow.
        Yellow = "yellow",
        /// It is overdue.
        Red = "red",
        /// It has been overdue for some working days.
        RedPlus = "red_plus",
    }
}

text_enum! {
    /// Who is told.
    pub enum RungTo {
        Holder = "holder",
        UnitHead = "unit_head",
        TownshipSupervisor = "township_supervisor",
        CountySupervisor = "county_supervisor",
    }
}

/// Which answers a material is for: keys of questions, and values of each.
pub type When = BTreeMap<String, Vec<String>>;

const fn one() -> i16 {
    1
}

/// What is needed (材料).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "birth_certificate", "name": "出生医学证明", "need": "required", "form": "original", "count": 1,
    "note": "副页由公安机关留存", "when": {"reason": ["newborn"]}}))]
pub struct Material {
    /// 1 to 32 lower-case letters, digits and underscores; once per version.
    #[validate(length(min = 1, max = 32))]
    #[schema(min_length = 1, max_length = 32)]
    pub key: String,
    /// 1 to 128 characters.
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    pub need: Need,
    /// For `one_of`: the same for at least two materials.
    #[validate(length(min = 1, max = 32))]
    #[schema(min_length = 1, max_length = 32)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub form: PaperForm,
    /// How many, 1 to 20; 1 by default.
    #[validate(range(min = 1, max = 20))]
    #[schema(minimum = 1, maximum = 20, default = 1)]
    #[serde(default = "one")]
    pub count: i16,
    /// Up to 500 characters.
    #[validate(length(max = 500))]
    #[schema(max_length = 500)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Only for these answers: keys of questions with values of theirs, all of the questions to be answered so. Empty: always.
    #[serde(default, skip_serializing_if = "When::is_empty")]
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    pub when: When,
}

/// An answer that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"value": "newborn", "text": "新生儿出生登记"}))]
pub struct Choice {
    /// 1 to 32 lower-case letters, digits and underscores; once per question.
    #[validate(length(min = 1, max = 32))]
    #[schema(min_length = 1, max_length = 32)]
    pub value: String,
    /// 1 to 64 characters.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    pub text: String,
}

/// A question whose answer decides what is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "reason", "text": "您要办理哪一种登记？", "options": [
    {"value": "newborn", "text": "新生儿出生登记"}, {"value": "move_in", "text": "户口迁入"}]}))]
pub struct Question {
    /// 1 to 32 lower-case letters, digits and underscores; once per version.
    #[validate(length(min = 1, max = 32))]
    #[schema(min_length = 1, max_length = 32)]
    pub key: String,
    /// 1 to 128 characters.
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128)]
    pub text: String,
    /// 2 to 12.
    #[validate(length(min = 2, max = 12), nested)]
    #[schema(min_items = 2, max_items = 12)]
    pub options: Vec<Choice>,
}

/// A rung of the ladder (督办阶梯): who is told when it takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"at": "red_plus", "days": 3, "to": "township_supervisor"}))]
pub struct Rung {
    pub at: RungAt,
    /// For `red_plus`: working days since it was due, 1 to 60.
    #[validate(range(min = 1, max = 60))]
    #[schema(minimum = 1, maximum = 60)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<i16>,
    pub to: RungTo,
}

/// The ladder of a version that names none.
pub const USUAL_LADDER: &[Rung] = &[
    Rung { at: RungAt::Yellow, days: None, to: RungTo::Holder },
    Rung { at: RungAt::Red, days: None, to: RungTo::UnitHead },
    Rung { at: RungAt::RedPlus, days: Some(3), to: RungTo::TownshipSupervisor },
    Rung { at: RungAt::RedPlus, days: Some(7), to: RungTo::CountySupervisor },
];

/// What a version says.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    pub decided_by: DecidedBy,
    /// The department, if that decides.
    pub department_id: Option<Uuid>,
    pub kind: MatterKind,
    /// Working days; 0 for instant matters.
    pub promised_days: i16,
    /// Working days that the law allows.
    pub statutory_days: Option<i16>,
    /// Whether somebody else may file it for the resident.
    pub proxy_allowed: bool,
    pub materials: Vec<Material>,
    pub conditions: Vec<String>,
    pub questions: Vec<Question>,
    /// JSON Schema 2020-12 of what is filled in.
    pub form: Option<Value>,
    /// None: the usual one.
    pub ladder: Option<Vec<Rung>>,
}

impl Content {
    /// Who is told when it takes long.
    pub fn ladder(&self) -> &[Rung] {
        self.ladder.as_deref().unwrap_or(USUAL_LADDER)
    }
}

/// A version as published; never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub matter_id: Uuid,
    /// Counts per matter, from 1.
    pub number: i16,
    /// Local day.
    pub effective_from: NaiveDate,
    pub content: Content,
    /// None: the operator.
    pub created_by: Option<Uuid>,
    pub created_at: DateTime<Utc>,
}

impl Deref for Version {
    type Target = Content;

    fn deref(&self) -> &Content {
        &self.content
    }
}
