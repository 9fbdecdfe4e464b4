//! The reply (回复) after a decision: its papers, delivery (送达), acknowledgement (签收), call-back (回访). The ledger tells all of it.
//!
//! The papers of a decision belong to the errand from the decision on, and whoever sees the errand sees them: the words of the decision
//! are told at once, and keeping back the paper would only make people come and ask. What was delivered is archived when the
//! resident has acknowledged it, or `errands.acknowledged_after_days` later. The call-back comes after the delivery, archived or not.

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    commands::Says,
    content,
    ledger::{Entry, Facts},
    model::{Errand, ErrandState, Step},
    steps::Said,
};
use crate::{
    app::App,
    error::{FieldError, Result, Text},
    http::caller::Caller,
    proxies::model::GivenHow,
    settings::Settings,
    text_enum,
};

text_enum! {
    /// How the result gets to the resident.
    pub enum DeliveredHow {
        /// 当面
        InPerson = "in_person",
        /// 代办员送达
        ByAgent = "by_agent",
        /// 邮寄
        ByPost = "by_post",
    }
}

text_enum! {
    /// What whoever was called back says.
    pub enum Satisfied {
        Yes = "yes",
        No = "no",
        Unknown = "unknown",
    }
}

/// What was sent by post.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    pub carrier: Option<String>,
    pub tracking_number: Option<String>,
}

/// Steps whose facts are read with the errand: of those that are taken again, the last.
const REPLIES: &[Step] = &[Step::RequestSupplement, Step::Decide, Step::Deliver, Step::Acknowledge, Step::CallBack];

impl Errand {
    /// A fact of a step of the reply.
    pub fn replied(&self, step: Step, fact: &str) -> Option<&Value> {
        self.replies.as_ref()?.get(step.as_str())?.get(fact)
    }

    /// A word or a day among them.
    fn reply<T: serde::de::DeserializeOwned>(&self, step: Step, fact: &str) -> Option<T> {
        serde_json::from_value(self.replied(step, fact)?.clone()).ok()
    }

    /// The day of a step of the reply; none: not taken.
    pub fn replied_on(&self, step: Step) -> Option<NaiveDate> {
        self.reply(step, "on")
    }

    /// Somebody was reached and asked.
    pub fn called_back(&self) -> bool {
        self.reply(Step::CallBack, "reached").unwrap_or(false)
    }

    /// From when on it may be archived though nobody has acknowledged the delivery; none: at any time.
    pub fn kept_until(&self, settings: &Settings) -> Option<NaiveDate> {
        let delivered = self.replied_on(Step::Deliver).filter(|_| self.replied_on(Step::Acknowledge).is_none())?;
        Some(delivered + Days::new(settings.errands_acknowledged_after_days.unsigned_abs()))
    }

    /// The last day for what is missing; none: nothing is waited for.
    pub fn supplement_until(&self) -> Option<NaiveDate> {
        let waits = self.state == ErrandState::SupplementRequested;
        self.reply(Step::RequestSupplement, "until").filter(|_| waits)
    }

    /// The errand after an entry: its end of the ledger, and what was replied.
    pub fn tell(&mut self, entry: &Entry) {
        (self.entries, self.head) = (entry.seq, Some(entry.hash.clone()));
        if REPLIES.contains(&entry.step) {
            let mut replies = self.replies.take().unwrap_or_else(|| json!({}));
            replies[entry.step.as_str()] = entry.facts.clone();
            self.replies = Some(replies);
        }
    }

    fn files_of(&self, step: Step) -> Vec<Uuid> {
        content::listed(self.replied(step, "files")).into_iter().map(|(id, _)| id).collect()
    }

    /// The papers of the decision.
    pub fn documents(&self) -> Vec<Uuid> {
        self.files_of(Step::Decide)
    }
}

/// How the result got to the resident.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"on": "2026-12-01", "how": "by_post", "carrier": "中国邮政", "tracking_number": "1234567890123",
    "attachment_ids": [], "acknowledged_on": "2026-12-03", "acknowledged_how": "in_mini_program"}))]
pub struct ErrandDelivery {
    pub on: NaiveDate,
    #[schema(inline)]
    pub how: Option<DeliveredHow>,
    /// Of what was sent by post; for the resident's side and whoever handles it.
    pub carrier: Option<String>,
    pub tracking_number: Option<String>,
    /// The receipt, and what the resident signed.
    pub attachment_ids: Vec<Uuid>,
    /// When the resident acknowledged it (签收).
    pub acknowledged_on: Option<NaiveDate>,
    #[schema(inline)]
    pub acknowledged_how: Option<GivenHow>,
}

/// The last time that the resident was called back (回访).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"on": "2026-12-08", "reached": true, "satisfied": "yes"}))]
pub struct ErrandCallBack {
    pub on: NaiveDate,
    pub reached: bool,
    #[schema(inline)]
    pub satisfied: Option<Satisfied>,
}

