//! What waits for a human, over HTTP.

use std::sync::Arc;

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{Kind, NewTodo, Todo, TodoState, note_place},
    store::{self, Filter, Move},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::{CST, local_date},
    error::{Code, Error, Lang, Result, Text},
    http::{
        caller::{Caller, Can, Reach},
        command::Command,
        document::IdempotencyHeader,
        etag::etag,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::{ReadTodos, WriteTodos},
        valid::{Id, Query, Valid},
    },
    people, staff, units,
};

/// What waits for a human (待办).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f7", "kind": "call", "title": "电话通知：预约成功", "state": "open", "state_name": "待领取",
    "unit_id": "0199a0c0-0000-7000-8000-000000000001", "resident_id": "0199a0c0-0000-7000-8000-00000000000a", "about": "message",
    "about_id": "0199a0c0-0000-7000-8000-0000000000f1", "holder_id": null, "due_at": "2026-11-23T10:00:00+08:00", "note": null, "done_by": null,
    "done_at": null, "version": 1, "created_at": "2026-11-21T20:15:00+08:00", "updated_at": "2026-11-21T20:15:00+08:00"}))]
pub struct TodoView {
    pub id: Uuid,
    pub kind: Kind,
    /// In the language of the request; holds no personal data.
    pub title: String,
    pub state: TodoState,
    /// The state in the language of the request.
    pub state_name: String,
    /// Whose staff see it; none: the county's administrators.
    pub unit_id: Option<Uuid>,
    /// Whom it concerns.
    pub resident_id: Option<Uuid>,
    /// The thing that it is about, for example `message`, and its id.
    pub about: Option<String>,
    pub about_id: Option<Uuid>,
    pub holder_id: Option<Uuid>,
    pub due_at: Option<DateTime<FixedOffset>>,
    /// What was found out or done.
    pub note: Option<String>,
    pub done_by: Option<Uuid>,
    pub done_at: Option<DateTime<FixedOffset>>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
    pub updated_at: DateTime<FixedOffset>,
}

impl TodoView {
    pub(super) fn new(app: &App, lang: Lang, todo: &Todo) -> Result<Self> {
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        let open = |sealed: &Vec<u8>| app.keys.open_text(todo.county_id, &note_place(todo.id), sealed);
        Ok(Self {
            id: todo.id,
            kind: todo.kind,
            title: todo.title().get(lang).to_owned(),
            state: todo.state,
            state_name: todo.state.words().get(lang).to_owned(),
            unit_id: todo.unit_id,
            resident_id: todo.resident_id,
            about: todo.about.clone(),
            about_id: todo.about_id,
            holder_id: todo.holder_id,
            due_at: todo.due_at.map(local),
            note: todo.note.as_ref().map(open).transpose()?,
            done_by: todo.done_by,
            done_at: todo.done_at.map(local),
            version: todo.version,
            created_at: local(todo.created_at),
            updated_at: local(todo.updated_at),
        })
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TodosQuery {
    /// Only in this state; by default those that still wait.
    #[param(inline)]
    state: Option<TodoState>,
    #[param(inline)]
    kind: Option<Kind>,
    /// Only those that the caller holds.
    #[param(default = false)]
    mine: Option<bool>,
    /// Only of this unit.
    unit_id: Option<Uuid>,
    /// Only about this resident.
    resident_id: Option<Uuid>,
    /// Only those due before this time.
    due_before: Option<DateTime<FixedOffset>>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List todos
///
/// Those of the caller's unit and the units below, and those that the caller holds; oldest first.
#[utoipa::path(tag = "todos", security(("token" = ["todos:read"])), params(TodosQuery),
    responses((status = 200, description = "A page of todos", body = Page<TodoView>)))]
#[get("/v1/todos")]
pub async fn list_todos(
    caller: Can<ReadTodos>,
    lang: Lang,
    app: Data<App>,
    query: Query<TodosQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "todos", query.cursor.as_deref())?;
    let filter = Filter {
        state: query.state,
        kind: query.kind,
        holder: query.mine.unwrap_or(false).then_some(caller.subject),
        unit: query.unit_id,
        resident: query.resident_id,
        due_before: query.due_before.map(|at| at.to_utc()),
    };
    let (scope, me, count) = (caller.scope, caller.subject, query.count.unwrap_or(false));
    let read = app.db.read("list_todos", move |conn| {
        let total = if count { Some(store::count(conn, scope, me, filter)?) } else { None };
        Ok((store::list(conn, scope, me, filter, after, limit)?, total))
    });
    let (rows, total) = read.await?;
    let place = |todo: &Todo| After { at: todo.created_at, id: todo.id };
    let view = |todo: Todo| TodoView::new(&app, lang, &todo);
    let page = page::cut(&app.keys, "todos", rows, limit as usize, place, view)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// One todo
///
/// Of the caller's unit or a unit below, or held by the caller.
#[utoipa::path(tag = "todos", security(("token" = ["todos:read"])), params(("id" = Uuid, Path, description = "The todo")),
    responses((status = 200, description = "The todo", body = TodoView)))]
