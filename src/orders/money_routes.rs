//! Money of orders over HTTP: the lines of one, a helper's statement of a month, and their hours.

use actix_web::{HttpRequest, HttpResponse, get, post, web::Data};
use chrono::{DateTime, Datelike, FixedOffset, Months, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    commands::OrderCommand,
    model::OrderState,
    money::{self, Line, MoneyKind, MoneySide, Month, NewLine, Stated},
    store::{self, Seen, today},
};
use crate::{
    app::App,
    clock::{CST, local_date, local_midnight},
    error::{Code, Error, FieldError, Result, Text},
    http::{
        caller::{Caller, Can, Reach},
        command::Command,
        document::IdempotencyHeader,
        idempotency::{Answer, Once},
        permissions::{DoOrders, ReadOrders, Role},
        valid::{Id, Query},
    },
};

/// A line of money.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"line": 1, "kind": "advance", "amount_fen": 10000, "side": "helper", "attachment_id": null, "agreed": true, "by_staff": false,
    "created_at": "2026-11-23T14:10:00+08:00", "answered_at": "2026-11-23T14:11:00+08:00"}))]
pub struct MoneyLineView {
    /// Its number in the order, from 1.
    pub line: i16,
    pub kind: MoneyKind,
    pub amount_fen: i64,
    /// Who wrote it; the other side answers.
    pub side: MoneySide,
    /// The receipt.
    pub attachment_id: Option<Uuid>,
    /// What the other side said; none yet. A line that was not agreed to does not count.
    pub agreed: Option<bool>,
    /// A member of staff wrote the answer down for somebody without a phone.
    pub by_staff: bool,
    pub created_at: DateTime<FixedOffset>,
    pub answered_at: Option<DateTime<FixedOffset>>,
}

/// The money of an order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"lines": [], "advance_fen": 10000, "spent_fen": 8650, "change_fen": 1350, "difference_fen": 0, "pending": 0}))]
pub struct OrderMoneyView {
    /// In the order in which they were written.
    pub lines: Vec<MoneyLineView>,
    /// Sums of what both sides agree to.
    pub advance_fen: i64,
    pub spent_fen: i64,
    pub change_fen: i64,
    /// `advance_fen - spent_fen - change_fen`; while it is not 0 the order is not confirmed.
    pub difference_fen: i64,
    /// Lines that the other side has not answered; neither is it while there are any.
    pub pending: i64,
}

impl From<Vec<Line>> for OrderMoneyView {
    fn from(rows: Vec<Line>) -> Self {
        let sum = |kind| {
            let agreed = rows.iter().filter(|row| row.kind == kind && row.agreed == Some(true));
            agreed.map(|row| row.amount_fen).sum::<i64>()
        };
        let (advance, spent, change) = (sum(MoneyKind::Advance), sum(MoneyKind::Spent), sum(MoneyKind::Change));
        let pending = rows.iter().filter(|row| row.agreed.is_none()).count() as i64;
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        let line = |row: Line| MoneyLineView {
            line: row.line,
            kind: row.kind,
            amount_fen: row.amount_fen,
            side: row.side,
            attachment_id: row.attachment_id,
            agreed: row.agreed,
            by_staff: row.by_staff.unwrap_or(false),
            created_at: local(row.created_at),
            answered_at: row.answered_at.map(local),
        };
        Self {
            lines: rows.into_iter().map(line).collect(),
            advance_fen: advance,
            spent_fen: spent,
            change_fen: change,
            difference_fen: advance - spent - change,
            pending,
        }
    }
}

/// What was handed over, spent or given back.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "spent", "amount_fen": 8650, "attachment_id": "0199a0c0-0000-7000-8000-0000000000f1"}))]
pub struct WriteMoneyLine {
    pub kind: MoneyKind,
    /// Fen, 1 to 10,000,000.
    #[validate(range(min = 1, max = 10_000_000))]
    #[schema(minimum = 1, maximum = 10_000_000)]
    pub amount_fen: i64,
    /// The receipt, one of the caller's own uploads; required for what was spent.
    pub attachment_id: Option<Uuid>,
}

