//! Proxies in the database.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{Date, Integer, Text, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::model::{GivenHow, May, Proxy, ProxyState, Relation};
use crate::{
    app::App,
    clock::{CST, local_date},
    db::{
        changes::{self, Change},
        found,
        schema::proxies,
    },
    error::{Result, Text as Words},
    http::{
        caller::{Reach, Scope},
        page::After,
    },
    people,
    rooms::{Merge, Person},
    todos::{self, NewTodo},
};

mod sql {
    use super::{Date, Integer, SqlUuid, Text};

    diesel::define_sql_function! {
        /// Whether somebody may do something for a resident today.
        fn acts_for(county: Integer, resident: SqlUuid, proxy: SqlUuid, what: Text, today: Date) -> Bool;
    }
}

/// Whether `proxy` may do something for `resident` today.
pub fn acts_for(
    conn: &mut PgConnection,
    county: i32,
    (resident, proxy): (Uuid, Uuid),
    what: May,
    today: NaiveDate,
) -> QueryResult<bool> {
    diesel::select(sql::acts_for(county, resident, proxy, what.as_str(), today)).get_result(conn)
}

/// What is to be written of a new proxy.
#[derive(Clone, Debug)]
pub struct NewProxy {
    pub id: Uuid,
    pub resident: Uuid,
    /// Known at once only of guardians; others accept an invitation.
    pub proxy: Option<Uuid>,
    pub relation: Relation,
    pub may: Vec<May>,
    pub valid_until: NaiveDate,
    pub given_how: GivenHow,
    pub given_by: Option<Uuid>,
}

fn changed(proxy: &Proxy) -> Change {
    let resident_id = Some(proxy.resident_id);
    let (county, entity_id) = (proxy.county_id, proxy.id);
    Change { county, entity: "proxy", entity_id, unit_id: None, resident_id, staff_id: None, gone: false }
}

/// Tells the phones of both.
fn tell(conn: &mut PgConnection, proxy: &Proxy, now: DateTime<Utc>) -> QueryResult<()> {
    changes::record(conn, changed(proxy), now)?;
    match proxy.proxy_id {
        Some(other) => changes::record(conn, Change { resident_id: Some(other), ..changed(proxy) }, now),
        None => Ok(()),
    }
}

pub fn insert(conn: &mut PgConnection, county: i32, new: &NewProxy, now: DateTime<Utc>) -> QueryResult<Proxy> {
    let (state, accepted) = match new.proxy {
        Some(_) => (ProxyState::Active, Some(now)),
        None => (ProxyState::Invited, None),
    };
    let may: Vec<_> = new.may.iter().map(|may| may.as_str()).collect();
    let proxy = diesel::insert_into(proxies::table)
        .values((
            (proxies::county_id.eq(county), proxies::id.eq(new.id), proxies::resident_id.eq(new.resident)),
            (proxies::proxy_id.eq(new.proxy), proxies::relation.eq(new.relation), proxies::may.eq(may)),
            (proxies::valid_until.eq(new.valid_until), proxies::given_how.eq(new.given_how)),
            (proxies::given_by.eq(new.given_by), proxies::state.eq(state), proxies::accepted_at.eq(accepted)),
            (proxies::created_at.eq(now), proxies::updated_at.eq(now)),
        ))
        .returning(Proxy::as_returning())
        .get_result(conn)?;
    tell(conn, &proxy, now)?;
    Ok(proxy)
}

/// A proxy of a county, whoever may see it.
pub fn find(conn: &mut PgConnection, county: i32, id: Uuid) -> Result<Option<Proxy>> {
    found(proxies::table.find((county, id)).select(Proxy::as_select()).first(conn))
}

/// How many of a resident's are not ended and have not run out.
pub fn count_live(conn: &mut PgConnection, county: i32, resident: Uuid, today: NaiveDate) -> QueryResult<i64> {
    let of = proxies::table.filter(proxies::county_id.eq(county)).filter(proxies::resident_id.eq(resident));
    let live = of.filter(proxies::state.ne(ProxyState::Ended)).filter(proxies::valid_until.ge(today));
    live.count().get_result(conn)
}

/// Whose proxies a list is of.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// Who may act for this resident.
    Resident(Uuid),
    /// For whom this one may act.
    Proxy(Uuid),
}

