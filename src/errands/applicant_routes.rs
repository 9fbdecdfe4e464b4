//! The steps of whoever an errand is for, or who files it for them, over HTTP.

use actix_web::post;

use super::{
    commands::{self, ErrandCommand, ErrandReason, SupplementErrand},
    model::Step,
    views::ErrandView,
};
use crate::{
    error::Result,
    http::{
        caller::Can, command::Command, document::IdempotencyHeader, idempotency::Answer, permissions::FileErrands,
        valid::Id,
    },
};

/// Submit
///
/// Tells everything that is missing, once. Somebody answers for it from now on (首问责任), and has 5 working days to answer (`errands.deemed_accepted_days`); silence counts as acceptance (Administrative Licensing Law, art. 32).
#[utoipa::path(tag = "errands", security(("token" = ["errands:file"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader),
    request_body = ErrandCommand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "mandate_ended", "unit_unknown"]))))]
#[post("/v1/errands/{id}/submit")]
pub async fn submit_errand(caller: Can<FileErrands>, id: Id, command: Command<ErrandCommand>) -> Result<Answer> {
    commands::command(("submit_errand", Step::Submit), caller, id, None, command).await
}

/// Add what was missing
///
/// Brought in person, or attached. The clock goes on; the days on which it stood still do not count.
#[utoipa::path(tag = "errands", security(("token" = ["errands:file"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader),
    request_body = SupplementErrand, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/errands/{id}/supplement")]
pub async fn supplement_errand(caller: Can<FileErrands>, id: Id, command: Command<SupplementErrand>) -> Result<Answer> {
    commands::command(("supplement_errand", Step::Supplement), caller, id, None, command).await
}

/// Withdraw
///
/// Possible until it is decided.
#[utoipa::path(tag = "errands", security(("token" = ["errands:file"])), params(("id" = Uuid, Path, description = "The errand"), IdempotencyHeader),
    request_body = ErrandReason, responses((status = 200, description = "The errand", body = ErrandView)), extensions(("x-errors" = json!(["errand_state", "not_holder", "mandate_ended"]))))]
#[post("/v1/errands/{id}/withdraw")]
pub async fn withdraw_errand(caller: Can<FileErrands>, id: Id, command: Command<ErrandReason>) -> Result<Answer> {
    commands::command(("withdraw_errand", Step::Withdraw), caller, id, None, command).await
}
