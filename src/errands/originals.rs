//! Originals in our hands (证件交接): identity cards, household registers, certificates, and who has them.
//!
//! ```text
//! (take_original) ─▶ held ──original_to_department──▶ with_department
//!                    │ ▲ ◀──original_from_department───────┘
//!                    │ └─receive_original (by whoever was handed it with pass_original; or it was not given back after all)
//!                    └─return_original─▶ handed_back ─acknowledge_original (by the resident)─▶ returned
//! ```
//! The resident also acknowledges, with the same step, that it was handed over.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Binary, Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::model::Step;
use crate::{
    db::found,
    error::{Code, Error, Result, Text as Words},
    http::page::After,
    statement, text_enum,
};

text_enum! {
    /// Where an original stands.
    pub enum OriginalState {
        /// In the hands of a member of staff.
        Held = "held",
        WithDepartment = "with_department",
        /// Given back, as staff say; the resident has not acknowledged it yet.
        HandedBack = "handed_back",
        Returned = "returned",
    }
}

text_enum! {
    /// How the resident acknowledged it.
    pub enum Acknowledged {
        InMiniProgram = "in_mini_program",
        /// On paper, as a member of staff saw.
        Signed = "signed",
    }
}

impl OriginalState {
    pub fn words(self) -> Words {
        match self {
            Self::Held => Words::fixed("在工作人员手中", "with a member of staff"),
            Self::WithDepartment => Words::fixed("在县直部门", "with the department"),
            Self::HandedBack => Words::fixed("已交还，待居民确认", "handed back, not acknowledged yet"),
            Self::Returned => Words::fixed("已归还", "returned"),
        }
    }
}

/// An original as it is read; the name is sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Original {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub errand_id: Uuid,
    #[diesel(sql_type = Nullable<Binary>)]
    pub name: Option<Vec<u8>>,
    #[diesel(sql_type = Text)]
    pub state: OriginalState,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub with_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub with_name: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub passed_to: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub passed_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub taken_how: Option<Acknowledged>,
    #[diesel(sql_type = Nullable<Text>)]
    pub returned_how: Option<Acknowledged>,
    /// The caller has it, or covers whoever has it.
    #[diesel(sql_type = Bool)]
    pub held: bool,
    /// The caller was handed it, or covers whoever was.
    #[diesel(sql_type = Bool)]
    pub passed: bool,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

/// What the name of an original is bound to.
pub fn name_place(id: Uuid) -> String {
    format!("errand_originals.name/{id}")
}

/// Who moves it, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hand {
    /// The member of staff; none: the resident's side.
    pub staff: Option<Uuid>,
    /// Answers for the errand.
    pub answers: bool,
    pub to: Option<Uuid>,
    pub how: Option<Acknowledged>,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustodyError {
    #[error("not from this state")]
    State { state: OriginalState },
    #[error("somebody else has it")]
    NotInHand { with: Option<String> },
    #[error("was not handed to the caller")]
    NotPassed,
    #[error("already has it")]
    AlreadyThere,
}

impl From<CustodyError> for Error {
    fn from(error: CustodyError) -> Self {
        match error {
            CustodyError::State { state } => {
                let words = state.words();
                Error::new(Code::OriginalState).detail(format!("当前状态：{}", words.zh), format!("It is {}", words.en))
            }
            CustodyError::NotInHand { with } => {
                let with = with.unwrap_or_default();
                Error::new(Code::NotInHand).detail(format!("现在{with}手中"), format!("{with} has it"))
            }
            CustodyError::NotPassed => Code::NotPassed.into(),
            CustodyError::AlreadyThere => cannot_have(),
        }
    }
}

/// The one named in a hand-over is nobody who could have it.
pub fn cannot_have() -> Error {
    let (zh, en) = (
        "须为该村或上级单位在岗的工作人员，且不是现持有人",
        "must have a post in the unit or above it, and not have it already",
    );
    Error::field("/staff_id", "cannot_have", zh, en)
}

impl Original {
    /// As it is after a movement, or why not.
    pub fn moved(&self, step: Step, hand: Hand) -> Result<Self, CustodyError> {
        use OriginalState::{HandedBack, Held, Returned, WithDepartment};
        let mine =
            |mine: bool| if mine { Ok(()) } else { Err(CustodyError::NotInHand { with: self.with_name.clone() }) };
        let mut next = self.clone();
        next.passed_to = None;
        match (step, self.state) {
            (Step::PassOriginal, Held) => {
                mine(self.held)?;
                if hand.to == self.with_id {
                    return Err(CustodyError::AlreadyThere);
                }
                next.passed_to = hand.to;
            }
            (Step::ReceiveOriginal, Held) if self.passed => next.with_id = hand.staff,
            (Step::ReceiveOriginal, Held) => return Err(CustodyError::NotPassed),
            // It was not given back after all.
            (Step::ReceiveOriginal, HandedBack) => {
                mine(self.held)?;
                next.state = Held;
            }
            (Step::OriginalToDepartment, Held) => {
                mine(self.held)?;
                next.state = WithDepartment;
            }
            // Whoever brought it there, or answers for the errand, fetches it.
            (Step::OriginalFromDepartment, WithDepartment) => {
                mine(self.held || hand.answers)?;
                (next.state, next.with_id) = (Held, hand.staff);
            }
            (Step::ReturnOriginal, Held) => {
                mine(self.held)?;
                next.state = HandedBack;
            }
            (Step::AcknowledgeOriginal, HandedBack) => {
                mine(self.held || hand.staff.is_none())?;
                (next.state, next.with_id, next.returned_how) = (Returned, None, hand.how);
            }
            (Step::AcknowledgeOriginal, Held | WithDepartment) if self.taken_how.is_none() => {
                mine(self.held || hand.staff.is_none())?;
                (next.taken_how, next.passed_to) = (hand.how, self.passed_to);
            }
            _ => return Err(CustodyError::State { state: self.state }),
        }
        Ok(next)
    }
}