/// The money of an order
///
/// For both sides and staff of the unit and above it. The service itself holds no money and takes no fee.
#[utoipa::path(tag = "orders", security(("token" = ["orders:read"])), params(("id" = Uuid, Path, description = "The order")),
    responses((status = 200, description = "The money", body = OrderMoneyView)))]
#[get("/v1/orders/{id}/money")]
pub async fn get_order_money(caller: Can<ReadOrders>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (county, seen, today) = (caller.county, Seen::by(&caller, caller.scope), today(app.clock.now()));
    let read = app.db.read("get_order_money", move |conn| {
        store::find(conn, county, seen, id.0, today)?.ok_or(Code::NotFound)?;
        Ok(money::lines(conn, county, id.0)?)
    });
    Ok(HttpResponse::Ok().json(OrderMoneyView::from(read.await?)))
}

/// Write a line of money
///
/// By the resident's side or whoever holds the order; nobody changes it afterwards. The other side agrees to it or not; what is right instead is
/// a further line.
#[utoipa::path(tag = "orders", security(("token" = ["orders:do"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = WriteMoneyLine, responses((status = 200, description = "The money", body = OrderMoneyView)), extensions(("x-errors" = json!(["order_state", "other_side", "money_not_asked"]))))]
#[post("/v1/orders/{id}/money")]
pub async fn write_order_money(caller: Can<DoOrders>, id: Id, command: Command<WriteMoneyLine>) -> Result<Answer> {
    let Command { key, app, body, digest, .. } = command;
    let once = Once::new(&caller, "write_order_money", key, digest);
    let (who, scope, now) = (Caller::clone(&caller), caller.scope, app.clock.now());
    let WriteMoneyLine { kind, amount_fen, attachment_id: attachment } = body;
    let new = NewLine { kind, amount_fen, attachment };
    app.once(once, move |conn| {
        let order = money::write(conn, (&who, scope), id.0, &new, now)?;
        Answer::ok(order.version + 1, &OrderMoneyView::from(money::lines(conn, who.county, id.0)?))
    })
    .await
}

/// The number of a line in a path; what is none names nothing.
fn line(request: &HttpRequest) -> Result<i16> {
    let line = request.match_info().get("line").and_then(|line| line.parse().ok());
    line.ok_or(Code::NotFound.into())
}

async fn answer(
    (operation, agreed): (&'static str, bool),
    caller: Can<DoOrders>,
    (id, request): (Id, HttpRequest),
    command: Command<OrderCommand>,
) -> Result<Answer> {
    let Command { key, app, digest, .. } = command;
    let once = Once::new(&caller, operation, key, digest);
    let (who, scope, now, line) = (Caller::clone(&caller), caller.scope, app.clock.now(), line(&request)?);
    app.once(once, move |conn| {
        let order = money::answer(conn, (&who, scope), (id.0, line), agreed, now)?;
        Answer::ok(order.version + 1, &OrderMoneyView::from(money::lines(conn, who.county, id.0)?))
    })
    .await
}

/// Agree to a line of money
///
/// By the other side than wrote it; staff who do not hold the order write it down for a resident without a phone, recorded as such.
#[utoipa::path(tag = "orders", security(("token" = ["orders:do"])), params(("id" = Uuid, Path, description = "The order"), ("line" = i16, Path, description = "The number of the line"), IdempotencyHeader),
    request_body = OrderCommand, responses((status = 200, description = "The money", body = OrderMoneyView)), extensions(("x-errors" = json!(["order_state", "other_side", "money_not_asked", "money_line_answered"]))))]
#[post("/v1/orders/{id}/money/{line}/agree")]
pub async fn agree_to_order_money(
    caller: Can<DoOrders>,
    id: Id,
    request: HttpRequest,
    command: Command<OrderCommand>,
) -> Result<Answer> {
    answer(("agree_to_order_money", true), caller, (id, request), command).await
}

