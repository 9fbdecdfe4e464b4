//! Where an order stands, and the table of the moves between its states.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Binary, Bool, Date, Double, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use uuid::Uuid;

use super::kinds::{Dispatch, Evidence, HelperKind};
use crate::{error::Text as Words, text_enum};

text_enum! {
    /// Where an order (订单) stands.
    pub enum OrderState {
        /// 待接单
        Open = "open",
        /// 已接单: until its lease ends.
        Claimed = "claimed",
        /// 已出发
        OnTheWay = "on_the_way",
        /// 服务中
        AtWork = "at_work",
        /// 已完成: the resident has not said so yet.
        Finished = "finished",
        /// 已确认
        Confirmed = "confirmed",
        /// 有争议: the township settles it.
        Disputed = "disputed",
        /// 已取消
        Cancelled = "cancelled",
        /// 已过期: nobody took it in its time; the township has been asked.
        Expired = "expired",
    }
}

impl OrderState {
    pub fn words(self) -> Words {
        match self {
            Self::Open => Words::fixed("待接单", "open"),
            Self::Claimed => Words::fixed("已接单", "claimed"),
            Self::OnTheWay => Words::fixed("已出发", "on the way"),
            Self::AtWork => Words::fixed("服务中", "at work"),
            Self::Finished => Words::fixed("已完成，待确认", "finished, to be confirmed"),
            Self::Confirmed => Words::fixed("已确认", "confirmed"),
            Self::Disputed => Words::fixed("有争议，乡镇处理中", "disputed, with the township"),
            Self::Cancelled => Words::fixed("已取消", "cancelled"),
            Self::Expired => Words::fixed("无人接单，已转乡镇", "nobody took it; with the township"),
        }
    }

    /// Somebody is to come, or is there.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Claimed | Self::OnTheWay | Self::AtWork)
    }

    /// From the claim to the confirmation: whoever holds it sees where and for whom it is.
    pub const fn shows_whom(self) -> bool {
        matches!(self, Self::Claimed | Self::OnTheWay | Self::AtWork | Self::Finished | Self::Disputed)
    }
}

text_enum! {
    /// A move of an order.
    pub enum Step {
        Order = "order",
        /// 抢单
        Claim = "claim",
        /// 派单
        Assign = "assign",
        /// 退单: back to the pool.
        Return = "return",
        SetOut = "set_out",
        Start = "start",
        Finish = "finish",
        Confirm = "confirm",
        Cancel = "cancel",
        Expire = "expire",
        /// Nobody answers, and whoever came is worried.
        Worry = "worry",
        Dispute = "dispute",
        Settle = "settle",
        /// 回访
        CallBack = "call_back",
        /// Somebody has been asked to see to it, because nothing happened in time.
        Ask = "ask",
        /// By the system: whoever held it has left.
        HandOver = "hand_over",
    }
}

/// Who makes a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The resident, or somebody who acts for them; staff where they ordered it.
    Resident,
    /// A helper who does not hold it.
    Helper,
    /// Whoever holds it.
    Holder,
    /// Whoever holds it, or a dispatcher.
    HolderOrDispatcher,
    /// The resident's side, or a dispatcher.
    ResidentOrDispatcher,
    /// Either side, or staff who write down what somebody without a phone says.
    Anybody,
    /// The resident's side, or staff who do not hold it.
    NotHolder,
    /// Staff who do not hold it.
    OtherStaff,
    /// The township or the county over the unit, if it is not their own order.
    Dispatcher,
    System,
}

impl Step {
    /// The table: from which states, where to, by whom. None: stays where it is. [`super`] draws it.
    pub const fn row(self) -> (&'static [OrderState], Option<OrderState>, By) {
        use OrderState::{AtWork, Cancelled, Claimed, Confirmed, Disputed, Expired, Finished, OnTheWay, Open};
        match self {
            Self::Order => (&[], Some(Open), By::Resident),
            Self::Claim => (&[Open], Some(Claimed), By::Helper),
            Self::Assign => (&[Open, Expired], Some(Claimed), By::Dispatcher),
            Self::Return => (&[Claimed, OnTheWay, AtWork], Some(Open), By::HolderOrDispatcher),
            Self::SetOut => (&[Claimed], Some(OnTheWay), By::Holder),
            Self::Start => (&[Claimed, OnTheWay], Some(AtWork), By::Anybody),
            Self::Finish => (&[AtWork], Some(Finished), By::Holder),
            Self::Confirm => (&[Finished], Some(Confirmed), By::Anybody),
            Self::Cancel => (&[Open, Claimed, OnTheWay, Expired], Some(Cancelled), By::ResidentOrDispatcher),
            Self::Expire => (&[Open], Some(Expired), By::System),
            Self::Worry => (&[Claimed, OnTheWay, AtWork], None, By::Holder),
            Self::Dispute => (&[Finished], Some(Disputed), By::NotHolder),
            // Confirmed or cancelled, as it is settled.
            Self::Settle => (&[Disputed], Some(Confirmed), By::Dispatcher),
            // Confirmed, disputed or as it was, as it was answered.
            Self::CallBack => (&[Finished], None, By::OtherStaff),
            Self::Ask => (&[Open, OnTheWay, AtWork, Finished, Expired], None, By::System),
            Self::HandOver => (&[Claimed, OnTheWay, AtWork], None, By::System),
        }
    }

