//! Money between a resident and whoever shops or pays for them (代购、代缴): lines that nobody changes, each agreed to by the other side.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Bool, Date, Double, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    acting::lost,
    evidence,
    model::{Order, OrderState},
    rules::OrderError,
    store::{self, Seen, today},
};
use crate::{
    db::found,
    error::{Code, Error, Result},
    http::caller::{Caller, Scope},
    statement, text_enum,
};

text_enum! {
    /// What a line of money is.
    pub enum MoneyKind {
        /// 预付: the resident hands it over.
        Advance = "advance",
        /// 支出: with its receipt.
        Spent = "spent",
        /// 找零: what is left is given back.
        Change = "change",
    }
}

text_enum! {
    /// Whose line it is, or who answers it.
    pub enum MoneySide {
        Resident = "resident",
        Helper = "helper",
    }
}

impl MoneySide {
    pub const fn other(self) -> Self {
        match self {
            Self::Resident => Self::Helper,
            Self::Helper => Self::Resident,
        }
    }
}

/// A line as stored, with what the other side said to it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Line {
    #[diesel(sql_type = SmallInt)]
    pub line: i16,
    #[diesel(sql_type = Text)]
    pub kind: MoneyKind,
    #[diesel(sql_type = BigInt)]
    pub amount_fen: i64,
    #[diesel(sql_type = Text)]
    pub side: MoneySide,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub attachment_id: Option<Uuid>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub agreed: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub by_staff: Option<bool>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub answered_at: Option<DateTime<Utc>>,
}

statement! {
    struct Lines { county: i32 as Integer, order: Uuid as SqlUuid }
    "SELECT m.line, m.kind, m.amount_fen, m.side, m.attachment_id, m.created_at, a.agreed, a.by_staff, a.at AS answered_at FROM order_money m \
     LEFT JOIN order_money_answers a ON a.county_id = m.county_id AND a.order_id = m.order_id AND a.line = m.line \
     WHERE m.county_id = {county} AND m.order_id = {order} ORDER BY m.line"
}

pub fn lines(conn: &mut PgConnection, county: i32, order: Uuid) -> QueryResult<Vec<Line>> {
    Lines { county, order }.load(conn)
}

statement! {
    /// Whoever confirms meanwhile has not seen it: the version moves with the money.
    struct Touch { county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, now: DateTime<Utc> as Timestamptz }
    "UPDATE orders SET version = version + 1, updated_at = {now} WHERE county_id = {county} AND id = {id} AND version = {version}"
}

fn touch(conn: &mut PgConnection, order: &Order, now: DateTime<Utc>) -> Result<()> {
    let touched = Touch { county: order.county_id, id: order.id, version: order.version, now }.execute(conn)?;
    if touched == 0 { Err(lost(Code::VersionStale)) } else { Ok(()) }
}

