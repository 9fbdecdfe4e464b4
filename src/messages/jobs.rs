//! Delivering a message by WeChat.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{model::Delivery, store};
use crate::{
    app::App,
    error::{Error, Result},
    jobs::{Job, Ticket},
    units,
    wechat::Refusal,
};

/// What is about the person and final: no grant (43101), no such openid (40003). Everything else is about us or will pass (one
/// message at a time per person is 43108): again later, and in the end a dead letter for somebody to look at.
const FINAL: &[i64] = &[43101, 40003];

/// Sends the subscription message of an inbox entry. WeChat knows no idempotency: a crash between its answer and our
/// record sends it twice, which is better than never.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeliverMessage {
    pub message: Uuid,
}

impl Job for DeliverMessage {
    const KIND: &'static str = "deliver_message";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let (county, id, now) = (ticket.county, self.message, app.clock.now());
        let read = app.db.read("to_deliver", move |conn| {
            let key = units::store::key(conn, county)?;
            Ok((store::to_deliver(conn, county, id)?, units::find_county(conn, &key, now)?))
        });
        let (found, tenant) = read.await?;
        let (delivery, errcode) = match (found, tenant) {
            (Some((message, Some(openid), Some(template))), Some(tenant)) if message.wechat == Delivery::Pending => {
                let place = format!("residents.wechat_openid/{}", message.resident_id);
                let openid = app.keys.open_text(county, &place, &openid)?;
                let body = json!({
                    "touser": openid, "template_id": template, "lang": "zh_CN",
                    "page": format!("pages/appointment?id={}", message.about_id), "data": message.wechat_data(),
                });
                match app.wechat.subscribe_send(app, &tenant, body).await {
                    Ok(()) => (Delivery::Sent, None),
                    Err(Refusal::NotConfigured) => (Delivery::NotReachable, None),
                    Err(Refusal::Refused(code, _)) if FINAL.contains(&code) => (Delivery::Refused, Some(code as i32)),
                    Err(later) => return Err(Error::unavailable(later)),
                }
            }
            _ => (Delivery::NotReachable, None),
        };
        app.db
            .write("delivered", move |conn| {
                store::delivered(conn, county, id, delivery, errcode)?;
                ticket.done(conn)
            })
            .await
    }
}
