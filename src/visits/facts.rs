//! What check-ins are decided by, read at once: the visits that are there under their ids, and the households that they name.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Array, BigInt, Binary, Bool, Date, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    model::{Clocks, LeftOut, Reading, VisitFlag, place},
    request::CheckIn,
    rules::{Home, Kept},
};
use crate::{
    app::App,
    clock::local_date,
    error::{Code, Error, Result, Retry},
    geo::{CoordinateSystem, Point},
    http::caller::Seen,
    statement,
};

statement! {
    /// Everything that is known of ids of visits, households and villages, and on which of its days the caller reached a household that they do not
    /// reach now: somebody who was its partner in the morning, or of its village, tells it in the evening. One that was erased is there no more on any day. Households are locked, in the order of their ids: whatever else becomes of
    /// them meanwhile waits, and nobody waits for somebody who waits for them.
    pub struct Facts {
        county: i32 as Integer, visits: Vec<Uuid> as Array<SqlUuid>, households: Vec<Uuid> as Array<SqlUuid>, units: Vec<Uuid> as Array<SqlUuid>,
        staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, whole: bool as Bool, days: Vec<NaiveDate> as Array<Date>, now: DateTime<Utc> as Timestamptz,
    }
    "WITH asked AS (SELECT t.version FROM consent_texts t WHERE t.county_id = {county} AND t.purpose = 'position' AND t.effective_from <= {now} \
         ORDER BY t.effective_from DESC, t.version DESC LIMIT 1), \
       named AS (SELECT g.id AS said, coalesce(g.merged_into, g.id) AS id FROM households g WHERE g.county_id = {county} AND g.id = ANY ({households})), \
       homes AS (SELECT h.id, h.unit_id, h.state, h.lng, h.lat, h.holder_id, CASE WHEN h.name IS NOT NULL THEN h.closed_on END AS closed_on FROM households h WHERE h.county_id = {county} AND h.id IN (SELECT n.id FROM named n) \
         ORDER BY h.id FOR NO KEY UPDATE) \
     SELECT 'visit' AS what, v.id AS said, v.household_id AS id, v.unit_id, v.staff_id, v.said AS words, v.coordinate_system, v.raw_lng, v.raw_lat, v.accuracy_m, v.mocked, v.left_out, v.flags, v.occurred_at, v.skew_seconds, v.distance_m, v.version, \
         v.staff_id = {staff} OR {whole} OR EXISTS (SELECT FROM units u LEFT JOIN units p ON p.county_id = u.county_id AND p.id = u.parent_id \
           WHERE u.county_id = {county} AND u.id = v.unit_id AND {within} IN (u.id, u.parent_id, p.parent_id)) AS reached, \
         NULL::text AS state, NULL::float8 AS lng, NULL::float8 AS lat, NULL::bool AS agrees, NULL::date AS closed_on, NULL::date[] AS days \
       FROM visits v WHERE v.county_id = {county} AND v.id = ANY ({visits}) \
     UNION ALL \
     SELECT 'conflict', c.visit_id, c.id, c.unit_id, c.staff_id, c.said, c.coordinate_system, c.raw_lng, c.raw_lat, c.accuracy_m, c.mocked, c.left_out, NULL, c.occurred_at, NULL, NULL, NULL, true, NULL, NULL, NULL, NULL, NULL, NULL \
       FROM visit_conflicts c WHERE c.county_id = {county} AND c.visit_id = ANY ({visits}) \
     UNION ALL \
     SELECT 'household', n.said, h.id, h.unit_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
         r.reached, h.state, h.lng, h.lat, \
         NOT EXISTS (SELECT FROM asked) OR coalesce((SELECT bool_or(l.answer = 'given' AND l.version = (SELECT version FROM asked)) AND bool_and(l.answer = 'given') \
           FROM household_members m CROSS JOIN LATERAL (SELECT c.answer, c.version FROM consents c WHERE c.county_id = m.county_id AND c.resident_id = m.resident_id \
             AND c.purpose = 'position' ORDER BY c.at DESC, c.seq DESC LIMIT 1) l WHERE m.county_id = {county} AND m.household_id = h.id AND m.until_on IS NULL), false), \
         h.closed_on, CASE WHEN NOT r.reached THEN ARRAY(SELECT DISTINCT d.day FROM unnest({households}, {days}) d (household, day) WHERE d.household = n.said AND ( \
           EXISTS (SELECT FROM household_ids({county}, h.id) i (id) JOIN visit_partners p ON p.county_id = {county} AND p.household_id = i.id AND p.staff_id = {staff} \
             WHERE d.day >= p.from_on AND (d.day <= p.until_on OR p.until_on IS NULL)) \
           OR EXISTS (SELECT FROM staff_posts a WHERE a.county_id = {county} AND a.staff_id = {staff} AND a.role IN ('specialist', 'village_cadre', 'township_staff') \
             AND d.day >= (a.since AT TIME ZONE 'Asia/Shanghai')::date AND d.day <= (a.ended_at AT TIME ZONE 'Asia/Shanghai')::date AND unit_within({county}, h.unit_id, a.unit_id)) \
           OR coalesce(staff_covers({county}, {staff}, h.holder_id, d.day), false))) END \
       FROM named n JOIN homes h ON h.id = n.id CROSS JOIN LATERAL (SELECT {whole} OR coalesce(h.holder_id = {staff}, false) \
         OR EXISTS (SELECT FROM units u LEFT JOIN units p ON p.county_id = u.county_id AND p.id = u.parent_id \
           WHERE u.county_id = {county} AND u.id = h.unit_id AND {within} IN (u.id, u.parent_id, p.parent_id)) AS reached OFFSET 0) r \
     UNION ALL \
     SELECT 'village', u.id, u.id, u.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, {whole} OR {within} IN (u.id, u.parent_id, p.parent_id), NULL, NULL, NULL, NULL, NULL, NULL \
       FROM units u LEFT JOIN units p ON p.county_id = u.county_id AND p.id = u.parent_id WHERE u.county_id = {county} AND u.level = 'village' AND u.id = ANY ({units}) \
     UNION ALL \
     SELECT 'nobody_asked', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
       NOT EXISTS (SELECT FROM asked), NULL, NULL, NULL, NULL, NULL, NULL"
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    what: String,
    #[diesel(sql_type = SqlUuid)]
    said: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    unit_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    staff_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    words: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    coordinate_system: Option<CoordinateSystem>,
    #[diesel(sql_type = Nullable<Double>)]
    raw_lng: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    raw_lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    accuracy_m: Option<f64>,
    #[diesel(sql_type = Nullable<Bool>)]
    mocked: Option<bool>,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    left_out: Option<Vec<LeftOut>>,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    flags: Option<Vec<VisitFlag>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    occurred_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    skew_seconds: Option<i64>,
    #[diesel(sql_type = Nullable<Double>)]
    distance_m: Option<f64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    version: Option<i64>,
    #[diesel(sql_type = Nullable<Bool>)]
    reached: Option<bool>,
    #[diesel(sql_type = Nullable<Text>)]
    state: Option<String>,
    #[diesel(sql_type = Nullable<Double>)]
    lng: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    lat: Option<f64>,
    #[diesel(sql_type = Nullable<Bool>)]
    agrees: Option<bool>,
    #[diesel(sql_type = Nullable<Date>)]
    closed_on: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Array<Date>>)]
    days: Option<Vec<NaiveDate>>,
}

