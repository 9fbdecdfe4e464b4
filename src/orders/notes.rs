//! What is said of an order, sealed: notes to and fro, and what is said with a move.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Binary, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::model::{Order, Step};
use crate::{app::App, error::Result, http::caller::Caller, statement, text_enum};

text_enum! {
    /// What a note belongs to.
    pub enum NoteKind {
        Note = "note",
        /// Why it was given back or cancelled, or how an agent knows.
        Reason = "reason",
        /// What was done.
        Evidence = "evidence",
        Worry = "worry",
        Dispute = "dispute",
        CallBack = "call_back",
        Settle = "settle",
    }
}

text_enum! {
    /// Who said it.
    pub enum NoteSide {
        Resident = "resident",
        /// Whoever held it.
        Helper = "helper",
        Staff = "staff",
    }
}

impl NoteKind {
    pub fn of(step: Step) -> Self {
        match step {
            Step::Finish => Self::Evidence,
            Step::Worry => Self::Worry,
            Step::Dispute => Self::Dispute,
            Step::CallBack => Self::CallBack,
            Step::Settle => Self::Settle,
            _ => Self::Reason,
        }
    }
}

impl NoteSide {
    pub fn of(order: &Order) -> Self {
        match (order.held, order.mine) {
            (true, _) => Self::Helper,
            (false, true) => Self::Resident,
            (false, false) => Self::Staff,
        }
    }
}

statement! {
    struct Insert {
        county: i32 as Integer, id: Uuid as SqlUuid, order: Uuid as SqlUuid, kind: NoteKind as Text, side: NoteSide as Text, author: Uuid as SqlUuid,
        words: Vec<u8> as Binary, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO order_notes (county_id, id, order_id, kind, side, author_id, words, created_at) VALUES ({county}, {id}, {order}, {kind}, {side}, {author}, {words}, {now})"
}

/// What the words of a note are bound to.
pub fn place(id: Uuid) -> String {
    format!("order_notes.words/{id}")
}

/// Notes of one side; more are no conversation.
const MOST: i64 = 200;

statement! {
    struct Said { county: i32 as Integer, order: Uuid as SqlUuid, side: NoteSide as Text }
    "SELECT count(*) AS n FROM order_notes n WHERE n.county_id = {county} AND n.order_id = {order} AND n.side = {side} AND n.kind IN ('note', 'worry')"
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Whether a side has said so much that nothing is added.
pub fn enough(conn: &mut PgConnection, order: &Order) -> Result<bool> {
    let said = Said { county: order.county_id, order: order.id, side: NoteSide::of(order) };
    Ok(said.get_result::<Counted>(conn)?.n >= MOST)
}

/// Keeps what somebody said of an order.
pub fn insert(
    conn: &mut PgConnection,
    app: &App,
    (order, who): (&Order, &Caller),
    (kind, words): (NoteKind, &str),
    now: DateTime<Utc>,
) -> Result<Uuid> {
    let (county, id) = (order.county_id, Uuid::now_v7());
    let words = app.keys.seal(county, &place(id), words.as_bytes());
    let (author, side) = (who.subject, NoteSide::of(order));
    Insert { county, id, order: order.id, kind, side, author, words, now }.execute(conn)?;
    Ok(id)
}

/// A note as stored.
#[derive(Clone, Debug, QueryableByName)]
pub struct Note {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub kind: NoteKind,
    #[diesel(sql_type = Text)]
    pub side: NoteSide,
    #[diesel(sql_type = SqlUuid)]
    pub author_id: Uuid,
    #[diesel(sql_type = Nullable<Binary>)]
    pub words: Option<Vec<u8>>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

statement! {
    struct Of { county: i32 as Integer, order: Uuid as SqlUuid, me: Uuid as SqlUuid, open: bool as Bool, office: bool as Bool, mine: bool as Bool, asked: bool as Bool }
    "SELECT n.id, n.kind, n.side, n.author_id, n.words, n.created_at FROM order_notes n WHERE n.county_id = {county} AND n.order_id = {order} \
       AND (n.author_id = {me} OR {office} OR {open} AND n.kind IN ('note', 'reason', 'evidence') OR {mine} AND n.kind = 'settle' OR {asked} AND n.kind = 'worry') ORDER BY n.created_at, n.id"
}

/// Which notes somebody may read besides their own.
#[derive(Clone, Copy, Debug)]
pub struct Reads {
    /// What is said between both sides.
    pub open: bool,
    /// Everything: of those who are over it.
    pub office: bool,
    /// How a dispute was settled: of the resident's side.
    pub mine: bool,
    /// Why somebody is worried: of staff who are asked to see to it.
    pub asked: bool,
}

/// The notes of an order that somebody may read, oldest first.
pub fn of(conn: &mut PgConnection, order: &Order, me: Uuid, reads: Reads) -> QueryResult<Vec<Note>> {
    let Reads { open, office, mine, asked } = reads;
    Of { county: order.county_id, order: order.id, me, open, office, mine, asked }.load(conn)
}
