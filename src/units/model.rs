//! Counties, units and division codes.

use std::{str::FromStr, sync::Arc};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    db::schema::units,
    error::{Code, Error, Result},
    settings::Settings,
    text_enum,
};

/// A tenant.
#[derive(Clone, Debug)]
pub struct County {
    pub id: i32,
    /// Immutable short name, at first the division code.
    pub key: Arc<str>,
    pub name: String,
    pub wechat_appid: Option<String>,
    /// Sealed.
    pub wechat_secret: Option<Vec<u8>>,
    /// The county's SMS gateway.
    pub sms_url: Option<String>,
    /// Sealed.
    pub sms_secret: Option<Vec<u8>>,
    /// What the county decides, as it is now.
    pub settings: Settings,
    pub state: CountyState,
}

impl County {
    /// 403 while the county is suspended. Why is the operator's business.
    pub fn working(&self) -> Result<()> {
        match self.state {
            CountyState::Active => Ok(()),
            CountyState::Suspended => Err(Error::new(Code::CountySuspended).detail(
                "请联系县管理员；恢复后无需重新登录",
                "Ask the county's administrator; afterwards your session works again",
            )),
        }
    }
}

text_enum! {
    /// Whether a county may use the installation.
    pub enum CountyState {
        Active = "active",
        /// Nobody logs in, sessions are refused but not ended, public reads are 404, jobs wait.
        Suspended = "suspended",
    }
}

text_enum! {
    /// 县、乡、村; in cities 区、街道、社区.
    pub enum Level {
        County = "county",
        Township = "township",
        Village = "village",
    }
}

/// Twelve digits: six for the county, three for the township, three for the village (GB/T 10114). An attribute of a unit,
/// never its key: two ministries number differently, and codes change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DivisionCode(String);

impl DivisionCode {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The level that the trailing zeros tell.
    pub fn level(&self) -> Level {
        match (&self.0[6..9], &self.0[9..]) {
            ("000", "000") => Level::County,
            (_, "000") => Level::Township,
            _ => Level::Village,
        }
    }

    /// The six digits of the county.
    pub fn county(&self) -> &str {
        &self.0[..6]
    }
}

impl FromStr for DivisionCode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        if fits { Ok(Self(text.to_owned())) } else { Err("a division code has 12 digits") }
    }
}

/// A unit as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = units, check_for_backend(diesel::pg::Pg))]
pub struct Unit {
    pub id: Uuid,
    pub parent_id: Option<Uuid>,
    pub level: Level,
    pub name: String,
    pub division_code: String,
    pub code_source: String,
    pub code_vintage: Option<String>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}