/// A visit in short, as whoever checks in is told of it.
#[derive(Clone, Debug)]
pub struct Brief {
    pub household: Uuid,
    pub occurred_at: DateTime<Utc>,
    pub skew_seconds: i64,
    pub distance_m: Option<f64>,
    pub flags: Vec<VisitFlag>,
    pub left_out: Vec<LeftOut>,
    pub version: i64,
}

/// Another version that came under the id of a visit.
#[derive(Clone, Debug)]
pub struct Other {
    pub id: Uuid,
    pub staff: Uuid,
    pub kept: Kept,
}

/// A visit that is there.
#[derive(Clone, Debug)]
pub struct Before {
    pub staff: Uuid,
    pub kept: Kept,
    /// The caller may see it.
    pub reached: bool,
    pub brief: Brief,
    pub others: Vec<Other>,
}

/// A household that is there.
#[derive(Clone, Debug)]
pub struct Household {
    /// Where the id leads to: a duplicate to the record that stays.
    pub id: Uuid,
    pub unit: Uuid,
    /// The caller reaches it now; otherwise those days count on which they did.
    pub reached: bool,
    pub days: Vec<NaiveDate>,
    pub active: bool,
    pub closed_on: Option<NaiveDate>,
    pub home: Home,
}

impl Household {
    /// Whether the caller reaches it, or did on the day of a visit.
    pub fn reached_on(&self, day: NaiveDate) -> bool {
        self.reached || self.days.contains(&day)
    }

