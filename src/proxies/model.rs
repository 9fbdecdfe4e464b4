//! A proxy: who, for whom, for what, until when.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    codes::Purpose,
    db::schema::proxies,
    error::{FieldError, Text},
    text_enum,
};

/// How long an invitation's code is good.
pub const INVITATION: Purpose = Purpose { name: "proxy", life: TimeDelta::days(7) };

text_enum! {
    /// What the proxy is to the resident.
    pub enum Relation {
        Spouse = "spouse",
        Child = "child",
        Parent = "parent",
        Grandchild = "grandchild",
        Relative = "relative",
        Neighbour = "neighbour",
        /// 照料人
        Carer = "carer",
        /// 监护人
        Guardian = "guardian",
    }
}

text_enum! {
    /// What a proxy may do.
    pub enum May {
        /// Book, see, move and cancel appointments.
        Book = "book",
        /// Order help.
        Order = "order",
        /// File errands and follow them.
        Errand = "errand",
    }
}

text_enum! {
    /// How the resident gave it.
    pub enum GivenHow {
        InMiniProgram = "in_mini_program",
        Signed = "signed",
        Spoken = "spoken",
        /// The guardian of a child under 14.
        ByLaw = "by_law",
    }
}

impl GivenHow {
    /// Residents give it with their own hands, in the mini-program; staff say what they saw signed or heard. Otherwise the fault of the
    /// field `name`.
    pub fn told(by_resident: bool, said: Option<Self>, name: &'static str) -> Result<Self, FieldError> {
        let text = match (by_resident, said) {
            (true, None | Some(Self::InMiniProgram)) => return Ok(Self::InMiniProgram),
            (false, Some(how @ (Self::Signed | Self::Spoken))) => return Ok(how),
            (true, _) => Text::fixed("由工作人员填写", "residents leave it out"),
            (false, _) => Text::fixed("须为 signed 或 spoken", "must be signed or spoken"),
        };
        Err(FieldError::body(format!("/{name}"), name, text))
    }
}

text_enum! {
    /// Where it stands.
    pub enum ProxyState {
        Invited = "invited",
        Active = "active",
        Ended = "ended",
    }
}

impl ProxyState {
    pub fn words(self) -> Text {
        match self {
            Self::Invited => Text::fixed("待接受", "invited"),
            Self::Active => Text::fixed("有效", "active"),
            Self::Ended => Text::fixed("已终止", "ended"),
        }
    }
}

/// A proxy as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = proxies, check_for_backend(diesel::pg::Pg))]
pub struct Proxy {
    pub county_id: i32,
    pub id: Uuid,
    pub resident_id: Uuid,
    pub proxy_id: Option<Uuid>,
    pub relation: Relation,
    pub may: Vec<Option<String>>,
    pub valid_until: NaiveDate,
    pub given_how: GivenHow,
    pub given_by: Option<Uuid>,
    pub state: ProxyState,
    pub accepted_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

impl Proxy {
    pub fn may(&self) -> Vec<May> {
        self.may.iter().flatten().filter_map(|word| word.parse().ok()).collect()
    }
}
