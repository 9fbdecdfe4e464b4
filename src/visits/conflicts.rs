//! Other versions that came under the id of a visit: looked at beside it, and settled by a person.

use actix_web::{HttpResponse, get, post, web::Data};
use chrono::{DateTime, FixedOffset, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{Array, Binary, Bool, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    amendments::{self, Added},
    deciding::read_said,
    model::{LeftOut, NoPosition, Reading, Said, Visit, VisitOutcome, VisitPlace, place},
    store,
    views::{VisitView, said},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::CST,
    error::{Code, Error, Result},
    geo::CoordinateSystem,
    http::{
        caller::{Caller, Can, Seen},
        command::Command,
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::{Answer, Once},
        permissions::{AmendVisits, ReadVisits},
        valid::Id,
    },
    statement, text_enum,
};

text_enum! {
    /// How another version was settled.
    pub enum SettledHow {
        /// What was said first is right; the other version is set aside.
        Keep = "keep",
        /// The other version becomes an amendment: its outcome, place and note.
        Amend = "amend",
    }
}

statement! {
    /// Those that the caller may see, and that there are others.
    struct Others { county: i32 as Integer, visit: Uuid as SqlUuid, staff: Option<Uuid> as Nullable<SqlUuid>, within: Option<Uuid> as Nullable<SqlUuid>, whole: bool as Bool }
    "SELECT c.*, (SELECT s.display_name FROM staff s WHERE s.county_id = c.county_id AND s.id = c.staff_id) AS staff_name, \
       {whole} OR coalesce(c.staff_id = {staff}, false) OR coalesce(unit_within({county}, c.unit_id, {within}), false) AS reached, \
       EXISTS (SELECT FROM visits v JOIN households a ON a.county_id = {county} AND a.id = v.household_id JOIN households b ON b.county_id = {county} AND b.id = c.household_id \
         WHERE v.county_id = {county} AND v.id = c.visit_id AND coalesce(a.merged_into, a.id) = coalesce(b.merged_into, b.id)) AS same_household \
     FROM visit_conflicts c WHERE c.county_id = {county} AND c.visit_id = {visit} ORDER BY c.recorded_at, c.id"
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    household_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    staff_id: Uuid,
    #[diesel(sql_type = Text)]
    staff_name: String,
    #[diesel(sql_type = Timestamptz)]
    occurred_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    recorded_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    coordinate_system: Option<CoordinateSystem>,
    #[diesel(sql_type = Nullable<Double>)]
    raw_lng: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    raw_lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    accuracy_m: Option<f64>,
    #[diesel(sql_type = Bool)]
    mocked: bool,
    #[diesel(sql_type = Array<Text>)]
    left_out: Vec<LeftOut>,
    #[diesel(sql_type = Nullable<Binary>)]
    said: Option<Vec<u8>>,
    #[diesel(sql_type = Bool)]
    reached: bool,
    #[diesel(sql_type = Bool)]
    same_household: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    settled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    settled_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    settled_how: Option<SettledHow>,
}

/// Another version of a visit, or the one that is there.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e2", "household_id": "0199a0c0-0000-7000-8000-0000000000d0", "staff_id": "0199a0c0-0000-7000-8000-0000000000a1",
    "staff_name": "红星村特派员", "occurred_at": "2026-11-23T09:12:30+08:00", "recorded_at": "2026-11-23T17:41:00+08:00", "device_at": "2026-11-23T09:12:30+08:00", "outcome": "not_found",
    "place": "home", "position": null, "no_position_reason": "off", "left_out": [], "note": null, "photos": [], "settled_at": null, "settled_by": null, "settled_how": null}))]
pub struct VisitVersion {
    /// Of the other version; of the one that is there, the visit's.
    pub id: Uuid,
    /// None, as all that was said, where it came from beyond the caller's reach: it can be set aside (`keep`), or settled by whoever reaches both.
    pub household_id: Option<Uuid>,
    pub staff_id: Option<Uuid>,
    pub staff_name: Option<String>,
    pub occurred_at: DateTime<FixedOffset>,
    pub recorded_at: DateTime<FixedOffset>,
    /// What was said; none once it has been erased.
    pub device_at: Option<DateTime<FixedOffset>>,
    pub outcome: Option<VisitOutcome>,
    pub place: Option<VisitPlace>,
    /// As the phone measured it; what tells two versions apart that say the same in words.
    #[schema(inline)]
    pub position: Option<Reading>,
    pub no_position_reason: Option<NoPosition>,
    /// What was sent and is not kept.
    pub left_out: Vec<LeftOut>,
    pub note: Option<String>,
    pub photos: Vec<Uuid>,
    pub settled_at: Option<DateTime<FixedOffset>>,
    pub settled_by: Option<Uuid>,
    pub settled_how: Option<SettledHow>,
}

