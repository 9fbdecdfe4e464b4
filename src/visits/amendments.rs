//! Amendments (补正): what is to be added to a visit, or is right instead. Further entries; what was said first stays.

use actix_web::post;
use chrono::{DateTime, FixedOffset, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{Visit, VisitOutcome, VisitPlace, place},
    store,
};
use crate::{
    app::App,
    clock::CST,
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can, Seen},
        command::Command,
        document::IdempotencyHeader,
        idempotency::{Answer, Once},
        permissions::{AmendVisits, Role},
        valid::Id,
    },
    statement,
};

/// What was added to a visit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e1", "outcome": null, "place": null, "note": "补充：药已备齐", "conflict_id": null,
    "by_id": "0199a0c0-0000-7000-8000-0000000000a1", "at": "2026-11-23T18:02:00+08:00"}))]
pub struct AmendmentView {
    pub id: Uuid,
    /// What counts instead from then on.
    pub outcome: Option<VisitOutcome>,
    pub place: Option<VisitPlace>,
    /// None once it has been erased.
    pub note: Option<String>,
    /// The other version that it was taken from.
    pub conflict_id: Option<Uuid>,
    pub by_id: Uuid,
    pub at: DateTime<FixedOffset>,
}

statement! {
    struct Insert {
        county: i32 as Integer, id: Uuid as SqlUuid, visit: Uuid as SqlUuid, outcome: Option<VisitOutcome> as Nullable<Text>, place: Option<VisitPlace> as Nullable<Text>,
        note: Option<Vec<u8>> as Nullable<Binary>, conflict: Option<Uuid> as Nullable<SqlUuid>, by: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO visit_amendments (county_id, id, visit_id, outcome, place, note, conflict_id, by_id, at) VALUES ({county}, {id}, {visit}, {outcome}, {place}, {note}, {conflict}, {by}, {now})"
}

/// What is added.
#[derive(Clone, Debug, Default)]
pub struct Added {
    pub outcome: Option<VisitOutcome>,
    pub place: Option<VisitPlace>,
    pub note: Option<String>,
    pub conflict: Option<Uuid>,
}

/// Amendments of one visit: more are no corrections any more.
const MOST: i64 = 50;

/// Adds it to a locked visit; what follows is the trigger's.
pub fn add(
    conn: &mut PgConnection,
    app: &App,
    (visit, by): (&Visit, Uuid),
    added: &Added,
    now: DateTime<Utc>,
) -> Result<AmendmentView> {
    if visit.amendments >= MOST {
        return Err(Code::TooManyAmendments.into());
    }
    if visit.said.is_none() && added.note.is_some() {
        let (zh, en) =
            ("该走访内容已按法律要求删除，不再接收文字", "what the visit said has been erased: no words any more");
        return Err(Error::field("/note", "erased", zh, en));
    }
    let (county, id) = (visit.county_id, Uuid::now_v7());
    let Added { outcome, place: at_place, note, conflict } = added.clone();
    let seal = |note: &String| app.keys.seal(county, &place("visit_amendments", "note", id), note.as_bytes());
    let sealed = note.as_ref().map(seal);
    Insert { county, id, visit: visit.id, outcome, place: at_place, note: sealed, conflict, by, now }.execute(conn)?;
    let at = now.with_timezone(&CST);
    Ok(AmendmentView { id, outcome, place: at_place, note, conflict_id: conflict, by_id: by, at })
}

statement! {
    struct All { county: i32 as Integer, visit: Uuid as SqlUuid }
    "SELECT a.id, a.outcome, a.place, a.note, a.conflict_id, a.by_id, a.at FROM visit_amendments a WHERE a.county_id = {county} AND a.visit_id = {visit} ORDER BY a.at, a.id"
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<VisitOutcome>,
    #[diesel(sql_type = Nullable<Text>)]
    place: Option<VisitPlace>,
    #[diesel(sql_type = Nullable<Binary>)]
    note: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    conflict_id: Option<Uuid>,
    #[diesel(sql_type = SqlUuid)]
    by_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

/// Those of a visit, oldest first.
pub fn of(conn: &mut PgConnection, app: &App, visit: &Visit) -> Result<Vec<AmendmentView>> {
    let (county, visit) = (visit.county_id, visit.id);
    let view = |row: Row| {
        let Row { id, outcome, place: at_place, note, conflict_id, by_id, at } = row;
        let open = |sealed: Vec<u8>| app.keys.open_text(county, &place("visit_amendments", "note", id), &sealed);
        let (note, at) = (note.map(open).transpose()?, at.with_timezone(&CST));
        Ok(AmendmentView { id, outcome, place: at_place, note, conflict_id, by_id, at })
    };
    (All { county, visit }).load::<Row>(conn)?.into_iter().map(view).collect()
}

/// Whoever made it amends it and settles what came under its id; where they have left or are away, the township.
pub fn may(who: &Caller, visit: &Visit) -> Result<()> {
    if visit.own || matches!(who.role, Role::TownshipStaff | Role::CountyAdmin) {
        return Ok(());
    }
    Err(Code::NotVisitor.into())
}

/// What is to be added, at least one thing.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"note": "补充：药已备齐"}))]
pub struct AmendVisit {
    /// What is right instead.
    pub outcome: Option<VisitOutcome>,
    pub place: Option<VisitPlace>,
    /// 1 to 2,000 characters; kept sealed.
    #[validate(length(min = 1, max = 2000))]
    #[schema(min_length = 1, max_length = 2000)]
    pub note: Option<String>,
}

/// Amend a visit
///
/// A further entry; what was said first stays. An outcome counts instead of the one before: `seen` resolves the household's task of that day, anything else opens it
/// again unless another visit met somebody. So does a place: what was not at home is not far from it. At most 50. By whoever made the visit, or the township.
#[utoipa::path(tag = "visits", security(("token" = ["visits:amend"])), params(("id" = Uuid, Path, description = "The visit"), IdempotencyHeader),
    request_body = AmendVisit, responses((status = 201, description = "The entry", body = AmendmentView)), extensions(("x-errors" = json!(["not_visitor", "too_many_amendments"]))))]
#[post("/v1/visits/{id}/amendments")]
pub async fn amend_visit(caller: Can<AmendVisits>, id: Id, command: Command<AmendVisit>) -> Result<Answer> {
    let Command { key, app, body, digest, .. } = command;
    let AmendVisit { outcome, place, note } = body;
    if outcome.is_none() && place.is_none() && note.is_none() {
        let (zh, en) = ("须至少填写一项", "say at least one thing");
        return Err(Error::field("", "required", zh, en));
    }
    let once = Once::new(&caller, "amend_visit", key, digest);
    let (who, seen, now) = (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now());
    let (inner, added) = (app.clone(), Added { outcome, place, note, conflict: None });
    app.once(once, move |conn| {
        store::lock(conn, who.county, id.0)?;
        let row = store::find(conn, who.county, seen, id.0)?.ok_or(Code::NotFound)?;
        may(&who, &row)?;
        let view = add(conn, &inner, (&row, who.subject), &added, now)?;
        Answer::created(format!("/v1/visits/{}", row.id), row.version + 1, &view)
    })
    .await
}
