//! Where an errand stands, and the table of the steps between its states.

use std::ops::{Deref, DerefMut};

use chrono::NaiveDate;
use diesel::{
    QueryableByName,
    deserialize::{FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    sql_types::{BigInt, Binary, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Uuid as SqlUuid},
};
use serde_json::Value;
use uuid::Uuid;

use super::clock::Mark;
pub use super::line::Line;
pub use super::provided::{Provided, form_place};
use crate::{error::Text as Words, text_enum};

text_enum! {
    /// Where an errand (代办) stands.
    pub enum ErrandState {
        /// 草稿
        Draft = "draft",
        /// 已提交: nobody has answered yet.
        Submitted = "submitted",
        /// 待补正
        SupplementRequested = "supplement_requested",
        /// 已受理
        Accepted = "accepted",
        /// 不予受理
        NotAccepted = "not_accepted",
        /// 办理中
        Handling = "handling",
        /// 已转办: with the county department that decides.
        Forwarded = "forwarded",
        /// 特别程序: a hearing, an inspection, an expert review.
        Suspended = "suspended",
        /// 已办结: granted or refused.
        Decided = "decided",
        /// 已送达
        Delivered = "delivered",
        /// 已归档
        Archived = "archived",
        /// 已撤回
        Withdrawn = "withdrawn",
    }
}

impl ErrandState {
    /// States in which a limit runs.
    pub const RUNNING: &[Self] = &[Self::Submitted, Self::Accepted, Self::Handling, Self::Forwarded];

    pub fn words(self) -> Words {
        match self {
            Self::Draft => Words::fixed("草稿", "a draft"),
            Self::Submitted => Words::fixed("已提交，待受理", "submitted"),
            Self::SupplementRequested => Words::fixed("待补正材料", "waiting for what is missing"),
            Self::Accepted => Words::fixed("已受理", "accepted"),
            Self::NotAccepted => Words::fixed("不予受理", "not accepted"),
            Self::Handling => Words::fixed("办理中", "being handled"),
            Self::Forwarded => Words::fixed("已转县直部门", "with the department"),
            Self::Suspended => Words::fixed("特别程序中", "suspended for a special procedure"),
            Self::Decided => Words::fixed("已办结", "decided"),
            Self::Delivered => Words::fixed("已送达", "delivered"),
            Self::Archived => Words::fixed("已归档", "archived"),
            Self::Withdrawn => Words::fixed("已撤回", "withdrawn"),
        }
    }

    /// Whether a limit runs.
    pub fn runs(self) -> bool {
        Self::RUNNING.contains(&self)
    }
}

text_enum! {
    /// A step: an entry of the ledger.
    pub enum Step {
        File = "file",
        Submit = "submit",
        Take = "take",
        RequestSupplement = "request_supplement",
        /// 补正
        Supplement = "supplement",
        /// 逾期未补正，视为撤回
        Lapse = "lapse",
        Accept = "accept",
        /// 逾期未答复视为受理 (行政许可法第三十二条)
        DeemAccepted = "deem_accepted",
        Refuse = "not_accept",
        Begin = "begin",
        Forward = "forward",
        /// The department needs more time; the limit goes on.
        Later = "later",
        /// Back from the department without a decision.
        Return = "return",
        Suspend = "suspend",
        Resume = "resume",
        Extend = "extend",
        Decide = "decide",
        Deliver = "deliver",
        /// 签收
        Acknowledge = "acknowledge",
        /// 回访
        CallBack = "call_back",
        Archive = "archive",
        Withdraw = "withdraw",
        /// By the system: the resident's record was closed (注销).
        Close = "close",
        OfferTransfer = "offer_transfer",
        AcceptTransfer = "accept_transfer",
        DeclineTransfer = "decline_transfer",
        /// By the system: an absence, a dismissal.
        HandOver = "hand_over",
        Correct = "correct",
        /// A new calendar moved the deadline.
        Recount = "recount",
        Escalate = "escalate",
        Remind = "remind",
        TakeOriginal = "take_original",
        PassOriginal = "pass_original",
        ReceiveOriginal = "receive_original",
        OriginalToDepartment = "original_to_department",
        OriginalFromDepartment = "original_from_department",
        ReturnOriginal = "return_original",
        AcknowledgeOriginal = "acknowledge_original",
        HandOverOriginal = "hand_over_original",
    }
}

/// Who takes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The resident, somebody who acts for them, or an agent under their mandate.
    Applicant,
    /// Who answers for it.
    Holder,
    /// An agent or officer of the unit who does not hold it.
    Colleague,
    /// Who was asked to take it over.
    Offered,
    /// The township (or the county) over the unit, for what needs an approval.
    Approver,
    /// Who answers for it, or the staff of the department that has it.
    Decider,
    /// Whoever has the original in hand, or its other side; see [`super::originals`].
    Custodian,
    /// Any agent or officer who sees it.
    Staff,
    System,
}

