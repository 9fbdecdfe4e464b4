//! What is made of a finding, in one call: an errand draft, an order, a todo; each linked to it.

use actix_web::post;
use chrono::{DateTime, FixedOffset};
use diesel::PgConnection;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    finding_routes::FindingView,
    findings::{self, CaseKind, Finding},
};
use crate::{
    app::App,
    audit::{self, Audit},
    errands::{self, Draft, Filing, Provided},
    error::{Code, Error, Lang, Result, Text},
    geo::Point,
    http::{
        caller::{Caller, Can, Scope, Seen},
        command::Command,
        document::IdempotencyHeader,
        idempotency::{Answer, Once},
        permissions::{CheckInVisits, FileErrands, OrderHelp, Permission},
        valid::Id,
    },
    matters::Answers,
    orders::{self, Wish},
    people::Phone,
    staff,
    todos::{self, Kind, NewTodo},
};

/// What a finding is called where a todo is about it.
const FINDING: &str = "finding";

/// What the caller reaches with the permission that the case itself needs.
fn reach<P: Permission>(who: &Caller) -> Result<Scope> {
    who.scope_of::<P>()?.ok_or(Code::Forbidden.into())
}

fn find(conn: &mut PgConnection, who: &Caller, seen: Seen, id: Uuid) -> Result<Finding> {
    findings::lock(conn, who.county, id)?;
    findings::find(conn, who.county, seen, id)?.ok_or(Code::NotFound.into())
}

/// Links the case, and answers the finding with where the case is; whoever has not written it down looks at it.
fn made(
    conn: &mut PgConnection,
    app: &App,
    (who, seen, lang): (&Caller, Seen, Lang),
    (finding, kind, case): (&Finding, CaseKind, Uuid),
) -> Result<Answer> {
    let now = app.clock.now();
    findings::link(conn, finding, (kind, case), who.subject, now)?;
    if finding.by_id != who.subject {
        audit::record(conn, who, now, &Audit::new("read_finding", "finding", finding.id).fields(vec!["words"]))?;
    }
    let row = findings::find(conn, who.county, seen, finding.id)?.ok_or(Code::NotFound)?;
    Answer::created(kind.path(case), row.version, &FindingView::of(app, lang, &row)?)
}

/// The errand that is made of it.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"matter_id": "0199a0c0-0000-7000-8000-0000000000b1", "mandate_id": "0199a0c0-0000-7000-8000-0000000000b2"}))]
pub struct MakeErrand {
    /// A matter with a version in effect.
    pub matter_id: Uuid,
    /// For whom; whom the finding concerns by default.
    pub resident_id: Option<Uuid>,
    /// The resident's live mandate.
    pub mandate_id: Option<Uuid>,
    /// As the version's JSON Schema wants it; may follow later.
    #[schema(value_type = Option<Object>)]
    pub form: Option<Value>,
    /// Answers to the version's questions, by key.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub answers: Answers,
    /// What is there; 0 to 50.
    #[serde(default)]
    #[validate(length(max = 50), nested)]
    #[schema(max_items = 50)]
    pub materials: Vec<Provided>,
}

/// Make an errand of a finding
///
/// A draft, by the rules of `POST /v1/errands`; `Location` is the errand. The answer is the finding, which names it; so does the errand's `finding_id`, and `GET /v1/findings?case_id=`.
#[utoipa::path(tag = "visits", security(("token" = ["visits:check_in"])), params(("id" = Uuid, Path, description = "The finding"), IdempotencyHeader),
    request_body = MakeErrand, responses((status = 201, description = "The finding, with the errand", body = FindingView)),
    extensions(("x-errors" = json!(["proxy_not_allowed", "unit_unknown"]))))]
#[post("/v1/findings/{id}/errand")]
pub async fn make_errand(caller: Can<CheckInVisits>, id: Id, command: Command<MakeErrand>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "make_errand", key, digest);
    let (who, seen) = (Caller::clone(&caller), Seen::by(&caller, caller.scope));
    let (scope, frame) = (reach::<FileErrands>(&who)?, errands::Frame::of(&app, &caller.county_key).await?);
    let (inner, errand) = (app.clone(), Uuid::now_v7());
    app.once(once, move |conn| {
        let finding = find(conn, &who, seen, id.0)?;
        let MakeErrand { matter_id: matter, resident_id, mandate_id: mandate, form, answers, materials } = body.clone();
        let resident = resident_id.or(finding.resident_id);
        let draft = Draft { matter, resident, mandate, form, answers, materials };
        Filing { id: errand, who: who.clone(), scope, draft, frame: frame.clone() }.run(conn, &inner)?;
        made(conn, &inner, (&who, seen, lang), (&finding, CaseKind::Errand, errand))
    })
    .await
}