/// Both versions, or all of them.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"first": {"id": "0199a0c0-0000-7000-8000-0000000000d1", "household_id": "0199a0c0-0000-7000-8000-0000000000d0",
    "staff_id": "0199a0c0-0000-7000-8000-0000000000a1", "staff_name": "红星村特派员", "occurred_at": "2026-11-23T09:12:30+08:00", "recorded_at": "2026-11-23T17:40:02+08:00",
    "device_at": "2026-11-23T09:12:30+08:00", "outcome": "seen", "place": "home", "position": null, "no_position_reason": "off", "left_out": [], "note": "身体还好", "photos": [], "settled_at": null, "settled_by": null, "settled_how": null}, "items": []}))]
pub struct VisitVersions {
    /// What is there; none for whoever sent another version and does not see the visit.
    #[schema(inline)]
    pub first: Option<VisitVersion>,
    /// What came under its id later, oldest first.
    pub items: Vec<VisitVersion>,
}

fn local(at: DateTime<Utc>) -> DateTime<FixedOffset> {
    at.with_timezone(&CST)
}

impl VisitVersion {
    fn saying(self, said: Option<Said>) -> Self {
        let Some(said) = said else { return self };
        let Said { device_at, outcome, place, no_position_reason, note, photos, .. } = said;
        let (device_at, outcome, place) = (Some(local(device_at)), Some(outcome), Some(place));
        Self { device_at, outcome, place, no_position_reason, note, photos, ..self }
    }

    fn first(app: &App, visit: &Visit) -> Result<Self> {
        let version = Self {
            id: visit.id,
            household_id: Some(visit.household_id),
            staff_id: Some(visit.staff_id),
            staff_name: Some(visit.staff_name.clone()),
            occurred_at: local(visit.occurred_at),
            recorded_at: local(visit.recorded_at),
            device_at: Some(local(visit.device_at)),
            outcome: Some(visit.outcome),
            place: Some(visit.place),
            position: visit.reading(),
            no_position_reason: visit.no_position_reason,
            left_out: visit.left_out.clone(),
            note: None,
            photos: visit.photos.clone(),
            settled_at: None,
            settled_by: None,
            settled_how: None,
        };
        Ok(version.saying(said(app, visit)?))
    }
}

impl Row {
    fn said(&self, app: &App, county: i32) -> Result<Option<Said>> {
        let open = |sealed: &Vec<u8>| {
            let bytes = app.keys.open(county, &place("visit_conflicts", "said", self.id), sealed)?;
            read_said(&bytes)
        };
        self.said.as_ref().map(open).transpose()
    }

    fn version(self, app: &App, county: i32) -> Result<VisitVersion> {
        let reached = self.reached;
        let said = if reached { self.said(app, county)? } else { None };
        let reading =
            Reading::stored(self.coordinate_system, (self.raw_lng, self.raw_lat), self.accuracy_m, self.mocked);
        let version = VisitVersion {
            id: self.id,
            household_id: reached.then_some(self.household_id),
            staff_id: reached.then_some(self.staff_id),
            staff_name: reached.then_some(self.staff_name),
            occurred_at: local(self.occurred_at),
            recorded_at: local(self.recorded_at),
            device_at: None,
            outcome: None,
            place: None,
            position: reading.filter(|_| reached),
            no_position_reason: None,
            left_out: if reached { self.left_out } else { Vec::new() },
            note: None,
            photos: Vec::new(),
            settled_at: self.settled_at.map(local),
            settled_by: self.settled_by,
            settled_how: self.settled_how,
        };
        Ok(version.saying(said))
    }
}

impl Row {
    /// Only what is seen and speaks of the same household can be right of the visit.
    fn check_amends(&self, said: bool) -> Result<()> {
        let (code, zh, en) = match (self.reached, self.same_household, said) {
            (true, true, true) => return Ok(()),
            (false, ..) => (
                "beyond_reach",
                "该版本来自您的范围之外，只能 keep",
                "it came from beyond your reach: `keep`, or leave it to whoever reaches both",
            ),
            (_, false, _) => (
                "other_household",
                "该版本说的是另一户，只能 keep；请走访人用新的编号重新签到",
                "it is of another household: `keep`, and let whoever sent it check it in under a new id",
            ),
            (.., false) => ("erased", "该版本内容已删除，只能 keep", "what it said has been erased: `keep`"),
        };
        Err(Error::field("/how", code, zh, en))
    }
}

fn others(conn: &mut PgConnection, county: i32, seen: Seen, visit: Uuid) -> QueryResult<Vec<Row>> {
    let Seen { staff, within, whole, .. } = seen;
    Others { county, visit, staff, within, whole }.load(conn)
}