impl ErrandDelivery {
    /// Of an errand; where it was sent only for those whom it concerns.
    pub fn of(app: &App, errand: &Errand, whole: bool) -> Result<Option<Self>> {
        let Some(on) = errand.replied_on(Step::Deliver) else { return Ok(None) };
        let parcel =
            if whole { content::parcel(app, (errand.county_id, errand.id), errand.parcel.as_deref())? } else { None };
        let Parcel { carrier, tracking_number } = parcel.unwrap_or_default();
        let mut attachment_ids = errand.files_of(Step::Deliver);
        attachment_ids.extend(errand.files_of(Step::Acknowledge));
        let how = errand.reply(Step::Deliver, "how");
        let (acknowledged_on, acknowledged_how) =
            (errand.replied_on(Step::Acknowledge), errand.reply(Step::Acknowledge, "how"));
        Ok(Some(Self { on, how, carrier, tracking_number, attachment_ids, acknowledged_on, acknowledged_how }))
    }
}

impl ErrandCallBack {
    pub fn of(errand: &Errand) -> Option<Self> {
        let (on, reached) = (errand.replied_on(Step::CallBack)?, errand.called_back());
        Some(Self { on, reached, satisfied: errand.reply(Step::CallBack, "satisfied") })
    }
}

/// How the result got to the resident.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"how": "by_post", "carrier": "中国邮政", "tracking_number": "1234567890123"}))]
pub struct DeliverErrand {
    pub how: DeliveredHow,
    /// Who carries it, 2 to 40 characters; only for `by_post`.
    #[validate(length(min = 2, max = 40))]
    #[schema(min_length = 2, max_length = 40)]
    pub carrier: Option<String>,
    /// 4 to 40 characters; only for `by_post`.
    #[validate(length(min = 4, max = 40))]
    #[schema(min_length = 4, max_length = 40)]
    pub tracking_number: Option<String>,
    /// 2 to 1,000 characters.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: Option<String>,
    /// A photo of the receipt; up to 9 of the caller's own uploads.
    #[serde(default)]
    #[validate(length(max = 9))]
    #[schema(max_items = 9)]
    pub attachment_ids: Vec<Uuid>,
}

/// That the result is there.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"acknowledged_how": "signed", "words": "本人在送达回证上签字"}))]
pub struct AcknowledgeErrand {
    /// Staff say how the resident acknowledged it: `signed` or `spoken`. Residents leave it out.
    #[schema(inline)]
    pub acknowledged_how: Option<GivenHow>,
    /// 2 to 1,000 characters; required of staff.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: Option<String>,
    /// A photo of the signature; up to 9 of the caller's own uploads.
    #[serde(default)]
    #[validate(length(max = 9))]
    #[schema(max_items = 9)]
    pub attachment_ids: Vec<Uuid>,
}

/// What came of a call.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reached": true, "satisfied": "yes", "words": "已收到优待证，对代办满意"}))]
pub struct CallBackErrand {
    pub reached: bool,
    /// `unknown` when nobody was reached.
    pub satisfied: Satisfied,
    /// 2 to 1,000 characters.
    #[validate(length(min = 2, max = 1000))]
    #[schema(min_length = 2, max_length = 1000)]
    pub words: String,
}

impl Says for DeliverErrand {
    fn said(&self) -> Said {
        let (carrier, tracking_number) = (self.carrier.clone(), self.tracking_number.clone());
        let sent = carrier.is_some() || tracking_number.is_some();
        Said {
            facts: Facts::from([("how".to_owned(), json!(self.how))]),
            words: self.words.clone(),
            files: self.attachment_ids.clone(),
            parcel: sent.then_some(Parcel { carrier, tracking_number }),
            ..Said::default()
        }
    }

    fn faults(&self, _: &Caller) -> Vec<FieldError> {
        let mut faults = content::twice(&self.attachment_ids, "/attachment_ids");
        let given = [("/carrier", self.carrier.is_some()), ("/tracking_number", self.tracking_number.is_some())];
        let text = Text::fixed("仅邮寄时填写", "only for what is sent by post");
        let posted = self.how == DeliveredHow::ByPost;
        let wrong = given.into_iter().filter(|(_, given)| *given && !posted);
        faults.extend(wrong.map(|(pointer, _)| FieldError::body(pointer, "only_by_post", text.clone())));
        faults
    }
}

impl Says for AcknowledgeErrand {
    fn said(&self) -> Said {
        let how = self.acknowledged_how.unwrap_or(GivenHow::InMiniProgram);
        Said {
            facts: Facts::from([("how".to_owned(), json!(how))]),
            words: self.words.clone(),
            files: self.attachment_ids.clone(),
            ..Said::default()
        }
    }

    fn faults(&self, who: &Caller) -> Vec<FieldError> {
        let mut faults = content::twice(&self.attachment_ids, "/attachment_ids");
        faults.extend(GivenHow::told(who.is_resident(), self.acknowledged_how, "acknowledged_how").err());
        if !who.is_resident() && self.words.is_none() {
            let text = Text::fixed("须写明谁、怎样签收", "say who acknowledged it, and how");
            faults.push(FieldError::body("/words", "required", text));
        }
        faults
    }
}

impl Says for CallBackErrand {
    fn said(&self) -> Said {
        let facts = [("reached".to_owned(), json!(self.reached)), ("satisfied".to_owned(), json!(self.satisfied))];
        Said { facts: Facts::from(facts), words: Some(self.words.clone()), ..Said::default() }
    }

    fn faults(&self, _: &Caller) -> Vec<FieldError> {
        if self.reached || self.satisfied == Satisfied::Unknown {
            return Vec::new();
        }
        let text = Text::fixed("未接通时须为 unknown", "must be unknown when nobody was reached");
        vec![FieldError::body("/satisfied", "not_reached", text)]
    }
}
