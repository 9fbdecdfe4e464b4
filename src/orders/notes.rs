//! What is said of an order, sealed: notes to and fro, and what is said with a move.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{Binary, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
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
    struct Of { county: i32 as Integer, order: Uuid as SqlUuid, me: Uuid as SqlUuid, open: bool as Bool, office: bool as Bool }
    "SELECT n.id, n.kind, n.side, n.author_id, n.words, n.created_at FROM order_notes n WHERE n.county_id = {county} AND n.order_id = {order} \
       AND (n.author_id = {me} OR {office} OR {open} AND n.kind IN ('note', 'reason', 'evidence')) ORDER BY n.created_at, n.id LIMIT 500"
}

/// The notes of an order that somebody may read, oldest first: whoever is over it all of them, both sides what is said between them, and
/// everybody their own.
pub fn of(conn: &mut PgConnection, order: &Order, (me, open, office): (Uuid, bool, bool)) -> QueryResult<Vec<Note>> {
    Of { county: order.county_id, order: order.id, me, open, office }.load(conn)
}
