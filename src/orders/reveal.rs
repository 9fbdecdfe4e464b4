//! Where, for whom and whom to call, for staff who are asked to see to an order that they do not hold.

use actix_web::{HttpResponse, http::header, post, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::{
    store::{self, Seen, today},
    views::OrderView,
};
use crate::{
    app::App,
    audit::{self, Audit},
    error::{Code, Lang, Result},
    http::{
        caller::{Caller, Can},
        limits,
        permissions::RevealResidents,
        valid::{Id, Valid},
    },
};

/// Why somebody has to know.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "服务人员上门无人应答"}))]
pub struct RevealOrder {
    /// 2 to 200 characters; kept in the audit log.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    reason: String,
}

/// What is needed to go there, or to call.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"name": "陈阿婆", "phone": "13950900001", "address": "红星村12号", "words": "请带眼镜"}))]
pub struct RevealedOrderView {
    pub name: Option<String>,
    /// The number that was left with the order.
    pub phone: Option<String>,
    pub address: Option<String>,
    pub words: Option<String>,
}

/// See whom an order is for, and where
///
/// For staff who are asked to see to it: somebody is worried, or nobody has confirmed. Writes who looked and why to the audit log before it
/// answers. At most 30 a minute; never replayed. Whoever holds the order reads it in the order itself.
#[utoipa::path(tag = "orders", security(("token" = ["residents:reveal"])), params(("id" = Uuid, Path, description = "The order")),
    request_body = RevealOrder, responses((status = 200, description = "The values", body = RevealedOrderView)),
    extensions(("x-errors" = json!(["too_many_requests"]))))]
#[post("/v1/orders/{id}/reveal")]
pub async fn reveal_order(
    caller: Can<RevealResidents>,
    id: Id,
    app: Data<App>,
    body: Valid<RevealOrder>,
) -> Result<HttpResponse> {
    limits::take(&app, "reveals", &format!("{}:{}", caller.county, caller.subject), 30).await?;
    let looked = Audit::new("reveal_order", "resident", id.0).fields(vec!["name", "phone", "address"]);
    let looked = looked.because(Some(body.value.reason));
    let (who, seen, now) = (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now());
    let write = app.db.write("reveal_order", move |conn| {
        let row = store::find(conn, who.county, seen, id.0, today(now))?.ok_or(Code::NotFound)?;
        audit::record(conn, &who, now, &looked.of(row.resident_id))?;
        Ok(row)
    });
    let row = write.await?;
    let OrderView { resident, phone, address, words, .. } =
        OrderView::shown(&app, &caller, Lang::default(), &row, true)?;
    let view = RevealedOrderView { name: resident.name, phone, address, words };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}
