//! The claim (抢单) over HTTP: the first who fits has it, exactly one.
//!
//! One guarded statement decides ([`super::store::Give`]). Whoever comes when it is taken is refused by one look, without a
//! transaction, so that a crowd before one order neither waits for locks nor for the connections of others.

use actix_web::post;
use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{Bool, Integer, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    acting::{self, Act, Frame},
    commands::OrderCommand,
    model::{OrderState, Step},
    rules::Said,
    views::OrderView,
};
use crate::{
    db::found,
    error::{Code, Result},
    http::{
        caller::{Caller, Can},
        command::Command,
        document::IdempotencyHeader,
        idempotency::{Answer, Once},
        permissions::TakeOrders,
        valid::Id,
    },
    statement,
};

statement! {
    /// Whether an order is open, whether a helper asks, and whether this very claim has been answered before.
    pub struct Glance { county: i32 as Integer, id: Uuid as SqlUuid, caller: Uuid as SqlUuid, operation: &'static str as Text, key: String as Text }
    "SELECT o.state, EXISTS (SELECT FROM idempotency_keys i WHERE i.county_id = {county} AND i.caller_id = {caller} AND i.operation = {operation} AND i.key = {key}) AS answered, \
       EXISTS (SELECT FROM helpers h WHERE h.county_id = {county} AND (h.resident_id = {caller} OR h.staff_id = {caller}) AND h.state = 'active') AS helps \
     FROM orders o WHERE o.county_id = {county} AND o.id = {id}"
}

#[derive(QueryableByName)]
struct Glanced {
    #[diesel(sql_type = Text)]
    state: OrderState,
    #[diesel(sql_type = Bool)]
    answered: bool,
    #[diesel(sql_type = Bool)]
    helps: bool,
}

/// Claim an order (抢单)
///
/// By a helper who fits: of the right kind, with the skills, serving the place, available when it is wanted, and holding fewer than they can. The
/// first has it; the rest are told `order_taken`. Whoever does not fit is told every reason. A claim is a lease: see `lease_until`. Where
/// and for whom it is, `GET /v1/orders/{id}` tells.
#[utoipa::path(tag = "orders", security(("token" = ["orders:take"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = OrderCommand, responses((status = 200, description = "The order", body = OrderView)),
    extensions(("x-errors" = json!(["order_taken", "helper_unfit", "load_reached", "not_a_helper", "order_assigned"]))))]
#[post("/v1/orders/{id}/claim")]
pub async fn claim_order(caller: Can<TakeOrders>, id: Id, command: Command<OrderCommand>) -> Result<Answer> {
    let Command { key, lang, app, digest, .. } = command;
    let once = Once::new(&caller, "claim_order", key, digest);
    let Once { county, caller: me, operation, .. } = once;
    let glance = Glance { county, id: id.0, caller: me, operation, key: once.key.clone() };
    let look = app.db.read("glance_at_order", move |conn| found(glance.clone().get_result::<Glanced>(conn)));
    let seen = look.await?.ok_or(Code::NotFound)?;
    app.count(&once).await?;
    if seen.state != OrderState::Open && seen.helps && !seen.answered {
        return Err(Code::OrderTaken.into());
    }
    let frame = Frame::of(&app, &caller.county_key).await?;
    let (who, scope) = (Caller::clone(&caller), caller.scope);
    let (said, step, seen, audit) = (Said::default(), Step::Claim, None, None);
    let act = Act { who, scope, id: id.0, step, said, seen, lang, frame, audit };
    acting::act(&app.into_inner(), once, act).await
}