/// The versions of a visit
///
/// What is there, and what came under its id later with other content or from somebody else; of what came from beyond the caller's reach, only when it
/// was and whether it is settled. Whoever sent one of them and does not see the visit sees those within their reach; looks at somebody else's are recorded.
#[utoipa::path(tag = "visits", security(("token" = ["visits:read"])), params(("id" = Uuid, Path, description = "The visit")),
    responses((status = 200, description = "The versions", body = VisitVersions)))]
#[get("/v1/visits/{id}/conflicts")]
pub async fn list_visit_conflicts(caller: Can<ReadVisits>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (who, seen, now) = (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now());
    let (looked, inner) = (Audit::new("read_conflicts", "visit", id.0).fields(vec!["note", "position"]), app.clone());
    let show = app.db.write("list_visit_conflicts", move |conn| {
        let row = store::find(conn, who.county, seen, id.0)?;
        let mut others = others(conn, who.county, seen, id.0)?;
        if row.is_none() {
            // Only their own, with what else they reach.
            if !others.iter().any(|other| other.staff_id == who.subject) {
                return Err(Code::NotFound.into());
            }
            others.retain(|other| other.reached);
        }
        let somebody = |other: &Row| other.reached && other.staff_id != who.subject;
        if row.as_ref().is_some_and(|row| !row.own) || others.iter().any(somebody) {
            audit::record(conn, &who, now, &looked)?;
        }
        let items = others.into_iter().map(|other| other.version(&inner, who.county)).collect::<Result<_>>()?;
        Ok(VisitVersions { first: row.map(|row| VisitVersion::first(&inner, &row)).transpose()?, items })
    });
    Ok(HttpResponse::Ok().json(show.await?))
}

/// Which version is right.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"conflict_id": "0199a0c0-0000-7000-8000-0000000000e2", "how": "amend"}))]
pub struct SettleVisit {
    /// The other version.
    pub conflict_id: Uuid,
    pub how: SettledHow,
}

statement! {
    struct Settle { county: i32 as Integer, id: Uuid as SqlUuid, how: SettledHow as Text, by: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE visit_conflicts SET settled_at = {now}, settled_by = {by}, settled_how = {how} WHERE county_id = {county} AND id = {id} AND settled_at IS NULL"
}

/// Settle another version of a visit
///
/// `keep`: what is there is right. `amend`: the other version's outcome, place and note are added to the visit, if it is of the same household and within
/// reach. By whoever made the visit, or the township; once. With the last one settled the todo about it is done.
#[utoipa::path(tag = "visits", security(("token" = ["visits:amend"])), params(("id" = Uuid, Path, description = "The visit"), IdempotencyHeader, IfMatchHeader),
    request_body = SettleVisit, responses((status = 200, description = "The visit", body = VisitView)), extensions(("x-errors" = json!(["conflict_settled", "not_visitor", "too_many_amendments"]))))]
#[post("/v1/visits/{id}/settle")]
pub async fn settle_visit(
    caller: Can<AmendVisits>,
    id: Id,
    stale: IfMatch,
    command: Command<SettleVisit>,
) -> Result<Answer> {
    let Command { key, lang, app, body: SettleVisit { conflict_id, how }, digest } = command;
    let once = Once::new(&caller, "settle_visit", key, digest);
    let (who, seen, now) = (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now());
    let (inner, looked) = (app.clone(), Audit::new("settle_visit", "visit", id.0).fields(vec!["note", "position"]));
    app.once(once, move |conn| {
        store::lock(conn, who.county, id.0)?;
        let row = store::find(conn, who.county, seen, id.0)?.ok_or(Code::NotFound)?;
        amendments::may(&who, &row)?;
        stale.check(row.version)?;
        let other = others(conn, who.county, seen, row.id)?.into_iter().find(|other| other.id == conflict_id);
        let other = other.ok_or_else(|| {
            let (zh, en) = ("没有这个版本", "there is no such version");
            Error::field("/conflict_id", "unknown_conflict", zh, en)
        })?;
        let (county, by) = (who.county, who.subject);
        let said = other.said(&inner, county)?;
        if how == SettledHow::Amend {
            other.check_amends(said.is_some())?;
        }
        if (Settle { county, id: other.id, how, by, now }).execute(conn)? == 0 {
            return Err(Code::ConflictSettled.into());
        }
        if let (SettledHow::Amend, Some(said)) = (how, said) {
            let (outcome, place) = (Some(said.outcome), Some(said.place));
            let added = Added { outcome, place, note: said.note, conflict: Some(other.id) };
            amendments::add(conn, &inner, (&row, by), &added, now)?;
        }
        if !row.own {
            audit::record(conn, &who, now, &looked)?;
        }
        let row = store::find(conn, county, seen, row.id)?.ok_or(Code::NotFound)?;
        Answer::ok(row.version, &VisitView::of(conn, &inner, lang, &row)?)
    })
    .await
}
