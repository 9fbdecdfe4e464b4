//! Versions as they are published and shown.

use chrono::{DateTime, FixedOffset, NaiveDate};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::version::{Content, DecidedBy, Material, MatterKind, Question, Rung, Version};
use crate::clock::CST;

/// A version (办事指南的版本) of a matter; once published it never changes.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"matter_id": "0199a0c0-0000-7000-8000-0000000000b1", "number": 1, "effective_from": "2026-01-01", "decided_by": "township",
    "department_id": null, "kind": "promised", "promised_days": 3, "statutory_days": 10, "proxy_allowed": true,
    "materials": [{"key": "id_card", "name": "居民身份证", "need": "required", "form": "original", "count": 1}],
    "conditions": ["户籍或居住证在本县"], "questions": [], "form": null, "ladder": [{"at": "yellow", "to": "holder"}],
    "created_at": "2026-01-01T09:00:00+08:00"}))]
pub struct VersionView {
    pub matter_id: Uuid,
    /// Counts per matter, from 1.
    pub number: i16,
    /// The local day from which it counts. In effect on a day is the latest that is not after it, of equal ones the highest number.
    pub effective_from: NaiveDate,
    pub decided_by: DecidedBy,
    /// The department, if that decides.
    pub department_id: Option<Uuid>,
    pub kind: MatterKind,
    /// Working days; 0 for instant matters: the end of the day of acceptance.
    pub promised_days: i16,
    /// Working days that the law allows; null where it says nothing.
    pub statutory_days: Option<i16>,
    /// Whether somebody else may file it for the resident.
    pub proxy_allowed: bool,
    pub materials: Vec<Material>,
    pub conditions: Vec<String>,
    pub questions: Vec<Question>,
    /// JSON Schema 2020-12 of what is filled in, of the type object; null: nothing. `x-order` may say in which order to ask.
    #[schema(value_type = Option<Object>)]
    pub form: Option<Value>,
    /// Who is told when it takes long: its own ladder, or the usual one.
    pub ladder: Vec<Rung>,
    pub created_at: DateTime<FixedOffset>,
}

impl From<Version> for VersionView {
    fn from(version: Version) -> Self {
        let ladder = version.ladder().to_vec();
        let Version { matter_id, number, effective_from, content, created_at, .. } = version;
        Self {
            matter_id,
            number,
            effective_from,
            decided_by: content.decided_by,
            department_id: content.department_id,
            kind: content.kind,
            promised_days: content.promised_days,
            statutory_days: content.statutory_days,
            proxy_allowed: content.proxy_allowed,
            materials: content.materials,
            conditions: content.conditions,
            questions: content.questions,
            form: content.form,
            ladder,
            created_at: created_at.with_timezone(&CST),
        }
    }
}

const fn yes() -> bool {
    true
}

/// A version to be published.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"effective_from": "2026-12-01", "decided_by": "township", "kind": "promised", "promised_days": 3, "statutory_days": 10,
    "materials": [{"key": "id_card", "name": "居民身份证", "need": "required", "form": "original"},
        {"key": "household_register", "name": "户口簿", "need": "one_of", "group": "residence", "form": "either", "when": {"local": ["yes"]}},
        {"key": "residence_permit", "name": "居住证", "need": "one_of", "group": "residence", "form": "original"}],
    "conditions": ["户籍或居住证在本县"],
    "questions": [{"key": "local", "text": "户籍在本县吗？", "options": [{"value": "yes", "text": "是"}, {"value": "no", "text": "否"}]}],
    "form": {"type": "object", "required": ["year"], "properties": {"year": {"type": "integer", "title": "参保年度"}}},
    "ladder": [{"at": "red", "to": "unit_head"}]}))]
pub struct PublishVersion {
    /// Today by default. Not in the past, but for the first version of a matter.
    pub effective_from: Option<NaiveDate>,
    pub decided_by: DecidedBy,
    /// Exactly if a department decides: one of the county's that is not closed.
    pub department_id: Option<Uuid>,
    pub kind: MatterKind,
    /// Working days, 0 to 250; 0 exactly for instant matters.
    #[validate(range(min = 0, max = 250))]
    #[schema(minimum = 0, maximum = 250)]
    pub promised_days: i16,
    /// Working days that the law allows, at least as many as promised; up to 250.
    #[validate(range(min = 0, max = 250))]
    #[schema(minimum = 0, maximum = 250)]
    pub statutory_days: Option<i16>,
    /// Whether somebody else may file it for the resident; yes by default.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub proxy_allowed: bool,
    /// Up to 60.
    #[serde(default)]
    #[validate(length(max = 60), nested)]
    #[schema(max_items = 60)]
    pub materials: Vec<Material>,
    /// Up to 30 of 1 to 500 characters.
    #[serde(default)]
    #[validate(length(max = 30))]
    #[schema(max_items = 30)]
    pub conditions: Vec<String>,
    /// Up to 12; some material depends on each.
    #[serde(default)]
    #[validate(length(max = 12), nested)]
    #[schema(max_items = 12)]
    pub questions: Vec<Question>,
    /// JSON Schema 2020-12 of the type object, up to 32 KiB, with references only to its own `$defs`. Beside the formats `date`,
    /// `date-time`, `time` and `uuid` it may name `id_number`, `phone` and `person_name`. `x-order` may list the fields in order.
    #[schema(value_type = Option<Object>)]
    pub form: Option<Value>,
    /// Up to 12 rungs; none: the usual ladder, an empty list: nobody is told.
    #[validate(length(max = 12), nested)]
    #[schema(max_items = 12)]
    pub ladder: Option<Vec<Rung>>,
}

impl PublishVersion {
    pub fn content(self) -> Content {
        let Self { decided_by, department_id, kind, promised_days, statutory_days, proxy_allowed, .. } = self;
        let Self { materials, conditions, questions, form, ladder, .. } = self;
        Content {
            decided_by,
            department_id,
            kind,
            promised_days,
            statutory_days,
            proxy_allowed,
            materials,
            conditions,
            questions,
            form,
            ladder,
        }
    }
}