#[get("/v1/todos/{id}")]
pub async fn get_todo(caller: Can<ReadTodos>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (scope, me) = (caller.scope, caller.subject);
    let todo = app.db.read("get_todo", move |conn| store::find(conn, scope, me, id.0)).await?.ok_or(Code::NotFound)?;
    let view = TodoView::new(&app, lang, &todo)?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(todo.version))).json(view))
}

/// What somebody is to do.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "visit", "title": "上门看看热水器", "unit_id": "0199a0c0-0000-7000-8000-000000000001", "due_at": "2026-11-24T10:00:00+08:00"}))]
pub struct CreateTodo {
    kind: Kind,
    /// 2 to 60 characters, without names, numbers or addresses: name the resident by `resident_id`.
    #[validate(length(min = 2, max = 60))]
    #[schema(min_length = 2, max_length = 60)]
    title: String,
    /// Whose staff see it; the unit of the caller's post by default.
    unit_id: Option<Uuid>,
    /// Whom it concerns; within the caller's reach.
    resident_id: Option<Uuid>,
    /// Who is to do it; whoever takes it by default.
    holder_id: Option<Uuid>,
    due_at: Option<DateTime<FixedOffset>>,
}

fn staff_unknown(pointer: &str) -> Error {
    Error::field(pointer, "unknown_staff", "没有这位在职工作人员", "There is no such active member of staff")
}

/// Open a todo
///
/// For oneself or for whoever takes it. Most todos are opened by the system: a message that reached nobody, a request to decide.
#[utoipa::path(tag = "todos", security(("token" = ["todos:write"])), params(IdempotencyHeader), request_body = CreateTodo,
    responses((status = 201, description = "Open", body = TodoView)))]
#[post("/v1/todos")]
pub async fn create_todo(
    caller: Can<WriteTodos>,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<CreateTodo>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_todo", key, body.digest);
    let (who, scope, now, inner, command) =
        (Caller::clone(&caller), caller.scope, app.clock.now(), app.clone(), body.value);
    app.once(once, move |conn| {
        let unit = command.unit_id.or(who.unit).filter(|_| !matches!(scope.reach, Reach::Own(_)));
        if let Some(unit) = unit
            && !units::exists_in(conn, scope, unit)?
        {
            let (zh, en) = ("没有这个单位，或不在您的管辖范围", "There is no such unit within your reach");
            return Err(Error::field("/unit_id", "unknown_unit", zh, en));
        }
        let resident = match command.resident_id.map(|id| people::lock(conn, scope, id)).transpose()? {
            Some(None) => {
                let (zh, en) = ("没有这位居民，或不在您的管辖范围", "There is no such resident within your reach");
                return Err(Error::field("/resident_id", "unknown_resident", zh, en));
            }
            row => row.flatten().map(|row| row.id),
        };
        if let Some(holder) = command.holder_id
            && !staff::store::lock_active(conn, scope.county, holder)?
        {
            return Err(staff_unknown("/holder_id"));
        }
        // Somebody who sees nobody else's todos keeps their own.
        let own = matches!(scope.reach, Reach::Own(_)).then_some(who.subject);
        let title = command.title.trim().to_owned();
        let new = NewTodo {
            county: scope.county,
            kind: command.kind,
            unit,
            resident,
            about: None,
            title: Text::new(title.clone(), title),
            holder: command.holder_id.or(own),
            due_at: command.due_at.map(|at| at.to_utc()),
            created_by: who.staff(),
        };
        let todo =
            store::open(conn, new, now)?.ok_or_else(|| Error::internal("a todo about nothing is never there twice"))?;
        Answer::created(format!("/v1/todos/{}", todo.id), todo.version, &TodoView::new(&inner, lang, &todo)?)
    })
    .await
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct MoveTodo {}

/// To whom.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"holder_id": "0199a0c0-0000-7000-8000-0000000000a1"}))]
pub struct HandOverTodo {
    /// An active member of staff.
    holder_id: Uuid,
}

/// What was found out or done.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"note": "已电话告知，周一上午来办理"}))]
pub struct FinishTodo {
    /// 1 to 1,000 characters; kept sealed.
    #[validate(length(min = 1, max = 1000))]
    #[schema(min_length = 1, max_length = 1000)]
    note: String,
}

/// What is done to a todo, with what it needs to know.
enum Order {
    Take,
    PutBack,
    /// To whom.
    HandOver(Uuid),
    /// With this note.
    Finish(String),
}

impl Order {
    /// The operation, and what the audit log calls it.
    const fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Take => ("take_todo", "take"),
            Self::PutBack => ("put_back_todo", "put_back"),
            Self::HandOver(_) => ("hand_over_todo", "hand_over"),
            Self::Finish(_) => ("finish_todo", "done"),
        }
    }

    /// What becomes of a locked todo.
    fn decide(&self, conn: &mut PgConnection, app: &App, todo: &Todo, (me, today): (Uuid, NaiveDate)) -> Result<Move> {
        let county = todo.county_id;
        match self {
            // Ordered against a dismissal: nobody who has left ends up holding it.
            Self::Take => match staff::store::lock_active(conn, county, me)? {
                true => Ok(Move::Hold(Some(me))),
                false => Err(Code::SessionEnded.into()),
            },
            // Without a unit nobody but an administrator would see it again.
            Self::PutBack => match todo.holder_id {
                Some(holder) if holder == me => Ok(Move::Hold(None)),
                _ => Err(Code::TodoNotHeld.into()),
            },
            // Whoever is away is stood in for.
            Self::HandOver(to) => match staff::store::lock_active(conn, county, *to)? {
                true => Ok(Move::Hold(Some(staff::cover_of(conn, county, *to, today)?))),
                false => Err(staff_unknown("/holder_id")),
            },
            Self::Finish(note) => match todo.holder_id {
                Some(holder) if holder != me => Err(Code::TodoNotHeld.into()),
                _ => Ok(Move::Done(app.keys.seal(county, &note_place(todo.id), note.trim().as_bytes()))),
            },
        }
    }
}

