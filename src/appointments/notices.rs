//! What people are told about their appointments, and whether it is still so when it is told.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::model::AppointmentState;
use crate::{
    clock::{CST, local_date},
    db::found,
    error::Result,
    messages::{self, Kind, NewMessage},
    proxies::{self, May},
    statement, text_enum,
    windows::Place,
};

/// How long somebody who is called has to be told so: after that they have been called again, or have missed it.
const CALLED: TimeDelta = TimeDelta::minutes(5);

text_enum! {
    /// What happened to an appointment; the database writes it with the move itself.
    pub enum News {
        Booked = "booked",
        Changed = "changed",
        Cancelled = "cancelled",
        /// To somebody on the waiting list.
        Offered = "offered",
        Called = "called",
    }
}

impl News {
    /// The kind of message for the resident, and for the relative who booked.
    fn kinds(self) -> (Kind, Kind) {
        match self {
            Self::Booked => (Kind::AppointmentBooked, Kind::ProxyBooked),
            Self::Changed => (Kind::AppointmentChanged, Kind::AppointmentChanged),
            Self::Cancelled => (Kind::AppointmentCancelled, Kind::AppointmentCancelled),
            Self::Offered => (Kind::PlaceOffered, Kind::PlaceOffered),
            Self::Called => (Kind::TicketCalled, Kind::TicketCalled),
        }
    }

    /// What had been said before and is so no longer.
    fn contradicts(self) -> &'static [Kind] {
        match self {
            Self::Booked => &[Kind::PlaceOffered],
            Self::Changed | Self::Cancelled => ALL,
            Self::Offered => &[],
            Self::Called => &[Kind::AppointmentTomorrow, Kind::AppointmentSoon, Kind::TicketCalled],
        }
    }
}

/// Every kind that says when and where somebody has an appointment or could have one.
const ALL: &[Kind] = &[
    Kind::AppointmentBooked,
    Kind::ProxyBooked,
    Kind::AppointmentChanged,
    Kind::AppointmentTomorrow,
    Kind::AppointmentSoon,
    Kind::PlaceOffered,
    Kind::TicketCalled,
];

/// An appointment as far as people are told of it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Facts {
    #[diesel(sql_type = Integer)]
    pub county_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub state: AppointmentState,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Text)]
    pub place: Place,
    #[diesel(sql_type = Timestamptz)]
    pub starts_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub resident_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub booked_by_resident: Option<Uuid>,
    #[diesel(sql_type = Text)]
    pub unit_name: String,
    /// The window that calls, where one does.
    #[diesel(sql_type = Text)]
    pub window_name: String,
    #[diesel(sql_type = Text)]
    pub matter_name: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub ticket: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub called_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub held_until: Option<DateTime<Utc>>,
    /// Why it was cancelled, unless a resident did: what they say is theirs.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// It has been given another time or window since the version asked for.
    #[diesel(sql_type = Bool)]
    pub moved_since: bool,
}

/// The columns of [`Facts`], of an appointment `a`, as things stood at `{version}`.
macro_rules! facts_to_tell {
    () => {
        "a.county_id, a.id, a.state, a.version, a.place, a.starts_at, a.resident_id, a.booked_by_resident, a.ticket, a.called_at, a.held_until, \
         (SELECT name FROM units u WHERE u.county_id = a.county_id AND u.id = a.unit_id) AS unit_name, \
         (SELECT name FROM windows w WHERE w.county_id = a.county_id AND w.id = coalesce(a.desk_id, a.window_id)) AS window_name, \
         (SELECT name FROM matters m WHERE m.county_id = a.county_id AND m.id = a.matter_id) AS matter_name, \
         CASE WHEN a.state = 'cancelled' AND NOT EXISTS (SELECT FROM residents p WHERE p.county_id = a.county_id AND p.id = a.updated_by) \
           THEN a.cancel_reason END AS reason, \
         EXISTS (SELECT FROM appointment_events e WHERE e.county_id = a.county_id AND e.appointment_id = a.id AND e.version > {version} \
           AND (e.from_starts_at, e.from_window_id) IS DISTINCT FROM (e.to_starts_at, e.to_window_id)) AS moved_since"
    };
}

pub(super) use facts_to_tell;

statement! {
    struct FactsOf { county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt }
    concat!("SELECT ", facts_to_tell!(), " FROM appointments a WHERE a.county_id = {county} AND a.id = {id}")
}

/// Whether news of a version is still news: not what has been undone, has begun or has been told better since.
fn is_news(news: News, version: i64, row: &Facts, now: DateTime<Utc>) -> bool {
    match news {
        News::Booked | News::Changed => {
            row.state == AppointmentState::Booked && row.starts_at > now && !row.moved_since
        }
        News::Cancelled => row.state == AppointmentState::Cancelled && local_date(row.starts_at) >= local_date(now),
        News::Offered => row.state == AppointmentState::Held && row.held_until.is_some_and(|until| until > now),
        News::Called => row.state == AppointmentState::Called && row.version == version,
    }
}

