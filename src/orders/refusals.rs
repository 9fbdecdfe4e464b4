//! Why a move of an order cannot be made, and how that is told.

use chrono::{DateTime, Utc};

use super::model::OrderState;
use crate::{
    clock::CST,
    error::{Code, Error, FieldError, Text},
};

/// Why a move cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("in the state {0:?}")]
    State(OrderState),
    #[error("somebody else holds it")]
    Taken,
    #[error("a dispatcher picks")]
    Assigned,
    #[error("the caller is no helper")]
    NotAHelper,
    #[error("the caller does not hold it")]
    NotHeld,
    #[error("somebody else has to do this")]
    OtherSide,
    #[error("too early")]
    TooEarly(DateTime<Utc>),
    #[error("the code is wrong")]
    CodeWrong,
    #[error("too many wrong codes")]
    CodesLocked,
    #[error("money does not add up")]
    Money { pending: i64, missing: i64 },
    #[error("a field is wrong")]
    Field(&'static str, &'static str, &'static str, &'static str),
}

impl From<OrderError> for Error {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::State(state) => {
                let words = state.words();
                let (zh, en) = (format!("当前状态：{}", words.zh), format!("It is {}", words.en));
                Self::new(Code::OrderState).detail(zh, en)
            }
            OrderError::Taken => Code::OrderTaken.into(),
            OrderError::Assigned => Code::OrderAssigned.into(),
            OrderError::NotAHelper => Code::NotAHelper.into(),
            OrderError::NotHeld => Code::OrderNotHeld.into(),
            OrderError::OtherSide => Code::OtherSide.into(),
            OrderError::TooEarly(from) => {
                let from = from.with_timezone(&CST).format("%m-%d %H:%M");
                let (zh, en) = (format!("{from} 起可以出发"), format!("From {from} on"));
                Self::new(Code::OrderTooEarly).detail(zh, en)
            }
            OrderError::CodeWrong => Code::OrderCodeWrong.into(),
            OrderError::CodesLocked => Code::OrderCodesLocked.into(),
            OrderError::Money { pending, missing } => {
                let (zh, en) = (
                    format!("{pending} 笔未获对方确认，差额 {missing} 分"),
                    format!("{pending} lines are not agreed to; {missing} fen are not accounted for"),
                );
                Self::new(Code::MoneyDoesNotAddUp).detail(zh, en)
            }
            OrderError::Field(pointer, code, zh, en) => {
                Self::invalid(vec![FieldError::body(pointer, code, Text::fixed(zh, en))])
            }
        }
    }
}