macro_rules! original {
    () => {
        "SELECT o.county_id, o.id, o.errand_id, o.name, o.state, o.with_id, o.passed_to, o.taken_how, o.returned_how, o.version, o.created_at, o.updated_at, \
           (SELECT display_name FROM staff s WHERE s.county_id = o.county_id AND s.id = o.with_id) AS with_name, \
           (SELECT display_name FROM staff s WHERE s.county_id = o.county_id AND s.id = o.passed_to) AS passed_name, \
           coalesce(o.with_id = {staff} OR staff_covers({county}, {staff}, o.with_id, {today}), false) AS held, \
           coalesce(o.passed_to = {staff} OR staff_covers({county}, {staff}, o.passed_to, {today}), false) AS passed \
         FROM errand_originals o WHERE o.county_id = {county} "
    };
}

statement! {
    struct Find { county: i32 as Integer, id: Uuid as SqlUuid, staff: Option<Uuid> as Nullable<SqlUuid>, today: NaiveDate as Date }
    concat!(original!(), "AND o.id = {id}")
}

/// The original with an id, as a member of staff sees it; who may see it at all is for the caller to find out.
pub fn find(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    staff: Option<Uuid>,
    today: NaiveDate,
) -> Result<Option<Original>> {
    found(Find { county, id, staff, today }.get_result(conn))
}

statement! {
    struct OfErrand {
        county: i32 as Integer, errand: Uuid as SqlUuid, staff: Option<Uuid> as Nullable<SqlUuid>, today: NaiveDate as Date,
        after_at: DateTime<Utc> as Timestamptz, after_id: Uuid as SqlUuid, limit: i64 as BigInt,
    }
    concat!(original!(), "AND o.errand_id = {errand} AND (o.created_at, o.id) > ({after_at}, {after_id}) ORDER BY o.created_at, o.id LIMIT {limit}")
}

/// Those of an errand, oldest first, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    (county, errand): (i32, Uuid),
    (staff, today): (Option<Uuid>, NaiveDate),
    after: After,
    limit: i64,
) -> QueryResult<Vec<Original>> {
    let (after_at, after_id, limit) = (after.at.max(DateTime::UNIX_EPOCH), after.id, limit + 1);
    OfErrand { county, errand, staff, today, after_at, after_id, limit }.load(conn)
}

statement! {
    struct Count { county: i32 as Integer, errand: Uuid as SqlUuid }
    "SELECT count(*) AS n FROM errand_originals WHERE county_id = {county} AND errand_id = {errand}"
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

pub fn count(conn: &mut PgConnection, county: i32, errand: Uuid) -> QueryResult<i64> {
    Ok(Count { county, errand }.get_result::<Counted>(conn)?.n)
}

statement! {
    struct Insert {
        county: i32 as Integer, id: Uuid as SqlUuid, errand: Uuid as SqlUuid, name: Vec<u8> as Binary, with: Uuid as SqlUuid,
        seq: i32 as Integer, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO errand_originals (county_id, id, errand_id, name, state, with_id, seq, created_at, updated_at) \
     VALUES ({county}, {id}, {errand}, {name}, 'held', {with}, {seq}, {now}, {now})"
}

/// A new one, in the hands of `with`; the entry `seq` tells of it.
pub fn insert(
    conn: &mut PgConnection,
    (county, id, errand): (i32, Uuid, Uuid),
    name: Vec<u8>,
    with: Uuid,
    seq: i32,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    Insert { county, id, errand, name, with, seq, now }.execute(conn).map(drop)
}

statement! {
    struct Update {
        county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, state: OriginalState as Text, with: Option<Uuid> as Nullable<SqlUuid>,
        passed_to: Option<Uuid> as Nullable<SqlUuid>, taken_how: Option<Acknowledged> as Nullable<Text>, returned_how: Option<Acknowledged> as Nullable<Text>,
        seq: i32 as Integer, now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE errand_originals SET state = {state}, with_id = {with}, passed_to = {passed_to}, taken_how = {taken_how}, returned_how = {returned_how}, \
       seq = {seq}, version = version + 1, updated_at = {now} WHERE county_id = {county} AND id = {id} AND version = {version} \
       AND ({with}::uuid IS NULL OR with_id = {with} OR EXISTS (SELECT FROM staff s WHERE s.county_id = {county} AND s.id = {with} AND s.state = 'active' FOR SHARE)) \
       AND ({passed_to}::uuid IS NULL OR passed_to = {passed_to} OR EXISTS (SELECT FROM staff s WHERE s.county_id = {county} AND s.id = {passed_to} AND s.state = 'active' FOR SHARE))"
}

/// Writes where it is now; false when somebody was faster. Ordered against a dismissal: whoever has it from
/// now on, or is to have it, is still there.
pub fn update(conn: &mut PgConnection, after: &Original, seq: i32, now: DateTime<Utc>) -> QueryResult<bool> {
    let Original { county_id: county, id, version, state, with_id: with, passed_to, .. } = *after;
    let Original { taken_how, returned_how, .. } = *after;
    let update = Update { county, id, version, state, with, passed_to, taken_how, returned_how, seq, now };
    Ok(update.execute(conn)? == 1)
}