/// Where a step leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    State(ErrandState),
    /// Stays where it is.
    Same,
    /// Goes on where it stood still.
    Back,
}

impl Step {
    /// The table: from which states, where to, by whom. [`super`] draws it.
    pub const fn row(self) -> (&'static [ErrandState], To, By) {
        use ErrandState::{
            Accepted, Archived, Decided, Delivered, Draft, Forwarded, Handling, NotAccepted, Submitted,
            SupplementRequested, Suspended, Withdrawn,
        };
        const UNDECIDED: &[ErrandState] =
            &[Draft, Submitted, SupplementRequested, Accepted, Handling, Forwarded, Suspended];
        /// After submission and before the archive.
        const LIVE: &[ErrandState] = &[
            Submitted,
            SupplementRequested,
            Accepted,
            Handling,
            Forwarded,
            Suspended,
            Decided,
            Delivered,
            NotAccepted,
            Withdrawn,
        ];
        match self {
            Self::File => (&[], To::State(Draft), By::Applicant),
            Self::Submit => (&[Draft], To::State(Submitted), By::Applicant),
            Self::Take => (&[Submitted], To::Same, By::Colleague),
            Self::RequestSupplement => (&[Submitted, Accepted, Handling], To::State(SupplementRequested), By::Holder),
            Self::Supplement => (&[SupplementRequested], To::Back, By::Applicant),
            Self::Lapse => (&[SupplementRequested], To::State(Withdrawn), By::Holder),
            Self::Accept => (&[Submitted], To::State(Accepted), By::Holder),
            Self::DeemAccepted => (&[Submitted], To::State(Accepted), By::System),
            Self::Refuse => (&[Submitted], To::State(NotAccepted), By::Holder),
            Self::Begin => (&[Accepted], To::State(Handling), By::Holder),
            Self::Forward => (&[Accepted, Handling], To::State(Forwarded), By::Holder),
            Self::Later => (&[Forwarded], To::Same, By::Decider),
            Self::Return => (&[Forwarded], To::State(Handling), By::Decider),
            Self::Suspend => (&[Accepted, Handling, Forwarded], To::State(Suspended), By::Holder),
            Self::Resume => (&[Suspended], To::Back, By::Holder),
            Self::Extend => (&[Accepted, Handling, Forwarded], To::Same, By::Approver),
            Self::Decide => (&[Accepted, Handling, Forwarded], To::State(Decided), By::Decider),
            Self::Deliver => (&[Decided], To::State(Delivered), By::Holder),
            Self::Acknowledge => (&[Delivered], To::Same, By::Applicant),
            Self::CallBack => (&[Delivered, Archived], To::Same, By::Staff),
            Self::Archive => (&[Delivered, NotAccepted, Withdrawn], To::State(Archived), By::Holder),
            Self::Withdraw => (UNDECIDED, To::State(Withdrawn), By::Applicant),
            Self::Close => (UNDECIDED, To::State(Withdrawn), By::System),
            Self::OfferTransfer => (LIVE, To::Same, By::Holder),
            Self::AcceptTransfer | Self::DeclineTransfer => (LIVE, To::Same, By::Offered),
            Self::HandOver | Self::HandOverOriginal => (LIVE, To::Same, By::System),
            Self::Correct => (
                &[
                    Submitted,
                    SupplementRequested,
                    Accepted,
                    Handling,
                    Forwarded,
                    Suspended,
                    Decided,
                    Delivered,
                    NotAccepted,
                    Withdrawn,
                    Archived,
                ],
                To::Same,
                By::Holder,
            ),
            Self::TakeOriginal => {
                (&[Submitted, SupplementRequested, Accepted, Handling, Forwarded, Suspended], To::Same, By::Holder)
            }
            Self::PassOriginal
            | Self::ReceiveOriginal
            | Self::OriginalToDepartment
            | Self::OriginalFromDepartment
            | Self::ReturnOriginal
            | Self::AcknowledgeOriginal => (LIVE, To::Same, By::Custodian),
            Self::Remind => (&[Forwarded], To::Same, By::System),
            Self::Recount | Self::Escalate => (&[Submitted, Accepted, Handling, Forwarded], To::Same, By::System),
        }
    }

