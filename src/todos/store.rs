//! Todos in the database.

use chrono::{DateTime, Utc};
use diesel::{
    dsl::{exists, not, sql},
    prelude::*,
    sql_types::Bool,
};
use uuid::Uuid;

use super::model::{Kind, NewTodo, Todo, TodoState};
use crate::{
    app::App,
    clock::local_date,
    db::{
        changes::{self, Change},
        found,
        schema::todos,
    },
    error::Result,
    http::{
        caller::{Reach, Scope},
        page::After,
    },
    rooms::{Day, Entry, HandOver, Merge, Person},
    staff,
    units::store::unit_within,
};

/// In words that the planner knows from the partial indexes: a bind in their place is never proved to imply them.
pub(super) fn waiting() -> diesel::expression::SqlLiteral<Bool> {
    sql("state IN ('open', 'taken')")
}

fn changed(todo: &Todo, staff_id: Option<Uuid>) -> Change {
    let (county, entity_id, unit_id) = (todo.county_id, todo.id, todo.unit_id);
    Change { county, entity: "todo", entity_id, unit_id, resident_id: None, staff_id, gone: false }
}

/// Opens a todo in the transaction of `conn`; one of the same kind about the same thing that still waits is left as it is.
pub fn open(conn: &mut PgConnection, new: NewTodo, now: DateTime<Utc>) -> Result<Option<Todo>> {
    open_hidden_from(conn, new, &[], now)
}

