//! Looking at orders over HTTP: lists, one, its moves, its notes.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use chrono::{DateTime, FixedOffset};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    lists::{self, Asked, Filter, Of},
    model::{Order, OrderState, StartedHow, Step},
    notes::{self, Note, NoteKind, NoteSide, Reads},
    rules::OrderError,
    store::{self, Moved, Seen, today},
    views::OrderView,
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::CST,
    db::changes::{self, Change},
    error::{Code, Lang, Result},
    http::{
        caller::{Caller, Can, Reach},
        command::Command,
        document::IdempotencyHeader,
        etag::etag,
        idempotency::{Answer, Once},
        page::{self, After, Page},
        permissions::{OrderHelp, ReadOrders, Role},
        valid::{Id, Query},
    },
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OrdersQuery {
    /// Of whom; residents see their own by default.
    resident_id: Option<Uuid>,
    /// Of this unit and the units below it; staff, and their own unit by default.
    unit_id: Option<Uuid>,
    /// Those that the caller holds or held as a helper.
    #[param(default = false)]
    held: Option<bool>,
    /// Residents: those that they ordered for others.
    #[param(default = false)]
    for_others: Option<bool>,
    /// Only in this state.
    #[param(inline)]
    state: Option<OrderState>,
    /// Only of this kind.
    kind_id: Option<Uuid>,
    /// Only those that this helper holds or held.
    holder_id: Option<Uuid>,
    /// Only of this series.
    series_id: Option<Uuid>,
    /// Only those that began like this: `own_word` lists those that nobody but the holder vouches for.
    #[param(inline)]
    started_how: Option<StartedHow>,
    /// Only those wanted after this time; before that one.
    from: Option<DateTime<FixedOffset>>,
    until: Option<DateTime<FixedOffset>>,
    /// The one with this number, wherever the caller may see it; everything else is ignored.
    number: Option<String>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// Whose orders are meant; none: of a helper who is none.
fn of(conn: &mut PgConnection, caller: &Caller, query: &OrdersQuery) -> Result<Option<Of>> {
    let me = caller.subject;
    if query.held.unwrap_or(false) {
        return Ok(store::helper_of(conn, caller)?.map(|helper| Of::Helper(helper.id)));
    }
    Ok(Some(match (caller.role, query.resident_id, query.unit_id) {
        (Role::Resident, ..) if query.for_others.unwrap_or(false) => Of::OrderedBy(me),
        (Role::Resident, whom, _) => Of::Resident(whom.unwrap_or(me)),
        (_, Some(resident), _) => Of::Resident(resident),
        (_, None, unit) => Of::Unit(unit.or(caller.unit).ok_or(Code::Forbidden)?),
    }))
}

/// List orders
///
/// Residents: their own, those of somebody who lets them, or those that they ordered for others. Helpers: those that they hold or held
/// (`held=true`). Staff: those of a unit and the units below it. Oldest first; personal data masked but for one's own.
#[utoipa::path(tag = "orders", security(("token" = ["orders:read"])), params(OrdersQuery),
    responses((status = 200, description = "A page of orders", body = Page<OrderView>)))]
#[get("/v1/orders")]
pub async fn list_orders(
    caller: Can<ReadOrders>,
    lang: Lang,
    app: Data<App>,
    query: Query<OrdersQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "orders", query.cursor.as_deref())?.unwrap_or(After::START);
    let (who, scope, today) = (Caller::clone(&caller), caller.scope, today(app.clock.now()));
    let read = app.db.read("list_orders", move |conn| {
        if let Some(number) = &query.number {
            let id = lists::numbered(conn, who.county, number)?;
            let row = id.map(|id| store::find(conn, who.county, Seen::by(&who, scope), id, today)).transpose()?;
            let rows: Vec<Order> = row.flatten().into_iter().collect();
            let total = Some(rows.len() as i64);
            return Ok((rows, total));
        }
        let count = query.count.unwrap_or(false);
        let Some(of) = of(conn, &who, &query)? else { return Ok((Vec::new(), count.then_some(0))) };
        let within = match (scope.reach, of) {
            // What one holds is one's own wherever it is.
            (Reach::Unit(unit), Of::Unit(_) | Of::Resident(_)) => Some(unit),
            _ => None,
        };
        let utc = |at: Option<DateTime<FixedOffset>>| at.map(|at| at.to_utc());
        let (from, until) = (utc(query.from), utc(query.until));
        let OrdersQuery { state, kind_id: kind, holder_id: holder, series_id: series, started_how, .. } = query;
        let resident = who.is_resident().then_some(who.subject);
        let filter = Filter { state, kind, holder, series, started_how, from, until };
        let asked = Asked { county: who.county, of, resident, staff: who.staff(), within, filter, today };
        let total = if count { Some(lists::count(conn, &asked)?) } else { None };
        Ok((lists::list(conn, &asked, after, limit)?, total))
    });
    let (rows, total) = read.await?;
    let place = |row: &Order| After { at: row.created_at, id: row.id };
    let view = |row: Order| OrderView::new(&app, &caller, lang, &row);
    let page = page::cut(&app.keys, "orders", rows, limit as usize, place, view)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// One order