    /// Whether it was there on the day of a visit.
    pub fn there_on(&self, day: NaiveDate) -> bool {
        self.active || self.closed_on.is_some_and(|closed| day <= closed)
    }
}

/// What is known of everything that check-ins name.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub visits: HashMap<Uuid, Before>,
    pub households: HashMap<Uuid, Household>,
    /// Villages within the caller's reach.
    pub villages: BTreeSet<Uuid>,
    /// The county asks nobody whether positions may be kept.
    pub nobody_asked: bool,
}

/// Reads it in one statement.
pub fn read(
    conn: &mut PgConnection,
    app: &App,
    (county, seen): (i32, Seen),
    (check_ins, own): (&[&CheckIn], Option<Uuid>),
    clocks: Clocks,
) -> Result<Known> {
    let villages = check_ins.iter().filter_map(|one| one.household.as_ref()).filter_map(|new| new.unit_id);
    let (Seen { staff, within, whole, .. }, now) = (seen, clocks.now);
    let facts = Facts {
        county,
        visits: check_ins.iter().map(|one| one.id).collect(),
        households: check_ins.iter().map(|one| one.household_id).collect(),
        units: villages.chain(own).collect(),
        staff,
        within,
        whole,
        days: check_ins.iter().map(|one| local_date(clocks.occurred(one.device_at()))).collect(),
        now,
    };
    let mut known = Known::default();
    let mut others = Vec::new();
    for row in facts.load::<Row>(conn)? {
        let reached = row.reached.unwrap_or(false);
        match (row.what.as_str(), row.unit_id, row.staff_id) {
            ("visit", _, Some(staff)) => {
                let kept = row.kept(app, county, ("visits", row.said))?;
                let brief = row.brief(now);
                known.visits.insert(row.said, Before { staff, kept, reached, brief, others: Vec::new() });
            }
            ("conflict", _, Some(staff)) => {
                let kept = row.kept(app, county, ("visit_conflicts", row.id))?;
                others.push((row.said, Other { id: row.id, staff, kept }));
            }
            ("household", Some(unit), _) => {
                // It was merged while we waited for it: its id leads on.
                if row.state.as_deref() == Some("merged") {
                    return Err(Error { retry: Retry::Again, ..Code::IdempotencyInProgress.into() });
                }
                let point = row.lng.zip(row.lat).map(|(lng, lat)| Point::wgs84(lng, lat));
                let home = Home { point, agrees: row.agrees.unwrap_or(false) };
                let active = row.state.as_deref() == Some("active");
                let (closed_on, days) = (row.closed_on, row.days.unwrap_or_default());
                let home = Household { id: row.id, unit, reached, days, active, closed_on, home };
                known.households.insert(row.said, home);
            }
            ("village", ..) if reached => drop(known.villages.insert(row.id)),
            ("nobody_asked", ..) => known.nobody_asked = reached,
            _ => {}
        }
    }
    for (visit, other) in others {
        if let Some(before) = known.visits.get_mut(&visit) {
            before.others.push(other);
        }
    }
    Ok(known)
}

impl Row {
    fn kept(&self, app: &App, county: i32, (table, id): (&str, Uuid)) -> Result<Kept> {
        let open = |sealed: &Vec<u8>| app.keys.open(county, &place(table, "said", id), sealed);
        let said = self.words.as_ref().map(open).transpose()?;
        let (at, mocked) = ((self.raw_lng, self.raw_lat), self.mocked.unwrap_or(false));
        let position = Reading::stored(self.coordinate_system, at, self.accuracy_m, mocked);
        Ok(Kept { said, position, left_out: self.left_out.clone().unwrap_or_default() })
    }

    fn brief(&self, now: DateTime<Utc>) -> Brief {
        Brief {
            household: self.id,
            occurred_at: self.occurred_at.unwrap_or(now),
            skew_seconds: self.skew_seconds.unwrap_or(0),
            distance_m: self.distance_m,
            flags: self.flags.clone().unwrap_or_default(),
            left_out: self.left_out.clone().unwrap_or_default(),
            version: self.version.unwrap_or(1),
        }
    }
}