/// Oldest first, one more than `limit`.
pub fn list(conn: &mut PgConnection, county: i32, of: Of, after: Option<After>, limit: i64) -> QueryResult<Vec<Proxy>> {
    let mut query = proxies::table.filter(proxies::county_id.eq(county)).select(Proxy::as_select()).into_boxed();
    query = match of {
        Of::Resident(id) => query.filter(proxies::resident_id.eq(id)),
        Of::Proxy(id) => query.filter(proxies::proxy_id.eq(id)),
    };
    if let Some(after) = after {
        let same = proxies::created_at.eq(after.at).and(proxies::id.gt(after.id));
        query = query.filter(proxies::created_at.gt(after.at).or(same));
    }
    query.order((proxies::created_at, proxies::id)).limit(limit + 1).load(conn)
}

pub fn count(conn: &mut PgConnection, county: i32, of: Of) -> QueryResult<i64> {
    let mut query = proxies::table.filter(proxies::county_id.eq(county)).into_boxed();
    query = match of {
        Of::Resident(id) => query.filter(proxies::resident_id.eq(id)),
        Of::Proxy(id) => query.filter(proxies::proxy_id.eq(id)),
    };
    query.count().get_result(conn)
}

/// Ends what has run out; true while there is more.
pub fn expire(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<bool> {
    let over = proxies::table.filter(proxies::state.ne(ProxyState::Ended));
    let over = over.filter(proxies::valid_until.lt(local_date(now))).select((proxies::county_id, proxies::id));
    let ids: Vec<(i32, Uuid)> = over.limit(500).load(conn)?;
    for (county, id) in &ids {
        end(conn, *county, *id, now)?;
    }
    Ok(ids.len() == 500)
}

/// Ends what has run out between two people, so that it does not stand in the way of what comes after it.
fn expire_between(conn: &mut PgConnection, county: i32, resident: Uuid, by: Uuid, now: DateTime<Utc>) -> Result<()> {
    let pair = proxies::table.filter(proxies::county_id.eq(county)).filter(proxies::resident_id.eq(resident));
    let over = pair.filter(proxies::proxy_id.eq(by)).filter(proxies::valid_until.lt(local_date(now)));
    let ids = over.filter(proxies::state.ne(ProxyState::Ended)).select(proxies::id).load(conn)?;
    end_all(conn, county, ids, now).map(drop)
}

/// The invited one accepts; none if it is no longer an invitation.
pub fn accept(conn: &mut PgConnection, county: i32, id: Uuid, by: Uuid, now: DateTime<Utc>) -> Result<Option<Proxy>> {
    let Some(invitation) = find(conn, county, id)? else { return Ok(None) };
    expire_between(conn, county, invitation.resident_id, by, now)?;
    let row = proxies::table.find((county, id)).filter(proxies::state.eq(ProxyState::Invited));
    let set = (
        (proxies::state.eq(ProxyState::Active), proxies::proxy_id.eq(by), proxies::accepted_at.eq(now)),
        (proxies::version.eq(proxies::version + 1), proxies::updated_at.eq(now)),
    );
    let row = row.filter(proxies::valid_until.ge(local_date(now)));
    let proxy = found(diesel::update(row).set(set).returning(Proxy::as_returning()).get_result(conn))?;
    if let Some(proxy) = &proxy {
        tell(conn, proxy, now)?;
    }
    Ok(proxy)
}

/// Ends one; none if it has ended.
pub fn end(conn: &mut PgConnection, county: i32, id: Uuid, now: DateTime<Utc>) -> Result<Option<Proxy>> {
    let row = proxies::table.find((county, id)).filter(proxies::state.ne(ProxyState::Ended));
    let set = (
        (proxies::state.eq(ProxyState::Ended), proxies::ended_at.eq(now)),
        (proxies::version.eq(proxies::version + 1), proxies::updated_at.eq(now)),
    );
    let proxy = found(diesel::update(row).set(set).returning(Proxy::as_returning()).get_result(conn))?;
    if let Some(proxy) = &proxy {
        tell(conn, proxy, now)?;
    }
    Ok(proxy)
}

fn end_all(conn: &mut PgConnection, county: i32, ids: Vec<Uuid>, now: DateTime<Utc>) -> Result<usize> {
    let mut ended = 0;
    for id in ids {
        ended += usize::from(end(conn, county, id, now)?.is_some());
    }
    Ok(ended)
}

fn live_of(conn: &mut PgConnection, county: i32, resident: Uuid) -> QueryResult<Vec<Proxy>> {
    let here = proxies::table.filter(proxies::county_id.eq(county)).filter(proxies::state.ne(ProxyState::Ended));
    let either = here.filter(proxies::resident_id.eq(resident).or(proxies::proxy_id.eq(resident)));
    either.select(Proxy::as_select()).load(conn)
}

fn expire_of(conn: &mut PgConnection, county: i32, people: &[Uuid], now: DateTime<Utc>) -> Result<()> {
    for id in people {
        let live = live_of(conn, county, *id)?;
        let over = live.iter().filter(|proxy| proxy.valid_until < local_date(now)).map(|proxy| proxy.id);
        end_all(conn, county, over.collect(), now)?;
    }
    Ok(())
}

/// Two records become one: what each gave or was given goes over, except between the two, and what would be there twice.
pub fn merge(conn: &mut PgConnection, merge: &Merge) -> Result<usize> {
    let Merge { county, from, into, now } = *merge;
    expire_of(conn, county, &[from, into], now)?;
    let kept = live_of(conn, county, into)?;
    let pair = |proxy: &Proxy| {
        let over = |id: Uuid| if id == from { into } else { id };
        (over(proxy.resident_id), proxy.proxy_id.map(over))
    };
    let twice = |proxy: &Proxy| {
        let (resident, other) = pair(proxy);
        other == Some(resident) || (other.is_some() && kept.iter().any(|kept| pair(kept) == (resident, other)))
    };
    let superfluous = live_of(conn, county, from)?.iter().filter(|proxy| twice(proxy)).map(|proxy| proxy.id).collect();
    end_all(conn, county, superfluous, now)?;
    let here = || proxies::table.filter(proxies::county_id.eq(county));
    // History between the two would name one person twice: there is nothing to tell.
    let between = here().filter(proxies::resident_id.eq_any([from, into]));
    diesel::delete(between.filter(proxies::proxy_id.eq_any([from, into]))).execute(conn)?;
    let gave = here().filter(proxies::resident_id.eq(from));
    let moved = diesel::update(gave).set(proxies::resident_id.eq(into)).execute(conn)?;
    let was_given = here().filter(proxies::proxy_id.eq(from));
    Ok(moved + diesel::update(was_given).set(proxies::proxy_id.eq(into)).execute(conn)?)
}

pub fn export(conn: &mut PgConnection, _: &App, person: Person) -> Result<Value> {
    let here = proxies::table.filter(proxies::county_id.eq(person.county));
    let either = here.filter(proxies::resident_id.eq(person.id).or(proxies::proxy_id.eq(person.id)));
    let rows: Vec<Proxy> = either.order(proxies::created_at).select(Proxy::as_select()).load(conn)?;
    let view = |proxy: Proxy| {
        json!({"id": proxy.id, "for_me": proxy.resident_id == person.id, "relation": proxy.relation, "may": proxy.may(),
            "valid_until": proxy.valid_until, "state": proxy.state, "created_at": proxy.created_at.with_timezone(&CST)})
    };
    Ok(rows.into_iter().map(view).collect())
}

/// Nobody acts for the person, and the person for nobody; a child that is left without a guardian is somebody's to look at.
pub fn erase(conn: &mut PgConnection, _: &App, person: Person) -> Result<usize> {
    let live = live_of(conn, person.county, person.id)?;
    let guarded = live.iter().filter(|proxy| proxy.relation == Relation::Guardian && proxy.resident_id != person.id);
    for child in guarded.map(|proxy| proxy.resident_id) {
        guardian_missing(conn, person.county, child, person.now)?;
    }
    end_all(conn, person.county, live.into_iter().map(|proxy| proxy.id).collect(), person.now)
}

/// Asks the staff of the child's unit to see to its guardian.
pub fn guardian_missing(conn: &mut PgConnection, county: i32, child: Uuid, now: DateTime<Utc>) -> Result<()> {
    let unit = people::find(conn, Scope { county, reach: Reach::County }, child)?.and_then(|row| row.unit_id);
    let title = Words::fixed(
        "儿童的监护人缺失或撤回同意，请核实",
        "A child's guardian is missing or has withdrawn consent: look into it",
    );
    let todo = NewTodo {
        county,
        kind: todos::Kind::Decide,
        unit,
        resident: Some(child),
        about: Some(("guardian", child)),
        title,
        holder: None,
        due_at: None,
        created_by: None,
    };
    todos::open(conn, todo, now).map(drop)
}
