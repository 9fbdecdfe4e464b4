//! Keeping a phone in step, over HTTP.

use actix_web::{HttpResponse, get, http::header, web::Data};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    cursor::{Cursor, Stage},
    feed::{self, Changed, Next, Standing},
    pages::{self, Read},
};
use crate::{
    app::App,
    db::changes::Position,
    error::{Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can},
        permissions::ReadSync,
        valid::Query,
        way,
    },
    rooms::{self, Kept, Phone},
};

/// Something that a phone keeps, or keeps no more.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"entity": "todo", "id": "0199a0c0-0000-7000-8000-0000000000f7", "gone": false, "version": 2, "data": {"id": "0199a0c0-0000-7000-8000-0000000000f7",
    "kind": "call", "title": "电话通知：预约成功", "state": "taken", "version": 2}}))]
pub struct SyncItem {
    /// The kind of thing; more kinds may come.
    pub entity: &'static str,
    pub id: Uuid,
    /// A tombstone: done, handed over or out of sight. Drop it; where it was never there, there is nothing to do.
    pub gone: bool,
    /// Of the thing, where it is there. What a phone has is replaced whatever its version is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// The thing, as the list of its kind answers it; what the caller holds, as its own path does. A matter with its `versions` in effect and to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<Value>,
}

impl SyncItem {
    pub fn there(entity: &'static str, kept: Kept) -> Option<Self> {
        let data = kept.data?;
        Some(Self { entity, id: kept.id, gone: false, version: Some(kept.version), data: Some(data) })
    }

    pub fn gone(entity: &'static str, id: Uuid) -> Self {
        Self { entity, id, gone: true, version: None, data: None }
    }
}

/// What a phone has to take over, in this order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": [{"entity": "order", "id": "0199a0c0-0000-7000-8000-0000000000d1", "gone": true}],
    "next_cursor": "kJ0xY2V4YW1wbGU", "more": false}))]
pub struct SyncPage {
    pub items: Vec<SyncItem>,
    /// To pass next time; store it with the items.
    pub next_cursor: String,
    /// There is more at once. Otherwise ask again after a while.
    pub more: bool,
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SyncQuery {
    /// `next_cursor` of the last answer; without it, everything from the beginning.
    cursor: Option<String>,
    /// How many items at most, 1 to 200; of what has changed often meanwhile, fewer.
    #[param(minimum = 1, maximum = 200, default = 200)]
    limit: Option<i64>,
}

fn limit(asked: Option<i64>) -> Result<i64> {
    match asked.unwrap_or(200) {
        limit @ 1..=200 => Ok(limit),
        _ => {
            let text = Text::fixed("须在 1 至 200 之间", "must be 1 to 200");
            Err(Error::invalid(vec![FieldError::query("limit", "range", text)]))
        }
    }
}

/// Where the feed stands for a caller, and what follows a cursor that is good.
fn stand(
    conn: &mut PgConnection,
    caller: &Caller,
    cursor: Option<&Cursor>,
    (limit, now): (i64, DateTime<Utc>),
) -> Result<(Standing, Vec<Changed>)> {
    let follows = cursor.filter(|cursor| cursor.stage == Stage::Changes);
    let Position { xid, seq } = cursor.map(|cursor| cursor.position).unwrap_or_default();
    let of = |for_all: bool| rooms::synced().filter(|kind| kind.for_all == for_all).map(|kind| kind.entity).collect();
    let next = Next {
        county: caller.county,
        top: caller.unit,
        staff: caller.subject,
        xid,
        seq,
        entities: if follows.is_some() { of(false) } else { Vec::new() },
        for_all: if follows.is_some() { of(true) } else { Vec::new() },
        handed_out: cursor.and_then(|cursor| DateTime::from_timestamp(cursor.at, 0)).unwrap_or(now),
        limit: if follows.is_some() { limit } else { 0 },
    };
    let (standing, changed) = feed::next(conn, next)?;
    if let Some(cursor) = cursor.filter(|_| standing.here) {
        standing.check(caller, cursor)?;
    }
    Ok((standing, changed))
}

/// Keep a phone in step
///
/// Without a cursor everything that a phone of staff keeps, page by page: households with their categories and visit tasks, errands, orders, appointments, todos that ask
/// something of the caller's post, the catalogue, the settings. Then, with the cursor of each answer, what has changed since. Take the items over in their
/// order and store the cursor with them; go on at once while `more`. A phone that has come to the end has what is there, whatever was written
/// meanwhile and however late it was committed. Names of other things in an item (a unit, a matter, a colleague) are as they were when it was sent.
///
/// What the caller holds comes plain: an order with address and phone, a household that they answer for or are the partner of; each look is recorded.
/// Everything else is masked as in lists. A household comes without its `task`: tasks are things of their own.
///
/// 410 `sync_cursor_gone`: the cursor is older than the feed is kept, from before the database was restored, or of another account, post or reach. Drop what was
/// synchronised (not what waits to be uploaded) and start over without a cursor; `detail` says which it was.
#[utoipa::path(tag = "sync", security(("token" = ["sync:read"])), params(SyncQuery),
    responses((status = 200, description = "What to take over", body = SyncPage)), extensions(("x-errors" = json!(["sync_cursor_gone"]))))]
#[get("/v1/sync")]
pub async fn sync_phone(
    caller: Can<ReadSync>,
    lang: Lang,
    app: Data<App>,
    query: Query<SyncQuery>,
) -> Result<HttpResponse> {
    let (limit, now) = (limit(query.0.limit)?, app.clock.now());
    let cursor = query.0.cursor.as_deref().map(|text| Cursor::open(&app.keys, text)).transpose()?;
    let phone = Phone { caller: Caller::clone(&caller), lang, now, request: way::request_id() };
    let who = phone.caller.clone();
    let read = move |conn: &mut PgConnection| stand(conn, &who, cursor.as_ref(), (limit, now));
    let (mut standing, changed) = app.db.read("sync", read.clone()).await?;
    if !standing.here {
        app.db.write("renew_changes", move |conn| feed::renew(conn, now)).await?;
        // A cursor is of the epoch before, and refused here.
        standing = app.db.read("sync", read).await?.0;
    }
    let cursor = cursor.unwrap_or_else(|| Cursor::start(&phone.caller, &standing, now.timestamp()));
    let page = match cursor.stage {
        Stage::Snapshot(kind, after) => {
            let (from, inner) = (((kind, after), cursor.position), app.clone());
            let read = move |conn: &mut PgConnection| pages::snapshot(conn, &inner, &phone, from, limit as usize);
            app.db.write("sync_snapshot", read).await?
        }
        Stage::Changes => {
            let (position, more) = pages::after(&standing, &changed, limit as usize);
            let items = if changed.is_empty() {
                Vec::new()
            } else {
                let inner = app.clone();
                let read = move |conn: &mut PgConnection| pages::changes(conn, &inner, &phone, &changed);
                app.db.write("sync_changes", read).await?
            };
            Read { items, position, stage: Stage::Changes, more }
        }
    };
    let next = Cursor { at: now.timestamp(), position: page.position, stage: page.stage, ..cursor };
    let page = SyncPage { items: page.items, next_cursor: next.seal(&app.keys), more: page.more };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(page))
}