///
/// For the resident's side, whoever holds it, and staff of the unit and above it. Whoever holds it sees where and for whom it is, plain, from the claim
/// until it is confirmed or cancelled; each look is recorded.
#[utoipa::path(tag = "orders", security(("token" = ["orders:read"])), params(("id" = Uuid, Path, description = "The order")),
    responses((status = 200, description = "The order", body = OrderView)))]
#[get("/v1/orders/{id}")]
pub async fn get_order(caller: Can<ReadOrders>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (who, seen, now) = (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now());
    let looked = Audit::new("read_order", "resident", id.0).fields(vec!["name", "phone", "address"]);
    let find = move |conn: &mut PgConnection| {
        store::find(conn, who.county, seen, id.0, today(now))?.ok_or_else(|| Code::NotFound.into())
    };
    let mut row: Order = app.db.read("get_order", find).await?;
    let plain = OrderView::is_plain_for_holder(&row);
    if plain {
        // Read again with the entry: between the two it may have gone to somebody else.
        let who = Caller::clone(&caller);
        let look = app.db.write("look_at_order", move |conn| {
            let row: Order = find(conn)?;
            if OrderView::is_plain_for_holder(&row) {
                audit::record(conn, &who, now, &looked.of(row.resident_id))?;
            }
            Ok(row)
        });
        row = look.await?;
    }
    let plain = row.mine || plain && OrderView::is_plain_for_holder(&row);
    let view = OrderView::shown(&app, &caller, lang, &row, plain)?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(row.version))).json(view))
}

/// A move of an order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"seq": 2, "at": "2026-11-23T08:20:00+08:00", "step": "claim", "actor_id": "0199a0c0-0000-7000-8000-0000000000a1",
    "actor_role": "specialist", "from_state": "open", "to_state": "claimed", "holder_id": "0199a0c0-0000-7000-8000-0000000000a1", "facts": {}}))]
pub struct OrderMoveView {
    pub seq: i32,
    pub at: DateTime<FixedOffset>,
    pub step: Step,
    /// Resident or member of staff; none: the system.
    pub actor_id: Option<Uuid>,
    pub actor_role: Option<Role>,
    pub from_state: Option<OrderState>,
    pub to_state: OrderState,
    /// The helper who holds it from then on.
    pub holder_id: Option<Uuid>,
    /// What the move says without words.
    #[schema(value_type = Object)]
    pub facts: Value,
}

impl From<Moved> for OrderMoveView {
    fn from(row: Moved) -> Self {
        let Moved { seq, at, step, actor_id, actor_role, from_state, to_state, holder_id, facts, .. } = row;
        Self { seq, at: at.with_timezone(&CST), step, actor_id, actor_role, from_state, to_state, holder_id, facts }
    }
}

/// Everything that happened to an order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct OrderMovesView {
    /// Oldest first.
    pub items: Vec<OrderMoveView>,
}

/// The moves of an order
///
/// Who, when, from where to where; append-only. What was said stands in its notes.
#[utoipa::path(tag = "orders", security(("token" = ["orders:read"])), params(("id" = Uuid, Path, description = "The order")),
    responses((status = 200, description = "The moves", body = OrderMovesView)))]
#[get("/v1/orders/{id}/moves")]
pub async fn list_order_moves(caller: Can<ReadOrders>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (county, seen, today) = (caller.county, Seen::by(&caller, caller.scope), today(app.clock.now()));
    let read = app.db.read("list_order_moves", move |conn| {
        store::find(conn, county, seen, id.0, today)?.ok_or(Code::NotFound)?;
        Ok(store::moves(conn, county, id.0)?)
    });
    let items = read.await?.into_iter().map(OrderMoveView::from).collect();
    Ok(HttpResponse::Ok().json(OrderMovesView { items }))
}

/// What was said of an order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e1", "kind": "note", "side": "resident", "own": true, "words": "请带一袋米",
    "created_at": "2026-11-23T08:20:00+08:00"}))]
pub struct OrderNoteView {
    pub id: Uuid,
    pub kind: NoteKind,
    pub side: NoteSide,
    /// The caller said it.
    pub own: bool,
    /// None once it has been erased.
    pub words: Option<String>,
    pub created_at: DateTime<FixedOffset>,
}