/// The order that is made of it.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind_id": "0199a0c0-0000-7000-8000-0000000000c1", "address": "红星村 12 号"}))]
pub struct MakeOrder {
    /// An active kind.
    pub kind_id: Uuid,
    /// For whom; whom the finding concerns by default.
    pub resident_id: Option<Uuid>,
    /// As for `POST /v1/orders`; neither: as soon as somebody can.
    pub wanted_from: Option<DateTime<FixedOffset>>,
    pub wanted_until: Option<DateTime<FixedOffset>>,
    /// Where to come to, 2 to 200 characters; where somebody came to the last time by default.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    pub address: Option<String>,
    /// Whom to call; the resident's phone by default.
    #[schema(inline)]
    pub phone: Option<Phone>,
    /// Up to 1,000 characters, for whoever comes; what the finding says stays with those who may see it.
    #[validate(length(min = 1, max = 1000))]
    #[schema(min_length = 1, max_length = 1000)]
    pub words: Option<String>,
    /// As the kind's JSON Schema wants it.
    #[schema(value_type = Option<Object>)]
    pub form: Option<Value>,
    /// A skill that is wished, such as a dialect.
    #[validate(length(max = 32))]
    #[schema(max_length = 32)]
    pub language: Option<String>,
    /// Where it is on the map.
    #[validate(nested)]
    pub place: Option<Point>,
}

impl MakeOrder {
    fn wish(&self, finding: &Finding) -> Wish {
        Wish {
            kind: self.kind_id,
            resident: self.resident_id.or(finding.resident_id),
            address: self.address.clone(),
            phone: self.phone.as_ref().map(|phone| phone.as_ref().to_owned()),
            words: self.words.clone(),
            form: self.form.clone(),
            language: self.language.clone(),
            point: self.place,
        }
    }
}

/// Make an order of a finding
///
/// By the rules of `POST /v1/orders`; `Location` is the order. The answer is the finding, which names it; so does the order's `finding_id`, and `GET /v1/findings?case_id=`.
#[utoipa::path(tag = "visits", security(("token" = ["visits:check_in"])), params(("id" = Uuid, Path, description = "The finding"), IdempotencyHeader),
    request_body = MakeOrder, responses((status = 201, description = "The finding, with the order", body = FindingView)),
    extensions(("x-errors" = json!(["order_limit", "unit_unknown"]))))]
#[post("/v1/findings/{id}/order")]
pub async fn make_order(caller: Can<CheckInVisits>, id: Id, command: Command<MakeOrder>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "make_order", key, digest);
    let (who, seen) = (Caller::clone(&caller), Seen::by(&caller, caller.scope));
    let (scope, frame) = (reach::<OrderHelp>(&who)?, orders::Frame::of(&app, &caller.county_key).await?);
    let (inner, order) = (app.clone(), Uuid::now_v7());
    let wanted = (body.wanted_from.map(|at| at.to_utc()), body.wanted_until.map(|at| at.to_utc()));
    app.once(once, move |conn| {
        let finding = find(conn, &who, seen, id.0)?;
        let wish = body.wish(&finding);
        orders::order(conn, &inner, (&who, scope), (order, &wish, wanted), &frame)?;
        made(conn, &inner, (&who, seen, lang), (&finding, CaseKind::Order, order))
    })
    .await
}

/// The todo that is made of it.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "visit", "title": "上门看看热水器", "due_at": "2026-11-24T10:00:00+08:00"}))]
pub struct MakeTodo {
    pub kind: Kind,
    /// 2 to 60 characters, without names, numbers or addresses.
    #[validate(length(min = 2, max = 60))]
    #[schema(min_length = 2, max_length = 60)]
    pub title: String,
    /// Who is to do it; whoever takes it by default.
    pub holder_id: Option<Uuid>,
    pub due_at: Option<DateTime<FixedOffset>>,
}

/// Make a todo of a finding
///
/// Of the finding's unit and about it (`about` is `finding`), one of each kind at a time; `Location` is the todo. The answer is the finding, which names it.
#[utoipa::path(tag = "visits", security(("token" = ["visits:check_in"])), params(("id" = Uuid, Path, description = "The finding"), IdempotencyHeader),
    request_body = MakeTodo, responses((status = 201, description = "The finding, with the todo", body = FindingView)),
    extensions(("x-errors" = json!(["todo_waits"]))))]
#[post("/v1/findings/{id}/todo")]
pub async fn make_todo(caller: Can<CheckInVisits>, id: Id, command: Command<MakeTodo>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "make_todo", key, digest);
    let (who, seen) = (Caller::clone(&caller), Seen::by(&caller, caller.scope));
    let (now, inner) = (app.clock.now(), app.clone());
    app.once(once, move |conn| {
        let finding = find(conn, &who, seen, id.0)?;
        if let Some(holder) = body.holder_id
            && !staff::store::lock_active(conn, who.county, holder)?
        {
            let (zh, en) = ("没有这位在职工作人员", "There is no such active member of staff");
            return Err(Error::field("/holder_id", "unknown_staff", zh, en));
        }
        let title = body.title.trim().to_owned();
        let new = NewTodo {
            county: who.county,
            kind: body.kind,
            unit: Some(finding.unit_id),
            resident: finding.resident_id,
            about: Some((FINDING, finding.id)),
            title: Text::new(title.clone(), title),
            holder: body.holder_id,
            due_at: body.due_at.map(|at| at.to_utc()),
            created_by: who.staff(),
        };
        let todo = todos::open(conn, new, now)?.ok_or(Code::TodoWaits)?;
        made(conn, &inner, (&who, seen, lang), (&finding, CaseKind::Todo, todo.id))
    })
    .await
}
