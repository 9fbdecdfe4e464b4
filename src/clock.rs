//! Time enters the program here and nowhere else.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime, Timelike, Utc};

/// China Standard Time (北京时间), UTC+8 without daylight saving since 1991.
pub const CST: FixedOffset = FixedOffset::east_opt(8 * 3600).expect("eight hours are an offset");

/// Where the time comes from: the system, or a hand that tests move.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// Microseconds since the epoch.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands still at `at` until it is set.
    pub fn manual(at: DateTime<Utc>) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(at.timestamp_micros())))
    }

    /// The present, in whole microseconds: PostgreSQL keeps no more, and what is answered must equal what is read back.
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System =>
            {
                #[expect(clippy::disallowed_methods, reason = "the one place")]
                whole_micros(Utc::now())
            }
            Self::Manual(micros) => DateTime::from_timestamp_micros(micros.load(Ordering::SeqCst)).unwrap_or_default(),
        }
    }

    /// Moves a manual clock; a system clock cannot be moved and stays as it is.
    pub fn set(&self, at: DateTime<Utc>) {
        if let Self::Manual(micros) = self {
            micros.store(at.timestamp_micros(), Ordering::SeqCst);
        }
    }
}

/// A time in whole microseconds, as it is kept: see [`Clock::now`].
pub fn whole_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    at.with_nanosecond(at.nanosecond() / 1000 * 1000).unwrap_or(at)
}

/// The local day of an instant.
pub fn local_date(at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&CST).date_naive()
}

/// The first instant of a local day.
pub fn local_midnight(day: NaiveDate) -> DateTime<Utc> {
    (day.and_time(NaiveTime::MIN) - CST).and_utc()
}