/// Does it to a todo that the caller sees, and records who did.
async fn act<T>(
    caller: Can<WriteTodos>,
    id: Id,
    command: Command<T>,
    order: impl FnOnce(T) -> Order,
) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let order = Arc::new(order(body));
    let (operation, action) = order.names();
    let once = Once::new(&caller, operation, key, digest);
    let (who, scope, now) = (Caller::clone(&caller), caller.scope, app.clock.now());
    let (entry, inner) = (Audit::new(action, "todo", id.0), app.clone());
    app.once(once, move |conn| {
        let todo = store::lock(conn, scope, who.subject, id.0)?.ok_or(Code::NotFound)?;
        if !TodoState::WAITING.contains(&todo.state) {
            return Err(Code::TodoNotWaiting.into());
        }
        let step = order.decide(conn, &inner, &todo, (who.subject, local_date(now)))?;
        let todo = store::apply(conn, &todo, step, who.subject, now)?;
        audit::record(conn, &who, now, &entry)?;
        Answer::ok(todo.version, &TodoView::new(&inner, lang, &todo)?)
    })
    .await
}

/// Take a todo, or take it over
///
/// The caller holds it from now on; who held it before learns of it through the changes. Taking one's own again changes nothing.
#[utoipa::path(tag = "todos", security(("token" = ["todos:write"])), params(("id" = Uuid, Path, description = "The todo"), IdempotencyHeader),
    request_body = MoveTodo, responses((status = 200, description = "Held by the caller", body = TodoView)), extensions(("x-errors" = json!(["todo_not_waiting"]))))]
#[post("/v1/todos/{id}/take")]
pub async fn take_todo(caller: Can<WriteTodos>, id: Id, command: Command<MoveTodo>) -> Result<Answer> {
    act(caller, id, command, |_| Order::Take).await
}

/// Put a todo back
///
/// Nobody holds it any more; by whoever holds it.
#[utoipa::path(tag = "todos", security(("token" = ["todos:write"])), params(("id" = Uuid, Path, description = "The todo"), IdempotencyHeader),
    request_body = MoveTodo, responses((status = 200, description = "Open", body = TodoView)), extensions(("x-errors" = json!(["todo_not_waiting", "todo_not_held"]))))]
#[post("/v1/todos/{id}/put_back")]
pub async fn put_back_todo(caller: Can<WriteTodos>, id: Id, command: Command<MoveTodo>) -> Result<Answer> {
    act(caller, id, command, |_| Order::PutBack).await
}

/// Hand a todo over
///
/// To another active member of staff, or to the deputy who stands in for them today.
#[utoipa::path(tag = "todos", security(("token" = ["todos:write"])), params(("id" = Uuid, Path, description = "The todo"), IdempotencyHeader),
    request_body = HandOverTodo, responses((status = 200, description = "Held by the other", body = TodoView)), extensions(("x-errors" = json!(["todo_not_waiting"]))))]
#[post("/v1/todos/{id}/hand_over")]
pub async fn hand_over_todo(caller: Can<WriteTodos>, id: Id, command: Command<HandOverTodo>) -> Result<Answer> {
    act(caller, id, command, |to| Order::HandOver(to.holder_id)).await
}

/// Finish a todo
///
/// With a note of what was found out or done. Nobody needs to have taken it, but nobody finishes what somebody else holds: take it
/// over first.
#[utoipa::path(tag = "todos", security(("token" = ["todos:write"])), params(("id" = Uuid, Path, description = "The todo"), IdempotencyHeader),
    request_body = FinishTodo, responses((status = 200, description = "Done", body = TodoView)), extensions(("x-errors" = json!(["todo_not_waiting", "todo_not_held"]))))]
#[post("/v1/todos/{id}/done")]
pub async fn finish_todo(caller: Can<WriteTodos>, id: Id, command: Command<FinishTodo>) -> Result<Answer> {
    act(caller, id, command, |done| Order::Finish(done.note)).await
}