statement! {
    struct Write {
        county: i32 as Integer, order: Uuid as SqlUuid, kind: MoneyKind as Text, amount: i64 as BigInt, side: MoneySide as Text, by: Uuid as SqlUuid, helper: Uuid as SqlUuid,
        attachment: Option<Uuid> as Nullable<SqlUuid>, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO order_money (county_id, order_id, line, kind, amount_fen, side, by_id, helper_id, attachment_id, created_at) \
     SELECT {county}, {order}, (SELECT count(*) + 1 FROM order_money m WHERE m.county_id = {county} AND m.order_id = {order}), {kind}, {amount}, {side}, {by}, {helper}, {attachment}, {now}"
}

/// What is written of money.
#[derive(Clone, Debug)]
pub struct NewLine {
    pub kind: MoneyKind,
    pub amount_fen: i64,
    pub attachment: Option<Uuid>,
}

/// While somebody holds it, and until it is settled.
const RUNNING: &[OrderState] =
    &[OrderState::Claimed, OrderState::OnTheWay, OrderState::AtWork, OrderState::Finished, OrderState::Disputed];

fn running(conn: &mut PgConnection, (who, scope): (&Caller, Scope), id: Uuid, now: DateTime<Utc>) -> Result<Order> {
    let order = store::find(conn, who.county, Seen::by(who, scope), id, today(now))?.ok_or(Code::NotFound)?;
    if !order.money {
        return Err(Code::MoneyNotAsked.into());
    }
    if RUNNING.contains(&order.state) { Ok(order) } else { Err(OrderError::State(order.state).into()) }
}

/// Writes a line, by either side.
pub fn write(
    conn: &mut PgConnection,
    (who, scope): (&Caller, Scope),
    id: Uuid,
    new: &NewLine,
    now: DateTime<Utc>,
) -> Result<Order> {
    let order = running(conn, (who, scope), id, now)?;
    let side = match (order.held, order.mine) {
        (true, _) => MoneySide::Helper,
        (false, true) => MoneySide::Resident,
        (false, false) => return Err(OrderError::OtherSide.into()),
    };
    if new.kind == MoneyKind::Spent && new.attachment.is_none() {
        return Err(Error::field("/attachment_id", "required", "支出须附小票", "whatever was spent has its receipt"));
    }
    touch(conn, &order, now)?;
    if let Some(receipt) = new.attachment {
        attach(conn, who, &order, receipt, now)?;
    }
    let helper = order.holder_id.ok_or_else(|| Error::internal("nobody holds a running order"))?;
    let (kind, amount, attachment, by) = (new.kind, new.amount_fen, new.attachment, who.subject);
    Write { county: who.county, order: id, kind, amount, side, by, helper, attachment, now }.execute(conn)?;
    Ok(order)
}

fn attach(conn: &mut PgConnection, who: &Caller, order: &Order, receipt: Uuid, now: DateTime<Utc>) -> Result<()> {
    use crate::error::{At, FieldError};
    evidence::attach(conn, who, order, (&[receipt], "/attachment_id"), now).map_err(|error| {
        let here = |fault: FieldError| FieldError { at: At::Body("/attachment_id".into()), ..fault };
        let errors = error.errors.into_iter().map(here).collect();
        Error { errors, ..error.code.into() }
    })
}

statement! {
    struct Answer {
        county: i32 as Integer, order: Uuid as SqlUuid, line: i16 as SmallInt, agreed: bool as Bool, side: MoneySide as Text, by: Uuid as SqlUuid, by_staff: bool as Bool, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO order_money_answers (county_id, order_id, line, agreed, side, by_id, by_staff, at) \
     SELECT m.county_id, m.order_id, m.line, {agreed}, {side}, {by}, {by_staff}, {now} FROM order_money m \
      WHERE m.county_id = {county} AND m.order_id = {order} AND m.line = {line} AND m.side <> {side} \
        AND NOT EXISTS (SELECT FROM order_money_answers a WHERE a.county_id = m.county_id AND a.order_id = m.order_id AND a.line = m.line)"
}

/// What the other side says to a line, once. Staff write down what somebody without a phone says, never whoever holds the order.
pub fn answer(
    conn: &mut PgConnection,
    (who, scope): (&Caller, Scope),
    (id, line): (Uuid, i16),
    agreed: bool,
    now: DateTime<Utc>,
) -> Result<Order> {
    let order = running(conn, (who, scope), id, now)?;
    let row = lines(conn, who.county, id)?.into_iter().find(|row| row.line == line).ok_or(Code::NotFound)?;
    let by_staff = !order.held && !order.mine;
    let side = match (order.held, order.mine) {
        (true, _) => MoneySide::Helper,
        (false, true) => MoneySide::Resident,
        // Only for the resident: a helper answers with their own phone.
        (false, false) if !who.is_resident() => MoneySide::Resident,
        (false, false) => return Err(OrderError::OtherSide.into()),
    };
    if row.side.other() != side {
        return Err(OrderError::OtherSide.into());
    }
    if row.agreed.is_some() {
        return Err(Code::MoneyLineAnswered.into());
    }
    touch(conn, &order, now)?;
    let written = Answer { county: who.county, order: id, line, agreed, side, by: who.subject, by_staff, now };
    if written.execute(conn)? == 0 {
        return Err(lost(Code::MoneyLineAnswered));
    }
    Ok(order)
}

statement! {
    struct Statement { county: i32 as Integer, helper: Uuid as SqlUuid, from: DateTime<Utc> as Timestamptz, until: DateTime<Utc> as Timestamptz }
    "SELECT o.id, o.number, o.state, m.line, m.kind, m.amount_fen, a.agreed, m.created_at FROM order_money m JOIN orders o ON o.county_id = m.county_id AND o.id = m.order_id \
     LEFT JOIN order_money_answers a ON a.county_id = m.county_id AND a.order_id = m.order_id AND a.line = m.line \
     WHERE m.county_id = {county} AND m.helper_id = {helper} AND m.created_at >= {from} AND m.created_at < {until} ORDER BY m.created_at, o.id, m.line"
}

/// A line of a helper's statement.
#[derive(Clone, Debug, QueryableByName)]
pub struct Stated {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Text)]
    pub state: OrderState,
    #[diesel(sql_type = SmallInt)]
    pub line: i16,
    #[diesel(sql_type = Text)]
    pub kind: MoneyKind,
    #[diesel(sql_type = BigInt)]
    pub amount_fen: i64,
    #[diesel(sql_type = Nullable<Bool>)]
    pub agreed: Option<bool>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

/// Every line of a helper in a time, oldest first.
pub fn statement(
    conn: &mut PgConnection,
    (county, helper): (i32, Uuid),
    (from, until): (DateTime<Utc>, DateTime<Utc>),
) -> QueryResult<Vec<Stated>> {
    Statement { county, helper, from, until }.load(conn)
}

statement! {
    struct Hours { county: i32 as Integer, helper: Uuid as SqlUuid, from: DateTime<Utc> as Timestamptz, until: DateTime<Utc> as Timestamptz }
    "SELECT date_trunc('month', o.finished_at AT TIME ZONE 'Asia/Shanghai')::date AS month, count(*) AS orders, \
       sum(extract(epoch FROM o.finished_at - o.started_at) / 60)::float8 AS minutes FROM orders o \
     WHERE o.county_id = {county} AND o.holder_id = {helper} AND o.state = 'confirmed' AND o.finished_at >= {from} AND o.finished_at < {until} GROUP BY 1 ORDER BY 1"
}

/// What somebody has done in a month.
#[derive(Clone, Debug, QueryableByName)]
pub struct Month {
    #[diesel(sql_type = Date)]
    pub month: NaiveDate,
    #[diesel(sql_type = BigInt)]
    pub orders: i64,
    #[diesel(sql_type = Double)]
    pub minutes: f64,
}

/// Confirmed orders of a helper by month.
pub fn hours(
    conn: &mut PgConnection,
    (county, helper): (i32, Uuid),
    (from, until): (DateTime<Utc>, DateTime<Utc>),
) -> QueryResult<Vec<Month>> {
    Hours { county, helper, from, until }.load(conn)
}

statement! {
    struct MayRead { county: i32 as Integer, helper: Uuid as SqlUuid, me: Uuid as SqlUuid, within: Option<Uuid> as Nullable<SqlUuid>, over: bool as Bool }
    "SELECT h.id FROM helpers h WHERE h.county_id = {county} AND h.id = {helper} AND (h.staff_id = {me} OR h.resident_id = {me} \
       OR {over} AND ({within}::uuid IS NULL OR unit_within({county}, h.unit_id, {within})))"
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Whether somebody may see what a helper has done: the helper, and whoever is over them.
pub fn may_read(
    conn: &mut PgConnection,
    (county, helper): (i32, Uuid),
    (me, within, over): (Uuid, Option<Uuid>, bool),
) -> Result<Uuid> {
    let row: Option<Id> = found(MayRead { county, helper, me, within, over }.get_result(conn))?;
    Ok(row.ok_or(Code::NotFound)?.id)
}