impl Facts {
    fn params(&self) -> Value {
        let local = |at: DateTime<Utc>| at.with_timezone(&CST).to_rfc3339();
        json!({
            "matter": self.matter_name, "unit": self.unit_name, "window": self.window_name, "place": self.place,
            "starts_at": local(self.starts_at), "ticket": self.ticket, "offered_until": self.held_until.map(local),
            "reason": self.reason, "called_until": self.called_at.map(|at| local(at + CALLED)),
        })
    }

    /// Tells the resident and, while they may still act for the resident, the relative who booked.
    pub fn tell(
        &self,
        conn: &mut PgConnection,
        (resident_kind, relative_kind): (Kind, Kind),
        occasion: i64,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let Some(resident) = self.resident_id else { return Ok(()) };
        let (county, about) = (self.county_id, self.id);
        let relative = match self.booked_by_resident {
            Some(relative) if self.may_know(conn, (resident, relative), local_date(now))? => Some(relative),
            _ => None,
        };
        for (kind, told) in [(resident_kind, Some(resident)), (relative_kind, relative)] {
            let Some(resident) = told else { continue };
            let new = NewMessage { county, resident, kind, about, occasion, params: self.params_of(kind) };
            messages::post(conn, new, now)?;
        }
        Ok(())
    }

    fn may_know(&self, conn: &mut PgConnection, who: (Uuid, Uuid), today: NaiveDate) -> QueryResult<bool> {
        proxies::acts_for(conn, self.county_id, who, May::Book, today)
    }

    /// Only what the words of the kind can use.
    fn params_of(&self, kind: Kind) -> Value {
        let all = self.params();
        let used = kind.definition().placeholders.iter().map(|(name, _)| ((*name).to_owned(), all[*name].clone()));
        Value::Object(used.collect())
    }
}

/// Tells what happened to an appointment, if it is still so; what had been said before and has not gone out does not.
pub fn tell(
    conn: &mut PgConnection,
    (county, id): (i32, Uuid),
    (news, version): (News, i64),
    now: DateTime<Utc>,
) -> Result<()> {
    let row: Option<Facts> = found(FactsOf { county, id, version }.get_result(conn))?;
    let Some(row) = row.filter(|row| is_news(news, version, row, now)) else { return Ok(()) };
    messages::withdraw(conn, county, (news.contradicts(), version), id, now)?;
    row.tell(conn, news.kinds(), version, now)
}

/// What was said of an appointment is so no longer, from this moment: for whoever cancels or moves it, so that nothing goes out
/// before [`tell`] has its turn.
pub fn withdraw(conn: &mut PgConnection, county: i32, id: Uuid, now: DateTime<Utc>) -> Result<()> {
    messages::withdraw(conn, county, (ALL, i64::MAX), id, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
    }

    #[test]
    fn what_is_no_longer_so_is_no_news() {
        use AppointmentState::{Arrived, Booked, Called, Cancelled, Held, Lapsed};
        let now = at("2026-11-23T09:00:00+08:00");
        let row = |state, starts_at: &str, moved_since| Facts {
            county_id: 1,
            id: Uuid::nil(),
            state,
            version: 3,
            place: Place::Centre,
            starts_at: at(starts_at),
            resident_id: None,
            booked_by_resident: None,
            unit_name: String::new(),
            window_name: String::new(),
            matter_name: String::new(),
            ticket: None,
            called_at: None,
            held_until: Some(at("2026-11-23T09:30:00+08:00")),
            reason: None,
            moved_since,
        };
        let (soon, past) = ("2026-11-23T10:00:00+08:00", "2026-11-23T08:30:00+08:00");
        for (news, version, state, starts_at, moved_since, expected) in [
            (News::Booked, 1, Booked, soon, false, true),
            (News::Booked, 1, Booked, soon, true, false),
            (News::Booked, 1, Booked, past, false, false),
            (News::Booked, 1, Cancelled, soon, false, false),
            (News::Changed, 2, Booked, soon, false, true),
            (News::Changed, 2, Booked, soon, true, false),
            (News::Cancelled, 3, Cancelled, past, false, true),
            (News::Cancelled, 3, Cancelled, "2026-11-22T10:00:00+08:00", false, false),
            (News::Cancelled, 3, Booked, soon, false, false),
            (News::Offered, 1, Held, soon, false, true),
            (News::Offered, 1, Lapsed, soon, false, false),
            (News::Called, 3, Called, past, false, true),
            (News::Called, 2, Called, past, false, false),
            (News::Called, 3, Arrived, past, false, false),
        ] {
            let row = row(state, starts_at, moved_since);
            assert_eq!(is_news(news, version, &row, now), expected, "{news:?} {version} {state:?} {moved_since}");
        }
        let late = at("2026-11-23T09:30:00+08:00");
        assert!(!is_news(News::Offered, 1, &row(Held, soon, false), late), "the offer has run out");
    }
}
