//! Why a step is not taken, as it is told.

use chrono::NaiveDate;

use super::{
    model::ErrandState,
    provided::{incomplete, unknown_material},
};
use crate::{
    error::{Code, Error, FieldError, Text},
    matters::version::{DecidedBy, Material, Question},
};

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    #[error("not from this state")]
    State { state: ErrandState },
    #[error("somebody else answers for it")]
    NotHolder { holder: Option<String> },
    #[error("the mandate has ended")]
    MandateEnded,
    #[error("needs an approval")]
    ApprovalNeeded,
    #[error("not offered to the caller")]
    NotOffered,
    #[error("decided elsewhere")]
    DecidedElsewhere { by: DecidedBy },
    #[error("originals are out")]
    OriginalsOut { count: i64 },
    #[error("acknowledged already")]
    Acknowledged,
    #[error("nobody has acknowledged it")]
    NotAcknowledged { until: NaiveDate },
    #[error("what is missing may still come")]
    SupplementWaits { until: NaiveDate },
    #[error("called back already")]
    CalledBack,
    #[error("an offer waits")]
    OfferWaits,
    #[error("too late to extend")]
    Expired { due_on: Option<NaiveDate> },
    #[error("longer than the law allows")]
    TooLong { most: i16 },
    #[error("not complete")]
    Incomplete { missing: Vec<Material>, open: Vec<Question>, form: bool },
    #[error("no such materials")]
    UnknownMaterials { pointer: &'static str, unknown: Vec<(usize, String)> },
    #[error("cannot take it over")]
    CannotTakeOver,
    #[error("nobody is there to answer for it")]
    NobodyAnswers,
}

fn office(by: DecidedBy) -> Text {
    match by {
        DecidedBy::Village => Text::fixed("村（社区）", "village"),
        DecidedBy::Township => Text::fixed("乡镇", "township"),
        DecidedBy::Department => Text::fixed("县直部门", "department of the county"),
    }
}

impl From<StepError> for Error {
    fn from(error: StepError) -> Self {
        match error {
            StepError::State { state } => {
                let words = state.words();
                Error::new(Code::ErrandState).detail(format!("当前状态：{}", words.zh), format!("It is {}", words.en))
            }
            StepError::NotHolder { holder } => {
                let holder = holder.unwrap_or_default();
                Error::new(Code::NotHolder).detail(format!("现由{holder}负责"), format!("{holder} answers for it"))
            }
            StepError::MandateEnded => Code::MandateEnded.into(),
            StepError::ApprovalNeeded => Code::ApprovalNeeded.into(),
            StepError::NotOffered => Code::NotOffered.into(),
            StepError::DecidedElsewhere { by } => Error::new(Code::DecidedElsewhere)
                .detail(format!("由{}决定", office(by).zh), format!("Decided by the {}", office(by).en)),
            StepError::OriginalsOut { count } => Error::new(Code::OriginalsOut)
                .detail(format!("尚有 {count} 件原件未归还"), format!("{count} originals have not been returned")),
            StepError::Acknowledged => Code::ErrandAcknowledged.into(),
            StepError::NotAcknowledged { until } => Error::new(Code::NotAcknowledged).detail(
                format!("居民尚未签收；{until} 起可直接归档"),
                format!("The resident has not acknowledged it; it may be archived all the same from {until} on"),
            ),
            StepError::SupplementWaits { until } => Error::new(Code::SupplementWaits).detail(
                format!("居民可在 {until} 前（含当日）补正；次日起仍未补正的，可按撤回处理"),
                format!(
                    "What is missing may come until the end of {until}; from the next day on the errand may be ended"
                ),
            ),
            StepError::CalledBack => Code::CalledBack.into(),
            StepError::OfferWaits => Code::OfferWaits.into(),
            StepError::Incomplete { missing, open, form } => incomplete(&missing, &open, form),
            StepError::UnknownMaterials { pointer, unknown } => {
                let fault = |(index, key): &(usize, String)| unknown_material(format!("{pointer}/{index}"), key);
                Error::invalid(unknown.iter().map(fault).collect())
            }
            StepError::CannotTakeOver => {
                let (zh, en) = (
                    "须为该村或上级单位在岗的工作人员，且不是现负责人",
                    "must have a post in the unit or above it, and not answer for it already",
                );
                Error::field("/staff_id", "cannot_take_over", zh, en)
            }
            StepError::NobodyAnswers => Code::UnitUnknown.into(),
            StepError::TooLong { most } => {
                let zh = format!("延长后的时限不得超过 {most} 个工作日（行政许可法第四十二条）");
                let en = format!(
                    "with it the limit must not exceed {most} working days (Administrative Licensing Law, art. 42)"
                );
                Error::invalid(vec![FieldError::body("/days", "beyond_statutory_limit", Text::new(zh, en))])
            }
            StepError::Expired { due_on } => {
                let due = due_on.map(|day| day.to_string()).unwrap_or_default();
                Error::new(Code::ExtensionTooLate)
                    .detail(format!("时限已于 {due} 届满"), format!("The limit ended on {due}"))
            }
        }
    }
}
