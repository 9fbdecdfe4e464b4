//! What each command says, and the one way from a command to its step.

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    acting::{self, Act, Frame},
    content,
    model::{Provided, Step},
    steps::Said,
};
use crate::{
    error::{FieldError, Result},
    http::{
        caller::{Caller, Can},
        command::Command,
        etag::IfMatch,
        idempotency::{Answer, Once},
        permissions::Permission,
        valid::Id,
    },
};

/// A command without words.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct ErrandCommand {}

/// A command with its reason.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "户口不在本县，请到户籍所在地申请"}))]
pub struct ErrandReason {
    /// 2 to 1,000 characters; told to the resident.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub reason: String,
}

/// What is missing, completely (一次性告知).
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"materials": ["household_register"], "words": "请补交户口簿首页和本人页复印件"}))]
pub struct RequestSupplement {
    /// Keys of the version's materials, 1 to 50.
    #[validate(length(min = 1, max = 50))]
    #[schema(min_items = 1, max_items = 50)]
    pub materials: Vec<String>,
    /// 2 to 1,000 characters.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: String,
}

/// What was missing, and is there now.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"materials": [{"key": "household_register", "in_person": true}], "words": "户口簿已交特派员"}))]
pub struct SupplementErrand {
    /// 1 to 50.
    #[validate(length(min = 1, max = 50), nested)]
    #[schema(min_items = 1, max_items = 50)]
    pub materials: Vec<Provided>,
    /// 2 to 1,000 characters.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: String,
}

/// What was decided.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"granted": true, "words": "已办理参保登记，下月起生效"}))]
pub struct DecideErrand {
    /// Granted, or refused after examination (不予通过).
    pub granted: bool,
    /// The result, or why it was refused; 2 to 1,000 characters.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: String,
    /// The papers of the result, up to 9 of the caller's own uploads; from now on whoever sees the errand sees them.
    #[serde(default)]
    #[validate(length(max = 9))]
    #[schema(max_items = 9)]
    pub attachment_ids: Vec<Uuid>,
}

/// More time, before the limit ends.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"days": 5, "reason": "需现场核实"}))]
pub struct ExtendErrand {
    /// Working days, 1 to 60.
    #[validate(range(min = 1, max = 60))]
    #[schema(minimum = 1, maximum = 60)]
    pub days: u32,
    /// 2 to 1,000 characters; told to the resident.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub reason: String,
}

/// To whom.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"staff_id": "0199a0c0-0000-7000-8000-0000000000a2", "reason": "由驻村特派员继续办理"}))]
pub struct OfferTransfer {
    /// An active member of staff with a post of the unit, or of one above it.
    pub staff_id: Uuid,
    /// 2 to 1,000 characters.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub reason: String,
}

/// What a body says for its step.
pub trait Says {
    fn said(&self) -> Said;

    /// What is wrong with it, whatever it is said of; told to those who see the errand.
    fn faults(&self, _who: &Caller) -> Vec<FieldError> {
        Vec::new()
    }
}

impl Says for ErrandCommand {
    fn said(&self) -> Said {
        Said::default()
    }
}

impl Says for ErrandReason {
    fn said(&self) -> Said {
        Said { words: Some(self.reason.clone()), ..Said::default() }
    }
}

impl Says for RequestSupplement {
    fn said(&self) -> Said {
        Said { missing: self.materials.clone(), words: Some(self.words.clone()), ..Said::default() }
    }
}

impl Says for SupplementErrand {
    fn said(&self) -> Said {
        Said { provided: self.materials.clone(), words: Some(self.words.clone()), ..Said::default() }
    }

    fn faults(&self, _: &Caller) -> Vec<FieldError> {
        content::faults(&self.materials)
    }
}

impl Says for DecideErrand {
    fn said(&self) -> Said {
        let (granted, words) = (Some(self.granted), Some(self.words.clone()));
        Said { granted, words, files: self.attachment_ids.clone(), ..Said::default() }
    }

    fn faults(&self, _: &Caller) -> Vec<FieldError> {
        content::twice(&self.attachment_ids, "/attachment_ids")
    }
}

impl Says for ExtendErrand {
    fn said(&self) -> Said {
        Said { days: Some(self.days), words: Some(self.reason.clone()), ..Said::default() }
    }
}

impl Says for OfferTransfer {
    fn said(&self) -> Said {
        Said { staff: Some(self.staff_id), words: Some(self.reason.clone()), ..Said::default() }
    }
}

/// Takes a step as a command says it.
pub async fn command<P: Permission, T: Says>(
    (operation, step): (&'static str, Step),
    caller: Can<P>,
    id: Id,
    seen: Option<IfMatch>,
    command: Command<T>,
) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, operation, key, digest);
    let frame = Frame::of(&app, &caller.county_key).await?;
    let (who, scope, said, faults) = (Caller::clone(&caller), caller.scope, body.said(), body.faults(&caller));
    acting::act(&app.into_inner(), once, Act { who, scope, id: id.0, step, said, faults, seen, lang, frame }).await
}
