//! The moves of an order over HTTP; the claim is in [`super::claiming`].

use actix_web::post;

use super::{
    commands::{
        self, AssignOrder, CallBackOrder, FinishOrder, OrderCommand, OrderReason, ProveOrder, SettleOrder, WorryOrder,
    },
    model::Step,
    views::OrderView,
};
use crate::{
    error::Result,
    http::{
        caller::Can,
        command::Command,
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::Answer,
        permissions::{CallBackOrders, DispatchOrders, DoOrders},
        valid::Id,
    },
};

/// Assign an order (派单)
///
/// To a helper of the right kind with the skills who holds fewer than they can; also one that nobody took in its time. `GET /v1/orders/{id}/candidates`
/// suggests somebody.
#[utoipa::path(tag = "orders", security(("token" = ["orders:dispatch"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader, IfMatchHeader),
    request_body = AssignOrder, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["order_state", "helper_unfit", "load_reached", "other_side", "order_taken"]))))]
#[post("/v1/orders/{id}/assign")]
pub async fn assign_order(
    caller: Can<DispatchOrders>,
    id: Id,
    seen: IfMatch,
    command: Command<AssignOrder>,
) -> Result<Answer> {
    commands::command(("assign_order", Step::Assign), caller, id, Some(seen), command).await
}

/// Give an order back (退单)
///
/// By whoever holds it, or by a dispatcher: it goes back to the pool, and the resident is told that somebody else is looked for. One helper gives
/// back `orders.returns_per_day` a day (409 `too_many_returns`); then a dispatcher sees to it.
#[utoipa::path(tag = "orders", security(("token" = ["orders:do"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = OrderReason, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["money_does_not_add_up", "order_state", "order_not_held", "too_many_returns"]))))]
#[post("/v1/orders/{id}/return")]
pub async fn return_order(caller: Can<DoOrders>, id: Id, command: Command<OrderReason>) -> Result<Answer> {
    commands::command(("return_order", Step::Return), caller, id, None, command).await
}

/// Set out
///
/// On the way: the lease ends, and the resident is told. From two hours before the wanted time on, or `start_minutes` of the kind if that is longer.
#[utoipa::path(tag = "orders", security(("token" = ["orders:do"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = OrderCommand, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["order_state", "order_not_held", "order_too_early"]))))]
#[post("/v1/orders/{id}/set_out")]
pub async fn set_out_for_order(caller: Can<DoOrders>, id: Id, command: Command<OrderCommand>) -> Result<Answer> {
    commands::command(("set_out_for_order", Step::SetOut), caller, id, None, command).await
}

/// Start
///
/// With the start code that the resident shows. For somebody without a phone an agent writes it down (`without_phone`), recorded as such; staff who
/// hold it themselves as `own_word`, which the numbers of supervisors count. Volunteers cannot. Five wrong codes lock the codes of the order.
#[utoipa::path(tag = "orders", security(("token" = ["orders:do"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = ProveOrder, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["order_state", "order_not_held", "order_code_wrong", "order_codes_locked", "other_side"]))))]
#[post("/v1/orders/{id}/start")]
pub async fn start_order(caller: Can<DoOrders>, id: Id, command: Command<ProveOrder>) -> Result<Answer> {
    commands::command(("start_order", Step::Start), caller, id, None, command).await
}

/// Finish
///
/// With the evidence that the kind asks for. The resident is asked to confirm; after `orders.call_back_hours` without an answer somebody calls.
#[utoipa::path(tag = "orders", security(("token" = ["orders:do"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = FinishOrder, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["order_state", "order_not_held"]))))]
#[post("/v1/orders/{id}/finish")]
pub async fn finish_order(caller: Can<DoOrders>, id: Id, command: Command<FinishOrder>) -> Result<Answer> {
    commands::command(("finish_order", Step::Finish), caller, id, None, command).await
}

/// Confirm
///
/// By the resident's side; by whoever did it with the finish code; by another agent for somebody without a phone, recorded as such. Not while
/// money is not agreed to or does not add up: then the supervisors are told too.
#[utoipa::path(tag = "orders", security(("token" = ["orders:do"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = ProveOrder, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["order_state", "other_side", "order_code_wrong", "order_codes_locked", "money_does_not_add_up"]))))]
#[post("/v1/orders/{id}/confirm")]
pub async fn confirm_order(caller: Can<DoOrders>, id: Id, command: Command<ProveOrder>) -> Result<Answer> {
    commands::command(("confirm_order", Step::Confirm), caller, id, None, command).await
}

/// Cancel an order
///
/// By the resident's side, whoever ordered it for them, or a dispatcher; until it has begun.
#[utoipa::path(tag = "orders", security(("token" = ["orders:do"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = OrderReason, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["money_does_not_add_up", "order_state", "other_side"]))))]
#[post("/v1/orders/{id}/cancel")]
pub async fn cancel_order(caller: Can<DoOrders>, id: Id, command: Command<OrderReason>) -> Result<Answer> {
    commands::command(("cancel_order", Step::Cancel), caller, id, None, command).await
}

/// Nobody answers, I am worried
///
/// By whoever came: an urgent todo for the staff of the unit and above it.
#[utoipa::path(tag = "orders", security(("token" = ["orders:do"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = WorryOrder, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["too_many_notes", "order_state", "order_not_held"]))))]
#[post("/v1/orders/{id}/worry")]
pub async fn worry_about_order(caller: Can<DoOrders>, id: Id, command: Command<WorryOrder>) -> Result<Answer> {
    commands::command(("worry_about_order", Step::Worry), caller, id, None, command).await
}

/// Dispute
///
/// Something is not right with what was done or paid: the township settles it. What is said is not shown to whoever did it.
#[utoipa::path(tag = "orders", security(("token" = ["orders:do"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = OrderReason, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["order_state", "other_side"]))))]
#[post("/v1/orders/{id}/dispute")]
pub async fn dispute_order(caller: Can<DoOrders>, id: Id, command: Command<OrderReason>) -> Result<Answer> {
    commands::command(("dispute_order", Step::Dispute), caller, id, None, command).await
}

/// Settle a dispute
///
/// It was done, or it was not. Not by whoever did it.
#[utoipa::path(tag = "orders", security(("token" = ["orders:dispatch"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader, IfMatchHeader),
    request_body = SettleOrder, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["order_state", "other_side"]))))]
#[post("/v1/orders/{id}/settle")]
pub async fn settle_order(
    caller: Can<DispatchOrders>,
    id: Id,
    seen: IfMatch,
    command: Command<SettleOrder>,
) -> Result<Answer> {
    commands::command(("settle_order", Step::Settle), caller, id, Some(seen), command).await
}

/// Call back (回访)
///
/// Whoever did not confirm is called, not by whoever did it. Silence is never taken for content: only what was said confirms.
#[utoipa::path(tag = "orders", security(("token" = ["orders:call_back"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = CallBackOrder, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["order_state", "other_side", "money_does_not_add_up"]))))]
#[post("/v1/orders/{id}/call_back")]
pub async fn call_back_order(caller: Can<CallBackOrders>, id: Id, command: Command<CallBackOrder>) -> Result<Answer> {
    commands::command(("call_back_order", Step::CallBack), caller, id, None, command).await
}
