//! What each command says, and the one way from a command to its move.

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    acting::{self, Act, Frame},
    model::Step,
    rules::Said,
};
use crate::{
    audit::Audit,
    error::{Error, FieldError, Result, Text},
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
pub struct OrderCommand {}

/// A command with its reason.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "临时有事，去不了"}))]
pub struct OrderReason {
    /// 2 to 1,000 characters.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub reason: String,
}

/// How the beginning or the end is proved: by a code, by oneself, or by an agent for somebody without a phone.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "048213"}))]
pub struct ProveOrder {
    /// What the resident shows or says; 6 digits, whoever holds it types it.
    #[validate(length(min = 6, max = 12))]
    #[schema(min_length = 6, max_length = 12)]
    pub code: Option<String>,
    /// An agent writes it down for somebody without a phone; recorded as such. Staff who hold it: only the beginning, as their own word.
    #[serde(default)]
    pub without_phone: bool,
    /// How the agent knows; 2 to 1,000 characters, required with `without_phone`.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: Option<String>,
}

/// What was done.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"words": "已代购大米一袋、食用油一桶"}))]
pub struct FinishOrder {
    /// 2 to 1,000 characters; required where the kind asks for a note.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: Option<String>,
    /// Up to 9 of the caller's own uploads; at least one picture where the kind asks for one.
    #[serde(default)]
    #[validate(length(max = 9))]
    #[schema(max_items = 9)]
    pub attachment_ids: Vec<Uuid>,
}

/// To whom.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"helper_id": "0199a0c0-0000-7000-8000-0000000000a1"}))]
pub struct AssignOrder {
    /// An active helper of the right kind with the skills. Place and hours are not looked at: whoever assigns has asked them.
    pub helper_id: Uuid,
}

/// How a dispute is settled.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"done": true, "words": "经核实已完成，双方认可"}))]
pub struct SettleOrder {
    /// It was done: confirmed. Otherwise it is cancelled.
    pub done: bool,
    /// 2 to 1,000 characters.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: String,
}

/// What came of calling the resident.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reached": true, "content": true, "words": "老人表示饭菜已送到"}))]
pub struct CallBackOrder {
    pub reached: bool,
    /// What they said: it is well, which confirms it, or it is not, which makes it a dispute. Required if they were reached.
    pub content: Option<bool>,
    /// 2 to 1,000 characters.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: String,
}

/// Nobody answers.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"words": "敲门无人应，电话不通"}))]
pub struct WorryOrder {
    /// Up to 1,000 characters.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: Option<String>,
}

/// What a body says for its move.
pub trait Says {
    fn said(&self) -> Result<Said>;
}

impl Says for OrderCommand {
    fn said(&self) -> Result<Said> {
        Ok(Said::default())
    }
}

impl Says for OrderReason {
    fn said(&self) -> Result<Said> {
        Ok(Said { words: Some(self.reason.clone()), ..Said::default() })
    }
}

impl Says for ProveOrder {
    fn said(&self) -> Result<Said> {
        let (code, without_phone, words) = (self.code.clone(), self.without_phone, self.words.clone());
        if code.is_some() && without_phone {
            let (zh, en) = ("有验证码则不是代为确认", "with a code nobody has to vouch for it");
            return Err(Error::field("/without_phone", "code_given", zh, en));
        }
        Ok(Said { code, without_phone, words, ..Said::default() })
    }
}

impl Says for FinishOrder {
    fn said(&self) -> Result<Said> {
        Ok(Said { words: self.words.clone(), files: self.attachment_ids.clone(), ..Said::default() })
    }
}

impl Says for AssignOrder {
    fn said(&self) -> Result<Said> {
        Ok(Said { helper: Some(self.helper_id), ..Said::default() })
    }
}

impl Says for SettleOrder {
    fn said(&self) -> Result<Said> {
        Ok(Said { done: Some(self.done), words: Some(self.words.clone()), ..Said::default() })
    }
}

impl Says for CallBackOrder {
    fn said(&self) -> Result<Said> {
        let fault = |code: &'static str, zh, en| {
            Err(Error::invalid(vec![FieldError::body("/content", code, Text::fixed(zh, en))]))
        };
        match (self.reached, self.content) {
            (true, None) => fault("required", "须填写居民的答复", "say what they answered"),
            (false, Some(_)) => fault("not_reached", "未联系上则没有答复", "whoever was not reached has not answered"),
            (_, content) => Ok(Said { content, words: Some(self.words.clone()), ..Said::default() }),
        }
    }
}

impl Says for WorryOrder {
    fn said(&self) -> Result<Said> {
        Ok(Said { words: self.words.clone(), ..Said::default() })
    }
}

/// Makes a move as a command says it.
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
    let (who, scope, said) = (Caller::clone(&caller), caller.scope, body.said()?);
    let by_office = matches!(step, Step::Assign | Step::Settle);
    let audit = by_office.then(|| Audit::new(step.as_str(), "order", id.0));
    let act = Act { who, scope, id: id.0, step, said, seen, lang, frame, audit };
    acting::act_with_code(&app.into_inner(), once, act).await
}
