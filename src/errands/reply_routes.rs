//! The reply over HTTP: delivered, acknowledged, called back.

use actix_web::post;

use super::{
    commands,
    model::Step,
    replies::{AcknowledgeErrand, CallBackErrand, DeliverErrand},
    views::ErrandView,
};
use crate::{
    error::Result,
    http::{
        caller::Can,
        command::Command,
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::Answer,
        permissions::{FileErrands, HandleErrands},
        valid::Id,
    },
};

/// Deliver (送达)
///
/// The result is on its way to the resident, or there: in person, brought by an agent, or by post. A call-back (回访) waits as a todo from now on.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = DeliverErrand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/errands/{id}/deliver")]
pub async fn deliver_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<DeliverErrand>,
) -> Result<Answer> {
    commands::command(("deliver_errand", Step::Deliver), caller, id, Some(seen), command).await
}

/// Acknowledge a delivery (签收)
///
/// By the resident or somebody who acts for them; or by whoever answers for it, for somebody without a phone, saying how they acknowledged it. Once.
#[utoipa::path(tag = "errands", security(("token" = ["errands:file"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader),
    request_body = AcknowledgeErrand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "errand_acknowledged"]))))]
#[post("/v1/errands/{id}/acknowledge")]
pub async fn acknowledge_errand(
    caller: Can<FileErrands>,
    id: Id,
    command: Command<AcknowledgeErrand>,
) -> Result<Answer> {
    commands::command(("acknowledge_errand", Step::Acknowledge), caller, id, None, command).await
}

/// Call back (回访)
///
/// After the delivery, archived or not, by an agent or officer of the unit: whether the resident was reached, and is satisfied. Settles the todo; so does the third call in vain. Whoever is not satisfied is a todo for the unit.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = CallBackErrand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "called_back"]))))]
#[post("/v1/errands/{id}/call_back")]
pub async fn call_back_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<CallBackErrand>,
) -> Result<Answer> {
    commands::command(("call_back_errand", Step::CallBack), caller, id, Some(seen), command).await
}
