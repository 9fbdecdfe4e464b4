//! What is handed in: materials as they are there, and what is said when some are missing or unknown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{content::Files, model::Errand};
use crate::{
    error::{Error, FieldError, Text},
    http::faults::child,
    matters::version::{Material, Question},
};

/// How a material (材料) is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "household_register", "in_person": true, "attachment_ids": []}))]
pub struct Provided {
    /// The material's key in the version of the matter; once each.
    pub key: String,
    /// Brought in person, or handed to the agent; otherwise attached, or both.
    #[serde(default)]
    pub in_person: bool,
    /// Photos or scans of it, up to 9, each once: the caller's own uploads (`POST /v1/attachments`), or what the errand has already.
    #[serde(default)]
    #[validate(length(max = 9))]
    #[schema(max_items = 9)]
    pub attachment_ids: Vec<Uuid>,
}

/// What the form of an errand is bound to.
pub fn form_place(id: Uuid) -> String {
    format!("errands.form/{id}")
}

impl Errand {
    /// The name of a member of staff among [`names`](Self::names).
    pub fn name_of(&self, staff: Option<Uuid>) -> Option<String> {
        Some(self.names.as_ref()?.get(staff?.to_string())?.as_str()?.to_owned())
    }

    /// The SHA-256 of each of its files.
    pub fn files(&self) -> Files {
        self.files.as_ref().and_then(|files| serde_json::from_value(files.clone()).ok()).unwrap_or_default()
    }
}

/// All that is missing, told once (一次性告知).
pub fn incomplete(missing: &[Material], open: &[Question], form: bool) -> Error {
    let material = |material: &Material| {
        let text = Text::new(format!("缺少“{}”", material.name), format!("{} is missing", material.name));
        FieldError::body(child("/materials", &material.key), "missing", text)
    };
    let question = |question: &Question| {
        let text = Text::new(format!("请回答：{}", question.text), format!("answer: {}", question.text));
        FieldError::body(child("/answers", &question.key), "required", text)
    };
    let unfilled = form.then(|| FieldError::body("/form", "required", Text::fixed("请填写表单", "fill in the form")));
    Error::invalid(missing.iter().map(material).chain(open.iter().map(question)).chain(unfilled).collect())
}

/// A key that is no material of the matter, or here twice.
pub fn unknown_material(pointer: String, key: &str) -> FieldError {
    let (zh, en) =
        (format!("该事项没有材料“{key}”，或重复"), format!("the matter has no material {key}, or it is here twice"));
    FieldError::body(pointer, "unknown_material", Text::new(zh, en))
}
