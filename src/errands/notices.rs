//! What residents are told about their errands, and whether it is still so when it is told.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Date, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::model::ErrandState;
use crate::{
    clock::local_date,
    db::found,
    error::Result,
    messages::{self, Kind, NewMessage},
    proxies::{self, May},
    statement, text_enum,
};

text_enum! {
    /// What happened to an errand; the database writes it with the step itself.
    pub enum News {
        Accepted = "accepted",
        SupplementRequested = "supplement_requested",
        NotAccepted = "not_accepted",
        Extended = "extended",
        Decided = "decided",
        Delivered = "delivered",
        Lapsed = "lapsed",
    }
}

/// An errand as far as people are told of it.
#[derive(Clone, Debug, QueryableByName)]
struct Facts {
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = Text)]
    state: ErrandState,
    #[diesel(sql_type = SqlUuid)]
    resident_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    filed_by_resident: Option<Uuid>,
    #[diesel(sql_type = Text)]
    matter_name: String,
    #[diesel(sql_type = Text)]
    unit_name: String,
    #[diesel(sql_type = Nullable<Date>)]
    due_on: Option<NaiveDate>,
    #[diesel(sql_type = SmallInt)]
    limit_days: i16,
}

statement! {
    struct FactsOf { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT e.number, e.state, e.resident_id, e.filed_by_resident, e.due_on, e.limit_days, \
       (SELECT name FROM matters m WHERE m.county_id = e.county_id AND m.id = e.matter_id) AS matter_name, \
       (SELECT name FROM units u WHERE u.county_id = e.county_id AND u.id = e.unit_id) AS unit_name \
     FROM errands e WHERE e.county_id = {county} AND e.id = {id}"
}

impl News {
    fn kind(self) -> Kind {
        match self {
            Self::Accepted => Kind::ErrandAccepted,
            Self::SupplementRequested => Kind::ErrandSupplement,
            Self::NotAccepted => Kind::ErrandNotAccepted,
            Self::Extended => Kind::ErrandExtended,
            Self::Decided => Kind::ErrandDecided,
            Self::Delivered => Kind::ErrandDelivered,
            Self::Lapsed => Kind::ErrandLapsed,
        }
    }

    /// Whether it is still so.
    fn holds(self, row: &Facts) -> bool {
        match self {
            Self::Accepted | Self::Extended => row.due_on.is_some(),
            Self::SupplementRequested => row.state == ErrandState::SupplementRequested,
            Self::NotAccepted | Self::Decided | Self::Delivered | Self::Lapsed => true,
        }
    }
}

/// Tells the resident, and whoever filed it for them while they may still act, what happened to an errand.
pub fn tell(
    conn: &mut PgConnection,
    (county, id): (i32, Uuid),
    (news, version): (News, i64),
    now: DateTime<Utc>,
) -> Result<()> {
    let row: Option<Facts> = found(FactsOf { county, id }.get_result(conn))?;
    let Some(row) = row.filter(|row| news.holds(row)) else { return Ok(()) };
    let kind = news.kind();
    let all = json!({"matter": row.matter_name, "unit": row.unit_name, "number": row.number, "due_on": row.due_on, "days": row.limit_days.to_string()});
    let used = kind.definition().placeholders.iter().map(|(name, _)| ((*name).to_owned(), all[*name].clone()));
    let params: Value = Value::Object(used.collect());
    let mut told = vec![row.resident_id];
    if let Some(relative) = row.filed_by_resident
        && proxies::acts_for(conn, county, (row.resident_id, relative), May::Errand, local_date(now))?
    {
        told.push(relative);
    }
    for resident in told {
        let new = NewMessage { county, resident, kind, about: id, occasion: version, params: params.clone() };
        messages::post(conn, new, now)?;
    }
    Ok(())
}