/// [`open`], unseen by some members of staff whom it is about.
pub fn open_hidden_from(
    conn: &mut PgConnection,
    new: NewTodo,
    hidden_from: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Option<Todo>> {
    let cover = |holder| staff::cover_of(conn, new.county, holder, local_date(now));
    let holder = new.holder.map(cover).transpose()?;
    let state = if holder.is_some() { TodoState::Taken } else { TodoState::Open };
    let inserted = diesel::insert_into(todos::table)
        .values((
            (todos::county_id.eq(new.county), todos::id.eq(Uuid::now_v7()), todos::kind.eq(new.kind)),
            (todos::unit_id.eq(new.unit), todos::resident_id.eq(new.resident)),
            (todos::about.eq(new.about.map(|(about, _)| about)), todos::about_id.eq(new.about.map(|(_, id)| id))),
            (todos::title_zh.eq(new.title.zh.as_ref()), todos::title_en.eq(new.title.en.as_ref())),
            (todos::state.eq(state), todos::holder_id.eq(holder), todos::due_at.eq(new.due_at)),
            todos::hidden_from.eq(hidden_from),
            (todos::created_by.eq(new.created_by), todos::created_at.eq(now), todos::updated_at.eq(now)),
        ))
        .on_conflict_do_nothing()
        .returning(Todo::as_returning())
        .get_result(conn);
    let todo = found(inserted)?;
    if let Some(todo) = &todo {
        changes::record(conn, changed(todo, todo.holder_id), now)?;
    }
    Ok(todo)
}

/// What a thing's todos asked for has settled itself.
pub fn drop_about(
    conn: &mut PgConnection,
    county: i32,
    kind: Kind,
    (about, id): (&str, Uuid),
    now: DateTime<Utc>,
) -> Result<()> {
    let of = todos::table.filter(todos::county_id.eq(county)).filter(todos::kind.eq(kind));
    let of = of.filter(todos::about.eq(about)).filter(todos::about_id.eq(id));
    let dropped: Vec<Todo> = diesel::update(of.filter(waiting()))
        .set((
            (todos::state.eq(TodoState::Dropped), todos::done_at.eq(now)),
            (todos::version.eq(todos::version + 1), todos::updated_at.eq(now)),
        ))
        .returning(Todo::as_returning())
        .get_results(conn)?;
    for todo in dropped {
        changes::record(conn, changed(&todo, todo.holder_id), now)?;
    }
    Ok(())
}

/// Whether one still waits about a thing.
pub fn waits(conn: &mut PgConnection, county: i32, kind: Kind, (about, id): (&str, Uuid)) -> QueryResult<bool> {
    let of = todos::table.filter(todos::county_id.eq(county)).filter(todos::kind.eq(kind));
    let of = of.filter(todos::about.eq(about)).filter(todos::about_id.eq(id)).filter(waiting());
    diesel::select(exists(of)).get_result(conn)
}

/// What still waits about things of a kind.
pub fn waiting_about(conn: &mut PgConnection, county: i32, kind: Kind, about: &str) -> QueryResult<Vec<Todo>> {
    let of = todos::table.filter(todos::county_id.eq(county)).filter(todos::kind.eq(kind));
    of.filter(todos::about.eq(about)).filter(waiting()).select(Todo::as_select()).load(conn)
}

fn entry(todo: Todo) -> Entry {
    Entry {
        entity: "todo",
        id: todo.id,
        at: todo.due_at,
        until: None,
        state: todo.state.as_str().to_owned(),
        title: todo.title(),
        resident_id: todo.resident_id,
        holder_id: todo.holder_id,
    }
}

/// What somebody holds and is due by the end of the day, or at any time.
pub fn day(conn: &mut PgConnection, day: &Day) -> Result<Vec<Entry>> {
    let held = todos::table.filter(todos::county_id.eq(day.county)).filter(todos::holder_id.eq_any(&day.staff));
    let due = todos::due_at.is_null().or(todos::due_at.lt(day.to));
    let waiting = held.filter(waiting()).filter(due);
    let rows: Vec<Todo> = waiting.order((todos::due_at, todos::id)).limit(200).select(Todo::as_select()).load(conn)?;
    Ok(rows.into_iter().map(entry).collect())
}

pub fn open_for(conn: &mut PgConnection, person: Person) -> Result<Vec<Entry>> {
    let of = todos::table.filter(todos::county_id.eq(person.county)).filter(todos::resident_id.eq(person.id));
    let waiting = of.filter(waiting()).order((todos::due_at, todos::id));
    let rows: Vec<Todo> = waiting.limit(200).select(Todo::as_select()).load(conn)?;
    Ok(rows.into_iter().map(entry).collect())
}

pub fn hand_over(conn: &mut PgConnection, over: &HandOver) -> Result<usize> {
    let held = || todos::table.filter(todos::county_id.eq(over.county)).filter(todos::holder_id.eq(over.from));
    let mut ids = held().filter(waiting()).select(todos::id).into_boxed();
    if let Some(unit) = over.unit {
        // What belongs to no unit goes with whatever post is left.
        ids = ids.filter(unit_within(over.county, todos::unit_id, unit).or(todos::unit_id.is_null()));
    }
    let ids: Vec<Uuid> = ids.load(conn)?;
    // Once more what was read: somebody may have taken or finished one meanwhile.
    let rows = held().filter(todos::id.eq_any(&ids)).filter(waiting());
    let given: Vec<Todo> = diesel::update(rows)
        .set((todos::holder_id.eq(over.to), todos::version.eq(todos::version + 1), todos::updated_at.eq(over.now)))
        .returning(Todo::as_returning())
        .get_results(conn)?;
    for todo in &given {
        changes::record(conn, Change { gone: true, unit_id: None, ..changed(todo, Some(over.from)) }, over.now)?;
        changes::record(conn, changed(todo, Some(over.to)), over.now)?;
    }
    Ok(given.len())
}

pub fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let of = todos::table.filter(todos::county_id.eq(merge.county)).filter(todos::resident_id.eq(merge.from));
    Ok(diesel::update(of).set(todos::resident_id.eq(merge.into)).execute(conn)?)
}

/// Notes and what staff wrote may tell of the person; that something was done stays.
pub fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let of = || todos::table.filter(todos::county_id.eq(person.county)).filter(todos::resident_id.eq(person.id));
    let now = person.now;
    diesel::update(of().filter(waiting()))
        .set((todos::state.eq(TodoState::Dropped), todos::done_at.eq(now), todos::updated_at.eq(now)))
        .execute(conn)?;
    diesel::update(of().filter(todos::created_by.is_not_null()))
        .set((todos::title_zh.eq("（已清除）"), todos::title_en.eq("(erased)")))
        .execute(conn)?;
    Ok(diesel::update(of()).set(todos::note.eq(None::<Vec<u8>>)).execute(conn)?)
}

/// Which todos a list is of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Those that still wait, by default.
    pub state: Option<TodoState>,
    pub kind: Option<Kind>,
    pub holder: Option<Uuid>,
    pub unit: Option<Uuid>,
    pub resident: Option<Uuid>,
    pub due_before: Option<DateTime<Utc>>,
}

type Visible = todos::BoxedQuery<'static, diesel::pg::Pg, todos::SqlType>;