/// Do not agree to a line of money
///
/// It does not count then; what is right instead is a further line.
#[utoipa::path(tag = "orders", security(("token" = ["orders:do"])), params(("id" = Uuid, Path, description = "The order"), ("line" = i16, Path, description = "The number of the line"), IdempotencyHeader),
    request_body = OrderCommand, responses((status = 200, description = "The money", body = OrderMoneyView)), extensions(("x-errors" = json!(["order_state", "other_side", "money_not_asked", "money_line_answered"]))))]
#[post("/v1/orders/{id}/money/{line}/refuse")]
pub async fn refuse_order_money(
    caller: Can<DoOrders>,
    id: Id,
    request: HttpRequest,
    command: Command<OrderCommand>,
) -> Result<Answer> {
    answer(("refuse_order_money", false), caller, (id, request), command).await
}

/// A line of a statement.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"order_id": "0199a0c0-0000-7000-8000-0000000000d1", "number": "D261123-482913", "state": "confirmed", "line": 2, "kind": "spent",
    "amount_fen": 8650, "agreed": true, "created_at": "2026-11-23T14:40:00+08:00"}))]
pub struct StatementLineView {
    pub order_id: Uuid,
    pub number: String,
    /// Of the order.
    pub state: OrderState,
    pub line: i16,
    pub kind: MoneyKind,
    pub amount_fen: i64,
    pub agreed: Option<bool>,
    pub created_at: DateTime<FixedOffset>,
}

/// What money passed through a helper's hands in a month.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"helper_id": "0199a0c0-0000-7000-8000-0000000000a1", "month": "2026-11", "lines": [], "advance_fen": 10000, "spent_fen": 8650, "change_fen": 1350}))]
pub struct StatementView {
    pub helper_id: Uuid,
    pub month: String,
    /// Oldest first.
    pub lines: Vec<StatementLineView>,
    /// Sums of what both sides agree to.
    pub advance_fen: i64,
    pub spent_fen: i64,
    pub change_fen: i64,
}

impl StatementView {
    fn new(helper_id: Uuid, month: NaiveDate, rows: Vec<Stated>) -> Self {
        let sum = |kind| {
            let agreed = rows.iter().filter(|row| row.kind == kind && row.agreed == Some(true));
            agreed.map(|row| row.amount_fen).sum::<i64>()
        };
        let (advance_fen, spent_fen) = (sum(MoneyKind::Advance), sum(MoneyKind::Spent));
        let change_fen = sum(MoneyKind::Change);
        let line = |row: Stated| StatementLineView {
            order_id: row.id,
            number: row.number,
            state: row.state,
            line: row.line,
            kind: row.kind,
            amount_fen: row.amount_fen,
            agreed: row.agreed,
            created_at: row.created_at.with_timezone(&CST),
        };
        let month = month.format("%Y-%m").to_string();
        Self { helper_id, month, lines: rows.into_iter().map(line).collect(), advance_fen, spent_fen, change_fen }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StatementQuery {
    /// `YYYY-MM`; this month by default.
    #[param(example = "2026-11")]
    month: Option<String>,
}

/// Who looks over a helper's shoulder, as `money::may_read` wants it.
fn looking(caller: &Can<ReadOrders>) -> (Uuid, Option<Uuid>, bool) {
    let over = matches!(caller.role, Role::TownshipStaff | Role::Supervisor | Role::CountyAdmin);
    let within = match caller.scope.reach {
        Reach::Unit(unit) => Some(unit),
        Reach::Own(_) | Reach::County => None,
    };
    (caller.subject, within, over)
}

/// A helper's statement of a month
///
/// Every line of money of the orders that they held, with what both sides agree to. For the helper, their township, the county and supervisors. Of residents it tells nothing.
#[utoipa::path(tag = "orders", security(("token" = ["orders:read"])), params(("id" = Uuid, Path, description = "The helper"), StatementQuery),
    responses((status = 200, description = "The statement", body = StatementView)))]
