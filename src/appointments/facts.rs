//! Everything that a booking is decided and answered by, in one round trip.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Binary, Bool, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::limits::Standing;
use crate::{
    clock::{local_date, local_midnight},
    error::Result,
    people::IdentityLevel,
    settings::Settings,
    statement,
    windows::{Opening, Place, openings},
};

statement! {
    /// A row per open window that serves the matter, or one without a window; none if unit or matter do not exist. Passes the gate
    /// of the centre: until the end of the transaction nobody changes its opening.
    pub struct FactsOf {
        county: i32 as Integer, unit: Uuid as SqlUuid, matter: Uuid as SqlUuid, resident: Uuid as SqlUuid, day: NaiveDate as Date,
        after: DateTime<Utc> as Timestamptz, before: DateTime<Utc> as Timestamptz, since: DateTime<Utc> as Timestamptz,
        now: DateTime<Utc> as Timestamptz, but: Option<Uuid> as Nullable<SqlUuid>,
    }
    "SELECT u.name AS unit_name, m.name AS matter_name, m.identity_level AS level_needed, m.slots, m.travel_minutes, m.places, m.own_specialist, \
            p.id AS resident_id, p.name AS resident_name, p.phone AS resident_phone, coalesce(p.identity_level, 'none') AS level, \
            ARRAY(SELECT a.nth FROM appointments a WHERE a.county_id = {county} AND a.resident_id = {resident} AND a.matter_id = {matter} AND a.on_date = {day} \
                    AND a.state IN ('held', 'booked', 'arrived', 'called', 'serving') AND a.channel <> 'walk_in' \
                    AND (a.state <> 'held' OR a.held_until > {now}) AND a.id IS DISTINCT FROM {but}) AS taken, \
            ARRAY(SELECT a.starts_at FROM appointments a WHERE a.county_id = {county} AND a.resident_id = {resident} AND a.state = 'no_show' \
                    AND a.starts_at > {since} AND a.channel = 'public') AS no_shows, \
            EXISTS (SELECT FROM appointments a WHERE a.county_id = {county} AND a.resident_id = {resident} AND a.matter_id = {matter} AND a.on_date = {day} \
                    AND a.state IN ('held', 'booked', 'arrived', 'called', 'serving') AND a.channel <> 'walk_in' AND a.state = 'held' \
                    AND (a.waiting_id IS NULL OR a.held_until <= {now})) AS holding, o.* \
     FROM units u JOIN matters m ON m.county_id = u.county_id AND m.id = {matter} AND m.state = 'active' \
     LEFT JOIN residents p ON p.county_id = u.county_id AND p.id = {resident} AND p.merged_into IS NULL AND p.closed_at IS NULL \
     LEFT JOIN LATERAL centre_openings({county}, {unit}, {matter}, CASE WHEN m.own_specialist THEN coalesce(p.unit_id, u.id) END, {day}, {day}, \
       {after}, {before}, {now}, true, {but}) o ON true \
     WHERE u.county_id = {county} AND u.id = {unit}"
}

#[derive(QueryableByName)]
struct FactRow {
    #[diesel(sql_type = Text)]
    unit_name: String,
    #[diesel(sql_type = Text)]
    matter_name: String,
    #[diesel(sql_type = Text)]
    level_needed: IdentityLevel,
    #[diesel(sql_type = SmallInt)]
    slots: i16,
    #[diesel(sql_type = SmallInt)]
    travel_minutes: i16,
    #[diesel(sql_type = Array<Text>)]
    places: Vec<Place>,
    #[diesel(sql_type = Bool)]
    own_specialist: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    resident_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    resident_name: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    resident_phone: Option<Vec<u8>>,
    #[diesel(sql_type = Text)]
    level: IdentityLevel,
    #[diesel(sql_type = Array<SmallInt>)]
    taken: Vec<i16>,
    #[diesel(sql_type = Array<Timestamptz>)]
    no_shows: Vec<DateTime<Utc>>,
    #[diesel(sql_type = Bool)]
    holding: bool,
    #[diesel(embed)]
    opening: openings::Row,
}

/// What is asked of [`facts`].
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub county: i32,
    pub unit: Uuid,
    pub matter: Uuid,
    pub resident: Uuid,
    /// Taken places are told from here on, with travel, to the end of the day.
    pub starts_at: DateTime<Utc>,
    /// An appointment that does not count, because it is about to move.
    pub but: Option<Uuid>,
    pub now: DateTime<Utc>,
}

/// What is known when something is booked.
#[derive(Clone, Debug)]
pub struct Facts {
    pub unit_name: String,
    pub matter_name: String,
    /// How sure the matter wants us to be who the resident is, and how sure we are.
    pub level_needed: IdentityLevel,
    pub level: IdentityLevel,
    pub slots: i16,
    pub travel_minutes: i16,
    pub places: Vec<Place>,
    pub own_specialist: bool,
    /// None: there is nobody of this id any more.
    pub resident_id: Option<Uuid>,
    pub resident_name: Option<Vec<u8>>,
    pub resident_phone: Option<Vec<u8>>,
    pub standing: Standing,
    /// The resident has a hold of this matter and day that a booking replaces, or one that has run out.
    pub holding: bool,
    pub openings: Vec<Opening>,
}

/// Whoever did not come before this may book.
pub fn no_shows_since(settings: &Settings, now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::days(settings.booking_no_show_days + settings.booking_pause_days + 1)
}

/// The facts about one start; none if unit or matter do not exist.
pub fn facts(conn: &mut PgConnection, settings: &Settings, about: About) -> Result<Option<Facts>> {
    let About { county, unit, matter, resident, starts_at, but, now } = about;
    let day = local_date(starts_at);
    let next = day.checked_add_days(Days::new(1)).unwrap_or(day);
    let since = no_shows_since(settings, now);
    // The longest travel that a matter can have.
    let after = starts_at - TimeDelta::minutes(240);
    let ask = FactsOf { county, unit, matter, resident, day, after, before: local_midnight(next), since, now, but };
    let mut rows = ask.load::<FactRow>(conn)?.into_iter();
    let Some(first) = rows.next() else { return Ok(None) };
    let mut found = Vec::new();
    let FactRow { opening, .. } = first;
    found.extend(opening.opening()?);
    for row in rows {
        found.extend(row.opening.opening()?);
    }
    Ok(Some(Facts {
        unit_name: first.unit_name,
        matter_name: first.matter_name,
        level_needed: first.level_needed,
        level: first.level,
        slots: first.slots,
        travel_minutes: first.travel_minutes,
        places: first.places,
        own_specialist: first.own_specialist,
        resident_id: first.resident_id,
        resident_name: first.resident_name,
        resident_phone: first.resident_phone,
        standing: Standing { taken: first.taken, no_shows: first.no_shows },
        holding: first.holding,
        openings: found,
    }))
}
