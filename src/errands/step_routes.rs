//! The steps of whoever handles an errand, over HTTP.

use actix_web::post;

use super::{
    commands::{self, DecideErrand, ErrandCommand, ErrandReason, ExtendErrand, OfferTransfer, RequestSupplement},
    model::Step,
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
        permissions::HandleErrands,
        valid::Id,
    },
};

/// Take over
///
/// A colleague of the unit answers for it from now on: whoever was asked first and has not begun. Of two at once one wins, the other has seen it before that (412).
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state"]))))]
#[post("/v1/errands/{id}/take")]
pub async fn take_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    commands::command(("take_errand", Step::Take), caller, id, Some(seen), command).await
}

/// Accept (受理)
///
/// The limit begins on the next working day.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/errands/{id}/accept")]
pub async fn accept_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    commands::command(("accept_errand", Step::Accept), caller, id, Some(seen), command).await
}

/// Do not accept (不予受理)
///
/// An end of its own, with its reason in writing; a refusal after examination is a decision instead.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandReason, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/errands/{id}/not_accept")]
pub async fn not_accept_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandReason>,
) -> Result<Answer> {
    commands::command(("not_accept_errand", Step::Refuse), caller, id, Some(seen), command).await
}

/// Ask for what is missing
///
/// Everything at once, in writing (一次性告知); the clock stands still until it is there. A second time only the township may ask.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = RequestSupplement, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended", "approval_needed"]))))]
#[post("/v1/errands/{id}/request_supplement")]
pub async fn request_supplement(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<RequestSupplement>,
) -> Result<Answer> {
    commands::command(("request_supplement", Step::RequestSupplement), caller, id, Some(seen), command).await
}

/// End what was never completed
///
/// What was asked for did not come by `supplement_until` (`errands.supplement_days`): it counts as withdrawn (视为撤回), with a reason that the
/// resident is told. Before, call them: a todo asks for that. They may file it again at any time.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandReason, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "supplement_waits"]))))]
#[post("/v1/errands/{id}/lapse")]
pub async fn lapse_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandReason>,
) -> Result<Answer> {
    commands::command(("lapse_errand", Step::Lapse), caller, id, Some(seen), command).await
}

/// Begin to handle
///
/// From accepted on it is being handled.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/errands/{id}/begin")]
pub async fn begin_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    commands::command(("begin_errand", Step::Begin), caller, id, Some(seen), command).await
}

/// Forward to the department
///
/// For what a department of the county decides; the limit goes on.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended", "decided_elsewhere"]))))]
#[post("/v1/errands/{id}/forward")]
pub async fn forward_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    commands::command(("forward_errand", Step::Forward), caller, id, Some(seen), command).await
}

/// Say that it takes longer
///
/// The department answers later; the limit goes on.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandReason, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/errands/{id}/later")]
pub async fn later_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandReason>,
) -> Result<Answer> {
    commands::command(("later_errand", Step::Later), caller, id, Some(seen), command).await
}

/// Give it back undecided
///
/// Back to whoever answers for it, who goes on.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandReason, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/errands/{id}/return")]
pub async fn return_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandReason>,
) -> Result<Answer> {
    commands::command(("return_errand", Step::Return), caller, id, Some(seen), command).await
}

/// Suspend for a special procedure
///
/// A hearing, an inspection, an expert review (特别程序): the clock stands still.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandReason, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/errands/{id}/suspend")]
pub async fn suspend_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandReason>,
) -> Result<Answer> {
    commands::command(("suspend_errand", Step::Suspend), caller, id, Some(seen), command).await
}

/// Resume
///
/// The special procedure is over; the clock goes on.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/errands/{id}/resume")]
pub async fn resume_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    commands::command(("resume_errand", Step::Resume), caller, id, Some(seen), command).await
}

/// Extend the limit
///
/// By the township, before the limit ends; the resident is told with the reason.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ExtendErrand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "approval_needed", "extension_too_late"]))))]
#[post("/v1/errands/{id}/extend")]
pub async fn extend_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ExtendErrand>,
) -> Result<Answer> {
    commands::command(("extend_errand", Step::Extend), caller, id, Some(seen), command).await
}

/// Decide
///
/// Granted, or refused after examination (不予通过), in writing, with its papers. By whoever the matter says: village, township, or the department that has it.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = DecideErrand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended", "decided_elsewhere"]))))]
#[post("/v1/errands/{id}/decide")]
pub async fn decide_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<DecideErrand>,
) -> Result<Answer> {
    commands::command(("decide_errand", Step::Decide), caller, id, Some(seen), command).await
}

/// Archive
///
/// The end. Not while an original is out, and what was delivered not before it is acknowledged (签收), or `errands.acknowledged_after_days` later.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "originals_out", "not_acknowledged"]))))]
#[post("/v1/errands/{id}/archive")]
pub async fn archive_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    commands::command(("archive_errand", Step::Archive), caller, id, Some(seen), command).await
}

/// Offer to somebody else
///
/// Whoever was asked first answers for it until the other one accepts (首问责任).
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = OfferTransfer, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "offer_waits"]))))]
#[post("/v1/errands/{id}/offer_transfer")]
pub async fn offer_transfer(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<OfferTransfer>,
) -> Result<Answer> {
    commands::command(("offer_transfer", Step::OfferTransfer), caller, id, Some(seen), command).await
}

/// Accept a transfer
///
/// From now on the caller answers for it.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_offered"]))))]
#[post("/v1/errands/{id}/accept_transfer")]
pub async fn accept_transfer(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandCommand>,
) -> Result<Answer> {
    commands::command(("accept_transfer", Step::AcceptTransfer), caller, id, Some(seen), command).await
}

/// Decline a transfer
///
/// It stays where it was.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandReason, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_offered"]))))]
#[post("/v1/errands/{id}/decline_transfer")]
pub async fn decline_transfer(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandReason>,
) -> Result<Answer> {
    commands::command(("decline_transfer", Step::DeclineTransfer), caller, id, Some(seen), command).await
}

/// Correct a slip
///
/// A further entry says what was wrong; nothing that was written is changed.
#[utoipa::path(tag = "errands", security(("token" = ["errands:handle"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader, IfMatchHeader),
    request_body = ErrandReason, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder"]))))]
#[post("/v1/errands/{id}/correct")]
pub async fn correct_errand(
    caller: Can<HandleErrands>,
    id: Id,
    seen: IfMatch,
    command: Command<ErrandReason>,
) -> Result<Answer> {
    commands::command(("correct_errand", Step::Correct), caller, id, Some(seen), command).await
}
