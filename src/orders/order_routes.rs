//! Ordering over HTTP.

use actix_web::post;
use chrono::{DateTime, FixedOffset};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    acting::Frame,
    ordering::{self, Wish},
    views::OrderView,
};
use crate::{
    error::Result,
    geo::Point,
    http::{
        caller::{Caller, Can},
        command::Command,
        document::IdempotencyHeader,
        idempotency::{Answer, Once},
        permissions::OrderHelp,
    },
    people::Phone,
};

/// What is wished.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind_id": "0199a0c0-0000-7000-8000-0000000000c1", "wanted_from": "2026-11-23T14:00:00+08:00", "wanted_until": "2026-11-23T16:00:00+08:00",
    "address": "红星村 12 号", "phone": "13950900001", "words": "大米一袋、食用油一桶"}))]
pub struct PlaceOrder {
    /// An active kind.
    pub kind_id: Uuid,
    /// For whom; required of staff. Residents order for themselves by default, or for somebody who lets them (`/proxies`).
    pub resident_id: Option<Uuid>,
    /// From when on somebody is wanted; with `wanted_until`, 5 minutes to 12 hours, at most 60 days ahead. Neither: as soon as somebody can.
    pub wanted_from: Option<DateTime<FixedOffset>>,
    pub wanted_until: Option<DateTime<FixedOffset>>,
    /// Where to come to, 2 to 200 characters; where somebody came to the last time by default.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    pub address: Option<String>,
    /// Whom to call; the resident's phone by default.
    #[schema(inline)]
    pub phone: Option<Phone>,
    /// Up to 1,000 characters.
    #[validate(length(min = 1, max = 1000))]
    #[schema(min_length = 1, max_length = 1000)]
    pub words: Option<String>,
    /// As the kind's JSON Schema wants it.
    #[schema(value_type = Option<Object>)]
    pub form: Option<Value>,
    /// A skill that is wished, such as a dialect.
    #[validate(length(max = 32))]
    #[schema(max_length = 32)]
    pub language: Option<String>,
    /// Where it is on the map; helpers are found by it.
    #[validate(nested)]
    pub place: Option<Point>,
}

impl From<PlaceOrder> for Wish {
    fn from(body: PlaceOrder) -> Self {
        let PlaceOrder { kind_id: kind, resident_id: resident, address, words, form, language, place: point, .. } =
            body;
        let phone = body.phone.map(|phone| phone.as_ref().to_owned());
        Self { kind, resident, address, phone, words, form, language, point }
    }
}

/// Order help
///
/// For oneself, for somebody who lets one, or by staff at the desk or at home. Every fault is told at once. The number is for the phone.
#[utoipa::path(tag = "orders", security(("token" = ["orders:order"])), params(IdempotencyHeader), request_body = PlaceOrder,
    responses((status = 201, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["order_limit", "unit_unknown"]))))]
#[post("/v1/orders")]
pub async fn place_order(caller: Can<OrderHelp>, command: Command<PlaceOrder>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "place_order", key, digest);
    let frame = Frame::of(&app, &caller.county_key).await?;
    let (id, who, scope, inner) = (Uuid::now_v7(), Caller::clone(&caller), caller.scope, app.clone());
    let wanted = (body.wanted_from.map(|at| at.to_utc()), body.wanted_until.map(|at| at.to_utc()));
    let wish = Wish::from(body);
    app.once(once, move |conn| {
        let row = ordering::order(conn, &inner, (&who, scope), (id, &wish, wanted), &frame)?;
        Answer::created(format!("/v1/orders/{id}"), row.version, &OrderView::new(&inner, &who, lang, &row)?)
    })
    .await
}