#[get("/v1/helpers/{id}/statement")]
pub async fn get_helper_statement(
    caller: Can<ReadOrders>,
    id: Id,
    app: Data<App>,
    query: Query<StatementQuery>,
) -> Result<HttpResponse> {
    let month = match &query.0.month {
        None => local_date(app.clock.now()).with_day(1),
        Some(month) => NaiveDate::parse_from_str(&format!("{month}-01"), "%Y-%m-%d").ok().filter(|_| month.len() == 7),
    };
    let bounds = month.and_then(|from| Some((from, from.checked_add_months(Months::new(1))?)));
    let Some((month, next)) = bounds else {
        let text = Text::fixed("须为 YYYY-MM", "must be YYYY-MM");
        return Err(Error::invalid(vec![FieldError::query("month", "month", text)]));
    };
    let (county, me) = (caller.county, looking(&caller));
    let read = app.db.read("get_helper_statement", move |conn| {
        let helper = money::may_read(conn, (county, id.0), me)?;
        Ok(money::statement(conn, (county, helper), (local_midnight(month), local_midnight(next)))?)
    });
    Ok(HttpResponse::Ok().json(StatementView::new(id.0, month, read.await?)))
}

/// What was done in a month.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"month": "2026-11", "orders": 6, "minutes": 320}))]
pub struct HoursMonthView {
    pub month: String,
    /// Confirmed ones.
    pub orders: i64,
    /// From the beginning to the end of each.
    pub minutes: i64,
}

/// The hours of a helper in a year.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"helper_id": "0199a0c0-0000-7000-8000-0000000000a1", "year": 2026, "orders": 6, "minutes": 320, "months": []}))]
pub struct HoursView {
    pub helper_id: Uuid,
    pub year: i32,
    pub orders: i64,
    pub minutes: i64,
    pub months: Vec<HoursMonthView>,
}

impl HoursView {
    fn new(helper_id: Uuid, year: i32, rows: Vec<Month>) -> Self {
        let month = |row: Month| HoursMonthView {
            month: row.month.format("%Y-%m").to_string(),
            orders: row.orders,
            minutes: row.minutes.round() as i64,
        };
        let months: Vec<_> = rows.into_iter().map(month).collect();
        let (orders, minutes) =
            months.iter().fold((0, 0), |(orders, minutes), month| (orders + month.orders, minutes + month.minutes));
        Self { helper_id, year, orders, minutes, months }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HoursQuery {
    /// This year by default.
    #[param(minimum = 2000, maximum = 2100, example = 2026)]
    year: Option<i32>,
}

/// A helper's hours of a year (志愿服务时长)
///
/// From confirmed orders only, from beginning to end. For the helper, their township, the county and supervisors; nobody is ranked.
#[utoipa::path(tag = "orders", security(("token" = ["orders:read"])), params(("id" = Uuid, Path, description = "The helper"), HoursQuery),
    responses((status = 200, description = "The hours", body = HoursView)))]
#[get("/v1/helpers/{id}/hours")]
pub async fn get_helper_hours(
    caller: Can<ReadOrders>,
    id: Id,
    app: Data<App>,
    query: Query<HoursQuery>,
) -> Result<HttpResponse> {
    let year = query.0.year.unwrap_or(local_date(app.clock.now()).year());
    let bounds = NaiveDate::from_ymd_opt(year, 1, 1).zip(NaiveDate::from_ymd_opt(year + 1, 1, 1));
    let Some((from, until)) = bounds.filter(|_| (2000..=2100).contains(&year)) else {
        let text = Text::fixed("须在 2000 至 2100 之间", "must be 2000 to 2100");
        return Err(Error::invalid(vec![FieldError::query("year", "range", text)]));
    };
    let (county, me) = (caller.county, looking(&caller));
    let read = app.db.read("get_helper_hours", move |conn| {
        let helper = money::may_read(conn, (county, id.0), me)?;
        Ok(money::hours(conn, (county, helper), (local_midnight(from), local_midnight(until)))?)
    });
    Ok(HttpResponse::Ok().json(HoursView::new(id.0, year, read.await?)))
}