    pub const fn from(self) -> &'static [OrderState] {
        self.row().0
    }

    pub const fn by(self) -> By {
        self.row().2
    }
}

text_enum! {
    /// How the beginning was proved.
    pub enum StartedHow {
        /// The resident's one-time code.
        Code = "code",
        /// Another agent wrote it down for somebody without a phone.
        WithoutPhone = "without_phone",
        /// Staff who hold it say so themselves; supervisors see how often.
        OwnWord = "own_word",
    }
}

text_enum! {
    /// How the end was confirmed. Silence never confirms.
    pub enum ConfirmedHow {
        InMiniProgram = "in_mini_program",
        /// The resident's one-time code.
        Code = "code",
        /// An agent wrote it down for somebody without a phone.
        WithoutPhone = "without_phone",
        CallBack = "call_back",
        /// By the township, after a dispute.
        Settled = "settled",
    }
}

/// An order with what its next move is decided by; what is personal is sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Order {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = SqlUuid)]
    pub kind_id: Uuid,
    #[diesel(sql_type = Text)]
    pub kind_name: String,
    #[diesel(sql_type = SqlUuid)]
    pub resident_id: Uuid,
    #[diesel(sql_type = Nullable<Binary>)]
    pub resident_name: Option<Vec<u8>>,
    #[diesel(sql_type = SqlUuid)]
    pub unit_id: Uuid,
    #[diesel(sql_type = Text)]
    pub unit_name: String,
    #[diesel(sql_type = Text)]
    pub state: OrderState,
    #[diesel(sql_type = Timestamptz)]
    pub wanted_from: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub wanted_until: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    pub at_once: bool,
    #[diesel(sql_type = Array<Text>)]
    pub skills: Vec<String>,
    #[diesel(sql_type = Array<Text>)]
    pub taken_by: Vec<HelperKind>,
    #[diesel(sql_type = Text)]
    pub dispatch: Dispatch,
    #[diesel(sql_type = Text)]
    pub evidence: Evidence,
    #[diesel(sql_type = Bool)]
    pub money: bool,
    #[diesel(sql_type = SmallInt)]
    pub duration_minutes: i16,
    #[diesel(sql_type = SmallInt)]
    pub grab_minutes: i16,
    #[diesel(sql_type = SmallInt)]
    pub start_minutes: i16,
    #[diesel(sql_type = Nullable<Text>)]
    pub language: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub address: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub phone: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub words: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub form: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lng: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lat: Option<f64>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub ordered_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub ordered_by_resident: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub series_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Date>)]
    pub occurrence: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub holder_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub load_place: Option<i16>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub lease_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    pub opened_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub due_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Bool)]
    pub told: bool,
    #[diesel(sql_type = Integer)]
    pub codes: i32,
    #[diesel(sql_type = SmallInt)]
    pub tries: i16,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub set_out_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub started_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub started_how: Option<StartedHow>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub finished_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub confirmed_how: Option<ConfirmedHow>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Integer)]
    pub moves: i32,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
    /// Whoever holds it; of helpers who are residents, their record and their sealed name.
    #[diesel(sql_type = Nullable<Text>)]
    pub holder_kind: Option<HelperKind>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub holder_staff: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub holder_staff_name: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub holder_resident: Option<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub holder_name: Option<Vec<u8>>,
    /// What a visit found that it was made of.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub finding_id: Option<Uuid>,
    /// Of the resident's side: the resident, or somebody who may order for them.
    #[diesel(sql_type = Bool)]
    pub mine: bool,
    /// The caller holds it.
    #[diesel(sql_type = Bool)]
    pub held: bool,
    /// Lines of money that nobody has answered, and what those that were agreed to do not account for, in fen.
    #[diesel(sql_type = BigInt)]
    pub money_pending: i64,
    #[diesel(sql_type = BigInt)]
    pub money_missing: i64,
}