/// Those of a scope, and those that `me` holds wherever they belong.
fn visible(scope: Scope, me: Uuid) -> Visible {
    let here = todos::table.filter(todos::county_id.eq(scope.county)).into_boxed();
    let here = here.filter(not(todos::hidden_from.contains(vec![Some(me)])));
    match scope.reach {
        Reach::Own(own) => here.filter(todos::holder_id.eq(own)),
        Reach::Unit(unit) => {
            let within = unit_within(scope.county, todos::unit_id, unit);
            here.filter(within.or(todos::holder_id.is_not_distinct_from(me)))
        }
        Reach::County => here,
    }
}

fn filtered(scope: Scope, me: Uuid, filter: Filter) -> Visible {
    let mut query = match filter.state {
        Some(state) => visible(scope, me).filter(todos::state.eq(state)),
        None => visible(scope, me).filter(waiting()),
    };
    if let Some(kind) = filter.kind {
        query = query.filter(todos::kind.eq(kind));
    }
    if let Some(holder) = filter.holder {
        query = query.filter(todos::holder_id.eq(holder));
    }
    if let Some(unit) = filter.unit {
        query = query.filter(todos::unit_id.eq(unit));
    }
    if let Some(resident) = filter.resident {
        query = query.filter(todos::resident_id.eq(resident));
    }
    if let Some(due) = filter.due_before {
        query = query.filter(todos::due_at.lt(due));
    }
    query
}

/// Oldest first, one more than `limit`.
pub fn list(
    conn: &mut PgConnection,
    scope: Scope,
    me: Uuid,
    filter: Filter,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Todo>> {
    let mut query = filtered(scope, me, filter);
    if let Some(after) = after {
        let same = todos::created_at.eq(after.at).and(todos::id.gt(after.id));
        query = query.filter(todos::created_at.gt(after.at).or(same));
    }
    query.order((todos::created_at, todos::id)).limit(limit + 1).select(Todo::as_select()).load(conn)
}

pub fn count(conn: &mut PgConnection, scope: Scope, me: Uuid, filter: Filter) -> QueryResult<i64> {
    filtered(scope, me, filter).count().get_result(conn)
}

pub fn find(conn: &mut PgConnection, scope: Scope, me: Uuid, id: Uuid) -> Result<Option<Todo>> {
    found(visible(scope, me).filter(todos::id.eq(id)).select(Todo::as_select()).first(conn))
}

/// [`find`], and nobody can change it before the transaction ends.
pub fn lock(conn: &mut PgConnection, scope: Scope, me: Uuid, id: Uuid) -> Result<Option<Todo>> {
    let row = todos::table.find((scope.county, id)).select(todos::id).for_update();
    if found(row.first::<Uuid>(conn))?.is_none() {
        return Ok(None);
    }
    find(conn, scope, me, id)
}

/// What becomes of a todo that waits.
#[derive(Clone, Debug)]
pub enum Move {
    /// Somebody holds it, or nobody any more.
    Hold(Option<Uuid>),
    /// Done, with this sealed note.
    Done(Vec<u8>),
}

/// Moves a todo that [`lock`] has locked; who held it before is told that it is gone.
pub fn apply(conn: &mut PgConnection, todo: &Todo, order: Move, by: Uuid, now: DateTime<Utc>) -> Result<Todo> {
    let row = todos::table.find((todo.county_id, todo.id)).filter(todos::version.eq(todo.version));
    let touched = (todos::version.eq(todo.version + 1), todos::updated_at.eq(now));
    let moved: Todo = match order {
        Move::Hold(holder) if holder == todo.holder_id => return Ok(todo.clone()),
        Move::Hold(holder) => {
            let state = if holder.is_some() { TodoState::Taken } else { TodoState::Open };
            let set = (todos::state.eq(state), todos::holder_id.eq(holder), touched);
            diesel::update(row).set(set).returning(Todo::as_returning()).get_result(conn)?
        }
        Move::Done(note) => {
            let set = (todos::note.eq(note), todos::done_by.eq(by), todos::done_at.eq(now), touched);
            let set = (todos::state.eq(TodoState::Done), set);
            diesel::update(row).set(set).returning(Todo::as_returning()).get_result(conn)?
        }
    };
    if let Some(left) = todo.holder_id.filter(|holder| Some(*holder) != moved.holder_id) {
        changes::record(conn, Change { gone: true, unit_id: None, ..changed(&moved, Some(left)) }, now)?;
    }
    changes::record(conn, changed(&moved, moved.holder_id), now)?;
    Ok(moved)
}
