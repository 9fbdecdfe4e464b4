//! The one-time codes of an order, which the resident shows and whoever comes types: one to start, one to finish.
//!
//! They are stored nowhere: a code is a keyed tag (HMAC-SHA-256) over the order, what it is for and the number of its codes, cut to six
//! digits. So the resident can look at it as often as they like, and nobody finds it in the database. Five wrong ones lock the codes of
//! that order until somebody makes new ones; each try is counted before anybody looks whether it is right.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Integer, Timestamptz, Uuid as SqlUuid},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    commands::OrderCommand,
    model::{Order, OrderState},
    rules::OrderError,
    store::{self, Seen, today},
    views::OrderView,
};
use crate::{
    app::App,
    audit::{self, Audit},
    crypto::Keyring,
    db::found,
    error::{Code, Error, Result, Retry},
    http::{
        caller::{Caller, Can},
        command::Command,
        document::IdempotencyHeader,
        idempotency::{Answer, Once},
        permissions::OrderHelp,
        valid::Id,
    },
    statement,
};

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeFor {
    Start,
    Finish,
}

impl CodeFor {
    fn tagged(self, order: &Order) -> Vec<u8> {
        let what = match self {
            Self::Start => "start",
            Self::Finish => "finish",
        };
        format!("{}/{}/{what}/{}", order.county_id, order.id, order.codes).into_bytes()
    }

    /// As the resident reads it.
    fn shown(self, keys: &Keyring, order: &Order) -> String {
        digits(&keys.sign("order_code", &self.tagged(order)))
    }

    /// Whether it is the code, by whichever key was current when it was shown.
    pub fn fits(self, keys: &Keyring, order: &Order, typed: &str) -> bool {
        let typed: String = typed.chars().filter(char::is_ascii_digit).collect();
        keys.signs("order_code", &self.tagged(order)).iter().any(|tag| digits(tag) == typed)
    }
}

fn digits(tag: &[u8; 32]) -> String {
    let number = u64::from_be_bytes(*tag.first_chunk().expect("32 bytes hold 8"));
    format!("{:06}", number % 1_000_000)
}

/// Both codes of an order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"start_code": "048213", "finish_code": "771052"}))]
pub struct OrderCodesView {
    /// For whoever comes to type when they begin.
    pub start_code: String,
    /// To be told only when it is done.
    pub finish_code: String,
}

/// For the resident's side, and for staff who do not hold it.
fn shown_to(row: &Order, caller: &Caller) -> Result<()> {
    if row.held || !row.mine && caller.is_resident() {
        return Err(OrderError::OtherSide.into());
    }
    match row.state {
        // New ones come with whoever takes it.
        OrderState::Claimed | OrderState::OnTheWay | OrderState::AtWork | OrderState::Finished => Ok(()),
        state => Err(OrderError::State(state).into()),
    }
}

/// Get the codes of an order
///
/// For the resident and those who order for them, who show them to whoever comes; for the desk, to print a slip for somebody without a
/// phone. Never for whoever holds it. The look is recorded.
#[utoipa::path(tag = "orders", security(("token" = ["orders:order"])), params(("id" = Uuid, Path, description = "The order")),
    responses((status = 200, description = "The codes", body = OrderCodesView)), extensions(("x-errors" = json!(["other_side", "order_state"]))))]
#[get("/v1/orders/{id}/codes")]
pub async fn get_order_codes(caller: Can<OrderHelp>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (who, seen, now) = (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now());
    let entry = Audit::new("read_codes", "order", id.0);
    let write = app.db.write("get_order_codes", move |conn| {
        let row = store::find(conn, who.county, seen, id.0, today(now))?.ok_or(Code::NotFound)?;
        shown_to(&row, &who)?;
        audit::record(conn, &who, now, &entry)?;
        Ok(row)
    });
    let row = write.await?;
    let (start_code, finish_code) = (CodeFor::Start.shown(&app.keys, &row), CodeFor::Finish.shown(&app.keys, &row));
    let view = OrderCodesView { start_code, finish_code };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

statement! {
    struct Renew { county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, now: chrono::DateTime<chrono::Utc> as Timestamptz }
    "UPDATE orders SET codes = codes + 1, tries = 0, version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND id = {id} AND version = {version} RETURNING version"
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = BigInt)]
    version: i64,
}

fn renew(conn: &mut PgConnection, row: &Order, now: chrono::DateTime<chrono::Utc>) -> Result<i64> {
    let renew = Renew { county: row.county_id, id: row.id, version: row.version, now };
    let written: Option<Version> = found(renew.get_result(conn))?;
    let lost = || Error { retry: Retry::Again, ..Code::VersionStale.into() };
    written.map(|written| written.version).ok_or_else(lost)
}

/// Make new codes
///
/// Those from before are no longer good; codes that were locked by wrong ones are open again. By the resident's side, or at the desk.
#[utoipa::path(tag = "orders", security(("token" = ["orders:order"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = OrderCommand, responses((status = 200, description = "The order", body = OrderView)), extensions(("x-errors" = json!(["other_side", "order_state"]))))]
#[post("/v1/orders/{id}/codes")]
pub async fn renew_order_codes(caller: Can<OrderHelp>, id: Id, command: Command<OrderCommand>) -> Result<Answer> {
    let Command { key, lang, app, digest, .. } = command;
    let once = Once::new(&caller, "renew_order_codes", key, digest);
    let (who, seen, now) = (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now());
    let (inner, entry) = (app.clone(), Audit::new("renew_codes", "order", id.0));
    app.once(once, move |conn| {
        let row = store::find(conn, who.county, seen, id.0, today(now))?.ok_or(Code::NotFound)?;
        shown_to(&row, &who)?;
        let version = renew(conn, &row, now)?;
        audit::record(conn, &who, now, &entry)?;
        let row = Order { version, updated_at: now, codes: row.codes + 1, tries: 0, ..row };
        Answer::ok(version, &OrderView::new(&inner, &who, lang, &row)?)
    })
    .await
}