impl OrderNoteView {
    fn new(app: &App, caller: &Caller, note: Note) -> Result<Self> {
        let Note { id, kind, side, author_id, words, created_at } = note;
        let open = |sealed: Vec<u8>| app.keys.open_text(caller.county, &notes::place(id), &sealed);
        let (words, created_at) = (words.map(open).transpose()?, created_at.with_timezone(&CST));
        Ok(Self { id, kind, side, own: author_id == caller.subject, words, created_at })
    }
}

/// The notes of an order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct OrderNotesView {
    /// Oldest first.
    pub items: Vec<OrderNoteView>,
}

fn reads(row: &Order, caller: &Caller) -> Reads {
    let office = matches!(caller.role, Role::TownshipStaff | Role::CountyAdmin | Role::Supervisor) && !row.held;
    Reads { open: row.mine || row.held, office, mine: row.mine, asked: !caller.is_resident() && !row.held }
}

/// The notes of an order
///
/// Both sides read what is said between them, the resident's side also how a dispute was settled; staff of the unit why somebody is worried;
/// the township, the county and supervisors all of it; looks of staff are recorded. What was said in a dispute or to whoever called back is
/// shown to nobody else but its author, least of all to whoever holds it.
#[utoipa::path(tag = "orders", security(("token" = ["orders:read"])), params(("id" = Uuid, Path, description = "The order")),
    responses((status = 200, description = "The notes", body = OrderNotesView)))]
#[get("/v1/orders/{id}/notes")]
pub async fn list_order_notes(caller: Can<ReadOrders>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (who, seen, now) = (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now());
    let looked = Audit::new("read_notes", "order", id.0).fields(vec!["words"]);
    let write = app.db.write("list_order_notes", move |conn| {
        let row = store::find(conn, who.county, seen, id.0, today(now))?.ok_or(Code::NotFound)?;
        let reads = reads(&row, &who);
        if reads.office || reads.asked {
            audit::record(conn, &who, now, &looked)?;
        }
        Ok(notes::of(conn, &row, who.subject, reads)?)
    });
    let rows = write.await?.into_iter();
    let items = rows.map(|note| OrderNoteView::new(&app, &caller, note)).collect::<Result<_>>()?;
    Ok(HttpResponse::Ok().json(OrderNotesView { items }))
}

/// What is to be said.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"words": "请带一袋米"}))]
pub struct WriteOrderNote {
    /// 1 to 1,000 characters.
    #[validate(length(min = 1, max = 1000))]
    #[schema(min_length = 1, max_length = 1000)]
    pub words: String,
}

/// Say something of an order
///
/// To the other side: by the resident's side, whoever holds it, or staff of the unit and above it; until a day after its end, up to 200 of
/// each side.
#[utoipa::path(tag = "orders", security(("token" = ["orders:order"])), params(("id" = Uuid, Path, description = "The order"), IdempotencyHeader),
    request_body = WriteOrderNote, responses((status = 201, description = "The note", body = OrderNoteView)), extensions(("x-errors" = json!(["order_state", "too_many_notes"]))))]
#[post("/v1/orders/{id}/notes")]
pub async fn write_order_note(caller: Can<OrderHelp>, id: Id, command: Command<WriteOrderNote>) -> Result<Answer> {
    let Command { key, app, body, digest, .. } = command;
    let once = Once::new(&caller, "write_order_note", key, digest);
    let (who, seen, now, inner) =
        (Caller::clone(&caller), Seen::by(&caller, caller.scope), app.clock.now(), app.clone());
    app.once(once, move |conn| {
        let row = store::find(conn, who.county, seen, id.0, today(now))?.ok_or(Code::NotFound)?;
        if row.ended_at.is_some_and(|at| at + chrono::TimeDelta::days(1) < now) {
            return Err(OrderError::State(row.state).into());
        }
        if notes::enough(conn, &row)? {
            return Err(Code::TooManyNotes.into());
        }
        let note = notes::insert(conn, &inner, (&row, &who), (NoteKind::Note, &body.words), now)?;
        for (resident_id, staff_id) in [(Some(row.resident_id), row.holder_staff), (row.holder_resident, None)] {
            if resident_id.is_some() {
                let (county, entity_id) = (who.county, row.id);
                let change =
                    Change { county, entity: "order", entity_id, unit_id: None, resident_id, staff_id, gone: false };
                changes::record(conn, change, now)?;
            }
        }
        let (side, words) = (NoteSide::of(&row), Some(body.words.clone()));
        let created_at = now.with_timezone(&CST);
        let view = OrderNoteView { id: note, kind: NoteKind::Note, side, own: true, words, created_at };
        Answer::created(format!("/v1/orders/{}/notes", row.id), 1, &view)
    })
    .await
}