    pub const fn from(self) -> &'static [ErrandState] {
        self.row().0
    }

    pub const fn by(self) -> By {
        self.row().2
    }
}

/// What the clock reads from a ledger, stored as `[on, step, to, days]`.
#[derive(Clone, Debug, Default, FromSqlRow)]
pub struct Marks(pub Vec<Mark>);

impl FromSql<Nullable<Jsonb>, Pg> for Marks {
    fn from_sql(bytes: PgValue<'_>) -> diesel::deserialize::Result<Self> {
        let value: Value = FromSql::<Jsonb, Pg>::from_sql(bytes)?;
        Ok(Self(serde_json::from_value(value)?))
    }

    fn from_nullable_sql(bytes: Option<PgValue<'_>>) -> diesel::deserialize::Result<Self> {
        bytes.map_or(Ok(Self::default()), Self::from_sql)
    }
}

/// An errand with what is known of it when it is read alone; form and parcel are sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Errand {
    #[diesel(embed)]
    pub line: Line,
    #[diesel(sql_type = Nullable<Text>)]
    pub back_to: Option<ErrandState>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub form: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub content_salt: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub parcel: Option<Vec<u8>>,
    /// The SHA-256 of each of its files, by id.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub files: Option<Value>,
    /// The facts of what was asked for and of its reply, by step; see [`super::replies`].
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub replies: Option<Value>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub on_time: Option<bool>,
    #[diesel(sql_type = SmallInt)]
    pub rung: i16,
    #[diesel(sql_type = Nullable<Date>)]
    pub rung_on: Option<NaiveDate>,
    #[diesel(sql_type = Integer)]
    pub entries: i32,
    #[diesel(sql_type = Nullable<Binary>)]
    pub head: Option<Vec<u8>>,
    /// The mandate that it is handled under still holds; true where none is needed.
    #[diesel(sql_type = Bool)]
    pub mandated: bool,
    /// The caller answers for it, or covers whoever does.
    #[diesel(sql_type = Bool)]
    pub held: bool,
    /// The caller was asked to take it over, or covers whoever was.
    #[diesel(sql_type = Bool)]
    pub offered: bool,
    /// The caller has a post in the department that decides it.
    #[diesel(sql_type = Bool)]
    pub departmental: bool,
    /// Whoever is asked to take it over could.
    #[diesel(sql_type = Bool)]
    pub asked_fits: bool,
    /// Who would answer for a draft that is submitted now.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub first_asked: Option<Uuid>,
    /// Names by id of whoever may answer for it after a step.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub names: Option<Value>,
    #[diesel(sql_type = BigInt)]
    pub originals_out: i64,
    /// What a visit found that it was made of.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub finding_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub marks: Marks,
}

impl Deref for Errand {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.line
    }
}

impl DerefMut for Errand {
    fn deref_mut(&mut self) -> &mut Line {
        &mut self.line
    }
}
